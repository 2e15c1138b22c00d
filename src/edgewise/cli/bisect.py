"""``edgewise bisect``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import words
from .base import app, finish, progress
from .groups import Computing, Reading, grouped
from .options import InputFiles, Json, Model, Seed, Threads, Tolerance, parse_threads
from .tables import counted, escape, number, print_table, short
from .words import completing

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Find the first operator that departs from another runtime.")
@grouped
def bisect(
    model: Model,
    *,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="PEER",
            help="A runtime that shows its tensors: litert, onnxruntime, ncnn, opencv or torch; or "
            "reference: the program against Edgewise's references. Default: the runtime of the "
            "file's format.",
            autocompletion=completing(words.suspects),
        ),
    ] = None,
    inputs: InputFiles = None,
    random: Annotated[
        int | None,
        typer.Option("--random", metavar="N", min=1, help="N random inputs. Default: 1."),
    ] = None,
    seed: Seed = 0,
    tolerance: Tolerance = 1.0,
    threads: Threads = "1",
    computing: Computing,
    reading: Reading,
    json: Json = False,
) -> None:
    """Name the first operator whose output departs, and the likely cause.

    Against another runtime, each operator is computed from that runtime's own tensors, so that
    what came before it does not count. Against the references, beginnings of the network are
    compiled until the shortest one that departs is found.

    Exit code 0: none departs; 1: one does.

    \b
    Examples:
      edgewise bisect mobilenet.tflite
      edgewise bisect detector.onnx --against onnxruntime --inputs face.jpg
      edgewise bisect mobilenet.tflite --against reference --isa sse41
    """
    from ..tools import bisect as bisecting
    from ..tools.compare import comparison_inputs
    from ..tools.peers import native_peer

    if inputs and random:
        raise InputError("--inputs and --random: give one of them")
    graph = reading.loading.graph(model)
    chosen = against or native_peer(model)
    sets = comparison_inputs(graph, inputs or [], random or 1, seed)
    count = len(sets)
    if chosen == bisecting.REFERENCE:
        count = 2 + math.ceil(math.log2(max(len(graph.nodes), 1)))
    with progress("Bisecting", count) as step:
        facts = bisecting.bisect(
            graph,
            model,
            chosen,
            sets,
            tolerance=tolerance,
            threads=parse_threads(threads),
            compiling=computing.compiling,
            progress=step,
            signature=reading.signature,
            weights=reading.weights,
        )
    finish("bisect", facts, show, json)
    if facts["departure"]:
        raise typer.Exit(1)


def show(out: Console, facts: Facts) -> None:
    found = facts["departure"]
    out.print(f"{escape(facts['model'])} against {facts['against']}, {facts['path']}:")
    if found is None:
        out.print(f"none departs by more than {number(facts['tolerance'])} steps; {_effort(facts)}")
        return
    origin = f" of {escape(repr(found['origin']))}" if found["origin"] else ""
    out.print(f"[bold]{escape(found['operator'])}[/]{origin} is the first that departs")
    rows = [
        ("output", f"{short(found['tensor'])}: {found['type']}"),
        *(("input", f"{short(v['name'])}: {v['type']}") for v in found["inputs"]),
        ("differing", f"{found['differing']} of {found['elements']} elements"),
        (
            "greatest",
            f"{number(found['steps'])} steps at {found['where']}: {number(found['edgewise'])}, "
            f"theirs {number(found['other'])}",
        ),
        ("likely cause", f"{found['cause']}: {found['evidence']}"),
    ]
    print_table(out, [{"": name, "what": escape(text)} for name, text in rows])
    out.print(_effort(facts))


def _effort(facts: Facts) -> str:
    compared = counted(facts["compared"], "tensor")
    if facts["path"] == "numpy":
        compared = f"{counted(facts['compared'], 'beginning')} of the network"
    return f"{compared} compared; inputs: {facts['inputs']}"
