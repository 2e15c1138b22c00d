from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgewise.codegen import jit
from edgewise.codegen.compiler import KernelCompiler
from edgewise.codegen.pool import pool_text
from edgewise.codegen.target import host
from edgewise.errors import CompileError
from edgewise.kernels.ir import Type


@dataclass(frozen=True)
class Constant:
    """A kernel that counts how often its text is asked for."""

    symbol: str
    text: str = ""
    asked: list[str] = field(default_factory=list, compare=False)

    @property
    def fields(self) -> Mapping[str, Type]:
        return {}

    def build(self) -> str:
        self.asked.append(self.symbol)
        return self.text or f"define i32 @{self.symbol}() {{\n  ret i32 {len(self.symbol)}\n}}\n"


@pytest.fixture(autouse=True)
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(tmp_path))
    return tmp_path


def objects(kernels: list[Constant], begun: list[Constant]) -> list[bytes]:
    with KernelCompiler(host()) as compiler:
        for kernel in begun:
            compiler.add(kernel)
        return compiler.objects(kernels)


def test_objects_are_those_of_the_texts() -> None:
    kernels = [Constant(f"f{i}" * (i + 1)) for i in range(12)]
    found = objects(kernels, kernels[::2])
    texts = [pool_text(host()), *(k.build() for k in kernels)]
    assert found == [jit.compile_ir(text, host()) for text in texts]


def test_each_is_compiled_once() -> None:
    kernel = Constant("once")
    objects([kernel, kernel], [kernel, kernel])
    assert kernel.asked == ["once"]
    objects([kernel], [kernel])
    assert kernel.asked == ["once"]


def test_only_what_was_asked_for_is_kept(where: Path) -> None:
    objects([Constant("kept")], [Constant("forgotten")])
    assert len(list(where.glob("*.o"))) == 2
    forgotten = Constant("forgotten")
    objects([forgotten], [])
    assert forgotten.asked == ["forgotten"]


def test_a_text_that_llvm_refuses() -> None:
    broken = Constant("broken", "define i32 @broken() {\n  bogus\n}\n")
    objects([Constant("fine")], [broken])
    with pytest.raises(CompileError, match="expected instruction"):
        objects([Constant("fine"), broken], [])


def test_error_in_between_ends_the_threads() -> None:
    before = threading.active_count()
    compiler = KernelCompiler(host())
    compiler.add(Constant("begun"))
    with pytest.raises(ZeroDivisionError), compiler:
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_where_no_thread_starts_the_caller_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the end of Python's main thread."""

    def refuse(*args: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    kernel = Constant("late")
    expected = [jit.compile_ir(text, host()) for text in (pool_text(host()), kernel.build())]
    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.submit", refuse)
    assert objects([kernel], []) == expected
    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor", refuse)
    assert objects([Constant("later")], []) != expected
