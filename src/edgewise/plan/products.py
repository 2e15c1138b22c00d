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
    FullyConnected,
    Fused,
    TransposeConv,
)
from ..ops.fused import Stage
from ..ops.requant import Requant, requantization
from . import select
from .context import Context, chunk_count, constant
from .geometry import conv_halo, phases, transpose_conv_halo
from .model import Address, Params, View
from .movement import around, packed, part
from .strided import merge

MAX_STEPS = 1024
"""Matrix products that one operator may become: groups, or phases of a transposed convolution."""

Weights = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Product:
    """The operands of a product-sum operator, ready to pack.

    Attributes:
        weights: int8, in the operator's own shape; ``zero`` is their zero point.
        bias: int32[channels], the operator's own.
        input_zero: the zero point of x.
    """

    weights: Weights
    zero: int
    bias: npt.NDArray[np.int32]
    input_zero: int
    requant: Requant


def product(
    ctx: Context, inputs: tuple[Value, ...], out: TensorType, activation: Activation, channels: int
) -> Product:
    """Check and collect the operands of (x, w, bias), whose weights are int8 by now."""
    x, w = inputs[0].type, inputs[1].type
    ctx.activations(x, out)
    weights = constant(inputs[1])
    assert w.quant is not None
    assert x.quant is not None
    zeros = set(w.quant.zero_point)
    ctx.require(len(zeros) == 1 and w.dtype is DType.INT8)
    bias = np.zeros(channels, np.int32)
    if len(inputs) > 2:
        bias = constant(inputs[2]).astype(np.int32)
    rule = requantization(x, w, out, activation)
    return Product(weights.view(np.int8), zeros.pop(), bias, x.quant.zero_point[0], rule)


@dataclass(frozen=True)
class Rows:
    """Pixels of an operand, within ``view``: address of the first, and steps in bytes.

    ``x`` from a pixel to the next, ``wrap`` more at the end of a row, ``image`` more at the end
    of an image.
    """

    view: View
    address: Address
    x: int
    wrap: int = 0
    image: int = 0

    def fields(self, name: str) -> Params:
        return {
            name: self.address,
            f"{name}_x": self.x,
            f"{name}_wrap": self.wrap,
            f"{name}_image": self.image,
        }

    def channels(self, first: int, count: int) -> Rows:
        """``count`` channels of the same pixels."""
        shape = (*self.view.shape[:3], count)
        return replace(
            self, view=part(self.view, (0, 0, 0, first), shape), address=self.address + first
        )


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
    return Rows(view, address, x, y - size[1] * x, image - size[0] * y)


@dataclass(frozen=True)
class Residual:
    """The other operand of an ADD in the epilogue, and the fields of its rule."""

    rows: Rows
    params: Params

    def channels(self, first: int, count: int) -> Residual:
        """``count`` channels of the same pixels."""
        return replace(self, rows=self.rows.channels(first, count))


def emit_qgemm(
    ctx: Context,
    p: Product,
    weights: Weights,
    channels: slice,
    source: Rows,
    target: Rows,
    shape: tuple[int, int, int],
    runs: npt.NDArray[np.int64],
    residual: Residual | None = None,
) -> None:
    """One matrix product: ``weights`` int8[n, runs, kc] over ``shape`` (images, height, width).

    ``channels`` are those of the operator that ``weights`` gives. x's zero point goes into the
    bias.
    """
    n, run_count, kc = weights.shape
    pixels = shape[0] * shape[1] * shape[2]
    chosen = select.qgemm(
        ctx.isa, pixels, n, kc, run_count, weight_zero_point=p.zero != 0, add=residual is not None
    )
    ctx.require(chosen is not None)
    assert chosen is not None
    v, seconds = chosen[0].suited(weights), chosen[1]
    sums = weights.sum(axis=(1, 2), dtype=np.int64) - run_count * kc * p.zero
    bias = (p.bias[channels] - p.input_zero * sums).astype(np.int32)
    packed = v.pack(weights, bias, p.requant.scale[channels])
    kstep, steps = v.layout(kc, run_count)
    tiles, panels = -(-pixels // v.mr), -(-n // v.nr)
    block_panels = -(-panels // min(panels, -(-chunk_count(seconds) // tiles)))
    blocks = -(-panels // block_panels)
    params: Params = {
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
    reads: tuple[View, ...] = (source.view,)
    if residual is not None:
        params |= residual.rows.fields("r") | residual.params
        reads = (source.view, residual.rows.view)
    ctx.emit(v, params, tiles * blocks, seconds=seconds, reads=reads, writes=(target.view,))


def _residual(ctx: Context, stage: Stage, other: Value, out: Value) -> Residual:
    """ADD's fixed-point rule for (result less its zero point, ``other``)."""
    ctx.require(isinstance(stage.op, Add) and other.type.shape == out.type.shape)
    ctx.activations(other.type, out.type)
    assert isinstance(stage.op, Add)
    assert stage.type.quant is not None
    rule = stage.op.fixed_point([stage.type, other.type], [out.type])
    view = ctx.view(other)
    params: Params = {
        "c_mult": rule.a_multiplier,
        "r_mult": rule.b_multiplier,
        "add_bias": rule.bias + rule.a_multiplier * stage.type.quant.zero_point[0],
        "shift": rule.shift,
        "add_zero_point": rule.zero_point,
        "add_lo": rule.lo,
        "add_hi": rule.hi,
    }
    return Residual(rows(view, (view.shape[1], view.shape[2])), params)


def lower_conv(ctx: Context, node: Node) -> None:
    """CONV_2D, alone or with a residual ADD in its epilogue."""
    op, inputs, out = node.op, node.inputs, node.outputs[0]
    result, residual = out.type, None
    if isinstance(op, Fused):
        ctx.require(len(op.tail) == 1 and op.others == 1)
        (stage,) = op.tail
        residual = _residual(ctx, stage, inputs[-1], out)
        op, inputs, result = op.head, inputs[:-1], stage.type
    assert isinstance(op, Conv2D)
    n_out, kh, kw, depth = inputs[1].type.shape
    groups = inputs[0].type.shape[3] // depth
    ctx.require(groups <= MAX_STEPS)
    p = product(ctx, inputs, result, op.activation, n_out)
    a, c = ctx.view(inputs[0]), ctx.view(out)
    runs = window_runs(a, (kh, kw), op.dilation, joined=groups == 1)
    weights = p.weights.reshape(n_out, len(runs), -1)
    shape = (out.type.shape[0], out.type.shape[1], out.type.shape[2])
    halo = conv_halo(op, inputs[0].type, inputs[1].type, out.type)
    source, target = rows(around(a, halo), shape[1:], op.stride), rows(c, shape[1:])
    first = len(ctx.steps)
    per = n_out // groups
    for g in range(groups):
        channels = slice(g * per, (g + 1) * per)
        here, there = source.channels(g * depth, depth), target.channels(g * per, per)
        other = residual and residual.channels(g * per, per)
        emit_qgemm(ctx, p, weights[channels], channels, here, there, shape, runs, other)
    ctx.together(first)


def window_runs(
    x: View, kernel: tuple[int, int], dilation: tuple[int, int], joined: bool
) -> npt.NDArray[np.int64]:
    """Offsets in bytes of the runs of a window: one a tap, or one a row of the kernel.

    ``joined``: a run may go on from a pixel to the next where the view has them side by side.
    """
    _, row, pixel, _ = x.strides
    offsets = np.arange(kernel[0])[:, None] * (dilation[0] * row)
    if not (joined and dilation[1] == 1 and pixel == x.shape[3]):
        offsets = offsets + np.arange(kernel[1]) * (dilation[1] * pixel)
    return offsets.reshape(-1).astype(np.int64)


def lower_fully_connected(ctx: Context, node: Node) -> None:
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, FullyConnected)
    n, depth = node.inputs[1].type.shape
    p = product(ctx, node.inputs, out, op.activation, n)
    a, c = packed(ctx, ctx.view(node.inputs[0])), ctx.view(node.outputs[0])
    extents, (steps,) = merge(c.shape[:-1], [c.strides[:-1]])
    ctx.require(len(extents) <= 1)
    emit_qgemm(
        ctx,
        p,
        p.weights.reshape(n, 1, depth),
        slice(None),
        Rows(a, a.address, depth),
        Rows(c, c.address, (steps or (n,))[0]),
        (1, 1, out.size // n),
        np.zeros(1, np.int64),
    )


def lower_transpose_conv(ctx: Context, node: Node) -> None:
    """TRANSPOSE_CONV as one convolution for each phase of the stride."""
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, TransposeConv)
    n, kh, kw, _ = node.inputs[1].type.shape
    p = product(ctx, node.inputs, out, op.activation, n)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    halo = transpose_conv_halo(op, node.inputs[0].type, node.inputs[1].type)
    whole = around(a, halo)
    tall = phases(out.shape[1], kh, op.stride[0], op.padding[0])
    wide = phases(out.shape[2], kw, op.stride[1], op.padding[2])
    ctx.require(len(tall) * len(wide) <= MAX_STEPS)
    first = len(ctx.steps)
    for y in tall:
        for x in wide:
            taps = p.weights[:, list(y.taps)][:, :, list(x.taps)]
            if not taps.size:
                taps = np.full((n, 1, 1, 1), p.zero, np.int8)
            runs = window_runs(a, (taps.shape[1], taps.shape[2]), (1, 1), joined=True)
            size = (y.count, x.count)
            shape = (out.shape[0], *size)
            phase = part(c, (0, y.first, x.first, 0), (*shape, n), (1, *op.stride, 1))
            emit_qgemm(
                ctx,
                p,
                np.ascontiguousarray(taps).reshape(n, len(runs), -1),
                slice(None),
                rows(whole, size, start=(halo.top + y.start, halo.left + x.start)),
                rows(phase, size),
                shape,
                runs,
            )
    ctx.together(first)
