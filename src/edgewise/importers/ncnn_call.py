"""One layer of an ncnn network, as the function that reads it sees it.

Blobs are values with a batch before ncnn's own dimensions: [N, w], [N, h, w], [N, c, h, w] or
[N, c, d, h, w]. Axes are ncnn's, which do not count the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..dtype import QParams
from ..errors import GraphError
from ..graph import Array, Value
from ..ops import Dequantize
from .builder import Builder
from .call import FileOperator
from .ncnn_file import Layer, Scalar, Weights, Word

EXTENTS = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}
"""The parameters that hold the extents of so many dimensions, in the order of axes."""

Results: TypeAlias = "Value | Sequence[Value]"


class Call(FileOperator):
    """A layer's parameters, blobs and weights.

    Methods raise ModelError when the file breaks a rule.

    Attributes:
        b: what nodes are added to.
        layer: the layer of the file.
        blobs: what it reads.
    """

    def __init__(self, b: Builder, layer: Layer, blobs: Sequence[Value], weights: Weights) -> None:
        self.b, self.layer, self.blobs = b, layer, blobs
        self._weights = weights

    def has(self, key: int) -> bool:
        """Whether a parameter is given."""
        return key in self.layer.parameters

    def integer(self, key: int, default: int = 0) -> int:
        found = self.layer.parameters.get(key, default)
        if isinstance(found, (str, tuple)):
            raise self.error(f"parameter {key} is {found!r}; it must be a number")
        return self._integer(key, found)

    def real(self, key: int, default: float = 0.0) -> float:
        found = self.layer.parameters.get(key, default)
        if isinstance(found, (str, tuple)):
            raise self.error(f"parameter {key} is {found!r}; it must be a number")
        return self._real(key, found)

    def flag(self, key: int, default: bool = False) -> bool:
        return self.integer(key, int(default)) != 0

    def ints(self, key: int) -> tuple[int, ...]:
        """The elements of an array; none where it is not given."""
        return tuple(self._integer(key, n) for n in self._array(key))

    def reals(self, key: int) -> tuple[float, ...]:
        return tuple(self._real(key, n) for n in self._array(key))

    def text(self, key: int) -> str:
        """A parameter of characters; "" where it is not given."""
        found = self.layer.parameters.get(key, "")
        if not isinstance(found, str):
            raise self.error(f"parameter {key} is {found!r}; it must be text")
        return found

    def refuse(self, key: int, feature: str) -> None:
        """Refuse a parameter that is given and not 0 as unsupported."""
        if self.layer.parameters.get(key, 0) not in (0, (), Word(0, 0.0)):
            raise self.unsupported(f"{feature} (parameter {key})")

    def extents(self) -> tuple[int, ...]:
        """The dimensions that Input and MemoryData state; those that they do not state are 0."""
        width, height, depth, channels = (self.integer(key) for key in (0, 1, 11, 2))
        dims = [channels, depth, height, width] if depth else [channels, height, width]
        while len(dims) > 1 and dims[0] == 0:
            dims.pop(0)
        return tuple(dims)

    def _array(self, key: int) -> tuple[Scalar, ...]:
        found = self.layer.parameters.get(key, ())
        if not isinstance(found, tuple):
            raise self.error(f"parameter {key} is {found!r}; it must be an array")
        return found

    def _integer(self, key: int, number: Scalar) -> int:
        if isinstance(number, Word):
            return number.integer
        if number != int(number) or not -(2**31) <= number < 2**31:
            raise self.error(f"parameter {key} is {number}; it must be a whole number of 32 bits")
        return int(number)

    def _real(self, key: int, number: Scalar) -> float:
        found = number.real if isinstance(number, Word) else float(number)
        if not math.isfinite(found):
            raise self.error(f"parameter {key} is {found}; it must be finite")
        return found

    def raw(self, i: int = 0) -> Value:
        """Blob ``i`` as it is, quantized perhaps."""
        if i >= len(self.blobs):
            raise self.error(f"{len(self.blobs)} inputs; it needs input {i}")
        return self.blobs[i]

    def value(self, i: int = 0) -> Value:
        """Blob ``i`` in real numbers."""
        found = self.raw(i)
        return found if found.type.quant is None else self.one(Dequantize(), found)

    def values(self) -> list[Value]:
        return [self.value(i) for i in range(len(self.blobs))]

    def dims(self, i: int = 0) -> tuple[int, ...]:
        """The shape of blob ``i`` without the batch."""
        return self.raw(i).type.shape[1:]

    def rank(self, i: int = 0, *known: int) -> int:
        """The number of ncnn's dimensions of blob ``i``, which must be among ``known``, if any."""
        rank = len(self.dims(i))
        if known and rank not in known:
            ranks = " or ".join(map(str, known))
            raise self.error(f"input {i} has {rank} dimensions; it must have {ranks}")
        return rank

    def axis(self, axis: int, rank: int) -> int:
        """``axis``, counted from the end where negative, as an axis of the value."""
        if not -rank <= axis < rank:
            raise self.error(f"axis {axis}; it lies between {-rank} and {rank - 1}")
        return axis % rank + 1

    def shaped(self, value: Value, dims: Sequence[int]) -> Value:
        """The elements of ``value`` in other dimensions; the batch stays."""
        shape = (value.type.shape[0], *dims)
        if min(dims, default=1) < 0 or math.prod(dims) != math.prod(value.type.shape[1:]):
            raise self.error(
                f"{list(value.type.shape[1:])} has not the size of {list(dims)}; it must"
            )
        return self.b.reshape(value, shape)

    def floats(self, *shape: int) -> Array:
        """The next weights, float32 without a flag."""
        return self._weights.floats(self._size(shape), self.what).reshape(shape)

    def load(self, *shape: int) -> Array:
        """The next weights behind a flag: float32 or int8."""
        return self._weights.load(self._size(shape), self.what).reshape(shape)

    def weights(self, *shape: int) -> Array:
        """The next weights behind a flag, which must not be int8."""
        return self.floating(self.load(*shape))

    def floating(self, data: Array) -> Array:
        """Weights of a layer without scales."""
        if data.dtype == np.int8:
            raise self.unsupported("weights of int8 without scales")
        return data

    def _size(self, shape: Sequence[int]) -> int:
        if min(shape) < 1:
            raise self.error(f"weights of shape {list(shape)}; each dimension is at least 1")
        return math.prod(shape)

    def vector(self, count: int, rank: int) -> Value:
        """The next weights without a flag, one for each element of the first of ``rank`` axes."""
        return self.along_first(self.floats(count), rank)

    def along_first(self, data: Array, rank: int) -> Value:
        """A constant that has one element, or one each along the first of ``rank`` axes."""
        with np.errstate(over="ignore"):
            narrow = data.astype(np.float32)
        return self.b.constant(narrow.reshape(() if data.size == 1 else (-1, *[1] * (rank - 1))))

    def number(self, value: float) -> Value:
        """A constant scalar."""
        with np.errstate(over="ignore"):
            return self.b.constant(np.array(value, np.float32))

    def scale(self, scales: Array, axis: int | None = None) -> QParams:
        """Quantization to int8 by ncnn's scales, which multiply real numbers."""
        with np.errstate(all="ignore"):
            inverse = (np.float32(1) / scales.astype(np.float32)).ravel().tolist()
        try:
            return QParams(tuple(inverse), (0,) * len(inverse), axis)
        except GraphError as error:
            raise self.error(f"scales of int8: {error}") from error


Reader: TypeAlias = "Callable[[Call], Results]"


class Row(NamedTuple):
    """How a layer is read: its reader, and the least and greatest number of its inputs."""

    read: Reader
    inputs: tuple[int, int] = (1, 1)
