"""Activation ranges that cost the layers which read them least.

A narrower range has finer steps and cuts off what lies beyond. The range that suits a tensor best
by itself need not suit its readers: where their weights are small, an error hardly counts. Here
each range is chosen by the error that it makes in the results of the products that read it, as
Nahshan et al. 2021, "Loss Aware Post-training Quantization", choose theirs by a network's loss.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..data import Samples
from .layerwise import SAMPLES, Fitted, Layer, Steps, fit_layers, require, simulate
from .precision import Range, activation_parameters
from .state import EVERYTHING, Progress, Scope, State

SHARES = tuple(0.93**i for i in range(16))
"""Of a range's ends, that are tried: down to a third."""

COARSE = SHARES[::3]
"""Those of ranges with two ends, each with each."""


def clipping(
    state: State,
    samples: Samples,
    progress: Progress,
    *,
    scope: Scope = EVERYTHING,
    limit: int = SAMPLES,
    positions: int = 1024,
) -> State:
    """Choose the ranges of 8-bit activations by the errors of the products that read them.

    Those tried are the range that calibration found, its extremes, and shares of them. A tensor
    that no product in ``scope`` reads keeps its own.

    Args:
        limit: at most so many samples are used.
        positions: of a layer's output over all samples, at which errors are measured.

    Raises:
        InputError: an option is out of range.
    """
    require("clipping", limit=(limit, 1), positions=(positions, 1))
    errors: dict[str, npt.NDArray[np.float64]] = {}

    def look(layer: Layer) -> Fitted:
        name, scheme = layer.node.inputs[0].name, layer.scheme
        if scheme.activations is not None and not scheme.centered and name in state.ranges:
            before = errors.get(name, np.zeros(1))
            errors[name] = before + costs(layer, candidates(state, name), positions)
        return Fitted()

    fit_layers(state, samples, progress, "clipping", look, scope, limit)
    found = {name: candidates(state, name)[int(cost.argmin())] for name, cost in errors.items()}
    return replace(state, ranges={**state.ranges, **found})


def candidates(state: State, name: str) -> list[Range]:
    """The ranges to try for an activation: its own first, then the widest, then narrower ones."""
    own = state.ranges[name]
    low, high = state.extremes.get(name, own)
    if low == 0 or high == 0:
        return [own, *(Range(low * share, high * share) for share in SHARES)]
    pairs = itertools.product(COARSE, COARSE)
    return [own, *(Range(low * a, high * b) for a, b in pairs)]


def costs(layer: Layer, ranges: list[Range], positions: int) -> npt.NDArray[np.float64]:
    """The variance of a product's error for each range of its input, over its results' variance.

    A mean error does not count: the bias takes it up (`bias_correction`, `gptq`).
    """
    assert layer.scheme.activations is not None
    least, greatest = layer.scheme.activations.range
    exact = layer.columns(positions).exact
    weights = layer.rows.swapaxes(1, 2).astype(np.float32)
    power = float((exact @ weights).var(1).sum())
    found = []
    for each in ranges:
        quant = activation_parameters(layer.scheme, each)
        zero = quant.zero_point[0]
        rounded = np.array(exact)
        simulate(rounded, Steps(quant.scale[0], least - zero, greatest - zero))
        found.append(float(((rounded - exact) @ weights).var(1).sum()))
    return np.array(found) / power if power > 0 else np.zeros(len(found))
