"""Which networks count as quantized, which as float, and which come from ONNX files."""

from __future__ import annotations

from pathlib import Path

from edgewise.graph import Graph

ONNX = ".onnx"
KINDS = ("quantized", "float", "onnx")


def is_quantized(graph: Graph) -> bool:
    """Whether all multiplications are of integers; a float network may have any weights."""
    return all(not n.input_types[0].dtype.is_float for n in graph.nodes if n.macs)


def kind_of(path: Path, graph: Graph) -> str:
    if path.suffix == ONNX:
        return "onnx"
    return "quantized" if is_quantized(graph) else "float"


def name_of(path: Path) -> str:
    """What tables call a network: its file's name, without the suffix of .tflite files."""
    return path.name if path.suffix == ONNX else path.stem
