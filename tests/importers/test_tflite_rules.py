"""Rules of files, tensors and quantization: a convolution that breaks one is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as litert_schema
from tflite_files import (
    conv,
    edit,
)

from edgewise.errors import ModelError, UnsupportedError
from edgewise.graph import verify
from edgewise.importers import load

Change = Callable[[Any], object]
X, W, B, Y = range(4)
"""The tensors of ``conv()``: image, weights, bias, result."""


def tensor(index: int, **fields: Any) -> Change:
    """Set fields of a tensor of subgraph 0."""
    return lambda model: vars(model.subgraphs[0].tensors[index]).update(fields)


def quant(index: int, **fields: Any) -> Change:
    """Set fields of a tensor's quantization."""
    return lambda model: vars(model.subgraphs[0].tensors[index].quantization).update(fields)


def operator(**fields: Any) -> Change:
    return lambda model: vars(model.subgraphs[0].operators[0]).update(fields)


def options(**fields: Any) -> Change:
    return lambda model: vars(model.subgraphs[0].operators[0].builtinOptions).update(fields)


def graph(**fields: Any) -> Change:
    return lambda model: vars(model.subgraphs[0]).update(fields)


def buffer(index: int, **fields: Any) -> Change:
    return lambda model: vars(model.buffers[index]).update(fields)


def code(**fields: Any) -> Change:
    return lambda model: vars(model.operatorCodes[0]).update(fields)


def blockwise(model: Any) -> None:
    q = model.subgraphs[0].tensors[X].quantization
    q.detailsType, q.details = 2, litert_schema.BlockwiseQuantizationT()


def sparse(model: Any) -> None:
    model.subgraphs[0].tensors[W].sparsity = litert_schema.SparsityParametersT()


def scales(x: float, w: float, y: float) -> Change:
    def change(model: Any) -> None:
        for index, scale in ((X, x), (W, w), (Y, y)):
            q = model.subgraphs[0].tensors[index].quantization
            q.scale = [scale] * len(q.scale)

    return change


NAN, INF = float("nan"), float("inf")

CHANGES: dict[str, tuple[Change, type[ModelError], str]] = {
    "version": (lambda m: setattr(m, "version", 2), ModelError, "schema version 2; it must be 3"),
    "no subgraph": (
        lambda m: setattr(m, "subgraphs", []),
        ModelError,
        "subgraph 0: the file has 0",
    ),
    "no outputs": (graph(outputs=[]), ModelError, "subgraph 0: it has no outputs"),
    "output index": (graph(outputs=[9]), ModelError, "tensor 9: the file has 4"),
    "negative index": (graph(outputs=[-1]), ModelError, "tensor -1: the file has 4"),
    "input twice": (graph(inputs=[X, X]), ModelError, "'image' is already computed or an input"),
    "constant input": (graph(inputs=[X, W]), ModelError, "input 't1' is a constant"),
    "output never computed": (
        graph(operators=[]),
        ModelError,
        "output 't3' is used before it is computed",
    ),
    "input used before": (
        graph(inputs=[]),
        ModelError,
        "operator 0 CONV_2D: input 'image' is used",
    ),
    "output is input": (
        operator(outputs=[X]),
        ModelError,
        "output 'image' is already computed or an input",
    ),
    "constant output": (tensor(B, shape=[1, 2, 2, 1]), ModelError, "must be"),
    "rank": (tensor(X, shape=[1] * 9), ModelError, "tensor 0 'image': rank 9; at most 8"),
    "dimension 0": (tensor(X, shape=[1, 0, 8, 3]), ModelError, r"\[1, 0, 8, 3\]; every|do not fit"),
    "dimension -1": (tensor(X, shape=[1, -1, 8, 3]), ModelError, "no dimension is negative"),
    "huge tensor": (tensor(X, shape=[2**15, 2**15, 3]), ModelError, "at most 2147483647 bytes"),
    "overflow": (tensor(X, shape=[2**31 - 1] * 8), ModelError, "at most 2147483647 bytes"),
    "variant": (tensor(X, type=14), UnsupportedError, "element type VARIANT is not supported"),
    "handle": (tensor(X, type=13), ModelError, "input 'image' is a handle"),
    "unknown type": (tensor(X, type=99), UnsupportedError, "element type TensorType 99"),
    "variable": (tensor(W, isVariable=True), UnsupportedError, "a variable with a value"),
    "sparse": (sparse, ModelError, "tensor 1 't1': traversal order"),
    "other file": (tensor(W, externalBuffer=1), UnsupportedError, "data in another file"),
    "buffer index": (tensor(W, buffer=9), ModelError, "buffer 9: the file has 3"),
    "buffer size": (
        buffer(1, data=[1, 2]),
        ModelError,
        r"buffer 1 has 2 bytes; int8\[4, 3, 3, 3\] needs 108",
    ),
    "outside buffer": (
        buffer(1, data=None, offset=100, size=2**63),
        ModelError,
        "buffer 1: 9223372036854775808 bytes at byte 100 of a file",
    ),
    "empty weights": (buffer(1, data=None), ModelError, "input 't1' is used before"),
    "operator index": (operator(opcodeIndex=7), ModelError, "operator code 7: the file has 1"),
    "unknown operator": (
        code(builtinCode=51, deprecatedBuiltinCode=51),
        UnsupportedError,
        r"operator 0: DELEGATE version 1 is not supported: \(int8\[1,8,8,3\], .*; "
        "docs/operators.md lists the operators that are",
    ),
    "unknown operator without an input": (
        lambda m: (code(builtinCode=51)(m), operator(inputs=[X, -1])(m)),
        UnsupportedError,
        r"\(int8\[1,8,8,3\], none\) -> ",
    ),
    "future operator": (code(builtinCode=9999), UnsupportedError, "BuiltinOperator 9999 version 1"),
    "custom operator": (
        code(builtinCode=32, deprecatedBuiltinCode=32, customCode="Magic"),
        UnsupportedError,
        "custom operator 'Magic' is not supported",
    ),
    "number of inputs": (operator(inputs=[X]), ModelError, "1 inputs; it takes 2 to 3"),
    "input left out": (
        operator(inputs=[X, -1, B]),
        ModelError,
        "input 1 is left out; it is required",
    ),
    "no operator output": (
        operator(outputs=[]),
        ModelError,
        "operator 0 CONV_2D: it has no outputs",
    ),
    "two operator outputs": (operator(outputs=[Y, X]), ModelError, "2 outputs; it must have 1"),
    "options of another": (
        operator(builtinOptionsType=11, builtinOptions=litert_schema.AddOptionsT()),
        ModelError,
        "options of type 11; it must be 1",
    ),
    "no options": (
        operator(builtinOptionsType=0, builtinOptions=None),
        ModelError,
        r"stride \(0, 0\)",
    ),
    "padding": (options(padding=2), ModelError, r"padding 2; it is 0 \(SAME\) or 1 \(VALID\)"),
    "stride 0": (options(strideW=0), ModelError, r"stride \(1, 0\); both are at least 1"),
    "stride, valid": (options(strideW=-1, padding=1), ModelError, "CONV_2D: stride -1"),
    "activation": (
        options(fusedActivationFunction=4),
        UnsupportedError,
        "fused activation 4; supported are NONE, RELU",
    ),
    "input rank": (tensor(X, shape=[8, 8, 3]), ModelError, "its rank must be 4"),
    "output shape": (
        tensor(Y, shape=[1, 8, 8, 5]),
        ModelError,
        r"output 't3' is declared int8\[1, 8, 8, 5\]; it gives int8\[1, 8, 8, 4\]",
    ),
    "output dtype": (tensor(Y, type=3), ModelError, "it gives int8"),
    "block-wise": (blockwise, UnsupportedError, "block-wise or custom quantization"),
    "scale 0": (quant(X, scale=[0.0]), ModelError, "tensor 0 'image': scale 0.0; a"),
    "scale negative": (
        quant(X, scale=[-1.0]),
        ModelError,
        "scale -1.0; a scale is a positive",
    ),
    "scale nan": (quant(W, scale=[0.1, 0.1, NAN, 0.1]), ModelError, "scale nan; a scale is"),
    "scale infinite": (quant(W, scale=[INF, 0.1, 0.1, 0.1]), ModelError, "scale inf; a scale"),
    "no scale": (
        quant(X, scale=[], zeroPoint=[]),
        ModelError,
        "operator 0 CONV_2D: CONV_2D: input.* is int8",
    ),
    "no output scale": (
        tensor(Y, quantization=None),
        ModelError,
        "it must be quantized with one scale",
    ),
    "number of scales": (
        quant(W, scale=[0.1] * 3, zeroPoint=[0] * 3),
        ModelError,
        "3 scales for shape",
    ),
    "zero points": (quant(X, zeroPoint=[]), ModelError, "1 scales, 0 zero points; must be equal"),
    "zero point range": (
        quant(X, zeroPoint=[128]),
        ModelError,
        "zero points 128 to 128; int8 holds -128 to 127",
    ),
    "quantized dimension": (
        quant(W, quantizedDimension=4),
        ModelError,
        "quantized dimension 4 of 4",
    ),
    "dimension of scales": (
        lambda m: (
            quant(W, quantizedDimension=1)(m),
            quant(W, scale=[0.1] * 3)(m),
            quant(W, zeroPoint=[0] * 3)(m),
        ),
        ModelError,
        "one each of the 4 output channels along axis 0",
    ),
    "scale subnormal": (quant(X, scale=[1e-40]), ModelError, "a scale is a positive, normal"),
    "scale ratio": (scales(1e9, 1e9, 0.01), ModelError, r"output 0.0.*; input \* weights is below"),
    "scale product": (scales(1e20, 1e20, 1e30), ModelError, r"that / output below 2\*\*63"),
    "bias zero point": (quant(B, zeroPoint=[0, 0, 1, 0]), ModelError, "its bias has zero points"),
    "bias scales": (
        quant(B, scale=[0.1] * 3, zeroPoint=[0] * 3),
        ModelError,
        "bias has 3 scales; it has 1, or 4",
    ),
    "bias of int64": (tensor(B, type=4, shape=[2]), ModelError, "bias"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_broken_convolution(name: str) -> None:
    change, kind, message = CHANGES[name]
    with pytest.raises(ModelError, match=message) as caught:
        load(edit(conv(), change))
    assert type(caught.value) is kind


def test_unbroken_convolution_loads() -> None:
    verify(load(edit(conv(), lambda model: None)))
