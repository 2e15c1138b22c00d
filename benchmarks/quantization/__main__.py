"""Quantize the float networks of the data folder, and write docs/quantization-benchmarks.md."""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

import edgewise as ew

from ..networks.machine import machine
from . import page, speed
from .contestants import CONTESTANTS, SUBJECT, versions
from .match import match
from .tasks import TASKS, Task

SCHEMA = 1
"""Raised when a field of quantization-benchmarks.json changes its meaning or goes."""

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EDGEWISE_DATA", ROOT.parent / "shared"))

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Networks with this in their name; may be repeated."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="PEER", help="Only these peers; may be repeated. 'none' is none."),
    ] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="The data folder.")] = DATA,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the peers' results here, by content."),
    ] = None,
    timed: Annotated[
        bool, typer.Option("--timed", help="Time quantized networks; leave accuracy as it is.")
    ] = False,
    rounds: Annotated[int, typer.Option(metavar="N", help="Interleaved rounds of timing.")] = 40,
    docs: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where the page and quantization-benchmarks.json go."),
    ] = ROOT / "docs",
    render: Annotated[
        bool, typer.Option("--render", help="Measure nothing: write the page of the results.")
    ] = False,
) -> None:
    """Quantize networks with Edgewise and its peers; judge all on the same held-out data.

    Results go to quantization-benchmarks.json after each network, in place of those that it had.

    \b
    Examples:
      python -m benchmarks.quantization --cache /tmp/peers
      python -m benchmarks.quantization --only mobilenet --against none --docs /tmp/try
      python -m benchmarks.quantization --timed
    """
    path = docs / "quantization-benchmarks.json"
    document = _document(path)
    peers = [key for key in CONTESTANTS if key != SUBJECT and key in (against or CONTESTANTS)]
    for task in () if render else _chosen(only or []):
        typer.echo(f"{task.name} ...", err=True)
        if timed and task.variant:
            continue
        if timed:
            document["speed"][task.name] = speed.facts(task, data, rounds)
        else:
            document["results"][task.name] = match(task, data, [SUBJECT, *peers], cache)
        docs.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    page.write(docs / "quantization-benchmarks.md", document)
    typer.echo(page.accuracy(document["results"]))


def _chosen(parts: list[str]) -> list[Task]:
    return [t for t in TASKS if not parts or any(part in t.name for part in parts)]


def _document(path: Path) -> dict[str, Any]:
    """What the file holds, or a new document, dated today."""
    found = json.loads(path.read_text()) if path.exists() else {}
    if found.get("schema", SCHEMA) != SCHEMA:
        raise typer.BadParameter(f"{path}: schema {found['schema']}, this reads {SCHEMA}")
    return {
        "schema": SCHEMA,
        "edgewise": ew.__version__,
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "results": found.get("results", {}),
        "speed": found.get("speed", {}),
    }


if __name__ == "__main__":
    sys.exit(app(prog_name="python -m benchmarks.quantization"))
