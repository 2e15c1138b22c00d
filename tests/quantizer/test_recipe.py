"""Recipes are data: from mappings and files, and back; what is wrong with them is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from float_nets import RealNet, classifier

from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.ops import Relu
from edgewise.quantizer import Precision, Recipe, Scope
from edgewise.quantizer.recipe import STEPS, StepSpec
from edgewise.quantizer.state import float_network

GRAPH = float_network(classifier())


@pytest.mark.parametrize("precision", Precision, ids=str)
def test_each_precision_has_a_recipe(precision: Precision) -> None:
    found = Recipe.of(precision.value)
    assert found.precision is precision
    assert Recipe.of(precision) == found
    assert Recipe.of(found.to_dict()) == found


def test_int8_unless_told() -> None:
    assert Recipe.of(None) == Recipe.of("int8")


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    given = {
        "precision": "uint8",
        "steps": [{"step": "calibrate", "ops": "CONV_2D", "observer": "percentile"}],
        "layers": [{"names": ["head/*"], "precision": "float32"}],
        "inputs": "uint8",
    }
    path.write_text(json.dumps(given))
    found = Recipe.of(path)
    assert Recipe.of(str(path)) == Recipe.of(given) == found
    assert found.inputs is DType.UINT8
    assert found.outputs is None
    assert found.steps == (
        StepSpec("calibrate", {"observer": "percentile"}, Scope(("CONV_2D",), ())),
    )
    assert Recipe.of(found.to_dict()) == found


def test_the_last_rule_of_a_layer_counts() -> None:
    rules = [
        {"ops": ["CONV_2D", "ADD"], "precision": "float32"},
        {"names": ["?"], "ops": ["CONV_2D"], "precision": "int16x8"},
    ]
    state = Recipe.of({"layers": rules}).start(GRAPH)
    found = {name: precision.value for name, precision in state.precisions.items()}
    assert found == {
        "a": "int16x8",
        "b": "int8",
        "c": "int16x8",
        "d": "float32",
        "e": "int8",
        "f": "int8",
        "scores": "int8",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"layers": [{"names": ["a", "scoers"], "precision": "float32"}]},
            "entry 1 of layers: names ['scoers']: no layer of the network is such; near: scores",
        ),
        (
            {"layers": [{"ops": "ADD", "names": "f", "precision": "float32"}]},
            "entry 1 of layers: ops ['ADD'], names ['f']: no layer",
        ),
        (
            {"steps": ["calibrate", {"step": "gptq", "ops": ["CONV2D"]}]},
            "step 2 (gptq): ops ['CONV2D']: no layer",
        ),
    ],
)
def test_scopes_without_layers_are_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.of(given).start(GRAPH)
    assert message in str(caught.value)


def test_scopes_know_layers_by_what_the_file_calls_them() -> None:
    (node,) = (n for n in GRAPH.nodes if n.outputs[0].name == "d")
    assert Scope(names=("add*",)).includes(node)
    assert Scope(names=("d",)).includes(node)
    assert not Scope(("ADD",), ("e",)).includes(node)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precison": "int8"}, "recipe: 'precison' is not known; it takes precision, steps"),
        ({"precision": "int7"}, "precision 'int7'; it is one of float32, int8"),
        ({"steps": ["calibrat"]}, "recipe: step 1: 'calibrat'; a step is one of adaround"),
        ({"steps": [{"ops": "ADD"}]}, "recipe: step 1: None; a step is one of"),
        ({"steps": [3]}, "recipe: step 1: 3; a step is one of"),
        ({"steps": "calibrate"}, "recipe: steps: 'calibrate'; it is a list"),
        (
            {"steps": [{"step": "calibrate", "observers": "mse"}]},
            "step 1 (calibrate): 'observers' is not known; it takes observer",
        ),
        ({"layers": [{"ops": "ADD"}]}, "entry 1 of layers: {'ops': 'ADD'}; it has a precision"),
        ({"layers": [{"precision": "int8", "ops": [1]}]}, "entry 1 of layers: ops: [1]; it is"),
        ({"layers": [{"precision": "int8", "op": "x"}]}, "entry 1 of layers: 'op' is not known"),
        ({"inputs": "int4"}, "recipe: inputs: 'int4'; it is one of float32, int8, uint8, int16"),
        ({"inputs": ["int8"]}, "recipe: inputs: ['int8']; it is one of"),
        (7, "recipe: 7; it is a Recipe, a precision, a mapping or a file"),
    ],
)
def test_what_is_wrong_is_told(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.of(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not a recipe: Expecting property name"),
        (b"\xff\xfe", "not a recipe: 'utf-8' codec"),
        (b"[" * 100_000, "not a recipe: maximum recursion"),
        (b"[]", "a recipe is an object with precision, steps, layers"),
        (b'{"stps": []}', "'stps' is not known"),
    ],
)
def test_broken_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Recipe.of(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: No such file.*one of float32, int8"):
        Recipe.of(tmp_path / "none.json")


@pytest.mark.parametrize("step", STEPS)
def test_steps_are_functions(step: str) -> None:
    assert callable(StepSpec(step).function)


def test_precisions_of_layers_by_name() -> None:
    """Names are names, though they hold what patterns are made of."""
    found = Recipe.of("int8").with_layers({"x[0]*": Precision.INT16X8})
    assert Recipe.of(found.to_dict()) == found
    net = RealNet()
    names = ("x[0]*", "x0", "x[0]y")
    h = net.real(1, 4)
    for name in names:
        h = net.add(Relu(), h, name=name)
    precisions = found.start(net.graph(h)).precisions
    assert [precisions[name].value for name in names] == ["int16x8", "int8", "int8"]
