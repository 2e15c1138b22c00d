"""The one way in which the importers of ONNX, Caffe, ncnn and PyTorch make graphs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..dtype import DType, QParams
from ..errors import GraphError, ModelError, RunError, UnsupportedError
from ..graph import Array, Graph, Node, State, TensorType, Value
from ..ops import Dequantize, Op, Reshape, StridedSlice, Transpose
from .evaluate import BY_TYPE, MAX_FOLDED_TOTAL, constant, evaluate, worth
from .limits import COMPUTED, MAX_ACTIVATION_BYTES, MAX_OPERATORS, MAX_RANK, ComputedError
from .names import Names, label_of

MAX_MADE = 2**24
"""The most elements of tables that a file does not hold: windows, weights of transforms."""


MAX_EVALUATED_BYTES = 2**29
"""The most that the results of one operator may take that a call evaluates."""


class Builder:
    """Nodes in the order in which an importer adds them.

    What depends on constants alone is a constant: it is evaluated when it is added, where that is
    little work. With ``eager`` everything is evaluated; all values are constants then.

    Attributes:
        nodes: what was added and not evaluated.
        names: names of values that are taken.
        what: the object of the file that is read, for errors: "node 'conv1' (Conv)".
        origin: its name, for the nodes that it becomes.
    """

    def __init__(self, eager: bool = False) -> None:
        self.eager = eager
        self.nodes: list[Node] = []
        self.names = Names()
        self.what = self.origin = "network"
        self._inputs: list[Value] = []
        self._dequantized: dict[Value, Value] = {}
        self._known: dict[Value, Value] = {}
        self._states: dict[Value, State] = {}
        self._reserved: set[str] = set()
        self._folded = self._bytes = self._made = 0

    def at(self, kind: str, name: str, type: str) -> None:
        """Name the object of the file that is read next, as in `at("node", "conv1", "Conv")`."""
        self.what, self.origin = label_of(kind, name, type), name

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names for the graph's outputs."""
        for name in names:
            self._reserved.add(name)
            self.names.reserve(name)

    def input(self, name: str, type: TensorType) -> Value:
        """A new input of the graph; its name is the file's.

        Raises:
            ModelError: a dimension is negative, or the shape has too many dimensions.
        """
        if len(type.shape) > MAX_RANK or min(type.shape, default=1) < 0:
            raise ModelError(
                f"input {name!r}: shape {list(type.shape)}; at most {MAX_RANK} dimensions, none "
                "negative"
            )
        self._charge(type, f"input {name!r}")
        value = Value(self.names.unique(name), type)
        self._inputs.append(value)
        return value

    def state(self, name: str, initial: Array) -> Value:
        """A new variable; `keep` tells what it is after a call, without that it stays as it is."""
        before = Value(self.names.unique(name), _type_of(initial, None))
        self._charge(before.type, f"variable {name!r}")
        self._states[before] = State(before, before, initial)
        return before

    def keep(self, before: Value, after: Value) -> None:
        """Make ``after`` what a variable is when a call ends."""
        self._states[before] = replace(self._states[before], after=after)

    def constant(self, data: Any, name: str = "constant", quant: QParams | None = None) -> Value:
        """A constant of ``data``'s dtype, which is a `DType`."""
        array = np.asarray(data)
        return constant(self.names.unique(name), _type_of(array, quant), array)

    def afford(self, elements: int) -> None:
        """Count elements of constants that are made of numbers in the file, before they are made.

        Raises:
            UnsupportedError: they are more than `MAX_MADE` in all.
        """
        self._made += elements
        if self._made > MAX_MADE:
            raise UnsupportedError(
                f"{self.what}: tables that the file does not hold, {self._made} elements; at most "
                f"{MAX_MADE}"
            )

    def add(
        self,
        op: Op,
        operands: Sequence[Value],
        quants: Sequence[QParams | None] = (),
        *,
        fold: bool = True,
    ) -> tuple[Value, ...]:
        """The results of an operator: constants, or the outputs of a new node.

        Args:
            quants: quantization of the results, where the operator does not fix it.
            fold: whether it is evaluated where its operands are constants and that is little work.

        Raises:
            ComputedError: the shape of a result depends on values that only a call knows.
            ModelError: the operator does not take these operands.
        """
        types, what = [v.type for v in operands], self.what
        try:
            inferred = op.infer(types)
        except GraphError as error:
            sound = all(t.dtype in COMPUTED for t in types)
            raise (ModelError if sound else UnsupportedError)(f"{what}: {error}") from error
        known = all(v.is_constant for v in operands) and (op.deterministic or self.eager)
        unknown = any(-1 in t.shape for t in inferred)
        if unknown and not known:
            raise ComputedError(f"{what}: the shape of its result depends on computed values")
        try:
            op.check_values([v.data for v in operands], types)
        except RunError as error:
            raise ModelError(f"{what}: {error}") from error
        outputs = list(inferred)
        for i, quant in enumerate(quants):
            outputs[i] = replace(outputs[i], quant=quant)
        names = [self.names.unique(f"{self.origin}/{op.name.lower()}") for _ in outputs]
        arrays = None
        if fold or self.eager or unknown:
            arrays = self._evaluated(op, operands, outputs, known, unknown)
        if arrays is not None:
            values = zip(names, outputs, arrays, strict=True)
            return tuple(constant(n, t, a) for n, t, a in values)
        for type in outputs:
            self._charge(type, what)
        if len(self.nodes) >= MAX_OPERATORS:
            raise UnsupportedError(f"{what}: the network takes more than {MAX_OPERATORS} operators")
        results = tuple(Value(n, t) for n, t in zip(names, outputs, strict=True))
        self.nodes.append(Node(op, tuple(operands), results, self.origin))
        return results

    def one(self, op: Op, operands: Sequence[Value], quant: QParams | None = None) -> Value:
        """The result of an operator that has one; see `add`."""
        (result,) = self.add(op, operands, () if quant is None else (quant,))
        return result

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """``x`` with its axes in the order ``perm``; of a constant, at once."""
        if tuple(perm) == tuple(range(len(x.type.shape))):
            return x
        source = self.quantized(x)
        if source is not None:
            return self.dequantize(self.transpose(source, perm), x.type.dtype)
        if x.data is None:
            return self.one(Transpose(tuple(perm)), [x])
        data = np.ascontiguousarray(x.data.transpose(perm))
        quant = x.type.quant
        if quant is not None and quant.axis is not None:
            quant = replace(quant, axis=tuple(perm).index(quant.axis))
        return self.constant(data, x.name, quant)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The elements of ``x`` in another shape; of a constant, at once."""
        if tuple(shape) == x.type.shape:
            return x
        source = self.quantized(x)
        if source is not None and _keeps_axis(source.type, shape):
            return self.dequantize(self.reshape(source, shape), x.type.dtype)
        x = self.known(x)
        if x.data is None or x.data.size != math.prod(shape) or not _keeps_axis(x.type, shape):
            return self.one(Reshape(tuple(shape)), [x])
        quant = x.type.quant
        if quant is not None and quant.axis is not None:
            before = math.prod(x.type.shape[: quant.axis])
            quant = replace(quant, axis=_axis_at(before, quant, shape))
        return self.constant(x.data.reshape(shape), x.name, quant)

    def slice(self, x: Value, axis: int, begin: int, size: int) -> Value:
        """``size`` elements of ``x`` along one axis; of a constant, at once."""
        if size == x.type.shape[axis]:
            return x
        source = self.quantized(x)
        if source is not None:
            return self.dequantize(self.slice(source, axis, begin, size), x.type.dtype)
        shape = x.type.shape
        if x.data is None:
            begins, sizes = [0] * len(shape), list(shape)
            begins[axis], sizes[axis] = begin, size
            return self.one(StridedSlice(tuple(begins), tuple(sizes), (1,) * len(shape)), [x])
        quant = x.type.quant
        if quant is not None and quant.axis == axis:
            end = begin + size
            quant = QParams(quant.scale[begin:end], quant.zero_point[begin:end], axis)
        chosen = (*[slice(None)] * axis, slice(begin, begin + size))
        return self.constant(np.ascontiguousarray(x.data[chosen]), x.name, quant)

    def dequantize(self, x: Value, dtype: DType = DType.FLOAT32) -> Value:
        """The real numbers of a quantized value.

        Those of a constant are not computed yet: products may want its integers. `known` gives
        them.
        """
        (result,) = self.add(Dequantize(dtype), [x], fold=False)
        if x.is_constant and not result.is_constant:
            self._dequantized[result] = x
        return result

    def quantized(self, x: Value) -> Value | None:
        """The constant that ``x`` dequantizes; None where it is something else."""
        return self._dequantized.get(x)

    def known(self, x: Value) -> Value:
        """``x``, or the constant of its elements where it dequantizes one."""
        source = self.quantized(x)
        if source is None:
            return x
        if x not in self._known:
            (data,) = evaluate(Dequantize(x.type.dtype), [source], [x.type], self.what)
            self._known[x] = self.constant(data, x.name)
        return self._known[x]

    def retype(self, x: Value, quant: QParams | None) -> Value:
        """The elements of ``x``, to be read with other quantization."""
        if quant == x.type.quant:
            return x
        if x.data is not None:
            return self.constant(x.data, x.name, quant)
        return self.add(Reshape(x.type.shape), [x], (quant,))[0]

    def rename(self, names: Mapping[Value, str], since: int) -> dict[Value, Value]:
        """Give results of the nodes from the number ``since`` on the names of the file.

        Returns:
            The new value for each; only nodes from ``since`` on may have used the old ones.
        """
        computed = {v for node in self.nodes[since:] for v in node.outputs}
        new = {v: Value(self.claim(name), v.type) for v, name in names.items() if v in computed}
        for old, value in new.items():
            if old in self._dequantized:
                self._dequantized[value] = self._dequantized[old]
        for i in range(since, len(self.nodes) if new else since):
            node = self.nodes[i]
            self.nodes[i] = replace(
                node,
                inputs=tuple(new.get(v, v) for v in node.inputs),
                outputs=tuple(new.get(v, v) for v in node.outputs),
            )
        return new

    def graph(
        self,
        outputs: Sequence[tuple[str, Value]],
        name: str,
        metadata: Mapping[str, Any] | None = None,
        open: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Graph:
        """The graph of what was added, whose outputs have these names.

        Raises:
            ModelError: there is no output.
        """
        if not outputs:
            raise ModelError("the network has no outputs; it must have at least one")
        results = [self._output(label, value) for label, value in outputs]
        return Graph(
            inputs=tuple(self._inputs),
            outputs=tuple(results),
            nodes=tuple(self.nodes),
            name=name or "main",
            metadata={"signatures": {}, **(metadata or {})},
            open=dict(open or {}),
            states=tuple(self._states.values()),
        )

    def _output(self, label: str, value: Value) -> Value:
        """A value of the graph's own under the output's name."""
        if value.name == label and value not in self._inputs:
            return value
        result = Value(self.claim(label), value.type)
        self.nodes.append(Node(Reshape(value.type.shape), (value,), (result,), label))
        return result

    def claim(self, name: str) -> str:
        """``name``, or one like it where another value has it."""
        if name in self._reserved:
            self._reserved.remove(name)
            return name
        return self.names.unique(name)

    def _evaluated(
        self,
        op: Op,
        operands: Sequence[Value],
        outputs: Sequence[TensorType],
        known: bool,
        unknown: bool,
    ) -> list[Array] | None:
        """The results, if the operator is evaluated now."""
        if self.eager and not unknown and sum(t.nbytes for t in outputs) > MAX_EVALUATED_BYTES:
            raise ModelError(
                f"{self.what}: its results take {sum(t.nbytes for t in outputs)} bytes; at most "
                f"{MAX_EVALUATED_BYTES} where a call computes them by references"
            )
        if not unknown and all(0 in t.shape for t in outputs):
            return [np.zeros(t.shape, t.dtype.numpy) for t in outputs]
        if op.name in BY_TYPE or (known and (self.eager or unknown)):
            return evaluate(op, operands, outputs, self.what)
        if not known:
            return None
        work = worth(op, [v.type for v in operands], outputs, MAX_FOLDED_TOTAL - self._folded)
        if work is None:
            return None
        self._folded += work
        return evaluate(op, operands, outputs, self.what)

    def _charge(self, type: TensorType, what: str) -> None:
        self._bytes += math.prod(max(d, 1) for d in type.shape) * type.dtype.itemsize
        if self._bytes > MAX_ACTIVATION_BYTES:
            raise ModelError(
                f"{what}: computed tensors add up to {self._bytes} bytes; at most "
                f"{MAX_ACTIVATION_BYTES}"
            )


def _axis_at(before: int, quant: QParams, shape: Sequence[int]) -> int | None:
    """The axis of ``shape`` that has a scale an element, ``before`` elements before it."""
    sizes = enumerate(shape)
    return next(
        (i for i, n in sizes if n == len(quant.scale) and math.prod(shape[:i]) == before), None
    )


def _keeps_axis(type: TensorType, shape: Sequence[int]) -> bool:
    """Whether ``shape`` still has the axis along which ``type`` has its scales."""
    quant = type.quant
    if quant is None or quant.axis is None:
        return True
    return _axis_at(math.prod(type.shape[: quant.axis]), quant, shape) is not None


def _type_of(array: Array, quant: QParams | None) -> TensorType:
    return TensorType(array.shape, DType.of(array), quant)
