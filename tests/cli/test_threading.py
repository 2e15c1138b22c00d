"""The options --threads, --affinity and --power, and what the commands tell of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_cli import fails
from typer.testing import Result

from edgewise.codegen.cpus import cores
from edgewise.codegen.policy import POLICIES

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def where() -> Iterator[set[int]]:
    """The CPUs of this process, which the commands may change; set again afterwards."""
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_defaults(facts: Facts, classifier: Path, where: set[int]) -> None:
    found = facts("inspect", classifier)["threading"]
    assert found == {
        "threads": 1,
        "affinity": "all",
        "power": "balanced",
        "cpus": sorted(where),
        "idle_us": POLICIES["balanced"].idle * 1e6,
        "notes": [],
    }
    assert os.sched_getaffinity(0) == where


def test_as_many_threads_as_cores(facts: Facts, classifier: Path) -> None:
    assert facts("inspect", classifier, "--threads", "auto")["threads"] == cores().count
    (result,) = facts("bench", classifier, "--threads", "auto", "--rounds", 3)["results"]
    assert result["threads"] == result["threading"]["threads"] == cores().count


def test_chosen_cores(facts: Facts, classifier: Path, where: set[int]) -> None:
    cpu = min(where)
    options = ("--affinity", cpu, "--power", "performance", "--threads", 2)
    found = facts("inspect", classifier, *options)["threading"]
    assert found["cpus"] == [cpu]
    assert found["notes"] == [f"2 threads share CPUs {cpu}: more than 1 make calls slower"]
    assert os.sched_getaffinity(0) == {cpu}


@pytest.mark.parametrize("command", ["run", "inspect", "bench", "profile"])
def test_what_is_in_force_is_shown(
    edgewise: Edgewise, facts: Facts, classifier: Path, photograph: Path, command: str
) -> None:
    more: dict[str, list[object]] = {
        "run": [photograph],
        "bench": ["--rounds", 3],
        "profile": ["--runs", 3],
    }
    words = (command, classifier, *more.get(command, []), "--threads", 2, "--power", "powersave")
    shown = " ".join(edgewise(*words).stdout.split())
    assert "threads 2, on CPUs " in shown
    assert "(little); powersave: without work they sleep at once" in shown
    document = facts(*words)
    found = document["results"][0] if command == "bench" else document
    assert found["threading"]["power"] == "powersave"


def test_doctor_tells_of_cores(facts: Facts) -> None:
    (check,) = (c for c in facts("doctor")["checks"] if c["name"] == "cores")
    assert check["facts"]["usable"] == list(cores().usable)
    assert check["facts"]["threads"] == cores().count
    assert f"threads=auto is {cores().count}" in check["detail"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "some"), "--threads some: a whole number from 1 to 64, or auto"),
        (("--affinity", "1023"), "affinity='1023': this process may not run on CPU 1023"),
        (("--affinity", "fast"), "affinity='fast'; it is all, big, little, or numbers of CPUs"),
        (("--power", "eco"), "power='eco'; it is one of performance, balanced, powersave"),
    ],
)
def test_wrong_options(
    edgewise: Edgewise, classifier: Path, options: tuple[str, str], message: str
) -> None:
    fails(edgewise("inspect", classifier, *options), message)
