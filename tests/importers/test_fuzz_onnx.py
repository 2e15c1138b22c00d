"""Mutated ONNX files: each loads and runs, or is refused with ModelError, within its limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fuzz_run import count_loaded
from onnx_files import Array, graph, info, model, node, single
from onnx_mutants import mutant

from data_folder import data_folder

WORKER = Path(__file__).with_name("fuzz_onnx_worker.py")
FILES = 2000
PARTS = 5
NETWORKS = ("mnist_cnn_float", "wakeword_computer_float")


def data(*shape: int) -> Array:
    return np.random.default_rng(3).integers(-9, 10, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def loop(turns: Array | None) -> bytes:
    """A LOOP of constant turns, or of computed ones."""
    body = graph(
        [
            node("Add", ["s", "x"], ["t"]),
            node("Mul", ["t", "x"], ["row"]),
            node("Identity", ["go"], ["more"]),
        ],
        [info("i", (), np.int64), info("go", (), np.bool_), info("s", (2,))],
        [info("more", (), np.bool_), info("t", (2,)), *(["row"] if turns is not None else [])],
        name="body",
    )
    outputs = ["y", "rows"] if turns is not None else ["y"]
    inputs = [info("x", (2,))] + ([info("n", (), np.int64)] if turns is None else [])
    constants = {"z": data(2), **({} if turns is None else {"n": turns})}
    return model(
        graph([node("Loop", ["n", "", "z"], outputs, body=body)], inputs, outputs, constants)
    )


def choice() -> bytes:
    """A SCAN in a branch of an IF, and what waits for a call."""
    scanned = graph(
        [node("Add", ["a", "b"], ["c"]), node("Identity", ["c"], ["d"])],
        [info("a", (3,)), info("b", (3,))],
        ["c", "d"],
        name="scanned",
    )
    scan = node("Scan", ["s", "x"], ["sum", "sums"], body=scanned, num_scan_inputs=1)
    then = graph([scan], [], ["sums"], name="then")
    otherwise = graph([node("Neg", ["x"], ["n"])], [], ["n"], name="otherwise")
    nodes = [
        node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise),
        node("NonZero", ["y"], ["places"]),
        node("Cast", ["places"], ["z"], to=1),
    ]
    inputs = [info("c", (), np.bool_), info("x", ("n", 3))]
    outputs = [info("y", ("n", 3)), info("z", (2, "m"))]
    return model(graph(nodes, inputs, outputs, {"s": data(3)}))


def chain() -> bytes:
    """A small convolutional network with arithmetic of shapes."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "b", "b", "b", "v"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["p", "", "scale"], ["u"], mode="linear"),
        node("Concat", ["u", "r"], ["j"], axis=1),
        node("Shape", ["j"], ["s"], end=1),
        node("Concat", ["s", "rest"], ["wanted"], axis=0),
        node("Reshape", ["j", "wanted"], ["f"]),
        node("Gemm", ["f", "m"], ["g"], transB=1),
        node("Softmax", ["g"], ["y"], axis=-1),
    ]
    constants = {
        "w": data(2, 1, 3, 3),
        "b": data(2),
        "v": abs(data(2)) + 1,
        "scale": np.float32([1, 1, 2, 2]),
        "rest": ints(-1),
        "m": data(3, 64),
    }
    return model(graph(nodes, [info("x", ("n", 1, 4, 4))], ["y"], constants))


def sequence() -> bytes:
    nodes = [
        node("SplitToSequence", ["x", "sizes"], ["parts"], axis=1),
        node("SequenceAt", ["parts", "one"], ["a"]),
        node("SequenceInsert", ["parts", "a"], ["more"]),
        node("ConcatFromSequence", ["more"], ["y"], axis=1),
    ]
    constants = {"sizes": ints(1, 2, 1), "one": np.int64(1)}
    return model(graph(nodes, [info("x", (2, 4))], ["y"], constants))


x, image = {"x": data(2, 3, 4)}, {"x": data(1, 4, 6, 6)}
FILES_BY_NAME = {
    "loop": loop(np.int64(3)),
    "computed loop": loop(None),
    "choice": choice(),
    "chain": chain(),
    "sequence": sequence(),
    "slice": single("Slice", x, {"b": ints(-1), "e": ints(-9), "a": ints(1), "s": ints(-1)}),
    "pad": single("Pad", x, {"p": ints(0, 1, 2, 0, 1, 1)}, mode="reflect"),
    "split": single("Split", x, {"s": ints(1, 3)}, ["a", "b"], axis=2),
    "expand": single("Expand", {"x": data(3, 1)}, {"s": ints(2, 3, 4)}),
    "tile": single("Tile", x, {"n": ints(1, 2, 1)}),
    "depth to space": single("DepthToSpace", image, blocksize=2, mode="CRD"),
    "gather": single("Gather", x, {"i": ints(0, -1)}, axis=1),
    "gather elements": single("GatherElements", x, {"i": np.zeros((1, 3, 4), np.int64)}),
    "gather nd": single("GatherND", x, {"i": ints(0, 1)}),
    "scatter nd": single("ScatterND", {**x, "i": ints(0, 1)[None]}, {"u": data(1, 4)}),
    "scatter": single(
        "ScatterElements", x, {"i": np.zeros((1, 1, 2), np.int64), "u": data(1, 1, 2)}, axis=2
    ),
    "top k": single("TopK", x, {"k": ints(2)}, ["v", info("i", None, np.int64)]),
    "one hot": single("OneHot", {"i": ints(1, 2)}, {"d": np.int64(3), "v": np.float32([0, 1])}),
    "range": single("Range", {}, {"a": np.int64(0), "b": np.int64(9), "c": np.int64(2)}),
    "constant of shape": single("ConstantOfShape", {}, {"s": ints(2, 3)}),
    "boxes": single(
        "NonMaxSuppression",
        {"x": data(1, 5, 4), "s": data(1, 2, 5)},
        {"m": np.int64(3)},
        [info("y", ["n", 3], np.int64)],
    ),
    "unique": single("Unique", {"x": data(5)}, None, [info("y", ["n"])]),
    "matmul": single("MatMul", {"a": data(2, 3, 4)}, {"b": data(4, 5)}),
    "einsum": single("Einsum", {"a": data(2, 3), "b": data(3, 4)}, equation="ij,jk->ik"),
    "lstm": single(
        "LSTM", {"x": data(3, 1, 2)}, {"w": data(1, 12, 2), "r": data(1, 12, 3)}, hidden_size=3
    ),
    "transposed": single("ConvTranspose", image, {"w": data(4, 2, 3, 3)}, strides=[2, 2]),
    "pool": single("AveragePool", image, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "resize": single("Resize", image, {"n": np.float32([]), "s": np.float32([1, 1, 2, 1.5])}),
    "reduce": single("ReduceMean", x, {"a": ints(-1, 0)}),
    "normalization": single("LayerNormalization", x, {"s": data(4)}),
    "quantize": single(
        "QuantizeLinear", x, {"s": np.float32(0.1), "z": np.int8(3)}, [info("y", None, np.int8)]
    ),
}
"""Generated files, by what is in them."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Generated files, and real networks where the data folder is there."""
    folder = tmp_path_factory.mktemp("fuzz")
    for name, content in FILES_BY_NAME.items():
        (folder / f"{name}.onnx").write_bytes(content)
    paths = sorted(folder.iterdir())
    shared = data_folder()
    if shared is not None:
        paths += [shared / "models" / f"{name}.onnx" for name in NETWORKS]
    return [str(p) for p in paths]


@pytest.mark.parametrize(
    "part", [pytest.param(i, marks=pytest.mark.slow if i else ()) for i in range(PARTS)]
)
def test_mutated_files_run_or_are_refused(part: int, sources: list[str]) -> None:
    count = FILES // PARTS
    loaded = count_loaded(WORKER, part * count, count, sources)
    assert 0.1 * count < loaded < 0.75 * count


def test_mutants_are_reproducible_and_differ_from_their_sources() -> None:
    content = FILES_BY_NAME["chain"]
    mutants = [mutant([content], seed) for seed in range(50)]
    assert mutants == [mutant([content], seed) for seed in range(50)]
    plain = onnx.ModelProto.FromString(content).SerializeToString(deterministic=True)
    assert sum(m not in (content, plain) for m in mutants) >= 45
