"""Modules and .pt2 files: names, states, symbolic sizes, and the peer that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch_cases import assert_close, reference

import edgewise as ew
from edgewise.errors import InputError
from edgewise.graph import Graph
from edgewise.tools import peers
from edgewise.tools.compare import compare


class Smoother(nn.Module):
    """A mean that goes on from call to call, and nested outputs."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("mean", torch.ones(1, 4))

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = torch.relu(self.conv(x))
        self.mean.mul_(0.5)
        self.mean.add_(y.mean((0, 2, 3)))
        parts = x.flatten(1)[:, :3] * torch.tensor([1.0, 2.0, 3.0])
        return {"mean": self.mean.clone(), "rest": (y, [parts])}


BATCH, HEIGHT = Dim("batch"), Dim("height", min=4, max=64)


@pytest.fixture(scope="module")
def exported() -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    shapes = {"x": {0: BATCH, 2: HEIGHT}}
    return torch.export.export(Smoother().eval(), (torch.randn(2, 3, 6, 5),), dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def file(exported: torch.export.ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "smoother.pt2"
    torch.export.save(exported, path)
    return path


@pytest.fixture(scope="module")
def loaded(file: Path) -> Graph:
    return ew.load(file)


def test_outputs_are_named_by_their_places(loaded: Graph) -> None:
    assert [v.name for v in loaded.inputs] == ["x"]
    assert [v.name for v in loaded.outputs] == ["mean", "rest.0", "rest.1.0"]
    assert loaded.name == "smoother"


def test_a_file_gives_what_the_program_gives(
    loaded: Graph, exported: torch.export.ExportedProgram
) -> None:
    graph = ew.from_torch(exported)
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    first, second = reference(loaded, [x]), reference(graph, [x])
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_a_buffer_that_is_written_to_is_a_state(
    loaded: Graph, exported: torch.export.ExportedProgram
) -> None:
    (state,) = loaded.states
    assert state.before.name == "mean.2"
    np.testing.assert_array_equal(state.initial, np.ones((1, 4)))
    program, module = ew.compile(loaded), exported.module()
    for _ in range(3):
        x = torch.randn(2, 3, 6, 5)
        assert_close(program(x.numpy())[0], module(x)["mean"], 1e-5, "mean")


def test_symbolic_sizes(file: Path, loaded: Graph) -> None:
    assert loaded.inputs[0].type.shape == (2, 3, 6, 5)
    assert dict(loaded.open) == {"x": (-1, 3, -1, 5)}
    batch, height = loaded.metadata["dims"]
    sized = ew.load(file, dims={batch: 5, height: 8})
    assert sized.outputs[1].type.shape == (5, 4, 8, 5)
    assert loaded.resized({"x": (1, 3, 9, 5)}).outputs[1].type.shape == (1, 4, 9, 5)
    assert ew.load(file, shapes={"x": (3, 3, 4, 5)}).metadata["dims"] == {batch: 3, height: 4}
    assert sized.digest != loaded.digest


class Joined(nn.Module):
    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        n, t = x.shape
        return torch.cat([x.reshape(n * t), other.sum(1)]).view(n, t + 1) * t


def test_dims_have_the_users_names() -> None:
    batch, time = Dim("batch"), Dim("time", max=100)
    x, other = torch.randn(2, 3), torch.randn(2, 4)
    graph = ew.from_torch(
        Joined().eval(),
        (x, other),
        dynamic_shapes=({0: batch, 1: time}, {0: batch}),
        dims={"batch": 4},
    )
    assert graph.metadata["dims"] == {"batch": 4, "time": 3}
    assert graph.outputs[0].type.shape == (4, 4)
    wide = graph.resized({"x": (1, 6), "other": (1, 4)})
    a, b = torch.randn(1, 6), torch.randn(1, 4)
    found = reference(wide, [a.numpy(), b.numpy()])["output"]
    assert_close(found, Joined()(a, b), 1e-6, "output")


@pytest.mark.parametrize(
    ("shapes", "rule"),
    [
        ({"x": (2, 4, 6, 5)}, r"shape \[2, 4, 6, 5\]; the program takes .*here \[2, 3, 6, 5\]"),
        ({"x": (2, 3, 65, 5)}, r"dimension 's\d+': 65; it was exported for 4 to 64"),
        ({"y": (2,)}, r"no input is named 'y'; the program has \['x'\]"),
        ({"x": (2,)}, r"shape \[2\]; the program's has 4 dimensions"),
    ],
)
def test_shapes_that_do_not_fit(
    loaded: Graph, shapes: dict[str, tuple[int, ...]], rule: str
) -> None:
    with pytest.raises(InputError, match=rule):
        loaded.resized(shapes)


def test_dims_that_do_not_fit(file: Path) -> None:
    with pytest.raises(InputError, match=r"no symbolic dimension is named 'n'; the program has"):
        ew.load(file, dims={"n": 3})


def test_one_symbol_has_one_size() -> None:
    shapes = ({0: BATCH, 1: Dim("time")}, {0: BATCH})
    graph = ew.from_torch(
        Joined().eval(), (torch.randn(2, 3), torch.randn(2, 4)), dynamic_shapes=shapes
    )
    with pytest.raises(InputError, match="'other': 5 for dimension 'batch', which is 4 elsewhere"):
        graph.resized({"x": (4, 3), "other": (5, 4)})


class Plain(nn.Module):
    def forward(self, x: Tensor, scale: float = 2.0, *, flag: bool = True) -> tuple[Any, ...]:
        return x * scale if flag else x, None, 3


def test_numbers_are_fixed_at_export() -> None:
    graph = ew.from_torch(Plain().eval(), (torch.ones(2), 4.0), kwargs={"flag": True})
    assert [v.name for v in graph.inputs] == ["x"]
    found = reference(graph, [np.ones(2, np.float32)])
    assert found["output.0"].tolist() == [4, 4]
    assert [v.name for v in graph.outputs] == ["output.0", "output.2"]


def test_numbers_have_no_open_dimensions() -> None:
    shapes = ({0: BATCH}, None)
    graph = ew.from_torch(Plain().eval(), (torch.ones(2), 4.0), dynamic_shapes=shapes)
    assert graph.metadata["dims"] == {"batch": 2}


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, 2).sum(1)


def test_a_dimension_may_be_a_multiple_of_a_named_one() -> None:
    shapes = ({0: 2 * Dim("half", max=32)},)
    graph = ew.from_torch(Halved().eval(), (torch.ones(8),), dynamic_shapes=shapes)
    assert graph.metadata["dims"] == {"half": 4}
    wide = graph.resized({"x": (12,)})
    assert wide.outputs[0].type.shape == (6,)
    assert wide.metadata["dims"] == {"half": 6}
    with pytest.raises(InputError, match=r"shape \[13\]; the program takes \['2\*s"):
        graph.resized({"x": (13,)})


class SameName(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": x * 2, "y": x + 1}


def test_inputs_keep_their_names() -> None:
    graph = ew.from_torch(SameName().eval(), (torch.ones(2),))
    assert [v.name for v in graph.inputs] == ["x"]
    assert [v.name for v in graph.outputs] == ["output.x", "y"]
    assert graph.resized({"x": (2,)}).inputs[0].name == "x"


def test_channels_may_be_last() -> None:
    module, x = nn.Conv2d(3, 4, 3).eval(), torch.randn(1, 3, 6, 5)
    shapes = ({2: Dim("height", min=4)},)
    graph = ew.from_torch(module, (x,), dynamic_shapes=shapes, channels_last=True)
    assert graph.inputs[0].type.shape == (1, 6, 5, 3)
    assert graph.open["input"] == (1, -1, 5, 3)
    wide = graph.resized({"input": (1, 9, 5, 3)})
    y = torch.randn(1, 3, 9, 5)
    found = reference(wide, [y.permute(0, 2, 3, 1).numpy()])["output"]
    assert_close(found, module(y).permute(0, 2, 3, 1), 1e-5, "output")
    assert wide.digest != graph.digest


def test_the_graph_keeps_no_memory_of_the_module() -> None:
    module = nn.Linear(2, 2).eval()
    graph = ew.from_torch(module, (torch.ones(1, 2),))
    before = [v.data.copy() for v in graph.constants if v.data is not None]
    with torch.no_grad():
        module.weight.zero_()
    for value, old in zip(graph.constants, before, strict=True):
        np.testing.assert_array_equal(value.data, old)


def test_pytorch_is_a_peer(file: Path, loaded: Graph) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    facts = compare(loaded, file, "torch", [[x], [x + 1]])
    assert facts["within_tolerance"]
    assert facts["against"].startswith("PyTorch 2")
    assert facts["path"] == "CPU, eager"
    tensors = {t["tensor"] for t in facts["tensors"]} | {t["tensor"] for t in facts["outputs"]}
    assert {"convolution", "mean"} <= tensors
    missing = {name for name in facts["not_compared"] if "/" not in name}
    assert not missing


def test_the_peer_tells_what_it_cannot_run(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt2"
    other.write_bytes(b"PK\x03\x04 and no archive")
    with pytest.raises(InputError, match="--against torch: cannot run the model: it is no sound"):
        peers.PEERS["torch"](other, 1, None)
    peer = peers.PEERS["torch"](file, 1, None)
    with pytest.raises(InputError, match="PyTorch cannot run the inputs"):
        peer.run([np.ones((2, 7, 6, 5), np.float32)])
