"""What ``edgewise evaluate`` does: networks and engines measured on one dataset (docs/json.md)."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..data import Dataset, Metric, Samples, images
from ..data.arrays import dequantize
from ..data.intervals import Interval, difference, figure, p_value
from ..data.judge import Judge, check_target
from ..data.metrics import Target, metric
from ..errors import InputError
from ..exporters.files import written_whole
from ..graph import Array, Graph, Value
from ..importers import format_of
from . import peers, results
from .facts import AS_IT_IS, DEFAULT, Compiling, Facts, Loading, Step, as_list, short_names

EDGEWISE, NATIVE = "edgewise", "native"
"""Engines besides the peers: Edgewise, and for each model the peer of its file's format."""

DEFAULTS = {Target.CLASS: "top1", Target.MAP: "miou", Target.OUTPUTS: "mse"}
"""What is measured where no metric is named: by labels; against a reference also `AGAINST`."""

AGAINST = "sqnr"

Given = TypeVar("Given")


@dataclass(frozen=True)
class Job:
    """The options of ``edgewise evaluate``."""

    models: Sequence[Path]
    dataset: Path
    metrics: Sequence[str] = ()
    engines: Sequence[str] = (EDGEWISE,)
    reference: Path | None = None
    limit: int | None = None
    labels: Path | None = None
    label_offset: int | None = None
    output: str | None = None
    save: Path | None = None
    fit: str | None = None
    pixels: Sequence[float] | None = None
    threads: int = 1
    compiling: Compiling = DEFAULT
    loading: Loading = AS_IT_IS


@dataclass(eq=False)
class Contestant:
    """A model in an engine, and what was measured of it."""

    model: Path
    engine: str
    path: str
    reading: Hashable
    run: Callable[[Sequence[Array]], Sequence[Array]]
    judge: Judge
    order: Sequence[int] = ()
    seconds: list[float] = field(default_factory=list)


class Evaluation:
    """Contestants and data, opened and checked; ``calls`` is how often something will run.

    Raises:
        EdgewiseError: a model, the dataset, an engine or an option does not fit.
    """

    def __init__(self, job: Job, opened: contextlib.ExitStack) -> None:
        self._job = job
        names = results.read_labels(job.labels) if job.labels else None
        self.dataset = Dataset.of(job.dataset, names)
        self.metrics = _metrics(job, self.dataset)
        if job.save is not None:
            _check_table(job.save)
        self._samples: dict[Hashable, Samples] = {}
        self._pixels: dict[Path, list[float] | None] = {}
        self._reference: tuple[Graph, Any] | None = None
        against = any(m.target is Target.OUTPUTS for m in self.metrics)
        if job.reference is not None and against:
            graph = self._load(job.reference)
            program = job.compiling.program(graph, job.threads)
            self._reference = graph, opened.enter_context(contextlib.closing(program))
        self._seen: list[tuple[str, Any]] = []
        self.contestants: list[Contestant] = []
        for model in job.models:
            graph = self._load(model)
            for engine in job.engines:
                self.contestants.append(self._contestant(model, graph, engine, opened))
        counts = {samples.count for samples in self._samples.values()}
        if len(counts) > 1:
            raise InputError(f"{job.dataset}: the models take its samples in different batches")
        self.count = counts.pop() or 0
        self.calls = self.count * len(self.contestants)

    def _load(self, model: Path) -> Graph:
        """The network of a file, with samples as it reads them."""
        job, known = self._job, format_of(model).options
        models = [m for m in (*job.models, job.reference) if m is not None]
        loading = replace(
            job.loading,
            shapes=_of_model(model, job.loading.shapes, models),
            dims=_of_model(model, job.loading.dims, models, shared="dims" in known),
            channels_last=job.loading.channels_last and "channels_last" in known,
        )
        try:
            graph = loading.graph(model)
        except InputError as error:
            if len(models) < 2 or not (loading.shapes or loading.dims):
                raise
            raise InputError(
                f"{error} (--shape and --dim are for all models; where their words begin with a "
                "model's name and a colon, for that one)"
            ) from None
        self._pixels[model] = _pixels(graph, job.pixels)
        key = self._reading(graph)
        if key not in self._samples:
            self._samples[key] = self.dataset.samples(
                graph, limit=job.limit, fit=job.fit, pixels=job.pixels
            )
        return graph

    def _reading(self, graph: Graph) -> Hashable:
        """What the samples of a network depend on: networks of one key share them."""
        pixels = self._job.pixels
        inputs = ((v.name, v.type, images.normalization_of(graph, v, pixels)) for v in graph.inputs)
        return images.fit_of(graph, self._job.fit), *inputs

    def _contestant(
        self, model: Path, graph: Graph, engine: str, opened: contextlib.ExitStack
    ) -> Contestant:
        job, reading = self._job, self._reading(graph)
        judge = Judge(
            self.metrics,
            graph.outputs,
            self.dataset,
            output=job.output,
            label_offset=job.label_offset,
        )
        order = (
            reference_places(graph.outputs, self._reference[0].outputs) if self._reference else ()
        )
        if engine == EDGEWISE:
            program = job.compiling.program(graph, job.threads)
            opened.enter_context(contextlib.closing(program))

            def run(arrays: Sequence[Array]) -> Sequence[Array]:
                if graph.states:
                    program.reset()
                return as_list(program(*arrays))

            return Contestant(model, "Edgewise", program.isa.name, reading, run, judge, order)
        name = peers.native_peer(model) if engine == NATIVE else engine
        if graph.states:
            raise InputError(
                f"--engine {name}: {model} has variables, and the samples do not depend on each "
                f"other; only {EDGEWISE} gives them their initial values"
            )
        peer = _peer(name, model, graph, job)
        return Contestant(model, peer.name, peer.path, reading, peer.run, judge, order)

    def measure(self, progress: Step = lambda: None) -> Facts:
        """Run all samples through all contestants.

        Raises:
            EdgewiseError: a sample cannot be read, or does not suit the metric.
        """
        given = self.dataset.target is not None
        labels = (
            self.dataset.chosen(self._job.limit) if given else itertools.repeat(None, self.count)
        )
        streams = (samples.named() for samples in self._samples.values())
        for label, *read in zip(labels, *streams, strict=True):
            inputs = {key: arrays for key, (_, arrays) in zip(self._samples, read, strict=True)}
            self._seen.append((read[0][0], label if self.dataset.target is Target.CLASS else ""))
            reference = self._of_reference(inputs)
            for contestant in self.contestants:
                arrays = inputs[contestant.reading]
                start = time.perf_counter()
                outputs = contestant.run(arrays)
                contestant.seconds.append(time.perf_counter() - start)
                wanted = [reference[i] for i in contestant.order]
                try:
                    contestant.judge.add(outputs, label, wanted)
                except InputError as error:
                    where = f"{read[0][0]}, {contestant.model.name}"
                    raise InputError(f"{where}: {error}") from None
                progress()
        if self._job.save is not None:
            with written_whole(str(self._job.save)) as file:
                file.write(self._table().encode(errors="surrogateescape"))
        return self._facts()

    def _table(self) -> str:
        """What was measured of each sample, as a .csv: a row a sample, model and engine."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(
            ["sample", "label", "model", "engine", "class", *(m.name for m in self.metrics)]
        )
        for contestant in self.contestants:
            judge = contestant.judge
            rows = [(m, judge.rows(m)) for m in self.metrics]
            best: Sequence[Any] = judge.best or [""] * self.count
            for i, (name, label) in enumerate(self._seen):
                figures = (m.total(each[i : i + 1]) for m, each in rows)
                told = ["" if math.isnan(f) else f for f in figures]
                table.writerow([name, label, contestant.model, contestant.engine, best[i], *told])
        return text.getvalue()

    def _of_reference(self, inputs: dict[Hashable, Any]) -> list[Array]:
        if self._reference is None:
            return []
        graph, program = self._reference
        if graph.states:
            program.reset()
        outputs = as_list(program(*inputs[self._reading(graph)]))
        return [dequantize(a, v.type) for a, v in zip(outputs, graph.outputs, strict=True)]

    def _facts(self) -> Facts:
        job, target = self._job, self.dataset.target
        return {
            "dataset": str(job.dataset),
            "samples": self.count,
            "target": None if target is None else target.name.lower(),
            "metrics": [
                {
                    "name": m.name,
                    "about": m.about,
                    "unit": m.unit,
                    "higher_is_better": m.higher_is_better,
                }
                for m in self.metrics
            ],
            "saved": None if job.save is None else str(job.save),
            "reference": str(job.reference) if self._reference else None,
            "threads": job.threads,
            "pixels": {str(model): ends for model, ends in self._pixels.items()},
            "notes": list(self._notes()),
            "results": [self._result(contestant) for contestant in self.contestants],
        }

    def _notes(self) -> Iterator[str]:
        """What one may not expect of the figures."""
        names = short_names(self._pixels)
        ranges = {names[model]: ends for model, ends in self._pixels.items() if ends}
        if len({tuple(round(end, 2) for end in ends) for ends in ranges.values()}) > 1:
            told = "; ".join(
                f"{','.join(f'{end:.3g}' for end in ends)} for {name}"
                for name, ends in ranges.items()
            )
            yield f"black and white become {told}; --pixels LOW,HIGH says it for all"
        folders = self.dataset.in_order
        for classes in sorted({contestant.judge.classes for contestant in self.contestants}):
            if folders and classes > 1 and classes != folders:
                yield (
                    f"{folders} folders are numbered in order, and a network has {classes} "
                    "classes; --labels FILE finds them by name"
                )
        for contestant in self.contestants:
            if contestant.judge.nans:
                yield (
                    f"{names[contestant.model]} in {contestant.engine}: outputs have NaN for "
                    f"{contestant.judge.nans} of {self.count} samples"
                )
        judge = self.contestants[0].judge
        for m in self.metrics:
            if m.needs and math.isnan(m.total(judge.rows(m))):
                yield f"{m.name}: none; it takes {m.needs}"

    def _result(self, contestant: Contestant) -> Facts:
        first = self.contestants[0]
        low, median, high = np.quantile(contestant.seconds, (0.25, 0.5, 0.75)) * 1e3
        rows = {m: contestant.judge.rows(m) for m in self.metrics}
        facts: Facts = {
            "model": str(contestant.model),
            "engine": contestant.engine,
            "path": contestant.path,
            "file_bytes": contestant.model.stat().st_size,
            "label_offset": contestant.judge.label_offset,
            "median_ms": float(median),
            "quartiles_ms": [float(low), float(high)],
            "figures": {m.name: in_points(m, figure(m, rows[m])) for m in self.metrics},
        }
        if contestant is not first:
            facts["differences"] = {
                m.name: _difference(m, first.judge.rows(m), rows[m]) for m in self.metrics
            }
        return facts


@contextlib.contextmanager
def prepared(job: Job) -> Iterator[Evaluation]:
    """The evaluation of a job, whose programs are closed in the end."""
    with contextlib.ExitStack() as opened:
        yield Evaluation(job, opened)


def _of_model(
    model: Path, given: Mapping[str, Given], models: Sequence[Path], shared: bool = True
) -> dict[str, Given]:
    """What --shape or --dim says of a model: by names alone, of all models if they are ``shared``;
    by names after a model's own and a colon, of that one.
    """
    found = {}
    for name, value in given.items():
        if (own := _own(name, model)) is not None:
            found[own] = value
        elif shared and all(_own(name, m) is None for m in models):
            found[name] = value
    return found


def _own(name: str, model: Path) -> str | None:
    """What follows a model's file name, or path, and a colon; None of what is not for that one."""
    parts = name.split(":")
    for i in range(1, len(parts)):
        if Path(":".join(parts[:i])) in (model, Path(model.name)):
            return ":".join(parts[i:])
    return None


def _check_table(path: Path) -> None:
    """Refuse a table that cannot be written before anything is computed."""
    if path.suffix.lower() != ".csv":
        raise InputError(f"--save {path}: the name must end in .csv")
    if path.is_dir() or not path.parent.is_dir():
        what = "it is a folder" if path.is_dir() else "there is no such folder"
        raise InputError(f"{path}: cannot be written: {what}")


def _metrics(job: Job, dataset: Dataset) -> list[Metric]:
    if dataset.target is Target.OUTPUTS and job.reference is not None:
        raise InputError(f"--reference: {dataset.path} has {Target.OUTPUTS.value} itself")
    names = list(dict.fromkeys(job.metrics))
    if not names:
        names = [DEFAULTS[dataset.target]] if dataset.target is not None else []
        names += [AGAINST] if job.reference is not None else []
    if not names:
        raise InputError(
            f"{dataset.path}: no labels were found; --reference MODEL gives outputs to compare with"
        )
    found = [metric(name) for name in names]
    for each in found:
        check_target(each, dataset)
        is_given = dataset.target is Target.OUTPUTS or job.reference is not None
        if each.target is Target.OUTPUTS and not is_given:
            raise InputError(f"--metric {each.name}: it needs --reference MODEL")
    return found


def reference_places(outputs: Sequence[Value], reference: Sequence[Value]) -> list[int]:
    """Which output of the reference each is.

    By name where all names agree, else by place where all sizes do, else by size where no two have
    the same.
    """
    if len(outputs) != len(reference):
        raise InputError(f"--reference: it has {len(reference)} outputs, a model {len(outputs)}")
    names, wanted = ([v.name for v in values] for values in (outputs, reference))
    if set(names) == set(wanted):
        return [wanted.index(name) for name in names]
    sizes, of_size = ([v.type.size for v in values] for values in (outputs, reference))
    if sizes != of_size and set(sizes) == set(of_size) and len(set(sizes)) == len(sizes):
        return [of_size.index(size) for size in sizes]
    return [*range(len(outputs))]


def _pixels(graph: Graph, given: Sequence[float] | None) -> list[float] | None:
    """What black and white become, of each channel where they differ; None: it sees no pictures."""
    normalizations = (images.normalization_of(graph, v, given) for v in graph.inputs)
    found = next((n for n in normalizations if n is not None), None)
    if found is None or not any(images.takes_pictures(v.type) for v in graph.inputs):
        return None
    pairs = zip(found.mean, found.std, strict=True)
    return [(byte - mean) / std for mean, std in pairs for byte in (0, 255)]


def _peer(name: str, model: Path, graph: Graph, job: Job) -> peers.Peer:
    """The peer, whose errors name the option that asks for it here."""
    if name not in peers.PEERS:
        known = ", ".join((EDGEWISE, NATIVE, *peers.PEERS))
        raise InputError(f"--engine {name}: unknown; known are {known}")
    try:
        return peers.open_peer(
            name, model, graph, job.threads, job.loading.signature, job.loading.weights
        )
    except InputError as error:
        told = str(error).removeprefix(f"--against {name}: ")
        raise InputError(f"--engine {name}: {model}: {told}") from None


def in_points(m: Metric, found: Interval) -> Facts:
    """A figure and its interval in the metric's unit."""
    return {name: value * m.points for name, value in found._asdict().items()}


def _difference(m: Metric, first: Array, other: Array) -> Facts:
    """How much more the other figure is, and whether that may be chance."""
    found = difference(m, first, other)
    better = found.low > 0 if m.higher_is_better else found.high < 0
    worse = found.high < 0 if m.higher_is_better else found.low > 0
    return in_points(m, found) | {
        "verdict": "better" if better else "worse" if worse else "even",
        "p_value": p_value(first, other) if m.proportion else None,
    }
