"""Edgewise against other runtimes: ``python -m benchmarks.networks`` (docs/benchmarks.md).

The scripts beside this package's modules time single kernels: ``python benchmarks/products.py``.
"""
