"""Elementwise ONNX operators, beside ONNX Runtime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, info, operators, single

import edgewise as ew
from edgewise.errors import ModelError, UnsupportedError


def real(*shape: int, seed: int = 1, scale: float = 2.0) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * scale, np.float32)


def whole(*shape: int, dtype: Any = np.int32, low: int = -9, seed: int = 2) -> Array:
    return np.random.default_rng(seed).integers(low, 10, shape).astype(dtype)


def declared(dtype: Any, name: str = "y") -> Any:
    return info(name, None, dtype)


def bools(name: str = "y") -> Any:
    return declared(np.bool_, name)


X, SPECIAL = real(3, 4, 5), np.array([0.0, -0.0, 0.5, -1.5, 2.5, 30, -30, 1e4, -1e4], np.float32)

ANY = [
    "Abs",
    "Asinh",
    "Atan",
    "Ceil",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Neg",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Tanh",
    "ThresholdedRelu",
    "Celu",
    "Shrink",
]


@pytest.mark.parametrize("op", ANY)
def test_functions_of_any_number(op: str) -> None:
    opset = 20 if op == "Gelu" else 18
    check(single(op, {"x": X}, opset=opset), {"x": X})
    x = np.clip(SPECIAL, -80, 80) if op in ("Exp", "Sinh", "Cosh") else SPECIAL
    check(single(op, {"x": x}, opset=opset), {"x": x})


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [
        ("Acos", -1, 1),
        ("Acosh", 1, 9),
        ("Asin", -1, 1),
        ("Atanh", -0.9, 0.9),
        ("Cosh", -5, 5),
        ("Log", 0.01, 9),
        ("Reciprocal", 0.1, 5),
        ("Sinh", -5, 5),
        ("Sqrt", 0, 9),
        ("Tan", -1.4, 1.4),
    ],
)
def test_functions_of_a_range(op: str, low: float, high: float) -> None:
    x = np.linspace(low, high, 77, dtype=np.float32)
    check(single(op, {"x": x}), {"x": x})


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Celu", {"alpha": 0.5}),
        ("Elu", {"alpha": 0.3}),
        ("Gelu", {"approximate": "tanh"}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("Selu", {"alpha": 1.2, "gamma": 0.7}),
        ("Shrink", {"lambd": 0.7, "bias": 0.2}),
        ("ThresholdedRelu", {"alpha": 0.4}),
    ],
)
def test_attributes(op: str, attributes: dict[str, Any]) -> None:
    check(single(op, {"x": X}, opset=20, **attributes), {"x": X})


def test_swish() -> None:
    expected = X / (1 + np.exp(-0.5 * X.astype(np.float64)))
    check(single("Swish", {"x": X}, opset=24, alpha=0.5), {"x": X}, [expected.astype(np.float32)])


def test_swiglu() -> None:
    feeds = {"a": X, "b": real(3, 4, 5, seed=8)}
    expected = X / (1 + np.exp(-X.astype(np.float64))) * feeds["b"]
    check(single("SwiGLU", feeds, opset=28), feeds, [expected.astype(np.float32)])
    with pytest.raises(ModelError, match="they are equal"):
        ew.load(single("SwiGLU", {"a": X, "b": X[:1]}, opset=28))


PAIRS = [((3, 4, 5), (3, 4, 5)), ((3, 4, 5), (5,)), ((4, 1), (3, 1, 5)), ((), (2, 2))]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum"])
@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_two_tensors(op: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    feeds = {"a": real(*shapes[0]), "b": real(*shapes[1], seed=5)}
    check(single(op, feeds), feeds)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mod"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_two_tensors_of_integers(op: str, dtype: Any) -> None:
    divisor = whole(4, 5, dtype=dtype, seed=5)
    feeds = {"a": whole(3, 4, 5, dtype=dtype), "b": np.where(divisor == 0, 3, divisor)}
    check(single(op, feeds, outputs=[declared(dtype)]), feeds)


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
def test_any_number_of_tensors(op: str) -> None:
    for count in (1, 3, 4):
        feeds = {f"x{i}": real(*((1, 5), (4, 1), (4, 5), (5,))[i], seed=i) for i in range(count)}
        check(single(op, feeds), feeds)


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_comparisons(op: str, dtype: Any) -> None:
    feeds = {"a": whole(3, 4, 5, dtype=dtype), "b": whole(4, 5, dtype=dtype, seed=5)}
    check(single(op, feeds, outputs=[bools()]), feeds)


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op: str) -> None:
    feeds = {"a": whole(3, 4) > 0, "b": whole(4, seed=5) > 0}
    check(single(op, feeds, outputs=[bools()]), feeds)


def test_not() -> None:
    check(single("Not", {"x": whole(9) > 0}, outputs=[bools()]), {"x": whole(9) > 0})


@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_bits(op: str, dtype: Any) -> None:
    feeds = {"a": whole(3, 4, dtype=dtype, low=0), "b": whole(4, dtype=dtype, low=0, seed=5)}
    check(single(op, feeds, outputs=[declared(dtype)]), feeds)


def test_bitwise_not() -> None:
    x = whole(3, 4)
    check(single("BitwiseNot", {"x": x}, outputs=[declared(np.int32)]), {"x": x})


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bit_shift(direction: str) -> None:
    feeds = {"a": whole(3, 4, dtype=np.uint32, low=0), "b": np.array([0, 1, 3, 7], np.uint32)}
    data = single("BitShift", feeds, outputs=[declared(np.uint32)], direction=direction)
    check(data, feeds)


@pytest.mark.parametrize("detect", [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_is_inf(detect: tuple[int, int]) -> None:
    x = np.array([1, math.inf, -math.inf, math.nan, 0], np.float32)
    a = {"detect_negative": detect[0], "detect_positive": detect[1]}
    check(single("IsInf", {"x": x}, outputs=[bools()], **a), {"x": x})
    check(single("IsNaN", {"x": x}, outputs=[bools()]), {"x": x})


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_fmod(dtype: Any) -> None:
    a, b = whole(5, 6, dtype=dtype) * 3, whole(6, dtype=dtype, seed=5)
    feeds = {"a": (a * 1.25).astype(dtype), "b": np.where(b == 0, 2, b).astype(dtype)}
    check(single("Mod", feeds, fmod=1, outputs=[declared(dtype)]), feeds)


@pytest.mark.parametrize("exponent", [2.0, 0.5, 3.0, -1.0, np.int64(2), np.int32(3)])
def test_power_by_a_constant(exponent: Any) -> None:
    x = np.abs(real(3, 5)) + np.float32(0.1)
    given = np.float32(exponent) if isinstance(exponent, float) else exponent
    check(single("Pow", {"x": x}, {"e": given}), {"x": x})


def test_powers_of_two_types() -> None:
    feeds = {"a": whole(4, low=1), "b": np.array([0.5, 2, 1, 3], np.float32)}
    check(single("Pow", feeds, outputs=[declared(np.int32)]), feeds)
    feeds = {"a": whole(4, low=1), "b": whole(4, low=0, dtype=np.int64)}
    check(single("Pow", feeds, outputs=[declared(np.int32)]), feeds)


def test_known_powers_are_simpler() -> None:
    for exponent, name in ((2, "SQUARE"), (0.5, "SQRT")):
        data = single("Pow", {"x": X}, {"e": np.float32(exponent)})
        assert operators(ew.load(data)) == [name]


@pytest.mark.parametrize("slope", [(), (5,), (4, 1), (3, 1, 1)])
def test_prelu(slope: tuple[int, ...]) -> None:
    feeds = {"x": X, "slope": real(*slope, seed=4)}
    check(single("PRelu", feeds), feeds)


def test_prelu_of_integers() -> None:
    feeds = {"x": whole(3, 4), "slope": whole(4, seed=4)}
    check(single("PRelu", feeds, outputs=[declared(np.int32)]), feeds)


def test_relu_of_integers() -> None:
    x = whole(3, 4)
    expected = [np.maximum(x, 0)]
    check(single("Relu", {"x": x}, outputs=[declared(np.int32)]), {"x": x}, expected)


CLIPS = {(0.0, 6.0): "RELU6", (0.0, None): "RELU", (-1.0, 1.0): "RELU_N1_TO_1"}


@pytest.mark.parametrize("bounds", [*CLIPS, (-0.5, 0.7), (None, 0.7), (-0.5, None)], ids=str)
def test_clip(bounds: tuple[float | None, float | None]) -> None:
    pairs = zip("ab", bounds, strict=True)
    given = {k: np.array(v, np.float32) for k, v in pairs if v is not None}
    names = ["x", *(k if k in given else "" for k in "ab")]
    g = check(single("Clip", {"x": X}, given, operands=names), {"x": X})
    assert bounds not in CLIPS or operators(g) == [CLIPS[bounds]]
    feeds = {"x": X, **given}
    check(single("Clip", feeds, operands=names), feeds)
    limits = {k: v for k, v in zip(("min", "max"), bounds, strict=True) if v is not None}
    check(single("Clip", {"x": X}, opset=10, **limits), {"x": X})


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout_does_nothing(opset: int) -> None:
    g = check(single("Dropout", {"x": X}, outputs=["y"], opset=opset), {"x": X})
    assert operators(g) == ["RESHAPE"]
    if opset >= 10:
        outputs = ["y", bools("mask")]
        check(single("Dropout", {"x": X}, outputs=outputs, opset=opset), {"x": X})


def test_dropout_in_training() -> None:
    training = {"ratio": np.float32(0.5), "training": np.array(True)}
    with pytest.raises(UnsupportedError, match=r"Dropout.*training with ratio 0\.5"):
        ew.load(single("Dropout", {"x": X}, training))
    training["ratio"] = np.float32(0)
    check(single("Dropout", {"x": X}, training), {"x": X}, [X])


@pytest.mark.parametrize("op", ["Add", "Sigmoid", "Softplus", "Pow"])
def test_halves(op: str) -> None:
    x = real(3, 4).astype(np.float16)
    feeds = {"a": np.abs(x), "b": x} if op in ("Add", "Pow") else {"a": x}
    arrays = [v.astype(np.float64) for v in feeds.values()]
    functions = {
        "Add": np.add,
        "Pow": np.power,
        "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "Softplus": lambda v: np.log1p(np.exp(v)),
    }
    expected = functions[op](*arrays).astype(np.float16)
    check(single(op, feeds, outputs=[declared(np.float16)]), feeds, [expected])


@pytest.mark.parametrize(
    ("op", "attributes", "rule"),
    [
        ("Gelu", {"approximate": "sin"}, "approximate is 'sin'"),
        ("Celu", {"alpha": 0.0}, "alpha is 0"),
    ],
)
def test_rules(op: str, attributes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ModelError, match=rf"node '{op}_0' \({op}\): {rule}"):
        ew.load(single(op, {"x": X}, opset=20, **attributes))


def test_numbers_that_a_type_cannot_hold() -> None:
    x = whole(4)
    with pytest.raises(ModelError, match=r"\(ThresholdedRelu\): .* number inf of int32"):
        ew.load(single("ThresholdedRelu", {"x": x}, outputs=[declared(np.int32)], alpha=math.inf))


def test_bounds_are_one_number() -> None:
    with pytest.raises(ModelError, match="a bound has no or several elements"):
        ew.load(single("Clip", {"x": X}, {"low": np.zeros(2, np.float32)}))


def test_rules_of_bits() -> None:
    x = whole(4, dtype=np.uint32, low=0)
    with pytest.raises(ModelError, match="direction is 'UP'"):
        ew.load(single("BitShift", {"a": x, "b": x}, direction="UP"))
    with pytest.raises(ModelError, match="it must be integers"):
        ew.load(single("BitwiseNot", {"x": X}))
