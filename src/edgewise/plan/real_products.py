"""Float32 products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Value
from ..kernels.dots import Dots
from ..kernels.gemm import Gemm
from ..kernels.storage import BFLOAT16, FLOAT16, FLOAT32, Storage, fits_half
from ..ops import Activation, Add, HardSwish, LeakyRelu, PRelu
from ..ops.fused import Stage
from . import select
from .context import Context, constant, real_bounds
from .model import Address, Params, View
from .program import Program
from .rows import Channels, Epilogue, Rows, Shape, Weights, emit_panels, rows

BLOCK_BYTES = 1 << 17
"""Panels that a unit takes: they stay in the second-level cache while the pixels pass by."""


FEW_ROWS = 64
"""Rows up to which a product gains by smaller weights (docs/float.md)."""


@dataclass(frozen=True)
class RealProduct:
    """The operands of a product-sum operator: float32 weights in its own shape, and biases.

    Attributes:
        pairs: the input is bfloat16, and multiplied by dot products of it.
        variant: the kernel to use, and its seconds, where that is settled.
    """

    weights: Weights
    bias: npt.NDArray[np.float32]
    activation: Activation
    pairs: bool = False
    variant: tuple[Gemm | Dots, float] | None = None

    zero = 0.0

    def rounds(self, ctx: Context, source: View) -> bool:
        """Whether dot products of bfloat16 are asked for, there, and worth rounding the input."""
        return (
            ctx.precision == "bf16"
            and ctx.isa.bf16_dot is not None
            and len(self.weights) >= ctx.isa.lanes
            and source.type.size > source.shape[-1]
        )

    def prepared(self, ctx: Context, source: View, leading: int = 1) -> tuple[RealProduct, View]:
        """What ``emit`` is to be called on, and the input that it reads: perhaps bfloat16."""
        if not self.rounds(ctx, source):
            return self, source
        result = ctx.scratch(f"bfloat16.{ctx.index}", source.shape, DType.UINT16)
        program = Program(ctx, source.shape)
        program.stage("bfloat16", (program.input(source),), DType.UINT16)
        program.emit(result)
        return replace(self, pairs=True), result

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
        """One matrix product: ``weights`` float32[n, runs, kc] over the pixels of ``shape``.

        ``channels`` are those of the operator that ``weights`` gives. Products of one row wait for
        their weights: with ``precision`` "bf16" those are rounded to bfloat16.
        """
        n, run_count, kc = weights.shape
        pixels = math.prod(shape)
        v, seconds = self.variant or self.chosen(ctx, pixels, n, kc, run_count, epilogue.stages)
        if not self.pairs:
            kept = storage(ctx, weights, pixels)
            one_row = isinstance(v, Gemm) and v.mr == 1
            rounded = kept is FLOAT32 and one_row and ctx.precision == "bf16"
            v = replace(v, storage=BFLOAT16 if rounded else kept)
        packed = ctx.constants.add(v.pack(weights, self.bias[channels]))
        emit_gemm(ctx, v, seconds, packed, weights.shape, source, target, shape, runs, epilogue)

    def chosen(
        self, ctx: Context, pixels: int, n: int, kc: int, runs: int, stages: tuple[str, ...]
    ) -> tuple[Gemm | Dots, float]:
        """The variant for a product, and its estimated seconds."""
        select_by = select.pair_gemm if self.pairs else select.product
        return select_by(ctx.isa, pixels, n, kc, runs, stages, ctx.choose)


def storage(ctx: Context, weights: npt.NDArray[np.float32], pixels: int) -> Storage:
    """How weights are kept that ``pixels`` rows share: as float16 where that loses nothing.

    Elsewhere than on ARM, only where the rows are so few that they wait for the weights.
    """
    wanted = ctx.isa.arch == "aarch64" or pixels <= FEW_ROWS
    return FLOAT16 if wanted and fits_half(ctx.isa, weights) else FLOAT32


def real_epilogue(
    ctx: Context,
    activation: Activation,
    tail: Sequence[Stage],
    others: Sequence[Value],
    out: Value,
) -> Epilogue:
    """An activation, then each stage of ``tail``; ``others`` are their other operands."""
    names: list[str] = []
    params: Params = {}
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    operands: dict[str, Rows] = {}
    left = list(others)

    def clamp(wanted: Activation) -> None:
        if wanted is Activation.RELU:
            names.append("relu")
        elif wanted is not Activation.NONE:
            bounds = real_bounds(wanted)
            params.update({f"s{len(names)}_{name}": x for name, x in bounds.items()})
            names.append("clamp")

    clamp(activation)
    for stage in tail:
        prefix, op = f"s{len(names)}_", stage.op
        if isinstance(op, Add):
            other = left.pop(0)
            ctx.require(other.type.shape == out.type.shape)
            view = ctx.view(other)
            operands[f"{prefix}r"] = rows(view, (view.shape[1], view.shape[2]))
            names.append("add")
            clamp(op.activation)
        elif isinstance(op, PRelu):
            slope = constant(left.pop(0)).astype(np.float32)
            vectors[f"{prefix}slope"] = np.resize(slope, out.type.shape[-1])
            names.append("prelu")
        elif isinstance(op, LeakyRelu):
            params[f"{prefix}alpha"] = op.alpha
            names.append("leaky")
        else:
            assert isinstance(op, HardSwish)
            names.append("hard_swish")
    return Epilogue(tuple(names), params, vectors, operands)


def emit_gemm(
    ctx: Context,
    v: Gemm | Dots,
    seconds: float,
    packed: Address,
    size: tuple[int, int, int],
    source: Rows,
    target: Rows,
    shape: Shape,
    runs: npt.NDArray[np.int64],
    epilogue: Epilogue,
    panels_view: View | None = None,
) -> None:
    """The product over the pixels of ``shape`` by weights of ``size`` (n, runs, kc), by ``v``.

    ``packed`` is where they lie as ``v.pack`` lays them out, within ``panels_view`` where they are
    computed.
    """
    n, run_count, kc = size
    panel_bytes, panels = v.panel_bytes(kc, run_count), -(-n // v.nr)
    params: Params = {
        "run_count": run_count,
        "kc": kc,
        "panel_bytes": panel_bytes,
        "panels": n // v.nr,
    }
    emit_panels(
        ctx,
        v,
        seconds,
        packed,
        n,
        {"a": source, "c": target},
        shape,
        runs,
        epilogue,
        params,
        computed=() if panels_view is None else (panels_view,),
        parts=-(-panels * panel_bytes // BLOCK_BYTES),
    )
