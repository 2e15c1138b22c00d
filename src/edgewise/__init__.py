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
from .codegen import stored
from .custom import register_custom
from .errors import (
    CompileError,
    EdgewiseError,
    GraphError,
    InputError,
    MissingExtraError,
    ModelError,
    RunError,
    UnsupportedError,
)
from .graph import Graph, Shapes
from .runtime import Program
from .version import __version__

__all__ = [
    "CompileError",
    "EdgewiseError",
    "GraphError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "RunError",
    "UnsupportedError",
    "__version__",
    "compile",
    "load",
    "optimize",
    "register_custom",
]


def load(
    source: str | os.PathLike[str] | bytes,
    signature: str | None = None,
    shapes: Shapes | None = None,
) -> Graph:
    """Read a trained network from a file or its bytes; the format is found by content.

    Of a file that was compiled before, the operators are read when they are asked for.

    Args:
        signature: which of the networks that the file names (``graph.metadata["signatures"]``),
            instead of its first.
        shapes: shapes of inputs, by name, instead of the file's.

    Raises:
        InputError: the file cannot be read, has no such signature or input, or cannot take the
            shapes.
        ModelError: it is broken; ``UnsupportedError``: it uses what Edgewise does not have yet.
    """
    return importers.load(source, signature, shapes, stored.outline)


def optimize(graph: Graph) -> Graph:
    """Run the passes of ``edgewise.passes.PIPELINE``; the results stay the same bit for bit.

    Raises:
        GraphError: the graph breaks an invariant of ``edgewise.graph.verify``.
    """
    from .passes import optimize

    return optimize(graph)


def compile(
    graph: Graph,
    *,
    threads: int = 1,
    isa: str | None = None,
    strict: bool = False,
    requantization: str = "float",
    precision: str | None = None,
    max_iterations: int = 1_000_000,
    tuned: bool = True,
) -> Program:
    """Compile a network for this machine.

    Args:
        graph: as loaded; it is optimized here.
        threads: how many run the network, the caller's included.
        isa: an instruction set by name (``edgewise doctor`` lists them), instead of the best.
        strict: refuse a network that needs operators without kernels.
        requantization: how int32 sums become 8 bits, "float" as LiteRT on x86 and ARM processors,
            or "fixed_point" as microcontrollers do.
        precision: "bf16" lets products of float32 round their operands to bfloat16, an error of
            2**-8 of each: those of one row their weights; others both operands, where the
            processor has dot products of bfloat16, and nothing where it has none (docs/float.md).
        max_iterations: the turns after which a loop of the network raises ``RunError``.
        tuned: choose kernels by what was measured on this machine (docs/tuning.md), where it was.

    Raises:
        InputError: an argument is out of range.
        CompileError: the machine does not run ``isa``, code could not be generated, or ``strict``
            names operators without kernels.
        GraphError: the graph breaks an invariant.
        UnsupportedError: its activations take more than 1 GiB at a time.
    """
    return runtime.compile_graph(
        graph,
        threads=threads,
        isa=isa,
        strict=strict,
        requantization=requantization,
        precision=precision,
        max_iterations=max_iterations,
        tuned=tuned,
    )
