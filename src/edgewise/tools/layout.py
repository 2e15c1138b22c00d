"""What ``edgewise inspect --layout`` tells: the TRANSPOSEs that remain, and why (docs/json.md)."""

from __future__ import annotations

from itertools import takewhile

from ..graph import Graph
from ..passes import PIPELINE, choose_layout, minimize_transposes
from .facts import Facts


def layout_facts(imported: Graph) -> Facts:
    """The document's field ``layout``, of a graph as it was imported."""
    graph = imported
    for step in takewhile(lambda step: step is not minimize_transposes, PIPELINE):
        graph = step(graph)
    report = choose_layout(graph)[1]
    return {
        "before_bytes": report.before,
        "bytes": report.nbytes,
        "bound_bytes": report.bound,
        "absorbed_bytes": report.absorbed,
        "proven": report.proven,
        "transposes": [
            {
                "tensor": t.value,
                "shape": list(t.shape),
                "perm": list(t.perm),
                "bytes": t.nbytes,
                "written": t.written,
                "read": t.read,
            }
            for t in report.remaining
        ],
    }
