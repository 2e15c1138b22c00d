"""What a plan could have chosen instead: the candidates of one choice, as steps to be timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..kernels.isa import Isa
from . import memory
from .check import check
from .choices import Choice, Tuning
from .context import Context
from .lowering import LOWERINGS
from .model import CONSTANTS, HostStep, Plan, Step


def steps_of(
    choice: Choice, steps: Sequence[Step | HostStep], choices: Sequence[Choice]
) -> list[int]:
    """The indices of those of ``steps`` that carry out one of ``choices``."""
    others = {c.step for c in choices if c.step > choice.step and not choice.whole}
    end = choice.step
    while end < len(steps) and steps[end].node == choice.node and end not in others:
        end += 1
    return list(range(choice.step, end))


def alternatives(
    plan: Plan, isa: Isa, precision: str | None, choice: Choice, symbols: Sequence[str]
) -> tuple[Plan, list[list[int]]]:
    """A plan that does a part of a network by each of ``symbols``, and the steps of each.

    The operands lie as they do in ``plan``, which was made for ``isa`` and ``precision``. A node
    may make several choices of one problem, as for groups: all of them are there.
    """
    node = plan.nodes[choice.node]
    ctx = Context(isa, plan.views, precision=precision, index=choice.node)
    parts = []
    for symbol in symbols:
        ctx.tuning = Tuning({choice.problem: {symbol: choice.estimates[symbol]}})
        first = len(ctx.choices)
        LOWERINGS[type(node.op)](ctx, node)
        same = [c for c in ctx.choices[first:] if c.problem == choice.problem]
        parts.append([i for c in same for i in steps_of(c, ctx.steps, ctx.choices)])
    kept = [i for part in parts for i in part]
    places = {old: new for new, old in enumerate(kept)}
    chosen = [step for step in (ctx.steps[i] for i in kept) if isinstance(step, Step)]
    steps = [replace(step, barrier=True) for step in chosen]
    buffers = {view.address.buffer: (0, 0) for step in steps for view in step.views}
    buffers.pop(CONSTANTS, None)
    offsets, arena_bytes = memory.place(buffers)
    found = Plan(
        plan.nodes, tuple(steps), offsets, arena_bytes, ctx.constants.join(), (), (), buffers
    )
    check(found)
    return found, [[places[i] for i in part] for part in parts]
