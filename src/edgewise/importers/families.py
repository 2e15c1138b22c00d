"""Tables of operators in modules of their own, imported when a file is read."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any


@cache
def rows(package: str, families: Sequence[str], table: str) -> dict[str, Any]:
    """The tables of that name in the modules ``families`` of ``package``, as one."""
    found: dict[str, Any] = {}
    for family in families:
        found.update(getattr(importlib.import_module(f"{package}.{family}"), table))
    return found
