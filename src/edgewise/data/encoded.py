"""Encoded pictures, such as JPEG files, in the arrays of one .npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..graph import Array
from .arrays import Stored, whole

SPLITS = ("train_", "test_", "validation_", "val_", "")
"""How the names of such arrays may begin."""


class Encoded(Sequence[Any]):
    """The bytes of each picture; all lie in one array, between ``offsets`` [N + 1]."""

    def __init__(self, content: Array, offsets: Array) -> None:
        self._content, self._offsets = content, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: Any) -> bytes:
        return self._content[self._offsets[index] : self._offsets[index + 1]].tobytes()


def split_of(arrays: Mapping[str, Stored], splits: Sequence[str] = SPLITS) -> str | None:
    """The first of ``splits`` of which a .npz holds encoded pictures; None: it holds none."""
    return next((s for s in splits if {f"{s}jpeg", f"{s}offsets"} <= set(arrays)), None)


def read_encoded(path: Path, arrays: Mapping[str, Stored], split: str) -> Encoded:
    """The encoded pictures of a split: ``jpeg``, all their bytes, and ``offsets`` [N + 1].

    Raises:
        InputError: the arrays are no such ones.
    """
    content, offsets = whole(arrays[f"{split}jpeg"]), whole(arrays[f"{split}offsets"])
    ordered = offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1
    if not ordered or offsets[0] < 0 or (offsets[1:] < offsets[:-1]).any():
        raise InputError(f"{path}: {split}offsets must be whole numbers in ascending order")
    if content.dtype != np.uint8 or content.ndim != 1 or offsets[-1] > len(content):
        raise InputError(f"{path}: {split}jpeg must be bytes, as many as {split}offsets tell")
    return Encoded(content, offsets)
