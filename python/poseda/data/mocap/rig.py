"""The cameras that look at a recording: a rig by name, or from a JSON file.

The file holds ``{"cameras": [...], "centre": [x, y]}``: metres in a world with z up and the ground
at z = 0; people are brought to the centre, (0, 0) if absent. A camera has

- ``position`` [x, y, z],
- ``look_at`` [x, y, z] for a level horizon, or ``rotation``, three rows: the camera's right, down
  and forward in the world,
- ``intrinsics`` [fx, fy, cx, cy] in pixels and ``image_size`` [width, height],
- optionally ``class``, the kind of view.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError

from poseda.data.synthetic.rigs import Camera, human36m_rig, look_at, mpi_inf_3dhp_rig

Array = NDArray[Any]

RIGS = {"human36m": human36m_rig, "mpi-inf-3dhp": mpi_inf_3dhp_rig}

_Positive = Annotated[FiniteFloat, Field(gt=0)]
_Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


@dataclass(frozen=True)
class Rig:
    """Cameras, and where on the ground people are brought, (x, y) metres."""

    name: str
    cameras: list[Camera]
    centre: tuple[float, float] = (0.0, 0.0)


class _CameraFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    position: _Vector
    look_at: _Vector | None = None
    rotation: tuple[_Vector, _Vector, _Vector] | None = None
    intrinsics: tuple[_Positive, _Positive, FiniteFloat, FiniteFloat]
    image_size: tuple[PositiveInt, PositiveInt]
    camera_class: str | None = Field(default=None, alias="class")


class _RigFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cameras: Annotated[list[_CameraFile], Field(min_length=1)]
    centre: tuple[FiniteFloat, FiniteFloat] = (0.0, 0.0)


def load_rig(rig: str) -> Rig:
    """A rig by its name or from a file, as the head of this module says.

    Raises:
        FileNotFoundError: if it is neither.
        ValueError: if the file holds no rig.
    """
    if rig in RIGS:
        return Rig(rig, RIGS[rig]())
    path = Path(rig)
    if not path.is_file():
        raise FileNotFoundError(
            f"rig: {rig}: no such file; expected {', '.join(RIGS)} or a JSON file of cameras"
        )
    try:
        content = _RigFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {place}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{path}: got no JSON ({error})") from error
    cameras = [_camera(camera, number, path) for number, camera in enumerate(content.cameras)]
    return Rig(path.stem, cameras, content.centre)


def _camera(camera: _CameraFile, number: int, path: Path) -> Camera:
    where = f"{path}: cameras.{number}"
    camera_class = camera.camera_class or str(number)
    if (camera.look_at is None) == (camera.rotation is None):
        raise ValueError(f"{where}: expected either look_at or rotation")
    if camera.look_at is not None:
        sight = np.subtract(camera.look_at, camera.position)
        if np.linalg.norm(sight[:2]) < 1e-6 * max(1.0, float(np.abs(sight).max())):
            raise ValueError(f"{where}: looks straight up or down, expected rotation, not look_at")
        return look_at(
            camera_class, camera.intrinsics, camera.image_size, camera.position, camera.look_at
        )
    rotation = np.asarray(camera.rotation)
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise ValueError(
            f"{where}: rotation: got {rotation.tolist()}, expected three rows at right angles, of "
            "length 1: right, down, forward"
        )
    position = np.asarray(camera.position)
    return Camera(camera_class, camera.intrinsics, camera.image_size, position, rotation)
