"""Small .tflite files of several subgraphs: loops, conditions, variables, tables, signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as litert_schema

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import Operator, Tensor, build

HANDLE = "handle"
"""Tensors whose names begin so are handles of variables or tables."""


def f32(*shape: int, name: str = "") -> Tensor:
    return Tensor(TensorType(shape, DType.FLOAT32), name=name)


def i32(*shape: int, name: str = "") -> Tensor:
    return Tensor(TensorType(shape, DType.INT32), name=name)


def boolean(name: str = "") -> Tensor:
    return Tensor(TensorType((1,), DType.BOOL), name=name)


def constant(values: Any, dtype: DType = DType.FLOAT32) -> Tensor:
    data = np.asarray(values, dtype.numpy)
    return Tensor(TensorType(data.shape, dtype), data)


def handle(name: str) -> Tensor:
    return Tensor(TensorType((1,), DType.INT32), name=f"{HANDLE} {name}")


def parse(data: bytes) -> Any:
    return litert_schema.ModelT.InitFromPackedBuf(data, 0)


def pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def join(*files: bytes, edit: Callable[[Any], object] | None = None) -> bytes:
    """One file whose subgraphs are those of these files, in order."""
    model, *others = map(parse, files)
    for other in others:
        codes, buffers = len(model.operatorCodes), len(model.buffers)
        model.operatorCodes += other.operatorCodes
        model.buffers += other.buffers
        for graph in other.subgraphs:
            for tensor in graph.tensors:
                tensor.buffer += buffers if tensor.buffer else 0
            for operator in graph.operators or ():
                operator.opcodeIndex += codes
        model.subgraphs += other.subgraphs
    for i, graph in enumerate(model.subgraphs):
        graph.name = f"graph{i}".encode()
        for tensor in graph.tensors:
            if tensor.name.startswith(HANDLE.encode()):
                tensor.type = litert_schema.TensorType.RESOURCE
    if edit is not None:
        edit(model)
    return pack(model)


def signature(
    model: Any, key: str, subgraph: int, inputs: Mapping[str, int], outputs: Mapping[str, int]
) -> None:
    """Add a signature to a ModelT; tensors by their place among inputs or outputs."""
    found = litert_schema.SignatureDefT()
    graph = model.subgraphs[subgraph]
    groups = []
    for names, tensors in ((inputs, graph.inputs), (outputs, graph.outputs)):
        entries = []
        for name, place in names.items():
            entry = litert_schema.TensorMapT()
            entry.name, entry.tensorIndex = name, int(tensors[place])
            entries.append(entry)
        groups.append(entries)
    found.inputs, found.outputs = groups
    found.signatureKey, found.subgraphIndex = key, subgraph
    model.signatureDefs = [*(model.signatureDefs or []), found]


def opened(data: bytes, shapes: Mapping[str, Sequence[int]]) -> bytes:
    """The file whose tensors of these names leave the dimensions -1 open."""
    model = parse(data)
    for tensor in model.subgraphs[0].tensors:
        name = tensor.name.decode()
        if name in shapes:
            tensor.shapeSignature = list(shapes[name])
    return pack(model)


def loop(turns: int | None, *, by: int = 1) -> bytes:
    """(i, x) -> (i, x) after x = x + x * i + 1 while i < turns; i < n, an input, for None.

    With ``turns`` the loop starts at the constant 0, and the inputs are x alone.
    """
    i, x, n = i32(1, name="i"), f32(2, 3, name="x"), i32(1, name="n")
    operands = [constant([0], DType.INT32), x] if turns is not None else [i, x, n]
    results = [Tensor(t.type) for t in operands]
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    main = build(
        [Operator("WHILE", operands, results, "WhileOptions", options)],
        [t for t in operands if t.data is None],
        results,
    )
    more = boolean()
    limit = n if turns is None else constant([turns], DType.INT32)
    given = [i, x, n] if turns is None else [i, x]
    unused = Operator("ADD", [x, constant(0.0)], [f32(2, 3)], "AddOptions")
    ends = [Operator("LESS", [i, limit], [more], "LessOptions"), unused]
    test = build(ends, given, [more])
    j, real, scaled, added, y = i32(1), f32(1), f32(2, 3), f32(2, 3), f32(2, 3)
    steps = [
        Operator("CAST", [i], [real], "CastOptions", {"InDataType": 2, "OutDataType": 0}),
        Operator("MUL", [x, real], [scaled], "MulOptions"),
        Operator("ADD", [x, scaled], [added], "AddOptions"),
        Operator("ADD", [added, constant(1.0)], [y], "AddOptions"),
        Operator("ADD", [i, constant([by], DType.INT32)], [j], "AddOptions"),
    ]
    if turns is None:
        kept = i32(1)
        steps.append(Operator("ADD", [n, constant([0], DType.INT32)], [kept], "AddOptions"))
        return join(main, test, build(steps, given, [j, y, kept]))
    return join(main, test, build(steps, given, [j, y]))


def branch(fixed: bool | None = None) -> bytes:
    """tanh(x) if x[0] > 0, else x * x + 2; ``fixed`` makes the condition a constant."""
    x, y = f32(4, name="x"), f32(4, name="y")
    first, test, zero = f32(1), boolean(), constant([0.0])
    ints = [constant([n], DType.INT32) for n in (0, 1, 1)]
    head = [
        Operator("STRIDED_SLICE", [x, *ints], [first], "StridedSliceOptions"),
        Operator("GREATER", [first, zero], [test], "GreaterOptions"),
    ]
    if fixed is not None:
        head, test = [], constant([fixed], DType.BOOL)
    options = {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2}
    main = build([*head, Operator("IF", [test, x], [y], "IfOptions", options)], [x], [y])
    then = build([Operator("TANH", [x], [y])], [x], [y])
    square = f32(4)
    steps = [
        Operator("MUL", [x, x], [square], "MulOptions"),
        Operator("ADD", [square, constant(2.0)], [y], "AddOptions"),
    ]
    return join(main, then, build(steps, [x], [y]))


def _variable(name: str, tensor: Tensor) -> Operator:
    options = {"Container": "", "SharedName": name}
    return Operator("VAR_HANDLE", [], [tensor], "VarHandleOptions", options)


def _assign(target: Tensor, value: Tensor) -> Operator:
    return Operator("ASSIGN_VARIABLE", [target, value], [], "AssignVariableOptions")


def _read(source: Tensor, value: Tensor) -> Operator:
    return Operator("READ_VARIABLE", [source], [value], "ReadVariableOptions")


def _once(subgraph: int) -> Operator:
    return Operator("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": subgraph})


def initialization(name: str, values: Any) -> bytes:
    """A subgraph that assigns ``values`` to a variable."""
    h = handle("init")
    return build([_variable(name, h), _assign(h, constant(values))], [], [])


def accumulator() -> bytes:
    """x -> total: the sum of all x so far, which starts at (1, 2, 3)."""
    x, h, old, new = f32(3, name="x"), handle("h"), f32(3), f32(3, name="sum")
    steps = [
        _once(1),
        _variable("total", h),
        _read(h, old),
        Operator("ADD", [old, x], [new], "AddOptions"),
        _assign(h, new),
    ]
    return join(build(steps, [x], [new]), initialization("total", [1.0, 2.0, 3.0]))


def counter_in_a_loop() -> bytes:
    """n -> what a variable holds after n turns that each add 1 to it; IF n > 2 then it doubles."""
    n, h, i0 = i32(1, name="n"), handle("h"), constant([0], DType.INT32)
    i_end, n_end, test, y = i32(1), i32(1), boolean(), f32(1, name="y")
    dummy = f32(1)
    main = build(
        [
            _once(1),
            _variable("v", h),
            Operator(
                "WHILE",
                [i0, n],
                [i_end, n_end],
                "WhileOptions",
                {"CondSubgraphIndex": 2, "BodySubgraphIndex": 3},
            ),
            Operator("GREATER", [n, constant([2], DType.INT32)], [test], "GreaterOptions"),
            Operator(
                "IF",
                [test, n],
                [dummy],
                "IfOptions",
                {"ThenSubgraphIndex": 4, "ElseSubgraphIndex": 5},
            ),
            _read(h, y),
        ],
        [n],
        [y, dummy],
    )
    i, more, j, m = i32(1), boolean(), i32(1), i32(1)
    test_graph = build([Operator("LESS", [i, n], [more], "LessOptions")], [i, n], [more])
    inner, old, new = handle("inner"), f32(1), f32(1)
    body = build(
        [
            _variable("v", inner),
            _read(inner, old),
            Operator("ADD", [old, constant([1.0])], [new], "AddOptions"),
            _assign(inner, new),
            Operator("ADD", [i, constant([1], DType.INT32)], [j], "AddOptions"),
            Operator("ADD", [n, constant([0], DType.INT32)], [m], "AddOptions"),
        ],
        [i, n],
        [j, m],
    )
    twice = build(
        [
            _variable("v", inner),
            _read(inner, old),
            Operator("MUL", [old, constant([2.0])], [new], "MulOptions"),
            _assign(inner, new),
        ],
        [n],
        [new],
    )
    cast = {"InDataType": 2, "OutDataType": 0}
    nothing = build([Operator("CAST", [n], [new], "CastOptions", cast)], [n], [new])
    return join(main, initialization("v", [0.0]), test_graph, body, twice, nothing)


def loop_until_a_variable_is_large() -> bytes:
    """x -> a variable, after x was added to it for as long as it is below 10."""
    x, h, y, end, z = f32(1, name="x"), handle("h"), f32(1, name="y"), f32(1), f32(1)
    options = {"CondSubgraphIndex": 2, "BodySubgraphIndex": 3}
    main = build(
        [
            _once(1),
            Operator("WHILE", [x], [end], "WhileOptions", options),
            _variable("v", h),
            _read(h, y),
        ],
        [x],
        [y],
    )
    inner, old, new, more = handle("inner"), f32(1), f32(1), boolean()
    reads = [_variable("v", inner), _read(inner, old)]
    less = Operator("LESS", [old, constant([10.0])], [more], "LessOptions")
    body = [
        *reads,
        Operator("ADD", [old, x], [new], "AddOptions"),
        _assign(inner, new),
        Operator("ADD", [x, constant([0.0])], [z], "AddOptions"),
    ]
    test = build([*reads, less], [x], [more])
    return join(main, initialization("v", [0.5]), test, build(body, [x], [z]))


def quantized_loop() -> bytes:
    """x -> x after n times a FULLY_CONNECTED and a RELU of int8, n an input."""
    q = TensorType((1, 8), DType.INT8, QParams.per_tensor(0.1, 3))
    rng = np.random.default_rng(3)
    w = Tensor(
        TensorType((8, 8), DType.INT8, QParams.per_tensor(0.02, 0)),
        rng.integers(-127, 128, (8, 8)).astype(np.int8),
    )
    i, n, x = i32(1, name="i"), i32(1, name="n"), Tensor(q, name="x")
    results = [i32(1), i32(1), Tensor(q, name="y")]
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    main = build(
        [Operator("WHILE", [i, n, x], results, "WhileOptions", options)], [i, n, x], results[2:]
    )
    more, dense, y, j, m = boolean(), Tensor(q), Tensor(q), i32(1), i32(1)
    test = build([Operator("LESS", [i, n], [more], "LessOptions")], [i, n, x], [more])
    body = build(
        [
            Operator("FULLY_CONNECTED", [x, w], [dense], "FullyConnectedOptions"),
            Operator("RELU", [dense], [y]),
            Operator("ADD", [i, constant([1], DType.INT32)], [j], "AddOptions"),
            Operator("ADD", [n, constant([0], DType.INT32)], [m], "AddOptions"),
        ],
        [i, n, x],
        [j, m, y],
    )
    return join(main, test, body)


def endless() -> bytes:
    """x -> x after x = x + 1 while x < 1e30."""
    x, y, more = f32(1, name="x"), f32(1, name="y"), boolean()
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    main = build([Operator("WHILE", [x], [y], "WhileOptions", options)], [x], [y])
    test = build([Operator("LESS", [x, constant([1e30])], [more], "LessOptions")], [x], [more])
    body = build([Operator("ADD", [x, constant([1.0])], [y], "AddOptions")], [x], [y])
    return join(main, test, body)


def nonzero() -> bytes:
    """x -> the places of x > 0, how many they are, and tanh(x)."""
    x, test, places = f32(3, 4, name="x"), Tensor(TensorType((3, 4), DType.BOOL)), None
    places = Tensor(TensorType((12, 2), DType.INT64), name="places")
    count, y = i32(2, name="shape"), f32(3, 4, name="y")
    return build(
        [
            Operator("GREATER", [x, constant(0.0)], [test], "GreaterOptions"),
            Operator("WHERE", [test], [places], "WhereOptions"),
            Operator("SHAPE", [places], [count], "ShapeOptions", {"OutType": 2}),
            Operator("TANH", [x], [y]),
        ],
        [x],
        [places, count, y],
    )


def last_words() -> bytes:
    """words -> the words of the call before, at first x and y."""
    t = TensorType((2,), DType.STRING)
    words, before, h = Tensor(t, name="words"), Tensor(t), handle("h")
    first = Tensor(t, np.array([b"x", b"y"], object))
    main = [_once(1), _variable("v", h), _read(h, before), _assign(h, words)]
    return join(
        build(main, [words], [before]), build([_variable("v", h), _assign(h, first)], [], [])
    )


def running_places() -> bytes:
    """i -> the places of a variable that are above 0, after row i of a table was added to it."""
    i, h = i32(1, name="i"), handle("h")
    row, old, new = f32(1, 3), f32(1, 3), f32(1, 3)
    test = Tensor(TensorType((1, 3), DType.BOOL))
    places = Tensor(TensorType((3, 2), DType.INT64), name="places")
    table = constant(np.eye(4, 3))
    steps = [
        _once(1),
        Operator("GATHER", [table, i], [row], "GatherOptions"),
        _variable("sum", h),
        _read(h, old),
        Operator("ADD", [old, row], [new], "AddOptions"),
        _assign(h, new),
        Operator("GREATER", [new, constant(0.0)], [test], "GreaterOptions"),
        Operator("WHERE", [test], [places], "WhereOptions"),
    ]
    return join(build(steps, [i], [places]), initialization("sum", np.zeros((1, 3))))


def lookup() -> bytes:
    """Numbers of int64 -> words, by a table."""
    keys = constant([3, 5, 8], DType.INT64)
    words = Tensor(TensorType((3,), DType.STRING), np.array([b"three", b"five", b"eight"], object))
    default = Tensor(TensorType((1,), DType.STRING), np.array([b"none"], object))
    options = {"TableId": 7, "KeyDtype": 4, "ValueDtype": 5}
    h, inner, size = handle("h"), handle("inner"), Tensor(TensorType((1,), DType.INT64))
    x = Tensor(TensorType((4,), DType.INT64), name="x")
    y = Tensor(TensorType((4,), DType.STRING), name="y")
    main = build(
        [
            _once(1),
            Operator("HASHTABLE", [], [h], "HashtableOptions", options),
            Operator("HASHTABLE_FIND", [h, x, default], [y], "HashtableFindOptions"),
            Operator("HASHTABLE_SIZE", [h], [size], "HashtableSizeOptions"),
        ],
        [x],
        [y, size],
    )
    init = build(
        [
            Operator("HASHTABLE", [], [inner], "HashtableOptions", options),
            Operator("HASHTABLE_IMPORT", [inner, keys, words], [], "HashtableImportOptions"),
        ],
        [],
        [],
    )
    return join(main, init)


def dense_of_any_batch() -> bytes:
    """x[batch, 4] -> softmax of a RESHAPE to (-1, 2, 2) and back of x @ w, of an open batch."""
    x, h, r, s, y = (
        f32(1, 4, name="x"),
        f32(1, 4, name="h"),
        f32(1, 2, 2, name="r"),
        f32(1, 4, name="s"),
        f32(1, 4, name="y"),
    )
    w = constant(np.random.default_rng(1).normal(size=(4, 4)))
    reshape = {"NewShape": [-1, 2, 2]}
    flat = {"NewShape": [-1, 4]}
    data = build(
        [
            Operator("FULLY_CONNECTED", [x, w], [h], "FullyConnectedOptions"),
            Operator(
                "RESHAPE", [h, constant([-1, 2, 2], DType.INT32)], [r], "ReshapeOptions", reshape
            ),
            Operator("RESHAPE", [r, constant([-1, 4], DType.INT32)], [s], "ReshapeOptions", flat),
            Operator("SOFTMAX", [s], [y], "SoftmaxOptions", {"Beta": 1.0}),
        ],
        [x],
        [y],
    )
    shapes = {"x": [-1, 4], "h": [-1, 4], "r": [-1, 2, 2], "s": [-1, 4], "y": [-1, 4]}
    return opened(data, shapes)


def sparse_weights(shape: Sequence[int], blocks: Sequence[int], share: float) -> Any:
    """Random float32, of which only a ``share`` of the blocks is not zero."""
    rng = np.random.default_rng(len(shape))
    rest = [n // b for n, b in zip(shape, blocks, strict=True)]
    kept = rng.random(rest) < share
    mask = kept.repeat(blocks[0], 0)
    for axis in range(1, len(shape)):
        mask = mask.repeat(blocks[axis], axis)
    return (rng.integers(1, 9, tuple(shape)) * mask).astype(np.float32)


VECTORS = {
    1: (litert_schema.SparseIndexVector.Int32Vector, litert_schema.Int32VectorT),
    2: (litert_schema.SparseIndexVector.Uint16Vector, litert_schema.Uint16VectorT),
    3: (litert_schema.SparseIndexVector.Uint8Vector, litert_schema.Uint8VectorT),
}


def sparse_sum() -> bytes:
    """x + w, where w is stored in blocks of 1 x 4."""
    dense = sparse_weights((6, 8), (1, 4), 0.5)
    w, x, made, y = constant(dense), f32(6, 8, name="x"), f32(6, 8), f32(6, 8, name="y")
    operators = [
        Operator("DENSIFY", [w], [made], "DensifyOptions"),
        Operator("ADD", [x, made], [y], "AddOptions"),
    ]
    return stored_sparse(build(operators, [x], [y]), 0, dense, (0, 1, 2), (1,), (4,), 1)


def stored_sparse(
    data: bytes,
    tensor: int,
    dense: Any,
    order: Sequence[int],
    blocked: Sequence[int],
    blocks: Sequence[int],
    width: int,
    compressed: Sequence[int] | None = None,
) -> bytes:
    """The file with a constant stored sparse: dimensions ``compressed`` of the order are CSR.

    Without ``compressed``, that is the last one that is no block.
    """
    rank = dense.ndim
    compressed = (rank - 1,) if compressed is None else compressed
    sizes = dict(zip(blocked, blocks, strict=True))
    split = [(n // sizes.get(a, 1), sizes.get(a, 1)) for a, n in enumerate(dense.shape)]
    stored = dense.reshape([n for pair in split for n in pair])
    axes = [2 * a if a < rank else 2 * blocked[a - rank] + 1 for a in order]
    rest = [i for i in range(2 * rank) if i not in axes]
    stored = stored.transpose([*axes, *rest]).reshape([stored.shape[a] for a in axes])

    parents = [stored]
    levels = []
    for place, size in enumerate(stored.shape):
        level = litert_schema.DimensionMetadataT()
        level.format, level.denseSize = int(place in compressed), 0 if place in compressed else size
        children = [[(i, child[i]) for i in range(size)] for child in parents]
        if place in compressed:
            children = [[(i, c) for i, c in row if np.any(c)] for row in children]
            kind, vector = VECTORS[width]
            segments, indices = vector(), vector()
            segments.values = np.cumsum([0, *map(len, children)]).tolist()
            indices.values = [i for row in children for i, _ in row]
            level.arraySegmentsType = level.arrayIndicesType = kind
            level.arraySegments, level.arrayIndices = segments, indices
        parents = [c for row in children for _, c in row]
        levels.append(level)
    sparsity = litert_schema.SparsityParametersT()
    sparsity.traversalOrder, sparsity.blockMap = list(order), list(blocked) or None
    sparsity.dimMetadata = levels

    model = parse(data)
    target = model.subgraphs[0].tensors[tensor]
    target.sparsity = sparsity
    values = np.array([float(c) for c in parents], dense.dtype)
    model.buffers[target.buffer].data = list(values.tobytes()) or None
    return pack(model)
