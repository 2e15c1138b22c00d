"""Quantizers: Edgewise's, ai-edge-quantizer's and ONNX Runtime's."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.version_converter

import edgewise as ew
from edgewise import exporters
from edgewise.errors import InputError
from edgewise.graph import Array, Graph

from ..networks.onnx_export import Exported
from ..networks.onnx_export.export import OPSET
from ..networks.peers.onnx import as_onnx, taken
from .datasets import Sample
from .makeup import makeup

Run: TypeAlias = "Callable[[Sample], list[Array]]"

SAME = 1e-4
"""Greatest difference of a float output of what a peer is given, as a share of its range."""


@dataclass(frozen=True)
class Quantized:
    """A network that a contestant quantized: how it runs, its file's bytes, and what they are for,
    where that is told (`makeup`).
    """

    run: Run
    size: int
    parts: Mapping[str, int] | None = None


Quantizer: TypeAlias = "Callable[[Path, Graph, list[Sample], Mapping[str, Any]], Quantized]"
"""quantizer(file, its graph, calibration data, a setting's options)."""


def run_graph(graph: Graph) -> Run:
    """A graph in Edgewise; real numbers, whatever the types of inputs and outputs."""
    program = ew.compile(graph)

    def run(sample: Sample) -> list[Array]:
        given = program(*sample)
        return [np.array(a) for a in (given if isinstance(given, tuple) else (given,))]

    return run


def edgewise(
    path: Path, graph: Graph, calibration: list[Sample], options: Mapping[str, Any]
) -> Quantized:
    quantized = ew.quantize(graph, calibration, **options)
    content = exporters.to_tflite(exporters.prepare(quantized.graph))
    return Quantized(run_graph(quantized.graph), len(content), makeup(content))


def ai_edge_quantizer(
    path: Path, graph: Graph, calibration: list[Sample], options: Mapping[str, Any]
) -> Quantized:
    """Static int8, float inputs and outputs; it gets the .tflite file, where there is one of
    float32 weights, else one that Edgewise writes. LiteRT runs what comes out.
    """
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    content = float_tflite(path, graph)
    check_same(graph, _litert(content), calibration[0])
    chosen = recipe.static_wi8_ai8(AlgorithmName[options["algorithm"]])
    work = quantizer.Quantizer(content, chosen)
    signature, arguments = _signature(content)
    data = [dict(zip(arguments, sample, strict=True)) for sample in calibration]
    result = work.calibrate({signature: data}, num_threads=2)
    made = work.quantize(result, enable_progress_report=False).quantized_model
    assert made is not None
    return Quantized(_litert(bytes(made)), len(made))


def float_tflite(path: Path, graph: Graph) -> bytes:
    """The file itself where it is a .tflite one that ai-edge-quantizer takes, which has float32
    weights and a signature; else a new one.
    """
    if path.suffix == ".tflite" and "f16" not in path.stem and graph.metadata.get("signatures"):
        return path.read_bytes()
    return exporters.to_tflite(exporters.prepare(replace(graph, metadata={})))


def _signature(content: bytes) -> tuple[str, list[str]]:
    """The first signature of a .tflite file, and the names of its inputs in the graph's order."""
    from ai_edge_quantizer.utils import tfl_interpreter_utils as utils

    interpreter = utils.create_tfl_interpreter(content, num_threads=1)
    by_index = {d["index"]: d["name"] for d in interpreter.get_input_details()}
    key = next(iter(interpreter.get_signature_list()))
    runner = interpreter.get_signature_runner(key)
    arguments = {d["name"]: name for name, d in runner.get_input_details().items()}
    return key, [arguments[name] for name in by_index.values()]


def _litert(content: bytes) -> Run:
    """A .tflite network in LiteRT, without XNNPACK where that refuses it."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=content, num_threads=2)
    try:
        interpreter.allocate_tensors()
    except RuntimeError:
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
        interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(sample: Sample) -> list[Array]:
        for detail, array in zip(inputs, sample, strict=True):
            interpreter.set_tensor(detail["index"], _quantized(detail, array))
        interpreter.invoke()
        return [_real(d, interpreter.get_tensor(d["index"])) for d in outputs]

    return run


def _quantized(detail: Mapping[str, Any], array: Array) -> Array:
    dtype = detail["dtype"]
    if dtype == np.float32:
        return array
    scale, zero = detail["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.rint(array / scale) + zero, limits.min, limits.max).astype(dtype)


def _real(detail: Mapping[str, Any], array: Array) -> Array:
    if detail["dtype"] == np.float32:
        return np.array(array)
    scale, zero = detail["quantization"]
    return ((array.astype(np.float64) - zero) * scale).astype(np.float32)


def onnxruntime(
    path: Path, graph: Graph, calibration: list[Sample], options: Mapping[str, Any]
) -> Quantized:
    """QDQ, per channel, uint8 activations and int8 weights, as is advised for x86; it gets the
    .onnx file, or what the graph is written as. Products do not saturate
    (``session.x64quantprecision``).
    """
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    exported = as_onnx(path, graph)
    check_same(graph, _onnx_run(exported, exported.model), calibration[0])
    with tempfile.TemporaryDirectory() as folder:
        source, ready, made = (Path(folder) / f"{n}.onnx" for n in ("source", "ready", "made"))
        source.write_bytes(_with_axes(exported.model))
        with contextlib.redirect_stdout(None):
            shape_inference.quant_pre_process(source, ready, skip_symbolic_shape=True)
            quantization.quantize_static(
                ready,
                made,
                _reader(exported, calibration),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod[options["method"]],
                extra_options={"CalibStridedMinMax": STRIDE, **options.get("extra", {})},
            )
        content = made.read_bytes()
    return Quantized(_onnx_run(exported, content), len(content))


def _with_axes(content: bytes) -> bytes:
    """A model of an operator set that has scales of channels: 13 or later."""
    model = onnx.load_from_string(content)
    if any(found.domain == "" and found.version < OPSET for found in model.opset_import):
        model = onnx.version_converter.convert_version(model, OPSET)
    return bytes(model.SerializeToString())


STRIDE = 2
"""Samples whose intermediate results are in memory together."""


def _reader(exported: Exported, calibration: Sequence[Sample]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.set_range(0, len(calibration))

        def __len__(self) -> int:
            return len(calibration) // STRIDE * STRIDE

        def set_range(self, start_index: int, end_index: int) -> None:
            self._rest = iter(calibration[start_index:end_index])

        def get_next(self) -> dict[str, Array] | None:
            sample = next(self._rest, None)
            return None if sample is None else _feeds(exported, sample)

    return Reader()


def _feeds(exported: Exported, sample: Sample) -> dict[str, Array]:
    pairs = zip(exported.inputs, sample, strict=True)
    return {port.name: np.ascontiguousarray(port.given(array)) for port, array in pairs}


def _onnx_run(exported: Exported, content: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in exported.outputs]

    def run(sample: Sample) -> list[Array]:
        return taken(exported.outputs, session.run(names, _feeds(exported, sample)))

    return run


def check_same(graph: Graph, run: Run, sample: Sample) -> None:
    """Hold what a peer is given equal to the graph.

    Raises:
        InputError: an output differs by more than `SAME` of its range.
    """
    for value, ours, theirs in zip(
        graph.outputs, run_graph(graph)(sample), run(sample), strict=True
    ):
        scale = max(float(np.ptp(ours)), float(np.abs(ours).max()))
        share = float(np.abs(ours - theirs).max()) / scale
        if not share <= SAME:
            raise InputError(f"output {value.name!r} differs by {share:.2g} of its range")


@dataclass(frozen=True)
class Contestant:
    """A quantizer and its settings, the default one first."""

    title: str
    package: str
    quantize: Quantizer
    settings: Mapping[str, Mapping[str, Any]]


CONTESTANTS = {
    "edgewise": Contestant("Edgewise", "edgewise", edgewise, {"default": {}}),
    "ai-edge-quantizer": Contestant(
        "ai-edge-quantizer",
        "ai-edge-quantizer",
        ai_edge_quantizer,
        {
            "min-max": {"algorithm": "MIN_MAX_UNIFORM_QUANT"},
            "OCTAV": {"algorithm": "OCTAV"},
        },
    ),
    "onnxruntime": Contestant(
        "ONNX Runtime",
        "onnxruntime",
        onnxruntime,
        {
            "MinMax": {"method": "MinMax"},
            "Entropy": {"method": "Entropy"},
            "Percentile": {"method": "Percentile", "extra": {"CalibPercentile": 99.999}},
        },
    ),
}

SUBJECT = "edgewise"


def versions() -> dict[str, str]:
    """Of the contestants' packages, those that are installed."""
    found = {}
    for contestant in CONTESTANTS.values():
        with contextlib.suppress(PackageNotFoundError):
            found[contestant.package] = version(contestant.package)
    return found
