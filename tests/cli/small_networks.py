"""Small .tflite networks for the command line's tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import numpy as np
import tflite

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import Operator, Tensor, build

LABELS = ("cold", "warm", "hot", "mild", "icy")


def classifier(labels: Sequence[str] = LABELS, size: int = 16) -> bytes:
    """uint8 picture [1,size,size,3] -> 2x2 of convolutions -> mean -> dense -> softmax [1,5]."""
    rng = np.random.default_rng(5)
    picture = Tensor(_type((1, size, size, 3), 1 / 127.5, 127), name="picture")
    half = size // 2
    kernel = Tensor(
        _type((8, half, half, 3), 0.01, 128),
        rng.integers(0, 256, (8, half, half, 3), np.uint8),
        "kernel",
    )
    bias = Tensor(TensorType((8,), DType.INT32), np.zeros(8, np.int32), "bias")
    features = Tensor(_type((1, 2, 2, 8), 0.5, 100), name="features")
    axes = Tensor(TensorType((2,), DType.INT32), np.array([1, 2], np.int32), "axes")
    mean = Tensor(_type((1, 8), 0.5, 100), name="mean")
    weights = Tensor(_type((5, 8), 0.02, 120), rng.integers(0, 256, (5, 8), np.uint8), "weights")
    scores = Tensor(_type((1, 5), 0.3, 128), name="scores")
    chances = Tensor(_type((1, 5), 1 / 256, 0), name="chances")
    operators = [
        Operator(
            "CONV_2D",
            (picture, kernel, bias),
            (features,),
            "Conv2DOptions",
            {"Padding": tflite.Padding.VALID, "StrideH": half, "StrideW": half},
        ),
        Operator("MEAN", (features, axes), (mean,), "ReducerOptions", {"KeepDims": False}),
        Operator("FULLY_CONNECTED", (mean, weights, None), (scores,), "FullyConnectedOptions"),
        Operator("SOFTMAX", (scores,), (chances,), "SoftmaxOptions", {"Beta": 1.0}),
    ]
    return with_labels(build(operators, [picture], [chances]), labels)


def segmenter(size: int = 12) -> bytes:
    """uint8 picture [1,size,size,3] -> 1x1 convolution to four classes [1,size,size,4]."""
    picture = Tensor(_type((1, size, size, 3), 1 / 128, 128), name="picture")
    values = np.random.default_rng(3).integers(0, 256, (4, 1, 1, 3), np.uint8)
    kernel = Tensor(_type((4, 1, 1, 3), 0.02, 128), values, "kernel")
    bias = Tensor(TensorType((4,), DType.INT32), np.zeros(4, np.int32), "bias")
    classes = Tensor(_type((1, size, size, 4), 0.05, 128), name="classes")
    convolution = Operator(
        "CONV_2D",
        (picture, kernel, bias),
        (classes,),
        "Conv2DOptions",
        {"Padding": tflite.Padding.VALID, "StrideH": 1, "StrideW": 1},
    )
    return build([convolution], [picture], [classes])


def colours(size: int = 8) -> bytes:
    """float32 picture [1,size,size,3] -> which of red, green and blue there is most of [1,3]."""
    picture = Tensor(TensorType((1, size, size, 3), DType.FLOAT32), name="picture")
    identity = np.eye(3, dtype=np.float32)
    kernel, weights = (
        Tensor(TensorType(a.shape, DType.FLOAT32), a, name)
        for a, name in ((identity.reshape(3, 1, 1, 3), "kernel"), (identity * 4, "weights"))
    )
    bias = Tensor(TensorType((3,), DType.FLOAT32), np.array([0.1, 0.2, 0.1], np.float32), "bias")
    features = Tensor(TensorType((1, size, size, 3), DType.FLOAT32), name="features")
    axes = Tensor(TensorType((2,), DType.INT32), np.array([1, 2], np.int32), "axes")
    mean, scores, chances = (
        Tensor(TensorType((1, 3), DType.FLOAT32), name=name)
        for name in ("mean", "scores", "chances")
    )
    fields = {"StrideH": 1, "StrideW": 1, "FusedActivationFunction": 1}
    operators = [
        Operator("CONV_2D", (picture, kernel, bias), (features,), "Conv2DOptions", fields),
        Operator("MEAN", (features, axes), (mean,), "ReducerOptions", {"KeepDims": False}),
        Operator("FULLY_CONNECTED", (mean, weights, None), (scores,), "FullyConnectedOptions"),
        Operator("SOFTMAX", (scores,), (chances,), "SoftmaxOptions", {"Beta": 1.0}),
    ]
    return build(operators, [picture], [chances])


def convolver(size: int = 6) -> bytes:
    """float32 picture ``x`` [1,size,size,3] -> 3x3 convolution and RELU ``y`` [1,size,size,4]."""
    rng = np.random.default_rng(2)
    x = Tensor(TensorType((1, size, size, 3), DType.FLOAT32), name="x")
    values, offsets = rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)
    kernel, bias = (
        Tensor(TensorType(a.shape, DType.FLOAT32), a.astype(np.float32)) for a in (values, offsets)
    )
    y = Tensor(TensorType((1, size, size, 4), DType.FLOAT32), name="y")
    fields = {"StrideH": 1, "StrideW": 1, "FusedActivationFunction": 1}
    return build([Operator("CONV_2D", (x, kernel, bias), (y,), "Conv2DOptions", fields)], [x], [y])


def adder() -> bytes:
    """Two int8 vectors [1,6], ``left`` and ``right`` -> their sum [1,6]."""
    left, right, total = (
        Tensor(TensorType((1, 6), DType.INT8, QParams.per_tensor(scale, 0)), name=name)
        for name, scale in (("left", 0.1), ("right", 0.2), ("total", 0.3))
    )
    return build([Operator("ADD", (left, right), (total,), "AddOptions")], [left, right], [total])


def with_unknown_operator() -> bytes:
    """A valid file whose operator Edgewise does not have."""
    a, b = (Tensor(TensorType((1, 4), DType.FLOAT32), name=name) for name in "ab")
    return build([Operator("CONCAT_EMBEDDINGS", (a,), (b,))], [a], [b])


def with_labels(model: bytes, labels: Sequence[str]) -> bytes:
    """A model with a list of class names packed behind it, as model files carry them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("labels.txt", "\n".join(labels))
    return model + packed.getvalue()


def _type(shape: tuple[int, ...], scale: float, zero_point: int) -> TensorType:
    return TensorType(shape, DType.UINT8, QParams.per_tensor(scale, zero_point))
