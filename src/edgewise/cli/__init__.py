"""The command line: a file a command, with its options and its tables.

A command's function is registered on `app`, gathers facts through functions of ``edgewise.tools``
and ends with `base.finish`. The line of imports below lists the commands.
"""

from . import (
    bench,
    bisect,
    compare,
    convert,
    doctor,
    evaluate,
    inspect,
    profile,
    quantize,
    run,
    tune,
)
from .base import app

__all__ = [
    "app",
    "bench",
    "bisect",
    "compare",
    "convert",
    "doctor",
    "evaluate",
    "inspect",
    "profile",
    "quantize",
    "run",
    "tune",
]
