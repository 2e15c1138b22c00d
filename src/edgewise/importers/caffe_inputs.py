"""What a Caffe network is given, and which of its layers only training needs."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from ..errors import ModelError
from .caffe_layers import DATA, SILENCE, TRAINING
from .caffe_model import Layer

Shape = tuple[int, ...]
CHANNELS = 3
"""Channels of the pictures that a data layer decodes, but for grey ones."""


def declared_inputs(net: Any) -> list[tuple[str, Shape | None]]:
    """The inputs in the network's own fields, and their shapes where it states them.

    Raises:
        ModelError: there are not as many shapes as inputs.
    """
    names, shapes = list(net.input), [tuple(shape.dim) for shape in net.input_shape]
    dims = list(net.input_dim)
    if shapes and dims:
        raise ModelError("it has both input_shape and input_dim; a network has one of them")
    if dims:
        shapes = [tuple(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if shapes and (len(shapes) != len(names) or (dims and len(dims) != 4 * len(names))):
        what = f"{len(dims)} input_dim" if dims else f"{len(shapes)} input_shape"
        raise ModelError(f"{what} for {len(names)} inputs; one shape, of four input_dim, each")
    known: list[Shape | None] = [*shapes] or [None] * len(names)
    return list(zip(names, known, strict=True))


def layer_inputs(layer: Layer, given: Container[str]) -> list[tuple[str, Shape | None]]:
    """The inputs that a data layer declares, and their shapes where it states them.

    ``given`` are names of inputs whose shapes the caller gives.

    Raises:
        ModelError: there are not as many shapes as tops.
    """
    tops = layer.tops
    if layer.type != "Input":
        return [(top, _data_shape(layer)) for top in _pictures(layer, given)]
    shapes: list[Shape | None] = [tuple(s.dim) for s in layer.message.input_param.shape]
    return list(zip(tops, for_each_top(layer, shapes or [None]), strict=True))


def for_each_top(layer: Layer, given: Sequence[Any]) -> list[Any]:
    """One of ``given`` for each top: a single one is for all.

    Raises:
        ModelError: there are neither one nor as many as tops.
    """
    count = len(layer.tops)
    if len(given) not in (1, count):
        raise ModelError(
            f"{layer.what}: {len(given)} shapes or fillers for {count} tops; 1, or one each"
        )
    return [given[0]] * count if len(given) == 1 else list(given)


def _data_shape(layer: Layer) -> Shape | None:
    """The shape of the pictures that a data layer of training gives, if it says it."""
    message, transform = layer.message, layer.message.transform_param
    if layer.type == "MemoryData":
        p = message.memory_data_param
        return p.batch_size, p.channels, p.height, p.width
    if layer.type not in ("Data", "ImageData"):
        return None
    is_image = layer.type == "ImageData"
    p = message.image_data_param if is_image else message.data_param
    crop = transform.crop_size or p.crop_size
    size = (p.new_height, p.new_width) if is_image and not crop else (crop, crop)
    is_grey = transform.force_gray or (is_image and not p.is_color)
    return None if 0 in size else (p.batch_size, 1 if is_grey else CHANNELS, *size)


def _pictures(layer: Layer, given: Container[str]) -> list[str]:
    """The tops of a data layer of training that are no labels.

    Those whose shapes are given; else the first one whose name is not that of a label.
    """
    tops = list(layer.tops)
    named = [top for top in tops if top in given]
    return named or ([top for top in tops if "label" not in top.lower()] or tops)[:1]


def without_training(layers: Sequence[Layer], given: Container[str]) -> list[Layer]:
    """The layers without losses, measures, and what needs the labels of data layers."""
    labels: set[str] = set()
    kept = []
    for layer in layers:
        if layer.type in TRAINING or not labels.isdisjoint(layer.bottoms):
            labels.update(set(layer.tops) - set(layer.bottoms))
            continue
        if layer.type in DATA and layer.type not in ("Input", "DummyData"):
            labels.update(set(layer.tops) - set(_pictures(layer, given)))
        kept.append(layer)
    return kept


def outputs_of(layers: Sequence[Layer]) -> list[str]:
    """The blobs that no layer reads after they were computed, in the order of the layers."""
    names: dict[str, None] = {}
    for layer in layers:
        for name in layer.bottoms:
            names.pop(name, None)
        if layer.type not in (*DATA, SILENCE):
            names.update(dict.fromkeys(layer.tops))
    return list(names)
