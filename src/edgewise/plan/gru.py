"""Lowering of GRU."""

from __future__ import annotations

import numpy as np

from ..graph import Node
from ..kernels import gru
from ..ops import Gru
from .context import Context, constant
from .lstm import STEP_CYCLES, gate_sums
from .select import GHZ


def lower_gru(ctx: Context, node: Node) -> None:
    """A layer of constant weights whose reset gate comes after the product."""
    op = node.op
    assert isinstance(op, Gru)
    ctx.require(op.linear_before_reset and node.inputs[0].type.size > 0)
    ctx.require(all(v.is_constant for v in node.inputs[1:5]))
    w, r, wb, rb = (constant(v) for v in node.inputs[1:5])
    x, state = ctx.view(node.inputs[0]), ctx.view(node.inputs[5])
    y, after = (ctx.view(v) for v in node.outputs)
    steps, batch, units = y.shape
    ctx.require(state.contiguous and after.contiguous and y.strides[2] == 4)
    bias = np.stack([wb[0] + rb[0], wb[1] + rb[1], wb[2]])
    sums = gate_sums(ctx, node.inputs[0], x, w, bias)
    width = sums.shape[1] // gru.GATES
    own = np.zeros(width, np.float32)
    own[:units] = rb[2]
    kernel = gru.Gru(ctx.isa)
    row = sums.strides[0]
    cycles = steps * batch * (width // ctx.isa.lanes) * (STEP_CYCLES + units * gru.GATES)
    ctx.emit(
        kernel,
        {
            "x": sums.address,
            "y": y.address,
            "state": state.address,
            "state_out": after.address,
            "w": ctx.constants.add(kernel.pack(r)),
            "bias": ctx.constants.add(own),
            "x_row": row,
            "x_step": row * batch,
            "y_row": y.strides[1],
            "y_step": y.strides[0],
            "steps": steps,
            "n": units,
            "gate": 4 * width,
        },
        batch,
        seconds=cycles / (GHZ * 1e9),
        reads=(sums, state),
        writes=(y, after),
    )


__all__ = ["lower_gru"]
