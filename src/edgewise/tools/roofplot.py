"""The roofline plot: what each step reaches, by its multiply-adds a byte.

After Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52 (4), 2009.
"""

from __future__ import annotations

from pathlib import Path

from .facts import Facts
from .plots import COLORS, new_figure


def save_plot(path: Path, facts: Facts) -> None:
    """Draw the facts of ``edgewise profile``: a disc a step, as large as its share of the time.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(9, 6)
    axes = figure.add_subplot()
    steps = [s for s in facts["steps"] if s["macs"] and s["bytes"] and s["gmacs"]]
    intensities = [s["macs"] / s["bytes"] for s in steps] or [1.0]
    low, high = min(0.1, *intensities) / 2, max(100.0, *intensities) * 2
    best = max((p["gmacs"] for p in facts["peaks"]), default=None)
    for m in facts["memory"]:
        reaches = high if best is None else min(high, best / m["gb_per_s"])
        ends = [low, max(low, reaches)]
        axes.plot(ends, [m["gb_per_s"] * x for x in ends], color="#9aa3ad", linewidth=1)
        axes.annotate(
            f"{m['name']} {m['gb_per_s']:.0f} GB/s",
            (ends[0], m["gb_per_s"] * ends[0]),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=8,
            color="#5c6670",
        )
    for p in facts["peaks"]:
        axes.axhline(p["gmacs"], color="#30363d", linewidth=1, linestyle="--")
        text = f"{p['arithmetic']} {p['gmacs']:.0f} GMAC/s"
        axes.annotate(
            text,
            (high, p["gmacs"]),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    kinds = list(dict.fromkeys(_kind(s["op"]) for s in steps))
    for kind, color in zip(kinds, (*COLORS, *["#7a8288"] * len(kinds)), strict=False):
        chosen = [s for s in steps if _kind(s["op"]) == kind]
        axes.scatter(
            [s["macs"] / s["bytes"] for s in chosen],
            [s["gmacs"] for s in chosen],
            s=[12 + 3000 * s["share"] for s in chosen],
            color=color,
            alpha=0.55,
            linewidths=0.6,
            edgecolors="#202428",
            label=kind,
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(low, high),
        xlabel="multiply-adds a byte of operands",
        ylabel="GMAC/s",
        title=f"{Path(facts['model']).stem}: {facts['untimed_ms']:.3f} ms on {facts['isa']}, "
        f"{facts['threads']} thread{'s' * (facts['threads'] > 1)}; area: share of the time",
    )
    if kinds:
        legend = axes.legend(loc="lower right", fontsize=8)
        for handle in legend.legend_handles:
            handle.set_sizes([40])
    figure.savefig(path, dpi=150)


def _kind(op: str) -> str:
    """What a step is called in the legend: its operator without an epilogue."""
    return "several as one" if ", " in op else op.partition(" ")[0]
