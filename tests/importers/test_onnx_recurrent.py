"""ONNX's LSTM, GRU and RNN, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, operators, single

import edgewise as ew
from edgewise.errors import ModelError, UnsupportedError

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
OUTPUTS = {"LSTM": ["y", "h", "c"], "GRU": ["y", "h"], "RNN": ["y", "h"]}
NAMES = ("x", "w", "r", "b", "lengths", "h0", "c0", "p")
KINDS = ("LSTM", "GRU", "RNN")


def real(*shape: int, seed: int) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32) / 2


def layer(
    op: str,
    given: str = "b",
    steps: int = 4,
    batch: int = 2,
    depth: int = 3,
    units: int = 5,
    constant: bool = True,
    **attributes: Any,
) -> tuple[bytes, dict[str, Array]]:
    """A file of one layer, and its inputs; ``given`` names the optional operands."""
    count, gates = 2 if attributes.get("direction") == "bidirectional" else 1, GATES[op]
    states = (batch, count, units) if attributes.get("layout") else (count, batch, units)
    order = (batch, steps) if attributes.get("layout") else (steps, batch)
    arrays = {
        "x": real(*order, depth, seed=1),
        "w": real(count, gates * units, depth, seed=2),
        "r": real(count, gates * units, units, seed=3),
        "b": real(count, 2 * gates * units, seed=4),
        "lengths": np.array([steps, 1, steps - 1][:batch], np.int32),
        "h0": real(*states, seed=5),
        "c0": real(*states, seed=6),
        "p": real(count, 3 * units, seed=7),
    }
    chosen = {"x", "w", "r", *given.split()}
    present = {k: v for k, v in arrays.items() if k in chosen}
    fixed = {"w", "r", "b", "p"} if constant else set()
    feeds = {k: v for k, v in present.items() if k not in fixed}
    names = [k if k in chosen else "" for k in NAMES]
    while not names[-1]:
        names.pop()
    constants = {k: v for k, v in present.items() if k in fixed}
    data = single(op, feeds, constants, OUTPUTS[op], 14, names, hidden_size=units, **attributes)
    return data, feeds


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("given", ["", "b", "b h0", "b h0 c0", "b lengths", "b lengths h0"])
@pytest.mark.parametrize("op", KINDS)
def test_layers(op: str, given: str, direction: str) -> None:
    chosen = given if op == "LSTM" else given.replace(" c0", "")
    check(*layer(op, chosen, direction=direction))


@pytest.mark.parametrize("op", KINDS)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_computed_weights(op: str, direction: str) -> None:
    check(*layer(op, "b h0", constant=False, direction=direction))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("given", ["b", "b h0", "b lengths"])
@pytest.mark.parametrize("units", [5, 16])
def test_reset_after_the_product(given: str, direction: str, units: int) -> None:
    g = check(*layer("GRU", given, units=units, direction=direction, linear_before_reset=1))
    assert ("GRU" in operators(g)) == ("lengths" not in given)


@pytest.mark.parametrize("given", ["b p", "b p h0 c0", "p b lengths"])
def test_peepholes(given: str) -> None:
    check(*layer("LSTM", given))


@pytest.mark.parametrize("op", KINDS)
def test_clip(op: str) -> None:
    check(*layer(op, "b", clip=0.4))


def test_coupled_gates() -> None:
    """Without ONNX Runtime, whose forget gate is 1 - input gate too, but after a clip."""
    data, feeds = layer("LSTM", "b", steps=1, input_forget=1)
    g = ew.load(data)
    w, r, b = (real(*s, seed=i) for i, s in ((2, (1, 20, 3)), (3, (1, 20, 5)), (4, (1, 40))))
    assert r.shape == (1, 20, 5)
    total = feeds["x"][0] @ w[0].T + b[0, :20] + b[0, 20:]
    enter, leave, _, new = np.split(total.astype(np.float64), 4, axis=1)
    cell = np.tanh(new) / (1 + np.exp(-enter))
    hidden = np.tanh(cell) / (1 + np.exp(-leave))
    expected = [v.astype(np.float32) for v in (hidden[None, None], hidden[None], cell[None])]
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in operators(g)
    check(data, feeds, expected)


FUNCTIONS = [
    ("Affine", 0.7, 0.1),
    ("Elu", 0.6, None),
    ("HardSigmoid", 0.3, 0.4),
    ("LeakyRelu", 0.2, None),
    ("Relu", None, None),
    ("ScaledTanh", 0.8, 0.6),
    ("Sigmoid", None, None),
    ("Softplus", None, None),
    ("Softsign", None, None),
    ("Tanh", None, None),
    ("ThresholdedRelu", 0.3, None),
]


@pytest.mark.parametrize(("name", "alpha", "beta"), FUNCTIONS)
def test_functions(name: str, alpha: float | None, beta: float | None) -> None:
    a: dict[str, Any] = {"activations": [name]}
    if alpha is not None:
        a["activation_alpha"] = [alpha]
    if beta is not None:
        a["activation_beta"] = [beta]
    check(*layer("RNN", "b", **a))


def test_functions_of_each_direction() -> None:
    names = ["Sigmoid", "Tanh", "Relu", "HardSigmoid", "Softsign", "Tanh"]
    data = layer("LSTM", "b", direction="bidirectional", activations=names)
    check(*data)


@pytest.mark.parametrize("op", KINDS)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_batch_first(op: str, direction: str) -> None:
    """ONNX Runtime has no layout 1: the same as layout 0, transposed."""
    data, feeds = layer(op, "b h0", layout=1, direction=direction)
    other, same = layer(op, "b h0", direction=direction)
    turned = {k: np.ascontiguousarray(v.swapaxes(0, 1)) for k, v in feeds.items()}
    g = ew.load(other)
    values = {v: turned[v.name] for v in g.inputs}
    for node, results in g.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    y, *states = (values[v] for v in g.outputs)
    expected = [y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in states)]
    assert same.keys() == feeds.keys()
    check(data, feeds, [np.ascontiguousarray(v) for v in expected])


def test_plain_layers_are_one_operator() -> None:
    for op, name, extra in (
        ("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", {}),
        ("GRU", "GRU", {"linear_before_reset": 1}),
    ):
        data, _ = layer(op, "b", steps=50, **extra)
        assert name in operators(ew.load(data))
    long, feeds = layer("GRU", "b", steps=300)
    check(long, feeds)
    assert "GRU" in operators(ew.load(long))


def test_too_many_steps() -> None:
    with pytest.raises(UnsupportedError, match="1025 time steps"):
        ew.load(layer("RNN", "b", steps=1025)[0])


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"direction": "sideways"}, "direction 'sideways'"),
        ({"activations": ["Tanh"]}, "1 activations; 1 directions of LSTM have 3"),
        ({"activations": ["Tanh", "Sine", "Tanh"]}, "activation 'sine' is unknown"),
        ({"hidden_size": 4}, r"input 1 has shape \[1, 20, 3\]"),
        ({"hidden_size": 0}, r"input \[4, 2, 3\], 0 units"),
    ],
)
def test_rules(attributes: dict[str, Any], rule: str) -> None:
    arrays = {"x": real(4, 2, 3, seed=1)}
    weights = {"w": real(1, 20, 3, seed=2), "r": real(1, 20, 5, seed=3)}
    with pytest.raises(ModelError, match=rf"\(LSTM\): {rule}"):
        ew.load(single("LSTM", arrays, weights, OUTPUTS["LSTM"], 14, **attributes))


def test_rules_of_operands() -> None:
    weights = {"w": real(1, 20, 3, seed=2), "r": real(1, 20, 5, seed=3)}
    with pytest.raises(ModelError, match="rank 2; it must be 3"):
        ew.load(single("LSTM", {"x": real(4, 3, seed=1)}, weights, ["y"], 14))
    more = {**weights, "b": real(1, 40, seed=4), "lengths": np.array([1, 2, 3], np.int32)}
    with pytest.raises(ModelError, match=r"it must be int32 \[2\]"):
        ew.load(single("LSTM", {"x": real(4, 2, 3, seed=1)}, more, ["y"], 14))
