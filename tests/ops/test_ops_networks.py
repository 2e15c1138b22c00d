"""The references of whole quantized networks give LiteRT's outputs bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from tflite_builder import run_litert

NETWORKS = [
    "anomaly_int8",
    "deeplabv3_mnv2_pascal_quant",
    "kws_dscnn_int8",
    "micro_speech_int8",
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_0.25_224_quant",
    "mobilenet_v2_1.0_224_int8",
    "mobilenet_v2_1.0_224_quant",
    "resnet8_cifar10_int8",
    "vww_96_int8",
]


@pytest.mark.data
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, data: Path) -> None:
    model = (data / "models" / f"{name}.tflite").read_bytes()
    graph = ew.load(model)
    rng = np.random.default_rng(0)
    arrays = []
    for value in graph.inputs:
        low, high = value.type.dtype.range
        shape = value.type.shape
        smooth = rng.integers(low, high + 1, [-(-d // 8) if d > 8 else d for d in shape])
        for axis, size in enumerate(shape):
            smooth = np.repeat(smooth, 8, axis).take(range(size), axis) if size > 8 else smooth
        noisy = np.clip(smooth + rng.integers(-9, 10, shape), low, high)
        arrays.append(noisy.astype(value.type.dtype.numpy))
    values = {}
    for node, results in graph.reference(dict(zip(graph.inputs, arrays, strict=True))):
        values.update(zip(node.outputs, results, strict=True))
    for value, expected in zip(graph.outputs, run_litert(model, arrays), strict=True):
        np.testing.assert_array_equal(values[value], expected, strict=True)
