"""Model cards: written with the weights, read back, shown, and refused where damaged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("tyro", reason="the command line needs tyro")

from poseda.card import DataCard, ModelCard, markdown, parse_card, version_and_commit
from poseda.cli import main
from poseda.networks.lifters import make_lifter
from poseda.networks.weights import NamedLifter, card_text, load_lifter, read_card, save_lifter
from poseda_ext import H36M_16

BASE = ModelCard(
    method="source-only",
    seed=3,
    source=DataCard("lab", 1200, {"dataset": "Lab | motion", "licence": "research only"}),
    target=None,
    settings={"pretrain": {"steps": 10, "lr": 1e-3}},
    version="1.2.3",
    commit="0123abc",
)
ADAPTED = dataclasses.replace(
    BASE,
    method="poseda",
    target=DataCard("gym", 300, {"pose2d": "detector, line\nbreak"}),
    start=BASE,
    results=({"target": "gym", "mpjpe": 61.2345, "per_camera": {"chest": 60.0}},),
)


def lifter(card: ModelCard | None) -> NamedLifter:
    torch.manual_seed(0)
    return NamedLifter(make_lifter("videopose3d", H36M_16, 8), "videopose3d", 8, H36M_16, card)


def test_card_goes_with_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "lifter.safetensors"
    save_lifter(path, lifter(ADAPTED))
    assert read_card(path) == load_lifter(path).card == ADAPTED
    shown = (tmp_path / "MODEL_CARD.md").read_text()
    assert (
        "research only" in shown and "Lab \\| motion" in shown and "detector, line break" in shown
    )
    assert "1,200" in shown and "61.23" in shown and "poseda 1.2.3, commit 0123abc" in shown
    assert "Started from weights trained by source-only" in shown
    assert not list(tmp_path.glob("*.tmp"))


def test_card_says_how_many_frames_the_lifter_looks_at(tmp_path: Path) -> None:
    path = tmp_path / "lifter.safetensors"
    module = make_lifter("graph_mlp_27", H36M_16, 4)
    save_lifter(path, NamedLifter(module, "graph_mlp_27", 4, H36M_16, ADAPTED))
    shown = card_text(path)
    assert "(B, 27 frames, 16, 2) keypoints" in shown and "of the middle frame" in shown
    assert shown == (tmp_path / "MODEL_CARD.md").read_text()
    assert "(B, 16, 2) keypoints" in markdown(ADAPTED, "videopose3d", 8, 16)
    for said in ("4", "-1", "many", "9" * 5000):
        save_file({}, path, {"lifter": "x:Y", "width": "4", "joints": "16", "frames": said})
        with pytest.raises(ValueError, match=r"lifter.safetensors: frames: got .* an odd number"):
            card_text(path)


def test_every_table_row_has_as_many_cells_as_its_head() -> None:
    lines = markdown(ADAPTED, "videopose3d", 8, 16).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    for line in tables:
        cells = line.replace("\\|", "").count("|") - 1
        assert cells in (2, len(ADAPTED.results[0]))


def test_old_weights_load_and_have_no_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lifter.safetensors"
    save_lifter(path, lifter(None))
    assert not (tmp_path / "MODEL_CARD.md").exists()
    assert load_lifter(path).card is None
    with pytest.raises(SystemExit):
        main(["card", "--weights", str(path)])
    assert "has no card: it was saved by an earlier version" in capsys.readouterr().err


def test_card_of_a_later_version_is_read(tmp_path: Path) -> None:
    later = {**json.loads(ADAPTED.to_json()), "format": 2, "energy": "5 kWh"}
    assert parse_card(json.dumps(later), "file") == dataclasses.replace(ADAPTED, format=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ("[1]", "should be an object"),
        (json.dumps({"method": "poseda"}), "seed"),
        (ADAPTED.to_json().replace('"seed":3', '"seed":"three"'), "seed"),
    ],
)
def test_damaged_card_is_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lifter.safetensors"
    save_lifter(path, lifter(None))
    metadata = {"lifter": "videopose3d", "width": "8", "joints": "16", "card": text}
    save_file(load_file(path), path, metadata)
    with pytest.raises(ValueError, match=message) as refused:
        load_lifter(path)
    assert str(refused.value).startswith(f"{path}: card: ")


@pytest.mark.usefixtures("no_figures")
def test_a_run_tells_what_it_was_trained_on(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    small = "--width 8 --pretrain.steps 4 --pretrain.batch 8 --adapt.steps 4 --adapt.batch 8"
    data = ["--source", str(domains[0]), "--target", str(domains[1])]
    rest = ["--device", "cpu", "--jobs", "1", "--adapt.warmup", "2", "--out", str(out)]
    main(["adapt", *data, *small.split(), *rest])
    rows = json.loads((out / "results.json").read_text())
    assert rows[0]["target_about"]["frames"]["test"] == rows[0]["poses"]
    cards = {name: read_card(out / "seed0" / name / "lifter.safetensors")
             for name in ("pretrain", "control", "poseda")}  # fmt: skip
    for card, row in zip(cards.values(), rows, strict=True):
        assert card is not None and (card.version, card.commit) == version_and_commit()
        assert card.source.name == "source" and card.method == row["method"]
        assert card.results[0]["mpjpe"] == row["mpjpe"]
    pretrained, control, adapted = cards.values()
    assert pretrained is not None and control is not None and adapted is not None
    assert pretrained.target is None and control.target is None  # they never saw it
    assert adapted.target is not None and adapted.target.frames > 0
    assert set(pretrained.settings) == {"precision", "pretrain"}
    assert adapted.settings["adapt"]["steps"] == 4

    weights = out / "seed0" / "poseda" / "lifter.safetensors"
    main(["adapt", *data, *small.split(), *rest[:-1], str(out / "more"), "--weights", str(weights)])
    again = read_card(out / "more" / "seed0" / "poseda" / "lifter.safetensors")
    assert again is not None and again.start == adapted and "pretrain" not in again.settings
    capsys.readouterr()
    main(["card", "--weights", str(weights)])
    assert capsys.readouterr().out == weights.with_name("MODEL_CARD.md").read_text()
