"""Every refusal of the Caffe importer: what is named, the value and the rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_files import blob, caffemodel, draw, layer, prototxt, read, write

from edgewise.errors import InputError, ModelError, UnsupportedError
from edgewise.graph import Array
from edgewise.importers import load
from edgewise.importers.caffe_schema import messages

IMAGE = (2, 6, 7, 9)
RNG = np.random.default_rng(2)


@dataclass
class Refused:
    """A layer that is refused."""

    text: str
    message: str
    inputs: Mapping[str, Sequence[int]] = field(default_factory=lambda: {"x": IMAGE})
    weights: Sequence[tuple[int, ...]] = ()
    error: type[Exception] = ModelError


def bad(
    type: str, params: str, message: str, *weights: tuple[int, ...], **more: Any
) -> tuple[str, Refused]:
    return type, Refused(layer(type, params), message, weights=weights, **more)


def pair(type: str, params: str, message: str, y: tuple[int, ...]) -> tuple[str, Refused]:
    return type, Refused(layer(type, params, "x y"), message, {"x": IMAGE, "y": y})


def prior(params: str, message: str, **more: Any) -> tuple[str, Refused]:
    text = layer("PriorBox", f"prior_box_param {{ {params} }}", "x y")
    given = {"x": (1, 2, 3, 4), "y": (1, 3, 60, 80), **more}
    return "PriorBox", Refused(text, message, given)


LAYERS = (
    bad("Python", "", "layers of this type are not supported", error=UnsupportedError),
    bad("LSTM", "", "layers of this type are not supported", error=UnsupportedError),
    pair("ReLU", "", "2 bottoms; it takes 1 to 1", IMAGE),
    ("ReLU", Refused(layer("ReLU", tops="a b"), "2 tops; it has 1 to 1")),
    ("ReLU", Refused(layer("ReLU", tops=""), "0 tops; it has 1 to 1")),
    ("ReLU", Refused(layer("ReLU", bottoms="z"), "bottom 'z' is not computed before it")),
    (
        "ReLU",
        Refused(
            layer("ReLU", tops="y"),
            "blob 'y' is there already; only a layer that reads it may write it",
            {"x": IMAGE, "y": IMAGE},
        ),
    ),
    bad("Softmax", "softmax_param { axis: 4 }", "axis 4 of 4 dimensions; it lies from -4 to 3"),
    bad("LRN", "", "bottom of shape [2, 6]; it must be [N, C, H, W]", inputs={"x": (2, 6)}),
    bad("Bias", "", "the weights have no layer of this name with blobs"),
    bad("BatchNorm", "", "its weights have 2 blobs; it needs 3", (6,), (6,)),
    bad("BatchNorm", "", "blobs of 6, 5 and 1 elements; for 6 channels", (6,), (5,), (1,)),
    bad("PReLU", "", "blob 0 is [5]; slope are [6] by its parameters", (5,)),
    bad("Exp", "exp_param { base: -2 }", "base -2; it is positive, or -1 for e"),
    bad("Log", "log_param { base: 1 }", "base 1; there is no logarithm to it"),
    pair("Eltwise", "", "bottoms of shapes [2, 6, 7, 9] and [2, 6, 7, 8]; they are", (2, 6, 7, 8)),
    pair("Eltwise", "eltwise_param { coeff: 1 }", "1 coefficients for 2 bottoms", IMAGE),
    pair("Eltwise", "eltwise_param { operation: MAX coeff: 1 coeff: 2 }", "2 coeffi", IMAGE),
    pair("Scale", "", "a factor of shape [5] at axis 1 of [2, 6, 7, 9]; its", (5,)),
    bad("Scale", "scale_param { num_axes: 4 }", "a factor of shape [6, 7, 9] at axis 1", (6,)),
    bad("ArgMax", "argmax_param { top_k: 8 axis: 2 }", "top_k 8; it is 1 to 7"),
    ("Slice", Refused(layer("Slice", tops="a b c d"), "4 tops of axis 1, whose size is 6; they")),
    ("Slice", Refused(layer("Slice", "slice_param { slice_point: 6 }", tops="a b"), "slice po")),
    pair("Crop", "", "bottoms of 4 and 3 dimensions, 0 offsets", (2, 6, 7)),
    pair(
        "Crop",
        "crop_param { offset: 5 }",
        "[2, 6, 3, 4] elements from [0, 0, 5, 5] on",
        (1, 1, 3, 4),
    ),
    bad("Permute", "permute_param { order: 4 }", "order [4] of 4 dimensions; each is named"),
    bad("Flatten", "flatten_param { axis: 2 end_axis: 1 }", "axis 2 to end_axis 1; the first"),
    bad("Reshape", "reshape_param { num_axes: 5 }", "axis 0, num_axes 5 of 4 dimensions"),
    bad("Reshape", "reshape_param { shape { dim: 1 dim: 0 } num_axes: 1 }", "dimension 1 is 0"),
    bad("Reshape", "reshape_param { shape { dim: 5 dim: -1 } }", "shape [5, -1] of a bottom [2, 6"),
    bad(
        "Reshape", f"reshape_param {{ shape {{ {'dim: 1 ' * 9} }} }}", "makes 9 dimensions; at mos"
    ),
    bad("Tile", "tile_param { tiles: 0 }", "tiles 0; at least 1"),
    bad("ShuffleChannel", "shuffle_channel_param { group: 4 }", "4 groups of 6 channels; they"),
    bad(
        "Pooling",
        "pooling_param { pool: STOCHASTIC kernel_size: 2 }",
        "pool STOCHASTIC; supported are MAX and AVE",
        error=UnsupportedError,
    ),
    bad("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", "pad is less than the kernel"),
    bad("Pooling", "pooling_param { kernel_size: 8 }", "kernel 8 of 7 elements padded by 0; it"),
    bad(
        "Pooling",
        "pooling_param { kernel_size: 1 stride: 5 }",
        "stride 5 of kernel 1: the last window holds no element",
        error=UnsupportedError,
    ),
    bad("LRN", "lrn_param { local_size: 4 }", "local_size 4; it must be odd"),
    bad("Interp", "interp_param { pad_beg: 1 }", "pad_beg 1, pad_end 0; they are 0 or negative"),
    bad("Interp", "interp_param { pad_beg: -4 pad_end: -3 }", "[0, 2] elements, shrink_factor 1"),
    bad("Interp", "interp_param { height: 0 width: 2 }", "output of [0, 2]; it is a height"),
    bad("Upsample", "upsample_param { scale: 0 }", "scale 0; at least 1"),
    bad("Convolution", "convolution_param { num_output: 1 }", "0 kernel_size for 2 spatial dime"),
    bad(
        "Convolution",
        "convolution_param { num_output: 1 kernel_h: 1 kernel_w: 1 kernel_size: 1 }",
        "kernel_h and kernel_w, beside 1 kernel_size, of 2 spatial dimensions; they stand alone",
    ),
    bad(
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 axis: 2 }",
        "axis 2 of a bottom of 4 dimensions; supported is 1 of 3 to 5",
        error=UnsupportedError,
    ),
    bad(
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 stride: 0 }",
        "kernel [1, 1], stride [0, 0], dilation [1, 1]; at least 1",
    ),
    bad("Convolution", "convolution_param { num_output: 6 group: 4 }", "6 input and 6 output chan"),
    bad(
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 1 }",
        "blob 0 is [2, 5, 1, 1]; weights are [2, 6, 1, 1] by its parameters",
        (2, 5, 1, 1),
    ),
    bad("ConvolutionDepthwise", "convolution_param { num_output: 7 }", "num_output 7; 6 channels"),
    bad(
        "Deconvolution",
        "convolution_param { num_output: 2 kernel_size: 1 pad: 4 }",
        "pad [4, 4] leaves an output of [-1, 1]",
    ),
    bad(
        "Deconvolution",
        "convolution_param { num_output: 600 kernel_size: 2 dilation: 90 pad: 40 }",
        "constants that the file does not hold add up to 29811600 elements; at most 16777216",
    ),
    bad("InnerProduct", "", "num_output 0; at least 1"),
    prior("min_size: 3 aspect_ratio: 0", "aspect_ratio 0; it is positive"),
    prior("", "min_size [], max_size []; positive, at least one"),
    prior("min_size: 3 max_size: 2", "each max_size is the greater one"),
    prior("min_size: 3 img_size: 3 img_h: 2", "img_size beside img_h or img_w; a layer has eit"),
    prior("min_size: 3 step_h: 3", "step of 3 and 0; they are positive"),
    prior("min_size: 3", "cells 3x4 of an image []; at least one pixel each", y=(1, 3)),
    prior("min_size: 3 variance: 1 variance: 1", "variance [1.0, 1.0]; 1 or 4 positive numbers"),
    prior(
        "min_size: 3",
        "constants that the file does not hold add up to 400000000 elements; at most 16777216",
        x=(1, 1, 10000, 5000),
    ),
)


@pytest.mark.parametrize(
    "i", range(len(LAYERS)), ids=[f"{i} {t}" for i, (t, _) in enumerate(LAYERS)]
)
def test_layer_is_refused(i: int, tmp_path: Path) -> None:
    type, refused = LAYERS[i]
    blobs = {type: [draw(RNG, *shape) for shape in refused.weights]}
    with pytest.raises(ModelError, match=re.escape(refused.message)) as caught:
        read(tmp_path, prototxt(refused.text, refused.inputs), blobs)
    assert caught.type is refused.error
    assert f"layer '{type}' ({type}): " in str(caught.value)


NETWORKS: dict[str, tuple[str, str]] = {
    "both generations": (
        'layer { name: "a" type: "ReLU" } layers { name: "b" type: RELU }',
        "it has both 'layer' and 'layers'",
    ),
    "include and exclude": (
        'layer { name: "a" type: "ReLU" include { phase: TEST } exclude { phase: TRAIN } }',
        "layer 'a' (ReLU): it has both include and exclude; a layer has one of them",
    ),
    "no outputs": ('input: "x" input_shape { dim: 2 }', "the network has no outputs"),
    "two kinds of shapes": (
        'input: "x" input_shape { dim: 2 } input_dim: 2',
        "it has both input_shape and input_dim",
    ),
    "few dimensions": ('input: "x" input_dim: 2', "1 input_dim for 1 inputs; one shape, of four"),
    "few shapes": (
        'input: "x" input: "y" input_shape { dim: 2 }',
        "1 input_shape for 2 inputs; one shape, of four input_dim, each",
    ),
    "shapes of tops": (
        'layer { name: "a" type: "Input" top: "x" top: "y" top: "z" '
        "input_param { shape { dim: 1 } shape { dim: 1 } } }",
        "layer 'a' (Input): 2 shapes or fillers for 3 tops; 1, or one each",
    ),
    "the same input": (
        'input: "x" input_shape { dim: 2 } layer { name: "a" type: "Input" top: "x" }',
        "layer 'a' (Input): blob 'x' is there already",
    ),
    "a negative size": ('input: "x" input_shape { dim: -2 }', "input 'x': shape [-2]; at most 8"),
    "sizes beside 0": (
        'input: "x" input_shape { dim: 0 dim: 1099511627776 dim: 1099511627776 }',
        "input 'x': computed tensors add up to 4835703278458516698824704 bytes; at most 4294967296",
    ),
    "a filler": (
        'layer { name: "a" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } '
        'data_filler { type: "xavier" } } }',
        "layer 'a' (DummyData): filler 'xavier'; supported is 'constant'",
    ),
    "a shape of constants": (
        'layer { name: "a" type: "DummyData" top: "x" dummy_data_param { shape { dim: -1 } } }',
        "layer 'a' (DummyData): shape [-1]; at most 8 dimensions, none negative",
    ),
    "constants beside 0": (
        'layer { name: "a" type: "DummyData" top: "x" dummy_data_param { '
        "shape { dim: 0 dim: 99999999 } } }",
        "layer 'a' (DummyData): constants that the file does not hold add up to 99999999",
    ),
    "large constants": (
        'layer { name: "a" type: "DummyData" top: "x" dummy_data_param { '
        "shape { dim: 20000000 } } }",
        "layer 'a' (DummyData): constants that the file does not hold add up to 20000000",
    ),
    "the oldest generation": (
        'layers { layer { name: "conv" type: "conv" } }',
        "layer 'conv': layers within 'layers' (V0LayerParameter); convert the file",
    ),
    "no text": ("layer { name: }", "it is no network of Caffe: 1:15 : 'layer { name: }'"),
    "a wrong value": (
        "layer { pooling_param { pool: LEAST } }",
        "has no value named LEAST",
    ),
    "a long line": (f"layer {{ name: {'9' * 5000} }}", "999 ... 999"),
    "nested too deep": ("layer {" + " a {" * 2000, "it is no network of Caffe: messages nest too"),
    "no blob's shape": (
        'layer { name: "x" type: "Data" top: "x" data_param { batch_size: 4 } }',
        "input 'x': the file does not say its shape; give one, such as shapes={'x': (1, 3, 224",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_refused(name: str, tmp_path: Path) -> None:
    text, message = NETWORKS[name]
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        load(write(tmp_path, text))
    assert len(str(caught.value)) < 500


def one_blob(**fields: Any) -> bytes:
    net = messages()["NetParameter"](name="n")
    net.layer.add(name="Bias").blobs.add(**fields)
    return bytes(net.SerializeToString())


FOUR = np.zeros(4, np.float32).tobytes()
BLOBS = {
    "few bytes": (
        {"shape": {"dim": [6]}, "data": [FOUR]},
        "layer 'Bias' (Bias): blob 0: 16 bytes of elements for its shape [6]; it needs 24",
    ),
    "a negative shape": ({"shape": {"dim": [-1, -4]}, "data": [FOUR]}, "for its shape [-1, -4]"),
    "sizes beside 0": (
        {"shape": {"dim": [0, 2**40, 2**40]}},
        "shape [0, 1099511627776, 1099511627776]; at most 32 dimensions and 2147483647 elements",
    ),
    "many dimensions": ({"shape": {"dim": [1] * 33}, "data": [bytes(4)]}, "at most 32 dimensions"),
    "another type": (
        {"shape": {"dim": [4]}, "raw_data": FOUR, "raw_data_type": 3},
        "layer 'Bias' (Bias): blob 0: raw_data_type 3; supported are DOUBLE, FLOAT, FLOAT16",
    ),
}


@pytest.mark.parametrize("name", BLOBS)
def test_blob_is_refused(name: str, tmp_path: Path) -> None:
    fields, message = BLOBS[name]
    path = write(tmp_path, prototxt(layer("Bias"), {"x": IMAGE}))
    path.with_suffix(".caffemodel").write_bytes(one_blob(**fields))
    with pytest.raises(ModelError, match=re.escape(message)):
        load(path)


DETECTIONS = {
    "priors": ((2, 8), (2, 4), (1, 3, 8), "priors [1, 3, 8]; they are [1, 2, 4 * priors]"),
    "counts": ((2, 8), (2, 5), (1, 2, 8), "locations [2, 8], confidences [2, 5] for 2 priors and"),
}


@pytest.mark.parametrize("name", DETECTIONS)
def test_detections_are_refused(name: str, tmp_path: Path) -> None:
    *shapes, message = DETECTIONS[name]
    text = layer("DetectionOutput", "detection_output_param { num_classes: 2 }", "x y z")
    with pytest.raises(ModelError, match=re.escape(message)):
        read(tmp_path, prototxt(text, dict(zip("xyz", shapes, strict=True))))


def test_nothing_reads_detections(tmp_path: Path) -> None:
    text = layer("DetectionOutput", "detection_output_param { num_classes: 2 }", "x y z")
    shapes = {"x": (1, 8), "y": (1, 4), "z": (1, 2, 8)}
    with pytest.raises(UnsupportedError, match="bottom 'out' are detections, whose number only"):
        read(tmp_path, prototxt(text + layer("ReLU", "", "out", "y2"), shapes))


def test_broken_weights(tmp_path: Path) -> None:
    path = write(tmp_path, prototxt(layer("ReLU"), {"x": IMAGE}))
    path.with_suffix(".caffemodel").write_bytes(b"\x0a\x7fabc")
    with pytest.raises(
        ModelError, match=r"net.prototxt: .*net.caffemodel: it is no network of Caffe"
    ):
        load(path)


def test_weights_in_hdf5(tmp_path: Path) -> None:
    path = write(tmp_path, prototxt(layer("ReLU"), {"x": IMAGE}))
    weights = tmp_path / "net.caffemodel.h5"
    weights.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UnsupportedError, match="weights in HDF5; Caffe's snapshot_format BINARY"):
        load(path, weights=weights)


def test_text_is_unicode(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'name: "\xff"')
    with pytest.raises(ModelError, match="it is no network of Caffe: 'utf-8' codec"):
        load(path)


def test_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(prototxt(layer("Bias"), {"x": IMAGE}))
    with pytest.raises(InputError, match=r"net\.caffemodel': give its path as weights"):
        load(path)
    with pytest.raises(InputError, match="bytes alone: give its path as weights"):
        load(path.read_bytes())
    with pytest.raises(InputError, match=r"looked for the other one in 'other\.caffemodel'"):
        load(path, weights="other.caffemodel")


def test_two_files_of_one_kind(tmp_path: Path) -> None:
    path = write(tmp_path, prototxt(layer("ReLU"), {"x": IMAGE}))
    weights = path.with_suffix(".caffemodel")
    with pytest.raises(InputError, match=r"both files are networks \(\.prototxt\); a network has"):
        load(path, weights=path)
    with pytest.raises(InputError, match=r"both files are weights \(\.caffemodel\); a network"):
        load(weights, weights=weights)


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    weights: dict[str, Sequence[Array]] = {"InnerProduct": [draw(RNG, 3, 4)]}
    text = layer("InnerProduct", "inner_product_param { num_output: 3 bias_term: false }")
    path = write(tmp_path, prototxt(text, {"x": (2, 4)}), weights)
    assert load(path, shapes={"x": (5, 4)}).outputs[0].type.shape == (5, 3)
    with pytest.raises(InputError, match=r"cannot take inputs of shapes \{'x': \[2, 5\]\}: layer"):
        load(path, shapes={"x": (2, 5)})
    with pytest.raises(InputError, match=r"no input is named 'z'; the file has \['x'\]"):
        load(path, shapes={"z": (2, 5)})


def test_unsupported_layers_stay_so_with_shapes(tmp_path: Path) -> None:
    path = write(tmp_path, prototxt(layer("Python"), {"x": (2, 4)}))
    with pytest.raises(UnsupportedError, match="layers of this type"):
        load(path, shapes={"x": (5, 4)})


def test_weights_alone_say_shapes(tmp_path: Path) -> None:
    net = messages()["NetParameter"](name="n")
    net.layer.add(name="data", type="Data", top=["data"])
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    with pytest.raises(UnsupportedError, match=r"give one, such as .*, or its \.prototxt as wei"):
        load(path)


def test_blob_helper_matches_the_schema() -> None:
    message = messages()["BlobProto"]()
    blob(message, np.zeros((2, 3), np.float32))
    assert list(message.shape.dim) == [2, 3]
    assert caffemodel({"a": [np.zeros(2)]}).count(bytes(8)) == 1
