"""The symbolic dimensions of an exported program: their names, and sizes for a choice of shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..graph import Shapes


class Sizes:
    """The shapes of a program's inputs.

    Args:
        exported: the program.
        names: the user's names of symbols, by the program's.
        inputs: its nodes.
        shapes, dims: those that were chosen; others are as at export.

    Attributes:
        shapes: by name.
        open: of the inputs that have symbolic dimensions, with -1 for each.
        symbols: the sizes of symbols, by the user's names.

    Raises:
        InputError: there is no such input or symbol, or the program does not take that size.
    """

    def __init__(
        self,
        exported: Any,
        names: Mapping[str, str],
        inputs: Sequence[Any],
        shapes: Shapes,
        dims: Mapping[str, int],
    ) -> None:
        self._names = names
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.open: dict[str, tuple[int, ...]] = {}
        self.symbols: dict[str, int] = {}
        self._found: dict[Any, int] = {}
        user = set(exported.graph_signature.user_inputs)
        values = {n.name: n.meta["val"] for n in inputs if n.name in user}
        tensors = {name: v for name, v in values.items() if hasattr(v, "shape")}
        self._check_names(shapes, tensors, "input")
        for name, value in tensors.items():
            self._bind(name, value, shapes.get(name), dims)
        self._check_names(dims, self.symbols, "symbolic dimension")
        for name, value in tensors.items():
            shape = tuple(self._size(d) for d in value.shape)
            if name in shapes and shape != shapes[name]:
                raise InputError(
                    f"input {name!r}: shape {list(shapes[name])}; the program takes "
                    f"{[str(d) for d in value.shape]}, here {list(shape)}"
                )
            self.shapes[name] = shape
            if any(type(d) is not int for d in value.shape):
                self.open[name] = tuple(d if type(d) is int else -1 for d in value.shape)
        for symbol, limits in exported.range_constraints.items():
            size = self._found.get(symbol)
            if size is not None and not limits.lower <= size <= limits.upper:
                raise InputError(
                    f"dimension {self._name(symbol)!r}: {size}; it was exported for "
                    f"{limits.lower} to {limits.upper}"
                )

    @staticmethod
    def _check_names(given: Mapping[str, Any], known: Mapping[str, Any], kind: str) -> None:
        unknown = sorted(set(given) - set(known))
        if unknown:
            names = sorted(known) or "none"
            raise InputError(f"no {kind} is named {unknown[0]!r}; the program has {names}")

    def _name(self, symbol: Any) -> str:
        return self._names.get(str(symbol), str(symbol))

    def _bind(self, name: str, value: Any, given: Any, dims: Mapping[str, int]) -> None:
        """Give the symbols of one input sizes: those given, else those at export."""
        if given is not None and len(given) != len(value.shape):
            raise InputError(
                f"input {name!r}: shape {list(given)}; the program's has {len(value.shape)} "
                "dimensions"
            )
        for i, d in enumerate(value.shape):
            if type(d) is int:
                continue
            expression = d.node.expr
            for symbol in expression.free_symbols:
                label = self._name(symbol)
                chosen = dims.get(label, self.symbols.get(label))
                if given is not None:
                    chosen = _solved(expression, symbol, given[i], chosen)
                if chosen is None:
                    chosen = _hint(d, symbol)
                self._found.setdefault(symbol, chosen)
                if self.symbols.setdefault(label, chosen) != chosen:
                    raise InputError(
                        f"input {name!r}: {chosen} for dimension {label!r}, which is "
                        f"{self.symbols[label]} elsewhere"
                    )

    def _size(self, d: Any) -> int:
        if type(d) is int:
            return d
        return int(d.node.expr.subs(self._found))


def _solved(expression: Any, symbol: Any, size: int, otherwise: Any) -> Any:
    """The symbol with which ``expression``, it times and plus whole numbers, is ``size``."""
    start = expression.subs(symbol, 0)
    step = expression.subs(symbol, 1) - start
    is_linear = step.is_Integer and expression == step * symbol + start
    if not is_linear or (size - start) % step:
        return otherwise
    return int((size - start) / step)


def _hint(d: Any, symbol: Any) -> int:
    """The size at export; 1 where the file does not keep it."""
    known = getattr(d.node.shape_env, "backed_var_to_val", None)
    if known is None:
        known = getattr(d.node.shape_env, "var_to_val", {})
    found = known.get(symbol)
    if found is None and d.node.expr == symbol and d.node.hint is not None:
        found = d.node.hint
    return 1 if found is None else int(found)


def symbol_names(exported: Any, dynamic_shapes: Any) -> dict[str, str]:
    """The user's names of symbols, by the program's."""
    found: dict[str, str] = {}
    if dynamic_shapes is None:
        return found
    user = list(exported.graph_signature.user_inputs)
    if isinstance(dynamic_shapes, Mapping):
        specs = {name: dynamic_shapes.get(name) for name in user}
    else:
        specs = dict(zip(user, dynamic_shapes, strict=False))
    nodes = {n.name: n for n in exported.graph.nodes if n.op == "placeholder"}
    for name, spec in specs.items():
        if name not in nodes:  # a number, fixed at export
            continue
        pairs = spec.items() if isinstance(spec, Mapping) else enumerate(spec or ())
        shape = getattr(nodes[name].meta.get("val"), "shape", ())
        for i, dim in pairs:
            label = getattr(getattr(dim, "root", dim), "__name__", None)
            is_open = isinstance(i, int) and i < len(shape) and type(shape[i]) is not int
            symbols = shape[i].node.expr.free_symbols if is_open else ()
            if label is not None and len(symbols) == 1:
                found[str(*symbols)] = label
    return found
