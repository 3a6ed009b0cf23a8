"""A method of the user's own: in a package of its own, resumed, and refused where it is wrong."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from poseda.cli import main
from poseda.config import AdaptSettings
from poseda.data import PoseSet
from poseda.methods import described, make_method, try_own_method
from poseda.methods.options import read_options
from poseda.networks.lifters import make_lifter
from poseda.networks.weights import read_card
from poseda.training.run_folder import RunFolder
from tests.commands import refused, run

#: a method that learns a size, keeps it, and asks the lifter; `{...}` are lines to go wrong
METHOD = """
import torch
from poseda.methods import Pairs
from poseda.methods.losses import asked


class Grown:
    warmup = 2

    def __init__(self, task):
        own = task.options(rate=0.5, name="x", sign=True)
        self.task, self.rate = task, own["rate"]
        self.size = torch.zeros((), device=task.source.device)
        # INIT

    def iterate(self, iteration):
        self.size += self.rate
        # ITERATE
        return {"size": self.size}

    def describe(self):
        return {}

    def pairs(self):
        source, batch = self.task.source, self.task.settings.batch
        rows = source.rows(batch)
        pose = source.pose3d(rows)
        with asked(self.task.lifter), torch.no_grad():
            self.task.lifter(source.pose2d(rows))
        pose2d, pose3d = source.pose2d(rows), pose - pose[:, :1]
        keep = pose[:, 0, 2] > 0
        # PAIRS
        return Pairs(pose2d, pose3d, keep)

    def state_dict(self):
        return {"size": self.size}

    def load_state_dict(self, state):
        self.size.copy_(state["size"])


some_text = "not a method"
"""
SMALL = ("--width", 8, "--pretrain.steps", 4, "--adapt.steps", 98, "--adapt.batch", 8,
         "--pretrain.batch", 8, "--checkpoint-every", 30, "--jobs", 1, "--no-control")  # fmt: skip


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on its own, from which commands are typed."""
    folder = tmp_path / "elsewhere"
    (folder / "grownpkg").mkdir(parents=True)
    (folder / "grownpkg" / "grown.py").write_text(METHOD)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.startswith("grownpkg")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def change(package: Path, *lines: str, at: str) -> None:
    """Puts lines into the method, or in the place of one of its own."""
    path = package / "grownpkg" / "grown.py"
    text = path.read_text()
    assert text.count(at) == 1
    new = ("\n" + " " * 8).join(textwrap.dedent(line) for line in lines)
    path.write_text(text.replace(at, new))


NAME = "grownpkg.grown:Grown"


def tried(pose_sets: tuple[PoseSet, PoseSet], name: str = NAME, **settings: object) -> None:
    source, target = (poses.train for poses in pose_sets)
    lifter = make_lifter("videopose3d", source.skeleton, 8)
    try_own_method(name, AdaptSettings(**settings), source, target, lifter)  # type: ignore[arg-type]


def test_a_method_in_a_package_of_its_own_trains_resumes_and_is_named(
    package: Path, domains: tuple[Path, Path], no_figures: None
) -> None:
    data = ("--source", domains[0], "--target", domains[1])
    options = ("--adapt.options", "rate=0.25", "sign=false")
    out = package / "out"
    run("adapt", *data, "--method", NAME, *options, *SMALL, "--out", out)
    folder = RunFolder(out / "seed0" / "grownpkg.grown-Grown")
    assert [record["size"] for record in folder.records()] == [7.5, 12.5, 15, 22.5, 25]
    rows = json.loads((out / "results.json").read_text())
    assert [row["method"] for row in rows] == ["source-only", NAME]
    card = read_card(folder.weights_path)
    assert card is not None and card.method == NAME
    assert card.settings["adapt"]["options"] == ["rate=0.25", "sign=false"]

    before = load_file(folder.weights_path)
    folder.weights_path.unlink()  # killed at the last checkpoint
    run("adapt", "--resume", out, "--jobs", 1)
    after = load_file(folder.weights_path)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_what_fails_in_the_middle_says_where_and_goes_on_once_mended(
    package: Path,
    domains: tuple[Path, Path],
    no_figures: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(package, 'if iteration == 70: raise KeyError("lost")', at="# ITERATE")
    data = ("--source", domains[0], "--target", domains[1])
    out = package / "out"
    said = refused(capsys, "adapt", *data, "--method", NAME, *SMALL, "--out", out)
    assert f"method {NAME}: iterate(70) fails: KeyError('lost') (grown.py:18)" in said
    folder = RunFolder(out / "seed0" / "grownpkg.grown-Grown")
    state = folder.load_state()
    assert state is not None and state["iteration"] == 60
    change(package, "pass", at='if iteration == 70: raise KeyError("lost")')
    for name in [name for name in sys.modules if name.startswith("grownpkg")]:
        del sys.modules[name]
    main(["adapt", "--resume", str(out), "--jobs", "1"])
    assert [record["size"] for record in folder.records()] == [15, 25, 30, 45, 50]


def test_nothing_is_left_behind_by_a_method_that_is_wrong(
    package: Path, domains: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    change(package, "pose3d = pose", at="# PAIRS")
    data = ("--source", domains[0], "--target", domains[1])
    said = refused(capsys, "adapt", *data, "--method", NAME, *SMALL, "--out", package / "out")
    assert f"method {NAME}: pairs: pose3d: got joint 0 up to" in said
    assert not (package / "out").exists()
    options = ("--adapt.options", "rate=1")
    said = refused(capsys, "adapt", *data, *options, *SMALL, "--out", package / "out")
    assert "adapt.options: got rate=1, expected options only with a method of your own" in said


def test_a_good_method_passes(package: Path, pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source, target = (poses.train for poses in pose_sets)
    lifter = make_lifter("videopose3d", source.skeleton, 8)
    before = torch.get_rng_state()
    try_own_method(NAME, AdaptSettings(), source, target, lifter)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("at", "line", "message"),
    [
        ("# INIT", "task.nothing", r"cannot be made: AttributeError.*'nothing'.*grown.py:14"),
        ("def __init__(self, task):", "def __init__(self, task, x):", "cannot be made: TypeErr"),
        ("def state_dict(self):", "def no_state_dict(self):", "has no state_dict, expected a meth"),
        ("warmup = 2", "warmup = -1", "warmup: got -1, expected a number"),
        ("warmup = 2", "warmup = property(lambda self: 1 / 0)", r"warmup fails: ZeroDivision"),
        ("warmup = 2", "warmup = 2; passes = 1.5", "passes: got 1.5, expected a number"),
        ("# ITERATE", "return None", "iterate: got NoneType, expected a dict of tensors"),
        ("# ITERATE", 'return {"a": 1.0}', "iterate: a: got float, expected a tensor on cpu"),
        ("# ITERATE", "return {3: self.size}", "iterate: got the name 3, expected a text"),
        ("# ITERATE", 'return {"step": self.size}', "iterate: got the name 'step', expected a "),
        ("# ITERATE", "raise SystemExit", r"iterate\(0\) fails: SystemExit"),
        ("# PAIRS", "1 / 0", r"pairs\(\) fails: ZeroDivisionError.*grown.py:32"),
        ("# PAIRS", "return pose2d, pose3d, keep", "pairs: got tuple, expected poseda.methods.Pa"),
        ("# PAIRS", "pose2d = pose2d[1:]", r"pose2d: got \(3, 16, 2\) .*expected \(4, 16, 2\) fl"),
        ("# PAIRS", "pose3d = pose3d.double()", "pose3d: got .* float64 .*expected .* float32"),
        ("# PAIRS", "keep = keep.float()", r"keep: got \(4,\) float32 .*expected \(4,\) bool"),
        ("# PAIRS", "keep = None", r"keep: got NoneType, expected \(4,\) bool on cpu"),
        ("# PAIRS", "pose3d[1] = torch.nan", "pose3d: got NaN or infinity in 1 of 4 pairs to"),
        ("# PAIRS", "pose2d = 500 * pose2d + 500", "pose2d: got coordinates of .* in the median"),
        ("# PAIRS", "self.task.lifter.eval()", "changes the lifter, or leaves it in evaluation"),
        ("# PAIRS", "self.task.lifter(pose2d)", "changes the lifter"),  # its batch norm learns
        ('return {"size": self.size}\n\n    def load', "return []\n\n    def load",
         "state_dict: got list, expected a dict"),
        ('return {"size": self.size}\n\n    def load', "return {'m': self}\n\n    def load",
         "state_dict: cannot be kept in a checkpoint, expected tensors"),
        ('state["size"]', 'state["length"]', r"load_state_dict\(\) fails: KeyError\('length'\)"),
    ],
)  # fmt: skip
def test_a_method_that_is_wrong_is_refused_before_anything_is_trained(
    package: Path, pose_sets: tuple[PoseSet, PoseSet], at: str, line: str, message: str
) -> None:
    change(package, line, at=at)
    with pytest.raises(ValueError, match=f"method {NAME}: (pairs: )?{message}"):
        tried(pose_sets)


def test_pairs_to_leave_out_may_hold_anything(
    package: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    change(package, "keep[0] = False; pose2d[0] = torch.nan; pose3d[0] = torch.inf", at="# PAIRS")
    tried(pose_sets)


def test_values_are_checked_once_and_forms_always(
    package: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    source, target = (poses.train for poses in pose_sets)
    lifter = make_lifter("videopose3d", source.skeleton, 8)
    settings = AdaptSettings(batch=8)
    method = make_method(
        NAME, settings, source, target, torch.Generator().manual_seed(0), lifter=lifter
    )
    pairs = method.pairs()
    later = [pairs._replace(pose3d=pairs.pose3d * torch.nan), pairs._replace(keep=pairs.keep[1:])]
    method.method.pairs = lambda: later.pop(0)  # type: ignore[attr-defined]
    assert method.pairs().pose3d.isnan().all()
    with pytest.raises(ValueError, match=r"pairs: keep: got \(7,\) bool on cpu, expected \(8,\)"):
        method.pairs()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grownpkg.grown:Missing", "no attribute 'Missing'"),
        ("grownpkg.nothing:Grown", "No module named 'grownpkg.nothing'"),
        ("grownpkg.grown:some_text", "got str, expected a class"),
        ("grownpkg.grown:", "expected one of source-only, .* or package.module:Class"),
        ("PoseDA", "^method PoseDA: no such method, expected one of source-only, .* or pack"),
    ],
)
def test_a_name_that_is_no_method_is_refused(
    package: Path, pose_sets: tuple[PoseSet, PoseSet], name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tried(pose_sets, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("angle=3",), "options: got 'angle', expected name, rate, sign"),
        (("rate=fast",), "options: rate: got 'fast', expected a value such as 0.5"),
        (("sign=maybe",), "options: sign: got 'maybe', expected true or false"),
        (("rate=1", "rate=2"), "options: got rate twice"),
    ],
)
def test_options_that_a_method_has_not_are_refused(
    package: Path, pose_sets: tuple[PoseSet, PoseSet], options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tried(pose_sets, options=options)


def test_options_have_the_types_of_their_defaults() -> None:
    defaults = {"rate": 0.5, "count": 3, "sign": True, "name": "x"}
    given = ("rate=2", "sign=False", "name=a=b", "count=-1")
    assert read_options(given, defaults) == {"rate": 2.0, "count": -1, "sign": False, "name": "a=b"}
    assert read_options((), defaults) == defaults


def test_built_in_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run("methods")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*described()]
