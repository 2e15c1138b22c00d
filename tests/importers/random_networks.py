"""Random .tflite networks of a few operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from random_draw import F32
from random_net import Net
from random_steps import STEPS

from edgewise.graph import TensorType
from tflite_builder import build


class Network(NamedTuple):
    """A file, data for its inputs, and for each output whether it is ``exact``: no float sums."""

    content: bytes
    arrays: Sequence[Any]
    exact: Sequence[bool]
    names: Sequence[str]


def draw_network(seed: int) -> Network:
    n = Net(seed)
    d = n.d
    for _ in range(d.int(1, 2)):
        kind = d.one(("f", "q", "q"))
        shape = (
            (d.one((1, 1, 2)), d.int(2, 9), d.int(2, 9), d.one((1, 2, 3, 4, 8, 16)))
            if d.chance(0.8)
            else d.shape(1, 4)
        )
        n.input(TensorType(shape, F32) if kind == "f" else TensorType(shape, n.q, n.quant()))
    want = d.int(5, 15)
    tries = 0
    while len(n.ops) < want and tries < 80:
        tries += 1
        d.one(STEPS)(n)
        n.live = [t for t in n.live if t.type.size > 0]
    made = [t for op in n.ops for t in op.outputs]
    read = {id(i) for op in n.ops for i in op.inputs if i is not None}
    outs = [t for t in made if id(t) not in read] or made[-1:]
    if d.chance(0.4) and made:
        outs.append(d.one(made))
    if d.chance(0.15):
        outs.append(d.one(n.inputs))
    if d.chance(0.15):
        outs.append(d.one(outs))
    if d.chance(0.1):
        c = [i for op in n.ops for i in op.inputs if i is not None and i.data is not None]
        if c:
            outs.append(d.one(c))
    order = d.rng.permutation(len(outs)).tolist()
    outs = [outs[i] for i in order]
    return Network(
        build(n.ops, n.inputs, outs),
        n.arrays,
        [n.exact.get(t, True) for t in outs],
        [o.builtin for o in n.ops],
    )
