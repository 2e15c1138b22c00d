"""ONNX's Fourier transforms, windows and mel weights, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, graph, info, model, node, operators, runtime, single

import edgewise as ew
from edgewise.errors import ModelError


def real(*shape: int, seed: int = 1) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) / 4, np.float32)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("length", [None, 8, 5])
@pytest.mark.parametrize("axis", [1, 2])
def test_dft_of_real_signals(axis: int, length: int | None, onesided: int) -> None:
    x = real(2, 7, 6, 1)
    given = {} if length is None else {"n": np.array(length)}
    a: dict[str, Any] = {"axis": axis, "onesided": onesided}
    check(single("DFT", {"x": x}, given, opset=17, **a), {"x": x}, [transformed(x, length, a)])


def transformed(x: Array, length: int | None, a: dict[str, Any]) -> Array:
    y = np.fft.fft(x[..., 0].astype(np.float64), length, a["axis"])
    half = y.shape[a["axis"]] // 2 + 1 if a["onesided"] else y.shape[a["axis"]]
    y = y.take(range(half), a["axis"])
    return np.stack([y.real, y.imag], -1).astype(np.float32)


@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, -2])
def test_dft_of_complex_signals(axis: int | None, inverse: int) -> None:
    x = real(4, 6, 2)
    given = {} if axis is None else {"axis": np.array(axis)}
    names = ["x"] if axis is None else ["x", "", "axis"]
    z = x[..., 0] + 1j * x[..., 1].astype(np.float64)
    y = (np.fft.ifft if inverse else np.fft.fft)(z, axis=0 if axis == 0 else 1)
    expected = np.stack([y.real, y.imag], -1).astype(np.float32)
    data = single("DFT", {"x": x}, given, opset=20, operands=names, inverse=inverse)
    check(data, {"x": x}, [expected])


def test_back_to_real_signals() -> None:
    x = real(2, 10, 1)
    y = np.fft.rfft(x[..., 0].astype(np.float64), axis=1)
    half = np.stack([y.real, y.imag], -1).astype(np.float32)
    data = single("DFT", {"x": half}, opset=20, inverse=1, onesided=1)
    check(data, {"x": half}, [x])


def test_long_transforms_are_no_products() -> None:
    x = real(1, 4096, 1)
    expected = transformed(x, None, {"axis": 1, "onesided": 0})
    g = check(single("DFT", {"x": x}, opset=17), {"x": x}, [expected])
    assert operators(g) == ["DFT"]
    assert "FULLY_CONNECTED" in operators(ew.load(single("DFT", {"x": x[:, :64]}, opset=17)))


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("step", [4, 7])
@pytest.mark.parametrize("length", [16, 10])
def test_stft(length: int, step: int, onesided: int) -> None:
    x, window = real(2, 50, 1) / 8, np.hanning(length).astype(np.float32)
    given = {"step": np.array(step), "window": window}
    check(single("STFT", {"x": x}, given, opset=17, onesided=onesided), {"x": x})
    given = {"step": np.array(step), "length": np.array(length)}
    names = ["x", "step", "", "length"]
    check(single("STFT", {"x": x}, given, opset=17, operands=names, onesided=onesided), {"x": x})


def constants(op: str, given: dict[str, Any], **attributes: Any) -> tuple[Array, Array]:
    """The one output of an operator of constants: ours, and ONNX Runtime's."""
    nodes = [node(op, list(given), ["w"], **attributes), node("Add", ["x", "w"], ["y"])]
    data = model(graph(nodes, [info("x", [1])], ["y"], given), 17)
    x = np.zeros(1, np.float32)
    g = ew.load(data)
    values = {g.inputs[0]: x}
    for n, results in g.reference(values):
        values.update(zip(n.outputs, results, strict=True))
    return values[g.outputs[0]], runtime(data, {"x": x})[0]


@pytest.mark.parametrize("op", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("size", [9, 16])
def test_windows(op: str, periodic: int, size: int) -> None:
    ours, theirs = constants(op, {"size": np.array(size)}, periodic=periodic)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_mel_weights() -> None:
    numbers = (12, 64, 16000, np.float32(100), np.float32(7000))
    given = {f"x{i}": np.array(v) for i, v in enumerate(numbers)}
    ours, theirs = constants("MelWeightMatrix", given)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "feeds", "given", "rule"),
    [
        ("DFT", {"x": real(2, 4, 3)}, {}, "its last dimension is 1"),
        ("DFT", {"x": real(2, 4, 1)}, {"n": np.array(0)}, "a transform of 0 samples"),
        ("DFT", {"x": real(2, 4, 1)}, {"n": np.array(2**40)}, "a transform of 1099511627776"),
        ("STFT", {"x": real(1, 9, 1)}, {"s": np.array(0), "w": real(4)}, "frames fit it"),
        ("STFT", {"x": real(1, 3, 1)}, {"s": np.array(1), "w": real(4)}, "frames fit it"),
        ("HannWindow", {}, {"n": np.array(-1)}, "a window of -1 elements"),
        ("HannWindow", {}, {"n": np.array(2**50)}, "a window of 1125899906842624"),
        (
            "MelWeightMatrix",
            {},
            {c: np.array(v) for c, v in zip("abcde", (0, 8, 8, 1.0, 2.0), strict=True)},
            "each is positive",
        ),
        (
            "MelWeightMatrix",
            {},
            {c: np.array(v) for c, v in zip("abcde", (2, 8, 8, 9.0, 2.0), strict=True)},
            "they lie between",
        ),
    ],
)
def test_rules(op: str, feeds: dict[str, Array], given: dict[str, Array], rule: str) -> None:
    with pytest.raises(ModelError, match=rf"\({op}\).*{rule}"):
        ew.load(single(op, feeds, given, opset=17))
