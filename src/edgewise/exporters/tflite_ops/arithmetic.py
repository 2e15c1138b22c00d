"""Arithmetic: elementwise, reductions, normalisations, conversions."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...graph import Node
from ...importers.tflite_ops.arithmetic import BINARY, REDUCTIONS, UNARY
from ..tflite_call import TYPES, Row, Written, activation, ints, plain, scalar


def sum_(op: Any, node: Node) -> Written:
    fields = {
        "FusedActivationFunction": activation(op.activation),
        "PotScaleInt16": op.pot_scale_int16,
    }
    return Written(op.name, node.inputs, f"{op.name.title()}Options", fields)


def activated(op: Any, node: Node) -> Written:
    fields = {"FusedActivationFunction": activation(op.activation)}
    return Written(op.name, node.inputs, f"{op.name.title()}Options", fields)


def select(op: ops.Select, node: Node) -> Written:
    return Written("SELECT" if op.rows else "SELECT_V2", node.inputs)


def gelu(op: ops.Gelu, node: Node) -> Written:
    return Written(op.name, node.inputs, "GeluOptions", {"Approximate": op.approximate})


def leaky_relu(op: ops.LeakyRelu, node: Node) -> Written:
    return Written(op.name, node.inputs, "LeakyReluOptions", {"Alpha": op.alpha})


def cast(op: ops.Cast, node: Node) -> Written:
    fields = {"InDataType": TYPES[node.inputs[0].type.dtype], "OutDataType": TYPES[op.dtype]}
    return Written(op.name, node.inputs, "CastOptions", fields)


def fake_quant(op: ops.FakeQuant, node: Node) -> Written:
    fields = {"Min": op.least, "Max": op.greatest, "NumBits": op.bits, "NarrowRange": op.narrow}
    return Written(op.name, node.inputs, "FakeQuantOptions", fields)


def reduction(op: ops.Reduction, node: Node) -> Written:
    inputs = (*node.inputs, ints(*op.axes))
    return Written(op.name, inputs, "ReducerOptions", {"KeepDims": op.keep_dims})


def cumsum(op: ops.Cumsum, node: Node) -> Written:
    fields = {"Exclusive": op.exclusive, "Reverse": op.reverse}
    return Written(op.name, (*node.inputs, scalar(op.axis)), "CumsumOptions", fields)


def arg(op: ops.ArgExtreme, node: Node) -> Written:
    options = "ArgMaxOptions" if isinstance(op, ops.ArgMax) else "ArgMinOptions"
    fields = {"OutputType": TYPES[op.dtype]}
    return Written(op.name, (*node.inputs, scalar(op.axis)), options, fields)


def softmax(op: ops.Softmax, node: Node) -> Written:
    return Written(op.name, node.inputs, "SoftmaxOptions", {"Beta": op.beta})


def l2_normalization(op: ops.L2Normalization, node: Node) -> Written:
    return Written(op.name, node.inputs, "L2NormOptions")


def local_response_normalization(op: ops.LocalResponseNormalization, node: Node) -> Written:
    fields = {"Radius": op.radius, "Bias": op.bias, "Alpha": op.alpha, "Beta": op.beta}
    return Written(op.name, node.inputs, "LocalResponseNormalizationOptions", fields)


ROWS: dict[type[ops.Op], Row] = {
    **dict.fromkeys((*UNARY, *BINARY), plain),
    **dict.fromkeys(REDUCTIONS, reduction),
    ops.Add: sum_,
    ops.AddN: plain,
    ops.ArgMax: arg,
    ops.ArgMin: arg,
    ops.Bitcast: plain,
    ops.Cast: cast,
    ops.Cumsum: cumsum,
    ops.Div: activated,
    ops.FakeQuant: fake_quant,
    ops.Gelu: gelu,
    ops.L2Normalization: l2_normalization,
    ops.LeakyRelu: leaky_relu,
    ops.LocalResponseNormalization: local_response_normalization,
    ops.Mul: activated,
    ops.Quantize: plain,
    ops.Select: select,
    ops.Softmax: softmax,
    ops.Sub: sum_,
}
