"""PyTorch's QNNPACK engine as a peer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise import passes
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, Node, TensorType, Value
from edgewise.ops import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Quantize,
    Reshape,
    Softmax,
    activation_range,
)

from ..onnx_export.builder import TO_FIRST, TO_LAST
from ..onnx_export.export import PIPELINE

Step = Callable[[Any], Any]
Tensors = dict[Value, Any]

SHIFT = {DType.UINT8: 0, DType.INT8: 128}
"""QNNPACK's activations are uint8; int8 ones are those less 128."""


class Qnnpack:
    """A quantized classifier in PyTorch, its operators by the QNNPACK engine.

    Images are channels last in memory, as QNNPACK wants them. The operators are recorded once and
    replayed by TorchScript, so that Python takes no part in a run.

    Raises:
        InputError: the network has operators other than those of common classifiers.
    """

    def __init__(self, model: Path, graph: Graph, threads: int) -> None:
        if graph.states:
            raise InputError("has variables, which outlive a call")
        torch.backends.quantized.engine = "qnnpack"
        torch.set_num_threads(threads)
        self._graph = passes.optimize(graph, PIPELINE)
        for value in (*self._graph.inputs, *self._graph.outputs):
            if value.type.dtype not in SHIFT:
                raise InputError("takes networks of 8-bit inputs and outputs only")
        unknown = sorted({n.op.name for n in self._graph.nodes if type(n.op) not in WRITERS})
        if unknown:
            raise InputError(f"has no form here of {', '.join(unknown)}")
        (source,) = self._graph.inputs
        network = Network(self._graph)
        example = as_tensor(np.zeros(source.type.shape, source.type.dtype.numpy), source.type)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._run = torch.jit.freeze(torch.jit.trace(network.eval(), example))
        self._given: Any = example
        self._result: Any = None

    @property
    def name(self) -> str:
        return f"PyTorch {torch.__version__}"

    @property
    def path(self) -> str:
        return "QNNPACK engine, TorchScript"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        (source,) = self._graph.inputs
        self._given = as_tensor(arrays[0], source.type)

    def invoke(self) -> None:
        with torch.inference_mode():
            self._result = self._run(self._given)

    def outputs(self) -> list[Array]:
        (out,) = self._graph.outputs
        raw = self._result.int_repr().numpy().astype(np.int32) - SHIFT[out.type.dtype]
        if raw.ndim == 4:
            raw = raw.transpose(TO_LAST)
        return [raw.astype(out.type.dtype.numpy).reshape(out.type.shape)]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


class Network(torch.nn.Module):
    """The nodes of a graph in order, each as a function of quantized tensors."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        self._steps = [WRITERS[type(node.op)](node) for node in graph.nodes]
        for i, step in enumerate(self._steps):
            if isinstance(step, Product):
                self.add_module(f"product_{i}", step)

    def forward(self, x: Any) -> Any:
        known: Tensors = {self._graph.inputs[0]: x}
        for node, step in zip(self._graph.nodes, self._steps, strict=True):
            known[node.outputs[0]] = step(*(known[v] for v in node.inputs if not v.is_constant))
        return known[self._graph.outputs[0]]


class Product(torch.nn.Module):
    """An operator with packed weights, which TorchScript finds as an attribute of a module."""

    def __init__(self, node: Node, operator: Any, packed: Any, activation: Activation) -> None:
        super().__init__()
        self.packed = packed
        self._operator, self._clamped = operator, clamp(node, activation)
        self._scale, self._zero = scale_of(node.outputs[0].type)
        self._prepared: Step = lambda x: x

    def after(self, prepared: Step) -> Product:
        """This operator, of what ``prepared`` makes of its input."""
        self._prepared = prepared
        return self

    def forward(self, x: Any) -> Any:
        y = self._operator(self._prepared(x), self.packed, self._scale, self._zero)
        return self._clamped(y)


def scale_of(type: TensorType) -> tuple[float, int]:
    """The scale and zero point of activations, as uint8.

    Raises:
        InputError: they are not quantized per tensor on 8 bits.
    """
    if type.quant is None or len(type.quant.scale) != 1 or type.dtype not in SHIFT:
        raise InputError(f"takes tensors of 8 bits and one scale, not {type}")
    return type.quant.scale[0], type.quant.zero_point[0] + SHIFT[type.dtype]


def as_tensor(array: Array, type: TensorType) -> Any:
    scale, zero = scale_of(type)
    raw = (array.astype(np.int32) + SHIFT[type.dtype]).astype(np.uint8)
    whole = torch.from_numpy(raw.transpose(TO_FIRST) if raw.ndim == 4 else raw)
    if raw.ndim == 4:
        whole = whole.contiguous(memory_format=torch.channels_last)
    return torch._make_per_tensor_quantized_tensor(whole, scale, zero)


def weights_of(w: Value, perm: tuple[int, ...]) -> Any:
    """Weights as qint8, their output channels first; uint8 ones less 128."""
    assert w.data is not None
    assert w.type.quant is not None
    shift = 128 if w.type.dtype is DType.UINT8 else 0
    raw = (w.data.astype(np.int32) - shift).astype(np.int8).transpose(perm)
    whole = torch.from_numpy(np.ascontiguousarray(raw))
    zeros = [z - shift for z in w.type.quant.zero_point]
    if len(zeros) == 1:
        scale = w.type.quant.scale[0]
        return torch._make_per_tensor_quantized_tensor(whole, scale, zeros[0])
    scales = torch.tensor(w.type.quant.scale, dtype=torch.float64)
    return torch._make_per_channel_quantized_tensor(
        whole, scales, torch.tensor(zeros, dtype=torch.int64), 0
    )


def bias_of(node: Node) -> Any:
    """The bias in real numbers; the engine turns it back into steps."""
    if len(node.inputs) < 3:
        return None
    x, w, bias = node.inputs
    assert bias.data is not None
    assert x.type.quant is not None
    assert w.type.quant is not None
    steps = np.array(w.type.quant.scale, np.float64) * x.type.quant.scale[0]
    return torch.from_numpy((bias.data * steps).astype(np.float32))


def clamp(node: Node, activation: Activation) -> Step:
    """A fused activation, where the range of the output does not imply it."""
    out = node.outputs[0].type
    if activation is Activation.NONE or activation_range(out, activation) == out.dtype.range:
        return lambda x: x
    low, high = activation.value
    if high is None:
        return torch.relu
    if len(out.shape) == 4:  # clamp takes images of channels last for others
        return lambda x: torch.clamp(x.permute(TO_LAST), low, high).permute(TO_FIRST)
    return lambda x: torch.clamp(x, low, high)


def convolution(node: Node) -> Step:
    op = node.op
    assert isinstance(op, Conv2D | DepthwiseConv2D)
    x, w = node.inputs[:2]
    is_depthwise = isinstance(op, DepthwiseConv2D)
    groups = x.type.shape[3] if is_depthwise else x.type.shape[3] // w.type.shape[3]
    weights = weights_of(w, (3, 0, 1, 2) if is_depthwise else TO_FIRST)
    top, bottom, left, right = op.padding
    is_symmetric = top == bottom and left == right
    packed = torch.ops.quantized.conv2d_prepack(
        weights,
        bias_of(node),
        list(op.stride),
        [top, left] if is_symmetric else [0, 0],
        list(op.dilation),
        groups,
    )
    product = Product(node, torch.ops.quantized.conv2d, packed, op.activation)
    if is_symmetric:
        return product
    sides = (left, right, top, bottom)
    return product.after(lambda x: torch.nn.functional.pad(x, sides, value=0.0))


def fully_connected(node: Node) -> Step:
    op = node.op
    assert isinstance(op, FullyConnected)
    packed = torch.ops.quantized.linear_prepack(weights_of(node.inputs[1], (0, 1)), bias_of(node))
    product = Product(node, torch.ops.quantized.linear, packed, op.activation)
    flat, depth = flattened(node.inputs[0].type), node.inputs[1].type.shape[1]
    return product.after(lambda x: flat(x).reshape(-1, depth))


def add(node: Node) -> Step:
    assert isinstance(node.op, Add)
    scale, zero = scale_of(node.outputs[0].type)
    clamped = clamp(node, node.op.activation)
    return lambda a, b: clamped(torch.ops.quantized.add(a, b, scale, zero))


def pool(node: Node) -> Step:
    op = node.op
    assert isinstance(op, AveragePool2D | MaxPool2D)
    top, bottom, left, right = op.padding
    if top != bottom or left != right:
        raise InputError("pools with unequal padding")
    sides = (top, left)
    if isinstance(op, MaxPool2D):
        return lambda x: torch.max_pool2d(x, op.filter, op.stride, sides)
    return lambda x: torch.nn.functional.avg_pool2d(
        x, op.filter, op.stride, sides, count_include_pad=False
    )


def mean(node: Node) -> Step:
    op, (out,) = node.op, node.outputs
    assert isinstance(op, Mean)
    if sorted(op.axes) != [1, 2]:
        raise InputError(f"means over axes {op.axes}")
    scale, zero = scale_of(out.type)
    shape = out.type.shape
    rescaled = node.inputs[0].type.quant != out.type.quant

    def run(x: Any) -> Any:
        y = torch.nn.functional.adaptive_avg_pool2d(x, (1, 1))
        if rescaled:
            y = torch.quantize_per_tensor(y.dequantize(), scale, zero, torch.quint8)
        return y if len(shape) == 4 else y.reshape(shape)

    return run


def quantize(node: Node) -> Step:
    scale, zero = scale_of(node.outputs[0].type)
    if scale_of(node.inputs[0].type) == (scale, zero):
        return lambda x: x
    return lambda x: torch.quantize_per_tensor(x.dequantize(), scale, zero, torch.quint8)


def reshape(node: Node) -> Step:
    flat, (out,) = flattened(node.inputs[0].type), node.outputs
    if len(out.type.shape) == 4:
        batch, height, width, channels = out.type.shape

        def as_image(x: Any) -> Any:
            y = flat(x).reshape(batch, height, width, channels).permute(TO_FIRST)
            return y.contiguous(memory_format=torch.channels_last)

        return as_image
    return lambda x: flat(x).reshape(out.type.shape)


def softmax(node: Node) -> Step:
    """The engine has none: in float, as PyTorch would run it."""
    assert isinstance(node.op, Softmax)
    scale, zero = scale_of(node.outputs[0].type)
    beta = node.op.beta

    def run(x: Any) -> Any:
        y = torch.softmax(x.dequantize() * beta, 1 if x.dim() == 4 else -1)
        return torch.quantize_per_tensor(y, scale, zero, torch.quint8)

    return run


def flattened(type: TensorType) -> Step:
    """An image in the graph's order of elements, if it is one."""
    if len(type.shape) != 4 or type.shape[1:3] == (1, 1):
        return lambda x: x
    return lambda x: x.permute(TO_LAST).contiguous()


WRITERS: dict[type, Callable[[Node], Step]] = {
    Conv2D: convolution,
    DepthwiseConv2D: convolution,
    FullyConnected: fully_connected,
    Add: add,
    AveragePool2D: pool,
    MaxPool2D: pool,
    Mean: mean,
    Quantize: quantize,
    Reshape: reshape,
    Softmax: softmax,
}
