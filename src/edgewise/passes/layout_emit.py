"""The graph in which every tensor is stored as it was chosen."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node, TensorType, Value
from ..ops import Op, Reshape, Transpose
from .layout_forms import Perm, constant, permuted_constant, permuted_type, presented
from .layout_orders import Chosen, Orders, Slot, Tensor, Use
from .rewrite import drop_dead, fresh_name


def emit(orders: Orders, chosen: Chosen) -> tuple[Graph, dict[Value, tuple[Tensor, Perm]]]:
    """The graph whose nodes run as ``chosen``, with a TRANSPOSE for every copy.

    Given too is which tensor each of its values is, and in what order.
    """
    emission = _Emission(orders)
    for use in orders.uses:
        emission.run(use, chosen.get(use, 0))
    graph = emission.graph()
    stored = emission.stored.items()
    return graph, {value: (t, order) for t, values in stored for order, value in values.items()}


class _Emission:
    def __init__(self, orders: Orders) -> None:
        self.orders, self.source = orders, orders.graph
        self.nodes: list[Node] = []
        self.stored: dict[Tensor, dict[Perm, Value]] = {}
        self.reshaped: dict[tuple[Value, TensorType], Value] = {}
        self.producers = self.source.producers()
        self.taken = {v.name for v in self.source.sources}
        self.taken |= {v.name for node in self.source.nodes for v in node.outputs}
        self.results = set(self.source.results)
        for value in self.source.sources:
            tensor, frame = orders.place[value]
            self.stored[tensor] = {frame: value}

    def name(self, tensor: Tensor, order: Perm) -> Value:
        """The value that holds a tensor in an order: the graph's own, if it has one."""
        same = [value for value, frame in tensor.members if frame == order]
        for value in sorted(same, key=lambda value: value not in self.results):
            return value
        return self.fresh(tensor.root, permuted_type(tensor.root.type, order))

    def fresh(self, like: Value, t: TensorType) -> Value:
        return Value(fresh_name(like.name, self.taken), t)

    def read(self, tensor: Tensor, order: Perm) -> Value:
        """A tensor in an order; the nodes that bring it there are added."""
        stored = self.stored[tensor]
        if order in stored:
            return stored[order]
        alike = [o for o in stored if tensor.bytes_of(o) == tensor.bytes_of(order)]
        before = alike[0] if alike else next(iter(stored))
        value = self.name(tensor, order)
        op: Op = Reshape(value.type.shape)
        if not alike:
            op = Transpose(tuple(before.index(axis) for axis in order))
        self.nodes.append(Node(op, (stored[before],), (value,), self.origin(tensor, value)))
        stored[order] = value
        return value

    def origin(self, tensor: Tensor, value: Value) -> str:
        """The file's name for what gives a value, or its tensor in another order."""
        for known in (value, *(v for v, _ in tensor.members[1:]), tensor.root):
            if known in self.producers:
                return self.producers[known].origin
        return ""

    def run(self, use: Use, number: int) -> None:
        """Add a node in one of its configurations."""
        node, form, config = use.node, use.form, use.configs[number]
        inputs = [
            self.operand(use, i, value, slot, config.inputs[i], number)
            for i, (value, slot) in enumerate(zip(node.inputs, use.inputs, strict=True))
        ]
        op = node.op
        if form is not None and number:
            op = form.permuted(config.order)
            for i, value in form.constants(config.order).items():
                inputs[i] = value
        outputs = []
        for slot, perm in zip(use.outputs, config.outputs, strict=True):
            order = slot.order(perm)
            outputs.append(self.name(slot.tensor, order))
            self.stored[slot.tensor] = {order: outputs[-1]}
        if (inputs, outputs) == (list(node.inputs), list(node.outputs)) and op == node.op:
            self.nodes.append(node)
            return
        self.nodes.append(replace(node, op=op, inputs=tuple(inputs), outputs=tuple(outputs)))

    def operand(
        self, use: Use, i: int, value: Value, slot: Slot | None, perm: Perm, number: int
    ) -> Value:
        """An input of a node as its configuration reads it."""
        form, order = use.form, use.configs[number].order
        if slot is not None:
            value = self.read(slot.tensor, slot.order(perm))
        elif number:
            value = permuted_constant(value, perm)
        if form is None or not number:
            return value
        t = presented(form, form.inputs[i], value.type, order, shortest=slot is None)
        if t == value.type:
            return value
        if value.data is not None:
            return constant(value, t, value.data)
        if (value, t) not in self.reshaped:
            self.reshaped[value, t] = self.fresh(value, t)
            outputs = (self.reshaped[value, t],)
            self.nodes.append(Node(Reshape(t.shape), (value,), outputs, use.node.origin))
        return self.reshaped[value, t]

    def graph(self) -> Graph:
        for value in dict.fromkeys(self.source.results):
            if value not in self.orders.place:
                continue
            tensor, frame = self.orders.place[value]
            stored = self.read(tensor, frame)
            if stored is not value:
                origin = self.origin(tensor, value)
                self.nodes.append(Node(Reshape(value.type.shape), (stored,), (value,), origin))
        return drop_dead(self.source.with_nodes(self.nodes))
