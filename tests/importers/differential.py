"""A file in LiteRT, by the references and as programs of one and two threads: what differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import random_arithmetic
import random_indexing
import random_moving
import random_products
import random_recurrent
import tflite
from random_draw import GENERATORS, Array, Draw, Trial
from random_networks import draw_network

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Graph
from tflite_builder import run_litert

FAMILIES = (random_arithmetic, random_indexing, random_moving, random_products, random_recurrent)
"""They fill ``GENERATORS``."""

CLOSE, KERNEL = 1e-5, 2e-6
"""How far floats may be from LiteRT's, and a program's from the reference's."""

STEPS = 3
"""How far integers may be from LiteRT's at the end of a network: some operators are a step off."""

EIGHT_BIT = (DType.INT8, DType.UINT8)

EXACT = {
    *("BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS"),
    *("DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP", "FILL", "GATHER", "GATHER_ND", "MATRIX_DIAG"),
    *("MATRIX_SET_DIAG", "MIRROR_PAD", "ONE_HOT", "PACK", "PAD", "PADV2", "RESHAPE", "REVERSE_V2"),
    *("REVERSE_SEQUENCE", "SELECT", "SELECT_V2", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH"),
    *("SPARSE_TO_DENSE", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE"),
    *("UNPACK", "ABS", "NEG", "RELU", "EQUAL", "NOT_EQUAL", "LESS", "GREATER"),
}
"""Operators that LiteRT computes as defined for infinities, NaN and denormal numbers too."""


def draw(name: str, seed: int) -> Trial:
    return GENERATORS[name](Draw((getattr(tflite.BuiltinOperator, name), seed)))


def difference(found: Array, expected: Array, tolerance: float, least: float | None) -> str:
    """How two arrays differ, or nothing. Integers differ by 1 at least.

    Floats may be off by ``tolerance`` of themselves and, where ``least`` is given, of the greatest
    of ``expected`` and ``least``.
    """
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return f"{found.dtype}{found.shape}, not {expected.dtype}{expected.shape}"
    if found.dtype.kind == "c":
        pairs = ((found.real, expected.real), (found.imag, expected.imag))
        return next((d for a, b in pairs if (d := difference(a, b, tolerance, least))), "")
    if found.dtype.kind != "f":
        bad = found != expected
    else:
        x, y = found.astype(np.float64), expected.astype(np.float64)
        tolerance = 1e-3 if found.dtype == np.float16 else tolerance
        finite = np.abs(y[np.isfinite(y)])
        scale = 0.0 if least is None else max(least, finite.max(initial=0.0))
        with np.errstate(all="ignore"):
            near = np.abs(x - y) <= tolerance * (np.abs(y) + scale) + 1e-37
            over = (np.abs(x) > 3.4e38) & (np.abs(y) > 3.4e38) & (np.sign(x) == np.sign(y))
        bad = ~(near | over | (x == y) | (np.isnan(x) & np.isnan(y)))
    if not bad.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{bad.sum()} of {bad.size}, as {found[place]}, not {expected[place]} at {place}"


def steps(found: Array, expected: Array) -> int:
    """How far integers are apart."""
    if found.shape != expected.shape or found.dtype.kind not in "iu":
        return 1 << 64
    return int(np.abs(found.astype(object) - expected.astype(object)).max(initial=0))


def reference(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    values = dict(zip(graph.inputs, arrays, strict=True))
    values.update((state.before, state.initial) for state in graph.states)
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    return [values[v] if v.data is None else v.data for v in graph.outputs]


def programs(graph: Graph, arrays: Sequence[Array], what: str) -> list[Array]:
    """The outputs of a program, which are alike when it runs again and with two threads."""
    results: list[list[Array]] = []
    for threads in (1, 2):
        program = ew.compile(graph, threads=threads)
        for _ in range(2):
            program.reset()
            y: Any = program(*arrays)
            results.append(list(y) if isinstance(y, tuple) else [y])
        program.close()
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            assert a.dtype == object or a.tobytes() == b.tobytes(), f"{what}: runs differ"
    return results[0]


def check(name: str, seed: int) -> bool:
    """Require a trial to agree everywhere; False where LiteRT does not run it."""
    trial = draw(name, seed)
    what = f"{name} {seed}: {[t and str(t.type) for t in trial.inputs]}, {trial.fields}"
    try:
        full = all(a.size for a in trial.arrays)  # XNNPACK leaves shapes of empty results unset
        shapes = [y.shape for y in run_litert(trial.file(), trial.arrays, delegate=full)]
        content = trial.file(shapes)
        expected = run_litert(content, trial.arrays, delegate=full)
    except (RuntimeError, ValueError):
        return False
    graph = ew.load(content)
    defined = reference(graph, trial.arrays)
    found = programs(graph, trial.arrays, what)
    least = None
    if trial.scaled:
        sizes = (np.abs(a[np.isfinite(a)]) for a in trial.arrays if a.dtype.kind in "fc")
        least = max((float(s.max(where=s < 1e30, initial=0.0)) for s in sizes), default=0.0)
    for y, rule, peer in zip(found, defined, expected, strict=True):
        wrong = difference(y, rule, KERNEL, least)
        assert not wrong, f"{what}: the program gives {wrong}, which is the reference's"
        if trial.odd and name not in EXACT:
            continue
        wrong = difference(rule, peer, CLOSE, 0.1 if least is None else max(least, 0.1))
        near = trial.step > 0 and steps(rule, peer) <= trial.step
        assert near or not wrong, f"{what}: the reference gives {wrong}, which is LiteRT's"
    return True


def check_network(seed: int) -> bool:
    """Require a network to agree everywhere; False where LiteRT does not run it.

    Errors of floats add up: they are relative to the greatest number of the network. Dynamic
    quantization rounds what differs a little to different integers.
    """
    network = draw_network(seed)
    what = f"network {seed}: {' '.join(network.names)}"
    graph = ew.load(network.content)
    values = dict(zip(graph.inputs, network.arrays, strict=True))
    dynamic = False
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
        types = node.input_types[:2]
        product = len(types) == 2 and not isinstance(node.op, ops.EmbeddingLookup | ops.Gather)
        dynamic |= product and types[0].dtype.is_float and types[1].dtype in EIGHT_BIT
    floats = (v[np.isfinite(v)] for v in values.values() if v.dtype.kind == "f")
    greatest = max((float(np.abs(v).max(initial=1.0)) for v in floats), default=1.0)
    defined = [values[v] if v.data is None else v.data for v in graph.outputs]
    found = programs(graph, network.arrays, what)
    for y, rule, exact in zip(found, defined, network.exact, strict=True):
        tolerance = 5e-2 if dynamic else KERNEL if exact else 2 * CLOSE
        wrong = difference(y, rule, tolerance, greatest)
        assert not wrong, f"{what}: the program gives {wrong}, which is the reference's"
    try:
        expected = run_litert(network.content, network.arrays)
    except (RuntimeError, ValueError):
        return False
    for rule, peer in zip(defined, expected, strict=True):
        wrong = difference(rule, peer, 5e-2 if dynamic else 1e-3, greatest)
        near = steps(rule, peer) <= STEPS
        assert near or not wrong, f"{what}: the reference gives {wrong}, which is LiteRT's"
    return True
