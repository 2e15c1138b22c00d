"""UNIDIRECTIONAL_SEQUENCE_LSTM as kernels, on every instruction set, against its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType, Value
from edgewise.kernels import fixed_point
from edgewise.kernels.ir import Kernel, i32
from edgewise.kernels.ir import Value as Lanes
from edgewise.kernels.isa import AVX2, SSE41, Isa
from edgewise.ops import fixed_functions
from edgewise.ops.fixed_point import multiplier, multiply
from edgewise.ops.lstm import GATES, NAMES, LstmSettings
from edgewise.runtime import plan_for
from kernels.harness import isas
from kernels.probe import evaluate
from networks import Builder
from test_program_emulated import check


@dataclass(frozen=True)
class Layer:
    batch: int
    steps: int
    depth: int
    cells: int
    time_major: bool = False
    cell_clip: float = 0.0
    cell_bits: int = -12


LAYERS = (
    Layer(1, 3, 5, 20),
    Layer(2, 4, 7, 3, time_major=True),
    Layer(2, 2, 16, 16, cell_clip=0.5),
    Layer(1, 1, 1, 1),
)


def layer(s: Layer, dtype: DType, peephole: bool = False) -> Graph:
    """A layer whose states are inputs and outputs of the graph."""
    b, is_real = Builder(3), dtype is DType.FLOAT32
    scale = None if is_real else QParams.per_tensor(1 / 128, 3)
    order = (s.steps, s.batch) if s.time_major else (s.batch, s.steps)
    x = b.input(TensorType((*order, s.depth), dtype, scale))
    state = b.input(TensorType((s.batch, s.cells), dtype, scale))
    cell_type = TensorType((s.batch, s.cells), DType.FLOAT32)
    if not is_real:
        quant = QParams.per_tensor(2.0**s.cell_bits, 0)
        cell_type = TensorType((s.batch, s.cells), DType.INT16, quant)
    cell = b.input(cell_type)

    def weights(*shape: int) -> Value:
        if is_real:
            return b.constant(b.rng.normal(size=shape).astype(np.float32))
        return b.weights(shape, scale=0.02)

    operands = {"input": x, "output_state": state, "cell_state": cell}
    for gate in GATES:
        operands[f"input_to_{gate}_weights"] = weights(s.cells, s.depth)
        operands[f"recurrent_to_{gate}_weights"] = weights(s.cells, s.cells)
        operands[f"{gate}_gate_bias"] = weights(s.cells) if is_real else b.bias(s.cells)
        if peephole and gate != "cell":
            data = b.rng.integers(-300, 300, s.cells).astype(np.int16)
            operands[f"cell_to_{gate}_weights"] = b.constant(data, QParams.per_tensor(0.01, 0))
    op = ops.UnidirectionalSequenceLstm(
        tuple(name in operands for name in NAMES),
        LstmSettings(cell_clip=s.cell_clip),
        s.time_major,
        (None, None, None, None, QParams.per_tensor(1 / 128, 3)),
    )
    inputs = [operands[name] for name in NAMES if name in operands]
    return b.graph(*b.node(op, inputs, scale, scale, cell_type.quant))


@isas
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8], ids=str)
@pytest.mark.parametrize("s", LAYERS, ids=str)
def test_layer(s: Layer, dtype: DType, isa: Isa) -> None:
    check(layer(s, dtype), isa)


@pytest.mark.parametrize("cell_bits", [-15, -9])
def test_scales_of_cells(cell_bits: int) -> None:
    check(layer(Layer(1, 3, 8, 8, cell_bits=cell_bits), DType.INT8), SSE41)


def test_peepholes_run_by_reference() -> None:
    plan = plan_for(layer(LAYERS[0], DType.INT8, peephole=True), AVX2)
    assert [n.op.name for n in plan.fallbacks] == ["UNIDIRECTIONAL_SEQUENCE_LSTM"]


@isas
def test_functions_of_16_bits(isa: Isa) -> None:
    """logistic and tanh of every int16 (of every 16th where they are emulated slowly)."""
    x = np.arange(-(2**15), 2**15, 1 if isa.arch == "x86_64" else 16, dtype=np.int32)
    rows = x.reshape(-1, 64)

    def emit(k: Kernel, source: Lanes, *targets: Lanes) -> None:
        size = 4 * isa.lanes
        with k.loop(0, 256, size, once=True) as at:
            v = (source + at).load(i32[isa.lanes])
            (targets[0] + at).store(fixed_point.logistic(v))
            for bits, target in zip((0, 3, 6), targets[1:], strict=True):
                (target + at).store(fixed_point.tanh(v, bits))

    found = evaluate(isa, emit, [rows], [((64,), np.int32)] * 4)
    assert_array_equal(found[0].ravel(), fixed_functions.logistic(x))
    for bits, result in zip((0, 3, 6), found[1:], strict=True):
        assert_array_equal(result.ravel(), fixed_functions.tanh(x, bits))


@isas
@pytest.mark.parametrize("real", [0.9999, 2.0**-30 / 0.007, 3.25, 1e-5, 700.0])
def test_rescale(real: float, isa: Isa) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(-(2**31), 2**31, 448), rng.integers(-300, 300, 64)])
    x[:4] = -(2**31), 2**31 - 1, 0, -1
    rows = x.astype(np.int32).reshape(-1, 16)
    scaled, exponent = multiplier(real)
    values = {"multiplier": scaled, "left": max(exponent, 0), "right": max(-exponent, 0)}
    fields = fixed_point.rescale_fields("m")
    numbers = {f"m_{name}": (fields[f"m_{name}"], value) for name, value in values.items()}

    def emit(k: Kernel, source: Lanes, target: Lanes) -> None:
        with k.loop(0, 64, 4 * isa.lanes, once=True) as at:
            (target + at).store(fixed_point.rescale((source + at).load(i32[isa.lanes]), "m"))

    (found,) = evaluate(isa, emit, [rows], [((16,), np.int32)], numbers)
    assert_array_equal(found, multiply(rows, real))
