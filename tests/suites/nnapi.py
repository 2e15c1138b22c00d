"""Android NNAPI's test cases as graphs of Edgewise.

The suite is ``suites/nnapi_specs_golden`` of the data folder: one JSON case a line. A case is a
model of NNAPI operations, whose arguments are trailing operands, with inputs and golden outputs.

``plain`` tells which cases count; ``to_graph`` turns one into a graph, operation by operation
(``nnapi_operations.py``); ``mismatch`` compares results at the suite's own tolerance.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Node, TensorType, Value, verify
from edgewise.ops import Op

Array = npt.NDArray[Any]

FOLDER = Path("suites", "nnapi_specs_golden", "cases")

DTYPES = {
    "BOOL": DType.BOOL,
    "BOOL8": DType.BOOL,
    "FLOAT16": DType.FLOAT32,
    "FLOAT32": DType.FLOAT32,
    "INT32": DType.INT32,
    "QUANT8_ASYMM": DType.UINT8,
    "QUANT8_ASYMM_SIGNED": DType.INT8,
    "QUANT8_SYMM": DType.INT8,
    "QUANT8_SYMM_PER_CHANNEL": DType.INT8,
    "QUANT16_ASYMM": DType.UINT16,
    "QUANT16_SYMM": DType.INT16,
}
"""NNAPI's element types, less TENSOR_. Half precision is computed in single precision."""

SINGLE, HALF = (1e-5, 5e-6), (5 * 2.0**-10, 5 * 2.0**-10)
"""The suite's absolute and relative tolerance of floats: single precision; half, or relaxed."""


class NoEquivalentError(Exception):
    """Edgewise has no operator for an operation of NNAPI."""


@dataclass(frozen=True)
class Operand:
    """One operand of a case. An absent one has no value, or is an input without data."""

    type: str
    dims: tuple[int, ...]
    lifetime: str
    data: Any = None
    quant: QParams | None = None
    ignored: bool = False

    @property
    def dtype(self) -> DType:
        return DTYPES[self.type]

    @property
    def is_absent(self) -> bool:
        return self.lifetime == "NO_VALUE" or (self.lifetime == "SUBGRAPH_INPUT" and not self.data)

    @functools.cached_property
    def array(self) -> Array:
        """The data that the case gives it: of a constant, an input or a golden output."""
        return np.asarray(self.data, self.dtype.numpy).reshape(self.dims)


@dataclass(frozen=True)
class Operation:
    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    operands: tuple[Operand, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A case; ``name`` is its specification and its name there."""

    name: str
    model: Model
    subgraphs: int
    relaxed: bool
    expect_failure: bool

    @property
    def plain(self) -> bool:
        """Whether it is one operation, without subgraphs, that is meant to succeed.

        Cases of more operations are the same ones with every input behind an operation that
        does nothing ("all inputs as internal"), and a few networks.
        """
        return len(self.model.operations) == 1 and not (self.subgraphs or self.expect_failure)

    @property
    def operation(self) -> str:
        """The type of its first operation."""
        return self.model.operations[0].type


def read_cases(data: Path) -> Iterator[Case]:
    """All cases of the suite in the data folder, in order of their names."""
    for path in sorted((data / FOLDER).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (_case(json.loads(line)) for line in lines)


def _case(raw: Mapping[str, Any]) -> Case:
    main = raw["main"]
    operations = (
        Operation(o["type"], tuple(o["inputs"]), tuple(o["outputs"])) for o in main["operations"]
    )
    model = Model(
        tuple(_operand(o) for o in main["operands"]),
        tuple(operations),
        tuple(main["inputs"]),
        tuple(main["outputs"]),
    )
    spec = raw["spec"].removesuffix(".mod.py")
    name = f"{spec}:{raw['case'].removeprefix('test_model').removeprefix('_')}".removesuffix(":")
    return Case(name, model, len(raw["referenced"]), raw["relaxed"], raw["expect_failure"])


def _operand(raw: Mapping[str, Any]) -> Operand:
    kind = raw["type"].removeprefix("TENSOR_")
    quant = None
    if "channel_scales" in raw:
        scales = tuple(raw["channel_scales"])
        quant = QParams(scales, (0,) * len(scales), raw["channel_dim"])
    elif raw.get("scale"):
        quant = QParams.per_tensor(np.float32(raw["scale"]), raw.get("zero_point", 0))
    return Operand(
        kind,
        tuple(raw["dims"]),
        raw["lifetime"],
        raw.get("data"),
        quant,
        raw.get("ignored", False),
    )


@dataclass
class Build:
    """A graph under construction: the values of a case's operands, the nodes so far."""

    model: Model
    values: dict[int, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def value(self, index: int) -> Value:
        """The value of operand ``index``; a constant one is made when it is first asked for."""
        if index not in self.values:
            operand = self.model.operands[index]
            assert operand.data is not None, f"operand {index} has no value"
            self.values[index] = constant(operand.array, operand.quant)
        return self.values[index]

    def node(
        self, op: Op, inputs: Sequence[Value], quants: Sequence[QParams | None]
    ) -> list[Value]:
        """Append ``op``; ``quants`` are the parameters of its outputs, if they are quantized."""
        types = op.infer([v.type for v in inputs])
        outputs = tuple(
            Value(f"v{len(self.nodes)}.{i}", TensorType(t.shape, t.dtype, quant))
            for i, (t, quant) in enumerate(zip(types, quants, strict=True))
        )
        self.nodes.append(Node(op, tuple(inputs), outputs))
        return list(outputs)


class Call:
    """One operation as its translation sees it: operands as values or as data, results."""

    def __init__(self, build: Build, operation: Operation) -> None:
        self.build, self.operation = build, operation
        self.count = len(operation.inputs)

    def operand(self, i: int) -> Operand:
        """The operation's input ``i``."""
        return self.build.model.operands[self.operation.inputs[i]]

    def has(self, i: int) -> bool:
        """Whether input ``i`` is given."""
        return i < self.count and not self.operand(i).is_absent

    def x(self, i: int) -> Value:
        """Input ``i`` as a value of the graph."""
        return self.build.value(self.operation.inputs[i])

    def data(self, i: int, default: Any = None) -> Any:
        """Input ``i`` as numbers: a number for a scalar, else a list, flat.

        A case may make an input of what Edgewise has as an attribute; its data is used then.
        """
        if not self.has(i):
            return default
        operand = self.operand(i)
        return operand.array.item() if not operand.dims else operand.array.ravel().tolist()

    def result(self, k: int = 0) -> Operand:
        """The operation's output ``k``, as the case declares it."""
        return self.build.model.operands[self.operation.outputs[k]]

    def quant(self, k: int = 0) -> QParams | None:
        """The quantization of output ``k``."""
        return self.result(k).quant

    def apply(self, op: Op, *inputs: Value, quant: QParams | None = None) -> Value:
        """An intermediate result: of ``quant``, else quantized as the first input is."""
        (y,) = self.build.node(op, inputs, [quant or inputs[0].type.quant])
        return y

    def outputs(self, op: Op, *inputs: Value, order: Sequence[int] = ()) -> list[Value]:
        """All of the operator's results, each with the quantization of the operation's output.

        ``order`` names those outputs where they are others than the first, in that order.
        """
        numbers = order or range(len(self.operation.outputs))
        return self.build.node(op, inputs, [self.quant(k) for k in numbers])

    def output(self, op: Op, *inputs: Value) -> Value:
        """The one result, with the quantization of the operation's first output."""
        return self.build.node(op, inputs, [self.quant()])[0]


Translation = Callable[[Call], "Value | Sequence[Value | None]"]
"""From an operation to the values of its outputs; None for one that nothing may use."""


def constant(array: Array, quant: QParams | None = None) -> Value:
    array = np.asarray(array)
    array.flags.writeable = False
    return Value("constant", TensorType(array.shape, DType.of(array), quant), array)


def to_graph(case: Case, translations: Mapping[str, Translation]) -> Graph:
    """The case as a graph whose inputs and outputs are ``inputs_of`` and ``outputs_of`` it.

    Raises:
        NoEquivalentError: an operation is not among the translations.
        GraphError: an operator refuses its operands.
    """
    model = case.model
    build = Build(model)
    for index in inputs_of(case):
        operand = model.operands[index]
        build.values[index] = Value(
            f"input{index}", TensorType(operand.dims, operand.dtype, operand.quant)
        )
    for operation in model.operations:
        if operation.type not in translations:
            raise NoEquivalentError(operation.type)
        given = translations[operation.type](Call(build, operation))
        results = [given] if isinstance(given, Value) else given
        for index, value in zip(operation.outputs, results, strict=True):
            if value is not None:
                build.values[index] = value
    graph = Graph(
        tuple(build.values[i] for i in inputs_of(case)),
        tuple(build.values[i] for i in outputs_of(case)),
        tuple(build.nodes),
        case.name,
    )
    verify(graph)
    return graph


def inputs_of(case: Case) -> list[int]:
    """The operands that a case feeds: its inputs but for absent ones."""
    operands = case.model.operands
    return [i for i in case.model.inputs if not operands[i].is_absent]


def outputs_of(case: Case) -> list[int]:
    """The operands that a case tests: its outputs but for those that it says to ignore."""
    return [i for i in case.model.outputs if not case.model.operands[i].ignored]


def feeds(case: Case) -> list[Array]:
    """The arrays for the graph's inputs."""
    return [case.model.operands[i].array for i in inputs_of(case)]


def mismatch(case: Case, given: Sequence[Array]) -> str | None:
    """What is wrong with the results; None where all are within the suite's tolerance.

    Quantized results may be one step off; integers and booleans are equal; floats as ``SINGLE``,
    or as ``HALF`` where they are half precision or the case is relaxed.
    """
    for k, (index, y) in enumerate(zip(outputs_of(case), given, strict=True)):
        operand = case.model.operands[index]
        golden = operand.array
        if (y.shape, y.dtype) != (golden.shape, golden.dtype):
            return (
                f"output {k} is {y.dtype}{list(y.shape)}; "
                f"it must be {golden.dtype}{list(golden.shape)}"
            )
        a, b = y.ravel().astype(np.float64), golden.ravel().astype(np.float64)
        allowed: Array = np.zeros_like(b)
        if operand.dtype.is_float:
            half = case.relaxed or operand.type.startswith("FLOAT16")
            absolute, relative = HALF if half else SINGLE
            allowed = absolute + relative * np.abs(b)
        elif operand.type.startswith("QUANT"):
            allowed = np.ones_like(b)
        wrong = np.flatnonzero(~((np.abs(a - b) <= allowed) | (a == b)))
        if wrong.size:
            i = int(wrong[0])
            return f"output {k}: {wrong.size} of {b.size} differ; [{i}] is {a[i]:g}, not {b[i]:g}"
    return None
