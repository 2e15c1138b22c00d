"""Lowering of DEPTHWISE_CONV_2D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..dtype import DType
from ..graph import Node, TensorType
from ..kernels.dynamic import GROUP_BYTES
from ..kernels.qdepthwise import QDepthwise
from ..kernels.wdepthwise import WDepthwise
from ..kernels.words import GROUP_LIMIT
from ..ops import DepthwiseConv2D
from . import select
from .context import Context
from .dynamic_products import DynamicProduct
from .geometry import Sides, conv_halo
from .images import image_fields
from .integer_products import IntegerProduct
from .model import Address, Buffer, Params, View, packed_strides
from .movement import around, emit_copy, fill_halo
from .products import Product, head_and_tail, product
from .program import Program
from .real_products import RealProduct, storage
from .rows import Epilogue, rows, window_runs
from .wide_products import WideProduct

UNIT_BYTES = 128
"""Of a pixel that a float32 unit takes: rows that follow find them in the nearest cache."""


def lower_depthwise(ctx: Context, node: Node) -> None:
    """DEPTHWISE_CONV_2D; of float32 alone or with what runs in its epilogue.

    "Hybrid" ones multiply real numbers, so that their results are rounded otherwise than the
    reference's, but no further off than those of float32.
    """
    op, _, inputs, _ = head_and_tail(node)
    assert isinstance(op, DepthwiseConv2D)
    x = inputs[0].type
    if x.shape[3] == 1:
        _lower_product(ctx, node, op)
    elif x.dtype is DType.FLOAT32:
        _lower_real(ctx, node, op)
    else:
        _lower_quantized(ctx, node)


def _product(ctx: Context, node: Node, op: DepthwiseConv2D) -> tuple[Product, Epilogue]:
    """The operands of a node whose product is ``op``, and what follows."""
    _, tail, inputs, others = head_and_tail(node)
    out = node.outputs[0]
    result = tail[0].type if tail else out.type
    p = product(ctx, inputs, result, op, inputs[1].type.shape[3])
    return p, p.epilogue(ctx, tail, others, out)


def _lower_product(ctx: Context, node: Node, op: DepthwiseConv2D) -> None:
    """With one input channel it is an ordinary convolution."""
    out = node.outputs[0]
    x, w = node.input_types[:2]
    _, kh, kw, channels = w.shape
    p, epilogue = _product(ctx, node, op)
    a, c = ctx.view(node.inputs[0]), ctx.view(out)
    shape = out.type.shape[0], out.type.shape[1], out.type.shape[2]
    p, whole = p.prepared(ctx, around(a, conv_halo(op, x, w, out.type)))
    runs = window_runs(whole, (kh, kw), op.dilation, joined=True)
    weights = np.ascontiguousarray(p.weights.reshape(kh * kw, channels).T)
    p.emit(
        ctx,
        weights.reshape(channels, len(runs), -1),
        slice(None),
        rows(whole, shape[1:], op.stride),
        rows(c, shape[1:]),
        shape,
        runs,
        epilogue,
    )


def _lower_real(ctx: Context, node: Node, op: DepthwiseConv2D) -> None:
    x, w, out = node.input_types[0], node.input_types[1], node.output_types[0]
    _, kh, kw, channels = w.shape
    p, epilogue = _product(ctx, node, op)
    assert isinstance(p, RealProduct | DynamicProduct)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    halo = conv_halo(op, x, w, out)
    if channels != x.shape[3]:
        a = _repeat_channels(ctx, node, a, halo)
    whole = around(a, halo)
    weights = p.weights.astype(np.float32)
    if isinstance(p, DynamicProduct):
        whole = _quantized_and_back(ctx, p, whole)
        weights = weights * p.scale
    _, row, pixel, _ = whole.strides
    (sh, sw), (dh, dw) = op.stride, op.dilation
    n, height, width, _ = out.shape
    v = select.depthwise(
        ctx.isa,
        channels,
        width,
        kw,
        sw,
        dw,
        epilogue.stages,
        rows=(n * height, kh),
        choose=ctx.choose,
    )
    v = replace(v, storage=storage(ctx, weights, n * height * width))
    offsets = [y * dh * row + z * dw * pixel for y in range(kh) for z in range(0, kw, v.columns)]
    blocks = -(-channels // v.lanes)
    per_unit = min(blocks, -(-UNIT_BYTES // (4 * v.lanes)))
    parts = -(-blocks // per_unit)
    params: Params = {
        **image_fields("a", whole),
        **image_fields("c", c),
        "a_row": sh * row,
        "a_x": pixel if v.columns > 1 else sw * pixel,
        "w": ctx.constants.add(v.pack(weights.reshape(kh, kw, channels), p.bias)),
        "taps": ctx.constants.add(np.array(offsets, np.int64)),
        "height": height,
        "width": width,
        "channels": channels,
        "blocks": blocks,
        "parts": parts,
        "per_unit": per_unit,
        "runs": len(offsets),
        **epilogue.params,
        **{name: ctx.constants.add(x) for name, x in epilogue.vectors.items()},
    }
    for name, operand in epilogue.rows.items():
        params |= image_fields(name, operand.view)
    seconds = node.macs / (ctx.isa.lanes * select.GHZ * 1e9)
    reads = (whole, *(operand.view for operand in epilogue.rows.values()))
    ctx.emit(v, params, n * parts * height, seconds=seconds, reads=reads, writes=(c,))


def _lower_quantized(ctx: Context, node: Node) -> None:
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, DepthwiseConv2D)
    x, w = node.inputs[0].type, node.inputs[1].type
    channels = w.shape[3]
    p = product(ctx, node.inputs, out, op, channels)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    halo = conv_halo(op, x, w, out)
    if channels != x.shape[3]:
        a = _repeat_channels(ctx, node, a, halo)
    whole = around(a, halo)
    v: QDepthwise | WDepthwise
    if isinstance(p, WideProduct):
        v, params = _wide(ctx, op, p, whole)
    else:
        assert isinstance(p, IntegerProduct)
        v, params = _eight_bit(ctx, op, p, whole, out.shape)
    image, row, _, _ = whole.strides
    params |= {
        "a": whole.address,
        "c": c.address,
        "height": out.shape[1],
        "width": out.shape[2],
        "channels": channels,
        "blocks": len(v.starts(channels)),
        "a_y": op.stride[0] * row,
        "a_image": image,
        "c_x": c.strides[2],
        "c_y": c.strides[1],
        "c_image": c.strides[0],
        "zero_point": p.requant.zero_point,
        "lo": p.requant.lo,
        "hi": p.requant.hi,
    }
    seconds, units = node.macs / 15e9, out.shape[0] * out.shape[1]
    ctx.emit(v, params, units, seconds=seconds, reads=(whole,), writes=(c,))


def _eight_bit(
    ctx: Context, op: DepthwiseConv2D, p: IntegerProduct, x: View, out: tuple[int, ...]
) -> tuple[QDepthwise, Params]:
    """The kernel of 8-bit operands, and the parameters that it alone has."""
    _, kh, kw, channels = p.weights.shape
    _, row, pixel, _ = x.strides
    (_, sw), (dh, dw) = op.stride, op.dilation
    centred = p.weights.reshape(kh, kw, channels).astype(np.int32) - p.zero
    bias = (p.bias - p.input_zero * centred.astype(np.int64).sum(axis=(0, 1))).astype(np.int32)
    parts = 1
    if ctx.isa.depthwise.element.bits == 8:
        parts = max(1, -(-int(centred.max()) // 127), -(int(centred.min()) // 128))
    dilated = (dh, dw) != (1, 1)
    v = select.qdepthwise(
        ctx.isa,
        channels,
        (kh, kw),
        op.stride,
        dilated,
        parts,
        pixels=(out[0] * out[1], out[2]),
        rounding=p.rounding,
        choose=ctx.choose,
    )
    v = replace(v, rounding=p.rounding)
    return v, {
        "w": ctx.constants.add(v.pack(centred, bias, *p.factors)),
        "block_bytes": v.block_bytes(kh, kw),
        "a_x": pixel if v.stride else sw * pixel,
        "a_row": row,
        "taps": ctx.constants.add(v.offsets(kh, kw, dh * row, dw * pixel)),
        "groups": len(v.groups(kh, kw)),
    }


def _wide(ctx: Context, op: DepthwiseConv2D, p: WideProduct, x: View) -> tuple[WDepthwise, Params]:
    """The kernel of int16 operands, and the parameters that it alone has."""
    _, kh, kw, channels = p.weights.shape
    ctx.require(np.abs(p.weights).sum(axis=(0, 1, 2)).max() <= GROUP_LIMIT or not p.wide)
    widths, lanes = ctx.isa.costs.depthwise, ctx.isa.lanes
    nv = next((nv for nv in widths if nv * lanes <= channels), None)
    v = WDepthwise(ctx.isa, nv or widths[-1], p.rounding, p.wide, partial=nv is None)
    flat = p.weights.reshape(kh * kw, channels)
    offsets = window_runs(x, (kh, kw), op.dilation, joined=False)
    return v, {
        "w": ctx.constants.add(v.pack(flat, p.folded(flat.T), *p.factors)),
        "block_bytes": v.block_bytes(kh * kw),
        "a_x": op.stride[1] * x.strides[2],
        "taps": ctx.constants.add(offsets),
        "count": len(offsets),
    }


def _quantized_and_back(ctx: Context, p: DynamicProduct, x: View) -> View:
    """The real numbers that a "hybrid" product multiplies: those of x in 8 bits an image."""
    p, q = p.prepared(ctx, x)
    assert p.groups is not None
    groups = TensorType((x.shape[0], 1, 1, 1), DType.INT32)
    zero = View(p.groups.address, groups, (GROUP_BYTES, 0, 0, 0))
    scale = View(zero.address + 4, replace(groups, dtype=DType.FLOAT32), zero.strides)
    result = ctx.scratch(f"real.{ctx.index}", x.shape, DType.FLOAT32)
    program = Program(ctx, x.shape)
    steps = program.stage("cast", (program.input(q),), DType.INT32)
    steps = program.stage("sub", (steps, program.input(zero)), DType.INT32)
    steps = program.stage("cast", (steps,), DType.FLOAT32)
    program.stage("mul", (steps, program.input(scale)), DType.FLOAT32)
    program.emit(result)
    return result


def _repeat_channels(ctx: Context, node: Node, x: View, halo: Sides) -> View:
    """x with each channel as often as the multiplier of a depthwise convolution says."""
    n, h, w, channels = x.shape
    multiplier = node.inputs[1].type.shape[3] // channels
    outer = (n, h + halo.top + halo.bottom, w + halo.left + halo.right, channels * multiplier)
    strides = packed_strides(outer, x.type.dtype.itemsize)
    buffer = Buffer(f"{node.outputs[0].name}:repeated", strides[0] * n)
    start = Address(buffer, halo.top * strides[1] + halo.left * strides[2])
    repeated = View(start, replace(x.type, shape=(n, h, w, outer[3])), strides)
    if halo:
        fill_halo(ctx, repeated, halo)
    walk = replace(x.type, shape=(n, h, w, multiplier, channels))
    size = x.type.dtype.itemsize
    source = View(x.address, walk, (*x.strides[:3], 0, size))
    emit_copy(ctx, source, View(start, walk, (*strides[:3], size, multiplier * size)))
    return repeated
