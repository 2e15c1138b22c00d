"""DetectionOutput: what SSD networks of Caffe end with.

The rules are those of ``detection_output_layer.cpp`` and ``bbox_util.cpp`` in SSD's branch of
Caffe, in float32. Boxes are (xmin, ymin, xmax, ymax).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs

Floats = npt.NDArray[np.float32]
CORNER, CENTER_SIZE, CORNER_SIZE = 1, 2, 3
ADAPTIVE = 0.5
"""Overlaps above which the threshold falls by ``eta`` for every box that is kept."""


@dataclass(frozen=True, eq=False, repr=False)
class DetectionOutput(Op):
    """Boxes decoded from priors, suppressed class by class, the best of each image kept.

    Operands, float32: locations [N, ...] of P * 4 numbers an image, or P * classes * 4 where
    ``share_location`` is not set; confidences [N, ...] of P * classes numbers; priors
    [1, 2, P * 4]: boxes, then variances. The output is float32[1, 1, M, 7]: image, class,
    confidence, box; one row of -1 for each image where nothing is found in any.

    Attributes:
        background: the class that is left out; -1 for none.
        code_type: CORNER, CENTER_SIZE or CORNER_SIZE: what locations are, relative to priors.
        variance_encoded: locations are not to be multiplied by the variances.
        top_k: boxes of each class that take part; -1 for all.
        keep_top_k: boxes that an image may give; -1 for all.
    """

    name: ClassVar[str] = "DetectionOutput"

    classes: int = 1
    share_location: bool = True
    background: int = 0
    code_type: int = CORNER
    variance_encoded: bool = False
    confidence_threshold: float = -math.inf
    nms_threshold: float = 0.3
    eta: float = 1.0
    top_k: int = -1
    keep_top_k: int = -1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        for t, what in zip(inputs, ("locations", "confidences", "priors"), strict=True):
            self.require(t.dtype is DType.FLOAT32, f"{what} are {t.dtype}; they are float32")
        locations, confidences, priors = (t.shape for t in inputs)
        self.require(
            len(priors) == 3 and priors[:2] == (1, 2) and priors[2] % 4 == 0,
            f"priors {list(priors)}; they are [1, 2, 4 * priors]",
        )
        count, each = priors[2] // 4, 1 if self.share_location else self.classes
        self.require(
            len(locations) >= 2
            and len(confidences) >= 2
            and locations[0] == confidences[0]
            and math.prod(locations[1:]) == count * each * 4
            and math.prod(confidences[1:]) == count * self.classes,
            f"locations {list(locations)}, confidences {list(confidences)} for {count} priors and "
            f"{self.classes} classes; an image has {count * each * 4} and {count * self.classes}",
        )
        self.require(
            self.classes >= 1 and self.code_type in (CORNER, CENTER_SIZE, CORNER_SIZE),
            f"classes {self.classes}, code_type {self.code_type}; at least 1, and 1 to 3",
        )
        self.require(
            self.nms_threshold >= 0 and 0 < self.eta <= 1,
            f"nms_threshold {self.nms_threshold}, eta {self.eta}; at least 0, and above 0 to 1",
        )
        return (TensorType((1, 1, -1, 7), DType.FLOAT32),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        locations, confidences, priors = arrays
        images = locations.shape[0]
        boxes, variances = priors.reshape(2, -1, 4)
        each = 1 if self.share_location else self.classes
        rows: list[tuple[Any, ...]] = []
        for image in range(images):
            decoded = [
                self.decode(codes, boxes, variances)
                for codes in locations[image].reshape(-1, each, 4).swapaxes(0, 1)
            ]
            scores = confidences[image].reshape(-1, self.classes)
            rows += [
                (image, label, score, *decoded[label if each > 1 else 0][box])
                for label, box, score in self.choose(decoded, scores)
            ]
        if not rows:
            found = np.full((images, 7), -1, np.float32)
            found[:, 0] = np.arange(images)
        else:
            found = np.array(rows, np.float32)
        return [found.reshape(1, 1, -1, 7)]

    def decode(self, codes: Floats, priors: Floats, variances: Floats) -> Floats:
        """The boxes [P, 4] that codes [P, 4] stand for."""
        with np.errstate(all="ignore"):
            if not self.variance_encoded:
                codes = codes * variances
            size = priors[:, 2:] - priors[:, :2]
            if self.code_type == CORNER:
                return np.asarray(priors + codes, np.float32)
            if self.code_type == CORNER_SIZE:
                return np.asarray(priors + codes * np.tile(size, 2), np.float32)
            center = codes[:, :2] * size + (priors[:, :2] + priors[:, 2:]) / np.float32(2)
            scale = np.exp(codes[:, 2:].astype(np.float64)).astype(np.float32)
            half = scale * size / np.float32(2)
            return np.concatenate([center - half, center + half], axis=1)

    def choose(self, boxes: Sequence[Floats], scores: Floats) -> list[tuple[int, int, np.float32]]:
        """(class, box, score) of what an image gives: by class, then by descending score."""
        found = []
        for label in range(self.classes):
            if label != self.background:
                of = boxes[label if len(boxes) > 1 else 0]
                chosen = self.suppress(of, scores[:, label])
                found += [(label, box, scores[box, label]) for box in chosen]
        if -1 < self.keep_top_k < len(found):
            found = sorted(found, key=lambda f: -f[2])[: self.keep_top_k]
            found.sort(key=lambda f: f[0])
        return found

    def suppress(self, boxes: Floats, scores: Floats) -> list[int]:
        """Boxes of descending score that do not overlap a better one too much."""
        above = np.flatnonzero(scores > np.float32(self.confidence_threshold))
        order = above[np.argsort(-scores[above], kind="stable")]
        if self.top_k > -1:
            order = order[: self.top_k]
        boxes, limit = boxes[order], self.nms_threshold
        most = np.full(len(order), -np.inf, np.float32)
        kept = []
        for i, box in enumerate(order.tolist()):
            if most[i] <= np.float32(limit):
                kept.append(box)
                most[i + 1 :] = np.maximum(most[i + 1 :], overlaps(boxes[i], boxes[i + 1 :]))
                if self.eta < 1 and limit > ADAPTIVE:
                    limit *= self.eta
        return kept


def overlaps(one: Floats, others: Floats) -> Floats:
    """Intersections over unions of a box and others; of boxes that end before they begin, 0."""
    with np.errstate(all="ignore"):
        low = np.maximum(one[:2], others[:, :2])
        size = np.minimum(one[2:], others[:, 2:]) - low
        shared = np.where((size > 0).all(axis=1), size[:, 0] * size[:, 1], np.float32(0))
        union = _areas(one[None]) + _areas(others) - shared
        return np.asarray(np.where(shared > 0, shared / union, 0), np.float32)


def _areas(boxes: Floats) -> Floats:
    size = boxes[:, 2:] - boxes[:, :2]
    return np.where((size < 0).any(axis=1), np.float32(0), size[:, 0] * size[:, 1])
