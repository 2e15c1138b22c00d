"""What runs in the epilogue of a heavy operator."""

from __future__ import annotations

from dataclasses import replace

from ..dtype import DType
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    Fused,
    HardSwish,
    LeakyRelu,
    Op,
    PRelu,
    Rounding,
    Stage,
)
from .requantization import rounding_of
from .rewrite import Sweep, fuse_origins, rewrite

EPILOGUES: tuple[tuple[type[Op], type[Op]], ...] = ((Conv2D, Add),)
"""The (head, tail) pairs that the kernels have, for 8-bit and for float32 values."""

REAL_EPILOGUES: tuple[tuple[type[Op], type[Op]], ...] = (
    (DepthwiseConv2D, Add),
    (DepthwiseConv2D, HardSwish),
    (DepthwiseConv2D, LeakyRelu),
    (DepthwiseConv2D, PRelu),
    (Conv2D, HardSwish),
    (Conv2D, LeakyRelu),
    (Conv2D, PRelu),
)
"""Those for float32 values alone. Several tails of float32 may follow one head."""

TAILS = tuple({tail for _, tail in (*EPILOGUES, *REAL_EPILOGUES)})


def fuse_epilogue(graph: Graph) -> Graph:
    """Run what alone reads the result of a heavy operator in that operator's epilogue.

    EPILOGUES and REAL_EPILOGUES list the pairs. All computed values are 8-bit quantized or float32,
    and of one shape; the slopes of a PRELU are constants, one or one a channel. Where both operands
    of an ADD could be fused, the one computed last is.

    Given:
        %b = CONV_2D(%a, @w, @bias) : int8[1x8x8x16]
        %c = ADD(%r, %b) : int8[1x8x8x16]
    Result:
        %c = CONV_2D + ADD@1(%a, @w, @bias, %r) : int8[1x8x8x16]
    """
    return rewrite(graph, TAILS, _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    if rounding_of(node.op) not in (None, Rounding.FLOAT):
        return None
    result = node.outputs[0].type
    others = node.inputs
    if isinstance(node.op, PRelu):
        if not _is_slope(node.inputs[1], result):
            return None
        others = node.inputs[:1]
    if not all(_is_image(v.type, result) for v in (*others, *node.outputs)):
        return None
    candidates = [v for v in dict.fromkeys(others) if _can_be_head(v, node, sweep)]
    if not candidates:
        return None
    previous = max(candidates, key=sweep.position)
    head = sweep.producers[previous]
    operand = node.inputs.index(previous)
    rest = node.inputs[:operand] + node.inputs[operand + 1 :]
    stage = Stage(node.op, previous.type, operand)
    if isinstance(head.op, Fused):
        op = Fused(head.op.head, (*head.op.tail, stage))
    else:
        op = Fused(head.op, (stage,))
    return replace(node, op=op, inputs=(*head.inputs, *rest), origin=fuse_origins(head, node))


def _is_image(t: TensorType, result: TensorType) -> bool:
    eight_bit = t.dtype in (DType.UINT8, DType.INT8) and t.quant is not None
    return (eight_bit or t.dtype is DType.FLOAT32) and t.shape == result.shape


def _is_slope(value: Value, result: TensorType) -> bool:
    size, shape = value.type.size, value.type.shape
    return value.is_constant and (size == 1 or size == shape[-1] == result.shape[-1])


def _can_be_head(value: Value, node: Node, sweep: Sweep) -> bool:
    head = sweep.producer(value)
    if head is None or node.inputs.count(value) != 1 or not sweep.has_one_user(value):
        return False
    pairs, before = EPILOGUES, head.op
    if value.type.dtype is DType.FLOAT32:
        pairs = (*EPILOGUES, *REAL_EPILOGUES)
        before = before.head if isinstance(before, Fused) else before
    return (type(before), type(node.op)) in pairs
