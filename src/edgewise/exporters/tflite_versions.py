"""Versions of operators in .tflite files: the first one that knows the types and options.

The rules are those by which TensorFlow Lite's converter numbers what it writes; a runtime refuses
versions that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..dtype import DType
from ..graph import TensorType

F16, F32, F64 = DType.FLOAT16, DType.FLOAT32, DType.FLOAT64
I8, U8, I16, I32, I64, U32 = (
    DType.INT8,
    DType.UINT8,
    DType.INT16,
    DType.INT32,
    DType.INT64,
    DType.UINT32,
)
BOOL, STRING = DType.BOOL, DType.STRING


class Signed(NamedTuple):
    """What a version depends on: types of the inputs that are given, of the outputs, options."""

    inputs: Sequence[TensorType]
    outputs: Sequence[TensorType]
    fields: Mapping[str, Any]

    @property
    def x(self) -> DType:
        return self.inputs[0].dtype

    @property
    def rank(self) -> int:
        return len(self.inputs[0].shape)

    @property
    def is_hybrid(self) -> bool:
        return (self.x, self.inputs[1].dtype, self.outputs[0].dtype) == (F32, I8, F32)

    @property
    def is_per_channel(self) -> bool:
        quant = self.inputs[1].quant
        return quant is not None and len(quant.scale) > 1

    @property
    def is_packed(self) -> bool:
        """Whether the second input has fewer bits than its type."""
        quant = self.inputs[1].quant
        return quant is not None and quant.bits is not None

    @property
    def broadcasts_many(self) -> bool:
        a, b = self.inputs[:2]
        return a.shape != b.shape and max(len(a.shape), len(b.shape)) > 4


Rule = Callable[[Signed], int]


def version(builtin: str, signed: Signed) -> int:
    """The version of an operator."""
    if builtin in RULES:
        return RULES[builtin](signed)
    return BY_TYPE[builtin].get(signed.x, 1) if builtin in BY_TYPE else 1


def _conv(s: Signed) -> int:
    if s.inputs[0].shape[3] != s.inputs[1].shape[3]:
        return 6
    if "QuantizedBiasType" in s.fields:
        return 8
    if s.is_packed:
        return 7
    if s.is_hybrid:
        return 5 if s.is_per_channel else 2
    return {I8: 3, I16: 4}.get(s.x, 1)


def _depthwise(s: Signed) -> int:
    if s.is_packed:
        return 7
    if s.is_hybrid:
        return 6 if s.is_per_channel else 4
    dilated = s.fields["DilationHFactor"] != 1 or s.fields["DilationWFactor"] != 1
    return {I8: 3, I16: 5}.get(s.x, 2 if dilated else 1)


def _fully_connected(s: Signed) -> int:
    if s.is_hybrid and s.is_per_channel:
        return 12
    if s.x is I16:
        return 11 if "QuantizedBiasType" in s.fields else 7
    if s.is_packed:
        return 10
    if len(s.inputs) == 2:
        return 6
    if s.fields["KeepNumDims"]:
        return 5
    if s.is_hybrid:
        return 9 if s.fields["AsymmetricQuantizeInputs"] else 3
    return 4 if s.x is I8 else 1


def _batch_matmul(s: Signed) -> int:
    if s.is_hybrid:
        return 4 if s.fields["AsymmetricQuantizeInputs"] else 1
    return {I8: 2, I16: 3}.get(s.x, 1)


def _transpose_conv(s: Signed) -> int:
    """Its operands are (output shape, weights, input, bias)."""
    if "QuantizedBiasType" in s.fields:
        return 5
    if s.fields["FusedActivationFunction"]:
        return 4
    if len(s.inputs) == 4:
        return 3
    return 2 if s.inputs[1].dtype is I8 else 1


def _transpose(s: Signed) -> int:
    if s.rank > 5:
        return 6
    if s.x is I16:
        return 5
    return 4 if s.rank > 4 else {BOOL: 3, I8: 2}.get(s.x, 1)


def _strided_slice(s: Signed) -> int:
    if s.x in (U32, STRING):
        return 7 if s.x is U32 else 5
    return 4 if s.rank > 4 else {BOOL: 3, I8: 2}.get(s.x, 1)


def _resize(s: Signed) -> int:
    if s.x is I16:
        return 4
    return 3 if s.fields["HalfPixelCenters"] else {I8: 2}.get(s.x, 1)


def _resize_nearest(s: Signed) -> int:
    return max(_resize(s), 3 if s.fields["AlignCorners"] else 1)


def _pad(s: Signed) -> int:
    return 4 if s.rank > 4 else {I16: 3, I8: 2}.get(s.x, 1)


def _blocks(s: Signed) -> int:
    return 4 if s.x is I16 else 3 if s.rank != 4 else {I8: 2}.get(s.x, 1)


def _add(s: Signed) -> int:
    if s.x is I16:
        plain = s.inputs[0].quant is None
        return 5 if plain else 1 if s.fields["PotScaleInt16"] else 3
    return {I64: 4, I8: 2}.get(s.x, 1)


def _sub(s: Signed) -> int:
    if s.x is I16 and not s.fields["PotScaleInt16"]:
        return 5
    return 4 if s.x is I64 else 3 if s.broadcasts_many else {I8: 2}.get(s.x, 1)


def _mul(s: Signed) -> int:
    scales = [t.quant.scale[0] for t in (*s.inputs[:2], s.outputs[0]) if t.quant is not None]
    if s.x is I16 and s.inputs[0].quant is None:
        return 7
    found = {U32: 7, DType.COMPLEX64: 6, I64: 5, I16: 4}.get(s.x)
    if found is not None:
        return found
    if len(scales) == 3 and scales[0] * scales[1] / scales[2] >= 1:
        return 3
    return 2 if s.x is I8 else 1


def _extreme(s: Signed) -> int:
    return 4 if s.x is I16 else 3 if s.broadcasts_many else {I8: 2}.get(s.x, 1)


def _gather(s: Signed) -> int:
    if s.inputs[1].dtype is I16:
        return 6
    return 5 if s.fields["BatchDims"] else {I16: 4, BOOL: 3, I8: 2}.get(s.x, 1)


def _cast(s: Signed) -> int:
    types = {s.x, s.outputs[0].dtype}
    rules = (({F64, F16}, 5), ({DType.UINT16}, 4), ({I8}, 3), ({U32}, 2))
    return next((number for known, number in rules if types & known), 1)


def _dequantize(s: Signed) -> int:
    quant = s.inputs[0].quant
    if quant is not None and quant.bits is not None:
        return 6
    if s.x is I8 and quant is not None and len(quant.scale) > 1:
        return 5
    return {I16: 3, F16: 3, I8: 2}.get(s.x, 1)


def _quantize(s: Signed) -> int:
    quant = s.outputs[0].quant
    if quant is not None and len(quant.scale) > 1:
        return 3
    return 2 if s.outputs[0].dtype is I16 else 1


def _abs(s: Signed) -> int:
    if s.x is I16:
        return 4 if s.inputs[0].quant is None else 3
    return {I32: 5, I8: 2, U8: 2}.get(s.x, 1)


def _lstm(s: Signed) -> int:
    if s.fields.get("KernelType"):
        return 2
    return _sequence_lstm(s) + (1 if s.is_hybrid else 0)


def _sequence_lstm(s: Signed) -> int:
    if s.x is I16:
        return 5
    return _recurrent(s)


def _recurrent(s: Signed) -> int:
    return (3 if s.fields["AsymmetricQuantizeInputs"] else 2) if s.is_hybrid else 1


def _svdf(s: Signed) -> int:
    if s.x is I8:
        return 3
    return (4 if s.fields["AsymmetricQuantizeInputs"] else 2) if s.is_hybrid else 1


def _top_k(s: Signed) -> int:
    return 3 if I16 in (s.x, s.outputs[1].dtype) else {I8: 2}.get(s.x, 1)


RULES: dict[str, Rule] = {
    "ABS": _abs,
    "ADD": _add,
    "BATCH_MATMUL": _batch_matmul,
    "BATCH_TO_SPACE_ND": _blocks,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "BROADCAST_TO": lambda s: 3 if s.x in (I8, I16) else 2,
    "CAST": _cast,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantize,
    "DIV": lambda s: 2 if s.broadcasts_many else 1,
    "FAKE_QUANT": lambda s: 2 if s.fields["NarrowRange"] else 1,
    "FILL": lambda s: {F16: 4, I8: 3, I16: 3, BOOL: 2, STRING: 2}.get(s.inputs[1].dtype, 1),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gather,
    "GATHER_ND": lambda s: (
        5 if s.x is BOOL else 4 if s.inputs[1].dtype is I16 else {I16: 3, STRING: 2}.get(s.x, 1)
    ),
    "LSTM": _lstm,
    "MAXIMUM": _extreme,
    "MINIMUM": _extreme,
    "MUL": _mul,
    "PAD": _pad,
    "PADV2": _pad,
    "QUANTIZE": _quantize,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
    "RNN": _recurrent,
    "SELECT": lambda s: 3 if any(len(t.shape) == 5 for t in s.inputs) else 1,
    "SPACE_TO_BATCH_ND": _blocks,
    "SPARSE_TO_DENSE": lambda s: {I8: 3, U8: 3, I64: 2}.get(s.inputs[2].dtype, 1),
    "SPLIT": lambda s: {I16: 4, I32: 3, I8: 2}.get(s.inputs[1].dtype, 1),
    "STRIDED_SLICE": _strided_slice,
    "SUB": _sub,
    "SVDF": _svdf,
    "TOPK_V2": _top_k,
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "WHERE": lambda s: 1 if s.x is BOOL else 2,
}

_INT8, _BOTH, _WIDE, _BOOL = {I8: 2}, {I8: 2, I16: 2}, {I16: 3, I8: 2}, {BOOL: 3, I8: 2}

BY_TYPE: dict[str, Mapping[DType, int]] = {
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _BOOL),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _WIDE),
    **dict.fromkeys(("EXP", "LOG", "REDUCE_PROD"), _BOTH),
    **dict.fromkeys(("GREATER_EQUAL", "LESS", "LOGISTIC", "TANH"), _WIDE),
    **dict.fromkeys(("MEAN", "MIRROR_PAD", "REDUCE_MAX", "REDUCE_MIN"), _WIDE),
    **dict.fromkeys(("RELU6", "RSQRT", "SOFTMAX"), _WIDE),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "SPLIT_V"), _INT8),
    **dict.fromkeys(("GREATER", "LESS_EQUAL", "LOG_SOFTMAX"), _INT8),
    **dict.fromkeys(("L2_NORMALIZATION", "SQUARED_DIFFERENCE", "SUM"), _INT8),
    "CONCATENATION": {U32: 4, **_WIDE},
    "EQUAL": {I16: 4, STRING: 3, I8: 2},
    "FLOOR_DIV": {I16: 3, I8: 3, F32: 2},
    "FLOOR_MOD": {I16: 2, I8: 2},
    "GELU": {I8: 2, U8: 2},
    "LEAKY_RELU": {I16: 2},
    "NOT_EQUAL": {STRING: 3, I8: 2},
    "PACK": {U32: 4, **_WIDE},
    "RANGE": {I64: 2},
    "RELU": {I16: 3, I8: 2, U8: 2},
    "REVERSE_V2": {I8: 3, BOOL: 2},
    "SELECT_V2": {U32: 2},
    "SIGN": {I32: 2},
    "SQUEEZE": {STRING: 2},
    "TILE": {I8: 3, STRING: 2},
    "UNPACK": {I16: 4, BOOL: 3, I8: 2, U8: 2},
}
