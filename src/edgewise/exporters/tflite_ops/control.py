"""Control flow: operators that refer to other subgraphs."""

from __future__ import annotations

from ... import ops
from ...graph import Node
from ..tflite_call import Row, Written


def if_(op: ops.If, node: Node) -> Written:
    fields = {"ThenSubgraphIndex": op.then, "ElseSubgraphIndex": op.otherwise}
    return Written(op.name, node.inputs, "IfOptions", fields)


def while_(op: ops.While, node: Node) -> Written:
    fields = {"CondSubgraphIndex": op.test, "BodySubgraphIndex": op.body}
    return Written(op.name, node.inputs, "WhileOptions", fields)


ROWS: dict[type[ops.Op], Row] = {ops.If: if_, ops.While: while_}
