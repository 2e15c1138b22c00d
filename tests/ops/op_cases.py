"""Random quantized types and data, and the comparison of a reference with LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.ops import Activation, Op
from tflite_builder import Tensor, run_litert, single

Array = npt.NDArray[Any]
ACTIVATIONS = [Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6]
EIGHT_BIT = pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)


def q8(dtype: DType, shape: Sequence[int], scale: float, zero: int) -> TensorType:
    """An 8-bit type quantized per tensor, its scale rounded to float32 as in a file."""
    return TensorType(tuple(shape), dtype, QParams.per_tensor(float(np.float32(scale)), zero))


def random_q8(
    rng: np.random.Generator, dtype: DType, shape: Sequence[int], scale: float | None = None
) -> TensorType:
    """As q8, with any scale and a zero point that is often extreme."""
    low, high = dtype.range
    zero = int(rng.choice([low, high, (low + high + 1) // 2, int(rng.integers(low, high + 1))]))
    return q8(dtype, shape, 10 ** rng.uniform(-3, 0) if scale is None else scale, zero)


def fill(rng: np.random.Generator, t: TensorType) -> Array:
    """Random data, a quarter of the time extreme values only."""
    low, high = t.dtype.range
    if rng.integers(4) == 0:
        return rng.choice([low, high], size=t.shape).astype(t.dtype.numpy)
    return rng.integers(low, high + 1, size=t.shape).astype(t.dtype.numpy)


def every_byte(t: TensorType) -> Array:
    """All 256 values of an 8-bit type."""
    return np.arange(256, dtype=np.uint8).view(t.dtype.numpy).reshape(t.shape)


def check(
    builtin: str,
    op: Op,
    inputs: Sequence[tuple[TensorType, Array]],
    out: TensorType,
    options: str = "",
    *,
    constants: Sequence[int] = (),
    extra: Sequence[tuple[TensorType, Array]] = (),
    **fields: Any,
) -> None:
    """Require the reference to equal LiteRT's default CPU path bit for bit.

    ``constants`` are the positions of inputs that the file holds as constants; ``extra`` are
    constant inputs of the file that ``op`` holds as attributes.
    """
    tensors = [Tensor(t, a if i in constants else None) for i, (t, a) in enumerate(inputs)]
    tensors += [Tensor(t, a) for t, a in extra]
    types = [t for t, _ in inputs]
    arrays = [a for _, a in inputs]
    assert op.infer(types)[0].shape == out.shape
    assert op.infer(types)[0].dtype == out.dtype
    model = single(builtin, tensors, [out], options, **fields)
    (expected,) = run_litert(model, [a for i, a in enumerate(arrays) if i not in constants])
    (found,) = op.reference(arrays, types, [out])
    case = f"{op} of {[str(t) for t in types]} -> {out}"
    np.testing.assert_array_equal(found, expected, err_msg=case, strict=True)


def vector(values: Sequence[int]) -> tuple[TensorType, Array]:
    """A constant int32 vector."""
    return TensorType((len(values),), DType.INT32), np.asarray(values, np.int32)


def same_padding(size: int, taps: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME padding along one dimension: before, after."""
    out = -(-size // stride)
    total = max((out - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def raised(t: TensorType, by: int = 128) -> TensorType:
    """An int8 type as uint8, its zero point raised by 128: the same real values."""
    assert t.quant is not None
    quant = QParams(t.quant.scale, tuple(z + by for z in t.quant.zero_point), t.quant.axis)
    return TensorType(t.shape, DType.UINT8, quant)


def raised_data(a: Array) -> Array:
    """int8 data plus 128, as uint8."""
    return (a.astype(np.int32) + 128).astype(np.uint8)
