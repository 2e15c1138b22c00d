"""How many threads run a program, where, and how long they wait awake: what was asked, and what is
in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import InputError
from .pool_layout import MAX_THREADS
from .target import host, supports_threads, usable_cpus

if TYPE_CHECKING:
    from .cpus import Cores


class Policy(NamedTuple):
    """A power policy.

    Attributes:
        idle: seconds that a worker without work spins before it sleeps.
        affinity: the cores that it prefers.
    """

    idle: float
    affinity: str = "all"


POLICIES = {
    "performance": Policy(2e-3),
    "balanced": Policy(50e-6),
    "powersave": Policy(0.0, "little"),
}


class Threading(NamedTuple):
    """The threads of a program.

    Attributes:
        threads: how many run a call, the caller's own included.
        affinity: what was asked for: "all", "big", "little" or numbers of CPUs.
        power: the name of the policy.
        cpus: the CPUs that the workers may run on. The caller's own thread is left where it is.
        idle_us: microseconds that a worker without work spins before it sleeps.
        usable: those that the process may use.
        notes: what one may not expect, a sentence each.
    """

    threads: int
    affinity: str
    power: str
    cpus: tuple[int, ...]
    idle_us: float
    usable: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def pinned(self) -> tuple[int, ...] | None:
        """``cpus`` where they are not all that the process may use."""
        return None if self.cpus == self.usable else self.cpus


def decide(
    threads: int | str = 1,
    affinity: str | None = None,
    power: str = "balanced",
    found: Cores | None = None,
) -> Threading:
    """What to do on the cores ``found`` (this machine's if not given).

    ``threads`` "auto" is as many as the chosen cores are good for; ``affinity`` None is what the
    policy prefers. One thread anywhere needs no look at the machine.

    Raises:
        InputError: an argument is out of range.
    """
    if power not in POLICIES:
        raise InputError(f"power={power!r}; it is one of {', '.join(POLICIES)}")
    policy = POLICIES[power]
    asked = policy.affinity if affinity is None else affinity
    if threads == 1 and threads is not True and asked == "all" and found is None:
        everywhere = usable_cpus()
        return Threading(1, asked, power, everywhere, policy.idle * 1e6, everywhere)
    from .cpus import cores, cpu_text

    machine = found or cores()
    cpus = machine.choose(asked)
    able = machine.threads(cpus) if supports_threads(host()) else 1
    count = able if threads == "auto" else threads
    if not isinstance(count, int) or isinstance(count, bool):
        raise InputError(f"threads={threads!r}; it is a number or 'auto'")
    if not 1 <= count <= MAX_THREADS:
        raise InputError(f"threads={count}; a pool has 1..{MAX_THREADS} threads")
    notes = []
    if asked in ("big", "little") and machine.equal:
        notes.append(f"affinity={asked} is all: {machine.source}")
    if count > able:
        limit = cpu_text(cpus)
        if able < len(cpus):
            limit += f" with a quota of {machine.quota:.2g}"
        notes.append(f"{count} threads share CPUs {limit}: more than {able} make calls slower")
    if count == 1 and cpus != machine.usable:
        notes.append(f"one thread is the caller's own, which affinity={asked} leaves where it is")
    return Threading(count, asked, power, cpus, policy.idle * 1e6, machine.usable, tuple(notes))
