"""Operators that move elements, against LiteRT and numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from op_cases import EIGHT_BIT, check, every_byte, fill, q8, random_q8, vector

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.ops import (
    Activation,
    Concatenation,
    Pack,
    Pad,
    Reshape,
    Split,
    Squeeze,
    StridedSlice,
    Transpose,
    Unpack,
)
from tflite_builder import Tensor, run_litert, single

PADDINGS = ((0, 0), (1, 2), (3, 0), (0, 1))


@EIGHT_BIT
def test_pad(dtype: DType) -> None:
    rng = np.random.default_rng(0)
    x = random_q8(rng, dtype, (2, 3, 4, 5))
    op = Pad(PADDINGS)
    out = replace(x, shape=op.infer([x])[0].shape)
    pairs = (TensorType((4, 2), DType.INT32), np.array(PADDINGS, np.int32))
    check("PAD", op, [(x, fill(rng, x))], out, extra=[pairs])


@EIGHT_BIT
def test_pad_with_a_value(dtype: DType) -> None:
    rng = np.random.default_rng(0)
    x = random_q8(rng, dtype, (2, 3, 4, 5))
    op = Pad(PADDINGS, 77)
    out = replace(x, shape=op.infer([x])[0].shape)
    pairs = (TensorType((4, 2), DType.INT32), np.array(PADDINGS, np.int32))
    value = (replace(x, shape=(1,)), np.array([77], dtype.numpy))
    check("PADV2", op, [(x, fill(rng, x))], out, "PadV2Options", extra=[pairs, value])


@EIGHT_BIT
@pytest.mark.parametrize("axis", [0, 1, 3])
def test_concatenation(dtype: DType, axis: int) -> None:
    rng = np.random.default_rng(axis)
    first = random_q8(rng, dtype, (2, 3, 4, 5))
    types = []
    for n in (1, 4, 2):
        shape = list(first.shape)
        shape[axis] = n
        types.append(replace(first, shape=tuple(shape)))
    op = Concatenation(axis)
    out = replace(first, shape=op.infer(types)[0].shape)
    inputs = [(t, fill(rng, t)) for t in types]
    check("CONCATENATION", op, inputs, out, "ConcatenationOptions", Axis=axis)


def test_concatenation_requantizes_each_input() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        types = [random_q8(rng, DType.UINT8, (1, 256), 10 ** rng.uniform(-2, 0)) for _ in range(2)]
        out = random_q8(rng, DType.UINT8, (1, 512), 10 ** rng.uniform(-2, 0))
        inputs = [(t, every_byte(t)) for t in types]
        check("CONCATENATION", Concatenation(1), inputs, out, "ConcatenationOptions", Axis=1)


def test_concatenation_with_an_activation() -> None:
    x = q8(DType.INT8, (1, 256), 0.1, -20)
    op = Concatenation(0, Activation.RELU6)
    (found,) = op.reference([every_byte(x)], [x], [x])
    np.testing.assert_array_equal(found, np.clip(every_byte(x), -20, 40))
    real = TensorType((3,), DType.FLOAT32)
    (found,) = op.reference([np.array([-1, 2, 9], np.float32)], [real], [real])
    assert found.tolist() == [0, 2, 6]


@EIGHT_BIT
def test_transpose(dtype: DType) -> None:
    rng = np.random.default_rng(0)
    x = random_q8(rng, dtype, (2, 3, 4, 5))
    for perm in ((0, 3, 1, 2), (3, 2, 1, 0), (0, 1, 2, 3)):
        op = Transpose(perm)
        out = replace(x, shape=op.infer([x])[0].shape)
        check("TRANSPOSE", op, [(x, fill(rng, x))], out, extra=[vector(perm)])


@EIGHT_BIT
def test_strided_slice(dtype: DType) -> None:
    rng = np.random.default_rng(0)
    x = random_q8(rng, dtype, (4, 5, 6, 7))
    op = StridedSlice((1, 4, 0, 2), (1, 2, 6, 3), (1, -3, 1, 2), (0,))
    out = replace(x, shape=op.infer([x])[0].shape)
    assert out.shape == (2, 6, 3)
    check(
        "STRIDED_SLICE",
        op,
        [(x, fill(rng, x))],
        out,
        "StridedSliceOptions",
        extra=[vector((1, 4, 0, 2)), vector((2, 0, 6, 7)), vector((1, -3, 1, 2))],
        ShrinkAxisMask=1,
    )


def test_reshape_and_squeeze() -> None:
    data = np.arange(12, dtype=np.int8).reshape(1, 3, 1, 4)
    x = TensorType(data.shape, DType.INT8, QParams.per_tensor(0.5, 3))
    for op, shape in (
        (Reshape((4, 3)), (4, 3)),
        (Reshape((2, -1)), (2, 6)),
        (Squeeze(), (3, 4)),
        (Squeeze((2,)), (1, 3, 4)),
    ):
        (out,) = op.infer([x])
        assert out == replace(x, shape=shape)
        np.testing.assert_array_equal(op.reference([data], [x], [out])[0], data.reshape(shape))


def test_split_unpack_and_pack() -> None:
    rng = np.random.default_rng(0)
    x = random_q8(rng, DType.INT8, (2, 6, 3))
    data = fill(rng, x)
    out = replace(x, shape=(2, 2, 3))
    model = single(
        "SPLIT",
        [Tensor(*vector([1])), Tensor(x)],
        [out] * 3,
        "SplitOptions",
        NumSplits=3,
    )
    assert Split(1, 3).infer([x]) == (out,) * 3
    parts = Split(1, 3).reference([data], [x], [out] * 3)
    for part, expected in zip(parts, run_litert(model, [data]), strict=True):
        np.testing.assert_array_equal(part, expected)

    row = replace(x, shape=(2, 3))
    assert Unpack(1).infer([x]) == (row,) * 6
    rows = Unpack(1).reference([data], [x], [row] * 6)
    np.testing.assert_array_equal(rows[4], data[:, 4])
    assert Pack(1).infer([row] * 6) == (x,)
    np.testing.assert_array_equal(Pack(1).reference(rows, [row] * 6, [x])[0], data)


def test_per_channel_quantization_does_not_pass_through_a_move() -> None:
    x = TensorType((2, 3), DType.INT8, QParams((1.0, 2.0), (0, 0), 0))
    assert Transpose((1, 0)).infer([x])[0].quant is None
