"""Control flow, variables and tables: operators that refer to other subgraphs or to state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ... import ops
from ...dtype import DType
from ...errors import ModelError, RunError, UnsupportedError
from ...graph import Array, Graph, TensorType, Value
from .. import tflite_schema as schema
from ..flatbuffer import INT32, UINT32
from ..limits import MAX_BODIES, MAX_OPERATORS
from ..tflite_call import Built, Call, Row
from ..tflite_reading import Argument, Reading
from ..tflite_variables import Key, Variables

MAX_UNROLLED = 4096
"""The most nodes that a loop may become."""

MAX_UNROLLED_OPERATORS = MAX_OPERATORS // 2
"""The most operators that are read before a loop is left to be one."""


def call(call: Call) -> None:
    index = call.options.number(schema.CallOptions.SUBGRAPH, UINT32)
    _define(call, call.reading.inline(index, _arguments(call, 0)))


def call_once(call: Call) -> None:
    """Runs an initialisation now: what it assigns is what variables start with."""
    session = call.reading.session
    index = call.options.number(schema.CallOnceOptions.INIT_SUBGRAPH_INDEX, INT32)
    subgraph = session.file.subgraph(index)
    eager = replace(session, eager=True, flexible=True)
    variables = Variables(eager.enter)
    Reading(eager, subgraph, (), variables).run()
    session.initial.update(variables.current)
    session.operators, session.work = eager.operators, eager.work


def if_(call: Call) -> None:
    o = schema.IfOptions
    reading = call.reading
    branches = [
        call.options.number(o.THEN_SUBGRAPH_INDEX, INT32),
        call.options.number(o.ELSE_SUBGRAPH_INDEX, INT32),
    ]
    test, arguments = call.value(0), _arguments(call, 1)
    if test.data is not None:
        _define(call, reading.inline(branches[not _holds(call, test.data)], arguments))
        return
    bodies = [_Body(reading, index, arguments) for index in branches]
    keys = _variables(bodies)
    graphs = [body.graph(keys) for body in bodies]
    _apply(call, ops.If(*graphs), [test, *_values(arguments)], bodies, keys)


def while_(call: Call) -> None:
    """A loop whose number of turns follows from constants becomes its turns."""
    o = schema.WhileOptions
    test = call.options.number(o.COND_SUBGRAPH_INDEX, INT32)
    body = call.options.number(o.BODY_SUBGRAPH_INDEX, INT32)
    reading, arguments = call.reading, _arguments(call, 0)
    mark = reading.mark()
    results = _unroll(call, test, body, arguments)
    if results is not None:
        _define(call, results)
        return
    reading.roll_back(mark)
    bodies = [_Body(reading, index, arguments) for index in (test, body)]
    keys = _variables(bodies)
    graphs = [body.graph(keys, outputs) for body, outputs in zip(bodies, ((), keys), strict=True)]
    _apply(call, ops.While(*graphs), _values(arguments), bodies[1:], keys)


def _holds(call: Call, condition: Array) -> bool:
    if condition.size != 1 or condition.dtype != np.bool_:
        raise ModelError(
            f"{call.what}: its condition is {condition.dtype}{list(condition.shape)}; "
            "it must be one bool"
        )
    return bool(condition.item())


def _unroll(
    call: Call, test: int, body: int, arguments: Sequence[Argument]
) -> Sequence[Argument] | None:
    """The results of a loop whose every test is a constant; None for another, or a long one."""
    reading, session = call.reading, call.reading.session
    most = len(reading.nodes) + MAX_UNROLLED
    for _ in range(session.limit):
        found = reading.inline(test, arguments)
        if len(found) != 1 or isinstance(found[0], Key):
            raise ModelError(f"{call.what}: its condition gives {len(found)} results, not one bool")
        if found[0].data is None:
            return None
        if not _holds(call, found[0].data):
            return arguments
        arguments = reading.inline(body, arguments)
        if len(arguments) != len(call.indices[0]):
            raise ModelError(
                f"{call.what}: its body gives {len(arguments)}; it takes {len(call.indices[0])}"
            )
        if len(reading.nodes) > most:
            return None
        if session.operators > MAX_UNROLLED_OPERATORS and not session.eager:
            return None
        if session.bodies > MAX_BODIES // 2:
            return None
    if session.eager:
        raise RunError(f"{call.what}: its condition still holds after {session.limit} turns")
    return None


class _Body:
    """A subgraph read as a graph of its own."""

    def __init__(self, outer: Reading, index: int, arguments: Sequence[Argument]) -> None:
        session = outer.session
        session.bodies += 1
        if session.bodies > MAX_BODIES:
            raise UnsupportedError(
                f"subgraph {index}: conditions and loops hold more than {MAX_BODIES} graphs"
            )
        self.outer, self.subgraph = outer, session.file.subgraph(index)
        self.inputs: list[Value] = []
        given: list[Argument] = []
        if len(arguments) != len(self.subgraph.inputs):
            raise outer.wrong_count(self.subgraph, arguments)
        for tensor, argument in zip(self.subgraph.inputs, arguments, strict=True):
            if not isinstance(argument, Key):
                declared = self.subgraph.declared(tensor)
                quant = declared.type.quant if declared.type else None
                t = argument.type
                name = session.file.names.unique(declared.label, tensor)
                argument = Value(name, TensorType(t.shape, t.dtype, quant))
                self.inputs.append(argument)
            given.append(argument)
        self.variables = Variables(self._enter)
        self.reading = Reading(session, self.subgraph, given, self.variables)
        self.reading.run()

    def _enter(self, key: Key, what: str) -> Value:
        value = self.outer.variables.read(key, what)
        return Value(self.outer.session.file.names.unique(value.name, 0), value.type)

    def graph(self, keys: Sequence[Key], changed: Sequence[Key] | None = None) -> Graph:
        """The graph, whose last inputs are the variables ``keys``, and last outputs ``changed``."""
        what = self.subgraph.what
        before = [self.variables.before.get(key) or self._unread(key, what) for key in keys]
        outputs = [v for v in self.reading.results() if not isinstance(v, Key)]
        if changed is None:
            changed = keys
        elif not changed and [self.variables.current[key] for key in keys] != before:
            raise UnsupportedError(f"{what}: a condition that assigns variables is not supported")
        outputs += [self.variables.current[key] for key in changed]
        return Graph(
            tuple(self.inputs + before),
            tuple(outputs),
            tuple(self.reading.nodes),
            self.subgraph.name or what,
        )

    def _unread(self, key: Key, what: str) -> Value:
        """A variable that is not read before it is assigned: an input that nobody reads."""
        value = self._enter(key, what)
        self.variables.current.setdefault(key, value)
        return value


def _variables(bodies: Sequence[_Body]) -> list[Key]:
    """The variables that the bodies use."""
    return list(dict.fromkeys(key for body in bodies for key in body.variables.current))


def _apply(
    call: Call, op: ops.Op, operands: list[Value], bodies: Sequence[_Body], keys: Sequence[Key]
) -> None:
    """Add a node of ``op``; its results are the outputs, then the variables ``keys``."""
    reading = call.reading
    operands += [reading.variables.read(key, call.what) for key in keys]
    results = bodies[0].reading.results()
    tensors = zip(call.indices[1], results, strict=False)
    indices = [i for i, result in tensors if not isinstance(result, Key)]
    outputs = iter(reading.add(op, operands, indices, call.what))
    handles = [v if isinstance(v, Key) else None for v in results]
    for other in bodies[1:]:
        if handles != [v if isinstance(v, Key) else None for v in other.reading.results()]:
            raise UnsupportedError(f"{call.what}: its branches give different handles")
    _define(call, [v if isinstance(v, Key) else next(outputs) for v in results])
    for key, value in zip(keys, outputs, strict=True):
        reading.variables.assign(key, value)


def _arguments(call: Call, first: int) -> list[Argument]:
    return [call.reading.argument(i) for i in call.indices[0][first:]]


def _values(arguments: Sequence[Argument]) -> list[Value]:
    return [a for a in arguments if not isinstance(a, Key)]


def _define(call: Call, results: Sequence[Argument]) -> None:
    call.expect_outputs(len(results))
    for index, result in zip(call.indices[1], results, strict=True):
        call.reading.define(index, result, call.what)


def var_handle(call: Call) -> None:
    o = schema.VarHandleOptions
    name = f"{call.options.string(o.CONTAINER)}/{call.options.string(o.SHARED_NAME)}"
    _define(call, [Key("variable", name.strip("/"))])


def read_variable(call: Call) -> None:
    key = call.reading.handle(call.indices[0][0], call.what)
    _define(call, [call.reading.variables.read(key, call.what)])


def assign_variable(call: Call) -> None:
    key = call.reading.handle(call.indices[0][0], call.what)
    call.expect_outputs(0)
    call.reading.variables.assign(key, call.value(1))


def hashtable(call: Call) -> None:
    o = schema.HashtableOptions
    name = str(call.options.number(o.TABLE_ID, INT32))
    _define(call, [Key("table", name)])


def hashtable_import(call: Call) -> None:
    reading = call.reading
    key = reading.handle(call.indices[0][0], call.what)
    keys, values = call.value(1), call.value(2)
    if not (keys.is_constant and values.is_constant):
        raise UnsupportedError(f"{call.what}: the contents of a table must be constants")
    if keys.type.size != values.type.size:
        raise ModelError(f"{call.what}: {keys.type.size} keys, {values.type.size} values")
    call.expect_outputs(0)
    reading.session.tables.setdefault(key, (keys, values))


def _table(call: Call) -> tuple[Value, Value]:
    key = call.reading.handle(call.indices[0][0], call.what)
    if key not in call.reading.session.tables:
        raise ModelError(f"{call.what}: table {key.name} is read before it has contents")
    return call.reading.session.tables[key]


def hashtable_find(call: Call) -> Built:
    return ops.HashtableFind(), [*_table(call), call.value(1), call.value(2)]


def hashtable_size(call: Call) -> None:
    keys = _table(call)[0].data
    assert keys is not None
    data = np.array([len(set(keys.ravel().tolist()))], np.int64)
    _define(call, [Value(call.what, TensorType((1,), DType.INT64), data)])


_B = schema.BuiltinOperator
_MANY = (0, 4096)

OPERATORS: dict[int, Row] = {
    _B.ASSIGN_VARIABLE: Row("ASSIGN_VARIABLE", assign_variable, (2, 2), outputs=0),
    _B.CALL: Row("CALL", call, _MANY, schema.CallOptions.TAG, calls=True, outputs=0),
    _B.CALL_ONCE: Row("CALL_ONCE", call_once, (0, 0), schema.CallOnceOptions.TAG, outputs=0),
    _B.HASHTABLE: Row("HASHTABLE", hashtable, (0, 0), schema.HashtableOptions.TAG),
    _B.HASHTABLE_FIND: Row("HASHTABLE_FIND", hashtable_find, (3, 3)),
    _B.HASHTABLE_IMPORT: Row("HASHTABLE_IMPORT", hashtable_import, (3, 3), outputs=0),
    _B.HASHTABLE_SIZE: Row("HASHTABLE_SIZE", hashtable_size, (1, 1)),
    _B.IF: Row("IF", if_, (1, 4096), schema.IfOptions.TAG, calls=True, outputs=0),
    _B.READ_VARIABLE: Row("READ_VARIABLE", read_variable),
    _B.VAR_HANDLE: Row("VAR_HANDLE", var_handle, (0, 0), schema.VarHandleOptions.TAG),
    _B.WHILE: Row("WHILE", while_, (1, 4096), schema.WhileOptions.TAG, calls=True, outputs=0),
}
