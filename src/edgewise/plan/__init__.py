"""From a graph to steps: layout, kernel selection, memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import UnsupportedError
from ..graph import Graph, Node, Value
from ..kernels.isa import Isa
from ..ops import Fused, Rounding
from ..passes.requantization import rounding_of
from . import memory
from .bands import fuse
from .check import check
from .choices import UNTUNED, Tuning
from .context import Context, NoKernelError
from .division import divide
from .layout import Layout, lay_out
from .lowering import FIXED_POINT, LOWERINGS
from .model import (
    CONSTANTS,
    Address,
    Buffer,
    HostStep,
    Plan,
    Step,
    Variant,
    View,
)
from .movement import fill_halo
from .states import keep_states, states_first

__all__ = ["Address", "Buffer", "HostStep", "Plan", "Step", "View", "make_plan"]


MAX_ARENA_BYTES = 2**30
"""A small file can describe huge tensors; no network for the devices in view comes near."""


def make_plan(
    graph: Graph,
    isa: Isa,
    precision: str | None = None,
    tuning: Tuning = UNTUNED,
    keep_inputs: bool = False,
    emitted: Callable[[Variant], None] | None = None,
) -> Plan:
    """Choose kernels, addresses and steps for ``graph`` on ``isa``.

    The graph's 8-bit activations must have the type that ``isa`` takes
    (``passes.to_uint8``, ``passes.to_int8``), its weights int8 (``passes.weights_to_int8``).
    ``precision`` "bf16" lets products of float32 take bfloat16 operands; ``tuning`` is what was
    measured of kernels, beside the cost model. ``keep_inputs`` has no step overwrite an input;
    ``emitted`` is told of kernels as steps take them. A node without a kernel becomes a
    ``HostStep``.

    Raises:
        UnsupportedError: the arena would exceed ``MAX_ARENA_BYTES``.
        CompileError: an operand does not lie inside its buffer (see ``plan.check``).
    """
    graph = states_first(graph)
    native = {
        node: type(node.op) in LOWERINGS and not _is_empty(node) and _rounds_alike(node)
        for node in graph.nodes
    }
    while True:
        layout = lay_out(graph, native, keep_inputs)
        ctx = Context(isa, layout.views, precision=precision, tuning=tuning, emitted=emitted)
        refused = _lower(graph, native, layout, ctx)
        if not refused:
            break
        native |= dict.fromkeys(refused, False)
    outputs = tuple(zip(graph.results, keep_states(graph, ctx), strict=True))
    ends = (*(layout.views[v] for v in graph.sources), *(place for _, place in outputs))
    kept = {place.address.buffer for place in ends if isinstance(place, View)}
    ctx.steps = fuse(ctx, graph.nodes, kept)
    _add_barriers(ctx.steps)
    ctx.steps = divide(ctx.steps)
    lasting = [layout.views[state.before] for state in graph.states]
    if keep_inputs:
        lasting += [layout.views[value] for value in graph.inputs]
    if ctx.broken is not None:
        lasting.append(ctx.broken)
    lifetimes = _lifetimes(graph, ctx, layout, lasting, [place for _, place in outputs])
    offsets, arena_bytes = memory.place(lifetimes)
    if arena_bytes > MAX_ARENA_BYTES:
        raise UnsupportedError(
            f"graph {graph.name!r}: its activations take {arena_bytes} bytes at a time; "
            f"at most {MAX_ARENA_BYTES} are supported"
        )
    plan = Plan(
        graph.nodes,
        tuple(ctx.steps),
        offsets,
        arena_bytes,
        ctx.constants.join(),
        tuple((v, layout.views[v]) for v in graph.sources),
        outputs,
        lifetimes,
        ctx.broken,
        layout.views,
        tuple(ctx.choices),
        tuple(lasting),
    )
    check(plan)
    return plan


def _is_empty(node: Node) -> bool:
    """Whether an operand has no elements; kernels have a first one."""
    return any(0 in t.shape for t in (*node.input_types, *node.output_types))


def _rounds_alike(node: Node) -> bool:
    """Whether an operator requantizes as kernels do, or not at all."""
    head = node.op.head if isinstance(node.op, Fused) else node.op
    return rounding_of(head) in (None, Rounding.FLOAT) or isinstance(head, FIXED_POINT)


def _reason(node: Node, isa: Isa) -> str:
    """Why a node runs by its reference."""
    if type(node.op) not in LOWERINGS:
        return "it has no kernel"
    if not _rounds_alike(node):
        return "no kernel requantizes in fixed point"
    if _is_empty(node):
        return "an operand has no elements"
    types = ", ".join(map(str, node.input_types))
    return f"its kernels on {isa.name} do not take ({types})"


def _lower(graph: Graph, native: dict[Node, bool], layout: Layout, ctx: Context) -> list[Node]:
    """Emit every node's steps; gives the nodes that turn out to have no kernel."""
    filled: set[Value] = set()
    refused: list[Node] = []

    def fill(values: tuple[Value, ...]) -> None:
        for value in values:
            if value in layout.halos and value not in filled:
                filled.add(value)
                fill_halo(ctx, layout.views[value], layout.halos[value])

    fill(graph.sources)
    for i, node in enumerate(graph.nodes):
        ctx.index, first = i, len(ctx.steps)
        fill(node.outputs)
        fills = len(ctx.steps) - first
        if not native[node]:
            views = tuple(v.data if v.data is not None else layout.views[v] for v in node.inputs)
            outputs = tuple(layout.views[v] for v in node.outputs)
            ctx.steps.append(HostStep(i, views, outputs, _reason(node, ctx.isa)))
            continue
        try:
            LOWERINGS[type(node.op)](ctx, node)
        except NoKernelError:
            refused.append(node)
        _fill_late(ctx, first, fills)
    return refused


def _fill_late(ctx: Context, first: int, count: int) -> None:
    """Move ``count`` steps from number ``first`` on to just before what uses their buffers.

    A node's first steps may prepare its inputs; until they are done, its output needs no bytes.
    """
    fills, prepared = ctx.steps[first : first + count], ctx.steps[first + count :]
    filled = {view.address.buffer for step in fills for view in step.views}
    uses = (any(v.address.buffer in filled for v in step.views) for step in prepared)
    ready = next((i for i, used in enumerate(uses) if used), 0)
    if not (count and ready):
        return
    ctx.steps[first:] = [*prepared[:ready], *fills, *prepared[ready:]]
    between = range(first + count, first + count + ready)
    ctx.choices[:] = [
        replace(c, step=c.step - count) if c.step in between else c for c in ctx.choices
    ]


def _add_barriers(steps: list[Step | HostStep]) -> None:
    """Put a barrier wherever a step reads a buffer that an earlier one may still be writing."""
    unfinished: set[Buffer] = set()
    for i, step in enumerate(steps):
        if not isinstance(step, Step):
            unfinished.clear()
            continue
        before = steps[i - 1]
        if isinstance(before, Step) and any(v.address.buffer in unfinished for v in step.reads):
            steps[i - 1] = replace(before, barrier=True)
            unfinished.clear()
        if step.barrier:
            unfinished.clear()
        else:
            unfinished.update(v.address.buffer for v in step.writes)


def _lifetimes(
    graph: Graph, ctx: Context, layout: Layout, lasting: Sequence[View], outputs: Sequence[object]
) -> dict[Buffer, tuple[int, int]]:
    """First and last step that touch each buffer; the graph's inputs and outputs to the ends."""
    lifetimes: dict[Buffer, tuple[int, int]] = {}

    def touch(buffer: Buffer, step: int) -> None:
        if buffer is CONSTANTS:
            return
        first, last = lifetimes.get(buffer, (step, step))
        lifetimes[buffer] = (min(first, step), max(last, step))

    for i, step in enumerate(ctx.steps):
        for view in step.views:
            touch(view.address.buffer, i)
    for value in graph.sources:
        touch(layout.views[value].address.buffer, 0)
    for view in lasting:
        touch(view.address.buffer, 0)
        touch(view.address.buffer, len(ctx.steps))
    for place in outputs:
        if isinstance(place, View):
            touch(place.address.buffer, len(ctx.steps))
    return _without_races(ctx, lifetimes)


def _without_races(
    ctx: Context, lifetimes: dict[Buffer, tuple[int, int]]
) -> dict[Buffer, tuple[int, int]]:
    """Widen lifetimes to whole groups of steps that no barrier separates."""
    starts, ends = [], [0] * len(ctx.steps)
    first = 0
    for i, step in enumerate(ctx.steps):
        starts.append(first)
        if not isinstance(step, Step) or step.barrier:
            for j in range(first, i + 1):
                ends[j] = i
            first = i + 1
    for j in range(first, len(ctx.steps)):
        ends[j] = len(ctx.steps) - 1
    last = len(ctx.steps)
    return {
        buffer: (starts[a] if a < last else a, ends[b] if b < last else b)
        for buffer, (a, b) in lifetimes.items()
    }
