"""Edgewise's graphs as ncnn's .param and .bin: float networks of common operators.

ncnn has no batches: a blob is an image, channels first, or what is left of a tensor of fewer
dimensions without the first one, which is 1. A blob has one reader; Split makes more of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from edgewise import ops, passes
from edgewise.dtype import DType
from edgewise.graph import Array, Graph, Node, Value
from edgewise.ops import Activation

from .onnx_export import Port, UnsupportedError
from .onnx_export.export import PIPELINE
from .onnx_export.products import real_weights

MAGIC = 7767517
CHANNELS_LAST = 3
"""Permute's order that makes a flattened image what it is with its channels last."""

ACTIVATION_PARAMETERS = -23310


class Layer(NamedTuple):
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[int, Any]
    weights: bytes = b""


@dataclass(frozen=True)
class NcnnModel:
    """A network as ncnn loads it; its blobs are in0, in1 and out0, out1."""

    parameters: bytes
    weights: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class Builder:
    """Layers under construction; values are known as images or as flat tensors."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._names: dict[tuple[Value, bool], str] = {}
        self._count = 0

    def emit(
        self,
        kind: str,
        inputs: Sequence[str],
        parameters: Mapping[int, Any] | None = None,
        *weights: Array,
        flagged: bool = True,
        name: str | None = None,
    ) -> str:
        """Add a layer; the name of its output. The first of ``weights`` may say of what type it
        is: a ``flagged`` one does.
        """
        self._count += 1
        out = name or f"b{self._count}"
        content = b"".join(np.ascontiguousarray(w, np.float32).tobytes() for w in weights)
        if weights and flagged:
            content = np.int32(0).tobytes() + content
        self.layers.append(Layer(kind, tuple(inputs), (out,), parameters or {}, content))
        return out

    def is_image(self, value: Value) -> bool:
        return (value, True) in self._names

    def image(self, value: Value) -> str:
        if value.is_constant or not self.is_image(value):
            raise UnsupportedError(f"{value.name} is no computed image")
        return self._names[value, True]

    def flat(self, value: Value) -> str:
        """A value in the order of the graph; an image is transposed."""
        if value.is_constant:
            raise UnsupportedError(f"{value.name} is a constant")
        if (value, False) not in self._names:
            name = self._names[value, True]
            if value.type.shape[1:3] != (1, 1):
                name = self.emit("Permute", (name,), {0: CHANNELS_LAST})
            self._names[value, False] = name
        return self._names[value, False]

    def either(self, value: Value) -> str:
        return self.image(value) if self.is_image(value) else self.flat(value)

    def define(self, value: Value, name: str, image: bool, activation: Activation) -> None:
        self._names[value, image] = self.clamped(name, activation)

    def clamped(self, name: str, activation: Activation) -> str:
        if activation is Activation.NONE:
            return name
        if activation is Activation.RELU:
            return self.emit("ReLU", (name,))
        return self.emit("Clip", (name,), dict(enumerate(activation.value)))


def export_ncnn(graph: Graph) -> NcnnModel:
    """The graph as an ncnn model.

    Raises:
        UnsupportedError: it has variables, or operators or types that are not in the table here.
    """
    if graph.states:
        raise UnsupportedError("variables, which outlive a call")
    graph = passes.optimize(graph, PIPELINE)
    if any(v.type.quant for node in graph.nodes for v in node.outputs):
        raise UnsupportedError("its activations are quantized")
    unknown = sorted({n.op.name for n in graph.nodes if type(n.op) not in WRITERS})
    if unknown:
        raise UnsupportedError(f"no form here of {', '.join(unknown)}")
    for value in (*graph.inputs, *(v for n in graph.nodes for v in n.outputs)):
        if value.type.dtype is not DType.FLOAT32 or value.type.shape[:1] != (1,):
            raise UnsupportedError(f"{value.name} is {value.type}, not float32 of one batch")
    b = Builder()
    inputs = []
    for i, value in enumerate(graph.inputs):
        port = Port(f"in{i}", len(value.type.shape) == 4)
        b.emit("Input", (), name=port.name)
        b.define(value, port.name, port.first, Activation.NONE)
        inputs.append(port)
    for node in graph.nodes:
        WRITERS[type(node.op)](b, node)
    outputs = []
    for i, value in enumerate(graph.outputs):
        port = Port(f"out{i}", b.is_image(value))
        b.emit("Noop", (b.either(value),), name=port.name)
        outputs.append(port)
    layers = list(_with_splits(b.layers))
    blobs = sum(len(layer.outputs) for layer in layers)
    lines = [str(MAGIC), f"{len(layers)} {blobs}"]
    lines += [_line(layer, i) for i, layer in enumerate(layers)]
    weights = b"".join(layer.weights for layer in layers)
    text = "\n".join([*lines, ""])
    return NcnnModel(text.encode(), weights, tuple(inputs), tuple(outputs))


def _with_splits(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers with a Split after each blob of several readers."""
    readers = Counter(name for layer in layers for name in layer.inputs)
    taken: Counter[str] = Counter()
    for layer in layers:
        names = []
        for name in layer.inputs:
            names.append(f"{name}_{taken[name]}" if readers[name] > 1 else name)
            taken[name] += 1
        yield layer._replace(inputs=tuple(names))
        for name in layer.outputs:
            if readers[name] > 1:
                copies = tuple(f"{name}_{i}" for i in range(readers[name]))
                yield Layer("Split", (name,), copies, {})


def _line(layer: Layer, number: int) -> str:
    counts = f"{len(layer.inputs)} {len(layer.outputs)}"
    words = [layer.kind, f"l{number}", counts, *layer.inputs, *layer.outputs]
    for key, value in layer.parameters.items():
        if isinstance(value, tuple):
            words.append(f"{key}={','.join(map(str, (len(value), *value)))}")
        else:
            words.append(f"{key}={value}")
    return " ".join(words)


def _fused(activation: Activation) -> dict[int, Any]:
    if activation is Activation.NONE:
        return {}
    if activation is Activation.RELU:
        return {9: 1}
    low, high = activation.value
    return {9: 3, ACTIVATION_PARAMETERS: (float(low), float(high))}


def _data(value: Value) -> Array:
    if value.data is None:
        raise UnsupportedError(f"{value.name} is no constant")
    return real_weights(value)


def _convolution(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, ops.Conv2D | ops.DepthwiseConv2D)
    x, (out,) = node.inputs[0], node.outputs
    is_depthwise = isinstance(op, ops.DepthwiseConv2D)
    w = _data(node.inputs[1]).transpose((3, 0, 1, 2) if is_depthwise else (0, 3, 1, 2))
    groups = x.type.shape[3] // w.shape[1]
    top, bottom, left, right = op.padding
    parameters = {
        **{0: w.shape[0], 1: w.shape[3], 11: w.shape[2], 2: op.dilation[1], 12: op.dilation[0]},
        **{3: op.stride[1], 13: op.stride[0], 4: left, 15: right, 14: top, 16: bottom},
        **{5: len(node.inputs) - 2, 6: w.size, **({7: groups} if groups > 1 else {})},
        **_fused(op.activation),
    }
    kind = "ConvolutionDepthWise" if groups > 1 else "Convolution"
    y = b.emit(kind, (b.image(x),), parameters, w, *map(_data, node.inputs[2:]))
    b.define(out, y, True, Activation.NONE)


def _transposed_convolution(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, ops.TransposeConv)
    w = _data(node.inputs[1]).transpose(0, 3, 1, 2)
    top, bottom, left, right = op.padding
    parameters = {
        **{0: w.shape[0], 1: w.shape[3], 11: w.shape[2], 3: op.stride[1], 13: op.stride[0]},
        **{4: left, 15: right, 14: top, 16: bottom, 5: len(node.inputs) - 2, 6: w.size},
        **_fused(op.activation),
    }
    rest = map(_data, node.inputs[2:])
    y = b.emit("Deconvolution", (b.image(node.inputs[0]),), parameters, w, *rest)
    b.define(node.outputs[0], y, True, Activation.NONE)


def _fully_connected(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, ops.FullyConnected)
    x, w = node.inputs[0], _data(node.inputs[1])
    if x.type.size != w.shape[1]:
        raise UnsupportedError("products of several rows")
    name = b.flat(x)
    if len(x.type.shape) > 2:
        name = b.emit("Reshape", (name,), {0: w.shape[1]})
    parameters = {0: w.shape[0], 1: len(node.inputs) - 2, 2: w.size, **_fused(op.activation)}
    y = b.emit("InnerProduct", (name,), parameters, w, *map(_data, node.inputs[2:]))
    b.define(node.outputs[0], y, False, Activation.NONE)


def _pool(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, ops.MaxPool2D | ops.AveragePool2D)
    top, bottom, left, right = op.padding
    parameters = {
        **{0: int(isinstance(op, ops.AveragePool2D)), 1: op.filter[1], 11: op.filter[0]},
        **{2: op.stride[1], 12: op.stride[0], 3: left, 14: right, 13: top, 15: bottom, 5: 1},
    }
    b.define(out, b.emit("Pooling", (b.image(x),), parameters), True, op.activation)


def _mean(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, ops.Mean)
    if sorted(op.axes) != [1, 2] or op.keep_dims:
        raise UnsupportedError(f"MEAN over {op.axes}")
    y = b.emit("Pooling", (b.image(x),), {0: 1, 4: 1})
    b.define(out, y, False, Activation.NONE)


BINARY = {ops.Add: 0, ops.Sub: 1, ops.Mul: 2, ops.Div: 3, ops.Maximum: 4, ops.Minimum: 5}


def _binary(b: Builder, node: Node) -> None:
    x, y = node.inputs
    if x.type.shape != y.type.shape or b.is_image(x) != b.is_image(y):
        raise UnsupportedError(f"{node.op.name} of {x.type} and {y.type}")
    names = (b.either(x), b.either(y))
    out = b.emit("BinaryOp", names, {0: BINARY[type(node.op)]})
    activation = getattr(node.op, "activation", Activation.NONE)
    b.define(node.outputs[0], out, b.is_image(x), activation)


UNARY = {ops.Relu: "ReLU", ops.Logistic: "Sigmoid", ops.Tanh: "TanH"}


def _unary(b: Builder, node: Node) -> None:
    (x,) = node.inputs
    y = b.emit(UNARY[type(node.op)], (b.either(x),))
    b.define(node.outputs[0], y, b.is_image(x), Activation.NONE)


def _prelu(b: Builder, node: Node) -> None:
    x, slope = node.inputs
    slopes = _data(slope).ravel()
    if slopes.size != x.type.shape[-1]:
        raise UnsupportedError(f"PRELU of slopes {slope.type}")
    y = b.emit("PReLU", (b.image(x),), {0: slopes.size}, slopes, flagged=False)
    b.define(node.outputs[0], y, True, Activation.NONE)


def _pad(b: Builder, node: Node) -> None:
    op, x = node.op, node.inputs[0]
    assert isinstance(op, ops.Pad | ops.MirrorPad)
    _, (top, bottom), (left, right), (front, behind) = op.paddings
    parameters: dict[int, Any] = {0: top, 1: bottom, 2: left, 3: right, 7: front, 8: behind}
    if isinstance(op, ops.Pad):
        parameters |= {4: 0, 5: float(op.value or 0)}
    elif op.symmetric:
        raise UnsupportedError("MIRROR_PAD, symmetric")
    else:
        parameters |= {4: 2}
    y = b.emit("Padding", (b.image(x),), parameters)
    b.define(node.outputs[0], y, True, Activation.NONE)


def _resize(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, ops.ResizeBilinear | ops.ResizeNearestNeighbor)
    is_linear = isinstance(op, ops.ResizeBilinear)
    if is_linear and not (op.align_corners or op.half_pixel_centers):
        raise UnsupportedError("RESIZE_BILINEAR from the corners of pixels")
    parameters = {0: 2 if is_linear else 1, 3: op.size[0], 4: op.size[1], 6: int(op.align_corners)}
    b.define(out, b.emit("Interp", (b.image(x),), parameters), True, Activation.NONE)


def _concatenation(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, ops.Concatenation)
    image = all(b.is_image(v) for v in node.inputs)
    names = [b.image(v) if image else b.flat(v) for v in node.inputs]
    y = b.emit("Concat", names, {0: _axis(op.axis, image)})
    b.define(node.outputs[0], y, image, op.activation)


def _softmax(b: Builder, node: Node) -> None:
    op, (x,) = node.op, node.inputs
    assert isinstance(op, ops.Softmax)
    if op.beta != 1.0:
        raise UnsupportedError("SOFTMAX with a beta")
    axis = _axis(len(x.type.shape) - 1, b.is_image(x))
    y = b.emit("Softmax", (b.either(x),), {0: axis, 1: 1})
    b.define(node.outputs[0], y, b.is_image(x), Activation.NONE)


def _reshape(b: Builder, node: Node) -> None:
    x, (out,) = node.inputs[0], node.outputs
    sizes = out.type.shape[1:][::-1]
    if len(sizes) > 2:
        raise UnsupportedError(f"RESHAPE to {out.type}")
    y = b.emit("Reshape", (b.flat(x),), dict(enumerate(sizes)))
    b.define(out, y, False, Activation.NONE)


def _slice(b: Builder, node: Node) -> None:
    op, x = node.op, node.inputs[0]
    assert isinstance(op, ops.StridedSlice)
    if set(op.strides) != {1} or op.shrink_axes or not b.is_image(x):
        raise UnsupportedError(f"STRIDED_SLICE of {x.type} by steps")
    _, top, left, front = op.begin
    _, height, width, depth = op.size
    y = b.emit("Crop", (b.image(x),), {0: left, 1: top, 2: front, 3: width, 4: height, 5: depth})
    b.define(node.outputs[0], y, True, Activation.NONE)


def _axis(axis: int, image: bool) -> int:
    """An axis of the graph as ncnn counts it, without batches."""
    return {1: 1, 2: 2, 3: 0}[axis] if image else axis - 1


WRITERS: dict[type, Callable[[Builder, Node], None]] = {
    ops.Conv2D: _convolution,
    ops.DepthwiseConv2D: _convolution,
    ops.TransposeConv: _transposed_convolution,
    ops.FullyConnected: _fully_connected,
    ops.MaxPool2D: _pool,
    ops.AveragePool2D: _pool,
    ops.Mean: _mean,
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(UNARY, _unary),
    ops.PRelu: _prelu,
    ops.Pad: _pad,
    ops.MirrorPad: _pad,
    ops.ResizeBilinear: _resize,
    ops.ResizeNearestNeighbor: _resize,
    ops.Concatenation: _concatenation,
    ops.Softmax: _softmax,
    ops.Reshape: _reshape,
    ops.StridedSlice: _slice,
}
