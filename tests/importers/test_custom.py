"""Custom operators: TensorFlow Lite's against LiteRT, MediaPipe's by their rule, and users'."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from flatbuffers import flexbuffers
from tflite_files import F32, I8, I32, U8, ints, quantized, real

import edgewise as ew
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError, ModelError, RunError
from edgewise.graph import Array, Graph, TensorType
from edgewise.importers import load, tflite_ops
from edgewise.importers.content import REGISTERED
from edgewise.importers.flexbuffer import read_flexbuffer
from edgewise.ops import Op
from tflite_builder import Tensor, run_litert, single

DETECTION: Mapping[str, Any] = {
    "max_detections": 10,
    "max_classes_per_detection": 1,
    "num_classes": 3,
    "nms_score_threshold": 0.1,
    "nms_iou_threshold": 0.5,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


def custom(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[TensorType],
    options: Mapping[str, Any] | bytes = b"",
) -> bytes:
    data = options if isinstance(options, bytes) else bytes(flexbuffers.Dumps(dict(options)))
    return single(name, inputs, outputs, custom_options=data)


def reference(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    values = dict(zip(graph.inputs, arrays, strict=True))
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    return [values[v] for v in graph.outputs]


def detection(
    dtype: DType = F32, background: int = 1, boxes: int = 80, **changes: Any
) -> tuple[bytes, list[Array]]:
    """A file of TFLite_Detection_PostProcess with random anchors, and random operands."""
    options = {**DETECTION, **changes}
    rng = np.random.default_rng(boxes)
    anchors = rng.uniform(0.1, 0.9, (boxes, 4)).astype(np.float32)
    shapes = (1, boxes, 4), (1, boxes, options["num_classes"] + background)
    count = options["max_detections"] * options["max_classes_per_detection"]
    outputs = [real(1, count, 4), real(1, count), real(1, count), real(1)]
    if dtype is F32:
        arrays = [
            rng.normal(0, 1, shapes[0]).astype(np.float32),
            rng.uniform(0, 1, shapes[1]).astype(np.float32),
        ]
        inputs = [Tensor(real(*s)) for s in shapes] + [Tensor(real(boxes, 4), anchors)]
    else:
        arrays = [rng.integers(0, 256, s).astype(np.uint8) for s in shapes]
        scales = [(0.05, 128), (1 / 256, 0)]
        inputs = [Tensor(quantized(s, U8, *q)) for s, q in zip(shapes, scales, strict=True)]
        raw = rng.integers(20, 230, (boxes, 4)).astype(np.uint8)
        inputs.append(Tensor(quantized((boxes, 4), U8, 1 / 256, 0), raw))
    return custom("TFLite_Detection_PostProcess", inputs, outputs, options), arrays


@pytest.mark.parametrize("dtype", [F32, U8], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"background": 0},
        {"use_regular_nms": True},
        {"use_regular_nms": True, "detections_per_class": 2, "max_detections": 5},
        {"max_classes_per_detection": 2},
        {"max_detections": 60, "nms_iou_threshold": 0.2},
        {"nms_score_threshold": 0.99},
        {"boxes": 1, "max_detections": 3},
        {"use_regular_nms": True, "background": 0, "nms_score_threshold": 0.6},
    ],
    ids=str,
)
def test_detection_gives_litert_s_result(dtype: DType, changes: dict[str, Any]) -> None:
    content, arrays = detection(dtype, **changes)
    results, expected = reference(load(content), arrays), run_litert(content, arrays)
    found = int(expected[3][0])
    classes = {**DETECTION, **changes}["max_classes_per_detection"]
    for mine, peer in zip(results[:3], expected, strict=False):
        n = found * (1 if changes.get("use_regular_nms") else classes)
        np.testing.assert_allclose(mine[:, :n], peer[:, :n], rtol=1e-5, atol=1e-6)
        assert mine.shape == peer.shape
        assert not mine[:, n:].any()
    assert results[3] == expected[3]


def test_detection_of_int8_is_that_of_uint8() -> None:
    content, arrays = detection(U8)
    (node,) = load(content).nodes

    def int8(t: TensorType) -> TensorType:
        assert t.quant is not None
        zero = t.quant.zero_point[0] - 128
        return TensorType(t.shape, I8, QParams.per_tensor(t.quant.scale[0], zero))

    anchors = node.inputs[2].data
    assert anchors is not None
    moved = [(a.astype(np.int32) - 128).astype(np.int8) for a in (*arrays, anchors)]
    results = node.op.reference(moved, [int8(t) for t in node.input_types], node.output_types)
    for one, other in zip(results, reference(load(content), arrays), strict=True):
        np.testing.assert_array_equal(one, other)


def test_detection_compiles() -> None:
    content, arrays = detection()
    graph = load(content)
    results = ew.compile(graph)(*arrays)
    for mine, expected in zip(results, reference(graph, arrays), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_an_empty_box_is_refused_when_it_is_decoded() -> None:
    content, arrays = detection()
    arrays[0][0, 0, 2] = np.nan
    arrays[0][0, 1, 2:] = -1e30, 5
    graph = load(content)
    reference(graph, arrays)
    (node,) = graph.nodes
    anchors = -np.ones((80, 4), np.float32)
    with pytest.raises(RunError, match="a decoded box ends before it begins"):
        node.op.reference([*arrays, anchors], node.input_types, node.output_types)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize(("window", "stride"), [(32, 16), (30, 7), (33, 40)])
def test_audio_spectrogram(window: int, stride: int, squared: bool) -> None:
    size = 1 << (window - 1).bit_length()
    out = real(2, 1 + (200 - window) // stride, size // 2 + 1)
    options = {"window_size": window, "stride": stride, "magnitude_squared": squared}
    content = custom("AudioSpectrogram", [Tensor(real(200, 2))], [out], options)
    x = np.random.default_rng(0).normal(0, 1, (200, 2)).astype(np.float32)
    (mine,), (peer,) = reference(load(content), [x]), run_litert(content, [x])
    np.testing.assert_allclose(mine, peer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "filters"), [(20, 4000, 40), (300, 7900, 20), (0, 100, 13)]
)
def test_mfcc(low: int, high: int, filters: int) -> None:
    options = {
        "upper_frequency_limit": high,
        "lower_frequency_limit": low,
        "filterbank_channel_count": filters,
        "dct_coefficient_count": 13,
    }
    inputs = [Tensor(real(2, 3, 257)), Tensor(TensorType((1,), I32), np.array([16000], np.int32))]
    content = custom("Mfcc", inputs, [real(2, 3, 13)], options)
    x = np.random.default_rng(0).uniform(0, 9, (2, 3, 257)).astype(np.float32)
    (mine,), (peer,) = reference(load(content), [x]), run_litert(content, [x])
    np.testing.assert_allclose(mine, peer, rtol=1e-5, atol=1e-5)


def test_mfcc_needs_a_sample_rate_that_reaches_its_frequencies() -> None:
    op = ew.ops.Mfcc(4000, 20, 40, 13)
    types = [real(1, 1, 33), TensorType((1,), I32)]
    with pytest.raises(RunError, match="Mfcc: sample rate 7000; it must be more than 7757"):
        op.check_values([None, np.array([7000], np.int32)], types)


SAME, VALID = 1, 2


def pool_struct(padding: int, stride: Sequence[int], window: Sequence[int], *more: int) -> bytes:
    (sh, sw), (kh, kw) = stride, window
    return struct.pack(f"<{5 + len(more)}i", padding, sw, sh, kw, kh, *more)


@pytest.mark.parametrize(
    ("padding", "stride", "window", "shape"),
    [
        (SAME, (2, 2), (2, 2), (4, 3)),
        (SAME, (2, 3), (3, 2), (4, 2)),
        (VALID, (2, 1), (3, 2), (3, 4)),
        (SAME, (1, 1), (3, 3), (7, 5)),
    ],
)
def test_max_pooling_with_argmax(
    padding: int, stride: tuple[int, int], window: tuple[int, int], shape: tuple[int, int]
) -> None:
    out = real(2, *shape, 3)
    options = pool_struct(padding, stride, window, 0)
    graph = load(custom("MaxPoolingWithArgmax2D", [Tensor(real(2, 7, 5, 3))], [out, out], options))
    x = np.random.default_rng(0).normal(0, 1, (2, 7, 5, 3)).astype(np.float32)
    found = reference(graph, [x])
    top = max((shape[0] - 1) * stride[0] + window[0] - 7, 0) // 2 if padding == SAME else 0
    left = max((shape[1] - 1) * stride[1] + window[1] - 5, 0) // 2 if padding == SAME else 0
    for n, y, z, c in np.ndindex(2, *shape, 3):
        best = (-np.inf, 0)
        for k in range(window[0] * window[1]):
            row = y * stride[0] - top + k // window[1]
            col = z * stride[1] - left + k % window[1]
            if 0 <= row < 7 and 0 <= col < 5 and x[n, row, col, c] > best[0]:
                best = (x[n, row, col, c], k)
        assert found[0][n, y, z, c] == best[0]
        assert found[1][n, y, z, c] == np.float32(best[1] + np.float32(0.1))


def test_unpooling_is_the_inverse_of_pooling() -> None:
    options = pool_struct(SAME, (2, 3), (2, 3), 0)
    pooled, whole = real(1, 3, 2, 4), real(1, 6, 6, 4)
    pool = load(custom("MaxPoolingWithArgmax2D", [Tensor(whole)], [pooled, pooled], options))
    unpool = load(custom("MaxUnpooling2D", [Tensor(pooled), Tensor(pooled)], [whole], options))
    x = np.random.default_rng(0).normal(0, 1, whole.shape).astype(np.float32)
    values, places = reference(pool, [x])
    (back,) = reference(unpool, [values, places])
    assert np.count_nonzero(back) == values.size
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    (again,) = reference(unpool, [values, np.full_like(places, np.nan)])
    assert not again.any()
    outside = places.copy()
    outside[0, -1, -1] = 1e9
    (left_out,) = reference(unpool, [values, outside])
    assert np.count_nonzero(left_out) == values.size - 4


@pytest.mark.parametrize(
    ("padding", "size", "out"),
    [(SAME, (4, 3), (8, 9)), (VALID, (4, 3), (9, 9)), (SAME, (5, 1), (9, 1))],
)
def test_convolution_2d_transpose_bias(
    padding: int, size: tuple[int, int], out: tuple[int, int]
) -> None:
    """The kernel has 3x3 taps, the strides are 2 and 3."""
    rng = np.random.default_rng(0)
    x, w = real(1, *size, 2), rng.normal(0, 1, (4, 3, 3, 2)).astype(np.float32)
    b = rng.normal(0, 1, 4).astype(np.float32)
    inputs = [Tensor(x), Tensor(real(4, 3, 3, 2), w), Tensor(real(4), b)]
    options = struct.pack("<iii", padding, 3, 2)
    graph = load(custom("Convolution2DTransposeBias", inputs, [real(1, *out, 4)], options))
    data = rng.normal(0, 1, x.shape).astype(np.float32)
    (found,) = reference(graph, [data])
    tall, wide = 2 * (size[0] - 1) + 3, 3 * (size[1] - 1) + 3
    full = np.zeros((tall, wide, 4))
    for y, z in np.ndindex(*size):
        full[2 * y : 2 * y + 3, 3 * z : 3 * z + 3] += np.einsum("oijc,c->ijo", w, data[0, y, z])
    top, left = (tall - out[0]) // 2, (wide - out[1]) // 2
    expected = full[top : top + out[0], left : left + out[1]] + b
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def matrix(rows: Sequence[Sequence[float]]) -> Array:
    y = np.eye(4, dtype=np.float32)
    y[:2] = rows
    return y[None]


def test_transform_tensor_bilinear_by_whole_pixels() -> None:
    """Turned by a right angle about the centres of pixels, and moved by a pixel."""
    inputs = [Tensor(real(1, 4, 4, 2)), Tensor(real(1, 4, 4))]
    options = {"output_height": 4, "output_width": 4}
    graph = load(custom("TransformTensorBilinear", inputs, [real(1, 4, 4, 2)], options))
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 4, 2)).astype(np.float32)
    (y,) = reference(graph, [x, matrix([[0, -1, 0, 4], [1, 0, 0, 0]])])
    np.testing.assert_allclose(y[0], np.rot90(x[0], 1, (0, 1)), atol=1e-6)
    (y,) = reference(graph, [x, matrix([[1, 0, 0, 1], [0, 1, 0, 0]])])
    np.testing.assert_allclose(y[0, :, :3], x[0, :, 1:], atol=1e-6)
    assert not y[0, :, 3].any()


def test_transform_tensor_bilinear_between_pixels() -> None:
    inputs = [Tensor(real(1, 5, 6, 1)), Tensor(real(1, 4, 4))]
    options = {"output_height": 3, "output_width": 7}
    graph = load(custom("TransformTensorBilinear", inputs, [real(1, 3, 7, 1)], options))
    x = np.random.default_rng(0).normal(0, 1, (1, 5, 6, 1)).astype(np.float32)
    rows = [[0.7, 0.3, 0, 0.4], [-0.2, 0.9, 0, 1.1]]
    (y,) = reference(graph, [x, matrix(rows)])
    for i, j in np.ndindex(3, 7):
        column, row = (r[0] * (j + 0.5) + r[1] * (i + 0.5) + r[3] - 0.5 for r in rows)
        expected = 0.0
        if 0 <= column <= 5 and 0 <= row <= 4:
            for a, b in np.ndindex(5, 6):
                share = max(0, 1 - abs(a - row)) * max(0, 1 - abs(b - column))
                expected += share * x[0, a, b, 0]
        assert abs(y[0, i, j, 0] - expected) < 1e-5


@pytest.mark.parametrize("numbers", [2, 3])
def test_transform_landmarks(numbers: int) -> None:
    points = real(1, 5, numbers)
    graph = load(custom("TransformLandmarks", [Tensor(points), Tensor(real(1, 4, 4))], [points]))
    x = np.random.default_rng(0).normal(0, 1, points.shape).astype(np.float32)
    (y,) = reference(graph, [x, matrix([[2, 1, 9, 3], [0, -1, 9, 5]])])
    np.testing.assert_allclose(y[..., 0], 2 * x[..., 0] + x[..., 1] + 3, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(y[..., 1], 5 - x[..., 1], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(y[..., 2:], x[..., 2:])


def box(**changes: Any) -> bytes:
    """Landmarks2TransformMatrix of 6 points."""
    options = {
        "left_rotation_idx": 0,
        "right_rotation_idx": 1,
        "target_rotation_radians": 0.5,
        "output_height": 20,
        "output_width": 40,
        "scale_x": 1.5,
        "scale_y": 2.0,
        "subset_idxs": [0, 1, 2, 3],
        **changes,
    }
    points = Tensor(real(1, 6, 3))
    return custom("Landmarks2TransformMatrix", [points], [real(1, 4, 4)], options)


def test_landmarks_to_transform_matrix() -> None:
    """The matrix leads the output's middle to the box's, and its edges as far as the scale says."""
    x = np.random.default_rng(0).normal(0, 9, (1, 6, 3)).astype(np.float32)
    (y,) = reference(load(box()), [x])
    across, down = (x[0, 1] - x[0, 0])[:2]
    angle = 0.5 - np.arctan2(down, across)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = x[0, :4, :2] @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    for corner in ([0, 0], [40, 0], [40, 20], [20, 10]):
        place = (y[0] @ [*corner, 0, 1])[:2] @ turn.T
        share = np.array(corner) / [40, 20] - 0.5
        expected = (low + high) / 2 + share * (high - low) * [1.5, 2.0]
        np.testing.assert_allclose(place, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(y[0, 2:], [[0, 0, 1, 0], [0, 0, 0, 1]])


def scaled(x: Array, factor: float = 1.0, repeat: int = 1) -> Array:
    return np.concatenate([x * np.float32(factor)] * repeat)


def scaled_type(x: TensorType, factor: float = 1.0, repeat: int = 1) -> TensorType:
    return TensorType((x.shape[0] * repeat,), x.dtype)


@pytest.fixture
def registry() -> Iterator[None]:
    """What the test registers is forgotten after it."""
    kept = dict(tflite_ops.CUSTOM)
    yield
    tflite_ops.CUSTOM.clear()
    tflite_ops.CUSTOM.update(kept)
    REGISTERED.clear()


def scaling(options: Mapping[str, Any] | bytes = b"", out: int = 6) -> bytes:
    return custom("Scaled", [Tensor(real(3))], [real(out)], options)


def test_a_function_becomes_an_operator(registry: None) -> None:
    with pytest.raises(ew.UnsupportedError, match="Scaled"):
        load(scaling())
    ew.register_custom("Scaled", scaled, infer=scaled_type)
    content = scaling({"factor": 0.5, "repeat": 2})
    x = np.array([1, 2, 3], np.float32)
    program = ew.compile(ew.load(content))
    np.testing.assert_array_equal(program(x), [0.5, 1, 1.5] * 2)
    assert "Scaled" in str(program.graph)
    np.testing.assert_array_equal(ew.compile(ew.load(scaling(b"", 3)))(x), x)


def test_options_may_be_read_from_bytes(registry: None) -> None:
    def read(data: bytes) -> Mapping[str, Any]:
        return {"repeat": data[0]}

    ew.register_custom("Scaled", scaled, infer=scaled_type, read=read)
    np.testing.assert_array_equal(
        ew.compile(ew.load(scaling(b"\2")))(np.ones(3, np.float32)), np.ones(6)
    )


@dataclass(frozen=True, eq=False, repr=False)
class Doubled(Op):
    name: ClassVar[str] = "Doubled"

    times: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        return (inputs[0],)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [arrays[0] * np.float32(2**self.times)]


def test_a_class_becomes_an_operator_with_kernels(registry: None) -> None:
    lowered = []

    def lower(ctx: Any, node: Any) -> None:
        from edgewise.plan.context import NoKernelError

        lowered.append(node.op)
        raise NoKernelError("none today")

    assert ew.register_custom("Scaled", Doubled, lowering=lower) is Doubled
    program = ew.compile(ew.load(scaling({"times": 3}, 3)))
    np.testing.assert_array_equal(program(np.ones(3, np.float32)), [8, 8, 8])
    assert lowered == [Doubled(3)]
    with pytest.raises(ModelError, match="options \\['sizes'\\]; its class has no such"):
        load(scaling({"sizes": 3}, 3))


def test_what_a_function_gives_must_be_what_it_infers(registry: None) -> None:
    def wrong(x: Array) -> Array:
        return x.astype(np.float64)

    ew.register_custom("Scaled", wrong, infer=lambda x: x)
    program = ew.compile(ew.load(scaling(b"", 3)))
    with pytest.raises(RunError, match=r"gives float64\[3\]; its inference says float32\[3\]"):
        program(np.ones(3, np.float32))


def test_what_cannot_be_registered() -> None:
    for operator, more, rule in (
        (scaled, {}, "a function needs infer="),
        (scaled, {"infer": scaled_type, "lowering": print}, "a function has no lowering"),
        (Doubled, {"infer": scaled_type}, "a class infers by its own method"),
    ):
        with pytest.raises(InputError, match=rule):
            ew.register_custom("Scaled", operator, **more)  # type: ignore[arg-type]


def test_a_registration_changes_what_a_file_is(registry: None) -> None:
    """Compiled networks are kept on disk; those with a user's operators are not found again."""
    content = custom("MaxUnpooling2D", [Tensor(real(1, 1, 1, 1))] * 1, [real(1)])
    ew.register_custom("MaxUnpooling2D", lambda x: x[0, 0, 0], infer=lambda x: real(1))
    first = load(content).digest
    ew.register_custom("MaxUnpooling2D", lambda x: -x[0, 0, 0], infer=lambda x: real(1))
    assert load(content).digest != first


VALUES: list[Any] = [
    {"a": 1, "b": -5, "c": 2.5, "d": "text", "e": True, "f": None},
    {"nested": {"x": [1, 2, 300], "y": ["p", "q"], "z": [1, "a", 2.0, None]}},
    {"big": 2**40, "negative": -(2**50), "blob": b"\1\2\3", "empty": {}, "none": []},
    [1.5, 2.5],
    7,
    "text",
]


def plain(value: Any) -> Any:
    """As the reader gives it: tuples in place of lists."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return tuple(map(plain, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_flexbuffers(value: Any) -> None:
    assert read_flexbuffer(bytes(flexbuffers.Dumps(value)), "it") == plain(value)


def vectors(build: Callable[[Any], Any]) -> bytes:
    builder = flexbuffers.Builder()
    build(builder)
    return bytes(builder.Finish())


def test_other_vectors_of_flexbuffers() -> None:
    for values in ([1, 2, 3], [1, -2, 30000, 4], [0.5, 2.0]):
        data = vectors(lambda b, v=values: b.FixedTypedVectorFromElements(v))
        assert read_flexbuffer(data, "it") == tuple(values)
    data = vectors(lambda b: b.TypedVectorFromElements([True, False, True]))
    assert read_flexbuffer(data, "it") == (True, False, True)

    def indirect(b: Any) -> None:
        with b.Vector():
            b.IndirectInt(-7)
            b.IndirectUInt(2**40)
            b.IndirectFloat(1.5)
            b.Key("key")

    assert read_flexbuffer(vectors(indirect), "it") == (-7, 2**40, 1.5, "key")


def test_mutated_flexbuffers_are_read_or_refused() -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(20000):
        data = bytearray(flexbuffers.Dumps(VALUES[i % len(VALUES)]))
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        data = data[int(rng.integers(2)) * int(rng.integers(len(data))) :]
        try:
            read_flexbuffer(bytes(data), "operator 0")
        except ModelError:
            refused += 1
    assert 4000 < refused < 18000


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "it has at least 3"),
        (b"\0\4\3", "numbers of 3 bytes"),
        (b"\0\xa8\1", "a value of type 42"),
        (b"\5\x14\1", "points to byte -5"),
        (b"\1a\1\x10\1", "a key at byte 1 that"),
        (b"\x09\0\x01\x14\1", "elements at byte"),
    ],
)
def test_broken_flexbuffers(data: bytes, rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        read_flexbuffer(data, "it")


def pooling(options: bytes) -> bytes:
    return custom("MaxPoolingWithArgmax2D", [Tensor(real(1, 2, 2, 1))], [real(1)] * 2, options)


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "options": (
        lambda: detection()[0].replace(b"num_classes", b"mun_classes"),
        "option 'num_classes' is missing, or no number",
    ),
    "a list": (
        lambda: custom("Mfcc", [Tensor(real(1, 1, 5)), ints(1)], [real(1)], b"\1\4\1"),
        "its options are no map, but int",
    ),
    "classes": (lambda: detection(background=2)[0], "5 scores a box for 3 classes"),
    "threshold": (lambda: detection(nms_iou_threshold=1.5)[0], "iou_threshold 1.5"),
    "scale": (lambda: detection(y_scale=0.0)[0], "it cannot be 0"),
    "huge": (lambda: detection(nms_iou_threshold=1e30)[0], "below 2\\*\\*31"),
    "padding": (
        lambda: custom(
            "MaxPoolingWithArgmax2D",
            [Tensor(real(1, 2, 2, 1))],
            [real(1)] * 2,
            pool_struct(0, (1, 1), (1, 1), 0),
        ),
        "padding 0; it is 1",
    ),
    "short": (
        lambda: custom(
            "MaxUnpooling2D",
            [Tensor(real(1, 1, 1, 1)), Tensor(real(1, 1, 1, 1))],
            [real(1)],
            b"\1\0\0\0",
        ),
        "4 bytes of options; at least 20",
    ),
    "strides": (
        lambda: custom(
            "MaxPoolingWithArgmax2D",
            [Tensor(real(1, 2, 2, 1))],
            [real(1)] * 2,
            pool_struct(1, (0, 1), (1, 1), 0),
        ),
        "strides and windows",
    ),
    "activation": (
        lambda: custom(
            "MaxPoolingWithArgmax2D",
            [Tensor(real(1, 2, 2, 1))],
            [real(1)] * 2,
            pool_struct(1, (1, 1), (1, 1), 4),
        ),
        "fused activation 4",
    ),
    "window": (
        lambda: custom(
            "AudioSpectrogram", [Tensor(real(9, 1))], [real(1)], {"window_size": 10, "stride": 1}
        ),
        "windows of 10 every 1 of 9 samples",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_options(name: str) -> None:
    make, rule = BROKEN[name]
    with pytest.raises(ModelError, match=rule):
        load(make())
