"""One network, all contestants and their settings: what JSON says of it."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edgewise as ew
from edgewise.graph import Array, Graph

from .contestants import CONTESTANTS, SUBJECT, Contestant, float_tflite, run_graph, versions
from .datasets import Fold
from .scores import Judge, paired, wilson
from .tasks import Task

Facts = dict[str, Any]


def match(task: Task, data: Path, names: Sequence[str], cache: Path | None = None) -> Facts:
    """Quantize a network with the named contestants, in all their settings, and judge the results.

    What peers reach is read from and written to ``cache``, a folder.
    """
    path = data / "models" / task.file
    graph = ew.load(path)
    folds = task.source(data, graph)
    floats = Floats(graph, folds)
    found = {
        name: {
            setting: _kept(cache, path, graph, folds, floats, name, options)
            for setting, options in CONTESTANTS[name].settings.items()
        }
        for name in names
    }
    facts: Facts = {
        "metric": task.metric,
        "file_bytes": path.stat().st_size,
        "float_bytes": len(float_tflite(path, graph)),
        "calibration": [len(fold.calibration) for fold in folds],
        "tests": [len(fold.tests) for fold in folds],
    }
    if task.metric == "top1":
        truth = [label + task.background for fold in folds for label in fold.labels or ()]
        ours = floats.judged["classes"]
        facts["float"] = _hits(ours, truth)
        for settings in found.values():
            for entry in settings.values():
                _compare_classes(entry, ours, truth)
    for settings in found.values():
        for entry in settings.values():
            entry.pop("classes", None)
    return {**facts, "contestants": found}


def _hits(classes: Sequence[int], truth: Sequence[int]) -> Facts:
    right = sum(a == b for a, b in zip(classes, truth, strict=True))
    low, high = wilson(right, len(truth))
    return {"top1": right / len(truth), "top1_low": low, "top1_high": high}


def _compare_classes(entry: Facts, ours: Sequence[int], truth: Sequence[int]) -> None:
    """Add the share of right answers, and the points that it loses to the float network."""
    if "classes" not in entry:
        return
    entry |= _hits(entry["classes"], truth)
    before = [a == b for a, b in zip(ours, truth, strict=True)]
    after = [a == b for a, b in zip(entry["classes"], truth, strict=True)]
    entry["lost"], entry["lost_low"], entry["lost_high"] = paired(after, before)


class Floats:
    """The float network's outputs of the test samples, computed when they are asked for."""

    def __init__(self, graph: Graph, folds: Sequence[Fold]) -> None:
        self._graph, self._folds = graph, folds

    @functools.cached_property
    def outputs(self) -> list[list[list[Array]]]:
        """By fold, sample, and output."""
        run = run_graph(self._graph)
        return [[run(sample) for sample in fold.tests] for fold in self._folds]

    @functools.cached_property
    def judged(self) -> Facts:
        judge = Judge()
        for fold in self.outputs:
            for outputs in fold:
                judge.add(outputs, outputs)
        return judge.facts()


def _kept(
    cache: Path | None,
    path: Path,
    graph: Graph,
    folds: Sequence[Fold],
    floats: Floats,
    name: str,
    options: Mapping[str, Any],
) -> Facts:
    """What a contestant reaches, from the cache where it is known. Edgewise's is never kept."""
    contestant = CONTESTANTS[name]
    if cache is None or name == SUBJECT:
        return _judged(contestant, options, path, graph, folds, floats)
    file = cache / f"{_key(path, folds, name, options)}.json"
    if file.exists():
        known: Facts = json.loads(file.read_text())
        return known
    facts = _judged(contestant, options, path, graph, folds, floats)
    if "error" not in facts:
        cache.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(facts))
    return facts


def _judged(
    contestant: Contestant,
    options: Mapping[str, Any],
    path: Path,
    graph: Graph,
    folds: Sequence[Fold],
    floats: Floats,
) -> Facts:
    """Quantize with each fold's calibration data; judge all folds' tests together."""
    judge, files, seconds = Judge(), [], 0.0
    for fold, references in zip(folds, floats.outputs, strict=True):
        start = time.perf_counter()
        try:
            quantized = contestant.quantize(path, graph, fold.calibration, options)
            seconds += time.perf_counter() - start
            for sample, outputs in zip(fold.tests, references, strict=True):
                judge.add(quantized.run(sample), outputs)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[:300]}
        files.append(quantized)
    facts = {**judge.facts(), "bytes": files[0].size, "seconds": round(seconds, 1)}
    if files[0].parts is not None:
        facts["parts"] = files[0].parts
    shown = {key: value for key, value in facts.items() if key not in ("classes", "parts")}
    print(path.stem, contestant.title, dict(options), shown, file=sys.stderr, flush=True)
    return facts


def _key(path: Path, folds: Sequence[Fold], name: str, options: Mapping[str, Any]) -> str:
    """A name for what a contestant does with a file and data."""
    digest = hashlib.sha256(path.read_bytes())
    for fold in folds:
        for sample in (*fold.calibration, *fold.tests):
            for array in sample:
                digest.update(array.tobytes())
    version = versions()[CONTESTANTS[name].package]
    digest.update(f"{name} {version} {json.dumps(options, sort_keys=True)}".encode())
    return digest.hexdigest()[:24]
