"""Options that go together, as one parameter of a command."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from edgewise.cli.groups import Computing, ImageReading, Running, grouped
from edgewise.cli.options import Json, Model, Seed
from edgewise.tools.facts import Compiling, Loading


def test_a_group_becomes_its_options_in_its_place() -> None:
    @grouped
    def command(model: Model, *, seed: Seed = 0, computing: Computing, json: Json = False) -> None:
        """What it does."""

    found = inspect.signature(command).parameters
    assert list(found) == ["model", "seed", "isa", "requantization", "precision", "json"]
    assert [p.default for p in found.values()][1:] == [0, None, "float", None, False]
    assert command.__doc__ == "What it does."


def test_a_command_is_given_its_groups() -> None:
    given: list[Any] = []
    app = typer.Typer()

    @app.command()
    @grouped
    def command(model: Model, *, computing: Running, reading: ImageReading) -> None:
        given.extend((model, computing.compiling, computing.threads("2"), reading.loading))

    words = "m.onnx --isa sse41 --strict --power powersave --affinity 0 --signature first"
    more = "--shape x=1,2 --dim n=3 --weights w.bin --channels-last"
    result = CliRunner().invoke(app, [*words.split(), *more.split()])
    assert result.exit_code == 0, result.output
    assert given == [
        Path("m.onnx"),
        Compiling("sse41", True, "float", None, "0", "powersave"),
        2,
        Loading("first", {"x": (1, 2)}, {"n": 3}, Path("w.bin"), True),
    ]
