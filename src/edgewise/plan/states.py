"""Variables: what each becomes is copied to where the next call reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph import Graph, Node, State, Value
from .context import Context, NoKernelError
from .model import Buffer, HostStep, Step, View
from .movement import along, drop, emit_copy

Place: TypeAlias = "View | npt.NDArray[np.generic]"
"""Where a result lies, or the array that it is."""


def states_first(graph: Graph) -> Graph:
    """The graph with nodes that only give states their next values as early as they may write
    over what they read: after all other nodes that read it.

        c = concat(s, x); y = f(c); z = g(y); s' = quantize(c)
        => c = concat(s, x); y = f(c); s' = quantize(c); z = g(y)
    """
    used = set(graph.outputs)
    moved: set[Node] = set()
    for node in reversed(graph.nodes if graph.states else ()):
        if used.isdisjoint(node.outputs):
            moved.add(node)
        else:
            used.update(node.inputs)
    touched: dict[Value, int] = {}
    slots: list[list[Node]] = [[]]
    for node in graph.nodes:
        if node not in moved:
            slots.append([node])
            touched |= dict.fromkeys((*node.inputs, *node.outputs), len(slots) - 1)
    for node in (n for n in graph.nodes if n in moved):
        slot = max((touched.get(value, 0) for value in node.inputs), default=0)
        slots[slot].append(node)
        touched |= dict.fromkeys(node.outputs, slot)
    return replace(graph, nodes=tuple(node for slot in slots for node in slot))


def keep_states(graph: Graph, ctx: Context) -> list[Place]:
    """Copy what the states become over what they were; where the graph's results then lie.

    As early as nobody needs the old value, so that the new one's bytes are free again; but after
    all else where a step may raise, for a call that raises leaves the states as they were, and
    where states or outputs lie in each other's buffers.
    """
    changed = [s for s in graph.states if s.after is not s.before]
    overwritten = {ctx.views[s.before].address.buffer for s in changed}
    needed = [v for v in (*graph.outputs, *(s.after for s in changed)) if v.data is None]
    apart = all(ctx.views[v].address.buffer not in overwritten for v in needed)
    moved: Mapping[Value, View] = {}
    if not apart or any(isinstance(step, HostStep) for step in ctx.steps):
        moved = _keep_late(graph, ctx, changed, overwritten)
    else:
        for state in changed:
            _keep_early(ctx, state)
    outputs = (v.data if v.data is not None else moved.get(v, ctx.views[v]) for v in graph.outputs)
    states = ((s.after.data, ctx.views[s.before]) for s in graph.states)
    return [*outputs, *(view if data is None else data for data, view in states)]


def _keep_early(ctx: Context, state: State) -> None:
    """Copy one state after the last step that touches its old value or writes the new one."""
    source, target = ctx.view(state.after), ctx.views[state.before]
    first = len(ctx.steps)
    copy(ctx, source, target)
    copies = ctx.steps[first:]
    del ctx.steps[first:]
    at = 1 + max((i for i, s in enumerate(ctx.steps) if _bars(s, source, target)), default=-1)
    if at:
        _end(ctx, at - 1)
    node = ctx.steps[at - 1].node if at else 0
    ctx.steps[at:at] = [replace(step, node=node) for step in copies]
    ctx.choices[:] = [
        replace(c, step=c.step + len(copies)) if c.step >= at else c for c in ctx.choices
    ]


def _bars(step: Step | HostStep, source: View, target: View) -> bool:
    """Whether ``source`` cannot be copied to ``target`` before ``step``."""
    assert isinstance(step, Step)
    touched = {view.address.buffer for view in step.views}
    written = {view.address.buffer for view in step.writes}
    return target.address.buffer in touched or source.address.buffer in written


def _keep_late(
    graph: Graph, ctx: Context, changed: list[State], overwritten: set[Buffer]
) -> dict[Value, View]:
    if not changed:
        return {}
    if ctx.steps:
        _end(ctx, len(ctx.steps) - 1)

    def safe(value: Value) -> View:
        view = ctx.view(value)
        if view.address.buffer not in overwritten:
            return view
        held = ctx.scratch(value.name, view.shape, view.type.dtype)
        copy(ctx, view, held)
        return held

    outputs = {v: safe(v) for v in graph.outputs if v.data is None}
    afters = [safe(s.after) for s in changed]
    for state, view in zip(changed, afters, strict=True):
        copy(ctx, view, ctx.views[state.before])
    return outputs


def _end(ctx: Context, index: int) -> None:
    """Let what follows a step wait for all of it."""
    step = ctx.steps[index]
    if isinstance(step, Step):
        ctx.steps[index] = replace(step, barrier=True)


def copy(ctx: Context, source: View, target: View) -> None:
    """``emit_copy`` of any rank, and of nothing."""
    if 0 in target.shape:
        return
    try:
        emit_copy(ctx, source, target)
    except NoKernelError:
        for i in range(target.shape[0]):
            copy(ctx, *(drop(along(view, 0, i, 1), [0]) for view in (source, target)))
