"""Operators of PyTorch: the references of what they are read as give what PyTorch gives."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch_arithmetic_cases
import torch_moving_cases
import torch_spatial_cases
from torch_cases import Together

from edgewise.importers.torch_ops import FAMILIES

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


def test_the_page_lists_every_operator() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()
    told = dict(re.findall(r"^\| (\w+) \| (.+) \|$", page.partition("## Operators")[2], re.M))
    del told["family"]
    assert list(told) == list(FAMILIES)
    for family in FAMILIES:
        rows = import_module(f"edgewise.importers.torch_ops.{family}").OPERATORS
        names = {n.rpartition("::")[2] if "::" in n else n.partition(".")[0] for n in rows}
        assert told[family] == ", ".join(sorted(names)), family
