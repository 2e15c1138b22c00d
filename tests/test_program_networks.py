"""Programs of real networks give LiteRT's answers, and their references', bit for bit."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from edgewise.data.images import choose_normalization, load_input, takes_pictures
from edgewise.graph import Array, Graph
from edgewise.plan import Step
from edgewise.runtime import Program
from edgewise.tools.peers import LiteRT
from networks import random_inputs, reference

pytestmark = pytest.mark.data

NETWORKS = {
    "mobilenet_v2_1.0_224_quant": ["parrot.jpg", "cat.bmp"],
    "mobilenet_v2_1.0_224_int8": ["parrot.jpg", "owl.jpg"],
    "mobilenet_v1_0.25_128_quant": ["cat.bmp", "hot_dog.jpg"],
    "mobilenet_v1_0.25_224_quant": ["sunflower.bmp", "bird.bmp"],
    "resnet8_cifar10_int8": ["bird.bmp", "cat.bmp"],
    "vww_96_int8": ["group.jpg", "hot_dog.jpg"],
    "kws_dscnn_int8": [],
    "anomaly_int8": [],
    "micro_speech_int8": [],
    "deeplabv3_mnv2_pascal_quant": ["bird_segmentation.bmp"],
    "blazeface_front_int8": ["face.jpg", "faces.jpg"],
}
"""Quantized networks, and the pictures of data/images that they are tried on besides random inputs.
tests/test_models.py runs all networks."""


def model_path(data: Path, name: str) -> Path:
    return data / "models" / f"{name}.tflite"


def results_of(program: Program, arrays: Sequence[Array]) -> tuple[Array, ...]:
    results = program(*arrays)
    return results if isinstance(results, tuple) else (results,)


def smooth_inputs(graph: Graph, seed: int) -> list[Array]:
    """Noise that changes slowly along every axis, which drives few sums to their ends."""
    rng = np.random.default_rng(seed)
    arrays = []
    for value in graph.inputs:
        t, shape = value.type, value.type.shape
        if t.dtype.is_float:
            arrays.append(rng.uniform(-1, 1, shape).astype(t.dtype.numpy))
            continue
        low, high = t.dtype.range
        coarse = rng.integers(low, high + 1, [-(-n // 8) for n in shape])
        for axis, n in enumerate(shape):
            coarse = np.repeat(coarse, 8, axis).take(range(n), axis)
        noisy = np.clip(coarse + rng.integers(-9, 10, shape), low, high)
        arrays.append(noisy.astype(t.dtype.numpy))
    return arrays


def picture_inputs(graph: Graph, data: Path, name: str) -> list[Array]:
    t = graph.inputs[0].type
    assert takes_pictures(t)
    return [load_input(data / "data" / "images" / name, t, choose_normalization(t, graph.metadata))]


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_of_litert_and_of_the_references(name: str, data: Path) -> None:
    path = model_path(data, name)
    graph, peer = ew.load(path), LiteRT(path)
    samples = [random_inputs(graph), smooth_inputs(graph, 1)]
    samples += [picture_inputs(graph, data, picture) for picture in NETWORKS[name]]
    expected = [peer.run(sample) for sample in samples]
    for got, want in zip(reference(graph, samples[-1]), expected[-1], strict=True):
        np.testing.assert_array_equal(got, want, strict=True)
    for threads in (1, 2, 3):
        program = ew.compile(graph, threads=threads)
        assert not program.plan.fallbacks
        for sample, answers in zip(samples, expected, strict=True):
            for got, want in zip(results_of(program, sample), answers, strict=True):
                np.testing.assert_array_equal(got, want, strict=True)
        program.close()


@pytest.mark.parametrize("name", NETWORKS)
def test_arena_lies_between_the_largest_layer_and_the_sum(name: str, data: Path) -> None:
    plan = ew.compile(ew.load(model_path(data, name))).plan
    names = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "FUSED", "RESIZE_BILINEAR")
    native = [step for step in plan.steps if isinstance(step, Step) and step.reads]
    steps = [[plan.nodes[number] for number in step.nodes] for step in native]
    layers = [
        nodes[0].inputs[0].type.nbytes + nodes[-1].outputs[0].type.nbytes
        for nodes in steps
        if nodes[-1].op.name in names
    ]
    together = sum(-(-buffer.nbytes // 64) * 64 for buffer in plan.offsets) + 64
    assert max(layers) <= plan.arena_bytes <= together
    assert plan.arena_bytes < 2.5 * max(layers)
    weights = {v: v.type.nbytes for node in plan.nodes for v in node.inputs if v.is_constant}
    assert sum(weights.values()) <= plan.constant_bytes
    # Winograd's filtering takes 8 times as much, pixels taken together more still.
    assert plan.constant_bytes < 8 * sum(weights.values()) + 80_000


def photographs(data: Path, graph: Graph) -> Iterator[tuple[Array, int]]:
    """Each photograph as the network's input, with its class among the network's outputs."""
    folder = data / "data" / "imagenet500"
    t = graph.inputs[0].type
    normalization = choose_normalization(t, graph.metadata)
    background = graph.outputs[0].type.shape[-1] - 1000
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            array = load_input(folder / row["file"], t, normalization)
            yield array, int(row["class_index"]) + background


@pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224_quant", "mobilenet_v2_1.0_224_int8"])
def test_photographs(name: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Top classes agree with LiteRT's on 99.6 % of 500 photographs; accuracy within 0.4 points."""
    path = model_path(data, name)
    graph, peer = ew.load(path), LiteRT(path, threads=2)
    program = ew.compile(graph, threads=2)
    rows = []
    for array, label in photographs(data, graph):
        ours, theirs = program(array), peer.run([array])[0]
        same = bool(np.array_equal(ours, theirs))
        rows.append(
            (same, ours.argmax() == theirs.argmax(), *(y.argmax() == label for y in (ours, theirs)))
        )
    equal, agree, accuracy, peer_accuracy = 100 * np.mean(rows, axis=0)
    with capsys.disabled():
        print(
            f"\n{name}, {len(rows)} photographs: same bits {equal:.1f} %, same top class "
            f"{agree:.1f} %, accuracy {accuracy:.1f} % (LiteRT {peer_accuracy:.1f} %)"
        )
    assert len(rows) == 500
    assert agree >= 99.6
    assert abs(accuracy - peer_accuracy) <= 0.4
    assert accuracy > 80
