"""Lowering of operators that work on single quantized elements: by arithmetic or by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..dtype import DType
from ..graph import Array, Node, TensorType
from ..kernels import elementwise, lookup
from ..ops import Add, FakeQuant, Mul, Op, PRelu, Quantize, Rounding, SquaredDifference, Sub, Unary
from ..ops.binary import Aligned
from ..ops.checks import EIGHT_BIT
from ..ops.fixed_point import multiplier, multiply
from ..ops.requant import per_tensor
from ..ops.tables import has_shifted_rule, raw_values, scale_ratio, shift_factor, unsigned
from ..passes.requantization import rounding_of
from .context import Context, constant, node_seconds
from .fixed import lower_fixed, lower_int32
from .model import Params, View
from .movement import emit_copy
from .program import Program
from .repeat import lengthen
from .slopes import slopes_of
from .strided import Strides, broadcast, emit_table, runs, walk


def lower(ctx: Context, node: Node) -> None:
    """A function of one or two quantized elements."""
    is_wide = node.input_types[0].dtype is DType.INT16 and not isinstance(node.op, Unary)
    if is_wide or rounding_of(node.op) not in (None, Rounding.FLOAT):
        lower_fixed(ctx, node)
    elif isinstance(node.op, Add | Sub):
        lower_add(ctx, node)
    elif isinstance(node.op, Mul):
        lower_mul(ctx, node)
    elif isinstance(node.op, Unary):
        lower_table(ctx, node)
    elif type(node.op) not in EXACT or not EXACT[type(node.op)](ctx, node):
        lower_pairs(ctx, node)


def lower_add(ctx: Context, node: Node) -> None:
    """ADD and SUB."""
    assert isinstance(node.op, Add | Sub)
    ctx.activations(*node.input_types, *node.output_types)
    rule = node.op.fixed_point(node.input_types, node.output_types)
    each: list[Params] = [{"multiplier": m} for m in (rule.a_multiplier, rule.b_multiplier)]
    constants: Params = {
        "bias": rule.bias,
        "shift": rule.shift,
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    _binary(ctx, node, elementwise.QAdd, each, constants)


def lower_mul(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, Mul)
    ctx.activations(*node.input_types, *node.output_types)
    rule = node.op.requant(node.input_types, node.output_types)
    each: list[Params] = [{"zero": per_tensor(t, "MUL")[1]} for t in node.input_types]
    constants: Params = {
        "scale": float(rule.scale[0]),
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    _binary(ctx, node, elementwise.QMul, each, constants)


def _binary(
    ctx: Context,
    node: Node,
    kernel: type[elementwise.Binary],
    each: Sequence[Params],
    constants: Params,
) -> None:
    """``each``: the constants of each input, in fields whose names begin with a_ and b_."""
    views = [ctx.view(value) for value in node.inputs]
    operands = list(zip(views, each, strict=True))
    if _stands(views[0], node) and not _stands(views[1], node):
        operands.reverse()
    ctx.require(not _stands(operands[0][0], node))
    data = {ctx.view(v): v.data for v in node.inputs if v.data is not None}
    (a, a_own), (b, b_own) = operands
    own = {f"a_{name}": x for name, x in a_own.items()}
    own |= {f"b_{name}": x for name, x in b_own.items()}
    _walk_both(ctx, node, kernel, (a, b), data, {**constants, **own})


def _stands(view: View, node: Node) -> bool:
    """Whether one element of an operand stands for whole runs of the result."""
    shape = node.output_types[0].shape
    strides = broadcast(view.shape, view.strides, shape)
    last = next((s for s, n in zip(reversed(strides), reversed(shape), strict=True) if n > 1), None)
    return last == 0


def _walk_both(
    ctx: Context,
    node: Node,
    kernel: type[elementwise.Binary],
    operands: tuple[View, View],
    data: Mapping[View, Array],
    constants: Params,
) -> None:
    """A kernel of two operands; ``data`` of those that are constants."""
    shape, c = node.output_types[0].shape, ctx.view(node.outputs[0])
    pairs = [(v, broadcast(v.shape, v.strides, shape)) for v in operands]
    shape, pairs = lengthen(ctx, shape, [*pairs, (c, c.strides)], data)
    _, _, (_, within, _) = runs(shape, pairs)
    walk(
        ctx,
        kernel(ctx.isa, scalar=within[-1] == 0),
        dict(zip("abc", pairs, strict=True)),
        shape,
        constants,
        node_seconds(node),
    )


def _prelu(ctx: Context, node: Node) -> bool:
    """PRELU of 8 bits and a constant alpha, where its kernel gives the reference's results."""
    assert isinstance(node.op, PRelu)
    (x, alpha), (out,) = node.input_types, node.output_types
    data = node.inputs[1].data
    if data is None or data.size == 1 or alpha.dtype not in EIGHT_BIT:
        return False
    if {x.dtype, out.dtype} != {ctx.activation}:
        return False
    slopes = slopes_of(node.op, x, alpha, out, data)
    if slopes is None:
        return False
    lo, hi = out.dtype.range
    constants: Params = {
        "a_zero": per_tensor(x, node.op.name)[1],
        "above": slopes.above,
        "up": slopes.up,
        "away": slopes.away,
        "down": slopes.down,
        "shift": slopes.shift,
        "zero_point": per_tensor(out, node.op.name)[1],
        "lo": lo,
        "hi": hi,
    }
    below = ctx.constant(slopes.below)
    operands = (ctx.view(node.inputs[0]), below)
    _walk_both(ctx, node, elementwise.QPRelu, operands, {below: slopes.below}, constants)
    return True


def _squared_difference(ctx: Context, node: Node) -> bool:
    """SQUARED_DIFFERENCE of 8 bits, where the operand of the smaller scale is broadcast.

    That one is brought to the other's scale first.
    """
    types, out = node.input_types, node.output_types[0]
    if {t.dtype for t in (*types, out)} != {ctx.activation}:
        return False
    rule = Aligned.of(node.op, types, 7)
    scale, zero = per_tensor(out, node.op.name)
    factor, exponent = multiplier(rule.unit**2 / float(scale))
    views = [ctx.view(value) for value in node.inputs]
    firsts = [i for i in (0, 1) if rule.ratios[i] == 0.5 and not _stands(views[i], node)]
    if not firsts or exponent > 0:
        return False
    first = firsts[0]
    i = 1 - first
    a, b = views[first], views[i]
    if 2 * b.type.size > out.size:
        return False
    values = (raw_values(types[i]) - rule.zeros[i]) << rule.shift
    whole = multiply(values, rule.ratios[i]) + (rule.zeros[first] << (rule.shift - 1))
    table = whole.astype(np.int32)
    lo, hi = out.dtype.range
    constants: Params = {
        "factor": factor,
        "rounding": (1 << 30) + (1 << (30 - exponent) if exponent else 0),
        "shift": 31 - exponent,
        "zero_point": zero,
        "lo": lo,
        "hi": hi,
    }
    data = node.inputs[i].data
    if data is None:
        known: dict[View, Array] = {}
        prepared = ctx.scratch(f"aligned.{ctx.index}", b.shape, DType.INT32)
        _lookup_wide(ctx, {"x": (b, b.strides), "y": (prepared, prepared.strides)}, table)
    else:
        numbers = table[unsigned(data)]
        prepared = ctx.constant(numbers)
        known = {prepared: numbers}
    _walk_both(ctx, node, elementwise.QSquaredDifference, (a, prepared), known, constants)
    return True


EXACT: Mapping[type[Op], Callable[[Context, Node], bool]] = {
    PRelu: _prelu,
    SquaredDifference: _squared_difference,
}
"""What lowers functions of two elements to arithmetic, where that is exact; and says whether."""


def lower_table(ctx: Context, node: Node) -> None:
    """A function of one element of 8 or 16 bits, by table."""
    assert isinstance(node.op, Unary)
    x, out = node.input_types[0], node.output_types[0]
    ctx.require(x.quant is not None and out.quant is not None)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    ctx.require(max(x.dtype.itemsize, out.dtype.itemsize) <= 2)
    if x.dtype not in EIGHT_BIT or out.dtype not in EIGHT_BIT:
        operands = {"x": (a, a.strides), "y": (c, c.strides)}
        _lookup_wide(ctx, operands, node.op.table(x, out))
        return
    table = node.op.table(x, out).view(np.uint8)
    if np.array_equal(table, np.arange(256) ^ 0x80):
        emit_copy(ctx, a, c, flip=True)
    elif isinstance(node.op, Quantize) and _is_rescaled(ctx, x, out):
        _emit_rescale(ctx, a, c, x, out)
    else:
        emit_table(ctx, a, c, table)


def _is_rescaled(ctx: Context, x: TensorType, out: TensorType) -> bool:
    """Whether QUANTIZE is a product with 8 bits of fraction that `lookup.Rescale` does."""
    ratio = scale_ratio(Quantize(out.dtype), x, out)[1]
    same = x.dtype is out.dtype is ctx.activation
    return same and has_shifted_rule(ratio) and shift_factor(ratio) < 2**15


def _emit_rescale(ctx: Context, a: View, c: View, x: TensorType, out: TensorType) -> None:
    assert x.quant is not None
    assert out.quant is not None
    constants: Params = {
        "zero": x.quant.zero_point[0],
        "factor": shift_factor(scale_ratio(Quantize(out.dtype), x, out)[1]),
        "zero_point": out.quant.zero_point[0],
    }
    operands = {"x": (a, a.strides), "y": (c, c.strides)}
    walk(ctx, lookup.Rescale(ctx.isa), operands, x.shape, constants, x.size * 0.3e-9)


def lower_pairs(ctx: Context, node: Node) -> None:
    """A function of two elements of 8 bits, by a table of all pairs of them.

    A constant of one element leaves a table of 256 entries.
    """
    types, out = node.input_types, node.output_types[0]
    ctx.require(len(types) == 2 and all(t.dtype in EIGHT_BIT for t in types))
    ctx.require(out.dtype.itemsize == 1)
    every = np.arange(256, dtype=np.uint8)
    single = next(
        (i for i, v in enumerate(node.inputs) if v.is_constant and v.type.size == 1), None
    )
    raw: list[Array] = [every[:, None], every]
    if single is not None:
        raw = [every, every]
        raw[single] = constant(node.inputs[single]).reshape(1)
    arrays = [x.view(t.dtype.numpy) for x, t in zip(raw, types, strict=True)]
    shapes = [replace(t, shape=x.shape) for t, x in zip(types, arrays, strict=True)]
    whole = replace(out, shape=np.broadcast_shapes(*(x.shape for x in arrays)))
    (table,) = node.op.reference(arrays, shapes, [whole])
    views, c = [ctx.view(value) for value in node.inputs], ctx.view(node.outputs[0])
    if single is not None and views[1 - single].shape == c.shape:
        emit_table(ctx, views[1 - single], c, table.view(np.uint8))
        return
    ctx.require(single is None)
    named = zip("ab", views, strict=True)
    operands = {name: (v, broadcast(v.shape, v.strides, c.shape)) for name, v in named}
    _lookup_wide(ctx, {**operands, "y": (c, c.strides)}, table)


def _lookup_wide(
    ctx: Context,
    operands: dict[str, tuple[View, Strides]],
    table: Array,
) -> None:
    """By a table of 65,536 entries, or of 256 of 16 bits."""
    shape = operands["y"][0].shape
    _, _, strides = runs(shape, operands.values())
    fixed = tuple(s[-1] == 0 for s in strides[:-1])
    walk(
        ctx,
        lookup.LookupWide(ctx.isa, fixed, table.itemsize, table.size == 256),
        operands,
        shape,
        {"table": ctx.constants.add(table)},
        operands["y"][0].type.size * 1e-9,
    )


def lower_quantize(ctx: Context, node: Node) -> None:
    """QUANTIZE: by table, or from floats by arithmetic."""
    assert isinstance(node.op, Quantize)
    x, out = node.input_types[0], node.output_types[0]
    if DType.INT32 in (x.dtype, out.dtype):
        lower_int32(ctx, node)
        return
    if not x.dtype.is_float:
        lower_table(ctx, node)
        return
    ctx.require(out.quant is not None and x.dtype is not DType.FLOAT64)
    assert out.quant is not None
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    lo, hi = out.dtype.range
    scale, zero = out.quant.scale[0], out.quant.zero_point[0]
    if x.dtype is DType.FLOAT32 and out.dtype is ctx.activation:
        walk(
            ctx,
            lookup.Quantize(ctx.isa),
            {"x": (a, a.strides), "y": (c, c.strides)},
            out.shape,
            {"scale": scale, "zero_point": zero, "lo": lo, "hi": hi},
            node_seconds(node),
        )
        return
    program, real = Program(ctx, c.shape), DType.FLOAT32
    inverse = np.float32(1) / np.float32(scale)
    y = program.stage("cast", (program.input(a),), real)
    for function, number in (("mul", inverse), ("max", lo - zero), ("min", hi - zero)):
        y = program.stage(function, (y, program.scalar(number, real)), real)
    y = program.stage("cast", (program.stage("round", (y,), real),), DType.INT32)
    y = program.stage("add", (y, program.scalar(zero, DType.INT32)), DType.INT32)
    program.stage("cast", (y,), out.dtype)
    program.emit(c)


def lower_dequantize(ctx: Context, node: Node) -> None:
    x, out = node.input_types[0], node.output_types[0]
    ctx.require(out.dtype is not DType.FLOAT64 and x.dtype is not DType.FLOAT64)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    quant = x.quant
    if (
        quant is not None
        and (x.dtype, out.dtype) == (ctx.activation, DType.FLOAT32)
        and quant.axis is None
    ):
        walk(
            ctx,
            lookup.Dequantize(ctx.isa),
            {"x": (a, a.strides), "y": (c, c.strides)},
            x.shape,
            {"scale": quant.scale[0], "zero": quant.zero_point[0]},
            node_seconds(node),
        )
        return
    program, real = Program(ctx, c.shape), DType.FLOAT32
    y = program.input(a)
    if quant is not None and not x.dtype.is_float:
        shape = [-1 if i == quant.axis else 1 for i in range(len(c.shape))]
        zeros, scales = (
            program.input(ctx.constant(np.array(numbers, dtype.numpy).reshape(shape)))
            for numbers, dtype in ((quant.zero_point, DType.INT32), (quant.scale, real))
        )
        y = program.stage("cast", (y,), DType.INT32)
        y = program.stage("cast", (program.stage("sub", (y, zeros), DType.INT32),), real)
        y = program.stage("mul", (y, scales), real)
    program.stage("cast", (y,), out.dtype)
    program.emit(c)


def lower_fake_quant(ctx: Context, node: Node) -> None:
    """FAKE_QUANT: floor((clamp(x) - low) / scale + 1/2) * scale + low."""
    assert isinstance(node.op, FakeQuant)
    real = DType.FLOAT32
    ctx.require(node.input_types[0].dtype is real)
    low, high, scale = node.op.nudged()
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    program = Program(ctx, c.shape)
    y = program.input(a)
    inverse = np.float32(1) / scale
    steps = [("atleast", low), ("atmost", high), ("sub", low), ("mul", inverse), ("add", 0.5)]
    for function, number in steps:
        y = program.stage(function, (y, program.scalar(number, real)), real)
    y = program.stage("floor", (y,), real)
    for function, number in (("mul", scale), ("add", low)):
        y = program.stage(function, (y, program.scalar(number, real)), real)
    program.emit(c)
