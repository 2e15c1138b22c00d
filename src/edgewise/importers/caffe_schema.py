"""The messages of Caffe's files, as classes of protobuf made from a table.

Field numbers are those of BVLC Caffe's ``caffe.proto``, and of its branches for what they alone
have: SSD (``permute_param`` to ``norm_param``), DeepLab (``interp_param``), ShuffleNet. Fields of
training are left out: unknown fields are skipped.
"""

from __future__ import annotations

import functools
from typing import Any

from ..errors import MissingExtraError

MESSAGES = {
    "BlobShape": "dim 1 int64*",
    "BlobProto": """num 1 int32; channels 2 int32; height 3 int32; width 4 int32; data 5 bytes*;
        shape 7 BlobShape; double_data 8 bytes*; raw_data_type 10 uint32; raw_data 12 bytes""",
    "FillerParameter": "type 1 string = constant; value 2 float",
    "NetState": "level 2 int32; stage 3 string*",
    "NetStateRule": """phase 1 Phase; min_level 2 int32; max_level 3 int32; stage 4 string*;
        not_stage 5 string*""",
    "NetParameter": """name 1 string; layers 2 V1LayerParameter*; input 3 string*;
        input_dim 4 int32*; state 6 NetState; input_shape 8 BlobShape*;
        layer 100 LayerParameter*""",
    "LayerParameter": """name 1 string; type 2 string; bottom 3 string*; top 4 string*;
        blobs 7 BlobProto*; include 8 NetStateRule*; exclude 9 NetStateRule*;
        transform_param 100 TransformationParameter; argmax_param 103 ArgMaxParameter;
        concat_param 104 ConcatParameter; convolution_param 106 ConvolutionParameter;
        data_param 107 DataParameter; dummy_data_param 109 DummyDataParameter;
        eltwise_param 110 EltwiseParameter; exp_param 111 ExpParameter;
        image_data_param 115 ImageDataParameter; inner_product_param 117 InnerProductParameter;
        lrn_param 118 LRNParameter; memory_data_param 119 MemoryDataParameter;
        mvn_param 120 MVNParameter; pooling_param 121 PoolingParameter;
        power_param 122 PowerParameter; relu_param 123 ReLUParameter;
        softmax_param 125 SoftmaxParameter; slice_param 126 SliceParameter;
        threshold_param 128 ThresholdParameter; prelu_param 131 PReLUParameter;
        reshape_param 133 ReshapeParameter; log_param 134 LogParameter;
        flatten_param 135 FlattenParameter; reduction_param 136 ReductionParameter;
        embed_param 137 EmbedParameter; tile_param 138 TileParameter;
        batch_norm_param 139 BatchNormParameter; elu_param 140 ELUParameter;
        bias_param 141 BiasParameter; scale_param 142 ScaleParameter;
        input_param 143 InputParameter; crop_param 144 CropParameter;
        swish_param 147 SwishParameter; clip_param 148 ClipParameter;
        upsample_param 149 UpsampleParameter; shuffle_channel_param 164 ShuffleChannelParameter;
        permute_param 202 PermuteParameter; prior_box_param 203 PriorBoxParameter;
        detection_output_param 204 DetectionOutputParameter; norm_param 206 NormalizeParameter;
        interp_param 2143 InterpParameter""",
    "V1LayerParameter": """layer 1 V0LayerParameter; bottom 2 string*; top 3 string*;
        name 4 string; type 5 V1LayerType; blobs 6 BlobProto*; concat_param 9 ConcatParameter;
        convolution_param 10 ConvolutionParameter; data_param 11 DataParameter;
        image_data_param 15 ImageDataParameter; inner_product_param 17 InnerProductParameter;
        lrn_param 18 LRNParameter; pooling_param 19 PoolingParameter;
        power_param 21 PowerParameter; memory_data_param 22 MemoryDataParameter;
        argmax_param 23 ArgMaxParameter; eltwise_param 24 EltwiseParameter;
        threshold_param 25 ThresholdParameter; dummy_data_param 26 DummyDataParameter;
        relu_param 30 ReLUParameter; slice_param 31 SliceParameter; include 32 NetStateRule*;
        exclude 33 NetStateRule*; mvn_param 34 MVNParameter;
        transform_param 36 TransformationParameter; softmax_param 39 SoftmaxParameter;
        exp_param 41 ExpParameter""",
    "V0LayerParameter": "name 1 string; type 2 string",
    "TransformationParameter": "crop_size 3 uint32; force_color 6 bool; force_gray 7 bool",
    "ArgMaxParameter": "out_max_val 1 bool; top_k 2 uint32 = 1; axis 3 int32",
    "BatchNormParameter": "use_global_stats 1 bool = true; eps 3 float = 1e-5",
    "BiasParameter": "axis 1 int32 = 1; num_axes 2 int32 = 1",
    "ClipParameter": "min 1 float; max 2 float",
    "ConcatParameter": "concat_dim 1 uint32 = 1; axis 2 int32 = 1",
    "ConvolutionParameter": """num_output 1 uint32; bias_term 2 bool = true; pad 3 uint32*;
        kernel_size 4 uint32*; group 5 uint32 = 1; stride 6 uint32*; pad_h 9 uint32;
        pad_w 10 uint32; kernel_h 11 uint32; kernel_w 12 uint32; stride_h 13 uint32;
        stride_w 14 uint32; axis 16 int32 = 1; dilation 18 uint32*""",
    "CropParameter": "axis 1 int32 = 2; offset 2 uint32*",
    "DataParameter": "batch_size 4 uint32; crop_size 5 uint32; force_encoded_color 9 bool",
    "DetectionOutputParameter": """num_classes 1 uint32; share_location 2 bool = true;
        background_label_id 3 int32; nms_param 4 NonMaximumSuppressionParameter;
        code_type 6 CodeType = CORNER; keep_top_k 7 int32 = -1;
        variance_encoded_in_target 8 bool; confidence_threshold 9 float""",
    "DummyDataParameter": """data_filler 1 FillerParameter*; num 2 uint32*; channels 3 uint32*;
        height 4 uint32*; width 5 uint32*; shape 6 BlobShape*""",
    "ELUParameter": "alpha 1 float = 1",
    "EltwiseParameter": "operation 1 EltwiseOp = SUM; coeff 2 float*",
    "EmbedParameter": "num_output 1 uint32; input_dim 2 uint32; bias_term 3 bool = true",
    "ExpParameter": "base 1 float = -1; scale 2 float = 1; shift 3 float",
    "FlattenParameter": "axis 1 int32 = 1; end_axis 2 int32 = -1",
    "ImageDataParameter": """batch_size 4 uint32 = 1; crop_size 5 uint32; new_height 9 uint32;
        new_width 10 uint32; is_color 11 bool = true""",
    "InnerProductParameter": """num_output 1 uint32; bias_term 2 bool = true; axis 5 int32 = 1;
        transpose 6 bool""",
    "InputParameter": "shape 1 BlobShape*",
    "InterpParameter": """height 1 int32; width 2 int32; zoom_factor 3 int32 = 1;
        shrink_factor 4 int32 = 1; pad_beg 5 int32; pad_end 6 int32""",
    "LRNParameter": """local_size 1 uint32 = 5; alpha 2 float = 1; beta 3 float = 0.75;
        norm_region 4 NormRegion; k 5 float = 1""",
    "LogParameter": "base 1 float = -1; scale 2 float = 1; shift 3 float",
    "MVNParameter": """normalize_variance 1 bool = true; across_channels 2 bool;
        eps 3 float = 1e-9""",
    "MemoryDataParameter": """batch_size 1 uint32; channels 2 uint32; height 3 uint32;
        width 4 uint32""",
    "NonMaximumSuppressionParameter": "nms_threshold 1 float = 0.3; top_k 2 int32; eta 3 float = 1",
    "NormalizeParameter": """across_spatial 1 bool = true; channel_shared 3 bool = true;
        eps 4 float = 1e-10""",
    "PReLUParameter": "channel_shared 2 bool",
    "PermuteParameter": "order 1 uint32*",
    "PoolingParameter": """pool 1 PoolMethod; kernel_size 2 uint32; stride 3 uint32 = 1;
        pad 4 uint32; kernel_h 5 uint32; kernel_w 6 uint32; stride_h 7 uint32; stride_w 8 uint32;
        pad_h 9 uint32; pad_w 10 uint32; global_pooling 12 bool; round_mode 13 RoundMode;
        ceil_mode 10013 bool = true""",
    "PowerParameter": "power 1 float = 1; scale 2 float = 1; shift 3 float",
    "PriorBoxParameter": """min_size 1 float*; max_size 2 float*; aspect_ratio 3 float*;
        flip 4 bool = true; clip 5 bool; variance 6 float*; img_size 7 uint32; img_h 8 uint32;
        img_w 9 uint32; step 10 float; step_h 11 float; step_w 12 float; offset 13 float = 0.5""",
    "ReLUParameter": "negative_slope 1 float",
    "ReductionParameter": "operation 1 ReductionOp = SUM; axis 2 int32; coeff 3 float = 1",
    "ReshapeParameter": "shape 1 BlobShape; axis 2 int32; num_axes 3 int32 = -1",
    "ScaleParameter": "axis 1 int32 = 1; num_axes 2 int32 = 1; bias_term 4 bool",
    "ShuffleChannelParameter": "group 1 uint32 = 1",
    "SliceParameter": "slice_dim 1 uint32 = 1; slice_point 2 uint32*; axis 3 int32 = 1",
    "SoftmaxParameter": "axis 2 int32 = 1",
    "SwishParameter": "beta 1 float = 1",
    "ThresholdParameter": "threshold 1 float",
    "TileParameter": "axis 1 int32 = 1; tiles 2 int32",
    "UpsampleParameter": "scale 1 int32 = 1",
}
"""Fields of messages: name, number, type (* where it is repeated), default. Floats of blobs are
packed, so their bytes are fields of bytes."""

ENUMS = {
    "Phase": "TRAIN TEST",
    "CodeType": "_ CORNER CENTER_SIZE CORNER_SIZE",
    "EltwiseOp": "PROD SUM MAX",
    "NormRegion": "ACROSS_CHANNELS WITHIN_CHANNEL",
    "PoolMethod": "MAX AVE STOCHASTIC",
    "ReductionOp": "_ SUM ASUM SUMSQ MEAN",
    "RoundMode": "CEIL FLOOR",
    "V1LayerType": """NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN
        HDF5_DATA HDF5_OUTPUT IM2COL IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN
        MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS SPLIT TANH WINDOW_DATA
        ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD DUMMY_DATA
        SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION""",
}
"""Names of the values of enumerations from 0 on; _ where a number has none."""

PACKAGE = "edgewise.caffe"

V1_NAMES = ENUMS["V1LayerType"].split()

V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
"""Types of legacy layers whose names are not those of the enumeration in camel case."""


def layer_type(name: str) -> str:
    """The type of a legacy layer as a ``layer`` has it: CONVOLUTION is Convolution."""
    return V1_TYPES.get(name) or "".join(word.capitalize() for word in name.split("_"))


@functools.cache
def messages() -> dict[str, Any]:
    """The classes of the messages, by name.

    Raises:
        MissingExtraError: the `protobuf` package is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise MissingExtraError("reading Caffe files", "caffe") from None
    file = descriptor_pb2.FileDescriptorProto(name="caffe", package=PACKAGE, syntax="proto2")
    for enum, values in ENUMS.items():
        # in a message of its own: names of values are those of what holds the enumeration
        declared = file.message_type.add(name=f"{enum}Scope").enum_type.add(name=enum)
        for number, value in enumerate(values.split()):
            if value != "_":
                declared.value.add(name=value, number=number)
    for message, rows in MESSAGES.items():
        described = file.message_type.add(name=message)
        for row in rows.split(";"):
            _add_field(described, row)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = {}
    for name in MESSAGES:
        descriptor = pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
        found[name] = message_factory.GetMessageClass(descriptor)
    return found


def _add_field(message: Any, row: str) -> None:
    """Declare the field of a row of `MESSAGES`."""
    row, _, default = (part.strip() for part in row.partition("="))
    name, number, kind = row.split()
    field = message.field.add(name=name, number=int(number))
    kind, repeated = kind.rstrip("*"), kind.endswith("*")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in ENUMS:
        field.type = field.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{kind}Scope.{kind}"
    elif kind in MESSAGES:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    if default:
        field.default_value = default
