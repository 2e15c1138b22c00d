"""What ``edgewise tune`` does: kernels chosen by measurement (docs/tuning.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import edgewise as ew

from ..codegen.target import processor
from ..graph import Graph
from ..timing import speed_ratio
from ..tuner import Change, Tuned
from .facts import Facts, op_name


def tune(
    model: Path,
    graph: Graph,
    *,
    budget: float,
    threads: int,
    isa: str | None = None,
    requantization: str = "float",
    precision: str | None = None,
    again: bool = False,
    save: bool = True,
    progress: Callable[[float, str, float], None] = lambda spent, problem, saved: None,
) -> Facts:
    """The facts of ``edgewise tune``; see ``edgewise.tune``.

    Raises:
        EdgewiseError: as that does.
    """
    found = ew.tune(
        graph,
        budget=budget,
        threads=threads,
        isa=isa,
        requantization=requantization,
        precision=precision,
        again=again,
        save=save,
        progress=progress,
    )
    return {
        "model": str(model),
        "processor": processor(),
        "isa": found.isa,
        "threads": found.threads,
        "budget_s": budget,
        "seconds": found.seconds,
        "problems": found.problems,
        "known": found.known,
        "measured": found.measured,
        "finished": found.finished,
        "changes": [_change_facts(change, found.kept) for change in found.changes],
        "network": _network_facts(found),
        "saved": found.kept and save,
        "kept": found.kept,
    }


def _change_facts(change: Change, kept: bool) -> Facts:
    """``kept``: whether anything of the network's is."""
    inside = change.in_network
    return {
        "problem": change.problem,
        "layers": [{"op": op_name(node.op), "origin": node.origin} for node in change.layers],
        "before": change.before,
        "after": change.after,
        "alone_us": {"before": change.seconds[0] * 1e6, "after": change.seconds[1] * 1e6},
        "network_us": inside and {"before": inside[0] * 1e6, "after": inside[1] * 1e6},
        "kept": change.kept and kept,
    }


def _network_facts(found: Tuned) -> Facts | None:
    """The whole network's median times and their ratio; None where nothing changes."""
    if not found.samples:
        return None
    before, after = zip(*found.samples, strict=True)
    ratio = speed_ratio(after, before)
    return {
        "pairs": len(before),
        "before_ms": sorted(before)[len(before) // 2] * 1e3,
        "after_ms": sorted(after)[len(after) // 2] * 1e3,
        "ratio": asdict(ratio) | {"verdict": ratio.verdict},
    }
