"""Every .tflite network of the data folder loads, compiles, runs and gives what LiteRT gives."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from data_folder import data_folder
from edgewise.data.images import choose_normalization, load_input, takes_pictures
from edgewise.graph import Array, Graph
from edgewise.tools.differences import random_inputs
from edgewise.tools.peers import LiteRT
from networks import reference

pytestmark = pytest.mark.data

FLOAT_TOLERANCE = 1e-4
"""How far floats may be from LiteRT's, as a share of the range of the output's values, or of the
magnitude of a single one."""

RANDOM_SETS = 2
PICTURES = ("cat.bmp", "group.jpg")
OTHER_PICTURES = {
    "blazeface": ("face.jpg", "faces.jpg"),
    "deeplabv3": ("bird_segmentation.bmp", "cat.bmp"),
    "face_landmark": ("face.jpg",),
    "hourglass_pose": ("squat.bmp",),
    "movenet": ("squat.bmp", "portrait.jpg"),
    "portrait": ("portrait.jpg",),
    "rfb320": ("faces.jpg", "group.jpg"),
    "style_transfer": ("sunflower.bmp",),
}
"""By the beginning of a network's name: pictures of what it was trained on."""

ILL_CONDITIONED = {
    "basic_pitch_float": (
        2e-3,
        "LOG of a sound's powers; the least are rounding errors of sums 1e7 times as great, and "
        "the range is normalised by them",
    )
}
"""Networks that magnify rounding errors: how far they may be from LiteRT, and why. LiteRT too is
further than the tolerance from exact arithmetic."""


def networks() -> list[str]:
    folder = data_folder()
    return sorted(p.stem for p in (folder / "models").glob("*.tflite")) if folder else []


def pictures(name: str, graph: Graph, data: Path) -> Iterator[list[Array]]:
    """Photographs, where the network takes one; further inputs are random."""
    if not takes_pictures(graph.inputs[0].type):
        return
    files = next((v for k, v in OTHER_PICTURES.items() if name.startswith(k)), PICTURES)
    first, folder = graph.inputs[0].type, data / "data" / "images"
    for file in files:
        (arrays,) = random_inputs(graph, 1, 7)
        normalization = choose_normalization(first, graph.metadata)
        yield [load_input(folder / file, first, normalization), *arrays[1:]]


def samples(data: Path, name: str) -> Array:
    """A recording as float32 in [-1, 1)."""
    with wave.open(str(data / "data" / "audio" / name)) as recording:
        raw = recording.readframes(recording.getnframes())
    return np.frombuffer(raw, np.int16).astype(np.float32) / 32768


def sound(graph: Graph, data: Path) -> Iterator[list[Array]]:
    """Two pieces of a recording."""
    shape = graph.inputs[0].type.shape
    recording = samples(data, "mix.wav")
    for i in range(2):
        yield [np.resize(recording[i * 8000 :], shape)]


def spectra(graph: Graph, data: Path) -> Iterator[list[Array]]:
    """Magnitudes of short pieces of a noisy recording, with states that are random at first."""
    recording = samples(data, "mix.wav")
    (arrays,) = random_inputs(graph, 1, 3)
    for i in range(3):
        piece = recording[i * 128 : i * 128 + 512]
        yield [np.abs(np.fft.rfft(piece)).astype(np.float32)[None, None], *arrays[1:]]


SOUNDS = {"basic_pitch": sound, "dtln": spectra}


def inputs(name: str, graph: Graph, data: Path) -> list[list[Array]]:
    """Sets of inputs, real ones where the data folder has fitting ones, and random ones."""
    heard = next((v for k, v in SOUNDS.items() if name.startswith(k)), None)
    real = heard(graph, data) if heard else pictures(name, graph, data)
    return [*real, *random_inputs(graph, RANDOM_SETS, 1)]


def error(ours: Array, theirs: Array) -> float:
    """The greatest difference: in steps, or for floats as a share of the range."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if ours.dtype.kind != "f":
        return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    span = float(theirs.max() - theirs.min()) or float(np.abs(theirs).max())
    return float(np.abs(ours - theirs).max()) / (span or 1.0)


def answers(program: ew.Program, arrays: Sequence[Array]) -> Sequence[Array]:
    given = program(*arrays)
    return given if isinstance(given, tuple) else (given,)


@pytest.mark.parametrize("name", networks())
def test_it_gives_what_litert_gives(name: str, data: Path) -> None:
    """In calls in a row, so that networks with variables go on from what they kept."""
    path = data / "models" / f"{name}.tflite"
    graph = ew.load(path)
    sets = inputs(name, graph, data)
    peer = LiteRT(path)
    expected = [peer.run(arrays) for arrays in sets]
    worst = {"f": 0.0, "i": 0.0}
    for threads in (1, 2):
        with contextlib.closing(ew.compile(graph, threads=threads)) as program:
            for arrays, theirs in zip(sets, expected, strict=True):
                for a, b in zip(answers(program, arrays), theirs, strict=True):
                    kind = "f" if a.dtype.kind == "f" else "i"
                    worst[kind] = max(worst[kind], error(a, b))
    assert worst["i"] == 0
    assert worst["f"] <= ILL_CONDITIONED.get(name, (FLOAT_TOLERANCE,))[0]


@pytest.mark.parametrize("name", ILL_CONDITIONED)
def test_litert_is_not_exact_either(name: str, data: Path) -> None:
    path = data / "models" / f"{name}.tflite"
    graph, peer = ew.load(path), LiteRT(path)
    worst = max(
        error(a, b)
        for arrays in inputs(name, graph, data)
        for a, b in zip(reference(graph, arrays), peer.run(arrays), strict=True)
    )
    assert FLOAT_TOLERANCE < worst < ILL_CONDITIONED[name][0]


@pytest.mark.parametrize("name", networks())
def test_no_operator_runs_through_numpy(name: str, data: Path) -> None:
    graph = ew.load(data / "models" / f"{name}.tflite")
    with contextlib.closing(ew.compile(graph, strict=True)) as program:
        assert program.fallbacks == ()


def test_the_tables_name_networks(data: Path) -> None:
    known = networks()
    assert len(known) == 34
    assert ILL_CONDITIONED.keys() <= set(known)
    for prefix in (*OTHER_PICTURES, *SOUNDS):
        assert any(name.startswith(prefix) for name in known)
