"""Other runtimes to compare with: the same model file, the same arrays in and out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...graph import Graph
from ...importers import format_of
from .base import Peer, PeerTensors, peer_version
from .litert import LiteRT, LiteRTSignature, LiteRTTensors, with_all_outputs
from .ncnn import Ncnn, NcnnTensors
from .onnxruntime import ONNXRuntime, ONNXRuntimeTensors
from .opencv import OpenCV, OpenCVTensors
from .openvino import OpenVINO
from .torch import Torch, TorchTensors

PEERS: dict[str, Callable[..., Peer]] = {
    "litert": LiteRT,
    "ncnn": Ncnn,
    "onnxruntime": ONNXRuntime,
    "opencv": OpenCV,
    "openvino": OpenVINO,
    "openvino-default": functools.partial(OpenVINO, precision=None),
    "torch": Torch,
}
"""By the names that ``--against`` takes; each takes a model, threads and the inputs' shapes."""

TENSORS: dict[str, Callable[..., PeerTensors]] = {
    "litert": LiteRTTensors,
    "ncnn": NcnnTensors,
    "onnxruntime": ONNXRuntimeTensors,
    "opencv": OpenCVTensors,
    "torch": TorchTensors,
}
"""Of the peers that show every tensor, what gives them; takes a model, names of the graph's
outputs, threads and the inputs' shapes."""

OPTIONS = {"ncnn": ("weights",), "opencv": ("graph", "weights")}
"""What some peers are given besides: what was read of the model, the second file that it is in."""

NATIVE = {
    "TensorFlow Lite": "litert",
    "ONNX": "onnxruntime",
    "Caffe": "opencv",
    "ncnn": "ncnn",
    "PyTorch": "torch",
}
"""The peer that a format's networks are compared with, where none is named."""


def native_peer(model: Path) -> str:
    """The name of the peer for the format of a file; LiteRT where it has none."""
    return NATIVE.get(format_of(model).name, "litert")


def open_peer(
    name: str,
    model: Path,
    graph: Graph,
    threads: int = 1,
    signature: str | None = None,
    weights: Path | None = None,
) -> Peer:
    """The peer called ``name``, for what was read of ``model``: its ``graph``, of ``signature``.

    ``weights`` is the other file of a format of two, where its name is another.

    Raises:
        InputError: no such peer, or it refuses the model.
        MissingExtraError: its package is not installed.
    """
    if name not in PEERS:
        raise InputError(f"--against {name}: unknown; known are {', '.join(PEERS)}")
    if signature is None or not _has_several(graph):
        shapes = [v.type.shape for v in graph.inputs]
        return PEERS[name](model, threads, shapes, **_options(name, graph, weights))
    if name != "litert":
        raise InputError(f"--against {name}: it reads a file's first network only")
    inputs, outputs = ([v.name for v in values] for values in (graph.inputs, graph.outputs))
    return LiteRTSignature(model, signature, inputs, outputs, threads)


def open_tensors(
    name: str,
    model: Path,
    graph: Graph,
    signature: str | None = None,
    weights: Path | None = None,
) -> PeerTensors | None:
    """What gives every tensor of ``graph`` as the peer called ``name`` computes it, if it shows
    them: those of a file's only network. ``signature``, ``weights``, and what it raises, are as of
    `open_peer`.
    """
    if name not in TENSORS or (signature is not None and _has_several(graph)):
        return None
    outputs, shapes = [v.name for v in graph.outputs], [v.type.shape for v in graph.inputs]
    return TENSORS[name](model, outputs, shapes=shapes, **_options(name, graph, weights))


def _has_several(graph: Graph) -> bool:
    """Whether its file has several networks."""
    return len(graph.metadata["signatures"]) > 1


def _options(name: str, graph: Graph, weights: Path | None) -> dict[str, Any]:
    given = {"graph": graph, "weights": weights}
    return {option: given[option] for option in OPTIONS.get(name, ())}


__all__ = [
    "NATIVE",
    "PEERS",
    "TENSORS",
    "LiteRT",
    "LiteRTSignature",
    "LiteRTTensors",
    "Ncnn",
    "NcnnTensors",
    "ONNXRuntime",
    "ONNXRuntimeTensors",
    "OpenCV",
    "OpenCVTensors",
    "OpenVINO",
    "Peer",
    "PeerTensors",
    "Torch",
    "TorchTensors",
    "native_peer",
    "open_peer",
    "open_tensors",
    "peer_version",
    "with_all_outputs",
]
