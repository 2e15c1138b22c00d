"""Operators that users register: a function of numpy arrays as an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..dtype import DType
from ..errors import RunError
from ..graph import Array, TensorType
from .base import Op

Function: TypeAlias = "Callable[..., Array | Sequence[Array]]"
Inference: TypeAlias = "Callable[..., TensorType | Sequence[TensorType]]"


@dataclass(frozen=True, eq=False, repr=False)
class CustomFunction(Op):
    """An operator computed by ``function(*arrays, **options)``, which gives an array or several.

    ``inference(*types, **options)`` gives the types of the outputs. `custom_function` makes the
    subclass that holds both.
    """

    either_sign: ClassVar[bool] = False
    function: ClassVar[Function]
    inference: ClassVar[Inference]

    options: tuple[tuple[str, Any], ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        types = type(self).inference(*inputs, **dict(self.options))
        return (types,) if isinstance(types, TensorType) else tuple(types)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        given = type(self).function(*arrays, **dict(self.options))
        results = [given] if isinstance(given, np.ndarray) else list(given)
        found = [(a.dtype, a.shape) for a in results]
        wanted = [(t.dtype.numpy, t.shape) for t in outputs]
        if found != wanted:
            raise RunError(
                f"{self.name}: its function gives {_describe(found)}; "
                f"its inference says {_describe(wanted)}"
            )
        return [np.asarray(a, order="C") for a in results]


def custom_function(name: str, function: Function, inference: Inference) -> type[CustomFunction]:
    """The operator ``name`` that ``function`` computes."""
    members = {"name": name, "function": staticmethod(function)}
    return type(name, (CustomFunction,), {**members, "inference": staticmethod(inference)})


def _describe(types: Sequence[tuple[np.dtype[Any], tuple[int, ...]]]) -> str:
    return ", ".join(f"{DType(dtype.name)}{list(shape)}" for dtype, shape in types) or "nothing"
