"""Random NCHW graphs: every result stays, and no order of any tensor transposes fewer bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nchw import Nchw, moved, to_first, to_last
from small_graphs import SAME, WEIGHTS, check

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Value
from edgewise.ops import (
    Abs,
    Add,
    ArgMax,
    BatchMatMul,
    BroadcastTo,
    Cast,
    Concatenation,
    Conv2D,
    Cumsum,
    Dequantize,
    FullyConnected,
    Gather,
    Less,
    Maximum,
    MaxPool2D,
    Mean,
    MirrorPad,
    Mul,
    Pack,
    Pad,
    PRelu,
    Quantize,
    ReduceMax,
    Relu,
    Reshape,
    ResizeNearestNeighbor,
    Reverse,
    ReverseSequence,
    Select,
    Softmax,
    Split,
    SplitV,
    StridedSlice,
    Sum,
    Tile,
    Transpose,
    Unpack,
)
from edgewise.passes import (
    canonicalize,
    choose_layout,
    fold_constants,
    minimize_transposes,
    optimize,
    remove_no_ops,
)
from edgewise.passes.layout_orders import Orders, Use

QUIET = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class RandomNet:
    """Grows a graph of values of rank 4 step by step, as hypothesis draws."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.net = Nchw(self.draw(st.integers(0, 999)))
        self.dtype = self.draw(st.sampled_from((DType.FLOAT32, DType.INT8, DType.INT32)))
        self.quant = SAME if self.dtype is DType.INT8 else None
        shape = (self.draw(st.sampled_from((1, 2))), 4, self.draw(st.sampled_from((1, 4))), 6)
        self.images = [self.net.input(*shape, dtype=self.dtype, quant=self.quant)]
        self.ends: list[Value] = []

    def draw(self, strategy: st.SearchStrategy[object]):  # type: ignore[no-untyped-def]
        return self.data.draw(strategy)

    def pick(self, *choices: object):  # type: ignore[no-untyped-def]
        return self.draw(st.sampled_from(choices))

    def axis(self, rank: int = 4) -> int:
        return self.draw(st.integers(0, rank - 1))

    def constant(self, *shape: int) -> Value:
        return self.net.constant(*shape, dtype=self.dtype, quant=self.quant)

    def like(self, x: Value) -> Value:
        """Another operand for x: a value of its shape, or a constant that broadcasts."""
        same = [v for v in self.images if v.type == x.type]
        if self.draw(st.booleans()):
            return self.draw(st.sampled_from(same))
        shape = [d if self.draw(st.booleans()) else 1 for d in x.type.shape]
        return self.constant(*shape[self.draw(st.integers(0, 4)) :])

    def step(self, steps: tuple[Step, ...]) -> None:
        y = self.draw(st.sampled_from(steps))(self, self.draw(st.sampled_from(self.images)))
        small = y.type.shape[1:] and y.type.size <= 2000 and y.type.dtype is self.dtype
        (self.images if len(y.type.shape) == 4 and small else self.ends).append(y)

    def graph(self) -> Graph:
        pool = list(dict.fromkeys((*self.ends, *self.images[1:])))
        count = self.draw(st.integers(1, 3))
        graph = self.net.graph(*pool[-count:])
        return remove_no_ops(fold_constants(canonicalize(graph)))


Step = Callable[[RandomNet, Value], Value]


def spatial(r: RandomNet, x: Value) -> Value:
    """An operator of NHWC images, between TRANSPOSEs."""
    if r.pick("conv", "pool") == "conv" and r.dtype is not DType.INT32:
        channels, quant = r.pick(1, 4, 8), r.quant and WEIGHTS
        w = r.net.constant(channels, 1, 1, x.type.shape[1], dtype=r.dtype, quant=quant)
        return r.net.last(Conv2D(), x, w)
    if r.dtype is DType.INT32:
        return r.net.turn(r.net.turn(x, to_last()), to_first())
    if r.draw(st.booleans()):
        return r.net.last(ResizeNearestNeighbor((4, 6)), x)
    return r.net.last(MaxPool2D((3, 3), (1, 1), (1, 1, 1, 1)), x)


def turned(r: RandomNet, x: Value) -> Value:
    return r.net.turn(x, tuple(r.draw(st.permutations(range(4)))))


def elementwise(r: RandomNet, x: Value) -> Value:
    ops = (Abs(), Maximum()) if r.dtype is DType.INT32 else (Relu(), Abs(), Add(), Mul(), PRelu())
    op = r.pick(*ops)
    operands = [x] if isinstance(op, Relu | Abs) else [x, r.like(x)]
    if len(operands) == 2 and not isinstance(op, PRelu) and r.draw(st.booleans()):
        operands.reverse()
    return r.net.each(op, *operands)


def chosen(r: RandomNet, x: Value) -> Value:
    other = r.like(x)
    return r.net.each(Select(), r.net.each(Less(), x, r.like(x)), x, other)


def joined(r: RandomNet, x: Value) -> Value:
    axis = r.axis()
    fitting = [
        v
        for v in r.images
        if v.type.dtype is x.type.dtype
        and all(
            a == b or i == axis
            for i, (a, b) in enumerate(zip(v.type.shape, x.type.shape, strict=True))
        )
    ]
    y = r.net.each(Concatenation(axis), x, r.draw(st.sampled_from(fitting)))
    return r.net.all(Split(axis, 2), y, quant=r.quant)[0] if y.type.shape[axis] % 2 == 0 else y


def parts(r: RandomNet, x: Value) -> Value:
    axis = r.axis()
    size = x.type.shape[axis]
    if size == 1:
        return r.net.each(Tile(tuple(2 if i == axis else 1 for i in range(4))), x)
    sizes = (size // 2, size - size // 2)
    return r.draw(st.sampled_from(r.net.all(SplitV(axis, sizes), x, quant=r.quant)))


def stacked(r: RandomNet, x: Value) -> Value:
    y = r.net.each(Pack(r.axis(5)), x, x)
    y = r.net.turn(y, tuple(r.draw(st.permutations(range(5)))))
    return r.net.all(Unpack(r.axis(5)), y, quant=r.quant)[0]


def moves(r: RandomNet, x: Value) -> Value:
    shape = x.type.shape
    pads = tuple((r.pick(0, 1), 0) if d > 1 else (0, 0) for d in shape)
    slices = StridedSlice((0,) * 4, tuple(-(-d // 2) for d in shape), (2,) * 4)
    ops = (Pad(pads), MirrorPad(pads), Reverse((r.axis(),)), slices)
    return r.net.each(r.pick(*ops), x)


def indexed(r: RandomNet, x: Value) -> Value:
    axis = r.axis()
    last = x.type.shape[axis] - 1
    data = np.array([last, 0, last], np.int32)
    indices = r.net.constant(3, dtype=DType.INT32, quant=None, data=data)
    return r.net.each(Gather(axis), x, indices)


def sequences(r: RandomNet, x: Value) -> Value:
    seq, batch = r.draw(st.permutations(range(4)))[:2]
    data = r.net.rng.integers(0, x.type.shape[seq] + 1, x.type.shape[batch]).astype(np.int32)
    lengths = r.net.constant(len(data), dtype=DType.INT32, quant=None, data=data)
    return r.net.each(ReverseSequence(seq, batch), x, lengths)


def reduced(r: RandomNet, x: Value) -> Value:
    axes = tuple(sorted(r.draw(st.sets(st.integers(0, 3), min_size=1, max_size=2))))
    op = r.pick(Mean, Sum, ReduceMax)(axes, r.draw(st.booleans()))
    y = r.net.each(op, x)
    if op.keep_dims and r.draw(st.booleans()):
        return r.net.each(BroadcastTo(x.type.shape), y)
    return y


def picked(r: RandomNet, x: Value) -> Value:
    op = r.pick(ArgMax(r.axis()), Cumsum(r.axis()))
    if isinstance(op, Cumsum) and r.dtype is DType.INT8:
        return r.net(Cast(DType.INT32), x)
    return r.net.each(op, x)


def reshaped(r: RandomNet, x: Value) -> Value:
    n, c, h, w = x.type.shape
    shapes = [(n, c, h * w, 1), (n, c * h, 1, w), (n * c, 1, h, w), (1, n, c, h * w)]
    if c % 2 == 0:
        shapes.append((n, 2, c // 2, h * w))
    return r.net.each(Reshape(r.pick(*shapes)), x)


def softmax(r: RandomNet, x: Value) -> Value:
    if r.dtype is DType.INT32:
        return r.net.each(Abs(), x)
    return r.net(Softmax(), x, quant=QParams.per_tensor(1 / 256, -128))


def requantized(r: RandomNet, x: Value) -> Value:
    if r.dtype is not DType.INT8:
        return r.net.each(Abs(), x)
    return r.net(Quantize(DType.INT8), r.net(Dequantize(), x), quant=SAME)


def product(r: RandomNet, x: Value) -> Value:
    """FULLY_CONNECTED of a flattened image, or of its joined last axes."""
    if r.dtype is DType.INT32:
        return r.net.each(Abs(), x)
    n, *rest = x.type.shape
    keep = r.draw(st.booleans())
    shape = (n, rest[0], rest[1] * rest[2]) if keep else (n, int(np.prod(rest)))
    flat = r.net.each(Reshape(shape), x)
    quant = r.quant and WEIGHTS
    w = r.net.constant(3, shape[-1], dtype=r.dtype, quant=quant)
    return r.net.each(FullyConnected(keep_num_dims=keep), flat, w)


def matrices(r: RandomNet, x: Value) -> Value:
    """BATCH_MATMUL of x with a value, or a constant, of a fitting shape."""
    if r.dtype is not DType.FLOAT32:
        return r.net.each(Abs(), x)
    adj_x, adj_y = r.draw(st.booleans()), r.draw(st.booleans())
    depth = x.type.shape[-2 if adj_x else -1]
    fitting = [v for v in r.images if v.type.shape[:2] in (x.type.shape[:2], (1, 1))]
    fitting = [v for v in fitting if v.type.shape[-1 if adj_y else -2] == depth]
    lead = r.pick((), (1,), (x.type.shape[1],), x.type.shape[:2])
    y = r.net.weights(*lead, *((3, depth) if adj_y else (depth, 3)))
    y = r.draw(st.sampled_from([*fitting, y]))
    return r.net.each(BatchMatMul(adj_x, adj_y), x, y)


STEPS: tuple[Step, ...] = (
    matrices,
    spatial,
    spatial,
    turned,
    elementwise,
    elementwise,
    chosen,
    joined,
    parts,
    stacked,
    moves,
    indexed,
    sequences,
    reduced,
    picked,
    reshaped,
    softmax,
    requantized,
    product,
)


@given(data=st.data())
@QUIET
def test_random_graphs_keep_their_results(data: st.DataObject) -> None:
    random = RandomNet(data)
    for _ in range(data.draw(st.integers(2, 9))):
        random.step(STEPS)
    graph = random.graph()
    if not any(isinstance(node.op, Transpose) for node in graph.nodes):
        assert minimize_transposes(graph) is graph
        return
    tolerance = 1e-5 if random.dtype is DType.FLOAT32 else 0.0
    after = check(minimize_transposes, graph, tolerance=tolerance)
    report = choose_layout(graph)[1]
    assert report.before == moved(graph)
    assert moved(after) <= report.nbytes <= report.before
    assert report.proven
    check(optimize, graph, tolerance=tolerance)


SIMPLE: tuple[Step, ...] = (
    matrices,
    spatial,
    spatial,
    turned,
    elementwise,
    chosen,
    joined,
    parts,
    moves,
    reduced,
    reshaped,
    softmax,
)


def fewest_bytes(graph: Graph) -> int | None:
    """By trial of every order of every node; None where they are too many."""
    orders = Orders(graph)
    for use in orders.uses:
        if use.form is not None:
            every = itertools.permutations(range(len(use.form.sizes)))
            admitted = {use.form.admit(order) for order in every} - {None}
            configs = [use.form.config(o, use.node) for o in sorted(admitted) if o is not None]
            ways = {use.orders(config): config for config in (use.configs[0], *configs)}
            use.wants, use.configs = [*ways], [*ways.values()]
    free = [use for use in orders.uses if len(use.configs) > 1]
    if np.prod([len(use.configs) for use in free]) > 2_000:
        return None
    numbers = itertools.product(*(range(len(use.configs)) for use in free))
    return min(transposed(orders, dict(zip(free, chosen, strict=True))) for chosen in numbers)


def transposed(orders: Orders, chosen: dict[Use, int]) -> int:
    """Bytes of every tensor for each order in which it is read and not written."""
    total = 0
    for tensor in orders.tensors:
        read = orders.results(tensor)
        for use in tensor.readers:
            read += use.reads(tensor, chosen.get(use, 0))
        number = chosen.get(tensor.writer, 0) if tensor.writer else 0
        written = tensor.bytes_of(orders.written(tensor, number))
        total += tensor.root.type.nbytes * len({tensor.bytes_of(o) for o in read} - {written})
    return total


@given(data=st.data())
@QUIET
def test_no_choice_of_orders_transposes_fewer_bytes(data: st.DataObject) -> None:
    random = RandomNet(data)
    for _ in range(data.draw(st.integers(2, 5))):
        random.step(SIMPLE)
    graph = random.graph()
    fewest = fewest_bytes(graph)
    if fewest is not None:
        after, report = choose_layout(graph)
        assert report.nbytes == fewest
        assert moved(after) <= fewest
