"""``edgewise tune``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise import tuner
from edgewise.codegen import tuned
from edgewise.plan.choices import Choice

Edgewise = Callable[..., Any]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tuned, "_warned", False)
    return tmp_path


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate that is expected to be the slowest is the fastest, everywhere."""

    def candidates(self: Any, choice: Choice) -> dict[str, float]:
        slowest = max(choice.estimates, key=choice.estimates.__getitem__)
        return {**choice.estimates, slowest: min(choice.estimates.values()) / 2}

    monkeypatch.setattr(tuner._Search, "candidates", candidates)
    monkeypatch.setattr(tuner._Search, "verified", lambda self, other, changes: changes)
    monkeypatch.setattr(tuner._Search, "whole", lambda self: ((3e-3, 2e-3),) * 5)


def test_measures_for_real(classifier: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "PROBLEM_SECONDS", 0.01)
    monkeypatch.setattr(tuner, "NETWORK_SECONDS", 0.1)
    found = facts("tune", classifier, "--budget", 60)
    assert found["command"] == "tune"
    assert found["measured"] == found["problems"] > 0
    assert found["finished"]
    assert tuned.known() == ({1: found["measured"]} if found["saved"] else {})
    again = facts("tune", classifier)
    assert again["problems"] == found["problems"]
    assert again["known"] == (found["measured"] if found["saved"] else 0)
    assert again["measured"] == again["problems"] - again["known"]


def test_facts(classifier: Path, facts: Facts, pretend: None) -> None:
    found = facts("tune", classifier, "--threads", 2)
    assert found["threads"] == 2
    assert found["kept"]
    assert found["saved"]
    assert found["network"]["before_ms"] == pytest.approx(3)
    assert found["network"]["ratio"]["value"] == pytest.approx(1.5)
    assert found["network"]["ratio"]["verdict"] == "faster"
    for change in found["changes"]:
        assert change["before"] != change["after"]
        assert change["alone_us"]["after"] < change["alone_us"]["before"]
        assert change["layers"]
        assert change["kept"]
    assert found["changes"]
    assert tuned.known() == {2: found["problems"]}


def test_tables(classifier: Path, edgewise: Edgewise, pretend: None) -> None:
    result = edgewise("tune", classifier)
    assert result.exit_code == 0, result.stderr
    assert "CONV_2D" in result.stdout
    assert "3.000 ms -> 2.000 ms: 1.500 times as fast" in result.stdout
    assert "not kept" not in result.stdout
    assert "no kernels measured" not in edgewise("doctor").stdout
    assert "1 file of measurements deleted" in edgewise("tune", "--reset").stdout
    assert "no kernels measured" in edgewise("doctor").stdout


def test_dry_run(classifier: Path, edgewise: Edgewise, facts: Facts, pretend: None) -> None:
    assert "as --dry-run says" in edgewise("tune", classifier, "--dry-run").stdout
    found = facts("tune", classifier, "--dry-run")
    assert found["kept"]
    assert not found["saved"]
    assert tuned.known() == {}


def test_slower_networks_are_told(
    classifier: Path, edgewise: Edgewise, pretend: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuner._Search, "whole", lambda self: ((2e-3, 3e-3),) * 5)
    result = edgewise("tune", classifier)
    assert "not kept the whole network is not faster" in result.stdout
    assert result.stdout.count("not kept") > 1, "rows say it too"
    assert tuned.known() == {}


def test_nothing_changes(
    classifier: Path, edgewise: Edgewise, pretend: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tuner._Search, "candidates", lambda self, choice: {choice.chosen: 1e-3, "other": 1.0}
    )
    out = edgewise("tune", classifier).stdout
    assert "the cost model's kernels stay: nothing measured is faster" in out


def test_the_network_that_comes_with_edgewise(
    facts: Facts, pretend: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert facts("tune", "cifar10", "--dry-run")["problems"]


def test_reset_before_a_model(classifier: Path, facts: Facts, pretend: None) -> None:
    facts("tune", classifier)
    assert facts("tune", classifier)["measured"] == 0
    found = facts("tune", classifier, "--reset")
    assert found["forgotten_files"] == 1
    assert found["measured"] == found["problems"]
    assert facts("tune", classifier, "--again")["measured"] == found["problems"]


@pytest.mark.parametrize("words", [("--budget", "-1"), ("--threads", "x"), ("--dry-run",)])
def test_what_fails_deletes_nothing(
    classifier: Path, edgewise: Edgewise, facts: Facts, pretend: None, words: tuple[str, ...]
) -> None:
    facts("tune", classifier)
    before = tuned.known()
    assert edgewise("tune", classifier, "--reset", *words).exit_code == 2
    assert edgewise("tune", classifier.with_name("none.tflite"), "--reset").exit_code == 2
    assert tuned.known() == before != {}


def test_inspect_tells_what_is_in_force(
    classifier: Path, edgewise: Edgewise, facts: Facts, pretend: None
) -> None:
    before = facts("inspect", classifier)
    assert before["choices"] > 0
    assert before["measured_choices"] == 0
    assert "by measurements" not in edgewise("inspect", classifier).stdout
    facts("tune", classifier)
    after = facts("inspect", classifier)
    measured, count = after["measured_choices"], after["choices"]
    assert 0 < measured <= count
    assert after["kernels"] != before["kernels"]
    assert f"{measured} of {count} choices by" in edgewise("inspect", classifier).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "MODEL is missing; only --reset does without"),
        (("--budget", "0"), "--budget 0: a number of seconds above 0"),
        (("--reset", "--dry-run"), "give one of the two"),
        (("--threads", "x"), "--threads x: a whole number"),
        (("--isa", "neon"), "isa='neon': this machine runs"),
    ],
)
def test_errors(classifier: Path, edgewise: Edgewise, words: tuple[str, ...], message: str) -> None:
    result = edgewise("tune", *([classifier] if words else []), *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
