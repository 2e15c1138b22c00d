"""Einsum."""

from __future__ import annotations

import math

from ... import ops
from ...graph import Value
from ..ncnn_call import Call, Row

Term = tuple[Value, str]
"""A blob, and a letter for each of its axes."""


def _einsum(call: Call) -> Value:
    """Letters are i to l; the equation is given by the codes of its characters."""
    text = "".join(map(chr, (n if 0 < n < 128 else 63 for n in call.ints(0))))
    left, _, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(call.blobs) or any(
        len(set(t)) != len(t) or not set(t) <= set("ijkl") for t in (*terms, right)
    ):
        raise call.unsupported(f"the equation {text!r} of {len(call.blobs)} inputs")
    sizes: dict[str, int] = {}
    for i, term in enumerate(terms):
        if len(term) != call.rank(i):
            raise call.error(f"{text!r}: input {i} has {call.rank(i)} dimensions")
        for letter, n in zip(term, call.dims(i), strict=True):
            if sizes.setdefault(letter, n) != n:
                raise call.error(f"{text!r}: {letter!r} is {sizes[letter]} and {n}")
    if not set(right) <= set(sizes):
        raise call.error(f"{text!r}: a letter of the result is in no input")
    values = [
        _summed(call, i, t, {*right, *"".join(terms[:i] + terms[i + 1 :])})
        for i, t in enumerate(terms)
    ]
    while len(values) > 1:
        later = {*right, *"".join(t for _, t in values[2:])}
        values[:2] = [_contracted(call, values[0], values[1], later, sizes)]
    value, term = values[0]
    return call.b.transpose(value, (0, *(term.index(c) + 1 for c in right)))


def _summed(call: Call, i: int, term: str, wanted: set[str]) -> Term:
    """Blob ``i``, summed over letters that nothing else has."""
    axes = tuple(a + 1 for a, c in enumerate(term) if c not in wanted)
    x = call.one(ops.Sum(axes), call.value(i)) if axes else call.value(i)
    return x, "".join(c for c in term if c in wanted)


def _contracted(call: Call, a: Term, b: Term, wanted: set[str], sizes: dict[str, int]) -> Term:
    """The product of two blobs, summed over the letters that both have and nothing else wants."""
    shared = [c for c in a[1] if c in b[1] and c in wanted]
    inner = [c for c in a[1] if c in b[1] and c not in wanted]
    rows, columns = ([c for c in t if c not in (*shared, *inner)] for t in (a[1], b[1]))

    def matrix(term: Term, *groups: list[str]) -> Value:
        value, letters = term
        order = [letters.index(c) + 1 for group in groups for c in group]
        dims = [math.prod(sizes[c] for c in group) for group in groups]
        return call.shaped(call.b.transpose(value, (0, *order)), dims)

    y = call.one(
        ops.BatchMatMul(), matrix(a, shared, rows, inner), matrix(b, shared, inner, columns)
    )
    made = [*shared, *rows, *columns]
    return call.shaped(y, [sizes[c] for c in made]), "".join(made)


LAYERS: dict[str, Row] = {"Einsum": Row(_einsum, (1, 8))}
