"""Sparse tensors of .tflite files, made dense.

A file stores the values of a tensor in any order of its dimensions, some of them cut into blocks,
each dimension dense or compressed (CSR): the format of "The Tensor Algebra Compiler" (Kjolstad et
al., 2017). ``SparsityParameters`` of the schema tells which.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..errors import ModelError, UnsupportedError
from ..graph import Array
from . import tflite_schema as schema
from .flatbuffer import INT8, INT32, UINT8, Table

MAX_DENSE = 2**26
"""The most elements of a dense tensor: a few bytes may stand for any number of zeros."""

INDEX_TYPES = {1: "<i4", 2: "<u2", 3: "<u1"}
"""Element types by their number in the schema's union SparseIndexVector."""


class Level(NamedTuple):
    """One dimension of the storage: ``size`` of a dense one, else the two arrays of a CSR one."""

    size: int
    segments: Array | None = None
    indices: Array | None = None


def dense_positions(table: Table, shape: tuple[int, ...], what: str) -> Array:
    """For every stored value, in order, its position in the flat dense tensor.

    Raises:
        ModelError: the sparsity parameters contradict themselves or ``shape``.
        UnsupportedError: the dense tensor would have more than MAX_DENSE elements.
    """
    o = schema.SparsityParameters
    if math.prod(shape) > MAX_DENSE:
        raise UnsupportedError(
            f"{what}: {math.prod(shape)} elements stored sparse; at most {MAX_DENSE} are read"
        )
    order = table.numbers(o.TRAVERSAL_ORDER, "i")
    blocked = table.numbers(o.BLOCK_MAP, "i")
    levels = [_level(t) for t in table.tables(o.DIM_METADATA, "dimension", most=2 * len(shape))]
    rank = len(shape)
    if sorted(order) != list(range(rank + len(blocked))) or len(levels) != len(order):
        raise ModelError(
            f"{what}: traversal order {order} of {len(levels)} stored dimensions; it must order "
            f"the {rank} dimensions and then {len(blocked)} blocks"
        )
    if len(set(blocked)) != len(blocked) or any(not 0 <= d < rank for d in blocked):
        raise ModelError(f"{what}: block map {blocked}; it names dimensions of {rank}, each once")

    sizes = {axis: level.size for axis, level in zip(order, levels, strict=True)}
    blocks = {axis: sizes[rank + i] for i, axis in enumerate(blocked)}
    if any(b < 1 or shape[axis] % b for axis, b in blocks.items()):
        raise ModelError(f"{what}: blocks {blocks} do not divide its shape {list(shape)}")
    strides = [math.prod(shape[axis + 1 :]) for axis in range(rank)]
    extents = [n // blocks.get(axis, 1) for axis, n in enumerate(shape)]
    steps = [stride * blocks.get(axis, 1) for axis, stride in enumerate(strides)]
    extents += [blocks[axis] for axis in blocked]
    steps += [strides[axis] for axis in blocked]

    positions = parents = np.zeros(1, np.int64)
    for axis, level in zip(order, levels, strict=True):
        parents, coordinates, picked = _expand(level, extents[axis], parents, what)
        positions = positions[picked] + coordinates * steps[axis]
    return positions


def _expand(level: Level, extent: int, parents: Array, what: str) -> tuple[Array, Array, Array]:
    """Children of the stored nodes ``parents``: their numbers, coordinates, and parents' places."""
    if level.segments is None or level.indices is None:
        if level.size != extent:
            raise ModelError(
                f"{what}: a dense dimension of {level.size} where its shape has {extent}"
            )
        count = len(parents)
        if count * extent > MAX_DENSE:
            raise ModelError(f"{what}: it stores more values than it has elements")
        coordinates = np.tile(np.arange(extent), count)
        children = np.repeat(parents * extent, extent) + coordinates
        return children, coordinates, np.repeat(np.arange(count), extent)
    segments, indices = level.segments, level.indices
    if parents.size and (parents[-1] + 1 >= segments.size or segments[0] < 0):
        raise ModelError(f"{what}: {segments.size} segments for {parents[-1] + 1} rows")
    if np.any(np.diff(segments) < 0) or (segments.size and segments[-1] > indices.size):
        raise ModelError(f"{what}: its segments do not ascend to the {indices.size} indices")
    if indices.size and not (indices.min() >= 0 and indices.max() < extent):
        raise ModelError(f"{what}: an index outside a dimension of {extent}")
    starts, counts = segments[parents], segments[parents + 1] - segments[parents]
    total = int(counts.sum())
    if total > MAX_DENSE:
        raise ModelError(f"{what}: it stores more values than it has elements")
    ends = np.cumsum(counts)
    children = np.arange(total) - np.repeat(ends - counts, counts) + np.repeat(starts, counts)
    return children, indices[children], np.repeat(np.arange(len(parents)), counts)


def _level(table: Table) -> Level:
    o = schema.DimensionMetadata
    kind = table.number(o.FORMAT, INT8)
    if kind == 0:
        return Level(table.number(o.DENSE_SIZE, INT32))
    if kind != 1:
        raise ModelError(f"{table.what}: format {kind}; it is 0 (dense) or 1 (CSR)")
    return Level(
        0,
        _indices(table, o.ARRAY_SEGMENTS_TYPE, o.ARRAY_SEGMENTS),
        _indices(table, o.ARRAY_INDICES_TYPE, o.ARRAY_INDICES),
    )


def _indices(table: Table, tag: int, field: int) -> Array:
    code = table.number(tag, UINT8)
    vector = table.table(field, f"{table.what}: indices")
    if code not in INDEX_TYPES or vector is None:
        raise ModelError(f"{table.what}: indices of type {code}; it must be 1 to 3")
    dtype = np.dtype(INDEX_TYPES[code])
    start, count = vector.vector(schema.Int32Vector.VALUES, dtype.itemsize)
    return np.frombuffer(table.data, dtype, count, start).astype(np.int64)
