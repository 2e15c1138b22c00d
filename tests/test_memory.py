"""The arena: where buffers go, and the certificate that no two of them meet."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.aligned import ALIGN
from edgewise.kernels.views import SLACK
from edgewise.plan import Buffer, memory
from edgewise.plan.model import align

Drawn = list[tuple[int, int, int]]
DRAWN = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 30), st.integers(0, 12)), max_size=40
)
"""Bytes, first step and further steps of buffers."""


def lifetimes_of(drawn: Drawn) -> dict[Buffer, tuple[int, int]]:
    return {
        Buffer(f"b{i}", nbytes): (first, first + further)
        for i, (nbytes, first, further) in enumerate(drawn)
    }


@given(DRAWN)
@settings(max_examples=300, deadline=None)
def test_buffers_alive_together_lie_apart(drawn: Drawn) -> None:
    lifetimes = lifetimes_of(drawn)
    offsets, arena = memory.place(lifetimes)
    assert offsets.keys() == lifetimes.keys()
    assert all(offset % ALIGN == 0 for offset in offsets.values())
    for a, (a_first, a_last) in lifetimes.items():
        assert 0 <= offsets[a] <= offsets[a] + a.nbytes + SLACK <= arena
        for b, (b_first, b_last) in lifetimes.items():
            if a is not b and a_first <= b_last and b_first <= a_last:
                apart = offsets[a] + a.nbytes <= offsets[b] or offsets[b] + b.nbytes <= offsets[a]
                assert apart or 0 in (a.nbytes, b.nbytes)
    at_once = [
        sum(align(b.nbytes) for b, (first, last) in lifetimes.items() if first <= step <= last)
        for step in range(45)
    ]
    assert max(at_once) == max(memory.live_bytes(lifetimes), default=0)
    assert max(at_once) + SLACK <= arena
    assert arena <= sum(align(b.nbytes) for b in lifetimes) + align(SLACK)


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    sizes = [4096, 1024, 4096, 1024, 2048]
    lifetimes = {Buffer(f"b{i}", n): (i, i + 1) for i, n in enumerate(sizes)}
    assert memory.place(lifetimes)[1] == 4096 + 1024 + SLACK


def test_the_first_in_time_go_first_where_the_largest_leave_holes() -> None:
    """The first layers of MobileNet v1: the largest first would leave 50 kB unused."""
    sizes = [150528, 103968, 100352, 204304, 50176, 104976, 100352]
    lifetimes = {Buffer(f"b{i}", n): (i, i + 1) for i, n in enumerate(sizes)}
    assert memory.place(lifetimes)[1] == align(204304) + 100352 + SLACK


def test_a_search_finds_what_no_simple_order_does() -> None:
    drawn = [(4, 4, 1), (2, 5, 1), (4, 3, 2), (3, 0, 1), (8, 5, 0), (9, 3, 1), (3, 2, 1)]
    lifetimes = lifetimes_of([(ALIGN * n, first, further) for n, first, further in drawn])
    assert max(memory.live_bytes(lifetimes)) == 18 * ALIGN
    assert memory.place(lifetimes)[1] == 18 * ALIGN + SLACK


def test_an_empty_arena_has_a_size() -> None:
    assert memory.place({}) == ({}, ALIGN)
