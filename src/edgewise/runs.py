"""What the commands run, bench and compare do: files in, facts out (docs/json.md)."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import edgewise as ew

from . import bench as timing
from . import compare as comparing
from . import images, peers, results
from .doctor import usable_cores
from .errors import InputError
from .graph import Array, Graph, Shapes, Value
from .ops import Rounding
from .passes.requantization import requantize
from .profile import slow_operators

if TYPE_CHECKING:
    from .runtime import Program

LATENCY_SECONDS = 0.1
LATENCY_CALLS = 20

Step = Callable[[], None]


@dataclass(frozen=True)
class Compiling:
    """What ``edgewise.compile`` is told besides the number of threads."""

    isa: str | None = None
    strict: bool = False
    requantization: str = "float"
    precision: str | None = None

    def program(self, graph: Graph, threads: int) -> Program:
        return ew.compile(graph, threads=threads, **asdict(self))


@dataclass(frozen=True)
class Job:
    """The options of ``edgewise run``."""

    model: Path
    top: int = 5
    labels: Path | None = None
    save: Path | None = None
    output: Path | None = None
    fit: str | None = None
    pixels: tuple[float, float] | None = None
    threads: int = 1
    compiling: Compiling = Compiling()
    signature: str | None = None
    shapes: Shapes = field(default_factory=dict)


def run(job: Job, inputs: Sequence[Path], progress: Step = lambda: None) -> dict[str, Any]:
    """Run a model on files and return the facts; writes ``job.save`` and ``job.output``.

    Several sets of files are calls in a row: variables keep what the call before left in them.

    Raises:
        EdgewiseError: the model, a file or an option does not fit.
    """
    start = time.perf_counter()
    graph = ew.load(job.model, job.signature, job.shapes)
    labels = results.read_labels(job.labels) if job.labels else results.labels_of(graph.metadata)
    sets = images.input_files(graph, inputs)
    _check_destinations(job, graph, sets)
    facts: dict[str, Any] = {"model": str(job.model), "threads": job.threads, "runs": []}
    outputs: list[list[Array]] = []
    saves = _pictures_of(job.save, sets) if job.save else []
    with contextlib.closing(job.compiling.program(graph, job.threads)) as program:
        facts["isa"] = program.isa.name
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


def bench(
    graph: Graph,
    model: Path,
    threads: Sequence[int],
    against: Sequence[str],
    rounds: int,
    seed: int = 0,
    compiling: Compiling | None = None,
    progress: Step = lambda: None,
    *,
    signature: str | None = None,
) -> dict[str, Any]:
    """Time a model on random inputs for each number of threads, with the peers ``against``.

    Raises:
        EdgewiseError: the model, the peer or an option does not fit.
    """
    (arrays,) = comparing.random_inputs(graph, 1, seed)
    facts: dict[str, Any] = {
        "model": str(model),
        "rounds": rounds,
        "cores": usable_cores(),
        "results": [],
    }
    for count in threads:
        contestants: dict[str, timing.Call] = {}
        compiled = (compiling or Compiling()).program(graph, count)
        with contextlib.closing(compiled) as program:
            facts["isa"] = program.isa.name
            facts["fallbacks"] = [asdict(s) for s in slow_operators(program, arrays)]
            contestants["Edgewise"] = functools.partial(program, *arrays)
            for name in dict.fromkeys(against):
                peer = peers.open_peer(name, model, graph, count, signature)
                peer.set_inputs(arrays)
                contestants[peer.name] = peer.invoke
            timings = timing.measure(contestants, rounds, seed, progress=progress)
        ours, *others = timings
        ratios = [(t.name, timing.speed_ratio(ours.samples, t.samples)) for t in others]
        facts["results"].append(
            {
                "threads": count,
                "timings": [_timing_facts(t) for t in timings],
                "ratios": [
                    {"against": name, **asdict(ratio), "verdict": ratio.verdict}
                    for name, ratio in ratios
                ],
            }
        )
    return facts


def compare(
    graph: Graph,
    model: Path,
    against: str,
    inputs: Sequence[Sequence[Array]],
    *,
    tolerance: float = 1.0,
    alone: bool = False,
    threads: int = 1,
    compiling: Compiling | None = None,
    progress: Step = lambda: None,
    signature: str | None = None,
) -> dict[str, Any]:
    """Compare a model's tensors with a peer's.

    Raises:
        EdgewiseError: the model, the peer or an option does not fit.
    """
    peer = peers.open_peer(against, model, graph, signature=signature)
    tensors: comparing.Tensors = lambda arrays: {}  # noqa: E731
    if isinstance(peer, peers.LiteRT):
        names, shapes = [v.name for v in graph.outputs], [v.type.shape for v in graph.inputs]
        tensors = peers.LiteRTTensors(model, names, shapes=shapes).run
    elif alone:
        raise InputError(f"--alone: {peer.name} does not show its tensors")
    compiling = compiling or Compiling()
    with contextlib.closing(compiling.program(graph, threads)) as program:
        fixed = compiling.requantization == "fixed_point"
        outcome = comparing.compare(
            requantize(graph, Rounding.FIXED_POINT) if fixed else graph,
            inputs,
            lambda arrays: as_list(program(*arrays)),
            peer.run,
            tensors,
            alone=alone,
            progress=progress,
        )
        isa_name = program.isa.name
    beyond = outcome.beyond(tolerance)
    first, right = outcome.first, outcome.program_is_right(tolerance)
    return {
        "model": str(model),
        "against": peer.name,
        "path": peer.path,
        "isa": isa_name,
        "threads": threads,
        "inputs": len(inputs),
        "alone": alone,
        "tolerance": tolerance,
        "within_tolerance": not beyond and right,
        "program_is_right": right,
        "program_steps": _finite(outcome.program_steps),
        "first_difference": _difference_facts(first) if first else None,
        "first_beyond_tolerance": _difference_facts(beyond[0]) if beyond else None,
        "tensors": [_difference_facts(d) for d in outcome.tensors],
        "outputs": [_difference_facts(d) for d in outcome.outputs],
        "not_compared": list(outcome.missing),
    }


def comparison_inputs(
    graph: Graph, files: Sequence[Path], count: int, seed: int
) -> list[list[Array]]:
    """The sets of inputs to compare on: from files, else ``count`` random ones."""
    if files:
        return [images.load_inputs(graph, group) for group in images.input_files(graph, files)]
    return list(comparing.random_inputs(graph, count, seed))


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


def as_list(given: Array | tuple[Array, ...]) -> list[Array]:
    return list(given) if isinstance(given, tuple) else [given]


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
    return facts | {"kind": "numbers"} | {k: _finite(v) for k, v in asdict(result).items()}


def _timing_facts(result: timing.Timing) -> dict[str, Any]:
    low, high = result.quartiles
    return {
        "name": result.name,
        "median_ms": result.median * 1e3,
        "quartiles_ms": [low * 1e3, high * 1e3],
        "calls_per_sample": result.calls,
        "samples_ms": [s * 1e3 for s in result.samples],
    }


def _difference_facts(d: comparing.Difference) -> dict[str, Any]:
    return {
        "tensor": d.tensor,
        "op": d.op,
        "type": str(d.type),
        "elements": d.elements,
        "differing": d.differing,
        "steps": _finite(d.steps),
        "where": list(d.where),
        "edgewise": _finite(d.ours),
        "peer": _finite(d.theirs),
    }


def _finite(number: float) -> float | None:
    """JSON knows no infinity: None stands for it (and for not-a-number)."""
    return number if math.isfinite(number) else None
