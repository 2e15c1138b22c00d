"""What the bytes of a .tflite file are spent on."""

from __future__ import annotations

from collections import Counter
from typing import Any

PARTS = (
    "weights",
    "biases",
    "other constants",
    "scales of weights",
    "scales of biases",
    "scales of activations",
    "zero points",
    "names",
    "graph",
)
"""What bytes are for; "graph" is what is left: operators, shapes, tables, padding."""

INT8 = 9
BIASES = (2, 4)
"""TensorType of the schema: INT8; INT32 and INT64."""


NAME, SCALE, ZERO_POINT = 10, 8, 10
"""Offsets of fields in the tables Tensor and QuantizationParameters."""


def makeup(content: bytes) -> dict[str, int]:
    """Bytes by `PARTS`, and "least": of int8 weights, and 8 bytes for each of their channels, which
    are an int32 bias and a float32 scale. What tensors share counts once.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    found = Counter(dict.fromkeys((*PARTS, "least"), 0))
    seen: set[tuple[str, int]] = set()

    def count(part: str, kind: str, place: int, size: int) -> None:
        if size and (kind, place) not in seen:
            seen.add((kind, place))
            found[part] += size

    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        for j in range(graph.TensorsLength()):
            tensor = graph.Tensors(j)
            buffer = model.Buffers(tensor.Buffer())
            size, quant = buffer.DataLength(), tensor.Quantization()
            scales = 0 if quant is None else quant.ScaleLength()
            kind = _kind(tensor, size, scales)
            if kind == "weights" and ("buffer", tensor.Buffer()) not in seen:
                found["least"] += size + 8 * scales
            part = "other constants" if kind == "activations" else kind
            count(part, "buffer", tensor.Buffer(), size)
            named = tensor._tab.Indirect(tensor._tab.Pos + tensor._tab.Offset(NAME))
            count("names", "name", named, len(tensor.Name() or b""))
            if scales:
                part = f"scales of {kind if kind in ('weights', 'biases') else 'activations'}"
                count(part, "vector", _vector(quant, SCALE), 4 * scales)
                zeros = 8 * quant.ZeroPointLength()
                count("zero points", "vector", _vector(quant, ZERO_POINT), zeros)
    found["graph"] = len(content) - sum(found[part] for part in PARTS)
    return dict(found)


def _vector(table: Any, field: int) -> int:
    """Where a vector of a table lies."""
    place: int = table._tab.Vector(table._tab.Offset(field))
    return place


def _kind(tensor: Any, size: int, scales: int) -> str:
    """Weights are of 8 bits and several dimensions, biases quantized and of one."""
    if size and scales and tensor.Type() == INT8 and tensor.ShapeLength() > 1:
        return "weights"
    return "biases" if size and scales and tensor.Type() in BIASES else "activations"
