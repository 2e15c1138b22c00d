"""What selects, scatters, counts and sorts by index; sizes; spectra, texts, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...graph import Node
from ..tflite_call import TYPES, Row, Written, ints, plain, scalar


def gather(op: ops.Gather, node: Node) -> Written:
    fields = {"Axis": op.axis, "BatchDims": op.batch_dims}
    return Written(op.name, node.inputs, "GatherOptions", fields)


def one_hot(op: ops.OneHot, node: Node) -> Written:
    """Its operands in the file are (indices, depth, on, off)."""
    indices, on, off = node.inputs
    inputs = (indices, scalar(op.depth), on, off)
    return Written(op.name, inputs, "OneHotOptions", {"Axis": op.axis})


def top_k(op: ops.TopK, node: Node) -> Written:
    return Written(op.name, (*node.inputs, scalar(op.k)))


def scatter_nd(op: ops.ScatterNd, node: Node) -> Written:
    """Its operands in the file are (indices, updates, shape)."""
    return Written(op.name, (*node.inputs, ints(*op.shape, dtype=node.inputs[0].type.dtype)))


def sparse_to_dense(op: ops.SparseToDense, node: Node) -> Written:
    """Its operands in the file are (indices, shape, values, default)."""
    indices, values, default = node.inputs
    shape = ints(*op.shape, dtype=indices.type.dtype)
    return Written(op.name, (indices, shape, values, default))


def unsorted_segment(op: Any, node: Node) -> Written:
    return Written(op.name, (*node.inputs, scalar(op.rows)))


def fill(op: ops.Fill, node: Node) -> Written:
    return Written(op.name, (ints(*op.shape), *node.inputs))


def shape(op: ops.Shape, node: Node) -> Written:
    return Written(op.name, node.inputs, "ShapeOptions", {"OutType": TYPES[op.dtype]})


def unique(op: ops.Unique, node: Node) -> Written:
    return Written(op.name, node.inputs, "UniqueOptions", {"IdxOutType": TYPES[op.index_dtype]})


def bucketize(op: ops.Bucketize, node: Node) -> Written:
    boundaries = np.array(op.boundaries, np.float32)
    return Written(op.name, node.inputs, "BucketizeOptions", {"Boundaries": boundaries})


def non_max_suppression(op: ops.NonMaxSuppressionV4, node: Node) -> Written:
    """Its third operand in the file is the most boxes."""
    boxes, scores, *others = node.inputs
    return Written(op.name, (boxes, scores, scalar(op.max_output_size), *others))


def rfft2d(op: ops.Rfft2d, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.size)))


def lsh_projection(op: ops.LshProjection, node: Node) -> Written:
    return Written(op.name, node.inputs, "LSHProjectionOptions", {"Type": 2 if op.dense else 1})


def embedding_lookup_sparse(op: ops.EmbeddingLookupSparse, node: Node) -> Written:
    """Its operands in the file are (ids, indices, shape, weights, table)."""
    ids, indices, weights, table = node.inputs
    inputs = (ids, indices, ints(*op.shape), weights, table)
    fields = {"Combiner": op.combiner.value}
    return Written(op.name, inputs, "EmbeddingLookupSparseOptions", fields)


def skip_gram(op: ops.SkipGram, node: Node) -> Written:
    fields = {"NgramSize": op.size, "MaxSkipSize": op.skips, "IncludeAllNgrams": op.all_sizes}
    return Written(op.name, node.inputs, "SkipGramOptions", fields)


def random(op: ops.RandomUniform, node: Node) -> Written:
    return _random(op, (ints(*op.shape),))


def multinomial(op: ops.Multinomial, node: Node) -> Written:
    return _random(op, (node.inputs[0], scalar(op.count)))


def _random(op: Any, inputs: Any) -> Written:
    """The generator's counter is no tensor of the file."""
    fields = {"Seed": op.seeds[0], "Seed2": op.seeds[1]}
    return Written(op.name, inputs, "RandomOptions", fields, outputs=1)


ROWS: dict[type[ops.Op], Row] = {
    ops.BroadcastArgs: plain,
    ops.Bucketize: bucketize,
    ops.ComplexAbs: plain,
    ops.DynamicUpdateSlice: plain,
    ops.EmbeddingLookup: plain,
    ops.EmbeddingLookupFloat: plain,
    ops.EmbeddingLookupSparse: embedding_lookup_sparse,
    ops.Fill: fill,
    ops.Gather: gather,
    ops.GatherNd: plain,
    ops.HashtableLookup: plain,
    ops.Imag: plain,
    ops.LshProjection: lsh_projection,
    ops.Multinomial: multinomial,
    ops.NonMaxSuppressionV4: non_max_suppression,
    ops.NonMaxSuppressionV5: non_max_suppression,
    ops.OneHot: one_hot,
    ops.RandomStandardNormal: random,
    ops.RandomUniform: random,
    ops.Range: plain,
    ops.Rank: plain,
    ops.Real: plain,
    ops.Rfft2d: rfft2d,
    ops.ScatterNd: scatter_nd,
    ops.SegmentSum: plain,
    ops.Shape: shape,
    ops.SkipGram: skip_gram,
    ops.SparseToDense: sparse_to_dense,
    ops.TopK: top_k,
    ops.Unique: unique,
    ops.UnsortedSegmentMax: unsorted_segment,
    ops.UnsortedSegmentMin: unsorted_segment,
    ops.UnsortedSegmentProd: unsorted_segment,
    ops.UnsortedSegmentSum: unsorted_segment,
    ops.Where: plain,
    ops.ZerosLike: plain,
}
