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
    """The fastest samples of both in interleaved rounds, in milliseconds, and their ratio, by
    number of threads. What disturbs a machine only slows samples down.
    """
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
    first, second = (min(found.samples) for found in timing.measure(calls, rounds))
    return {"float_ms": first * 1e3, "quantized_ms": second * 1e3, "ratio": first / second}
