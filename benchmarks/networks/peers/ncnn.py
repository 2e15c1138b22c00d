"""ncnn as a peer, through its converter pnnx."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import ncnn
import numpy as np

from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph

from ..onnx_export import Port
from .onnx import as_onnx

CONVERSION_SECONDS = 60


class Ncnn:
    """A float network in ncnn: what ``edgewise`` read, as ONNX, as pnnx converts that.

    ncnn has no batches: the first dimension of inputs and outputs, which is 1, is left out. It
    quantizes with calibration tables of its own, so that 8-bit networks cannot be kept.

    Raises:
        InputError: the network is quantized, or cannot be converted.
    """

    def __init__(self, model: Path, graph: Graph, threads: int) -> None:
        types = {v.type.dtype for v in (*graph.inputs, *graph.outputs)}
        if types != {DType.FLOAT32}:
            raise InputError(f"takes float32 only, not {', '.join(sorted(map(str, types)))}")
        if any(v.type.quant for n in graph.nodes for v in n.outputs):
            raise InputError("quantizes by tables of its own, not by the file's scales")
        exported = as_onnx(graph, symmetric=True)
        self._inputs, self._outputs = exported.inputs, exported.outputs
        self._shapes = [v.type.shape for v in graph.outputs]
        parameters, weights = converted(exported.model)
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_fp16_packed = False
        self._net.opt.use_fp16_storage = False
        self._net.opt.use_fp16_arithmetic = False
        with tempfile.TemporaryDirectory() as folder:
            named = {"net.param": parameters, "net.bin": weights}
            for name, content in named.items():
                (Path(folder) / name).write_bytes(content)
            if self._net.load_param(str(Path(folder) / "net.param")):
                raise InputError("does not know a layer of the converted network")
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
        self._given = [
            ncnn.Mat(np.ascontiguousarray(_without_batch(port.given(array)))).clone()
            for port, array in zip(self._inputs, arrays, strict=True)
        ]

    def invoke(self) -> None:
        extractor = self._net.create_extractor()
        for i, given in enumerate(self._given):
            extractor.input(f"in{i}", given)
        self._results = []
        for i in range(len(self._outputs)):
            status, result = extractor.extract(f"out{i}")
            if status:
                raise InputError("fails as it runs the converted network")
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


def _without_batch(array: Array) -> Array:
    return array[0] if array.ndim > 1 and array.shape[0] == 1 else array


def _taken(port: Port, result: Array, shape: tuple[int, ...]) -> Array:
    if result.size != int(np.prod(shape)):
        raise InputError(f"gives an output of shape {list(result.shape)}, not {list(shape)}")
    if not port.first:
        return result.reshape(shape)
    batch, height, width, channels = shape
    return port.taken(result.reshape(batch, channels, height, width))


@functools.lru_cache(maxsize=2)
def converted(model: bytes) -> tuple[bytes, bytes]:
    """The .param and .bin that pnnx makes of an ONNX model.

    Raises:
        InputError: it makes none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "net.onnx").write_bytes(model)
        command = [str(Path(sys.executable).with_name("pnnx")), "net.onnx", "fp16=0"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=CONVERSION_SECONDS, text=True
            )
        except subprocess.TimeoutExpired:
            raise InputError("its converter pnnx takes over a minute") from None
        made = path / "net.ncnn.param", path / "net.ncnn.bin"
        if done.returncode or not all(p.exists() for p in made):
            raise InputError(f"its converter pnnx ends with {done.returncode}")
        text = made[0].read_text()
        foreign = sorted(
            {line.split()[0] for line in text.splitlines()[2:] if "." in line.split()[0]}
        )
        if foreign:
            raise InputError(f"its converter pnnx leaves {', '.join(foreign)} as they were")
        return made[0].read_bytes(), made[1].read_bytes()
