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
from ..kernels.pixels import FIELDS, pixel_fields
from ..kernels.qdepthwise import QDepthwise
from ..kernels.wdepthwise import WDepthwise
from ..ops import Conv2D, DepthwiseConv2D, Fused
from .context import Context
from .model import Buffer, HostStep, Params, Step, View
from .movement import repeated

TILED = {*FIELDS, *pixel_fields("a"), *pixel_fields("c")}
"""Fields of the kernels that walk tiles of ``mr`` pixels; their units can be any rows."""

MIN_BYTES = 1 << 19
"""Of the buffers that vanish: what fits a small second-level cache stays there anyway."""

BAND_BYTES = 1 << 18
"""Stack for the scratches of a band: half of a small second-level cache."""

MIN_CHUNKS, MAX_CHUNKS = 4, 8
"""Into how many chunks a chain is divided, for threads to take."""

MOST_TWICE, USUALLY_TWICE = 1 / 6, 1 / 16
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
    takes. ``zero``: what stands for 0 in ``output``, repeated to 8 bytes.
    """

    index: int
    step: Step
    output: View
    stride: int
    reach: int
    zero: int

    @property
    def width(self) -> int:
        """Pixels of a row as the kernel takes them, which may be several of the output's."""
        return self.step.writes[0].shape[2]

    @cached_property
    def moves(self) -> dict[str, tuple[int, int]]:
        """Bytes from a row, and an image, of the output to the next, for each operand."""
        height, width = self.output.shape[1], self.width
        found = {}
        for name in operands(self.step.kernel.fields):
            image = self.field(f"{name}_image")
            if "tiles" in self.step.params:
                row = self.field(f"{name}_x") * width + self.field(f"{name}_wrap")
                found[name] = row, row * height + image
            else:
                below = f"{name}_y" if f"{name}_y" in self.step.params else f"{name}_row"
                found[name] = self.field(below), image
        return found

    def params(self, i: int, scratches: Collection[str]) -> Params:
        """The fields of part ``i`` of `Banded`; operands in ``scratches`` are given there."""
        step, (images, height, _, _), width = self.step, self.output.shape, self.width
        tiled = "tiles" in step.params
        values: Params = {f"{i}.{name}": x for name, x in step.params.items()}
        for name in counts(step.kernel.fields):
            values |= {f"{i}.{name}": 0, f"{i}.{name}.row": width if tiled else 1}
        if tiled and step.params["height"] != 1:
            values |= {f"{i}.width": width, f"{i}.width.row": 0}
        for name, (row, image) in self.moves.items():
            values |= {f"{i}.{name}.row": row, f"{i}.{name}.image": image}
            if name in scratches:
                values[f"{i}.{name}"] = 0
        tiles = self.field("tiles") if tiled else images * height
        return values | {
            f"{i}.units": step.units // tiles,
            f"{i}.mr": getattr(step.kernel, "mr", 1),
        }

    def field(self, name: str) -> int:
        """A field of the step that is an integer."""
        value = self.step.params[name]
        assert isinstance(value, int)
        return value


@dataclass(frozen=True, eq=False)
class Chain:
    """Two or three of them, each of which alone reads what the one before writes.

    Attributes:
        between: the buffers that vanish.
        top, left: padding above the first part's rows, and bytes to the left of them.
    """

    parts: tuple[RowStep, ...]

    @cached_property
    def between(self) -> list[Buffer]:
        return [part.output.address.buffer for part in self.parts[:-1]]

    @property
    def saved(self) -> int:
        return sum(buffer.nbytes for buffer in self.between)

    @cached_property
    def top(self) -> int:
        return self._padding[0]

    @cached_property
    def left(self) -> int:
        return self._padding[1]

    @property
    def _padding(self) -> tuple[int, int]:
        inside, whole = self.parts[0].output, self.parts[1].step.reads[0]
        return divmod(inside.address.offset - whole.address.offset, inside.strides[1])

    @property
    def stride(self) -> int:
        return self.parts[1].stride

    @property
    def reach(self) -> int:
        return self.parts[1].reach

    @property
    def kept(self) -> int:
        """Rows that a band takes over from the one before."""
        return max(0, self.reach - self.stride)

    @property
    def height(self) -> int:
        """Output rows of an image."""
        return self.parts[-1].output.shape[1]

    @property
    def rows(self) -> list[int]:
        """Bytes of a row in each scratch."""
        return [part.output.strides[1] for part in self.parts[:-1]]

    def scratches(self, band: int) -> list[int]:
        """Bytes of each scratch for bands of ``band`` output rows."""
        first, *others = self.rows
        need = ((band - 1) * self.stride + self.reach) * first + self.left
        return [need, *(band * row for row in others)]

    @cached_property
    def band(self) -> int:
        """Output rows of a band; 0 where no band fits that computes as many rows as it keeps."""
        first, *others = self.rows
        each = self.stride * first + sum(others)
        most = min((BAND_BYTES - self.kept * first - self.left) // each, self.height)
        if most < min(max(1, -(-self.kept // self.stride)), self.height):
            return 0
        return -(-self.height // -(-self.height // most))

    @property
    def units(self) -> int:
        """Output rows of all images."""
        return self.parts[-1].output.shape[0] * self.height

    @property
    def rows_per_overlap(self) -> float:
        """Rows of the first part for each that one more chunk would have computed twice."""
        return self.units * self.stride / self.kept if self.kept else math.inf

    @property
    def chunk(self) -> int:
        """Rows that a thread takes at a time."""
        wanted = int(max(MIN_CHUNKS, min(MAX_CHUNKS, USUALLY_TWICE * self.rows_per_overlap)))
        return -(-self.units // wanted)


def fuse(ctx: Context, nodes: Sequence[Node], kept: Collection[Buffer]) -> list[Step | HostStep]:
    """The steps, those that gain by it run as one; ``kept`` buffers are read afterwards too.

    A chain's steps become one in the place of its last, whose ``parts`` they are; the buffers
    between them and the steps that fill their halos vanish. Chains that save most go first.
    """
    steps = ctx.steps
    found = {i: rows for i, step in enumerate(steps) if (rows := _row_step(nodes, i, step))}
    users = _users(steps)
    chains = [
        chain
        for first in found.values()
        for parts in _sequences(first, found, users, kept)
        if _is_free(chain := Chain(parts), steps, users) and _gains(chain)
    ]
    fused: dict[int, Step] = {}
    gone: set[int] = set()
    for chain in sorted(chains, key=lambda c: (-c.saved, c.parts[0].index)):
        members = {part.index for part in chain.parts}
        if not members & (gone | fused.keys()):
            last = chain.parts[-1].index
            fused[last] = _fused(ctx, chain)
            gone |= {i for buffer in chain.between for i in users[buffer]} | members
            gone.remove(last)
    return [fused.get(i, step) for i, step in enumerate(steps) if i not in gone]


def _row_step(nodes: Sequence[Node], index: int, step: Step | HostStep) -> RowStep | None:
    """A step as `RowStep`, if it is one."""
    if not isinstance(step, Step) or step.node >= len(nodes) or len(step.writes) != 1:
        return None
    node, kernel, params = nodes[step.node], step.kernel, step.params
    op = node.op.head if isinstance(node.op, Fused) else node.op
    out, result = step.writes[0], node.outputs[0].type
    tiled = kernel.fields.keys() >= TILED and params["pixels"] == math.prod(out.shape[:-1])
    if (
        not (tiled or isinstance(kernel, Depthwise | QDepthwise | WDepthwise))
        or not isinstance(op, Conv2D | DepthwiseConv2D)
        or out.type.size != result.size
        or out.shape[:2] != result.shape[:2]
        or params["c"] != out.address
        or params["a"] != step.reads[0].address
    ):
        return None
    pixel = out.strides[2] * out.shape[2] // result.shape[2]
    output = View(out.address, result, (*out.strides[:2], pixel, out.strides[3]))
    zero = repeated(0 if result.quant is None else result.quant.zero_point[0], result)
    reach = (node.input_types[1].shape[1] - 1) * op.dilation[0] + 1
    return RowStep(index, step, output, op.stride[0], reach, zero)


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


def _is_free(
    chain: Chain, steps: Sequence[Step | HostStep], users: Mapping[Buffer, Sequence[int]]
) -> bool:
    """Whether only the fills of halos lie between the steps of a chain, and none that it reads."""
    members, between = {part.index for part in chain.parts}, chain.between
    reads = {view.address.buffer for part in chain.parts for view in part.step.reads}
    for i in range(min(i for b in between for i in users[b]), chain.parts[-1].index):
        step = steps[i]
        fills = isinstance(step, Step) and not step.reads
        touched = {view.address.buffer for view in step.views}
        if i not in members and not (fills and not touched & (reads - set(between))):
            return False
    return True


def _gains(chain: Chain) -> bool:
    """Whether a chain takes less time than its parts one by one (docs/fused-blocks.md)."""
    first = chain.parts[0]
    again = max(0, first.reach - first.stride) * first.step.reads[0].strides[1]
    vanishing = chain.band * (chain.stride * chain.rows[0] + sum(chain.rows[1:]))
    return (
        chain.band > 0
        and chain.saved >= MIN_BYTES
        and max(first.reach, chain.reach) > 1
        and again <= READ_AGAIN * vanishing
        and MOST_TWICE * chain.rows_per_overlap >= MIN_CHUNKS
    )


def _fused(ctx: Context, chain: Chain) -> Step:
    """The step that runs a chain."""
    parts, band = chain.parts, chain.band
    first, last = parts[0], parts[-1]
    (_, inner, width, _), (_, row, pixel, _) = first.output.shape, first.output.strides
    params: Params = {
        "height": chain.height,
        "band": band,
        "stride": chain.stride,
        "reach": chain.reach,
        "inner": inner,
        "top": chain.top,
        "row": row,
        "left": chain.left,
        "gap": row - width * pixel,
        "zero": first.zero,
        **{f"scratch{i}": nbytes for i, nbytes in enumerate(chain.scratches(band))},
    }
    for i, part in enumerate(parts):
        scratches = ["a"] * (i > 0) + ["c"] * (part is not last)
        params |= part.params(i, scratches)
    kernel = Banded(ctx.isa, tuple(part.step.kernel for part in parts))
    if ctx.emitted is not None:
        ctx.emitted(kernel)
    reads = (view for part in parts for view in part.step.reads)
    return replace(
        last.step,
        kernel=kernel,
        params={name: params[name] for name in kernel.fields},
        units=chain.units,
        chunk=chain.chunk,
        reads=tuple(view for view in reads if view.address.buffer not in chain.between),
        barrier=True,
        seconds=sum(part.step.seconds for part in parts),
        parts=tuple(part.step for part in parts),
    )
