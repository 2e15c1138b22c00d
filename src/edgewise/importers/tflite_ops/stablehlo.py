"""StableHLO's operators that TensorFlow Lite runs; composites, which a subgraph stands for."""

from __future__ import annotations

from collections.abc import Callable

from ... import ops
from ...dtype import DType
from ...errors import ModelError, UnsupportedError
from ...ops import Computation
from ...ops.stablehlo import Algorithm
from .. import tflite_schema as schema
from ..flatbuffer import INT8, INT32, INT64
from ..tflite_call import MANY, Built, Call, Row

FUNCTIONS = {
    1: Computation.ADD,
    2: Computation.MULTIPLY,
    3: Computation.MINIMUM,
    4: Computation.MAXIMUM,
    5: Computation.AND,
    6: Computation.OR,
}
"""The schema's ReduceWindowFunction."""

OF_ROWS = {
    "STABLEHLO_ADD": Computation.ADD,
    "STABLEHLO_AND": Computation.AND,
    "STABLEHLO_MAXIMUM": Computation.MAXIMUM,
    "STABLEHLO_MINIMUM": Computation.MINIMUM,
    "STABLEHLO_MULTIPLY": Computation.MULTIPLY,
}
ALGORITHMS = {algorithm.value: algorithm for algorithm in Algorithm}
MAX_RANDOM = 2**24
"""The most numbers of STABLEHLO_RNG_BIT_GENERATOR, whose shape no operand tells."""


def binary(op: Callable[[], ops.Op]) -> Callable[[Call], Built]:
    return lambda call: (op(), call.operands(0, 1))


def and_(call: Call) -> Built:
    is_bool = call.value(0).type.dtype is DType.BOOL
    return ops.LogicalAnd() if is_bool else ops.BitwiseAnd(), call.operands(0, 1)


def longs(call: Call, field: int, count: int | None = None) -> tuple[int, ...]:
    """A vector of int64, whose numbers are small: ``count``, or at most 16."""
    values = call.options.numbers(field, "q")
    if len(values) > 16 or (count is not None and len(values) != count):
        wanted = "at most 16" if count is None else count
        raise ModelError(f"{call.what}: option {field} has {len(values)} numbers, not {wanted}")
    if not all(abs(v) < 2**31 for v in values):
        raise ModelError(f"{call.what}: option {field} is {list(values)}; numbers are below 2**31")
    return tuple(values)


def pad(call: Call) -> Built:
    o, rank = schema.StablehloPadOptions, len(call.shape(0))
    fields = (o.EDGE_PADDING_LOW, o.EDGE_PADDING_HIGH, o.INTERIOR_PADDING)
    return ops.Dilate(*(longs(call, field, rank) for field in fields)), call.operands(0, 1)


def dilate(call: Call) -> Built:
    """Its operands are (input, dilations, value)."""
    rank = len(call.shape(0))
    zeros = (0,) * rank
    interior = tuple(d - 1 for d in call.constant(1, count=rank))
    return ops.Dilate(zeros, zeros, interior), call.operands(0, 2)


def reduce_window(call: Call) -> Built:
    """Its operands are (input, init, window, strides, dilations)."""
    code = call.options.number(schema.ReduceWindowOptions.REDUCE_FUNCTION, INT32)
    if code not in FUNCTIONS:
        raise ModelError(f"{call.what}: function {code}; it is one of {sorted(FUNCTIONS)}")
    rank = len(call.shape(0))
    window, strides, dilations = (call.constant(i, count=rank) for i in (2, 3, 4))
    zeros, ones = (0,) * rank, (1,) * rank
    op = ops.ReduceWindow(FUNCTIONS[code], window, strides, dilations, ones, zeros, zeros)
    return op, call.operands(0, 1)


def stablehlo_reduce_window(call: Call) -> Built:
    o, rank = schema.StablehloReduceWindowOptions, len(call.shape(0))
    ones = (1,) * rank

    def sizes(field: int) -> tuple[int, ...]:
        return longs(call, field, rank) if call.options.has(field) else ones

    pads = longs(call, o.PADDING, 2 * rank) if call.options.has(o.PADDING) else (0,) * 2 * rank
    op = ops.ReduceWindow(
        _computation(call, o.BODY_SUBGRAPH_INDEX),
        longs(call, o.WINDOW_DIMENSIONS, rank),
        sizes(o.WINDOW_STRIDES),
        sizes(o.WINDOW_DILATIONS),
        sizes(o.BASE_DILATIONS),
        pads[::2],
        pads[1::2],
    )
    return op, call.operands(0, 1)


def _computation(call: Call, field: int) -> Computation:
    """What a subgraph of one operator computes; of none, the update itself."""
    index = call.options.number(field, INT32)
    subgraph = call.reading.session.file.subgraph(index)
    names = [operator.row.name for operator in subgraph.operators]
    if not names:
        return Computation.UPDATE
    if len(names) > 1 or names[0] not in OF_ROWS:
        raise UnsupportedError(
            f"{call.what}: {subgraph.what} computes {names[:8]}; supported are one of "
            f"{sorted(OF_ROWS)}, or nothing"
        )
    return OF_ROWS[names[0]]


def gather(call: Call) -> Built:
    o = schema.StablehloGatherOptions
    op = ops.GatherSlices(
        longs(call, o.OFFSET_DIMS),
        longs(call, o.COLLAPSED_SLICE_DIMS),
        longs(call, o.START_INDEX_MAP),
        call.options.number(o.INDEX_VECTOR_DIM, INT64),
        longs(call, o.SLICE_SIZES),
    )
    return op, call.operands(0, 1)


def scatter(call: Call) -> Built:
    o = schema.StablehloScatterOptions
    op = ops.ScatterSlices(
        _computation(call, o.UPDATE_COMPUTATION_SUBGRAPH_INDEX),
        longs(call, o.UPDATE_WINDOW_DIMS),
        longs(call, o.INSERTED_WINDOW_DIMS),
        longs(call, o.SCATTER_DIMS_TO_OPERAND_DIMS),
        call.options.number(o.INDEX_VECTOR_DIM, INT64),
    )
    return op, call.operands(0, 1, 2)


def rng_bit_generator(call: Call) -> Built:
    code = call.options.number(schema.StablehloRngBitGeneratorOptions.ALGORITHM, INT8)
    if code not in ALGORITHMS:
        raise ModelError(f"{call.what}: algorithm {code}; it is one of {sorted(ALGORITHMS)}")
    call.expect_outputs(2)
    numbers = call.outputs[1].type
    if numbers.size > MAX_RANDOM:
        raise UnsupportedError(f"{call.what}: gives {numbers}; at most {MAX_RANDOM} numbers")
    return ops.RngBitGenerator(ALGORITHMS[code], numbers.shape, numbers.dtype), call.operands(0)


def composite(call: Call) -> None:
    """Reads the subgraph that a composite stands for in its place."""
    field = schema.StableHLOCompositeOptions.DECOMPOSITION_SUBGRAPH_INDEX
    _inline(call, call.options.number(field, INT32), 0)


def case(call: Call) -> None:
    """One of several subgraphs, by the first operand; the last where there is none such."""
    branches = call.options.numbers(schema.StablehloCaseOptions.BRANCH_SUBGRAPH_INDICES, "i")
    if not branches:
        raise ModelError(f"{call.what}: it has no branches")
    (chosen,) = call.constant(0, count=1)
    _inline(call, branches[chosen if 0 <= chosen < len(branches) else -1], 1)


def _inline(call: Call, index: int, first: int) -> None:
    reading = call.reading
    results = reading.inline(index, [reading.argument(i) for i in call.indices[0][first:]])
    call.expect_outputs(len(results))
    for output, argument in zip(call.indices[1], results, strict=True):
        reading.define(output, argument, call.what)


_B = schema.BuiltinOperator


def _second(
    name: str, read: Callable[[Call], Built | None], inputs: tuple[int, int], options: int
) -> Row:
    return Row(name, read, inputs, options, second=True)


OPERATORS: dict[int, Row] = {
    _B.DILATE: Row("DILATE", dilate, (3, 3)),
    _B.REDUCE_WINDOW: _second(
        "REDUCE_WINDOW", reduce_window, (5, 5), schema.ReduceWindowOptions.TAG
    ),
    _B.STABLEHLO_ADD: Row("STABLEHLO_ADD", binary(ops.Add), (2, 2)),
    _B.STABLEHLO_AND: Row("STABLEHLO_AND", and_, (2, 2)),
    _B.STABLEHLO_CASE: _second(
        "STABLEHLO_CASE", case, (1, MANY), schema.StablehloCaseOptions.TAG
    )._replace(calls=True),
    _B.STABLEHLO_COMPOSITE: _second(
        "STABLEHLO_COMPOSITE", composite, (0, MANY), schema.StableHLOCompositeOptions.TAG
    )._replace(calls=True),
    _B.STABLEHLO_GATHER: _second(
        "STABLEHLO_GATHER", gather, (2, 2), schema.StablehloGatherOptions.TAG
    ),
    _B.STABLEHLO_MAXIMUM: Row("STABLEHLO_MAXIMUM", binary(ops.Maximum), (2, 2)),
    _B.STABLEHLO_MINIMUM: Row("STABLEHLO_MINIMUM", binary(ops.Minimum), (2, 2)),
    _B.STABLEHLO_MULTIPLY: Row("STABLEHLO_MULTIPLY", binary(ops.Mul), (2, 2)),
    _B.STABLEHLO_PAD: _second("STABLEHLO_PAD", pad, (2, 2), schema.StablehloPadOptions.TAG),
    _B.STABLEHLO_REDUCE_WINDOW: _second(
        "STABLEHLO_REDUCE_WINDOW",
        stablehlo_reduce_window,
        (2, 2),
        schema.StablehloReduceWindowOptions.TAG,
    ),
    _B.STABLEHLO_RNG_BIT_GENERATOR: _second(
        "STABLEHLO_RNG_BIT_GENERATOR",
        rng_bit_generator,
        (1, 1),
        schema.StablehloRngBitGeneratorOptions.TAG,
    ),
    _B.STABLEHLO_SCATTER: _second(
        "STABLEHLO_SCATTER", scatter, (3, 3), schema.StablehloScatterOptions.TAG
    ),
    _B.STABLEHLO_SHIFT_LEFT: Row("STABLEHLO_SHIFT_LEFT", binary(ops.ShiftLeft), (2, 2)),
}
