"""Small language networks in ONNX, beside ONNX Runtime; all of them has kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from onnx_files import Array, compiled, graph, info, model, node, runtime, single

import edgewise as ew
from edgewise.codegen.module import choose_isa
from edgewise.codegen.target import host
from edgewise.errors import UnsupportedError
from edgewise.graph import Graph
from edgewise.passes import optimize
from edgewise.plan import HostStep, make_plan

WIDTH, HEADS, WORDS = 32, 4, 50
RNG = np.random.default_rng(5)


def real(*shape: int, scale: float = 0.3) -> Array:
    return np.asarray(RNG.normal(0, scale, shape), np.float32)


def without_kernel(g: Graph) -> list[str]:
    """The operators that references run."""
    best = optimize(g)
    steps = make_plan(best, choose_isa(host())).steps
    return [best.nodes[s.node].op.name for s in steps if isinstance(s, HostStep)]


def check(data: bytes, feeds: Mapping[str, Array], left: Sequence[str] = ()) -> None:
    g = ew.load(data, shapes={k: v.shape for k, v in feeds.items()})
    for y, expected in zip(compiled(g, feeds), runtime(data, feeds), strict=True):
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(y, expected, rtol=2e-4, atol=2e-5)
    assert without_kernel(g) == list(left)


class Block:
    """A transformer as exporters write it: what a name holds is given by the node that makes it."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def __call__(self, op: str, *inputs: Any, **attributes: Any) -> str:
        names = [self.constant(x) if isinstance(x, np.ndarray) else x for x in inputs]
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(node(op, names, [name], **attributes))
        return name

    def constant(self, x: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = x
        return name

    def dense(self, x: str, out: int, width: int = WIDTH) -> str:
        return self("Add", self("MatMul", x, real(width, out)), real(out))

    def norm(self, x: str) -> str:
        return self("LayerNormalization", x, 1 + real(WIDTH), real(WIDTH), axis=-1)

    def heads(self, x: str, perm: Sequence[int] = (0, 2, 1, 3)) -> str:
        """[1, T, width] as [1, heads, T, size], by sizes that are computed."""
        length = self("Gather", self("Shape", x), np.array([1]), axis=0)
        ends = np.array([1]), np.array([HEADS, WIDTH // HEADS])
        split = self("Reshape", x, self("Concat", ends[0], length, ends[1], axis=0))
        return self("Transpose", split, perm=list(perm))

    def attention(self, q: str, k: str, v: str, mask: str) -> str:
        keys = self("Transpose", k, perm=[0, 1, 3, 2])
        scores = self("Div", self("MatMul", q, keys), np.float32([(WIDTH // HEADS) ** 0.5]))
        weights = self("Softmax", self("Where", mask, scores, np.float32([-1e9])), axis=-1)
        y = self("Transpose", self("MatMul", weights, v), perm=[0, 2, 1, 3])
        return self("Reshape", y, np.array([1, -1, WIDTH]))

    def perceptron(self, x: str, form: str) -> str:
        y = self.dense(x, 4 * WIDTH)
        if form == "erf":
            erf = self("Erf", self("Div", y, np.float32([2**0.5])))
            y = self("Mul", self("Mul", y, self("Add", erf, np.float32([1]))), np.float32([0.5]))
        else:
            y = self("Gelu", y, approximate=form)
        return self.dense(y, WIDTH, 4 * WIDTH)


@pytest.mark.parametrize("form", ["erf", "none", "tanh"])
@pytest.mark.parametrize("length", [1, 7])
def test_transformer(form: str, length: int) -> None:
    """Embeddings, masked attention, perceptron, logits: of a length given by name."""
    b = Block()
    words = b("Gather", real(WORDS, WIDTH), "ids", axis=0)
    positions = b("Gather", real(16, WIDTH), "places", axis=0)
    x = b("Add", words, positions)
    y = b.norm(x)
    q, k, v = (b.heads(b.dense(y, WIDTH)) for _ in range(3))
    size = b("Gather", b("Shape", "ids"), np.array([1]), axis=0)
    shape = b("Concat", np.array([1, 1]), size, size, axis=0)
    mask = b("Trilu", b("ConstantOfShape", shape, value=ONE), upper=0)
    y = b.attention(q, k, v, b("Cast", mask, to=TensorProto.BOOL))
    x = b("Add", x, b.dense(y, WIDTH))
    x = b("Add", x, b.perceptron(b.norm(x), form))
    b.nodes.append(node("MatMul", [b.norm(x), b.constant(real(WIDTH, WORDS))], ["logits"]))
    ids = [info(n, [1, "length"], np.int64) for n in ("ids", "places")]
    data = model(graph(b.nodes, ids, ["logits"], b.constants), 20)
    feeds = {"ids": RNG.integers(0, WORDS, (1, length)), "places": np.arange(length)[None]}
    check(data, feeds)


ONE = TensorProto(data_type=TensorProto.FLOAT, dims=[1], float_data=[1.0])


def test_cache_of_keys_and_values() -> None:
    """A step of one word after five: its keys and values are appended."""
    b = Block()
    y = b.norm("x")
    q, k, v = (b.heads(b.dense(y, WIDTH)) for _ in range(3))
    for name, past, new in (("k", "past_k", k), ("v", "past_v", v)):
        b.nodes.append(node("Concat", [past, new], [name], axis=2))
    y = b.attention(q, "k", "v", b.constant(np.ones((1, 1, 1, 6), bool)))
    b.nodes.append(node("Add", ["x", b.dense(y, WIDTH)], ["y"]))
    size = WIDTH // HEADS
    inputs = [info("x", [1, 1, WIDTH]), *(info(n, [1, HEADS, 5, size]) for n in PAST)]
    data = model(graph(b.nodes, inputs, ["y", "k", "v"], b.constants), 20)
    feeds = {"x": real(1, 1, WIDTH), **{n: real(1, HEADS, 5, size) for n in PAST}}
    check(data, feeds)


PAST = ("past_k", "past_v")


@pytest.mark.parametrize(
    ("heads", "attributes"),
    [
        (4, {}),
        (4, {"is_causal": 1}),
        (2, {"is_causal": 1, "scale": 0.2}),
        (1, {"softcap": 3.0}),
    ],
    ids=str,
)
def test_attention(heads: int, attributes: dict[str, Any]) -> None:
    """One operator, as the standard defines it; heads of queries may share those of keys."""
    feeds = {"q": real(2, 4, 5, 8), "k": real(2, heads, 6, 8), "v": real(2, heads, 6, 8)}
    check(single("Attention", feeds, opset=23, **attributes), feeds)


def test_attention_with_mask_and_past() -> None:
    feeds = {
        "q": real(2, 3, 32),
        "k": real(2, 3, 32),
        "v": real(2, 3, 32),
        "m": real(3, 8),
        "past_k": real(2, 4, 5, 8),
        "past_v": real(2, 4, 5, 8),
    }
    outputs = ("y", "present_k", "present_v")
    check(single("Attention", feeds, {}, outputs, 23, q_num_heads=4, kv_num_heads=4), feeds)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved: int) -> None:
    feeds = {"x": real(2, 4, 5, 8), "cos": real(9, 4), "sin": real(9, 4)}
    feeds["places"] = RNG.integers(0, 9, (2, 5))
    check(single("RotaryEmbedding", feeds, opset=23, interleaved=interleaved), feeds)


def test_losses() -> None:
    feeds = {"x": real(4, 5), "labels": RNG.integers(0, 5, 4)}
    for op in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"):
        for reduction in ("mean", "sum", "none"):
            check(single(op, feeds, opset=13, reduction=reduction), feeds)


def test_an_operator_that_the_opset_lacks() -> None:
    feeds = {n: real(1, 2, 3, 8) for n in "qkv"}
    with pytest.raises(UnsupportedError, match="no such operator in opset 18"):
        ew.load(single("Attention", feeds, opset=18))


RANDOM = {
    "RandomNormal": {"shape": [4000], "mean": 2.0, "scale": 3.0},
    "RandomUniform": {"shape": [4000], "low": -1.0, "high": 5.0},
}


@pytest.mark.parametrize("like", ["", "Like"])
@pytest.mark.parametrize("op", RANDOM)
def test_random_numbers(op: str, like: str) -> None:
    """Other ones in each call, the same after a reset; of the distribution asked for."""
    attributes = dict(RANDOM[op])
    if like:
        del attributes["shape"]
    feeds = {"x": np.zeros(4000, np.float32)} if like else {}
    data = single(op + like, feeds, opset=15, seed=2.0, **attributes)
    with contextlib.closing(ew.compile(ew.load(data))) as program:
        first, second = program(**feeds), program(**feeds)
        program.reset()
        again = program(**feeds)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)
    assert abs(first.mean() - 2) < 0.2
    assert abs(first.std() - (3 if op == "RandomNormal" else 3**0.5)) < 0.15


def test_chances() -> None:
    x = np.full(4000, 0.25, np.float32)
    (y,) = compiled(ew.load(single("Bernoulli", {"x": x}, opset=15, dtype=6)), {"x": x})
    assert y.dtype == np.int32
    assert abs(y.mean() - 0.25) < 0.03
    logits = np.log(np.float32([[0.1, 0.2, 0.7]]))
    data = single("Multinomial", {"x": logits}, {}, [info("y", None, np.int32)], sample_size=4000)
    (y,) = compiled(ew.load(data), {"x": logits})
    np.testing.assert_allclose(np.bincount(y[0]) / 4000, [0.1, 0.2, 0.7], atol=0.04)
