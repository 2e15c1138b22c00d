"""A diagnosis as one page that needs nothing besides itself."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from importlib.resources import files
from typing import Any

from ...exporters.files import written_whole
from ...version import __version__
from ..advice import TITLES
from ..findings import Diagnosis


def save_report(diagnosis: Diagnosis, path: str | os.PathLike[str]) -> None:
    """Write the page of a diagnosis: HTML with its style, script and figures, and no links.

    Raises:
        InputError: it cannot be written; then nothing changes.
    """
    with written_whole(os.fspath(path)) as file:
        file.write(page(diagnosis).encode("utf-8", "replace"))


def page(diagnosis: Diagnosis) -> str:
    """The page as text. The browser may run its own script, and load nothing else."""
    here = files(__package__)
    style, script = ((here / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {_hash(script)}"
    )
    parts = {
        "policy": policy,
        "title": html.escape(f"{diagnosis.name}, quantized"),
        "style": style,
        "facts": _embedded(to_facts(diagnosis)),
        "script": script,
    }
    return re.sub("@([a-z]+)@", lambda m: parts[m[1]], (here / "page.html").read_text("utf-8"))


def to_facts(diagnosis: Diagnosis) -> dict[str, Any]:
    """What the page holds: the diagnosis' facts, and what to try by rule."""
    return {**diagnosis.facts(), "titles": dict(TITLES), "edgewise": __version__}


def _embedded(facts: dict[str, Any]) -> str:
    """JSON that is safe in a script element: no ``<`` can end it."""
    return json.dumps(facts, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
