"""A lifter for other programs: as ONNX, or as a program of `torch.export`.

The file holds the plain network: ``keypoints`` (B, J, 2) float32, screen-normalised, to ``pose3d``
(B, J, 3) float32 metres relative to joint 0, in the camera frame (x right, y down, z forward), for
any batch B from 1. A lifter of windows takes ``keypoints`` (B, T, J, 2), T frames of one person,
and ``pose3d`` is that of the middle one. Pixels x, y of an image of w x h are normalised with
s = max(w, h) by x' = (2 x - w) / s, y' = (2 y - h) / s.

What goes in and comes out, the joints' names and the model card stand in the file, as one JSON
object: under ``poseda`` in the metadata of an ONNX file, as the extra file ``poseda.json`` in a
``.pt2`` archive.
"""

from __future__ import annotations

import copy
import importlib
import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from poseda.files import atomic_write, folder_of
from poseda.networks.lifters import frames_of
from poseda.networks.weights import NamedLifter

#: metres by which a joint of the exported lifter may differ from the lifter itself
TOLERANCE = 1e-4
#: batches that a new file is tried with
TRIED = (1, 2, 33)

Run = Callable[[Tensor], Tensor]


def export_lifter(lifter: NamedLifter, path: Path) -> float:
    """Writes a lifter as ``.onnx`` or ``.pt2``. The new file takes its place only after it was run
    on random keypoints and agreed with the lifter to `TOLERANCE`.

    Args:
        lifter: to export.
        path: file to write or replace; its ending decides the format.

    Returns:
        The largest difference of a coordinate, metres.

    Raises:
        ImportError: if ONNX is asked for and its packages are not installed.
        ValueError: if the ending is another, the lifter cannot be exported, or the file disagrees.
        OSError: if the file cannot be written.
    """
    formats = {".onnx": (_to_onnx, _run_onnx), ".pt2": (_to_pt2, _run_pt2)}
    if path.suffix not in formats:
        raise ValueError(f"to: got {path}, expected a name that ends in .onnx or .pt2")
    write, read = formats[path.suffix]
    folder_of(path)
    if path.suffix == ".onnx":
        _need_onnx()
    module = copy.deepcopy(lifter.module).cpu().eval()
    example = torch.zeros(2, *_pose_shape(lifter))
    try:
        with _quiet(), torch.no_grad():
            written = write(module, example, json.dumps(describe(lifter)))
    except Exception as error:  # a user's own lifter may hold what cannot be exported
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"lifter {lifter.name}: cannot be exported to {path.suffix}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    with atomic_write(path) as temporary:
        temporary.write_bytes(written)
        return _compare(module, read(temporary.read_bytes()), example.shape[1:], path)


def describe(lifter: NamedLifter) -> dict[str, Any]:
    """What an exported file says of itself."""
    names, shape = lifter.skeleton.names, ", ".join(map(str, ("B", *_pose_shape(lifter))))
    return {
        "lifter": lifter.name,
        "width": lifter.width,
        "joints": list(names),
        "parents": list(lifter.skeleton.parents),
        "input": f"keypoints ({shape}) float32, screen-normalised: of pixels x, y in an "
        "image of w x h with s = max(w, h), x' = (2 x - w) / s, y' = (2 y - h) / s",
        "output": f"pose3d (B, {len(names)}, 3) float32, metres relative to joint 0, camera frame: "
        f"x right, y down, z forward{'' if frames_of(lifter.module) == 1 else '; middle frame'}",
        "card": None if lifter.card is None else json.loads(lifter.card.to_json()),
    }


def _pose_shape(lifter: NamedLifter) -> tuple[int, ...]:
    """Of one input: (J, 2) or (T, J, 2)."""
    frames, joints = frames_of(lifter.module), lifter.skeleton.num_joints
    return (joints, 2) if frames == 1 else (frames, joints, 2)


def _compare(module: nn.Module, exported: Run, shape: Sequence[int], path: Path) -> float:
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in TRIED:
        keypoints = torch.rand(batch, *shape, generator=random) * 2 - 1
        with torch.no_grad():
            expected, made = module(keypoints), exported(keypoints)
        if made.shape != expected.shape:
            raise ValueError(
                f"{path}: got {tuple(made.shape)} for a batch of {batch}, expected "
                f"{tuple(expected.shape)}; nothing was written"
            )
        difference = float((made - expected).abs().max())
        worst = max(worst, math.inf if math.isnan(difference) else difference)
    if worst > TOLERANCE:
        raise ValueError(
            f"{path}: the exported lifter differs from the lifter by {worst:.2g} m, expected at "
            f"most {TOLERANCE:g} m; nothing was written"
        )
    return worst


def _any_batch() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch", min=1)},)


def _to_pt2(module: nn.Module, example: Tensor, about: str) -> bytes:
    program = torch.export.export(module, (example,), dynamic_shapes=_any_batch())
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # holds paths of this machine
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"poseda.json": about})
    return buffer.getvalue()


def _run_pt2(content: bytes) -> Run:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda keypoints: module(keypoints)


def _to_onnx(module: nn.Module, example: Tensor, about: str) -> bytes:
    program = torch.onnx.export(
        module,
        (example,),
        dynamic_shapes=_any_batch(),
        input_names=["keypoints"],
        output_names=["pose3d"],
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # hold paths of this machine
    program.model.metadata_props["poseda"] = about
    content: bytes = program.model_proto.SerializeToString()
    return content


def _run_onnx(content: bytes) -> Run:
    session = importlib.import_module("onnxruntime").InferenceSession(
        content, providers=["CPUExecutionProvider"]
    )
    return lambda keypoints: torch.from_numpy(
        session.run(None, {"keypoints": keypoints.numpy()})[0]
    )


def _need_onnx() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"{name}: not installed, expected for .onnx: pip install 'poseda[onnx]', or export "
                "to .pt2, which needs torch alone"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell much that is not for the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
