"""Options that say how a network is compiled, in every command that compiles one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import edgewise as ew

Edgewise = Callable[..., Result]

COMMANDS = ("run", "inspect", "bench", "compare")


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the calls of ``edgewise.compile`` are given."""
    given: list[dict[str, Any]] = []
    compile_ = ew.compile

    def recorded(graph: ew.Graph, **words: Any) -> ew.Program:
        given.append(words)
        return compile_(graph, **words)

    monkeypatch.setattr(ew, "compile", recorded)
    return given


def words(command: str, model: Path, picture: Path) -> list[object]:
    more: dict[str, list[object]] = {"run": [picture], "bench": ["--rounds", 3]}
    if command == "compare":
        pytest.importorskip("ai_edge_litert")
    return [command, model, *more.get(command, [])]


@pytest.mark.parametrize("command", COMMANDS)
def test_options_reach_the_compiler(
    edgewise: Edgewise,
    options: list[dict[str, Any]],
    classifier: Path,
    photograph: Path,
    command: str,
) -> None:
    given = words(command, classifier, photograph)
    result = edgewise(*given, "--requantization", "fixed_point", "--precision", "bf16")
    assert result.exit_code == 0, result.stderr
    assert len(options) == 1
    assert (options[0]["requantization"], options[0]["precision"]) == ("fixed_point", "bf16")
    assert edgewise(*given).exit_code == 0
    assert (options[1]["requantization"], options[1]["precision"]) == ("float", None)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("option", "value"), [("--requantization", "double"), ("--precision", "f16")]
)
def test_other_values_are_refused(
    edgewise: Edgewise, classifier: Path, photograph: Path, command: str, option: str, value: str
) -> None:
    result = edgewise(*words(command, classifier, photograph), option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{option[2:]}={value!r}" in result.stderr


def test_the_plan_rounds_in_fixed_point(
    facts: Callable[..., dict[str, Any]], classifier: Path
) -> None:
    for rule, found in (("fixed_point", True), ("float", False)):
        document = facts("inspect", classifier, "--requantization", rule)
        assert ("rounding=FIXED_POINT" in json.dumps(document)) == found


def test_compare_follows_the_rule(edgewise: Edgewise, classifier: Path) -> None:
    """The program is held to references of its own rule, bit for bit."""
    pytest.importorskip("ai_edge_litert")
    result = edgewise("compare", classifier, "--requantization", "fixed_point", "--json")
    document = json.loads(result.stdout)
    assert document["program_is_right"]
    assert document["program_steps"] == 0
