"""What each precision means: the types of weights and activations, and their parameters."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..dtype import DType, QParams
from ..errors import InputError
from ..graph import Array


class Precision(enum.Enum):
    """How a layer computes; the value is the user's word for it.

    FLOAT32 leaves the layer as it is. INT8, UINT8 and INT16X8 compute with integers alone. DYNAMIC
    has integer weights and float activations, which it quantizes when it runs. FLOAT16 and INT4
    store weights in fewer bits, and compute with floats.
    """

    FLOAT32 = "float32"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16X8 = "int16x8"
    DYNAMIC = "dynamic_range"
    FLOAT16 = "float16"
    INT4 = "int4"

    @classmethod
    def of(cls, name: str | Precision) -> Precision:
        """A precision by its name.

        Raises:
            InputError: there is none of that name.
        """
        if isinstance(name, Precision):
            return name
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(p.value for p in cls)
            raise InputError(f"precision {name!r}; it is one of {known}") from None


@dataclass(frozen=True)
class Scheme:
    """The parameters of a precision, by TensorFlow Lite's quantization specification.

    Attributes:
        weights: their element type, None where they stay as they are.
        bits: of a weight.
        per_channel: weights have a scale for each output channel, else one for all.
        symmetric: weights have zero point 0, and do not use the least value of their type.
        activations: their element type, None for floats.
        centered: activations have zero point 0.
        hybrid: operators take weights of integers and activations of floats, where there are such.
    """

    weights: DType | None = None
    bits: int = 8
    per_channel: bool = True
    symmetric: bool = True
    activations: DType | None = None
    centered: bool = False
    hybrid: bool = False

    @property
    def stored(self) -> tuple[object, ...]:
        """How weights are stored: the same integers serve schemes that store them alike."""
        return self.weights, self.bits, self.per_channel, self.symmetric

    @property
    def weight_range(self) -> tuple[int, int]:
        """Least and greatest integer of a weight."""
        assert self.weights is not None
        if self.symmetric:
            greatest = 2 ** (self.bits - 1) - 1
            return -greatest, greatest
        return self.weights.range


SCHEMES: Mapping[Precision, Scheme] = {
    Precision.FLOAT32: Scheme(),
    Precision.INT8: Scheme(DType.INT8, activations=DType.INT8),
    Precision.UINT8: Scheme(
        DType.UINT8, per_channel=False, symmetric=False, activations=DType.UINT8
    ),
    Precision.INT16X8: Scheme(DType.INT8, activations=DType.INT16, centered=True),
    Precision.DYNAMIC: Scheme(DType.INT8, hybrid=True),
    Precision.FLOAT16: Scheme(DType.FLOAT16, bits=16),
    Precision.INT4: Scheme(DType.INT8, bits=4),
}


class Range(NamedTuple):
    """The real numbers that a tensor's integers span, with ``low <= 0 <= high``."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, eq=False)
class Weights:
    """A constant as integers: ``data`` of the dtype that a scheme says, and what they stand for."""

    data: Array
    quant: QParams


NOTHING = 2.0**-40
"""A range that is narrower is one of zeros, for which any scale will do."""


def activation_parameters(scheme: Scheme, found: Range, least_scale: float = 0.0) -> QParams:
    """Scale and zero point of activations that lie in a range; 0 is exactly one of the steps."""
    assert scheme.activations is not None
    least, greatest = scheme.activations.range
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    if high - low < NOTHING:
        low, high = 0.0, 1.0
    if scheme.centered:
        return QParams.per_tensor(as_scale(max(max(-low, high) / greatest, least_scale)), 0)
    scale = as_scale(max((high - low) / (greatest - least), least_scale))
    zero = round(min(max(least - low / scale, least), greatest))
    return QParams.per_tensor(scale, zero)


def as_scale(scale: float) -> float:
    """``scale`` as files store it: float32."""
    return float(np.float32(scale))
