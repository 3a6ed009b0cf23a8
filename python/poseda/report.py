"""Tables, figures and the report of a run."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from poseda import figures
from poseda.config import Settings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.experiment import described, load_data
from poseda.figures import Stage, save_figure
from poseda.files import atomic_write, plain_text
from poseda.methods import AdaptPose, Method, is_own, make_method, title
from poseda.methods.poseda import PoseDA
from poseda.metrics import mpjpe
from poseda.networks.lifters import frames_of, lift_poses, normalization_of
from poseda.networks.weights import NamedLifter, load_lifter
from poseda.plan import SOURCE_ONLY, Plan, Variant
from poseda.protocol import PROTOCOLS
from poseda.training.run_folder import RunFolder
from poseda_ext import augment

COLUMNS = {
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "n_mpjpe": "N-MPJPE",
    "pck": "PCK",
    "auc": "AUC",
}
TOLD = {
    "dataset": "",
    "labels": "labels: ",
    "pose2d": "2D: ",
    "camera": "camera: ",
    "protocol": "protocol: ",
}
SAMPLES = 4
CLOUD = 20_000
MOST_NAMES = 12  #: of subjects that a protocol line lists
MOTIONS, STILL_POSES = 2, 6  #: samples of generated motions, and of single poses
VIEWS, MOST_BATCHES = 2_000, 16  #: generated poses whose viewpoints are shown, and batches of them
ALL_CAMERAS = "all"
MIN_KEPT = 0.5  #: below this share of kept pairs the report warns
YARDSTICKS = (SOURCE_ONLY, "control", "oracle")
IN_SIGHT, CAMERAS = "of the augmented pairs in sight", "check the target's cameras"
#: what a share of kept pairs is of, and what else to look at where it is small
KEPT = {
    "lpa": (IN_SIGHT, "check the source's cameras"),
    "poseaug": (IN_SIGHT, "a higher `--adapt.gan-lr` may help in a short training"),
    "adaptpose": (
        "of the generated pairs in sight and selected",
        "`--adapt.adaptpose.selection-centre` and `selection-width` decide (Eq. 14)",
    ),
}
#: what is said of the pairs, where it is logged and not 0
LOGGED = {
    "bone_angle_deg": "mean bone angle {:.1f} degrees",
    "bone_ratio": "mean bone ratio {:.3f}",
    "rotation_deg": "mean rotation {:.1f} degrees",
    "hardness": "{:.2g} times as hard for the lifter as their source poses",
    "hard_angle": "{:.2g} times as hard for the lifter as their source poses after bone angles",
    "foreign": "the target {:.1%} foreign to the lifter",
    "body_ratio": "bones {:.1%} off the source's",
    "view_change_deg": "the last round turned viewpoints by {:.1f} degrees",
    "body_change": "and changed bones by {:.1%}",
    "fit_change_mm": "and target poses by {:.1f} mm",
    "fit_misfit_mm": "target poses as fitted lie {:.0f} mm from what was predicted",
    "critic_gap": "critic gap {:.4f}",
    "critic2d_gap": "2D critic gap {:.4f}",
}


def table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a line per row of the plan, mean and (with several seeds) standard
    deviation."""
    classes = sorted(rows[0]["per_camera"]) if len(rows[0]["per_camera"]) > 1 else []
    header = ["method", *COLUMNS.values(), *classes, "on source"]
    lines = []
    for name in dict.fromkeys(row["row"] for row in rows):
        mine = [row for row in rows if row["row"] == name]
        values = [[row[column] for row in mine] for column in COLUMNS]
        values += [[row["per_camera"][name] for row in mine] for name in classes]
        values.append([row["source_mpjpe"] for row in mine])
        lines.append([title(name), *(spread(value) for value in values)])
    return header, lines


def spread(values: Sequence[float | None]) -> str:
    """The mean, and with several values their standard deviation."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "-"
    if len(numbers) == 1:
        return f"{numbers[0]:.1f}"
    return f"{mean(numbers):.1f} ± {stdev(numbers):.1f}"


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    header, lines = table(rows)
    cells = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def protocol(plan: Plan, rows: Sequence[dict[str, Any]]) -> str:
    """The line that must stand beside every figure of a table."""
    settings = plan.settings
    source, target = load_data(settings)
    poses = f"{rows[0]['poses']:,} test poses" if rows else "no labelled test poses"
    if rows:
        lifters = {
            (row["lifter"], row["width"], row["normalization"]): row["protocol_about"]
            for row in rows
        }
    else:
        before = [_before(plan, variant, plan.seeds[0]) for variant in plan.variants]
        evaluated = PROTOCOLS[settings.protocol]
        lifters = {
            (each.name, each.width, normalization_of(each.module)): evaluated.describe(
                each.skeleton
            )
            for each in before
        }
    networks = [
        f"{name}, width {width}{'' if how == 'screen' else f', input normalised by {how}'}"
        for name, width, how in lifters
    ]
    seeds = f"seed {plan.seeds[0]}"
    if len(plan.seeds) > 1:
        numbers = ", ".join(str(seed) for seed in plan.seeds)
        seeds = f"seeds {numbers}, ± is their standard deviation"
    return (
        f"{_said(source)} to {_said(target)}, {poses}; "
        f"{next(iter(lifters.values()))}; 2D as in the files; {', '.join(networks)}, "
        f"{settings.precision}; {schedules(plan, rows)}; "
        f"{seeds}. Control: "
        "as many more steps on source alone. Oracle: fine-tuned with the 3D of the target's train "
        "part. MPJPE (also by camera class, and on the source's test part), PA-MPJPE and N-MPJPE "
        "in mm, PCK at 150 mm and AUC in per cent."
    )


def schedules(plan: Plan, rows: Sequence[dict[str, Any]]) -> str:
    """How long and how fast lifters were trained, each kind that differs named by its lifters, and
    where one of them was trained in several ways by the methods."""
    names = {row["row"] for row in rows}
    # of each schedule its lifters, and of these their methods
    found: dict[str, dict[str, dict[str, None]]] = {}
    for variant in plan.variants:
        if not names or variant.name in names:
            settings = plan.settings_of(variant)
            lifters = found.setdefault(_schedule(settings), {})
            lifters.setdefault(settings.lifter, {})[title(variant.method)] = None
    if len(found) == 1:
        return next(iter(found))
    times = Counter(lifter for lifters in found.values() for lifter in lifters)

    def named(lifter: str, methods: Iterable[str]) -> str:
        return f"{lifter} ({', '.join(methods)})" if times[lifter] > 1 else lifter

    return "; ".join(
        f"{', '.join(named(*each) for each in lifters.items())}: {schedule}"
        for schedule, lifters in found.items()
    )


def _schedule(settings: Settings) -> str:
    adapt, pretrain = settings.adapt, settings.pretrain
    start = (
        f"weights from {settings.weights}"
        if settings.weights
        else f"pre-training {pretrain.steps:,} steps of {pretrain.batch} at {pretrain.lr:g} "
        f"falling to {pretrain.final_lr:g}"
    )
    said = (
        f"{start}, then {adapt.steps:,} steps of {adapt.batch} + {adapt.batch} at {adapt.lr:g} "
        "falling to 0"
    )
    if not settings.strided:
        return said
    return f"{said}, source windows of strides {', '.join(map(str, settings.strides))}"


def _said(poses: PoseSet) -> str:
    """A data set by name and by what its file says of itself."""
    about = described(poses)
    frames = ", ".join(f"{count:,} {name}" for name, count in about.pop("frames").items() if count)
    said = [f"{TOLD[key]}{about[key]}" for key in TOLD if key in about]
    return f"{poses.name} ({'; '.join([*said, *_subjects(poses), f'{frames} frames'])})"


def _subjects(poses: PoseSet) -> list[str]:
    names = sorted({plain_text(str(name)) for name in poses.subject} - {""})
    if not names:
        return []
    some = len(names) <= MOST_NAMES
    return [f"subjects {', '.join(names)}" if some else f"{len(names):,} subjects"]


def _before(plan: Plan, variant: Variant, seed: int) -> NamedLifter:
    """The lifter that a row's training starts from."""
    path = plan.start_folder(variant, seed) / "lifter.safetensors"
    return load_lifter(path, plan.settings_of(variant).lifter)


def _after(plan: Plan, variant: Variant, seed: int) -> NamedLifter:
    path = plan.folder(variant, seed) / "lifter.safetensors"
    return load_lifter(path, plan.settings_of(variant).lifter)


def gain(rows: Sequence[dict[str, Any]]) -> list[str]:
    """By how much each row improved, against the start and against the control."""
    by_method: dict[str, list[float]] = {}
    for row in rows:
        by_method.setdefault(row["row"], []).append(row["mpjpe"])
    means = {method: mean(values) for method, values in by_method.items()}
    lines = []
    for method, value in means.items():
        against = [
            f"{value - means[other]:+.1f} mm ({100 * (value / means[other] - 1):+.1f} %) against "
            f"{title(other)}"
            for other in ("source-only", "control")
            if other in means and other != method
        ]
        if method not in ("source-only", "control") and against:
            lines.append(f"{title(method)}: {', '.join(against)}")
    return lines


def write_report(plan: Plan, rows: Sequence[dict[str, Any]]) -> Path:
    """Draws the figures and writes ``report.md``; returns its path."""
    folder = plan.settings.out
    drawn = draw_figures(plan, rows)
    lines = ["# Adaptation report", ""]
    if rows:
        lines += [markdown_table(rows), "", *(f"- {line}" for line in gain(rows)), ""]
    else:
        lines += ["The target has no labelled test part: nothing could be evaluated.", ""]
    lines += [protocol(plan, rows), ""]
    lines += _augmentation_notes(plan)
    for path, caption in drawn:
        lines += [f"![{caption}]({path.relative_to(folder).as_posix()})", "", caption, ""]
    path = folder / "report.md"
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines))
    return path


def _augmentation_notes(plan: Plan) -> list[str]:
    """The last logged state of each augmentation, per row and seed."""
    lines = []
    for variant in plan.variants:
        if variant.method in YARDSTICKS:
            continue
        for seed in plan.seeds:
            for last in RunFolder(plan.folder(variant, seed)).records()[-1:]:
                said = describe_pairs(variant.method, last)
                lines.append(f"- {title(variant.name)}, seed {seed}: {', '.join(said)}")
    return [*lines, ""] if lines else []


def describe_pairs(method: str, record: Mapping[str, float]) -> list[str]:
    """What became of the made pairs, and, of a method that we know, what the pairs are like."""
    kept = record.get("kept", math.nan)
    share, why = KEPT.get(method, (IN_SIGHT, CAMERAS))
    if is_own(method):
        share, why = "of the made pairs kept", "the method's `keep` says so"
    said = [f"{100 * kept:.0f} % {share}"]
    if kept < MIN_KEPT:
        said.append(f"**the others were left out: {why}**")
    if not is_own(method):
        if record.get("foreign", 1.0) == 0:
            said.append(
                "**all are the source's own: the lifter knows the target as it knows them**"
            )
        said += [text.format(record[name]) for name, text in LOGGED.items() if record.get(name)]
    return said


def _shown(methods: Sequence[str]) -> str:
    """The method that the figures are of: PoseDA or a half of it, else the last that adapts."""
    for name in ("poseda", "gpa", "lpa"):
        if name in methods:
            return name
    adapting = [name for name in methods if name not in YARDSTICKS]
    return (adapting or methods)[-1]


def draw_figures(plan: Plan, rows: Sequence[dict[str, Any]]) -> list[tuple[Path, str]]:
    """The figures of a run, with captions; all but the errors are of the first seed."""
    folder = plan.settings.out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    seed = plan.seeds[0]
    source, target = load_data(plan.settings)
    best = plan.variant(_shown([variant.name for variant in plan.variants]))
    drawn: list[tuple[Path, str]] = []

    def keep(figure: figures.Figure, name: str, caption: str) -> None:
        path = folder / f"{name}.png"
        save_figure(figure, path)
        drawn.append((path, caption))

    if rows and 1 < len(plan.variants) <= figures.MAX_METHODS:
        keep(
            camera_figure(rows),
            "cameras",
            "MPJPE by camera, before and after adaptation, of all methods.",
        )
    generating = [row for name in ("poseda", "lpa") for row in plan.variants if row.method == name]
    for row in generating[:1]:
        keep(
            _stages(plan, source.train, target.train, row, seed),
            "stages",
            f"What {title(row.name)} does to a source pose, stage by stage (PoseDA, Fig. 3).",
        )
    keep(
        _distributions(source.train, target.train),
        "distributions",
        "2D box size and root position in the source, in the source after GPA, and in the target "
        "(PoseDA, Fig. B).",
    )
    if best.method != SOURCE_ONLY:
        keep(
            _predictions(plan, target, best, seed),
            "predictions",
            f"The lifter before and after adaptation by {title(best.name)} on target test poses, "
            "at equal distances in the order of the error before (PoseDA, Fig. 4).",
        )
    for variant in plan.variants:
        own = variant.method == "adaptpose"
        if variant.method != SOURCE_ONLY and (variant == best or own):
            keep(
                _viewpoints(plan, source.train, target.train, variant, seed),
                "viewpoints" if variant == best else f"viewpoints-{file_name(variant.name)}",
                f"From where people are seen: in the source, in what {title(variant.name)} makes "
                "of it, and in the target as the adapted lifter sees it (AdaptPose, Fig. 7).",
            )
        if own:
            keep(
                _motions(plan, source.train, target.train, variant, seed),
                f"motions-{file_name(variant.name)}",
                f"Source motions and what {title(variant.name)} makes of them (AdaptPose, Fig. 5).",
            )
    if best.method != SOURCE_ONLY:
        records = RunFolder(plan.folder(best, seed)).records()
        if records:
            keep(figures.training_curves(records), "curves", f"Training by {title(best.name)}.")
    return drawn


def _stages(
    plan: Plan, source: PoseSet, target: PoseSet, row: Variant, seed: int
) -> figures.Figure:
    """Random samples through a row's trained generator."""
    random = torch.Generator().manual_seed(seed)
    before = _before(plan, row, seed).module  # which some variants ask
    adapt = plan.settings_of(row).adapt
    method = make_method(row.method, adapt, source, target, random, lifter=before)
    assert isinstance(method, PoseDA) and method.local is not None
    state = RunFolder(plan.folder(row, seed)).load_state()
    if state is not None:
        method.load_state_dict(state["method"])
    sampler = Sampler(source, random)
    batch = sampler(SAMPLES)
    pose3d = sampler.pose3d(batch.rows)
    aim = Sampler(target, random)(SAMPLES)
    with torch.no_grad():
        made = method.local.transform(pose3d)
    root = pose3d[:, 0]
    skeleton = source.skeleton

    def seen(pose: torch.Tensor) -> torch.Tensor:
        points = augment(pose, root=root, intrinsics=batch.intrinsics, skeleton=skeleton).pose2d
        assert points is not None
        return points

    scaled = augment(made.turned, bone_scale=made.bone_scale, skeleton=skeleton).pose3d
    turned = augment(scaled, rotation=made.rotation, skeleton=skeleton).pose3d
    placed = augment(turned, target2d=aim.pose2d, intrinsics=aim.intrinsics, skeleton=skeleton)
    stages = [
        Stage("source", pose3d - root[:, None], batch.pose2d),
        Stage("bone angle", made.turned, seen(made.turned)),
        Stage("bone length", scaled, seen(scaled)),
        Stage("rotation", turned, seen(turned)),
    ]
    if method.gpa:
        stages += [
            Stage("translation (GPA)", placed.pose3d, placed.pose2d),
            Stage("target", None, aim.pose2d),
        ]
    return figures.transformation_stages(stages, skeleton)


def _distributions(source: PoseSet, target: PoseSet) -> figures.Figure:
    random = torch.Generator().manual_seed(0)
    sampler = Sampler(source, random)
    batch = sampler(min(CLOUD, len(source)))
    pose3d = sampler.pose3d(batch.rows)
    aim = Sampler(target, random)(len(pose3d))
    aligned = augment(
        pose3d, target2d=aim.pose2d, intrinsics=aim.intrinsics, skeleton=source.skeleton
    ).pose2d
    assert aligned is not None
    return figures.distributions(batch.pose2d, aligned, aim.pose2d)


def _trained(
    plan: Plan, source: PoseSet, target: PoseSet, row: Variant, seed: int
) -> tuple[Method, int]:
    """A row's method as it was at the end of its training, and the number of that iteration."""
    settings = plan.settings_of(row)
    lifter = _after(plan, row, seed).module
    random = torch.Generator().manual_seed(seed)
    frames = frames_of(lifter)
    task = settings.adapt, source, target, random, frames, lifter, settings.strides
    method = make_method(row.method, *task)
    state = RunFolder(plan.folder(row, seed)).load_state()
    if state is not None:
        method.load_state_dict(state["method"])
    return method, method.warmup + settings.adapt.steps - 1


def _viewpoints(
    plan: Plan, source: PoseSet, target: PoseSet, row: Variant, seed: int
) -> figures.Figure:
    method, last = _trained(plan, source, target, row, seed)
    made: list[torch.Tensor] = []
    for _ in range(min(-(-VIEWS // plan.settings_of(row).adapt.batch), MOST_BATCHES)):
        method.iterate(last)  # some methods make pairs there; what it learns is thrown away
        pairs = method.pairs()
        made.append(pairs.pose3d[pairs.keep])
    predicted = lift_poses(_after(plan, row, seed).module, target)
    assert source.pose3d is not None
    sets = {
        "source": _some(source.pose3d),
        f"pairs of {title(row.name)}": torch.cat(made),
        "target, as predicted": _some(predicted),
    }
    return figures.viewpoints(
        {name: poses for name, poses in sets.items() if len(poses)}, source.skeleton
    )


def _some(poses: torch.Tensor) -> torch.Tensor:
    """At equal distances, where there are many."""
    return poses[:: -(-len(poses) // CLOUD)]


def _motions(
    plan: Plan, source: PoseSet, target: PoseSet, row: Variant, seed: int
) -> figures.Figure:
    method, _ = _trained(plan, source, target, row, seed)
    assert isinstance(method, AdaptPose)
    made = method.sample(STILL_POSES if method.frames == 1 else MOTIONS, seed)
    return figures.motions(made.source, made.generated, source.skeleton)


def camera_figure(rows: Sequence[dict[str, Any]]) -> figures.Figure:
    """MPJPE by camera of every row of results, all seeds of a row together."""
    errors: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        cameras = row["per_camera"] if len(row["per_camera"]) > 1 else {}
        named = {ALL_CAMERAS: row["mpjpe"], **{name: cameras[name] for name in sorted(cameras)}}
        errors.setdefault(title(row["row"]), []).append(named)
    return figures.camera_errors(errors)


def file_name(name: str) -> str:
    """A name of the user's, as part of a file's name."""
    return re.sub(r"[^\w.=+-]", "_", name)


def _predictions(plan: Plan, target: PoseSet, row: Variant, seed: int) -> figures.Figure:
    poses = target.test if bool((target.split == 1).any()) else target.train
    before, after = (lift_poses(each(plan, row, seed).module, poses) for each in (_before, _after))
    if poses.pose3d is None:
        rows = torch.linspace(0, len(poses) - 1, SAMPLES).long()
        truth = None
    else:
        order = mpjpe(before, poses.pose3d).argsort()
        rows = order[torch.linspace(0.2, 0.98, SAMPLES).mul(len(order) - 1).long()]
        truth = poses.pose3d[rows] - poses.pose3d[rows, :1]
    labels = [f"camera {poses.camera_class[row]}" for row in rows.tolist()]
    return figures.predictions(
        poses.pose2d[rows],
        truth,
        before[rows],
        after[rows],
        poses.skeleton,
        labels,
        names=("source only", "adapted"),
    )
