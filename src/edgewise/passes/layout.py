"""In which order the axes of every tensor are stored, so that the fewest bytes are transposed.

Formats that keep images as NCHW give graphs in which every spatial operator, which is NHWC, stands
between two TRANSPOSEs. Here a TRANSPOSE is no operator: the values that TRANSPOSEs connect are
*one tensor* of several names, and every node that reads or writes it wants an order of its axes.
Most nodes can run in several (`layout_forms`); which is best for all is one minimization
(`layout_choice`), whose lower bound proves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..graph import Graph, Node, TensorType, Value
from ..ops import Reshape, Transpose
from .canonicalize import canonicalize
from .layout_choice import LARGEST_TABLE, Factor, minimize
from .layout_forms import (
    Config,
    Form,
    Perm,
    constant,
    form_of,
    permuted_constant,
    permuted_type,
    presented,
)
from .remove_no_ops import remove_no_ops
from .rewrite import drop_dead, fresh_name

MAX_CONFIGS = 24
"""Orders of a node that are considered."""


@dataclass(frozen=True)
class Transposition:
    """A TRANSPOSE that remains: what it moves, and which two ends want different orders."""

    value: str
    shape: tuple[int, ...]
    perm: tuple[int, ...]
    nbytes: int
    written: str
    read: str


@dataclass(frozen=True)
class LayoutReport:
    """What TRANSPOSEs remain of a graph, and why.

    Attributes:
        before: bytes that the graph's TRANSPOSEs moved.
        remaining: the TRANSPOSEs that are left.
        bound: bytes below which no choice of orders can go.
    """

    before: int
    remaining: tuple[Transposition, ...]
    bound: int

    @property
    def nbytes(self) -> int:
        """Bytes that are transposed."""
        return sum(t.nbytes for t in self.remaining)

    @property
    def proven(self) -> bool:
        """Whether no choice of orders transposes fewer bytes."""
        return self.nbytes == self.bound


def minimize_transposes(graph: Graph) -> Graph:
    """Store every tensor in the order of axes that leaves the fewest bytes to transpose.

    What reads and writes the order of the file stays as it is: inputs, outputs, states and the
    operators that know one order only. Constants are transposed here, and weights that meet a
    flattened image take its elements in another order.

    Given:
        %b = CONV_2D(%a, @w)
        %c = TRANSPOSE[perm=(0, 3, 1, 2)](%b)
        %d = ADD(%c, @bias)
        %e = TRANSPOSE[perm=(0, 2, 3, 1)](%d)
        %f = CONV_2D(%e, @w2)
    Result:
        %b = CONV_2D(%a, @w)
        %d.2 = ADD(%b, @bias)
        %f = CONV_2D(%d.2, @w2)
    """
    if not any(isinstance(node.op, Transpose) for node in graph.nodes):
        return graph
    return choose_layout(graph)[0]


def choose_layout(graph: Graph) -> tuple[Graph, LayoutReport]:
    """`minimize_transposes`, and what it found."""
    layout = _Layout(graph)
    best, asis, bound = layout.solve()
    before = sum(
        _moved_bytes(node) for node in graph.nodes if isinstance(node.op, Transpose)
    )
    chosen = best
    result = graph
    nbytes = sum(t.nbytes for t in layout.copies(best)) + layout.kept
    if nbytes < before or layout.cost(best) < layout.cost(asis):
        result = remove_no_ops(canonicalize(layout.emit(best)))
    report = LayoutReport(before, (*layout.copies(chosen), *layout.opaque()), bound + layout.kept)
    return result, report
