"""Operators as TensorFlow Lite has them: explicit paddings, activations that it does not fuse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ..dtype import DType
from ..graph import Graph, Node, Value
from ..ops import (
    Abs,
    Activation,
    Add,
    Atan2,
    AveragePool2D,
    BatchMatMul,
    BitwiseAnd,
    BroadcastTo,
    Cast,
    Concatenation,
    Control,
    Conv2D,
    Conv3D,
    Conv3DTranspose,
    Densify,
    DepthwiseConv2D,
    Div,
    Equal,
    Greater,
    GreaterEqual,
    If,
    L2Pool2D,
    Less,
    LessEqual,
    MaxPool2D,
    MaxPoolingWithArgmax2D,
    Mean,
    Mul,
    Neg,
    NotEqual,
    Op,
    Pad,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Reshape,
    Reverse,
    ShiftLeft,
    StridedSlice,
    Sub,
    Sum,
    TopK,
    TransposeConv,
    While,
)
from ..passes.rewrite import Replacement, Sweep, fresh_name, rewrite
from .tflite_call import ACTIVATIONS, SAME, by_sides, padding

Pads: TypeAlias = "Sequence[tuple[int, int]]"

CLAMPS: dict[Activation, Op] = {
    Activation.RELU: Relu(),
    Activation.RELU6: Relu6(),
    Activation.RELU_N1_TO_1: ReluN1To1(),
    Activation.RELU_0_TO_1: Relu0To1(),
}
UNFUSED = (BatchMatMul, Concatenation)
"""Operators that TensorFlow Lite fuses no activation with."""

BYTES, NARROW = (DType.INT8, DType.UINT8), (DType.INT8, DType.UINT8, DType.INT16)
WIDENED: Mapping[type[Op], Sequence[DType]] = {
    **dict.fromkeys((Abs, Add, Mean, Mul, Neg, Sum), BYTES),
    **dict.fromkeys((Div, Sub), NARROW),
    **dict.fromkeys((Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual), BYTES),
}
"""Operators that take these types for quantized ones; LiteRT aborts where they are not."""

PADDED = (Conv2D, DepthwiseConv2D, Conv3D)
TRANSPOSED = (TransposeConv, Conv3DTranspose)
POOLS = (AveragePool2D, L2Pool2D, MaxPool2D)


def legalize(graph: Graph, explicit: bool = False) -> Graph:
    """The graph in operators that a .tflite file can have; what has none there stays as it is.

    Paddings that are neither SAME nor VALID become PAD, the result of a transposed convolution is
    cut out of a larger one, and activations that are not fused become operators.

    Given:
        %b = MAX_POOL_2D[filter=(3, 3), padding=(1, 1, 1, 1)](%a) : float32[1x8x8x2]
    Result:
        %p = PAD[paddings=((0, 0), (1, 1), (1, 1), (0, 0)), value=-inf](%a) : float32[1x10x10x2]
        %b = MAX_POOL_2D[filter=(3, 3)](%p)

    Padding does not count in an average. Of floats, the mean over zeros too is multiplied by a
    constant; integers stay as they are.

    Given:
        %b = AVERAGE_POOL_2D[filter=(3, 3), padding=(1, 1, 1, 1)](%a) : float32[1x8x8x2]
    Result:
        %p = PAD[paddings=((0, 0), (1, 1), (1, 1), (0, 0))](%a) : float32[1x10x10x2]
        %m = AVERAGE_POOL_2D[filter=(3, 3)](%p)
        %b = MUL(%m, @counts)

    With ``explicit``, pads of strided windows that are SAME become PAD too: SAME means other pads
    of another size.
    """
    names = {v.name for v in graph.sources}
    names.update(v.name for node in graph.nodes for v in node.outputs)
    rules = _Rules(names, explicit)
    graph = rewrite(graph, (Control,), _inner)
    graph = rewrite(graph, (Densify,), lambda node, sweep: node.inputs)
    graph = rewrite(graph, (Op,), rules.unfuse)
    graph = rewrite(graph, (Atan2, BitwiseAnd, ShiftLeft), rules.spread)
    graph = rewrite(graph, tuple(WIDENED), rules.widen)
    graph = rewrite(graph, (Reverse,), rules.part)
    graph = rewrite(graph, (TopK,), rules.narrow)
    graph = rewrite(graph, PADDED, rules.pad)
    graph = rewrite(graph, POOLS, rules.pool)
    return rewrite(graph, TRANSPOSED, rules.cut)


def legalize_explicitly(graph: Graph) -> Graph:
    """`legalize` with ``explicit``.

    Given:
        %b = MAX_POOL_2D[filter=(3, 3), stride=(2, 2), padding=(0, 1, 0, 1)](%a)
    Result:
        %p = PAD[paddings=((0, 0), (0, 1), (0, 1), (0, 0)), value=-inf](%a)
        %b = MAX_POOL_2D[filter=(3, 3), stride=(2, 2)](%p)
    """
    return legalize(graph, explicit=True)


def add_biases(graph: Graph) -> Graph:
    """A bias of zeros for every convolution that has none, which LiteRT's own kernels need.

    Given:
        %b = CONV_2D(%a, @w) : float32[1x6x6x2]
    Result:
        const @zeros : float32[2]
        %b = CONV_2D(%a, @w, @zeros)
    """
    names = {v.name for v in graph.constants}

    def add(node: Node, sweep: Sweep) -> Node | None:
        if len(node.inputs) != 2:
            return None
        x, w = node.input_types
        dtypes = {DType.FLOAT32: DType.FLOAT32, DType.INT16: DType.INT64}
        channels = w.shape[3] if isinstance(node.op, DepthwiseConv2D) else w.shape[0]
        zeros = np.zeros(channels, dtypes.get(x.dtype, DType.INT32).numpy)
        name = fresh_name(f"{node.outputs[0].name}/bias", names)
        return replace(node, inputs=(*node.inputs, Value.constant(name, zeros)))

    return rewrite(graph, (Conv2D, DepthwiseConv2D), add)


def _inner(node: Node, sweep: Sweep) -> Node:
    op = node.op
    if isinstance(op, If):
        return replace(node, op=If(_body(op.then), _body(op.otherwise)))
    assert isinstance(op, While)
    return replace(node, op=While(_body(op.test), _body(op.body)))


def _body(graph: Graph) -> Graph:
    """A graph that a node holds; LiteRT loses a result that it gives twice."""
    graph = legalize(graph)
    names = {v.name for node in graph.nodes for v in node.outputs} | {v.name for v in graph.inputs}
    nodes, outputs = list(graph.nodes), list(graph.outputs)
    for i, value in enumerate(outputs):
        if value in outputs[:i]:
            outputs[i] = Value(fresh_name(value.name, names), value.type)
            nodes.append(Node(Reshape(value.type.shape), (value,), (outputs[i],), value.name))
    return graph.with_nodes(nodes, outputs)


class _Rules:
    """Rules of `rewrite` that put new nodes before a node; ``names`` are taken."""

    def __init__(self, names: set[str], explicit: bool) -> None:
        self.names, self.explicit = names, explicit

    def fits(self, pads: Pads, size: Sequence[int], taps: Sequence[int], op: Any) -> bool:
        """Whether the pads of a window are those of VALID, or of SAME where that may stay."""
        code = padding(pads, size, taps, op.stride)
        if code == SAME and self.explicit:
            return all(s == 1 for s in op.stride)
        return code is not None

    def before(self, sweep: Sweep, node: Node, op: Op, inputs: Sequence[Value]) -> Value:
        """The result of a new node, quantized as its operator says, or else as ``node``'s."""
        (inferred,) = op.infer([v.type for v in inputs])
        if inferred.quant is None and inferred.dtype is node.outputs[0].type.dtype:
            inferred = replace(inferred, quant=node.outputs[0].type.quant)
        name = fresh_name(f"{node.outputs[0].name}/{op.name.lower()}", self.names)
        value = Value(name, inferred)
        sweep.append(Node(op, tuple(inputs), (value,), node.origin))
        return value

    def unfuse(self, node: Node, sweep: Sweep) -> Replacement:
        given = getattr(node.op, "activation", None)
        if not isinstance(given, Activation) or given is Activation.NONE:
            return None
        if given in ACTIVATIONS and not isinstance(node.op, UNFUSED):
            return None
        plain: Any = replace(node.op, activation=Activation.NONE)  # type: ignore[call-arg]
        if len(node.outputs) != 1:
            return None
        value = self.before(sweep, node, plain, node.inputs)
        return replace(node, op=CLAMPS[given], inputs=(value,))

    def spread(self, node: Node, sweep: Sweep) -> Replacement:
        """ATAN2 and StableHLO's operators take operands of one shape."""
        shape = node.outputs[0].type.shape
        if all(v.type.shape == shape for v in node.inputs):
            return None
        op = BroadcastTo(shape)
        inputs = (
            v if v.type.shape == shape else self.before(sweep, node, op, [v]) for v in node.inputs
        )
        return replace(node, inputs=tuple(inputs))

    def widen(self, node: Node, sweep: Sweep) -> Replacement:
        """Plain integers of few bits are computed with in 32."""
        op: Any = node.op
        x, y = node.input_types[0], node.outputs[0].type
        if x.quant is not None or x.dtype not in WIDENED[type(op)]:
            return None
        inputs = [self.before(sweep, node, Cast(DType.INT32), [v]) for v in node.inputs]
        if y.dtype is not x.dtype:
            return replace(node, inputs=tuple(inputs))
        wide = self.before(sweep, node, op, inputs)
        return replace(node, op=Cast(y.dtype), inputs=(wide,))

    def part(self, node: Node, sweep: Sweep) -> Replacement:
        """LiteRT reverses axes that lie side by side."""
        op: Any = node.op
        by_gap = itertools.groupby(enumerate(sorted(op.axes)), lambda place: place[1] - place[0])
        runs = [tuple(axis for _, axis in run) for _, run in by_gap]
        if len(runs) < 2:
            return None
        x = node.inputs[0]
        for run in runs[:-1]:
            x = self.before(sweep, node, Reverse(run), [x])
        return replace(node, op=Reverse(runs[-1]), inputs=(x,))

    def narrow(self, node: Node, sweep: Sweep) -> Replacement:
        """LiteRT has indices of 32 bits."""
        op: Any = node.op
        if op.index_dtype is not DType.INT64:
            return None
        values, indices = node.outputs
        type = replace(indices.type, dtype=DType.INT32)
        small = Value(fresh_name(f"{indices.name}/int32", self.names), type)
        top = replace(node, op=replace(op, index_dtype=DType.INT32), outputs=(values, small))
        sweep.append(top)
        return Node(Cast(DType.INT64), (small,), (indices,), node.origin)

    def pad(self, node: Node, sweep: Sweep) -> Replacement:
        op: Any = node.op
        x, w = node.input_types[:2]
        is_volume = isinstance(op, Conv3D)
        taps = w.shape[:3] if is_volume else w.shape[1:3]
        spans = [(k - 1) * d + 1 for k, d in zip(taps, op.dilation, strict=True)]
        pads = op.padding if is_volume else by_sides(op.padding)
        if self.fits(pads, x.shape[1:-1], spans, op):
            return None
        padded = self.before(sweep, node, Pad(((0, 0), *pads, (0, 0))), node.inputs[:1])
        none: Any = ((0, 0),) * 3 if is_volume else (0, 0, 0, 0)
        return replace(node, op=replace(op, padding=none), inputs=(padded, *node.inputs[1:]))

    def pool(self, node: Node, sweep: Sweep) -> Replacement:
        op: Any = node.op
        x = node.input_types[0]
        pads = by_sides(op.padding)
        if self.fits(pads, x.shape[1:3], op.filter, op):
            return None
        if isinstance(op, MaxPoolingWithArgmax2D):
            return None
        is_max = isinstance(op, MaxPool2D)
        if not is_max and x.dtype is not DType.FLOAT32:
            return None
        lowest = None if not is_max else -math.inf if x.dtype.is_float else x.dtype.range[0]
        padded = self.before(sweep, node, Pad(((0, 0), *pads, (0, 0)), lowest), node.inputs)
        whole = replace(op, padding=(0, 0, 0, 0))
        if is_max:
            return replace(node, op=whole, inputs=(padded,))
        pooled = self.before(sweep, node, replace(whole, activation=Activation.NONE), [padded])
        ratio = math.prod(op.filter) / op.counts(x.shape)
        factors = np.asarray(ratio if isinstance(op, AveragePool2D) else np.sqrt(ratio), np.float32)
        name = fresh_name(f"{node.outputs[0].name}/counts", self.names)
        counts = Value.constant(name, factors)
        return replace(node, op=Mul(op.activation), inputs=(pooled, counts))

    def cut(self, node: Node, sweep: Sweep) -> Replacement:
        op: Any = node.op
        x, w = node.input_types[:2]
        is_volume = isinstance(op, Conv3DTranspose)
        taps = w.shape[:3] if is_volume else w.shape[1:3]
        pads = op.padding if is_volume else by_sides(op.padding)
        spans = [(k - 1) * d + 1 for k, d in zip(taps, _dilation(op), strict=True)]
        if padding(pads, op.output_size, spans, op.stride) is not None:
            return None
        sizes = zip(x.shape[1:-1], spans, op.stride, pads, op.output_size, strict=True)
        whole = tuple(max((n - 1) * s + k, first + out) for n, k, s, (first, _), out in sizes)
        none: Any = ((0, 0),) * 3 if is_volume else (0, 0, 0, 0)
        value = self.before(sweep, node, replace(op, padding=none, output_size=whole), node.inputs)
        rank = len(x.shape)
        begin = (0, *(first for first, _ in pads), 0)
        slice_ = StridedSlice(begin, node.outputs[0].type.shape, (1,) * rank)
        return replace(node, op=slice_, inputs=(value,))


def _dilation(op: Any) -> tuple[int, ...]:
    return op.dilation if isinstance(op, Conv3DTranspose) else (1, 1)
