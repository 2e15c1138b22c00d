"""A diagnosis as tables."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgewise.cli.diagnosis import show_diagnosis
from edgewise.quantizer import Range, convert
from edgewise.quantizer.diagnosis import diagnose
from edgewise.quantizer.findings import Advice, Diagnosis
from networks import random_inputs
from quantizer.float_nets import classifier, state_of


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    state = state_of(classifier())
    state = replace(state, ranges={**state.ranges, "d": Range(-0.5, 0.75)})
    samples = [random_inputs(state.graph, seed) for seed in range(2)]
    return diagnose(state, convert(state), samples)


def text_of(diagnosis: Diagnosis, top: int = 10) -> str:
    out = Console(file=io.StringIO(), width=160)
    show_diagnosis(out, diagnosis.facts(), top)
    return str(out.file.getvalue())


def test_the_worst_layers_come_first(found: Diagnosis) -> None:
    text = text_of(found, 3)
    names = [found.layers[i].name for i in found.worst(3)]
    rows = [line.split("│")[3].strip() for line in text.splitlines() if line.startswith("│")]
    assert rows == names
    assert names[0] == "d"


def test_it_tells_what_to_try_and_why(found: Diagnosis) -> None:
    text = text_of(found)
    layer = found.layers[found.worst(1)[0]]
    assert layer.isolated is not None
    assert f"{layer.isolated.sqnr:.1f}" in text
    assert "saturation: A wider range" in text
    assert "note 2 samples are few" in text


def test_names_do_not_steer_the_terminal(found: Diagnosis) -> None:
    layers = tuple(replace(x, name=f"[red]\x1b]0;{x.name}") for x in found.layers)
    text = text_of(replace(found, layers=layers, advice=(Advice("slower", "[b]why"),)))
    assert "\x1b" not in text
    assert "[red]" in text
    assert "[b]why" in text


def test_nothing_measured(found: Diagnosis) -> None:
    assert text_of(replace(found, layers=(), times=None, advice=())) == ""
