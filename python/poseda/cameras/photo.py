"""The focal length that a photo's EXIF data tells."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

_FORMATS = ("JPEG",)  #: MPO, of phones with two lenses, opens as JPEG
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  #: EXIF's unit of focal plane resolution
_TURNED = (5, 6, 7, 8)  #: orientations that exchange width and height

FILM_DIAGONAL = math.hypot(36.0, 24.0)  #: millimetres
#: Makers round to a millimetre, and compare diagonals or widths: 4 % apart in 4:3 images.
FILM_UNCERTAINTY = 0.05
#: The focal length moves with the focus, and is rounded.
SENSOR_UNCERTAINTY = 0.03
#: Phones photograph in 4:3 and film in 16:9, the photo's width cut at top and bottom; steadying the
#: picture, or filming 4K, often costs some of the width too.
VIDEO_UNCERTAINTY = 0.15


@dataclass(frozen=True)
class PhotoFocal:
    """A focal length in pixels, where it is from, and its relative uncertainty."""

    focal: float
    origin: str
    relative_uncertainty: float


def film_focal(millimetres: float, image_size: tuple[int, int]) -> float:
    """A 35 mm equivalent focal length in pixels: the image's diagonal shows what the diagonal of
    36 mm x 24 mm film does."""
    return millimetres / FILM_DIAGONAL * math.hypot(*image_size)


def photo_focal(path: Path, image_size: tuple[int, int]) -> PhotoFocal:
    """The focal length in pixels of images of `image_size` by the camera that took a photo.

    From FocalLengthIn35mmFilm (`film_focal`); where that is missing, from FocalLength and
    FocalPlaneXResolution. Photo and images may differ in size. Images of a longer shape are taken
    for a video that shows the photo's longer side, at a larger uncertainty; other shapes are
    refused: who crops keeps the focal length and loses the way to tell it. The orientation tag is
    followed, and a camera held upright or across is the same camera.

    Args:
        path: a JPEG.
        image_size: width, height in pixels of the images with the keypoints.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no photo, says too little, or was cropped; says what is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected a photo with EXIF data")
    # Damaged bytes raise nearly anything. Only the header is read, no pixels.
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
            size = image.size
            tags = image.getexif()
            orientation = tags.get(ExifTags.Base.Orientation, 1)
            exif = dict(tags.get_ifd(ExifTags.IFD.Exif))
    except Exception as error:
        raise ValueError(
            f"{path}: got no readable photo ({error}), expected a JPEG as the camera wrote it"
        ) from error
    taken = _size_taken(path, exif, size)
    upright = (size[1], size[0]) if orientation in _TURNED else size
    if _shape(image_size) <= _shape(size):
        _same_shape(path, "the photo", upright, "the images", image_size)
    found = _focal(path, exif, taken, image_size)
    if _alike(size, image_size):
        return found
    origin = f"{found.origin}; the video is taken to show the photo's longer side"
    return PhotoFocal(found.focal, origin, VIDEO_UNCERTAINTY)


def _focal(
    path: Path, exif: dict[int, Any], taken: tuple[int, int], image_size: tuple[int, int]
) -> PhotoFocal:
    zoom = _positive(exif.get(ExifTags.Base.DigitalZoomRatio))
    if zoom is not None and not math.isclose(zoom, 1, rel_tol=1e-3):
        raise ValueError(
            f"{path}: DigitalZoomRatio is {zoom:g}, and whether the focal length includes it is "
            "not told; expected a photo without digital zoom, or say --camera fov= or 35mm="
        )
    film = _positive(exif.get(ExifTags.Base.FocalLengthIn35mmFilm))
    if film is not None:
        origin = f"EXIF of {path.name}: {film:g} mm in 35 mm film"
        pixels = film_focal(film, taken) * max(image_size) / max(taken)
        return PhotoFocal(pixels, origin, FILM_UNCERTAINTY)
    focal = _positive(exif.get(ExifTags.Base.FocalLength))
    if focal is None:
        raise ValueError(
            f"{path}: EXIF has neither FocalLengthIn35mmFilm nor FocalLength; say --camera fov= "
            "or 35mm= with the camera's data sheet"
        )
    resolutions = [
        _positive(exif.get(tag))
        for tag in (ExifTags.Base.FocalPlaneXResolution, ExifTags.Base.FocalPlaneYResolution)
    ]
    found = [resolution for resolution in resolutions if resolution is not None]
    # EXIF says inches where the unit is missing
    unit = _MILLIMETRES.get(exif.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
    if resolutions[0] is None or unit is None:
        raise ValueError(
            f"{path}: EXIF has FocalLength {focal:g} mm, but no FocalLengthIn35mmFilm and no "
            "FocalPlaneXResolution with a known unit: the sensor's size is missing; say --camera "
            "35mm= with the equivalent of the camera's data sheet"
        )
    if max(found) > 1.05 * min(found):
        raise ValueError(
            f"{path}: FocalPlaneXResolution and FocalPlaneYResolution are {found[0]:g} and "
            f"{found[1]:g}, expected square pixels"
        )
    pixels = focal * sum(found) / len(found) / unit * max(image_size) / max(taken)
    origin = f"EXIF of {path.name}: {focal:g} mm on a sensor of known resolution"
    return PhotoFocal(pixels, origin, SENSOR_UNCERTAINTY)


def _size_taken(path: Path, exif: dict[int, Any], size: tuple[int, int]) -> tuple[int, int]:
    """The size that the camera wrote; of the same shape as the file's own."""
    width = _positive(exif.get(ExifTags.Base.ExifImageWidth))
    height = _positive(exif.get(ExifTags.Base.ExifImageHeight))
    if width is None or height is None:
        return size
    taken = (round(width), round(height))
    _same_shape(path, "the file", size, "the photo as taken", taken)
    return taken


def _same_shape(
    path: Path, one: str, size: tuple[int, int], other: str, other_size: tuple[int, int]
) -> None:
    """Both may be upright or across, and of different resolution, but not cut."""
    if not _alike(size, other_size):
        raise ValueError(
            f"{path}: {one} has {size[0]}x{size[1]} pixels and {other} {other_size[0]}x"
            f"{other_size[1]}: of another shape, so one was cropped; expected the whole photo, or "
            "say --camera fov= or 35mm="
        )


def _shape(size: tuple[int, int]) -> float:
    return max(size) / min(size)


def _alike(size: tuple[int, int], other_size: tuple[int, int]) -> bool:
    # half a pixel of rounding in each side, and the 8 or 16 by which some cameras cut
    tolerance = 16 / max(min(size), min(other_size)) + 0.005
    return abs(_shape(size) / _shape(other_size) - 1) <= tolerance


def _positive(value: Any) -> float | None:
    """A positive finite number, or None: EXIF writes 0 for unknown, and 0/0."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
