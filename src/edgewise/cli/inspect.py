"""``edgewise inspect``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import edgewise as ew

from .arena import show_memory
from .base import app, finish
from .groups import ImageReading, Running, grouped
from .layout import show_layout
from .options import Json, Model, Threads
from .tables import (
    counted,
    escape,
    millions,
    print_table,
    short,
    show_fallbacks,
    show_threading,
    size_of,
    threads_of,
    types_of,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Show operators, sizes, kernels and memory.")
@grouped
def inspect(
    model: Model,
    *,
    graph: Annotated[
        bool, typer.Option("--graph", help="Print the graph as text, before and after the passes.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Draw the arena over time and certify its peak.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Write that picture: .png, .svg, .pdf."),
    ] = None,
    layout: Annotated[
        bool, typer.Option("--layout", help="Show the TRANSPOSEs that remain, and why.")
    ] = False,
    threads: Threads = "1",
    computing: Running,
    reading: ImageReading,
    json: Json = False,
) -> None:
    """Show a network's operators, sizes, multiply-adds, kernels and memory plan.

    \b
    Examples:
      edgewise inspect mobilenet.tflite
      edgewise inspect mobilenet.tflite --graph
      edgewise inspect mobilenet.tflite --memory --plot arena.svg
      edgewise inspect mobilenet.onnx --layout
      edgewise inspect mobilenet.tflite --json
    """
    from ..tools.differences import random_inputs
    from ..tools.fallbacks import slow_operators
    from ..tools.inspect import inspection
    from ..tools.layout import layout_facts
    from ..tools.memory import memory_facts, save_memory_plot
    from ..tools.plots import check_plot

    if plot is not None:
        check_plot(plot)
    imported = reading.loading.graph(model)
    if graph and not json:
        typer.echo(f"{imported}\n\n{ew.optimize(imported)}")
        if not (memory or plot or layout):
            return
    with contextlib.closing(computing.program(imported, threads)) as program:
        (arrays,) = random_inputs(imported, 1, 0)
        slow = slow_operators(program, arrays)
        facts = inspection(model, imported, program, slow)
        if memory or plot is not None:
            facts["memory"] = memory_facts(program.memory)
    if plot is not None:
        save_memory_plot(plot, str(model), facts["memory"])
        facts["plot"] = str(plot)
    if graph:
        facts["graph"] = {"imported": str(imported), "optimized": str(ew.optimize(imported))}
    if layout:
        facts["layout"] = layout_facts(imported)
    shown = show_layout if layout else show_memory if "memory" in facts else show
    finish("inspect", facts, shown, json)
    if "memory" in facts and not facts["memory"]["sound"]:
        raise typer.Exit(1)


def bracket(operator: Facts) -> str:
    """A piece of a bracket around the operators that run as one step."""
    number, together = operator["index"], operator["together"]
    if len(together) < 2:
        return ""
    return {together[0]: "┌ ", together[-1]: "└ "}.get(number, "│ ")


def show(out: Console, facts: Facts) -> None:
    operators = counted(facts["operators_in_file"], "operator")
    out.print(escape(f"{facts['model']}: {operators} in the file, as they run:"))
    rows = [
        {
            "#": str(o["index"]),
            "operator": bracket(o) + o["op"],
            "origin": escape(short(o["origin"])),
            "output": escape(types_of(o["outputs"])),
            "MMAC": millions(o["macs"]) if o["macs"] else "",
            "weights": size_of(o["weight_bytes"]) if o["weight_bytes"] else "",
            "kernels": "[yellow]numpy reference[/]"
            if o["fallback"]
            else "those of its graphs"
            if o["op"] in ("IF", "WHILE")
            else "\n".join(map(escape, o["kernels"])),
        }
        for o in facts["operators"]
    ]
    print_table(out, rows, right=("#", "MMAC", "weights"), spare=("origin", "kernels"))
    for kind in ("inputs", "outputs", "states"):
        for value in facts[kind]:
            free = kind == "inputs" and facts["open"].get(value["name"])
            note = f", of any size where {free} has -1" if free else ""
            out.print(f"{kind[:-1]:7} {escape(value['name'])}: {escape(value['type'] + note)}")
    if facts["dims"]:
        sizes = ", ".join(f"{name} = {size}" for name, size in facts["dims"].items())
        out.print(f"sizes   {escape(sizes)}; --dim chooses")
    if len(facts["signatures"]) > 1:
        out.print(f"signatures: {escape(', '.join(facts['signatures']))}; --signature chooses")
    out.print(f"work    {millions(facts['macs'])} million multiply-adds")
    out.print(
        f"memory  arena {size_of(facts['arena_bytes'])}, "
        f"constants as packed {size_of(facts['constant_bytes'])}"
    )
    out.print(f"file    {size_of(facts['file_bytes'])}, weights {size_of(facts['weight_bytes'])}")
    measured, choices = facts["measured_choices"], counted(facts["choices"], "choice")
    out.print(
        f"kernels {len(facts['kernels'])}, for {facts['isa']}, {threads_of(facts['threads'])}"
        + (f"; {measured} of {choices} by measurements" if measured else "")
    )
    show_threading(out, facts["threading"])
    if any(len(o["together"]) > 1 for o in facts["operators"]):
        out.print("┌ │ └   these run as one step, a band of rows at a time")
    show_fallbacks(out, facts)
