"""Kernels chosen by measurements: choices, candidates, the search, programs that go by it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops, tuner
from edgewise.codegen import cache, tuned
from edgewise.codegen.module import choose_isa
from edgewise.codegen.target import host
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.execution import Options, plan_for
from edgewise.graph import Graph, TensorType, Value
from edgewise.kernels.isa import ISAS, Isa
from edgewise.plan import Plan, Step
from edgewise.plan.alternatives import alternatives, steps_of
from edgewise.plan.choices import UNTUNED, Choice, Tuning, cheapest, fastest
from networks import Backwards, Builder, classifier, quantized, random_inputs, reference

ISA = choose_isa(host())
SAME = (1, 1, 1, 1)


@pytest.fixture(autouse=True)
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.setattr(tuned, "_warned", False)
    return tmp_path


def convolutions() -> Graph:
    """Float32: a 3x3 of stride 1, one of stride 2, a depthwise one, and a product."""
    b = Builder()
    x = b.input(TensorType((1, 12, 12, 8), DType.FLOAT32))

    def some(*shape: int) -> Value:
        return b.constant(b.rng.normal(size=shape).astype(np.float32))

    y = b.node(ops.Conv2D(padding=SAME), [x, some(16, 3, 3, 8), some(16)])
    y = b.node(ops.Conv2D((2, 2), padding=SAME), [y, some(24, 3, 3, 16), some(24)])
    y = b.node(ops.DepthwiseConv2D(padding=SAME), [y, some(1, 3, 3, 24), some(24)])
    return b.graph(b.node(ops.Conv2D(), [y, some(3, 1, 1, 24), some(3)]))


def grouped() -> Graph:
    b = Builder()
    x = b.input(quantized((1, 6, 6, 32), DType.UINT8))
    w = b.weights((48, 1, 1, 8), axis=0)
    return b.graph(b.node(ops.Conv2D(), [x, w, b.bias(48)], x.type.quant))


def few_channels() -> Graph:
    """Convolutions that may be done by Winograd's filtering, or several pixels at a time."""
    b = Builder()
    x = b.input(quantized((1, 10, 11, 3), DType.UINT8))
    wide = ops.Conv2D(padding=(2, 2, 2, 2))
    y = b.node(wide, [x, b.weights((5, 5, 5, 3), axis=0), b.bias(5)], x.type.quant)
    same = ops.Conv2D(padding=SAME)
    return b.graph(b.node(same, [y, b.weights((32, 3, 3, 5), axis=0), b.bias(32)], x.type.quant))


def tuned_plan(graph: Graph, tuning: Tuning, isa: Isa = ISA) -> Plan:
    return plan_for(graph, isa, Options(tuning=tuning))


def kernels(plan: Plan, choice: Choice) -> set[tuple[object, ...]]:
    """How a node is computed."""
    found = (s for s in plan.steps if isinstance(s, Step) and choice.node in s.nodes)
    return {way(s) for step in found for s in (*step.parts, step)}


def way(step: Step) -> tuple[object, ...]:
    """The kernel, and what its time depends on: terms of a product, tiles of a block."""
    return step.kernel.symbol, *(step.params.get(name) for name in ("kc", "n", "block"))


def test_cheapest_and_fastest() -> None:
    class Kernel:
        def __init__(self, symbol: str) -> None:
            self.symbol = symbol

    a, b, c = (Kernel(name) for name in "abc")
    assert cheapest("", [(a, 2.0), (b, 1.0)], [(c, 0.5)]) == (b, 1.0)
    assert fastest({"a": 1.0, "c": 0.5, "x": 0.1}, [a, b, c]) == (c, 0.5)
    assert fastest({"x": 0.1}, [a, b]) is None


@pytest.mark.parametrize("isa", ISAS, ids=str)
@pytest.mark.parametrize(
    "make", [lambda: classifier(DType.UINT8), convolutions, grouped, few_channels]
)
def test_a_measurement_overrides_the_cost_model(isa: Isa, make: Callable[[], Graph]) -> None:
    """Every candidate of every choice can be made the chosen one, and the plan is made of it."""
    graph = make()
    plan = plan_for(graph, isa)
    assert all(not choice.tuned for choice in plan.choices)
    several = [choice for choice in plan.choices if len(choice.estimates) > 1]
    assert several
    for choice in several:
        for symbol in choice.estimates:
            found = tuned_plan(graph, Tuning({choice.problem: {symbol: 1e-9}}), isa)
            same = [c for c in found.choices if c.problem == choice.problem]
            assert {c.chosen for c in same} == {symbol}
            assert all(c.tuned for c in same)
            assert not any(c.tuned for c in found.choices if c.problem != choice.problem)
            if symbol != choice.chosen:
                assert kernels(found, same[0]) != kernels(plan, choice)


def test_measurements_of_what_no_candidate_is_are_ignored() -> None:
    graph = convolutions()
    plan = plan_for(graph, ISA)
    measured = {c.problem: {"of_another_version": 1e-9} for c in plan.choices}
    found = tuned_plan(graph, Tuning(measured))
    assert [c.chosen for c in found.choices] == [c.chosen for c in plan.choices]
    assert not any(c.tuned for c in found.choices)


def test_problems_tell_apart_what_the_time_depends_on() -> None:
    """Layers that differ in their sizes, stride or epilogue are other problems."""
    groups, others = (plan_for(make(), ISA).choices for make in (grouped, convolutions))
    assert len({c.problem for c in (*groups, *others)}) == 5
    assert len(groups) == 4
    assert len({c.problem for c in groups}) == 1
    assert all(ISA.name in c.problem.split() for c in (*groups, *others))


def test_estimates_hold_for_every_candidate() -> None:
    for choice in plan_for(convolutions(), ISA).choices:
        assert choice.chosen in choice.estimates
        assert all(seconds > 0 for seconds in choice.estimates.values())


@pytest.mark.parametrize(
    "make", [lambda: classifier(DType.UINT8), convolutions, grouped, few_channels]
)
def test_alternatives(make: Callable[[], Graph]) -> None:
    """Steps of every candidate, with the operands where the plan has them."""
    graph = make()
    plan = plan_for(graph, ISA)
    for choice in plan.choices:
        found, parts = alternatives(plan, ISA, None, choice, list(choice.estimates))
        assert [i for part in parts for i in part] == list(range(len(found.steps)))
        assert all(parts)
        assert {step.node for step in found.steps} == {choice.node}
        every = [step for step in found.steps if isinstance(step, Step)]
        steps = [[every[i] for i in part] for part in parts]
        assert len({tuple(map(way, part)) for part in steps}) == len(parts)
        outputs = [{view.address.buffer for s in part for view in s.writes} for part in steps]
        assert all(each == outputs[0] for each in outputs)


def test_groups_are_measured_together() -> None:
    plan = plan_for(grouped(), ISA)
    choice = plan.choices[0]
    _, parts = alternatives(plan, ISA, None, choice, list(choice.estimates)[:2])
    assert [len(part) for part in parts] == [4, 4]
    steps = [s for s in plan.steps if isinstance(s, Step)]
    assert steps_of(choice, steps, plan.choices) == [choice.step]


@pytest.mark.parametrize("make", [lambda: classifier(DType.UINT8), grouped, few_channels])
def test_integers_stay_the_same(make: Callable[[], Graph]) -> None:
    """Whatever is chosen, results are those of the references."""
    graph = make()
    inputs = random_inputs(graph)
    expected = reference(graph, inputs)
    plan = plan_for(graph, ISA)
    candidates = max(len(c.estimates) for c in plan.choices)
    for i in range(candidates):
        measured = {
            c.problem: {sorted(c.estimates)[i % len(c.estimates)]: 1e-9} for c in plan.choices
        }
        assert tuned.save(measured)
        results = ew.compile(graph)(*inputs)
        found = results if isinstance(results, tuple) else (results,)
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_floats_stay_within_rounding() -> None:
    graph = convolutions()
    inputs = random_inputs(graph)
    (expected,) = reference(graph, inputs)
    plan = plan_for(graph, ISA)
    for choice in plan.choices:
        for symbol in sorted(choice.estimates)[::4]:
            assert tuned.save({choice.problem: {symbol: 1e-9}})
            found = ew.compile(graph)(*inputs)
            assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def pretend(monkeypatch: pytest.MonkeyPatch, best: str | None = None) -> list[str]:
    """Candidates take as long as they are expected to, but those of ``best`` nothing.

    Steps and whole networks by measured choices take half the time. Gives what is measured.
    """
    asked: list[str] = []

    def candidates(self: Any, choice: Choice) -> dict[str, float]:
        asked.append(choice.problem)
        fast = best or max(choice.estimates, key=choice.estimates.__getitem__)
        return {s: t / 100 if fast in s else t for s, t in choice.estimates.items()}

    def verified(self: Any, other: Plan, changes: Any) -> Any:
        return changes

    monkeypatch.setattr(tuner._Search, "candidates", candidates)
    monkeypatch.setattr(tuner._Search, "verified", verified)
    monkeypatch.setattr(tuner._Search, "whole", lambda self: ((2.0, 1.0),) * 3)
    return asked


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by ``step`` seconds whenever it is read."""
    turns = itertools.count()
    return lambda: next(turns) * step


def test_tuning_is_kept_and_programs_go_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    graph = classifier(DType.UINT8).read_from("a file")
    before = ew.compile(graph).plan
    found = ew.tune(graph)
    assert found.kept
    assert found.finished
    assert found.measured == found.problems > 0
    assert found.ratio == 2.0
    assert found.changes
    after = ew.compile(graph).plan
    for change in found.changes:
        assert {c.chosen for c in before.choices if c.problem == change.problem} == {change.before}
        chosen = {c.chosen for c in after.choices if c.problem == change.problem}
        assert chosen in ({change.after}, set())
    assert [c.chosen for c in after.choices] != [c.chosen for c in before.choices]
    untuned = ew.compile(graph, tuned=False).plan
    assert [c.chosen for c in untuned.choices] == [c.chosen for c in before.choices]
    inputs = random_inputs(graph)
    for got, expected in zip(ew.compile(graph)(*inputs), reference(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_stored_programs_follow_the_tuning(monkeypatch: pytest.MonkeyPatch, where: Path) -> None:
    """A program kept from before is not used once there is a tuning, and is after a reset."""
    pretend(monkeypatch)
    graph = classifier(DType.UINT8).read_from("a file")
    ew.compile(graph)
    assert ew.compile(graph).cached
    count = len(list(where.glob("*.network")))
    ew.tune(graph)
    assert len(list(where.glob("*.network"))) == count
    assert not ew.compile(graph).cached
    assert len(list(where.glob("*.network"))) == count + 1
    assert ew.compile(graph).cached
    assert ew.compile(graph, tuned=False).cached
    tuned.reset()
    assert ew.compile(graph).cached
    assert len(list(where.glob("*.network"))) == count + 1


def test_networks_share_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pretend(monkeypatch)
    ew.tune(classifier(DType.UINT8))
    assert asked
    asked.clear()
    found = ew.tune(classifier(DType.UINT8, seed=1))
    assert found.known + found.measured == found.problems
    assert found.measured == len(asked) < found.problems
    asked.clear()
    assert ew.tune(classifier(DType.UINT8, seed=1), again=True).measured == len(asked) > 0
    assert len(asked) == found.problems


def test_budget_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problems that take most of the time come first, and the clock decides how many."""
    asked = pretend(monkeypatch)
    spent: list[float] = []
    found = tuner.tune(
        convolutions(),
        budget=40.0,
        clock=ticking(10.0),
        progress=lambda share, problem, saved: spent.append(share),
    )
    assert not found.finished
    assert 0 < found.measured == len(asked) < found.problems
    assert spent == sorted(spent)
    assert spent[-1] < 1
    times = {c.problem: c.estimates[c.chosen] for c in plan_for(convolutions(), ISA).choices}
    assert asked == sorted(times, key=lambda p: -times[p])[: len(asked)]


def test_interruption_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    asked = iter(range(2))

    def progress(spent: float, problem: str, saved: float) -> None:
        if problem.startswith(("conv", "product", "depthwise")) and next(asked, None) is None:
            raise KeyboardInterrupt

    found = ew.tune(convolutions(), progress=progress)
    assert not found.finished
    assert found.measured == 2
    assert len(tuned.load().measured) == 2


def test_slower_networks_keep_the_cost_models_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    monkeypatch.setattr(tuner._Search, "whole", lambda self: ((1.0, 1.01),) * 3)
    found = ew.tune(convolutions())
    assert not found.kept
    assert found.ratio < 1
    assert tuned.load() is UNTUNED


def test_layers_that_are_slower_in_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that does not hold there is not made, and the choice is known from then on."""
    pretend(monkeypatch)

    def verified(self: Any, other: Plan, changes: Any) -> Any:
        return tuple(
            replace(c, in_network=(1.0, 0.5 + i), kept=i == 0) for i, c in enumerate(changes)
        )

    monkeypatch.setattr(tuner._Search, "verified", verified)
    found = ew.tune(convolutions())
    assert [c.kept for c in found.changes] == [True] + [False] * (len(found.changes) - 1)
    assert len(found.changes) > 1
    plan = ew.compile(convolutions()).plan
    for change in found.changes:
        expected = change.after if change.kept else change.before
        assert {c.chosen for c in plan.choices if c.problem == change.problem} == {expected}
    assert all(c.tuned for c in plan.choices if len(c.estimates) > 1)


def test_small_differences_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)

    def candidates(self: Any, choice: Choice) -> dict[str, float]:
        times = dict.fromkeys(choice.estimates, 0.99)
        return times | {choice.chosen: 1.0}

    monkeypatch.setattr(tuner._Search, "candidates", candidates)
    found = ew.tune(convolutions())
    assert found.changes == ()
    assert found.samples == ()
    assert found.kept
    assert found.ratio == 1.0


def test_nothing_is_kept_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert ew.tune(convolutions(), save=False).changes
    assert tuned.load() is UNTUNED


@pytest.mark.parametrize(
    ("make", "threads"), [(lambda: classifier(DType.UINT8), 1), (convolutions, 2)]
)
def test_measured_for_real(
    make: Callable[[], Graph], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuner, "PROBLEM_SECONDS", 0.01)
    monkeypatch.setattr(tuner, "NETWORK_SECONDS", 0.1)
    graph = make()
    inputs = random_inputs(graph)
    found = ew.tune(graph, budget=60, threads=threads)
    assert found.threads == threads
    assert found.finished
    assert found.measured == found.problems
    for change in found.changes:
        assert change.seconds[1] < change.seconds[0]
        assert change.in_network is not None
        assert change.kept == (change.in_network[1] < 0.99 * change.in_network[0])
    program = ew.compile(graph, threads=threads)
    results = program(*inputs)
    got = results if isinstance(results, tuple) else (results,)
    for a, b in zip(got, reference(graph, inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_network_with_fallbacks_and_without_choices() -> None:
    b = Builder()
    x = b.input(quantized((3, 5), DType.UINT8))
    graph = b.graph(b.node(Backwards(), [x], x.type.quant))
    found = ew.tune(graph)
    assert (found.problems, found.measured, found.changes) == (0, 0, ())
    assert found.finished


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_budgets_that_are_none(budget: float) -> None:
    with pytest.raises(InputError, match=r"budget=.*; it is a number of seconds above 0"):
        ew.tune(convolutions(), budget=budget)
