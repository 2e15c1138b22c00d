"""Measurements of kernels, kept for processes to come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from edgewise.codegen import cache, tuned
from edgewise.codegen.cache import CacheWarning
from edgewise.codegen.target import processor
from edgewise.plan.choices import UNTUNED

MEASURED = {"qgemm 49x16": {"a": 2e-6, "b": 1e-6}, "conv 7x7": {"c": 3e-6}}


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.setattr(tuned, "_warned", False)
    return folder


def file(where: Path, threads: int = 1) -> Path:
    (found,) = where.glob(f"*.{threads}.tuning")
    return found


def test_nothing_was_measured(where: Path) -> None:
    assert tuned.load() is UNTUNED
    assert tuned.digest() == ""
    assert tuned.known() == {}
    assert not where.exists()


def test_kept(where: Path) -> None:
    assert tuned.save(MEASURED)
    found = tuned.load()
    assert found.measured == MEASURED
    assert found.digest == tuned.digest() != ""
    assert tuned.known() == {1: 2}


def test_later_measurements_replace_those_of_the_same_problem(where: Path) -> None:
    tuned.save(MEASURED)
    before = tuned.digest()
    tuned.save({"conv 7x7": {"d": 1e-6}, "new": {"e": 1e-3}})
    assert tuned.load().measured == {
        "qgemm 49x16": MEASURED["qgemm 49x16"],
        "conv 7x7": {"d": 1e-6},
        "new": {"e": 1e-3},
    }
    assert tuned.digest() != before


def test_threads(where: Path) -> None:
    """What was measured with as many threads, else with one."""
    tuned.save(MEASURED)
    assert tuned.load(2).measured == MEASURED
    assert tuned.digest(2) == tuned.digest(1)
    assert tuned.load(2, others=False) is UNTUNED
    tuned.save({"conv 7x7": {"d": 1e-6}}, 2)
    assert tuned.load(2).measured == {"conv 7x7": {"d": 1e-6}}
    assert tuned.load(1).measured == MEASURED
    assert len({tuned.digest(n) for n in (1, 2)}) == 2
    assert tuned.known() == {1: 2, 2: 1}


def test_machines(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines share a folder: each goes by its own measurements and keeps the other's."""
    tuned.save(MEASURED)
    with monkeypatch.context() as patch:
        patch.setattr(tuned, "machine", lambda: "another, 1M")
        assert tuned.load() is UNTUNED
        assert tuned.known() == {1: 0}
        tuned.save({"conv 7x7": {"d": 1e-6}})
        assert tuned.load().measured == {"conv 7x7": {"d": 1e-6}}
        other = tuned.digest()
    assert tuned.load().measured == MEASURED
    assert tuned.digest() != other


@pytest.mark.parametrize("name", ["SOURCES", "host"])
def test_versions_and_features(where: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    tuned.save(MEASURED)
    with monkeypatch.context() as patch:
        patch.setattr(tuned, name, (lambda: "features") if name == "host" else "another version")
        assert tuned.load() is UNTUNED
    assert tuned.load().measured == MEASURED


def test_machine_names_its_processor_and_caches() -> None:
    assert tuned.machine().startswith(processor())


def test_reset(where: Path) -> None:
    tuned.save(MEASURED)
    tuned.save(MEASURED, 2)
    assert tuned.reset() == 2
    assert tuned.load() is UNTUNED
    assert tuned.reset() == 0


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_damaged_files_are_ignored_with_one_warning(where: Path, damage: str) -> None:
    tuned.save(MEASURED)
    path = file(where)
    content = path.read_bytes()
    path.unlink()
    ends = {"cut": content[:-20], "changed": content[:20] + b"~" + content[21:], "empty": b""}
    path.write_bytes(ends[damage])
    with pytest.warns(CacheWarning, match="was damaged; kernels are chosen without it"):
        assert tuned.load() is UNTUNED
    path.write_bytes(ends[damage])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tuned.digest() == ""
    assert tuned.save(MEASURED)
    assert tuned.load().measured == MEASURED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"[]", "list indices must be integers"),
        (b'{"machines": {}}', "'format'"),
        (b'{"format": 2, "machines": {}}', "it has format 2, not 1"),
        (b'{"format": 1, "machines": 3}', "'int' object is not iterable"),
        ({"conv": {"a": -1.0}}, "the times of 'conv' are no times"),
        ({"conv": {"a": "fast"}}, "the times of 'conv' are no times"),
        ({"conv": 3}, "'int' object has no attribute 'values'"),
        (3, "'int' object has no attribute 'items'"),
    ],
)
def test_other_contents_are_ignored(where: Path, content: object, reason: str) -> None:
    tuned.save(MEASURED)
    path = file(where)
    if not isinstance(content, bytes):
        content = json.dumps({"format": 1, "machines": {tuned.machine(): content}}).encode()
    key, _, suffix = path.name.partition(".")
    cache.put(key, f".{suffix}", content)
    with pytest.warns(CacheWarning, match="cannot be read") as caught:
        assert tuned.load() is UNTUNED
    assert reason in str(caught[0].message)
    assert tuned.save(MEASURED)
    assert tuned.load().measured == MEASURED


def test_useless_folder(where: Path) -> None:
    where.write_text("a file where the folder should be")
    with pytest.warns(CacheWarning):
        assert not tuned.save(MEASURED)
    assert tuned.load() is UNTUNED


@pytest.mark.skipif(sys.platform == "win32", reason="the last writer wins there")
def test_writers_at_once_lose_nothing(where: Path) -> None:
    code = (
        "import sys\n"
        "from edgewise.codegen import tuned\n"
        "for i in range(20):\n"
        "    assert tuned.save({f'{sys.argv[1]} {i}': {'a': 1e-6}})\n"
    )
    env = {**os.environ, "EDGEWISE_CACHE_DIR": str(where)}
    command = [sys.executable, "-W", "error", "-c", code]
    writers = [subprocess.Popen([*command, str(i)], env=env) for i in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert set(tuned.load().measured) == {f"{w} {i}" for w in range(3) for i in range(20)}
