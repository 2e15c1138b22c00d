"""Accuracy methods on real networks: what the default recipe gains; no batch norm is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from float_nets import sqnr

import edgewise as ew
from edgewise.data import Samples
from edgewise.graph import Array, Graph
from edgewise.ops import Add, Div, Mul, Sub
from edgewise.ops.product import Product
from edgewise.quantizer import Recipe, convert, quantize
from edgewise.quantizer.calibrate import calibrate
from edgewise.quantizer.state import float_network

pytestmark = pytest.mark.data


def photographs(data: Path, graph: Graph, first: int, count: int) -> Samples:
    files = sorted((data / "data" / "imagenet500").glob("*.jpg"))
    return Samples.of([str(f) for f in files[first :: 500 // count]][:count], graph)


def outputs(graph: Graph, samples: Samples) -> list[Array]:
    program = ew.compile(graph)
    results = [program(*sample) for sample in samples]
    program.close()
    return [np.concatenate(r) if isinstance(r, tuple) else r for r in results]


def test_the_default_recipe_gains(data: Path) -> None:
    """Of a MobileNet, whose first layers quantize badly; tested on other pictures."""
    graph = ew.load(data / "models" / "mobilenet_v1_0.25_224_float.tflite")
    scores = next(n.inputs[0] for n in graph.nodes if n.op.name == "SOFTMAX")
    graph = replace(graph, outputs=(scores,))
    fitted, tested = photographs(data, graph, 0, 16), photographs(data, graph, 3, 16)
    expected = np.stack(outputs(graph, tested))
    plain = calibrate(Recipe.of("int8").start(float_network(graph)), fitted)
    before = sqnr(np.stack(outputs(convert(plain).graph, tested)), expected)
    found = quantize(graph, fitted)
    assert [s.step for s in found.recipe.steps] == ["equalize", "calibrate", "gptq"]
    after = sqnr(np.stack(outputs(found.graph, tested)), expected)
    assert after > before + 6


@pytest.mark.parametrize(
    "name",
    [
        "hourglass_pose_float.tflite",
        "mtcnn_det1_float.caffemodel",
        "pfld_float.onnx",
        "portrait_segmentation_512_float.tflite",
        "rfb320_float.caffemodel",
        "rfb320_float.onnx",
        "rfb320_float.tflite",
        "yunet_n_float.onnx",
    ],
)
def test_no_batch_norm_is_left_behind_a_product(name: str, data: Path) -> None:
    graph = float_network(ew.load(data / "models" / name))
    producers, users = graph.producers(), graph.users()
    left = [
        node.outputs[0].name
        for node in graph.nodes
        for v in node.inputs
        if isinstance(node.op, Add | Div | Mul | Sub)
        and any(other.is_constant for other in node.inputs)
        and v in producers
        and isinstance(producers[v].op, Product)
        and len(users[v]) == 1
    ]
    assert left == []
