"""Small .tflite files for tests of the importer, and a way to change any field of one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as litert_schema

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import Operator, Tensor, build, single

F32, U8, I8, I32 = DType.FLOAT32, DType.UINT8, DType.INT8, DType.INT32
RELU6 = 3


class Case(NamedTuple):
    """A file of one operator. Results differ from LiteRT's by at most ``tolerance``.

    ``below`` bounds the elements of inputs of int32 and int64, which are at least 0.
    """

    builtin: str
    inputs: Sequence[Tensor | None]
    outputs: Sequence[TensorType]
    options: str = ""
    fields: Mapping[str, Any] = {}
    tolerance: float = 1
    below: int = 0

    def file(self) -> bytes:
        return single(self.builtin, self.inputs, self.outputs, self.options, **self.fields)

    def data(self, rng: np.random.Generator, t: TensorType) -> Any:
        """Random data for an input."""
        if t.dtype is DType.STRING:
            words = [b"", b"a", b"bc", b"def"]
            return np.array([words[i] for i in rng.integers(4, size=t.size)], object).reshape(
                t.shape
            )
        if t.dtype is DType.BOOL:
            return rng.integers(2, size=t.shape).astype(bool)
        if not t.dtype.is_integer:
            y = rng.normal(0, 3, t.shape)
            if not t.dtype.is_float:
                y = y + 1j * rng.normal(0, 3, t.shape)
            return y.astype(t.dtype.numpy)
        low, high = t.dtype.range
        if self.below and t.dtype in (I32, DType.INT64):
            low, high = 0, self.below - 1
        return rng.integers(low, high + 1, t.shape, t.dtype.numpy)


def quantized(
    shape: Sequence[int], dtype: DType = I8, scale: float = 0.05, zero: int = 3
) -> TensorType:
    return TensorType(tuple(shape), dtype, QParams.per_tensor(scale, zero))


def real(*shape: int) -> TensorType:
    return TensorType(shape, F32)


def ints(*values: Any) -> Tensor:
    """A constant of int32."""
    data = np.array(values[0] if len(values) == 1 else values, np.int32)
    return Tensor(TensorType(data.shape, I32), data)


def weights(
    shape: Sequence[int], axis: int | None = None, seed: int = 0, dtype: DType = I8
) -> Tensor:
    """Random 8-bit weights, per channel along ``axis`` where that is given."""
    rng = np.random.default_rng(seed)
    low, high = dtype.range
    data = rng.integers(low + 1, high + 1, tuple(shape)).astype(dtype.numpy)
    zero = 0 if dtype is I8 else 121
    quant = QParams.per_tensor(0.01, zero)
    if axis is not None:
        n = shape[axis]
        scales = rng.uniform(0.005, 0.02, n).astype(np.float32)
        quant = QParams(tuple(map(float, scales)), (0,) * n, axis)
    return Tensor(TensorType(tuple(shape), dtype, quant), data)


def bias(x: TensorType, w: Tensor, n: int) -> Tensor:
    """An int32 bias of n channels, with the scales that x and w demand."""
    assert x.quant is not None
    assert w.type.quant is not None
    data = np.random.default_rng(n).integers(-2000, 2000, n).astype(np.int32)
    scales = tuple(float(np.float32(x.quant.scale[0]) * np.float32(s)) for s in w.type.quant.scale)
    axis = 0 if len(scales) > 1 else None
    return Tensor(TensorType((n,), I32, QParams(scales, (0,) * len(scales), axis)), data)


def conv(options: str = "Conv2DOptions", **fields: Any) -> bytes:
    """A network of one int8 convolution, 8x8x3 to 8x8x4, whose bias has a scale a channel."""
    x, w = Tensor(quantized((1, 8, 8, 3)), name="image"), weights((4, 3, 3, 3), axis=0)
    b = bias(x.type, w, 4)
    fields = {"StrideW": 1, "StrideH": 1, **fields}
    return single("CONV_2D", [x, w, b], [quantized((1, 8, 8, 4))], options, **fields)


def everything() -> bytes:
    """A network of many operators: convolutions, slices, joins, tables, reductions."""
    x = Tensor(quantized((1, 8, 8, 4)), name="image")
    w1, w2 = weights((4, 3, 3, 4), axis=0), weights((1, 3, 3, 4), axis=3, seed=1)
    a, b, c = (Tensor(quantized((1, 8, 8, 4)), name=n) for n in "abc")
    halves = [Tensor(quantized((1, 8, 4, 4)), name=f"half{i}") for i in range(2)]
    joined, padded = Tensor(quantized((1, 8, 4, 8))), Tensor(quantized((1, 10, 6, 8)))
    pooled, sliced = Tensor(quantized((1, 5, 3, 8))), Tensor(quantized((1, 3, 8)))
    table, mean = Tensor(quantized((1, 3, 8), scale=1 / 256, zero=-128)), Tensor(quantized((1, 8)))
    dense, soft = Tensor(quantized((1, 5))), Tensor(quantized((1, 5), scale=1 / 256, zero=-128))
    w3, out = weights((5, 8), seed=2), Tensor(real(1, 5), name="probabilities")
    stride, window = {"StrideW": 1, "StrideH": 1}, {"FilterWidth": 2, "FilterHeight": 2}
    operators = [
        Operator("CONV_2D", [x, w1, bias(x.type, w1, 4)], [a], "Conv2DOptions", stride),
        Operator(
            "DEPTHWISE_CONV_2D",
            [a, w2, bias(a.type, w2, 4)],
            [b],
            "DepthwiseConv2DOptions",
            {**stride, "DepthMultiplier": 1, "FusedActivationFunction": RELU6},
        ),
        Operator("ADD", [a, b], [c], "AddOptions"),
        Operator("SPLIT", [ints(2), c], halves, "SplitOptions", {"NumSplits": 2}),
        Operator("CONCATENATION", halves, [joined], "ConcatenationOptions", {"Axis": 3}),
        Operator("PAD", [joined, ints([[0, 0], [1, 1], [1, 1], [0, 0]])], [padded], "PadOptions"),
        Operator(
            "MAX_POOL_2D",
            [padded],
            [pooled],
            "Pool2DOptions",
            {"StrideW": 2, "StrideH": 2, "Padding": 1, **window},
        ),
        Operator(
            "STRIDED_SLICE",
            [pooled, ints(0, 1, 0, 0), ints(1, 2, 3, 8), ints(1, 1, 1, 1)],
            [sliced],
            "StridedSliceOptions",
            {"ShrinkAxisMask": 2},
        ),
        Operator("LOGISTIC", [sliced], [table]),
        Operator("MEAN", [table, ints([1])], [mean], "ReducerOptions"),
        Operator(
            "FULLY_CONNECTED",
            [mean, w3, bias(mean.type, w3, 5)],
            [dense],
            "FullyConnectedOptions",
        ),
        Operator("SOFTMAX", [dense], [soft], "SoftmaxOptions", {"Beta": 1.0}),
        Operator("DEQUANTIZE", [soft], [out], "DequantizeOptions"),
    ]
    return build(operators, [x], [out])


def edit(data: bytes, change: Callable[[Any], object]) -> bytes:
    """The file after ``change`` of its ModelT, the schema's tree of plain objects."""
    model = litert_schema.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_signature(data: bytes) -> bytes:
    """The file with a signature: its first input is "picture" and its first output "answer"."""

    def change(model: Any) -> None:
        graph, signature = model.subgraphs[0], litert_schema.SignatureDefT()
        entries = []
        for name, index in (("picture", graph.inputs[0]), ("answer", graph.outputs[0])):
            entry = litert_schema.TensorMapT()
            entry.name, entry.tensorIndex = name, int(index)
            entries.append([entry])
        signature.inputs, signature.outputs = entries
        signature.signatureKey = "serving_default"
        model.signatureDefs = [signature]

    return edit(data, change)


def with_outside_buffers(data: bytes) -> bytes:
    """The file with its constants after the flatbuffer, as files above 2 GB have them."""
    constants: list[bytes] = []

    def change(model: Any) -> None:
        constants.clear()
        position = start
        for buffer in model.buffers:
            if buffer.data is None:
                continue
            constants.append(bytes(bytearray(buffer.data)))
            buffer.data, buffer.offset, buffer.size = None, position, len(constants[-1])
            position += -(-len(constants[-1]) // 16) * 16

    start = 1 << 20
    start = -(-len(edit(data, change)) // 16) * 16
    head = edit(data, change)
    return head.ljust(start, b"\0") + b"".join(
        c.ljust(-(-len(c) // 16) * 16, b"\0") for c in constants
    )


def with_files(data: bytes, files: dict[str, str], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The file with a zip archive of texts appended."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", compression) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
