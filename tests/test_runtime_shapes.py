"""Programs for inputs of other shapes, and signatures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import edgewise as ew
from edgewise import runtime
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array
from networks import classifier
from tflite_builder import Operator, build
from tflite_networks import (
    accumulator,
    constant,
    dense_of_any_batch,
    f32,
    join,
    opened,
    signature,
)


def batch(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def litert(content: bytes, x: Array) -> Array:
    interpreter = Interpreter(model_content=content, num_threads=1)
    (detail,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(detail["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    found: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


class TestOpenDimensions:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_any_batch(self, threads: int) -> None:
        content = dense_of_any_batch()
        program = ew.compile(ew.load(content), threads=threads)
        assert program.graph.open == {"x": (-1, 4)}
        for n in (1, 5, 2, 5, 1):
            found = program(batch(n, n))
            np.testing.assert_allclose(found, litert(content, batch(n, n)), rtol=1e-5, atol=1e-6)
            assert program.inputs[0].type.shape == program.outputs[0].type.shape == (n, 4)
        program.close()

    def test_a_shape_is_planned_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        program = ew.compile(ew.load(dense_of_any_batch()))
        made: list[tuple[int, ...]] = []
        execution = runtime.Execution

        def count(graph: Any, *rest: Any) -> Any:
            made.append(graph.inputs[0].type.shape)
            return execution(graph, *rest)

        monkeypatch.setattr(runtime, "Execution", count)
        for n in (1, 2, 3, 2, 1, 3):
            program(batch(n))
        assert made == [(2, 4), (3, 4)]

    def test_memory_is_bounded(self) -> None:
        program = ew.compile(ew.load(dense_of_any_batch()))
        for n in range(1, 2 * runtime.MAX_SHAPES):
            assert program(batch(n)).shape == (n, 4)
            program(batch(1))
        assert len(program._known) == runtime.MAX_SHAPES
        assert ((1, 4),) in program._known
        assert ((2, 4),) not in program._known

    @pytest.mark.parametrize("threads", [1, 2])
    def test_calls_from_several_threads(self, threads: int) -> None:
        program = ew.compile(ew.load(dense_of_any_batch()), threads=threads)
        sizes = [1 + i * 7 % 12 for i in range(60)]
        expected = {n: program(batch(n, n)) for n in sizes}
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda n: program(batch(n, n)), sizes))
        for n, result in zip(sizes, found, strict=True):
            np.testing.assert_array_equal(result, expected[n])
        program.close()

    def test_not_the_others(self) -> None:
        program = ew.compile(ew.load(dense_of_any_batch()))
        with pytest.raises(InputError, match=r"'x' is float32\[2, 5\]; it must be float32\[1, 4\]"):
            program(np.zeros((2, 5), np.float32))
        with pytest.raises(InputError, match=r"float32\[2, 2, 2\]; it must be"):
            program(np.zeros((2, 2, 2), np.float32))
        with pytest.raises(InputError, match=r"float64\[2, 4\]; it must be"):
            program(np.zeros((2, 4)))
        assert program(batch(1)).shape == (1, 4)


def plain(shape: tuple[int, ...], *, reshape: list[int] | None = None) -> bytes:
    """x -> tanh(x), or tanh of x as another shape; no dimension is open."""
    result = shape if reshape is None or -1 in reshape else tuple(reshape)
    x, y = f32(*shape, name="x"), f32(*result, name="y")
    if reshape is None:
        return build([Operator("TANH", [x], [y])], [x], [y])
    z = f32(*result)
    target = constant(reshape, DType.INT32)
    return build(
        [
            Operator("RESHAPE", [x, target], [z], "ReshapeOptions", {"NewShape": reshape}),
            Operator("TANH", [z], [y]),
        ],
        [x],
        [y],
    )


class TestBatch:
    """The first dimension may change where the network follows it, whatever the file says."""

    def test_of_a_fixed_file(self) -> None:
        program = ew.compile(ew.load(plain((1, 6))))
        x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
        np.testing.assert_allclose(program(x), np.tanh(x), rtol=1e-6, atol=1e-7)

    def test_not_through_a_fixed_shape(self) -> None:
        program = ew.compile(ew.load(plain((1, 6), reshape=[2, 3])))
        with pytest.raises(InputError, match=r"'x' is float32\[3, 6\].*18 elements into \[2, 3\]"):
            program(np.zeros((3, 6), np.float32))

    def test_not_where_it_is_mixed_with_others(self) -> None:
        program = ew.compile(ew.load(plain((1, 6), reshape=[1, -1])))
        with pytest.raises(InputError, match=r"\[1, 18\] for a batch of 3; Program.resize"):
            program(np.zeros((3, 6), np.float32))
        program.resize({"x": (3, 6)})
        assert program(np.zeros((3, 6), np.float32)).shape == (1, 18)

    def test_not_of_a_graph_made_by_hand(self) -> None:
        graph = classifier(DType.UINT8)
        with pytest.raises(InputError, match=r"uint8\[2, 13, 11, 3\]; it must be [^;]*$"):
            ew.compile(graph)(np.zeros((2, 13, 11, 3), np.uint8))
        with pytest.raises(InputError, match="only a graph as loaded can be resized"):
            graph.resized({"x1": (2, 13, 11, 3)})


class TestResize:
    def test_graph(self) -> None:
        graph = ew.load(plain((2, 3)))
        other = graph.resized({"x": (5, 7)})
        assert [v.type.shape for v in (*other.inputs, *other.outputs)] == [(5, 7)] * 2
        assert graph.inputs[0].type.shape == (2, 3)
        assert other.digest not in (None, graph.digest)
        assert other.resized({"x": (2, 3)}).inputs[0].type.shape == (2, 3)
        assert ew.load(plain((2, 3)), shapes={"x": (5, 7)}).digest == other.digest

    def test_program(self) -> None:
        program = ew.compile(ew.load(plain((2, 3))))
        program.resize({"x": (4, 1)})
        x = np.full((4, 1), 0.5, np.float32)
        np.testing.assert_allclose(program(x), np.tanh(x), rtol=1e-6)
        program.resize({})
        assert program(x).shape == (4, 1)

    def test_numpy_s_numbers(self) -> None:
        program = ew.compile(ew.load(plain((2, 3))))
        program.resize({"x": np.array([4, 1])})
        assert program.inputs[0].type.shape == (4, 1)
        assert ew.load(plain((2, 3)), shapes={"x": np.array([4, 1])}).digest == program.graph.digest

    def test_keeps_variables_of_unchanged_shape(self) -> None:
        program = ew.compile(ew.load(accumulator()))
        program(np.ones(3, np.float32))
        before = program.states
        program.resize({"x": (1,)})
        for name, array in program.states.items():
            np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(program(np.ones(1, np.float32)), [3.0, 4.0, 5.0])

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            ({"z": (1, 2)}, "no input is named 'z'"),
            ({"x": (1, 2, 3)}, r"shape \[1, 2, 3\] in place of \[2, 3\]; the rank stays"),
            ({"x": (1, -1)}, "no dimension is negative"),
            ({"x": (2**20, 2**20)}, "cannot take inputs of shapes|at most"),
            ({"x": (2.0, 3)}, r"'x': shape \(2.0, 3\); it must be whole numbers"),
            ({"x": 6}, "'x': shape 6; it must be whole numbers"),
            ({"x": "23"}, "'x': shape '23'; it must be whole numbers"),
        ],
    )
    def test_refused(self, shapes: dict[str, Any], message: str) -> None:
        content = plain((2, 3))
        with pytest.raises(InputError, match=message):
            ew.load(content, shapes=shapes)
        program = ew.compile(ew.load(content))
        with pytest.raises(InputError, match=message):
            program.resize(shapes)
        assert program(np.zeros((2, 3), np.float32)).shape == (2, 3)

    def test_names_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "small.tflite"
        path.write_bytes(plain((2, 3)))
        with pytest.raises(InputError, match=r"small\.tflite: no input is named 'z'"):
            ew.load(path, shapes={"z": (1,)})


def two_networks() -> bytes:
    """Signatures "tanh" of subgraph 0, and "double", of two outputs, of subgraph 1."""
    x, y, z, w = f32(2, 3, name="a"), f32(2, 3, name="b"), f32(2, 3, name="c"), f32(2, 3)
    first = build([Operator("TANH", [x], [y])], [x], [y])
    second = build(
        [
            Operator("ADD", [x, x], [z], "AddOptions"),
            Operator("NEG", [x], [w], "NegOptions"),
        ],
        [x],
        [z, w],
    )

    def name(model: Any) -> None:
        signature(model, "tanh", 0, {"input": 0}, {"output": 0})
        signature(model, "double", 1, {"x": 0}, {"twice": 0, "minus": 1})

    return join(first, second, edit=name)


class TestSignatures:
    def test_are_listed(self) -> None:
        assert ew.load(two_networks()).metadata["signatures"] == {
            "tanh": {"inputs": ["input"], "outputs": ["output"]},
            "double": {"inputs": ["x"], "outputs": ["twice", "minus"]},
        }

    def test_one_is_chosen(self) -> None:
        content = two_networks()
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        default = ew.compile(ew.load(content))
        np.testing.assert_allclose(default(input=x), np.tanh(x), rtol=1e-6)
        double = ew.compile(ew.load(content, signature="double"))
        assert [v.name for v in double.outputs] == ["twice", "minus"]
        runner = Interpreter(model_content=content).get_signature_runner("double")
        for name, found in zip(("twice", "minus"), double(x=x), strict=True):
            np.testing.assert_array_equal(found, runner(x=x)[name])
        assert ew.load(content, signature="tanh").digest != ew.load(content).digest
        double.resize({"x": (1, 3)})
        assert [y.shape for y in double(x[:1])] == [(1, 3)] * 2

    def test_unknown(self) -> None:
        with pytest.raises(InputError, match=r"named 'half'; the file has 'tanh', 'double'"):
            ew.load(two_networks(), signature="half")
        with pytest.raises(InputError, match="named 'x'; the file has none"):
            ew.load(plain((1,)), signature="x")


def test_opened_names_only_inputs() -> None:
    graph = ew.load(opened(plain((2, 3)), {"x": [-1, -1], "y": [-1, 3]}))
    assert graph.open == {"x": (-1, -1)}
    assert ew.compile(graph)(np.zeros((7, 5), np.float32)).shape == (7, 5)
