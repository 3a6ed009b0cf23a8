"""Graph convolutions against hand-worked ones, and the graph lifters on any skeleton."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from poseda.networks.lifters import make_lifter
from poseda.networks.lifters.graph import PartitionConvolution, bones_of, mirror_pairs, partition
from poseda.networks.lifters.graph_mlp import GraphMLPLayer
from poseda.networks.lifters.sem_gcn import SemanticConvolution
from poseda.networks.lifters.st_gcn import NonLocal, body_parts, part_pairs
from poseda_ext import H36M_16, H36M_17, Skeleton

CHAIN = Skeleton(("a", "b", "c"), (-1, 0, 1))
#: two arms and a head on a short trunk, the right arm first
LITTLE = Skeleton(
    ("root", "chest", "r", "rr", "l", "ll", "head"),
    (-1, 0, 1, 2, 1, 4, 1),
    left=(4, 5),
    right=(2, 3),
)
SKELETONS = {
    "bone": Skeleton(("a", "b"), (-1, 0)),
    "chain": CHAIN,
    "little": LITTLE,
    "star": Skeleton(tuple("abcdef"), (-1, 0, 0, 0, 0, 0)),
    "sides": Skeleton(tuple("abcd"), (-1, 0, 0, 2), left=(0, 3), right=(1, 2)),  # and no trunk
}
GRAPH_LIFTERS = ("sem_gcn", "st_gcn", "graph_mlp", "graph_mlp_27")


def test_neighbours_of_a_chain_by_hand() -> None:
    own, further, nearer, mirror = partition(3, bones_of(CHAIN), [])  # the centre is b
    assert own.diagonal().tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    assert own.sum() == own.diagonal().sum() and not mirror.any()
    assert further.nonzero().tolist() == [[0, 1], [2, 1]]  # from a and from c, to b
    assert further[[0, 2], 1].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert nearer.nonzero().tolist() == [[1, 0], [1, 2]]
    assert nearer[1, [0, 2]].tolist() == pytest.approx([1 / 2, 1 / 2])


def test_partition_convolution_of_a_chain_by_hand() -> None:
    convolution = PartitionConvolution(1, 1, partition(3, bones_of(CHAIN), []))
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([2.0, 3.0, 5.0, 7.0]).view(4, 1, 1))
        convolution.bias.copy_(torch.tensor([0.2, 0.3, 0.5, 0.7]).view(4, 1, 1))
        made = convolution(torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)).flatten()
    assert made.tolist() == pytest.approx(
        [
            (2 * 1 + 0.2 + 5 * 10 + 0.5) / 2,
            (2 * 10 + 0.2 + 3 * 1 + 0.3 + 3 * 100 + 0.3) / 3,
            (2 * 100 + 0.2 + 5 * 10 + 0.5) / 2,
        ]
    )


def test_semantic_convolution_of_a_chain_by_hand() -> None:
    convolution = SemanticConvolution(1, 1, CHAIN)
    shares = [1.0, 3.0, 1.0, 2.0, 5.0, 4.0, 1.0]  # a: a b; b: a b c; c: b c
    with torch.no_grad():
        convolution.logits.copy_(torch.tensor(shares).log())
        convolution.weight.copy_(torch.tensor([2.0, 3.0]).view(2, 1, 1))
        convolution.bias.fill_(0.5)
        made = convolution(torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)).flatten()
    assert made.tolist() == pytest.approx(
        [
            2 * 1 / 4 * 1 + 3 * 3 / 4 * 10 + 0.5,
            2 * 2 / 8 * 10 + 3 * (1 / 8 * 1 + 5 / 8 * 100) + 0.5,
            2 * 1 / 5 * 100 + 3 * 4 / 5 * 10 + 0.5,
        ]
    )


def test_convolutions_see_each_pose_and_channel() -> None:
    """Several channels and poses, against the definition written out."""
    torch.manual_seed(0)
    kinds = partition(17, bones_of(H36M_17), mirror_pairs(H36M_17))
    graph = PartitionConvolution(3, 5, kinds)
    features = torch.randn(17, 4, 3)
    each = torch.einsum("vbc,kco->kvbo", features, graph.weight) + graph.bias[:, None]
    torch.testing.assert_close(graph(features), torch.einsum("kvbo,kvw->wbo", each, kinds))
    semantic = SemanticConvolution(3, 5, H36M_17)
    near = kinds[:3].sum(0) > 0
    share = near / near.sum(1, keepdim=True)  # the logits start alike
    own, other = (features @ weight for weight in semantic.weight)
    expected = torch.einsum("ij,jbo->ibo", share * ~torch.eye(17, dtype=torch.bool), other)
    expected = expected + share.diagonal()[:, None, None] * own + semantic.bias
    torch.testing.assert_close(semantic(features), expected)


@pytest.mark.parametrize("kind", ["semantic", "partition"])
def test_convolutions_keep_the_type_of_autocast(kind: str) -> None:
    if kind == "semantic":
        graph: nn.Module = SemanticConvolution(3, 5, CHAIN)
    else:
        graph = PartitionConvolution(3, 5, partition(3, bones_of(CHAIN), []))
    with torch.autocast("cpu", torch.bfloat16):
        assert graph(torch.randn(3, 4, 3)).dtype == torch.bfloat16


def test_neighbours_of_human36m_are_the_published_ones() -> None:
    to_centre = torch.tensor([1, 2, 3, 4, 2, 3, 4, 0, 1, 2, 3, 2, 3, 4, 2, 3, 4])
    kinds = partition(17, bones_of(H36M_17), mirror_pairs(H36M_17))
    assert torch.equal(kinds.sum((0, 1)), torch.ones(17))
    further, nearer, mirror = (kind.nonzero().tolist() for kind in kinds[1:])
    assert len(further) == len(nearer) == 16 and len(mirror) == 12
    assert all(to_centre[here] == to_centre[there] + 1 for here, there in further)
    assert sorted([there, here] for here, there in nearer) == further
    assert [1, 4] in mirror and [16, 13] in mirror
    # the hip: itself, two hips and the spine
    assert kinds[:, :, 0].sum(0).nonzero().flatten().tolist() == [0, 1, 4, 7]


def test_parts_of_the_body() -> None:
    assert sorted(body_parts(H36M_17)) == [
        [0, 7, 8, 9, 10], [1, 2, 3], [4, 5, 6], [11, 12, 13], [14, 15, 16],
    ]  # fmt: skip
    assert body_parts(LITTLE) == [[4, 5], [2, 3], [0, 1, 6]]
    links, mirrored = part_pairs(LITTLE, [2, 2, 1, 1, 0, 0, 2])
    assert sorted(links) == [(0, 2), (1, 2)] and mirrored == [(0, 1)]
    assert body_parts(CHAIN) == [[0, 1, 2]] and part_pairs(CHAIN, [0, 0, 0]) == ([], [])


def test_the_joint_that_16_lack_lies_between_thorax_and_head() -> None:
    torch.manual_seed(0)
    sixteen, seventeen = (make_lifter("st_gcn", skeleton, 8) for skeleton in (H36M_16, H36M_17))
    seventeen.load_state_dict(sixteen.state_dict())
    pose2d = torch.randn(5, 17, 2)
    pose2d[:, 9] = (pose2d[:, 8] + pose2d[:, 10]) / 2
    kept = [joint for joint in range(17) if joint != 9]
    full = seventeen.eval()(pose2d)
    torch.testing.assert_close(sixteen.eval()(pose2d[:, kept]), full[:, kept])


def test_non_local_layer_starts_as_nothing_and_takes_by_likeness() -> None:
    torch.manual_seed(0)
    layer = NonLocal(6).eval()
    features = torch.randn(4, 3, 6)
    assert torch.equal(layer(features), features)
    nn.init.ones_(layer.norm.norm.weight)
    nn.init.zeros_(layer.query.weight)  # all alike
    nn.init.zeros_(layer.query.bias)
    taken = layer.project(layer.value(features).mean(0)) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(layer(features), features + taken)


@pytest.mark.parametrize("name", GRAPH_LIFTERS)
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_any_skeleton_will_do(name: str, skeleton: str) -> None:
    torch.manual_seed(0)
    joints = SKELETONS[skeleton].num_joints
    lifter = make_lifter(name, SKELETONS[skeleton], 8)
    given = torch.randn(6, 27, joints, 2) if name == "graph_mlp_27" else torch.randn(6, joints, 2)
    made = lifter(given)
    made.square().sum().backward()
    assert made.shape == (6, joints, 3) and made.isfinite().all()
    assert not made[:, 0].any() and made[:, 1:].any()


def test_stochastic_depth_leaves_whole_poses_out() -> None:
    torch.manual_seed(0)
    kinds = partition(3, bones_of(CHAIN), [])
    layer = GraphMLPLayer(3, 4, kinds, temporal=False, dropped=0.2)
    seen = [layer._some(torch.ones(3, 2000, 4)) for _ in range(2)]
    assert seen[0].unique().tolist() == pytest.approx([0, 1.25])
    assert torch.equal(seen[0], seen[0][:1, :, :1].expand_as(seen[0]))
    assert seen[0].mean() == pytest.approx(1, abs=0.05) and not torch.equal(*seen)
    assert torch.equal(layer.eval()._some(torch.ones(1, 9, 1)), torch.ones(1, 9, 1))
