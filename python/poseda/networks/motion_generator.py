"""The human motion generator of AdaptPose (Gholami et al., CVPR 2022, section 4)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from poseda.distributed import own_rows, world_size
from poseda.networks.bone_motion import bg1, bg2, bg3
from poseda.networks.camera_generation import Rotation, placed
from poseda.networks.generator import NOISE, ResidualMLP
from poseda_ext import Skeleton, augment
from poseda_ext.reference import MIN_DEPTH, rotate

BoneGenerator = Literal["none", "bg1", "bg2", "bg3"]

#: bound of lambda in Eq. 5 and 6, as in the authors' code
MAX_BONE_SCALE = 0.2


class Motion(NamedTuple):
    """Generated motions, and how each came out of its source."""

    turned: Tensor  #: (B, T, J, 3) root-relative, metres; after the bones have moved
    bone_scale: Tensor  #: (B, J-1) lambda: length times 1 + this
    rotation: Tensor  #: (B, 3) R of Eq. 3, axis-angle about the root, radians
    pose3d: Tensor  #: (B, T, J, 3) root-relative, metres
    root: Tensor  #: (B, T, 3) camera frame, metres
    pose2d: Tensor  #: (B, T, J, 2) screen-normalised

    @classmethod
    def zeros(cls, batch: int, frames: int, skeleton: Skeleton, device: torch.device) -> Motion:
        joints = skeleton.num_joints
        poses, shapes = (frames, joints), ((joints - 1,), (3,))
        ends = (*poses, 3), (frames, 3), (*poses, 2)
        every = (*poses, 3), *shapes, *ends
        return cls(*(torch.zeros(batch, *shape, device=device) for shape in every))


class MotionGenerator(nn.Module):
    """A bone generator, one for bone lengths, and one for the camera. Each sees the source, not
    what the others made, and noise of its own.

    Args:
        skeleton: J joints.
        frames: T.
        bone_generator: how bones move (`poseda.networks.bone_motion`); "none" keeps bones and
            lengths.
        camera: how rotations are made; None keeps the source's camera.
    """

    movable: Tensor
    spread: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        frames: int,
        bone_generator: BoneGenerator,
        camera: Rotation | None,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.frames = frames
        self.bone_generator = bone_generator
        self.camera = camera
        bones, pose = skeleton.num_bones, 3 * skeleton.num_joints
        self.bone_motion: nn.Module | None = None
        self.bone_length: nn.Module | None = None
        if bone_generator != "none":
            seen = frames * pose if bone_generator == "bg1" else pose
            outputs = (4 if bone_generator == "bg3" else 3) * bones
            self.bone_motion = ResidualMLP(seen + NOISE, outputs)
            self.bone_length = ResidualMLP(pose + NOISE, len(skeleton.bone_groups))
        self.rotation: nn.Module | None = None
        self.translation: nn.Module | None = None
        if camera is not None:  # these also see where the person stands
            self.rotation = ResidualMLP(pose + 3 + NOISE, camera.outputs)
            translation = ResidualMLP(pose + 3 + NOISE, 3)
            nn.init.zeros_(translation.last.weight)  # starts at the source's own place
            self.translation = translation
        # As in PoseAug and the authors' code: the torso keeps its direction, which would be a
        # rotation of the body, and the upper torso its length, which would be the body's distance.
        spine, thorax = skeleton.bone("Spine"), skeleton.bone("Thorax")
        movable = torch.ones(bones, 1)
        movable[[spine, thorax]] = 0
        spread = torch.zeros(len(skeleton.bone_groups), bones)
        for group, members in enumerate(skeleton.bone_groups):
            spread[group, list(members)] = 0.0 if thorax in members else MAX_BONE_SCALE
        self.register_buffer("movable", movable, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def forward(
        self, pose: Tensor, intrinsics: Tensor, random: torch.Generator | None = None
    ) -> Motion:
        """Eq. 1, 3 and 4.

        Args:
            pose: (B, T, J, 3) source motions, camera frame, metres.
            intrinsics: (B, T, 4) of the source's cameras, screen-normalised.
            random: where the noise comes from.
        """
        root = pose[:, :, 0]
        pose = pose - root[:, :, None]
        middle = pose[:, self.frames // 2]
        turned = self._turned(pose, random)
        bone_scale = self._bone_scale(middle, random)
        rotation, root = self._camera(middle, root, random)
        made = augment(
            turned,
            bone_scale=bone_scale[:, None],
            rotation=rotation[:, None],
            root=root,
            intrinsics=intrinsics,
            skeleton=self.skeleton,
        )
        assert made.pose2d is not None
        return Motion(turned, bone_scale, rotation, made.pose3d, root, made.pose2d)

    def _turned(self, pose: Tensor, random: torch.Generator | None) -> Tensor:
        """The bone generator. BG1 sees the whole motion, BG2 its first frame, which is all that it
        makes a motion of, and BG3 its middle, as in the authors' code."""
        if self.bone_motion is None:
            return pose
        first = pose[:, :1]
        seen = {"bg1": pose, "bg2": first, "bg3": pose[:, self.frames // 2]}[self.bone_generator]
        raw = self._run(self.bone_motion, seen.flatten(1), random)
        raw = raw.unflatten(1, (self.skeleton.num_bones, -1))
        if self.bone_generator == "bg1":
            return bg1(pose, self.movable * raw, self.skeleton)
        if self.bone_generator == "bg2":
            return bg2(pose, self.movable * raw, self.skeleton)
        angle = self.movable[:, 0] * raw[..., 3]
        return bg3(pose, raw[..., :3], angle, self.skeleton)

    def _bone_scale(self, pose: Tensor, random: torch.Generator | None) -> Tensor:
        """lambda of Eq. 5 and 6: one for all frames, left and right alike."""
        if self.bone_length is None:
            return pose.new_zeros(len(pose), self.skeleton.num_bones)
        return torch.tanh(self._run(self.bone_length, pose.flatten(1), random)) @ self.spread

    def _camera(
        self, pose: Tensor, root: Tensor, random: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """R (B, 3) and T (B, T, 3) of Eq. 3. The person goes on moving through space: R turns
        the way from the middle frame's place to the other frames' too."""
        middle = root[:, self.frames // 2]
        if self.camera is None or self.rotation is None or self.translation is None:
            return torch.zeros_like(middle), root
        depth = middle[:, 2:].clamp(min=MIN_DEPTH)
        seen = torch.cat((pose.flatten(1), middle[:, :2] / depth, depth.log()), 1)
        raw = self._run(self.rotation, seen, random)
        rotation = self.camera.axis_angle(raw, self._noise(pose, self.camera.noise, random))
        there = placed(middle, self._run(self.translation, seen, random))
        if self.frames == 1:
            return rotation, there[:, None]
        way = rotate(root - middle[:, None], rotation[:, None])
        return rotation, there[:, None] + way

    def _run(self, network: nn.Module, seen: Tensor, random: torch.Generator | None) -> Tensor:
        return network(torch.cat((seen, self._noise(seen, NOISE, random)), dim=1))

    def _noise(self, like: Tensor, size: int, random: torch.Generator | None) -> Tensor:
        rows = world_size() * like.shape[0]
        return own_rows(torch.randn(rows, size, generator=random, device=like.device))
