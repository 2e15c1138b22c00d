"""The pages say what is: links, files, quoted code, versions, the generated page."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import edgewise
from test_runtime_shapes import two_networks

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src/edgewise"
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
PLACES = (ROOT, SOURCE, ROOT / "docs", ROOT / "tests/importers")
"""Folders from which pages name files."""

page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def field(name: str) -> str:
    """A string of pyproject.toml's [project] table."""
    found = re.search(rf'^{name} = "(.+)"$', read(ROOT / "pyproject.toml"), re.MULTILINE)
    assert found is not None
    return found[1]


def anchors(text: str) -> set[str]:
    """The fragments that headings make."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", read(page)):
        if target.startswith("https://"):
            continue
        name, _, fragment = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not fragment or fragment in anchors(read(path)), target


@page
def test_named_files_exist(page: Path) -> None:
    for name in re.findall(r"`([\w./-]+\.(?:py|md|toml|svg))`", read(page)):
        assert any((place / name).exists() for place in PLACES), name


def test_code_of_the_networks_page_runs(tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(two_networks())
    blocks = re.findall(r"```python\n(.+?)```", read(ROOT / "docs/networks.md"), re.DOTALL)
    names = {"ew": edgewise, "path": path, "x": np.zeros((1, 3), np.float32)}
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)


@page
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    pattern = r"(?<![\w.$}])/(?:home|Users|root|work|tmp|usr|opt|mnt|var)/\S*|[A-Z]:\\\w+"
    assert re.findall(pattern, read(page)) == []


def test_the_readme_lists_every_page() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\(\1\) \|", read(ROOT / "README.md"), re.MULTILINE)
    pages = {str(path.relative_to(ROOT)) for path in PAGES} - {"README.md"}
    assert sorted(listed) == sorted(pages)


def test_every_source_file_stands_once_in_architecture() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \|", read(ROOT / "docs/architecture.md"), re.MULTILINE)
    files = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")]
    assert sorted(rows) == sorted(files)


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", read(path), re.DOTALL)


def parts(block: str) -> list[str]:
    """The pieces of a quotation between lines of dots, without the line that names the file."""
    pieces = re.split(r"^ *\.\.\.\n", block.partition("\n")[2], flags=re.MULTILINE)
    return [piece.strip("\n") + "\n" for piece in pieces]


@page
def test_python_compiles(page: Path) -> None:
    for block in blocks(page):
        code = block.partition("\n")[2] if block.startswith("# ") else block
        compile(textwrap.dedent(code), page.name, "exec")


QUOTATIONS = [b for b in blocks(ROOT / "docs/extending.md") if b.startswith("# ")]


@pytest.mark.parametrize("block", QUOTATIONS, ids=lambda b: b.splitlines()[0][2:])
def test_quoted_code_is_the_code(block: str) -> None:
    name = block.splitlines()[0][2:]
    (path,) = [place / name for place in (ROOT, SOURCE) if (place / name).exists()]
    for part in parts(block):
        assert part in read(path)


def test_quotations_are_found() -> None:
    assert len(QUOTATIONS) == len(blocks(ROOT / "docs/extending.md")) > 10


def test_operators_page_is_what_the_code_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    import generate_operators

    stale = "run: python docs/generate_operators.py"
    assert read(ROOT / "docs/operators.md") == generate_operators.page(), stale


def test_versions_agree() -> None:
    version = field("version")
    assert edgewise.__version__ == version
    assert f"\n## [{version}]" in read(ROOT / "CHANGELOG.md")
