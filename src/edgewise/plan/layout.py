"""Where each tensor lies before any kernel is chosen: own buffer, halo, alias or joined tensor.

- An input of a convolution with padding carries a halo: its buffer has room for the padding on
  all sides, which is filled with the zero point, so that kernels test no load.
- A RESHAPE of a packed tensor is the same bytes.
- What CONCATENATION joins is written straight into the joined tensor, and what PAD and MIRROR_PAD
  surround into the middle of theirs.
- A slice whose elements lie side by side is part of what it is a slice of.
- An elementwise operator writes over an input that nobody reads afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..aligned import ALIGN
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    AddN,
    Binary,
    Cast,
    Chain,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    DynamicUpdateSlice,
    Fused,
    MirrorPad,
    Op,
    Pad,
    Reshape,
    Select,
    TransposeConv,
    Unary,
)
from .geometry import Sides, conv_halo, transpose_conv_halo
from .model import Address, Buffer, View, packed_strides
from .movement import part, slices
from .strided import merge

IN_PLACE = (AddN, Binary, Cast, Chain, DynamicUpdateSlice, Select, Unary)
ALIASING = 512
"""Pixels a multiple of so many bytes apart share few sets of a cache: halos keep them off it."""


@dataclass
class Layout:
    """Views of all computed values, and what their buffers are filled with around them."""

    views: dict[Value, View] = field(default_factory=dict)
    halos: dict[Value, Sides] = field(default_factory=dict)


def lay_out(graph: Graph, native: Mapping[Node, bool], keep_inputs: bool = False) -> Layout:
    """Choose the view of every computed value.

    ``native`` says which nodes run as kernels; what the others compute has bytes of its own. If
    ``keep_inputs``, nothing is computed in place of an input.
    """
    layout = Layout(halos=_halos(graph, native))
    last_use = _last_uses(graph)
    if keep_inputs:
        last_use.update(dict.fromkeys(graph.inputs, len(graph.nodes)))
    joined = _joined(graph, native, layout.halos)
    residents: dict[Buffer, list[Value]] = {}

    def settle(value: Value, view: View) -> None:
        layout.views[value] = view
        residents.setdefault(view.address.buffer, []).append(value)

    def place(value: Value) -> None:
        if value in joined:
            whole, start = joined[value]
            if whole not in layout.views:
                place(whole)
            inside = part(layout.views[whole], start, value.type.shape)
            settle(value, View(inside.address, value.type, inside.strides))
            return
        settle(value, _own(value, layout.halos.get(value, Sides())))

    for value in graph.sources:
        place(value)
    for i, node in enumerate(graph.nodes):
        for value in node.outputs:
            if value in layout.views:
                continue
            shared = None
            if native[node] and value not in joined and value not in layout.halos:
                shared = _shared(node, value, layout, residents, last_use, i)
            if shared is None:
                place(value)
            else:
                settle(value, shared)
    return layout


def _own(value: Value, halo: Sides) -> View:
    shape, itemsize = value.type.shape, value.type.dtype.itemsize
    if not halo:
        buffer = Buffer(value.name, value.type.nbytes)
        return View(Address(buffer, 0), value.type, packed_strides(shape, itemsize))
    n, h, w, c = shape
    outer = (n, h + halo.top + halo.bottom, w + halo.left + halo.right, c)
    pixel = c * itemsize
    if pixel % ALIASING == 0:
        pixel += ALIGN
    strides = (pixel * outer[2] * outer[1], pixel * outer[2], pixel, itemsize)
    buffer = Buffer(value.name, strides[0] * n)
    start = halo.top * strides[1] + halo.left * strides[2]
    return View(Address(buffer, start), value.type, strides)


def _halos(graph: Graph, native: Mapping[Node, bool]) -> dict[Value, Sides]:
    halos: dict[Value, Sides] = {}
    for node in graph.nodes:
        if not native[node]:
            continue
        sides = halo_of(node.op, node.input_types, node.output_types)
        x = node.inputs[0]
        if sides and not x.is_constant and (x.type.quant is not None or x.type.dtype.is_float):
            halos[x] = halos.get(x, Sides()) | sides
    return halos


def halo_of(op: Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Sides:
    """The padding that a node's first input must carry."""
    head = op.head if isinstance(op, Fused) else op
    if isinstance(head, DepthwiseConv2D) and inputs[1].shape[3] != inputs[0].shape[3] != 1:
        return Sides()
    if isinstance(head, Conv2D | DepthwiseConv2D):
        return conv_halo(head, inputs[0], inputs[1], outputs[0])
    if isinstance(head, TransposeConv):
        return transpose_conv_halo(head, inputs[0], inputs[1])
    return Sides()


def _last_uses(graph: Graph) -> dict[Value, int]:
    last = {value: i for i, node in enumerate(graph.nodes) for value in node.inputs}
    kept = (*graph.results, *(state.before for state in graph.states))
    last.update(dict.fromkeys(kept, len(graph.nodes)))
    return last


def _joined(
    graph: Graph, native: Mapping[Node, bool], halos: Mapping[Value, Sides]
) -> dict[Value, tuple[Value, tuple[int, ...]]]:
    """For each value that is written into a greater tensor: that tensor, and where it starts."""
    producers = graph.producers()
    joined: dict[Value, tuple[Value, tuple[int, ...]]] = {}
    for node in reversed(graph.nodes):
        if not native[node]:
            continue
        for value, start in _parts(node):
            producer = producers.get(value)
            if (
                producer is not None
                and native[producer]
                and not isinstance(producer.op, Reshape)
                and value not in joined
                and value not in halos
                and node.inputs.count(value) == 1
            ):
                joined[value] = (node.outputs[0], start)
    return joined


def _parts(node: Node) -> Iterator[tuple[Value, tuple[int, ...]]]:
    """The inputs whose elements the output holds unchanged, and where they start in it."""
    op, start = node.op, 0
    if isinstance(op, Pad | MirrorPad):
        yield node.inputs[0], tuple(before for before, _ in op.paddings)
    if isinstance(op, Concatenation):
        whole = node.outputs[0].type
        for value in node.inputs:
            if op.table(value.type, whole) is None:
                yield value, tuple(start * (i == op.axis) for i in range(len(whole.shape)))
            start += value.type.shape[op.axis]


def _shared(
    node: Node,
    value: Value,
    layout: Layout,
    residents: Mapping[Buffer, list[Value]],
    last_use: Mapping[Value, int],
    index: int,
) -> View | None:
    """The bytes of an input that the output can take over, if there is one."""
    if isinstance(node.op, Reshape):
        source = layout.views.get(node.inputs[0])
        if source is None or not source.contiguous:
            return None
        strides = packed_strides(value.type.shape, value.type.dtype.itemsize)
        return View(source.address, value.type, strides)
    source = None if node.inputs[0].is_constant else layout.views.get(node.inputs[0])
    selected = None if source is None else slices(node, source)
    if selected is not None:
        return _dense(selected[node.outputs.index(value)], value)
    if not isinstance(node.op, IN_PLACE):
        return None
    for source_value in node.inputs:
        view = layout.views.get(source_value)
        if (
            view is not None
            and source_value.type.shape == value.type.shape
            and source_value.type.dtype.itemsize == value.type.dtype.itemsize
            and source_value not in layout.halos
            and all(last_use.get(v, index) <= index for v in residents[view.address.buffer])
            and not any(_overlaps(layout.views[v], view) for v in node.inputs if v in layout.views)
        ):
            return View(view.address, value.type, view.strides)
    return None


def _dense(selected: View, value: Value) -> View | None:
    """``value`` as part of another tensor, if its elements lie there side by side."""
    extents, (strides,) = merge(selected.shape, [selected.strides])
    itemsize = value.type.dtype.itemsize
    if len(extents) > 1 or (extents and strides[0] != itemsize):
        return None
    return View(selected.address, value.type, packed_strides(value.type.shape, itemsize))


def _overlaps(other: View, view: View) -> bool:
    """Whether ``other`` may hold bytes of ``view`` in another order, or some of them only."""
    shared = other.address.buffer is view.address.buffer
    return shared and (other.address != view.address or other.type.size != view.type.size)
