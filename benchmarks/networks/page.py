"""Results as Markdown, between two marks of a page whose other text stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgewise.errors import InputError

from .kinds import KINDS
from .peers import CONTESTANTS, SUBJECT
from .summary import F32, GOALS, best_peer, best_ratio, mean, outcome, slower

Facts = dict[str, Any]

BEGIN = "<!-- results: written by python -m benchmarks.networks -->"
END = "<!-- end of results -->"


TITLES = {"quantized": "Quantized", "float": "Float", "onnx": "ONNX"}


def write_page(path: Path, document: Facts, plot: str | None) -> None:
    """Put the results between the marks of a page, which is made where there is none.

    Raises:
        InputError: the page has no marks.
    """
    text = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path}: has no lines {BEGIN} and {END} to write between")
    path.write_text(f"{before}{BEGIN}\n\n{section(document, plot)}\n{END}{after}")


def section(document: Facts, plot: str | None) -> str:
    """All that is written between the marks."""
    results, counts = document["results"], document["settings"]["threads"]
    keys = contestants(document)
    parts = [*_taken_on(document), summary_table(results, counts), *_slower(results, counts)]
    if plot:
        parts.append(f"![How many times as fast Edgewise is as the fastest peer]({plot})")
    for kind in KINDS:
        for threads in counts:
            chosen = [e for e in results if e["kind"] == kind and e["threads"] == threads]
            if chosen:
                title = f"### {TITLES[kind]} networks, {_threads(threads)}"
                parts += [title, network_table(chosen, keys)]
    parts += ["### Why some have no figure, or a star", *_missing(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def contestants(document: Facts) -> list[str]:
    """The contestants that have a figure anywhere, in the order of their table."""
    timed = {key for entry in document["results"] for key in entry["timings"]}
    return [key for key in CONTESTANTS if key in timed]


def summary_table(results: Sequence[Facts], counts: Sequence[int]) -> str:
    """How many times as fast Edgewise is, and the goal."""
    heads = ["networks", "against", *(f"{_threads(n)} (goal)" for n in counts)]
    rows = []
    for goal in GOALS:
        found = [outcome(goal, results, n) for n in counts]
        if not any(found):
            continue
        titles = [CONTESTANTS[key].title for key in goal.against]
        against = titles[0] if len(titles) == 1 else f"the fastest of {', '.join(titles)}"
        number = max(o.networks for o in found if o)
        name = goal.networks if number == 1 else f"{goal.networks} ({number})"
        cells = []
        for item in found:
            if item is None:
                cells.append("-")
                continue
            least = "" if item.least is None else f" ({item.least:.2f})"
            where = f" {item.worst}" if goal.worst else ""
            cells.append(f"{item.value:.2f}{least}{where}")
        rows.append([name, against, *cells])
    return table(heads, rows)


def network_table(entries: Sequence[Facts], keys: Sequence[str]) -> str:
    """Times in milliseconds; the fastest peer of full precision and the ratio to it."""
    heads = ["network", *(f"{CONTESTANTS[key].title} ms" for key in keys)]
    heads += ["fastest peer", "times as fast"]
    rows = []
    for entry in entries:
        cells = [_figure(entry["timings"].get(key)) for key in keys]
        peer = best_peer(entry)
        if peer is None:
            rows.append([entry["network"], *cells, "-", "-"])
            continue
        ratio = entry["ratios"][peer]
        interval = f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        rows.append([entry["network"], *cells, CONTESTANTS[peer].title, interval])
    rows.append(_means(entries, keys))
    return table(heads, rows)


def _figure(timing: Facts | None) -> str:
    """Milliseconds, with a star where results differ."""
    if timing is None:
        return "-"
    return f"{timing['median_ms']:.3f}" + ("*" if "disagrees" in timing else "")


def _means(entries: Sequence[Facts], keys: Sequence[str]) -> list[str]:
    """A peer's geometric mean of ratios, over the networks that it takes."""
    cells = []
    for key in keys:
        ratios = [e["ratios"][key]["value"] for e in entries if key in e["ratios"]]
        cells.append(f"{mean(ratios):.2f}x ({len(ratios)})" if ratios else "")
    best = [ratio for e in entries if (ratio := best_ratio(e)) is not None]
    return ["mean (networks)", *cells, "", f"{mean(best):.2f}" if best else "-"]


def _taken_on(document: Facts) -> Iterator[str]:
    machine, settings = document["machine"], document["settings"]
    caches = ", ".join(f"{name} {size}" for name, size in machine.get("caches", {}).items())
    told = [
        f"{machine['cpu']}, {machine['cores']} cores",
        f"kernels {settings['isa'] or machine['isa']}",
        caches and f"caches {caches}",
        f"{machine['mhz']} MHz" if "mhz" in machine else "",
        f"governor {machine['governor']}" if "governor" in machine else "",
        f"{machine['memory_gib']} GiB" if "memory_gib" in machine else "",
        machine["system"],
        f"Python {machine['python']}",
        f"LLVM {machine['llvm']}",
    ]
    yield f"Taken on {document['date']}: {'; '.join(filter(None, told))}."
    names = {
        key: entry["timings"][key]
        for entry in document["results"]
        for key in CONTESTANTS
        if key in entry["timings"]
    }
    paths = sorted({f"{t['name']} ({t['path']})" for t in names.values()})
    yield f"Contestants: {'; '.join(paths)}. {settings['rounds']} rounds."


def _slower(results: Sequence[Facts], counts: Sequence[int]) -> Iterator[str]:
    for threads in counts:
        found = slower(results, threads)
        if found:
            named = ", ".join(
                f"{network} ({CONTESTANTS[peer].title}, {ratio:.2f})"
                for network, peer, ratio in found
            )
            yield f"A peer is faster with {_threads(threads)} on {len(found)}: {named}."


def _missing(results: Sequence[Facts]) -> Iterator[str]:
    """For each contestant, its reasons and the networks they are given for."""
    reasons: dict[str, dict[str, dict[str, None]]] = {}
    for entry in results:
        for key, reason in entry["missing"].items():
            reasons.setdefault(key, {}).setdefault(reason, {})[entry["network"]] = None
        for key, timing in entry["timings"].items():
            if "disagrees" in timing:
                reason = f"* {timing['disagrees']}"
                reasons.setdefault(key, {}).setdefault(reason, {})[entry["network"]] = None
    rows = [
        [CONTESTANTS[key].title, reason.replace("|", "\\|"), _networks(names, results)]
        for key in CONTESTANTS
        for reason, names in reasons.get(key, {}).items()
        if key != SUBJECT
    ]
    yield table(["contestant", "why", "networks"], rows)


def _networks(names: Iterable[str], results: Sequence[Facts]) -> str:
    """Names, or what they are all of."""
    found = set(names)
    for kind in (*KINDS, None):
        every = {e["network"] for e in results if kind in (None, e["kind"])}
        if len(every) > 1 and found == every:
            return f"all {kind} ones" if kind else "all"
    return ", ".join(sorted(found))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


__all__ = ["F32", "contestants", "network_table", "section", "summary_table", "write_page"]
