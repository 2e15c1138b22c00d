"""Reads the operators of a subgraph into nodes, or evaluates them where their inputs are known.

What follows from constants is a constant: shapes computed from shapes, the counters of loops. A
reading of which every input is a constant is an interpreter, and ``Session.eager`` makes it one
without limits on sizes: initialisation runs so, and what depends on shapes that only a call knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from ..dtype import DType
from ..errors import GraphError, ModelError, RunError, UnsupportedError
from ..graph import Node, TensorType, Value
from ..ops import Dequantize, Op, Reshape
from .evaluate import BY_TYPE, MAX_FOLDED_TOTAL, constant, evaluate, worth, zeros
from .limits import COMPUTED, MAX_ACTIVATION_BYTES, MAX_DEPTH, ComputedError
from .tflite_call import Call
from .tflite_model import Operator, Subgraph
from .tflite_quant import PRODUCTS, check_arithmetic, check_bias
from .tflite_session import Late, Session
from .tflite_variables import Key, Variables

Argument: TypeAlias = "Value | Key"
"""What a subgraph is given: a value, or the handle of a variable or a table."""


class Mark(NamedTuple):
    """How far a reading was."""

    nodes: int
    current: dict[Key, Value]
    depth: int
    bytes: int
    bodies: int


class Reading:
    """One pass through a subgraph.

    Attributes:
        nodes: what was read; a subgraph that is read in place adds to its caller's.
        late: where operators that need computed values are left for later; None where they raise
            ``ComputedError``.
        names: names given to tensors in place of the file's.
        values, handles: what tensors hold; without ``arguments`` the caller fills them.
    """

    def __init__(
        self,
        session: Session,
        subgraph: Subgraph,
        arguments: Sequence[Argument] | None,
        variables: Variables,
        nodes: list[Node] | None = None,
    ) -> None:
        self.session, self.subgraph, self.variables = session, subgraph, variables
        self.nodes: list[Node] = [] if nodes is None else nodes
        self.late: Late | None = None
        self.names: dict[int, str] = {}
        self.values: dict[int, Value] = {}
        self.handles: dict[int, Key] = {}
        if arguments is None:
            return
        if len(arguments) != len(subgraph.inputs):
            raise self.wrong_count(subgraph, arguments)
        for index, argument in zip(subgraph.inputs, arguments, strict=True):
            self._enter(index, argument)

    def _enter(self, index: int, argument: Argument) -> None:
        declared = self.subgraph.declared(index)
        what = f"{self.subgraph.what}: input"
        if isinstance(argument, Key):
            self.handles[index] = argument
            return
        if declared.type is None or declared.type.dtype is not argument.type.dtype:
            raise ModelError(
                f"{declared.what}: {self.subgraph.describe([index])}; it is given {argument.type}"
            )
        self._check_new(index, what)
        self.values[index] = self.as_declared(argument, index)

    def run(self, operators: Iterable[Operator] | None = None) -> None:
        """Read operators: all of the subgraph's, or those given."""
        session = self.session
        session.depth += 1
        if session.depth > MAX_DEPTH:
            raise ModelError(
                f"{self.subgraph.what}: subgraphs call one another more than {MAX_DEPTH} deep"
            )
        session.count(self.subgraph.what)
        for operator in self.subgraph.operators if operators is None else operators:
            session.count(operator.what)
            if self.late is not None and self._waits(operator, self.late):
                self._defer(operator, self.late)
                continue
            mark = self.mark()
            try:
                self._read(operator)
            except ComputedError:
                if self.late is None:
                    raise
                self.roll_back(mark)
                self._defer(operator, self.late)
        session.depth -= 1

    @staticmethod
    def wrong_count(subgraph: Subgraph, arguments: Sequence[Argument]) -> ModelError:
        return ModelError(
            f"{subgraph.what}: {len(subgraph.inputs)} inputs; it is given {len(arguments)}"
        )

    def results(self) -> list[Argument]:
        """The subgraph's outputs."""
        return [self.argument(i, "output") for i in self.subgraph.outputs]

    def value(self, index: int, what: str = "input") -> Value:
        """The value of a tensor where it is read."""
        value = self.values.get(index) or self.subgraph.constant(index)
        if value is not None:
            return value
        declared = self.subgraph.declared(index)
        if declared.type is not None:
            if declared.variable:
                return self.variables.read(self._variable(index), declared.what)
            if 0 in declared.type.shape:
                return zeros(declared.label, declared.type)
        label = declared.label or f"t{index}"
        raise ModelError(f"{what} {label!r} is used before it is computed")

    def argument(self, index: int, what: str = "input") -> Argument:
        return self.handles.get(index) or self.value(index, what)

    def handle(self, index: int, what: str) -> Key:
        """The variable or table that a tensor is the handle of."""
        key = self.handles.get(index)
        if key is None:
            raise ModelError(f"{what}: tensor {index} is no handle of a variable or a table")
        return key

    def define(self, index: int, argument: Argument, what: str) -> None:
        """Make ``argument`` the value of a tensor that is computed."""
        self._check_new(index, f"{what}: output")
        if isinstance(argument, Key):
            self.handles[index] = argument
            return
        declared = self.subgraph.declared(index).type
        found = argument.type
        if declared is None or declared.dtype is not found.dtype or not self._fits(index, found):
            expected = "a handle" if declared is None else f"{declared.dtype}{list(declared.shape)}"
            raise ModelError(
                f"{what}: output {self._label(index)!r} is declared {expected}; "
                f"it gives {found.dtype}{list(found.shape)}"
            )
        self.values[index] = self.as_declared(argument, index)

    def as_declared(self, value: Value, index: int) -> Value:
        """``value`` with the quantization of a tensor, and the same elements."""
        declared = self.subgraph.declared(index).type
        if declared is None or declared.quant is None or declared.quant == value.type.quant:
            return value
        type = TensorType(value.type.shape, value.type.dtype, declared.quant)
        return self.retyped(value, type, self._name(index))

    def retyped(self, value: Value, type: TensorType, name: str) -> Value:
        """The elements of ``value`` as ``type``, of the same shape and dtype."""
        if value.data is not None:
            return Value(name, type, value.data)
        result = Value(name, type)
        self.nodes.append(Node(Reshape(type.shape), (value,), (result,), name))
        return result

    def inline(self, index: int, arguments: Sequence[Argument]) -> list[Argument]:
        """Read another subgraph in this one's place: its results for ``arguments``."""
        subgraph = self.session.file.subgraph(index)
        inner = Reading(self.session, subgraph, arguments, self.variables, self.nodes)
        inner.run()
        return inner.results()

    def add(self, op: Op, operands: list[Value], indices: Sequence[int], what: str) -> list[Value]:
        """The results of an operator, named as the tensors ``indices``, but not yet defined."""
        types = op.infer([v.type for v in operands])
        declared = [self.subgraph.declared(i).type for i in indices]
        known = [t or found for t, found in zip(declared, types, strict=False)]
        return self._apply(op, operands, [*known, *types[len(known) :]], "", what, indices)

    def nodes_as_stored(self) -> tuple[Node, ...]:
        """The nodes, where DEQUANTIZE of a constant is one before the first that reads it."""
        stored, nodes, placed = self.session.stored, [], set()
        for node in self.nodes:
            before = [stored[v] for v in node.inputs if v in stored]
            if before:
                nodes += [n for n in before if n not in placed]
                placed.update(before)
                inputs = tuple(stored[v].outputs[0] if v in stored else v for v in node.inputs)
                node = replace(node, inputs=inputs)
            nodes.append(node)
        return tuple(nodes)

    def mark(self) -> Mark:
        """A state to return to."""
        session = self.session
        current = dict(self.variables.current)
        return Mark(len(self.nodes), current, session.depth, session.bytes, session.bodies)

    def roll_back(self, mark: Mark) -> None:
        session = self.session
        self.variables.current = dict(mark.current)
        session.depth, session.bytes, session.bodies = mark.depth, mark.bytes, mark.bodies
        del self.nodes[mark.nodes :]

    def _waits(self, operator: Operator, late: Late) -> bool:
        """Whether an operator needs what another that was left for later gives."""
        indices = [i for i in operator.inputs if i != -1]
        if any(i in late.tensors for i in indices):
            return True
        if any(key in late.variables for key in self._keys(operator)):
            return True
        declared = [self.subgraph.declared(i).type for i in (*indices, *operator.outputs)]
        if not any(t is not None and t.dtype is DType.STRING for t in declared):
            return False
        return not all(i in self.handles or self.value(i).is_constant for i in indices)

    def _defer(self, operator: Operator, late: Late) -> None:
        late.operators.append(operator)
        late.tensors.update(operator.outputs)
        keys = self._keys(operator)
        if operator.row.calls:
            keys += [*self.variables.current, *self.session.initial]
        for key in keys:
            if key not in late.variables and key not in self.session.tables:
                known = key in self.variables.current or key in self.session.initial
                late.variables[key] = self.variables.read(key, operator.what) if known else None

    def _keys(self, operator: Operator) -> list[Key]:
        """The variables and tables that are operands."""
        keys = []
        for index in operator.inputs:
            if index in self.handles:
                keys.append(self.handles[index])
            elif index != -1 and self.subgraph.declared(index).variable:
                keys.append(self._variable(index))
        return keys

    def _variable(self, index: int) -> Key:
        """The variable that a tensor is; it starts as zeros."""
        declared = self.subgraph.declared(index)
        assert declared.type is not None
        key = Key("tensor", f"{self.subgraph.index}:{index}")
        self.session.initial.setdefault(key, zeros(declared.label, declared.type))
        return key

    def _read(self, operator: Operator) -> None:
        what = operator.what
        if len(operator.outputs) < operator.row.outputs:
            raise ModelError(f"{what}: it has no outputs")
        try:
            inputs = [
                None if i == -1 or i in self.handles else self.value(i) for i in operator.inputs
            ]
        except UnsupportedError:
            raise
        except ModelError as error:
            raise ModelError(f"{what}: {error}") from error
        types = [self.subgraph.declared(i).type for i in operator.intermediates]
        call = Call(
            what,
            operator.options,
            inputs,
            [self._provisional(i) for i in operator.outputs],
            (operator.inputs, operator.outputs),
            [t for t in types if t is not None],
            operator.custom_options,
            self,
        )
        try:
            built = operator.row.read(call)
            if built is not None:
                self._build(call, *built)
        except GraphError as error:
            values = (*inputs[:2], *call.outputs)
            if all(v.type.dtype in COMPUTED for v in values if v is not None):
                raise ModelError(f"{what}: {error}") from error
            describe = self.subgraph.describe
            raise UnsupportedError(
                f"{what}: {error}; its tensors are {describe(operator.inputs)} -> "
                f"{describe(operator.outputs)}"
            ) from error

    def _build(self, call: Call, built: Op | tuple[Op, ...], operands: list[Value]) -> None:
        """Add the nodes of one operator: one, or several in a row."""
        chain: tuple[Op, ...] = built if isinstance(built, tuple) else (built,)
        label = self._label(call.indices[1][0])
        for op in chain[:-1]:
            name = self._unique(f"{label}/{op.name.lower()}")
            operands = self._apply(op, operands, [], name, call.what)
        op = chain[-1]
        types = [v.type for v in operands]
        if op.state_operands:
            op.infer(types)
        kept = [operands[i] for i in op.state_operands]
        declared = [v.type for v in call.outputs] + [v.type for v in kept]
        results = self._apply(op, operands, declared, "", call.what, call.indices[1])
        check_arithmetic(op, types, [v.type for v in results], call.what)
        if isinstance(op, PRODUCTS) and len(types) == 3 and operands[2] in self.subgraph.tables:
            table = self.subgraph.tables[operands[2]]
            check_bias(op, table, types, results[0].type, call.what)
        for index, value in zip(call.indices[1], results, strict=False):
            self.define(index, value, call.what)
        for before, after in zip(kept, results[len(call.outputs) :], strict=True):
            self.variables.replace(before, after)

    def _apply(
        self,
        op: Op,
        operands: list[Value],
        declared: Sequence[TensorType],
        name: str,
        what: str,
        indices: Sequence[int] = (),
    ) -> list[Value]:
        """The results of an operator: constants, or the outputs of a new node."""
        types = [v.type for v in operands]
        known = all(v.is_constant for v in operands) and (op.deterministic or self.session.eager)
        inferred = op.infer(types)
        unknown = any(-1 in t.shape for t in inferred)
        if unknown and not known:
            raise ComputedError(f"{what}: the shape of its result depends on computed values")
        try:
            op.check_values([v.data for v in operands], types)
        except RunError as error:
            raise ModelError(f"{what}: {error}") from error
        if declared and len(inferred) != len(declared):
            wanted = len(inferred) - len(declared) + len(indices)
            raise ModelError(f"{what}: {len(indices)} outputs; it must have {wanted}")
        outputs = [
            TensorType(t.shape, t.dtype, declared[i].quant if i < len(declared) else t.quant)
            for i, t in enumerate(inferred)
        ]
        names = [
            name or (self._name(indices[i]) if i < len(indices) else self._unique(f"{what}/state"))
            for i in range(len(outputs))
        ]
        arrays = None
        if not unknown and all(0 in t.shape for t in outputs):
            arrays = [np.zeros(t.shape, t.dtype.numpy) for t in outputs]
        elif unknown or op.name in BY_TYPE or (known and self._evaluates(op, types, outputs, what)):
            arrays = evaluate(op, operands, outputs, what)
        if unknown and arrays is not None:
            self.session.spend(sum(a.size for a in arrays), what)
        if arrays is not None:
            found = [constant(n, t, a) for n, t, a in zip(names, outputs, arrays, strict=True)]
            if isinstance(op, Dequantize):
                node = Node(op, tuple(operands), (Value(names[0], outputs[0]),), names[0])
                self.session.stored[found[0]] = node
            return found
        for t, n in zip(outputs, names, strict=True):
            self._charge(t, f"{what}: output {n!r}")
        values = tuple(Value(n, t) for n, t in zip(names, outputs, strict=True))
        self.nodes.append(Node(op, tuple(operands), values, names[0]))
        return list(values)

    def _evaluates(
        self, op: Op, types: Sequence[TensorType], outputs: Sequence[TensorType], what: str
    ) -> bool:
        """Whether an operator of constants is evaluated now."""
        if self.session.eager:
            elements = sum(math.prod(t.shape) for t in (*types, *outputs))
            self.session.spend(elements + op.macs(types, outputs) // 16, what)
            return True
        folded = worth(op, types, outputs, MAX_FOLDED_TOTAL - self.session.folded)
        self.session.folded += folded or 0
        return folded is not None

    def _fits(self, index: int, found: TensorType) -> bool:
        """Whether a computed tensor may have the shape that it turns out to have."""
        declared = self.subgraph.declared(index)
        if declared.type is None or self.session.flexible or declared.open:
            return True
        return found.shape == declared.type.shape or not declared.type.shape

    def _provisional(self, index: int) -> Value:
        declared = self.subgraph.declared(index)
        return Value(declared.label, declared.type or TensorType((), DType.INT32))

    def _check_new(self, index: int, what: str) -> None:
        constant = self.subgraph.declared(index).data is not None
        if constant or index in self.values or index in self.handles:
            kind = "a constant" if constant else "already computed or an input"
            raise ModelError(f"{what} {self._label(index)!r} is {kind}; a tensor is defined once")

    def _charge(self, type: TensorType, what: str) -> None:
        self.session.bytes += math.prod(type.shape) * type.dtype.itemsize
        if self.session.bytes > MAX_ACTIVATION_BYTES:
            raise ModelError(
                f"{what}: computed tensors add up to {self.session.bytes} "
                f"bytes; at most {MAX_ACTIVATION_BYTES}"
            )

    def _label(self, index: int) -> str:
        return self.subgraph.declared(index).label or f"t{index}"

    def _name(self, index: int) -> str:
        if self.session.eager:
            return self._label(index)
        label = self.subgraph.declared(index).label
        return self.names.pop(index, "") or self.session.file.names.unique(label, index)

    def _unique(self, label: str) -> str:
        return label if self.session.eager else self.session.file.names.unique(label, 0)
