"""Conditions, loops, scans and sequences of ONNX, beside ONNX Runtime."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_files import Array, check, graph, info, model, node, operators, tensor

import edgewise as ew
from edgewise.errors import ModelError, RunError, UnsupportedError

I64 = np.int64


def data(*shape: int) -> Array:
    return np.random.default_rng(3).integers(-9, 10, shape).astype(np.float32)


def branch(nodes: list[Any], *outputs: str) -> onnx.GraphProto:
    return graph(nodes, [], outputs, name="branch")


TWICE = branch([node("Add", ["x", "x"], ["twice"])], "twice")
SQUARE = branch([node("Mul", ["x", "x"], ["square"])], "square")
TRUE, FALSE = np.array(True), np.array(False)


def condition(then: Any, otherwise: Any, constants: Any = None, **inputs: Any) -> bytes:
    nodes = [node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise)]
    declared = [info(k, v.shape, v.dtype) for k, v in inputs.items()]
    return model(graph(nodes, declared, ["y"], constants))


@pytest.mark.parametrize("test", [TRUE, FALSE])
def test_if_of_a_call(test: Array) -> None:
    feeds = {"c": test, "x": data(2, 3)}
    g = check(condition(TWICE, SQUARE, **feeds), feeds)
    assert operators(g) == ["IF"]


def test_if_of_a_constant_is_its_branch() -> None:
    feeds = {"x": data(2, 3)}
    g = check(condition(TWICE, SQUARE, {"c": FALSE}, **feeds), feeds)
    assert operators(g) == ["MUL"]


def test_branches_may_read_different_values() -> None:
    then = branch([node("Neg", ["a"], ["neg"])], "neg")
    otherwise = branch([node("Mul", ["a", "b"], ["mul"])], "mul")
    for test in (TRUE, FALSE):
        feeds = {"c": test, "a": data(3), "b": data(3) + 1}
        assert operators(check(condition(then, otherwise, **feeds), feeds)) == ["IF"]


@pytest.mark.parametrize("test", [TRUE, FALSE])
def test_branches_of_different_shapes_wait_for_a_call(test: Array) -> None:
    otherwise = branch([node("Concat", ["x", "x"], ["wide"], axis=0)], "wide")
    feeds = {"c": test, "x": data(2)}
    g = check(condition(TWICE, otherwise, **feeds), feeds)
    assert operators(g) == ["INTERPRETED"]


def test_nested_branches_read_the_outermost_values() -> None:
    inner = node("If", ["d"], ["inner"], then_branch=TWICE, else_branch=SQUARE)
    for c in (TRUE, FALSE):
        for d in (TRUE, FALSE):
            feeds = {"c": c, "d": d, "x": data(2)}
            check(condition(branch([inner], "inner"), SQUARE, **feeds), feeds)


def body(nodes: list[Any], states: Any, outputs: Any, test: str = "go") -> onnx.GraphProto:
    inputs = [info("i", (), I64), info("go", (), np.bool_), *states]
    out = [info("more", (), np.bool_), *outputs]
    return graph([node("Identity", [test], ["more"]), *nodes], inputs, out, name="body")


def loop(
    made: onnx.GraphProto,
    feeds: dict[str, Array],
    outputs: Any,
    constants: Any = None,
    operands: Any = ("n", "c", "s"),
) -> bytes:
    names = [o if isinstance(o, str) else o.name for o in outputs]
    nodes = [node("Loop", operands, names, body=made)]
    declared = [info(k, v.shape, v.dtype) for k, v in feeds.items()]
    return model(graph(nodes, declared, outputs, constants))


STATE = [info("s_in", (2, 3))]
SUMS = body(
    [node("Add", ["s_in", "x"], ["s_out"]), node("Mul", ["s_out", "x"], ["row"])],
    STATE,
    ["s_out", "row"],
)


def test_loop_of_known_turns_is_its_turns() -> None:
    feeds = {"x": data(2, 3), "s": data(2, 3)}
    content = loop(SUMS, feeds, ["y", "rows"], {"n": I64(3), "c": TRUE})
    assert operators(check(content, feeds)) == ["ADD", "MUL"] * 3 + ["PACK"]


def test_loop_without_turns() -> None:
    feeds = {"x": data(2, 3), "s": data(2, 3)}
    g = check(loop(SUMS, feeds, ["y", "rows"], {"n": I64(0), "c": TRUE}), feeds)
    assert g.outputs[1].type.shape == (0, 2, 3)


def test_loop_of_computed_turns_is_a_while() -> None:
    made = body([node("Add", ["s_in", "x"], ["s_out"])], STATE, ["s_out"])
    for turns in (0, 1, 5):
        feeds = {"n": np.array(turns), "c": TRUE, "x": data(2, 3), "s": data(2, 3)}
        assert operators(check(loop(made, feeds, ["y"]), feeds)) == ["WHILE"]


def test_loop_ends_by_its_condition() -> None:
    nodes = [
        node("Add", ["s_in", "x"], ["s_out"]),
        node("ReduceSum", ["s_out"], ["sum"], keepdims=0),
        node("Less", ["sum", "limit"], ["less"]),
    ]
    made = body(nodes, [info("s_in", (3,))], [info("s_out", (3,))], "less")
    made.node.append(made.node[0])
    del made.node[0]
    feeds = {"x": np.float32([1, 2, 3]), "s": np.zeros(3, np.float32)}
    constants = {"limit": np.float32(20), "c": TRUE, "n": I64(100)}
    assert operators(check(loop(made, feeds, ["y"], constants), feeds)) == ["WHILE"]
    endless = loop(made, feeds, ["y"], {"limit": np.float32(20), "c": TRUE}, ("", "c", "s"))
    check(endless, feeds, [np.float32([4, 8, 12])])


def test_long_loop_writes_its_slices() -> None:
    """Too many turns to be taken one by one."""
    feeds = {"x": data(2, 3), "s": data(2, 3)}
    content = loop(SUMS, feeds, ["y", "rows"], {"n": I64(3000), "c": TRUE})
    g = ew.load(content)
    assert operators(g) == ["FILL", "WHILE"]
    with contextlib.closing(ew.compile(g)) as program:
        y, rows = program(**feeds)
    assert np.array_equal(y, feeds["s"] + 3000 * feeds["x"])
    assert np.array_equal(rows[-1], y * feeds["x"])
    assert rows.shape == (3000, 2, 3)


def test_slices_of_computed_turns_wait_for_a_call() -> None:
    feeds = {"n": np.array(4), "c": TRUE, "x": data(2, 3), "s": data(2, 3)}
    outputs = ["y", info("rows", ["n", 2, 3])]
    assert operators(check(loop(SUMS, feeds, outputs), feeds)) == ["INTERPRETED"]


def test_states_that_grow_wait_for_a_call() -> None:
    nodes = [node("Concat", ["s_in", "x"], ["s_out"], axis=0)]
    made = body(nodes, [info("s_in", ["n"])], [info("s_out", ["m"])])
    feeds = {"n": np.array(2), "c": TRUE, "x": data(2), "s": data(1)}
    g = check(loop(made, feeds, [info("y", ["k"])]), feeds)
    assert operators(g) == ["INTERPRETED"]
    constants = {"n": I64(2), "c": TRUE}
    feeds = {k: feeds[k] for k in ("x", "s")}
    assert operators(check(loop(made, feeds, ["y"], constants), feeds)) == ["CONCATENATION"] * 2


def test_an_endless_loop_of_a_call_is_refused() -> None:
    nodes = [node("Concat", ["s_in", "x"], ["s_out"], axis=0)]
    made = body(nodes, [info("s_in", ["n"])], [info("s_out", ["m"])])
    feeds = {"c": TRUE, "x": data(1), "s": data(1)}
    graph_of = ew.load(loop(made, feeds, [info("y", ["k"])], None, ("", "c", "s")))
    with (
        contextlib.closing(ew.compile(graph_of, max_iterations=20)) as program,
        pytest.raises(RunError, match="still runs after 20 turns"),
    ):
        program(**feeds)


@pytest.mark.slow
def test_a_call_may_take_many_turns() -> None:
    """More nodes than a file may become."""
    nodes = [node("Add", ["s_in", "x"], ["s_out"]), node("Neg", ["s_out"], ["row"])]
    made = body(nodes, [info("s_in", (1,))], ["s_out", "row"])
    feeds = {"n": np.array(12_000), "c": TRUE, "x": np.ones(1, np.float32)}
    feeds["s"] = np.zeros(1, np.float32)
    outputs = ["y", info("rows", ["n", 1])]
    with contextlib.closing(ew.compile(ew.load(loop(made, feeds, outputs)))) as program:
        y, rows = program(**feeds)
    assert y == 12_000
    assert np.array_equal(rows[:, 0], -np.arange(1, 12_001))


def test_loops_become_no_endless_networks() -> None:
    """Each turn of the outer loop holds one that may end by its condition."""
    nodes = [
        node("Add", ["s_in", "x"], ["s_out"]),
        node("ReduceSum", ["s_out"], ["sum"], keepdims=0),
        node("Less", ["sum", "limit"], ["less"]),
    ]
    inner = body(nodes, [info("s_in", (1,))], [info("s_out", (1,))], "less")
    inner.node.append(inner.node[0])
    del inner.node[0]
    again = node("Loop", ["", "c", "t_in"], ["t_out"], body=inner)
    made = body([again], [info("t_in", (1,))], [info("t_out", (1,))])
    feeds = {"x": np.ones(1, np.float32), "s": np.zeros(1, np.float32)}
    constants = {"n": I64(1000), "c": TRUE, "limit": np.float32(3)}
    g = ew.load(loop(made, feeds, ["y"], constants))
    assert set(operators(g)) == {"WHILE"}


def test_what_waits_for_a_call_may_be_read_by_graphs() -> None:
    """An IF whose branch reads the result of NonZero, beside an output that needs no call."""
    then = branch([node("Cast", ["places"], ["f"], to=1)], "f")
    otherwise = branch([node("Neg", ["fp"], ["neg"])], "neg")
    nodes = [
        node("NonZero", ["x"], ["places"]),
        node("Cast", ["places"], ["fp"], to=1),
        node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise),
        node("Abs", ["x"], ["z"]),
    ]
    for test in (TRUE, FALSE):
        feeds = {"x": data(2, 3), "c": test}
        declared = [info("x", (2, 3)), info("c", (), np.bool_)]
        outputs = [info("y", [2, "n"]), info("z", (2, 3))]
        g = check(model(graph(nodes, declared, outputs)), feeds)
        assert operators(g) == ["ABS", "INTERPRETED"]


SCANNED = graph(
    [node("Add", ["s_in", "x_in"], ["s_out"]), node("Mul", ["s_out", "w"], ["row"])],
    [info("s_in", (3,)), info("x_in", (3,))],
    [info("s_out", (3,)), info("row", (3,))],
    name="scanned",
)


def scan(feeds: dict[str, Array], **attributes: Any) -> bytes:
    nodes = [node("Scan", ["s", "x"], ["y", "rows"], body=SCANNED, **attributes)]
    declared = [info(k, v.shape, v.dtype) for k, v in feeds.items()]
    return model(graph(nodes, declared, ["y", "rows"]))


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize("out", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scan(way: int, out: int, axis: int) -> None:
    x = data(4, 3) if axis == 0 else data(3, 4)
    feeds = {"s": data(3), "x": x, "w": data(3)}
    content = scan(
        feeds,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_input_directions=[way],
        scan_output_axes=[axis],
        scan_output_directions=[out],
    )
    g = check(content, feeds)
    assert operators(g).count("ADD") == 4


@pytest.mark.parametrize("way", [0, 1])
def test_long_scan_is_a_while(way: int) -> None:
    x = data(2500, 3)
    feeds = {"s": data(3), "x": x, "w": data(3)}
    content = scan(
        feeds, num_scan_inputs=1, scan_input_directions=[way], scan_output_directions=[way]
    )
    g = ew.load(content)
    assert operators(g) == ["FILL", "WHILE"]
    with contextlib.closing(ew.compile(g)) as program:
        y, rows = program(**feeds)
    ordered = x[::-1] if way else x
    sums = feeds["s"] + np.cumsum(ordered, axis=0)
    assert np.array_equal(y, sums[-1])
    assert np.array_equal(rows, (sums * feeds["w"])[:: -1 if way else 1])


def test_sequences_of_known_length() -> None:
    nodes = [
        node("SplitToSequence", ["x", "sizes"], ["parts"], axis=1),
        node("SequenceAt", ["parts", "first"], ["a"]),
        node("SequenceInsert", ["parts", "a"], ["more"]),
        node("SequenceErase", ["more", "first"], ["less"]),
        node("ConcatFromSequence", ["less"], ["y"], axis=1),
        node("SequenceLength", ["less"], ["n"]),
    ]
    constants = {"sizes": np.array([1, 2, 1]), "first": I64(0)}
    outputs = ["y", info("n", (), I64)]
    check(model(graph(nodes, [info("x", (2, 4))], outputs, constants)), {"x": data(2, 4)})


def test_sequences_are_stacked() -> None:
    nodes = [
        node("SequenceEmpty", [], ["none"]),
        node("SequenceInsert", ["none", "a"], ["one"]),
        node("SequenceConstruct", ["a", "b"], ["two"]),
        node("ConcatFromSequence", ["two"], ["y"], axis=-1, new_axis=1),
        node("ConcatFromSequence", ["one"], ["z"], axis=0),
    ]
    feeds = {"a": data(2, 3), "b": data(2, 3) + 1}
    declared = [info(k, v.shape) for k, v in feeds.items()]
    check(model(graph(nodes, declared, ["y", "z"])), feeds)


def test_sequence_map() -> None:
    made = graph([node("Add", ["p", "q"], ["r"])], [info("p", None), info("q", None)], ["r"])
    nodes = [
        node("SplitToSequence", ["x"], ["parts"], axis=0, keepdims=0),
        node("SequenceMap", ["parts", "b"], ["sums"], body=made),
        node("ConcatFromSequence", ["sums"], ["y"], axis=0),
    ]
    feeds = {"x": data(3, 2), "b": data(2)}
    declared = [info(k, v.shape) for k, v in feeds.items()]
    y = (feeds["x"] + feeds["b"]).reshape(-1)
    check(model(graph(nodes, declared, ["y"])), feeds, [y])


def test_optional_values() -> None:
    nodes = [
        node("Optional", ["x"], ["o"]),
        node("OptionalHasElement", ["o"], ["has"]),
        node("OptionalGetElement", ["o"], ["y"]),
        node("OptionalHasElement", [], ["no"]),
    ]
    x = data(2)
    outputs = ["y", info("has", (), np.bool_), info("no", (), np.bool_)]
    content = model(graph(nodes, [info("x", (2,))], outputs))
    check(content, {"x": x}, [x, TRUE, FALSE])


def small(nodes: list[Any], constants: Any = None, outputs: Any = ("y",)) -> bytes:
    declared = [info("x", (2,)), info("c", (), np.bool_), info("n", (), I64)]
    return model(graph(nodes, declared, outputs, constants))


NARROW = graph([], [info("p", None)], ["p"], name="narrow")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (
            node("If", ["x"], ["y"], then_branch=TWICE, else_branch=SQUARE),
            "its condition is float32.*one bool",
        ),
        (node("If", ["c"], ["y"], then_branch=TWICE), "attribute 'else_branch' is missing"),
        (
            node("If", ["c"], ["y"], then_branch=TWICE, else_branch=NARROW),
            "takes 1 inputs; it is given 0",
        ),
        (node("Loop", ["c", "c", "x"], ["y"], body=SUMS), "its number of turns is bool"),
        (node("Loop", ["n", "x", "x"], ["y"], body=SUMS), "its condition is float32"),
        (node("Loop", ["n", "c", "x", "x", "x"], ["y"], body=SUMS), "gives 3 results"),
        (node("Scan", ["x", "x"], ["y"], body=SCANNED, num_scan_inputs=3), "3 scanned inputs of 2"),
        (
            node(
                "Scan", ["x", "x"], ["y"], body=SCANNED, num_scan_inputs=1, scan_input_axes=[0, 1]
            ),
            "2 axes of 1 scanned",
        ),
        (
            node(
                "Scan",
                ["x", "x"],
                ["y"],
                body=SCANNED,
                num_scan_inputs=1,
                scan_input_directions=[2],
            ),
            "numbers that are 0 or 1",
        ),
        (node("SequenceAt", ["x", "n"], ["y"]), "input 0 is no sequence"),
        (node("OptionalGetElement", [""], ["y"]), "empty optional"),
    ],
)
def test_broken_rules(given: Any, rule: str) -> None:
    with pytest.raises(ModelError, match=f"node '{given.op_type}_0' .*{rule}"):
        ew.load(small([given]))


def test_a_sequence_is_no_tensor() -> None:
    nodes = [node("SequenceConstruct", ["x"], ["s"]), node("Abs", ["s"], ["y"])]
    with pytest.raises(ModelError, match="input 0 is a sequence; it must be a tensor"):
        ew.load(small(nodes))
    with pytest.raises(UnsupportedError, match="output 's' is a sequence"):
        ew.load(small(nodes[:1], None, ["s"]))


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ([node("SequenceAt", ["s", "two"], ["y"])], "axis 2"),
        ([node("SequenceInsert", ["s", "x", "two"], ["t"])], "position 2 in a sequence of 1"),
        ([node("SplitToSequence", ["x", "zero"], ["t"])], "parts of 0"),
        ([node("SplitToSequence", ["x", "three"], ["t"])], "they sum to 2"),
        (
            [node("SequenceEmpty", [], ["t"]), node("ConcatFromSequence", ["t"], ["y"], axis=0)],
            "at least one tensor",
        ),
    ],
)
def test_broken_rules_of_sequences(nodes: list[Any], rule: str) -> None:
    constants = {"two": I64(2), "zero": I64(0), "three": np.array([3])}
    made = [node("SequenceConstruct", ["x"], ["s"]), *nodes, node("Abs", ["x"], ["z"])]
    with pytest.raises(ModelError, match=rule):
        ew.load(small(made, constants, ["z"]))


def test_old_scan_of_batches() -> None:
    made = graph(
        [node("Add", ["s_in", "x_in"], ["s_out"]), node("Identity", ["s_out"], ["row"])],
        [info("s_in", (2,)), info("x_in", (2,))],
        [info("s_out", (2,)), info("row", (2,))],
    )
    nodes = [node("Scan", ["", "s", "x"], ["y", "rows"], body=made, num_scan_inputs=1)]
    feeds = {"s": data(3, 2), "x": data(3, 4, 2)}
    declared = [info(k, v.shape) for k, v in feeds.items()]
    sums = feeds["s"][:, None] + np.cumsum(feeds["x"], axis=1)
    content = model(graph(nodes, declared, ["y", "rows"]), opset=8)
    check(content, feeds, [sums[:, -1], sums])
    nodes = [node("Scan", ["n", "s", "x"], ["y", "rows"], body=made, num_scan_inputs=1)]
    lengths = model(graph(nodes, declared, ["y", "rows"], {"n": np.array([4, 4, 4])}), opset=8)
    with pytest.raises(UnsupportedError, match="sequence_lens"):
        ew.load(lengths)


def test_graphs_nest_a_few_deep() -> None:
    inner = TWICE
    for i in range(20):
        name = f"y{i}"
        inner = branch([node("If", ["t"], [name], then_branch=inner, else_branch=SQUARE)], name)
    content = model(
        graph(
            [node("If", ["t"], ["y"], then_branch=inner, else_branch=SQUARE)],
            [info("x", (2,))],
            ["y"],
            {"t": TRUE},
        )
    )
    with pytest.raises(ModelError, match="nest more than 16 deep"):
        ew.load(content)


def test_tensors_of_branches_are_their_own() -> None:
    then = branch([node("Add", ["x", "w"], ["sum"])], "sum")
    then.initializer.append(tensor("w", data(2)))
    feeds = {"c": TRUE, "x": data(2)}
    check(condition(then, SQUARE, **feeds), feeds)


def test_a_name_is_used_once_in_what_waits_for_a_call() -> None:
    nodes = [node("NonZero", ["x"], ["y"]), node("NonZero", ["y"], ["y"])]
    with pytest.raises(ModelError, match="output 'y' is already defined"):
        ew.load(small(nodes))


def test_what_a_call_evaluates_is_bounded() -> None:
    filled = node("ConstantOfShape", ["n"], ["y"])
    data = model(graph([filled], [info("n", (1,), np.int64)], ["y"]))
    program = ew.compile(ew.load(data))
    assert program(np.array([7], np.int64)).shape == (7,)
    with pytest.raises(RunError, match=r"its results take 1073741824 bytes; at most 536870912"):
        program(np.array([2**28], np.int64))
