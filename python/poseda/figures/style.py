"""How figures look: colours, sizes, and axes. Colours are those of Okabe and Ito, told apart with
every kind of colour vision: blue is the person's left, orange the right."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from poseda.files import atomic_write

Array = NDArray[np.float64]

LEFT, RIGHT, CENTRE = "#0072B2", "#D55E00", "#3A3A3A"
SOURCE, ALIGNED, TARGET = "#56B4E9", "#009E73", "#E69F00"
GHOST, SHADOW, GRID, FRAME = "#B0B0B0", "#D9D9D9", "#EBEBEB", "#C4C4C4"
INK, FAINT_INK = "#222222", "#6E6E6E"
DPI = 150
TITLE_SIZE, LABEL_SIZE, NOTE_SIZE = 10.0, 9.0, 8.0  # font sizes, points


def part_colours(parts: Sequence[str]) -> list[str]:
    """One for each curve of a panel: dark for the whole, colours for the parts."""
    palette = (LEFT, RIGHT, ALIGNED, TARGET, "#CC79A7", SOURCE)
    if len(parts) == 1:
        return [LEFT]
    first = 0 if "/" in parts[0] else 1
    return [INK] * first + [palette[i % len(palette)] for i in range(len(parts) - first)]


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(
        figsize=(width, height),
        layout=ConstrainedLayoutEngine(h_pad=0.05, w_pad=0.05),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    return figure


def title(axis: Axes, text: str) -> None:
    axis.set_title(text, fontsize=TITLE_SIZE, color=INK, parse_math=False, pad=4)


def set_limits(axis: Axes, limits: tuple[float, float, float, float]) -> None:
    axis.set_xlim(limits[0], limits[1])
    axis.set_ylim(limits[2], limits[3])
    axis.set_aspect("equal")


def bare(axis: Axes) -> None:
    """No ticks and no frame, but room for a label."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def plain(axis: Axes) -> None:
    """Two quiet spines with small ticks."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FRAME)
    axis.tick_params(labelsize=NOTE_SIZE - 0.5, colors=FAINT_INK, length=3, color=FRAME)


def empty(axis: Axes, text: str = "") -> None:
    bare(axis)
    axis.text(
        0.5,
        0.5,
        text,
        transform=axis.transAxes,
        ha="center",
        va="center",
        fontsize=NOTE_SIZE,
        color=FAINT_INK,
    )


def legend_below(figure: Figure, handles: Sequence[Artist], *, columns: int = 0) -> None:
    """Text below the axes, in one line unless a number of columns is given."""
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=min(columns or len(handles), len(handles)),
        fontsize=NOTE_SIZE,
        frameon=False,
        labelcolor=FAINT_INK,
        handlelength=1.4,
        borderpad=0,
    )


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = DPI) -> None:
    """Writes a figure as a PNG file, which appears whole or not at all.

    Args:
        figure: any figure.
        path: ends in ``.png``; the folder must exist.
        dpi: pixels per inch.

    Raises:
        ValueError: if the path does not end in ``.png``.
        OSError: if the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path: got {os.fspath(path)!r}, expected a name that ends in .png")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
