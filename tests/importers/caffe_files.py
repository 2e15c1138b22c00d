"""Small Caffe networks: text of one or more layers, and weights made with the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.graph import Array, Graph
from edgewise.importers import load
from edgewise.importers.caffe_schema import messages

Shapes = Mapping[str, Sequence[int]]
Blobs = Mapping[str, Sequence[Array]]


def prototxt(layers: str, inputs: Shapes) -> str:
    """A network of ``layers`` whose inputs have these shapes."""
    declared = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {' '.join(f'dim: {d}' for d in shape)} }} }} }}\n"
        for name, shape in inputs.items()
    )
    return f'name: "small"\n{declared}{layers}\n'


def layer(
    type: str, params: str = "", bottoms: str = "x", tops: str = "out", name: str = ""
) -> str:
    """A layer; bottoms and tops are names with spaces between."""
    wires = [f'bottom: "{n}"' for n in bottoms.split()] + [f'top: "{n}"' for n in tops.split()]
    return f'layer {{ name: "{name or type}" type: "{type}" {" ".join(wires)} {params} }}\n'


def blob(message: Any, array: Array) -> None:
    """Fill a BlobProto."""
    message.shape.dim.extend(array.shape)
    message.data.append(array.astype("<f4").tobytes())


def caffemodel(blobs: Blobs, field: str = "layer") -> bytes:
    """Weights of layers by name, in ``layer`` or in the legacy ``layers``."""
    net = messages()["NetParameter"](name="small")
    for name, arrays in blobs.items():
        message = getattr(net, field).add(name=name)
        for array in arrays:
            blob(message.blobs.add(), array)
    return bytes(net.SerializeToString())


def write(folder: Path, text: str, blobs: Blobs | None = None, name: str = "net") -> Path:
    """Both files; the path of the .prototxt."""
    path = folder / f"{name}.prototxt"
    path.write_text(text)
    path.with_suffix(".caffemodel").write_bytes(caffemodel(blobs or {}))
    return path


def read(folder: Path, text: str, blobs: Blobs | None = None) -> Graph:
    return load(write(folder, text, blobs))


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def opencv(text: str, weights: bytes, inputs: Mapping[str, Array]) -> list[Array]:
    """The first output by OpenCV."""
    cv2 = pytest.importorskip("cv2")
    files = (np.frombuffer(data, np.uint8) for data in (text.encode(), weights))
    net = cv2.dnn.readNetFromCaffe(*files)
    for name, array in inputs.items():
        net.setInput(array, name)
    return [net.forward(net.getUnconnectedOutLayersNames()[0])]
