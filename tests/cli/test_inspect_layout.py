"""``edgewise inspect --layout``: which TRANSPOSEs remain, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import Result

from edgewise.cli.layout import show_layout
from edgewise.dtype import DType
from edgewise.graph import TensorType
from tflite_builder import Operator, Tensor, build

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture
def turning(tmp_path: Path) -> Path:
    """float32[2,3,4] -> TRANSPOSE -> SOFTMAX -> float32[2,4,3]."""
    x, y, z = (
        Tensor(TensorType(shape, DType.FLOAT32), name=name)
        for name, shape in (("x", (2, 3, 4)), ("y", (2, 4, 3)), ("z", (2, 4, 3)))
    )
    perm = Tensor(TensorType((3,), DType.INT32), np.array([0, 2, 1], np.int32), "perm")
    path = tmp_path / "turning.tflite"
    operators = [
        Operator("TRANSPOSE", (x, perm), (y,), "TransposeOptions"),
        Operator("SOFTMAX", (y,), (z,), "SoftmaxOptions", {"Beta": 1.0}),
    ]
    path.write_bytes(build(operators, [x], [z]))
    return path


def test_the_document_tells_what_remains(facts: Facts, turning: Path) -> None:
    assert facts("inspect", turning, "--layout")["layout"] == {
        "before_bytes": 96,
        "bytes": 96,
        "bound_bytes": 96,
        "absorbed_bytes": 0,
        "proven": True,
        "transposes": [
            {
                "tensor": "x",
                "shape": [2, 3, 4],
                "perm": [0, 2, 1],
                "bytes": 96,
                "written": "input 'x'",
                "read": "SOFTMAX 'z'",
            }
        ],
    }


def test_the_table_names_both_ends(edgewise: Edgewise, turning: Path) -> None:
    shown = edgewise("inspect", turning, "--layout").stdout
    assert "1 TRANSPOSE left" in shown
    assert "input 'x'" in shown
    assert "SOFTMAX 'z'" in shown
    assert "proven, no orders considered give less" in shown


def test_a_network_without_them(edgewise: Edgewise, facts: Facts, classifier: Path) -> None:
    shown = edgewise("inspect", classifier, "--layout").stdout
    assert "0 TRANSPOSEs left" in shown
    assert "layout" not in facts("inspect", classifier)


def test_what_is_not_proven_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    layout = {
        "before_bytes": 9,
        "bytes": 8,
        "bound_bytes": 4,
        "absorbed_bytes": 2,
        "proven": False,
        "transposes": [],
    }
    show_layout(Console(), {"model": "m", "layout": layout})
    shown = capsys.readouterr().out
    assert "2 B of shuffles" in shown
    assert "8 B are: not proven to be the least" in shown
    assert "4 B: below it goes no choice considered" in shown
