from __future__ import annotations

import subprocess
import sys

import pytest

from edgewise.codegen import target
from edgewise.codegen.target import Target
from edgewise.errors import CompileError


def test_host_features_agree_with_llvm() -> None:
    import llvmlite.binding as llvm

    known = {"x86_64": target.X86_FLAGS, "aarch64": target.AARCH64_FLAGS}[target.host().arch]
    asked = llvm.get_host_cpu_features()
    for name in known.values():
        assert (name in target.host().features) == bool(asked.get(name)), name


def test_host_is_detected_without_llvm() -> None:
    code = (
        "import sys; from edgewise.codegen.target import host; host(); "
        "sys.exit('llvmlite' in sys.modules)"
    )
    supported = sys.platform in ("linux", "darwin")
    assert not supported or subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_llvm_gives_the_same_architecture() -> None:
    assert target._ask_llvm().arch == target.host().arch
    assert set(target._ask_llvm().features) == set(target.host().features)


def test_cpuinfo_of_x86() -> None:
    found = target.from_cpuinfo(
        "processor\t: 0\nflags\t\t: fpu pni ssse3 sse4_1 avx2 avx512f avx512_vnni\n"
        "vmx flags\t: invvpid\n",
        "x86_64",
    )
    assert found == Target(
        "x86_64-unknown-linux-gnu",
        "x86-64",
        ("avx2", "avx512f", "avx512vnni", "sse3", "sse4.1", "ssse3"),
    )


def test_cpuinfo_takes_what_every_core_has() -> None:
    found = target.from_cpuinfo(
        "processor: 0\nFeatures: fp asimd asimddp i8mm\nprocessor: 1\nFeatures: fp asimd asimddp\n",
        "aarch64",
    )
    assert found.features == ("dotprod", "neon")
    assert found.llvm_features == "+dotprod,+neon"


def test_cpuinfo_without_features() -> None:
    with pytest.raises(CompileError, match="no line 'flags'"):
        target.from_cpuinfo("processor: 0\n", "x86_64")


@pytest.mark.parametrize(
    ("triple", "arch", "linux"),
    [
        ("arm64-apple-macosx11.0.0", "aarch64", False),
        ("aarch64-unknown-linux-gnu", "aarch64", True),
        ("riscv64-unknown-linux-gnu", "riscv64", True),
    ],
)
def test_arch(triple: str, arch: str, linux: bool) -> None:
    assert (Target(triple, "generic").arch, Target(triple, "generic").is_linux) == (arch, linux)


@pytest.mark.parametrize("names", [target.X86_FLAGS, target.AARCH64_FLAGS])
def test_llvm_knows_every_feature(names: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    from edgewise.codegen.jit import compile_ir

    triple, cpu = (
        ("x86_64-unknown-linux-gnu", "x86-64")
        if names is target.X86_FLAGS
        else ("aarch64-unknown-linux-gnu", "generic")
    )
    for name in names.values():
        compile_ir("define void @f() { ret void }", Target(triple, cpu, (name,)))
    assert "not a recognized" not in capfd.readouterr().err
