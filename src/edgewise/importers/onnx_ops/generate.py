"""Random numbers: each operator has a generator, whose counter is a variable.

The numbers are not those of ONNX Runtime; the standard leaves them open.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops.random import COUNTER
from ..onnx_call import Call, Row
from .conversions import as_dtype

UNIFORM, NORMAL = ("low", "high"), ("mean", "scale")
"""Attributes of each distribution."""

LARGEST = 2**31 - 1
"""The most numbers that one operator draws."""


def _counter(call: Call) -> Value:
    """The generator's variable, from 0 on."""
    start = np.zeros(COUNTER.shape, COUNTER.dtype.numpy)
    start.setflags(write=False)
    if call.b is not call.reading.session.main:
        raise call.unsupported("random numbers in conditions and loops")
    return call.b.state(f"{call.b.origin}/generator", start)


def _seeds(call: Call) -> tuple[tuple[int, int], int]:
    """The seed, whose bits are those of its float32, and a number of its own for the node."""
    if "seed" not in call.attributes:
        return (0, 0), len(call.b.nodes) + 1
    bits = np.float32(call.real("seed")).view(np.int32)
    return (int(bits), 1), 0


def _drawn(call: Call, op: Callable[..., ops.Op], shape: tuple[int, ...]) -> Value:
    if min(shape, default=0) < 0 or math.prod(shape) > LARGEST:
        raise call.error(f"shape {list(shape)}; it has at most {LARGEST} elements")
    counter = _counter(call)
    numbers, after = call.b.add(op(*_seeds(call), shape), [counter])
    call.b.keep(counter, after)
    return numbers


def random(
    op: Callable[..., ops.Op], names: tuple[str, str], like: bool
) -> Callable[[Call], Value]:
    """Numbers scaled and shifted by attributes; in the shape of the input if ``like``."""

    def read(call: Call) -> Value:
        shape = call.shape(0) if like else call.ints("shape")
        code = call.code(0) if like else 1
        dtype = call.dtype(call.integer("dtype", code))
        add, times = call.real(names[0], 0.0), call.real(names[1], 1.0)
        if names is UNIFORM:
            times -= add
        y = _drawn(call, op, shape)
        y = call.one(ops.Mul(), y, call.number(times, y))
        return as_dtype(call, call.one(ops.Add(), y, call.number(add, y)), dtype)

    return read


def bernoulli(call: Call) -> Value:
    """1 with the probability that the input tells, else 0."""
    x = call.value(0)
    y = call.one(ops.Less(), _drawn(call, ops.RandomUniform, x.type.shape), _float32(call, x))
    return as_dtype(call, y, call.dtype(call.integer("dtype", call.code(0))))


def multinomial(call: Call) -> Value:
    """Classes of rows of logarithms of probabilities."""
    count = call.integer("sample_size", 1)
    dtype = call.dtype(call.integer("dtype", 6))
    if not 0 < count <= LARGEST:
        raise call.error(f"sample_size {count}; it is 1 to {LARGEST}")
    counter = _counter(call)
    op = ops.Multinomial(*_seeds(call), count, dtype)
    drawn, after = call.b.add(op, [_float32(call, call.value(0)), counter])
    call.b.keep(counter, after)
    return drawn


def _float32(call: Call, x: Value) -> Value:
    return as_dtype(call, x, DType.FLOAT32)


OPERATORS: dict[str, Row] = {
    "Bernoulli": Row(bernoulli),
    "Multinomial": Row(multinomial),
    "RandomNormal": Row(random(ops.RandomStandardNormal, NORMAL, like=False), (0, 0)),
    "RandomNormalLike": Row(random(ops.RandomStandardNormal, NORMAL, like=True)),
    "RandomUniform": Row(random(ops.RandomUniform, UNIFORM, like=False), (0, 0)),
    "RandomUniformLike": Row(random(ops.RandomUniform, UNIFORM, like=True)),
}
