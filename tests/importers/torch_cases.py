"""Operators of PyTorch as functions of tensors; many are exported at once, which saves time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from edgewise.graph import Graph
from edgewise.importers.torch import from_torch

Function = Callable[..., Any]


class Case(NamedTuple):
    """A function, its inputs, and how far results may differ, relative to the greatest one."""

    name: str
    function: Function
    inputs: tuple[torch.Tensor, ...]
    tolerance: float = 1e-5


class Table:
    """Cases, and random tensors for them."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._generator = torch.Generator().manual_seed(0)

    def case(
        self, name: str, function: Function, *inputs: torch.Tensor, tolerance: float = 1e-5
    ) -> None:
        self.cases.append(Case(name, function, inputs, tolerance))

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator)

    def whole(self, limit: int, *shape: int) -> torch.Tensor:
        """Numbers from 0 to below a limit."""
        return torch.randint(0, limit, shape, generator=self._generator)


class Functions(torch.nn.Module):
    """Cases as one module: their inputs in a row, their results by name."""

    def __init__(self, cases: Sequence[Case]) -> None:
        super().__init__()
        self.cases = list(cases)

    def forward(self, *inputs: torch.Tensor) -> dict[str, Any]:
        results, begin = {}, 0
        for case in self.cases:
            end = begin + len(case.inputs)
            results[case.name] = case.function(*inputs[begin:end])
            begin = end
        return results


def reference(graph: Graph, arrays: Sequence[Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The graph's outputs by name, by the operators' references."""
    values = dict(zip(graph.inputs, arrays, strict=True))
    values |= {state.before: state.initial for state in graph.states}
    for node, results in graph.reference(values):
        values.update(zip(node.outputs, results, strict=True))
    return {o.name: o.data if o.data is not None else values[o] for o in graph.outputs}


def leaves(results: Any, prefix: str) -> dict[str, torch.Tensor]:
    """Tensors of nested results by the names that a graph gives them."""
    if isinstance(results, torch.Tensor):
        return {prefix: results}
    pairs = results.items() if isinstance(results, Mapping) else enumerate(results)
    found: dict[str, torch.Tensor] = {}
    for key, value in pairs:
        found |= leaves(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def assert_close(found: Any, wanted: torch.Tensor, tolerance: float, what: str) -> None:
    """Shape, dtype and values, within a share of the greatest finite one."""
    want = wanted.detach().numpy()
    assert found.shape == want.shape, what
    assert found.dtype == want.dtype, what
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(found, want, what)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(found[~finite], want[~finite], what)
    most = max(float(np.abs(want[finite]).max(initial=0.0)), 1e-6)
    np.testing.assert_allclose(found[finite], want[finite], 0, tolerance * most, err_msg=what)


class Together:
    """Cases that are exported together, once one of them is checked."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = {case.name: case for case in cases}
        assert len(self.cases) == len(cases)

    @functools.cached_property
    def _results(self) -> tuple[dict[str, Any], dict[str, Any]]:
        inputs = [x for case in self.cases.values() for x in case.inputs]
        module = Functions(list(self.cases.values())).eval()
        graph = from_torch(module, inputs)
        return reference(graph, [x.numpy() for x in inputs]), module(*inputs)

    def check(self, name: str) -> None:
        """The graph's references give what PyTorch gives."""
        found, wanted = self._results
        for label, want in leaves(wanted[name], name).items():
            assert_close(found[label], want, self.cases[name].tolerance, label)
