"""Random choices for .tflite files of one operator: types, shapes, data; the generators' table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import Operator, Tensor, build

Array = npt.NDArray[Any]
F32, F16, U8, I8 = DType.FLOAT32, DType.FLOAT16, DType.UINT8, DType.INT8
I16, I32, I64, BOOL = DType.INT16, DType.INT32, DType.INT64, DType.BOOL
C64 = DType.COMPLEX64
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, -1e-42, 3.4e38, -3.4e38, 1e-38)
SPECIAL += (1.0, -1.0, 0.5, 2.5, 1e5, 88.8)


class Trial(NamedTuple):
    """A file's operator, and data for those of its inputs that are computed.

    Attributes:
        outputs: their shapes are found by LiteRT.
        step: how far integers may be from LiteRT's.
        scaled: errors of floats are relative to the greatest number, not to each.
        odd: the data has infinities, NaN, denormal numbers or such that overflow.
    """

    builtin: str
    inputs: Sequence[Tensor | None]
    outputs: Sequence[TensorType]
    options: str
    fields: dict[str, Any]
    arrays: Sequence[Array]
    step: int = 0
    scaled: bool = False
    odd: bool = False

    def file(self, shapes: Sequence[Sequence[int]] | None = None) -> bytes:
        """The file, whose outputs are declared to have these ``shapes``."""
        outs = [Tensor(t) for t in self.outputs]
        if shapes is not None:
            pairs = zip(self.outputs, shapes, strict=True)
            outs = [Tensor(TensorType(tuple(s), t.dtype, t.quant)) for t, s in pairs]
        operands = (t for t in self.inputs if t is not None and not t.is_variable)
        given = [t for t in operands if t.data is None]
        op = Operator(self.builtin, self.inputs, outs, self.options, self.fields)
        return build([op], given, outs)


class Draw:
    """Random choices for one trial; ``wild`` ones have extreme data, ``zero`` ones empty axes."""

    def __init__(self, seed: Sequence[int]) -> None:
        self.rng = np.random.default_rng(list(seed))
        self.arrays: list[Array] = []
        self.wild = self.chance(0.25)
        self.zero = self.chance(0.04)
        self.special = np.array(SPECIAL)
        self.odd = False

    def finite(self) -> None:
        """No infinities, NaN or sums that overflow from here on."""
        size = np.abs(self.special)
        self.special = self.special[(size < 1e6) & ((size > 1e-30) | (size == 0))]

    def one(self, of: Sequence[Any]) -> Any:
        return of[int(self.rng.integers(len(of)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def dim(self) -> int:
        if self.zero and self.chance(0.4):
            return 0
        usual = (1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)
        return int(self.one(usual)) if self.chance(0.9) else self.int(1, 70)

    def shape(self, low: int = 0, high: int = 5) -> tuple[int, ...]:
        rank = self.int(low, high)
        shape = [self.dim() for _ in range(rank)]
        while np.prod(shape) > 4000:
            i = int(np.argmax(shape))
            shape[i] = max(1, shape[i] // 3)
        return tuple(shape)

    def scale(self) -> float:
        if self.chance(0.1):
            return float(np.float32(self.one((1.0, 0.5, 1 / 256, 1 / 128))))
        return float(np.float32(np.exp(self.rng.uniform(np.log(0.003), np.log(0.5)))))

    def quant(self, dtype: DType, symmetric: bool = False) -> QParams:
        low, high = dtype.range
        if symmetric or dtype is I16:
            zero = 0
        else:
            zero = self.one((low, high, self.int(low, high), self.int(low, high)))
        scale = self.scale() / (100 if dtype is I16 else 1)
        return QParams.per_tensor(float(np.float32(scale)), zero)

    def type(self, shape: Sequence[int], dtype: DType, quantized: bool | None = None) -> TensorType:
        if quantized is None:
            quantized = dtype in (I8, U8, I16)
        return TensorType(tuple(shape), dtype, self.quant(dtype) if quantized else None)

    def values(self, t: TensorType, low: int | None = None, high: int | None = None) -> Array:
        d = t.dtype
        if d is BOOL:
            return self.rng.integers(2, size=t.shape).astype(bool)
        if d.is_integer:
            a, b = d.range
            if low is not None:
                a, b = low, high
            elif self.wild:
                picks = np.array([a, b, 0, 1, a + 1, b - 1] + ([-1] if a < 0 else []), d.numpy)
                return picks[self.rng.integers(len(picks), size=t.shape)].astype(d.numpy)
            elif t.quant is None and self.chance(0.7) and d is not U8:
                a, b = max(a, -40), 40
            return self.rng.integers(a, b, t.shape, d.numpy, endpoint=True).astype(d.numpy)
        y: Any = self.rng.normal(0, self.one((1, 3, 3, 20)), t.shape)
        if self.wild:
            self.odd |= not np.isfinite(self.special).all()
            pick = self.rng.random(t.shape) < 0.4
            y = np.where(pick, self.special[self.rng.integers(len(self.special), size=t.shape)], y)
        if not d.is_float:
            y = y + 1j * self.rng.normal(0, 3, t.shape)
        with np.errstate(all="ignore"):
            return np.asarray(y).astype(d.numpy).reshape(t.shape)

    def operand(self, t: TensorType, data: Array | None = None, constant: float = 0.2) -> Tensor:
        """A constant, or an input of the file, whose data is kept."""
        data = self.values(t) if data is None else data
        data = np.asarray(np.asarray(data).astype(t.dtype.numpy)).reshape(t.shape)
        if self.chance(constant):
            return Tensor(t, np.ascontiguousarray(data).reshape(t.shape))
        self.arrays.append(data)
        return Tensor(t)

    def input(self, t: TensorType, data: Array | None = None) -> Tensor:
        return self.operand(t, data, 0)

    def constant(self, data: Any, dtype: DType = I32) -> Tensor:
        a = np.array(data, dtype.numpy)
        return Tensor(TensorType(a.shape, dtype), a)

    def index(self, data: Any, dtype: DType | None = None) -> Tensor:
        """A shape operand: a constant nearly always, else an input."""
        a = np.array(data, (dtype or I32).numpy)
        return self.operand(TensorType(a.shape, dtype or I32), a, 0.85)

    def broadcast(self, low: int = 0, high: int = 5) -> tuple[tuple[int, ...], tuple[int, ...]]:
        full = self.shape(low, high)
        kind = self.int(0, 5)
        if kind == 0:
            return full, full
        a, b = list(full), list(full)
        if kind == 1:
            b = []
        elif kind == 2 and full:
            b = b[self.int(0, len(b)) :]
        for i in range(len(full)):
            if self.chance(0.35):
                a[i] = 1
            if len(b) == len(full) and self.chance(0.35):
                b[i] = 1
        if len(b) == len(full) and self.chance(0.3):
            b = b[self.int(0, len(b)) :]
        return (tuple(a), tuple(b)) if self.chance(0.5) else (tuple(b), tuple(a))

    def trial(
        self,
        builtin: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[TensorType],
        options: str = "",
        *,
        step: int = 0,
        scaled: bool = False,
        **fields: Any,
    ) -> Trial:
        return Trial(builtin, inputs, outputs, options, fields, self.arrays, step, scaled, self.odd)


GENERATORS: dict[str, Callable[[Draw], Trial]] = {}
"""What draws a file of an operator, by its name in the schema."""


def gen(*names: str) -> Callable[[Any], Any]:
    """Enter a function of a ``Draw`` and a name for these operators."""

    def add(f: Callable[[Draw, str], Trial]) -> Any:
        for name in names:
            GENERATORS[name] = lambda d, name=name: f(d, name)
        return f

    return add
