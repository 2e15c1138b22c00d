"""The operator tests of the `onnx` package: which count, how one is run, how results are compared.

``python -m tests.suites.onnx_nodes`` runs them and prints how many pass; ``--only REGEX`` runs
those whose names match and prints what is wrong with each. onnx_exceptions.csv lists those that
do not pass, and why, onnx_counts.csv how many do of each kind; ``--write`` writes both, after which
reasons of new exceptions want to be told better than by their errors.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import edgewise as ew
from edgewise.graph import Graph

Array = npt.NDArray[Any]
Run = Callable[[Graph, Sequence[Array]], Sequence[Array]]

VERSION = "1.23.2"
"""The version of the package whose tests these files are about."""

EXCEPTIONS, COUNTS = (
    Path(__file__).with_name(f"onnx_{name}.csv") for name in ("exceptions", "counts")
)

STRINGS = ("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer")
SEQUENCES = ("SequenceInsert", "SequenceMap", "SplitToSequence")
IMAGES = ("ImageDecoder",)
QUANTIZED = (
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
)
FLOAT32, STRING = 1, 8
OTHER_FLOATS = (10, 11, 14, 15, 16, *range(17, 21), 23, 24)
"""Numbers of TensorProto.DataType: floats that are not float32, and complex numbers."""


class Kind(Enum):
    """What a test is about, as the totals tell them apart.

    COUNTED: one operator of the standard domain that quantizes, or that has a float32 tensor and
    no other floats among its inputs and outputs. OTHER: one of other element types alone.
    EXPANDED: the functions that define operators, written out as several.
    LEFT_OUT: other domains (training, machine learning, preview), and operators on strings, on
    sequences and on encoded images.
    """

    COUNTED = "float32 and quantized"
    OTHER = "other element types"
    EXPANDED = "functions written out"
    LEFT_OUT = "strings, sequences, encoded images, other domains"


class Case(NamedTuple):
    """A test: a model of, most often, one node, with inputs and expected outputs."""

    name: str
    model: Any
    data: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float

    @property
    def operator(self) -> str:
        """The operator of its last node."""
        return str(self.model.graph.node[-1].op_type)

    @property
    def kind(self) -> Kind:
        graph = self.model.graph
        types = [_element(v.type) for v in (*graph.input, *graph.output)]
        operators = {n.op_type for n in graph.node}
        if (
            any(n.domain not in ("", "ai.onnx") for n in graph.node)
            or operators & {*STRINGS, *SEQUENCES, *IMAGES}
            or any(t is None or t == STRING for t in types)
        ):
            return Kind.LEFT_OUT
        if "_expanded" in self.name:
            return Kind.EXPANDED
        if operators & set(QUANTIZED):
            return Kind.COUNTED
        single = FLOAT32 in types and not set(types) & set(OTHER_FLOATS)
        return Kind.COUNTED if single else Kind.OTHER


def _element(type: Any) -> int | None:
    """The element type of a tensor or an optional one; None for sequences."""
    kind = type.WhichOneof("value")
    if kind == "optional_type":
        return _element(type.optional_type.elem_type)
    return int(type.tensor_type.elem_type) if kind == "tensor_type" else None


@cache
def cases() -> tuple[Case, ...]:
    """All tests of the installed `onnx` package, by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = collect_testcases()
    made = (Case(c.name, c.model, c.data_sets, c.rtol, c.atol) for c in found)
    return tuple(sorted(made, key=lambda case: case.name))


def exceptions() -> dict[str, str]:
    """The tests that do not pass, of those that are not left out, and why."""
    with EXCEPTIONS.open(newline="", encoding="utf-8") as file:
        return {row["case"]: row["reason"] for row in csv.DictReader(file)}


def counts(found: Iterable[str]) -> dict[str, tuple[int, int]]:
    """How many tests of each kind there are, and pass where ``found`` are those that do not."""
    names, total, passed = set(found), Counter[str](), Counter[str]()
    for case in cases():
        total[case.kind.value] += 1
        passed[case.kind.value] += case.name not in names
    return {k.value: (total[k.value], passed[k.value]) for k in Kind if k is not Kind.LEFT_OUT}


def kept_counts() -> dict[str, tuple[int, int]]:
    """What `counts` gave when it was written."""
    with COUNTS.open(newline="", encoding="utf-8") as file:
        return {r["kind"]: (int(r["tests"]), int(r["passed"])) for r in csv.DictReader(file)}


def write(found: Mapping[str, str]) -> None:
    """Keep what is wrong with each test that does not pass, and how many do."""
    known = exceptions()
    with EXCEPTIONS.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("case", "reason"))
        rows.writerows((name, known.get(name, found[name])) for name in sorted(found))
    with COUNTS.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("kind", "tests", "passed"))
        rows.writerows((kind, *both) for kind, both in counts(found).items())


def reference(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    values = dict(zip(graph.inputs, arrays, strict=True))
    values.update((state.before, state.initial) for state in graph.states)
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    return [v.data if v.data is not None else values[v] for v in graph.outputs]


def compiled(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    with contextlib.closing(ew.compile(graph)) as program:
        given = program(*arrays)
    return list(given) if isinstance(given, tuple) else [given]


def held(x: Any) -> Array:
    """An input or output of a test as Edgewise holds it: types of few bits in wider ones."""
    from onnx import TensorProto, numpy_helper

    array = numpy_helper.to_array(x) if isinstance(x, TensorProto) else np.asarray(x)
    name = array.dtype.name
    if name in ("int4", "int2", "uint4", "uint2"):
        return array.astype(np.int8 if name[0] == "i" else np.uint8)
    return array.astype(np.float32) if name.startswith(("bfloat", "float8", "float4")) else array


def wrong_with(case: Case, run: Run = compiled) -> str | None:
    """What is wrong with the results of a test, in one line; None if it passes."""
    try:
        graph = ew.load(case.model.SerializeToString())
        for inputs, expected in case.data:
            given = run(graph, [held(x) for x in inputs])
            wrong = mismatch(case, given, expected)
            if wrong:
                return wrong
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def plain(data: Any) -> Array:
    """What a test gives or expects; types of fewer bits, and bfloat16, as Edgewise holds them."""
    from onnx import TensorProto, numpy_helper

    array = np.asarray(numpy_helper.to_array(data) if isinstance(data, TensorProto) else data)
    narrow = re.match("bfloat16|float[48]|(u?int)[24]$", array.dtype.name)
    if narrow is None:
        return array
    return array.astype(f"{narrow[1]}8" if narrow[1] else np.float32)


def mismatch(case: Case, given: Sequence[Array], expected: Sequence[Any]) -> str | None:
    """How outputs differ from the expected ones by more than the test's tolerance."""
    if len(given) != len(expected):
        return f"{len(given)} outputs; {len(expected)} are expected"
    for i, (y, wanted) in enumerate(zip(given, map(held, expected), strict=True)):
        if (y.dtype, y.shape) != (wanted.dtype, wanted.shape):
            return f"output {i} is {y.dtype}{y.shape}; expected is {wanted.dtype}{wanted.shape}"
        exact = wanted.dtype.kind not in "fc"
        close = (
            y == wanted
            if exact
            else np.isclose(y, wanted, rtol=case.rtol, atol=case.atol, equal_nan=True)
        )
        if not np.all(close):
            at = tuple(int(n) for n in np.argwhere(~close)[0])
            count = int(np.sum(~close))
            return f"output {i} differs at {count} places; at {at} {y[at]} for {wanted[at]}"
    return None


def failures(chosen: Iterable[Case], run: Run = compiled) -> dict[str, str]:
    """What is wrong with each test that does not pass."""
    found = {}
    for case in chosen:
        wrong = wrong_with(case, run)
        if wrong:
            found[case.name] = wrong
    return found


def main() -> int:
    """Print how many tests of each kind pass; 1 if the exceptions listed are not those found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", metavar="REGEX", help="run tests whose names match")
    parser.add_argument("--reference", action="store_true", help="by references, not compiled")
    parser.add_argument("--write", action="store_true", help="keep exceptions and counts")
    chosen = parser.parse_args()
    listed, found, tried = exceptions(), {}, Counter[Kind]()
    for case in cases():
        kind = case.kind
        if kind is Kind.LEFT_OUT or not re.search(chosen.only or "", case.name):
            continue
        tried[kind] += 1
        wrong = wrong_with(case, reference if chosen.reference else compiled)
        if wrong is not None:
            found[case.name] = wrong
            print(f"{kind.name} {case.name} [{listed.get(case.name, 'not listed')}]: {wrong}")
    if chosen.only:
        print(f"{tried.total() - len(found)} of {tried.total()} pass")
        return 0
    if chosen.write:
        write(found)
    for kind_, (total, passed) in counts(found).items():
        print(f"{kind_}: {passed} of {total} pass ({100 * passed / total:.1f} %)")
    return int(found.keys() != exceptions().keys())


if __name__ == "__main__":
    sys.exit(main())
