"""SimpleBaseline, and VideoPose3D for one frame: residual blocks over all joints at once."""

from __future__ import annotations

from torch import Tensor, nn

from poseda.networks.dropout import ReLUDropout
from poseda_ext import Skeleton


class ResidualLifter(nn.Module):
    """The shape that both published lifters share: an input layer, residual blocks of two
    layers, an output layer for every joint but the root, which is put at the origin.

    Args:
        skeleton: joints of the input and the output.
        width: units of each hidden layer.
        blocks: residual blocks.
        dropout: probability of dropping a hidden unit in training.
        hidden_bias: whether hidden layers have a bias beside that of the batch norm.
        kaiming: True draws the weights from Kaiming's normal distribution.
    """

    #: Training may replay a step of it as one CUDA graph: forward neither waits for the device nor
    #: decides anything on the host.
    graph_safe = True

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        width: int,
        blocks: int,
        dropout: float,
        hidden_bias: bool,
        kaiming: bool,
    ) -> None:
        super().__init__()

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, width, bias=hidden_bias),
                nn.BatchNorm1d(width),
                ReLUDropout(dropout),
            )

        joints = skeleton.num_joints
        self.expand = layer(2 * joints)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(width), layer(width)) for _ in range(blocks)
        )
        self.shrink = nn.Linear(width, 3 * (joints - 1))
        if kaiming:
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, pose2d: Tensor) -> Tensor:
        hidden = self.expand(pose2d.flatten(1))  # (B, width)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        joints = self.shrink(hidden)  # (B, 3 (J-1))
        return nn.functional.pad(joints, (3, 0)).unflatten(1, (-1, 3))


def simple_baseline(skeleton: Skeleton, width: int = 1024) -> nn.Module:
    """SimpleBaseline (Martinez et al., ICCV 2017), two residual blocks: 4,288,557 parameters at
    16 joints and the published width of 1,024."""
    return ResidualLifter(
        skeleton, width=width, blocks=2, dropout=0.25, hidden_bias=True, kaiming=True
    )


def videopose3d(skeleton: Skeleton, width: int = 1024) -> nn.Module:
    """VideoPose3D (Pavllo et al., CVPR 2019) for one frame, four residual blocks: 8,485,933
    parameters at 16 joints and the published width of 1,024. Over one frame its convolutions of
    kernel size 1 are linear layers, and stand here as such."""
    return ResidualLifter(
        skeleton, width=width, blocks=4, dropout=0.25, hidden_bias=False, kaiming=False
    )
