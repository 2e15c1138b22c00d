"""In which order the axes of every tensor are stored, so that the fewest bytes are transposed.

Formats that keep images as NCHW give graphs in which every spatial operator, which is NHWC, stands
between two TRANSPOSEs. Here a TRANSPOSE is no operator: the values that TRANSPOSEs make of each
other are one tensor (`layout_orders`), and every node that reads or writes it wants an order of
its axes. Most nodes can run in several (`layout_rules`); which orders are best for all is one
minimization (`layout_choice`), whose lower bound proves it (docs/layout.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..graph import Graph, Node, Value
from ..ops import FullyConnected, Reshape, Transpose
from .canonicalize import canonicalize
from .remove_no_ops import remove_no_ops
from .rewrite import Sweep, fresh_name, rewrite

if TYPE_CHECKING:
    from .layout_orders import Chosen, Copy, Orders


class Transposition(NamedTuple):
    """A TRANSPOSE that remains, and the two ends that want different orders.

    Attributes:
        value: the name of the tensor.
        shape, perm: of what is transposed, and how, as of TRANSPOSE.
        nbytes: how much is moved.
        written, read: who wants the order it is written in, and the order it is read in.
    """

    value: str
    shape: tuple[int, ...]
    perm: tuple[int, ...]
    nbytes: int
    written: str
    read: str


class LayoutReport(NamedTuple):
    """Which TRANSPOSEs remain of a graph, and why.

    Attributes:
        before: bytes that the graph's TRANSPOSEs moved.
        remaining: the TRANSPOSEs that are left.
        bound: bytes below which no choice of the orders considered can go.
        absorbed: bytes of those, of TRANSPOSEs that weights behind them made needless.
        complete: every order that somebody wants was considered.
    """

    before: int
    remaining: tuple[Transposition, ...]
    bound: int
    absorbed: int = 0
    complete: bool = True

    @property
    def nbytes(self) -> int:
        """Bytes that are transposed."""
        return sum(t.nbytes for t in self.remaining)

    @property
    def proven(self) -> bool:
        """Whether no choice of orders transposes fewer bytes."""
        return self.complete and self.nbytes + self.absorbed == self.bound


def minimize_transposes(graph: Graph) -> Graph:
    """Store every tensor in the order of axes that leaves the fewest bytes to transpose.

    Inputs, outputs, states and operators that know one order keep theirs. Constants are transposed
    here, and weights that meet a flattened image take its elements in the order it has.

    Given:
        %b = CONV_2D(%a, @w)
        %c = TRANSPOSE[perm=(0, 3, 1, 2)](%b)
        %d = RELU(%c)
        %e = TRANSPOSE[perm=(0, 2, 3, 1)](%d)
        %f = CONV_2D(%e, @w2)
    Result:
        %b = CONV_2D(%a, @w)
        %e = RELU(%b)
        %f = CONV_2D(%e, @w2)
    """
    return choose_layout(graph)[0]


def choose_layout(graph: Graph) -> tuple[Graph, LayoutReport]:
    """`minimize_transposes`, and what it found."""
    if not any(isinstance(node.op, Transpose) for node in graph.nodes):
        return graph, LayoutReport(0, (), 0)
    from .layout_emit import emit
    from .layout_orders import Orders
    from .layout_shuffles import absorb_shuffles

    flat, opened = _open_products(graph)
    orders = Orders(flat)
    best, bound = orders.solve()
    asis: Chosen = {}
    if orders.cost(asis) <= orders.cost(best):
        best = asis
    kept = [use.node for use in orders.uses if isinstance(use.node.op, Transpose)]
    kept = [node for node in kept if _moves(node)]
    fixed = sum(node.outputs[0].type.nbytes for node in kept)
    before = sum(node.outputs[0].type.nbytes for node in graph.nodes if _moves(node))
    copies = orders.transposed(best)
    result, where = graph, orders.place
    if best is not asis or fixed + sum(copy.nbytes for copy in copies) < before:
        result, where = emit(orders, best)
        result = remove_no_ops(canonicalize(_close_products(result, opened)))
    result, absorbed = absorb_shuffles(result)
    gone = {(t, t.bytes_of(order)) for t, order in (where[v] for v in absorbed)}
    left = [c for c in copies if (c.tensor, c.tensor.bytes_of(c.read)) not in gone]
    remaining = (
        *(_transposition(orders, best, copy) for copy in left),
        *(_kept(node) for node in kept if node.outputs[0] not in absorbed),
    )
    nbytes = sum(v.type.nbytes for v in absorbed)
    return result, LayoutReport(before, remaining, bound + fixed, nbytes, orders.complete)


def _moves(node: Node) -> bool:
    """Whether a node is a TRANSPOSE that moves more than axes of size 1."""
    if not isinstance(node.op, Transpose):
        return False
    moved = [axis for axis in node.op.perm if node.inputs[0].type.shape[axis] != 1]
    return moved != sorted(moved)


def _transposition(orders: Orders, chosen: Chosen, copy: Copy) -> Transposition:
    from .layout_reasons import reason

    tensor, written, read = copy
    t = tensor.root.type
    return Transposition(
        tensor.root.name,
        tuple(t.shape[axis] for axis in written),
        tuple(written.index(axis) for axis in read),
        t.nbytes,
        reason(orders, chosen, tensor, written, read),
        reason(orders, chosen, tensor, read, written),
    )


def _kept(node: Node) -> Transposition:
    assert isinstance(node.op, Transpose)
    (x,), (y,) = node.inputs, node.outputs
    why = f"TRANSPOSE {node.origin!r}"
    return Transposition(x.name, x.type.shape, node.op.perm, y.type.nbytes, why, why)


def _open_products(graph: Graph) -> tuple[Graph, dict[Value, Node]]:
    """Let products of constant weights flatten the axes that a RESHAPE before them joins.

    Given also, by the flat results, are the nodes as they were.

    Given:
        %b = RESHAPE[shape=(1, 5, 24)](%a) : float32[1x5x24], %a is float32[1x5x8x3]
        %c = FULLY_CONNECTED[keep_num_dims=True](%b, @w) : float32[1x5x16]
    Result:
        %c.2 = FULLY_CONNECTED(%a, @w) : float32[5x16]
        %c = RESHAPE[shape=(1, 5, 16)](%c.2)
    """
    taken = _names(graph)
    opened: dict[Value, Node] = {}

    def flatten(node: Node, sweep: Sweep) -> Node | None:
        before, (y,) = sweep.producer(node.inputs[0]), node.outputs
        assert isinstance(node.op, FullyConnected)
        if not node.op.keep_num_dims or not node.inputs[1].is_constant or before is None:
            return None
        x = before.inputs[0]
        joins = (
            isinstance(before.op, Reshape) and x.type.shape[-1:] != node.inputs[0].type.shape[-1:]
        )
        if not joins or x.type.quant != node.inputs[0].type.quant:
            return None
        depth = node.inputs[1].type.shape[1]
        t = replace(y.type, shape=(x.type.size // depth, y.type.shape[-1]))
        flat = Value(fresh_name(y.name, taken), t)
        op = replace(node.op, keep_num_dims=False)
        sweep.append(replace(node, op=op, inputs=(x, *node.inputs[1:]), outputs=(flat,)))
        opened[flat] = node
        return Node(Reshape(y.type.shape), (flat,), (y,), node.origin)

    return rewrite(graph, (FullyConnected,), flatten), opened


def _close_products(graph: Graph, opened: dict[Value, Node]) -> Graph:
    """The inverse, where the weights stayed as they were."""
    taken = _names(graph)

    def join(node: Node, sweep: Sweep) -> Node | None:
        (flat,), (y,) = node.inputs, node.outputs
        product, known = sweep.producer(flat), opened.get(flat)
        if product is None or known is None or product.inputs[1] is not known.inputs[1]:
            return None
        if y.type.shape[-1:] != flat.type.shape[-1:] or not sweep.has_one_user(flat):
            return None
        x = product.inputs[0]
        shape = (*y.type.shape[:-1], known.inputs[1].type.shape[1])
        joined = Value(fresh_name(x.name, taken), replace(x.type, shape=shape))
        sweep.append(Node(Reshape(shape), (x,), (joined,), known.origin))
        return replace(known, inputs=(joined, *known.inputs[1:]), outputs=node.outputs)

    return rewrite(graph, (Reshape,), join)


def _names(graph: Graph) -> set[str]:
    return {v.name for v in (*graph.sources, *(v for n in graph.nodes for v in n.outputs))}


__all__ = ["LayoutReport", "Transposition", "choose_layout", "minimize_transposes"]
