"""What the documents show works: every command and every snippet runs, and links lead somewhere."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tests.test_prepare_3dpw as pw3d
import tests.test_prepare_ski as ski
import tests.three_dhp_files as mpi_inf_3dhp
from poseda.cli import main
from poseda.data import save_pose_set
from poseda.data.synthetic import make_source, make_target, synthetic_pair
from tests.keypoint_files import detected, walk
from tests.test_prepare_human36m import recordings, write

__all__ = ["recordings"]  # a fixture

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: a snippet that is a file of the reader's own says so in its first line
FILE = re.compile(r"# (\w+/\w+\.py)\n")
#: commands that stand for others
PATTERN = "poseda prepare NAME "
#: a training that takes a moment
SMALL = [
    *("--width", "8", "--pretrain.steps", "4", "--pretrain.batch", "8", "--adapt.steps", "4"),
    *("--adapt.batch", "8", "--adapt.warmup", "1", "--jobs", "1"),
]
TRAININGS = {
    "adapt": SMALL,
    "compare": [*SMALL, "--seeds", "0"],
    "pretrain": SMALL[:6],
    "reproduce": [
        *("--set", "width=8", "pretrain.steps=4", "pretrain.batch=8", "adapt.steps=4"),
        *("adapt.batch=8", "adapt.warmup=1", "--jobs", "1", "--seeds", "0"),
    ],
}


def blocks(page: Path, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == kind]


def snippets(page: Path) -> list[str]:
    """The Python that a page shows; test_readme.py runs what the README has under "python"."""
    return blocks(page, "py" if page.name == "README.md" else "python")


def commands(page: Path) -> Iterator[list[str]]:
    """The commands that a page shows, line breaks within a command joined."""
    for text in [*blocks(page, "sh"), *blocks(page, "")]:
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("poseda ") and not line.startswith(PATTERN):
                yield shlex.split(line, comments=True)[1:]


def mmpose(frames: int) -> str:
    """Two people who walk past."""
    people = [detected(walk(frames, seed=k, aside=k - 0.5), "coco_17").tolist() for k in (0, 1)]
    shown = [
        {
            "frame_id": frame,
            "instances": [
                {"keypoints": each[frame], "keypoint_scores": [0.9] * 17} for each in people
            ],
        }
        for frame in range(frames)
    ]
    return json.dumps({"meta_info": {"dataset_name": "coco"}, "instance_info": shown})


def own_files(folder: Path) -> None:
    """What somebody has at hand: a source, a detector's file, a photo, weights, a package."""
    for code in blocks(ROOT / "docs" / "extending.md", "python"):
        if named := FILE.match(code):
            (folder / named[1]).parent.mkdir(exist_ok=True)
            (folder / named[1]).write_text(code)
    save_pose_set(folder / "source.npz", make_source(seed=1, frames=200))
    save_pose_set(folder / "source_cmu.npz", make_source(seed=1, frames=200))
    target = dict(make_target(seed=1, frames=200))
    target["camera"] = np.arange(len(target["pose2d"])) % 7
    for name in ("target.npz", "target_cmu.npz"):
        save_pose_set(folder / name, target)
    (folder / "clip.json").write_text(mmpose(30))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28  # FocalLengthIn35mmFilm
    Image.new("RGB", (192, 108)).save(folder / "photo.jpg", exif=exif)
    main(["pretrain", "--source", str(folder / "source.npz"), "--out", str(folder / "first"),
          *TRAININGS["pretrain"]])  # fmt: skip
    weights = folder / "first" / "seed0" / "pretrain" / "lifter.safetensors"
    (folder / "lifter.safetensors").write_bytes(weights.read_bytes())


def data_sets(folder: Path, recordings: Any) -> None:
    """A few frames of each data set, in the layout of its own files."""
    data = folder / "data"
    for name in ("h36m", "3dhp", "ski", "mocap", "door", "hall", "3dpw"):
        (data / name).mkdir(parents=True)
    write(data / "h36m", recordings)
    mpi_inf_3dhp.write_train(data / "3dhp", "S1", "Seq1", 4, "v5")
    mpi_inf_3dhp.write_test(data / "3dhp", "TS1", np.ones(4, bool), "v5")
    for part in ("train", "test"):
        ski.save(data / "ski", part, ski.labels(part)[0])
    pw3d.data_set(data / "3dpw", train=[pw3d.sequence()], test=[pw3d.sequence(seed=1)])
    np.savez(
        data / "mocap" / "joints.npz",
        joints=walk(60).astype(np.float32), names=["ann_1", "bob_1"], subjects=["ann", "bob"],
        actions=["walk", "walk"], clip_start=[0, 30], clip_len=[30, 30], fps=[30.0, 30.0],
    )  # fmt: skip
    (rig,) = blocks(ROOT / "docs" / "datasets.md", "json")
    (folder / "rig.json").write_text(rig)
    for place in ("door", "hall"):
        (data / place / "clip.json").write_text(mmpose(10))
    (folder / "mine").mkdir()


@pytest.fixture(scope="module", autouse=True)
def few_synthetic_humans() -> Iterator[None]:
    """Where a command has no source or no target."""
    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(synthetic_pair, frames=200)
        patch.setattr("poseda.data.synthetic.synthetic_pair", few)
        yield


@pytest.fixture(scope="module")
def at_first(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("place")
    own_files(folder)
    data_sets(folder, request.getfixturevalue("recordings"))
    return folder


@pytest.fixture
def place(at_first: Path, tmp_path: Path) -> Path:
    """A reader's folder, of each page its own: some write files that others read."""
    return Path(shutil.copytree(at_first, tmp_path / "place"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("page", [p for p in PAGES if [*commands(p)]], ids=lambda page: page.stem)
def test_commands_run(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader types them, with trainings cut short."""
    monkeypatch.chdir(place)
    for words in commands(page):
        main([*words, *(TRAININGS.get(words[0], []) if words[1:] else [])])


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p)], ids=lambda p: p.stem)
def test_snippets_run(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    names: dict[str, Any] = {}
    run: Callable[..., None] = exec
    for code in snippets(page):
        run(compile(code, str(page), "exec"), names)
