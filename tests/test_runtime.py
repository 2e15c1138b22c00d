"""Programs as their callers see them: inputs, outputs, threads, several at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.codegen import build
from edgewise.codegen.pool_layout import MAX_THREADS
from edgewise.dtype import DType, QParams
from edgewise.errors import CompileError, InputError
from edgewise.graph import Array, Graph, TensorType
from edgewise.runtime import Program
from native_threads import native_threads
from networks import Backwards, Builder, classifier, quantized, random_inputs, reference
from test_program import NATIVE

Q = QParams.per_tensor(0.05, 121)
U8 = DType.UINT8


def sum_and_difference() -> Graph:
    """Inputs x1, x2 : uint8[2,3,4]; outputs their sum and difference."""
    b = Builder()
    x, y = (b.input(quantized((2, 3, 4), U8)) for _ in range(2))
    return b.graph(b.node(ops.Add(), [x, y], Q), b.node(ops.Sub(), [x, y], Q))


@pytest.fixture(scope="module")
def two() -> Iterator[Program]:
    with contextlib.closing(ew.compile(sum_and_difference())) as program:
        yield program


@pytest.fixture
def x() -> Array:
    return random_inputs(sum_and_difference(), 1)[0]


@pytest.fixture
def y() -> Array:
    return random_inputs(sum_and_difference(), 2)[1]


def assert_equal(found: object, expected: object) -> None:
    found, expected = (r if isinstance(r, (tuple, list)) else [r] for r in (found, expected))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


class TestInputs:
    def test_by_order_by_name_and_mixed(self, two: Program, x: Array, y: Array) -> None:
        expected = reference(two.graph, [x, y])
        assert_equal(two(x, y), expected)
        assert_equal(two(x1=x, x2=y), expected)
        assert_equal(two(x2=y, x1=x), expected)
        assert_equal(two(x, x2=y), expected)

    def test_names_and_types_are_told(self, two: Program) -> None:
        assert [(v.name, str(v.type)) for v in two.inputs] == [
            ("x1", "uint8[2x3x4] {0.05 * (q - 121)}"),
            ("x2", "uint8[2x3x4] {0.05 * (q - 121)}"),
        ]
        assert [v.type.shape for v in two.outputs] == [(2, 3, 4)] * 2

    def test_of_any_memory_layout(self, two: Program, x: Array, y: Array) -> None:
        expected = reference(two.graph, [x, y])
        reversed_memory = np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1]
        sparse = np.zeros((2, 6, 8), np.uint8)
        sparse[:, ::2, 1::2] = y
        assert not reversed_memory.flags.c_contiguous
        assert_equal(two(reversed_memory, sparse[:, ::2, 1::2]), expected)
        assert_equal(two(np.asfortranarray(x), y), expected)

    def test_read_only_and_misaligned(self, x: Array) -> None:
        b = Builder()
        graph = b.graph(b.node(ops.Quantize(U8), [b.input(TensorType((5, 7), DType.FLOAT32))], Q))
        data = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
        raw = np.frombuffer(b"\0" + data.tobytes(), np.uint8)
        misaligned = np.ndarray((5, 7), np.float32, raw.data, 1)
        assert not misaligned.flags.aligned
        assert not misaligned.flags.writeable
        assert_equal(ew.compile(graph)(misaligned), reference(graph, [data]))

    def test_stay_as_they_are(self, two: Program, x: Array, y: Array) -> None:
        before = x.copy(), y.copy()
        two(x, y)
        assert_equal((x, y), before)

    def test_may_be_one_array(self, two: Program, x: Array) -> None:
        assert_equal(two(x, x), reference(two.graph, [x, x]))

    def test_missing(self, two: Program, x: Array) -> None:
        with pytest.raises(InputError, match=r"input 'x2' is missing; the inputs are \['x1', 'x2"):
            two(x)
        with pytest.raises(InputError, match="input 'x1' is missing"):
            two(x2=x)
        with pytest.raises(InputError, match="input 'x1' is missing"):
            two()

    def test_unknown(self, two: Program, x: Array) -> None:
        with pytest.raises(InputError, match=r"no input is named 'z'; the inputs are \['x1', 'x2"):
            two(x, z=x)

    def test_twice(self, two: Program, x: Array) -> None:
        with pytest.raises(InputError, match="input 'x1' is given twice"):
            two(x, x1=x)
        with pytest.raises(InputError, match="input 'x1' is given twice"):
            two(x, x, x1=x)

    def test_too_many(self, two: Program, x: Array) -> None:
        with pytest.raises(InputError, match="3 inputs given; the network takes 2"):
            two(x, x, x)

    def test_of_another_shape(self, two: Program, x: Array) -> None:
        message = r"input 'x2' is uint8\[2, 12\]; it must be uint8\[2, 3, 4\]"
        with pytest.raises(InputError, match=message):
            two(x, x.reshape(2, 12))
        for other in (x[:1], x[None], x[:, :, :0], np.uint8(3) + np.zeros((), np.uint8)):
            with pytest.raises(InputError, match="it must be"):
                two(np.asarray(other), x)

    @pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float32", "bool", ">u2"])
    def test_of_another_dtype(self, two: Program, x: Array, dtype: str) -> None:
        with pytest.raises(InputError, match=r"input 'x1' is .*\[2, 3, 4\]; it must be uint8"):
            two(x.astype(dtype), x)

    @pytest.mark.parametrize("other", [None, 3, "x", [[1]], (1, 2)])
    def test_no_array(self, two: Program, x: Array, other: object) -> None:
        with pytest.raises(InputError, match=f"input 'x2' is a {type(other).__name__}; it must be"):
            two(x, other)  # type: ignore[arg-type]

    def test_an_error_leaves_the_program_usable(self, two: Program, x: Array, y: Array) -> None:
        with pytest.raises(InputError):
            two(x)
        assert_equal(two(x, y), reference(two.graph, [x, y]))


class TestOutputs:
    def test_are_equal_in_every_call_and_new(self, two: Program, x: Array, y: Array) -> None:
        first = two(x, y)
        kept = [a.copy() for a in first]
        second = two(x, y)
        two(y, y)
        assert_equal(first, kept)
        assert_equal(second, kept)
        arrays = [*first, *second]
        assert not any(
            np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :]
        )
        assert all(a.flags.c_contiguous and a.flags.writeable for a in arrays)
        first[0][...] = 0
        assert_equal(two(x, y), kept)

    def test_one_output_is_an_array(self) -> None:
        b = Builder()
        graph = b.graph(b.node(ops.Relu(), [b.input(quantized((3, 5), U8))], Q))
        assert isinstance(ew.compile(graph)(np.ones((3, 5), np.uint8)), np.ndarray)

    def test_a_scalar_is_an_array(self) -> None:
        b = Builder()
        graph = b.graph(b.node(ops.Logistic(), [b.input(quantized((), U8))], Q))
        (data,) = random_inputs(graph)
        result = ew.compile(graph)(data)
        assert isinstance(result, np.ndarray)
        assert_equal(result, reference(graph, [data]))

    def test_the_graph_may_return_its_input_its_constant_and_one_value_twice(self) -> None:
        b = Builder()
        x = b.input(quantized((3, 5), U8))
        constant = b.weights((2, 2), U8)
        y = b.node(ops.Relu(), [x], Q)
        graph = b.graph(x, constant, y, y)
        for threads in (1, 2):
            program = ew.compile(graph, threads=threads)
            (data,) = random_inputs(graph)
            found = program(data)
            assert_equal(found, reference(graph, [data]))
            found[1][...] = 0
            assert not np.shares_memory(found[2], found[3])
            assert_equal(program(data), reference(graph, [data]))
            program.close()

    def test_a_network_without_nodes(self) -> None:
        b = Builder()
        graph = b.graph(b.input(quantized((3, 5), U8)))
        (data,) = random_inputs(graph)
        assert_equal(ew.compile(graph, threads=2)(data), data)

    def test_a_padded_output_is_compact(self) -> None:
        """A value that a convolution reads with padding is returned without it."""
        b = Builder()
        x = b.input(quantized((1, 5, 6, 3), U8))
        y = b.node(ops.HardSwish(), [x], Q)
        z = b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [y, b.weights((4, 3, 3, 3))], Q)
        graph = b.graph(y, z)
        inputs = random_inputs(graph)
        found = ew.compile(graph)(*inputs)
        assert_equal(found, reference(graph, inputs))
        assert found[0].flags.c_contiguous


class TestFallbacks:
    """An operator without a kernel runs between native steps."""

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("place", ["first", "middle", "last", "only", "twice"])
    def test_anywhere(self, place: str, threads: int) -> None:
        b = Builder()
        value = b.input(quantized((1, 6, 6, 8), U8))
        relu, slow = ops.Relu6(), Backwards()
        order = {
            "first": [slow, relu],
            "middle": [relu, slow, relu],
            "last": [relu, slow],
            "only": [slow],
            "twice": [relu, slow, slow, relu],
        }[place]
        for op in order:
            value = b.node(op, [value], Q)
        graph = b.graph(value)
        program = ew.compile(graph, threads=threads)
        assert len(program.plan.fallbacks) == order.count(slow)
        for seed in range(3):
            inputs = random_inputs(graph, seed)
            assert_equal(program(*inputs), reference(graph, inputs))
        program.close()


class TestThreads:
    @pytest.mark.parametrize("isa", NATIVE)
    def test_results_do_not_depend_on_their_number(self, isa: str) -> None:
        graph = classifier(DType.INT8)
        samples = [random_inputs(graph, seed) for seed in range(5)]
        expected = [reference(graph, sample) for sample in samples]
        for threads in (1, 2, 3):
            program = ew.compile(graph, threads=threads, isa=isa)
            assert (program.threads, program.isa.name) == (threads, isa)
            for _ in range(20):
                for sample, answer in zip(samples, expected, strict=True):
                    assert_equal(program(*sample), answer)
            program.close()

    @pytest.mark.parametrize("threads", [1, 2])
    def test_calls_from_several_threads(self, threads: int) -> None:
        graph = classifier(U8)
        program = ew.compile(graph, threads=threads)
        samples = [random_inputs(graph, seed) for seed in range(8)]
        expected = [reference(graph, sample) for sample in samples]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda i: program(*samples[i % 8]), range(200)))
        for i, results in enumerate(found):
            assert_equal(results, expected[i % 8])
        program.close()

    def test_several_programs_at_once(self) -> None:
        graphs = [classifier(U8, seed=i) for i in range(3)]
        programs = [ew.compile(g, threads=n) for g, n in zip(graphs, (1, 2, 3), strict=True)]
        inputs = [random_inputs(g, 9) for g in graphs]
        expected = [reference(g, i) for g, i in zip(graphs, inputs, strict=True)]
        for _ in range(10):
            for program, arrays, answer in zip(programs, inputs, expected, strict=True):
                assert_equal(program(*arrays), answer)
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda i: programs[i % 3](*inputs[i % 3]), range(60)))
        for i, results in enumerate(found):
            assert_equal(results, expected[i % 3])
        for program in programs:
            program.close()

    def test_two_programs_of_one_graph_share_no_memory(self) -> None:
        graph = classifier(U8)
        a, b = ew.compile(graph), ew.compile(graph)
        one, other = random_inputs(graph, 1), random_inputs(graph, 2)
        expected = reference(graph, one)
        for _ in range(3):
            assert_equal(a(*one), expected)
            b(*other)

    def test_close_ends_the_threads_and_a_call_starts_them_again(self) -> None:
        graph = classifier(U8)
        inputs = random_inputs(graph)
        expected = reference(graph, inputs)
        before = native_threads()
        program = ew.compile(graph, threads=3)
        assert native_threads() == before + 2
        for _ in range(3):
            assert_equal(program(*inputs), expected)
            program.close()
            assert native_threads() == before
            program.close()
        assert_equal(program(*inputs), expected)
        assert native_threads() == before + 2
        del program
        assert native_threads() == before

    @pytest.mark.parametrize("threads", [0, -1, MAX_THREADS + 1])
    def test_number_out_of_range(self, threads: int) -> None:
        with pytest.raises(InputError, match=rf"threads={threads}; a pool has 1..{MAX_THREADS}"):
            ew.compile(sum_and_difference(), threads=threads)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_a_forked_child_runs_it_too(self, threads: int) -> None:
        graph = classifier(U8)
        inputs = random_inputs(graph)
        expected = reference(graph, inputs)
        program = ew.compile(graph, threads=threads)
        program(*inputs)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                assert_equal(program(*inputs), expected)
                assert_equal(program(*inputs), expected)
                program.close()
                status = 0
            os._exit(status)
        assert_equal(program(*inputs), expected)
        assert os.waitstatus_to_exitcode(wait_for(child)) == 0
        program.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_a_child_forked_during_a_call_of_another_thread_runs_it_too(self) -> None:
        graph = classifier(U8)
        inputs = random_inputs(graph)
        program = ew.compile(graph)
        expected = reference(graph, inputs)
        with program._pool.lock:
            child = os.fork()
            if child == 0:
                status = 1
                with contextlib.suppress(BaseException):
                    assert_equal(program(*inputs), expected)
                    status = 0
                os._exit(status)
        assert os.waitstatus_to_exitcode(wait_for(child)) == 0

    def test_the_process_ends_while_a_daemon_thread_runs_it(self) -> None:
        for _ in range(5):
            subprocess.run([sys.executable, "-c", DAEMON], cwd=HERE, check=True, timeout=30)


HERE = Path(__file__).parent
DAEMON = """
import threading, time
import edgewise as ew
from edgewise.dtype import DType
from networks import classifier, random_inputs
graph = classifier(DType.UINT8)
program, inputs = ew.compile(graph, threads=2), random_inputs(graph)

def run():
    while True:
        program(*inputs)

threading.Thread(target=run, daemon=True).start()
time.sleep(0.05)
"""


def wait_for(child: int, seconds: float = 30.0) -> int:
    """The status of a child; one that hangs is killed."""
    timer = threading.Timer(seconds, os.kill, (child, 9))
    timer.start()
    try:
        return os.waitpid(child, 0)[1]
    finally:
        timer.cancel()


def test_an_instruction_set_that_the_machine_lacks() -> None:
    with pytest.raises(CompileError, match=r"isa='hvx': this machine runs .*" + NATIVE[-1]):
        ew.compile(sum_and_difference(), isa="hvx")
    other = "neon" if "neon" not in NATIVE else "avx2"
    with pytest.raises(CompileError, match=f"isa='{other}'"):
        ew.compile(sum_and_difference(), isa=other)


def test_the_best_instruction_set_is_chosen(two: Program) -> None:
    assert two.isa.name == NATIVE[0]


def test_the_second_program_comes_from_the_cache() -> None:
    graph = sum_and_difference()
    ew.compile(graph)
    assert ew.compile(graph).cached


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_more_steps_than_a_run_of_the_pool_takes(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SLOTS", 4)
    graph = classifier(U8, seed=77)
    program = ew.compile(graph, threads=threads)
    assert len(program.plan.steps) > 12
    inputs = random_inputs(graph)
    assert_equal(program(*inputs), reference(graph, inputs))
    program.close()
