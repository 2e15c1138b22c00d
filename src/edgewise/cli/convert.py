"""``edgewise convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .base import app, finish, progress
from .groups import ImageReading, grouped
from .options import Json, Seed, Verify
from .tables import counted, escape, number, size_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


@app.command(short_help="Write a network as a .tflite file.")
@grouped
def convert(
    model: Annotated[Path, typer.Argument(metavar="IN", help="A model file.", show_default=False)],
    output: Annotated[
        Path, typer.Argument(metavar="OUT.tflite", help="The file to write.", show_default=False)
    ],
    *,
    verify: Verify = None,
    random: Annotated[
        int, typer.Option("--random", metavar="N", min=1, help="Random inputs to verify on.")
    ] = 3,
    seed: Seed = 0,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="SHARE",
            min=0.0,
            help="How much of an output's range results may differ by. Default: 1e-3, or 0.05 of a "
            "network that computes with 8-bit numbers.",
            show_default=False,
        ),
    ] = None,
    reading: ImageReading,
    json: Json = False,
) -> None:
    """Write a network as a .tflite file, which LiteRT runs with the same results.

    Exit code 1: LiteRT's results differ by more than the tolerance, and nothing was written.

    \b
    Examples:
      edgewise convert network.onnx network.tflite
      edgewise convert network.onnx network.tflite --verify --random 10
      edgewise convert network.onnx network.tflite --no-verify --json
    """
    from ..tools import convert as converting

    with progress("Verifying", random) as step:
        facts = converting.convert(
            model,
            output,
            loading=reading.loading,
            verify=verify,
            count=random,
            seed=seed,
            tolerance=tolerance,
            progress=step,
        )
    finish("convert", facts, show, json)
    if not facts["written"]:
        raise typer.Exit(1)


def show(out: Console, facts: Facts) -> None:
    kinds = ", ".join(f"{count} {name}" for name, count in facts["operators"].items())
    total = counted(sum(facts["operators"].values()), "operator")
    sizes = f"{size_of(facts['model_bytes'])} -> {size_of(facts['output_bytes'])}"
    verb = "written" if facts["written"] else "NOT written"
    out.print(f"{escape(facts['output'])} {verb}: {facts['format']}, {sizes}, {total}")
    out.print(f"operators: {escape(kinds)}")
    verified = facts["verified"]
    if verified is None:
        out.print("not verified (--verify runs it in LiteRT)")
        return
    against = "Edgewise's" if verified["against"] == "Edgewise" else "those of the model there"
    how = f"{verified['runtime']}, {counted(verified['inputs'], 'random input')}"
    if verified["share"] == 0:
        out.print(f"verified in {how}: results equal {against}, to the bit")
        return
    within = "within" if verified["within_tolerance"] else "NOT within"
    out.print(
        f"verified in {how}: results differ from {against} by at most "
        f"{number(verified['share'])} of an output's range, {within} the tolerance of "
        f"{number(verified['tolerance'])}"
    )
