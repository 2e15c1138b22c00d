"""Whether a peer computes the network that Edgewise does: none is timed whose results differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, TensorType

FLOAT = 1e-3
"""Greatest difference of a float output, as a share of its range."""

APPROXIMATE = 0.05
"""Root mean square of the differences where rounding to 8 or 16 bits comes in between, likewise."""

STEPS = 3
"""Difference of a quantized output that passes in any case, in its steps."""

SAME = 0.9
"""Least share of equal elements in an output of indices or truth values."""


def has_eight_bit_products(graph: Graph) -> bool:
    """Whether weights or activations are integers anywhere."""
    return any(not n.input_types[1].dtype.is_float for n in graph.nodes if n.macs)


def check(
    graph: Graph, ours: Sequence[Array], theirs: Sequence[Array], approximate: bool = False
) -> None:
    """Refuse outputs that are too far from Edgewise's.

    Raises:
        InputError: telling which output differs, and how much.
    """
    loose = approximate or has_eight_bit_products(graph)
    for value, a, b in zip(graph.outputs, ours, theirs, strict=True):
        if a.shape != b.shape:
            raise InputError(f"gives output {value.name} of shape {b.shape}, not {a.shape}")
        found = _difference(value.type, a, b, loose)
        if found is not None:
            raise InputError(f"gives another result: {found}")


def _difference(type: TensorType, ours: Array, theirs: Array, loose: bool) -> str | None:
    """What is wrong with an output, in words."""
    if ours.size == 0:
        return None
    if type.dtype is DType.BOOL or (type.dtype.is_integer and type.quant is None):
        same = float(np.mean(ours == theirs))
        return None if same >= SAME else f"{same:.0%} of the elements are equal"
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    scale = max(float(np.ptp(a)), float(np.abs(a).max()), 1e-30)
    difference = np.abs(a - b)
    if not np.isfinite(difference).all():
        return "not all of it is finite"
    if type.quant is not None and float(difference.max()) <= STEPS:
        return None
    if loose:
        share, limit, kind = float(np.sqrt(np.mean(difference**2))) / scale, APPROXIMATE, "rms"
    else:
        share, limit, kind = float(difference.max()) / scale, FLOAT, "largest"
    return None if share <= limit else f"{kind} difference {share:.2g} of its range"
