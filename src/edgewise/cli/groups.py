"""Options that go together, each group as one parameter of a command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, get_type_hints

from .options import (
    Affinity,
    ChannelsLast,
    Dims,
    InputShapes,
    IsaName,
    Power,
    Precision,
    Requantization,
    Signature,
    Strict,
    Weights,
    parse_dims,
    parse_shapes,
    parse_threads,
)

if TYPE_CHECKING:
    from ..graph import Graph
    from ..runtime import Program
    from ..tools.facts import Compiling, Loading


@dataclass(frozen=True)
class Reading:
    """How a model is read."""

    signature: Signature = None
    shape: InputShapes = None
    dim: Dims = None
    weights: Weights = None

    @property
    def loading(self) -> Loading:
        from ..tools.facts import Loading

        return Loading(self.signature, parse_shapes(self.shape), parse_dims(self.dim), self.weights)


@dataclass(frozen=True)
class ImageReading(Reading):
    """How a model is read whose images may have their channels last against what its file says."""

    channels_last: ChannelsLast = False

    @property
    def loading(self) -> Loading:
        return replace(super().loading, channels_last=self.channels_last)


@dataclass(frozen=True)
class Computing:
    """How a network computes."""

    isa: IsaName = None
    requantization: Requantization = "float"
    precision: Precision = None

    @property
    def compiling(self) -> Compiling:
        from ..tools.facts import Compiling

        return Compiling(self.isa, requantization=self.requantization, precision=self.precision)


@dataclass(frozen=True)
class Running:
    """How a network computes, and on which cores."""

    affinity: Affinity = None
    power: Power = "balanced"
    isa: IsaName = None
    strict: Strict = False
    requantization: Requantization = "float"
    precision: Precision = None

    @property
    def compiling(self) -> Compiling:
        from ..tools.facts import Compiling

        return Compiling(
            self.isa, self.strict, self.requantization, self.precision, self.affinity, self.power
        )

    def threads(self, text: str) -> int:
        """The number that --threads says."""
        return parse_threads(text, self.affinity, self.power)

    def program(self, graph: Graph, threads: str) -> Program:
        """A network compiled for as many threads as --threads says."""
        return self.compiling.program(graph, self.threads(threads))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer takes it: a parameter that is a group becomes its fields, each an option.

    Given:
        def bench(model: Model, *, seed: Seed = 0, computing: Computing, json: Json = False)
    Result:
        def bench(model: Model, *, seed: Seed = 0, isa: IsaName = None,
                  requantization: Requantization = "float", precision: Precision = None,
                  json: Json = False)
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind))
            continue
        groups[parameter.name] = kind
        options = get_type_hints(kind, include_extras=True)
        parameters += (
            parameter.replace(name=f.name, default=f.default, annotation=options[f.name])
            for f in fields(kind)
        )

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{f.name: given.pop(f.name) for f in fields(kind)})
        command(**given)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded
