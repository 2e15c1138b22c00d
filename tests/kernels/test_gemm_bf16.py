"""Products by dot products of bfloat16, against float64.

No emulator here has AVX512-BF16, so kernels also run with those instructions replaced by their
meaning, wherever there are fused multiply-adds; what LLVM makes of them is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from edgewise.codegen.jit import assembly
from edgewise.codegen.target import host
from edgewise.kernels.gemm_bf16 import PairGemm
from edgewise.kernels.ir import f32, u16
from edgewise.kernels.isa import AVX512BF16, BF16_ISAS, ISAS, NEONBF16, Isa
from edgewise.kernels.pointwise import Pointwise, Run, Stage
from edgewise.kernels.storage import rounded_to_bf16
from emulate import portable_text

from .harness import Buffer, isas, run, target
from .layers import CONVOLUTIONS, Layer, matrix
from .test_gemm import check

INSTRUCTION = {AVX512BF16: "vdpbf16ps", NEONBF16: "bfdot"}


@dataclass(frozen=True)
class Portable(PairGemm):
    """Shifts and multiply-adds in place of the dot products, for any processor."""

    def build(self) -> str:
        return portable_text(super().build())


def with_pairs(isa: Isa) -> Isa:
    """``isa`` with the intrinsic of its width."""
    if isa.arch == "aarch64":
        return replace(isa, bf16_dot=NEONBF16.bf16_dot)
    return replace(isa, bf16_dot=f"llvm.x86.avx512bf16.dpbf16ps.{isa.bits}")


def here() -> list[Isa]:
    return [i for i in BF16_ISAS if i.arch == "aarch64" or {*i.features} <= {*host().features}]


KINDS = [
    *((Portable, with_pairs(i)) for i in ISAS if i.arch == "aarch64" or "fma" in i.features),
    *((PairGemm, i) for i in here()),
]
every_kind = pytest.mark.parametrize(
    ("kind", "isa"), [pytest.param(*kind, id=kind[1].name, marks=pytest.mark.isa) for kind in KINDS]
)


@every_kind
def test_matrices(kind: type[PairGemm], isa: Isa) -> None:
    """Every tile: rows and columns in part, odd and even depths."""
    for i, (mr, nv) in enumerate(isa.costs.floats.tiles):
        nr = nv * isa.lanes
        for j, (m, n, depth) in enumerate(
            [(mr, nr, 8), (mr + 1, nr + 3, 7), (1, 1, 1), (2 * mr, 2 * nr, 2)]
        ):
            v = kind.of(isa, mr, nv, n, ("relu",) if j % 2 else ())
            check(v, matrix(m, n, depth), tight=j % 2 == 0, seed=10 * i + j)


@every_kind
def test_convolutions(kind: type[PairGemm], isa: Isa) -> None:
    """Windows of several runs, each of which may end with one term."""
    mr, nv = isa.costs.floats.tiles[0]
    for i, layer in enumerate(CONVOLUTIONS):
        check(kind.of(isa, mr, nv, layer.n), layer, tight=layer.joined or i % 2 == 0, seed=i)


@every_kind
def test_columns_divided_over_units(kind: type[PairGemm], isa: Isa) -> None:
    mr, nv = isa.costs.floats.tiles[0]
    layer = Layer(2 * nv * isa.lanes + 1, 9, (2, 2, mr))
    for block_panels in (1, 2):
        check(kind.of(isa, mr, nv, layer.n), layer, False, block_panels)


@pytest.mark.parametrize("isa", BF16_ISAS, ids=str)
def test_instructions(isa: Isa) -> None:
    """One dot product for each vector of a tile, in whole steps and in the last one."""
    mr, nv = isa.costs.floats.tiles[0]
    text = assembly(PairGemm(isa, mr, nv).build(), target(isa))
    assert text.count(f"\t{INSTRUCTION[isa]}\t") == 2 * mr * nv


def test_names() -> None:
    symbols = {PairGemm(isa, 4, 2).symbol for isa in BF16_ISAS}
    assert symbols == {"gemm_bf16f32_4x32__avx512bf16", "gemm_bf16f32_4x8__neonbf16"}


@isas
def test_rounding(isa: Isa) -> None:
    """The activations' rounding is that of the weights: halves to even, NaN stays one."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 250, np.uint32)
    edges = [0x3F808000, 0x3F818000, 0x7F7FFFFF, 0xFF800000, 0x7F800001, 0xFFFFFFFF, 0x80000000]
    x = np.append(bits, np.array(edges, np.uint32)).view(np.float32)
    v = Pointwise(isa, (f32,), (Stage("bfloat16", (0,), u16),), (Run.DENSE,) * 2)
    y = Buffer(np.zeros(len(x), np.uint16))
    values = dict.fromkeys(v.fields, 0) | {"x0": Buffer(x), "y": y, "n": len(x), "block": len(x)}
    values |= {f"d{i}": 1 for i in range(1, v.outer)}
    run(v, 1, values, [y])
    np.testing.assert_array_equal(y.array, rounded_to_bf16(x))
