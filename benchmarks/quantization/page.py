"""Results as Markdown, between two marks of a page whose other text stays as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.errors import InputError

from ..networks.page import table
from .contestants import CONTESTANTS, SUBJECT
from .makeup import PARTS

Facts = dict[str, Any]

BEGIN = "<!-- results: written by python -m benchmarks.quantization -->"
END = "<!-- end of results -->"

PEERS = tuple(key for key in CONTESTANTS if key != SUBJECT)


def write(path: Path, document: Facts) -> None:
    """Put the results between the marks of a page, which is made where there is none.

    Raises:
        InputError: the page has no marks.
    """
    text = path.read_text() if path.exists() else f"# Quantization benchmarks\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path}: has no lines {BEGIN} and {END} to write between")
    path.write_text(f"{before}{BEGIN}\n\n{section(document)}\n{END}{after}")


def section(document: Facts) -> str:
    """All that is written between the marks."""
    results = document["results"]
    machine = document["machine"]
    packages = ", ".join(f"{name} {found}" for name, found in document["versions"].items())
    parts = [
        f"Taken on {document['date']}: {machine['cpu']}, {machine['cores']} cores; {packages}.",
        "### Signal to quantization noise, in decibel",
        accuracy(results),
        "### Classes",
        *classes(results),
        "### Size",
        sizes(results),
        "What the bytes of Edgewise's files are for; the last two columns are shares of a quarter:",
        makeups(results),
    ]
    if document["speed"]:
        parts += ["### Speed", speed(document["speed"])]
    if refused := list(refusals(results)):
        parts += ["### What peers refuse", table(["contestant", "network", "why"], refused)]
    return "\n\n".join(parts) + "\n"


def accuracy(results: Mapping[str, Facts]) -> str:
    """SQNR of each contestant, and of a peer its best setting; the mean of all networks."""
    heads = ["network", "Edgewise"]
    for key in PEERS:
        title = CONTESTANTS[key].title
        heads += [f"{title}, default", f"{title}, best"]
    rows = []
    columns: list[list[float]] = [[] for _ in heads[1:]]
    for name, entry in results.items():
        cells = [default(entry, SUBJECT)]
        for key in PEERS:
            cells += [default(entry, key), best(entry, key, "sqnr")]
        numbers = [cell["sqnr"] if cell else math.nan for cell in cells]
        for column, number in zip(columns, numbers, strict=True):
            column.append(number)
        rows.append([name, *(_figure(n) for n in numbers)])
    whole = ~np.isnan(np.array(columns)).any(axis=0)
    means = [_figure(float(np.mean(np.array(c)[whole]))) if whole.any() else "-" for c in columns]
    rows.append([f"mean of {int(whole.sum())} that all quantize", *means])
    return table(heads, rows)


def classes(results: Mapping[str, Facts]) -> Iterator[str]:
    """Shares of pictures with the right class, and of places with the float network's."""
    heads = ["network", "contestant", "setting", "top-1", "95 % interval", "points lost"]
    rows = []
    for name, entry in results.items():
        if entry["metric"] != "top1":
            continue
        rows.append([name, "float", "", *_top1(entry["float"]), ""])
        for key, settings in entry["contestants"].items():
            for setting, facts in settings.items():
                if "top1" in facts:
                    lost = [100 * facts[f"lost{end}"] for end in ("", "_low", "_high")]
                    shown = "{:.1f} ({:.1f} to {:.1f})".format(*lost)
                    rows.append([name, CONTESTANTS[key].title, setting, *_top1(facts), shown])
    yield table(heads, rows)
    heads = ["network", "contestant", "setting", "same class as the float network"]
    rows = [
        [name, CONTESTANTS[key].title, setting, f"{100 * facts['agreement']:.2f} %"]
        for name, entry in results.items()
        if entry["metric"] == "agreement"
        for key, settings in entry["contestants"].items()
        for setting, facts in settings.items()
        if "agreement" in facts
    ]
    if rows:
        yield table(heads, rows)


def sizes(results: Mapping[str, Facts]) -> str:
    """Bytes of files, and the int8 file as a share of a quarter of the float one."""
    heads = ["network", "float bytes", "Edgewise int8", "of a quarter"]
    heads += [f"{CONTESTANTS[key].title}, of a quarter" for key in PEERS]
    rows = []
    for name, entry in results.items():
        quarter = entry["float_bytes"] / 4
        found = [default(entry, key) for key in (SUBJECT, *PEERS)]
        shares = [f"{facts['bytes'] / quarter:.3f}" if facts else "-" for facts in found]
        ours = f"{found[0]['bytes']:,}" if found[0] else "-"
        rows.append([name, f"{entry['float_bytes']:,}", ours, *shares])
    return table(heads, rows)


def makeups(results: Mapping[str, Facts]) -> str:
    """What the bytes of Edgewise's files are for, and the least that such a file can be."""
    rows = []
    for name, entry in results.items():
        facts = default(entry, SUBJECT)
        if facts is None or "parts" not in facts:
            continue
        found, quarter = facts["parts"], entry["float_bytes"] / 4
        total = sum(found[part] for part in PARTS)
        shares = [f"{size / quarter:.3f}" for size in (found["least"], total)]
        rows.append([name, *(f"{found[part]:,}" for part in PARTS), *shares])
    return table(["network", *PARTS, "weights and 8 a channel", "all"], rows)


def speed(timed: Mapping[str, Facts]) -> str:
    """Milliseconds of float and quantized networks, and how many times as fast the latter are."""
    counts = sorted({n for facts in timed.values() for n in facts}, key=int)
    heads = ["network"]
    for n in counts:
        threads = "1 thread" if n == "1" else f"{n} threads"
        heads += [f"float ms, {threads}", "int8 ms", "times as fast"]
    rows = []
    for name, facts in timed.items():
        cells = [name]
        for n in counts:
            t = facts[n]
            cells += [f"{t['float_ms']:.3f}", f"{t['quantized_ms']:.3f}", f"{t['ratio']:.2f}"]
        rows.append(cells)
    means = ["geometric mean"]
    for n in counts:
        logs = [math.log(facts[n]["ratio"]) for facts in timed.values()]
        means += ["", "", f"{math.exp(sum(logs) / len(logs)):.2f}"]
    return table(heads, [*rows, means])


def refusals(results: Mapping[str, Facts]) -> Iterator[Sequence[str]]:
    for name, entry in results.items():
        for key in entry["contestants"]:
            if (facts := entry["contestants"][key]) and all("error" in f for f in facts.values()):
                why = next(iter(facts.values()))["error"].splitlines()[0].replace("|", "\\|")
                yield CONTESTANTS[key].title, name, why


def default(entry: Facts, contestant: str) -> Facts | None:
    """What a contestant's first setting reaches; None where it fails."""
    settings = entry["contestants"].get(contestant, {})
    facts: Facts = next(iter(settings.values()), {"error": "not measured"})
    return None if "error" in facts else facts


def best(entry: Facts, contestant: str, metric: str) -> Facts | None:
    """What the setting reaches that is best by a metric on the test data itself."""
    settings = entry["contestants"].get(contestant, {}).values()
    return max((f for f in settings if metric in f), key=lambda f: f[metric], default=None)


def _top1(facts: Facts) -> tuple[str, str]:
    low, high = (100 * facts[f"top1_{end}"] for end in ("low", "high"))
    return f"{100 * facts['top1']:.2f} %", f"{low:.1f} to {high:.1f}"


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
