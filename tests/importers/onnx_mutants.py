"""Broken variants of ONNX files: of their bytes, and of the messages that these hold.

``mutant(files, seed)`` is the same for the same arguments on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from edgewise.importers.onnx_ops import operators
from mutate import MUTATIONS as OF_BYTES
from mutate import WORDS, Source

NUMBERS = (*WORDS, 2**63 - 1, -(2**63), *(-n for n in WORDS))
SIZES = (0, 1, 2, 3, 5, 16, 1000, 2**16, 2**31, 2**40, -1)
TYPES = tuple(range(27))


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and those of its nodes' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


class Parts:
    """What a mutation may strike."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.graphs = list(graphs(model.graph))
        self.nodes = [n for g in self.graphs for n in g.node]
        self.attributes = [a for n in self.nodes for a in n.attribute]
        self.tensors = [t for g in self.graphs for t in g.initializer]
        self.tensors += [a.t for a in self.attributes if a.HasField("t")]
        values = [v for g in self.graphs for v in (*g.input, *g.output)]
        self.types = [v.type.tensor_type for v in values if v.type.HasField("tensor_type")]
        self.names = sorted({name for n in self.nodes for name in (*n.input, *n.output)})


Mutation = Callable[[random.Random, Parts], None]


def change_attribute(rng: random.Random, parts: Parts) -> None:
    attribute = rng.choice(parts.attributes)
    if attribute.ints and rng.random() < 0.8:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif attribute.type == AttributeProto.INT:
        attribute.i = rng.choice((attribute.i + 1, attribute.i - 1, *NUMBERS))
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.choice((b"", b"\xff\xfe", b"SAME_UPPER", b"linear", b"reflect"))
    else:
        attribute.type = rng.randrange(15)


def grow_attribute(rng: random.Random, parts: Parts) -> None:
    attribute = rng.choice(parts.attributes)
    attribute.ints.extend(rng.choices(NUMBERS, k=rng.choice((1, 2, 10))))


def drop_attribute(rng: random.Random, parts: Parts) -> None:
    node = rng.choice([n for n in parts.nodes if n.attribute])
    del node.attribute[rng.randrange(len(node.attribute))]


def rename_attribute(rng: random.Random, parts: Parts) -> None:
    rng.choice(parts.attributes).name = rng.choice(parts.attributes).name


def change_operator(rng: random.Random, parts: Parts) -> None:
    rng.choice(parts.nodes).op_type = rng.choice((*sorted(operators()), "None", ""))


def change_input(rng: random.Random, parts: Parts) -> None:
    node = rng.choice([n for n in parts.nodes if n.input])
    node.input[rng.randrange(len(node.input))] = rng.choice(("", "none", *parts.names))


def drop_input(rng: random.Random, parts: Parts) -> None:
    node = rng.choice([n for n in parts.nodes if n.input])
    del node.input[rng.randrange(len(node.input))]


def add_input(rng: random.Random, parts: Parts) -> None:
    rng.choice(parts.nodes).input.append(rng.choice(("", *parts.names)))


def change_output(rng: random.Random, parts: Parts) -> None:
    node = rng.choice([n for n in parts.nodes if n.output])
    node.output[rng.randrange(len(node.output))] = rng.choice(("", "new", *parts.names))


def move_node(rng: random.Random, parts: Parts) -> None:
    graph = rng.choice([g for g in parts.graphs if g.node])
    a, b = (rng.randrange(len(graph.node)) for _ in range(2))
    copy = onnx.NodeProto()
    copy.CopyFrom(graph.node[a])
    graph.node[a].CopyFrom(graph.node[b])
    graph.node[b].CopyFrom(copy)


def drop_node(rng: random.Random, parts: Parts) -> None:
    graph = rng.choice([g for g in parts.graphs if g.node])
    del graph.node[rng.randrange(len(graph.node))]


def change_dims(rng: random.Random, parts: Parts) -> None:
    tensor = rng.choice(parts.tensors)
    if tensor.dims and rng.random() < 0.8:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(SIZES)
    else:
        tensor.dims.extend([rng.choice(SIZES)] * rng.choice((1, 1, 9)))


def change_data(rng: random.Random, parts: Parts) -> None:
    tensor = rng.choice(parts.tensors)
    kind = rng.randrange(4)
    if kind == 0 and tensor.raw_data:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data))]
    elif kind == 1 and tensor.int64_data:
        tensor.int64_data[rng.randrange(len(tensor.int64_data))] = rng.choice(NUMBERS)
    elif kind == 2 and 8 <= len(tensor.raw_data) <= 64:
        number = rng.choice((*NUMBERS, *SIZES)).to_bytes(8, "little", signed=True)
        place = rng.randrange(len(tensor.raw_data) // 8) * 8
        tensor.raw_data = tensor.raw_data[:place] + number + tensor.raw_data[place + 8 :]
    else:
        tensor.data_type = rng.choice(TYPES)


def name_a_file(rng: random.Random, parts: Parts) -> None:
    tensor = rng.choice(parts.tensors)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", rng.choice(("", "/etc/passwd", "..", "a"))), ("offset", "9")):
        tensor.external_data.add(key=key, value=value)


def change_shape(rng: random.Random, parts: Parts) -> None:
    shape = rng.choice(parts.types).shape
    if shape.dim and rng.random() < 0.8:
        dim = shape.dim[rng.randrange(len(shape.dim))]
        if rng.random() < 0.3:
            dim.dim_param = rng.choice(("n", ""))
        else:
            dim.dim_value = rng.choice(SIZES)
    elif shape.dim:
        del shape.dim[rng.randrange(len(shape.dim))]
    else:
        shape.dim.add(dim_value=rng.choice(SIZES))


def change_type(rng: random.Random, parts: Parts) -> None:
    rng.choice(parts.types).elem_type = rng.choice(TYPES)


def change_opset(rng: random.Random, parts: Parts) -> None:
    rng.choice(parts.model.opset_import).version = rng.choice((0, 6, *range(7, 30), 2**40))


def change_graph(rng: random.Random, parts: Parts) -> None:
    graph = rng.choice(parts.graphs)
    ends = rng.choice((graph.input, graph.output))
    if ends and rng.random() < 0.5:
        del ends[rng.randrange(len(ends))]
    else:
        ends.add(name=rng.choice(parts.names)).type.tensor_type.elem_type = rng.choice(TYPES)


MUTATIONS: Mapping[Mutation, int] = {
    change_attribute: 6,
    grow_attribute: 1,
    drop_attribute: 2,
    rename_attribute: 1,
    change_operator: 4,
    change_input: 4,
    drop_input: 2,
    add_input: 1,
    change_output: 2,
    move_node: 1,
    drop_node: 1,
    change_dims: 2,
    change_data: 3,
    name_a_file: 1,
    change_shape: 4,
    change_type: 2,
    change_opset: 2,
    change_graph: 2,
}
"""Each mutation of messages and its weight."""


def mutant(sources: Sequence[bytes], seed: int) -> bytes:
    """A file broken by one mutation, or now and then by two or three."""
    rng = random.Random(seed)
    data = rng.choice(sources)
    if rng.random() < 0.2:
        files = [Source(d, ((0, len(d)),)) for d in (data, rng.choice(sources))]
        return rng.choices(list(OF_BYTES), list(OF_BYTES.values()))[0](rng, *files)
    model = ModelProto.FromString(data)
    left = rng.choice((1, 1, 1, 1, 2, 3))
    while left:
        try:
            rng.choices(list(MUTATIONS), list(MUTATIONS.values()))[0](rng, Parts(model))
        except IndexError:
            continue
        left -= 1
    return bytes(model.SerializeToString(deterministic=True))
