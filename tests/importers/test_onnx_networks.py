"""Real networks give what ONNX Runtime gives."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgewise as ew

pytestmark = pytest.mark.data

Array = npt.NDArray[Any]

NETWORKS = {
    "basic_pitch_float": 1.0,
    "dtln_1_float": 1.0,
    "fastestdet_float": 1.0,
    "gtcrn_stream_float": 1.0,
    "mnist_cnn_float": 255.0,
    "pfld_float": 1.0,
    "rfb320_float": 1.0,
    "sinet_segmentation_float": 1.0,
    "wakeword_computer_float": 8.0,
    "yunet_n_float": 255.0,
}
"""Every .onnx network of the data folder, and the greatest number that it is given."""

RANGE = 1e-4
"""How far results may be apart, of the range of the output."""


def session(path: Path) -> Any:
    """The peer."""
    ort = pytest.importorskip("onnxruntime")
    ort.set_default_logger_severity(4)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def assert_close(given: Array, expected: Array) -> None:
    assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
    span = float(np.ptp(expected)) or 1.0
    assert float(np.abs(given - expected).max()) <= RANGE * span


def several(results: Array | tuple[Array, ...]) -> Sequence[Array]:
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_gives_what_onnx_runtime_gives(name: str, data: Path) -> None:
    path = data / "models" / f"{name}.onnx"
    graph, peer = ew.load(path), session(path)
    assert [v.name for v in graph.inputs] == [v.name for v in peer.get_inputs()]
    assert [v.name for v in graph.outputs] == [v.name for v in peer.get_outputs()]
    rng = np.random.default_rng(5)
    with contextlib.closing(ew.compile(graph)) as program:
        for _ in range(2):
            feeds = {
                v.name: (rng.random(v.type.shape) * NETWORKS[name]).astype(v.type.dtype.numpy)
                for v in graph.inputs
            }
            expected = peer.run(None, feeds)
            for y, wanted in zip(several(program(**feeds)), expected, strict=True):
                assert_close(y, wanted)


def test_all_networks_of_the_folder_are_tried(data: Path) -> None:
    assert {p.stem for p in (data / "models").glob("*.onnx")} == NETWORKS.keys()


WINDOW = np.hanning(513)[:-1] ** 0.5


def frames_of(path: Path) -> Array:
    """Spectra [frame, 257, 2] of a recording: 512 samples every 256, each under ``WINDOW``."""
    with wave.open(str(path)) as file:
        raw = file.readframes(file.getnframes())
    samples = np.frombuffer(raw, np.int16).astype(np.float32) / 32768
    padded = np.pad(samples, 256, mode="reflect")
    count = (len(padded) - 512) // 256 + 1
    parts = np.stack([padded[i * 256 : i * 256 + 512] for i in range(count)])
    spectra = np.fft.rfft(parts * WINDOW)
    return np.stack([spectra.real, spectra.imag], axis=-1).astype(np.float32)


def test_a_stream_is_enhanced_frame_by_frame(data: Path) -> None:
    """The caches that a call gives are those of the next one."""
    path = data / "models" / "gtcrn_stream_float.onnx"
    graph, peer = ew.load(path), session(path)
    spectra = frames_of(data / "data" / "audio" / "mix.wav")
    assert len(spectra) > 600
    first, *caches = graph.inputs
    ours = [np.zeros(v.type.shape, np.float32) for v in caches]
    theirs = [np.zeros(v.type.shape, np.float32) for v in caches]
    with contextlib.closing(ew.compile(graph)) as program:
        for spectrum in spectra:
            frame = spectrum[None, :, None, :]
            y, *ours = several(program(frame, *ours))
            names = [v.name for v in graph.inputs]
            wanted, *theirs = peer.run(None, dict(zip(names, [frame, *theirs], strict=True)))
            for a, b in zip([y, *ours], [wanted, *theirs], strict=True):
                assert_close(a, b)
    assert first.type.shape == (1, 257, 1, 2)
