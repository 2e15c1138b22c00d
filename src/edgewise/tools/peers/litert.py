"""LiteRT as a peer: whole networks, every tensor, one network of several."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...graph import Array
from .base import Peer, check_count, module, reason

FILE_IDENTIFIER = b"TFL3"


class LiteRT(Peer):
    """A .tflite model in LiteRT's interpreter, on its default CPU path (XNNPACK).

    Inputs have the file's shapes, or ``shapes`` where those are given. Variables are kept between
    runs.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        InputError: LiteRT refuses the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        interpreter = _litert_module("interpreter").Interpreter
        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            self._interpreter = interpreter(model_content=content, num_threads=threads)
            details = self._interpreter.get_input_details()
            for detail, shape in zip(details, shapes or (), strict=False):
                if list(detail["shape"]) != list(shape):
                    self._interpreter.resize_tensor_input(detail["index"], list(shape))
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"--against litert: cannot run the model: {reason(error)}") from None
        self._inputs = [d["index"] for d in details]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]

    @property
    def name(self) -> str:
        return f"LiteRT {version('ai-edge-litert')}"

    @property
    def path(self) -> str:
        """Which of the runtime's code paths computes."""
        return "default CPU path (XNNPACK delegate)"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        check_count("LiteRT", arrays, len(self._inputs))
        for index, array in zip(self._inputs, arrays, strict=True):
            try:
                self._interpreter.set_tensor(index, array)
            except ValueError as error:
                raise InputError(f"LiteRT refuses an input: {reason(error)}") from None

    def invoke(self) -> None:
        """Run the model.

        Raises:
            InputError: an operator fails.
        """
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"LiteRT cannot run the model: {reason(error)}") from None

    def outputs(self) -> list[Array]:
        return [np.array(self._interpreter.get_tensor(index)) for index in self._outputs]


class LiteRTTensors:
    """Every computed tensor of a .tflite model, as LiteRT's default CPU path computes it.

    Inside a part that a delegate runs, LiteRT shows no intermediate tensors. So the model is
    rewritten: every tensor that an operator of its first subgraph computes is declared an output,
    and the same delegate must write it out. ``outputs`` are the names that the model's own outputs
    go by; other tensors have the file's names, and a number where a name is there twice.

    Raises: as LiteRT.
    """

    def __init__(
        self,
        model: Path | bytes,
        outputs: Sequence[str] = (),
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        content = model if isinstance(model, bytes) else model.read_bytes()
        rewritten, self.names = with_all_outputs(content, outputs)
        self._peer = LiteRT(rewritten, threads, shapes)

    def run(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """The computed tensors by name, in the order of the file's operators."""
        return dict(zip(self.names, self._peer.run(arrays), strict=True))


def with_all_outputs(model: bytes, outputs: Sequence[str] = ()) -> tuple[bytes, list[str]]:
    """A .tflite model whose outputs are all tensors that its operators compute; their names.

    Left out are tensors without numbers, as handles of variables, and what depends on constants
    alone: the delegate takes it for its own. Signatures are dropped, since they name the former
    outputs; files packed behind the model (its labels) are too.
    """
    schema = _litert_module("schema_py_generated")
    import flatbuffers

    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    subgraph = parsed.subgraphs[0]
    opaque = (schema.TensorType.RESOURCE, schema.TensorType.VARIANT)
    known = {int(i) for i in subgraph.inputs}
    numbers: list[int] = []
    for op in subgraph.operators or ():
        if known.isdisjoint(map(int, op.inputs)) and len(op.inputs):
            continue
        known.update(map(int, op.outputs))
        numbers += [i for i in map(int, op.outputs) if subgraph.tensors[i].type not in opaque]
    chosen = dict(zip(map(int, subgraph.outputs), outputs, strict=False))
    names: dict[str, None] = {}
    for i in numbers:
        label = (subgraph.tensors[i].name or b"").decode(errors="replace") or f"tensor_{i}"
        name = chosen.get(i, label)
        names[name if name not in names else f"{name}_{i}"] = None
    subgraph.outputs = numbers
    parsed.signatureDefs = None
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(parsed.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output()), list(names)


class LiteRTSignature(Peer):
    """One signature of a .tflite model in LiteRT, for models of several networks.

    ``inputs`` and ``outputs`` are the signature's names, in the order that arrays have here. LiteRT
    copies outputs in its call, so that ``invoke`` includes it.

    Raises: as LiteRT.
    """

    def __init__(
        self,
        model: Path,
        signature: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        threads: int = 1,
    ) -> None:
        interpreter = _litert_module("interpreter").Interpreter
        try:
            whole = interpreter(model_content=model.read_bytes(), num_threads=threads)
            self._run = whole.get_signature_runner(signature)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"--against litert: cannot run the model: {reason(error)}") from None
        self._inputs, self._outputs = inputs, outputs
        self._arrays: dict[str, Array] = {}
        self._results: dict[str, Array] = {}

    @property
    def name(self) -> str:
        return f"LiteRT {version('ai-edge-litert')}"

    @property
    def path(self) -> str:
        return "signature runner"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        self._arrays = dict(zip(self._inputs, arrays, strict=True))

    def invoke(self) -> None:
        try:
            self._results = self._run(**self._arrays)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"LiteRT refuses an input: {reason(error)}") from None

    def outputs(self) -> list[Array]:
        return [self._results[name] for name in self._outputs]


def _litert_module(name: str) -> Any:
    return module(f"ai_edge_litert.{name}", "comparing against LiteRT", "litert")
