"""Hashes of text, sparse embeddings, skip-grams."""

from __future__ import annotations

from ... import ops
from ...errors import ModelError
from .. import tflite_schema as schema
from ..flatbuffer import INT8
from ..tflite_call import Built, Call, Row
from .indexing import checked

SPARSE, DENSE = 1, 2
COMBINERS = {combiner.value: combiner for combiner in ops.Combiner}


def lsh_projection(call: Call) -> Built:
    kind = call.options.number(schema.LSHProjectionOptions.TYPE, INT8)
    if kind not in (SPARSE, DENSE):
        raise ModelError(f"{call.what}: type {kind}; it is {SPARSE} (SPARSE) or {DENSE} (DENSE)")
    return ops.LshProjection(kind == DENSE), call.operands(0, 1, optional=2)


def embedding_lookup_sparse(call: Call) -> Built:
    """Its operands are (ids, indices, shape, weights, table)."""
    code = call.options.number(schema.EmbeddingLookupSparseOptions.COMBINER, INT8)
    if code not in COMBINERS:
        raise ModelError(f"{call.what}: combiner {code}; it is one of {sorted(COMBINERS)}")
    op = ops.EmbeddingLookupSparse(call.constant(2), COMBINERS[code])
    return checked(call, op, call.operands(0, 1, 3, 4))


def hashtable_lookup(call: Call) -> Built:
    return ops.HashtableLookup(), call.operands(0, 1, 2)


def skip_gram(call: Call) -> Built:
    o = schema.SkipGramOptions
    all_sizes = call.options.flag(o.INCLUDE_ALL_NGRAMS)
    op = ops.SkipGram(call.int32(o.NGRAM_SIZE), call.int32(o.MAX_SKIP_SIZE), all_sizes)
    return op, call.operands(0)


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.EMBEDDING_LOOKUP_SPARSE: Row(
        "EMBEDDING_LOOKUP_SPARSE",
        embedding_lookup_sparse,
        (5, 5),
        schema.EmbeddingLookupSparseOptions.TAG,
    ),
    _B.HASHTABLE_LOOKUP: Row("HASHTABLE_LOOKUP", hashtable_lookup, (3, 3)),
    _B.LSH_PROJECTION: Row(
        "LSH_PROJECTION", lsh_projection, (2, 3), schema.LSHProjectionOptions.TAG
    ),
    _B.SKIP_GRAM: Row("SKIP_GRAM", skip_gram, (1, 1), schema.SkipGramOptions.TAG),
}
