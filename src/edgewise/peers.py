"""Other runtimes to compare with: the same model file, the same arrays in and out."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import InputError, MissingExtraError
from .graph import Array, Graph

FILE_IDENTIFIER = b"TFL3"


class Peer(Protocol):
    """One model in another runtime."""

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


class LiteRT:
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
            raise InputError(f"--against litert: cannot run the model: {_reason(error)}") from None
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
        if len(arrays) != len(self._inputs):
            raise InputError(f"LiteRT: {len(arrays)} inputs, the model has {len(self._inputs)}")
        for index, array in zip(self._inputs, arrays, strict=True):
            try:
                self._interpreter.set_tensor(index, array)
            except ValueError as error:
                raise InputError(f"LiteRT refuses an input: {_reason(error)}") from None

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


class OpenVINO:
    """A .tflite model in OpenVINO on the CPU, in single precision, for inputs of fixed ``shapes``.

    It reads the file itself, and computes what is quantized there as it chooses to.

    Raises:
        MissingExtraError: openvino is not installed.
        InputError: OpenVINO refuses the model.
    """

    def __init__(
        self, model: Path, threads: int = 1, shapes: Sequence[Sequence[int]] | None = None
    ) -> None:
        openvino = _module("openvino", "comparing against OpenVINO", "openvino")
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        core = openvino.Core()
        try:
            network = core.read_model(str(model))
            if shapes is not None:
                network.reshape(dict(zip(network.inputs, map(list, shapes), strict=True)))
            compiled = core.compile_model(network, "CPU", settings)
            self._request = compiled.create_infer_request()
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"--against openvino: cannot run the model: {_reason(error)}"
            ) from None
        self._tensor = openvino.Tensor
        self._inputs, self._outputs = len(compiled.inputs), len(compiled.outputs)

    @property
    def name(self) -> str:
        return f"OpenVINO {version('openvino')}"

    @property
    def path(self) -> str:
        return "CPU plugin, INFERENCE_PRECISION_HINT f32"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        if len(arrays) != self._inputs:
            raise InputError(f"OpenVINO: {len(arrays)} inputs, the model has {self._inputs}")
        for index, array in enumerate(arrays):
            try:
                tensor = self._tensor(np.ascontiguousarray(array))
                self._request.set_input_tensor(index, tensor)
            except RuntimeError as error:
                raise InputError(f"OpenVINO refuses an input: {_reason(error)}") from None

    def invoke(self) -> None:
        self._request.infer()

    def outputs(self) -> list[Array]:
        tensors = (self._request.get_output_tensor(i) for i in range(self._outputs))
        return [np.array(tensor.data) for tensor in tensors]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


class LiteRTSignature:
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
            raise InputError(f"--against litert: cannot run the model: {_reason(error)}") from None
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
            raise InputError(f"LiteRT refuses an input: {_reason(error)}") from None

    def outputs(self) -> list[Array]:
        return [self._results[name] for name in self._outputs]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


PEERS: dict[str, Callable[..., Peer]] = {"litert": LiteRT, "openvino": OpenVINO}
"""By the names that ``--against`` takes."""


def open_peer(
    name: str, model: Path, graph: Graph, threads: int = 1, signature: str | None = None
) -> Peer:
    """The peer called ``name``, for what was read of ``model``: its ``graph``, of ``signature``.

    Raises:
        InputError: no such peer, or it refuses the model.
        MissingExtraError: its package is not installed.
    """
    if name not in PEERS:
        raise InputError(f"--against {name}: unknown; known are {', '.join(PEERS)}")
    if signature is None or len(graph.metadata["signatures"]) == 1:
        return PEERS[name](model, threads, [v.type.shape for v in graph.inputs])
    if name != "litert":
        raise InputError(f"--against {name}: it reads a file's first network only")
    inputs, outputs = ([v.name for v in values] for values in (graph.inputs, graph.outputs))
    return LiteRTSignature(model, signature, inputs, outputs, threads)


def peer_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _litert_module(name: str) -> Any:
    return _module(f"ai_edge_litert.{name}", "comparing against LiteRT", "litert")


def _module(name: str, feature: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(feature, extra) from None


def _reason(error: Exception) -> str:
    """An error's message in one line; places in a runtime's source are left out."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(told)[:300] or type(error).__name__
