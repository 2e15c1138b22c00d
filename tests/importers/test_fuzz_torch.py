"""500 mutated .pt2 files: each loads and runs, or is refused with ModelError."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fuzz_run import count_loaded
from fuzz_torch_worker import mutant
from test_torch_quantized import Network
from torch import Tensor, nn

WORKER = Path(__file__).with_name("fuzz_torch_worker.py")
FILES, PARTS = 500, 20
QUICK = 0
"""The part that runs always."""


class Mixed(nn.Module):
    """A convolution, views by sizes, a state, an attention, several outputs."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: Tensor, scale: float = 2.0) -> dict[str, Tensor]:
        y = torch.relu(self.conv(x)) * scale
        rows = y.reshape(y.shape[0], 4, -1).transpose(1, 2)
        self.total.add_(rows.mean((0, 1)))
        seen = nn.functional.scaled_dot_product_attention(rows, rows, rows)
        return {"seen": seen, "total": self.total.clone(), "last": rows[:, -1].softmax(1)}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Programs with states and open sizes, and of quantized operators, which they alone name."""
    folder = tmp_path_factory.mktemp("fuzz")
    shapes = {"x": {0: torch.export.Dim("batch", max=8)}, "scale": None}
    programs = {
        "mixed": torch.export.export(
            Mixed().eval(), (torch.randn(2, 2, 4, 3), 2.0), dynamic_shapes=shapes
        ),
        "quantized": torch.export.export(Network().eval(), (torch.randn(1, 4, 8, 8),)),
    }
    paths = []
    for name, program in programs.items():
        paths.append(folder / f"{name}.pt2")
        torch.export.save(program, paths[-1])
    return paths


@pytest.mark.parametrize(
    "part", [QUICK, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, PARTS))]
)
def test_mutated_programs_run_or_are_refused(part: int, sources: list[Path]) -> None:
    count = FILES // PARTS
    loaded = count_loaded(WORKER, part * count, count, sources)
    assert loaded < 0.75 * count
    assert loaded or part, "of the first part, some are sound"


def test_mutants_are_reproducible(sources: list[Path]) -> None:
    files = [path.read_bytes() for path in sources]
    mutants = [mutant(files, seed) for seed in range(20)]
    assert mutants == [mutant(files, seed) for seed in range(20)]
    assert sum(data not in files for data in mutants) >= 18
