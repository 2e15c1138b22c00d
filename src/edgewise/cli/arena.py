"""The arena over time, as ``edgewise inspect --memory`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tables import counted, escape, print_table, short, size_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts

COLORS = ("blue", "yellow", "green", "magenta", "red", "cyan")
LINES = 16
MARGIN = 14
"""Columns before the picture."""


def show_memory(out: Console, facts: Facts) -> None:
    memory = facts["memory"]
    buffers, steps = memory["buffers"], memory["steps"]
    out.print(
        escape(
            f"{facts['model']} on {facts['isa']}: {counted(len(buffers), 'buffer')} in an arena of "
            f"{size_of(memory['arena_bytes'])}, {counted(len(steps), 'step')}"
        )
    )
    rows = [
        {
            "": f"[{_color(i)}]{b['letter']}[/]",
            "tensor": escape(short(b["name"])),
            "bytes": str(b["nbytes"]),
            "offset": str(b["offset"]),
            "first step": str(b["first"]),
            "last": "end" if b["last"] == len(steps) else str(b["last"]),
            "at the peak": "*" if b["first"] <= memory["peak_step"] <= b["last"] else "",
        }
        for i, b in enumerate(buffers)
    ]
    print_table(out, rows, right=("bytes", "offset", "first step", "last"))
    _draw(out, memory)
    step = memory["peak_step"]
    doing = "where the caller reads the outputs"
    if step < len(steps):
        doing = f"{steps[step]['op']} {short(steps[step]['origin'])} ({steps[step]['kernel']})"
    alive = sum(1 for row in rows if row["at the peak"])
    out.print(
        escape(
            f"peak    {size_of(memory['peak_bytes'])} at step {step}, {doing}: "
            f"{counted(alive, 'buffer')} of {size_of(memory['least_bytes'])} at a time"
        )
    )
    best = "the least there can be" if not memory["excess"] else f"{memory['excess']:.1%} above it"
    out.print(f"least   {size_of(memory['least_bytes'])}; the peak is {best}")
    if memory["sound"]:
        out.print(
            "proof   no two buffers that live at a time share a byte, and every operand lies in "
            "its buffer"
        )
    for problem in memory["problems"]:
        out.print(f"[red]fault[/]   {escape(problem)}")
    out.print(f"weights {size_of(facts['constant_bytes'])} as packed, beside the arena")
    if "plot" in facts:
        out.print(f"{escape(facts['plot'])} written")


def _draw(out: Console, memory: Facts) -> None:
    from rich.text import Text

    from ..tools.memory import picture

    colors = {b["letter"]: _color(i) for i, b in enumerate(memory["buffers"])}
    lines = picture(memory, out.width - MARGIN, LINES)
    for i, line in enumerate(lines):
        top = memory["peak_bytes"] * (len(lines) - i) // len(lines)
        text = Text(f"{size_of(top):>{MARGIN - 2}} |")
        for character in line:
            text.append(character, colors.get(character, "dim"))
        out.print(text)
    width = max(map(len, lines))
    last = f"step {len(memory['steps'])}"
    out.print(f"{'step 0':>{MARGIN + 4}}{last:>{max(width - 6, len(last) + 1)}}")


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]
