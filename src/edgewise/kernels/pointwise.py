"""Functions of the elements of tensors of any types, one or several in a pass over memory.

A program is a list of stages, each a function of operands and of results of earlier stages; the
last one's result is stored. Operands ``x0``, ``x1``, ... and the result ``y`` are views (see
``views``); a unit is one block of one run. The result may be one of the operands, in place.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from . import functions, math, views
from .ir import Kernel, Type, Value, bool_, f32, index, u8, u16
from .isa import Isa

f16 = Type("f", 16)

Function: TypeAlias = Callable[..., Value]
"""``function(isa, *operands)``, vectors of as many lanes each."""


def _divide(isa: Isa, a: Value, b: Value) -> Value:
    """a / b; integers cut toward zero, 0 where b is 0. The least integer / -1 wraps."""
    if a.ty.kind == "f":
        return a / b
    quotient = a // _divisor(b)
    if a.ty.kind == "i":
        quotient = b.compare("eq", -1).select(a.k.const(0, a.ty) - a, quotient)
    return b.compare("eq", 0).select(a.k.const(0, a.ty), quotient)


def _divisor(b: Value) -> Value:
    """Integers that any integer may be divided by: 1 for 0 and -1."""
    one = b.compare("eq", 0)
    if b.ty.kind == "i":
        one = one | b.compare("eq", -1)
    return one.select(b.k.const(1, b.ty), b)


def _floor_div(isa: Isa, a: Value, b: Value) -> Value:
    if a.ty.kind == "f":
        return math.floor(isa, a / b)
    quotient = _divide(isa, a, b)
    if a.ty.kind == "u":
        return quotient
    inexact = (quotient * b).compare("ne", a) & ((a ^ b) < 0) & b.compare("ne", 0)
    return inexact.select(quotient - 1, quotient)


def _floor_mod(isa: Isa, a: Value, b: Value) -> Value:
    if a.ty.kind == "f":
        rest = math.remainder(isa, a, b)
        other = (rest < 0.0) ^ (b < 0.0)
        return (rest.compare("ne", 0.0) & other).select(rest + b, rest)
    rest = a - _floor_div(isa, a, b) * b
    return b.compare("eq", 0).select(a.k.const(0, a.ty), rest)


def _power(isa: Isa, a: Value, b: Value) -> Value:
    """a ** b; integers wrap, and are rounded toward zero where b < 0."""
    if a.ty.kind == "f":
        return math.power(isa, a, b)
    k, ty, bits = a.k, a.ty, Type("u", a.ty.bits, a.ty.lanes)
    y, square = k.var(k.const(1, bits)), k.var(a.to(bits))
    count = k.var(_magnitude(isa, b).to(bits))
    with k.loop(0, ty.bits, once=True):
        y.value = (count.value & 1).compare("ne", 0).select(y.value * square.value, y.value)
        square.value = square.value * square.value
        count.value = count.value >> 1
    if ty.kind == "u":
        return y.value.to(ty)
    whole = (b >= 0) | _magnitude(isa, a).compare("eq", 1)
    return whole.select(y.value.to(ty), k.const(0, ty))


def _magnitude(isa: Isa, x: Value) -> Value:
    if x.ty.kind == "f":
        return math.absolute(isa, x)
    if x.ty.kind == "u":
        return x
    return (x < 0).select(x.k.const(0, x.ty) - x, x)


def _negative(isa: Isa, x: Value) -> Value:
    return math.negated(isa, x) if x.ty.kind == "f" else x.k.const(0, x.ty) - x


def _sign(isa: Isa, x: Value) -> Value:
    zero, one = (x.k.const(n, x.ty) for n in (0, 1))
    negative = (x < zero).select(x.k.const(-1, x.ty), zero) if x.ty.kind != "u" else zero
    y = (x > zero).select(one, negative)
    return x.compare("eq", x).select(y, x) if x.ty.kind == "f" else y


def _fixed_point(isa: Isa, x: Value, factor: Value, left: Value, right: Value) -> Value:
    """x * factor * 2**(left - right - 31) in int64, saturated and rounded twice.

    ``ops.fixed_point.multiply_twice_rounded`` is the same in numpy.
    """
    k, ty = x.k, x.ty
    product = (x << left).clamp(-(1 << 31), (1 << 31) - 1) * factor
    high = (product + (1 << 30)) >> 31
    mask = (k.const(1, ty) << right) - 1
    threshold = (mask >> 1) + (high < 0).to(ty)
    return (high >> right) + ((high & mask) > threshold).to(ty)


def _shift_right(isa: Isa, a: Value, b: Value) -> Value:
    return a >> (b.clamp(0, a.ty.bits - 1) if b.ty.kind == "i" else b.min(a.ty.bits - 1))


def _shift_left(isa: Isa, a: Value, b: Value) -> Value:
    """a << b; 0 where b is negative, or not below the bits that a has."""
    zero, last = a.k.const(0, a.ty), a.ty.bits - 1
    inside = b <= last
    if b.ty.kind == "i":
        inside = inside & (b >= 0)
    return inside.select(a << inside.select(b, a.k.const(0, b.ty)), zero)


def _prelu(isa: Isa, x: Value, alpha: Value) -> Value:
    return (x >= 0.0).select(x, x * alpha)


def _hard_swish(isa: Isa, x: Value) -> Value:
    return x * (_clip(isa, x + 3.0, 0.0, 6.0) * (1 / 6))


def _clip(isa: Isa, x: Value, least: float, greatest: float | None = None) -> Value:
    """x clamped; NaN stays."""
    if x.ty.kind != "f":
        y = x.max(int(least)) if x.ty.kind == "i" else x
        return y if greatest is None else y.min(int(greatest))
    y = math.at_least(isa, x, least)
    return y if greatest is None else math.at_most(isa, y, greatest)


def _compare(relation: str) -> Function:
    def function(isa: Isa, a: Value, b: Value) -> Value:
        if a.ty.bits == 1:
            a, b = a.to(u8[a.ty.lanes]), b.to(u8[b.ty.lanes])
        return a.compare(relation, b)

    return function


FUNCTIONS: Mapping[str, Function] = {
    "abs": _magnitude,
    "acos": functions.acos,
    "acosh": functions.acosh,
    "add": lambda isa, a, b: a + b,
    "and": lambda isa, a, b: a & b,
    "asin": functions.asin,
    "asinh": functions.asinh,
    "atan": functions.atan,
    "atanh": functions.atanh,
    "atleast": math.at_least,
    "atmost": math.at_most,
    "bfloat16": math.to_bfloat16,
    "cast": lambda isa, x: x,
    "ceil": math.ceil,
    "cos": math.cos,
    "cosh": functions.cosh,
    "div": _divide,
    "elu": math.elu,
    "eq": _compare("eq"),
    "erf": math.erf,
    "exp": math.exp,
    "fixedpoint": _fixed_point,
    "floor": math.floor,
    "floordiv": _floor_div,
    "floormod": _floor_mod,
    "ge": _compare("ge"),
    "gelu": math.gelu,
    "gelutanh": math.gelu_tanh,
    "gt": _compare("gt"),
    "hardswish": _hard_swish,
    "le": _compare("le"),
    "log": math.log,
    "logistic": math.logistic,
    "lt": _compare("lt"),
    "max": lambda isa, a, b: a.max(b),
    "min": lambda isa, a, b: a.min(b),
    "mish": functions.mish,
    "mul": lambda isa, a, b: a * b,
    "ne": _compare("ne"),
    "neg": _negative,
    "not": lambda isa, x: x ^ 1,
    "or": lambda isa, a, b: a | b,
    "pow": _power,
    "prelu": _prelu,
    "relu": lambda isa, x: _clip(isa, x, 0.0),
    "relu0to1": lambda isa, x: _clip(isa, x, 0.0, 1.0),
    "relu6": lambda isa, x: _clip(isa, x, 0.0, 6.0),
    "relun1to1": lambda isa, x: _clip(isa, x, -1.0, 1.0),
    "round": math.round_even,
    "rsqrt": math.rsqrt,
    "select": lambda isa, condition, a, b: condition.select(a, b),
    "shl": _shift_left,
    "shr": _shift_right,
    "sign": _sign,
    "sin": math.sin,
    "sinh": functions.sinh,
    "softplus": functions.softplus,
    "sqrt": math.sqrt,
    "square": lambda isa, x: x * x,
    "squareddifference": lambda isa, a, b: (a - b) * (a - b),
    "sub": lambda isa, a, b: a - b,
    "tan": functions.tan,
    "tanh": math.tanh,
    "xor": lambda isa, a, b: a ^ b,
}
"""Every function, by the name that variants call it."""

HEAVY = frozenset(
    {
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "cos",
        "cosh",
        "elu",
        "erf",
        "exp",
        "fixedpoint",
        "floordiv",
        "floormod",
        "gelu",
        "gelutanh",
        "log",
        "logistic",
        "mish",
        "pow",
        "sin",
        "sinh",
        "softplus",
        "tan",
        "tanh",
    }
)
"""The functions of tens of instructions: loops over them are not unrolled."""


@dataclass(frozen=True)
class Stage:
    """One function of a program.

    Attributes:
        function: its name in ``FUNCTIONS``.
        operands: for each, the number of an input, or ~i for the result of stage i.
        result: what the function's value is converted to.
    """

    function: str
    operands: tuple[int, ...]
    result: Type

    def __str__(self) -> str:
        places = "".join(str(i) if i >= 0 else chr(ord("a") + ~i) for i in self.operands)
        return f"{self.function}.{places}.{self.result}"


class Run(enum.Enum):
    """How the elements of an operand's run lie; the value is for names of variants."""

    DENSE = ""
    FIXED = "s"
    APART = "g"


@dataclass(frozen=True)
class Pointwise:
    """A program as a kernel.

    Attributes:
        inputs: element types; bool is stored as a byte, 0 or 1.
        stages: the program.
        runs: of each input and of the result: side by side, ``x0_step`` bytes apart (so for the
            others), or one element for the whole run.
        outer: outer dimensions of the views.
    """

    isa: Isa
    inputs: tuple[Type, ...]
    stages: tuple[Stage, ...]
    runs: tuple[Run, ...]
    outer: int = views.OUTER

    @property
    def types(self) -> dict[str, Type]:
        """Of each operand, the result last."""
        return {**{f"x{i}": ty for i, ty in enumerate(self.inputs)}, "y": self.stages[-1].result}

    @property
    def symbol(self) -> str:
        pairs = zip(self.types.values(), self.runs, strict=True)
        types = "".join(f"{ty}{run.value}" for ty, run in pairs)
        stages = "_".join(map(str, self.stages))
        return f"map_{types}_{stages}_x{self.step}d{self.outer}__{self.isa.name}"

    @property
    def step(self) -> int:
        """Elements of an iteration: four vectors, or one of heavy functions, of the widest type.

        Never more than the bytes that may be read past an operand.
        """
        types = [*self.inputs, *(stage.result for stage in self.stages)]
        heavy = any(stage.function in HEAVY for stage in self.stages) or Run.APART in self.runs
        nbytes = self.isa.bits // 8 if heavy else views.SLACK
        return nbytes // max(stored(ty).nbytes for ty in types)

    @property
    def fields(self) -> dict[str, Type]:
        apart = [f"{n}_step" for n, r in zip(self.types, self.runs, strict=True) if r is Run.APART]
        return {**views.fields(*self.types, outer=self.outer), **dict.fromkeys(apart, index)}

    def build(self) -> str:
        k, step = Kernel(self.symbol, self.fields), self.step
        strides: dict[str, Value | int] = {
            name: k[f"{name}_step"] if run is Run.APART else stored(ty).nbytes
            for (name, ty), run in zip(self.types.items(), self.runs, strict=True)
        }
        fixed = [name for name, r in zip(self.types, self.runs, strict=True) if r is Run.FIXED]
        with views.blocks(k, {**strides, **dict.fromkeys(fixed, 0)}, self.outer) as unit:
            constants = {name: self.load(unit.at[name], self.types[name], 1, 0) for name in fixed}

            def result(first: Value, lanes: int) -> Value:
                values = []
                for name, ty in list(self.types.items())[:-1]:
                    if name in constants:
                        values.append(constants[name].splat(lanes))
                    else:
                        at = unit.at[name] + first * strides[name]
                        values.append(self.load(at, ty, lanes, strides[name]))
                y = self.compute(values)
                return y.to(u8[lanes]) if y.ty.bits == 1 else y

            whole = unit.count & -step
            with k.loop(0, whole, step) as i:
                self.store(unit.at["y"] + i * strides["y"], result(i, step), strides["y"])
            if Run.APART in self.runs:
                with k.loop(whole, unit.count) as i:
                    (unit.at["y"] + i * strides["y"]).store(result(i, 1))
            else:
                rest = unit.count - whole
                with k.when(rest.compare("ne", 0)):
                    at = unit.at["y"] + whole * strides["y"]
                    at.store_partial(result(whole, step), rest)
        return k.text()

    def load(self, address: Value, ty: Type, lanes: int, stride: Value | int) -> Value:
        """Elements ``stride`` bytes apart; bool as 1-bit lanes, float16 as float32."""
        if isinstance(stride, int) or lanes == 1:
            value = address.load(stored(ty)[lanes])
        else:
            elements = []
            for _ in range(lanes):
                elements.append(address.load(stored(ty)))
                address = address + stride
            value = address.k.gather(elements)
        if ty == bool_:
            return value.compare("ne", 0)
        return math.from_half(self.isa, value) if ty == f16 else value

    def store(self, address: Value, value: Value, stride: Value | int) -> None:
        if isinstance(stride, int):
            address.store(value)
            return
        for i in range(value.ty.lanes):
            address.store(value.lane(i))
            address = address + stride

    def compute(self, values: list[Value]) -> Value:
        """The last stage's value for vectors of the inputs."""
        results: list[Value] = []
        for stage in self.stages:
            operands = [values[i] if i >= 0 else results[~i] for i in stage.operands]
            y = FUNCTIONS[stage.function](self.isa, *operands)
            results.append(convert(self.isa, y, stage.result))
        return results[-1]


def stored(ty: Type) -> Type:
    """The type in memory of an element."""
    return {bool_: u8, f16: u16}.get(ty, ty)


def convert(isa: Isa, x: Value, ty: Type) -> Value:
    """The same numbers as elements of ``ty``.

    Floats are cut toward zero and saturate, NaN becomes the greatest integer; integers wrap;
    anything but 0 is true; float16 is given as its bits.
    """
    to = ty[x.ty.lanes]
    if x.ty == to:
        return x
    if ty == bool_:
        return x.compare("ne", 0)
    if x.ty.kind == "f" and ty.kind != "f":
        sign = "s" if ty.kind == "i" else "u"
        y = x.k.intrinsic(f"llvm.fpto{sign}i.sat.{to.suffix}.{x.ty.suffix}", to, x)
        greatest = (1 << ty.bits - (ty.kind == "i")) - 1
        return x.compare("ne", x).select(x.k.const(greatest, to), y)
    if ty == f16:
        return math.to_half(isa, x.to(f32[x.ty.lanes]))
    return x.to(to)


__all__ = ["FUNCTIONS", "Pointwise", "Run", "Stage", "convert", "f16", "stored"]
