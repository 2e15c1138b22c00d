"""Lowering of TOPK_V2."""

from __future__ import annotations

import math

from ..dtype import DType
from ..graph import Node
from ..kernels.topk import TopK
from ..ops import TopK as Operator
from .context import ELEMENTS, Context
from .model import Params, View
from .movement import packed
from .strided import merge

ELEMENT_TYPES = (
    DType.FLOAT32,
    DType.INT8,
    DType.INT16,
    DType.INT32,
    DType.UINT8,
    DType.UINT16,
)
MAX_K = 128
"""The kernel reads a row once for each element it finds; sorting takes less time beyond."""


def lower_top_k(ctx: Context, node: Node) -> None:
    op, x = node.op, node.inputs[0].type
    assert isinstance(op, Operator)
    ctx.require(x.dtype in ELEMENT_TYPES and op.k <= MAX_K)
    n, rows = x.shape[-1], math.prod(x.shape[:-1])
    a = ctx.view(node.inputs[0])
    if _row_step(a) is None:
        a = packed(ctx, a)
    y, at = (ctx.view(value) for value in node.outputs)
    steps = [_row_step(view) for view in (a, y, at)]
    ctx.require(None not in steps)
    params: Params = {
        "x": a.address,
        "y": y.address,
        "at": at.address,
        "n": n,
        "k": op.k,
        **{f"{name}_row": step or 0 for name, step in zip(("x", "y", "at"), steps, strict=True)},
    }
    ctx.emit(
        TopK(ctx.isa, ELEMENTS[x.dtype], ELEMENTS[op.index_dtype]),
        params,
        rows,
        seconds=rows * n * op.k * 1e-9,
        reads=(a,),
        writes=(y, at),
    )


def _row_step(view: View) -> int | None:
    """Bytes from a row to the next; None where steps differ, or elements lie apart."""
    extents, (steps,) = merge(view.shape[:-1], [view.strides[:-1]])
    dense = view.shape[-1] == 1 or view.strides[-1] == view.type.dtype.itemsize
    if len(extents) > 1 or not dense:
        return None
    return (*steps, 0)[0]
