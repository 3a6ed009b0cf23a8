"""From one's own keypoints to 3D poses in three lines.

lifter = poseda.Lifter.load("lifter.safetensors")
lifted = lifter("clip.json", "fov=60", image_size="1920x1080")
lifted.save("out.npz")
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poseda.cameras import parse_distortion, parse_image_size, sensitivity
from poseda.cameras.estimate import Estimator, camera_estimator
from poseda.card import ModelCard
from poseda.config import KeypointSettings, given
from poseda.data.poseset import MIN_CONFIDENCE, PoseSet
from poseda.data.target import CameraLike, Target, keypoints_of, load_target, with_camera
from poseda.device import pick_device
from poseda.files import folder_of, plain_text
from poseda.keypoints import Keypoints
from poseda.keypoints.files import Source
from poseda.networks.lifters import lift, lift_poses
from poseda.networks.weights import NamedLifter, load_lifter
from poseda.outputs import write_bvh, write_html, write_json, write_npz
from poseda.placement import place, scaled_to, with_own_bones
from poseda_ext import Skeleton, denormalize_intrinsics, denormalize_points

Array = NDArray[Any]
KeypointsLike = Source | Sequence[Source] | Keypoints | PoseSet | Array | Tensor

WRITERS: dict[str, Callable[..., list[Path] | None]] = {
    ".npz": write_npz,
    ".json": write_json,
    ".bvh": write_bvh,
    ".html": write_html,
}
#: endings of the files that `Lifted.save` writes
ENDINGS = (*WRITERS, ".png")


@dataclass(frozen=True, eq=False)
class Lifted:
    """N lifted poses of one or several people.

    Attributes:
        pose3d: (N, J, 3) float32 metres relative to joint 0, camera frame (x right, y down, z
            forward).
        root: (N, 3) float32 metres, joint 0 in the camera frame, or None where it was not asked
            for.
        skeleton: J joints.
        pose2d: (N, J, 2) float32 pixels, what was lifted: without lens distortion, and with a
            place for joints that were not seen.
        seen: (N, J) which joints were seen.
        intrinsics: (N, 4) float32 fx, fy, cx, cy in pixels.
        image_size: (N, 2) float32 width, height in pixels.
        person: (N,) strings; one person in one clip.
        clip: (N,) int64, the video, which several people may share, or in canonical files the
            clip.
        frame: (N,) int64, frame in the clip.
        fps: frames per second; 0 where unknown, or where clips differ.
        lines: what was read and dropped, and the camera, for the user.
    """

    pose3d: Array
    root: Array | None
    skeleton: Skeleton
    pose2d: Array
    seen: Array
    intrinsics: Array
    image_size: Array
    person: Array
    clip: Array
    frame: Array
    fps: float
    lines: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pose3d)

    def summary(self) -> list[str]:
        """For the user: whose poses these are, and where they stand."""
        people = len(np.unique(self.person))
        lines = [f"{people:,} {'person' if people == 1 else 'people in clips'}"]
        if self.root is not None:
            low, middle, high = np.percentile(self.root[:, 2], (5, 50, 95))
            lines.append(
                f"distance from the camera: median {middle:.2f} m, 5 to 95 % {low:.2f} to "
                f"{high:.2f} m; alignment alone is off by some 5 %, frame by frame, and errors of "
                "the pose, the person's size and the focal length add to it"
            )
            lines.append(sensitivity(self.root[:, 2]))
        return lines

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Writes one file, or one for each person, as a whole or not at all.

        Args:
            path: its ending decides: .npz and .json hold everything, .bvh is for animation
                programs, a file for each person, .html is a page to look at it in a browser
                (`poseda.outputs`), .png shows some frames.

        Returns:
            The files.

        Raises:
            ValueError: if the ending is another, or the format has no way to say it.
            OSError: if the file cannot be written.
        """
        path = Path(path)
        check_ending(path)
        folder_of(path)
        if path.suffix == ".png":
            from poseda.figures import lifted, save_figure  # matplotlib loads slowly

            poses = torch.from_numpy(self.pose2d), torch.from_numpy(self.pose3d)
            whose = zip(self.person.tolist(), self.frame.tolist(), strict=True)
            labels = [
                f"{plain_text(name)}, frame {frame}" if name else f"frame {frame}"
                for name, frame in whose
            ]
            seen = torch.from_numpy(self.seen)
            save_figure(lifted(*poses, self.skeleton, labels=labels, seen=seen), path)
            return [path]
        written = WRITERS[path.suffix](
            path,
            self.pose3d,
            self.skeleton,
            person=self.person,
            clip=self.clip,
            frame=self.frame,
            fps=self.fps,
            root=self.root,
            pose2d=self.pose2d,
            confidence=self.seen.astype(np.float32),
            intrinsics=self.intrinsics,
            image_size=self.image_size,
        )
        return written or [path]


def check_ending(path: Path) -> None:
    """Refuses a file that `Lifted.save` cannot write.

    Raises:
        ValueError: if its name ends otherwise.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"out: got {path}, expected a name that ends in {', '.join(ENDINGS)}")


class Lifter:
    """A trained lifter, ready for keypoints in pixels.

    Args:
        lifter: the network and its skeleton.
        device: where it runs: auto (a GPU where there is one), cpu, cuda or cuda:N.
    """

    def __init__(self, lifter: NamedLifter, device: str = "auto") -> None:
        self.named = dataclasses.replace(lifter, module=lifter.module.to(pick_device(device)))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, own: str | None = None, device: str = "auto"
    ) -> Lifter:
        """Reads weights.

        Args:
            path: a lifter.safetensors.
            own: package.module:Class, if the weights are of a lifter of your own.
            device: as of the class.

        Raises:
            FileNotFoundError, ValueError: as `poseda.networks.weights.load_lifter`.
        """
        return cls(load_lifter(Path(path), own), device)

    @property
    def skeleton(self) -> Skeleton:
        return self.named.skeleton

    @property
    def estimator(self) -> Estimator:
        """What estimates cameras with this lifter."""
        return camera_estimator(partial(lift, self.named.module), self.skeleton)

    @property
    def card(self) -> ModelCard | None:
        """What it was trained on; None for weights of earlier versions."""
        return self.named.card

    def export(self, path: str | os.PathLike[str]) -> None:
        """Writes ``.onnx`` or ``.pt2``; see `poseda.export.export_lifter`."""
        from poseda.export import export_lifter

        export_lifter(self.named, Path(path))

    def __call__(
        self,
        keypoints: KeypointsLike,
        camera: CameraLike = None,
        *,
        image_size: str | Sequence[float] | None = None,
        distortion: str | Sequence[float] | None = None,
        format: str = "auto",
        min_confidence: float = MIN_CONFIDENCE,
        fps: float | None = None,
        max_people: int | None = None,
        global_position: bool = False,
        height: float | None = None,
    ) -> Lifted:
        """Lifts keypoints.

        Args:
            keypoints: a file, a folder, a glob pattern or a list of them, in any form of
                `poseda.keypoints.read_keypoints` or canonical; `Keypoints`; a `PoseSet`; or an
                array or tensor (N, J, 2) of pixels, (N, J, 3) with the confidence, one person
                frame by frame in the order of the lifter's skeleton or of `H36M_17`, NaN where a
                joint was not seen.
            camera: ``fov=60`` and the other texts of `poseda.cameras.parse_camera`, ``estimate``
                (`poseda.cameras.estimate`), a `Camera`, or fx, fy, cx, cy in pixels. Without it 60
                degrees across the longer side are assumed, unless the keypoints bring their camera.
            image_size: width and height of the images in pixels, where the keypoints do not say it.
            distortion: k1, k2, p1, p2[, k3] in OpenCV's order, to undo.
            format: form or joints of the files, where they do not say it.
            min_confidence: a joint of lower confidence counts as not seen.
            fps: frames per second, where the files do not say it.
            max_people: keep those people of each video who are in most frames.
            global_position: also find the root before the camera. Each person then has the same
                bones in every frame (`poseda.placement`, which also says how accurate it is).
            height: stature of the people in metres, to which they are scaled, with the same bones
                in every frame.

        Raises:
            FileNotFoundError: if there is no such file.
            TypeError, ValueError: if an argument is not what it should be; names it.
        """
        size = None if image_size is None else parse_image_size(image_size)
        lens = None if distortion is None else parse_distortion(distortion)
        settings = KeypointSettings(
            image_size=size and "x".join(map(str, size)),
            distortion=lens and ",".join(map(str, lens)),
            format=format,
            min_confidence=min_confidence,
            fps=fps,
            max_people=max_people,
        )
        target = self._target(keypoints, camera, settings)
        return self.lift(target, global_position=global_position, height=height)

    def _target(
        self, keypoints: KeypointsLike, camera: CameraLike, settings: KeypointSettings
    ) -> Target:
        skeleton = self.skeleton
        if isinstance(keypoints, PoseSet):
            if camera is not None or given(settings):
                raise ValueError(
                    "camera, settings: got some beside a PoseSet, which has its own, expected none"
                )
            if keypoints.skeleton != skeleton:
                raise ValueError(
                    f"keypoints: got {keypoints.skeleton.num_joints} joints, expected "
                    f"{skeleton.num_joints} as the lifter has"
                )
            return Target(keypoints, ())
        if isinstance(keypoints, Tensor):
            keypoints = _array_of(keypoints)
        if isinstance(keypoints, np.ma.MaskedArray) and keypoints.dtype.kind in "fiu":
            keypoints = np.ma.filled(keypoints.astype(np.float64), np.nan)
        if isinstance(keypoints, Keypoints | np.ndarray):
            known = ("format", "max_people", "fps")[: 3 if isinstance(keypoints, Keypoints) else 2]
            if unused := [name for name in known if name in given(settings)]:
                raise ValueError(f"{', '.join(unused)}: got some, expected them only for files")
        if isinstance(keypoints, np.ndarray):
            if keypoints.dtype.kind not in "fiu":
                raise TypeError(f"keypoints: got an array of {keypoints.dtype}, expected numbers")
            keypoints = keypoints_of(keypoints, settings, skeleton)
        if isinstance(keypoints, Keypoints):
            return with_camera(
                keypoints,
                settings,
                skeleton,
                camera=camera,
                name="keypoints",
                estimator=self.estimator,
            )
        return load_target(
            _files(keypoints), settings, skeleton, camera=camera, estimator=self.estimator
        )

    def lift(
        self, target: Target, *, global_position: bool = False, height: float | None = None
    ) -> Lifted:
        """Lifts 2D poses whose camera is known; see `__call__`."""
        poses = target.poses
        pose3d = lift_poses(self.named.module, poses)
        person = _people(poses)
        number = torch.from_numpy(np.unique(person, return_inverse=True)[1])
        if global_position or height is not None:
            pose3d = with_own_bones(pose3d, number, poses.skeleton)
        if height is not None:
            pose3d = scaled_to(pose3d, height, number, poses.skeleton)
        root = None
        if global_position:
            root = place(pose3d, poses.pose2d, poses.intrinsics, poses.seen).numpy()
        seen = torch.ones(pose3d.shape[:2], dtype=torch.bool) if poses.seen is None else poses.seen
        rates = poses.fps.unique()
        return Lifted(
            pose3d=pose3d.numpy(),
            root=root,
            skeleton=poses.skeleton,
            pose2d=denormalize_points(poses.pose2d, poses.image_size).numpy(),
            seen=seen.numpy(),
            intrinsics=denormalize_intrinsics(poses.intrinsics, poses.image_size).numpy(),
            image_size=poses.image_size.numpy(),
            person=person,
            clip=poses.clip if target.video is None else target.video,
            frame=poses.frame,
            fps=float(rates[0]) if len(rates) == 1 else 0.0,
            lines=target.lines,
        )


def _array_of(keypoints: Tensor) -> Array:
    """A tensor of any device and number type as float64."""
    kind: Any = keypoints.dtype if keypoints.layout == torch.strided else keypoints.layout
    numbers = kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    numbers |= kind in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if keypoints.is_meta or keypoints.is_nested or not numbers:
        what = "without data" if keypoints.is_meta else f"of {str(kind).removeprefix('torch.')}"
        raise TypeError(f"keypoints: got a tensor {what}, expected numbers in equal rows")
    array: Array = keypoints.detach().to("cpu", torch.float64).resolve_neg().numpy()
    return array


def _files(keypoints: Any) -> Source | Sequence[Source]:
    """Refuses what is neither a path nor a list of paths."""
    expected = "expected a file, a list of files, an array or tensor, Keypoints or a PoseSet"
    if isinstance(keypoints, str | os.PathLike):
        return keypoints
    if isinstance(keypoints, bytes | Mapping) or not isinstance(keypoints, Iterable):
        raise TypeError(f"keypoints: got {type(keypoints).__name__}, {expected}")
    files = list(keypoints)
    for each in files:
        if not isinstance(each, str | os.PathLike):
            kind = type(keypoints).__name__
            raise TypeError(f"keypoints: got a {kind} of {type(each).__name__}, {expected}")
    return files


def _people(poses: PoseSet) -> Array:
    """(N,) a name for each person in each clip of each camera, as short as tells them apart."""
    own, rows = np.unique(poses.subject.astype(np.str_), return_inverse=True)
    # Half surrogate pairs, as in names of files that are not UTF-8, cannot be written or drawn.
    named = np.asarray([name.encode("utf-8", "replace").decode() for name in own.tolist()])[rows]
    for more in (poses.clip, poses.camera.numpy()):
        number = np.unique(named, return_inverse=True)[1]
        pairs = np.unique(np.stack((number, more), 1), axis=0)
        several = np.bincount(pairs[:, 0]) > 1
        longer = np.char.add(np.char.add(named, "/"), more.astype(np.str_))
        named = np.where(several[number], longer, named)
    return named
