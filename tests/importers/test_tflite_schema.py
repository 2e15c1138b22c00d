"""The importer's numbers are the published schema's."""

from __future__ import annotations

import inspect
import re

import pytest
import tflite
from ai_edge_litert import schema_py_generated as litert_schema

from edgewise.dtype import DType
from edgewise.importers import tflite_schema as schema
from edgewise.importers.tflite_call import ACTIVATIONS, DTYPES

ENUMERATIONS = ("Padding", "BuiltinOperator")
TABLES = [
    name for name, member in inspect.getmembers(schema, inspect.isclass) if name not in ENUMERATIONS
]


def numbers(table: type) -> dict[str, int]:
    return {k: v for k, v in vars(table).items() if k.isupper()}


def slot(table: str, field: str) -> int:
    """The number of a field, from the published function that writes it."""
    name = f"{table}Add{field.title().replace('_', '')}"
    code = inspect.getsource(getattr(litert_schema, name))
    found = re.search(r"Slot\((\d+),", code)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("table", TABLES)
def test_fields(table: str) -> None:
    fields = numbers(getattr(schema, table))
    tag = fields.pop("TAG", None)
    assert fields == {field: slot(table, field) for field in fields}
    unions = (litert_schema.BuiltinOptions, litert_schema.BuiltinOptions2)
    assert tag is None or tag in [getattr(union, table, None) for union in unions]


@pytest.mark.parametrize("enumeration", ENUMERATIONS)
def test_enumerations(enumeration: str) -> None:
    published = getattr(litert_schema, enumeration)
    mine = numbers(getattr(schema, enumeration))
    assert mine == {name: getattr(published, name) for name in mine}


def test_element_types() -> None:
    assert {c: getattr(tflite.TensorType, t.name) for c, t in DTYPES.items()} == {
        c: c for c in DTYPES
    }
    assert set(DTYPES.values()) == set(DType)


def test_activations() -> None:
    for code, activation in ACTIVATIONS.items():
        assert getattr(tflite.ActivationFunctionType, activation.name) == code


def test_names() -> None:
    assert schema.name_of("BuiltinOperator", 3) == "CONV_2D"
    assert schema.name_of("BuiltinOperator", -1) == "BuiltinOperator -1"
