"""Pooling and resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from .. import tflite_schema as schema
from ..tflite_call import Built, Call, Row


def average_pool_2d(call: Call) -> Built:
    return _pool(call, ops.AveragePool2D), call.operands(0)


def l2_pool_2d(call: Call) -> Built:
    return _pool(call, ops.L2Pool2D), call.operands(0)


def max_pool_2d(call: Call) -> Built:
    return _pool(call, ops.MaxPool2D), call.operands(0)


def _pool(call: Call, op: Callable[..., ops.Op]) -> ops.Op:
    o = schema.Pool2DOptions
    _, height, width, _ = call.shape(0, rank=4)
    stride = (call.int32(o.STRIDE_H), call.int32(o.STRIDE_W))
    taps = (call.int32(o.FILTER_HEIGHT), call.int32(o.FILTER_WIDTH))
    return op(
        filter=taps,
        stride=stride,
        padding=call.padding(o.PADDING, (height, width), taps, stride),
        activation=call.activation(o.FUSED_ACTIVATION_FUNCTION),
    )


def resize_bilinear(call: Call) -> Built:
    return _resize(call, ops.ResizeBilinear, schema.ResizeBilinearOptions), call.operands(0)


def resize_nearest_neighbor(call: Call) -> Built:
    o = schema.ResizeNearestNeighborOptions
    return _resize(call, ops.ResizeNearestNeighbor, o), call.operands(0)


def _resize(call: Call, op: Callable[..., ops.Op], o: Any) -> ops.Op:
    return op(
        size=call.constant(1, count=2),
        align_corners=call.options.flag(o.ALIGN_CORNERS),
        half_pixel_centers=call.options.flag(o.HALF_PIXEL_CENTERS),
    )


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.AVERAGE_POOL_2D: Row("AVERAGE_POOL_2D", average_pool_2d, (1, 1), schema.Pool2DOptions.TAG),
    _B.L2_POOL_2D: Row("L2_POOL_2D", l2_pool_2d, (1, 1), schema.Pool2DOptions.TAG),
    _B.MAX_POOL_2D: Row("MAX_POOL_2D", max_pool_2d, (1, 1), schema.Pool2DOptions.TAG),
    _B.RESIZE_BILINEAR: Row(
        "RESIZE_BILINEAR", resize_bilinear, (2, 2), schema.ResizeBilinearOptions.TAG
    ),
    _B.RESIZE_NEAREST_NEIGHBOR: Row(
        "RESIZE_NEAREST_NEIGHBOR",
        resize_nearest_neighbor,
        (2, 2),
        schema.ResizeNearestNeighborOptions.TAG,
    ),
}
