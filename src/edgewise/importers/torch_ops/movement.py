"""Operators that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...graph import Value
from ..torch_call import Call, Reader

LAST = 2**62
"""At least this as the end of a slice is no end."""


def view(name: str) -> Reader:
    """The elements in another shape; one dimension may be -1."""

    def read(call: Call) -> Value:
        x, shape = call.value(), list(call.ints(name))
        if shape.count(-1) == 1:
            rest = math.prod(n for n in shape if n != -1)
            if not rest or x.type.size % rest:
                raise call.error(f"{x.type.size} elements as {shape}")
            shape[shape.index(-1)] = x.type.size // rest
        return call.b.reshape(x, shape)

    return read


def flatten(call: Call) -> Value:
    x, rank = call.value(), len(call.shape())
    if not rank:
        return call.b.reshape(x, (1,))
    start, end = call.axis("start_dim", default=0), call.axis("end_dim", default=-1)
    shape = x.type.shape
    middle = math.prod(shape[start : end + 1])
    return call.b.reshape(x, (*shape[:start], middle, *shape[end + 1 :]))


def permute(call: Call) -> Value:
    rank = len(call.shape())
    perm = tuple(call.counted(axis, rank) for axis in call.ints("dims"))
    if sorted(perm) != list(range(rank)):
        raise call.error(f"dims {list(perm)}; each of {rank} dimensions is named once")
    return call.b.transpose(call.value(), perm)


def transpose(call: Call) -> Value:
    perm = list(range(len(call.shape())))
    if perm:
        a, b = call.axis("dim0"), call.axis("dim1")
        perm[a], perm[b] = perm[b], perm[a]
    return call.b.transpose(call.value(), perm)


def transpose_matrix(call: Call) -> Value:
    return call.b.transpose(call.value(), range(len(call.shape()))[::-1])


def squeeze(call: Call) -> Value:
    shape, rank = call.shape(), len(call.shape())
    chosen = call.get("dim", range(rank))
    chosen = [chosen] if isinstance(chosen, int) else chosen
    axes = {call.counted(axis, rank) for axis in chosen}
    kept = [n for i, n in enumerate(shape) if not (i in axes and n == 1)]
    return call.b.reshape(call.value(), kept)


def unsqueeze(call: Call) -> Value:
    shape = list(call.shape())
    shape.insert(call.axis("dim", len(shape) + 1), 1)
    return call.b.reshape(call.value(), shape)


def expand(call: Call) -> Value:
    x, shape = call.value(), list(call.ints("size"))
    own = (1,) * (len(shape) - len(x.type.shape)) + x.type.shape
    return broadcast(call, x, [m if n == -1 else n for n, m in zip(shape, own, strict=False)])


def expand_as(call: Call) -> Value:
    return broadcast(call, call.value(), call.shape("other"))


def broadcast(call: Call, x: Value, shape: Sequence[int]) -> Value:
    """x repeated to a shape."""
    if tuple(shape) == x.type.shape:
        return x
    if x.type.size == math.prod(shape):
        return call.b.reshape(x, shape)
    return call.one(ops.BroadcastTo(tuple(shape)), x)


def repeat(call: Call) -> Value:
    x, times = call.value(), call.ints("repeats")
    if len(times) < len(x.type.shape) or min(times, default=1) < 0:
        raise call.error(f"repeats {list(times)} of a {x.type}")
    wide = call.b.reshape(x, ((1,) * (len(times) - len(x.type.shape)) + x.type.shape))
    return call.one(ops.Tile(times), wide)


def cat(call: Call) -> Value:
    """Empty vectors among the tensors are left out."""
    given = [call.cast(v, call.dtype) for v in call.values("tensors")]
    parts = [v for v in given if v.type.shape != (0,)] or given[:1]
    axis = call.axis("dim", len(parts[0].type.shape), default=0)
    return parts[0] if len(parts) == 1 else call.one(ops.Concatenation(axis), *parts)


def stack(call: Call) -> Value:
    parts = [call.cast(v, call.dtype) for v in call.values("tensors")]
    return call.one(ops.Pack(call.axis("dim", len(parts[0].type.shape) + 1, default=0)), *parts)


def bounds(call: Call, size: int) -> tuple[int, int, int]:
    """Begin, number and step of a slice of ``size`` elements."""
    step = call.integer("step", 1)
    if step < 1:
        raise call.error(f"step {step}; it is at least 1")
    start, end, step = slice(call.get("start"), call.get("end"), step).indices(size)
    return start, max(-(-(end - start) // step), 0), step


def slice_(call: Call) -> Value:
    axis = call.axis("dim", default=0)
    shape = call.shape()
    begin, count, step = bounds(call, shape[axis])
    return strided(call, call.value(), axis, begin, count, step)


def strided(call: Call, x: Value, axis: int, begin: int, count: int, step: int) -> Value:
    shape = x.type.shape
    if (begin, count, step) == (0, shape[axis], 1):
        return x
    if step == 1 and x.data is not None:
        return call.b.slice(x, axis, begin, count)
    starts, sizes, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], sizes[axis], steps[axis] = begin, count, step
    return call.one(ops.StridedSlice(tuple(starts), tuple(sizes), tuple(steps)), x)


def select(call: Call) -> Value:
    axis, shape = call.axis(), call.shape()
    index = call.counted(call.integer("index"), shape[axis])
    part = call.b.slice(call.value(), axis, index, 1)
    return call.b.reshape(part, (*shape[:axis], *shape[axis + 1 :]))


def parts_of(call: Call, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Parts one after another along an axis."""
    x, begin, parts = call.value(), 0, []
    if sum(sizes) != x.type.shape[axis] or min(sizes) < 0:
        raise call.error(f"parts of {list(sizes)[:16]}; they sum to {x.type.shape[axis]}")
    for size in sizes:
        parts.append(strided(call, x, axis, begin, size, 1))
        begin += size
    return parts


def split(call: Call) -> list[Value]:
    """Parts of one size, the last of what is left, or of given sizes."""
    axis = call.axis("dim", default=0)
    found = call.get("split_size", call.get("split_sizes", call.get("split_size_or_sections")))
    if isinstance(found, int):
        return parts_of(call, axis, pieces(call, call.shape()[axis], found))
    name = "split_sizes" if "split_sizes" in call.arguments else "split_size"
    return parts_of(call, axis, call.ints(name))


def chunk(call: Call) -> list[Value]:
    axis, count = call.axis("dim", default=0), call.integer("chunks")
    size = call.shape()[axis]
    return parts_of(call, axis, pieces(call, size, max(-(-size // max(count, 1)), 1)))


MOST_PARTS = 4096


def pieces(call: Call, whole: int, size: int) -> list[int]:
    if size < 1 or whole > size * MOST_PARTS:
        raise call.unsupported(f"{whole} elements in parts of {size}; at most {MOST_PARTS} parts")
    return [min(size, whole - i) for i in range(0, max(whole, 1), size)]


def unbind(call: Call) -> list[Value]:
    axis, shape = call.axis("dim", default=0), call.shape()
    if shape[axis] > MOST_PARTS:
        raise call.unsupported(f"{shape[axis]} parts; at most {MOST_PARTS}")
    rest = (*shape[:axis], *shape[axis + 1 :])
    return [call.b.reshape(p, rest) for p in parts_of(call, axis, [1] * shape[axis])]


def flip(call: Call) -> Value:
    rank = len(call.shape())
    axes = tuple(sorted(call.counted(axis, rank) for axis in call.ints("dims")))
    return call.one(ops.Reverse(axes), call.value()) if axes and rank else call.value()


def roll(call: Call) -> Value:
    """The elements moved on along dimensions; those that leave come in at the start."""
    x, shifts, dims = call.value(), call.ints("shifts"), call.ints("dims", ())
    shape = x.type.shape
    if not dims:
        x, dims = call.b.reshape(x, (x.type.size,)), (0,)
    for shift, dim in zip(shifts, dims, strict=True):
        axis = call.counted(dim, len(x.type.shape))
        size = x.type.shape[axis]
        begin = -shift % size if size else 0
        if begin:
            ends = [(begin, size - begin), (0, begin)]
            parts = [strided(call, x, axis, start, count, 1) for start, count in ends]
            x = call.one(ops.Concatenation(axis), *parts)
    return call.b.reshape(x, shape)


def pairs(call: Call) -> list[tuple[int, int]]:
    """(before, after) of every dimension, from the last two numbers back."""
    name = "pad" if "pad" in call.arguments else "padding"
    given, rank = call.ints(name), len(call.shape())
    if len(given) % 2 or len(given) > 2 * rank:
        raise call.error(f"{name} {list(given)} of {rank} dimensions; two a dimension")
    found = [(given[i], given[i + 1]) for i in range(0, len(given), 2)]
    return [(0, 0)] * (rank - len(found)) + found[::-1]


def constant_pad(call: Call) -> Value:
    """Elements around x, or fewer of it where a pad is negative."""
    x, around = call.value(), pairs(call)
    for axis, (before, after) in enumerate(around):
        cut = max(-before, 0), max(-after, 0)
        if any(cut):
            x = strided(call, x, axis, cut[0], x.type.shape[axis] - sum(cut), 1)
    value = call.number("value", 0)
    more = tuple((max(b, 0), max(a, 0)) for b, a in around)
    if not any(map(any, more)):
        return x
    return call.one(ops.Pad(more, float(value) if x.type.dtype.is_float else int(value)), x)


def reflection_pad(call: Call) -> Value:
    return call.one(ops.MirrorPad(tuple(pairs(call))), call.value())


def replication_pad(call: Call) -> Value:
    """The outermost elements repeated."""
    x = call.value()
    for axis, (before, after) in enumerate(pairs(call)):
        if before or after:
            size = x.type.shape[axis]
            call.check_size((before + size + after,))
            places = np.clip(np.arange(-before, size + after), 0, size - 1)
            x = call.one(ops.Gather(axis), x, call.b.constant(places))
    return x


def unfold(call: Call) -> Value:
    """Windows along one dimension, whose elements are a new last one."""
    axis = call.axis("dimension")
    size, step, shape = call.integer("size"), call.integer("step"), call.shape()
    if step < 1 or not 0 <= size <= shape[axis]:
        raise call.error(f"windows of {size}, step {step}, along {shape[axis]} elements")
    count = (shape[axis] - size) // step + 1
    call.check_size((count, size))
    places = np.arange(count)[:, None] * step + np.arange(size)
    y = call.one(ops.Gather(axis), call.value(), call.b.constant(places))
    perm = [i for i in range(len(shape) + 1) if i != axis + 1]
    return call.b.transpose(y, [*perm, axis + 1])


def slice_scatter(call: Call) -> Value:
    """x with another tensor in place of a slice."""
    x, source = call.value(), call.cast(call.value("src"), call.dtype)
    axis, shape = call.axis("dim", default=0), call.shape()
    begin, count, step = bounds(call, shape[axis])
    if not count:
        return x
    if step == 1:
        return between(call, x, source, axis, begin, count)
    chosen = np.arange(shape[axis])
    chosen[begin : begin + count * step : step] = shape[axis] + np.arange(count)
    both = call.one(ops.Concatenation(axis), x, source)
    return call.one(ops.Gather(axis), both, call.b.constant(chosen))


def between(call: Call, x: Value, source: Value, axis: int, begin: int, count: int) -> Value:
    size = x.type.shape[axis]
    parts = [source]
    if begin:
        parts.insert(0, strided(call, x, axis, 0, begin, 1))
    if begin + count < size:
        parts.append(strided(call, x, axis, begin + count, size - begin - count, 1))
    return source if len(parts) == 1 else call.one(ops.Concatenation(axis), *parts)


def select_scatter(call: Call) -> Value:
    axis, shape = call.axis(), call.shape()
    index = call.counted(call.integer("index"), shape[axis])
    source = call.b.reshape(
        call.cast(call.value("src"), call.dtype), (*shape[:axis], 1, *shape[axis + 1 :])
    )
    return between(call, call.value(), source, axis, index, 1)


def copied(call: Call) -> Value:
    """copy: the source as a tensor like ``self``."""
    return broadcast(call, call.cast(call.value("src"), call.dtype), call.shape())


def diagonal(call: Call) -> Value:
    """Elements of which two indices differ by ``offset``, along a new last dimension."""
    x, shape = call.value(), call.shape()
    a, b = call.axis("dim1", default=0), call.axis("dim2", default=1)
    offset = call.integer("offset", 0)
    perm = [*(i for i in range(len(shape)) if i not in (a, b)), a, b]
    rows, columns = shape[a], shape[b]
    first = max(-offset, 0)
    count = max(min(rows - first, columns - max(offset, 0)), 0)
    places = (first + np.arange(count)) * columns + max(offset, 0) + np.arange(count)
    moved = call.b.transpose(x, perm)
    flat = call.b.reshape(moved, (*moved.type.shape[:-2], rows * columns))
    return call.one(ops.Gather(len(shape) - 2), flat, call.b.constant(places))


OPERATORS: dict[str, Reader] = {
    "_reshape_alias": view("size"),
    "_unsafe_view": view("size"),
    "broadcast_to": expand,
    "cat": cat,
    "chunk": chunk,
    "constant_pad_nd": constant_pad,
    "copy": copied,
    "diagonal": diagonal,
    "expand": expand,
    "expand_as": expand_as,
    "flatten": flatten,
    "flip": flip,
    "permute": permute,
    "reflection_pad1d": reflection_pad,
    "reflection_pad2d": reflection_pad,
    "reflection_pad3d": reflection_pad,
    "repeat": repeat,
    "replication_pad1d": replication_pad,
    "replication_pad2d": replication_pad,
    "replication_pad3d": replication_pad,
    "reshape": view("shape"),
    "roll": roll,
    "select.int": select,
    "select_scatter": select_scatter,
    "slice.Tensor": slice_,
    "slice_scatter": slice_scatter,
    "split": split,
    "split_with_sizes": split,
    "squeeze": squeeze,
    "stack": stack,
    "t": transpose_matrix,
    "transpose.int": transpose,
    "unbind.int": unbind,
    "unfold": unfold,
    "unsqueeze": unsqueeze,
    "view.default": view("size"),
}
