"""Weights rounded up or down as training by gradients decides: AdaRound.

Follows Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization": the share
h(V) by which a weight is rounded up is a clipped sigmoid; Adam lowers the error of the layer's
output behind its clamp, plus a term that drives every share to 0 or 1. Its inputs are those of the
quantized network, its goals those of the float one (the paper's equation 25).
"""

from __future__ import annotations

import numpy as np

from ..data import Samples
from ..graph import Array
from ..ops import Activation
from .bias_correction import corrected
from .layerwise import POSITIONS, SAMPLES, Fitted, Layer, fit_layers, require
from .state import EVERYTHING, Progress, Scope, State

BATCH = 256
"""Positions of a step."""

STRETCH = 1.2
"""How far the sigmoid reaches beyond [0, 1], to which it is clipped, on both sides together."""

WARM = 0.2
"""The share of the steps in which nothing drives the shares to 0 or 1."""

STEEPEST, FLATTEST = 20.0, 2.0
"""The exponent of that term, from first to last."""


def adaround(
    state: State,
    samples: Samples,
    progress: Progress,
    *,
    scope: Scope = EVERYTHING,
    limit: int = SAMPLES,
    positions: int = POSITIONS,
    iterations: int = 1000,
    rate: float = 0.01,
    strength: float = 0.01,
) -> State:
    """Choose the integers of weights, and the biases, layer after layer.

    Args:
        limit: at most so many samples are used.
        positions: of a layer's output over all samples, from which the batches are drawn.
        iterations: steps for each layer.
        rate: Adam's.
        strength: of the term that drives the shares to 0 or 1.

    Raises:
        InputError: an option is out of range.
    """
    require(
        "adaround",
        limit=(limit, 1),
        positions=(positions, 1),
        iterations=(iterations, 1),
        rate=(rate, 0.0),
        strength=(strength, 0.0),
    )

    def fit(layer: Layer) -> Fitted:
        columns = layer.columns(positions)
        goal = columns.exact @ layer.rows.swapaxes(1, 2).astype(np.float32)
        offset = layer.bias.reshape(goal.shape[0], 1, goal.shape[2])
        low, high = clamp(layer)
        scale = layer.grid.scale
        below = np.floor(layer.rows / scale)
        share = train(
            (below * scale).astype(np.float32),
            scale.astype(np.float32),
            (layer.rows / scale - below).astype(np.float32),
            columns.given,
            goal,
            (low - offset, high - offset),
            iterations,
            rate,
            strength,
        )
        found = layer.grid.nearest(scale * (below + (share > 0.5)))
        return Fitted(layer.integers(found), corrected(layer, found, columns))

    return fit_layers(state, samples, progress, "adaround", fit, scope, limit)


def clamp(layer: Layer) -> tuple[float, float]:
    """The ends of a layer's fused activation."""
    fused: Activation = getattr(layer.node.op, "activation", Activation.NONE)
    low, high = fused.value
    return -np.inf if low is None else low, np.inf if high is None else high


def train(
    below: Array,
    scale: Array,
    start: Array,
    given: Array,
    goal: Array,
    clamp: tuple[Array, Array],
    iterations: int,
    rate: float,
    strength: float,
) -> Array:
    """The share by which each weight is rounded up.

    Args:
        below: weights rounded down, [groups, rows, terms].
        scale: of a step, [groups, rows, 1].
        start: the shares with which weights are as in the float network.
        given: columns of the quantized network, [groups, positions, terms].
        goal: the products' results in the float network without bias, [groups, positions, rows].
        clamp: least and greatest result that counts, less the bias, [groups, 1, rows].
    """
    rng = np.random.default_rng(0)
    low, high = (end.astype(np.float32) for end in clamp)
    inside = (start + (STRETCH - 1) / 2) / STRETCH
    v = np.log(inside / (1 - inside))
    first, second = np.zeros_like(v), np.zeros_like(v)
    unit = np.maximum(np.mean(np.square(goal - goal.mean(1, keepdims=True))), 1e-30)
    share = start
    for i in range(iterations):
        sigmoid = 0.5 + 0.5 * np.tanh(0.5 * v)
        share = np.clip(sigmoid * STRETCH - (STRETCH - 1) / 2, 0, 1)
        at = rng.integers(given.shape[1], size=min(BATCH, given.shape[1]))
        x = given[:, at]
        y = x @ (below + scale * share).swapaxes(1, 2)
        apart = np.clip(y, low, high) - np.clip(goal[:, at], low, high)
        apart *= (y > low) & (y < high)
        slope = (apart.swapaxes(1, 2) @ x) * scale * (2 / (len(at) * unit))
        if i >= WARM * iterations:
            left = 1 - (i / iterations - WARM) / (1 - WARM)
            power = FLATTEST + (STEEPEST - FLATTEST) * left
            middle = 2 * share - 1
            slope -= strength * 2 * power * np.sign(middle) * np.abs(middle) ** (power - 1)
        slope *= sigmoid * (1 - sigmoid) * STRETCH * ((share > 0) & (share < 1))
        first += 0.1 * (slope - first)
        second += 0.001 * (slope * slope - second)
        step = first / (1 - 0.9 ** (i + 1))
        v -= rate * step / (np.sqrt(second / (1 - 0.999 ** (i + 1))) + 1e-8)
    return np.asarray(share)
