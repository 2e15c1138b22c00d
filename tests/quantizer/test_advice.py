"""What to try follows from the figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.quantizer.advice import RULES, TITLES, Rule, advise
from edgewise.quantizer.findings import Diagnosis, Layer, Output, WeightFacts
from edgewise.quantizer.layer_times import Times, Timing
from edgewise.quantizer.precision import Range
from edgewise.quantizer.recipe import STEPS
from edgewise.quantizer.sums import Activations, Error
from edgewise.timing import Ratio

FINE = Error(40.0, 0.0, 0.0)
POOR = Error(22.0, 0.0, 0.0)
ACTIVATIONS = Activations("int8", Range(-1, 1), Range(-1, 1), 0.01, 0, 0, 1000, 3.0, 2.0)
WEIGHTS = WeightFacts("int8", 8, 45.0, (0.5, 0.8, 1.0, 1.2, 2.0), 2.0, True, FINE)
GIVEN = Layer("x", "INPUT", (), "int8", None, FINE, FINE, ACTIVATIONS, None, 0, 0, 0)
LAYER = Layer("y", "CONV_2D", (0,), "int8", None, FINE, FINE, ACTIVATIONS, WEIGHTS, 9, 400, 100)
NETWORK = Diagnosis("net", 64, 1000, 250, (Output("y", FINE),), (GIVEN, LAYER), None, ())


def rules(layer: Layer, outputs: tuple[Output, ...] = NETWORK.outputs) -> list[str]:
    found = advise(replace(NETWORK, layers=(GIVEN, layer), outputs=outputs))
    return [advice.rule for advice in found.layers[1].advice]


def test_a_good_layer_gets_no_advice() -> None:
    assert rules(LAYER) == []
    assert rules(replace(LAYER, isolated=None, accumulated=None, activations=None)) == []


POOR_LAYER = replace(LAYER, isolated=POOR, accumulated=POOR)
CASES = {
    "saturation": replace(LAYER, activations=replace(ACTIVATIONS, above=30)),
    "weight_channels": replace(
        POOR_LAYER, weights=replace(WEIGHTS, per_channel=False, spread=120.0)
    ),
    "gain": replace(LAYER, accumulated=Error(24.0, 0.0, 0.0)),
    "activation_channels": replace(POOR_LAYER, activations=replace(ACTIVATIONS, spread=50.0)),
    "outlier": replace(POOR_LAYER, activations=replace(ACTIVATIONS, peak=30.0)),
    "unused_range": replace(POOR_LAYER, activations=replace(ACTIVATIONS, observed=Range(0, 0.2))),
    "shift": replace(POOR_LAYER, isolated=Error(22.0, 0.1, 0.5)),
    "rounding": replace(POOR_LAYER, weights=replace(WEIGHTS, alone=Error(23.0, 0.0, 0.0))),
    "sensitive": replace(LAYER, isolated=Error(12.0, 0.0, 0.0), accumulated=Error(12.0, 0.0, 0.0)),
    "left": replace(LAYER, precision="float32", isolated=None, left="it has no integer form"),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_and_no_other(rule: str) -> None:
    also = ["gain_of_operands"] if rule == "gain" else []
    assert rules(CASES[rule]) == [rule, *also]


def test_an_input_that_is_clipped() -> None:
    activations = replace(ACTIVATIONS, observed=Range(-3, 3), below=5)
    given = replace(GIVEN, activations=activations)
    found = advise(replace(NETWORK, layers=(given, LAYER)))
    assert [advice.rule for advice in found.layers[0].advice] == ["clipped_input"]
    near = replace(given, activations=replace(activations, observed=Range(-1, 1.1)))
    found = advise(replace(NETWORK, layers=(near, LAYER)))
    assert found.layers[0].advice == ()


def test_weights_that_err_are_not_helped_by_wider_activations() -> None:
    layer = replace(CASES["sensitive"], weights=replace(WEIGHTS, alone=Error(12.5, 0.0, 0.0)))
    assert rules(layer) == ["rounding", "sensitive_weights"]


def test_the_range_of_softmax_is_no_choice() -> None:
    layer = replace(CASES["outlier"], op="SOFTMAX", weights=None)
    assert rules(layer) == []


def test_every_rule_is_tested_and_has_a_title() -> None:
    assert {rule.name for rule in RULES} == {
        *CASES,
        "clipped_input",
        "gain_of_operands",
        "sensitive_weights",
    }
    assert all(TITLES[rule.name] == rule.title for rule in RULES)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.steps], ids=lambda r: r.name)
def test_a_step_that_was_done_is_not_advised(rule: Rule) -> None:
    assert set(rule.steps) <= set(STEPS)
    for step in rule.steps:
        network = replace(NETWORK, layers=(GIVEN, CASES[rule.name]))
        found = advise(network, ["calibrate", step]).layers[1].advice
        assert rule.name not in [advice.rule for advice in found]


def test_reasons_state_the_figures() -> None:
    found = advise(replace(NETWORK, layers=(GIVEN, CASES["weight_channels"])))
    (advice,) = found.layers[1].advice
    assert "120.0 times" in advice.text
    found = advise(replace(NETWORK, layers=(GIVEN, CASES["gain"])))
    assert "the error of layer 0 by" in found.layers[1].advice[1].text


def test_what_is_weak_depends_on_the_outputs() -> None:
    """Of a network whose outputs are poor, the layers below the median are looked at too."""
    layer = replace(LAYER, isolated=Error(35.0, 0.1, 0.5))
    assert rules(layer) == []
    assert rules(layer, (Output("y", Error(20.0, 0.0, 0.0)),)) == ["shift"]


def test_noise_that_is_amplified_counts_where_something_is_poor_for_it() -> None:
    """As float16 has it: 8 dB are lost, and enough is left."""
    layer = replace(LAYER, accumulated=Error(26.0, 0.0, 0.0))
    assert rules(layer) == []
    assert rules(layer, (Output("y", Error(20.0, 0.0, 0.0)),)) == ["gain", "gain_of_operands"]


def overall(**fields: object) -> list[str]:
    return [advice.rule for advice in advise(replace(NETWORK, **fields)).advice]


def times(float_ms: float, quantized_ms: float, conversions_ms: float = 0.0, **of: object) -> Times:
    timing = replace(Timing((1,), float_ms, quantized_ms, ()), **of)
    ratio = float_ms / quantized_ms
    ratios = Ratio(ratio, ratio * 0.98, ratio * 1.02)
    return Times("avx2", 1, float_ms, quantized_ms, ratios, conversions_ms, (timing,))


def test_the_network_as_a_whole() -> None:
    assert overall() == []
    assert overall(samples=3) == ["few_samples"]
    assert overall(outputs=(Output("y", Error(3.0, 0.0, 0.0)),)) == ["output"]
    assert overall(times=times(2.0, 1.0)) == []
    assert overall(times=times(1.0, 2.0)) == ["slower", "slower"]
    assert overall(times=times(1.0, 1.05)) == ["slower"]
    assert overall(times=times(1.0, 1.01)) == []
    assert overall(times=times(2.0, 1.0, conversions_ms=0.5)) == ["conversions"]
    assert overall(times=times(2.0, 1.0, reference=("COS",))) == ["reference"]
