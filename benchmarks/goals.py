"""The goals on a GPU and on a CPU, and whether rows meet them. Needs nothing but the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

Row = dict[str, Any]

LARGE, SMALL = 1 << 20, 1024


def one_row(rows: Sequence[Row], **wanted: Any) -> Row:
    """The row with these values; empty where there is none."""
    return next((row for row in rows if all(row.get(k) == v for k, v in wanted.items())), {})


def _divide(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _op(rows: Sequence[Row], which: str, batch: int, dtype: str = "float32") -> Row:
    return one_row(
        rows, **{"op": "augment", "device": "cuda", "pass": which, "batch": batch, "dtype": dtype}
    )


def _in_graph(row: Row, name: str) -> float | None:
    """Milliseconds as training runs it: in a CUDA graph where that was measured."""
    return row.get(f"{name}_graph_ms") or row.get(f"{name}_ms")


def _times(rows: Sequence[Row], opponent: str) -> float | None:
    """How many times faster than the opponent forward + backward is, at the large batch."""
    row = _op(rows, "fwd_bwd", LARGE)
    return _divide(_in_graph(row, opponent), _in_graph(row, "ours"))


def _bandwidth_share(rows: Sequence[Row], which: str) -> float | None:
    row = _op(rows, which, LARGE)
    return _divide(row.get("floor_ms"), _in_graph(row, "ours"))


def _bfloat16(rows: Sequence[Row]) -> float | None:
    float32, bfloat16 = (_op(rows, "fwd", LARGE, dtype) for dtype in ("float32", "bfloat16"))
    return _divide(_in_graph(float32, "ours"), _in_graph(bfloat16, "ours"))


def _launch_us(rows: Sequence[Row]) -> float | None:
    """The longer of the two launches: the backward one is what forward + backward takes more."""
    forward = _in_graph(_op(rows, "fwd", SMALL), "ours")
    both = _in_graph(_op(rows, "fwd_bwd", SMALL), "ours")
    if forward is None or both is None:
        return None
    return 1e3 * max(forward, both - forward)


def _memory(rows: Sequence[Row]) -> float | None:
    """The largest share of eager's peak memory that `augment` takes."""
    shares = [
        _divide(row["ours_peak_bytes"], row["eager_peak_bytes"])
        for row in rows
        if row.get("op") == "augment" and "ours_peak_bytes" in row
    ]
    return max((share for share in shares if share is not None), default=None)


def _identical(rows: Sequence[Row]) -> float | None:
    found = [row["bit_identical"] for row in rows if "bit_identical" in row]
    return float(all(found)) if found else None


def _launches(rows: Sequence[Row]) -> float | None:
    """The most kernels that one pass of an op starts."""
    found = [
        row["ours_launches"] / (2 if row["pass"] == "fwd_bwd" else 1)
        for row in rows
        if row.get("ours_launches")
    ]
    return max(found, default=None)


def _train_iteration(rows: Sequence[Row]) -> Row:
    """In tf32 where that was measured, which the goals are for; otherwise in float32."""
    exact = one_row(rows, step="iteration", device="cuda", precision="float32")
    return one_row(rows, step="iteration", device="cuda", precision="tf32") or exact


def _over_networks(rows: Sequence[Row]) -> float | None:
    row = _train_iteration(rows)
    return _divide(row.get("ours_ms"), row.get("networks_ms"))


def _iteration_times(rows: Sequence[Row]) -> float | None:
    """How many times faster than the baseline a whole training iteration is."""
    row = _train_iteration(rows)
    return _divide(row.get("baseline_ms"), row.get("ours_ms"))


def _iteration(rows: Sequence[Row], key: str, scale: float = 1) -> float | None:
    found = _train_iteration(rows).get(key)
    return None if found is None else found * scale


def _lead(rows: Sequence[Row], op: str, opponent: str, batch: int) -> float | None:
    """How many times faster forward + backward is on one thread of a CPU."""
    form = {"device": "cpu", "dtype": "float32", "pass": "fwd_bwd"}
    row = one_row(rows, op=op, batch=batch, threads=1, **form)
    return _divide(row.get(f"{opponent}_ms"), row.get("ours_ms"))


def _least_lead_of_one(rows: Sequence[Row]) -> float | None:
    """The least of all ops and passes at batch 1, against eager."""
    found = [_divide(r["eager_ms"], r["ours_ms"]) for r in rows if "op" in r and r["batch"] == 1]
    return min((times for times in found if times is not None), default=None)


def _step_over_networks(rows: Sequence[Row]) -> float | None:
    """The most of the three steps of Algorithm 1."""
    found = [
        _divide(row["ours_ms"], row["networks_ms"])
        for row in rows
        if row.get("step") in ("critic", "generator", "lifter")
    ]
    return max((times for times in found if times is not None), default=None)


_Measure = Callable[[Sequence[Row]], float | None]
#: Name, "at least" or "at most" or None (no bound, for information), bound, form, how it is had.
_Goals = tuple[tuple[str, str | None, float, str, _Measure], ...]
_CPU_LEADS = (
    ("augment", "eager", 25),
    ("augment", "compiled", 15),
    ("part_kcs", "eager", 15),
)
CPU_GOALS: _Goals = (
    *(
        (
            f"{op} forward + backward, one thread, {batch:,}: times faster than {opponent}",
            "at least",
            bound,
            ".1f",
            partial(_lead, op=op, opponent=opponent, batch=batch),
        )
        for op, opponent, bound in _CPU_LEADS
        for batch in (SMALL, 16384)
    ),
    (
        "the least of all ops and passes, batch 1: times faster than eager",
        "at least",
        1,
        ".2f",
        _least_lead_of_one,
    ),
    (
        "training, every step: time over that of its bare networks and optimiser",
        "at most",
        1.1,
        ".2f",
        _step_over_networks,
    ),
)
GOALS: _Goals = (
    (
        "augment forward, 2^20: share of the copy bandwidth",
        "at least",
        0.85,
        ".0%",
        lambda rows: _bandwidth_share(rows, "fwd"),
    ),
    (
        "augment forward + backward, 2^20: share of the copy bandwidth",
        "at least",
        0.75,
        ".0%",
        lambda rows: _bandwidth_share(rows, "fwd_bwd"),
    ),
    ("augment forward, 2^20: bfloat16 over float32, speed", "at least", 1.7, ".2f", _bfloat16),
    ("augment, batch 1,024: microseconds a launch", "at most", 10, ".1f", _launch_us),
    (
        "augment forward + backward, 2^20: times faster than eager",
        "at least",
        30,
        ".1f",
        lambda rows: _times(rows, "eager"),
    ),
    (
        "augment forward + backward, 2^20: times faster than compiled",
        "at least",
        5,
        ".1f",
        lambda rows: _times(rows, "compiled"),
    ),
    ("augment, 2^20: peak memory over eager's", "at most", 0.25, ".0%", _memory),
    ("every op: kernels started by a pass", "at most", 1, ".0f", _launches),
    ("every op: runs agree bit for bit (1: yes)", "at least", 1, ".0f", _identical),
    (
        "training iteration: time over that of its bare networks",
        None,
        0,
        ".2f",
        _over_networks,
    ),
    (
        "training iteration: times faster than plain torch",
        "at least",
        10,
        ".1f",
        _iteration_times,
    ),
    (
        "training: seconds an epoch of Human3.6M (1,560,000 poses)",
        "at most",
        2,
        ".1f",
        lambda rows: _iteration(rows, "epoch_s"),
    ),
    (
        "training iteration: peak memory in tensors, GB",
        "at most",
        2,
        ".2f",
        lambda rows: _iteration(rows, "peak_bytes", 1e-9),
    ),
    (
        "training iteration: memory reserved for these, GB",
        None,
        0,
        ".2f",
        lambda rows: _iteration(rows, "reserved_bytes", 1e-9),
    ),
    (
        "training iteration: host synchronisations",
        "at most",
        0,
        ".0f",
        lambda rows: _iteration(rows, "host_syncs"),
    ),
)


def judge(rows: Sequence[Row], goals: _Goals = GOALS) -> list[Row]:
    """A row per goal: "goal", "bound", "measured" and "met", which are None where not measured."""
    result = []
    for name, side, bound, form, measure in goals:
        measured = measure(rows)
        met = None
        if measured is not None and side is not None:
            met = measured >= bound if side == "at least" else measured <= bound
        result.append(
            {
                "goal": name,
                "bound": f"{side} {bound:{form}}" if side else None,
                "measured": None if measured is None else f"{measured:{form}}",
                "met": met,
            }
        )
    return result


def goals_table(goals: Sequence[Row]) -> str:
    """What `judge` returned, as a Markdown table."""
    words = {True: "yes", False: "no", None: "-"}
    lines = ["| goal | bound | measured | met |", "|---|---|---:|---|"]
    lines += [
        f"| {g['goal']} | {g['bound'] or '-'} | {g['measured'] or 'not measured'} "
        f"| {words[g['met']]} |"
        for g in goals
    ]
    return "\n".join(lines)
