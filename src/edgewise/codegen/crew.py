"""The workers of pools as LLVM text: how they start, wait, take a job, and end (see `pool`)."""

from __future__ import annotations

CREW = """\
define internal i64 @ew_pool_syscall(ptr %functions, i64 %number, ptr %word, i64 %operation,
    i64 %value) nounwind noinline {{
  %syscall.at = getelementptr ptr, ptr %functions, i64 2
  %syscall = load ptr, ptr %syscall.at
  %result = call i64 (i64, ...) %syscall(
      i64 %number, ptr %word, i64 %operation, i64 %value, ptr null)
  ret i64 %result
}}

; The address of worker i of a crew.
define internal ptr @ew_pool_worker_at(ptr %crew, i32 %i) nounwind {{
  %i.wide = zext i32 %i to i64
  %i.bytes = mul i64 %i.wide, {worker_bytes}
  %i.offset = add i64 %i.bytes, {workers}
  %worker = getelementptr i8, ptr %crew, i64 %i.offset
  ret ptr %worker
}}

; Set a worker's word and wake it if it sleeps. It counts as awake from then on, though the system
; may take a while to run it; only if it was not asleep yet may it be about to sleep.
define internal void @ew_pool_say(ptr %crew, ptr %worker, i32 %what) nounwind {{
  %word = getelementptr i8, ptr %worker, i64 {word}
  %sleeping.at = getelementptr i8, ptr %worker, i64 {sleeping}
  %ignored = atomicrmw xchg ptr %word, i32 %what seq_cst
  %sleeping = load atomic i32, ptr %sleeping.at seq_cst, align 4
  %awake = icmp eq i32 %sleeping, 0
  br i1 %awake, label %done, label %wake
wake:
  store atomic i32 0, ptr %sleeping.at seq_cst, align 4
  %functions.at = getelementptr i8, ptr %crew, i64 {functions}
  %functions = load ptr, ptr %functions.at
  %woken = call i64 @ew_pool_syscall(ptr %functions, i64 {futex}, ptr %word, i64 129, i64 1)
  %early = icmp eq i64 %woken, 0
  br i1 %early, label %restore, label %done
restore:
  store atomic i32 1, ptr %sleeping.at seq_cst, align 4
  br label %done
done:
  ret void
}}

define internal ptr @ew_pool_worker(ptr %self) nounwind {{
start:
  %crew.at = getelementptr i8, ptr %self, i64 {own_crew}
  %crew = load ptr, ptr %crew.at
  %functions.at = getelementptr i8, ptr %crew, i64 {functions}
  %functions = load ptr, ptr %functions.at
  %spins.at = getelementptr i8, ptr %crew, i64 {idle_spins}
  %spins = load i32, ptr %spins.at
  %word = getelementptr i8, ptr %self, i64 {word}
  %sleeping = getelementptr i8, ptr %self, i64 {sleeping}
  %pool.at = getelementptr i8, ptr %self, i64 {pool}
  %body.at = getelementptr i8, ptr %self, i64 {body}
  %context.at = getelementptr i8, ptr %self, i64 {context}
  br label %wait
wait:
  %spun = phi i32 [ 0, %start ], [ %spun.next, %spin ], [ 0, %sleep ], [ 0, %take ], [ 0, %work ]
  %now = load atomic i32, ptr %word monotonic, align 4
  switch i32 %now, label %again [
    i32 {go}, label %take
    i32 {stop}, label %done
  ]
again:
  %spinning = icmp ult i32 %spun, %spins
  br i1 %spinning, label %spin, label %sleep
spin:
  {pause}
  %spun.next = add i32 %spun, 1
  br label %wait
sleep:
  %on = atomicrmw xchg ptr %sleeping, i32 1 seq_cst
  %waited = call i64 @ew_pool_syscall(
      ptr %functions, i64 {futex}, ptr %word, i64 128, i64 {idle})
  store atomic i32 0, ptr %sleeping release, align 4
  br label %wait
take:
  %swap = cmpxchg ptr %word, i32 {go}, i32 {taken} acquire monotonic
  %swapped = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %swapped, label %work, label %wait
work:
  %pool = load ptr, ptr %pool.at
  %body = load ptr, ptr %body.at
  %context = load ptr, ptr %context.at
  %state = getelementptr i8, ptr %pool, i64 {state}
  %joined = atomicrmw add ptr %state, i64 65536 acq_rel
  call void %body(ptr %pool, ptr %context, i64 32)
  store atomic i32 {idle}, ptr %word release, align 4
  br label %wait
done:
  ret ptr null
}}

define i32 @ew_pool_start(ptr %crew, i32 %workers, ptr %functions) nounwind {{
start:
  %functions.at = getelementptr i8, ptr %crew, i64 {functions}
  store ptr %functions, ptr %functions.at
  %count = load i32, ptr %crew
  br label %loop
loop:
  %i = phi i32 [ %count, %start ], [ %i.next, %next ]
  %more = icmp slt i32 %i, %workers
  br i1 %more, label %create, label %done
create:
  %create.function = load ptr, ptr %functions
  %self = call ptr @ew_pool_worker_at(ptr %crew, i32 %i)
  %crew.at = getelementptr i8, ptr %self, i64 {own_crew}
  store ptr %crew, ptr %crew.at
  %handle = getelementptr i8, ptr %self, i64 {handle}
  %error = call i32 %create.function(ptr %handle, ptr null, ptr @ew_pool_worker, ptr %self)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %done, label %next
next:
  %i.next = add i32 %i, 1
  br label %loop
done:
  store atomic i32 %i, ptr %crew release, align 4
  ret i32 %i
}}

define void @ew_pool_stop(ptr %crew) nounwind {{
start:
  %count = load i32, ptr %crew
  store i32 0, ptr %crew
  %functions.at = getelementptr i8, ptr %crew, i64 {functions}
  %functions = load ptr, ptr %functions.at
  br label %tell
tell:
  %i = phi i32 [ 0, %start ], [ %i.next, %told ]
  %i.more = icmp slt i32 %i, %count
  br i1 %i.more, label %told, label %join
told:
  %i.worker = call ptr @ew_pool_worker_at(ptr %crew, i32 %i)
  call void @ew_pool_say(ptr %crew, ptr %i.worker, i32 {stop})
  %i.next = add i32 %i, 1
  br label %tell
join:
  %j = phi i32 [ 0, %tell ], [ %j.next, %joined ]
  %j.more = icmp slt i32 %j, %count
  br i1 %j.more, label %joined, label %done
joined:
  %join.at = getelementptr ptr, ptr %functions, i64 1
  %join.function = load ptr, ptr %join.at
  %worker = call ptr @ew_pool_worker_at(ptr %crew, i32 %j)
  %handle.at = getelementptr i8, ptr %worker, i64 {handle}
  %handle = load i64, ptr %handle.at
  %ignored = call i32 %join.function(i64 %handle, ptr null)
  %word = getelementptr i8, ptr %worker, i64 {word}
  store i32 {idle}, ptr %word
  %j.next = add i32 %j, 1
  br label %join
done:
  ret void
}}
"""
"""LLVM text with names of `pool_layout.NUMBERS`, and a system's, in braces."""
