"""ONNX's reductions and scans, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, info, single

import edgewise as ew
from edgewise.errors import ModelError

OPS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
AXES = [None, (0,), (1, 2), (-1, 0), (0, 1, 2)]


def real(*shape: int) -> Array:
    return np.abs(np.random.default_rng(3).standard_normal(shape)).astype(np.float32) + 0.1


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_reductions(op: str, axes: tuple[int, ...] | None, keep: int) -> None:
    x = real(3, 4, 5)
    given = {} if axes is None else {"axes": np.array(axes, np.int64)}
    check(single(f"Reduce{op}", {"x": x}, given, keepdims=keep), {"x": x})


@pytest.mark.parametrize("op", OPS)
def test_axes_as_an_attribute(op: str) -> None:
    x = real(3, 4, 5)
    check(single(f"Reduce{op}", {"x": x}, opset=11, axes=[1], keepdims=1), {"x": x})
    check(single(f"Reduce{op}", {"x": x}, opset=8), {"x": x})


@pytest.mark.parametrize("op", OPS)
def test_no_axes_may_mean_nothing(op: str) -> None:
    x = real(2, 3)
    none = {"axes": np.zeros(0, np.int64)}
    steps = {
        "L1": np.abs,
        "L2": np.abs,
        "LogSum": np.log,
        "SumSquare": np.square,
    }
    expected = steps.get(op, lambda v: v)(x)
    check(single(f"Reduce{op}", {"x": x}, none, noop_with_empty_axes=1), {"x": x}, [expected])
    check(single(f"Reduce{op}", {"x": x}, none), {"x": x})


@pytest.mark.parametrize("op", ["Max", "Min", "Prod", "Sum"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers(op: str, dtype: Any) -> None:
    x = np.random.default_rng(1).integers(-5, 6, (3, 4)).astype(dtype)
    axes = {"axes": np.array([1])}
    check(single(f"Reduce{op}", {"x": x}, axes, [info("y", None, dtype)]), {"x": x})


def test_integers_through_floats() -> None:
    x = np.random.default_rng(1).integers(-5, 6, (3, 4)).astype(np.int32)
    expected = np.sqrt(np.square(x).sum(1, keepdims=True)).astype(np.int32)
    axes = {"axes": np.array([1])}
    check(single("ReduceL2", {"x": x}, axes, [info("y", None, np.int32)]), {"x": x}, [expected])


@pytest.mark.parametrize(("op", "function"), [("Max", np.any), ("Min", np.all)])
def test_bools(op: str, function: Any) -> None:
    x = np.random.default_rng(1).random((3, 4)) > 0.6
    axes, y = {"axes": np.array([1])}, [info("y", None, np.bool_)]
    expected = [function(x, 1, keepdims=True)]
    check(single(f"Reduce{op}", {"x": x}, axes, y, opset=20), {"x": x}, expected)


def test_exponentials_do_not_overflow() -> None:
    x = np.array([[200, 201, -5], [-np.inf, -np.inf, -np.inf]], np.float32)
    expected = np.array([200 + np.log1p(np.e), -np.inf], np.float32)
    data = single("ReduceLogSumExp", {"x": x}, {"axes": np.array([1])}, keepdims=0)
    check(data, {"x": x}, [expected])


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_cumulative_sums(axis: int, reverse: int, exclusive: int) -> None:
    x, at = real(3, 4), {"axis": np.array(axis)}
    settings = {"exclusive": exclusive, "reverse": reverse}
    check(single("CumSum", {"x": x}, at, **settings), {"x": x})
    y = np.flip(x, axis) if reverse else x
    y = np.cumprod(y, axis)
    if exclusive:
        y = np.moveaxis(np.roll(y, 1, axis), axis, 0).copy()
        y[0] = 1
        y = np.moveaxis(y, 0, axis)
    y = np.flip(y, axis) if reverse else y
    check(single("CumProd", {"x": x}, at, opset=26, **settings), {"x": x}, [y])


@pytest.mark.parametrize(("opset", "axis"), [(13, -1), (13, 0), (13, 1), (11, 1), (11, 2)])
def test_hardmax(opset: int, axis: int) -> None:
    x = np.random.default_rng(5).integers(0, 4, (2, 3, 4)).astype(np.float32)
    check(single("Hardmax", {"x": x}, opset=opset, axis=axis), {"x": x})


def test_rules() -> None:
    x = real(3, 4)
    with pytest.raises(ModelError, match="input 0 is bool; it must be of numbers"):
        ew.load(single("ReduceLogSumExp", {"x": x > 0}, outputs=[info("y", None, np.bool_)]))
    for axes, rule in (([2], "axis 2; it lies between -2 and 1"), ([0, -2], "named once")):
        with pytest.raises(ModelError, match=rule):
            ew.load(single("ReduceSum", {"x": x}, {"axes": np.array(axes)}))
    with pytest.raises(ModelError, match="it must be integers"):
        ew.load(single("ReduceSum", {"x": x}, {"axes": np.float32([0])}))
