"""Quantized matrix products and convolutions on every instruction set, against numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.kernels.dot import Pmaddwd
from edgewise.kernels.isa import ISAS, NEON, Isa
from edgewise.kernels.qbytes import TILES, QBytes
from edgewise.kernels.qgemm import MAX_SCRATCH, QGemm
from edgewise.kernels.views import SLACK as KERNEL_SLACK
from edgewise.ops.elementwise import FixedPoint
from edgewise.plan import select

from .harness import SLACK, Buffer, isas, run
from .images import View, activation
from .layers import CONVOLUTIONS, Layer, matrix, pixels_of
from .qproducts import MULTIPLICATIONS, Array, Rule, bytes_of, factors, rules, scales, wrapped


@dataclass(frozen=True)
class Operands:
    """``w`` int8[n, window height * width * depth], less ``zero`` in the sums; bias int32[n]."""

    x: Array
    w: Array
    bias: Array
    zero: int = 0


def operands(v: QGemm, layer: Layer, rng: np.random.Generator, fill: str = "mixed") -> Operands:
    """Operands of ``bytes_of``; ``fill``: of both, or of x and of w as "x*w"."""
    fills = fill.split("*")
    x = bytes_of(rng, layer.input_shape, activation(v.isa).numpy, fills[0])
    k = layer.depth * layer.window[0] * layer.window[1]
    w = bytes_of(rng, (layer.n, k), np.int8, fills[-1])
    if not v.general and not fits(v, layer, w):
        w = np.maximum(w, -127).astype(np.int8)
    zero = int(rng.choice([-128, -127, -1, 1, 38, 127])) if v.weight_zero_point else 0
    return Operands(x, w, rng.integers(-(2**12), 2**12, layer.n, np.int32), zero)


def fits(v: QGemm, layer: Layer, w: Array) -> bool:
    return not v.suited(w.reshape(layer.n, layer.runs, layer.kc)).general


def residual_rule(isa: Isa, zero_point: int, rng: np.random.Generator) -> FixedPoint:
    """An ADD's rule, of any multipliers and shift that one can have, with extreme zero points."""
    low, high = activation(isa).range
    shift = int(rng.choice([2, 12, 19, 20, 21, 31]))
    a, b = (int(x) for x in rng.integers(-(2**21), 2**21, 2) >> rng.integers(0, 12, 2))
    other, out = (int(z) for z in rng.choice([low, low + 128, high, low + 3], 2))
    lo, hi = (low, high) if rng.random() < 0.5 else (low + 30, high - 20)
    bias = (1 << shift - 1) - a * zero_point - b * other
    return FixedPoint(a, b, wrapped(np.array(bias)).item(), shift, out, lo, hi)


def addition(added: FixedPoint, zero_point: int) -> dict[str, int]:
    """The fields of `qgemm.ADDITION`, for results less ``zero_point``."""
    return {
        "c_mult": added.a_multiplier,
        "r_mult": added.b_multiplier,
        "add_bias": added.bias + added.a_multiplier * zero_point,
        "shift": added.shift,
        "add_zero_point": added.zero_point,
        "add_lo": added.lo,
        "add_hi": added.hi,
    }


def check(
    v: QGemm,
    layer: Layer,
    rule: Rule,
    given: Operands,
    tight: bool = True,
    block_panels: int | None = None,
    seed: int = 0,
) -> None:
    """Run the layer and compare every byte of its output and of what lies around it.

    Args:
        tight: images without anything around them, that end where memory does; else they lie in
            wider ones, as some of the channels of their pixels.
        block_panels: panels a unit does; all of them by default.
    """
    rng, dtype = np.random.default_rng(seed), activation(v.isa).numpy
    acc = wrapped(
        layer.windows(given.x).astype(np.int64) @ (given.w.astype(np.int64) - given.zero).T
        + given.bias
    )
    scale = scales(rng, acc, rule)
    expected = rule.apply(acc, scale, v.rounding)
    shape = (*layer.size, layer.n)
    a, c = View.around(given.x, tight), View.empty(shape, dtype, tight)
    runs = layer.run_offsets(a)
    weights = given.w.reshape(layer.n, layer.runs, layer.kc)
    packed = v.packed(weights, runs, given.bias, *factors(scale, v.rounding))
    kstep, steps = v.layout(layer.kc, layer.runs)
    pixels, panels = int(np.prod(layer.size)), -(-layer.n // v.nr)
    each = block_panels or panels
    blocks = -(-panels // each)
    values: dict[str, Any] = {
        **pixels_of(layer, a, "a", layer.stride),
        **pixels_of(layer, c, "c"),
        "w": Buffer(packed[: len(packed) - KERNEL_SLACK]),
        "runs": Buffer(runs),
        "pixels": pixels,
        "width": layer.size[2],
        "height": layer.size[1],
        "n": layer.n,
        "run_count": layer.runs,
        "kc": layer.kc,
        "kstep": kstep,
        "steps": steps,
        "panel_bytes": v.panel_bytes(layer.kc, layer.runs),
        "panels": panels,
        "tiles": -(-pixels // v.mr),
        "block_panels": each,
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    if v.weight_zero_point:
        values |= {"w_zero": given.zero, "ones": Buffer(v.ones(layer.kc, layer.runs))}
    if v.add:
        added = residual_rule(v.isa, rule.zero_point, rng)
        other = bytes_of(rng, shape, dtype, "mixed")
        expected = added.apply(expected, other.reshape(expected.shape))
        fields = addition(added, rule.zero_point)
        values |= pixels_of(layer, View.around(other, tight), "r") | fields
    run(v, -(-pixels // v.mr) * blocks, values, [c.buffer])
    c.check(expected.reshape(shape).astype(dtype))


def gathers(isa: Isa) -> tuple[bool, ...]:
    """Whether the plan reads A in place for one run, and gathers several."""
    return (True,) if isa.gemm.element.bits == 16 else (False, True)


def variants(*, gather: bool | None = None, add: bool | None = None) -> list[Any]:
    """Whatever the plan may choose; ``gather`` True: those that take several runs."""
    found = []
    for isa in ISAS:
        forms = (False, True) if isa.gemm.general is not isa.gemm else (False,)
        for mr, nv in isa.costs.tiles:
            for gathered in gathers(isa):
                if gather is not None and gathered != gather:
                    continue
                for zero in (False, True):
                    for added in (False, True) if add is None else (add,):
                        for form in forms:
                            found.append(QGemm(isa, mr, nv, gathered, zero, added, form))
        for mr, nv in TILES if type(isa.gemm) is Pmaddwd else ():
            for zero in (False, True):
                for added in (False, True) if add is None else (add,):
                    found.append(QBytes(isa, mr, nv, False, zero, added))
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


def depths(v: QGemm) -> list[int]:
    """Around a dot step, several steps loaded at once, a vector and a gathered chunk."""
    step, chunk = v.isa.gemm.kr * v.isa.gemm.ku, v.isa.bits // 8
    return sorted({1, 2, 3, 5, step - 1 or 1, step, step + 1, 15, 16, 17, chunk, chunk + 7, 67})


@pytest.mark.parametrize("v", variants())
def test_pixels(v: QGemm) -> None:
    """Every number of pixels up to two tiles and one, with columns and depths of all kinds."""
    columns, all_depths = [1, v.nr - 1, v.nr, v.nr + 1, v.nr // 2, 2 * v.nr + 3], depths(v)
    for m in range(1, 2 * v.mr + 2):
        rng = np.random.default_rng(m)
        layer = matrix(m, columns[m % len(columns)], all_depths[5 * m % len(all_depths)])
        given = operands(v, layer, rng)
        check(v, layer, rules(v.isa)[0], given, tight=m % 3 != 0, seed=m)


@pytest.mark.parametrize("v", variants())
def test_columns(v: QGemm) -> None:
    """Every number of columns that leaves another part of a panel, and all depths."""
    all_depths = depths(v)
    some = {*range(1, 10), *(v.nr + d for d in (-2, -1, 0, 1, 2)), 2 * v.nr - 1, 2 * v.nr + 1}
    for n in sorted(some):
        rng = np.random.default_rng(n)
        layer = matrix(1 + n % v.mr, n, all_depths[n % len(all_depths)])
        given = operands(v, layer, rng, "random" if n % 2 else "mixed")
        rule = rules(v.isa)[n % len(rules(v.isa))]
        check(v, layer, rule, given, tight=n % 4 != 3, seed=n)


@pytest.mark.parametrize("v", variants(gather=True))
def test_convolutions(v: QGemm) -> None:
    """Windows of several runs; pixels that wrap to the next row and image."""
    for i, layer in enumerate(CONVOLUTIONS):
        given = operands(v, layer, np.random.default_rng(i))
        rule = rules(v.isa)[(2 * i) % len(rules(v.isa))]
        check(v, layer, rule, given, tight=layer.joined or i % 2 == 0, seed=i)


@pytest.mark.parametrize("v", variants(gather=False))
def test_images_read_in_place(v: QGemm) -> None:
    """A 1x1 window with a stride; pixels that wrap to the next row and image."""
    for i, size in enumerate([(1, 3, 4), (2, 2, 3), (3, 3, 1), (5, 1, 1), (1, 1, 9), (2, 5, 2)]):
        layer = Layer(v.nr // 2 + i, 6 + 5 * i, size, stride=(1 + i % 2, 1 + i % 3))
        given = operands(v, layer, np.random.default_rng(i))
        check(v, layer, rules(v.isa)[0], given, tight=i % 2 == 0, seed=i)


@pytest.mark.parametrize("v", variants())
@pytest.mark.parametrize("fill", ["low", "high", "low*high", "high*low"])
def test_extreme_operands(v: QGemm, fill: str) -> None:
    layer = matrix(v.mr + 1, v.nr + 1, 133)
    given = operands(v, layer, np.random.default_rng(1), fill)
    check(v, layer, rules(v.isa)[0], given)


@pytest.mark.parametrize("v", variants())
def test_rules(v: QGemm) -> None:
    """Extreme zero points, clamps and scales; a bias that makes sums wrap."""
    layer = matrix(v.mr, v.nr, 12)
    rng = np.random.default_rng(2)
    given = operands(v, layer, rng, "random")
    edges = np.array([2**31 - 1, -(2**31), 2**31 - 20000, 20000 - 2**31, 0, -3], np.int32)
    wrapping = Operands(given.x, given.w, rng.choice(edges, layer.n), given.zero)
    for i, rule in enumerate(rules(v.isa)):
        check(v, layer, rule, given if i % 2 else wrapping, seed=i)


@pytest.mark.parametrize("v", variants(add=False))
def test_ties_round_to_even(v: QGemm) -> None:
    """Sums of 0 to 255 halves."""
    low, high = activation(v.isa).range
    layer = matrix(2 * v.mr, v.nr, 1)
    x = bytes_of(np.random.default_rng(3), layer.input_shape, activation(v.isa).numpy, "random")
    w = np.ones((layer.n, 1), np.int8)
    zero = 1 if v.weight_zero_point else 0
    bias = np.arange(layer.n, dtype=np.int32) - layer.n // 2
    given = Operands(x, (w + zero).astype(np.int8), bias, zero)
    check(v, layer, Rule(low + 128, low, high, 0.5), given)
    check(v, layer, Rule(low + 127, low, high, 0.25), given)


@pytest.mark.parametrize("v", variants(add=False))
def test_columns_divided_over_units(v: QGemm) -> None:
    """Units of one panel, two, and a last one with fewer."""
    layer = matrix(v.mr + 1, 5 * v.nr - v.nr // 2, 9)
    given = operands(v, layer, np.random.default_rng(4))
    for block_panels in (1, 2, 3):
        check(v, layer, rules(v.isa)[0], given, tight=False, block_panels=block_panels)


def fixed_point() -> list[Any]:
    """A tile of each instruction set by each rule of fixed point, plain and with all else."""
    found = []
    for isa in ISAS:
        for i, rounding in enumerate(MULTIPLICATIONS):
            mr, nv = isa.costs.tiles[i % len(isa.costs.tiles)]
            for other in (False, True):
                found.append(QGemm(isa, mr, nv, True, other, other, rounding=rounding))
            if type(isa.gemm) is Pmaddwd:
                found.append(QBytes(isa, *TILES[i], False, True, True, rounding=rounding))
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


@pytest.mark.parametrize("v", fixed_point())
def test_fixed_point(v: QGemm) -> None:
    """Sums of all sizes, halves and wrapped ones; multipliers of both sides of 1."""
    rng = np.random.default_rng(8)
    edges = np.array([2**31 - 1, -(2**31), 2**31 - 20000, 20000 - 2**31, 0, -3], np.int32)
    layer = matrix(v.mr + 1, v.nr + 3, 20)
    given = operands(v, layer, rng)
    wrapping = Operands(given.x, given.w, rng.choice(edges, layer.n), given.zero)
    for i, rule in enumerate(rules(v.isa)):
        check(v, layer, rule, wrapping if i % 2 else given, seed=i)
    low, high = activation(v.isa).range
    bias = np.arange(layer.n, dtype=np.int32) - layer.n // 2
    ties = Operands(given.x, np.full_like(given.w, given.zero), bias, given.zero)
    for scale in (0.5, 0.25, 0.75, 1.0, 3.0):
        check(v, layer, Rule(low + 128, low, high, scale), ties)


@isas
def test_rows_that_fill_the_scratch(isa: Isa) -> None:
    """The longest rows that the plan lets a tile gather."""
    v = QGemm(isa, *isa.costs.tiles[0], gather=True)
    kc = next(kc for kc in range(40000, 0, -1) if v.scratch_bytes(kc, 2) <= MAX_SCRATCH)
    assert v.scratch_bytes(kc, 2) > MAX_SCRATCH - 2000
    layer = Layer(3, kc, (1, 1, v.mr), (1, 2))
    given = operands(v, layer, np.random.default_rng(7), "random")
    check(v, layer, rules(isa)[0], given)


@pytest.mark.parametrize("isa", ISAS, ids=str)
def test_choice(isa: Isa) -> None:
    """The plan's variants are among those tested here, and their scratch fits the stack."""
    tested = {p.values[0] for p in variants()}
    chosen = set()
    for pixels in (1, 2, 7, 49, 196, 12544):
        for n in (1, 3, 8, 16, 24, 96, 1001):
            for kc, runs in [(1, 1), (3, 9), (27, 1), (512, 1), (512, 9), (3000, 9), (99999, 9)]:
                for zero in (False, True):
                    for add in (False, True):
                        found = select.qgemm(
                            isa, pixels, n, kc, runs, weight_zero_point=zero, add=add
                        )
                        if found is None:
                            assert kc * runs * isa.gemm.element.nbytes >= MAX_SCRATCH - 1000
                            continue
                        v, seconds = found
                        assert v in tested
                        assert v.scratch_bytes(kc, runs) <= MAX_SCRATCH
                        assert seconds > 0
                        chosen.add((v.mr, v.nv))
    assert chosen == set(isa.costs.tiles), "a tile that is never chosen"


def test_symbols_differ() -> None:
    found = [p.values[0].symbol for p in (*variants(), *fixed_point())]
    assert len(set(found)) == len(found)


def test_slack_is_that_of_the_guards() -> None:
    assert KERNEL_SLACK == SLACK


def test_general_form_only_where_needed() -> None:
    """Of Neon's variants: the sum of two products of -128 leaves int16."""
    w = np.full((3, 2, 5), -127, np.int8)
    v = QGemm(NEON, *NEON.costs.tiles[0], gather=True)
    assert v.suited(w) is v
    w[2, 1, 4] = -128
    assert v.suited(w) is v
    w[2, 1, :] = -128
    assert v.suited(w).general


@pytest.mark.slow
@pytest.mark.parametrize("v", variants())
def test_many_layers(v: QGemm) -> None:
    rng = np.random.default_rng(6)
    for seed in range(40):
        n, depth = int(rng.integers(1, 3 * v.nr)), int(rng.integers(1, 200 if seed % 4 else 2000))
        size = tuple(int(x) for x in rng.integers(1, 6, 3))
        layer = Layer(n, depth, (size[0], size[1], size[2]))
        if v.gather:
            window, stride, dilation = ((int(a), int(b)) for a, b in rng.integers(1, 4, (3, 2)))
            layer = Layer(n, depth % 40 + 1, layer.size, window, stride, dilation)
        given = operands(v, layer, rng, str(rng.choice(["mixed", "random"])))
        panels = -(-n // v.nr)
        rule = rules(v.isa)[rng.integers(len(rules(v.isa)))]
        each = int(rng.integers(1, panels + 1))
        check(v, layer, rule, given, seed % 2 == 0, -(-panels // -(-panels // each)), seed)


def test_windows_of_this_file() -> None:
    """The second window of a dilated convolution with a stride, by hand."""
    x = np.arange(1 * 5 * 6 * 2).reshape(1, 5, 6, 2)
    layer = Layer(1, 2, (1, 2, 2), (2, 2), (2, 3), (2, 2))
    assert layer.input_shape == (1, 5, 6, 2)
    expected = [x[0, y, z, c] for y in (0, 2) for z in (3, 5) for c in (0, 1)]
    assert_array_equal(layer.windows(x)[1], expected)
