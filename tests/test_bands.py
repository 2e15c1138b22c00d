"""Steps that run as one over bands of rows: the results of the same steps one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.errors import CompileError
from edgewise.execution import Options
from edgewise.graph import Graph, TensorType, Value
from edgewise.kernels.bands import Banded
from edgewise.kernels.gemm_bf16 import PairGemm
from edgewise.kernels.isa import AVX2, NEONBF16, Isa
from edgewise.ops import Activation
from edgewise.plan import Plan, Step, bands
from edgewise.plan.bands import Chain
from edgewise.plan.check import check as check_plan
from edgewise.runtime import plan_for
from edgewise.tools.inspect import inspection
from kernels.harness import isas
from networks import Builder, assert_matches, quantized, random_inputs, reference
from test_plan import check_accesses
from test_program_emulated import Emulated
from test_program_random_float import RealBuilder


@dataclass(frozen=True)
class Block:
    """Convolutions that follow each other; ``expand`` or ``project`` may be left out."""

    images: int = 1
    size: tuple[int, int] = (11, 9)
    channels: int = 20
    inner: int = 24
    window: tuple[int, int] = (3, 3)
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    first: int = 1
    expand: bool = True
    project: bool = True
    residual: bool = False

    def graph(self, dtype: DType) -> Graph:
        real = dtype is DType.FLOAT32
        b: Builder = RealBuilder(1) if real else Builder(1)
        shape = (self.images, *self.size, self.channels if self.expand else self.inner)
        zero = {DType.UINT8: 118, DType.INT8: -10}.get(dtype, 0)
        x = b.input(TensorType(shape, dtype) if real else quantized(shape, dtype, 0.05, zero))

        def convolution(op: ops.Op, source: Value, weights: tuple[int, ...], scale: float) -> Any:
            axis = 3 if isinstance(op, ops.DepthwiseConv2D) else 0
            w = b.weights(weights, axis=axis, scale=0.02)
            quant = QParams.per_tensor(scale, zero)
            return b.node(op, [source, w, b.bias(weights[axis])], quant)

        y = x
        if self.expand:
            side = self.first // 2
            op = ops.Conv2D(padding=(side,) * 4, activation=Activation.RELU6)
            y = convolution(op, y, (self.inner, self.first, self.first, self.channels), 0.05)
        steps = {"stride": (self.stride, self.stride), "dilation": (self.dilation,) * 2}
        deep = ops.DepthwiseConv2D(**steps, padding=self.padding, activation=Activation.RELU6)
        y = convolution(deep, y, (1, *self.window, self.inner), 0.05)
        if self.project:
            y = convolution(ops.Conv2D(), y, (self.channels, 1, 1, self.inner), 0.1)
        if self.residual:
            quant = None if real else QParams.per_tensor(0.12, y.type.quant.zero_point[0])
            y = b.node(ops.Add(), [x, y], quant)
        return b.graph(y)


BLOCKS = {
    "block": Block(residual=True),
    "stride_2": Block(size=(13, 10), stride=2, padding=(0, 1, 0, 1)),
    "images": Block(images=3, size=(7, 6)),
    "window_5": Block(window=(5, 3), padding=(2, 2, 1, 1), inner=33),
    "dilated": Block(dilation=2, padding=(2, 2, 2, 2)),
    "no_padding": Block(padding=(0, 0, 0, 0)),
    "more_padding": Block(size=(4, 5), padding=(5, 6, 4, 3), window=(3, 3)),
    "stride_past_window": Block(stride=4, padding=(0, 0, 0, 0), window=(2, 2), size=(14, 9)),
    "wide_first": Block(size=(11, 8), first=3, channels=3, inner=32),
    "expand_depthwise": Block(project=False),
    "depthwise_project": Block(expand=False),
    "few_channels": Block(size=(11, 12), channels=8),
    "one_column": Block(size=(12, 1), padding=(1, 1, 0, 0), window=(3, 1), inner=80),
}
DTYPES = (DType.FLOAT32, DType.INT8, DType.UINT8, DType.INT16)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Chains are fused whatever they gain, in bands of two or three rows."""
    monkeypatch.setattr(bands, "_gains", lambda chain: chain.band > 0)
    monkeypatch.setattr(Chain, "band", property(lambda chain: 2 + chain.height % 2))
    return monkeypatch


def apart(graph: Graph, isa: Isa, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan without any fused step."""
    with monkeypatch.context() as patch:
        patch.setattr(bands, "_gains", lambda chain: False)
        return plan_for(graph, isa)


def fused(plan: Plan) -> list[Step]:
    return [s for s in plan.steps if isinstance(s, Step) and isinstance(s.kernel, Banded)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", BLOCKS)
def test_same_results(name: str, dtype: DType, eager: pytest.MonkeyPatch) -> None:
    """To the last bit those of the steps one by one, at one to three threads."""
    graph = BLOCKS[name].graph(dtype)
    arrays = random_inputs(graph)
    with eager.context() as patch:
        patch.setattr(bands, "_gains", lambda chain: False)
        plain = ew.compile(graph, threads=1)
        assert not fused(plain.plan)
        expected = plain(*arrays)
    assert_matches(expected, *reference(graph, arrays))
    for threads in (1, 2, 3):
        program = ew.compile(graph, threads=threads)
        (step,) = fused(program.plan)
        assert len(step.parts) == BLOCKS[name].expand + 1 + BLOCKS[name].project
        for _ in range(3):
            np.testing.assert_array_equal(program(*arrays), expected)


@isas
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "name", ["block", "stride_2", "dilated", "few_channels", "depthwise_project"]
)
def test_every_isa(name: str, dtype: DType, isa: Isa, eager: pytest.MonkeyPatch) -> None:
    graph = BLOCKS[name].graph(dtype)
    emulated = Emulated(graph, isa)
    assert fused(emulated.plan)
    for guard in ("end", "begin"):
        arrays = random_inputs(graph)
        (found,) = emulated.run(arrays, guard)
        assert_matches(found, *reference(graph, arrays))


def test_bfloat16(eager: pytest.MonkeyPatch) -> None:
    """Products of bfloat16, on ARM: the results of the steps one by one."""
    graph, options = BLOCKS["block"].graph(DType.FLOAT32), Options(precision="bf16")
    arrays = random_inputs(graph)
    together = Emulated(graph, NEONBF16, options)
    (step,) = fused(together.plan)
    assert isinstance(step.parts[0].kernel, PairGemm)
    (found,) = together.run(arrays)
    with eager.context() as patch:
        patch.setattr(bands, "_gains", lambda chain: False)
        single = Emulated(graph, NEONBF16, options)
    assert not fused(single.plan)
    np.testing.assert_array_equal(found, single.run(arrays)[0])


def blocks() -> st.SearchStrategy[Block]:
    side = st.integers(0, 3)
    return st.builds(
        Block,
        images=st.integers(1, 2),
        size=st.tuples(st.integers(13, 20), st.integers(16, 20)),
        channels=st.integers(17, 30),
        inner=st.integers(16, 40),
        window=st.tuples(st.integers(1, 4), st.integers(1, 3)),
        stride=st.integers(1, 3),
        dilation=st.integers(1, 4),
        padding=st.tuples(side, side, side, side),
        first=st.sampled_from([1, 2]),
        expand=st.booleans(),
        project=st.booleans(),
    ).filter(lambda b: b.expand or b.project)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(blocks(), st.sampled_from(DTYPES), st.integers(1, 9))
def test_random_blocks(eager: pytest.MonkeyPatch, block: Block, dtype: DType, band: int) -> None:
    """Any block, in bands of any height."""
    graph = block.graph(dtype)
    arrays = random_inputs(graph)
    with eager.context() as patch:
        patch.setattr(Chain, "band", property(lambda chain: band))
        program = ew.compile(graph, threads=2)
        transformed = any("winograd" in name or "fft" in name for name in program.plan.kernels)
        assert fused(program.plan) or transformed
        check_accesses(program.plan)
        found = program(*arrays)
        patch.setattr(bands, "_gains", lambda chain: False)
        np.testing.assert_array_equal(found, ew.compile(graph, threads=1)(*arrays))


def large() -> Graph:
    """A block whose inner tensors are too large for the second-level cache."""
    return Block(size=(60, 56), channels=24, inner=96, residual=True).graph(DType.FLOAT32)


def test_chosen_where_it_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large blocks are fused, and need less memory; small ones are not."""
    plan = plan_for(large(), AVX2)
    (step,) = fused(plan)
    assert [plan.nodes[n].op.name for n in step.nodes] == ["CONV_2D", "DEPTHWISE_CONV_2D", "FUSED"]
    assert len(plan.steps) == 1
    assert plan.arena_bytes < apart(large(), AVX2, monkeypatch).arena_bytes / 4
    assert not fused(plan_for(BLOCKS["block"].graph(DType.FLOAT32), AVX2))


def test_inspect_tells(tmp_path: Path) -> None:
    """Which operators run as one step, and the kernel of each."""
    graph = large()
    model = tmp_path / "model"
    model.write_bytes(b"")
    program = ew.compile(graph)
    operators = inspection(model, graph, program)["operators"]
    assert [o["together"] for o in operators] == [[0, 1, 2]] * 3
    assert [o["kernels"][0].split("_")[0] for o in operators] == ["gemm", "depthwise", "gemm"]


def test_not_what_others_read(eager: pytest.MonkeyPatch) -> None:
    """What the network returns, or two operators read, has a buffer."""
    graph = BLOCKS["block"].graph(DType.FLOAT32)
    middle = graph.nodes[0].outputs[0]
    shown = plan_for(replace(graph, outputs=(*graph.outputs, middle)), AVX2)
    (step,) = fused(shown)
    assert [shown.nodes[n].op.name for n in step.nodes] == ["DEPTHWISE_CONV_2D", "FUSED"]
    b = RealBuilder(1)
    x = b.input(TensorType((1, 9, 9, 16), DType.FLOAT32))
    y = b.node(ops.Conv2D(), [x, b.weights((16, 1, 1, 16)), b.bias(16)])
    deep = [
        b.node(ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), [y, b.weights((1, 3, 3, 16)), b.bias(16)])
        for _ in range(2)
    ]
    assert not fused(plan_for(b.graph(*deep), AVX2))


def test_parts_are_checked() -> None:
    """Operands of the parts lie inside their buffers too, those that vanish included."""
    plan = plan_for(large(), AVX2)
    (step,) = fused(plan)
    first = step.parts[0]
    wrong = replace(first.writes[0], address=first.writes[0].address + 2**20)
    parts = (replace(first, writes=(wrong,)), *step.parts[1:])
    with pytest.raises(CompileError, match="takes bytes"):
        check_plan(replace(plan, steps=(replace(step, parts=parts),)))
