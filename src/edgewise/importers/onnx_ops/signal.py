"""Fourier transforms, windows of signals, weights of mel frequencies."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ... import ops
from ...dtype import DType
from ...errors import GraphError
from ...graph import Array, Value
from ..onnx_call import Call, Row
from .products import product

MAX_LENGTH = 2**20
"""The longest window, transform or row of weights that is made."""

MAX_PRODUCT = 2**20
"""A transform of more weights is DFT and no matrix product."""


def dft(call: Call) -> Value:
    rank = call.rank(0)
    since20 = call.whole(2) if call.opset >= 20 and call.has(2) else -2
    axis = call.axis(since20 if call.opset >= 20 else call.integer("axis", 1), rank)
    inverse, onesided = call.flag("inverse"), call.flag("onesided")
    size = call.shape(0)[axis]
    length = 2 * (size - 1) if inverse and onesided else size
    if call.has(1):
        length = call.whole(1)
    if not 0 < length <= MAX_LENGTH:
        raise call.error(f"a transform of {length} samples; it has 1 to {MAX_LENGTH}")
    return transform(call, call.value(0), ops.Dft(axis, length, inverse, onesided))


def transform(call: Call, x: Value, op: ops.Dft) -> Value:
    """A matrix product for short signals of float32, else the operator."""
    try:
        (out,) = op.infer([x.type])
    except GraphError as error:
        raise call.error(f"{error}") from error
    parts, size = x.type.shape[-1], x.type.shape[op.axis]
    count = out.shape[op.axis] * out.shape[-1]
    if x.type.dtype is not DType.FLOAT32 or size * parts * count > MAX_PRODUCT:
        return call.one(op, x)
    rank = len(x.type.shape)
    perm = [*(i for i in range(rank - 1) if i != op.axis), op.axis, rank - 1]
    lead = [x.type.shape[i] for i in perm[:-2]]
    rows = call.b.reshape(call.b.transpose(x, perm), (*lead, size * parts))
    call.b.afford(2 * size * parts * count)
    weights = call.b.constant(matrix(op, size, parts, out.shape[op.axis]).astype(np.float32))
    y = call.b.reshape(product(call, rows, weights), (*lead, out.shape[op.axis], out.shape[-1]))
    return call.b.transpose(y, [perm.index(i) for i in range(rank)])


def matrix(op: ops.Dft, size: int, parts: int, count: int) -> Array:
    """What a transform multiplies rows [size * parts] by, for ``count`` results.

    The real and imaginary parts of w = e**(-+2 pi i / length) to the powers of n k, turned by i
    for imaginary input. Where half a spectrum becomes a real signal, other terms than the first
    and the middle one stand for two.
    """
    n, k, length = np.arange(size)[:, None], np.arange(count), op.length
    to_real = op.inverse and op.onesided
    unit = np.exp((2j if op.inverse else -2j) * np.pi * (n * k % length) / length)
    used = length // 2 + 1 if to_real else length
    unit = np.where(n < used, unit, 0) / (length if op.inverse else 1)
    if to_real:
        unit = np.where((n == 0) | (2 * n == length), 1, 2) * unit
    columns = np.stack([unit, 1j * unit][:parts], 1)
    results = [columns.real] if to_real else [columns.real, columns.imag]
    return np.stack(results, -1).reshape(size * parts, -1)


def stft(call: Call) -> Value:
    """Frames [B, F, length] of a signal [B, L, 1 or 2], times the window, transformed."""
    signal, step = call.value(0), call.whole(1)
    window = call.optional(2)
    if call.rank(0) == 2:
        signal = call.b.reshape(signal, (*signal.type.shape, 1))
    _, samples, parts = (*signal.type.shape, 0, 0, 0)[:3]
    length = samples if window is None else window.type.size
    if call.has(3):
        length = call.whole(3)
    if not (0 < length <= min(samples, MAX_LENGTH) and step > 0 and len(signal.type.shape) == 3):
        raise call.error(
            f"signal {list(signal.type.shape)}, frames of {length} every {step}; it has rank 3, "
            "and frames fit it"
        )
    if window is not None and window.type.shape != (length,):
        raise call.error(f"window {list(window.type.shape)}; it has {length} elements")
    starts = np.arange(0, samples - length + 1, step, dtype=np.int32)
    call.b.afford(len(starts) * length)
    places = call.b.constant(starts[:, None] + np.arange(length, dtype=np.int32))
    frames = call.one(ops.Gather(1), signal, places)
    if window is not None:
        frames = call.one(ops.Mul(), frames, call.b.reshape(window, (length, 1)))
    onesided = call.flag("onesided", True) and parts == 1
    return transform(call, frames, ops.Dft(2, length, False, onesided))


def window(terms: tuple[float, ...]) -> Callable[[Call], Value]:
    """A sum of cosines: the terms times cos(2 pi i n / N), i from 0."""

    def read(call: Call) -> Value:
        size = call.whole(0)
        if not 0 <= size <= MAX_LENGTH:
            raise call.error(f"a window of {size} elements; it has 0 to {MAX_LENGTH}")
        call.b.afford(size)
        period = size if call.flag("periodic", True) else size - 1
        angle = 2 * np.pi * np.arange(size) / max(period, 1)
        values = sum((c * np.cos(i * angle) for i, c in enumerate(terms)), np.zeros(size))
        return _of_type(call, values)

    return read


def _of_type(call: Call, values: Array) -> Value:
    dtype = call.dtype(call.integer("output_datatype", 1))
    if dtype not in NUMBERS:
        raise call.error(f"output_datatype is {dtype}; it must be of numbers")
    return call.b.constant(values.astype(dtype.numpy))


NUMBERS = frozenset(d for d in DType if d.is_float or d.is_integer)


def mel_weights(call: Call) -> Value:
    """Triangles over the bins of a spectrum: [length // 2 + 1, count]."""
    count, length, rate = (call.whole(i) for i in range(3))
    low, high = (float(call.scalar(i)) for i in (3, 4))
    bins = length // 2 + 1
    if min(count, length, rate) <= 0:
        raise call.error(f"{count} bands, {length} samples at {rate} Hz; each is positive")
    call.b.afford(count * bins)
    if not 0 <= low <= high <= rate:
        raise call.error(f"frequencies {low} to {high} Hz; they lie between 0 and {rate}")
    ends = [2595 * math.log10(1 + f / 700) for f in (low, high)]
    mel = ends[0] + np.arange(count + 2) * (ends[1] - ends[0]) / (count + 2)
    places = ((length + 1) * (700 * (10 ** (mel / 2595) - 1)) // rate).astype(np.int64)
    weights = np.zeros((bins, count))
    at = np.arange(bins)
    for i in range(count):
        left, centre, right = places[i : i + 3]
        if left == centre:
            weights[np.minimum(centre, bins - 1), i] = 1
        else:
            rising = (at >= left) & (at <= centre)
            weights[rising, i] = (at[rising] - left) / (centre - left)
        if right > centre:
            falling = (at >= centre) & (at < right)
            weights[falling, i] = (right - at[falling]) / (right - centre)
    return _of_type(call, weights)


OPERATORS: dict[str, Row] = {
    "BlackmanWindow": Row(window((0.42, -0.5, 0.08))),
    "DFT": Row(dft, (1, 3)),
    "HammingWindow": Row(window((25 / 46, -21 / 46))),
    "HannWindow": Row(window((0.5, -0.5))),
    "MelWeightMatrix": Row(mel_weights, (5, 5)),
    "STFT": Row(stft, (2, 4)),
}
