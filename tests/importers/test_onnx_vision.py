"""ONNX's operators that read images between pixels, beside ONNX Runtime."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, single

import edgewise as ew
from edgewise.errors import ModelError, RunError, UnsupportedError


def real(*shape: int, seed: int = 1) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [0, 1])
def test_grid_sample(mode: str, padding: str, align: int) -> None:
    feeds = {"x": real(2, 3, 5, 6) / 4, "grid": real(2, 4, 7, 2, seed=2)}
    a = {"mode": mode, "padding_mode": padding, "align_corners": align}
    check(single("GridSample", feeds, opset=16, **a), feeds)
    newer = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    check(single("GridSample", feeds, opset=20, **{**a, "mode": newer}), feeds)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample_of_volumes(mode: str, padding: str) -> None:
    feeds = {"x": real(1, 2, 3, 4, 5), "grid": real(1, 2, 3, 4, 3, seed=2)}
    check(single("GridSample", feeds, opset=20, mode=mode, padding_mode=padding), feeds)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 2, 3, 4, 5)], ids=str)
def test_affine_grid(size: tuple[int, ...], align: int) -> None:
    dims = len(size) - 2
    theta = real(size[0], dims, dims + 1)
    given = {"size": np.array(size)}
    check(single("AffineGrid", {"t": theta}, given, opset=20, align_corners=align), {"t": theta})


ROIS = np.array([[0, 0, 6, 5], [1.5, 2, 4, 3.7], [-2, -2, 9, 9], [3, 3, 3, 3]], np.float32)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("sampling", [0, 2])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
def test_roi_align(mode: str, sampling: int, coordinates: str) -> None:
    x = real(2, 3, 6, 7)
    feeds = {"x": np.abs(x), "rois": ROIS, "batch": np.array([0, 1, 1, 0])}
    a: dict[str, Any] = {"output_height": 3, "output_width": 2, "spatial_scale": 0.8}
    a |= {"mode": mode, "sampling_ratio": sampling, "coordinate_transformation_mode": coordinates}
    check(single("RoiAlign", feeds, opset=16, **a), feeds)


def test_roi_align_of_old() -> None:
    feeds = {"x": real(1, 2, 6, 7), "rois": ROIS[:2], "batch": np.array([0, 0])}
    check(single("RoiAlign", feeds, opset=10, output_height=2, output_width=2), feeds)


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_max_roi_pool(scale: float) -> None:
    rois = np.concatenate([[[0], [1], [1], [0]], ROIS], 1).astype(np.float32)
    feeds = {"x": real(2, 3, 6, 7), "rois": rois}
    check(single("MaxRoiPool", feeds, pooled_shape=[2, 3], spatial_scale=scale), feeds)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 0, 1, 1], "strides": [2, 1]},
        {"group": 2, "dilations": [2, 1]},
        {"offset_group": 2, "pads": [1, 1, 1, 1]},
    ],
    ids=str,
)
@pytest.mark.parametrize("extras", [0, 1, 2])
def test_deform_conv(attributes: dict[str, Any], extras: int) -> None:
    (n, c, h, w), (kh, kw) = (2, 4, 6, 5), (3, 2)
    pads, strides = attributes.get("pads", [0] * 4), attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    oh = (h + pads[0] + pads[2] - (kh - 1) * dilations[0] - 1) // strides[0] + 1
    ow = (w + pads[1] + pads[3] - (kw - 1) * dilations[1] - 1) // strides[1] + 1
    taps = attributes.get("offset_group", 1) * kh * kw
    feeds = {
        "x": real(n, c, h, w) / 4,
        "w": real(6, c // attributes.get("group", 1), kh, kw, seed=2) / 4,
        "o": real(n, 2 * taps, oh, ow, seed=3),
        "b": real(6, seed=4),
        "m": np.abs(real(n, taps, oh, ow, seed=5)),
    }
    for name in ("m", "b")[: 2 - extras]:
        del feeds[name]
    check(single("DeformConv", feeds, opset=19, **attributes), feeds)


@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ((5, 5), (1, 5), {}),
        ((5, 6), (2, 3), {"strides": [2, 1]}),
        ((6, 6), (2, 2), {"dilations": [2, 1]}),
        ((5, 5), (3, 2), {"pads": [1, 0, 1, 1]}),
        ((4, 3, 5), (2, 2, 2), {}),
        ((9,), (3,), {"strides": [2]}),
    ],
    ids=str,
)
def test_col2im(image: tuple[int, ...], block: tuple[int, ...], attributes: dict[str, Any]) -> None:
    dims = len(image)
    pads, strides = attributes.get("pads", [0] * 2 * dims), attributes.get("strides", [1] * dims)
    dilations = attributes.get("dilations", [1] * dims)
    counts = [
        (n + pads[i] + pads[dims + i] - (block[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i, n in enumerate(image)
    ]
    x = real(2, 3 * int(np.prod(block)), int(np.prod(counts)))
    given = {"image": np.array(image), "block": np.array(block)}
    check(single("Col2Im", {"x": x}, given, **attributes), {"x": x})


IMAGE = real(1, 3, 5, 6)


@pytest.mark.parametrize(
    ("op", "feeds", "constants", "attributes", "rule"),
    [
        ("GridSample", {"g": real(1, 2, 2, 3)}, {}, {}, "a coordinate for each"),
        ("GridSample", {"g": real(1, 2, 2, 2)}, {}, {"mode": "best"}, "mode 'best'"),
        ("GridSample", {"g": real(1, 2, 2, 2)}, {}, {"padding_mode": "no"}, "padding 'no'"),
        ("MaxRoiPool", {"r": real(2, 5)}, {}, {"pooled_shape": [2]}, r"pooled_shape \[2\]"),
        ("MaxRoiPool", {"r": real(2, 4)}, {}, {"pooled_shape": [2, 2]}, "must have 5 columns"),
        (
            "RoiAlign",
            {"r": real(2, 4)},
            {"i": np.array([0, 0])},
            {"mode": "sum"},
            "mode 'sum'",
        ),
        ("RoiAlign", {"r": real(2, 4)}, {"i": np.array([0])}, {}, "there is one a region"),
    ],
)
def test_rules(
    op: str,
    feeds: dict[str, Array],
    constants: dict[str, Array],
    attributes: dict[str, Any],
    rule: str,
) -> None:
    data = single(op, {"x": IMAGE, **feeds}, constants, opset=20, **attributes)
    with pytest.raises(ModelError, match=rf"\({op}\).*{rule}"):
        ew.load(data)


@pytest.mark.parametrize(
    ("op", "x", "constants", "rule"),
    [
        ("AffineGrid", real(1, 2, 3), {"s": np.array([1, 1, 2])}, "4 or 5 dimensions"),
        ("AffineGrid", real(2, 2, 3), {"s": np.array([1, 1, 2, 2])}, "theta has shape"),
        ("Col2Im", real(1, 5, 4), {"i": np.array([3, 3]), "b": np.array([2, 2])}, "divide its"),
        ("Col2Im", real(1, 4, 5), {"i": np.array([3, 3]), "b": np.array([2, 2])}, "blocks fit"),
        ("Col2Im", real(1, 4, 4), {"i": np.array([3, 3]), "b": np.array([2])}, "one of 1 or more"),
    ],
)
def test_rules_of_sizes(op: str, x: Array, constants: dict[str, Array], rule: str) -> None:
    with pytest.raises(ModelError, match=rf"\({op}\).*{rule}"):
        ew.load(single(op, {"x": x}, constants, opset=20))


def test_regions_of_batches_that_are_not() -> None:
    feeds = {"x": IMAGE, "r": ROIS[:1], "i": np.array([4])}
    program = ew.compile(ew.load(single("RoiAlign", feeds)))
    with contextlib.closing(program), pytest.raises(RunError, match="batch indices 4 to 4"):
        program(**feeds)


def test_too_much() -> None:
    size = {"s": np.array([1, 1, 2**20, 2**20])}
    with pytest.raises(UnsupportedError, match="tables that the file does not hold"):
        ew.load(single("AffineGrid", {"t": real(1, 2, 3)}, size, opset=20))
    sizes = {"i": np.array([128, 128]), "b": np.array([128, 128])}
    with pytest.raises(UnsupportedError, match="tables that the file does not hold"):
        ew.load(single("Col2Im", {"x": np.zeros((1, 2**14, 1), np.float32)}, sizes))


def test_deformed_volumes() -> None:
    feeds = {"x": real(1, 2, 3, 4, 5), "w": real(2, 2, 1, 1, 1), "o": real(1, 3, 3, 4, 5)}
    with pytest.raises(UnsupportedError, match="supported are images"):
        ew.load(single("DeformConv", feeds, opset=19))
