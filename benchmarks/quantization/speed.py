"""Quantized networks against their float originals, both in Edgewise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edgewise as ew
from edgewise import timing
from edgewise.graph import Graph

from .datasets import Sample
from .tasks import Task

Facts = dict[str, Any]

THREADS = (1, 2)
CALIBRATION = 4
RECIPE = {"steps": ["calibrate"]}
"""Speed depends neither on the ranges nor on which integers weights become."""


def facts(task: Task, data: Path, rounds: int) -> Facts:
    """Times of both in milliseconds, and the ratio with its interval, by number of threads."""
    graph = ew.load(data / "models" / task.file)
    calibration = task.source(data, graph)[0].calibration[:CALIBRATION]
    quantized = ew.quantize(graph, calibration, recipe=RECIPE).graph
    return {str(n): _compared(graph, quantized, calibration[0], n, rounds) for n in THREADS}


def _compared(graph: Graph, quantized: Graph, sample: Sample, threads: int, rounds: int) -> Facts:
    calls = {}
    for name, network in (("float", graph), ("quantized", quantized)):
        program = ew.compile(network, threads=threads)
        program(*sample)
        calls[name] = program.invoke
    first, second = timing.measure(calls, rounds)
    ratio = timing.speed_ratio(second.samples, first.samples)
    return {
        "float_ms": first.median * 1e3,
        "quantized_ms": second.median * 1e3,
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
    }
