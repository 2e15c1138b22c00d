"""Real networks give the same answers before and after every pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_graphs import check

import edgewise as ew
from edgewise.dtype import DType
from edgewise.graph import Graph
from edgewise.passes import optimize, to_int8, to_uint8, weights_to_int8

pytestmark = pytest.mark.data

SMALL = (
    "anomaly_int8",
    "kws_dscnn_int8",
    "micro_speech_int8",
    "mobilenet_v1_0.25_128_quant",
    "resnet8_cifar10_int8",
    "vww_96_int8",
)


def load(data: Path, name: str) -> Graph:
    return ew.load(data / "models" / f"{name}.tflite")


@pytest.mark.parametrize("name", SMALL)
def test_networks_give_the_same_answers(data: Path, name: str) -> None:
    optimized = check(optimize, load(data, name))
    check(lambda g: weights_to_int8(to_uint8(g)), optimized)
    check(lambda g: weights_to_int8(to_int8(g)), optimized)


@pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224_quant", "mobilenet_v2_1.0_224_int8"])
def test_mobilenet_v2_becomes_one_kernel_a_layer(data: Path, name: str) -> None:
    graph = weights_to_int8(to_uint8(optimize(load(data, name))))
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[node.op.name] = counts.get(node.op.name, 0) + 1
    assert counts["DEPTHWISE_CONV_2D"] == 17
    assert counts["FUSED"] == 10
    assert counts["CONV_2D"] + counts["FUSED"] in (35, 36)
    assert not counts.keys() & {"ADD", "PAD", "QUANTIZE", "SQUEEZE"}
    weights = [n.inputs[1].type.dtype for n in graph.nodes if n.op.name.endswith("CONV_2D")]
    assert set(weights) == {DType.INT8}
