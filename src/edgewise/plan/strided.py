"""Walks over several views of one shape: merging their dimensions, kernels over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..kernels import lookup, views
from ..kernels.views import OUTER
from .context import Context
from .model import Address, Params, Variant, View

Strides = tuple[int, ...]

BLOCK = 4096
"""Elements of a work unit."""


def merge(
    shape: Sequence[int], operands: Sequence[Strides]
) -> tuple[tuple[int, ...], list[Strides]]:
    """The same walk in as few dimensions as possible: (shape, strides of each operand).

    Dimensions of one element go; neighbours merge where every operand steps through them as if
    they were one.
    """
    extents: list[int] = []
    steps: list[list[int]] = [[] for _ in operands]
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        here = [s[axis] for s in operands]
        joins = bool(extents) and all(
            known[-1] == n * step for known, step in zip(steps, here, strict=True)
        )
        if joins:
            extents[-1] *= n
            for known, step in zip(steps, here, strict=True):
                known[-1] = step
        else:
            extents.append(n)
            for known, step in zip(steps, here, strict=True):
                known.append(step)
    return tuple(extents), [tuple(known) for known in steps]


def broadcast(shape: Sequence[int], strides: Strides, to: Sequence[int]) -> Strides:
    """Strides with which a tensor of ``shape`` is read as one of shape ``to``."""
    extra = len(to) - len(shape)
    own = [0 if n == 1 != m else s for n, s, m in zip(shape, strides, to[extra:], strict=True)]
    return (*([0] * extra), *own)


def outer_fields(
    outer: int, extents: Sequence[int], operands: Mapping[str, tuple[Address, Sequence[int]]]
) -> Params:
    """Addresses, extents and strides of ``outer`` dimensions, as ``kernels.views`` names them.

    Leading dimensions that ``extents`` lacks have one element.
    """
    pad = outer - len(extents)
    sizes = [1] * pad + [*extents]
    params: Params = {f"d{i}": sizes[i] for i in range(1, outer)}
    for name, (address, strides) in operands.items():
        params[name] = address
        params |= {f"{name}_{i}": s for i, s in enumerate([0] * pad + [*strides])}
    return params


def runs(
    shape: Sequence[int], operands: Iterable[tuple[View, Strides]]
) -> tuple[tuple[int, ...], int, list[Strides]]:
    """The same walk as runs of elements side by side: outer extents, elements a run, strides.

    Where the elements of the last dimension lie apart, each is a run.
    """
    pairs = list(operands)
    extents, strides = merge(shape, [s for _, s in pairs])
    sizes = [view.type.dtype.itemsize for view, _ in pairs]
    if not all(s and s[-1] in (0, size) for s, size in zip(strides, sizes, strict=True)):
        extents, strides = (*extents, 1), [(*s, 0) for s in strides]
    return extents[:-1], extents[-1], strides


def walk(
    ctx: Context,
    kernel: Variant,
    operands: Mapping[str, tuple[View, Strides]],
    shape: Sequence[int],
    constants: Params,
    seconds: float,
    outer_dimensions: int = OUTER,
) -> None:
    """Emit a kernel over views that share ``shape``; the result is the last operand.

    Raises NoKernelError where the walk needs more outer dimensions than the kernel has.
    """
    outer, n, strides = runs(shape, operands.values())
    ctx.require(len(outer) <= outer_dimensions)
    block = min(n, BLOCK)
    places = zip(operands.items(), strides, strict=True)
    fields = {name: (view.address, steps[:-1]) for (name, (view, _)), steps in places}
    sizes = outer_fields(outer_dimensions, outer, fields)
    used = [view for view, _ in operands.values()]
    ctx.emit(
        kernel,
        {**sizes, "n": n, "block": block, **constants},
        views.units(outer, n, block),
        seconds=seconds,
        reads=tuple(used[:-1]),
        writes=(used[-1],),
    )


def emit_table(ctx: Context, x: View, y: View, table: npt.NDArray[np.uint8]) -> None:
    """y = table[x], for 8-bit views of one shape."""
    walk(
        ctx,
        lookup.Lookup(ctx.isa),
        {"x": (x, x.strides), "y": (y, y.strides)},
        x.shape,
        {"table": ctx.constants.add(table)},
        x.type.size * 1e-9,
    )
