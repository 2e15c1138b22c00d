"""What the shell completes: the words that options know."""

from __future__ import annotations

import pytest
import typer.main
from typer.testing import CliRunner

from edgewise.cli import app
from edgewise.codegen.target import host
from edgewise.data import METRICS
from edgewise.quantizer.observers import OBSERVERS
from edgewise.tools.doctor import available_isas
from edgewise.tools.peers import PEERS


def completed(line: str) -> list[str]:
    """What bash is given for the last word of a line."""
    words = line.split(" ")
    env = {
        "_EDGEWISE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, [], prog_name="edgewise", env=env)
    assert result.exit_code == 0
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run x y --power p", ["performance", "powersave"]),
        ("run x y --affinity ", ["all", "big", "little"]),
        ("inspect x --requantization ", ["float", "fixed_point"]),
        ("profile x --precision ", ["bf16"]),
        ("tune x --isa ", available_isas(host())),
        ("run x y --fit ", ["crop", "stretch"]),
        ("evaluate x y --fit s", ["stretch"]),
        ("run x y --pixels ", ["imagenet"]),
        ("bench x --against open", ["opencv", "openvino", "openvino-default"]),
        ("compare x --against t", ["torch"]),
        ("bisect x --against re", ["reference"]),
        ("quantize x --mode i", ["int8", "int16x8", "int4"]),
        ("quantize x --observer ", list(OBSERVERS)),
        ("quantize x --inputs u", ["uint8"]),
        ("quantize x --outputs int", ["int8", "int16"]),
        ("quantize x --metric ", list(METRICS)),
        ("evaluate x y --metric top1,m", ["top1,miou", "top1,mse"]),
        ("evaluate x y --engine n", ["native", "ncnn"]),
        ("evaluate x y --engine edgewise,lite", ["edgewise,litert"]),
        ("quantize x --mode nothing", []),
    ],
)
def test_words_of_options(line: str, words: list[str]) -> None:
    assert completed(f"edgewise {line}") == words


def test_commands_and_names_of_options() -> None:
    assert completed("edgewise qu") == ["quantize"]
    assert completed("edgewise quantize x --max-d") == ["--max-drop"]


def test_help_names_the_words() -> None:
    """A word that the shell offers for an option of few stands in that option's help."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = {
        ("quantize", "--mode"): set(completed("edgewise quantize x --mode ")) - {"float32"},
        ("quantize", "--observer"): set(OBSERVERS),
        ("quantize", "--inputs"): set(completed("edgewise quantize x --inputs ")),
        ("run", "--power"): set(completed("edgewise run x y --power ")),
        ("run", "--requantization"): set(completed("edgewise run x y --requantization ")),
        ("evaluate", "--engine"): set(completed("edgewise evaluate x y --engine "))
        - {"openvino-default"},
        ("evaluate", "--metric"): set(METRICS),
        ("bench", "--against"): set(PEERS),
    }
    for (command, option), words in named.items():
        (text,) = (p.help for p in commands[command].params if option in p.opts)
        assert not {word for word in words if word not in text}, (command, option)
