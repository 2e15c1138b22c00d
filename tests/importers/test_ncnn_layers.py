"""Every layer of ncnn that is read computes what ncnn does."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ncnn_cases import CASES, Case
from ncnn_files import (
    Net,
    extents,
    flagged,
    one_layer,
    outputs_of,
    raw,
    relative_difference,
    run_ncnn,
)

import edgewise
from edgewise.importers import load
from edgewise.importers.ncnn_layers import layers

pytest.importorskip("ncnn")

ELSEWHERE = {"ArgMax", "Embed", "MemoryData", "Quantize"}
"""Layers that have tests of their own: ncnn's package has no ArgMax; others are not of floats."""


def test_every_layer_has_a_case() -> None:
    assert {c.kind for c in CASES} | ELSEWHERE == set(layers())


def test_the_page_lists_every_layer() -> None:
    page = Path(__file__).parents[2] / "docs" / "ncnn.md"
    rows = re.findall(r"(?m)^\| ([A-Z][^|]*) \|", page.read_text())
    listed = [name for row in rows for name in row.split(", ")]
    assert sorted(listed) == sorted({"Input", *layers()})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case: Case, tmp_path: Path) -> None:
    rng = np.random.default_rng(sum(map(ord, str(case))))
    path, arrays = case.net(rng).save(tmp_path), case.arrays(rng)
    names = [f"out{i}" for i in range(case.outputs)]
    expected = run_ncnn(path, arrays, names)
    found = outputs_of(load(path), arrays)
    for name, array in zip(names, expected, strict=True):
        assert found[name].shape == (1, *array.shape)
        assert relative_difference(found[name][0], array) < case.tolerance


COMPILED = (
    "Convolution",
    "ConvolutionDepthWise",
    "Deconvolution",
    "InnerProduct",
    "Interp",
    "LSTM",
    "MultiHeadAttention",
    "Pooling",
    "Reduction",
)


@pytest.mark.parametrize("kind", COMPILED)
def test_compiled_layer(kind: str, tmp_path: Path) -> None:
    case = [c for c in CASES if c.kind == kind][1]
    rng = np.random.default_rng(5)
    path, arrays = case.net(rng).save(tmp_path), case.arrays(rng)
    (expected,) = run_ncnn(path, arrays, ["out0"])
    with closing(edgewise.compile(load(path))) as program:
        found = program(*(a[None] for a in arrays))
    assert relative_difference(np.asarray(found)[0], expected) < 1e-5


def test_argmax(tmp_path: Path) -> None:
    x = np.array([[3.0, 9.0, -1.0], [7.0, 0.0, 8.0]], np.float32)
    for parameters, expected in (
        ({}, [[1]]),
        ({1: 3}, [[1, 5, 3]]),
        ({0: 1, 1: 2}, [[9, 8], [1, 5]]),
    ):
        path = one_layer("ArgMax", [x.shape], parameters).save(tmp_path)
        (found,) = outputs_of(load(path), [x]).values()
        np.testing.assert_array_equal(found, [expected])


@pytest.mark.parametrize("has_bias", [False, True])
def test_embed(tmp_path: Path, has_bias: bool) -> None:
    rng = np.random.default_rng(1)
    table, bias = rng.random((6, 4), np.float32), rng.random(4, np.float32)
    words = np.array([0, 5, 2, 7, -3, 2], np.int32)
    weights = flagged(table) + (raw(bias) if has_bias else b"")
    net = one_layer("Embed", [(6,)], {0: 4, 1: 6, 2: int(has_bias), 3: 24}, weights)
    path = net.save(tmp_path)
    (expected,) = run_ncnn(path, [words], ["out0"])
    (found,) = outputs_of(load(path), [words]).values()
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_whole_numbers_that_other_layers_hand_on(tmp_path: Path) -> None:
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    net = Net().add("Input", (), ("in0",), extents((4,))).add("Split", ("in0",), ("a", "b"))
    net.add("Embed", ("a",), ("c",), {0: 2, 1: 6, 3: 12}, flagged(table))
    net.add("Embed", ("b",), ("d",), {0: 2, 1: 6, 3: 12}, flagged(-table))
    path, words = net.add("Concat", ("c", "d"), ("out0",), {0: 1}).save(tmp_path), [5, 0, 3, 1]
    graph = load(path)
    assert graph.inputs[0].type.dtype.value == "int32"
    (found,) = outputs_of(graph, [np.array(words, np.int32)]).values()
    np.testing.assert_array_equal(found[0], np.hstack([table[words], -table[words]]))


def test_an_input_that_no_layer_reads_is_an_output(tmp_path: Path) -> None:
    net = Net().add("Input", (), ("x",), extents((4,))).add("Input", (), ("y",), extents((4,)))
    graph = load(net.add("ReLU", ("y",), ("z",)).save(tmp_path))
    assert [v.name for v in graph.inputs] == ["x", "y"]
    assert graph.outputs[1].name == "z"
    found = outputs_of(graph, [np.ones(4, np.float32)] * 2)
    assert len(found) == 2


@pytest.mark.parametrize("shape", [(7,), (3, 5), (3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("kind", [0, 1])
def test_memory_data(tmp_path: Path, shape: tuple[int, ...], kind: int) -> None:
    data = np.random.default_rng(2).random(shape, np.float32)
    net = Net().add("Input", (), ("in0",), extents(shape))
    stored = raw(data) if kind else flagged(data.astype(np.float16))
    net.add("MemoryData", (), ("constant",), {**extents(shape), 21: kind}, stored)
    net.add("BinaryOp", ("in0", "constant"), ("out0",), {0: 0})
    path, x = net.save(tmp_path), np.ones(shape, np.float32)
    (expected,) = run_ncnn(path, [x], ["out0"])
    (found,) = outputs_of(load(path), [x]).values()
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
