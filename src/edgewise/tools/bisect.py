"""What ``edgewise bisect`` does: the first operator that departs, and why (docs/json.md)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..graph import Array, Graph, Node, Value
from ..ops import Rounding
from ..passes.requantization import requantize
from . import differences, peers
from .causes import Cause, likely_cause
from .facts import DEFAULT, Compiling, Facts, Step, as_list, finite

REFERENCE = "reference"
"""What ``--against`` calls Edgewise's own references."""


@dataclass(frozen=True)
class Departure:
    """The first tensor that departs: where, by how much, and the likely cause."""

    node: Node
    difference: differences.Difference
    cause: Cause


def bisect(
    graph: Graph,
    model: Path,
    against: str,
    inputs: Sequence[Sequence[Array]],
    *,
    tolerance: float = 1.0,
    threads: int = 1,
    compiling: Compiling = DEFAULT,
    progress: Step = lambda: None,
    signature: str | None = None,
    weights: Path | None = None,
) -> Facts:
    """Find the first operator whose output departs from a peer's, or from the references.

    Against a peer, each operator is computed from the peer's own tensors. Against "reference", the
    compiled program is compared with the numpy references of the graph, and beginnings of the
    network are compiled to find the shortest one that departs.

    Args:
        tolerance: quantization steps that may differ (`differences.Difference`).
        signature, weights: what the model was loaded with.

    Raises:
        EdgewiseError: the model, the peer or an option does not fit.
    """
    if compiling.requantization == "fixed_point":
        graph = requantize(graph, Rounding.FIXED_POINT)
    if against == REFERENCE:
        name, path = "Edgewise's references", "numpy"
        found, tried = _program_departs(graph, inputs, tolerance, threads, compiling, progress)
    else:
        known = ", ".join((*peers.TENSORS, REFERENCE))
        if against not in peers.PEERS:
            raise InputError(f"--against {against}: unknown; known are {known}")
        peer = peers.open_peer(against, model, graph, 1, signature, weights)
        shown = peers.open_tensors(against, model, graph, signature, weights)
        if shown is None:
            raise InputError(
                f"--against {against}: {peer.name} does not show its tensors; these do: {known}"
            )
        name, path = peer.name, peer.path
        found, tried = _peer_departs(graph, inputs, shown, tolerance, progress)
    return {
        "model": str(model),
        "against": name,
        "path": path,
        "inputs": len(inputs),
        "tolerance": tolerance,
        "compared": tried,
        "departure": None if found is None else _facts(found),
    }


def _peer_departs(
    graph: Graph,
    inputs: Sequence[Sequence[Array]],
    shown: peers.PeerTensors,
    tolerance: float,
    progress: Step,
) -> tuple[Departure | None, int]:
    """The first tensor that departs from a peer's, and how many were compared."""
    compared: set[Value] = set()
    makers = graph.producers()
    order = {value: i for i, value in enumerate(makers)}
    first: tuple[int, Departure] | None = None
    states = {state.before: state.initial for state in graph.states}
    for arrays in inputs:
        given = shown.run(arrays)
        theirs = {v: given[v.name] for v in makers if v.name in given}
        if not theirs:
            raise InputError(f"the peer computes {len(given)} tensors; none is the graph's")
        start = dict(zip(graph.inputs, arrays, strict=True)) | states
        for value, ours, row in differences.alone(graph, start, theirs):
            compared.add(value)
            if row.steps > tolerance:
                if first is None or order[value] < first[0]:
                    cause = likely_cause(ours, theirs[value], row.steps)
                    node = differences.computing(makers[value], makers)
                    first = order[value], Departure(node, replace(row, op=node.op.name), cause)
                break
        states = _states_after(graph, start)
        progress()
    return (first[1] if first else None), len(compared)


def _states_after(graph: Graph, start: Mapping[Value, Array]) -> dict[Value, Array]:
    """What the variables hold after a call."""
    if not graph.states:
        return {}
    env = dict(start)
    for node, results in graph.reference(start):
        env.update(zip(node.outputs, results, strict=True))
    return {s.before: env[s.after] if s.after.data is None else s.after.data for s in graph.states}


def _program_departs(
    graph: Graph,
    inputs: Sequence[Sequence[Array]],
    tolerance: float,
    threads: int,
    compiling: Compiling,
    progress: Step,
) -> tuple[Departure | None, int]:
    """The first node after which the program departs, and how many beginnings were compiled."""
    exact = not differences.computes_floats(graph)
    allowed = 0.0 if exact else tolerance
    start = replace(graph, states=(), inputs=graph.sources)
    sets = [[*arrays, *(s.initial for s in graph.states)] for arrays in inputs]
    envs = [_references(start, arrays) for arrays in sets]

    def departs(count: int) -> Departure | None:
        return _beginning_departs(start, count, sets, envs, allowed, threads, compiling)

    tried = 1
    found = departs(len(start.nodes))
    progress()
    low, high = 0, len(start.nodes)
    while found is not None and high - low > 1:
        middle = (low + high) // 2
        departure = departs(middle)
        tried += 1
        progress()
        if departure is None:
            low = middle
        else:
            high, found = middle, departure
    return found, tried


def _references(graph: Graph, arrays: Sequence[Array]) -> dict[Value, Array]:
    env = dict(zip(graph.inputs, arrays, strict=True))
    for node, results in graph.reference(env):
        env.update(zip(node.outputs, results, strict=True))
    return env


def _beginning_departs(
    graph: Graph,
    count: int,
    sets: Sequence[Sequence[Array]],
    envs: Sequence[Mapping[Value, Array]],
    allowed: float,
    threads: int,
    compiling: Compiling,
) -> Departure | None:
    """How the first ``count`` nodes depart when they are compiled; None where they do not."""
    beginning = _beginning(graph, count)
    makers = graph.producers()
    with contextlib.closing(compiling.program(beginning, threads)) as program:
        for arrays, env in zip(sets, envs, strict=True):
            outputs = as_list(program(*arrays))
            worst: Departure | None = None
            for value, ours in zip(beginning.outputs, outputs, strict=True):
                row = differences.difference(
                    value,
                    makers[value],
                    ours,
                    env[value],
                    differences.least_step(makers[value], env),
                )
                if row.steps > max(allowed, worst.difference.steps if worst else 0.0):
                    cause = likely_cause(ours, env[value], row.steps)
                    worst = Departure(makers[value], row, cause)
            if worst is not None:
                return worst
    return None


def _beginning(graph: Graph, count: int) -> Graph:
    """The first ``count`` nodes; outputs are what is read after them."""
    nodes = graph.nodes[:count]
    made = dict.fromkeys(v for node in nodes for v in node.outputs)
    after = {v for node in graph.nodes[count:] for v in node.inputs} | set(graph.results)
    return replace(graph, nodes=nodes, outputs=tuple(v for v in made if v in after))


def _facts(departure: Departure) -> Facts:
    d = departure.difference
    return {
        "tensor": d.tensor,
        "op": d.op,
        "origin": departure.node.origin,
        "operator": str(departure.node.op),
        "inputs": [{"name": v.name, "type": str(v.type)} for v in departure.node.inputs],
        "type": str(d.type),
        "elements": d.elements,
        "differing": d.differing,
        "steps": finite(d.steps),
        "where": list(d.where),
        "edgewise": finite(d.ours),
        "other": finite(d.theirs),
        "cause": departure.cause.name,
        "evidence": departure.cause.evidence,
    }


__all__ = ["REFERENCE", "Departure", "bisect"]
