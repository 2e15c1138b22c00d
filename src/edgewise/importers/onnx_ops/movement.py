"""Operators that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..channels_first import channels_first, channels_last, part
from ..onnx_call import Call, Row

MAX_INDICES = 2**24
"""The most indices of one axis that a reader makes as a constant."""


def transpose(call: Call) -> Value:
    rank = call.rank(0)
    perm = call.axes(call.ints("perm", range(rank)[::-1]), rank)
    return call.b.transpose(call.value(0), perm)


def reshape(call: Call) -> Value:
    """0 keeps a dimension, unless ``allowzero`` is set; -1 is what is left."""
    shape, wanted = call.shape(0), list(call.integers(1))
    if not call.flag("allowzero"):
        for i, n in enumerate(wanted):
            if n == 0:
                if i >= len(shape):
                    raise call.error(f"shape {wanted} keeps dimension {i} of {list(shape)}")
                wanted[i] = shape[i]
    if min(wanted, default=0) < -1 or wanted.count(-1) > 1:
        raise call.error(f"shape {wanted}; one dimension may be -1, none less")
    if -1 in wanted:
        rest = -math.prod(wanted)
        if rest == 0 or math.prod(shape) % rest:
            raise call.error(f"{math.prod(shape)} elements into {wanted}; the rest divides them")
        wanted[wanted.index(-1)] = math.prod(shape) // rest
    return call.b.reshape(call.value(0), wanted)


def squeeze(call: Call) -> Value:
    shape = call.shape(0)
    named = call.numbers("axes", 1, 13)
    if named is None:
        return call.b.reshape(call.value(0), [n for n in shape if n != 1])
    axes = call.axes(named, len(shape))
    for axis in axes:
        if shape[axis] != 1:
            raise call.error(f"axis {axis} has size {shape[axis]}; only 1 can be dropped")
    return call.b.reshape(call.value(0), [n for i, n in enumerate(shape) if i not in axes])


def unsqueeze(call: Call) -> Value:
    named = call.numbers("axes", 1, 13)
    if named is None:
        raise call.error("axes are left out; they are required")
    rest = iter(call.shape(0))
    rank = call.rank(0) + len(named)
    axes = call.axes(named, rank)
    return call.b.reshape(call.value(0), [1 if i in axes else next(rest) for i in range(rank)])


def flatten(call: Call) -> Value:
    shape, axis = call.shape(0), call.integer("axis", 1)
    if axis != len(shape):
        axis = call.axis(axis, len(shape))
    return call.b.reshape(call.value(0), (math.prod(shape[:axis]), math.prod(shape[axis:])))


def concat(call: Call) -> Value:
    axis = call.axis(call.integer("axis"), call.rank(0))
    values = call.values()
    return values[0] if len(values) == 1 else call.one(ops.Concatenation(axis), *values)


def split(call: Call) -> list[Value]:
    """Sizes are given, or equal but for the last."""
    axis = call.axis(call.integer("axis", 0), call.rank(0))
    size = call.shape(0)[axis]
    given, count = call.numbers("split", 1, 13), len(call.outputs)
    if "num_outputs" in call.attributes and call.integer("num_outputs") != count:
        raise call.error(f"num_outputs {call.integer('num_outputs')}; it has {count} outputs")
    sizes = equal_parts(call, size, count) if given is None else given
    if sum(sizes) != size or min(sizes, default=0) < 0 or not sizes:
        raise call.error(f"parts of {list(sizes)[:16]}; they sum to {size}, the axis")
    return parts_of(call, call.value(0), axis, sizes)


def equal_parts(call: Call, size: int, count: int) -> list[int]:
    """``count`` sizes that are equal, but for what is left at the end."""
    if not 1 <= count <= 4096:
        raise call.error(f"{count} parts; they are 1 to 4096")
    each = -(-size // count)
    return [max(min(each, size - i * each), 0) for i in range(count)]


def parts_of(call: Call, x: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Parts of x along an axis, one after another."""
    if x.data is not None or 0 in sizes or call.b.quantized(x) is not None:
        ends = np.cumsum([0, *sizes])
        return [part(call.b, x, axis, int(end), n) for end, n in zip(ends[:-1], sizes, strict=True)]
    return list(call.b.add(ops.SplitV(axis, tuple(sizes)), [x]))


def slice_(call: Call) -> Value:
    """Python's slices; a start or an end beyond the axis means its end."""
    shape = call.shape(0)
    starts, ends = call.numbers("starts", 1, 10), call.numbers("ends", 2, 10)
    if starts is None or ends is None:
        raise call.error("starts or ends are left out; they are required")
    axes, steps = call.numbers("axes", 3, 10), call.numbers("steps", 4, 10)
    axes = call.axes(range(len(starts)) if axes is None else axes, len(shape))
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise call.error(
            f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes, {len(steps)} steps; as "
            "many of each"
        )
    begin, size, stride = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step == 0:
            raise call.error(f"step 0 along axis {axis}; it is not 0")
        taken = range(shape[axis])[start:end:step]
        begin[axis], size[axis], stride[axis] = taken.start, len(taken), taken.step
        if len(taken) == 0:
            begin[axis], stride[axis] = 0, 1
    return sliced(call, call.value(0), begin, size, stride)


def sliced(
    call: Call, x: Value, begin: Sequence[int], size: Sequence[int], stride: Sequence[int]
) -> Value:
    """Elements along each axis; x itself where they are all."""
    if tuple(size) == x.type.shape and all(s > 0 for s in stride):
        return x
    return call.one(ops.StridedSlice(tuple(begin), tuple(size), tuple(stride)), x)


def pad(call: Call) -> Value:
    """Elements around x; negative pads cut x first."""
    x, shape, mode = call.value(0), call.shape(0), call.text("mode", "constant")
    rank = len(shape)
    given = call.numbers("pads", 1, 11)
    if given is None:
        raise call.error("pads are left out; they are required")
    axes = call.axes(call.integers(3) if call.has(3) else range(rank), rank)
    if len(given) != 2 * len(axes):
        raise call.error(f"{len(given)} pads for {len(axes)} axes; there are two an axis")
    pads = [(0, 0)] * rank
    for axis, before, after in zip(axes, given[: len(axes)], given[len(axes) :], strict=True):
        pads[axis] = before, after
    cut = [(max(-before, 0), max(-after, 0)) for before, after in pads]
    if any(sum(pair) > n for pair, n in zip(cut, shape, strict=True)):
        raise call.error(f"pads {list(given)} cut more than {list(shape)} has")
    sizes = [n - sum(pair) for n, pair in zip(shape, cut, strict=True)]
    x = sliced(call, x, [before for before, _ in cut], sizes, [1] * rank)
    pads = [(max(before, 0), max(after, 0)) for before, after in pads]
    if mode == "constant":
        return constant_pad(call, x, pads)
    if mode not in ("reflect", "edge", "wrap"):
        raise call.error(f"mode {mode!r}; it is constant, reflect, edge or wrap")
    if mode == "reflect" and all(max(pair) < n for pair, n in zip(pads, sizes, strict=True)):
        return call.one(ops.MirrorPad(tuple(pads)), x) if any(map(any, pads)) else x
    for axis, pair in enumerate(pads):
        if any(pair):
            x = call.one(ops.Gather(axis), x, repeated(call, sizes[axis], pair, mode))
    return x


def repeated(call: Call, size: int, pads: tuple[int, int], mode: str) -> Value:
    """The index in an axis of ``size`` of each element of the padded axis."""
    if size == 0:
        raise call.error(f"mode {mode!r} pads an axis without elements")
    whole = size + sum(pads)
    if whole > MAX_INDICES:
        raise call.unsupported(f"mode {mode!r} gives an axis of {whole}; at most {MAX_INDICES}")
    place = np.arange(-pads[0], size + pads[1], dtype=np.int64)
    if mode == "edge":
        place = np.clip(place, 0, size - 1)
    elif mode == "wrap":
        place %= size
    else:
        period = max(2 * (size - 1), 1)
        place %= period
        place = np.minimum(place, period - place) if size > 1 else np.zeros_like(place)
    return call.b.constant(place)


def constant_pad(call: Call, x: Value, pads: Sequence[tuple[int, int]]) -> Value:
    fill: float | int | bool = 0
    if call.opset < 11:
        fill = call.real("value", 0.0)
    elif call.has(2):
        fill = call.scalar(2)
        if call.value(2).type.dtype is not x.type.dtype:
            raise call.error(f"value of {call.value(2).type.dtype}, input of {x.type.dtype}")
    if not any(map(any, pads)):
        return x
    if x.type.dtype.is_integer or x.type.dtype is DType.BOOL:
        fill = int(fill)
    return call.one(ops.Pad(tuple(pads), fill or None if x.type.quant is None else fill), x)


def expand(call: Call) -> Value:
    shape, wanted = call.shape(0), call.integers(1)
    rank = max(len(shape), len(wanted))
    pairs = zip(
        (*[1] * (rank - len(shape)), *shape), (*[1] * (rank - len(wanted)), *wanted), strict=True
    )
    whole = [b if a == 1 else a for a, b in pairs]
    if any(b not in (1, n) for b, n in zip(wanted[::-1], whole[::-1], strict=False)):
        raise call.error(f"shape {list(shape)} into {list(wanted)}; dimensions are 1 or equal")
    return broadcast(call, call.value(0), whole)


def broadcast(call: Call, x: Value, shape: Sequence[int]) -> Value:
    """x repeated along its axes of size 1, and along new ones in front."""
    if tuple(shape) == x.type.shape:
        return x
    if math.prod(shape) == x.type.size:
        return call.b.reshape(x, shape)
    return call.one(ops.BroadcastTo(tuple(shape)), x)


def tile(call: Call) -> Value:
    counts = call.integers(1)
    if len(counts) != call.rank(0) or min(counts, default=0) < 0:
        raise call.error(f"repeats {list(counts)}; one of at least 0 for each of {call.rank(0)}")
    if all(n == 1 for n in counts):
        return call.value(0)
    return call.one(ops.Tile(counts), call.value(0))


def identity(call: Call) -> Value:
    return call.value(0)


def center_crop_pad(call: Call) -> Value:
    """What is cut or added is halved; the odd element is at the end."""
    x, shape, rank = call.value(0), list(call.shape(0)), call.rank(0)
    axes = call.axes(call.ints("axes", range(rank)), rank)
    wanted = call.integers(1)
    if len(wanted) != len(axes) or min(wanted, default=0) < 0:
        raise call.error(f"shape {list(wanted)} for {len(axes)} axes; one size an axis")
    begin, pads = [0] * rank, [(0, 0)] * rank
    for axis, n in zip(axes, wanted, strict=True):
        more = n - shape[axis]
        if more > 0:
            pads[axis] = more // 2, more - more // 2
        else:
            begin[axis], shape[axis] = -more // 2, n
    x = sliced(call, x, begin, shape, [1] * rank)
    return call.one(ops.Pad(tuple(pads)), x) if any(map(any, pads)) else x


def trilu(call: Call) -> Value:
    x, shape = call.value(0), call.shape(0)
    if len(shape) < 2:
        raise call.error(f"input of rank {len(shape)}; it is at least 2")
    rows, columns = shape[-2:]
    if rows * columns > MAX_INDICES:
        raise call.unsupported(f"matrices of {rows}x{columns}; at most {MAX_INDICES} elements")
    k = call.whole(1) if call.has(1) else 0
    distance = np.arange(columns, dtype=np.int64) - np.arange(rows, dtype=np.int64)[:, None]
    kept = distance >= k if call.flag("upper", True) else distance <= k
    zero = call.number(0, x)
    return call.one(ops.Select(), call.b.constant(kept), x, zero)


def compress(call: Call) -> Value:
    """The slices along an axis, or the elements, for which the condition is true."""
    x, chosen = call.value(0), np.flatnonzero(call.constant(1))
    if "axis" in call.attributes:
        axis = call.axis(call.integer("axis"), call.rank(0))
    else:
        x, axis = call.b.reshape(x, (x.type.size,)), 0
    return call.one(ops.Gather(axis), x, call.b.constant(chosen.astype(np.int64)))


def reverse_sequence(call: Call) -> Value:
    rank = call.rank(0)
    batch = call.axis(call.integer("batch_axis", 1), rank)
    time = call.axis(call.integer("time_axis", 0), rank)
    return call.one(ops.ReverseSequence(time, batch), call.value(0), call.value(1))


def depth_to_space(call: Call) -> Value:
    x, block, mode = block_of(call)
    channels = call.shape(0)[1]
    if channels % block**2:
        raise call.error(f"{channels} channels, blocks of {block}; its square divides them")
    if mode == "CRD":
        x = reordered(call, x, (channels // block**2, block**2))
    return channels_first(call.b, call.one(ops.DepthToSpace(block), x))


def space_to_depth(call: Call) -> Value:
    x, block, mode = block_of(call)
    channels = call.shape(0)[1]
    y = call.one(ops.SpaceToDepth(block), x)
    if mode == "CRD":
        y = reordered(call, y, (block**2, channels))
    return channels_first(call.b, y)


def block_of(call: Call) -> tuple[Value, int, str]:
    """The input, channels last, the size of blocks and how channels are ordered."""
    block, mode = call.integer("blocksize"), call.text("mode", "DCR")
    if call.rank(0) != 4 or not 1 <= block <= 2**15:
        raise call.error(f"input of rank {call.rank(0)}, blocks of {block}; 4, and at least 1")
    if mode not in ("DCR", "CRD"):
        raise call.error(f"mode {mode!r}; it is DCR or CRD")
    return channels_last(call.b, call.value(0)), block, mode


def reordered(call: Call, x: Value, sizes: tuple[int, int]) -> Value:
    """x[..., A * B] as [..., B * A], of ``sizes`` A and B."""
    if math.prod(sizes) > MAX_INDICES:
        raise call.unsupported(f"{math.prod(sizes)} channels; at most {MAX_INDICES}")
    order = np.arange(math.prod(sizes), dtype=np.int64).reshape(sizes).T.ravel()
    return call.one(ops.Gather(len(x.type.shape) - 1), x, call.b.constant(order))


MANY = (1, 4096)

OPERATORS: dict[str, Row] = {
    "CenterCropPad": Row(center_crop_pad, (2, 2)),
    "Compress": Row(compress, (2, 2)),
    "Concat": Row(concat, MANY),
    "DepthToSpace": Row(depth_to_space, quantized=True),
    "Expand": Row(expand, (2, 2), quantized=True),
    "Flatten": Row(flatten, quantized=True),
    "Identity": Row(identity, quantized=True),
    "Pad": Row(pad, (1, 4)),
    "Reshape": Row(reshape, (2, 2), quantized=True),
    "ReverseSequence": Row(reverse_sequence, (2, 2)),
    "Slice": Row(slice_, (1, 5), quantized=True),
    "SpaceToDepth": Row(space_to_depth, quantized=True),
    "Split": Row(split, (1, 2), quantized=True),
    "Squeeze": Row(squeeze, (1, 2), quantized=True),
    "Tile": Row(tile, (2, 2), quantized=True),
    "Transpose": Row(transpose, quantized=True),
    "Trilu": Row(trilu, (1, 2)),
    "Unsqueeze": Row(unsqueeze, (1, 2), quantized=True),
}
