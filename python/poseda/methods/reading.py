"""What a lifter reads from the target's 2D: viewpoint, bodies and poses (docs/aligned.md)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from poseda.body import stature_of_bones
from poseda.config import AlignedSettings
from poseda.data.poseset import PoseSet
from poseda.data.sampler import select_rows
from poseda.fitting import on_rays
from poseda.methods.people import Fit, People
from poseda.methods.viewpoint import camera_ups, forward_lean, rotation_between, tilts
from poseda.networks.lifters import lift_poses
from poseda_ext import augment, bones

#: deviation of the depth of a foot as it is read, as a share of it
FOOT_DEPTH_NOISE = 0.02
#: deviations by which people may seem to lean without being turned upright
BELIEVED = 3.0
#: of the depths that a lifter says now; the rest is what was said before
NEW_SHARE = 0.5
#: Up to the first of these a lifter knows the target as it knows the source, from the second on not
#: at all (docs/aligned.md): by how much its misfit there is larger or smaller,
MISFITS = 0.03, 0.1
#: and by how much bones are longer or shorter, on average.
LENGTHS = 0.005, 0.01
#: as a share of the stature, how far from what fits is no misfit
EXACT = 1e-4
#: source poses on which its misfit is measured
ASKED_POSES = 10_000


class Reading:
    """What is known of a target, in tensors that stay where they are.

    Args:
        settings: of the method.
        source: labelled poses, whose bodies anchor the size.
        target: poses without 3D.
        up: (M, 3) of each source pose's camera.

    Attributes:
        people: of the target.
        asked: () how often the lifter was asked.
        foreign: () how little the lifter knew the target in any round: from 0, as well as the
            source, to 1.
        view: (N, 3) up for each target pose's camera, or the direction of each one's torso.
        body: (S, J-1) metres, the bones of each subject of the target.
        depth: (N, J) metres, the fitted depth of each joint; 0 before the lifter was asked.
    """

    def __init__(
        self, settings: AlignedSettings, source: PoseSet, target: PoseSet, up: Tensor
    ) -> None:
        assert source.pose3d is not None
        self.settings = settings
        self.poses = target
        self.skeleton = skeleton = source.skeleton
        device = source.pose3d.device
        self.usual = bones(source.pose3d, skeleton).norm(dim=-1).median(0).values  # (J-1,)
        self.forward = forward_lean(source, up)
        own_stature = stature_of_bones(self.usual, skeleton)
        self.stature = own_stature
        if settings.height is not None:
            self.stature = torch.full_like(own_stature, settings.height)
        self.people = People(target, self.usual, self.stature, settings.per_subject)
        self.source, self.source_rows = source, _some_rows(source)
        some = source.rows(self.source_rows)
        self.source_people = People(some, self.usual, own_stature, settings.per_subject)
        self.asked = torch.zeros((), device=device)
        self.foreign = torch.zeros((), device=device)
        self.view = torch.zeros(len(target), 3, device=device)
        self.body = self.usual.expand(self.people.count, -1).clone()
        self.depth = torch.zeros(len(target), skeleton.num_joints, device=device)
        #: (N, J) metres behind the root, as the lifter said on average, for a body of this size
        self.behind = torch.zeros_like(self.depth)
        #: by how much the last round changed what is known: degrees, a share of the lengths, and
        #: millimetres of the fitted poses; and how far these are from what the lifter says, scaled
        self.change = torch.zeros(4, device=device)

    @torch.no_grad()
    def refresh(self, lifter: nn.Module) -> None:
        """Reads all anew, as the lifter sees the target now."""
        predicted = lift_poses(lifter, self.poses)
        fit = self.people.fit(predicted, self.usual)
        self._compare(fit, lifter)
        before = self.fitted()
        again = self.asked > 0
        predicted = self._read_view(predicted, fit.place, again)
        body, scale = self.people.measured(predicted, self.body)
        self.change[1] = (body / self.body - 1).abs().mean()
        self.body.copy_(body)
        predicted = predicted * scale
        said = predicted[..., 2]
        self.behind.copy_(torch.where(again, self.behind.lerp(said, NEW_SHARE), said))
        self.depth.copy_(self.people.depths(predicted, self.behind, body))
        fitted = self.fitted()
        moved = 1000 * (fitted - before).norm(dim=-1).mean()
        self.change[2] = torch.where(again, moved, torch.zeros_like(moved))
        self.change[3] = 1000 * (fitted - predicted).norm(dim=-1).mean()
        self.asked += 1

    def _compare(self, fit: Fit, lifter: nn.Module) -> None:
        """Says whether the lifter knows the target, fitted so, as it knows the source. Once
        a target was foreign it stays so: that a lifter learns its poses does not make it the
        source."""
        if self.foreign == 1:
            return
        predicted = lift_poses(lifter, self.source, self.source_rows)
        known = self.source_people.fit(predicted, self.usual)
        misfit = (self.people.misfit(fit) + EXACT) / (self.source_people.misfit(known) + EXACT)
        length = self.people.usual_body(fit) / self.source_people.usual_body(known)
        of_misfit = _between(*MISFITS, torch.maximum(misfit, 1 / misfit) - 1)
        of_length = _between(*LENGTHS, (length - 1).abs().mean())
        self.foreign.copy_(torch.stack((self.foreign, of_misfit, of_length)).max())

    def _read_view(self, predicted: Tensor, place: Tensor, again: Tensor) -> Tensor:
        """Returns the poses, those before a camera turned as one where the lifter tilts them."""
        if self.settings.viewpoint == "camera":
            predicted, view = self._upright(predicted, place)
        else:
            torso = self.skeleton.names.index("Thorax")
            view = normalize(predicted[:, torso] - predicted[:, 0], dim=-1)
        turned = (view * self.view).sum(-1).clamp(-1, 1).acos().mean() * (180 / math.pi)
        self.change[0] = torch.where(again, turned, torch.zeros_like(turned))
        self.view.copy_(view)
        return predicted

    def _upright(self, predicted: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """(N, J, 3) poses turned about a horizontal axis, all before a camera alike, until people
        lean forward as far as the source's, and (N, 3) which way is up. Where that is little by
        how well it is known, the lifter is believed instead."""
        known = dataclasses.replace(self.poses, pose3d=place)
        camera, up, deviation = camera_ups(known, FOOT_DEPTH_NOISE)
        tilt, unsure = tilts(predicted, up, camera, self.forward, self.skeleton)
        square = tilt.square().sum(1, keepdim=True)
        believed = (BELIEVED * deviation[:, None]).square()
        view = normalize(up + tilt * believed / (square + believed), dim=-1)
        believed = believed + unsure[:, None].square()
        upright = normalize(up + tilt * believed / (square + believed), dim=-1)
        turn = rotation_between(normalize(up + tilt, dim=-1), upright)[camera]
        return augment(predicted, rotation=turn, skeleton=self.skeleton).pose3d, view[camera]

    def fitted(self, rows: Tensor | None = None) -> Tensor:
        """(..., J, 3) metres, the target's poses as they are known, relative to the root.

        Args:
            rows: (...) of the target; None: all.
        """
        parts = [self.poses.pose2d, self.poses.intrinsics, self.depth]
        if rows is not None:
            parts = [select_rows(part, rows) for part in parts]
        pose = on_rays(*parts)
        return pose - pose[..., :1, :]

    def describe(self) -> dict[str, Tensor]:
        """How foreign the target is; what the last round changed, which falls to nothing as the
        rounds converge; how far the bodies lie from the source's; and how far the fitted poses from
        the predicted ones."""
        return {
            "foreign": self.foreign,
            "view_change_deg": self.change[0],
            "body_change": self.change[1],
            "body_ratio": (self.body / self.usual - 1).abs(),
            "fit_change_mm": self.change[2],
            "fit_misfit_mm": self.change[3],
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATE:
            getattr(self, name).copy_(state[name])


STATE = ("asked", "foreign", "view", "body", "depth", "behind", "change")


def _between(low: float, high: float, value: Tensor) -> Tensor:
    """0 up to a low number, 1 from a high one on, and for NaN."""
    return ((value - low) / (high - low)).clamp(0, 1).nan_to_num(1.0)


def _some_rows(poses: PoseSet) -> Tensor:
    """(N,) rows of some of many poses, the same whenever it is asked."""
    order = torch.randperm(len(poses), generator=torch.Generator().manual_seed(0))
    return order[:ASKED_POSES].sort().values.to(poses.pose2d.device)
