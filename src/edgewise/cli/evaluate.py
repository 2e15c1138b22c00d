"""``edgewise evaluate``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import words
from .base import app, finish, progress
from .groups import Computing, ImageReading, grouped
from .options import (
    MODELS,
    Fit,
    Json,
    Pixels,
    Threads,
    model_file,
    parse_pixels,
    parse_threads,
)
from .tables import counted, escape, number, print_table, size_of, threads_of
from .words import completing

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Measure how right networks are on a dataset.")
@grouped
def evaluate(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL", help=MODELS, show_default=False, parser=model_file),
    ],
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="A folder with labels.csv, or of a folder a class; a .npz with labels; without "
            "labels also what run takes.",
            show_default=False,
        ),
    ],
    *,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME,...",
            help="top1, top5, class-accuracy, auc; miou, pixel-accuracy; with --reference, or "
            "outputs as labels, agreement, sqnr, mse, cosine. Default: what the labels are for.",
            autocompletion=completing(words.metrics, commas=True),
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            metavar="NAME,...",
            help="edgewise, litert, onnxruntime, openvino, ncnn, opencv, torch, or native: that "
            "of the file's format. Default: edgewise.",
            autocompletion=completing(words.engines, commas=True),
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="MODEL",
            help="The model whose outputs are right, such as the float one.",
            parser=model_file,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="At most N samples, at even distances."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Class names, by which folders are found: as run takes them.",
        ),
    ] = None,
    label_offset: Annotated[
        int | None,
        typer.Option(
            "--label-offset",
            metavar="N",
            help="Is added to labels. Default: 1 for networks of 1001 classes, whose first is the "
            "background, else 0.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="NAME", help="The output that labels are compared with."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FILE", help="Write what was measured of each sample, as .csv."
        ),
    ] = None,
    fit: Fit = None,
    pixels: Pixels = None,
    threads: Threads = "1",
    computing: Computing,
    reading: ImageReading,
    json: Json = False,
) -> None:
    """Measure how right networks are on a dataset, and how sure that is.

    Several models, and engines, are measured on the same samples. Each figure has its 95 %
    interval, and so has each difference from the first row (docs/evaluating.md).

    \b
    Examples:
      edgewise evaluate mobilenet.tflite photos/ --metric top1,top5
      edgewise evaluate float.tflite int8.tflite photos/ --engine edgewise,litert
      edgewise evaluate int8.tflite pictures/ --reference float.tflite --metric sqnr
    """
    from ..tools import evaluate as evaluating

    if reading.weights is not None and len(models) > 1:
        raise InputError("--weights: of one model only; those of others are found by name")
    job = evaluating.Job(
        models=models,
        dataset=dataset,
        metrics=_words(metric),
        engines=_words(engine) or (evaluating.EDGEWISE,),
        reference=reference,
        limit=limit,
        labels=labels,
        label_offset=label_offset,
        output=output,
        save=save,
        fit=fit,
        pixels=parse_pixels(pixels),
        threads=parse_threads(threads),
        compiling=computing.compiling,
        loading=reading.loading,
    )
    with (
        evaluating.prepared(job) as evaluation,
        progress("Evaluating", evaluation.calls) as step,
    ):
        facts = evaluation.measure(step)
    finish("evaluate", facts, show, json)


def _words(texts: Sequence[str] | None) -> tuple[str, ...]:
    """The words of an option that may be repeated, and may hold several with commas between."""
    words = (word.strip() for text in texts or () for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def show(out: Console, facts: Facts) -> None:
    from ..tools.facts import short_names

    reference = f", against {facts['reference']}" if facts["reference"] else ""
    title = f"{facts['dataset']}: {counted(facts['samples'], 'sample')}{reference}"
    out.print(escape(f"{title}; {threads_of(facts['threads'])}"))
    results = facts["results"]
    names = short_names(Path(result["model"]) for result in results)
    rows = [row for result in results for row in _rows(facts, result, names[Path(result["model"])])]
    if len(results) == 1:
        rows = [{name: row[name] for name in row if name not in CHANGES} for row in rows]
    print_table(out, rows, right=RIGHT, spare=("size", "p", "ms"))
    for note in facts["notes"]:
        out.print(f"[yellow]note[/] {escape(note)}")
    moved = [r for r in results if r["label_offset"]]
    for offset in sorted({r["label_offset"] for r in moved}):
        which = {names[Path(r["model"])] for r in moved if r["label_offset"] == offset}
        out.print(escape(f"labels moved by {offset} for {', '.join(sorted(which))}"))
    if facts["saved"]:
        out.print(f"{escape(facts['saved'])} written")


CHANGES = ("to the first", "95 % of that", "p", "")
RIGHT = ("size", "figure", "95 %", "to the first", "95 % of that", "p", "ms")


def _rows(facts: Facts, result: Facts, model: str) -> Iterator[dict[str, str]]:
    """Those of a model in an engine: one a metric, of which the first names it."""
    for index, m in enumerate(facts["metrics"]):
        found, unit = result["figures"][m["name"]], m["unit"]
        change = result.get("differences", {}).get(m["name"])
        once = {
            "model": escape(model),
            "engine": escape(result["engine"]),
            "size": size_of(result["file_bytes"]),
        }
        yield {
            **(once if index == 0 else dict.fromkeys(once, "")),
            "metric": m["name"],
            "figure": f"{_figure(found['value'], unit)} {unit}".strip(),
            "95 %": _interval(found, unit),
            "to the first": "" if change is None else _figure(change["value"], unit, "+"),
            "95 % of that": "" if change is None else _interval(change, unit),
            "p": "" if change is None or change["p_value"] is None else f"{change['p_value']:.2g}",
            "": "" if change is None else change["verdict"],
            "ms": "" if index else f"{result['median_ms']:.3f}",
        }


def _interval(found: Facts, unit: str) -> str:
    if math.isnan(found["low"]):
        return "-"
    return f"{_figure(found['low'], unit)} to {_figure(found['high'], unit)}"


def _figure(value: float, unit: str, sign: str = "") -> str:
    return number(value, f"{sign}.2f" if unit else f"{sign}.5g")
