"""ncnn as a peer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import ncnn
import numpy as np

from edgewise.errors import InputError
from edgewise.graph import Array, Graph

from ..ncnn_export import export_ncnn
from ..onnx_export import Port, UnsupportedError


class Ncnn:
    """A float network in ncnn, written as its .param and .bin.

    ncnn quantizes with calibration tables of its own, so that 8-bit networks have no equal there.
    Results are in single precision: float16 storage, which loses digits, is off.

    Raises:
        InputError: the network cannot be written so.
    """

    def __init__(self, model: Path, graph: Graph, threads: int) -> None:
        try:
            exported = export_ncnn(graph)
        except UnsupportedError as error:
            raise InputError(f"cannot be written as ncnn's: {error}") from None
        self._inputs, self._outputs = exported.inputs, exported.outputs
        self._shapes = [v.type.shape for v in graph.outputs]
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_fp16_packed = False
        self._net.opt.use_fp16_storage = False
        self._net.opt.use_fp16_arithmetic = False
        with tempfile.TemporaryDirectory() as folder:
            named = {"net.param": exported.parameters, "net.bin": exported.weights}
            for name, content in named.items():
                (Path(folder) / name).write_bytes(content)
            if self._net.load_param(str(Path(folder) / "net.param")):
                raise InputError("does not know a layer of the network")
            self._net.load_model(str(Path(folder) / "net.bin"))
        self._given: list[ncnn.Mat] = []
        self._results: list[ncnn.Mat] = []

    @property
    def name(self) -> str:
        return f"ncnn {version('ncnn')}"

    @property
    def path(self) -> str:
        return "CPU, float32"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        self._given = []
        for port, array in zip(self._inputs, arrays, strict=True):
            given = np.ascontiguousarray(port.given(array)[0])
            self._given.append(ncnn.Mat(given).clone())

    def invoke(self) -> None:
        extractor = self._net.create_extractor()
        for i, given in enumerate(self._given):
            extractor.input(f"in{i}", given)
        self._results = []
        for i in range(len(self._outputs)):
            status, result = extractor.extract(f"out{i}")
            if status:
                raise InputError("fails as it runs the network")
            self._results.append(result)

    def outputs(self) -> list[Array]:
        return [
            _taken(port, np.array(result), shape)
            for port, result, shape in zip(self._outputs, self._results, self._shapes, strict=True)
        ]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


def _taken(port: Port, result: Array, shape: tuple[int, ...]) -> Array:
    if result.size != int(np.prod(shape)):
        raise InputError(f"gives an output of shape {list(result.shape)}, not {list(shape)}")
    if not port.first:
        return result.reshape(shape)
    batch, height, width, channels = shape
    return port.taken(result.reshape(batch, channels, height, width))
