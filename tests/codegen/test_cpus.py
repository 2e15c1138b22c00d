"""Cores and control groups, told by trees of files as Linux has them under /sys and /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise.codegen import cpus, policy
from edgewise.codegen.cpus import Cores, cores, cpu_list, cpu_text, find_cores
from edgewise.codegen.policy import decide
from edgewise.codegen.target import Target, usable_cpus
from edgewise.errors import InputError

EIGHT = tuple(range(8))
EQUAL = Cores((0, 1), (0, 1), (0, 1), "all cores are equal")
PHONE = Cores(EIGHT, (4, 5, 6, 7), (0, 1, 2, 3), "cpu_capacity")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def per_cpu(name: str, values: list[int]) -> dict[str, str]:
    return {f"sys/devices/system/cpu/cpu{i}/{name}": str(v) for i, v in enumerate(values)}


@pytest.mark.parametrize(
    ("capacities", "big"),
    [
        ([446] * 4 + [1024] * 4, (4, 5, 6, 7)),
        ([325] * 4 + [870] * 3 + [1024], (4, 5, 6, 7)),
        ([1024] * 2 + [300] * 6, (0, 1)),
        ([1024] * 8, None),
        ([1000, 1024] * 4, None),
    ],
    ids=["two kinds", "three kinds", "big first", "equal", "nearly equal"],
)
def test_capacities(tmp_path: Path, capacities: list[int], big: tuple[int, ...] | None) -> None:
    found = find_cores(write(tmp_path, per_cpu("cpu_capacity", capacities)), EIGHT)
    assert found.big == (big or EIGHT)
    assert found.little == (tuple(c for c in EIGHT if c not in big) if big else EIGHT)
    assert found.equal == (big is None)
    assert ("cpu_capacity" in found.source) == (big is not None)


def test_intel_hybrid(tmp_path: Path) -> None:
    lists = {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"}
    found = find_cores(write(tmp_path, lists), EIGHT)
    assert (found.big, found.little) == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert "efficiency" in found.source
    assert find_cores(tmp_path, (0, 1)).equal


def test_clocks(tmp_path: Path) -> None:
    clocks = per_cpu("cpufreq/cpuinfo_max_freq", [1800000] * 4 + [2400000] * 4)
    found = find_cores(write(tmp_path, clocks), EIGHT)
    assert (found.big, found.little) == ((4, 5, 6, 7), (0, 1, 2, 3))


def test_turbo_clocks_of_equal_cores(tmp_path: Path) -> None:
    clocks = per_cpu("cpufreq/cpuinfo_max_freq", [4700000, 5000000] * 4)
    assert find_cores(write(tmp_path, clocks), EIGHT).equal


def test_equal_capacities_and_unequal_clocks(tmp_path: Path) -> None:
    write(tmp_path, per_cpu("cpu_capacity", [1024] * 8))
    write(tmp_path, per_cpu("cpufreq/cpuinfo_max_freq", [1000000] * 4 + [2000000] * 4))
    assert find_cores(tmp_path, EIGHT).big == (4, 5, 6, 7)


def test_only_cores_of_the_process_count(tmp_path: Path) -> None:
    write(tmp_path, per_cpu("cpu_capacity", [446] * 4 + [1024] * 4))
    found = find_cores(tmp_path, (2, 3, 6))
    assert (found.usable, found.big, found.little) == ((2, 3, 6), (6,), (2, 3))
    assert find_cores(tmp_path, (2, 3)).equal


def test_no_files(tmp_path: Path) -> None:
    found = find_cores(tmp_path, EIGHT)
    assert found.equal
    assert found.quota is None
    assert found.count == 8


@pytest.mark.parametrize(
    ("files", "quota", "count"),
    [
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "150000 100000"}, 1.5, 2),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, None, 8),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/b/cpu.max": "600000 100000",
                "sys/fs/cgroup/a/cpu.max": "300000 100000",
            },
            3.0,
            3,
        ),
        ({"proc/self/cgroup": "0::/gone", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5, 1),
        (
            {
                "proc/self/cgroup": "3:memory:/x\n4:cpu,cpuacct:/x\n0::/",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            4.0,
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/x",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
            },
            None,
            8,
        ),
    ],
    ids=["version 2", "no limit", "a parent's", "another namespace", "version 1", "no limit in 1"],
)
def test_quotas(tmp_path: Path, files: dict[str, str], quota: float | None, count: int) -> None:
    found = find_cores(write(tmp_path, files), EIGHT)
    assert (found.quota, found.count) == (quota, count)


def test_this_machine() -> None:
    found = cores()
    assert found.usable == usable_cpus() == tuple(sorted(os.sched_getaffinity(0)))
    assert set(found.big) | set(found.little) == set(found.usable)


@pytest.mark.parametrize(
    ("text", "cpus", "back"),
    [
        ("0", (0,), "0"),
        ("0,2-3", (0, 2, 3), "0,2-3"),
        (" 5, 1 , 2", (1, 2, 5), "1-2,5"),
        ("4-4,4", (4,), "4"),
    ],
)
def test_lists(text: str, cpus: tuple[int, ...], back: str) -> None:
    assert cpu_list(text) == cpus
    assert cpu_text(cpus) == back


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1,,2", "0-9999999999"])
def test_lists_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no range of CPUs"):
        cpu_list(text)
    with pytest.raises(InputError, match="it is all, big, little, or numbers of CPUs such as 0,2"):
        EQUAL.choose(text)


@pytest.mark.parametrize(
    ("affinity", "cpus"),
    [("all", EIGHT), ("big", (4, 5, 6, 7)), ("little", (0, 1, 2, 3)), ("0,6-7", (0, 6, 7))],
)
def test_affinities(affinity: str, cpus: tuple[int, ...]) -> None:
    setting = decide("auto", affinity, found=PHONE)
    assert setting.cpus == cpus
    assert setting.threads == len(cpus)
    assert setting.pinned == (None if affinity == "all" else cpus)
    assert setting.notes == ()


def test_one_thread_anywhere_needs_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "cores", lambda: pytest.fail("looked"))
    setting = decide()
    assert (setting.threads, setting.affinity, setting.power) == (1, "all", "balanced")
    assert setting.cpus == setting.usable == usable_cpus()
    assert setting.pinned is None


def test_policies() -> None:
    quick, usual, thrifty = (
        decide("auto", power=p, found=PHONE) for p in ("performance", "balanced", "powersave")
    )
    assert quick.idle_us > usual.idle_us > thrifty.idle_us == 0
    assert (usual.affinity, thrifty.affinity) == ("all", "little")
    assert thrifty.cpus == (0, 1, 2, 3)
    assert decide(2, "big", "powersave", PHONE).cpus == (4, 5, 6, 7)


def test_notes() -> None:
    assert decide(2, "big", found=EQUAL).notes == ("affinity=big is all: all cores are equal",)
    (note,) = decide(3, found=EQUAL).notes
    assert note == "3 threads share CPUs 0-1: more than 2 make calls slower"
    (note,) = decide(1, "big", found=PHONE).notes
    assert note == "one thread is the caller's own, which affinity=big leaves where it is"
    small = Cores(EIGHT, EIGHT, EIGHT, "", quota=1.5)
    assert decide("auto", found=small).threads == 2
    (note,) = decide(4, found=small).notes
    assert note == "4 threads share CPUs 0-7 with a quota of 1.5: more than 2 make calls slower"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"affinity": "0,9"}, r"affinity='0,9': this process may not run on CPU 9, only on 0-7"),
        ({"affinity": "fast"}, r"affinity='fast'; it is all, big, little, or numbers"),
        ({"power": "eco"}, r"power='eco'; it is one of performance, balanced, powersave"),
        ({"threads": 0}, r"threads=0; a pool has 1..256 threads"),
        ({"threads": "many"}, r"threads='many'; it is a number or 'auto'"),
        ({"threads": 1.5}, r"threads=1.5; it is a number or 'auto'"),
    ],
)
def test_wrong_settings(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decide(**arguments, found=PHONE)


def test_a_system_whose_pool_has_no_threads_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "host", lambda: Target("arm64-apple-macosx11.0.0", "apple-m1"))
    assert decide("auto", found=EQUAL).threads == 1


def test_a_bool_is_no_number_of_threads() -> None:
    with pytest.raises(InputError, match="threads=True"):
        decide(True)
