"""Options that several commands take, and what their words mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .. import models
from ..errors import InputError
from . import words
from .words import completing, one_of

MAX_THREADS, MAX_DIGITS = 64, 19

PIXELS = {
    "imagenet": tuple(
        (end - mean) / std
        for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
        for end in (0.0, 1.0)
    )
}
"""Names for --pixels: ``imagenet`` is what torchvision's networks were trained with."""

MODELS = (
    "A .tflite, .onnx, .prototxt or .caffemodel, .param or .bin, or .pt2 file; or cifar10, a "
    "network that comes with Edgewise."
)


def model_file(text: str) -> Path:
    """A file; where there is none, ``text`` may name a network that comes with Edgewise."""
    file = Path(text)
    return models.path(text) if text in models.NAMES and not file.exists() else file


Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help=MODELS, show_default=False, parser=model_file),
]
Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        help="Pictures, .npy arrays, or .npz files that hold all inputs by name.",
        show_default=False,
    ),
]
Threads = Annotated[
    str, typer.Option("--threads", metavar="N", help="Threads to run on; auto: as many as cores.")
]
Affinity = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="CPUS",
        help="Cores to run on: all, big, little, or numbers such as 0,2-3.",
        autocompletion=completing(lambda: words.AFFINITIES),
    ),
]
Power = Annotated[
    str,
    typer.Option(
        "--power",
        metavar="POLICY",
        help="performance, balanced or powersave: how long threads wait awake for work.",
        autocompletion=completing(words.powers),
    ),
]
IsaName = Annotated[
    str | None,
    typer.Option(
        "--isa",
        metavar="NAME",
        help="Instruction set; see edgewise doctor.",
        autocompletion=completing(words.isas),
    ),
]
Signature = Annotated[
    str | None,
    typer.Option("--signature", metavar="NAME", help="Which of the file's networks."),
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="INPUT=N,...",
        help="Another shape of an input, such as picture=1,320,320,3; may be repeated.",
    ),
]
Dims = Annotated[
    list[str] | None,
    typer.Option(
        "--dim",
        metavar="NAME=SIZE",
        help="The size of a symbolic dimension, such as batch=4; may be repeated.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="The file of weights of a Caffe or ncnn network, where its name is another.",
    ),
]
ChannelsLast = Annotated[
    bool,
    typer.Option(
        "--channels-last",
        help="Inputs and outputs that are images have their channels last, whatever the file says.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse operators without a kernel.")]
Requantization = Annotated[
    str,
    typer.Option(
        "--requantization",
        metavar="RULE",
        help="How sums of integers become 8 bits: float, or fixed_point as microcontrollers do.",
        autocompletion=completing(words.requantizations),
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="TYPE",
        help="bf16: products of float32 may round their operands to bfloat16.",
        autocompletion=completing(words.float_precisions),
    ),
]
Pixels = Annotated[
    str | None,
    typer.Option(
        "--pixels",
        metavar="LOW,HIGH",
        help="What black and white become, such as 0,1; of each channel in turn, if more than two "
        "numbers; or imagenet. Default: the model's metadata, else what its input's quantization "
        "suggests, else -1,1.",
        autocompletion=completing(lambda: PIXELS),
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="HOW",
        help="crop or stretch pictures, as run does.",
        **one_of("--fit", lambda: words.FITS),
    ),
]
InputFiles = Annotated[
    list[Path] | None,
    typer.Option("--inputs", metavar="FILE", help="A picture, .npy or .npz; may be repeated."),
]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tolerance", metavar="STEPS", min=0.0, help="Quantization steps that may differ."
    ),
]
Verify = Annotated[
    bool | None,
    typer.Option(
        "--verify/--no-verify",
        help="Run what is to be written in LiteRT first. Default: where LiteRT is installed.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of random inputs.")]


def parse_threads(text: str, affinity: str | None = None, power: str = "balanced") -> int:
    if text.strip() == "auto":
        from ..codegen.policy import decide

        return min(decide("auto", affinity, power).threads, MAX_THREADS)
    if not _is_number(text) or not 1 <= int(text) <= MAX_THREADS:
        raise InputError(f"--threads {text}: a whole number from 1 to {MAX_THREADS}, or auto")
    return int(text)


def parse_shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs by name, from the words INPUT=N,..."""
    found = {}
    for text in texts or ():
        name, _, sizes = text.rpartition("=")
        parts = [size.strip() for size in sizes.split(",")]
        if not name or not all(_is_number(size) and int(size) > 0 for size in parts):
            raise InputError(f"--shape {text}: an input's name, =, and whole numbers with commas")
        found[name] = tuple(map(int, parts))
    return found


def parse_dims(texts: Sequence[str] | None) -> dict[str, int]:
    """Sizes of symbolic dimensions by name, from the words NAME=SIZE."""
    found = {}
    for text in texts or ():
        name, _, size = text.rpartition("=")
        if not name or not _is_number(size):
            raise InputError(f"--dim {text}: a dimension's name, =, and a whole number")
        found[name] = int(size)
    return found


def _is_number(text: str) -> bool:
    """Whether a word is a whole number, of no more digits than sizes have."""
    return text.strip().isdecimal() and len(text) <= MAX_DIGITS


def parse_pixels(text: str | None) -> tuple[float, ...] | None:
    """What black and white become, from --pixels: LOW,HIGH, or those of each channel; a name."""
    if text is None:
        return None
    if text in PIXELS:
        return PIXELS[text]
    try:
        ends = tuple(map(float, text.split(",")))
    except ValueError:
        ends = ()
    if not ends or len(ends) % 2:
        known = ", ".join(PIXELS)
        raise InputError(f"--pixels {text}: two numbers with a comma between, or {known}") from None
    pairs = zip(ends[::2], ends[1::2], strict=True)
    if not all(low < high and math.isfinite(high - low) for low, high in pairs):
        raise InputError(f"--pixels {text}: the first must be lower, and both finite")
    return ends
