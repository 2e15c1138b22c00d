"""The contestants of the benchmarks. Each is imported where it runs, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise.errors import InputError
from edgewise.graph import Graph
from edgewise.tools.peers import Peer, open_peer

Opener = Callable[..., Peer]
"""Takes the path of a model, its graph, the number of threads, and options by name."""


@dataclass(frozen=True)
class Contestant:
    """A runtime and how it opens a network.

    Attributes:
        title: its name in tables.
        package: what PyPI calls it.
        open: opens a network in it.
        variants: options to open a network with, the fastest first; the first whose results are
            right is timed.
        approximate: whether it computes float networks in less than single precision.
        reads: whether it reads .tflite files itself: then it is timed also where its results
            differ, which are of its own making.
    """

    title: str
    package: str
    open: Opener
    variants: tuple[Mapping[str, Any], ...] = field(default=({},))
    approximate: bool = False
    reads: bool = False


def _edgewise(path: Path, graph: Graph, threads: int, **options: Any) -> Peer:
    from .edgewise import Edgewise

    return Edgewise(graph, threads, **options)


def _edgewise_bf16(path: Path, graph: Graph, threads: int, **options: Any) -> Peer:
    from .edgewise import EdgewiseBf16

    return EdgewiseBf16(graph, threads, **options)


def _reader(name: str) -> Opener:
    """A peer that reads the file itself, as ``edgewise bench --against`` has it."""

    def opens(path: Path, graph: Graph, threads: int) -> Peer:
        try:
            return open_peer(name, path, graph, threads)
        except InputError as error:
            raise InputError(_without_option(str(error))) from None

    return opens


def _without_option(text: str) -> str:
    """An error of a peer in ``edgewise bench`` without the option that it names."""
    return text.rpartition("cannot run the model: ")[2]


def _openvino_default(path: Path, graph: Graph, threads: int) -> Peer:
    peer = _reader("openvino-default")(path, graph, threads)
    if peer.path.endswith("f32"):
        raise InputError("its default precision on this machine is f32")
    return peer


def _onnxruntime(path: Path, graph: Graph, threads: int, **options: Any) -> Peer:
    from .onnx import OnnxRuntime

    return OnnxRuntime(path, graph, threads, **options)


def _ncnn(path: Path, graph: Graph, threads: int) -> Peer:
    from .ncnn import Ncnn

    return Ncnn(path, graph, threads)


def _mnn(path: Path, graph: Graph, threads: int) -> Peer:
    from .mnn import Mnn

    return Mnn(path, graph, threads)


def _qnnpack(path: Path, graph: Graph, threads: int) -> Peer:
    from .qnnpack import Qnnpack

    return Qnnpack(path, graph, threads)


SUBJECT = "edgewise"

CONTESTANTS = {
    SUBJECT: Contestant("Edgewise", "edgewise", _edgewise),
    "edgewise-bf16": Contestant("Edgewise bf16", "edgewise", _edgewise_bf16, approximate=True),
    "litert": Contestant("LiteRT", "ai-edge-litert", _reader("litert"), reads=True),
    "openvino": Contestant("OpenVINO f32", "openvino", _reader("openvino"), reads=True),
    "openvino-default": Contestant(
        "OpenVINO default", "openvino", _openvino_default, approximate=True, reads=True
    ),
    "onnxruntime": Contestant("ONNX Runtime", "onnxruntime", _onnxruntime, ({}, {"exact": True})),
    "ncnn": Contestant("ncnn", "ncnn", _ncnn),
    "mnn": Contestant("MNN", "MNN", _mnn),
    "qnnpack": Contestant("QNNPACK", "torch", _qnnpack),
}
"""By the names that ``--against`` takes."""
