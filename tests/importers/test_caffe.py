"""Caffe's files: which is which, both generations of layers, inputs, phases, names of blobs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from caffe_files import blob, caffemodel, draw, layer, prototxt, read, write

from edgewise.errors import MissingExtraError
from edgewise.graph import Array, Graph
from edgewise.importers import format_of, load
from edgewise.importers.caffe_layers import DATA, SILENCE, TRAINING, layers
from edgewise.importers.caffe_model import is_network
from edgewise.importers.caffe_schema import V1_NAMES, layer_type, messages
from edgewise.ops.control import evaluate

RNG = np.random.default_rng(3)
WEIGHTS = {"conv": [draw(RNG, 4, 3, 3, 3), draw(RNG, 4)], "slopes": [draw(RNG, 4)]}
CONV = layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "x", "y", "conv")
PRELU = layer("PReLU", "", "y", "y", "slopes")
X = draw(RNG, 1, 3, 8, 8)


def result(graph: Graph, *arrays: Array) -> Array:
    (y,) = evaluate(graph, list(arrays) or [X])
    return y


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A network of two layers, the second of which changes its bottom."""
    return write(tmp_path, prototxt(CONV + PRELU, {"x": X.shape}), WEIGHTS)


def test_either_file_is_the_network(path: Path) -> None:
    weights = path.with_suffix(".caffemodel")
    assert format_of(path).name == format_of(weights).name == "Caffe"
    first, second = load(path), load(weights)
    assert str(first) == str(second)
    np.testing.assert_array_equal(result(first), result(second))


def test_content_decides(path: Path) -> None:
    text, weights = path.with_name("text.bin"), path.with_name("weights.bin")
    path.rename(text)
    path.with_suffix(".caffemodel").rename(weights)
    graphs = load(text, weights=weights), load(weights, weights=text)
    for data, other in ((text.read_bytes(), weights), (weights.read_bytes(), text)):
        graphs += (load(data, weights=other),)
    for graph in graphs:
        np.testing.assert_array_equal(result(graph), result(graphs[0]))


def test_contents_that_are_recognised() -> None:
    for text in ("name:'n'", "# a comment\n\ninput: 'x'", "layer {\n", "layers{", "input_dim: 1"):
        assert is_network(text.encode())
    for other in (b"", b"\n", b"7767517\n3 3\n", b"name", b"# only a comment", b"\x08\x07\x12\x07"):
        assert not is_network(other)
    assert is_network(caffemodel(WEIGHTS))
    assert is_network(caffemodel(WEIGHTS, "layers"))
    assert not is_network(b"\x0a\x01\xff\xa2\x06")


def test_blobs_and_layers_give_names(path: Path) -> None:
    graph = load(path)
    assert graph.name == "small"
    assert [v.name for v in graph.inputs] == ["x"]
    assert [v.name for v in graph.outputs] == ["y"]
    names = {v.name for node in graph.nodes for v in node.outputs}
    assert "conv" in names
    assert {node.origin for node in graph.nodes} == {"conv", "slopes"}


def test_a_layer_that_changes_its_bottom_has_a_name(tmp_path: Path) -> None:
    text = CONV + PRELU + layer("ReLU", "", "y", "z", "last")
    graph = read(tmp_path, prototxt(text, {"x": X.shape}), WEIGHTS)
    names = [v.name for node in graph.nodes for v in node.outputs]
    assert names[-3:] == ["y", "slopes", "z"]


def test_an_input_that_is_changed(tmp_path: Path) -> None:
    graph = read(tmp_path, prototxt(layer("ReLU", tops="x"), {"x": X.shape}))
    assert [v.name for v in graph.inputs] == ["x"]
    np.testing.assert_array_equal(result(graph), np.maximum(X, 0))


def test_an_output_that_is_an_input_or_twice_there(tmp_path: Path) -> None:
    graph = read(tmp_path, prototxt(layer("Split", tops="a b"), {"x": X.shape}))
    assert [v.name for v in graph.outputs] == ["a", "b"]
    for y in evaluate(graph, [X]):
        np.testing.assert_array_equal(y, X)


def test_a_layer_named_as_an_output(tmp_path: Path) -> None:
    text = layer("AbsVal", "", "x", "out", "out") + layer("ReLU", "", "out", "out")
    graph = read(tmp_path, prototxt(text, {"x": X.shape}))
    assert [v.name for v in graph.outputs] == ["out"]
    np.testing.assert_array_equal(result(graph), np.abs(X))


def test_the_older_generation(path: Path) -> None:
    legacy = """name: "small" input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
        layers { name: "conv" type: CONVOLUTION bottom: "x" top: "y" blobs_lr: 1
                 convolution_param { num_output: 4 kernel_size: 3 } }
        layers { name: "relu" type: RELU bottom: "y" top: "y" relu_param { negative_slope: 0.5 } }
    """
    path.write_text(legacy)
    new = load(path)
    path.with_suffix(".caffemodel").write_bytes(caffemodel(WEIGHTS, "layers"))
    old = load(path)
    assert str(new) == str(old)
    path.write_text(
        prototxt(
            CONV + layer("ReLU", "relu_param { negative_slope: 0.5 }", "y", "y"), {"x": X.shape}
        )
    )
    np.testing.assert_array_equal(result(old), result(load(path)))


def test_older_names_of_types() -> None:
    known = set(layers()) | TRAINING | DATA | {SILENCE, "Im2col", "None"}
    types = {layer_type(name) for name in V1_NAMES}
    assert types <= known
    assert V1_NAMES[39] == "DECONVOLUTION"


INPUTS = {
    "input_shape": 'input: "x" input_shape { dim: 2 dim: 3 } input: "y" input_shape { dim: 4 }',
    "a layer for each": (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 4 } } }'
    ),
    "a layer": (
        'layer { name: "x" type: "Input" top: "x" top: "y" '
        "input_param { shape { dim: 2 dim: 3 } shape { dim: 4 } } }"
    ),
}


@pytest.mark.parametrize("declared", INPUTS.values(), ids=INPUTS)
def test_inputs(declared: str, tmp_path: Path) -> None:
    graph = read(tmp_path, declared + layer("ReLU", "", "x", "a") + layer("AbsVal", "", "y", "b"))
    assert [(v.name, v.type.shape) for v in graph.inputs] == [("x", (2, 3)), ("y", (4,))]
    assert [v.name for v in graph.outputs] == ["a", "b"]


def test_one_shape_for_all_tops(tmp_path: Path) -> None:
    declared = (
        'layer { name: "x" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 } } }'
    )
    graph = read(tmp_path, declared + layer("Eltwise", "", "x y"))
    assert [v.type.shape for v in graph.inputs] == [(2,), (2,)]


DATA_LAYERS = {
    "MemoryData": (
        "memory_data_param { batch_size: 2 channels: 1 height: 3 width: 4 }",
        (2, 1, 3, 4),
    ),
    "Data": ("data_param { batch_size: 5 } transform_param { crop_size: 7 }", (5, 3, 7, 7)),
    "ImageData": (
        "image_data_param { new_height: 6 new_width: 8 is_color: false }",
        (1, 1, 6, 8),
    ),
}


@pytest.mark.parametrize("type", DATA_LAYERS)
def test_data_layers_of_training(type: str, tmp_path: Path) -> None:
    """Labels, and what needs them, are left out; so are the layers of the phase TRAIN."""
    params, shape = DATA_LAYERS[type]
    text = (
        f'layer {{ name: "d" type: "{type}" top: "x" top: "l" include {{ phase: TEST }} {params} }}'
        'layer { name: "d" type: "Data" top: "x" top: "l" include { phase: TRAIN } }'
        + layer("ReLU", "", "x", "y")
        + layer("Split", "", "l", "l1 l2")
        + layer("Softmax", "exclude { phase: TEST }", "y", "never")
        + layer("SoftmaxWithLoss", "", "y l1", "loss", "loss")
        + layer("Accuracy", "", "y l2", "accuracy", "accuracy")
    )
    graph = read(tmp_path, text)
    assert [(v.name, v.type.shape) for v in graph.inputs] == [("x", shape)]
    assert [v.name for v in graph.outputs] == ["y"]


def test_silence(tmp_path: Path) -> None:
    text = layer("Split", "", "x", "a b") + layer("Silence", "", "b", "c")
    graph = read(tmp_path, prototxt(text, {"x": X.shape}))
    assert [v.name for v in graph.outputs] == ["a"]


def test_shapes_for_what_the_file_does_not_say(tmp_path: Path) -> None:
    path = write(tmp_path, 'layer { name: "d" type: "HDF5Data" top: "x" }' + layer("ReLU"))
    assert load(path, shapes={"x": (1, 2)}).outputs[0].type.shape == (1, 2)


def test_labels_may_come_first(tmp_path: Path) -> None:
    data = 'layer { name: "d" type: "HDF5Data" top: "label_of_x" top: "x" top: "y" }'
    path = write(tmp_path, data + layer("AbsVal", "", "y", "b") + layer("ReLU", "", "x", "a"))
    assert [v.name for v in load(path, shapes={"x": (1, 2)}).outputs] == ["a"]
    both = load(path, shapes={"x": (1, 2), "y": (3,)})
    assert [v.name for v in both.inputs] == ["x", "y"]
    assert [v.name for v in both.outputs] == ["b", "a"]


def test_rules_of_levels_and_stages(tmp_path: Path) -> None:
    rules = {
        "a": "include { min_level: 1 }",
        "b": "include { min_level: 3 }",
        "c": "include { max_level: 1 }",
        "d": 'include { stage: "deploy" }',
        "e": 'include { stage: "other" }',
        "f": 'exclude { not_stage: "other" }',
        "g": 'include { stage: "other" } include { level: 9 max_level: 2 }',
    }
    text = 'state { phase: TRAIN level: 2 stage: "deploy" }' + "".join(
        layer("ReLU", rule, "x", name, name) for name, rule in rules.items()
    )
    graph = read(tmp_path, prototxt(text, {"x": (2,)}))
    assert [v.name for v in graph.outputs] == ["a", "d", "g"]


def test_constants(tmp_path: Path) -> None:
    text = (
        'layer { name: "c" type: "DummyData" top: "c" dummy_data_param { data_filler { value: 2 } '
        "num: 1 channels: 3 height: 1 width: 2 } }"
        'layer { name: "z" type: "DummyData" top: "z" dummy_data_param { shape { dim: 3 } } }'
        + layer("Eltwise", "", "x c", "sum")
        + layer("AbsVal", "", "z", "zeros")
    )
    graph = read(tmp_path, prototxt(text, {"x": (1, 3, 1, 2)}))
    total, zeros = evaluate(graph, [np.ones((1, 3, 1, 2), np.float32)])
    np.testing.assert_array_equal(total, np.full((1, 3, 1, 2), 3))
    np.testing.assert_array_equal(zeros, np.zeros(3))


def test_unknown_fields_are_ignored(path: Path) -> None:
    before = str(load(path))
    text = path.read_text().replace("kernel_size: 3", "kernel_size: 3 new { a: 1 b: [1, 2] } z: C")
    path.write_text(text)
    assert str(load(path)) == before


def test_shapes_and_types_of_blobs(path: Path) -> None:
    """Four legacy sizes; float64; NVIDIA's float16."""
    before = result(load(path))
    net = messages()["NetParameter"](name="n")
    conv, bias = (a for a in WEIGHTS["conv"])
    message = net.layer.add(name="conv")
    message.blobs.add(num=4, channels=3, height=3, width=3, data=[conv.tobytes()])
    message.blobs.add(num=1, channels=1, height=1, width=4)
    message.blobs[1].double_data.append(bias.astype("<f8").tobytes())
    slopes = net.layer.add(name="slopes").blobs.add(raw_data_type=2)
    slopes.shape.dim.append(4)
    slopes.raw_data = WEIGHTS["slopes"][0].astype("<f2").tobytes()
    path.with_suffix(".caffemodel").write_bytes(net.SerializeToString())
    np.testing.assert_allclose(result(load(path)), before, rtol=1e-3)


def test_weights_that_hold_their_network(tmp_path: Path) -> None:
    net = messages()["NetParameter"](name="own")
    data = net.layer.add(name="in", type="Input", top=["x"])
    data.include.add(phase=0)  # a snapshot has the layers of the phase that it was taken in
    data.input_param.shape.add(dim=[2, 4])
    product = net.layer.add(name="fc", type="InnerProduct", bottom=["x"], top=["y"])
    product.inner_product_param.num_output = 3
    for array in (draw(RNG, 3, 4), draw(RNG, 3)):
        blob(product.blobs.add(), array)
    path = tmp_path / "own.caffemodel"
    path.write_bytes(net.SerializeToString())
    for graph in (load(path), load(path.read_bytes())):
        assert graph.name == "own"
        assert graph.outputs[0].type.shape == (2, 3)
    assert load(path, shapes={"x": (7, 4)}).outputs[0].type.shape == (7, 3)


def test_a_network_without_weights_needs_no_file(tmp_path: Path) -> None:
    text = prototxt(layer("ReLU"), {"x": X.shape})
    assert load(text.encode()).outputs[0].type.shape == X.shape


def test_the_page_lists_every_layer() -> None:
    page = (Path(__file__).parents[2] / "docs/caffe.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w, ]+) \|", page.split("## Layers")[1], re.MULTILINE)
    listed = [name for row in rows[1:] for name in row.split(", ")]
    assert sorted(listed) == sorted(layers())


def test_protobuf_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(MissingExtraError, match=r"reading Caffe files needs .*edgewise\[caffe\]"):
        load(path)
