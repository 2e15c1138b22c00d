"""2,000 mutated ncnn networks: each loads and runs, or is refused with ModelError."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from fuzz_ncnn_worker import mutated
from fuzz_run import count_loaded
from ncnn_cases import CASES
from test_ncnn_file import FORMS, NETWORK, inner
from test_ncnn_int8 import chain

from data_folder import data_folder

WORKER = Path(__file__).with_name("fuzz_ncnn_worker.py")
FILES, PARTS = 2000, 10
QUICK = 0
"""The part that runs always."""

NETWORKS = {"rfb320_float": "0=64 1=48 2=3", "fastestdet_float": "0=64 1=64 2=3"}
"""Real ones, and a small shape for each."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A network of every layer, of int8, of every form of weights, a binary one, real ones."""
    folder = tmp_path_factory.mktemp("fuzz")
    cases = {case.kind: case for case in CASES}
    nets = {kind: case.net(np.random.default_rng(1)) for kind, case in cases.items()}
    nets |= {f"int8_{stored}": chain(stored) for stored in ("int8", "float")}
    nets |= {f"form_{form}": inner(data) for form, data in FORMS.items()}
    paths = [net.save(folder, name) for name, net in nets.items()]
    binary = folder / "binary.param"
    binary.write_bytes(NETWORK)
    binary.with_suffix(".bin").write_bytes(FORMS["float32"])
    data = data_folder()
    for name, shape in NETWORKS.items() if data is not None else ():
        path = data / "models" / f"{name}.param"
        text = re.sub(r"(?m)^(Input .*)$", rf"\1 {shape}", path.read_text())
        copy = folder / f"{name}.param"
        copy.write_text(text)
        copy.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes())
        paths.append(copy)
    return [*paths, binary]


@pytest.mark.parametrize(
    "part", [QUICK, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, PARTS))]
)
def test_mutated_networks_run_or_are_refused(part: int, sources: list[Path]) -> None:
    count = FILES // PARTS
    loaded = count_loaded(WORKER, part * count, count, sources)
    assert 0.1 * count < loaded < 0.75 * count


def test_mutants_are_reproducible(sources: list[Path]) -> None:
    mutants = [mutated(sources, seed) for seed in range(50)]
    assert mutants == [mutated(sources, seed) for seed in range(50)]
    originals = {(p.read_bytes(), p.with_suffix(".bin").read_bytes()) for p in sources}
    assert sum(pair not in originals for pair in mutants) >= 40
