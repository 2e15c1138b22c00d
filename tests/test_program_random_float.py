"""Random float32 networks: programs at one to three threads are near the references, and equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType, Value
from edgewise.kernels.isa import ISAS, Isa
from edgewise.ops import Op
from edgewise.runtime import plan_for
from kernels.harness import isas
from networks import Array, Builder, random_inputs, reference
from test_plan import check_accesses
from test_program import NATIVE
from test_program_emulated import Emulated
from test_program_random import STEPS, RandomNetwork

TOLERANCE = 1e-3
"""Of the greatest result: what ten operators after one another may add up to, and no more than a
wrong element would show."""
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


class RealBuilder(Builder):
    """A builder whose constants are floats, and which leaves quantization out."""

    def weights(self, shape: Sequence[int], *_: Any, **__: Any) -> Value:
        scale = 1 / math.sqrt(max(1, math.prod(shape[1:])))
        return self.constant((self.rng.normal(size=tuple(shape)) * scale).astype(np.float32))

    def bias(self, n: int) -> Value:
        return self.constant(self.rng.normal(size=n).astype(np.float32))

    def node(self, op: Op, inputs: Sequence[Value], *_: QParams | None) -> Any:
        return super().node(op, inputs)


class RealNetwork(RandomNetwork):
    def __init__(self, data: st.DataObject) -> None:
        super().__init__(data)
        shape = self.images[0].type.shape
        self.builder = RealBuilder(self.number(0, 99))
        self.images = [self.builder.input(TensorType(shape, DType.FLOAT32))]

    def weights(self, shape: tuple[int, ...], axis: int) -> Value:
        return self.builder.weights(shape)


def sloped(r: RandomNetwork, x: Value) -> Value:
    """A product of few or many columns, normalised, then PRELU."""
    n = r.channels()
    y = r.builder.node(ops.Conv2D(), [x, r.weights((n, 1, 1, x.type.shape[3]), 0)])
    y = r.builder.node(ops.Mul(), [y, r.builder.weights((n,))])
    y = r.builder.node(ops.Add(), [y, r.builder.weights((1, 1, 1, n))])
    return r.builder.node(ops.PRelu(), [y, r.builder.weights((1, 1, n))])


def matrices(r: RandomNetwork, x: Value) -> Value:
    """Pixels times their own transpose, then times pixels again."""
    n, h, w, c = x.type.shape
    rows = r.builder.node(ops.Reshape((n, h * w, c)), [x])
    scores = r.builder.node(ops.BatchMatMul(adj_y=True), [rows, rows])
    mixed = r.builder.node(ops.BatchMatMul(), [r.builder.node(ops.Softmax(1.0), [scores]), rows])
    return r.builder.node(ops.Reshape((n, h, w, c)), [mixed])


def random_network(data: st.DataObject) -> Graph:
    network = RealNetwork(data)
    for _ in range(network.number(1, 9)):
        x = network.choice(network.images[-3:])
        network.images.append(network.choice((*STEPS, sloped, matrices))(network, x))
        if network.images[-1].type.size > 20_000:
            break
    return network.graph()


def assert_near(found: Sequence[Array], expected: Sequence[Array]) -> None:
    for got, want in zip(found, expected, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(got, want, TOLERANCE, TOLERANCE * np.abs(want).max(initial=0))


@pytest.mark.parametrize("isa", NATIVE)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
def test_random_networks(isa: str, data: st.DataObject) -> None:
    graph = random_network(data)
    inputs = random_inputs(graph)
    expected = reference(graph, inputs)
    for kind in ISAS:
        check_accesses(plan_for(graph, kind))
    first: list[Array] = []
    for threads in (1, 2, 3):
        program = ew.compile(graph, threads=threads, isa=isa)
        results = program(*inputs)
        found = list(results) if isinstance(results, tuple) else [results]
        assert_near(found, expected)
        first = first or found
        for one, more in zip(first, found, strict=True):
            np.testing.assert_array_equal(one, more)
        program.close()


@isas
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=HEALTH)
def test_random_networks_in_guarded_memory(isa: Isa, data: st.DataObject) -> None:
    graph = random_network(data)
    if not plan_for(graph, isa).fallbacks:
        inputs = random_inputs(graph)
        assert_near(Emulated(graph, isa).run(inputs), reference(graph, inputs))
