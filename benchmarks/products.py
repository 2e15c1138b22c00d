"""Times the float32 matrix product and convolution kernels on one thread, as Markdown.

    python benchmarks/products.py [--rounds 30]

Each layer is one call of the kernel that the plan chooses, less the time of a call that does
nothing, on data that the caches may hold: the fastest of the rounds. The peak is that of a loop of
multiply-adds of registers, which is measured in every round too, so that both see the same clock.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewise.codegen import jit
from edgewise.codegen.module import choose_isa, target_for
from edgewise.codegen.target import host
from edgewise.kernels.gemm import Gemm
from edgewise.kernels.ir import Kernel, f32, ptr
from edgewise.kernels.isa import Isa
from edgewise.plan import select

CHAINS = 12
STEPS = 200_000


@dataclass(frozen=True)
class Layer:
    """A convolution of an image of ``size`` x ``size`` pixels, or a product of ``size`` rows."""

    name: str
    size: int
    depth: int
    n: int
    window: int = 0

    @property
    def pixels(self) -> int:
        return self.size**2 if self.window else self.size

    @property
    def runs(self) -> int:
        return max(self.window, 1)

    @property
    def kc(self) -> int:
        return self.depth * self.runs

    @property
    def macs(self) -> int:
        return self.pixels * self.n * self.kc * self.runs


LAYERS = (
    Layer("1x1, 112x112x8 to 16", 112, 8, 16, 1),
    Layer("1x1, 56x56x32 to 32", 56, 32, 32, 1),
    Layer("1x1, 48x48x144 to 24", 48, 144, 24, 1),
    Layer("1x1, 33x33x80 to 480", 33, 80, 480, 1),
    Layer("1x1, 33x33x512 to 256", 33, 512, 256, 1),
    Layer("1x1, 14x14x128 to 128", 14, 128, 128, 1),
    Layer("1x1, 7x7x1024 to 1024", 7, 1024, 1024, 1),
    Layer("1x1, 3x3x256 to 256", 3, 256, 256, 1),
    Layer("3x3, 112x112x3 to 8", 112, 3, 8, 3),
    Layer("3x3, 112x112x3 to 32", 112, 3, 32, 3),
    Layer("3x3, 56x56x64 to 64", 56, 64, 64, 3),
    Layer("5x5, 88x88x8 to 32", 88, 8, 32, 5),
    Layer("7x7, 88x88x32 to 1", 88, 32, 1, 7),
    Layer("matrix, 384 x 384 x 384", 384, 384, 384),
    Layer("matrix, 4 x 512 x 512", 4, 512, 512),
    Layer("row, 128 to 128", 1, 128, 128),
    Layer("row, 640 to 128", 1, 640, 128),
    Layer("row, 1024 to 1000", 1, 1024, 1000),
)


def function(isa: Isa, text: str, symbol: str) -> Callable[[int, int, int], None]:
    library = jit.load_object([jit.compile_ir(text, target_for(isa))])
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    call = kind(library.address(symbol))
    LIBRARIES.append(library)
    return call


LIBRARIES: list[object] = []


def peak(isa: Isa) -> Callable[[], None]:
    """What does CHAINS * STEPS multiply-adds of vectors in registers."""
    k = Kernel("peak", {"a": ptr})
    vector = f32[isa.lanes]
    sums = [k.var((k["a"] + 4 * isa.lanes * i).load(vector)) for i in range(CHAINS)]
    x = k["a"].load(vector)
    with k.loop(k.begin, k.end):
        for total in sums:
            total.value = isa.fma(x, x, total.value)
    for i, total in enumerate(sums):
        (k["a"] + 4 * isa.lanes * i).store(total.value)
    call = function(isa, k.text(), "peak")
    data = np.zeros(CHAINS * isa.lanes, np.float32)
    params = np.array([data.ctypes.data], np.int64)

    def run(keep: object = data) -> None:
        call(params.ctypes.data, 0, STEPS)

    return run


def kernel(isa: Isa, layer: Layer) -> tuple[str, Callable[[], None], Callable[[], None]]:
    """The variant's name, what runs the layer once, and what only calls it."""
    v, _ = select.product(isa, layer.pixels, layer.n, layer.kc, layer.runs)
    rng = np.random.default_rng(0)
    wide = layer.size + layer.runs - 1 if layer.window else layer.pixels
    tall = wide if layer.window else 1
    pixel = 4 * layer.depth
    a = rng.normal(size=tall * wide * layer.depth + 64).astype(np.float32)
    weights = rng.normal(size=(layer.n, layer.runs, layer.kc)).astype(np.float32)
    packed = v.pack(weights, np.zeros(layer.n, np.float32))
    c = np.zeros((layer.pixels, layer.n), np.float32)
    runs = (np.arange(layer.runs) * wide * pixel).astype(np.int64)
    flat = layer.runs == 1
    panels, panel_bytes = -(-layer.n // v.nr), v.panel_bytes(layer.kc * layer.runs)
    block = max(1, (1 << 17) // panel_bytes) if isinstance(v, Gemm) else panels
    tiles = -(-layer.pixels // v.mr)
    values = {
        **{"a": a.ctypes.data, "a_x": pixel, "a_wrap": 0 if flat else (wide - layer.size) * pixel},
        **{"c": c.ctypes.data, "c_x": 4 * layer.n, "c_wrap": 0, "c_image": 0, "a_image": 0},
        **{"w": packed.ctypes.data, "runs": runs.ctypes.data, "run_count": layer.runs},
        **{"pixels": layer.pixels, "width": layer.pixels if flat else layer.size},
        **{"height": 1 if flat else layer.size, "tiles": tiles, "n": layer.n, "kc": layer.kc},
        **{"panel_bytes": panel_bytes, "panels": layer.n // v.nr, "block_panels": block},
    }
    params = np.array([values[name] for name in v.fields], np.int64)
    call = function(isa, v.build(), v.symbol)
    units = tiles * -(-panels // block)

    def run(keep: object = (a, packed, c, runs)) -> None:
        call(params.ctypes.data, 0, units)

    def empty() -> None:
        call(params.ctypes.data, 0, 0)

    return v.symbol.removesuffix(f"__{isa.name}"), run, empty


def seconds(run: Callable[[], None], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    isa = choose_isa(host())
    most = peak(isa)
    print("| layer | kernel | G multiply-adds/s | of the peak |\n|---|---|---|---|")
    for layer in LAYERS:
        name, run, empty = kernel(isa, layer)
        times = max(1, int(2e-4 / seconds(run, 3)))
        found = [
            (seconds(run, times), seconds(empty, times), seconds(most, 1)) for _ in range(rounds)
        ]
        whole, call, loop = (min(column) for column in zip(*found, strict=True))
        rate = layer.macs / (whole - call) / 1e9
        top = CHAINS * STEPS * isa.lanes / loop / 1e9
        print(f"| {layer.name} | `{name}` | {rate:.1f} | {100 * rate / top:.0f}% |", flush=True)


if __name__ == "__main__":
    main()
