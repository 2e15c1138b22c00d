"""Reads Caffe networks: a .prototxt with its .caffemodel, or a .caffemodel that says its inputs.

Everything read from the files is checked before use, and what breaks a rule raises ModelError
naming the layer, the value and the rule. Tensors keep Caffe's order, [N, C, H, W].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import GraphError, InputError, ModelError, UnsupportedError
from ..graph import Array, Graph, Node, TensorType, Value
from ..ops import DetectionOutput, Interpreted
from .builder import Builder
from .caffe_call import MAX_GENERATED, LayerCall
from .caffe_inputs import (
    declared_inputs,
    for_each_top,
    layer_inputs,
    outputs_of,
    without_training,
)
from .caffe_layers import DATA, SILENCE, layers
from .caffe_model import Layer, is_text, layers_of, parse, weights_of
from .content import Source
from .limits import MAX_RANK


def read_caffe(source: Source) -> Graph:
    """The network of a .prototxt and its .caffemodel, in the phase TEST.

    ``source`` may be either file; the other one is ``source.weights``, or has the same name. A
    .caffemodel without a .prototxt is read as it stands, where it says the shapes of its inputs.

    Raises:
        ModelError: a file breaks a rule of its format.
        UnsupportedError: the network uses what Edgewise does not have yet.
        InputError: there are no weights, or the network cannot take the shapes.
        MissingExtraError: the `protobuf` package is not installed.
    """
    net, weights = _files(source)
    try:
        return _Network(net, weights, source).graph()
    except UnsupportedError:
        raise
    except ModelError as error:
        if not source.shapes:
            raise
        shapes = {name: list(shape) for name, shape in source.shapes.items()}
        raise InputError(f"the network cannot take inputs of shapes {shapes}: {error}") from error


def _files(source: Source) -> tuple[Any, Any]:
    """The messages of the network and of its weights, or the error that there are no weights."""
    given, is_text_first = parse(source.data), is_text(source.data)
    try:
        data = source.companion(".caffemodel" if is_text_first else ".prototxt")
    except InputError as error:
        if source.weights:
            raise
        return given, error if is_text_first else given
    if is_text(data) == is_text_first:
        kind = "networks (.prototxt)" if is_text_first else "weights (.caffemodel)"
        raise InputError(f"both files are {kind}; a network has one of each")
    try:
        other = parse(data)
    except ModelError as error:
        raise type(error)(f"{', '.join(source.read)}: {error}") from error
    return (given, other) if is_text_first else (other, given)


class _Network:
    """The layers of a network, read in order.

    Attributes:
        scope: what blobs hold now.
        late: detections, which only a call can count, by their blobs.
    """

    def __init__(self, net: Any, weights: Any, source: Source) -> None:
        self.net, self.source, self.b = net, source, Builder()
        self.is_alone = net is weights
        self.no_weights = weights if isinstance(weights, InputError) else None
        self.blobs = {} if self.no_weights else weights_of(weights)
        self.layers = without_training(layers_of(net, self.is_alone), source.shapes)
        self.outputs = dict.fromkeys(outputs_of(self.layers))
        self.last = {top: i for i, layer in enumerate(self.layers) for top in layer.tops}
        self.scope: dict[str, Value] = {}
        self.inputs: set[str] = set()
        self.late: dict[str, tuple[DetectionOutput, list[Value]]] = {}
        self.generated = 0

    def graph(self) -> Graph:
        b = self.b
        for name, shape in declared_inputs(self.net):
            self._input(name, shape)
        for layer in self.layers:
            b.at("layer", layer.name, layer.type)
            if layer.type == "DummyData":
                self._dummy(layer)
            elif layer.type in DATA:
                for name, shape in layer_inputs(layer, self.source.shapes):
                    self._input(name, shape)
        unknown = sorted(set(self.source.shapes) - self.inputs)
        if unknown:
            known = sorted(self.inputs) or "none"
            raise InputError(f"no input is named {unknown[0]!r}; the file has {known}")
        b.reserve(name for name in self.outputs if name not in self.inputs)
        for i, layer in enumerate(self.layers):
            if layer.type not in (*DATA, SILENCE):
                b.at("layer", layer.name, layer.type)
                self._layer(i, layer)
        found = {**self.scope, **self._detections()}
        pairs = [(found[n].name if n in self.inputs else n, found[n]) for n in self.outputs]
        return b.graph(pairs, self.net.name or self.source.name)

    def _input(self, name: str, shape: tuple[int, ...] | None) -> None:
        self._check_new(name, self.b.what)
        given = self.source.shapes.get(name, shape)
        if given is None:
            other = ", or its .prototxt as weights" if self.is_alone else ""
            raise UnsupportedError(
                f"input {name!r}: the file does not say its shape; give one, such as "
                f"shapes={{{name!r}: (1, 3, 224, 224)}}{other}"
            )
        self.inputs.add(name)
        self.scope[name] = self.b.input(name, TensorType(tuple(given), DType.FLOAT32))

    def _check_new(self, name: str, what: str) -> None:
        if name in self.scope or name in self.late:
            raise ModelError(
                f"{what}: blob {name!r} is there already; only a layer that reads it may write it"
            )

    def _dummy(self, layer: Layer) -> None:
        """Constants for the tops of a DummyData layer."""
        p = layer.message.dummy_data_param
        legacy = zip(p.num, p.channels, p.height, p.width, strict=False)
        shapes = [tuple(shape.dim) for shape in p.shape] or list(legacy)
        values = [0.0] if not p.data_filler else [filler.value for filler in p.data_filler]
        random = next((f.type for f in p.data_filler if f.type != "constant"), None)
        if random is not None:
            raise UnsupportedError(f"{layer.what}: filler {random!r}; supported is 'constant'")
        for name, shape, value in zip(
            layer.tops, for_each_top(layer, shapes), for_each_top(layer, values), strict=True
        ):
            self._check_new(name, layer.what)
            if min(shape, default=0) < 0 or len(shape) > MAX_RANK:
                raise ModelError(
                    f"{layer.what}: shape {list(shape)}; at most {MAX_RANK} dimensions, none "
                    "negative"
                )
            self._charge(layer.what, math.prod(max(d, 1) for d in shape))
            self.scope[name] = self.b.constant(np.full(shape, value, np.float32), name)

    def _charge(self, what: str, count: int) -> None:
        self.generated += count
        if self.generated > MAX_GENERATED:
            raise ModelError(
                f"{what}: constants that the file does not hold add up to {self.generated} "
                f"elements; at most {MAX_GENERATED}"
            )

    def _weights(self, layer: Layer) -> Sequence[Any]:
        """The blobs of a layer."""
        if self.no_weights is not None:
            raise self.no_weights
        if layer.name not in self.blobs:
            raise ModelError(f"{layer.what}: the weights have no layer of this name with blobs")
        return self.blobs[layer.name]

    def _bottom(self, layer: Layer, name: str) -> Value:
        if name in self.late:
            raise UnsupportedError(
                f"{layer.what}: bottom {name!r} are detections, whose number only a call knows"
            )
        if name not in self.scope:
            raise ModelError(f"{layer.what}: bottom {name!r} is not computed before it")
        return self.scope[name]

    def _layer(self, i: int, layer: Layer) -> None:
        row = layers().get(layer.type)
        if row is None:
            raise UnsupportedError(f"{layer.what}: layers of this type are not supported")
        bottoms = [self._bottom(layer, name) for name in layer.bottoms]
        least, most = row.bottoms
        if not least <= len(bottoms) <= most:
            raise ModelError(f"{layer.what}: {len(bottoms)} bottoms; it takes {least} to {most}")
        if not 1 <= len(layer.tops) <= row.tops:
            raise ModelError(f"{layer.what}: {len(layer.tops)} tops; it has 1 to {row.tops}")
        for top in layer.tops:
            if top not in layer.bottoms:
                self._check_new(top, layer.what)
        mark = len(self.b.nodes)
        call = LayerCall(self.b, layer, bottoms, row.params, self._weights, self._charge)
        found = row.read(call)
        if isinstance(found, DetectionOutput):
            self._check_detections(found, bottoms[:3])
            self.late[layer.tops[0]] = found, bottoms[:3]
            return
        results = [found] if isinstance(found, Value) else list(found)
        names: dict[Value, str] = {}
        for top, value in zip(layer.tops, results, strict=True):
            names.setdefault(value, self._label(i, layer, top))
        renamed = self.b.rename(names, mark)
        for top, value in zip(layer.tops, results, strict=True):
            self.scope[top] = renamed.get(value, value)

    def _label(self, i: int, layer: Layer, top: str) -> str:
        """The blob's name where it is new, or final; else that of the layer that changes it."""
        is_output = top in self.outputs and top not in self.inputs
        if self.last[top] == i if is_output else top not in self.scope:
            return top
        taken = layer.name in self.outputs
        return f"{layer.name}/{layer.type}" if taken else layer.name

    def _check_detections(self, op: DetectionOutput, bottoms: Sequence[Value]) -> None:
        try:
            op.infer([v.type for v in bottoms])
        except GraphError as error:
            raise ModelError(f"{self.b.what}: {error}") from error

    def _detections(self) -> dict[str, Value]:
        """A last node for the detections: its outputs by name."""
        if not self.late:
            return {}
        parts = list(self.late.values())
        inputs = [v for _, bottoms in parts for v in bottoms]
        (kind,) = parts[0][0].infer([v.type for v in parts[0][1]])

        def evaluate(arrays: Sequence[Array], limit: int) -> list[Array]:
            given = iter(arrays)
            found = []
            for op, bottoms in parts:
                types = [v.type for v in bottoms]
                found += op.reference([next(given) for _ in bottoms], types, [kind])
            return found

        outputs = {name: Value(self.b.claim(name), kind) for name in self.late}
        origin = self.layers[self.last[next(iter(self.late))]].name
        op = Interpreted((kind,) * len(parts), ("DetectionOutput",) * len(parts), evaluate)
        self.b.nodes.append(Node(op, tuple(inputs), tuple(outputs.values()), origin))
        return outputs
