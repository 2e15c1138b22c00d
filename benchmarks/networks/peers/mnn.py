"""MNN as a peer: it converts .tflite files and ONNX models itself."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _tools  # MNN's converter: its command mnnconvert also reports each use over the network
import MNN
import numpy as np

from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph

from ..kinds import ONNX, is_quantized
from ..onnx_export import Port
from .onnx import as_onnx


class Mnn:
    """A network in MNN on the CPU.

    MNN reads the .tflite file of a quantized network, which it keeps in 8 bits; a float one comes
    as ONNX, of which it takes more operators.

    Raises:
        InputError: MNN cannot convert the network, or does not know its shapes.
    """

    def __init__(self, model: Path, graph: Graph, threads: int) -> None:
        self._graph = graph
        for value in graph.inputs:
            if value.type.dtype not in KINDS:
                raise InputError(f"its Python interface takes no {value.type.dtype} inputs")
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "network.mnn"
            if model.suffix != ONNX and is_quantized(graph):
                self._inputs = [Port(v.name, False) for v in graph.inputs]
                self._outputs = [Port(v.name, False) for v in graph.outputs]
                _convert("TFLITE", model, target)
            else:
                exported = as_onnx(model, graph)
                self._inputs, self._outputs = list(exported.inputs), list(exported.outputs)
                source = Path(folder) / "network.onnx"
                source.write_bytes(exported.model)
                _convert("ONNX", source, target)
            self._interpreter = MNN.Interpreter(str(target))
        settings = {"backend": "CPU", "numThread": threads}
        self._session = self._interpreter.createSession(settings)
        inputs = self._interpreter.getSessionInputAll(self._session)
        outputs = self._interpreter.getSessionOutputAll(self._session)
        self._into = _found(inputs, self._inputs)
        self._out_of = _found(outputs, self._outputs)
        for tensor in self._out_of:
            if 0 in tensor.getShape():
                raise InputError("cannot infer the network's shapes")

    @property
    def name(self) -> str:
        return f"MNN {version('MNN')}"

    @property
    def path(self) -> str:
        return "CPU backend, precision normal"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        for tensor, port, value, array in zip(
            self._into, self._inputs, self._graph.inputs, arrays, strict=True
        ):
            given = np.ascontiguousarray(port.given(array))
            layout = tensor.getDimensionType()
            tensor.copyFrom(MNN.Tensor(given.shape, KINDS[value.type.dtype], given, layout))

    def invoke(self) -> None:
        self._interpreter.runSession(self._session)

    def outputs(self) -> list[Array]:
        found = []
        for tensor, port in zip(self._out_of, self._outputs, strict=True):
            shape, layout = tuple(tensor.getShape()), tensor.getDimensionType()
            host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), layout)
            tensor.copyToHostTensor(host)
            found.append(port.taken(np.array(host.getNumpyData()).reshape(shape)))
        return found

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


KINDS: dict[DType, Any] = {
    DType.FLOAT32: MNN.Halide_Type_Float,
    DType.INT32: MNN.Halide_Type_Int,
}


def _convert(format: str, source: Path, target: Path) -> None:
    arguments = ["mnnconvert", "-f", format, "--modelFile", str(source)]
    _tools.mnnconvert([*arguments, "--MNNModel", str(target), "--bizCode", "edgewise"])
    if not target.exists():
        raise InputError(f"cannot convert the network from {format}")


def _found(tensors: dict[str, Any], ports: Sequence[Port]) -> list[Any]:
    """The tensors by name; a lone one of another name is meant too."""
    if len(tensors) == len(ports) == 1:
        return list(tensors.values())
    missing = [port.name for port in ports if port.name not in tensors]
    if missing:
        raise InputError(f"its network has no tensor {missing[0]!r}; it has {', '.join(tensors)}")
    return [tensors[port.name] for port in ports]
