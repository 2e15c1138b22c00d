"""Files of PyTorch: archives of torch.export, made safe to load; weights alone, told as such.

``torch.export.load`` unpickles, and evaluates text of the file as Python. So an archive is written
anew before PyTorch reads it, from parts that are checked: names are names, operators are ATen's,
sizes are arithmetic, tensors are raw bytes. What cannot be said so is refused.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ModelError, UnsupportedError

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch.save began until PyTorch 1.5."""

MODEL = "models/model.json"
CONFIGS = {
    "data/weights/model_weights_config.json": "data/weights/",
    "data/constants/model_constants_config.json": "data/constants/",
}
"""The lists of tensors, and the folder of each."""

ITEM_SIZES = dict(
    zip(map(str, range(1, 14)), (1, 1, 2, 4, 8, 2, 4, 8, 4, 8, 16, 1, 2), strict=True)
)
"""Bytes of an element by its number in the schema's ScalarType."""

MAX_DEPTH = 64
MAX_TEXT = 4096
MAX_EXTREMES = 512
"""The longest expression with Max or Min, whose operands are compared in pairs."""

SIZE_DIGITS = 19
MAX_DIGITS = 1000
"""The most digits of a size, and of a product or power of sizes."""

_NAME = re.compile(r"(?!(.*\.)?__\w*__(\.|$))[\w.]{0,512}")
_TEXT = re.compile(r"[\w.,\->+ ]{0,256}")
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.(?!from_file\b)[a-z_]\w*\.\w+"
    r"|torch\.sym_(float|int|max|min|not|ite)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|math\.(ceil|floor|trunc)"
)
_POWER = re.compile(r"Pow\(Symbol\('[a-z]+\d+'(, \w+=True)*\), Integer\(-?\d\)\)")
_EXPRESSION = re.compile(
    r"((Symbol|Integer|Add|Mul|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|Max|Min|TruncToInt|IntTrueDiv"
    r"|ToFloat|CeilToInt|FloorToInt|Eq|Ne|Lt|Le|Gt|Ge|Not|And|Or)\("
    r"|'[a-z]+\d+'|\w+=True|true|false|-?\d{1,18}|[(),\s])*"
)
_BROKEN = (zipfile.BadZipFile, struct.error, NotImplementedError, OSError, EOFError, ValueError)
"""What zipfile raises for archives that it cannot read."""

_FOREIGN = {"as_graph": "graphs inside of the graph", "as_custom_obj": "objects of other classes"}
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", None)


def checked(data: bytes, path: str) -> bytes:
    """An archive of torch.export with all that PyTorch needs of ``data`` and nothing else.

    Raises:
        UnsupportedError: the file holds something else than an exported program, such as weights
            alone, or a part that only code of the file could make.
        ModelError: it is broken.
    """
    if data.startswith(LEGACY):
        raise _weights(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _rewritten(_records(archive, len(data), path))
    except _BROKEN as error:
        raise ModelError(f"it is no sound zip archive: {error}") from error
    except RecursionError as error:
        raise ModelError("its JSON is nested too deep") from error


def _weights(path: str) -> UnsupportedError:
    """What to do with a file of weights."""
    file = path or "x.pth"
    return UnsupportedError(
        "it holds weights without their network; build its module, then\n"
        f'    module.load_state_dict(torch.load("{file}", map_location="cpu", weights_only=True))\n'
        "    graph = ew.from_torch(module.eval(), (torch.randn(1, 3, 240, 320),))"
    )


def _records(archive: zipfile.ZipFile, size: int, path: str) -> dict[str, bytes]:
    """What the archive holds, by names without its first folder."""
    infos = archive.infolist()
    if min((info.header_offset for info in infos), default=1):
        raise ModelError("it is no sound zip archive: it does not begin with its first record")
    names = {info.filename.partition("/")[2]: info for info in infos}
    if "archive_format" not in names:
        if {"constants.pkl", "code"} & {n.partition("/")[0] for n in names}:
            raise UnsupportedError(
                "a TorchScript archive; give the module that it was made of to ew.from_torch"
            )
        if "data.pkl" in names:
            raise _weights(path)
        if any(info.filename == "serialized_exported_program.json" for info in infos):
            raise UnsupportedError("an archive of PyTorch 2.7 or older; save it again with a newer")
        raise ModelError("a zip archive, and none of torch.export: it has no archive_format")
    for name, info in names.items():
        if info.compress_type != zipfile.ZIP_STORED:
            raise ModelError(f"{name!r} is compressed; torch.export stores its archives plain")
    if sum(info.file_size for info in names.values()) > size:
        raise ModelError("it is no sound zip archive: its records are longer than the file")
    return {name: archive.read(info) for name, info in names.items()}


def _rewritten(records: Mapping[str, bytes]) -> bytes:
    models = [name for name in records if name.startswith("models/")]
    if models != [MODEL]:
        raise UnsupportedError(f"its programs are {models}; supported is {MODEL!r} alone")
    kept = {
        "archive_format": b"pt2",
        "archive_version": records.get("archive_version", b"0"),
        "byteorder": records.get("byteorder", b"little"),
        ".data/version": b"3\n",
        "data/sample_inputs/model.pt": b"",
        MODEL: json.dumps(_on_cpu(_model(_json(records, MODEL)))).encode(),
    }
    for config, folder in CONFIGS.items():
        found = _json(records, config)
        kept[config] = json.dumps(_on_cpu(found)).encode()
        for tensor, entry in _dict(_dict(found, config).get("config"), config).items():
            path = _payload(tensor, _dict(entry, tensor), folder, records)
            kept[path] = records[path]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kept.items():
            archive.writestr(f"archive/{name}", content)
    return target.getvalue()


def _json(records: Mapping[str, bytes], name: str) -> Any:
    try:
        return json.loads(records[name])
    except KeyError:
        raise ModelError(f"the archive has no {name!r}") from None
    except ValueError as error:
        raise ModelError(f"{name!r} is no JSON: {error}") from error


def _dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{what}: {str(value)[:80]}; it must be an object")
    return value


def _payload(tensor: str, entry: dict[str, Any], folder: str, records: Mapping[str, bytes]) -> str:
    """The record of a tensor's bytes, which are as many as its shape takes."""
    what = f"tensor {tensor!r}"
    _check(tensor, what, 0)
    if entry.get("use_pickle") or entry.get("tensor_meta") is None:
        raise UnsupportedError(f"{what} is pickled; only raw tensors are read")
    path = f"{folder}{entry.get('path_name')}"
    if path not in records or "/" in str(entry.get("path_name")):
        raise ModelError(f"{what}: the archive has no record {path!r}")
    meta = _dict(entry["tensor_meta"], what)
    size = ITEM_SIZES.get(str(meta.get("dtype")))
    if size is None:
        raise UnsupportedError(f"{what}: element type {meta.get('dtype')}")
    sizes, strides = (_numbers(meta, field, what) for field in ("sizes", "strides"))
    (offset,) = _numbers({"offset": [meta.get("storage_offset")]}, "offset", what)
    if len(strides) != len(sizes):
        raise ModelError(f"{what}: {len(sizes)} sizes and {len(strides)} strides; as many of each")
    last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    needed = size * max(math.prod(sizes), last + 1 if 0 not in sizes else 0)
    if needed > len(records[path]):
        raise ModelError(f"{what}: {needed} bytes; its record has {len(records[path])}")
    return path


def _numbers(meta: Mapping[str, Any], field: str, what: str) -> list[int]:
    """Sizes or places in elements; none is symbolic or negative."""
    given = meta.get(field)
    if not isinstance(given, list):
        raise ModelError(f"{what}: {field} are {given}; they are a list")
    found: list[int] = []
    for entry in given:
        n = _dict(entry, what).get("as_int")
        if type(n) is not int or n < 0:
            raise ModelError(f"{what}: {field} hold {n}; it must be a whole number")
        found.append(n)
    return found


def _model(model: Any) -> Any:
    """The program without what PyTorch would evaluate and does not need; the rest is checked."""
    _dict(model, MODEL)["guards_code"] = []
    module = _dict(model.get("graph_module"), MODEL)
    module["metadata"] = {}
    graph = _dict(module.get("graph"), MODEL)
    digits: dict[str, float] = {}
    for node in _list(graph, "nodes"):
        node = _dict(node, "node")
        target = str(node.get("target"))
        if not _TARGET.fullmatch(target):
            raise UnsupportedError(f"node {node.get('name')!r}: operator {target[:200]!r}")
        if target in ("_operator.mul", "_operator.pow"):
            _check_digits(node, target, digits)
        kept = _dict(node.get("metadata") or {}, "metadata")
        node["metadata"] = {
            key: "".join(c for c in str(kept[key])[:MAX_TEXT] if c == "\n" or c.isprintable())
            for key in ("stack_trace", "nn_module_stack")
            if key in kept
        }
    _check(model, MODEL, 0)
    return model


def _check_digits(node: dict[str, Any], target: str, digits: dict[str, float]) -> None:
    """Refuse products and powers of sizes that PyTorch would take forever to compute.

    ``digits`` has the most digits of numbers computed so, by name.
    """
    operands = [_scalar(_dict(entry, "input").get("arg")) for entry in _list(node, "inputs")]
    sizes = [digits.get(v, SIZE_DIGITS) if isinstance(v, str) else len(str(v)) for v in operands]
    most: float = sum(sizes)
    if target == "_operator.pow":
        exponent = operands[1] if len(operands) == 2 else None
        most = sizes[0] * abs(exponent) if isinstance(exponent, (int, float)) else math.inf
    if not most <= MAX_DIGITS:
        raise ModelError(f"node {node.get('name')!r}: a number of more than {MAX_DIGITS} digits")
    for entry in _list(node, "outputs"):
        digits[str(_scalar(entry))] = most


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise ModelError(f"{key}: {str(found)[:80]}; it must be a list")
    return found


def _scalar(argument: Any) -> Any:
    """What an argument holds inside of its objects of one key each: a number or a name."""
    while isinstance(argument, dict) and len(argument) == 1:
        (argument,) = argument.values()
    return argument


def _check(value: Any, key: str, depth: int) -> None:
    """Refuse text that PyTorch may take for anything but what its key says."""
    if depth > MAX_DEPTH:
        raise ModelError(f"{MODEL!r}: objects nest more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        rule = _RULES.get(key, _is_name)
        if not rule(value):
            raise ModelError(f"{MODEL!r}: {key} {value[:200]!r}; it is not of the form of one")
    elif isinstance(value, list):
        for item in value:
            _check(item, key, depth + 1)
    elif isinstance(value, dict) and key != "metadata":
        for name, item in value.items():
            if name in _FOREIGN and item is not None:
                raise UnsupportedError(f"{MODEL!r}: {_FOREIGN[name]} are not supported")
            if not _is_name(name):
                raise ModelError(f"{MODEL!r}: key {name[:200]!r}; it must be a name")
            _check(item, name, depth + 1)


def _on_cpu(value: Any) -> Any:
    """What JSON holds, with this machine's processor in place of every device."""
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"type", "index"}:
        return {"type": "cpu", "index": None}
    return {name: _on_cpu(item) for name, item in value.items()}


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text))


def _is_expression(text: str) -> bool:
    most = MAX_EXTREMES if "Max(" in text or "Min(" in text else MAX_TEXT
    return len(text) <= most and bool(_EXPRESSION.fullmatch(_POWER.sub("1", text)))


def _is_structure(text: str) -> bool:
    """Whether text describes nested tuples, lists and dicts."""
    try:
        specs = json.loads(text)[1:]
    except (ValueError, TypeError):
        return False
    while specs:
        spec = specs.pop()
        if not isinstance(spec, dict) or spec.get("type") not in _CONTAINERS:
            return False
        context = spec.get("context")
        if context is not None and not re.fullmatch(r"null|\[[\w\s\".,-]*\]", str(context)):
            return False
        children = spec.get("children_spec")
        if not isinstance(children, list):
            return False
        specs.extend(children)
    return True


_RULES: dict[str, Callable[[str], bool]] = {
    "expr_str": _is_expression,
    "in_spec": _is_structure,
    "out_spec": _is_structure,
    "as_string": lambda text: bool(_TEXT.fullmatch(text)),
    "as_strings": lambda text: bool(_TEXT.fullmatch(text)),
    "torch_version": lambda text: bool(re.fullmatch(r"[\w.+-]{0,80}", text)),
    "target": lambda text: bool(_TARGET.fullmatch(text)) or _is_name(text),
    "as_operator": lambda text: bool(_TARGET.fullmatch(text)),
}
"""What text may be, by its key; other text is a name."""
