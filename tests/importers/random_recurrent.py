"""Random files of one recurrent layer, of float32 weights or of 8-bit ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from random_draw import F32, I8, Draw, Trial, gen

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import Tensor

RELU, RELU_N1_TO_1, RELU6, TANH = 1, 2, 3, 4


def weights(d: Draw, dtype: DType, *shape: int) -> Tensor:
    if dtype is F32:
        return Tensor(TensorType(shape, F32), d.rng.normal(0, 0.4, shape).astype(np.float32))
    t = TensorType(shape, I8, QParams.per_tensor(float(np.float32(d.rng.uniform(0.002, 0.01))), 0))
    return Tensor(t, d.rng.integers(-127, 128, shape).astype(np.int8))


def state(*shape: int) -> Tensor:
    return Tensor(TensorType(shape, F32), is_variable=True)


def sequence(d: Draw, time: int, batch: int, size: int, major: bool) -> Tensor:
    return d.input(TensorType((time, batch, size) if major else (batch, time, size), F32))


def many(d: Draw, given: bool, count: int, *shape: int) -> list[Tensor | None]:
    """Weights of float32, or none."""
    return [weights(d, F32, *shape) if given else None for _ in range(count)]


@gen("UNIDIRECTIONAL_SEQUENCE_LSTM")
def lstm(d: Draw, name: str) -> Trial:
    d.wild = d.zero = False
    dtype = d.one((F32, F32, I8))
    time, batch, size, cells = d.int(1, 4), d.int(1, 3), d.int(1, 9), d.int(1, 9)
    projected, peephole, normed, coupled, major = (d.chance(0.4) for _ in range(5))
    out = d.int(1, 6) if projected else cells
    absent: Sequence[Tensor | None] = [None] if coupled else []
    gates = 3 if coupled else 4
    inputs: list[Tensor | None] = [sequence(d, time, batch, size, major)]
    for columns in (size, out):
        inputs += [*absent, *(weights(d, dtype, cells, columns) for _ in range(gates))]
    diagonal = [weights(d, dtype, cells) for _ in range(3)]
    inputs += [None if not peephole or (coupled and i == 0) else w for i, w in enumerate(diagonal)]
    inputs += [*absent, *many(d, True, gates, cells)]
    inputs += [weights(d, dtype, out, cells) if projected else None]
    inputs += many(d, projected and d.chance(0.5), 1, out)
    inputs += [state(batch, out), state(batch, cells)]
    if normed:
        inputs += [*absent, *many(d, True, gates, cells)]
    clip, projection_clip = d.one((0.0, 0.0, 0.7)), d.one((0.0, 0.0, 0.5))
    return d.trial(
        name,
        inputs,
        [TensorType((), F32)],
        "UnidirectionalSequenceLSTMOptions",
        scaled=True,
        FusedActivationFunction=TANH,
        TimeMajor=major,
        CellClip=clip,
        ProjClip=projection_clip if projected else 0.0,
        AsymmetricQuantizeInputs=d.chance(0.5),
    )


@gen("UNIDIRECTIONAL_SEQUENCE_RNN", "RNN")
def rnn(d: Draw, name: str) -> Trial:
    d.wild = d.zero = False
    dtype = d.one((F32, F32, I8))
    time, batch, size, cells = d.int(1, 4), d.int(1, 3), d.int(1, 9), d.int(1, 9)
    major, one = d.chance(0.4), name == "RNN"
    x = d.input(TensorType((batch, size), F32)) if one else sequence(d, time, batch, size, major)
    inputs = [x, weights(d, dtype, cells, size), weights(d, dtype, cells, cells)]
    inputs += [weights(d, F32, cells), state(batch, cells)]
    return d.trial(
        name,
        inputs,
        [TensorType((), F32)],
        "RNNOptions" if one else "SequenceRNNOptions",
        scaled=True,
        FusedActivationFunction=d.one((RELU, RELU_N1_TO_1, RELU6, TANH)),
        AsymmetricQuantizeInputs=d.chance(0.5),
        **({} if one else {"TimeMajor": major}),
    )


@gen("SVDF")
def svdf(d: Draw, name: str) -> Trial:
    d.wild = d.zero = False
    dtype = d.one((F32, F32, I8))
    batch, size, units, rank, memory = (d.int(1, n) for n in (3, 9, 6, 3, 8))
    filters = units * rank
    inputs = [
        d.input(TensorType((batch, size), F32)),
        weights(d, dtype, filters, size),
        weights(d, dtype, filters, memory),
        *many(d, d.chance(0.5), 1, units),
        state(batch, memory * filters),
    ]
    return d.trial(
        name,
        inputs,
        [TensorType((), F32)],
        "SVDFOptions",
        scaled=True,
        Rank=rank,
        FusedActivationFunction=d.one((0, RELU)),
        AsymmetricQuantizeInputs=d.chance(0.5),
    )
