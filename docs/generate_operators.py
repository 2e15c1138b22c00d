"""Writes docs/operators.md from the code: python docs/generate_operators.py

Nothing in the tables is typed by hand. What an operator takes is found by trying: the importer
reads each file of tests/importers/test_tflite_operators.py (every operator has one) once for each
dtype, and the plan lowers what it read for each instruction set.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgewise.dtype import DType, QParams
from edgewise.errors import EdgewiseError
from edgewise.graph import Graph, Node, TensorType
from edgewise.importers import load
from edgewise.importers.tflite_ops import OPERATORS
from edgewise.kernels.copy import FillBorder
from edgewise.kernels.isa import ISAS, Isa
from edgewise.ops import Fused, Op
from edgewise.passes import PIPELINE
from edgewise.passes.fuse_epilogue import EPILOGUES
from edgewise.plan import Plan, Step
from edgewise.runtime import plan_for

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/importers")]

from test_tflite_operators import CASES, Case  # noqa: E402

from test_program import CASES as PROGRAMS  # noqa: E402
from test_program import FALLBACKS  # noqa: E402
from tflite_builder import TYPES, Tensor  # noqa: E402

EIGHT_BIT = (DType.UINT8, DType.INT8)


class Row(NamedTuple):
    """What was found about one operator of .tflite files.

    ``native`` holds, for each dtype of the inputs that the importer takes, the instruction sets
    where all its cases run as kernels.
    """

    name: str
    classes: tuple[type[Op], ...]
    native: Mapping[DType, tuple[Isa, ...]]


Kernels = defaultdict[type[Op], set[str]]


def retyped(t: TensorType, dtype: DType) -> TensorType:
    """``t`` with another dtype. 8-bit types are quantized, with the real values that ``t`` has."""
    if dtype is t.dtype:
        return t
    if dtype not in EIGHT_BIT:
        return TensorType(t.shape, dtype)
    quant = t.quant or QParams.per_tensor(0.05, 0 if dtype is DType.INT8 else 128)
    if t.dtype in EIGHT_BIT:
        step = dtype.range[0] - t.dtype.range[0]
        quant = QParams(quant.scale, tuple(z + step for z in quant.zero_point), quant.axis)
    return TensorType(t.shape, dtype, quant)


def operand(tensor: Tensor, dtype: DType) -> Tensor:
    """An input as ``dtype``. Constants that are not quantized are sizes and axes, and stay."""
    if tensor.data is None:
        return Tensor(retyped(tensor.type, dtype), None, tensor.name)
    if tensor.type.quant is None or (tensor.type.dtype is DType.INT32 and dtype in EIGHT_BIT):
        return tensor
    t, data = retyped(tensor.type, dtype), tensor.data.astype(np.int64)
    if dtype in EIGHT_BIT and tensor.type.dtype in EIGHT_BIT:
        data = data + dtype.range[0] - tensor.type.dtype.range[0]
    return Tensor(t, data.astype(dtype.numpy), tensor.name)


def graphs(case: Case, dtype: DType) -> Iterator[Graph]:
    """The case with inputs of ``dtype``, and outputs of it or as they are, if that is imported."""
    inputs = [t if t is None else operand(t, dtype) for t in case.inputs]
    same = [retyped(t, dtype) for t in case.outputs]
    for outputs in [same] if same == list(case.outputs) else [same, case.outputs]:
        try:
            yield load(case._replace(inputs=inputs, outputs=outputs).file())
        except EdgewiseError:
            continue


def examine(name: str, kernels: Kernels) -> Row:
    """Try the cases of an operator; their kernels join ``kernels``."""
    cases = [case for case in CASES.values() if case.builtin == name]
    nodes = [node for case in cases for node in load(case.file()).nodes]
    native: dict[DType, tuple[Isa, ...]] = {}
    for dtype in TYPES:
        found = [graph for case in cases for graph in graphs(case, dtype)]
        if not found:
            continue
        native[dtype] = ()
        for isa in ISAS:
            plans = [plan_for(graph, isa) for graph in found]
            if not any(plan.fallbacks for plan in plans):
                native[dtype] += (isa,)
            for plan in plans:
                collect(plan, kernels)
    return Row(name, tuple(dict.fromkeys(type(node.op) for node in nodes)), native)


def collect(plan: Plan, kernels: Kernels) -> None:
    """Add the names of a plan's kernels to those of the operators that they run."""
    for step in plan.steps:
        if isinstance(step, Step) and not isinstance(step.kernel, FillBorder):
            op = plan.nodes[step.node].op
            head = op.head if isinstance(op, Fused) else op
            kernels[type(head)].add(type(step.kernel).__name__)


def code(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    ruler = f"|{'---|' * len(heads)}"
    first, *rest = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return [first, ruler, *rest]


def operator_line(row: Row, kernels: Kernels) -> list[str]:
    by_kernel = [
        str(dtype) if isas == ISAS else f"{dtype} ({', '.join(map(str, isas))})"
        for dtype, isas in row.native.items()
        if isas
    ]
    by_reference = [str(dtype) for dtype, isas in row.native.items() if isas != ISAS]
    cells = (by_kernel, by_reference)
    texts = ["all" if len(c) == len(TYPES) else ", ".join(c) or "-" for c in cells]
    used = sorted(set().union(*(kernels[c] for c in row.classes)))
    return [row.name, code(c.__name__ for c in row.classes), *texts, code(used) or "-"]


def fallback_line(case: str, node: Node) -> list[str]:
    return [case, f"`{node.op}`", ", ".join(f"`{list(t.shape)}`" for t in node.input_types)]


def page() -> str:
    """The text of docs/operators.md."""
    kernels: Kernels = defaultdict(set)
    for make in PROGRAMS.values():
        for isa in ISAS:
            collect(plan_for(make(DType.INT8), isa), kernels)
    rows = [examine(name, kernels) for name in sorted(row.name for row in OPERATORS.values())]
    fallbacks = [
        fallback_line(case, node)
        for case in sorted(FALLBACKS)
        for node in PROGRAMS[case](DType.INT8).nodes
    ]
    lines = [
        "# Operators",
        "",
        "`python docs/generate_operators.py` writes this page from the code, and a test compares",
        "both. [numbers.md](numbers.md) says what each operator computes.",
        "",
        f"## The {len(rows)} operators of .tflite files",
        "",
        "The dtypes are those of the inputs that are no constants. Tried were",
        f"{', '.join(map(str, TYPES))}; the importer refuses what is not listed.",
        "With kernels, the operator is part of the native program, on all instruction sets",
        f"({', '.join(map(str, ISAS))}) unless some are named. By reference, its numpy",
        "reference runs it between two native calls, and `edgewise inspect` says so. `FillBorder`,",
        "which fills the padding around a convolution's input, is left out of the kernels.",
        "",
        *table(
            ["operator", "class in `edgewise.ops`", "with kernels", "by reference", "kernels"],
            (operator_line(row, kernels) for row in rows),
        ),
        "",
        "Some attributes and shapes have no kernel although the dtype has; known ones, from",
        "`FALLBACKS` in `tests/test_program.py`:",
        "",
        *table(["case", "operator", "inputs"], fallbacks),
        "",
        "## Epilogues",
        "",
        "What one kernel computes together, as `EPILOGUES` in `passes/fuse_epilogue.py` lists it.",
        "",
        *table(["operator", "then"], ([head.name, tail.name] for head, tail in EPILOGUES)),
        "",
        "## Passes",
        "",
        "In order, as `PIPELINE` in `passes/__init__.py` lists them. After them, all 8-bit",
        "activations become uint8 (`to_uint8`, for x86) or int8 (`to_int8`, for ARM).",
        "",
        *table(["pass", "what it does"], ([code([p.__name__]), first_line(p)] for p in PIPELINE)),
    ]
    return "\n".join(lines) + "\n"


def first_line(function: object) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    (ROOT / "docs/operators.md").write_text(page(), encoding="utf-8")
