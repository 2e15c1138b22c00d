"""`Judge`: the rows of metrics that a network's outputs make; `score`: the figure of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import InputError
from ..graph import Array, Graph, Value
from .arrays import dequantize
from .intervals import Interval, figure
from .labelled import Dataset
from .metrics import Metric, Target, best_class, class_scores

IMAGENET = 1000
"""ImageNet's number of classes: networks of one more output have a background class at 0."""

Run = Callable[[Sequence[Array]], Sequence[Array]]


class Judge:
    """Rows of metrics of one network, gathered sample by sample.

    ``best`` are the classes of the highest scores, numbered as labels are, where one is measured;
    ``nans`` is how many samples had outputs with NaN.

    Args:
        metrics: what is measured.
        outputs: the network's.
        output: the name of the one that is compared with labels; by default the first that can be.
        label_offset: is added to classes; by default 1 where ``dataset`` has labels below 1000
            only, and the network 1001 outputs.

    Raises:
        InputError: there is no such output.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        outputs: Sequence[Value],
        dataset: Dataset,
        *,
        output: str | None = None,
        label_offset: int | None = None,
    ) -> None:
        self.metrics = tuple(metrics)
        self._outputs = tuple(outputs)
        self._classes = _output(self._outputs, output, dataset.target)
        self._is_labelled = dataset.target is Target.OUTPUTS
        self._measured = self._outputs
        if self._is_labelled or all(metric.target is not Target.OUTPUTS for metric in metrics):
            self._measured = (self._classes,)
        for value in self._measured:
            if value.type.dtype is DType.STRING:
                raise InputError(f"output {value.name!r}: strings are not measured")
        self._is_class = _is_class(self._classes)
        if label_offset is None:
            background = self._classes.type.size == IMAGENET + 1 and dataset.highest < IMAGENET
            label_offset = int(background)
        self.label_offset = label_offset if dataset.target is Target.CLASS else 0
        self.best: list[int] = []
        self.nans = 0
        self._rows: dict[str, list[Array]] = {metric.name: [] for metric in metrics}

    def add(
        self, arrays: Sequence[Array], label: Any = None, reference: Sequence[Array] = ()
    ) -> None:
        """Measure one sample.

        Args:
            arrays: the outputs, as the network gives them.
            label: of the dataset.
            reference: the real values of the outputs of a reference, in the same order, where the
                labels are no outputs themselves.

        Raises:
            InputError: the outputs are nothing that a metric measures, or what they are compared
                with has NaN, or another size.
        """
        pairs = zip(arrays, self._outputs, strict=True)
        real = {v: dequantize(array, v.type) for array, v in pairs if v in self._measured}
        of_classes = [real[self._classes]]
        self.nans += any(np.isnan(array).any() for array in real.values())
        wanted = [self._label(label)] if self._is_labelled else reference
        if any(np.isnan(array).any() for array in wanted):
            raise InputError("the outputs to compare with have NaN")
        at = self._measured.index(self._classes)
        for metric in self.metrics:
            if metric.of_classes:
                row = metric.row(of_classes, wanted[at : at + 1])
            elif metric.target is Target.OUTPUTS:
                row = metric.row([real[value] for value in self._measured], wanted)
            elif metric.target is Target.MAP:
                row = metric.row(of_classes, label)
            else:
                target = int(label) + self.label_offset
                row = metric.row(self._scores(of_classes, target), target)
            self._rows[metric.name].append(row)
        if any(metric.target is Target.CLASS for metric in self.metrics):
            (output,) = of_classes
            best = int(output.item()) if self._is_class else best_class(class_scores([output]))
            self.best.append(best - self.label_offset)

    @property
    def classes(self) -> int:
        """How many numbers the output has that classes are read from."""
        return self._classes.type.size

    def rows(self, metric: Metric) -> Array:
        """The rows of all samples, [N, ...]."""
        return np.stack(self._rows[metric.name])

    def _label(self, label: Array) -> Array:
        """A label that is an output; of classes they are whole numbers."""
        value = self._classes
        if label.size != value.type.size:
            raise InputError(
                f"label of real numbers {list(label.shape)}; output {value.name!r} is "
                f"{list(value.type.shape)}, and classes are integers"
            )
        return label

    def _scores(self, outputs: list[Array], target: int) -> list[Array]:
        """Scores of classes; of a network that gives the best class itself, of that one alone."""
        if not self._is_class:
            return outputs
        scores = np.full(max(target, 0) + 2, np.nan)
        best = int(outputs[0].item())
        if 0 <= best < scores.size:
            scores[best] = 1.0
        return [scores]


def score(
    graph: Graph,
    run: Run,
    dataset: Dataset,
    metric: Metric,
    *,
    limit: int | None = None,
    fit: str | None = None,
    pixels: Sequence[float] | None = None,
    label_offset: int | None = None,
) -> Interval:
    """The figure of a network that ``run`` runs, on labelled data; `Metric.points` scales it.

    Raises:
        InputError: as `Dataset.samples`; or the metric does not suit the labels or the outputs.
    """
    check_target(metric, dataset)
    judge = Judge([metric], graph.outputs, dataset, label_offset=label_offset)
    samples = dataset.samples(graph, limit=limit, fit=fit, pixels=pixels)
    for arrays, label in zip(samples, dataset.chosen(limit), strict=True):
        judge.add(run(arrays), label)
    return figure(metric, judge.rows(metric))


def check_target(metric: Metric, dataset: Dataset) -> None:
    """Refuse a metric that needs other labels than ``dataset`` has."""
    if metric.target is not Target.OUTPUTS and metric.target is not dataset.target:
        has = "no labels" if dataset.target is None else dataset.target.value
        raise InputError(
            f"metric {metric.name} needs {metric.target.value}; {dataset.path} has {has}"
        )


def _output(outputs: Sequence[Value], name: str | None, target: Target | None) -> Value:
    for value in outputs:
        if value.name == name:
            return value
    if name is not None:
        known = ", ".join(value.name for value in outputs)
        raise InputError(f"output {name!r}: unknown; the network has {known}")
    if target is Target.OUTPUTS:
        return outputs[0]
    lists = [v for v in outputs if sum(n > 1 for n in v.type.shape) == 1]
    maps = [v for v in outputs if min(v.type.shape[1:3], default=1) > 1]
    return next(iter((maps or lists if target is Target.MAP else lists) or outputs))


def _is_class(value: Value) -> bool:
    """Whether an output is the number of the best class."""
    return value.type.dtype.is_integer and value.type.quant is None and value.type.size == 1
