"""The operators that have kernels, each with the function that lowers it to steps.

A lowering emits steps into the ``Context``, or raises ``NoKernelError`` when the kernels do not
cover the node's types; its numpy reference runs then.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ops
from ..graph import Node
from . import (
    arrange,
    depthwise,
    gather,
    gru,
    images,
    lstm,
    matmul,
    movement,
    parts,
    pointwise,
    products,
    quantized,
    reductions,
    sort,
    volumes,
    wide_reductions,
)
from .context import Context

Lowering = Callable[[Context, Node], None]


def _lower_fused(ctx: Context, node: Node) -> None:
    """What lowers the head knows what follows it."""
    assert isinstance(node.op, ops.Fused)
    LOWERINGS[type(node.op.head)](ctx, node)


LOWERINGS: dict[type[ops.Op], Lowering] = {
    **dict.fromkeys(pointwise.FUNCTIONS, pointwise.lower),
    **dict.fromkeys(images.POOLS, images.lower_pool),
    **dict.fromkeys(reductions.NORMALIZATIONS, reductions.lower_normalization),
    **dict.fromkeys(reductions.REDUCTIONS, reductions.lower_reduction),
    **dict.fromkeys((ops.Mean, ops.Sum), wide_reductions.lower_sum),
    ops.ArgMax: reductions.lower_arg,
    ops.ArgMin: reductions.lower_arg,
    ops.BatchMatMul: matmul.lower_batch_matmul,
    ops.BatchToSpaceNd: arrange.lower_batch_to_space,
    ops.Bitcast: arrange.lower_bitcast,
    ops.BroadcastTo: arrange.lower_broadcast,
    ops.Chain: pointwise.lower_chain,
    ops.ComplexAbs: parts.lower_complex_abs,
    ops.Concatenation: movement.lower_concatenation,
    ops.Conv2D: products.lower_conv,
    ops.Conv3D: volumes.lower_conv_3d,
    ops.Conv3DTranspose: volumes.lower_conv_3d_transpose,
    ops.Cumsum: reductions.lower_cumsum,
    ops.DepthToSpace: arrange.lower_space_to_depth,
    ops.DepthwiseConv2D: depthwise.lower_depthwise,
    ops.Dequantize: quantized.lower_dequantize,
    ops.DynamicUpdateSlice: gather.lower_update_slice,
    ops.EmbeddingLookup: gather.lower_embedding,
    ops.FakeQuant: quantized.lower_fake_quant,
    ops.Fill: arrange.lower_broadcast,
    ops.FullyConnected: products.lower_fully_connected,
    ops.Fused: _lower_fused,
    ops.Gather: gather.lower_gather,
    ops.GatherNd: gather.lower_gather_nd,
    ops.Gru: gru.lower_gru,
    ops.Imag: parts.lower_part,
    ops.LocalResponseNormalization: reductions.lower_normalization,
    ops.Softmax: wide_reductions.lower_softmax,
    ops.MatrixDiag: arrange.lower_matrix_diag,
    ops.MatrixSetDiag: arrange.lower_matrix_diag,
    ops.MirrorPad: arrange.lower_mirror_pad,
    ops.OneHot: gather.lower_one_hot,
    ops.Pack: movement.lower_pack,
    ops.Pad: movement.lower_pad,
    ops.Quantize: quantized.lower_quantize,
    ops.Real: parts.lower_part,
    ops.Reshape: movement.lower_reshape,
    ops.ResizeBilinear: images.lower_resize_bilinear,
    ops.ResizeNearestNeighbor: images.lower_resize_nearest,
    ops.Reverse: arrange.lower_reverse,
    ops.ReverseSequence: gather.lower_reverse_sequence,
    ops.SpaceToBatchNd: arrange.lower_space_to_batch,
    ops.SpaceToDepth: arrange.lower_space_to_depth,
    ops.Split: movement.lower_slices,
    ops.SplitV: movement.lower_slices,
    ops.StridedSlice: movement.lower_slices,
    ops.Tile: arrange.lower_tile,
    ops.TopK: sort.lower_top_k,
    ops.Transpose: movement.lower_transpose,
    ops.TransposeConv: products.lower_transpose_conv,
    ops.UnidirectionalSequenceLstm: lstm.lower_lstm,
    ops.Unpack: movement.lower_slices,
    ops.ZerosLike: arrange.lower_zeros,
}

FIXED_POINT: tuple[type[ops.Op], ...] = (
    ops.Add,
    ops.BatchMatMul,
    ops.Conv2D,
    ops.DepthwiseConv2D,
    ops.FullyConnected,
    ops.Mul,
    ops.Softmax,
    ops.Sub,
    ops.TransposeConv,
)
"""Those whose kernels requantize by any `Rounding`, not by FLOAT alone."""
