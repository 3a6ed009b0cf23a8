"""From what a user knows of the camera to intrinsics, and lens distortion undone."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from poseda.cameras import (
    ESTIMATE,
    Camera,
    distort_points,
    parse_camera,
    parse_distortion,
    parse_image_size,
    sensitivity,
    undistort_points,
)
from poseda.lifter import Lifter
from poseda.networks.lifters import make_lifter
from poseda.networks.weights import NamedLifter
from poseda_ext import H36M_16, gpa, normalize_intrinsics, reference

FULL_HD = (1920, 1080)
Base = ExifTags.Base


def focal(spec: str | None, size: Any = FULL_HD, **options: Any) -> float:
    camera = parse_camera(spec, size, **options)
    assert camera.intrinsics[0] == camera.intrinsics[1]
    assert camera.intrinsics[2:] == (camera.image_size[0] / 2, camera.image_size[1] / 2)
    return camera.intrinsics[0]


# ---------------------------------------------------------------------------------- the text


def test_a_field_of_view_of_90_degrees_is_half_the_side() -> None:
    assert focal("fov=90") == pytest.approx(960, rel=1e-12)
    assert focal("fov=90h") == pytest.approx(960, rel=1e-12)
    assert focal("fov=90v") == pytest.approx(540, rel=1e-12)
    assert focal("fov=90d") == pytest.approx(math.hypot(960, 540), rel=1e-12)
    assert focal("fov=90", "1080x1920") == pytest.approx(540, rel=1e-12)  # the width, as it is


@pytest.mark.parametrize("degrees", [30.0, 47.2, 60.0, 90.0, 120.0])
def test_the_field_of_view_comes_back(degrees: float) -> None:
    assert parse_camera(f" fov={degrees} ", FULL_HD).fov == pytest.approx(degrees, rel=1e-12)


def test_pixels_are_taken_as_they_are() -> None:
    assert focal("f=1500") == 1500
    camera = parse_camera("1145.0494, 1143.7811,512.5415,515.4515", (1000, 1002))
    assert camera == Camera((1145.0494, 1143.7811, 512.5415, 515.4515), (1000, 1002))
    assert camera.relative_uncertainty is None


def test_a_35_mm_equivalent_goes_by_the_diagonal() -> None:
    assert focal("35mm=26", (3600, 2400)) == pytest.approx(2600, rel=1e-12)
    assert focal("35mm=26", (2400, 3600)) == pytest.approx(2600, rel=1e-12)
    assert parse_camera("35mm=26", FULL_HD).relative_uncertainty == 0.05


def test_without_a_word_60_degrees_are_assumed_and_said() -> None:
    camera = parse_camera(None, FULL_HD)
    assert camera.fov == pytest.approx(60, rel=1e-12)
    assert focal(None, "1080x1920") == camera.intrinsics[0]  # the same camera, held upright
    assert camera.relative_uncertainty == 0.35
    first, second, third = camera.lines()
    assert "focal length 1663 px" in first and "assumed: 60 degrees" in first
    assert "35%: 1081 to 2245 px" in second
    assert third == sensitivity()


def test_the_assumption_covers_the_data_sets_and_a_phone() -> None:
    camera = parse_camera(None, (2000, 2000))
    for known in (2.29, 1.465, 1.754, 2 * 1962 / 1920, 2 * 26 / 34.6):
        assert abs(known * 1000 / camera.intrinsics[0] - 1) < 0.35


def test_lines_of_a_given_camera_claim_no_uncertainty() -> None:
    lines = parse_camera("1500,1400,960,540", FULL_HD, distortion="-0.2,0.1,0.001,0").lines()
    assert len(lines) == 2
    assert "1500, 1400 px" in lines[0] and "(given)" in lines[0]
    assert "k1 -0.2, k2 0.1, p1 0.001, p2 0, k3 0" in lines[1]


def test_the_unit_is_what_normalize_intrinsics_takes() -> None:
    intrinsics = torch.tensor(parse_camera("fov=90", FULL_HD).intrinsics)
    normalised = normalize_intrinsics(intrinsics, torch.tensor(FULL_HD))
    torch.testing.assert_close(normalised, torch.tensor((1.0, 1.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "expected fov=60"),
        ("wide", "got 'wide', expected fov=60"),
        ("fov", "expected fov=60"),
        ("fov=", "expected a positive number"),
        ("fov=60x", "expected a positive number"),
        ("fov=nan", "expected a positive number"),
        ("fov=-60", "expected a positive number"),
        ("fov=180", "1 to 180 degrees"),
        ("fov=0.5", "1 to 180 degrees"),
        ("fov=175", "expected focal lengths of 192 to"),
        ("f=1.15", "is the focal length normalised"),
        ("1.15,1.15,0,0", "is the focal length normalised"),
        ("f=100", "expected focal lengths of 192 to 96000 pixels"),
        ("f=1e6", "expected focal lengths of 192 to 96000 pixels"),
        ("35mm=0", "expected a positive number"),
        ("1500,960,540", "expected four numbers fx,fy,cx,cy"),
        ("1500,1500,960,a", "expected four numbers fx,fy,cx,cy"),
        ("1500,1500,960,inf", "expected finite numbers"),
        ("960,540,1500,1500", "expected the centre within the image"),
        ("exif", "exif without a photo"),
        ("exif:", "exif without a photo"),
        (ESTIMATE, "needs keypoints and a lifter"),
    ],
)
def test_a_text_that_is_no_camera_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_camera(spec, FULL_HD)


def test_image_sizes() -> None:
    assert parse_image_size("1920x1080") == parse_image_size("1920X1080") == FULL_HD
    assert parse_image_size([1920.0, 1080.0]) == FULL_HD


@pytest.mark.parametrize(
    "wrong",
    ["1920", "1920x", "1920x1080x3", "ax2", "0x10", "-640x480", "infx5", (1920, 1080.5), (5, 5), 5],
)
def test_image_sizes_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"image_size: got .*expected width x height"):
        parse_image_size(wrong)


# ---------------------------------------------------------------------------------- sensitivity


def test_what_an_error_of_the_focal_length_does_is_said() -> None:
    assert (
        "10 % further away" in sensitivity() and "root-relative poses as they are" in sensitivity()
    )
    assert "0.39 m at the median of 3.90 m" in sensitivity(np.array([3.0, 3.9, 9.0]))


def test_and_it_does_so() -> None:
    pose = torch.randn(7, 16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = torch.rand(7, 16, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    camera = torch.tensor((1.5, 1.5, 0.0, 0.0), dtype=torch.float64)
    wrong = camera * torch.tensor((1.1, 1.1, 1.0, 1.0), dtype=torch.float64)
    right = gpa(pose, points, camera)
    torch.testing.assert_close(gpa(pose, points, wrong), right * torch.tensor((1, 1, 1.1)).double())


def test_root_relative_poses_depend_on_no_camera() -> None:
    lifter = Lifter(
        NamedLifter(make_lifter("videopose3d", H36M_16, 32), "videopose3d", 32, H36M_16)
    )
    points = np.random.default_rng(0).uniform(300, 700, (5, 16, 2))
    near, far = (
        lifter(points, camera, image_size=(1000, 1000), global_position=True)
        for camera in ("f=1000", "f=1100")
    )
    np.testing.assert_array_equal(near.pose3d, far.pose3d)
    assert near.root is not None and far.root is not None
    np.testing.assert_allclose(far.root, near.root * (1, 1, 1.1), rtol=1e-5, atol=1e-6)
    assert sensitivity(near.root[:, 2]) in near.summary()


# ---------------------------------------------------------------------------------- the lens

#: k1, k2, p1, p2, k3: none, barrel, barrel with all terms, pincushion, only tangential
LENSES = (
    (0.0, 0.0, 0.0, 0.0, 0.0),
    (-0.2769, 0.1311, -0.00036, -0.00115, -0.0493),
    (-0.2071, 0.2478, -0.0014, -0.00098, -0.0031),
    (0.15, 0.05, 0.002, -0.001, 0.01),
    (0.0, 0.0, 0.004, -0.003, 0.0),
)


def with_lens(distortion: Any, spec: str = "1145,1143,512,515") -> Camera:
    return parse_camera(spec, (1000, 1002), distortion=distortion)


def test_distortion_is_opencvs_formula() -> None:
    k1, k2, p1, p2, k3 = lens = (-0.2, 0.1, 0.003, -0.002, 0.01)
    x, y = 0.3, -0.4
    r2 = 0.25
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    expected = (
        1000 * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + 500,
        1100 * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + 480,
    )
    camera = Camera((1000, 1100, 500, 480), (1000, 1000), lens)
    seen = distort_points(np.array([1000 * x + 500, 1100 * y + 480]), camera)
    np.testing.assert_allclose(seen, expected, rtol=1e-13)


def test_without_tangential_terms_it_is_human36ms_formula() -> None:
    points = np.random.default_rng(0).uniform((-1, -1, 3), (1, 1, 6), (50, 3))
    intrinsics = (1145.0, 1143.0, 512.0, 515.0)
    theirs = reference.project(
        torch.from_numpy(points),
        torch.tensor(intrinsics, dtype=torch.float64),
        torch.tensor((-0.2, 0.25, 0.01, 0.0, 0.0), dtype=torch.float64),
    )
    pinhole = points[:, :2] / points[:, 2:] * intrinsics[:2] + intrinsics[2:]
    ours = distort_points(pinhole, Camera(intrinsics, (1000, 1002), (-0.2, 0.25, 0.0, 0.0, 0.01)))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-13)


@pytest.mark.parametrize("lens", LENSES)
def test_undistorting_inverts_the_lens(lens: tuple[float, ...]) -> None:
    camera = with_lens(lens)
    seen = np.random.default_rng(1).uniform(0, 1000, (400, 17, 2))
    points, valid = undistort_points(seen, camera)
    assert valid.all()
    np.testing.assert_allclose(distort_points(points, camera), seen, atol=1e-6, rtol=0)
    again, valid = undistort_points(distort_points(points, camera), camera)
    assert valid.all()
    np.testing.assert_allclose(again, points, atol=1e-6, rtol=0)


def test_what_the_lens_cannot_have_seen_is_not_valid_and_stays() -> None:
    # r (1 - 0.4 r^2) grows up to r = 0.9129, where it is 0.6086: 608.6 pixels from the centre
    camera = Camera((1000, 1000, 500, 500), (1000, 1000), (-0.4, 0.0, 0.0, 0.0, 0.0))
    seen = np.array([(500 + 600.0, 500.0), (500 + 617.0, 500.0), (1000.0, 1000.0), (500.0, 500.0)])
    points, valid = undistort_points(seen, camera)
    assert valid.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(points[~valid], seen[~valid])
    assert 1100 < points[0, 0] < 500 + 912.9
    np.testing.assert_allclose(distort_points(points[0], camera), seen[0], atol=1e-6)
    np.testing.assert_array_equal(points[3], seen[3])


def test_points_that_are_not_finite_are_not_valid_and_spoil_no_others() -> None:
    camera = with_lens(LENSES[1])
    seen = np.array([(100.0, 200.0), (np.nan, 1.0), (1.0, np.inf)])
    points, valid = undistort_points(seen, camera)
    assert valid.tolist() == [True, False, False]
    np.testing.assert_array_equal(points[1:], seen[1:])
    alone, _ = undistort_points(seen[:1], camera)
    np.testing.assert_array_equal(points[:1], alone)


def test_without_distortion_points_stay() -> None:
    seen = np.array([(100.0, 200.0), (np.nan, 1.0)])
    points, valid = undistort_points(seen, parse_camera(None, FULL_HD))
    np.testing.assert_array_equal(points, seen)
    assert valid.tolist() == [True, False]


def test_no_points() -> None:
    points, valid = undistort_points(np.zeros((0, 17, 2)), with_lens(LENSES[1]))
    assert points.shape == (0, 17, 2) and valid.shape == (0, 17)


def test_a_lens_that_folds_within_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"distortion: got .* folds back before the edge"):
        with_lens("-3,0,0,0")


def test_distortion_texts() -> None:
    assert parse_distortion("-0.2, 0.1, 0.001, 2e-4") == (-0.2, 0.1, 0.001, 2e-4, 0.0)
    assert parse_distortion([1, 2, 3, 4, 5]) == (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "wrong", ["", "0.1", "1,2,3", "1,2,3,x", "1,2,3,nan", "1,2,3,4,5,6,7,8", (1, 2, None, 3)]
)
def test_distortion_texts_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected k1,k2,p1,p2 or k1,k2,p1,p2,k3 in OpenCV's"):
        parse_distortion(wrong)


def test_distortion_without_a_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="coefficients without a camera"):
        parse_camera(None, FULL_HD, distortion="-0.2,0.1,0,0")


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"points: got shape \(4, 3\), expected \(\.\.\., 2\)"):
        undistort_points(np.zeros((4, 3)), with_lens(LENSES[1]))


# ---------------------------------------------------------------------------------- photos


def save_photo(
    path: Path, size: tuple[int, int], tags: dict[int, Any], orientation: int | None = None
) -> Path:
    image = Image.new("RGB", size)
    exif = image.getexif()
    if orientation is not None:
        exif[Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif).update(tags)
    image.save(path, exif=exif)
    return path


def taken(width: int, height: int) -> dict[int, Any]:
    return {Base.ExifImageWidth: width, Base.ExifImageHeight: height}


PHONE: dict[int, Any] = {Base.FocalLengthIn35mmFilm: 26, Base.FocalLength: 4.25}
#: 4,000 pixels on 20 mm in inches: 5,080 per inch
SENSOR: dict[int, Any] = {
    Base.FocalLength: 18.0,
    Base.FocalPlaneXResolution: 5080.0,
    Base.FocalPlaneYResolution: 5080.0,
    Base.FocalPlaneResolutionUnit: 2,
}


def test_a_photo_tells_its_35_mm_equivalent(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.jpg", (360, 240), PHONE)
    camera = parse_camera(f"exif:{photo}", (3600, 2400))
    assert camera.intrinsics == pytest.approx((2600, 2600, 1800, 1200), rel=1e-12)
    assert camera.relative_uncertainty == 0.05
    assert f"EXIF of {photo.name}: 26 mm in 35 mm film" in camera.lines()[0]
    assert parse_camera("exif", (3600, 2400), photo=photo) == camera


def test_a_video_shows_the_width_of_a_photo_of_shorter_shape(tmp_path: Path) -> None:
    """4:3 photos and 16:9 videos, as phones have them, upright and across."""
    for tags in (PHONE, SENSOR):
        photo = save_photo(tmp_path / "a.jpg", (4000, 3000), tags)
        whole = parse_camera(f"exif:{photo}", (4000, 3000))
        for size in (FULL_HD, FULL_HD[::-1]):
            camera = parse_camera(f"exif:{photo}", (size[0], size[1]))
            assert camera.intrinsics[0] == pytest.approx(whole.intrinsics[0] * 1920 / 4000)
            assert camera.relative_uncertainty == 0.15
            assert "the video is taken to show the photo's longer side" in camera.origin


def test_a_photo_tells_its_focal_length_and_sensor(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.jpg", (400, 300), {**SENSOR, **taken(4000, 3000)})
    assert focal(f"exif:{photo}", (4000, 3000)) == pytest.approx(3600, rel=1e-9)
    assert focal(f"exif:{photo}", (1000, 750)) == pytest.approx(900, rel=1e-9)  # made smaller
    centimetres: dict[int, Any] = {Base.FocalPlaneResolutionUnit: 3}
    photo = save_photo(tmp_path / "b.jpg", (4000, 3000), {**SENSOR, **centimetres})
    assert focal(f"exif:{photo}", (4000, 3000)) == pytest.approx(3600 * 2.54, rel=1e-9)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000)])
def test_how_the_camera_was_held_does_not_matter(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    tags = {**SENSOR, **taken(4000, 3000)}
    photo = save_photo(tmp_path / "a.jpg", (400, 300), tags, orientation)
    assert focal(f"exif:{photo}", size) == pytest.approx(3600, rel=1e-9)


def test_zero_means_unknown(tmp_path: Path) -> None:
    tags = {**SENSOR, Base.FocalLengthIn35mmFilm: 0, Base.DigitalZoomRatio: 0.0}
    photo = save_photo(tmp_path / "a.jpg", (4000, 3000), tags)
    assert focal(f"exif:{photo}", (4000, 3000)) == pytest.approx(3600, rel=1e-9)


@pytest.mark.parametrize(
    ("size", "tags", "image_size", "message"),
    [
        ((360, 240), {}, (360, 240), "neither FocalLengthIn35mmFilm nor FocalLength"),
        ((360, 240), {Base.FocalLength: 4.25}, (360, 240), "the sensor's size is missing"),
        (
            (360, 240),
            {**SENSOR, Base.FocalPlaneResolutionUnit: 1},
            (360, 240),
            "the sensor's size is missing",
        ),
        (
            (360, 240),
            {**SENSOR, Base.FocalPlaneYResolution: 2540.0},
            (360, 240),
            "expected square pixels",
        ),
        ((192, 108), PHONE, (400, 300), "the photo has 192x108 pixels and the images 400x300"),
        ((300, 300), {**PHONE, **taken(4000, 3000)}, (300, 300), "the photo as taken 4000x3000"),
        (
            (360, 240),
            {**PHONE, Base.DigitalZoomRatio: 2.0},
            (360, 240),
            "DigitalZoomRatio is 2",
        ),
        ((360, 240), {Base.FocalLengthIn35mmFilm: 1}, (360, 240), "expected focal lengths of"),
    ],
)
def test_a_photo_that_does_not_tell_is_refused(
    tmp_path: Path,
    size: tuple[int, int],
    tags: dict[int, Any],
    image_size: tuple[int, int],
    message: str,
) -> None:
    photo = save_photo(tmp_path / "a.jpg", size, tags)
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_camera(f"exif:{photo}", image_size)


def test_no_photo(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file, expected a photo"):
        parse_camera(f"exif:{tmp_path / 'a.jpg'}", FULL_HD)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a photo",
        b"\xff\xd8\xff\xe1\x00\x10Exif\x00\x00",
        b"GIF89a" + struct.pack("<HHBBB", 60, 40, 0, 0, 0) + b";",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
    ],
)
def test_a_file_that_is_no_photo_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="got no readable photo"):
        parse_camera(f"exif:{path}", FULL_HD)


def test_damaged_photos_end_in_an_answer_or_a_value_error(tmp_path: Path) -> None:
    path = save_photo(tmp_path / "a.jpg", (360, 240), {**PHONE, **SENSOR})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole[: int(rng.integers(40, len(whole)))])
        for place in rng.integers(2, min(300, len(damaged)), 3):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            assert parse_camera(f"exif:{path}", (360, 240)).intrinsics[0] > 0
        except ValueError as error:
            assert str(path) in str(error) or "intrinsics" in str(error)
