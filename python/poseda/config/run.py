"""The settings of a whole run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from poseda.cameras import ESTIMATE
from poseda.config.checks import MAX_WIDTH, check_numbers, check_strides
from poseda.config.keypoints import KeypointSettings
from poseda.config.training import AdaptSettings, PretrainSettings
from poseda.protocol import ProtocolName

#: of a lifter's input (`poseda.networks.lifters.normalized`)
Normalization = Literal["screen", "crop", "square-crop", "root-frobenius"]

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
    """simple_baseline, videopose3d, videopose3d_27, sem_gcn, st_gcn, graph_mlp, graph_mlp_27 (_27
    looks at 27 frames), or your own as package.module:Class: a class whose only argument is the
    skeleton, and whose instances map (B, J, 2) to (B, J, 3), or (B, T, J, 2) if they have frames =
    T."""
    width: int | None = None
    """Units of each hidden layer, or channels of each joint, of a named lifter. Without it those of
    the lifter: 1024; 128 of sem_gcn, st_gcn and graph_mlp."""
    normalization: Normalization | None = None
    """Of the lifter's input. screen: the picture's width to [-1, 1], the default. crop: the box
    around the joints to [-1, 1] both ways. square-crop: its longer side to [-1, 1]. root-frobenius:
    relative to the root and divided by the Frobenius norm."""
    strides: tuple[int, ...] = (1,)
    """Of which each window of source frames draws one, as steps from frame to frame: random
    down-sampling, where people of the target move faster, or its frame rate is lower. For lifters
    of several frames."""
    weights: Path | None = None
    """Start from these safetensors, of the same lifter, instead of pre-training. They bring their
    width and normalization."""
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Arithmetic of matrix products in training: of the lifter's with bfloat16, of all with tf32,
    which is float32 on a CPU."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    protocol: ProtocolName = "poseda"
    """How results are evaluated: joints, test-time averaging, scale of predictions, checkpoint. It
    stands beside every figure; poseda/protocol.py says what each is. Those that end in -best are
    oracles, which look at the test set's labels."""

    def __post_init__(self) -> None:
        if self.width is not None:
            check_numbers(self, "width", low=1, high=MAX_WIDTH)
        check_numbers(self, "checkpoint_every", low=1)
        check_strides(self.strides)
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

    @property
    def strided(self) -> bool:
        """Whether windows of the source are down-sampled."""
        return self.strides != (1,)


def given(settings: object) -> list[str]:
    """The names of the fields that differ from their defaults."""
    default = type(settings)()
    return [
        each.name
        for each in fields(settings)  # type: ignore[arg-type]
        if getattr(settings, each.name) != getattr(default, each.name)
    ]
