"""Writes docs/operators.md from the code: python docs/generate_operators.py

Nothing in the tables is typed by hand. The rows are the schema's builtin operators. What one takes
is found by trying: the importer reads each file of tests/importers/test_tflite_operators.py, as it
is and with other dtypes in place of its own, and the plan lowers what was read for each instruction
set. Whether LiteRT has an operator is found by asking it.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tflite
from ai_edge_litert.interpreter import Interpreter

import edgewise as ew
from edgewise.dtype import DType, QParams
from edgewise.errors import EdgewiseError
from edgewise.graph import Graph, Node, TensorType
from edgewise.importers import load
from edgewise.importers.onnx_ops import operators as onnx_operators
from edgewise.importers.tflite_ops import CUSTOM, OPERATORS
from edgewise.kernels.copy import FillBorder
from edgewise.kernels.isa import ISAS, Isa
from edgewise.ops import Fused, Interpreted, Op
from edgewise.passes import PIPELINE
from edgewise.passes.fuse_epilogue import EPILOGUES, REAL_EPILOGUES
from edgewise.plan import Plan, Step
from edgewise.runtime import plan_for

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "tests/importers", "tests/suites")]

from onnx_nodes import VERSION, Kind, exceptions, kept_counts  # noqa: E402
from test_tflite_operators import CASES, ELSEWHERE, Case  # noqa: E402

from test_program import CASES as PROGRAMS  # noqa: E402
from test_program import FALLBACKS  # noqa: E402
from tflite_builder import TYPES, Operator, Tensor, build  # noqa: E402

READ = {row.name for row in OPERATORS.values()}
NO_OPERATORS = {
    "CUSTOM": "stands for all custom operators",
    "DELEGATE": "is never in a file: what a runtime hands to others while it runs",
    "PLACEHOLDER_FOR_GREATER_OP_CODES": "is no operator: it says that another field has the number",
}
EIGHT_BIT = (DType.UINT8, DType.INT8)


class Row(NamedTuple):
    """What was found about one operator of .tflite files.

    ``native`` and ``reference`` hold the dtypes with which cases run as kernels, on the
    instruction sets named, and with which some need the numpy reference.
    """

    name: str
    classes: tuple[type[Op], ...]
    native: Mapping[DType, tuple[Isa, ...]]
    reference: tuple[DType, ...]
    kernels: tuple[str, ...]


Kernels = defaultdict[type[Op], set[str]]


def main_dtype(inputs: Sequence[Tensor | None], outputs: Sequence[TensorType]) -> DType:
    """The dtype that says what an operator works on: its output's, where an input has it too."""
    given = [t.type.dtype for t in inputs if t is not None]
    if not given or outputs[0].dtype in given:
        return outputs[0].dtype
    computed = [t.type.dtype for t in inputs if t is not None and t.data is None]
    return (computed or given)[0]


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


def operand(tensor: Tensor | None, main: DType, dtype: DType) -> Tensor | None:
    """An operand of type ``main`` as ``dtype``. Of constants, only 8-bit ones change, to 8 bits."""
    if tensor is None or tensor.type.dtype is not main:
        return tensor
    if tensor.data is None:
        return replace(tensor, type=retyped(tensor.type, dtype))
    if not {main, dtype} <= set(EIGHT_BIT):
        return tensor
    data = tensor.data.astype(np.int64) + dtype.range[0] - main.range[0]
    return Tensor(retyped(tensor.type, dtype), data.astype(dtype.numpy), tensor.name)


def variants(case: Case, dtype: DType) -> Iterator[Graph]:
    """The case with ``dtype`` in place of its main one, outputs too or as they are, if it runs."""
    main = main_dtype(case.inputs, case.outputs)
    inputs = [operand(t, main, dtype) for t in case.inputs]
    same = [retyped(t, dtype) if t.dtype is main else t for t in case.outputs]
    for outputs in [same] if same == list(case.outputs) else [same, case.outputs]:
        with contextlib.suppress(EdgewiseError):
            graph = load(case._replace(inputs=inputs, outputs=outputs).file())
            if dtype is DType.STRING:
                run_once(graph, case)
            yield graph


def run_once(graph: Graph, case: Case) -> None:
    """Operators on strings wait until a call, and so does their refusal."""
    rng = np.random.default_rng(1)
    with contextlib.closing(ew.compile(graph)) as program:
        program(*(case.data(rng, v.type) for v in graph.inputs))


def graphs_of(cases: Sequence[Case]) -> dict[DType, list[Graph]]:
    """The cases as they are, by main dtype; for each dtype that none has, variants of them."""
    found: dict[DType, list[Graph]] = {}
    for case in cases:
        dtype = main_dtype(case.inputs, case.outputs)
        found.setdefault(dtype, []).append(load(case.file()))
    for dtype in TYPES.keys() - found.keys():
        graphs = next(filter(None, (list(variants(case, dtype)) for case in cases)), [])
        if graphs:
            found[dtype] = graphs
    return {dtype: found[dtype] for dtype in TYPES if dtype in found}


def examine(name: str, kernels: Kernels) -> Row:
    """Try the cases of an operator; their kernels join ``kernels``."""
    cases = [case for case in CASES.values() if case.builtin == name]
    classes: dict[type[Op], None] = {}
    native: dict[DType, tuple[Isa, ...]] = {}
    reference: dict[DType, None] = {}
    whole: set[str] = set()
    for dtype, graphs in graphs_of(cases).items():
        classes |= {
            type(n.op): None for g in graphs for n in g.nodes if type(n.op) is not Interpreted
        }
        planned = [g for g in graphs if g.nodes and type(g.nodes[-1].op) is not Interpreted]
        if len(planned) < len(graphs):
            reference[dtype] = None
        for isa in ISAS:
            plans = [plan_for(graph, isa) for graph in planned]
            for plan in plans:
                collect(plan, kernels)
            slow = [bool(plan.fallbacks) for plan in plans]
            if not all(slow):
                native[dtype] = (*native.get(dtype, ()), isa)
            if any(slow):
                reference[dtype] = None
            whole |= {
                type(s.kernel).__name__ for p in plans for s in p.steps if isinstance(s, Step)
            }
    used = set().union(*(kernels[c] for c in classes)) or whole
    return Row(name, tuple(classes), native, tuple(reference), tuple(sorted(used)))


def litert_has(name: str) -> bool:
    """Whether LiteRT has a kernel for a builtin operator."""
    x = Tensor(TensorType((1,), DType.FLOAT32))
    try:
        Interpreter(model_content=build([Operator(name, [x], [Tensor(x.type)])], [x], []))
    except ValueError as error:
        return "Didn't find op for builtin opcode" not in str(error)
    return True


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


def operator_line(name: str, kernels: Kernels) -> list[str]:
    if name in NO_OPERATORS:
        return [name, "-", "-", "-", NO_OPERATORS[name]]
    if name in ELSEWHERE:
        return [name, "-", "-", "-", f"read; `tests/importers/{ELSEWHERE[name]}` runs it"]
    if name not in READ:
        assert not litert_has(name), f"LiteRT has {name}"
        return [name, "-", "-", "-", "not read: LiteRT has no kernel for it either"]
    row = examine(name, kernels)
    by_kernel = {
        dtype: "" if isas == ISAS else f" ({', '.join(map(str, isas))})"
        for dtype, isas in row.native.items()
    }
    return [
        row.name,
        code(c.__name__ for c in row.classes) or "-",
        listed(by_kernel),
        listed(dict.fromkeys(row.reference, "")),
        code(row.kernels) or "-",
    ]


def listed(notes: Mapping[DType, str]) -> str:
    """Dtypes with a note each, those left out where they are few."""
    missing = [dtype for dtype in TYPES if dtype not in notes]
    if len(missing) <= 3 and not any(notes.values()):
        return f"all but {', '.join(map(dtype_name, missing))}" if missing else "all"
    return ", ".join(dtype_name(dtype) + note for dtype, note in notes.items()) or "-"


def dtype_name(dtype: DType) -> str:
    return "string" if dtype is DType.STRING else str(dtype)


def fallback_line(case: str, node: Node) -> list[str]:
    return [case, f"`{node.op}`", ", ".join(f"`{list(t.shape)}`" for t in node.input_types)]


def introduction(count: int) -> list[str]:
    """What the columns of the first table mean, of ``count`` rows."""
    return [
        f"Each of the schema's {count} numbers has a row:",
        "",
        "- **with kernels**: the dtypes with which the operator is part of the native program, on",
        f"  all instruction sets ({', '.join(map(str, ISAS))}) unless some are named;",
        "- **by reference**: those with which its numpy reference runs it between two native",
        "  calls. A dtype in both columns has kernels for some attributes or shapes only;",
        "- **kernels**: classes of `src/edgewise/kernels/`. `FillBorder`, which fills the padding",
        "  around a convolution's input, is left out.",
        "",
        "The dtype is that of operands and result, where both have it, else that of the operands.",
        f"Tried were {', '.join(map(dtype_name, TYPES))};",
        "the importer refuses those not listed. What depends on constants alone is computed when",
        "a file is read. Control flow and variables become part of the graph, as",
        "[networks.md](networks.md) says.",
    ]


def onnx() -> list[str]:
    """What is read of ONNX files, and how many of the `onnx` package's tests pass."""
    rows = [
        [kind, str(tests), str(passed), f"{100 * passed / tests:.1f} %"]
        for kind, (tests, passed) in kept_counts().items()
    ]
    return [
        f"## The {len(onnx_operators())} operators of ONNX files that are read",
        "",
        f"Of the standard domain, opset 7 to 28: {code(sorted(onnx_operators()))}.",
        "",
        "`python -m tests.suites.onnx_nodes` runs the operator tests of the `onnx` package",
        f"{VERSION} and prints how many pass, at their own tolerance;",
        "`tests/suites/test_onnx_nodes.py` holds these numbers:",
        "",
        *table(["tests", "number", "pass", "share"], rows),
        "",
        f"*{Kind.COUNTED.value}* are those of one operator that quantizes, or that has float32",
        "tensors and no other floats among its inputs and outputs. Left out are operators on",
        "strings, sequences and encoded images, and other domains (training, machine learning,",
        "preview). Those that do not pass:",
        "",
        *table(["test", "why"], (list(pair) for pair in sorted(exceptions().items()))),
        "",
    ]


def page() -> str:
    """The text of docs/operators.md."""
    kernels: Kernels = defaultdict(set)
    for make in PROGRAMS.values():
        for isa in ISAS:
            collect(plan_for(make(DType.INT8), isa), kernels)
    names = sorted(n for n, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int))
    rows = [operator_line(name, kernels) for name in names]
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
        f"## The {len(READ)} builtin operators of .tflite files that are read",
        "",
        *introduction(len(names)),
        "",
        *table(
            ["operator", "class in `edgewise.ops`", "with kernels", "by reference", "kernels"], rows
        ),
        "",
        "Custom operators that are read: "
        f"{code(sorted(CUSTOM))}. `edgewise.register_custom` adds others.",
        "",
        "Some attributes and shapes have no kernel although the dtype has; known ones, from",
        "`FALLBACKS` in `tests/test_program.py`:",
        "",
        *table(["case", "operator", "inputs"], fallbacks),
        "",
        *onnx(),
        "## Epilogues",
        "",
        "What one kernel computes together, as `EPILOGUES` and, of float32 alone,",
        "`REAL_EPILOGUES` in `passes/fuse_epilogue.py` list it.",
        "",
        *table(
            ["operator", "then", "of"],
            (
                [head.name, tail.name, types]
                for pairs, types in ((EPILOGUES, "8 bits, float32"), (REAL_EPILOGUES, "float32"))
                for head, tail in pairs
            ),
        ),
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
