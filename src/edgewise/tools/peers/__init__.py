"""Other runtimes to compare with: the same model file, the same arrays in and out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ...graph import Graph
from .base import Peer, peer_version
from .litert import LiteRT, LiteRTSignature, LiteRTTensors, with_all_outputs
from .openvino import OpenVINO

PEERS: dict[str, Callable[..., Peer]] = {
    "litert": LiteRT,
    "openvino": OpenVINO,
    "openvino-default": functools.partial(OpenVINO, precision=None),
}
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


__all__ = [
    "PEERS",
    "LiteRT",
    "LiteRTSignature",
    "LiteRTTensors",
    "OpenVINO",
    "Peer",
    "open_peer",
    "peer_version",
    "with_all_outputs",
]
