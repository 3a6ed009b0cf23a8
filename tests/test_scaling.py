"""The arithmetic of docs/scaling.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.scaling import (
    INTERCONNECTS,
    Interconnect,
    efficiency,
    flops,
    messages,
    networks,
    parameters,
    scaling_tables,
)

NOTE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"


def test_a_ring_sends_nearly_twice_the_bytes() -> None:
    assert Interconnect("", 4, 1e9, 0.5).all_reduce(2e9) == pytest.approx(0.5 + 2 * 0.75 * 2)


def test_published_sizes() -> None:
    made = networks()
    assert parameters(made["videopose3d"]) == 8_485_933
    assert parameters(made["simple_baseline"]) == 4_288_557
    layers = [32 * 1024, *(8 * [1024 * 1024]), 1024 * 45]
    assert flops(made["videopose3d"]) == 2 * sum(layers)


def test_messages_hold_every_gradient() -> None:
    for lifter in ("videopose3d", "simple_baseline"):
        sent = {message.name: message for message in messages(lifter, 8)}
        gradients = sent["lifter, gradients"]
        whole = 4 * parameters(networks()[lifter])
        assert gradients.size * gradients.count == pytest.approx(whole, rel=1e-6)
    assert sent["lifter, batch norm, forward"].size == 8 * 2 * 4 * 1024
    assert sent["lifter, batch norm, backward"].count == 5


def test_efficiency_lies_between_its_limits() -> None:
    for interconnect in INTERCONNECTS:
        found = [efficiency("videopose3d", interconnect, step) for step in (1e-4, 1e-3, 1e-2, 10)]
        assert all(0 < without <= overlapped < 1 for without, overlapped in found)
        assert found == sorted(found)
        assert found[-1][0] > 0.999


def test_the_note_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scaling"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed == scaling_tables("videopose3d")
    note = NOTE.read_text()
    for part in printed.split("\n\n"):
        assert part in note
