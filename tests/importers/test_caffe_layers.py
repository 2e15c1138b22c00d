"""Every layer of Caffe equals OpenCV's dnn module, or Caffe's documented formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_files import caffemodel, draw, layer, opencv, prototxt, read

from edgewise.graph import Array
from edgewise.importers.caffe_layers import layers
from edgewise.ops.control import evaluate

RNG = np.random.default_rng(5)
IMAGE = (2, 6, 7, 9)
TOLERANCE = 2e-6
"""Of an output's range."""

Formula = Callable[..., Any]


def blobs(*shapes: tuple[int, ...]) -> list[Array]:
    return [draw(RNG, *shape) for shape in shapes]


@dataclass
class Case:
    """A layer, what it is given, and its result.

    ``formula`` gives the tops for the inputs; without one OpenCV does.
    """

    text: str
    weights: Sequence[Array] = ()
    inputs: Mapping[str, Sequence[int]] = field(default_factory=lambda: {"x": IMAGE})
    formula: Formula | None = None
    given: Callable[[Array], Array] = lambda x: x

    @property
    def type(self) -> str:
        return self.text.split('type: "')[1].split('"')[0]

    def check(self, folder: Path) -> None:
        text, weights = prototxt(self.text, self.inputs), {self.type: self.weights}
        graph = read(folder, text, weights)
        arrays = [self.given(draw(RNG, *shape)) for shape in self.inputs.values()]
        results = evaluate(graph, arrays)
        if self.formula is None:
            expected = opencv(
                text, caffemodel(weights), dict(zip(self.inputs, arrays, strict=True))
            )
            results = results[:1]
        else:
            found = self.formula(*(a.astype(np.float64) for a in arrays))
            expected = found if isinstance(found, list) else [found]
        for y, z in zip(results, expected, strict=True):
            assert y.dtype == np.float32
            assert y.shape == z.shape
            np.testing.assert_allclose(y, z, rtol=0, atol=TOLERANCE * max(1, np.abs(z).max()))


def conv(params: str, *shapes: tuple[int, ...], type: str = "Convolution") -> Case:
    return Case(layer(type, f"convolution_param {{ {params} }}"), blobs(*shapes))


def pool(params: str) -> Case:
    return Case(layer("Pooling", f"pooling_param {{ {params} }}"))


def one(type: str, params: str = "", *shapes: tuple[int, ...], **more: Any) -> Case:
    return Case(layer(type, params), blobs(*shapes), **more)


def two(type: str, params: str, y: tuple[int, ...], **more: Any) -> Case:
    return Case(layer(type, params, "x y"), inputs={"x": IMAGE, "y": y}, **more)


def product(params: str, *shapes: tuple[int, ...], formula: Formula | None = None) -> Case:
    return one("InnerProduct", f"inner_product_param {{ {params} }}", *shapes, formula=formula)


def arg_max(x: Array) -> Array:
    """The index of the last greatest element along the last axis."""
    return x.shape[-1] - 1 - x[..., ::-1].argmax(axis=-1)


def coarse(x: Array) -> Array:
    """Few different values: many are equal."""
    return np.round(x)


def indices(x: Array) -> Array:
    return np.clip(np.abs(np.round(2 * x)), 0, 4)


BIAS = draw(RNG, 6)
BATCH = [draw(RNG, 6), np.abs(draw(RNG, 6)), np.array([2.0], np.float32)]
TRANSPOSED = draw(RNG, 378, 5)
TABLE = blobs((5, 4), (4,))
BN = "batch_norm_param { eps: 0.001 }"
POOLS = {
    f"{method} {name}": pool(f"pool: {method} {params}")
    for method in ("MAX", "AVE")
    for name, params in {
        "ceil": "kernel_size: 2 stride: 2",
        "ceil of three": "kernel_size: 3 stride: 2",
        "padded": "kernel_size: 3 stride: 2 pad: 1",
        "clipped": "kernel_size: 2 stride: 2 pad: 1",
        "floor": "kernel_size: 2 stride: 2 ceil_mode: false",
        "by sides": "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 2 pad_w: 1",
        "global": "global_pooling: true",
    }.items()
}


def windows_floor(x: Array) -> Array:
    return x[:, :, :6, :8].reshape(2, 6, 3, 2, 4, 2).max(axis=(3, 5))


CASES: dict[str, Case] = {
    "convolution": conv("num_output: 4 kernel_size: 3 pad: 1 stride: 2", (4, 6, 3, 3), (4,)),
    "convolution of groups": conv(
        "num_output: 4 kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 stride_h: 1 stride_w: 2 "
        "dilation: 2 group: 2 bias_term: false",
        (4, 3, 3, 2),
    ),
    "convolution by repeated sizes": conv(
        "num_output: 4 kernel_size: 3 kernel_size: 1 pad: 0 pad: 1 stride: 2 stride: 1",
        (4, 6, 3, 1),
        (4,),
    ),
    "depthwise by groups": conv("num_output: 12 kernel_size: 3 group: 6", (12, 1, 3, 3), (12,)),
    "ConvolutionDepthwise": conv(
        "num_output: 6 kernel_size: 3 pad: 1", (6, 1, 3, 3), (6,), type="ConvolutionDepthwise"
    ),
    "deconvolution": conv(
        "num_output: 4 kernel_size: 4 pad: 1 stride: 2", (6, 4, 4, 4), (4,), type="Deconvolution"
    ),
    "deconvolution of groups": conv(
        "num_output: 6 group: 6 kernel_size: 4 pad: 1 stride: 2 bias_term: false",
        (6, 1, 4, 4),
        type="Deconvolution",
    ),
    "deconvolution dilated": Case(
        layer(
            "Deconvolution",
            "convolution_param { num_output: 1 kernel_size: 2 dilation: 3 bias_term: false }",
        ),
        [np.ones((6, 1, 2, 2), np.float32)],
        formula=lambda x: sum(
            np.pad(x.sum(1, keepdims=True), ((0, 0), (0, 0), (a, 3 - a), (b, 3 - b)))
            for a in (0, 3)
            for b in (0, 3)
        ),
    ),
    "inner product": product("num_output: 5", (5, 378), (5,)),
    "inner product along an axis": product("num_output: 5 axis: 2", (5, 63), (5,)),
    "inner product transposed": Case(
        layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true bias_term: 0 }"),
        [TRANSPOSED],
        formula=lambda x: x.reshape(2, 378) @ TRANSPOSED,
    ),
    **POOLS,
    "pooling by round mode": Case(
        layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }"),
        formula=windows_floor,
    ),
    "pooling clipped along both sides": one(
        "Pooling",
        "pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 8 stride_w: 3 pad_h: 1 pad_w: 0 }",
        formula=lambda x: np.stack(
            [x[:, :, :2, i : i + 2].max(axis=(2, 3)) for i in (0, 3, 6)], axis=-1
        )[:, :, None],
    ),
    "LRN": one("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"),
    "LRN with k": one(
        "LRN",
        "lrn_param { local_size: 1 alpha: 0.5 k: 2 beta: 2 }",
        formula=lambda x: x / (2 + 0.5 * x * x) ** 2,
    ),
    "LRN of channels": one(
        "LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"
    ),
    "interp": one("Interp", "interp_param { height: 13 width: 15 }"),
    "interp of one pixel": one("Interp", "interp_param { height: 1 width: 15 }"),
    "interp zoomed": one("Interp", "interp_param { zoom_factor: 2 }"),
    "interp shrunk": one(
        "Interp",
        "interp_param { shrink_factor: 2 }",
        formula=lambda x: x[:, :, ::2, ::2],
    ),
    "interp both": one(
        "Interp",
        "interp_param { shrink_factor: 2 zoom_factor: 2 }",
        formula=lambda x: x,
    ),
    "interp cut": one(
        "Interp",
        "interp_param { pad_beg: -1 pad_end: -2 height: 4 width: 6 }",
        formula=lambda x: x[:, :, 1:-2, 1:-2],
    ),
    "interp to a bottom": two("Interp", "", (1, 1, 4, 5), formula=lambda x, y: x[:, :, ::2, ::2]),
    "upsample": one(
        "Upsample",
        "upsample_param { scale: 2 }",
        formula=lambda x: x.repeat(2, axis=2).repeat(2, axis=3),
    ),
    "batch norm": Case(layer("BatchNorm", BN), BATCH),
    "batch norm without samples": Case(
        layer("BatchNorm", BN),
        [*BATCH[:2], np.zeros(1, np.float32)],
        formula=lambda x: x / np.sqrt(0.001),
    ),
    "batch norm of the batch": Case(
        layer("BatchNorm", "batch_norm_param { use_global_stats: false }"),
        formula=lambda x: (
            (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
        ),
    ),
    "scale": one("Scale", "scale_param { bias_term: true }", (6,), (6,)),
    "scale of the last axes": Case(
        layer("Scale", "scale_param { axis: 2 num_axes: -1 }"),
        [np.arange(63, dtype=np.float32).reshape(7, 9)],
        formula=lambda x: x * np.arange(63).reshape(7, 9),
    ),
    "scale by a number": Case(
        layer("Scale", "scale_param { num_axes: 0 }"),
        [np.array(3, np.float32)],
        formula=lambda x: 3 * x,
    ),
    "scale by a bottom": two("Scale", "scale_param { axis: 0 }", (2, 6)),
    "scale by a bottom, and bias": Case(
        layer("Scale", "scale_param { bias_term: true }", "x y"),
        [BIAS],
        {"x": IMAGE, "y": (6,)},
        lambda x, y: x * y[:, None, None] + BIAS[:, None, None],
    ),
    "scale by a scalar": two("Scale", "scale_param { axis: 2 }", (), formula=lambda x, y: x * y),
    "bias": Case(layer("Bias"), [BIAS], formula=lambda x: x + BIAS[:, None, None]),
    "bias of a bottom": two("Bias", "bias_param { axis: -1 }", (9,), formula=lambda x, y: x + y),
    "PReLU": one("PReLU", "", (6,)),
    "PReLU shared": one("PReLU", "prelu_param { channel_shared: true }", (1,)),
    "ReLU": one("ReLU"),
    "ReLU with a slope": one("ReLU", "relu_param { negative_slope: 0.2 }"),
    "ReLU6": one("ReLU6", given=lambda x: 5 * x),
    "ELU": one("ELU"),
    "ELU scaled": one("ELU", "elu_param { alpha: 0.5 }"),
    "Sigmoid": one("Sigmoid"),
    "TanH": one("TanH"),
    "AbsVal": one("AbsVal"),
    "BNLL": one("BNLL", given=lambda x: 30 * x),
    "Swish": one("Swish"),
    "Swish scaled": one(
        "Swish", "swish_param { beta: 2 }", formula=lambda x: x / (1 + np.exp(-2 * x))
    ),
    "Threshold": one("Threshold", "threshold_param { threshold: 0.5 }", formula=lambda x: x > 0.5),
    "Clip": one("Clip", "clip_param { min: -0.5 max: 1 }", formula=lambda x: x.clip(-0.5, 1)),
    "Power": one("Power", "power_param { scale: 0.1 shift: 3 power: 1.5 }"),
    "Power of one": one("Power", "power_param { scale: 0.1 shift: 3 }"),
    "Power of two": one("Power", "power_param { power: 2 }"),
    "square root": one("Power", "power_param { power: 0.5 }", given=np.abs),
    "Exp": one("Exp", "exp_param { scale: 0.1 shift: 0.3 base: 2 }"),
    "Exp of e": one("Exp"),
    "Log": one(
        "Log",
        "log_param { scale: 0.1 shift: 3 base: 2 }",
        formula=lambda x: np.log2(3 + 0.1 * x),
    ),
    "Log of e": one("Log", given=np.abs),
    "MVN": one("MVN"),
    "MVN across channels": one("MVN", "mvn_param { across_channels: true }"),
    "MVN of the mean": one("MVN", "mvn_param { normalize_variance: false }"),
    "Normalize": one(
        "Normalize", "norm_param { across_spatial: false channel_shared: false }", (6,)
    ),
    "Normalize of images": one("Normalize", "", (1,)),
    "Softmax": one("Softmax"),
    "Softmax along an axis": one("Softmax", "softmax_param { axis: -1 }"),
    **{
        f"Eltwise {operation}": two("Eltwise", f"eltwise_param {{ operation: {operation} }}", IMAGE)
        for operation in ("SUM", "PROD", "MAX")
    },
    "Eltwise with coefficients": two("Eltwise", "eltwise_param { coeff: 0.5 coeff: -2 }", IMAGE),
    **{
        f"Reduction {name}": one(
            "Reduction",
            f"reduction_param {{ operation: {name} axis: {axis} coeff: 0.5 }}",
            formula=formula,
        )
        for name, axis, formula in (
            ("SUM", 0, lambda x: 0.5 * x.sum()),
            ("ASUM", 1, lambda x: 0.5 * np.abs(x).sum((1, 2, 3))),
            ("SUMSQ", 2, lambda x: 0.5 * (x * x).sum((2, 3))),
            ("MEAN", -1, lambda x: 0.5 * x.mean(3)),
        )
    },
    "ArgMax": one(
        "ArgMax", given=coarse, formula=lambda x: arg_max(x.reshape(2, 378)).reshape(2, 1, 1)
    ),
    "ArgMax with values": one(
        "ArgMax",
        "argmax_param { out_max_val: true top_k: 2 }",
        formula=lambda x: np.stack(
            [np.argsort(-x.reshape(2, 378))[:, :2], -np.sort(-x.reshape(2, 378))[:, :2]], axis=1
        ),
    ),
    "ArgMax along an axis": one(
        "ArgMax",
        "argmax_param { axis: 1 }",
        given=coarse,
        formula=lambda x: arg_max(np.moveaxis(x, 1, -1))[:, None],
    ),
    "values along an axis": one(
        "ArgMax",
        "argmax_param { axis: 1 out_max_val: true top_k: 3 }",
        formula=lambda x: -np.sort(-x, axis=1)[:, :3],
    ),
    "Concat": two("Concat", "concat_param { axis: 2 }", (2, 6, 3, 9)),
    "Concat by its older name": two(
        "Concat",
        "concat_param { concat_dim: 3 }",
        (2, 6, 7, 2),
        formula=lambda x, y: np.concatenate([x, y], axis=3),
    ),
    "Slice": Case(
        layer("Slice", "slice_param { axis: 2 slice_point: 2 slice_point: 3 }", tops="a b c"),
        formula=lambda x: [x[:, :, :2], x[:, :, 2:3], x[:, :, 3:]],
    ),
    "Slice into halves": Case(
        layer("Slice", "slice_param { slice_dim: 1 }", tops="a b"),
        formula=lambda x: [x[:, :3], x[:, 3:]],
    ),
    "Slice into one": one("Slice", formula=lambda x: x),
    "Crop": two("Crop", "crop_param { offset: 1 offset: 2 }", (2, 6, 3, 4)),
    "Crop by one offset": two("Crop", "crop_param { axis: 1 offset: 1 }", (2, 3, 4, 5)),
    "Permute": one("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "Permute in part": one(
        "Permute", "permute_param { order: 2 }", formula=lambda x: x.transpose(2, 0, 1, 3)
    ),
    "Flatten": one("Flatten"),
    "Flatten in part": one("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    "Reshape": one("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 9 } }"),
    "Reshape in part": one(
        "Reshape", "reshape_param { shape { dim: 3 dim: -1 } axis: 1 num_axes: 2 }"
    ),
    "Reshape after the last": one(
        "Reshape",
        "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }",
        formula=lambda x: x[..., None],
    ),
    "Tile": one("Tile", "tile_param { tiles: 2 }", formula=lambda x: np.tile(x, (1, 2, 1, 1))),
    "ShuffleChannel": one("ShuffleChannel", "shuffle_channel_param { group: 3 }"),
    "Embed": Case(
        layer("Embed", "embed_param { num_output: 4 input_dim: 5 }"),
        TABLE,
        {"x": (3, 2)},
        lambda x: TABLE[0][x.astype(int)] + TABLE[1],
        indices,
    ),
    "Dropout": one("Dropout"),
    "Split": Case(layer("Split", tops="a b"), formula=lambda x: [x, x]),
    "PriorBox": Case(
        layer(
            "PriorBox",
            "prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 0.5 "
            "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 clip: true }",
            "x y",
        ),
        inputs={"x": (1, 6, 5, 4), "y": (1, 3, 100, 80)},
    ),
    "PriorBox with steps": Case(
        layer(
            "PriorBox",
            "prior_box_param { min_size: 30 min_size: 50 aspect_ratio: 3 flip: false variance: 0.2 "
            "clip: false step: 16 offset: 0.25 }",
            "x y",
        ),
        inputs={"x": (1, 6, 5, 4), "y": (1, 3, 100, 80)},
    ),
    "PriorBox of a stated image": Case(
        layer("PriorBox", "prior_box_param { min_size: 8.9 img_w: 32 img_h: 16 }", "x y"),
        inputs={"x": (1, 6, 1, 1), "y": (1, 3, 100, 80)},
        formula=lambda x, y: np.array([[[0.375, 0.25, 0.625, 0.75], [0.1] * 4]]).reshape(1, 2, 4),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name: str, tmp_path: Path) -> None:
    CASES[name].check(tmp_path)


def test_every_layer_has_a_case() -> None:
    elsewhere = {"DetectionOutput", "DepthwiseConvolution"}
    assert {case.type for case in CASES.values()} == set(layers()) - elsewhere


def test_both_names_of_depthwise_convolutions_are_one() -> None:
    assert layers()["DepthwiseConvolution"] == layers()["ConvolutionDepthwise"]
