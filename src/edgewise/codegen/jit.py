"""From LLVM text to machine code, and machine code into this process.

llvmlite is imported only by the functions that generate code or load an object through LLVM;
`load_shared` needs the system's loader alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import CompileError
from .target import Target


class Library(Protocol):
    """Machine code in this process; an address is valid while the library is referenced."""

    def address(self, symbol: str) -> int:
        """Where ``symbol`` lies. Raises CompileError where the library has no such symbol."""


def compile_ir(text: str, target: Target, *, optimize: int = 2) -> bytes:
    """Generate a relocatable object from LLVM text.

    Only code generation runs, at level ``optimize`` (0..3): no pass pipeline, so the text has to be
    in its final form. The code is position independent. Threads may call this at the same time.
    Raises CompileError, which shows the line, where the text breaks LLVM's grammar or rules.
    """
    object_code: bytes = _emit(text, target, optimize, as_object=True)
    return object_code


def assembly(text: str, target: Target, *, optimize: int = 2) -> str:
    """The assembly that `compile_ir` would encode, for reading and for llvm-mca."""
    return _emit(text, target, optimize, as_object=False).decode("utf-8")


def load_object(objects: Sequence[bytes]) -> Library:
    """Link relocatable objects of this machine into this process through LLVM's LLJIT.

    The objects may refer to each other's symbols, and to nothing else. Raises CompileError where
    they are no objects of this machine, or a symbol stays undefined when its user is looked up.
    """
    return _LinkedObjects(objects)


def load_shared(path: str | os.PathLike[str]) -> Library:
    """Map a shared object through the system's loader; it stays mapped until the process ends.

    Raises CompileError where the loader refuses it.
    """
    return _SharedObject(Path(path))


class _LinkedObjects:
    """The LLJIT instance that owns the code, and one tracker for each symbol looked up."""

    def __init__(self, objects: Sequence[bytes]) -> None:
        llvm = _llvm()
        builder = llvm.JITLibraryBuilder()
        for data in objects:
            builder.add_object_img(data)
        try:
            # The older linker aborts where mmap puts code and constants 2 GiB apart; for Windows
            # LLVM's own default is that one.
            self._lljit = llvm.create_lljit_compiler(
                use_jit_link=sys.platform != "win32", suppress_errors=True
            )
            self._trackers = {"": builder.link(self._lljit, "edgewise")}
        except RuntimeError as error:
            raise CompileError(f"LLVM cannot load the object code: {error}") from error

    def address(self, symbol: str) -> int:
        if symbol not in self._trackers:
            try:
                self._trackers[symbol] = self._lljit.lookup("edgewise", symbol)
            except RuntimeError as error:
                raise CompileError(f"symbol {symbol!r} in loaded object code: {error}") from error
        return int(self._trackers[symbol][symbol])


class _SharedObject:
    def __init__(self, path: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(path.absolute()))
        except OSError as error:
            raise CompileError(f"shared object {path} cannot be loaded: {error}") from error

    def address(self, symbol: str) -> int:
        try:
            function = self._library[symbol]
        except AttributeError as error:
            raise CompileError(f"symbol {symbol!r}: {error}") from error
        return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


def _unlocked(function: Any) -> Callable[..., Any]:
    """The library's function itself: llvmlite wraps each in one lock for the whole process.

    LLVM asks only that threads share no context, and every call here has its own.
    """
    inner: Callable[..., Any] = getattr(function, "_cfn", function)
    return inner


def _emit(text: str, target: Target, optimize: int, *, as_object: bool) -> bytes:
    llvm = _llvm()
    lib, output = llvm.ffi.lib, llvm.ffi.OutputString
    try:
        machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu,
            features=target.llvm_features,
            opt=optimize,
            reloc="pic",
            codemodel="default",
        )
    except RuntimeError as error:
        raise CompileError(f"target {target}: {error}") from error
    with llvm.create_context() as context, machine:
        source = ctypes.c_char_p(text.encode("utf-8"))
        with output() as problem:
            module = _unlocked(lib.LLVMPY_ParseAssembly)(context, source, problem)
            if problem:
                raise CompileError(_locate(str(problem), text))
        with llvm.ModuleRef(module, context) as parsed:
            parsed.triple = target.triple
            with output() as problem:
                if _unlocked(lib.LLVMPY_VerifyModule)(parsed, problem):
                    raise CompileError(f"LLVM text breaks a rule: {problem}")
            with output() as problem:
                buffer = _unlocked(lib.LLVMPY_TargetMachineEmitToMemory)(
                    machine, parsed, int(as_object), problem
                )
                if not buffer:
                    raise CompileError(f"target {target} cannot emit the code: {problem}")
    try:
        start, size = lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(start, size)
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _locate(message: str, text: str) -> str:
    """LLVM's "<string>:12:5: error: ..." as a sentence that shows line 12 of the text."""
    found = re.search(r":(\d+):(\d+): error: (.*)", message)
    if not found:
        return f"LLVM text: {message}"
    line, column = int(found[1]), int(found[2])
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    return f"LLVM text, line {line}, column {column}: {found[3]}\n{line:6}: {shown}"
