"""A diagnosis of a quantized network as tables: the layers where most accuracy goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .tables import counted, escape, print_table, short, size_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..tools.facts import Facts


def show(out: Console, facts: Facts, top: int = 10) -> None:
    """Print what `quantizer.diagnosis` found: the ``top`` layers of the lowest SQNR, what to try.

    ``facts`` are those of `Diagnosis.facts`.
    """
    from ..quantizer.advice import TITLES

    layers = facts["layers"]
    for output in facts["outputs"]:
        out.print(f"output  {escape(output['name'])}: {_sqnr(output['error'])} dB SQNR")
    known = [i for i, x in enumerate(layers) if x["isolated"] and x["isolated"]["sqnr"] is not None]
    worst = sorted(known, key=lambda i: layers[i]["isolated"]["sqnr"])[:top]
    times = {i: t for t in (facts["times"] or {"layers": ()})["layers"] for i in t["layers"]}
    rows = [_row(i, layers[i], times.get(i)) for i in worst]
    if rows:
        out.print(f"the {counted(len(rows), 'layer')} of the lowest SQNR in isolation:")
        right = ("#", "alone dB", "whole dB", "saturate", "channels", "float ms", "quant. ms")
        print_table(
            out, rows, right=right, spare=("channels", "float ms", "quant. ms", "precision")
        )
    for rule in dict.fromkeys(a["rule"] for i in worst for a in layers[i]["advice"]):
        out.print(f"{rule}: {TITLES[rule]}")
    for layer in (x for x in layers if x["left"] is not None):
        text = f"{layer['op']} {short(layer['name'])} stays in float: {layer['left']}"
        out.print(f"[yellow]float[/]   {escape(text)}")
    for advice in facts["advice"]:
        out.print(f"[yellow]note[/]    {escape(advice['text'])}")
    if facts["float_bytes"] and facts["quantized_bytes"]:
        times_smaller = facts["float_bytes"] / facts["quantized_bytes"]
        sizes = f"{size_of(facts['float_bytes'])} to {size_of(facts['quantized_bytes'])}"
        out.print(f"size    {sizes}: {times_smaller:.2f}x smaller")
    if facts["times"]:
        before, after = facts["times"]["float_ms"], facts["times"]["quantized_ms"]
        out.print(f"time    {before:.3f} to {after:.3f} ms: {before / after:.2f}x faster")
    out.print(f"on {counted(facts['samples'], 'sample')}")


def _row(number: int, layer: Facts, times: Facts | None) -> dict[str, str]:
    found = layer["activations"]
    is_last = times is not None and times["layers"][-1] == number
    return {
        "#": str(number),
        "operator": layer["op"],
        "layer": escape(short(layer["name"])),
        "precision": layer["precision"],
        "alone dB": _sqnr(layer["isolated"]),
        "whole dB": _sqnr(layer["accumulated"]),
        "saturate": f"{(found['below'] + found['above']) / max(found['elements'], 1):.2%}",
        "channels": f"{layer['weights']['spread']:.1f}x" if layer["weights"] else "",
        "float ms": f"{times['float_ms']:.3f}" if times and is_last else "",
        "quant. ms": f"{times['quantized_ms']:.3f}" if times and is_last else "",
        "what to try": ", ".join(advice["rule"] for advice in layer["advice"]),
    }


def _sqnr(error: dict[str, Any] | None) -> str:
    if error is None:
        return ""
    return "exact" if error["sqnr"] is None else f"{error['sqnr']:.1f}"
