"""What LiteRT lacks of operators of integers; a layer that needs it stays in float."""

from __future__ import annotations

from collections.abc import Mapping

from ..dtype import DType
from ..ops import (
    Abs,
    ArgMax,
    ArgMin,
    BatchMatMul,
    DepthToSpace,
    Div,
    Elu,
    Exp,
    HardSwish,
    L2Normalization,
    Log,
    LogSoftmax,
    Op,
    PRelu,
    ReluN1To1,
    Rsqrt,
    SpaceToDepth,
    Sqrt,
    SquaredDifference,
)

LACKING: Mapping[DType, tuple[type[Op], ...]] = {
    DType.INT8: (Div,),
    DType.UINT8: (
        Abs,
        BatchMatMul,
        Div,
        Elu,
        Exp,
        Log,
        Rsqrt,
        Sqrt,
        SquaredDifference,
    ),
    DType.INT16: (
        ArgMax,
        ArgMin,
        BatchMatMul,
        DepthToSpace,
        Div,
        Elu,
        HardSwish,
        L2Normalization,
        LogSoftmax,
        PRelu,
        ReluN1To1,
        SpaceToDepth,
        SquaredDifference,
    ),
}
"""By the type of activations: operators that LiteRT refuses, or whose results mean something else.
Its DIV stops where a divisor is 0."""
