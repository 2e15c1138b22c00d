"""What the functions behind the commands share: how they load and compile, what JSON takes."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgewise as ew

from ..graph import Array, Graph, Shapes, Value
from ..ops import Fused, Op

if TYPE_CHECKING:
    from ..runtime import Program

Facts = dict[str, Any]
"""What a command found, as its JSON document has it (docs/json.md)."""

Step = Callable[[], None]
"""Told of progress: called after each round or file."""


@dataclass(frozen=True)
class Loading:
    """What ``edgewise.load`` is told besides the file."""

    signature: str | None = None
    shapes: Shapes = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    weights: Path | None = None
    channels_last: bool = False

    def graph(self, model: Path) -> Graph:
        """The network of a file."""
        return ew.load(
            model,
            self.signature,
            self.shapes,
            dims=self.dims,
            weights=self.weights,
            channels_last=self.channels_last,
        )


AS_IT_IS = Loading()


@dataclass(frozen=True)
class Compiling:
    """What ``edgewise.compile`` is told besides the number of threads."""

    isa: str | None = None
    strict: bool = False
    requantization: str = "float"
    precision: str | None = None
    affinity: str | None = None
    power: str = "balanced"

    def program(self, graph: Graph, threads: int) -> Program:
        """The compiled network. Where ``affinity`` chooses cores, this thread keeps to them too."""
        program = ew.compile(graph, threads=threads, **asdict(self))
        if program.threading.pinned is not None:
            os.sched_setaffinity(0, program.threading.pinned)
        return program


DEFAULT = Compiling()


def threading_facts(program: Program) -> Facts:
    """What is in force of the options of threads."""
    found = program.threading
    return {
        "threads": found.threads,
        "affinity": found.affinity,
        "power": found.power,
        "cpus": list(found.cpus),
        "idle_us": found.idle_us,
        "notes": list(found.notes),
    }


def as_list(given: Array | tuple[Array, ...]) -> list[Array]:
    return list(given) if isinstance(given, tuple) else [given]


def short_names(files: Iterable[Path]) -> dict[Path, str]:
    """What tables call files: their names, or all of a path where several have one name."""
    paths = set(files)
    count = Counter(path.name for path in paths)
    return {path: path.name if count[path.name] == 1 else str(path) for path in paths}


def finite(number: float) -> float | None:
    """JSON knows no infinity: None stands for it (and for not-a-number)."""
    return number if math.isfinite(number) else None


def op_name(op: Op) -> str:
    """The operator's name; of an operator with an epilogue, all names."""
    if isinstance(op, Fused):
        return " + ".join((op.head.name, *(stage.op.name for stage in op.tail)))
    return op.name


def value_facts(value: Value) -> Facts:
    return {
        "name": value.name,
        "type": str(value.type),
        "shape": list(value.type.shape),
        "dtype": str(value.type.dtype),
    }
