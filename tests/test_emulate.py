"""Every machine of tests/emulate runs small functions as a real processor does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgewise.codegen.jit import compile_ir
from edgewise.codegen.target import Target, host
from emulate import (
    MACHINES,
    Buffer,
    Call,
    EmulationError,
    Machine,
    Out,
    Unavailable,
    invoke,
    machine_for,
    machine_or_skip,
    open_machine,
    run_batch,
)

X86 = "x86_64-unknown-linux-gnu"
ARM = "aarch64-unknown-linux-gnu"

BASIC = """
@table = internal constant [4 x i64] [i64 11, i64 22, i64 33, i64 44]
@counter = internal global i64 5

define i64 @mixed(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f) {
  %1 = mul i64 %a, 100000
  %2 = mul i64 %b, 10000
  %3 = mul i64 %c, 1000
  %4 = mul i64 %d, 100
  %5 = mul i64 %e, 10
  %6 = add i64 %1, %2
  %7 = add i64 %6, %3
  %8 = add i64 %7, %4
  %9 = add i64 %8, %5
  %10 = add i64 %9, %f
  ret i64 %10
}
define i8 @load(ptr %p) {
  %x = load i8, ptr %p
  ret i8 %x
}
define void @store(ptr %p) {
  store i8 7, ptr %p
  ret void
}
define i64 @constant(i64 %i) {
  %p = getelementptr i64, ptr @table, i64 %i
  %x = load i64, ptr %p
  ret i64 %x
}
define i64 @count() {
  %x = load i64, ptr @counter
  %y = add i64 %x, 1
  store i64 %y, ptr @counter
  ret i64 %y
}
define void @into_constants() {
  store volatile i64 1, ptr @table
  ret void
}
define i64 @stack(i64 %n) {
entry:
  %room = alloca i64, i64 %n
  br label %fill
fill:
  %i = phi i64 [ 0, %entry ], [ %next, %fill ]
  %at = getelementptr i64, ptr %room, i64 %i
  store volatile i64 %i, ptr %at
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %fill, label %done
done:
  %middle = lshr i64 %n, 1
  %there = getelementptr i64, ptr %room, i64 %middle
  %x = load volatile i64, ptr %there
  ret i64 %x
}
define void @forever() {
  br label %again
again:
  br label %again
}
"""

CALLER = """
declare i64 @twice(i64)
define i64 @four_times(i64 %x) {
  %y = call i64 @twice(i64 %x)
  %z = call i64 @twice(i64 %y)
  ret i64 %z
}
"""
CALLEE = "define i64 @twice(i64 %x) {\n %y = shl i64 %x, 1\n ret i64 %y\n}"

ROUND = """
declare <4 x float> @llvm.roundeven.v4f32(<4 x float>)
define void @kernel(ptr %params, i64 %begin, i64 %end) {
  %x.at = load ptr, ptr %params
  %1 = getelementptr i8, ptr %params, i64 8
  %scale.at = load ptr, ptr %1
  %2 = getelementptr i8, ptr %params, i64 16
  %y.at = load ptr, ptr %2
  %3 = getelementptr i8, ptr %params, i64 24
  %offset = load float, ptr %3
  br label %loop
loop:
  %i = phi i64 [ %begin, %0 ], [ %next, %loop ]
  %4 = getelementptr i32, ptr %x.at, i64 %i
  %x = load <4 x i32>, ptr %4, align 4
  %5 = getelementptr float, ptr %scale.at, i64 %i
  %s = load <4 x float>, ptr %5, align 4
  %f = sitofp <4 x i32> %x to <4 x float>
  %g = fmul <4 x float> %f, %s
  %o1 = insertelement <4 x float> poison, float %offset, i32 0
  %o4 = shufflevector <4 x float> %o1, <4 x float> poison, <4 x i32> zeroinitializer
  %h = fadd <4 x float> %g, %o4
  %r = call <4 x float> @llvm.roundeven.v4f32(<4 x float> %h)
  %q = fptosi <4 x float> %r to <4 x i32>
  %6 = getelementptr i32, ptr %y.at, i64 %i
  store <4 x i32> %q, ptr %6, align 4
  %next = add i64 %i, 4
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def target_of(name: str) -> Target:
    return (
        Target(ARM, "generic", ("neon",))
        if name == "aarch64"
        else Target(X86, "x86-64", ("sse4.1",))
    )


@pytest.fixture(scope="module", params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machine_or_skip(request.param) as opened:
        opened.load(compile_ir(BASIC, target_of(request.param)))
        yield opened


@pytest.fixture(autouse=True)
def no_buffers_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "machine" in request.fixturenames:
        request.getfixturevalue("machine").reset()


def test_integer_arguments(machine: Machine) -> None:
    assert machine.call("mixed", 1, 2, 3, 4, 5, 6) == 123456
    assert machine.call("mixed", 0, 0, 0, 0, 0, -(2**62)) == 2**64 - 2**62


def test_constants_and_variables_of_the_object(machine: Machine) -> None:
    assert [machine.call("constant", i) for i in range(4)] == [11, 22, 33, 44]
    first = machine.call("count")
    assert machine.call("count") == first + 1


def test_a_constant_cannot_be_written(machine: Machine) -> None:
    with pytest.raises(EmulationError, match=r"into_constants: write.*pc 0x.*into_constants\+"):
        machine.call("into_constants")


def test_stack(machine: Machine) -> None:
    assert machine.call("stack", 1 << 16) == 1 << 15


def test_buffers_hold_what_is_written(machine: Machine) -> None:
    data = np.random.default_rng(0).bytes(300_001)
    address = machine.alloc(len(data))
    assert set(machine.read(address, len(data))) == {0xA5}
    machine.write(address, data)
    assert machine.read(address, len(data)) == data
    assert machine.call("load", address + 12345) & 0xFF == data[12345]


@pytest.mark.parametrize("nbytes", [1, 7, 64, 4096, 5000])
def test_a_byte_past_the_end_faults(machine: Machine, nbytes: int) -> None:
    address = machine.alloc(nbytes)
    machine.call("store", address + nbytes - 1)
    for symbol, kind in (("load", "read"), ("store", "write")):
        past = address + nbytes
        message = rf"{symbol}: {kind}.* at {past:#x}, offset {nbytes} .*pc 0x\w+ \({symbol}\+"
        with pytest.raises(EmulationError, match=message):
            machine.call(symbol, past)


def test_a_byte_before_the_start_faults(machine: Machine) -> None:
    address = machine.alloc(100, guard="begin")
    machine.call("store", address)
    with pytest.raises(EmulationError, match=r"read.* 1 before a buffer of 100"):
        machine.call("load", address - 1)


def test_a_write_between_buffer_and_guard_is_found(machine: Machine) -> None:
    address = machine.alloc(100, align=64)
    assert address % 64 == 0
    with pytest.raises(EmulationError, match=r"write outside of every buffer.* offset 103 "):
        machine.call("store", address + 103)


def test_read_only_buffers(machine: Machine) -> None:
    address = machine.alloc(8, access="r")
    machine.write(address, b"12345678")
    assert machine.call("load", address) & 0xFF == ord("1")
    with pytest.raises(EmulationError, match="store: write"):
        machine.call("store", address)
    assert machine.read(address, 8) == b"12345678"


def test_freed_buffers_fault_and_their_addresses_serve_again(machine: Machine) -> None:
    with machine.frame():
        address = machine.alloc(64)
        machine.call("store", address)
    with pytest.raises(EmulationError, match="load: read"):
        machine.call("load", address)
    assert machine.alloc(64) == address
    assert machine.call("load", address) & 0xFF == 0xA5


def test_jump_to_nowhere(machine: Machine) -> None:
    target = target_of(machine.name)
    machine.load(compile_ir("define void @jump(ptr %f) {\n call void %f()\n ret void\n}", target))
    address = machine.alloc(64)
    with pytest.raises(EmulationError, match="jump: fetch"):
        machine.call("jump", address)


def test_calls_across_objects(machine: Machine) -> None:
    target = target_of(machine.name)
    machine.load([compile_ir(text, target) for text in (CALLER, CALLEE)])
    assert machine.call("four_times", 21) == 84


def test_what_cannot_be_loaded_or_called(machine: Machine) -> None:
    name = machine.name
    with pytest.raises(EmulationError, match="twice"):
        machine.load(compile_ir(CALLER, target_of(name)))
    other = "x86_64" if name == "aarch64" else "aarch64"
    with pytest.raises(EmulationError, match="ELF machine"):
        machine.load(compile_ir(CALLEE, target_of(other)))
    with pytest.raises(EmulationError, match="nothing is not loaded"):
        machine.call("nothing")
    with pytest.raises(EmulationError, match="9 arguments"):
        machine.call("mixed", *range(9))
    with pytest.raises(EmulationError, match="lie in no buffer"):
        machine.read(machine.alloc(10), 11)
    with pytest.raises(EmulationError, match="no room for"):
        machine.alloc(1 << 31)


@pytest.mark.parametrize("name", MACHINES)
def test_a_call_that_never_returns(name: str) -> None:
    with machine_or_skip(name) as machine:
        machine.load(compile_ir(BASIC, target_of(name)))
        with pytest.raises(EmulationError, match=r"no return within 0.2 s"):
            machine.call("forever", timeout=0.2)


def test_qemu() -> None:
    """Results, memory, and an end for what faults or does not return."""
    with machine_or_skip("qemu") as machine:
        machine.load(compile_ir(BASIC, target_of("aarch64")))
        assert machine.call("mixed", 1, 2, 3, 4, 5, -(2**62)) == 2**64 + 123450 - 2**62
        assert machine.call("stack", 1 << 16) == 1 << 15
        first = machine.call("count")
        assert machine.call("count") == first + 1
        address = machine.alloc(100)
        machine.write(address, bytes(range(100)))
        assert machine.call("load", address + 99) & 0xFF == 99
        for symbol in ("load", "store"):
            with pytest.raises(EmulationError, match=f"{symbol}: SIGSEGV"):
                machine.call(symbol, address + 100)
        with pytest.raises(EmulationError, match="no return within"):
            machine.call("forever", timeout=1)


def test_an_unknown_machine() -> None:
    with pytest.raises(ValueError, match="machine 'pdp11': one of x86_64, bochs, aarch64, qemu"):
        open_machine("pdp11")


def test_a_missing_emulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match=r"apt-get install bochs|Linux on x86-64"):
        open_machine("bochs")
    with pytest.raises(Unavailable, match=r"apt-get install qemu-user"):
        open_machine("qemu")


def test_machine_for_a_target() -> None:
    assert machine_for(Target(ARM, "generic", ("i8mm",))) == "aarch64"
    assert machine_for(Target(ARM, "generic", ("bf16",))) == "qemu"
    assert machine_for(Target(X86, "x86-64", ("amx-int8",))) == "bochs"
    assert machine_for(Target(X86, "x86-64")) == ("x86_64" if host().arch == "x86_64" else "bochs")


def test_float_rounding(machine: Machine) -> None:
    machine.load(compile_ir(ROUND, target_of(machine.name)))
    rng = np.random.default_rng(1)
    n = 4096
    x = rng.integers(-(2**26), 2**26, n, dtype=np.int32)
    scale = (rng.random(n) * 2**-12).astype(np.float32)
    x[:64], scale[:64] = np.arange(-32, 32), 0.5
    y = np.zeros(n, np.int32)
    for offset in (0.0, 0.3):
        fields = [x, scale, Out(y), np.float32(offset)]
        (got,) = invoke(machine, "kernel", fields, 4, n)
        want = np.rint(x.astype(np.float32) * scale + np.float32(offset)).astype(np.int32)
        want[:4] = 0
        np.testing.assert_array_equal(got, want)


def test_slack_may_be_read_and_offsets_count_from_the_array(machine: Machine) -> None:
    machine.load(compile_ir(ROUND, target_of(machine.name)))
    x, scale, y = np.arange(6, dtype=np.int32), np.ones(8, np.float32), np.zeros(8, np.int32)
    fields = [Buffer(x, offset=4, slack=12), scale, Out(y), np.float32(0)]
    (got,) = invoke(machine, "kernel", fields, 0, 8)
    assert got[:5].tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(EmulationError, match="kernel: read"):
        invoke(machine, "kernel", [x, scale, Out(y), np.float32(0)], 0, 8)
    with pytest.raises(EmulationError, match="kernel: write"):
        invoke(machine, "kernel", [np.resize(x, 8), scale, y, np.float32(0)], 0, 8)


@pytest.mark.parametrize("name", MACHINES)
def test_a_batch(name: str) -> None:
    x = np.arange(16, dtype=np.int32)
    scale = np.full(16, 0.5, np.float32)
    calls = [
        Call("kernel", [x, scale, Out(np.zeros(16, np.int32)), np.float32(i)], 0, 16)
        for i in range(40)
    ]
    results = run_batch(compile_ir(ROUND, target_of(name)), calls, name)
    want = [np.rint(x * np.float32(0.5) + i).astype(np.int32) for i in range(40)]
    np.testing.assert_array_equal([r[0] for r in results], want)


def test_room_for_hundreds_of_objects(machine: Machine) -> None:
    code = compile_ir(CALLEE, target_of(machine.name))
    for _ in range(300):
        machine.load(code)
    assert machine.call("twice", 21) == 42
