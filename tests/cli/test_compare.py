"""Comparison with another runtime: synthetic peers, then LiteRT itself."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_networks
from typer.testing import Result

import edgewise as ew
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError, MissingExtraError
from edgewise.graph import Array, Graph, Node, State, TensorType, Value
from edgewise.ops import Add, Dequantize, Tanh
from edgewise.tools import differences as comparing
from edgewise.tools import peers
from tflite_builder import Operator, Tensor, build

Edgewise = Callable[..., Result]


@pytest.fixture
def graph() -> Graph:
    return ew.load(small_networks.classifier())


class Peer:
    """The graph's own references as a peer; ``error`` is added to tensor ``at``."""

    def __init__(self, graph: Graph, at: int = 0, error: int = 0) -> None:
        self.graph, self.at, self.error = graph, at, error

    def tensors(self, arrays: Sequence[Array]) -> dict[str, Array]:
        env = dict(zip(self.graph.inputs, arrays, strict=True))
        found: dict[str, Array] = {}
        for node in self.graph.nodes:
            inputs = [v.data if v.data is not None else env[v] for v in node.inputs]
            results = node.op.reference(inputs, node.input_types, node.output_types)
            if len(found) == self.at:
                results[0] = results[0].copy()
                results[0].flat[0] = (int(results[0].flat[0]) + self.error) % 256
            env.update(zip(node.outputs, results, strict=True))
            found.update(zip((v.name for v in node.outputs), results, strict=True))
        return found

    def outputs(self, arrays: Sequence[Array]) -> list[Array]:
        return list(self.tensors(arrays).values())[-1:]


def compared(graph: Graph, peer: Peer, **options: Any) -> comparing.Comparison:
    inputs = list(comparing.random_inputs(graph, 2, 0))
    exact = Peer(graph).outputs
    return comparing.compare(graph, inputs, exact, peer.outputs, peer.tensors, **options)


def test_equal_peers(graph: Graph) -> None:
    outcome = compared(graph, Peer(graph))
    assert [d.tensor for d in outcome.tensors] == ["features", "mean", "scores", "chances"]
    assert [d.tensor for d in outcome.outputs] == ["chances"]
    assert outcome.first is None
    assert outcome.exact
    assert outcome.program_is_right(0)
    assert not outcome.beyond(0)
    assert outcome.tensors[0].elements == 2 * 32


@pytest.mark.parametrize(("at", "tensor"), [(0, "features"), (1, "mean"), (2, "scores")])
def test_the_first_difference_is_named(graph: Graph, at: int, tensor: str) -> None:
    first = compared(graph, Peer(graph, at, 3)).first
    assert first is not None
    assert (first.tensor, first.steps, first.differing) == (tensor, 3.0, 2)
    assert abs(first.ours - first.theirs) == 3.0


def test_alone_differences_do_not_add_up(graph: Graph) -> None:
    peer = Peer(graph, 0, 100)
    whole = {d.tensor for d in compared(graph, peer).tensors if d.differing}
    assert whole > {"features"}
    outcome = compared(graph, peer, alone=True)
    assert {d.tensor for d in outcome.tensors if d.differing} == {"features"}
    assert outcome.outputs == ()
    assert outcome.program_is_right(0)


def test_a_program_that_differs_from_its_reference(graph: Graph) -> None:
    inputs = list(comparing.random_inputs(graph, 1, 0))
    good, bad = Peer(graph), Peer(graph, 3, 1)
    outcome = comparing.compare(graph, inputs, bad.outputs, good.outputs, good.tensors)
    assert outcome.program_steps == 1.0
    assert not outcome.program_is_right(1)
    assert [d.steps for d in outcome.outputs] == [1.0]


def test_a_program_of_floats_may_differ_by_the_tolerance() -> None:
    x, y = (Value(name, TensorType((2,), DType.FLOAT32)) for name in "xy")
    graph = Graph((x,), (y,), (Node(Tanh(), (x,), (y,)),))
    exact, near = (np.array([0.0, np.tanh(1) + e], np.float32) for e in (0, 5e-5))
    arrays = [np.array([0.0, 1.0], np.float32)]
    outcome = comparing.compare(
        graph, [arrays], lambda _: [near], lambda _: [exact], lambda _: {"y": exact}
    )
    assert not outcome.exact
    assert 0.5 < outcome.program_steps < 1.0
    assert outcome.program_is_right(1)
    assert not outcome.program_is_right(0.5)


def test_what_cancels_is_rounding() -> None:
    """A sum near 0 is as exact as its operands."""
    kind = TensorType((2,), DType.FLOAT32)
    a, b, y = (Value(name, kind) for name in "aby")
    graph = Graph((a, b), (y,), (Node(Add(), (a, b), (y,)),))
    arrays = [np.array([7.0, 9.0], np.float32), np.array([-7.0, -9.0], np.float32)]
    exact, near = np.zeros(2, np.float32), np.array([0.0, 8e-6], np.float32)
    outcome = comparing.compare(
        graph, [arrays], lambda _: [exact], lambda _: [near], lambda _: {"y": near}
    )
    assert [d.steps for d in outcome.tensors] == pytest.approx([8 / 9])
    assert [d.steps for d in outcome.outputs] == pytest.approx([8 / 9])


def test_variables_keep_their_values_from_set_to_set() -> None:
    kind = TensorType((), DType.INT32)
    x, before, after = (Value(name, kind) for name in ("x", "before", "after"))
    state = State(before, after, np.array(0, np.int32))
    graph = Graph((x,), (after,), (Node(Add(), (x, before), (after,)),), states=(state,))
    total = 0

    def peer(arrays: Sequence[Array]) -> list[Array]:
        return [np.array(total, np.int32)]

    def tensors(arrays: Sequence[Array]) -> dict[str, Array]:
        nonlocal total
        total += int(arrays[0])
        return {"after": np.array(total, np.int32)}

    inputs = [[np.array(n, np.int32)] for n in (3, 4, 5)]
    outcome = comparing.compare(graph, inputs, peer, peer, tensors)
    assert (outcome.first, outcome.program_steps, total) == (None, 0.0, 12)


def test_tensors_that_the_peer_does_not_show(graph: Graph) -> None:
    inputs = list(comparing.random_inputs(graph, 1, 0))
    peer = Peer(graph)
    outcome = comparing.compare(graph, inputs, peer.outputs, peer.outputs, lambda _: {})
    assert outcome.tensors == ()
    assert outcome.missing == ("features", "mean", "scores", "chances")
    assert [d.tensor for d in outcome.outputs] == ["chances"]


def test_tensors_of_another_model(graph: Graph) -> None:
    inputs = list(comparing.random_inputs(graph, 1, 0))
    peer = Peer(graph)
    with pytest.raises(InputError, match="the peer computes 1 tensors; none is the graph's"):
        comparing.compare(
            graph, inputs, peer.outputs, peer.outputs, lambda _: {"other": np.zeros(1)}
        )


def test_steps_of_floats() -> None:
    quant = QParams.per_tensor(0.5, 0)
    q = Value("q", TensorType((2,), DType.INT8, quant))
    real = Value("real", TensorType((2,), DType.FLOAT32))
    node = Node(Dequantize(), (q,), (real,))
    ours, theirs = np.array([1.0, 3.0], np.float32), np.array([1.0, 2.5], np.float32)
    found = comparing.difference(real, node, ours, theirs)
    assert (found.steps, found.where, found.differing) == (1.0, (1,), 1)
    assert comparing.difference(real, None, ours, theirs).steps == pytest.approx(0.5 / 2.5e-4)
    shifted = comparing.difference(real, None, ours - 2, theirs - 2)
    assert shifted.steps == pytest.approx(0.5 / 1.5e-4)


@pytest.mark.parametrize(
    ("dtype", "ours", "theirs", "steps"),
    [
        (DType.BOOL, [True, False], [True, True], 1.0),
        (DType.STRING, [b"a", b"b"], [b"a", b"c"], 1.0),
        (DType.INT64, [2**40, 0], [2**40 + 3, 0], 3.0),
        (DType.COMPLEX64, [1j, 0], [1j, 1e-4j], 1.0),
    ],
)
def test_steps_of_other_types(
    dtype: DType, ours: list[Any], theirs: list[Any], steps: float
) -> None:
    value = Value("x", TensorType((2,), dtype))
    arrays = (np.array(a, dtype.numpy) for a in (ours, theirs))
    found = comparing.difference(value, None, *arrays)
    assert found.differing == 1
    assert found.steps == pytest.approx(steps, rel=1e-4)


def test_not_a_number_equals_itself_only() -> None:
    value = Value("x", TensorType((2,), DType.FLOAT32))
    nan, one = np.array([np.nan, 1], np.float32), np.array([1, 1], np.float32)
    assert comparing.difference(value, None, nan, nan).differing == 0
    assert comparing.difference(value, None, nan, one).steps == float("inf")
    infinite = np.array([np.inf, 1], np.float32)
    assert comparing.difference(value, None, infinite, infinite).steps == 0
    assert comparing.difference(value, None, infinite, one).steps == float("inf")
    found = comparing.difference(value, None, infinite, nan)
    assert (found.differing, found.steps) == (1, 1.0)
    assert comparing.difference(value, None, infinite, -infinite).steps == float("inf")


def test_other_shapes_differ_wholly() -> None:
    value = Value("x", TensorType((2,), DType.INT8))
    found = comparing.difference(value, None, np.zeros(2, np.int8), np.zeros(3, np.int8))
    assert found.steps == float("inf")


def test_random_inputs_cover_their_type() -> None:
    types = [
        TensorType((1000,), DType.INT8, QParams.per_tensor(1.0, 0)),
        TensorType((1000,), DType.FLOAT32),
        TensorType((1000,), DType.INT32),
        TensorType((1000,), DType.INT16, QParams.per_tensor(1.0, 0)),
        TensorType((1000,), DType.BOOL),
        TensorType((1000,), DType.STRING),
        TensorType((1000,), DType.COMPLEX64),
    ]
    graph = Graph(tuple(Value(f"v{i}", t) for i, t in enumerate(types)), (), ())
    (first, again) = (next(iter(comparing.random_inputs(graph, 1, 7))) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0].min(), first[0].max()) == (-128, 127)
    assert -1.0 <= first[1].min() < -0.9
    assert (first[2].min(), first[2].max()) == (0, 9)
    assert first[3].min() < -30_000
    assert 400 < first[4].sum() < 600
    assert {len(word) for word in first[5]} == {0, 1, 2, 3}
    assert np.abs(first[6].imag).max() > 0.9
    assert [a.dtype for a in first] == [t.dtype.numpy for t in types]


class TestLiteRT:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("ai_edge_litert")

    def test_all_tensors_are_given(self, graph: Graph) -> None:
        model = small_networks.classifier()
        (arrays,) = comparing.random_inputs(graph, 1, 3)
        tensors = peers.LiteRTTensors(model, ["answer"]).run(arrays)
        assert list(tensors) == ["features", "mean", "scores", "answer"]
        assert [t.shape for t in tensors.values()] == [(1, 2, 2, 8), (1, 8), (1, 5), (1, 5)]
        np.testing.assert_array_equal(tensors["answer"], peers.LiteRT(model).run(arrays)[0])

    def test_what_depends_on_constants_alone_is_left_out(self) -> None:
        x, y, half = (Tensor(TensorType((3,), DType.FLOAT32), name=n) for n in ("x", "y", "half"))
        w = Tensor(TensorType((3,), DType.FLOAT16), np.ones(3, np.float16))
        convert = Operator("DEQUANTIZE", [w], [half], "DequantizeOptions")
        model = build([convert, Operator("ADD", [x, half], [y], "AddOptions")], [x], [y])
        (given,) = peers.LiteRTTensors(model).run([np.zeros(3, np.float32)]).items()
        assert given[0] == "y"
        assert given[1].tolist() == [1, 1, 1]

    def test_inputs_of_another_shape(self) -> None:
        model, shape = small_networks.segmenter(), (2, 7, 9, 3)
        peer = peers.LiteRT(model, shapes=[shape])
        (given,) = peer.run([np.zeros(shape, np.uint8)])
        assert given.shape == (2, 7, 9, 4)

    def test_refusals(self, classifier: Path) -> None:
        with pytest.raises(InputError, match="--against litert: cannot run the model"):
            peers.LiteRT(b"no model at all")
        peer = peers.LiteRT(classifier)
        with pytest.raises(InputError, match="0 inputs, the model has 1"):
            peer.set_inputs([])
        with pytest.raises(InputError, match="LiteRT refuses an input"):
            peer.set_inputs([np.zeros((1, 16, 16, 3), np.float32)])

    def test_command(self, edgewise: Edgewise, classifier: Path) -> None:
        result = edgewise("compare", classifier, "--against", "litert", "--json")
        assert result.exit_code == 0, result.stdout
        facts = json.loads(result.stdout)
        assert (facts["schema"], facts["command"], facts["inputs"]) == (2, "compare", 3)
        assert facts["within_tolerance"]
        assert facts["program_is_right"]
        assert facts["program_steps"] == 0
        assert [d["tensor"] for d in facts["tensors"]] == ["features", "mean", "scores", "chances"]
        assert [d["tensor"] for d in facts["outputs"]] == ["chances"]
        assert facts["not_compared"] == []

    def test_command_on_a_picture(
        self, edgewise: Edgewise, classifier: Path, photograph: Path
    ) -> None:
        result = edgewise("compare", classifier, "--inputs", photograph, "--alone", "--all")
        assert result.exit_code == 0, result.stdout
        for part in ("features", "CONV_2D", "4 tensors", "inputs: 1", "from the peer's tensors"):
            assert part in result.stdout

    def test_differences_give_exit_code_1(
        self, edgewise: Edgewise, classifier: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = peers.LiteRTTensors.run

        def off(self: peers.LiteRTTensors, arrays: Sequence[Array]) -> dict[str, Array]:
            tensors = run(self, arrays)
            return tensors | {"mean": tensors["mean"] ^ 16, "scores": tensors["scores"] ^ 32}

        monkeypatch.setattr(peers.LiteRTTensors, "run", off)
        result = edgewise("compare", classifier, "--random", 1)
        assert result.exit_code == 1
        assert "first difference: mean (MEAN), 8 of 8 elements, at most 16 steps" in result.stdout
        assert "greatest difference: scores (FULLY_CONNECTED), 32 steps\n" in result.stdout
        assert "NOT within the tolerance of 1 step\n" in result.stdout
        assert edgewise("compare", classifier, "--tolerance", 32).exit_code == 0


def unary(folder: Path, operator: str, type: int, shape: tuple[int, ...]) -> Path:
    """An .onnx file of one operator."""
    x, y = (onnx.helper.make_tensor_value_info(name, type, shape) for name in "xy")
    node = onnx.helper.make_node(operator, ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "unary", [x], [y])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = folder / "unary.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_strings_against_onnx_runtime(edgewise: Edgewise, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = unary(tmp_path, "Identity", onnx.TensorProto.STRING, (2, 3))
    for command in ("compare", "bisect"):
        result = edgewise(command, path)
        assert result.exit_code == 0, result.stdout


class TestOpenVINO:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("openvino")

    @pytest.mark.parametrize("shape", [(1, 6, 6, 3), (2, 9, 4, 3)])
    def test_it_computes_as_litert_does(self, convolver: Path, shape: tuple[int, ...]) -> None:
        graph = ew.load(convolver, shapes={"x": shape})
        array = np.random.default_rng(3).normal(size=shape).astype(np.float32)
        one, other = (
            peers.open_peer(name, convolver, graph, 2).run([array])[0]
            for name in ("litert", "openvino")
        )
        assert one.shape == (*shape[:3], 4)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)

    def test_scalars(self, tmp_path: Path) -> None:
        path = unary(tmp_path, "Exp", onnx.TensorProto.FLOAT, ())
        peer = peers.open_peer("openvino", path, ew.load(path))
        assert peer.run([np.array(1, np.float32)])[0].tolist() == pytest.approx(np.e)

    def test_refusals(self, convolver: Path, tmp_path: Path) -> None:
        (tmp_path / "x.tflite").write_bytes(b"no model at all")
        with pytest.raises(
            InputError, match=r"--against openvino: cannot run the model: .*read the model"
        ):
            peers.OpenVINO(tmp_path / "x.tflite")
        peer = peers.OpenVINO(convolver)
        with pytest.raises(InputError, match="0 inputs, the model has 1"):
            peer.set_inputs([])
        with pytest.raises(InputError, match="OpenVINO refuses an input"):
            peer.set_inputs([np.zeros((1, 6, 6, 3), np.uint8)])

    def test_command(self, edgewise: Edgewise, convolver: Path) -> None:
        words = ("compare", convolver, "--against", "openvino")
        result = edgewise(*words, "--json")
        assert result.exit_code == 0, result.stdout
        facts = json.loads(result.stdout)
        assert facts["against"].startswith("OpenVINO ")
        assert facts["tensors"] == []
        assert facts["not_compared"] == ["y"]
        assert [d["tensor"] for d in facts["outputs"]] == ["y"]
        refused = edgewise(*words, "--alone")
        assert refused.exit_code == 2
        assert "does not show its tensors" in refused.stderr


def test_unknown_peers(classifier: Path, graph: Graph) -> None:
    with pytest.raises(InputError, match="--against x: unknown; known are litert, "):
        peers.open_peer("x", classifier, graph)


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_that_is_not_installed(
    name: str, classifier: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = name.partition("-")[0]

    def absent(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"pip install 'edgewise\[{extra}\]'"):
        peers.open_peer(name, classifier, graph)
