from __future__ import annotations

import ctypes
import struct
import sys
from pathlib import Path

import pytest

from edgewise.codegen import elf, jit, objects, relocate
from edgewise.codegen.builtins import MEMORY_TEXT, NAMES
from edgewise.codegen.target import Target, host
from edgewise.errors import CompileError
from emulate import machine_or_skip

TARGETS = {
    "x86_64": Target("x86_64-unknown-linux-gnu", "x86-64"),
    "aarch64": Target("aarch64-unknown-linux-gnu", "generic"),
}

FIRST = """\
@bytes = internal constant [4 x i8] c"\\01\\02\\03\\04", align 64
@halves = internal constant [4 x i16] [i16 10, i16 20, i16 30, i16 40], align 64
@words = internal constant [4 x i32] [i32 100, i32 200, i32 300, i32 400], align 64
@longs = internal constant [2 x i64] [i64 1000, i64 2000], align 64
@quads = internal constant [8 x i32] [i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8],
    align 64
@pointers = internal constant [2 x ptr] [ptr @triple, ptr @words], align 16
@state = internal global i32 5
@zeros = global [5000 x i32] zeroinitializer, align 64
@shared = external global i32
declare i32 @triple(i32)

define i64 @loads() {
  %b = load volatile i8, ptr getelementptr ([4 x i8], ptr @bytes, i64 0, i64 1)
  %h = load volatile i16, ptr getelementptr ([4 x i16], ptr @halves, i64 0, i64 2)
  %w = load volatile i32, ptr getelementptr ([4 x i32], ptr @words, i64 0, i64 3)
  %l = load volatile i64, ptr getelementptr ([2 x i64], ptr @longs, i64 0, i64 1)
  %v = load volatile <4 x i32>, ptr getelementptr ([8 x i32], ptr @quads, i64 0, i64 4), align 16
  %b64 = zext i8 %b to i64
  %h64 = zext i16 %h to i64
  %w64 = zext i32 %w to i64
  %v0 = extractelement <4 x i32> %v, i32 3
  %v64 = zext i32 %v0 to i64
  %s1 = add i64 %b64, %h64
  %s2 = add i64 %s1, %w64
  %s3 = add i64 %s2, %l
  %s4 = add i64 %s3, %v64
  ret i64 %s4
}

define i32 @calls(i32 %x) uwtable {
  %once = call i32 @triple(i32 %x)
  %function = load volatile ptr, ptr @pointers
  %twice = call i32 %function(i32 %once)
  %words.at = getelementptr ptr, ptr @pointers, i64 1
  %words = load volatile ptr, ptr %words.at
  %hundred = load i32, ptr %words
  %sum = add i32 %twice, %hundred
  ret i32 %sum
}

define i32 @counts() {
  %old = load i32, ptr @state
  %new = add i32 %old, 1
  store i32 %new, ptr @state
  %last = getelementptr [5000 x i32], ptr @zeros, i64 0, i64 4999
  %zero = load i32, ptr %last
  store i32 %new, ptr %last
  %other = load i32, ptr @shared
  %sum1 = add i32 %new, %zero
  %sum2 = add i32 %sum1, %other
  ret i32 %sum2
}

define ptr @where() {
  ret ptr @quads
}

define i32 @chooses(i32 %x) {
  switch i32 %x, label %e [ i32 0, label %a
    i32 1, label %b
    i32 2, label %c
    i32 3, label %d
    i32 4, label %e ]
a:
  ret i32 7
b:
  ret i32 11
c:
  ret i32 13
d:
  ret i32 17
e:
  ret i32 -1
}

define double @half(double %x) {
  %y = fmul double %x, 5.0e-1
  %z = fadd double %y, 0x3FF8F5C28F5C28F6
  ret double %z
}
"""
SECOND = """\
@shared = global i32 70000
define hidden i32 @triple(i32 %x) {
  %y = mul i32 %x, 3
  ret i32 %y
}
define linkonce_odr i32 @common() {
  ret i32 1
}
"""
THIRD = """\
define i32 @common() {
  ret i32 2
}
"""
USES_EXP = """\
declare float @expf(float)
define float @f(float %x) {
  %y = call float @expf(float %x)
  ret float %y
}
"""


def linked(target: Target, *texts: str) -> bytes:
    return objects.link_shared([jit.compile_ir(text, target) for text in texts])


@pytest.mark.parametrize("name", TARGETS)
def test_linked_code_runs(name: str) -> None:
    with machine_or_skip(name) as machine:
        machine.load([jit.compile_ir(text, TARGETS[name]) for text in [FIRST, SECOND, THIRD]])
        assert machine.call("loads") == 2 + 30 + 400 + 2000 + 8
        assert machine.call("calls", 5) & 0xFFFFFFFF == 145
        assert machine.call("counts") & 0xFFFFFFFF == 70006
        assert machine.call("counts") & 0xFFFFFFFF == 70013
        assert machine.call("where") % 64 == 0
        assert machine.call("common") & 0xFFFFFFFF == 2
        chosen = [machine.call("chooses", i) & 0xFFFFFFFF for i in range(6)]
        assert chosen == [7, 11, 13, 17, 0xFFFFFFFF, 0xFFFFFFFF]


@pytest.mark.skipif(sys.platform != "linux", reason="shared objects are written for Linux")
def test_system_loads_it(tmp_path: Path) -> None:
    file = tmp_path / "code.so"
    file.write_bytes(linked(host(), FIRST, SECOND, THIRD))
    library = jit.load_shared(file)
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("loads"))() == 2440
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(library.address("calls"))(5) == 145
    counts = ctypes.CFUNCTYPE(ctypes.c_int)(library.address("counts"))
    assert [counts(), counts()] == [70006, 70013]
    half = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("half"))
    assert half(3.0) == pytest.approx(3.06)
    assert ctypes.c_int.from_address(library.address("shared")).value == 70000
    with pytest.raises(CompileError, match="triple"):
        library.address("triple")


@pytest.mark.parametrize("name", TARGETS)
def test_same_bytes_for_the_same_objects(name: str) -> None:
    target = TARGETS[name]
    assert linked(target, FIRST, SECOND) == linked(target, FIRST, SECOND)


@pytest.mark.parametrize("name", TARGETS)
def test_headers(name: str) -> None:
    """The stack is not executable, no part is both writable and executable, pages fit."""
    shared = linked(TARGETS[name], FIRST, SECOND)
    page = {"x86_64": 4096, "aarch64": 65536}[name]
    (count,) = struct.unpack_from("<H", shared, 56)
    segments = [struct.unpack_from("<IIQQQQQQ", shared, 64 + 56 * i) for i in range(count)]
    assert 0x6474E551 in {s[0] for s in segments}
    assert all(s[1] & 3 != 3 for s in segments)
    for kind, _, offset, address, _, in_file, _, align in segments:
        assert offset + in_file <= len(shared)
        assert kind != 1 or (align == page and offset % page == address % page)


@pytest.mark.parametrize("name", TARGETS)
def test_undefined_symbol(name: str) -> None:
    code = jit.compile_ir(USES_EXP, TARGETS[name])
    assert objects.undefined([code]) == ("expf",)
    with pytest.raises(CompileError, match="symbol 'expf' is used by object 0 and defined by none"):
        objects.link_shared([code])


def test_symbol_defined_twice() -> None:
    with pytest.raises(CompileError, match="'common' is defined by objects 0 and 1"):
        linked(TARGETS["x86_64"], THIRD, THIRD)


@pytest.mark.parametrize("texts", [(SECOND, THIRD), (THIRD, SECOND)])
def test_strong_symbol_beats_weak(texts: tuple[str, str]) -> None:
    with machine_or_skip("aarch64") as machine:
        machine.load([jit.compile_ir(text, TARGETS["aarch64"]) for text in texts])
        assert machine.call("common") & 0xFF == 2


def test_objects_of_two_machines() -> None:
    code = [jit.compile_ir(THIRD, target) for target in TARGETS.values()]
    with pytest.raises(CompileError, match=r"machines \[62, 183\]"):
        objects.link_shared(code)


@pytest.mark.parametrize(
    "text",
    [
        "@t = thread_local global i32 3",
        "@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] "
        "[{ i32, ptr, ptr } { i32 1, ptr @f, ptr null }]\ndefine internal void @f() { ret void }",
    ],
)
def test_sections_without_use(text: str) -> None:
    with pytest.raises(CompileError, match="thread-local data and initialisers are not"):
        linked(TARGETS["x86_64"], text)


def test_alignment_beyond_the_page() -> None:
    with pytest.raises(CompileError, match="alignment 8192 exceeds the page"):
        linked(TARGETS["x86_64"], "@x = constant i32 3, align 8192")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a little-endian ELF64"),
        (b"\x7fELF\x01\x01" + bytes(100), "not a little-endian ELF64"),
        (b"\x7fELF\x02\x01" + bytes(100), "ELF type 0, machine 0"),
    ],
)
def test_file_that_is_no_object(data: bytes, message: str) -> None:
    with pytest.raises(CompileError, match=f"object 0: {message}"):
        objects.link_shared([data])


def test_damaged_object() -> None:
    code = jit.compile_ir(THIRD, TARGETS["x86_64"])
    with pytest.raises(CompileError, match="object 0: damaged"):
        objects.link_shared([code[:200]])


def test_changed_objects_never_crash_the_linker() -> None:
    """Every byte of the tables in turn: the link works, or a CompileError says why not."""
    code = jit.compile_ir(
        USES_EXP.replace("declare", "define").replace(
            "expf(float)", "expf(float %x) {\n  ret float %x\n}"
        ),
        TARGETS["x86_64"],
    )
    refused = 0
    for at in range(16, len(code)):
        changed = bytearray(code)
        changed[at] ^= 0xFF
        try:
            objects.link_shared([bytes(changed)])
        except CompileError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("machine", "kind", "value", "message"),
    [
        (elf.X86_64, 11, 0, "type 11 of x86-64 has no place"),
        (elf.AARCH64, 263, 0, "type 263 of AArch64 has no place"),
        (elf.X86_64, 2, 1 << 31, "exceeds 32 bits"),
        (elf.AARCH64, 283, 1 << 27, "exceeds 28 bits"),
        (elf.AARCH64, 275, 1 << 32, "exceeds 21 bits"),
        (elf.AARCH64, 286, 4, "0x4 is not aligned"),
    ],
)
def test_relocation_that_does_not_fit(machine: int, kind: int, value: int, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        relocate.apply(bytearray(8), 0, 0, machine, kind, value)


@pytest.mark.parametrize("name", TARGETS)
def test_builtins(name: str) -> None:
    assert objects.undefined([jit.compile_ir(MEMORY_TEXT, TARGETS[name])]) == ()
    text = MEMORY_TEXT.replace("hidden ", "")
    assert all(f"@{function}(" in text for function in NAMES)
    data = bytes(i * 37 % 256 for i in range(100))
    with machine_or_skip(name) as machine:
        machine.load(jit.compile_ir(text, TARGETS[name]))
        buffer = machine.alloc(100)
        for size in (0, 1, 15, 16, 17, 33, 50):
            for source, target in ((0, 50), (50, 0), (3, 10), (10, 3), (20, 20), (0, 16), (16, 0)):
                machine.write(buffer, data)
                result = machine.call("memmove", buffer + target, buffer + source, size)
                expected = bytearray(data)
                expected[target : target + size] = data[source : source + size]
                assert result == buffer + target
                assert machine.read(buffer, 100) == expected
            machine.write(buffer, data)
            machine.call("memset", buffer + 5, 0x1FE, size)
            filled = data[:5] + b"\xfe" * size + data[5 + size :]
            assert machine.read(buffer, 100) == filled
            machine.write(buffer, data)
            machine.call("memcpy", buffer + 50, buffer, size)
            assert machine.read(buffer, 100) == data[:50] + data[:size] + data[50 + size :]
