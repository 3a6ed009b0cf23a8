"""What a table of a paper is: rows that this project can train, and what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from poseda.protocol import ProtocolName
from poseda.tables.data import PAIRS


@dataclass(frozen=True)
class Column:
    """A column: a metric on a pair of data sets.

    Attributes:
        metric: a key of a row of results.
        pair: a key of `PAIRS`.
        title: where the metric's own name does not do.
    """

    metric: str
    pair: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A row.

    Attributes:
        name: as in the paper; of rows that the paper does not have, what they are.
        published: a number for each column, None where the paper has none.
        method: how this project makes it; None where only the published numbers are shown.
        changes: settings of that row, by dotted name.
    """

    name: str
    published: tuple[float | None, ...]
    method: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: on the command line.
        title: what it shows.
        source: where the published numbers are from.
        columns: all of them.
        lines: all rows.
        protocol: by which it is evaluated on the papers' data.
        protocols: others than that, by pair.
        only_paper: why it cannot be made on the open benchmark; empty if it can.
        note: what a reader has to know.
    """

    name: str
    title: str
    source: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    protocol: ProtocolName
    only_paper: str = ""
    note: str = ""
    protocols: Mapping[str, ProtocolName] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.lines:
            if len(line.published) != len(self.columns):
                raise ValueError(
                    f"{self.name}: {line.name}: got {len(line.published)} published numbers, "
                    f"expected {len(self.columns)}"
                )
        for column in self.columns:
            if column.pair not in PAIRS:
                raise ValueError(f"{self.name}: got data {column.pair}, expected one of {[*PAIRS]}")

    @property
    def pairs(self) -> tuple[str, ...]:
        """The data sets that it needs, by name."""
        return tuple(dict.fromkeys(column.pair for column in self.columns))


def columns(pair: str, *metrics: str) -> tuple[Column, ...]:
    """Metrics on one pair of data sets."""
    return tuple(Column(metric, pair) for metric in metrics)


def only(name: str, *published: float | None) -> Line:
    """A row of which only the published numbers are shown."""
    return Line(name, published)


def trained(
    name: str,
    method: str,
    *published: float | None,
    changes: Mapping[str, Any] | None = None,
) -> Line:
    """A row that this project trains."""
    return Line(name, published, method, changes or {})
