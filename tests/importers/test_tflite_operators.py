"""Each operator of a file, imported and run by its reference, gives LiteRT's result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arithmetic_cases
import moving_cases
import numpy as np
import product_cases
import pytest
import tflite
from tflite_files import I8, I32, U8, Case, bias, ints, quantized, real, weights

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Graph, TensorType, verify
from edgewise.importers import load
from edgewise.importers.tflite_ops import OPERATORS
from edgewise.ops import Activation
from tflite_builder import Tensor, run_litert

SAME, VALID = 0, 1
IMAGE = quantized((1, 9, 7, 4))


def product(
    builtin: str, x: TensorType, w: Tensor, shape: Sequence[int], options: str, **fields: Any
) -> Case:
    channels = shape[-1]
    inputs = [Tensor(x), w, bias(x, w, channels)]
    return Case(builtin, inputs, [quantized(shape, x.dtype, 0.2, 5)], options, fields)


def conv(shape: Sequence[int], *, options: str = "Conv2DOptions", **fields: Any) -> Case:
    return product("CONV_2D", IMAGE, weights((6, 3, 3, 4), axis=0), shape, options, **fields)


def depthwise(shape: Sequence[int], multiplier: int, **fields: Any) -> Case:
    w = weights((1, 3, 2, 4 * multiplier), axis=3)
    fields = {"DepthMultiplier": multiplier, **fields}
    return product("DEPTHWISE_CONV_2D", IMAGE, w, shape, "DepthwiseConv2DOptions", **fields)


def transpose_conv(shape: Sequence[int], **fields: Any) -> Case:
    x, w = quantized((1, 4, 3, 2)), weights((5, 3, 3, 2), axis=0)
    inputs = [ints(*shape), w, Tensor(x), bias(x, w, 5)]
    out = quantized(shape, I8, 0.2, 5)
    return Case("TRANSPOSE_CONV", inputs, [out], "TransposeConvOptions", fields)


def dense(x: TensorType, shape: Sequence[int], **fields: Any) -> Case:
    return product("FULLY_CONNECTED", x, weights((6, 8)), shape, "FullyConnectedOptions", **fields)


def pool(builtin: str, shape: Sequence[int], **fields: Any) -> Case:
    fields = {"FilterHeight": 3, "FilterWidth": 2, **fields}
    return Case(builtin, [Tensor(IMAGE)], [quantized(shape)], "Pool2DOptions", fields)


def one(builtin: str, out: TensorType, options: str = "", **fields: Any) -> Case:
    return Case(builtin, [Tensor(quantized((2, 5)))], [out], options, fields)


def moved(
    builtin: str,
    x: Sequence[int],
    y: Sequence[int],
    *operands: Tensor,
    options: str = "",
    **fields: Any,
) -> Case:
    return Case(
        builtin, [Tensor(quantized(x)), *operands], [quantized(y)], options, fields, tolerance=0
    )


def sliced(
    y: Sequence[int], begin: list[int], end: list[int], strides: list[int], **masks: int
) -> Case:
    operands = ints(begin), ints(end), ints(strides)
    return moved("STRIDED_SLICE", (3, 4, 5), y, *operands, options="StridedSliceOptions", **masks)


def split(axis: int) -> Case:
    x = Tensor(quantized((2, 6, 3)))
    return Case(
        "SPLIT", [ints([axis]), x], [quantized((2, 2, 3))] * 3, "SplitOptions", {"NumSplits": 3}, 0
    )


def scalar(value: int) -> Tensor:
    return Tensor(quantized(()), np.array(value, np.int8))


PADS = ints([[0, 0], [1, 2], [0, 1], [0, 0]])
STRIDES = {"StrideH": 2, "StrideW": 3}
ONES = {"StrideH": 1, "StrideW": 1}

CASES: dict[str, Case] = {
    **arithmetic_cases.CASES,
    **moving_cases.CASES,
    **product_cases.CASES,
    "conv same": conv((1, 5, 3, 6), **STRIDES),
    "conv valid": conv((1, 4, 2, 6), Padding=VALID, **STRIDES),
    "conv dilated": conv((1, 9, 7, 6), DilationHFactor=2, DilationWFactor=3, **ONES),
    "conv relu": conv((1, 9, 7, 6), FusedActivationFunction=1, **ONES),
    "conv relu6": conv((1, 9, 7, 6), FusedActivationFunction=3, **ONES),
    "conv uint8": product(
        "CONV_2D",
        quantized((1, 9, 7, 4), U8, 0.05, 128),
        weights((6, 3, 3, 4), dtype=U8),
        (1, 9, 7, 6),
        "Conv2DOptions",
        **ONES,
    ),
    "depthwise same": depthwise((1, 5, 4, 4), 1, StrideH=2, StrideW=2),
    "depthwise multiplier": depthwise((1, 7, 6, 8), 2, Padding=VALID, **ONES),
    "depthwise dilated": depthwise((1, 9, 7, 4), 1, DilationHFactor=2, DilationWFactor=3, **ONES),
    "transpose conv same": transpose_conv((1, 8, 6, 5), StrideH=2, StrideW=2),
    "transpose conv odd": transpose_conv((1, 7, 5, 5), StrideH=2, StrideW=2),
    "transpose conv valid": transpose_conv((1, 9, 7, 5), Padding=VALID, StrideH=2, StrideW=2),
    "dense": dense(quantized((3, 8)), (3, 6)),
    "dense flattened": dense(quantized((2, 2, 4)), (2, 6)),
    "dense keeps dims": dense(quantized((2, 3, 8)), (2, 3, 6), KeepNumDims=True),
    "dense without bias": Case(
        "FULLY_CONNECTED",
        [Tensor(quantized((3, 8))), weights((6, 8))],
        [quantized((3, 6), I8, 0.2)],
        "FullyConnectedOptions",
    ),
    "dense bias left out": Case(
        "FULLY_CONNECTED",
        [Tensor(quantized((3, 8))), weights((6, 8)), None],
        [quantized((3, 6), I8, 0.2)],
        "FullyConnectedOptions",
    ),
    "add": Case(
        "ADD",
        [Tensor(quantized((2, 5))), Tensor(quantized((5,), I8, 0.02, -9))],
        [quantized((2, 5), I8, 0.07, 11)],
        "AddOptions",
        {"FusedActivationFunction": 1},
    ),
    "sub": Case(
        "SUB",
        [Tensor(quantized((2, 5))), Tensor(quantized((2, 1), I8, 0.02, -9))],
        [quantized((2, 5), I8, 0.07, 11)],
        "SubOptions",
    ),
    "mul": Case(
        "MUL",
        [Tensor(quantized((2, 5))), Tensor(quantized((2, 5), I8, 0.02, -9))],
        [quantized((2, 5), I8, 0.1, 11)],
        "MulOptions",
        {"FusedActivationFunction": 3},
    ),
    "average pool same": pool("AVERAGE_POOL_2D", (1, 5, 3, 4), **STRIDES),
    "average pool valid": pool("AVERAGE_POOL_2D", (1, 4, 2, 4), Padding=VALID, **STRIDES),
    "max pool same": pool("MAX_POOL_2D", (1, 5, 3, 4), FusedActivationFunction=1, **STRIDES),
    "max pool valid": pool("MAX_POOL_2D", (1, 7, 6, 4), Padding=VALID, **ONES),
    "mean": Case(
        "MEAN", [Tensor(IMAGE), ints(1, -2)], [quantized((1, 4), I8, 0.02, 1)], "ReducerOptions"
    ),
    "mean keeps dims": Case(
        "MEAN",
        [Tensor(IMAGE), ints([2])],
        [quantized((1, 9, 1, 4), I8, 0.02, 1)],
        "ReducerOptions",
        {"KeepDims": True},
    ),
    "arg max": Case(
        "ARG_MAX",
        [Tensor(IMAGE), ints([-1])],
        [TensorType((1, 9, 7), DType.INT64)],
        "ArgMaxOptions",
        {"OutputType": tflite.TensorType.INT64},
        0,
    ),
    "softmax": one("SOFTMAX", quantized((2, 5), I8, 1 / 256, -128), "SoftmaxOptions", Beta=1.5),
    "logistic": one("LOGISTIC", quantized((2, 5), I8, 1 / 256, -128)),
    "tanh": one("TANH", quantized((2, 5), I8, 1 / 128, 0)),
    "relu": one("RELU", quantized((2, 5), I8, 0.03, -100)),
    "relu6": one("RELU6", quantized((2, 5), I8, 0.03, -100)),
    "relu -1 to 1": one("RELU_N1_TO_1", quantized((2, 5))),
    "leaky relu": one("LEAKY_RELU", quantized((2, 5), I8, 0.04), "LeakyReluOptions", Alpha=0.25),
    "hard swish": one("HARD_SWISH", quantized((2, 5), I8, 0.04), "HardSwishOptions"),
    "requantize": one("QUANTIZE", quantized((2, 5), U8, 0.06, 120), "QuantizeOptions"),
    "dequantize": one("DEQUANTIZE", real(2, 5), "DequantizeOptions"),
    "quantize": Case("QUANTIZE", [Tensor(real(2, 5))], [quantized((2, 5))], "QuantizeOptions"),
    "pad": moved("PAD", (1, 3, 3, 2), (1, 6, 4, 2), PADS),
    "pad with a value": moved("PADV2", (1, 3, 3, 2), (1, 6, 4, 2), PADS, scalar(-7)),
    "concatenation": Case(
        "CONCATENATION",
        [Tensor(quantized((2, 5))), Tensor(quantized((2, 3)))],
        [quantized((2, 8))],
        "ConcatenationOptions",
        {"Axis": -1},
        0,
    ),
    "reshape": moved("RESHAPE", (2, 6), (3, 4), ints(3, -1)),
    "reshape by option": moved(
        "RESHAPE", (2, 6), (3, 4), options="ReshapeOptions", NewShape=[3, -1]
    ),
    "reshape to a scalar": moved("RESHAPE", (1, 1), (), options="ReshapeOptions", NewShape=[0]),
    "squeeze": moved(
        "SQUEEZE", (1, 3, 1, 2), (1, 3, 2), options="SqueezeOptions", SqueezeDims=[-2]
    ),
    "squeeze all": moved("SQUEEZE", (1, 3, 1, 2), (3, 2), options="SqueezeOptions"),
    "transpose": moved("TRANSPOSE", (2, 3, 4), (4, 2, 3), ints(2, 0, 1)),
    "slice": sliced((2, 2, 2), [1, 0, 1], [3, 4, 4], [1, 2, 2]),
    "slice backwards": sliced((3, 4, 2), [-1, 3, 4], [-4, -5, 0], [-1, -1, -2]),
    "slice by masks": sliced(
        (2, 2, 5), [9, 1, 9], [2, 9, 9], [1, 2, 1], BeginMask=0b101, EndMask=0b110
    ),
    "slice backwards by masks": sliced(
        (3, 2, 5), [9, 9, 0], [9, 1, 5], [-1, -1, 1], BeginMask=3, EndMask=1
    ),
    "slice shrinks": sliced((4,), [2, 0, -1], [3, 4, 5], [1, 1, 1], ShrinkAxisMask=0b101),
    "slice shrinks to the first": sliced(
        (4, 5), [2, 1, 0], [3, 4, 5], [1, 1, 1], ShrinkAxisMask=1, BeginMask=3, EndMask=2
    ),
    "slice few axes": sliced((1, 4, 5), [1], [2], [1]),
    "slice ellipsis": sliced((3, 4, 2), [9, 1], [9, 3], [1, 1], EllipsisMask=1),
    "slice ellipsis inside": sliced((1, 4, 3), [1, 9, 2], [2, 9, 5], [1, 1, 1], EllipsisMask=2),
    "slice new axis": sliced((1, 2, 4, 5), [0, 1], [0, 3], [1, 1], NewAxisMask=1),
    "slice all masks": sliced(
        (4, 1, 2),
        [1, 0, 9, 1],
        [2, 0, 0, 3],
        [1, 1, 1, 1],
        ShrinkAxisMask=1,
        NewAxisMask=4,
        EllipsisMask=2,
    ),
    "split": split(1),
    "split from the end": split(-2),
    "pack": Case(
        "PACK",
        [Tensor(quantized((2, 5))), Tensor(quantized((2, 5)))],
        [quantized((2, 5, 2))],
        "PackOptions",
        {"ValuesCount": 2, "Axis": -1},
        0,
    ),
    "unpack": Case(
        "UNPACK",
        [Tensor(quantized((2, 3)))],
        [quantized((2,))] * 3,
        "UnpackOptions",
        {"Num": 3, "Axis": -1},
        0,
    ),
    "resize bilinear": moved(
        "RESIZE_BILINEAR",
        (1, 3, 4, 2),
        (1, 6, 8, 2),
        ints(6, 8),
        options="ResizeBilinearOptions",
        HalfPixelCenters=True,
    )._replace(tolerance=1),
    "resize bilinear corners": moved(
        "RESIZE_BILINEAR",
        (1, 3, 4, 2),
        (1, 5, 7, 2),
        ints(5, 7),
        options="ResizeBilinearOptions",
        AlignCorners=True,
    )._replace(tolerance=1),
    "resize nearest": moved(
        "RESIZE_NEAREST_NEIGHBOR",
        (1, 3, 4, 2),
        (1, 5, 7, 2),
        ints(5, 7),
        options="ResizeNearestNeighborOptions",
        HalfPixelCenters=True,
    ),
}


def run(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    values = dict(zip(graph.inputs, arrays, strict=True))
    values.update((state.before, state.initial) for state in graph.states)
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    return [values[v] if v.data is None else v.data for v in graph.outputs]


@pytest.mark.parametrize("name", CASES)
def test_operator_gives_litert_s_result(name: str) -> None:
    case = CASES[name]
    content = case.file()
    graph = load(content)
    verify(graph)
    rng = np.random.default_rng(7)
    arrays = []
    for value in graph.inputs:
        t = value.type
        arrays.append(case.data(rng, t))
    results, expected = run(graph, arrays), run_litert(content, arrays)
    for mine, peer in zip(results, expected, strict=True):
        assert (mine.shape, mine.dtype) == (peer.shape, peer.dtype)
        if case.tolerance == 0:
            np.testing.assert_array_equal(mine, peer)
            continue
        wide = np.complex128 if mine.dtype.kind == "c" else np.float64
        difference = np.abs(mine.astype(wide) - peer.astype(wide))
        assert difference.max() <= case.tolerance


ELSEWHERE = {
    "ASSIGN_VARIABLE": "test_tflite_control.py",
    "CALL": "test_tflite_control.py",
    "CALL_ONCE": "test_tflite_control.py",
    "DENSIFY": "test_tflite_stored_types.py",
    "HASHTABLE": "test_tflite_control.py",
    "HASHTABLE_FIND": "test_tflite_control.py",
    "HASHTABLE_IMPORT": "test_tflite_control.py",
    "HASHTABLE_SIZE": "test_tflite_control.py",
    "IF": "test_tflite_control.py",
    "READ_VARIABLE": "test_tflite_control.py",
    "STABLEHLO_CASE": "test_stablehlo.py",
    "STABLEHLO_COMPOSITE": "test_stablehlo.py",
    "STABLEHLO_REDUCE_WINDOW": "test_stablehlo.py",
    "STABLEHLO_SCATTER": "test_stablehlo.py",
    "VAR_HANDLE": "test_tflite_control.py",
    "WHILE": "test_tflite_control.py",
}
"""Operators that no file of one operator shows, and where they are tested."""


def test_every_operator_has_a_case() -> None:
    shown = {case.builtin for case in CASES.values()} | set(ELSEWHERE)
    assert {row.name for row in OPERATORS.values()} == shown
    for name, file in ELSEWHERE.items():
        folder = Path(__file__).parent
        text = (folder / file).read_text() + (folder.parent / "tflite_networks.py").read_text()
        assert name in text, name


def test_attributes() -> None:
    """What the results above cannot show, in one file of each kind."""
    (node,) = load(CASES["conv same"].file()).nodes
    assert node.op == ops.Conv2D(stride=(2, 3), padding=(1, 1, 1, 1))
    assert node.macs == 5 * 3 * 6 * 3 * 3 * 4
    (node,) = load(CASES["conv relu6"].file()).nodes
    assert node.op.activation is Activation.RELU6
    (node,) = load(CASES["squeeze"].file()).nodes
    assert node.op == ops.Squeeze((2,))
    (node,) = load(CASES["pad with a value"].file()).nodes
    assert node.op == ops.Pad(((0, 0), (1, 2), (0, 1), (0, 0)), -7)
    slice_, reshape = load(CASES["slice all masks"].file()).nodes
    assert slice_.op == ops.StridedSlice((1, 0, 1), (1, 4, 2), (1, 1, 1), (0,))
    assert reshape.op == ops.Reshape((4, 1, 2))
    assert I32 not in {v.type.dtype for v in (*slice_.inputs, *reshape.inputs)}
