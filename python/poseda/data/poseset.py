"""`PoseSet`, the one form in which the package holds data, and the canonical file behind it.

The canonical file is one ``.npz`` without pickles. N is the number of frames; the 17 joints are
those of `H36M_17`, in its order.

=============== ============ ======== ==========================================================
array           shape        kind     content
=============== ============ ======== ==========================================================
``pose2d``      (N, 17, 2)   number   pixels, origin in the upper left corner, y down
``intrinsics``  (N, 4)       number   fx, fy, cx, cy in pixels
``image_size``  (N, 2)       number   width, height in pixels
``pose3d``      (N, 17, 3)   number   optional: camera frame (x right, y down, z forward),
                                      absolute, metres
``camera``      (N,)         integer  optional: camera number; 0 if absent
``camera_class``(N,)         string   optional: kind of view; the camera number if absent
``subject``     (N,)         string   optional: person
``action``      (N,)         string   optional
``clip``        (N,)         integer  optional: number of the continuous recording; 0 if absent
``frame``       (N,)         integer  optional: frame in the clip; 0 ... N-1 if absent
``split``       (N,)         integer  optional: 0 train, 1 test; 0 if absent
``fps``         (N,)         number   optional: frames per second of the clip; 0 if unknown
``confidence``  (N, 17)      number   optional: 0 (not seen) to 1; 1 if absent. `pose2d` holds
                                      finite numbers also where a joint was not seen
``about``       ()           string   optional: JSON object, what the file holds and where it is
                                      from: ``dataset``, ``labels``, ``protocol``, ``licence``, ...
=============== ============ ======== ==========================================================

Other arrays are kept by `save_pose_set` and left alone by `load_pose_set`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poseda.files import atomic_write
from poseda_ext.camera import normalize_intrinsics, normalize_points
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

Array = NDArray[Any]

REQUIRED = ("pose2d", "intrinsics", "image_size")
NUMBERS = ("pose2d", "intrinsics", "image_size", "pose3d", "fps", "confidence")
INTEGERS = ("camera", "clip", "frame", "split")
STRINGS = ("camera_class", "subject", "action")

# Limits of the checks: wide enough for every real recording, narrow enough for a wrong unit.
MAX_NORMALISED = 4.0  #: |x| that a screen-normalised coordinate does not exceed
MIN_FOCAL = 10.0  #: pixels; a screen-normalised focal length is 1 to 5
MAX_FOCAL_SIDES = 50.0  #: longer image sides; a field of view of about one degree
MIN_BOX_FRACTION = 0.01  #: of the longer image side, median width + height of the joints' box
MIN_IMAGE_SIDE = 16.0  #: pixels
MAX_OUTSIDE_FRACTION = 0.2  #: of the joints, over the file
MAX_ROOT_DEPTH = 100.0  #: metres, median over the file
MIN_CONFIDENCE = 0.3  #: below, a joint counts as not seen
TORSO_RANGE = (0.2, 0.9)  #: metres, median distance from Hip to Thorax; an adult has about 0.45
MAX_REPROJECTION = 0.03  #: of the longer image side, median over the joints of a camera
MAX_CAMERAS_CHECKED = 64  #: above, the projection is checked over the file as a whole


@dataclass(frozen=True, eq=False)
class PoseSet:
    """N frames of one dataset, on one device.

    Attributes:
        name: shown in messages and reports.
        skeleton: J joints.
        pose2d: (N, J, 2) float32, screen-normalised (`poseda_ext.camera`).
        intrinsics: (N, 4) float32 fx, fy, cx, cy, screen-normalised.
        image_size: (N, 2) float32 width, height in pixels.
        pose3d: (N, J, 3) float32 metres, absolute in the camera frame, or None.
        camera: (N,) int64 camera number.
        camera_class: (N,) strings, the kind of view (`chest`, `ceiling`, ...).
        subject: (N,) strings.
        action: (N,) strings.
        clip: (N,) int64, the continuous recording that a frame belongs to.
        frame: (N,) int64, its place in the clip.
        split: (N,) uint8, 0 train and 1 test.
        fps: (N,) float32 frames per second of the clip, 0 where unknown.
        seen: (N, J) which joints of `pose2d` were seen, or None where all were.
        about: what the file says of itself.
    """

    name: str
    skeleton: Skeleton
    pose2d: Tensor
    intrinsics: Tensor
    image_size: Tensor
    pose3d: Tensor | None
    camera: Tensor
    camera_class: Array
    subject: Array
    action: Array
    clip: Array
    frame: Array
    split: Tensor
    fps: Tensor
    seen: Tensor | None
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return int(self.pose2d.shape[0])

    def rows(self, index: Tensor | Array | Sequence[int] | slice) -> PoseSet:
        """The frames that a mask, a list of row numbers or a slice selects, in that order."""
        if isinstance(index, Tensor):
            index = index.detach().cpu().numpy()
        if not isinstance(index, slice):
            index = np.asarray(index, dtype=None if len(index) else np.int64)
        chosen = np.arange(len(self))[index]
        on_device = torch.from_numpy(chosen).to(self.pose2d.device)
        picked: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                picked[field.name] = value[on_device]
            elif isinstance(value, np.ndarray):
                picked[field.name] = value[chosen]
        return dataclasses.replace(self, **picked)

    @property
    def train(self) -> PoseSet:
        """The frames of the train split."""
        return self._part(0, "train")

    @property
    def test(self) -> PoseSet:
        """The frames of the test split."""
        return self._part(1, "test")

    def _part(self, value: int, label: str) -> PoseSet:
        mask = self.split == value
        if not bool(mask.any()):
            raise ValueError(
                f"{self.name}: the {label} split is empty "
                f"(none of {len(self)} frames has split == {value})"
            )
        return self.rows(mask)

    def to(self, device: torch.device | str) -> PoseSet:
        """The same frames with all tensors on `device`."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)


def load_pose_set(
    path: str | os.PathLike[str],
    *,
    skeleton: Skeleton = H36M_16,
    camera_classes: Mapping[str, Sequence[int]] | None = None,
    need_pose3d: bool = False,
    min_confidence: float = MIN_CONFIDENCE,
) -> PoseSet:
    """Read and check a canonical file.

    Args:
        path: the ``.npz`` file, described at the head of this module.
        skeleton: `H36M_16` drops Neck/Nose, `H36M_17` keeps all; joints are chosen by name.
        camera_classes: name of a class to its camera numbers; replaces the file's own
            `camera_class` and must cover every camera of the file.
        need_pose3d: refuse a file without 3D poses.
        min_confidence: a joint of lower confidence counts as not seen.

    Returns:
        The frames, on the CPU; `name` is the file's name without its ending.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not what the canonical format asks for; names the file, the
            array, what was found and what was expected.
    """
    path = Path(path)
    return pose_set_from_arrays(
        _read_arrays(path),
        name=path.stem,
        skeleton=skeleton,
        camera_classes=camera_classes,
        need_pose3d=need_pose3d,
        min_confidence=min_confidence,
        where=str(path),
    )


def pose_set_from_arrays(
    arrays: Mapping[str, Array],
    *,
    name: str,
    skeleton: Skeleton = H36M_16,
    camera_classes: Mapping[str, Sequence[int]] | None = None,
    need_pose3d: bool = False,
    min_confidence: float = MIN_CONFIDENCE,
    where: str | None = None,
) -> PoseSet:
    """Check the arrays of a canonical file and make a `PoseSet` of them.

    Args:
        arrays: as in the file, described at the head of this module.
        name: name of the set.
        skeleton: as in `load_pose_set`.
        camera_classes: as in `load_pose_set`.
        need_pose3d: as in `load_pose_set`.
        min_confidence: as in `load_pose_set`.
        where: what messages call the source of the arrays; `name` if None.

    Raises:
        ValueError: as `load_pose_set`.
    """
    where = name if where is None else where
    check_arrays(arrays, where, need_pose3d=need_pose3d)
    count = len(arrays["pose2d"])
    unknown = [joint for joint in skeleton.names if joint not in H36M_17.names]
    if unknown:
        raise ValueError(f"skeleton: got joints {unknown}, expected those of H36M_17")
    joints = [H36M_17.names.index(joint) for joint in skeleton.names]

    def integers(key: str, default: Array) -> NDArray[np.int64]:
        return np.asarray(arrays.get(key, default)).astype(np.int64)

    def strings(key: str, default: Array) -> Array:
        return np.asarray(arrays.get(key, default)).astype(np.str_)

    zeros = np.zeros(count, dtype=np.int64)
    camera = integers("camera", zeros)
    if camera_classes is None:
        camera_class = strings("camera_class", camera)
    else:
        camera_class = _classes_of(camera, camera_classes, where)
    image_size = _float_tensor(arrays["image_size"])
    pose3d = arrays.get("pose3d")
    seen = None
    if "confidence" in arrays:
        mask = arrays["confidence"][:, joints] >= min_confidence
        seen = None if mask.all() else torch.from_numpy(mask)
    return PoseSet(
        name=name,
        skeleton=skeleton,
        pose2d=normalize_points(_float_tensor(arrays["pose2d"][:, joints]), image_size),
        intrinsics=normalize_intrinsics(_float_tensor(arrays["intrinsics"]), image_size),
        image_size=image_size,
        pose3d=None if pose3d is None else _float_tensor(pose3d[:, joints]),
        camera=torch.from_numpy(camera),
        camera_class=camera_class,
        subject=strings("subject", np.full(count, "")),
        action=strings("action", np.full(count, "")),
        clip=integers("clip", zeros),
        frame=integers("frame", np.arange(count)),
        split=torch.from_numpy(integers("split", zeros).astype(np.uint8)),
        fps=_float_tensor(arrays.get("fps", np.zeros(count))),
        seen=seen,
        about=json.loads(str(arrays["about"])) if "about" in arrays else {},
    )


def save_pose_set(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Check arrays and write them as a canonical file, as a whole or not at all.

    Args:
        path: the ``.npz`` file to write or replace.
        arrays: as described at the head of this module; further arrays are kept.

    Raises:
        ValueError: if the arrays are not what the canonical format asks for.
        OSError: if the file cannot be written; nothing is left behind.
    """
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    check_arrays(arrays, str(path))
    for key, value in arrays.items():
        if value.dtype.kind == "O":
            raise ValueError(f"{path}: {key}: got Python objects, expected numbers or strings")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def check_arrays(arrays: Mapping[str, Array], where: str, *, need_pose3d: bool = False) -> None:
    """Raise one ValueError that says what is wrong with the arrays of a canonical file.

    Args:
        arrays: as described at the head of this module.
        where: file or name for the message.
        need_pose3d: also ask for `pose3d`.
    """
    _check_layout(arrays, where, need_pose3d)
    _check_extras(arrays, where)
    _check_image_plane(arrays, where)
    if "pose3d" in arrays:
        _check_pose3d(arrays, where)


def _read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an ``.npz`` file, without ever unpickling."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; expected a canonical .npz pose file")
    if path.is_dir():
        raise ValueError(f"{path}: got a folder, expected a canonical .npz pose file")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        found = "a damaged or truncated .npz file" if is_zip else "something else"
        raise ValueError(f"{path}: got {found}, expected a canonical .npz pose file")
    wanted = {*NUMBERS, *INTEGERS, *STRINGS, "about"}
    arrays: dict[str, Array] = {}
    place = str(path)
    # Damaged bytes raise nearly anything: zipfile, zlib and numpy each have errors of their own.
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                if key in wanted:
                    place = f"{path}: {key}"
                    arrays[key] = file[key]
    except Exception as error:
        if isinstance(error, ValueError) and "allow_pickle" in str(error):
            raise ValueError(
                f"{place}: got pickled Python objects, which are never loaded; "
                "expected a plain array of numbers or strings"
            ) from error
        raise ValueError(f"{place}: the file is damaged ({error})") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{path}: {key}: got a member without .npy, expected a numpy array")
    return arrays


def _at_least_float32(array: Array) -> Array:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _float_tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _classes_of(
    camera: NDArray[np.int64], classes: Mapping[str, Sequence[int]], where: str
) -> Array:
    """(N,) class name of every frame."""
    name_of: dict[int, str] = {}
    for name, members in classes.items():
        for member in members:
            if member in name_of:
                raise ValueError(
                    f"camera_classes: got camera {member} in {name_of[member]!r} and {name!r}, "
                    "expected it once"
                )
            name_of[int(member)] = name
    present, place = np.unique(camera, return_inverse=True)
    missing = [int(number) for number in present if int(number) not in name_of]
    if missing:
        raise ValueError(
            f"{where}: camera: got cameras {missing} that camera_classes does not name "
            f"(it has {sorted(name_of)})"
        )
    return np.asarray([name_of[int(number)] for number in present])[place]


def _check_layout(arrays: Mapping[str, Array], where: str, need_pose3d: bool) -> None:
    """Presence, kind, shape, row counts, finite values, values of split."""
    required = (*REQUIRED, "pose3d") if need_pose3d else REQUIRED
    missing = [key for key in required if key not in arrays]
    if missing:
        raise ValueError(
            f"{where}: {', '.join(missing)}: missing; found "
            f"{', '.join(sorted(arrays)) or 'no known array'}, expected {', '.join(required)}"
        )
    joints = H36M_17.num_joints
    shapes = {
        "pose2d": (joints, 2),
        "intrinsics": (4,),
        "image_size": (2,),
        "pose3d": (joints, 3),
        "confidence": (joints,),
    }
    count: int | None = None
    for key in (*NUMBERS, *INTEGERS, *STRINGS):
        if key not in arrays:
            continue
        array = arrays[key]
        if key in NUMBERS:
            kinds, expected = "fiu", "numbers"
        elif key in INTEGERS:
            kinds, expected = "iub", "integers"
        else:
            kinds, expected = "US", "strings"
        if array.dtype.kind not in kinds:
            raise ValueError(f"{where}: {key}: got dtype {array.dtype}, expected {expected}")
        tail = shapes.get(key, ())
        rows = "N" if count is None else str(count)
        if array.ndim != 1 + len(tail) or array.shape[1:] != tail:
            raise ValueError(
                f"{where}: {key}: got shape {array.shape}, expected "
                f"({', '.join([rows, *map(str, tail)])}{'' if tail else ','})"
            )
        if count is None:
            count = len(array)
        elif len(array) != count:
            raise ValueError(
                f"{where}: {key}: got {len(array)} rows, expected {count} as in pose2d"
            )
        if count == 0:
            raise ValueError(f"{where}: {key}: got no rows, expected at least one frame")
        if key in NUMBERS and not np.isfinite(array).all():
            bad = ~np.isfinite(array.reshape(count, -1)).all(axis=1)
            _refuse(where, key, bad, "NaN or infinity", "finite numbers")
    if "split" in arrays:
        split = arrays["split"].astype(np.int64)
        other = (split != 0) & (split != 1)
        _refuse(where, "split", other, "another value", "0 (train) or 1 (test)", split)


def _check_extras(arrays: Mapping[str, Array], where: str) -> None:
    """Values of fps, confidence and about."""
    if "fps" in arrays:
        _refuse(where, "fps", arrays["fps"] < 0, "a negative number", "frames per second, or 0")
    if "confidence" in arrays:
        confidence = arrays["confidence"]
        outside = ((confidence < 0) | (confidence > 1)).any(axis=1)
        _refuse(where, "confidence", outside, "a number outside [0, 1]", "0 (not seen) to 1")
    if "about" in arrays:
        about = np.asarray(arrays["about"])
        try:
            parsed = json.loads(str(about)) if about.ndim == 0 and about.dtype.kind == "U" else None
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise ValueError(f"{where}: about: got {about!r:.80}, expected one JSON object as text")


def _check_image_plane(arrays: Mapping[str, Array], where: str) -> None:
    """Units and ranges of image_size, intrinsics and pose2d."""
    size = np.asarray(arrays["image_size"], dtype=np.float64)
    intrinsics = np.asarray(arrays["intrinsics"], dtype=np.float64)
    points = _at_least_float32(arrays["pose2d"])
    _refuse(
        where,
        "image_size",
        (size < MIN_IMAGE_SIDE).any(axis=1),
        "a side that is not positive or is tiny",
        f"width and height in pixels, at least {MIN_IMAGE_SIDE:g}",
        size,
    )
    focal, centre = intrinsics[:, :2], intrinsics[:, 2:]
    _refuse(
        where,
        "intrinsics",
        (focal <= 0).any(axis=1),
        "a focal length that is not positive",
        "fx, fy, cx, cy in pixels",
        intrinsics,
    )
    _refuse(
        where,
        "intrinsics",
        (focal < MIN_FOCAL).any(axis=1),
        f"a focal length below {MIN_FOCAL:g}, which looks screen-normalised",
        "fx, fy, cx, cy in pixels",
        intrinsics,
    )
    side = size.max(axis=1)
    _refuse(
        where,
        "intrinsics",
        (focal > MAX_FOCAL_SIDES * side[:, None]).any(axis=1),
        f"a focal length above {MAX_FOCAL_SIDES:g} image sides",
        "fx, fy, cx, cy in pixels",
        intrinsics,
    )
    # Of a crop it may be far outside: up to 45 degrees off the optical axis.
    outside_by = np.maximum(-centre, centre - size)
    _refuse(
        where,
        "intrinsics",
        ((outside_by > size) & (outside_by > focal)).any(axis=1),
        "a principal point more than one image size and one focal length outside the image",
        "fx, fy, cx, cy in pixels, in this order",
        intrinsics,
    )
    # Read as cx, cy, fx, fy the numbers would suit the image, as they stand they do not.
    off_centre = np.abs(np.median(centre / size, axis=0) - 0.5)
    focal_as_centre = np.abs(np.median(focal / size, axis=0) - 0.5)
    if (off_centre > 0.2).all() and (focal_as_centre < 0.1).all():
        raise ValueError(
            f"{where}: intrinsics: got numbers that look like cx, cy, fx, fy "
            f"(first row: {_plain(intrinsics[0])}), expected fx, fy, cx, cy in pixels"
        )
    largest = max(abs(float(points.max())), abs(float(points.min())))
    if largest <= MAX_NORMALISED:
        raise ValueError(
            f"{where}: pose2d: got values up to {largest:.3g} in images of "
            f"{size[0, 0]:g} x {size[0, 1]:g} pixels, which look screen-normalised; expected pixels"
        )
    box = (points.max(axis=1) - points.min(axis=1)).sum(axis=1)
    typical = float(np.median(box / side))
    if typical < MIN_BOX_FRACTION:
        raise ValueError(
            f"{where}: pose2d: got people of a median width + height of {typical:.2%} of the "
            f"longer image side, expected at least {MIN_BOX_FRACTION:.0%}; are the joints of a row "
            "all one point?"
        )
    outside = np.zeros(points.shape[:2], dtype=bool)
    far = np.zeros(points.shape[:2], dtype=bool)
    for axis in range(2):
        value = points[..., axis]
        limit = size[:, axis, None].astype(points.dtype)
        outside |= (value < 0) | (value > limit)
        far |= (value < -limit) | (value > 2 * limit)
    _refuse(
        where,
        "pose2d",
        far.any(axis=1),
        "a joint more than one image size outside the image",
        "pixels x, y within or near the image",
        points[np.arange(len(points)), far.argmax(axis=1)],
    )
    fraction = float(outside.mean())
    if fraction > MAX_OUTSIDE_FRACTION:
        raise ValueError(
            f"{where}: pose2d: got {fraction:.0%} of the joints outside the image "
            f"({size[0, 0]:g} x {size[0, 1]:g} pixels in the first row), expected at most "
            f"{MAX_OUTSIDE_FRACTION:.0%}; is image_size width, height and pose2d x, y?"
        )


def _check_pose3d(arrays: Mapping[str, Array], where: str) -> None:
    """Unit, frame and agreement with the 2D of pose3d."""
    pose = _at_least_float32(arrays["pose3d"])
    if not pose[:, 0].any():
        raise ValueError(
            f"{where}: pose3d: got the root at the origin in every row, which looks "
            "root-relative; expected absolute positions in the camera frame"
        )
    thorax = H36M_17.names.index("Thorax")
    torso = float(np.median(np.linalg.norm(pose[:, thorax] - pose[:, 0], axis=-1)))
    depth = float(np.median(pose[:, 0, 2]))
    low, high = TORSO_RANGE
    if not low <= torso <= high or depth > MAX_ROOT_DEPTH:
        guess = next(
            (
                f", which looks like {unit}"
                for unit, factor in (("millimetres", 1e3), ("centimetres", 1e2))
                if low * factor <= torso <= high * factor
            ),
            "",
        )
        raise ValueError(
            f"{where}: pose3d: got a median distance from Hip to Thorax of {torso:.4g} and a "
            f"median root depth of {depth:.4g}{guess}; expected metres, {low} to {high} for the "
            f"torso and at most {MAX_ROOT_DEPTH:g} for the depth"
        )
    _refuse(
        where,
        "pose3d",
        (pose[..., 2] <= 0).any(axis=1),
        "a joint behind the camera (z <= 0)",
        "the camera frame: x right, y down, z forward, metres",
        pose[..., 2].min(axis=1, keepdims=True),
    )
    _check_projection(arrays, where)


def _check_projection(arrays: Mapping[str, Array], where: str) -> None:
    """The 2D must be the image of the 3D, camera by camera."""
    pose = np.asarray(arrays["pose3d"], dtype=np.float32)
    intrinsics = np.asarray(arrays["intrinsics"], dtype=np.float32)
    side = np.asarray(arrays["image_size"], dtype=np.float32).max(axis=1)
    squared = np.zeros(pose.shape[:2], dtype=np.float32)
    for axis in range(2):
        image = pose[..., axis] / pose[..., 2]
        image *= intrinsics[:, axis, None]
        image += intrinsics[:, 2 + axis, None]
        image -= arrays["pose2d"][..., axis]
        squared += image * image
    error = np.sqrt(np.median(squared, axis=1)) / side  # (N,) of the image side
    camera = np.asarray(arrays["camera"]) if "camera" in arrays else np.zeros(len(error))
    numbers = np.unique(camera)
    groups = (
        [(f" of camera {int(number)}", camera == number) for number in numbers]
        if 1 < len(numbers) <= MAX_CAMERAS_CHECKED
        else [("", np.ones(len(error), dtype=bool))]
    )
    for label, mask in groups:
        typical = float(np.median(error[mask]))
        if typical > MAX_REPROJECTION:
            raise ValueError(
                f"{where}: pose2d: got a median distance of {typical:.0%} of the image side from "
                f"the projection of pose3d{label}, expected at most {MAX_REPROJECTION:.0%}; "
                "are intrinsics fx, fy, cx, cy and is pose3d in the camera frame (x right, "
                "y down, z forward)?"
            )


def _refuse(
    where: str,
    key: str,
    bad: Array | np.bool_,
    found: str,
    expected: str,
    values: Array | None = None,
) -> None:
    """Raise if any row is bad, with the number of bad rows and the first of them."""
    bad = np.asarray(bad)
    if not bad.any():
        return
    first = int(bad.argmax())
    shown = "" if values is None else f": {_plain(values[first])}"
    raise ValueError(
        f"{where}: {key}: got {found} in {int(bad.sum())} of {len(bad)} rows "
        f"(first: row {first}{shown}), expected {expected}"
    )


def _plain(values: Array) -> str:
    return ", ".join(f"{float(value):g}" for value in np.atleast_1d(values))
