"""Threads in native code: a network is one call, with no Python between its layers.

Two kinds of memory. A *crew* is the worker threads that programs share; a *pool* belongs to one
program and holds what its runs need. The functions, linked beside the code that uses them (see
`pool_text`):

    i32  ew_pool_start(ptr crew, i32 workers, ptr functions)   returns the workers there are now
    void ew_pool_stop(ptr crew)
    void ew_pool_run(ptr pool, ptr entry, ptr context)
    void ew_pool_call(ptr {pool, entry, context})              the same of arguments in memory
    void ew_pool_region(ptr pool, ptr body, ptr context, i32 slots)
    void ew_pool_barrier(ptr pool, i32 index)
    void ew_pool_for(ptr pool, i64 side, i32 slot, ptr kernel, ptr params, i64 n, i64 chunk)
    void ew_pool_pause(i64 n)

`ew_pool_run` calls ``entry(ptr pool, ptr context)`` on the caller's thread. What is worth dividing
it hands to `ew_pool_region`, which has the caller, and workers of the crew, call ``body(ptr pool,
ptr context, i64 side)``, and returns when all have returned. Inside a body:

- `ew_pool_for` calls ``kernel(ptr params, i64 begin, i64 end)`` until all of [0, n) is taken; it
  does not wait for other threads. Each call takes a share of what is left, at least ``chunk`` >= 1:
  the caller from the front and workers from the back, so that of consecutive steps a thread works
  on the same end, with what its cache has. A body uses each slot, 0..slots - 1, once; n < 2**31. A
  caller without workers makes one call, kernel(params, 0, n).
- `ew_pool_barrier` returns when every thread has called it; what a thread wrote before is visible.
  A body numbers its barriers 0, 1, 2... in the order in which it calls them.

A pool whose bytes are all zero runs everything on the caller's thread. A run uses up to ``threads``
threads: fewer where other runs of the process have the cores (``busy`` counts the threads of all
runs under way, and only the first may outnumber ``cores``), or have the workers. What it computes
does not depend on that.

How it works. A region claims workers, one flag each, writes the job into their mailboxes, says GO,
and starts at once. A worker takes the job (GO -> TAKEN), joins, and says IDLE when it is done.
Nobody waits for a worker to wake: one that comes late joins the barriers where they stand, finds
the work before them taken, and a job that was not taken by the end is withdrawn (GO -> IDLE).
The word ``state`` is (barriers passed << 32 | threads that joined << 16 | threads that arrived);
who arrives last raises the first and clears the last, which fails if another joined meanwhile, and
then that one is the last. Idle workers spin for a while and then sleep (futex); they are woken
only when they say so. Both sides are sequentially consistent, so either the caller sees the
sleeper or the kernel sees the new word. A barrier spins, then yields the core, so that more
threads than cores stay correct.
"""

from __future__ import annotations

from .crew import CREW
from .pool_layout import NUMBERS
from .target import Target, supports_threads

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
_SERIAL = """\
define i32 @ew_pool_start(ptr %crew, i32 %workers, ptr %functions) nounwind {
  ret i32 0
}
define void @ew_pool_stop(ptr %crew) nounwind {
  ret void
}
define void @ew_pool_pause(i64 %n) nounwind {
  ret void
}
define void @ew_pool_run(ptr %pool, ptr %entry, ptr %context) nounwind {
  call void %entry(ptr %pool, ptr %context)
  ret void
}
define void @ew_pool_region(ptr %pool, ptr %body, ptr %context, i32 %slots) nounwind {
  call void %body(ptr %pool, ptr %context, i64 0)
  ret void
}
define void @ew_pool_barrier(ptr %pool, i32 %index) nounwind {
  ret void
}
define void @ew_pool_for(ptr %pool, i64 %side, i32 %slot, ptr %kernel, ptr %params, i64 %n,
    i64 %chunk) nounwind {
start:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %work, label %done
work:
  call void %kernel(ptr %params, i64 0, i64 %n)
  br label %done
done:
  ret void
}
"""

_CALL = """\
define void @ew_pool_call(ptr %job) nounwind {
  %entry.at = getelementptr ptr, ptr %job, i64 1
  %context.at = getelementptr ptr, ptr %job, i64 2
  %pool = load ptr, ptr %job
  %entry = load ptr, ptr %entry.at
  %context = load ptr, ptr %context.at
  call void @ew_pool_run(ptr %pool, ptr %entry, ptr %context)
  ret void
}
"""

_PARALLEL = """\
{declare}
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare i32 @llvm.smin.i32(i32, i32)

define void @ew_pool_pause(i64 %n) nounwind {{
start:
  br label %loop
loop:
  %i = phi i64 [ 0, %start ], [ %i.next, %loop ]
  {pause}
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}

; One turn of waiting: a pause while fewer than the pool's spins were made, then a yield.
define internal i32 @ew_pool_wait(ptr %pool, i32 %spun) nounwind noinline {{
  %spins.at = getelementptr i8, ptr %pool, i64 {spins}
  %spins = load i32, ptr %spins.at
  %spinning = icmp ult i32 %spun, %spins
  br i1 %spinning, label %spin, label %yield
spin:
  {pause}
  %spun.next = add i32 %spun, 1
  ret i32 %spun.next
yield:
  %crew.at = getelementptr i8, ptr %pool, i64 {crew}
  %crew = load ptr, ptr %crew.at
  %functions.at = getelementptr i8, ptr %crew, i64 {functions}
  %functions = load ptr, ptr %functions.at
  %ignored = call i64 @ew_pool_syscall(ptr %functions, i64 {yield}, ptr null, i64 0, i64 0)
  ret i32 %spun
}}

define void @ew_pool_barrier(ptr %pool, i32 %index) nounwind {{
start:
  %claimed.at = getelementptr i8, ptr %pool, i64 {claimed}
  %claimed = load i32, ptr %claimed.at
  %alone = icmp eq i32 %claimed, 0
  br i1 %alone, label %done, label %look
look:
  %state = getelementptr i8, ptr %pool, i64 {state}
  %base.at = getelementptr i8, ptr %pool, i64 {base}
  %base = load i32, ptr %base.at
  %here = add i32 %base, %index
  %first = load atomic i64, ptr %state acquire, align 8
  %first.high = lshr i64 %first, 32
  %first.passed = trunc i64 %first.high to i32
  %first.ahead = sub i32 %first.passed, %here
  %late = icmp sgt i32 %first.ahead, 0
  br i1 %late, label %done, label %arrive
arrive:
  %old = atomicrmw add ptr %state, i64 1 acq_rel
  %arrived = and i64 %old, 65535
  %joined.up = and i64 %old, 4294901760
  %joined = lshr i64 %joined.up, 16
  %arrived.now = add i64 %arrived, 1
  %last = icmp eq i64 %arrived.now, %joined
  br i1 %last, label %raise, label %wait
raise:
  %expected = add i64 %old, 1
  %old.high = and i64 %old, -4294967296
  %new.high = add i64 %old.high, 4294967296
  %new = or i64 %new.high, %joined.up
  %swap = cmpxchg ptr %state, i64 %expected, i64 %new acq_rel acquire
  %swapped = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %swapped, label %done, label %wait
wait:
  %spun = phi i32 [ 0, %arrive ], [ 0, %raise ], [ %spun.next, %again ]
  %now = load atomic i64, ptr %state acquire, align 8
  %now.high = lshr i64 %now, 32
  %passed = trunc i64 %now.high to i32
  %ahead = sub i32 %passed, %here
  %open = icmp sgt i32 %ahead, 0
  br i1 %open, label %done, label %again
again:
  %spun.next = call i32 @ew_pool_wait(ptr %pool, i32 %spun)
  br label %wait
done:
  ret void
}}

define void @ew_pool_for(ptr %pool, i64 %side, i32 %slot, ptr %kernel, ptr %params, i64 %n,
    i64 %chunk) nounwind {{
start:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %choose, label %done
choose:
  %claimed.at = getelementptr i8, ptr %pool, i64 {claimed}
  %claimed = load i32, ptr %claimed.at
  %alone = icmp eq i32 %claimed, 0
  br i1 %alone, label %all, label %enter
all:
  call void %kernel(ptr %params, i64 0, i64 %n)
  ret void
enter:
  %threads = add i32 %claimed, 1
  %threads.wide = zext i32 %threads to i64
  %shares = mul i64 %threads.wide, 2
  %slot.wide = zext i32 %slot to i64
  %slot.bytes = mul i64 %slot.wide, {slot_bytes}
  %slot.offset = add i64 %slot.bytes, {counters}
  %counter = getelementptr i8, ptr %pool, i64 %slot.offset
  %first = load atomic i64, ptr %counter monotonic, align 8
  br label %look
look:
  %old = phi i64 [ %first, %enter ], [ %other, %take ], [ %new, %work ]
  %front = and i64 %old, 4294967295
  %back = lshr i64 %old, 32
  %taken = add i64 %front, %back
  %left = sub i64 %n, %taken
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %take, label %done
take:
  %share = udiv i64 %left, %shares
  %wanted = call i64 @llvm.smax.i64(i64 %share, i64 %chunk)
  %size = call i64 @llvm.smin.i64(i64 %left, i64 %wanted)
  %added = shl i64 %size, %side
  %new = add i64 %old, %added
  %swap = cmpxchg ptr %counter, i64 %old, i64 %new monotonic monotonic
  %other = extractvalue {{ i64, i1 }} %swap, 0
  %swapped = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %swapped, label %work, label %look
work:
  %is.front = icmp eq i64 %side, 0
  %last = sub i64 %n, %back
  %last.begin = sub i64 %last, %size
  %begin = select i1 %is.front, i64 %front, i64 %last.begin
  %end = add i64 %begin, %size
  call void %kernel(ptr %params, i64 %begin, i64 %end)
  br label %look
done:
  ret void
}}

define void @ew_pool_run(ptr %pool, ptr %entry, ptr %context) nounwind {{
start:
  %busy.at = getelementptr i8, ptr %pool, i64 {busy}
  %busy = load ptr, ptr %busy.at
  %uncounted = icmp eq ptr %busy, null
  br i1 %uncounted, label %direct, label %counted
direct:
  call void %entry(ptr %pool, ptr %context)
  ret void
counted:
  %before = atomicrmw add ptr %busy, i32 1 monotonic
  call void %entry(ptr %pool, ptr %context)
  %after = atomicrmw sub ptr %busy, i32 1 monotonic
  ret void
}}

; How many workers a region may claim.
define internal i32 @ew_pool_limit(ptr %pool) nounwind {{
start:
  %threads = load i32, ptr %pool
  %wanted = sub i32 %threads, 1
  %some = icmp sgt i32 %wanted, 0
  br i1 %some, label %others, label %none
none:
  ret i32 0
others:
  %busy.at = getelementptr i8, ptr %pool, i64 {busy}
  %busy.word = load ptr, ptr %busy.at
  %busy = load atomic i32, ptr %busy.word monotonic, align 4
  %first = icmp sle i32 %busy, 1
  br i1 %first, label %all, label %share
all:
  ret i32 %wanted
share:
  %cores.at = getelementptr i8, ptr %pool, i64 {cores}
  %cores = load i32, ptr %cores.at
  %free = sub i32 %cores, %busy
  %limit = call i32 @llvm.smin.i32(i32 %wanted, i32 %free)
  ret i32 %limit
}}

; Claim up to limit workers and give each the job; returns how many.
define internal i32 @ew_pool_claim(ptr %pool, ptr %crew, ptr %body, ptr %context, i32 %limit)
    nounwind {{
start:
  %count = load atomic i32, ptr %crew acquire, align 4
  br label %try
try:
  %i = phi i32 [ 0, %start ], [ %i.next, %next ]
  %n = phi i32 [ 0, %start ], [ %n.next, %next ]
  %i.more = icmp slt i32 %i, %count
  %n.more = icmp slt i32 %n, %limit
  %more = and i1 %i.more, %n.more
  br i1 %more, label %claim, label %claimed
claim:
  %i.next = add i32 %i, 1
  %worker = call ptr @ew_pool_worker_at(ptr %crew, i32 %i)
  %swap = cmpxchg ptr %worker, i32 0, i32 1 acquire monotonic
  %swapped = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %swapped, label %keep, label %next
keep:
  %n.wide = zext i32 %n to i64
  %chosen = getelementptr i8, ptr %pool, i64 {chosen}
  %chosen.at = getelementptr i32, ptr %chosen, i64 %n.wide
  store i32 %i, ptr %chosen.at
  %n.kept = add i32 %n, 1
  br label %next
next:
  %n.next = phi i32 [ %n, %claim ], [ %n.kept, %keep ]
  br label %try
claimed:
  %none = icmp eq i32 %n, 0
  br i1 %none, label %done, label %prepare
prepare:
  %claimed.at = getelementptr i8, ptr %pool, i64 {claimed}
  store i32 %n, ptr %claimed.at
  %state = getelementptr i8, ptr %pool, i64 {state}
  %now = load i64, ptr %state
  %now.high = lshr i64 %now, 32
  %base = trunc i64 %now.high to i32
  %base.at = getelementptr i8, ptr %pool, i64 {base}
  store i32 %base, ptr %base.at
  %reset.high = and i64 %now, -4294967296
  %reset = or i64 %reset.high, 65536
  store i64 %reset, ptr %state
  br label %give
give:
  %k = phi i32 [ 0, %prepare ], [ %k.next, %given ]
  %k.wide = zext i32 %k to i64
  %given.first = getelementptr i8, ptr %pool, i64 {chosen}
  %given.at = getelementptr i32, ptr %given.first, i64 %k.wide
  %given.i = load i32, ptr %given.at
  %given.worker = call ptr @ew_pool_worker_at(ptr %crew, i32 %given.i)
  %pool.at = getelementptr i8, ptr %given.worker, i64 {pool}
  %body.at = getelementptr i8, ptr %given.worker, i64 {body}
  %context.at = getelementptr i8, ptr %given.worker, i64 {context}
  store ptr %pool, ptr %pool.at
  store ptr %body, ptr %body.at
  store ptr %context, ptr %context.at
  %k.next = add i32 %k, 1
  call void @ew_pool_say(ptr %crew, ptr %given.worker, i32 {go})
  br label %given
given:
  %k.more = icmp slt i32 %k.next, %n
  br i1 %k.more, label %give, label %done
done:
  ret i32 %n
}}

; Withdraw a job or wait until it is done, and let the worker go.
define internal void @ew_pool_release(ptr %pool, ptr %worker) nounwind {{
start:
  %word = getelementptr i8, ptr %worker, i64 {word}
  br label %look
look:
  %spun = phi i32 [ 0, %start ], [ %spun, %withdraw ], [ %spun.next, %wait ]
  %now = load atomic i32, ptr %word acquire, align 4
  switch i32 %now, label %wait [
    i32 {idle}, label %done
    i32 {go}, label %withdraw
  ]
withdraw:
  %swap = cmpxchg ptr %word, i32 {go}, i32 {idle} acq_rel acquire
  %swapped = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %swapped, label %done, label %look
wait:
  %spun.next = call i32 @ew_pool_wait(ptr %pool, i32 %spun)
  br label %look
done:
  store atomic i32 0, ptr %worker release, align 4
  ret void
}}

define void @ew_pool_region(ptr %pool, ptr %body, ptr %context, i32 %slots) nounwind {{
start:
  %limit = call i32 @ew_pool_limit(ptr %pool)
  %some = icmp sgt i32 %limit, 0
  br i1 %some, label %claim, label %alone
alone:
  call void %body(ptr %pool, ptr %context, i64 0)
  ret void
claim:
  %crew.at = getelementptr i8, ptr %pool, i64 {crew}
  %crew = load ptr, ptr %crew.at
  %n = call i32 @ew_pool_claim(
      ptr %pool, ptr %crew, ptr %body, ptr %context, i32 %limit)
  %any = icmp sgt i32 %n, 0
  br i1 %any, label %together, label %alone
together:
  %busy.at = getelementptr i8, ptr %pool, i64 {busy}
  %busy = load ptr, ptr %busy.at
  %before = atomicrmw add ptr %busy, i32 %n monotonic
  call void %body(ptr %pool, ptr %context, i64 0)
  br label %finish
finish:
  %k = phi i32 [ 0, %together ], [ %k.next, %finish ]
  %k.wide = zext i32 %k to i64
  %chosen = getelementptr i8, ptr %pool, i64 {chosen}
  %chosen.at = getelementptr i32, ptr %chosen, i64 %k.wide
  %i = load i32, ptr %chosen.at
  %worker = call ptr @ew_pool_worker_at(ptr %crew, i32 %i)
  call void @ew_pool_release(ptr %pool, ptr %worker)
  %k.next = add i32 %k, 1
  %k.more = icmp slt i32 %k.next, %n
  br i1 %k.more, label %finish, label %clear
clear:
  %after = atomicrmw sub ptr %busy, i32 %n monotonic
  %claimed.at = getelementptr i8, ptr %pool, i64 {claimed}
  store i32 0, ptr %claimed.at
  %slots.wide = zext i32 %slots to i64
  br label %reset
reset:
  %j = phi i64 [ 0, %clear ], [ %j.next, %reset ]
  %j.bytes = mul i64 %j, {slot_bytes}
  %j.offset = add i64 %j.bytes, {counters}
  %counter = getelementptr i8, ptr %pool, i64 %j.offset
  store i64 0, ptr %counter
  %j.next = add i64 %j, 1
  %j.more = icmp ult i64 %j.next, %slots.wide
  br i1 %j.more, label %reset, label %done
done:
  ret void
}}
"""


def pool_text(target: Target) -> str:
    """LLVM text that defines the pool's functions; where there are no threads, for one thread."""
    if not supports_threads(target):
        return _SERIAL + _CALL
    return _CALL + (CREW + _PARALLEL).format(**_LINUX[target.arch], **NUMBERS)
