"""What is refused of PyTorch, and how it is told. Nothing of a file is run."""

from __future__ import annotations

import builtins
import copy
import io
import json
import logging
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import edgewise as ew
from edgewise.errors import InputError, MissingExtraError, ModelError, UnsupportedError
from edgewise.importers import load

Records = dict[str, bytes]
MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.dense(x)) + torch.tensor([1.0, 2.0])


@pytest.fixture(scope="module")
def records() -> Records:
    """The records of an archive of torch.export, by name."""
    shapes = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Small().eval(), (torch.ones(2, 3),), dynamic_shapes=shapes)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {i.filename.partition("/")[2]: archive.read(i) for i in archive.infolist()}


def packed(records: Records, method: int = zipfile.ZIP_STORED, folder: str = "archive/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in records.items():
            archive.writestr(folder + name, content)
    return buffer.getvalue()


def changed(records: Records, name: str, change: Callable[[Any], Any]) -> bytes:
    """The archive with a change of one of its JSON records."""
    content = json.loads(records[name])
    change(content)
    return packed({**records, name: json.dumps(content).encode()})


class Trap:
    """Unpickled, it ends the process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_an_archive_is_read(records: Records) -> None:
    assert load(packed(records)).outputs[0].type.shape == (2, 2)


@pytest.mark.parametrize(
    "name", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt"]
)
def test_what_is_not_needed_is_not_read(records: Records, name: str) -> None:
    load(packed({**records, name: pickle.dumps(Trap())}))


class Private(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._dense = nn.Sequential(nn.Linear(3, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self._dense(x)
        return y, y, x, self._dense[0].bias


def test_names_of_private_modules_are_names() -> None:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(Private().eval(), (torch.ones(2, 3),)), buffer)
    graph = load(buffer.getvalue())
    assert [v.type.shape for v in graph.outputs] == [(2, 2), (2, 2), (2, 3), (2,)]


def test_tensors_of_other_devices_are_read(records: Records) -> None:
    content = {name: data.replace(b'"cpu"', b'"cuda"') for name, data in records.items()}
    assert content[MODEL] != records[MODEL]
    assert content[WEIGHTS] != records[WEIGHTS]
    assert load(packed(content)).outputs[0].type.shape == (2, 2)


def test_guards_are_not_evaluated(records: Records) -> None:
    code = ["__import__('os')._exit(3)"]
    load(changed(records, MODEL, lambda model: model.update(guards_code=code)))


def _node(**fields: Any) -> Callable[[Any], None]:
    return lambda model: model["graph_module"]["graph"]["nodes"][0].update(fields)


def _size(text: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        sizes = model["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = text

    return change


def _number(target: str, *operands: Any) -> Callable[[Any], None]:
    """A chain of 40 nodes that compute numbers, each of the one before."""

    def change(model: Any) -> None:
        graph = model["graph_module"]["graph"]
        before: dict[str, Any] = {"as_int": 9}
        for i in range(40):
            name = f"number{i}"
            graph["sym_int_values"][name] = {"as_int": 1}
            inputs = [
                {"name": "", "arg": {"as_sym_int": before if n is None else {"as_int": n}}}
                for n in operands
            ]
            outputs = [{"as_sym_int": {"as_name": name}}]
            node = {"target": target, "inputs": inputs, "outputs": outputs, "metadata": {}}
            graph["nodes"].insert(i, node)
            before = {"as_name": name}

    return change


def _tree(spec: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        signature = model["graph_module"]["module_call_graph"][0]["signature"]
        signature["in_spec"] = spec if isinstance(spec, str) else json.dumps([1, spec])

    return change


def _nested(model: Any) -> None:
    value: Any = {}
    for _ in range(80):
        value = {"inner": value}
    model["more"] = value


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        (_node(target="torch.os.system"), UnsupportedError, "operator 'torch.os.system'"),
        (_node(target="torch.hub.load"), UnsupportedError, "operator 'torch.hub.load'"),
        (_node(target="torch.ops.aten.from_file.default"), UnsupportedError, "aten.from_file"),
        (_node(target="#custom:op"), UnsupportedError, "operator '#custom:op'"),
        (_node(name="x):\n  import os"), ModelError, "name 'x.*it is not of the form of one"),
        (_node(name="__class__"), ModelError, "name '__class__'"),
        (_node(inputs=[{"arg": {"as_graph": {}}}]), UnsupportedError, "graphs inside"),
        (_node(inputs=[{"as_string": "a\nb"}]), ModelError, r"as_string 'a\\nb'"),
        (_node(inputs=[{"no name": 1}]), ModelError, "key 'no name'; it must be a name"),
        (_size("__import__('os')"), ModelError, "expr_str"),
        (_size("Symbol('s77').__class__"), ModelError, "expr_str"),
        (_size("Pow(Integer(9), Pow(Integer(9), Integer(9)))"), ModelError, "expr_str"),
        (_size("Symbol('x' * 9)"), ModelError, "expr_str"),
        (
            _size(f"Max({', '.join(f'Symbol({chr(39)}s{i}{chr(39)})' for i in range(99))})"),
            ModelError,
            "expr_str",
        ),
        (_number("_operator.pow", 9, 10**12), ModelError, "a number of more than"),
        (_number("_operator.pow", None, 9), ModelError, "a number of more than"),
        (_number("_operator.mul", None, None), ModelError, "a number of more than"),
        (_tree({"type": "collections.defaultdict", "context": "{}"}), ModelError, "in_spec"),
        (_tree({"type": "builtins.dict", "context": '[{"__enum__": true}]'}), ModelError, "in_s"),
        (_tree({"type": "builtins.list", "children_spec": 3}), ModelError, "in_spec"),
        (_tree("no JSON"), ModelError, "in_spec"),
        (_nested, ModelError, "objects nest more than 64 deep"),
        (lambda model: model.update(graph_module=3), ModelError, "3; it must be an object"),
        (lambda model: model.pop("schema_version"), ModelError, "PyTorch .* cannot read it"),
    ],
)
def test_programs_that_are_refused(
    records: Records, change: Callable[[Any], None], error: type[Exception], rule: str
) -> None:
    with pytest.raises(error, match=rule):
        load(changed(records, MODEL, change))


def _tensor(**fields: Any) -> Callable[[Any], None]:
    return lambda found: found["config"]["dense.weight"].update(fields)


def _meta(**fields: Any) -> Callable[[Any], None]:
    return lambda found: found["config"]["dense.weight"]["tensor_meta"].update(fields)


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        (_tensor(use_pickle=True), UnsupportedError, "'dense.weight' is pickled"),
        (_tensor(tensor_meta=None), UnsupportedError, "'dense.weight' is pickled"),
        (_tensor(path_name="../x"), ModelError, "has no record 'data/weights/../x'"),
        (_tensor(path_name="none"), ModelError, "has no record 'data/weights/none'"),
        (_meta(dtype=77), UnsupportedError, "element type 77"),
        (_meta(sizes=3), ModelError, "sizes are 3; they are a list"),
        (_meta(sizes=[{"as_int": -1}, {"as_int": 3}]), ModelError, "hold -1; it must be a whole"),
        (_meta(sizes=[{"as_int": 2}]), ModelError, "1 sizes and 2 strides"),
        (_meta(sizes=[{"as_int": 10**12}, {"as_int": 3}]), ModelError, "its record has 24"),
        (_meta(storage_offset={"as_int": 1}), ModelError, "28 bytes; its record has 24"),
        (lambda found: found.pop("config"), ModelError, "None; it must be an object"),
    ],
)
def test_tensors_that_are_refused(
    records: Records, change: Callable[[Any], None], error: type[Exception], rule: str
) -> None:
    with pytest.raises(error, match=rule):
        load(changed(records, WEIGHTS, change))


def test_objects_are_not_unpickled(records: Records) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
    content = {**records, "data/constants/opaque_obj_0": pickle.dumps(Trap())}
    config = json.loads(records[CONSTANTS])
    config["config"]["trap"] = {**entry, "tensor_meta": None}
    content[CONSTANTS] = json.dumps(config).encode()
    with pytest.raises(UnsupportedError, match="'trap' is pickled"):
        load(packed(content))


def overlapping(data: bytes) -> bytes:
    """An archive whose directory names its longest record a thousand times."""
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream, "a") as archive:
        longest = max(archive.infolist(), key=lambda info: info.file_size)
        for i in range(1000):
            again = copy.copy(longest)
            again.filename = f"{longest.filename[:-4]}{i:04}"
            archive.filelist.append(again)
        archive._didModify = True  # type: ignore[attr-defined]
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        (lambda r: packed(r, zipfile.ZIP_DEFLATED), ModelError, "is compressed"),
        (lambda r: packed(r)[:-40], ModelError, "no sound zip archive"),
        (lambda r: overlapping(packed(r)), ModelError, "its records are longer than the file"),
        (lambda r: b"PK\x03\x04" + packed(r), ModelError, "does not begin with its first record"),
        (lambda r: packed({k: v for k, v in r.items() if k != WEIGHTS}), ModelError, "has no 'dat"),
        (lambda r: packed({**r, MODEL: b"{"}), ModelError, "is no JSON"),
        (lambda r: packed({**r, MODEL: b"[" * 10**5}), ModelError, "nested too deep"),
        (lambda r: packed({**r, "models/b.json": b"{}"}), UnsupportedError, "supported is 'models"),
        (lambda r: packed({"a": b""}), ModelError, "none of torch.export"),
        (
            lambda r: packed({"serialized_exported_program.json": b"{}"}, folder=""),
            UnsupportedError,
            "an archive of PyTorch 2.7 or older",
        ),
    ],
)
def test_archives_that_are_refused(
    records: Records, change: Callable[[Records], bytes], error: type[Exception], rule: str
) -> None:
    with pytest.raises(error, match=rule):
        load(change(records))


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_alone_need_their_module(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "small.pth"
    torch.save(Small().state_dict(), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: it holds weights without their network; build its module, then"
    module = Small()
    code = [line.strip() for line in lines]
    assert code[1] == "graph = ew.from_torch(module.eval(), (torch.randn(1, 3, 240, 320),))"
    code[1] = code[1].replace("1, 3, 240, 320", "2, 3")
    scope: dict[str, Any] = {"torch": torch, "ew": ew, "module": module}
    exec("\n".join(code), scope)
    assert scope["graph"].outputs[0].type.shape == (2, 2)


def test_torchscript_is_told(records: Records) -> None:
    content = {"data.pkl": b"", "constants.pkl": b"", "code/__torch__.py": b""}
    with pytest.raises(UnsupportedError, match="a TorchScript archive; give the module"):
        load(packed(content))


def test_torch_is_missing(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"reading \.pt2 files .*edgewise\[torch\]"):
        load(packed(records))
    with pytest.raises(MissingExtraError, match="reading PyTorch modules"):
        ew.from_torch(None)


def test_loggers_are_left_as_they_are(records: Records) -> None:
    logger = logging.getLogger("torch.export")
    before = logger.disabled, list(logger.filters)
    load(packed(records))
    with pytest.raises(ModelError, match=r"PyTorch .* cannot read it: (?!.*warnings above)"):
        load(changed(records, MODEL, _node(target="torch.ops.aten.no_such.default")))
    assert (logger.disabled, list(logger.filters)) == before


class Bad(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


def test_modules_that_are_refused() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(InputError, match=r"int; it takes a torch\.nn\.Module"):
        ew.from_torch(3)
    with pytest.raises(InputError, match=r"'Small' is in training mode; call eval\(\)"):
        ew.from_torch(Small(), (x,))
    module = Small().eval()
    module.dense.train()
    with pytest.raises(InputError, match="'dense' is in training mode"):
        ew.from_torch(module, (x,))
    with pytest.raises(InputError, match=r"torch\.export cannot export Bad: "):
        ew.from_torch(Bad().eval(), (x,))
    with pytest.raises(InputError, match="cannot export Small: "):
        ew.from_torch(Small().eval(), 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="dimension 'n': -3; it cannot be negative"):
        ew.from_torch(Small().eval(), (x,), dims={"n": -3})
    with pytest.raises(InputError, match="it must be whole numbers"):
        ew.from_torch(Small().eval(), (x,), dims={"n": "3"})  # type: ignore[dict-item]


class Rare(nn.Module):
    def forward(self, x: Tensor) -> Any:
        y = x.cummax(0)[0] + (x + 1).cummax(1)[0]
        return torch.fft.fft(y).real, y.to(torch.bfloat16)


def test_all_that_is_not_supported_is_told_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        ew.from_torch(Rare().eval(), (torch.eye(3),))
    told = str(caught.value)
    assert told.startswith("not supported: 2 x cummax.default: the operator (node 'cummax' in Rare")
    assert f'in Rare, "{__file__}", line' in told
    assert "element type bfloat16" in told
    assert "fft" in told


class Cut(nn.Module):
    def forward(self, x: Tensor, count: Tensor) -> Tensor:
        k = count.item()
        torch._check(k >= 0)
        torch._check(k <= x.shape[0])
        return x[:k] * 2


def test_numbers_of_inputs_are_not_supported() -> None:
    with pytest.raises(UnsupportedError, match=r"item\.default: self must be a constant; it is"):
        ew.from_torch(Cut().eval(), (torch.ones(4), torch.tensor(2)))


class Trained(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        return x * 2


@pytest.mark.parametrize(
    ("module", "rule"),
    [
        (Trained(), "train is set: the module was exported in training mode"),
        (Writes(), "other than on its buffers: user_input_mutation"),
        (nn.Sequential(nn.Linear(3, 3).to(torch.bfloat16)), "element type bfloat16"),
    ],
)
def test_uses_that_are_not_supported(module: nn.Module, rule: str) -> None:
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    with pytest.raises(UnsupportedError, match=rule):
        ew.from_torch(module.eval(), (torch.ones(2, 3, dtype=dtype),))
