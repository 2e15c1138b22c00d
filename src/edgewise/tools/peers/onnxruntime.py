"""ONNX Runtime as a peer: whole networks, and every tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...graph import Array
from .base import Peer, check_count, module, reason

FEATURE, EXTRA = "comparing against ONNX Runtime", "onnxruntime"
QUIET = 3
"""The severity of messages that ONNX Runtime prints: errors."""


class ONNXRuntime(Peer):
    """An .onnx model in ONNX Runtime's CPU provider.

    Args:
        model: the file, or a model's bytes.
        shapes: unused; ONNX Runtime takes the shapes of the arrays.
        optimize: let it rewrite the graph, as it does by default.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: ONNX Runtime refuses the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
        optimize: bool = True,
    ) -> None:
        runtime = module("onnxruntime", FEATURE, EXTRA)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = QUIET
        levels = runtime.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own exception types share no base
            raise InputError(
                f"--against onnxruntime: cannot run the model: {reason(error)}"
            ) from None
        self._names = [i.name for i in self._session.get_inputs()]
        self._optimize = optimize
        self._given: dict[str, Array] = {}
        self._results: list[Array] = []

    @property
    def name(self) -> str:
        return f"ONNX Runtime {version('onnxruntime')}"

    @property
    def path(self) -> str:
        return "CPU execution provider" + ("" if self._optimize else ", graph as in the file")

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        check_count("ONNX Runtime", arrays, len(self._names))
        given = (_words(array, lambda word: word.decode(errors="replace")) for array in arrays)
        self._given = dict(zip(self._names, given, strict=True))

    def invoke(self) -> None:
        try:
            self._results = self._session.run(None, self._given)
        except Exception as error:
            raise InputError(f"ONNX Runtime cannot run the inputs: {reason(error)}") from None

    def outputs(self) -> list[Array]:
        return [_words(np.asarray(result), str.encode) for result in self._results]


def _words(array: Array, convert: Callable[[Any], Any]) -> Array:
    """An array whose elements, if they are strings, are converted: Edgewise's are bytes."""
    if array.dtype.kind != "O":
        return array
    return np.array([*map(convert, array.flat), None], object)[:-1].reshape(array.shape)


class ONNXRuntimeTensors:
    """Every computed tensor of an .onnx model's graph, by the file's names.

    The model is rewritten: every output of its nodes becomes one of the graph, and the graph is
    run as it stands in the file.

    Raises: as `ONNXRuntime`.
    """

    def __init__(
        self,
        model: Path,
        outputs: Sequence[str] = (),
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        onnx = module("onnx", FEATURE, EXTRA)
        rewritten = onnx.load(str(model))
        self._names = _show_all(rewritten.graph, onnx)
        self._peer = ONNXRuntime(rewritten.SerializeToString(), threads, optimize=False)

    def run(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """The computed tensors by name, in the order of the file's nodes."""
        return dict(zip(self._names, self._peer.run(arrays), strict=True))


def _show_all(graph: Any, onnx: Any) -> list[str]:
    """Make every output of the nodes one of the graph; their names."""
    names = dict.fromkeys(name for node in graph.node for name in node.output if name)
    known = {output.name: output for output in graph.output}
    shown = [known.get(name) or onnx.ValueInfoProto(name=name) for name in names]
    del graph.output[:]
    graph.output.extend(shown)
    return list(names)
