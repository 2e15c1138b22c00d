"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_folder import data_folder


@pytest.fixture(scope="session")
def data() -> Path:
    folder = data_folder()
    if folder is None:
        pytest.skip(
            "the data folder is absent: set EDGEWISE_DATA, or put shared/ beside the checkout"
        )
    return folder


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Machine code compiled by tests stays out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["EDGEWISE_CACHE_DIR"] = str(folder)
    return folder
