"""Runs a few typed values of the IR on data, for the tests of the layers below the kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.kernels.ir import Kernel, Type, ptr
from edgewise.kernels.isa import NEON, SSE41, Isa

from .harness import Buffer, run

Array = npt.NDArray[Any]
_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class Probe:
    """A kernel whose body is ``emit(kernel, address of each operand for this unit...)``."""

    isa: Isa
    emit: Callable[..., None]
    steps: Mapping[str, int]
    numbers: Mapping[str, Type]
    symbol: str = field(default_factory=lambda: f"probe{next(_numbers)}")

    @property
    def fields(self) -> dict[str, Type]:
        return {**dict.fromkeys(self.steps, ptr), **self.numbers}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        with k.loop(k.begin, k.end) as unit:
            self.emit(k, *(k[name] + unit * step for name, step in self.steps.items()))
        return k.text()


def evaluate(
    isa: Isa,
    emit: Callable[..., None],
    inputs: Sequence[Array],
    outputs: Sequence[tuple[tuple[int, ...], npt.DTypeLike]],
    numbers: Mapping[str, tuple[Type, int | float]] | None = None,
) -> list[Array]:
    """What ``emit`` stores, called once for each entry of the inputs' first axis.

    ``emit(k, input addresses..., output addresses...)``. An output is given as (shape, dtype) of
    one call's part, and holds 0xA5 bytes before. ``numbers`` are fields of the kernel.
    """
    numbers = numbers or {}
    units = len(inputs[0])
    buffers = [Buffer(a) for a in inputs]
    results = []
    for shape, dtype in outputs:
        array = np.empty((units, *shape), dtype)
        array.view(np.uint8)[...] = 0xA5
        results.append(Buffer(array))
    operands = {f"p{i}": b for i, b in enumerate([*buffers, *results])}
    steps = {name: b.array.nbytes // units for name, b in operands.items()}
    probe = Probe(isa, emit, steps, {name: ty for name, (ty, _) in numbers.items()})
    run(probe, units, {**operands, **{n: x for n, (_, x) in numbers.items()}}, results)
    return [b.array for b in results]


portable = pytest.mark.parametrize(
    "isa", [pytest.param(isa, id=isa.name, marks=pytest.mark.isa) for isa in (SSE41, NEON)]
)
"""One instruction set of each architecture: one of them runs on this processor."""


def dtype(ty: Type) -> np.dtype[Any]:
    return np.dtype(f"{ty.kind}{ty.bits // 8}")


def samples(ty: Type, count: int, seed: int = 0) -> Array:
    """Random numbers and the edges of the type's range."""
    rng = np.random.default_rng(seed)
    if ty.kind == "f":
        edges = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-40, -3e38, 3e38, np.inf, -np.inf, np.nan]
        x = rng.standard_normal(count) * 10.0 ** rng.integers(-6, 6, count)
        chosen = rng.random(count) < 0.3
        x[chosen] = rng.choice(edges, chosen.sum())
        return x.astype(dtype(ty))
    info = np.iinfo(dtype(ty))
    x = rng.integers(info.min, info.max, count, dtype=dtype(ty), endpoint=True)
    edges = np.array([info.min, info.min + 1, 0, 1, info.max, info.max - 1], dtype(ty))
    return np.where(rng.random(count) < 0.4, rng.choice(edges, count), x)
