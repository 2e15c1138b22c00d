from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from edgewise.codegen import cache
from edgewise.codegen.cache import CacheWarning

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some" / "cache"
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_warned", False)
    return folder


def test_round_trip(where: Path) -> None:
    assert cache.get("a", ".so") is None
    file = cache.put("a", ".so", b"code")
    assert file == cache.path("a", ".so") == where / "a.so"
    assert cache.get("a", ".so") == file
    assert cache.read("a", ".so") == b"code"
    assert file is not None
    assert file.read_bytes().startswith(b"code")
    assert cache.read("a", ".o") is None
    assert os.listdir(where) == ["a.so"]


def test_empty_entry(where: Path) -> None:
    cache.put("a", ".so", b"")
    assert cache.read("a", ".so") == b""


def test_view_is_mapped(where: Path) -> None:
    cache.put("a", ".so", bytes(range(200)))
    view = cache.view("a", ".so")
    assert view == bytes(range(200))
    assert view.readonly
    assert cache.view("b", ".so") is None


@pytest.mark.parametrize("at", [0, 4095, 4096, 9000, 12287, 12288, 12300])
def test_damage_is_found_anywhere(where: Path, at: int) -> None:
    data = os.urandom(12301)
    file = cache.put("a", ".so", data)
    assert cache.read("a", ".so") == data
    assert file is not None
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    assert cache.read("a", ".so") is None


def test_blocks_in_another_order_are_damage(where: Path) -> None:
    file = cache.put("a", ".so", bytes(4096) + bytes([1]) * 4096)
    assert file is not None
    content = file.read_bytes()
    file.write_bytes(content[4096:8192] + content[:4096] + content[8192:])
    assert cache.read("a", ".so") is None


def test_empty_file_is_damaged(where: Path) -> None:
    where.mkdir(parents=True)
    (where / "a.so").touch()
    assert cache.get("a", ".so") is None
    assert os.listdir(where) == []


@pytest.mark.parametrize(
    ("system", "variable", "start"),
    [
        ("linux", "XDG_CACHE_HOME", "base"),
        ("linux", None, "home/.cache"),
        ("darwin", None, "home/Library/Caches"),
        ("win32", "LOCALAPPDATA", "base"),
        ("win32", None, "home/AppData/Local"),
    ],
)
def test_folder_by_system(
    monkeypatch: pytest.MonkeyPatch, system: str, variable: str | None, start: str
) -> None:
    for name in ("EDGEWISE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "home")
    if variable is not None:
        monkeypatch.setenv(variable, "base")
    monkeypatch.setattr(sys, "platform", system)
    assert cache.folder() == Path(start, "edgewise")


def test_later_entry_replaces(where: Path) -> None:
    cache.put("a", ".so", b"first")
    cache.put("a", ".so", b"second")
    assert cache.read("a", ".so") == b"second"


def test_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEWISE_CACHE_DIR")
    assert "edgewise" in str(cache.folder())


def test_keys_tell_lists_apart() -> None:
    keys = [
        cache.key("ab", "c"),
        cache.key("a", "bc"),
        cache.key("abc"),
        cache.key(b"abc"),
        cache.key("abc", ""),
        cache.key(),
    ]
    assert len(set(keys)) == len(keys)
    assert cache.key("abc", b"d") == cache.key("abc", b"d")


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1000, 1031])
def test_truncated_entry_is_not_used(where: Path, size: int) -> None:
    file = cache.put("a", ".so", bytes(range(250)) * 4)
    assert file is not None
    os.truncate(file, size)
    assert cache.get("a", ".so") is None
    assert not file.exists()


def test_changed_entry_is_not_used(where: Path) -> None:
    file = cache.put("a", ".so", b"x" * 1000)
    assert file is not None
    for at in (0, 500, 999, 1000, 1031):
        content = bytearray(file.read_bytes())
        content[at] ^= 1
        file.write_bytes(content)
        assert cache.get("a", ".so") is None
        cache.put("a", ".so", b"x" * 1000)


class FullDisk:
    """A file on a disk that has no room left after a few bytes."""

    def __init__(self, name: str, mode: str) -> None:
        self.stream = open(name, mode)  # noqa: SIM115

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *problem: object) -> None:
        self.stream.close()

    def write(self, data: bytes) -> None:
        self.stream.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_warns_once(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "open", FullDisk, raising=False)
    with pytest.warns(CacheWarning, match="No space left") as caught:
        assert cache.put("a", ".so", b"x" * 100) is None
    assert [warning.filename for warning in caught] == [__file__]
    assert cache.put("b", ".so", b"x" * 100) is None
    assert os.listdir(where) == []


@posix
def test_write_that_fails_half_way(where: Path) -> None:
    """The system cuts a real write short; nothing of it stays, and the program goes on."""
    code = (
        "import resource, warnings; from edgewise.codegen import cache\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    assert cache.put('a', '.so', bytes(1 << 20)) is None\n"
        "    assert cache.put('b', '.so', bytes(1 << 20)) is None\n"
        "assert [w.category for w in caught] == [cache.CacheWarning], caught\n"
        "assert cache.put('c', '.so', b'small')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert os.listdir(where) == ["c.so"]


def test_folder_that_is_a_file(where: Path) -> None:
    where.parent.mkdir(parents=True)
    where.write_text("a file")
    with pytest.warns(CacheWarning, match="not kept"):
        assert cache.put("a", ".so", b"code") is None
    assert cache.get("a", ".so") is None


def test_folder_that_cannot_be_read(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> memoryview:
        raise PermissionError(errno.EACCES, "Permission denied")

    cache.put("a", ".so", b"code")
    monkeypatch.setattr(cache, "_mapped", refuse)
    with pytest.warns(CacheWarning, match="Permission denied"):
        assert cache.get("a", ".so") is None


@posix
def test_folder_that_others_can_write_to(where: Path) -> None:
    cache.put("a", ".so", b"code")
    where.chmod(0o770)
    with pytest.warns(CacheWarning, match="other users can write"):
        assert cache.get("a", ".so") is None
    where.chmod(0o700)
    assert cache.read("a", ".so") == b"code"


@posix
def test_new_folder_is_private(where: Path) -> None:
    cache.put("a", ".so", b"code")
    assert where.stat().st_mode & 0o777 == 0o700


def test_least_recently_used_goes_first(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 3500)
    now = time.time()
    for age, name in ((300, "a"), (200, "b"), (100, "c")):
        file = cache.put(name, ".so", bytes(1000))
        assert file is not None
        os.utime(file, (now - age, now - age))
    assert cache.get("a", ".so")
    cache.put("d", ".so", bytes(1000))
    assert sorted(os.listdir(where)) == ["a.so", "c.so", "d.so"]
    cache.put("e", ".so", bytes(9000))
    assert os.listdir(where) == ["e.so"]


def test_the_folder_is_looked_over_now_and_then(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each file, and yet it never holds more than it may."""
    monkeypatch.setattr(cache, "LIMIT", 64_000)
    usual, looks = os.scandir, []

    def scandir(folder: Path) -> Any:
        looks.append(folder)
        return usual(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for i in range(200):
        assert cache.put(f"{i}", ".so", bytes(500))
        with usual(where) as found:
            assert sum(entry.stat().st_size for entry in found) <= 64_000
    assert 20 < len(looks) < 40
    with usual(where) as found:
        assert sum(entry.stat().st_size for entry in found) > 58_000


def test_temporary_files_left_behind_go(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 100)
    cache.put("a", ".so", b"code")
    old, young = where / ".x.so.1.ab", where / ".y.so.1.ab"
    for file in (old, young):
        file.write_bytes(b"half")
    lock = where / ".tuning.lock"
    lock.touch()
    for file in (old, lock):
        os.utime(file, (0, 0))
    cache.put("b", ".so", b"code")
    assert (old.exists(), young.exists(), lock.exists()) == (False, True, True)


def write_and_read(worker: int) -> int:
    """How many reads gave something else than one writer's whole data."""
    warnings.simplefilter("error")
    bad = 0
    for i in range(60):
        cache.put(f"k{i % 3}", ".so", bytes([worker]) * (20_000 + worker))
        found = cache.read(f"k{i % 3}", ".so")
        bad += found is None or len(set(found)) != 1 or len(found) != 20_000 + found[0]
    return bad


def test_writers_at_the_same_time(where: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(write_and_read, range(6), chunksize=1) == [0] * 6
    assert sorted(os.listdir(where)) == ["k0.so", "k1.so", "k2.so"]
