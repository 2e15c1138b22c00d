"""Versions of operators: those that TensorFlow Lite's converter gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from edgewise.dtype import DType, QParams
from edgewise.exporters.tflite_ops import ROWS
from edgewise.exporters.tflite_versions import BY_TYPE, RULES, Signed, version
from edgewise.graph import TensorType

F32, F16, I8, U8, I16 = DType.FLOAT32, DType.FLOAT16, DType.INT8, DType.UINT8, DType.INT16
I32, I64, BOOL = DType.INT32, DType.INT64, DType.BOOL
PER_CHANNEL = QParams((0.1, 0.2), (0, 0), 0)
HALF = QParams.per_tensor(0.5, 0)


def t(dtype: DType, *shape: int, quant: QParams | None = None) -> TensorType:
    return TensorType(shape or (1, 4, 4, 2), dtype, quant)


def hybrid(**fields: Any) -> dict[str, Any]:
    return {"KeepNumDims": False, "AsymmetricQuantizeInputs": True, **fields}


PLAIN = {"KeepNumDims": False, "AsymmetricQuantizeInputs": False}
DILATED = {"DilationHFactor": 2, "DilationWFactor": 1}
UNDILATED = {"DilationHFactor": 1, "DilationWFactor": 1}
W8 = t(I8, quant=PER_CHANNEL)

CASES: list[tuple[str, Sequence[TensorType], Sequence[TensorType], dict[str, Any], int]] = [
    ("CONV_2D", [t(F32), t(F32)], [t(F32)], {}, 1),
    ("CONV_2D", [t(U8), t(U8)], [t(U8)], {}, 1),
    ("CONV_2D", [t(I8), t(I8)], [t(I8)], {}, 3),
    ("CONV_2D", [t(F32), t(I8)], [t(F32)], {}, 2),
    ("CONV_2D", [t(F32), W8], [t(F32)], {}, 5),
    ("CONV_2D", [t(F32, 1, 4, 4, 4), t(F32)], [t(F32)], {}, 6),
    ("CONV_2D", [t(I16), t(I8), t(I32)], [t(I16)], {"QuantizedBiasType": 2}, 8),
    ("DEPTHWISE_CONV_2D", [t(F32), t(F32)], [t(F32)], UNDILATED, 1),
    ("DEPTHWISE_CONV_2D", [t(F32), t(F32)], [t(F32)], DILATED, 2),
    ("DEPTHWISE_CONV_2D", [t(I8), t(I8)], [t(I8)], UNDILATED, 3),
    ("FULLY_CONNECTED", [t(F32), t(F32), t(F32)], [t(F32)], PLAIN, 1),
    ("FULLY_CONNECTED", [t(I8), t(I8), t(I32)], [t(I8)], PLAIN, 4),
    ("FULLY_CONNECTED", [t(F32), t(F32)], [t(F32)], PLAIN, 6),
    ("FULLY_CONNECTED", [t(F32), t(I8), t(F32)], [t(F32)], hybrid(), 9),
    ("FULLY_CONNECTED", [t(F32), W8, t(F32)], [t(F32)], hybrid(), 12),
    ("TRANSPOSE_CONV", [t(I32), t(I8), t(I8)], [t(I8)], {"FusedActivationFunction": 0}, 2),
    (
        "TRANSPOSE_CONV",
        [t(I32), t(F32), t(F32), t(F32)],
        [t(F32)],
        {"FusedActivationFunction": 0},
        3,
    ),
    ("TRANSPOSE_CONV", [t(I32), t(F32), t(F32)], [t(F32)], {"FusedActivationFunction": 1}, 4),
    ("ADD", [t(F32), t(F32)], [t(F32)], {}, 1),
    ("ADD", [t(I8), t(I8)], [t(I8)], {}, 2),
    ("ADD", [t(I64), t(I64)], [t(I64)], {}, 4),
    ("MUL", [t(I8, quant=HALF)] * 2, [t(I8, quant=HALF)], {}, 2),
    ("MUL", [t(I8, quant=HALF)] * 2, [t(I8, quant=QParams.per_tensor(0.1, 0))], {}, 3),
    ("SUB", [t(F32, 1, 2, 3, 4, 5), t(F32, 5)], [t(F32, 1, 2, 3, 4, 5)], {}, 3),
    ("BROADCAST_TO", [t(F32), t(I32, 4)], [t(F32)], {}, 2),
    ("BROADCAST_TO", [t(I8), t(I32, 4)], [t(I8)], {}, 3),
    ("CAST", [t(F16)], [t(F32)], {}, 5),
    ("CAST", [t(I32)], [t(F32)], {}, 1),
    ("DEQUANTIZE", [t(F16)], [t(F32)], {}, 3),
    ("DEQUANTIZE", [t(I8, quant=HALF)], [t(F32)], {}, 2),
    ("GATHER", [t(F32), t(I32)], [t(F32)], {"BatchDims": 1}, 5),
    ("PAD", [t(F32, 1, 2, 3, 4, 5), t(I32, 5, 2)], [t(F32)], {}, 4),
    ("RESIZE_BILINEAR", [t(F32), t(I32, 2)], [t(F32)], {"HalfPixelCenters": True}, 3),
    ("STRIDED_SLICE", [t(BOOL), *[t(I32, 4)] * 3], [t(BOOL)], {}, 3),
    ("TRANSPOSE", [t(F32, 1, 2, 3, 4, 5, 6), t(I32, 6)], [t(F32)], {}, 6),
    ("SOFTMAX", [t(I8)], [t(I8)], {}, 2),
    ("SOFTMAX", [t(I16)], [t(I16)], {}, 3),
    ("RANK", [t(F32)], [t(I32)], {}, 1),
]


@pytest.mark.parametrize(("name", "inputs", "outputs", "fields", "expected"), CASES)
def test_version(
    name: str,
    inputs: Sequence[TensorType],
    outputs: Sequence[TensorType],
    fields: dict[str, Any],
    expected: int,
) -> None:
    assert version(name, Signed(inputs, outputs, fields)) == expected


def test_every_rule_is_of_an_operator_that_is_written() -> None:
    written = {op.name for op in ROWS} | {"PADV2", "SELECT_V2"}
    assert {*RULES, *BY_TYPE} <= written
    assert not RULES.keys() & BY_TYPE.keys()
