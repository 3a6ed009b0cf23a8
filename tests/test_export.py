"""Exported lifters: run as another program would run them, against the lifter itself."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("tyro", reason="the command line needs tyro")

from poseda import export
from poseda.card import DataCard, ModelCard
from poseda.cli import main
from poseda.export import TOLERANCE, export_lifter
from poseda.networks.lifters import frames_of, lift, make_lifter
from poseda.networks.weights import NamedLifter, save_lifter
from poseda_ext import H36M_16, H36M_17, Skeleton

CARD = ModelCard("poseda", 0, DataCard("lab", 7, {"licence": "research only"}), None, {})


def random_input(lifter: nn.Module, skeleton: Skeleton, batch: int) -> Tensor:
    frames = frames_of(lifter)
    return torch.randn(batch, *([frames] if frames > 1 else []), skeleton.num_joints, 2)


def trained(name: str, skeleton: Skeleton) -> NamedLifter:
    """With running statistics of its batch norms, as after training."""
    torch.manual_seed(1)
    module = make_lifter(name, skeleton, 8)
    for _ in range(3):
        module(random_input(module, skeleton, 16))
    return NamedLifter(module.eval(), name, 8, skeleton, CARD)


@pytest.fixture
def keypoints() -> Tensor:
    return torch.randn(5, 16, 2, generator=torch.Generator().manual_seed(2))


def test_onnx_runs_and_says_what_it_is(
    tmp_path: Path, keypoints: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="needs poseda[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="needs poseda[onnx]")
    lifter = trained("videopose3d", H36M_16)
    save_lifter(tmp_path / "lifter.safetensors", lifter)
    path = tmp_path / "new" / "lifter.onnx"
    main(["export", "--weights", str(tmp_path / "lifter.safetensors"), "--to", str(path)])
    assert "of the lifter on random keypoints" in capsys.readouterr().out
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (about,) = [json.loads(each.value) for each in model.metadata_props if each.key == "poseda"]
    assert about["joints"] == list(H36M_16.names) and "screen-normalised" in about["input"]
    assert about["card"]["source"]["about"] == {"licence": "research only"}
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        given = keypoints[:batch]
        (made,) = session.run(["pose3d"], {"keypoints": given.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(made), lift(lifter.module, given), atol=TOLERANCE, rtol=0
        )
    assert str(Path(export.__file__).parent).encode() not in path.read_bytes()


@pytest.mark.parametrize("name", ["simple_baseline", "videopose3d_27", "sem_gcn"])
def test_torch_export_runs_and_says_what_it_is(tmp_path: Path, name: str) -> None:
    lifter = trained(name, H36M_17)
    path = tmp_path / "lifter.pt2"
    assert export_lifter(lifter, path) <= TOLERANCE
    files = {"poseda.json": ""}
    program = torch.export.load(path, extra_files=files).module()
    about = json.loads(files["poseda.json"])
    assert about["joints"] == list(H36M_17.names)
    assert about["input"].startswith("keypoints (B, 27, 17, 2)") == (name == "videopose3d_27")
    assert about["output"].endswith("middle frame") == (name == "videopose3d_27")
    for batch in (1, 64):
        given = random_input(lifter.module, H36M_17, batch)
        torch.testing.assert_close(
            program(given), lift(lifter.module, given), atol=TOLERANCE, rtol=0
        )
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*"))


def test_a_file_that_disagrees_does_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lifter.pt2"
    path.write_text("the old one")

    def run(content: bytes) -> export.Run:
        right = torch.export.load(io.BytesIO(content)).module()
        return lambda keypoints: right(keypoints) + 2 * TOLERANCE

    monkeypatch.setattr(export, "_run_pt2", run)
    with pytest.raises(ValueError, match="differs from the lifter by 0"):
        export_lifter(trained("videopose3d", H36M_16), path)
    assert path.read_text() == "the old one" and len(list(tmp_path.iterdir())) == 1


class Undecided(nn.Module):
    """A lifter that looks at its input's numbers, which no exported program can."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, pose2d: Tensor) -> Tensor:
        if pose2d.sum() > 0:
            return self.scale * nn.functional.pad(pose2d, (0, 1))
        return self.scale * nn.functional.pad(pose2d, (1, 0))


def test_a_lifter_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    lifter = NamedLifter(Undecided(), "mine:Undecided", 0, H36M_16)
    with pytest.raises(ValueError, match=r"lifter mine:Undecided: cannot be exported to \.pt2"):
        export_lifter(lifter, tmp_path / "lifter.pt2")
    assert not list(tmp_path.iterdir())


def test_other_endings_and_missing_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lifter = trained("videopose3d", H36M_16)
    with pytest.raises(ValueError, match=r"lifter\.pt, expected a name that ends in \.onnx or"):
        export_lifter(lifter, tmp_path / "lifter.pt")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    save_lifter(tmp_path / "lifter.safetensors", lifter)
    with pytest.raises(SystemExit):
        arguments = ["--weights", str(tmp_path / "lifter.safetensors"), "--to"]
        main(["export", *arguments, str(tmp_path / "lifter.onnx")])
    assert "onnxscript: not installed, expected for .onnx: pip install" in capsys.readouterr().err
    assert not (tmp_path / "lifter.onnx").exists()
