"""Which steps threads divide, by the time that it is expected to save (docs/threads.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .model import HostStep, Step

STEP_SECONDS = 0.5e-6
"""What it costs to divide a step: telling other threads, waiting for the last."""

WORTH_SECONDS = 1.5e-6
"""A step of less time is not divided: what it computes then lies in one thread's cache."""

CALL_SECONDS = 2e-6
"""What a call must save for other threads to be told of it at all."""


def divide(steps: Sequence[Step | HostStep]) -> list[Step | HostStep]:
    """The steps, those that are not worth dividing as one chunk."""
    divided = {i: _seconds(step) for i, step in enumerate(steps) if _is_worth_it(step)}
    if sum(seconds / 2 - STEP_SECONDS for seconds in divided.values()) < CALL_SECONDS:
        divided = {}
    return [
        replace(step, chunk=step.units) if isinstance(step, Step) and i not in divided else step
        for i, step in enumerate(steps)
    ]


def _is_worth_it(step: Step | HostStep) -> bool:
    if not isinstance(step, Step) or step.units == step.chunk:
        return False
    return _seconds(step) >= WORTH_SECONDS


def _seconds(step: Step | HostStep) -> float:
    """Estimated, on one thread; of a fused step, of all its parts."""
    assert isinstance(step, Step)
    return sum(part.seconds for part in step.parts) or step.seconds
