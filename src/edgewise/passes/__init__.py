"""Rewrites of the graph: one visible list of named passes, and ``optimize``, which runs them.

A pass is a function from a Graph to a Graph. It never changes the graph it is given, keeps the
graph's inputs and outputs (names, types and order), and keeps the meaning: the numpy references
before and after give equal arrays, bit for bit where they are integers; ``fuse_qdq`` alone may
change such by one step.

``to_uint8`` or ``to_int8``, as the instruction set wants it, and ``weights_to_int8`` prepare a
graph for the plan; they are in no pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import GraphError
from ..graph import Graph, verify
from .canonicalize import canonicalize
from .fold_constants import fold_constants
from .fold_scale import fold_scale
from .fuse_activation import fuse_activation
from .fuse_dilation import fuse_dilation
from .fuse_elementwise import fuse_elementwise
from .fuse_epilogue import fuse_epilogue
from .fuse_pad import fuse_pad
from .fuse_qdq import fuse_qdq
from .fuse_slice import fuse_slice
from .layout import LayoutReport, Transposition, choose_layout, minimize_transposes
from .quantize_early import quantize_early
from .remove_dead_nodes import remove_dead_nodes
from .remove_no_ops import remove_no_ops
from .signedness import to_int8, to_uint8, weights_to_int8
from .unroll_recurrent import unroll_recurrent

Pass = Callable[[Graph], Graph]

PIPELINE: tuple[Pass, ...] = (
    remove_dead_nodes,
    unroll_recurrent,
    canonicalize,
    fuse_qdq,
    fold_constants,
    remove_no_ops,
    minimize_transposes,
    fuse_slice,
    quantize_early,
    fuse_dilation,
    fuse_pad,
    fold_scale,
    fuse_activation,
    fuse_epilogue,
    fuse_elementwise,
)


def optimize(graph: Graph, pipeline: Sequence[Pass] = PIPELINE) -> Graph:
    """Run the passes in order, verifying the graph before, between and after them.

    Raises:
        GraphError: when the graph breaks an invariant of ``graph.verify``; the message names the
            pass that broke it.
    """
    verify(graph)
    known = set(graph.nodes)
    for step in pipeline:
        before, graph = graph, step(graph)
        if graph is before:
            continue
        try:
            verify(graph, known)
        except GraphError as error:
            raise GraphError(f"after pass {step.__name__}: {error}") from error
        known.update(graph.nodes)
    return graph


__all__ = [
    "PIPELINE",
    "LayoutReport",
    "Pass",
    "Transposition",
    "canonicalize",
    "choose_layout",
    "fold_constants",
    "fold_scale",
    "fuse_activation",
    "fuse_dilation",
    "fuse_elementwise",
    "fuse_epilogue",
    "fuse_pad",
    "fuse_qdq",
    "fuse_slice",
    "minimize_transposes",
    "optimize",
    "quantize_early",
    "remove_dead_nodes",
    "remove_no_ops",
    "to_int8",
    "to_uint8",
    "unroll_recurrent",
    "weights_to_int8",
]
