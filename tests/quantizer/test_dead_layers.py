"""Activations that calibration found to be all but zero: LiteRT runs them with equal results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from float_nets import RealNet

import edgewise as ew
from edgewise import exporters
from edgewise.graph import Value
from edgewise.ops import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Maximum,
    Sub,
    TransposeConv,
)
from edgewise.quantizer import Range, Recipe, Samples, convert
from edgewise.quantizer.calibrate import calibrate
from edgewise.quantizer.parameters import FINEST
from edgewise.quantizer.state import float_network, silent
from tflite_builder import run_litert_calls

RELU = Activation.RELU

DEAD: dict[str, Callable[[RealNet, Value], Value]] = {
    "conv": lambda n, x: n.add(Conv2D(activation=RELU), x, n.weights(4, 1, 1, 4), name="a"),
    "depthwise": lambda n, x: n.add(DepthwiseConv2D(), x, n.weights(1, 1, 1, 4), name="a"),
    "matrix": lambda n, x: n.add(
        FullyConnected(keep_num_dims=True), x, n.weights(4, 4), n.bias(4), name="a"
    ),
    "transposed": lambda n, x: n.add(
        TransposeConv(output_size=(8, 8)), x, n.weights(4, 1, 1, 4), name="a"
    ),
    "add": lambda n, x: n.add(Add(), x, x, name="a"),
    "sub": lambda n, x: n.add(Sub(), x, x, name="a"),
}


@pytest.mark.parametrize("width", [1e-5, 1e-11])
@pytest.mark.parametrize("mode", ["int8", "int16x8"])
@pytest.mark.parametrize("kind", DEAD)
def test_ranges_next_to_nothing(kind: str, mode: str, width: float) -> None:
    """Without a least step, XNNPACK refuses such products of int8, and LiteRT ends the process at
    such sums of int16."""
    net = RealNet(1)
    x = net.real(1, 8, 8, 4)
    graph = net.graph(net.add(Add(), DEAD[kind](net, x), x, name="y"))
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(1, 8, 8, 4)).astype(np.float32) for _ in range(4)]
    plain = float_network(graph)
    state = Recipe.of({"precision": mode, "steps": []}).start(plain)
    state = calibrate(state, Samples.of(data, plain), silent)
    narrow = {"a": Range(0.0 if kind == "conv" else -width, width)}
    state = replace(state, ranges={**state.ranges, **narrow}, extremes={**state.extremes, **narrow})
    made = convert(state)
    assert not made.left
    content = exporters.to_tflite(exporters.prepare(made.graph))
    ((theirs,),) = run_litert_calls(content, [[data[0]]])
    np.testing.assert_array_equal(np.array(ew.compile(made.graph)(data[0])), theirs)


def test_steps_that_a_later_layer_makes_coarser() -> None:
    """``late`` has a scale with ``early``, which was read before: XNNPACK takes that product."""
    net = RealNet(1)
    x = net.real(1, 8, 8, 4)
    early = net.add(Conv2D(), x, net.weights(4, 1, 1, 4), name="early")
    read = net.add(Conv2D(), early, net.weights(4, 1, 1, 4), name="read")
    late = net.add(Conv2D(), x, net.weights(4, 1, 1, 4, scale=1e6), name="late")
    both = net.add(Maximum(), early, late, name="both")
    graph = float_network(net.graph(read, both))
    narrow = dict.fromkeys(("early", "read", "late", "both"), Range(-1e-5, 1e-5))
    state = Recipe.of({"precision": "int8", "steps": [], "outputs": "int8"}).start(graph)
    made = convert(replace(state, ranges={"x": Range(-3.0, 3.0), **narrow})).graph
    data = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32)
    (litert,) = run_litert_calls(exporters.to_tflite(exporters.prepare(made)), [[data]])
    for ours, theirs in zip(ew.compile(made)(data), litert, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_steps_are_no_finer_than_what_is_summed() -> None:
    net = RealNet(1)
    x = net.real(1, 4, name="x")
    graph = net.graph(net.add(FullyConnected(), x, net.weights(4, 4), net.bias(4), name="y"))
    state = Recipe.of({"precision": "int16x8", "steps": [], "outputs": "int16"}).start(graph)
    ranges = {"x": Range(-1.0, 1.0), "y": Range(-1e-9, 1e-9)}
    (_, node) = convert(replace(state, ranges=ranges)).graph.nodes
    x_scale, w_scale, y_scale = (
        v.type.quant.scale for v in (*node.inputs[:2], *node.outputs) if v.type.quant
    )
    assert y_scale[0] == pytest.approx(x_scale[0] * max(w_scale) / FINEST)
