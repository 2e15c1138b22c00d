"""The operator tests of the `onnx` package: all but those listed pass, and those do not."""

from __future__ import annotations

import onnx
import pytest
from onnx_nodes import (
    VERSION,
    Kind,
    cases,
    compiled,
    counts,
    exceptions,
    failures,
    kept_counts,
    reference,
)

pytestmark = pytest.mark.skipif(
    onnx.__version__ != VERSION, reason=f"the exceptions are those of onnx {VERSION}"
)


def test_names_and_kinds() -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert exceptions().keys() <= set(names)
    assert all(exceptions().values())


def test_references_pass_but_for_exceptions() -> None:
    """Of every kind that is not left out."""
    found = failures((c for c in cases() if c.kind is not Kind.LEFT_OUT), reference)
    assert found.keys() == exceptions().keys(), found
    assert counts(found) == kept_counts()


def test_95_per_cent_pass() -> None:
    """Of one operator that has float32, or quantizes."""
    total, passed = kept_counts()[Kind.COUNTED.value]
    assert total > 900
    assert passed >= 0.95 * total


def test_compiled_programs_pass() -> None:
    """One test of each operator; ``python -m tests.suites.onnx_nodes`` compiles all."""
    chosen = {}
    for case in cases():
        if case.kind is Kind.COUNTED and case.name not in exceptions():
            chosen.setdefault(case.operator, case)
    assert len(chosen) > 140
    assert not failures(chosen.values(), compiled)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.COUNTED, Kind.OTHER, Kind.EXPANDED])
def test_all_compiled_programs_pass(kind: Kind) -> None:
    here = [case for case in cases() if case.kind is kind]
    assert failures(here, compiled).keys() == exceptions().keys() & {c.name for c in here}
