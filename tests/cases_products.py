"""Graphs of one float32 product, and of what follows it, for the tests of programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cases_images import F32, Case
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType, Value
from edgewise.ops import Activation, Op
from networks import Builder

SAME = (1, 1, 1, 1)


def floats(b: Builder, *shape: int) -> Value:
    return b.constant(b.rng.normal(size=shape).astype(np.float32))


def dynamic(b: Builder, *shape: int, axis: int | None = None) -> Value:
    """int8 weights, which make a product of floats quantize its input."""
    data = b.rng.integers(-127, 128, shape).astype(np.int8)
    n = 1 if axis is None else shape[axis]
    scale = tuple(float(np.float32(s)) for s in b.rng.uniform(0.005, 0.02, n))
    return b.constant(data, QParams(scale, (0,) * n, axis))


def tail(b: Builder, y: Value, *after: str) -> Value:
    """What may run in the epilogue of a product."""
    for name in after:
        match name:
            case "add":
                y = b.node(ops.Add(Activation.RELU), [b.input(y.type), y])
            case "prelu":
                y = b.node(ops.PRelu(), [y, floats(b, 1, 1, y.type.shape[-1])])
            case "one slope":
                y = b.node(ops.PRelu(), [y, floats(b, 1)])
            case "leaky":
                y = b.node(ops.LeakyRelu(0.2), [y])
            case _:
                y = b.node(ops.HardSwish(), [y])
    return y


def conv(
    shape: Sequence[int] = (1, 9, 7, 5),
    out: int = 11,
    kernel: tuple[int, int] = (3, 3),
    groups: int = 1,
    after: Sequence[str] = (),
    int8: bool = False,
    **attributes: Any,
) -> Case:
    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType(tuple(shape), F32))
        size = (out, *kernel, shape[3] // groups)
        w = dynamic(b, *size, axis=0) if int8 else floats(b, *size)
        y = b.node(ops.Conv2D(**attributes), [x, w, floats(b, out)])
        return b.graph(tail(b, y, *after))

    return make


def dense(
    shape: Sequence[int], out: int, int8: bool = False, bias: bool = True, **attrs: Any
) -> Case:
    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType(tuple(shape), F32))
        w = dynamic(b, out, shape[-1]) if int8 else floats(b, out, shape[-1])
        inputs = [x, w, floats(b, out)] if bias else [x, w]
        return b.graph(b.node(ops.FullyConnected(**attrs), inputs))

    return make


def transposed(stride: tuple[int, int], kernel: tuple[int, int], int8: bool = False) -> Case:
    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType((2, 4, 5, 6), F32))
        size = tuple((n - 1) * s + k for n, s, k in zip((4, 5), stride, kernel, strict=True))
        w = dynamic(b, 7, *kernel, 6) if int8 else floats(b, 7, *kernel, 6)
        op = ops.TransposeConv(stride, (0, 0, 0, 0), (size[0], size[1]), Activation.RELU)
        return b.graph(b.node(op, [x, w, floats(b, 7)]))

    return make


def volumes(
    op: Op, shape: Sequence[int], weights: Sequence[int], out: int, bias: bool = True
) -> Case:
    """CONV_3D or CONV_3D_TRANSPOSE to ``out`` channels."""

    def make(_: DType) -> Graph:
        b = Builder()
        x = b.input(TensorType(tuple(shape), F32))
        inputs = [x, floats(b, *weights)] + [floats(b, out)] * bias
        return b.graph(b.node(op, inputs))

    return make


def computed(op: Op, *shapes: tuple[int, ...], constant: bool = False) -> Case:
    """A product of inputs; the last may be a constant."""

    def make(_: DType) -> Graph:
        b = Builder()
        inputs = [b.input(TensorType(s, F32)) for s in shapes[: len(shapes) - constant]]
        if constant:
            inputs.append(floats(b, *shapes[-1]))
        return b.graph(b.node(op, inputs))

    return make


def joined(_: DType) -> Graph:
    """Products that write parts of the channels and of the rows of a joined tensor."""
    b = Builder()
    x = b.input(TensorType((1, 6, 5, 12), F32))
    parts = [b.node(ops.Conv2D(), [x, floats(b, n, 1, 1, 12)]) for n in (3, 8, 17)]
    wide = b.node(ops.Concatenation(3), parts)
    more = b.node(ops.Conv2D(), [x, floats(b, 28, 1, 1, 12), floats(b, 28)])
    return b.graph(b.node(ops.Concatenation(1), [wide, more]))


PRODUCTS: dict[str, Case] = {
    "real conv 1x1": conv(kernel=(1, 1), out=40),
    "real conv 1x1 s2": conv(kernel=(1, 1), stride=(2, 2), shape=(2, 9, 7, 16)),
    "real conv 3x3 same": conv(padding=SAME, activation=Activation.RELU),
    "real conv 3x3 s2": conv((2, 8, 10, 3), padding=(0, 1, 0, 1), stride=(2, 2)),
    "real conv dilated": conv((1, 9, 9, 16), padding=(2, 2, 4, 4), dilation=(2, 4)),
    "real conv grouped": conv((1, 6, 6, 12), out=18, groups=3, padding=SAME),
    "real conv relu6": conv(activation=Activation.RELU6, out=33),
    "real conv wide": conv((1, 3, 3, 300), out=70, kernel=(1, 1)),
    "real conv add": conv((2, 5, 6, 24), out=24, padding=SAME, after=["add"]),
    "real conv prelu": conv(padding=SAME, after=["prelu"]),
    "real conv one slope": conv(padding=SAME, after=["one slope"]),
    "real conv leaky": conv(out=19, after=["leaky"]),
    "real conv hard swish": conv(out=19, after=["hard swish"]),
    "real conv tails": conv(out=16, activation=Activation.RELU6, after=["add", "prelu"]),
    "real conv groups add": conv((1, 4, 4, 12), 18, groups=3, after=["add", "prelu"]),
    "real depthwise 1 to 8": conv((1, 12, 9, 1), out=8, kernel=(5, 4)),
    "real dense": dense((3, 40), 19),
    "real dense row": dense((1, 1, 1, 640), 129, activation=Activation.RELU),
    "real dense, no bias": dense((2, 7), 1, bias=False),
    "real dense 3d": dense((2, 3, 40), 33, keep_num_dims=True),
    "real transpose conv 2x2 s2": transposed((2, 2), (2, 2)),
    "real transpose conv 3x3 s2": transposed((2, 2), (3, 3)),
    "real transpose conv sparse": transposed((3, 3), (2, 1)),
    "real joined": joined,
    "batch matmul": computed(ops.BatchMatMul(), (2, 3, 5, 7), (2, 3, 7, 9)),
    "batch matmul adjoint": computed(ops.BatchMatMul(True, True), (3, 7, 5), (3, 33, 7)),
    "batch matmul broadcast": computed(ops.BatchMatMul(), (4, 1, 5, 7), (3, 7, 33)),
    "batch matmul one": computed(ops.BatchMatMul(), (2, 3, 5, 7), (7, 40)),
    "batch matmul rows": computed(ops.BatchMatMul(), (6, 1, 20), (6, 20, 5)),
    "batch matmul constant": computed(
        ops.BatchMatMul(False, True), (2, 5, 7), (2, 40, 7), constant=True
    ),
    "conv 3d 1x1x1": volumes(ops.Conv3D(), (2, 3, 4, 5, 6), (1, 1, 1, 6, 9), 9),
    "conv 3d": volumes(ops.Conv3D(padding=((1, 1),) * 3), (1, 5, 6, 4, 3), (3, 3, 3, 3, 10), 10),
    "conv 3d strides": volumes(
        ops.Conv3D((2, 1, 3), padding=((0, 1), (1, 0), (2, 1)), activation=Activation.RELU6),
        (2, 5, 6, 7, 4),
        (2, 3, 4, 4, 5),
        5,
        bias=False,
    ),
    "conv 3d dilated": volumes(
        ops.Conv3D(dilation=(2, 3, 2), padding=((2, 2), (0, 0), (1, 2))),
        (1, 5, 9, 8, 5),
        (3, 2, 3, 5, 33),
        33,
    ),
    "conv 3d transpose": volumes(
        ops.Conv3DTranspose((2, 2, 2), output_size=(6, 8, 10)),
        (2, 3, 4, 5, 6),
        (2, 2, 2, 7, 6),
        7,
    ),
    "conv 3d transpose same": volumes(
        ops.Conv3DTranspose(
            (2, 1, 2),
            padding=((0, 1), (1, 1), (1, 0)),
            output_size=(6, 4, 10),
            activation=Activation.RELU,
        ),
        (1, 3, 4, 5, 6),
        (3, 3, 3, 4, 6),
        4,
    ),
    "conv 3d transpose sparse": volumes(
        ops.Conv3DTranspose((2, 2, 2), output_size=(5, 7, 10)),
        (1, 3, 4, 5, 6),
        (1, 1, 1, 4, 6),
        4,
    ),
    "transpose conv 3d, wide gaps": volumes(
        ops.Conv3DTranspose(dilation=(1, 1, 100), output_size=(2, 3, 203)),
        (1, 2, 3, 3, 2),
        (1, 1, 3, 4, 2),
        4,
    ),
    "conv 3d transpose dilated": volumes(
        ops.Conv3DTranspose((1, 2, 3), (2, 1, 2), output_size=(5, 6, 9)),
        (1, 3, 3, 3, 5),
        (2, 1, 2, 4, 5),
        4,
        bias=False,
    ),
    "dense computed": computed(ops.FullyConnected(), (3, 17), (40, 17)),
    "dense computed bias": computed(
        ops.FullyConnected(Activation.RELU), (2, 3, 17), (33, 17), (33,)
    ),
    "dynamic conv": conv(int8=True, padding=SAME, activation=Activation.RELU, shape=(2, 6, 7, 5)),
    "dynamic conv 1x1": conv(int8=True, kernel=(1, 1), out=40, after=["add"]),
    "dynamic conv s2": conv((1, 12, 10, 1), int8=True, kernel=(5, 4), stride=(2, 2), padding=SAME),
    "dynamic conv grouped": conv((1, 6, 6, 12), out=18, groups=3, int8=True, padding=SAME),
    "dynamic dense": dense((3, 40), 19, int8=True),
    "dynamic dense row": dense((1, 1, 257), 65, int8=True, activation=Activation.RELU),
    "dynamic transpose conv": transposed((2, 2), (3, 3), int8=True),
}
