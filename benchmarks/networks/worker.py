"""A process for each contestant, which opens networks, runs and times them when told to.

Runtimes in one process disturb each other: their thread libraries meet, one may crash, and what
one leaves in memory another finds. So each has a process. Only the one that is being timed runs;
the others wait for their next message. What their threads do meanwhile, such as spinning, can be
read from ``cpu_seconds``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from edgewise.errors import EdgewiseError, InputError
from edgewise.graph import Array

PATIENCE = 180.0
"""Seconds that a message may take."""


class Opened(NamedTuple):
    """What a contestant says of a network that it has opened."""

    name: str
    path: str


class Worker:
    """The process of one contestant, as seen from the benchmark."""

    def __init__(self, contestant: str) -> None:
        self._contestant = contestant
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self._contestant)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, message: str, *arguments: Any) -> Any:
        """Send a message and wait for its answer.

        Raises:
            InputError: the contestant refuses, crashes, or takes too long; in the last two cases
                a new process takes its place.
        """
        ended = False
        try:
            self._pipe.send((message, *arguments))
            if not self._pipe.poll(PATIENCE):
                self._restart()
                raise InputError(f"takes over {PATIENCE:.0f} s")
            answered, result = self._pipe.recv()
        except (EOFError, ConnectionError):
            ended = True
        if ended:
            self._process.join(5)
            code = self._process.exitcode
            self._restart()
            raise InputError(f"crashes (exit code {code})")
        if not answered:
            raise InputError(result)
        return result

    def open(self, model: Path, threads: int, options: dict[str, Any]) -> Opened:
        return Opened(*self.ask("open", model, threads, options))

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        given: list[Array] = self.ask("run", arrays)
        return given

    def calibrate(self) -> int:
        """How many calls make a sample."""
        return int(self.ask("calibrate"))

    def sample(self, calls: int) -> float:
        """Seconds a call."""
        return float(self.ask("sample", calls))

    def close(self) -> None:
        self.ask("close")

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Time that the process has spent on processors, all threads together; Linux only."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
        return total / 1e9

    def stop(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _restart(self) -> None:
        self.stop()
        self._start()


def serve(pipe: Connection, contestant: str) -> None:
    """The process: answer messages until the pipe is closed. What runtimes print is dropped."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    server = Server(contestant)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            message, *arguments = pipe.recv()
            try:
                answer: tuple[bool, Any] = (True, getattr(server, message)(*arguments))
            except EdgewiseError as error:
                answer = (False, str(error))
            except ImportError as error:
                answer = (False, f"is not installed: {error}")
            except Exception as error:
                answer = (False, f"{type(error).__name__}: {error}"[:300])
            pipe.send(answer)


class Server:
    """What a contestant's process does: a method for each message."""

    def __init__(self, contestant: str, clock: Callable[[], float] = time.perf_counter) -> None:
        from .peers import CONTESTANTS

        self._contestant = CONTESTANTS[contestant]
        self._clock = clock
        self._peer: Any = None

    def open(self, model: Path, threads: int, options: dict[str, Any]) -> tuple[str, str]:
        import edgewise

        self.close()
        self._peer = self._contestant.open(model, edgewise.load(model), threads, **options)
        return self._peer.name, self._peer.path

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        given: list[Array] = self._peer.run(arrays)
        return given

    def calibrate(self) -> int:
        from edgewise import timing

        return timing.calibrate(self._peer.invoke, self._clock)

    def sample(self, calls: int) -> float:
        from edgewise import timing

        return timing.sample(self._peer.invoke, calls, self._clock)

    def close(self) -> None:
        import gc

        self._peer = None
        gc.collect()
