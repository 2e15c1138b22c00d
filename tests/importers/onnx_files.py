"""Small ONNX files for tests, and what ONNX Runtime computes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import edgewise as ew
from edgewise.graph import Graph

Array = npt.NDArray[Any]
Node = onnx.NodeProto
node = helper.make_node
onnxruntime.set_default_logger_severity(4)

CODES = {np.dtype(v): k for k, v in ((1, "f4"), (6, "i4"), (7, "i8"), (9, "?"), (11, "f8"))}
CODES |= {np.dtype("u2"): 4, np.dtype("i2"): 5}
CODES |= {np.dtype("u1"): 2, np.dtype("i1"): 3, np.dtype("f2"): 10, np.dtype("u4"): 12}


def info(name: str, shape: Sequence[int | str] | None, dtype: Any = np.float32) -> Any:
    """The declaration of a tensor."""
    code = dtype if isinstance(dtype, int) else CODES[np.dtype(dtype)]
    return helper.make_tensor_value_info(name, code, shape)


def tensor(name: str, data: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(data), name)


def graph(
    nodes: Sequence[Node],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: Mapping[str, Any] | None = None,
    name: str = "net",
) -> onnx.GraphProto:
    """``outputs`` are declarations, or names of tensors of float32 whose shape is left open."""
    declared = [info(o, None) if isinstance(o, str) else o for o in outputs]
    tensors = [tensor(k, v) for k, v in (constants or {}).items()]
    return helper.make_graph(list(nodes), name, list(inputs), declared, tensors)


def model(g: onnx.GraphProto, opset: int = 18, **others: Any) -> bytes:
    imports = [helper.make_opsetid("", opset), *others.pop("imports", ())]
    made = helper.make_model(g, opset_imports=imports, ir_version=10, **others)
    return bytes(made.SerializeToString())


def single(
    op: str,
    feeds: Mapping[str, Array],
    constants: Mapping[str, Any] | None = None,
    outputs: Sequence[Any] = ("y",),
    opset: int = 18,
    operands: Sequence[str] | None = None,
    **attributes: Any,
) -> bytes:
    """A file of one operator: its operands are ``feeds``, then ``constants``."""
    names = [*feeds, *(constants or {})] if operands is None else list(operands)
    results = [o if isinstance(o, str) else o.name for o in outputs]
    inputs = [info(k, v.shape, v.dtype) for k, v in feeds.items()]
    made = graph([node(op, names, results, **attributes)], inputs, outputs, constants)
    return model(made, opset)


def runtime(data: bytes, feeds: Mapping[str, Array]) -> list[Array]:
    """What ONNX Runtime gives."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def reference(g: Graph, feeds: Mapping[str, Array]) -> list[Array]:
    values = {v: feeds[v.name] for v in g.inputs}
    for n, results in g.reference(values):
        values.update(zip(n.outputs, results, strict=True))
    return [values[v] for v in g.outputs]


def compiled(g: Graph, feeds: Mapping[str, Array]) -> list[Array]:
    with contextlib.closing(ew.compile(g)) as program:
        given = program(**feeds)
    return list(given) if isinstance(given, tuple) else [given]


def check(
    data: bytes, feeds: Mapping[str, Array], expected: Sequence[Array] | None = None
) -> Graph:
    """References and compiled code give what ONNX Runtime gives, or ``expected``; the graph."""
    g = ew.load(data)
    wanted = runtime(data, feeds) if expected is None else expected
    for run in (reference, compiled):
        given = run(g, feeds)
        assert len(given) == len(wanted)
        for y, w in zip(given, wanted, strict=True):
            assert (y.dtype, y.shape) == (w.dtype, w.shape), run.__name__
            np.testing.assert_allclose(y, w, rtol=1e-5, atol=1e-6, err_msg=run.__name__)
    return g


def operators(g: Graph) -> list[str]:
    return [n.op.name for n in g.nodes]
