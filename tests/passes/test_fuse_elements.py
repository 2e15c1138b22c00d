"""Chains of elementwise operators, and convolutions between blocks: given, and result."""

from __future__ import annotations

import pytest
from small_graphs import SAME, WEIGHTS, Net, Q, assert_unchanged, check

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Value
from edgewise.ops import (
    Add,
    Atan2,
    BatchToSpaceNd,
    Chain,
    Conv2D,
    DepthwiseConv2D,
    Greater,
    LeakyRelu,
    LogicalNot,
    Mul,
    Op,
    SpaceToBatchNd,
    Sub,
    Tanh,
)
from edgewise.passes import fuse_dilation, fuse_elementwise
from edgewise.passes.fuse_elementwise import APART, CHAINED, MAX_INPUTS, MAX_STAGES
from edgewise.plan.program import FUNCTIONS

# fuse_elementwise


def floats(net: Net, *shape: int, name: str = "x", dtype: DType = DType.FLOAT32) -> Value:
    return net.input(*shape, dtype=dtype, quant=None, name=name)


def test_operators_become_a_chain() -> None:
    net = Net()
    x, r = floats(net, 2, 3, 4), floats(net, 3, 1, name="r")
    y = net(Mul(), x, x, origin="m")
    y = net(Sub(), r, y, origin="s")
    y = net(LeakyRelu(0.25), y, origin="l")
    y = net(Add(), y, r, name="y", origin="a")
    (node,) = check(fuse_elementwise, net.graph(y)).nodes
    assert isinstance(node.op, Chain)
    assert str(node.op) == "MUL + SUB@1 + LEAKY_RELU[alpha=0.25] + ADD@0"
    assert node.inputs == (x, x, r, r)
    assert node.origin == "m+s+l+a"


def test_the_results_of_a_chain_change_type() -> None:
    net = Net()
    a, b = (floats(net, 5, 7, name=n) for n in "ab")
    y = net(LogicalNot(), net(Greater(), net(Tanh(), a), b))
    (node,) = check(fuse_elementwise, net.graph(y)).nodes
    assert isinstance(node.op, Chain)


def test_of_two_operands_the_later_one_is_chained() -> None:
    net = Net()
    x, y = floats(net, 5), floats(net, 5, name="y")
    first, second = net(Tanh(), x), net(Mul(), x, y)
    graph = check(fuse_elementwise, net.graph(net(Sub(), first, second)))
    assert [node.op.name for node in graph.nodes] == ["TANH", "CHAIN"]
    assert str(graph.nodes[1].op) == "MUL + SUB@1"


def test_what_several_read_is_not_chained() -> None:
    net = Net()
    t = net(Tanh(), floats(net, 5))
    assert_unchanged(fuse_elementwise, net.graph(net(Mul(), t, t)))
    net = Net()
    t = net(Tanh(), floats(net, 5))
    assert_unchanged(fuse_elementwise, net.graph(net(LeakyRelu(0.5), t), t))


def test_a_smaller_result_is_not_chained() -> None:
    net = Net()
    x, y = floats(net, 1, 4), floats(net, 3, 4, name="y")
    assert_unchanged(fuse_elementwise, net.graph(net(Mul(), net(Tanh(), x), y)))


def test_quantized_and_unknown_functions_are_not_chained() -> None:
    net = Net()
    x = net.input(3, 4)
    assert_unchanged(
        fuse_elementwise, net.graph(net(Tanh(), net(Add(), x, x, quant=SAME), quant=SAME))
    )
    net = Net()
    a, b = (floats(net, 5, name=n) for n in "ab")
    assert_unchanged(fuse_elementwise, net.graph(net(Tanh(), net(Atan2(), a, b))))
    net = Net()
    h = floats(net, 5, dtype=DType.FLOAT16)
    assert_unchanged(fuse_elementwise, net.graph(net(Tanh(), net(Tanh(), h))))


def test_chains_have_an_end() -> None:
    net = Net()
    y = floats(net, 5)
    for _ in range(MAX_STAGES + 3):
        y = net(Tanh(), y)
    graph = check(fuse_elementwise, net.graph(y))
    assert [len(n.op.tail) + 1 for n in graph.nodes if isinstance(n.op, Chain)] == [MAX_STAGES, 3]
    net = Net()
    y = floats(net, 5)
    for i in range(MAX_INPUTS + 1):
        y = net(Add(), y, floats(net, 5, name=f"x{i}"))
    first, second = check(fuse_elementwise, net.graph(y)).nodes
    assert len(first.inputs) == MAX_INPUTS
    assert len(second.inputs) == 3


# fuse_dilation


def sandwich(
    net: Net,
    x: Value,
    conv: Op,
    block: tuple[int, ...] = (2, 3),
    pads: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
    crops: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
) -> Value:
    count = 1 if isinstance(conv, DepthwiseConv2D) else 4
    w = net.constant(count, 3, 3, x.type.shape[3], quant=WEIGHTS)
    y = net(SpaceToBatchNd(block, pads), x, origin="s")
    y = net(conv, y, w, origin="c")
    return net(BatchToSpaceNd(block, crops), y, name="y", origin="b")


@pytest.mark.parametrize("op", [Conv2D, DepthwiseConv2D])
def test_a_convolution_of_blocks_is_dilated(op: type[Conv2D] | type[DepthwiseConv2D]) -> None:
    net = Net()
    y = sandwich(net, net.input(2, 8, 12, 2), op(padding=(1, 1, 0, 1)))
    (node,) = check(fuse_dilation, net.graph(y)).nodes
    assert isinstance(node.op, Conv2D | DepthwiseConv2D)
    assert node.op.dilation == (2, 3)
    assert node.op.padding == (2, 2, 0, 3)
    assert node.origin == "s+c+b"


def test_paddings_and_crops_become_padding() -> None:
    net = Net()
    pads, crops = ((4, 5), (3, 5)), ((2, 1), (0, 2))
    conv = Conv2D(dilation=(2, 1))
    y = sandwich(net, net.input(1, 9, 10, 2), conv, (2, 3), pads, crops)
    (node,) = check(fuse_dilation, net.graph(y)).nodes
    assert isinstance(node.op, Conv2D)
    assert node.op.dilation == (4, 3)
    assert node.op.padding == (2, 4, 3, 3)


def test_other_blocks_stay() -> None:
    image = (2, 8, 12, 2)
    for conv, crops in ((Conv2D(), ((1, 0), (0, 0))), (Conv2D((2, 2)), ((0, 0), (0, 0)))):
        net = Net()
        y = sandwich(net, net.input(*image), conv, (2, 2), crops=crops)
        assert_unchanged(fuse_dilation, net.graph(y))
    net = Net()
    x = net(SpaceToBatchNd((2, 2), ((0, 0), (0, 0))), net.input(*image))
    y = net(Conv2D(), x, net.constant(4, 3, 3, 2, quant=WEIGHTS))
    joined = net(BatchToSpaceNd((4, 1), ((0, 0), (0, 0))), y)
    assert_unchanged(fuse_dilation, net.graph(joined))
    assert_unchanged(fuse_dilation, net.graph(y, net(BatchToSpaceNd((2, 2), ((0, 0), (0, 0))), y)))
    net = Net()
    x = net.input(*image, quant=Q(0.05, 3))
    assert_unchanged(fuse_dilation, net.graph(net(BatchToSpaceNd((1, 2), ((0, 0), (0, 0))), x)))


def test_hybrid_convolutions_of_blocks_stay() -> None:
    """Each block of floats is quantized by itself."""
    net = Net()
    x = net.input(2, 8, 12, 2, dtype=DType.FLOAT32, quant=None)
    assert_unchanged(fuse_dilation, net.graph(sandwich(net, x, Conv2D(padding=(1, 1, 0, 1)))))


def test_every_chained_operator_has_a_kernel() -> None:
    known = [getattr(ops, name) for name in ops.__all__]
    classes = [c for c in known if isinstance(c, type) and issubclass(c, CHAINED) and c.name]
    assert ops.BitwiseAnd in classes
    assert ops.Erf in classes
    assert [c for c in classes if c not in FUNCTIONS and not issubclass(c, APART)] == []
