"""Budgets: the choice of precisions, with measurements made up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgewise.errors import InputError
from edgewise.quantizer.precision import Precision
from edgewise.quantizer.search import HIGHER, Budget, Choice, Found, first_true, search

FLOAT32, INT8, INT16X8 = Precision.FLOAT32, Precision.INT8, Precision.INT16X8
LAYERS = tuple("abcdefgh")


@dataclass
class Machine:
    """Layers whose errors and times add up.

    Attributes:
        points: what a layer in a precision costs of a score of 90.
        micros: what a layer takes in a precision, microseconds.
        border: microseconds between a layer of floats and one of integers.
    """

    points: Mapping[tuple[str, Precision], float] = field(default_factory=dict)
    micros: Mapping[tuple[str, Precision], float] = field(default_factory=dict)
    border: float = 0.0
    usual: Mapping[Precision, float] = field(
        default_factory=lambda: {FLOAT32: 100.0, INT8: 40.0, INT16X8: 70.0}
    )
    scored: int = 0

    def loss(self, choice: Choice) -> float:
        return sum(self.points.get(item, 0.0) for item in choice.items())

    def score(self, choice: Choice) -> float:
        self.scored += 1
        return 90.0 - self.loss(choice)

    def noise(self, choice: Choice) -> float:
        return self.loss(choice) / 100

    def seconds(self, *choices: Choice) -> Sequence[float]:
        return [self.call(choice) * 1e-6 for choice in choices]

    def call(self, choice: Choice) -> float:
        return sum(self.layer_seconds(choice).values()) * 1e6

    def layer(self, item: tuple[str, Precision]) -> float:
        return self.micros.get(item, self.usual[item[1]])

    def layer_seconds(self, choice: Choice) -> Mapping[str, float]:
        kinds = [FLOAT32, *choice.values(), FLOAT32]
        borders = [0 if b is FLOAT32 else (a, c).count(FLOAT32) for a, b, c in triples(kinds)]
        pairs = zip(choice.items(), borders, strict=True)
        return {item[0]: (self.layer(item) + n * self.border) * 1e-6 for item, n in pairs}


def triples(kinds: Sequence[Precision]) -> Iterator[tuple[Precision, ...]]:
    return zip(kinds, kinds[1:], kinds[2:], strict=False)


def found(machine: Machine, **budget: Any) -> Found:
    return search(dict.fromkeys(LAYERS, INT8), machine, Budget(**budget))


def test_nothing_is_restored_where_the_score_is_kept() -> None:
    machine = Machine(dict.fromkeys([(n, INT8) for n in LAYERS], 0.05))
    result = found(machine, max_drop=0.5)
    assert result.met
    assert result.choice == dict.fromkeys(LAYERS, INT8)
    assert result.drop == pytest.approx(0.4)
    assert {d.reason for d in result.decisions} == {"as asked for"}
    assert result.seconds == pytest.approx(8 * 40e-6)
    assert result.float_seconds == pytest.approx(8 * 100e-6)
    assert machine.scored == 2


def test_the_one_sensitive_layer_is_restored() -> None:
    points = dict.fromkeys([(n, INT8) for n in LAYERS], 0.05) | {("e", INT8): 7.0}
    result = found(Machine(points), max_drop=0.5)
    assert result.met
    assert result.choice == dict.fromkeys(LAYERS, INT8) | {"e": INT16X8}
    decision = result.decisions[LAYERS.index("e")]
    assert decision.precision is INT16X8
    assert decision.reason == "restored for accuracy: number 1 of 8 by noise for its time"
    assert decision.noise == pytest.approx(0.07)
    assert decision.seconds == pytest.approx({FLOAT32: 100e-6, INT8: 40e-6, INT16X8: 70e-6})


def test_what_16_bits_do_not_mend_becomes_float32() -> None:
    points = {("e", INT8): 7.0, ("e", INT16X8): 6.0, ("c", INT8): 0.2}
    result = found(Machine(points), max_drop=0.5)
    assert result.met
    assert result.choice == dict.fromkeys(LAYERS, INT8) | {"e": FLOAT32}


def test_the_faster_of_the_higher_precisions_is_taken() -> None:
    slow = {("e", INT16X8): 150.0}
    result = found(Machine({("e", INT8): 7.0}, slow), max_drop=0.5)
    assert result.choice["e"] is FLOAT32
    assert result.met


def test_noise_counts_for_the_time_that_it_costs_to_take_away() -> None:
    points = {("a", INT8): 1.2, ("b", INT8): 1.0}
    dear = {("a", FLOAT32): 900.0, ("a", INT16X8): 900.0}
    result = found(Machine(points, dear), max_drop=1.3)
    assert result.choice["a"] is INT8
    assert result.choice["b"] is INT16X8


def test_layers_that_are_slower_than_float32_stay_in_float32() -> None:
    slow = {("c", INT8): 160.0, ("d", INT8): 130.0}
    result = found(Machine({}, slow), max_drop=0.5)
    floats = {name for name, precision in result.choice.items() if precision is FLOAT32}
    assert floats == {"c", "d"}
    reason = result.decisions[LAYERS.index("c")].reason
    assert reason == "int8 is slower: the network takes 0.53 ms with it, 0.44 ms without"


def test_conversions_at_the_borders_count() -> None:
    """Two layers are slower alone, and float32 between integers costs more than they do."""
    slow = {("c", INT8): 110.0, ("e", INT8): 110.0}
    result = found(Machine({}, slow, border=30.0), max_drop=0.5)
    assert result.choice == dict.fromkeys(LAYERS, INT8)


def test_what_is_left_between_restored_layers_is_looked_at_again() -> None:
    """With its neighbours in float32, an integer layer's borders cost more than it saves."""
    points = {(name, INT8): 3.0 for name in "bd"}
    micros = {(name, INT16X8): 1000.0 for name in LAYERS} | {("c", INT8): 95.0}
    result = found(Machine(points, micros, border=15.0), max_drop=0.5)
    assert result.met
    floats = {name for name, precision in result.choice.items() if precision is FLOAT32}
    assert floats >= {"b", "c", "d"}


class Entangled(Machine):
    """``e`` in integers suffers where ``c`` computes with floats."""

    def loss(self, choice: Choice) -> float:
        return super().loss(choice) + 2 * (choice["c"] is FLOAT32 and choice["e"] is not FLOAT32)


def test_more_is_restored_where_layers_given_back_for_speed_cost_points() -> None:
    points = {(name, INT8): 3.0 for name in "bd"}
    micros = {(name, INT16X8): 1000.0 for name in LAYERS} | {("c", INT8): 95.0}
    result = found(Entangled(points, micros, border=15.0), max_drop=0.5)
    assert result.met
    floats = {name for name, precision in result.choice.items() if precision is FLOAT32}
    assert floats >= {"b", "c", "d", "e"}
    assert floats != set(LAYERS)


def test_no_network_is_scored_twice() -> None:
    machine = Machine({(name, INT8): 1.0 + i for i, name in enumerate(LAYERS)})
    asked: list[frozenset[tuple[str, Precision]]] = []
    usual = machine.score

    def score(choice: Choice) -> float:
        asked.append(frozenset(choice.items()))
        return usual(choice)

    machine.score = score  # type: ignore[method-assign]
    assert found(machine, max_drop=5.0).met
    assert len(asked) == len(set(asked)) > 4


def test_trials_tell_no_more_layers_than_there_are() -> None:
    points = {(name, p): 2.0 for name in LAYERS for p in (INT8, INT16X8)}
    result = found(Machine(points), max_drop=0.0)
    told = {trial.what for trial in result.trials}
    assert "8 layers restored to int16x8" in told
    assert not any(what.startswith("9 ") for what in told)


def test_a_network_that_is_slower_throughout_stays_in_float32() -> None:
    slow = {(name, INT8): 101.0 for name in LAYERS}
    result = found(Machine({}, slow, border=40.0), max_drop=0.5)
    assert set(result.choice.values()) == {FLOAT32}
    assert result.drop == 0


def test_precisions_for_size_stay_though_they_be_slower() -> None:
    machine = Machine(usual={FLOAT32: 100.0, Precision.FLOAT16: 120.0})
    result = search(dict.fromkeys(LAYERS, Precision.FLOAT16), machine, Budget(max_drop=1.0))
    assert set(result.choice.values()) == {Precision.FLOAT16}


def test_layers_of_a_small_network_stay_though_they_be_slower() -> None:
    slow = {("c", INT8): 160.0}
    result = found(Machine({("e", INT8): 7.0}, slow), max_drop=0.5, small=True)
    assert result.met
    assert {n for n, p in result.choice.items() if p is not INT8} == {"e"}


def test_small_networks_have_few_layers_in_float32() -> None:
    """Restored to float32 it would be faster."""
    machine = Machine({("e", INT8): 7.0}, {("e", INT16X8): 150.0})
    assert found(machine, max_drop=0.5).choice["e"] is FLOAT32
    assert found(machine, max_drop=0.5, small=True).choice["e"] is INT16X8


def test_a_small_difference_of_times_is_none() -> None:
    slow = {("c", INT8): 100.5}
    assert found(Machine({}, slow), max_drop=0.5).choice["c"] is INT8


def test_the_most_accurate_within_the_time() -> None:
    points = {(name, INT8): float(i) for i, name in enumerate(LAYERS)}
    result = found(Machine(points), max_latency=420e-6)
    assert result.met
    assert result.seconds <= 420e-6
    restored = {name for name, precision in result.choice.items() if precision is not INT8}
    assert restored == {"f", "g", "h"}
    assert result.choice["h"] is INT16X8


def test_float32_where_it_is_fast_enough() -> None:
    result = found(Machine({("a", INT8): 1.0}), max_latency=1e-3)
    assert result.met
    assert set(result.choice.values()) == {FLOAT32}
    assert result.decisions[0].reason == "float32 keeps the time, and nothing is more accurate"


def test_a_time_that_nothing_keeps() -> None:
    result = found(Machine({("a", INT8): 1.0}), max_latency=100e-6)
    assert not result.met
    assert result.choice == dict.fromkeys(LAYERS, INT8)


def test_both_budgets() -> None:
    points = {("a", INT8): 2.0, ("b", INT8): 2.0}
    result = found(Machine(points), max_drop=1.0, max_latency=400e-6)
    assert result.met
    assert {n for n, p in result.choice.items() if p is not INT8} == {"a", "b"}
    result = found(Machine(points), max_drop=1.0, max_latency=330e-6)
    assert not result.met
    assert result.drop <= 1.0


def test_a_score_that_falls_however_much_is_restored() -> None:
    """The bisection ends with the network as it was, whose score is the goal."""
    points = {(name, p): 2.0 for name in LAYERS for p in (INT8, INT16X8)}
    result = found(Machine(points), max_drop=0.0)
    assert result.met
    assert set(result.choice.values()) == {FLOAT32}


@pytest.mark.parametrize("points", [float("inf"), float("nan")])
def test_scores_that_tell_no_drop(points: float) -> None:
    with pytest.raises(InputError, match=f"float32 has {points:g} points"):
        found(Machine({("a", FLOAT32): -points}), max_drop=1.0)


def test_equal_measurements_give_equal_choices() -> None:
    points = dict.fromkeys([(n, INT8) for n in LAYERS], 0.3)
    first, second = (found(Machine(points), max_drop=1.0) for _ in range(2))
    assert first == second
    assert first.met


def test_layers_that_are_not_asked_for_have_no_decision() -> None:
    machine = Machine({("a", INT8): 5.0})
    result = search({"a": INT8, "b": INT8}, machine, Budget(max_drop=1.0))
    assert [d.layer for d in result.decisions] == ["a", "b"]


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({}, "neither max_drop nor max_latency"),
        ({"max_drop": -1.0}, "max_drop=-1.0; it must be 0 or more"),
        ({"max_drop": float("nan")}, "max_drop=nan"),
        ({"max_latency": 0.0}, "max_latency=0.0; it must be above 0"),
        ({"max_latency": float("inf")}, "max_latency=inf"),
        ({"max_drop": "x"}, "max_drop='x'; it must be 0 or more points"),
        ({"max_latency": [1]}, r"max_latency=\[1\]; it must be above 0 seconds"),
        ({"max_latency": True}, "max_latency=True; it must be above 0 seconds"),
    ],
)
def test_budgets_out_of_range(budget: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Budget(**budget)


@pytest.mark.parametrize("count", range(6))
def test_bisection(count: int) -> None:
    for first in range(count + 2):
        asked: list[int] = []

        def holds(number: int, first: int = first, asked: list[int] = asked) -> bool:
            asked.append(number)
            return number >= first

        assert first_true(count, holds) == first
        assert all(0 <= number <= count for number in asked)


def test_every_precision_has_something_higher() -> None:
    assert set(HIGHER) == set(Precision) - {FLOAT32}
    assert all(FLOAT32 in options for options in HIGHER.values())
