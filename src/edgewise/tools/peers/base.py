"""What a peer is, and what the peers share."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from ...errors import InputError, MissingExtraError
from ...graph import Array


class Peer(Protocol):
    """One model in another runtime; those here derive from it."""

    @property
    def name(self) -> str:
        """The runtime's name and version."""

    @property
    def path(self) -> str:
        """Which of the runtime's code paths computes."""

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """Place the inputs, in the model's order."""

    def invoke(self) -> None:
        """Run the model once on the inputs placed last."""

    def outputs(self) -> list[Array]:
        """Copies of the outputs of the last run, in the model's order."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for ``arrays``, both in the model's order."""
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


class PeerTensors(Protocol):
    """Every tensor that another runtime computes of one model."""

    def run(self, arrays: Sequence[Array]) -> Mapping[str, Array]:
        """The tensors by the names that the graph has for them, for inputs in its order."""


def check_count(runtime: str, arrays: Sequence[Array], count: int) -> None:
    """Refuse another number of inputs than a model has."""
    if len(arrays) != count:
        raise InputError(f"{runtime}: {len(arrays)} inputs, the model has {count}")


def two_files(
    peer: str, model: Path, weights: Path | None, is_network: bool, suffixes: tuple[str, str]
) -> tuple[Path, Path]:
    """The network and the weights of a format that keeps them in two files.

    Args:
        model: one of them; the network if ``is_network``.
        weights: the other one; None: the one named as the model is, with its one of ``suffixes``.

    Raises:
        InputError: there is no other one.
    """
    other = weights or model.with_suffix(suffixes[is_network])
    if not other.is_file():
        raise InputError(f"--against {peer}: {other}: no such file")
    return (model, other) if is_network else (other, model)


def peer_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def module(name: str, feature: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(feature, extra) from None


def reason(error: Exception) -> str:
    """An error's message in one line; places in a runtime's source are left out."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(told)[:300] or type(error).__name__
