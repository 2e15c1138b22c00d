"""Constants that files store in ways that numpy has not: sparse, packed, bfloat16, strings."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as litert_schema
from tflite_files import edit, quantized, real

from edgewise.dtype import DType, QParams
from edgewise.errors import ModelError, UnsupportedError
from edgewise.graph import Array, TensorType
from edgewise.importers import load
from tflite_builder import Operator, Tensor, build, run_litert, single
from tflite_networks import sparse_weights, stored_sparse

BLOCKS: dict[str, tuple[Sequence[int], Sequence[int], Sequence[int]]] = {
    "rows": ((0, 1), (), ()),
    "columns": ((1, 0), (), ()),
    "blocks of four": ((0, 1, 2), (1,), (4,)),
    "square blocks": ((0, 1, 2, 3), (0, 1), (2, 4)),
}
"""Traversal order, block map, sizes of the blocks."""


def sum_with(w: Tensor, shape: tuple[int, ...]) -> bytes:
    """x + DENSIFY(w)"""
    x, dense = Tensor(real(*shape), name="x"), Tensor(real(*shape))
    y = Tensor(real(*shape), name="y")
    operators = [
        Operator("DENSIFY", [w], [dense], "DensifyOptions"),
        Operator("ADD", [x, dense], [y], "AddOptions"),
    ]
    return build(operators, [x], [y])


class TestSparse:
    @pytest.mark.parametrize("name", BLOCKS)
    @pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
    @pytest.mark.parametrize("width", [1, 2, 3])
    def test_as_litert(self, name: str, share: float, width: int) -> None:
        order, blocked, blocks = BLOCKS[name]
        sizes = dict(zip(blocked, blocks, strict=True))
        dense = sparse_weights((6, 8), [sizes.get(axis, 1) for axis in range(2)], share)
        w = Tensor(TensorType(dense.shape, DType.FLOAT32), dense)
        content = stored_sparse(sum_with(w, dense.shape), 0, dense, order, blocked, blocks, width)
        graph = load(content)
        (node,) = graph.nodes
        np.testing.assert_array_equal(node.inputs[1].data, dense)
        if share:
            x = np.ones(dense.shape, np.float32)
            np.testing.assert_array_equal(run_litert(content, [x])[0], x + dense)

    def test_of_three_dimensions_all_compressed(self) -> None:
        dense = sparse_weights((3, 4, 5), (1, 1, 1), 0.3)
        w = Tensor(TensorType(dense.shape, DType.FLOAT32), dense)
        content = stored_sparse(
            sum_with(w, dense.shape), 0, dense, (2, 0, 1), (), (), 1, compressed=(1, 2)
        )
        np.testing.assert_array_equal(load(content).nodes[0].inputs[1].data, dense)

    CHANGES: ClassVar[dict[str, tuple[Callable[[Any], object], str]]] = {
        "order": (lambda s: setattr(s, "traversalOrder", [0, 0]), "traversal order .*must order"),
        "block map": (
            lambda s: vars(s).update(blockMap=[3], traversalOrder=[0, 1, 2]),
            "traversal order|block map",
        ),
        "dense size": (lambda s: setattr(s.dimMetadata[0], "denseSize", 5), "dimension of 5 where"),
        "format": (lambda s: setattr(s.dimMetadata[0], "format", 7), "format 7; it is 0"),
        "no indices": (
            lambda s: setattr(s.dimMetadata[1], "arrayIndices", None),
            "indices of type",
        ),
        "index": (
            lambda s: vars(s.dimMetadata[1].arrayIndices).update(values=[9] * 99),
            "an index outside",
        ),
        "segments": (
            lambda s: vars(s.dimMetadata[1].arraySegments).update(values=[0, 99, 0, 0, 0, 0, 0]),
            "its segments do not ascend",
        ),
        "few segments": (
            lambda s: vars(s.dimMetadata[1].arraySegments).update(values=[0, 1]),
            "2 segments for 6 rows",
        ),
    }

    @pytest.mark.parametrize("name", CHANGES)
    def test_broken(self, name: str) -> None:
        change, message = self.CHANGES[name]
        dense = sparse_weights((6, 8), (1, 1), 0.3)
        w = Tensor(TensorType(dense.shape, DType.FLOAT32), dense)
        content = stored_sparse(sum_with(w, dense.shape), 0, dense, (0, 1), (), (), 1)
        with pytest.raises(ModelError, match=message):
            load(edit(content, lambda m: change(m.subgraphs[0].tensors[0].sparsity)))

    def test_number_of_values(self) -> None:
        dense = sparse_weights((6, 8), (1, 1), 0.3)
        w = Tensor(TensorType(dense.shape, DType.FLOAT32), dense)
        content = stored_sparse(sum_with(w, dense.shape), 0, dense, (0, 1), (), (), 1)
        with pytest.raises(ModelError, match=r"buffer 1 has 4 bytes; float32\[6, 8\] needs"):
            load(edit(content, lambda m: setattr(m.buffers[1], "data", [0, 0, 0, 0])))

    def test_blocks_that_do_not_divide(self) -> None:
        dense = sparse_weights((6, 8), (1, 4), 0.3)
        w = Tensor(TensorType(dense.shape, DType.FLOAT32), dense)
        content = stored_sparse(sum_with(w, dense.shape), 0, dense, (0, 1, 2), (1,), (4,), 1)
        with pytest.raises(ModelError, match=r"blocks .* do not divide its shape \[6, 9\]"):
            load(edit(content, lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [6, 9])))

    def test_huge(self) -> None:
        dense = sparse_weights((6, 8), (1, 1), 0.3)
        w = Tensor(TensorType(dense.shape, DType.FLOAT32), dense)
        content = stored_sparse(sum_with(w, dense.shape), 0, dense, (0, 1), (), (), 1)
        with pytest.raises(UnsupportedError, match="elements stored sparse; at most"):
            load(edit(content, lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [2**14] * 2)))


class TestPacked:
    @pytest.mark.parametrize(("code", "bits"), [(17, 4), (19, 2)])
    @pytest.mark.parametrize("count", [8, 7, 1])
    def test_integers(self, code: int, bits: int, count: int) -> None:
        """The first element lies in the lowest bits."""
        least = -(1 << bits - 1)
        values = (np.arange(count) % (1 << bits) + least).astype(np.int8)
        x = Tensor(quantized((count,)))
        w = Tensor(quantized((count,), scale=0.5, zero=0), values)
        content = single("ADD", [x, w], [quantized((count,))], "AddOptions")
        fields = [int(v) & (1 << bits) - 1 for v in values]
        per = 8 // bits
        packed = [
            sum(v << bits * i for i, v in enumerate(fields[at : at + per]))
            for at in range(0, count, per)
        ]

        def change(model: Any) -> None:
            model.subgraphs[0].tensors[1].type = code
            model.buffers[1].data = packed

        found = load(edit(content, change)).nodes[0].inputs[1]
        assert found.type.dtype is DType.INT8
        np.testing.assert_array_equal(found.data, values)
        if count > 1:
            with pytest.raises(ModelError, match=r"has .* bytes; .* needs"):
                load(edit(content, lambda m: setattr(m.subgraphs[0].tensors[1], "type", code)))

    def test_fully_connected_of_int4_as_litert(self) -> None:
        rng = np.random.default_rng(0)
        values = rng.integers(-7, 8, (6, 16)).astype(np.int8)
        scales = QParams(
            tuple(map(float, rng.uniform(0.01, 0.1, 6).astype(np.float32))), (0,) * 6, 0, 4
        )
        w = Tensor(TensorType(values.shape, DType.INT8, scales), values)
        x = Tensor(real(3, 16))
        content = single("FULLY_CONNECTED", [x, w], [real(3, 6)], "FullyConnectedOptions")
        flat = values.reshape(-1)
        packed = [
            int(a) & 15 | (int(b) & 15) << 4 for a, b in zip(flat[::2], flat[1::2], strict=True)
        ]

        def change(model: Any) -> None:
            model.subgraphs[0].tensors[1].type = 17
            model.buffers[1].data = packed

        (node,) = load(edit(content, change)).nodes
        np.testing.assert_array_equal(node.inputs[1].data, values)
        assert node.inputs[1].type.quant == scales


def test_bfloat16() -> None:
    values = np.array([1.0, -2.5, 3e38, 0.0], np.float32)
    content = single("ADD", [Tensor(real(4)), Tensor(real(4), values)], [real(4)], "AddOptions")
    halves = (values.view(np.uint32) >> 16).astype("<u2")

    def change(model: Any) -> None:
        model.subgraphs[0].tensors[1].type = litert_schema.TensorType.BFLOAT16
        model.buffers[1].data = list(halves.tobytes())

    found = load(edit(content, change)).nodes[0].inputs[1]
    expected = (halves.astype(np.uint32) << 16).view(np.float32)
    assert found.type == TensorType((4,), DType.FLOAT32)
    np.testing.assert_array_equal(found.data, expected)


def strings(data: bytes) -> Array | None:
    """The constant string tensor of two elements that ``data`` holds."""
    t = TensorType((2,), DType.STRING)
    w = Tensor(t, np.array([b"a", b"b"], object))
    x = Tensor(t, name="x")
    content = single(
        "CONCATENATION", [x, w], [TensorType((4,), DType.STRING)], "ConcatenationOptions"
    )
    graph = load(edit(content, lambda m: setattr(m.buffers[1], "data", list(data))))
    (node,) = graph.nodes
    (found,) = node.op.reference([np.array([b"x", b"y"], object)], node.input_types, ())
    return found


def test_strings() -> None:
    data = struct.pack("<4i", 2, 16, 19, 19) + b"one"
    assert strings(data)[2:].tolist() == [b"one", b""]  # type: ignore[index]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<4i", 3, 16, 17, 18) + b"ab", "does not hold 2 strings"),
        (struct.pack("<2i", 2, 16), "does not hold 2 strings"),
        (struct.pack("<4i", 2, 16, 15, 18) + b"ab", "do not lie in order"),
        (struct.pack("<4i", 2, 16, 17, 99) + b"ab", "do not lie in order"),
        (struct.pack("<4i", 2, 0, 17, 18) + b"ab", "do not lie in order"),
    ],
)
def test_broken_strings(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        strings(data)


def test_tensors_without_elements_are_constants() -> None:
    x, empty = Tensor(real(2, 3), name="x"), Tensor(real(0, 3))
    content = single("CONCATENATION", [empty, x], [real(2, 3)], "ConcatenationOptions")
    content = edit(content, lambda m: setattr(m.subgraphs[0], "inputs", [1]))
    graph = load(content)
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    ((_, (found,)),) = graph.reference({graph.inputs[0]: data})
    np.testing.assert_array_equal(found, data)
