"""ONNX's normalisations, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, operators, single

import edgewise as ew
from edgewise.errors import ModelError, UnsupportedError


def real(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_softmax(op: str, opset: int, axis: int | None) -> None:
    x, settings = real(2, 3, 4) * 5, {} if axis is None else {"axis": axis}
    if opset == 7 and axis == -1:
        settings = {"axis": 2}
    check(single(op, {"x": x}, opset=opset, **settings), {"x": x})


PARAMETERS = ("scale", "bias", "mean", "variance")


def statistics(count: int) -> dict[str, Array]:
    return {k: np.abs(real(count, seed=i)) + 0.1 for i, k in enumerate(PARAMETERS)}


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 3, 2, 2, 2)], ids=str)
@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization(shape: tuple[int, ...], opset: int) -> None:
    x = real(*shape)
    g = check(single("BatchNormalization", {"x": x}, statistics(3), opset=opset), {"x": x})
    assert operators(g) == ["MUL", "ADD"]


def test_batch_normalization_by_inputs() -> None:
    feeds = {"x": real(2, 3, 4), **statistics(3)}
    check(single("BatchNormalization", feeds, opset=15, epsilon=1e-3), feeds)


def test_batch_normalization_in_training() -> None:
    feeds = {"x": real(4, 3, 5), **statistics(3)}
    settings: dict[str, Any] = {"training_mode": 1, "momentum": 0.8}
    data = single("BatchNormalization", feeds, None, ["y", "m", "v"], opset=15, **settings)
    mean, variance = (f(feeds["x"], axis=(0, 2)) for f in (np.mean, np.var))
    y = (feeds["x"] - mean[:, None]) / np.sqrt(variance[:, None] + 1e-5)
    y = y * feeds["scale"][:, None] + feeds["bias"][:, None]
    kept = [feeds[k] * 0.8 + v * 0.2 for k, v in (("mean", mean), ("variance", variance))]
    check(data, feeds, [v.astype(np.float32) for v in (y, *kept)])


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5)], ids=str)
def test_instance_normalization(shape: tuple[int, ...]) -> None:
    x, given = real(*shape), {"scale": real(3), "bias": real(3, seed=2)}
    check(single("InstanceNormalization", {"x": x}, given, epsilon=1e-3), {"x": x})


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("has_bias", [True, False])
def test_layer_normalization(axis: int, has_bias: bool) -> None:
    x = real(2, 3, 4)
    given = {"scale": real(*x.shape[axis:]), "bias": real(*x.shape[axis:], seed=2)}
    if not has_bias:
        del given["bias"]
    check(single("LayerNormalization", {"x": x}, given, axis=axis), {"x": x})
    outputs = ["y", "mean", "inverse"]
    check(single("LayerNormalization", {"x": x}, given, outputs, axis=axis), {"x": x})


@pytest.mark.parametrize(("groups", "opset"), [(1, 21), (2, 21), (4, 21)])
def test_group_normalization(groups: int, opset: int) -> None:
    x, given = real(2, 4, 3, 3), {"scale": real(4), "bias": real(4, seed=2)}
    data = single("GroupNormalization", {"x": x}, given, opset=opset, num_groups=groups)
    check(data, {"x": x})


def test_group_normalization_by_group() -> None:
    x, given = real(2, 4, 3), {"scale": real(2), "bias": real(2, seed=2)}
    y = x.astype(np.float64).reshape(2, 2, 6)
    y = (y - y.mean(2, keepdims=True)) / np.sqrt(y.var(2, keepdims=True) + 1e-5)
    y = (y * given["scale"][:, None] + given["bias"][:, None]).reshape(x.shape)
    data = single("GroupNormalization", {"x": x}, given, opset=18, num_groups=2)
    check(data, {"x": x}, [y.astype(np.float32)])


@pytest.mark.parametrize("axis", [-1, 1])
def test_rms_normalization(axis: int) -> None:
    x, scale = real(2, 3, 4), real(*(2, 3, 4)[axis:], seed=3)
    axes = tuple(range(axis % 3, 3))
    y = x / np.sqrt(np.square(x.astype(np.float64)).mean(axes, keepdims=True) + 1e-5) * scale
    data = single("RMSNormalization", {"x": x}, {"scale": scale}, opset=23, axis=axis)
    check(data, {"x": x}, [y.astype(np.float32)])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, -1])
def test_lp_normalization(p: int, axis: int) -> None:
    x = real(3, 4)
    x[1] = 0
    x[:, 2] = 0
    check(single("LpNormalization", {"x": x}, p=p, axis=axis), {"x": x})


@pytest.mark.parametrize("axes", [None, (0, 2), (1,)], ids=str)
def test_mean_variance_normalization(axes: tuple[int, ...] | None) -> None:
    x, settings = real(2, 3, 4, 5), {} if axes is None else {"axes": axes}
    check(single("MeanVarianceNormalization", {"x": x}, opset=13, **settings), {"x": x})


@pytest.mark.parametrize("size", [1, 3, 5, 4, 2])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 3, 6)], ids=str)
def test_local_response(size: int, shape: tuple[int, ...]) -> None:
    x = real(*shape)
    squares = np.pad(np.square(x.astype(np.float64)), [(0, 0), (0, 0), *[(0, 0)] * (x.ndim - 2)])
    before = (size - 1) // 2
    total = np.zeros_like(squares)
    for c in range(shape[1]):
        total[:, c] = squares[:, max(c - before, 0) : c + size - before].sum(1)
    y = x / (1.5 + 0.3 / size * total) ** 0.6
    data = single("LRN", {"x": x}, size=size, alpha=0.3, beta=0.6, bias=1.5)
    check(data, {"x": x}, [y.astype(np.float32)])


X4, G4 = real(2, 4, 3, 3), {"scale": real(4), "bias": real(4)}


@pytest.mark.parametrize(
    ("op", "constants", "settings", "opset", "rule"),
    [
        ("BatchNormalization", statistics(4), {}, 15, r"shape \[4\]; it must be \[3\]"),
        ("InstanceNormalization", G4, {}, 18, "rank 2; it must be 3 or more"),
        ("GroupNormalization", G4, {"num_groups": 2}, 21, "3 channels in 2 groups"),
        ("GroupNormalization", G4, {"num_groups": 3}, 18, "there is one a group"),
        ("GroupNormalization", G4, {"num_groups": 3}, 21, "there is one a channel"),
        ("LpNormalization", {}, {"p": 3}, 18, "p is 3; it is 1 or 2"),
        ("LRN", {}, {"size": 3}, 18, "rank is 3 or more"),
    ],
)
def test_rules(
    op: str, constants: dict[str, Array], settings: dict[str, Any], opset: int, rule: str
) -> None:
    with pytest.raises(ModelError, match=rf"\({op}\).*{rule}"):
        ew.load(single(op, {"x": real(2, 3)}, constants, opset=opset, **settings))


def test_one_mean_a_place() -> None:
    data = single("BatchNormalization", {"x": X4}, statistics(4), opset=7, spatial=0)
    with pytest.raises(UnsupportedError, match="spatial is 0"):
        ew.load(data)
