"""How right a network's outputs are: metrics, as a table.

A metric makes a row of numbers of each sample, and one figure of all rows. So the rows tell how far
the figure would move with other samples (`intervals`), and two networks are compared on the same
ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError
from ..graph import Array

VOID = 255
"""The value of label maps that belongs to no class, and does not count."""


class Target(Enum):
    """What a metric compares outputs with."""

    CLASS = "a class of each sample"
    MAP = "a map of classes of each sample"
    OUTPUTS = "outputs to compare with"


@dataclass(frozen=True)
class Metric:
    """One metric.

    ``row(outputs, target)`` measures one sample: outputs are real values (float64), the target is a
    class, a map of classes [H, W], or the reference's outputs. ``total(rows)`` is the figure of
    rows [N, ...], NaN where samples lack what it ``needs``. A ``proportion`` is the mean of rows
    that are [0] or [1]; one ``of_classes`` compares the one output that classes are read from.
    """

    name: str
    about: str
    target: Target
    row: Callable[[Sequence[Array], Any], Array]
    total: Callable[[Array], float]
    unit: str = ""
    higher_is_better: bool = True
    proportion: bool = False
    of_classes: bool = False
    needs: str = ""

    @property
    def points(self) -> float:
        """By what a figure is multiplied to be in ``unit``."""
        return 100.0 if self.unit == "%" else 1.0


def class_scores(outputs: Sequence[Array]) -> Array:
    """The scores of classes [C] that the first output is.

    Raises:
        InputError: it has several dimensions longer than 1.
    """
    scores = outputs[0]
    if sum(n > 1 for n in scores.shape) > 1:
        raise InputError(
            f"output of shape {list(scores.shape)} is no list of class scores; another output, or "
            "another metric is needed"
        )
    return scores.ravel()


def rank(scores: Array, target: int) -> int:
    """How many classes come before ``target``: of equal scores, the first class does.

    Raises:
        InputError: there is no such class.
    """
    if not 0 <= target < scores.size:
        raise InputError(f"label {target}: the network has {scores.size} classes, from 0")
    own = scores[target]
    if np.isnan(own):
        return scores.size
    return int((scores > own).sum() + (scores[:target] == own).sum())


def _among_first(k: int, outputs: Sequence[Array], target: int) -> Array:
    scores = class_scores(outputs)
    if scores.size == 1:
        raise InputError("the network has one score a sample, no list of them; auc takes one")
    return np.array([rank(scores, target) < k and not np.isnan(scores[target])], np.float64)


def _class_and_success(outputs: Sequence[Array], target: int) -> Array:
    return np.array([target, _among_first(1, outputs, target)[0]])


def _mean_of_classes(rows: Array) -> float:
    labels = rows[:, 0].astype(np.int64)
    counts = np.bincount(labels)
    right = np.bincount(labels, rows[:, 1])
    return float((right[counts > 0] / counts[counts > 0]).mean())


def _class_and_score(outputs: Sequence[Array], target: int) -> Array:
    scores = class_scores(outputs)
    if scores.size > 2 or target not in (0, 1):
        raise InputError(
            f"auc: {scores.size} scores and label {target}; it takes one score or two, and the "
            "labels 0 and 1"
        )
    return np.array([target, scores[0] if scores.size == 1 else scores[1] - scores[0]])


def _area_under_curve(rows: Array) -> float:
    """The share of pairs of a positive and a negative sample that are in order (Mann-Whitney)."""
    positive = rows[:, 0] == 1
    pairs = int(positive.sum()) * int((~positive).sum())
    if not pairs:
        return float("nan")
    _, inverse, counts = np.unique(rows[:, 1], return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    least = positive.sum() * (positive.sum() + 1) / 2
    return float((ranks[inverse.ravel()[positive]].sum() - least) / pairs)


def best_class(scores: Array) -> int:
    """The class of the highest score: the first of equal ones; NaN is none."""
    return int(np.where(np.isnan(scores), -np.inf, scores).argmax())


def class_map(outputs: Sequence[Array], shape: tuple[int, int]) -> Array:
    """The map of classes [H, W] that the first output is, for a label map of ``shape``.

    It is scores [1, H, W, C] or [1, C, H, W]: whichever has the label map's size, else the nearest
    proportions. Of one number a pixel, also [1, H, W], the numbers are the classes.

    Raises:
        InputError: it has another shape, or such a number is no whole one.
    """
    output = outputs[0]
    if output.ndim not in (3, 4) or output.shape[0] != 1 or not output.size:
        raise InputError(f"output of shape {list(output.shape)} is no map of classes")
    scores = output[0] if output.ndim == 4 else output[0, ..., None]

    def likeness(size: tuple[int, ...]) -> tuple[bool, float]:
        return size == shape, -abs(math.log(size[0] * shape[1] / (size[1] * shape[0])))

    if output.ndim == 4 and likeness(scores.shape[1:]) > likeness(scores.shape[:2]):
        scores = np.moveaxis(scores, 0, -1)
    if scores.shape[-1] > 1:
        return np.asarray(scores.argmax(axis=-1))
    numbers = scores[..., 0]
    if not (numbers == np.rint(numbers)).all():
        odd = numbers[numbers != np.rint(numbers)][0]
        raise InputError(
            f"output of shape {list(output.shape)}: {odd:g} is no class; a network of one number a "
            "pixel must give whole ones"
        )
    return numbers


def nearest(labels: Array, shape: tuple[int, int]) -> Array:
    """A map of classes at another size, without mixing classes."""
    rows, columns = (
        ((np.arange(to) + 0.5) * size / to).astype(np.int64)
        for to, size in zip(shape, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns])


def _maps(outputs: Sequence[Array], target: Array) -> tuple[Array, Array]:
    """The classes of an output and its labels, where there are labels."""
    if not target.size:
        raise InputError(f"label map of shape {list(target.shape)}: it is empty")
    found = class_map(outputs, target.shape).astype(np.int64)
    labels = nearest(target, found.shape).astype(np.int64)
    if labels.max() > VOID:
        raise InputError(f"label map: class {labels.max()}; classes are 0 to {VOID - 1}")
    counted = (labels >= 0) & (labels != VOID)
    return np.where((found >= 0) & (found < VOID), found, VOID)[counted], labels[counted]


def _overlaps(outputs: Sequence[Array], target: Array) -> Array:
    """By class: pixels of it in both maps, and in either of them."""
    found, labels = _maps(outputs, target)
    both, one, other = (
        np.bincount(classes, minlength=VOID + 1)
        for classes in (labels[found == labels], found, labels)
    )
    return np.stack([both, one + other - both], axis=-1)[:VOID].astype(np.float32)


def _mean_overlap(rows: Array) -> float:
    both, either = rows.sum(axis=0, dtype=np.float64).T
    present = either > 0
    return float((both[present] / either[present]).mean()) if present.any() else float("nan")


def _right_pixels(outputs: Sequence[Array], target: Array) -> Array:
    found, labels = _maps(outputs, target)
    return np.array([(found == labels).sum(), labels.size], np.float64)


def _ratio(rows: Array) -> float:
    first, second = rows.sum(axis=0)
    return float(first / second) if second else float("nan")


def _mean(rows: Array) -> float:
    return float(rows.mean())


def _pairs(outputs: Sequence[Array], target: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Outputs, each flat and with its reference.

    Raises:
        InputError: they are not alike.
    """
    shapes, wanted = ([list(a.shape) for a in arrays] for arrays in (outputs, target))
    if [np.prod(s) for s in shapes] != [np.prod(s) for s in wanted]:
        raise InputError(f"outputs of shapes {shapes}; those of the reference are {wanted}")
    return [(a.ravel(), b.ravel()) for a, b in zip(outputs, target, strict=True)]


def _powers(outputs: Sequence[Array], target: Sequence[Array]) -> Array:
    """For each output, the sums of squares of the reference, and of what differs from it."""
    pairs = _pairs(outputs, target)
    return np.array([[(b * b).sum(), ((a - b) * (a - b)).sum()] for a, b in pairs])


def _decibels(rows: Array) -> float:
    """The mean over outputs; one that is exact counts only where all are."""
    signal, noise = rows.sum(axis=0).T
    inexact = noise != 0
    if not inexact.any():
        return float("inf")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(signal[inexact] / noise[inexact]).mean())


def _squares(outputs: Sequence[Array], target: Sequence[Array]) -> Array:
    pairs = _pairs(outputs, target)
    return np.array([sum(((a - b) ** 2).sum() for a, b in pairs), sum(a.size for a, _ in pairs)])


def _cosines(outputs: Sequence[Array], target: Sequence[Array]) -> Array:
    """The mean over outputs; of two that are 0 it is 1, of one with another 0."""
    found = []
    for a, b in _pairs(outputs, target):
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        found.append(float(a @ b) / lengths if lengths else float(not a.any() and not b.any()))
    return np.array([np.mean(found)])


def _same_class(outputs: Sequence[Array], target: Sequence[Array]) -> Array:
    ((found, wanted),) = _pairs([class_scores(outputs)], [class_scores(target)])
    if found.size > 1:
        return np.array([rank(found, best_class(wanted)) == 0], np.float64)
    if not (found == np.rint(found)).all() or not (wanted == np.rint(wanted)).all():
        raise InputError(f"agreement of one score, {found[0]:g}; it takes classes, or their scores")
    return np.array(found == wanted, np.float64)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "top1",
            "samples whose class has the highest score",
            Target.CLASS,
            partial(_among_first, 1),
            _mean,
            "%",
            proportion=True,
        ),
        Metric(
            "top5",
            "samples whose class is among the five of the highest scores",
            Target.CLASS,
            partial(_among_first, 5),
            _mean,
            "%",
            proportion=True,
        ),
        Metric(
            "class-accuracy",
            "top1 of each class, the mean over classes",
            Target.CLASS,
            _class_and_success,
            _mean_of_classes,
            "%",
        ),
        Metric(
            "auc",
            "area under the ROC curve, of two classes",
            Target.CLASS,
            _class_and_score,
            _area_under_curve,
            needs="samples of both classes",
        ),
        Metric(
            "miou",
            "intersection over union of each class, the mean over classes",
            Target.MAP,
            _overlaps,
            _mean_overlap,
            "%",
            needs="pixels with labels",
        ),
        Metric(
            "pixel-accuracy",
            "pixels of the right class",
            Target.MAP,
            _right_pixels,
            _ratio,
            "%",
            needs="pixels with labels",
        ),
        Metric(
            "agreement",
            "samples of the same best class as the reference's",
            Target.OUTPUTS,
            _same_class,
            _mean,
            "%",
            proportion=True,
            of_classes=True,
        ),
        Metric(
            "sqnr",
            "signal to noise, where noise is what differs from the reference",
            Target.OUTPUTS,
            _powers,
            _decibels,
            "dB",
        ),
        Metric(
            "mse",
            "mean squared difference from the reference",
            Target.OUTPUTS,
            _squares,
            _ratio,
            higher_is_better=False,
        ),
        Metric(
            "cosine",
            "cosine of the angle to the reference, the mean over samples",
            Target.OUTPUTS,
            _cosines,
            _mean,
        ),
    )
}
"""By the names that ``edgewise evaluate --metric`` takes."""


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        InputError: there is none.
    """
    if name not in METRICS:
        raise InputError(f"metric {name!r}: unknown; known are {', '.join(METRICS)}")
    return METRICS[name]
