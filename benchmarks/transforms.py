"""Times float32 convolutions by transforms against the direct product, as Markdown.

    python benchmarks/transforms.py [--rounds 40]

Each layer (SAME padding, stride 1, a bias) is planned twice, as the cost model chooses and without
transforms. Both run on one thread in interleaved rounds, of which the fastest counts; the filling
of halos is included.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np
from depthwise import kernels, seconds

from edgewise.dtype import DType
from edgewise.graph import Graph, Node, TensorType, Value
from edgewise.kernels.fft import FftConv
from edgewise.kernels.winograd import Winograd
from edgewise.ops import Conv2D
from edgewise.plan import tiled

LAYERS = (
    ((3, 3), (384, 384), 16, 8),
    ((3, 3), (192, 192), 32, 16),
    ((3, 3), (96, 96), 32, 32),
    ((3, 3), (56, 56), 64, 64),
    ((3, 3), (32, 32), 16, 16),
    ((3, 3), (16, 16), 32, 32),
    ((3, 3), (8, 8), 64, 64),
    ((9, 9), (384, 384), 3, 8),
    ((9, 9), (384, 384), 8, 3),
    ((3, 39), (172, 264), 8, 8),
    ((5, 5), (172, 88), 8, 32),
    ((5, 5), (96, 96), 32, 32),
)
"""Kernel, height and width, channels before and after: ResNet, style transfer, Basic Pitch."""


def convolution(taps: tuple[int, int], size: tuple[int, int], channels: int, outputs: int) -> Graph:
    rng = np.random.default_rng(0)
    x = Value("x", TensorType((1, *size, channels), DType.FLOAT32))
    constants = [rng.standard_normal(s) for s in ((outputs, *taps, channels), (outputs,))]
    w, bias = (
        Value("c", TensorType(c.shape, DType.FLOAT32), c.astype(np.float32)) for c in constants
    )
    kh, kw = taps
    op = Conv2D(padding=((kh - 1) // 2, kh // 2, (kw - 1) // 2, kw // 2))
    y = Value("y", op.infer([x.type, w.type, bias.type])[0])
    return Graph((x,), (y,), (Node(op, (x, w, bias), (y,)),))


def name(kernel: object) -> str:
    if isinstance(kernel, Winograd):
        return f"F({kernel.m}x{kernel.m})"
    if isinstance(kernel, FftConv):
        return f"FFT, {kernel.rows}x{kernel.columns}"
    return "direct"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    print("| kernel | image | channels | chosen | ms | direct | times as fast |")
    print("|---|---|---|---|---|---|---|")
    for taps, size, channels, outputs in LAYERS:
        graph = convolution(taps, size, channels, outputs)
        chosen, plan = kernels(graph)
        with mock.patch.object(tiled, "MAX_SCRATCH", 0):
            direct, _ = kernels(graph)
        chosen(), direct()
        pairs = [(seconds(chosen), seconds(direct)) for _ in range(rounds)]
        ours, theirs = (1e3 * min(column) for column in zip(*pairs, strict=True))
        (kernel,) = {name(k) for k in plan.kernels.values()} - {"direct"} or {"direct"}
        print(
            f"| {taps[0]}x{taps[1]} | {size[0]}x{size[1]} | {channels} to {outputs} | {kernel} "
            f"| {ours:.3f} | {theirs:.3f} | {theirs / ours:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
