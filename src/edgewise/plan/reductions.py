"""Lowering of reductions, searches, scans and normalisations along axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..dtype import DType
from ..graph import Node, TensorType
from ..kernels import argmax, normalize, scan, softmax, views
from ..kernels.interleave import STEPS
from ..kernels.reduce import Columns, ReduceOp, Rows
from ..ops import (
    ArgMax,
    ArgMin,
    Cumsum,
    L2Normalization,
    LocalResponseNormalization,
    LogSoftmax,
    Mean,
    Op,
    ReduceAll,
    ReduceAny,
    ReduceMax,
    ReduceMin,
    ReduceProd,
    Softmax,
    Sum,
)
from ..ops.reduce import Reduction
from .context import ELEMENTS, Context
from .model import Params, Variant, View
from .movement import emit_copy
from .strided import Strides, merge, outer_fields

REDUCTIONS: Mapping[type[Op], ReduceOp] = {
    Mean: "mean",
    ReduceAll: "min",
    ReduceAny: "max",
    ReduceMax: "max",
    ReduceMin: "min",
    ReduceProd: "prod",
    Sum: "sum",
}
CHOOSING: tuple[ReduceOp, ...] = ("max", "min")
"""What gives one of its operands, whatever they stand for."""

LARGE = 1 << 16
"""Elements from which a reduction to few numbers is worth two steps."""
BLOCK = 256
"""Elements of a unit that finds places of elements side by side."""
MAX_SCRATCH = 32768
"""Bytes of stack that a kernel may take."""
MANY = 256
"""Rows from which those of few elements are set apart before they are reduced."""
FEW, FEW_BYTES = 4, 8
"""Channels of pixels, of floats and of 8 bits, that are normalised in vectors of pixels."""
PARTS = 16
"""Work units, at least, of a large reduction."""


@dataclass(frozen=True)
class Dim:
    """An axis: its extent, and the steps in bytes along it in the operand and the result."""

    extent: int
    a: int
    c: int
    reduced: bool


@dataclass(frozen=True)
class Rule:
    """What is computed: the variant's ``op`` and ``element``, and its constants."""

    op: ReduceOp
    dtype: DType
    constants: Params

    @property
    def partial(self) -> Rule:
        """The rule for parts of what is reduced."""
        return Rule("sum", self.dtype, {}) if self.op == "mean" else self


def lower_reduction(ctx: Context, node: Node) -> None:
    """MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY and REDUCE_ALL."""
    op, x = node.op, node.input_types[0]
    assert isinstance(op, Reduction)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    reduce(ctx, _rule(ctx, op, x, node.output_types[0]), a, c, op.axes)


def _rule(ctx: Context, op: Reduction, x: TensorType, out: TensorType) -> Rule:
    """Raises NoKernelError for what the kernels do not compute."""
    name = REDUCTIONS[type(op)]
    ctx.require(x.dtype in ELEMENTS)
    if x.quant is not None and name not in CHOOSING:
        ctx.require(isinstance(op, Mean | Sum))
        assert isinstance(op, Mean | Sum)
        ctx.activations(x, out)
        scale, offset = op.affine([x], [out])
        lo, hi = out.dtype.range
        zero = {"zero": op.raw_zero, "zero_point": op.raw_zero, "lo": lo, "hi": hi}
        affine = {"scale": float(scale), "offset": float(offset), "count": op.count(x)}
        return Rule("mean", x.dtype, {**affine, **zero})
    ctx.require(x.quant == out.quant)
    if isinstance(op, Mean):
        return mean_rule(ctx, x, op.count(x))
    return Rule(name, x.dtype, {})


def mean_rule(ctx: Context, x: TensorType, count: int) -> Rule:
    ctx.require(x.dtype is DType.FLOAT32)
    return Rule("mean", x.dtype, {"scale": 1 / count})


def reduce(ctx: Context, rule: Rule, a: View, c: View, axes: Sequence[int]) -> None:
    """c = a reduced along ``axes``, which c lacks or has with one element.

    Raises NoKernelError where the walk needs more dimensions than kernels have.
    """
    rank = len(a.shape)
    kept = [i for i in range(rank) if i not in axes]
    keeps = len(c.shape) == rank
    steps = dict(zip(kept, (c.strides[i] for i in kept) if keeps else c.strides, strict=True))
    dims = [
        Dim(a.shape[i], a.strides[i], steps.get(i, 0), i in axes)
        for i in range(rank)
        if a.shape[i] != 1
    ]
    dims = _merged(dims)
    if _by_few(dims, rule.dtype.itemsize):
        a, dims = _apart(ctx, a, dims, rule.dtype)
    parts = _parts(ctx, rule, dims)
    if parts is None:
        _emit(ctx, rule, a, c, dims)
        return
    shape = tuple(d.extent for d in parts if not d.reduced)
    partial = ctx.scratch("partial", shape, rule.dtype)
    places = iter(partial.strides)
    first = [d if d.reduced else replace(d, c=next(places)) for d in parts]
    _emit(ctx, rule.partial, a, partial, _merged(first))
    places = iter(partial.strides)
    second = [
        Dim(d.extent, next(places), 0 if d.c < 0 else d.c, d.c < 0) for d in parts if not d.reduced
    ]
    _emit(ctx, rule, partial, c, _merged(second))


def _by_few(dims: Sequence[Dim], size: int) -> bool:
    """Whether many rows of few elements, side by side, are reduced: apart, they fill vectors."""
    if not dims or dims[-1].extent not in STEPS or not dims[-1].reduced or len(dims) < 2:
        return False
    few, inner = dims[-1], dims[-2]
    dense = few.a == size and (inner.a, inner.c) == (few.extent * size, size)
    return dense and not any(d.reduced for d in dims[:-1]) and inner.extent >= MANY


def _apart(ctx: Context, a: View, dims: Sequence[Dim], dtype: DType) -> tuple[View, list[Dim]]:
    """A copy of the operand whose last dimension is the first, and its dimensions."""
    turned = [dims[-1], *dims[:-1]]
    copied = ctx.scratch("apart", tuple(d.extent for d in turned), dtype)
    emit_copy(ctx, View(a.address, copied.type, tuple(d.a for d in turned)), copied)
    pairs = zip(turned, copied.strides, strict=True)
    return copied, _merged([replace(d, a=step) for d, step in pairs])


def _merged(dims: Sequence[Dim]) -> list[Dim]:
    """Neighbours become one where both operands step through them as if they were."""
    out: list[Dim] = []
    for d in dims:
        last = out[-1] if out else None
        if (
            last is not None
            and last.reduced == d.reduced
            and (last.a, last.c) == (d.extent * d.a, d.extent * d.c)
        ):
            out[-1] = replace(d, extent=last.extent * d.extent)
        else:
            out.append(d)
    return out


def _parts(ctx: Context, rule: Rule, dims: list[Dim]) -> list[Dim] | None:
    """The dimensions with some reduced ones in two, of which the first step keeps one (c is -1).

    It fills vectors where few elements lie side by side, and makes units for threads. None where
    one step does.
    """
    size = rule.dtype.itemsize
    elements = math.prod(d.extent for d in dims)
    results = math.prod(d.extent for d in dims if not d.reduced)
    if rule.dtype is not DType.FLOAT32 or elements < LARGE or elements < LARGE // 16 * results:
        return None
    wide = Columns(ctx.isa, rule.op, ELEMENTS[rule.dtype]).wide
    out = list(dims)
    inner = out[-1]
    if not inner.reduced and inner.a == size and inner.extent < wide and len(out) > 1:
        around = out[-2]
        if around.reduced and around.a == inner.extent * size:
            aside = _divisor(around.extent, -(-wide // inner.extent), 4 * wide)
            out[-2:] = [
                replace(around, extent=around.extent // aside, a=around.a * aside),
                Dim(aside, around.a, -1, False),
                inner,
            ]
    units = math.prod(d.extent for d in out if not d.reduced)
    if not out[-1].reduced:
        units = -(-units // wide)
    if units < PARTS:
        at = next(i for i, d in enumerate(out) if d.reduced)
        whole = out[at]
        pieces = _divisor(whole.extent, -(-PARTS // units), 8 * PARTS)
        rest = whole.extent // pieces
        out[at : at + 1] = [Dim(pieces, whole.a * rest, -1, False), replace(whole, extent=rest)]
    out = [d for d in out if d.extent != 1]
    return out if any(d.c < 0 for d in out) else None


def _divisor(n: int, least: int, most: int) -> int:
    """The least divisor of ``n`` from ``least`` to ``most``, or 1."""
    return next((d for d in range(least, min(most, n) + 1) if n % d == 0), 1)


def _emit(ctx: Context, rule: Rule, a: View, c: View, dims: Sequence[Dim]) -> None:
    element, size = ELEMENTS[rule.dtype], rule.dtype.itemsize
    kept, reduced = ([d for d in dims if d.reduced == which] for which in (False, True))
    elements = math.prod(d.extent for d in dims)
    if reduced and reduced[-1].a == size:
        variant: Columns | Rows = Rows(ctx.isa, rule.op, element)
        n = block = 1
        reduced = [Dim(1, 0, 0, True)] * (3 - len(reduced)) + reduced
    else:
        variant = Columns(ctx.isa, rule.op, element)
        inner = Dim(1, size, size, False)
        if kept and (kept[-1].a, kept[-1].c) == (size, size):
            inner = kept.pop()
        outer, n = math.prod(d.extent for d in kept), inner.extent
        pieces = -(-PARTS // outer)
        block = -(-n // (pieces * variant.wide)) * variant.wide
        reduced = [Dim(1, 0, 0, True)] * (3 - len(reduced)) + reduced
    ctx.require(len(kept) <= views.OUTER and len(reduced) == 3)
    extents = [d.extent for d in kept]
    fields = {"a": (a.address, [d.a for d in kept]), "c": (c.address, [d.c for d in kept])}
    params: Params = {
        **outer_fields(views.OUTER, extents, fields),
        **{f"r{i}": d.extent for i, d in enumerate(reduced)},
        **{f"a_r{i}": d.a for i, d in enumerate(reduced)},
        **rule.constants,
        "n": n,
        "block": block,
    }
    units = views.units(extents, n, block)
    seconds = elements * element.nbytes * 0.06e-9 + units * 5e-9
    ctx.emit(variant, params, units, seconds=seconds, reads=(a,), writes=(c,))


def lower_arg(ctx: Context, node: Node) -> None:
    """ARG_MAX and ARG_MIN."""
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    assert isinstance(op, ArgMax | ArgMin)
    ctx.require(x.dtype in ELEMENTS and x.dtype.itemsize <= 4)
    least, result = isinstance(op, ArgMin), ELEMENTS[out.dtype]
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    inner, count = x.shape[op.axis + 1 :], x.shape[op.axis]
    if math.prod(inner) == 1 and (count == 1 or a.strides[op.axis] == x.dtype.itemsize):
        params, rows = pixels(ctx, a, c, op.axis)
        rowwise: argmax.ArgMax | argmax.ArgRows
        if x.dtype is ctx.activation:
            short = count <= argmax.ArgMax(ctx.isa).vector
            rowwise = argmax.ArgMax(ctx.isa, result, short, least)
        else:
            rowwise = argmax.ArgRows(ctx.isa, ELEMENTS[x.dtype], result, least)
        params["channels"] = count
        seconds = x.nbytes * 0.2e-9
        ctx.emit(rowwise, params, rows, seconds=seconds, reads=(a,), writes=(c,))
        return
    variant = argmax.ArgColumns(ctx.isa, ELEMENTS[x.dtype], result, least)
    kept = [i for i in range(len(x.shape)) if i != op.axis]
    sides = [tuple(a.strides[i] for i in kept), c.strides]
    sizes = [x.dtype.itemsize, out.dtype.itemsize]
    extents, (steps_a, steps_c), n = runs([x.shape[i] for i in kept], sides, sizes)
    ctx.require(len(extents) <= views.OUTER)
    block = min(n, BLOCK)
    fields = {"a": (a.address, steps_a), "c": (c.address, steps_c)}
    params = {
        **outer_fields(views.OUTER, extents, fields),
        "n": n,
        "block": block,
        "r": count,
        "a_r": a.strides[op.axis],
    }
    units = views.units(extents, n, block)
    ctx.emit(variant, params, units, seconds=x.nbytes * 0.3e-9, reads=(a,), writes=(c,))


def pixels(ctx: Context, a: View, c: View, rank: int) -> tuple[Params, int]:
    """The first ``rank`` dimensions of two views as rows of pixels: fields, and how many rows.

    Few long rows are cut, to make units.
    """
    extents, (steps_a, steps_c) = merge(a.shape[:rank], [v.strides[:rank] for v in (a, c)])
    ctx.require(len(extents) <= 3)
    if len(extents) in (1, 2) and math.prod(extents[:-1]) < PARTS:
        pieces = _divisor(extents[-1], PARTS, 16 * PARTS)
        rest = extents[-1] // pieces
        extents = (*extents[:-1], pieces, rest)
        steps_a, steps_c = ((*s[:-1], s[-1] * rest, s[-1]) for s in (steps_a, steps_c))
    pad = 3 - len(extents)
    images, height, width = (1,) * pad + extents
    params: Params = {"height": height, "width": width}
    for name, view, steps in (("a", a, steps_a), ("c", c, steps_c)):
        image, row, pixel = (0,) * pad + steps
        strides = {f"{name}_image": image, f"{name}_row": row, f"{name}_x": pixel}
        params |= {name: view.address, **strides}
    return params, images * height


def lower_cumsum(ctx: Context, node: Node) -> None:
    op, x = node.op, node.input_types[0]
    assert isinstance(op, Cumsum)
    ctx.require(x.dtype in ELEMENTS and x.dtype.itemsize >= 4)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    count, step_a, step_c = x.shape[op.axis], a.strides[op.axis], c.strides[op.axis]
    first_a, first_c = a.address, c.address
    if op.reverse:
        first_a, first_c = first_a + (count - 1) * step_a, first_c + (count - 1) * step_c
        step_a, step_c = -step_a, -step_c
    kept = [i for i in range(len(x.shape)) if i != op.axis]
    sides = [tuple(v.strides[i] for i in kept) for v in (a, c)]
    extents, (outer_a, outer_c), n = runs([x.shape[i] for i in kept], sides, [x.dtype.itemsize] * 2)
    block = min(n, BLOCK)
    params: Params = {
        **outer_fields(views.OUTER, extents, {"a": (first_a, outer_a), "c": (first_c, outer_c)}),
        "n": n,
        "block": block,
        "r": count,
        "a_r": step_a,
        "c_r": step_c,
    }
    ctx.require(len(extents) <= views.OUTER)
    variant = scan.Cumsum(ctx.isa, ELEMENTS[x.dtype], op.exclusive, single=n == 1)
    seconds = x.size * (1e-9 if n == 1 else 0.3e-9)
    units = views.units(extents, n, block)
    ctx.emit(variant, params, units, seconds=seconds, reads=(a,), writes=(c,))


def runs(
    shape: Sequence[int], operands: Sequence[Strides], sizes: Sequence[int]
) -> tuple[tuple[int, ...], list[Strides], int]:
    """The merged walk but for its last dimension, and that one's extent.

    The last dimension has one element where some operand does not hold its elements, of
    ``sizes``, side by side.
    """
    extents, strides = merge(shape, operands)
    if extents and all(s[-1] == size for s, size in zip(strides, sizes, strict=True)):
        return extents[:-1], [s[:-1] for s in strides], extents[-1]
    return extents, strides, 1


NORMALIZATIONS: Mapping[type[Op], normalize.NormalizeOp] = {
    L2Normalization: "l2_normalization",
    LogSoftmax: "log_softmax",
    Softmax: "softmax",
}


def lower_normalization(ctx: Context, node: Node) -> None:
    """SOFTMAX, of float32 or 8 bits, LOG_SOFTMAX, L2_NORMALIZATION and
    LOCAL_RESPONSE_NORMALIZATION of float32."""
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    params, rows = pixels(ctx, a, c, len(x.shape) - 1)
    params["channels"] = x.shape[-1]
    dense = params["a_x"] == params["c_x"] == x.shape[-1] * x.dtype.itemsize
    most = FEW if x.dtype is DType.FLOAT32 else FEW_BYTES
    few = x.shape[-1] if dense and 2 <= x.shape[-1] <= most else 0
    variant: Variant
    each = 1e-9
    if x.dtype is DType.FLOAT32 and isinstance(op, LocalResponseNormalization):
        radius = min(op.radius, x.shape[-1])
        variant = normalize.LocalResponse(ctx.isa)
        floats = variant.scratch_floats(x.shape[-1], radius, ctx.isa.lanes)
        ctx.require(floats <= MAX_SCRATCH // 4)
        params |= {"radius": radius, "bias": op.bias, "alpha": op.alpha, "beta": op.beta}
        each = 3e-9
    elif x.dtype is DType.FLOAT32:
        variant = normalize.Normalize(ctx.isa, NORMALIZATIONS[type(op)], few)
        if isinstance(op, Softmax):
            params["beta"] = op.beta
    else:
        ctx.require(isinstance(op, Softmax))
        assert isinstance(op, Softmax)
        ctx.activations(x, out)
        assert out.quant is not None
        lo, hi = out.dtype.range
        table, factor = ctx.constants.add(op.table(x)), float(op.factor(out))
        params |= {"table": table, "factor": factor, "lo": lo, "hi": hi}
        params["zero_point"] = out.quant.zero_point[0]
        variant = softmax.Softmax(ctx.isa, few)
        each = 2e-9
    ctx.emit(variant, params, rows, seconds=x.size * each, reads=(a,), writes=(c,))
