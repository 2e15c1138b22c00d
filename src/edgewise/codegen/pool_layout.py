"""Where things lie in the memory of threads: pools, and the crews of workers (see `pool`)."""

from __future__ import annotations

MAX_THREADS = 256
"""Threads of one run, the caller's included."""

SLOTS = 64
"""How many `ew_pool_for` one region may make."""

POOL_ALIGN = 128
"""What the addresses of pools and crews are multiples of; also how far apart lie words that
different threads write."""

THREADS, CORES, CREW, BUSY, SPINS = 0, 4, 8, 16, 24
"""Fields of a pool: i32, i32, ptr, ptr to i32, i32 (pauses of a barrier before it yields)."""

STATE, _CHOSEN, _SLOT_BYTES = POOL_ALIGN, 2 * POOL_ALIGN, 64
_COUNTERS = _CHOSEN + 4 * MAX_THREADS

POOL_BYTES = _COUNTERS + _SLOT_BYTES * SLOTS
"""Size of a pool."""

IDLE_SPINS = 16
"""Field of a crew: i32, pauses of a worker before it sleeps. At 0 it has the count of workers."""

WORKERS, WORKER_BYTES, HANDLE = POOL_ALIGN, 2 * POOL_ALIGN, 160
"""Where a crew's workers begin, the size of each, and where in it its pthread_t is. At 0 a worker
has the flag that claims it."""

CREW_BYTES = WORKERS + WORKER_BYTES * (MAX_THREADS - 1)
"""Size of a crew, which starts as zeros."""

IDLE, GO, TAKEN, STOP = range(4)
"""What a worker's word says."""

NUMBERS = {
    "cores": CORES,
    "crew": CREW,
    "busy": BUSY,
    "spins": SPINS,
    "base": 28,
    "claimed": 32,
    "state": STATE,
    "chosen": _CHOSEN,
    "counters": _COUNTERS,
    "slot_bytes": _SLOT_BYTES,
    "functions": 8,
    "idle_spins": IDLE_SPINS,
    "workers": WORKERS,
    "worker_bytes": WORKER_BYTES,
    "sleeping": 4,
    "word": POOL_ALIGN,
    "pool": 136,
    "body": 144,
    "context": 152,
    "handle": HANDLE,
    "own_crew": 168,
    "idle": IDLE,
    "go": GO,
    "taken": TAKEN,
    "stop": STOP,
}
"""All of them by the names that the LLVM text has them by."""
