"""A plot of how many times as fast Edgewise is as the fastest peer, network by network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewise.tools.plots import COLORS, new_figure

from .kinds import KINDS
from .peers import CONTESTANTS
from .summary import F32, best_peer, best_ratio, mean

Facts = dict[str, Any]


def write_plot(path: Path, document: Facts) -> None:
    """Bars for each network and number of threads, in the colour of the fastest peer.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    results, counts = document["results"], document["settings"]["threads"]
    shown = {
        (kind, n): [e for e in results if e["kind"] == kind and e["threads"] == n]
        for kind in KINDS
        for n in counts
    }
    shown = {key: entries for key, entries in shown.items() if entries}
    columns = [n for n in counts if any(n == m for _, m in shown)]
    rows = [kind for kind in KINDS if any(kind == k for k, _ in shown)]
    tallest = [max(len(shown.get((kind, n), ())) for n in columns) for kind in rows]
    figure = new_figure(5.2 * len(columns), 1.6 + 0.21 * sum(tallest))
    from matplotlib.patches import Patch

    grid = figure.subplots(len(rows), len(columns), squeeze=False, height_ratios=tallest)
    colors = dict(zip(F32, COLORS, strict=True))
    for i, kind in enumerate(rows):
        for j, threads in enumerate(columns):
            title = f"{kind}, {threads} thread{'s' if threads > 1 else ''}"
            _bars(grid[i][j], shown.get((kind, threads), []), title, colors)
            if j:
                grid[i][j].tick_params(labelleft=False)
    handles = [Patch(color=c, label=CONTESTANTS[k].title) for k, c in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(colors), fontsize=8)
    figure.suptitle("Times as fast as the fastest peer (its colour)", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _bars(axes: Any, entries: list[Facts], title: str, colors: dict[str, str]) -> None:
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    pairs = [(e, r) for e in entries if (r := best_ratio(e)) is not None]
    if not pairs:
        axes.set_axis_off()
        return
    names = [e["network"] for e, _ in pairs]
    ratios = [r for _, r in pairs]
    peers = [str(best_peer(e)) for e, _ in pairs]
    axes.barh(names, [r - 1 for r in ratios], left=1, color=[colors[p] for p in peers])
    for name, ratio in zip(names, ratios, strict=True):
        side = "left" if ratio >= 1 else "right"
        axes.annotate(
            f" {ratio:.2f} ", (ratio, name), ha=side, va="center", fontsize=7, annotation_clip=False
        )
    axes.set_xscale("log", base=2)
    ticks = [t for t in (0.25, 0.5, 1, 2, 4, 8, 16, 32) if min(ratios) / 2 <= t <= max(ratios) * 2]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xlim(min([0.5, *(r / 1.6 for r in ratios)]), max([2.0, *(r * 1.6 for r in ratios)]))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvline(mean(ratios), color="black", linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    axes.set_title(f"{title}: mean {mean(ratios):.2f}", fontsize=9)
