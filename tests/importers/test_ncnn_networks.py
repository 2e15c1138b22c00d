"""ncnn's networks of the data folder, against ncnn and against the same networks elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ncnn_files import relative_difference

import edgewise
from data_folder import data_folder
from edgewise.errors import InputError
from edgewise.graph import Array, Graph
from edgewise.importers import load
from edgewise.tools.compare import compare
from edgewise.tools.peers import Ncnn, NcnnTensors, ONNXRuntime, native_peer

pytest.importorskip("ncnn")

NETWORKS = {
    "rfb320_float": ("input", (1, 3, 240, 320)),
    "fastestdet_float": ("input.1", (1, 3, 352, 352)),
}

APART = {"rfb320_float": 1e-4, "fastestdet_float": 0.05}
"""How far outputs are from those of the .onnx file; fastestdet's .bin holds float16 weights."""


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> tuple[Path, Graph, Array]:
    """A file, its graph, and a picture."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no data folder: set EDGEWISE_DATA to the folder that holds models/")
    name, shape = NETWORKS[request.param]
    path = folder / "models" / f"{request.param}.param"
    return path, load(path, shapes={name: shape}), picture(shape)


def picture(shape: tuple[int, ...]) -> Array:
    """Smooth, with some noise."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(-1, 1, (*shape[:2], 6, 8))
    sizes = zip((6, 8), shape[2:], strict=True)
    rows, columns = (np.linspace(0, n - 1e-6, m).astype(int) for n, m in sizes)
    noise = rng.normal(scale=0.05, size=shape)
    return (coarse[:, :, rows][:, :, :, columns] + noise).astype(np.float32)


def outputs(graph: Graph, x: Array) -> list[Array]:
    with closing(edgewise.compile(graph)) as program:
        found: Any = program(x)
    return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]


def test_outputs_are_those_of_ncnn(network: tuple[Path, Graph, Array]) -> None:
    path, graph, x = network
    found = outputs(graph, x)
    for peer in (Ncnn(path), Ncnn(path.with_suffix(".bin"), threads=2)):
        expected = peer.run([x])
        for y, other in zip(found, expected, strict=True):
            assert y.shape == other.shape
            assert relative_difference(y, other) < 1e-4


def test_intermediate_blobs_are_those_of_ncnn(network: tuple[Path, Graph, Array]) -> None:
    path, graph, x = network
    blobs = NcnnTensors(path).run([x])
    compared = 0
    for node, results in graph.reference({graph.inputs[0]: x}):
        for value, array in zip(node.outputs, results, strict=True):
            if value.name in blobs:
                assert relative_difference(array, blobs[value.name]) < 1e-4, value.name
                compared += 1
    assert compared > 100


def test_compare_shows_every_blob(network: tuple[Path, Graph, Array]) -> None:
    path, graph, x = network
    assert native_peer(path) == "ncnn"
    facts = compare(graph, path, "ncnn", [[x]], alone=True)
    assert facts["within_tolerance"]
    assert len(facts["tensors"]) > 100
    assert facts["against"].startswith("ncnn 1.")


def test_outputs_are_those_of_the_onnx_file(network: tuple[Path, Graph, Array]) -> None:
    pytest.importorskip("onnxruntime")
    path, graph, x = network
    found = {y.shape: y for y in outputs(graph, x)}
    for other in ONNXRuntime(path.with_suffix(".onnx")).run([x]):
        assert relative_difference(found[other.shape], other) < APART[path.stem]


def test_weights_may_be_named_instead(network: tuple[Path, Graph, Array], tmp_path: Path) -> None:
    path, graph, _ = network
    shapes = {v.name: v.type.shape for v in graph.inputs}
    named = load(path.with_suffix(".bin"), shapes=shapes)
    assert [v.type for v in named.outputs] == [v.type for v in graph.outputs]
    copy = tmp_path / "other.param"
    copy.write_bytes(path.read_bytes())
    apart = load(copy, shapes=shapes, weights=path.with_suffix(".bin"))
    assert list(map(str, apart.nodes)) == list(map(str, graph.nodes))
    with pytest.raises(InputError, match=r"looked for the other one in '.*other.bin'"):
        load(copy, shapes=shapes)


@pytest.mark.parametrize("name", ["anomaly_float", "resnet8_cifar10_float"])
def test_networks_written_as_ncnn_files(name: str, tmp_path: Path) -> None:
    """The benchmarks' writer and this reader agree on what a .tflite network is."""
    pytest.importorskip("onnx")
    from benchmarks.networks.ncnn_export import export_ncnn

    folder = data_folder()
    if folder is None:
        pytest.skip("no data folder: set EDGEWISE_DATA to the folder that holds models/")
    original = load(folder / "models" / f"{name}.tflite")
    written = export_ncnn(original)
    path = tmp_path / "net.param"
    path.write_bytes(written.parameters)
    path.with_suffix(".bin").write_bytes(written.weights)
    (port,), (out,) = written.inputs, written.outputs
    x = np.random.default_rng(4).random(original.inputs[0].type.shape, np.float32)
    (expected,) = outputs(original, x)
    given = np.ascontiguousarray(port.given(x))
    (found,) = outputs(load(path, shapes={port.name: given.shape}), given)
    found = out.taken(found) if out.first else found
    assert relative_difference(found.reshape(expected.shape), expected) < 1e-5


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda p: Ncnn(p / "alone.param"), r"--against ncnn: .*alone.bin: no such file"),
    "broken": (lambda p: Ncnn(p / "broken.param"), r"--against ncnn: cannot read .*broken.param"),
    "another format": (
        lambda p: Ncnn(p / "alone.tflite"),
        "ncnn: it reads no TensorFlow Lite files",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_peer_refuses(name: str, tmp_path: Path) -> None:
    (tmp_path / "alone.param").write_bytes(b"7767517\n1 1\nInput a 0 1 a\n")
    (tmp_path / "broken.param").write_bytes(b"7767517\n1 1\nNothing a 0 1 a\n")
    (tmp_path / "broken.bin").write_bytes(b"")
    (tmp_path / "alone.tflite").write_bytes(b"\0\0\0\0TFL3")
    run, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        run(tmp_path)


def test_peer_takes_the_weights_given(tmp_path: Path) -> None:
    path, other, x = tmp_path / "net.param", tmp_path / "other", np.ones((1, 2), np.float32)
    path.write_bytes(b"7767517\n2 2\nInput a 0 1 a\nInnerProduct c 1 1 a b 0=1 2=2\n")
    path.with_suffix(".bin").write_bytes(np.array([0, 1, 2], "<f4").tobytes())
    other.write_bytes(np.array([0, 3, 4], "<f4").tobytes())
    assert Ncnn(path).run([x])[0].tolist() == [[3]]
    assert Ncnn(path, weights=other).run([x])[0].tolist() == [[7]]
    graph = load(path, shapes={"a": (1, 2)}, weights=other)
    assert compare(graph, path, "ncnn", [[x]], weights=other)["within_tolerance"]


def test_peer_checks_its_inputs(tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_bytes(b"7767517\n2 2\nInput a 0 1 a\nConvolution c 1 1 a b 0=1 1=1 6=3\n")
    path.with_suffix(".bin").write_bytes(bytes(16))
    peer = Ncnn(path)
    assert peer.name.startswith("ncnn 1.")
    assert peer.path == "CPU, float32"
    assert peer.blobs == ["b"]
    with pytest.raises(InputError, match="ncnn: 2 inputs, the model has 1"):
        peer.run([np.zeros((1, 3, 2, 2), np.float32)] * 2)
    with pytest.raises(InputError, match=r"ncnn: an input of shape \[2, 3, 4, 4\]; its batch is 1"):
        peer.run([np.zeros((2, 3, 4, 4), np.float32)])
    with pytest.raises(InputError, match="ncnn cannot compute 'b'"):
        peer.run([np.zeros((1, 3, 0, 2), np.float32)])
