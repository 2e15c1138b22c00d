"""Edgewise compiles a trained neural network into a small, fast program for the device in hand.

Example:
    import edgewise as ew

    graph = ew.load("mobilenet.tflite")     # print(graph) is readable
    program = ew.compile(graph, threads=2)
    y = program(x)                          # numpy in, numpy out
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from . import importers, runtime
from .codegen import stored
from .custom import register_custom
from .errors import (
    CompileError,
    EdgewiseError,
    GraphError,
    InputError,
    MissingExtraError,
    ModelError,
    RunError,
    UnsupportedError,
)
from .graph import Graph, Shapes
from .runtime import Program
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .quantizer import Progress, Quantized, Recipe, Samples
    from .tuner import Tuned

__all__ = [
    "CompileError",
    "EdgewiseError",
    "GraphError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "RunError",
    "UnsupportedError",
    "__version__",
    "compile",
    "from_torch",
    "load",
    "optimize",
    "quantize",
    "register_custom",
    "save",
    "tune",
]


def __getattr__(name: str) -> ModuleType:
    """Parts of the package that a start does without, imported when they are asked for."""
    if name != "ops":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def load(
    source: str | os.PathLike[str] | bytes,
    signature: str | None = None,
    shapes: Shapes | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    channels_last: bool = False,
) -> Graph:
    """Read a trained network from a file or its bytes; the format is found by content.

    Of a file that was compiled before, the operators are read when they are asked for.

    Args:
        signature: which of the networks that the file names (``graph.metadata["signatures"]``),
            instead of its first.
        shapes: shapes of inputs, by name, instead of the file's.
        dims: sizes of symbolic dimensions (``graph.metadata["dims"]``), by name; 1 where not given.
        weights: the file of weights, where a format has two files and they differ in name.
        channels_last: inputs and outputs that are images, [N, C, ...] in the file, are [N, ..., C];
            ``shapes`` are such ones, too.

    Raises:
        InputError: the file cannot be read, has no such signature or input, or cannot take the
            shapes.
        ModelError: it is broken; ``UnsupportedError``: it uses what Edgewise does not have yet.
    """
    known = stored.outline
    return importers.load(source, signature, shapes, dims, weights, channels_last, known)


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a network to a .tflite file, which LiteRT and Edgewise read; see docs/converting.md.

    A graph that was read from a .tflite file is written as it is. Others run through the passes
    whose results such a file can have. An existing file is replaced when all is written.

    Raises:
        InputError: ``path`` does not end in .tflite, or cannot be written.
        UnsupportedError: listing every operator that TensorFlow Lite lacks.
        GraphError: the graph breaks an invariant.
    """
    from .exporters import save

    save(graph, path)


def from_torch(
    module: Any,
    example_inputs: Sequence[Any] = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    dims: Mapping[str, int] | None = None,
    channels_last: bool = False,
) -> Graph:
    """The network of a PyTorch module, through torch.export (docs/pytorch.md).

    Args:
        module: a torch.nn.Module in evaluation mode, or a torch.export.ExportedProgram.
        example_inputs, kwargs: what torch.export calls the module with.
        dynamic_shapes: the dimensions that may have other sizes, as torch.export takes them.
        dims: their sizes, by name, instead of the examples'; ``resized`` gives the network others.
        channels_last: inputs and outputs that are images, [N, C, ...] there, are [N, ..., C].

    Raises:
        InputError: the module is in training mode, torch.export refuses it, or a size does not fit.
        UnsupportedError: it uses operators that Edgewise does not have; all of them are named.
        MissingExtraError: PyTorch is not installed.
    """
    from .importers.torch import from_torch

    return from_torch(
        module,
        example_inputs,
        kwargs=kwargs,
        dynamic_shapes=dynamic_shapes,
        dims=dims,
        channels_last=channels_last,
    )


def optimize(graph: Graph) -> Graph:
    """Run the passes of ``edgewise.passes.PIPELINE``; the results stay the same bit for bit.

    Raises:
        GraphError: the graph breaks an invariant of ``edgewise.graph.verify``.
    """
    from .passes import optimize

    return optimize(graph)


def quantize(
    graph: Graph,
    calibration: Samples | str | os.PathLike[str] | Iterable[Any] | None = None,
    *,
    recipe: Recipe | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    samples: int | None = None,
    max_drop: float | None = None,
    max_latency: float | None = None,
    small: bool = False,
    score: Callable[[Graph], float] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a float network after training; see docs/quantization.md.

    Equal networks, data and recipes give equal results; a budget's depends on measured times too.

    Args:
        graph: of floats; what is stored as float16 is taken as float32.
        calibration: inputs like those that the network will see: a folder of pictures, a .npy or
            .npz file, a list of such, or any iterable of arrays, tuples of arrays (one an input) or
            mappings from the inputs' names. Some dozens will do.
        recipe: a precision ("int8", "uint8", "int16x8", "dynamic_range", "float16" or "int4") for
            its default recipe, a .json file, or a mapping such as the file holds; "int8" if not
            given.
        samples: how many are taken of the calibration data; all if not given.
        max_drop, max_latency: points of ``score`` that may be lost, and seconds that a call may
            take on this machine. Where one is given, layers are restored to a higher precision by
            measured error and measured time, and none stays in one that is slower here than
            float32; ``search`` of the result tells of it.
        small: with such a budget, layers that are slower stay quantized.
        score: points of a network, on labelled data; if not given, 100 less the noise of the worst
            output in percent of its power.
        threads: that networks are timed with.
        progress: called with what is done, how far it is, and of how much (0: not known).

    Returns:
        ``graph`` of the result, which `save` writes and `compile` runs, and what led to it.

    Raises:
        InputError: the network is quantized already, the recipe or the data are no good, or there
            are no data for a recipe that needs them.
    """
    from .quantizer import Budget, quantize

    is_limited = max_drop is not None or max_latency is not None
    return quantize(
        graph,
        calibration,
        recipe=recipe,
        samples=samples,
        budget=Budget(max_drop, max_latency, small) if is_limited else None,
        score=score,
        threads=threads,
        progress=progress,
    )


def compile(
    graph: Graph,
    *,
    threads: int | Literal["auto"] = 1,
    affinity: str | None = None,
    power: str = "balanced",
    isa: str | None = None,
    strict: bool = False,
    requantization: str = "float",
    precision: str | None = None,
    max_iterations: int = 1_000_000,
    tuned: bool = True,
) -> Program:
    """Compile a network for this machine.

    Args:
        graph: as loaded; it is optimized here.
        threads: how many run the network, the caller's included; "auto" is as many as there are
            cores for them.
        affinity: the cores that threads run on, all but the caller's own: "all", "big", "little" or
            numbers of CPUs such as "0,2-3". If not given, what ``power`` prefers.
        power: how long threads without work wait awake, which takes power and shortens the next
            call: "performance" 2 ms, "balanced" 50 us, "powersave" not at all, and on little cores
            (docs/threads.md).
        isa: an instruction set by name (``edgewise doctor`` lists them), instead of the best.
        strict: refuse a network that needs operators without kernels.
        requantization: how int32 sums become 8 bits, "float" as LiteRT on x86 and ARM processors,
            or "fixed_point" as microcontrollers do.
        precision: "bf16" lets products of float32 round their operands to bfloat16, an error of
            2**-8 of each: those of one row their weights; others both operands, where the
            processor has dot products of bfloat16, and nothing where it has none (docs/float.md).
        max_iterations: the turns after which a loop of the network raises ``RunError``.
        tuned: choose kernels by what was measured on this machine (docs/tuning.md), where it was.

    Raises:
        InputError: an argument is out of range.
        CompileError: the machine does not run ``isa``, code could not be generated, or ``strict``
            names operators without kernels.
        GraphError: the graph breaks an invariant.
        UnsupportedError: its activations take more than 1 GiB at a time.
    """
    return runtime.compile_graph(
        graph,
        threads=threads,
        affinity=affinity,
        power=power,
        isa=isa,
        strict=strict,
        requantization=requantization,
        precision=precision,
        max_iterations=max_iterations,
        tuned=tuned,
    )


def tune(
    graph: Graph,
    *,
    budget: float = 30.0,
    threads: int = 1,
    isa: str | None = None,
    requantization: str = "float",
    precision: str | None = None,
    again: bool = False,
    save: bool = True,
    progress: Callable[[float, str, float], None] = lambda spent, problem, saved: None,
) -> Tuned:
    """Choose kernels for a network by measuring them on this machine; see docs/tuning.md.

    Programs that ``compile`` makes from then on, of this and of other networks that have the same
    layers, use what was found; integers stay the same to the last bit, floats but for rounding. A
    KeyboardInterrupt ends the measurements as the budget does: what was measured counts.

    Args:
        budget: seconds, about.
        threads: of the programs that it is for.
        isa, requantization, precision: as for ``compile``.
        again: measure also what was measured before.
        save: keep what was found.
        progress: called with the share of the budget that is spent, what is measured next, and the
            share of the network's time that was saved so far.

    Raises:
        InputError: an argument is out of range.
        CompileError: the machine does not run ``isa``, or code could not be generated.
    """
    from .tuner import tune

    return tune(
        graph,
        budget=budget,
        threads=threads,
        isa=isa,
        requantization=requantization,
        precision=precision,
        again=again,
        save=save,
        progress=progress,
    )
