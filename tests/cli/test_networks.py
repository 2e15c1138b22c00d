"""The command line on networks with variables, several signatures, open shapes, slow operators."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

import edgewise as ew
import tflite_networks as networks
from edgewise import timing
from edgewise.errors import RunError
from edgewise.runtime import Program
from edgewise.tools import differences as comparing
from edgewise.tools import fallbacks
from tflite_builder import Operator, build

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def to_file(name: str, content: bytes) -> Path:
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        return path

    return to_file


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 1e-4)
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 1e-3)


Write = Callable[[str, bytes], Path]


def two_signatures() -> bytes:
    """``double``: x -> 2 x; ``power``: (a, b) -> (a * b, a + b), the names the other way round."""
    x, y = networks.f32(3, name="x"), networks.f32(3, name="y")
    double = build([Operator("ADD", [x, x], [y], "AddOptions")], [x], [y])
    a, b, p, q = (networks.f32(3, name=n) for n in "abpq")
    steps = [
        Operator("MUL", [a, b], [p], "MulOptions"),
        Operator("ADD", [a, b], [q], "AddOptions"),
    ]
    power = build(steps, [a, b], [p, q])

    def sign(model: Any) -> None:
        networks.signature(model, "double", 0, {"x": 0}, {"y": 0})
        networks.signature(model, "power", 1, {"z": 0, "a": 1}, {"z times a": 0, "c": 1})

    return networks.join(double, power, edit=sign)


def saved(path: Path, *values: float) -> Path:
    np.save(path, np.array(values, np.float32))
    return path


class TestVariables:
    def test_runs_are_calls_in_a_row(self, facts: Facts, write: Write, tmp_path: Path) -> None:
        model = write("accumulator", networks.accumulator())
        files = [saved(tmp_path / f"{i}.npy", i, 10 * i, 0) for i in (1, 2, 3)]
        result = tmp_path / "sums.npy"
        facts("run", model, *files, "--output", result)
        np.testing.assert_array_equal(np.load(result), [[2, 12, 3], [4, 32, 3], [7, 62, 3]])

    def test_inspect_lists_them(self, facts: Facts, edgewise: Edgewise, write: Write) -> None:
        model = write("accumulator", networks.accumulator())
        (state,) = facts("inspect", model)["states"]
        assert (state["name"], state["shape"], state["dtype"]) == ("total", [3], "float32")
        assert "state   total: float32[3]" in edgewise("inspect", model).stdout

    def test_compare(self, facts: Facts, write: Write) -> None:
        document = facts("compare", write("accumulator", networks.accumulator()), "--random", 4)
        assert document["within_tolerance"]
        assert document["first_difference"] is None
        assert [d["elements"] for d in document["outputs"]] == [12]


class TestSignatures:
    def test_run(self, facts: Facts, write: Write, tmp_path: Path) -> None:
        model = write("two", two_signatures())
        one, two = saved(tmp_path / "1.npy", 1, 2, 3), saved(tmp_path / "2.npy", 4, 5, 6)
        (output,) = facts("run", model, one)["runs"][0]["outputs"]
        assert output["name"] == "y"
        result = tmp_path / "power.npz"
        facts("run", model, one, two, "--signature", "power", "--output", result)
        with np.load(result) as archive:
            np.testing.assert_array_equal(archive["z times a"], [4, 10, 18])
            np.testing.assert_array_equal(archive["c"], [5, 7, 9])

    def test_inspect(self, facts: Facts, edgewise: Edgewise, write: Write) -> None:
        model = write("two", two_signatures())
        document = facts("inspect", model, "--signature", "power")
        assert [v["name"] for v in document["inputs"]] == ["z", "a"]
        assert document["signatures"] == ["double", "power"]
        shown = edgewise("inspect", model).stdout
        assert "signatures: double, power; --signature chooses" in shown

    @pytest.mark.usefixtures("quick")
    def test_against_litert(self, facts: Facts, write: Write) -> None:
        model = write("two", two_signatures())
        words = (model, "--signature", "power")
        document = facts("compare", *words)
        assert document["path"] == "signature runner"
        assert [d["tensor"] for d in document["outputs"]] == ["z times a", "c"]
        assert document["within_tolerance"]
        (result,) = facts("bench", *words, "--against", "litert", "--rounds", 3)["results"]
        assert len(result["ratios"]) == 1

    def test_bisect(self, edgewise: Edgewise, write: Write) -> None:
        words = ("bisect", write("two", two_signatures()), "--signature", "power")
        result = edgewise(*words)
        assert result.exit_code == 2
        assert "does not show its tensors" in result.stderr
        assert edgewise(*words, "--against", "reference").exit_code == 0

    def test_unknown(self, edgewise: Edgewise, write: Write) -> None:
        result = edgewise("inspect", write("two", two_signatures()), "--signature", "x")
        assert result.exit_code == 2
        assert "no signature is named 'x'; the file has 'double', 'power'" in result.stderr

    def test_openvino_reads_the_first_only(self, edgewise: Edgewise, write: Write) -> None:
        words = ("--signature", "power", "--against", "openvino")
        result = edgewise("compare", write("two", two_signatures()), *words)
        assert result.exit_code == 2
        assert "--against openvino: it reads a file's first network only" in result.stderr


class TestShapes:
    @pytest.mark.usefixtures("quick")
    def test_another_shape(self, facts: Facts, edgewise: Edgewise, write: Write) -> None:
        model = write("dense", networks.dense_of_any_batch())
        document = facts("inspect", model, "--shape", "x=5,4")
        assert document["inputs"][0]["shape"] == document["outputs"][0]["shape"] == [5, 4]
        assert document["open"] == {"x": [-1, 4]}
        assert "of any size where [-1, 4] has -1" in edgewise("inspect", model).stdout
        assert facts("compare", model, "--shape", "x=3,4")["within_tolerance"]
        words = ("--shape", "x=3,4", "--against", "litert", "--against", "openvino")
        (result,) = facts("bench", model, *words, "--rounds", 3)["results"]
        assert len(result["ratios"]) == 2

    @pytest.mark.parametrize("text", ["x", "x=", "=1", "x=1,", "x=a", "x=0,4", "x=-1", "x=1;2"])
    def test_words_that_are_none(self, edgewise: Edgewise, write: Write, text: str) -> None:
        model = write("dense", networks.dense_of_any_batch())
        result = edgewise("inspect", model, "--shape", text)
        assert result.exit_code == 2
        assert f"--shape {text}: an input's name, =, and whole numbers" in result.stderr

    def test_shapes_that_the_network_cannot_take(self, edgewise: Edgewise, write: Write) -> None:
        model = write("dense", networks.dense_of_any_batch())
        for text, part in (("x=5,3", "[5, 3]"), ("y=5,4", "no input is named 'y'")):
            result = edgewise("inspect", model, "--shape", text)
            assert result.exit_code == 2
            assert part in result.stderr

    def test_an_array_of_another_shape(
        self, edgewise: Edgewise, write: Write, tmp_path: Path
    ) -> None:
        model = write("dense", networks.dense_of_any_batch())
        rows = tmp_path / "rows.npy"
        np.save(rows, np.ones((5, 4), np.float32))
        result = edgewise("run", model, rows)
        assert result.exit_code == 2
        assert "; --shape x=5,4 asks the model for that shape" in result.stderr
        assert edgewise("run", model, rows, "--shape", "x=5,4").exit_code == 0


class TestSlowOperators:
    """``nonzero`` has one whose shape depends on values, which runs through numpy."""

    def test_are_listed_with_their_share(
        self, facts: Facts, edgewise: Edgewise, write: Write, tmp_path: Path
    ) -> None:
        model = write("nonzero", networks.nonzero())
        np.save(tmp_path / "x.npy", np.eye(3, 4, dtype=np.float32))
        for words in (("inspect", model), ("run", model, tmp_path / "x.npy")):
            (slow,) = facts(*words)["fallbacks"]
            assert slow["reason"] == "its shapes depend on values"
            assert 0 < slow["share"] < 1
            shown = edgewise(*words).stdout
            assert "slow    1 operator without a kernel, computed through numpy: " in shown
            assert "shapes depend on values" in shown

    @pytest.mark.usefixtures("quick")
    def test_in_bench(self, facts: Facts, edgewise: Edgewise, write: Write) -> None:
        model = write("nonzero", networks.nonzero())
        assert len(facts("bench", model, "--rounds", 3)["fallbacks"]) == 1
        assert "slow    1 operator" in edgewise("bench", model, "--rounds", 3).stdout

    @pytest.mark.usefixtures("quick")
    @pytest.mark.parametrize("command", ["inspect", "bench", "run"])
    def test_strict_refuses_them(
        self, edgewise: Edgewise, write: Write, tmp_path: Path, command: str
    ) -> None:
        model = write("nonzero", networks.nonzero())
        np.save(tmp_path / "x.npy", np.eye(3, 4, dtype=np.float32))
        inputs = [tmp_path / "x.npy"] if command == "run" else []
        result = edgewise(command, model, *inputs, "--strict")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "have no kernel" in result.stderr
        assert "its shapes depend on values" in result.stderr

    def test_strict_takes_others(self, facts: Facts, write: Write) -> None:
        assert facts("inspect", write("x", networks.accumulator()), "--strict")["fallbacks"] == []

    def test_in_a_loop_are_timed_too(self) -> None:
        program = ew.compile(ew.load(networks.loop(None)))
        (arrays,) = comparing.random_inputs(program.graph, 1, 0)
        for slow in fallbacks.slow_operators(program, arrays):
            assert slow.share is not None
            assert 0 <= slow.share < 1

    def test_that_fail_are_not_timed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        program = ew.compile(ew.load(networks.nonzero()))

        def fail(self: Program, *arrays: object, runs: int) -> None:
            raise RunError("an index is out of range")

        monkeypatch.setattr(Program, "profile", fail)
        (slow,) = fallbacks.slow_operators(program, [np.eye(3, 4, dtype=np.float32)])
        assert slow.share is None


def test_a_loop_that_does_not_end_is_an_error(
    edgewise: Edgewise, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ew.compile
    monkeypatch.setattr(ew, "compile", lambda g, **k: real(g, **k, max_iterations=100))
    path = saved(tmp_path / "x.npy", 0)
    result = edgewise("run", write("endless", networks.endless()), path)
    assert result.exit_code == 2
    assert "100" in result.stderr


def test_strings(facts: Facts, write: Write, tmp_path: Path) -> None:
    """A table of words: numbers in, words out, and compared with LiteRT's."""
    model = write("lookup", networks.lookup())
    np.save(tmp_path / "x.npy", np.array([3, 8, 4, 5]))
    words, size = facts("run", model, tmp_path / "x.npy")["runs"][0]["outputs"]
    assert (words["kind"], words["texts"]) == ("texts", ["three", "eight", "none", "five"])
    assert size["high"] == 3
    document = json.loads(json.dumps(facts("compare", model)))
    assert document["first_difference"] is None
