"""What all commands share: the app, errors and exit codes, progress, how facts are printed.

Results go to stdout, as tables or (``--json``, docs/json.md) as one JSON document; progress,
warnings and errors go to stderr. Exit codes: 0 success, 1 a comparison found differences, 2 an
error in what was given.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TextIO

import typer
import typer.core

from .. import __version__
from ..errors import EdgewiseError
from . import tables

SCHEMA = 2
"""Raised when a field of the JSON documents changes its meaning or goes."""


class Commands(typer.core.TyperGroup):
    """Turns Edgewise's and the system's errors into one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        _prepare_streams()
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except EdgewiseError as error:
                typer.echo(f"error: {tables.printable(str(error), but=chr(10))}", err=True)
                raise typer.Exit(2) from None
            except OSError as error:
                if error.errno == errno.EPIPE:  # the reader of a pipe has seen enough
                    raise
                about = f"{error.filename}: " if error.filename else ""
                typer.echo(f"error: {about}{error.strerror or error}", err=True)
                raise typer.Exit(2) from None


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgewise {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Edgewise compiles a trained neural network into a small, fast program.

    \b
    Examples:
      edgewise run mobilenet.tflite cat.jpg
      edgewise inspect mobilenet.tflite
      edgewise bench mobilenet.tflite --threads 1,2 --against litert
      edgewise profile mobilenet.tflite --top 10
      edgewise tune mobilenet.tflite
      edgewise doctor
    """


def finish(command: str, facts: dict[str, Any], show: Callable[..., None], as_json: bool) -> None:
    """Print what a command found: as its JSON document, or as ``show(out, facts)`` has it."""
    if as_json:
        typer.echo(to_json(command, facts))
    else:
        show(tables.console(), facts)


def to_json(command: str, facts: dict[str, Any]) -> str:
    """The JSON document of a command; numbers that JSON does not know become null."""
    head = {"schema": SCHEMA, "command": command, "edgewise": __version__}
    return json.dumps(_known(head | facts), indent=2, allow_nan=False)


def _known(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _known(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [_known(each) for each in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Any]:
    """A progress bar on stderr where that is a terminal; yields what advances it."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def _prepare_streams() -> None:
    """Make writing safe: a closed stream takes anything, a narrow encoding gets escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    typer.echo(f"warning: {message}", err=True)
