"""Lowering of operators over windows, pixels and channels of images."""

from __future__ import annotations

from collections.abc import Mapping

from ..dtype import DType
from ..graph import Node, TensorType
from ..kernels import pool, resize
from ..kernels.image import block_width
from ..ops import (
    Activation,
    AveragePool2D,
    L2Pool2D,
    MaxPool2D,
    Op,
    ResizeBilinear,
    ResizeNearestNeighbor,
)
from ..ops.requant import activation_range
from .context import ELEMENTS, Context, real_bounds
from .model import Params, View
from .reductions import mean_rule, reduce

POOLS: Mapping[type[Op], pool.PoolOp] = {
    AveragePool2D: "average",
    L2Pool2D: "l2",
    MaxPool2D: "max",
}


def image_fields(name: str, view: View) -> Params:
    """The fields of a rank-4 view as ``kernels.image.view`` names them."""
    image, row, pixel, _ = view.strides
    return {name: view.address, f"{name}_image": image, f"{name}_row": row, f"{name}_x": pixel}


def lower_pool(ctx: Context, node: Node) -> None:
    """AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D; a float32 average of a whole image is a mean."""
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    assert isinstance(op, AveragePool2D | MaxPool2D | L2Pool2D)
    real = x.dtype is DType.FLOAT32
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    (height, width), (sh, sw) = op.filter, op.stride
    name = POOLS[type(op)]
    bounds: Params = {}
    if real:
        whole = op.filter == x.shape[1:3] and not any(op.padding)
        if name == "average" and whole and op.activation is Activation.NONE:
            reduce(ctx, mean_rule(ctx, x, height * width), a, c, (1, 2))
            return
        bounds = real_bounds(op.activation)
    else:
        if x.dtype is DType.INT16:
            ctx.require(x.quant is not None and (name == "max" or height * width <= 2**15))
        else:
            ctx.activations(x, out)
        bounds["lo"], bounds["hi"] = activation_range(out, op.activation)
    element = ELEMENTS[x.dtype]
    variant = pool.Pool(
        ctx.isa,
        name,
        block_width(ctx.isa, x.shape[3], element),
        wide=name == "average" and element.bits == 8 and height * width > pool.NARROW,
        element=element,
    )
    params: Params = {
        **image_fields("a", a),
        **image_fields("c", c),
        "height": x.shape[1],
        "width": x.shape[2],
        "out_height": out.shape[1],
        "out_width": out.shape[2],
        "channels": x.shape[3],
        "filter_h": height,
        "filter_w": width,
        "stride_h": sh,
        "stride_w": sw,
        "top": op.padding[0],
        "left": op.padding[2],
        **bounds,
    }
    if isinstance(op, AveragePool2D):
        params["zero_point"] = op.raw_zero
    seconds = out.nbytes * height * width * 0.1e-9
    units = out.shape[0] * out.shape[1]
    ctx.emit(variant, params, units, seconds=seconds, reads=(a,), writes=(c,))


def _resize(ctx: Context, node: Node, out: TensorType) -> tuple[View, View, Params]:
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    params: Params = {
        **image_fields("a", a),
        **image_fields("c", c),
        "out_height": out.shape[1],
        "out_width": out.shape[2],
    }
    return a, c, params


def lower_resize_bilinear(ctx: Context, node: Node) -> None:
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    assert isinstance(op, ResizeBilinear)
    real = x.dtype is DType.FLOAT32
    if not real:
        ctx.activations(x, out)
    a, c, params = _resize(ctx, node, out)
    width = block_width(ctx.isa, x.shape[3], ELEMENTS[x.dtype])
    variant = resize.Bilinear(ctx.isa, width, real)
    for name, before, after in (("ys", x.shape[1], out.shape[1]), ("xs", x.shape[2], out.shape[2])):
        params[name] = ctx.constants.add(variant.taps(*op.taps(before, after)))
    ctx.emit(
        variant,
        {**params, "channels": x.shape[3]},
        out.shape[0] * out.shape[1],
        seconds=out.size * 0.3e-9,
        reads=(a,),
        writes=(c,),
    )


def lower_resize_nearest(ctx: Context, node: Node) -> None:
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    assert isinstance(op, ResizeNearestNeighbor)
    a, c, params = _resize(ctx, node, out)
    params["ys"] = ctx.constants.add(op.indices(x.shape[1], out.shape[1]))
    params["xs"] = ctx.constants.add(op.indices(x.shape[2], out.shape[2]))
    nbytes = x.shape[3] * x.dtype.itemsize
    variant = resize.Nearest(ctx.isa, block_width(ctx.isa, nbytes))
    ctx.emit(
        variant,
        {**params, "channels": nbytes},
        out.shape[0] * out.shape[1],
        seconds=out.nbytes * 0.2e-9,
        reads=(a,),
        writes=(c,),
    )
