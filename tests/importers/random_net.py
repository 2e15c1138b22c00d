"""A random network as it grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from random_draw import F32, I8, I32, U8, Draw

from edgewise.dtype import QParams
from edgewise.graph import TensorType
from tflite_builder import Operator, Tensor


class Net:
    """A network as it grows; ``live`` are the tensors that operators may read."""

    def __init__(self, seed: int) -> None:
        self.d = Draw((4096, seed))
        d = self.d
        d.zero = False
        d.wild = False
        self.q = d.one((I8, I8, U8))
        self.ops: list[Operator] = []
        self.inputs: list[Tensor] = []
        self.arrays: list[Any] = []
        self.live: list[Tensor] = []
        self.exact: dict[Tensor, bool] = {}
        self.chain = d.chance(0.4)

    def input(self, t: TensorType) -> Tensor:
        x = Tensor(t)
        self.inputs.append(x)
        self.live.append(x)
        self.exact[x] = True
        self.arrays.append(np.asarray(self.d.values(t)))
        return x

    def pick(self, ok: Callable[[Tensor], bool] = lambda t: True) -> Tensor | None:
        c = [t for t in self.live if ok(t)]
        if not c:
            return None
        return c[-1] if self.d.chance(0.85 if self.chain else 0.5) else self.d.one(c)

    def add(self, name, inputs, outs, options="", exact=False, **fields):
        outs = [Tensor(t) for t in outs]
        self.ops.append(Operator(name, inputs, outs, options, fields))
        for o in outs:
            self.live.append(o)
            isint = o.type.dtype not in (F32,)
            self.exact[o] = isint or (
                exact and all(self.exact.get(i, True) for i in inputs if i is not None)
            )
        return outs[0]

    def quant(self) -> QParams:
        low, high = self.q.range
        return QParams.per_tensor(
            float(np.float32(np.exp(self.d.rng.uniform(np.log(0.01), np.log(0.1))))),
            self.d.one((low, high, self.d.int(low, high), (low + high) // 2)),
        )

    def same(self, x, shape=None):
        t = x.type
        return TensorType(tuple(t.shape if shape is None else shape), t.dtype, t.quant)

    def requant(self, x, shape=None):
        t = self.same(x, shape)
        return TensorType(t.shape, t.dtype, self.quant()) if t.quant else t

    def const(self, t):
        return Tensor(t, np.asarray(self.d.values(t)))

    def ints(self, v, dtype=I32):
        a = np.array(v, dtype.numpy)
        return Tensor(TensorType(a.shape, dtype), a)


def out_size(n: int, k: int, s: int, same: bool) -> int:
    return -(-n // s) if same else (n - k) // s + 1


def is4(t):
    return len(t.type.shape) == 4 and real(t)


def real(t):
    return t.type.dtype in (F32, I8, U8)


ACTS = (0, 0, 1, 3, 2)
