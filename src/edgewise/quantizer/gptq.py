"""Weights rounded for the data: closed forms that make up for what quantization changed before.

A layer's weights are first moved, by least squares, towards those that give the float network's
outputs from the quantized network's inputs. They are then rounded so that the error of the outputs
is least, not that of the weights (`rounding`), and the bias takes up what is left of the mean.
"""

from __future__ import annotations

import numpy as np

from ..data import Samples
from .bias_correction import corrected
from .layerwise import POSITIONS, SAMPLES, Fitted, Layer, fit_layers, require
from .prior import round_unseen
from .rounding import MOST_TERMS, Moments, carried, compensated, damped, descended
from .state import EVERYTHING, Progress, Scope, State


def gptq(
    state: State,
    samples: Samples | None,
    progress: Progress,
    *,
    scope: Scope = EVERYTHING,
    limit: int = SAMPLES,
    positions: int = POSITIONS,
    damping: float = 0.01,
    restraint: float = 10.0,
) -> State:
    """Choose the integers of weights, and the biases, layer after layer.

    Without samples, the integers of weights beside activations of floats (`prior`).

    Args:
        limit: at most so many samples are used.
        positions: of a layer's output over all samples, at which errors are measured.
        damping: of second moments, as a share of their mean diagonal, while weights are rounded.
        restraint: likewise, while they are moved: the greater, the nearer they stay. Both grow with
            the terms of a sum over the positions, so that few data do not decide much.

    Raises:
        InputError: an option is out of range.
    """
    require(
        "gptq",
        limit=(limit, 1),
        positions=(positions, 1),
        damping=(damping, 0.0),
        restraint=(restraint, 0.0),
    )
    if samples is None:
        return round_unseen(state, progress, scope)

    def fit(layer: Layer) -> Fitted:
        columns = layer.columns(positions)
        _, count, terms = columns.given.shape
        moments = Moments.of(columns) if terms <= MOST_TERMS else None
        if moments is None or not all(np.isfinite(m).all() for m in moments):
            return Fitted(bias=corrected(layer, layer.rounded, columns))
        few = terms / count
        goal = compensated(layer.rows, moments, restraint * (1 + few))
        metric = damped(moments.given, damping + few)
        found = descended(carried(goal, metric, layer.grid), goal, metric, layer.grid)
        return Fitted(layer.integers(found), corrected(layer, found, columns))

    return fit_layers(state, samples, progress, "rounding weights", fit, scope, limit)
