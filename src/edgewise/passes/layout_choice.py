"""The cheapest choice for variables that few functions of few of them price.

Bucket elimination (Dechter, "Bucket elimination: a unifying framework for reasoning", 1999): the
variables go one by one, each with the table of what its best choice costs for every choice of its
neighbours. Where such a table would be too large it is split (mini-buckets; Dechter and Rish,
2003): what remains is a lower bound of every choice's cost, and a choice that need not be best.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]

LARGEST_TABLE = 1 << 16
LARGEST_TOTAL = 1 << 24
"""Elements of one table, and of the tables of all variables together."""


class Factor(NamedTuple):
    """A cost for every choice of the variables of ``scope``: a table of one axis each."""

    scope: tuple[int, ...]
    table: Table


class Choice(NamedTuple):
    """A choice for every variable, its cost, and what no choice goes below."""

    chosen: list[int]
    cost: float
    bound: float


def minimize(sizes: Sequence[int], factors: Sequence[Factor], largest: int | None = None) -> Choice:
    """Choose a number below ``sizes[i]`` for every variable i, so that the factors sum to least.

    Costs are whole numbers below 2**53, or infinite. The first of equal choices is taken. Tables
    have ``largest`` elements at most, but for those of one factor; ``cost == bound`` says that the
    choice is the cheapest, which it is wherever no larger table was needed.
    """
    if largest is None:
        largest = min(LARGEST_TABLE, max(LARGEST_TOTAL // max(len(sizes), 1), 256))
    tables: list[set[int]] = [set() for _ in sizes]
    alive = dict(enumerate(factors))
    bound, count = 0.0, len(factors)
    for number, factor in alive.items():
        for variable in factor.scope:
            tables[variable].add(number)
        if not factor.scope:
            bound += float(factor.table)

    def degree(variable: int) -> int:
        return len({v for number in tables[variable] for v in alive[number].scope})

    heap = [(degree(v), v) for v in range(len(sizes))]
    heapq.heapify(heap)
    eliminated: list[tuple[int, list[Factor]]] = []
    while heap:
        known, variable = heapq.heappop(heap)
        if known < (now := degree(variable)):
            heapq.heappush(heap, (now, variable))
            continue
        own = [alive.pop(number) for number in sorted(tables[variable])]
        numbers, tables[variable] = tables[variable], set()
        joined = [_join(group, variable, sizes) for group in _groups(own, sizes, largest)]
        eliminated.append((variable, joined))
        for scope, _ in own:
            for other in scope:
                tables[other] -= numbers
        for scope, table in joined:
            message = Factor(scope[:-1], table.min(axis=-1))
            if not message.scope:
                bound += float(message.table)
                continue
            alive[count] = message
            for other in message.scope:
                tables[other].add(count)
            count += 1
    chosen = [0] * len(sizes)
    for variable, joined in reversed(eliminated):
        costs = sum((t[tuple(chosen[v] for v in s[:-1])] for s, t in joined), np.zeros(1))
        chosen[variable] = int(np.argmin(costs))
    return Choice(chosen, price(chosen, factors), bound)


def price(chosen: Sequence[int], factors: Sequence[Factor]) -> float:
    """What a choice costs."""
    return sum(float(f.table[tuple(chosen[v] for v in f.scope)]) for f in factors)


def _groups(factors: list[Factor], sizes: Sequence[int], largest: int) -> list[list[Factor]]:
    """The factors in groups whose joint tables are small enough: one group where they can be."""
    groups: list[tuple[set[int], list[Factor]]] = []
    for factor in sorted(factors, key=lambda f: -len(f.scope)):
        for scope, members in groups:
            both = scope.union(factor.scope)
            if both == scope or math.prod(sizes[v] for v in both) <= largest:
                scope |= both
                members.append(factor)
                break
        else:
            groups.append((set(factor.scope), [factor]))
    return [members for _, members in groups]


def _join(factors: Sequence[Factor], last: int, sizes: Sequence[int]) -> Factor:
    """The sum of factors as one; the variable ``last`` is the last of its scope."""
    scope = (*sorted({v for f in factors for v in f.scope} - {last}), last)
    total = np.zeros([sizes[v] for v in scope])
    for factor in factors:
        order = sorted(range(len(factor.scope)), key=lambda i: scope.index(factor.scope[i]))
        shape = [sizes[v] if v in factor.scope else 1 for v in scope]
        total += factor.table.transpose(order).reshape(shape)
    return Factor(scope, total)
