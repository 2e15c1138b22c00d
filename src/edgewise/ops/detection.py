"""Boxes of detected objects: NON_MAX_SUPPRESSION_V4 and V5, TFLite_Detection_PostProcess.

The rules are TensorFlow Lite's: ``kernels/internal/reference/non_max_suppression.h`` and
``kernels/detection_postprocess.cc`` there. Boxes are (y1, x1, y2, x2).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..errors import RunError
from ..graph import Array, TensorType
from .base import Op
from .checks import EIGHT_BIT, check_inputs, check_rank, result
from .requant import per_tensor

Floats = npt.NDArray[np.float32]


class Overlaps:
    """Intersections over unions of pairs of boxes; 0 where a box is empty."""

    def __init__(self, boxes: Floats) -> None:
        y1, x1, y2, x2 = boxes.T
        self.top, self.bottom = np.minimum(y1, y2), np.maximum(y1, y2)
        self.left, self.right = np.minimum(x1, x2), np.maximum(x1, x2)
        self.area = (self.bottom - self.top) * (self.right - self.left)

    def of(self, one: int, others: Any = slice(None)) -> Floats:
        """The overlap of box ``one`` with each of ``others``."""
        zero, area = np.float32(0), self.area[others]
        tall = np.minimum(self.bottom[one], self.bottom[others])
        wide = np.minimum(self.right[one], self.right[others])
        tall = tall - np.maximum(self.top[one], self.top[others])
        wide = wide - np.maximum(self.left[one], self.left[others])
        both = np.maximum(tall, zero) * np.maximum(wide, zero)
        union = self.area[one] + area - both
        empty = (self.area[one] <= 0) | (area <= 0) | (union == 0)
        return np.asarray(np.where(empty, zero, both / np.where(empty, np.float32(1), union)))


KEPT = 2**24
"""How many overlaps are kept while classes are gone through."""


@dataclass(frozen=True, eq=False, repr=False)
class NonMaxSuppressionV4(Op):
    """Boxes of descending score that overlap no chosen one, at most ``max_output_size``.

    Operands: boxes float32[N, 4], scores float32[N], and the scalars iou_threshold and
    score_threshold. Outputs: the chosen indices, int32[max_output_size], 0 after the last; their
    number, an int32 scalar.
    """

    name: ClassVar[str] = "NON_MAX_SUPPRESSION_V4"
    operands: ClassVar[int] = 4

    max_output_size: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, self.operands)
        boxes, scores, *limits = inputs
        for i, t in enumerate(inputs):
            self.require(t.dtype is DType.FLOAT32, f"input {i} is {t.dtype}; it must be float32")
        self.require(
            len(boxes.shape) == 2 and boxes.shape[1] == 4,
            f"boxes have shape {list(boxes.shape)}; it must be [N, 4]",
        )
        self.require(
            scores.shape == boxes.shape[:1],
            f"scores have shape {list(scores.shape)}; it must be {list(boxes.shape[:1])}",
        )
        for i, t in enumerate(limits, 2):
            self.require(t.size == 1, f"input {i} has {t.size} elements; it must have 1")
        indices = result(self, (self.max_output_size,), DType.INT32)
        return indices, TensorType((), DType.INT32)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        chosen, _ = self.choose(arrays)
        indices = np.zeros(self.max_output_size, np.int32)
        indices[: len(chosen)] = chosen
        return [indices, np.array(len(chosen), np.int32)]

    def choose(self, arrays: Sequence[Array]) -> tuple[list[int], list[np.float32]]:
        """The chosen indices and their scores, which ``sigma`` lowered where it is given."""
        boxes, scores, *numbers = arrays
        iou_limit, score_limit, sigma = (
            np.float32(n.item()) for n in (*numbers, np.float32(0))[:3]
        )
        factor = np.float32(-0.5) / sigma if sigma > 0 else np.float32(0)
        overlaps = Overlaps(boxes)
        queue = [(-s, i, 0) for i, s in enumerate(scores) if s > score_limit]
        heapq.heapify(queue)
        chosen: list[int] = []
        kept: list[np.float32] = []
        while queue and len(chosen) < self.max_output_size:
            negative, index, begin = heapq.heappop(queue)
            score = first = -negative
            suppressed = False
            others = np.array(chosen[begin:][::-1], np.intp)
            for iou in overlaps.of(index, others) if len(others) else ():
                suppressed = bool(iou >= iou_limit)
                if suppressed:
                    break
                if sigma > 0:
                    score = np.float32(score * np.exp(factor * iou * iou))
                if score <= score_limit:
                    break
            if suppressed:
                continue
            if score == first:
                chosen.append(index)
                kept.append(score)
            elif score > score_limit:
                heapq.heappush(queue, (-score, index, len(chosen)))
        return chosen, kept


class NonMaxSuppressionV5(NonMaxSuppressionV4):
    """NON_MAX_SUPPRESSION_V4 with one more operand, sigma, and one more output, the scores.

    Where sigma is above 0, a box's score falls by exp(-iou**2 / (2 sigma)) for every chosen box.
    Outputs: indices, scores float32[max_output_size], number.
    """

    name: ClassVar[str] = "NON_MAX_SUPPRESSION_V5"
    operands: ClassVar[int] = 5

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        indices, number = super().infer(inputs)
        return indices, result(self, indices.shape, DType.FLOAT32), number

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        chosen, kept = self.choose(arrays)
        indices = np.zeros(self.max_output_size, np.int32)
        scores = np.zeros(self.max_output_size, np.float32)
        indices[: len(chosen)], scores[: len(kept)] = chosen, kept
        return [indices, scores, np.array(len(chosen), np.int32)]


@dataclass(frozen=True, eq=False, repr=False)
class DetectionPostProcess(Op):
    """Boxes decoded from anchors, the best of them kept: the end of SSD networks.

    Operands: encodings [1, N, >= 4] (y, x, h, w first), scores [1, N, classes + background] and
    anchors [N, 4] (y, x, h, w); float32, or uint8 or int8 quantized per tensor. Outputs, all
    float32, n = max_detections * max_classes: boxes [1, n, 4], classes [1, n], scores [1, n],
    number [1].

    ``regular`` suppresses class by class, at most ``detections_per_class`` of each; otherwise
    each box takes part with its best score, and gives its ``max_classes`` best classes.
    """

    name: ClassVar[str] = "TFLite_Detection_PostProcess"

    max_detections: int = 1
    max_classes: int = 1
    classes: int = 1
    score_threshold: float = 0.0
    iou_threshold: float = 0.5
    scale: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    regular: bool = False
    detections_per_class: int = 100

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        encodings, scores, anchors = inputs
        for t, what, rank in zip(
            inputs, ("encodings", "scores", "anchors"), (3, 3, 2), strict=True
        ):
            check_rank(self, t, rank, what)
            self.require(
                t.dtype is DType.FLOAT32 or t.dtype in EIGHT_BIT,
                f"{what} are {t.dtype}; they are float32, uint8 or int8",
            )
            if t.dtype in EIGHT_BIT:
                per_tensor(t, f"{self.name}: {what}")
        count = encodings.shape[1]
        self.require(
            encodings.shape[0] == scores.shape[0] == 1
            and scores.shape[1] == anchors.shape[0] == count
            and encodings.shape[2] >= 4
            and anchors.shape[1] == 4,
            f"encodings {list(encodings.shape)}, scores {list(scores.shape)}, anchors "
            f"{list(anchors.shape)}; they are [1, N, 4 or more], [1, N, classes], [N, 4]",
        )
        self.require(
            self.classes >= 1 and scores.shape[2] - self.classes in (0, 1),
            f"{scores.shape[2]} scores a box for {self.classes} classes; as many, or one more",
        )
        self.require(
            min(self.max_detections, self.max_classes, self.detections_per_class) >= 1,
            f"max_detections {self.max_detections}, max_classes {self.max_classes}, "
            f"detections_per_class {self.detections_per_class}; each is at least 1",
        )
        self.require(
            0 < self.iou_threshold <= 1,
            f"iou_threshold {self.iou_threshold}; it is above 0, at most 1",
        )
        self.require(0 not in self.scale, f"scale {list(self.scale)}; it cannot be 0")
        n = self.max_detections * self.max_classes
        shapes = ((1, n, 4), (1, n), (1, n), (1,))
        return tuple(result(self, shape, DType.FLOAT32) for shape in shapes)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        encodings, scores, anchors = map(_real, arrays, inputs)
        boxes = self.decode(encodings[0, :, :4], anchors)
        if np.any(boxes[:, :2] > boxes[:, 2:]):
            raise RunError(f"{self.name}: a decoded box ends before it begins")
        scores = scores[0, :, scores.shape[2] - self.classes :]
        found = self.per_class(boxes, scores) if self.regular else self.fast(boxes, scores)
        n = self.max_detections * self.max_classes
        y = [np.zeros(s, np.float32) for s in ((1, n, 4), (1, n), (1, n), (1,))]
        for i, (place, box, label, score) in enumerate(found):
            y[0][0, place], y[1][0, place], y[2][0, place] = boxes[box], label, score
            y[3][0] = i + 1 if self.regular else place // self.max_classes + 1
        return y

    def decode(self, encodings: Floats, anchors: Floats) -> Floats:
        """Boxes (ymin, xmin, ymax, xmax) around anchors; every step in float64, then rounded."""
        e, a = encodings.astype(np.float64), anchors.astype(np.float64)
        scale = np.array(self.scale, np.float32).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            center = (e[:, :2] / scale[:2] * a[:, 2:] + a[:, :2]).astype(np.float32)
            half = (0.5 * np.exp(e[:, 2:] / scale[2:]) * a[:, 2:]).astype(np.float32)
            return np.concatenate([center - half, center + half], axis=1)

    def covering(self, boxes: Floats) -> Callable[[int], Array]:
        """A function of a box: whether it overlaps each too much."""
        overlaps, kept = Overlaps(boxes), dict[int, Array]()

        def covered(box: int) -> Array:
            row = kept.get(box)
            if row is None:
                row = overlaps.of(box) > np.float32(self.iou_threshold)
                if len(kept) * len(boxes) < KEPT:
                    kept[box] = row
            return row

        return covered

    def suppress(self, covered: Callable[[int], Array], scores: Floats, most: int) -> list[int]:
        """Boxes of descending score that do not overlap, at most ``most``."""
        above = np.flatnonzero(scores >= np.float32(self.score_threshold))
        order = above[np.argsort(-scores[above], kind="stable")]
        chosen: list[int] = []
        suppressed = np.zeros(len(scores), np.bool_)
        for box in order.tolist():
            if not suppressed[box]:
                chosen.append(box)
                if len(chosen) == most:
                    break
                suppressed |= covered(box)
        return chosen

    def fast(self, boxes: Floats, scores: Floats) -> list[tuple[int, int, int, np.float32]]:
        """(place, box, class, score) of what is found, each box with its best classes."""
        chosen = self.suppress(self.covering(boxes), scores.max(axis=1), self.max_detections)
        found = []
        for i, box in enumerate(chosen):
            best = np.argsort(-scores[box], kind="stable")[: self.max_classes]
            found += [
                (i * self.max_classes + k, box, int(label), scores[box, label])
                for k, label in enumerate(best)
            ]
        return found

    def per_class(self, boxes: Floats, scores: Floats) -> list[tuple[int, int, int, np.float32]]:
        """(place, box, class, score) of what is found, suppressed class by class."""
        found: list[tuple[np.float32, int, int]] = []
        covered = self.covering(boxes)
        for label in range(self.classes):
            column = scores[:, label]
            chosen = self.suppress(covered, column, self.detections_per_class)
            found += [(column[box], box, label) for box in chosen]
            found = sorted(found, key=lambda f: -f[0])[: self.max_detections]
        return [(i, box, label, score) for i, (score, box, label) in enumerate(found)]


def _real(array: Array, t: TensorType) -> Floats:
    if t.dtype is DType.FLOAT32:
        return array
    scale, zero = per_tensor(t, "TFLite_Detection_PostProcess: input")
    return np.asarray((array.astype(np.float32) - np.float32(zero)) * scale, np.float32)
