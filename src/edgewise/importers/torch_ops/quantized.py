"""quantized_decomposed.*: what PyTorch's quantization in two steps (pt2e) leaves in a program."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...dtype import DType, QParams
from ...graph import Value
from ..torch_call import Call, Reader, dtype_of

KNOWN = (DType.UINT8, DType.INT8, DType.INT16)


def parameters(call: Call, axis: int | None) -> QParams:
    """Scale and zero point, or those of each element of a dimension; they must be constant."""
    if axis is None:
        scale, zero = float(call.number("scale")), call.integer("zero_point")
        return checked(call, (scale,), (zero,), None)
    scales = call.known(call.value("scales"), "scales").ravel()
    zeros = np.zeros(len(scales), np.int64)
    if call.get("zero_points") is not None:
        zeros = call.known(call.value("zero_points"), "zero_points").ravel()
    if len(zeros) != len(scales):
        raise call.error(f"{len(scales)} scales and {len(zeros)} zero points; as many of each")
    return checked(call, tuple(scales.tolist()), tuple(int(z) for z in zeros), axis)


def checked(
    call: Call, scale: tuple[float, ...], zero: tuple[int, ...], axis: int | None
) -> QParams:
    bad = [s for s in scale if not 0 < s < np.inf]
    if bad or not scale:
        raise call.error(f"scale {bad[:1]}; it is positive and finite")
    low, high = kind(call).range
    if min(zero) < low or max(zero) > high:
        raise call.error(f"zero point {min(zero)} to {max(zero)}; it is within {low} to {high}")
    return QParams(scale, zero, axis)


def kind(call: Call) -> DType:
    """The integers' element type."""
    return dtype_of(call.get("dtype"))


def raw(call: Call, x: Value, quant: QParams) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """The integers of a constant: round(x / scale) + zero point, within the bounds."""
    shape = [-1 if i == quant.axis else 1 for i in range(len(x.type.shape))]
    scale = np.array(quant.scale, np.float32).reshape(shape)
    zero = np.array(quant.zero_point).reshape(shape)
    assert x.data is not None
    steps = np.rint(x.data * (np.float32(1) / scale)) + zero
    bounds = call.integer("quant_min"), call.integer("quant_max")
    return np.asarray(np.clip(steps, *bounds).astype(kind(call).numpy))


def quantize(channels: bool) -> Reader:
    def read(call: Call) -> Value:
        x = call.b.known(call.value("input"))
        if kind(call) not in KNOWN:
            raise call.unsupported(f"to {kind(call)}; supported are uint8, int8, int16")
        quant = parameters(call, call.axis("axis", len(x.type.shape)) if channels else None)
        if x.data is not None:
            return call.b.constant(raw(call, x, quant), x.name, quant)
        if channels:
            raise call.unsupported("a computed tensor by scales of channels")
        y = x
        least, most = kind(call).range
        scale, zero = quant.scale[0], quant.zero_point[0]
        low, high = call.integer("quant_min"), call.integer("quant_max")
        if low > least:
            y = call.one(ops.Maximum(), y, call.scalar((low - zero) * scale, x.type.dtype))
        if high < most:
            y = call.one(ops.Minimum(), y, call.scalar((high - zero) * scale, x.type.dtype))
        return call.b.one(ops.Quantize(kind(call)), [y], quant)

    return read


def dequantize(channels: bool) -> Reader:
    def read(call: Call) -> Value:
        x = call.value("input")
        if kind(call) not in (*KNOWN, DType.INT32):
            raise call.unsupported(f"of {kind(call)}; supported are uint8, int8, int16, int32")
        quant = parameters(call, call.axis("axis", len(x.type.shape)) if channels else None)
        if kind(call) is DType.INT32:
            return call.b.constant(real(call, x, quant))
        return call.b.dequantize(call.b.retype(x, quant), call.dtype)

    return read


def real(call: Call, x: Value, quant: QParams) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """int32 constants, as biases are, as floats."""
    data = call.known(x, "input")
    shape = [-1 if i == quant.axis else 1 for i in range(data.ndim)]
    zero = np.array(quant.zero_point).reshape(shape)
    scale = np.array(quant.scale, np.float32).reshape(shape)
    return np.asarray((data.astype(np.int64) - zero).astype(np.float32) * scale)


OPERATORS: dict[str, Reader] = {
    f"quantized_decomposed::{name}_per_{how}": read(how == "channel")
    for name, read in (("quantize", quantize), ("dequantize", dequantize))
    for how in ("tensor", "channel")
}
