"""What ``edgewise quantize`` does: a float network as a smaller, faster one (docs/json.md)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgewise as ew

from .. import exporters, quantizer
from ..data import Samples
from ..errors import InputError
from ..graph import Array, Graph
from ..importers import format_of
from ..quantizer import Budget, Converted, Precision, Quantized, Recipe
from ..quantizer.diagnosis import SAMPLES, diagnose
from ..quantizer.layer_times import Calls, time_calls
from ..quantizer.measure import as_inputs, outputs_of
from ..quantizer.recipe import INTEGERS
from ..quantizer.report import save_report
from .convert import has_litert, in_litert, share, tolerance_of
from .differences import random_inputs
from .facts import AS_IT_IS, DEFAULT, Facts, Loading, as_list, finite, value_facts
from .scoring import Scorer, Scoring

if TYPE_CHECKING:
    from ..quantizer.findings import Diagnosis
    from ..quantizer.search import Found
    from ..quantizer.state import Progress
    from ..runtime import Program

VERIFIED = 3
"""Samples on which the written file must give the network's outputs."""

TOLD = 16
"""Samples on which the error is measured, where no report is asked for."""


@dataclass(frozen=True)
class Job:
    """The options of ``edgewise quantize``.

    Attributes:
        data: calibration data, as `Samples.of` takes it; what several files hold together.
        samples: how many of it; all if None.
        fit, pixels: how pictures become inputs.
        scoring: how networks are scored; None: by the noise in their outputs.
        verify: run the file in LiteRT before it is written; None: where that is installed.
    """

    model: Path
    output: Path
    recipe: Recipe
    data: Sequence[Path] = ()
    samples: int | None = None
    fit: str | None = None
    pixels: Sequence[float] | None = None
    scoring: Scoring | None = None
    budget: Budget | None = None
    report: Path | None = None
    verify: bool | None = None
    threads: int = 1
    loading: Loading = AS_IT_IS


def recipe_of(
    mode: str | None,
    file: Path | None,
    observer: str | None,
    inputs: str | None,
    outputs: str | None,
) -> Recipe:
    """The recipe of a file or of a mode's default, changed as further options say.

    Raises:
        InputError: the file is no recipe, or an option does not fit.
    """
    if mode is not None and file is not None:
        raise InputError(
            f"--mode {mode}: the recipe {file} says the precision; give one of the two"
        )
    given = Recipe.of(file or Precision.of(mode or Precision.INT8)).to_dict()
    if observer is not None:
        steps = given["steps"]
        if not any(step["step"] == "calibrate" for step in steps):
            raise InputError(f"--observer {observer}: the recipe has no step that calibrates")
        given["steps"] = [
            {**step, "observer": observer} if step["step"] == "calibrate" else step
            for step in steps
        ]
    for name, dtype in (("inputs", inputs), ("outputs", outputs)):
        if dtype is not None and dtype not in INTEGERS:
            raise InputError(f"--{name} {dtype}: it is one of {', '.join(INTEGERS)}")
        given[name] = dtype or given[name]
    return Recipe.of(given)


def quantize(job: Job, progress: Progress) -> Facts:
    """Quantize a network, prove the result and write it as a .tflite file.

    Where LiteRT's outputs for it are others, nothing is written. A budget that cannot be kept is
    told, and the best that was found is written.

    Raises:
        EdgewiseError: the model, the data, the recipe or a path does not fit.
        MissingExtraError: with ``verify``, LiteRT is not installed.
    """
    name = exporters.checked(job.output)
    _check_places(job)
    graph = job.loading.graph(job.model)
    data = _samples(job, graph)
    scorer = None if job.scoring is None else Scorer(job.scoring, graph, job.threads)
    if scorer is not None and job.budget is not None:
        scorer.check_budget()
    found = quantizer.quantize(
        graph,
        data,
        recipe=job.recipe,
        budget=job.budget,
        score=None if scorer is None else scorer.points,
        threads=job.threads,
        progress=progress,
    )
    content = exporters.to_tflite(exporters.prepare(found.graph))
    given = list(random_inputs(graph, TOLD, 0)) if data is None else data
    progress("verifying", 0, 0)
    verified = _verified(job, found, content, islice(given, VERIFIED))
    diagnosis = diagnose(
        found.state,
        Converted(found.graph, found.left),
        given,
        progress,
        limit=SAMPLES if job.report else TOLD,
        threads=job.threads,
        timed=job.report is not None,
        done=[spec.step for spec in found.recipe.steps],
    )
    progress("timing", 0, 0)
    facts = {
        "model": str(job.model),
        "format": format_of(job.model).name,
        "output": name,
        "written": verified["litert"] is None or verified["litert"]["within_tolerance"],
        "precision": found.recipe.precision.value,
        "recipe": found.recipe.to_dict(),
        "samples": 0 if data is None else data.count,
        "model_bytes": job.model.stat().st_size,
        "float_bytes": diagnosis.float_bytes,
        "output_bytes": len(content),
        "inputs": [value_facts(v) for v in found.graph.inputs],
        "outputs": _outputs(found.graph, diagnosis),
        "diagnosis": diagnosis.facts(),
        "time": _times(diagnosis.times or _calls(job, graph, content, next(iter(given)))),
        "metric": None if scorer is None else scorer.facts(found.graph),
        "search": None if found.search is None else _search(found.search),
        "verified": verified,
        "report": None,
    }
    if facts["written"]:
        exporters.write(content, name)
    if job.report is not None:
        save_report(diagnosis, job.report)
        facts["report"] = str(job.report)
    return facts


def _check_places(job: Job) -> None:
    """Refuse places where nothing can be written, or is to stay, before the work."""
    taken = {os.path.realpath(path): "the float network" for path in [job.model] if path.exists()}
    for path in (job.output, *filter(None, [job.report])):
        if why := _refusal(path, taken):
            raise InputError(f"{path}: cannot be written: {why}")
        taken[os.path.realpath(path)] = "the quantized network"


def _refusal(path: Path, taken: Mapping[str, str]) -> str | None:
    folder = path.parent
    if path.is_dir():
        return "it is a folder"
    if what := taken.get(os.path.realpath(path)):
        return f"{what} is there"
    if os.access(folder, os.W_OK):
        return None
    return "no permission" if folder.is_dir() else f"there is no folder {folder}"


def _samples(job: Job, graph: Graph) -> Samples | None:
    if not job.data:
        return None
    source: Any = job.data[0] if len(job.data) == 1 else list(job.data)
    return Samples.of(source, graph, limit=job.samples, fit=job.fit, pixels=job.pixels)


def _verified(
    job: Job, found: Quantized, content: bytes, samples: Iterable[Sequence[Array]]
) -> Facts:
    """How far the outputs of the file are from those of the network, here and in LiteRT.

    There they may be as far as quantization itself took them from the float network's: where a
    number lies between two steps, the last digit of a float decides.
    """
    graph, given = found.graph, list(samples)
    inputs = [as_inputs(graph.inputs, arrays) for arrays in given]
    with (
        _program(found.state.graph, job.threads) as plain,
        _program(graph, job.threads) as first,
        _program(ew.load(content), job.threads) as again,
    ):

        def run(arrays: Sequence[Array]) -> list[Array]:
            return as_list(first(*arrays))

        def furthest(pairs: Iterable[tuple[Sequence[Array], Sequence[Array]]]) -> float:
            return max(share(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))

        moved = furthest((outputs_of(plain, a), outputs_of(first, a)) for a in given)
        first.reset()
        again_share = furthest((run(arrays), as_list(again(*arrays))) for arrays in inputs)
        litert = None
        if has_litert() if job.verify is None else job.verify:
            first.reset()
            tolerance = max(tolerance_of(graph), moved)
            litert = in_litert(content, graph, run, inputs, tolerance)
    return {"samples": len(inputs), "share": finite(again_share), "litert": litert}


def _program(graph: Graph, threads: int) -> contextlib.closing[Program]:
    return contextlib.closing(DEFAULT.program(graph, threads))


def _outputs(graph: Graph, diagnosis: Diagnosis) -> list[Facts]:
    """The outputs, and their signal-to-noise ratios: None where nothing differs."""
    errors = {output.name: output.error.sqnr for output in diagnosis.outputs}
    return [
        {**value_facts(v), "real": v.name in errors, "sqnr_db": errors.get(v.name)}
        for v in graph.outputs
    ]


def _calls(job: Job, graph: Graph, content: bytes, arrays: Sequence[Array]) -> Calls:
    """Calls of the float network and of the written one, timed in turns."""
    with (
        _program(graph, job.threads) as plain,
        _program(ew.load(content), job.threads) as quantized,
    ):
        given = (arrays, as_inputs(quantized.inputs, arrays))
        return time_calls(plain, quantized, given, job.threads)


def _times(calls: Calls) -> Facts:
    facts = {key: getattr(calls, key) for key in ("isa", "threads", "float_ms", "quantized_ms")}
    return {**facts, "ratio": asdict(calls.ratio) | {"verdict": calls.ratio.verdict}}


def _search(found: Found) -> Facts:
    """What a search found, times in milliseconds."""
    budget = found.budget
    return {
        "max_drop": budget.max_drop,
        "max_latency_ms": _ms(budget.max_latency),
        "met": found.met,
        "drop": found.drop,
        "score": found.score,
        "float_score": found.float_score,
        "ms": _ms(found.seconds),
        "float_ms": _ms(found.float_seconds),
        "layers": [
            {
                "name": decision.layer,
                "precision": decision.precision.value,
                "reason": decision.reason,
                "noise": decision.noise,
                "ms": {p.value: _ms(seconds) for p, seconds in decision.seconds.items()},
            }
            for decision in found.decisions
        ],
        "trials": [
            {"what": trial.what, "score": trial.score, "ms": _ms(trial.seconds)}
            for trial in found.trials
        ],
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
