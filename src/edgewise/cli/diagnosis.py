"""Where a quantized network loses accuracy and time, and what to try, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tables import counted, escape, print_table, short

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts

RIGHT = ("#", "alone dB", "whole dB", "saturate", "channels", "float ms", "quant. ms")
SPARE = ("channels", "float ms", "quant. ms", "precision")


def show_diagnosis(out: Console, facts: Facts, top: int = 10) -> None:
    """Print the ``top`` layers of the lowest SQNR in isolation, and what to try.

    ``facts`` are those of `quantizer.findings.Diagnosis.facts`.
    """
    from ..quantizer.advice import TITLES

    layers = facts["layers"]
    known = [i for i, x in enumerate(layers) if x["isolated"] and x["isolated"]["sqnr"] is not None]
    worst = sorted(known, key=lambda i: layers[i]["isolated"]["sqnr"])[:top]
    times = {t["layers"][-1]: t for t in facts["times"]["layers"]} if facts["times"] else {}
    if worst:
        out.print(f"the {counted(len(worst), 'layer')} with most noise of their own:")
        rows = [_row(i, layers[i], times.get(i)) for i in worst]
        print_table(out, rows, right=RIGHT, spare=SPARE)
    for rule in dict.fromkeys(a["rule"] for i in worst for a in layers[i]["advice"]):
        out.print(f"{rule}: {TITLES[rule]}")
    for advice in facts["advice"]:
        out.print(f"[yellow]note[/] {escape(advice['text'])}")


def _row(number: int, layer: Facts, times: Facts | None) -> dict[str, str]:
    found = layer["activations"]
    return {
        "#": str(number),
        "operator": layer["op"],
        "layer": escape(short(layer["name"])),
        "precision": layer["precision"],
        "alone dB": f"{layer['isolated']['sqnr']:.1f}",
        "whole dB": _sqnr(layer["accumulated"]),
        "saturate": f"{(found['below'] + found['above']) / max(found['elements'], 1):.2%}",
        "channels": f"{layer['weights']['spread']:.1f}x" if layer["weights"] else "",
        "float ms": f"{times['float_ms']:.3f}" if times else "",
        "quant. ms": f"{times['quantized_ms']:.3f}" if times else "",
        "what to try": ", ".join(advice["rule"] for advice in layer["advice"]),
    }


def _sqnr(error: Facts) -> str:
    return "exact" if error["sqnr"] is None else f"{error['sqnr']:.1f}"
