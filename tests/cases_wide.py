"""Graphs of integer products in fixed point, or of computed operands, for tests of programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cases_images import Case
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType
from edgewise.ops import (
    Activation,
    BatchMatMul,
    Cast,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Less,
    Mean,
    Op,
    Softmax,
    Sum,
    TransposeConv,
)
from networks import Builder


def wide(
    op: Op,
    shape: Sequence[int],
    weights: Sequence[int],
    axis: int,
    *,
    bias: DType | None = DType.INT64,
    zero: int = 0,
    scale: float = 2.0**-9,
    per_tensor: bool = False,
    limit: int = 2**22,
    extreme: bool = False,
) -> Case:
    """A product of int16 activations by int8 weights; biases up to ``limit``."""

    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType(tuple(shape), DType.INT16, QParams.per_tensor(2.0**-12, zero)))
        n = weights[axis]
        w = b.weights(weights, axis=None if per_tensor else axis, zero_point=3 if zero else 0)
        if extreme:
            w = b.constant(np.full(weights, -128, np.int8), w.type.quant)
        inputs = [x, w]
        if bias is not None:
            inputs.append(b.constant(b.rng.integers(-limit, limit, n).astype(bias.numpy)))
        return b.graph(b.node(op, inputs, QParams.per_tensor(scale, zero)))

    return make


def computed(
    op: Op,
    *shapes: tuple[int, ...],
    dtypes: tuple[DType, DType] = (DType.INT8, DType.INT8),
    scale: float = 0.1,
    bias: DType | None = None,
) -> Case:
    """A product of two inputs, and of biases that are computed too."""

    def make(_: DType) -> Graph:
        b = Builder()
        inputs = []
        for shape, dtype in zip(shapes, dtypes, strict=True):
            zero = 7 if dtype is DType.INT8 else 0
            inputs.append(b.input(TensorType(shape, dtype, QParams.per_tensor(0.01, zero))))
        if bias is not None:
            small = b.input(TensorType((shapes[1][0],), DType.INT16))
            inputs.append(b.node(Cast(bias), [small]))
        return b.graph(b.node(op, inputs, QParams.per_tensor(scale, 0)))

    return make


def rows(op: Op, scale: float, *shape: int, zero: int = 0, step: float = 2.0**-12) -> Case:
    """An operator of one tensor of int16."""

    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType(shape, DType.INT16, QParams.per_tensor(step, zero)))
        return b.graph(b.node(op, [x], QParams.per_tensor(scale, zero)))

    return make


def both(op: Op, *shapes: Sequence[int]) -> Case:
    """An operator of two tensors of int16, of one scale."""

    def make(_: DType) -> Graph:
        b = Builder()
        quant = QParams.per_tensor(2.0**-10, 0)
        inputs = [b.input(TensorType(tuple(s), DType.INT16, quant)) for s in shapes]
        return b.graph(b.node(op, inputs, None))

    return make


BOTH = (DType.INT16, DType.INT16)
MIXED = (DType.INT16, DType.INT8)
SAME = (1, 1, 1, 1)
CONV = ((1, 7, 6, 5), (11, 3, 3, 5), 0)
DENSE = ((3, 40), (19, 40), 0)
DEPTHWISE = ((2, 7, 6, 21), (1, 3, 3, 21), 3)
WIDE: dict[str, Case] = {
    "int16 conv": wide(Conv2D(padding=SAME), *CONV),
    "int16 conv int32": wide(Conv2D(padding=SAME), *CONV, bias=DType.INT32),
    "int16 conv no bias": wide(Conv2D(stride=(2, 1)), *CONV, bias=None, scale=2.0**-6),
    "int16 conv zero points": wide(Conv2D(padding=SAME), *CONV, zero=-77),
    "int16 conv dilated": wide(Conv2D(dilation=(2, 2), activation=Activation.RELU6), *CONV),
    "int16 conv groups": wide(Conv2D(padding=SAME), (1, 4, 4, 12), (18, 3, 3, 4), 0),
    "int16 conv 1x1 one scale": wide(Conv2D(), (1, 5, 3, 8), (70, 1, 1, 8), 0, per_tensor=True),
    "int16 conv deep": wide(Conv2D(padding=SAME), (1, 3, 3, 900), (5, 3, 3, 900), 0, scale=0.1),
    "int16 conv extreme": wide(
        Conv2D(), (1, 3, 3, 700), (3, 2, 2, 700), 0, scale=1.0, extreme=True
    ),
    "int16 dense": wide(FullyConnected(), *DENSE),
    "int16 dense one scale": wide(FullyConnected(), *DENSE, per_tensor=True),
    "int16 dense no bias": wide(FullyConnected(), *DENSE, bias=None),
    "int16 dense deep": wide(FullyConnected(), (2, 5001), (3, 5001), 0, scale=2.0, extreme=True),
    "int16 depthwise": wide(DepthwiseConv2D(padding=SAME), *DEPTHWISE),
    "int16 depthwise int32": wide(DepthwiseConv2D(stride=(2, 2)), *DEPTHWISE, bias=DType.INT32),
    "int16 depthwise zero points": wide(DepthwiseConv2D(padding=SAME), *DEPTHWISE, zero=5),
    "int16 depthwise x3": wide(DepthwiseConv2D(padding=SAME), (1, 6, 5, 2), (1, 3, 3, 6), 3),
    "int16 depthwise 1 to 8": wide(DepthwiseConv2D(), (1, 9, 9, 1), (1, 3, 4, 8), 3),
    "int16 transpose conv 2x2": wide(
        TransposeConv((2, 2), output_size=(8, 10)), (2, 4, 5, 6), (7, 2, 2, 6), 0
    ),
    "int16 transpose conv 3x3": wide(
        TransposeConv((2, 2), (0, 1, 0, 1), (8, 10)), (1, 4, 5, 6), (7, 3, 3, 6), 0
    ),
    "int8 batch matmul": computed(BatchMatMul(), (2, 3, 5, 7), (2, 3, 7, 9)),
    "int8 batch matmul adjoint": computed(BatchMatMul(True, True), (3, 7, 5), (3, 33, 7)),
    "int8 batch matmul broadcast": computed(BatchMatMul(), (4, 1, 5, 70), (3, 70, 33), scale=0.3),
    "int16 less": both(Less(), (2, 5, 21), (5, 1)),
    "int16 mean": rows(Mean((1, 2), True), 2.0**-13, 2, 5, 7, 21),
    "int16 mean rows": rows(Mean((3,)), 0.0001, 2, 5, 7, 21, zero=9),
    "int16 mean of many": rows(Mean((1, 2), False), 2.0**-16, 1, 90, 60, 3),
    "int16 sum": rows(Sum((1, 2), True), 0.003, 2, 5, 7, 21),
    "int16 sum rows": rows(Sum((3,)), 2.0**-12, 2, 5, 7, 21, zero=-7),
    "int16 softmax": rows(Softmax(), 2.0**-15, 2, 3, 40),
    "int16 softmax, far apart": rows(Softmax(1.5), 2.0**-15, 5, 3, step=0.001),
    "int16 softmax of one": rows(Softmax(), 2.0**-15, 4, 1),
    "int16 batch matmul": computed(BatchMatMul(), (2, 5, 17), (2, 17, 9), dtypes=BOTH, scale=400.0),
    "int16 batch matmul by int8": computed(
        BatchMatMul(False, True), (2, 5, 17), (2, 9, 17), dtypes=MIXED, scale=2.0
    ),
    "int8 computed weights": computed(FullyConnected(), (3, 4, 17), (40, 17), bias=DType.INT32),
    "int16 computed weights": computed(
        FullyConnected(Activation.RELU),
        (3, 17),
        (40, 17),
        dtypes=MIXED,
        scale=2.0,
        bias=DType.INT64,
    ),
}
