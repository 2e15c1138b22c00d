"""Every rule that infer() checks, broken once: the error names the operator and the rule."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import q8

from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError
from edgewise.graph import TensorType
from edgewise.ops import (
    Activation,
    Add,
    AddN,
    ArgMax,
    ArgMin,
    Atan2,
    AveragePool2D,
    BatchMatMul,
    Bitcast,
    BitwiseXor,
    Cast,
    Concatenation,
    Conv2D,
    Conv3D,
    Conv3DTranspose,
    Cumsum,
    Densify,
    DepthwiseConv2D,
    Dequantize,
    Div,
    Exp,
    FakeQuant,
    FullyConnected,
    L2Pool2D,
    LeakyRelu,
    Less,
    LocalResponseNormalization,
    LogicalAnd,
    LogicalNot,
    Logistic,
    LogSoftmax,
    Maximum,
    Mean,
    Minimum,
    Op,
    Pack,
    Pad,
    PRelu,
    Quantize,
    ReduceAny,
    ReduceMax,
    ReduceProd,
    Reshape,
    ResizeBilinear,
    Select,
    Softmax,
    Split,
    Squeeze,
    StridedSlice,
    Sum,
    Transpose,
    TransposeConv,
    Unpack,
    activation_range,
    requantization,
)


def f32(*shape: int) -> TensorType:
    return TensorType(shape, DType.FLOAT32)


def s8(*shape: int) -> TensorType:
    return q8(DType.INT8, shape, 0.5, 3)


def i32(*shape: int) -> TensorType:
    return TensorType(shape, DType.INT32)


def bools(*shape: int) -> TensorType:
    return TensorType(shape, DType.BOOL)


def c64(*shape: int) -> TensorType:
    return TensorType(shape, DType.COMPLEX64)


BARE_VECTOR = TensorType((2,), DType.INT8)
IMAGE, KERNEL = s8(1, 8, 8, 4), s8(6, 3, 3, 4)
WIDE = q8(DType.INT16, (1, 8, 8, 4), 0.5, 0)
VOLUME = f32(1, 4, 4, 4, 2)
BARE = TensorType((1, 8, 8, 4), DType.INT8)
OUT_OF_RANGE = TensorType((1, 8, 8, 4), DType.INT8, QParams.per_tensor(1.0, 128))
TINY = TensorType((1, 8, 8, 4), DType.INT8, QParams.per_tensor(1e-44, 0))
WRONG_AXIS = TensorType((6, 3, 3, 4), DType.INT8, QParams((1.0,) * 6, (0,) * 6, 1))
WRONG_ZERO = TensorType((6, 3, 3, 4), DType.INT8, QParams((1.0,) * 6, (0, 0, 0, 0, 0, 999), 0))
HUGE = 2**62

BROKEN: list[tuple[Op, list[TensorType], str]] = [
    (Conv2D(), [IMAGE], "1 inputs; it takes 2 to 3"),
    (Conv2D(), [IMAGE, KERNEL, i32(6), i32(6)], "4 inputs"),
    (Conv2D(), [s8(8, 8, 4), KERNEL], "input has rank 3; it must be 4"),
    (Conv2D(), [IMAGE, s8(6, 9, 4)], "weights has rank 3"),
    (Conv2D(), [s8(1, 8, 0, 4), KERNEL], "do not fit 0 elements"),
    (Conv2D(), [s8(1, 8, -8, 4), KERNEL], "no dimension is negative"),
    (Conv2D(), [s8(1, HUGE, HUGE, 4), KERNEL], "elements; a tensor has at most"),
    (Conv2D(), [s8(1, 8, 8, 5), KERNEL], "it must divide the channels"),
    (Conv2D(), [s8(1, 8, 8, 0), KERNEL], "it must divide the channels"),
    (Conv2D(), [s8(1, 8, 8, 4), s8(6, 3, 3, 0)], "it must divide the channels"),
    (DepthwiseConv2D(), [s8(1, 8, 8, 0), s8(1, 3, 3, 4)], "the first divides the second"),
    (FullyConnected(), [s8(2, 4), s8(6, 0)], "it must divide the input's size"),
    (ResizeBilinear((2, 2)), [f32(1, 0, 8, 4)], "has no pixels"),
    (Conv2D(), [s8(1, 8, 8, 16), KERNEL], "6 output channels in 4 groups"),
    (Conv2D((0, 1)), [IMAGE, KERNEL], "stride 0; it must be 1 or more"),
    (Conv2D((1, -1)), [IMAGE, KERNEL], "stride -1"),
    (Conv2D((1, 1), (1, 0)), [IMAGE, KERNEL], "dilation 0"),
    (Conv2D((1, 1), (1, HUGE)), [IMAGE, KERNEL], "do not fit 8 elements"),
    (Conv2D(padding=(0, 0, -1, 0)), [IMAGE, KERNEL], "padding cannot be negative"),
    (Conv2D(padding=(HUGE, 0, 0, 0)), [IMAGE, KERNEL], "its padded input has"),
    (Conv2D(), [s8(1, 2, 8, 4), KERNEL], "3 taps with dilation 1 do not fit 2 elements"),
    (Conv2D(), [IMAGE, KERNEL, i32(5)], r"bias has shape \[5\]; it must be \[6\]"),
    (Conv2D(), [IMAGE, KERNEL, f32(6)], "bias float32; bias must be int32"),
    (Conv2D(), [IMAGE, f32(6, 3, 3, 4)], "weights are float32; they must be uint8 or int8"),
    (Conv2D(), [f32(1, 8, 8, 4), i32(6, 3, 3, 4)], "input is float32 and weights int32"),
    (Conv2D(), [f32(1, 8, 8, 4), f32(6, 3, 3, 4), i32(6)], "bias int32; bias must be float32"),
    (Conv2D(), [f32(1, 8, 8, 4), KERNEL, i32(6)], "bias int32; bias must be float32"),
    (Conv2D(), [WIDE, KERNEL, f32(6)], "bias must be int64 or int32"),
    (Conv2D(), [i32(1, 8, 8, 4), KERNEL], "input is int32; it must be float32, uint8, int8 or"),
    (FullyConnected(), [f32(1, 2**17), s8(2, 2**17)], "an int32 sum holds at most"),
    (BatchMatMul(), [f32(8), f32(8, 4)], "input 0 has rank 1; it must be 2 or more"),
    (BatchMatMul(), [f32(2, 3, 8), f32(2, 7, 4)], "summed over 8 and 7 products"),
    (BatchMatMul(), [f32(2, 3, 8), f32(3, 8, 4)], "their leading dimensions broadcast"),
    (BatchMatMul(), [s8(3, 8), f32(8, 4)], "weights are float32; they must be uint8 or int8"),
    (Conv3D(), [s8(1, 4, 4, 4, 2), f32(2, 2, 2, 2, 5)], "input 0 is int8; it must be float32"),
    (Conv3D(), [VOLUME, f32(2, 2, 2, 3, 5)], "2 input channels, weights of depth 3"),
    (Conv3D(), [VOLUME, f32(2, 2, 2, 2, 5), f32(4)], r"bias has shape \[4\]; it must be \[5\]"),
    (Conv3D(), [VOLUME, f32(5, 2, 2, 2, 5)], "5 taps with dilation 1 do not fit 4 elements"),
    (Conv3DTranspose(), [VOLUME, f32(1, 1, 1, 5, 2)], "stride, padding and output_size belong"),
    (L2Pool2D(), [IMAGE], "input 0 is int8"),
    (Conv2D(), [BARE, KERNEL], "it must be quantized with one scale"),
    (Conv2D(), [OUT_OF_RANGE, KERNEL], "zero point 128; int8 cannot hold it"),
    (Conv2D(), [TINY, KERNEL], "it must be a positive normal float32"),
    (Conv2D(), [IMAGE, TensorType((6, 3, 3, 4), DType.INT8)], "weights are .* one scale"),
    (Conv2D(), [IMAGE, WRONG_AXIS], "along axis 0"),
    (Conv2D(), [IMAGE, WRONG_ZERO], "zero point 999; int8 cannot hold it"),
    (Conv2D(), [s8(1, 9, 9, 2**12), s8(1, 9, 9, 2**12)], "an int32 sum holds at most"),
    (DepthwiseConv2D(), [IMAGE, s8(2, 3, 3, 4)], "their first dimension is 1"),
    (DepthwiseConv2D(), [IMAGE, s8(1, 3, 3, 6)], "the first divides the second"),
    (TransposeConv(output_size=(-1, 1)), [IMAGE, KERNEL], "no dimension is negative"),
    (TransposeConv(output_size=(10, 10)), [IMAGE, s8(6, 3, 3, 5)], "they must be equal"),
    (TransposeConv(output_size=(10, 11)), [IMAGE, KERNEL], "input of 8x8 pixels; .* 8x9"),
    (TransposeConv((0, 1), output_size=(10, 10)), [IMAGE, KERNEL], "stride 0"),
    (TransposeConv(output_size=(10, 10)), [IMAGE, s8(6, 0, 3, 4)], "its window has 0 taps"),
    (FullyConnected(), [s8(1, 7), s8(3, 4)], "it must divide the input's size"),
    (FullyConnected(keep_num_dims=True), [s8(2, 8), s8(3, 4)], "it must be the last dimension"),
    (FullyConnected(), [s8(1, 8), s8(3, 4, 2)], "weights has rank 3"),
    (Add(), [s8(2, 3), s8(3, 2)], "they must broadcast"),
    (Add(), [s8(2), q8(DType.UINT8, (2,), 1.0, 0)], "inputs are int8 and uint8"),
    (Add(), [s8(2), f32(2)], "inputs are int8 and float32; they must be equal"),
    (Add(), [f32(2**16, 1), f32(1, 2**16)], "its output has"),
    (AveragePool2D((0, 1)), [IMAGE], "padding .* of windows 0x1"),
    (AveragePool2D((-1, 1), padding=(-2, -2, 0, 0)), [IMAGE], "its window has -1 taps"),
    (AveragePool2D((2, 2), padding=(2, 0, 0, 0)), [IMAGE], "never lies in padding alone"),
    (AveragePool2D((9, 2)), [IMAGE], "do not fit 8 elements"),
    (AveragePool2D(), [i32(1, 2, 2, 1)], "input 0 is int32"),
    (AveragePool2D(), [f32(2, 2)], "rank 2"),
    (Mean((4,)), [IMAGE], "axis 4; it must lie between 0 and the rank 4"),
    (Mean((-1,)), [IMAGE], "axis -1"),
    (Mean((1, 1)), [IMAGE], "an axis is named once"),
    (Mean((1,)), [s8(2, 0)], "hold no values"),
    (ReduceProd((1,)), [s8(2, 0)], "hold no values"),
    (Mean((1,)), [s8(1, 2**24)], "16777216 values; quantized ones"),
    (ArgMax(2), [f32(2, 2)], "axis 2"),
    (ArgMax(0, DType.INT8), [f32(2)], "its output is int8"),
    (Softmax(), [f32()], "its input is a scalar"),
    (Softmax(float("nan")), [f32(2)], "beta is nan"),
    (Softmax(0.0), [f32(2)], "beta is 0"),
    (LeakyRelu(float("inf")), [f32(2)], "alpha is inf"),
    (Logistic(), [i32(2)], "input 0 is int32"),
    (Logistic(), [], "0 inputs; it takes 1"),
    (Quantize(DType.INT32), [f32(2)], "floats to int32"),
    (Quantize(DType.INT64), [f32(2)], "to int64"),
    (Dequantize(), [i32(2)], "must be uint8, int8 or int16"),
    (Dequantize(DType.INT8), [s8(2)], "to int8; it must be a float"),
    (Dequantize(), [OUT_OF_RANGE], "zero point 128"),
    (Quantize(), [i32(2)], "input 0 is int32"),
    (Add(), [bools(2), bools(2)], "input 0 is bool"),
    (Div(), [c64(2), c64(2)], "input 0 is complex64"),
    (Maximum(), [f32(2), f32(2), f32(2)], "3 inputs; it takes 2"),
    (Maximum(), [s8(2), BARE_VECTOR], "inputs are all float, or quantized"),
    (Minimum(), [i32(2, 3), i32(2)], r"shapes \[2, 3\] and \[2\]; they must broadcast"),
    (Atan2(), [i32(2), i32(2)], "input 0 is int32"),
    (PRelu(), [f32(3), f32(2, 3)], r"alpha \[2, 3\] must broadcast to \[3\]"),
    (AddN(), [f32(2), f32(1)], r"shapes \[2\] and \[1\]; they must be equal"),
    (AddN(), [s8(2), s8(2)], "input 0 is int8"),
    (Less(), [c64(2), c64(2)], "input 0 is complex64"),
    (LogicalAnd(), [i32(2), i32(2)], "inputs are all bool"),
    (BitwiseXor(), [f32(2), f32(2)], "input 0 is float32"),
    (LogicalNot(), [c64(2)], "input 0 is complex64"),
    (LogicalNot(), [f32(2)], "input 0 is float32"),
    (
        Conv3D(dilation=(1, 1, HUGE), padding=((0, 0), (0, 0), (HUGE, HUGE))),
        [f32(1, 4, 5, 6, 2), f32(2, 3, 3, 2, 3)],
        "its padded volume has",
    ),
    (
        Conv3DTranspose(
            dilation=(1, 1, HUGE), padding=((0, 0), (0, 0), (HUGE, HUGE)), output_size=(8, 5, 12)
        ),
        [f32(1, 4, 5, 6, 2), f32(2, 3, 3, 3, 2)],
        "its padded volume has",
    ),
    (Exp(), [i32(2)], "input 0 is int32"),
    (Select(), [i32(2), f32(2), f32(2)], "its condition is int32"),
    (Select(), [bools(2), f32(2), i32(2)], "they must be of one dtype"),
    (Select(), [bools(3), f32(2), f32(2)], "they must broadcast"),
    (Select(rows=True), [bools(2, 1), f32(2), f32(2)], "condition has rank 2"),
    (Select(rows=True), [bools(3), f32(2, 3), f32(2, 3)], "it chooses rows"),
    (Sum((2,)), [f32(2, 2)], "axis 2"),
    (Sum((1,)), [s8(1, 2**24)], "16777216 values; quantized ones"),
    (ReduceAny((0,)), [i32(2)], "inputs are all bool"),
    (ReduceMax((0,)), [c64(2)], "input 0 is complex64"),
    (Cumsum(1), [f32(2)], "axis 1"),
    (Cumsum(), [s8(2)], "input 0 is int8"),
    (ArgMin(1), [f32(2)], "axis 1"),
    (ArgMin(), [c64(2)], "input 0 is complex64"),
    (LogSoftmax(), [f32()], "its input is a scalar"),
    (LocalResponseNormalization(), [f32(2, 2)], "rank 2"),
    (LocalResponseNormalization(-1), [f32(1, 1, 1, 2)], "radius -1"),
    (Cast(DType.STRING), [f32(2)], "strings"),
    (Bitcast(DType.BOOL), [f32(2)], "bool; it has no bits"),
    (Bitcast(DType.INT64), [i32(2, 3)], "its last dimension must be 2 for int64"),
    (FakeQuant(bits=1), [f32(2)], "1 bits; they are 2 to 16"),
    (FakeQuant(1.0, 2.0), [f32(2)], "range 1.0 to 2.0; 0 must lie in it"),
    (FakeQuant(0.0, float("inf")), [f32(2)], "range 0.0 to inf"),
    (FakeQuant(), [i32(2)], "input 0 is int32"),
    (Densify(), [], "0 inputs"),
    (Pad(((1, 1),)), [f32(2, 2)], "one pair an axis"),
    (Pad(((1, -1),)), [f32(2)], "it cannot be negative"),
    (Pad(((HUGE, HUGE),)), [f32(2)], "elements; a tensor has"),
    (Pad(((1, 1),), 300), [s8(2)], "value 300; int8 cannot hold it"),
    (Concatenation(0), [], "0 inputs; it takes 1 to"),
    (Concatenation(1), [f32(2)], "axis 1"),
    (Concatenation(0), [f32(2), i32(2)], "input 1 is int32, input 0 float32"),
    (Concatenation(0), [f32(2, 2), f32(2, 3)], "they may differ along axis 0 only"),
    (Concatenation(0), [f32(2, 2), f32(2)], "they may differ along axis 0 only"),
    (Concatenation(0, Activation.RELU), [i32(2)], "activation RELU of int32"),
    (Reshape((3, -1)), [f32(4)], "the other dimensions must divide them"),
    (Reshape((0, -1)), [f32(4)], "the other dimensions must divide them"),
    (Reshape((-1, -1)), [f32(4)], "no dimension is negative"),
    (Reshape((5,)), [f32(4)], "which holds 5"),
    (Squeeze((0,)), [f32(4)], "only 1 can be dropped"),
    (Squeeze((1,)), [f32(4)], "axis 1"),
    (Transpose((0, 0)), [f32(2, 2)], "must name each of 2 axes once"),
    (StridedSlice((0,), (1,), (1,)), [f32(2, 2)], "must be equal"),
    (StridedSlice((0,), (1,), (0,)), [f32(2)], "stride 0 along axis 0"),
    (StridedSlice((0,), (-1,), (1,)), [f32(2)], "size -1 along axis 0"),
    (StridedSlice((2,), (1,), (1,)), [f32(2)], "elements 2 to 2 of axis 0; it has 2"),
    (StridedSlice((0,), (2,), (-1,)), [f32(2)], "elements 0 to -1"),
    (StridedSlice((0,), (2,), (HUGE,)), [f32(2)], "elements 0 to"),
    (StridedSlice((0,), (2,), (1,), (0,)), [f32(2)], "size 2 along shrunk axis 0"),
    (StridedSlice((0,), (1,), (1,), (1,)), [f32(2)], "axis 1"),
    (Split(0, 0), [f32(2)], "0 parts"),
    (Split(0, HUGE), [f32(2)], "parts; it gives 1 to 4096"),
    (Split(0, 3), [f32(4)], "they must divide evenly"),
    (Split(1, 1), [f32(4)], "axis 1"),
    (Pack(2), [f32(4)], "axis 2"),
    (Pack(0), [f32(4), f32(3)], "shapes and dtypes must be equal"),
    (Unpack(1), [f32(4)], "axis 1"),
    (Unpack(0), [f32(2**20)], "it gives at most 4096"),
    (ResizeBilinear((-1, 1)), [IMAGE], "no dimension is negative"),
    (ResizeBilinear((HUGE, HUGE)), [IMAGE], "elements; a tensor"),
    (ResizeBilinear((2, 2), True, True), [IMAGE], "at most one of them"),
    (ResizeBilinear((2, 2)), [f32(2, 2)], "rank 2"),
]


@pytest.mark.parametrize(
    ("op", "inputs", "rule"), BROKEN, ids=[f"{op.name}-{rule}" for op, _, rule in BROKEN]
)
def test_infer_names_the_operator_and_the_rule(op: Op, inputs: list[TensorType], rule: str) -> None:
    with pytest.raises(GraphError, match=f"^{op.name}: .*{rule}"):
        op.infer(inputs)


def test_requantization_names_what_is_wrong() -> None:
    good = s8(1, 4)
    cases = [
        ((f32(1, 4), good, good), "input is float32; it must be uint8, int8 or int16"),
        ((good, i32(1), good), "weights are"),
        ((good, good, TensorType((1, 4), DType.INT8)), "output is .*; it must be quantized"),
        ((good, q8(DType.INT8, (1,), 2.0**70, 0), good), r"must be less than 2\*\*64"),
    ]
    for types, rule in cases:
        with pytest.raises(GraphError, match=rule):
            requantization(*types)


def test_activation_range_of_absurd_scales() -> None:
    tiny = q8(DType.UINT8, (1,), 1e-37, 10)
    assert activation_range(tiny, Activation.RELU6) == (10, 255)
    assert activation_range(q8(DType.UINT8, (1,), 1e37, 10), Activation.RELU6) == (10, 10)


def test_scales_that_the_outputs_rule_out() -> None:
    x = q8(DType.INT8, (1, 4), 2.0**100, 0)
    tiny = q8(DType.INT8, (1, 4), 2.0**-100, 0)
    with pytest.raises(GraphError, match=r"MEAN: its scale"):
        Mean((1,)).affine([x], [tiny])
    with pytest.raises(GraphError, match="SOFTMAX: output scale"):
        Softmax().factor(tiny)


def test_absurd_sizes_stay_python_integers() -> None:
    assert isinstance(Conv2D().infer([IMAGE, KERNEL])[0].shape[1], int)
    with pytest.raises(GraphError):
        Conv2D().infer([TensorType((np.iinfo(np.int64).max,) * 4, DType.FLOAT32), KERNEL])
