"""What a training looks like when it has gone wrong for good, seen in what is logged anyway.

A `Watch` is shown the scalars of each log point, every 50 iterations. A rule that holds without a
break for long enough ends the training. All thresholds are generous: a run that merely learns
badly is the report's to tell, and ends by itself.

Which scalars a method logs decides which rules there are:

=========================== ======================================================================
``lifter_loss``             no longer near what it was at its start
``kept``                    next to no made pair reaches the lifter, which trains on the source
``critic_gap...``           a critic's mean score of real poses less that of made ones
``bone_angle_deg`` with     the same large change for every pose: mode collapse. Small angles
``bone_angle_spread_deg``   without a spread are none: that critic leaves poses alone, as PoseDA's
                            may (docs/method.md)
``rotation_deg`` with       likewise of views
``rotation_spread_deg``
``pose_spread_deg``         one pose is made of every pose
=========================== ======================================================================

Lengths are not watched, though their spread is logged: one change for all poses is what is right
where all people of the source are of one size and those of the target of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

Values = Mapping[str, float]

#: Mean squared error, m^2, of a lifter that is wrong by more than a metre: the mean pose has 0.05.
#: A loss counts as exploded above this and above so many times its start.
LOST, LOST_TIMES = 0.5, 10.0
#: m^2 that no start counts as more than: an untrained lifter has less, and one that has exploded
#: before the first log point more.
MAX_START = 10.0
#: log points that make the start of the lifter's loss: their median
START = 5
#: Share of pairs below which none count as kept.
NO_PAIRS = 0.005
#: Features are standardised and critics near Lipschitz (clipped, penalised or of spectral norm 1),
#: so gaps are of the order of a distance between features: tens at most.
EXPLODED = 1e3
#: A least-squares critic gives real poses 1 and made ones 0. At this gap it errs on hardly any.
WON = 0.98
#: Degrees in the mean over bones, and of a rotation, from which a change is large; and the spread
#: between the samples of a batch, as a share of it, below which all are the same.
LARGE_BONE_ANGLE, LARGE_ROTATION, NO_SPREAD = 10.0, 20.0, 0.01
#: Degrees between made poses below which they are one; those of people who move have 20 and more.
ONE_POSE = 1.0
#: Iterations for which a rule has to hold: a spike is no explosion, and a critic may win, a
#: generator be stuck, and pairs be out of sight, for a while at the start.
SOON, LATE, VERY_LATE = 150, 1000, 3000


@dataclass(frozen=True)
class Rule:
    """One way to go wrong.

    Attributes:
        scalar: without which there is nothing to see.
        holds: whether a log point looks wrong, from its scalars and the lifter loss at the start.
        lasting: iterations for which it has to.
        says: what happened, as a format of the scalars and ``start``.
        advice: what to change.
    """

    scalar: str
    holds: Callable[[Values, float | None], bool]
    lasting: int
    says: str
    advice: str


class Watch:
    """Looks at the scalars of a training.

    Args:
        adapts: whether a method adapts; otherwise a lifter is pre-trained.
        least_squares: whether the method's critics are least-squares ones.
    """

    def __init__(self, *, adapts: bool, least_squares: bool = False) -> None:
        self._rules = [_lost(adapts), _NO_PAIRS, _SAME_BONES, _SAME_VIEW, _SAME_POSE]
        for gap in ("critic_gap", "critic2d_gap"):
            self._rules.append(_exploded(gap))
            if least_squares:
                self._rules.append(_won(gap))
        self._since: dict[int, int] = {}
        self._first: list[float] = []

    def look(self, iteration: int, values: Values) -> str | None:
        """Looks at one log point, in the order of iterations.

        Returns:
            What has gone wrong for good, since when, and what to change; None where nothing has.
        """
        start = self._start(values)
        found = None
        for number, rule in enumerate(self._rules):
            if rule.scalar not in values:
                continue  # not logged this time
            if not rule.holds(values, start):
                self._since.pop(number, None)
                continue
            since = self._since.setdefault(number, iteration)
            if found is None and iteration - since >= rule.lasting:
                said = rule.says.format_map({**values, "start": start or 0.0})
                found = f"{said}, since iteration {since}; {rule.advice}"
        return found

    def _start(self, values: Values) -> float | None:
        """The lifter's loss at its start; None before there is one."""
        if len(self._first) < START and "lifter_loss" in values:
            self._first.append(values["lifter_loss"])
        return min(median(self._first), MAX_START) if self._first else None


def advice_on_nan(names: list[str], *, adapts: bool) -> str:
    """What to change where scalars are not finite."""
    flags = ["--adapt.lr" if adapts else "--pretrain.lr"] if "lifter_loss" in names else []
    if adapts and (set(names) - {"lifter_loss"} or not flags):
        flags.append("--adapt.gan-lr")
    return (
        f"try a lower learning rate ({' and '.join(flags or ['--pretrain.lr'])}), or another seed"
    )


def _lost(adapts: bool) -> Rule:
    return Rule(
        "lifter_loss",
        lambda values, start: values["lifter_loss"] > max(LOST, LOST_TIMES * (start or 0.0)),
        SOON,
        "the lifter's loss exploded: lifter_loss is {lifter_loss:.3g} m^2, at its start it was "
        "{start:.3g}",
        f"try a lower {'--adapt.lr' if adapts else '--pretrain.lr'}",
    )


_NO_PAIRS = Rule(
    "kept",
    lambda values, start: values["kept"] < NO_PAIRS,
    LATE,
    "next to no made pair is used: kept is {kept:.2%}, and the lifter trains on the source alone",
    "check the target's cameras (--camera, --image-size); otherwise let the method change poses "
    "less (PoseDA: --adapt.poseda.max-rotation) or choose more of them (AdaptPose: "
    "--adapt.adaptpose.selection-width)",
)
_AGAIN = "try a lower --adapt.gan-lr, or another --seed"
_SAME_BONES = Rule(
    "bone_angle_spread_deg",
    lambda values, start: _same(values, "bone_angle", LARGE_BONE_ANGLE),
    LATE,
    "the generator collapsed: bones of all poses turn alike, by bone_angle_deg "
    "{bone_angle_deg:.1f} with bone_angle_spread_deg {bone_angle_spread_deg:.2g} between poses",
    f"{_AGAIN}, or bound it (PoseDA: --adapt.poseda.max-bone-angle) or weigh its critic more "
    "(PoseAug: --adapt.poseaug.weight-3d, AdaptPose: --adapt.adaptpose.pose-weight)",
)
_SAME_VIEW = Rule(
    "rotation_spread_deg",
    lambda values, start: _same(values, "rotation", LARGE_ROTATION),
    LATE,
    "the generator collapsed: all poses are seen from one side, by rotation_deg {rotation_deg:.1f} "
    "with rotation_spread_deg {rotation_spread_deg:.2g} between poses",
    f"{_AGAIN}, or draw rotations (PoseDA: --adapt.poseda.rotation fixed, AdaptPose: "
    "--adapt.adaptpose.camera probabilistic)",
)
_SAME_POSE = Rule(
    "pose_spread_deg",
    lambda values, start: values["pose_spread_deg"] < ONE_POSE,
    LATE,
    "the generator collapsed: it makes one pose of all, with pose_spread_deg {pose_spread_deg:.2g} "
    "between poses",
    _SAME_BONES.advice,
)


def _same(values: Values, change: str, large: float) -> bool:
    mean, spread = values.get(f"{change}_deg", 0.0), values[f"{change}_spread_deg"]
    return mean > large and spread < NO_SPREAD * mean


def _exploded(gap: str) -> Rule:
    return Rule(
        gap,
        lambda values, start: abs(values[gap]) > EXPLODED,
        SOON,
        f"a critic diverged: {gap} is {{{gap}:.3g}}, expected below {EXPLODED:g}",
        "try a lower --adapt.gan-lr, or for PoseDA --adapt.poseda.stabilizer clip",
    )


def _won(gap: str) -> Rule:
    return Rule(
        gap,
        lambda values, start: values[gap] > WON,
        VERY_LATE,
        f"a critic wins entirely: {gap} is {{{gap}:.3f}}, where 1 tells every made pose, and "
        "teaches the generator no more",
        "try a lower --adapt.gan-lr, or more generator steps for each of the critic "
        "(PoseDA: a lower --adapt.poseda.generator-every, PoseAug: a higher "
        "--adapt.poseaug.critic-every, AdaptPose: a higher --adapt.adaptpose.critic-every)",
    )
