"""Conditions, loops, optional values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...dtype import DType
from ...errors import RunError
from ...graph import Array, Graph, TensorType, Value
from ..builder import Builder
from ..channels_first import part
from ..limits import MAX_BODIES, MAX_OPERATORS, ComputedError
from ..onnx_call import Argument, Call, Row
from .sequences import one

MAX_UNROLLED = 4096
"""The most nodes that a loop may become."""


def if_(call: Call) -> list[Argument]:
    """The branch that a known condition takes; an IF where both give results of equal types."""
    test = one_bool(call, call.value(0), "condition")
    branches = [call.attributes.get(name, "GRAPH") for name in ("then_branch", "else_branch")]
    if test.data is not None:
        return call.reading.inline(branches[not test.data.item()], [])
    builders = [Builder(), Builder()]
    outers: list[dict[Value, Value]] = [{}, {}]
    found = [
        call.reading.body(graph, b, [], outer)
        for graph, b, outer in zip(branches, builders, outers, strict=True)
    ]
    if len(found[0]) != len(found[1]):
        raise call.error(f"its branches give {len(found[0])} and {len(found[1])} results; as many")
    same_shapes(call, found[0], found[1], "its branches give")
    operands = list(dict.fromkeys(v for outer in outers for v in outer))
    graphs = []
    for b, outer, results in zip(builders, outers, found, strict=True):
        inputs = [outer.get(v) or b.input(v.name, v.type) for v in operands]
        graphs.append(graph_of(call, b, inputs, results))
    return list(call.b.add(ops.If(*graphs), [flat(call.b, test), *operands]))


def one_bool(call: Call, value: Value, what: str) -> Value:
    if value.type.size != 1 or value.type.dtype is not DType.BOOL:
        raise call.error(f"its {what} is {value.type}; it must be one bool")
    return value


def same_shapes(call: Call, a: Sequence[Value], b: Sequence[Value], what: str) -> None:
    """Leave to a call what has no one shape."""
    for x, y in zip(a, b, strict=True):
        if x.type.dtype is not y.type.dtype:
            raise call.error(f"{what} {x.type.dtype} and {y.type.dtype}; they must be equal")
        if x.type.shape != y.type.shape:
            raise ComputedError(f"{call.what}: {what} {x.type} and {y.type}")


def flat(b: Builder, x: Value) -> Value:
    """One element as a scalar."""
    return b.reshape(x, ())


def graph_of(call: Call, b: Builder, inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """What a builder holds, with its inputs in this order."""
    named = [(f"{call.b.origin}/result{i}", v) for i, v in enumerate(outputs)]
    return replace(b.graph(named, call.b.origin), inputs=tuple(inputs))


class Scanned(NamedTuple):
    """An input of which a turn reads a slice, or an output of which it gives one."""

    axis: int
    backwards: bool
    value: Value | None = None

    def place(self, i: int, turns: int) -> int:
        return turns - 1 - i if self.backwards else i


@dataclass
class Loop:
    """A graph that is run turn by turn: ONNX's Loop and Scan.

    Attributes:
        most: the most turns; None where the condition alone ends it.
        go: the condition before the first turn; None where it always holds.
        states: what each turn takes from the one before it.
        inputs: what it takes a slice of.
        outputs: what its slices become.
        counts: the graph takes the number of the turn and the condition, and gives the next.
    """

    call: Call
    graph: Any
    most: Value | None
    go: Value | None
    states: list[Argument]
    inputs: Sequence[Scanned]
    outputs: Sequence[Scanned]
    counts: bool

    @property
    def turns(self) -> int | None:
        """The most turns, if they are known."""
        if self.most is None or self.most.data is None:
            return None
        return max(int(self.most.data.item()), 0)

    def read(self) -> list[Argument]:
        """Its results: turns one by one, if their number is known and small; else a WHILE."""
        if self.most is None or self.turns is not None:
            found = self._unrolled()
            if found is not None:
                return found
        return self._while()

    def _unrolled(self) -> list[Argument] | None:
        b, session = self.call.b, self.call.reading.session
        mark = len(b.nodes)
        go, states, i = self.go, self.states, 0
        rows: list[list[Value]] = [[] for _ in self.outputs]
        while self.turns is None or i < self.turns:
            if go is not None and go.data is None:
                del b.nodes[mark:]
                return None
            if go is not None and go.data is not None and not go.data.item():
                break
            if i == session.limit and b.eager:
                raise RunError(f"{self.call.what}: it still runs after {session.limit} turns")
            long = len(b.nodes) - mark > MAX_UNROLLED or session.bodies > MAX_BODIES // 2
            if i == session.limit or ((long or session.nodes > MAX_OPERATORS // 2) and not b.eager):
                del b.nodes[mark:]
                return None
            go, states, made = self._turn(i, go, states)
            for row, value in zip(rows, made, strict=True):
                row.append(value)
            i += 1
        stacked = [self._stacked(k, row) for k, row in enumerate(rows)]
        return [*states, *stacked]

    def _turn(
        self, i: int, go: Value | None, states: list[Argument]
    ) -> tuple[Value | None, list[Argument], list[Value]]:
        """The condition, the states and the slices after turn ``i``."""
        call, b = self.call, self.call.b
        arguments = list(states)
        for scanned in self.inputs:
            assert scanned.value is not None
            assert self.turns is not None
            x, axis = scanned.value, scanned.axis
            x = part(b, x, axis, scanned.place(i, self.turns), 1)
            arguments.append(b.reshape(x, (*x.type.shape[:axis], *x.type.shape[axis + 1 :])))
        if self.counts:
            true = b.constant(np.array(True)) if go is None else go
            arguments = [b.constant(np.array(i, np.int64)), true, *arguments]
        results = call.reading.inline(self.graph, arguments)
        self._check(results)
        if self.counts:
            go = self._condition(results[0])
            results = results[1:]
        count = len(self.states)
        slices = []
        for value in results[count:]:
            if not isinstance(value, Value):
                raise call.unsupported("a slice of its results is no tensor")
            slices.append(value)
        return go, results[:count], slices

    def _condition(self, value: Argument) -> Value:
        if not isinstance(value, Value):
            raise self.call.error("its condition is no tensor; it must be one bool")
        return one_bool(self.call, value, "condition")

    def _check(self, results: Sequence[Argument]) -> None:
        wanted = self.counts + len(self.states) + len(self.outputs)
        if len(results) != wanted:
            raise self.call.error(f"its graph gives {len(results)} results; {wanted} are needed")

    def _stacked(self, k: int, row: list[Value]) -> Value:
        """Slices joined along a new axis."""
        b, out = self.call.b, self.outputs[k]
        if not row:
            shape = list(self._types()[k].shape)
            shape.insert(self._axis(out, len(shape)), 0)
            return b.constant(np.zeros(shape, self._types()[k].dtype.numpy))
        row = row[::-1] if out.backwards else row
        axis = self._axis(out, len(row[0].type.shape))
        arrays = [v.data for v in row if v.data is not None]
        same = len({(v.type.shape, v.type.dtype) for v in row}) == 1
        if b.eager and same and len(arrays) == len(row):
            return b.constant(np.stack(arrays, axis))
        return b.one(ops.Pack(axis), row)

    def _axis(self, out: Scanned, rank: int) -> int:
        return self.call.axis(out.axis, rank + 1)

    def _types(self) -> list[TensorType]:
        """Types of the slices that a turn gives."""
        b = Builder()
        results = self._body(b, {})[0]
        return [v.type for v in results[self.counts + len(self.states) :]]

    def _body(
        self, b: Builder, outer: dict[Value, Value]
    ) -> tuple[list[Value], list[Value], list[Value]]:
        """What a turn gives, the number of the turn and the condition, and the states before it."""
        call = self.call
        number = b.input("turn", TensorType((), DType.INT64))
        go = b.input("go", TensorType((), DType.BOOL))
        states = []
        for k, state in enumerate(self.states):
            if not isinstance(state, Value):
                raise call.unsupported("a loop of unknown length carries what is no tensor")
            states.append(b.input(f"state{k}", state.type))
        arguments: list[Argument] = list(states)
        for scanned in self.inputs:
            assert scanned.value is not None
            assert self.turns is not None
            x = scanned.value
            if not x.is_constant:
                if x not in outer:
                    outer[x] = b.input(x.name, x.type)
                x = outer[x]
            index = number
            if scanned.backwards:
                last = b.constant(np.array(self.turns - 1, np.int64))
                index = b.one(ops.Sub(), [last, number])
            arguments.append(b.one(ops.Gather(scanned.axis), [x, index]))
        if self.counts:
            arguments = [number, go, *arguments]
        results = call.reading.body(self.graph, b, arguments, outer)
        self._check(results)
        return results, [number, go], states

    def _while(self) -> list[Argument]:
        """A WHILE; slices are written into a tensor of as many turns as there will be."""
        call, b, turns = self.call, Builder(), self.turns
        outer: dict[Value, Value] = {}
        results, (number, go), states = self._body(b, outer)
        after = flat(b, self._condition(results[0])) if self.counts else go
        results = results[self.counts :]
        slices = results[len(states) :]
        same_shapes(call, states, results[: len(states)], "a turn takes and gives")
        always = (self.go is None or _holds(self.go.data)) and (after is go or _holds(after.data))
        if slices and (turns is None or not always):
            raise ComputedError(f"{call.what}: how many slices it gives depends on values")
        wholes, before, written = [], [], []
        for out, piece in zip(self.outputs, slices, strict=True):
            assert turns is not None
            shape, axis = list(piece.type.shape), self._axis(out, len(piece.type.shape))
            zero = call.b.constant(np.zeros((), piece.type.dtype.numpy))
            shape.insert(axis, turns)
            wholes.append(call.one(ops.Fill(tuple(shape)), zero))
            before.append(b.input("slices", wholes[-1].type))
            shape[axis] = 1
            index = number
            if out.backwards:
                index = b.one(ops.Sub(), [b.constant(np.array(turns - 1, np.int64)), number])
            zeros = [b.constant(np.zeros(n, np.int64)) for n in (axis, len(shape) - axis - 1)]
            start = b.one(ops.Concatenation(0), [zeros[0], b.reshape(index, (1,)), zeros[1]])
            update = [before[-1], b.reshape(piece, shape), start]
            written.append(b.one(ops.DynamicUpdateSlice(), update))
        limit = np.array(2**63 - 1 if turns is None else turns, np.int64)
        most = call.b.constant(limit)
        if self.most is not None and turns is None:
            most = flat(call.b, self.most)
        bound = b.input("most", most.type)
        following = b.one(ops.Add(), [number, b.constant(np.array(1, np.int64))])
        captured = list(outer.values())
        inputs = [number, bound, go, *states, *before, *captured]
        outputs = [following, bound, after, *results[: len(states)], *written, *captured]
        test = Builder()
        tested = [test.input(v.name, v.type) for v in inputs]
        below = test.one(ops.Less(), tested[:2])
        both = test.one(ops.LogicalAnd(), [below, tested[2]])
        op = ops.While(graph_of(call, test, tested, [both]), graph_of(call, b, inputs, outputs))
        first = call.b.constant(np.array(True)) if self.go is None else flat(call.b, self.go)
        given = [v for v in self.states if isinstance(v, Value)]
        zero = call.b.constant(np.array(0, np.int64))
        found = call.b.add(op, [zero, most, first, *given, *wholes, *outer])
        return list(found[3 : 3 + len(states) + len(wholes)])


def _holds(data: Array | None) -> bool:
    return data is not None and bool(data.item())


def loop(call: Call) -> list[Argument]:
    """The number of turns and the condition may be left out."""
    graph = call.attributes.get("body", "GRAPH")
    states = list(call.inputs[2:])
    most, go = call.optional(0), call.optional(1)
    if most is not None and (most.type.size != 1 or most.type.dtype is not DType.INT64):
        raise call.error(f"its number of turns is {most.type}; it must be one int64")
    if go is not None:
        one_bool(call, go, "condition")
    slices = len(graph.output) - 1 - len(states)
    if slices < 0:
        raise call.error(f"its graph gives {len(graph.output)} results; 1 and {len(states)} states")
    outputs = [Scanned(0, False)] * slices
    return Loop(call, graph, most, go, states, (), outputs, True).read()


def scan(call: Call) -> list[Argument]:
    if call.opset < 9:
        return scan_of_batches(call)
    count = call.integer("num_scan_inputs")
    if not 1 <= count <= len(call.inputs):
        raise call.error(f"{count} scanned inputs of {len(call.inputs)}; at least 1")
    states = list(call.inputs[: len(call.inputs) - count])
    values = call.values(len(states))
    axes = call.ints("scan_input_axes", [0] * count)
    ways = directions(call, "scan_input_directions", count)
    if len(axes) != count:
        raise call.error(f"{len(axes)} axes of {count} scanned inputs; as many")
    inputs = [
        Scanned(call.axis(axis, len(x.type.shape)), way, x)
        for axis, way, x in zip(axes, ways, values, strict=True)
    ]
    return scan_of(call, states, inputs)


def scan_of(call: Call, states: list[Argument], inputs: Sequence[Scanned]) -> list[Argument]:
    graph = call.attributes.get("body", "GRAPH")
    outputs = len(graph.output) - len(states)
    if outputs < 0:
        raise call.error(f"its graph gives {len(graph.output)} results for {len(states)} states")
    axes = call.ints("scan_output_axes", [0] * outputs)
    ways = directions(call, "scan_output_directions", outputs)
    if len(axes) != outputs:
        raise call.error(f"{len(axes)} axes of {outputs} scanned outputs; as many")
    turns = {x.value.type.shape[x.axis] for x in inputs if x.value is not None}
    if len(turns) != 1:
        raise call.error(f"its inputs have {sorted(turns)} slices; as many")
    most = call.b.constant(np.array(turns.pop(), np.int64))
    scanned = [Scanned(axis, way) for axis, way in zip(axes, ways, strict=True)]
    return Loop(call, graph, most, None, states, inputs, scanned, False).read()


def directions(call: Call, name: str, count: int) -> list[bool]:
    """Whether each goes from the end."""
    found = call.ints(name, [0] * count)
    if len(found) != count or not set(found) <= {0, 1}:
        raise call.error(f"attribute {name!r} is {list(found)}; {count} numbers that are 0 or 1")
    return [bool(n) for n in found]


def scan_of_batches(call: Call) -> list[Argument]:
    """Opset 8: every tensor has a first axis of batches, each scanned on its own."""
    if call.has(0):
        raise call.unsupported("sequence_lens; supported are batches of one length")
    count = call.integer("num_scan_inputs")
    values = call.values(1)
    if not 1 <= count <= len(values):
        raise call.error(f"{count} scanned inputs of {len(values)}; at least 1")
    batches = {v.type.shape[0] if len(v.type.shape) > 0 else 0 for v in values}
    if len(batches) != 1 or not 1 <= max(batches) <= MAX_BODIES:
        raise call.error(f"batches of {sorted(batches)}; equal, 1 to {MAX_BODIES}")
    ways = directions(call, "directions", count)
    rows: list[list[Value]] = []
    for i in range(max(batches)):
        pieces = [part(call.b, v, 0, i, 1) for v in values]
        pieces = [call.b.reshape(v, v.type.shape[1:]) for v in pieces]
        states: list[Argument] = list(pieces[: len(pieces) - count])
        inputs = [
            Scanned(call.axis(0, len(x.type.shape)), way, x)
            for way, x in zip(ways, pieces[len(states) :], strict=True)
        ]
        rows.append([v for v in scan_of(call, states, inputs) if isinstance(v, Value)])
    return [call.b.one(ops.Pack(0), column) for column in zip(*rows, strict=True)]


def optional(call: Call) -> Argument:
    return call.inputs[0] if call.inputs else None


def optional_has_element(call: Call) -> Value:
    given = bool(call.inputs) and call.inputs[0] is not None
    return call.b.constant(np.array(given))


def optional_get_element(call: Call) -> Argument:
    found = call.inputs[0]
    if found is None:
        raise call.error("it takes the element of an empty optional")
    return found


OPERATORS: dict[str, Row] = {
    "If": Row(if_),
    "Loop": Row(loop, (2, 4096)),
    "Optional": Row(one(optional), (0, 1)),
    "OptionalGetElement": Row(one(optional_get_element)),
    "OptionalHasElement": Row(optional_has_element, (0, 1)),
    "Scan": Row(scan, (1, 4096)),
}
