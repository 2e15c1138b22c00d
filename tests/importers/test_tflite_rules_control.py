"""Rules of control flow, variables and tables: a file that breaks one is refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgewise as ew
from edgewise.dtype import DType
from edgewise.errors import ModelError, RunError, UnsupportedError
from edgewise.importers import load
from tflite_builder import Operator, build
from tflite_networks import (
    accumulator,
    boolean,
    branch,
    constant,
    counter_in_a_loop,
    f32,
    handle,
    i32,
    join,
    lookup,
    loop,
    nonzero,
    pack,
    parse,
)


def changed(data: bytes, change: Callable[[Any], object]) -> bytes:
    model = parse(data)
    change(model)
    return pack(model)


def options(subgraph: int, index: int, **fields: Any) -> Callable[[Any], object]:
    def change(model: Any) -> None:
        vars(model.subgraphs[subgraph].operators[index].builtinOptions).update(fields)

    return change


def drop_operator(subgraph: int, index: int) -> Callable[[Any], object]:
    return lambda m: m.subgraphs[subgraph].operators.pop(index)


def drop(subgraph: int, field: str) -> Callable[[Any], object]:
    """Remove the last input or output of a subgraph."""

    def change(model: Any) -> None:
        graph = model.subgraphs[subgraph]
        setattr(graph, field, getattr(graph, field)[:-1])

    return change


def recursion() -> bytes:
    """A subgraph that calls itself."""
    x, y = f32(2, name="x"), f32(2, name="y")
    call = Operator("CALL", [x], [y], "CallOptions", {"Subgraph": 0})
    return build([call], [x], [y])


def condition_that_assigns() -> bytes:
    """A loop whose condition changes a variable."""

    def change(model: Any) -> None:
        test, body = model.subgraphs[2], model.subgraphs[3]
        offset = len(test.tensors)
        test.tensors += body.tensors
        for operator in map(copy.copy, body.operators[:4]):
            operator.inputs = np.asarray(operator.inputs) + offset if len(operator.inputs) else []
            operator.outputs = (
                np.asarray(operator.outputs) + offset if len(operator.outputs) else []
            )
            test.operators.append(operator)

    return changed(counter_in_a_loop(), change)


def assignment_of_another_shape() -> bytes:
    """READ, then ASSIGN of what has another shape."""
    x, h, old, new = f32(3, name="x"), handle("h"), f32(3), f32(6, name="y")
    name = {"Container": "", "SharedName": "v"}
    steps = [
        Operator("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1}),
        Operator("VAR_HANDLE", [], [h], "VarHandleOptions", name),
        Operator("READ_VARIABLE", [h], [old], "ReadVariableOptions"),
        Operator("CONCATENATION", [old, x], [new], "ConcatenationOptions"),
        Operator("ASSIGN_VARIABLE", [h, new], [], "AssignVariableOptions"),
    ]
    g = handle("g")
    first = [
        Operator("VAR_HANDLE", [], [g], "VarHandleOptions", name),
        Operator("ASSIGN_VARIABLE", [g, constant([1, 2, 3])], [], "AssignVariableOptions"),
    ]
    return join(build(steps, [x], [new]), build(first, [], []))


def endless_initialization() -> bytes:
    """CALL_ONCE of a loop over constants that never ends."""
    x, y, more = f32(1, name="x"), f32(1, name="y"), boolean()
    once = Operator("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1})
    main = build([once, Operator("TANH", [x], [y])], [x], [y])
    loop_options = {"CondSubgraphIndex": 2, "BodySubgraphIndex": 3}
    init = build([Operator("WHILE", [constant([0.0])], [y], "WhileOptions", loop_options)], [], [])
    test = build([Operator("LESS", [x, constant([1e30])], [more], "LessOptions")], [x], [more])
    body = build([Operator("ADD", [x, constant([1.0])], [y], "AddOptions")], [x], [y])
    return join(main, init, test, body)


FILES: dict[str, tuple[Callable[[], bytes], type[ModelError], str]] = {
    "no such subgraph": (
        lambda: changed(branch(), options(0, 2, thenSubgraphIndex=7)),
        ModelError,
        "subgraph 7: the file has 3",
    ),
    "negative subgraph": (
        lambda: changed(loop(None), options(0, 0, bodySubgraphIndex=-1)),
        ModelError,
        "subgraph -1: the file has 3",
    ),
    "recursion": (recursion, ModelError, "call one another more than 16 deep"),
    "inputs of a branch": (
        lambda: changed(branch(), drop(1, "inputs")),
        ModelError,
        "subgraph 1: 0 inputs; it is given 1",
    ),
    "outputs of a branch": (
        lambda: changed(branch(), drop(1, "outputs")),
        ModelError,
        r"one branch gives \(\); the other gives \(float32\[4\]\)",
    ),
    "outputs of a body": (
        lambda: changed(loop(None), drop(2, "outputs")),
        ModelError,
        "its body takes",
    ),
    "outputs of an unrolled body": (
        lambda: changed(loop(3), drop(2, "outputs")),
        ModelError,
        "its body gives 1; it takes 2",
    ),
    "condition of a loop": (
        lambda: changed(
            loop(None), lambda m: setattr(m.subgraphs[1], "outputs", m.subgraphs[1].inputs[:1])
        ),
        ModelError,
        "its condition is int32",
    ),
    "condition of a branch": (
        lambda: changed(branch(), lambda m: setattr(m.subgraphs[0].operators[2], "inputs", [0, 0])),
        ModelError,
        r"its condition is float32\[4\]; it must be one bool",
    ),
    "dtype of an argument": (
        lambda: changed(branch(), lambda m: setattr(m.subgraphs[1].tensors[0], "type", 2)),
        ModelError,
        r"\(int32\[4\]\); it is given float32\[4\]",
    ),
    "variable never assigned": (
        lambda: changed(accumulator(), drop_operator(0, 0)),
        ModelError,
        "variable 'total' is read before it is assigned",
    ),
    "no handle": (
        lambda: changed(
            accumulator(), lambda m: setattr(m.subgraphs[0].operators[2], "inputs", [2])
        ),
        ModelError,
        "is no handle of a variable|is used before",
    ),
    "handle as output": (
        lambda: changed(accumulator(), lambda m: setattr(m.subgraphs[0], "outputs", [0])),
        ModelError,
        "an output is the handle",
    ),
    "handle as operand": (
        lambda: changed(
            accumulator(), lambda m: setattr(m.subgraphs[0].operators[3], "inputs", [0, 0])
        ),
        ModelError,
        "input 0 is left out",
    ),
    "shape of a variable": (
        assignment_of_another_shape,
        UnsupportedError,
        "a variable that changes its type",
    ),
    "condition that assigns": (
        condition_that_assigns,
        UnsupportedError,
        "a condition that assigns variables",
    ),
    "initialization that does not end": (
        endless_initialization,
        ModelError,
        "its condition still holds after",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_file(name: str) -> None:
    make, kind, message = FILES[name]
    with pytest.raises(ModelError, match=message) as caught:
        ew.compile(load(make()))
    assert type(caught.value) is kind


def test_a_shape_that_only_a_call_contradicts() -> None:
    """RESHAPE by a computed shape is tried in the call; the program stays usable."""
    x, n = f32(2, 6, name="x"), i32(2, name="n")
    y = f32(3, 4, name="y")
    reshape = Operator("RESHAPE", [x, n], [y], "ReshapeOptions", {"NewShape": [3, 4]})
    program = ew.compile(load(build([reshape], [x, n], [y])))
    data = np.arange(12, dtype=np.float32).reshape(2, 6)
    for shape in ([3, 4], [-1, 2], [12, 1]):
        np.testing.assert_array_equal(program(data, np.array(shape, np.int32)), data.reshape(shape))
    with pytest.raises(RunError, match=r"operator 0 RESHAPE: .*12 elements into \[5, 5\]"):
        program(data, np.array([5, 5], np.int32))
    assert program(data, np.array([4, 3], np.int32)).shape == (4, 3)


def test_table_without_contents() -> None:
    program = ew.compile(load(changed(lookup(), drop_operator(0, 0))))
    with pytest.raises(RunError, match="table 7 is read before it has contents"):
        program(np.zeros(4, np.int64))


def test_signature_of_a_missing_subgraph() -> None:
    from edgewise.errors import InputError
    from test_runtime_shapes import two_networks

    content = changed(two_networks(), lambda m: m.subgraphs.pop())
    with pytest.raises(ModelError, match="subgraph 1: the file has 1"):
        load(content)
    with pytest.raises(InputError, match="no signature"):
        load(two_networks(), signature="")


def test_interpreted_outputs_are_open() -> None:
    graph = load(nonzero())
    (node,) = [n for n in graph.nodes if n.op.name == "INTERPRETED"]
    assert [v.type.shape for v in node.outputs] == [(-1, -1), (-1,)]
    assert graph.nodes[-1] is node
    assert node.outputs[0].type.dtype is DType.INT64
