"""`Samples`: inputs for a network from files or memory, one at a time."""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from ..errors import InputError
from ..graph import Array, Graph, Value
from . import images
from .arrays import Stored, converted, of_memory, samples_in, stored_arrays
from .encoded import read_encoded, split_of

KEPT = 64
"""How many samples of a source that can be read only once are kept, unless a limit is given."""

ARRAYS = (".npy", ".npz")

LABELS = ("labels", "classes")
"""Arrays of a .npz that are no inputs: a label of each sample, and the names of the classes."""

Named: TypeAlias = "tuple[str, tuple[Any, ...]]"
"""What errors call a sample, and its arrays, in the order of the network's inputs."""


class Pictures(NamedTuple):
    """How pictures become inputs of a graph: as `images.load_inputs` takes it."""

    graph: Graph
    fit: str | None = None
    pixels: Sequence[float] | None = None

    def load(self, source: Path | Image.Image, value: Value) -> Array:
        """A picture, or the one in a file, as an input."""
        normalization = images.normalization_of(self.graph, value, self.pixels)
        fit = images.fit_of(self.graph, self.fit)
        return images.load_input(source, value.type, normalization, fit)

    def of_pixels(self, array: Array, value: Value) -> Array | None:
        """The input that pixels in its own layout become; None where they are no pixels."""
        axis = images.channel_axis(value.type)
        if array.dtype != np.uint8 or axis is None:
            return None
        normalization = images.normalization_of(self.graph, value, self.pixels)
        last = np.moveaxis(array[0], axis - 1, -1)
        made = images.pixels_to_input(last, value.type, normalization)
        return np.ascontiguousarray(np.moveaxis(made, -1, axis))


def spread(count: int, limit: int | None) -> Sequence[int]:
    """Which of ``count`` samples are taken: ``limit`` of them, at even distances."""
    if limit is None or limit >= count:
        return range(count)
    return [i * count // limit for i in range(limit)]


class Samples:
    """Inputs for a network: each item is a tuple of arrays, of the inputs' own types.

    They can be gone over again, always in the same order, and are read as they are asked for, so
    that memory does not grow with their number. Each is checked as it is read.

    Attributes:
        count: how many there are; None where only reading them tells. ``len()`` is the same.
        total: likewise, how many there would be without a limit.

    Raises, while they are gone over:
        InputError: a sample has another shape or element type than the input, holds NaN or an
            infinity, or cannot be read; or there is none.
    """

    def __init__(
        self,
        pictures: Pictures,
        read: Callable[[], Iterator[Named]],
        count: int | None,
        total: int | None,
    ) -> None:
        self.count, self.total = count, total
        self._pictures = pictures
        self._read = read

    @classmethod
    def of(
        cls,
        source: Any,
        graph: Graph,
        *,
        limit: int | None = None,
        fit: str | None = None,
        pixels: Sequence[float] | None = None,
    ) -> Samples:
        """Samples for ``graph`` from ``source``, which is one of these.

        - A folder: its pictures, .npy and .npz files and those of its folders, by name.
        - A picture, .npy or .npz file, or an iterable of such paths.
        - An array, as in a .npy: one sample, or several along a further first dimension, or along
          the first one of the input (in multiples of its size).
        - Arrays by input name, as in a .npz: likewise, as many of each. For a network of one input
          a .npz of one array besides labels may call it anything. One of encoded pictures holds
          their bytes, ``train_jpeg``, and ``train_offsets`` [N + 1]; or those of another split.
        - Any iterable, or function that returns one, of samples: an array, a tuple of arrays, or
          arrays by input name; a picture of Pillow's, or the bytes of a file of one. Of an
          iterator, which can be read only once, the first 64 are kept, or ``limit``.

        Pictures become inputs as docs/command-line.md tells; uint8 arrays for a picture input of
        another element type are pixels. Real numbers are rounded to the input's precision, or
        quantized where it is quantized.

        Args:
            limit: at most so many: of files, arrays and sequences those at even distances, else the
                first.
            fit, pixels: of pictures, as ``edgewise run`` takes them.

        Raises:
            InputError: there is no such source, it is empty, or is nothing that inputs can be read
                from.
        """
        if limit is not None and not (isinstance(limit, int | np.integer) and limit >= 1):
            raise InputError(f"limit {limit!r}: at least one sample is needed, a whole number")
        if not graph.inputs:
            raise InputError(f"graph {graph.name!r}: the network takes no inputs")
        pictures = Pictures(graph, fit, pixels)
        groups = _groups(source, pictures, limit)
        if groups is None:
            return cls(pictures, _stream(source, graph, limit), None, None)
        starts = [0, *itertools.accumulate(group.count for group in groups)]
        total = starts.pop()
        if not total:
            raise InputError("samples: there are none")

        def read() -> Iterator[Named]:
            chosen = spread(total, limit)
            for at, indices in itertools.groupby(chosen, lambda i: bisect_right(starts, i) - 1):
                yield from groups[at].read(i - starts[at] for i in indices)

        return cls(pictures, read, len(spread(total, limit)), total)

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError("the number of samples is known only when they are read")
        return self.count

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        return (arrays for _, arrays in self.named())

    def named(self, varied: bool = False) -> Iterator[tuple[str, tuple[Array, ...]]]:
        """The samples, each with what errors call it.

        Args:
            varied: at the end, refuse samples that are constant, all of them.
        """
        inputs = self._pictures.graph.inputs
        found, constant = 0, varied
        for where, given in self._read():
            arrays = tuple(
                self._checked(where, array, value)
                for array, value in zip(given, inputs, strict=True)
            )
            found += 1
            constant = constant and all(_is_constant(array) for array in arrays)
            yield where, arrays
        if not found:
            raise InputError("samples: there are none")
        if constant:
            which = f"{where}: the only sample is" if found == 1 else f"all {found} samples are"
            raise InputError(f"{which} constant, each element equal; such data tell nothing")

    def _checked(self, where: str, given: Any, value: Value) -> Array:
        """One input of a sample, as the network takes it."""
        type = value.type
        if isinstance(given, bytes):
            given = images.open_picture(given, where)
        if isinstance(given, Image.Image):
            given = images.upright(given)
        if isinstance(given, Path | Image.Image):
            given = self._pictures.load(given, value)
        try:
            array = np.asarray(given)
        except Exception as error:
            raise InputError(f"{where}: input {value.name!r} is no array: {error}") from None
        shape = type.shape
        if samples_in(array.shape, shape) != 1:
            raise InputError(
                f"{where}: shape {list(array.shape)}; input {value.name!r} takes {list(shape)}"
            )
        array = array.reshape(shape)
        _check_finite(where, array, value)
        made = converted(array, type)
        if made is None:
            made = self._pictures.of_pixels(array, value)
        if made is None:
            raise InputError(
                f"{where}: {array.dtype}{list(array.shape)}; input {value.name!r} takes {type}"
            )
        if made.dtype != array.dtype:
            _check_finite(where, made, value)
        return made


@dataclass(frozen=True)
class _Group:
    """Samples of one file or array: how many, and those of ascending indices."""

    count: int
    read: Callable[[Iterable[int]], Iterator[Named]]


def _groups(source: Any, pictures: Pictures, limit: int | None) -> list[_Group] | None:
    """Where samples of any index can be read: in which groups; None where they come in a row."""
    graph = pictures.graph
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        files = files_of(path) if path.is_dir() else [str(path)]
        return list(_of_files(files, pictures))
    if isinstance(source, np.ndarray):
        source = {graph.inputs[0].name: source}
    if isinstance(source, Mapping):
        arrays = {name: of_memory(np.asarray(array)) for name, array in source.items()}
        return [_of_arrays("", arrays, graph)]
    if isinstance(source, Iterator):
        source = _kept(source, limit)
    if not isinstance(source, Sequence):
        return None
    if source and isinstance(source[0], str | os.PathLike):
        return list(_of_files(list(map(str, source)), pictures))

    def read(indices: Iterable[int]) -> Iterator[Named]:
        return (_named(index, source[index], graph) for index in indices)

    return [_Group(len(source), read)]


def _kept(source: Iterator[Any], limit: int | None) -> list[Any]:
    """The beginning of what can be read only once; all of it where it gives paths."""
    first = list(itertools.islice(source, 1))
    if first and isinstance(first[0], str | os.PathLike):
        return [*first, *source]
    return [*first, *itertools.islice(source, (KEPT if limit is None else limit) - 1)]


def _stream(source: Any, graph: Graph, limit: int | None) -> Callable[[], Iterator[Named]]:
    rule = "they come from a folder, a file, an array, or an iterable"
    if not isinstance(source, Iterable) and not callable(source):
        raise InputError(f"samples: {type(source).__name__}; {rule}")

    def read() -> Iterator[Named]:
        items = source if isinstance(source, Iterable) else source()
        if not isinstance(items, Iterable):
            raise InputError(f"samples: a function returned {type(items).__name__}; {rule}")
        for index, item in enumerate(itertools.islice(items, limit)):
            yield _named(index, item, graph)

    return read


def _named(index: int, item: Any, graph: Graph) -> Named:
    """A sample as an iterable gave it."""
    where = f"sample {index}"
    names = [value.name for value in graph.inputs]
    if isinstance(item, Mapping):
        missing = [name for name in names if name not in item]
        if missing:
            raise InputError(f"{where}: nothing for input {missing[0]!r}")
        return where, tuple(item[name] for name in names)
    arrays = tuple(item) if isinstance(item, tuple | list) else (item,)
    if len(arrays) != len(names):
        raise InputError(
            f"{where}: {len(arrays)} arrays; the network takes {len(names)}: {', '.join(names)}"
        )
    return where, arrays


def files_of(folder: Path) -> list[str]:
    """The pictures and arrays of a folder and its folders, by name."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(parent, name) for name in sorted(names) if _is_sample(name)]
    if not found:
        raise InputError(f"{folder}: the folder holds no picture, .npy or .npz")
    return found


def _is_sample(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and (suffix in images.SUFFIXES or suffix in ARRAYS)


def _of_files(files: Sequence[str], pictures: Pictures) -> Iterator[_Group]:
    """Each file of arrays is a group, and so are pictures in a row."""
    for is_array, group in itertools.groupby(files, lambda f: f.lower().endswith(ARRAYS)):
        names = list(group)
        if is_array:
            yield from (_of_array_file(name, pictures.graph) for name in names)
        else:
            yield _of_pictures(names, pictures)


def _of_array_file(file: str, graph: Graph) -> _Group:
    arrays = stored_arrays(Path(file))
    split = split_of(arrays)
    if split is not None or "" in arrays:
        _check_one_input(file, graph)
    if split is None:
        return _of_arrays(file, arrays, graph)
    pictures = read_encoded(Path(file), arrays, split)

    def read(indices: Iterable[int]) -> Iterator[Named]:
        return ((f"{file}, picture {index}", (pictures[index],)) for index in indices)

    return _Group(len(pictures), read)


def _check_one_input(file: str, graph: Graph) -> None:
    if len(graph.inputs) > 1:
        names = ", ".join(value.name for value in graph.inputs)
        raise InputError(f"{file}: one input; a .npz holds those of a network of several: {names}")


def _of_pictures(files: Sequence[str], pictures: Pictures) -> _Group:
    _check_one_input(files[0], pictures.graph)
    suffixes = tuple(images.SUFFIXES)
    for file in files:
        if not (file.lower().endswith(suffixes) and os.path.isfile(file)):
            images.check_file(Path(file))

    def read(indices: Iterable[int]) -> Iterator[Named]:
        return ((files[index], (Path(files[index]),)) for index in indices)

    return _Group(len(files), read)


def _of_arrays(where: str, arrays: Mapping[str, Stored], graph: Graph) -> _Group:
    """Samples along the first dimension of arrays, one an input."""
    inputs = graph.inputs
    prefix = f"{where}: " if where else ""
    found = dict(arrays)
    unlabelled = [array for name, array in arrays.items() if name not in LABELS]
    if len(inputs) == len(unlabelled) == 1:
        found = {inputs[0].name: unlabelled[0]}
    counts: dict[str, int] = {}
    for value in inputs:
        if value.name not in found:
            told = ", ".join(map(repr, found)) or "none"
            raise InputError(f"{prefix}no array named {value.name!r}, as the input is; but {told}")
        shape = found[value.name].shape
        count = samples_in(shape, value.type.shape)
        if count is None:
            raise InputError(
                f"{prefix}shape {list(shape)}; input {value.name!r} takes "
                f"{list(value.type.shape)}, and so many samples in front"
            )
        counts[value.name] = count
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise InputError(f"{prefix}{told}; there must be as many of each input")
    (count,) = set(counts.values())

    def read(indices: Iterable[int]) -> Iterator[Named]:
        split = itertools.tee(indices, len(inputs) + 1)
        columns = [
            found[value.name].pieces(value.type.shape, each)
            for value, each in zip(inputs, split, strict=False)
        ]
        comma = f"{where}, " if where else ""
        for index, *given in zip(split[-1], *columns, strict=True):
            yield f"{comma}sample {index}" if count > 1 else where or "sample 0", tuple(given)

    return _Group(count, read)


def _check_finite(where: str, array: Array, value: Value) -> None:
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return
    kind = "NaN" if np.isnan(array).any() else "an infinity"
    raise InputError(f"{where}: input {value.name!r} has {kind}; numbers must be finite")


def _is_constant(array: Array) -> bool:
    return array.size > 1 and bool((array == array.flat[0]).all())
