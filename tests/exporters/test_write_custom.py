"""Custom operators and random numbers, written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from test_custom import SAME, VALID, box, custom, detection, pool_struct
from test_write_operators import assert_equal, nodes, written
from tflite_files import F32, I32, U8, ints, real

from edgewise import exporters
from edgewise.dtype import DType
from edgewise.errors import UnsupportedError
from edgewise.graph import Array, Graph, Node, TensorType, Value
from edgewise.importers import load
from edgewise.ops import MaxPoolingWithArgmax2D
from recurrent_files import run_calls
from tflite_builder import Tensor, run_litert, run_litert_calls, single

MFCC = {
    "upper_frequency_limit": 4000,
    "lower_frequency_limit": 20,
    "filterbank_channel_count": 40,
    "dct_coefficient_count": 13,
}
SPECTRUM = {"window_size": 30, "stride": 7, "magnitude_squared": True}
RATE = Tensor(TensorType((1,), I32), np.array([16000], np.int32))


def normal(*shapes: Sequence[int]) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, shape).astype(np.float32) for shape in shapes]


IN_LITERT: dict[str, tuple[bytes, list[Array]]] = {
    "detection": detection(F32),
    "detection of bytes": detection(U8, use_regular_nms=True, detections_per_class=2),
    "spectrogram": (
        custom("AudioSpectrogram", [Tensor(real(200, 2))], [real(2, 25, 17)], SPECTRUM),
        normal((200, 2)),
    ),
    "mfcc": (
        custom("Mfcc", [Tensor(real(2, 3, 257)), RATE], [real(2, 3, 13)], MFCC),
        [np.abs(normal((2, 3, 257))[0])],
    ),
}
POOLED = real(2, 4, 3, 3)
OTHERS: dict[str, bytes] = {
    "pooling": custom(
        "MaxPoolingWithArgmax2D",
        [Tensor(real(2, 7, 5, 3))],
        [POOLED, POOLED],
        pool_struct(SAME, (2, 2), (2, 2), 3),
    ),
    "pooling without padding": custom(
        "MaxPoolingWithArgmax2D",
        [Tensor(real(2, 9, 7, 3))],
        [POOLED, POOLED],
        pool_struct(VALID, (2, 2), (3, 3), 0),
    ),
    "unpooling": custom(
        "MaxUnpooling2D",
        [Tensor(real(1, 3, 2, 4)), Tensor(real(1, 3, 2, 4))],
        [real(1, 6, 6, 4)],
        pool_struct(SAME, (2, 3), (2, 3), 0),
    ),
    "landmarks": custom(
        "TransformLandmarks", [Tensor(real(1, 5, 3)), Tensor(real(1, 4, 4))], [real(1, 5, 3)]
    ),
    "matrix": box(),
    "bilinear": custom(
        "TransformTensorBilinear",
        [Tensor(real(1, 6, 5, 2)), Tensor(real(1, 4, 4))],
        [real(1, 3, 4, 2)],
        {"output_height": 3, "output_width": 4},
    ),
}


@pytest.mark.parametrize("name", IN_LITERT)
def test_what_litert_runs(name: str) -> None:
    content, arrays = IN_LITERT[name]
    graph = load(content)
    again = written(graph)
    assert nodes(load(again)) == nodes(graph)
    assert_equal(run_litert(again, arrays), run_litert(content, arrays))


@pytest.mark.parametrize("name", OTHERS)
def test_mediapipe(name: str) -> None:
    graph = load(OTHERS[name])
    assert nodes(load(written(graph))) == nodes(graph)


def test_pooling_of_another_padding() -> None:
    x, types = Value("x", real(1, 6, 6, 2)), [real(1, 6, 6, 2)] * 2
    outputs = tuple(Value(name, t) for name, t in zip("yz", types, strict=True))
    op = MaxPoolingWithArgmax2D((2, 2), (1, 1), (1, 0, 1, 0))
    graph = Graph((x,), outputs, (Node(op, (x,), outputs, "pool"),))
    with pytest.raises(UnsupportedError, match=r"'pool': padding \(1, 0, 1, 0\), which is neither"):
        exporters.to_tflite(graph)


@pytest.mark.parametrize("name", ["RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"])
def test_random_numbers_go_on_from_call_to_call(name: str) -> None:
    if name == "MULTINOMIAL":
        y = TensorType((2, 6), DType.INT64)
        content = single(name, [Tensor(real(2, 5)), ints(6)], [y], "RandomOptions", Seed=3, Seed2=4)
        calls = [normal((2, 5))] * 3
    else:
        content = single(name, [ints(2, 5)], [real(2, 5)], "RandomOptions", Seed=3, Seed2=4)
        calls = [[]] * 3
    graph = load(content)
    again = written(graph)
    read = load(again)
    assert len(read.states) == 1
    for found, expected in zip(run_calls(read, calls), run_calls(graph, calls), strict=True):
        assert_equal(found, expected)
    results = zip(run_litert_calls(again, calls), run_litert_calls(content, calls), strict=True)
    for found, expected in results:
        assert_equal(found, expected)
