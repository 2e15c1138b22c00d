"""Typed SIMD values that emit LLVM text.

LLVM's integers carry no sign; a ``Type`` does, so ``>>``, ``<`` and ``.to()`` pick the right
instruction. Values are SSA: a ``Var`` is a name that loops and branches may rebind, and the phi
nodes come from comparing bindings at the ends of a block. The text is in final form: it goes
through code generation only, no optimisation pipeline.

A kernel is a function ``void name(ptr params, i64 begin, i64 end)``. ``params`` points to its
fields, 8 bytes each; ``begin`` and ``end`` are the range of work units to do.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True)
class Type:
    """``kind``: "i" signed, "u" unsigned, "f" float, "b" bfloat, "p" pointer."""

    kind: str
    bits: int
    lanes: int = 1

    def __getitem__(self, lanes: int) -> Type:
        return replace(self, lanes=lanes)

    def __str__(self) -> str:
        return f"{self.kind}{self.bits}" + (f"x{self.lanes}" if self.lanes > 1 else "")

    @property
    def scalar(self) -> Type:
        return self[1]

    @property
    def llvm(self) -> str:
        floats = {16: "half", 32: "float", 64: "double"}.get(self.bits, "")
        named = {"p": "ptr", "b": "bfloat", "f": floats}
        scalar = named.get(self.kind, f"i{self.bits}")
        return f"<{self.lanes} x {scalar}>" if self.lanes > 1 else scalar

    @property
    def suffix(self) -> str:
        """The type as overloaded intrinsics spell it."""
        scalar = f"{'f' if self.kind == 'f' else 'i'}{self.bits}"
        return f"v{self.lanes}{scalar}" if self.lanes > 1 else scalar

    @property
    def nbytes(self) -> int:
        return self.bits * self.lanes // 8


bool_ = Type("u", 1)
i8, u8, i16, u16, i32, u32, i64, u64 = (
    Type(kind, bits) for bits in (8, 16, 32, 64) for kind in "iu"
)
f32, f64 = Type("f", 32), Type("f", 64)
bf16 = Type("b", 16)
"""Loaded, and given to instructions; no arithmetic."""
ptr = Type("p", 64)
index = i64

Operand: TypeAlias = "Value | Var | int | float"


def literal(x: int | float, ty: Type) -> str:
    """A constant of the scalar type ``ty`` as LLVM writes it: f32, f64, an integer or null.

    Raises ValueError for a fraction or a number of more bits where ``ty`` is an integer type,
    OverflowError for a float beyond f32.
    """
    if ty.kind == "f":
        if ty.bits == 32:
            (x,) = struct.unpack("<f", struct.pack("<f", x))
        return "0x" + struct.pack(">d", x).hex().upper()
    if ty.kind == "p":
        return "null"
    if x != int(x) or not -(1 << ty.bits - 1) <= x < 1 << ty.bits:
        raise ValueError(f"{x} is no {ty.bits}-bit integer")
    return str(int(x))


class Value:
    """An SSA value or a constant of a ``Type``, with operators that emit instructions."""

    __slots__ = ("k", "name", "ty")

    def __init__(self, k: Kernel, name: str, ty: Type) -> None:
        self.k, self.name, self.ty = k, name, ty

    def _coerce(self, other: Operand) -> Value:
        if isinstance(other, Var):
            other = other.value
        if isinstance(other, Value):
            if other.ty != self.ty:
                raise TypeError(f"{self.k.name}: operands are {self.ty} and {other.ty}")
            return other
        return self.k.const(other, self.ty)

    def _binary(self, opcodes: Mapping[str, str] | str, other: Operand) -> Value:
        rhs = self._coerce(other)
        if isinstance(opcodes, str):
            opcode = opcodes
        elif self.ty.kind in opcodes:
            opcode = opcodes[self.ty.kind]
        else:
            raise TypeError(f"{self.k.name}: {self.ty} has none of {list(opcodes.values())}")
        return self.k.emit(f"{opcode} {self.ty.llvm} {self.name}, {rhs.name}", self.ty)

    def __add__(self, other: Operand) -> Value:
        if self.ty == ptr:
            offset = other.value if isinstance(other, Var) else other
            if isinstance(offset, int | float):
                if offset == 0:
                    return self
                offset = self.k.const(offset, index)
            if offset.ty != index:
                raise TypeError(f"{self.k.name}: pointer offset is {offset.ty}, must be {index}")
            return self.k.emit(f"getelementptr i8, ptr {self.name}, i64 {offset.name}", ptr)
        if isinstance(other, int) and other == 0:
            return self
        return self._binary({"i": "add", "u": "add", "f": "fadd"}, other)

    def __sub__(self, other: Operand) -> Value:
        return self._binary({"i": "sub", "u": "sub", "f": "fsub"}, other)

    def __mul__(self, other: Operand) -> Value:
        if isinstance(other, int) and other == 1:
            return self
        return self._binary({"i": "mul", "u": "mul", "f": "fmul"}, other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Operand) -> Value:
        return self._binary({"f": "fdiv"}, other)

    def __floordiv__(self, other: Operand) -> Value:
        return self._binary({"i": "sdiv", "u": "udiv"}, other)

    def __mod__(self, other: Operand) -> Value:
        return self._binary({"i": "srem", "u": "urem"}, other)

    def __and__(self, other: Operand) -> Value:
        return self._binary("and", other)

    def __or__(self, other: Operand) -> Value:
        return self._binary("or", other)

    def __xor__(self, other: Operand) -> Value:
        if isinstance(other, int) and other == 0:
            return self
        return self._binary("xor", other)

    def __lshift__(self, other: Operand) -> Value:
        return self._binary("shl", other)

    def __rshift__(self, other: Operand) -> Value:
        return self._binary({"i": "ashr", "u": "lshr"}, other)

    def compare(self, relation: str, other: Operand) -> Value:
        """``relation``: lt, le, gt, ge, eq or ne; gives bool lanes. Float: false on NaN."""
        rhs = self._coerce(other)
        if self.ty.kind == "f":
            opcode = f"fcmp {'une' if relation == 'ne' else 'o' + relation}"
        elif relation in ("eq", "ne"):
            opcode = f"icmp {relation}"
        else:
            opcode = f"icmp {'s' if self.ty.kind == 'i' else 'u'}{relation}"
        text = f"{opcode} {self.ty.llvm} {self.name}, {rhs.name}"
        return self.k.emit(text, bool_[self.ty.lanes])

    def __lt__(self, other: Operand) -> Value:
        return self.compare("lt", other)

    def __gt__(self, other: Operand) -> Value:
        return self.compare("gt", other)

    def __le__(self, other: Operand) -> Value:
        return self.compare("le", other)

    def __ge__(self, other: Operand) -> Value:
        return self.compare("ge", other)

    def select(self, yes: Value, no: Operand) -> Value:
        """``yes`` where this bool value is true, else ``no``."""
        rhs = yes._coerce(no)
        text = (
            f"select {self.ty.llvm} {self.name}, {yes.ty.llvm} {yes.name}, {rhs.ty.llvm} {rhs.name}"
        )
        return self.k.emit(text, yes.ty)

    def _minmax(self, which: str, relation: str, other: Operand) -> Value:
        rhs = self._coerce(other)
        if self.ty.kind == "f":
            return self.compare(relation, rhs).select(self, rhs)
        sign = "s" if self.ty.kind == "i" else "u"
        return self.k.intrinsic(f"llvm.{sign}{which}.{self.ty.suffix}", self.ty, self, rhs)

    def min(self, other: Operand) -> Value:
        return self._minmax("min", "lt", other)

    def max(self, other: Operand) -> Value:
        return self._minmax("max", "gt", other)

    def clamp(self, lo: Operand, hi: Operand) -> Value:
        return self.max(lo).min(hi)

    def bitcast(self, ty: Type) -> Value:
        """The same bits as another type of the same size."""
        if ty.llvm == self.ty.llvm:
            return Value(self.k, self.name, ty)
        return self.k.emit(f"bitcast {self.ty.llvm} {self.name} to {ty.llvm}", ty)

    def to(self, ty: Type) -> Value:
        """The same numbers as another type; integers wrap, floats truncate toward zero."""
        source, target = self.ty.kind, ty.kind
        if self.ty.bits == ty.bits and "f" not in source + target:
            return Value(self.k, self.name, ty)
        if source == target == "f":
            if self.ty.bits == ty.bits:
                return self
            opcode = "fpext" if ty.bits > self.ty.bits else "fptrunc"
        elif target == "f":
            opcode = "sitofp" if source == "i" else "uitofp"
        elif source == "f":
            opcode = "fptosi" if target == "i" else "fptoui"
        elif ty.bits < self.ty.bits:
            opcode = "trunc"
        else:
            opcode = "sext" if source == "i" else "zext"
        return self.k.emit(f"{opcode} {self.ty.llvm} {self.name} to {ty.llvm}", ty)

    def splat(self, lanes: int) -> Value:
        """A vector whose lanes all equal this scalar."""
        if lanes == 1:
            return self
        ty = self.ty[lanes]
        text = f"insertelement {ty.llvm} poison, {self.ty.llvm} {self.name}, i64 0"
        return self.k.emit(text, ty).shuffle([0] * lanes)

    def shuffle(self, lanes: Sequence[int], other: Value | None = None) -> Value:
        """Lanes of this vector, and of ``other`` counted on from this one's."""
        ty = self.ty[len(lanes)]
        if len(lanes) == 1:
            n = self.ty.lanes
            return other.lane(lanes[0] - n) if other and lanes[0] >= n else self.lane(lanes[0])
        rhs = other.name if other else "poison"
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        text = (
            f"shufflevector {self.ty.llvm} {self.name}, {self.ty.llvm} {rhs}, "
            f"<{len(lanes)} x i32> <{mask}>"
        )
        return self.k.emit(text, ty)

    def concat(self, other: Value) -> Value:
        return self.shuffle(range(2 * self.ty.lanes), other)

    def part(self, i: int, lanes: int) -> Value:
        """The ``i``-th group of ``lanes`` lanes."""
        if lanes == self.ty.lanes:
            return self
        return self.shuffle(range(i * lanes, (i + 1) * lanes))

    def lane(self, i: int) -> Value:
        if self.ty.lanes == 1:
            return self
        return self.k.emit(f"extractelement {self.ty.llvm} {self.name}, i64 {i}", self.ty.scalar)

    def load(self, ty: Type, align: int = 1) -> Value:
        return self.k.emit(f"load {ty.llvm}, ptr {self.name}, align {align}", ty)

    def store(self, value: Value, align: int = 1) -> None:
        self.k.do(f"store {value.ty.llvm} {value.name}, ptr {self.name}, align {align}")

    def prefetch(self) -> None:
        """Ask for the cache line at this address, which need not exist."""
        name = "llvm.prefetch.p0"
        self.k._declares[name] = f"declare void @{name}(ptr, i32, i32, i32)"
        self.k.do(f"call void @{name}(ptr {self.name}, i32 0, i32 3, i32 1)")

    def store_partial(self, value: Value, count: Value) -> None:
        """Store the first ``count`` lanes, 0 <= count <= lanes."""
        with self.k.when(count.compare("eq", value.ty.lanes)) as full:
            self.store(value)
        with self.k.when(full ^ 1):
            where, data, n = self.k.var(self), self.k.var(value), value.ty.lanes // 2
            while n:
                with self.k.when((count & n).compare("ne", 0)):
                    where.value.store(data.value.part(0, n) if n > 1 else data.value.lane(0))
                    lanes = value.ty.lanes
                    data.value = data.value.shuffle([min(i + n, lanes - 1) for i in range(lanes)])
                    where.value = where.value + n * value.ty.scalar.nbytes
                n //= 2


class Var:
    """A value that loops and branches may rebind."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


class Kernel:
    """One function being emitted.

    Args:
        name: its symbol.
        fields: names and types of ``params``, 8 bytes each, read as ``k.fields["name"]``.
    """

    def __init__(self, name: str, fields: Mapping[str, Type]) -> None:
        self.name = name
        self._lines: list[str | list[str]] = []
        self._declares: dict[str, str] = {}
        self._renames: dict[str, str] = {}
        self._vars: list[Var] = []
        self._count = 0
        self._block = "entry"
        params = self.params = Value(self, "%params", ptr)
        self.begin, self.end = Value(self, "%begin", index), Value(self, "%end", index)
        self.fields = {
            field: (params + 8 * i).load(ty, 8) for i, (field, ty) in enumerate(fields.items())
        }
        self._prologue: list[str] = []
        self._lines.append(self._prologue)
        self._hoisted: dict[Hashable, Value] = {}

    def __getitem__(self, field: str) -> Value:
        return self.fields[field]

    def fresh(self, prefix: str = "v") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def emit(self, text: str, ty: Type) -> Value:
        name = f"%{self.fresh()}"
        self._lines.append(f"  {name} = {text}")
        return Value(self, name, ty)

    def do(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def const(self, x: int | float, ty: Type) -> Value:
        text = literal(x, ty.scalar)
        return Value(self, f"splat ({ty.scalar.llvm} {text})" if ty.lanes > 1 else text, ty)

    def vector(self, xs: Sequence[int | float], ty: Type) -> Value:
        """A constant vector of the scalar type ``ty``."""
        lanes = ", ".join(f"{ty.llvm} {literal(x, ty)}" for x in xs)
        return Value(self, f"<{lanes}>", ty[len(xs)])

    def gather(self, lanes: Sequence[Value]) -> Value:
        """A vector of scalar values."""
        out = self.undef(lanes[0].ty[len(lanes)])
        for i, x in enumerate(lanes):
            out = self.emit(
                f"insertelement {out.ty.llvm} {out.name}, {x.ty.llvm} {x.name}, i64 {i}", out.ty
            )
        return out

    def undef(self, ty: Type) -> Value:
        return Value(self, "poison", ty)

    def var(self, init: Operand, ty: Type = index) -> Var:
        if isinstance(init, Var):
            init = init.value
        var = Var(init if isinstance(init, Value) else self.const(init, ty))
        self._vars.append(var)
        return var

    def intrinsic(self, name: str, ty: Type, *args: Value) -> Value:
        types = ", ".join(a.ty.llvm for a in args)
        self._declares[name] = f"declare {ty.llvm} @{name}({types})"
        values = ", ".join(f"{a.ty.llvm} {a.name}" for a in args)
        return self.emit(f"call {ty.llvm} @{name}({values})", ty)

    def call(self, kernel: str, params: Value, begin: Value, end: Value) -> None:
        """Another kernel, of this symbol, on a range of its units."""
        self._declares[kernel] = f"declare void @{kernel}(ptr, i64, i64)"
        self.do(f"call void @{kernel}(ptr {params.name}, i64 {begin.name}, i64 {end.name})")

    def alloca(self, nbytes: Value | int, align: int = 64) -> Value:
        """Stack memory that lives until the kernel returns; call it outside of loops."""
        count = nbytes if isinstance(nbytes, Value) else self.const(nbytes, index)
        return self.emit(f"alloca i8, i64 {count.name}, align {align}", ptr)

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """``make()``, emitted at the start of the kernel; the same value for the same ``key``.

        For what is made of fields and constants alone, so that loops do not compute it again.
        """
        if key not in self._hoisted:
            lines, self._lines = self._lines, []
            self._hoisted[key] = make()
            self._prologue += [line for line in self._lines if isinstance(line, str)]
            self._lines = lines
        return self._hoisted[key]

    def _label(self, name: str) -> None:
        self._lines.append(f"{name}:")
        self._block = name

    @contextmanager
    def loop(
        self, start: Operand, stop: Operand, step: int = 1, once: bool = False
    ) -> Iterator[Value]:
        """for i in range(start, stop, step). ``once``: the body runs at least once."""
        first = self.const(start, index) if isinstance(start, int | float) else start
        first = first.value if isinstance(first, Var) else first
        last = first._coerce(stop)
        body, done = self.fresh("loop"), self.fresh("done")
        if once:
            self.do(f"br label %{body}")
        else:
            self.do(f"br i1 {first.compare('lt', last).name}, label %{body}, label %{done}")
        entry, outer = self._block, self._vars
        before = [v.value for v in outer]
        self._label(body)
        phis: list[str] = []
        self._lines.append(phis)
        i = Value(self, f"%{self.fresh('i')}", index)
        for var in outer:
            var.value = Value(self, f"%{self.fresh('phi')}", var.value.ty)
        headers = [v.value for v in outer]
        self._vars = list(outer)
        yield i
        self._vars = outer
        after = i + step
        latch = self._block
        again = after.compare("lt", last)
        self.do(f"br i1 {again.name}, label %{body}, label %{done}")
        phis.append(f"  {i.name} = phi i64 [ {first.name}, %{entry} ], [ {after.name}, %{latch} ]")
        self._label(done)
        for var, old, header in zip(outer, before, headers, strict=True):
            new = var.value
            if new.name == header.name:
                self._renames[header.name] = old.name
                var.value = old
                continue
            phis.append(
                f"  {header.name} = phi {new.ty.llvm} "
                f"[ {old.name}, %{entry} ], [ {new.name}, %{latch} ]"
            )
            if not once:
                text = f"phi {new.ty.llvm} [ {old.name}, %{entry} ], [ {new.name}, %{latch} ]"
                var.value = self.emit(text, new.ty)

    @contextmanager
    def when(self, condition: Value) -> Iterator[Value]:
        """if condition: the body. Yields the condition."""
        then, join = self.fresh("then"), self.fresh("join")
        self.do(f"br i1 {condition.name}, label %{then}, label %{join}")
        entry, outer = self._block, self._vars
        before = [v.value for v in outer]
        self._vars = list(outer)
        self._label(then)
        yield condition
        self._vars = outer
        self.do(f"br label %{join}")
        last = self._block
        self._label(join)
        for var, old in zip(outer, before, strict=True):
            new = var.value
            if new.name != old.name:
                text = f"phi {new.ty.llvm} [ {old.name}, %{entry} ], [ {new.name}, %{last} ]"
                var.value = self.emit(text, new.ty)

    def text(self) -> str:
        """The function and its declarations as LLVM text."""
        lines: list[str] = []
        for line in self._lines:
            if isinstance(line, str):
                lines.append(line)
            else:
                lines.extend(line)
        body = "\n".join(lines)
        if self._renames:
            body = re.sub(r"%phi\d+", self._resolve, body)
        return (
            "\n".join(self._declares.values())
            + f"\ndefine void @{self.name}(ptr %params, i64 %begin, i64 %end) "
            + f'nounwind "prefer-vector-width"="512" {{\nentry:\n{body}\n  ret void\n}}\n'
        )

    def _resolve(self, match: re.Match[str]) -> str:
        name = match.group()
        while name in self._renames:
            name = self._renames[name]
        return name
