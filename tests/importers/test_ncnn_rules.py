"""What ncnn's layers and files must keep to; a refusal names the layer, the value and the rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ncnn_files import flagged, one_layer, raw

from edgewise.errors import InputError, ModelError, UnsupportedError
from edgewise.importers import load

IMAGE = (4, 6, 8)
CONV = {0: 4, 1: 3, 6: 144}
ZEROS = bytes(4096)

BROKEN: list[tuple[str, tuple[tuple[int, ...], ...], Mapping[int, Any], bytes, str]] = [
    ("CELU", (IMAGE,), {0: 0.0}, b"", "alpha is 0; it divides"),
    ("Log", (IMAGE,), {0: -3.0}, b"", "base -3.0; it is positive and not 1, or -1 for e"),
    ("ReLU", (IMAGE,), {0: [1]}, b"", "parameter 0 is (1,); it must be a number"),
    ("Reduction", (IMAGE,), {0: "sum"}, b"", "parameter 0 is 'sum'; it must be a number"),
    ("Reduction", (IMAGE,), {1: 0, 3: 1, 5: 1}, b"", "parameter 3 is 1; it must be an array"),
    ("Softmax", (IMAGE,), {0: 0.5}, b"", "parameter 0 is 0.5; it must be a whole number"),
    ("Softmax", (IMAGE,), {0: 3}, b"", "axis 3; it lies between -3 and 2"),
    ("LRN", ((4, 6),), {}, b"", "input 0 has 2 dimensions; it must have 3"),
    ("Scale", (IMAGE,), {0: -233}, b"", "1 inputs; it needs input 1"),
    ("Eltwise", (IMAGE, IMAGE), {0: 1, 1: [1.0]}, b"", "1 coefficients of 2 inputs"),
    ("BinaryOp", (IMAGE, (5,)), {}, b"", "ADD: .*broadcast"),
    ("Bias", (IMAGE,), {0: 0}, b"", "weights of shape [0]; each dimension is at least 1"),
    ("Bias", (IMAGE,), {0: 4}, bytes(12), "16 bytes of weights at 0; the file of weights has 12"),
    ("Convolution", (IMAGE,), CONV, bytes(100), "576 bytes of weights at 4; the file of weights"),
    ("Convolution", (IMAGE,), {**CONV, 1: 0}, b"", "window [0, 0], stride [1, 1], dilation [1, 1]"),
    ("Convolution", (IMAGE,), {**CONV, 0: 0}, b"", "4 input and 0 output channels in 1 groups"),
    ("Convolution", (IMAGE,), {**CONV, 6: 1}, b"", "1 weights; [4, 4, 3, 3] are 144"),
    ("Convolution", (IMAGE,), {**CONV, 4: -1}, ZEROS, "pads [-1, -1] and [-1, -1]; they are not"),
    (
        "Convolution",
        (IMAGE,),
        {**CONV, 9: 2},
        ZEROS,
        "activation LeakyReLU has 1 parameters; 0 given",
    ),
    ("Convolution", (IMAGE, (5,)), {**CONV, 19: 1}, b"", "weights [1, 5]; they must have the size"),
    ("ConvolutionDepthWise", (IMAGE,), {**CONV, 7: 3}, b"", "output channels in 3 groups"),
    ("Deconvolution", (IMAGE,), {**CONV, 0: 0}, b"", "4 input and 0 output channels in 1 groups"),
    ("Deconvolution", (IMAGE,), {**CONV, 4: 9}, ZEROS, "of [8, 10] elements; some must be left"),
    (
        "Deconvolution",
        (IMAGE,),
        {**CONV, 4: -233, 20: 99},
        ZEROS,
        "output [99, 99]; it is made of [8, 10] elements",
    ),
    ("InnerProduct", (IMAGE,), {0: 5, 2: 12}, b"", "12 weights of 5 outputs, which must divide"),
    ("InnerProduct", (IMAGE,), {0: 2, 2: 12}, b"", "input [4, 6, 8], weights of depth 6"),
    ("Pooling", (IMAGE,), {0: 2, 1: 2}, b"", "pooling_type 2; it is 0 or 1"),
    ("Pooling", (IMAGE,), {}, b"", "window [0, 0] and stride [1, 1]; both are at least 1"),
    ("Pooling", (IMAGE,), {1: 2, 5: 4}, b"", "pad_mode 4; it is 0 to 3"),
    ("Pooling", (IMAGE,), {1: 2, 3: -1}, b"", "pads [-1, -1] and [-1, -1]; they are not"),
    ("Pooling", (IMAGE,), {7: 1, 8: 5000}, b"", "output [5000, 5000]; each dimension is 1 to 4096"),
    ("Interp", (IMAGE,), {0: 1, 1: 1e9}, b"", "sides are 1 to 65536"),
    ("Interp", (IMAGE,), {0: 1, 1: 3e38}, b"", "sides are 1 to 65536"),
    ("Interp", (IMAGE,), {0: 1, 3: 70000, 4: 1}, b"", "sides of [70000, 1]; they are 1 to 65536"),
    ("PixelShuffle", (IMAGE,), {0: 3}, b"", "4 channels, factor 3; its square must divide them"),
    ("Reorg", (IMAGE,), {0: 4}, b"", "6x8 pixels, stride 4; it must divide them"),
    ("ShuffleChannel", (IMAGE,), {0: 3}, b"", "4 channels in 3 groups, which must divide them"),
    ("Concat", (IMAGE, (4, 5, 8)), {}, b"", "CONCATENATION: "),
    ("Slice", (IMAGE,), {0: [9]}, b"", "slices at [0, 9] of 4 elements for 1 outputs"),
    ("Crop", (IMAGE,), {0: 9, 3: 4, 4: 6, 5: 4}, b"", "-1 elements from 9 of 8; at least 1"),
    ("Crop", (IMAGE,), {9: [1], 10: [2, 3]}, b"", "1 starts, 2 ends, 1 axes"),
    ("Padding", (IMAGE,), {0: -1}, b"", "they are not negative"),
    ("Padding", (IMAGE,), {0: 1, 4: 3}, b"", "type 3; it is 0 to 2"),
    ("Padding", (IMAGE,), {0: 70000, 4: 1}, b"", "dimensions stay within 65536"),
    ("Permute", (IMAGE,), {0: 6}, b"", "order 6; it is 0 to 5"),
    ("Reshape", (IMAGE,), {}, b"", "0 dimensions are given; they are 1 to 4"),
    ("Reshape", (IMAGE,), {6: 1}, b"", "parameter 6 is 1; it must be text"),
    ("Reshape", (IMAGE,), {6: '"+(0w)"'}, b"", "expression '+(0w)': '+' takes 2 operands"),
    ("Reshape", (IMAGE,), {6: '"//(0w,0)"'}, b"", "expression '//(0w,0)': division by zero"),
    ("Reshape", (IMAGE,), {6: '"*(1e9,9)"'}, b"", "comes to 9000000000.0; sizes have 32 bits"),
    ("Reshape", (IMAGE,), {6: '"3w"'}, b"", "1 inputs; it needs input 3"),
    ("Reshape", (IMAGE,), {0: -1, 1: -1}, b"", "dimensions [-1, -1]; they are positive"),
    ("Reshape", (IMAGE,), {0: 5}, b"", "[4, 6, 8] has not the size of [5]; it must"),
    ("ExpandDims", (IMAGE,), {3: [0, 1]}, b"", "5 dimensions, new ones [0, 1]; there are 4"),
    ("Tile", (IMAGE,), {2: [1] * 5}, b"", "5 repeats; at most 4"),
    ("Tile", (IMAGE,), {1: 0}, b"", "repeats [0, 1, 1]; they are positive"),
    ("LayerNorm", (IMAGE,), {0: 5}, b"", "affine_size 5; rows are of 8"),
    ("GroupNorm", (IMAGE,), {0: 3, 1: 4}, b"", "4 channels in 3 groups; the input has 4"),
    ("Normalize", (IMAGE,), {4: 0}, b"", "neither across_spatial nor across_channel"),
    ("LRN", (IMAGE,), {1: 4}, b"", "local_size 4; it is odd, and 1 to 4096"),
    ("LRN", (IMAGE,), {0: 2}, b"", "region_type 2; it is 0 or 1"),
    ("ArgMax", (IMAGE,), {1: 999}, b"", "topk 999 of 192 elements"),
    ("Gemm", ((4, 6),), {}, b"", "1 inputs; it needs another one"),
    ("Gemm", (IMAGE, IMAGE), {}, b"", "a matrix of shape [4, 6, 8]; it must have 2 dimensions"),
    (
        "Gemm",
        ((4, 6),),
        {5: 1, 6: 1, 8: 2, 9: 6, 10: 5},
        ZEROS,
        "constant_broadcast_type_C 5; it is -1 to 4",
    ),
    ("MultiHeadAttention", ((4, 6),), {0: 6, 1: 4, 2: 36}, b"", "36 weights of embed_dim 6 in 4"),
    ("MultiHeadAttention", ((4, 6),), {0: 6, 2: 36, 5: 1}, b"", "0 inputs besides a mask; 1 to 3"),
    ("MultiHeadAttention", (IMAGE,), {0: 6, 2: 36}, b"", "inputs that are no sequences of rows"),
    ("SDPA", (IMAGE, (3, 6, 8), (3, 6, 8)), {}, b"", "4 heads in 3 groups, which divide them"),
    ("Einsum", ((3, 4),), {0: [105, 45, 62, 105]}, b"", "'i->i': input 0 has 2 dimensions"),
    ("Einsum", ((3, 4), (3,)), {0: list(b"ij,j->i")}, b"", "'ij,j->i': 'j' is 4 and 3"),
    (
        "Einsum",
        ((3, 4),),
        {0: list(b"ij->k")},
        b"",
        "'ij->k': a letter of the result is in no input",
    ),
    ("PriorBox", (IMAGE, IMAGE), {}, b"", "min_sizes [], max_sizes [], aspect_ratios []; all are"),
    ("PriorBox", (IMAGE, IMAGE), {0: [1.0], 9: 0}, b"", "an image of 0x0 pixels; at least 1x1"),
    ("GridSample", (IMAGE, IMAGE), {0: 4}, b"", "sample_type 4, padding_mode 1; both are 1 to 3"),
    ("Embed", ((4,),), {0: 2, 1: 3, 3: 5}, b"", "5 weights of 3 rows of 2"),
    ("GLU", ((5,),), {}, b"", "axis of 5 elements; it has two halves"),
    ("Fold", ((5, 6),), {1: 2, 20: 4}, b"", "5 rows of 4 taps, image [4, 4], pads [0, 0]"),
    ("Fold", ((4, 6),), {1: 2, 20: 4}, b"", "6 columns; the image [4, 4] has [3, 3] windows"),
    ("LSTM", ((4, 6),), {0: 2, 1: 9}, b"", "9 weights of 2 units in 1 directions for rows of 6"),
    ("LSTM", ((4, 6),), {2: 3}, b"", "direction 3; it is 0 to 2"),
    ("LSTM", ((4, 6), (1, 2)), {0: 2, 1: 48}, ZEROS, "2 inputs; it takes 1 or 3"),
    ("RNN", ((4, 6), (1, 3)), {0: 2, 1: 12}, ZEROS, "state [1, 3]; rows have 2 elements"),
]

NOT_YET: list[tuple[str, tuple[tuple[int, ...], ...], Mapping[int, Any], bytes, str]] = [
    ("DetectionOutput", (IMAGE,), {}, b"", "the layer is not supported"),
    ("Nonsense", (IMAGE,), {}, b"", "the layer is not supported"),
    ("BinaryOp", (IMAGE, IMAGE), {0: 17}, b"", "operation 17"),
    ("UnaryOp", (IMAGE,), {0: 28}, b"", "operation 28"),
    ("Eltwise", (IMAGE, IMAGE), {0: 4}, b"", "operation 4"),
    ("Reduction", (IMAGE,), {0: 11}, b"", "operation 11"),
    ("Reduction", (IMAGE,), {1: 0, 3: [1]}, b"", "axes of an old version"),
    ("Cast", (IMAGE,), {0: 1, 1: 4}, b"", "from element type 1 to 4; float32 and float16 are"),
    ("Convolution", (IMAGE,), {**CONV, 9: 7}, ZEROS, "activation 7"),
    ("Deconvolution", (IMAGE,), {**CONV, 28: 1}, b"", "weights that are computed"),
    ("Interp", (IMAGE,), {0: 4}, b"", "resize_type 4"),
    ("Padding", (IMAGE,), {6: 4}, b"", "values of each channel (parameter 6)"),
    ("Reshape", (IMAGE,), {6: '"gamma(0w)"'}, b"", "expression 'gamma(0w)': 'gamma'"),
    ("Reshape", (IMAGE,), {0: -1, 12: 0}, b"", "a batch that is moved (parameter 12)"),
    ("Reshape", (IMAGE,), {0: -1, 3: 1}, b"", "permute (parameter 3)"),
    ("ExpandDims", ((4,),), {0: 1}, b"", "dimensions that are no axes"),
    ("Normalize", (IMAGE,), {9: 3}, b"", "eps_mode 3"),
    ("Gemm", ((4, 6), (6, 4)), {18: 1}, b"", "weights of a few bits (parameter 18)"),
    ("MultiHeadAttention", ((4, 6),), {7: 1}, b"", "a cache of keys and values (parameter 7)"),
    ("Unfold", ((9999, 2, 2),), {1: 64}, b"", "windows [64, 64] of 9999 channels"),
    ("Einsum", ((3, 4),), {0: list(b"ab->a")}, b"", "the equation 'ab->a' of 1 inputs"),
    ("PriorBox", ((1, 999, 999),), {0: [1.0], 9: 8, 10: 8}, b"", "1 priors for each of 999x999"),
    ("GridSample", (IMAGE, IMAGE), {0: 3, 1: 2}, b"", "bicubic sampling with the border repeated"),
    ("GRU", ((4, 6),), {8: 2}, b"", "weights of int8 (parameter 8)"),
    (
        "Deconvolution",
        (IMAGE,),
        CONV,
        flagged(np.zeros(144, np.int8)),
        "weights of int8 without scales",
    ),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda c: f"{c[0]}-{c[4][:24]}")
def test_rule(case: tuple[str, Any, Any, bytes, str], tmp_path: Path) -> None:
    kind, shapes, parameters, weights, message = case
    net = one_layer(kind, shapes, parameters, weights)
    pattern = message if "*" in message else re.escape(message)
    with pytest.raises(ModelError, match=rf"layer 'layer' \({kind}\): .*{pattern}") as caught:
        load(net.save(tmp_path))
    assert not isinstance(caught.value, UnsupportedError)


@pytest.mark.parametrize("case", NOT_YET, ids=lambda c: f"{c[0]}-{c[4][:24]}")
def test_not_supported_yet(case: tuple[str, Any, Any, bytes, str], tmp_path: Path) -> None:
    kind, shapes, parameters, weights, message = case
    net = one_layer(kind, shapes, parameters, weights)
    with pytest.raises(UnsupportedError, match=rf"layer 'layer' \({kind}\): {re.escape(message)}"):
        load(net.save(tmp_path))


def lines(*rows: str) -> bytes:
    return "\n".join(["7767517", f"{len(rows)} {len(rows)}", *rows, ""]).encode()


INPUT = "Input in 0 1 x 0=4"

FILES: dict[str, tuple[bytes, str]] = {
    "no counts": (b"7767517\n", "line 2 of a .param must be the number of layers and that of"),
    "counts": (b"7767517\n1\n", "line 2 of a .param must be the number of layers and that of"),
    "no layers": (b"7767517\n0 0\n", "0 layers; the file has 0 lines of them"),
    "too few": (b"7767517\n3 3\n" + INPUT.encode(), "3 layers; the file has 1 lines of them"),
    "layer": (lines("Input in"), "line 'Input in': a layer is its type, name, and numbers of"),
    "names": (lines("ReLU r 1 1 x"), r"layer 'r' \(ReLU\): 1 inputs and 1 outputs, 1 names"),
    "parameter": (lines(INPUT + " 1:2"), r"layer 'in' \(Input\): '1:2' is no parameter"),
    "number": (lines(INPUT + " 64=2"), "parameter 64; they are numbered from 0 to 63"),
    "array": (lines(INPUT + " -23301=2,1"), "array '2,1'; it is a number of elements, and those"),
    "value": (lines(INPUT + " 1=99999999999"), "'99999999999' is no number of 32 bits"),
    "real": (lines(INPUT + " 1=1.2.3"), "'1.2.3' is no number of 32 bits"),
    "word": (lines(INPUT + " 1=$"), r"'\$' is no number of 32 bits"),
    "large": (lines("Input in 0 1 x 0=65536 1=65536"), "it has fewer than 2\\*\\*31 elements"),
    "whole": (lines(INPUT, "ELU r 1 1 x y", "Softmax s 1 1 y z 0=3.4e38"), "number of 32 bits"),
    "no value": (lines(INPUT, "ReLU r 1 1 y z"), r"\(ReLU\): input 'y' is used before it is"),
    "twice": (lines(INPUT, INPUT), "blob 'x' is already defined; a name is used once"),
    "itself twice": (lines(INPUT, "Split s 1 2 x y y"), "blob 'y' is already defined"),
    "inputs": (lines(INPUT, "ReLU r 0 1 y"), r"\(ReLU\): 0 inputs; it takes 1 to 1"),
    "outputs": (lines(INPUT, "ReLU r 1 2 x y z"), r"\(ReLU\): 2 outputs; it has 1"),
    "nothing": (lines("Input in 0 0"), "the network has no outputs"),
}


@pytest.mark.parametrize("name", FILES)
def test_file(name: str) -> None:
    data, message = FILES[name]
    with pytest.raises(ModelError, match=message):
        load(data)


def test_wrong_content_under_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_bytes(b"#version 1\nnothing\n")
    with pytest.raises(ModelError, match=r"a .param begins with '#version 1'; it must be 7767517"):
        load(path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    net = one_layer("Bias", (IMAGE,), {0: 4}, bytes(20))
    rule = "the layers take 16 bytes of weights; the file of weights has 20: it is another network"
    with pytest.raises(ModelError, match=rule):
        load(net.save(tmp_path))


def test_an_input_without_a_shape() -> None:
    data = lines("Input in 0 1 x", "ReLU r 1 1 x y")
    with pytest.raises(InputError, match=r"input 'x': the file states no shape of it; give one"):
        load(data)
    assert load(data, shapes={"x": (1, 3, 4, 5)}).outputs[0].type.shape == (1, 3, 4, 5)
    for shape in ((4,), (1, 2, 3, 4, 5, 6)):
        with pytest.raises(InputError, match=r"it is a batch and 1 to 4 dimensions"):
            load(data, shapes={"x": shape})
    with pytest.raises(InputError, match=r"no input is named 'z'; the file has \['x'\]"):
        load(data, shapes={"z": (1, 4)})


def test_shapes_that_the_network_cannot_take(tmp_path: Path) -> None:
    net = one_layer("InnerProduct", [(4,)], {0: 2, 2: 8}, flagged(np.zeros(8, np.float32)))
    path = net.save(tmp_path)
    with pytest.raises(InputError, match=r"cannot take inputs of shapes {'in0': \[1, 5\]}: layer"):
        load(path, shapes={"in0": (1, 5)})
    assert load(path).resized({"in0": (3, 4)}).outputs[0].type.shape == (3, 2)


def test_weights_are_needed_only_where_layers_have_some(tmp_path: Path) -> None:
    net = one_layer("Bias", [(4,)], {0: 4}, raw(np.zeros(4)))
    with pytest.raises(InputError, match="keeps network and weights in two files"):
        load(net.param)
    assert load(one_layer("ReLU", [(4,)]).param).outputs[0].name == "out0"
