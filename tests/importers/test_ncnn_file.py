"""The forms of ncnn's files: weights as they may be kept, binary networks."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from ncnn_files import Net, flagged, one_layer, outputs_of, raw, run_ncnn, tabled

from edgewise.errors import ModelError, UnsupportedError
from edgewise.importers import load
from edgewise.importers.ncnn_types import TYPES

LAYER = {0: 3, 2: 15}


def inner(content: bytes) -> Net:
    """An inner product by 3 rows of 5 weights, so that what is kept must be filled up to words."""
    net = one_layer("InnerProduct", [(5,)], {**LAYER, 1: 1}, content + raw(np.arange(3)))
    return net


FORMS = {
    "float32": flagged(np.linspace(-1, 1, 15, dtype=np.float32)),
    "float16": flagged(np.linspace(-1, 1, 15).astype(np.float16)),
    "table": tabled(np.arange(15) * 17, np.linspace(-1, 1, 256)),
    "scaled": struct.pack("<I", 0x0002C056) + raw(np.linspace(-1, 1, 15)),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_weights(form: str, tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    path = inner(FORMS[form]).save(tmp_path)
    x = np.array([1.0, -2.0, 0.5, 3.0, -1.0], np.float32)
    (expected,) = run_ncnn(path, [x], ["out0"])
    (found,) = outputs_of(load(path), [x]).values()
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_cut_off_weights(form: str, tmp_path: Path) -> None:
    net = inner(FORMS[form])
    for size in (0, 2, 4, len(FORMS[form]) - 5, len(net.weights) - 1):
        net.weights = inner(FORMS[form]).weights[:size]
        with pytest.raises(
            ModelError, match=r"layer 'layer' \(InnerProduct\): .* bytes of weights"
        ):
            load(net.save(tmp_path))


def binary(
    rows: list[tuple[str, list[int], list[int], dict[int, int | float | list[float]]]],
) -> bytes:
    """A binary .param."""
    words = struct.pack("<3i", 7767517, len(rows), sum(len(r[2]) for r in rows))
    for kind, inputs, outputs, parameters in rows:
        words += struct.pack("<3i", TYPES.index(kind), len(inputs), len(outputs))
        words += struct.pack(f"<{len(inputs) + len(outputs)}i", *inputs, *outputs)
        for key, value in parameters.items():
            if isinstance(value, list):
                words += struct.pack(f"<2i{len(value)}f", -23300 - key, len(value), *value)
            else:
                words += struct.pack("<if" if isinstance(value, float) else "<2i", key, value)
        words += struct.pack("<i", -233)
    return words


NETWORK = binary(
    [
        ("Input", [], [0], {0: 5}),
        ("InnerProduct", [0], [1], {**LAYER, 9: 3, 10: [-0.5, 0.75]}),
        ("ELU", [1], [2], {0: 0.25}),
    ]
)


def test_binary_network(tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_bytes(NETWORK)
    path.with_suffix(".bin").write_bytes(FORMS["float16"])
    x = np.array([1.0, -2.0, 0.5, 3.0, -1.0], np.float32)
    assert [v.name for v in load(path).outputs] == ["2"]
    (found,) = outputs_of(load(path), [x]).values()
    assert found.shape == (1, 3)
    weights = np.linspace(-1, 1, 15).astype(np.float16).astype(np.float32).reshape(3, 5)
    clamped = np.clip(weights @ x, -0.5, 0.75)
    np.testing.assert_allclose(
        found[0], np.where(clamped < 0, 0.25 * np.expm1(clamped), clamped), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["net.param.bin", "net.bin"])
def test_binary_network_as_ncnn2mem_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "net.param.bin").write_bytes(NETWORK)
    (tmp_path / "net.bin").write_bytes(FORMS["float32"])
    (tmp_path / "other.param").write_bytes(NETWORK)
    (tmp_path / "other.bin").write_bytes(FORMS["float32"])
    x = np.array([1.0, -2.0, 0.5, 3.0, -1.0], np.float32)
    found, expected = (outputs_of(load(tmp_path / n), [x]) for n in (name, "other.param"))
    np.testing.assert_array_equal(found["2"], expected["2"])


BROKEN: dict[str, tuple[bytes, str]] = {
    "ends": (NETWORK[:30], "a binary .param ends after 28 bytes"),
    "layers": (struct.pack("<3i", 7767517, -1, 0), "-1 layers; there are 1 to 65536"),
    "inputs": (
        struct.pack("<6i", 7767517, 1, 1, 26, 9, 1),
        r"layer 0 \(ReLU\): 9 words; the file does not hold that many",
    ),
    "elements": (
        struct.pack("<9i", 7767517, 1, 1, 26, 0, 1, 0, -23301, 2**30),
        "1073741824 words; the file does not hold that many",
    ),
    "key": (
        struct.pack("<9i", 7767517, 1, 1, 26, 0, 1, 0, 99, 1),
        "parameter 99; they are numbered from 0 to 63",
    ),
    "finite": (
        binary([("Input", [], [0], {0: 5}), ("ELU", [0], [1], {0: float("inf")})]),
        "parameter 0 is inf; it must be finite",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_binary_network(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(ModelError, match=message):
        load(data)


def test_unknown_type_of_a_binary_network() -> None:
    with pytest.raises(UnsupportedError, match="layer 0: type 999 is not known"):
        load(struct.pack("<6i", 7767517, 1, 1, 999, 0, 1))


def test_types_are_numbered_as_ncnn_does() -> None:
    ncnn = pytest.importorskip("ncnn")
    assert [ncnn.layer_to_index(name) for name in TYPES] == list(range(len(TYPES)))


def test_spaces_and_line_ends_do_not_matter() -> None:
    data = b"7767517\r\n2 2\r\n\r\nInput   in 0 1 x   0=4\r\nELU e 1 1 x y  0=2.5e-01 \r\n\r\n"
    graph = load(data)
    assert [v.name for v in graph.outputs] == ["y"]
