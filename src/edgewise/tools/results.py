"""What a network's outputs mean to a reader: classes with probabilities, maps of classes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.arrays import dequantize
from ..errors import InputError
from ..graph import Array, TensorType

Labels = Mapping[int, str]


@dataclass(frozen=True)
class Scored:
    """One class, its name (empty where unknown) and its score."""

    index: int
    label: str
    score: float


@dataclass(frozen=True)
class Classes:
    """A list of class scores. ``probabilities``: all lie in [0, 1]."""

    top: tuple[Scored, ...]
    probabilities: bool


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A class for each pixel: ``classes`` int64 [H,W]; ``areas`` scores each by its share."""

    classes: Array
    areas: tuple[Scored, ...]


@dataclass(frozen=True)
class Numbers:
    """Any other output: the extremes and the mean of its real values."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Texts:
    """The first elements of an output of strings."""

    texts: tuple[str, ...]


Result = Classes | ClassMap | Numbers | Texts


def interpret(array: Array, type: TensorType, labels: Labels, top: int) -> Result:
    """Read one output of a network.

    An output with one axis longer than 1 is a list of class scores. Integers [1,H,W] are a map of
    classes; [1,H,W,C] are scores of C classes at each pixel (C = 3 is a picture, not a map). Of
    strings, ``top`` are told; any other output by its extremes and mean.
    """
    if array.dtype.kind == "O":
        first = array.ravel()[:top]
        return Texts(tuple(bytes(text).decode("utf-8", "backslashreplace") for text in first))
    long_axes = [n for n in array.shape if n > 1]
    if len(long_axes) == 1 and array.ndim <= 2:
        return _classes(dequantize(array, type).ravel(), labels, top)
    is_map = array.ndim == 3 and array.shape[0] == 1 and array.dtype.kind in "iu"
    if is_map and type.quant is None and min(array.shape[1:]) > 1:
        return _class_map(array[0], labels, top)
    if array.ndim == 4 and array.shape[0] == 1 and min(array.shape[1:]) > 1 and array.shape[3] != 3:
        return _class_map(array[0].argmax(axis=-1), labels, top)
    real = dequantize(array, type)
    if real.size == 0:
        return Numbers(0.0, 0.0, 0.0)
    return Numbers(float(real.min()), float(real.mean()), float(real.max()))


def read_labels(path: Path) -> dict[int, str]:
    """Class names from a file.

    ``.csv`` has a header with ``class_index`` and ``name`` (other columns are ignored); any other
    text holds one name a line, in order, or lines "index name" where every line begins with a
    number.

    Raises:
        InputError: the file is absent, or not of this form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: labels cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: labels cannot be read: not UTF-8 text") from None
    if not text.strip():
        raise InputError(f"{path}: holds no labels")
    if path.suffix.lower() == ".csv":
        return _labels_from_csv(path, text)
    lines = [line.strip() for line in text.splitlines()]
    numbered = [line.split(maxsplit=1) for line in lines if line]
    if numbered and all(len(parts) == 2 and parts[0].isdecimal() for parts in numbered):
        return {int(index): name for index, name in numbered}
    return {index: line for index, line in enumerate(lines) if line}


def fit_labels(labels: Labels, classes: int) -> Labels:
    """Labels for a network of ``classes`` outputs.

    ImageNet has 1000 classes; networks with 1001 outputs put a background class at 0. Labels
    numbered 0-999 that do not begin with it are moved up by one for such a network.
    """
    if classes != 1001 or not labels or max(labels) > 999 or labels.get(0) == "background":
        return labels
    return {0: "background"} | {index + 1: name for index, name in labels.items()}


def _labels_from_csv(path: Path, text: str) -> dict[int, str]:
    rows = csv.DictReader(text.splitlines())
    if not {"class_index", "name"} <= set(rows.fieldnames or ()):
        raise InputError(f"{path}: a .csv of labels needs the columns class_index and name")
    try:
        return {int(row["class_index"]): row["name"].replace("_", " ") for row in rows}
    except (TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: line {rows.line_num}: class_index is no number") from None


def _classes(scores: Array, labels: Labels, top: int) -> Classes:
    names = fit_labels(labels, scores.size)
    order = np.argsort(-scores, kind="stable")[:top]
    best = tuple(Scored(int(i), names.get(int(i), ""), float(scores[i])) for i in order)
    return Classes(best, bool(scores.min() >= 0.0 and scores.max() <= 1.0))


def _class_map(classes: Array, labels: Labels, top: int) -> ClassMap:
    found, counts = np.unique(classes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:top]
    areas = tuple(
        Scored(int(found[i]), labels.get(int(found[i]), ""), counts[i] / classes.size)
        for i in order
    )
    return ClassMap(classes.astype(np.int64), areas)


def labels_of(metadata: Mapping[str, Any]) -> dict[int, str]:
    """The class names that a model's metadata carries, by class."""
    names: Sequence[str] = metadata.get("labels") or ()
    return dict(enumerate(names))
