"""Steps timed one by one."""

from __future__ import annotations

import ctypes
import time

import pytest

from edgewise.codegen import jit
from edgewise.codegen.module import choose_isa, target_for
from edgewise.codegen.stamps import Counter, stamp_text
from edgewise.codegen.target import Target, host
from edgewise.codegen.timing import StepTimer
from edgewise.dtype import DType
from edgewise.errors import CompileError
from edgewise.execution import plan_for
from networks import Backwards, Builder, classifier, quantized


@pytest.mark.parametrize("threads", [1, 2])
def test_every_step_is_timed(threads: int) -> None:
    isa = choose_isa(host())
    plan = plan_for(classifier(DType.UINT8), isa)
    with StepTimer(plan, isa, threads) as timer:
        seconds = timer.run(3)
    assert seconds.shape == (3, len(plan.steps))
    assert (seconds > 0).all()
    assert seconds.sum() < 1


def test_fallbacks_are_left_out() -> None:
    b = Builder()
    x = b.input(quantized((3, 5), DType.UINT8))
    y = b.node(Backwards(), [x], x.type.quant)
    plan = plan_for(b.graph(y), choose_isa(host()))
    assert len(plan.fallbacks) == len(plan.steps) == 1
    with StepTimer(plan, choose_isa(host())) as timer:
        assert timer.run(2).shape == (2, 0)


@pytest.mark.parametrize(
    ("triple", "cpu", "instruction"),
    [
        ("x86_64-unknown-linux-gnu", "x86-64", "rdtsc"),
        ("aarch64-unknown-linux-gnu", "generic", "cntvct_el0"),
    ],
)
def test_counter_of_each_processor(triple: str, cpu: str, instruction: str) -> None:
    target = Target(triple, cpu)
    text = jit.assembly(stamp_text(target.arch, 7), target).lower()
    assert text.count(instruction) == 2


def test_unknown_processor() -> None:
    with pytest.raises(CompileError, match="processor riscv64: no counter of time is known"):
        stamp_text("riscv64", 0)


def test_the_counter_keeps_time() -> None:
    text = stamp_text(host().arch, 0)
    library = jit.load_object([jit.compile_ir(text, target_for(choose_isa(host())))])
    counter = Counter(library)
    read = ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("ew_ticks"))
    ticks, start = read(), time.perf_counter()
    time.sleep(0.05)
    ticks, seconds = read() - ticks, time.perf_counter() - start
    assert ticks * counter.seconds_per_tick() == pytest.approx(seconds, rel=0.05)
