"""Human3.6M's four cameras: their lenses, and where they stood for each subject.

The numbers are the data set's calibration (vision.imar.ro/human3.6m) as VideoPose3D publishes it
(github.com/facebookresearch/VideoPose3D, ``common/h36m_dataset.py``); the ``.npz`` files do not
hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.cameras.lens import LensModel

Array = NDArray[Any]

_NEWTON_STEPS = 20  #: three or four do within the image
_TOLERANCE = 1e-8  #: of the image plane; 1e-5 pixels


@dataclass(frozen=True)
class Lens:
    """One camera without its place.

    Attributes:
        name: its number in the data set.
        intrinsics: fx, fy, cx, cy in pixels.
        image_size: width, height in pixels.
        distortion: k1, k2, k3 radial and p1, p2 tangential, for `poseda_ext.reference.project`.
    """

    name: str
    intrinsics: tuple[float, float, float, float]
    image_size: tuple[int, int]
    distortion: tuple[float, float, float, float, float]

    def undistort(self, pixels: Array) -> Array:
        """Pixels as this lens shows them to those of a pinhole camera, by Newton's method.

        Args:
            pixels: (..., 2).

        Returns:
            (..., 2) pixels; seen through the lens they are `pixels` again, to 1e-5.

        Raises:
            ValueError: if the lens shows nothing there.
        """
        focal, centre = np.asarray(self.intrinsics[:2]), np.asarray(self.intrinsics[2:])
        seen = (np.asarray(pixels, dtype=np.float64) - centre) / focal
        model = LensModel(self.distortion[:3], self.distortion[3:], 1.0)
        plane = seen
        for _ in range(_NEWTON_STEPS):
            error = model.distort(plane) - seen
            if (np.abs(error) <= _TOLERANCE).all():
                found: Array = plane * focal + centre
                return found
            plane = plane - model.step(plane, error)
        raise ValueError(f"pixels: got points that the lens {self.name} shows nothing at")


#: in the order of the files
LENSES = (
    Lens("54138969", (1145.0494, 1143.7811, 512.5415, 515.4515), (1000, 1002),
         (-0.20709892, 0.24777518, -0.0030751503, -0.0009756989, -0.0014244716)),
    Lens("55011271", (1149.6757, 1147.5917, 508.84863, 508.0649), (1000, 1000),
         (-0.19421363, 0.24040854, 0.0068199756, -0.0016190266, -0.0027408944)),
    Lens("58860488", (1149.1407, 1148.799, 519.81586, 501.40265), (1000, 1000),
         (-0.20833819, 0.255488, -0.0024604974, 0.001484387, -0.0007599993)),
    Lens("60457274", (1145.5114, 1144.7739, 514.9682, 501.88202), (1000, 1002),
         (-0.19838409, 0.21832368, -0.008947807, -0.0005872056, -0.001813362)),
)  # fmt: skip

#: a row for each lens: camera to world as a quaternion w, x, y, z, then the place in millimetres
_PLACES: dict[str, tuple[tuple[float, ...], ...]] = {
    "S1": (
        (0.14070565, -0.15007018, -0.7552408, 0.62232804, 1841.107, 4955.2847, 1563.4454),
        (0.6157188, -0.7648363, -0.14833826, 0.11794741, 1761.2786, -5078.007, 1606.265),
        (0.14651473, -0.14647852, 0.76530236, -0.60941756, -1846.7777, 5215.0464, 1491.9724),
        (0.58340085, -0.7853162, 0.14548823, -0.14749594, -1794.7897, -3722.699, 1574.8927),
    ),
    "S5": (
        (0.14673772, -0.16237096, -0.7551893, 0.6178939, 2097.3916, 4880.945, 1605.7324),
        (0.61597586, -0.7626792, -0.15728192, 0.1189815, 2031.7008, -5167.933, 1612.9231),
        (0.14291371, -0.12907842, 0.7678385, -0.6110143, -1620.5948, 5171.6587, 1496.437),
        (0.592048, -0.7814218, 0.12747486, -0.15036418, -1637.1737, -3867.3174, 1547.0332),
    ),
    "S6": (
        (0.13378978, -0.15692396, -0.75710905, 0.61988795, 1935.4518, 4950.2456, 1618.0839),
        (0.61471975, -0.7628813, -0.16174768, 0.11819245, 1969.804, -5128.739, 1632.7788),
        (0.15299481, -0.13529131, 0.76460963, -0.6112781, -1769.5964, 5185.3613, 1476.9934),
        (0.59161013, -0.7804774, 0.1283227, -0.15615939, -1721.6687, -3884.1313, 1540.4879),
    ),
    "S7": (
        (0.14352418, -0.16313368, -0.75483286, 0.6188825, 1974.513, 4926.3545, 1597.8326),
        (0.6141673, -0.76382625, -0.15966456, 0.117792994, 1937.0585, -5119.79, 1631.5665),
        (0.1455006, -0.12874816, 0.76605165, -0.61271393, -1741.8112, 5208.2495, 1464.8246),
        (0.5912848, -0.78217643, 0.12445474, -0.15196487, -1734.7106, -3832.4214, 1548.583),
    ),
    "S8": (
        (0.14110588, -0.15589868, -0.75619173, 0.61964405, 2150.6519, 4896.161, 1611.9047),
        (0.61696017, -0.7647668, -0.1484635, 0.11158158, 2219.9656, -5148.453, 1613.0441),
        (0.1471444, -0.1337712, 0.76701283, -0.61003697, -1571.2216, 5137.0186, 1498.1761),
        (0.59278244, -0.78258705, 0.12147816, -0.14631996, -1476.9133, -3896.7412, 1547.9722),
    ),
    "S9": (
        (0.15540588, -0.15548216, -0.75320953, 0.6199595, 2044.4585, 4935.117, 1481.2275),
        (0.6187845, -0.7634735, -0.14132239, 0.11933968, 1990.9597, -5123.8105, 1568.8048),
        (0.13357827, -0.13671005, 0.76894546, -0.61007386, -1670.9922, 5211.986, 1528.388),
        (0.5879399, -0.7823407, 0.14276144, -0.1479487, -1696.0435, -3827.0999, 1591.4127),
    ),
    "S11": (
        (0.15232472, -0.1544232, -0.75475633, 0.619107, 2098.4402, 4926.5547, 1500.2786),
        (0.61894494, -0.7600917, -0.15300633, 0.12552583, 2083.1824, -4912.173, 1561.0786),
        (0.14943229, -0.15650228, 0.7681234, -0.60263044, -1609.8153, 5177.336, 1537.8967),
        (0.58942515, -0.7818877, 0.13991211, -0.14715362, -1590.738, -3854.169, 1578.0176),
    ),
}  # fmt: skip

SUBJECTS = tuple(_PLACES)


def to_camera(subject: str, camera: int, points: Array) -> Array:
    """Points of the world frame (z up) in the frame of one of a subject's cameras.

    Args:
        subject: ``S1`` to ``S11``, one of `SUBJECTS`.
        camera: 0 to 3, the place in `LENSES`.
        points: (..., 3) metres.

    Returns:
        (..., 3) float64 metres: x right, y down, z forward.
    """
    w, x, y, z, *place = _PLACES[subject][camera]
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    moved: Array = (points - np.asarray(place) / 1000) @ rotation
    return moved
