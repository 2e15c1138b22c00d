"""ONNX's pooling and resizing, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, info, operators, single

import edgewise as ew
from edgewise.errors import ModelError, UnsupportedError


def real(*shape: int, seed: int = 1) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 2, 8), {"kernel_shape": [3]}),
    ((1, 2, 9), {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}),
    ((2, 3, 7, 6), {"kernel_shape": [2, 3]}),
    ((1, 3, 7, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ((1, 3, 8, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 3, 7, 7), {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}),
    ((1, 3, 7, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": 1}),
    ((1, 3, 6, 7), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 3, 6, 7), {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 3, 6, 7), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "VALID"}),
    ((1, 2, 4, 5, 6), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2]}),
    ((1, 2, 5, 5, 5), {"kernel_shape": [3, 3, 3], "strides": [2] * 3, "pads": [1] * 6}),
]
DILATED: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 2, 9), {"kernel_shape": [3], "dilations": [2]}),
    ((1, 2, 9, 8), {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}),
    ((1, 2, 9, 8), {"kernel_shape": [2, 2], "dilations": [3, 1], "strides": [2, 2]}),
]


@pytest.mark.parametrize(("shape", "attributes"), [*POOLS, *DILATED], ids=str)
def test_max_pool(shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    x = real(*shape)
    check(single("MaxPool", {"x": x}, **attributes), {"x": x})


@pytest.mark.parametrize(("shape", "attributes"), [*POOLS[:7], *DILATED, POOLS[11]], ids=str)
@pytest.mark.parametrize("order", [0, 1])
def test_places_of_max_pool(shape: tuple[int, ...], attributes: dict[str, Any], order: int) -> None:
    x, outputs = real(*shape), ["y", info("i", None, np.int64)]
    check(single("MaxPool", {"x": x}, None, outputs, storage_order=order, **attributes), {"x": x})


def test_max_pool_of_bytes() -> None:
    x = np.random.default_rng(1).integers(0, 256, (1, 2, 6, 6)).astype(np.uint8)
    outputs = [info("y", None, np.uint8)]
    check(single("MaxPool", {"x": x}, None, outputs, kernel_shape=[3, 3], pads=[1] * 4), {"x": x})


@pytest.mark.parametrize(("shape", "attributes"), [*POOLS, *DILATED], ids=str)
@pytest.mark.parametrize("counts", [0, 1])
def test_average_pool(shape: tuple[int, ...], attributes: dict[str, Any], counts: int) -> None:
    x = real(*shape)
    data = single("AveragePool", {"x": x}, opset=19, count_include_pad=counts, **attributes)
    check(data, {"x": x})


@pytest.mark.parametrize(("shape", "attributes"), POOLS[:4], ids=str)
@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pool(shape: tuple[int, ...], attributes: dict[str, Any], p: int) -> None:
    x = real(*shape)
    chosen = {k: v for k, v in attributes.items() if k != "ceil_mode"}
    check(single("LpPool", {"x": x}, p=p, **chosen), {"x": x})


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 5)], ids=str)
def test_global_pools(op: str, shape: tuple[int, ...]) -> None:
    check(single(op, {"x": real(*shape)}), {"x": real(*shape)})


SQUARE = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.mark.parametrize("size", [None, (1, 2, 9, 8)])
def test_max_unpool(size: tuple[int, ...] | None) -> None:
    x = real(1, 2, 8, 8)
    pool = single("MaxPool", {"x": x}, None, ["y", info("i", None, np.int64)], **SQUARE)
    graph = ew.load(pool)
    ((y, i),) = [r for _, r in graph.reference({graph.inputs[0]: x})]
    expected = np.zeros((1, 2, *(size or x.shape)[2:]), np.float32)
    flat = np.zeros(x.size, np.float32)
    flat[i.ravel()] = y.ravel()
    expected[:, :, :8, :8] = flat.reshape(x.shape)
    constants = {} if size is None else {"size": np.array(size)}
    data = single("MaxUnpool", {"y": y, "i": i}, constants, ["z"], **SQUARE)
    check(data, {"y": y, "i": i}, [expected])


COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
SIZES = [(8, 12), (3, 2), (5, 9), (4, 6), (1, 1)]


def resized(x: Array, sizes: tuple[int, ...], **attributes: Any) -> bytes:
    full = np.array([*x.shape[: x.ndim - len(sizes)], *sizes], np.int64)
    opset = attributes.pop("opset", 18)
    names = ["x", "", "", "sizes"]
    return single("Resize", {"x": x}, {"sizes": full}, opset=opset, operands=names, **attributes)


def scaled(x: Array, scales: tuple[float, ...], **attributes: Any) -> bytes:
    full = np.array([1.0] * (x.ndim - len(scales)) + list(scales), np.float32)
    return single("Resize", {"x": x}, {"s": full}, operands=["x", "", "s"], **attributes)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_resize(sizes: tuple[int, int], coordinates: str, mode: str) -> None:
    x = real(1, 2, 4, 6)
    a = {"mode": mode, "coordinate_transformation_mode": coordinates}
    check(resized(x, sizes, **a), {"x": x})
    if mode == "cubic":
        check(resized(x, sizes, cubic_coeff_a=-0.5, exclude_outside=1, **a), {"x": x})


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("nearest", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_resize_to_nearest(coordinates: str, nearest: str) -> None:
    x = real(1, 2, 4, 6)
    a = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    for sizes in SIZES:
        check(resized(x, sizes, **a), {"x": x})
    whole = coordinates == "align_corners"
    for scales in ((2.0, 2.0), (0.5, 1.5) if whole else (0.6, 1.7)):
        check(scaled(x, scales, **a), {"x": x})


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scales", [(2.0, 3.0), (0.6, 1.3), (1.5, 0.5)], ids=str)
def test_resize_by_scales(coordinates: str, scales: tuple[float, ...]) -> None:
    x = real(1, 2, 5, 6)
    a = {"coordinate_transformation_mode": coordinates, "mode": "linear"}
    check(scaled(x, scales, **a), {"x": x})


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_scales_that_give_no_whole_size(mode: str) -> None:
    """The size counts and not the scale, as in PyTorch, unlike the format's own tests."""
    x = real(1, 2, 5, 7)
    a = {"coordinate_transformation_mode": "align_corners", "mode": mode}
    check(scaled(x, (1.5, 0.6), **a), {"x": x})


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"coordinate_transformation_mode": "half_pixel", "mode": "linear"}, "RESIZE_BILINEAR"),
        ({"coordinate_transformation_mode": "asymmetric", "mode": "linear"}, "RESIZE_BILINEAR"),
        ({"coordinate_transformation_mode": "align_corners", "mode": "linear"}, "RESIZE_BILINEAR"),
        (
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            "RESIZE_NEAREST_NEIGHBOR",
        ),
        ({"mode": "nearest"}, "RESIZE_NEAREST_NEIGHBOR"),
        ({"mode": "cubic"}, "GATHER"),
    ],
)
def test_resizes_with_kernels(attributes: dict[str, Any], name: str) -> None:
    assert name in operators(ew.load(resized(real(1, 2, 4, 6), (8, 12), **attributes)))


@pytest.mark.parametrize("shape", [(1, 2, 5), (3, 4), (1, 2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_of_other_ranks(shape: tuple[int, ...], mode: str) -> None:
    x = real(*shape)
    doubled = tuple(2 * n for n in shape[max(2 if len(shape) > 2 else 0, 0) :])
    check(resized(x, doubled, mode=mode), {"x": x})


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_axes_and_aspect(policy: str) -> None:
    x = real(1, 2, 4, 6)
    a: dict[str, Any] = {"axes": [3, 2], "keep_aspect_ratio_policy": policy, "mode": "linear"}
    given = {"sizes": np.array([9, 10])}
    check(single("Resize", {"x": x}, given, operands=["x", "", "", "sizes"], **a), {"x": x})


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop_and_resize(mode: str) -> None:
    x = real(1, 1, 4, 6)
    given = {
        "roi": np.array([0, 0, 0.2, -0.3, 1, 1, 0.8, 1.4], np.float32),
        "empty": np.zeros(0, np.float32),
        "sizes": np.array([1, 1, 5, 7]),
    }
    a = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
    check(single("Resize", {"x": x}, given, mode=mode, **a), {"x": x})


@pytest.mark.parametrize("op", ["Resize", "Upsample"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_old_versions(op: str, mode: str) -> None:
    x, scales = real(1, 2, 4, 6), np.array([1, 1, 2, 3], np.float32)
    opset = 10 if op == "Resize" else 9
    check(single(op, {"x": x}, {"s": scales}, opset=opset, mode=mode), {"x": x})
    if op == "Upsample":
        check(single(op, {"x": x}, opset=7, mode=mode, scales=scales.tolist()), {"x": x})
    else:
        fewer = {"s": np.array([1, 1, 0.6, 0.5], np.float32)}
        check(single(op, {"x": x}, fewer, opset=10, mode=mode), {"x": x})


def test_resize_of_bytes() -> None:
    x = np.random.default_rng(1).integers(0, 256, (1, 2, 4, 6)).astype(np.uint8)
    full = {"sizes": np.array([1, 2, 8, 12])}
    outputs, names = [info("y", None, np.uint8)], ["x", "", "", "sizes"]
    check(single("Resize", {"x": x}, full, outputs, operands=names), {"x": x})


X = real(1, 2, 4, 6)


@pytest.mark.parametrize(
    ("constants", "attributes", "rule"),
    [
        ({"sizes": np.array([1, 2, 8])}, {}, "0 scales and 3 sizes"),
        ({"sizes": np.array([1, 2, -8, 4])}, {}, "none is negative"),
        ({"sizes": np.array([1, 2, 8, 4])}, {"mode": "best"}, "mode is 'best'"),
        ({"sizes": np.array([1, 2, 8, 4])}, {"nearest_mode": "near"}, "nearest_mode is 'near'"),
        ({"sizes": np.array([1, 2, 8, 4])}, {"coordinate_transformation_mode": "x"}, "is 'x'"),
        (
            {"sizes": np.array([1, 2, 8, 4])},
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "roi has 0 elements",
        ),
        (
            {"sizes": np.array([1, 2, 8, 4])},
            {"keep_aspect_ratio_policy": "never"},
            "keep_aspect_ratio_policy is 'never'",
        ),
    ],
)
def test_rules_of_resize(
    constants: dict[str, Array], attributes: dict[str, Any], rule: str
) -> None:
    data = single("Resize", {"x": X}, constants, operands=["x", "", "", "sizes"], **attributes)
    with pytest.raises(ModelError, match=rule):
        ew.load(data)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_scales_are_positive(scale: float) -> None:
    with pytest.raises(ModelError, match=f"scale {scale}"):
        ew.load(scaled(X, (scale, 1.0)))


THIN: dict[str, Any] = {"mode": "cubic", "antialias": 1}


def test_too_large() -> None:
    with pytest.raises(UnsupportedError, match="an axis has at most 65536"):
        ew.load(resized(X, (2**40, 4)))
    with pytest.raises(UnsupportedError, match="tables that the file does not hold"):
        ew.load(resized(real(1, 1, 2, 60000), (2, 600), **THIN))


@pytest.mark.parametrize(
    ("op", "attributes", "rule"),
    [
        ("MaxPool", {"kernel_shape": [9, 9]}, "which fits"),
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, "smaller than a window"),
        ("AveragePool", {}, "'kernel_shape' is missing"),
        ("LpPool", {"kernel_shape": [2, 2], "p": 0}, "p is 0"),
    ],
)
def test_rules_of_pools(op: str, attributes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        ew.load(single(op, {"x": X}, **attributes))


def test_pools_are_of_numbers() -> None:
    outputs = [info("y", None, np.bool_)]
    data = single("MaxPool", {"x": X > 0}, None, outputs, kernel_shape=[2, 2])
    with pytest.raises(ModelError, match="input 0 is bool; it must be of numbers"):
        ew.load(data)


def test_rules_of_unpooling() -> None:
    feeds = {"y": real(1, 1, 2, 2), "i": np.zeros((1, 1, 2, 2), np.int64)}
    data = single("MaxUnpool", feeds, {"size": np.array([1, 1, 3, 4])}, ["z"], **SQUARE)
    with pytest.raises(ModelError, match="it is at least"):
        ew.load(data)
    with pytest.raises(ModelError, match="rank 2; it must be 3 or more"):
        ew.load(single("GlobalMaxPool", {"x": real(2, 2)}))
    many = single("MaxPool", {"x": real(1, 1, 2000)}, kernel_shape=[1500], dilations=[1])
    assert operators(ew.load(many)) != []
    with pytest.raises(UnsupportedError, match="at most 1024"):
        ew.load(single("MaxPool", {"x": real(1, 1, 9000)}, kernel_shape=[1500], dilations=[2]))
