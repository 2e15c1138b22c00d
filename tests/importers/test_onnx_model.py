"""ONNX files as a whole: dimensions by name, data in other files, functions, broken files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import Array, check, graph, info, model, node, operators, single, tensor

import edgewise as ew
from edgewise.errors import InputError, ModelError, UnsupportedError


def data(*shape: int) -> Array:
    return np.random.default_rng(3).integers(-9, 10, shape).astype(np.float32)


def flexible() -> bytes:
    """y [batch, 12] of x [batch, 3, width], whose width is 4."""
    nodes = [
        node("Shape", ["x"], ["s"], end=1),
        node("Concat", ["s", "rest"], ["wanted"], axis=0),
        node("Reshape", ["x", "wanted"], ["y"]),
    ]
    outputs = [info("y", ["batch", 12])]
    constants = {"rest": np.array([12])}
    return model(graph(nodes, [info("x", ["batch", 3, "width"])], outputs, constants))


def test_dimensions_have_names() -> None:
    g = ew.load(flexible(), dims={"batch": 2, "width": 4})
    assert g.inputs[0].type.shape == (2, 3, 4)
    assert g.outputs[0].type.shape == (2, 12)
    assert g.metadata["dims"] == {"batch": 2, "width": 4}
    assert g.open == {"x": (-1, 3, -1)}


def test_dimensions_change_from_call_to_call() -> None:
    with contextlib.closing(ew.compile(ew.load(flexible(), dims={"width": 4}))) as program:
        for batch in (1, 3, 2):
            x = data(batch, 3, 4)
            assert np.array_equal(program(x), x.reshape(batch, 12))


def test_shapes_are_chosen_by_input() -> None:
    assert ew.load(flexible(), shapes={"x": (5, 3, 4)}).outputs[0].type.shape == (5, 12)


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        ({"dims": {"depth": 2}}, r"no symbolic dimension is named 'depth'; .*\['batch', 'width'\]"),
        ({"shapes": {"z": (1,)}}, r"no input is named 'z'; the file has \['x'\]"),
        ({"shapes": {"x": (1, 3)}}, "the rank stays"),
        ({"dims": {"width": 5}}, "cannot take inputs of shapes.*Reshape"),
        ({"dims": {"width": -1}}, "cannot be negative"),
    ],
)
def test_wrong_choices(chosen: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        ew.load(flexible(), **chosen)


def test_sizes_that_nobody_gives_are_1() -> None:
    """An error says so."""
    with pytest.raises(ModelError, match="these dimensions are 1: batch, width"):
        ew.load(flexible())


def external(location: str, **entries: str) -> bytes:
    """y = x + w, where w is in another file."""
    made = graph([node("Add", ["x", "w"], ["y"])], [info("x", (2,))], ["y"])
    w = TensorProto(name="w", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        w.external_data.add(key=key, value=value)
    made.initializer.append(w)
    return model(made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a model, beside a file that is not the model's."""
    (tmp_path / "secret").write_bytes(np.float32([8, 9]).tobytes())
    inside = tmp_path / "model"
    (inside / "data").mkdir(parents=True)
    (inside / "data" / "w.bin").write_bytes(np.float32([1, 2, 3, 4]).tobytes())
    return inside


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"length": "8"}, [1, 2]),
        ({"offset": "8"}, [3, 4]),
        ({"offset": "4", "length": "8"}, [2, 3]),
    ],
)
def test_external_data(folder: Path, entries: dict[str, str], expected: list[float]) -> None:
    path = folder / "net.onnx"
    path.write_bytes(external("data/w.bin", **entries))
    (w,) = ew.load(path).constants
    assert w.data is not None
    assert w.data.tolist() == expected


@pytest.mark.parametrize(
    ("location", "entries", "rule"),
    [
        ("../secret", {}, "must be a file in the model's folder"),
        ("data/../../secret", {}, "must be a file in the model's folder"),
        ("link", {}, "must be a file in the model's folder"),
        ("none.bin", {}, "must be a file in the model's folder"),
        ("data", {}, "must be a file in the model's folder"),
        ("", {}, "must be a file in the model's folder"),
        ("w\0", {}, "must be a file in the model's folder"),
        ("data/w.bin", {}, "4 elements of data for shape"),
        ("data/w.bin", {"length": "6"}, "hold no whole elements"),
        ("data/w.bin", {"offset": "12", "length": "8"}, "8 at 12|8 bytes at 12"),
        ("data/w.bin", {"offset": "17"}, "at 17"),
        ("data/w.bin", {"offset": "-4"}, "must be a whole number"),
        ("data/w.bin", {"length": "1e9"}, "must be a whole number"),
        ("data/w.bin", {"length": "9" * 30}, "must be a whole number"),
    ],
)
def test_external_data_stays_in_its_folder_and_file(
    folder: Path, location: str, entries: dict[str, str], rule: str
) -> None:
    os.symlink(folder.parent / "secret", folder / "link")
    path = folder / "net.onnx"
    path.write_bytes(external(location, **entries))
    with pytest.raises(ModelError, match=rule):
        ew.load(path)


def test_external_data_by_an_absolute_path(folder: Path) -> None:
    path = folder / "net.onnx"
    path.write_bytes(external(str(folder / "data" / "w.bin"), length="8"))
    with pytest.raises(ModelError, match="must be a file in the model's folder"):
        ew.load(path)


def test_external_data_of_bytes() -> None:
    with pytest.raises(ModelError, match="load it by its path"):
        ew.load(external("w.bin"))


def test_external_data_without_a_location() -> None:
    content = onnx.ModelProto.FromString(external("w.bin"))
    del content.graph.initializer[0].external_data[:]
    with pytest.raises(ModelError, match="has no location"):
        ew.load(content.SerializeToString())


def functional(**attributes: Any) -> bytes:
    """y = Scaled(x), a function of the file: x * factor + offset, where there is one."""
    nodes = [
        node("Constant", [], ["f"]),
        node("Mul", ["a", "f"], ["m"]),
        node("Identity", ["m"], ["r"]),
    ]
    reference = nodes[0].attribute.add(name="value_float", ref_attr_name="factor")
    reference.type = onnx.AttributeProto.FLOAT
    default = helper.make_attribute("factor", 3.0)
    function = helper.make_function(
        "local",
        "Scaled",
        ["a", "unused"],
        ["r"],
        nodes,
        [helper.make_opsetid("", 18)],
        attribute_protos=[default],
    )
    called = node("Scaled", ["x"], ["y"], domain="local", **attributes)
    made = graph([called], [info("x", (2,))], ["y"])
    return model(made, functions=[function], imports=[helper.make_opsetid("local", 1)])


@pytest.mark.parametrize("attributes", [{}, {"factor": 5.0}])
def test_functions_of_the_file(attributes: dict[str, float]) -> None:
    g = check(functional(**attributes), {"x": data(2)})
    assert operators(g) == ["MUL"]


def test_functions_are_told_apart_by_overload() -> None:
    content = onnx.ModelProto.FromString(functional())
    content.functions.append(content.functions[0])
    content.functions[1].overload = "absolute"
    content.functions[1].node[1].CopyFrom(node("Abs", ["a"], ["m"]))
    content.graph.node[0].overload = "absolute"
    x = data(2)
    check(content.SerializeToString(), {"x": x}, [abs(x)])


def test_functions_take_as_many_inputs_as_they_have() -> None:
    content = onnx.ModelProto.FromString(functional())
    content.graph.node[0].input.extend(["x", "x", "x"])
    with pytest.raises(ModelError, match="4 inputs; its function takes 2"):
        ew.load(content.SerializeToString())


@pytest.mark.parametrize("version", [6, 29])
def test_functions_import_a_known_opset(version: int) -> None:
    content = onnx.ModelProto.FromString(functional())
    content.functions[0].opset_import[0].version = version
    with pytest.raises(UnsupportedError, match=f"opset {version}; supported are 7 to 28"):
        ew.load(content.SerializeToString())


def test_functions_do_not_call_themselves_forever() -> None:
    content = onnx.ModelProto.FromString(functional())
    inner = content.functions[0]
    inner.node.append(node("Scaled", ["m"], ["again"], domain="local"))
    inner.opset_import.append(helper.make_opsetid("local", 1))
    with pytest.raises(ModelError, match="nest more than 16 deep"):
        ew.load(content.SerializeToString())


def test_an_output_may_be_an_input_or_a_constant() -> None:
    nodes = [node("Abs", ["x"], ["a"]), node("Identity", ["a"], ["b"])]
    outputs = [info("x", (2,)), "w", "b", "a"]
    content = model(graph(nodes, [info("x", (2,))], outputs, {"w": np.float32([3, 4])}))
    g = check(content, {"x": data(2)}, [data(2), np.float32([3, 4]), *[abs(data(2))] * 2])
    assert [v.name for v in g.inputs] == ["x"]


def test_what_the_file_says_of_itself() -> None:
    content = onnx.ModelProto.FromString(single("Abs", {"x": data(2)}))
    content.doc_string = "a network"
    content.metadata_props.add(key="labels", value="a,b")
    metadata = ew.load(content.SerializeToString()).metadata
    assert metadata["description"] == "a network"
    assert metadata["properties"] == {"labels": "a,b"}
    assert "labels" not in metadata


def changed(change: Any) -> bytes:
    """y = Abs(x), changed."""
    content = onnx.ModelProto.FromString(single("Abs", {"x": data(2)}))
    change(content)
    return bytes(content.SerializeToString())


def add_tensor(t: TensorProto) -> Any:
    return lambda m: m.graph.initializer.append(t)


def declare(kind: str) -> Any:
    def change(m: Any) -> None:
        m.graph.input[0].ClearField("type")
        if kind:
            getattr(m.graph.input[0].type, kind).SetInParent()

    return change


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        (lambda m: m.ClearField("graph"), ModelError, "it holds no graph"),
        (lambda m: setattr(m.opset_import[0], "version", 6), UnsupportedError, "opset 6"),
        (
            lambda m: setattr(m.opset_import[0], "version", 29),
            UnsupportedError,
            "opset 29; supported are 7 to 28",
        ),
        (lambda m: setattr(m.graph.node[0], "op_type", "None"), UnsupportedError, "(None)"),
        (lambda m: setattr(m.graph.node[0], "domain", "other"), ModelError, "domain 'other'"),
        (lambda m: m.graph.node[0].input.append("x"), ModelError, "2 inputs; it takes 1 to 1"),
        (lambda m: m.graph.node[0].output.append("z"), ModelError, "2 outputs; it has 1"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "z"), ModelError, "'z' is used before"),
        (lambda m: m.graph.node[0].input.__setitem__(0, ""), ModelError, "input 0 is left out"),
        (lambda m: m.graph.node[0].output.__setitem__(0, "x"), ModelError, "already defined"),
        (lambda m: m.graph.ClearField("output"), ModelError, "no outputs"),
        (declare("sequence_type"), UnsupportedError, "input 'x' is sequence_type"),
        (declare(""), UnsupportedError, "input 'x' is of no type"),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 99),
            UnsupportedError,
            "input 'x': element type 99",
        ),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -5),
            ModelError,
            "none negative",
        ),
        (add_tensor(TensorProto(name="w", data_type=1, dims=[2**40])), ModelError, "0 elements"),
        (add_tensor(TensorProto(name="w", data_type=1, dims=[-1])), ModelError, "none negative"),
        (add_tensor(TensorProto(name="w", data_type=1, dims=[1] * 9)), ModelError, "at most 8"),
        (
            add_tensor(TensorProto(name="w", data_type=1, dims=[1], raw_data=b"123")),
            ModelError,
            "no whole elements",
        ),
        (
            add_tensor(TensorProto(name="w", data_type=14, dims=[1], float_data=[1, 2, 3])),
            ModelError,
            "0 elements of data",
        ),
        (
            add_tensor(TensorProto(name="w", data_type=1, segment=TensorProto.Segment(begin=0))),
            UnsupportedError,
            "data in segments",
        ),
    ],
)
def test_broken_files(change: Any, error: type[ModelError], rule: str) -> None:
    with pytest.raises(error, match=rule):
        ew.load(changed(change))


def test_an_attribute_of_another_type() -> None:
    content = single("Transpose", {"x": data(2, 3)}, perm=1)
    with pytest.raises(ModelError, match="attribute 'perm' is INT; it must be INTS"):
        ew.load(content)


def test_an_output_that_is_not_what_the_file_declares() -> None:
    """Where only a call can tell."""
    x = np.array([1, 0, 2], np.float32)
    content = single("NonZero", {"x": x}, None, [info("y", [1, "n"], np.float32)])
    with (
        contextlib.closing(ew.compile(ew.load(content))) as program,
        pytest.raises(ew.RunError, match=r"output 'y' is int64.*the file declares float32"),
    ):
        program(x)


@pytest.mark.parametrize("code", [1, 6, 7, 9, 10, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("raw", [False, True])
def test_stored_elements(code: int, raw: bool) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(code)
    wanted = np.array([0, 1, 3]).astype(dtype)
    stored = tensor("w", wanted) if raw else helper.make_tensor("w", code, [3], wanted)
    assert stored.HasField("raw_data") == raw
    made = graph([], [], [info("w", (3,), code)])
    made.initializer.append(stored)
    g = ew.load(model(made))
    with contextlib.closing(ew.compile(g)) as program:
        found = program()
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


def test_the_package_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ew.MissingExtraError, match="onnx"):
        ew.load(single("Abs", {"x": data(2)}))


def test_text_that_is_no_utf8() -> None:
    data = model(graph([node("Relu", ["x"], ["y"])], [info("x", (2,))], ["y"]))
    with pytest.raises(UnsupportedError, match=r"xfflu'.: the operator is not supported"):
        ew.load(data.replace(b"\x04Relu", b"\x04R\xfflu"))
