"""What a diagnosis holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .layer_times import Times
from .precision import Range
from .sums import Activations, Error

SCHEMA = 1
"""Raised when a field of the facts changes its meaning or goes."""

INPUT = "INPUT"
"""What stands in place of the operator for a network's input."""


@dataclass(frozen=True)
class WeightFacts:
    """A layer's weights before and after.

    Attributes:
        type, bits: of a quantized weight.
        sqnr: of the weights alone, dB; None where nothing differs.
        channels: of the output channels' largest magnitudes: least, quartiles, greatest.
        spread: how many times wider the widest channel is than the median one.
        per_channel: whether each output channel has a scale of its own.
        alone: the error of the layer's result where nothing but its weights is quantized.
    """

    type: str
    bits: int
    sqnr: float | None
    channels: tuple[float, float, float, float, float]
    spread: float
    per_channel: bool
    alone: Error | None


@dataclass(frozen=True)
class Advice:
    """What to try: the rule that says so, and its reason here."""

    rule: str
    text: str


@dataclass(frozen=True)
class Layer:
    """A layer, or an input of the network, before and after.

    Attributes:
        name: of its first output, which is what is measured.
        inputs: the numbers of the layers whose first outputs it reads.
        precision: what it is computed in.
        left: why it stayed in float, where another precision was wanted.
        isolated: its error where it alone is quantized: given the float network's tensors. None
            where it is not quantized, or its result is no real number.
        accumulated: the error of the whole quantized network here.
        activations: its float values and their range; None where they are no real numbers.
        weights: None where it has none, or they stay as they are.
        float_bytes, quantized_bytes: of its constants.
    """

    name: str
    op: str
    inputs: tuple[int, ...]
    precision: str
    left: str | None
    isolated: Error | None
    accumulated: Error | None
    activations: Activations | None
    weights: WeightFacts | None
    macs: int
    float_bytes: int
    quantized_bytes: int
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True)
class Output:
    """An output of the network and its error."""

    name: str
    error: Error


@dataclass(frozen=True)
class Histogram:
    """How often float values of a tensor lie in bins of equal width.

    Attributes:
        layer: its number.
        of: "activations" or "weights".
        low, high: where the first bin begins and the last one ends.
        chosen: the real numbers that the integers span.
    """

    layer: int
    of: str
    low: float
    high: float
    counts: tuple[int, ...]
    chosen: Range


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        name: of the network.
        samples: how many were looked at.
        float_bytes, quantized_bytes: of the .tflite files; None where there can be none.
        layers: in order, the network's inputs first.
        times: None where they were not measured.
        histograms: of the layers with the lowest SQNR in isolation, lowest first.
        advice: on the network as a whole.
    """

    name: str
    samples: int
    float_bytes: int | None
    quantized_bytes: int | None
    outputs: tuple[Output, ...]
    layers: tuple[Layer, ...]
    times: Times | None
    histograms: tuple[Histogram, ...]
    advice: tuple[Advice, ...] = ()

    def facts(self) -> dict[str, Any]:
        """All of it as JSON knows it; ``schema`` tells its version."""
        return {"schema": SCHEMA, **asdict(self)}

    def worst(self, count: int) -> list[int]:
        """The numbers of the layers with the lowest SQNR in isolation, lowest first."""
        return worst(self.layers, count)


def worst(rows: Sequence[Layer], count: int) -> list[int]:
    """The numbers of the rows with the lowest SQNR in isolation, lowest first."""
    known = [
        (row.isolated.sqnr, i)
        for i, row in enumerate(rows)
        if row.isolated is not None and row.isolated.sqnr is not None
    ]
    return [i for _, i in sorted(known)[:count]]
