"""Merging the dimensions of tensors that are walked together."""

from __future__ import annotations

from collections.abc import Sequence

Strides = tuple[int, ...]


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
