"""One operator of a .tflite file, as the function that reads it sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..dtype import DType
from ..errors import ModelError, UnsupportedError
from ..graph import Array, TensorType, Value
from ..ops import Activation, Op
from . import tflite_schema as schema
from .flatbuffer import INT8, INT32, Table
from .limits import ComputedError

if TYPE_CHECKING:
    from .tflite_reading import Reading

Built: TypeAlias = "tuple[Op | tuple[Op, ...], list[Value]]"
"""An operator, or several that follow one another, and the operands of the first."""

DTYPES = {
    0: DType.FLOAT32,
    1: DType.FLOAT16,
    2: DType.INT32,
    3: DType.UINT8,
    4: DType.INT64,
    5: DType.STRING,
    6: DType.BOOL,
    7: DType.INT16,
    8: DType.COMPLEX64,
    9: DType.INT8,
    10: DType.FLOAT64,
    11: DType.COMPLEX128,
    12: DType.UINT64,
    15: DType.UINT32,
    16: DType.UINT16,
}
"""Element types by their number in the schema's TensorType."""

ACTIVATIONS = {
    0: Activation.NONE,
    1: Activation.RELU,
    2: Activation.RELU_N1_TO_1,
    3: Activation.RELU6,
}


def type_name(code: int) -> str:
    """The name of a number of the schema's TensorType, for errors."""
    dtype = DTYPES.get(code)
    return schema.name_of("TensorType", code) if dtype is None else dtype.value


class Call:
    """An operator's options, inputs (None where one is left out) and outputs.

    Methods raise ModelError when the file breaks a rule.

    Attributes:
        what: names it in errors.
        outputs: of the types that the file declares.
        indices: the tensors of its inputs and of its outputs, as the file numbers them.
        intermediates: types of the tensors that only carry quantization (integer LSTM).
        custom_options: the bytes of a custom operator's options.
        reading: what reads the subgraph, for operators that refer to others or to variables.
    """

    __slots__ = (
        "custom_options",
        "indices",
        "inputs",
        "intermediates",
        "options",
        "outputs",
        "reading",
        "what",
    )

    def __init__(
        self,
        what: str,
        options: Table,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value],
        indices: tuple[Sequence[int], Sequence[int]],
        intermediates: Sequence[TensorType],
        custom_options: bytes,
        reading: Reading,
    ) -> None:
        self.what = what
        self.options = options
        self.inputs = inputs
        self.outputs = outputs
        self.indices = indices
        self.intermediates = intermediates
        self.custom_options = custom_options
        self.reading = reading

    def operands(self, *required: int, optional: int | None = None) -> list[Value]:
        """The inputs at these positions, then the one at ``optional`` where it is given."""
        values = [self.value(i) for i in required]
        if optional is not None and optional < len(self.inputs):
            value = self.inputs[optional]
            if value is not None:
                values.append(value)
        return values

    def given(self, count: int) -> tuple[list[Value], tuple[bool, ...]]:
        """The inputs that are there, and for each of ``count`` whether it is."""
        inputs = [*self.inputs, *[None] * (count - len(self.inputs))]
        return [v for v in inputs if v is not None], tuple(v is not None for v in inputs)

    def value(self, index: int) -> Value:
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise ModelError(f"{self.what}: input {index} is left out; it is required")
        return value

    def shape(self, index: int, rank: int | None = None) -> tuple[int, ...]:
        """The shape of an input, whose rank must be ``rank``."""
        shape = self.value(index).type.shape
        if rank is not None and len(shape) != rank:
            raise ModelError(
                f"{self.what}: input {index} has shape {list(shape)}; its rank must be {rank}"
            )
        return shape

    def constant(self, index: int, count: int | None = None) -> tuple[int, ...]:
        """The elements of a constant integer input: exactly ``count``, or at most 16."""
        data = self._constant(index)
        if data.dtype.kind != "i":
            raise ModelError(f"{self.what}: input {index} is {data.dtype}; it must be an int")
        if data.size > 16 if count is None else data.size != count:
            wanted = "at most 16" if count is None else count
            raise ModelError(
                f"{self.what}: input {index} has {data.size} elements; it must have {wanted}"
            )
        return tuple(data.ravel().tolist())

    def scalar(self, index: int) -> int | float:
        """The element of a constant input that has one."""
        data = self._constant(index)
        if data.size != 1:
            raise ModelError(f"{self.what}: input {index} has {data.size} elements; it must have 1")
        number: int | float = data.item()
        return number

    def _constant(self, index: int) -> Array:
        data = self.value(index).data
        if data is None:
            raise ComputedError(
                f"{self.what}: input {index} is computed; only constants are supported there"
            )
        return data

    def axis(self, axis: int, rank: int) -> int:
        """``axis`` counted from 0."""
        if not -rank <= axis < rank:
            raise ModelError(f"{self.what}: axis {axis}; it must be at least -{rank}, below {rank}")
        return axis % rank

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Axes counted from 0, in ascending order, each once."""
        return tuple(sorted({self.axis(a, rank) for a in axes}))

    def int32(self, field: int, default: int = 0) -> int:
        number: int = self.options.number(field, INT32, default)
        return number

    def activation(self, field: int) -> Activation:
        code = self.options.number(field, INT8)
        if code not in ACTIVATIONS:
            known = ", ".join(a.name for a in ACTIVATIONS.values())
            raise UnsupportedError(f"{self.what}: fused activation {code}; supported are {known}")
        return ACTIVATIONS[code]

    def dtype(self, code: int) -> DType:
        if code not in DTYPES:
            raise UnsupportedError(f"{self.what}: element type {type_name(code)} is not supported")
        return DTYPES[code]

    def padding(
        self,
        field: int,
        size: tuple[int, int],
        taps: tuple[int, int],
        stride: tuple[int, int],
    ) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) of windows of ``taps`` pixels, dilation included.

        SAME gives ceil(size / stride) windows, and the odd pixel to the bottom and right.
        """
        code = self.options.number(field, INT8)
        if code == schema.Padding.VALID:
            return 0, 0, 0, 0
        if code != schema.Padding.SAME:
            raise ModelError(f"{self.what}: padding {code}; it is 0 (SAME) or 1 (VALID)")
        if min(stride) < 1 or min(taps) < 1:
            raise ModelError(f"{self.what}: window {taps}, stride {stride}; both are at least 1")
        pads = []
        for n, k, s in zip(size, taps, stride, strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return pads[0], pads[1], pads[2], pads[3]

    def expect_outputs(self, count: int) -> None:
        if count != len(self.outputs):
            raise ModelError(f"{self.what}: {len(self.outputs)} outputs; it must have {count}")


def plain(op: Callable[[], Op]) -> Callable[[Call], Built]:
    """The reader of an operator of one operand and no options."""
    return lambda call: (op(), call.operands(0))


MANY = 4096
"""The most inputs an operator may have."""


class Row(NamedTuple):
    """How an operator of the file is read.

    ``read`` gives None where it defined the outputs itself, through ``Call.reading``; ``inputs``
    is the least and greatest number of its inputs; ``options`` the tag of its options table in the
    schema's union BuiltinOptions, or ``second`` BuiltinOptions2, None where it has no option that
    matters; ``calls`` tells that it refers to other subgraphs; ``outputs``
    is the least number of its outputs.
    """

    name: str
    read: Callable[[Call], Built | None]
    inputs: tuple[int, int] = (1, 1)
    options: int | None = None
    second: bool = False
    calls: bool = False
    outputs: int = 1
