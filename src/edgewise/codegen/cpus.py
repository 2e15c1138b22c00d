"""The processor's cores as Linux tells them: which are big, which this process may use."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .target import usable_cpus

MAX_CPUS = 1024
"""As many as masks of affinity hold."""

_KINDS = {"cpu_atom": 1.0, "cpu_core": 2.0}
CLOSE = 0.85
"""Cores are equal where the least has this share of the greatest's speed: turbo clocks differ by
a few percent among cores of one kind."""


@dataclass(frozen=True)
class Cores:
    """The CPUs that this process may run on.

    Attributes:
        usable: their numbers.
        big, little: the fast and the slow ones of them; both are ``usable`` where all are equal.
        source: what tells them apart, in words.
        quota: how many CPUs' time the process may take (cgroups), where that is limited.
    """

    usable: tuple[int, ...]
    big: tuple[int, ...]
    little: tuple[int, ...]
    source: str
    quota: float | None = None

    @property
    def equal(self) -> bool:
        return self.big == self.little

    @property
    def count(self) -> int:
        """How many threads these cores are good for, the quota taken into account."""
        return _within(len(self.usable), self.quota)

    def threads(self, cpus: tuple[int, ...]) -> int:
        """How many threads are good for some of them."""
        return _within(len(cpus), self.quota)

    def choose(self, affinity: str) -> tuple[int, ...]:
        """The CPUs that ``affinity`` names: all, big, little, or numbers such as "0,2-3".

        Raises InputError for another word, or a CPU that the process may not run on.
        """
        named = {"all": self.usable, "big": self.big, "little": self.little}
        if affinity in named:
            return named[affinity]
        try:
            cpus = cpu_list(affinity)
        except ValueError:
            cpus = ()
        if not cpus:
            raise InputError(
                f"affinity={affinity!r}; it is all, big, little, or numbers of CPUs such as 0,2-3"
            )
        missing = [cpu for cpu in cpus if cpu not in self.usable]
        if missing:
            raise InputError(
                f"affinity={affinity!r}: this process may not run on CPU {missing[0]}, only on "
                f"{cpu_text(self.usable)}"
            )
        return cpus


def find_cores(root: Path = Path("/"), usable: tuple[int, ...] | None = None) -> Cores:
    """What the files under ``root`` tell; ``usable`` are the process's own CPUs if not given.

    Kinds of cores are told by their capacity (ARM; Linux 6.12 elsewhere), by Intel's lists of
    performance and efficiency cores, or by the greatest clock. Of three kinds or more, those in the
    lower half between the slowest and the fastest are little.
    """
    own = usable_cpus() if usable is None else usable
    quota = _quota(root)
    folder = root / "sys/devices"
    hybrid = _lists(folder)
    for source, speeds in (
        ("cpu_capacity", _numbers(folder, own, "cpu_capacity")),
        ("lists of performance and efficiency cores", {c: hybrid[c] for c in own if c in hybrid}),
        ("greatest clock", _numbers(folder, own, "cpufreq/cpuinfo_max_freq")),
    ):
        if len(speeds) != len(own) or min(speeds.values()) >= CLOSE * max(speeds.values()):
            continue
        middle = (min(speeds.values()) + max(speeds.values())) / 2
        big = tuple(cpu for cpu in own if speeds[cpu] > middle)
        little = tuple(cpu for cpu in own if speeds[cpu] <= middle)
        return Cores(own, big, little, source, quota)
    return Cores(own, own, own, "all cores are equal, as far as the system tells", quota)


@functools.cache
def cores() -> Cores:
    """Those of this process, found once."""
    return find_cores()


def cpu_list(text: str) -> tuple[int, ...]:
    """The numbers in a list as Linux writes them, such as "0,2-3". Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        run = range(int(ends[1]), int(ends[2] or ends[1]) + 1) if ends else range(0)
        if not run or run[-1] >= MAX_CPUS:
            raise ValueError(f"{part!r} is no range of CPUs")
        found.update(run)
    return tuple(sorted(found))


def cpu_text(cpus: tuple[int, ...]) -> str:
    """The inverse of `cpu_list`, with ranges where they are shorter."""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def _within(count: int, quota: float | None) -> int:
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def _numbers(devices: Path, cpus: tuple[int, ...], name: str) -> dict[int, float]:
    """A number that each CPU's folder holds, where it does."""
    found = {cpu: _read(devices / f"system/cpu/cpu{cpu}" / name) for cpu in cpus}
    return {cpu: float(text) for cpu, text in found.items() if text.isdigit() and int(text)}


def _lists(devices: Path) -> dict[int, float]:
    """A greater number for Intel's performance cores than for its efficiency cores."""
    texts = ((_read(devices / kind / "cpus"), kind) for kind in _KINDS)
    return {cpu: _KINDS[kind] for text, kind in texts if text for cpu in cpu_list(text)}


def _quota(root: Path) -> float | None:
    """The least quota of the process's control groups, from its own to the root's."""
    quotas: list[float] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / controllers
        inner = Path(path.lstrip("/"))
        for folder in (inner, *inner.parents):
            quotas += _quota_of(base / folder)
    return min(quotas, default=None)


def _quota_of(folder: Path) -> list[float]:
    """What cpu.max (version 2) or cpu.cfs_quota_us (version 1) allow, in CPUs."""
    words = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us"),
        _read(folder / "cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]):
        return []
    return [int(words[0]) / int(words[1])]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
