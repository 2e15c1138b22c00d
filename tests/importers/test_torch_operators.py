"""Operators of PyTorch: the references of what they are read as give what PyTorch gives."""

from __future__ import annotations

import pytest
import torch_arithmetic_cases
import torch_moving_cases
import torch_spatial_cases
from torch_cases import Together

TABLES = {
    "arithmetic": Together(torch_arithmetic_cases.CASES),
    "moving": Together(torch_moving_cases.CASES),
    "spatial": Together(torch_spatial_cases.CASES),
}


@pytest.mark.parametrize(
    ("table", "name"), [(t, name) for t, together in TABLES.items() for name in together.cases]
)
def test_operator(table: str, name: str) -> None:
    TABLES[table].check(name)
