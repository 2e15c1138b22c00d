"""``edgewise compare``."""

from __future__ import annotations

import functools
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


MOST_NAMES = 8
"""How many of the tensors that the peer does not give are named."""


@app.command(short_help="Compare every tensor with another runtime's.")
@grouped
def compare(
    model: Model,
    *,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="PEER",
            help="The other runtime: litert, onnxruntime, ncnn, opencv, torch or openvino. "
            "Default: that of the file's format.",
            autocompletion=completing(words.peers),
        ),
    ] = None,
    inputs: InputFiles = None,
    random: Annotated[
        int | None,
        typer.Option("--random", metavar="N", min=1, help="N random inputs. Default: 3."),
    ] = None,
    seed: Seed = 0,
    tolerance: Tolerance = 1.0,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="Compute each operator from the peer's own tensors, so that differences do "
            "not add up.",
        ),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every tensor, not only those that differ.")
    ] = False,
    threads: Threads = "1",
    computing: Computing,
    reading: Reading,
    json: Json = False,
) -> None:
    """Compare every output and intermediate tensor with another runtime's.

    Exit code 0: all lie within the tolerance; 1: some do not.

    \b
    Examples:
      edgewise compare mobilenet.tflite --against litert
      edgewise compare mobilenet.tflite --inputs cat.jpg --tolerance 0
      edgewise compare mobilenet.tflite --random 10 --alone --json
    """
    from ..tools import compare as comparing
    from ..tools.peers import native_peer

    if inputs and random:
        raise InputError("--inputs and --random: give one of them")
    graph = reading.loading.graph(model)
    sets = comparing.comparison_inputs(graph, inputs or [], random or 3, seed)
    with progress("Comparing", len(sets)) as step:
        facts = comparing.compare(
            graph,
            model,
            against or native_peer(model),
            sets,
            tolerance=tolerance,
            alone=alone,
            threads=parse_threads(threads),
            compiling=computing.compiling,
            progress=step,
            signature=reading.signature,
            weights=reading.weights,
        )
    finish("compare", facts, functools.partial(show, everything=everything), json)
    if not facts["within_tolerance"]:
        raise typer.Exit(1)


def _size(difference: Facts) -> float:
    """A difference in steps; JSON's null is infinite."""
    steps = difference["steps"]
    return math.inf if steps is None else float(steps)


def show(out: Console, facts: Facts, everything: bool = False) -> None:
    rows = [("tensor", d) for d in facts["tensors"]] + [("output", d) for d in facts["outputs"]]
    shown = rows if everything else [(kind, d) for kind, d in rows if d["differing"]]
    if shown:
        out.print(escape(f"{facts['model']} against {facts['against']}:"))
        table = [
            {
                "": kind,
                "name": escape(short(d["tensor"])),
                "operator": d["op"],
                "type": escape(d["type"]),
                "differing": f"{d['differing']} of {d['elements']}",
                "steps": number(d["steps"]) if d["differing"] else "0",
                "at": escape(str(d["where"])) if d["differing"] else "",
                "ours": number(d["edgewise"]) if d["differing"] else "",
                "theirs": number(d["peer"]) if d["differing"] else "",
            }
            for kind, d in shown
        ]
        print_table(out, table, spare=("type", "ours", "theirs", "at", "operator"))
    mode = "each operator from the peer's tensors" if facts["alone"] else "whole runs"
    out.print(
        f"{counted(len(facts['tensors']), 'tensor')} and "
        f"{counted(len(facts['outputs']), 'output')} compared with "
        f"{facts['against']}, {facts['path']}; inputs: {facts['inputs']}; {mode}"
    )
    if facts["not_compared"]:
        left_out = facts["not_compared"]
        names = ", ".join(left_out[:MOST_NAMES]) + (", ..." if len(left_out) > MOST_NAMES else "")
        out.print(f"not given by the peer: {counted(len(left_out), 'tensor')}: {escape(names)}")
    first = facts["first_difference"]
    if first is None:
        out.print("all equal, bit for bit")
    else:
        out.print(
            f"first difference: {escape(first['tensor'])} ({first['op']}), "
            f"{first['differing']} of {first['elements']} elements, "
            f"at most {_steps(first['steps'])}"
        )
        worst = max((d for _, d in rows), key=_size)
        if _size(worst) > _size(first):
            out.print(
                f"greatest difference: {escape(worst['tensor'])} ({worst['op']}), "
                f"{_steps(worst['steps'])}"
            )
        verdict = "within" if facts["within_tolerance"] else "NOT within"
        out.print(f"{verdict} the tolerance of {_steps(facts['tolerance'])}")
    if not facts["program_is_right"]:
        steps = _steps(facts["program_steps"])
        out.print(f"DEFECT: the program differs from Edgewise's own reference by {steps}")


def _steps(steps: float | None) -> str:
    return f"{number(steps)} step" if steps == 1 else f"{number(steps)} steps"
