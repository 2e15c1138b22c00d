"""Data for networks: pictures, arrays and labels, read as the inputs that a network takes."""

from .labelled import Dataset
from .metrics import METRICS, Metric
from .samples import Samples

__all__ = ["METRICS", "Dataset", "Metric", "Samples"]
