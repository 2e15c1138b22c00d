"""Findings about the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.codegen.target import Target
from edgewise.errors import CompileError
from edgewise.tools import doctor


def checks() -> dict[str, doctor.Check]:
    return {c.name: c for c in doctor.examine()}


def test_everything_is_named() -> None:
    found = checks()
    assert list(found) == [
        "edgewise",
        "cpu",
        "cores",
        "target",
        "instruction set",
        "cache",
        "tuning",
        "llvm",
        "extra litert",
        "extra openvino",
        "extra plot",
    ]
    assert found["cpu"].facts["usable_cores"] >= 1
    assert found["llvm"].ok


def test_the_best_instruction_set_comes_first() -> None:
    avx2 = ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "popcnt", "sse3", "sse4.1", "sse4.2")
    laptop = Target("x86_64-unknown-linux-gnu", "x86-64", (*avx2, "ssse3"))
    assert doctor.available_isas(laptop) == ["avx2", "sse41"]
    assert doctor.available_isas(Target("riscv64-unknown-linux-gnu", "generic")) == []


def test_a_machine_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "host", lambda: Target("riscv64-unknown-linux-gnu", "generic"))
    check = checks()["instruction set"]
    assert not check.ok
    assert "no kernels for this machine" in check.detail


def test_an_unknown_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Target:
        raise CompileError("this machine is unknown to LLVM: x")

    monkeypatch.setattr(doctor, "host", unknown)
    check = checks()["target"]
    assert not check.ok
    assert "unknown to LLVM" in check.detail


def test_the_cache_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(tmp_path))
    (tmp_path / "entry").write_bytes(bytes(1000))
    check = checks()["cache"]
    assert check.ok
    assert check.facts["bytes"] == 1000
    assert check.facts["files"] == 1


def test_a_cache_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    check = checks()["cache"]
    assert not check.ok
    assert "is not a folder" in check.detail


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "peer_version", lambda package: None)
    check = checks()["extra litert"]
    assert not check.ok
    assert "pip install 'edgewise[litert]'" in check.detail


def test_a_cache_folder_open_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program does not use such a folder, so ``doctor`` says so."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(folder))
    cache = checks()["cache"]
    assert not cache.ok
    assert "other users can write" in cache.detail
