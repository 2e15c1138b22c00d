"""Data for networks: pictures, arrays and labels, read as the inputs that a network takes."""

from .samples import Samples

__all__ = ["Samples"]
