"""Post-training quantization: smaller, faster networks from trained ones, and why they differ."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data import Samples
from ..errors import InputError
from ..graph import Graph
from .convert import Converted, convert
from .measure import Score, within
from .precision import Precision, Range
from .recipe import Recipe
from .resized import resizable
from .search import Budget, Found, is_number
from .state import Progress, Scope, State, float_network, silent


@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantized network, and how it came about.

    Attributes:
        graph: it; `edgewise.save` writes it, `edgewise.compile` runs it.
        recipe: what made it; it has the precisions that a search chose.
        state: the float network and the choices made for it.
        left: the layers that stayed in float against the recipe, by name, and why.
        search: which precision each layer got within a budget, and why; None where there was none.
    """

    graph: Graph
    recipe: Recipe
    state: State
    left: Mapping[str, str]
    search: Found | None = None


def quantize(
    graph: Graph,
    calibration: Samples | str | os.PathLike[str] | Iterable[Any] | None = None,
    *,
    recipe: Recipe | Precision | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    samples: int | None = None,
    budget: Budget | None = None,
    score: Score | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a float network after training; see `edgewise.quantize`."""
    if not isinstance(graph, Graph):
        raise InputError(f"graph: {type(graph).__name__}; it is a Graph, as edgewise.load gives it")
    for name, function in (("score", score), ("progress", progress)):
        if function is not None and not callable(function):
            raise InputError(f"{name}: {function!r}; it is a function")
    wanted = Recipe.of(recipe)
    data: Samples | None = None
    if isinstance(calibration, Samples):
        data = calibration
    elif calibration is not None:
        data = Samples.of(calibration, graph, limit=samples)
    elif wanted.needs_data or budget is not None:
        raise InputError(
            f"{wanted.precision.value}: calibration data is needed: some dozens of inputs like "
            "those that the network will see"
        )
    plain = float_network(graph)
    state = wanted.start(plain)
    for spec in wanted.steps:
        state = spec.function(state, data, progress or silent, scope=spec.scope, **spec.options)
    search = None
    if budget is not None:
        assert data is not None
        points = None if score is None else _checked(score)
        search = within(state, data, budget, points, threads, progress or silent)
        changed = {k: p for k, p in search.choice.items() if p is not state.precisions[k]}
        state, wanted = state.with_precisions(changed), wanted.with_layers(changed)
    found = convert(state)
    result = resizable(found.graph, graph, plain, state)
    return Quantized(result, wanted, state, found.left, search)


def _checked(score: Score) -> Score:
    """A caller's function, whose points are numbers."""

    def points(graph: Graph) -> float:
        found = score(graph)
        if not is_number(found):
            raise InputError(f"score: it gave {found!r} for a network; points are a finite number")
        return float(found)

    return points


__all__ = [
    "Budget",
    "Converted",
    "Found",
    "Precision",
    "Progress",
    "Quantized",
    "Range",
    "Recipe",
    "Samples",
    "Scope",
    "State",
    "convert",
    "quantize",
]
