"""Copies, transposition and fills against numpy's views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.kernels import copy, views
from edgewise.kernels.copy import Copy, CopyStrided, Fill, FillBorder, Transpose
from edgewise.kernels.isa import Isa
from edgewise.ops import StridedSlice

from .harness import Array, Buffer, isas, run

SIZES = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
COPIED = {**SIZES, 16: np.complex128}


def random(shape: tuple[int, ...], nbytes: int = 1) -> Array:
    data = np.random.default_rng(7).integers(0, 256, (*shape, nbytes)).astype(np.uint8)
    return data.view(COPIED[nbytes])[..., 0]


def fields(name: str, whole: Array, part: Array, outer: int) -> tuple[Buffer, dict[str, Any]]:
    """``part``, a view of the array ``whole``, as an operand with ``outer`` outer dimensions."""
    buffer = Buffer(whole)
    offset = part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    strides = (0,) * (outer + 1 - part.ndim) + part.strides[:-1]
    values = {f"{name}_{i}": s for i, s in enumerate(strides)}
    return buffer, {name: buffer.at(offset), **values}


def check(
    isa: Isa,
    src: tuple[Array, Array],
    dst: tuple[Array, Array],
    block: int = 1 << 30,
    flip: bool = False,
) -> None:
    """Copy one view to another, each given as (whole, part); all of dst is compared."""
    nbytes = src[1].itemsize
    _, x = fields("src", *src, copy.OUTER)
    result, y = fields("dst", *dst, copy.OUTER)
    *outer, n = (1,) * (copy.OUTER + 1 - src[1].ndim) + src[1].shape
    dense = src[1].strides[-1] == dst[1].strides[-1] == nbytes
    variant: Copy | CopyStrided = CopyStrided(isa, nbytes)
    values: dict[str, Any] = {**x, **y, **{f"d{i}": outer[i] for i in range(1, copy.OUTER)}}
    if dense:
        variant, n = Copy(isa, flip), n * nbytes
    else:
        values |= {"src_step": src[1].strides[-1], "dst_step": dst[1].strides[-1]}
    run(variant, views.units(outer, n, block), values | {"n": n, "block": block}, [result])
    dst[1][...] = src[1] ^ 0x80 if flip else src[1]
    np.testing.assert_array_equal(result.array.view(np.uint8), dst[0].view(np.uint8))


@isas
@pytest.mark.parametrize("flip", [False, True])
def test_every_run_length(isa: Isa, flip: bool) -> None:
    for n in range(1, 2 * isa.bits // 8 + 2):
        src, dst = random((2, n + 3)), np.zeros((2, n + 5), np.uint8)
        check(isa, (src, src[:, :n]), (dst, dst[:, 2 : n + 2]), flip=flip)


@isas
@pytest.mark.parametrize("block", [1, 40, 64, 300])
def test_blocks(isa: Isa, block: int) -> None:
    src, dst = random((3, 331)), np.zeros((3, 331), np.uint8)
    check(isa, (src, src), (dst, dst), block)


@isas
def test_flip_in_place(isa: Isa) -> None:
    buffer = Buffer(random((200,)))
    expected = buffer.array ^ np.uint8(0x80)
    values = {f"{name}_{i}": 0 for name in ("src", "dst") for i in range(copy.OUTER)}
    values |= {f"d{i}": 1 for i in range(1, copy.OUTER)}
    run(
        Copy(isa, True),
        3,
        {"src": buffer, "dst": buffer, "n": 200, "block": 90, **values},
        [buffer],
    )
    np.testing.assert_array_equal(buffer.array, expected)


@isas
@pytest.mark.parametrize("nbytes", COPIED)
def test_six_dimensions(isa: Isa, nbytes: int) -> None:
    src, dst = random((2, 3, 2, 3, 2, 7), nbytes), random((2, 2, 3, 3, 2, 8), nbytes)
    check(isa, (src, src), (dst, dst.transpose(0, 2, 1, 3, 4, 5)[..., 1:]))
    moved = dst.transpose(0, 5, 1, 3, 4, 2)[:, :7]
    check(isa, (src, src.transpose(0, 5, 2, 3, 4, 1)), (dst, moved), block=2)


@isas
@pytest.mark.parametrize("nbytes", SIZES)
def test_negative_strides(isa: Isa, nbytes: int) -> None:
    src = random((3, 5, 9), nbytes)
    op = StridedSlice((2, 3, 8), (2, 2, 3), (-2, -3, -3))
    part = src[2::-2, 3::-3, 8:0:-3]
    dst = np.zeros(part.shape, src.dtype)
    check(isa, (src, part), (dst, dst))
    out = TensorType(part.shape, DType.UINT8)
    np.testing.assert_array_equal(dst, op.reference([src], [], [out])[0])
    rows = np.zeros((3, 5, 9), src.dtype)
    check(isa, (src, src[::-1, ::-1]), (rows, rows))


@isas
@pytest.mark.parametrize("nbytes", range(1, 33))
def test_elements_of_any_size(isa: Isa, nbytes: int) -> None:
    src, dst = random((9, nbytes + 3)), np.zeros((9, nbytes + 5), np.uint8)
    _, x = fields("src", src, src[:, 1:], copy.OUTER)
    result, y = fields("dst", dst, dst[:, 2:], copy.OUTER)
    values = {**x, **y, **{f"d{i}": 1 for i in range(1, copy.OUTER)}, "n": 9, "block": 4}
    values |= {"src_step": nbytes + 3, "dst_step": nbytes + 5}
    run(CopyStrided(isa, nbytes), 3, values, [result])
    dst[:, 2 : nbytes + 2] = src[:, 1 : nbytes + 1]
    np.testing.assert_array_equal(result.array, dst)


@isas
@pytest.mark.parametrize("nbytes", SIZES)
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (16, 16), (2, 35), (35, 2), (33, 50), (7, 9)]
)
def test_transpose(isa: Isa, nbytes: int, rows: int, columns: int) -> None:
    src, dst = random((2, 2, rows, columns + 1), nbytes), random((2, 2, columns, rows + 3), nbytes)
    part, target = src[:, ::-1, :, :columns], dst[..., :rows]
    variant = Transpose(isa, nbytes)
    result = Buffer(dst)
    for block in (1 << 30, 16, 20):
        offset = part.__array_interface__["data"][0] - src.__array_interface__["data"][0]
        values: dict[str, Any] = {"src": Buffer(src).at(offset), "dst": result, "d1": 2, "d2": 2}
        for name, x in (("src", part), ("dst", target)):
            values |= {f"{name}_{i}": s for i, s in enumerate((0, *x.strides[:2]))}
            values[f"{name}_row"] = x.strides[2]
        values |= {"rows": rows, "columns": columns, "block": block}
        run(variant, variant.units(4, rows, columns, block), values, [result])
        target[...] = part.swapaxes(2, 3)
        np.testing.assert_array_equal(result.array, dst)
        result = Buffer(np.zeros_like(dst))
        dst[...] = 0


@isas
@pytest.mark.parametrize("nbytes", SIZES)
def test_fill(isa: Isa, nbytes: int) -> None:
    value = random((1,), nbytes)
    pattern = int.from_bytes(value.tobytes() * (8 // nbytes), "little")
    for n in [*range(1, 2 * isa.bits // 8 // nbytes + 2), 200]:
        whole = np.zeros((2, 3, n + 2), value.dtype)
        part = whole[:, 1:, 1:-1]
        result, view = fields("dst", whole, part, copy.OUTER)
        values = {
            **view,
            **{f"d{i}": 1 for i in range(1, copy.OUTER)},
            "d3": 2,
            "d4": 2,
            "value": pattern,
        }
        block = 88
        units = views.units((2, 2), n * nbytes, block)
        run(Fill(isa), units, values | {"n": n * nbytes, "block": block}, [result])
        part[...] = value[0]
        np.testing.assert_array_equal(result.array, whole)


@isas
@pytest.mark.parametrize("nbytes", [1, 4])
@pytest.mark.parametrize("border", [(1, 1, 1, 1), (0, 1, 0, 1), (2, 0, 3, 0), (0, 0, 0, 0)])
@pytest.mark.parametrize(("channels", "gap"), [(1, 0), (24, 0), (67, 0), (3, 2), (40, 7)])
def test_fill_border(
    isa: Isa, nbytes: int, border: tuple[int, int, int, int], channels: int, gap: int
) -> None:
    top, bottom, left, right = border
    value = random((1,), nbytes)
    inner = random((2, 4, 5, channels), nbytes)
    paddings = ((0, 0), (top, bottom), (left, right), (0, 0))
    whole = random((2, 4 + top + bottom, 5 + left + right, channels + gap), nbytes)
    whole[:, top : 4 + top, left : 5 + left, :channels] = inner
    result = Buffer(whole.copy())
    image, row, pixel, _ = whole.strides
    values = {
        "dst": result,
        **dict(zip(("top", "bottom", "left", "right"), border, strict=True)),
        **{"height": whole.shape[1], "width": whole.shape[2], "run": channels * nbytes},
        **{"image": image, "row": row, "pixel": pixel},
        "value": int.from_bytes(value.tobytes() * (8 // nbytes), "little"),
    }
    run(FillBorder(isa), 2 * whole.shape[1], values, [result])
    whole[..., :channels] = np.pad(inner, paddings, constant_values=value[0])
    np.testing.assert_array_equal(result.array, whole)
