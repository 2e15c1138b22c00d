"""Steps that follow each other as one, over bands of rows (docs/fused-blocks.md).

What one kernel gives the next then lies in a scratch that stays in the second-level cache, instead
of in a buffer of the arena that does not: `fuse` finds such steps in a finished list of them.

    expand -> buffer -> depthwise -> buffer -> project    =>    expand_then_depthwise_then_project
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..graph import Node
from ..kernels.bands import Banded, counts, operands
from ..kernels.depthwise import Depthwise
from ..kernels.isa import Isa
from ..kernels.pixels import FIELDS, pixel_fields
from ..kernels.qdepthwise import QDepthwise
from ..kernels.qgemm import MAX_SCRATCH
from ..kernels.wdepthwise import WDepthwise
from ..ops import Conv2D, DepthwiseConv2D, Fused
from .model import Buffer, HostStep, Params, Step, View
from .movement import repeated

TILED = {*FIELDS, *pixel_fields("a"), *pixel_fields("c")}
"""Fields of the kernels that walk tiles of ``mr`` pixels; their units can be any rows."""

MIN_BYTES = 1 << 18
"""Of the buffers that vanish: smaller ones stay in the second-level cache anyway."""

CACHE_BYTES = 3 << 17
"""Of the second-level cache, for the scratch of a band and the weights of its products."""

MIN_CHUNKS, MAX_CHUNKS = 4, 8
"""Into how many chunks a chain is divided, for threads to take."""

MOST_TWICE, USUALLY_TWICE = 1 / 4, 1 / 8
"""The share of the first part's rows that chunks compute twice: where there are `MIN_CHUNKS` of
them, and where there are more."""

READ_AGAIN = 1 / 8
"""Bytes that each band reads again, of those of a band that vanish."""

CHUNK = 64
"""Bytes that `Banded` moves at a time: a row that it moves has as many."""


@dataclass(frozen=True, eq=False)
class RowStep:
    """A step, number ``index``, that some rows of its output can be asked of.

    ``stride`` and ``reach``: rows of its operand "a" from one output row to the next, and that one
    takes. ``zero``: what stands for 0 in its output, repeated to 8 bytes.
    """

    index: int
    step: Step
    stride: int
    reach: int
    zero: int
    weight_bytes: int

    @property
    def output(self) -> View:
        return self.step.writes[0]

    @cached_property
    def moves(self) -> dict[str, tuple[int, int]]:
        """Bytes from a row, and an image, of the output to the next, for each operand."""
        params, (_, height, width, _) = self.step.params, self.output.shape

        def size(name: str) -> int:
            found = params[name]
            assert isinstance(found, int)
            return found

        found = {}
        for name in operands(self.step.kernel.fields):
            if "tiles" in params:
                row = size(f"{name}_x") * width + size(f"{name}_wrap")
                found[name] = row, row * height + size(f"{name}_image")
            else:
                below = f"{name}_y" if f"{name}_y" in params else f"{name}_row"
                found[name] = size(below), size(f"{name}_image")
        return found

    def params(self, i: int, scratches: Collection[str]) -> Params:
        """The fields of part ``i`` of `Banded`; operands in ``scratches`` are given there."""
        step, (images, height, width, _) = self.step, self.output.shape
        tiled = "tiles" in step.params
        values: Params = {f"{i}.{name}": x for name, x in step.params.items()}
        for name, (row, image) in self.moves.items():
            values |= {f"{i}.{name}.row": row, f"{i}.{name}.image": image}
        values |= {f"{i}.{name}": 0 for name in scratches}
        rows = images * height
        for name in counts(step.kernel.fields):
            values |= {f"{i}.{name}": 0, f"{i}.{name}.row": width if tiled else 1}
        if tiled and step.params["height"] != 1:
            values |= {f"{i}.width": width, f"{i}.width.row": 0}
        tiles = step.params.get("tiles", rows)
        assert isinstance(tiles, int)
        return values | {
            f"{i}.units": step.units // tiles,
            f"{i}.mr": getattr(step.kernel, "mr", 1),
        }


@dataclass(frozen=True, eq=False)
class Chain:
    """Two or three of them, each of which alone reads what the one before writes."""

    parts: tuple[RowStep, ...]
    band: int

    @property
    def between(self) -> list[Buffer]:
        """The buffers that vanish."""
        return [part.output.address.buffer for part in self.parts[:-1]]

    @property
    def saved(self) -> int:
        return sum(buffer.nbytes for buffer in self.between)

    @property
    def rows_per_overlap(self) -> float:
        """Rows of the first part for each that one more chunk would have computed twice."""
        second, (images, height, _, _) = self.parts[1], self.parts[-1].output.shape
        kept = second.reach - second.stride
        return images * height * second.stride / kept if kept > 0 else math.inf


def fuse(
    isa: Isa, nodes: Sequence[Node], steps: Sequence[Step | HostStep], kept: Collection[Buffer]
) -> list[Step | HostStep]:
    """``steps`` with those that gain by it run as one; ``kept`` buffers are read afterwards too.

    A chain's steps become one in the place of its last, whose ``parts`` they are; the buffers
    between them and the steps that fill their halos vanish. Chains that save most go first.
    """
    found = {i: rows for i, step in enumerate(steps) if (rows := _row_step(nodes, i, step))}
    users = _users(steps)
    chains = [
        chain
        for first in found.values()
        for parts in _sequences(first, found, users, kept)
        if (chain := _chain(parts, steps, users)) is not None
    ]
    fused: dict[int, Step] = {}
    gone: set[int] = set()
    for chain in sorted(chains, key=lambda c: (-c.saved, c.parts[0].index)):
        members = {part.index for part in chain.parts}
        if not members & (gone | fused.keys()):
            last = chain.parts[-1].index
            fused[last] = _fused(isa, chain)
            gone |= {i for buffer in chain.between for i in users[buffer]} | members
            gone.remove(last)
    return [fused.get(i, step) for i, step in enumerate(steps) if i not in gone]


def _row_step(nodes: Sequence[Node], index: int, step: Step | HostStep) -> RowStep | None:
    """A step as `RowStep`, if it is one."""
    if not isinstance(step, Step) or step.node >= len(nodes) or len(step.writes) != 1:
        return None
    node, kernel, params = nodes[step.node], step.kernel, step.params
    op = node.op.head if isinstance(node.op, Fused) else node.op
    out = step.writes[0]
    tiled = kernel.fields.keys() >= TILED and params["pixels"] == math.prod(out.shape[:-1])
    if (
        not (tiled or isinstance(kernel, Depthwise | QDepthwise | WDepthwise))
        or not isinstance(op, Conv2D | DepthwiseConv2D)
        or out.shape != node.outputs[0].type.shape
        or params["c"] != out.address
        or params["a"] != step.reads[0].address
    ):
        return None
    weights, result = node.input_types[1], node.outputs[0].type
    reach = (weights.shape[1] - 1) * op.dilation[0] + 1
    zero = repeated(0 if result.quant is None else result.quant.zero_point[0], result)
    return RowStep(index, step, op.stride[0], reach, zero, weights.nbytes)


def _users(steps: Sequence[Step | HostStep]) -> dict[Buffer, list[int]]:
    """The steps that touch each buffer."""
    users: dict[Buffer, list[int]] = {}
    for i, step in enumerate(steps):
        for buffer in {view.address.buffer for view in step.views}:
            users.setdefault(buffer, []).append(i)
    return users


def _sequences(
    first: RowStep,
    found: Mapping[int, RowStep],
    users: Mapping[Buffer, Sequence[int]],
    kept: Collection[Buffer],
) -> Iterator[tuple[RowStep, ...]]:
    """Pairs and triples of steps that begin with ``first``."""
    second = _next(first, found, users, kept)
    if second is None:
        return
    yield first, second
    third = _next(second, found, users, kept)
    if third is not None and third.stride == third.reach == 1:
        view = third.step.reads[0]
        if (view.address, view.strides) == (second.output.address, second.output.strides):
            yield first, second, third


def _next(
    part: RowStep,
    found: Mapping[int, RowStep],
    users: Mapping[Buffer, Sequence[int]],
    kept: Collection[Buffer],
) -> RowStep | None:
    """The step that alone reads what ``part`` writes, as its operand "a", padding included."""
    buffer = part.output.address.buffer
    readers = [i for i in users[buffer] if i > part.index]
    if buffer in kept or len(readers) != 1 or readers[0] not in found:
        return None
    reader = found[readers[0]]
    inside, whole = part.output, reader.step.reads[0]
    (images, height, width, _), (_, row, pixel, _) = inside.shape, inside.strides
    top, left = divmod(inside.address.offset - whole.address.offset, row)
    holds = (
        [view.address.buffer for view in reader.step.reads].count(buffer) == 1
        and whole.strides[1:] == inside.strides[1:]
        and whole.shape[0] == images
        and whole.shape[3] == inside.shape[3]
        and 0 <= top <= whole.shape[1] - height
        and left + width * pixel <= row
        and (row >= CHUNK or reader.reach <= reader.stride)
    )
    return reader if holds else None


def _chain(
    parts: tuple[RowStep, ...],
    steps: Sequence[Step | HostStep],
    users: Mapping[Buffer, Sequence[int]],
) -> Chain | None:
    """``parts`` as a chain, if they may run as one step, and gain by it."""
    chain = Chain(parts, _band(parts))
    members, between = {part.index for part in parts}, chain.between
    reads = {view.address.buffer for part in parts for view in part.step.reads}
    for i in range(min(i for b in between for i in users[b]), parts[-1].index):
        step = steps[i]
        fills = isinstance(step, Step) and not step.reads
        touched = {view.address.buffer for view in step.views}
        if i not in members and not (fills and not touched & (reads - set(between))):
            return None
    return chain if _gains(chain) else None


def _gains(chain: Chain) -> bool:
    """Whether a chain takes less time than its parts one by one (docs/fused-blocks.md)."""
    first, second = chain.parts[:2]
    rows = [part.output.strides[1] for part in chain.parts[:-1]]
    again = max(0, first.reach - first.stride) * first.step.reads[0].strides[1]
    return (
        chain.band > 0
        and chain.saved >= MIN_BYTES
        and max(first.reach, second.reach) > 1
        and again <= READ_AGAIN * chain.band * (second.stride * rows[0] + sum(rows[1:]))
        and MOST_TWICE * chain.rows_per_overlap >= MIN_CHUNKS
    )


def _band(parts: Sequence[RowStep]) -> int:
    """Output rows of a band, as even as the scratch allows; 0 where it does not.

    A band computes half as many rows of the first part again as it takes over, or more.
    """
    second, height = parts[1], parts[-1].output.shape[1]
    rows = [part.output.strides[1] for part in parts[:-1]]
    kept = second.reach - second.stride
    limit = min(MAX_SCRATCH, CACHE_BYTES - sum(part.weight_bytes for part in parts))
    most = min((limit - kept * rows[0]) // (second.stride * rows[0] + sum(rows[1:])), height)
    if most < 1:
        return 0
    band = -(-height // -(-height // most))
    return band if band >= height or 2 * band * second.stride >= 3 * kept else 0


def _fused(isa: Isa, chain: Chain) -> Step:
    parts, band = chain.parts, chain.band
    first, second, last = parts[0], parts[1], parts[-1]
    inside, whole = first.output, second.step.reads[0]
    (_, inner, width, _), (_, row, pixel, _) = inside.shape, inside.strides
    top, left = divmod(inside.address.offset - whole.address.offset, row)
    images, height = last.output.shape[:2]
    params: Params = {
        "height": height,
        "band": band,
        "stride": second.stride,
        "reach": second.reach,
        "inner": inner,
        "top": top,
        "row": row,
        "left": left,
        "gap": row - width * pixel,
        "scratch0": ((band - 1) * second.stride + second.reach) * row + left,
        "zero": first.zero,
    }
    if len(parts) > 2:
        params["scratch1"] = band * second.output.strides[1]
    for i, part in enumerate(parts):
        scratches = ["a"] * (i > 0) + ["c"] * (part is not last)
        params |= part.params(i, scratches)
    between = set(chain.between)
    chunks = int(max(MIN_CHUNKS, min(MAX_CHUNKS, USUALLY_TWICE * chain.rows_per_overlap)))
    kernel = Banded(isa, tuple(part.step.kernel for part in parts))
    return replace(
        last.step,
        kernel=kernel,
        params={name: params[name] for name in kernel.fields},
        units=images * height,
        chunk=-(-images * height // chunks),
        reads=tuple(
            view for part in parts for view in part.step.reads if view.address.buffer not in between
        ),
        barrier=True,
        parts=tuple(part.step for part in parts),
    )
