"""``edgewise doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import app, finish
from .options import Json
from .tables import escape

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command()
def doctor(json: Json = False) -> None:
    """Show what this machine offers and what Edgewise will use.

    \b
    Examples:
      edgewise doctor
      edgewise doctor --json
    """
    from ..tools.doctor import examine, findings

    finish("doctor", findings(examine()), show, json)


def show(out: Console, facts: Facts) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in facts["checks"]:
        mark = "[green]ok[/]" if check["ok"] else "[yellow]warn[/]"
        table.add_row(mark, check["name"], escape(check["detail"]))
    out.print(table)
