"""Tensor by tensor against another runtime: where the first difference arises, and how great.

Edgewise's side of a tensor is the numpy reference of the graph as imported; the program's outputs
are compared with that reference as well, since they must be equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .dtype import DType
from .errors import InputError
from .graph import Array, Graph, Node, TensorType, Value
from .ops import Dequantize

FLOAT_STEP = 1e-5
"""A step of a float tensor, as a share of its greatest magnitude."""

Run = Callable[[Sequence[Array]], Sequence[Array]]
"""From a set of inputs to arrays, each in the model's order."""


@dataclass(frozen=True)
class Difference:
    """How one tensor differs. ``steps`` is the greatest difference in quantization steps.

    For integers a step is 1. For the real values of a DEQUANTIZE it is the scale of its input,
    for other floats 1e-5 of the tensor's greatest magnitude. ``where``, ``ours`` and ``theirs``
    tell the element that differs most (of the first input that shows it).
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
    """The outcome for all inputs: a row a tensor in order of computation, a row an output."""

    tensors: tuple[Difference, ...]
    outputs: tuple[Difference, ...]
    missing: tuple[str, ...]
    exact_program: bool

    @property
    def first(self) -> Difference | None:
        """The first tensor that differs at all."""
        return next((d for d in (*self.tensors, *self.outputs) if d.differing), None)

    def beyond(self, tolerance: float) -> tuple[Difference, ...]:
        """The tensors and outputs that differ by more than ``tolerance`` steps."""
        return tuple(d for d in (*self.tensors, *self.outputs) if d.steps > tolerance)


def compare(
    graph: Graph,
    inputs: Sequence[Sequence[Array]],
    program: Run,
    peer: Run,
    peer_tensors: Run,
    *,
    alone: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare every tensor for every set of inputs.

    Args:
        graph: as imported, before any pass.
        program: Edgewise's outputs for a set of inputs.
        peer: the other runtime's outputs.
        peer_tensors: all tensors that it computes, in the order of the file's operators.
        alone: compute each operator from the peer's own tensors, so that differences do not add
            up on their way through the network; the outputs of whole runs are then left out.
        progress: called after each set of inputs.

    Raises:
        InputError: the peer's tensors are not those of the graph.
    """
    in_file = tensors_of_file(graph)
    tensors: dict[str, Difference] = {}
    outputs: dict[str, Difference] = {}
    missing: dict[str, None] = {}
    exact = True
    for arrays in inputs:
        theirs = _paired(in_file, peer_tensors(arrays))
        ours = dict(zip(graph.inputs, arrays, strict=True))
        for node, results in _reference(graph, dict(ours), theirs if alone else {}):
            for value, array in zip(node.outputs, results, strict=True):
                if value in theirs:
                    _add(tensors, difference(value, node, array, theirs[value]))
                else:
                    missing[value.name] = None
                ours[value] = array
        if alone:
            for node, results in graph.reference(dict(zip(graph.inputs, arrays, strict=True))):
                ours.update(zip(node.outputs, results, strict=True))
        given = program(arrays)
        for value, array in zip(graph.outputs, given, strict=True):
            expected = value.data if value.data is not None else ours[value]
            exact = exact and array.dtype == expected.dtype and np.array_equal(array, expected)
        if not alone:
            makers = graph.producers()
            for value, array, other in zip(graph.outputs, given, peer(arrays), strict=True):
                _add(outputs, difference(value, makers.get(value), array, other))
        progress()
    return Comparison(tuple(tensors.values()), tuple(outputs.values()), tuple(missing), exact)


def tensors_of_file(graph: Graph) -> list[Value]:
    """The values that are tensors of the imported file, in the order of its operators.

    An operator of the file may have become several nodes. They share an ``origin``, the name of
    the operator's first output, and the last of them computes it.
    """
    last = [node for node in graph.nodes if node.outputs[0].name == node.origin]
    return [value for node in last for value in node.outputs]


def difference(value: Value, node: Node | None, ours: Array, theirs: Array) -> Difference:
    """How ``ours`` differs from ``theirs``, two computations of ``value`` by ``node``."""
    op = node.op.name if node else ""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return Difference(value.name, op, value.type, ours.size, ours.size, float("inf"))
    differs = ours != theirs
    if ours.dtype.kind == "f":
        differs &= ~(np.isnan(ours) & np.isnan(theirs))
    count = int(np.count_nonzero(differs))
    if not count:
        return Difference(value.name, op, value.type, ours.size, 0, 0.0)
    distance = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)) / _step(node, theirs)
    distance = np.where(differs, np.nan_to_num(distance, nan=np.inf, posinf=np.inf), 0.0)
    where = tuple(int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape))
    return Difference(
        tensor=value.name,
        op=op,
        type=value.type,
        elements=ours.size,
        differing=count,
        steps=float(distance[where]),
        where=where,
        ours=float(ours[where]),
        theirs=float(theirs[where]),
    )


def random_inputs(graph: Graph, count: int, seed: int) -> Iterator[list[Array]]:
    """``count`` sets of inputs: bytes of any value, floats in [-1, 1), other integers 0 to 9."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield [_random(rng, value.type) for value in graph.inputs]


def _paired(values: Sequence[Value], arrays: Sequence[Array]) -> dict[Value, Array]:
    if [v.type.shape for v in values] != [a.shape for a in arrays]:
        raise InputError(
            f"the peer computes {len(arrays)} tensors; they are not the graph's {len(values)}"
        )
    return dict(zip(values, arrays, strict=True))


def _reference(
    graph: Graph, env: dict[Value, Array], known: Mapping[Value, Array]
) -> Iterator[tuple[Node, list[Array]]]:
    """Run the references; tensors in ``known`` are what the nodes after them see."""
    for node in graph.nodes:
        arrays = [v.data if v.data is not None else env[v] for v in node.inputs]
        results = node.op.reference(arrays, node.input_types, node.output_types)
        env.update(
            (value, known.get(value, array))
            for value, array in zip(node.outputs, results, strict=True)
        )
        yield node, results


def _random(rng: np.random.Generator, type: TensorType) -> Array:
    if type.dtype.is_float:
        return rng.uniform(-1.0, 1.0, type.shape).astype(type.dtype.numpy)
    if type.dtype in (DType.UINT8, DType.INT8):
        low, high = type.dtype.range
        return rng.integers(low, high, type.shape, type.dtype.numpy, endpoint=True)
    return rng.integers(0, 10, type.shape).astype(type.dtype.numpy)


def _step(node: Node | None, theirs: Array) -> float:
    if theirs.dtype.kind != "f":
        return 1.0
    if node is not None and isinstance(node.op, Dequantize):
        quant = node.inputs[0].type.quant
        if quant is not None and quant.axis is None:
            return quant.scale[0]
    finite = np.abs(theirs[np.isfinite(theirs)])
    return FLOAT_STEP * float(finite.max(initial=0.0)) or FLOAT_STEP


def _add(rows: dict[str, Difference], row: Difference) -> None:
    rows[row.tensor] = rows[row.tensor].plus(row) if row.tensor in rows else row
