"""Networks of PyTorch, compiled: the results of PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_cases import assert_close, leaves
from torch_networks import NETWORKS, Rfb320

import edgewise as ew


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """The module with statistics that are not those of a fresh one."""
    for m in module.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(m.running_mean)
            torch.nn.init.uniform_(m.running_var, 0.5, 2)
            torch.nn.init.normal_(m.weight)
    return module.eval()


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    torch.manual_seed(1)
    build, example = NETWORKS[name]
    module, x = randomized(build()), example()
    graph = ew.from_torch(module, (x,))
    with torch.no_grad():
        wanted = leaves(module(x), "output")
    results = ew.compile(graph)(x.numpy())
    found = results if isinstance(results, tuple) else (results,)
    assert len(found) == len(wanted) == len(graph.outputs)
    for array, want in zip(found, wanted.values(), strict=True):
        assert_close(array, want, 2e-5, name)


@pytest.mark.data
def test_the_face_detector_agrees_with_its_onnx_file(data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from PIL import Image

    models = data / "models"
    module = Rfb320()
    weights = torch.load(models / "rfb320_float.pth", map_location="cpu", weights_only=True)
    module.load_state_dict(weights)
    graph = ew.from_torch(module.eval(), (torch.randn(1, 3, 240, 320),))
    photograph = sorted((data / "data" / "imagenet500").rglob("*.jp*g"))[0]
    pixels = np.asarray(Image.open(photograph).convert("RGB").resize((320, 240)), np.float32)
    x = np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1)[None])
    session = onnxruntime.InferenceSession(models / "rfb320_float.onnx")
    given = session.get_inputs()[0].name
    results = ew.compile(graph)(x)
    for found, want in zip(results, session.run(None, {given: x}), strict=True):
        assert np.abs(found - want).max() <= 1e-4 * np.ptp(want)
