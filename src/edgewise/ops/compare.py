"""Comparisons, logic and bits: functions of two elements whose results are bool or raw bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .binary import Binary, Function, RawBinary
from .checks import ARITHMETIC, Kind
from .fixed_point import multiply
from .requant import per_tensor

ORDERED = (*ARITHMETIC, Kind.BOOL)


class Comparison(Binary):
    """Base of the comparisons, whose result is bool.

    Quantized: fixed_point.multiply((q - zero point) << 8, scale) of both sides is compared, as
    TensorFlow Lite does, which makes close values equal where a scale is below 1 / 256. int16 of
    one quantization: raw values.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ORDERED
    function: ClassVar[Function]

    def compute(self, a: Array, b: Array) -> Array:
        return type(self).function(a, b)

    def output_dtype(self, dtype: DType) -> DType:
        return DType.BOOL

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        if inputs[0].dtype is DType.INT16 and inputs[0].quant == inputs[1].quant:
            return self.compute(arrays[0], arrays[1])
        sides = []
        for x, t in zip(arrays, inputs, strict=True):
            scale, zero = per_tensor(t, self.name)
            sides.append(multiply((x.astype(np.int64) - zero) << 8, float(scale)))
        return self.compute(*sides)


class _Raw(RawBinary):
    """Base of functions of raw values, given by ``function``."""

    function: ClassVar[Function]

    def compute(self, a: Array, b: Array) -> Array:
        return type(self).function(a, b)


def _right_shift(a: Array, b: Array) -> Array:
    """a >> b, where b is clamped to the bits that a has."""
    return np.asarray(np.right_shift(a, np.clip(b, 0, a.dtype.itemsize * 8 - 1)))


def _binary(
    base: type[Binary], name: str, function: Function, doc: str, kinds: Sequence[Kind]
) -> type[Binary]:
    """A class of ``base`` called as the operator is, in CamelCase."""
    members = {
        "__doc__": doc,
        "__module__": __name__,
        "name": name,
        "function": staticmethod(function),
        "kinds": tuple(kinds),
    }
    return type(name.title().replace("_", ""), (base,), members)


_ANY = (*ORDERED, Kind.COMPLEX, Kind.STRING)
_BOOL, _INTEGER = (Kind.BOOL,), (Kind.INTEGER, Kind.QUANTIZED)

Equal = _binary(Comparison, "EQUAL", np.equal, "a == b", _ANY)
NotEqual = _binary(Comparison, "NOT_EQUAL", np.not_equal, "a != b", _ANY)
Less = _binary(Comparison, "LESS", np.less, "a < b", ORDERED)
LessEqual = _binary(Comparison, "LESS_EQUAL", np.less_equal, "a <= b", ORDERED)
Greater = _binary(Comparison, "GREATER", np.greater, "a > b", ORDERED)
GreaterEqual = _binary(Comparison, "GREATER_EQUAL", np.greater_equal, "a >= b", ORDERED)
LogicalAnd = _binary(_Raw, "LOGICAL_AND", np.logical_and, "a and b", _BOOL)
LogicalOr = _binary(_Raw, "LOGICAL_OR", np.logical_or, "a or b", _BOOL)
BitwiseXor = _binary(_Raw, "BITWISE_XOR", np.bitwise_xor, "a ^ b", (*_INTEGER, *_BOOL))
RightShift = _binary(
    _Raw, "RIGHT_SHIFT", _right_shift, "a >> b, arithmetic for signed types", _INTEGER
)
