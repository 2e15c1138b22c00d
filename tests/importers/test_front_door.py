"""One front door for every format: options of load, files beside a model, what names a graph."""

from __future__ import annotations

from pathlib import Path

import caffe_files
import numpy as np
import onnx_files
import pytest
from tflite_files import conv

import edgewise as ew
from edgewise.errors import InputError, ModelError
from edgewise.importers import FORMATS, format_of
from edgewise.importers.content import Source

SCALE = caffe_files.layer("Scale", "scale_param { bias_term: true }")
BLOBS = {"Scale": [np.array([1.0, 2.0, 3.0], np.float32), np.array([0.5, 0, 0], np.float32)]}
IMAGE = {"x": (1, 3, 4, 5)}


@pytest.fixture
def caffe(tmp_path: Path) -> Path:
    return caffe_files.write(tmp_path, caffe_files.prototxt(SCALE, IMAGE), BLOBS)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    graph = onnx_files.graph(
        [onnx_files.node("Relu", ["x"], ["y"])],
        [onnx_files.info("x", ("n", 3, "h", 5))],
        ["y"],
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_files.model(graph))
    return path


def test_either_of_two_files_names_the_network(caffe: Path) -> None:
    one, other = (str(ew.load(p)) for p in (caffe, caffe.with_suffix(".caffemodel")))
    assert one == other


def test_weights_under_another_name(caffe: Path, tmp_path: Path) -> None:
    moved = tmp_path / "trained.bin"
    caffe.with_suffix(".caffemodel").rename(moved)
    with pytest.raises(
        InputError, match=r"two files; looked for the other one in .*net.caffemodel"
    ):
        ew.load(caffe)
    graph = ew.load(caffe, weights=moved)
    x = np.ones((1, 3, 4, 5), np.float32)
    np.testing.assert_array_equal(ew.compile(graph)(x)[0, :, 0, 0], [1.5, 2, 3])
    with pytest.raises(InputError, match=r"looked for the other one in .*absent"):
        ew.load(caffe, weights=tmp_path / "absent")


def test_weights_are_part_of_what_a_graph_is(caffe: Path, tmp_path: Path) -> None:
    first = ew.load(caffe).digest
    assert ew.load(caffe).digest == first
    more = {"Scale": [BLOBS["Scale"][0] * 2, BLOBS["Scale"][1]]}
    caffe_files.write(tmp_path, caffe_files.prototxt(SCALE, IMAGE), more)
    changed = ew.load(caffe)
    assert changed.digest != first
    x = np.ones((1, 3, 4, 5), np.float32)
    np.testing.assert_array_equal(ew.compile(changed)(x)[0, :, 0, 0], [2.5, 4, 6])


def test_dims(onnx: Path) -> None:
    graph = ew.load(onnx)
    assert graph.inputs[0].type.shape == (1, 3, 1, 5)
    assert graph.metadata["dims"] == {"n": 1, "h": 1}
    assert graph.open == {"x": (-1, 3, -1, 5)}
    assert ew.load(onnx, dims={"h": 7}).outputs[0].type.shape == (1, 3, 7, 5)
    x = np.ones((2, 3, 6, 5), np.float32)
    assert ew.compile(graph)(x).shape == x.shape


def test_shapes_give_dims_their_sizes(tmp_path: Path) -> None:
    inputs = [onnx_files.info(name, ("n", 3)) for name in "ab"]
    node = onnx_files.node("Add", ["a", "b"], ["y"])
    data = onnx_files.model(onnx_files.graph([node], inputs, ["y"]))
    graph = ew.load(data, shapes={"a": (4, 3)}, dims={"n": 2})
    assert [v.type.shape for v in graph.inputs] == [(4, 3), (4, 3)]
    assert graph.metadata["dims"] == {"n": 4}


def test_initializers_are_no_inputs() -> None:
    node = onnx_files.node("Add", ["x", "w"], ["y"])
    inputs = [onnx_files.info("x", (3,)), onnx_files.info("w", (3,))]
    weights = {"w": np.ones(3, np.float32)}
    data = onnx_files.model(onnx_files.graph([node], inputs, ["y"], weights))
    with pytest.raises(InputError, match=r"no input is named 'w'; the file has \['x'\]"):
        ew.load(data, shapes={"w": (3,)})


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ({"w": 3}, r"no symbolic dimension is named 'w'; the file has \['h', 'n'\]"),
        ({"h": -1}, "dimension 'h': -1; it cannot be negative"),
        ({"h": 1.5}, "it must be whole numbers"),
    ],
)
def test_dims_that_do_not_fit(onnx: Path, dims: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ew.load(onnx, dims=dims)


def test_channels_last(onnx: Path) -> None:
    first, last = ew.load(onnx, dims={"h": 4}), ew.load(onnx, dims={"h": 4}, channels_last=True)
    assert first.digest != last.digest
    assert (last.inputs[0].name, last.inputs[0].type.shape) == ("x", (1, 4, 5, 3))
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    y = ew.compile(last)(x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y, np.maximum(x, 0).transpose(0, 2, 3, 1))
    assert not any(node.op.name == "TRANSPOSE" for node in ew.optimize(last).nodes)
    wide = ew.load(onnx, shapes={"x": (2, 4, 5, 3)}, channels_last=True)
    assert wide.inputs[0].type.shape == (2, 4, 5, 3)
    again = ew.compile(last)(np.ones((3, 2, 5, 3), np.float32))
    assert again.shape == (3, 2, 5, 3)


def test_a_compiled_network_is_known_again(onnx: Path) -> None:
    x = np.ones((1, 3, 1, 5), np.float32)
    expected = ew.compile(ew.load(onnx))(x)
    known = ew.load(onnx)
    np.testing.assert_array_equal(ew.compile(known)(x), expected)
    assert [node.op.name for node in known.nodes] == ["RELU"]


@pytest.mark.parametrize("options", [{"dims": {"n": 1}}, {"weights": "x"}, {"channels_last": True}])
def test_options_that_a_format_does_not_take(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=f"{name}: TensorFlow Lite files do not take it"):
        ew.load(conv(), **options)  # type: ignore[arg-type]


def test_signatures_are_of_tflite(onnx: Path) -> None:
    with pytest.raises(InputError, match="signature: ONNX files do not take it"):
        ew.load(onnx, signature="main")


def test_formats_of_files(onnx: Path, caffe: Path, tmp_path: Path) -> None:
    (tmp_path / "lite.dat").write_bytes(conv())
    found = [format_of(p).name for p in (onnx, caffe, tmp_path / "lite.dat")]
    assert found == ["ONNX", "Caffe", "TensorFlow Lite"]
    with pytest.raises(InputError, match="cannot be read"):
        format_of(tmp_path / "absent.onnx")
    (tmp_path / "odd.xyz").write_bytes(b"?")
    with pytest.raises(ModelError, match="unknown format; Edgewise reads TensorFlow Lite"):
        format_of(tmp_path / "odd.xyz")


def test_suffixes_belong_to_one_format() -> None:
    suffixes = [suffix for format in FORMATS for suffix in format.suffixes]
    assert len(set(suffixes)) == len(suffixes)


class TestFilesBeside:
    """`Source.inside`: the files that a model names."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        folder = tmp_path / "model"
        (folder / "parts").mkdir(parents=True)
        (folder / "weights.bin").write_bytes(b"abc")
        (folder / "parts" / "more.bin").write_bytes(b"de")
        (tmp_path / "secret").write_bytes(b"secret")
        (folder / "leak").symlink_to(tmp_path / "secret")
        (folder / "alias").symlink_to(folder / "weights.bin")
        return Source(b"", path=str(folder / "net.onnx"))

    @pytest.mark.parametrize(
        ("location", "content"),
        [("weights.bin", b"abc"), ("parts/more.bin", b"de"), ("parts/../weights.bin", b"abc")],
    )
    def test_inside(self, source: Source, location: str, content: bytes) -> None:
        assert source.inside(location) == content
        assert len(source.read) == 1

    def test_a_link_within_the_folder(self, source: Source) -> None:
        assert source.inside("alias") == b"abc"

    @pytest.mark.parametrize(
        "location", ["../secret", "leak", "/etc/hostname", "parts", "absent", "", "nul\0byte"]
    )
    def test_outside(self, source: Source, location: str) -> None:
        with pytest.raises(ModelError, match="it must be a file in the model's folder"):
            source.inside(location)
        assert not source.read

    def test_bytes_have_no_folder(self) -> None:
        with pytest.raises(ModelError, match="load it by its path, not bytes"):
            Source(b"").inside("weights.bin")
