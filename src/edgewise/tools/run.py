"""What ``edgewise run`` does: files in, facts, pictures and raw outputs out (docs/json.md)."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..data import images
from ..errors import InputError
from ..graph import Array, Graph, Value
from . import results
from .facts import AS_IT_IS, DEFAULT, Compiling, Loading, Step, as_list, finite, threading_facts
from .fallbacks import slow_operators

if TYPE_CHECKING:
    from ..runtime import Program

LATENCY_SECONDS = 0.1
LATENCY_CALLS = 20


@dataclass(frozen=True)
class Job:
    """The options of ``edgewise run``."""

    model: Path
    top: int = 5
    labels: Path | None = None
    save: Path | None = None
    output: Path | None = None
    fit: str | None = None
    pixels: Sequence[float] | None = None
    threads: int = 1
    compiling: Compiling = DEFAULT
    loading: Loading = AS_IT_IS


def run(job: Job, inputs: Sequence[Path], progress: Step = lambda: None) -> dict[str, Any]:
    """Run a model on files and return the facts; writes ``job.save`` and ``job.output``.

    Several sets of files are calls in a row: variables keep what the call before left in them.

    Raises:
        EdgewiseError: the model, a file or an option does not fit.
    """
    start = time.perf_counter()
    graph = job.loading.graph(job.model)
    labels = results.read_labels(job.labels) if job.labels else results.labels_of(graph.metadata)
    sets = images.input_files(graph, inputs)
    _check_destinations(job, graph, sets)
    facts: dict[str, Any] = {"model": str(job.model), "threads": job.threads, "runs": []}
    outputs: list[list[Array]] = []
    saves = _pictures_of(job.save, sets) if job.save else []
    with contextlib.closing(job.compiling.program(graph, job.threads)) as program:
        facts["isa"] = program.isa.name
        facts["threading"] = threading_facts(program)
        for files in sets:
            arrays = images.load_inputs(graph, files, job.fit, job.pixels)
            called = time.perf_counter()
            given = as_list(program(*arrays))
            latency = time.perf_counter() - called
            if not outputs:
                facts["first_result_ms"] = (time.perf_counter() - start) * 1e3
            if not graph.states:
                latency = _latency(program, arrays)
            read = [
                results.interpret(array, value.type, labels, job.top)
                for value, array in zip(graph.outputs, given, strict=True)
            ]
            entry = {
                "inputs": [str(f) for f in files],
                "latency_ms": latency * 1e3,
                "outputs": [_output_facts(v, r) for v, r in zip(graph.outputs, read, strict=True)],
            }
            if job.save:
                saved = saves[len(outputs)]
                _save_picture(saved, files[0], read[0], job, latency, program)
                entry["saved"] = str(saved)
            facts["runs"].append(entry)
            outputs.append(given)
            progress()
        facts["fallbacks"] = [asdict(s) for s in slow_operators(program, arrays)]
    if job.output:
        save_outputs(job.output, graph.outputs, outputs)
        facts["output"] = str(job.output)
    return facts


def save_outputs(path: Path, values: Sequence[Value], runs: Sequence[Sequence[Array]]) -> None:
    """Write raw outputs: .npz by name, or .npy for a single one; several runs are stacked.

    Raises:
        InputError: the suffix is another, or the file cannot be written.
    """
    stacked = {
        value.name: run[0] if len(run) == 1 else np.stack(run)
        for value, run in zip(values, zip(*runs, strict=True), strict=True)
    }
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, next(iter(stacked.values())))
        else:
            np.savez(path, **cast(dict[str, Any], stacked))


def _latency(program: Program, arrays: Sequence[Array]) -> float:
    """The median time of a call, in seconds: some 100 ms of calls, at most 20, at least one."""
    times: list[float] = []
    while len(times) < LATENCY_CALLS and sum(times) < LATENCY_SECONDS:
        start = time.perf_counter()
        program(*arrays)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _check_destinations(job: Job, graph: Graph, sets: Sequence[Sequence[Path]]) -> None:
    """Refuse destinations that cannot be written before anything is computed."""
    if job.output and job.output.suffix not in (".npy", ".npz"):
        raise InputError(f"--output {job.output}: the name must end in .npz or .npy")
    if job.output and job.output.suffix == ".npy" and len(graph.outputs) > 1:
        raise InputError(
            f"--output {job.output}: a .npy holds one array, the model has "
            f"{len(graph.outputs)} outputs; use .npz"
        )
    for path in filter(None, (job.output, job.save)):
        if path.is_dir() and (path == job.output or len(sets) == 1):
            raise InputError(f"{path}: cannot be written: it is a folder")
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    if not job.save:
        return
    if not all(images.is_picture(files[0]) for files in sets):
        raise InputError(f"--save {job.save}: the input is no picture to draw on")
    if len(sets) > 1 and images.is_picture(job.save):
        raise InputError(f"--save {job.save}: for {len(sets)} inputs, give a folder")
    if len(sets) == 1 and not images.is_picture(job.save):
        raise InputError(f"--save {job.save}: the name must end as a picture's does, in .png")


def _pictures_of(save: Path, sets: Sequence[Sequence[Path]]) -> list[Path]:
    """Where each run's picture goes: ``save``, or files in that folder, named as the inputs.

    A name that is taken gets a number: cat.png, cat-2.png.
    """
    if len(sets) == 1:
        return [save]
    taken: dict[Path, None] = {}
    for files in sets:
        stem = files[0].stem
        numbered = (f"{stem}-{n}" for n in itertools.count(2))
        names = itertools.chain([stem], numbered)
        taken[next(p for name in names if (p := save / f"{name}.png") not in taken)] = None
    return list(taken)


def _save_picture(
    path: Path, source: Path, result: results.Result, job: Job, latency: float, program: Program
) -> None:
    from .drawing import annotate

    picture = images.with_channels(images.open_picture(source), 3)
    if isinstance(result, results.ClassMap) and job.fit == "crop":
        _, height, width, _ = program.inputs[0].type.shape
        picture = images.fit_picture(picture, height, width, "crop")
    caption = f"{job.model.stem}   {latency * 1e3:.2f} ms, {program.isa.name}"
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        annotate(picture, result, caption).save(path)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _output_facts(value: Value, result: results.Result) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": value.name,
        "shape": list(value.type.shape),
        "dtype": str(value.type.dtype),
    }
    if isinstance(result, results.Classes):
        kind = "probabilities" if result.probabilities else "scores"
        return facts | {"kind": kind, "top": [asdict(s) for s in result.top]}
    if isinstance(result, results.ClassMap):
        return facts | {"kind": "class_map", "top": [asdict(s) for s in result.areas]}
    if isinstance(result, results.Texts):
        return facts | {"kind": "texts", "texts": list(result.texts)}
    return facts | {"kind": "numbers"} | {k: finite(v) for k, v in asdict(result).items()}
