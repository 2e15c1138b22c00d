"""Android NNAPI's golden cases of one operation: the references and compiled programs give them."""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from nnapi import Array, Case, NoEquivalentError, feeds, mismatch, read_cases, to_graph
from nnapi_operations import OPERATIONS

import edgewise as ew
from edgewise.graph import Graph

pytestmark = pytest.mark.data

REGIONS = "regions and boxes of a detector: NNAPI's own, no .tflite operator"
NO_EQUIVALENT = {
    "AXIS_ALIGNED_BBOX_TRANSFORM": REGIONS,
    "BOX_WITH_NMS_LIMIT": REGIONS,
    "GENERATE_PROPOSALS": REGIONS,
    "HEATMAP_MAX_KEYPOINT": REGIONS,
    "RANDOM_MULTINOMIAL": "random: the case has no golden output, only a test of its statistics",
    "ROI_ALIGN": REGIONS,
    "ROI_POOLING": REGIONS,
}
"""Operations that no operator computes, and why."""

PLAIN, TOTAL = 2023, 4402
"""Cases of one operation, and all, in the half of the suite that the data folder holds."""

Run = Callable[[Graph, Sequence[Array]], Sequence[Array]]


@pytest.fixture(scope="module")
def cases(data: Path) -> list[Case]:
    return list(read_cases(data))


@pytest.fixture(scope="module")
def plain(cases: list[Case]) -> dict[str, list[Case]]:
    """The plain cases of each operation."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        if case.plain:
            found.setdefault(case.operation, []).append(case)
    return found


def exceptions() -> dict[str, str]:
    """The cases that do not pass, and why."""
    path = Path(__file__).with_name("nnapi_exceptions.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return {row["case"]: row["reason"] for row in csv.DictReader(file)}


def reference(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    values = dict(zip(graph.inputs, arrays, strict=True))
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    return [values[v] for v in graph.outputs]


def compiled(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    with contextlib.closing(ew.compile(graph)) as program:
        given = program(*arrays)
    return list(given) if isinstance(given, tuple) else [given]


def failures(cases: Sequence[Case], run: Run) -> Mapping[str, str]:
    """What is wrong with each case that does not pass."""
    found = {}
    for case in cases:
        try:
            wrong = mismatch(case, run(to_graph(case, OPERATIONS), feeds(case)))
        except (ew.EdgewiseError, NoEquivalentError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            found[case.name] = wrong
    return found


@pytest.mark.parametrize("run", [reference, compiled])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(plain: dict[str, list[Case]], operation: str, run: Run) -> None:
    """All of its plain cases pass, save those listed, which do not."""
    here = plain[operation]
    listed = exceptions().keys() & {case.name for case in here}
    found = failures(here, run)
    assert found.keys() == listed, found


@pytest.mark.slow
@pytest.mark.parametrize("run", [reference, compiled])
def test_models_of_several_operations(cases: list[Case], run: Run) -> None:
    """The same operations behind others that do nothing, and a few networks."""
    left_out = {name.partition(":")[0] for name in exceptions()}
    here = [
        case
        for case in cases
        if len(case.model.operations) > 1
        and case.name.partition(":")[0] not in left_out
        and not (case.subgraphs or case.expect_failure)
        and all(operation.type in OPERATIONS for operation in case.model.operations)
    ]
    assert len(here) > 1500
    assert not failures(here, run)


def test_every_plain_case_is_run_or_has_no_equivalent(
    cases: list[Case], plain: dict[str, list[Case]]
) -> None:
    assert (sum(map(len, plain.values())), len(cases)) == (PLAIN, TOTAL)
    assert plain.keys() == OPERATIONS.keys() | NO_EQUIVALENT.keys()
    assert not OPERATIONS.keys() & NO_EQUIVALENT.keys()


def test_97_per_cent_pass(plain: dict[str, list[Case]]) -> None:
    """Of the plain cases with an equivalent operator; those listed exist, once each."""
    names = Counter(c.name for op in OPERATIONS for c in plain[op])
    assert max(names.values()) == 1
    assert names.keys() >= exceptions().keys()
    assert len(exceptions()) <= 0.03 * len(names)
    assert all(exceptions().values())
