"""Files of one operator that computes: elementwise, reductions, normalisations, conversions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tflite_files import F32, I8, I32, U8, Case, ints, quantized, real

from edgewise.dtype import DType
from edgewise.graph import TensorType
from tflite_builder import TYPES, Tensor

BOOL, I16, I64 = DType.BOOL, DType.INT16, DType.INT64
EXACT, CLOSE = 0, 1e-5


def of(dtype: DType, *shape: int) -> TensorType:
    return TensorType(shape, dtype)


def unary(
    builtin: str, x: TensorType, y: TensorType | None = None, options: str = "", **fields: Any
) -> Case:
    tolerance = CLOSE if x.dtype is F32 else EXACT
    return Case(builtin, [Tensor(x)], [x if y is None else y], options, fields, tolerance)


def binary(
    builtin: str,
    a: TensorType,
    b: TensorType | None = None,
    y: TensorType | None = None,
    options: str = "",
    **fields: Any,
) -> Case:
    tolerance = CLOSE if a.dtype is F32 else EXACT
    inputs = [Tensor(a), Tensor(a if b is None else b)]
    return Case(builtin, inputs, [a if y is None else y], options, fields, tolerance)


def by(builtin: str, divisors: Sequence[float], dtype: DType, options: str = "") -> Case:
    """A function of a tensor and a constant of the same dtype."""
    constant = np.array(divisors, dtype.numpy)
    inputs = [Tensor(of(dtype, 4, len(divisors))), Tensor(of(dtype, len(divisors)), constant)]
    tolerance = CLOSE if dtype is F32 else EXACT
    return Case(builtin, inputs, [of(dtype, 4, len(divisors))], options, {}, tolerance)


def compared(builtin: str, dtype: DType = F32) -> Case:
    a, b = of(dtype, 2, 3, 4), of(dtype, 4)
    return Case(builtin, [Tensor(a), Tensor(b)], [of(BOOL, 2, 3, 4)], "", {}, EXACT)


def reduced(
    builtin: str, x: TensorType, y: TensorType, axes: Tensor, tolerance: float, keep: bool = False
) -> Case:
    return Case(builtin, [Tensor(x), axes], [y], "ReducerOptions", {"KeepDims": keep}, tolerance)


def casted(x: DType, y: DType) -> Case:
    fields = {"InDataType": TYPES[x], "OutDataType": TYPES[y]}
    return Case("CAST", [Tensor(of(x, 3, 5))], [of(y, 3, 5)], "CastOptions", fields, EXACT)


S16 = quantized((2, 5), I16, 2.0**-10, 0)
Q15 = quantized((2, 5), I16, 2.0**-15, 0)
FROM_0 = quantized((2, 5), I8, 0.05, -128)

CASES: dict[str, Case] = {
    "abs": unary("ABS", of(I32, 2, 5)),
    "abs int8": unary("ABS", quantized((2, 5)), quantized((2, 5), I8, 0.04, -20)),
    "neg": unary("NEG", of(I64, 2, 5)),
    "exp": unary("EXP", real(2, 5))._replace(tolerance=1e-2),
    "exp int16": unary("EXP", S16, S16),
    "log": unary("LOG", FROM_0, quantized((2, 5), I8, 0.03, -10)),
    "sqrt": unary("SQRT", FROM_0, quantized((2, 5), I8, 0.02, -100)),
    "rsqrt": unary("RSQRT", FROM_0, quantized((2, 5), I8, 0.02, -100)),
    "square": unary("SQUARE", real(2, 5)),
    "sin": unary("SIN", real(2, 5)),
    "cos": unary("COS", real(2, 5)),
    "floor": unary("FLOOR", real(2, 5)),
    "ceil": unary("CEIL", real(2, 5)),
    "round": unary("ROUND", real(2, 5)),
    "sign": unary("SIGN", real(2, 5)),
    "elu": unary("ELU", real(2, 5)),
    "elu int8": unary("ELU", quantized((2, 5)), quantized((2, 5), I8, 0.04, 5)),
    "gelu": unary("GELU", real(2, 5), options="GeluOptions"),
    "gelu by tanh": unary("GELU", real(2, 5), options="GeluOptions", Approximate=True),
    "relu 0 to 1": unary("RELU_0_TO_1", quantized((2, 5))),
    "logical not": unary("LOGICAL_NOT", of(BOOL, 2, 5)),
    "tanh int16": unary("TANH", S16, Q15),
    "logistic int16": unary("LOGISTIC", S16, Q15),
    "softmax int16": unary("SOFTMAX", S16, Q15, "SoftmaxOptions", Beta=1.0),
    "prelu": Case(
        "PRELU",
        [Tensor(real(2, 3, 4)), Tensor(real(1, 4), np.array([[-1, 0, 0.5, 2]], np.float32))],
        [real(2, 3, 4)],
        tolerance=CLOSE,
    ),
    "prelu int8": binary("PRELU", quantized((2, 3, 4)), quantized((4,), I8, 0.01, 7)),
    "add int32": binary("ADD", of(I32, 2, 5), options="AddOptions", FusedActivationFunction=1),
    "add int16": binary("ADD", S16, options="AddOptions", PotScaleInt16=False),
    "add powers of two": binary("ADD", S16, quantized((2, 5), I16, 2.0**-12, 0), S16, "AddOptions"),
    "sub powers of two": binary("SUB", quantized((2, 5), I16, 2.0**-12, 0), S16, S16, "SubOptions"),
    "mul int16": binary("MUL", S16, S16, quantized((2, 5), I16, 0.003, 0), "MulOptions"),
    "div": by("DIV", [3, -2, 0.5], F32, "DivOptions"),
    "div int32": by("DIV", [3, -2, 7], I32, "DivOptions"),
    "floor div": by("FLOOR_DIV", [3, -2, 7], I32),
    "floor mod": by("FLOOR_MOD", [3, -2, 7], I64),
    "floor mod float": by("FLOOR_MOD", [3, -2, 0.7], F32),
    "pow": binary("POW", of(I32, 2, 5))._replace(below=5),
    "maximum": binary("MAXIMUM", real(2, 3, 4), real(4)),
    "minimum": binary("MINIMUM", quantized((2, 3, 4)), quantized((2, 1, 4))),
    "squared difference": binary("SQUARED_DIFFERENCE", real(2, 3, 4), real(3, 1)),
    "squared difference int8": binary(
        "SQUARED_DIFFERENCE",
        quantized((2, 5)),
        quantized((2, 5), I8, 0.03, -9),
        quantized((2, 5), I8, 0.2, -128),
    ),
    "atan2": binary("ATAN2", real(2, 5)),
    "equal": compared("EQUAL", I64)._replace(below=3),
    "not equal": compared("NOT_EQUAL", I32)._replace(below=3),
    "less": compared("LESS"),
    "less equal": compared("LESS_EQUAL", I32)._replace(below=3),
    "greater": compared("GREATER"),
    "greater equal": compared("GREATER_EQUAL", I64)._replace(below=3),
    "greater quantized": binary(
        "GREATER", quantized((2, 5)), quantized((2, 5), I8, 0.04, -10), of(BOOL, 2, 5)
    ),
    "logical and": binary("LOGICAL_AND", of(BOOL, 2, 5), of(BOOL, 5)),
    "logical or": binary("LOGICAL_OR", of(BOOL, 2, 5)),
    "bitwise xor": binary("BITWISE_XOR", of(I16, 2, 5)),
    "right shift": by("RIGHT_SHIFT", [0, 1, 7], I32),
    "add n": Case("ADD_N", [Tensor(real(2, 5)) for _ in range(3)], [real(2, 5)], tolerance=CLOSE),
    "select": Case(
        "SELECT",
        [Tensor(of(BOOL, 2, 3)), Tensor(quantized((2, 3))), Tensor(quantized((2, 3)))],
        [quantized((2, 3))],
        tolerance=EXACT,
    ),
    "select rows": Case(
        "SELECT",
        [Tensor(of(BOOL, 4)), Tensor(of(I32, 4, 3)), Tensor(of(I32, 4, 3))],
        [of(I32, 4, 3)],
        tolerance=EXACT,
    ),
    "select broadcasts": Case(
        "SELECT_V2",
        [Tensor(of(BOOL, 4, 1)), Tensor(real(2, 1, 3)), Tensor(real(3))],
        [real(2, 4, 3)],
        tolerance=EXACT,
    ),
    "sum": reduced("SUM", real(2, 3, 4), real(2, 4), ints([1]), CLOSE),
    "sum int8": reduced(
        "SUM", quantized((2, 3, 4)), quantized((2, 1, 1), I8, 0.2), ints([1, -1]), EXACT, keep=True
    ),
    "mean int16": reduced(
        "MEAN", quantized((2, 7), I16, 0.001, 0), quantized((2,), I16, 0.0003, 0), ints([1]), EXACT
    ),
    "mean int32": reduced("MEAN", of(I32, 2, 7), of(I32, 2), ints([1]), EXACT),
    "product": reduced("REDUCE_PROD", of(I32, 2, 7), of(I32, 2), ints([1]), EXACT),
    "product int8": reduced(
        "REDUCE_PROD", quantized((9, 3)), quantized((9,), I8, 0.5), ints([1]), EXACT
    ),
    "reduce max": reduced("REDUCE_MAX", quantized((2, 3, 4)), quantized((3,)), ints([0, 2]), EXACT),
    "reduce min": reduced("REDUCE_MIN", of(I64, 2, 3, 4), of(I64, 2, 3), ints([-1]), EXACT),
    "reduce any": reduced("REDUCE_ANY", of(BOOL, 8, 2), of(BOOL, 8), ints([1]), EXACT),
    "reduce all": reduced("REDUCE_ALL", of(BOOL, 8, 2), of(BOOL, 8, 1), ints([1]), EXACT, True),
    "cumsum": Case(
        "CUMSUM",
        [Tensor(real(2, 3, 4)), ints(1)],
        [real(2, 3, 4)],
        "CumsumOptions",
        {"Exclusive": True, "Reverse": True},
        CLOSE,
    ),
    "arg min": Case(
        "ARG_MIN",
        [Tensor(quantized((2, 3, 4), U8)), ints(1)],
        [of(I64, 2, 4)],
        "ArgMinOptions",
        {"OutputType": TYPES[I64]},
        EXACT,
    ),
    "l2 normalization": unary("L2_NORMALIZATION", real(3, 7), options="L2NormOptions"),
    "l2 normalization int8": unary(
        "L2_NORMALIZATION", quantized((3, 7)), quantized((3, 7), I8, 1 / 128, 0), "L2NormOptions"
    ),
    "local response normalization": unary(
        "LOCAL_RESPONSE_NORMALIZATION",
        real(1, 2, 2, 9),
        options="LocalResponseNormalizationOptions",
        Radius=2,
        Bias=1.5,
        Alpha=0.25,
        Beta=0.75,
    ),
    "log softmax": unary("LOG_SOFTMAX", real(3, 7)),
    "log softmax int8": unary(
        "LOG_SOFTMAX", quantized((3, 7)), quantized((3, 7), I8, 16 / 256, 127)
    ),
    "cast": casted(F32, I8),
    "cast from bool": casted(BOOL, F32),
    "cast to bool": casted(I64, BOOL),
    "cast complex": casted(DType.COMPLEX64, F32),
    "bitcast": Case("BITCAST", [Tensor(of(I16, 3, 2))], [of(I32, 3)], "BitcastOptions", {}, EXACT),
    "quantize int16": unary("QUANTIZE", real(2, 5), S16, "QuantizeOptions")._replace(
        tolerance=EXACT
    ),
    "requantize int16": unary("QUANTIZE", S16, quantized((2, 5)), "QuantizeOptions"),
    "dequantize int16": unary("DEQUANTIZE", S16, real(2, 5), "DequantizeOptions"),
    "dequantize float16": unary(
        "DEQUANTIZE", of(DType.FLOAT16, 2, 5), real(2, 5), "DequantizeOptions"
    ),
    "fake quant": unary(
        "FAKE_QUANT", real(2, 5), None, "FakeQuantOptions", Min=-2.0, Max=3.3, NumBits=8
    ),
}
