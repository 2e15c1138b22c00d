"""Rounding weights without data, for the inputs that a product is expected to have.

What RELU leaves of normal numbers has a mean whose square is about half its variance; neighbouring
pixels of a channel are alike, and channels are not. So errors of a row's weights that have the same
sign add up, most of all those of a channel's taps: they are kept from it, as in Guo et al. 2022,
"SQuant: On-the-fly Data-free Quantization via Diagonal Hessian Approximation".
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..errors import GraphError
from ..graph import Node
from ..ops import DepthwiseConv2D, TransposeConv
from .columns import Floats
from .layerwise import Product, has_integers
from .rounding import MOST_TERMS, carried_by, factor_of
from .state import Progress, Scope, State, layer_name
from .weights import weights_of

Pair: TypeAlias = tuple[int, int]

ALIKE = 0.8
"""The correlation of a channel's pixels under one window."""

SQUARED_MEAN = 0.5
"""Of a channel, over its variance."""


def round_unseen(state: State, progress: Progress, scope: Scope) -> State:
    """Choose the integers of weights; sums of more terms than `MOST_TERMS` keep the nearest."""
    wanted = [n for n in state.graph.nodes if scope.includes(n) and has_integers(n, state)]
    weights = dict(state.weights)
    factor = functools.lru_cache(4)(lambda *window: factor_of(expected(*window)[None]))
    for i, node in enumerate(wanted):
        progress("rounding weights", i, len(wanted))
        try:
            product = Product.of(node, state)
        except GraphError:
            continue
        if product.rows.shape[2] <= MOST_TERMS:
            own = factor(*window_of(node))
            own = np.broadcast_to(own, (len(product.rows), *own.shape[1:]))
            weights[layer_name(node)] = product.integers(
                carried_by(product.rows, own, product.grid)
            )
    progress("rounding weights", len(wanted), len(wanted))
    return replace(state, weights=weights)


def window_of(node: Node) -> tuple[Pair, int, Pair]:
    """What a row of a product reads, as `expected` takes it."""
    w = weights_of(node)
    assert w is not None
    shape = w.type.shape
    window = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    depth = 1 if isinstance(node.op, DepthwiseConv2D) else shape[-1]
    stride = node.op.stride if isinstance(node.op, TransposeConv) else (1, 1)
    return window, depth, stride


def expected(window: Pair, depth: int, stride: Pair = (1, 1)) -> Floats:
    """E[x x^T] of the inputs x of a row, which have variance 1: [terms, terms].

    Args:
        window: height and width; the terms are those of one pixel after the other.
        depth: channels that a row reads.
        stride: of a transposed convolution, of whose taps few meet at one pixel.
    """
    phase = np.indices(window).reshape(2, -1) % np.reshape(stride, (2, 1))
    together = (phase[:, :, None] == phase[:, None, :]).all(0)
    alike = np.where(np.eye(len(together), dtype=bool), 1.0, ALIKE) * together
    found: Floats = np.kron(alike, np.eye(depth))
    return found + SQUARED_MEAN * np.kron(together, np.ones((depth, depth)))
