"""Caffe's two files parsed: the network's layers, and the weights of layers by name."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedError
from ..graph import Array
from .caffe_schema import V1_NAMES, layer_type, messages
from .names import label_of

BEGINNING = re.compile(
    rb"\s*(#[^\n]*\n\s*)*(name|input|input_dim|input_shape|layers?|state|force_backward|debug_info)"
    rb"\s*[:{]"
)
"""How a .prototxt begins: comments, then one of the fields of a network."""

RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
"""Element types of ``raw_data``, of NVIDIA's Caffe."""

HDF5 = b"\x89HDF"
"""How a .caffemodel.h5 begins."""

MAX_MESSAGE = 200
"""Characters of a message of protobuf that are repeated."""

MAX_AXES, MAX_SIZE = 32, 2**31 - 1
"""Of a blob, in Caffe."""

PHASE = 1
"""The phase whose network is read: TEST."""


def is_text(data: bytes) -> bool:
    """Whether a file is a .prototxt, not a .caffemodel."""
    return BEGINNING.match(data) is not None or (
        b"\0" not in data and b"{" in data and data.lstrip()[:1].isalpha()
    )


def is_network(head: bytes) -> bool:
    """Whether the first bytes of a file show either of Caffe's formats.

    A .caffemodel begins with its name (field 1), then inputs or layers.
    """
    if BEGINNING.match(head):
        return True
    if head[:1] != b"\x0a" or len(head) < 4 or head[1] > len(head) - 5:
        return False
    name, rest = head[2 : 2 + head[1]], head[2 + head[1] :]
    is_name = all(32 <= byte < 127 for byte in name)
    return is_name and (rest[:1] in (b"\x12", b"\x1a", b"\x22") or rest[:2] == b"\xa2\x06")


@dataclass(frozen=True)
class Layer:
    """A layer of either generation of the format.

    Attributes:
        type: as ``layer`` spells it: "InnerProduct".
        message: what holds its parameters.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any

    @property
    def what(self) -> str:
        return label_of("layer", self.name, self.type)


def parse(data: bytes) -> Any:
    """The network that a file of either format describes, as a message.

    Raises:
        ModelError: it is no such file.
        UnsupportedError: its weights are in HDF5.
        MissingExtraError: the `protobuf` package is not installed.
    """
    if data.startswith(HDF5):
        raise UnsupportedError("weights in HDF5; Caffe's snapshot_format BINARYPROTO writes others")
    net = messages()["NetParameter"]()
    from google.protobuf import message, text_format

    try:
        if is_text(data):
            text_format.Parse(data.decode("utf-8"), net, allow_unknown_field=True)
        else:
            net.ParseFromString(data)
    except (message.DecodeError, text_format.ParseError, ValueError) as error:
        text = str(error)
        if len(text) > MAX_MESSAGE:  # a text file's error quotes the whole line
            text = f"{text[: MAX_MESSAGE // 2]} ... {text[-MAX_MESSAGE // 2 :]}"
        raise ModelError(f"it is no network of Caffe: {text}") from error
    except RecursionError:
        raise ModelError("it is no network of Caffe: messages nest too deep") from None
    return net


def layers_of(net: Any, is_snapshot: bool) -> list[Layer]:
    """The layers that a network has in the phase TEST, in order; of a snapshot, all that it has.

    Raises:
        ModelError: the file has both generations of layers.
        UnsupportedError: its layers are of the oldest one.
    """
    if net.layer and net.layers:
        raise ModelError("it has both 'layer' and 'layers'; a network has one of them")
    found = [_layer(message, i) for i, message in enumerate(net.layer or net.layers)]
    level, stages = net.state.level, frozenset(net.state.stage)
    return [layer for layer in found if is_snapshot or _is_included(layer, level, stages)]


def _layer(message: Any, i: int) -> Layer:
    type = message.type
    if not isinstance(type, str):
        if message.HasField("layer"):
            raise UnsupportedError(
                f"layer {message.layer.name!r}: layers within 'layers' (V0LayerParameter); convert "
                "the file with Caffe's upgrade_net_proto_text and upgrade_net_proto_binary"
            )
        type = layer_type(V1_NAMES[type])
    return Layer(
        message.name or f"{type}_{i}", type, tuple(message.bottom), tuple(message.top), message
    )


def _is_included(layer: Layer, level: int, stages: frozenset[str]) -> bool:
    """Whether a layer's rules of ``include`` or ``exclude`` let it into the phase TEST."""
    message = layer.message
    if message.include and message.exclude:
        raise ModelError(f"{layer.what}: it has both include and exclude; a layer has one of them")
    if message.include:
        return any(_meets(rule, level, stages) for rule in message.include)
    return not any(_meets(rule, level, stages) for rule in message.exclude)


def _meets(rule: Any, level: int, stages: frozenset[str]) -> bool:
    if rule.HasField("phase") and rule.phase != PHASE:
        return False
    if rule.HasField("min_level") and level < rule.min_level:
        return False
    if rule.HasField("max_level") and level > rule.max_level:
        return False
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)


def weights_of(net: Any) -> dict[str, Sequence[Any]]:
    """The blobs of each layer that has some, by the layer's name."""
    found: dict[str, Sequence[Any]] = {}
    for message in net.layer or net.layers:
        if message.blobs:
            found.setdefault(message.name, message.blobs)
    return found


def blob_shape(blob: Any) -> tuple[int, ...]:
    """The shape that a blob states, as sizes or as four legacy fields."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return blob.num, blob.channels, blob.height, blob.width


def blob_array(blob: Any, what: str) -> Array:
    """The float32 elements of a blob, in its shape.

    Raises:
        ModelError: there are more or fewer than its shape has.
        UnsupportedError: they are of another type.
    """
    kind, data = "<f4", b"".join(blob.data)
    if blob.HasField("raw_data"):
        if blob.raw_data_type not in RAW_TYPES:
            raise UnsupportedError(
                f"{what}: raw_data_type {blob.raw_data_type}; supported are DOUBLE, FLOAT, FLOAT16"
            )
        kind, data = RAW_TYPES[blob.raw_data_type], blob.raw_data
    elif blob.double_data:
        kind, data = "<f8", b"".join(blob.double_data)
    shape, size = blob_shape(blob), np.dtype(kind).itemsize
    if len(shape) > MAX_AXES or math.prod(max(d, 1) for d in shape) > MAX_SIZE:
        raise ModelError(
            f"{what}: shape {list(shape)}; at most {MAX_AXES} dimensions and {MAX_SIZE} elements"
        )
    if min(shape, default=0) < 0 or math.prod(shape) * size != len(data):
        raise ModelError(
            f"{what}: {len(data)} bytes of elements for its shape {list(shape)}; it needs "
            f"{math.prod(shape) * size}"
        )
    with np.errstate(over="ignore"):
        return np.frombuffer(data, kind).reshape(shape).astype(np.float32, copy=False)
