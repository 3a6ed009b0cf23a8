"""What must hold for a canonical file, checked piece by piece: a set of any size needs little
memory. `poseda.data.poseset` describes the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

REQUIRED = ("pose2d", "intrinsics", "image_size")
NUMBERS = ("pose2d", "intrinsics", "image_size", "pose3d", "fps", "confidence")
INTEGERS = ("camera", "clip", "frame", "split")
STRINGS = ("camera_class", "subject", "action")
COLUMNS = (*NUMBERS, *INTEGERS, *STRINGS)

#: shape of a row, where it has one
TAILS = {
    "pose2d": (H36M_17.num_joints, 2),
    "pose3d": (H36M_17.num_joints, 3),
    "intrinsics": (4,),
    "image_size": (2,),
    "confidence": (H36M_17.num_joints,),
}

CHUNK = 1 << 14  #: rows that are looked at together

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

_THORAX = H36M_17.names.index("Thorax")
_FAR = "a joint more than one image size outside the image"
_BEHIND = "a joint behind the camera (z <= 0)"


class Shaped(Protocol):
    """An array, or what knows the shape and type of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


def chunks(count: int) -> Iterator[slice]:
    """The rows 0 to `count` in pieces."""
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


def check_arrays(arrays: Mapping[str, Array], where: str, *, need_pose3d: bool = False) -> None:
    """Raise one ValueError that says what is wrong with the arrays of a canonical file.

    Args:
        arrays: as described in `poseda.data.poseset`.
        where: file or name for the message.
        need_pose3d: also ask for `pose3d`.
    """
    count = check_layout(arrays, where, need_pose3d=need_pose3d)
    if "about" in arrays:
        parse_about(arrays["about"], where)
    names = [name for name in COLUMNS if name in arrays]
    checks = Checks(where)
    for rows in chunks(count):
        checks.add({name: arrays[name][rows] for name in names})
    checks.finish()


def check_layout(arrays: Mapping[str, Shaped], where: str, *, need_pose3d: bool = False) -> int:
    """Presence, kind, shape and row counts of the arrays; returns the number of rows.

    Raises:
        ValueError: names `where`, the array, what was got and what was expected.
    """
    required = (*REQUIRED, "pose3d") if need_pose3d else REQUIRED
    missing = [key for key in required if key not in arrays]
    if missing:
        raise ValueError(
            f"{where}: {', '.join(missing)}: missing; found "
            f"{', '.join(sorted(arrays)) or 'no known array'}, expected {', '.join(required)}"
        )
    count: int | None = None
    for key in COLUMNS:
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
        tail = TAILS.get(key, ())
        rows = "N" if count is None else str(count)
        if len(array.shape) != 1 + len(tail) or array.shape[1:] != tail:
            raise ValueError(
                f"{where}: {key}: got shape {array.shape}, expected "
                f"({', '.join([rows, *map(str, tail)])}{'' if tail else ','})"
            )
        if count is None:
            count = array.shape[0]
        elif array.shape[0] != count:
            raise ValueError(
                f"{where}: {key}: got {array.shape[0]} rows, expected {count} as in pose2d"
            )
        if count == 0:
            raise ValueError(f"{where}: {key}: got no rows, expected at least one frame")
    assert count is not None
    return count


def parse_about(about: Array, where: str) -> dict[str, Any]:
    """What a file says of itself.

    Raises:
        ValueError: if it is no JSON object; names `where`.
    """
    array = np.asarray(about)
    try:
        parsed = json.loads(str(array)) if array.ndim == 0 and array.dtype.kind == "U" else None
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError(f"{where}: about: got {array!r:.80}, expected one JSON object as text")
    return parsed


@dataclass
class _Finding:
    """Rows that break one rule."""

    key: str
    found: str
    expected: str
    count: int = 0
    first: int = 0
    shown: str = ""


class Checks:
    """Looks at the rows of a canonical file as they come.

    `add` takes some of them, `finish` raises for all: the first broken rule, with the number of
    rows that break it and the first of them. What is kept of a row is some 25 bytes.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows = 0
        self._findings: dict[tuple[str, str], _Finding] = {}
        self._kept: dict[str, list[Array]] = {}
        self._cameras: list[int] = []
        self._first: dict[str, Array] = {}
        self._largest = 0.0  # |coordinate| of pose2d
        self._outside = 0  # joints outside the image
        self._rooted = False  # whether a root is anywhere but at the origin
        self._signs = np.zeros((4, 2), dtype=np.int64)  # see _count_signs

    def add(self, columns: Mapping[str, Array]) -> bool:
        """Looks at the next rows: n of each column, of the layout that `check_layout` asks for.

        Returns:
            Whether no row so far breaks a rule; if one does, `finish` will raise.
        """
        if self._rows == 0:
            self._first = {name: np.array(values[0]) for name, values in columns.items()}
        finite = self._check_values(columns)
        if finite:  # or else refused in any case
            with np.errstate(all="ignore"):
                self._check_image_plane(columns)
                if "pose3d" in columns:
                    self._check_pose3d(columns)
        self._rows += len(columns["pose2d"])
        return not any(finding.count for finding in self._findings.values())

    def finish(self) -> None:
        """Raises one ValueError if what was added breaks a rule."""
        self._refuse(but=(_FAR, _BEHIND))
        self._refuse_order()
        self._refuse_units()
        self._refuse(but=(_BEHIND,))
        self._refuse_outside()
        if "torso" in self._kept:
            self._refuse_body()
            self._refuse()
            self._refuse_projection()

    # ------------------------------------------------------------------------------ row by row

    def _check_values(self, columns: Mapping[str, Array]) -> bool:
        """Values that are none; returns whether all numbers are finite."""
        all_finite = True
        for key in NUMBERS:
            if key in columns:
                finite = np.isfinite(columns[key])
                if not finite.all():
                    rows = ~finite.reshape(len(finite), -1).all(axis=1)
                    self._flag(key, "NaN or infinity", rows, "finite numbers")
                    all_finite = False
        if "split" in columns:
            split = columns["split"].astype(np.int64)
            other = (split != 0) & (split != 1)
            self._flag("split", "another value", other, "0 (train) or 1 (test)", split)
        if "fps" in columns:
            negative = columns["fps"] < 0
            self._flag("fps", "a negative number", negative, "frames per second, or 0")
        if "confidence" in columns:
            confidence = columns["confidence"]
            outside = ((confidence < 0) | (confidence > 1)).any(axis=1)
            self._flag(
                "confidence", "a number outside [0, 1]", outside, "0 (not seen) to 1", confidence
            )
        for key in STRINGS:
            if key in columns:
                self._flag(key, "no text", ~_is_text(columns[key]), "characters that there are")
        return all_finite

    def _check_image_plane(self, columns: Mapping[str, Array]) -> None:
        """Units and ranges of image_size, intrinsics and pose2d."""
        size = np.asarray(columns["image_size"], dtype=np.float64)
        intrinsics = np.asarray(columns["intrinsics"], dtype=np.float64)
        points = _at_least_float32(columns["pose2d"])
        self._flag(
            "image_size",
            "a side that is not positive or is tiny",
            (size < MIN_IMAGE_SIDE).any(axis=1),
            f"width and height in pixels, at least {MIN_IMAGE_SIDE:g}",
            size,
        )
        focal, centre = intrinsics[:, :2], intrinsics[:, 2:]
        side = size.max(axis=1)
        # Of a crop it may be far outside: up to 45 degrees off the optical axis.
        outside_by = np.maximum(-centre, centre - size)
        for found, bad, expected in (
            (
                "a focal length that is not positive",
                focal <= 0,
                "fx, fy, cx, cy in pixels",
            ),
            (
                f"a focal length below {MIN_FOCAL:g}, which looks screen-normalised",
                focal < MIN_FOCAL,
                "fx, fy, cx, cy in pixels",
            ),
            (
                f"a focal length above {MAX_FOCAL_SIDES:g} image sides",
                focal > MAX_FOCAL_SIDES * side[:, None],
                "fx, fy, cx, cy in pixels",
            ),
            (
                "a principal point more than one image size and one focal length outside the image",
                (outside_by > size) & (outside_by > focal),
                "fx, fy, cx, cy in pixels, in this order",
            ),
        ):
            self._flag("intrinsics", found, bad.any(axis=1), expected, intrinsics)
        for row, sign in enumerate(
            (centre < 0.3 * size, centre > 0.7 * size, focal > 0.4 * size, focal < 0.6 * size)
        ):
            self._signs[row] += sign.sum(axis=0)

        box = np.zeros(len(points))
        outside = np.zeros((H36M_17.num_joints, len(points)), dtype=bool)
        far = outside.copy()
        for axis in range(2):
            value, limit = _by_joint(points[..., axis]), size[:, axis].astype(points.dtype)
            low, high = value.min(axis=0), value.max(axis=0)
            self._largest = max(self._largest, -float(low.min()), float(high.max()))
            box += high - low
            outside |= (value < 0) | (value > limit)
            far |= (value < -limit) | (value > 2 * limit)
        self._keep("box", box / side)
        self._outside += int(np.count_nonzero(outside))
        worst = points[np.arange(len(points)), far.argmax(axis=0)]
        self._flag("pose2d", _FAR, far.any(axis=0), "pixels x, y within or near the image", worst)

    def _check_pose3d(self, columns: Mapping[str, Array]) -> None:
        """Frame of pose3d; its unit and its agreement with the 2D are judged in the end."""
        pose = _at_least_float32(columns["pose3d"])
        self._rooted |= bool(pose[:, 0].any())
        self._keep("torso", np.linalg.norm(pose[:, _THORAX] - pose[:, 0], axis=-1))
        self._keep("depth", pose[:, 0, 2])
        depth = _by_joint(pose[..., 2])
        nearest = depth.min(axis=0)
        self._flag(
            "pose3d",
            _BEHIND,
            nearest <= 0,
            "the camera frame: x right, y down, z forward, metres",
            nearest,
        )
        intrinsics = np.asarray(columns["intrinsics"], dtype=np.float32)
        side = np.asarray(columns["image_size"], dtype=np.float32).max(axis=1)
        squared = np.zeros(depth.shape, dtype=np.float32)
        for axis in range(2):
            image = _by_joint(pose[..., axis]) / depth
            image *= intrinsics[:, axis]
            image += intrinsics[:, 2 + axis]
            image -= _by_joint(columns["pose2d"][..., axis])
            squared += image * image
        self._keep("error", np.sqrt(np.median(_by_joint(squared), axis=1)) / side)
        if "camera" in columns:
            self._keep_camera(columns["camera"])

    def _flag(
        self, key: str, found: str, rows: Any, expected: str, values: Array | None = None
    ) -> None:
        """Counts the rows that break a rule; `rows` (n,) says which do."""
        bad = np.asarray(rows)
        finding = self._findings.setdefault((key, found), _Finding(key, found, expected))
        count = int(np.count_nonzero(bad))
        if count and not finding.count:
            row = int(bad.argmax())
            finding.first = self._rows + row
            finding.shown = "" if values is None else f": {_plain(values[row])}"
        finding.count += count

    def _keep(self, name: str, values: Array) -> None:
        self._kept.setdefault(name, []).append(values.astype(np.float32))

    def _keep_camera(self, camera: Array) -> None:
        """A byte for each row: the place of its camera among `_cameras`, of which there is one more
        than are checked one by one."""
        numbers, places = np.unique(camera, return_inverse=True)
        for number in numbers.tolist():
            if number not in self._cameras and len(self._cameras) <= MAX_CAMERAS_CHECKED:
                self._cameras.append(number)
        codes = [self._cameras.index(n) if n in self._cameras else 0 for n in numbers.tolist()]
        self._kept.setdefault("camera", []).append(np.asarray(codes, dtype=np.uint8)[places])

    # ---------------------------------------------------------------------------- over the file

    def _all(self, name: str) -> Array:
        return np.concatenate(self._kept[name])

    def _refuse(self, but: tuple[str, ...] = ()) -> None:
        for finding in self._findings.values():
            if finding.count and finding.found not in but:
                raise ValueError(
                    f"{self._where}: {finding.key}: got {finding.found} in {finding.count} of "
                    f"{self._rows} rows (first: row {finding.first}{finding.shown}), "
                    f"expected {finding.expected}"
                )

    def _refuse_order(self) -> None:
        """Read as cx, cy, fx, fy the numbers would suit the image, as they stand they do not: for
        most rows, the principal point is off the middle, and the focal length is near it."""
        left, right, not_left, not_right = self._signs > self._rows / 2
        if (left | right).all() and (not_left & not_right).all():
            raise ValueError(
                f"{self._where}: intrinsics: got numbers that look like cx, cy, fx, fy "
                f"(first row: {_plain(self._first['intrinsics'])}), expected fx, fy, cx, cy in "
                "pixels"
            )

    def _refuse_units(self) -> None:
        if self._largest <= MAX_NORMALISED:
            raise ValueError(
                f"{self._where}: pose2d: got values up to {self._largest:.3g} in images of "
                f"{self._shown_size()} pixels, which look screen-normalised; expected pixels"
            )
        typical = float(np.median(self._all("box"), overwrite_input=True))
        if typical < MIN_BOX_FRACTION:
            raise ValueError(
                f"{self._where}: pose2d: got people of a median width + height of {typical:.2%} of "
                f"the longer image side, expected at least {MIN_BOX_FRACTION:.0%}; are the joints "
                "of a row all one point?"
            )

    def _refuse_outside(self) -> None:
        fraction = self._outside / (self._rows * H36M_17.num_joints)
        if fraction > MAX_OUTSIDE_FRACTION:
            raise ValueError(
                f"{self._where}: pose2d: got {fraction:.0%} of the joints outside the image "
                f"({self._shown_size()} pixels in the first row), expected at most "
                f"{MAX_OUTSIDE_FRACTION:.0%}; is image_size width, height and pose2d x, y?"
            )

    def _refuse_body(self) -> None:
        """Unit and origin of pose3d."""
        if not self._rooted:
            raise ValueError(
                f"{self._where}: pose3d: got the root at the origin in every row, which looks "
                "root-relative; expected absolute positions in the camera frame"
            )
        torso = float(np.median(self._all("torso"), overwrite_input=True))
        depth = float(np.median(self._all("depth"), overwrite_input=True))
        low, high = TORSO_RANGE
        if low <= torso <= high and depth <= MAX_ROOT_DEPTH:
            return
        guess = next(
            (
                f", which looks like {unit}"
                for unit, factor in (("millimetres", 1e3), ("centimetres", 1e2))
                if low * factor <= torso <= high * factor
            ),
            "",
        )
        raise ValueError(
            f"{self._where}: pose3d: got a median distance from Hip to Thorax of {torso:.4g} and "
            f"a median root depth of {depth:.4g}{guess}; expected metres, {low} to {high} for the "
            f"torso and at most {MAX_ROOT_DEPTH:g} for the depth"
        )

    def _refuse_projection(self) -> None:
        """The 2D must be the image of the 3D, camera by camera."""
        error = self._all("error")  # (N,) of the image side
        if not 1 < len(self._cameras) <= MAX_CAMERAS_CHECKED:
            self._refuse_distance(error, "")
            return
        camera = self._all("camera")
        for number in sorted(self._cameras):
            of_camera = camera == self._cameras.index(number)
            self._refuse_distance(error[of_camera], f" of camera {number}")

    def _refuse_distance(self, error: Array, label: str) -> None:
        typical = float(np.median(error, overwrite_input=True))
        if typical > MAX_REPROJECTION:
            raise ValueError(
                f"{self._where}: pose2d: got a median distance of {typical:.0%} of the image side "
                f"from the projection of pose3d{label}, expected at most {MAX_REPROJECTION:.0%}; "
                "are intrinsics fx, fy, cx, cy and is pose3d in the camera frame (x right, "
                "y down, z forward)?"
            )

    def _shown_size(self) -> str:
        return " x ".join(f"{side:g}" for side in self._first["image_size"])


def _at_least_float32(array: Array) -> Array:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _by_joint(values: Array) -> Array:
    """(n, J) to (J, n), which is quicker to go through joint by joint."""
    return np.ascontiguousarray(values.T)


def _is_text(values: Array) -> Array:
    """(n,) whether a string has but characters that there are: ASCII where it is bytes."""
    kind, last = ("u4", sys.maxunicode) if values.dtype.kind == "U" else ("u1", 127)
    if values.dtype.itemsize == 0:
        return np.ones(len(values), dtype=bool)
    order = values.dtype.str[0]
    codes = np.ascontiguousarray(values).view(kind if order == "|" else order + kind)
    return np.asarray((codes.reshape(len(values), -1) <= last).all(axis=1))


def _plain(values: Array) -> str:
    return ", ".join(f"{float(value):g}" for value in np.atleast_1d(values))
