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
from edgewise.codegen import pool_layout as layout
from edgewise.codegen.cpus import cores
from edgewise.codegen.jit import Library
from edgewise.codegen.target import Target, host, supports_threads
from edgewise.codegen.threads import ThreadPool, _system_functions
from edgewise.errors import CompileError, InputError
from native_threads import native_threads

N = 1001
LAST = layout.SLOTS - 1
BODIES = f"""\
declare void @ew_pool_run(ptr, ptr, ptr)
declare void @ew_pool_region(ptr, ptr, ptr, i32)
declare void @ew_pool_barrier(ptr, i32)
declare void @ew_pool_for(ptr, i64, i32, ptr, ptr, i64, i64)
declare void @ew_pool_pause(i64)

; context[0] += 1 for every thread, and the caller leaves once it is context[1]
define void @meet_body(ptr %pool, ptr %context, i64 %side) {{
start:
  %old = atomicrmw add ptr %context, i32 1 monotonic
  %wanted.at = getelementptr i32, ptr %context, i32 1
  %wanted = load i32, ptr %wanted.at
  br label %wait
wait:
  %now = load atomic i32, ptr %context monotonic, align 4
  %more = icmp slt i32 %now, %wanted
  br i1 %more, label %wait, label %done
done:
  ret void
}}

define void @meet(ptr %pool, ptr %context) {{
  store i32 0, ptr %context
  call void @ew_pool_region(ptr %pool, ptr @meet_body, ptr %context, i32 0)
  ret void
}}

; context[0] = 1, until context[1] is 1
define void @hold(ptr %pool, ptr %context) {{
start:
  store atomic i32 1, ptr %context monotonic, align 4
  %free = getelementptr i32, ptr %context, i32 1
  br label %wait
wait:
  %now = load atomic i32, ptr %free monotonic, align 4
  %held = icmp eq i32 %now, 0
  br i1 %held, label %wait, label %done
done:
  ret void
}}

; context[0] = the threads of a region, found by letting all that come in meanwhile count
define void @count_body(ptr %pool, ptr %context, i64 %side) {{
  %old = atomicrmw add ptr %context, i32 1 monotonic
  call void @ew_pool_pause(i64 500000)
  ret void
}}

define void @count(ptr %pool, ptr %context) {{
  store i32 0, ptr %context
  call void @ew_pool_region(ptr %pool, ptr @count_body, ptr %context, i32 0)
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

define void @divided(ptr %pool, ptr %context, i64 %side) {{
  call void @ew_pool_for(ptr %pool, i64 %side, i32 0, ptr @increment, ptr %context, i64 {N}, i64 7)
  call void @ew_pool_for(ptr %pool, i64 %side, i32 1, ptr @increment, ptr %context, i64 0, i64 7)
  call void @ew_pool_barrier(ptr %pool, i32 0)
  call void @ew_pool_for(ptr %pool, i64 %side, i32 2, ptr @mirror, ptr %context, i64 {N}, i64 100)
  call void @ew_pool_barrier(ptr %pool, i32 1)
  call void @ew_pool_for(
    ptr %pool, i64 %side, i32 {LAST}, ptr @mirror, ptr %context, i64 {N}, i64 100)
  ret void
}}

define void @steps(ptr %pool, ptr %context) {{
  call void @ew_pool_region(ptr %pool, ptr @divided, ptr %context, i32 {layout.SLOTS})
  call void @mirror(ptr %context, i64 0, i64 {N})
  ret void
}}

define void @repeat(ptr %pool, ptr %entry, ptr %context, i32 %count) {{
start:
  br label %loop
loop:
  %i = phi i32 [ 0, %start ], [ %i.next, %loop ]
  call void @ew_pool_run(ptr %pool, ptr %entry, ptr %context)
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""

threaded = pytest.mark.skipif(
    not supports_threads(host()), reason="threads need Linux on x86-64 or AArch64"
)


@pytest.fixture(scope="module")
def compiled() -> list[bytes]:
    return [jit.compile_ir(text, host()) for text in (pool.pool_text(host()), BODIES)]


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
    if not threads.started:
        threads.start()
    pointer = ctypes.c_void_p
    function = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int32)
    function(library.address("repeat"))(
        threads.address, library.address(body), context.ctypes.data, count
    )


def check_steps(library: Library, threads: ThreadPool, count: int) -> None:
    context = np.zeros(2 * N, np.int32)
    repeat(library, threads, "steps", context, count)
    np.testing.assert_array_equal(context, np.repeat([count, count + 1], N))


def test_one_thread(library: Library) -> None:
    threads = ThreadPool(library)
    assert threads.address % layout.POOL_ALIGN == 0
    check_steps(library, threads, 100)


@threaded
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_all_threads_come(library: Library, count: int) -> None:
    """Each region goes on only when as many threads as the pool has are in it, and no more come."""
    threads = ThreadPool(library, count)
    context = np.array([0, count], np.int32)
    for _ in range(5):
        repeat(library, threads, "meet", context, 4)
        assert context[0] == count


@threaded
def test_threads_that_others_use_are_left_to_them(library: Library) -> None:
    """While a run is under way, another takes no more threads than there are cores left."""
    threads, other = ThreadPool(library, 3), ThreadPool(library, 1)
    context, held = np.zeros(2, np.int32), np.zeros(2, np.int32)
    repeat(library, threads, "count", context, 1)
    assert context[0] == 3
    with ThreadPoolExecutor(1) as caller:
        done = caller.submit(repeat, library, other, "hold", held, 1)
        while not held[0]:
            time.sleep(0.001)
        repeat(library, threads, "count", context, 1)
        held[1] = 1
        done.result()
    assert context[0] == min(3, max(1, cores().count - 1))
    repeat(library, threads, "count", context, 1)
    assert context[0] == 3


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
    before = native_threads()
    threads = ThreadPool(library, 4)
    check_steps(library, threads, 10)
    assert native_threads() == before + 3
    threads.stop()
    threads.stop()
    assert native_threads() == before
    check_steps(library, threads, 10)
    assert native_threads() == before + 3
    threads.stop()
    assert native_threads() == before


@threaded
def test_forgotten_pool_ends_its_threads(library: Library) -> None:
    before = native_threads()

    def fail() -> None:
        threads = ThreadPool(library, 3)
        check_steps(library, threads, 1)
        raise KeyError("a defect elsewhere")

    with pytest.raises(KeyError):
        fail()
    gc.collect()
    assert native_threads() == before


@threaded
def test_runs_after_the_end_are_the_callers_own(library: Library) -> None:
    """As of a daemon thread, or of a function called at exit."""
    before = native_threads()
    threads = ThreadPool(library, 3)
    check_steps(library, threads, 1)
    threads._finalizer()
    assert native_threads() == before
    check_steps(library, threads, 2)
    assert native_threads() == before


@threaded
def test_several_pools_at_once(library: Library) -> None:
    pools = [ThreadPool(library, count) for count in (2, 3, 2)]
    with ThreadPoolExecutor(3) as callers:
        done = [callers.submit(check_steps, library, threads, 300) for threads in pools]
    for result in done:
        result.result()


@threaded
def test_barriers_are_counted_beyond_32_bits(library: Library) -> None:
    threads = ThreadPool(library, 2)
    state = ctypes.c_uint64.from_address(threads.address + layout.STATE)
    state.value = (2**32 - 3) << 32
    check_steps(library, threads, 200)
    assert state.value >> 32 < 2**31


@threaded
def test_programs_share_workers(library: Library) -> None:
    before = native_threads()
    pools = [ThreadPool(library, 3) for _ in range(5)]
    workers = max(2, min(10, cores().count - 1))
    assert native_threads() == before + workers
    other = ThreadPool(library, 2, idle=0.0)
    assert native_threads() == before + workers + 1
    for threads in [*pools, other]:
        check_steps(library, threads, 10)
        threads.stop()
    assert native_threads() == before


@threaded
def test_workers_run_where_they_may(library: Library) -> None:
    everywhere = os.sched_getaffinity(0)
    chosen = max(everywhere)
    threads = ThreadPool(library, 3, cpus=(chosen,))
    check_steps(library, threads, 20)
    assert threads.worker_cpus == [{chosen}] * 2
    assert os.sched_getaffinity(0) == everywhere
    threads.stop()
    assert threads.worker_cpus == []
    assert ThreadPool(library, 2).worker_cpus == [everywhere]


@threaded
def test_cpus_that_the_system_refuses(library: Library) -> None:
    before = native_threads()
    with pytest.raises(CompileError, match=r"affinity=\[1000\]: the system refuses it: Invalid"):
        ThreadPool(library, 2, cpus=(1000,))
    assert native_threads() == before


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
            status = 0 if native_threads() == 2 else 2
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


@pytest.mark.parametrize("count", [0, -1, layout.MAX_THREADS + 1])
def test_thread_count(library: Library, count: int) -> None:
    with pytest.raises(InputError, match=rf"threads={count}; a pool has 1..256"):
        ThreadPool(library, count)


def test_system_without_threads() -> None:
    text = pool.pool_text(Target("x86_64-pc-windows-msvc", "x86-64"))
    library = jit.load_object([jit.compile_ir(t, host()) for t in (text, BODIES)])
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
    before = native_threads()
    with pytest.raises(CompileError, match="threads=4, but only 2 could be started"):
        ThreadPool(library, 4)
    assert native_threads() == before


@pytest.mark.parametrize("features", [(), ("lse",)])
def test_pool_for_aarch64_needs_nothing(features: tuple[str, ...]) -> None:
    target = Target("aarch64-unknown-linux-gnu", "generic", features)
    compiled = jit.compile_ir(pool.pool_text(target), target)
    assert objects.undefined([compiled]) == ()
    assert objects.link_shared([compiled])
