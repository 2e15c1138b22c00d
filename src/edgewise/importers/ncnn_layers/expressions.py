"""Sizes that layers state as expressions of the sizes of their blobs, as in "*(0w,2),0h".

Operators come before their operands; "0w" is the width of blob 0. The sizes are known when a file
is read, and so is what they come to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from ..ncnn_call import EXTENTS, Call

NAMES = {0: "w", 1: "h", 11: "d", 2: "c"}
MOST = 2.0**31

Number = int | float

ONE: Mapping[str, Callable[[Number], Number]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "neg": lambda a: -a,
    "reciprocal": lambda a: 1 / a,
    "round": lambda a: math.floor(abs(a) + 0.5) * (1 if a > 0 else -1),
    "rsqrt": lambda a: 1 / math.sqrt(a),
    "sign": lambda a: (a > 0) - (a < 0),
    "sqrt": math.sqrt,
    "square": lambda a: a * a,
    "trunc": math.trunc,
}
TWO: Mapping[str, Callable[[Number, Number], Number]] = {
    "*": lambda a, b: a * b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: math.trunc(a / b) if isinstance(a, int) and isinstance(b, int) else a // b,
    "max": max,
    "min": min,
}


def sizes(call: Call, key: int) -> list[int]:
    """The numbers that the expressions of a parameter come to; none where it is not given."""
    text = call.text(key)
    stack: list[Number] = []
    for token in reversed(re.findall(r"[^(),\s]+", text)):
        count = 1 if token in ONE else 2 if token in TWO else 0
        if len(stack) < count:
            raise call.error(f"expression {text!r}: {token!r} takes {count} operands")
        operands = [stack.pop() for _ in range(count)]
        try:
            found = _value(call, text, token, operands)
        except (ArithmeticError, ValueError) as error:
            raise call.error(f"expression {text!r}: {error}") from error
        if not abs(found) < MOST:
            raise call.error(f"expression {text!r} comes to {found}; sizes have 32 bits")
        stack.append(found)
    return [int(n) for n in reversed(stack)]


def _value(call: Call, text: str, token: str, operands: list[Number]) -> Number:
    if token in ONE:
        return ONE[token](*operands)
    if token in TWO:
        return TWO[token](*operands)
    if re.fullmatch(r"\d[whdc]", token):
        dims = call.dims(int(token[0]))
        extents = {NAMES[k]: n for k, n in zip(EXTENTS[len(dims)], dims, strict=True)}
        return extents.get(token[1], 1)
    if re.fullmatch(r"[-+]?\d{1,10}", token):
        return int(token)
    if re.fullmatch(r"[-+]?[\d.]{1,20}([eE][-+]?\d{1,2})?", token):
        return float(token)
    raise call.unsupported(f"expression {text!r}: {token!r}")
