"""What processor intrinsics mean, in LLVM text that every target can compile.

Each definition is made by a function of the vector's width and listed in MEANINGS under the
intrinsic's name. Sources: Intel's Intrinsics Guide; Arm A64 instruction set architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_CALL = re.compile(r"@(llvm\.(?:x86|aarch64)\.[\w.]+)")
_DECLARE = re.compile(r"^declare [^@\n]*@llvm\.(?:x86|aarch64)\.[^\n]*\n?", re.MULTILINE)
_ATTRIBUTE = re.compile(r' ?"(?:target-features|target-cpu|prefer-vector-width)"="[^"]*"')
_TRIPLE = re.compile(r"^target (?:triple|datalayout) = [^\n]*\n?", re.MULTILINE)


def portable_text(text: str) -> str:
    """LLVM text with every x86 and aarch64 intrinsic replaced by a definition of its meaning.

    Given    %r = call <4 x i32> @llvm.x86.sse2.cvtps2dq(<4 x float> %x)
    Result   %r = call <4 x i32> @meaning.x86.sse2.cvtps2dq(<4 x float> %x), and its definition

    Target triples, data layouts and feature attributes are dropped. Raises KeyError naming an
    intrinsic that MEANINGS lacks.
    """
    text = _TRIPLE.sub("", _ATTRIBUTE.sub("", _DECLARE.sub("", text)))
    used = sorted(set(_CALL.findall(text)))
    bodies = [MEANINGS[name]() for name in used]
    declares = sorted({line for _, needs, _ in bodies for line in needs if line not in text})
    definitions = [
        f"define internal {result} @{_renamed(name)}({arguments}) nounwind {{\n{body}\n}}"
        for name, (signature, _, body) in zip(used, bodies, strict=True)
        for result, arguments in [signature]
    ]
    renamed = _CALL.sub(lambda m: "@" + _renamed(m[1]), text)
    return "\n".join([*declares, renamed, *definitions, ""])


def _renamed(name: str) -> str:
    return name.replace("llvm.", "meaning.", 1)


_Meaning = tuple[tuple[str, str], list[str], str]


def _pick(indices: Sequence[int]) -> str:
    return f"<{len(indices)} x i32> <" + ", ".join(f"i32 {i}" for i in indices) + ">"


def _sum_groups(value: str, lanes: int, group: int, acc: str | None) -> list[str]:
    """%sum = acc + the sums of neighbouring int32 products, `group` to a lane."""
    wide = f"<{lanes * group} x i32>"
    lines, total = [], acc
    for i in range(group):
        chosen = _pick(range(i, lanes * group, group))
        lines.append(f"  %g{i} = shufflevector {wide} {value}, {wide} poison, {chosen}")
        if total is None:
            total = f"%g{i}"
        else:
            lines.append(f"  %s{i} = add <{lanes} x i32> {total}, %g{i}")
            total = f"%s{i}"
    return [*lines, f"  ret <{lanes} x i32> {total}"]


def _dot(lanes: int, sign_a: str, sign_b: str) -> _Meaning:
    n = 4 * lanes
    body = [
        f"  %x = {sign_a}ext <{n} x i8> %a to <{n} x i32>",
        f"  %y = {sign_b}ext <{n} x i8> %b to <{n} x i32>",
        f"  %p = mul <{n} x i32> %x, %y",
        *_sum_groups("%p", lanes, 4, "%acc"),
    ]
    arguments = f"<{lanes} x i32> %acc, <{n} x i8> %a, <{n} x i8> %b"
    return (f"<{lanes} x i32>", arguments), [], "\n".join(body)


def _multiply_add_words(lanes: int) -> _Meaning:
    n = 2 * lanes
    body = [
        f"  %x = sext <{n} x i16> %a to <{n} x i32>",
        f"  %y = sext <{n} x i16> %b to <{n} x i32>",
        f"  %p = mul <{n} x i32> %x, %y",
        *_sum_groups("%p", lanes, 2, None),
    ]
    return (f"<{lanes} x i32>", f"<{n} x i16> %a, <{n} x i16> %b"), [], "\n".join(body)


def _clamp(value: str, ty: str, lo: int, hi: int, out: str) -> tuple[list[str], list[str]]:
    """Lines that clamp a vector of a signed type, and the declarations they need."""
    lanes, scalar = ty[1:-1].split(" x ")
    name = f"v{lanes}{scalar}"
    lines = [
        f"  %lo{out} = call {ty} @llvm.smax.{name}({ty} {value}, {ty} splat ({scalar} {lo}))",
        f"  %{out} = call {ty} @llvm.smin.{name}({ty} %lo{out}, {ty} splat ({scalar} {hi}))",
    ]
    return lines, [f"declare {ty} @llvm.{f}.{name}({ty}, {ty})" for f in ("smax", "smin")]


def _pack(bits: int, lanes: int, signed: bool) -> _Meaning:
    """Two vectors of `lanes` numbers of `bits` bits, halved with saturation, in 128-bit lanes."""
    half = bits // 2
    lo, hi = (-(1 << half - 1), (1 << half - 1) - 1) if signed else (0, (1 << half) - 1)
    ty, out = f"<{lanes} x i{bits}>", f"<{2 * lanes} x i{half}>"
    body: list[str] = []
    needs: list[str] = []
    for name in "ab":
        lines, needs = _clamp(f"%{name}", ty, lo, hi, f"c{name}")
        body += [*lines, f"  %t{name} = trunc {ty} %c{name} to <{lanes} x i{half}>"]
    step = 128 // bits
    order = [
        i + source
        for first in range(0, lanes, step)
        for source in (0, lanes)
        for i in range(first, first + step)
    ]
    part = f"<{lanes} x i{half}>"
    body += [f"  %r = shufflevector {part} %ta, {part} %tb, {_pick(order)}", f"  ret {out} %r"]
    return (out, f"{ty} %a, {ty} %b"), needs, "\n".join(body)


def _narrow(bits: int, lanes: int) -> _Meaning:
    half = bits // 2
    ty, out = f"<{lanes} x i{bits}>", f"<{lanes} x i{half}>"
    lines, needs = _clamp("%a", ty, -(1 << half - 1), (1 << half - 1) - 1, "c")
    body = [*lines, f"  %r = trunc {ty} %c to {out}", f"  ret {out} %r"]
    return (out, f"{ty} %a"), needs, "\n".join(body)


def _round_x86(lanes: int, masked: bool) -> _Meaning:
    """Ties to even; what int32 cannot hold becomes -2**31. Masked: %m of lanes, else %rest."""
    real, whole, bit = f"<{lanes} x float>", f"<{lanes} x i32>", f"<{lanes} x i1>"
    body = [
        f"  %r = call {real} @llvm.roundeven.v{lanes}f32({real} %x)",
        f"  %above = fcmp oge {real} %r, splat (float -2147483648.0)",
        f"  %below = fcmp olt {real} %r, splat (float 2147483648.0)",
        f"  %fits = and {bit} %above, %below",
        f"  %safe = select {bit} %fits, {real} %r, {real} zeroinitializer",
        f"  %i = fptosi {real} %safe to {whole}",
        f"  %v = select {bit} %fits, {whole} %i, {whole} splat (i32 -2147483648)",
    ]
    arguments = f"{real} %x"
    if masked:
        arguments += f", {whole} %rest, i{lanes} %m, i32 %mode"
        body += [
            f"  %lanes = bitcast i{lanes} %m to {bit}",
            f"  %kept = select {bit} %lanes, {whole} %v, {whole} %rest",
        ]
    body.append(f"  ret {whole} %{'kept' if masked else 'v'}")
    needs = [f"declare {real} @llvm.roundeven.v{lanes}f32({real})"]
    return (whole, arguments), needs, "\n".join(body)


def _round_aarch64(lanes: int) -> _Meaning:
    """Ties to even; saturates; a NaN becomes 0."""
    real, whole = f"<{lanes} x float>", f"<{lanes} x i32>"
    body = [
        f"  %r = call {real} @llvm.roundeven.v{lanes}f32({real} %x)",
        f"  %v = call {whole} @llvm.fptosi.sat.v{lanes}i32.v{lanes}f32({real} %r)",
        f"  ret {whole} %v",
    ]
    needs = [
        f"declare {real} @llvm.roundeven.v{lanes}f32({real})",
        f"declare {whole} @llvm.fptosi.sat.v{lanes}i32.v{lanes}f32({real})",
    ]
    return (whole, f"{real} %x"), needs, "\n".join(body)


def _shuffle_bytes(n: int) -> _Meaning:
    """Byte i of %b picks a byte of its own 128-bit lane of %a, or 0 where its top bit is set."""
    ty = f"<{n} x i8>"
    lines, last = [], "zeroinitializer"
    for i in range(n):
        lines += [
            f"  %k{i} = extractelement {ty} %b, i32 {i}",
            f"  %o{i} = and i8 %k{i}, 15",
            f"  %j{i} = add i8 %o{i}, {i // 16 * 16}",
            f"  %e{i} = extractelement {ty} %a, i8 %j{i}",
            f"  %z{i} = icmp slt i8 %k{i}, 0",
            f"  %v{i} = select i1 %z{i}, i8 0, i8 %e{i}",
            f"  %r{i} = insertelement {ty} {last}, i8 %v{i}, i32 {i}",
        ]
        last = f"%r{i}"
    return (ty, f"{ty} %a, {ty} %b"), [], "\n".join([*lines, f"  ret {ty} {last}"])


def _dot_bf16(lanes: int) -> _Meaning:
    """Two products of bfloat16 a lane, each added to float32 with one rounding."""
    n, real, whole = 2 * lanes, f"<{lanes} x float>", f"<{lanes} x i32>"
    body: list[str] = []
    for name in "ab":
        body.append(f"  %w{name} = bitcast <{n} x bfloat> %{name} to {whole}")
        for i, line in enumerate(("shl {} {}, splat (i32 16)", "and {} {}, splat (i32 -65536)")):
            body.append(f"  %i{name}{i} = {line.format(whole, f'%w{name}')}")
            body.append(f"  %{name}{i} = bitcast {whole} %i{name}{i} to {real}")
    total = "%acc"
    for i in range(2):
        operands = f"{real} %a{i}, {real} %b{i}, {real} {total}"
        body.append(f"  %s{i} = call {real} @llvm.fma.v{lanes}f32({operands})")
        total = f"%s{i}"
    body.append(f"  ret {real} {total}")
    arguments = f"{real} %acc, <{n} x bfloat> %a, <{n} x bfloat> %b"
    needs = [f"declare {real} @llvm.fma.v{lanes}f32({real}, {real}, {real})"]
    return (real, arguments), needs, "\n".join(body)


MEANINGS: dict[str, Callable[[], _Meaning]] = {
    "llvm.x86.avx512.vpdpbusd.128": lambda: _dot(4, "z", "s"),
    "llvm.x86.avx512.vpdpbusd.256": lambda: _dot(8, "z", "s"),
    "llvm.x86.avx512.vpdpbusd.512": lambda: _dot(16, "z", "s"),
    "llvm.x86.avx512bf16.dpbf16ps.128": lambda: _dot_bf16(4),
    "llvm.x86.avx512bf16.dpbf16ps.256": lambda: _dot_bf16(8),
    "llvm.x86.avx512bf16.dpbf16ps.512": lambda: _dot_bf16(16),
    "llvm.x86.sse2.pmadd.wd": lambda: _multiply_add_words(4),
    "llvm.x86.avx2.pmadd.wd": lambda: _multiply_add_words(8),
    "llvm.x86.avx512.pmaddw.d.512": lambda: _multiply_add_words(16),
    "llvm.x86.sse2.packssdw.128": lambda: _pack(32, 4, True),
    "llvm.x86.avx2.packssdw": lambda: _pack(32, 8, True),
    "llvm.x86.avx512.packssdw.512": lambda: _pack(32, 16, True),
    "llvm.x86.sse2.packsswb.128": lambda: _pack(16, 8, True),
    "llvm.x86.avx2.packsswb": lambda: _pack(16, 16, True),
    "llvm.x86.avx512.packsswb.512": lambda: _pack(16, 32, True),
    "llvm.x86.sse2.packuswb.128": lambda: _pack(16, 8, False),
    "llvm.x86.avx2.packuswb": lambda: _pack(16, 16, False),
    "llvm.x86.avx512.packuswb.512": lambda: _pack(16, 32, False),
    "llvm.x86.sse2.cvtps2dq": lambda: _round_x86(4, False),
    "llvm.x86.avx.cvt.ps2dq.256": lambda: _round_x86(8, False),
    "llvm.x86.avx512.mask.cvtps2dq.512": lambda: _round_x86(16, True),
    "llvm.x86.ssse3.pshuf.b.128": lambda: _shuffle_bytes(16),
    "llvm.x86.avx2.pshuf.b": lambda: _shuffle_bytes(32),
    "llvm.x86.avx512.pshuf.b.512": lambda: _shuffle_bytes(64),
    "llvm.aarch64.neon.sdot.v4i32.v16i8": lambda: _dot(4, "s", "s"),
    "llvm.aarch64.neon.udot.v4i32.v16i8": lambda: _dot(4, "z", "z"),
    "llvm.aarch64.neon.usdot.v4i32.v16i8": lambda: _dot(4, "z", "s"),
    "llvm.aarch64.neon.bfdot.v4f32.v8bf16": lambda: _dot_bf16(4),
    "llvm.aarch64.neon.fcvtns.v4i32.v4f32": lambda: _round_aarch64(4),
    "llvm.aarch64.neon.sqxtn.v4i16": lambda: _narrow(32, 4),
    "llvm.aarch64.neon.sqxtn.v8i8": lambda: _narrow(16, 8),
}
