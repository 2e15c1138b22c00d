"""Metrics against plain computations, and what does not suit them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from edgewise.data.metrics import METRICS, VOID, best_class, class_map, metric, nearest, rank
from edgewise.errors import InputError
from edgewise.graph import Array


def figure(name: str, outputs: list[list[Array]], targets: list[Any]) -> float:
    """The figure of samples, each a list of outputs and a target."""
    m = METRICS[name]
    return m.total(np.stack([m.row(o, t) for o, t in zip(outputs, targets, strict=True)]))


def lists(count: int, classes: int) -> tuple[list[list[Array]], list[int]]:
    rng = np.random.default_rng(classes)
    scores = rng.integers(0, 9, (count, classes)).astype(np.float64)
    return [[row[None]] for row in scores], rng.integers(0, classes, count).tolist()


@pytest.mark.parametrize(("name", "k"), [("top1", 1), ("top5", 5)])
def test_the_best_classes_are_those_of_a_stable_sort(name: str, k: int) -> None:
    outputs, labels = lists(200, 12)
    right = [
        label in np.argsort(-scores[0], kind="stable")[:k]
        for (scores,), label in zip(outputs, labels, strict=True)
    ]
    assert figure(name, outputs, labels) == np.mean(right)


def test_not_a_number_is_no_class() -> None:
    assert rank(np.array([math.nan, 1.0]), 0) == 2
    scores = [np.array([math.nan, 1.0])]
    assert figure("top1", [scores], [1]) == figure("agreement", [scores], [scores]) == 1.0
    assert best_class(scores[0]) == 1
    assert figure("top5", [scores], [0]) == 0.0


def test_class_accuracy_weighs_classes_alike() -> None:
    first = [np.array([1.0, 0.0])]
    assert figure("class-accuracy", [first] * 10, [0] * 9 + [1]) == 0.5
    assert figure("top1", [first] * 10, [0] * 9 + [1]) == 0.9


@pytest.mark.parametrize("two", [False, True])
def test_auc_counts_pairs_in_order(two: bool) -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 6, 60).astype(float), rng.integers(0, 2, 60)
    pairs = itertools.product(scores[labels == 1], scores[labels == 0])
    expected = np.mean([(p > n) + 0.5 * (p == n) for p, n in pairs])
    outputs = [[np.array([1.0, 1.0 + s] if two else [s])] for s in scores]
    assert figure("auc", outputs, labels.tolist()) == pytest.approx(expected)
    assert math.isnan(figure("auc", outputs[:1], [1]))


def test_overlaps_of_maps() -> None:
    rng = np.random.default_rng(2)
    labels = [rng.integers(0, 4, (5, 7)) for _ in range(3)]
    found = [rng.integers(0, 5, (5, 7)) for _ in range(3)]
    for each in labels:
        each[0, :3] = VOID
    a, b = (np.concatenate([x.ravel() for x in maps]) for maps in (found, labels))
    a, b = a[b != VOID], b[b != VOID]
    ratios = [((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum() for c in range(5)]
    outputs = [[x[None].astype(np.float64)] for x in found]
    assert figure("miou", outputs, labels) == pytest.approx(np.mean(ratios))
    assert figure("pixel-accuracy", outputs, labels) == pytest.approx((a == b).mean())


def test_maps_of_scores_have_channels_where_the_sizes_say() -> None:
    scores = np.random.default_rng(3).random((6, 8, 3))
    for output in (scores[None], scores.transpose(2, 0, 1)[None]):
        for shape in ((6, 8), (12, 16), (10, 10)):
            np.testing.assert_array_equal(class_map([output], shape), scores.argmax(-1))


def test_maps_of_one_number_a_pixel_are_classes() -> None:
    classes = np.random.default_rng(3).integers(0, 5, (6, 8)).astype(np.float64)
    for output in (classes[None], classes[None, None], classes[None, ..., None]):
        np.testing.assert_array_equal(class_map([output], (12, 12)), classes)


def test_labels_are_resized_without_mixing() -> None:
    labels = np.array([[0, 9], [5, 7]])
    np.testing.assert_array_equal(nearest(labels, (4, 4)), labels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(nearest(nearest(labels, (6, 4)), (2, 2)), labels)


def test_signal_to_noise() -> None:
    rng = np.random.default_rng(4)
    reference = [[rng.normal(size=(1, 9)), rng.normal(size=(1, 2, 3))] for _ in range(5)]
    outputs = [[a + 0.1, b] for a, b in reference]
    signal = sum((a * a).sum() for a, _ in reference)
    expected = 10 * math.log10(signal / (5 * 9 * 0.01))
    assert figure("sqnr", outputs, reference) == pytest.approx(expected)
    assert figure("sqnr", reference, reference) == math.inf
    assert figure("mse", outputs, reference) == pytest.approx(0.01 * 9 / 15)


def test_cosine() -> None:
    a, b = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    assert figure("cosine", [[a], [b]], [[b], [b]]) == pytest.approx((math.sqrt(0.5) + 1) / 2)
    zero = np.zeros(2)
    assert figure("cosine", [[zero], [zero]], [[zero], [a]]) == 0.5


def test_agreement() -> None:
    first, second = np.array([[3.0, 1.0]]), np.array([[0.0, 1.0]])
    assert figure("agreement", [[first], [first]], [[first], [second]]) == 0.5
    one, two = np.array([1.0]), np.array([2.0])
    assert figure("agreement", [[one], [one]], [[one], [two]]) == 0.5


@pytest.mark.parametrize(
    ("name", "shape", "target", "message"),
    [
        ("top1", (1, 4), 4, "label 4: the network has 4 classes, from 0"),
        ("top1", (1, 4), -1, "label -1"),
        ("top1", (1, 2, 4), 0, r"shape \[1, 2, 4\] is no list of class scores"),
        ("top5", (1, 1), 0, "one score a sample"),
        ("auc", (1, 3), 1, "auc: 3 scores and label 1"),
        ("auc", (1, 2), 2, "auc: 2 scores and label 2"),
        ("miou", (1, 4), np.zeros((2, 2)), r"shape \[1, 4\] is no map of classes"),
        ("miou", (1, 2, 2), np.full((2, 2), 300), "label map: class 300; classes are 0 to 254"),
        ("miou", (1, 2, 2), np.zeros((0, 2)), r"label map of shape \[0, 2\]: it is empty"),
        ("miou", (1, 0, 2, 3), np.zeros((2, 2)), "is no map of classes"),
        (
            "sqnr",
            (1, 4),
            [np.zeros(3)],
            r"outputs of shapes \[\[1, 4\]\]; .* reference .*\[\[3\]\]",
        ),
        ("agreement", (1, 4), [np.zeros(3)], "reference"),
        ("agreement", (1, 1), [np.full(1, 0.5)], "agreement of one score, 0; it takes classes"),
    ],
)
def test_what_does_not_suit(name: str, shape: tuple[int, ...], target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        METRICS[name].row([np.zeros(shape)], target)


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 2, 2, 1), (1, 1, 2, 2)])
def test_one_chance_a_pixel_is_no_class(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"0.25 is no class"):
        METRICS["pixel-accuracy"].row([np.full(shape, 0.25)], np.zeros((2, 2)))


def test_an_unknown_metric() -> None:
    with pytest.raises(InputError, match="metric 'f1': unknown; known are top1, top5"):
        metric("f1")


def test_points() -> None:
    assert (METRICS["top1"].points, METRICS["cosine"].points) == (100.0, 1.0)
