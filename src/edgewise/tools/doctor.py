"""What this machine offers and what Edgewise will use of it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..codegen import cache, tuned
from ..codegen.cpus import cpu_text, find_cores
from ..codegen.target import Target, host, processor
from ..errors import CompileError
from ..kernels.isa import ISAS
from .peers import peer_version

EXTRAS = {
    "litert": ("ai-edge-litert", "compare, bench --against litert"),
    "openvino": ("openvino", "bench --against openvino"),
    "plot": ("matplotlib", "profile --plot, inspect --memory --plot"),
}
"""Optional extras: the package that each brings, and what needs it."""


@dataclass(frozen=True)
class Check:
    """One finding. ``ok`` is False where something is amiss and ``detail`` says what to do.

    ``facts`` hold the same for programs.
    """

    name: str
    ok: bool
    detail: str
    facts: dict[str, Any]


def examine() -> list[Check]:
    """All findings about this machine, this installation and the cache."""
    return [*_system(), *_instruction_sets(), _cache(), _tuning(), _llvm(), *_extras()]


def findings(checks: Sequence[Check]) -> dict[str, Any]:
    """The facts of ``edgewise doctor``."""
    return {
        "ok": all(c.ok for c in checks),
        "checks": [
            {"name": c.name, "ok": c.ok, "detail": c.detail, "facts": c.facts} for c in checks
        ],
    }


def _system() -> Iterator[Check]:
    implementation = f"{platform.python_implementation()} {platform.python_version()}"
    yield Check(
        "edgewise",
        sys.version_info >= (3, 10),
        f"{__version__} on {implementation}, {platform.system()} {platform.machine()}",
        {
            "version": __version__,
            "python": platform.python_version(),
            "system": platform.system(),
            "machine": platform.machine(),
        },
    )
    name, cores, usable = processor(), os.cpu_count() or 1, usable_cores()
    detail = f"{name}, {cores} cores" + (f", {usable} usable here" if usable != cores else "")
    yield Check("cpu", True, detail, {"name": name, "cores": cores, "usable_cores": usable})
    yield _cores()


def _cores() -> Check:
    """What ``affinity`` and ``threads`` "auto" choose from."""
    found = find_cores()
    detail = found.source
    if not found.equal:
        detail = f"big {cpu_text(found.big)}, little {cpu_text(found.little)} (by {found.source})"
    if found.quota is not None:
        detail += f"; a quota of {found.quota:.2g} CPUs"
    facts = {
        "usable": list(found.usable),
        "big": list(found.big),
        "little": list(found.little),
        "equal": found.equal,
        "source": found.source,
        "quota": found.quota,
        "threads": found.count,
    }
    return Check("cores", True, f"{detail}; threads=auto is {found.count}", facts)


def _instruction_sets() -> Iterator[Check]:
    try:
        target = host()
    except CompileError as error:
        yield Check("target", False, str(error), {})
        return
    yield Check(
        "target",
        True,
        f"{target.triple}: {' '.join(target.features) or 'no features known'}",
        {"triple": target.triple, "cpu": target.cpu, "features": list(target.features)},
    )
    available = available_isas(target)
    chosen = available[0] if available else None
    yield Check(
        "instruction set",
        chosen is not None,
        f"{chosen} (also available: {', '.join(available[1:]) or 'none'})"
        if chosen
        else f"no kernels for this machine; known are {', '.join(i.name for i in ISAS)}",
        {"chosen": chosen, "available": available, "known": [i.name for i in ISAS]},
    )


def available_isas(target: Target) -> list[str]:
    """The instruction sets that ``target`` runs, the best first."""
    features = set(target.features)
    return [i.name for i in ISAS if i.arch == target.arch and features.issuperset(i.features)]


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache() -> Check:
    folder = cache.folder()
    files = [f for f in folder.iterdir() if f.is_file()] if folder.is_dir() else []
    size = sum(f.stat().st_size for f in files)
    problem = _unwritable(folder)
    facts = {
        "folder": str(folder),
        "files": len(files),
        "bytes": size,
        "limit_bytes": cache.LIMIT,
        "writable": problem is None,
    }
    detail = f"{folder}: {len(files)} files, {size / 2**20:.1f} MiB"
    if problem is not None:
        detail += f"; {problem}: compiled code is not kept (EDGEWISE_CACHE_DIR chooses the folder)"
    return Check("cache", problem is None, detail, facts)


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written to a folder, or to the nearest parent that exists; else None."""
    existing = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not existing.is_dir():
        return f"{existing} is not a folder"
    try:
        if existing == folder:
            cache.check_private(folder)
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"{existing} cannot be written: {error.strerror or error}"


def _tuning() -> Check:
    measured = tuned.known()
    found = [
        f"{problems} kinds of layer measured with {threads} thread{'s' * (threads > 1)}"
        for threads, problems in measured.items()
    ]
    return Check(
        "tuning",
        True,
        "; ".join(found) or "no kernels measured: a cost model chooses (edgewise tune MODEL)",
        {"problems_by_threads": {str(threads): count for threads, count in measured.items()}},
    )


def _llvm() -> Check:
    try:
        import llvmlite
        import llvmlite.binding as llvm
    except (ImportError, OSError) as error:
        return Check("llvm", False, f"llvmlite cannot be loaded: {error}", {"llvmlite": None})
    llvm_version = ".".join(map(str, llvm.llvm_version_info))
    return Check(
        "llvm",
        True,
        f"llvmlite {llvmlite.__version__}, LLVM {llvm_version}",
        {"llvmlite": llvmlite.__version__, "llvm": llvm_version},
    )


def _extras() -> Iterator[Check]:
    for extra, (package, purpose) in EXTRAS.items():
        found = peer_version(package)
        detail = (
            f"{package} {found}"
            if found
            else f"not installed; {purpose} needs it: pip install 'edgewise[{extra}]'"
        )
        yield Check(
            f"extra {extra}", found is not None, detail, {"package": package, "version": found}
        )
