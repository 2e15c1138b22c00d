"""`Dataset`: samples, and what a network should say of each."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from ..graph import Array, Graph
from . import images
from .arrays import Stored, stored_arrays, whole
from .encoded import read_encoded, split_of
from .metrics import Target
from .samples import LABELS, Samples, files_of, spread

FILE_COLUMNS = ("file", "filename", "path", "image")
CLASS_COLUMNS = ("class_index", "label", "class", "class_id")
"""Columns of a labels.csv: the first of these that it has."""

MOST_DIGITS = 9
MOST_CLASSES = 1_000_000

PAIRED = ("images", "labels")
"""Folders of pictures and of their label maps, by the same names."""

SPLIT_FOLDERS = frozenset({"train", "training", "val", "valid", "validation", "test"})
"""Folders that are no classes."""

SPLITS = ("test_", "validation_", "val_", "train_", "")
"""Which encoded pictures of a .npz are taken: the first of these that have labels."""

Labels = Callable[[Iterable[int]], Iterator[Any]]
"""Gives the labels of ascending indices."""


@dataclass(frozen=True)
class Dataset:
    """Samples with their labels.

    Attributes:
        path: where it was read from.
        source: the samples, as `Samples.of` takes them.
        target: what the labels are; None where there are none.
        count: how many labels there are.
        labels: those of ascending indices: a class, a map of classes [H, W], or an output.
        highest: the greatest class that is a label.
        in_order: how many classes are folders which nothing but their order numbers.
    """

    path: Path
    source: Any
    target: Target | None = None
    count: int = 0
    labels: Labels = lambda indices: iter(())
    highest: int = 0
    in_order: int = 0

    @classmethod
    def of(cls, path: Path, names: Mapping[int, str] | None = None) -> Dataset:
        """The dataset at ``path``, which is one of these.

        - A .csv file, or a folder with a labels.csv: a row a picture, with a column ``file``
          (relative to the .csv) and one ``class_index``, a number.
        - A folder of the folders ``images`` and ``labels``: pictures, and under the same names
          maps of classes: .png, grey or with a palette; 255 belongs to no class.
        - A folder of folders, one a class, of pictures: classes are the folders' names where those
          are numbers, else found by name in ``names``, else numbered in order.
        - A .npz of inputs, and ``labels``: classes [N], maps of them [N, H, W], or the right
          outputs, of real numbers [N, ...]. Or of encoded pictures: ``test_jpeg`` (the bytes of
          all), ``test_offsets`` [N + 1], ``test_labels``; or of another split.
        - Anything else that `Samples.of` takes: without labels.

        Raises:
            InputError: there is no such file, or labels are missing, too many, or no classes.
        """
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if path.suffix.lower() == ".csv":
            return _of_csv(path)
        if path.suffix.lower() == ".npz":
            return _of_npz(path)
        if not path.is_dir():
            return cls(path, str(path))
        if (path / "labels.csv").is_file():
            return _of_csv(path / "labels.csv")
        folders = sorted(p.name for p in path.iterdir() if p.is_dir() and p.name[0] != ".")
        if folders == sorted(PAIRED):
            return _of_pairs(path)
        if folders and not any(images.is_picture(p) for p in path.iterdir()):
            return _of_folders(path, folders, names or {})
        return cls(path, files_of(path))

    def samples(
        self,
        graph: Graph,
        *,
        limit: int | None = None,
        fit: str | None = None,
        pixels: Sequence[float] | None = None,
    ) -> Samples:
        """The samples as inputs of ``graph``; the options are those of `Samples.of`.

        Where labels are maps, pictures are stretched, so that all is seen.

        Raises:
            InputError: as `Samples.of`; or there are not as many samples as labels; or maps of
                pictures that are cropped.
        """
        if self.target is Target.MAP:
            if fit not in (None, "stretch"):
                raise InputError(f"{self.path}: fit {fit}; label maps are of whole pictures")
            fit = "stretch"
        found = Samples.of(self.source, graph, limit=limit, fit=fit, pixels=pixels)
        if self.target is not None and found.total != self.count:
            raise InputError(f"{self.path}: {found.total} samples and {self.count} labels")
        return found

    def chosen(self, limit: int | None = None) -> Iterator[Any]:
        """The labels of the samples that such a limit leaves."""
        return self.labels(spread(self.count, limit))


def _of_csv(path: Path) -> Dataset:
    files, labels, folder = [], [], os.path.dirname(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            file = _column(path, table.fieldnames, FILE_COLUMNS)
            number = _column(path, table.fieldnames, CLASS_COLUMNS)
            for row in table:
                name, text = row[file] or "", (row[number] or "").strip()
                if (
                    not (name and name.isprintable() and text.isdecimal())
                    or len(text) > MOST_DIGITS
                ):
                    raise InputError(
                        f"{path}: line {table.line_num}: a file and the number of its class are "
                        "needed"
                    )
                files.append(os.path.join(folder, name))
                labels.append(int(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: labels cannot be read: {error}") from None
    if not files:
        raise InputError(f"{path}: names no files")
    return _classified(path, files, np.array(labels))


def _column(path: Path, found: Iterable[str] | None, known: Sequence[str]) -> str:
    names = [name for name in known if name in (found or ())]
    if not names:
        raise InputError(f"{path}: no column {' or '.join(known)}")
    return names[0]


def _of_folders(path: Path, folders: Sequence[str], names: Mapping[int, str]) -> Dataset:
    if SPLIT_FOLDERS.issuperset(folders):
        told = " or ".join(str(path / name) for name in folders)
        raise InputError(f"{path}: holds no folders of classes but splits; give {told}")
    by_name = {_plain(name): index for index, name in names.items()}
    in_order = 0
    if all(name.isdecimal() and len(name) <= MOST_DIGITS for name in folders):
        numbers = {name: int(name) for name in folders}
    elif all(_plain(name) in by_name for name in folders):
        numbers = {name: by_name[_plain(name)] for name in folders}
    else:
        numbers, in_order = {name: index for index, name in enumerate(folders)}, len(folders)
    found = {name: files_of(path / name) for name in folders}
    files = [file for name in folders for file in found[name]]
    labels = np.repeat([numbers[name] for name in folders], [len(found[name]) for name in folders])
    return replace(_classified(path, files, labels), in_order=in_order)


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()


def _of_pairs(path: Path) -> Dataset:
    pictures, maps = (_by_stem(path / name) for name in PAIRED)
    for one, other, name in ((pictures, maps, PAIRED[1]), (maps, pictures, PAIRED[0])):
        missing = [str(file) for stem, file in one.items() if stem not in other]
        if missing:
            raise InputError(f"{missing[0]}: nothing of its name in {path / name}")
    files = [maps[stem] for stem in pictures]

    def labels(indices: Iterable[int]) -> Iterator[Any]:
        return (_label_map(files[index]) for index in indices)

    return Dataset(path, list(map(str, pictures.values())), Target.MAP, len(files), labels)


def _by_stem(folder: Path) -> dict[Path, Path]:
    """The files of a folder by their names without endings."""
    found: dict[Path, Path] = {}
    for file in map(Path, files_of(folder)):
        other = found.setdefault(file.relative_to(folder).with_suffix(""), file)
        if other != file:
            raise InputError(f"{file}: of the same name as {other.name}")
    return found


def _label_map(file: Path) -> Array:
    """The classes [H, W] that a picture's grey levels, or numbers of its palette, are."""
    with images.reading(str(file)), Image.open(file) as opened:
        if opened.mode in ("1", "L", "P", "I", "I;16") and opened.format != "JPEG":
            return np.asarray(opened).astype(np.int64)
    raise InputError(
        f"{file}: {opened.format} of {opened.mode}; a label map is grey or has a palette, and is "
        "no JPEG, whose pixels are not exact"
    )


def _of_npz(path: Path) -> Dataset:
    stored = stored_arrays(path)
    split = split_of(stored, [s for s in SPLITS if f"{s}labels" in stored])
    if split is not None:
        return _of_encoded(path, stored, split)
    if LABELS[0] not in stored:
        return Dataset(path, str(path))
    labels = stored[LABELS[0]]
    if labels.dtype.kind == "f" and labels.shape:
        return Dataset(path, str(path), Target.OUTPUTS, labels.shape[0], _pieces(labels))
    if labels.dtype.kind not in "iub" or len(labels.shape) not in (1, 3):
        raise InputError(
            f"{path}: labels {labels.dtype}{list(labels.shape)}; they are classes [N], maps of "
            "them [N, height, width], or outputs of real numbers [N, ...]"
        )
    if len(labels.shape) == 1:
        return _classified(path, str(path), whole(labels))
    return Dataset(path, str(path), Target.MAP, labels.shape[0], _pieces(labels))


def _pieces(stored: Stored) -> Labels:
    return lambda indices: stored.pieces(stored.shape[1:], indices)


def _of_encoded(path: Path, arrays: Mapping[str, Stored], split: str) -> Dataset:
    pictures, labels = read_encoded(path, arrays, split), whole(arrays[f"{split}labels"])
    if labels.dtype.kind not in "iub" or labels.shape != (len(pictures),):
        raise InputError(f"{path}: {split}labels must be one class a picture")
    return _classified(path, pictures, labels)


def _classified(path: Path, source: Any, labels: Array) -> Dataset:
    if not labels.size:
        raise InputError(f"{path}: there are no labels")
    for label in (labels.min(), labels.max()):
        if not 0 <= label < MOST_CLASSES:
            raise InputError(f"{path}: label {label}; classes are numbered from 0, below a million")

    def read(indices: Iterable[int]) -> Iterator[Any]:
        return (int(labels[index]) for index in indices)

    return Dataset(path, source, Target.CLASS, len(labels), read, int(labels.max()))
