"""What a file's tensors become: names, constants, signatures."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as litert_schema
from tflite_files import (
    F32,
    I32,
    bias,
    conv,
    edit,
    everything,
    quantized,
    real,
    weights,
    with_outside_buffers,
    with_signature,
)

from edgewise.dtype import QParams
from edgewise.errors import ModelError
from edgewise.graph import TensorType
from edgewise.importers import load
from tflite_builder import Tensor, run_litert, single


def test_bias_scale_may_differ_as_little_as_litert_allows() -> None:
    x, w = Tensor(quantized((1, 4))), weights((5, 4))
    step = 0.05 * 0.01
    for scale, fits in ((step + 0.0199 * 0.05, True), (step + 0.0201 * 0.05, False)):
        b = Tensor(TensorType((5,), I32, QParams.per_tensor(scale, 0)), bias(x.type, w, 5).data)
        content = single("FULLY_CONNECTED", [x, w, b], [quantized((1, 5))], "FullyConnectedOptions")
        if fits:
            load(content)
        else:
            with pytest.raises(ModelError, match="bias scale"):
                load(content)


def test_bias_scale_of_an_int8_convolution_does_not_matter() -> None:
    def change(model: Any) -> None:
        vars(model.subgraphs[0].tensors[2].quantization).update(scale=[0.1] * 4)

    content = edit(conv(), change)
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
    graph = load(content)
    ((_, (found,)),) = graph.reference({graph.inputs[0]: x})
    (expected,) = run_litert(content, [x])
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_bias_may_have_no_scale() -> None:
    def remove(model: Any) -> None:
        vars(model.subgraphs[0].tensors[2].quantization).update(scale=None, zeroPoint=None)

    (node,) = load(edit(conv(), remove)).nodes
    assert len(node.inputs) == 3
    assert node.inputs[2].type.quant is None


def test_names_are_unique_and_never_empty() -> None:
    def same(model: Any) -> None:
        for t, name in zip(model.subgraphs[0].tensors, ("a", "", "a", "a_2"), strict=True):
            t.name = name

    graph = load(edit(conv(), same))
    (node,) = graph.nodes
    assert [v.name for v in (*node.inputs, *node.outputs)] == ["a", "tensor_1", "a_2.2", "a_2"]


def test_signature_names_inputs_and_outputs() -> None:
    graph = load(with_signature(everything()))
    assert [v.name for v in (*graph.inputs, *graph.outputs)] == ["picture", "answer"]

    def elsewhere(model: Any) -> None:
        model.subgraphs.append(copy.copy(model.subgraphs[0]))
        model.signatureDefs[0].subgraphIndex = 1

    graph = load(edit(with_signature(everything()), elsewhere))
    assert [v.name for v in (*graph.inputs, *graph.outputs)] == ["image", "probabilities"]


def test_constants_outside_the_flatbuffer() -> None:
    inside, outside = load(everything()), load(with_outside_buffers(everything()))
    assert str(inside) == str(outside)
    for a, b in zip(inside.constants, outside.constants, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_unaligned_constants_are_copied() -> None:
    wanted = np.arange(-2, 2, dtype=np.int32)
    start = len(conv()) + 1001 // 4 * 4 + 3

    def outside(model: Any) -> None:
        vars(model.buffers[2]).update(data=None, offset=start, size=16)

    content = edit(conv(), outside).ljust(start, b"\0") + wanted.tobytes()
    data = load(content).nodes[0].inputs[2].data
    assert data is not None
    np.testing.assert_array_equal(data, wanted)
    assert data.flags.aligned
    assert not data.flags.writeable


def test_old_and_new_builtin_codes() -> None:
    for fields in ({"builtinCode": 0}, {"deprecatedBuiltinCode": 0}):
        graph = load(edit(conv(), lambda m, fields=fields: vars(m.operatorCodes[0]).update(fields)))
        assert graph.nodes[0].op.name == "CONV_2D"


def test_unused_tensors_are_not_looked_at() -> None:
    def add(model: Any) -> None:
        t = litert_schema.TensorT()
        t.shape, t.type, t.name = [-7], 5, "unused"
        model.subgraphs[0].tensors.append(t)

    load(edit(conv(), add))


def test_other_subgraphs_are_not_looked_at() -> None:
    load(edit(conv(), lambda m: m.subgraphs.append(litert_schema.SubGraphT())))


def test_messages_name_no_more_than_they_need() -> None:
    with pytest.raises(ModelError) as caught:
        load(
            edit(
                conv(),
                lambda m: vars(m.subgraphs[0].tensors[0]).update(name="n" * 10000, shape=[-1]),
            )
        )
    assert len(str(caught.value)) < 300
    assert re.match(r"tensor 0 'n{80}': shape \[-1\]", str(caught.value))


def test_float_constants_stay_float() -> None:
    w = Tensor(real(5, 4), np.ones((5, 4), np.float32))
    content = single(
        "FULLY_CONNECTED", [Tensor(real(2, 4)), w], [real(2, 5)], "FullyConnectedOptions"
    )
    (node,) = load(content).nodes
    assert [v.type.dtype for v in node.inputs] == [F32, F32]
