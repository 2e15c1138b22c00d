"""What every importer holds files to, so that none takes a process beyond its means."""

from __future__ import annotations

from ..dtype import DType
from ..errors import UnsupportedError

MAX_RANK = 8
"""The most dimensions that a tensor of a file may have."""

MAX_ACTIVATION_BYTES = 2**32
"""The greatest sum of the sizes of all computed tensors."""

MAX_OPERATORS = 2**15
"""The most operators that are read, those of a loop's body at every turn; a subgraph adds one."""

MAX_BODIES = 256
"""The most graphs that conditions and loops hold, one another's included: each is compiled."""

MAX_DEPTH = 16
"""How deep graphs and functions may call one another."""

COMPUTED = (DType.FLOAT32, DType.UINT8, DType.INT8, DType.INT32, DType.INT64, DType.BOOL)
"""Types that operators know; one that refuses others lacks something, the file may be right."""


class ComputedError(UnsupportedError):
    """An operand that must be a constant is computed; an operator may wait until it is known."""
