"""Strided views of memory, and the loop over the work units of kernels that walk them.

A view is an address and the strides in bytes of its outer dimensions, outermost first; inside them
lies a run of ``n`` elements. Operand ``x`` has the fields ``x``, ``x_0``, ``x_1``, ...; strides may
be 0 (the operand is broadcast) or negative. All operands share the extents of the outer dimensions
and ``n``. A unit is one block of ``block`` elements of one run, the last of a run may be shorter:
``units`` counts them. A flat tensor has extents of 1 and any strides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .ir import Kernel, Operand, Type, Value, index, ptr

OUTER = 3
"""Outer dimensions of most kernels."""

SLACK = 64
"""Bytes past the end of an operand that a kernel may read."""


def units(extents: Sequence[int], n: int, block: int) -> int:
    """Work units of runs of ``n`` elements, in blocks of ``block``, over the outer extents."""
    return math.prod(extents) * -(-n // block)


def fields(*operands: str, outer: int = OUTER) -> dict[str, Type]:
    """The fields of views, and the extents d1, d2, ..., n and block, all at least 1.

    The outermost extent has no field: the number of units implies it.
    """
    sizes = [f"d{i}" for i in range(1, outer)] + ["n", "block"]
    strides = [f"{name}_{i}" for name in operands for i in range(outer)]
    return {**dict.fromkeys(operands, ptr), **dict.fromkeys(strides + sizes, index)}


@dataclass(frozen=True)
class Block:
    """One work unit: the address of its first element in each operand, and how many it has."""

    at: Mapping[str, Value]
    count: Value


@contextmanager
def blocks(k: Kernel, operands: Mapping[str, Operand], outer: int = OUTER) -> Iterator[Block]:
    """A loop over the units. ``operands``: the bytes from one element of a run to the next."""
    per_run = (k["n"] + k["block"] - 1) // k["block"]
    with grid(k, [*(k[f"d{i}"] for i in range(1, outer)), per_run]) as at:
        first = at[outer] * k["block"]
        addresses = {}
        for name, step in operands.items():
            offset = first * step
            for i in range(outer):
                offset = offset + at[i] * k[f"{name}_{i}"]
            addresses[name] = k[name] + offset
        yield Block(addresses, (k["n"] - first).min(k["block"]))


@contextmanager
def grid(k: Kernel, extents: Sequence[Value]) -> Iterator[list[Value]]:
    """A loop over the units; yields a unit's coordinates, outermost first.

    ``extents``: of all dimensions but the outermost.
    """
    rest, coordinates = k.begin, []
    for extent in reversed(extents):
        coordinates.append(k.var(rest % extent))
        rest = rest // extent
    coordinates.append(k.var(rest))
    with k.loop(k.begin, k.end):
        yield [c.value for c in reversed(coordinates)]
        carry = k.const(1, index)
        for c, extent in zip(coordinates, reversed(extents), strict=False):
            following = c.value + carry
            wraps = following.compare("eq", extent)
            c.value = wraps.select(k.const(0, index), following)
            carry = wraps.to(index)
        coordinates[-1].value = coordinates[-1].value + carry
