"""Tables for a reader. Rich is imported when one is printed, which takes a while."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

    from ..tools.facts import Facts

PIPE_WIDTH = 160
"""Columns of tables that do not go to a terminal."""


def console() -> Console:
    """What the commands' tables are printed to: stdout."""
    from rich.console import Console

    piped = max(PIPE_WIDTH, shutil.get_terminal_size().columns)
    return Console(width=None if sys.stdout.isatty() else piped, highlight=False)


def print_table(
    out: Console,
    rows: Sequence[dict[str, str]],
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print rows by column. Where ``out`` is too narrow, columns of ``spare`` go, in order."""
    from rich.table import Table

    left_out: list[str] = []
    while rows:
        table = Table()
        names = [name for name in rows[0] if name not in left_out]
        for name in names:
            justify: JustifyMethod = "right" if name in right else "left"
            table.add_column(name, justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(row[name] for name in names))
        fits = out.measure(table, options=out.options.update(width=10_000)).maximum <= out.width
        if fits or len(left_out) == len(spare):
            break
        left_out.append(spare[len(left_out)])
    out.print(table)
    if left_out:
        out.print(f"columns left out: {', '.join(left_out)} (--json shows all)")


def show_fallbacks(out: Console, facts: Facts) -> None:
    """The operators without a kernel, those that take most of the time first."""
    found = facts["fallbacks"]
    if not found:
        return
    operators = counted(len(found), "operator")
    known = sum(o["share"] or 0.0 for o in found)
    out.print(
        f"[yellow]slow[/]    {operators} without a kernel, computed through numpy: "
        f"{known:.0%} of the time"
    )
    rows = [
        {
            "share": "" if o["share"] is None else f"{o['share']:.1%}",
            "operator": o["op"],
            "origin": escape(short(o["origin"])),
            "why": escape(o["reason"]),
        }
        for o in sorted(found, key=lambda o: -(o["share"] or 0.0))
    ]
    print_table(out, rows, right=("share",), spare=("origin",))


def escape(text: str) -> str:
    """Text that has no markup, and no characters that steer a terminal."""
    from rich.markup import escape

    return escape(printable(text))


def printable(text: str, but: str = "") -> str:
    """Text whose characters that cannot be printed, ``but`` these, are as Python writes them."""
    return "".join(c if c.isprintable() or c in but else repr(c)[1:-1] for c in text)


def short(origin: str) -> str:
    """An origin's end. Converters join the names of all tensors that went into one with ``;``."""
    names = [part.partition(";")[0] for part in origin.split("+")]
    return "+".join(f"..{name[-30:]}" if len(name) > 32 else name for name in names)


def type_of(value: Facts) -> str:
    dims = "x".join(map(str, value["shape"])) or "scalar"
    return f"{value['dtype']}[{dims}]"


def types_of(values: Sequence[Facts]) -> str:
    """Types with commas between; equal neighbours as one, with their number."""
    runs = [(text, len(list(same))) for text, same in groupby(map(type_of, values))]
    return ", ".join(text if count == 1 else f"{count} x {text}" for text, count in runs)


def threads_of(count: int) -> str:
    return counted(count, "thread")


def show_threading(out: Console, facts: Facts) -> None:
    """What is in force of the options of threads, where there is more than the caller's."""
    if facts["threads"] > 1:
        wait = f"wait {facts['idle_us']:.0f} us awake" if facts["idle_us"] else "sleep at once"
        cpus = ", ".join(map(str, facts["cpus"]))
        out.print(
            f"threads {facts['threads']}, on CPUs {cpus} ({facts['affinity']}); {facts['power']}: "
            f"without work they {wait}"
        )
    for note in facts["notes"]:
        out.print(f"[yellow]note[/] {escape(note)}")


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def millions(count: int) -> str:
    return f"{count / 1e6:.3f}" if not 0 < count < 500 else "<0.001"


def size_of(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 2**20 else f"{count / 2**20:.2f} MiB"


def number(figure: float | None, form: str = ".4g") -> str:
    if figure is None or math.isinf(figure):
        return "-infinite" if figure == -math.inf else "infinite"
    return "-" if math.isnan(figure) else format(figure, form)
