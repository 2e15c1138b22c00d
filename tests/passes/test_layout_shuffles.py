"""Shuffles of channels that the weights behind them take up."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nchw import Nchw, turns
from small_graphs import Net, check

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Value
from edgewise.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Mul,
    Op,
    Pad,
    PRelu,
    Quantize,
    ReduceMax,
    Relu,
    Reshape,
    ResizeNearestNeighbor,
    Softmax,
    StridedSlice,
    Transpose,
    TransposeConv,
)
from edgewise.passes import canonicalize, choose_layout, optimize
from edgewise.passes.layout_shuffles import absorb_shuffles

FLOAT, INT8 = DType.FLOAT32, DType.INT8
C = 12


def apply(graph: Graph) -> Graph:
    return absorb_shuffles(graph)[0]


def shuffled(net: Net, x: Value, *parts: int) -> Value:
    lead, channels = x.type.shape[:-1], x.type.shape[-1]
    rank, q = len(lead), x.type.quant
    parts = parts or (3, channels // 3)
    last = range(rank + len(parts) - 1, rank - 1, -1)
    y = net(Reshape((*lead, *parts)), x, quant=q)
    y = net(Transpose((*range(rank), *last)), y, quant=q)
    return net(Reshape(x.type.shape), y, quant=q)


def image(net: Net, dtype: DType = FLOAT) -> Value:
    quant = QParams.per_tensor(0.05, 3) if dtype is INT8 else None
    return net.input(2, 4, 4, C, dtype=dtype, quant=quant)


def dense(net: Net, x: Value, channels: int = 5) -> Value:
    return net(Conv2D(), x, weights(net, x, channels, 1, 1, C), quant=x.type.quant)


def weights(net: Net, x: Value, *shape: int, axis: int = 0) -> Value:
    n = shape[axis]
    quant = QParams(tuple(0.01 + 0.001 * i for i in range(n)), (0,) * n, axis)
    return net.constant(*shape, dtype=x.type.dtype, quant=quant if x.type.quant else None)


def depthwise(net: Net, x: Value) -> Value:
    bias = net.constant(C, dtype=DType.INT32 if x.type.quant else FLOAT, quant=None)
    w = weights(net, x, 1, 3, 3, C, axis=3)
    return net(DepthwiseConv2D(padding=(1, 1, 1, 1)), x, w, bias, quant=x.type.quant)


def test_the_weights_of_all_readers_take_it() -> None:
    net = Nchw()
    y = shuffled(net, image(net))
    a = net.each(PRelu(), depthwise(net, y), net.weights(C))
    b = net.each(Add(), net.each(Mul(), depthwise(net, y), net.weights(1, 1, C)), net.weights(1))
    graph = net.graph(dense(net, a), dense(net, b))
    after = check(apply, graph, tolerance=1e-5)
    assert turns(after) == []
    assert choose_layout(graph)[1]._asdict() == {
        "before": y.type.nbytes,
        "remaining": (),
        "bound": y.type.nbytes,
        "absorbed": y.type.nbytes,
        "complete": True,
    }


def test_joined_channels_are_shuffled_in_part() -> None:
    net = Nchw()
    x = image(net)
    joined = net.each(Concatenation(3), x, depthwise(net, shuffled(net, x, 2, 2, 3)), x)
    graph = net.graph(net.each(Conv2D(), joined, net.weights(4, 1, 1, 3 * C)))
    assert turns(check(apply, graph, tolerance=1e-5)) == []


def test_the_scales_of_quantized_channels_go_with_them() -> None:
    net = Net()
    graph = net.graph(dense(net, depthwise(net, shuffled(net, image(net, INT8)))))
    assert turns(check(apply, graph)) == []


def test_two_shuffles_meet_in_the_same_weights() -> None:
    net = Nchw()
    x = image(net)
    joined = net.each(Concatenation(3), shuffled(net, x, 2, 6), shuffled(net, x, 6, 2))
    graph = net.graph(net.each(Conv2D(), joined, net.weights(4, 1, 1, 2 * C)))
    after = check(apply, graph, tolerance=1e-5)
    assert turns(after) == []


def test_halves_of_a_shuffle_are_taken_in_steps() -> None:
    """As in ShuffleNet v2, whose halves go different ways."""
    net = Nchw()
    y = shuffled(net, image(net), 6, 2)
    size, ones = (2, 4, 4, 6), (1, 1, 1, 1)
    left = net.each(StridedSlice((0, 0, 0, 0), size, ones), y)
    right = net.each(StridedSlice((0, 0, 0, 11), size, (1, 1, 1, -1)), y)
    after = check(apply, net.graph(left, right), tolerance=1e-5)
    assert turns(after) == []
    assert [node.op for node in after.nodes] == [
        StridedSlice((0, 0, 0, 0), size, (1, 1, 1, 2)),
        StridedSlice((0, 0, 0, 11), size, (1, 1, 1, -2)),
    ]


def test_parts_that_lie_unevenly_stay() -> None:
    net = Nchw()
    y = shuffled(net, image(net), 6, 2)
    stays(net, net.each(StridedSlice((0, 0, 0, 4), (2, 4, 4, 4), (1, 1, 1, 1)), y))


def stays(net: Net, *outputs: Value) -> None:
    graph = net.graph(*outputs)
    assert apply(graph) is graph


def test_what_others_see_is_shuffled() -> None:
    net = Nchw()
    y = shuffled(net, image(net))
    stays(net, y, dense(net, y))
    net = Nchw()
    a = net.each(Relu(), shuffled(net, image(net)))
    stays(net, a, dense(net, a))


def test_groups_and_rows_know_their_channels() -> None:
    net = Nchw()
    y = shuffled(net, image(net))
    stays(net, net.each(Conv2D(), y, net.weights(4, 1, 1, C // 2)))
    net = Nchw()
    y = shuffled(net, image(net))
    stays(net, dense(net, net.each(Softmax(), y)))
    net = Nchw()
    y = shuffled(net, image(net))
    stays(net, net.each(ReduceMax((3,)), y), dense(net, y))
    net = Nchw()
    y = shuffled(net, image(net))
    stays(
        net, dense(net, net.each(Concatenation(1), y, net.each(Relu(), y), net.weights(2, 1, 4, C)))
    )
    net = Nchw()
    y = net.each(Pad(((0, 0), (0, 0), (0, 0), (1, 1))), shuffled(net, image(net)))
    stays(net, net.each(Conv2D(), y, net.weights(4, 1, 1, C + 2)))
    net = Nchw()
    y = net.each(DepthwiseConv2D(), shuffled(net, image(net)), net.weights(1, 1, 1, 2 * C))
    stays(net, net.each(Conv2D(), y, net.weights(4, 1, 1, 2 * C)))


def test_weights_that_are_computed_stay() -> None:
    net = Nchw()
    w = net.input(4, 1, 1, C, dtype=FLOAT, quant=None, name="w")
    stays(net, net.each(Conv2D(), shuffled(net, image(net)), w))
    net = Nchw()
    w = net.input(1, 1, 1, C, dtype=FLOAT, quant=None, name="w")
    stays(net, dense(net, net.each(Mul(), shuffled(net, image(net)), w)))


def test_other_transposes_stay() -> None:
    net = Nchw()
    x = image(net)
    y = net.each(Reshape((2, 4, 4, C)), net.turn(net.each(Reshape((2, 16, 3, 4)), x), (0, 2, 1, 3)))
    stays(net, dense(net, y))
    net = Nchw()
    stays(net, dense(net, net.turn(image(net), (0, 2, 1, 3))))
    net = Nchw()
    parted = net.turn(net.each(Reshape((2, 4, 4, 3, 4)), image(net)), (0, 1, 2, 4, 3))
    stays(net, net.each(Reshape((2, 4, 4, C)), parted), parted)


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_networks_keep_their_results(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from((FLOAT, INT8)))
    net = Nchw(data.draw(st.integers(0, 99)))
    images = [image(net, dtype)]
    quant = images[0].type.quant

    def each(op: Op, *operands: Value) -> Value:
        return net(op, *operands, quant=quant)

    def vector(*shape: int) -> Value:
        return net.constant(*shape, dtype=dtype, quant=quant)

    def joined(x: Value) -> Value:
        both = each(Concatenation(3), x, data.draw(st.sampled_from(images)))
        return each(Conv2D(), both, weights(net, x, C, 1, 1, 2 * C))

    steps = {
        "shuffle": lambda x: shuffled(net, x, *data.draw(st.sampled_from(((3, 4), (2, 3, 2))))),
        "depthwise": lambda x: depthwise(net, x),
        "dense": lambda x: dense(net, x, C),
        "relu": lambda x: each(Relu(), x),
        "scale": lambda x: each(Mul(), vector(C), x),
        "prelu": lambda x: each(PRelu(), x, vector(1, 1, C)),
        "add": lambda x: each(Add(), x, data.draw(st.sampled_from(images))),
        "mean": lambda x: each(Add(), x, each(Mean((1, 2), True), x)),
        "pool": lambda x: each(AveragePool2D((3, 3), (1, 1), (1, 1, 1, 1)), x),
        "resize": lambda x: each(ResizeNearestNeighbor((4, 4)), x),
        "requantize": lambda x: each(Quantize(), x) if dtype is INT8 else x,
        "join": joined,
        "stack": lambda x: dense(net, each(Concatenation(1), x, each(Relu(), x)), 3),
        "half": lambda x: each(StridedSlice((0, 0, 0, 6), (2, 4, 4, 6), (1, 1, 1, 1)), x),
        "corner": lambda x: each(StridedSlice((0, 1, 0, 0), (2, 2, 2, C), (1, 1, 2, 1)), x),
        "up": lambda x: each(
            TransposeConv((1, 1), (0,) * 4, (4, 4)), x, weights(net, x, C, 1, 1, C)
        ),
        "rows": lambda x: each(FullyConnected(keep_num_dims=True), x, weights(net, x, 4, C)),
    }
    ends = []
    for _ in range(data.draw(st.integers(2, 9))):
        x = data.draw(st.sampled_from(images[-3:]))
        y = steps[data.draw(st.sampled_from(sorted(steps)))](x)
        (images if y.type == x.type else ends).append(y)
    graph = canonicalize(net.graph(dense(net, images[-1]), *ends))
    tolerance = 1e-4 if dtype is FLOAT else 0.0
    after, values = absorb_shuffles(graph)
    check(lambda _: after, graph, tolerance=tolerance)
    assert len(turns(after)) <= len(turns(graph)) - len(values)
    check(optimize, graph, tolerance=tolerance)
    assert np.all([v not in after.producers() for v in values])
