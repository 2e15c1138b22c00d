"""Why a TRANSPOSE remains: the nearest node or end of the graph that wants one order only."""

from __future__ import annotations

from collections import deque

from .layout_forms import Perm
from .layout_orders import Chosen, Orders, Tensor, Use


def reason(orders: Orders, chosen: Chosen, tensor: Tensor, order: Perm, instead: Perm) -> str:
    """Who is the nearest that has a tensor in an order, and cannot have it ``instead``."""
    queue = deque([(tensor, order, instead)])
    seen = {tensor}
    first = ""
    while queue:
        tensor, order, instead = queue.popleft()
        own, other = tensor.bytes_of(order), tensor.bytes_of(instead)
        if end := _end(orders, tensor, own):
            return end
        uses = (*([tensor.writer] if tensor.writer else []), *tensor.readers)
        for use in uses:
            number = chosen.get(use, 0)
            if own not in _bytes(use, tensor, number):
                continue
            first = first or _name(use)
            ways = range(len(use.configs))
            another = next((i for i in ways if other in _bytes(use, tensor, i)), None)
            if another is None:
                return _name(use)
            pairs = zip(use.slots, use.wants[number], use.wants[another], strict=True)
            for slot, here, there in pairs:
                same = slot.tensor.bytes_of(here) == slot.tensor.bytes_of(there)
                if slot.tensor not in seen and not same:
                    seen.add(slot.tensor)
                    queue.append((slot.tensor, here, there))
    return first


def _bytes(use: Use, tensor: Tensor, number: int) -> set[Perm]:
    """The orders that a configuration wants of a tensor."""
    wants = zip(use.slots, use.wants[number], strict=True)
    return {tensor.bytes_of(order) for slot, order in wants if slot.tensor is tensor}


def _end(orders: Orders, tensor: Tensor, own: Perm) -> str:
    """The input or output of the graph that a tensor is, in this order."""
    graph = orders.graph
    for kind, values in (
        ("input", graph.inputs),
        ("output", graph.outputs),
        ("state", graph.sources),
        ("state", graph.results),
    ):
        for value, frame in tensor.members:
            if value in values and tensor.bytes_of(frame) == own:
                return f"{kind} {value.name!r}"
    return ""


def _name(use: Use) -> str:
    return f"{use.node.op.name} {use.node.origin!r}"
