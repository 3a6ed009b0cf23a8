"""The device that a user names."""

from __future__ import annotations

import os

import torch

from poseda.distributed import world_size


def pick_device(name: str) -> torch.device:
    """ "auto" to a GPU where there is one. Of several processes each takes its own GPU.

    Raises:
        ValueError: if there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if world_size() > 1:
        if name not in ("cuda", "cpu"):
            raise ValueError(
                f"device: got {name!r} for {world_size()} processes, expected auto, cpu or cuda: "
                "each takes the GPU of its own number"
            )
        if name == "cuda":
            if "LOCAL_RANK" not in os.environ:
                raise ValueError(
                    "LOCAL_RANK: not set, expected the number of this process on its machine, as "
                    "torchrun gives it: it says which GPU is whose"
                )
            name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device: got {name!r}, which is not available: {reason}") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device: got {name!r}, expected auto, cpu, cuda or cuda:N")
    return device
