"""Tensors of a graph as tensors of an ONNX model, in the layout that an operator asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewise.dtype import DType
from edgewise.graph import Array, TensorType, Value

TO_FIRST = (0, 3, 1, 2)
TO_LAST = (0, 2, 3, 1)


class UnsupportedError(ValueError):
    """A network that cannot be written as ONNX; the message says why."""


@dataclass(frozen=True)
class Port:
    """An input or output of the model: its name, and whether it is an image, channels first."""

    name: str
    first: bool

    def given(self, array: Array) -> Array:
        """An array of the graph as the model takes it."""
        return np.ascontiguousarray(array.transpose(TO_FIRST)) if self.first else array

    def taken(self, array: Array) -> Array:
        """An array of the model as the graph has it."""
        return np.ascontiguousarray(array.transpose(TO_LAST)) if self.first else array


class Builder:
    """The nodes and constants of an ONNX model under construction.

    Each value of the graph is known under a name for each layout in which it was asked for:
    channels ``first``, or as the graph has it. ``raw`` is a tensor's own numbers; ``real`` what
    they stand for, which is dequantized where they are quantized. ``symmetric`` asks that windows
    are padded alike on both sides, by a Pad of its own where need be.
    """

    def __init__(self, symmetric: bool = False) -> None:
        self.symmetric = symmetric
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._names: dict[tuple[Value, bool], str] = {}
        self._count = 0

    def fresh(self, stem: str = "t") -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def emit(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output; its name."""
        return self.emit_many(operator, inputs, 1, **attributes)[0]

    def emit_many(
        self, operator: str, inputs: Sequence[str], count: int, **attributes: Any
    ) -> list[str]:
        names = [self.fresh() for _ in range(count)]
        name = self.fresh(operator)
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names

    def constant(self, array: Array | Sequence[Any], dtype: Any = None) -> str:
        name = self.fresh("c")
        data = np.ascontiguousarray(array, dtype)
        data = data.reshape(np.shape(array))
        self.initializers.append(numpy_helper.from_array(data, name))
        return name

    def is_first(self, value: Value) -> bool:
        """Whether the value is there with its channels first."""
        return (value, True) in self._names

    def prefers_first(self, values: Sequence[Value]) -> bool:
        """Whether an operator of any layout, with these operands, should compute channels first."""
        return any(self.is_first(v) for v in values if not v.is_constant)

    def raw(self, value: Value, first: bool = False) -> str:
        """The name of a value's own numbers; a value of less than 4 dimensions is taken as an
        image whose first ones are 1 where ``first`` is asked for.
        """
        key = (value, first)
        if key not in self._names:
            self._names[key] = self._converted(value, first)
        return self._names[key]

    def real(self, value: Value, first: bool = False) -> str:
        """The name of a value's real numbers, for one use: quantized ones are dequantized."""
        axis = None if value.type.quant is None else value.type.quant.axis
        if first and axis is not None:
            axis = axis_of(axis + 4 - len(value.type.shape), True)
        return self.dequantized(self.raw(value, first), value.type, axis)

    def define_raw(self, value: Value, name: str, first: bool = False) -> None:
        self._names[value, first] = name

    def define(self, value: Value, name: str, first: bool = False) -> None:
        """``name`` holds the real numbers of ``value``, which is quantized where its type is."""
        self.define_raw(value, self.quantized(name, value.type), first)

    def dequantized(self, name: str, type: TensorType, axis: int | None = None) -> str:
        """The real numbers of a tensor of ``type``, whose scales, if several, are of ``axis``."""
        return self._linear("DequantizeLinear", name, type, axis)

    def quantized(self, name: str, type: TensorType) -> str:
        """Real numbers as a tensor of ``type`` has them."""
        return self._linear("QuantizeLinear", name, type, None)

    def _linear(self, operator: str, name: str, type: TensorType, axis: int | None) -> str:
        if not is_quantized(type):
            return name
        assert type.quant is not None
        scales = np.array(type.quant.scale, np.float32)
        zeros = np.array(type.quant.zero_point, type.dtype.numpy)
        if axis is None:
            scale, zero = self.constant(scales[0]), self.constant(zeros[0])
            return self.emit(operator, (name, scale, zero))
        return self.emit(operator, (name, self.constant(scales), self.constant(zeros)), axis=axis)

    def _converted(self, value: Value, first: bool) -> str:
        shape = value.type.shape
        if value.data is not None:
            data = as_image(value.data).transpose(TO_FIRST) if first else value.data
            return self.constant(data)
        if len(shape) < 4:
            assert first, f"{value.name} is not defined"
            shape = (1,) * (4 - len(shape)) + shape
            whole = self.emit("Reshape", (self.raw(value), self.constant(shape, np.int64)))
            return self._moved(whole, shape, True)
        return self._moved(self._names[value, not first], shape, first)

    def _moved(self, name: str, shape: tuple[int, ...], first: bool) -> str:
        """A tensor of ``shape`` in the other layout; where no number moves it is a reshape."""
        if shape[1:3] == (1, 1) or shape[3] == 1:
            target = _first(shape) if first else shape
            return self.emit("Reshape", (name, self.constant(target, np.int64)))
        return self.emit("Transpose", (name,), perm=TO_FIRST if first else TO_LAST)


def is_quantized(type: TensorType) -> bool:
    return type.quant is not None and not type.dtype.is_float


def as_image(array: Array) -> Array:
    """With dimensions of 1 in front, so that there are four."""
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def axis_of(axis: int, first: bool) -> int:
    """Where an axis of the graph is."""
    return TO_FIRST.index(axis) if first else axis


def arranged(items: Sequence[Any], first: bool) -> list[Any]:
    """One item an axis, in the order of the layout."""
    return [items[i] for i in TO_FIRST] if first else list(items)


def _first(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[i] for i in TO_FIRST)


ELEMENTS = {
    DType.FLOAT32: TensorProto.FLOAT,
    DType.UINT8: TensorProto.UINT8,
    DType.INT8: TensorProto.INT8,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.BOOL: TensorProto.BOOL,
}


def element(dtype: DType) -> int:
    """ONNX's number for a type of elements.

    Raises:
        UnsupportedError: ONNX models here do not have it.
    """
    if dtype not in ELEMENTS:
        raise UnsupportedError(f"tensors of {dtype}")
    return int(ELEMENTS[dtype])
