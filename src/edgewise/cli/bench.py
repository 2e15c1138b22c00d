"""``edgewise bench``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import words
from .base import app, finish, progress
from .groups import Reading, Running, grouped
from .options import Json, Model, Seed
from .tables import escape, show_fallbacks, show_threading, threads_of
from .words import completing

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Time a network, alone or against other runtimes.")
@grouped
def bench(
    model: Model,
    *,
    threads: Annotated[
        str, typer.Option("--threads", metavar="N,...", help="Numbers of threads to time.")
    ] = "1",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="PEER",
            help="Another runtime: litert, onnxruntime, ncnn, opencv, torch, openvino or "
            "openvino-default; may be repeated.",
            autocompletion=completing(words.peers),
        ),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="Interleaved rounds.")] = 40,
    seed: Seed = 0,
    computing: Running,
    reading: Reading,
    json: Json = False,
) -> None:
    """Time a network, alone or against other runtimes, in interleaved rounds.

    A round takes one sample of about 20 ms of each runtime, in random order. The ratio's 95 %
    interval comes from resampling whole rounds. Timed are calls of
    invoke, Edgewise's and the peers', without copies of inputs and outputs.

    \b
    Examples:
      edgewise bench mobilenet.tflite
      edgewise bench mobilenet.tflite --against litert --against openvino
      edgewise bench mobilenet.tflite --rounds 100 --json
    """
    from ..tools import bench as benching

    counts = [computing.threads(part) for part in threads.split(",")]
    with progress("Timing", rounds * len(counts)) as step:
        facts = benching.bench(
            reading.loading.graph(model),
            model,
            counts,
            against or [],
            rounds,
            seed,
            computing.compiling,
            step,
            signature=reading.signature,
            weights=reading.weights,
        )
    finish("bench", facts, show, json)


def show(out: Console, facts: Facts) -> None:
    title = f"{facts['model']} on {facts['isa']}: {facts['rounds']} interleaved rounds"
    out.print(escape(title))
    from rich.table import Table

    table = Table()
    for name in ("threads", "runtime", "median ms", "quartiles ms"):
        table.add_column(name, justify="left" if name == "runtime" else "right")
    for entry in facts["results"]:
        for t in entry["timings"]:
            low, high = t["quartiles_ms"]
            table.add_row(
                str(entry["threads"]), t["name"], f"{t['median_ms']:.3f}", f"{low:.3f} - {high:.3f}"
            )
    out.print(table)
    for entry in facts["results"]:
        show_threading(out, entry["threading"])
        for r in entry["ratios"]:
            interval = f"95 % interval {r['low']:#.3g} to {r['high']:#.3g}"
            out.print(
                f"{threads_of(entry['threads'])}: {r['value']:#.3g} times as fast as "
                f"{r['against']} ({interval}): {r['verdict']}"
            )
    show_fallbacks(out, facts)
