"""The machine that code is generated for."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CompileError

X86_FLAGS = {
    "pni": "sse3",
    "ssse3": "ssse3",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "popcnt": "popcnt",
    "movbe": "movbe",
    "abm": "lzcnt",
    "bmi1": "bmi",
    "bmi2": "bmi2",
    "avx": "avx",
    "f16c": "f16c",
    "fma": "fma",
    "avx2": "avx2",
    "avx_vnni": "avxvnni",
    "gfni": "gfni",
    "avx512f": "avx512f",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512bw": "avx512bw",
    "avx512vl": "avx512vl",
    "avx512ifma": "avx512ifma",
    "avx512vbmi": "avx512vbmi",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512_vnni": "avx512vnni",
    "avx512_bitalg": "avx512bitalg",
    "avx512_vpopcntdq": "avx512vpopcntdq",
    "avx512_bf16": "avx512bf16",
    "avx512_fp16": "avx512fp16",
}
"""Linux's names of x86 features (arch/x86/include/asm/cpufeatures.h) -> LLVM's.

Linux lists a vector extension only where it saves the wider registers on a context switch, so a
listed one can be used.
"""

AARCH64_FLAGS = {
    "asimd": "neon",
    "atomics": "lse",
    "asimdrdm": "rdm",
    "asimdhp": "fullfp16",
    "asimdfhm": "fp16fml",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
}
"""Linux's names of AArch64 features (arch/arm64/kernel/cpuinfo.c) -> LLVM's."""

APPLE_ARM64 = ("neon", "lse", "rdm", "fullfp16", "fp16fml", "dotprod")
"""What every Apple computer with an ARM processor has (the M1)."""


@dataclass(frozen=True)
class Target:
    """A machine: LLVM's triple, its cpu name (generic: features say the rest) and feature names.

    ``features`` are plain LLVM names, without '+', in sorted order.
    """

    triple: str
    cpu: str
    features: tuple[str, ...] = ()

    @property
    def arch(self) -> str:
        """ "x86_64", "aarch64", or the first part of any other triple."""
        first = self.triple.split("-", 1)[0]
        return {"arm64": "aarch64", "amd64": "x86_64"}.get(first, first)

    @property
    def is_linux(self) -> bool:
        return "-linux" in self.triple

    @property
    def llvm_features(self) -> str:
        """The features as LLVM's target machine takes them: "+a,+b"."""
        return ",".join(f"+{name}" for name in self.features)

    def __str__(self) -> str:
        return f"{self.triple} ({self.cpu}{''.join(f' +{name}' for name in self.features)})"


@functools.cache
def host() -> Target:
    """The machine that this process runs on; detected once.

    Linux on x86-64 and AArch64, and macOS on ARM, are read without LLVM; any other system is asked
    through llvmlite. Raises CompileError where llvmlite does not know the machine.
    """
    machine = platform.machine().lower()
    wide = sys.maxsize > 2**32
    if sys.platform == "linux" and wide and machine in ("x86_64", "amd64", "aarch64", "arm64"):
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return _ask_llvm()
        return from_cpuinfo(text, "aarch64" if machine in ("aarch64", "arm64") else "x86_64")
    if sys.platform == "darwin" and machine == "arm64":
        return Target("arm64-apple-macosx11.0.0", "apple-m1", _ordered(APPLE_ARM64))
    return _ask_llvm()


def from_cpuinfo(text: str, arch: str) -> Target:
    """The target described by Linux's /proc/cpuinfo.

    ``arch`` is "x86_64" or "aarch64". On a machine with different cores, the features that every
    core has. Raises CompileError when no core lists its features.
    """
    key, names, cpu = {
        "x86_64": ("flags", X86_FLAGS, "x86-64"),
        "aarch64": ("Features", AARCH64_FLAGS, "generic"),
    }[arch]
    cores = [
        set(line.partition(":")[2].split())
        for line in text.splitlines()
        if line.partition(":")[0].strip() == key
    ]
    if not cores:
        raise CompileError(f"/proc/cpuinfo: no line {key!r}; every core lists its features there")
    flags = set.intersection(*cores)
    found = (feature for flag, feature in names.items() if flag in flags)
    return Target(f"{arch}-unknown-linux-gnu", cpu, _ordered(found))


def supports_threads(target: Target) -> bool:
    """Whether the pool can start workers there: Linux on x86-64 and AArch64."""
    return target.is_linux and target.arch in ("x86_64", "aarch64")


def usable_cpus() -> tuple[int, ...]:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def _ordered(features: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(features)))


def _ask_llvm() -> Target:
    import llvmlite.binding as llvm

    known = {*X86_FLAGS.values(), *AARCH64_FLAGS.values()}
    try:
        features = llvm.get_host_cpu_features()
        triple = llvm.get_process_triple()
    except RuntimeError as error:
        raise CompileError(f"this machine is unknown to LLVM: {error}") from error
    generic = "x86-64" if triple.startswith(("x86_64", "amd64")) else "generic"
    return Target(triple, generic, _ordered(n for n in known if features.get(n)))
