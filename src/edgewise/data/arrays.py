"""Arrays as network inputs: in files, read piece by piece, and in memory."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from ..errors import InputError
from ..graph import Array, TensorType


def load_arrays(file: Path) -> Any:
    """The array of a .npy, or those of a .npz by name.

    Raises:
        InputError: the file is absent, or numpy cannot read it.
    """
    with _reading(file):
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}


class Stored(NamedTuple):
    """An array in a file, of which the header was read; ``pieces`` gives some of it.

    ``pieces(shape, indices)`` are arrays of ``shape``, the ascending ``indices`` of those that the
    array is when its elements are taken in order; memory holds one at a time.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[tuple[int, ...], Iterable[int]], Iterator[Array]]


def stored_arrays(file: Path) -> dict[str, Stored]:
    """The arrays of a .npz by name; of a .npy its one, whose name is empty.

    Raises:
        InputError: the file is absent, or is no such file.
    """
    with _reading(file):
        if file.suffix.lower() == ".npy":
            return {"": _stored(file, lambda: file.open("rb"), file.stat().st_size)}
        with zipfile.ZipFile(file) as archive:
            sizes = {i.filename: i.file_size for i in archive.infolist()}

        def opener(name: str) -> Callable[[], IO[bytes]]:
            return lambda: zipfile.ZipFile(file).open(name)

        return {
            name.removesuffix(".npy"): _stored(file, opener(name), size)
            for name, size in sizes.items()
            if name.endswith(".npy")
        }


def whole(stored: Stored) -> Array:
    """All of an array."""
    (array,) = stored.pieces(stored.shape, [0])
    return array


def of_memory(array: Array) -> Stored:
    """An array that is there already, as if it were in a file."""

    def pieces(shape: tuple[int, ...], indices: Iterable[int]) -> Iterator[Array]:
        parts = array.reshape(-1, *shape)
        return (parts[index] for index in indices)

    return Stored(array.shape, array.dtype, pieces)


def samples_in(shape: tuple[int, ...], wanted: tuple[int, ...]) -> int | None:
    """How many inputs of shape ``wanted`` an array of ``shape`` holds; None: it holds none.

    ``wanted`` itself is one, and so it is without a first dimension of 1. A further dimension in
    front counts samples; otherwise the first does, in multiples of the input's own.
    """
    if shape == wanted or (wanted[:1] == (1,) and shape == wanted[1:]):
        return 1
    if shape[1:] == wanted and shape:
        return shape[0]
    if len(shape) == len(wanted) and shape[1:] == wanted[1:] and wanted[0]:
        return None if shape[0] % wanted[0] else shape[0] // wanted[0]
    return None


def converted(array: Array, type: TensorType) -> Array | None:
    """``array`` as the input ``type``, in its element type; None where there is no rule for it.

    Real numbers (finite ones) of another precision are rounded; for a quantized input they are
    quantized and saturated. Integers become the input's integers where it is not quantized and all
    fit.
    """
    dtype = type.dtype
    if array.dtype == dtype.numpy:
        return array
    if array.dtype.kind == "f" and dtype.is_float:
        with np.errstate(over="ignore"):
            return array.astype(dtype.numpy)
    if array.dtype.kind == "f" and type.quant is not None and type.quant.axis is None:
        real = array.astype(np.float64)
        steps = np.rint(real / type.quant.scale[0]) + type.quant.zero_point[0]
        return np.asarray(np.clip(steps, *dtype.range), dtype.numpy)
    if array.dtype.kind in "iu" and dtype.is_integer and type.quant is None:
        low, high = dtype.range
        fits = array.size == 0 or (int(array.min()) >= low and int(array.max()) <= high)
        return array.astype(dtype.numpy) if fits else None
    return None


def dequantize(array: Array, type: TensorType) -> Array:
    """The real values (float64) of an array of ``type``; plain numbers where not quantized.

    Of complex numbers, their magnitudes.
    """
    if array.dtype.kind == "c":
        return np.abs(array).astype(np.float64)
    if type.quant is None:
        return array.astype(np.float64)
    scale, zero_point = np.array(type.quant.scale), np.array(type.quant.zero_point)
    if type.quant.axis is not None:
        spread = [1] * array.ndim
        spread[type.quant.axis] = -1
        scale, zero_point = scale.reshape(spread), zero_point.reshape(spread)
    return np.asarray((array.astype(np.float64) - zero_point) * scale)


def _stored(file: Path, opened: Callable[[], IO[bytes]], size: int) -> Stored:
    """The array that ``opened`` gives in ``size`` bytes; those in Fortran's order are loaded."""
    with opened() as stream:
        shape, fortran, dtype = _header(stream)
        start = stream.tell()
        if start + math.prod(shape) * dtype.itemsize > size:
            raise InputError(f"{file}: ends before the array of {list(shape)} that it tells")
        if fortran and len(shape) > 1:
            stream.seek(0)
            return of_memory(np.ascontiguousarray(npy.read_array(stream, allow_pickle=False)))

    def pieces(wanted: tuple[int, ...], indices: Iterable[int]) -> Iterator[Array]:
        nbytes = math.prod(wanted) * dtype.itemsize
        with _reading(file), opened() as stream:
            for index in indices:
                stream.seek(start + index * nbytes)
                content = stream.read(nbytes)
                if len(content) != nbytes:
                    raise InputError(
                        f"{file}: ends before the array of {list(shape)} that it tells"
                    )
                yield np.frombuffer(content, dtype).reshape(wanted)

    return Stored(shape, dtype, pieces)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("Python objects")
    return shape, fortran, dtype


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{file}: not an array that numpy can read: {error}") from None
