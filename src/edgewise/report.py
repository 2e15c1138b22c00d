"""The facts of every command: as JSON (docs/json.md), and as tables for a reader."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import __version__

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from .doctor import Check
    from .graph import Graph, Value
    from .ops import Op
    from .plan import Plan
    from .profile import Slow
    from .runtime import Program

SCHEMA = 2
"""Raised when a field of the JSON documents changes its meaning or goes."""

PIPE_WIDTH = 160
"""Columns of tables that do not go to a terminal."""

Facts = dict[str, Any]


def to_json(command: str, facts: Facts) -> str:
    """The JSON document of a command."""
    head = {"schema": SCHEMA, "command": command, "edgewise": __version__}
    return json.dumps(head | facts, indent=2, allow_nan=False)


def show(command: str, facts: Facts, out: Console | None = None, **options: Any) -> None:
    """Print the facts of a command as tables to ``out``, else to stdout."""
    if out is None:
        piped = max(PIPE_WIDTH, shutil.get_terminal_size().columns)
        out = Console(width=None if sys.stdout.isatty() else piped, highlight=False)
    _SHOWN[command](out, facts, **options)


def inspection(model: Path, imported: Graph, program: Program, slow: Sequence[Slow] = ()) -> Facts:
    """The facts of ``edgewise inspect``: the operators as they run, after the passes.

    ``slow`` are the operators without a kernel, with their share of the time.
    """
    plan = program.plan
    steps = _steps_of_nodes(plan)
    operators = []
    seen: set[Value] = set()
    for index, node in enumerate(plan.nodes):
        weights = {v for v in node.inputs if v.is_constant} - seen
        seen |= weights
        kernels = [symbol for symbol in steps[index] if symbol is not None]
        operators.append(
            {
                "index": index,
                "op": _op_name(node.op),
                "description": str(node.op),
                "origin": node.origin,
                "outputs": [_value_facts(v) for v in node.outputs],
                "macs": node.macs,
                "weight_bytes": sum(v.type.nbytes for v in weights),
                "kernels": list(dict.fromkeys(kernels)),
                "fallback": node in plan.fallbacks,
            }
        )
    return {
        "model": str(model),
        "file_bytes": model.stat().st_size,
        "isa": program.isa.name,
        "threads": program.threads,
        "description": imported.metadata.get("description") or "",
        "labels": len(imported.metadata.get("labels") or ()),
        "inputs": [_value_facts(v) for v in imported.inputs],
        "outputs": [_value_facts(v) for v in imported.outputs],
        "states": [_value_facts(s.before) for s in imported.states],
        "open": {name: list(shape) for name, shape in imported.open.items()},
        "signatures": list(imported.metadata.get("signatures") or ()),
        "operators_in_file": len(imported.nodes),
        "operators": operators,
        "fallbacks": [asdict(operator) for operator in slow],
        "macs": sum(o["macs"] for o in operators),
        "weight_bytes": sum(o["weight_bytes"] for o in operators),
        "arena_bytes": plan.arena_bytes,
        "constant_bytes": plan.constant_bytes,
        "kernels": list(plan.kernels),
    }


def _op_name(op: Op) -> str:
    """The operator's name; of an operator with an epilogue, all names."""
    from .ops import Fused

    if isinstance(op, Fused):
        return " + ".join((op.head.name, *(stage.op.name for stage in op.tail)))
    return op.name


def _steps_of_nodes(plan: Plan) -> list[list[str | None]]:
    """The kernels that run each node, by symbol; None for its numpy reference."""
    from .plan import Step

    found: list[list[str | None]] = [[] for _ in plan.nodes]
    for step in (s for s in plan.steps if s.node < len(found)):
        found[step.node].append(step.kernel.symbol if isinstance(step, Step) else None)
    return found


def findings(checks: Sequence[Check]) -> Facts:
    """The facts of ``edgewise doctor``."""
    return {
        "ok": all(c.ok for c in checks),
        "checks": [
            {"name": c.name, "ok": c.ok, "detail": c.detail, "facts": c.facts} for c in checks
        ],
    }


def _show_run(out: Console, facts: Facts) -> None:
    for entry in facts["runs"]:
        title = " ".join(entry["inputs"])
        for output in entry["outputs"]:
            out.print(escape(f"{title}: {output['name']}, {_array(output)}"))
            out.print(_output_table(output))
        out.print(
            f"{entry['latency_ms']:.2f} ms on {facts['isa']}, {_threads(facts['threads'])}"
            + (f"; {escape(entry['saved'])} written" if "saved" in entry else "")
        )
    _show_fallbacks(out, facts)
    if "output" in facts:
        out.print(f"{escape(facts['output'])} written")


def _output_table(output: Facts) -> Table:
    table = Table()
    if output["kind"] == "numbers":
        for name in ("low", "mean", "high"):
            table.add_column(name, justify="right")
        table.add_row(*(_number(output[name]) for name in ("low", "mean", "high")))
        return table
    if output["kind"] == "texts":
        table.add_column("text")
        for text in output["texts"]:
            table.add_row(escape(text))
        return table
    heading = {"probabilities": "probability", "scores": "score", "class_map": "area"}
    table.add_column("class", justify="right")
    table.add_column("label")
    table.add_column(heading[output["kind"]], justify="right")
    for row in output["top"]:
        score = _number(row["score"]) if output["kind"] == "scores" else f"{row['score']:.2%}"
        table.add_row(str(row["index"]), escape(row["label"]), score)
    return table


def _show_inspect(out: Console, facts: Facts) -> None:
    operators = _count(facts["operators_in_file"], "operator")
    out.print(escape(f"{facts['model']}: {operators} in the file, as they run:"))
    rows = [
        {
            "#": str(o["index"]),
            "operator": o["op"],
            "origin": escape(_short(o["origin"])),
            "output": escape(_arrays(o["outputs"])),
            "MMAC": _millions(o["macs"]) if o["macs"] else "",
            "weights": _bytes(o["weight_bytes"]) if o["weight_bytes"] else "",
            "kernels": "[yellow]numpy reference[/]"
            if o["fallback"]
            else "those of its graphs"
            if o["op"] in ("IF", "WHILE")
            else escape("\n".join(o["kernels"])),
        }
        for o in facts["operators"]
    ]
    _print_table(out, rows, right=("#", "MMAC", "weights"), spare=("origin", "kernels"))
    for kind in ("inputs", "outputs", "states"):
        for value in facts[kind]:
            free = kind == "inputs" and facts["open"].get(value["name"])
            note = f", of any size where {free} has -1" if free else ""
            out.print(f"{kind[:-1]:7} {escape(value['name'])}: {escape(value['type'] + note)}")
    if len(facts["signatures"]) > 1:
        out.print(f"signatures: {escape(', '.join(facts['signatures']))}; --signature chooses")
    out.print(f"work    {_millions(facts['macs'])} million multiply-adds")
    out.print(
        f"memory  arena {_bytes(facts['arena_bytes'])}, "
        f"constants as packed {_bytes(facts['constant_bytes'])}"
    )
    out.print(f"file    {_bytes(facts['file_bytes'])}, weights {_bytes(facts['weight_bytes'])}")
    out.print(f"kernels {len(facts['kernels'])}, for {facts['isa']}, {_threads(facts['threads'])}")
    _show_fallbacks(out, facts)


def _print_table(
    out: Console,
    rows: Sequence[dict[str, str]],
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print rows by column. Where ``out`` is too narrow, columns of ``spare`` go, in order."""
    left_out: list[str] = []
    while rows:
        table = Table()
        names = [name for name in rows[0] if name not in left_out]
        for name in names:
            justify: JustifyMethod = "right" if name in right else "left"
            table.add_column(name, justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(row[name] for name in names))
        fits = out.measure(table, options=out.options.update(width=10_000)).maximum <= out.width
        if fits or len(left_out) == len(spare):
            break
        left_out.append(spare[len(left_out)])
    out.print(table)
    if left_out:
        out.print(f"columns left out: {', '.join(left_out)} (--json shows all)")


def _show_fallbacks(out: Console, facts: Facts) -> None:
    """The operators without a kernel, those that take most of the time first."""
    found = facts["fallbacks"]
    if not found:
        return
    operators = _count(len(found), "operator")
    known = sum(o["share"] or 0.0 for o in found)
    out.print(
        f"[yellow]slow[/]    {operators} without a kernel, computed through numpy: "
        f"{known:.0%} of the time"
    )
    rows = [
        {
            "share": "" if o["share"] is None else f"{o['share']:.1%}",
            "operator": o["op"],
            "origin": escape(_short(o["origin"])),
            "why": escape(o["reason"]),
        }
        for o in sorted(found, key=lambda o: -(o["share"] or 0.0))
    ]
    _print_table(out, rows, right=("share",), spare=("origin",))


def _show_bench(out: Console, facts: Facts) -> None:
    title = f"{facts['model']} on {facts['isa']}: {facts['rounds']} interleaved rounds"
    out.print(escape(title))
    table = Table()
    for name in ("threads", "runtime", "median ms", "quartiles ms"):
        table.add_column(name, justify="left" if name == "runtime" else "right")
    for entry in facts["results"]:
        for t in entry["timings"]:
            low, high = t["quartiles_ms"]
            table.add_row(
                str(entry["threads"]), t["name"], f"{t['median_ms']:.3f}", f"{low:.3f} - {high:.3f}"
            )
    out.print(table)
    for entry in facts["results"]:
        for r in entry["ratios"]:
            out.print(
                f"{_threads(entry['threads'])}: {r['value']:#.3g} times as fast as {r['against']} "
                f"(95 % interval {r['low']:#.3g} to {r['high']:#.3g}): {r['verdict']}"
            )
    crowded = [e["threads"] for e in facts["results"] if e["threads"] > facts["cores"]]
    if crowded:
        cores = _count(facts["cores"], "core")
        out.print(f"[yellow]crowded[/] {max(crowded)} threads on {cores} wait for each other")
    _show_fallbacks(out, facts)


def _show_compare(out: Console, facts: Facts, everything: bool = False) -> None:
    rows = [("tensor", d) for d in facts["tensors"]] + [("output", d) for d in facts["outputs"]]
    shown = rows if everything else [(kind, d) for kind, d in rows if d["differing"]]
    if shown:
        out.print(escape(f"{facts['model']} against {facts['against']}:"))
        table = [
            {
                "": kind,
                "name": escape(_short(d["tensor"])),
                "operator": d["op"],
                "type": escape(d["type"]),
                "differing": f"{d['differing']} of {d['elements']}",
                "steps": _number(d["steps"]) if d["differing"] else "0",
                "at": escape(str(d["where"])) if d["differing"] else "",
                "ours": _number(d["edgewise"]) if d["differing"] else "",
                "theirs": _number(d["peer"]) if d["differing"] else "",
            }
            for kind, d in shown
        ]
        _print_table(out, table, spare=("type", "ours", "theirs", "at", "operator"))
    mode = "each operator from the peer's tensors" if facts["alone"] else "whole runs"
    out.print(
        f"{_count(len(facts['tensors']), 'tensor')} and "
        f"{_count(len(facts['outputs']), 'output')} compared with "
        f"{facts['against']}, {facts['path']}; inputs: {facts['inputs']}; {mode}"
    )
    if facts["not_compared"]:
        out.print(f"not given by the peer: {escape(', '.join(facts['not_compared']))}")
    first = facts["first_difference"]
    if first is None:
        out.print("all equal, bit for bit")
    else:
        out.print(
            f"first difference: {escape(first['tensor'])} ({first['op']}), "
            f"{first['differing']} of {first['elements']} elements, "
            f"at most {_steps(first['steps'])}"
        )
        worst = max((d for _, d in rows), key=_size)
        if _size(worst) > _size(first):
            out.print(
                f"greatest difference: {escape(worst['tensor'])} ({worst['op']}), "
                f"{_steps(worst['steps'])}"
            )
        verdict = "within" if facts["within_tolerance"] else "NOT within"
        out.print(f"{verdict} the tolerance of {_steps(facts['tolerance'])}")
    if not facts["program_is_right"]:
        steps = _steps(facts["program_steps"])
        out.print(f"DEFECT: the program differs from Edgewise's own reference by {steps}")


def _size(difference: Facts) -> float:
    """A difference in steps; JSON's null is infinite."""
    steps = difference["steps"]
    return math.inf if steps is None else float(steps)


def _show_doctor(out: Console, facts: Facts) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in facts["checks"]:
        mark = "[green]ok[/]" if check["ok"] else "[yellow]warn[/]"
        table.add_row(mark, check["name"], escape(check["detail"]))
    out.print(table)


_SHOWN: dict[str, Callable[..., None]] = {
    "run": _show_run,
    "inspect": _show_inspect,
    "bench": _show_bench,
    "compare": _show_compare,
    "doctor": _show_doctor,
}


def _value_facts(value: Any) -> Facts:
    return {
        "name": value.name,
        "type": str(value.type),
        "shape": list(value.type.shape),
        "dtype": str(value.type.dtype),
    }


def _short(origin: str) -> str:
    """An origin's end. Converters join the names of all tensors that went into one with ``;``."""
    names = [part.partition(";")[0] for part in origin.split("+")]
    return "+".join(f"..{name[-30:]}" if len(name) > 32 else name for name in names)


def _array(value: Facts) -> str:
    dims = "x".join(map(str, value["shape"])) or "scalar"
    return f"{value['dtype']}[{dims}]"


def _arrays(values: Sequence[Facts]) -> str:
    """Types with commas between; equal neighbours as one, with their number."""
    runs = [(text, len(list(same))) for text, same in groupby(map(_array, values))]
    return ", ".join(text if count == 1 else f"{count} x {text}" for text, count in runs)


def _threads(count: int) -> str:
    return _count(count, "thread")


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f}" if not 0 < count < 500 else "<0.001"


def _steps(number: float | None) -> str:
    return f"{_number(number)} step" if number == 1 else f"{_number(number)} steps"


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 2**20 else f"{count / 2**20:.2f} MiB"


def _number(number: float | None) -> str:
    return "infinite" if number is None else f"{number:.4g}"
