"""Times float32 depthwise convolutions of well-known networks against LiteRT, as Markdown.

    python benchmarks/depthwise.py [--rounds 100]

A case is a chain of layers of one kind (one layer where it has a stride), on one thread, in
interleaved rounds, of which the fastest counts. The kernels of Edgewise's plan are called one after
another, without the copies at a network's ends, as LiteRT's ``invoke`` runs without them; the
filling of halos is included.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import edgewise as ew
from edgewise.aligned import aligned
from edgewise.codegen import jit
from edgewise.codegen.build import generate
from edgewise.codegen.module import choose_isa, target_for
from edgewise.codegen.target import host
from edgewise.dtype import DType
from edgewise.graph import Graph, TensorType
from edgewise.plan import Plan, Step
from edgewise.runtime import plan_for

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tflite_builder import Operator, Tensor, build

F32 = DType.FLOAT32
CASES = (
    *((size, channels, 3, 1) for size, channels in ((112, 32), (56, 128), (28, 256), (14, 512))),
    (7, 1024, 3, 1),
    *((size, channels, 3, 2) for size, channels in ((112, 64), (56, 128), (28, 256), (14, 512))),
    *((size, channels, 5, 1) for size, channels in ((28, 120), (14, 480), (7, 960))),
)
"""Height and width, channels, window, stride: MobileNet v1 and v3."""
LAYERS = 6


def chain(size: int, channels: int, window: int, stride: int) -> bytes:
    """A .tflite file of the case's layers, each with a bias and RELU6."""
    rng = np.random.default_rng(0)
    first = x = Tensor(TensorType((1, size, size, channels), F32))
    operators = []
    for _ in range(LAYERS if stride == 1 else 1):
        shape = (1, window, window, channels)
        w = Tensor(TensorType(shape, F32), rng.normal(size=shape).astype(np.float32) / window)
        bias = Tensor(TensorType((channels,), F32), np.ones(channels, np.float32))
        size = -(-size // stride)
        y = Tensor(TensorType((1, size, size, channels), F32))
        fields = {"StrideW": stride, "StrideH": stride, "DepthMultiplier": 1}
        fields |= {"DilationWFactor": 1, "DilationHFactor": 1, "FusedActivationFunction": 3}
        operators.append(
            Operator("DEPTHWISE_CONV_2D", [x, w, bias], [y], "DepthwiseConv2DOptions", fields)
        )
        x = y
    return build(operators, [first], [x])


def kernels(graph: Graph) -> tuple[Callable[[], None], Plan]:
    """What runs every step of a graph's plan once, and the plan."""
    isa = choose_isa(host())
    plan = plan_for(graph, isa)
    code, target = generate(plan), target_for(isa)
    library = jit.load_object([jit.compile_ir(k.build(), target) for k in plan.kernels.values()])
    arena, constants = aligned(plan.arena_bytes), aligned(plan.constants.nbytes)
    constants[:] = plan.constants
    params = code.params.copy()
    params[code.arena_words] += arena.ctypes.data
    params[code.constant_words] += constants.ctypes.data
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    calls, at = [], params.ctypes.data
    for step in plan.steps:
        assert isinstance(step, Step)
        calls.append((function(library.address(step.kernel.symbol)), at, step.units))
        at += 8 * len(step.kernel.fields)

    held = library, arena, constants, params

    def run() -> None:
        assert all(x is not None for x in held)
        for call, fields, units in calls:
            call(fields, 0, units)

    return run, plan


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    print("| layer | window | stride | ns an output | G multiply-adds/s | LiteRT | times as fast |")
    print("|---|---|---|---|---|---|---|")
    for size, channels, window, stride in CASES:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "chain.tflite"
            file.write_bytes(chain(size, channels, window, stride))
            ours, _ = kernels(ew.load(file))
            peer = Interpreter(str(file), num_threads=1)
            peer.allocate_tensors()
            ours(), peer.invoke()
            pairs = [(seconds(ours), seconds(peer.invoke)) for _ in range(rounds)]
        mine, theirs = np.array(pairs).min(axis=0)
        outputs = (-(-size // stride)) ** 2 * channels * (LAYERS if stride == 1 else 1)
        each = mine / outputs * 1e9
        print(
            f"| {size}x{size}x{channels} | {window}x{window} | {stride} | {each:.2f} "
            f"| {window * window / each:.0f} | {theirs / outputs * 1e9:.2f} "
            f"| {theirs / mine:.2f} |"
        )


if __name__ == "__main__":
    main()
