"""Lowering of UNIDIRECTIONAL_SEQUENCE_LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Node, Value
from ..kernels import lstm
from ..ops import Activation, UnidirectionalSequenceLstm
from ..ops.fixed_point import multiplier
from ..ops.lstm import GATES
from ..ops.lstm_integer import GATE_SCALE, INT16
from ..ops.recurrent import Nonlinearity
from .context import Context, constant
from .model import Params, View
from .real_products import RealProduct
from .rows import Rows
from .select import GHZ

PLAIN = frozenset(
    {"input", "output_state", "cell_state"}
    | {f"input_to_{gate}_weights" for gate in GATES}
    | {f"recurrent_to_{gate}_weights" for gate in GATES}
    | {f"{gate}_gate_bias" for gate in GATES}
)
"""The operands that the kernels know: no peepholes, projection or normalization."""

STEP_CYCLES = 60.0
"""What the functions of a block of cells take at each step, measured on AVX2."""


def lower_lstm(ctx: Context, node: Node) -> None:
    """The layer, where it has the operands of ``PLAIN`` and tanh."""
    op = node.op
    assert isinstance(op, UnidirectionalSequenceLstm)
    values = op.by_name(node.inputs)
    ctx.require(set(values) == PLAIN and op.settings.activation is Nonlinearity.TANH)
    x, y = ctx.view(values["input"]), ctx.view(node.outputs[0])
    batch, steps = (1, 0) if op.time_major else (0, 1)
    states = [*(ctx.view(values[n]) for n in ("output_state", "cell_state"))]
    after = [ctx.view(v) for v in node.outputs[1:]]
    ctx.require(all(v.contiguous for v in (*states, *after)))
    ctx.require(x.strides[2] == x.type.dtype.itemsize and y.strides[2] == y.type.dtype.itemsize)
    params: Params = {
        "y": y.address,
        "y_row": y.strides[batch],
        "y_step": y.strides[steps],
        "output": states[0].address,
        "cell": states[1].address,
        "output_out": after[0].address,
        "cell_out": after[1].address,
        "steps": x.shape[steps],
        "n": y.shape[2],
    }
    clip = op.settings.cell_clip
    if x.type.dtype is DType.FLOAT32:
        kernel: lstm.Lstm | lstm.QLstm = lstm.Lstm(ctx.isa)
        given = _stacked(values, "input_to_{}_weights"), _stacked(values, "{}_gate_bias")
        read = gate_sums(ctx, values["input"], x, *given)
        weights = _stacked(values, "recurrent_to_{}_weights")
        ctx.require(weights.dtype == np.float32)
        params |= {
            "w": ctx.constants.add(lstm.Lstm(ctx.isa).pack(weights)),
            "gate": read.type.dtype.itemsize * read.shape[1] // len(GATES),
            "clip": clip if clip > 0 else float(np.finfo(np.float32).max),
        }
        row = read.strides[0]
        params |= {"x_row": row * (1 if op.time_major else x.shape[1])}
        params |= {"x_step": row * (x.shape[1] if op.time_major else 1)}
    else:
        kernel, read = _integer(ctx, op, values, params), x
        params |= {"x_row": x.strides[batch], "x_step": x.strides[steps]}
    params["x"] = read.address
    blocks = -(-y.shape[2] // ctx.isa.lanes)
    depth = y.shape[2] + (x.shape[2] if isinstance(kernel, lstm.QLstm) else 0)
    cycles = x.shape[0] * x.shape[1] * blocks * (STEP_CYCLES + depth * len(GATES))
    ctx.emit(
        kernel,
        params,
        x.shape[batch],
        seconds=cycles / (GHZ * 1e9),
        reads=(read, *states),
        writes=(y, *after),
    )


def _stacked(values: dict[str, Value], pattern: str) -> npt.NDArray[Any]:
    """The weights or biases of all gates, [4, ...]."""
    return np.stack([constant(values[pattern.format(gate)]) for gate in GATES])


def gate_sums(
    ctx: Context, given: Value, x: View, weights: npt.NDArray[Any], bias: npt.NDArray[Any]
) -> View:
    """What the inputs give the gates at every step: float32[rows, gates * padded cells].

    Weights are [gates, cells, K] and biases [gates, cells]; cells are padded to vectors.
    """
    ctx.require(x.contiguous and weights.dtype == np.float32)
    gates, n, depth = weights.shape
    width = -(-n // ctx.isa.lanes) * ctx.isa.lanes
    wide = np.zeros((gates, width, depth + 1), np.float32)
    wide[:, :n, :depth], wide[:, :n, depth] = weights, bias
    wide = wide.reshape(gates * width, depth + 1)
    rows = x.shape[0] * x.shape[1]
    sums = ctx.scratch("gates", (rows, gates * width), DType.FLOAT32)
    p = RealProduct(wide[:, :depth], np.ascontiguousarray(wide[:, depth]), Activation.NONE)
    p.emit(
        ctx,
        np.ascontiguousarray(wide[:, None, :depth]),
        slice(None),
        Rows(x, x.address, depth * 4),
        Rows(sums, sums.address, sums.strides[0]),
        (1, 1, rows),
        np.zeros(1, np.int64),
        p.epilogue(ctx, (), (), given),
    )
    return sums


def _integer(
    ctx: Context, op: UnidirectionalSequenceLstm, values: dict[str, Value], params: Params
) -> lstm.QLstm:
    """The kernel of an integer layer; its own fields go into ``params``."""

    def quant(name: str) -> tuple[float, int]:
        q = values[name].type.quant
        assert q is not None
        return q.scale[0], q.zero_point[0]

    def rescale(prefix: str, real: float) -> None:
        scaled, exponent = multiplier(real)
        params.update(
            {
                f"{prefix}_multiplier": scaled,
                f"{prefix}_left": max(exponent, 0),
                f"{prefix}_right": max(-exponent, 0),
            }
        )

    cell_bits = round(np.log2(quant("cell_state")[0]))
    kernel = lstm.QLstm(ctx.isa, cell_bits)
    hidden = op.intermediates[4]
    assert hidden is not None
    biases = _stacked(values, "{}_gate_bias")
    for letter, source, given in (("x", "input", "input"), ("h", "recurrent", "output_state")):
        weights = _stacked(values, source + "_to_{}_weights")
        scale, zero = quant(given)
        sums = weights.astype(np.int64).sum(2) * -zero
        bias = (sums + biases if letter == "x" else sums).astype(np.int32)
        params[f"w{letter}"] = ctx.constants.add(kernel.pack(weights))
        params[f"{letter}_bias"] = ctx.constants.add(kernel.pack_bias(bias))
        for g, gate in enumerate(GATES):
            real = quant(f"{source}_to_{gate}_weights")[0] * scale / GATE_SCALE
            rescale(f"{letter}{g}", real)
    rescale("hidden", 2.0**-30 / hidden.scale[0])
    clip = op.settings.cell_clip
    limit = int(np.clip(clip / 2.0**cell_bits, *INT16)) if clip > 0 else 0
    params.update(
        {
            "depth": values["input"].type.shape[2],
            "clip": limit or -INT16[0],
            "zero_point": hidden.zero_point[0],
        }
    )
    return kernel


__all__ = ["STEP_CYCLES", "gate_sums", "lower_lstm"]
