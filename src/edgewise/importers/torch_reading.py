"""Reads the nodes of an exported program into a builder."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import ModelError, UnsupportedError
from ..graph import TensorType, Value
from .builder import Builder
from .limits import ComputedError
from .torch_call import Call, Declared, dtype_of
from .torch_ops import row_of

ARITHMETIC: frozenset[Callable[..., Any]] = frozenset(
    getattr(operator, name)
    for name in (
        *("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pow"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_"),
    )
) | {math.ceil, math.floor, math.trunc}
"""Functions of sizes."""

CHECKS = (
    "_assert_scalar",
    "_assert_async",
    "_assert_tensor_metadata",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
)
"""Operators that only check what holds for every call, or what the module's author asserts."""

QUANTIZED = "quantized_decomposed::"
"""How names of the operators begin that quantize and dequantize."""

MAX_TOLD = 12


class Reading:
    """One pass through the nodes of a program whose inputs have known sizes.

    What is not supported is noted, and told once at the end.

    Attributes:
        b: what nodes are added to.
        scope: what nodes hold: values, numbers, or lists of them.
        labels: names of results that are outputs, by node and place.
    """

    def __init__(
        self, b: Builder, scope: dict[Any, Any], labels: Mapping[tuple[Any, int], str]
    ) -> None:
        self.b, self.scope, self.labels = b, scope, labels
        self._lacking: dict[str, list[str]] = {}

    def run(self, nodes: Iterable[Any]) -> None:
        """Read the nodes of functions, in order.

        Raises:
            UnsupportedError: operators, or uses of them, that Edgewise does not have; all of them.
            ModelError: a node breaks a rule.
        """
        for node in nodes:
            name = target_name(node.target)
            self.b.at("node", node.name, name)
            try:
                self.scope[node] = self._read(node, name)
            except (UnsupportedError, ComputedError) as error:
                self._note(str(error).removeprefix(f"{self.b.what}: "), name, node)
        if self._lacking:
            raise self._unsupported()

    def _note(self, problem: str, name: str, node: Any) -> None:
        self._lacking.setdefault(f"{name}: {problem}", []).append(f"{node.name!r}{place_of(node)}")
        with contextlib.suppress(UnsupportedError):
            self.scope[node] = self._stand_in(node)
            return
        raise self._unsupported()

    def _stand_in(self, node: Any) -> Any:
        """Values of the types that the program tells, to read what follows."""
        values = [Value(node.name, TensorType(d.shape, d.dtype)) for d in declared(node)]
        if not values or any(-1 in v.type.shape for v in values):
            raise UnsupportedError("a number, or of a shape that is not known")
        single = not isinstance(node.meta.get("val"), (list, tuple))
        return values[0] if single and values else values

    def _unsupported(self) -> UnsupportedError:
        told = [
            f"{len(nodes)} x {problem} (node {nodes[0]})"
            for problem, nodes in self._lacking.items()
        ]
        more = [f"and {len(told) - MAX_TOLD} more"] if len(told) > MAX_TOLD else []
        return UnsupportedError("not supported: " + "; ".join(told[:MAX_TOLD] + more))

    def _read(self, node: Any, name: str) -> Any:
        """What a node holds."""
        arguments = self._held(node.args)
        if node.target is operator.getitem:
            return self._item(*arguments)
        numbers = all(isinstance(a, (bool, int, float)) for a in arguments)
        if numbers and (node.target in ARITHMETIC or name.startswith("sym_")):
            return _computed(node.target, arguments, self.b.what)
        packet = name.partition(".")[0]
        if packet in CHECKS:
            return None
        row = row_of(name)
        if row is None:
            raise UnsupportedError("the operator")
        types = declared(node)
        wanted = {u.args[1] for u in node.users if u.target is operator.getitem}
        call = Call(self.b, named(node.target, arguments, self._held(node.kwargs)), types, wanted)
        mark = len(self.b.nodes)
        results = row(call)
        if isinstance(results, (bool, int, float)):
            return results
        several = [results] if isinstance(results, Value) else list(results)
        for i, value in enumerate(several[: len(types)]):
            if value is not None:
                several[i] = self._checked(value, types[i])
        renamed = self._renamed(node, several, mark)
        return renamed[0] if isinstance(results, Value) else renamed

    def _held(self, argument: Any) -> Any:
        """An argument of a node, or a list of them, with what their nodes hold."""
        if isinstance(argument, (list, tuple)):
            return [self._held(a) for a in argument]
        if isinstance(argument, Mapping):
            return {key: self._held(a) for key, a in argument.items()}
        try:
            return self.scope.get(argument, argument)
        except TypeError:
            return argument

    def _item(self, of: Any, index: int) -> Any:
        found = of[index] if isinstance(of, (list, tuple)) and index < len(of) else None
        if found is None:
            raise UnsupportedError(f"{self.b.what}: result {index} is not supported")
        return found

    def _checked(self, value: Value, expected: Declared) -> Value:
        """A result, which must be what the program says."""
        found = value.type
        fits = len(found.shape) == len(expected.shape) and all(
            d in (n, -1) for n, d in zip(found.shape, expected.shape, strict=True)
        )
        if not fits or found.dtype is not expected.dtype:
            raise ModelError(
                f"{self.b.what}: its result is {found}, the program says {expected.dtype}"
                f"{list(expected.shape)}"
            )
        return value

    def _renamed(self, node: Any, values: Sequence[Value | None], mark: int) -> list[Value | None]:
        """Results under the names that the program gives them."""
        names: dict[Value, str] = {}
        for value, name in zip(values, names_of(node, len(values), self.labels), strict=True):
            if value is not None:
                names.setdefault(value, name)
        new = self.b.rename(names, mark)
        return [None if v is None else new.get(v, v) for v in values]


def names_of(node: Any, count: int, labels: Mapping[tuple[Any, int], str]) -> list[str]:
    """Names of a node's results: an output's, or the node's with a number if there are several."""
    taken, found = set(labels.values()), []
    for i in range(count):
        name = node.name if count == 1 else f"{node.name}.{i}"
        found.append(labels.get((node, i), f"{name}/value" if name in taken else name))
    return found


def labels_of(outputs: Sequence[tuple[str, Any]]) -> dict[tuple[Any, int], str]:
    """The nodes and places of results that are outputs, with the outputs' names."""
    labels: dict[tuple[Any, int], str] = {}
    for label, node in outputs:
        if getattr(node, "target", None) is operator.getitem:
            labels.setdefault((node.args[0], node.args[1]), label)
        elif getattr(node, "op", "") == "call_function":
            labels.setdefault((node, 0), label)
    return labels


def declared(node: Any) -> list[Declared]:
    """The types of a node's tensors, as the program tells them."""
    found = node.meta.get("val")
    several = found if isinstance(found, (list, tuple)) else [found]
    return [
        Declared(tuple(d if type(d) is int else -1 for d in v.shape), dtype_of(v.dtype))
        for v in several
        if hasattr(v, "dtype") and hasattr(v, "shape")
    ]


def named(target: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an operator by the names of its schema, with defaults."""
    schema = getattr(target, "_schema", None)
    declared = schema.arguments if schema is not None else ()
    found = {a.name: a.default_value for a in declared if a.has_default_value()}
    found.update(zip((a.name for a in declared), arguments, strict=False))
    return {**found, **options}


def target_name(target: Any) -> str:
    """An operator's name as rows have it: of ATen "add.Tensor", of others with the namespace."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return str(getattr(target, "__name__", target))
    namespace, _, name = str(schema.name).partition("::")
    overload = schema.overload_name or "default"
    return f"{name}.{overload}" if namespace == "aten" else f"{namespace}::{name}.{overload}"


def place_of(node: Any) -> str:
    """Where a node comes from: its module, and the line of its source."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values()), ("", ""))[:2] if stack else ("", "")
    kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    module = f"{path} ({kind.rpartition('.')[2]})".strip() if path else kind.rpartition(".")[2]
    lines = [s.strip() for s in (node.meta.get("stack_trace") or "").splitlines()]
    files = [line for line in lines if line.startswith("File ")]
    line = files[-1].rpartition(", in ")[0].replace("File ", "") if files else ""
    told = ", ".join(part for part in (module, line) if part)
    return f" in {told}" if told else ""


def _computed(function: Callable[..., Any], arguments: Sequence[Any], what: str) -> Any:
    try:
        return function(*arguments)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ModelError(f"{what}: of {list(arguments)}: {error}") from error
