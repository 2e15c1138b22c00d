"""Bias correction: the mean error of each channel, taken off its bias.

Follows Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.2, with means of calibration data.
"""

from __future__ import annotations

import numpy as np

from ..data import Samples
from .columns import Columns, Floats
from .layerwise import POSITIONS, SAMPLES, Fitted, Layer, fit_layers, require
from .state import EVERYTHING, Progress, Scope, State


def bias_correction(
    state: State,
    samples: Samples,
    progress: Progress,
    *,
    scope: Scope = EVERYTHING,
    limit: int = SAMPLES,
    positions: int = POSITIONS,
) -> State:
    """Let each channel of the quantized products have the float network's mean, before its clamp.

    Layers are corrected in order, each for what the corrected ones before it give.

    Args:
        limit: at most so many samples are used.
        positions: of a layer's output over all samples, of which the means are taken.

    Raises:
        InputError: an option is out of range.
    """
    require("bias_correction", limit=(limit, 1), positions=(positions, 1))

    def fit(layer: Layer) -> Fitted:
        return Fitted(bias=corrected(layer, layer.rounded, layer.columns(positions)))

    return fit_layers(state, samples, progress, "bias correction", fit, scope, limit)


def corrected(layer: Layer, weights: Floats, columns: Columns) -> Floats:
    """The bias with which ``weights`` give the mean that the float layer has over ``columns``.

    Args:
        weights: of the quantized layer, as rows [groups, rows, terms].
    """
    exact, given = columns.means
    before = np.einsum("grk,gk->gr", layer.rows, exact)
    after = np.einsum("grk,gk->gr", weights, given)
    return np.asarray(layer.bias + (before - after).ravel())
