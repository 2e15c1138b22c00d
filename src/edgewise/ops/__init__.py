"""One class an operator: its attributes, its shape inference and its exact numpy reference."""

from .base import Activation, Op
from .conv import Conv2D, DepthwiseConv2D, TransposeConv
from .convert import Dequantize, Quantize
from .dense import FullyConnected
from .elementwise import Add, FixedPoint, Mul, Sub
from .fused import Fused, Stage
from .movement import (
    Concatenation,
    Pack,
    Pad,
    Reshape,
    Split,
    Squeeze,
    StridedSlice,
    Transpose,
    Unpack,
)
from .pool import AveragePool2D, MaxPool2D
from .reduce import ArgMax, Mean, Softmax
from .requant import Requant, accumulator_bound, activation_range, requantization
from .resize import ResizeBilinear, ResizeNearestNeighbor
from .unary import (
    HardSwish,
    LeakyRelu,
    Logistic,
    Relu,
    Relu6,
    ReluN1To1,
    Tanh,
    Unary,
)

__all__ = [
    "Activation",
    "Add",
    "ArgMax",
    "AveragePool2D",
    "Concatenation",
    "Conv2D",
    "DepthwiseConv2D",
    "Dequantize",
    "FixedPoint",
    "FullyConnected",
    "Fused",
    "HardSwish",
    "LeakyRelu",
    "Logistic",
    "MaxPool2D",
    "Mean",
    "Mul",
    "Op",
    "Pack",
    "Pad",
    "Quantize",
    "Relu",
    "Relu6",
    "ReluN1To1",
    "Requant",
    "Reshape",
    "ResizeBilinear",
    "ResizeNearestNeighbor",
    "Softmax",
    "Split",
    "Squeeze",
    "Stage",
    "StridedSlice",
    "Sub",
    "Tanh",
    "Transpose",
    "TransposeConv",
    "Unary",
    "Unpack",
    "accumulator_bound",
    "activation_range",
    "requantization",
]
