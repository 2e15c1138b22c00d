"""``edgewise run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import words
from .base import app, finish, progress
from .groups import ImageReading, Running, grouped
from .options import Inputs, Json, Model, Pixels, Threads, parse_pixels
from .tables import escape, number, show_fallbacks, show_threading, threads_of, type_of
from .words import one_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..tools.facts import Facts


@app.command()
@grouped
def run(
    model: Model,
    inputs: Inputs,
    *,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Classes to show.")] = 5,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Class names: one a line, or .csv with class_index and name. "
            "Default: those packed in the model.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="PICTURE",
            help="Write the picture with its result; a folder where there are several inputs.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the raw outputs: .npz, or .npy."),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit",
            metavar="HOW",
            help="crop: the centre (256 -> 224); stretch: all of the picture. "
            "Default: crop for lists of classes, else stretch.",
            **one_of("--fit", lambda: words.FITS),
        ),
    ] = None,
    pixels: Pixels = None,
    threads: Threads = "1",
    computing: Running,
    reading: ImageReading,
    json: Json = False,
) -> None:
    """Run a network on pictures or arrays and show what it sees.

    \b
    Examples:
      edgewise run mobilenet.tflite cat.jpg --top 3
      edgewise run mobilenet.tflite photos/*.jpg --threads 2 --json
      edgewise run deeplab.tflite street.jpg --save street-classes.png
      edgewise run keyword.tflite features.npy --output scores.npy
    """
    from ..tools import run as running

    job = running.Job(
        model=model,
        top=top,
        labels=labels,
        save=save,
        output=output,
        fit=fit,
        pixels=parse_pixels(pixels),
        threads=computing.threads(threads),
        compiling=computing.compiling,
        loading=reading.loading,
    )
    with progress("Running", len(inputs)) as step:
        facts = running.run(job, inputs, progress=step)
    finish("run", facts, show, json)


def show(out: Console, facts: Facts) -> None:
    for entry in facts["runs"]:
        title = " ".join(entry["inputs"])
        for output in entry["outputs"]:
            out.print(escape(f"{title}: {output['name']}, {type_of(output)}"))
            out.print(_output_table(output))
        out.print(
            f"{entry['latency_ms']:.2f} ms on {facts['isa']}, {threads_of(facts['threads'])}"
            + (f"; {escape(entry['saved'])} written" if "saved" in entry else "")
        )
    show_threading(out, facts["threading"])
    show_fallbacks(out, facts)
    if "output" in facts:
        out.print(f"{escape(facts['output'])} written")


def _output_table(output: Facts) -> Table:
    from rich.table import Table

    table = Table()
    if output["kind"] == "numbers":
        for name in ("low", "mean", "high"):
            table.add_column(name, justify="right")
        table.add_row(*(number(output[name]) for name in ("low", "mean", "high")))
        return table
    if output["kind"] == "texts":
        table.add_column("text")
        for text in output["texts"]:
            table.add_row(escape(text))
        return table
    heading = {"probabilities": "probability", "scores": "score", "class_map": "area"}
    table.add_column("class", justify="right")
    table.add_column("label")
    table.add_column(heading[output["kind"]], justify="right")
    for row in output["top"]:
        score = number(row["score"]) if output["kind"] == "scores" else f"{row['score']:.2%}"
        table.add_row(str(row["index"]), escape(row["label"]), score)
    return table
