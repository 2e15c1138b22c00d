"""Programs of elementwise functions: built of operators, emitted as the kernel ``Pointwise``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import ops
from ..dtype import DType
from ..graph import Array, TensorType
from ..kernels import copy, views
from ..kernels.ir import Type, bool_
from ..kernels.pointwise import HEAVY, Pointwise, Run, Stage
from .context import Context, NoKernelError
from .model import View
from .repeat import lengthen
from .strided import BLOCK, broadcast, outer_fields

FUNCTIONS: Mapping[type[ops.Op], str] = {
    ops.Abs: "abs",
    ops.Acos: "acos",
    ops.Acosh: "acosh",
    ops.Add: "add",
    ops.AddN: "add",
    ops.Asin: "asin",
    ops.Asinh: "asinh",
    ops.Atan: "atan",
    ops.Atanh: "atanh",
    ops.BitwiseAnd: "and",
    ops.BitwiseXor: "xor",
    ops.Cast: "cast",
    ops.Ceil: "ceil",
    ops.Cos: "cos",
    ops.Cosh: "cosh",
    ops.Div: "div",
    ops.Elu: "elu",
    ops.Equal: "eq",
    ops.Erf: "erf",
    ops.Exp: "exp",
    ops.Floor: "floor",
    ops.FloorDiv: "floordiv",
    ops.FloorMod: "floormod",
    ops.Gelu: "gelu",
    ops.Greater: "gt",
    ops.GreaterEqual: "ge",
    ops.HardSwish: "hardswish",
    ops.LeakyRelu: "prelu",
    ops.Less: "lt",
    ops.LessEqual: "le",
    ops.Log: "log",
    ops.LogicalAnd: "and",
    ops.LogicalNot: "not",
    ops.LogicalOr: "or",
    ops.Logistic: "logistic",
    ops.Maximum: "max",
    ops.Minimum: "min",
    ops.Mish: "mish",
    ops.Mul: "mul",
    ops.Neg: "neg",
    ops.NotEqual: "ne",
    ops.PRelu: "prelu",
    ops.Pow: "pow",
    ops.Relu: "relu",
    ops.Relu0To1: "relu0to1",
    ops.Relu6: "relu6",
    ops.ReluN1To1: "relun1to1",
    ops.RightShift: "shr",
    ops.Round: "round",
    ops.Rsqrt: "rsqrt",
    ops.Select: "select",
    ops.ShiftLeft: "shl",
    ops.Sign: "sign",
    ops.Sin: "sin",
    ops.Sinh: "sinh",
    ops.Softplus: "softplus",
    ops.Sqrt: "sqrt",
    ops.Square: "square",
    ops.SquaredDifference: "squareddifference",
    ops.Sub: "sub",
    ops.Tan: "tan",
    ops.Tanh: "tanh",
}
"""The function of ``kernels.pointwise`` that each operator is."""

ACTIVATIONS: Mapping[ops.Activation, str] = {
    ops.Activation.RELU: "relu",
    ops.Activation.RELU_0_TO_1: "relu0to1",
    ops.Activation.RELU6: "relu6",
    ops.Activation.RELU_N1_TO_1: "relun1to1",
}
FLOAT64 = frozenset(
    {
        "abs",
        "add",
        "cast",
        "div",
        "eq",
        "ge",
        "gt",
        "le",
        "lt",
        "max",
        "min",
        "mul",
        "ne",
        "select",
        "sub",
    }
)
"""The functions that take float64."""

MAX_INPUTS = 24


def element(dtype: DType) -> Type:
    """The type of a tensor's elements to a kernel. Raises NoKernelError where it has none."""
    if dtype is DType.BOOL:
        return bool_
    if dtype.numpy.kind not in "iuf":
        raise NoKernelError
    return Type(dtype.numpy.kind, 8 * dtype.itemsize)


@dataclass
class Program:
    """Stages over views that broadcast to ``shape``."""

    ctx: Context
    shape: tuple[int, ...]
    inputs: list[View] = field(default_factory=list)
    constants: dict[View, Array] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)

    def input(self, view: View, data: Array | None = None) -> int:
        """The number of an operand, which is new or known; ``data`` is a constant's."""
        for i, known in enumerate(self.inputs):
            if (known.address, known.strides, known.type) == (
                view.address,
                view.strides,
                view.type,
            ):
                return i
        self.inputs.append(view)
        self.ctx.require(len(self.inputs) <= MAX_INPUTS)
        if data is not None:
            self.constants[view] = data
        return len(self.inputs) - 1

    def scalar(self, x: float | np.generic, dtype: DType) -> int:
        """A constant as an operand."""
        return self.input(self.ctx.constant(np.array(x, dtype.numpy)))

    def stage(self, function: str, operands: tuple[int, ...], result: DType) -> int:
        self.stages.append(Stage(function, operands, element(result)))
        return ~(len(self.stages) - 1)

    def apply(self, op: ops.Op, operands: list[int], types: list[TensorType], out: DType) -> int:
        """The result of an operator that takes operands of ``types``."""
        function = FUNCTIONS[type(op)]
        for dtype in (*(t.dtype for t in types), out):
            self.ctx.require(dtype is not DType.FLOAT16 or function == "cast")
            self.ctx.require(dtype is not DType.FLOAT64 or function in FLOAT64)
        if isinstance(op, ops.Gelu) and op.approximate:
            function = "gelutanh"
        if isinstance(op, ops.LeakyRelu):
            operands = [*operands, self.scalar(op.alpha, out)]
        if isinstance(op, ops.AddN):
            result = operands[0]
            for operand in operands[1:]:
                result = self.stage(function, (result, operand), out)
        else:
            result = self.stage(function, tuple(operands), out)
        activation = getattr(op, "activation", ops.Activation.NONE)
        if activation is not ops.Activation.NONE:
            result = self.stage(ACTIVATIONS[activation], (result,), out)
        return result

    def emit(self, out: View) -> None:
        """Write the last stage's results."""
        operands = [*self.inputs, out]
        sizes = [v.type.dtype.itemsize for v in operands]
        walked = [broadcast(v.shape, v.strides, self.shape) for v in self.inputs]
        pairs = list(zip(operands, [*walked, out.strides], strict=True))
        extents, pairs = lengthen(self.ctx, self.shape, pairs, self.constants)
        operands, strides = [v for v, _ in pairs], [s for _, s in pairs]
        if not extents:
            extents, strides = (1,), [(size,) for size in sizes]
        *outer, n = extents
        last = [s[-1] for s in strides]
        kernel = Pointwise(
            self.ctx.isa,
            tuple(element(v.type.dtype) for v in self.inputs),
            tuple(self.stages),
            tuple(map(run_of, last, sizes)),
            views.OUTER if len(outer) <= views.OUTER else copy.OUTER,
        )
        self.ctx.require(len(outer) <= kernel.outer)
        places = zip(kernel.types, operands, strides, strict=True)
        fields = {name: (view.address, steps[:-1]) for name, view, steps in places}
        steps = {f"{name}_step": s for name, s in zip(kernel.types, last, strict=True)}
        block = min(n, BLOCK)
        heavy = sum(stage.function in HEAVY for stage in self.stages)
        each = (sum(sizes) + len(self.stages)) * 0.05e-9 + heavy * 0.5e-9
        units = views.units(outer, n, block)
        self.ctx.emit(
            kernel,
            {**outer_fields(kernel.outer, outer, fields), **steps, "n": n, "block": block},
            units,
            seconds=out.type.size * each + units * 5e-9,
            reads=tuple(operands[:-1]),
            writes=(out,),
        )


def run_of(stride: int, size: int) -> Run:
    """How elements of ``size`` bytes lie that are ``stride`` bytes apart."""
    return {0: Run.FIXED, size: Run.DENSE}.get(stride, Run.APART)
