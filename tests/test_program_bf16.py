"""Programs of ``precision="bf16"`` whose processor multiplies bfloat16, and float16 weights.

On ARM they run under qemu, where that is there; the plan for AVX512-BF16 is looked at.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from cases_products import PRODUCTS, conv, dense
from edgewise.codegen.module import choose_isa
from edgewise.codegen.target import Target
from edgewise.dtype import DType
from edgewise.errors import CompileError
from edgewise.execution import Options
from edgewise.graph import Array, Graph, Value
from edgewise.kernels.gemm import Gemm
from edgewise.kernels.gemm_bf16 import PairGemm
from edgewise.kernels.isa import AVX2, BF16_ISAS, ISAS, NEON, NEONBF16, SSE41, Isa
from edgewise.kernels.storage import FLOAT16, FLOAT32, Storage
from edgewise.plan import Plan, Step
from edgewise.runtime import plan_for
from kernels.test_gemm import as_bf16
from networks import assert_matches, random_inputs, reference
from test_program_emulated import Emulated, check

BF16 = Options(precision="bf16")

CASES = {
    **{
        name: PRODUCTS[f"real {name}"]
        for name in ("conv 1x1", "conv 3x3 s2", "conv dilated", "conv grouped", "conv relu6")
    },
    "rows": dense((6, 31), 21),
    "wide": PRODUCTS["real conv wide"],
    "transposed": PRODUCTS["real transpose conv 3x3 s2"],
}


def with_weights(graph: Graph, change: np.ufunc | type[np.float16]) -> Graph:
    """The same products, their weights (of more than one axis) changed."""

    def changed(value: Value) -> Value:
        if value.data is None or value.data.ndim == 1:
            return value
        return replace(value, data=change(value.data).astype(np.float32))

    nodes = [replace(n, inputs=tuple(map(changed, n.inputs))) for n in graph.nodes]
    return graph.with_nodes(nodes)


def kernels(plan: Plan) -> list[object]:
    return [step.kernel for step in plan.steps if isinstance(step, Step)]


@pytest.mark.isa
@pytest.mark.parametrize("name", CASES)
def test_dot_products_of_bfloat16(name: str) -> None:
    """What the reference gives for rounded weights and inputs."""
    graph = CASES[name](DType.UINT8)
    program = Emulated(graph, NEONBF16, BF16)
    assert any(isinstance(k, PairGemm) for k in kernels(program.plan))
    assert not any(type(k) is Gemm for k in kernels(program.plan))
    inputs = random_inputs(graph)
    expected = reference(with_weights(graph, as_bf16), [as_bf16(x) for x in inputs])
    exact = reference(graph, inputs)
    for found, wanted, other in zip(program.run(inputs), expected, exact, strict=True):
        assert_matches(found, wanted)
        assert np.abs(found - other).max() > 1e-4


@pytest.mark.parametrize("isa", BF16_ISAS, ids=str)
def test_what_takes_them(isa: Isa) -> None:
    """Several rows and columns; nothing where they are not asked for."""
    wide = dense((40, 30), 50)(DType.UINT8)
    assert [type(k) for k in kernels(plan_for(wide, isa, BF16))][-1] is PairGemm
    assert [type(k) for k in kernels(plan_for(wide, isa))] == [Gemm]
    for graph in (dense((1, 30), 50)(DType.UINT8), conv((1, 9, 9, 16), out=1)(DType.UINT8)):
        assert not any(isinstance(k, PairGemm) for k in kernels(plan_for(graph, isa, BF16)))


def test_choice_of_the_instruction_set() -> None:
    for best in BF16_ISAS:
        target = Target(f"{best.arch}-unknown-linux-gnu", "generic", best.features)
        assert choose_isa(target, precision="bf16") is best
        assert choose_isa(target, best.name, "bf16") is best
        plain = choose_isa(target)
        assert plain in ISAS
        assert choose_isa(replace(target, features=plain.features), precision="bf16") is plain
        with pytest.raises(CompileError, match=f"isa='{best.name}': this machine runs"):
            choose_isa(target, best.name)


@pytest.mark.parametrize(
    ("isa", "rows", "storage"),
    [
        (NEON, 1, FLOAT16),
        (NEON, 40, FLOAT16),
        (AVX2, 1, FLOAT16),
        (AVX2, 40, FLOAT16),
        (AVX2, 65, FLOAT32),
        (SSE41, 1, FLOAT32),
    ],
)
def test_where_float16_stays(isa: Isa, rows: int, storage: Storage) -> None:
    """On ARM everywhere, with F16C in products of few rows; never where numbers would change."""
    graph = dense((rows, 30), 50)(DType.UINT8)
    halves = with_weights(graph, np.float16)
    for options in (Options(), BF16):
        (kernel,) = kernels(plan_for(halves, isa, options))
        assert isinstance(kernel, Gemm)
        if storage is FLOAT16 or options is not BF16 or rows > 1:
            assert kernel.storage is storage
    (kernel,) = kernels(plan_for(graph, isa))
    assert isinstance(kernel, Gemm)
    assert kernel.storage is FLOAT32


@pytest.mark.isa
@pytest.mark.parametrize("isa", [NEON, AVX2], ids=str)
@pytest.mark.parametrize("shape", [(1, 130), (9, 33)], ids=str)
def test_programs_of_float16_weights(isa: Isa, shape: tuple[int, int]) -> None:
    check(with_weights(dense(shape, 70)(DType.UINT8), np.float16), isa)


@pytest.mark.data
def test_float16_files_stay_small(data: Path) -> None:
    """Nearly all of BlazeFace's constants are weights: half the bytes on ARM."""
    graph = ew.load(data / "models" / "blazeface_short_range_f16.tflite")
    small, large = plan_for(graph, NEON), plan_for(graph, SSE41)
    assert small.constant_bytes < 0.53 * large.constant_bytes


@pytest.mark.data
@pytest.mark.isa
def test_a_float16_file_on_arm(data: Path) -> None:
    """The bits that float32 storage gives."""
    graph = ew.load(data / "models" / "blazeface_short_range_f16.tflite")
    inputs: list[Array] = random_inputs(graph)
    results = Emulated(graph, NEON).run(inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgewise.plan.real_products.fits_half", lambda *_: False)
        wide = Emulated(graph, NEON)
        assert all(getattr(k, "storage", FLOAT32) is FLOAT32 for k in kernels(wide.plan))
        for found, expected in zip(results, wide.run(inputs), strict=True):
            np.testing.assert_array_equal(found, expected)
