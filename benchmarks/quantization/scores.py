"""How near a quantized network's outputs are to the float network's, and to the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewise.graph import Array

Facts = dict[str, Any]

EXACT = 120.0
"""Decibel of outputs that differ by less than float32 tells."""


class Judge:
    """Collects outputs of test samples, beside the float network's."""

    def __init__(self) -> None:
        self._signal: Array | None = None
        self._noise: Array | None = None
        self._classes: list[int] = []
        self._agreement: list[float] = []

    def add(self, outputs: Sequence[Array], floats: Sequence[Array]) -> None:
        pairs = [
            (q.astype(np.float64), f.astype(np.float64))
            for q, f in zip(outputs, floats, strict=True)
        ]
        signal = np.array([np.sum(f * f) for _, f in pairs])
        noise = np.array([np.sum((q - f) ** 2) for q, f in pairs])
        self._signal = signal if self._signal is None else self._signal + signal
        self._noise = noise if self._noise is None else self._noise + noise
        q, f = pairs[0]
        self._classes.append(int(q.argmax()))
        self._agreement.append(float(np.mean(q.argmax(-1) == f.argmax(-1))))

    def facts(self) -> Facts:
        """SQNR of all samples together, in decibel, the mean of the outputs'; the greatest
        element of each sample's first output; the mean share of places with the same channel.
        """
        assert self._signal is not None
        assert self._noise is not None
        ratios = [decibel(s, n) for s, n in zip(self._signal, self._noise, strict=True)]
        return {
            "sqnr": float(np.mean(ratios)),
            "agreement": float(np.mean(self._agreement)),
            "classes": self._classes,
        }


def decibel(signal: float, noise: float) -> float:
    """Signal to noise, at most `EXACT`."""
    if not math.isfinite(noise):
        return -EXACT
    return min(EXACT, 10.0 * math.log10(max(signal, 1e-30) / max(noise, 1e-30)))


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, extra = hits / count, z * z / count
    middle = (share + extra / 2) / (1 + extra)
    half = z * math.sqrt(share * (1 - share) / count + extra / (4 * count)) / (1 + extra)
    return middle - half, middle + half


def paired(
    theirs: Sequence[bool], ours: Sequence[bool], z: float = 1.959964
) -> tuple[float, float, float]:
    """ours - theirs as a share of the same samples, and its 95 % interval (normal, paired)."""
    difference = np.asarray(ours, float) - np.asarray(theirs, float)
    mean = float(difference.mean())
    half = z * float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return mean, mean - half, mean + half
