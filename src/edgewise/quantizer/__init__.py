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
from .search import Budget, Found
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
    wanted = Recipe.of(recipe)
    data: Samples | None = None
    if isinstance(calibration, Samples):
        data = calibration
    elif calibration is not None:
        data = Samples.of(calibration, graph, limit=samples)
    elif wanted.steps or budget is not None:
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
        search = within(state, data, budget, score, threads, progress or silent)
        changed = {k: p for k, p in search.choice.items() if p is not state.precisions[k]}
        state, wanted = state.with_precisions(changed), wanted.with_layers(changed)
    found = convert(state)
    result = resizable(found.graph, graph, plain, state)
    return Quantized(result, wanted, state, found.left, search)


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
