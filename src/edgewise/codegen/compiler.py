"""Kernels to objects, by all cores, while the plan that needs them is still being made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from ..plan.model import Variant
from . import cache, jit
from .module import SOURCES
from .pool import pool_text
from .target import Target, usable_cpus

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from typing_extensions import Self

POOL = "ew_pool"


class KernelCompiler:
    """Compiles kernels for ``target``, each once; those in the cache are taken from there.

    A context: at its end, kernels that were added and not asked for are forgotten.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._threads = _executor()
        self._objects: dict[str, bytes | Future[bytes]] = {}
        self._add(POOL, partial(pool_text, target))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def add(self, kernel: Variant) -> None:
        """Begin to compile ``kernel``."""
        self._add(kernel.symbol, kernel.build)

    def objects(self, kernels: Iterable[Variant]) -> list[bytes]:
        """Relocatable objects of ``kernels`` and of the pool's functions, kept in the cache.

        Raises:
            CompileError: LLVM refuses one.
        """
        wanted = [POOL]
        for kernel in kernels:
            self.add(kernel)
            wanted.append(kernel.symbol)
        return [self._object(name) for name in wanted]

    def _add(self, name: str, text: Callable[[], str]) -> None:
        if name not in self._objects:
            known = cache.read(self._key(name), ".o")
            self._objects[name] = known or self._begin(text)

    def _begin(self, text: Callable[[], str]) -> bytes | Future[bytes]:
        if self._threads is not None:
            with contextlib.suppress(RuntimeError):  # as in _executor
                return self._threads.submit(self._compile, text)
        return self._compile(text)

    def _compile(self, text: Callable[[], str]) -> bytes:
        return jit.compile_ir(text(), self._target)

    def _object(self, name: str) -> bytes:
        found = self._objects[name]
        if isinstance(found, bytes):
            return found
        data = self._objects[name] = found.result()
        cache.put(self._key(name), ".o", data)
        return data

    def _key(self, name: str) -> str:
        return cache.key("object", SOURCES, str(self._target), name)


def _executor() -> ThreadPoolExecutor | None:
    """A thread for each core; None where Python starts no more, as its main thread has ended."""
    try:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(len(usable_cpus()))
    except RuntimeError:
        return None
