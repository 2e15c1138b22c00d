"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path | None:
    """The folder of real models and pictures beside the project, or None."""
    candidates = [Path(os.environ["EDGEWISE_DATA"])] if "EDGEWISE_DATA" in os.environ else []
    candidates.append(ROOT.parent / "shared")
    return next((p for p in candidates if (p / "models").is_dir()), None)


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
