"""Channels that are shuffled in a graph are shuffled in the weights behind it instead."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph import Graph, Node, Value
from ..ops import (
    AveragePool2D,
    Binary,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    MirrorPad,
    Op,
    Pad,
    Reduction,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    StridedSlice,
    Transpose,
    TransposeConv,
    Unary,
)
from .layout_forms import constant
from .rewrite import drop_dead

Places: TypeAlias = "npt.NDArray[np.intp]"
"""Where each channel of a value lies among those that are computed now."""

Step: TypeAlias = "tuple[tuple[Value, ...] | Op, Places | None]"
"""A node's inputs or operator now, and where its output's channels lie, if not in their places."""


def absorb_shuffles(graph: Graph) -> tuple[Graph, list[Value]]:
    """Leave out TRANSPOSEs that only shuffle channels, where all weights behind can be shuffled.

    Given also are the results of those TRANSPOSEs.

    Given:
        %b = RESHAPE[shape=(1, 8, 8, 2, 12)](%a) : float32[1x8x8x2x12]
        %c = TRANSPOSE[perm=(0, 1, 2, 4, 3)](%b)
        %d = RESHAPE[shape=(1, 8, 8, 24)](%c)
        %e = DEPTHWISE_CONV_2D(%d, @w)
        %f = CONV_2D(%e, @w2)
    Result:
        %e = DEPTHWISE_CONV_2D(%a, @w)
        %f = CONV_2D(%e, @w2)
    """
    producers, users = graph.producers(), graph.users()
    position = {node: i for i, node in enumerate(graph.nodes)}
    results = set(graph.results)
    changed: dict[Node, Node] = {}
    forwarded: dict[Value, Value] = {}
    absorbed: list[Value] = []
    for node in graph.nodes:
        found = _shuffle(node, producers, users) if isinstance(node.op, Transpose) else None
        if found is None:
            continue
        before, after, places = found
        moved = {after: places}
        pending = [position[user] for user in users.get(after, ())]
        heapq.heapify(pending)
        new: dict[Node, Node] | None = {}
        if after in results:
            continue
        while pending and new is not None:
            user = graph.nodes[heapq.heappop(pending)]
            if user in new:
                continue
            step = _step(changed.get(user, user), moved)
            if step is None or (step[1] is not None and user.outputs[0] in results):
                new = None
                break
            now, out = step
            what = {"op": now} if isinstance(now, Op) else {"inputs": now}
            new[user] = replace(changed.get(user, user), **what)
            if out is not None:
                moved[user.outputs[0]] = out
                for reader in users.get(user.outputs[0], ()):
                    heapq.heappush(pending, position[reader])
        if new is not None:
            changed |= new
            forwarded[after] = before
            absorbed += node.outputs
    if not absorbed:
        return graph, []
    nodes = [changed.get(node, node) for node in graph.nodes]
    nodes = [
        replace(node, inputs=tuple(forwarded.get(v, v) for v in node.inputs))
        if any(v in forwarded for v in node.inputs)
        else node
        for node in nodes
    ]
    return drop_dead(graph.with_nodes(nodes)), absorbed


def _shuffle(
    node: Node, producers: Mapping[Value, Node], users: Mapping[Value, list[Node]]
) -> tuple[Value, Value, Places] | None:
    """What a RESHAPE, this TRANSPOSE and a RESHAPE shuffle the last axis of, into what, and how."""
    assert isinstance(node.op, Transpose)
    before = producers.get(node.inputs[0])
    behind = users.get(node.outputs[0], [])
    if before is None or not isinstance(before.op, Reshape) or len(behind) != 1:
        return None
    if not isinstance(behind[0].op, Reshape):
        return None
    x, y, parted = before.inputs[0], behind[0].outputs[0], node.inputs[0].type.shape
    lead = next(
        (i for i in range(len(parted)) if math.prod(parted[i:]) == x.type.shape[-1]), len(parted)
    )
    perm = node.op.perm
    if x.type != y.type or x.is_constant or perm[:lead] != tuple(range(lead)) or not y.type.shape:
        return None
    if lead == len(parted) or (x.type.quant is not None and x.type.quant.axis is not None):
        return None
    channels = np.arange(x.type.shape[-1]).reshape(parted[lead:])
    return x, y, channels.transpose([a - lead for a in perm[lead:]]).reshape(-1)


def _step(node: Node, moved: Mapping[Value, Places]) -> Step | None:
    """How a node runs whose operands of ``moved`` have their channels in other places."""
    if len(node.outputs) != 1 or any(
        v.type.quant is not None and v.type.quant.axis is not None
        for v in (*(v for v in node.inputs if not v.is_constant), *node.outputs)
    ):
        return None
    for kinds, rule in STEPS:
        if isinstance(node.op, kinds):
            return rule(node.op, node, moved)
    return None


def _taken(value: Value, places: Places, axis: int) -> Value:
    """A constant whose entries along an axis go where the channels are."""
    assert value.data is not None
    order = np.argsort(places)
    t = value.type
    if t.quant is not None and t.quant.axis == axis and len(t.quant.scale) > 1:
        scale, zero = ([v[i] for i in order] for v in (t.quant.scale, t.quant.zero_point))
        t = replace(t, quant=replace(t.quant, scale=tuple(scale), zero_point=tuple(zero)))
    return constant(value, t, value.data.take(order, axis=axis))


def _each(op: Op, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    """Operators of each channel alone, whose last axis is the channels'."""
    return node.inputs, moved[node.inputs[0]]


def _same_last(op: Any, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    (x,), (y,) = node.inputs, node.outputs
    last = len(x.type.shape) - 1
    if isinstance(op, Reduction) and last in op.axes:
        return None
    if isinstance(op, Pad | MirrorPad) and any(op.paddings[last]):
        return None
    if x.type.shape[-1:] != y.type.shape[-1:]:
        return None
    return node.inputs, moved[x]


def _slice(op: StridedSlice, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    """Channels that are taken equally far apart, wherever they are."""
    last, places = len(op.size) - 1, moved[node.inputs[0]]
    if last in op.shrink_axes or not op.size[last]:
        return None
    begin, size, stride = op.begin[last], op.size[last], op.strides[last]
    if (begin, size, stride) == (0, len(places), 1):
        return node.inputs, places
    taken = places[begin + stride * np.arange(size)]
    steps = set(np.diff(taken).tolist())
    if len(steps) > 1:
        return None
    strides = (*op.strides[:last], steps.pop() if steps else 1)
    return replace(op, begin=(*op.begin[:last], int(taken[0])), strides=strides), None


def _broadcast(op: Op, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    places = next(moved[v] for v in node.inputs if v in moved)
    if node.outputs[0].type.shape[-1] != len(places):
        return None
    inputs = []
    for value in node.inputs:
        if value in moved:
            if not np.array_equal(moved[value], places):
                return None
        elif value.type.shape[-1:] not in ((), (1,)):
            if not value.is_constant:
                return None
            value = _taken(value, places, len(value.type.shape) - 1)
        inputs.append(value)
    return tuple(inputs), places


def _depthwise(op: Op, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    x, weights, *bias = node.inputs
    places = moved.get(x)
    if places is None or not all(v.is_constant for v in node.inputs[1:]):
        return None
    if weights.type.shape[3] != len(places):
        return None
    return (x, _taken(weights, places, 3), *(_taken(b, places, 0) for b in bias)), places


def _product(op: Op, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    """Products of all channels take them wherever they are."""
    x, weights, *rest = node.inputs
    places = moved.get(x)
    last = len(weights.type.shape) - 1
    if places is None or not weights.is_constant or weights.type.shape[last] != len(places):
        return None
    if x.type.shape[-1] != len(places) or any(v in moved for v in rest):
        return None
    return (x, _taken(weights, places, last), *rest), None


def _joined(op: Concatenation, node: Node, moved: Mapping[Value, Places]) -> Step | None:
    last = len(node.outputs[0].type.shape) - 1
    if op.axis != last:
        every = [moved.get(v) for v in node.inputs]
        first = every[0]
        if first is None or any(p is None or not np.array_equal(p, first) for p in every):
            return None
        return node.inputs, first
    start, parts = 0, []
    for value in node.inputs:
        size = value.type.shape[last]
        parts.append(start + moved.get(value, np.arange(size)))
        start += size
    return node.inputs, np.concatenate(parts)


STEPS: tuple[tuple[tuple[type[Op], ...], Callable[..., Step | None]], ...] = (
    ((Unary, AveragePool2D, MaxPool2D, ResizeBilinear, ResizeNearestNeighbor), _each),
    ((Reduction, Pad, MirrorPad), _same_last),
    ((StridedSlice,), _slice),
    ((Binary,), _broadcast),
    ((DepthwiseConv2D,), _depthwise),
    ((Conv2D, FullyConnected, TransposeConv), _product),
    ((Concatenation,), _joined),
)
"""What a shuffle passes through, and what takes it."""
