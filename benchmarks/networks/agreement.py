"""Whether a peer computes the network that Edgewise does: none is timed whose results differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, TensorType

FLOAT = 1e-3
"""Greatest difference of a float output, as a share of its range."""

APPROXIMATE = 0.7
"""Root mean square of the differences where rounding to 8 or 16 bits comes in between, as a share
of the output's standard deviation: another network's results are 1 and more apart.
"""

STEPS = 3
"""Difference of a quantized output that passes in any case, in its steps."""

LEAST_RANGE = 1e-3
"""What counts as the range of an output that has less: a probability near 0, say."""

SAME = 0.9
"""Least share of equal elements in an output of indices or truth values."""


def has_eight_bit_products(graph: Graph) -> bool:
    """Whether weights or activations are integers anywhere."""
    return any(not n.input_types[1].dtype.is_float for n in graph.nodes if n.macs)


def check(
    graph: Graph, ours: Sequence[Array], theirs: Sequence[Array], approximate: bool = False
) -> float:
    """Refuse outputs that are too far from Edgewise's; how far they are.

    That is the greatest of the outputs' differences as shares of their ranges, or where 8 or 16
    bits come in between of their standard deviations; and of indices the share that is not equal.

    Raises:
        InputError: telling which output differs, and how much.
    """
    loose = approximate or has_eight_bit_products(graph)
    shares = [0.0]
    for value, a, b in zip(graph.outputs, ours, theirs, strict=True):
        if a.shape != b.shape:
            raise InputError(f"gives output {value.name} of shape {b.shape}, not {a.shape}")
        shares.append(_difference(value.type, a, b, loose))
    return max(shares)


def _difference(type: TensorType, ours: Array, theirs: Array, loose: bool) -> float:
    """How far an output is; InputError where that is too far."""
    if ours.size == 0:
        return 0.0
    if type.dtype is DType.BOOL or (type.dtype.is_integer and type.quant is None):
        same = float(np.mean(ours == theirs))
        _require(same >= SAME, f"{same:.0%} of the elements are equal")
        return 1.0 - same
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    difference = np.abs(a - b)
    _require(bool(np.isfinite(difference).all()), "not all of it is finite")
    is_near = type.quant is not None and float(difference.max()) <= STEPS
    if loose:
        spread = float(a.std()) or max(float(np.abs(a).max()), LEAST_RANGE)
        share = float(np.sqrt(np.mean(difference**2))) / spread
        _require(is_near or share <= APPROXIMATE, f"rms difference {share:.2g} of its spread")
    else:
        scale = max(float(np.ptp(a)), float(np.abs(a).max()), LEAST_RANGE)
        share = float(difference.max()) / scale
        _require(is_near or share <= FLOAT, f"largest difference {share:.2g} of its range")
    return share


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise InputError(f"gives another result: {found}")
