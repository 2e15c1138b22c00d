"""Recipes: how a network is quantized, as data."""

from __future__ import annotations

import difflib
import glob
import importlib
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ..dtype import DType
from ..errors import InputError
from ..graph import Graph
from .outputs import joins_of_outputs
from .precision import SCHEMES, Precision
from .state import EVERYTHING, Scope, State, layer_name

STEPS: Mapping[str, str] = {
    "adaround": "adaround:adaround",
    "bias_correction": "bias_correction:bias_correction",
    "calibrate": "calibrate:calibrate",
    "clipping": "clipping:clipping",
    "equalize": "equalize:equalize",
    "gptq": "gptq:gptq",
}
"""The steps that a recipe may name: ``module:function`` of this package."""

Given: TypeAlias = "Recipe | Precision | str | os.PathLike[str] | Mapping[str, Any] | None"
"""What a recipe is made from."""

OF_INTEGERS = ("equalize", "calibrate", "gptq")
"""The steps for networks whose activations are integers (docs/accuracy.md)."""

OF_WEIGHTS = ("gptq",)
"""Those for networks of integer weights, and activations of floats; they do without data."""

INTEGERS: Mapping[str, DType | None] = {
    "float32": None,
    "int8": DType.INT8,
    "uint8": DType.UINT8,
    "int16": DType.INT16,
}
"""What a network's inputs and outputs may be."""


@dataclass(frozen=True)
class StepSpec:
    """One step, what it is told, and which layers it works on."""

    step: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scope: Scope = EVERYTHING

    @property
    def function(self) -> Callable[..., State]:
        module, name = STEPS[self.step].split(":")
        found: Callable[..., State] = getattr(
            importlib.import_module(f".{module}", __package__), name
        )
        return found


@dataclass(frozen=True)
class LayerRule:
    """The precision of some layers."""

    scope: Scope
    precision: Precision


@dataclass(frozen=True)
class Recipe:
    """How a network is quantized.

    Attributes:
        precision: of every layer for which ``layers`` has no other; but where outputs are float32,
            layers of integers do not join them (`outputs`).
        steps: run in order.
        layers: precisions of some layers; of several rules for one layer the last counts.
        inputs, outputs: the element types that the caller sees; None is float32.
    """

    precision: Precision = Precision.INT8
    steps: tuple[StepSpec, ...] = ()
    layers: tuple[LayerRule, ...] = ()
    inputs: DType | None = None
    outputs: DType | None = None

    @classmethod
    def default(cls, precision: Precision | str = Precision.INT8) -> Recipe:
        """The recipe for a precision that serves without options."""
        found = Precision.of(precision)
        scheme, steps = SCHEMES[found], tuple[str, ...]()
        if scheme.activations is not None:
            steps = OF_INTEGERS
        elif scheme.weights is not None and not scheme.weights.is_float:
            steps = OF_WEIGHTS
        return cls(found, tuple(map(StepSpec, steps)))

    @property
    def needs_data(self) -> bool:
        """Whether its steps cannot do without."""
        precisions = {self.precision, *(rule.precision for rule in self.layers)}
        is_integer = any(SCHEMES[p].activations is not None for p in precisions)
        return any(is_integer or spec.step not in OF_WEIGHTS for spec in self.steps)

    @classmethod
    def of(
        cls, given: Recipe | Precision | str | os.PathLike[str] | Mapping[str, Any] | None
    ) -> Recipe:
        """A recipe from one, a precision, a mapping, or a .json file.

        A mapping may have ``precision``, ``steps`` (default: those of the precision's default
        recipe), ``layers``, ``inputs`` and ``outputs``. A step is its name, or a mapping with
        ``step``, ``ops`` and ``names`` for its scope, and its options; an entry of ``layers`` has
        ``precision`` with ``ops`` and ``names``.

        Raises:
            InputError: it cannot be read, or names what there is not.
        """
        match given:
            case Recipe():
                return given
            case None | Precision():
                return cls.default(given or Precision.INT8)
            case str() if given in {p.value for p in Precision}:
                return cls.default(given)
            case str() | os.PathLike():
                return cls._from_mapping(_read(os.fspath(given)), os.fspath(given))
            case Mapping():
                return cls._from_mapping(given, "recipe")
        raise InputError(f"recipe: {given!r}; it is a Recipe, a precision, a mapping or a file")

    @classmethod
    def _from_mapping(cls, given: Mapping[str, Any], where: str) -> Recipe:
        known = ("precision", "steps", "layers", "inputs", "outputs")
        _check_keys(given, known, where)
        found = cls.default(Precision.of(given.get("precision", Precision.INT8)))
        steps = found.steps
        if "steps" in given:
            entries = _entries(given["steps"], f"{where}: steps")
            steps = tuple(_step(entry, f"{where}: step {i + 1}") for i, entry in enumerate(entries))
        entries = _entries(given.get("layers", ()), f"{where}: layers")
        layers = tuple(
            _layer(entry, f"{where}: entry {i + 1} of layers") for i, entry in enumerate(entries)
        )
        return replace(
            found,
            steps=steps,
            layers=layers,
            inputs=_integers(given.get("inputs", "float32"), f"{where}: inputs"),
            outputs=_integers(given.get("outputs", "float32"), f"{where}: outputs"),
        )

    def with_layers(self, precisions: Mapping[str, Precision]) -> Recipe:
        """This recipe where layers, by name, have other precisions."""
        by_precision: dict[Precision, list[str]] = {}
        for name, precision in precisions.items():
            by_precision.setdefault(precision, []).append(glob.escape(name))
        rules = (LayerRule(Scope(names=tuple(n)), p) for p, n in by_precision.items())
        return replace(self, layers=(*self.layers, *rules))

    def start(self, graph: Graph) -> State:
        """What the first step starts from: ``graph`` is as `float_network` gives it.

        Raises:
            InputError: a scope has no layer of the network.
        """
        for i, spec in enumerate(self.steps):
            _check_scope(spec.scope, graph, f"step {i + 1} ({spec.step})")
        for i, rule in enumerate(self.layers):
            _check_scope(rule.scope, graph, f"entry {i + 1} of layers")
        joins = set(joins_of_outputs(graph)) if self.outputs is None else set()
        is_integer = SCHEMES[self.precision].activations is not None
        precisions = {}
        for node in graph.nodes:
            of_rules = [rule.precision for rule in self.layers if rule.scope.includes(node)]
            own = Precision.FLOAT32 if is_integer and node in joins else self.precision
            precisions[layer_name(node)] = of_rules[-1] if of_rules else own
        return State(graph, precisions, inputs=self.inputs, outputs=self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """The mapping from which `of` makes this recipe again."""
        return {
            "precision": self.precision.value,
            "steps": [
                {"step": s.step, **_scope_facts(s.scope), **dict(s.options)} for s in self.steps
            ],
            "layers": [
                {"precision": rule.precision.value, **_scope_facts(rule.scope)}
                for rule in self.layers
            ],
            "inputs": self.inputs.value if self.inputs else "float32",
            "outputs": self.outputs.value if self.outputs else "float32",
        }


def _read(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read().decode("utf-8")
        found = json.loads(content)
    except OSError as error:
        known = ", ".join(p.value for p in Precision)
        raise InputError(
            f"{path}: the recipe cannot be read: {error.strerror or error}; it is a file, or one "
            f"of {known}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a recipe: {error}") from None
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: a recipe is an object with precision, steps, layers")
    return found


def _step(given: Any, where: str) -> StepSpec:
    entry = {"step": given} if isinstance(given, str) else given
    name = entry.get("step") if isinstance(entry, Mapping) else entry
    if not isinstance(entry, Mapping) or not isinstance(name, str) or name not in STEPS:
        raise InputError(f"{where}: {name!r}; a step is one of {', '.join(STEPS)}")
    options = {k: v for k, v in entry.items() if k not in ("step", "ops", "names")}
    found = StepSpec(name, options, _scope(entry, where))
    parameters = inspect.signature(found.function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "scope"]
    _check_keys(options, known, f"{where} ({found.step})")
    return found


def _layer(given: Any, where: str) -> LayerRule:
    if not isinstance(given, Mapping) or "precision" not in given:
        raise InputError(f"{where}: {given!r}; it has a precision, and ops or names")
    _check_keys(given, ("precision", "ops", "names"), where)
    return LayerRule(_scope(given, where), Precision.of(given["precision"]))


def _scope(given: Mapping[str, Any], where: str) -> Scope:
    return Scope(*(_names(given.get(key, ()), f"{where}: {key}") for key in ("ops", "names")))


def _scope_facts(scope: Scope) -> dict[str, list[str]]:
    facts = {"ops": list(scope.ops), "names": list(scope.names)}
    return {key: names for key, names in facts.items() if names}


def _check_scope(scope: Scope, graph: Graph, where: str) -> None:
    """Require layers for each name of a scope, and for all of it."""
    for part in (*(Scope(names=(name,)) for name in scope.names), scope):
        if part != EVERYTHING and not any(map(part.includes, graph.nodes)):
            known = list(dict.fromkeys(map(layer_name, graph.nodes)))
            near = [n for name in part.names for n in difflib.get_close_matches(name, known)]
            hint = f"; near: {', '.join(near)}" if near else ""
            told = ", ".join(f"{k} {v}" for k, v in _scope_facts(part).items())
            raise InputError(f"recipe: {where}: {told}: no layer of the network is such{hint}")


def _names(given: Any, where: str) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise InputError(f"{where}: {given!r}; it is a list of names")
    return tuple(names)


def _entries(given: Any, where: str) -> Sequence[Any]:
    if not isinstance(given, list | tuple):
        raise InputError(f"{where}: {given!r}; it is a list")
    return given


def _integers(given: Any, where: str) -> DType | None:
    if not isinstance(given, str) or given not in INTEGERS:
        raise InputError(f"{where}: {given!r}; it is one of {', '.join(INTEGERS)}")
    return INTEGERS[given]


def _check_keys(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise InputError(f"{where}: {key!r} is not known; it takes {', '.join(known)}")


__all__ = ["STEPS", "LayerRule", "Recipe", "Scope", "StepSpec"]
