"""Typed settings. Each field's docstring is its help text on the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from poseda.cameras import ESTIMATE
from poseda.data.poseset import MIN_CONFIDENCE
from poseda.keypoints.detections import MAX_FPS

MethodName = Literal["source-only", "control", "gpa", "lpa", "poseda", "oracle"]


#: no wider layer and no larger batch than this: beyond lies a slip of the keyboard
MAX_WIDTH = 16_384
MAX_BATCH = 1_048_576


def _check(
    settings: object, *names: str, low: float = 0, high: float = math.inf, open_low: bool = False
) -> None:
    """Refuses values outside [low, high], or (low, high]; NaN and infinity always."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name}: got {value!r:.60}, expected a number")
        above = value > low if open_low else value >= low
        if not (math.isfinite(value) and above and value <= high):
            least = f"more than {low:g}" if open_low else f"at least {low:g}"
            most = "" if math.isinf(high) else f" and at most {high:,}"
            raise ValueError(f"{name}: got {value}, expected a number, {least}{most}")


@dataclass(frozen=True)
class PretrainSettings:
    """Supervised training on the source (Eq. 2)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int = 6000
    """Optimiser steps."""
    batch: int = 256
    """Source poses per step."""
    lr: float = 1e-3
    """Adam's learning rate at the start."""
    final_lr: float = 1.6e-4
    """Learning rate at the end; it falls exponentially."""

    def __post_init__(self) -> None:
        _check(self, "steps", low=1)
        _check(self, "batch", low=2, high=MAX_BATCH)
        _check(self, "lr", "final_lr", open_low=True)


@dataclass(frozen=True)
class AdaptSettings:
    """Fine-tuning on a 1:1 mix of source and augmented pairs (Algorithm 1)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int = 6000
    """Lifter steps. Control and oracle take as many."""
    batch: int = 256
    """Source poses per step; as many augmented ones are added."""
    lr: float = 5e-4
    """The lifter's learning rate (Adam) at the start; it falls linearly to 0."""
    warmup: int = 500
    """Iterations of critic and generator before the lifter's first step (w)."""
    generator_every: int = 5
    """Critic steps for each generator step (n)."""
    gan_lr: float = 1e-4
    """Learning rate of critic and generator (RMSProp)."""
    stabilizer: Literal["clip", "penalty", "spectral"] = "clip"
    """What keeps the critic Lipschitz: weights clipped to 0.01, a gradient penalty of weight 1,
    or weights of spectral norm at most 1."""
    unit_bones: bool = False
    """Show the critic bone directions only, without lengths."""
    max_bone_angle: float = 0.5
    """Bound of each axis-angle component by which a bone turns, radians."""
    max_bone_scale: float = 0.2
    """Bound of the relative change of a bone's length."""
    max_rotation: float = 0.5
    """Bound of each axis-angle component by which the body turns, radians."""
    rotation_network: bool = False
    """Take the rotation from the paper's third network, which no KCS critic can teach, instead of
    drawing it uniformly."""

    def __post_init__(self) -> None:
        _check(self, "steps", "generator_every", low=1)
        _check(self, "batch", low=2, high=MAX_BATCH)
        _check(self, "lr", "gan_lr", open_low=True)
        _check(self, "warmup", "max_bone_angle", "max_rotation")
        _check(self, "max_bone_scale", high=0.99)


@dataclass(frozen=True)
class KeypointSettings:
    """Keypoints in another form than the canonical file, and the camera that took them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    camera: str | None = None
    """fov=60 (degrees across the width; 60v across the height, 60d across the diagonal), f=1500
    (pixels), 1500,1500,960,540 (fx,fy,cx,cy in pixels), 35mm=26 (equivalent focal length),
    exif:PHOTO.jpg, or estimate (with the weights, from people who stand before a camera that looks
    down on them). Without it 60 degrees across the longer side are assumed."""
    image_size: str | None = None
    """Width and height of the images, e.g. 1920x1080, where the files do not say it."""
    distortion: str | None = None
    """Lens distortion to undo: k1,k2,p1,p2 or k1,k2,p1,p2,k3 in OpenCV's order."""
    format: str = "auto"
    """Form or joints of the files, where they do not say it: e.g. mmpose, coco_17, csv:h36m_17."""
    min_confidence: float = MIN_CONFIDENCE
    """A joint of lower confidence counts as not seen."""
    fps: float | None = None
    """Frames per second, where the files do not say it."""
    max_people: int | None = None
    """Keep those people of each video who are in most frames."""

    def __post_init__(self) -> None:
        _check(self, "min_confidence", high=1, open_low=True)
        if self.fps is not None:
            _check(self, "fps", high=MAX_FPS, open_low=True)
        if self.max_people is not None:
            _check(self, "max_people", low=1)
            if not isinstance(self.max_people, int):
                raise TypeError(f"max_people: got {self.max_people}, expected a whole number")
        if not isinstance(self.format, str):
            raise TypeError(f"format: got {self.format!r:.60}, expected a text such as coco_17")


FlatKeypoints = Annotated[KeypointSettings, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers, and where they go."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    source: Path | None = None
    """Canonical .npz with 3D labels. Without it, synthetic humans."""
    target: Path | None = None
    """The new place: a canonical .npz, of which 2D keypoints and intrinsics suffice (3D is used
    only to evaluate), or a file or folder of keypoints as your detector writes them, with
    --camera. Without it, synthetic humans."""
    keypoints: FlatKeypoints = field(default_factory=KeypointSettings)
    out: Path = Path("runs/adapt")
    """Run folder."""
    joints: Literal[16, 17] = 16
    """16 drops Neck/Nose, as the papers do."""
    camera_classes: tuple[str, ...] = ()
    """Names for groups of the target's cameras in the results, e.g. chest:0,1,2 ceiling:5,6."""
    lifter: str = "videopose3d"
    """simple_baseline, videopose3d, or your own as package.module:Class: a class whose only
    argument is the skeleton, and whose instances map (B, J, 2) to (B, J, 3)."""
    width: int = 1024
    """Units of each hidden layer of the two named lifters (published: 1024)."""
    weights: Path | None = None
    """Start from these safetensors, of the same lifter, instead of pre-training. They bring their
    width."""
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Arithmetic of matrix products in training: of the lifter's with bfloat16, of all with tf32,
    which is float32 on a CPU."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        _check(self, "width", low=1, high=MAX_WIDTH)
        _check(self, "checkpoint_every", low=1)
        if self.camera_classes and self.target is None:
            raise ValueError("camera_classes: got some, expected them only together with target")
        if self.target is None and self.keypoints != KeypointSettings():
            raise ValueError(
                f"{', '.join(given(self.keypoints))}: got some, expected them only together with "
                "target"
            )
        if self.keypoints.camera == ESTIMATE and self.weights is None:
            raise ValueError(
                "camera: got estimate, expected it only together with weights: a lifter has to "
                "look at the keypoints"
            )


def given(settings: object) -> list[str]:
    """The names of the fields that differ from their defaults."""
    default = type(settings)()
    return [
        each.name
        for each in fields(settings)  # type: ignore[arg-type]
        if getattr(settings, each.name) != getattr(default, each.name)
    ]
