"""Reads PyTorch's modules and exported programs (.pt2), through torch.export.

The program is brought to operators that have rows in `torch_ops`, PyTorch decomposing the others
where it can. Parameters and buffers are constants, buffers that the module writes to are states;
tensors keep the layout that they have there.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import InputError, MissingExtraError, ModelError, RunError, UnsupportedError
from ..graph import Graph, Shapes, State, TensorType, Value, checked_shapes, digest_of
from . import checked_dims, interface
from .builder import Builder
from .content import Source
from .interface import channels_first_shapes
from .torch_archive import checked
from .torch_call import dtype_of
from .torch_ops import row_of
from .torch_ops.generate import tensor
from .torch_reading import QUANTIZED, Reading, declared, labels_of, target_name
from .torch_symbols import Sizes, symbol_names

QUIET = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The tensor attributes? .* assigned during export",
    r"The given buffer is not writable",
)
"""Warnings of PyTorch about itself."""


def from_torch(
    module: Any,
    example_inputs: Sequence[Any] = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    dims: Mapping[str, int] | None = None,
    channels_last: bool = False,
) -> Graph:
    """The network of a module, or of an exported program; see ``edgewise.from_torch``."""
    torch = torch_module("reading PyTorch modules")
    if not isinstance(module, torch.export.ExportedProgram):
        module = _exported(torch, module, example_inputs, kwargs, dynamic_shapes)
    names = symbol_names(module, dynamic_shapes)
    program = Program(torch, module, names)
    sizes = checked_dims(dims or {})

    def read(given: Shapes) -> Graph:
        shapes = checked_shapes(given)
        graph = program.graph(channels_first_shapes(shapes) if channels_last else shapes, sizes)
        which = repr((sorted(shapes.items()), sorted(sizes.items()), channels_last))
        graph = interface.channels_last(graph) if channels_last else graph
        return graph.read_from(digest_of("PyTorch", program.digest, which), read)

    return read({})


def read_torch(source: Source) -> Graph:
    """The network of a .pt2 file; nothing of the file is run.

    Raises:
        UnsupportedError: the file holds weights alone, or uses what Edgewise does not have.
        ModelError: it is broken.
        InputError: there is no such input or dimension, or the network cannot take the shapes.
        MissingExtraError: PyTorch is not installed.
    """
    return load_program(source.data, source.path).graph(source.shapes, source.dims, source.name)


def load_program(data: bytes, path: str) -> Program:
    """The program of a .pt2 file's bytes.

    Raises: as `read_torch`, but InputError.
    """
    archive = checked(data, path)
    torch = torch_module("reading .pt2 files")
    if QUANTIZED.strip(":").encode() in archive:
        import_module("torch.ao.quantization.fx._decomposed")  # it defines the operators
    try:
        with _quiet(), _heard() as told:
            found = torch.export.load(io.BytesIO(archive))
    except Exception as error:  # whatever PyTorch raises for what it cannot read
        reason = _line(told[0] if told else error)
        raise ModelError(f"PyTorch {torch.__version__} cannot read it: {reason}") from error
    return Program(torch, found, {})


def torch_module(feature: str) -> Any:
    """The `torch` package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import torch
        import torch.export
    except ImportError:
        raise MissingExtraError(feature, "torch") from None
    return torch


def _exported(
    torch: Any, module: Any, inputs: Sequence[Any], kwargs: Any, dynamic_shapes: Any
) -> Any:
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"from_torch: {type(module).__name__}; it takes a torch.nn.Module")
    training = [name or type(module).__name__ for name, m in module.named_modules() if m.training]
    if training:
        raise InputError(
            f"from_torch: {training[0]!r} is in training mode; call eval() on the module first"
        )
    inputs = inputs if isinstance(inputs, (list, tuple)) else (inputs,)
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(module, tuple(inputs), kwargs, dynamic_shapes=dynamic_shapes)
    except Exception as error:  # the module's own code runs here, and raises what it likes
        raise InputError(
            f"from_torch: torch.export cannot export {type(module).__name__}: {_line(error)}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in QUIET:
            warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def _heard() -> Iterator[list[BaseException]]:
    """The errors that torch.export logs, and does not raise, while it loads a file."""
    found: list[BaseException] = []

    def hear(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            found.append(record.exc_info[1])
        return False

    logger = logging.getLogger("torch.export")
    logger.addFilter(hear)
    try:
        yield found
    finally:
        logger.removeFilter(hear)


def _line(error: BaseException) -> str:
    """The start of an error's message."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}"


def decomposed(torch: Any, exported: Any) -> Any:
    """A program without mutation, whose operators have rows, or no decomposition.

    Raises:
        ModelError: PyTorch cannot decompose it.
    """
    table = {**torch._decomp.decomposition_table, **torch.export.default_decompositions()}
    chosen = {op: f for op, f in table.items() if row_of(target_name(op)) is None}
    try:
        with _quiet(), torch.no_grad():
            return exported.run_decompositions(chosen)
    except Exception as error:  # PyTorch runs the program on fake tensors
        raise ModelError(f"PyTorch cannot decompose the program: {_line(error)}") from error


class Program:
    """An exported program, which is read for each set of shapes of its inputs.

    Attributes:
        names: what the user calls its symbols.
        exported: the program in operators that are read.
        outputs: its outputs' names and nodes.
    """

    def __init__(self, torch: Any, exported: Any, names: Mapping[str, str]) -> None:
        self.torch, self.names = torch, names
        self.exported = decomposed(torch, exported)
        self.constants: dict[str, Any] = {}
        self.outputs = self._outputs()

    def graph(self, shapes: Shapes, dims: Mapping[str, int], name: str = "") -> Graph:
        """The network for inputs of these shapes, and symbols of these sizes."""
        signature, b = self.exported.graph_signature, Builder()
        nodes = list(self.exported.graph.nodes)
        inputs = [n for n in nodes if n.op == "placeholder"]
        sizes = Sizes(self.exported, self.names, inputs, shapes, dims)
        scope: dict[Any, Any] = {}
        mutated = dict(signature.buffers_to_mutate)
        outputs = self.outputs
        b.reserve(label for label, _ in outputs)
        states: dict[str, Value] = {}
        for node, spec in zip(inputs, signature.input_specs, strict=True):
            kind = spec.kind.name
            if kind == "USER_INPUT":
                if spec.arg.name != node.name or hasattr(spec.arg, "value"):
                    scope[node] = getattr(spec.arg, "value", None)
                    continue
                scope[node] = self._input(b, node, sizes)
                continue
            if kind not in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR"):
                raise UnsupportedError(f"input {node.name!r} is a {kind.lower()}")
            if spec.target in mutated.values():
                data = self.data(spec.target)
                type = TensorType(data.shape, dtype_of(node.meta["val"].dtype))
                scope[node] = states[spec.target] = Value(b.names.unique(spec.target), type)
            else:
                scope[node] = b.constant(self.data(spec.target), spec.target)
        try:
            reading = Reading(b, scope, labels_of(outputs))
            reading.run(n for n in nodes if n.op == "call_function")
        except RunError as error:
            raise ModelError(f"{error}") from error
        except ModelError as error:
            if isinstance(error, UnsupportedError) or not (shapes or dims):
                raise
            given = {k: list(v) for k, v in shapes.items()} | dict(dims)
            raise InputError(
                f"the network cannot take inputs of shapes {given}: {error}"
            ) from error
        return self._finished(b, scope, states, sizes, name)

    def _finished(
        self,
        b: Builder,
        scope: Mapping[Any, Any],
        states: Mapping[str, Value],
        sizes: Sizes,
        name: str,
    ) -> Graph:
        pairs = [(label, _tensor(b, scope.get(value, value))) for label, value in self.outputs]
        metadata: dict[str, Any] = {"dims": sizes.symbols}
        nodes = self.exported.graph.nodes
        if any(target_name(n.target).startswith(QUANTIZED) for n in nodes):
            metadata["quantization"] = "qdq"
        graph = b.graph(pairs, name, metadata, sizes.open)
        after = {
            spec.target: scope[node]
            for spec, node in zip(
                self.exported.graph_signature.output_specs, self.results, strict=True
            )
            if spec.kind.name == "BUFFER_MUTATION"
        }
        kept = tuple(State(v, after[key], self.data(key)) for key, v in states.items())
        return replace(graph, states=kept)

    @property
    def results(self) -> Sequence[Any]:
        """The nodes of what the program gives: new values of buffers, then outputs."""
        found: Sequence[Any] = list(self.exported.graph.nodes)[-1].args[0]
        return found

    def _outputs(self) -> list[tuple[str, Any]]:
        """The user's outputs with their names: places in what the module returns."""
        found = []
        specs = self.exported.graph_signature.output_specs
        for spec, value in zip(specs, self.results, strict=True):
            kind = spec.kind.name
            if kind == "USER_OUTPUT":
                found.append(value)
            elif kind != "BUFFER_MUTATION":
                raise UnsupportedError(
                    f"the module has an effect other than on its buffers: {kind.lower()}"
                )
        pytree = self.torch.utils._pytree
        spec = self.exported.call_spec.out_spec
        tree = pytree.tree_unflatten(list(range(len(found))), spec)
        paths, _ = pytree.tree_flatten_with_path(tree)
        labels = [".".join(str(_key(k)) for k in path) for path, _ in paths]
        if labels == [""]:
            labels = ["output"]
        taken = {n for n in self.exported.graph_signature.user_inputs if isinstance(n, str)}
        labels = [f"output.{n}" if n[:1].isdigit() or n in taken else n for n in labels]
        return [(n, v) for n, v in zip(labels, found, strict=True) if v is not None]

    def _input(self, b: Builder, node: Any, sizes: Sizes) -> Any:
        value = node.meta.get("val")
        if value is None or not hasattr(value, "dtype"):
            raise UnsupportedError(f"input {node.name!r} is no tensor; numbers are fixed at export")
        return b.input(node.name, TensorType(sizes.shapes[node.name], declared(node)[0].dtype))

    def data(self, target: str) -> Any:
        """A tensor of the module as an array."""
        if target not in self.constants:
            found = self.exported.state_dict.get(target)
            found = self.exported.constants.get(target) if found is None else found
            if found is None:
                raise ModelError(f"tensor {target!r} is not in the program")
            dtype_of(found.dtype)
            self.constants[target] = tensor(found.detach().cpu().numpy(), target)
        return self.constants[target]

    @cached_property
    def digest(self) -> str:
        """What identifies the program; asked for when its tensors were read."""
        digest = hashlib.sha256(str(self.exported.graph).encode())
        digest.update(repr(self.exported.graph_signature).encode())
        digest.update(repr(sorted(self.names.items())).encode())
        for key, array in sorted(self.constants.items()):
            digest.update(f"{key} {array.dtype} {array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()


def _tensor(b: Builder, value: Any) -> Value:
    """An output; numbers become tensors."""
    if isinstance(value, Value):
        return value
    if isinstance(value, (bool, int, float)):
        return b.constant(np.array(value, np.float32 if isinstance(value, float) else None))
    raise UnsupportedError(f"an output is {value!r}; it must be a tensor")


def _key(entry: Any) -> Any:
    for field in ("key", "idx", "name"):
        if hasattr(entry, field):
            return getattr(entry, field)
    return entry
