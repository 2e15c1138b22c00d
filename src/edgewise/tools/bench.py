"""What ``edgewise bench`` does: a network timed, alone or against peers (docs/json.md)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import timing
from ..errors import InputError
from ..graph import Array, Graph
from . import differences, peers
from .doctor import usable_cores
from .facts import DEFAULT, Compiling, Facts, Step, threading_facts
from .fallbacks import slow_operators

if TYPE_CHECKING:
    from ..runtime import Program


def bench(
    graph: Graph,
    model: Path,
    threads: Sequence[int],
    against: Sequence[str],
    rounds: int,
    seed: int = 0,
    compiling: Compiling = DEFAULT,
    progress: Step = lambda: None,
    *,
    signature: str | None = None,
    weights: Path | None = None,
) -> Facts:
    """Time a model on random inputs for each number of threads, with the peers ``against``.

    Calls of ``invoke`` are timed, without copies of inputs and outputs, of peers too; where a
    network has none (see `Program.invoke`), whole calls of the program.

    Raises:
        EdgewiseError: the model, the peer or an option does not fit.
    """
    (arrays,) = differences.random_inputs(graph, 1, seed)
    facts: Facts = {
        "model": str(model),
        "rounds": rounds,
        "cores": usable_cores(),
        "results": [],
    }
    for count in threads:
        contestants: dict[str, timing.Call] = {}
        compiled = compiling.program(graph, count)
        with contextlib.closing(compiled) as program:
            facts["isa"] = program.isa.name
            facts["fallbacks"] = [asdict(s) for s in slow_operators(program, arrays)]
            contestants["Edgewise"] = _invoke(program, arrays)
            for name in dict.fromkeys(against):
                peer = peers.open_peer(name, model, graph, count, signature, weights)
                peer.set_inputs(arrays)
                contestants[peer.name] = peer.invoke
            timings = timing.measure(contestants, rounds, seed, progress=progress)
        ours, *others = timings
        ratios = [(t.name, timing.speed_ratio(ours.samples, t.samples)) for t in others]
        facts["results"].append(
            {
                "threads": count,
                "threading": threading_facts(program),
                "timings": [_timing_facts(t) for t in timings],
                "ratios": [
                    {"against": name, **asdict(ratio), "verdict": ratio.verdict}
                    for name, ratio in ratios
                ],
            }
        )
    return facts


def _invoke(program: Program, arrays: Sequence[Array]) -> timing.Call:
    """A run of the program on these inputs, without copies where it can be."""
    try:
        views = program.input_views()
    except InputError:
        return functools.partial(program, *arrays)
    for view, array in zip(views, arrays, strict=True):
        view[...] = array
    return program.invoke


def _timing_facts(result: timing.Timing) -> Facts:
    low, high = result.quartiles
    return {
        "name": result.name,
        "median_ms": result.median * 1e3,
        "quartiles_ms": [low * 1e3, high * 1e3],
        "calls_per_sample": result.calls,
        "samples_ms": [s * 1e3 for s in result.samples],
    }
