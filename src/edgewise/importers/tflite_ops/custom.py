"""Custom operators: those of TensorFlow Lite and MediaPipe, and those that users register.

Options are a flexbuffer, or the bytes of a C struct for MediaPipe's operators.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ... import ops
from ...errors import GraphError, ModelError, UnsupportedError
from ...ops import Activation
from ...ops.custom import CustomFunction
from ...ops.mediapipe import (
    LandmarksToTransformMatrix,
    TransformLandmarks,
    TransformTensorBilinear,
)
from ..content import REGISTERED
from ..flexbuffer import read_flexbuffer
from ..tflite_call import MANY, Built, Call, Row
from .indexing import checked

ReadOptions = Callable[[bytes], Mapping[str, Any]]

REQUIRED = object()


def options(call: Call) -> dict[str, Any]:
    """The options of a custom operator by name; none where it has no bytes."""
    if not call.custom_options:
        return {}
    found = read_flexbuffer(call.custom_options, call.what)
    if not isinstance(found, dict):
        raise ModelError(f"{call.what}: its options are no map, but {type(found).__name__}")
    return found


def number(call: Call, given: Mapping[str, Any], name: str, default: Any = REQUIRED) -> Any:
    """An option that is a number."""
    value = given.get(name, default)
    if not isinstance(value, int | float):
        raise ModelError(f"{call.what}: option {name!r} is missing, or no number")
    if not abs(value) < 2**31:
        raise ModelError(f"{call.what}: option {name!r} is {value}; it is below 2**31")
    return value


def detection_post_process(call: Call) -> Built:
    given = options(call)

    def integer(name: str, default: Any = REQUIRED) -> int:
        return int(number(call, given, name, default))

    scale = [float(number(call, given, f"{axis}_scale")) for axis in "yxhw"]
    op = ops.DetectionPostProcess(
        max_detections=integer("max_detections"),
        max_classes=integer("max_classes_per_detection"),
        classes=integer("num_classes"),
        score_threshold=float(number(call, given, "nms_score_threshold")),
        iou_threshold=float(number(call, given, "nms_iou_threshold")),
        scale=(scale[0], scale[1], scale[2], scale[3]),
        regular=bool(number(call, given, "use_regular_nms", False)),
        detections_per_class=integer("detections_per_class", 100),
    )
    return op, call.operands(0, 1, 2)


def audio_spectrogram(call: Call) -> Built:
    given = options(call)
    op = ops.AudioSpectrogram(
        window=int(number(call, given, "window_size")),
        stride=int(number(call, given, "stride")),
        squared=bool(number(call, given, "magnitude_squared", False)),
    )
    return op, call.operands(0)


def mfcc(call: Call) -> Built:
    given = options(call)
    op = ops.Mfcc(
        high=float(int(number(call, given, "upper_frequency_limit"))),
        low=float(int(number(call, given, "lower_frequency_limit"))),
        filters=int(number(call, given, "filterbank_channel_count")),
        coefficients=int(number(call, given, "dct_coefficient_count")),
    )
    return checked(call, op, call.operands(0, 1))


PADDINGS = {1: "SAME", 2: "VALID"}
"""TfLitePadding; the schema has other numbers."""

ACTIVATIONS = {
    0: Activation.NONE,
    1: Activation.RELU,
    2: Activation.RELU_N1_TO_1,
    3: Activation.RELU6,
}
"""TfLiteFusedActivation."""


def _struct(call: Call, count: int) -> tuple[int, ...]:
    """The first ``count`` int32 of a C struct, of which the first is a padding."""
    if len(call.custom_options) < 4 * count:
        raise ModelError(
            f"{call.what}: {len(call.custom_options)} bytes of options; at least {4 * count}"
        )
    values = struct.unpack_from(f"<{count}i", call.custom_options)
    if values[0] not in PADDINGS:
        raise ModelError(f"{call.what}: padding {values[0]}; it is 1 (SAME) or 2 (VALID)")
    if not all(1 <= n < 2**20 for n in values[1:5]):
        raise ModelError(f"{call.what}: strides and windows {values[1:5]}; 1 to 2**20 pixels")
    return values


def _halves(total: int) -> tuple[int, int]:
    return total // 2, total - total // 2


def _pads(windows: tuple[int, int], size: tuple[int, int], taps: Any, stride: Any) -> Any:
    """Padding (top, bottom, left, right) of ``windows`` windows over ``size`` pixels."""
    totals = (
        max((n - 1) * s + k - d, 0) for n, d, k, s in zip(windows, size, taps, stride, strict=True)
    )
    return tuple(pad for total in totals for pad in _halves(total))


def max_pooling_with_argmax(call: Call) -> Built:
    """TfLitePoolParams: padding, strides (w, h), window (w, h), activation."""
    padding, sw, sh, kw, kh, activation = _struct(call, 6)
    _, height, width, _ = call.shape(0, rank=4)
    pads = (0, 0, 0, 0)
    if PADDINGS[padding] == "SAME":
        windows = -(-height // sh), -(-width // sw)
        pads = _pads(windows, (height, width), (kh, kw), (sh, sw))
    if activation not in ACTIVATIONS:
        raise UnsupportedError(f"{call.what}: fused activation {activation} is not supported")
    op = ops.MaxPoolingWithArgmax2D((kh, kw), (sh, sw), pads, ACTIVATIONS[activation])
    return op, call.operands(0)


def max_unpooling(call: Call) -> Built:
    """TfLitePoolParams, as for pooling; the activation does nothing."""
    _, sw, sh, kw, kh = _struct(call, 5)
    _, height, width, _ = call.shape(0, rank=4)
    pads = _pads((height, width), (height * kh, width * kw), (kh, kw), (sh, sw))
    return ops.MaxUnpooling2D((kh, kw), (sh, sw), pads), call.operands(0, 1)


def convolution_2d_transpose_bias(call: Call) -> Built:
    """TfLiteTransposeConvParams: padding, strides (w, h)."""
    padding, sw, sh = _struct(call, 3)
    _, height, width, _ = call.shape(0, rank=4)
    _, kh, kw, _ = call.shape(1, rank=4)
    pads = (0, 0)
    if PADDINGS[padding] == "SAME":
        pads = max(0, kh - (height - 1) % sh - 1), max(0, kw - (width - 1) % sw - 1)
    op = ops.TransposeConv(
        stride=(sh, sw),
        padding=(*_halves(pads[0]), *_halves(pads[1])),
        output_size=(sh * (height - 1) + kh - pads[0], sw * (width - 1) + kw - pads[1]),
    )
    return op, call.operands(0, 1, 2)


def transform_tensor_bilinear(call: Call) -> Built:
    given = options(call)
    size = tuple(int(number(call, given, f"output_{side}")) for side in ("height", "width"))
    return TransformTensorBilinear((size[0], size[1])), call.operands(0, 1)


def transform_landmarks(call: Call) -> Built:
    return TransformLandmarks(), call.operands(0, 1)


def landmarks_to_transform_matrix(call: Call) -> Built:
    given = options(call)
    subset = given.get("subset_idxs")
    if not isinstance(subset, tuple) or not all(isinstance(i, int) for i in subset):
        raise ModelError(f"{call.what}: option 'subset_idxs' is missing, or no integers")
    height, width = (int(number(call, given, f"output_{side}")) for side in ("height", "width"))
    op = LandmarksToTransformMatrix(
        left=int(number(call, given, "left_rotation_idx")),
        right=int(number(call, given, "right_rotation_idx")),
        rotation=float(number(call, given, "target_rotation_radians", 0.0)),
        size=(height, width),
        scale=(float(number(call, given, "scale_x")), float(number(call, given, "scale_y"))),
        subset=subset,
    )
    return op, call.operands(0)


CUSTOM: dict[str, Row] = {
    "AudioSpectrogram": Row("AudioSpectrogram", audio_spectrogram),
    "Convolution2DTransposeBias": Row(
        "Convolution2DTransposeBias", convolution_2d_transpose_bias, (3, 3)
    ),
    "Landmarks2TransformMatrix": Row("Landmarks2TransformMatrix", landmarks_to_transform_matrix),
    "MaxPoolingWithArgmax2D": Row("MaxPoolingWithArgmax2D", max_pooling_with_argmax),
    "MaxUnpooling2D": Row("MaxUnpooling2D", max_unpooling, (2, 2)),
    "Mfcc": Row("Mfcc", mfcc, (2, 2)),
    "TFLite_Detection_PostProcess": Row(
        "TFLite_Detection_PostProcess", detection_post_process, (3, 3)
    ),
    "TransformLandmarks": Row("TransformLandmarks", transform_landmarks, (2, 2)),
    "TransformTensorBilinear": Row("TransformTensorBilinear", transform_tensor_bilinear, (2, 2)),
}
"""Custom operators that are read, by their custom code; users add theirs."""


def register(name: str, operator: type[ops.Op], read: ReadOptions | None) -> None:
    """Read custom operators of code ``name`` as ``operator``, whose attributes are options."""

    def row(call: Call) -> Built:
        given = options(call) if read is None else dict(read(call.custom_options))
        values = [v for v in call.inputs if v is not None]
        if issubclass(operator, CustomFunction):
            return operator(tuple(given.items())), values
        unknown = set(given) - {f.name for f in fields(operator)}
        if unknown:
            raise GraphError(f"{name}: options {sorted(unknown)}; its class has no such attributes")
        return operator(**given), values

    CUSTOM[name] = Row(name, row, (0, MANY))
    REGISTERED.append(os.urandom(16))
