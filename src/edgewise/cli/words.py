"""The words that options know, for the shell to complete and for errors to name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ..errors import InputError

Known: TypeAlias = "Callable[[], Iterable[str]]"
"""Gives the words of an option; what they are read from is imported when it is called."""

FITS = ("crop", "stretch")

AFFINITIES = ("all", "big", "little")


def completing(known: Known, commas: bool = False) -> Callable[[str], list[str]]:
    """What Typer asks for the words that begin as what is typed does.

    Args:
        commas: the option takes several words with commas between.
    """

    def complete(incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",") if commas else ("", "", incomplete)
        return [head + comma + word for word in known() if word.startswith(last)]

    return complete


def one_of(option: str, known: Known) -> dict[str, Any]:
    """Arguments of `typer.Option` for one of known words: the shell completes it, and the command
    raises InputError for another.
    """

    def check(text: str | None) -> str | None:
        if text is not None and text not in (names := tuple(known())):
            raise InputError(f"{option} {text}: unknown; known are {', '.join(names)}")
        return text

    return {"callback": check, "autocompletion": completing(known)}


def powers() -> Iterable[str]:
    from ..codegen.policy import POLICIES

    return POLICIES


def isas() -> Iterable[str]:
    from ..codegen.target import host
    from ..tools.doctor import available_isas

    return available_isas(host())


def requantizations() -> Iterable[str]:
    from ..runtime import REQUANTIZATIONS

    return REQUANTIZATIONS


def float_precisions() -> Iterable[str]:
    from ..runtime import PRECISIONS

    return filter(None, PRECISIONS)


def modes() -> Iterable[str]:
    from ..quantizer import Precision

    return (precision.value for precision in Precision)


def observers() -> Iterable[str]:
    from ..quantizer.observers import OBSERVERS

    return OBSERVERS


def interfaces() -> Iterable[str]:
    """Element types of a quantized network's inputs and outputs."""
    from ..quantizer.recipe import INTEGERS

    return INTEGERS


def metrics() -> Iterable[str]:
    from ..data import METRICS

    return METRICS


def peers() -> Iterable[str]:
    from ..tools.peers import PEERS

    return PEERS


def engines() -> Iterable[str]:
    from ..tools.evaluate import EDGEWISE, NATIVE

    return EDGEWISE, NATIVE, *peers()


def suspects() -> Iterable[str]:
    """What `edgewise bisect` compares a network with."""
    from ..tools.bisect import REFERENCE
    from ..tools.peers import TENSORS

    return *TENSORS, REFERENCE
