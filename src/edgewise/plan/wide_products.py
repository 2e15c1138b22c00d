"""Products of int16 activations by 8-bit weights: fixed point, int16 results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..graph import Value
from ..kernels.words import GROUP_LIMIT
from ..ops.fused import Stage
from ..ops.requant import FixedPointRequant
from . import select
from .context import Context
from .integer_products import RULES, Integers, fixed_factors
from .model import Params, View
from .rows import Channels, Epilogue, Rows, Shape, Weights, emit_panels


@dataclass(frozen=True)
class WideProduct:
    """The operands of a product-sum operator, ready to pack.

    Attributes:
        weights: int16, less their zero points, in the operator's own shape.
        bias: int64[channels], the operator's own.
        input_zero: the zero point of x.
        wide: sums are int64; else they wrap to int32.
    """

    weights: Weights
    bias: npt.NDArray[np.int64]
    input_zero: int
    requant: FixedPointRequant
    wide: bool

    zero = 0

    @property
    def rounding(self) -> str:
        """The rule as kernels name it."""
        return RULES[self.requant.multiply]

    @property
    def factors(self) -> tuple[Integers, Integers]:
        """What kernels multiply sums by: [channels] each."""
        return fixed_factors(self.requant, len(self.bias))

    def prepared(self, ctx: Context, source: View, leading: int = 1) -> tuple[WideProduct, View]:
        """What ``emit`` is to be called on, and the input that it reads."""
        return self, source

    def epilogue(
        self, ctx: Context, tail: Sequence[Stage], others: Sequence[Value], out: Value
    ) -> Epilogue:
        """Nothing may follow."""
        ctx.require(not tail)
        return Epilogue()

    def folded(self, weights: Weights, channels: Channels = slice(None)) -> npt.NDArray[np.int64]:
        """The bias of ``channels``, with x's zero point in it; weights [channels, ...]."""
        sums = weights.reshape(len(weights), -1).sum(axis=1, dtype=np.int64)
        return np.asarray(self.bias[channels] - self.input_zero * sums)

    @property
    def bounds(self) -> Params:
        rule = self.requant
        return {"zero_point": rule.zero_point, "lo": rule.lo, "hi": rule.hi}

    def emit(
        self,
        ctx: Context,
        weights: Weights,
        channels: Channels,
        source: Rows,
        target: Rows,
        shape: Shape,
        runs: npt.NDArray[np.int64],
        epilogue: Epilogue,
    ) -> None:
        """One matrix product: ``weights`` int16[n, runs, kc] over the pixels of ``shape``.

        ``channels`` are those of the operator that ``weights`` gives.
        """
        bias = self.folded(weights, channels)
        group = weights.shape[1]
        if self.wide:
            weights, runs, group = grouped(weights, runs, source.view.type.dtype.itemsize)
        n, run_count, kc = weights.shape
        pixels = shape[0] * shape[1] * shape[2]
        v, seconds = select.wgemm(ctx.isa, pixels, n, kc, run_count, ctx.choose)
        v = replace(v, rounding=self.rounding, wide=self.wide, groups=group < run_count)
        packed = v.pack(weights, bias, *(f[channels] for f in self.factors))
        params: Params = {
            **self.bounds,
            "run_count": run_count,
            "group_runs": group,
            "steps": v.steps(kc),
            "panel_bytes": v.panel_bytes(kc, run_count),
        }
        operands = {"a": source, "c": target}
        address = ctx.constants.add(packed)
        emit_panels(ctx, v, seconds, address, n, operands, shape, runs, epilogue, params)


def grouped(
    weights: Weights, runs: npt.NDArray[np.int64], itemsize: int
) -> tuple[Weights, npt.NDArray[np.int64], int]:
    """The same product in groups of runs whose sums int32 holds: weights, runs, runs of a group.

    Runs too long for that are cut; the last piece of one ends where the run does, and its weights
    are 0 where it lies over the piece before.
    """
    n, run_count, kc = weights.shape
    heaviest = max(int(np.abs(weights).max(initial=0)), 1)
    if np.abs(weights).sum(axis=2).max(initial=0) > GROUP_LIMIT:
        length = GROUP_LIMIT // heaviest
        starts = [min(at, kc - length) for at in range(0, kc, length)]
        cut = np.zeros((n, run_count, len(starts), length), weights.dtype)
        done = 0
        for i, start in enumerate(starts):
            cut[:, :, i, done - start :] = weights[:, :, done : start + length]
            done = start + length
        weights = cut.reshape(n, -1, length)
        runs = (runs[:, None] + np.array(starts) * itemsize).reshape(-1).astype(np.int64)
    if np.abs(weights).sum(axis=(1, 2)).max(initial=0) <= GROUP_LIMIT:
        return weights, runs, len(runs)
    return weights, runs, max(1, GROUP_LIMIT // int(np.abs(weights).sum(axis=2).max()))
