"""Reading of flatbuffer tables: fields, and every way in which one can point astray."""

from __future__ import annotations

import struct
from collections.abc import Callable

import flatbuffers
import pytest

from edgewise.errors import ModelError
from edgewise.importers.flatbuffer import FLOAT32, INT32, Flatbuffer, Table, no_fields


def sample() -> bytes:
    """Fields: 0 int32 -5, 1 string, 2 int32 vector, 3 vector of two tables, 4 absent, 5 a table."""
    b = flatbuffers.Builder(64)
    text = b.CreateString("näme")
    b.StartVector(4, 3, 4)
    for n in (30, 20, 10):
        b.PrependInt32(n)
    numbers = b.EndVector()
    children = []
    for n in (1.5, 2.5):
        b.StartObject(1)
        b.PrependFloat32Slot(0, n, 0.0)
        children.append(b.EndObject())
    b.StartVector(4, 2, 4)
    for child in reversed(children):
        b.PrependUOffsetTRelative(child)
    vector = b.EndVector()
    b.StartObject(6)
    b.PrependInt32Slot(0, -5, 0)
    for slot, offset in ((1, text), (2, numbers), (3, vector), (5, children[0])):
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    b.Finish(b.EndObject())
    return bytes(b.Output())


def root(data: bytes) -> Table:
    return Flatbuffer(data).root("root")


def test_fields() -> None:
    table = root(sample())
    assert table.number(0, INT32) == -5
    assert table.string(1) == "näme"
    assert table.numbers(2, "i") == (10, 20, 30)
    assert [t.number(0, FLOAT32) for t in table.tables(3, "child")] == [1.5, 2.5]
    child = table.table(5, "child")
    assert child is not None
    assert child.number(0, FLOAT32) == 1.5
    assert table.has(0)
    assert table.flag(0)


def test_absent_fields_have_defaults() -> None:
    for table, field in ((root(sample()), 4), (root(sample()), 99), (no_fields("none"), 0)):
        assert not table.has(field)
        assert table.number(field, INT32, 7) == 7
        assert table.string(field) == ""
        assert table.numbers(field, "f") == ()
        assert table.table(field, "child") is None
        assert len(table.tables(field, "child")) == 0


def planted(code: str, position: int, number: int) -> bytes:
    data = bytearray(sample())
    struct.pack_into(code, data, position, number)
    return bytes(data)


SAMPLE = sample()
ROOT = struct.unpack_from("<I", SAMPLE)[0]
VTABLE = ROOT - struct.unpack_from("<i", SAMPLE, ROOT)[0]
SIZE = len(SAMPLE)


def field(number: int) -> int:
    """Where the root's field lies."""
    return ROOT + int(struct.unpack_from("<H", SAMPLE, VTABLE + 4 + 2 * number)[0])


def target(number: int) -> int:
    """Where the root's field points."""
    position = field(number)
    return position + int(struct.unpack_from("<I", SAMPLE, position)[0])


def read_children(data: bytes) -> None:
    list(root(data).tables(3, "child"))


BROKEN: dict[str, tuple[Callable[[], object], str]] = {
    "tiny": (lambda: root(b"\0" * 7), "root: 7 bytes; a flatbuffer has at least 8"),
    "root": (lambda: root(planted("<I", 0, SIZE - 3)), f"root: table at byte {SIZE - 3} of a file"),
    "vtable before": (
        lambda: root(planted("<i", ROOT, SIZE)),
        rf"root: vtable at byte -\d+ of a file of {SIZE}",
    ),
    "vtable after": (lambda: root(planted("<i", ROOT, -SIZE)), "root: vtable at byte"),
    "vtable odd": (lambda: root(planted("<H", VTABLE, 5)), "claims 5 bytes"),
    "vtable short": (lambda: root(planted("<H", VTABLE, 2)), "claims 2 bytes"),
    "vtable long": (lambda: root(planted("<H", VTABLE, 0xFFFE)), "claims 65534 bytes"),
    "tables short": (
        lambda: root(planted("<H", VTABLE + 2, 3)),
        "tables of 3; both are at least 4",
    ),
    "tables long": (
        lambda: root(planted("<H", VTABLE + 2, 0xFFFF)),
        f"root: table at byte {ROOT} has 65535 bytes, in a file of {SIZE}",
    ),
    "field offset": (lambda: root(planted("<H", VTABLE + 4, 0x7FFF)), "they lie between 4 and"),
    "field at 1": (lambda: root(planted("<H", VTABLE + 4, 1)), "they lie between 4 and"),
    "scalar": (
        lambda: root(planted("<H", VTABLE + 4, table_size() - 1)).number(0, INT32),
        "root: field 0: 4 bytes at",
    ),
    "offset": (
        lambda: root(planted("<H", VTABLE + 6, table_size() - 1)).string(1),
        "root: field 1: 4 bytes at",
    ),
    "target": (
        lambda: root(planted("<I", field(1), 2**32 - 1)).string(1),
        r"root: field 1: points to byte \d+ of a file of",
    ),
    "length": (
        lambda: root(planted("<I", target(2), 2**32 - 1)).numbers(2, "i"),
        "root: field 2: 4294967295 elements of 4 bytes",
    ),
    "child": (
        lambda: read_children(planted("<I", target(3) + 8, 2**31)),
        "child 1: table at byte",
    ),
    "number of tables": (
        lambda: root(SAMPLE).tables(3, "child", most=1),
        "root: field 3: 2 childs; at most 1 are read",
    ),
    "no such table": (lambda: root(SAMPLE).tables(3, "child")[2], "child 2: the file has 2"),
    "table -1": (lambda: root(SAMPLE).tables(3, "child")[-1], "child -1: the file has 2"),
}


def table_size() -> int:
    return int(struct.unpack_from("<H", SAMPLE, VTABLE + 2)[0])


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    read, message = BROKEN[name]
    with pytest.raises(ModelError, match=message):
        read()


def test_parts_that_overlap_exhaust_the_budget() -> None:
    table = root(SAMPLE)
    with pytest.raises(ModelError, match=f"more than 4 times its {SIZE} bytes"):
        [table.table(5, "child") for _ in range(10000)]


def test_a_string_of_other_bytes_is_replaced() -> None:
    data = bytearray(SAMPLE)
    data[target(1) + 4] = 0xFF
    assert root(bytes(data)).string(1) == "\ufffdäme"
