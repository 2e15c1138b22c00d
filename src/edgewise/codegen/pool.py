"""A pool of threads in native code: a network is one call, with no Python between its layers.

The functions, linked beside the code that uses them (see `pool_text`):

    i32  ew_pool_start(ptr pool, i32 workers, ptr functions)   returns the threads, main included
    void ew_pool_stop(ptr pool)
    void ew_pool_run(ptr pool, ptr body, ptr context)
    void ew_pool_barrier(ptr pool)
    void ew_pool_for(ptr pool, i32 slot, ptr kernel, ptr params, i64 n, i64 chunk)

`ew_pool_run` has every thread call ``body(ptr pool, ptr context, i32 thread, i32 threads)``, where
thread 0 is the caller, and returns when all have returned. Inside a body, called by every thread:

- `ew_pool_barrier` returns when every thread has called it; what a thread wrote before is visible.
- `ew_pool_for` calls ``kernel(ptr params, i64 begin, i64 end)`` until the chunks of [0, n) are
  taken; it does not wait for other threads' chunks. A run uses each slot, 0..`SLOTS` - 1, once.
  One thread makes one call, kernel(params, 0, n). ``chunk`` >= 1, and n / chunk < 2**31.

All state is in the buffer ``pool``, so pools may share the code. One run at a time per pool.

How it works. Main publishes a run by raising the generation, the word on which idle workers spin
for some 30 us and then sleep (futex); it wakes them only when one is counted as a sleeper. Both
sides are sequentially consistent, so either main sees the sleeper or the kernel sees the new
generation. A barrier is one word that only grows: the thread that takes ticket t waits until the
word reaches the next multiple of the thread count above t. It spins, then yields the core, so that
more threads than cores stay correct. A slot's counter is (generation << 32 | chunks taken), raised
to this run's base by whoever comes first, so that nothing has to be reset between runs (but once
in 2**32 runs, when the generation starts again at 0).
"""

from __future__ import annotations

from .target import Target

MAX_THREADS = 256
"""Threads of one pool, the caller's included."""

SLOTS = 4096
"""How many `ew_pool_for` one run may make."""

_LINE = 128
_THREADS, _FUNCTIONS, _GENERATION, _BODY, _CONTEXT = 0, 8, 128, 136, 144
_SLEEPERS, _ARRIVED, _WORKERS = 256, 384, 512
_WORKER_BYTES, _SLOT_BYTES = 32, 64
_COUNTERS = _WORKERS + _WORKER_BYTES * MAX_THREADS

POOL_BYTES = _COUNTERS + _SLOT_BYTES * SLOTS
"""Size of the buffer ``pool``, which starts as zeros, aligned to `POOL_ALIGN`."""

POOL_ALIGN = _LINE

_LINUX = {
    "x86_64": {
        "futex": 202,
        "yield": 24,
        "pause": "call void @llvm.x86.sse2.pause()",
        "declare": "declare void @llvm.x86.sse2.pause()",
    },
    "aarch64": {
        "futex": 98,
        "yield": 124,
        "pause": "call void @llvm.aarch64.isb(i32 15)",
        "declare": "declare void @llvm.aarch64.isb(i32)",
    },
}
_SPINS_IDLE = 1000
_SPINS_BUSY = 400

_SERIAL = f"""\
define i32 @ew_pool_start(ptr %pool, i32 %workers, ptr %functions) nounwind {{
  store i32 1, ptr %pool, align {_LINE}
  ret i32 1
}}
define void @ew_pool_stop(ptr %pool) nounwind {{
  ret void
}}
define void @ew_pool_run(ptr %pool, ptr %body, ptr %context) nounwind {{
  call void %body(ptr %pool, ptr %context, i32 0, i32 1)
  ret void
}}
define void @ew_pool_barrier(ptr %pool) nounwind {{
  ret void
}}
define void @ew_pool_for(ptr %pool, i32 %slot, ptr %kernel, ptr %params, i64 %n, i64 %chunk)
    nounwind {{
start:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %work, label %done
work:
  call void %kernel(ptr %params, i64 0, i64 %n)
  br label %done
done:
  ret void
}}
"""

_PARALLEL = """\
{declare}

define internal i64 @ew_pool_syscall(ptr %pool, i64 %number, ptr %word, i64 %operation, i64 %value)
    nounwind noinline {{
  %functions.at = getelementptr i8, ptr %pool, i64 {functions}
  %functions = load ptr, ptr %functions.at
  %syscall.at = getelementptr ptr, ptr %functions, i64 2
  %syscall = load ptr, ptr %syscall.at
  %result = call i64 (i64, ...) %syscall(
      i64 %number, ptr %word, i64 %operation, i64 %value, ptr null)
  ret i64 %result
}}

define void @ew_pool_barrier(ptr %pool) nounwind {{
start:
  %threads = load i32, ptr %pool
  %alone = icmp ule i32 %threads, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %arrived = getelementptr i8, ptr %pool, i64 {arrived}
  %count = zext i32 %threads to i64
  %ticket = atomicrmw add ptr %arrived, i64 1 acq_rel
  %round = udiv i64 %ticket, %count
  %next = add i64 %round, 1
  %full = mul i64 %next, %count
  br label %wait
wait:
  %spun = phi i32 [ 0, %arrive ], [ %spun.next, %spin ], [ %spun, %yield ]
  %now = load atomic i64, ptr %arrived acquire, align 8
  %passed = icmp uge i64 %now, %full
  br i1 %passed, label %done, label %again
again:
  %spinning = icmp ult i32 %spun, {spins_busy}
  br i1 %spinning, label %spin, label %yield
spin:
  {pause}
  %spun.next = add i32 %spun, 1
  br label %wait
yield:
  %ignored = call i64 @ew_pool_syscall(ptr %pool, i64 {yield}, ptr null, i64 0, i64 0)
  br label %wait
done:
  ret void
}}

define void @ew_pool_for(ptr %pool, i32 %slot, ptr %kernel, ptr %params, i64 %n, i64 %chunk)
    nounwind {{
start:
  %threads = load i32, ptr %pool
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %choose, label %done
choose:
  %alone = icmp ule i32 %threads, 1
  br i1 %alone, label %all, label %enter
all:
  call void %kernel(ptr %params, i64 0, i64 %n)
  ret void
enter:
  %slot.wide = zext i32 %slot to i64
  %slot.bytes = mul i64 %slot.wide, {slot_bytes}
  %slot.offset = add i64 %slot.bytes, {counters}
  %counter = getelementptr i8, ptr %pool, i64 %slot.offset
  %generation.at = getelementptr i8, ptr %pool, i64 {generation}
  %generation = load atomic i32, ptr %generation.at monotonic, align 4
  %generation.wide = zext i32 %generation to i64
  %base = shl i64 %generation.wide, 32
  %old = atomicrmw umax ptr %counter, i64 %base monotonic
  br label %take
take:
  %taken = atomicrmw add ptr %counter, i64 1 monotonic
  %index = sub i64 %taken, %base
  %begin = mul i64 %index, %chunk
  %left = sub i64 %n, %begin
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %work, label %done
work:
  %size = call i64 @llvm.smin.i64(i64 %left, i64 %chunk)
  %end = add i64 %begin, %size
  call void %kernel(ptr %params, i64 %begin, i64 %end)
  br label %take
done:
  ret void
}}
declare i64 @llvm.smin.i64(i64, i64)

define internal void @ew_pool_publish(ptr %pool, ptr %body, ptr %context) nounwind {{
start:
  %body.at = getelementptr i8, ptr %pool, i64 {body}
  %context.at = getelementptr i8, ptr %pool, i64 {context}
  %generation = getelementptr i8, ptr %pool, i64 {generation}
  %sleepers.at = getelementptr i8, ptr %pool, i64 {sleepers}
  store ptr %body, ptr %body.at
  store ptr %context, ptr %context.at
  %old = load i32, ptr %generation
  %wraps = icmp eq i32 %old, -1
  br i1 %wraps, label %clear, label %raise
clear:
  %i = phi i64 [ 0, %start ], [ %i.next, %clear ]
  %offset = mul i64 %i, {slot_bytes}
  %offset.at = add i64 %offset, {counters}
  %counter = getelementptr i8, ptr %pool, i64 %offset.at
  store atomic i64 0, ptr %counter monotonic, align 8
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, {slots}
  br i1 %more, label %clear, label %raise
raise:
  %ignored.old = atomicrmw add ptr %generation, i32 1 seq_cst
  %sleepers = load atomic i32, ptr %sleepers.at seq_cst, align 4
  %awake = icmp eq i32 %sleepers, 0
  br i1 %awake, label %done, label %wake
wake:
  %ignored = call i64 @ew_pool_syscall(
      ptr %pool, i64 {futex}, ptr %generation, i64 129, i64 2147483647)
  br label %done
done:
  ret void
}}

define void @ew_pool_run(ptr %pool, ptr %body, ptr %context) nounwind {{
start:
  %threads = load i32, ptr %pool
  %alone = icmp ule i32 %threads, 1
  br i1 %alone, label %direct, label %together
direct:
  call void %body(ptr %pool, ptr %context, i32 0, i32 1)
  ret void
together:
  call void @ew_pool_publish(ptr %pool, ptr %body, ptr %context)
  call void %body(ptr %pool, ptr %context, i32 0, i32 %threads)
  call void @ew_pool_barrier(ptr %pool)
  ret void
}}

define internal ptr @ew_pool_worker(ptr %self) nounwind {{
start:
  %pool.at = getelementptr i8, ptr %self, i64 8
  %index.at = getelementptr i8, ptr %self, i64 16
  %seen.at = getelementptr i8, ptr %self, i64 20
  %pool = load ptr, ptr %pool.at
  %index = load i32, ptr %index.at
  %seen.first = load i32, ptr %seen.at
  %generation.at = getelementptr i8, ptr %pool, i64 {generation}
  %body.at = getelementptr i8, ptr %pool, i64 {body}
  %context.at = getelementptr i8, ptr %pool, i64 {context}
  %sleepers = getelementptr i8, ptr %pool, i64 {sleepers}
  br label %idle
idle:
  %seen = phi i32 [ %seen.first, %start ], [ %generation, %work ]
  br label %wait
wait:
  %spun = phi i32 [ 0, %idle ], [ %spun.next, %spin ], [ 0, %sleep ]
  %generation = load atomic i32, ptr %generation.at acquire, align 4
  %same = icmp eq i32 %generation, %seen
  br i1 %same, label %again, label %called
again:
  %spinning = icmp ult i32 %spun, {spins_idle}
  br i1 %spinning, label %spin, label %sleep
spin:
  {pause}
  %spun.next = add i32 %spun, 1
  br label %wait
sleep:
  %seen.wide = zext i32 %seen to i64
  %before = atomicrmw add ptr %sleepers, i32 1 seq_cst
  %ignored = call i64 @ew_pool_syscall(
      ptr %pool, i64 {futex}, ptr %generation.at, i64 128, i64 %seen.wide)
  %after = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %wait
called:
  %body = load ptr, ptr %body.at
  %stop = icmp eq ptr %body, null
  br i1 %stop, label %done, label %work
work:
  %context = load ptr, ptr %context.at
  %threads = load i32, ptr %pool
  call void %body(ptr %pool, ptr %context, i32 %index, i32 %threads)
  call void @ew_pool_barrier(ptr %pool)
  br label %idle
done:
  ret ptr null
}}

define i32 @ew_pool_start(ptr %pool, i32 %workers, ptr %functions) nounwind {{
start:
  %functions.at = getelementptr i8, ptr %pool, i64 {functions}
  %generation.at = getelementptr i8, ptr %pool, i64 {generation}
  %arrived = getelementptr i8, ptr %pool, i64 {arrived}
  store ptr %functions, ptr %functions.at
  store i64 0, ptr %arrived
  %seen = load i32, ptr %generation.at
  br label %loop
loop:
  %i = phi i32 [ 0, %start ], [ %thread, %next ]
  %thread = add i32 %i, 1
  %more = icmp ult i32 %i, %workers
  br i1 %more, label %create, label %done
create:
  %create.function = load ptr, ptr %functions
  %i.wide = zext i32 %i to i64
  %i.bytes = mul i64 %i.wide, {worker_bytes}
  %i.offset = add i64 %i.bytes, {workers}
  %self = getelementptr i8, ptr %pool, i64 %i.offset
  %pool.at = getelementptr i8, ptr %self, i64 8
  %index.at = getelementptr i8, ptr %self, i64 16
  %seen.at = getelementptr i8, ptr %self, i64 20
  store ptr %pool, ptr %pool.at
  store i32 %thread, ptr %index.at
  store i32 %seen, ptr %seen.at
  %error = call i32 %create.function(ptr %self, ptr null, ptr @ew_pool_worker, ptr %self)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %done, label %next
next:
  br label %loop
done:
  store i32 %thread, ptr %pool
  ret i32 %thread
}}

define void @ew_pool_stop(ptr %pool) nounwind {{
start:
  %threads = load i32, ptr %pool
  %alone = icmp ule i32 %threads, 1
  br i1 %alone, label %done, label %publish
publish:
  call void @ew_pool_publish(ptr %pool, ptr null, ptr null)
  %functions.at = getelementptr i8, ptr %pool, i64 {functions}
  %functions = load ptr, ptr %functions.at
  %join.at = getelementptr ptr, ptr %functions, i64 1
  %join = load ptr, ptr %join.at
  br label %loop
loop:
  %i = phi i32 [ 1, %publish ], [ %i.next, %loop ]
  %i.before = sub i32 %i, 1
  %i.wide = zext i32 %i.before to i64
  %i.bytes = mul i64 %i.wide, {worker_bytes}
  %i.offset = add i64 %i.bytes, {workers}
  %self = getelementptr i8, ptr %pool, i64 %i.offset
  %handle = load i64, ptr %self
  %ignored = call i32 %join(i64 %handle, ptr null)
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, %threads
  br i1 %more, label %loop, label %alone.now
alone.now:
  store i32 1, ptr %pool
  br label %done
done:
  ret void
}}
"""


def supports_threads(target: Target) -> bool:
    """Whether `pool_text` can start workers there: Linux on x86-64 and AArch64."""
    return target.is_linux and target.arch in _LINUX


def pool_text(target: Target) -> str:
    """LLVM text that defines the pool's functions; where there are no threads, for one thread."""
    if not supports_threads(target):
        return _SERIAL
    return _PARALLEL.format(
        **_LINUX[target.arch],
        functions=_FUNCTIONS,
        generation=_GENERATION,
        body=_BODY,
        context=_CONTEXT,
        sleepers=_SLEEPERS,
        arrived=_ARRIVED,
        workers=_WORKERS,
        worker_bytes=_WORKER_BYTES,
        counters=_COUNTERS,
        slot_bytes=_SLOT_BYTES,
        slots=SLOTS,
        spins_idle=_SPINS_IDLE,
        spins_busy=_SPINS_BUSY,
    )
