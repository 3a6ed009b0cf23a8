"""What a user knows of the camera, as text, to intrinsics in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.cameras.lens import Distortion, Intrinsics, distort_plane, undistort_plane
from poseda.cameras.photo import FILM_UNCERTAINTY, film_focal, photo_focal
from poseda.data.poseset import MAX_FOCAL_SIDES, MIN_FOCAL, MIN_IMAGE_SIDE

Array = NDArray[Any]

ESTIMATE = "estimate"  #: the text that asks for `estimate_camera`

ASSUMED_FOV = 60.0  #: degrees across the longer image side, where nothing is known
#: A phone's main camera, a webcam and the cameras of Human3.6M, MPI-INF-3DHP and 3DPW have focal
#: lengths from 18 % below to 32 % above that of `ASSUMED_FOV`.
ASSUMED_UNCERTAINTY = 0.35
MIN_FOCAL_SIDES = 0.1  #: longer image sides; a field of view of 157 degrees

FORMS = (
    "fov=60 (degrees across the width; 60v across the height, 60d across the diagonal), "
    "f=1500 (pixels), 1500,1500,960,540 (fx,fy,cx,cy in pixels), 35mm=26 (35 mm equivalent), "
    "exif:PHOTO.jpg, or estimate"
)


@dataclass(frozen=True)
class Camera:
    """One camera, in pixels.

    Attributes:
        intrinsics: fx, fy, cx, cy in pixels.
        image_size: width, height in pixels.
        distortion: k1, k2, p1, p2, k3 in OpenCV's order (`poseda.cameras.lens`), or None.
        origin: where the focal length is from, for the user.
        relative_uncertainty: of the focal length: nine times in ten the truth is expected within
            this share of it, either way. None where the user gave the camera.

    Raises:
        ValueError: if an intrinsic is no pixel number of a camera with such an image, or the
            distortion folds back within the image.
    """

    intrinsics: Intrinsics
    image_size: tuple[int, int]
    distortion: Distortion | None = None
    origin: str = "given"
    relative_uncertainty: float | None = None

    def __post_init__(self) -> None:
        _check_intrinsics(self.intrinsics, self.image_size)
        if self.distortion is not None:
            _check_distortion(self)

    @property
    def fov(self) -> float:
        """Field of view across the width, degrees."""
        return math.degrees(2 * math.atan(self.image_size[0] / (2 * self.intrinsics[0])))

    def lines(self) -> list[str]:
        """For the user: the camera, where it is from, and how far it can be trusted."""
        fx, fy, cx, cy = self.intrinsics
        focal = f"{fx:.0f}" if math.isclose(fx, fy, rel_tol=1e-3) else f"{fx:.0f}, {fy:.0f}"
        width, height = self.image_size
        shown = [
            f"camera: focal length {focal} px, {self.fov:.1f} degrees across the width of "
            f"{width}x{height}, centre {cx:.0f}, {cy:.0f} ({self.origin})"
        ]
        if self.relative_uncertainty is not None:
            low, high = 1 - self.relative_uncertainty, 1 + self.relative_uncertainty
            shown.append(
                f"its focal length is uncertain by about {self.relative_uncertainty:.0%}: "
                f"{low * fx:.0f} to {high * fx:.0f} px"
            )
            shown.append(sensitivity())
        if self.distortion is not None:
            names = ("k1", "k2", "p1", "p2", "k3")
            values = ", ".join(
                f"{name} {value:g}" for name, value in zip(names, self.distortion, strict=True)
            )
            shown.append(f"its lens distortion is undone: {values}")
        return shown


def sensitivity(depth: Array | None = None) -> str:
    """What an error of the focal length does to the results, for the user.

    Global position alignment puts the root at a depth in proportion to the focal length, and to the
    same place sideways. A lifter sees points in units of the image, no camera.

    Args:
        depth: (N,) depths of the people in metres, if known.
    """
    if depth is not None:
        middle = float(np.median(depth))
        return (
            f"10 % more focal length would put people 10 % further away: {0.1 * middle:.2f} m at "
            f"the median of {middle:.2f} m"
        )
    return (
        "10 % more focal length puts people 10 % further away, those that adapt augments too, and "
        "leaves root-relative poses as they are"
    )


def parse_camera(
    spec: str | None,
    image_size: str | Sequence[float],
    *,
    distortion: str | Sequence[float] | None = None,
    photo: str | Path | None = None,
) -> Camera:
    """The camera that a text describes.

    ===================== ======================================================================
    ``fov=60``            degrees across the image's width, as it is; ``60v`` across the height,
                          ``60d`` across the diagonal
    ``f=1500``            focal length in pixels
    ``1500,1500,960,540`` fx, fy, cx, cy in pixels
    ``35mm=26``           the 35 mm equivalent focal length, by the diagonal (43.3 mm)
    ``exif:PHOTO.jpg``    from the EXIF of a photo by the same camera at the same zoom
    ``exif``              the same, from `photo`
    None                  an assumption: 60 degrees across the longer side, 35 % uncertain
    ===================== ======================================================================

    Pixels are square and the centre is the image's, unless fx, fy, cx, cy say otherwise.
    ``estimate`` is not for this function but for `poseda.cameras.estimate.estimate_camera`.

    Args:
        spec: as above.
        image_size: width, height in pixels, or a text such as ``1920x1080``.
        distortion: k1, k2, p1, p2[, k3] in OpenCV's order, or a text with commas.
        photo: the image that ``exif`` alone reads.

    Raises:
        FileNotFoundError: if there is no such photo.
        ValueError: if the text is none of these, a number is impossible, the photo does not say
            enough, or distortion comes without a focal length that it belongs to.
    """
    size = parse_image_size(image_size)
    lens = None if distortion is None else parse_distortion(distortion)
    if lens is not None and spec is None:
        raise ValueError(
            "distortion: got coefficients without a camera, expected a focal length too: they "
            "belong to one; say --camera fx,fy,cx,cy"
        )
    if spec is None:
        focal = _focal_of_view(ASSUMED_FOV, max(size))
        origin = f"assumed: {ASSUMED_FOV:g} degrees across the longer side; say --camera to change"
        return _centred(focal, size, None, origin, ASSUMED_UNCERTAINTY)
    spec = spec.strip()
    name, equals, value = spec.partition("=")
    if spec == ESTIMATE:
        raise ValueError(
            "camera: got estimate, which needs keypoints and a lifter (estimate_camera); "
            f"expected {FORMS}"
        )
    if name == "fov" and equals:
        return _centred(_parse_fov(spec, value, size), size, lens, f"given: {spec}")
    if name == "f" and equals:
        return _centred(_number(spec, value), size, lens, f"given: {spec}")
    if name == "35mm" and equals:
        focal = film_focal(_number(spec, value), size)
        return _centred(focal, size, lens, f"given: {spec}", FILM_UNCERTAINTY)
    if spec == "exif" or spec.startswith("exif:"):
        path = spec[5:] or photo
        if path is None:
            raise ValueError("camera: got exif without a photo, expected exif:PHOTO.jpg")
        found = photo_focal(Path(path), size)
        return _centred(found.focal, size, lens, found.origin, found.relative_uncertainty)
    if "," in spec:
        return Camera(_parse_intrinsics(spec), size, lens)
    raise ValueError(f"camera: got {spec!r}, expected {FORMS}")


def parse_image_size(size: str | Sequence[float]) -> tuple[int, int]:
    """``1920x1080``, or two numbers, to (width, height).

    Raises:
        ValueError: if it is not two whole numbers of pixels.
    """
    numbers = _numbers(size.lower().split("x") if isinstance(size, str) else size)
    whole = len(numbers) == 2 and all(n.is_integer() for n in numbers)
    if not whole or min(numbers) < MIN_IMAGE_SIDE:
        raise ValueError(
            f"image_size: got {size!r}, expected width x height in whole pixels, at least "
            f"{MIN_IMAGE_SIDE:g} each, such as 1920x1080"
        )
    return int(numbers[0]), int(numbers[1])


def parse_distortion(distortion: str | Sequence[float]) -> Distortion:
    """``k1,k2,p1,p2`` or ``k1,k2,p1,p2,k3``, OpenCV's order, to five numbers.

    Raises:
        ValueError: if it is not four or five finite numbers.
    """
    numbers = _numbers(distortion.split(",") if isinstance(distortion, str) else distortion)
    if len(numbers) not in (4, 5) or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"distortion: got {distortion!r}, expected k1,k2,p1,p2 or k1,k2,p1,p2,k3 in OpenCV's "
            "order (its models with more coefficients, and fisheye, are not supported)"
        )
    k1, k2, p1, p2, k3 = (*numbers, 0.0)[:5]
    return k1, k2, p1, p2, k3


def _numbers(parts: Any) -> list[float]:
    """Numbers of texts or numbers; none where one of them is no number."""
    try:
        return [float(part) for part in parts]
    except (TypeError, ValueError):
        return []


def distort_points(points: Array, camera: Camera) -> Array:
    """The lens itself: (..., 2) pixels of a camera without distortion to pixels that are seen."""
    return _through_lens(points, camera, forward=True)[0]


def undistort_points(points: Array, camera: Camera) -> tuple[Array, Array]:
    """Pixels that were seen to those of the same camera without lens distortion.

    Args:
        points: (..., 2) pixels. NaN and infinity are passed on, as not valid.
        camera: with its distortion; without one, points come back as they are.

    Returns:
        (..., 2) pixels, and (...) whether the lens can have seen each point there; one that it
        cannot is returned as it came (`poseda.cameras.lens` has the rule). To 1e-6 pixels,
        `distort_points` of a valid point is the point that came in.

    Raises:
        ValueError: if the last dimension is not 2.
    """
    return _through_lens(points, camera, forward=False)


def _through_lens(points: Array, camera: Camera, *, forward: bool) -> tuple[Array, Array]:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f"points: got shape {points.shape}, expected (..., 2)")
    if camera.distortion is None:
        return points, np.asarray(np.isfinite(points).all(-1))
    focal, centre = np.asarray(camera.intrinsics[:2]), np.asarray(camera.intrinsics[2:])
    plane = (points - centre) / focal
    if forward:
        return distort_plane(plane, camera.distortion) * focal + centre, np.ones(())
    undone, valid = undistort_plane(plane, camera.distortion)
    return np.where(valid[..., None], undone * focal + centre, points), valid


def _centred(
    focal: float,
    size: tuple[int, int],
    distortion: Distortion | None,
    origin: str,
    uncertainty: float | None = None,
) -> Camera:
    return Camera((focal, focal, size[0] / 2, size[1] / 2), size, distortion, origin, uncertainty)


def _focal_of_view(degrees: float, side: float) -> float:
    return side / (2 * math.tan(math.radians(degrees) / 2))


def _parse_fov(spec: str, value: str, size: tuple[int, int]) -> float:
    sides = {"h": size[0], "v": size[1], "d": math.hypot(*size)}
    side = sides.get(value[-1:])
    degrees = _number(spec, value if side is None else value[:-1])
    if not 1 <= degrees < 180:
        raise ValueError(f"camera: got {spec!r}, expected a field of view of 1 to 180 degrees")
    return _focal_of_view(degrees, size[0] if side is None else side)


def _number(spec: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"camera: got {spec!r}, expected a positive number; known are {FORMS}")
    return number


def _parse_intrinsics(spec: str) -> Intrinsics:
    try:
        fx, fy, cx, cy = (float(part) for part in spec.split(","))
    except ValueError:
        raise ValueError(
            f"camera: got {spec!r}, expected four numbers fx,fy,cx,cy in pixels"
        ) from None
    return fx, fy, cx, cy


def _check_intrinsics(intrinsics: Intrinsics, size: tuple[int, int]) -> None:
    fx, fy, cx, cy = intrinsics
    side = max(size)
    shown = f"intrinsics: got fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g} in {size[0]}x{size[1]}"
    if not all(map(math.isfinite, intrinsics)):
        raise ValueError(f"{shown}, expected finite numbers")
    if min(fx, fy) < MIN_FOCAL:
        raise ValueError(f"{shown}, expected pixels; is the focal length normalised, or in mm?")
    if min(fx, fy) < MIN_FOCAL_SIDES * side or max(fx, fy) > MAX_FOCAL_SIDES * side:
        raise ValueError(
            f"{shown}, expected focal lengths of {MIN_FOCAL_SIDES * side:.0f} to "
            f"{MAX_FOCAL_SIDES * side:.0f} pixels"
        )
    if not (0 <= cx <= size[0] and 0 <= cy <= size[1]):
        raise ValueError(f"{shown}, expected the centre within the image; is the order right?")


def _check_distortion(camera: Camera) -> None:
    """The middle of each edge must be within what the lens can show."""
    width, height = camera.image_size
    edges = ((0, height / 2), (width, height / 2), (width / 2, 0), (width / 2, height))
    valid = undistort_points(np.asarray(edges, dtype=np.float64), camera)[1]
    if not valid.all():
        raise ValueError(
            f"distortion: got {camera.distortion}, whose image folds back before the edge of the "
            "image, expected k1,k2,p1,p2[,k3] in OpenCV's order that belong to this camera"
        )
