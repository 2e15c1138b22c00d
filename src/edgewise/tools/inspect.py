"""What ``edgewise inspect`` tells: the operators as they run, and the memory (docs/json.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..graph import Graph, Value
from ..plan.model import Plan, Step
from .facts import Facts, op_name, threading_facts, value_facts
from .fallbacks import Slow

if TYPE_CHECKING:
    from ..runtime import Program


def inspection(model: Path, imported: Graph, program: Program, slow: Sequence[Slow] = ()) -> Facts:
    """The facts of ``edgewise inspect``: the operators as they run, after the passes.

    ``slow`` are the operators without a kernel, with their share of the time.
    """
    plan = program.plan
    choices = [choice for choice in plan.choices if len(choice.estimates) > 1]
    kernels, together = _kernels_of_nodes(plan), _together(plan)
    operators = []
    seen: set[Value] = set()
    for index, node in enumerate(plan.nodes):
        weights = {v for v in node.inputs if v.is_constant} - seen
        seen |= weights
        operators.append(
            {
                "index": index,
                "op": op_name(node.op),
                "description": str(node.op),
                "origin": node.origin,
                "outputs": [value_facts(v) for v in node.outputs],
                "macs": node.macs,
                "weight_bytes": sum(v.type.nbytes for v in weights),
                "kernels": list(dict.fromkeys(kernels[index])),
                "together": together.get(index, [index]),
                "fallback": node in plan.fallbacks,
            }
        )
    return {
        "model": str(model),
        "file_bytes": model.stat().st_size,
        "isa": program.isa.name,
        "threads": program.threads,
        "threading": threading_facts(program),
        "description": imported.metadata.get("description") or "",
        "labels": len(imported.metadata.get("labels") or ()),
        "inputs": [value_facts(v) for v in imported.inputs],
        "outputs": [value_facts(v) for v in imported.outputs],
        "states": [value_facts(s.before) for s in imported.states],
        "open": {name: list(shape) for name, shape in imported.open.items()},
        "dims": dict(imported.metadata.get("dims") or {}),
        "signatures": list(imported.metadata.get("signatures") or ()),
        "operators_in_file": len(imported.nodes),
        "operators": operators,
        "fallbacks": [asdict(operator) for operator in slow],
        "macs": sum(o["macs"] for o in operators),
        "weight_bytes": sum(o["weight_bytes"] for o in operators),
        "arena_bytes": plan.arena_bytes,
        "constant_bytes": plan.constant_bytes,
        "kernels": list(plan.kernels),
        "choices": len(choices),
        "measured_choices": sum(choice.tuned for choice in choices),
    }


def _kernels_of_nodes(plan: Plan) -> list[list[str]]:
    """The kernels that run each node, by symbol; of a fused step the part that is the node's."""
    found: list[list[str]] = [[] for _ in plan.nodes]
    for step in (s for s in plan.steps if isinstance(s, Step)):
        for part in step.parts or (step,):
            if part.node < len(found):
                found[part.node].append(part.kernel.symbol)
    return found


def _together(plan: Plan) -> dict[int, list[int]]:
    """For each node of a fused step: all nodes of that step, in order."""
    steps = (s for s in plan.steps if isinstance(s, Step) and s.parts)
    return {number: list(step.nodes) for step in steps for number in step.nodes}
