"""``edgewise profile``."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .base import app, finish, progress
from .groups import ImageReading, Running, grouped
from .options import Json, Model, Seed, Threads
from .tables import (
    counted,
    escape,
    millions,
    print_table,
    short,
    show_threading,
    size_of,
    threads_of,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Time each step against what the machine can do.")
@grouped
def profile(
    model: Model,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="A picture, .npy or .npz for the network's inputs. Default: random.",
            show_default=False,
        ),
    ] = None,
    *,
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="N", min=1, help="Show the N slowest steps, slowest first."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Write the roofline plot: .png, .svg, .pdf."),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs", metavar="N", min=1, help="Calls to time. Default: about 2 s of calls."
        ),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Measure the machine's limits anew.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = "1",
    computing: Running,
    reading: ImageReading,
    json: Json = False,
) -> None:
    """Time each step of a network against what this machine can do at most.

    The steps are timed inside the one native call. The roof of a step is the least time that its
    multiply-adds or its bytes could take here (docs/profiling.md).

    \b
    Examples:
      edgewise profile mobilenet.tflite
      edgewise profile mobilenet.tflite --top 10 --threads 2
      edgewise profile mobilenet.tflite cat.jpg --plot roofline.png
    """
    from ..tools import profile as profiling
    from ..tools.plots import check_plot
    from ..tools.roofplot import save_plot

    if plot is not None:
        check_plot(plot)
    graph = reading.loading.graph(model)
    arrays = profiling.inputs_of(graph, inputs or [], seed)
    with contextlib.closing(computing.program(graph, threads)) as program:
        count = runs or profiling.usual_runs(program, arrays)
        with progress("Timing", count) as step:
            facts = profiling.profile(model, program, arrays, count, renew, step)
    if plot is not None:
        save_plot(plot, facts)
        facts["plot"] = str(plot)
    finish("profile", facts, functools.partial(show, top=top), json)


def show(out: Console, facts: Facts, top: int | None = None) -> None:
    show_threading(out, facts["threading"])
    running = threads_of(facts["threads"])
    out.print(escape(f"{facts['model']} on {facts['isa']}, {running}: {facts['runs']} timed calls"))
    steps = facts["steps"]
    shown = sorted(steps, key=lambda s: -s["ms"])[:top] if top else steps
    rows = [
        {
            "#": str(s["index"]),
            "operator": s["op"] + (f" in {escape(s['graph'])}" if s["graph"] else ""),
            "origin": escape(short(s["origin"])),
            "kernel": escape(s["kernel"]) if s["kernel"] else "[yellow]numpy reference[/]",
            "ms": f"{s['ms']:.3f}",
            "share": f"{s['share']:.1%}",
            "MMAC": (millions(s["macs"]) + ("" if s["direct"] else "*")) if s["macs"] else "",
            "bytes": size_of(s["bytes"]) if s["bytes"] else "",
            "GMAC/s": f"{s['gmacs']:.1f}" if s["macs"] and s["gmacs"] is not None else "",
            "GB/s": f"{s['gb_per_s']:.1f}" if s["gb_per_s"] is not None else "",
            "of roof": f"{s['of_roof']:.0%}" if s["of_roof"] is not None else "",
            "bound by": s["bound"] or "",
        }
        for s in shown
    ]
    right = ("#", "ms", "share", "MMAC", "bytes", "GMAC/s", "GB/s", "of roof")
    print_table(out, rows, right=right, spare=("origin", "kernel", "bytes", "GB/s"))
    if len(shown) < len(steps):
        rest = sum(s["ms"] for s in steps) - sum(s["ms"] for s in shown)
        out.print(f"other   {counted(len(steps) - len(shown), 'step')}, {rest:.3f} ms")
    if any(not s["direct"] for s in shown):
        out.print("* of the direct product; a transform does fewer")
    rate = facts["macs"] / facts["untimed_ms"] / 1e6
    reached = "" if facts["of_roof"] is None else f", {facts['of_roof']:.0%} of their roofs"
    out.print(
        f"steps   {facts['steps_ms']:.3f} ms{reached}; outside of them {facts['outside_ms']:.3f} ms"
    )
    out.print(
        f"calls   {facts['timed_ms']:.3f} ms timed, {facts['untimed_ms']:.3f} ms without stamps "
        f"({facts['timed_ms'] / facts['untimed_ms'] - 1:+.1%}); {rate:.1f} GMAC/s"
    )
    peaks = (f"{p['arithmetic']} {p['gmacs']:.1f} GMAC/s" for p in facts["peaks"])
    memory = (f"{m['name']} {m['gb_per_s']:.1f} GB/s" for m in facts["memory"])
    out.print(f"roofs   {', '.join((*peaks, *memory))}")
    if "plot" in facts:
        out.print(f"{escape(facts['plot'])} written")
