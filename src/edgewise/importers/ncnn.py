"""Reads networks of ncnn: a .param of layers and a .bin of their weights.

Blobs have the dimensions that ncnn gives them, behind a batch: an image is [1, c, h, w], a row
[1, w]. Inputs are the blobs of Input layers, outputs those that no layer reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ..dtype import DType
from ..errors import InputError, ModelError, UnsupportedError
from ..graph import Graph, Shapes, TensorType, Value
from .builder import Builder
from .content import Source
from .ncnn_call import Call
from .ncnn_file import Layer, Weights, is_network, read_layers
from .ncnn_layers import row_of

BINARY = ".param.bin"
"""What names of binary networks end in, as ncnn2mem gives them."""

PASSING = frozenset(
    {"Split", "Noop", "Dropout", "Reshape", "Flatten", "Squeeze", "ExpandDims", "DeepCopy"}
)
"""Layers that hand on what they read, also whole numbers."""


def read_ncnn(source: Source) -> Graph:
    """The network of a .param and its .bin, of which ``source`` has either.

    Raises:
        ModelError: a file breaks a rule of its format.
        UnsupportedError: a layer is one that Edgewise does not have yet.
        InputError: the other file is missing; an input has no shape, or the network cannot take
            the shapes given.
    """
    if is_network(source.data[:64]) or not source.path.lower().endswith(".bin"):
        network = source.data
        weights = Weights(lambda: source.companion(".bin", ending=BINARY))
    else:
        network, weights = source.companion(".param", BINARY), Weights(lambda: source.data)
    layers = read_layers(network)
    try:
        return _Network(layers, weights, source.shapes).graph(source.name)
    except ModelError as error:
        if not source.shapes or isinstance(error, UnsupportedError):
            raise
        given = {name: list(shape) for name, shape in source.shapes.items()}
        raise InputError(f"the network cannot take inputs of shapes {given}: {error}") from error


class _Network:
    """Layers, read one after another."""

    def __init__(self, layers: Sequence[Layer], weights: Weights, shapes: Shapes) -> None:
        self.layers, self.weights, self.shapes = layers, weights, shapes
        self.read = {name for layer in layers for name in layer.inputs}
        self.whole = _whole_numbers(layers)

    def graph(self, name: str) -> Graph:
        b = Builder()
        blobs: dict[str, Value] = {}
        results = [n for layer in self.layers for n in layer.outputs if n not in self.read]
        inputs = [n for layer in self.layers if layer.type == "Input" for n in layer.outputs]
        b.reserve(n for n in results if n not in inputs)
        unknown = sorted(set(self.shapes) - set(inputs))
        if unknown:
            raise InputError(f"no input is named {unknown[0]!r}; the file has {inputs or 'none'}")
        for layer in self.layers:
            b.at("layer", layer.name, layer.type)
            self._define(b, layer, blobs)
        self.weights.end()
        return b.graph([(n, blobs[n]) for n in results], name)

    def _define(self, b: Builder, layer: Layer, blobs: dict[str, Value]) -> None:
        mark = len(b.nodes)
        found = self._results(b, layer, blobs)
        if len(found) != len(layer.outputs):
            raise ModelError(f"{b.what}: {len(layer.outputs)} outputs; it has {len(found)}")
        names: dict[Value, str] = {}
        for name, value in zip(layer.outputs, found, strict=True):
            if name in blobs or list(layer.outputs).count(name) > 1:
                raise ModelError(f"{b.what}: blob {name!r} is already defined; a name is used once")
            names.setdefault(value, name)
        renamed = b.rename(names, mark)
        for name, value in zip(layer.outputs, found, strict=True):
            blobs[name] = renamed.get(value, value)

    def _results(self, b: Builder, layer: Layer, blobs: dict[str, Value]) -> list[Value]:
        if layer.type == "Input":
            return [self._input(b, layer, name) for name in layer.outputs]
        row = row_of(layer.type)
        if row is None:
            raise UnsupportedError(f"{b.what}: the layer is not supported")
        least, most = row.inputs
        if not least <= len(layer.inputs) <= most:
            raise ModelError(f"{b.what}: {len(layer.inputs)} inputs; it takes {least} to {most}")
        for name in layer.inputs:
            if name not in blobs:
                raise ModelError(f"{b.what}: input {name!r} is used before it is computed")
        found = row.read(Call(b, layer, [blobs[name] for name in layer.inputs], self.weights))
        return [found] if isinstance(found, Value) else list(found)

    def _input(self, b: Builder, layer: Layer, name: str) -> Value:
        shape = self.shapes.get(name)
        if shape is None:
            shape = (1, *Call(b, layer, (), self.weights).extents())
            if min(shape) < 1:
                raise InputError(
                    f"input {name!r}: the file states no shape of it; give one, with a batch "
                    f"first, as in shapes={{{name!r}: (1, 3, 224, 224)}}, or --shape "
                    f"{name}=1,3,224,224"
                )
        elif not 2 <= len(shape) <= 5:
            raise InputError(
                f"input {name!r}: shape {list(shape)}; it is a batch and 1 to 4 dimensions, as in "
                "(1, 3, 224, 224)"
            )
        if math.prod(shape) >= 2**31:
            raise ModelError(
                f"input {name!r}: shape {list(shape)}; it has fewer than 2**31 elements"
            )
        dtype = DType.INT32 if name in self.whole else DType.FLOAT32
        return b.input(name, TensorType(tuple(shape), dtype))


def _whole_numbers(layers: Iterable[Layer]) -> set[str]:
    """The blobs that Embed reads, and those that they come from: they are int32."""
    found: set[str] = set()
    for layer in reversed(list(layers)):
        if layer.type == "Embed" or (layer.type in PASSING and not found.isdisjoint(layer.outputs)):
            found.update(layer.inputs[:1])
    return found
