"""`Samples`: what each source gives, in which order, and what is wrong with data."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewise.data import Samples
from edgewise.data.samples import KEPT
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, TensorType, Value


def network(*types: TensorType) -> Graph:
    """A network of these inputs, called a, b, ..., which it gives."""
    values = tuple(Value(name, type) for name, type in zip("abc", types, strict=False))
    return Graph(values, values, ())


VECTORS = network(TensorType((1, 3), DType.FLOAT32))
PICTURES = network(TensorType((1, 8, 8, 3), DType.FLOAT32))
PAIRS = network(TensorType((1, 3), DType.FLOAT32), TensorType((2,), DType.INT32))


def vectors(count: int) -> Array:
    return np.arange(3 * count, dtype=np.float32).reshape(count, 3)


def gathered(source: Any, graph: Graph = VECTORS, **options: Any) -> list[list[Any]]:
    """All inputs as lists, read twice, equal both times; their number is what was told."""
    samples = Samples.of(source, graph, **options)
    first, again = ([[a.tolist() for a in item] for item in samples] for _ in range(2))
    assert first == again
    assert samples.count in (None, len(first))
    return first


def rows(count: int) -> list[list[Any]]:
    return [[[row]] for row in vectors(count).tolist()]


def paint(path: Path, red: int) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0] = red
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("shape", [(5, 3), (5, 1, 3)])
def test_arrays_hold_samples_in_front(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = vectors(5).reshape(shape)
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", a=array)
    np.savez_compressed(tmp_path / "y.npz", other=array)
    np.save(tmp_path / "f.npy", np.asfortranarray(array))
    for source in (array, {"a": array}, *(tmp_path / n for n in ("x.npy", "x.npz", "f.npy"))):
        assert gathered(source) == rows(5)
    assert gathered(str(tmp_path / "y.npz")) == rows(5)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 3)])
def test_an_array_may_be_one_sample(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", vectors(1).reshape(shape))
    assert gathered(tmp_path / "x.npy") == rows(1)


def test_inputs_of_larger_batches_take_multiples() -> None:
    graph = network(TensorType((2, 3), DType.FLOAT32))
    found = gathered(vectors(6), graph)
    assert found == [[vectors(6)[i : i + 2].tolist()] for i in (0, 2, 4)]
    with pytest.raises(InputError, match=r"shape \[5, 3\]; input 'a' takes \[2, 3\]"):
        Samples.of(vectors(5), graph)


def test_a_npz_holds_all_inputs(tmp_path: Path) -> None:
    b = np.arange(8, dtype=np.int32).reshape(4, 2)
    np.savez(tmp_path / "x.npz", b=b, a=vectors(4), labels=np.zeros(4))
    expected = [[[a], c] for a, c in zip(vectors(4).tolist(), b.tolist(), strict=True)]
    assert gathered(tmp_path / "x.npz", PAIRS) == expected
    assert gathered(list(zip(vectors(4), b, strict=True)), PAIRS) == expected
    dicts = [{"b": y, "a": x} for x, y in zip(vectors(4), b, strict=True)]
    assert gathered(dicts, PAIRS) == expected


def test_folders_are_read_by_name_and_all_the_way_down(tmp_path: Path) -> None:
    for red, name in enumerate(("a/2.png", "a/10.png", "b.png", "A.jpeg", "a/deep/er/0.png"), 10):
        paint(tmp_path / name, red * 10)
    (tmp_path / "labels.csv").write_text("file,class_index\n")
    paint(tmp_path / ".hidden" / "x.png", 0)
    (tmp_path / "a" / "._2.png").write_bytes(b"of another system")
    names = [where for where, _ in Samples.of(tmp_path, PICTURES).named()]
    expected = ["A.jpeg", "b.png", "a/10.png", "a/2.png", "a/deep/er/0.png"]
    assert names == [str(tmp_path / name) for name in expected]
    (first, *_) = Samples.of(tmp_path / "a", PICTURES, pixels=(0.0, 255.0))
    np.testing.assert_allclose(first[0][0, 0, :, 0], [110.0] * 3 + first[0][0, 0, 3:, 0].tolist())


def test_lists_of_files_keep_their_order(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", vectors(2))
    np.save(tmp_path / "one.npy", vectors(1))
    files = [tmp_path / "two.npy", tmp_path / "one.npy"]
    assert gathered(files) == rows(2) + rows(1)
    assert gathered(tmp_path.glob("t*.npy")) == rows(2)


def test_iterables_are_gone_over_again() -> None:
    class Endless:
        def __iter__(self) -> Iterator[Array]:
            return iter(vectors(9))

    assert gathered(Endless()) == rows(9)
    assert gathered(Endless(), limit=4) == rows(4)
    assert gathered(lambda: iter(vectors(9))) == rows(9)
    with pytest.raises(TypeError, match="known only when they are read"):
        len(Samples.of(Endless(), VECTORS))


def test_of_iterators_the_first_are_kept() -> None:
    assert gathered(iter(vectors(100))) == rows(KEPT)
    assert gathered(iter(vectors(100)), limit=80) == rows(80)
    assert gathered(iter(vectors(9)), limit=4) == rows(4)


@pytest.mark.parametrize("as_list", [False, True])
def test_a_limit_takes_samples_at_even_distances(as_list: bool) -> None:
    source = list(vectors(10)) if as_list else vectors(10)
    picked = [rows(10)[i] for i in (0, 2, 5, 7)]
    assert gathered(source, limit=4) == picked
    assert gathered(source, limit=99) == rows(10)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4"])
def test_real_numbers_of_any_precision(dtype: Any) -> None:
    assert gathered(vectors(4).astype(dtype)) == rows(4)


def test_real_numbers_are_quantized() -> None:
    quant = QParams.per_tensor(0.5, -10)
    graph = network(TensorType((1, 3), DType.INT8, quant))
    assert gathered(np.array([[0.0, 1.3, 1e9]]), graph) == [[[[-10, -7, 127]]]]
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match="sample 0: input 'a' has"):
            gathered(np.array([[0.0, 1.3, bad]]), graph)


def test_integers_that_fit() -> None:
    graph = network(TensorType((1, 2), DType.INT32))
    assert gathered(np.array([[-5, 7]]), graph) == [[[[-5, 7]]]]
    with pytest.raises(InputError, match=r"sample 0: int64\[1, 2\]; input 'a' takes int32\[1x2\]"):
        gathered(np.array([[0, 2**40]]), graph)


@pytest.mark.parametrize("first", [False, True])
def test_bytes_are_pixels_of_a_picture_input(first: bool) -> None:
    pixels = np.arange(2 * 192, dtype=np.uint16).astype(np.uint8).reshape(2, 8, 8, 3)
    shape = (1, 3, 8, 8) if first else (1, 8, 8, 3)
    given = pixels.transpose(0, 3, 1, 2) if first else pixels
    found = list(Samples.of(given, network(TensorType(shape, DType.FLOAT32)), pixels=(0.0, 255.0)))
    np.testing.assert_array_equal(np.concatenate([x for (x,) in found]), given)


def wrong(value: float) -> Array:
    array = vectors(5)
    array[3, 1] = value
    return array


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([np.zeros((1, 4), np.float32)], r"sample 0: shape \[1, 4\]; input 'a' takes \[1, 3\]"),
        (np.zeros((5, 4), np.float32), r"shape \[5, 4\]; input 'a' takes \[1, 3\]"),
        (vectors(5).astype(np.int32), r"sample 0: int32\[1, 3\]; input 'a' takes float32\[1x3\]"),
        (wrong(np.nan), "sample 3: input 'a' has NaN"),
        (wrong(-np.inf), "sample 3: input 'a' has an infinity"),
        (wrong(3e38).astype(np.float64) * 10, "sample 3: input 'a' has an infinity"),
        (vectors(0), "samples: there are none"),
        ([], "samples: there are none"),
        (lambda: iter(()), "samples: there are none"),
        (7, "samples: int; they come from a folder"),
        (lambda: 7, "samples: a function returned int; they come from a folder"),
        ([(vectors(1), vectors(1))], "sample 0: 2 arrays; the network takes 1: a"),
        ([[[[1.0, 2.0], [3.0]]]], "sample 0: input 'a' is no array"),
        ([{"x": vectors(1)}], "sample 0: nothing for input 'a'"),
        ({"x": vectors(1), "y": vectors(1)}, "no array named 'a'"),
        (["absent.npy"], "absent.npy: no such file"),
        (["absent.png"], "absent.png: no such file"),
        ("absent", "absent: no such file"),
    ],
)
def test_bad_data_are_told_in_one_message(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(Samples.of(source, VECTORS if "png" not in str(source) else PICTURES))


@pytest.mark.filterwarnings("error")
def test_samples_that_must_vary() -> None:
    single = network(TensorType((1, 1), DType.FLOAT32))
    for source, graph in (
        ([np.ones(3, np.float32), vectors(1)], VECTORS),
        (np.ones((2, 1), np.float32), single),
    ):
        assert len(list(Samples.of(source, graph).named(varied=True))) == 2
    constant = Samples.of(np.ones((4, 3), np.float32), VECTORS)
    assert len(list(constant)) == 4
    with pytest.raises(InputError, match="all 4 samples are constant"):
        list(constant.named(varied=True))


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder holds no picture"):
        Samples.of(tmp_path, PICTURES)
    paint(tmp_path / "a.png", 9)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(InputError, match=r"b\.png: not a picture that Pillow can read"):
        list(Samples.of(tmp_path, PICTURES))
    with pytest.raises(InputError, match="a folder; give its files one by one"):
        list(Samples.of([tmp_path], PICTURES))
    with pytest.raises(InputError, match=r"a \.npz holds those of a network of several: a, b"):
        Samples.of(tmp_path / "a.png", PAIRS)
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(InputError, match=r"x\.npy: not an array that numpy can read"):
        Samples.of(tmp_path / "x.npy", VECTORS)
    np.save(tmp_path / "x.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        Samples.of(tmp_path / "x.npy", VECTORS)
    np.save(tmp_path / "x.npy", vectors(1000))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"x\.npy: ends before the array of \[1000, 3\]"):
        list(Samples.of(tmp_path / "x.npy", VECTORS))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        header = io.BytesIO()
        told = {"descr": "<f4", "fortran_order": False, "shape": (10**15, 3)}
        np.lib.format.write_array_header_1_0(header, told)
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(InputError, match=r"x\.npz: ends before the array of \[10+, 3\]"):
        Samples.of(tmp_path / "x.npz", VECTORS)
    np.savez(tmp_path / "x.npz", a=vectors(4))
    whole = bytearray((tmp_path / "x.npz").read_bytes())
    whole[200] ^= 1
    (tmp_path / "x.npz").write_bytes(whole)
    with pytest.raises(InputError, match=r"x\.npz: not an array .* CRC"):
        list(Samples.of(tmp_path / "x.npz", VECTORS))
    np.savez(tmp_path / "x.npz", a=vectors(4), b=np.zeros((3, 2), np.int32))
    with pytest.raises(InputError, match=r"x\.npz: 4 of 'a', 3 of 'b'; there must be as many"):
        Samples.of(tmp_path / "x.npz", PAIRS)


def test_a_limit_of_nothing() -> None:
    for limit in (0, 1.5, "2"):
        with pytest.raises(InputError, match=f"limit {limit!r}: at least one sample is needed"):
            Samples.of(vectors(1), VECTORS, limit=limit)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="takes no inputs"):
        Samples.of(vectors(1), Graph((), (), ()))


@pytest.mark.parametrize("kind", ["npy", "npz", "png"])
def test_memory_does_not_grow_with_the_number(tmp_path: Path, kind: str) -> None:
    """The peak of reading ten times as many samples is the same, but for names of files."""

    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        pixels = np.random.default_rng(0).random((count, 64, 64, 3), np.float32)
        if kind == "png":
            picture = Image.fromarray((pixels[0] * 255).astype(np.uint8))
            for index in range(count):
                picture.save(folder / f"{index}.png")
        else:
            (np.save if kind == "npy" else np.savez_compressed)(folder / f"x.{kind}", pixels)
        del pixels
        graph = network(TensorType((1, 64, 64, 3), DType.FLOAT32))
        tracemalloc.start()
        assert sum(1 for _ in Samples.of(folder, graph)) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    few, many = peak(20), peak(200)
    assert many < few + 180 * 500
    assert many < 200 * 64 * 64 * 3


READ_ALL = """
import re, sys
from edgewise.data import Samples
from edgewise.dtype import DType
from edgewise.graph import Graph, TensorType, Value

picture = Value("x", TensorType((1, 64, 64, 3), DType.FLOAT32))
samples = Samples.of(sys.argv[1], Graph((picture,), (picture,), ()))
for _ in range(2):
    assert sum(1 for _ in samples) == len(samples)
print(len(samples), re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak of resident memory")
@pytest.mark.parametrize("kind", ["npy", "npz", "png"])
def test_the_process_does_not_grow_with_the_number(tmp_path: Path, kind: str) -> None:
    """The peak of resident memory is that of a tenth of the samples, which are 47 MiB as inputs."""
    pixels = np.random.default_rng(0).random((1000, 64, 64, 3), np.float32)
    peaks = []
    for count in (100, 1000):
        folder = tmp_path / str(count)
        folder.mkdir()
        if kind == "png":
            Image.fromarray((pixels[0] * 255).astype(np.uint8)).save(folder / "0.png")
            for index in range(1, count):
                (folder / f"{index}.png").hardlink_to(folder / "0.png")
        else:
            (np.save if kind == "npy" else np.savez)(folder / f"x.{kind}", pixels[:count])
        done = subprocess.run(
            [sys.executable, "-c", READ_ALL, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        read, peak = map(int, done.stdout.split())
        assert read == count
        peaks.append(peak * 1024)
    assert peaks[1] - peaks[0] < 4 * 2**20
