"""The networks that come with Edgewise; README.md beside this file tells what each of them is."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

NAMES = ("cifar10",)


def path(name: str) -> Path:
    """The .tflite file of a network that comes with Edgewise.

    Raises:
        InputError: there is none of that name.
    """
    if name not in NAMES:
        raise InputError(f"network {name!r}: Edgewise comes with {', '.join(NAMES)}")
    return Path(__file__).with_name(f"{name}.tflite")
