"""Networks of formats whose images are NCHW, with inputs and outputs as NHWC."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, Shapes, TensorType, Value
from ..ops import Transpose
from .channels_first import to_first, to_last
from .names import Names

IMAGE_RANKS = (4, 5)


def channels_last(graph: Graph) -> Graph:
    """The network with every input and output of rank 4 or 5, [N, C, ...], as [N, ..., C].

    They keep their names; a TRANSPOSE stands behind each input, and one before each output. What
    is kept between calls stays as it is. The graph has no digest.

    Given:
        input %x : float32[1x3x224x224]
        %y = RELU(%x)
    Result:
        input %x : float32[1x224x224x3]
        %x.2 = TRANSPOSE[perm=(0, 3, 1, 2)](%x)
        %y.2 = RELU(%x.2)
        %y = TRANSPOSE[perm=(0, 2, 3, 1)](%y.2)
    """
    names = Names()
    for value in (*graph.sources, *(v for node in graph.nodes for v in node.outputs)):
        names.reserve(value.name)
    kept = {state.before for state in graph.states}
    inputs = {v: _turned(v, v.name) for v in graph.inputs if _is_image(v)}
    images = [v for v in dict.fromkeys(graph.outputs) if _is_image(v) and v not in inputs]
    computed = [v for v in images if v.data is None and v not in kept]
    inner = {v: Value(names.unique(v.name), v.type) for v in (*inputs, *computed)}
    nodes = [
        Node(Transpose(to_first(len(v.type.shape))), (new,), (inner[v],), v.name)
        for v, new in inputs.items()
    ]
    for node in graph.nodes:
        if any(v in inner for v in (*node.inputs, *node.outputs)):
            node = replace(
                node,
                inputs=tuple(inner.get(v, v) for v in node.inputs),
                outputs=tuple(inner.get(v, v) for v in node.outputs),
            )
        nodes.append(node)
    results = dict(inputs)
    for value in images:
        results[value] = _turned(value, names.unique(value.name) if value in kept else value.name)
        if value.data is None:
            op = Transpose(to_last(len(value.type.shape)))
            nodes.append(Node(op, (inner.get(value, value),), (results[value],), value.name))
    return replace(
        graph,
        inputs=tuple(inputs.get(v, v) for v in graph.inputs),
        outputs=tuple(results.get(v, v) for v in graph.outputs),
        nodes=tuple(nodes),
        states=tuple(replace(s, after=inner.get(s.after, s.after)) for s in graph.states),
        open={
            v.name: _moved(graph.open[v.name]) if v in inputs else graph.open[v.name]
            for v in graph.inputs
            if v.name in graph.open
        },
    )


def channels_first_shapes(shapes: Shapes) -> Shapes:
    """Shapes of inputs [N, ..., C] as the file has them."""
    return {
        name: tuple(shape[axis] for axis in to_first(len(shape)))
        if len(shape) in IMAGE_RANKS
        else shape
        for name, shape in shapes.items()
    }


def _is_image(value: Value) -> bool:
    return len(value.type.shape) in IMAGE_RANKS


def _moved(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in to_last(len(shape)))


def _turned(value: Value, name: str) -> Value:
    """A value with its channels last."""
    t, perm = value.type, to_last(len(value.type.shape))
    quant = t.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=perm.index(quant.axis))
    data = None if value.data is None else np.asarray(value.data.transpose(perm), order="C")
    if data is not None:
        data.setflags(write=False)
    return Value(name, TensorType(_moved(t.shape), t.dtype, quant), data)
