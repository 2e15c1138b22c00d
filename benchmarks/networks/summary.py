"""Geometric means of ratios, and the goals they are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]

F32 = ("litert", "openvino", "onnxruntime", "ncnn", "mnn", "qnnpack")
"""Contestants of full precision."""


@dataclass(frozen=True)
class Goal:
    """A row of the summary: how many times as fast Edgewise is on some networks.

    Attributes:
        networks: which, in words.
        chosen: which.
        against: the peers, of which the fastest counts on each network.
        least: the goal, by number of threads.
        subject: the contestant whose time is compared.
        worst: whether the least ratio counts, not the geometric mean.
    """

    networks: str
    chosen: Callable[[Facts], bool]
    against: tuple[str, ...]
    least: dict[int, float]
    subject: str = "edgewise"
    worst: bool = False


def _named(name: str) -> Callable[[Facts], bool]:
    return lambda entry: bool(entry["network"] == name)


def _of(kind: str) -> Callable[[Facts], bool]:
    return lambda entry: bool(entry["kind"] == kind)


GOALS = (
    Goal(
        "mobilenet_v2_1.0_224_int8",
        _named("mobilenet_v2_1.0_224_int8"),
        ("litert",),
        {1: 2.0, 2: 1.9},
    ),
    Goal(
        "mobilenet_v2_1.0_224_int8",
        _named("mobilenet_v2_1.0_224_int8"),
        ("openvino",),
        {1: 1.8, 2: 1.7},
    ),
    Goal(
        "mobilenet_v2_1.0_224_quant (uint8)",
        _named("mobilenet_v2_1.0_224_quant"),
        ("litert", "openvino"),
        {1: 3.5, 2: 3.2},
    ),
    Goal("int8 and uint8, mean", _of("quantized"), F32, {1: 1.8, 2: 1.6}),
    Goal("float, mean", _of("float"), ("litert", "onnxruntime", "openvino"), {1: 1.25, 2: 1.2}),
    Goal("float, mean", _of("float"), F32, {}),
    Goal(
        "float in bf16, mean",
        _of("float"),
        ("openvino-default",),
        {1: 1.1, 2: 1.1},
        subject="edgewise-bf16",
    ),
    Goal("ONNX, mean", _of("onnx"), ("onnxruntime", "openvino"), {1: 1.0, 2: 1.0}),
    Goal("every network, the least", lambda entry: True, F32, {1: 1.0, 2: 1.0}, worst=True),
)


@dataclass(frozen=True)
class Outcome:
    """What was measured for a goal with one number of threads."""

    value: float
    networks: int
    least: float | None
    worst: str

    @property
    def is_met(self) -> bool:
        return self.least is None or self.value >= self.least


def outcome(goal: Goal, results: Sequence[Facts], threads: int) -> Outcome | None:
    """What was measured for a goal; None where nothing was."""
    ratios = {
        entry["network"]: found
        for entry in results
        if entry["threads"] == threads and goal.chosen(entry)
        if (found := best_ratio(entry, goal.against, goal.subject)) is not None
    }
    if not ratios:
        return None
    value = min(ratios.values()) if goal.worst else mean(list(ratios.values()))
    slowest = min(ratios, key=lambda name: ratios[name])
    return Outcome(value, len(ratios), goal.least.get(threads), slowest)


def best_peer(entry: Facts, against: Sequence[str] = F32) -> str | None:
    """The fastest of the peers on a network; None where none takes it."""
    taken = [key for key in against if key in entry["timings"]]
    return min(taken, key=lambda key: entry["timings"][key]["median_ms"], default=None)


def best_ratio(
    entry: Facts, against: Sequence[str] = F32, subject: str = "edgewise"
) -> float | None:
    """How many times as fast the subject is as the fastest peer."""
    peer = best_peer(entry, against)
    if peer is None or subject not in entry["timings"]:
        return None
    timings = entry["timings"]
    return float(timings[peer]["median_ms"] / timings[subject]["median_ms"])


def slower(results: Sequence[Facts], threads: int) -> list[tuple[str, str, float]]:
    """Networks on which a peer is faster, that peer, and the ratio; the slowest first."""
    found = [
        (entry["network"], str(best_peer(entry)), ratio)
        for entry in results
        if entry["threads"] == threads
        if (ratio := best_ratio(entry)) is not None and ratio < 1.0
    ]
    return sorted(found, key=lambda row: row[2])


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
