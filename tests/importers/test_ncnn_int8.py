"""Layers of int8: ncnn's result, to a step of what is quantized."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ncnn_files import Net, extents, flagged, outputs_of, raw, run_ncnn

import edgewise
from edgewise.errors import ModelError, UnsupportedError
from edgewise.graph import Array
from edgewise.importers import load

pytest.importorskip("ncnn")

SHAPE = (4, 9, 10)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def image() -> Array:
    return rng().uniform(-1, 1, SHAPE).astype(np.float32)


def weights(*shape: int, stored: str) -> tuple[bytes, Array]:
    """Weights as int8, or as floats that are quantized when they are loaded, and their scales."""
    real = rng().uniform(-1, 1, shape).astype(np.float32)
    peaks = np.abs(real).reshape(shape[0], -1).max(1)
    scales = (127 / peaks).astype(np.float32)
    each = scales.reshape(-1, *[1] * (len(shape) - 1))
    whole = np.rint(real * each).astype(np.int8)
    return flagged(whole if stored == "int8" else real), scales


def single(
    kind: str, parameters: dict[int, object], content: bytes, shape: tuple[int, ...] = SHAPE
) -> Net:
    net = Net().add("Input", (), ("in0",), extents(shape))
    return net.add(kind, ("in0",), ("out0",), parameters, content, "layer")


def differences(net: Net, folder: Path, x: Array, step: float) -> Array:
    """How many steps of ``step`` the output is from ncnn's, by reference and compiled."""
    path = net.save(folder)
    (expected,) = run_ncnn(path, [x], ["out0"])
    graph = load(path)
    (found,) = outputs_of(graph, [x]).values()
    with closing(edgewise.compile(graph)) as program:
        compiled = np.asarray(program(x[None]))
    assert found.shape == compiled.shape == (1, *expected.shape)
    assert np.ptp(expected) > 20 * step
    return np.abs(np.stack([found[0], compiled[0]]) - expected) / step


@pytest.mark.parametrize("stored", ["int8", "float"])
@pytest.mark.parametrize("activation", [{}, {9: 1}, {9: 2, 10: [0.2]}, {9: 3, 10: [-0.5, 1.0]}])
def test_convolution(tmp_path: Path, stored: str, activation: dict[int, object]) -> None:
    data, scales = weights(6, 4, 3, 3, stored=stored)
    bias = rng().random(6, np.float32)
    parameters = {0: 6, 1: 3, 4: 1, 5: 1, 6: 6 * 36, 8: 2, **activation}
    content = data + raw(bias, scales, np.array([127.0]))
    far = differences(single("Convolution", parameters, content), tmp_path, image(), 1 / 127)
    assert far.max() < 1


@pytest.mark.parametrize("stored", ["int8", "float"])
@pytest.mark.parametrize("term", [1, 2])
@pytest.mark.parametrize("groups", [4, 2])
def test_depthwise(tmp_path: Path, stored: str, term: int, groups: int) -> None:
    depth = 4 // groups
    data, scales = weights(groups, (4 // groups) * depth * 9, stored=stored)
    if term == 2:
        whole = rng().integers(-127, 128, 4 * depth * 9).astype(np.int8)
        data, scales = flagged(whole), np.array([127.0])
    parameters = {0: 4, 1: 3, 4: 1, 6: 4 * depth * 9, 7: groups, 8: term}
    content = data + raw(scales, np.array([127.0]))
    net = single("ConvolutionDepthWise", parameters, content)
    assert differences(net, tmp_path, image(), 1 / 127).max() < 1


@pytest.mark.parametrize("stored", ["int8", "float"])
@pytest.mark.parametrize("shape", [(12,), (3, 12)])
def test_inner_product(tmp_path: Path, stored: str, shape: tuple[int, ...]) -> None:
    data, scales = weights(6, 12, stored=stored)
    content = data + raw(rng().random(6, np.float32), scales, np.array([127.0]))
    net = single("InnerProduct", {0: 6, 1: 1, 2: 72, 8: 2, 9: 1}, content, shape)
    x = rng().uniform(-1, 1, shape).astype(np.float32)
    assert differences(net, tmp_path, x, 1 / 127).max() < 1


def chain(stored: str) -> Net:
    """Two convolutions, the first of which gives int8, and a depthwise one between them."""
    net = Net().add("Input", (), ("in0",), extents(SHAPE))
    first, scales = weights(6, 4, 3, 3, stored=stored)
    bias = rng().random(6, np.float32)
    one = np.array([127.0])
    parameters = {0: 6, 1: 3, 5: 1, 6: 216, 8: 102, 9: 1}
    net.add(
        "Convolution", ("in0",), ("a",), parameters, first + raw(bias, scales, one, np.array([20]))
    )
    data, scales = weights(6, 1, 3, 3, stored=stored)
    content = data + raw(scales, np.array([20.0]), np.array([30.0]))
    net.add("ConvolutionDepthWise", ("a",), ("b",), {0: 6, 1: 3, 6: 54, 7: 6, 8: 101}, content)
    data, scales = weights(5, 6, 1, 1, stored=stored)
    content = data + raw(scales, np.array([30.0]))
    return net.add("Convolution", ("b",), ("out0",), {0: 5, 1: 1, 6: 30, 8: 2}, content)


@pytest.mark.parametrize("stored", ["int8", "float"])
def test_products_that_stay_int8_run_in_integers(tmp_path: Path, stored: str) -> None:
    net = chain(stored)
    far = differences(net, tmp_path, image(), 6 / 30)
    assert far.max() < 1
    graph = load(net.save(tmp_path))
    kinds = [node.op.name for node in graph.nodes]
    assert kinds.count("QUANTIZE") == 1
    assert {n.inputs[0].type.dtype.value for n in graph.nodes if "CONV" in n.op.name} == {
        "int8",
        "float32",
    }


def test_activation_of_reals_between_products_of_int8(tmp_path: Path) -> None:
    net = chain("int8")
    net.lines[1] = net.lines[1].replace("9=1", "9=2 -23310=1,1.0e-01")
    assert differences(net, tmp_path, image(), 6 / 30).max() < 1


def test_bias_too_great_for_integers(tmp_path: Path) -> None:
    net = chain("int8")
    head = len(weights(6, 4, 3, 3, stored="int8")[0])
    bias = np.full(6, 1e7, np.float32).tobytes()
    net.weights = net.weights[:head] + bias + net.weights[head + len(bias) :]
    graph = load(net.save(tmp_path))
    assert [n.op.name for n in graph.nodes].count("QUANTIZE") == 2


def test_quantize(tmp_path: Path) -> None:
    net = single("Quantize", {0: 1}, raw(np.array([50.0])))
    x = image()
    (expected,) = run_ncnn(net.save(tmp_path), [x], ["out0"])
    (found,) = outputs_of(load(tmp_path / "net.param"), [x]).values()
    assert found.dtype == np.int8
    assert np.abs(found[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("kind", "parameters", "content", "message"),
    [
        ("Quantize", {0: 2}, raw(np.array([1.0, 2.0])), "scales that differ between channels"),
        (
            "ConvolutionDepthWise",
            {0: 4, 1: 1, 6: 4, 7: 4, 8: 3},
            flagged(np.ones(4, np.int8)),
            "int8_scale_term 3",
        ),
        (
            "Convolution",
            {0: 1, 1: 1, 6: 4},
            flagged(np.ones(4, np.int8)),
            "weights of int8 without scales",
        ),
    ],
)
def test_unsupported(
    kind: str, parameters: dict[int, object], content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=f"layer 'layer' \\({kind}\\): {message}"):
        load(single(kind, parameters, content).save(tmp_path))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_scales_are_positive(scale: float, tmp_path: Path) -> None:
    net = single("Quantize", {0: 1}, raw(np.array([scale])))
    with pytest.raises(ModelError, match="scales of int8: "):
        load(net.save(tmp_path))
