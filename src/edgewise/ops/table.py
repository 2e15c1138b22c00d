"""HASHTABLE_FIND: strings to numbers and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .base import Op


class HashtableFind(Op):
    """The values that a table has for keys, or a default.

    Its operands are (the table's keys, their values, the keys to look up, the default).
    """

    name: ClassVar[str] = "HASHTABLE_FIND"
    either_sign: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self.require(len(inputs) == 4, f"{len(inputs)} inputs; it takes 4")
        keys, values, queries, default = inputs
        self.require(
            keys.size == values.size, f"{keys.size} keys, {values.size} values; as many of each"
        )
        self.require(
            keys.dtype is queries.dtype and values.dtype is default.dtype and default.size == 1,
            f"a table of {keys.dtype} to {values.dtype} looks up {queries}, default {default}",
        )
        return (TensorType(queries.shape, values.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        keys, values, queries, default = arrays
        pairs = zip(reversed(keys.ravel().tolist()), reversed(values.ravel().tolist()), strict=True)
        table = dict(pairs)
        asked, places = np.unique(queries, return_inverse=True)
        found = np.empty(asked.size, values.dtype)
        found[:] = [table.get(key, default.item()) for key in asked.tolist()]
        return [found[places.ravel()].reshape(queries.shape)]
