"""Real networks: the graph holds what LiteRT sees in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewise.graph import Value, verify
from edgewise.importers import load

pytestmark = pytest.mark.data

NETWORKS = (
    "mobilenet_v2_1.0_224_quant",
    "mobilenet_v2_1.0_224_int8",
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_0.25_224_quant",
    "resnet8_cifar10_int8",
    "vww_96_int8",
    "kws_dscnn_int8",
    "anomaly_int8",
    "micro_speech_int8",
    "deeplabv3_mnv2_pascal_quant",
)


def open_litert(path: Path) -> Any:
    return Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )


def check_type(value: Value, detail: dict[str, Any]) -> None:
    assert value.type.shape == tuple(detail["shape"])
    assert value.type.dtype.numpy == np.dtype(detail["dtype"])
    quant, found = detail["quantization_parameters"], value.type.quant
    if value.type.dtype.itemsize > 2:
        assert found is None
    elif found is None:
        assert len(quant["scales"]) == 0
    else:
        assert found.scale == tuple(map(float, quant["scales"]))
        assert found.zero_point == tuple(map(int, quant["zero_points"]))
        assert found.axis == (quant["quantized_dimension"] if len(found.scale) > 1 else None)


@pytest.mark.parametrize("name", NETWORKS)
def test_graph_is_what_litert_sees(name: str, data: Path) -> None:
    path = data / "models" / f"{name}.tflite"
    graph, peer = load(path), open_litert(path)
    verify(graph)
    details = {d["index"]: d for d in peer.get_tensor_details()}
    operators = peer._get_ops_details()
    assert [n.op.name for n in graph.nodes] == [o["op_name"] for o in operators]
    for node, operator in zip(graph.nodes, operators, strict=True):
        by_name = {details[i]["name"]: details[i] for i in operator["inputs"] if i >= 0}
        for value in node.inputs:
            check_type(value, by_name[value.name])
        for value, index in zip(node.outputs, operator["outputs"], strict=True):
            assert value.name == details[index]["name"]
            check_type(value, details[index])
    for values, expected in (
        (graph.inputs, peer.get_input_details()),
        (graph.outputs, peer.get_output_details()),
    ):
        assert [v.name for v in values] == [d["name"] for d in expected]


def test_constants_are_litert_s_and_share_the_file_s_bytes(data: Path) -> None:
    content = (data / "models" / "micro_speech_int8.tflite").read_bytes()
    graph = load(content)
    peer = Interpreter(model_content=content)
    peer.allocate_tensors()
    index = {d["name"]: d["index"] for d in peer.get_tensor_details()}
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    assert len(graph.constants) == 4
    for constant in graph.constants:
        assert constant.data is not None
        np.testing.assert_array_equal(constant.data, peer.get_tensor(index[constant.name]))
        assert not constant.data.flags.writeable
        assert 0 <= constant.data.__array_interface__["data"][0] - start < len(content)


STATES = {
    "movenet_lightning_int8": 0,
    "mnist_lstm_float": 2,
    "mnist_lstm_int8": 2,
    "wakeword_hey_jarvis_int8": 6,
    "dtln_1_dynamic": 0,
    "blazeface_short_range_f16": 0,
}


@pytest.mark.parametrize("name", STATES)
def test_states_and_types_of_all_kinds_load(name: str, data: Path) -> None:
    graph = load(data / "models" / f"{name}.tflite")
    verify(graph)
    assert len(graph.states) == STATES[name]


def test_float_networks_load(data: Path) -> None:
    graph = load(data / "models" / "resnet8_cifar10_float.tflite")
    verify(graph)
    types = [str(v.type) for v in (*graph.inputs, *graph.outputs)]
    assert types == ["float32[1x32x32x3]", "float32[1x10]"]


LABELS = {
    "mobilenet_v1_0.25_128_quant": ["background", "tench, Tinca tinca"],
    "mobilenet_v1_0.25_224_quant": ["background", "tench"],
    "mobilenet_v2_1.0_224_quant": ["background", "tench, Tinca tinca"],
    "mobilenet_v2_1.0_224_int8": ["background", "tench, Tinca tinca"],
    "deeplabv3_257_float": ["background", "aeroplane"],
}


@pytest.mark.parametrize("name", LABELS)
def test_metadata(name: str, data: Path) -> None:
    metadata = load(data / "models" / f"{name}.tflite").metadata
    assert metadata["labels"][:2] == LABELS[name]
    assert len(metadata["labels"]) == (21 if name.startswith("deeplab") else 1001)
    assert metadata["input_normalization"] == {"mean": [127.5], "std": [127.5]}
    assert len(metadata["description"]) > 40
