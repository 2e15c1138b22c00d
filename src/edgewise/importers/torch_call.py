"""One node of an exported program, as the function that reads its operator sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..dtype import DType
from ..errors import UnsupportedError
from ..graph import Array, Value
from ..ops import Cast
from .builder import Builder
from .call import FileOperator
from .limits import ComputedError

MAX_CONSTANT = 2**26
"""The most elements of a tensor that a program makes of numbers."""

Number: TypeAlias = "bool | int | float"
Results: TypeAlias = "Value | Number | Sequence[Value | None]"
"""The outputs of a node; None for one that is not supported, and that nobody may read."""

Reader: TypeAlias = "Callable[[Call], Results]"


class Declared(NamedTuple):
    """What the program says about a result: its shape, with -1 where that is symbolic."""

    shape: tuple[int, ...]
    dtype: DType


def dtype_of(dtype: Any) -> DType:
    """The element type of a torch.dtype.

    Raises:
        UnsupportedError: Edgewise has no such type.
    """
    name = str(dtype).removeprefix("torch.")
    try:
        return DType(name)
    except ValueError:
        raise UnsupportedError(f"element type {name} is not supported") from None


class Call(FileOperator):
    """The arguments of a node by the names of its operator's schema, defaults among them.

    Tensors are `Value`s, sizes that the program computes are Python's numbers. Methods raise
    ModelError where an argument is not what the operator takes, and ComputedError where it must
    be known and is computed.

    Attributes:
        b: what nodes are added to.
        results: what the program says about the node's tensors, in order.
        wanted: which of them are read.
    """

    def __init__(
        self,
        b: Builder,
        arguments: Mapping[str, Any],
        results: Sequence[Declared],
        wanted: Collection[int] = (0,),
    ) -> None:
        self.b, self.arguments, self.results, self.wanted = b, arguments, results, wanted

    @property
    def dtype(self) -> DType:
        """The element type of the first result."""
        if not self.results:
            raise self.error("it has no tensor for a result")
        return self.results[0].dtype

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or ``default`` where it is None or the operator has none of that name."""
        found = self.arguments.get(name)
        return default if found is None else found

    def value(self, name: str = "self") -> Value:
        """A tensor."""
        found = self.get(name)
        if not isinstance(found, Value):
            raise self.error(f"{name} is {found}; it must be a tensor")
        return found

    def optional(self, name: str) -> Value | None:
        return None if self.get(name) is None else self.value(name)

    def values(self, name: str) -> list[Value]:
        """A list of tensors."""
        found = self.get(name)
        if not isinstance(found, (list, tuple)) or not all(isinstance(v, Value) for v in found):
            raise self.error(f"{name}: it must be tensors")
        return list(found)

    def shape(self, name: str = "self") -> tuple[int, ...]:
        return self.value(name).type.shape

    def number(self, name: str, default: Number | None = None) -> Number:
        """A number, or the one element of a constant tensor."""
        found = self.get(name, default)
        if isinstance(found, Value):
            data = self.known(found, name)
            if data.size != 1:
                raise self.error(f"{name} has {data.size} elements; it must have 1")
            found = data.reshape(()).item()
        if not isinstance(found, (bool, int, float)):
            raise self.error(f"{name} is {found}; it must be a number")
        return found

    def integer(self, name: str, default: int | None = None) -> int:
        found = self.number(name, default)
        if not isinstance(found, int):
            raise self.error(f"{name} is {found}; it must be a whole number")
        return int(found)

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.get(name, default))

    def ints(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """Whole numbers; one alone is a list of one."""
        found = self.get(name, default)
        found = [found] if isinstance(found, int) else found
        if not isinstance(found, (list, tuple)) or not all(isinstance(n, int) for n in found):
            raise self.error(f"{name} is {found}; it must be whole numbers")
        return tuple(int(n) for n in found)

    def spread(self, name: str, rank: int, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """One whole number a dimension; one alone stands for all, none for ``default``."""
        found = self.ints(name, default) or tuple(default or ())
        found = found * rank if len(found) == 1 else found
        if len(found) != rank:
            raise self.error(f"{name} is {list(found)}; it has an entry for each of {rank}")
        return found

    def axis(self, name: str = "dim", rank: int | None = None, default: int | None = None) -> int:
        """A dimension, counted from 0."""
        rank = len(self.shape()) if rank is None else rank
        return self.counted(self.integer(name, default), rank)

    def axes(self, name: str = "dim") -> tuple[int, ...]:
        """Dimensions of the tensor ``self``, counted from 0; all where none is named."""
        rank = len(self.shape())
        found = self.ints(name, ()) or range(rank)
        axes = tuple(sorted(self.counted(axis, rank) for axis in found))
        if len(set(axes)) != len(axes):
            raise self.error(f"{name} is {list(found)}; a dimension is named once")
        return axes

    def counted(self, axis: int, rank: int) -> int:
        """``axis`` counted from 0; a scalar has an axis here."""
        most = max(rank, 1)
        if not -most <= axis < most:
            raise self.error(f"dimension {axis}; it lies between {-most} and {most - 1}")
        return axis % most

    def known(self, value: Value, name: str) -> Array:
        """The elements of a tensor that must be constant."""
        value = self.b.known(value)
        if value.data is None:
            raise ComputedError(f"{self.what}: {name} must be a constant; it is computed")
        return value.data

    def eval_only(self, *flags: str) -> None:
        """Refuse an operator that a module in training mode has."""
        for flag in flags:
            if self.flag(flag):
                raise self.unsupported(
                    f"{flag} is set: the module was exported in training mode; call eval() before"
                )

    def scalar(self, value: Number, dtype: DType) -> Value:
        """A constant of one element."""
        if dtype.is_integer and not dtype.range[0] <= value <= dtype.range[1]:
            raise self.error(f"{value}; {dtype} cannot hold it")
        return self.b.constant(np.array(value).astype(dtype.numpy))

    def filled(self, shape: Sequence[int], value: Number, dtype: DType) -> Value:
        """A constant of equal elements."""
        self.check_size(shape)
        return self.b.constant(np.full(shape, np.array(value).astype(dtype.numpy)))

    def check_size(self, shape: Sequence[int]) -> None:
        """Refuse to make a constant of too many elements."""
        count = 1
        for n in shape:
            count *= n
        if min(shape, default=0) < 0 or count > MAX_CONSTANT:
            raise self.unsupported(f"a constant of shape {list(shape)}; at most {MAX_CONSTANT}")

    def cast(self, value: Value, dtype: DType) -> Value:
        """``value`` as another element type."""
        if value.type.dtype is dtype:
            return value
        if value.data is not None and value.data.dtype.kind in "biu":
            return self.b.constant(value.data.astype(dtype.numpy), value.name)
        if dtype is DType.BOOL:
            from ..ops import NotEqual

            return self.one(NotEqual(), value, self.scalar(0, value.type.dtype))
        return self.one(Cast(dtype), value)

    def operand(self, name: str, dtype: DType) -> Value:
        """A tensor or a number as a tensor of ``dtype``."""
        found = self.get(name)
        if isinstance(found, Value):
            return self.cast(found, dtype)
        return self.scalar(self.number(name), dtype)


__all__ = ["Builder", "Call", "Declared", "Reader", "Results", "dtype_of"]
