"""The benchmark of quantizers: its scores and its page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.quantization import datasets, page
from benchmarks.quantization.makeup import PARTS, makeup
from benchmarks.quantization.scores import EXACT, Judge, decibel, paired, wilson

import edgewise as ew
from edgewise import exporters
from edgewise.dtype import DType
from edgewise.graph import Graph, Node, TensorType, Value
from edgewise.ops import FullyConnected


def test_sqnr_is_of_all_samples_together_and_the_mean_of_outputs() -> None:
    judge = Judge()
    judge.add(
        [np.array([[3.0, 0.0]]), np.array([[1.0]])], [np.array([[2.0, 1.0]]), np.array([[1.0]])]
    )
    judge.add(
        [np.array([[0.0, 5.0]]), np.array([[2.0]])], [np.array([[0.0, 5.0]]), np.array([[2.0]])]
    )
    facts = judge.facts()
    assert facts["sqnr"] == pytest.approx((10 * math.log10(30 / 2) + EXACT) / 2)
    assert facts["classes"] == [0, 1]
    assert facts["agreement"] == 1.0


def test_decibel_of_what_is_not_finite_is_the_least() -> None:
    assert decibel(1.0, math.nan) == -EXACT
    assert decibel(1.0, 0.0) == EXACT
    assert decibel(100.0, 1.0) == pytest.approx(20.0)


def test_wilson_interval() -> None:
    low, high = wilson(281, 500)
    assert (round(low, 3), round(high, 3)) == (0.518, 0.605)
    assert wilson(0, 10)[0] == pytest.approx(0.0, abs=1e-12)


def test_paired_difference_and_its_interval() -> None:
    before = [True] * 90 + [False] * 10
    after = [True] * 88 + [False] * 12
    mean, low, high = paired(before, after)
    assert mean == pytest.approx(-0.02)
    assert low < mean < high < 0.01
    assert paired(before, before) == (0.0, 0.0, 0.0)


def test_spread_takes_items_at_equal_distances() -> None:
    assert datasets.spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert datasets.spread(range(3), 5) == [0, 1, 2]


def test_mel_bands_of_a_tone_peak_where_it_is() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(3072) / datasets.RATE)
    bands = datasets.MACHINES.mel(tone, 2.0)
    assert bands.shape == (5, 128)
    centres = np.linspace(0, 1127 * math.log1p(8000 / 700), 130)[1:-1]
    nearest = int(np.abs(centres - 1127 * math.log1p(1000 / 700)).argmin())
    assert abs(int(bands[2].argmax()) - nearest) <= 1


def document() -> dict[str, Any]:
    def entry(sqnr: float) -> dict[str, Any]:
        share = {"top1": 0.5, "top1_low": 0.4, "top1_high": 0.6}
        lost = {"lost": 0.01, "lost_low": -0.01, "lost_high": 0.03}
        return {"sqnr": sqnr, "agreement": 0.9, "bytes": 110, **share, **lost}

    result: dict[str, Any] = {
        "metric": "top1",
        "float_bytes": 400,
        "float": {"top1": 0.51, "top1_low": 0.41, "top1_high": 0.61},
        "contestants": {
            "edgewise": {"default": entry(30.0)},
            "ai-edge-quantizer": {"min-max": {"error": "RuntimeError: no | form"}},
            "onnxruntime": {"MinMax": entry(20.0), "Entropy": entry(25.0)},
        },
    }
    parts = {part: 10 + i for i, part in enumerate(PARTS)}
    result["contestants"]["edgewise"]["default"]["parts"] = {**parts, "least": 101}
    timing = {"float_ms": 2.0, "quantized_ms": 1.0, "ratio": 2.0}
    return {
        "date": "2026-01-01",
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"onnxruntime": "1.0"},
        "results": {"small": result},
        "speed": {"small": {"1": timing, "2": timing}},
    }


def test_page_has_each_contestants_figures(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    page.write(path, document())
    text = path.read_text()
    assert "| small | 30.0 | - | - | 20.0 | 25.0 |" in text
    assert "| small | Edgewise | default | 50.00 % | 40.0 to 60.0 | 1.0 (-1.0 to 3.0) |" in text
    assert "| small | 400 | 110 | 1.100 | - | 1.100 |" in text
    assert "| small | 10 | 11 | 12 | 13 | 14 | 15 | 16 | 17 | 18 | 1.010 | 1.260 |" in text
    assert "| small | 2.000 | 1.000 | 2.00 | 2.000 | 1.000 | 2.00 |" in text
    assert "| ai-edge-quantizer | small | RuntimeError: no \\| form |" in text
    page.write(path, document())
    assert path.read_text() == text


def test_what_a_file_is_made_up_of() -> None:
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> Value:
        data = rng.normal(size=shape).astype(np.float32)
        return Value(name, TensorType(shape, DType.FLOAT32), data)

    sizes = {"x": 20, "a": 6, "y": 5}
    x, a, y = (Value(n, TensorType((1, k), DType.FLOAT32)) for n, k in sizes.items())
    first = Node(FullyConnected(), (x, constant("v", 6, 20), constant("b", 6)), (a,))
    second = Node(FullyConnected(), (a, constant("w", 5, 6), constant("c", 5)), (y,))
    graph = Graph((x,), (y,), (first, second))
    data = [rng.normal(size=(1, 20)).astype(np.float32) for _ in range(4)]
    content = exporters.to_tflite(exporters.prepare(ew.quantize(graph, data).graph))
    found = makeup(content)
    assert sum(found[part] for part in PARTS) == len(content)
    weights, channels = 6 * 20 + 5 * 6, 6 + 5
    assert found["weights"] == weights
    for part in ("biases", "scales of weights", "scales of biases"):
        assert found[part] == 4 * channels
    assert found["least"] == weights + 8 * channels
    assert 3 * 4 <= found["scales of activations"] <= 5 * 4
    assert 0 < found["zero points"] <= 8 * (2 * channels + 5)
    assert all(found[part] > 0 for part in ("names", "graph"))
    assert found["other constants"] == 0
