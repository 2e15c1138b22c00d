"""Inner loops of the aarch64 kernels: what they consist of, and llvm-mca's estimate of their speed.

    python benchmarks/arm_kernels.py [--markdown] [--mca PROGRAM]

Compares the styles of 8-bit dot product that an ARM core without ``sdot`` offers, in the tile
shapes of a matrix product, then shows the depthwise kernels. No ARM machine is needed: the
assembly is what Edgewise emits, and llvm-mca knows the cores' pipelines. docs/arm.md explains the
table and what was decided by it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from edgewise.codegen.jit import assembly
from edgewise.codegen.target import Target
from edgewise.kernels.dot import Mla, Mull
from edgewise.kernels.ir import Value, i8, i16
from edgewise.kernels.isa import NEON, NEONDOT, Isa
from edgewise.kernels.qdepthwise import QDepthwise
from edgewise.kernels.qgemm import QGemm

CORES = {
    "neon": ("cortex-a53", "cortex-a55", "cortex-a72", "cortex-x1"),
    "neondot": ("cortex-a55", "cortex-a76", "cortex-x1"),
}
MULTIPLIES = frozenset(("smlal", "smlal2", "smull", "smull2", "sadalp", "sdot", "mla"))
MOVES = frozenset(("mov", "ext", "zip1", "zip2", "uzp1", "uzp2", "trn1", "trn2", "tbl", "dup"))
ITERATIONS = 100


class ByElement(Mla):
    """The style that lost: A gathered as int16, B widened by sshll, smlal by element of A."""

    ku = 8

    def load_a(self, address: Value) -> list[Value]:
        row = address.load(i16[8])
        return [row.shuffle([i] * 4) for i in range(8)]

    def load_b(self, address: Value, nv: int) -> list[Value]:
        wide = [(address + 8 * j).load(i8[8]).to(i16[8]) for j in range(nv // 2)]
        return [w.part(half, 4) for w in wide for half in range(2)]


@dataclass(frozen=True)
class Candidate:
    """A kernel, and how many multiply-adds its inner loop does an iteration."""

    style: str
    variant: QGemm | QDepthwise
    products: int

    @property
    def shape(self) -> str:
        v = self.variant
        if isinstance(v, QGemm):
            return f"{v.mr}x{v.nr}"
        return f"3x3 stride {v.stride}, {v.block}" if v.stride else f"any, {v.block}"


def gemms(style: str, isa: Isa, tiles: Iterable[tuple[int, int]], gather: bool) -> list[Candidate]:
    dot = isa.gemm
    return [
        Candidate(style, QGemm(isa, mr, nv, gather), mr * nv * isa.lanes * dot.kr * dot.ku)
        for mr, nv in tiles
    ]


def candidates() -> list[Candidate]:
    tiles = [(4, 4), (5, 4), (3, 4), (6, 2), (8, 2), (1, 4), (1, 8)]
    by_element = replace(NEON, gemm=ByElement(4))
    separate = replace(NEON, gemm=Mull(4, joined=False))
    depthwise = [
        Candidate("smlal", QDepthwise(NEON, nv, stride), nv * NEON.lanes * (9 if stride else 1))
        for stride in (1, 2, None)
        for nv in (2, 4)
    ]
    return [
        *gemms("smlal by element", by_element, tiles, gather=True),
        *gemms("smull, sadalp", separate, tiles, gather=False),
        *gemms("smull, smlal2, sadalp", NEON, tiles, gather=False),
        *gemms("sdot", NEONDOT, [*tiles, (6, 4), (9, 2)], gather=False),
        *depthwise,
    ]


def inner_loop(text: str) -> list[str]:
    """The instructions of the innermost loop with the most multiply-adds of an assembly text."""
    lines = [line.strip() for line in text.splitlines()]
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.fullmatch(r"\.L\w+:", line)}
    loops = []
    for end, line in enumerate(lines):
        branch = re.match(r"(?:b|b\.\w+|cbn?z|tbn?z)\s.*?(\.L\w+)$", line)
        if branch and labels[branch[1]] < end:
            loops.append((labels[branch[1]], end))
    innermost = [
        (start, end)
        for start, end in loops
        if not any(start <= s and e <= end and (s, e) != (start, end) for s, e in loops)
    ]
    bodies = [
        [line for line in lines[start + 1 : end + 1] if re.match(r"[a-z]", line)]
        for start, end in innermost
    ]
    return max(bodies, key=lambda body: sum(opcode(line) in MULTIPLIES for line in body))


def opcode(line: str) -> str:
    return line.split()[0]


def cycles(mca: str, body: Sequence[str], core: str) -> float:
    """Cycles of one iteration in llvm-mca's simulation, its loads hitting the first cache."""
    command = [mca, "-mtriple=aarch64-linux-gnu", f"-mcpu={core}", "-mattr=+dotprod"]
    command += [f"-iterations={ITERATIONS}"]
    done = subprocess.run(command, input="\n".join(body), capture_output=True, text=True)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if done.returncode or not found:
        sys.exit(f"{mca} failed for {core}: {done.stderr.strip()}")
    return int(found[1]) / ITERATIONS


def row(candidate: Candidate, mca: str, cores: Sequence[str]) -> list[str]:
    v = candidate.variant
    target = Target("aarch64-unknown-linux-gnu", "generic", tuple(sorted(v.isa.features)))
    body = inner_loop(assembly(v.build(), target))
    counts = Counter(map(opcode, body))
    multiplies = sum(counts[x] for x in MULTIPLIES)
    return [
        candidate.style,
        candidate.shape,
        str(len(body)),
        f"{100 * multiplies / len(body):.0f}%",
        str(sum(counts[x] for x in MOVES)),
        str(sum("[sp" in line for line in body)),
        *(f"{cycles(mca, body, core) / candidate.products:.3f}" for core in cores),
    ]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    if markdown:
        print(f"{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
        print("".join(f"| {' | '.join(cells)} |\n" for cells in rows))
        return
    table = Table(title=title, title_justify="left")
    for name in header:
        left = name in ("instructions", "shape")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    Console(width=max(Console().width, 110)).print(table)


def find_mca() -> str:
    """The newest llvm-mca there is: cores' models have improved."""
    versioned = (shutil.which(f"llvm-mca-{n}") for n in range(40, 13, -1))
    found = next((path for path in versioned if path), None) or shutil.which("llvm-mca")
    if not found:
        sys.exit(
            "llvm-mca is missing. It is a part of LLVM: on Debian or Ubuntu, apt-get install "
            "llvm-22 (or llvm); elsewhere give its path by --mca."
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="print tables for docs/arm.md")
    parser.add_argument("--mca", help="the llvm-mca to run (default: the newest on the path)")
    options = parser.parse_args()
    mca = options.mca or find_mca()
    version = subprocess.run([mca, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"LLVM version (\S+)", version)
    print(f"llvm-mca of LLVM {found[1] if found else 'unknown'}; cycles per multiply-add\n")
    everything = candidates()
    for title, isa, kind in [
        ("Matrix product, NEON", NEON, QGemm),
        ("Matrix product, NEON with dotprod", NEONDOT, QGemm),
        ("Depthwise, NEON", NEON, QDepthwise),
    ]:
        chosen = [
            c for c in everything if c.variant.isa.name == isa.name and isinstance(c.variant, kind)
        ]
        cores = CORES[isa.name]
        header = ["instructions", "shape", "in loop", "multiply", "moves", "stack"]
        header += [core.removeprefix("cortex-") for core in cores]
        show(title, header, [row(c, mca, cores) for c in chosen], options.markdown)


if __name__ == "__main__":
    main()
