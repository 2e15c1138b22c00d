"""Plans: where tensors lie, what shares memory, what steps may run at the same time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from cases_products import dynamic
from edgewise import ops
from edgewise import plan as plan_module
from edgewise.dtype import DType, QParams
from edgewise.errors import CompileError, UnsupportedError
from edgewise.graph import Array, Graph, TensorType, Value
from edgewise.kernels.isa import ISAS, Isa
from edgewise.kernels.views import SLACK
from edgewise.plan import Buffer, HostStep, Plan, Step, View, make_plan
from edgewise.plan.check import check
from edgewise.plan.model import CONSTANTS, Constants
from edgewise.plan.products import MAX_STEPS
from edgewise.runtime import plan_for
from networks import Builder, classifier, quantized
from test_program import CASES

U8 = DType.UINT8
AVX2 = next(isa for isa in ISAS if isa.name == "avx2")
Q = QParams.per_tensor(0.05, 121)
IMAGE = quantized((1, 8, 8, 16), U8)


def plan(graph: Graph, isa: Isa = AVX2) -> Plan:
    """The plan of a graph of uint8 as it is, without passes."""
    return make_plan(graph, isa)


def kernels(p: Plan) -> list[str]:
    """The family of each step's kernel."""
    return [s.kernel.symbol.split("_")[0] for s in p.steps if isinstance(s, Step)]


def view(p: Plan, value: Value) -> View:
    """Where an input or output of the graph lies."""
    found = dict((*p.inputs, *p.outputs))[value]
    assert isinstance(found, View)
    return found


def groups(p: Plan) -> Iterator[list[Step | HostStep]]:
    """Steps that no barrier separates."""
    group: list[Step | HostStep] = []
    for step in p.steps:
        if isinstance(step, HostStep):
            if group:
                yield group
            yield [step]
            group = []
            continue
        group.append(step)
        if step.barrier:
            yield group
            group = []
    if group:
        yield group


def writes_of(step: Step | HostStep) -> Sequence[View]:
    return step.writes if isinstance(step, Step) else step.outputs


def reads_of(step: Step | HostStep) -> Sequence[View]:
    if isinstance(step, Step):
        return step.reads
    return [v for v in step.inputs if isinstance(v, View)]


class Arena:
    """Marks on every byte of an arena."""

    def __init__(self, p: Plan) -> None:
        self.offsets = p.offsets
        self.marks = np.zeros(p.arena_bytes, np.int32)
        self.ids = {buffer: i + 1 for i, buffer in enumerate(p.offsets)}

    def bytes(self, v: View) -> Array:
        """The marks of the bytes of a view's elements, as a view of them."""
        shape = (*v.shape, v.type.dtype.itemsize)
        start = self.offsets[v.address.buffer] + v.address.offset
        strides = tuple(4 * s for s in (*v.strides, 1))
        return np.ndarray(shape, np.int32, self.marks.data, 4 * start, strides)

    def owner(self, v: View) -> int:
        return self.ids[v.address.buffer]


def check_accesses(p: Plan) -> None:
    """Steps read what was written for them, and write nothing that runs beside them touches."""
    for group in groups(p):
        beside = Arena(p)
        for index, step in enumerate(group, 1):
            for v in writes_of(step):
                marks = beside.bytes(v)
                assert not marks.any(), f"{step} and another step write the same bytes"
                marks[...] = index
        for index, step in enumerate(group, 1):
            for v in reads_of(step):
                if v.address.buffer is not CONSTANTS:
                    marks = beside.bytes(v)
                    assert np.isin(marks, (0, index)).all(), f"{step} reads what another writes"
    arena = Arena(p)
    for _, v in p.inputs:
        arena.bytes(v)[...] = arena.owner(v)
    for step in p.steps:
        for v in reads_of(step):
            if v.address.buffer is not CONSTANTS:
                assert (arena.bytes(v) == arena.owner(v)).all(), f"{step} reads other bytes"
        for v in writes_of(step):
            arena.bytes(v)[...] = arena.owner(v)
    for _, v in p.outputs:
        if isinstance(v, View):
            assert (arena.bytes(v) == arena.owner(v)).all()


@pytest.mark.parametrize("case", CASES)
def test_steps_read_what_was_written_for_them(case: str) -> None:
    for isa in ISAS:
        check_accesses(plan_for(CASES[case](DType.INT8), isa))


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_a_network_reads_what_was_written_for_it(isa: Isa) -> None:
    check_accesses(plan_for(classifier(U8), isa))


def convolution(b: Builder, x: Value, kernel: int = 3, padding: int = 1, **attrs: object) -> Value:
    n = x.type.shape[3]
    op = ops.Conv2D(padding=(padding,) * 4, **attrs)
    y = b.node(op, [x, b.weights((n, kernel, kernel, n)), b.bias(n)], Q)
    assert isinstance(y, Value)
    return y


def test_a_convolution_finds_its_padding_around_its_input() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = convolution(b, x)
    p = plan(b.graph(y))
    v = view(p, x)
    assert v.address.buffer.nbytes == 10 * 10 * 16
    assert v.strides == (10 * 10 * 16, 10 * 16, 16, 1)
    assert v.address.offset == 11 * 16
    assert kernels(p) == ["fill", "qwinograd"]
    assert view(p, y).contiguous


def test_the_widest_padding_of_all_readers_is_there() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y, z = convolution(b, x), convolution(b, x, 5, 2)
    p = plan(b.graph(y, z))
    assert view(p, x).address.buffer.nbytes == 12 * 12 * 16
    assert kernels(p).count("fill") == 1


def test_padding_is_filled_in_every_run_since_its_bytes_are_shared() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = convolution(b, convolution(b, convolution(b, x)))
    p = plan(b.graph(y))
    assert kernels(p).count("fill") == 3
    assert p.arena_bytes < 2.5 * 10 * 10 * 16


def test_padding_is_filled_after_what_prepares_the_input() -> None:
    """So the quantized input and the output need not lie beside what was quantized."""
    b = Builder()
    x = b.input(TensorType((1, 8, 8, 16), DType.FLOAT32))
    y = b.node(ops.Conv2D(), [x, dynamic(b, 16, 1, 1, 16)])
    z = b.node(ops.Conv2D(padding=(1,) * 4), [y, dynamic(b, 16, 3, 3, 16)])
    p = plan(b.graph(z))
    assert kernels(p)[:3] == ["quantize", "fill", "qconv"]
    source, target = view(p, x).address.buffer, p.steps[1].views[0].address.buffer
    assert p.lifetimes[source] == (0, 0)
    assert p.lifetimes[target][0] == 1
    for choice in p.choices:
        step = p.steps[choice.step]
        assert isinstance(step, Step)
        assert step.node == choice.node
    assert p.steps[p.choices[0].step].views[-1].address.buffer is target


@pytest.mark.parametrize("op", [ops.Logistic(), ops.HardSwish(), ops.Relu6()])
def test_an_elementwise_operator_writes_over_what_nobody_reads_later(op: ops.Op) -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = b.node(op, [convolution(b, x, 1, 0)], Q)
    p = plan(b.graph(y))
    assert len(p.offsets) == 2


def test_an_addition_takes_the_operand_that_is_free() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = convolution(b, x, 1, 0)
    z = b.node(ops.Add(), [x, y], Q)
    p = plan(b.graph(z, x))
    last = p.steps[-1]
    assert isinstance(last, Step)
    assert last.writes[0].address == last.reads[1].address != last.reads[0].address


def test_what_is_read_later_is_not_written_over() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = convolution(b, x, 1, 0)
    z = b.node(ops.Logistic(), [y], Q)
    p = plan(b.graph(b.node(ops.Mul(), [y, z], Q)))
    table = next(s for s in p.steps if isinstance(s, Step) and s.kernel.symbol.startswith("lookup"))
    assert table.reads[0].address.buffer is not table.writes[0].address.buffer


def test_an_alias_of_what_is_read_later_is_not_written_over() -> None:
    b = Builder()
    x = b.input(IMAGE)
    flat = b.node(ops.Reshape((1, 64, 16)), [x], Q)
    y = b.node(ops.Logistic(), [flat], Q)
    p = plan(b.graph(y, x))
    assert view(p, y).address.buffer is not view(p, x).address.buffer


def test_a_reshape_of_packed_bytes_costs_nothing() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = b.node(ops.Reshape((1, 64, 16)), [x], Q)
    p = plan(b.graph(b.node(ops.Reshape((4, 16, 16)), [y], Q)))
    assert p.steps == ()
    assert len(p.offsets) == 1


def test_a_reshape_of_padded_bytes_is_a_copy() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = b.node(ops.Reshape((1, 64, 16)), [x], Q)
    p = plan(b.graph(convolution(b, x), y))
    assert "copy" in kernels(p)
    assert view(p, y).contiguous


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_producers_write_straight_into_what_is_joined(axis: int) -> None:
    b = Builder()
    x = b.input(IMAGE)
    parts = [convolution(b, x, 1, 0), convolution(b, x, 3, 1)]
    joined = b.node(ops.Concatenation(axis), parts, Q)
    p = plan(b.graph(joined))
    assert kernels(p) == ["fill", "qconv", "qwinograd"]
    whole = view(p, joined)
    writes = [s.writes[0] for s in p.steps if isinstance(s, Step)][1:]
    starts = [v.address.offset - whole.address.offset for v in writes]
    assert starts == [0, IMAGE.shape[axis] * whole.strides[axis]]
    assert all(v.strides == whole.strides for v in writes)


def test_joined_tensors_may_be_joined_again() -> None:
    b = Builder()
    x = b.input(IMAGE)
    inner = b.node(ops.Concatenation(3), [convolution(b, x, 1, 0) for _ in range(2)], Q)
    outer = b.node(ops.Concatenation(3), [inner, convolution(b, x, 1, 0)], Q)
    p = plan(b.graph(outer))
    assert "copy" not in kernels(p)
    assert len(p.offsets) == 2


def test_a_part_that_is_joined_twice_is_copied_once() -> None:
    b = Builder()
    x = b.input(IMAGE)
    y = convolution(b, x, 1, 0)
    p = plan(b.graph(b.node(ops.Concatenation(3), [y, y], Q)))
    assert kernels(p).count("copy") == 2


def in_groups(b: Builder, x: Value) -> Value:
    """A convolution of as many groups as channels: more than the plan takes, so a fallback."""
    y: Value = b.node(ops.Conv2D(), [x, b.weights((x.type.shape[3], 1, 1, 1))], Q)
    return y


def test_all_nodes_without_a_kernel_are_found_in_one_lowering(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    b = Builder()
    x = b.input(quantized((1, 2, 2, MAX_STEPS + 1), U8))
    results = [in_groups(b, x) for _ in range(5)]
    layouts: list[object] = []
    lay_out = plan_module.lay_out
    monkeypatch.setattr(plan_module, "lay_out", lambda *a: layouts.append(a) or lay_out(*a))
    p = plan(b.graph(*results))
    assert len(p.fallbacks) == 5
    assert len(layouts) == 2


def changed(p: Plan, index: int, **fields: object) -> Plan:
    """A plan with other fields in one step."""
    steps = list(p.steps)
    steps[index] = dataclasses.replace(steps[index], **fields)
    return dataclasses.replace(p, steps=tuple(steps))


class TestCheck:
    @pytest.fixture
    def good(self) -> Plan:
        b = Builder()
        p = plan(b.graph(convolution(b, b.input(IMAGE))))
        check(p)
        return p

    def test_padding_that_the_buffer_has_no_room_for(self, good: Plan) -> None:
        step = good.steps[-1]
        assert isinstance(step, Step)
        x = step.reads[0]
        for moved in (x.address + -1, x.address + 1):
            wrong = dataclasses.replace(x, address=moved)
            with pytest.raises(
                CompileError, match=r"step 1, qwinograd_.* of CONV_2D 'node0': uint8\[1x10x10x16\]"
            ):
                check(changed(good, 1, reads=(wrong,)))

    def test_output_past_the_end(self, good: Plan) -> None:
        step = good.steps[-1]
        assert isinstance(step, Step)
        y = step.writes[0]
        wrong = dataclasses.replace(y, address=y.address + 16)
        with pytest.raises(CompileError, match=r"takes bytes 16 to 1040 of buffer .* has 1024"):
            check(changed(good, 1, writes=(wrong,)))

    def test_negative_strides_count_downwards(self, good: Plan) -> None:
        step = good.steps[-1]
        assert isinstance(step, Step)
        y = step.writes[0]
        down = (*y.strides[:1], -y.strides[1], *y.strides[2:])
        check(changed(good, 1, writes=(View(y.address + 7 * y.strides[1], y.type, down),)))
        with pytest.raises(CompileError, match="takes bytes -896 to 128"):
            check(changed(good, 1, writes=(View(y.address, y.type, down),)))

    def test_a_pointer_into_nothing(self, good: Plan) -> None:
        step = good.steps[-1]
        assert isinstance(step, Step)
        for name, size in (("a", 1600), ("w", good.constant_bytes - SLACK)):
            pointer = step.params[name]
            assert not isinstance(pointer, int | float)
            moved = dataclasses.replace(pointer, offset=size + 1)
            with pytest.raises(CompileError, match=f"node0': {name} points to byte {size + 1}"):
                check(changed(good, 1, params={**step.params, name: moved}))

    def test_a_buffer_without_a_place(self, good: Plan) -> None:
        step = good.steps[-1]
        assert isinstance(step, Step)
        y = step.writes[0]
        lost = dataclasses.replace(
            y, address=dataclasses.replace(y.address, buffer=Buffer("z", 9999))
        )
        with pytest.raises(CompileError, match="buffer 'z'"):
            check(changed(good, 1, writes=(lost,)))

    def test_a_buffer_outside_of_the_arena(self, good: Plan) -> None:
        with pytest.raises(CompileError, match=r"1600 bytes at .* the arena of 1024"):
            check(dataclasses.replace(good, arena_bytes=1024))

    def test_an_operand_of_a_fallback(self) -> None:
        b = Builder()
        x = b.input(quantized((1, 2, 2, MAX_STEPS + 1), U8))
        p = plan(b.graph(in_groups(b, x)))
        step = p.steps[0]
        assert isinstance(step, HostStep)
        y = step.outputs[0]
        wrong = dataclasses.replace(y, address=y.address + 1)
        with pytest.raises(CompileError, match="step 0, its reference of CONV_2D 'node0'"):
            check(changed(p, 0, outputs=(wrong,)))

    def test_an_output_of_the_graph(self, good: Plan) -> None:
        (value, y), *_ = good.outputs
        assert isinstance(y, View)
        wrong = dataclasses.replace(y, address=y.address + 1)
        with pytest.raises(CompileError, match=f"value '{value.name}'"):
            check(dataclasses.replace(good, outputs=((value, wrong),)))


def test_a_large_constant_is_kept_once() -> None:
    b = Builder()
    table = b.constant(np.ones((300, 16), np.uint8), Q)
    indices = TensorType((5,), DType.INT32)
    rows = [b.node(ops.Gather(), [table, b.input(indices)]) for _ in range(2)]
    assert 300 * 16 <= plan(b.graph(*rows)).constant_bytes < 2 * 300 * 16


def test_equal_bytes_of_other_memory_are_another_constant() -> None:
    constants = Constants()
    first, second = (np.full(n, 7, np.int16) for n in (5000, 6000))
    places = [constants.add(a) for a in (first, second, first.view(np.uint8), first[:4000])]
    assert places[0] == places[2]
    assert len(set(places)) == 3


def test_an_arena_beyond_the_limit_is_refused() -> None:
    b = Builder()
    x = b.input(quantized((1, 20000, 20000, 2), U8))
    y = b.node(ops.Logistic(), [b.node(ops.Relu(), [x], Q)], Q)
    pair = b.node(ops.Concatenation(3), [x, y], Q)
    with pytest.raises(UnsupportedError, match=r"activations take .* at most 1073741824"):
        plan(b.graph(pair))
