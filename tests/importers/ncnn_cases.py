"""Single layers of ncnn: what they read, their parameters and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ncnn_files import Net, flagged, one_layer, raw

from edgewise.graph import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A layer of a type, on inputs of these shapes.

    ``weights`` are shapes: a list is behind a flag, a tuple is not. Inputs and weights lie between
    ``low`` and ``high``.
    """

    kind: str
    shapes: tuple[Shape, ...]
    parameters: Mapping[int, Any] = field(default_factory=dict)
    weights: tuple[Any, ...] = ()
    outputs: int = 1
    low: float = -2.0
    high: float = 2.0
    tolerance: float = 1e-5

    def __str__(self) -> str:
        words = [f"{k}={v}" for k, v in self.parameters.items()]
        sizes = ["x".join(map(str, s)) for s in self.shapes]
        return "-".join([self.kind, *sizes, *words]).replace(" ", "")

    def net(self, rng: np.random.Generator) -> Net:
        content = b""
        for shape in self.weights:
            data = rng.uniform(max(self.low, -1.0), min(self.high, 1.0), tuple(shape))
            data = data.astype(np.float32)
            content += flagged(data) if isinstance(shape, list) else raw(data)
        return one_layer(self.kind, self.shapes, self.parameters, content, self.outputs)

    def arrays(self, rng: np.random.Generator) -> list[Array]:
        return [rng.uniform(self.low, self.high, s).astype(np.float32) for s in self.shapes]


RANKS: tuple[Shape, ...] = ((7,), (3, 5), (3, 4, 5), (2, 3, 4, 5))


def over_ranks(kind: str, parameters: Mapping[int, Any] | None = None, **more: Any) -> list[Case]:
    return [Case(kind, (shape,), parameters or {}, **more) for shape in RANKS]


def channels(kind: str, key: int, vectors: int, **more: Any) -> list[Case]:
    """A layer with vectors of one element a channel."""
    return [
        Case(kind, (s,), {key: s[0], **more.pop("extra", {})}, ((s[0],),) * vectors, **more)
        for s in RANKS
    ]


ACTIVATIONS = [
    *over_ranks("AbsVal"),
    *over_ranks("BNLL"),
    *over_ranks("CELU", {0: 1.5}),
    *over_ranks("Clip", {0: -0.5, 1: 0.75}),
    Case("Clip", ((3, 4),), {0: 0.0, 1: 6.0}, low=-9, high=9),
    Case("Clip", ((3, 4),), {0: 0.0}),
    Case("Clip", ((3, 4),), {1: 0.5}),
    Case("Clip", ((3, 4),), {0: 0.0, 1: 1.0}),
    *over_ranks("ELU", {0: 0.7}),
    Case("ELU", ((9,),)),
    Case("ELU", ((9,),), {0: 1.0}),
    *over_ranks("Erf"),
    *over_ranks("Exp"),
    Case("Exp", ((9,),), {0: 2.0, 1: 1.5, 2: -0.5}),
    *over_ranks("GELU"),
    *over_ranks("GELU", {0: 1}),
    *over_ranks("HardSigmoid"),
    Case("HardSigmoid", ((9,),), {0: 0.5, 1: 0.25}),
    *over_ranks("HardSwish"),
    Case("HardSwish", ((9,),), {0: 1 / 6, 1: 0.5}, low=-5, high=5),
    *over_ranks("Log", low=0.1),
    Case("Log", ((9,),), {0: 10.0, 1: 2.0, 2: 0.5}, low=0.1),
    *over_ranks("Mish"),
    *over_ranks("PReLU", {0: 1}, weights=((1,),)),
    *channels("PReLU", 0, 1),
    *over_ranks("Power", {0: 2.0, 1: 0.5, 2: 1.5}),
    Case("Power", ((9,),), {1: 3.0}),
    *over_ranks("ReLU"),
    *over_ranks("ReLU", {0: 0.2}),
    *over_ranks("SELU"),
    *over_ranks("Shrink", {0: 0.25, 1: 0.75}),
    *over_ranks("Sigmoid"),
    *over_ranks("Softplus"),
    Case("Softplus", ((9,),), low=-80, high=80),
    *over_ranks("Swish"),
    *over_ranks("TanH"),
    *over_ranks("Threshold", {0: 0.3}),
]

PAIRS = (
    ((7,), (7,)),
    ((7,), (1,)),
    ((1,), (7,)),
    ((3, 5), (3, 5)),
    ((3, 5), (3,)),
    ((3, 5), (5,)),
    ((5,), (3, 5)),
    ((3, 5), (1,)),
    ((3, 5), (1, 5)),
    ((3, 1), (3, 5)),
    ((3, 4, 5), (3,)),
    ((3, 4, 5), (5,)),
    ((3,), (3, 4, 5)),
    ((3, 4, 5), (3, 4)),
    ((3, 4), (3, 4, 5)),
    ((3, 4, 5), (3, 1, 1)),
    ((3, 4, 5), (1, 4, 5)),
    ((1, 4, 1), (3, 4, 5)),
    ((3, 4, 5), (1,)),
    ((2, 3, 4, 5), (2,)),
    ((2, 3, 4, 5), (2, 3)),
    ((2, 3, 4, 5), (2, 3, 4)),
    ((2, 3, 4, 5), (2, 3, 4, 5)),
)

ARITHMETIC = [
    *(Case("BinaryOp", pair, {0: kind}) for pair in PAIRS for kind in (0, 7)),
    *(Case("BinaryOp", ((3, 4), (3, 4)), {0: k}, low=0.5) for k in range(17)),
    *(Case("BinaryOp", ((3, 4),), {0: k, 1: 1, 2: 1.5}, low=0.5) for k in range(17)),
    Case("BinaryOp", ((3, 4), (3, 4)), {0: 12}),
    Case("BinaryOp", ((3, 4), (3, 4)), {0: 15}),
    *(Case("UnaryOp", ((3, 7),), {0: k}, low=0.1, high=0.9) for k in range(28) if k != 25),
    *(Case("UnaryOp", ((3, 7),), {0: k}) for k in (*range(5), 7, 9, 10, 11, 14, 15, 16, 18, 19)),
    *(Case("UnaryOp", ((3, 7),), {0: k}) for k in (20, 21, 22, 23, 24)),
    Case("UnaryOp", ((3, 7),), {0: 25}, low=1.1, high=5),
    *(Case("BatchNorm", (s,), {0: s[0], 1: 0.01}, ((s[0],),) * 4, low=0.1) for s in RANKS),
    *channels("Bias", 0, 1),
    *(Case("Bias", (s,), {0: 1}, ((1,),)) for s in RANKS[:2]),
    *(Case("Cast", ((3, 5),), {0: 1, 1: 1}) for _ in range(1)),
    *over_ranks("Dropout"),
    *over_ranks("Dropout", {0: 0.5}),
    *(Case("Eltwise", ((3, 4, 5),) * 2, {0: k}) for k in range(3)),
    Case("Eltwise", ((3, 4, 5),) * 3, {0: 1}),
    Case("Eltwise", ((3, 4, 5),) * 3, {0: 1, 1: [0.5, -1.0, 2.0]}),
    *over_ranks("Noop"),
    *over_ranks("DeepCopy"),
    *(Case("Scale", (s,), {0: s[0]}, ((s[0],),)) for s in RANKS),
    *(Case("Scale", (s,), {0: s[0], 1: 1}, ((s[0],),) * 2) for s in RANKS),
    Case("Scale", ((3, 4, 5), (3,)), {0: -233}),
    Case("Split", ((3, 4, 5),), outputs=2),
    Case("Packing", ((3, 4, 5),)),
]

CONV = {0: 4, 1: 3, 5: 1, 6: 4 * 3 * 9}
CONV_WEIGHTS = ([4, 3, 3, 3], (4,))
PRODUCTS = [
    Case("Convolution", ((3, 8, 9),), CONV, CONV_WEIGHTS),
    Case("Convolution", ((3, 8, 9),), {**CONV, 5: 0}, CONV_WEIGHTS[:1]),
    Case("Convolution", ((3, 8, 9),), {**CONV, 4: 1, 3: 2}, CONV_WEIGHTS),
    Case("Convolution", ((3, 9, 9),), {**CONV, 2: 2, 4: 2, 14: 1, 15: 0, 16: 3}, CONV_WEIGHTS),
    Case("Convolution", ((3, 8, 9),), {**CONV, 4: -233, 3: 2}, CONV_WEIGHTS),
    Case("Convolution", ((3, 8, 9),), {**CONV, 4: -234, 3: 2}, CONV_WEIGHTS),
    Case("Convolution", ((3, 8, 9),), {**CONV, 4: 1, 18: 0.5}, CONV_WEIGHTS),
    Case("Convolution", ((3, 8, 9),), {**CONV, 12: 2, 13: 2, 14: 3}, CONV_WEIGHTS),
    Case("Convolution", ((3, 8, 9),), {**CONV, 1: 5, 11: 2, 6: 120}, ([4, 3, 2, 5], (4,))),
    *(
        Case("Convolution", ((3, 8, 9),), {**CONV, 9: k, 10: p}, CONV_WEIGHTS)
        for k, p in (
            (1, []),
            (2, [0.1]),
            (3, [-0.5, 0.5]),
            (4, []),
            (5, []),
            (6, [0.2, 0.5]),
        )
    ),
    Case("Convolution", ((6,),), {0: 4, 1: 1, 5: 1, 6: 24}, ([4, 6], (4,))),
    Case("Convolution", ((3, 8, 9), (4, 3, 3, 3)), {**CONV, 5: 0, 19: 1}),
    Case("Convolution", ((3, 8, 9), (4, 3, 3, 3), (4,)), {**CONV, 19: 1}),
    Case("Convolution1D", ((3, 9),), {0: 4, 1: 3, 5: 1, 6: 36}, ([4, 3, 3], (4,))),
    Case("Convolution1D", ((3, 9),), {0: 4, 1: 3, 3: 2, 4: 2, 6: 36}, ([4, 3, 3],)),
    Case("Convolution1D", ((3, 9),), {0: 4, 1: 3, 3: 2, 4: -233, 6: 36}, ([4, 3, 3],)),
    Case("Convolution3D", ((2, 5, 6, 7),), {0: 3, 1: 3, 4: 1, 6: 162}, ([3, 2, 3, 3, 3],)),
    Case(
        "Convolution3D",
        ((2, 5, 6, 7),),
        {0: 3, 1: 3, 11: 2, 21: 1, 3: 2, 24: 1, 17: 2, 5: 1, 6: 36, 9: 1},
        ([3, 2, 1, 2, 3], (3,)),
    ),
    Case("ConvolutionDepthWise", ((4, 8, 9),), {0: 4, 1: 3, 6: 36, 7: 4}, ([4, 1, 3, 3],)),
    Case(
        "ConvolutionDepthWise",
        ((4, 8, 9),),
        {0: 8, 1: 3, 4: 1, 5: 1, 6: 72, 7: 4},
        ([8, 1, 3, 3], (8,)),
    ),
    Case(
        "ConvolutionDepthWise",
        ((4, 8, 9),),
        {0: 6, 1: 3, 4: 1, 5: 1, 6: 108, 7: 2, 9: 1},
        ([6, 2, 3, 3], (6,)),
    ),
    Case("ConvolutionDepthWise1D", ((4, 9),), {0: 4, 1: 3, 6: 12, 7: 4}, ([4, 1, 3],)),
    Case("ConvolutionDepthWise1D", ((4, 9),), {0: 6, 1: 3, 6: 36, 7: 2}, ([6, 2, 3],)),
    Case("ConvolutionDepthWise3D", ((4, 5, 6, 7),), {0: 4, 1: 3, 6: 108, 7: 4}, ([4, 1, 3, 3, 3],)),
    Case("Deconvolution", ((3, 4, 5),), {0: 4, 1: 3, 5: 1, 6: 108}, ([4, 3, 3, 3], (4,))),
    Case("Deconvolution", ((3, 4, 5),), {0: 4, 1: 3, 3: 2, 4: 1, 6: 108}, ([4, 3, 3, 3],)),
    Case(
        "Deconvolution",
        ((3, 4, 5),),
        {0: 4, 1: 3, 3: 2, 4: 1, 14: 0, 15: 2, 16: 1, 18: 1, 5: 1, 6: 108, 9: 1},
        ([4, 3, 3, 3], (4,)),
    ),
    Case("Deconvolution", ((3, 4, 5),), {0: 4, 1: 3, 2: 2, 3: 2, 6: 108}, ([4, 3, 3, 3],)),
    *(
        Case(
            "Deconvolution",
            ((3, 4, 5),),
            {0: 4, 1: 4, 3: 2, 4: p, 20: 10, 21: 8, 6: 192},
            ([4, 3, 4, 4],),
        )
        for p in (-233, -234)
    ),
    Case("Deconvolution1D", ((3, 5),), {0: 4, 1: 3, 3: 2, 4: 1, 6: 36}, ([4, 3, 3],)),
    Case("Deconvolution3D", ((2, 3, 4, 5),), {0: 3, 1: 3, 3: 2, 6: 162}, ([3, 2, 3, 3, 3],)),
    Case("DeconvolutionDepthWise", ((4, 4, 5),), {0: 4, 1: 3, 3: 2, 6: 36, 7: 4}, ([4, 1, 3, 3],)),
    Case(
        "DeconvolutionDepthWise",
        ((4, 4, 5),),
        {0: 6, 1: 3, 3: 2, 4: 1, 5: 1, 6: 108, 7: 2},
        ([6, 2, 3, 3], (6,)),
    ),
    Case("DeconvolutionDepthWise1D", ((4, 5),), {0: 4, 1: 3, 3: 2, 6: 12, 7: 4}, ([4, 1, 3],)),
    Case(
        "DeconvolutionDepthWise3D",
        ((4, 3, 4, 5),),
        {0: 4, 1: 3, 3: 2, 6: 108, 7: 4},
        ([4, 1, 3, 3, 3],),
    ),
    Case("InnerProduct", ((6,),), {0: 4, 1: 1, 2: 24}, ([4, 6], (4,))),
    Case("InnerProduct", ((3, 4, 5),), {0: 4, 2: 240}, ([4, 60],)),
    Case("InnerProduct", ((3, 6),), {0: 4, 1: 1, 2: 24, 9: 1}, ([4, 6], (4,))),
    Case("InnerProduct", ((1, 6),), {0: 4, 1: 1, 2: 24}, ([4, 6], (4,))),
    Case("InnerProduct", ((3, 6),), {0: 4, 1: 1, 2: 72}, ([4, 18], (4,))),
]

POOLS: tuple[dict[int, Any], ...] = (
    {1: 2, 2: 2},
    {1: 3, 2: 2, 3: 1},
    {1: 3, 2: 2, 3: 1, 5: 1},
    {1: 3, 2: 2, 5: 2},
    {1: 3, 2: 2, 5: 3},
    {1: 3, 2: 2, 11: 2, 12: 1, 3: 1, 13: 0, 14: 0, 15: 1},
    {4: 1},
    {7: 1, 8: 1},
    {7: 1, 8: 3, 18: 2},
    {7: 1, 8: -233, 18: 5},
)
IMAGES = [
    *(Case("Pooling", ((3, 8, 9),), {0: k, **p}) for k in range(2) for p in POOLS),
    *(Case("Pooling", ((3, 8, 9),), {0: 1, 6: 1, **p}) for p in POOLS[:6]),
    Case("Pooling", ((3, 5, 7),), {1: 2, 2: 2, 3: 1}),
    Case("Pooling", ((3, 5, 7),), {0: 1, 1: 2, 2: 2, 3: 1, 6: 1}),
    *(Case("Pooling1D", ((3, 9),), {0: k, **p}) for k in range(2) for p in POOLS[:4]),
    *(Case("Pooling1D", ((3, 9),), {0: k, **p}) for k in range(2) for p in ({4: 1}, {7: 1, 8: 4})),
    Case("Pooling1D", ((3, 9),), {0: 1, 1: 3, 2: 2, 3: 1, 6: 1}),
    *(
        Case("Pooling3D", ((2, 6, 7, 8),), {0: k, **p})
        for k in range(2)
        for p in ({1: 2, 2: 2}, {1: 3, 2: 2, 3: 1}, {4: 1}, {7: 1, 8: 2}, {7: 1, 8: 3})
    ),
    *(
        Case("Interp", ((3, 5, 6),), {0: k, **p})
        for k in (1, 2, 3)
        for p in (
            {1: 2.0, 2: 2.0},
            {3: 8, 4: 9},
            {3: 8, 4: 9, 6: 1},
            {1: 1.5, 2: 0.7},
            {3: 4, 4: 3},
        )
    ),
    *(Case("Interp", ((3, 6),), {0: k, 4: 9}) for k in (1, 2, 3)),
    *(Case("Interp", ((3, 6),), {0: k, 2: 2.0}) for k in (1, 2, 3)),
    Case("Interp", ((3,),), {0: 1, 3: 4, 4: 5}),
    Case("Interp", ((3,),), {0: 2, 3: 4, 4: 5}),
    Case("Interp", ((3, 5, 6), (2, 10, 9)), {0: 2, 5: 1}),
    *(Case("PixelShuffle", ((8, 3, 4),), {0: 2, 1: m}) for m in range(2)),
    *(Case("Reorg", ((2, 4, 6),), {0: 2, 1: m}) for m in range(2)),
    *(Case("ShuffleChannel", ((6, 3, 4),), {0: 2, 1: m}) for m in range(2)),
    Case("ShuffleChannel", ((6, 3, 4),), {0: 3}),
]

MOVEMENT = [
    *(Case("Concat", (s, s), {0: a}) for s in RANKS for a in range(-len(s), len(s))),
    Case("Concat", ((2, 5), (3, 5), (1, 5))),
    *(
        Case("Slice", (s,), {0: [2, -233], 1: a}, outputs=2)
        for s in ((7,), (3, 5), (3, 4, 5), (3, 3, 4, 5))
        for a in range(len(s))
    ),
    Case("Slice", ((8, 3),), {0: [-233, -233, -233], 1: 0}, outputs=3),
    Case("Slice", ((8, 3),), {2: [2, -2], 1: 0}, outputs=3),
    Case("Crop", ((9,),), {0: 2, 3: 5}),
    Case("Crop", ((9,),), {0: 2, 3: -233, 6: 1}),
    Case("Crop", ((4, 9),), {0: 2, 1: 1, 3: 5, 4: 2}),
    Case("Crop", ((3, 4, 9),), {0: 2, 1: 1, 2: 1, 3: -233, 4: -233, 5: -233}),
    Case("Crop", ((3, 4, 9),), {0: 2, 3: -233, 4: -233, 5: -233, 6: 3, 7: 1, 8: 1}),
    Case("Crop", ((3, 4, 9),), {9: [1, 2], 10: [3, -1], 11: [0, 2]}),
    Case("Crop", ((3, 4, 9),), {9: [-3], 10: [-1], 11: [-1]}),
    Case("Crop", ((3, 4, 9),), {9: [1], 10: [-233], 11: [1]}),
    Case("Crop", ((3, 4, 9),), {9: [0], 10: [2147483647], 11: [1]}),
    Case("Crop", ((2, 3, 4, 9),), {9: [1, 1], 10: [3, 3], 11: [1, 2]}),
    Case("Crop", ((3, 6, 9), (3, 2, 4)), {0: 1, 1: 2}),
    Case("Crop", ((3, 6, 9), (2, 2, 4)), {0: 1, 1: 2, 2: 1}),
    *(Case("Padding", ((9,),), {2: 2, 3: 3, 4: k, 5: 0.5}) for k in range(3)),
    *(Case("Padding", ((4, 9),), {0: 1, 1: 2, 2: 2, 3: 3, 4: k, 5: 0.5}) for k in range(3)),
    *(Case("Padding", ((3, 4, 9),), {0: 1, 1: 2, 2: 2, 3: 3, 4: k, 5: 0.5}) for k in range(3)),
    Case("Padding", ((3, 4, 9),), {0: 1, 7: 1, 8: 2, 5: 0.5}),
    Case("Padding", ((2, 3, 4, 9),), {0: 1, 1: 1, 2: 2, 3: 1, 7: 1, 8: 2, 5: 0.5}),
    *(Case("Permute", ((3, 5),), {0: k}) for k in range(2)),
    *(Case("Permute", ((3, 4, 5),), {0: k}) for k in range(6)),
    *(Case("Permute", ((2, 3, 4, 5),), {0: k}) for k in range(24)),
    *(Case("Flatten", (s,)) for s in RANKS),
    Case("Reshape", ((3, 4, 5),), {0: -1}),
    Case("Reshape", ((3, 4, 5),), {0: 20, 1: -1}),
    Case("Reshape", ((3, 4, 5),), {0: 0, 1: -1}),
    Case("Reshape", ((3, 4, 5),), {0: 2, 1: 5, 2: -1}),
    Case("Reshape", ((3, 4, 5),), {0: 5, 1: 2, 11: 2, 2: 3}),
    Case("Reshape", ((60,),), {0: 5, 1: 4, 2: 3}),
    Case("Reshape", ((2, 3, 4, 5),), {0: 0, 1: 0, 2: -1}),
    Case("Squeeze", ((1, 4, 1),), {0: 1}),
    Case("Squeeze", ((1, 4, 1),), {3: [0]}),
    Case("Squeeze", ((1, 4, 1),), {3: [0, 2]}),
    Case("Squeeze", ((3, 1, 4),), {0: 1, 1: 1, 2: 1}),
    Case("ExpandDims", ((4,),), {3: [0]}),
    Case("ExpandDims", ((4,),), {3: [1]}),
    Case("ExpandDims", ((3, 4),), {3: [-1]}),
    Case("ExpandDims", ((3, 4),), {3: [1]}),
    Case("ExpandDims", ((3, 4, 5),), {3: [2]}),
    Case("ExpandDims", ((4,),), {3: [0, 2]}),
    Case("ExpandDims", ((4,),)),
    *(Case("Tile", (s,), {0: a, 1: 3}) for s in RANKS for a in range(len(s))),
    Case("Tile", ((3, 4),), {2: [2, 3]}),
    Case("Tile", ((3, 4),), {2: [2, 1, 3]}),
    Case("Tile", ((3, 4, 5),), {2: [2, 3]}),
    *(Case("Flip", (s,), {0: [a]}) for s in RANKS for a in range(len(s))),
    Case("Flip", ((3, 4, 5),), {0: [0, -1]}),
]

NORMALIZATION = [
    *(
        Case("GroupNorm", ((6, *s),), {0: 3, 1: 6, 2: 0.01}, ((6,), (6,)))
        for s in ((), (4,), (4, 5), (2, 3, 4))
    ),
    Case("GroupNorm", ((6, 4, 5),), {0: 2, 1: 6, 3: 0}),
    Case("InstanceNorm", ((6, 4, 5),), {0: 6}, ((6,), (6,))),
    Case("InstanceNorm", ((6, 4, 5),), {0: 0, 2: 0, 1: 0.1}),
    *(Case("LRN", ((6, 4, 5),), {0: r, 1: 3, 2: 0.5, 4: 2.0}) for r in range(2)),
    Case("LRN", ((6, 4, 5),)),
    *(
        Case("LayerNorm", ((*s, 5),), {0: 5, 1: 0.01}, ((5,), (5,)))
        for s in ((), (4,), (3, 4), (2, 3, 4))
    ),
    Case("LayerNorm", ((3, 4, 5),), {0: 20}, ((20,), (20,))),
    Case("LayerNorm", ((3, 5),), {0: 5, 2: 0}),
    *(Case("RMSNorm", ((*s, 5),), {0: 5, 1: 0.01}, ((5,),)) for s in ((), (4,), (3, 4), (2, 3, 4))),
    Case("RMSNorm", ((3, 4, 5),), {0: 20}, ((20,),)),
    Case("RMSNorm", ((3, 5),), {0: 5, 2: 0}),
    *(Case("MVN", ((3, 4, 5),), {0: v, 1: a}) for v in range(2) for a in range(2)),
    *(
        Case("Normalize", ((3, 4, 5),), {0: s, 4: c, 1: 1, 3: 1, 9: m}, ((1,),))
        for s, c in ((0, 1), (1, 0), (1, 1))
        for m in range(3)
    ),
    Case("Normalize", ((3, 4, 5),), {0: 0, 1: 0, 3: 3}, ((3,),)),
]

REDUCTIONS = [
    *(Case("Reduction", (s,), {0: k}, low=0.5) for k in range(11) for s in RANKS),
    *(
        Case("Reduction", (s,), {0: k, 1: 0, 3: [a], 4: keep, 5: 1}, low=0.5)
        for k in (0, 3, 4, 10)
        for s in RANKS[1:]
        for a in range(len(s))
        for keep in range(2)
    ),
    *(
        Case("Reduction", ((3, 4, 5),), {0: k, 1: 0, 3: [1, 2], 5: 1})
        for k in (0, 1, 2, 3, 4, 5, 7, 8)
    ),
    *(
        Case("Reduction", ((3, 4, 5),), {0: k, 1: 0, 3: [0, -1], 2: 0.5, 5: 1})
        for k in (0, 3, 8, 2)
    ),
    Case("Reduction", ((3, 4, 5),), {0: 0, 1: 1, 4: 1}),
    *(Case("CumulativeSum", (s,), {0: a}) for s in RANKS[:3] for a in range(len(s))),
    *(Case("Softmax", (s,), {0: a, 1: 1}) for s in RANKS for a in range(-1, len(s))),
]

MATRICES = [
    *(Case("Fold", ((18, 6),), {0: 18, 1: 3, 20: 4, 21: 5}) for _ in range(1)),
    Case("Fold", ((18, 20),), {0: 18, 1: 3, 4: 1, 20: 5, 21: 4}),
    Case("Fold", ((8, 4),), {0: 8, 1: 2, 3: 2, 20: 4, 21: 4}),
    Case("Unfold", ((2, 5, 6),), {0: 0, 1: 3}),
    Case("Unfold", ((2, 5, 6),), {0: 0, 1: 3, 3: 2, 4: 1}),
    Case("Unfold", ((2, 5, 6),), {0: 0, 1: 2, 2: 2, 4: 1, 18: 0.5}),
    *(Case("GLU", (s,), {0: a}) for s in ((8,), (4, 6), (4, 6, 8)) for a in range(-1, len(s))),
    *(
        Case("MatMul", pair)
        for pair in (
            ((4,), (4,)),
            ((4,), (4, 3)),
            ((3, 4), (4,)),
            ((3, 4), (4, 5)),
            ((2, 3, 4), (4, 5)),
            ((3, 4), (2, 4, 5)),
            ((2, 3, 4), (2, 4, 5)),
            ((2, 3, 4), (1, 4, 5)),
            ((2, 2, 3, 4), (2, 2, 4, 5)),
            ((2, 3, 4), (4,)),
            ((4,), (2, 4, 5)),
        )
    ),
    *(
        Case("MatMul", pair, {0: 1})
        for pair in (
            ((3, 4), (5, 4)),
            ((2, 3, 4), (2, 5, 4)),
            ((4,), (5, 4)),
            ((4,), (4,)),
            ((3, 4), (4,)),
        )
    ),
    Case("Gemm", ((3, 4), (4, 5))),
    Case("Gemm", ((4, 3), (5, 4)), {2: 1, 3: 1, 0: 0.5}),
    *(
        Case("Gemm", ((3, 4), (4, 5), c), {0: 0.5, 1: 2.0})
        for c in ((1,), (3,), (5,), (3, 1), (3, 5), (1, 5))
    ),
    Case("Gemm", ((3, 4),), {5: 1, 6: 1, 8: 5, 9: 4, 10: 4}, ([4, 5], [5])),
    Case("Gemm", ((3, 4),), {3: 1, 5: 1, 6: 1, 8: 5, 9: 4, 10: -1}, ([5, 4],)),
    Case("Gemm", ((4, 5),), {4: 1, 6: 1, 7: 3, 9: 4, 10: 1}, ([3, 4], [3])),
    Case("Gemm", ((3, 4),), {3: 1, 5: 1, 6: 1, 8: 5, 9: 4, 10: 0}, ([5, 4], [1])),
    Case("Gemm", ((3, 4), (4, 5)), {14: 1}),
    Case("Gemm", ((3, 4), (4, 5)), {11: 1}),
    *(
        Case("MultiHeadAttention", shapes, {0: 6, 1: 2, 2: 36, **p}, MHA)
        for MHA in (([36], (6,)) * 4,)
        for shapes, p in (
            (((5, 6),), {}),
            (((5, 6), (4, 6)), {}),
            (((5, 6), (4, 6), (4, 6)), {}),
            (((5, 6), (5, 5)), {5: 1}),
            (((5, 6), (4, 6), (4, 6), (5, 4)), {5: 1}),
            (((5, 6), (4, 6), (4, 6), (2, 5, 4)), {5: 1, 6: 0.3}),
        )
    ),
    Case(
        "MultiHeadAttention",
        ((5, 6), (4, 7), (4, 8)),
        {0: 6, 1: 2, 2: 36, 3: 7, 4: 8},
        ([36], (6,), [42], (6,), [48], (6,), [36], (6,)),
    ),
    Case("SDPA", ((4, 5, 6), (4, 3, 6), (4, 3, 7))),
    Case("SDPA", ((4, 5, 6), (2, 3, 6), (2, 3, 7))),
    Case("SDPA", ((4, 5, 6), (4, 3, 6), (4, 3, 7), (5, 3)), {5: 1, 6: 0.25}),
]

DETECTION = [
    Case("PriorBox", ((2, 3, 4), (3, 60, 80)), {0: [20.0], 9: -233, 10: -233}),
    Case(
        "PriorBox",
        ((2, 3, 4), (3, 60, 80)),
        {
            0: [20.0, 30.5],
            1: [40.0, 45.0],
            2: [2.0, 3.0],
            3: 0.3,
            6: 0.5,
            8: 1,
            13: 0.5,
            9: -233,
            10: -233,
        },
    ),
    Case("PriorBox", ((2, 3, 4),), {0: [20.0], 2: [2.0], 7: 0, 9: 90, 10: 70, 11: 8.0, 12: 9.0}),
    Case("PriorBox", ((2, 3, 4),), {0: [0.2, 0.3], 2: [1.0, 2.0, 0.5], 9: -233, 10: -233, 13: 0.5}),
]


SAMPLING = [
    *(
        Case("GridSample", ((3, 5, 6), (4, 7, 2)), {0: m, 1: p, 2: a}, low=-1.3, high=1.3)
        for m in (1, 2, 3)
        for p in (1, 2, 3)
        for a in range(2)
        if (m, p) != (3, 2)
    ),
    Case("GridSample", ((3, 5, 6), (2, 4, 7)), {3: 1}, low=-1.3, high=1.3),
    Case("GridSample", ((2, 3, 5, 6), (2, 4, 7, 3)), low=-1.3, high=1.3),
    Case(
        "DeformableConv2D",
        ((3, 6, 7), (18, 4, 5), (9, 4, 5)),
        {0: 4, 1: 3, 5: 1, 6: 108},
        ([4, 3, 3, 3], (4,)),
    ),
    Case(
        "DeformableConv2D",
        ((3, 6, 7), (18, 3, 4)),
        {0: 4, 1: 3, 3: 2, 4: 1, 6: 108, 9: 1},
        ([4, 3, 3, 3],),
    ),
]


def expressed(kind: str, *shapes: Shape, **texts: str) -> Case:
    """A layer with expressions for parameters k6, k9 and so on."""
    return Case(kind, shapes, {int(k[1:]): f'"{t}"' for k, t in texts.items()} | MODE.get(kind, {}))


MODE: dict[str, dict[int, Any]] = {"Interp": {0: 1}}

EXPRESSIONS = [
    expressed("Reshape", (3, 4, 5), k6="*(0w,0h),0c"),
    expressed("Reshape", (3, 4, 5), k6="0w,*(0h,0c)"),
    expressed("Reshape", (3, 4, 5), k6="//(0w,2),-1"),
    expressed("Reshape", (3, 4, 5), k6="/(0w,2),2,-1"),
    expressed("Reshape", (3, 4, 5), k6="sqrt(16),-1"),
    expressed("Reshape", (2, 3, 4, 5), k6="0w,0h,0d,0c"),
    expressed("Reshape", (3, 4, 5), (4, 5), k6="1w,1h,0c"),
    expressed("Reshape", (3, 4, 5), k6="max(-(0w,3),min(9,2)),abs(neg(2)),-1"),
    expressed("Interp", (3, 4, 5), k9="*(0w,2),10"),
    expressed("Interp", (3, 4, 5), k9="round(*(0w,1.5)),ceil(*(0h,1.3))"),
    expressed("Interp", (3, 4, 5), (3, 4, 5), k9="+(1w,3),//(1h,2)"),
    expressed("Crop", (3, 4, 5), k19="1,//(0w,2)", k20="3,0w", k21="1,2"),
]


def letters(equation: str, *shapes: Shape) -> Case:
    return Case("Einsum", shapes, {0: [ord(c) for c in equation]})


EINSUM = [
    letters("ik,kj->ij", (3, 4), (4, 5)),
    letters("ik,jk->ij", (3, 4), (5, 4)),
    letters("ijl,ikl->ijk", (2, 3, 4), (2, 5, 4)),
    letters("ij,ij->ij", (3, 4), (3, 4)),
    letters("ij,j->i", (3, 4), (4,)),
    letters("i,j->ij", (3,), (4,)),
    letters("il,jk->ij", (3, 4), (5, 2)),
    letters("ik,kl,jl->ij", (3, 4), (4, 5), (2, 5)),
    letters("ij->i", (3, 4)),
]

RECURRENT = [
    *(
        Case(
            kind,
            ((5, 3),),
            {0: 4, 1: n * g * 12, 2: way},
            ([n, g * 4, 3], [n, b, 4], [n, g * 4, 4]),
        )
        for kind, g, b in (("LSTM", 4, 4), ("GRU", 3, 4), ("RNN", 1, 1))
        for way, n in ((0, 1), (1, 1), (2, 2))
    ),
    *(
        Case(
            kind,
            ((5, 3), *[(n, 4)] * s),
            {0: 4, 1: n * g * 12, 2: way},
            ([n, g * 4, 3], [n, b, 4], [n, g * 4, 4]),
            outputs=1 + s,
        )
        for kind, g, b, s in (("LSTM", 4, 4, 2), ("GRU", 3, 4, 1), ("RNN", 1, 1, 1))
        for way, n in ((0, 1), (2, 2))
    ),
    *(
        Case(
            "LSTM",
            ((5, 3),),
            {0: 2, 1: n * 4 * 12, 2: way, 3: 4},
            ([n, 16, 3], [n, 4, 4], [n, 16, 2], [n, 2, 4]),
        )
        for way, n in ((0, 1), (2, 2))
    ),
]

CASES = [
    *ACTIVATIONS,
    *ARITHMETIC,
    *PRODUCTS,
    *IMAGES,
    *MOVEMENT,
    *NORMALIZATION,
    *REDUCTIONS,
    *MATRICES,
    *DETECTION,
    *EINSUM,
    *SAMPLING,
    *EXPRESSIONS,
    *RECURRENT,
]
