"""What ``edgewise compare`` does: a network's tensors against a peer's (docs/json.md)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ..data import images
from ..errors import InputError
from ..graph import Array, Graph
from ..ops import Rounding
from ..passes.requantization import requantize
from . import differences, peers
from .facts import DEFAULT, Compiling, Facts, Step, as_list, finite


def compare(
    graph: Graph,
    model: Path,
    against: str,
    inputs: Sequence[Sequence[Array]],
    *,
    tolerance: float = 1.0,
    alone: bool = False,
    threads: int = 1,
    compiling: Compiling = DEFAULT,
    progress: Step = lambda: None,
    signature: str | None = None,
    weights: Path | None = None,
) -> Facts:
    """Compare a model's tensors with a peer's.

    ``signature`` and ``weights`` are what the model was loaded with.

    Raises:
        EdgewiseError: the model, the peer or an option does not fit.
    """
    peer = peers.open_peer(against, model, graph, signature=signature, weights=weights)
    shown = peers.open_tensors(against, model, graph, signature, weights)
    if alone and shown is None:
        raise InputError(f"--alone: {peer.name} does not show its tensors")
    tensors: differences.Tensors = (lambda arrays: {}) if shown is None else shown.run
    with contextlib.closing(compiling.program(graph, threads)) as program:
        fixed = compiling.requantization == "fixed_point"
        outcome = differences.compare(
            requantize(graph, Rounding.FIXED_POINT) if fixed else graph,
            inputs,
            lambda arrays: as_list(program(*arrays)),
            peer.run,
            tensors,
            alone=alone,
            progress=progress,
        )
        isa_name = program.isa.name
    beyond = outcome.beyond(tolerance)
    first, right = outcome.first, outcome.program_is_right(tolerance)
    return {
        "model": str(model),
        "against": peer.name,
        "path": peer.path,
        "isa": isa_name,
        "threads": threads,
        "inputs": len(inputs),
        "alone": alone,
        "tolerance": tolerance,
        "within_tolerance": not beyond and right,
        "program_is_right": right,
        "program_steps": finite(outcome.program_steps),
        "first_difference": _difference_facts(first) if first else None,
        "first_beyond_tolerance": _difference_facts(beyond[0]) if beyond else None,
        "tensors": [_difference_facts(d) for d in outcome.tensors],
        "outputs": [_difference_facts(d) for d in outcome.outputs],
        "not_compared": list(outcome.missing),
    }


def comparison_inputs(
    graph: Graph, files: Sequence[Path], count: int, seed: int
) -> list[list[Array]]:
    """The sets of inputs to compare on: from files, else ``count`` random ones."""
    if files:
        return [images.load_inputs(graph, group) for group in images.input_files(graph, files)]
    return list(differences.random_inputs(graph, count, seed))


def _difference_facts(d: differences.Difference) -> Facts:
    return {
        "tensor": d.tensor,
        "op": d.op,
        "type": str(d.type),
        "elements": d.elements,
        "differing": d.differing,
        "steps": finite(d.steps),
        "where": list(d.where),
        "edgewise": finite(d.ours),
        "peer": finite(d.theirs),
    }
