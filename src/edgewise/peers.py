"""Other runtimes to compare with: the same model file, the same arrays in and out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import InputError, MissingExtraError
from .graph import Array

FILE_IDENTIFIER = b"TFL3"


class Peer(Protocol):
    """One model in another runtime."""

    @property
    def name(self) -> str:
        """The runtime's name and version."""

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """Place the inputs, in the model's order."""

    def invoke(self) -> None:
        """Run the model once on the inputs placed last."""

    def outputs(self) -> list[Array]:
        """Copies of the outputs of the last run, in the model's order."""


class LiteRT:
    """A .tflite model in LiteRT's interpreter, on its default CPU path (XNNPACK).

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        InputError: LiteRT refuses the model.
    """

    def __init__(self, model: Path | bytes, threads: int = 1) -> None:
        interpreter = _litert_module("interpreter").Interpreter
        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            self._interpreter = interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"LiteRT refuses the model: {_first_line(error)}") from None
        self._inputs = [d["index"] for d in self._interpreter.get_input_details()]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]

    @property
    def name(self) -> str:
        return f"LiteRT {version('ai-edge-litert')}"

    @property
    def path(self) -> str:
        """Which of the runtime's code paths computes."""
        return "default CPU path (XNNPACK delegate)"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        if len(arrays) != len(self._inputs):
            raise InputError(f"LiteRT: {len(arrays)} inputs, the model has {len(self._inputs)}")
        for index, array in zip(self._inputs, arrays, strict=True):
            try:
                self._interpreter.set_tensor(index, array)
            except ValueError as error:
                raise InputError(f"LiteRT refuses an input: {_first_line(error)}") from None

    def invoke(self) -> None:
        self._interpreter.invoke()

    def outputs(self) -> list[Array]:
        return [np.array(self._interpreter.get_tensor(index)) for index in self._outputs]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for ``arrays``, both in the model's order."""
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


class LiteRTTensors:
    """Every computed tensor of a .tflite model, as LiteRT's default CPU path computes it.

    Inside a part that a delegate runs, LiteRT shows no intermediate tensors. So the model is
    rewritten: every tensor that an operator computes is declared an output, and the same delegate
    must write it out.

    Raises: as LiteRT.
    """

    def __init__(self, model: Path | bytes, threads: int = 1) -> None:
        content = model if isinstance(model, bytes) else model.read_bytes()
        self._peer = LiteRT(with_all_outputs(content), threads)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The computed tensors, in the order of the file's operators and their outputs."""
        return self._peer.run(arrays)


def with_all_outputs(model: bytes) -> bytes:
    """A .tflite model whose outputs are all tensors that its operators compute, in order.

    Signatures are dropped, since they name the former outputs; files packed behind the model (its
    labels) are too.
    """
    schema = _litert_module("schema_py_generated")
    import flatbuffers

    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    subgraph = parsed.subgraphs[0]
    subgraph.outputs = [int(i) for op in subgraph.operators for i in op.outputs]
    parsed.signatureDefs = None
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(parsed.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def open_peer(name: str, model: Path, threads: int = 1) -> LiteRT:
    """The peer called ``name``.

    Raises:
        InputError: no such peer.
        MissingExtraError: its package is not installed.
    """
    if name != "litert":
        raise InputError(f"--against {name}: unknown; known is: litert")
    return LiteRT(model, threads)


def peer_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _litert_module(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"ai_edge_litert.{name}")
    except ImportError:
        raise MissingExtraError("comparing against LiteRT", "litert") from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
