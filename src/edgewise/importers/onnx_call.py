"""One node of an ONNX graph, as the function that reads it sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ..dtype import DType
from ..graph import Array, Value
from .builder import Builder
from .call import FileOperator
from .limits import ComputedError
from .onnx_model import DTYPES, Attributes

if TYPE_CHECKING:
    from .onnx_reading import Reading

Argument: TypeAlias = "Value | tuple[Value, ...] | None"
"""What a name of a file holds: a tensor, a sequence of them, or None, an empty optional."""

Results: TypeAlias = "Value | Sequence[Argument]"
"""The outputs of a node, in order; those that nobody reads may be left out at the end."""


class Call(FileOperator):
    """A node's attributes and inputs (None where one is left out).

    Methods raise ModelError when the file breaks a rule, and ComputedError where a value must be
    constant and is computed.

    Attributes:
        b: what nodes are added to.
        op_type: the operator's name.
        opset: the version of its domain that the file imports.
        outputs: names of the outputs; "" for one that is left out.
        reading: what reads the graph, for operators that hold graphs.
    """

    def __init__(
        self,
        reading: Reading,
        op_type: str,
        opset: int,
        inputs: Sequence[Argument],
        outputs: Sequence[str],
        attributes: Attributes,
    ) -> None:
        self.reading, self.b = reading, reading.b
        self.op_type, self.opset = op_type, opset
        self.inputs, self.outputs = inputs, outputs
        self.attributes = attributes

    def optional(self, i: int) -> Value | None:
        """Input ``i``, or None where it is left out."""
        found = self.inputs[i] if i < len(self.inputs) else None
        if isinstance(found, tuple):
            raise self.error(f"input {i} is a sequence; it must be a tensor")
        return found

    def sequence(self, i: int) -> tuple[Value, ...]:
        """The tensors of input ``i``, a sequence."""
        found = self.inputs[i]
        if not isinstance(found, tuple):
            raise self.error(f"input {i} is no sequence; it must be one")
        return found

    def value(self, i: int) -> Value:
        """Input ``i``."""
        value = self.optional(i)
        if value is None:
            raise self.error(f"input {i} is left out; it is required")
        return value

    def values(self, since: int = 0) -> list[Value]:
        """All inputs from ``since`` on; none may be left out."""
        return [self.value(i) for i in range(since, len(self.inputs))]

    def shape(self, i: int) -> tuple[int, ...]:
        return self.value(i).type.shape

    def rank(self, i: int) -> int:
        return len(self.shape(i))

    def constant(self, i: int) -> Array:
        """The elements of input ``i``, which must be known."""
        value = self.b.known(self.value(i))
        if value.data is None:
            raise ComputedError(f"{self.what}: input {i} {value.name!r} must be a constant")
        return value.data

    def integers(self, i: int) -> tuple[int, ...]:
        """The elements of input ``i``, constant whole numbers."""
        dtype = self.value(i).type.dtype
        if not dtype.is_integer:
            raise self.error(f"input {i} is {dtype}; it must be integers")
        return tuple(int(n) for n in self.constant(i).ravel())

    def scalar(self, i: int) -> Any:
        """The one element of input ``i``, a constant real number, as a Python number."""
        dtype = self.value(i).type.dtype
        if not (dtype.is_integer or dtype.is_float or dtype is DType.BOOL):
            raise self.error(f"input {i} is {dtype}; it must be a real number")
        data = self.constant(i)
        if data.size != 1:
            raise self.error(f"input {i} has {data.size} elements; it must have 1")
        return data.reshape(()).item()

    def whole(self, i: int) -> int:
        """The one element of input ``i``, a constant, as a whole number."""
        found = self.scalar(i)
        if not math.isfinite(found):
            raise self.error(f"input {i} is {found}; it must be finite")
        return int(found)

    def has(self, i: int) -> bool:
        """Whether input ``i`` is given."""
        return self.optional(i) is not None

    def wants(self, i: int) -> bool:
        """Whether output ``i`` has a name."""
        return i < len(self.outputs) and bool(self.outputs[i])

    def integer(self, name: str, default: int | None = None) -> int:
        return int(self.attributes.get(name, "INT", default))

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.attributes.get(name, "INT", int(default)))

    def real(self, name: str, default: float | None = None) -> float:
        return float(self.attributes.get(name, "FLOAT", default))

    def text(self, name: str, default: str | None = None) -> str:
        found = self.attributes.get(name, "STRING", default)
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def ints(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        return tuple(int(n) for n in self.attributes.get(name, "INTS", default))

    def reals(self, name: str, default: Sequence[float] | None = None) -> tuple[float, ...]:
        return tuple(float(n) for n in self.attributes.get(name, "FLOATS", default))

    def texts(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        found = self.attributes.get(name, "STRINGS", default)
        return tuple(s.decode(errors="replace") if isinstance(s, bytes) else s for s in found)

    def numbers(self, name: str, i: int, since: int) -> tuple[int, ...] | None:
        """Whole numbers that are attribute ``name`` before opset ``since``, and input ``i`` then.

        None where they are left out.
        """
        if self.opset >= since:
            return self.integers(i) if self.has(i) else None
        return self.ints(name) if name in self.attributes else None

    def code(self, i: int) -> int:
        """The number of input ``i``'s element type in TensorProto.DataType."""
        value = self.value(i)
        code = self.reading.session.codes.get(value)
        return next(c for c, d in DTYPES.items() if d is value.type.dtype) if code is None else code

    def dtype(self, code: int) -> DType:
        """The element type of a number of ONNX's TensorProto.DataType."""
        if code not in DTYPES:
            raise self.unsupported(f"element type {code}")
        return DTYPES[code]

    def axis(self, axis: int, rank: int) -> int:
        """``axis`` counted from 0."""
        if not -rank <= axis < rank:
            raise self.error(f"axis {axis}; it lies between {-rank} and {rank - 1}")
        return axis % rank

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """``axes`` counted from 0, each once."""
        found = tuple(self.axis(axis, rank) for axis in axes)
        if len(set(found)) != len(found):
            raise self.error(f"axes {list(axes)}; an axis is named once")
        return found

    def number(self, value: float, like: Value) -> Value:
        """A constant scalar of the dtype of ``like``, which must be able to hold it."""
        try:
            return self.b.constant(np.array(value, like.type.dtype.numpy))
        except (OverflowError, ValueError):
            raise self.error(f"its rule needs the number {value} of {like.type.dtype}") from None

    def only(self, *dtypes: DType) -> None:
        """Refuse a first input of another dtype as unsupported."""
        found = self.value(0).type.dtype
        if found not in dtypes:
            known = ", ".join(map(str, dtypes))
            raise self.unsupported(f"input 0 is {found}; supported are {known}")


Reader: TypeAlias = "Callable[[Call], Results]"


class Row(NamedTuple):
    """How an operator is read.

    Attributes:
        read: its reader.
        inputs: the least and greatest number of its inputs.
        quantized: it moves elements whatever they stand for, or knows what they do. Others see
            what QuantizeLinear gives as plain integers.
    """

    read: Reader
    inputs: tuple[int, int] = (1, 1)
    quantized: bool = False


__all__ = ["Argument", "Builder", "Call", "Results", "Row"]
