"""Operators of ONNX Runtime's own domain, com.microsoft, that its optimizer and quantizer write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..onnx_call import Argument, Call, Row
from . import operators
from .quantization import affine, dequantized, quantized
from .quantized import OPERATORS as STANDARD
from .quantized import UINT8, bias_of_steps, matmul_integer


def standard(call: Call, op_type: str, *inputs: Value) -> Value:
    """The result of an operator of the standard domain that has the node's attributes."""
    opset = call.reading.opsets.get("", 13)
    inner = Call(call.reading, op_type, opset, inputs, call.outputs[:1], call.attributes)
    found = operators()[op_type].read(inner)
    first = found if isinstance(found, Value) else found[0]
    assert isinstance(first, Value)
    return first


def _operand(call: Call, i: int) -> Value:
    """The real numbers of input ``i``, whose scale and zero point are the next two."""
    x = call.value(i)
    return dequantized(call, x, affine(call, i + 1, len(x.type.shape), 0))


def _result(call: Call, y: Value, scale: int) -> Value:
    """``y`` quantized by the input ``scale`` and the next."""
    code = call.code(scale + 1) if call.has(scale + 1) else UINT8
    return quantized(call, y, affine(call, scale, len(y.type.shape), 0), code)


def qlinear(op_type: str, count: int) -> Callable[[Call], Value]:
    """An operator of ``count`` quantized operands, each with scale and zero point."""

    def read(call: Call) -> Value:
        if call.flag("channels_last"):
            raise call.unsupported("channels_last")
        y = standard(call, op_type, *(_operand(call, 3 * i) for i in range(count)))
        return _result(call, y, 3 * count)

    return read


def qlinear_concat(call: Call) -> Value:
    """Its inputs begin with the result's scale and zero point."""
    if len(call.inputs) % 3 != 2:
        raise call.error(f"{len(call.inputs)} inputs; two, and three for each operand")
    parts = [_operand(call, i) for i in range(2, len(call.inputs), 3)]
    return _result(call, standard(call, "Concat", *parts), 0)


def qgemm(call: Call) -> Value:
    """alpha * a * b + c, where c is int32 in steps of alpha * both scales."""
    a, b = _operand(call, 0), _weights(call)
    extra = []
    if call.has(6):
        steps = bias_of_steps(call, call.value(6), call.value(1), call.value(4))
        alpha = call.real("alpha", 1.0)
        if alpha != 1.0:
            steps = call.one(ops.Mul(), steps, call.number(alpha, steps))
        extra.append(steps)
    y = standard(call, "Gemm", a, b, *extra)
    return _result(call, y, 7) if call.has(7) else y


def _weights(call: Call) -> Value:
    w = call.value(3)
    return dequantized(call, w, affine(call, 4, 2, 0 if call.flag("transB") else 1))


def matmul_integer_to_float(call: Call) -> Value:
    """(a - za) * (b - zb) * scales + bias; inputs are a, b, both scales, both zero points."""
    product = matmul_integer(call, 4)
    y = call.one(ops.Cast(DType.FLOAT32), product)
    y = call.one(ops.Mul(), y, call.one(ops.Mul(), call.value(2), call.value(3)))
    return call.one(ops.Add(), y, call.value(6)) if call.has(6) else y


def fused_conv(call: Call) -> Value:
    given = [call.value(i) for i in range(3) if i < 2 or call.has(i)]
    y = standard(call, "Conv", *given)
    if call.has(3):
        y = call.one(ops.Add(), y, call.value(3))
    activation = call.text("activation", "")
    if not activation:
        return y
    parameters = call.reals("activation_params", ())
    match activation, parameters:
        case ("Relu", _):
            return call.one(ops.Relu(), y)
        case ("Sigmoid", _):
            return call.one(ops.Logistic(), y)
        case ("Tanh", _):
            return call.one(ops.Tanh(), y)
        case ("LeakyRelu", (alpha,)):
            return call.one(ops.LeakyRelu(alpha), y)
        case ("Clip", (least, greatest)):
            y = call.one(ops.Maximum(), y, call.number(least, y))
            return call.one(ops.Minimum(), y, call.number(greatest, y))
    raise call.unsupported(f"activation {activation!r} of {list(parameters)}")


def fused_matmul(call: Call) -> Value:
    """alpha * a * b, each transposed if told."""
    if call.flag("transBatchA") or call.flag("transBatchB"):
        raise call.unsupported("transBatchA, transBatchB")
    operands = []
    for i, name in enumerate(("transA", "transB")):
        rank = call.rank(i)
        perm = [*range(rank - 2), rank - 1, rank - 2] if rank > 1 else [0]
        x = call.value(i)
        operands.append(call.b.transpose(x, perm) if call.flag(name) else x)
    y, alpha = standard(call, "MatMul", *operands), call.real("alpha", 1.0)
    return y if alpha == 1.0 else call.one(ops.Mul(), y, call.number(alpha, y))


def gelu(approximate: bool) -> Callable[[Call], Value]:
    """Gelu of x, or of x + bias."""

    def read(call: Call) -> Value:
        x = call.value(0)
        if call.has(1):
            x = call.one(ops.Add(), x, call.value(1))
        return call.one(ops.Gelu(approximate), x)

    return read


def quick_gelu(call: Call) -> Value:
    """x * sigmoid(alpha * x)"""
    x = call.value(0)
    scaled = call.one(ops.Mul(), x, call.number(call.real("alpha", 1.702), x))
    return call.one(ops.Mul(), x, call.one(ops.Logistic(), scaled))


def skip_layer_normalization(call: Call) -> Sequence[Argument]:
    """LayerNormalization of x + skip + bias; the last output is that sum."""
    total = call.one(ops.Add(), call.value(0), call.value(1))
    if call.has(4):
        total = call.one(ops.Add(), total, call.value(4))
    beta = [call.value(3)] if call.has(3) else []
    if call.wants(1) or call.wants(2):
        raise call.unsupported("mean and inverse deviation as outputs")
    y = standard(call, "LayerNormalization", total, call.value(2), *beta)
    return y, None, None, total


OPERATORS: dict[str, Row] = {
    "BiasGelu": Row(gelu(False), (2, 2)),
    "DequantizeLinear": STANDARD["DequantizeLinear"],
    "FastGelu": Row(gelu(True), (1, 2)),
    "FusedConv": Row(fused_conv, (2, 4)),
    "FusedMatMul": Row(fused_matmul, (2, 2)),
    "Gelu": Row(gelu(False)),
    "MatMulIntegerToFloat": Row(matmul_integer_to_float, (4, 7), quantized=True),
    "QGemm": Row(qgemm, (6, 9), quantized=True),
    "QLinearAdd": Row(qlinear("Add", 2), (7, 8), quantized=True),
    "QLinearAveragePool": Row(qlinear("AveragePool", 1), (4, 5), quantized=True),
    "QLinearConcat": Row(qlinear_concat, (5, 4096), quantized=True),
    "QLinearGlobalAveragePool": Row(qlinear("GlobalAveragePool", 1), (4, 5), quantized=True),
    "QLinearLeakyRelu": Row(qlinear("LeakyRelu", 1), (4, 5), quantized=True),
    "QLinearMul": Row(qlinear("Mul", 2), (7, 8), quantized=True),
    "QLinearSigmoid": Row(qlinear("Sigmoid", 1), (4, 5), quantized=True),
    "QLinearSoftmax": Row(qlinear("Softmax", 1), (4, 5), quantized=True),
    "QuantizeLinear": STANDARD["QuantizeLinear"],
    "QuickGelu": Row(quick_gelu),
    "SkipLayerNormalization": Row(skip_layer_normalization, (3, 5)),
}
