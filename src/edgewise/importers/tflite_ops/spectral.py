"""The Fourier transform and parts of complex numbers."""

from __future__ import annotations

from ... import ops
from .. import tflite_schema as schema
from ..tflite_call import Built, Call, Row, plain


def rfft2d(call: Call) -> Built:
    height, width = call.constant(1, count=2)
    return ops.Rfft2d((height, width)), call.operands(0)


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.COMPLEX_ABS: Row("COMPLEX_ABS", plain(ops.ComplexAbs)),
    _B.IMAG: Row("IMAG", plain(ops.Imag)),
    _B.REAL: Row("REAL", plain(ops.Real)),
    _B.RFFT2D: Row("RFFT2D", rfft2d, (2, 2)),
}
