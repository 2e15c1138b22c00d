"""Reads ONNX files: graphs of the standard domain, opset 7 to 28.

The file is data from strangers: everything read from it is checked before use, and a file that
breaks a rule raises ModelError naming the object, the value and the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError, ModelError, RunError, UnsupportedError
from ..graph import Graph, Node, Shapes, TensorType, Value
from ..ops import Interpreted
from .builder import Builder
from .content import Source
from .onnx_model import opsets_of, parse, tensor_type
from .onnx_reading import Reading, Region, Session

OLDEST, NEWEST = 7, 28
"""The first and the last opset whose operators are read."""


def read_onnx(source: Source) -> Graph:
    """The network of an ONNX file.

    Symbolic dimensions have the sizes that ``source.dims`` gives; others, and those without a
    name, are 1.

    Raises:
        ModelError: the file breaks a rule of its format.
        UnsupportedError: it uses what Edgewise does not have yet.
        InputError: there is no such input or dimension, or the network cannot take the shapes.
        MissingExtraError: the `onnx` package is not installed.
    """
    model = parse(source.data)
    opsets = opsets_of(model)
    for imported in (opsets, *map(opsets_of, model.functions)):
        if not OLDEST <= imported.get("", OLDEST) <= NEWEST:
            raise UnsupportedError(f"opset {imported['']}; supported are {OLDEST} to {NEWEST}")
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    session = Session(opsets, functions, source.inside)
    network = _Network(model, session, source.shapes, source.dims)
    try:
        return network.graph(source.name)
    except RunError as error:
        raise ModelError(f"{error}") from error
    except UnsupportedError:
        raise
    except ModelError as error:
        if source.shapes or source.dims:
            given = {k: list(v) for k, v in source.shapes.items()} | dict(source.dims)
            text = f"the network cannot take inputs of shapes {given}: {error}"
            raise InputError(text) from error
        if not network.symbols:
            raise
        names = ", ".join(sorted(network.symbols))
        raise ModelError(
            f"{error}; as no sizes are given, these dimensions are 1: {names}"
        ) from error


class _Network:
    """A model's graph, with what must wait until a call."""

    def __init__(
        self, model: Any, session: Session, shapes: Shapes, dims: Mapping[str, int]
    ) -> None:
        self.model, self.session = model, session
        self.shapes, self.dims = shapes, dims
        self.open: dict[str, tuple[int, ...]] = {}
        self.symbols: dict[str, int] = {}

    def graph(self, name: str) -> Graph:
        graph, b = self.model.graph, Builder()
        inputs = {i.name for i in graph.input}
        b.reserve(o.name for o in graph.output if o.name not in inputs)
        self.session.main = b
        reading = Reading(self.session, b, {})
        reading.late = []
        reading.initializers(graph)
        declared = [i for i in graph.input if i.name not in reading.scope]
        sizes = self._sizes(declared)
        for entry in declared:
            reading.scope[entry.name] = self._input(b, entry, sizes)
        self._check_names([i.name for i in declared])
        reading.run(graph.node)
        outputs = self._interpreted(reading, graph)
        last = b.nodes[-1:] if outputs else []
        for output in graph.output:
            if output.name not in outputs:
                outputs[output.name] = reading.result(output.name)
        metadata = {
            "description": self.model.doc_string,
            "dims": dict(self.symbols),
            "quantization": "qdq",
            "properties": {entry.key: entry.value for entry in self.model.metadata_props},
        }
        pairs = [(o.name, outputs[o.name]) for o in graph.output]
        made = b.graph(pairs, graph.name or name, metadata, self.open)
        others = (n for n in made.nodes if n not in last)
        return made.with_nodes([*others, *last])

    def _sizes(self, inputs: Sequence[Any]) -> dict[str, int]:
        """Sizes of symbolic dimensions: those of the shapes given, then those given by name."""
        found: dict[str, int] = {}
        for declared in inputs:
            dims = declared.type.tensor_type.shape.dim
            for d, size in zip(dims, self.shapes.get(declared.name, ()), strict=False):
                if d.WhichOneof("value") == "dim_param":
                    found.setdefault(d.dim_param, size)
        return {**self.dims, **found}

    def _input(self, b: Builder, declared: Any, sizes: Mapping[str, int]) -> Value:
        """An input, with sizes for the dimensions that the file leaves open."""
        what = f"input {declared.name!r}"
        tensor = _tensor_of(declared.type, what)
        dtype = tensor_type(tensor.elem_type, what)
        shape, opened = [], []
        for d in tensor.shape.dim:
            kind = d.WhichOneof("value")
            if kind == "dim_value":
                shape.append(d.dim_value)
                opened.append(d.dim_value)
                continue
            size = sizes.get(d.dim_param, 1) if kind == "dim_param" else 1
            if kind == "dim_param":
                self.symbols[d.dim_param] = size
            shape.append(size)
            opened.append(-1)
        given = self.shapes.get(declared.name)
        if given is not None:
            if tensor.HasField("shape") and len(given) != len(shape):
                raise InputError(f"{what}: shape {list(given)} in place of {shape}; the rank stays")
            shape = list(given)
        if -1 in opened:
            self.open[declared.name] = tuple(opened)
        value = b.input(declared.name, TensorType(tuple(shape), dtype))
        self.session.codes[value] = tensor.elem_type
        return value

    def _check_names(self, inputs: Sequence[str]) -> None:
        for given, known, kind in (
            (self.shapes, set(inputs), "input"),
            (self.dims, set(self.symbols), "symbolic dimension"),
        ):
            unknown = sorted(set(given) - known)
            if unknown:
                raise InputError(
                    f"no {kind} is named {unknown[0]!r}; the file has {sorted(known) or 'none'}"
                )

    def _interpreted(self, reading: Reading, graph: Any) -> dict[str, Value]:
        """A last node for the nodes that wait for a call: its outputs by name."""
        if not reading.late:
            return {}
        late, b = reading.late, reading.b
        declared = {o.name: o for o in graph.output}
        names = [n for n in declared if n in reading.waiting]
        if not names:
            return {}
        types = {}
        for name in names:
            tensor = _tensor_of(declared[name].type, f"output {name!r}")
            shape = (-1,) * len(tensor.shape.dim) if tensor.HasField("shape") else None
            types[name] = shape, tensor_type(tensor.elem_type, f"output {name!r}")
        region = Region(reading, late, types)
        outputs = [
            Value(b.claim(name), TensorType((-1,) if shape is None else shape, dtype))
            for name, (shape, dtype) in types.items()
        ]
        op = Interpreted(
            tuple(v.type for v in outputs), tuple(n.op_type for n in late), region.evaluate
        )
        b.nodes.append(Node(op, tuple(region.inputs), tuple(outputs), "interpreted"))
        return dict(zip(names, outputs, strict=True))


def _tensor_of(declared: Any, what: str) -> Any:
    """The declaration of a tensor, or of one that is optional and is given."""
    kind = declared.WhichOneof("value")
    if kind == "optional_type":
        declared = declared.optional_type.elem_type
        kind = declared.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedError(f"{what} is {kind or 'of no type'}; supported are tensors")
    return declared.tensor_type
