"""Numbers of the .tflite schema (version 3) that the importer uses: field and enumeration ids.

They are the PyPI package ``tflite``'s, and a test holds them equal. They stand here because
importing that package takes longer than reading a file: it loads 187 modules. The TAG of an options
table is its number in the union BuiltinOptions, or BuiltinOptions2.
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
    SHAPE_SIGNATURE = 7
    EXTERNAL_BUFFER = 10


class QuantizationParameters:
    SCALE = 2
    ZERO_POINT = 3
    DETAILS_TYPE = 4
    QUANTIZED_DIMENSION = 6


class SparsityParameters:
    TRAVERSAL_ORDER = 0
    BLOCK_MAP = 1
    DIM_METADATA = 2


class DimensionMetadata:
    FORMAT = 0
    DENSE_SIZE = 1
    ARRAY_SEGMENTS_TYPE = 2
    ARRAY_SEGMENTS = 3
    ARRAY_INDICES_TYPE = 4
    ARRAY_INDICES = 5


class Int32Vector:
    VALUES = 0


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
    CUSTOM_OPTIONS = 5
    INTERMEDIATES = 8
    LARGE_CUSTOM_OPTIONS_OFFSET = 9
    LARGE_CUSTOM_OPTIONS_SIZE = 10
    BUILTIN_OPTIONS_2_TYPE = 11
    BUILTIN_OPTIONS_2 = 12


class Metadata:
    NAME = 0
    BUFFER = 1


class SignatureDef:
    INPUTS = 0
    OUTPUTS = 1
    SIGNATURE_KEY = 2
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


class LSTMOptions:
    TAG = 14
    FUSED_ACTIVATION_FUNCTION = 0
    CELL_CLIP = 1
    PROJ_CLIP = 2
    KERNEL_TYPE = 3
    ASYMMETRIC_QUANTIZE_INPUTS = 4


class UnidirectionalSequenceLSTMOptions:
    TAG = 71
    FUSED_ACTIVATION_FUNCTION = 0
    CELL_CLIP = 1
    PROJ_CLIP = 2
    TIME_MAJOR = 3
    ASYMMETRIC_QUANTIZE_INPUTS = 4
    DIAGONAL_RECURRENT_TENSORS = 5


class BidirectionalSequenceLSTMOptions:
    TAG = 69
    FUSED_ACTIVATION_FUNCTION = 0
    CELL_CLIP = 1
    PROJ_CLIP = 2
    MERGE_OUTPUTS = 3
    TIME_MAJOR = 4
    ASYMMETRIC_QUANTIZE_INPUTS = 5


class RNNOptions:
    TAG = 7
    FUSED_ACTIVATION_FUNCTION = 0
    ASYMMETRIC_QUANTIZE_INPUTS = 1


class SequenceRNNOptions:
    TAG = 31
    TIME_MAJOR = 0
    FUSED_ACTIVATION_FUNCTION = 1
    ASYMMETRIC_QUANTIZE_INPUTS = 2


class BidirectionalSequenceRNNOptions:
    TAG = 70
    TIME_MAJOR = 0
    FUSED_ACTIVATION_FUNCTION = 1
    MERGE_OUTPUTS = 2
    ASYMMETRIC_QUANTIZE_INPUTS = 3


class SVDFOptions:
    TAG = 6
    RANK = 0
    FUSED_ACTIVATION_FUNCTION = 1
    ASYMMETRIC_QUANTIZE_INPUTS = 2


class BatchMatMulOptions:
    TAG = 101
    ADJ_X = 0
    ADJ_Y = 1
    ASYMMETRIC_QUANTIZE_INPUTS = 2


class Conv3DOptions:
    TAG = 106
    PADDING = 0
    STRIDE_D = 1
    STRIDE_W = 2
    STRIDE_H = 3
    FUSED_ACTIVATION_FUNCTION = 4
    DILATION_D_FACTOR = 5
    DILATION_W_FACTOR = 6
    DILATION_H_FACTOR = 7


class AddOptions:
    TAG = 11
    FUSED_ACTIVATION_FUNCTION = 0
    POT_SCALE_INT16 = 1


class SubOptions:
    TAG = 28
    FUSED_ACTIVATION_FUNCTION = 0
    POT_SCALE_INT16 = 1


class MulOptions:
    TAG = 21
    FUSED_ACTIVATION_FUNCTION = 0


class DivOptions:
    TAG = 29
    FUSED_ACTIVATION_FUNCTION = 0


class L2NormOptions:
    TAG = 12
    FUSED_ACTIVATION_FUNCTION = 0


class LocalResponseNormalizationOptions:
    TAG = 13
    RADIUS = 0
    BIAS = 1
    ALPHA = 2
    BETA = 3


class CumsumOptions:
    TAG = 102
    EXCLUSIVE = 0
    REVERSE = 1


class CastOptions:
    TAG = 37
    IN_DATA_TYPE = 0
    OUT_DATA_TYPE = 1


class GeluOptions:
    TAG = 116
    APPROXIMATE = 0


class FakeQuantOptions:
    TAG = 58
    MIN = 0
    MAX = 1
    NUM_BITS = 2
    NARROW_RANGE = 3


class ArgMinOptions:
    TAG = 57
    OUTPUT_TYPE = 0


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


class CallOptions:
    TAG = 16
    SUBGRAPH = 0


class IfOptions:
    TAG = 92
    THEN_SUBGRAPH_INDEX = 0
    ELSE_SUBGRAPH_INDEX = 1


class WhileOptions:
    TAG = 93
    COND_SUBGRAPH_INDEX = 0
    BODY_SUBGRAPH_INDEX = 1


class CallOnceOptions:
    TAG = 103
    INIT_SUBGRAPH_INDEX = 0


class HashtableOptions:
    TAG = 107
    TABLE_ID = 0
    KEY_DTYPE = 1
    VALUE_DTYPE = 2


class VarHandleOptions:
    TAG = 111
    CONTAINER = 0
    SHARED_NAME = 1


class GatherOptions:
    TAG = 23
    AXIS = 0
    BATCH_DIMS = 1


class OneHotOptions:
    TAG = 61
    AXIS = 0


class ReverseSequenceOptions:
    TAG = 87
    SEQ_DIM = 0
    BATCH_DIM = 1


class SpaceToDepthOptions:
    TAG = 19
    BLOCK_SIZE = 0


class DepthToSpaceOptions:
    TAG = 94
    BLOCK_SIZE = 0


class MirrorPadOptions:
    TAG = 77
    MODE = 0


class SplitVOptions:
    TAG = 79
    NUM_SPLITS = 0


class ShapeOptions:
    TAG = 55
    OUT_TYPE = 0


class UniqueOptions:
    TAG = 80
    IDX_OUT_TYPE = 0


class BucketizeOptions:
    TAG = 115
    BOUNDARIES = 0


class RandomOptions:
    TAG = 114
    SEED = 0
    SEED2 = 1


class EmbeddingLookupSparseOptions:
    TAG = 20
    COMBINER = 0


class LSHProjectionOptions:
    TAG = 4
    TYPE = 0


class SkipGramOptions:
    TAG = 18
    NGRAM_SIZE = 0
    MAX_SKIP_SIZE = 1
    INCLUDE_ALL_NGRAMS = 2


class ReduceWindowOptions:
    TAG = 20
    REDUCE_FUNCTION = 0


class StablehloCaseOptions:
    TAG = 23
    BRANCH_SUBGRAPH_INDICES = 0


class StableHLOCompositeOptions:
    TAG = 21
    DECOMPOSITION_SUBGRAPH_INDEX = 1


class StablehloGatherOptions:
    TAG = 16
    OFFSET_DIMS = 0
    COLLAPSED_SLICE_DIMS = 1
    START_INDEX_MAP = 2
    INDEX_VECTOR_DIM = 3
    SLICE_SIZES = 4


class StablehloPadOptions:
    TAG = 10
    EDGE_PADDING_LOW = 0
    EDGE_PADDING_HIGH = 1
    INTERIOR_PADDING = 2


class StablehloReduceWindowOptions:
    TAG = 13
    WINDOW_DIMENSIONS = 0
    WINDOW_STRIDES = 1
    BASE_DILATIONS = 2
    WINDOW_DILATIONS = 3
    PADDING = 4
    BODY_SUBGRAPH_INDEX = 5


class StablehloRngBitGeneratorOptions:
    TAG = 19
    ALGORITHM = 0


class StablehloScatterOptions:
    TAG = 7
    UPDATE_WINDOW_DIMS = 1
    INSERTED_WINDOW_DIMS = 2
    SCATTER_DIMS_TO_OPERAND_DIMS = 3
    INDEX_VECTOR_DIM = 4
    UPDATE_COMPUTATION_SUBGRAPH_INDEX = 6


class Padding:
    SAME = 0
    VALID = 1


class BuiltinOperator:
    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEPTH_TO_SPACE = 5
    DEQUANTIZE = 6
    EMBEDDING_LOOKUP = 7
    FLOOR = 8
    FULLY_CONNECTED = 9
    HASHTABLE_LOOKUP = 10
    L2_NORMALIZATION = 11
    L2_POOL_2D = 12
    LOCAL_RESPONSE_NORMALIZATION = 13
    LOGISTIC = 14
    LSH_PROJECTION = 15
    LSTM = 16
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESHAPE = 22
    RESIZE_BILINEAR = 23
    RNN = 24
    SOFTMAX = 25
    SPACE_TO_DEPTH = 26
    SVDF = 27
    TANH = 28
    SKIP_GRAM = 30
    CALL = 31
    CUSTOM = 32
    EMBEDDING_LOOKUP_SPARSE = 33
    PAD = 34
    UNIDIRECTIONAL_SEQUENCE_RNN = 35
    GATHER = 36
    BATCH_TO_SPACE_ND = 37
    SPACE_TO_BATCH_ND = 38
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    DIV = 42
    SQUEEZE = 43
    UNIDIRECTIONAL_SEQUENCE_LSTM = 44
    STRIDED_SLICE = 45
    BIDIRECTIONAL_SEQUENCE_RNN = 46
    EXP = 47
    TOPK_V2 = 48
    SPLIT = 49
    LOG_SOFTMAX = 50
    BIDIRECTIONAL_SEQUENCE_LSTM = 52
    CAST = 53
    PRELU = 54
    MAXIMUM = 55
    ARG_MAX = 56
    MINIMUM = 57
    LESS = 58
    NEG = 59
    PADV2 = 60
    GREATER = 61
    GREATER_EQUAL = 62
    LESS_EQUAL = 63
    SELECT = 64
    SLICE = 65
    SIN = 66
    TRANSPOSE_CONV = 67
    SPARSE_TO_DENSE = 68
    TILE = 69
    EXPAND_DIMS = 70
    EQUAL = 71
    NOT_EQUAL = 72
    LOG = 73
    SUM = 74
    SQRT = 75
    RSQRT = 76
    SHAPE = 77
    POW = 78
    ARG_MIN = 79
    FAKE_QUANT = 80
    REDUCE_PROD = 81
    REDUCE_MAX = 82
    PACK = 83
    LOGICAL_OR = 84
    ONE_HOT = 85
    LOGICAL_AND = 86
    LOGICAL_NOT = 87
    UNPACK = 88
    REDUCE_MIN = 89
    FLOOR_DIV = 90
    REDUCE_ANY = 91
    SQUARE = 92
    ZEROS_LIKE = 93
    FILL = 94
    FLOOR_MOD = 95
    RANGE = 96
    RESIZE_NEAREST_NEIGHBOR = 97
    LEAKY_RELU = 98
    SQUARED_DIFFERENCE = 99
    MIRROR_PAD = 100
    ABS = 101
    SPLIT_V = 102
    UNIQUE = 103
    CEIL = 104
    REVERSE_V2 = 105
    ADD_N = 106
    GATHER_ND = 107
    COS = 108
    WHERE = 109
    RANK = 110
    ELU = 111
    REVERSE_SEQUENCE = 112
    MATRIX_DIAG = 113
    QUANTIZE = 114
    MATRIX_SET_DIAG = 115
    ROUND = 116
    HARD_SWISH = 117
    IF = 118
    WHILE = 119
    NON_MAX_SUPPRESSION_V4 = 120
    NON_MAX_SUPPRESSION_V5 = 121
    SCATTER_ND = 122
    SELECT_V2 = 123
    DENSIFY = 124
    SEGMENT_SUM = 125
    BATCH_MATMUL = 126
    CUMSUM = 128
    CALL_ONCE = 129
    BROADCAST_TO = 130
    RFFT2D = 131
    CONV_3D = 132
    IMAG = 133
    REAL = 134
    COMPLEX_ABS = 135
    HASHTABLE = 136
    HASHTABLE_FIND = 137
    HASHTABLE_IMPORT = 138
    HASHTABLE_SIZE = 139
    REDUCE_ALL = 140
    CONV_3D_TRANSPOSE = 141
    VAR_HANDLE = 142
    READ_VARIABLE = 143
    ASSIGN_VARIABLE = 144
    BROADCAST_ARGS = 145
    RANDOM_STANDARD_NORMAL = 146
    BUCKETIZE = 147
    RANDOM_UNIFORM = 148
    MULTINOMIAL = 149
    GELU = 150
    DYNAMIC_UPDATE_SLICE = 151
    RELU_0_TO_1 = 152
    UNSORTED_SEGMENT_PROD = 153
    UNSORTED_SEGMENT_MAX = 154
    UNSORTED_SEGMENT_SUM = 155
    ATAN2 = 156
    UNSORTED_SEGMENT_MIN = 157
    SIGN = 158
    BITCAST = 159
    BITWISE_XOR = 160
    RIGHT_SHIFT = 161
    STABLEHLO_ADD = 163
    STABLEHLO_MULTIPLY = 165
    STABLEHLO_MAXIMUM = 166
    STABLEHLO_AND = 176
    STABLEHLO_MINIMUM = 181
    STABLEHLO_SCATTER = 190
    STABLEHLO_PAD = 195
    STABLEHLO_REDUCE_WINDOW = 198
    STABLEHLO_GATHER = 201
    DILATE = 203
    STABLEHLO_RNG_BIT_GENERATOR = 204
    REDUCE_WINDOW = 205
    STABLEHLO_COMPOSITE = 206
    STABLEHLO_SHIFT_LEFT = 207
    STABLEHLO_CASE = 209


def name_of(enumeration: str, code: int) -> str:
    """The schema's name of an enumeration's number, for errors."""
    import tflite

    names = {v: k for k, v in vars(getattr(tflite, enumeration)).items() if isinstance(v, int)}
    return str(names.get(code, f"{enumeration} {code}"))
