"""What the networks of the data folder are calibrated with and judged on."""

from __future__ import annotations

import csv
import functools
import io
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from edgewise.data import images
from edgewise.graph import Array, Graph, TensorType

Sample: TypeAlias = "tuple[Array, ...]"
"""One array a network input."""


@dataclass(frozen=True)
class Fold:
    """Samples to calibrate with, others to judge on, and the latter's classes where known."""

    calibration: list[Sample]
    tests: list[Sample]
    labels: list[int] | None = None


Source: TypeAlias = "Callable[[Path, Graph], list[Fold]]"
"""source(data folder, float network): the folds; each test sample is in one of them."""


@dataclass(frozen=True)
class Pixels:
    """How a network wants pixels: (byte - mean) / std, by channel, red first or blue first."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    blue_first: bool = False

    def __call__(self, picture: Image.Image, type: TensorType) -> Array:
        """A picture as a tensor [1, height, width, C] or [1, C, height, width]."""
        axis = images.channel_axis(type)
        assert axis is not None
        height, width = type.shape[1:3] if axis == 3 else type.shape[2:]
        fitted = images.fit_picture(picture.convert("RGB"), height, width, "crop")
        pixels = np.asarray(fitted, np.float64)
        if self.blue_first:
            pixels = pixels[..., ::-1]
        real = ((pixels - self.mean) / self.std).astype(np.float32)[None]
        return real if axis == 3 else np.ascontiguousarray(real.transpose(0, 3, 1, 2))


UNIT = Pixels((0.0,), (255.0,))
SIGNED = Pixels((127.5,), (127.5,))


def photographs(
    pixels: Pixels,
    calibration: int = 64,
    tests: int = 64,
    crossed: bool = False,
    style: bool = False,
) -> Source:
    """The photographs of 500 classes: calibration with those of even number, tests of odd number.

    ``crossed`` adds a fold that has them the other way round, so that all are tests of one
    fold. ``style`` adds 100 normal random numbers as a second input.
    """

    def read(folder: Path, graph: Graph) -> list[Fold]:
        with (folder / "data/imagenet500/labels.csv").open() as file:
            rows = list(csv.DictReader(file))
        generator = np.random.default_rng(0)

        def sample(row: dict[str, str]) -> Sample:
            picture = images.open_picture(folder / "data/imagenet500" / row["file"])
            array = pixels(picture, graph.inputs[0].type)
            if not style:
                return (array,)
            return array, generator.normal(size=graph.inputs[1].type.shape).astype(np.float32)

        def fold(first: int) -> Fold:
            known, others = rows[first::2], rows[1 - first :: 2]
            others = spread(others, tests)
            return Fold(
                [sample(row) for row in spread(known, calibration)],
                [sample(row) for row in others],
                [int(row["class_index"]) for row in others],
            )

        return [fold(0), fold(1)] if crossed else [fold(0)]

    return read


def cifar(calibration: int, tests: int) -> Source:
    """CIFAR-10: calibration with its training pictures, pixels 0 to 255."""

    def read(folder: Path, graph: Graph) -> list[Fold]:
        archive = np.load(folder / "data/cifar10_jpeg.npz")

        def pictures(part: str, count: int) -> list[Sample]:
            offsets, content = archive[f"{part}_offsets"], archive[f"{part}_jpeg"].tobytes()
            files = (content[offsets[i] : offsets[i + 1]] for i in range(count))
            opened = (np.asarray(Image.open(io.BytesIO(f)), np.float32) for f in files)
            return [(array[None],) for array in opened]

        labels = [int(label) for label in archive["test_labels"][:tests]]
        return [Fold(pictures("train", calibration), pictures("test", tests), labels)]

    return read


@dataclass(frozen=True)
class Frames:
    """A spectrum of sound at 16 kHz over time: windows of samples, mel bands of a spectrum."""

    window: int
    hop: int
    length: int
    bands: int
    low: float
    high: float

    def mel(self, sound: Array, power: float) -> Array:
        """Mel bands [frames, bands] of a sound, of magnitudes to a power."""
        count = 1 + (len(sound) - self.window) // self.hop
        starts = self.hop * np.arange(count)[:, None]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        framed = sound[starts + np.arange(self.window)] * hann
        spectrum = np.abs(np.fft.rfft(framed, self.length)) ** power
        return spectrum @ self._filters()

    def _filters(self) -> Array:
        def mel(frequency: Array | float) -> Array:
            return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)

        edges = np.linspace(mel(self.low), mel(self.high), self.bands + 2)
        bins = mel(np.linspace(0.0, RATE / 2, self.length // 2 + 1))[:, None]
        up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
        down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
        return np.maximum(0.0, np.minimum(up, down))


RATE = 16_000
MACHINES = Frames(1024, 512, 1024, 128, 0.0, 8000.0)


def levels(sound: Array) -> Array:
    """[1, 640]: five frames of 128 mel bands in decibel, as MLPerf Tiny's are."""
    bands = 10.0 * np.log10(MACHINES.mel(sound, 2.0) + np.finfo(np.float32).eps)
    return bands[:5].astype(np.float32).reshape(1, -1)


def sounds(
    features: Callable[[Array], Array], length: int, step: int, mixed: bool = False
) -> Source:
    """Recordings, cut into pieces of a length: calibration with noisy speech, tests of clean.

    ``mixed`` takes every second piece of all recordings for tests, and the others to calibrate.
    """

    def read(folder: Path, graph: Graph) -> list[Fold]:
        def pieces(*names: str) -> list[Sample]:
            recordings = [recording(folder / f"data/audio/{name}.wav") for name in names]
            return [
                (features(sound[start : start + length]),)
                for sound in recordings
                for start in range(0, len(sound) - length + 1, step)
            ]

        noisy = pieces("mix", "noise_1000ms")
        others = pieces("enh_stream", "yes_1000ms", "no_1000ms")
        if mixed:
            noisy, others = (noisy + others)[::2], (noisy + others)[1::2]
        return [Fold(spread(noisy, 64), spread(others, 64))]

    return read


@functools.cache
def recording(path: Path) -> Array:
    """A .wav file of 16-bit samples as numbers from -1 to 1."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768.0


def spread(items: Sequence, count: int) -> list:  # type: ignore[type-arg]
    """``count`` of the items, at equal distances."""
    if count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
