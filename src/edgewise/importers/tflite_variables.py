"""Variables of a network while it is read: what each holds at this point.

Reading a variable gives a value, assigning to it another one: within a call, variables are only
names. What is read before it is assigned was left by the call before, and is a state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..graph import Value


class Key(NamedTuple):
    """Which variable or table: its kind and its name."""

    kind: str
    name: str


class Variables:
    """The variables of a subgraph, and of those read in its place.

    Attributes:
        current: what each holds.
        before: what those held at the start that were read before they were assigned.
    """

    def __init__(self, enter: Callable[[Key, str], Value]) -> None:
        self._enter = enter
        self.current: dict[Key, Value] = {}
        self.before: dict[Key, Value] = {}

    def read(self, key: Key, what: str) -> Value:
        """What ``key`` holds; ``enter`` gives it where nothing was assigned yet."""
        if key not in self.current:
            if key not in self.before:
                self.before[key] = self._enter(key, what)
            self.current[key] = self.before[key]
        return self.current[key]

    def assign(self, key: Key, value: Value) -> None:
        self.current[key] = value

    def replace(self, before: Value, after: Value) -> None:
        """An operator changed the variable that holds ``before``, if one does."""
        for key, value in self.current.items():
            if value is before:
                self.current[key] = after
                return
