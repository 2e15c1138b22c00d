"""Between element types: CAST and BITCAST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, result


@dataclass(frozen=True, eq=False, repr=False)
class Cast(Op):
    """The same number as ``dtype``; quantized values are cast as raw integers.

    Floats are cut toward zero and saturate, NaN becomes the greatest integer; integers wrap;
    anything but 0 is true; of complex numbers the real part stays, unless they become bool.
    """

    name: ClassVar[str] = "CAST"
    either_sign: ClassVar[bool] = False

    dtype: DType = DType.FLOAT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        for dtype in (inputs[0].dtype, self.dtype):
            self.require(dtype is not DType.STRING, "strings; they are no numbers")
        return (result(self, inputs[0].shape, self.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        target: np.dtype[Any] = self.dtype.numpy
        if x.dtype.kind == "c" and target.kind not in "cb":
            x = np.asarray(x.real, order="C")
        if x.dtype.kind == "f" and target.kind in "iu":
            return [_saturated(x, target)]
        with np.errstate(over="ignore"):
            return [x.astype(target)]


def _saturated(x: Array, target: np.dtype[Any]) -> Array:
    """Floats as integers of ``target``, cut toward zero."""
    info = np.iinfo(target)
    high = float(info.max) + 1
    wide = np.trunc(x.astype(np.float64))
    wide = np.where(np.isnan(wide), np.inf, wide)
    inside = np.where((wide >= info.min) & (wide < high), wide, 0).astype(target)
    return np.where(wide >= high, info.max, np.where(wide < info.min, info.min, inside)).astype(
        target
    )


@dataclass(frozen=True, eq=False, repr=False)
class Bitcast(Op):
    """The same bits as ``dtype``.

    To a smaller type the shape gains a last dimension; from a smaller one it loses that dimension,
    which must be the ratio of the sizes.
    """

    name: ClassVar[str] = "BITCAST"
    either_sign: ClassVar[bool] = False

    dtype: DType = DType.FLOAT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        for dtype in (x.dtype, self.dtype):
            self.require(dtype not in (DType.STRING, DType.BOOL), f"{dtype}; it has no bits")
        before, after = x.dtype.itemsize, self.dtype.itemsize
        if before >= after:
            extra = (before // after,) if before > after else ()
            return (result(self, (*x.shape, *extra), self.dtype),)
        ratio = after // before
        self.require(
            x.shape[-1:] == (ratio,),
            f"shape {list(x.shape)}; its last dimension must be {ratio} for {self.dtype}",
        )
        return (result(self, x.shape[:-1], self.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        whole = np.ascontiguousarray(arrays[0]).reshape(-1)
        return [whole.view(self.dtype.numpy).reshape(outputs[0].shape)]
