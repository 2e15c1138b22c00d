"""Time the networks of the data folder in Edgewise and its peers, and write docs/benchmarks.md."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

import edgewise as ew
from edgewise import timing
from edgewise.cli.base import progress
from edgewise.data import images
from edgewise.errors import EdgewiseError, InputError
from edgewise.graph import Array, Graph
from edgewise.tools import differences

from . import page
from .kinds import KINDS, ONNX, kind_of, name_of
from .machine import machine, versions
from .match import match
from .peers import CONTESTANTS, SUBJECT
from .plot import write_plot
from .worker import Worker

SCHEMA = 1
"""Raised when a field of benchmarks.json changes its meaning or goes."""

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EDGEWISE_DATA", ROOT.parent / "shared"))
PLOT = "images/benchmarks.svg"
PICTURE = "data/images/portrait.jpg"
"""The input of networks of pictures, in the data folder: random numbers are no picture, and what
they give may hang by a thread.
"""

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    models: Annotated[
        Path, typer.Option(help="The folder of .tflite and .onnx networks.", metavar="DIR")
    ] = DATA / "models",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Networks with this in their name; may be repeated."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help=f"Only {' or '.join(KINDS)} networks.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="PEER", help="Only these peers; may be repeated."),
    ] = None,
    threads: Annotated[
        str, typer.Option(metavar="N,...", help="Numbers of threads to time.")
    ] = "1,2",
    rounds: Annotated[int, typer.Option(metavar="N", help="Interleaved rounds.")] = 20,
    seed: Annotated[int, typer.Option(metavar="N", help="Of random inputs and orders.")] = 0,
    isa: Annotated[
        str | None, typer.Option(metavar="NAME", help="Edgewise's instruction set.")
    ] = None,
    docs: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where benchmarks.json, benchmarks.md and the plot go."),
    ] = ROOT / "docs",
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what benchmarks.json has, measure the rest.")
    ] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Measure nothing: write the page of benchmarks.json.")
    ] = False,
) -> None:
    """Time networks in Edgewise and its peers, side by side, and write the page of benchmarks.

    Results are kept in benchmarks.json after each network, so that a run that was stopped goes on
    with --resume. Peers are those of which the packages are installed.

    \b
    Examples:
      python -m benchmarks.networks
      python -m benchmarks.networks --only mobilenet --against litert --rounds 5 --docs /tmp/try
      python -m benchmarks.networks --render
    """
    with _one_line_errors():
        path = docs / "benchmarks.json"
        if render:
            document = _read(path)
        else:
            timing.check_rounds(rounds)
            counts = _counts(threads)
            keys = [SUBJECT, *_peers(against)]
            settings = {"rounds": rounds, "seed": seed, "isa": isa, "threads": counts}
            document = _document(path, resume, settings, keys)
            chosen = list(_networks(models, only or [], kind))
            if not chosen:
                raise InputError(f"{models}: has no such network")
            docs.mkdir(parents=True, exist_ok=True)
            _measure(document, chosen, counts, keys, path)
        write_plot(docs / PLOT, document)
        page.write_page(docs / "benchmarks.md", document, PLOT)
        typer.echo(page.summary_table(document["results"], document["settings"]["threads"]))


def _measure(
    document: dict[str, Any],
    networks: list[tuple[Path, Graph]],
    counts: list[int],
    keys: list[str],
    path: Path,
) -> None:
    settings, results = document["settings"], document["results"]
    have = {(entry["network"], entry["threads"]) for entry in results}
    wanted = [(m, g, n) for m, g in networks for n in counts if (name_of(m), n) not in have]
    with _workers(keys) as workers, progress("Networks", len(wanted)) as step:
        for model, graph, count in wanted:
            entry = match(
                model,
                graph,
                inputs_of(graph, model.parent.parent / PICTURE, settings["seed"]),
                count,
                workers,
                settings["rounds"],
                settings["seed"],
                settings["isa"],
            )
            results.append(entry)
            path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
            _tell(entry)
            step()


def inputs_of(graph: Graph, picture: Path, seed: int) -> list[Array]:
    """A picture, where there is one and the network takes one, else random numbers."""
    if picture.exists() and len(graph.inputs) == 1 and images.takes_pictures(graph.inputs[0].type):
        return images.load_inputs(graph, [picture])
    (arrays,) = differences.random_inputs(graph, 1, seed)
    return arrays


def _tell(entry: dict[str, Any]) -> None:
    """A line on stderr of what was measured."""
    times = [f"{key} {t['median_ms']:.3f}" for key, t in entry["timings"].items()]
    typer.echo(f"{entry['network']}, threads {entry['threads']}: {', '.join(times)}", err=True)


@contextlib.contextmanager
def _workers(keys: list[str]) -> Iterator[dict[str, Worker]]:
    workers = {key: Worker(key) for key in keys}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.stop()


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (EdgewiseError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def _document(
    path: Path, resume: bool, settings: dict[str, Any], keys: list[str]
) -> dict[str, Any]:
    """A new document, or the one that is there where it was made in the same way."""
    fresh = {
        "schema": SCHEMA,
        "edgewise": ew.__version__,
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": versions(keys),
        "settings": settings,
        "results": [],
    }
    if not resume or not path.exists():
        return fresh
    found = _read(path)
    for name in ("edgewise", "versions", "settings"):
        if found[name] != fresh[name]:
            raise InputError(f"--resume: {path} has other {name}; leave --resume out to start anew")
    return found


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    if document.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {document.get('schema')}, this reads {SCHEMA}")
    return document


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise InputError(f"--threads {text}: whole numbers above 0, with commas between")
    return counts


def _peers(names: list[str] | None) -> list[str]:
    known = [key for key in CONTESTANTS if key != SUBJECT]
    for name in names or []:
        if name not in known:
            raise InputError(f"--against {name}: unknown; known are {', '.join(known)}")
    return [key for key in known if names is None or key in names]


def _networks(folder: Path, parts: list[str], kind: str | None) -> Iterator[tuple[Path, Graph]]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; --models names one")
    if kind not in (None, *KINDS):
        raise InputError(f"--kind {kind}: unknown; known are {', '.join(KINDS)}")
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".tflite", ONNX)):
        if parts and not any(part in name_of(path) for part in parts):
            continue
        graph = ew.load(path)
        if kind in (None, kind_of(path, graph)):
            yield path, graph


if __name__ == "__main__":
    sys.exit(app(prog_name="python -m benchmarks.networks"))
