"""10,000 mutated files: each loads and runs, or is refused with ModelError, within its limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_run import count_loaded
from test_tflite_operators import CASES
from tflite_files import everything, with_files, with_outside_buffers, with_signature

from data_folder import data_folder
from mutate import Source, mutant
from tflite_networks import (
    accumulator,
    branch,
    counter_in_a_loop,
    dense_of_any_batch,
    lookup,
    loop,
    nonzero,
    quantized_loop,
    sparse_sum,
)

WORKER = Path(__file__).with_name("fuzz_worker.py")
FILES = 5000
PARTS = 5
NETWORKS = (
    "micro_speech_int8",
    "kws_dscnn_int8",
    "resnet8_cifar10_int8",
    "anomaly_int8",
    "mobilenet_v1_0.25_128_quant",
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Synthetic networks, and real ones where the data folder is there."""
    folder = tmp_path_factory.mktemp("fuzz")
    plain = everything()
    files = {
        "plain": plain,
        "signature": with_signature(plain),
        "outside": with_outside_buffers(plain),
        "labelled": with_files(plain, {"labels.txt": "a\nb\nc\nd\ne\n"}),
        "loop": loop(3),
        "computed loop": loop(None),
        "quantized loop": quantized_loop(),
        "condition": branch(),
        "variables": counter_in_a_loop(),
        "accumulator": accumulator(),
        "interpreted": nonzero(),
        "table": lookup(),
        "open": dense_of_any_batch(),
        "sparse": sparse_sum(),
    }
    for name, data in files.items():
        (folder / f"{name}.tflite").write_bytes(data)
    paths = sorted(folder.iterdir())
    data = data_folder()
    if data is not None:
        paths += [data / "models" / f"{name}.tflite" for name in NETWORKS]
    return [str(p) for p in paths]


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A file of every case of every operator."""
    folder = tmp_path_factory.mktemp("operators")
    paths = []
    for i, case in enumerate(CASES.values()):
        paths.append(folder / f"{i}.tflite")
        paths[-1].write_bytes(case.file())
    return [str(p) for p in paths]


def check_mutants(part: int, sources: list[str], least: float) -> None:
    """Run one part of the mutants; at least a share of ``least`` of them loads."""
    count = FILES // PARTS
    loaded = count_loaded(WORKER, part * count, count, sources)
    assert least * count < loaded < 0.75 * count


@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_files_run_or_are_refused(part: int, sources: list[str]) -> None:
    check_mutants(part, sources, 0.05)


@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_operators_run_or_are_refused(part: int, operators: list[str]) -> None:
    check_mutants(part, operators, 0.04)


def test_mutants_are_reproducible_and_differ_from_their_sources() -> None:
    source = Source.of(everything())
    mutants = [mutant([source], seed) for seed in range(50)]
    assert mutants == [mutant([source], seed) for seed in range(50)]
    assert sum(m != source.data for m in mutants) >= 45
