"""Functions of elements, reductions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch_cases import Case, Table

table = Table()
case, normal, whole = table.case, table.normal, table.whole

x = normal(2, 3, 5)
p = x.abs() + 0.1
n = whole(9, 2, 3, 5) - 4
b = normal(2, 3, 5) > 0
for name in [
    "abs",
    "ceil",
    "cos",
    "exp",
    "floor",
    "neg",
    "round",
    "sigmoid",
    "sign",
    "sin",
    "tanh",
    "trunc",
    "square",
    "relu",
    "relu6",
    "hardswish",
    "hardsigmoid",
    "silu",
    "gelu",
    "selu",
    "celu",
    "elu",
    "mish",
    "softplus",
    "logsigmoid",
    "tanhshrink",
    "softsign",
    "erf",
    "tan",
    "expm1",
    "exp2",
    "isnan",
    "isinf",
    "logical_not",
]:
    f = getattr(F, name, None) or getattr(torch, name)
    case(name, f, x)
for name in ["log", "sqrt", "rsqrt", "log2", "log10", "log1p", "reciprocal"]:
    case(name, getattr(torch, name), p)
for name in ["add", "sub", "mul", "div", "maximum", "minimum", "atan2", "fmod", "remainder", "pow"]:
    f = getattr(torch, name)
    case(name, f, p if name == "pow" else x, normal(3, 1) + 2)
for name in ["add", "sub", "mul", "maximum", "minimum", "fmod", "remainder", "floor_divide"]:
    case(name + "_int", getattr(torch, name), n, whole(5, 2, 3, 5) + 1)
for name in ["eq", "ne", "lt", "le", "gt", "ge"]:
    f = getattr(torch, name)
    case(name, f, n, whole(3, 3, 5))
    case(name + "_s", lambda a, f=f: f(a, 0.5), n)
    case(name + "_m", f, n, x)
for name in [
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
]:
    case(name, getattr(torch, name), b, normal(2, 3, 5) > 0)
case("bitwise_not", torch.bitwise_not, b)
case("bitwise_not_i", torch.bitwise_not, n)
case("add_alpha", lambda a, d: torch.add(a, d, alpha=2.5), x, x * 2)
case("add_mixed", lambda a, d: a + d, n, x)
case("rsub", lambda a: 3 - a, x)
case("rdiv", lambda a: 3 / a, p)
case("div_int", lambda a, d: a / d, n, whole(5, 2, 3, 5) + 1)
case("div_floor", lambda a, d: torch.div(a, d, rounding_mode="floor"), x, p)
case("div_trunc", lambda a, d: torch.div(a, d, rounding_mode="trunc"), n, whole(5, 2, 3, 5) + 1)
case("pow2", lambda a: a**2, x)
case("pow3", lambda a: a**3, x)
case("pow.5", lambda a: a**0.5, p)
case("pow1.7", lambda a: a**1.7, p)
case("powi", lambda a: a**2, n)
case("spow", lambda a: 2**a, x)
case("clamp", lambda a: a.clamp(-0.3, 0.7), x)
case("clampmin", lambda a: a.clamp(min=0.1), x)
case("clamp_t", lambda a, d: torch.clamp(a, max=d), x, p)
case("hardtanh", lambda a: F.hardtanh(a, -2, 0.5), x)
case("hardtanh1", F.hardtanh, x)
case("leaky", lambda a: F.leaky_relu(a, 0.2), x)
case("prelu", lambda a, w: F.prelu(a, w), x, normal(3))
case("elu2", lambda a: F.elu(a, 0.5), x)
case("gelu_t", lambda a: F.gelu(a, approximate="tanh"), x)
case("softplusb", lambda a: F.softplus(a, beta=2.0), x)
case("glu", lambda a: F.glu(a, 1), normal(2, 4))
case("threshold", lambda a: F.threshold(a, 0.1, -3.0), x)
case("hardshrink", F.hardshrink, x)
case("softshrink", F.softshrink, x)
case("lerp", lambda a, d: torch.lerp(a, d, 0.3), x, p)
case("addcmul", lambda a, d: torch.addcmul(a, d, d, value=0.4), x, p)
case("addcdiv", lambda a, d: torch.addcdiv(a, a, d), x, p)
case("sum_bool", lambda a: a.sum(), b)
for name in [
    "sum",
    "mean",
    "amax",
    "amin",
    "prod",
    "var",
    "std",
    "logsumexp",
    "any",
    "all",
    "argmax",
    "argmin",
]:
    f = getattr(torch, name)
    case(name + "_d", lambda a, f=f: f(a, dim=1), b if name in ("any", "all") else x)
    case(name + "_k", lambda a, f=f: f(a, dim=-1, keepdim=True), b if name in ("any", "all") else x)
    if name not in ("amax", "amin", "logsumexp"):
        case(name + "_all", lambda a, f=f: f(a), b if name in ("any", "all") else x)
case("max_all", torch.max, x)
case("min_all", torch.min, n)
case("maxd", lambda a: tuple(torch.max(a, 1)), x)
case("mind", lambda a: tuple(torch.min(a, 1, keepdim=True)), n)
case("sum_i", lambda a: a.sum((0, 2)), n)
case("var0", lambda a: a.var((1, 2), correction=0), x)
case("varmean", lambda a: torch.var_mean(a, 1), x)
case("cumsum", lambda a: a.cumsum(1), x)
case("cumsumi", lambda a: a.cumsum(-1), n)
case("norm2", lambda a: torch.linalg.vector_norm(a, dim=1), x)
case("norm1", lambda a: a.norm(1, -1), x)
case("norminf", lambda a: torch.linalg.vector_norm(a, float("inf")), x)
case("norm3", lambda a: a.norm(3, -1), x)
case("norm0", lambda a: torch.linalg.vector_norm(a.relu(), 0, 1), x)
case("normalize", lambda a: F.normalize(a, dim=1), x)
case("cosine", lambda a, d: F.cosine_similarity(a, d, dim=1), x, p)
case("isinf_i", torch.isinf, n)
case("eq_b", lambda a: a == torch.tensor(2), b)
case("lt_b", lambda a: torch.tensor(-1) < a, b)
case("eq_bf", lambda a: a == torch.tensor(0.5), b)
case("softmax", lambda a: F.softmax(a, 1), x)
case("logsoftmax", lambda a: F.log_softmax(a, -1), x)
case("softplus_t", lambda a: F.softplus(a, 2, 1), x)
case("softmin", lambda a: F.softmin(a, -1), x)

CASES: list[Case] = table.cases
