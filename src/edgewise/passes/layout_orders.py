"""The tensors of a graph, the orders in which they may be stored, and what each costs.

Values that TRANSPOSEs make of each other are one `Tensor`, of which every node wants an order. An
order is considered where a node or an end of the graph has it as the graph stands, or gets it from
a neighbour that does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from ..graph import Graph, Node, Value
from ..ops import Reshape, Transpose
from .layout_choice import Choice, Factor, minimize
from .layout_forms import Axes, Config, Form, Perm, permuted_type
from .layout_rules import form_of

MAX_CONFIGS = 24
MAX_TOTAL = 1 << 14
"""Orders of one node, and of all together, that are considered."""

Chosen: TypeAlias = "dict[Use, int]"
"""The number of its configuration for each node that has several."""


@dataclass(eq=False)
class Tensor:
    """What several values are, each in an order of its own.

    Attributes:
        root: the value that is computed; ``writer`` computes it, or it is there at the start.
        members: its values, each with its order: axis i of the value is axis ``frame[i]`` of root.
        wanted: the orders that somebody wants.
    """

    root: Value
    writer: Use | None = None
    members: list[tuple[Value, Perm]] = field(default_factory=list)
    readers: list[Use] = field(default_factory=list)
    wanted: dict[Perm, None] = field(default_factory=dict)
    is_result: bool = False
    _bytes: dict[Perm, Perm] = field(default_factory=dict)

    def bytes_of(self, order: Perm) -> Perm:
        """What tells the bytes of an order from those of another: its axes but those of size 1."""
        if order not in self._bytes:
            shape = self.root.type.shape
            self._bytes[order] = tuple(a for a in order if shape[a] != 1)
        return self._bytes[order]

    def effort(self, order: Perm, other: Perm) -> int:
        """1 where elements of the last axis, which lie side by side, are moved together; else 2."""
        return 1 if self.bytes_of(order)[-1:] == self.bytes_of(other)[-1:] else 2


class Slot(NamedTuple):
    """An operand of a node: a value of a tensor."""

    tensor: Tensor
    frame: Perm
    axes: Axes
    value: Value

    def order(self, perm: Perm) -> Perm:
        """The order of the tensor where the operand's axes are in ``perm``."""
        return tuple(self.frame[a] for a in perm)


@dataclass(eq=False)
class Use:
    """A node that is no TRANSPOSE between values of a tensor, and how it may run.

    Attributes:
        inputs: of each input its slot, or None for a constant; ``slots`` are all slots, inputs
            first.
        configs: the ways to run it, the first of which is how it is.
        wants: for each of them, the order of its tensor that every one of ``slots`` has.
        preferred: those of them that operators of one order want.
        tried: the orders of its space that led to them.
    """

    node: Node
    form: Form | None
    inputs: list[Slot | None] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    configs: list[Config] = field(default_factory=list)
    wants: list[tuple[Perm, ...]] = field(default_factory=list)
    preferred: set[int] = field(default_factory=set)
    tried: set[Perm] = field(default_factory=set)

    def orders(self, config: Config) -> tuple[Perm, ...]:
        """What order a configuration wants of the tensor of every slot."""
        inputs = zip(self.inputs, config.inputs, strict=True)
        return (
            *(slot.order(perm) for slot, perm in inputs if slot is not None),
            *(slot.order(p) for slot, p in zip(self.outputs, config.outputs, strict=True)),
        )

    def add(self, config: Config, wants: tuple[Perm, ...]) -> None:
        self.configs.append(config)
        self.wants.append(wants)

    def writes(self, tensor: Tensor, number: int) -> Perm:
        """The order in which it writes a tensor."""
        first = len(self.slots) - len(self.outputs)
        written = zip(self.slots[first:], self.wants[number][first:], strict=True)
        return next(order for slot, order in written if slot.tensor is tensor)

    def reads(self, tensor: Tensor, number: int) -> list[Perm]:
        """The orders in which it reads a tensor."""
        given = len(self.slots) - len(self.outputs)
        wants = zip(self.slots[:given], self.wants[number], strict=False)
        return [order for slot, order in wants if slot.tensor is tensor]


class Copy(NamedTuple):
    """A tensor that is written in one order and read in another."""

    tensor: Tensor
    written: Perm
    read: Perm

    @property
    def nbytes(self) -> int:
        return self.tensor.root.type.nbytes


class Orders:
    """All orders of a graph's tensors and nodes that are considered."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: list[Tensor] = []
        self.uses: list[Use] = []
        self.place: dict[Value, tuple[Tensor, Perm]] = {}
        self.complete = True
        self._added = 0
        self._queue: deque[tuple[Tensor, Perm]] = deque()
        for value in graph.sources:
            self._tensor(value, None)
        for node in graph.nodes:
            self._add(node)
        for value in graph.results:
            if value in self.place:
                self.place[value][0].is_result = True
        self._propagate()
        self.variables = [use for use in self.uses if len(use.configs) > 1]
        most = len(self.variables) + sum(2 * len(tensor.wanted) for tensor in self.tensors)
        self.scale = 1 << most.bit_length()

    def _tensor(self, value: Value, writer: Use | None) -> tuple[Tensor, Perm]:
        tensor = Tensor(value, writer)
        self.tensors.append(tensor)
        return self._member(value, tensor, tuple(range(len(value.type.shape))))

    def _member(self, value: Value, tensor: Tensor, frame: Perm) -> tuple[Tensor, Perm]:
        tensor.members.append((value, frame))
        self.place[value] = tensor, frame
        return tensor, frame

    def _add(self, node: Node) -> None:
        perm = turned(node)
        if perm is not None and node.inputs[0] in self.place:
            (x,), (y,) = node.inputs, node.outputs
            if y.type == permuted_type(x.type, perm):
                tensor, frame = self.place[x]
                self._member(y, tensor, tuple(frame[a] for a in perm))
                return
        form = form_of(node)
        use = Use(node, form)
        self.uses.append(use)
        for i, value in enumerate(node.inputs):
            axes = form.inputs[i] if form else None
            place = self.place.get(value)
            use.inputs.append(Slot(*place, axes, value) if place else None)
        for tensor in dict.fromkeys(slot.tensor for slot in use.inputs if slot):
            tensor.readers.append(use)
        for i, value in enumerate(node.outputs):
            axes = form.outputs[i] if form else None
            use.outputs.append(Slot(*self._tensor(value, use), axes, value))
        use.slots = [*(slot for slot in use.inputs if slot is not None), *use.outputs]
        ranks = [tuple(range(len(v.type.shape))) for v in (*node.inputs, *node.outputs)]
        count = len(node.inputs)
        order = tuple(range(len(form.sizes))) if form else ()
        asis = Config(order, tuple(ranks[:count]), tuple(ranks[count:]))
        use.add(asis, use.orders(asis))

    def _propagate(self) -> None:
        """Carry every order that somebody has through the nodes that can take it."""
        self._start(use for use in self.uses if use.form is None)
        self._carry(preferred=True)
        for value in (*self.graph.sources, *self.graph.results):
            if value in self.place:
                self._want(*self.place[value])
        self._start(self.uses)
        for use in self.uses:
            if use.form is not None:
                for order in use.form.others:
                    self._consider(use, use.form.config(order, use.node), preferred=False)
        self._carry(preferred=False)

    def _start(self, uses: Iterable[Use]) -> None:
        for use in uses:
            for slot, order in zip(use.slots, use.wants[0], strict=True):
                self._want(slot.tensor, order)

    def _want(self, tensor: Tensor, order: Perm) -> None:
        if order not in tensor.wanted:
            tensor.wanted[order] = None
            self._queue.append((tensor, order))

    def _carry(self, preferred: bool) -> None:
        while self._queue:
            tensor, order = self._queue.popleft()
            for use in (*([tensor.writer] if tensor.writer else []), *tensor.readers):
                if use.form is not None:
                    for slot in use.slots:
                        if slot.tensor is tensor:
                            self._take(use, use.form, slot, order, preferred)

    def _take(self, use: Use, form: Form, slot: Slot, order: Perm, preferred: bool) -> None:
        """Let a node run so that one operand has an order, if it can."""
        perm = tuple(slot.frame.index(a) for a in order)
        whole = form.order(slot.axes, slot.value.type.shape, perm)
        if whole is not None and whole not in use.tried:
            use.tried.add(whole)
            self._consider(use, form.config(whole, use.node), preferred)

    def _consider(self, use: Use, config: Config, preferred: bool) -> None:
        wants = use.orders(config)
        if wants not in use.wants:
            if len(use.configs) >= MAX_CONFIGS or self._added >= MAX_TOTAL:
                self.complete = False
                return
            self._added += 1
            use.add(config, wants)
        if preferred:
            use.preferred.add(use.wants.index(wants))
        for other, own in zip(use.slots, wants, strict=True):
            self._want(other.tensor, own)

    def solve(self) -> tuple[Chosen, int]:
        """The configurations that cost least, and bytes below which no choice goes."""
        number = {use: i for i, use in enumerate(self.variables)}
        sizes = [len(use.configs) for use in self.variables]
        factors = [
            Factor((number[use],), np.array([self._dislike(use, c) for c in range(size)], float))
            for use, size in zip(self.variables, sizes, strict=True)
        ]
        for tensor in self.tensors:
            factors += self._factors(tensor, number, sizes)
        choice: Choice = minimize(sizes, factors)
        chosen = dict(zip(self.variables, choice.chosen, strict=False))
        bound = math.ceil((choice.bound - self.scale + 1) / self.scale)
        return chosen, max(bound, 0)

    def _dislike(self, use: Use, config: int) -> int:
        return int(bool(use.preferred) and config not in use.preferred)

    def _factors(
        self, tensor: Tensor, number: dict[Use, int], sizes: list[int]
    ) -> Iterator[Factor]:
        """What storing a tensor costs.

        That is its bytes for each order read that is not written, and the effort of each such
        order, that of axes of size 1 included.
        """
        orders = len(tensor.wanted)
        kinds = {order: tensor.bytes_of(order) for order in tensor.wanted}
        if len(set(kinds.values())) > 1:
            nbytes = float(tensor.root.type.nbytes * self.scale)
            yield from self._copying(tensor, kinds, lambda *kinds: nbytes, number, sizes)
        if orders > 1:
            same = {order: order for order in tensor.wanted}
            yield from self._copying(tensor, same, tensor.effort, number, sizes)

    def _copying(
        self,
        tensor: Tensor,
        kinds: Mapping[Perm, Perm],
        cost: Callable[[Perm, Perm], float],
        number: dict[Use, int],
        sizes: list[int],
    ) -> Iterator[Factor]:
        """The cost, of both, for each kind of order that is read and not written.

        A variable of two choices says whether there is a copy, where several nodes may read it.
        """
        writer = tensor.writer
        scope = (number[writer],) if writer in number else ()
        count = len(writer.configs) if writer is not None and scope else 1
        written = [kinds[self.written(tensor, i)] for i in range(count)]
        fixed, free = self._reading(tensor, kinds, number)
        for kind in dict.fromkeys((*fixed, *free)):
            price = np.array([0.0 if kind == w else cost(kind, w) for w in written])
            price = price if scope else price[0]
            if kind in fixed:
                yield Factor(scope, price)
                continue
            reads = free[kind]
            if len(reads) == 1:
                ((use, configs),) = reads.items()
                wants = [float(i in configs) for i in range(len(use.configs))]
                yield Factor((*scope, number[use]), np.multiply.outer(price, wants))
                continue
            copy = len(sizes)
            sizes.append(2)
            yield Factor((*scope, copy), np.multiply.outer(price, np.array([0.0, 1.0])))
            for use, configs in reads.items():
                table = np.zeros((len(use.configs), 2))
                table[list(configs), 0] = np.inf
                yield Factor((number[use], copy), table)

    def _reading(
        self, tensor: Tensor, kinds: Mapping[Perm, Perm], number: dict[Use, int]
    ) -> tuple[dict[Perm, None], dict[Perm, dict[Use, set[int]]]]:
        """The kinds of order that somebody reads, and those that configurations of nodes read."""
        fixed = dict.fromkeys(kinds[order] for order in self.results(tensor))
        free: dict[Perm, dict[Use, set[int]]] = {}
        for use in tensor.readers:
            for i in range(len(use.configs)):
                for order in use.reads(tensor, i):
                    if use in number:
                        free.setdefault(kinds[order], {}).setdefault(use, set()).add(i)
                    else:
                        fixed[kinds[order]] = None
        return fixed, free

    def results(self, tensor: Tensor) -> list[Perm]:
        """The orders in which the graph returns a tensor."""
        if not tensor.is_result:
            return []
        results = set(self.graph.results)
        return [frame for value, frame in tensor.members if value in results]

    def written(self, tensor: Tensor, number: int) -> Perm:
        """The order in which a tensor is written by a configuration of its writer."""
        if tensor.writer is None:
            return tuple(range(len(tensor.root.type.shape)))
        return tensor.writer.writes(tensor, number)

    def copies(self, chosen: Chosen) -> list[Copy]:
        """What is stored in one order and read in another, that of axes of size 1 included."""
        found = []
        for tensor in self.tensors:
            if len(tensor.wanted) < 2:
                continue
            written = self.written(tensor, chosen.get(tensor.writer, 0) if tensor.writer else 0)
            orders = self.results(tensor)
            for use in tensor.readers:
                orders += use.reads(tensor, chosen.get(use, 0))
            read = dict.fromkeys(order for order in orders if order != written)
            found += [Copy(tensor, written, order) for order in read]
        return found

    def transposed(self, chosen: Chosen) -> list[Copy]:
        """One of the copies for each order of bytes that differs from the one written."""
        found = {
            (copy.tensor, copy.tensor.bytes_of(copy.read)): copy
            for copy in reversed(self.copies(chosen))
            if copy.tensor.bytes_of(copy.read) != copy.tensor.bytes_of(copy.written)
        }
        return list(found.values())[::-1]

    def cost(self, chosen: Chosen) -> int:
        """Bytes transposed, then the effort of copies and the nodes that run as is disliked."""
        nbytes = sum(copy.nbytes for copy in self.transposed(chosen))
        disliked = sum(self._dislike(use, chosen.get(use, 0)) for use in self.variables)
        effort = sum(tensor.effort(*pair) for tensor, *pair in self.copies(chosen))
        return nbytes * self.scale + effort + disliked


def turned(node: Node) -> Perm | None:
    """The permutation of a TRANSPOSE, or of a RESHAPE that only moves axes of size 1."""
    if isinstance(node.op, Transpose):
        return node.op.perm
    if not isinstance(node.op, Reshape):
        return None
    before, after = node.inputs[0].type.shape, node.outputs[0].type.shape
    rank = len(before)
    if len(after) != rank or [d for d in before if d != 1] != [d for d in after if d != 1]:
        return None
    ones = iter([a for a in range(rank) if before[a] == 1])
    others = iter([a for a in range(rank) if before[a] != 1])
    plain = tuple(next(ones if d == 1 else others) for d in after)
    usual = ((0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)) if rank > 2 else ()
    for perm in usual:
        kept = [a for a in perm if before[a] != 1]
        if kept == sorted(kept) and tuple(before[a] for a in perm) == after:
            return perm
    return plain
