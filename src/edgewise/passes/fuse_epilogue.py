"""What runs in the epilogue of a heavy operator."""

from __future__ import annotations

from dataclasses import replace

from ..dtype import DType
from ..graph import Graph, Node, TensorType, Value
from ..ops import Add, Conv2D, Fused, Op, Stage
from .rewrite import Sweep, fuse_origins, rewrite

EPILOGUES: tuple[tuple[type[Op], type[Op]], ...] = ((Conv2D, Add),)
"""The (head, tail) pairs that the kernels have."""

TAILS = tuple({tail for _, tail in EPILOGUES})


def fuse_epilogue(graph: Graph) -> Graph:
    """Run what alone reads the result of a heavy operator in that operator's epilogue.

    EPILOGUES lists the pairs. All values are 8-bit quantized and of one shape. Where both
    operands could be fused, the one computed last is.

    Given:
        %b = CONV_2D(%a, @w, @bias) : int8[1x8x8x16]
        %c = ADD(%r, %b) : int8[1x8x8x16]
    Result:
        %c = CONV_2D + ADD@1(%a, @w, @bias, %r) : int8[1x8x8x16]
    """
    return rewrite(graph, TAILS, _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    result = node.outputs[0].type
    if not all(_is_image_byte(v.type, result) for v in (*node.inputs, *node.outputs)):
        return None
    candidates = [v for v in dict.fromkeys(node.inputs) if _can_be_head(v, node, sweep)]
    if not candidates:
        return None
    previous = max(candidates, key=sweep.position)
    head = sweep.producers[previous]
    operand = node.inputs.index(previous)
    others = node.inputs[:operand] + node.inputs[operand + 1 :]
    return replace(
        node,
        op=Fused(head.op, (Stage(node.op, previous.type, operand),)),
        inputs=(*head.inputs, *others),
        origin=fuse_origins(head, node),
    )


def _is_image_byte(t: TensorType, result: TensorType) -> bool:
    eight_bit = t.dtype in (DType.UINT8, DType.INT8) and t.quant is not None
    return eight_bit and t.shape == result.shape


def _can_be_head(value: Value, node: Node, sweep: Sweep) -> bool:
    head = sweep.producer(value)
    if head is None or node.inputs.count(value) != 1 or not sweep.has_one_user(value):
        return False
    return (type(head.op), type(node.op)) in EPILOGUES
