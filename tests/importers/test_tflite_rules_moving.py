"""Rules of operators that move, select and count: a file that breaks one is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from moving_cases import CASES, given, plain
from tflite_files import F32, I32, ints, real

from edgewise.dtype import DType
from edgewise.errors import ModelError
from edgewise.graph import TensorType
from edgewise.importers import load
from tflite_builder import Tensor, single

I64 = DType.INT64


def file(builtin: str, inputs: list[Any], out: TensorType, *opts: Any, **fields: Any) -> bytes:
    return single(builtin, inputs, [out], *opts, **fields)


X = Tensor(real(3, 4))

FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "mode": (
        lambda: file("MIRROR_PAD", [X, ints([[0, 0]] * 2)], real(3, 4), "MirrorPadOptions", Mode=2),
        "mode 2; it is 0 .REFLECT. or 1",
    ),
    "reflection": (
        lambda: file("MIRROR_PAD", [X, ints([[3, 0], [0, 0]])], real(6, 4), "MirrorPadOptions"),
        r"padding \(3, 0\) along axis 0; each is 0 to 2",
    ),
    "new axis": (lambda: file("EXPAND_DIMS", [X, ints(4)], real(3, 4, 1)), "axis 4; it must be"),
    "slice": (
        lambda: file("SLICE", [X, ints(2, 0), ints(2, 4)], real(2, 4)),
        "elements 2 to 3 of axis 0; it has 3",
    ),
    "slice of too few axes": (
        lambda: file("SLICE", [X, ints([1]), ints([2])], real(2, 4)),
        "input 1 has 1 elements; it must have 2",
    ),
    "parts": (
        lambda: single(
            "SPLIT_V", [X, ints(1, 1), ints(0)], [real(1, 4)] * 2, "SplitVOptions", NumSplits=2
        ),
        "they must sum to 3",
    ),
    "number of parts": (
        lambda: single(
            "SPLIT_V", [X, ints(1, 2), ints(0)], [real(1, 4)], "SplitVOptions", NumSplits=2
        ),
        "1 outputs; it must have 2",
    ),
    "broadcast": (
        lambda: file("BROADCAST_TO", [X, ints(2, 3)], real(2, 3)),
        r"shape \[3, 4\] into \[2, 3\]",
    ),
    "block": (
        lambda: file("SPACE_TO_DEPTH", [Tensor(real(1, 3, 2, 1))], real(1), "SpaceToDepthOptions"),
        "block 0; it must be at least 1",
    ),
    "crops": (
        lambda: file("BATCH_TO_SPACE_ND", [X, ints([3]), ints([0])], real(1, 12)),
        "input 2 has 1 elements; it must have 2",
    ),
    "constant index": (
        lambda: file("GATHER", [X, ints(0, 3)], real(2, 4), "GatherOptions"),
        "GATHER: index 3; it must be at least 0, below 3",
    ),
    "constant id": (
        lambda: file("EMBEDDING_LOOKUP", [ints([-1]), X], real(1, 4)),
        "EMBEDDING_LOOKUP: id -1",
    ),
    "constant place": (
        lambda: file("SCATTER_ND", [ints([[2]]), Tensor(real(1)), ints([2])], real(2)),
        "SCATTER_ND: index of axis 0 2",
    ),
    "constant lengths": (
        lambda: file(
            "REVERSE_SEQUENCE",
            [X, ints(1, 2, 5)],
            real(3, 4),
            "ReverseSequenceOptions",
            SeqDim=1,
        ),
        "REVERSE_SEQUENCE: length 5",
    ),
    "constant segments": (
        lambda: file("SEGMENT_SUM", [X, ints(1, 0, 2)], real(3, 4)),
        r"ids \[1, 0, 2\]; they ascend",
    ),
    "batches": (
        lambda: file("GATHER", [X, ints([1])], real(1), "GatherOptions", Axis=1, BatchDims=1),
        r"batches \[3\] and \[1\]",
    ),
    "depth": (
        lambda: file(
            "ONE_HOT", [ints(1), ints(-1), given(F32, 1), given(F32, 0)], real(1), "OneHotOptions"
        ),
        "no dimension is negative",
    ),
    "k": (
        lambda: single("TOPK_V2", [X, ints(5)], [real(3, 5), plain(I32, 3, 5)]),
        "k 5; it is 0 to 4",
    ),
    "outputs of top k": (
        lambda: single("TOPK_V2", [X, ints(1)], [real(3, 1)]),
        "1 outputs; it must have 2",
    ),
    "range": (
        lambda: file("RANGE", [ints(0), ints(3), ints(0)], plain(I32, 3)),
        "from 0 to 3 by 0",
    ),
    "huge range": (
        lambda: file("RANGE", [given(F32, 0), given(F32, 1e30), given(F32, 1)], real(3)),
        "elements; at most",
    ),
    "shapes": (
        lambda: file("BROADCAST_ARGS", [ints(2, 3), ints(3, 3)], plain(I32, 2)),
        "are 1 or equal",
    ),
    "boundaries": (
        lambda: file(
            "BUCKETIZE",
            [X],
            plain(I32, 3, 4),
            "BucketizeOptions",
            Boundaries=np.array([1, 0], np.float32),
        ),
        "they ascend",
    ),
    "type of projection": (
        lambda: file(
            "LSH_PROJECTION", [X, Tensor(real(2))], plain(I32, 3), "LSHProjectionOptions", Type=0
        ),
        "type 0; it is 1 .SPARSE. or 2",
    ),
    "combiner": (
        lambda: CASES["embedding lookup sparse"]._replace(fields={"Combiner": 3}).file(),
        r"combiner 3; it is one of \[0, 1, 2\]",
    ),
    "length of the transform": (
        lambda: file("RFFT2D", [X, ints(3, 4)], plain(DType.COMPLEX64, 3, 3)),
        "length 3; it must be a power of 2",
    ),
    "boxes": (
        lambda: single(
            "NON_MAX_SUPPRESSION_V4",
            [X, Tensor(real(3)), ints(-1), given(F32, 0), given(F32, 0)],
            [plain(I32, 1), plain(I32)],
        ),
        "no dimension is negative",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_refused(name: str) -> None:
    make, rule = FILES[name]
    with pytest.raises(ModelError, match=rule):
        load(make())


def test_outputs_of_no_elements() -> None:
    """Nothing is selected: every size but the selected one stays."""
    for builtin, operands, shape in (
        ("SLICE", [ints(1, 0), ints(0, 4)], (0, 4)),
        ("GATHER", [given(I64, np.zeros((0,)))], (0, 4)),
        ("TILE", [ints(1, 0)], (3, 0)),
    ):
        graph = load(file(builtin, [X, *operands], real(*shape)))
        assert graph.outputs[0].type.shape == shape
