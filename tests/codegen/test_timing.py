"""Steps timed one by one."""

from __future__ import annotations

import pytest

from edgewise.codegen import jit
from edgewise.codegen.module import choose_isa
from edgewise.codegen.target import Target, host
from edgewise.codegen.timing import StepTimer, timed_text
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
    text = timed_text(target.arch, ["f"]) + "declare void @f(ptr, ptr)\n"
    assert jit.assembly(text, target).lower().count(instruction) == 2


def test_unknown_processor() -> None:
    with pytest.raises(CompileError, match="processor riscv64: how to read its counter"):
        timed_text("riscv64", [])
