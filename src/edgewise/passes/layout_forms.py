"""How operators run on operands whose axes are stored in another order.

A node has a *space*: the axes that its operands share. An order of the space gives every operand
an order of its own axes, and the operator new attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from ..graph import Array, Node, TensorType, Value
from ..ops import Op

Perm: TypeAlias = "tuple[int, ...]"
"""Axes in the order in which they are stored."""

Axes: TypeAlias = "tuple[int, ...] | None"
"""For each axis of an operand its axis of the space; None: the operand stays as it is."""


class Config(NamedTuple):
    """One way to run a node: the order of its space, and of the axes of each operand."""

    order: Perm
    inputs: tuple[Perm, ...]
    outputs: tuple[Perm, ...]


@dataclass(frozen=True)
class Form:
    """What orders a node can run in.

    Attributes:
        inputs, outputs: how the axes of operands lie in the space. Several axes of an operand may
            be one of the space: they stay together, in their order.
        sizes: of the axes of the space.
        permuted: the operator for an order.
        admit: an order as the operator takes it, or None where it cannot.
        completes: an operand that lacks axes of the space still says an order of all.
        broadcasts: operands have size 1, or no axis, where they repeat.
        others: orders to consider whether somebody wants them or not.
        constants: constant operands, by position, as an order wants them, where that is more
            than their axes.
    """

    inputs: tuple[Axes, ...]
    outputs: tuple[Axes, ...]
    sizes: tuple[int, ...]
    permuted: Callable[[Perm], Op]
    admit: Callable[[Perm], Perm | None] = lambda order: order
    completes: bool = False
    broadcasts: bool = False
    others: tuple[Perm, ...] = ()
    constants: Callable[[Perm], dict[int, Value]] = lambda order: {}

    def config(self, order: Perm, node: Node) -> Config:
        place = {axis: i for i, axis in enumerate(order)}

        def perm(axes: Axes, value: Value) -> Perm:
            rank = range(len(value.type.shape))
            return (
                tuple(rank) if axes is None else tuple(sorted(rank, key=lambda a: place[axes[a]]))
            )

        return Config(
            order,
            tuple(perm(a, v) for a, v in zip(self.inputs, node.inputs, strict=True)),
            tuple(perm(a, v) for a, v in zip(self.outputs, node.outputs, strict=True)),
        )

    def order(self, axes: Axes, shape: tuple[int, ...], perm: Perm) -> Perm | None:
        """The order of the space in which an operand of ``shape`` and ``axes`` is in ``perm``."""
        if axes is None:
            return None
        found: list[int] = []
        last = -1
        for axis in perm:
            own = axes[axis]
            if shape[axis] == 1 != self.sizes[own]:
                continue
            if own in found:
                if found[-1] != own or axis < last:
                    return None
            else:
                found.append(own)
            last = axis
        for own in reversed(range(len(self.sizes))):
            if own not in found:
                if self.sizes[own] != 1 and not self.completes:
                    return None
                found.insert(found.index(own + 1) if own + 1 in found else len(found), own)
        return self.admit(tuple(found))


def permuted_type(t: TensorType, perm: Perm) -> TensorType:
    """A type with its axes in another order."""
    quant = t.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=perm.index(quant.axis))
    return replace(t, shape=tuple(t.shape[a] for a in perm), quant=quant)


def permuted_constant(value: Value, perm: Perm) -> Value:
    """A constant with its axes in another order."""
    assert value.data is not None
    if perm == tuple(range(len(perm))):
        return value
    return constant(value, permuted_type(value.type, perm), value.data.transpose(perm))


def constant(like: Value, t: TensorType, data: Array) -> Value:
    """A constant of the name of another."""
    packed = np.array(data, order="C").reshape(t.shape)
    packed.setflags(write=False)
    return Value(like.name, t, packed)


def presented(form: Form, axes: Axes, t: TensorType, order: Perm, shortest: bool) -> TensorType:
    """The type in which an operand that is in its order broadcasts in the order of the space.

    Axes of 1 in front are left out where ``shortest``.
    """
    if axes is None or not axes or not form.broadcasts:
        return t
    place = {own: i for i, own in enumerate(sorted(axes, key=order.index))}
    full = [t.shape[place[own]] if own in place else 1 for own in order]
    cut = next((i for i, d in enumerate(full) if d != 1), len(full) - 1)
    rank = len(t.shape)
    if all(d == 1 for d in full[: len(full) - rank]) and tuple(full[-rank:]) == t.shape:
        return t
    cut = cut if shortest else 0
    quant = t.quant
    if quant is not None and quant.axis is not None:
        own = next(own for own, i in place.items() if i == quant.axis)
        if order.index(own) < cut:
            cut = order.index(own)
        quant = replace(quant, axis=order.index(own) - cut)
    return replace(t, shape=tuple(full[cut:]), quant=quant)
