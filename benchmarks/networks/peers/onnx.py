"""Networks as ONNX models, and ONNX Runtime as a peer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edgewise.errors import InputError
from edgewise.graph import Array, Graph

from ..kinds import ONNX
from ..onnx_export import Exported, Port, UnsupportedError, export

IMAGE = 4


def as_onnx(model: Path, graph: Graph, symmetric: bool = False) -> Exported:
    """The network as an ONNX model: the file, if it is one, else what is written of the graph;
    ``symmetric`` as for `export`.

    Raises:
        InputError: it cannot be written as one.
    """
    if model.suffix == ONNX:
        inputs, outputs = (
            [Port(v.name, False) for v in vs] for vs in (graph.inputs, graph.outputs)
        )
        return Exported(model.read_bytes(), tuple(inputs), tuple(outputs))
    try:
        return export(graph, symmetric)
    except UnsupportedError as error:
        raise InputError(f"cannot be written as ONNX: {error}") from None


class OnnxRuntime:
    """A network in ONNX Runtime's CPU provider.

    The model is the .onnx file, or what ``edgewise`` read of another, written as ONNX. ``exact``
    asks for 8-bit products that do not saturate on processors without VNNI
    (``session.x64quantprecision``): they are slower, and are for networks whose results are wrong
    otherwise.

    Raises:
        InputError: the network cannot be written as ONNX, or is refused.
    """

    def __init__(self, model: Path, graph: Graph, threads: int, exact: bool = False) -> None:
        exported = as_onnx(model, graph)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if exact:
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                exported.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InputError(f"refuses the network: {error}") from None
        self._exact = exact
        self._ports = exported
        self._binding = self._session.io_binding()
        self._kept: list[Array] = []

    @property
    def name(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}"

    @property
    def path(self) -> str:
        return "CPU provider" + (", session.x64quantprecision" if self._exact else "")

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        self._kept = []
        for port, array in zip(self._ports.inputs, arrays, strict=True):
            given = np.ascontiguousarray(port.given(array))
            value = onnxruntime.OrtValue.ortvalue_from_numpy(given)
            self._binding.bind_ortvalue_input(port.name, value)
            self._kept.append(value)
        for port in self._ports.outputs:
            self._binding.bind_output(port.name, "cpu")

    def invoke(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[Array]:
        given = self._binding.copy_outputs_to_cpu()
        return taken(self._ports.outputs, given)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


def taken(ports: Sequence[Port], arrays: Sequence[Array]) -> list[Array]:
    """Outputs of a model as the graph has them."""
    return [port.taken(np.asarray(a)) for port, a in zip(ports, arrays, strict=True)]
