"""A network's points by a metric of ``edgewise evaluate``, beside those of its float original."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..data.arrays import dequantize
from ..data.intervals import difference, figure
from ..data.judge import Judge, check_target
from ..data.metrics import Metric, metric
from ..errors import InputError
from ..graph import Array, Graph
from .evaluate import DEFAULTS, in_points
from .facts import DEFAULT, Facts, as_list
from .results import read_labels


@dataclass(frozen=True)
class Scoring:
    """What is measured, and on which data; the options are those of ``edgewise evaluate``."""

    dataset: Path
    metric: str | None = None
    limit: int | None = None
    labels: Path | None = None
    label_offset: int | None = None
    fit: str | None = None
    pixels: Sequence[float] | None = None


class Scorer:
    """Scores networks beside the float one that they were made from, ``plain``.

    Raises:
        InputError: the dataset or the metric does not suit the network, or each other.
    """

    def __init__(self, scoring: Scoring, plain: Graph, threads: int) -> None:
        self.scoring, self.plain, self.threads = scoring, plain, threads
        names = None if scoring.labels is None else read_labels(scoring.labels)
        self.dataset = Dataset.of(scoring.dataset, names)
        self.metric = _metric(scoring, self.dataset)
        self._float_rows = self._rows(plain)

    def check_budget(self) -> None:
        """Refuse a metric of which the float network has infinitely much.

        Raises:
            InputError: naming the metric.
        """
        found = self.metric.total(self._float_rows)
        if not math.isfinite(found):
            raise InputError(
                f"--metric {self.metric.name}: the float network's own is {found:g}, so that no "
                "drop can be told; agreement would do"
            )

    def points(self, graph: Graph) -> float:
        """The figure in points, of which more are better."""
        found = self.metric.total(self._rows(graph)) * self.metric.points
        return found if self.metric.higher_is_better else -found

    def facts(self, graph: Graph) -> Facts:
        """The figures of both networks, and how they differ, with 95 % intervals."""
        before, after = self._float_rows, self._rows(graph)
        return {
            "name": self.metric.name,
            "unit": self.metric.unit,
            "dataset": str(self.scoring.dataset),
            "samples": len(after),
            "float": in_points(self.metric, figure(self.metric, before)),
            "quantized": in_points(self.metric, figure(self.metric, after)),
            "difference": in_points(self.metric, difference(self.metric, before, after)),
        }

    def _rows(self, graph: Graph) -> Array:
        """The metric's rows of a network, one a sample."""
        judge = Judge(
            [self.metric], graph.outputs, self.dataset, label_offset=self.scoring.label_offset
        )
        is_labelled = self.metric.target is self.dataset.target
        labels: Iterator[Any] = itertools.repeat(None)
        if is_labelled:
            labels = self.dataset.chosen(self.scoring.limit)
        wanted = itertools.repeat([]) if is_labelled else self._real_outputs(self.plain)
        for outputs, label, reference in zip(self._outputs(graph), labels, wanted, strict=False):
            judge.add(outputs, label, reference)
        return judge.rows(self.metric)

    def _real_outputs(self, graph: Graph) -> Iterator[list[Array]]:
        for arrays in self._outputs(graph):
            yield [dequantize(a, v.type) for a, v in zip(arrays, graph.outputs, strict=True)]

    def _outputs(self, graph: Graph) -> Iterator[list[Array]]:
        """A network's outputs for each sample; its variables start anew."""
        s = self.scoring
        samples = self.dataset.samples(graph, limit=s.limit, fit=s.fit, pixels=s.pixels)
        with contextlib.closing(DEFAULT.program(graph, self.threads)) as program:
            for arrays in samples:
                if graph.states:
                    program.reset()
                yield as_list(program(*arrays))


def _metric(scoring: Scoring, dataset: Dataset) -> Metric:
    """The metric that is asked for, else the usual one of the labels."""
    if scoring.metric is None:
        if dataset.target is None:
            raise InputError(
                f"{dataset.path}: no labels were found; --metric agreement compares with the "
                "float network"
            )
        return metric(DEFAULTS[dataset.target])
    found = metric(scoring.metric)
    check_target(found, dataset)
    return found
