"""ONNX's convolutions and matrix products, beside ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_files import Array, check, info, operators, single

import edgewise as ew
from edgewise.errors import ModelError, UnsupportedError


def real(*shape: int, seed: int = 1) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) / 4, np.float32)


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 8), (4, 3, 3), {}),
    ((2, 4, 9), (4, 1, 3), {"group": 4, "strides": [2], "pads": [1, 0]}),
    ((1, 3, 7, 6), (5, 3, 3, 2), {}),
    ((2, 3, 7, 6), (5, 3, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ((1, 3, 9, 9), (2, 3, 3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    ((1, 4, 5, 5), (8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    ((1, 4, 5, 5), (6, 2, 3, 3), {"group": 2}),
    ((1, 3, 6, 7), (2, 3, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 3, 6, 7), (2, 3, 4, 2), {"auto_pad": "SAME_LOWER"}),
    ((1, 3, 6, 7), (2, 3, 3, 2), {"auto_pad": "VALID", "strides": [2, 3]}),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 3), {"pads": [0, 1, 1, 0, 1, 1]}),
    ((1, 4, 4, 4, 5), (2, 2, 2, 2, 2), {"group": 2, "strides": [1, 2, 1]}),
]


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("x", "w", "attributes"), CONVOLUTIONS, ids=str)
def test_conv(
    x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, Any], has_bias: bool
) -> None:
    constants = {"w": real(*w, seed=2), **({"b": real(w[0], seed=3)} if has_bias else {})}
    check(single("Conv", {"x": real(*x)}, constants, **attributes), {"x": real(*x)})


def test_conv_of_computed_weights() -> None:
    feeds = {"x": real(1, 3, 5, 5), "w": real(2, 3, 3, 3)}
    check(single("Conv", feeds, kernel_shape=[3, 3]), feeds)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(4, 9), st.integers(4, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.tuples(*[st.integers(1, 2)] * 4),
    st.sampled_from([(1, 3, 2), (2, 4, 6), (4, 4, 4)]),
)
def test_any_conv_and_its_transpose(
    size: tuple[int, int],
    taps: tuple[int, int],
    pads: tuple[int, ...],
    steps: tuple[int, ...],
    channels: tuple[int, int, int],
) -> None:
    groups, depth, out = channels
    a = {"pads": pads, "strides": steps[:2], "dilations": steps[2:], "group": groups}
    reach = [n + pads[i] + pads[2 + i] - (taps[i] - 1) * steps[2 + i] for i, n in enumerate(size)]
    x = real(1, depth, *size)
    if min(reach) >= 1:
        check(single("Conv", {"x": x}, {"w": real(out, depth // groups, *taps)}, **a), {"x": x})
    made = [
        (n - 1) * steps[i] + (taps[i] - 1) * steps[2 + i] + 1 - pads[i] - pads[2 + i]
        for i, n in enumerate(size)
    ]
    if min(made) >= 1:
        w = {"w": real(depth, out // groups, *taps)}
        check(single("ConvTranspose", {"x": x}, w, **a), {"x": x})


TRANSPOSED: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 3, 5), (3, 2, 3), {"strides": [2]}),
    ((1, 4, 5), (4, 2, 3), {"strides": [2], "group": 2, "pads": [1, 0]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 3], "pads": [1, 0, 1, 2]}),
    ((1, 3, 4, 5), (3, 2, 3, 2), {"strides": [2, 2], "output_padding": [1, 1]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "output_shape": [8, 10]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [3, 3], "output_shape": [11, 15]}),
    ((1, 4, 4, 5), (4, 1, 3, 3), {"strides": [2, 1], "group": 4, "pads": [1, 1, 1, 1]}),
    ((1, 4, 4, 5), (4, 3, 3, 2), {"strides": [2, 2], "group": 2, "output_padding": [1, 0]}),
    ((1, 3, 4, 5), (3, 2, 2, 2), {"dilations": [2, 3], "strides": [2, 2]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    ((1, 2, 3, 4, 4), (2, 3, 2, 2, 3), {"strides": [2, 1, 2], "pads": [0, 0, 1, 1, 0, 0]}),
    ((1, 4, 3, 3, 3), (4, 1, 2, 2, 2), {"group": 2}),
    ((1, 2, 1, 33), (2, 2, 3, 3), {"pads": [0, 1, 0, 1], "dilations": [5, 1]}),
]


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("x", "w", "attributes"), TRANSPOSED, ids=str)
def test_conv_transpose(
    x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, Any], has_bias: bool
) -> None:
    count = w[1] * attributes.get("group", 1)
    constants = {"w": real(*w, seed=2), **({"b": real(count, seed=3)} if has_bias else {})}
    check(single("ConvTranspose", {"x": real(*x)}, constants, **attributes), {"x": real(*x)})


def test_transposed_convolutions_of_groups_are_one_operator() -> None:
    x, w = real(1, 8, 4, 4), {"w": real(8, 1, 3, 3)}
    g = ew.load(single("ConvTranspose", {"x": x}, w, group=8, strides=[2, 2]))
    assert [n for n in operators(g) if "CONV" in n] == ["DEPTHWISE_CONV_2D"]


MATRICES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((3, 4), (1, 4, 5)),
]


@pytest.mark.parametrize(("a", "b"), MATRICES, ids=str)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    feeds = {"a": real(*a), "b": real(*b, seed=2)}
    check(single("MatMul", feeds), feeds)
    check(single("MatMul", {"a": feeds["a"]}, {"b": feeds["b"]}), {"a": feeds["a"]})


def test_a_constant_matrix_is_fully_connected() -> None:
    g = ew.load(single("MatMul", {"a": real(2, 3, 4)}, {"b": real(4, 5)}))
    assert operators(g) == ["FULLY_CONNECTED"]


def test_halves_are_multiplied_as_float32() -> None:
    feeds = {"a": real(3, 4).astype(np.float16), "b": real(4, 5).astype(np.float16)}
    product = feeds["a"].astype(np.float32) @ feeds["b"].astype(np.float32)
    data = single("MatMul", feeds, outputs=[info("y", None, np.float16)])
    check(data, feeds, [product.astype(np.float16)])


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("c", [None, (), (5,), (1, 5), (3, 1), (3, 5)], ids=str)
def test_gemm(c: tuple[int, ...] | None, trans_b: int, trans_a: int) -> None:
    feeds = {"a": real(*((4, 3) if trans_a else (3, 4)))}
    b = {"b": real(*((5, 4) if trans_b else (4, 5)), seed=2)}
    if c is not None:
        b["c"] = real(*c, seed=3)
    settings = {"transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 2.0}
    check(single("Gemm", feeds, b, **settings), feeds)
    check(single("Gemm", {**feeds, **b}, **settings), {**feeds, **b})


EQUATIONS = [
    ("ij,jk->ik", [(3, 4), (4, 5)]),
    ("ij,jk", [(3, 4), (4, 5)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
    ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("ij->ji", [(3, 4)]),
    ("ij->", [(3, 4)]),
    ("ij->i", [(3, 4)]),
    ("ba", [(3, 4)]),
    ("i,j->ij", [(3,), (4,)]),
    ("i,i->", [(3,), (3,)]),
    ("i,i->i", [(3,), (3,)]),
    ("ijk,jil->kl", [(3, 4, 5), (4, 3, 2)]),
    ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
    ("ab,b,cb->ca", [(2, 3), (3,), (4, 3)]),
    ("ii->i", [(3, 3)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("ij,ij->", [(3, 4), (3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=str)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    feeds = {f"x{i}": real(*shape, seed=i) for i, shape in enumerate(shapes)}
    expected = np.einsum(equation, *(v.astype(np.float64) for v in feeds.values()))
    check(single("Einsum", feeds, equation=equation), feeds, [expected.astype(np.float32)])


def test_einsum_of_doubles_and_ones() -> None:
    feeds = {"a": real(3, 4).astype(np.float64), "b": real(4, 2).astype(np.float64)}
    data = single("Einsum", feeds, outputs=[info("y", None, np.float64)], equation="ij,jk->ik")
    check(data, feeds, [feeds["a"] @ feeds["b"]])
    ones = {"a": real(1, 4), "b": real(3, 4)}
    check(single("Einsum", ones, equation="ij,ij->ij"), ones, [ones["a"] * ones["b"]])


def test_det() -> None:
    x = real(2, 3, 3) * 4
    check(single("Det", {"x": x}, opset=11), {"x": x})


X = real(1, 3, 5, 5)


@pytest.mark.parametrize(
    ("op", "w", "attributes", "rule"),
    [
        ("Conv", (2, 2, 3, 3), {}, "3 input and 2 output channels in 1 groups"),
        ("Conv", (2, 3, 3), {}, r"kernel_shape \[3\]|one of 1 or more a dimension"),
        ("Conv", (2, 3, 3, 3), {"strides": [0, 1]}, r"strides \[0, 1\]"),
        ("Conv", (2, 3, 3, 3), {"strides": [1]}, r"strides \[1\]"),
        ("Conv", (2, 3, 3, 3), {"pads": [1, 1]}, r"pads \[1, 1\]"),
        ("Conv", (2, 3, 3, 3), {"pads": [-1, 0, 0, 0]}, r"pads \[-1, 0, 0, 0\]"),
        ("Conv", (2, 3, 3, 3), {"kernel_shape": [2, 2]}, "they are equal"),
        ("Conv", (2, 3, 9, 9), {}, "9 taps"),
        ("Conv", (2, 3, 3, 3), {"auto_pad": "SAME"}, "auto_pad is 'SAME'"),
        ("Conv", (2, 3, 3, 3), {"group": 0}, "in 0 groups"),
        ("ConvTranspose", (2, 3, 3, 3), {}, "3 input channels in 1 groups"),
        ("ConvTranspose", (3, 2, 3, 3), {"output_padding": [1]}, r"output_padding \[1\]"),
        ("ConvTranspose", (3, 2, 1, 1), {"pads": [3, 3, 3, 3]}, "leave no output"),
        ("Gemm", (2, 3, 3, 3), {}, "rank 4; it must be 2"),
        ("MatMul", (2, 3), {}, "columns of the first are rows"),
    ],
)
def test_rules(op: str, w: tuple[int, ...], attributes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ModelError, match=rf"\({op}\).*({rule})"):
        ew.load(single(op, {"x": X}, {"w": real(*w)}, **attributes))


@pytest.mark.parametrize(
    ("equation", "rule"),
    [
        ("ij->ij", "there are 2 inputs"),
        ("i?,jk->ik", "terms are letters"),
        ("ijk,jk->ik", "3 labels for an input"),
        ("...ijk,jk->ik", "names more axes"),
        ("ij,jk->iz", "names axes of the inputs"),
        ("ij,jk->ii", "each once"),
        ("i,jk->ik", "1 labels for an input"),
    ],
)
def test_rules_of_equations(equation: str, rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        ew.load(single("Einsum", {"a": real(3, 4), "b": real(4, 5)}, equation=equation))


def test_other_types() -> None:
    feeds = {"a": np.ones((2, 2), np.float64), "b": np.ones((2, 2), np.float64)}
    with pytest.raises(UnsupportedError, match="input 0 is float64"):
        ew.load(single("MatMul", feeds, outputs=[info("y", None, np.float64)]))
