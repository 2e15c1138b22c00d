"""Networks that ONNX Runtime's quantizer made: integers throughout, beside ONNX Runtime."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

import edgewise as ew
from edgewise import ops
from edgewise.graph import Array, Graph
from edgewise.passes import optimize

pytestmark = pytest.mark.data

PRODUCTS = (ops.BatchMatMul, ops.Conv2D, ops.DepthwiseConv2D, ops.FullyConnected, ops.Fused)
onnxruntime.set_default_logger_severity(4)


def sample(path: Path, seed: int) -> dict[str, Array]:
    (entry,) = onnxruntime.InferenceSession(str(path)).get_inputs()
    shape = [d if isinstance(d, int) else 1 for d in entry.shape]
    greatest = 255.0 if min(shape[1:2]) == 1 or "yunet" in path.name else 1.0
    x = np.random.default_rng(seed).uniform(0, greatest, shape)
    return {entry.name: np.asarray(x, np.float32)}


class Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        self.left = iter([sample(path, seed) for seed in range(3)])

    def get_next(self) -> Any:
        return next(self.left, None)


@pytest.fixture(scope="module")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Networks of a newer opset, whose constants are no inputs."""
    folder, found = tmp_path_factory.mktemp("prepared"), {}

    def prepare(name: str) -> Path:
        if name not in found:
            model = onnx.load(data / "models" / f"{name}.onnx")
            constants = {t.name for t in model.graph.initializer}
            inputs = [i for i in model.graph.input if i.name not in constants]
            del model.graph.input[:]
            model.graph.input.extend(inputs)
            if model.opset_import[0].version < 13:
                model.ir_version = max(model.ir_version, 7)
                model = version_converter.convert_version(model, 17)
            raw, found[name] = folder / f"{name}.raw.onnx", folder / f"{name}.onnx"
            onnx.save(model, raw)
            quant_pre_process(str(raw), str(found[name]))
        return found[name]

    return prepare


def results(path: Path, feeds: dict[str, Array], optimized: bool) -> list[Array]:
    """ONNX Runtime's: by kernels of integers, or by the floats that the file states."""
    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def compiled(graph: Graph, feeds: dict[str, Array]) -> list[Array]:
    with contextlib.closing(ew.compile(graph)) as program:
        found = program(**feeds)
    return list(found) if isinstance(found, tuple) else [found]


def ratio(given: Array, expected: Array) -> float:
    """Signal to noise in decibels."""
    noise = float(np.sum((given.astype(np.float64) - expected) ** 2)) + 1e-30
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / noise))


STATIC = [
    (name, format, per_channel, activations)
    for name in ("mnist_cnn_float", "pfld_float", "rfb320_float", "yunet_n_float")
    for format, per_channel, activations in (
        (QuantFormat.QDQ, False, QuantType.QUInt8),
        (QuantFormat.QDQ, True, QuantType.QInt8),
        (QuantFormat.QOperator, False, QuantType.QInt8),
    )
    if not (per_channel and name == "mnist_cnn_float")
]
"""The quantizer does not divide the channels of the first network's weights."""


@pytest.mark.parametrize(("name", "format", "per_channel", "activations"), STATIC)
def test_quantized_statically(
    name: str,
    format: QuantFormat,
    per_channel: bool,
    activations: QuantType,
    prepared: Any,
    tmp_path: Path,
) -> None:
    """Every product is one of integers. Results are as near to what the file states as those of
    ONNX Runtime's integer kernels; QLinear operators state those.
    """
    source, path = prepared(name), tmp_path / "quantized.onnx"
    quantize_static(
        source,
        path,
        Samples(source),
        quant_format=format,
        per_channel=per_channel,
        activation_type=activations,
        weight_type=QuantType.QInt8,
    )
    feeds, graph = sample(source, 9), ew.load(path)
    found = [n for n in optimize(graph).nodes if isinstance(n.op, PRODUCTS)]
    assert found
    assert {n.inputs[0].type.dtype.itemsize for n in found} == {1}
    given = compiled(graph, feeds)
    stated = results(path, feeds, optimized=False)
    integers = results(path, feeds, optimized=True)
    if format is QuantFormat.QOperator:
        stated = integers
    for y, plain, fast in zip(given, stated, integers, strict=True):
        assert ratio(y, plain) >= min(ratio(fast, plain), 30) - 3


@pytest.mark.parametrize("name", ["mnist_cnn_float", "pfld_float"])
def test_quantized_dynamically(name: str, prepared: Any, tmp_path: Path) -> None:
    source, path = prepared(name), tmp_path / "quantized.onnx"
    quantize_dynamic(source, path, weight_type=QuantType.QInt8)
    feeds, graph = sample(source, 9), ew.load(path)
    for y, expected in zip(compiled(graph, feeds), results(path, feeds, True), strict=True):
        assert ratio(y, expected) > 40
