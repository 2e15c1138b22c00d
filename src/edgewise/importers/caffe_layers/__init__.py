"""How every layer of Caffe is read: one row a type, by families; imported when one is met."""

from __future__ import annotations

from ..caffe_call import Row
from ..families import rows

FAMILIES = ("arithmetic", "movement", "images", "products", "detection")
"""The modules of this package; each has ``LAYERS``, rows by type."""

DATA = {
    "Data",
    "DummyData",
    "HDF5Data",
    "ImageData",
    "Input",
    "MemoryData",
    "WindowData",
    "AnnotatedData",
}
"""Layers without bottoms. Those but Input and DummyData give labels, too."""

TRAINING = {
    "Accuracy",
    "ContrastiveLoss",
    "DetectionEvaluate",
    "EuclideanLoss",
    "HDF5Output",
    "HingeLoss",
    "InfogainLoss",
    "MultiBoxLoss",
    "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
    "SmoothL1Loss",
    "SoftmaxWithLoss",
}
"""Layers that are left out: what they read is an output of the network."""

SILENCE = "Silence"
"""The layer that reads blobs which are to be no outputs."""


def layers() -> dict[str, Row]:
    """The rows of the layers that compute, by type."""
    return rows(__name__, FAMILIES, "LAYERS")


__all__ = ["DATA", "FAMILIES", "SILENCE", "TRAINING", "layers"]
