"""Networks of NCHW files: which TRANSPOSEs remain, and which operators run instead."""

from __future__ import annotations

import numpy as np
import pytest
from nchw import Nchw, moved, turns
from small_graphs import SAME, Net, assert_unchanged, check, lines

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, State, TensorType, Value, verify
from edgewise.ops import (
    Add,
    BatchMatMul,
    Concatenation,
    Conv2D,
    Dequantize,
    FullyConnected,
    LastAxis,
    Logistic,
    MaxPool2D,
    Mean,
    Mul,
    PRelu,
    Quantize,
    ReduceMax,
    Relu,
    Reshape,
    ResizeNearestNeighbor,
    Select,
    Softmax,
    Split,
    Tanh,
    Transpose,
    TransposeConv,
)
from edgewise.passes import (
    LayoutReport,
    canonicalize,
    choose_layout,
    fold_constants,
    layout_orders,
    minimize_transposes,
    optimize,
    remove_no_ops,
)


def solved(graph: Graph, tolerance: float = 1e-5) -> tuple[Graph, LayoutReport]:
    """The graph with its tensors stored best, every result the same, and the report proven."""
    plain = remove_no_ops(fold_constants(canonicalize(graph)))
    after = check(minimize_transposes, plain, tolerance=tolerance)
    report = choose_layout(plain)[1]
    assert report.proven
    assert moved(after) == report.nbytes <= report.before == moved(plain)
    check(optimize, graph, tolerance=tolerance)
    return after, report


def reasons(report: LayoutReport) -> list[tuple[str, str]]:
    return [(t.written, t.read) for t in report.remaining]


INPUT = [("input 'x'", "CONV_2D 'conv_2d'")]


def test_residuals_with_normalisation_fuse_as_in_nhwc_networks() -> None:
    net = Nchw()
    a = net.conv(net.image(1, 3, 8, 8), 8, 3)
    a = net.each(
        Relu(), net.each(Add(), net.each(Mul(), a, net.weights(8, 1, 1)), net.weights(1, 8, 1, 1))
    )
    b = net.each(Relu(), net.each(Add(), net.conv(a, 8, 3), a))
    y = net.each(FullyConnected(), net.each(Mean((2, 3)), b), net.weights(10, 8))
    graph = net.graph(y)
    _, report = solved(graph)
    assert reasons(report) == INPUT
    assert [node.op.name for node in optimize(graph).nodes] == [
        "TRANSPOSE",
        "CONV_2D",
        "FUSED",
        "MEAN",
        "FULLY_CONNECTED",
    ]


def test_weights_take_a_flattened_image_as_it_is() -> None:
    net = Nchw()
    a = net.conv(net.image(2, 1, 8, 8), 4, 3)
    a = net.last(MaxPool2D((2, 2), (2, 2)), a)
    y = net.each(FullyConnected(), net.each(Reshape((2, 64)), a), net.weights(10, 64))
    after, report = solved(net.graph(y))
    assert report.remaining == ()
    assert lines(after)[-1] == "%v11 = FULLY_CONNECTED(%v7, @w)"


def test_so_do_those_of_a_sequence() -> None:
    """[N, C, T, F] -> [N, T, C * F], as recurrent networks read spectrograms."""
    net = Nchw()
    a = net.turn(net.conv(net.image(1, 2, 5, 6), 4, 3), (0, 2, 1, 3))
    a = net.each(Reshape((1, 5, 24)), a)
    y = net.each(Tanh(), net.each(FullyConnected(keep_num_dims=True), a, net.weights(7, 24)))
    _, report = solved(net.graph(y))
    assert reasons(report) == INPUT


def test_quantized_columns_move_too() -> None:
    net = Nchw()
    x = net.input(1, 4, 3, 3)
    w = net.constant(4, 1, 1, 4, quant=QParams((0.01, 0.02, 0.03, 0.04), (0,) * 4, axis=0))
    a = net.each(Reshape((1, 36)), net.last(Conv2D(), x, w))
    w = net.constant(2, 36, quant=QParams((0.01, 0.02), (0, 0), axis=0))
    _, report = solved(net.graph(net.each(FullyConnected(), a, w)), tolerance=0.0)
    assert reasons(report) == INPUT


def test_heads_of_detectors_cancel() -> None:
    net = Nchw()
    a = net.conv(net.image(1, 3, 8, 8), 8, 3)
    b = net.conv(a, 8, 3, 2)
    heads = [
        net.each(Reshape((1, -1, 4)), net.turn(net.conv(v, 8, 3), (0, 2, 3, 1))) for v in (a, b)
    ]
    _, report = solved(net.graph(net.each(Concatenation(1), *heads)))
    assert reasons(report) == INPUT


@pytest.mark.parametrize("dense", [False, True])
def test_squeeze_and_excitation(dense: bool) -> None:
    net = Nchw()
    a = net.conv(net.image(2, 3, 8, 8), 8, 3)
    if dense:
        s = net.each(FullyConnected(), net.each(Mean((2, 3)), a), net.weights(8, 8))
        s = net.each(Reshape((2, 8, 1, 1)), net.each(Logistic(), s))
    else:
        s = net.each(Relu(), net.conv(net.each(Mean((2, 3), True), a), 4))
        s = net.each(Logistic(), net.conv(s, 8))
    _, report = solved(net.graph(net.each(Mean((2, 3)), net.conv(net.each(Mul(), a, s), 4))))
    assert reasons(report) == INPUT


def test_axes_of_one_element_leave_no_reshape() -> None:
    net = Nchw()
    a = net.conv(net.image(1, 3, 8, 8), 8)
    s = net.each(Relu(), net.conv(net.each(Mean((2, 3), True), a), 4))
    s = net.each(Logistic(), net.conv(s, 8))
    graph = net.graph(net.each(Mean((2, 3)), net.each(Mul(), a, s)))
    assert [node.op.name for node in optimize(graph).nodes] == [
        "TRANSPOSE",
        "CONV_2D",
        "MEAN",
        "CONV_2D",
        "CONV_2D",
        "LOGISTIC",
        "MUL",
        "MEAN",
    ]


def test_pyramids_and_decoders() -> None:
    net = Nchw()
    a = net.conv(net.image(1, 3, 8, 8), 8, 3)
    b = net.conv(a, 8, 3, 2)
    up = net.last(ResizeNearestNeighbor((8, 8)), b)
    w = net.weights(8, 2, 2, 8)
    out = net.last(TransposeConv((2, 2), (0,) * 4, (8, 8)), b, w)
    y = net.each(PRelu(), net.each(Concatenation(1), a, up, out), net.weights(24, 1, 1))
    y = net.each(ReduceMax((1,)), net.conv(y, 4))
    _, report = solved(net.graph(y))
    assert reasons(report) == INPUT


def attention(net: Nchw, batch: int = 2) -> Graph:
    """Two heads of four channels over five places, with a residual."""
    x = net.image(batch, 5, 8)

    def dense(x: Value) -> Value:
        return net.each(FullyConnected(keep_num_dims=True), x, net.weights(8, 8))

    q, k, v = (
        net.turn(net.each(Reshape((batch, 5, 2, 4)), dense(x)), (0, 2, 1, 3)) for _ in range(3)
    )
    scores = net.each(BatchMatMul(), q, net.turn(k, (0, 1, 3, 2)))
    mixed = net.each(BatchMatMul(), net.each(Softmax(), scores), v)
    return net.graph(
        net.each(Add(), x, dense(net.each(Reshape((batch, 5, 8)), net.turn(mixed, (0, 2, 1, 3)))))
    )


def test_attention_moves_whole_rows() -> None:
    """The product takes the keys as they are, so that none of their rows is taken apart."""
    after, report = solved(attention(Nchw()))
    assert [t.perm for t in report.remaining] == [(0, 2, 1, 3)] * 4
    assert "BATCH_MATMUL[adj_y=True]" in str(after)
    names = [node.op.name for node in after.nodes if node.op.name != "RESHAPE"]
    assert names[-3:] == ["TRANSPOSE", "FULLY_CONNECTED", "ADD"]
    assert str(after).count("keep_num_dims=True") == 4


def test_a_shuffle_of_channels_remains_alone() -> None:
    net = Nchw()
    x = net.image(1, 8, 6, 6)
    a = net.conv(x, 8)
    a = net.turn(net.each(Reshape((1, 2, 4, 6, 6)), a), (0, 2, 1, 3, 4))
    left, right = net.all(Split(1, 2), net.each(Reshape((1, 8, 6, 6)), a), quant=None)
    y = net.each(Mean((2, 3)), net.conv(net.each(Concatenation(1), left, net.conv(right, 4)), 4))
    after, report = solved(net.graph(y))
    assert reasons(report) == [*INPUT, ("RESHAPE 'reshape'", "RESHAPE 'reshape'")]
    assert "TRANSPOSE[perm=(0, 1, 2, 4, 3)]" in str(after)


def test_what_operators_of_one_order_want_wins_where_bytes_are_equal() -> None:
    """RELU could as well follow the TRANSPOSE that the output needs, but fuses before it."""
    net = Nchw()
    graph = net.graph(net.each(Relu(), net.conv(net.image(1, 3, 4, 4), 8)))
    _, report = solved(graph)
    assert reasons(report) == [*INPUT, ("CONV_2D 'conv_2d'", "output 'v6'")]
    assert [node.op.name for node in optimize(graph).nodes] == ["TRANSPOSE", "CONV_2D", "TRANSPOSE"]


def test_scales_of_channels_move_with_their_axis() -> None:
    net = Net()
    channels = QParams((0.1, 0.2, 0.3), (1, 2, 3), axis=1)
    x = net.input(1, 3, 4, 5, quant=channels)
    a = net(Transpose((0, 2, 3, 1)), net(Dequantize(), x), name="a")
    y = net(Quantize(), net(Softmax(), a), quant=SAME)
    after, report = solved(net.graph(y), tolerance=0.0)
    assert [t.nbytes for t in report.remaining] == [60]
    assert str(after.nodes[0]).endswith("int8[1x4x5x3] {per-channel axis 3}")


def test_rows_are_chosen_where_they_lie() -> None:
    net = Nchw()
    rows = net.input(2, dtype=DType.BOOL, quant=None, name="rows")
    x = net.image(2, 3, 4, 5)
    a, b = net.conv(x, 3), net.conv(x, 3)
    graph = net.graph(net.conv(net(Select(rows=True), rows, a, b, quant=None), 4))
    arrays = {rows: np.array([True, False]), x: net.random(x.type)}
    after = minimize_transposes(graph)
    verify(after)
    results = [list(g.reference(arrays))[-1][1][0] for g in (graph, after)]
    np.testing.assert_allclose(results[0], results[1], 1e-5, 1e-4)


def test_several_outputs_are_one_tensor() -> None:
    net = Nchw()
    x = net.image(2, 3, 4, 5)
    a = net.each(Relu(), x)
    b = net.turn(net.turn(a, (0, 2, 3, 1)), (0, 3, 1, 2), name="b")
    c = net.turn(a, (0, 2, 3, 1), name="c")
    after, report = solved(net.graph(a, b, c), tolerance=0.0)
    assert [(t.written, t.read) for t in report.remaining] == [("output 'v1'", "output 'c'")]
    assert "%b = RESHAPE" in str(after)


def test_states_keep_the_order_of_the_file() -> None:
    net = Nchw()
    kept = Value("kept", TensorType((1, 3, 4, 4), DType.FLOAT32))
    total = net.each(Add(), kept, net.conv(net.image(1, 3, 4, 4), 3))
    initial = np.zeros((1, 3, 4, 4), np.float32)
    graph = Graph(
        tuple(net.inputs), (total,), tuple(net.nodes), states=(State(kept, total, initial),)
    )
    after, report = choose_layout(graph)
    verify(after)
    assert reasons(report) == [*INPUT, ("CONV_2D 'conv_2d'", "state 'kept'")]


def test_a_state_is_named() -> None:
    net = Nchw()
    kept = Value("kept", TensorType((1, 3, 4, 4), DType.FLOAT32))
    a = net.conv(net.each(Relu(), kept), 3)
    initial = np.zeros((1, 3, 4, 4), np.float32)
    y = net.each(Mean((2, 3)), net.each(Relu(), a))
    graph = Graph((), (y,), tuple(net.nodes), states=(State(kept, a, initial),))
    assert reasons(choose_layout(graph)[1]) == [
        ("state 'kept'", "CONV_2D 'conv_2d'"),
        ("CONV_2D 'conv_2d'", f"state {a.name!r}"),
    ]


def test_a_transpose_that_changes_the_quantization_stays() -> None:
    net = Net()
    y = net(Transpose((0, 2, 3, 1)), net.input(1, 3, 4, 4), quant=QParams.per_tensor(0.5, 0))
    graph = net.graph(net(Softmax(), y, quant=SAME))
    after, report = choose_layout(graph)
    assert after is graph
    assert reasons(report) == [("TRANSPOSE 'transpose'", "TRANSPOSE 'transpose'")]
    assert report.proven


def test_graphs_without_transposes_are_left_alone() -> None:
    net = Net()
    assert_unchanged(minimize_transposes, net.graph(net(Relu(), net.input(1, 4, 4, 3))))


def test_a_graph_that_is_best_is_left_alone() -> None:
    net = Nchw()
    x = net.turn(net.image(1, 4, 4, 3), (0, 3, 1, 2))
    assert_unchanged(minimize_transposes, net.graph(net.each(Softmax(), x)))


def test_softmax_of_the_last_axis_runs_in_other_orders_of_the_rest() -> None:
    net = Nchw()
    x = net.turn(net.image(2, 3, 4, 5), (1, 0, 2, 3))
    y = net.turn(net.each(Softmax(), x), (1, 0, 2, 3))
    after, report = solved(net.graph(y))
    assert report.remaining == ()
    assert isinstance(after.nodes[0].op, LastAxis)
    assert turns(after) == []


def test_orders_that_were_not_considered_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Nchw()
    x = net.each(Relu(), net.turn(net.image(1, 3, 4, 5), (0, 2, 3, 1)))
    graph = net.graph(net.turn(x, (0, 3, 1, 2)))
    assert choose_layout(graph)[1].proven
    monkeypatch.setattr(layout_orders, "MAX_CONFIGS", 1)
    after, report = choose_layout(graph)
    assert after is graph
    assert not report.complete
    assert not report.proven
