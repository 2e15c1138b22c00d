"""Where the time of a call goes: steps, their work, and the machine's limits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.aligned import aligned
from edgewise.codegen import jit, roofline
from edgewise.codegen.module import choose_isa, target_for
from edgewise.codegen.roofline import Memory, Roofline
from edgewise.codegen.target import Target, host
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.execution import plan_for
from edgewise.graph import TensorType
from edgewise.kernels.gemm import Gemm
from edgewise.kernels.gemm_bf16 import PairGemm
from edgewise.kernels.ir import bf16, f32, i8, i16, u8
from edgewise.kernels.isa import AVX2, BF16_ISAS, ISAS, Isa
from edgewise.kernels.peak import Arithmetic, Peak, Reading, arithmetic
from edgewise.kernels.qbytes import QBytes
from edgewise.kernels.qdepthwise import QDepthwise
from edgewise.kernels.qgemm import QGemm
from edgewise.kernels.qwinograd import QWinograd
from edgewise.kernels.wgemm import WGemm
from edgewise.kernels.winograd import Winograd
from edgewise.plan.model import HostStep, Step
from edgewise.plan.work import Work, works
from edgewise.tools.differences import random_inputs as random_sets
from edgewise.tools.profile import limit
from networks import Backwards, Builder, classifier, quantized, random_inputs
from tflite_networks import accumulator, branch, loop, nonzero

FLOATS = Arithmetic.of_floats(ISAS[1])


class TestSteps:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_each_is_timed(self, threads: int) -> None:
        graph = classifier(DType.UINT8)
        program = ew.compile(graph, threads=threads)
        arrays = random_inputs(graph)
        before = program(*arrays)
        found = program.profile(*arrays, runs=8)
        assert [s.kernel for s in found.steps] == [
            s.kernel.symbol for s in program.plan.steps if isinstance(s, Step)
        ]
        assert all(0 <= s.seconds < 1 and s.calls == 1 and not s.graph for s in found.steps)
        assert 0 < sum(s.seconds for s in found.steps) < found.seconds
        assert found.seconds == pytest.approx(sum(s.seconds for s in found.steps) + found.outside)
        assert found.untimed > 0
        assert found.runs == 8
        for array, expected in zip(program(*arrays), before, strict=True):
            np.testing.assert_array_equal(array, expected)

    def test_about_a_second_of_calls(self) -> None:
        b = Builder()
        x = b.input(quantized((2, 3), DType.UINT8))
        told: list[None] = []
        graph = b.graph(b.node(Backwards(), [x], x.type.quant))
        found = ew.compile(graph).profile(*random_inputs(graph), progress=lambda: told.append(None))
        assert len(told) == found.runs == 200

    def test_a_loop_has_steps_a_turn(self) -> None:
        program = ew.compile(ew.load(loop(None)))
        x = np.zeros((2, 3), np.float32)
        for turns in (4, 0):
            found = program.profile(np.zeros(1, np.int32), x, np.array([turns], np.int32), runs=3)
            inner = [s for s in found.steps if s.graph]
            assert {s.calls for s in inner} == ({4.0, 5.0} if turns else {0.0, 1.0})
            assert all((s.seconds > 0) == (s.calls > 0) for s in inner)
            (whole,) = (s for s in found.steps if s.kernel is None)
            assert [node.op.name for node in whole.nodes] == ["WHILE"]
            assert whole.calls == 1
            assert whole.work.macs == 0

    def test_a_branch_that_is_not_taken(self) -> None:
        program = ew.compile(ew.load(branch()))
        (arrays,) = random_sets(program.graph, 1, 0)
        found = program.profile(*arrays, runs=3)
        assert {s.calls for s in found.steps if s.graph} == {0.0, 1.0}

    def test_what_is_interpreted(self) -> None:
        program = ew.compile(ew.load(nonzero()))
        x = np.eye(3, 4, dtype=np.float32)
        before = program(x)
        *_, last = program.profile(x, runs=3).steps
        assert (last.kernel, last.calls, last.work.nbytes) == (None, 1, 0)
        assert last.seconds > 0
        for array, expected in zip(program(x), before, strict=True):
            np.testing.assert_array_equal(array, expected)

    def test_variables_stay(self) -> None:
        program = ew.compile(ew.load(accumulator()))
        x = np.ones(3, np.float32)
        before = program.states
        program.profile(x, runs=3)
        for name, array in program.states.items():
            np.testing.assert_array_equal(array, before[name])

    def test_no_runs(self) -> None:
        graph = classifier(DType.UINT8)
        with pytest.raises(InputError, match="runs=0; it must be 1 or more"):
            ew.compile(graph).profile(*random_inputs(graph), runs=0)

    @pytest.mark.slow
    @pytest.mark.data
    @pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224_int8", "deeplabv3_257_float"])
    def test_the_sum_is_the_time_of_a_call(self, data: Path, name: str) -> None:
        graph = ew.load(data / "models" / f"{name}.tflite")
        (arrays,) = random_sets(graph, 1, 0)
        program = ew.compile(graph)
        found = (program.profile(*arrays) for _ in range(5))  # other processes may disturb some
        assert any(p.seconds == pytest.approx(p.untimed, rel=0.05) for p in found)


class TestWork:
    def test_of_a_convolution(self) -> None:
        b = Builder()
        x = b.input(quantized((1, 8, 8, 16), DType.UINT8))
        conv = ops.Conv2D()
        y = b.node(conv, [x, b.weights((32, 1, 1, 16)), b.bias(32)], x.type.quant)
        plan = plan_for(b.graph(y), choose_isa(host()))
        (work,) = (w for w in works(plan) if w.products)
        assert work.macs == 8 * 8 * 16 * 32
        assert work.activation_bytes == 8 * 8 * (16 + 32)
        assert 16 * 32 <= work.weight_bytes <= plan.constant_bytes
        assert work.direct
        assert [macs for _, macs in work.products] == [work.macs]

    @pytest.mark.parametrize("isa", ISAS, ids=str)
    @pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
    def test_adds_up_to_that_of_the_operators(self, isa: Isa, dtype: DType) -> None:
        plan = plan_for(classifier(dtype), isa)
        found = works(plan)
        assert sum(w.macs for w in found) == sum(node.macs for node in plan.nodes)
        assert all(w.weight_bytes <= plan.constant_bytes for w in found)
        assert all(
            sum(macs for _, macs in w.products) in (0, w.macs) and w.activation_bytes > 0
            for w in found
        )

    def test_of_a_transform_is_the_direct_product(self) -> None:
        b = Builder()
        x = b.input(TensorType((1, 64, 64, 64), DType.FLOAT32))
        weights = b.constant(b.rng.normal(size=(64, 3, 3, 64)).astype(np.float32))
        bias = b.constant(np.zeros(64, np.float32))
        y = b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [x, weights, bias], None)
        plan = plan_for(b.graph(y), ISAS[1])
        (work,) = (w for w in works(plan) if w.products)
        assert not work.direct
        assert work.macs == 64 * 64 * 64 * 64 * 9

    def test_of_rows_that_indices_name(self) -> None:
        b = Builder()
        rows = b.input(TensorType((3,), DType.INT32))
        table = b.constant(np.ones((1000, 16), np.float32))
        plan = plan_for(b.graph(b.node(ops.Gather(0), [table, rows], None)), ISAS[1])
        (work,) = works(plan)
        assert work == Work(0, 3 * 4 + 3 * 16 * 4 + 1, 3 * 16 * 4)  # and the byte "broken"

    def test_of_a_fallback(self) -> None:
        b = Builder()
        x = b.input(quantized((2, 3), DType.UINT8))
        plan = plan_for(b.graph(b.node(Backwards(), [x], x.type.quant)), ISAS[1])
        assert isinstance(plan.steps[0], HostStep)
        assert works(plan) == [Work(0, 12, 0)]


class TestLimits:
    LIMITS = Roofline(
        2,
        {"fma": 100e9},
        (Memory("L1", 1000, 80e9), Memory("L2", 50_000, 40e9), Memory("memory", None, 10e9)),
    )

    def test_the_nearest_memory_that_holds_it(self) -> None:
        assert [self.LIMITS.level(n).name for n in (0, 1000, 1001, 50_001)] == [
            *("L1", "L1", "L2", "memory")
        ]

    @pytest.mark.parametrize(
        ("work", "seconds", "by"),
        [
            (Work(100_000, 800, 0, ((FLOATS, 100_000),)), 1e-6, "fma"),
            (Work(100, 800, 0, ((FLOATS, 100),)), 1e-8, "L1"),
            (Work(100, 800, 400, ((FLOATS, 100),)), 2e-8, "L1"),
            (Work(100, 800, 40_000, ((FLOATS, 100),)), 1e-8 + 1e-6, "L2"),
            (Work(0, 80_000, 0), 8e-6, "memory"),
        ],
    )
    def test_of_a_step(self, work: Work, seconds: float, by: str) -> None:
        found = limit(work, self.LIMITS, 40_000)
        assert found.seconds == pytest.approx(seconds)
        assert found.by == by

    def test_measured_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(roofline, "SECONDS", 1e-5)
        monkeypatch.setattr(roofline, "FARTHEST", 1 << 20)
        isa = choose_isa(host())
        kinds = [Arithmetic.of_floats(isa), Arithmetic.of_dot(isa.gemm)]
        first = roofline.measured(isa, kinds, renew=True)
        assert set(first.peaks) == {kind.name for kind in kinds}
        assert all(rate > 0 for rate in first.peaks.values())
        assert first.memory[-1].capacity is None
        assert all(m.bytes_per_second > 0 for m in first.memory)
        assert roofline.measured(isa, kinds) == first
        two = roofline.measured(isa, kinds[:1], 2, renew=True)
        assert two.memory[0].capacity == 2 * first.memory[0].capacity

    def test_caches_that_the_system_does_not_tell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
        assert roofline.cache_sizes() == roofline.CACHES


def kinds(isa: Isa) -> list[Arithmetic]:
    found = [
        *(Arithmetic.of_dot(dot) for dot in (isa.gemm, isa.depthwise, isa.words)),
        Arithmetic.of_floats(isa),
    ]
    if isa.arch == "x86_64" and isa.bits < 512:
        found.append(Arithmetic.of_bytes(isa))
    return found + ([Arithmetic.of_bfloats(isa)] if isa.bf16_dot else [])


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        (QGemm(AVX2, 4, 2), "pmaddwd"),
        (QBytes(AVX2, 4, 2), "pmaddubsw"),
        (QDepthwise(AVX2, 2), "pmaddwd"),
        (QWinograd(AVX2, 6), "words"),
        (WGemm(AVX2, 4, 2), "words"),
        (Gemm(AVX2, 6, 2), "fma"),
        (Winograd(AVX2, 6), "fma"),
        (PairGemm(BF16_ISAS[0], 8, 2), "bf16"),
        (Reading(AVX2), None),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_what_kernels_multiply_with(kernel: object, name: str | None) -> None:
    found = arithmetic(kernel)
    assert (None if found is None else found.name) == name


class TestMicroBenchmarks:
    @pytest.mark.parametrize("isa", [*ISAS, *BF16_ISAS], ids=str)
    def test_every_instruction_set_has_them(self, isa: Isa) -> None:
        for kernel in (Reading(isa), *(Peak(isa, kind) for kind in kinds(isa))):
            target = Target(f"{isa.arch}-unknown-linux-gnu", "generic", isa.features)
            assert kernel.symbol in jit.assembly(kernel.build(), target)

    @pytest.mark.parametrize("name", [isa.name for isa in (*ISAS, *BF16_ISAS)])
    def test_peak_does_the_multiply_adds_that_it_claims(self, name: str) -> None:
        (isa,) = (i for i in (*ISAS, *BF16_ISAS) if i.name == name)
        if isa.arch != host().arch or not set(isa.features) <= set(host().features):
            pytest.skip("this processor does not run it")
        for kind in kinds(isa):
            peak = Peak(isa, kind)
            a, b, c = (aligned(2 * 4096) for _ in range(3))
            for x, operand in ((a, kind.a), (b, kind.b)):
                x[:] = np.frombuffer(ONES[operand.scalar] * (x.size // operand.scalar.nbytes), "u1")
            params = np.array([x.ctypes.data for x in (a, b, c)], np.int64)
            function(peak)(params.ctypes.data, 0, 10)
            sums = c.view(np.float32 if kind.sums.kind == "f" else np.int32)
            assert sums.sum() == 10 * peak.macs

    def test_reading_reads_all(self) -> None:
        reading = Reading(choose_isa(host()))
        a, c = aligned(4 * reading.nbytes), aligned(reading.nbytes)
        a[-1] = a[reading.nbytes] = 3
        params = np.array([a.ctypes.data, c.ctypes.data, 3], np.int64)
        function(reading)(params.ctypes.data, 0, 4)
        assert sorted(np.flatnonzero(c)) == [0, reading.nbytes - 1]


ONES = {
    **{
        ty: np.ones(1, name).tobytes()
        for ty, name in ((f32, "f4"), (i8, "i1"), (u8, "u1"), (i16, "i2"))
    },
    bf16: b"\x80\x3f",
}
"""The number 1 as bytes of a type."""

LIBRARIES: list[Any] = []


def function(kernel: Peak | Reading) -> Callable[[int, int, int], None]:
    library = jit.load_object([jit.compile_ir(kernel.build(), target_for(kernel.isa))])
    LIBRARIES.append(library)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    call: Callable[[int, int, int], None] = kind(library.address(kernel.symbol))
    return call
