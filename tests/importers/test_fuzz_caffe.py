"""2,000 mutated Caffe networks: each loads and runs, or is refused, within its limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from caffe_files import draw, layer, prototxt, write
from fuzz_caffe_worker import mutated, structure
from fuzz_run import count_loaded
from test_caffe_detections import detections
from test_caffe_layers import CASES, RNG

from data_folder import data_folder

WORKER = Path(__file__).with_name("fuzz_caffe_worker.py")
FILES, PARTS = 2000, 10
NETWORKS = ("mtcnn_det1_float", "mtcnn_det2_float")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A network of every layer, a legacy one, detections, and real ones where they are."""
    folder = tmp_path_factory.mktemp("fuzz")
    paths = []
    for i, case in enumerate(CASES.values()):
        text = prototxt(case.text, case.inputs)
        paths.append(write(folder, text, {case.type: case.weights}, f"layer{i}"))
    paths.append(write(folder, detections("confidence_threshold: 0.5", 3, True)[0], name="ssd"))
    legacy = """input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
        layers { name: "a" type: POWER bottom: "x" top: "y" power_param { scale: 2 } }
        layers { name: "b" type: POOLING bottom: "y" top: "z" pooling_param { kernel_size: 2 } }
        layers { name: "c" type: RELU bottom: "z" top: "z" }
    """
    paths.append(write(folder, legacy, name="legacy"))
    chain = layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "x", "y")
    chain += layer("PReLU", "", "y", "y") + layer(
        "Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "y", "z"
    )
    chain += layer("Flatten", "", "z", "flat") + layer("Softmax", "", "flat", "out")
    weights = {"Convolution": [draw(RNG, 4, 3, 3, 3), draw(RNG, 4)], "PReLU": [draw(RNG, 4)]}
    paths.append(write(folder, prototxt(chain, {"x": (1, 3, 9, 9)}), weights, "chain"))
    data = data_folder()
    if data is not None:
        paths += [data / "models" / f"{name}.prototxt" for name in NETWORKS]
    return paths


QUICK = 0
"""The part that runs always."""


@pytest.mark.parametrize(
    "part", [QUICK, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, PARTS))]
)
def test_mutated_networks_run_or_are_refused(part: int, sources: list[Path]) -> None:
    count = FILES // PARTS
    loaded = count_loaded(WORKER, part * count, count, sources)
    assert 0.15 * count < loaded < 0.75 * count


def test_mutants_are_reproducible(sources: list[Path]) -> None:
    mutants = [mutated(sources, seed) for seed in range(50)]
    assert mutants == [mutated(sources, seed) for seed in range(50)]
    originals = {
        p.read_bytes() for path in sources for p in (path, path.with_suffix(".caffemodel"))
    }
    assert sum(data not in originals for data, _ in mutants) >= 40


def test_elements_are_no_structure(sources: list[Path]) -> None:
    data = sources[0].with_suffix(".caffemodel").read_bytes()
    elements = next(iter(CASES.values())).weights[0].tobytes()
    start = data.index(elements)
    assert all(stop <= start or begin >= start + len(elements) for begin, stop in structure(data))
