"""Lowering of what multiplies and adds: convolutions and FULLY_CONNECTED."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Node, TensorType, Value
from ..ops import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Fused,
    TransposeConv,
)
from ..ops.requant import Requant, requantization
from . import select
from .context import Context, chunk_count, constant
from .geometry import Sides, conv_halo, phases
from .model import Address, Buffer, View, packed_strides
from .movement import emit_copy, fill_halo

Weights = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Product:
    """The operands of a product-sum operator, ready to pack.

    Attributes:
        weights: int8, in the operator's own shape; ``zero`` is their zero point then.
        bias: int32[channels], the operator's own.
        input_zero: the zero point of x.
    """

    weights: Weights
    zero: int
    bias: npt.NDArray[np.int32]
    input_zero: int
    requant: Requant

    def folded_bias(self, sums: npt.NDArray[np.int64], terms: int) -> npt.NDArray[np.int32]:
        """The bias with what x's zero point adds; ``sums`` are those of the int8 weights."""
        folded = self.bias - self.input_zero * (sums - terms * self.zero)
        return folded.astype(np.int32)


def product(
    ctx: Context, inputs: tuple[Value, ...], out: TensorType, activation: Activation, channels: int
) -> Product:
    """Check and collect the operands of (x, w, bias)."""
    x, w = inputs[0].type, inputs[1].type
    ctx.activations(x, out)
    raw = constant(inputs[1])
    assert w.quant is not None
    assert x.quant is not None
    zeros = set(w.quant.zero_point)
    ctx.require(len(zeros) == 1 and raw.dtype.name in ("uint8", "int8"))
    zero = zeros.pop()
    if w.dtype is DType.UINT8:
        raw, zero = (raw ^ np.uint8(0x80)).view(np.int8), zero - 128
    bias = np.zeros(channels, np.int32)
    if len(inputs) > 2:
        bias = constant(inputs[2]).astype(np.int32)
    rule = requantization(x, w, out, activation)
    return Product(raw.view(np.int8), zero, bias, x.quant.zero_point[0], rule)


@dataclass(frozen=True)
class Rows:
    """Pixels of an image operand: address of the first and steps in bytes.

    ``x`` from a pixel to the next, ``wrap`` more at the end of a row, ``image`` more at the end
    of an image.
    """

    address: Address
    x: int
    wrap: int
    image: int

    def fields(self, name: str) -> dict[str, int | float | Address]:
        return {
            name: self.address,
            f"{name}_x": self.x,
            f"{name}_wrap": self.wrap,
            f"{name}_image": self.image,
        }


def rows(
    view: View,
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    start: tuple[int, int] = (0, 0),
) -> Rows:
    """``size`` pixels (height, width) of a rank-4 view from ``start``, every ``stride`` of them."""
    image, row, pixel, _ = view.strides
    x, y = pixel * stride[1], row * stride[0]
    address = view.address + (start[0] * row + start[1] * pixel)
    return Rows(address, x, y - size[1] * x, image - size[0] * y)


def emit_qgemm(
    ctx: Context,
    p: Product,
    weights: Weights,
    channels: slice,
    source: Rows,
    target: Rows,
    shape: tuple[int, int, int],
    runs: npt.NDArray[np.int64],
    views: tuple[View, View],
    residual: tuple[View, Rows, Add, list[TensorType], TensorType] | None = None,
) -> None:
    """One matrix product: ``weights`` int8[n, runs, kc] over ``shape`` (images, height, width)."""
    n, run_count, kc = weights.shape
    pixels = shape[0] * shape[1] * shape[2]
    chosen = select.qgemm(
        ctx.isa, pixels, n, kc, run_count, weight_zero_point=p.zero != 0, add=residual is not None
    )
    ctx.require(chosen is not None)
    assert chosen is not None
    v, seconds = chosen[0].suited(weights), chosen[1]
    sums = weights.astype(np.int64).sum(axis=(1, 2))
    whole = Product(weights, p.zero, p.bias[channels], p.input_zero, p.requant)
    bias = whole.folded_bias(sums, run_count * kc)
    packed = v.pack(weights, bias, p.requant.scale[channels])
    kstep, steps = v.layout(kc, run_count)
    tiles, panels = -(-pixels // v.mr), -(-n // v.nr)
    block_panels = -(-panels // min(panels, -(-chunk_count(seconds) // tiles)))
    blocks = -(-panels // block_panels)
    params: dict[str, int | float | Address] = {
        **source.fields("a"),
        **target.fields("c"),
        "w": ctx.constants.add(packed),
        "runs": ctx.constants.add(runs),
        "pixels": pixels,
        "width": shape[2],
        "height": shape[1],
        "n": n,
        "run_count": run_count,
        "kc": kc,
        "kstep": kstep,
        "steps": steps,
        "panel_bytes": v.panel_bytes(kc, run_count),
        "panels": panels,
        "blocks": blocks,
        "block_panels": block_panels,
        "zero_point": p.requant.zero_point,
        "lo": p.requant.lo,
        "hi": p.requant.hi,
    }
    if p.zero:
        params |= {"w_zero": p.zero, "ones": ctx.constants.add(v.ones(kc, run_count))}
    reads = [views[0]]
    if residual is not None:
        view, r, add, types, out = residual
        params |= r.fields("r") | _residual(add, types, out, p.requant.zero_point)
        reads.append(view)
    ctx.emit(v, params, tiles * blocks, seconds=seconds, reads=tuple(reads), writes=(views[1],))


def _residual(
    add: Add, types: list[TensorType], out: TensorType, zero: int
) -> dict[str, int | float | Address]:
    """ADD's fixed-point rule for (result less its zero point, residual)."""
    rule = add.fixed_point(types, [out])
    return {
        "c_mult": rule.a_multiplier,
        "r_mult": rule.b_multiplier,
        "add_bias": rule.bias + rule.a_multiplier * zero,
        "shift": rule.shift,
        "add_zero_point": rule.zero_point,
        "add_lo": rule.lo,
        "add_hi": rule.hi,
    }


def lower_conv(ctx: Context, node: Node) -> None:
    """CONV_2D, alone or with a residual ADD in its epilogue."""
    op, inputs, out = node.op, node.inputs, node.outputs[0].type
    result, fused = out, None
    if isinstance(op, Fused):
        fused, op = op, op.head
        ctx.require(len(fused.tail) == 1 and isinstance(fused.tail[0].op, Add))
        inputs, result = inputs[:-1], fused.tail[0].type
    assert isinstance(op, Conv2D)
    x, w = inputs[0].type, inputs[1].type
    p = product(ctx, inputs, result, op.activation, w.shape[0])
    a, c = ctx.view(inputs[0]), ctx.view(node.outputs[0])
    n_out, kh, kw, depth = w.shape
    groups = x.shape[3] // depth
    _, row, pixel, _ = a.strides
    (dh, dw), (top, _, left, _) = op.dilation, op.padding
    joined = groups == 1 and dw == 1 and pixel == x.shape[3]
    if joined:
        weights = p.weights.reshape(n_out, kh, kw * depth)
        runs = np.arange(kh, dtype=np.int64) * (dh * row)
    else:
        weights = p.weights.reshape(n_out, kh * kw, depth)
        offsets = np.arange(kh)[:, None] * (dh * row) + np.arange(kw) * (dw * pixel)
        runs = offsets.reshape(-1).astype(np.int64)
    shape = out.shape[0], out.shape[1], out.shape[2]
    source = rows(a, (shape[1], shape[2]), op.stride, (-top, -left))
    target = rows(c, (shape[1], shape[2]))
    residual = None
    if fused is not None:
        stage = fused.tail[0]
        assert isinstance(stage.op, Add)
        other = node.inputs[-1]
        ctx.activations(other.type, out)
        ctx.require(groups == 1 and other.type.shape == out.shape)
        r = ctx.view(other)
        residual = (r, rows(r, (shape[1], shape[2])), stage.op, [result, other.type], out)
    first = len(ctx.steps)
    per = n_out // groups
    for g in range(groups):
        channels = slice(g * per, (g + 1) * per)
        emit_qgemm(
            ctx,
            p,
            weights[channels],
            channels,
            _shifted(source, g * depth),
            _shifted(target, g * per),
            shape,
            runs,
            (a, c),
            residual,
        )
    ctx.together(first)


def _shifted(r: Rows, nbytes: int) -> Rows:
    return Rows(r.address + nbytes, r.x, r.wrap, r.image)


def lower_fully_connected(ctx: Context, node: Node) -> None:
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, FullyConnected)
    n, depth = node.inputs[1].type.shape
    p = product(ctx, node.inputs, out, op.activation, n)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    ctx.require(a.contiguous and c.contiguous)
    pixels = out.size // n
    emit_qgemm(
        ctx,
        p,
        p.weights.reshape(n, 1, depth),
        slice(None),
        Rows(a.address, depth, 0, 0),
        Rows(c.address, n, 0, 0),
        (1, 1, pixels),
        np.zeros(1, np.int64),
        (a, c),
    )


def lower_transpose_conv(ctx: Context, node: Node) -> None:
    """TRANSPOSE_CONV as one convolution for each phase of the stride."""
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, TransposeConv)
    n, kh, kw, depth = node.inputs[1].type.shape
    p = product(ctx, node.inputs, out, op.activation, n)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    _, row, pixel, _ = a.strides
    first = len(ctx.steps)
    for y in phases(out.shape[1], kh, op.stride[0], op.padding[0]):
        for x in phases(out.shape[2], kw, op.stride[1], op.padding[2]):
            taps = p.weights[:, list(y.taps)][:, :, list(x.taps)]
            if not taps.size:
                taps = np.full((n, 1, 1, depth), p.zero, np.int8)
            weights = np.ascontiguousarray(taps)
            height, width = weights.shape[1:3]
            offsets = np.arange(height)[:, None] * row + np.arange(width) * pixel
            size = (y.count, x.count)
            emit_qgemm(
                ctx,
                p,
                weights.reshape(n, height * width, depth),
                slice(None),
                rows(a, size, start=(y.start, x.start)),
                rows(c, size, op.stride, (y.first, x.first)),
                (out.shape[0], *size),
                offsets.reshape(-1).astype(np.int64),
                (a, c),
            )
    ctx.together(first)


def lower_depthwise(ctx: Context, node: Node) -> None:
    """DEPTHWISE_CONV_2D; with one input channel it is an ordinary convolution."""
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, DepthwiseConv2D)
    x, w = node.inputs[0].type, node.inputs[1].type
    _, kh, kw, channels = w.shape
    p = product(ctx, node.inputs, out, op.activation, channels)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    (sh, sw), (dh, dw), (top, _, left, _) = op.stride, op.dilation, op.padding
    shape = out.shape[0], out.shape[1], out.shape[2]
    if x.shape[3] == 1:
        _, row, pixel, _ = a.strides
        offsets = np.arange(kh)[:, None] * (dh * row) + np.arange(kw) * (dw * pixel)
        weights = np.ascontiguousarray(p.weights.reshape(kh * kw, channels).T)
        runs = offsets.reshape(-1).astype(np.int64)
        weights = weights.reshape(channels, kh * kw, 1)
        if dw == pixel == 1:
            weights, runs = weights.reshape(channels, kh, kw), runs[::kw].copy()
        source = rows(a, (shape[1], shape[2]), op.stride, (-top, -left))
        target = rows(c, (shape[1], shape[2]))
        emit_qgemm(
            ctx,
            p,
            weights,
            slice(None),
            source,
            target,
            shape,
            runs,
            (a, c),
        )
        return
    if channels != x.shape[3]:
        a = _repeat_channels(ctx, node, a, conv_halo(op, x, w, out))
    centred = p.weights.reshape(kh, kw, channels).astype(np.int32) - p.zero
    bias = (p.bias - p.input_zero * centred.astype(np.int64).sum(axis=(0, 1))).astype(np.int32)
    parts = 1
    if ctx.isa.depthwise.element.bits == 8:
        parts = max(1, -(-int(centred.max()) // 127), -(int(centred.min()) // 128))
    dilated = (dh, dw) != (1, 1)
    v = select.qdepthwise(ctx.isa, channels, (kh, kw), (sh, sw), dilated, parts)
    image, row, pixel, _ = a.strides
    params: dict[str, int | float | Address] = {
        "a": a.address + (-top * row - left * pixel),
        "w": ctx.constants.add(v.pack(centred, bias, p.requant.scale)),
        "c": c.address,
        "height": shape[1],
        "width": shape[2],
        "channels": channels,
        "blocks": len(v.starts(channels)),
        "block_bytes": v.block_bytes(kh, kw),
        "a_x": pixel if v.stride else sw * pixel,
        "a_y": sh * row,
        "a_row": row,
        "a_image": image,
        "c_x": c.strides[2],
        "c_y": c.strides[1],
        "c_image": c.strides[0],
        "zero_point": p.requant.zero_point,
        "lo": p.requant.lo,
        "hi": p.requant.hi,
        "taps": ctx.constants.add(v.offsets(kh, kw, dh * row, dw * pixel)),
        "groups": len(v.groups(kh, kw)),
    }
    seconds = node.macs / 15e9
    ctx.emit(v, params, shape[0] * shape[1], seconds=seconds, reads=(a,), writes=(c,))


def _repeat_channels(ctx: Context, node: Node, x: View, halo: Sides) -> View:
    """x with each channel as often as the multiplier of a depthwise convolution says."""
    n, h, w, channels = x.shape
    multiplier = node.inputs[1].type.shape[3] // channels
    outer = (n, h + halo.top + halo.bottom, w + halo.left + halo.right, channels * multiplier)
    strides = packed_strides(outer, 1)
    buffer = Buffer(f"{node.outputs[0].name}:repeated", strides[0] * n)
    start = Address(buffer, halo.top * strides[1] + halo.left * strides[2])
    repeated = View(start, replace(x.type, shape=(n, h, w, outer[3])), strides)
    if halo:
        fill_halo(ctx, repeated, halo)
    walk = replace(x.type, shape=(n, h, w, multiplier, channels))
    source = View(x.address, walk, (*x.strides[:3], 0, 1))
    emit_copy(ctx, source, View(start, walk, (*strides[:3], 1, multiplier)))
    return repeated
