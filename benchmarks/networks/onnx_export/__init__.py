"""Edgewise's graphs as ONNX models, for peers that do not read .tflite files.

Images are laid out as ONNX's operators want them, channels first, and stay so until an operator
needs another layout. Inputs and outputs are images of that layout too, so that a peer spends no
time on what a network of its own format would not have. What is quantized becomes the float
operator between DequantizeLinear and QuantizeLinear, from which ONNX Runtime makes its integer
kernels.

Edgewise's passes over constants and fused operators run before, so that a peer gets a network as
its own converters would write it.
"""

from .builder import Port, UnsupportedError
from .export import Exported, export

__all__ = ["Exported", "Port", "UnsupportedError", "export"]
