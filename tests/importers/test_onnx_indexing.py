"""Operators of ONNX that select, scatter, sort and make tensors, beside ONNX Runtime."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx_files import Array, check, graph, info, model, node, operators, single, tensor

import edgewise as ew
from edgewise.errors import ModelError, RunError, UnsupportedError

I64 = np.int64
RNG = np.random.default_rng(8)


def data(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(3).integers(-50, 50, shape).astype(dtype)


def indices(shape: tuple[int, ...], size: int, dtype: Any = I64) -> Array:
    """Some of them count from the end."""
    return np.random.default_rng(4).integers(-size, size, shape).astype(dtype)


def both(op: str, x: Array, constants: dict[str, Array], outputs: Any = ("y",), **a: Any) -> None:
    """With constant operands, and with those that a call gives."""
    check(single(op, {"x": x}, constants, outputs, **a), {"x": x})
    feeds = {"x": x, **constants}
    check(single(op, feeds, None, outputs, **a), feeds)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.int32, I64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_gather(axis: int, dtype: Any, shape: tuple[int, ...]) -> None:
    both("Gather", data(3, 3, 3), {"i": indices(shape, 3, dtype)}, axis=axis)


@pytest.mark.parametrize(("axis", "shape"), [(0, (5, 3)), (1, (2, 7)), (-1, (4, 1))])
def test_gather_elements(axis: int, shape: tuple[int, ...]) -> None:
    x = data(4, 3)
    both("GatherElements", x, {"i": indices(shape, x.shape[axis])}, axis=axis)


@pytest.mark.parametrize(
    ("shape", "batch"), [((2, 3), 0), ((5, 2), 0), ((5, 1), 0), ((2, 4, 2), 1), ((2, 3, 4, 1), 2)]
)
def test_gather_nd(shape: tuple[int, ...], batch: int) -> None:
    both("GatherND", data(2, 3, 3), {"i": indices(shape, 2)}, batch_dims=batch)


REDUCTIONS = ("none", "add", "mul", "max", "min")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("axis", [0, -1])
def test_scatter_elements(reduction: str, axis: int) -> None:
    x, i = data(4, 3), indices((2, 3), 3)
    if reduction == "none":
        i = np.argsort(RNG.random((4, 3)), axis=axis)[:2] - (axis == 0) * 4
    given = {"i": i.astype(I64), "u": data(2, 3)}
    both("ScatterElements", x, given, axis=axis, reduction=reduction)


def test_scatter_is_scatter_elements() -> None:
    given = {"i": np.array([[1, 0]]), "u": data(1, 2)}
    both("Scatter", data(3, 2), given, opset=10, axis=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("last", [1, 2, 3])
def test_scatter_nd(reduction: str, last: int) -> None:
    x = data(3, 4, 2)
    if reduction == "none":
        flat = np.random.default_rng(5).permutation(int(np.prod(x.shape[:last])))[:3]
        i = np.stack(np.unravel_index(flat, x.shape[:last]), axis=-1)
    else:
        i = indices((3, last), 2)
    given = {"i": i.astype(I64), "u": data(3, *x.shape[last:])}
    both("ScatterND", x, given, reduction=reduction)


def test_known_places_are_gathered() -> None:
    """Operators with kernels take the place of one without."""
    x = data(5, 2)
    given = {"i": np.array([[3], [-5]]), "u": data(2, 2)}
    g = check(single("ScatterND", {"x": x}, given), {"x": x})
    assert operators(g) == ["CONCATENATION", "GATHER"]


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_tensor_scatter(mode: str) -> None:
    past, update = data(2, 3, 5, 4), data(2, 3, 2, 4) + 1000
    start = np.array([1, 3 if mode == "linear" else 4])
    y = past.copy()
    for b in range(2):
        for k in range(2):
            y[b, :, (start[b] + k) % 5] = update[b, :, k]
    feeds = {"x": past, "u": update, "i": start}
    check(single("TensorScatter", feeds, opset=24, mode=mode), feeds, [y])


def test_tensor_scatter_from_the_start() -> None:
    past, update = data(2, 5, 4), data(2, 5, 4) + 1000
    feeds = {"x": past, "u": update}
    check(single("TensorScatter", feeds, opset=24), feeds, [update])


@pytest.mark.parametrize("dtype", [np.float32, I64, np.int32])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_top_k(dtype: Any, largest: int, axis: int) -> None:
    x = np.random.default_rng(1).integers(-4, 5, (5, 6)).astype(dtype)
    outputs = [info("v", None, dtype), info("i", None, I64)]
    both("TopK", x, {"k": np.array([3])}, outputs, axis=axis, largest=largest)


def test_top_k_of_the_least_and_greatest_integers() -> None:
    x = np.array([5, np.iinfo(I64).min, 0, np.iinfo(I64).max])
    outputs = [info("v", None, I64), info("i", None, I64)]
    both("TopK", x, {"k": np.array([4])}, outputs, largest=0)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_extreme(op: str, keep: int, last: int) -> None:
    x = np.random.default_rng(1).integers(0, 3, (4, 5, 3)).astype(np.float32)
    y = [info("y", None, I64)]
    content = single(op, {"x": x}, None, y, axis=-2, keepdims=keep, select_last_index=last)
    check(content, {"x": x})


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("ascending", [0, 1])
def test_unique(axis: int | None, ascending: int) -> None:
    x = np.random.default_rng(1).integers(0, 3, (4, 3)).astype(np.float32)
    x[2] = x[0]
    outputs = [info("y", None if axis is None else ["a", "b"])]
    outputs += [info(n, ["n"], I64) for n in ("i", "j", "k")]
    named = {} if axis is None else {"axis": axis}
    check(single("Unique", {"x": x}, None, outputs, sorted=ascending, **named), {"x": x})


def test_non_zero() -> None:
    x = np.array([[1, 0, 2], [0, 0, -3]], np.float32)
    check(single("NonZero", {"x": x}, None, [info("y", [2, "n"], I64)]), {"x": x})


def test_where() -> None:
    feeds = {"c": np.array([[True], [False]]), "a": data(2, 3), "b": data(3)}
    check(single("Where", feeds), feeds)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", [I64, np.int32, np.float32])
def test_one_hot(axis: int, dtype: Any) -> None:
    feeds = {"i": np.array([[0, -1, 3], [7, 2, -4]]).astype(dtype)}
    constants = {"d": np.array(4, dtype), "v": np.float32([-1, 5])}
    check(single("OneHot", feeds, constants, axis=axis), feeds)


@pytest.mark.parametrize("centered", [0, 1])
@pytest.mark.parametrize("limits", [(3, 0.5, 0.2), (100, 0.0, 0.0), (2, 0.9, 0.6)])
def test_non_max_suppression(centered: int, limits: tuple[int, float, float]) -> None:
    rng = np.random.default_rng(2)
    corners = np.sort(rng.random((2, 9, 2, 2)), axis=2).reshape(2, 9, 4).astype(np.float32)
    feeds = {"x": corners, "s": rng.random((2, 3, 9)).astype(np.float32)}
    most, iou, score = limits
    constants = {"m": I64(most), "o": np.float32(iou), "l": np.float32(score)}
    outputs = [info("y", ["n", 3], I64)]
    check(single("NonMaxSuppression", feeds, constants, outputs, center_point_box=centered), feeds)


def test_without_a_number_of_boxes_there_are_none() -> None:
    feeds = {"x": np.zeros((1, 2, 4), np.float32), "s": np.ones((1, 1, 2), np.float32)}
    content = single("NonMaxSuppression", feeds, None, [info("y", ["n", 3], I64)])
    check(content, feeds, [np.zeros((0, 3), I64)])


@pytest.mark.parametrize(("start", "end"), [(0, None), (1, None), (-2, None), (0, -1), (2, 1)])
def test_shape(start: int, end: int | None) -> None:
    x, named = data(2, 3, 4), {} if end is None else {"end": end}
    content = single("Shape", {"x": x}, None, [info("y", None, I64)], start=start, **named)
    check(content, {"x": x})


def test_size() -> None:
    check(single("Size", {"x": data(2, 3)}, None, [info("y", None, I64)]), {"x": data(2, 3)})


def sparse(values: Any, places: Any, shape: tuple[int, ...]) -> Any:
    return helper.make_sparse_tensor(
        tensor("values", np.float32(values)), tensor("places", np.array(places, I64)), shape
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value": tensor("t", np.float32([[1, 2]]))}, np.float32([[1, 2]])),
        ({"value_float": 2.5}, np.float32(2.5)),
        ({"value_floats": [1.0, 2.0]}, np.float32([1, 2])),
        ({"value_int": 3}, I64(3)),
        ({"value_ints": [3, 4]}, np.array([3, 4])),
        ({"sparse_value": sparse([5, 6], [0, 4], (2, 3))}, np.float32([[5, 0, 0], [0, 6, 0]])),
        ({"sparse_value": sparse([5], [[1, 2]], (2, 3))}, np.float32([[0, 0, 0], [0, 0, 5]])),
    ],
)
def test_constant(attributes: Any, expected: Array) -> None:
    y = [info("y", None, expected.dtype)]
    check(single("Constant", {}, None, y, **attributes), {}, [np.asarray(expected)])


def test_sparse_initializer() -> None:
    made = graph([node("Add", ["x", "values"], ["y"])], [info("x", (2, 3))], ["y"])
    made.sparse_initializer.append(sparse([5, 6], [0, 4], (2, 3)))
    x = data(2, 3)
    check(model(made), {"x": x}, [x + np.float32([[5, 0, 0], [0, 6, 0]])])


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (sparse([5], [6], (2, 3)), "indices 6 to 6; below 6"),
        (sparse([5], [[0, 3]], (2, 3)), "below 3"),
        (sparse([5, 6], [1], (2, 3)), r"int64 \[N\]"),
        (sparse([5], [1], (0, 3)), "at least 1"),
    ],
)
def test_broken_sparse_tensors(given: Any, rule: str) -> None:
    with pytest.raises(ModelError, match=f"sparse tensor 'values': .*{rule}"):
        ew.load(single("Constant", {}, None, sparse_value=given))


def test_a_sparse_tensor_is_not_of_any_size() -> None:
    with pytest.raises(UnsupportedError, match="1099511627776 elements; at most"):
        ew.load(single("Constant", {}, None, sparse_value=sparse([1], [1], (2**20, 2**20))))


def test_constant_of_shape() -> None:
    shape = {"s": np.array([2, 3])}
    check(single("ConstantOfShape", {}, shape), {})
    value = tensor("v", np.array([7], np.int32))
    content = single("ConstantOfShape", {}, shape, [info("y", None, np.int32)], value=value)
    check(content, {})


@pytest.mark.parametrize(
    "numbers",
    [(0, 10, 3), (10, 0, -3), (5, 5, 1), (0, -4, 1), (0.0, 1.0, 0.1), (1.0, -1.0, -0.3)],
)
def test_range(numbers: tuple[float, ...]) -> None:
    dtype = np.float32 if isinstance(numbers[0], float) else I64
    constants = {n: dtype(v) for n, v in zip("abc", numbers, strict=True)}
    check(single("Range", {}, constants, [info("y", None, dtype)]), {})
    y = [info("y", ["n"], dtype)]
    feeds = {k: np.asarray(v) for k, v in constants.items()}
    check(single("Range", feeds, None, y), feeds)


@pytest.mark.parametrize("k", [-1, 0, 2])
def test_eye_like(k: int) -> None:
    x = data(3, 4)
    check(single("EyeLike", {"x": x}, k=k), {"x": x})
    y = [info("y", None, np.int32)]
    check(single("EyeLike", {"x": x}, None, y, dtype=6, k=k), {"x": x})


DTYPES = (np.float32, np.float64, np.int32, I64, np.uint8, np.int8, np.bool_)


@pytest.mark.parametrize("before", DTYPES)
@pytest.mark.parametrize("after", DTYPES)
def test_cast(before: Any, after: Any) -> None:
    x = np.array([0, 1, 2.75, 100, -0.0], np.float64).astype(before)
    y = info("y", None, after)
    to = y.type.tensor_type.elem_type
    check(single("Cast", {"x": x}, None, [y], to=to), {"x": x})
    feeds = {"x": x, "like": np.zeros(2, after)}
    check(single("CastLike", feeds, None, [y]), feeds)


def test_an_index_of_a_call_names_an_element() -> None:
    feeds = {"x": data(3), "i": np.array([1, 3])}
    with (
        contextlib.closing(ew.compile(ew.load(single("Gather", feeds)))) as program,
        pytest.raises(RunError, match="index 3"),
    ):
        program(**feeds)


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "rule"),
    [
        ("Gather", {"i": np.array([3])}, {"axis": 1}, r"indices of 3 to 3 into \[3\]"),
        ("Gather", {"i": np.float32([1])}, {}, "they must be int32 or int64"),
        ("GatherElements", {"i": np.array([1])}, {}, "indices of rank 1, data of 2"),
        ("GatherElements", {"i": np.zeros((1, 4), I64)}, {}, "not more"),
        ("GatherND", {"i": np.zeros((1, 3), I64)}, {}, "1 to the rank"),
        ("GatherND", {"i": np.zeros((1, 1), I64)}, {"batch_dims": 2}, "batch_dims 2"),
        ("GatherND", {"i": np.zeros((1, 1), I64)}, {"batch_dims": 1}, "batches"),
        ("ScatterND", {"i": np.zeros((1, 1), I64), "u": data(3)}, {}, "updates"),
        ("ScatterElements", {"i": np.zeros((1, 1), I64), "u": data(1, 2)}, {}, "equal"),
        (
            "ScatterElements",
            {"i": np.zeros((1, 1), I64), "u": data(1, 1)},
            {"reduction": "mean"},
            "reduction 'mean'",
        ),
        (
            "ScatterElements",
            {"i": np.zeros((1, 1), I64), "u": data(1, 1, dtype=I64)},
            {},
            "updates of int64 into float32",
        ),
        ("TopK", {"k": np.array([4])}, {}, "k 4; it is 0 to 3"),
        ("ConstantOfShape", {}, {}, "it must be integers"),
        ("EyeLike", {}, {"dtype": 8}, "strings; it gives numbers"),
        ("BitCast", {}, {"to": 11}, "both take as many bytes"),
    ],
)
def test_broken_rules(op: str, constants: Any, attributes: Any, rule: str) -> None:
    content = single(op, {"x": data(2, 3)}, constants, opset=26, **attributes)
    with pytest.raises(ModelError, match=rf"node '{op}_0' \({op}\): .*{rule}"):
        ew.load(content)


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "rule"),
    [
        ("Constant", {}, {}, "a constant has one of"),
        ("Constant", {}, {"value_int": 1, "value_float": 1.0}, "a constant has one of"),
        ("ConstantOfShape", {"s": np.array([-1])}, {}, "no dimension is negative"),
        (
            "ConstantOfShape",
            {"s": np.array([1])},
            {"value": tensor("v", np.float32([1, 2]))},
            "it must have 1",
        ),
        ("Range", {n: I64(0) for n in "abc"}, {}, "and not by 0"),
        ("Range", {"a": I64(0), "b": np.int32(0), "c": I64(1)}, {}, "one dtype"),
        (
            "Range",
            {n: np.float32(v) for n, v in zip("abc", (0, np.inf, 1), strict=True)},
            {},
            "end",
        ),
        ("Range", {"a": I64(0), "b": I64(2**40), "c": I64(1)}, {}, "at most 4194304"),
    ],
)
def test_broken_rules_of_constants(op: str, constants: Any, attributes: Any, rule: str) -> None:
    with pytest.raises(ModelError, match=rf"node '{op}_0' \({op}\): .*{rule}"):
        ew.load(single(op, {}, constants, **attributes))


def test_rules_of_tensor_scatter() -> None:
    past, update = data(2, 5, 4), data(2, 2, 4)
    for attributes, wrong, rule in (
        ({"mode": "other"}, update, "linear or circular"),
        ({"axis": 0}, update, "not axis 0"),
        ({}, data(2, 6, 4), "equal but along axis 1"),
    ):
        feeds = {"x": past, "u": wrong}
        with pytest.raises(ModelError, match=rule):
            ew.load(single("TensorScatter", feeds, opset=24, **attributes))
    with pytest.raises(ModelError, match=r"write_indices \[3\]"):
        ew.load(
            single("TensorScatter", {"x": past, "u": update}, {"i": np.zeros(3, I64)}, opset=24)
        )


def test_rules_of_one_hot() -> None:
    feeds = {"i": np.array([1])}
    for depth, values in ((0, [0, 1]), (3, [0, 1, 2])):
        with pytest.raises(ModelError, match=r"at least 1, and \[2\]"):
            ew.load(single("OneHot", feeds, {"d": I64(depth), "v": np.float32(values)}))
