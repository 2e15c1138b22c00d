"""Intrinsics give numpy's bits on each machine, and so do their portable definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.codegen.jit import compile_ir
from edgewise.codegen.target import Target, host
from emulate import Machine, Out, invoke, machine_for, machine_or_skip, portable_text
from emulate.portable import MEANINGS

Array = npt.NDArray[Any]

AVX512VNNI = Target(
    "x86_64-unknown-linux-gnu",
    "x86-64",
    ("avx512bw", "avx512dq", "avx512f", "avx512vl", "avx512vnni"),
)
BF16 = Target("aarch64-unknown-linux-gnu", "generic", ("bf16", "neon"))
I8MM = Target("aarch64-unknown-linux-gnu", "generic", ("dotprod", "i8mm", "neon"))


def apply_text(name: str, arguments: str, result: str) -> str:
    """A kernel whose params are pointers to each argument and to the result of one intrinsic."""
    types = arguments.split(", ")
    lines = []
    for i in range(len(types) + 1):
        lines.append(f"  %p{i} = getelementptr i8, ptr %params, i64 {8 * i}")
        lines.append(f"  %a{i} = load ptr, ptr %p{i}")
    for i, ty in enumerate(types):
        lines.append(f"  %x{i} = load {ty}, ptr %a{i}, align 1")
    values = ", ".join("i32 4" if ty == "i32" else f"{ty} %x{i}" for i, ty in enumerate(types))
    lines.append(f"  %r = call {result} @{name}({values})")
    lines.append(f"  store {result} %r, ptr %a{len(types)}, align 1")
    body = "\n".join(lines)
    return (
        f"declare {result} @{name}({arguments})\n"
        f"define void @kernel(ptr %params, i64 %begin, i64 %end) {{\n{body}\n  ret void\n}}\n"
    )


def signature(name: str) -> tuple[str, str]:
    (result, arguments), _, _ = MEANINGS[name]()
    return result, ", ".join(a.rsplit(" %", 1)[0] for a in arguments.split(", "))


DTYPES = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "float": np.float32}


def random_array(ty: str, rng: np.random.Generator) -> Array:
    if not ty.startswith("<"):
        return rng.integers(0, 2**16, 1).astype(np.uint16 if ty == "i16" else np.int32)
    lanes, scalar = ty[1:-1].split(" x ")
    if scalar == "bfloat":
        return random_array(f"<{lanes} x float>", rng).view(np.uint16)[1::2]
    if scalar == "float":
        special = [0.5, 1.5, -2.5, 2**31, -(2**31), 2**31 - 128, np.inf, -np.inf, np.nan, 3e9]
        some = rng.normal(scale=10.0 ** rng.integers(0, 10), size=int(lanes))
        at = rng.integers(0, int(lanes), 2)
        some[at] = rng.choice(special, 2)
        return some.astype(np.float32)
    info = np.iinfo(DTYPES[scalar])
    some = rng.integers(info.min, info.max + 1, int(lanes))
    small = rng.integers(info.min >> 8, (info.max >> 8) + 1, int(lanes))
    edge = rng.choice([info.min, info.max], int(lanes))
    which = rng.integers(0, 4, int(lanes))
    return np.choose(which, [some, small, edge, some]).astype(DTYPES[scalar])


def numpy_meaning(name: str, *x: Array) -> Array:
    """The exact result of an intrinsic, from the processors' manuals."""
    if "bf" in name:
        a, b = ((v.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for v in x[1:])
        with np.errstate(all="ignore"):
            return (x[0] + (a * b).reshape(-1, 2).sum(1)).astype(np.float32)
    if "dot." in name or "vpdpbusd" in name:
        unsigned_a = "udot" in name or "usdot" in name or "vpdpbusd" in name
        a = x[1].view(np.uint8) if unsigned_a else x[1]
        b = x[2].view(np.uint8) if ".udot" in name else x[2]
        products = a.astype(np.int64) * b.astype(np.int64)
        return (x[0] + products.reshape(-1, 4).sum(1)).astype(np.int32)
    if "pmadd" in name:
        products = x[0].astype(np.int64) * x[1].astype(np.int64)
        return products.reshape(-1, 2).sum(1).astype(np.int32)
    if "pack" in name:
        dtype = np.int16 if "ssdw" in name else np.int8 if "sswb" in name else np.uint8
        info, lane = np.iinfo(dtype), 16 // x[0].itemsize
        rows = np.stack([v.reshape(-1, lane) for v in x], axis=1)
        return rows.clip(info.min, info.max).astype(dtype).ravel()
    if "fcvtns" in name:
        exact = np.nan_to_num(np.rint(x[0].astype(np.float64)), nan=0.0)
        return exact.clip(-(2**31), 2**31 - 1).astype(np.int32)
    if "cvt" in name:
        exact = np.rint(x[0].astype(np.float64))
        fits = (exact >= -(2**31)) & (exact < 2**31)
        y = np.where(fits, exact, -(2.0**31)).astype(np.int32)
        if "mask" in name:
            chosen = np.unpackbits(x[2].view(np.uint8), bitorder="little").astype(bool)
            return np.where(chosen, y, x[1])
        return y
    if "sqxtn" in name:
        dtype = np.int16 if x[0].itemsize == 4 else np.int8
        info = np.iinfo(dtype)
        return x[0].clip(info.min, info.max).astype(dtype)
    if "pshuf" in name:
        data, picks = x[0].reshape(-1, 16), x[1].reshape(-1, 16)
        return np.where(picks < 0, 0, np.take_along_axis(data, (picks & 15).astype(int), 1)).ravel()
    raise AssertionError(name)


def check_intrinsic(machine: Machine, name: str, repeats: int = 12) -> None:
    _, arguments = signature(name)
    rng = np.random.default_rng(2)
    for _ in range(repeats):
        x = [random_array(ty, rng) for ty in arguments.split(", ")]
        want = numpy_meaning(name, *x)
        (got,) = invoke(machine, "kernel", [*x, Out(np.zeros_like(want))])
        if "bf" in name:
            check_sums(got, want, x)
        else:
            np.testing.assert_array_equal(got, want)


def check_sums(got: Array, want: Array, x: list[Array]) -> None:
    """Two products added to a float32, each sum rounded in a way of the processor's own."""
    a, b = (np.abs((v.astype(np.uint32) << 16).view(np.float32).astype(np.float64)) for v in x[1:])
    with np.errstate(all="ignore"):
        size = np.abs(x[0]) + (a * b).reshape(-1, 2).sum(1)
    known = np.isfinite(size)
    assert (np.abs(got[known] - want[known]) <= 2.0**-22 * size[known]).all()
    np.testing.assert_array_equal(got[~known], want[~known])


@pytest.mark.parametrize("name", sorted(n for n in MEANINGS if "avx512bf16" not in n))
def test_intrinsics_do_what_numpy_says(name: str) -> None:
    """Those of AVX512-BF16 no emulator has."""
    target = BF16 if "bf" in name else I8MM if "aarch64" in name else AVX512VNNI
    result, arguments = signature(name)
    with machine_or_skip(machine_for(target)) as machine:
        machine.load(compile_ir(apply_text(name, arguments, result), target))
        check_intrinsic(machine, name)


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_portable_intrinsics_do_what_numpy_says(name: str) -> None:
    result, arguments = signature(name)
    text = portable_text(apply_text(name, arguments, result))
    assert "llvm.x86" not in text
    assert "llvm.aarch64" not in text
    here = host()
    with machine_or_skip("aarch64" if here.arch == "aarch64" else "x86_64") as machine:
        machine.load(compile_ir(text, here))
        check_intrinsic(machine, name)


def test_portable_text_names_what_it_lacks() -> None:
    with pytest.raises(KeyError, match=r"llvm\.x86\.sse2\.mfence"):
        portable_text("declare void @llvm.x86.sse2.mfence()\ncall void @llvm.x86.sse2.mfence()")


@pytest.mark.parametrize("which", ["smmla", "ummla", "usmmla"])
def test_matrix_multiply_of_i8mm(which: str) -> None:
    name = f"llvm.aarch64.neon.{which}.v4i32.v16i8"
    arguments = "<4 x i32>, <16 x i8>, <16 x i8>"
    rng = np.random.default_rng(3)
    with machine_or_skip("aarch64") as machine:
        machine.load(compile_ir(apply_text(name, arguments, "<4 x i32>"), I8MM))
        acc, a, b = (random_array(ty, rng) for ty in arguments.split(", "))
        left = a if which == "smmla" else a.view(np.uint8)
        right = b.view(np.uint8) if which == "ummla" else b
        product = left.reshape(2, 8).astype(int) @ right.reshape(2, 8).astype(int).T
        (got,) = invoke(machine, "kernel", [acc, a, b, Out(np.zeros(4, np.int32))])
        np.testing.assert_array_equal(got, (acc + product.ravel()).astype(np.int32))


@pytest.mark.parametrize("lane", range(4))
def test_dot_by_element_of_i8mm(lane: int) -> None:
    name = "llvm.aarch64.neon.usdot.v4i32.v16i8"
    picks = "<4 x i32> <" + ", ".join([f"i32 {lane}"] * 4) + ">"
    rng = np.random.default_rng(lane)
    acc = rng.integers(-1000, 1000, 4).astype(np.int32)
    a, b = (rng.integers(-128, 128, 16).astype(np.int8) for _ in range(2))
    text = apply_text(name, "<4 x i32>, <16 x i8>, <16 x i8>", "<4 x i32>")
    for first, second, element in (("%x1", "%e", a), ("%e", "%x1", b)):
        splat = f"""
  %w = bitcast <16 x i8> %x2 to <4 x i32>
  %d = shufflevector <4 x i32> %w, <4 x i32> poison, {picks}
  %e = bitcast <4 x i32> %d to <16 x i8>
  %r = call <4 x i32> @{name}(<4 x i32> %x0, <16 x i8> {first}, <16 x i8> {second})"""
        start = text.index("  %r = call")
        changed = text[:start] + splat[1:] + text[text.index("\n", start) :]
        chosen = np.tile(b.reshape(4, 4)[lane], 4)
        u, s = (a, chosen) if element is a else (chosen, a)
        want = acc + (u.view(np.uint8).astype(int) * s).reshape(4, 4).sum(1)
        with machine_or_skip("aarch64") as machine:
            machine.load(compile_ir(changed, I8MM))
            (got,) = invoke(machine, "kernel", [acc, a, b, Out(np.zeros(4, np.int32))])
        np.testing.assert_array_equal(got, want)
