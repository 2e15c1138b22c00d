"""Edgewise's full-integer quantization beside its peers': ``python -m benchmarks.quantization``.

All quantize the same networks with the same calibration data, and are judged on the same other
data (docs/quantization-benchmarks.md).
"""
