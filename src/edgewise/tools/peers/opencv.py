"""OpenCV's dnn module as a peer: Caffe, ONNX and .tflite networks, and their tensors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...graph import Array, Graph, Node
from ...importers import format_of, load
from ...importers.caffe_model import is_text
from .base import Peer, check_count, module, reason, two_files

CAFFE, ONNX, TFLITE = "Caffe", "ONNX", "TensorFlow Lite"
DETECTIONS = (1, 1, -1, 7)
"""The shape of what DetectionOutput gives."""

SEVERAL = ("Slice", "Split")
"""Types of layers of several outputs, of which the module shows the first."""


class OpenCV(Peer):
    """A network in OpenCV's dnn module, on its CPU backend.

    A .tflite network takes and gives images as OpenCV does, [N, C, H, W]: they are transposed.

    Args:
        model: the file; of Caffe's two either, the other one is ``weights``, or has the same name.
        graph: what was read of it; None: it is read.
        shapes: unused; OpenCV takes the shapes of the arrays.
        fuse: let it join layers, as it does by default.

    Raises:
        MissingExtraError: OpenCV is not installed.
        InputError: OpenCV refuses the model.
    """

    def __init__(
        self,
        model: Path,
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
        fuse: bool = True,
        graph: Graph | None = None,
        weights: Path | None = None,
    ) -> None:
        self._cv = module("cv2", "comparing against OpenCV", "opencv")
        self._threads = threads
        self.format = format_of(model).name
        if self.format not in READERS:
            raise InputError(f"--against opencv: it reads no {self.format} files")
        files: tuple[Path, ...] = (model,)
        if self.format == CAFFE:
            is_network = is_text(model.read_bytes())
            files = two_files("opencv", model, weights, is_network, (".prototxt", ".caffemodel"))
        graph = graph or load(model, weights=weights)
        try:
            self._net = getattr(self._cv.dnn, READERS[self.format])(*map(str, files))
            self.layers = _layers(graph, self.format, self._net)
        except self._cv.error as error:
            raise InputError(f"--against opencv: cannot read the model: {reason(error)}") from None
        self._net.enableFusion(fuse)
        self._inputs = [v.name for v in graph.inputs]
        missing = [v.name for v in graph.outputs if v.name not in self.layers]
        if missing:
            raise InputError(f"--against opencv: it has no layer for the output {missing[0]!r}")
        self.wanted = [v.name for v in graph.outputs]
        self._shapes = {v.name: v.type.shape for node in graph.nodes for v in node.outputs}
        self._results: list[Array] = []

    @property
    def name(self) -> str:
        return f"OpenCV {self._cv.__version__}"

    @property
    def path(self) -> str:
        return "dnn module, CPU backend"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        check_count("OpenCV", arrays, len(self._inputs))
        for name, array in zip(self._inputs, arrays, strict=True):
            if self.format == TFLITE and array.ndim == 4:
                array = array.transpose(0, 3, 1, 2)
            try:
                if len(arrays) == 1:
                    self._net.setInput(np.ascontiguousarray(array))
                else:
                    self._net.setInput(np.ascontiguousarray(array), name)
            except self._cv.error as error:
                raise InputError(f"OpenCV refuses an input: {reason(error)}") from None

    def invoke(self) -> None:
        self._cv.setNumThreads(self._threads)
        try:
            self._results = self._net.forward([self.layers[name] for name in self.wanted])
        except self._cv.error as error:
            raise InputError(f"OpenCV cannot run the inputs: {reason(error)}") from None

    def outputs(self) -> list[Array]:
        pairs = zip(self.wanted, self._results, strict=True)
        return [self._in_place(name, np.array(result)) for name, result in pairs]

    def _in_place(self, name: str, array: Array) -> Array:
        """A result in the order of axes, and of the rank, that the file has.

        Of detections only the rows where there is one, and by class, as Caffe gives them.
        """
        shape = self._shapes[name]
        if shape == DETECTIONS:
            found = array[0, 0, array[0, 0, :, 2] > 0]
            order = np.lexsort((-found[:, 2], found[:, 1], found[:, 0]))
            return np.asarray(found[order][None, None])
        if self.format == TFLITE and array.ndim == 4 and array.shape != shape:
            array = array.transpose(0, 2, 3, 1)
        return array.reshape(shape) if array.size == math.prod(shape) else array


class OpenCVTensors:
    """The results of a network's layers, none joined with another, by Edgewise's names of them.

    Of .tflite networks the outputs alone: OpenCV does not tell in which order of axes it keeps
    the others.

    Raises: as `OpenCV`.
    """

    def __init__(
        self,
        model: Path,
        outputs: Sequence[str] = (),
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
        graph: Graph | None = None,
        weights: Path | None = None,
    ) -> None:
        self._peer = OpenCV(model, threads, fuse=False, graph=graph, weights=weights)
        if self._peer.format != TFLITE:
            self._peer.wanted = list(self._peer.layers)

    def run(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """The computed tensors by name, in the order of the file's layers."""
        return dict(zip(self._peer.wanted, self._peer.run(arrays), strict=True))


READERS = {CAFFE: "readNetFromCaffe", ONNX: "readNetFromONNX", TFLITE: "readNetFromTFLite"}
"""The function that reads a format's files."""


def _layers(graph: Graph, format: str, net: Any) -> dict[str, str]:
    """OpenCV's layers by the names of the values that they compute."""
    known = set(net.getLayerNames())
    if format == CAFFE:  # of several layers of one name it changes the later ones
        runs = Counter(origin for origin, _ in groupby(graph.nodes, lambda node: node.origin))
        known -= {origin for origin, count in runs.items() if count > 1}
    last: dict[str, str] = {}
    for node in graph.nodes:
        layer = next((n for n in _names(node, format) if n in known), None)
        if layer is not None and net.getLayer(net.getLayerId(layer)).type not in SEVERAL:
            last[layer] = node.outputs[0].name
    return {name: layer for layer, name in last.items()}


def _names(node: Node, format: str) -> list[str]:
    """What OpenCV may call the layer of a node."""
    name = node.outputs[0].name
    if format == CAFFE:
        return [node.origin, name]
    if format == TFLITE:
        return [f"{name}/activ", name]
    return [name, f"onnx_node_output_0!{name}", f"onnx_node!{node.origin}"]
