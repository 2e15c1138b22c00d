"""The TRANSPOSEs that remain, as ``edgewise inspect --layout`` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tables import counted, escape, print_table, short, size_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


def show_layout(out: Console, facts: Facts) -> None:
    layout = facts["layout"]
    remaining = layout["transposes"]
    out.print(escape(f"{facts['model']}: {counted(len(remaining), 'TRANSPOSE')} left"))
    rows = [
        {
            "tensor": escape(short(t["tensor"])),
            "shape": "x".join(map(str, t["shape"])),
            "perm": ", ".join(map(str, t["perm"])),
            "bytes": str(t["bytes"]),
            "written in the order of": escape(t["written"]),
            "read in the order of": escape(t["read"]),
        }
        for t in remaining
    ]
    if rows:
        print_table(out, rows, right=("bytes",), spare=("tensor", "shape", "perm"))
    out.print(f"before  {size_of(layout['before_bytes'])} were transposed")
    least = (
        "proven, no orders considered give less"
        if layout["proven"]
        else "not proven to be the least"
    )
    if layout["absorbed_bytes"]:
        out.print(f"weights {size_of(layout['absorbed_bytes'])} of shuffles are in them now")
    out.print(f"now     {size_of(layout['bytes'])} are: {least}")
    if not layout["proven"]:
        out.print(f"bound   {size_of(layout['bound_bytes'])}: below it goes no choice considered")
