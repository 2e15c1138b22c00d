"""Files that ask for more work than their size: each loads, or is refused, within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

import edgewise as ew
from edgewise.dtype import DType
from edgewise.errors import ModelError, UnsupportedError
from edgewise.importers import load
from tflite_builder import Operator, build
from tflite_networks import boolean, constant, f32, i32, join

SECONDS = 5
LEAF = build([Operator("RELU", [x := f32(1)], [y := f32(1)])], [x], [y])


def loop_of(test: int, body: int) -> dict[str, int]:
    return {"CondSubgraphIndex": test, "BodySubgraphIndex": body}


def endless_loops(depth: int) -> bytes:
    """Each the body of another, of no other operators; every condition is a constant."""
    c = f32(1)
    files = [build([], [c], [constant([True], DType.BOOL)])]
    for k in range(depth):
        x, y = f32(1), f32(1)
        nested = Operator("WHILE", [x], [y], "WhileOptions", loop_of(1, k + 2))
        files.insert(k and k + 1, build([nested], [x], [y]))
    return join(*files, build([], [c], [c]))


def counting_loops(depth: int, turns: int, *, initialising: bool = False) -> bytes:
    """Each starts at 0 in the body of another."""
    first = 2 if initialising else 1

    def counting(body: int) -> Operator:
        start = constant([0], DType.INT32)
        return Operator("WHILE", [start], [i32(1)], "WhileOptions", loop_of(first, body))

    x, y, i, more = f32(1), f32(1), i32(1), boolean()
    relu = Operator("RELU", [x], [y])
    once = Operator("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1})
    files = [build([once if initialising else counting(first + 1), relu], [x], [y])]
    if initialising:
        files.append(build([counting(first + 1)], [], []))
    limit = constant([turns], DType.INT32)
    files.append(build([Operator("LESS", [i, limit], [more], "LessOptions")], [i], [more]))
    for k in range(depth):
        j = i32(1)
        steps = [Operator("ADD", [i, constant([1], DType.INT32)], [j], "AddOptions")]
        steps += [counting(first + 2 + k)] if k < depth - 1 else []
        files.append(build(steps, [i], [j]))
    return join(*files)


def calls(depth: int, width: int) -> bytes:
    """Every subgraph calls the next one several times."""
    files = []
    for k in range(depth):
        values = [f32(1) for _ in range(width + 1)]
        steps = [
            Operator("CALL", [a], [b], "CallOptions", {"Subgraph": k + 1})
            for a, b in pairwise(values)
        ]
        files.append(build(steps, values[:1], values[-1:]))
    return join(*files, LEAF)


def conditions(depth: int, step: int = 1) -> bytes:
    """Both branches of a condition are the next subgraph; of step 0, the subgraph itself."""
    files = []
    for k in range(depth):
        x, y, test = f32(1), f32(1), boolean()
        branches = {"ThenSubgraphIndex": k + step, "ElseSubgraphIndex": k + step}
        steps = [
            Operator("GREATER", [x, constant([0.0])], [test], "GreaterOptions"),
            Operator("IF", [test, x], [y], "IfOptions", branches),
        ]
        files.append(build(steps, [x], [y]))
    return join(*files, LEAF)


def large_initialisation(size: int, steps: int) -> bytes:
    values = [f32(size) for _ in range(steps + 1)]
    length = constant([size], DType.INT32)
    fill = Operator("FILL", [length, constant(1.5)], values[:1], "FillOptions")
    exps = [Operator("EXP", [a], [b], "ExpOptions") for a, b in pairwise(values)]
    x, y = f32(1), f32(1)
    once = Operator("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1})
    main = build([once, Operator("RELU", [x], [y])], [x], [y])
    return join(main, build([fill, *exps], [], []))


def ranges(*limits: int) -> bytes:
    """RANGE up to more than each declares."""
    steps, results = [], []
    for limit in limits:
        ends = [constant(n, DType.INT32) for n in (0, limit, 1)]
        results.append(i32())
        steps.append(Operator("RANGE", ends, results[-1:], "RangeOptions"))
    return build(steps, [], results)


TOO_LONG = "loops and calls of subgraphs take more than 32768 operators"
REFUSED: dict[str, tuple[Callable[[], bytes], type[ModelError], str]] = {
    "calls": (lambda: calls(14, 3), UnsupportedError, TOO_LONG),
    "recursion": (lambda: conditions(1, 0), ModelError, "more than 16 deep"),
    "conditions": (
        lambda: conditions(13),
        UnsupportedError,
        "conditions and loops hold more than 256 graphs",
    ),
    "initialisation": (
        lambda: large_initialisation(2**24, 50),
        UnsupportedError,
        "what the file initialises takes more than 67108864 elements",
    ),
    "loops of initialisation": (
        lambda: counting_loops(3, 4000, initialising=True),
        UnsupportedError,
        TOO_LONG,
    ),
    "range": (lambda: ranges(2**27), ModelError, "RANGE: 134217728 elements; at most"),
    "ranges": (
        lambda: ranges(2**25, 2**25, 2**25),
        UnsupportedError,
        "takes more than 67108864 elements",
    ),
}
LOADED: dict[str, Callable[[], bytes]] = {
    "endless loops": lambda: endless_loops(3),
    "counting loops": lambda: counting_loops(3, 4000),
    "conditions": lambda: conditions(6),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str) -> None:
    make, kind, message = REFUSED[name]
    content = make()
    start = time.process_time()
    with pytest.raises(ModelError, match=message) as caught:
        load(content)
    assert type(caught.value) is kind
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("name", LOADED)
def test_is_loaded_and_compiled(name: str) -> None:
    content = LOADED[name]()
    start = time.process_time()
    ew.compile(load(content))
    assert time.process_time() - start < SECONDS
