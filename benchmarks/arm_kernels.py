"""Inner loops of the aarch64 kernels: what they consist of, and llvm-mca's estimate of their speed.

    python benchmarks/arm_kernels.py [--chosen] [--markdown] [--mca PROGRAM]

Compares tiles of the kernels that dominate, and the styles of 8-bit dot product that an ARM core
without ``sdot`` offers. No ARM machine is needed: the assembly is what Edgewise emits, and llvm-mca
knows the cores' pipelines. docs/arm.md explains the tables and what was decided by them.
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
from edgewise.kernels.depthwise import Depthwise
from edgewise.kernels.dot import Mla, Mull
from edgewise.kernels.gemm import Gemm
from edgewise.kernels.ir import Value, i8, i16
from edgewise.kernels.isa import NEON, NEONDOT, Isa
from edgewise.kernels.qdepthwise import QDepthwise
from edgewise.kernels.qgemm import QGemm
from edgewise.kernels.wgemm import WGemm

CORES = ("cortex-a53", "cortex-a55", "cortex-a76", "cortex-x1")
PRODUCTS = {
    **dict.fromkeys(("smull", "smull2", "smlal", "smlal2", "mla", "fmla"), 1),
    "sdot": 4,
    "sadalp": 0,
}
"""Instructions that multiply or add products, and how many products make a lane of the result."""

MOVES = frozenset(("mov", "ext", "zip1", "zip2", "uzp1", "uzp2", "trn1", "trn2", "tbl", "dup"))
ITERATIONS = 100

Tile = tuple[int, int]
Variant = QGemm | QDepthwise | Gemm | Depthwise | WGemm


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
    """A kernel, how its products are made, and its shape: of a tile, or a window and a block."""

    style: str
    shape: str
    variant: Variant
    chosen: bool = False


@dataclass(frozen=True)
class Family:
    """Kernels to compare."""

    title: str
    candidates: tuple[Candidate, ...]


def tiled(
    style: str,
    kind: type[QGemm | Gemm | WGemm],
    isa: Isa,
    tiles: Iterable[Tile],
    used: Sequence[Tile],
) -> list[Candidate]:
    """A candidate for each (mr, nv); those in ``used`` are what plans choose from."""
    found = []
    for tile in tiles:
        v = kind(isa, *tile)
        found.append(Candidate(style, f"{v.mr}x{v.nr}", v, tile in used))
    return found


def families() -> list[Family]:
    by_element = replace(NEON, gemm=ByElement(4))
    separate = replace(NEON, gemm=Mull(4, joined=False))
    tiles = [(4, 4), (5, 4), (3, 4), (6, 2), (8, 2), (1, 4), (1, 8)]
    real_tiles = [(4, 4), (5, 4), (6, 4), (6, 3), (7, 3), (8, 2), (10, 2), (2, 8), (1, 8), (1, 4)]
    words = [(4, 4), (5, 4), (6, 4), (6, 2), (8, 2), (9, 2), (10, 2), (1, 4), (1, 8)]
    plain, dotted = NEON.costs, NEONDOT.costs
    bytes_ = [
        Candidate(
            "smlal",
            f"3x3 stride {stride}, {v.block}" if stride else f"any, {v.block}",
            v,
            nv in plain.depthwise,
        )
        for stride in (1, 2, None)
        for nv in (2, 4)
        for v in [QDepthwise(NEON, nv, stride)]
    ]
    floats = [
        Candidate(
            "fmla", f"{run} taps stride {stride}, {n}x4", Depthwise(NEON, n, 4, run, stride), True
        )
        for run, stride in ((3, 1), (3, 2), (5, 1))
        for n in (4, 6, 8)
    ]
    return [
        Family(
            "8-bit product, NEON",
            (
                *tiled("smlal by element", QGemm, by_element, tiles, ()),
                *tiled("smull, sadalp", QGemm, separate, tiles, ()),
                *tiled("smull, smlal2, sadalp", QGemm, NEON, tiles, plain.tiles),
            ),
        ),
        Family(
            "8-bit product, NEON with dotprod",
            (*tiled("sdot", QGemm, NEONDOT, [*tiles, (6, 4), (9, 2)], dotted.tiles),),
        ),
        Family("8-bit depthwise", tuple(bytes_)),
        Family(
            "float32 product",
            (*tiled("fmla by element", Gemm, NEON, real_tiles, plain.floats.tiles),),
        ),
        Family("float32 depthwise", tuple(floats)),
        Family(
            "int16 by 8-bit product, NEON",
            (*tiled("smlal by element", WGemm, NEON, words, plain.tiles),),
        ),
        Family(
            "int16 by 8-bit product, NEON with dotprod",
            (*tiled("smlal by element", WGemm, NEONDOT, words, dotted.tiles),),
        ),
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
    return max(bodies, key=lambda body: sum(opcode(line) in PRODUCTS for line in body))


def opcode(line: str) -> str:
    return line.split()[0]


def products(line: str) -> int:
    """The multiply-adds of an instruction: lanes of its result, times what each sums."""
    lanes = re.match(r"\w+\s+v\d+\.(\d+)[hsd],", line)
    return PRODUCTS.get(opcode(line), 0) * int(lanes[1]) if lanes else 0


def cycles(mca: str, body: Sequence[str], core: str) -> float:
    """Cycles of one iteration in llvm-mca's simulation, its loads hitting the first cache."""
    command = [mca, "-mtriple=aarch64-linux-gnu", f"-mcpu={core}", "-mattr=+dotprod"]
    command += [f"-iterations={ITERATIONS}"]
    done = subprocess.run(command, input="\n".join(body), capture_output=True, text=True)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if done.returncode or not found:
        sys.exit(f"{mca} failed for {core}: {done.stderr.strip()}")
    return int(found[1]) / ITERATIONS


def row(candidate: Candidate, mca: str) -> list[str]:
    v = candidate.variant
    target = Target("aarch64-unknown-linux-gnu", "generic", tuple(sorted(v.isa.features)))
    body = inner_loop(assembly(v.build(), target))
    counts = Counter(map(opcode, body))
    multiplies, macs = sum(counts[x] for x in PRODUCTS), sum(map(products, body))
    return [
        candidate.style,
        candidate.shape,
        "yes" if candidate.chosen else "",
        str(len(body)),
        f"{100 * multiplies / len(body):.0f}%",
        str(sum(counts[x] for x in MOVES)),
        str(sum("[sp" in line for line in body)),
        *(f"{cycles(mca, body, core) / macs:.3f}" for core in CORES),
    ]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    if markdown:
        print(f"**{title}**\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
        print("".join(f"| {' | '.join(cells)} |\n" for cells in rows))
        return
    table = Table(title=title, title_justify="left")
    for name in header:
        left = name in ("kernel", "instructions", "shape")
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
    parser.add_argument("--chosen", action="store_true", help="only what plans choose from")
    parser.add_argument("--markdown", action="store_true", help="print tables for docs/")
    parser.add_argument("--mca", help="the llvm-mca to run (default: the newest on the path)")
    options = parser.parse_args()
    mca = options.mca or find_mca()
    version = subprocess.run([mca, "--version"], capture_output=True, text=True).stdout
    release = re.search(r"LLVM version (\S+)", version)
    print(f"llvm-mca of LLVM {release[1] if release else 'unknown'}; cycles per multiply-add\n")
    header = ["instructions", "shape", "in use", "in loop", "multiply", "moves", "stack"]
    header += [core.removeprefix("cortex-") for core in CORES]
    tables = {
        f.title: [row(c, mca) for c in f.candidates if c.chosen or not options.chosen]
        for f in families()
    }
    if options.chosen:
        rows = [[title, *cells] for title, table in tables.items() for cells in table]
        used = header.index("in use") + 1
        header = ["kernel", *header]
        tables = {"Kernels in use": [r[:used] + r[used + 1 :] for r in rows]}
        del header[used]
    for title, rows in tables.items():
        show(title, header, rows, options.markdown)


if __name__ == "__main__":
    main()
