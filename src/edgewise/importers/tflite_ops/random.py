"""Random numbers: each operator has a generator, whose counter is a variable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import ops
from ...graph import Value
from ...ops.random import COUNTER
from .. import tflite_schema as schema
from ..flatbuffer import INT64
from ..tflite_call import Built, Call, Row
from ..tflite_variables import Key


def _seeds(call: Call) -> tuple[tuple[int, int], int]:
    """The seeds, of which TensorFlow Lite keeps 32 bits, and the output's tensor."""
    o = schema.RandomOptions
    first, second = (
        (call.options.number(field, INT64) + 2**31) % 2**32 - 2**31 for field in (o.SEED, o.SEED2)
    )
    return (first, second), call.indices[1][0]


def _counter(call: Call) -> Value:
    """The generator's variable, from 0 on."""
    name = f"{call.what} in {call.reading.subgraph.what}"
    start = np.zeros(COUNTER.shape, COUNTER.dtype.numpy)
    start.setflags(write=False)
    key = Key("generator", name)
    call.reading.session.initial.setdefault(key, Value(name, COUNTER, start))
    return call.reading.variables.read(key, call.what)


def random(op: Callable[..., ops.Op]) -> Callable[[Call], Built]:
    return lambda call: (op(*_seeds(call), call.constant(0)), [_counter(call)])


def multinomial(call: Call) -> Built:
    """Its operands are (logits, how many)."""
    (count,) = call.constant(1, count=1)
    op = ops.Multinomial(*_seeds(call), count, call.outputs[0].type.dtype)
    return op, [*call.operands(0), _counter(call)]


_B = schema.BuiltinOperator
_TAG = schema.RandomOptions.TAG

OPERATORS: dict[int, Row] = {
    _B.MULTINOMIAL: Row("MULTINOMIAL", multinomial, (2, 2), _TAG),
    _B.RANDOM_STANDARD_NORMAL: Row(
        "RANDOM_STANDARD_NORMAL", random(ops.RandomStandardNormal), (1, 1), _TAG
    ),
    _B.RANDOM_UNIFORM: Row("RANDOM_UNIFORM", random(ops.RandomUniform), (1, 1), _TAG),
}
