"""Quantized programs, as PyTorch's pt2e leaves them: integers between quantize and dequantize."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # defines the operators
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch_cases import reference

import edgewise as ew
from edgewise.dtype import DType
from edgewise.errors import ModelError, UnsupportedError

Q = torch.ops.quantized_decomposed


def quantized(x: Tensor, scale: float, zero: int, low: int = -128, high: int = 127) -> Tensor:
    """x to int8 and back."""
    q = Q.quantize_per_tensor(x, scale, zero, low, high, torch.int8)
    return Q.dequantize_per_tensor(q, scale, zero, low, high, torch.int8)


class Network(nn.Module):
    """Convolution, residual, mean, dense: activations by tensor, weights by channel."""

    scales: Tensor
    zeros: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.randint(-127, 128, (8, 4, 3, 3), dtype=torch.int8, generator=generator)
        self.register_buffer("weight", weight)
        self.register_buffer("scales", torch.rand(8, generator=generator) * 0.01 + 0.001)
        self.register_buffer("zeros", torch.zeros(8, dtype=torch.int64))
        bias = torch.randint(-500, 500, (8,), dtype=torch.int32, generator=generator)
        self.register_buffer("bias", bias)
        self.dense = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = quantized(x, 0.02, 3)
        w = Q.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        bias = Q.dequantize_per_tensor(self.bias, 0.001, 0, -(2**31), 2**31 - 1, torch.int32)
        y = quantized(F.relu(F.conv2d(x, w, bias, padding=1)), 0.05, -128)
        y = quantized(y + torch.cat([x, x], 1), 0.06, -10)
        y = quantized(F.max_pool2d(y, 2), 0.06, -10)
        y = quantized(y.mean((2, 3)), 0.04, -5)
        w2 = quantized(self.dense.weight, 0.004, 0, -127, 127)
        return quantized(F.linear(y, w2, self.dense.bias), 0.03, 1)


def steps(found: np.ndarray, want: Tensor, scale: float) -> float:
    return float(np.abs(found - want.detach().numpy()).max() / scale)


@pytest.fixture(scope="module")
def graph() -> ew.graph.Graph:
    torch.manual_seed(0)
    return ew.from_torch(Network().eval(), (torch.randn(1, 4, 8, 8),))


def test_results_are_pytorchs(graph: ew.graph.Graph) -> None:
    torch.manual_seed(0)
    module = Network().eval()
    program = ew.compile(graph)
    for _ in range(4):
        x = torch.randn(1, 4, 8, 8)
        want = module(x)
        assert steps(reference(graph, [x.numpy()])["output"], want, 0.03) < 1.01
        assert steps(program(x.numpy()), want, 0.03) < 1.01


def test_products_are_of_integers(graph: ew.graph.Graph) -> None:
    """Weights stay int8 in the graph; passes make integer operators of it."""
    optimized = ew.optimize(graph)
    kept = {v.type.shape for v in optimized.constants if v.type.dtype is DType.INT8}
    assert {(8, 3, 3, 4), (5, 8)} <= kept
    integers = {n.op.name for n in optimized.nodes if n.inputs[0].type.dtype is DType.INT8}
    assert {"CONV_2D", "FULLY_CONNECTED"} <= integers


def test_a_narrow_range_clamps() -> None:
    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return quantized(x, 0.1, 2, 0, 50)

    x = torch.linspace(-3, 9, 200)
    found = reference(ew.from_torch(Narrow().eval(), (x,)), [x.numpy()])["output"]
    np.testing.assert_allclose(found, Narrow()(x).numpy(), atol=1e-6)


class Quantize(nn.Module):
    def __init__(self, scale: float, zero: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.by = scale, zero, dtype

    def forward(self, x: Tensor) -> Tensor:
        scale, zero, dtype = self.by
        return Q.quantize_per_tensor(x, scale, zero, -100, 100, dtype)


@pytest.mark.parametrize(
    ("module", "error", "rule"),
    [
        (Quantize(0.0, 0, torch.int8), ModelError, r"scale \[0.0\]; it is positive and finite"),
        (Quantize(0.1, 300, torch.int8), ModelError, "zero point 300 to 300; it is within -128"),
        (Quantize(0.1, 0, torch.int32), UnsupportedError, "to int32; supported are uint8, int8"),
    ],
)
def test_refused(module: nn.Module, error: type[Exception], rule: str) -> None:
    with pytest.raises(error, match=rule):
        ew.from_torch(module.eval(), (torch.ones(3),))
