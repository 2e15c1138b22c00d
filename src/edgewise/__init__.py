"""Edgewise compiles a trained neural network into a small, fast program for the device in hand.

Example:
    import edgewise as ew

    graph = ew.load("mobilenet.tflite")     # print(graph) is readable
    program = ew.compile(graph, threads=2)
    y = program(x)                          # numpy in, numpy out
"""

from __future__ import annotations

import os

from . import importers, runtime
from .errors import (
    CompileError,
    EdgewiseError,
    GraphError,
    InputError,
    MissingExtraError,
    ModelError,
    UnsupportedError,
)
from .graph import Graph
from .runtime import Program
from .version import __version__

__all__ = [
    "CompileError",
    "EdgewiseError",
    "GraphError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "UnsupportedError",
    "__version__",
    "compile",
    "load",
    "optimize",
]


def load(source: str | os.PathLike[str] | bytes) -> Graph:
    """Read a trained network from a file or its bytes; the format is found by content.

    Raises:
        InputError: the file cannot be read.
        ModelError: it is broken; ``UnsupportedError``: it uses what Edgewise does not have yet.
    """
    return importers.load(source)


def optimize(graph: Graph) -> Graph:
    """Run the passes of ``edgewise.passes.PIPELINE``; the results stay the same bit for bit.

    Raises:
        GraphError: the graph breaks an invariant of ``edgewise.graph.verify``.
    """
    from .passes import optimize

    return optimize(graph)


def compile(graph: Graph, *, threads: int = 1, isa: str | None = None) -> Program:
    """Compile a network for this machine.

    Args:
        graph: as loaded; it is optimized here.
        threads: how many run the network, the caller's included.
        isa: an instruction set by name (``edgewise doctor`` lists them), instead of the best.

    Raises:
        InputError: ``threads`` is out of range.
        CompileError: the machine does not run ``isa``, or code could not be generated.
        GraphError: the graph breaks an invariant.
        UnsupportedError: its activations take more than 1 GiB at a time.
    """
    return runtime.compile_graph(graph, threads=threads, isa=isa)
