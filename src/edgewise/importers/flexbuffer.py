"""Reads a flexbuffer that a stranger wrote, as custom operators of .tflite files hold options.

The PyPI package's reader follows any offset; this one stays within the bytes. The format is
described at https://flatbuffers.dev/internals#flexbuffers.
"""

from __future__ import annotations

import struct
from typing import Any

from ..errors import ModelError

MAX_DEPTH = 16

NULL, INT, UINT, FLOAT, KEY, STRING = range(6)
INDIRECT_INT, INDIRECT_UINT, INDIRECT_FLOAT, MAP, VECTOR = range(6, 11)
TYPED_VECTORS = {11: INT, 12: UINT, 13: FLOAT, 14: KEY, 36: 26}
"""Vectors of one type, by number; those from 16 to 24 have a fixed length too."""

BLOB, BOOL = 25, 26
NUMBERS = {
    INT: {1: "<b", 2: "<h", 4: "<i", 8: "<q"},
    UINT: {1: "<B", 2: "<H", 4: "<I", 8: "<Q"},
    FLOAT: {2: "<e", 4: "<f", 8: "<d"},
}


def read_flexbuffer(data: bytes, what: str) -> Any:
    """What a flexbuffer holds: None, bool, int, float, str, bytes, tuple or dict.

    Raises:
        ModelError: it breaks the format, naming ``what``.
    """
    return _Reader(data, what).root()


class _Reader:
    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what = data, what
        self.budget = 4 * len(data) + 64

    def fail(self, rule: str) -> ModelError:
        return ModelError(f"{self.what}: flexbuffer of {len(self.data)} bytes: {rule}")

    def root(self) -> Any:
        if len(self.data) < 3:
            raise self.fail("it has at least 3")
        width, packed = self.data[-1], self.data[-2]
        return self.value(len(self.data) - 2 - width, self.check_width(width), packed, 0)

    def check_width(self, width: int) -> int:
        if width not in (1, 2, 4, 8):
            raise self.fail(f"numbers of {width} bytes; they have 1, 2, 4 or 8")
        return width

    def number(self, at: int, width: int, kind: int = UINT) -> Any:
        code = NUMBERS[kind].get(width)
        if code is None or at < 0 or at + width > len(self.data):
            raise self.fail(f"a number of {width} bytes at byte {at}")
        return struct.unpack_from(code, self.data, at)[0]

    def value(self, at: int, width: int, packed: int, depth: int) -> Any:
        """The value of type ``packed`` whose ``width`` bytes are at ``at``, or point to it."""
        self.budget -= 1
        if self.budget < 0 or depth > MAX_DEPTH:
            raise self.fail("it is nested too deeply, or parts of it overlap")
        kind, inner = packed >> 2, 1 << (packed & 3)
        if kind == NULL:
            return None
        if kind in NUMBERS:
            return self.number(at, width, kind)
        if kind == BOOL:
            return bool(self.number(at, width))
        target = at - self.number(at, width)
        if not 0 <= target < len(self.data):
            raise self.fail(f"byte {at} points to byte {target}")
        if kind in (INDIRECT_INT, INDIRECT_UINT, INDIRECT_FLOAT):
            return self.number(target, inner, kind - INDIRECT_INT + INT)
        if kind == KEY:
            return self.key(target)
        if 16 <= kind <= 24:
            return self.vector(target, inner, (kind - 16) // 3 + 2, INT + (kind - 16) % 3, depth)
        if kind not in (STRING, BLOB, VECTOR, MAP, *TYPED_VECTORS):
            raise self.fail(f"a value of type {kind}, which the format does not have")
        count = self.count(target, inner)
        if kind in (STRING, BLOB):
            raw = self.data[target : target + count]
            return raw.decode("utf-8", "replace") if kind == STRING else raw
        if kind in TYPED_VECTORS:
            return self.vector(target, inner, count, TYPED_VECTORS[kind], depth)
        types = target + count * inner
        if types + count > len(self.data):
            raise self.fail(f"{count} elements at byte {target}")
        values = tuple(
            self.value(target + i * inner, inner, self.data[types + i], depth + 1)
            for i in range(count)
        )
        return values if kind == VECTOR else self.map(target, inner, values)

    def count(self, target: int, width: int) -> int:
        count: int = self.number(target - width, width)
        if target + count > len(self.data):
            raise self.fail(f"{count} elements at byte {target}")
        return count

    def key(self, target: int) -> str:
        end = self.data.find(b"\0", target)
        if end < 0:
            raise self.fail(f"a key at byte {target} that does not end")
        self.budget -= (end - target) // 16
        return self.data[target:end].decode("utf-8", "replace")

    def vector(self, target: int, width: int, count: int, kind: int, depth: int) -> tuple[Any, ...]:
        if target + count * width > len(self.data):
            raise self.fail(f"{count} elements of {width} bytes at byte {target}")
        return tuple(
            self.value(target + i * width, width, kind << 2, depth + 1) for i in range(count)
        )

    def map(self, target: int, width: int, values: tuple[Any, ...]) -> dict[str, Any]:
        at = target - 3 * width
        keys = at - self.number(at, width)
        key_width = self.check_width(self.number(at + width, width))
        if keys < 0 or self.count(keys, key_width) != len(values):
            raise self.fail(f"a map of {len(values)} values at byte {target} has other keys")
        names = self.vector(keys, key_width, len(values), KEY, 0)
        return dict(zip(names, values, strict=True))
