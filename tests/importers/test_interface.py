"""Networks whose inputs and outputs become NHWC."""

from __future__ import annotations

import numpy as np

from edgewise.dtype import DType, QParams
from edgewise.graph import Array, Graph, Node, State, TensorType, Value, verify
from edgewise.importers.interface import channels_last
from edgewise.ops import Add, Mean, Relu

FLOAT = DType.FLOAT32


def value(name: str, *shape: int) -> Value:
    return Value(name, TensorType(shape, FLOAT))


def run(graph: Graph, **inputs: Array) -> list[Array]:
    env = {v: inputs[v.name] for v in graph.inputs}
    env |= {state.before: state.initial for state in graph.states}
    for node, results in graph.reference(dict(env)):
        env.update(zip(node.outputs, results, strict=True))
    return [env[v] if v.data is None else v.data for v in graph.outputs]


def last(x: Array) -> Array:
    return np.moveaxis(x, 1, -1)


def test_images_are_turned_and_all_else_stays() -> None:
    x, volume, row = value("x", 1, 3, 4, 5), value("volume", 1, 2, 3, 4, 5), value("row", 1, 5)
    y, mean, z = value("y", 1, 3, 4, 5), value("mean", 1, 3), value("z", 1, 2, 3, 4, 5)
    graph = Graph(
        (x, volume, row),
        (y, mean, z),
        (
            Node(Add(), (x, row), (y,)),
            Node(Mean((2, 3)), (y,), (mean,)),
            Node(Relu(), (volume,), (z,)),
        ),
        open={"x": (1, 3, -1, 5), "row": (-1, 5)},
    )
    turned = channels_last(graph)
    verify(turned)
    assert [str(v.type) for v in turned.inputs] == [
        "float32[1x4x5x3]",
        "float32[1x3x4x5x2]",
        "float32[1x5]",
    ]
    assert [v.name for v in (*turned.inputs, *turned.outputs)] == [
        "x", "volume", "row", "y", "mean", "z",
    ]  # fmt: skip
    assert turned.open == {"x": (1, -1, 5, 3), "row": (-1, 5)}
    rng = np.random.default_rng(0)
    given = {v.name: rng.normal(size=v.type.shape).astype(np.float32) for v in graph.inputs}
    before = run(graph, **given)
    given |= {"x": last(given["x"]), "volume": last(given["volume"])}
    after = run(turned, **given)
    for a, b in zip((last(before[0]), before[1], last(before[2])), after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_inputs_constants_and_states_as_outputs() -> None:
    x, kept = value("x", 1, 2, 1, 3), value("kept", 1, 2, 1, 3)
    data = np.arange(6, dtype=np.float32).reshape(1, 2, 1, 3)
    fixed = Value("fixed", x.type, data)
    total = value("total", 1, 2, 1, 3)
    graph = Graph(
        (x,),
        (x, fixed, kept, total, total),
        (Node(Add(), (x, kept), (total,)),),
        states=(State(kept, total, data + 1),),
    )
    turned = channels_last(graph)
    verify(turned)
    assert turned.states[0].before is kept
    assert turned.states[0].after.type == kept.type
    given = np.full((1, 2, 1, 3), 7, np.float32)
    results = run(turned, x=last(given))
    expected = (given, data, data + 1, data + 8, data + 8)
    for result, array in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, last(array))


def test_the_axis_of_scales_moves() -> None:
    quant = QParams((0.5, 0.25), (0, 0), axis=1)
    x = Value("x", TensorType((1, 2, 1, 3), DType.INT8, quant))
    (turned,) = channels_last(Graph((x,), (x,), ())).inputs
    assert turned.type == TensorType((1, 1, 3, 2), DType.INT8, QParams((0.5, 0.25), (0, 0), axis=3))


def test_a_graph_without_images_has_the_same_values() -> None:
    x, y = value("x", 2, 3), value("y", 2, 3)
    turned = channels_last(Graph((x,), (y,), (Node(Relu(), (x,), (y,)),)))
    assert (turned.inputs, turned.outputs) == ((x,), (y,))
