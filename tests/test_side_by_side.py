"""Which 8-bit convolutions compute neighbouring pixels as columns of one product."""

from __future__ import annotations

import pytest

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.kernels.isa import AVX2
from edgewise.plan import Step
from edgewise.plan.side_by_side import Group, groups_of
from edgewise.runtime import plan_for
from networks import Builder, quantized


def columns(depth: int, n: int, taps: int, **attributes: int) -> list[int]:
    """How many columns each product of a convolution has."""
    b = Builder()
    x = b.input(quantized((1, 24, 26, depth), DType.UINT8))
    weights = [b.weights((n, taps, taps, depth), axis=0), b.bias(n)]
    op = ops.Conv2D(**attributes)  # type: ignore[arg-type]
    y = b.node(op, [x, *weights], QParams.per_tensor(0.1, 128))
    return [s.params["n"] for s in plan_for(b.graph(y), AVX2).steps if isinstance(s, Step)]  # type: ignore[misc]


def test_few_channels_fill_columns() -> None:
    """18 pixels a row: five together three times, then three."""
    assert columns(8, 3, 9) == [15, 9]


@pytest.mark.parametrize(
    ("n", "attributes"), [(16, {}), (33, {}), (3, {"dilation": (1, 2)}), (3, {"dilation": (2, 1)})]
)
def test_channels_that_fill_columns_and_dilated_windows_are_plain(
    n: int, attributes: dict[str, int]
) -> None:
    assert columns(8, n, 3, **attributes) == [n]


def test_groups_cover_a_row() -> None:
    assert groups_of(18, 5) == [Group(0, 3, 5), Group(15, 1, 3)]
    assert groups_of(10, 5) == [Group(0, 2, 5)]
    assert groups_of(3, 5) == [Group(0, 1, 3)]
