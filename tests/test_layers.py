"""Imports point downward: the layers of the package as a table."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgewise

SOURCE = Path(edgewise.__file__).parent

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "version"),
    ("aligned", "dtype", "models", "timing"),
    ("graph",),
    ("ops",),
    ("importers", "passes"),
    ("exporters",),
    ("plan",),
    ("codegen",),
    ("execution",),
    ("profiling",),
    ("runtime",),
    ("custom", "data", "tuner"),
    ("quantizer",),
    ("edgewise",),
    ("tools",),
    ("cli",),
)
"""From the lowest. A module imports from its own part and from lower rows; ``edgewise`` is the
public API in __init__.py."""

KERNELS = ("errors", "kernels")
"""What kernels may import: they know instruction sets and pointers, not graphs."""

KERNEL_USERS = {
    "plan": "kernels",
    "codegen": "kernels",
    "execution": "kernels.isa",
    "runtime": "kernels.isa",
    "tuner": "kernels.isa",
    "tools": "kernels.isa",
}
"""Who may import kernels, and which of their modules: others only choose an instruction set."""

RANK = {part: rank for rank, row in enumerate(LAYERS) for part in row}
HEAVY = ("PIL", "ai_edge_litert", "flatbuffers", "llvmlite", "openvino", "rich", "tflite", "typer")


def modules() -> dict[str, Path]:
    """Every module's name without the leading ``edgewise.``; the package itself is ''."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def part(module: str) -> str:
    return module.split(".")[0] or "edgewise"


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """The modules of the package that ``module`` imports, save for TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            yield from _targets(module, node)
        elif isinstance(node, ast.Import):
            names = (alias.name.partition(".") for alias in node.names)
            yield from (rest for top, _, rest in names if top == "edgewise")
        yield from imports(module, node)


def _targets(module: str, node: ast.ImportFrom) -> Iterator[str]:
    if node.level:
        is_package = MODULES[module].name == "__init__.py"
        above = module.split(".") if module else []
        above = above[: len(above) + is_package - node.level]
        base = ".".join([*above, *filter(None, [node.module])])
    elif node.module and node.module.split(".")[0] == "edgewise":
        base = node.module.partition(".")[2]
    else:
        return
    for alias in node.names:
        name = f"{base}.{alias.name}".lstrip(".")
        yield name if name in MODULES else base


def broken_rule(module: str, target: str) -> str | None:
    """Why ``module`` may not import ``target``; None where it may."""
    source, wanted = part(module), part(target)
    if source == wanted:
        return None
    if source == "kernels":
        return None if wanted in KERNELS else f"kernels import only {KERNELS}"
    if wanted == "kernels":
        allowed = KERNEL_USERS.get(source)
        inside = allowed is not None and f"{target}.".startswith(f"{allowed}.")
        return None if inside else f"of kernels, {source} may import {allowed}"
    return None if RANK[wanted] < RANK[source] else f"{wanted} is not below {source}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    source = part(module)
    assert source == "kernels" or source in RANK, f"{source} has no row in LAYERS"
    tree = ast.parse(MODULES[module].read_text())
    targets = dict.fromkeys(imports(module, tree))
    broken = {target: rule for target in targets if (rule := broken_rule(module, target))}
    assert not broken


@pytest.mark.parametrize(
    ("module", "code", "targets"),
    [
        ("plan.select", "from ..graph import Graph", ["graph"]),
        ("plan.select", "from . import memory, Plan", ["plan.memory", "plan"]),
        ("plan.select", "from ..kernels import isa", ["kernels.isa"]),
        ("plan", "from .. import passes", ["passes"]),
        ("plan", "from .memory import Slot", ["plan.memory"]),
        ("", "def load():\n    from .runtime import Program", ["runtime"]),
        ("runtime", "from . import __version__", [""]),
        ("runtime", "import edgewise.plan, numpy", ["plan"]),
        ("runtime", "from edgewise.plan import Plan", ["plan"]),
        ("graph", "if TYPE_CHECKING:\n    from .ops import Op", []),
        ("graph", "import numpy as np\nfrom dataclasses import field", []),
    ],
)
def test_imports_are_found(module: str, code: str, targets: list[str]) -> None:
    assert list(imports(module, ast.parse(code))) == targets


@pytest.mark.parametrize(
    ("module", "target", "allowed"),
    [
        ("graph", "dtype", True),
        ("dtype", "graph", False),
        ("passes.rewrite", "importers", False),
        ("kernels.isa", "graph", False),
        ("passes", "kernels.isa", False),
        ("plan.select", "kernels.qgemm", True),
        ("runtime", "kernels.isa", True),
        ("runtime", "kernels.qgemm", False),
        ("runtime", "", False),
        ("cli", "", True),
    ],
)
def test_the_rule_itself(module: str, target: str, allowed: bool) -> None:
    assert (broken_rule(module, target) is None) is allowed


def test_importing_the_package_is_light() -> None:
    code = f"import sys, edgewise; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_rare_operators_are_imported_when_asked_for() -> None:
    code = (
        "import sys, edgewise; from edgewise import ops\n"
        "loaded = lambda: 'edgewise.ops.rare' in sys.modules\n"
        "before = loaded(); ops.Svdf; print(before, loaded(), hasattr(ops, 'Missing'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "True", "False"]
    assert all(getattr(edgewise.ops, name) for name in edgewise.ops.__all__)
