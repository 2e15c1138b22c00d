"""``edgewise bisect``: the first operator that departs from a peer, or from the references."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks
from typer.testing import Result

import edgewise as ew
from edgewise.errors import InputError
from edgewise.graph import Array, Graph
from edgewise.ops import Activation, Conv2D
from edgewise.tools import bisect as bisecting
from edgewise.tools import differences, peers
from edgewise.tools.facts import Compiling

Edgewise = Callable[..., Result]


@pytest.fixture
def graph() -> Graph:
    return ew.load(small_networks.classifier())


class Shown:
    """The graph's own references as a peer's tensors, one of them changed."""

    def __init__(self, graph: Graph, at: str = "", change: Callable[[Array], Array] = np.copy):
        self.graph, self.at, self.change = graph, at, change

    def run(self, arrays: Sequence[Array]) -> Mapping[str, Array]:
        env = dict(zip(self.graph.inputs, arrays, strict=True))
        found = {}
        for node in self.graph.nodes:
            inputs = [v.data if v.data is not None else env[v] for v in node.inputs]
            for value, array in zip(node.outputs, node.reference(inputs), strict=True):
                env[value] = self.change(array) if value.name == self.at else array
                found[value.name] = env[value]
        return found


def against(
    monkeypatch: pytest.MonkeyPatch, graph: Graph, path: Path, shown: Shown | None, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(peers, "open_tensors", lambda *_: shown)
    inputs = list(differences.random_inputs(graph, 2, 0))
    return bisecting.bisect(graph, path, "litert", inputs, **options)


@pytest.mark.parametrize("name", ["features", "mean", "scores"])
def test_the_operator_is_named(
    name: str, graph: Graph, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(array: Array) -> Array:
        changed = array.copy()
        changed.flat[0] ^= 0x40
        return changed

    facts = against(monkeypatch, graph, classifier, Shown(graph, name, off))
    found = facts["departure"]
    assert (found["tensor"], found["differing"]) == (name, 1)
    assert found["inputs"]
    json.dumps(facts, allow_nan=False)


def test_what_follows_a_departure_is_not_blamed(
    graph: Graph, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(graph, "mean", lambda a: np.asarray(a ^ 1))
    facts = against(monkeypatch, graph, classifier, shown, tolerance=0.0)
    assert facts["departure"]["tensor"] == "mean"
    assert facts["departure"]["cause"] == "rounding"
    assert against(monkeypatch, graph, classifier, shown, tolerance=1.0)["departure"] is None


def test_a_peer_that_shows_no_tensors(
    graph: Graph, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"--against litert: .* does not show its tensors; these"):
        against(monkeypatch, graph, classifier, None)


def test_a_peer_of_another_network(
    graph: Graph, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(graph)
    monkeypatch.setattr(shown, "run", lambda arrays: {"else": np.zeros(1)})
    with pytest.raises(InputError, match="the peer computes 1 tensors; none is the graph's"):
        against(monkeypatch, graph, classifier, shown)


class Wrong(Compiling):
    """Compiles convolutions with an activation that is not theirs."""

    def program(self, graph: Graph, threads: int) -> Any:
        nodes = []
        for node in graph.nodes:
            if isinstance(node.op, Conv2D):
                node = replace(node, op=replace(node.op, activation=Activation.RELU_N1_TO_1))
            nodes.append(node)
        return super().program(graph.with_nodes(nodes), threads)


def test_the_program_against_the_references(graph: Graph, classifier: Path) -> None:
    inputs = list(differences.random_inputs(graph, 1, 0))
    facts = bisecting.bisect(graph, classifier, "reference", inputs)
    assert (facts["departure"], facts["compared"]) == (None, 1)
    facts = bisecting.bisect(graph, classifier, "reference", inputs, compiling=Wrong())
    assert facts["departure"]["op"] == "CONV_2D"
    assert facts["departure"]["cause"] == "range"
    assert facts["compared"] > 1


def test_the_command(edgewise: Edgewise, classifier: Path) -> None:
    result = edgewise("bisect", classifier)
    assert result.exit_code == 0
    assert "none departs by more than 1 steps" in result.stdout
    facts = json.loads(edgewise("bisect", classifier, "--json", "--random", "2").stdout)
    assert (facts["command"], facts["departure"], facts["inputs"]) == ("bisect", None, 2)
    result = edgewise("bisect", classifier, "--against", "reference")
    assert "beginning of the network compared" in result.stdout


def test_the_command_finds_a_departure(
    edgewise: Edgewise, classifier: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(graph, "scores", lambda a: np.asarray(a + 20, a.dtype))
    monkeypatch.setattr(peers, "open_tensors", lambda *_: shown)
    result = edgewise("bisect", classifier)
    assert result.exit_code == 1
    assert "is the first that departs" in result.stdout
    assert "likely cause" in result.stdout


def test_misuse(edgewise: Edgewise, classifier: Path, tmp_path: Path) -> None:
    result = edgewise("bisect", classifier, "--random", "2", "--inputs", "x.npy")
    assert (result.exit_code, "--inputs and --random" in result.stderr) == (2, True)
    assert edgewise("bisect", classifier, "--against", "nobody").exit_code == 2
