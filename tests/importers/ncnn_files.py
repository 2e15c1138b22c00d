"""Writes .param and .bin files of ncnn, and runs them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.graph import Array, Graph

HALF, BYTES = 0x01306B47, 0x000D4B38


def words(values: Mapping[int, Any]) -> str:
    """Parameters as a .param file spells them."""
    found = []
    for key, value in values.items():
        if isinstance(value, (tuple, list)):
            found.append(f"{-23300 - key}={','.join(map(_word, (len(value), *value)))}")
        else:
            found.append(f"{key}={_word(value)}")
    return " ".join(found)


def _word(value: Any) -> str:
    return f"{value:e}" if isinstance(value, float) else str(value)


def raw(*arrays: Array) -> bytes:
    """Weights without a flag."""
    return b"".join(np.ascontiguousarray(a, np.float32).tobytes() for a in arrays)


def flagged(array: Array) -> bytes:
    """Weights behind the flag that their dtype asks for: float32, float16 or int8."""
    if array.dtype == np.float16:
        return padded(np.uint32(HALF).tobytes() + array.tobytes())
    if array.dtype == np.int8:
        return padded(np.uint32(BYTES).tobytes() + array.tobytes())
    return bytes(4) + raw(array)


def tabled(indices: Array, values: Array) -> bytes:
    """Weights as indices of a table of 256 numbers."""
    return padded(np.uint32(1).tobytes() + raw(values) + indices.astype(np.uint8).tobytes())


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


@dataclass
class Net:
    """A network under construction: lines of a .param, bytes of a .bin."""

    lines: list[str] = field(default_factory=list)
    weights: bytes = b""
    blobs: int = 0

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        parameters: Mapping[int, Any] | None = None,
        weights: bytes = b"",
        name: str = "",
    ) -> Net:
        counts = f"{len(inputs)} {len(outputs)}"
        label = name or f"{kind.lower()}_{len(self.lines)}"
        parts = [kind, label, counts, *inputs, *outputs, words(parameters or {})]
        self.lines.append(" ".join(parts))
        self.weights += weights
        self.blobs += len(outputs)
        return self

    @property
    def param(self) -> bytes:
        return "\n".join(["7767517", f"{len(self.lines)} {self.blobs}", *self.lines, ""]).encode()

    def save(self, folder: Path, name: str = "net") -> Path:
        """Write both files; the path of the .param."""
        path = folder / f"{name}.param"
        path.write_bytes(self.param)
        path.with_suffix(".bin").write_bytes(self.weights)
        return path


def one_layer(
    kind: str,
    shapes: Sequence[Sequence[int]],
    parameters: Mapping[int, Any] | None = None,
    weights: bytes = b"",
    outputs: int = 1,
) -> Net:
    """A network of inputs in0, in1 of these shapes, one layer, and out0, out1."""
    net = Net()
    for i, shape in enumerate(shapes):
        net.add("Input", (), (f"in{i}",), extents(shape))
    names = [f"in{i}" for i in range(len(shapes))]
    return net.add(kind, names, [f"out{i}" for i in range(outputs)], parameters, weights, "layer")


def extents(shape: Sequence[int]) -> dict[int, int]:
    """Parameters of Input and MemoryData for an array of this shape."""
    keys = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}[len(shape)]
    return dict(zip(keys, shape, strict=True))


def run_ncnn(path: Path, arrays: Sequence[Array], outputs: Sequence[str]) -> list[Array]:
    """What ncnn computes of a .param for in0, in1, each without a batch."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    assert net.load_param(str(path)) == 0
    assert net.load_model(str(path.with_suffix(".bin"))) == 0
    extractor = net.create_extractor()
    given = [ncnn.Mat(np.ascontiguousarray(a)).clone() for a in arrays]
    for i, mat in enumerate(given):
        assert extractor.input(f"in{i}", mat) == 0
    found = []
    for name in outputs:
        status, mat = extractor.extract(name)
        assert status == 0, f"ncnn: {name}: {status}"
        found.append(np.array(mat))
    return found


def outputs_of(graph: Graph, arrays: Sequence[Array]) -> dict[str, Array]:
    """The outputs by name, by the operators' references, for inputs without a batch."""
    found = {v: a[None] for v, a in zip(graph.inputs, arrays, strict=True)}
    for node, results in graph.reference(dict(found)):
        found.update(zip(node.outputs, results, strict=True))
    return {v.name: v.data if v.data is not None else found[v] for v in graph.outputs}


def relative_difference(found: Array, expected: Array) -> float:
    """The greatest difference, by the expected numbers' range or size."""
    scale = max(float(np.ptp(expected)), float(np.abs(expected).max()), 1e-6)
    return float(np.abs(found - expected).max()) / scale
