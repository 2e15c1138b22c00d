"""Sequences of tensors, whose number is known while a file is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import ops
from ...graph import Value
from ..onnx_call import Argument, Call, Row
from .movement import parts_of


def construct(call: Call) -> tuple[Value, ...]:
    return tuple(call.values())


def empty(call: Call) -> tuple[Value, ...]:
    return ()


def at(call: Call) -> Value:
    values = call.sequence(0)
    return values[call.axis(call.whole(1), len(values))]


def insert(call: Call) -> tuple[Value, ...]:
    values = list(call.sequence(0))
    place = call.whole(2) if call.has(2) else len(values)
    if not -len(values) <= place <= len(values):
        raise call.error(f"position {place} in a sequence of {len(values)}")
    values.insert(place, call.value(1))
    return tuple(values)


def erase(call: Call) -> tuple[Value, ...]:
    values = list(call.sequence(0))
    place = call.whole(1) if call.has(1) else -1
    del values[call.axis(place, len(values))]
    return tuple(values)


def length(call: Call) -> Value:
    return call.b.constant(np.array(len(call.sequence(0)), np.int64))


def split(call: Call) -> tuple[Value, ...]:
    """Parts of one size, but for the last, or of sizes given; slices where nothing is given."""
    x, axis = call.value(0), call.axis(call.integer("axis", 0), call.rank(0))
    size = call.shape(0)[axis]
    sizes = [1] * size
    if call.has(1) and call.rank(1) == 0:
        each = call.whole(1)
        if each < 1:
            raise call.error(f"parts of {each}; at least 1")
        count = -(-size // each)
        sizes = [min(each, size - i * each) for i in range(count)]
    elif call.has(1):
        sizes = list(call.integers(1))
    if sum(sizes) != size or min(sizes, default=1) < 0:
        raise call.error(f"parts of {sizes[:16]}; they sum to {size}, the axis")
    if not sizes:
        return ()
    parts = parts_of(call, x, axis, sizes)
    if call.has(1) or call.flag("keepdims", True):
        return tuple(parts)
    shape = (*call.shape(0)[:axis], *call.shape(0)[axis + 1 :])
    return tuple(call.b.reshape(v, shape) for v in parts)


def concat(call: Call) -> Value:
    values = call.sequence(0)
    if not values:
        raise call.error("it joins an empty sequence; it has at least one tensor")
    new = call.flag("new_axis")
    axis = call.axis(call.integer("axis"), len(values[0].type.shape) + new)
    return call.one(ops.Pack(axis) if new else ops.Concatenation(axis), *values)


def map_(call: Call) -> list[Argument]:
    """A graph of each tensor, and of those at its place in other sequences, or of other tensors."""
    graph, count = call.attributes.get("body", "GRAPH"), len(call.sequence(0))
    rows = []
    for i in range(count):
        arguments: list[Argument] = []
        for k, given in enumerate(call.inputs):
            if isinstance(given, tuple) and len(given) != count:
                raise call.error(f"input {k} has {len(given)} tensors, input 0 {count}; as many")
            arguments.append(given[i] if isinstance(given, tuple) else given)
        rows.append(call.reading.inline(graph, arguments))
    columns: list[list[Value]] = [[] for _ in graph.output]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            if not isinstance(value, Value):
                raise call.unsupported("a result of its graph is no tensor")
            column.append(value)
    return [tuple(column) for column in columns]


def one(read: Callable[[Call], Argument]) -> Callable[[Call], list[Argument]]:
    """A reader of one result that may be a sequence, or nothing."""
    return lambda call: [read(call)]


MANY = (1, 4096)

OPERATORS: dict[str, Row] = {
    "ConcatFromSequence": Row(concat),
    "SequenceAt": Row(at, (2, 2)),
    "SequenceConstruct": Row(one(construct), MANY),
    "SequenceEmpty": Row(one(empty), (0, 0)),
    "SequenceErase": Row(one(erase), (1, 2)),
    "SequenceInsert": Row(one(insert), (2, 3)),
    "SequenceLength": Row(length),
    "SequenceMap": Row(map_, MANY),
    "SplitToSequence": Row(one(split), (1, 2)),
}
