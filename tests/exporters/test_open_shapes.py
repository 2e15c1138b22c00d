"""Dimensions that stay open in the written file, and those that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_write_operators import assert_equal
from tflite_files import ints, real

import edgewise as ew
from edgewise import exporters
from edgewise.graph import Graph
from edgewise.tools.differences import random_inputs
from edgewise.tools.peers import LiteRT
from recurrent_files import run_calls
from tflite_builder import Operator, Tensor, build
from tflite_networks import dense_of_any_batch, opened


def again(graph: Graph) -> Graph:
    return ew.load(exporters.to_tflite(exporters.prepare(graph)))


def images(*operators: tuple[str, Any, list[Tensor], str, dict[str, Any]]) -> bytes:
    """A network of [-1, 4, 6, 2], operator by operator: name, type of the result, operands."""
    x = Tensor(real(1, 4, 6, 2), name="x")
    made, last = [], x
    for name, y, more, options, fields in operators:
        result = Tensor(y)
        made.append(Operator(name, [last, *more], [result], options, fields))
        last = result
    return opened(build(made, [x], [last]), {"x": (-1, 4, 6, 2)})


TAKES_ANY = {
    "dense": dense_of_any_batch(),
    "pool": images(
        ("MAX_POOL_2D", real(1, 2, 3, 2), [], "Pool2DOptions",
         {"StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2}),
    ),
    "slice of all": images(
        ("STRIDED_SLICE", real(1, 4, 2, 2), [ints(0, 0, 1, 0), ints(0, 0, 3, 0), ints(1, 1, 1, 1)],
         "StridedSliceOptions", {"BeginMask": 0b1011, "EndMask": 0b1011}),
    ),
    "reshape": images(("RESHAPE", real(1, 48), [ints(-1, 48)], "ReshapeOptions", {})),
    "reshape of another dimension": images(
        ("RESHAPE", real(4, 12), [ints(-1, 12)], "ReshapeOptions", {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKES_ANY)
def test_what_takes_any_size(name: str) -> None:
    graph = ew.load(TAKES_ANY[name])
    read = again(graph)
    assert graph.open
    assert dict(read.open) == dict(graph.open)
    shapes = {k: tuple(3 if n == -1 else n for n in s) for k, s in graph.open.items()}
    resized = graph.resized(shapes)
    (arrays,) = random_inputs(resized, 1, 0)
    (expected,) = run_calls(resized, [arrays])
    assert_equal(run_calls(read.resized(shapes), [arrays])[0], expected)
    content = exporters.to_tflite(exporters.prepare(graph))
    found = LiteRT(content, shapes=[a.shape for a in arrays]).run(arrays)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-5)


FIXED = {
    "two dimensions": images(
        ("TRANSPOSE", real(4, 1, 6, 2), [ints(1, 0, 2, 3)], "TransposeOptions", {}),
        ("RESHAPE", real(2, 2, 6, 2), [ints(2, -1, 6, 2)], "ReshapeOptions", {}),
        ("RESHAPE", real(1, 4, 12), [ints(1, 4, -1)], "ReshapeOptions", {}),
        ("TILE", real(1, 4, 24), [ints(1, 1, 2)], "TileOptions", {}),
        ("STRIDED_SLICE", real(1, 1, 24), [ints(0, 0, 0), ints(1, 1, 24), ints(1, 1, 1)],
         "StridedSliceOptions", {}),
        ("RESHAPE", real(1, 24), [ints(1, 24)], "ReshapeOptions", {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_what_takes_its_own_size_only(name: str) -> None:
    graph = ew.load(FIXED[name])
    assert graph.open
    assert dict(again(graph).open) == {}


def windows(kind: str, **attributes: Any) -> Graph:
    """An operator of windows of an ONNX network whose batch, height and width are open."""
    pytest.importorskip("onnx")
    from onnx_files import graph, info, model, node

    weights = {"w": np.random.default_rng(2).normal(size=(4, 3, 3, 3)).astype(np.float32)}
    constants = weights if kind == "Conv" else {}
    made = graph(
        [node(kind, ["x", *constants], ["y"], strides=[2, 2], **attributes)],
        [info("x", ("N", 3, "H", "W"))],
        [info("y", (None,) * 4)],
        constants,
    )
    return ew.load(model(made), shapes={"x": (1, 3, 8, 8)})


TAPS = {"kernel_shape": [3, 3]}
OPEN = {
    "padding of even sizes": lambda: windows("Conv", pads=[0, 0, 1, 1]),
    "padding of odd sizes": lambda: windows("Conv", pads=[1, 1, 1, 1]),
    "the greatest": lambda: windows("MaxPool", **TAPS, pads=[0, 0, 1, 1]),
    "SAME": lambda: windows("Conv", auto_pad="SAME_UPPER"),
    "without padding": lambda: windows("MaxPool", **TAPS),
}
CLOSED = {
    "rounded up": lambda: windows("MaxPool", **TAPS, ceil_mode=1),
    "averages": lambda: windows("AveragePool", **TAPS, pads=[0, 0, 1, 1]),
}


@pytest.mark.parametrize("name", [*OPEN, *CLOSED])
def test_padding_of_any_size(name: str) -> None:
    """The file is of any size only where LiteRT's result for each is the model's."""
    graph = (OPEN | CLOSED)[name]()
    content = exporters.to_tflite(exporters.prepare(graph))
    assert dict(ew.load(content).open) == ({"x": (-1, 3, -1, -1)} if name in OPEN else {})
    for shape in ((1, 3, 8, 8), (2, 3, 7, 9), (1, 3, 12, 5)):
        if name in CLOSED and shape != (1, 3, 8, 8):
            continue
        resized = graph.resized({"x": shape})
        (arrays,) = random_inputs(resized, 1, 0)
        (expected,) = run_calls(resized, [arrays])
        (found,) = LiteRT(content, shapes=[shape]).run(arrays)
        np.testing.assert_allclose(found, expected[0], 1e-5, 1e-5)


def test_a_graph_that_cannot_be_read_again() -> None:
    graph = replace(ew.load(TAKES_ANY["pool"]))
    assert graph.open
    assert dict(again(graph).open) == {}


NETWORKS = ("kws_dscnn_int8", "rfb320_float", "resnet8_cifar10_float")


@pytest.mark.data
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, data: Path) -> None:
    graph = ew.load(data / "models" / f"{name}.tflite")
    prepared = exporters.prepare(graph)
    assert dict(prepared.open) == dict(graph.open)
    shapes = [(2, *v.type.shape[1:]) for v in graph.inputs]
    resized = graph.resized({v.name: s for v, s in zip(graph.inputs, shapes, strict=True)})
    peers = [
        LiteRT(content, shapes=shapes)
        for content in (data / "models" / f"{name}.tflite", exporters.to_tflite(prepared))
    ]
    (arrays,) = random_inputs(resized, 1, 0)
    assert_equal(peers[1].run(arrays), peers[0].run(arrays))


@pytest.mark.data
def test_a_network_of_one_size(data: Path) -> None:
    graph = ew.load(data / "models/wakeword_computer_float.tflite")
    assert graph.open
    assert not exporters.prepare(graph).open
