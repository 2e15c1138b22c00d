"""Operators of ONNX that scatter, and that choose elements or boxes by their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .arrange import check_indices_type, check_range
from .base import Op
from .checks import check_axis, check_inputs, check_rank, moved
from .detection import Overlaps
from .stablehlo import Computation


@dataclass(frozen=True, eq=False, repr=False)
class ScatterRows(Op):
    """x with rows of updates combined, in order, into the rows that indices name.

    The operands are x[N, ...], indices[M] (int32 or int64) and updates[M, ...]. ONNX's ScatterND
    and ScatterElements are made of it.
    """

    name: ClassVar[str] = "ScatterND"
    either_sign: ClassVar[bool] = False

    computation: Computation = Computation.UPDATE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        x, indices, updates = inputs
        check_axis(self, 0, len(x.shape))
        check_indices_type(self, indices, "indices")
        check_rank(self, indices, 1, "indices")
        wanted = (*indices.shape, *x.shape[1:])
        self.require(
            (updates.shape, updates.dtype) == (wanted, x.dtype),
            f"updates are {updates}; they must be {x.dtype}{list(wanted)}",
        )
        plain = self.computation is Computation.UPDATE
        numeric = x.dtype.is_float or x.dtype.is_integer
        self.require(plain or numeric, f"{self.computation.value} of {x.dtype}; it needs numbers")
        return (moved(self, x, x.shape),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_range(self, arrays[1], inputs[0].shape[0], "index")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, indices, updates = arrays
        self.check_values(arrays, inputs)
        y = x.copy()
        if self.computation is Computation.UPDATE:
            y[indices] = updates
        else:
            self.computation.function.at(y, indices, updates)
        return [y]


@dataclass(frozen=True, eq=False, repr=False)
class UniqueSlices(Op):
    """The distinct slices of x along ``axis``, or its distinct elements: ONNX's Unique.

    In ascending order, or else in that of their first appearance. The outputs are the slices, and
    int64: where each appears first, which of them each slice of x is, and how often it appears.
    """

    name: ClassVar[str] = "Unique"

    axis: int | None = None
    sorted: bool = True

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        shape, count = [-1], x.size
        if self.axis is not None:
            check_axis(self, self.axis, len(x.shape))
            shape, count = list(x.shape), x.shape[self.axis]
            shape[self.axis] = -1
        few, all_ = TensorType((-1,), DType.INT64), TensorType((count,), DType.INT64)
        return TensorType(tuple(shape), x.dtype, x.quant), few, all_, few

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        _, first, inverse, counts = np.unique(
            x, return_index=True, return_inverse=True, return_counts=True, axis=self.axis
        )
        order = np.arange(len(first)) if self.sorted else np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        y = x.reshape(-1) if self.axis is None else x
        chosen = np.take(y, first[order], axis=self.axis or 0)
        places = (first[order], place[inverse.reshape(-1)], counts[order])
        return [chosen, *(p.astype(np.int64) for p in places)]


@dataclass(frozen=True, eq=False, repr=False)
class NonMaxSuppression(Op):
    """(batch, class, box) of boxes that overlap none of higher score: ONNX's operator.

    The operands are float32 boxes[B, N, 4], (y1, x1, y2, x2) or, with ``centered``, (x, y, width,
    height), and scores[B, classes, N]. Of each batch and class at most ``most`` are chosen, of
    scores above ``score_threshold``; ones that overlap by more than ``iou_threshold`` are left
    out. The result is int64[count, 3].
    """

    name: ClassVar[str] = "NonMaxSuppression"

    most: int = 0
    iou_threshold: float = 0.0
    score_threshold: float | None = None
    centered: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        boxes, scores = inputs
        for t, what in zip(inputs, ("boxes", "scores"), strict=True):
            check_rank(self, t, 3, what)
            self.require(t.dtype is DType.FLOAT32, f"{what} are {t.dtype}; they must be float32")
        self.require(
            boxes.shape[2] == 4 and boxes.shape[:2] == (scores.shape[0], scores.shape[2]),
            f"boxes {list(boxes.shape)}, scores {list(scores.shape)}; [B, N, 4], [B, classes, N]",
        )
        return (TensorType((-1, 3), DType.INT64),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        boxes, scores = arrays
        if self.centered:
            center, half = boxes[..., 1::-1], boxes[..., :1:-1] / np.float32(2)
            boxes = np.concatenate([center - half, center + half], axis=-1)
        found = [
            (batch, label, box)
            for batch in range(len(scores))
            for label, row in enumerate(scores[batch])
            for box in self._chosen(Overlaps(boxes[batch]), row)
        ]
        return [np.array(found, np.int64).reshape(-1, 3)]

    def _chosen(self, overlaps: Overlaps, scores: Array) -> list[int]:
        chosen: list[int] = []
        order = np.argsort(-scores, kind="stable")
        if self.score_threshold is not None:
            order = order[scores[order] > np.float32(self.score_threshold)]
        while len(order) and len(chosen) < self.most:
            best, order = int(order[0]), order[1:]
            chosen.append(best)
            order = order[overlaps.of(best, order) <= np.float32(self.iou_threshold)]
        return chosen
