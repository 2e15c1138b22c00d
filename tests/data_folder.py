"""Where the real models and pictures beside the project lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path | None:
    """$EDGEWISE_DATA, else shared/ beside the checkout; None where neither holds models."""
    candidates = [Path(os.environ["EDGEWISE_DATA"])] if "EDGEWISE_DATA" in os.environ else []
    candidates.append(ROOT.parent / "shared")
    return next((p for p in candidates if (p / "models").is_dir()), None)
