"""What ``edgewise inspect`` tells: the operators as they run, and the memory (docs/json.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..graph import Graph, Value
from ..plan.model import Plan, Step
from .facts import Facts, op_name, value_facts
from .fallbacks import Slow

if TYPE_CHECKING:
    from ..runtime import Program


def inspection(model: Path, imported: Graph, program: Program, slow: Sequence[Slow] = ()) -> Facts:
    """The facts of ``edgewise inspect``: the operators as they run, after the passes.

    ``slow`` are the operators without a kernel, with their share of the time.
    """
    plan = program.plan
    steps = _steps_of_nodes(plan)
    operators = []
    seen: set[Value] = set()
    for index, node in enumerate(plan.nodes):
        weights = {v for v in node.inputs if v.is_constant} - seen
        seen |= weights
        kernels = [symbol for symbol in steps[index] if symbol is not None]
        operators.append(
            {
                "index": index,
                "op": op_name(node.op),
                "description": str(node.op),
                "origin": node.origin,
                "outputs": [value_facts(v) for v in node.outputs],
                "macs": node.macs,
                "weight_bytes": sum(v.type.nbytes for v in weights),
                "kernels": list(dict.fromkeys(kernels)),
                "fallback": node in plan.fallbacks,
            }
        )
    return {
        "model": str(model),
        "file_bytes": model.stat().st_size,
        "isa": program.isa.name,
        "threads": program.threads,
        "description": imported.metadata.get("description") or "",
        "labels": len(imported.metadata.get("labels") or ()),
        "inputs": [value_facts(v) for v in imported.inputs],
        "outputs": [value_facts(v) for v in imported.outputs],
        "states": [value_facts(s.before) for s in imported.states],
        "open": {name: list(shape) for name, shape in imported.open.items()},
        "signatures": list(imported.metadata.get("signatures") or ()),
        "operators_in_file": len(imported.nodes),
        "operators": operators,
        "fallbacks": [asdict(operator) for operator in slow],
        "macs": sum(o["macs"] for o in operators),
        "weight_bytes": sum(o["weight_bytes"] for o in operators),
        "arena_bytes": plan.arena_bytes,
        "constant_bytes": plan.constant_bytes,
        "kernels": list(plan.kernels),
    }


def _steps_of_nodes(plan: Plan) -> list[list[str | None]]:
    """The kernels that run each node, by symbol; None for its numpy reference.

    A fused step's kernel runs all of its nodes.
    """
    found: list[list[str | None]] = [[] for _ in plan.nodes]
    for step in plan.steps:
        for number in step.nodes if isinstance(step, Step) else (step.node,):
            if number < len(found):
                found[number].append(step.kernel.symbol if isinstance(step, Step) else None)
    return found
