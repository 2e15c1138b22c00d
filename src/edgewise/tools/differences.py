"""Tensor by tensor against another runtime: where the first difference arises, and how great.

Edgewise's side of a tensor is the numpy reference of the graph as imported. The program's outputs
are compared with that reference as well; where only integers are computed, they must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import InputError
from ..graph import Array, Graph, Node, TensorType, Value
from ..ops import Dequantize, Quantize, Reshape, Transpose

FLOAT_STEP = 1e-4
"""A step of a float tensor, as a share of the range of its values and 0."""

ROUNDING = 1e-6
"""The least step of a float tensor, as a share of the greatest magnitude of its operands: what is
left where they cancel is their rounding."""

Run = Callable[[Sequence[Array]], Sequence[Array]]
"""From a set of inputs to arrays, each in the model's order."""

Tensors = Callable[[Sequence[Array]], Mapping[str, Array]]
"""From a set of inputs to computed tensors by name."""


@dataclass(frozen=True)
class Difference:
    """How one tensor differs. ``steps`` is the greatest difference in quantization steps.

    For integers a step is 1. For the real values of a DEQUANTIZE it is the scale of its input,
    for other numbers `FLOAT_STEP` of the range of the tensor's values and 0, or `ROUNDING` of the
    operands where that is more; from infinity to not a number it is one step. ``where``, ``ours``
    and ``theirs`` tell the element that differs most (of the first input that shows it).
    """

    tensor: str
    op: str
    type: TensorType
    elements: int
    differing: int
    steps: float
    where: tuple[int, ...] = ()
    ours: float = 0.0
    theirs: float = 0.0

    def plus(self, other: Difference) -> Difference:
        """This difference and another of the same tensor, for another input."""
        worse = other if other.steps > self.steps else self
        return replace(
            worse,
            elements=self.elements + other.elements,
            differing=self.differing + other.differing,
        )


@dataclass(frozen=True)
class Comparison:
    """The outcome for all inputs: a row a tensor in order of computation, a row an output.

    ``program`` holds a row an output, of the program against the reference; ``exact`` tells whether
    nothing but integers is computed, so that they must be equal.
    """

    tensors: tuple[Difference, ...]
    outputs: tuple[Difference, ...]
    missing: tuple[str, ...]
    program: tuple[Difference, ...]
    exact: bool

    @property
    def first(self) -> Difference | None:
        """The first tensor that differs at all."""
        return next((d for d in (*self.tensors, *self.outputs) if d.differing), None)

    @property
    def program_steps(self) -> float:
        """By how many steps the program differs from the reference."""
        return max((d.steps for d in self.program), default=0.0)

    def beyond(self, tolerance: float) -> tuple[Difference, ...]:
        """The tensors and outputs that differ by more than ``tolerance`` steps."""
        return tuple(d for d in (*self.tensors, *self.outputs) if d.steps > tolerance)

    def program_is_right(self, tolerance: float) -> bool:
        """Whether the program gives the reference's outputs: to the bit, or within steps."""
        return self.program_steps <= (0.0 if self.exact else tolerance)


def compare(
    graph: Graph,
    inputs: Sequence[Sequence[Array]],
    program: Run,
    peer: Run,
    peer_tensors: Tensors,
    *,
    alone: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare every tensor for every set of inputs.

    The sets are calls in a row: variables have the values that the set before left, on all sides.

    Args:
        graph: as imported, before any pass.
        program: Edgewise's outputs for a set of inputs.
        peer: the other runtime's outputs.
        peer_tensors: the tensors that it computes, by the names that the graph has for them; of a
            runtime that does not show them, none.
        alone: compute each operator from the peer's own tensors, so that differences do not add
            up on their way through the network; the outputs of whole runs are then left out.
        progress: called after each set of inputs.

    Raises:
        InputError: the peer's tensors are not those of the graph.
    """
    rows: dict[str, dict[str, Difference]] = {"tensors": {}, "outputs": {}, "program": {}}
    missing: dict[str, None] = {}
    makers = graph.producers()
    states = {state.before: state.initial for state in graph.states}
    for arrays in inputs:
        given = peer_tensors(arrays)
        theirs = {v: given[v.name] for v in makers if v.name in given}
        if given and not theirs:
            raise InputError(f"the peer computes {len(given)} tensors; none is the graph's")
        start = dict(zip(graph.inputs, arrays, strict=True)) | states
        ours = dict(start)
        for node, results in _reference(graph, dict(start), theirs if alone else {}):
            for value, array in zip(node.outputs, results, strict=True):
                if value in theirs:
                    least = least_step(node, ours)
                    by = computing(node, makers)
                    _add(rows["tensors"], difference(value, by, array, theirs[value], least))
                else:
                    missing[value.name] = None
                ours[value] = array
        if alone:
            for node, results in graph.reference(start):
                ours.update(zip(node.outputs, results, strict=True))
        outputs = program(arrays)
        for value, array in zip(graph.outputs, outputs, strict=True):
            expected = value.data if value.data is not None else ours[value]
            maker = _maker(value, makers)
            least = least_step(maker, ours)
            _add(rows["program"], difference(value, maker, array, expected, least))
        if not alone:
            for value, array, other in zip(graph.outputs, outputs, peer(arrays), strict=True):
                maker = _maker(value, makers)
                least = least_step(maker, ours)
                _add(rows["outputs"], difference(value, maker, array, other, least))
        states = {
            s.before: ours[s.after] if s.after.data is None else s.after.data for s in graph.states
        }
        progress()
    return Comparison(
        **{kind: tuple(found.values()) for kind, found in rows.items()},
        missing=tuple(missing),
        exact=not computes_floats(graph),
    )


def alone(
    graph: Graph, start: Mapping[Value, Array], theirs: Mapping[Value, Array]
) -> Iterator[tuple[Value, Array, Difference]]:
    """Each tensor in ``theirs`` as the references compute it from the tensors of ``theirs`` before
    it, and the difference.

    Args:
        start: the arrays of the graph's sources.
    """
    ours = dict(start)
    for node, results in _reference(graph, dict(start), theirs):
        for value, array in zip(node.outputs, results, strict=True):
            ours[value] = theirs.get(value, array)
            if value in theirs:
                least = least_step(node, ours)
                yield value, array, difference(value, node, array, theirs[value], least)


def computing(node: Node, makers: Mapping[Value, Node]) -> Node:
    """The node that computes what ``node`` gives: of those that one operator of the file became,
    the last that does more than rename or transpose.
    """
    found = node
    while isinstance(found.op, (Reshape, Transpose)):
        before = makers.get(found.inputs[0])
        if before is None or before.origin != node.origin:
            return node
        found = before
    return found


def computes_floats(graph: Graph) -> bool:
    """Whether a node calculates with floats, rather than converting them."""
    return any(
        t.dtype.is_float or t.dtype in (DType.COMPLEX64, DType.COMPLEX128)
        for node in graph.nodes
        if not isinstance(node.op, (Quantize, Dequantize))
        for t in node.input_types
    )


def difference(
    value: Value, node: Node | None, ours: Array, theirs: Array, least: float = 0.0
) -> Difference:
    """How ``ours`` differs from ``theirs``, two computations of ``value`` by ``node``.

    A step of floats is at least ``least``.
    """
    op = node.op.name if node else ""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return Difference(value.name, op, value.type, ours.size, ours.size, float("inf"))
    differs = ours != theirs
    if ours.dtype.kind in "fc":
        differs &= ~(np.isnan(ours) & np.isnan(theirs))
    count = int(np.count_nonzero(differs))
    if not count:
        return Difference(value.name, op, value.type, ours.size, 0, 0.0)
    distance = np.where(differs, _distance(ours, theirs) / _step(node, theirs, least), 0.0)
    distance = np.nan_to_num(distance, nan=np.inf, posinf=np.inf)
    if ours.dtype.kind in "fc":
        mixed = np.isnan(ours) != np.isnan(theirs)
        distance[mixed & ~np.isfinite(ours) & ~np.isfinite(theirs)] = 1.0
    where = tuple(int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape))
    return Difference(
        tensor=value.name,
        op=op,
        type=value.type,
        elements=ours.size,
        differing=count,
        steps=float(distance[where]),
        where=where,
        ours=_number(ours[where]),
        theirs=_number(theirs[where]),
    )


def random_inputs(graph: Graph, count: int, seed: int) -> Iterator[list[Array]]:
    """``count`` sets of inputs: quantized numbers and bytes of any value, floats in [-1, 1),
    other integers 0 to 9, truth values, and words of up to three letters.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield [_random(rng, value.type) for value in graph.inputs]


def _maker(value: Value, makers: Mapping[Value, Node]) -> Node | None:
    node = makers.get(value)
    return None if node is None else computing(node, makers)


def _reference(
    graph: Graph, env: dict[Value, Array], known: Mapping[Value, Array]
) -> Iterator[tuple[Node, list[Array]]]:
    """Run the references; tensors in ``known`` are what the nodes after them see."""
    for node in graph.nodes:
        arrays = [v.data if v.data is not None else env[v] for v in node.inputs]
        results = node.reference(arrays)
        env.update(
            (value, known.get(value, array))
            for value, array in zip(node.outputs, results, strict=True)
        )
        yield node, results


def _random(rng: np.random.Generator, type: TensorType) -> Array:
    dtype = type.dtype
    if dtype.is_float:
        return rng.uniform(-1.0, 1.0, type.shape).astype(dtype.numpy)
    if dtype.is_integer and (dtype.itemsize == 1 or type.quant is not None):
        low, high = dtype.range
        return rng.integers(low, high, type.shape, dtype.numpy, endpoint=True)
    if dtype is DType.BOOL:
        return rng.integers(0, 2, type.shape).astype(np.bool_)
    if dtype is DType.STRING:
        words = [rng.bytes(int(n)).hex()[: int(n)].encode() for n in rng.integers(0, 4, type.size)]
        return np.array([*words, None], object)[:-1].reshape(type.shape)
    if dtype in (DType.COMPLEX64, DType.COMPLEX128):
        parts = rng.uniform(-1.0, 1.0, (2, *type.shape))
        return np.asarray(parts[0] + 1j * parts[1], dtype.numpy)
    return rng.integers(0, 10, type.shape).astype(dtype.numpy)


def _distance(ours: Array, theirs: Array) -> Array:
    """The distance of numbers; of what are no numbers, 1 where they differ."""
    if ours.dtype.kind in "bO":
        return np.asarray(ours != theirs, np.float64)
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    with np.errstate(invalid="ignore"):
        return np.abs(ours.astype(wide) - theirs.astype(wide))


def _number(element: Any) -> float:
    """An element for a reader: the magnitude of a complex one, nothing for a string."""
    if isinstance(element, bytes):
        return float("nan")
    return float(np.abs(element) if np.iscomplexobj(element) else element)


def least_step(node: Node | None, values: Mapping[Value, Array]) -> float:
    """The least step of what ``node`` computes of floats."""
    operands = (values[v] for v in (node.inputs if node else ()) if v in values)
    greatest = (np.nanmax(np.abs(a), initial=0.0) for a in operands if a.dtype.kind in "fc")
    return ROUNDING * max((float(g) for g in greatest if np.isfinite(g)), default=0.0)


def _step(node: Node | None, theirs: Array, least: float) -> float:
    if theirs.dtype.kind not in "fc":
        return 1.0
    if node is not None and isinstance(node.op, Dequantize):
        quant = node.inputs[0].type.quant
        if quant is not None and quant.axis is None:
            return quant.scale[0]
    finite = np.abs(theirs) if theirs.dtype.kind == "c" else theirs
    finite = finite[np.isfinite(finite)]
    extent = float(finite.max(initial=0.0)) - float(finite.min(initial=0.0))
    return max(FLOAT_STEP * extent, least) or FLOAT_STEP


def _add(rows: dict[str, Difference], row: Difference) -> None:
    rows[row.tensor] = rows[row.tensor].plus(row) if row.tensor in rows else row
