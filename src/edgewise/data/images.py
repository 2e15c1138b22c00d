"""Files as network inputs: pictures are fitted, normalised and quantized; arrays are checked.

A pixel byte p stands for the real number (p - mean) / std. For a float input that number is the
input; for a quantized input it is quantized: q = round(real / scale) + zero_point. Networks
trained on pictures choose their scale and zero point so that this maps bytes to bytes, but rarely
to the last digit (scale 1/127.5 and zero point 127 stand for pixels with mean 127.5). So where
the formula never leaves the pixel's own byte by more than one step, the byte itself is the input,
as it was in training.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..dtype import DType
from ..errors import InputError
from ..graph import Array, Graph, TensorType, Value
from .arrays import load_arrays

Fit = Literal["crop", "stretch"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

CROPPED = 224 / 256
"""The share of the shorter side that a centre crop keeps, as in the usual 256 -> 224."""


@dataclass(frozen=True)
class Normalization:
    """real = (byte - mean) / std, with one entry, or one a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise InputError(f"normalisation: {len(self.mean)} means and {len(self.std)} stds")
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(s) and s > 0 for s in self.std):
            raise InputError(f"normalisation: mean {self.mean}, std {self.std}; std is above 0")

    @classmethod
    def to_range(cls, *ends: float) -> Normalization:
        """The normalisation that takes byte 0 to the first number, and byte 255 to the second.

        Further pairs are those of the other channels.
        """
        pairs = list(zip(ends[::2], ends[1::2], strict=False))
        if len(ends) % 2 or not all(low < high for low, high in pairs):
            told = ",".join(f"{end:g}" for end in ends)
            raise InputError(f"normalisation: range {told}; the first of two must be lower")
        stds = [255.0 / (high - low) for low, high in pairs]
        means = [-low * std for (low, _), std in zip(pairs, stds, strict=True)]
        return cls(tuple(means), tuple(stds))


CONVENTIONS = (
    Normalization.to_range(-1.0, 1.0),
    Normalization.to_range(0.0, 1.0),
    Normalization.to_range(0.0, 255.0),
)
"""What networks expect when their file does not say: the first is the default."""

SAME_BYTES = 1.001
"""Pixels whose quantized values lie at most one step (and rounding noise) from the bytes."""


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def channel_axis(type: TensorType) -> int | None:
    """Where a tensor that can hold one picture has its 1, 3 or 4 channels: 3 for [1, height,
    width, channels], 1 for [1, channels, height, width]; None for any other tensor.
    """
    shape = type.shape
    if len(shape) != 4 or shape[0] != 1:
        return None
    for axis, size in ((3, shape[1:3]), (1, shape[2:])):
        if shape[axis] in (1, 3, 4) and min(size) > 1:
            return axis
    return None


def takes_pictures(type: TensorType) -> bool:
    """Whether a tensor can hold one picture."""
    return channel_axis(type) is not None


def open_picture(source: Path | bytes, name: str = "picture") -> Image.Image:
    """Read a picture, turned upright as its EXIF orientation says, as RGB or RGBA.

    Grey pictures of 16 bits are scaled to 8. Of an animation, the first frame is taken.

    Args:
        source: a file, or what is in one.
        name: what errors call it, where it is no file.

    Raises:
        InputError: the file is absent or is no picture.
    """
    about = name if isinstance(source, bytes) else str(source)
    content = io.BytesIO(source) if isinstance(source, bytes) else source
    with reading(about), Image.open(content) as opened:
        return upright(opened)


@contextlib.contextmanager
def reading(about: str) -> Iterator[None]:
    """Turns what Pillow raises into an InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{about}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{about}: not a picture that Pillow can read") from None
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"{about}: the picture cannot be read: {why}") from None
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{about}: the picture cannot be read: {error}") from None


def upright(picture: Image.Image) -> Image.Image:
    """A picture as `open_picture` gives it."""
    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith("I"):
        grey = np.asarray(turned).astype(np.float64) / 257.0
        turned = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    has_alpha = "A" in turned.mode or "transparency" in turned.info
    return turned.convert("RGBA" if has_alpha else "RGB")


def fit_picture(picture: Image.Image, height: int, width: int, fit: Fit) -> Image.Image:
    """Bring a picture to ``height`` x ``width`` by bilinear resampling with antialiasing.

    ``crop`` keeps the proportions: the picture is scaled until it covers the target enlarged by
    256/224, then its centre is cut out. ``stretch`` resizes both sides, so that all is seen. A
    picture of that size already stays as it is.
    """
    if picture.size == (width, height):
        return picture
    if fit == "stretch":
        return picture.resize((width, height), Image.Resampling.BILINEAR)
    cover = max(
        round(width / CROPPED) / picture.width,
        round(height / CROPPED) / picture.height,
    )
    scaled_width = max(width, round(picture.width * cover))
    scaled_height = max(height, round(picture.height * cover))
    left, top = (scaled_width - width) // 2, (scaled_height - height) // 2
    scaled = picture.resize((scaled_width, scaled_height), Image.Resampling.BILINEAR)
    return scaled.crop((left, top, left + width, top + height))


def with_channels(picture: Image.Image, channels: int) -> Image.Image:
    """A picture of 1 (grey), 3 (RGB) or 4 (RGBA) channels; transparency falls on white."""
    if channels == 4:
        return picture.convert("RGBA")
    if picture.mode == "RGBA":
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return picture.convert("L" if channels == 1 else "RGB")


def choose_normalization(type: TensorType, metadata: Mapping[str, Any]) -> Normalization:
    """What the model's metadata says, else the convention that suits its input.

    A quantized input shows by its scale and zero point which range it was trained for: the
    convention that takes bytes nearest to themselves is chosen. A float input gets [-1, 1].
    """
    stated = metadata.get("input_normalization")
    if stated:
        mean, std = stated["mean"], stated["std"]
        return Normalization(tuple(map(float, mean)), tuple(map(float, std)))
    if type.quant is None:
        return CONVENTIONS[0]
    return min(CONVENTIONS, key=lambda n: _distance_from_bytes(type, n))


def pixels_to_input(
    pixels: Array, type: TensorType, normalization: Normalization | None = None
) -> Array:
    """Turn uint8 pixels [H,W,C] into the input [1,H,W,C] of ``type``.

    Raises:
        InputError: the input's type can hold no picture.
    """
    if type.dtype.is_float:
        real = _real(pixels, normalization or CONVENTIONS[0])
        return np.asarray(real, type.dtype.numpy)[None]
    if type.dtype not in (DType.UINT8, DType.INT8):
        raise InputError(f"a picture cannot become {type}; give the input as .npy")
    low, high = type.dtype.range
    if type.quant is not None and normalization is not None:
        steps = _quantized(pixels, type, normalization)
        if _distance_from_bytes(type, normalization) > SAME_BYTES:
            return np.clip(np.rint(steps), low, high).astype(type.dtype.numpy)[None]
    return (pixels.astype(np.int16) + low).astype(type.dtype.numpy)[None]


def load_input(
    source: Path | Image.Image,
    type: TensorType,
    normalization: Normalization | None = None,
    fit: Fit = "crop",
) -> Array:
    """A picture, or the one in a file, as the network input ``type``, [1,H,W,C] or [1,C,H,W].

    Raises:
        InputError: the file is absent or no picture, or the input can hold none.
    """
    axis = channel_axis(type)
    if axis is None:
        about = source if isinstance(source, Path) else "a picture"
        raise InputError(
            f"{about}: the model's input is {type}, not a picture [1, height, width, channels] or "
            "[1, channels, height, width]; give the input as .npy"
        )
    channels = type.shape[axis]
    height, width = type.shape[1:3] if axis == 3 else type.shape[2:]
    opened = open_picture(source) if isinstance(source, Path) else source
    picture = with_channels(opened, channels)
    pixels = np.asarray(fit_picture(picture, height, width, fit))
    array = pixels_to_input(pixels.reshape(height, width, channels), type, normalization)
    return array if axis == 3 else np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def input_files(graph: Graph, files: Sequence[Path]) -> list[list[Path]]:
    """The files of each run: one a network input, in order, or one .npz for all of them."""
    if all(f.suffix == ".npz" for f in files):
        return [[f] for f in files]
    each = len(graph.inputs)
    if not each:
        raise InputError(f"{files[0]}: the model takes no inputs")
    if len(files) % each:
        names = ", ".join(v.name for v in graph.inputs)
        given = f"{len(files)} input file{'s' if len(files) > 1 else ''}"
        raise InputError(f"{given}; the model takes {each} at a time: {names}")
    return [list(files[i : i + each]) for i in range(0, len(files), each)]


def load_inputs(
    graph: Graph,
    files: Sequence[Path],
    fit: str | None = None,
    pixels: Sequence[float] | None = None,
) -> list[Array]:
    """The network's inputs from one run's files.

    Raises:
        InputError: a file is absent, unreadable, or not what the input needs.
    """
    if len(files) == 1 and files[0].suffix == ".npz":
        archive = load_arrays(files[0])
        missing = [v.name for v in graph.inputs if v.name not in archive]
        if missing:
            raise InputError(f"{files[0]}: no array named {missing[0]!r}; a .npz holds all inputs")
        return [_fitting(archive[v.name], v, files[0]) for v in graph.inputs]
    return [
        _load_input(graph, value, file, fit, pixels)
        for value, file in zip(graph.inputs, files, strict=True)
    ]


def _load_input(
    graph: Graph,
    value: Value,
    file: Path,
    fit: str | None,
    pixels: Sequence[float] | None,
) -> Array:
    if file.suffix == ".npy":
        return _fitting(load_arrays(file), value, file)
    check_file(file)
    normalization = normalization_of(graph, value, pixels)
    return load_input(file, value.type, normalization, fit_of(graph, fit))


def check_file(file: Path) -> None:
    """Refuse what is no file, or by its name no picture."""
    if file.is_dir():
        raise InputError(f"{file}: a folder; give its files one by one, or as {file}/*")
    if not file.exists():
        raise InputError(f"{file}: no such file")
    if not is_picture(file):
        known = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{file}: an input is .npy, .npz or a picture ({known})")


def normalization_of(
    graph: Graph, value: Value, pixels: Sequence[float] | None = None
) -> Normalization | None:
    """That of pictures for an input of ``graph``; None where it takes none.

    ``pixels`` is what black and white become, where that is known.
    """
    if pixels is not None:
        return Normalization.to_range(*pixels)
    if takes_pictures(value.type):
        return choose_normalization(value.type, graph.metadata)
    return None


def _fitting(array: Any, value: Value, file: Path) -> Array:
    """``array``, which must have the shape and dtype of the input ``value``."""
    wanted = value.type
    if not isinstance(array, np.ndarray):
        raise InputError(f"{file}: several arrays; input {value.name!r} takes one, from a .npy")
    if array.shape != wanted.shape or array.dtype != wanted.dtype.numpy:
        message = (
            f"{file}: {array.dtype}{list(array.shape)}; input {value.name!r} takes "
            f"{wanted.dtype}{list(wanted.shape)}"
        )
        if array.dtype == wanted.dtype.numpy and array.ndim == len(wanted.shape) and array.size:
            sizes = ",".join(map(str, array.shape))
            message += f"; --shape {value.name}={sizes} asks the model for that shape"
        raise InputError(message)
    return array


def fit_of(graph: Graph, fit: str | None = None) -> Fit:
    """How pictures are fitted to ``graph``, unless ``fit`` says it: cropped for classifiers."""
    if fit is not None:
        return cast(Fit, fit)
    shape = graph.outputs[0].type.shape
    return "crop" if sum(n > 1 for n in shape) == 1 else "stretch"


def _real(pixels: Array, normalization: Normalization) -> Array:
    channels = pixels.shape[-1]
    if len(normalization.mean) not in (1, channels):
        raise InputError(
            f"normalisation: {len(normalization.mean)} means for a picture of {channels} channels"
        )
    return (pixels.astype(np.float64) - normalization.mean) / normalization.std


def _quantized(pixels: Array, type: TensorType, normalization: Normalization) -> Array:
    """The quantized pixels before rounding and clamping."""
    if type.quant is None or type.quant.axis is not None:
        raise InputError(f"a picture cannot become {type}; give the input as .npy")
    return _real(pixels, normalization) / type.quant.scale[0] + type.quant.zero_point[0]


def _distance_from_bytes(type: TensorType, normalization: Normalization) -> float:
    """How far, in steps, quantization takes any pixel from its own byte: nearly 0 to large."""
    every = np.repeat(np.arange(256)[:, None], len(normalization.mean), axis=1)
    shift = type.dtype.range[0] if type.dtype in (DType.UINT8, DType.INT8) else 0
    return float(np.abs(_quantized(every, type, normalization) - (every + shift)).max())
