"""ncnn's files: layers of a .param, text or binary, and the weights of a .bin, in their order."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from ..errors import ModelError, UnsupportedError
from ..graph import Array
from .ncnn_types import TYPES

MAGIC = 7767517
HALF, BYTES, SCALED = 0x01306B47, 0x000D4B38, 0x0002C056
"""Flags of weights: float16; int8; float32 beside the scales of int8."""

ARRAYS, END = -23300, -233
"""Numbers of parameters from ARRAYS down are those of arrays; END ends a binary layer's."""

MAX_LAYERS = 2**16
MAX_PARAMETER = 64
"""Parameters of a layer have numbers below this."""


@dataclass(frozen=True)
class Word:
    """Four bytes of a binary .param: an integer or a float, as the layer wants."""

    integer: int
    real: float


Scalar: TypeAlias = "int | float | Word"
Parameter: TypeAlias = "Scalar | str | tuple[Scalar, ...]"


class Layer(NamedTuple):
    """One layer: the names of its blobs, and its parameters by number."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[int, Parameter]

    @property
    def what(self) -> str:
        return f"layer {self.name!r} ({self.type})"


def is_network(head: bytes) -> bool:
    """Whether a file that begins so is a .param."""
    return head.split(maxsplit=1)[:1] == [b"%d" % MAGIC] or _is_binary(head)


def _is_binary(head: bytes) -> bool:
    return head[:4] == struct.pack("<i", MAGIC)


def read_layers(data: bytes) -> list[Layer]:
    """The layers of a .param.

    Raises:
        ModelError: the file breaks a rule of its format.
    """
    return _Binary(data).layers() if _is_binary(data) else _text_layers(data)


def _text_layers(data: bytes) -> list[Layer]:
    lines = [s for s in data.decode("utf-8", "replace").split("\n") if s.strip()]
    if not lines or lines[0].strip() != str(MAGIC):
        found = lines[0].strip()[:20] if lines else ""
        raise ModelError(f"a .param begins with {found!r}; it must be {MAGIC}")
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(re.fullmatch(r"\d{1,9}", n) for n in counts):
        raise ModelError("line 2 of a .param must be the number of layers and that of blobs")
    count = int(counts[0])
    if not 0 < count <= MAX_LAYERS or count > len(lines) - 2:
        raise ModelError(
            f"{count} layers; the file has {len(lines) - 2} lines of them, and at most {MAX_LAYERS}"
        )
    return [_text_layer(line) for line in lines[2 : 2 + count]]


def _text_layer(line: str) -> Layer:
    words = line.split()
    numbers = words[2:4]
    if len(numbers) < 2 or not all(re.fullmatch(r"\d{1,5}", n) for n in numbers):
        raise ModelError(
            f"line {line.strip()[:80]!r}: a layer is its type, name, and numbers of inputs and "
            "outputs"
        )
    inputs, outputs = map(int, numbers)
    what = f"layer {words[1]!r} ({words[0]})"
    end = 4 + inputs + outputs
    if len(words) < end:
        raise ModelError(f"{what}: {inputs} inputs and {outputs} outputs, {len(words) - 4} names")
    parameters: dict[int, Parameter] = {}
    rest = line.split(maxsplit=end)[end] if len(words) > end else ""
    position = 0
    for match in re.finditer(r'\s*(-?\d{1,9})=("[^"]*"|\S+)\s*', rest):
        if match.start() != position:
            break
        position = match.end()
        number, value = int(match[1]), match[2]
        if number <= ARRAYS:
            key: int = ARRAYS - number
            parameters[_key(key, what)] = _array(value, what)
        else:
            parameters[_key(number, what)] = _value(value, what)
    if position != len(rest):
        raise ModelError(f"{what}: {rest[position : position + 40]!r} is no parameter: key=value")
    blobs = tuple(words[4:end])
    return Layer(words[0], words[1], blobs[:inputs], blobs[inputs:], parameters)


def _key(number: int, what: str) -> int:
    if not 0 <= number < MAX_PARAMETER:
        raise ModelError(
            f"{what}: parameter {number}; they are numbered from 0 to {MAX_PARAMETER - 1}"
        )
    return number


def _array(text: str, what: str) -> tuple[Scalar, ...]:
    count, *rest = text.split(",")
    if not re.fullmatch(r"\d{1,9}", count) or int(count) != len(rest):
        raise ModelError(f"{what}: array {text[:40]!r}; it is a number of elements, and those")
    return tuple(_number(word, what) for word in rest)


def _value(text: str, what: str) -> Parameter:
    if text.startswith('"') or text[:1].isalpha():
        return text.strip('"')
    return _number(text, what)


def _number(text: str, what: str) -> int | float:
    try:
        if re.fullmatch(r"[-+]?\d{1,12}", text):
            number = int(text)
            if -(2**31) <= number < 2**31:
                return number
        elif re.fullmatch(r"[-+]?[\d.]{1,40}([eE][-+]?\d{1,3})?", text):
            return float(np.clip(float(text), -np.finfo("f4").max, np.finfo("f4").max))
    except ValueError:
        pass
    raise ModelError(f"{what}: {text[:40]!r} is no number of 32 bits")


class _Binary:
    """A binary .param: words of 32 bits; layers have types and blobs by number, and no names."""

    def __init__(self, data: bytes) -> None:
        self._words = np.frombuffer(data, "<i4", len(data) // 4)
        self._position = 1

    def layers(self) -> list[Layer]:
        count, _ = self._next(), self._next()
        if not 0 < count <= MAX_LAYERS:
            raise ModelError(f"{count} layers; there are 1 to {MAX_LAYERS}")
        return [self._layer(i) for i in range(count)]

    def _next(self) -> int:
        if self._position >= len(self._words):
            raise ModelError(f"a binary .param ends after {4 * len(self._words)} bytes")
        self._position += 1
        return int(self._words[self._position - 1])

    def _take(self, count: int, what: str) -> Array:
        if not 0 <= count <= len(self._words) - self._position:
            raise ModelError(f"{what}: {count} words; the file does not hold that many")
        self._position += count
        return self._words[self._position - count : self._position]

    def _layer(self, i: int) -> Layer:
        number, inputs, outputs = self._next(), self._next(), self._next()
        if not 0 <= number < len(TYPES):
            raise UnsupportedError(f"layer {i}: type {number} is not known")
        what = f"layer {i} ({TYPES[number]})"
        names = [tuple(str(n) for n in self._take(k, what)) for k in (inputs, outputs)]
        parameters: dict[int, Parameter] = {}
        while (key := self._next()) != END:
            if key <= ARRAYS:
                elements = self._take(self._next(), what)
                parameters[_key(ARRAYS - key, what)] = tuple(map(_word, elements))
            else:
                parameters[_key(key, what)] = _word(self._take(1, what)[0])
        return Layer(TYPES[number], str(i), names[0], names[1], parameters)


def _word(bits: np.int32) -> Word:
    return Word(int(bits), float(bits.view(np.float32)))


class Weights:
    """The numbers of a .bin, taken in order.

    ``read`` gives the file's bytes when the first are asked for.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._data: bytes | None = None
        self._position = 0

    def floats(self, count: int, what: str) -> Array:
        """float32 numbers, without a flag before them.

        Raises:
            ModelError: the file does not hold that many.
        """
        return np.frombuffer(self._take(4 * count, what), "<f4")

    def load(self, count: int, what: str) -> Array:
        """Weights behind their flag: float32, or int8 where they are kept so.

        Raises: as `floats`.
        """
        (flag,) = struct.unpack("<I", self._take(4, what))
        if flag == HALF:
            halves = np.frombuffer(self._take(2 * count, what), "<f2")
            return halves.astype(np.float32)
        if flag == BYTES:
            return np.frombuffer(self._take(count, what), np.int8)
        if flag == SCALED or not any(flag.to_bytes(4, "little")):
            return self.floats(count, what)
        table = self.floats(256, what)
        return np.asarray(table[np.frombuffer(self._take(count, what), np.uint8)])

    def end(self) -> None:
        """Require that the layers took the whole file.

        Raises:
            ModelError: bytes are left, so that network and weights do not belong together.
        """
        if self._data is not None and self._position < len(self._data):
            raise ModelError(
                f"the layers take {self._position} bytes of weights; the file of weights has "
                f"{len(self._data)}: it is another network's"
            )

    def _take(self, size: int, what: str) -> bytes:
        """The next bytes; those that fill up a word of four are left out."""
        if self._data is None:
            self._data = self._read()
        end = self._position + size
        if end > len(self._data):
            raise ModelError(
                f"{what}: {size} bytes of weights at {self._position}; the file of weights has "
                f"{len(self._data)}"
            )
        found = self._data[self._position : end]
        self._position = end + -size % 4
        return found
