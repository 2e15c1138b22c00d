"""Products of float32 activations, quantized as they run, with int8 weights ("hybrid")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Value
from ..kernels.dynamic import GROUP_BYTES, QuantizeGroups
from ..ops import Activation
from ..ops.fused import Stage
from ..ops.hybrid import RowQuantization
from . import select
from .context import Context
from .model import Params, View
from .movement import packed
from .real_products import real_epilogue
from .rows import Channels, Epilogue, Rows, Shape, Weights, emit_panels
from .strided import merge


@dataclass(frozen=True)
class DynamicProduct:
    """The operands of a product-sum operator.

    Attributes:
        weights: int8, in the operator's own shape, with zero point 0.
        scale: float32[channels] of the weights.
        bias: float32[channels].
        rows: how the input is quantized.
        groups: zero points and scales of the quantized input, once it is prepared.
    """

    weights: Weights
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    activation: Activation
    rows: RowQuantization
    groups: View | None = None

    zero = 0

    def prepared(self, ctx: Context, source: View, leading: int = 1) -> tuple[DynamicProduct, View]:
        """Quantize ``source``, whose ``leading`` dimensions tell its groups, to 8 bits."""
        found = _groups(source, leading)
        if found is None:
            source = packed(ctx, source)
            found = _groups(source, leading)
        assert found is not None
        count, stride, rows, row_stride, n = found
        name = f"quantized.{ctx.index}"
        groups = ctx.scratch(f"{name}.groups", (count, 2), DType.FLOAT32)
        result = ctx.scratch(name, source.shape, ctx.activation)
        params: Params = {
            "a": source.address,
            "c": result.address,
            "d": groups.address,
            "rows": rows,
            "n": n,
            "a_row": row_stride,
            "a_group": stride,
        }
        ctx.emit(
            QuantizeGroups(ctx.isa, self.rows.value),
            params,
            count,
            seconds=source.type.size * 0.3e-9,
            reads=(source,),
            writes=(result, groups),
        )
        return replace(self, groups=groups), result

    def epilogue(
        self, ctx: Context, tail: Sequence[Stage], others: Sequence[Value], out: Value
    ) -> Epilogue:
        """The activation, then each stage of ``tail``; ``others`` are their other operands."""
        return real_epilogue(ctx, self.activation, tail, others, out)

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
        """One matrix product: ``weights`` int8[n, runs, kc] over the pixels of ``shape``.

        ``channels`` are those of the operator that ``weights`` gives. A group is an image of
        ``shape``, or a pixel.
        """
        assert self.groups is not None
        n, run_count, kc = weights.shape
        pixels = shape[0] * shape[1] * shape[2]
        chosen = select.qgemm(
            ctx.isa,
            pixels,
            n,
            kc,
            run_count,
            weight_zero_point=False,
            add=False,
            rounding=" ".join(("real", *epilogue.stages)),
            choose=ctx.choose,
        )
        ctx.require(chosen is not None)
        assert chosen is not None
        v, seconds = chosen
        v = replace(v, real=True, stages=epilogue.stages).suited(weights)
        sums = weights.sum(axis=(1, 2), dtype=np.int32)
        data = v.pack(weights, sums, self.scale[channels], self.bias[channels])
        kstep, steps = v.layout(kc, run_count)
        by_pixel = self.groups.shape[0] == pixels
        steps_of_groups = (GROUP_BYTES, 0, 0) if by_pixel else (0, 0, GROUP_BYTES)
        groups = Rows(self.groups, self.groups.address, *steps_of_groups)
        params: Params = {
            "run_count": run_count,
            "kc": kc,
            "kstep": kstep,
            "steps": steps,
            "panel_bytes": v.panel_bytes(kc, run_count),
        }
        operands = {"a": source, "c": target, "d": groups}
        address = ctx.constants.add(data)
        emit_panels(ctx, v, seconds, address, n, operands, shape, runs, epilogue, params)


def _groups(x: View, leading: int) -> tuple[int, int, int, int, int] | None:
    """Groups, the bytes between them, rows of each, the bytes between those, and their elements.

    None where steps between groups or rows are not all alike.
    """
    outer, (apart,) = merge(x.shape[:leading], [x.strides[:leading]])
    inner, (steps,) = merge(x.shape[leading:], [x.strides[leading:]])
    if len(outer) > 1 or len(inner) > 2 or (inner and steps[-1] != x.type.dtype.itemsize):
        return None
    rows, n = ([1, 1, *inner])[-2:]
    row_stride = steps[0] if len(inner) > 1 else 0
    return (*outer, 1)[0], (*apart, 0)[0], rows, row_stride, n
