from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgewise.codegen import jit, objects
from edgewise.codegen.target import Target, host
from edgewise.errors import CompileError

DOUBLE = """\
define i32 @double(i32 %x) {
  %y = shl i32 %x, 1
  ret i32 %y
}
"""
QUADRUPLE = """\
declare i32 @double(i32)
define i32 @quadruple(i32 %x) {
  %y = call i32 @double(i32 %x)
  %z = call i32 @double(i32 %y)
  ret i32 %z
}
"""


def call(library: jit.Library, symbol: str, value: int) -> int:
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(library.address(symbol))
    return int(function(value))


def test_objects_refer_to_each_other() -> None:
    library = jit.load_object([jit.compile_ir(text, host()) for text in (QUADRUPLE, DOUBLE)])
    assert call(library, "quadruple", 5) == 20
    assert call(library, "double", 5) == 10
    assert library.address("double") == library.address("double")


def test_same_text_gives_the_same_object() -> None:
    assert jit.compile_ir(DOUBLE, host()) == jit.compile_ir(DOUBLE, host())


def test_code_is_generated_while_llvmlite_is_locked() -> None:
    """llvmlite's lock would make the threads of `KernelCompiler` take turns."""
    import llvmlite.binding as llvm

    parse = jit._unlocked(llvm.ffi.lib.LLVMPY_ParseAssembly)
    parsed = threading.Event()
    modules: list[object] = []
    with llvm.create_context() as context:

        def work() -> None:
            problem = ctypes.c_char_p(None)
            modules.append(parse(context, ctypes.c_char_p(b""), ctypes.byref(problem)))
            parsed.set()

        thread = threading.Thread(target=work)
        with llvm.ffi.lib._lock:
            thread.start()
            assert parsed.wait(20)
        thread.join()
        llvm.ModuleRef(modules[0], context).close()


def test_assembly() -> None:
    assert "double:" in jit.assembly(DOUBLE, Target("aarch64-unknown-linux-gnu", "generic"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\n\ndefine i32 @f() {\n  ret i32 %no\n}\n",
            r"line 4, column 11.*'%no'\n +4:   ret i32 %no",
        ),
        ("define i32 @f() {\n  bogus\n}\n", r"line 2, column 3: expected instruction"),
        ("define void @f() {", r"line 1, column \d+"),
        (
            "define i32 @f() {\na:\n  br label %b\nb:\n  %x = add i32 %y, 1\n"
            "  %y = add i32 %x, 1\n  ret i32 %y\n}\n",
            "does not dominate all uses",
        ),
    ],
)
def test_broken_text(text: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        jit.compile_ir(text, host())


def test_unknown_target() -> None:
    with pytest.raises(CompileError, match="target nowhere-none"):
        jit.compile_ir(DOUBLE, Target("nowhere-none", "generic"))


def test_broken_object() -> None:
    with pytest.raises(CompileError, match="cannot load the object code"):
        jit.load_object([b"no object"])


def test_missing_symbol() -> None:
    library = jit.load_object([jit.compile_ir(DOUBLE, host())])
    with pytest.raises(CompileError, match="'triple'"):
        library.address("triple")


def test_undefined_symbol() -> None:
    library = jit.load_object([jit.compile_ir(QUADRUPLE, host())])
    with pytest.raises(CompileError, match="'quadruple'"):
        library.address("quadruple")


@pytest.mark.skipif(sys.platform != "linux", reason="shared objects are written for Linux")
def test_shared_object_needs_no_llvm(tmp_path: Path) -> None:
    file = tmp_path / "code.so"
    file.write_bytes(
        objects.link_shared([jit.compile_ir(text, host()) for text in (QUADRUPLE, DOUBLE)])
    )
    library = jit.load_shared(file)
    assert call(library, "quadruple", 5) == 20
    with pytest.raises(CompileError, match="'triple'"):
        library.address("triple")
    code = (
        "import sys; from edgewise.codegen.jit import load_shared; "
        f"load_shared({str(file)!r}).address('double'); sys.exit('llvmlite' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_shared_object_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "code.so"
    file.write_bytes(b"no shared object, whatever its name says")
    with pytest.raises(CompileError, match=r"code\.so cannot be loaded"):
        jit.load_shared(file)
    with pytest.raises(CompileError, match=r"absent\.so cannot be loaded"):
        jit.load_shared(tmp_path / "absent.so")
