"""One layer of a Caffe network, as the function that reads it sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ..graph import Array, Value
from .builder import Builder
from .caffe_model import Layer, blob_array
from .caffe_schema import messages
from .call import FileOperator

if TYPE_CHECKING:
    from ..ops import DetectionOutput

MAX_GENERATED = 2**24
"""The most elements that layers without inputs or weights may make."""

Results: TypeAlias = "Value | Sequence[Value] | DetectionOutput"
"""The tops of a layer, in order; or an operator whose result only a call can shape."""


class LayerCall(FileOperator):
    """A layer's bottoms, parameters and blobs. Methods raise ModelError on a broken rule.

    Attributes:
        b: what nodes are added to.
        bottoms: its inputs.
        p: the message of its parameters; of their defaults, where it has none.
    """

    def __init__(
        self,
        b: Builder,
        layer: Layer,
        bottoms: Sequence[Value],
        params: str,
        blobs: Callable[[Layer], Sequence[Any]],
        charge: Callable[[str, int], None],
    ) -> None:
        self.b, self.layer, self.bottoms = b, layer, bottoms
        self._blobs, self._charge = blobs, charge
        self.p: Any = None
        if params:
            has = params in layer.message.DESCRIPTOR.fields_by_name
            self.p = getattr(layer.message if has else messages()["LayerParameter"](), params)

    @property
    def what(self) -> str:
        """Names the layer in errors."""
        return self.layer.what

    @property
    def tops(self) -> int:
        return len(self.layer.tops)

    @property
    def x(self) -> Value:
        """Its first bottom."""
        return self.bottoms[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its first bottom."""
        return self.x.type.shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    def number(self, value: float) -> Value:
        """A constant float32 scalar."""
        with np.errstate(over="ignore"):
            return self.b.constant(np.array(value, np.float32))

    def axis(self, axis: int, rank: int | None = None) -> int:
        """``axis`` counted from 0."""
        rank = self.rank if rank is None else rank
        if not -rank <= axis < rank:
            raise self.error(
                f"axis {axis} of {rank} dimensions; it lies from {-rank} to {rank - 1}"
            )
        return axis % rank

    def image(self) -> tuple[int, int, int, int]:
        """The shape of its first bottom, which must be [N, C, H, W]."""
        if self.rank != 4:
            raise self.error(f"bottom of shape {list(self.shape)}; it must be [N, C, H, W]")
        n, c, h, w = self.shape
        return n, c, h, w

    def blob(self, i: int) -> Array:
        """The elements of blob ``i`` of its weights."""
        blobs = self._blobs(self.layer)
        if i >= len(blobs):
            raise self.error(f"its weights have {len(blobs)} blobs; it needs {i + 1}")
        return blob_array(blobs[i], f"{self.what}: blob {i}")

    def weights(self, i: int, shape: Sequence[int], name: str = "weights") -> Value:
        """Blob ``i`` in ``shape``, a constant."""
        data = self.blob(i)
        if data.size != math.prod(shape):
            raise self.error(
                f"blob {i} is {list(data.shape)}; {name} are {list(shape)} by its parameters"
            )
        return self.b.constant(data.reshape(shape), f"{self.layer.name}/{name}")

    def generate(self, count: int) -> None:
        """Count elements of a constant that is not in the file."""
        self._charge(self.what, count)


Reader: TypeAlias = "Callable[[LayerCall], Results]"


class Row(NamedTuple):
    """How a type of layer is read.

    Attributes:
        params: the field of its parameters; "" where it has none.
        bottoms: the least and greatest number of its bottoms.
        tops: the greatest number of its tops.
    """

    read: Reader
    params: str = ""
    bottoms: tuple[int, float] = (1, 1)
    tops: float = 1


MANY = math.inf
