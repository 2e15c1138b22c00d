"""``edgewise tune``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .base import app, finish
from .groups import Computing, Reading, grouped
from .options import MODELS, Json, Threads, model_file, parse_threads
from .tables import counted, escape, print_table, short, threads_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Choose a network's kernels by measuring them.")
@grouped
def tune(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help=MODELS, show_default=False, parser=model_file),
    ] = None,
    *,
    budget: Annotated[
        float, typer.Option("--budget", metavar="SECONDS", help="How long it may take, about.")
    ] = 30.0,
    again: Annotated[
        bool, typer.Option("--again", help="Measure also what was measured before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be chosen, and keep nothing.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget all measurements, of all networks, first.")
    ] = False,
    threads: Threads = "1",
    computing: Computing,
    reading: Reading,
    json: Json = False,
) -> None:
    """Choose a network's kernels by measuring them on this machine.

    Kernels that could do the same layer are timed side by side, the layers that take longest
    first. What is faster, alone and within the network, is kept, and used from then on wherever a
    network has such a layer; integers stay the same to the last bit. Ctrl-C ends the measurements
    and keeps what was found.

    \b
    Examples:
      edgewise tune mobilenet.tflite
      edgewise tune mobilenet.tflite --budget 120 --threads 2
      edgewise tune --reset
    """
    from ..codegen import tuned
    from ..tools import tune as tuning

    if model is None and not reset:
        raise InputError("MODEL is missing; only --reset does without")
    if reset and dry_run:
        raise InputError("--reset deletes measurements, --dry-run keeps them: give one of the two")
    if not budget > 0:
        raise InputError(f"--budget {budget:g}: a number of seconds above 0")
    count = parse_threads(threads)
    graph = None if model is None else reading.loading.graph(model)
    forgotten = tuned.reset() if reset else None
    facts: Facts = {}
    if model is not None and graph is not None:
        with _progress(model.name) as report:
            facts = tuning.tune(
                model,
                graph,
                budget=budget,
                threads=count,
                isa=computing.isa,
                requantization=computing.requantization,
                precision=computing.precision,
                again=again,
                save=not dry_run,
                progress=report,
            )
    if forgotten is not None:
        facts["forgotten_files"] = forgotten
    finish("tune", facts, show, json)


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[float, str, float], None]]:
    """A bar of the budget on stderr where that is a terminal; yields what moves it."""
    if not sys.stderr.isatty():
        yield lambda spent, problem, saved: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(name), total=1.0)

        def report(spent: float, problem: str, saved: float) -> None:
            description = f"saved {saved:.1%}  {escape(problem)}"
            bar.update(task, completed=spent, description=description)

        yield report


def show(out: Console, facts: Facts) -> None:
    if "forgotten_files" in facts:
        out.print(f"{counted(facts['forgotten_files'], 'file')} of measurements deleted")
    if "model" not in facts:
        return
    running = threads_of(facts["threads"])
    out.print(escape(f"{facts['model']} on {facts['isa']}, {running}: {facts['seconds']:.1f} s"))
    rows = [_row(change) for change in facts["changes"]]
    if rows:
        print_table(out, rows, right=("alone", "in network"), spare=("origin",))
    ended = "" if facts["finished"] else "; the budget or the user ended it"
    known = f", {facts['known']} known before" if facts["known"] else ""
    out.print(
        f"measured {facts['measured']} of {counted(facts['problems'], 'kind')} of layer"
        f"{known}{ended}"
    )
    network = facts["network"]
    if network is None:
        out.print("network  the cost model's kernels stay: nothing measured is faster")
        return
    r = network["ratio"]
    out.print(
        f"network  {network['before_ms']:.3f} ms -> {network['after_ms']:.3f} ms: "
        f"{r['value']:.3f} times as fast (95 % interval {r['low']:.3f} to {r['high']:.3f})"
    )
    if not facts["kept"]:
        out.print("[yellow]not kept[/] the whole network is not faster: nothing changes")
    elif not facts["saved"]:
        out.print("not kept, as --dry-run says")


def _row(change: Facts) -> dict[str, str]:
    layers, inside = change["layers"], change["network_us"]
    count = f" x {len(layers)}" if len(layers) > 1 else ""
    alone = change["alone_us"]
    return {
        "layer": layers[0]["op"] + count,
        "origin": escape(short(layers[0]["origin"])),
        "before": escape(_kernel(change["before"])),
        "after": escape(_kernel(change["after"])),
        "alone": f"{alone['before'] / alone['after']:.3f}",
        "in network": f"{inside['before'] / inside['after']:.3f}" if inside else "",
        "": "" if change["kept"] else "[yellow]not kept[/]",
    }


def _kernel(symbol: str) -> str:
    """A kernel's symbol without its instruction set."""
    return symbol.rpartition("__")[0]
