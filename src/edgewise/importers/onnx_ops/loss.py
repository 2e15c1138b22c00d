"""Losses, as the functions that the standard defines them by."""

from __future__ import annotations

from ..onnx_call import Row
from .expansion import expanded

OPERATORS: dict[str, Row] = {
    "NegativeLogLikelihoodLoss": Row(expanded, (2, 3)),
    "SoftmaxCrossEntropyLoss": Row(expanded, (2, 3)),
}
