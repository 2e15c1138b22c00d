"""What ``edgewise convert`` does: a network as a .tflite file, proved by LiteRT (docs/json.md)."""

from __future__ import annotations

import contextlib
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import exporters
from ..dtype import DType
from ..errors import InputError
from ..graph import Array, Graph
from ..importers import format_of
from . import peers
from .differences import random_inputs
from .facts import AS_IT_IS, DEFAULT, Facts, Loading, Step, as_list, finite

FLOAT_TOLERANCE, INTEGER_TOLERANCE = 1e-3, 0.05
"""How far LiteRT's outputs may be off, as a share of their range: of a network of floats, and of
one with 8-bit numbers inside, where one step early on becomes several at the end."""

QUANTIZED = (DType.INT8, DType.UINT8, DType.INT16)

EDGEWISE = "Edgewise"

Run = Callable[[Sequence[Array]], Sequence[Array]]


def convert(
    model: Path,
    output: Path,
    *,
    loading: Loading = AS_IT_IS,
    verify: bool | None = None,
    count: int = 3,
    seed: int = 0,
    tolerance: float | None = None,
    progress: Step = lambda: None,
) -> Facts:
    """Write a model as a .tflite file.

    With ``verify``, or where it is None and LiteRT is installed, LiteRT runs what is to be written
    on random inputs first; where an output differs by more than ``tolerance``, nothing is written.

    Raises:
        EdgewiseError: the model or a path does not fit, or the file cannot have an operator.
        MissingExtraError: with ``verify``, LiteRT is not installed.
    """
    name = exporters.checked(output)
    graph = loading.graph(model)
    prepared = exporters.prepare(graph)
    content = exporters.to_tflite(prepared)
    if verify is None:
        verify = has_litert()
    verified = None
    if verify:
        inputs = random_inputs(graph, count, seed)
        verified = _verified(model, graph, content, loading.signature, inputs, tolerance, progress)
        verified["inputs"] = count
    fits = verified is None or verified["within_tolerance"]
    if fits:
        exporters.write(content, name)
    operators = Counter(node.op.name for node in prepared.nodes)
    return {
        "model": str(model),
        "format": format_of(model).name,
        "output": name,
        "written": fits,
        "model_bytes": model.stat().st_size,
        "output_bytes": len(content),
        "constant_bytes": sum(v.type.nbytes for v in prepared.constants),
        "nodes": len(graph.nodes),
        "operators": dict(operators.most_common()),
        "verified": verified,
    }


def _verified(
    model: Path,
    graph: Graph,
    content: bytes,
    signature: str | None,
    inputs: Iterable[Sequence[Array]],
    tolerance: float | None,
    progress: Step,
) -> Facts:
    """How far LiteRT's outputs are from those of the model."""
    if tolerance is None:
        tolerance = tolerance_of(graph)
    with contextlib.ExitStack() as stack:
        against, run = _expected(model, graph, signature, stack)
        found = in_litert(content, graph, run, inputs, tolerance, progress)
    return {"against": against, **found}


def in_litert(
    content: bytes,
    graph: Graph,
    run: Run,
    inputs: Iterable[Sequence[Array]],
    tolerance: float,
    progress: Step = lambda: None,
) -> Facts:
    """How far LiteRT's outputs for a file are from what ``run`` gives, the outputs of ``graph``.

    Raises:
        InputError: LiteRT refuses the file.
        MissingExtraError: it is not installed.
    """
    with _refusals():
        peer = peers.LiteRT(content, shapes=[v.type.shape for v in graph.inputs])
    shares = [0.0] * len(graph.outputs)
    for arrays in inputs:
        expected = run(arrays)
        with _refusals():
            pairs = zip(expected, peer.run(arrays), strict=True)
        shares = [max(a, share(*pair)) for a, pair in zip(shares, pairs, strict=True)]
        progress()
    outputs = [
        {"name": v.name, "share": finite(s)} for v, s in zip(graph.outputs, shares, strict=True)
    ]
    return {
        "runtime": peer.name,
        "tolerance": tolerance,
        "within_tolerance": max(shares) <= tolerance,
        "share": finite(max(shares)),
        "outputs": outputs,
    }


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Where LiteRT refuses what was to be written, an error that says so."""
    try:
        yield
    except InputError as error:
        raise InputError(
            f"--verify: nothing was written, for LiteRT refuses it: {error}; --no-verify writes it"
        ) from None


def _expected(
    model: Path, graph: Graph, signature: str | None, stack: contextlib.ExitStack
) -> tuple[str, Run]:
    """What computes the model's own outputs: LiteRT of a .tflite model that it takes, or Edgewise.

    ``stack`` closes it.
    """
    if format_of(model).name == "TensorFlow Lite":
        with contextlib.suppress(InputError):
            peer = peers.open_peer("litert", model, graph, 1, signature)
            return peer.name, peer.run
    program = stack.enter_context(contextlib.closing(DEFAULT.program(graph, 1)))
    return EDGEWISE, lambda arrays: as_list(program(*arrays))


def tolerance_of(graph: Graph) -> float:
    """How far LiteRT's outputs may be off, if nothing else is said."""
    values = (v for node in graph.nodes for v in (*node.inputs, *node.outputs))
    quantized = any(v.type.dtype in QUANTIZED and v.type.quant is not None for v in values)
    return INTEGER_TOLERANCE if quantized else FLOAT_TOLERANCE


def has_litert() -> bool:
    return importlib.util.find_spec("ai_edge_litert") is not None


def share(expected: Array, found: Array) -> float:
    """The greatest difference as a share of the range that the expected values and 0 span.

    It is infinite where shapes or dtypes differ, or only one is finite.
    """
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        return np.inf
    if expected.dtype == object or expected.dtype == np.bool_:
        return 0.0 if np.array_equal(expected, found) else np.inf
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    x, y = expected.astype(wide), found.astype(wide)
    odd = ~np.isfinite(x) | ~np.isfinite(y)
    if not np.array_equal(x[odd], y[odd], equal_nan=True):
        return np.inf
    difference = float(np.abs(x[~odd] - y[~odd]).max(initial=0.0))
    sizes = np.append(np.abs(x[~odd]) if wide is np.complex128 else x[~odd], 0.0)
    span = float(np.ptp(sizes))
    return difference / span if span else np.inf if difference else 0.0
