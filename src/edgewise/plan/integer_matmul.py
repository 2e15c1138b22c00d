"""Matrix products of integers whose second operand may be computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import TensorType, Value
from ..kernels.ir import i32
from ..kernels.matmul import VECTORS, IntegerMatMul
from ..ops.product import Product
from ..ops.requant import FixedPointRequant
from .context import ELEMENTS, Context
from .integer_products import RULES, fixed_factors
from .model import Params, View
from .movement import emit_copy, packed, part
from .select import GHZ
from .strided import broadcast, merge

OUTER = 2
"""Dimensions of a batch that the kernel walks."""

INTEGERS = (DType.UINT8, DType.INT8, DType.INT16)


def emit_integers(
    ctx: Context,
    op: Product,
    inputs: Sequence[Value],
    out: TensorType,
    x: View,
    y: View,
    c: View,
) -> None:
    """c[..., M, N] = x[..., M, K] * y[..., K, N], and the bias that ``inputs`` may have.

    ``inputs`` are those of ``op``; x, y and c hold the same elements as matrices.
    """
    types = [v.type for v in inputs]
    tx, ty = types[:2]
    ctx.require(all(t.dtype in INTEGERS and t.quant is not None for t in (tx, ty, out)))
    assert tx.quant is not None
    assert ty.quant is not None
    zeros = (tx.quant.zero_point[0], ty.quant.zero_point[0])
    ctx.require(len(set(ty.quant.zero_point)) == 1 and _fits(types, zeros))
    rule = op.requantization(types, out)
    y = y if y.strides[-1] == y.type.dtype.itemsize else packed(ctx, y)
    ctx.require(c.strides[-1] == c.type.dtype.itemsize)
    (m, n), k = c.shape[-2:], y.shape[-2]
    bias = inputs[2] if len(inputs) > 2 else None
    v = IntegerMatMul(
        ctx.isa,
        ELEMENTS[tx.dtype],
        ELEMENTS[ty.dtype],
        ELEMENTS[out.dtype],
        8 * bias.type.dtype.itemsize if bias is not None else 0,
        RULES[rule.multiply] if isinstance(rule, FixedPointRequant) else "",
        op.has_wide_sums(types),
    )
    batch = c.shape[:-2]
    walks = [broadcast(w.shape[:-2], w.strides[:-2], batch) for w in (x, y)]
    extents, steps = merge(batch, [*walks, c.strides[:-2]])
    ctx.require(len(extents) <= OUTER)
    rest = OUTER - len(extents)
    tiles = -(-m // v.mr)
    params: Params = {
        "x": x.address,
        "y": y.address,
        "c": c.address,
        "x_row": x.strides[-2],
        "x_step": x.strides[-1],
        "y_row": y.strides[-2],
        "c_row": c.strides[-2],
        "d1": (1, 1, *extents)[-1],
        "tiles": tiles,
        "m": m,
        "n": n,
        "k": k,
        "x_zero": zeros[0],
        "y_zero": zeros[1],
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    for name, each in zip("xyc", steps, strict=True):
        params |= {f"{name}_{i}": s for i, s in enumerate([0] * rest + list(each))}
    if isinstance(rule, FixedPointRequant):
        multipliers, exponents = fixed_factors(rule, n)
        params["multiplier"] = ctx.constants.add(_whole_tiles(ctx, multipliers))
        params["exponent"] = ctx.constants.add(_whole_tiles(ctx, exponents))
    else:
        params["scale"] = ctx.constants.add(_whole_tiles(ctx, np.resize(rule.scale, n)))
    reads = [x, y]
    if bias is not None:
        reads.append(_bias(ctx, ctx.view(bias)))
        params["bias"] = reads[-1].address
    count = math.prod(batch)
    speed = GHZ * 1e9 * ctx.isa.lanes / (2 if v.sum == i32 else 4)
    ctx.emit(
        v,
        params,
        count * tiles,
        seconds=count * m * n * k / speed,
        reads=tuple(reads),
        writes=(c,),
    )


def _fits(types: Sequence[TensorType], zeros: Sequence[int]) -> bool:
    """Whether int32 holds every product."""
    greatest = 1
    for t, zero in zip(types, zeros, strict=False):
        low, high = t.dtype.range
        greatest *= max(high - zero, zero - low)
    return greatest < 2**31


def _whole_tiles(ctx: Context, x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Numbers of columns, with room to read whole tiles of them."""
    return np.pad(x, (0, -len(x) % (VECTORS * ctx.isa.lanes)))


def _bias(ctx: Context, bias: View) -> View:
    """Biases with room to read whole tiles of them."""
    n = bias.shape[0]
    whole = n + -n % (VECTORS * ctx.isa.lanes)
    roomy = ctx.scratch(f"bias.{ctx.index}", (whole,), bias.type.dtype)
    emit_copy(ctx, bias, part(roomy, (0,), (n,)))
    return replace(roomy, type=replace(roomy.type, shape=(n,)))
