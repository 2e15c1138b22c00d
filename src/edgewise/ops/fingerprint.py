"""FarmHash Fingerprint64 (Geoff Pike, 2014), a hash of bytes that never changes."""

from __future__ import annotations

import struct

MASK = 2**64 - 1
K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _word(data: bytes, at: int) -> int:
    word: int = struct.unpack_from("<Q", data, at)[0]
    return word


def _rotate(x: int, bits: int) -> int:
    x &= MASK
    return (x >> bits | x << (64 - bits)) & MASK


def _mix(x: int) -> int:
    x &= MASK
    return x ^ x >> 47


def _join(u: int, v: int, mul: int) -> int:
    v &= MASK
    return _mix((v ^ _mix((u ^ v) * mul)) * mul) * mul & MASK


def fingerprint64(data: bytes) -> int:
    """The hash of ``data`` as a signed number of 64 bits."""
    hashed = _unsigned(data)
    return hashed - 2**64 if hashed >= 2**63 else hashed


def _unsigned(data: bytes) -> int:
    n = len(data)
    if n == 0:
        return K2
    if n < 4:
        y, z = data[0] + (data[n >> 1] << 8), n + (data[n - 1] << 2)
        return _mix(y * K2 ^ z * K0) * K2 & MASK
    mul = K2 + 2 * n
    if n < 8:
        first, last = struct.unpack("<I", data[:4])[0], struct.unpack("<I", data[-4:])[0]
        return _join(n + (first << 3), last, mul)
    if n <= 16:
        a, b = _word(data, 0) + K2, _word(data, n - 8)
        return _join(_rotate(b, 37) * mul + a, (_rotate(a, 25) + b) * mul, mul)
    if n <= 32:
        a, b = _word(data, 0) * K1, _word(data, 8)
        return _half(a, b, _word(data, n - 8) * mul, _word(data, n - 16) * K2, mul)
    if n <= 64:
        a, b = _word(data, 0) * K2, _word(data, 8)
        c, d = _word(data, n - 8) * mul, _word(data, n - 16) * K2
        y = _rotate(a + b, 43) + _rotate(c, 30) + d
        z = _half(a, b, c, d, mul)
        e, f = _word(data, 16) * mul, _word(data, 24)
        g, h = (y + _word(data, n - 32)) * mul, (z + _word(data, n - 24)) * mul
        return _half(e, f, g, h, mul, a)
    return _long(data)


def _half(a: int, b: int, c: int, d: int, mul: int, more: int = K2) -> int:
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    return _join(y, a + _rotate(b + more, 18) + c, mul)


def _long(data: bytes) -> int:
    """The hash of more than 64 bytes: blocks of 64, then the last 64."""
    x, y = 81, (81 * K1 + 113) & MASK
    z = _mix(y * K2 + 113) * K2
    v, w = (0, 0), (0, 0)
    x = x * K2 + _word(data, 0)
    blocks = (len(data) - 1) // 64
    for i in range(blocks):
        x, y, z, v, w = _block(data, 64 * i, x, y, z, v, w, K1, 1)
    mul = K1 + ((z & 0xFF) << 1)
    w = (w[0] + ((len(data) - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = _block(data, len(data) - 64, x, y, z, v, w, mul, 9)
    return _join(_join(v[0], w[0], mul) + _mix(y) * K0 + z, _join(v[1], w[1], mul) + x, mul)


Pair = tuple[int, int]


def _block(
    data: bytes, at: int, x: int, y: int, z: int, v: Pair, w: Pair, mul: int, times: int
) -> tuple[int, int, int, Pair, Pair]:
    x = _rotate(x + y + v[0] + _word(data, at + 8), 37) * mul & MASK
    y = _rotate(y + v[1] + _word(data, at + 48), 42) * mul & MASK
    x ^= w[1] * times & MASK
    y += v[0] * times + _word(data, at + 40)
    z = _rotate(z + w[0], 33) * mul & MASK
    v = _weak(data, at, v[1] * mul, x + w[0])
    w = _weak(data, at + 32, z + w[1], y + _word(data, at + 16))
    return z, y & MASK, x, v, w


def _weak(data: bytes, at: int, a: int, b: int) -> Pair:
    words = [_word(data, at + 8 * i) for i in range(4)]
    a += words[0]
    b = _rotate(b + a + words[3], 21)
    c = a
    a += words[1] + words[2]
    b += _rotate(a, 44)
    return (a + words[3]) & MASK, (b + c) & MASK
