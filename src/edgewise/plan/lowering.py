"""The operators that have kernels, each with the function that lowers it to steps.

A lowering emits steps into the ``Context``, or raises ``NoKernelError`` when the kernels do not
cover the node's types; its numpy reference runs then.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ops
from ..graph import Node
from . import depthwise, images, movement, pointwise, products, quantized, reductions
from .context import Context

Lowering = Callable[[Context, Node], None]

LOWERINGS: dict[type[ops.Op], Lowering] = {
    **dict.fromkeys(pointwise.FUNCTIONS, pointwise.lower),
    ops.ArgMax: reductions.lower_arg,
    ops.ArgMin: reductions.lower_arg,
    ops.AveragePool2D: images.lower_pool,
    ops.Concatenation: movement.lower_concatenation,
    ops.Conv2D: products.lower_conv,
    ops.DepthwiseConv2D: depthwise.lower_depthwise,
    ops.Dequantize: quantized.lower_dequantize,
    ops.FullyConnected: products.lower_fully_connected,
    ops.Fused: products.lower_conv,
    ops.MaxPool2D: images.lower_pool,
    ops.Mean: reductions.lower_reduction,
    ops.Pack: movement.lower_pack,
    ops.Pad: movement.lower_pad,
    ops.Quantize: quantized.lower_quantize,
    ops.ReduceAll: reductions.lower_reduction,
    ops.ReduceAny: reductions.lower_reduction,
    ops.ReduceMax: reductions.lower_reduction,
    ops.ReduceMin: reductions.lower_reduction,
    ops.ReduceProd: reductions.lower_reduction,
    ops.Reshape: movement.lower_reshape,
    ops.ResizeBilinear: images.lower_resize_bilinear,
    ops.ResizeNearestNeighbor: images.lower_resize_nearest,
    **dict.fromkeys(reductions.NORMALIZATIONS, reductions.lower_normalization),
    ops.LocalResponseNormalization: reductions.lower_normalization,
    ops.Cumsum: reductions.lower_cumsum,
    ops.Split: movement.lower_split,
    ops.StridedSlice: movement.lower_strided_slice,
    ops.Sum: reductions.lower_reduction,
    ops.Transpose: movement.lower_transpose,
    ops.TransposeConv: products.lower_transpose_conv,
    ops.Unpack: movement.lower_unpack,
}
