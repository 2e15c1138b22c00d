"""What ``edgewise profile`` does: each step's time against the machine's limits (docs/json.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..codegen import roofline
from ..codegen.roofline import Roofline
from ..codegen.target import processor
from ..data import images
from ..errors import InputError
from ..graph import Array, Graph
from ..plan.work import Work
from ..profiling import Profile, StepProfile, runs_for
from .differences import random_inputs
from .facts import Facts, Step, op_name, threading_facts

if TYPE_CHECKING:
    from ..runtime import Program


@dataclass(frozen=True)
class Limit:
    """The least time that a step can take on this machine, and by what."""

    seconds: float
    by: str


def profile(
    model: Path,
    program: Program,
    arrays: Sequence[Array],
    runs: int | None = None,
    renew: bool = False,
    progress: Step = lambda: None,
) -> Facts:
    """Time a network's steps on these inputs, against what this machine reaches at most.

    ``renew``: measure the machine, even if it was measured before.

    Raises:
        EdgewiseError: as `Program.profile` does.
    """
    found = program.profile(*arrays, runs=runs, progress=progress)
    kinds = [kind for step in found.steps for kind, _ in step.work.products]
    limits = roofline.measured(program.isa, kinds, program.threads, renew)
    whole = program.plan.arena_bytes + program.plan.constant_bytes
    steps = [_step_facts(i, step, found, limits, whole) for i, step in enumerate(found.steps)]
    known = [s for s in steps if s["roof_ms"] is not None]
    taken, roofs = (sum(s[field] for s in known) for field in ("ms", "roof_ms"))
    return {
        "model": str(model),
        "processor": processor(),
        "isa": program.isa.name,
        "threads": program.threads,
        "threading": threading_facts(program),
        "runs": found.runs,
        "untimed_ms": found.untimed * 1e3,
        "timed_ms": found.seconds * 1e3,
        "steps_ms": sum(s.seconds for s in found.steps) * 1e3,
        "outside_ms": found.outside * 1e3,
        "of_roof": roofs / taken if taken else None,
        "macs": sum(round(s.work.macs * s.calls) for s in found.steps),
        "peaks": [{"arithmetic": name, "gmacs": rate / 1e9} for name, rate in limits.peaks.items()],
        "memory": [
            {"name": m.name, "capacity_bytes": m.capacity, "gb_per_s": m.bytes_per_second / 1e9}
            for m in limits.memory
        ],
        "steps": steps,
    }


def inputs_of(graph: Graph, files: Sequence[Path], seed: int) -> list[Array]:
    """The network's inputs from files; without files random ones.

    Raises:
        InputError: the files are not those of one call, or do not fit.
    """
    if not files:
        (arrays,) = random_inputs(graph, 1, seed)
        return arrays
    sets = images.input_files(graph, files)
    if len(sets) > 1:
        raise InputError(f"{len(files)} input files are {len(sets)} calls; profile times one")
    return images.load_inputs(graph, sets[0])


def usual_runs(program: Program, arrays: Sequence[Array]) -> int:
    """How many calls `Program.profile` would time; a few calls find out.

    Raises:
        EdgewiseError: as `Program.profile` does.
    """
    return runs_for(program.profile(*arrays, runs=1).untimed)


def limit(work: Work, limits: Roofline, whole: int) -> Limit:
    """The roof of a step, of a network whose operands take ``whole`` bytes.

    Multiply-adds run at their peak, operands come from the nearest memory that can hold them:
    weights wait for the next call behind all else, other operands were written by a step before.
    The slower of the two counts.
    """
    near, far = limits.level(work.activation_bytes), limits.level(whole)
    moving = work.activation_bytes / near.bytes_per_second
    moving += work.weight_bytes / far.bytes_per_second
    by = far if work.weight_bytes > work.activation_bytes else near
    computing = sum(macs / limits.peaks[kind.name] for kind, macs in work.products)
    if moving >= computing:
        return Limit(moving, by.name)
    return Limit(computing, arithmetic_of(work))


def arithmetic_of(work: Work) -> str:
    """What a step multiplies with, with + between; "" for nothing."""
    return "+".join(dict.fromkeys(kind.name for kind, _ in work.products))


def _step_facts(
    index: int, step: StepProfile, found: Profile, limits: Roofline, whole: int
) -> Facts:
    work, calls, seconds = step.work, step.calls, step.seconds
    roof = limit(work, limits, whole)
    known = step.kernel is not None and seconds > 0
    return {
        "index": index,
        "op": ", ".join(op_name(node.op) for node in step.nodes),
        "origin": "+".join(node.origin for node in step.nodes),
        "graph": step.graph,
        "kernel": step.kernel,
        "ms": seconds * 1e3,
        "share": seconds / found.seconds,
        "calls": calls,
        "macs": work.macs,
        "direct": work.direct,
        "bytes": work.nbytes,
        "weight_bytes": work.weight_bytes,
        "gmacs": work.macs * calls / seconds / 1e9 if seconds > 0 else None,
        "gb_per_s": work.nbytes * calls / seconds / 1e9 if seconds > 0 else None,
        "arithmetic": arithmetic_of(work) or None,
        "roof_ms": roof.seconds * calls * 1e3 if known else None,
        "bound": roof.by if known else None,
        "of_roof": roof.seconds * calls / seconds if known else None,
    }
