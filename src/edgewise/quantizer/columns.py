"""Products as matrices: for each group of channels, rows of weights and columns of inputs.

An output channel's value at one position is the inner product of a row with a column, plus its
bias. Channels are counted group by group, which is the order of the output's last dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph import Array, Node
from ..ops import Conv2D, DepthwiseConv2D, FullyConnected, Op, TransposeConv

Floats: TypeAlias = npt.NDArray[np.float64]
Positions: TypeAlias = npt.NDArray[np.int64]


class Columns(NamedTuple):
    """What enters a product in the float and in the quantized network, at the same positions.

    Both are float32 [groups, positions, terms].
    """

    exact: Array
    given: Array

    @property
    def means(self) -> tuple[Floats, Floats]:
        """Of each term, [groups, terms]."""
        return self.exact.mean(1, dtype=np.float64), self.given.mean(1, dtype=np.float64)


def is_matrix(node: Node) -> bool:
    """Whether a node is a product of float32 with constant weights, and a constant bias if any."""
    constants = node.inputs[1:]
    return type(node.op) in ROWS and all(v.is_constant and v.type.dtype.is_float for v in constants)


def rows(node: Node, weights: Array) -> Array:
    """Weights of a node as [groups, rows, terms]."""
    return ROWS[type(node.op)](node, weights)


def from_rows(node: Node, found: Array) -> Array:
    """Rows as the node's weights are laid out: what `rows` was given."""
    shape = node.inputs[1].type.shape
    places = rows(node, np.arange(int(np.prod(shape))).reshape(shape))
    weights = np.empty(found.size, found.dtype)
    weights[places.ravel()] = found.ravel()
    return weights.reshape(shape)


def positions(node: Node, samples: int, limit: int, seed: int = 0) -> Positions:
    """At most ``limit`` of the positions of a node's output in ``samples`` samples, sorted.

    A position numbers the elements of one channel over all samples. They are drawn without
    replacement; equal arguments give equal positions.
    """
    out = node.outputs[0].type
    total = samples * (out.size // out.shape[-1])
    if total <= limit:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, limit, replace=False))


def columns(node: Node, x: Array, at: Positions) -> Array:
    """The inputs of a node at positions of its output, as float32 [groups, positions, terms].

    ``x`` holds the node's first operand of all samples, [samples, *shape].
    """
    return COLUMNS[type(node.op)](node.op, node, x, at)


def _conv_rows(node: Node, weights: Array) -> Array:
    out_channels, kh, kw, depth = weights.shape
    groups = node.inputs[0].type.shape[3] // depth
    return weights.reshape(groups, out_channels // groups, kh * kw * depth)


def _depthwise_rows(node: Node, weights: Array) -> Array:
    _, kh, kw, out_channels = weights.shape
    channels = node.inputs[0].type.shape[3]
    by_channel = weights.transpose(3, 0, 1, 2)
    return np.reshape(by_channel, (channels, out_channels // channels, kh * kw))


def _matrix_rows(node: Node, weights: Array) -> Array:
    return weights[None]


def _transpose_rows(node: Node, weights: Array) -> Array:
    return weights[:, ::-1, ::-1].reshape(1, len(weights), -1)


def _windows(
    node: Node,
    x: Array,
    at: Positions,
    filter: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    start: tuple[int, int],
    spread: tuple[int, int] = (1, 1),
) -> Array:
    """Pixels under the taps at output positions, [positions, KH, KW, channels]; 0 outside.

    ``start`` is where the first window begins; ``spread`` puts that many steps from one pixel of
    the input to the next.
    """
    batch, height, width = node.outputs[0].type.shape[:3]
    images = x.reshape(-1, *x.shape[-3:])
    picked, place = np.divmod(at, height * width)
    y, z = np.divmod(place, width)
    assert len(images) == batch * len(x)
    tap_y = start[0] + y[:, None] * stride[0] + np.arange(filter[0]) * dilation[0]
    tap_x = start[1] + z[:, None] * stride[1] + np.arange(filter[1]) * dilation[1]
    tap_y, in_y = _pixel(tap_y, images.shape[1], spread[0])
    tap_x, in_x = _pixel(tap_x, images.shape[2], spread[1])
    found = images[picked[:, None, None], tap_y[:, :, None], tap_x[:, None, :]]
    return np.asarray(found * (in_y[:, :, None] & in_x[:, None, :])[..., None])


def _pixel(place: Positions, size: int, spread: int) -> tuple[Positions, npt.NDArray[np.bool_]]:
    pixel, between = np.divmod(place, spread)
    inside = (pixel >= 0) & (pixel < size) & (between == 0)
    return np.where(inside, pixel, 0), inside


def _conv_columns(op: Any, node: Node, x: Array, at: Positions) -> Array:
    _, kh, kw, depth = node.inputs[1].type.shape
    found = _windows(node, x, at, (kh, kw), op.stride, op.dilation, _start(op))
    grouped = found.reshape(len(at), kh * kw, -1, depth).transpose(2, 0, 1, 3)
    return np.reshape(grouped, (len(grouped), len(at), kh * kw * depth))


def _depthwise_columns(op: Any, node: Node, x: Array, at: Positions) -> Array:
    _, kh, kw, _ = node.inputs[1].type.shape
    found = _windows(node, x, at, (kh, kw), op.stride, op.dilation, _start(op))
    return np.transpose(found.reshape(len(at), kh * kw, -1), (2, 0, 1))


def _matrix_columns(op: Any, node: Node, x: Array, at: Positions) -> Array:
    return x.reshape(-1, node.inputs[1].type.shape[1])[at][None]


def _transpose_columns(op: Any, node: Node, x: Array, at: Positions) -> Array:
    _, kh, kw, _ = node.inputs[1].type.shape
    top, _, left, _ = op.padding
    start = (top - kh + 1, left - kw + 1)
    found = _windows(node, x, at, (kh, kw), (1, 1), (1, 1), start, op.stride)
    return found.reshape(1, len(at), -1)


def _start(op: Conv2D | DepthwiseConv2D) -> tuple[int, int]:
    return -op.padding[0], -op.padding[2]


ROWS: Mapping[type[Op], Callable[[Node, Array], Array]] = {
    Conv2D: _conv_rows,
    DepthwiseConv2D: _depthwise_rows,
    FullyConnected: _matrix_rows,
    TransposeConv: _transpose_rows,
}
COLUMNS: Mapping[type[Op], Callable[[Any, Node, Array, Positions], Array]] = {
    Conv2D: _conv_columns,
    DepthwiseConv2D: _depthwise_columns,
    FullyConnected: _matrix_columns,
    TransposeConv: _transpose_columns,
}
"""The products that are matrices."""
