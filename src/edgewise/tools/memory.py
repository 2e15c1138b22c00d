"""What ``edgewise inspect --memory`` tells: the arena over time, and its certificate."""

from __future__ import annotations

import string
from dataclasses import asdict
from pathlib import Path

from ..plan.certificate import ArenaReport
from .facts import Facts
from .plots import COLORS, new_figure

LETTERS = string.ascii_uppercase + string.ascii_lowercase
"""Buffers by number, in turn."""

FREE = "."
KIB = 1024
LABELLED = 0.02
"""The share of the plot's area from which on a buffer has room for its name."""


def memory_facts(report: ArenaReport) -> Facts:
    """The document's field ``memory`` (docs/json.md)."""
    buffers = [{"letter": letter(i), **asdict(buffer)} for i, buffer in enumerate(report.buffers)]
    return asdict(report) | {"buffers": buffers, "sound": report.sound, "excess": report.excess}


def letter(index: int) -> str:
    """What stands for a buffer in a picture of letters."""
    return LETTERS[index % len(LETTERS)]


def picture(memory: Facts, width: int, height: int) -> list[str]:
    """Lines of at most ``width`` letters: time goes to the right, the highest bytes come first.

    Each letter stands for what lies in the middle of its share of the steps and of the arena.
    """
    times = len(memory["live_bytes"])
    columns = min(width, times)
    rows = [[FREE] * columns for _ in range(height)]
    for buffer in memory["buffers"]:
        low, high = buffer["offset"], buffer["offset"] + buffer["nbytes"]
        for row in range(height):
            if low <= (row + 0.5) * memory["peak_bytes"] / height < high:
                for column in range(columns):
                    if (
                        buffer["first"]
                        <= (2 * column + 1) * times // (2 * columns)
                        <= buffer["last"]
                    ):
                        rows[row][column] = buffer["letter"]
    return ["".join(row) for row in reversed(rows)]


def save_memory_plot(path: Path, model: str, memory: Facts) -> None:
    """Draw the arena: a rectangle for each buffer, and what lives at each step.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(11, 6)
    axes = figure.add_subplot()
    times, peak = len(memory["live_bytes"]), max(memory["peak_bytes"], 1)
    for i, b in enumerate(memory["buffers"]):
        span = b["last"] + 1 - b["first"]
        bars = axes.bar(
            b["first"],
            b["nbytes"] / KIB,
            span,
            b["offset"] / KIB,
            align="edge",
            color=COLORS[i % len(COLORS)],
            alpha=0.6,
            edgecolor="#202428",
            linewidth=0.4,
        )
        if span * b["nbytes"] >= LABELLED * times * peak:
            text = f"{_end(b['name'])}\n{b['nbytes'] / KIB:.1f} KiB"
            axes.bar_label(bars, [text], label_type="center", fontsize=5)
    live = [nbytes / KIB for nbytes in memory["live_bytes"]]
    axes.stairs(live, range(times + 1), color="#202428", linewidth=1.2, label="live bytes")
    axes.axhline(
        memory["peak_bytes"] / KIB,
        color="#c4435c",
        linestyle="--",
        linewidth=1,
        label=f"peak: {peak / KIB:.1f} KiB, {memory['excess']:.1%} above the least possible",
    )
    axes.set(
        xlim=(0, times),
        ylim=(0, 1.1 * peak / KIB),
        xlabel="step",
        ylabel="arena, KiB",
        title=f"{Path(model).stem}: the arena over time",
    )
    axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=150)


def _end(name: str) -> str:
    """The end of a buffer's name, short enough for a rectangle."""
    return "/".join(name.partition(";")[0].split("/")[-2:])[-24:]
