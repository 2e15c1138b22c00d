"""What to try: rules that read a diagnosis. Each is a row; a new one needs no other change."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..exporters.requantize import FIXED
from .findings import INPUT, Advice, Diagnosis, Layer
from .layer_times import Timing
from .precision import Precision
from .sums import Error

GOOD = 25.0
"""A layer in isolation, and an output, with more dB than this is none to worry about."""

BAD = 15.0
"""An output with fewer dB is unlikely to serve."""

MUCH = 6.0
"""So many dB more noise than there should be are a bit lost."""

FEW = 16
"""Fewer samples say little."""

EIGHT_BIT = (Precision.INT8.value, Precision.UINT8.value)


def decibels_of(error: Error | None) -> float:
    """An SQNR; infinite where nothing differs, or nothing is known."""
    return math.inf if error is None or error.sqnr is None else error.sqnr


@dataclass(frozen=True)
class Seen:
    """A layer as the rules see it: its figures, where nothing is known those of no trouble.

    Attributes:
        sqnr: in isolation, dB.
        is_weak: whether that is poor, or below the median of a network whose outputs are poor.
        gain: how many dB more noise there is than what it adds to that of its operands; 0 where
            neither the layer nor an output of the network is poor for it.
    """

    layer: Layer
    sqnr: float
    is_weak: bool
    gain: float

    @property
    def clipped(self) -> float:
        return self.layer.activations.clipped if self.layer.activations else 0.0

    @property
    def peak(self) -> float:
        return self.layer.activations.peak if self.layer.activations else 0.0

    @property
    def spread(self) -> float:
        return self.layer.activations.spread if self.layer.activations else 1.0

    @property
    def weight_spread(self) -> float:
        return self.layer.weights.spread if self.layer.weights else 1.0

    @property
    def of_weights(self) -> float:
        """The share of the layer's own noise that there is with its weights alone quantized."""
        found = self.layer.weights.alone if self.layer.weights else None
        return min(10 ** ((self.sqnr - decibels_of(found)) / 10), 1.0)

    @property
    def shift(self) -> float:
        return self.layer.isolated.shift if self.layer.isolated and self.layer.weights else 0.0

    @property
    def beyond(self) -> float:
        """How far values lie outside of the chosen range, in widths of it."""
        a = self.layer.activations
        if a is None or a.chosen is None or a.chosen.high <= a.chosen.low:
            return 0.0
        most = max(a.observed.high - a.chosen.high, a.chosen.low - a.observed.low)
        return most / (a.chosen.high - a.chosen.low)

    @property
    def is_free(self) -> bool:
        """Whether the range is a choice, and not that of the operator's results."""
        return self.layer.op not in {op.name for op in FIXED}

    @property
    def unused(self) -> float:
        """The share of the chosen range in which no value was observed."""
        a = self.layer.activations
        if a is None or a.chosen is None or a.chosen.high <= a.chosen.low:
            return 0.0
        low, high = max(a.observed.low, a.chosen.low), min(a.observed.high, a.chosen.high)
        return 1 - max(high - low, 0.0) / (a.chosen.high - a.chosen.low)


@dataclass(frozen=True)
class Rule:
    """A condition and what to try where it holds.

    Attributes:
        title: what to try, in a few words.
        steps: of a recipe, those any of which does it: where one was done, the rule is silent.
        applies: whether it holds for a layer.
        reason: why, for a layer for which it holds; it states the measured figure.
    """

    name: str
    title: str
    steps: tuple[str, ...]
    applies: Callable[[Seen], bool]
    reason: Callable[[Seen], str]


def _operands(x: Seen) -> str:
    numbers = x.layer.inputs
    return f"layer{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _is_sensitive(x: Seen) -> bool:
    return x.layer.precision in EIGHT_BIT and x.layer.op != INPUT and x.sqnr < GOOD - 5


RULES: tuple[Rule, ...] = (
    Rule(
        "clipped_input",
        "Calibrate with inputs like those of use: same pixels, scale and offset",
        (),
        lambda x: x.layer.op == INPUT and x.clipped > 0.001 and x.beyond > 0.1,
        lambda x: f"{x.clipped:.2%} of the input lies outside of the range it was calibrated for",
    ),
    Rule(
        "saturation",
        "A wider range: observer min-max, or a higher percentile",
        (),
        lambda x: x.layer.op != INPUT and x.clipped > (0.001 if x.is_weak else 0.01),
        lambda x: f"{x.clipped:.2%} of the values saturate",
    ),
    Rule(
        "weight_channels",
        "A scale a channel (int8 instead of uint8), or cross-layer equalization",
        ("equalize",),
        lambda x: (
            x.is_weak
            and x.weight_spread > 4
            and x.layer.weights is not None
            and not x.layer.weights.per_channel
        ),
        lambda x: (
            f"one scale serves channels of weights whose widest is {x.weight_spread:.1f} times the "
            "median one"
        ),
    ),
    Rule(
        "gain",
        "Cross-layer equalization",
        ("equalize",),
        lambda x: x.gain > MUCH,
        lambda x: f"it amplifies the error of what it reads by {x.gain:.1f} dB",
    ),
    Rule(
        "gain_of_operands",
        "A higher precision for the layers that these read",
        (),
        lambda x: x.gain > MUCH,
        lambda x: f"it amplifies the error of {_operands(x)} by {x.gain:.1f} dB",
    ),
    Rule(
        "activation_channels",
        "Cross-layer equalization",
        ("equalize",),
        lambda x: x.is_weak and x.layer.weights is not None and x.spread > 8,
        lambda x: f"the widest channel of its result is {x.spread:.0f} times the median one",
    ),
    Rule(
        "outlier",
        "Cut the range: observer percentile, MSE or entropy, or the step clipping",
        ("clipping",),
        lambda x: x.is_weak and x.is_free and x.peak > 15 and x.clipped <= 0.001,
        lambda x: f"outliers: the range reaches {x.peak:.0f} standard deviations from the mean",
    ),
    Rule(
        "unused_range",
        "Calibrate on data like this, or cut the range",
        (),
        lambda x: x.is_weak and x.is_free and x.unused > 0.5,
        lambda x: f"{x.unused:.0%} of the chosen range holds no value",
    ),
    Rule(
        "shift",
        "Bias correction",
        ("bias_correction",),
        lambda x: x.is_weak and x.shift > 0.25,
        lambda x: f"{x.shift:.0%} of its error is a constant of each channel",
    ),
    Rule(
        "rounding",
        "GPTQ or AdaRound: rounding of the weights fitted to the data",
        ("adaround", "gptq"),
        lambda x: x.is_weak and x.of_weights > 0.5,
        lambda x: f"{x.of_weights:.0%} of its noise is there with its weights alone quantized",
    ),
    Rule(
        "sensitive_weights",
        "float32 for this layer, under layers in the recipe; int16x8 has the same weights",
        (),
        lambda x: _is_sensitive(x) and x.of_weights > 0.5,
        lambda x: f"{x.sqnr:.1f} dB in isolation, most of it lost by the weights",
    ),
    Rule(
        "sensitive",
        "int16x8 or float32 for this layer, under layers in the recipe",
        (),
        lambda x: _is_sensitive(x) and x.of_weights <= 0.5,
        lambda x: f"{x.sqnr:.1f} dB in isolation, most of it lost by the activations",
    ),
    Rule(
        "left",
        "Layers that stayed in float32, and why",
        (),
        lambda x: x.layer.left is not None,
        lambda x: x.layer.left or "",
    ),
)
"""In the order in which they should be tried."""

TITLES: Mapping[str, str] = {
    "output": "Below is what to try first; then a higher precision",
    "slower": "Leave in float32 what is slower quantized: --max-drop and --max-latency do so",
    "reference": "Other operators in place of these, which have no kernel",
    "conversions": "Fewer borders between floats and integers",
    "few_samples": "More samples",
    **{rule.name: rule.title for rule in RULES},
}
"""What to try, by the name of the rule."""


def advise(diagnosis: Diagnosis, done: Collection[str] = ()) -> Diagnosis:
    """The diagnosis with what to try, layer by layer and as a whole.

    ``done`` are the steps of the recipe that made the network, which are not advised again.
    """
    rules = [rule for rule in RULES if not set(rule.steps) & set(done)]
    layers = tuple(
        replace(seen.layer, advice=tuple(_of_layer(seen, rules))) for seen in _seen(diagnosis)
    )
    return replace(diagnosis, layers=layers, advice=tuple(_overall(diagnosis)))


def _of_layer(seen: Seen, rules: Sequence[Rule]) -> Iterator[Advice]:
    for rule in rules:
        if rule.applies(seen):
            yield Advice(rule.name, rule.reason(seen))


def _seen(diagnosis: Diagnosis) -> Iterator[Seen]:
    layers = diagnosis.layers
    found = [decibels_of(layer.isolated) for layer in layers]
    is_poor = any(decibels_of(output.error) < GOOD for output in diagnosis.outputs)
    finite = [sqnr for sqnr in found if sqnr < math.inf]
    weak = max(GOOD, median(finite)) if is_poor and finite else GOOD
    for layer, sqnr in zip(layers, found, strict=True):
        given = [decibels_of(layers[i].accumulated) for i in layer.inputs]
        expected = 10 ** (-sqnr / 10) + 10 ** (-min(given, default=math.inf) / 10)
        whole = 10 ** (-decibels_of(layer.accumulated) / 10)
        matters = is_poor or decibels_of(layer.accumulated) < GOOD
        gain = 10 * math.log10(whole / expected) if matters and whole and expected else 0.0
        yield Seen(layer, sqnr, sqnr < weak, gain)


def _overall(found: Diagnosis) -> list[Advice]:
    advice = []
    for output in found.outputs:
        sqnr = decibels_of(output.error)
        if sqnr < BAD:
            text = f"output {output.name!r} has {sqnr:.1f} dB: what it tells may be wrong"
            advice.append(Advice("output", text))
    if found.samples < FEW:
        text = f"{found.samples} samples are few: figures and ranges depend on which they are"
        advice.append(Advice("few_samples", text))
    if found.times is not None:
        times = found.times
        if times.ratio.verdict == "slower":
            text = (
                f"the quantized network takes {times.quantized_ms:.3f} ms, the float one "
                f"{times.float_ms:.3f} ms"
            )
            advice.append(Advice("slower", text))
        lost = sorted(times.layers, key=lambda t: t.float_ms - t.quantized_ms)
        advice.extend(a for timing in lost for a in _of_time(timing, found))
        share = times.conversions_ms / max(times.quantized_ms, 1e-9)
        if share > 0.1:
            text = f"{share:.0%} of the time is conversions between floats and integers"
            advice.append(Advice("conversions", text))
    return advice


def _of_time(timing: Timing, found: Diagnosis) -> list[Advice]:
    names = ", ".join(f"{i} {found.layers[i].op}" for i in timing.layers)
    if timing.reference:
        text = f"{names}: {', '.join(timing.reference)} takes {timing.quantized_ms:.3f} ms in numpy"
        return [Advice("reference", text)]
    if not timing.is_slower:
        return []
    text = f"{names}: slower, {timing.quantized_ms:.3f} ms; {timing.float_ms:.3f} ms as float32"
    return [Advice("slower", text)]
