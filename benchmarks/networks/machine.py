"""What a result depends on besides the code: the machine, and the versions of the runtimes."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from edgewise.codegen.target import host, processor
from edgewise.tools.doctor import available_isas, usable_cores

from .peers import CONTESTANTS

CPU = Path("/sys/devices/system/cpu/cpu0")


def machine() -> dict[str, Any]:
    """The processor, its caches, the kernel; what cannot be read is left out."""
    facts: dict[str, Any] = {
        "cpu": processor(),
        "cores": usable_cores(),
        "isa": available_isas(host())[0],
        "caches": dict(_caches()),
        "memory_gib": _memory(),
        "mhz": _frequency(),
        "governor": _read(CPU / "cpufreq/scaling_governor"),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "llvm": ".".join(map(str, llvm.llvm_version_info)),
    }
    return {key: value for key, value in facts.items() if value}


def versions(keys: Iterable[str]) -> dict[str, str]:
    """Of the packages of contestants, by their names at PyPI."""
    found = {}
    for key in keys:
        package = CONTESTANTS[key].package
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _caches() -> Iterator[tuple[str, str]]:
    for folder in sorted(CPU.glob("cache/index*")):
        kind, level, size = (_read(folder / name) for name in ("type", "level", "size"))
        if size and kind != "Instruction":
            yield f"L{level}", size


def _memory() -> float | None:
    for line in (_read(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _frequency() -> float | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("cpu MHz"):
            return round(float(line.split(":")[1]))
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
