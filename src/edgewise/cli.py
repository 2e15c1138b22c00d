"""The command line. Every command gathers facts through the public API, then prints them.

Results go to stdout, as tables or (``--json``, docs/json.md) as one JSON document; progress,
warnings and errors go to stderr. Exit codes: 0 success, 1 a comparison found differences, 2 an
error in what was given.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
import typer.core

import edgewise as ew

from .errors import EdgewiseError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


MAX_THREADS = 64


class Commands(typer.core.TyperGroup):
    """Turns Edgewise's and the system's errors into one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        _prepare_streams()
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except EdgewiseError as error:
                typer.echo(f"error: {error}", err=True)
                raise typer.Exit(2) from None
            except OSError as error:
                if error.errno == errno.EPIPE:  # the reader of a pipe has seen enough
                    raise
                about = f"{error.filename}: " if error.filename else ""
                typer.echo(f"error: {about}{error.strerror or error}", err=True)
                raise typer.Exit(2) from None


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite file.", show_default=False)]
Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        help="Pictures, .npy arrays, or .npz files that hold all inputs by name.",
        show_default=False,
    ),
]
Threads = Annotated[str, typer.Option("--threads", metavar="N", help="Threads to run on.")]
IsaName = Annotated[
    str | None,
    typer.Option("--isa", metavar="NAME", help="Instruction set; see edgewise doctor."),
]
Signature = Annotated[
    str | None,
    typer.Option("--signature", metavar="NAME", help="Which of the file's networks."),
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="INPUT=N,...",
        help="Another shape of an input, such as picture=1,320,320,3; may be repeated.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse operators without a kernel.")]
Requantization = Annotated[
    str,
    typer.Option(
        "--requantization",
        metavar="RULE",
        help="How sums of integers become 8 bits: float, or fixed_point as microcontrollers do.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="TYPE",
        help="bf16: products of float32 may round their operands to bfloat16.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of random inputs.")]


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"edgewise {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Edgewise compiles a trained neural network into a small, fast program.

    \b
    Examples:
      edgewise run mobilenet.tflite cat.jpg
      edgewise inspect mobilenet.tflite
      edgewise bench mobilenet.tflite --threads 1,2 --against litert
      edgewise doctor
    """


@app.command()
def run(
    model: Model,
    inputs: Inputs,
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
        ),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            "--pixels",
            metavar="LOW,HIGH",
            help="What black and white become, such as 0,1. Default: the model's metadata, "
            "else what its input's quantization suggests, else -1,1.",
        ),
    ] = None,
    threads: Threads = "1",
    isa: IsaName = None,
    strict: Strict = False,
    requantization: Requantization = "float",
    precision: Precision = None,
    signature: Signature = None,
    shape: InputShapes = None,
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
    from . import runs

    job = runs.Job(
        model=model,
        top=top,
        labels=labels,
        save=save,
        output=output,
        fit=_one_of("--fit", fit, ("crop", "stretch")),
        pixels=_pair("--pixels", pixels),
        threads=_threads(threads),
        compiling=runs.Compiling(isa, strict, requantization, precision),
        signature=signature,
        shapes=_shapes(shape),
    )
    with _progress("Running", len(inputs)) as step:
        facts = runs.run(job, inputs, progress=step)
    _print("run", facts, json)


@app.command(short_help="Show operators, sizes, kernels and memory.")
def inspect(
    model: Model,
    graph: Annotated[
        bool, typer.Option("--graph", help="Print the graph as text, before and after the passes.")
    ] = False,
    threads: Threads = "1",
    isa: IsaName = None,
    strict: Strict = False,
    requantization: Requantization = "float",
    precision: Precision = None,
    signature: Signature = None,
    shape: InputShapes = None,
    json: Json = False,
) -> None:
    """Show a network's operators, sizes, multiply-adds, kernels and memory plan.

    \b
    Examples:
      edgewise inspect mobilenet.tflite
      edgewise inspect mobilenet.tflite --graph
      edgewise inspect mobilenet.tflite --json
    """
    from . import compare, profile, report, runs

    imported = ew.load(model, signature, _shapes(shape))
    if graph and not json:
        typer.echo(f"{imported}\n\n{ew.optimize(imported)}")
        return
    compiling = runs.Compiling(isa, strict, requantization, precision)
    with contextlib.closing(compiling.program(imported, _threads(threads))) as program:
        (arrays,) = compare.random_inputs(imported, 1, 0)
        slow = profile.slow_operators(program, arrays)
        facts = report.inspection(model, imported, program, slow)
    if graph:
        facts["graph"] = {"imported": str(imported), "optimized": str(ew.optimize(imported))}
    _print("inspect", facts, json)


@app.command(short_help="Time a network, alone or against other runtimes.")
def bench(
    model: Model,
    threads: Annotated[
        str, typer.Option("--threads", metavar="N,...", help="Numbers of threads to time.")
    ] = "1",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="PEER",
            help="Another runtime, litert or openvino; may be repeated.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="Interleaved rounds.")] = 40,
    seed: Seed = 0,
    isa: IsaName = None,
    strict: Strict = False,
    requantization: Requantization = "float",
    precision: Precision = None,
    signature: Signature = None,
    shape: InputShapes = None,
    json: Json = False,
) -> None:
    """Time a network, alone or against other runtimes, in interleaved rounds.

    A round takes one sample of about 20 ms of each runtime, in random order. The ratio's 95 %
    interval comes from resampling whole rounds. Of a peer, only its invoke call is timed; of
    Edgewise, the whole call.

    \b
    Examples:
      edgewise bench mobilenet.tflite
      edgewise bench mobilenet.tflite --against litert --against openvino
      edgewise bench mobilenet.tflite --rounds 100 --json
    """
    from . import runs

    counts = [_threads(part) for part in threads.split(",")]
    with _progress("Timing", rounds * len(counts)) as step:
        facts = runs.bench(
            ew.load(model, signature, _shapes(shape)),
            model,
            counts,
            against or [],
            rounds,
            seed,
            runs.Compiling(isa, strict, requantization, precision),
            step,
            signature=signature,
        )
    _print("bench", facts, json)


@app.command(short_help="Compare every tensor with another runtime's.")
def compare(
    model: Model,
    against: Annotated[
        str,
        typer.Option("--against", metavar="PEER", help="The other runtime: litert or openvino."),
    ] = "litert",
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--inputs", metavar="FILE", help="A picture, .npy or .npz; may be repeated."),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option("--random", metavar="N", min=1, help="N random inputs. Default: 3."),
    ] = None,
    seed: Seed = 0,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", metavar="STEPS", min=0.0, help="Quantization steps that may differ."
        ),
    ] = 1.0,
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
    isa: IsaName = None,
    requantization: Requantization = "float",
    precision: Precision = None,
    signature: Signature = None,
    shape: InputShapes = None,
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
    from . import runs

    if inputs and random:
        raise InputError("--inputs and --random: give one of them")
    graph = ew.load(model, signature, _shapes(shape))
    count = len(inputs) // len(graph.inputs) if inputs else random or 3
    with _progress("Comparing", count) as step:
        facts = runs.compare(
            graph,
            model,
            against,
            runs.comparison_inputs(graph, inputs or [], count, seed),
            tolerance=tolerance,
            alone=alone,
            threads=_threads(threads),
            compiling=runs.Compiling(isa, False, requantization, precision),
            progress=step,
            signature=signature,
        )
    _print("compare", facts, json, everything=everything)
    if not facts["within_tolerance"]:
        raise typer.Exit(1)


@app.command()
def doctor(json: Json = False) -> None:
    """Show what this machine offers and what Edgewise will use.

    \b
    Examples:
      edgewise doctor
      edgewise doctor --json
    """
    from . import report
    from .doctor import examine

    _print("doctor", report.findings(examine()), json)


def _print(command: str, facts: dict[str, Any], as_json: bool, **options: Any) -> None:
    from . import report

    if as_json:
        typer.echo(report.to_json(command, facts))
    else:
        report.show(command, facts, **options)


@contextlib.contextmanager
def _progress(title: str, total: int) -> Iterator[Any]:
    """A progress bar on stderr where that is a terminal; yields what advances it."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def _prepare_streams() -> None:
    """Make writing safe: a closed stream takes anything, a narrow encoding gets escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _threads(text: str) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text) <= MAX_THREADS:
        raise InputError(f"--threads {text}: a whole number from 1 to {MAX_THREADS}")
    return int(text)


def _shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs by name, from the words INPUT=N,..."""
    found = {}
    for text in texts or ():
        name, _, sizes = text.rpartition("=")
        parts = [size.strip() for size in sizes.split(",")]
        if not name or not all(size.isdecimal() and int(size) > 0 for size in parts):
            raise InputError(f"--shape {text}: an input's name, =, and whole numbers with commas")
        found[name] = tuple(map(int, parts))
    return found


def _pair(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: two numbers with a comma between") from None
    if not (low < high and math.isfinite(high - low)):
        raise InputError(f"{option} {text}: the first must be lower, and both finite")
    return low, high


def _one_of(option: str, text: str | None, known: Sequence[str]) -> str | None:
    if text is not None and text not in known:
        raise InputError(f"{option} {text}: unknown; known are {', '.join(known)}")
    return text


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    typer.echo(f"warning: {message}", err=True)
