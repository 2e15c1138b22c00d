"""What may follow a product before it is stored as float32, and storing the last columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .ir import Kernel, Type, Value, f32, ptr
from .isa import Isa
from .math import at_least, at_most

FLOAT = 4
"""Bytes of an element."""


@dataclass(frozen=True)
class Place:
    """Where a stage works: a row of the tile, a vector of it, and the kernel's column there."""

    k: Kernel
    rows: Mapping[str, Value]
    column: Value
    isa: Isa

    @property
    def lanes(self) -> int:
        return self.isa.lanes


@dataclass(frozen=True)
class Stage:
    """What may follow the product.

    Attributes:
        fields: its fields, whose names get the stage's prefix.
        pixels: whether it reads an operand ``r`` that has a pixel for each output pixel.
        apply: the new vector of results: (old one, its place, prefix of its fields).
    """

    apply: Callable[[Value, Place, str], Value]
    fields: Mapping[str, Type] = field(default_factory=dict)
    pixels: bool = False


def _bound(k: Kernel, name: str, lanes: int) -> Value:
    return k.once((name, lanes), lambda: k[name].splat(lanes))


def _relu(x: Value, at: Place, prefix: str) -> Value:
    return at_least(at.isa, x, 0.0)


def _clamp(x: Value, at: Place, prefix: str) -> Value:
    lo, hi = (_bound(at.k, prefix + name, at.lanes) for name in ("lo", "hi"))
    return at_most(at.isa, at_least(at.isa, x, lo), hi)


def _add(x: Value, at: Place, prefix: str) -> Value:
    return x + (at.rows[prefix + "r"] + at.column).load(f32[at.lanes])


def _prelu(x: Value, at: Place, prefix: str) -> Value:
    slope = (at.k[prefix + "slope"] + at.column).load(f32[at.lanes])
    return (x < 0.0).select(x * slope, x)


def _leaky(x: Value, at: Place, prefix: str) -> Value:
    return (x < 0.0).select(x * _bound(at.k, prefix + "alpha", at.lanes), x)


def _hard_swish(x: Value, at: Place, prefix: str) -> Value:
    return x * (at_most(at.isa, at_least(at.isa, x + 3.0, 0.0), 6.0) * (1 / 6))


STAGES: Mapping[str, Stage] = {
    "relu": Stage(_relu),
    "clamp": Stage(_clamp, {"lo": f32, "hi": f32}),
    "add": Stage(_add, pixels=True),
    "prelu": Stage(_prelu, {"slope": ptr}),
    "leaky": Stage(_leaky, {"alpha": f32}),
    "hard_swish": Stage(_hard_swish),
}


def placed(stages: Sequence[str]) -> list[tuple[str, Stage]]:
    """The stages of these names, with the prefixes of their fields."""
    return [(f"s{i}_", STAGES[name]) for i, name in enumerate(stages)]


def stage_fields(
    stages: Sequence[str], pixels: Callable[[str], Mapping[str, Type]]
) -> dict[str, Type]:
    """The fields of these stages; ``pixels`` gives those of an operand read by pixel."""
    fields: dict[str, Type] = {}
    for prefix, stage in placed(stages):
        fields |= {prefix + name: ty for name, ty in stage.fields.items()}
        if stage.pixels:
            fields |= pixels(f"{prefix}r")
    return fields


def stage_operands(stages: Sequence[str]) -> list[str]:
    """The operands of these stages that are read by pixel."""
    return [f"{prefix}r" for prefix, stage in placed(stages) if stage.pixels]


def store_all(at: Sequence[Sequence[Value]], rows: Sequence[Sequence[Value]]) -> None:
    for addresses, row in zip(at, rows, strict=True):
        for address, x in zip(addresses, row, strict=True):
            address.store(x)


def store_part(at: Sequence[Value], xs: Sequence[Value], count: Value) -> None:
    """The first ``count`` lanes of each vector, at least one."""
    k, lanes = count.k, xs[0].ty.lanes
    with k.when(count.compare("ge", lanes)) as whole:
        store_all([at], [xs])
    with k.when(whole ^ 1):
        where, data = [k.var(a) for a in at], [k.var(x) for x in xs]
        n = lanes // 2
        while n:
            with k.when((count & n).compare("ne", 0)):
                for a, x in zip(where, data, strict=True):
                    a.value.store(x.value.part(0, n) if n > 1 else x.value.lane(0))
                    x.value = x.value.shuffle([min(i + n, lanes - 1) for i in range(lanes)])
                    a.value = a.value + n * FLOAT
            n //= 2
