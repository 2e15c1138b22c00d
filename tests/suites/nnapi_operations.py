"""What each operation of NNAPI is in Edgewise's operators: a row an operation.

Source: the operations' documentation in NeuralNetworks.h (Android 11). Arguments follow the
tensors; where there are two lists of them, for explicit and for implicit padding, their number and
the place of the layout flag tell which it is. Layout NCHW becomes a TRANSPOSE around the operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from nnapi import Call, NoEquivalentError, Translation, constant

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType, Value
from edgewise.ops import Activation, Op
from edgewise.ops.lstm import LstmSettings
from edgewise.ops.recurrent import Nonlinearity

FUSE_CODES = (Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6)
SAME = 1
SPARSE_DEPRECATED, DENSE = 1, 2
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)

Pair = tuple[int, int]


def fuse(call: Call, i: int) -> Activation:
    return FUSE_CODES[call.data(i)]


def is_flag(call: Call, i: int) -> bool:
    return i < call.count and call.operand(i).type == "BOOL"


def image(call: Call, layout: int, make: Callable[[TensorType], Op], *others: Value) -> Value:
    """The operator of an image (input 0), between transpositions where input ``layout`` says so."""
    x = call.x(0)
    if not call.data(layout, False):
        return call.output(make(x.type), x, *others)
    x = call.apply(ops.Transpose(TO_NHWC), x)
    y = call.apply(make(x.type), x, *others, quant=call.quant())
    return call.output(ops.Transpose(TO_NCHW), y)


def same_padding(small: int, large: int, taps: int, stride: int, dilation: int = 1) -> Pair:
    """Padding under which windows over ``large`` elements give ``small``."""
    total = max((small - 1) * stride + (taps - 1) * dilation + 1 - large, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Windows:
    """Arguments that tell padding and stride: (scheme, stride width, height), or the padding of
    left, right, top, bottom in place of the scheme. ``next`` is the argument after them.
    """

    stride: Pair
    next: int
    same: bool = False
    explicit: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def read(cls, call: Call, first: int, implicit: bool) -> Windows:
        if implicit:
            scheme, width, height = (call.data(first + i) for i in range(3))
            return cls((height, width), first + 3, scheme == SAME)
        left, right, top, bottom, width, height = (call.data(first + i) for i in range(6))
        return cls((height, width), first + 6, False, (top, bottom, left, right))

    def padding(
        self, size: Sequence[int], taps: Sequence[int], dilation: Pair = (1, 1)
    ) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) of windows of ``taps`` over an image of ``size``."""
        if not self.same:
            return self.explicit
        (top, bottom), (left, right) = (
            same_padding(math.ceil(n / s), n, k, s, d)
            for n, k, s, d in zip(size, taps, self.stride, dilation, strict=True)
        )
        return top, bottom, left, right


def conv_2d(call: Call) -> Value:
    w, read = call.x(1), Windows.read(call, 3, call.count == 7 or is_flag(call, 7))
    at = read.next
    dilation = (call.data(at + 3, 1), call.data(at + 2, 1))

    def make(x: TensorType) -> Op:
        padding = read.padding(x.shape[1:3], w.type.shape[1:3], dilation)
        return ops.Conv2D(read.stride, dilation, padding, fuse(call, at))

    return image(call, at + 1, make, w, call.x(2))


def grouped_conv_2d(call: Call) -> Value:
    """The number of groups is an argument; the shapes tell it too."""
    w, read = call.x(1), Windows.read(call, 3, call.count == 9)

    def make(x: TensorType) -> Op:
        padding = read.padding(x.shape[1:3], w.type.shape[1:3])
        return ops.Conv2D(read.stride, (1, 1), padding, fuse(call, read.next + 1))

    return image(call, read.next + 2, make, w, call.x(2))


def depthwise_conv_2d(call: Call) -> Value:
    """The channel multiplier is an argument; the shapes tell it too."""
    w, read = call.x(1), Windows.read(call, 3, call.count == 8 or is_flag(call, 8))
    at = read.next + 1
    dilation = (call.data(at + 3, 1), call.data(at + 2, 1))

    def make(x: TensorType) -> Op:
        padding = read.padding(x.shape[1:3], w.type.shape[1:3], dilation)
        return ops.DepthwiseConv2D(read.stride, dilation, padding, fuse(call, at))

    return image(call, at + 1, make, w, call.x(2))


def transpose_conv_2d(call: Call) -> Value:
    w, implicit = call.x(1), call.count == 9
    read = Windows.read(call, 4 if implicit else 3, implicit)
    nchw = call.data(read.next + 1)

    def make(x: TensorType) -> Op:
        taps, image = w.type.shape[1:3], x.shape[1:3]
        if implicit:
            shape = call.data(3)
            size = tuple(shape[2:4] if nchw else shape[1:3])
        else:
            top, bottom, left, right = read.explicit
            pads = top + bottom, left + right
            size = tuple(
                (n - 1) * s + k - p
                for n, s, k, p in zip(image, read.stride, taps, pads, strict=True)
            )
        padding = read.explicit
        if read.same:
            rows, columns = (
                same_padding(n, m, k, s)
                for n, m, k, s in zip(image, size, taps, read.stride, strict=True)
            )
            padding = (*rows, *columns)
        return ops.TransposeConv(read.stride, padding, size, fuse(call, read.next))

    return image(call, read.next + 1, make, w, call.x(2))


def pool(op: type[Op]) -> Translation:
    def translate(call: Call) -> Value:
        read = Windows.read(call, 1, call.count == 7 or is_flag(call, 7))
        taps = (call.data(read.next + 1), call.data(read.next))

        def make(x: TensorType) -> Op:
            padding = read.padding(x.shape[1:3], taps)
            return op(taps, read.stride, padding, fuse(call, read.next + 2))

        return image(call, read.next + 3, make)

    return translate


def resize(op: type[Op]) -> Translation:
    """Arguments: width and height, or factors for them; layout; align corners; half pixels."""

    def translate(call: Call) -> Value:
        def make(x: TensorType) -> Op:
            width, height = call.data(1), call.data(2)
            if isinstance(width, float):
                height, width = int(x.shape[1] * height), int(x.shape[2] * width)
            return op((height, width), call.data(4, False), call.data(5, False))

        return image(call, 3, make)

    return translate


def plain(op: Op, count: int = 1) -> Translation:
    """An operator of ``count`` tensors, without arguments."""
    return lambda call: call.output(op, *(call.x(i) for i in range(count)))


def fused(op: type[Op]) -> Translation:
    """An operator of two tensors and a fuse code."""
    return lambda call: call.output(op(fuse(call, 2)), call.x(0), call.x(1))


def axis_of(call: Call, i: int, default: int = -1) -> int:
    return int(call.data(i, default)) % len(call.x(0).type.shape)


def along_last(call: Call, op: Op, axis: int) -> Value:
    """An operator of the last axis, of ``axis`` instead."""
    x = call.x(0)
    perm = list(range(len(x.type.shape)))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    if axis == perm[axis]:
        return call.output(op, x)
    swap = ops.Transpose(tuple(perm))
    return call.output(swap, call.apply(op, call.apply(swap, x), quant=call.quant()))


def ranked(call: Call, op: Op) -> Value:
    """An operator of input 0 whose scalar result is [1] in NNAPI."""
    y = call.output(op, call.x(0))
    return y if y.type.shape else call.output(ops.Reshape((1,)), y)


def reduction(op: type[Op]) -> Translation:
    """A reduction over axes that are named in any order, repeatedly too."""

    def translate(call: Call) -> Value:
        x = call.x(0)
        rank = len(x.type.shape)
        axes = tuple(sorted({a % rank for a in call.data(1)}))
        return ranked(call, op(axes, bool(call.data(2))))

    return translate


def strided_slice(call: Call) -> Value:
    x = call.x(0)
    begin_mask, end_mask, shrink_mask = (call.data(i) for i in (4, 5, 6))
    ranges, shrunk = [], []
    for i, (size, first, last, step) in enumerate(
        zip(x.type.shape, call.data(1), call.data(2), call.data(3), strict=True)
    ):
        if shrink_mask >> i & 1:
            shrunk.append(i)
            ranges.append((first % size, 1, 1))
            continue
        low = None if begin_mask >> i & 1 else first
        high = None if end_mask >> i & 1 else last
        taken = range(size)[low:high:step]
        ranges.append((taken.start, len(taken), step))
    return ranked(call, ops.StridedSlice(*zip(*ranges, strict=True), tuple(shrunk)))


def slice_(call: Call) -> Value:
    x = call.x(0)
    begin = tuple(call.data(1))
    sizes = tuple(
        d - b if n == -1 else n for d, b, n in zip(x.type.shape, begin, call.data(2), strict=True)
    )
    return call.output(ops.StridedSlice(begin, sizes, (1,) * len(begin)), x)


def pairs(flat: Sequence[int]) -> tuple[Pair, ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def squeeze(call: Call) -> Value:
    rank = len(call.x(0).type.shape)
    return call.output(ops.Squeeze(tuple(a % rank for a in call.data(1, []))), call.x(0))


def quantize(call: Call) -> Value:
    return call.output(ops.Quantize(call.result(0).dtype), call.x(0))


def instance_normalization(call: Call) -> Value:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, of each image's channels.

    It has no operator; converters write it as these.
    """
    gamma, beta, epsilon = (constant(np.float32(call.data(i))) for i in (1, 2, 3))
    x, nchw = call.x(0), call.data(4)
    mean = ops.Mean((2, 3) if nchw else (1, 2), True)
    average = call.apply(mean, x)
    variance = call.apply(mean, call.apply(ops.SquaredDifference(), x, average))
    scale = call.apply(ops.Rsqrt(), call.apply(ops.Add(), variance, epsilon))
    y = call.apply(ops.Mul(), call.apply(ops.Sub(), x, average), scale)
    return call.output(ops.Add(), call.apply(ops.Mul(), y, gamma), beta)


def div(call: Call) -> Value:
    """Integers are rounded down, as FLOOR_DIV does; DIV would cut."""
    if call.x(0).type.dtype is DType.INT32:
        return call.output(ops.FloorDiv(), call.x(0), call.x(1))
    return fused(ops.Div)(call)


def select(call: Call) -> Value:
    """The choices are requantized to the result first; SELECT takes raw values."""
    choices = [call.x(1), call.x(2)]
    for i, x in enumerate(choices):
        if x.type.quant != call.quant():
            choices[i] = call.apply(ops.Quantize(call.result().dtype), x, quant=call.quant())
    return call.output(ops.Select(), call.x(0), *choices)


def local_response_normalization(call: Call) -> Value:
    radius, bias, alpha, beta = (call.data(i) for i in range(1, 5))
    op = ops.LocalResponseNormalization(radius, bias, alpha, beta)
    return along_last(call, op, axis_of(call, 5))


def optional(call: Call, numbers: Sequence[int]) -> tuple[tuple[bool, ...], list[Value]]:
    """Which of some inputs are given, and those."""
    present = tuple(call.has(i) for i in numbers)
    return present, [call.x(i) for i in numbers if call.has(i)]


def lstm_settings(call: Call, first: int) -> LstmSettings:
    """Activation, clip of the cell and of the projection, from input ``first`` on."""
    code, cell_clip, proj_clip = (call.data(first + i) for i in range(3))
    return LstmSettings(Nonlinearity(code), cell_clip, proj_clip)


def lstm(call: Call) -> Sequence[Value | None]:
    """Results are a scratch buffer, both states and the output."""
    present, inputs = optional(call, (*range(20), *range(23, 27)))
    op = ops.Lstm(present, lstm_settings(call, 20))
    y, *states = call.outputs(op, *inputs, order=(3, 1, 2))
    return [None, *states, y]


def unidirectional_sequence_lstm(call: Call) -> Sequence[Value]:
    """Results are the output and, where the case asks for them, both states."""
    present, inputs = optional(call, (*range(20), *range(24, 28)))
    op = ops.UnidirectionalSequenceLstm(present, lstm_settings(call, 20), call.data(23))
    return asked(call, op, inputs)


def quantized_lstm(call: Call) -> Sequence[Value]:
    """Results are the output state, the cell state and the output, which is the output state.

    The scales of the gates and of the hidden state, which files hold in intermediate tensors, are
    arguments.
    """
    present, inputs = optional(call, range(24))
    gates = (QParams.per_tensor(call.data(i), 0) for i in range(26, 30))
    hidden = QParams.per_tensor(call.data(31), call.data(30))
    settings = LstmSettings(cell_clip=call.data(24), proj_clip=call.data(25))
    y, *states = call.outputs(
        ops.Lstm(present, settings, (*gates, hidden)), *inputs, order=(2, 0, 1)
    )
    return [*states, y]


def bidirectional_sequence_lstm(call: Call) -> Sequence[Value]:
    """Results are the outputs, and the states where the case asks for them."""
    if call.has(53):
        raise NoEquivalentError("BIDIRECTIONAL_SEQUENCE_LSTM with layer normalization")
    present, inputs = optional(call, range(48))
    time_major, merge = call.data(52), call.data(51)
    op = ops.BidirectionalSequenceLstm(present, lstm_settings(call, 48), time_major, merge)
    return asked(call, op, inputs)


def asked(call: Call, op: Op, inputs: Sequence[Value]) -> Sequence[Value]:
    """The first results of a recurrent operator: those that the operation has."""
    count = len(call.operation.outputs)
    order = [min(k, count - 1) for k in range(len(op.infer([v.type for v in inputs])))]
    return call.outputs(op, *inputs, order=order)[:count]


def unidirectional_sequence_rnn(call: Call) -> Sequence[Value]:
    op = ops.UnidirectionalSequenceRnn((True,) * 5, Nonlinearity(call.data(5)), bool(call.data(6)))
    return asked(call, op, [call.x(i) for i in range(5)])


def bidirectional_sequence_rnn(call: Call) -> Sequence[Value]:
    present, inputs = optional(call, range(12))
    time_major, merge = call.data(13), call.data(14)
    op = ops.BidirectionalSequenceRnn(present, Nonlinearity(call.data(12)), time_major, merge)
    return asked(call, op, inputs)


def rnn(call: Call) -> Sequence[Value]:
    """Results are the hidden state and the output."""
    op = ops.Rnn((True,) * 5, Nonlinearity(call.data(5)))
    y, state = call.outputs(op, *(call.x(i) for i in range(5)), order=(1, 0))
    return [state, y]


def svdf(call: Call) -> Sequence[Value]:
    """Results are the state and the output.

    NNAPI moves the state on after the step, and leaves its last column free; the operator before.
    """
    present, inputs = optional(call, range(5))
    memory = call.x(2).type.shape[1]
    inputs[-1] = moved_on(call, inputs[-1], memory, 1)
    op = ops.Svdf(present, call.data(5), Nonlinearity(call.data(6)))
    y, state = call.outputs(op, *inputs, order=(1, 0))
    return [moved_on(call, state, memory, -1), y]


def moved_on(call: Call, state: Value, size: int, step: int) -> Value:
    """Rows of ``size`` with every element one place further, or back; 0 takes the place left."""
    shape = state.type.shape
    rows = call.apply(ops.Reshape((-1, size)), state)
    kept, gap = ((0, 0), (1, 0)) if step > 0 else ((0, 1), (0, 1))
    part = ops.StridedSlice(kept, (rows.type.shape[0], size - 1), (1, 1))
    padded = call.apply(ops.Pad(((0, 0), gap)), call.apply(part, rows))
    return call.apply(ops.Reshape(shape), padded)


def lsh_projection(call: Call) -> Value:
    """The third argument: 2 is dense, 3 sparse; 1 too, less what tells one hash from another."""
    kind = call.data(3)
    inputs = optional(call, range(3))[1]
    op = ops.LshProjection(kind == DENSE)
    if kind != SPARSE_DEPRECATED:
        return call.output(op, *inputs)
    hashes, bits = inputs[0].type.shape
    offsets = constant(np.arange(hashes, dtype=np.int32) << bits)
    return call.output(ops.Sub(), call.apply(op, *inputs), offsets)


def quantized_16bit_lstm(call: Call) -> Value:
    raise NoEquivalentError("LSTM of kernel BASIC is float32")


OPERATIONS: dict[str, Translation] = {
    "ABS": plain(ops.Abs()),
    "ADD": fused(ops.Add),
    "ARGMAX": lambda c: ranked(c, ops.ArgMax(axis_of(c, 1))),
    "ARGMIN": lambda c: ranked(c, ops.ArgMin(axis_of(c, 1))),
    "AVERAGE_POOL_2D": pool(ops.AveragePool2D),
    "BATCH_TO_SPACE_ND": lambda c: image(
        c, 2, lambda x: ops.BatchToSpaceNd(tuple(c.data(1)), ((0, 0), (0, 0)))
    ),
    "BIDIRECTIONAL_SEQUENCE_LSTM": bidirectional_sequence_lstm,
    "BIDIRECTIONAL_SEQUENCE_RNN": bidirectional_sequence_rnn,
    "CAST": lambda c: c.output(ops.Cast(c.result().dtype), c.x(0)),
    "CONCATENATION": lambda c: c.output(
        ops.Concatenation(axis_of(c, c.count - 1)), *(c.x(i) for i in range(c.count - 1))
    ),
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEPTH_TO_SPACE": lambda c: image(c, 2, lambda x: ops.DepthToSpace(c.data(1))),
    "DEQUANTIZE": plain(ops.Dequantize()),
    "DIV": div,
    "EMBEDDING_LOOKUP": plain(ops.EmbeddingLookup(), 2),
    "EXP": plain(ops.Exp()),
    "FILL": lambda c: c.output(ops.Fill(tuple(c.data(0))), c.x(1)),
    "FLOOR": plain(ops.Floor()),
    "FULLY_CONNECTED": lambda c: c.output(ops.FullyConnected(fuse(c, 3)), c.x(0), c.x(1), c.x(2)),
    "GATHER": lambda c: c.output(ops.Gather(axis_of(c, 1)), c.x(0), c.x(2)),
    "GREATER": plain(ops.Greater(), 2),
    "GREATER_EQUAL": plain(ops.GreaterEqual(), 2),
    "GROUPED_CONV_2D": grouped_conv_2d,
    "HARD_SWISH": plain(ops.HardSwish()),
    "HASHTABLE_LOOKUP": lambda c: c.outputs(ops.HashtableLookup(), *(c.x(i) for i in range(3))),
    "INSTANCE_NORMALIZATION": instance_normalization,
    "L2_NORMALIZATION": lambda c: along_last(c, ops.L2Normalization(), axis_of(c, 1)),
    "L2_POOL_2D": pool(ops.L2Pool2D),
    "LESS": plain(ops.Less(), 2),
    "LESS_EQUAL": plain(ops.LessEqual(), 2),
    "LOCAL_RESPONSE_NORMALIZATION": local_response_normalization,
    "LOGICAL_AND": plain(ops.LogicalAnd(), 2),
    "LOGISTIC": plain(ops.Logistic()),
    "LSH_PROJECTION": lsh_projection,
    "LSTM": lstm,
    "MAX_POOL_2D": pool(ops.MaxPool2D),
    "MEAN": reduction(ops.Mean),
    "MUL": fused(ops.Mul),
    "NEG": plain(ops.Neg()),
    "PAD": lambda c: c.output(ops.Pad(pairs(c.data(1))), c.x(0)),
    "PAD_V2": lambda c: c.output(ops.Pad(pairs(c.data(1)), c.data(2)), c.x(0)),
    "PRELU": plain(ops.PRelu(), 2),
    "QUANTIZE": quantize,
    "QUANTIZED_16BIT_LSTM": quantized_16bit_lstm,
    "QUANTIZED_LSTM": quantized_lstm,
    "REDUCE_ALL": reduction(ops.ReduceAll),
    "REDUCE_ANY": reduction(ops.ReduceAny),
    "REDUCE_MAX": reduction(ops.ReduceMax),
    "REDUCE_MIN": reduction(ops.ReduceMin),
    "REDUCE_PROD": reduction(ops.ReduceProd),
    "REDUCE_SUM": reduction(ops.Sum),
    "RELU": plain(ops.Relu()),
    "RELU1": plain(ops.ReluN1To1()),
    "RELU6": plain(ops.Relu6()),
    "RESHAPE": lambda c: c.output(ops.Reshape(tuple(c.data(1))), c.x(0)),
    "RESIZE_BILINEAR": resize(ops.ResizeBilinear),
    "RESIZE_NEAREST_NEIGHBOR": resize(ops.ResizeNearestNeighbor),
    "RNN": rnn,
    "RSQRT": plain(ops.Rsqrt()),
    "SELECT": select,
    "SIN": plain(ops.Sin()),
    "SLICE": slice_,
    "SOFTMAX": lambda c: along_last(c, ops.Softmax(c.data(1)), axis_of(c, 2)),
    "SPACE_TO_BATCH_ND": lambda c: image(
        c, 3, lambda x: ops.SpaceToBatchNd(tuple(c.data(1)), pairs(c.data(2)))
    ),
    "SPACE_TO_DEPTH": lambda c: image(c, 2, lambda x: ops.SpaceToDepth(c.data(1))),
    "SPLIT": lambda c: c.outputs(ops.Split(axis_of(c, 1), c.data(2)), c.x(0)),
    "SQRT": plain(ops.Sqrt()),
    "SQUEEZE": squeeze,
    "STRIDED_SLICE": strided_slice,
    "SUB": fused(ops.Sub),
    "SVDF": svdf,
    "TANH": plain(ops.Tanh()),
    "TILE": lambda c: c.output(ops.Tile(tuple(c.data(1))), c.x(0)),
    "TOPK_V2": lambda c: c.outputs(ops.TopK(c.data(1)), c.x(0)),
    "TRANSPOSE": lambda c: c.output(
        ops.Transpose(tuple(c.data(1)) or tuple(reversed(range(len(c.x(0).type.shape))))), c.x(0)
    ),
    "TRANSPOSE_CONV_2D": transpose_conv_2d,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": unidirectional_sequence_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": unidirectional_sequence_rnn,
}
