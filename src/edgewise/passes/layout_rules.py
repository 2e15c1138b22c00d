"""In which orders each operator runs: the table `FORMS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ..graph import Node, Value
from ..ops import (
    AddN,
    ArgExtreme,
    BatchMatMul,
    Binary,
    BroadcastTo,
    Cast,
    Concatenation,
    Cumsum,
    Densify,
    FakeQuant,
    FullyConnected,
    LastAxis,
    MirrorPad,
    Op,
    Pack,
    Pad,
    ReduceProd,
    Reduction,
    Reshape,
    Reverse,
    ReverseSequence,
    Select,
    Split,
    SplitV,
    StridedSlice,
    Tile,
    Unary,
    Unpack,
)
from .layout_forms import Form, Perm, constant

Rule: TypeAlias = "Callable[[Any, Node], Form | None]"


def _whole(value: Value) -> Perm:
    return tuple(range(len(value.type.shape)))


def _without(axes: Perm, dropped: Sequence[int]) -> Perm:
    return tuple(a for a in axes if a not in dropped)


def _each(op: Op, node: Node) -> Form | None:
    """Operands and result of one shape, element by element."""
    axes = _whole(node.outputs[0])
    shape = node.outputs[0].type.shape
    return Form((axes,) * len(node.inputs), (axes,), shape, lambda order: op)


def _broadcast(op: Op, node: Node) -> Form | None:
    """Operands aligned at their last axes."""
    if isinstance(op, Select) and op.rows:
        return None
    shape = node.outputs[0].type.shape
    rank = len(shape)
    inputs = tuple(tuple(range(rank - len(v.type.shape), rank)) for v in node.inputs)

    def permuted(order: Perm) -> Op:
        if isinstance(op, BroadcastTo):
            return BroadcastTo(tuple(shape[a] for a in order))
        return op

    return Form(inputs, (tuple(range(rank)),), shape, permuted, broadcasts=True)


def _keeps_last(op: Op, node: Node) -> Form | None:
    axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape
    return Form((axes,), (axes,), sizes, lambda order: op, _last_stays(sizes))


def _last_stays(sizes: Perm) -> Callable[[Perm], Perm | None]:
    last = len(sizes) - 1

    def admit(order: Perm) -> Perm | None:
        behind = order[order.index(last) + 1 :]
        if any(sizes[a] != 1 for a in behind):
            return None
        return (*_without(order, (last,)), last)

    return admit


def _along_axis(op: Any, node: Node) -> Form | None:
    """All operands have the axes of the first, and the operator an attribute ``axis``."""
    axes = _whole(node.inputs[0])
    longest = node.outputs if isinstance(op, Concatenation) else node.inputs
    return Form(
        (axes,) * len(node.inputs),
        (axes,) * len(node.outputs),
        longest[0].type.shape,
        lambda order: replace(op, axis=order.index(op.axis)),
        completes=True,
    )


def _by_axis(op: Any, node: Node) -> Form | None:
    """Operators with one attribute that has an entry an axis."""
    axes = _whole(node.inputs[0])
    name = "multiples" if isinstance(op, Tile) else "paddings"
    entries = getattr(op, name)
    return Form(
        (axes,),
        (axes,),
        node.outputs[0].type.shape,
        lambda order: replace(op, **{name: tuple(entries[a] for a in order)}),
        completes=True,
    )


def _reversed(op: Reverse, node: Node) -> Form | None:
    axes = _whole(node.inputs[0])

    def permuted(order: Perm) -> Op:
        return Reverse(tuple(sorted(order.index(a) for a in op.axes)))

    return Form((axes,), (axes,), node.inputs[0].type.shape, permuted)


def _reversed_rows(op: ReverseSequence, node: Node) -> Form | None:
    axes = _whole(node.inputs[0])

    def permuted(order: Perm) -> Op:
        return ReverseSequence(order.index(op.seq_axis), order.index(op.batch_axis))

    return Form((axes, None), (axes,), node.inputs[0].type.shape, permuted)


def _pack(op: Pack, node: Node) -> Form | None:
    axes = _whole(node.outputs[0])
    inputs = (_without(axes, (op.axis,)),) * len(node.inputs)
    shape = node.outputs[0].type.shape
    return Form(inputs, (axes,), shape, lambda order: Pack(order.index(op.axis)), completes=True)


def _unpack(op: Unpack, node: Node) -> Form | None:
    axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape
    outputs = (_without(axes, (op.axis,)),) * len(node.outputs)
    return Form((axes,), outputs, sizes, lambda order: Unpack(order.index(op.axis)), completes=True)


def _slice(op: StridedSlice, node: Node) -> Form | None:
    axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape

    def permuted(order: Perm) -> Op:
        begin, size, strides = (
            tuple(entries[a] for a in order) for entries in (op.begin, op.size, op.strides)
        )
        shrunk = tuple(sorted(order.index(a) for a in op.shrink_axes))
        return StridedSlice(begin, size, strides, shrunk)

    outputs = (_without(axes, op.shrink_axes),)
    return Form((axes,), outputs, sizes, permuted, completes=True)


def _reduce(op: Reduction, node: Node) -> Form | None:
    if isinstance(op, ReduceProd) and not node.inputs[0].type.dtype.is_float:
        return None  # rounded after each factor
    axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape
    kept = axes if op.keep_dims else _without(axes, op.axes)

    def permuted(order: Perm) -> Op:
        return replace(op, axes=tuple(sorted(order.index(a) for a in op.axes)))

    return Form((axes,), (kept,), sizes, permuted)


def _arg(op: ArgExtreme, node: Node) -> Form | None:
    axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape
    kept = _without(axes, (op.axis,))
    return Form((axes,), (kept,), sizes, lambda order: replace(op, axis=order.index(op.axis)))


def _gather(op: Any, node: Node) -> Form | None:
    """The axes of the indices lie, as one, where the axis does that they index."""
    if op.batch_dims:
        return None
    axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape
    chosen = (op.axis,) * len(node.inputs[1].type.shape)
    return Form(
        (axes, None),
        ((*axes[: op.axis], *chosen, *axes[op.axis + 1 :]),),
        sizes,
        lambda order: replace(op, axis=order.index(op.axis)),
        completes=True,
    )


def _reshape(op: Reshape, node: Node) -> Form | None:
    """Whole groups of axes that become whole groups of axes; those of size 1 are free."""
    before, after = node.inputs[0].type.shape, node.outputs[0].type.shape
    if 0 in before:
        return None
    sizes: list[int] = []
    axes: tuple[list[int], list[int]] = ([], [])
    while len(axes[0]) < len(before) or len(axes[1]) < len(after):
        ones = [
            len(own) < len(shape) and shape[len(own)] == 1
            for own, shape in zip(axes, (before, after), strict=True)
        ]
        group = len(sizes)
        if any(ones):
            for own, one in zip(axes, ones, strict=True):
                own += [group] * one
            sizes.append(1)
            continue
        products = [1, 1]
        while products[0] != products[1] or products[0] == 1:
            side = 0 if products[0] <= products[1] else 1
            products[side] *= (before, after)[side][len(axes[side])]
            axes[side].append(group)
        sizes.append(products[0])

    def permuted(order: Perm) -> Op:
        perm = sorted(range(len(after)), key=lambda a: (order.index(axes[1][a]), a))
        return Reshape(tuple(after[a] for a in perm))

    return Form((tuple(axes[0]),), (tuple(axes[1]),), tuple(sizes), permuted)


def _fully_connected(op: FullyConnected, node: Node) -> Form | None:
    if op.keep_num_dims:
        axes, sizes = _whole(node.inputs[0]), node.inputs[0].type.shape
        inputs = (axes, *(None,) * (len(node.inputs) - 1))
        return Form(inputs, (axes,), sizes, lambda order: op, _last_stays(sizes), completes=True)
    return _flattens(op, node)


def _flattens(op: FullyConnected, node: Node) -> Form | None:
    """Constant weights take the last axes of their input, which are summed, in any order."""
    x, weights = node.inputs[:2]
    sizes, data = x.type.shape, weights.data
    depth = weights.type.shape[1]
    first = next((i for i in range(len(sizes)) if math.prod(sizes[i:]) == depth), None)
    if data is None or first is None:
        return None
    rows = [a for a in range(first) if sizes[a] != 1]

    def admit(order: Perm) -> Perm | None:
        moved = [a for a in order if sizes[a] != 1]
        return order if moved[: len(rows)] == rows else None

    def constants(order: Perm) -> dict[int, Value]:
        summed = [a for a in order if a >= first]
        if summed == sorted(summed):
            return {}
        columns = np.arange(depth).reshape(sizes[first:]).transpose([a - first for a in summed])
        return {1: constant(weights, weights.type, data[:, columns.reshape(-1)])}

    axes = _whole(x)
    inputs = (axes, *(None,) * (len(node.inputs) - 1))
    return Form(inputs, (None,), sizes, lambda order: op, admit, constants=constants)


def _batch_matmul(op: BatchMatMul, node: Node) -> Form | None:
    """Each operand with its last two axes either way, but not both exchanged.

    The space is the batch, then M, K and N as the operands have them.
    """
    if op.adj_x and op.adj_y:
        return None
    ranks = [len(v.type.shape) - 2 for v in (*node.inputs, *node.outputs)]
    batch = tuple(range(ranks[2]))
    m, k, n = (
        ranks[2] + i for i in ((1, 0, 2) if op.adj_x else (0, 2, 1) if op.adj_y else (0, 1, 2))
    )
    x, y, out = (
        (*batch[len(batch) - rank :], *sorted(pair))
        for rank, pair in zip(ranks, ((m, k), (k, n), (m, n)), strict=True)
    )
    shape, depth = node.outputs[0].type.shape, node.inputs[0].type.shape[-2 if op.adj_x else -1]
    matrix = {m: shape[-2], k: depth, n: shape[-1]}
    sizes = (*shape[:-2], *(matrix[len(batch) + i] for i in range(3)))

    def admit(order: Perm) -> Perm | None:
        matrices = [a for a in order if a >= len(batch)]
        if matrices.index(n) < matrices.index(m):
            matrices.remove(m)
            matrices.insert(0, m)
        if matrices[:2] == [n, k] or matrices == [k, n, m]:
            return None
        lead = tuple(a for a in order if a < len(batch))
        big = [a for a in order if sizes[a] != 1]
        moved = [a for a in lead if sizes[a] != 1]
        if big[: len(moved)] != moved or (len({*ranks}) > 1 and moved != sorted(moved)):
            return None
        return (*(lead if len({*ranks}) == 1 else batch), *matrices)

    def permuted(order: Perm) -> Op:
        place = order.index
        return replace(op, adj_x=place(k) < place(m), adj_y=place(n) < place(k))

    ways = ((m, k, n), (k, m, n), (m, n, k))
    others = tuple((*batch, *way) for way in ways)
    return Form((x, y), (out,), sizes, permuted, admit, completes=True, others=others)


FORMS: dict[type[Op], Rule] = {
    AddN: _each,
    ArgExtreme: _arg,
    BatchMatMul: _batch_matmul,
    Binary: _broadcast,
    BroadcastTo: _broadcast,
    Cast: _each,
    Concatenation: _along_axis,
    Cumsum: _along_axis,
    Densify: _each,
    FakeQuant: _each,
    FullyConnected: _fully_connected,
    LastAxis: _keeps_last,
    MirrorPad: _by_axis,
    Pack: _pack,
    Pad: _by_axis,
    Reduction: _reduce,
    Reshape: _reshape,
    Reverse: _reversed,
    ReverseSequence: _reversed_rows,
    Select: _broadcast,
    Split: _along_axis,
    SplitV: _along_axis,
    StridedSlice: _slice,
    Tile: _by_axis,
    Unary: _each,
    Unpack: _unpack,
}
"""How operators, or bases of operators, run in other orders; all others run in the file's."""

RARE_FORMS: dict[str, Rule] = {"GATHER": _gather, "ZEROS_LIKE": _each}
"""By the names of operators that are imported when they are used."""


def form_of(node: Node) -> Form | None:
    """What orders a node can run in; None: as it is only."""
    for kind in type(node.op).__mro__:
        rule = FORMS.get(kind) or RARE_FORMS.get(kind.__dict__.get("name", ""))
        if rule is not None:
            return rule(node.op, node)
    return None
