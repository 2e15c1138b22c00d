"""``edgewise quantize``."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import words
from .base import app, finish
from .diagnosis import show_diagnosis
from .groups import ImageReading, grouped
from .options import (
    Fit,
    Json,
    Model,
    Pixels,
    Threads,
    Verify,
    parse_pixels,
    parse_threads,
)
from .tables import counted, escape, number, print_table, short, size_of, threads_of, type_of
from .words import completing, one_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..quantizer.search import Budget
    from ..quantizer.state import Progress
    from ..tools.facts import Facts

WORST = 5
"""How many of the layers with most noise are shown."""

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@app.command(short_help="Quantize a float network to a .tflite file.")
@grouped
def quantize(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="OUT.tflite", help="The file to write.", show_default=False
        ),
    ],
    *,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="FOLDER|FILE",
            help="Calibration data: a folder of pictures, a .npy or a .npz; files may be repeated.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="PRECISION",
            help="int8, uint8, int16x8, dynamic_range, float16 or int4. Default: int8.",
            **one_of("--mode", words.modes),
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE", help="Steps and precisions by layer, as .json."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", metavar="N", min=1, help="At most N of the calibration data."),
    ] = None,
    observer: Annotated[
        str | None,
        typer.Option(
            "--observer",
            metavar="NAME",
            help="How calibration finds ranges: minmax, moving_average, percentile, mse, entropy "
            "or aciq. Default: as the recipe says.",
            **one_of("--observer", words.observers),
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            metavar="TYPE",
            help="float32, int8, uint8 or int16.",
            autocompletion=completing(words.interfaces),
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            "--outputs",
            metavar="TYPE",
            help="float32, int8, uint8 or int16.",
            autocompletion=completing(words.interfaces),
        ),
    ] = None,
    fit: Fit = None,
    pixels: Pixels = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a diagnosis layer by layer, .html."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="top1, miou, agreement and others of evaluate. Default: what the labels are for.",
            autocompletion=completing(words.metrics),
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset",
            metavar="PATH",
            help="Labelled data that networks are scored on, as evaluate takes it.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="At most N samples of the dataset."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Class names, as evaluate takes them."),
    ] = None,
    label_offset: Annotated[
        int | None,
        typer.Option("--label-offset", metavar="N", help="Is added to labels, as in evaluate."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            metavar="POINTS",
            help="Restore layers to a higher precision until no more points are lost.",
        ),
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(
            "--max-latency",
            metavar="TIME",
            help="The most accurate network that takes no longer here, such as 5ms.",
        ),
    ] = None,
    small: Annotated[
        bool,
        typer.Option(
            "--small", help="With a budget: keep layers quantized that are slower than in float32."
        ),
    ] = False,
    verify: Verify = None,
    threads: Threads = "1",
    reading: ImageReading,
    json: Json = False,
) -> None:
    """Quantize a float network, and say what that costs and brings.

    Exit code 1: a budget cannot be kept, and the closest was written; or LiteRT's results differ,
    and nothing was.

    \b
    Examples:
      edgewise quantize mobilenet.tflite -o int8.tflite --data photos/
      edgewise quantize speech.onnx -o small.tflite --mode dynamic_range
      edgewise quantize mobilenet.tflite -o int8.tflite --data photos/ --report report.html
      edgewise quantize mobilenet.tflite -o int8.tflite --data photos/ --dataset test/ \\
          --metric top1 --max-drop 0.5
    """
    from ..tools import quantize as quantizing
    from ..tools.scoring import Scoring

    pair = parse_pixels(pixels)
    scoring = None
    if metric is not None or dataset is not None:
        if not data and dataset is None:
            raise InputError(f"--metric {metric}: --dataset or --data says on what")
        scoring = Scoring(
            dataset=dataset or (data or [])[0],
            metric=metric,
            limit=limit,
            labels=labels,
            label_offset=label_offset,
            fit=fit,
            pixels=pair,
        )
    job = quantizing.Job(
        model=model,
        output=output,
        recipe=quantizing.recipe_of(mode, recipe, observer, inputs, outputs),
        data=data or (),
        samples=samples,
        fit=fit,
        pixels=pair,
        scoring=scoring,
        budget=_budget(max_drop, max_latency, small),
        report=report,
        verify=verify,
        threads=parse_threads(threads),
        loading=reading.loading,
    )
    with _progress() as told:
        facts = quantizing.quantize(job, told)
    finish("quantize", facts, show, json)
    if not facts["written"] or (facts["search"] and not facts["search"]["met"]):
        raise typer.Exit(1)


def _budget(max_drop: float | None, max_latency: str | None, small: bool) -> Budget | None:
    from ..quantizer import Budget

    if max_drop is None and max_latency is None:
        if small:
            raise InputError("--small: it is for --max-drop and --max-latency")
        return None
    return Budget(max_drop, None if max_latency is None else parse_time(max_latency), small)


def parse_time(text: str) -> float:
    """Seconds, from a number with its unit: 300us, 5ms, 0.1s."""
    for unit, seconds in UNITS.items():
        figure = text.strip().removesuffix(unit)
        if figure != text.strip():
            with contextlib.suppress(ValueError):
                return float(figure) * seconds
    raise InputError(f"--max-latency {text}: a number with its unit, {', '.join(UNITS)}")


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on stderr where that is a terminal, for one thing after another."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("reading", total=None)

        def told(what: str, done: int, total: int) -> None:
            bars.update(task, description=escape(what), completed=done, total=total or None)

        yield told


def show(out: Console, facts: Facts) -> None:
    from ..quantizer.findings import INPUT

    written = "written" if facts["written"] else "NOT written"
    share = facts["output_bytes"] / (facts["float_bytes"] or facts["model_bytes"])
    sizes = f"{size_of(facts['model_bytes'])} -> {size_of(facts['output_bytes'])}"
    out.print(
        f"{escape(facts['output'])} {written}: {facts['format']} -> {facts['precision']}, {sizes}, "
        f"{share:.1%} of the float .tflite file"
    )
    _show_layers(out, [x for x in facts["diagnosis"]["layers"] if x["op"] != INPUT])
    _show_outputs(out, facts)
    show_diagnosis(out, facts["diagnosis"], WORST)
    if facts["metric"] is not None:
        _show_metric(out, facts["metric"], facts["precision"])
    if facts["search"] is not None:
        _show_search(out, facts["search"])
    _show_times(out, facts)
    _show_verified(out, facts["verified"])
    if facts["report"] is not None:
        out.print(f"{escape(facts['report'])} written")


def _show_layers(out: Console, layers: list[Facts]) -> None:
    """The operators by precision, and why some are in float32 that should not be."""
    by_precision: dict[str, Counter[str]] = {}
    for layer in layers:
        by_precision.setdefault(layer["precision"], Counter())[layer["op"]] += 1
    rows = [
        {
            "precision": precision,
            "layers": str(sum(ops.values())),
            "operators": escape(", ".join(f"{n} {op}" for op, n in ops.most_common())),
        }
        for precision, ops in by_precision.items()
    ]
    print_table(out, rows, right=("layers",))
    if set(by_precision) == {"float32"}:
        out.print("[yellow]note[/] no layer is quantized")
    reasons: dict[str, list[Facts]] = {}
    for layer in layers:
        if layer["left"] is not None:
            reasons.setdefault(layer["left"], []).append(layer)
    for reason, same in reasons.items():
        first = f"{same[0]['op']} {short(same[0]['name'])!r}"
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        out.print(f"left in float: {escape(first)}{more}: {escape(reason)}")


def _show_outputs(out: Console, facts: Facts) -> None:
    data = counted(facts["samples"], "sample") if facts["samples"] else "random inputs"
    for o in facts["outputs"]:
        if o["real"]:
            told = "exact" if o["sqnr_db"] is None else f"SQNR {o['sqnr_db']:.1f} dB"
            out.print(f"output {escape(o['name'])} {type_of(o)}: {told}, on {data}")


def _show_metric(out: Console, m: Facts, precision: str) -> None:
    before, after, change = (m[key] for key in ("float", "quantized", "difference"))
    less, low, high = (number(change[key], "+.4g") for key in ("value", "low", "high"))
    out.print(
        f"{m['name']} on {escape(m['dataset'])}, {counted(m['samples'], 'sample')}: "
        f"{number(before['value'])} {m['unit']} float32, {number(after['value'])} {m['unit']} "
        f"{precision}: {less} (95 % interval {low} to {high})"
    )


def _show_search(out: Console, s: Facts) -> None:
    rows = [
        {
            "layer": escape(short(layer["name"])),
            "precision": layer["precision"],
            "noise": "" if layer["noise"] is None else f"{layer['noise']:.2%}",
            "us": ", ".join(f"{name} {1e3 * ms:.1f}" for name, ms in layer["ms"].items()),
            "why": escape(layer["reason"]),
        }
        for layer in s["layers"]
        if layer["reason"] != "as asked for"
    ]
    if rows:
        print_table(out, rows, right=("noise",), spare=("us", "noise"))
    limits = []
    if s["max_drop"] is not None:
        lost = "no" if s["drop"] < 0 else number(s["drop"])
        limits.append(f"{lost} points lost of {number(s['max_drop'])}")
    if s["max_latency_ms"] is not None:
        limits.append(f"{number(s['ms'])} ms of {number(s['max_latency_ms'])} ms")
    told = "kept" if s["met"] else "[yellow]NOT kept[/], this is the closest that was found"
    out.print(f"budget {told}: {', '.join(limits)}; {counted(len(s['trials']), 'network')} tried")


def _show_times(out: Console, facts: Facts) -> None:
    t, precision = facts["time"], facts["precision"]
    r = t["ratio"]
    out.print(
        f"time {t['float_ms']:.3f} ms float32, {t['quantized_ms']:.3f} ms {precision} on "
        f"{t['isa']}, {threads_of(t['threads'])}: {r['value']:.2f} times as fast (95 % interval "
        f"{r['low']:.2f} to {r['high']:.2f})"
    )
    if r["verdict"] == "slower":
        hint = "" if facts["search"] else "; --max-drop keeps in float32 the layers that are slower"
        out.print(
            f"[yellow]slower[/] {precision} is slower than float32 on this machine, as measured"
            f"{hint}"
        )


def _show_verified(out: Console, v: Facts) -> None:
    again = "equal to the bit" if v["share"] == 0 else f"off by {number(v['share'])} of a range"
    out.print(f"verified: the file gives the network's outputs, {again}")
    litert = v["litert"]
    if litert is None:
        out.print("not verified in LiteRT (--verify runs it there)")
        return
    within = "within" if litert["within_tolerance"] else "NOT within"
    out.print(
        f"verified in {litert['runtime']}: outputs differ by at most {number(litert['share'])} of "
        f"their range, {within} the tolerance of {number(litert['tolerance'])}"
    )
