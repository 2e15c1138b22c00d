"""What all plots share. Matplotlib is imported when one is drawn; it is an extra."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtraError

FORMATS = (".png", ".svg", ".pdf")
COLORS = ("#4084d6", "#d9822b", "#2e9e6b", "#a65cc4", "#c4435c", "#7a8288")


def check_plot(path: Path) -> None:
    """Refuse a plot that cannot be written, before anything is measured.

    Raises:
        InputError: no such format, or no such folder.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"--plot {path}: the name must end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise InputError(f"--plot {path}: there is no folder {path.parent}")
    _matplotlib()


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _matplotlib().Figure(figsize=(width, height), layout="constrained")


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError:
        raise MissingExtraError("--plot", "plot") from None
