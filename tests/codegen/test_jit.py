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


SCATTERED = """
import ctypes, sys
from edgewise.codegen import jit
from edgewise.codegen.target import host

system = ctypes.CDLL(None)
system.mmap.restype, system.munmap.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t)
system.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)


def reserve(size):
    return system.mmap(None, size, 0, 0x4022, -1, 0)


objects = [jit.compile_ir(text, host()) for text in sys.argv[1:]]
far = reserve(3 << 30)
near = []
while (address := reserve(4096)) > far:
    near.append(address)
for address in near[1:17:2]:
    system.munmap(address, 4096)
    library = jit.load_object(objects)
    function = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)(library.address("thrice"))
    assert function(5.0) == 15.0
assert len(near) >= 17
"""
"""Free memory is one page, then two apart, and so on; the rest lies 3 GiB below them."""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for addresses")
def test_code_and_constants_that_lie_far_apart() -> None:
    """LLVM's older linker maps the sections apart, and ends the process beyond 2 GiB."""
    scale = """
define float @scale(float %x) {
  %y = fmul float %x, 3.0
  ret float %y
}
"""
    thrice = """
declare float @scale(float)
@table = internal constant [2 x ptr] [ptr @scale, ptr @scale]
define float @thrice(float %x) {
  %slot = load volatile ptr, ptr @table
  %y = call float %slot(float %x)
  %z = call float @scale(float %y)
  %t = fdiv float %z, 3.0
  ret float %t
}
"""
    done = subprocess.run(
        [sys.executable, "-c", SCATTERED, thrice, scale], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


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
