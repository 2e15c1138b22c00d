"""Rounding weights so that a product's error is least: closed forms on second moments.

The error of a product whose weights W become Q is, over its inputs x, E|(Q - W) x|^2: a quadratic
form of the second moments H = E[x x^T], the same for each row. All arrays are float64 and have a
first dimension of groups: weights [groups, rows, terms], moments [groups, terms, terms].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .columns import Columns, Floats

MOST_TERMS = 4096
"""Of a product, whose second moments take the square of that. Longer ones keep their rounding."""

BLOCK = 64
"""Terms that are rounded before the error is carried to all that follow."""


class Grid(NamedTuple):
    """What the weights of each row may become: ``scale * q``, q whole and within [low, high].

    All are [groups, rows, 1].
    """

    scale: Floats
    low: Floats
    high: Floats

    def nearest(self, weights: Floats) -> Floats:
        steps = np.clip(np.rint(weights / self.scale), self.low, self.high)
        return np.asarray(self.scale * steps)


class Moments(NamedTuple):
    """Second moments, about the means, of what enters a layer in both networks.

    Attributes:
        given: of the quantized network's inputs, [groups, terms, terms].
        cross: of the float network's with the quantized one's, likewise: E[x y^T].
    """

    given: Floats
    cross: Floats

    @classmethod
    def of(cls, columns: Columns) -> Moments:
        """Moments of columns; those that leave float32 are not finite."""
        centred = zip(columns, columns.means, strict=True)
        x, y = (found - mean[:, None].astype(np.float32) for found, mean in centred)
        count = y.shape[1]
        with np.errstate(all="ignore"):
            return cls(*((z.swapaxes(1, 2) @ y).astype(np.float64) / count for z in (y, x)))


def damped(moments: Floats, damping: float) -> Floats:
    """Moments with a share of their mean diagonal added to it, so that they have an inverse."""
    terms = moments.shape[-1]
    mean = np.trace(moments, axis1=1, axis2=2)[:, None, None] / terms
    share = np.where(mean > 0, damping * mean, 1.0)
    return moments + share * np.eye(terms)


def compensated(weights: Floats, moments: Moments, damping: float) -> Floats:
    """Real weights for the quantized network's inputs that give the float network's outputs.

    The least squares solution, drawn towards ``weights`` by the damping.
    """
    target = weights @ (moments.cross - moments.given)
    change = np.linalg.solve(damped(moments.given, damping), target.swapaxes(1, 2))
    return np.asarray(weights + change.swapaxes(1, 2))


def carried(weights: Floats, moments: Floats, grid: Grid) -> Floats:
    """Weights rounded one term after another, each error made good by the terms that follow.

    Follows Frantar et al. 2022, "GPTQ", algorithm 1. ``moments`` must have an inverse.
    """
    return carried_by(weights, factor_of(moments), grid)


def factor_of(moments: Floats) -> Floats:
    """What of an error each term that follows takes, for `carried_by`: upper triangles U with
    U^T U the inverse of the moments.
    """
    return np.asarray(np.linalg.cholesky(np.linalg.inv(moments)).swapaxes(1, 2))


def carried_by(weights: Floats, factor: Floats, grid: Grid) -> Floats:
    """`carried`, of moments with the `factor_of`."""
    left: Floats = weights.copy()
    terms = weights.shape[2]
    for start in range(0, terms, BLOCK):
        block = slice(start, min(start + BLOCK, terms))
        errors = np.zeros_like(left[:, :, block])
        for j in range(block.start, block.stop):
            found = grid.nearest(left[:, :, j : j + 1])
            error = (left[:, :, j : j + 1] - found) / factor[:, j, j][:, None, None]
            left[:, :, j : j + 1] = found
            left[:, :, j + 1 : block.stop] -= error * factor[:, j : j + 1, j + 1 : block.stop]
            errors[:, :, j - start] = error[:, :, 0]
        left[:, :, block.stop :] -= errors @ factor[:, block, block.stop :]
    return left


def descended(
    rounded: Floats, weights: Floats, moments: Floats, grid: Grid, sweeps: int = 8
) -> Floats:
    """Rounded weights improved one term at a time, until none improves or ``sweeps`` are done.

    Each step puts a term of all rows to where the error, given the others, is least: cyclic
    coordinate descent as in Behdin et al. 2023, "QuantEase".
    """
    found: Floats = rounded.copy()
    terms = weights.shape[2]
    diagonal = np.einsum("gkk->gk", moments)
    for _ in range(sweeps):
        changed = False
        for start in range(0, terms, BLOCK):
            block = slice(start, min(start + BLOCK, terms))
            slope = (found - weights) @ moments[:, :, block]
            for j in range(block.start, block.stop):
                step = slope[:, :, j - start] / diagonal[:, j, None]
                term = slice(j, j + 1)
                best = grid.nearest(found[:, :, term] - step[:, :, None])
                change = best - found[:, :, term]
                if change.any():
                    changed = True
                    found[:, :, term] = best
                    slope += change * moments[:, term, block]
        if not changed:
            break
    return found
