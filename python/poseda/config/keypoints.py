"""What is known of keypoints that are not canonical."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from poseda.config.checks import check_numbers
from poseda.data.poseset import MIN_CONFIDENCE
from poseda.keypoints.detections import MAX_FPS


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
        check_numbers(self, "min_confidence", high=1, open_low=True)
        if self.fps is not None:
            check_numbers(self, "fps", high=MAX_FPS, open_low=True)
        if self.max_people is not None:
            check_numbers(self, "max_people", low=1)
            if not isinstance(self.max_people, int):
                raise TypeError(f"max_people: got {self.max_people}, expected a whole number")
        if not isinstance(self.format, str):
            raise TypeError(f"format: got {self.format!r:.60}, expected a text such as coco_17")
