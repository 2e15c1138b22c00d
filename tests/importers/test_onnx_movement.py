"""Operators of ONNX that move elements, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, graph, info, model, node, operators, single

import edgewise as ew
from edgewise.errors import ModelError

I64 = np.int64
LAST = np.iinfo(np.int64).max


def data(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(3).integers(-50, 50, shape).astype(dtype)


def ints(*values: int) -> Array:
    return np.array(values, I64)


@pytest.mark.parametrize("shape", [(6, 4), (-1, 4), (0, -1), (2, 0, 4), (24,)])
def test_reshape(shape: tuple[int, ...]) -> None:
    check(single("Reshape", {"x": data(2, 3, 4)}, {"s": ints(*shape)}), {"x": data(2, 3, 4)})


def test_reshape_to_no_elements() -> None:
    x = data(0, 3)
    g = check(single("Reshape", {"x": x}, {"s": ints(3, 0)}, allowzero=1), {"x": x})
    assert g.outputs[0].type.shape == (3, 0)


@pytest.mark.parametrize(
    ("start", "end", "axes", "steps"),
    [
        ((1,), (3,), None, None),
        ((0, 1), (LAST, -1), (2, 0), None),
        ((-1,), (-LAST,), (1,), (-1,)),
        ((LAST,), (-LAST,), (1,), (-2,)),
        ((5,), (2,), (1,), None),
        ((-100,), (100,), (-1,), (3,)),
    ],
)
def test_slice(start: Any, end: Any, axes: Any, steps: Any) -> None:
    x = data(4, 5, 6)
    constants = {"b": ints(*start), "e": ints(*end)}
    if axes is not None:
        constants["a"] = ints(*axes)
    if steps is not None:
        constants["s"] = ints(*steps)
    check(single("Slice", {"x": x}, constants), {"x": x})


def test_slice_of_old_files_has_attributes() -> None:
    x = data(4, 5)
    check(single("Slice", {"x": x}, opset=9, starts=[1], ends=[-1], axes=[1]), {"x": x})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(0, 1, 2, 0, 3, 1), (0, -1, 2, 0, 1, -2), (0, 0, 0, 0, 0, 0)])
def test_pad(mode: str, pads: tuple[int, ...]) -> None:
    x = data(2, 4, 5)
    expected = None
    if mode == "wrap" and min(pads) < 0:  # ONNX Runtime reads past the end
        expected = [np.pad(x[:, 1:, :-2], ((0, 0), (0, 1), (2, 0)), mode="wrap")]
    content = single("Pad", {"x": x}, {"p": ints(*pads)}, opset=19, mode=mode)
    check(content, {"x": x}, expected)


def test_pad_reflects_more_than_the_axis_has() -> None:
    x = data(3)
    y = np.pad(x, (5, 7), mode="reflect")
    check(single("Pad", {"x": x}, {"p": ints(5, 7)}, mode="reflect"), {"x": x}, [y])


def test_pad_with_a_value_along_named_axes() -> None:
    x = data(2, 3, 4)
    constants = {"p": ints(1, 2), "v": np.float32(-7), "a": ints(-2)}
    check(single("Pad", {"x": x}, constants), {"x": x})


def test_pad_of_old_files_has_attributes() -> None:
    x = data(2, 3)
    check(single("Pad", {"x": x}, opset=10, pads=[1, 0, 0, 2], value=2.5), {"x": x})


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_split_into_sizes(opset: int) -> None:
    x, outputs = data(2, 7), ["a", "b", "c"]
    if opset < 13:
        content = single("Split", {"x": x}, None, outputs, opset, axis=1, split=[1, 4, 2])
    else:
        content = single("Split", {"x": x}, {"s": ints(1, 4, 2)}, outputs, opset, axis=-1)
    check(content, {"x": x})


def test_split_into_parts_of_which_the_last_is_less() -> None:
    x = data(7, 2)
    check(single("Split", {"x": x}, None, ["a", "b", "c"], num_outputs=3), {"x": x})


@pytest.mark.parametrize("opset", [12, 13])
@pytest.mark.parametrize("axes", [None, (0,), (-1, 0)])
def test_squeeze(axes: tuple[int, ...] | None, opset: int) -> None:
    x = data(1, 3, 1)
    if opset < 13 or axes is None:
        named = {} if axes is None else {"axes": axes}
        content = single("Squeeze", {"x": x}, opset=opset, **named)
    else:
        content = single("Squeeze", {"x": x}, {"a": ints(*axes)}, opset=opset)
    check(content, {"x": x})


@pytest.mark.parametrize("axes", [(0,), (-1, 1), (3, 0, 2)])
def test_unsqueeze(axes: tuple[int, ...]) -> None:
    x = data(3, 2)
    check(single("Unsqueeze", {"x": x}, {"a": ints(*axes)}), {"x": x})


@pytest.mark.parametrize("axis", [0, 1, 3, -2])
def test_flatten(axis: int) -> None:
    check(single("Flatten", {"x": data(2, 3, 4)}, axis=axis), {"x": data(2, 3, 4)})


def test_concat() -> None:
    feeds = {"a": data(2, 3), "b": data(2, 1), "c": data(2, 4)}
    check(single("Concat", feeds, axis=-1), feeds)


@pytest.mark.parametrize("shape", [(3, 1), (2, 3, 4), (1,), (2, 1, 3, 4)])
def test_expand(shape: tuple[int, ...]) -> None:
    x = data(3, 1) if shape != (2, 1, 3, 4) else data(3, 4)
    check(single("Expand", {"x": x}, {"s": ints(*shape)}), {"x": x})


def test_tile() -> None:
    check(single("Tile", {"x": data(2, 3)}, {"n": ints(2, 3)}), {"x": data(2, 3)})


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-2, 0, 1, 9])
def test_trilu(upper: int, k: int) -> None:
    x = data(2, 3, 4)
    check(single("Trilu", {"x": x}, {"k": np.int64(k)}, upper=upper), {"x": x})


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_compress(axis: int | None) -> None:
    x, attributes = data(3, 4), {} if axis is None else {"axis": axis}
    chosen = np.array([True, False, True])
    check(single("Compress", {"x": x}, {"c": chosen}, **attributes), {"x": x})


def test_compress_by_what_a_call_says() -> None:
    """The number of elements is that call's."""
    feeds = {"x": data(4, 2), "c": np.array([False, True, False, True])}
    g = check(single("Compress", feeds, axis=0, outputs=[info("y", ["n", 2])]), feeds)
    assert operators(g) == ["INTERPRETED"]


@pytest.mark.parametrize("op", ["DepthToSpace", "SpaceToDepth"])
def test_blocks(op: str) -> None:
    x = data(1, 12, 4, 6)
    check(single(op, {"x": x}, blocksize=2), {"x": x})


def test_depth_to_space_by_columns() -> None:
    x = data(1, 12, 3, 2)
    check(single("DepthToSpace", {"x": x}, blocksize=2, mode="CRD"), {"x": x})


def test_reverse_sequence() -> None:
    feeds = {"x": data(4, 3), "n": ints(1, 4, 2)}
    check(single("ReverseSequence", feeds, time_axis=0, batch_axis=1), feeds)


def test_center_crop_pad() -> None:
    x = data(5, 3, 7)
    y = np.pad(x[1:3], ((0, 0), (1, 2), (0, 0)))
    content = single("CenterCropPad", {"x": x}, {"s": ints(2, 6)}, axes=[0, 1])
    check(content, {"x": x}, [y])


def test_transpose_reverses_where_nothing_is_said() -> None:
    check(single("Transpose", {"x": data(2, 3, 4)}), {"x": data(2, 3, 4)})


def test_shape_arithmetic_folds_away() -> None:
    """x.reshape(x.shape[0], -1) as exporters of networks write it."""
    x = data(2, 3, 4)
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "zeros"], ["n1"]),
        node("Cast", ["n1"], ["n2"], to=1),
        node("Cast", ["n2"], ["n3"], to=7),
        node("Concat", ["n3", "rest"], ["wanted"], axis=0),
        node("Reshape", ["x", "wanted"], ["y"]),
    ]
    constants = {"zero": I64(0), "zeros": ints(0), "rest": ints(-1)}
    g = check(model(graph(nodes, [info("x", x.shape)], ["y"], constants)), {"x": x})
    assert operators(g) == ["RESHAPE"]
    assert g.outputs[0].type.shape == (2, 12)


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "rule"),
    [
        ("Reshape", {"s": ints(5, -1)}, {}, "24 elements into"),
        ("Reshape", {"s": ints(-1, -1)}, {}, "one dimension may be -1"),
        ("Reshape", {"s": ints(2, 3, 4, 0)}, {}, "keeps dimension 3"),
        ("Reshape", {"s": np.float32([24])}, {}, "it must be integers"),
        ("Squeeze", {"a": ints(1)}, {}, "only 1 can be dropped"),
        ("Unsqueeze", {"a": ints(0, 0)}, {}, "an axis is named once"),
        ("Flatten", {}, {"axis": 4}, "axis 4"),
        ("Concat", {}, {"axis": 3}, "axis 3"),
        ("Concat", {}, {}, "attribute 'axis' is missing"),
        ("Split", {"s": ints(1, 2)}, {}, "they sum to 2"),
        ("Split", {}, {"num_outputs": 7}, "it has 1 outputs"),
        ("Slice", {"b": ints(0), "e": ints(1, 2)}, {}, "as many"),
        ("Slice", {"b": ints(0), "e": ints(1), "a": ints(0), "s": ints(0)}, {}, "step 0"),
        ("Pad", {"p": ints(1, 2)}, {}, "two an axis"),
        ("Pad", {"p": ints(-2, 0, 0, -1, 0, 0)}, {}, "cut more"),
        ("Pad", {"p": ints(0, 0, 0, 0, 0, 0)}, {"mode": "mirror"}, "mode 'mirror'"),
        ("Pad", {"p": ints(0, 0, 0, 0, 0, 1), "v": I64(1)}, {}, "value of int64"),
        ("Expand", {"s": ints(2, 3, 5)}, {}, "dimensions are 1 or equal"),
        ("Tile", {"n": ints(2)}, {}, "repeats"),
        ("CenterCropPad", {"s": ints(2)}, {}, "one size an axis"),
        ("DepthToSpace", {}, {"blocksize": 2}, "input of rank 3"),
        ("Transpose", {}, {"perm": [0, 1, 1]}, "named once"),
    ],
)
def test_broken_rules(op: str, constants: Any, attributes: Any, rule: str) -> None:
    content = single(op, {"x": data(2, 3, 4)}, constants, **attributes)
    with pytest.raises(ModelError, match=rf"node '{op}_0' \({op}\): .*{rule}"):
        ew.load(content)


def test_modes_of_blocks_and_triangles() -> None:
    with pytest.raises(ModelError, match="mode 'X'; it is DCR or CRD"):
        ew.load(single("DepthToSpace", {"x": data(1, 4, 1, 1)}, blocksize=2, mode="X"))
    with pytest.raises(ModelError, match="6 channels, blocks of 2"):
        ew.load(single("DepthToSpace", {"x": data(1, 6, 1, 1)}, blocksize=2))
    with pytest.raises(ModelError, match="input of rank 1; it is at least 2"):
        ew.load(single("Trilu", {"x": data(3)}))
