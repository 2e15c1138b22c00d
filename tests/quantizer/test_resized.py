"""Quantized networks take the shapes that the float ones take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from float_nets import RealNet, classifier

import edgewise as ew
from edgewise import exporters
from edgewise.errors import InputError
from edgewise.graph import Graph
from edgewise.ops import Reshape
from edgewise.tools.peers import LiteRT
from networks import random_inputs
from tflite_networks import opened

BATCHES = (1, 2, 3, 5)
INTEGER = ("int8", "uint8", "int16x8")


def of_any_batch(graph: Graph) -> Graph:
    """A network as a file of it with an open batch gives it."""
    return ew.load(opened(exporters.to_tflite(graph), {"x": (-1, *graph.inputs[0].type.shape[1:])}))


@pytest.mark.parametrize(
    "precision", ["int8", "uint8", "int16x8", "dynamic_range", "float16", "int4"]
)
def test_an_open_batch_stays_open(precision: str, tmp_path: Path) -> None:
    graph = of_any_batch(classifier(features=128))
    samples = [random_inputs(graph, seed) for seed in range(6)]
    found = ew.quantize(graph, samples, recipe=precision)
    ew.save(found.graph, tmp_path / "open.tflite")
    content = (tmp_path / "open.tflite").read_bytes()
    read = ew.load(content)
    assert dict(found.graph.open) == dict(read.open) == {"x": (-1, 8, 8, 3)}
    program, one = ew.compile(found.graph), ew.compile(read)
    for batch in BATCHES:
        x = np.concatenate([arrays[0] for arrays in samples[:batch]])
        rows = np.concatenate([program(row[None]) for row in x])
        np.testing.assert_allclose(program(x), rows, atol=1e-6)
        np.testing.assert_allclose(one(x), rows, atol=1e-6)
        (litert,) = LiteRT(content, shapes=[x.shape]).run([x])
        np.testing.assert_allclose(litert, rows, atol=1e-6 if precision in INTEGER else 0.02)


def test_shapes_of_another_network_are_refused() -> None:
    net = RealNet()
    x = net.real(1, 4)
    graph = of_any_batch(net.graph(net.add(Reshape((2, 2)), x, name="y")))
    found = ew.quantize(graph, [random_inputs(graph, seed) for seed in range(2)])
    with pytest.raises(InputError, match="x"):
        ew.compile(found.graph)(np.zeros((3, 4), np.float32))
