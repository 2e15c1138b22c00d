"""Custom operators of TensorFlow Lite and MediaPipe, whose options are flexbuffers or C structs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from ... import ops
from ...errors import UnsupportedError
from ...graph import Node
from ...importers.tflite_ops.custom import ACTIVATIONS
from ...ops.mediapipe import (
    LandmarksToTransformMatrix,
    TransformLandmarks,
    TransformTensorBilinear,
)
from ..tflite_call import Row, Written, by_sides, plain, same_padding

SAME, VALID = 1, 2
"""TfLitePadding; the schema has other numbers."""

CODES = {activation: code for code, activation in ACTIVATIONS.items()}


def _written(op: ops.Op, node: Node, options: Mapping[str, Any]) -> Written:
    from flatbuffers import flexbuffers

    return Written(op.name, node.inputs, custom=bytes(flexbuffers.Dumps(dict(options))))


def detection_post_process(op: ops.DetectionPostProcess, node: Node) -> Written:
    options = {
        "max_detections": op.max_detections,
        "max_classes_per_detection": op.max_classes,
        "num_classes": op.classes,
        "nms_score_threshold": op.score_threshold,
        "nms_iou_threshold": op.iou_threshold,
        "use_regular_nms": op.regular,
        "detections_per_class": op.detections_per_class,
        **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), op.scale, strict=True)),
    }
    return _written(op, node, options)


def audio_spectrogram(op: ops.AudioSpectrogram, node: Node) -> Written:
    options = {"window_size": op.window, "stride": op.stride, "magnitude_squared": op.squared}
    return _written(op, node, options)


def mfcc(op: ops.Mfcc, node: Node) -> Written:
    options = {
        "upper_frequency_limit": int(op.high),
        "lower_frequency_limit": int(op.low),
        "filterbank_channel_count": op.filters,
        "dct_coefficient_count": op.coefficients,
    }
    return _written(op, node, options)


def max_pooling_with_argmax(op: ops.MaxPoolingWithArgmax2D, node: Node) -> Written:
    """TfLitePoolParams: padding, strides (w, h), window (w, h), activation, which is followed by
    what LiteRT computes itself."""
    pads = by_sides(op.padding)
    same = same_padding(node.input_types[0].shape[1:3], op.filter, op.stride)
    if any(op.padding) and pads != same:
        raise UnsupportedError(f"padding {op.padding}, which is neither SAME nor VALID")
    kind = SAME if any(op.padding) else VALID
    return Written(op.name, node.inputs, custom=_pool(op, kind, CODES[op.activation]))


def max_unpooling(op: ops.MaxUnpooling2D, node: Node) -> Written:
    """The padding follows from sizes, strides and window; the kind of it does nothing."""
    return Written(op.name, node.inputs, custom=_pool(op, SAME, 0))


def _pool(op: Any, padding: int, activation: int) -> bytes:
    (kh, kw), (sh, sw) = op.filter, op.stride
    return struct.pack("<10i", padding, sw, sh, kw, kh, activation, 0, 0, 0, 0)


def transform_tensor_bilinear(op: TransformTensorBilinear, node: Node) -> Written:
    height, width = op.size
    return _written(op, node, {"output_height": height, "output_width": width})


def landmarks_to_transform_matrix(op: LandmarksToTransformMatrix, node: Node) -> Written:
    options = {
        "left_rotation_idx": op.left,
        "right_rotation_idx": op.right,
        "target_rotation_radians": op.rotation,
        "output_height": op.size[0],
        "output_width": op.size[1],
        "scale_x": op.scale[0],
        "scale_y": op.scale[1],
        "subset_idxs": list(op.subset),
    }
    return _written(op, node, options)


ROWS: dict[type[ops.Op], Row] = {
    LandmarksToTransformMatrix: landmarks_to_transform_matrix,
    TransformLandmarks: plain,
    TransformTensorBilinear: transform_tensor_bilinear,
    ops.AudioSpectrogram: audio_spectrogram,
    ops.DetectionPostProcess: detection_post_process,
    ops.MaxPoolingWithArgmax2D: max_pooling_with_argmax,
    ops.MaxUnpooling2D: max_unpooling,
    ops.Mfcc: mfcc,
}
