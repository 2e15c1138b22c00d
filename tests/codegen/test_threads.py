from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgewise.codegen import jit, objects, pool
from edgewise.codegen.jit import Library
from edgewise.codegen.target import Target, host
from edgewise.codegen.threads import ThreadPool, _system_functions
from edgewise.errors import CompileError, InputError

N = 1001
LAST = pool.SLOTS - 1
BODIES = f"""\
declare void @ew_pool_run(ptr, ptr, ptr)
declare void @ew_pool_barrier(ptr)
declare void @ew_pool_for(ptr, i32, ptr, ptr, i64, i64)

define void @nothing(ptr %pool, ptr %context, i32 %thread, i32 %threads) {{
  ret void
}}

; context[thread] += threads
define void @mark(ptr %pool, ptr %context, i32 %thread, i32 %threads) {{
  %at = getelementptr i32, ptr %context, i32 %thread
  %old = load i32, ptr %at
  %new = add i32 %old, %threads
  store i32 %new, ptr %at
  ret void
}}

define void @increment(ptr %p, i64 %begin, i64 %end) {{
start:
  br label %loop
loop:
  %i = phi i64 [ %begin, %start ], [ %i.next, %loop ]
  %at = getelementptr i32, ptr %p, i64 %i
  %old = load i32, ptr %at
  %new = add i32 %old, 1
  store i32 %new, ptr %at
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}

; p[i] = p[n - 1 - i] + 1 into the second half: wrong without the barrier before it
define void @mirror(ptr %p, i64 %begin, i64 %end) {{
start:
  br label %loop
loop:
  %i = phi i64 [ %begin, %start ], [ %i.next, %loop ]
  %j = sub i64 {N - 1}, %i
  %from = getelementptr i32, ptr %p, i64 %j
  %k = add i64 %i, {N}
  %to = getelementptr i32, ptr %p, i64 %k
  %old = load i32, ptr %from
  %new = add i32 %old, 1
  store i32 %new, ptr %to
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}

define void @steps(ptr %pool, ptr %context, i32 %thread, i32 %threads) {{
  call void @ew_pool_for(ptr %pool, i32 0, ptr @increment, ptr %context, i64 {N}, i64 7)
  call void @ew_pool_for(ptr %pool, i32 1, ptr @increment, ptr %context, i64 0, i64 7)
  call void @ew_pool_barrier(ptr %pool)
  call void @ew_pool_for(ptr %pool, i32 {LAST}, ptr @mirror, ptr %context, i64 {N}, i64 100)
  ret void
}}

define void @repeat(ptr %pool, ptr %body, ptr %context, i32 %count) {{
start:
  br label %loop
loop:
  %i = phi i32 [ 0, %start ], [ %i.next, %loop ]
  call void @ew_pool_run(ptr %pool, ptr %body, ptr %context)
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""

threaded = pytest.mark.skipif(
    not pool.supports_threads(host()), reason="threads need Linux on x86-64 or AArch64"
)


@pytest.fixture(scope="module")
def compiled() -> list[bytes]:
    return jit.compile_many([pool.pool_text(host()), BODIES], host())


@pytest.fixture(
    scope="module",
    params=[
        "lljit",
        pytest.param("shared", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux")),
    ],
)
def library(
    request: pytest.FixtureRequest,
    compiled: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Library:
    if request.param == "lljit":
        return jit.load_object(compiled)
    file = tmp_path_factory.mktemp("pool") / "pool.so"
    file.write_bytes(objects.link_shared(compiled))
    return jit.load_shared(file)


def repeat(
    library: Library, threads: ThreadPool, body: str, context: np.ndarray, count: int
) -> None:
    pointer = ctypes.c_void_p
    function = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int32)
    function(library.address("repeat"))(
        threads.address, library.address(body), context.ctypes.data, count
    )


def check_steps(library: Library, threads: ThreadPool, count: int) -> None:
    context = np.zeros(2 * N, np.int32)
    repeat(library, threads, "steps", context, count)
    np.testing.assert_array_equal(context, np.repeat([count, count + 1], N))


def system_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def test_one_thread(library: Library) -> None:
    threads = ThreadPool(library)
    assert threads.address % pool.POOL_ALIGN == 0
    check_steps(library, threads, 100)


@threaded
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_thread_runs_every_body(library: Library, count: int) -> None:
    threads = ThreadPool(library, count)
    context = np.zeros(count + 1, np.int32)
    repeat(library, threads, "mark", context, 1000)
    np.testing.assert_array_equal(context, [count * 1000] * count + [0])


@threaded
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_steps_with_barriers(library: Library, count: int) -> None:
    check_steps(library, ThreadPool(library, count), 2000)


@threaded
def test_far_more_threads_than_cores(library: Library) -> None:
    check_steps(library, ThreadPool(library, 24), 20)


@threaded
def test_workers_sleep_and_wake(library: Library) -> None:
    threads = ThreadPool(library, 3)
    for _ in range(20):
        check_steps(library, threads, 2)
        time.sleep(0.003)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1


@threaded
def test_stop_ends_the_threads_and_use_starts_them(library: Library) -> None:
    before = system_threads()
    threads = ThreadPool(library, 4)
    check_steps(library, threads, 10)
    assert system_threads() == before + 3
    threads.stop()
    threads.stop()
    assert system_threads() == before
    check_steps(library, threads, 10)
    assert system_threads() == before + 3
    threads.stop()
    assert system_threads() == before


@threaded
def test_forgotten_pool_ends_its_threads(library: Library) -> None:
    before = system_threads()

    def fail() -> None:
        threads = ThreadPool(library, 3)
        check_steps(library, threads, 1)
        raise KeyError("a defect elsewhere")

    with pytest.raises(KeyError):
        fail()
    gc.collect()
    assert system_threads() == before


@threaded
def test_several_pools_at_once(library: Library) -> None:
    pools = [ThreadPool(library, count) for count in (2, 3, 2)]
    with ThreadPoolExecutor(3) as callers:
        done = [callers.submit(check_steps, library, threads, 300) for threads in pools]
    for result in done:
        result.result()


@threaded
def test_generation_starts_again_at_zero(library: Library) -> None:
    """After 2**32 runs the counters of the last generation must not look newer than the next."""
    threads = ThreadPool(library, 1)
    buffer = np.zeros(pool.POOL_BYTES + pool.POOL_ALIGN, np.uint8)
    address = -(-buffer.ctypes.data // pool.POOL_ALIGN) * pool.POOL_ALIGN
    generation = ctypes.c_uint32.from_address(address + pool._GENERATION)
    generation.value = 2**32 - 3
    start = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p)
    table = _system_functions()
    assert start(library.address("ew_pool_start"))(address, 1, table) == 2
    threads._address = address
    for _ in range(6):
        check_steps(library, threads, 1)
    assert generation.value == 3
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address("ew_pool_stop"))(address)


@threaded
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_child_of_fork_starts_its_own_threads(library: Library) -> None:
    threads = ThreadPool(library, 3)
    check_steps(library, threads, 10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check_steps(library, threads, 50)
            status = 0 if system_threads() == 3 else 2
            threads.stop()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    check_steps(library, threads, 10)


@threaded
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_child_that_drops_the_pool_does_not_wait(library: Library) -> None:
    threads = ThreadPool(library, 3)
    child = os.fork()
    if child == 0:
        threads.stop()
        os._exit(0)
    deadline = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.01)


@threaded
def test_process_ends_with_threads_running(compiled: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "pool.so"
    file.write_bytes(objects.link_shared(compiled))
    code = (
        "from edgewise.codegen import jit, threads\n"
        f"keep = threads.ThreadPool(jit.load_shared({str(file)!r}), 3)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("count", [0, -1, pool.MAX_THREADS + 1])
def test_thread_count(library: Library, count: int) -> None:
    with pytest.raises(InputError, match=rf"threads={count}; a pool has 1..256"):
        ThreadPool(library, count)


def test_system_without_threads() -> None:
    text = pool.pool_text(Target("x86_64-pc-windows-msvc", "x86-64"))
    library = jit.load_object(jit.compile_many([text, BODIES], host()))
    check_steps(library, ThreadPool(library), 3)
    with pytest.raises(CompileError, match="threads=2, but only 1 could be started"):
        ThreadPool(library, 2)


@threaded
def test_system_that_refuses_a_thread(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of three workers cannot be started: the first ends again, and an error says so."""
    real = _system_functions()
    create: Callable[..., int] = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)(real[0])
    calls = []

    def refuse(*arguments: int) -> int:
        calls.append(arguments)
        return create(*arguments) if len(calls) == 1 else 11

    wrapped = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)(refuse)
    table = (ctypes.c_void_p * 3)(ctypes.cast(wrapped, ctypes.c_void_p).value, *real[1:])
    monkeypatch.setattr("edgewise.codegen.threads._system_functions", lambda: table)
    before = system_threads()
    with pytest.raises(CompileError, match="threads=4, but only 2 could be started"):
        ThreadPool(library, 4)
    assert system_threads() == before


@pytest.mark.parametrize("features", [(), ("lse",)])
def test_pool_for_aarch64_needs_nothing(features: tuple[str, ...]) -> None:
    target = Target("aarch64-unknown-linux-gnu", "generic", features)
    compiled = jit.compile_ir(pool.pool_text(target), target)
    assert objects.undefined([compiled]) == ()
    assert objects.link_shared([compiled])
