"""Runs: pre-train a lifter, adapt it by each method and seed, evaluate, all resumable.

A run folder holds ``config.json`` (a `poseda.plan.Plan`), a folder per seed and training
(``seed0/pretrain``, ``seed0/poseda``, ...; see `poseda.training.run_folder`), ``results.json``,
``report.md`` and ``figures/``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from poseda.cameras import ESTIMATE
from poseda.cameras.estimate import Estimator, camera_estimator
from poseda.card import DataCard, ModelCard, version_and_commit
from poseda.config import AdaptSettings, KeypointSettings, Settings
from poseda.data import PoseSet, load_pose_set
from poseda.data.sampler import Sampler
from poseda.data.target import Target, load_target
from poseda.device import pick_device
from poseda.distributed import from_first, is_first, world_size
from poseda.files import atomic_write
from poseda.methods import (
    check_method,
    is_own,
    learns_from_target,
    looks_at_labels,
    make_method,
    parts_of,
    seen_enough,
    try_own_method,
)
from poseda.metrics import Metrics
from poseda.networks.lifters import (
    default_width,
    frames_of,
    lift,
    lift_poses,
    make_lifter,
    normalization_of,
)
from poseda.networks.weights import (
    SKELETONS,
    NamedLifter,
    lifter_bytes,
    load_lifter,
    read_card,
    save_lifter,
)
from poseda.plan import PRETRAINING, SOURCE_ONLY, Job, Plan, Variant
from poseda.protocol import PROTOCOLS, Protocol
from poseda.training.loop import Diverged, Progress, Schedule, Training
from poseda.training.run_folder import RunFolder, compare_settings
from poseda.training.watch import advice_on_nan

SPLITS = ("train", "test")
#: metres that no lifter errs by, trained or not, on so many poses of the source
BROKEN, TRIED = 100.0, 1024
#: fields of `AdaptSettings` that a user's own method may use
PARTS = ("warmup", "gan_lr")
#: of what a data file says of itself, what stands beside its figures
ABOUT = ("dataset", "labels", "pose2d", "camera", "protocol", "licence")
#: of a row of results, what a lifter's own card says
CARD_COLUMNS = (
    *("target", "target_about", "joints", "poses", "mpjpe", "pa_mpjpe", "n_mpjpe", "pck", "auc"),
    *("per_camera", "source_mpjpe", "protocol", "checkpoint"),
)
#: what a row of results says of the weights that it is of
CHECKPOINTS = {"last": "last", "best-on-test": "best on test (oracle)"}
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def parse_camera_classes(entries: tuple[str, ...]) -> dict[str, tuple[int, ...]] | None:
    """``("chest:0,1", "knee:3")`` to ``{"chest": (0, 1), "knee": (3,)}``; None where empty."""
    classes: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        name, _, cameras = entry.partition(":")
        if name in classes:
            raise ValueError(f"camera_classes: got {name!r} twice, expected each name once")
        try:
            classes[name] = tuple(int(camera) for camera in cameras.split(","))
        except ValueError:
            raise ValueError(
                f"camera_classes: got {entry!r}, expected NAME:CAMERA,CAMERA,..."
            ) from None
    return classes or None


@functools.lru_cache(maxsize=1)
def _load_data(
    source: Path | None,
    target: Path | None,
    joints: int,
    camera_classes: tuple[str, ...],
    keypoints: KeypointSettings,
    estimating: Settings | None,
) -> tuple[PoseSet, Target]:
    """`estimating` is for a camera that the given lifter estimates from the target."""
    skeleton = SKELETONS[joints]
    if source is None or target is None:
        from poseda.data.synthetic import synthetic_pair

        synthetic_source, synthetic_target = synthetic_pair(skeleton=skeleton)
    labelled = (
        synthetic_source
        if source is None
        else load_pose_set(source, skeleton=skeleton, need_pose3d=True)
    )
    unlabelled = (
        Target(synthetic_target, ())
        if target is None
        else load_target(
            target,
            keypoints,
            skeleton,
            camera_classes=parse_camera_classes(camera_classes),
            estimator=None if estimating is None else _estimator(estimating),
        )
    )
    return labelled, unlabelled


def _load(settings: Settings) -> tuple[PoseSet, Target]:
    return _load_data(
        settings.source,
        settings.target,
        settings.joints,
        settings.camera_classes,
        settings.keypoints,
        settings if settings.keypoints.camera == ESTIMATE else None,
    )


def _estimator(settings: Settings) -> Estimator:
    lifter = _given_lifter(settings)
    return camera_estimator(partial(lift, lifter.module), lifter.skeleton)


def target_lines(settings: Settings) -> tuple[str, ...]:
    """What a user is told of the target: what was read and dropped, and its camera."""
    return _load(settings)[1].lines


def load_data(settings: Settings) -> tuple[PoseSet, PoseSet]:
    """Source and target, read once per process, with non-empty train parts.

    Raises:
        FileNotFoundError, ValueError: as `load_pose_set` and `load_target`; or if a train part is
            empty.
    """
    source, target = _load(settings)[0], _load(settings)[1].poses
    for path, poses in ((settings.source, source), (settings.target, target)):
        try:
            _ = poses.train
        except ValueError as error:
            raise ValueError(f"{path or 'synthetic'}: split: {error}") from error
    return source, target


def check_plan(plan: Plan) -> None:
    """Finds out what would stop a run later, before anything is written.

    Raises:
        FileNotFoundError, ValueError, TypeError: about data, device, weights, lifter or methods.
    """
    device = pick_device(plan.settings.device)
    own: set[tuple[str, AdaptSettings, str]] = set()
    for start, jobs in plan.jobs():
        _check_batches(start.settings, jobs)
        _check_data(start.settings, jobs)
        lifter = _check_lifter(start.settings)
        frames = frames_of(lifter.module)
        if frames == 1 and start.settings.strided:
            raise ValueError(
                f"strides: got {start.settings.strides} for {lifter.name}, which looks at one "
                "frame, expected them only for a lifter of several"
            )
        for job in jobs:
            check_method(str(job.method), frames)
            case = str(job.method), job.settings.adapt, lifter.name
            if is_own(case[0]) and case not in own:
                own.add(case)
                _try_own_method(start.settings, *case[:2], lifter.module.to(device))
    options = plan.settings.adapt.options
    if options and not own:
        raise ValueError(
            f"adapt.options: got {options[0]}, expected options only with a method of your own"
        )


def _try_own_method(
    settings: Settings, method: str, adapt: AdaptSettings, lifter: nn.Module
) -> None:
    device = next(lifter.parameters()).device
    source, target = (poses.train.to(device) for poses in load_data(settings))
    try_own_method(method, adapt, source, target, lifter, settings.strides)


def _check_lifter(settings: Settings) -> NamedLifter:
    if settings.weights is not None:
        return _given_lifter(settings)
    fresh = _fresh_lifter(settings)
    try:
        lifter_bytes(fresh)
    except Exception as error:  # a user's own module may hold anything
        raise ValueError(f"lifter {fresh.name}: cannot be saved: {error!r}") from error
    return fresh


def _check_data(settings: Settings, jobs: Sequence[Job]) -> None:
    _, target = load_data(settings)
    if jobs:
        try:
            seen_enough(target.train)
        except ValueError as error:
            raise ValueError(f"{settings.target}: {error}") from error
    for job in jobs:
        if looks_at_labels(str(job.method)) and target.pose3d is None:
            raise ValueError(f"methods: got {job.method}, but {settings.target} has no pose3d")
    protocol = PROTOCOLS[settings.protocol]
    labelled = target.pose3d is not None and bool((target.split == 1).any())
    if protocol.checkpoint == "best-on-test" and not labelled:
        raise ValueError(
            f"protocol: got {protocol.name}, which chooses a checkpoint by the test set's labels, "
            f"but {settings.target} has no labelled test part"
        )
    if labelled:
        protocol.check(SKELETONS[settings.joints])


def _check_batches(settings: Settings, jobs: Sequence[Job]) -> None:
    """Processes that train together share each batch equally."""
    size = world_size()
    batches = [] if settings.weights else [("pretrain.batch", settings.pretrain.batch)]
    batches += [("adapt.batch", job.settings.adapt.batch) for job in jobs]
    for name, batch in batches:
        if batch % size:
            raise ValueError(
                f"{name}: got {batch} for {size} processes, expected a multiple of {size}: it is "
                "the batch of all of them together"
            )


def run_training(job: Job, progress: Progress) -> None:
    """One training, from its checkpoint if there is one, until its weights lie in the folder.

    Processes that train together all call this; the first writes.

    Args:
        job: which.
        progress: called at each log point.
    """
    settings, method, seed = job.settings, job.method, job.seed
    run = RunFolder(job.folder)
    run.claim(_recipe(settings, method, seed))
    if from_first(run.weights_path.exists):
        return
    if method is None and settings.weights is not None:
        _save(run, _given_lifter(settings))
        return
    device = pick_device(settings.device)
    source, target = load_data(settings)
    train = source.train.to(device)
    torch.manual_seed(seed)
    random = torch.Generator(device).manual_seed(seed)
    lifter = _initial_lifter(job)
    frames = frames_of(lifter.module)
    mixed = None
    if method is not None:
        there = target.train.to(device)
        mixed = make_method(
            *(method, settings.adapt, train, there, random, frames),
            *(lifter.module.to(device), settings.strides),
        )
    trained = replace(lifter, card=_card(settings, method, seed, lifter.card, source, target))
    training = Training(
        lifter.module.to(device),
        Sampler(train, random, frames, settings.strides),
        _schedule(settings, method),
        run,
        random,
        mixed,
        PRECISIONS[settings.precision],
        settings.checkpoint_every,
        tf32=settings.precision == "tf32",
    )
    if method is not None and PROTOCOLS[settings.protocol].checkpoint == "best-on-test":
        training.at_checkpoint = BestOnTest(run, trained, target.test, PROTOCOLS[settings.protocol])
    try:
        training.run(progress)
    finally:
        run.close()
    check_in_use(trained.module, train, run.path, adapts=method is not None)
    _save(run, trained)


def check_in_use(lifter: nn.Module, train: PoseSet, folder: Path, *, adapts: bool) -> None:
    """Finds out whether a trained lifter is any good outside of training. After a loss has exploded
    and come down again, batch norms may still expect what they saw on the way.

    Args:
        lifter: that was trained.
        train: labelled poses that it was trained on.
        folder: of the training, for the message.
        adapts: whether a method adapted it.

    Raises:
        Diverged: if it is wrong by more than `BROKEN` metres.
    """
    assert train.pose3d is not None
    rows = torch.arange(0, len(train), -(-len(train) // TRIED), device=train.pose2d.device)
    pose3d = train.pose3d[rows]
    away = lift_poses(lifter, train, rows) - (pose3d - pose3d[:, :1])
    wrong = float(away.norm(dim=-1).mean())
    if not wrong < BROKEN:  # NaN too
        raise Diverged(
            f"{folder}: training diverged: in use the lifter is wrong by {wrong:.3g} m on the "
            "source, whatever its loss was at the end; "
            f"{advice_on_nan(['lifter_loss'], adapts=adapts)}"
        )


def check_settings(job: Job) -> bool:
    """Whether a training has begun, with these settings. Writes nothing.

    Raises:
        ValueError: if it has begun with others.
    """
    return compare_settings(job.folder, _recipe(job.settings, job.method, job.seed))


def _card(
    settings: Settings,
    method: str | None,
    seed: int,
    start: ModelCard | None,
    source: PoseSet,
    target: PoseSet,
) -> ModelCard:
    """Of a lifter that has just been trained from one with the card `start`."""
    recipe = _recipe(settings, method, seed)
    names = ["precision"]
    if settings.strided:
        names.append("strides")
    if settings.weights is None:
        names.append("pretrain")
    if method is not None:
        names.append("adapt")
    version, commit = version_and_commit()
    return ModelCard(
        method=method or "source-only",
        seed=seed,
        source=_data_card(source),
        target=_data_card(target) if method and learns_from_target(method) else None,
        settings={name: recipe[name] for name in names},
        start=None if settings.weights is None else start,
        version=version,
        commit=commit,
    )


def _data_card(poses: PoseSet) -> DataCard:
    return DataCard(poses.name, int((poses.split == 0).sum()), poses.about)


def _save(run: RunFolder, lifter: NamedLifter) -> None:
    if is_first():
        save_lifter(run.weights_path, lifter)


def _recipe(settings: Settings, method: str | None, seed: int) -> dict[str, Any]:
    """All that decides the numbers of one training, and nothing else."""
    every: dict[str, Any] = TypeAdapter(Settings).dump_python(settings, mode="json")
    recipe = {"method": method or "pretrain", "seed": seed}
    recipe |= {name: every[name] for name in PRETRAINING}
    if not settings.strided:  # as folders from before there were any
        del recipe["strides"]
    if method is None:
        return recipe
    recipe["target"] = every["target"]
    if settings.keypoints != KeypointSettings():  # otherwise a canonical file
        recipe["keypoints"] = every["keypoints"]
    parts = parts_of(method)
    recipe["adapt"] = {
        name: value for name, value in every["adapt"].items() if parts is None or name in parts
    }
    if PROTOCOLS[settings.protocol].checkpoint == "best-on-test":
        recipe["best-on-test"] = [settings.protocol, settings.checkpoint_every]
    return recipe


def _initial_lifter(job: Job) -> NamedLifter:
    if job.start is None:
        return _fresh_lifter(job.settings)
    return load_lifter(job.start / "lifter.safetensors", job.settings.lifter)


def _fresh_lifter(settings: Settings) -> NamedLifter:
    skeleton = SKELETONS[settings.joints]
    width = default_width(settings.lifter) if settings.width is None else settings.width
    module = make_lifter(settings.lifter, skeleton, width, settings.normalization or "screen")
    return NamedLifter(module, settings.lifter, width, skeleton)


def _given_lifter(settings: Settings) -> NamedLifter:
    assert settings.weights is not None
    lifter = load_lifter(settings.weights, settings.lifter)
    joints = lifter.skeleton.num_joints
    if joints != settings.joints:
        raise ValueError(f"{settings.weights}: {joints} joints, expected {settings.joints}")
    if lifter.name != settings.lifter:
        raise ValueError(
            f"{settings.weights}: weights of {lifter.name}, expected {settings.lifter} (see lifter)"
        )
    how = normalization_of(lifter.module)
    if settings.normalization not in (None, how):
        raise ValueError(
            f"normalization: got {settings.normalization}, but {settings.weights} was trained with "
            f"{how}"
        )
    return lifter


def _schedule(settings: Settings, method: str | None) -> Schedule:
    if method is None:
        pretrain = settings.pretrain
        return Schedule(pretrain.steps, pretrain.batch, pretrain.lr, pretrain.final_lr)
    adapt = settings.adapt
    return Schedule(adapt.steps, adapt.batch, adapt.lr, 0.0)


def evaluate_lifter(
    lifter: nn.Module, poses: PoseSet, protocol: Protocol = PROTOCOLS["poseda"]
) -> Metrics:
    """The metrics of a lifter over labelled poses.

    Raises:
        ValueError: if the poses have no 3D, or lack a joint of the protocol.
    """
    return protocol.evaluate(lambda view: lift_poses(lifter, view), poses)


class BestOnTest:
    """An oracle: keeps the weights of the lowest MPJPE on the target's test part so far, as older
    tables of this field do, beside those of the last step.

    Args:
        run: where they go.
        lifter: that is being trained.
        test: labelled poses.
        protocol: how they are evaluated.
    """

    def __init__(
        self, run: RunFolder, lifter: NamedLifter, test: PoseSet, protocol: Protocol
    ) -> None:
        self.run = run
        self.lifter = lifter
        self.test = test
        self.protocol = protocol

    def __call__(self, iteration: int) -> None:
        if not is_first():
            return
        error = evaluate_lifter(self.lifter.module, self.test, self.protocol).mpjpe
        said = self.run.best_path.with_suffix(".json")
        if said.exists() and json.loads(said.read_text())["mpjpe"] <= error:
            return
        with atomic_write(self.run.best_path) as path:
            path.write_bytes(lifter_bytes(self.lifter))
        write_json(said, {"step": iteration, "mpjpe": error, "protocol": self.protocol.name})


def described(poses: PoseSet) -> dict[str, Any]:
    """What a row of results says of its data, as far as the data file says it of itself."""
    said = {key: poses.about[key] for key in ABOUT if key in poses.about}
    frames = {name: int((poses.split == split).sum()) for split, name in enumerate(SPLITS)}
    return {**said, "frames": frames}


def result_row(plan: Plan, variant: Variant, seed: int) -> dict[str, Any]:
    """One row of ``results.json``: a lifter on the target's test part."""
    settings, method = plan.settings_of(variant), variant.method
    source, target = load_data(settings)
    lifter = load_lifter(weights_of(plan, variant, seed), settings.lifter)
    protocol = PROTOCOLS[settings.protocol]
    metrics = evaluate_lifter(lifter.module, target.test, protocol)
    row = metrics.as_row()
    learned = () if method == SOURCE_ONLY else parts_of(method) or PARTS
    own = None
    if bool((source.split == 1).any()):
        own = evaluate_lifter(lifter.module, source.test, protocol)
    return {
        "row": variant.name,
        "method": method,
        "changes": dict(variant.changes),
        "lifter": lifter.name,
        "width": lifter.width,
        "normalization": normalization_of(lifter.module),
        "strides": None if method == SOURCE_ONLY and settings.weights else [*settings.strides],
        "seed": seed,
        "source": source.name,
        "target": target.name,
        "source_about": described(source),
        "target_about": described(target),
        **{key: row[key] for key in ("mpjpe", "pa_mpjpe", "n_mpjpe", "pck", "auc", "poses")},
        "per_camera": metrics.per_camera,
        "source_mpjpe": None if own is None else own.mpjpe,
        "joints": settings.joints,
        "weights": None if settings.weights is None else str(settings.weights),
        "pretrain_steps": None if settings.weights else settings.pretrain.steps,
        "pretrain_batch": None if settings.weights else settings.pretrain.batch,
        "pretrain_lr": None if settings.weights else settings.pretrain.lr,
        "pretrain_final_lr": None if settings.weights else settings.pretrain.final_lr,
        "adapt_steps": 0 if method == SOURCE_ONLY else settings.adapt.steps,
        "adapt_batch": settings.adapt.batch,
        "adapt_lr": None if method == SOURCE_ONLY else settings.adapt.lr,
        "adapt_warmup": settings.adapt.warmup if "warmup" in learned else None,
        "adapt_gan_lr": settings.adapt.gan_lr if "gan_lr" in learned else None,
        "precision": settings.precision,
        "protocol": protocol.name,
        "protocol_about": protocol.describe(lifter.skeleton),
        "checkpoint": "last" if method == SOURCE_ONLY else CHECKPOINTS[protocol.checkpoint],
        "commit": None if lifter.card is None else lifter.card.commit,
    }


def collect_results(plan: Plan) -> list[dict[str, Any]]:
    """Evaluates every trained lifter and writes ``results.json``; empty without target labels."""
    _, target = load_data(plan.settings)
    if target.pose3d is None or not bool((target.split == 1).any()):
        rows = []
    else:
        rows = [result_row(plan, row, seed) for row in plan.variants for seed in plan.seeds]
    write_json(plan.settings.out / "results.json", rows)
    for row in rows:
        _add_to_card(weights_of(plan, plan.variant(row["row"]), row["seed"]), row)
    return rows


def _add_to_card(weights: Path, row: dict[str, Any]) -> None:
    """Lets a lifter's card name the lifter's own result."""
    result = {key: row[key] for key in CARD_COLUMNS}
    card = read_card(weights)
    if card is None or card.results == (result,):
        return
    lifter = load_lifter(weights, row["lifter"])
    save_lifter(weights, replace(lifter, card=replace(card, results=(result,))))


def weights_of(plan: Plan, variant: Variant, seed: int) -> Path:
    """The file of a trained lifter."""
    best = PROTOCOLS[plan.settings.protocol].checkpoint == "best-on-test"
    best = best and variant.method != SOURCE_ONLY
    return plan.folder(variant, seed) / ("best.safetensors" if best else "lifter.safetensors")


def write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
