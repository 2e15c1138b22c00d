"""Graphs of one operator over float32 images and axes, for the tests of programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType
from edgewise.ops import Activation, Op
from networks import Builder, quantized

F32 = DType.FLOAT32
Case = Callable[[DType], Graph]
"""Takes the 8-bit type of the instruction set's activations."""


def real(op: Op, shape: Sequence[int] = (1, 5, 7, 9), dtype: DType = F32) -> Case:
    """An operator of one operand that is not quantized."""

    def make(_: DType) -> Graph:
        b = Builder()
        return b.graph(b.node(op, [b.input(TensorType(tuple(shape), dtype))]))

    return make


def depthwise(
    shape: Sequence[int],
    window: tuple[int, int] = (3, 3),
    multiplier: int = 1,
    **attributes: object,
) -> Case:
    def make(_: DType) -> Graph:
        b = Builder()
        n = shape[3] * multiplier
        x = b.input(TensorType(tuple(shape), F32))
        w = b.constant(b.rng.normal(size=(1, *window, n)).astype(np.float32))
        bias = b.constant(b.rng.normal(size=n).astype(np.float32))
        return b.graph(b.node(ops.DepthwiseConv2D(**attributes), [x, w, bias]))  # type: ignore[arg-type]

    return make


def followed(op: Op, second: Sequence[int] | None = None) -> Case:
    """A depthwise convolution and what runs in its epilogue, with an operand of its own."""

    def make(dtype: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType((2, 6, 5, 7), F32))
        w = b.constant(b.rng.normal(size=(1, 3, 3, 7)).astype(np.float32))
        y = b.node(ops.DepthwiseConv2D(padding=SAME), [x, w])
        if second is None:
            return b.graph(b.node(op, [y]))
        if len(second) == 1:
            return b.graph(
                b.node(op, [y, b.constant(b.rng.normal(size=second).astype(np.float32))])
            )
        return b.graph(b.node(op, [b.input(TensorType(tuple(second), F32)), y]))

    return make


SAME = (1, 1, 1, 1)


def hybrid(channels: int, multiplier: int = 1) -> Case:
    """A depthwise convolution of float32 by int8 weights."""

    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType((2, 6, 5, channels), F32))
        n = channels * multiplier
        w = b.weights((1, 3, 3, n), axis=3)
        bias = b.constant(b.rng.normal(size=n).astype(np.float32))
        op = ops.DepthwiseConv2D(padding=SAME, stride=(2, 1), activation=Activation.RELU)
        return b.graph(b.node(ops.HardSwish(), [b.node(op, [x, w, bias])]))

    return make


def bytewise(op: Op, scale: float | None = None, wide: bool = False) -> Case:
    """An operator of 8-bit values, or int16; its output has their quantization or this scale."""

    def make(dtype: DType) -> Graph:
        b = Builder()
        t = quantized((2, 5, 6, 19), DType.INT16 if wide else dtype, zero_point=0 if wide else None)
        assert t.quant is not None
        out = t.quant if scale is None else QParams.per_tensor(scale, t.quant.zero_point[0] + 3)
        return b.graph(b.node(op, [b.input(t)], out))

    return make


IMAGES: dict[str, Case] = {
    "f32 depthwise 3x3": depthwise((1, 9, 8, 37), padding=SAME, activation=Activation.RELU6),
    "f32 depthwise 3x3 s2": depthwise((2, 9, 8, 24), padding=(0, 1, 0, 1), stride=(2, 2)),
    "f32 depthwise 5x5": depthwise((1, 7, 9, 16), (5, 5), padding=(2, 2, 2, 2)),
    "f32 depthwise dilated": depthwise((1, 9, 9, 8), padding=(2, 2, 2, 2), dilation=(2, 2)),
    "f32 depthwise narrow": depthwise((1, 4, 5, 3), padding=SAME),
    "f32 depthwise x3": depthwise((1, 5, 6, 7), multiplier=3, padding=SAME),
    "f32 depthwise 1 to 8": depthwise((1, 12, 9, 1), (5, 4), multiplier=8),
    "f32 depthwise aliasing": depthwise((1, 3, 4, 128), padding=SAME),
    "hybrid depthwise": hybrid(21),
    "hybrid depthwise x2": hybrid(3, 2),
    "f32 depthwise prelu": followed(ops.PRelu(), (7,)),
    "f32 depthwise add": followed(ops.Add(Activation.RELU6), (2, 6, 5, 7)),
    "f32 depthwise hard swish": followed(ops.HardSwish()),
    "f32 average pool": real(ops.AveragePool2D((3, 2), (2, 1), (1, 1, 0, 1)), (1, 6, 8, 19)),
    "f32 average pool global": real(ops.AveragePool2D((6, 8)), (2, 6, 8, 19)),
    "f32 average pool clamped": real(
        ops.AveragePool2D((6, 8), activation=Activation.RELU), (1, 6, 8, 4)
    ),
    "f32 max pool": real(ops.MaxPool2D((3, 3), (2, 2), (0, 1, 0, 1)), (1, 6, 8, 35)),
    "f32 mean": real(ops.Mean((1, 2), True), (2, 5, 6, 19)),
    "f32 mean rows": real(ops.Mean((1,)), (2, 5, 6, 19)),
    "f32 mean mixed": real(ops.Mean((1, 3)), (2, 5, 6, 37)),
    "f32 mean of all": real(ops.Mean((0, 1, 2)), (3, 4, 41)),
    "f32 mean, two steps": real(ops.Mean((1, 2)), (1, 96, 256, 3)),
    "f32 mean of all, two steps": real(ops.Mean((0, 1)), (256, 300)),
    "f32 sum": real(ops.Sum((2,), True), (3, 4, 50)),
    "f32 product": real(ops.ReduceProd((1,)), (3, 4, 5)),
    "f32 greatest": real(ops.ReduceMax((0, 2)), (3, 4, 5)),
    "f32 least": real(ops.ReduceMin((3,)), (2, 3, 1, 70)),
    "f32 sum of pairs": real(ops.Sum((3,)), (2, 3, 65, 2)),
    "f32 mean of threes": real(ops.Mean((1,), True), (300, 3)),
    "f32 maximum of fours": real(ops.ReduceMax((2,)), (2, 256, 4)),
    "i32 sum of pairs": real(ops.Sum((1,)), (301, 2), DType.INT32),
    "f32 sum of nothing": real(ops.Sum(()), (3, 5)),
    "i32 sum": real(ops.Sum((0,)), (3, 40), DType.INT32),
    "i32 product": real(ops.ReduceProd((1,)), (3, 40), DType.INT32),
    "i64 greatest": real(ops.ReduceMax((1,)), (3, 40), DType.INT64),
    "mean mixed": bytewise(ops.Mean((1, 3)), 0.03),
    "greatest": bytewise(ops.ReduceMax((1, 2), True)),
    "least channel": bytewise(ops.ReduceMin((3,))),
    "f32 arg max": real(ops.ArgMax(3, DType.INT64)),
    "f32 arg max rows": real(ops.ArgMax(1), (2, 5, 7, 19)),
    "f32 arg min of columns": real(ops.ArgMin(0), (40, 3)),
    "f32 arg max of one": real(ops.ArgMax(2), (3, 5, 6, 1)),
    "i32 arg min": real(ops.ArgMin(1, DType.INT64), (4, 21), DType.INT32),
    "arg min": bytewise(ops.ArgMin(3)),
    "arg min rows": bytewise(ops.ArgMin(1)),
    "f32 resize bilinear": real(ops.ResizeBilinear((11, 5))),
    "f32 resize bilinear corners": real(ops.ResizeBilinear((11, 15), align_corners=True)),
    "f32 resize bilinear centers": real(ops.ResizeBilinear((4, 17), half_pixel_centers=True)),
    "f32 resize nearest": real(ops.ResizeNearestNeighbor((11, 5))),
    "f32 softmax": real(ops.Softmax(0.7), (2, 3, 21)),
    "f32 softmax of two": real(ops.Softmax(), (1, 16, 21, 2)),
    "f32 softmax of many": real(ops.Softmax(), (1, 16, 21, 5)),
    "f32 softmax narrow": real(ops.Softmax(), (9, 3)),
    "f32 log softmax": real(ops.LogSoftmax(), (2, 3, 21)),
    "f32 l2 normalization": real(ops.L2Normalization(), (2, 3, 4, 21)),
    "f32 local response": real(ops.LocalResponseNormalization(2, 1.0, 0.3, 0.75), (1, 3, 4, 21)),
    "f32 local response wide": real(
        ops.LocalResponseNormalization(50, 2.0, 0.1, 0.5), (1, 3, 4, 5)
    ),
    "f32 cumsum": real(ops.Cumsum(1), (3, 5, 21)),
    "f32 cumsum of rows": real(ops.Cumsum(2, exclusive=True, reverse=True), (3, 5, 21)),
    "i32 cumsum": real(ops.Cumsum(0, reverse=True), (3, 5, 21), DType.INT32),
    "i64 cumsum": real(ops.Cumsum(1, exclusive=True), (3, 50), DType.INT64),
    "f32 l2 pool": real(ops.L2Pool2D((3, 2), (2, 1), (1, 1, 0, 1)), (1, 6, 8, 19)),
    "i16 average pool": bytewise(ops.AveragePool2D((3, 2), (2, 1), (1, 1, 0, 1)), wide=True),
    "i16 max pool": bytewise(ops.MaxPool2D((3, 2), (2, 1), (1, 1, 0, 1)), wide=True),
    "sum": bytewise(ops.Sum((1, 2)), 0.9),
    "any": real(ops.ReduceAny((1,)), (3, 40), DType.BOOL),
    "all": real(ops.ReduceAll((0,)), (3, 40), DType.BOOL),
}
