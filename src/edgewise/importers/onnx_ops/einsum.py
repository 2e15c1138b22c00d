"""Einsum: matrix products of two operands at a time, or the operator as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..onnx_call import Call

Labels = tuple[int, ...]


def einsum(call: Call) -> Value:
    """Of float32 BATCH_MATMULs, sums and transposes; of other types, and diagonals, EINSUM."""
    terms, output = parsed(call)
    op = ops.Einsum(terms, output)
    values = call.values()
    for term, v in zip(terms, values, strict=True):
        if len(term) != len(v.type.shape):
            raise call.error(f"{len(term)} labels for an input of shape {list(v.type.shape)}")
    is_float = values[0].type.dtype is DType.FLOAT32
    if not is_float or any(len(set(t)) != len(t) for t in terms) or not _sizes_agree(terms, values):
        return call.one(op, *values)
    x, labels = values[0], terms[0]
    for i, (y, others) in enumerate(zip(values[1:], terms[1:], strict=True), 2):
        kept = {*output, *(label for term in terms[i:] for label in term)}
        x, labels = _contracted(call, x, labels, y, others, kept)
    x, labels = _summed(call, x, labels, set(output))
    return call.b.transpose(x, [labels.index(label) for label in output])


def _sizes_agree(terms: Sequence[Labels], values: Sequence[Value]) -> bool:
    sizes: dict[int, int] = {}
    pairs = (
        (label, size)
        for labels, v in zip(terms, values, strict=True)
        for label, size in zip(labels, v.type.shape, strict=True)
    )
    return all(sizes.setdefault(label, size) == size for label, size in pairs)


def parsed(call: Call) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of the operands' axes and of the output's, numbers that are 0 or more.

    Those of an ellipsis come before those of letters.
    """
    text = "".join(call.text("equation").split())
    left, arrow, right = text.partition("->")
    parts, ranks = left.split(","), [len(v.type.shape) for v in call.values()]
    if len(parts) != len(ranks):
        raise call.error(f"equation {text!r} has {len(parts)} terms; there are {len(ranks)} inputs")
    for part in (*parts, right):
        letters = part.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise call.error(f"equation {text!r}; terms are letters and one ellipsis each")
    hidden = [
        rank - len(part.replace("...", "")) if "..." in part else 0
        for part, rank in zip(parts, ranks, strict=True)
    ]
    if min(hidden) < 0:
        raise call.error(f"equation {text!r} names more axes than inputs of ranks {ranks} have")
    most = max(hidden)
    known = sorted({c for part in parts for c in part if c != "."})
    numbers = {c: most + i for i, c in enumerate(known)}

    def labels(part: str, count: int) -> Labels:
        before, _, after = part.partition("...")
        shared = range(most - count, most) if "..." in part else ()
        return (*(numbers[c] for c in before), *shared, *(numbers[c] for c in after))

    terms = tuple(labels(part, n) for part, n in zip(parts, hidden, strict=True))
    if not arrow:
        once = "".join(c for c in known if left.count(c) == 1)
        return terms, (*range(most), *(numbers[c] for c in once))
    unknown = sorted(set(right.replace(".", "")) - set(known))
    if unknown or len(set(right.replace(".", ""))) != len(right.replace(".", "")):
        raise call.error(f"equation {text!r}; the output names axes of the inputs, each once")
    return terms, labels(right, most)


def _summed(call: Call, x: Value, labels: Labels, kept: set[int]) -> tuple[Value, Labels]:
    """x without the axes that nothing else needs."""
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    if not axes:
        return x, labels
    return call.one(ops.Sum(axes), x), tuple(label for label in labels if label in kept)


def _contracted(
    call: Call, x: Value, left: Labels, y: Value, right: Labels, kept: set[int]
) -> tuple[Value, Labels]:
    """The product of two operands, summed over what they share and nothing else needs."""
    x, left = _summed(call, x, left, kept | set(right))
    y, right = _summed(call, y, right, kept | set(left))
    shared = [label for label in left if label in right]
    batch = [label for label in shared if label in kept]
    inner = [label for label in shared if label not in kept]
    rows = [label for label in left if label not in shared]
    columns = [label for label in right if label not in shared]
    sizes = dict(zip((*left, *right), (*x.type.shape, *y.type.shape), strict=True))

    def size(labels: Sequence[int]) -> int:
        return math.prod(sizes[label] for label in labels)

    def arranged(v: Value, labels: Labels, *groups: Sequence[int]) -> Value:
        order = [labels.index(label) for group in (batch, *groups) for label in group]
        return call.b.reshape(call.b.transpose(v, order), (size(batch), *map(size, groups)))

    a = arranged(x, left, rows, inner)
    c = arranged(y, right, inner, columns)
    found = (*batch, *rows, *columns)
    product = call.one(ops.BatchMatMul(), a, c)
    return call.b.reshape(product, tuple(sizes[label] for label in found)), found
