"""PyTorch as a peer: whole .pt2 programs, and every tensor."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, ModelError
from ...graph import Array
from ...importers.torch import load_program
from ...importers.torch_reading import labels_of, names_of
from .base import Peer, module, reason


class TorchTensors:
    """Every computed tensor of a .pt2 program by the names that its graph has, as PyTorch computes
    it: eagerly, operator by operator. Buffers that it writes to are kept between runs.

    Raises:
        MissingExtraError: torch is not installed.
        InputError: PyTorch refuses the program.
    """

    def __init__(
        self,
        model: Path,
        outputs: Sequence[str] = (),
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self._torch = module("torch", "comparing against PyTorch", "torch")
        try:
            self._program = load_program(model.read_bytes(), str(model))
        except ModelError as error:
            raise InputError(f"--against torch: cannot run the model: {error}") from None
        self._threads = threads
        self._nodes = list(self._program.exported.graph.nodes)
        self._labels = labels_of(self._program.outputs)
        self._kept: dict[str, Any] = {}

    @property
    def version(self) -> str:
        return str(self._torch.__version__)

    def values(self, arrays: Sequence[Array]) -> dict[Any, Any]:
        """What every node of the program holds."""
        torch, program = self._torch, self._program
        signature = program.exported.graph_signature
        given = iter(arrays)
        env: dict[Any, Any] = {}
        threads = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.no_grad():
                inputs = (n for n in self._nodes if n.op == "placeholder")
                for node, spec in zip(inputs, signature.input_specs, strict=True):
                    env[node] = self._input(node, spec, given)
                for node in self._nodes:
                    if node.op == "call_function":
                        args, kwargs = torch.fx.node.map_arg(
                            (node.args, node.kwargs), env.__getitem__
                        )
                        env[node] = node.target(*args, **kwargs)
        except Exception as error:  # operators raise what they like
            raise InputError(f"PyTorch cannot run the inputs: {reason(error)}") from None
        finally:
            torch.set_num_threads(threads)
        for node, spec in zip(program.results, signature.output_specs, strict=True):
            if spec.kind.name == "BUFFER_MUTATION":
                self._kept[spec.target] = env[node]
        return env

    def _input(self, node: Any, spec: Any, given: Any) -> Any:
        if spec.kind.name != "USER_INPUT":
            if spec.target not in self._kept:
                data = self._program.data(spec.target)
                self._kept[spec.target] = self._torch.from_numpy(data.copy())
            return self._kept[spec.target]
        if hasattr(spec.arg, "value"):
            return spec.arg.value
        return self._torch.from_numpy(np.array(next(given)))

    def outputs(self, values: dict[Any, Any]) -> list[Array]:
        """The program's outputs among the values."""
        return [np.asarray(values.get(node, node)) for _, node in self._program.outputs]

    def run(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """The computed tensors by name, in the order of the program."""
        found: dict[str, Array] = {}
        for node, value in self.values(arrays).items():
            if node.op != "call_function" or node.target is operator.getitem:
                continue
            several = value if isinstance(value, (list, tuple)) else [value]
            names = names_of(node, len(several), self._labels)
            for name, tensor in zip(names, several, strict=True):
                if isinstance(tensor, self._torch.Tensor):
                    found[name] = tensor.numpy()
        return found


class Torch(Peer):
    """A .pt2 program in PyTorch on the CPU, operator by operator.

    Raises: as `TorchTensors`.
    """

    def __init__(
        self,
        model: Path,
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self._tensors = TorchTensors(model, (), threads, shapes)
        self._given: Sequence[Array] = ()
        self._values: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        return f"PyTorch {self._tensors.version}"

    @property
    def path(self) -> str:
        return "CPU, eager"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        self._given = list(arrays)

    def invoke(self) -> None:
        self._values = self._tensors.values(self._given)

    def outputs(self) -> list[Array]:
        return self._tensors.outputs(self._values)
