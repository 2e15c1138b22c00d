"""Numbers of the .tflite schema (version 3) that the importer uses: field and enumeration ids.

They are the PyPI package ``tflite``'s, and a test holds them equal. They stand here because
importing that package takes longer than reading a file: it loads 187 modules. The TAG of an options
table is its number in the union BuiltinOptions.
"""

from __future__ import annotations

IDENTIFIER = b"TFL3"
VERSION = 3


class Model:
    VERSION = 0
    OPERATOR_CODES = 1
    SUBGRAPHS = 2
    DESCRIPTION = 3
    BUFFERS = 4
    METADATA = 6
    SIGNATURE_DEFS = 7


class OperatorCode:
    DEPRECATED_BUILTIN_CODE = 0
    CUSTOM_CODE = 1
    VERSION = 2
    BUILTIN_CODE = 3


class SubGraph:
    TENSORS = 0
    INPUTS = 1
    OUTPUTS = 2
    OPERATORS = 3
    NAME = 4


class Tensor:
    SHAPE = 0
    TYPE = 1
    BUFFER = 2
    NAME = 3
    QUANTIZATION = 4
    IS_VARIABLE = 5
    SPARSITY = 6
    EXTERNAL_BUFFER = 10


class QuantizationParameters:
    SCALE = 2
    ZERO_POINT = 3
    DETAILS_TYPE = 4
    QUANTIZED_DIMENSION = 6


class Buffer:
    DATA = 0
    OFFSET = 1
    SIZE = 2


class Operator:
    OPCODE_INDEX = 0
    INPUTS = 1
    OUTPUTS = 2
    BUILTIN_OPTIONS_TYPE = 3
    BUILTIN_OPTIONS = 4


class Metadata:
    NAME = 0
    BUFFER = 1


class SignatureDef:
    INPUTS = 0
    OUTPUTS = 1
    SUBGRAPH_INDEX = 4


class TensorMap:
    NAME = 0
    TENSOR_INDEX = 1


class Conv2DOptions:
    TAG = 1
    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    FUSED_ACTIVATION_FUNCTION = 3
    DILATION_W_FACTOR = 4
    DILATION_H_FACTOR = 5


class DepthwiseConv2DOptions:
    TAG = 2
    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    FUSED_ACTIVATION_FUNCTION = 4
    DILATION_W_FACTOR = 5
    DILATION_H_FACTOR = 6


class TransposeConvOptions:
    TAG = 49
    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    FUSED_ACTIVATION_FUNCTION = 3


class FullyConnectedOptions:
    TAG = 8
    FUSED_ACTIVATION_FUNCTION = 0
    WEIGHTS_FORMAT = 1
    KEEP_NUM_DIMS = 2


class AddOptions:
    TAG = 11
    FUSED_ACTIVATION_FUNCTION = 0


class SubOptions:
    TAG = 28
    FUSED_ACTIVATION_FUNCTION = 0


class MulOptions:
    TAG = 21
    FUSED_ACTIVATION_FUNCTION = 0


class Pool2DOptions:
    TAG = 5
    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    FILTER_WIDTH = 3
    FILTER_HEIGHT = 4
    FUSED_ACTIVATION_FUNCTION = 5


class ReducerOptions:
    TAG = 27
    KEEP_DIMS = 0


class ConcatenationOptions:
    TAG = 10
    AXIS = 0
    FUSED_ACTIVATION_FUNCTION = 1


class ReshapeOptions:
    TAG = 17
    NEW_SHAPE = 0


class SqueezeOptions:
    TAG = 30
    SQUEEZE_DIMS = 0


class SoftmaxOptions:
    TAG = 9
    BETA = 0


class LeakyReluOptions:
    TAG = 75
    ALPHA = 0


class ResizeBilinearOptions:
    TAG = 15
    ALIGN_CORNERS = 2
    HALF_PIXEL_CENTERS = 3


class ResizeNearestNeighborOptions:
    TAG = 74
    ALIGN_CORNERS = 0
    HALF_PIXEL_CENTERS = 1


class ArgMaxOptions:
    TAG = 40
    OUTPUT_TYPE = 0


class StridedSliceOptions:
    TAG = 32
    BEGIN_MASK = 0
    END_MASK = 1
    ELLIPSIS_MASK = 2
    NEW_AXIS_MASK = 3
    SHRINK_AXIS_MASK = 4
    OFFSET = 5


class SplitOptions:
    TAG = 35
    NUM_SPLITS = 0


class PackOptions:
    TAG = 59
    VALUES_COUNT = 0
    AXIS = 1


class UnpackOptions:
    TAG = 64
    NUM = 0
    AXIS = 1


class Padding:
    SAME = 0
    VALID = 1


class BuiltinOperator:
    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESHAPE = 22
    RESIZE_BILINEAR = 23
    SOFTMAX = 25
    TANH = 28
    CUSTOM = 32
    PAD = 34
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    SQUEEZE = 43
    STRIDED_SLICE = 45
    SPLIT = 49
    ARG_MAX = 56
    PADV2 = 60
    TRANSPOSE_CONV = 67
    PACK = 83
    UNPACK = 88
    RESIZE_NEAREST_NEIGHBOR = 97
    LEAKY_RELU = 98
    QUANTIZE = 114
    HARD_SWISH = 117


def name_of(enumeration: str, code: int) -> str:
    """The schema's name of an enumeration's number, for errors."""
    import tflite

    names = {v: k for k, v in vars(getattr(tflite, enumeration)).items() if isinstance(v, int)}
    return str(names.get(code, f"{enumeration} {code}"))
