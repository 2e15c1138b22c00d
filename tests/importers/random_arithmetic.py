"""Random files of one operator that computes: elementwise, reductions, conversions."""

from __future__ import annotations

import numpy as np
from random_draw import BOOL, C64, F16, F32, I8, I16, I32, I64, U8, Draw, Trial, gen

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import TYPES

UNARY_TYPES: dict[str, tuple[DType, ...]] = {
    **dict.fromkeys(["CEIL", "COS", "FLOOR", "ROUND", "SIN", "RELU_0_TO_1"], (F32,)),
    **dict.fromkeys(["SIGN"], (F32, I32)),
    "ABS": (F32, I8, I16, I32),
    "NEG": (F32, I32, I64, I8),
    "SQUARE": (F32,),
    "SQRT": (F32, I8),
    "RSQRT": (F32, I8, I16),
    "EXP": (F32, I8, I16),
    "LOG": (F32, I8),
    "ELU": (F32, I8),
    "HARD_SWISH": (F32, I8, U8),
    "LOGISTIC": (F32, I8, U8, I16),
    "TANH": (F32, I8, U8, I16),
    "RELU": (F32, I8, U8, I16),
    "RELU6": (F32, I8, U8),
    "RELU_N1_TO_1": (F32, I8, U8),
    "LOG_SOFTMAX": (F32, I8, U8),
    "LOGICAL_NOT": (BOOL,),
    "ZEROS_LIKE": (F32, I32, I64),
    "GELU": (F32, I8, U8),
    "LEAKY_RELU": (F32, I8, U8, I16),
    "SOFTMAX": (F32, I8, U8, I16),
    "L2_NORMALIZATION": (F32, I8, U8),
}
OUT_SCALE = {
    "LOGISTIC": 1 / 256,
    "TANH": 1 / 128,
    "SOFTMAX": 1 / 256,
    "LOG_SOFTMAX": 16 / 256,
    "L2_NORMALIZATION": 1 / 128,
}


@gen(*UNARY_TYPES)
def unary(d: Draw, name: str) -> Trial:
    dtype = d.one(UNARY_TYPES[name])
    rows = name in ("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION")
    d.zero &= not rows
    if rows:
        d.special = d.special[np.abs(d.special) != 3.4e38]
    t = d.type(d.shape(1 if rows else 0, 4 if rows else 5), dtype)
    out = t
    if t.quant:
        q = d.quant(dtype)
        if name in OUT_SCALE:
            low, high = dtype.range
            zero = {
                "TANH": (low + high + 1) // 2,
                "L2_NORMALIZATION": (low + high + 1) // 2,
                "LOG_SOFTMAX": high,
            }.get(name, low)
            q = QParams.per_tensor(OUT_SCALE[name], zero)
            if dtype is I16:
                q = QParams.per_tensor(1 / 32768, 0)
        elif name == "NEG":
            q = QParams.per_tensor(t.quant.scale[0], 0)
            t = TensorType(t.shape, t.dtype, q)
            d.wild = False
        out = TensorType(t.shape, dtype, q)
    data = None
    if t.quant and name == "NEG":
        data = d.rng.integers(-127, 128, t.shape)
    if dtype is I16 and name in ("EXP", "LOG"):
        t = TensorType(t.shape, dtype, QParams.per_tensor(2.0**-13, 0))
    if t.quant and name in ("SQRT", "RSQRT", "LOG"):
        low, high = dtype.range
        z = t.quant.zero_point[0]
        if z >= high:
            t = TensorType(
                t.shape, dtype, QParams.per_tensor(t.quant.scale[0], low if dtype is I8 else 0)
            )
            z = t.quant.zero_point[0]
        data = d.rng.integers(z + 1, high, t.shape, dtype.numpy, endpoint=True)
    options, fields = {
        "SOFTMAX": ("SoftmaxOptions", {"Beta": float(d.one((1.0, 1.0, 0.3, 2.5)))}),
        "GELU": ("GeluOptions", {"Approximate": d.chance(0.5)}),
        "LEAKY_RELU": ("LeakyReluOptions", {"Alpha": float(d.one((0.1, 0.25, -0.5, 0.0, 1.5)))}),
        "L2_NORMALIZATION": ("L2NormOptions", {}),
    }.get(name, ("", {}))
    scaled = rows or name == "GELU"
    step = int(name == "LOG_SOFTMAX" or (name == "SOFTMAX" and dtype is I16))
    return d.trial(name, [d.input(t, data)], [out], options, scaled=scaled, step=step, **fields)


BINARY_TYPES: dict[str, tuple[DType, ...]] = {
    "ADD": (F32, I8, U8, I16, I32, I64),
    "SUB": (F32, I8, U8, I16, I32, I64),
    "MUL": (F32, I8, U8, I16, I32, I64, C64),
    "DIV": (F32, U8, I32),
    "MAXIMUM": (F32, I8, U8, I16, I32, I64),
    "MINIMUM": (F32, I8, U8, I16, I32, I64),
    "POW": (F32, I32),
    "SQUARED_DIFFERENCE": (F32, I8, I32),
    "ATAN2": (F32,),
    "FLOOR_DIV": (F32, I8, I16, I32),
    "FLOOR_MOD": (F32, I8, I16, I32, I64),
    **dict.fromkeys(["EQUAL", "NOT_EQUAL"], (F32, I8, U8, I32, I64, BOOL, I16)),
    **dict.fromkeys(
        ["LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"], (F32, I8, U8, I32, I64, I16)
    ),
    **dict.fromkeys(["LOGICAL_AND", "LOGICAL_OR"], (BOOL,)),
    "BITWISE_XOR": (I8, U8, I16, I32),
    "RIGHT_SHIFT": (I8, U8, I16, I32),
    "PRELU": (F32, I8, U8),
}
COMPARE = ["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"]
FUSED = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}


@gen(*BINARY_TYPES)
def binary(d: Draw, name: str) -> Trial:
    dtype = d.one(BINARY_TYPES[name])
    a, b = d.broadcast(0, 5)
    plain = name in ("FLOOR_DIV", "FLOOR_MOD", "BITWISE_XOR", "RIGHT_SHIFT")
    quantized = False if plain else None
    ta, tb = d.type(a, dtype, quantized), d.type(b, dtype, quantized)
    tout = d.type((), dtype, quantized)
    if name in COMPARE and ta.quant:
        ta = TensorType(
            a, dtype, QParams.per_tensor(min(ta.quant.scale[0], 0.9), ta.quant.zero_point[0])
        )
        tb = TensorType(
            b, dtype, QParams.per_tensor(min(tb.quant.scale[0], 0.9), tb.quant.zero_point[0])
        )
    if name == "ATAN2":
        b = a
        tb = TensorType(b, dtype)
    if name == "PRELU":
        a = tuple(np.broadcast_shapes(a, b))
        ta = TensorType(a, dtype, ta.quant)
    same = dtype is I16 and name in COMPARE
    if ta.quant and (name in ("MAXIMUM", "MINIMUM") or same or d.chance(0.2)):
        tb = TensorType(b, dtype, ta.quant)
        tout = TensorType((), dtype, ta.quant)
    if name in COMPARE:
        tout = TensorType((), BOOL)
    x = y = None
    if name in ("FLOOR_DIV", "FLOOR_MOD", "DIV") and dtype.is_integer:
        y = d.values(tb)
        y = np.where(y == (tb.quant.zero_point[0] if tb.quant else 0), 1, y)
        if tb.quant:
            y = np.where(y == tb.quant.zero_point[0], tb.quant.zero_point[0] - 1, y)
        x = d.values(ta)
        if dtype in (I32, I64):
            y = np.where(y == -1, 2, y)
    d.odd |= name == "DIV" and dtype is U8
    if name == "RIGHT_SHIFT":
        y = d.values(tb, 0, 7)
    if name == "POW" and dtype is I32:
        x, y = d.values(ta, -5, 5), d.values(tb, 0, 9)
    fields = {}
    if name in FUSED and dtype in (F32, I8, U8, I16, I32):
        fields = {"FusedActivationFunction": d.one((0, 0, 1, 2, 3))}
    first = d.operand(ta, x)
    second = d.operand(tb, y, 0.25 if first.data is None else 0)
    return d.trial(name, [first, second], [tout], FUSED.get(name, ""), **fields)


@gen("ADD_N")
def add_n(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 4), d.one((F32, I32)))
    return d.trial(name, [d.input(t) for _ in range(d.int(1, 5))], [t], "AddNOptions")


@gen("SELECT", "SELECT_V2")
def select(d: Draw, name: str) -> Trial:
    dtype = d.one((F32, I8, U8, I16, I32, I64, BOOL))
    a, b = d.broadcast(0, 4)
    a = (*a, 2) if np.prod(a) == 1 else a
    b = (*b, 1) if len(b) < len(a) else b
    c = d.one((a, b))
    q = d.type((), dtype).quant
    if name == "SELECT":
        b = c = a
        cond = d.one((a, a, a[:1] if a else a, ()))
        a = cond
    ta, tb, tc = TensorType(a, BOOL), TensorType(b, dtype, q), TensorType(c, dtype, q)
    return d.trial(name, [d.input(ta), d.operand(tb), d.operand(tc)], [TensorType((), dtype, q)])


REDUCE_TYPES = {
    "SUM": (F32, I8, U8, I16, I32, I64),
    "MEAN": (F32, I8, U8, I16, I32, I64),
    "REDUCE_PROD": (F32, I8, I16, I32, I64),
    "REDUCE_MAX": (F32, I8, U8, I16, I32, I64),
    "REDUCE_MIN": (F32, I8, U8, I16, I32, I64),
    "REDUCE_ANY": (BOOL,),
    "REDUCE_ALL": (BOOL,),
}


@gen(*REDUCE_TYPES)
def reduction(d: Draw, name: str) -> Trial:
    if name in ("SUM", "MEAN", "REDUCE_PROD"):
        d.finite()
    dtype = d.one(REDUCE_TYPES[name])
    t = d.type(d.shape(0, 5), dtype)
    q = t.quant
    if q and name in ("SUM", "MEAN", "REDUCE_PROD") and d.chance(0.7):
        q = d.quant(dtype)
    rank = len(t.shape)
    count = d.int(0, rank)
    d.odd |= name == "REDUCE_PROD" and q is not None and count == 0
    axes = d.rng.permutation(rank)[:count].tolist()
    axes = [a - rank if d.chance(0.4) else a for a in axes]
    if axes and d.chance(0.1):
        axes.append(axes[0])
    data = axes[0] if len(axes) == 1 and d.chance(0.3) else axes
    return d.trial(
        name,
        [d.input(t), d.index(data)],
        [TensorType((), dtype, q)],
        "ReducerOptions",
        KeepDims=d.chance(0.5),
        scaled=True,
    )


@gen("CUMSUM")
def cumsum(d: Draw, name: str) -> Trial:
    d.finite()
    t = d.type(d.shape(1, 5), d.one((F32, I32, I64)))
    axis = d.int(-len(t.shape), len(t.shape) - 1)
    return d.trial(
        name,
        [d.input(t), d.index(axis)],
        [t],
        "CumsumOptions",
        Exclusive=d.chance(0.5),
        Reverse=d.chance(0.5),
        scaled=True,
    )


@gen("ARG_MAX", "ARG_MIN")
def arg(d: Draw, name: str) -> Trial:
    t = d.type(
        d.shape(1, 5), d.one((F32, I8, U8, I32, BOOL) if name == "ARG_MAX" else (F32, I8, U8, I32))
    )
    axis = d.int(-len(t.shape), len(t.shape) - 1)
    out = d.one((I32, I64))
    axis_type = d.one((I32, I64))
    opt = "ArgMaxOptions" if name == "ARG_MAX" else "ArgMinOptions"
    return d.trial(
        name,
        [d.input(t), d.index(d.one((axis, [axis])), axis_type)],
        [TensorType((), out)],
        opt,
        OutputType=TYPES[out],
    )


@gen("LOCAL_RESPONSE_NORMALIZATION")
def lrn(d: Draw, name: str) -> Trial:
    d.special = d.special[np.abs(d.special) != 3.4e38]
    t = d.type(d.shape(4, 4), F32)
    return d.trial(
        name,
        [d.input(t)],
        [t],
        "LocalResponseNormalizationOptions",
        Radius=d.int(0, 5),
        Bias=float(d.one((1.0, 2.0))),
        Alpha=float(d.one((0.1, 1.0, 4.0))),
        Beta=float(d.one((0.5, 0.75, 1.0))),
    )


@gen("CAST")
def cast(d: Draw, name: str) -> Trial:
    all_ = (F32, I32, I64, I8, U8, I16, BOOL, F16, DType.UINT16, DType.UINT32, DType.FLOAT64)
    a, b = d.one(all_), d.one(all_)
    t = TensorType(d.shape(0, 5), a)
    data = d.values(t)
    if a.is_float and b.is_integer and not d.chance(0.3):
        data = d.rng.uniform(max(b.range[0], -60000), min(b.range[1], 60000), t.shape)
    return d.trial(
        name, [d.input(t, data)], [TensorType((), b)], "CastOptions" if d.chance(0.5) else ""
    )


@gen("BITCAST")
def bitcast(d: Draw, name: str) -> Trial:
    a = d.one((F32, I32, I64, I8, U8, I16, DType.UINT32, DType.UINT16))
    b = d.one((F32, I32, I64, I8, U8, I16, DType.UINT32, DType.UINT16))
    shape = d.shape(0, 3)
    if a.itemsize < b.itemsize:
        shape = (*shape, b.itemsize // a.itemsize)
    return d.trial(name, [d.input(TensorType(shape, a))], [TensorType((), b)], "")


@gen("QUANTIZE")
def quantize(d: Draw, name: str) -> Trial:
    a, b = d.one(
        (
            (F32, I8),
            (F32, U8),
            (F32, I16),
            (I8, I8),
            (U8, U8),
            (I8, U8),
            (U8, I8),
            (I16, I16),
            (I16, I8),
            (I32, I8),
            (I8, I16),
            (I32, I16),
            (I16, I32),
        )
    )
    t = d.type(d.shape(0, 5), a, a is not F32)
    out = d.type((), b, True)
    if {a, b} == {I8, U8} and d.chance(0.5):
        t = TensorType(t.shape, a, QParams.per_tensor(0.1, 3 if a is I8 else 131))
        out = TensorType((), b, QParams.per_tensor(0.1, 3 if b is I8 else 131))
    if I32 in (a, b):
        t, out = (
            TensorType(v.shape, I32, QParams.per_tensor(v.quant.scale[0] / 10, 0))
            if v.dtype is I32
            else v
            for v in (t, out)
        )
    data = d.values(t, -20000, 20000) if a is I32 else None
    return d.trial(
        name, [d.input(t, data)], [out], "QuantizeOptions", step=1 if {a, b} == {I8, U8} else 0
    )


@gen("DEQUANTIZE")
def dequantize(d: Draw, name: str) -> Trial:
    a = d.one((I8, U8, I16, F16))
    t = d.type(d.shape(0, 5), a, a is not F16)
    if d.chance(0.2) and a in (I8, U8) and t.shape:
        axis = d.int(0, len(t.shape) - 1)
        n = t.shape[axis]
        t = TensorType(
            t.shape,
            a,
            QParams(tuple(d.scale() for _ in range(n)), (0,) * n, axis if n > 1 else None)
            if n
            else t.quant,
        )
    return d.trial(name, [d.input(t)], [TensorType((), F32)], "DequantizeOptions")


@gen("FAKE_QUANT")
def fake_quant(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 4), F32)
    low, high = d.one(((-2.0, 3.3), (0.0, 6.0), (-1.0, 1.0), (-0.1, 10.0)))
    return d.trial(
        name,
        [d.input(t)],
        [t],
        "FakeQuantOptions",
        Min=low,
        Max=high,
        NumBits=d.one((8, 4, 16)),
        NarrowRange=d.chance(0.5),
    )


@gen("REAL", "IMAG", "COMPLEX_ABS")
def complex_parts(d: Draw, name: str) -> Trial:
    return d.trial(name, [d.input(TensorType(d.shape(0, 4), C64))], [TensorType((), F32)], "")


@gen("RFFT2D")
def rfft2d(d: Draw, name: str) -> Trial:
    d.finite()
    t = TensorType(tuple(max(n, 1) for n in d.shape(2, 4)), F32)
    n = [d.one((1, 2, 4, 8, 16)), d.one((2, 4, 8, 16, 32))]
    return d.trial(
        name, [d.input(t), d.index(n)], [TensorType((), C64)], "Rfft2dOptions", scaled=True
    )
