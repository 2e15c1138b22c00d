"""Names of values, each given once."""

from __future__ import annotations


def label_of(kind: str, name: str, type: str) -> str:
    """How errors name an object of a file, in one line: "node 'conv1' (Conv)"."""
    return f"{kind} {name!r} ({type if _is_word(type) else repr(type)})"


def _is_word(text: str | bytes) -> bool:
    """Whether it can stand as it is; protobuf gives bytes for text that is no UTF-8."""
    return isinstance(text, str) and text.isprintable()


class Names:
    """Names that are taken, and new ones."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def reserve(self, name: str) -> None:
        self._taken.setdefault(name, 1)

    def unique(self, label: str, index: int | None = None) -> str:
        """``label``, or where it is taken one with the tensor's number and then a count."""
        name = label or f"tensor_{index or 0}"
        if name in self._taken and index is not None:
            name = f"{name}_{index}"
        base = name
        while name in self._taken:
            self._taken[base] += 1
            name = f"{base}.{self._taken[base]}"
        self._taken[name] = 1
        return name
