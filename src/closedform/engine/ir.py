"""A small writer of LLVM IR: typed values, counted loops that carry values, vectors with masks.

Only text is made here; `closedform.engine.jit` turns it into machine code.  Text is written directly,
since building the same functions from objects takes longer than compiling them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

FLOAT, DOUBLE, I1, I32, I64, PTR, VOID = "float", "double", "i1", "i32", "i64", "ptr", "void"
Body: TypeAlias = Callable[..., "Sequence[Value] | None"]


@dataclass(frozen=True)
class Value:
    """An SSA value or a constant, as it is written, with its type."""

    name: str
    type: str

    @property
    def constant(self) -> int | None:
        """The number that an integer constant holds; None for anything else."""
        with suppress(ValueError):
            return int(self.name)
        return None


def vector(kind: str, lanes: int) -> str:
    """The type of `lanes` values side by side; a single one is a scalar."""
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def lanes_of(kind: str) -> int:
    """How many values a type holds."""
    return int(kind[1:].split(" x ")[0]) if kind.startswith("<") else 1


def element(kind: str) -> str:
    """The type of one of the values that a type holds."""
    return kind[1:-1].split(" x ")[1] if kind.startswith("<") else kind


def i64(number: int) -> Value:
    """An integer constant."""
    return Value(str(number), I64)


def i32(number: int) -> Value:
    """An integer constant of 32 bits."""
    return Value(str(number), I32)


def number(value: float, kind: str = FLOAT) -> Value:
    """A floating-point constant, the same in every lane."""
    if element(kind) == FLOAT:
        with suppress(OverflowError):
            value = struct.unpack("<f", struct.pack("<f", value))[0]
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return _all_lanes(f"0x{bits:016X}", kind)


def integer(value: int, kind: str = I32) -> Value:
    """An integer constant, the same in every lane."""
    return _all_lanes(str(value), kind)


def _all_lanes(text: str, kind: str) -> Value:
    lanes = lanes_of(kind)
    if lanes == 1:
        return Value(text, kind)
    return Value("<" + ", ".join([f"{element(kind)} {text}"] * lanes) + ">", kind)


def lane_mask(lanes: int, live: int) -> Value:
    """A mask of the first `live` lanes."""
    if lanes == 1:
        return Value("true" if live else "false", I1)
    bits = ", ".join(f"i1 {'true' if lane < live else 'false'}" for lane in range(lanes))
    return Value(f"<{bits}>", vector(I1, lanes))


class Module:
    """The text of one module: its functions and what they call.

    Parameters
    ----------
    lanes
        How many float32 a vector register holds.
    attributes
        What stands behind every function, such as ``"prefer-vector-width"="512"``.
    """

    def __init__(self, lanes: int, attributes: str = "nounwind"):
        self.lanes = lanes
        self.attributes = attributes
        self._functions: list[str] = []
        self._declared: dict[str, str] = {}
        self._constants: dict[str, str] = {}

    def declare(self, name: str, result: str, arguments: Iterable[str]) -> None:
        """Make a function of another module, or of LLVM itself, known."""
        self._declared.setdefault(name, f"declare {result} @{name}({', '.join(arguments)})")

    def constant_array(self, values: Sequence[float]) -> Value:
        """A pointer to float32 constants in memory."""
        text = ", ".join(f"float {number(value).name}" for value in values)
        body = f"private unnamed_addr constant [{len(values)} x float] [{text}], align 64"
        name = self._constants.setdefault(body, f"@constant{len(self._constants)}")
        return Value(name, PTR)

    def add(self, text: str) -> None:
        """Take in a finished function."""
        self._functions.append(text)

    @property
    def text(self) -> str:
        """The whole module."""
        constants = [f"{name} = {body}" for body, name in self._constants.items()]
        tail = f"attributes #0 = {{ {self.attributes} }}"
        return "\n".join([*constants, *self._functions, *self._declared.values(), tail, ""])


class Builder:
    """Writes one function.

    Parameters
    ----------
    module
        Where it goes when `finish` is called.
    name
        Its symbol.
    parameters
        Type and name of each parameter; pointers of internal functions do not alias.
    is_entry
        Whether it can be called from outside.
    """

    def __init__(
        self, module: Module, name: str, parameters: Sequence[tuple[str, str]], *, is_entry: bool = False
    ):
        self.module = module
        self.lanes = module.lanes
        self.name = name
        self.parameters = [Value(f"%{word}", kind) for kind, word in parameters]
        written = [
            f"{value.type}{' noalias' if value.type == PTR and not is_entry else ''} {value.name}"
            for value in self.parameters
        ]
        linkage = "dso_local" if is_entry else "internal"
        inline = "" if is_entry else " noinline"
        self._head = f"define {linkage} void @{name}({', '.join(written)}){inline} #0 {{"
        self._lines: list[str] = []
        self._allocated: list[str] = []
        self._count = 0
        self._block = "entry"

    def finish(self) -> None:
        """End the function."""
        self._lines.append("  ret void")
        body = [self._head, "entry:", *self._allocated, *self._lines, "}"]
        self.module.add("\n".join(body))

    # ---- single instructions

    def _fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def emit(self, text: str, kind: str) -> Value:
        """An instruction that gives a value."""
        name = self._fresh()
        self._lines.append(f"  {name} = {text}")
        return Value(name, kind)

    def do(self, text: str) -> None:
        """An instruction that gives nothing."""
        self._lines.append(f"  {text}")

    def _binary(self, word: str, a: Value, b: Value) -> Value:
        return self.emit(f"{word} {a.type} {a.name}, {b.name}", a.type)

    def fadd(self, a: Value, b: Value) -> Value:
        """a + b"""
        return self._binary("fadd", a, b)

    def fsub(self, a: Value, b: Value) -> Value:
        """a - b"""
        return self._binary("fsub", a, b)

    def fmul(self, a: Value, b: Value) -> Value:
        """a * b"""
        return self._binary("fmul", a, b)

    def fdiv(self, a: Value, b: Value) -> Value:
        """a / b"""
        return self._binary("fdiv", a, b)

    def fneg(self, a: Value) -> Value:
        """-a"""
        return self.emit(f"fneg {a.type} {a.name}", a.type)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once"""
        return self.intrinsic("fma", a, b, c)

    def intrinsic(self, word: str, *arguments: Value) -> Value:
        """One of LLVM's own functions whose arguments and result are of one type: fma, fabs, sqrt, floor."""
        kind = arguments[0].type
        suffix = {FLOAT: "f32", DOUBLE: "f64", I32: "i32", I64: "i64"}[element(kind)]
        lanes = lanes_of(kind)
        full = f"llvm.{word}.{suffix if lanes == 1 else f'v{lanes}{suffix}'}"
        return self.call(full, kind, *arguments)

    def call(self, name: str, result: str, *arguments: Value) -> Value:
        """A call that gives a value."""
        self.module.declare(name, result, [value.type for value in arguments])
        inside = ", ".join(f"{value.type} {value.name}" for value in arguments)
        return self.emit(f"call {result} @{name}({inside})", result)

    def call_own(self, name: str, *arguments: Value) -> None:
        """A call of a function of this module."""
        self.do(f"call void @{name}({', '.join(f'{value.type} {value.name}' for value in arguments)})")

    def compare(self, word: str, a: Value, b: Value) -> Value:
        """A comparison of floats by LLVM's word: ``ogt``, ``oeq``, ``une``, ``uno``."""
        return self.emit(f"fcmp {word} {a.type} {a.name}, {b.name}", vector(I1, lanes_of(a.type)))

    def icompare(self, word: str, a: Value, b: Value) -> Value:
        """A comparison of integers by LLVM's word: ``eq``, ``ne``, ``slt``, ``sge``, ``ult``."""
        return self.emit(f"icmp {word} {a.type} {a.name}, {b.name}", vector(I1, lanes_of(a.type)))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """a where the condition holds, else b"""
        return self.emit(
            f"select {condition.type} {condition.name}, {a.type} {a.name}, {b.type} {b.name}", a.type
        )

    def both(self, a: Value, b: Value) -> Value:
        """Bitwise and."""
        return self._binary("and", a, b)

    def either(self, a: Value, b: Value) -> Value:
        """Bitwise or."""
        return self._binary("or", a, b)

    def xor(self, a: Value, b: Value) -> Value:
        """Bitwise exclusive or."""
        return self._binary("xor", a, b)

    def opposite(self, a: Value) -> Value:
        """Not, of a condition."""
        return self.xor(a, integer(-1, a.type) if lanes_of(a.type) > 1 else Value("true", I1))

    def shift_left(self, a: Value, by: int) -> Value:
        """a << by"""
        return self._binary("shl", a, integer(by, a.type))

    def shift_right(self, a: Value, by: int) -> Value:
        """a >> by, filled with zeros"""
        return self._binary("lshr", a, integer(by, a.type))

    def iadd(self, a: Value, b: Value) -> Value:
        """a + b; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return Value(str(a.constant + b.constant), a.type)
        if b.constant == 0:
            return a
        return b if a.constant == 0 else self._binary("add", a, b)

    def isub(self, a: Value, b: Value) -> Value:
        """a - b; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return Value(str(a.constant - b.constant), a.type)
        return a if b.constant == 0 else self._binary("sub", a, b)

    def imul(self, a: Value, b: Value) -> Value:
        """a * b; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return Value(str(a.constant * b.constant), a.type)
        if a.constant == 0 or b.constant == 0:
            return Value("0", a.type)
        if b.constant == 1:
            return a
        return b if a.constant == 1 else self._binary("mul", a, b)

    def idiv(self, a: Value, b: Value) -> Value:
        """a // b for what is not negative; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return Value(str(a.constant // b.constant), a.type)
        return a if b.constant == 1 else self._binary("udiv", a, b)

    def iremainder(self, a: Value, b: Value) -> Value:
        """a % b for what is not negative; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return Value(str(a.constant % b.constant), a.type)
        return self._binary("urem", a, b)

    def least(self, a: Value, b: Value) -> Value:
        """The smaller of two integers; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return a if a.constant < b.constant else b
        return self.select(self.icompare("slt", a, b), a, b)

    def greatest(self, a: Value, b: Value) -> Value:
        """The larger of two integers; constants are folded"""
        if a.constant is not None and b.constant is not None:
            return a if a.constant > b.constant else b
        return self.select(self.icompare("sgt", a, b), a, b)

    def convert(self, word: str, a: Value, kind: str) -> Value:
        """A conversion by LLVM's word: ``bitcast``, ``sitofp``, ``fptosi``, ``zext``, ``trunc``."""
        return self.emit(f"{word} {a.type} {a.name} to {kind}", kind)

    # ---- memory

    def moved(self, pointer: Value, by: Value | int, kind: str = FLOAT) -> Value:
        """The pointer so many elements further on."""
        offset = i64(by) if isinstance(by, int) else by
        if offset.constant == 0:
            return pointer
        return self.emit(
            f"getelementptr inbounds {kind}, ptr {pointer.name}, {offset.type} {offset.name}", PTR
        )

    def load(self, pointer: Value, kind: str = FLOAT) -> Value:
        """What lies at a pointer."""
        return self.emit(f"load {kind}, ptr {pointer.name}, align {_align(kind)}", kind)

    def store(self, value: Value, pointer: Value) -> None:
        """Put a value where a pointer points."""
        self.do(f"store {value.type} {value.name}, ptr {pointer.name}, align {_align(value.type)}")

    def load_masked(self, pointer: Value, mask: Value, kind: str) -> Value:
        """The lanes of the mask, zeros elsewhere; nothing else is touched."""
        lanes = lanes_of(kind)
        if lanes == 1:
            raise ValueError("a scalar has no mask")
        name = f"llvm.masked.load.v{lanes}f32.p0"
        self.module.declare(name, kind, [PTR, "i32 immarg", mask.type, kind])
        return self.emit(
            f"call {kind} @{name}(ptr {pointer.name}, i32 4, {mask.type} {mask.name}, "
            f"{kind} zeroinitializer)",
            kind,
        )

    def store_masked(self, value: Value, pointer: Value, mask: Value) -> None:
        """Store the lanes of the mask; nothing else is touched."""
        lanes = lanes_of(value.type)
        name = f"llvm.masked.store.v{lanes}f32.p0"
        self.module.declare(name, VOID, [value.type, PTR, "i32 immarg", mask.type])
        self.do(
            f"call void @{name}({value.type} {value.name}, ptr {pointer.name}, i32 4, "
            f"{mask.type} {mask.name})"
        )

    def gather(self, pointer: Value, stride: int, kind: str, mask: Value | None = None) -> Value:
        """Lanes that lie `stride` elements apart."""
        lanes = lanes_of(kind)
        addresses = self._addresses(pointer, stride, lanes)
        mask = mask or lane_mask(lanes, lanes)
        name = f"llvm.masked.gather.v{lanes}f32.v{lanes}p0"
        self.module.declare(name, kind, [addresses.type, "i32 immarg", mask.type, kind])
        return self.emit(
            f"call {kind} @{name}({addresses.type} {addresses.name}, i32 4, {mask.type} {mask.name}, "
            f"{kind} zeroinitializer)",
            kind,
        )

    def scatter(self, value: Value, pointer: Value, stride: int, mask: Value | None = None) -> None:
        """Store lanes that lie `stride` elements apart."""
        lanes = lanes_of(value.type)
        addresses = self._addresses(pointer, stride, lanes)
        mask = mask or lane_mask(lanes, lanes)
        name = f"llvm.masked.scatter.v{lanes}f32.v{lanes}p0"
        self.module.declare(name, VOID, [value.type, addresses.type, "i32 immarg", mask.type])
        self.do(
            f"call void @{name}({value.type} {value.name}, {addresses.type} {addresses.name}, i32 4, "
            f"{mask.type} {mask.name})"
        )

    def _addresses(self, pointer: Value, stride: int, lanes: int) -> Value:
        steps = ", ".join(f"i64 {lane * stride}" for lane in range(lanes))
        return self.emit(
            f"getelementptr float, ptr {pointer.name}, <{lanes} x i64> <{steps}>", f"<{lanes} x ptr>"
        )

    def splat(self, scalar: Value, lanes: int) -> Value:
        """The same value in every lane."""
        if lanes == 1:
            return scalar
        kind = vector(scalar.type, lanes)
        one = self.emit(f"insertelement {kind} poison, {scalar.type} {scalar.name}, i64 0", kind)
        return self.emit(
            f"shufflevector {kind} {one.name}, {kind} poison, <{lanes} x i32> zeroinitializer", kind
        )

    def reverse(self, value: Value) -> Value:
        """The lanes the other way round."""
        lanes = lanes_of(value.type)
        if lanes == 1:
            return value
        order = ", ".join(f"i32 {lane}" for lane in reversed(range(lanes)))
        return self.emit(
            f"shufflevector {value.type} {value.name}, {value.type} poison, <{lanes} x i32> <{order}>",
            value.type,
        )

    def lane_sum(self, value: Value) -> Value:
        """The sum of the lanes: halves are added until one is left."""
        return self.lane_sums([value])[0]

    def lane_sums(self, values: Sequence[Value]) -> list[Value]:
        """The sum of the lanes of each vector: halves are added until one is left, two vectors in one."""
        lanes, found = lanes_of(values[0].type), []
        if lanes == 1:
            return list(values)
        for start in range(0, len(values), lanes):
            part = list(values[start : start + lanes])
            count, width = len(part), lanes
            while width > 1:
                pairs = [
                    (part[n], part[n + 1] if n + 1 < len(part) else None) for n in range(0, len(part), 2)
                ]
                part = [self._halves_added(a, b, width) for a, b in pairs]
                width //= 2
            (total,) = part
            for lane in range(count):
                found.append(self.emit(f"extractelement {total.type} {total.name}, i64 {lane}", FLOAT))
        return found

    def _halves_added(self, a: Value, b: Value | None, width: int) -> Value:
        """Sums of `width` lanes each, in two vectors, as sums of half as many, in one."""
        lanes = lanes_of(a.type)
        other = Value("poison", a.type) if b is None else b
        halves = []
        for first in (0, width // 2):
            order = [
                vector_ + segment + first + lane
                for vector_ in (0, lanes)
                for segment in range(0, lanes, width)
                for lane in range(width // 2)
            ]
            picked = ", ".join(f"i32 {lane}" for lane in order)
            halves.append(
                self.emit(
                    f"shufflevector {a.type} {a.name}, {a.type} {other.name}, <{lanes} x i32> <{picked}>",
                    a.type,
                )
            )
        return self.fadd(*halves)

    def allocate(self, kind: str, count: int = 1) -> Value:
        """Room on the stack, once for the whole function."""
        name = self._fresh()
        self._allocated.append(f"  {name} = alloca [{count} x {kind}], align 64")
        return Value(name, PTR)

    # ---- control

    def label(self, word: str) -> str:
        """A fresh name for a block."""
        self._count += 1
        return f"{word}{self._count}"

    def begin(self, label: str) -> None:
        """Begin a block."""
        self._lines.append(f"{label}:")
        self._block = label

    def jump(self, label: str) -> None:
        """Go on in another block."""
        self.do(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        """Go on in one of two blocks."""
        self.do(f"br i1 {condition.name}, label %{yes}, label %{no}")

    def when(self, condition: Value, body: Callable[[], None]) -> None:
        """Run the body where the condition holds."""
        yes, after = self.label("then"), self.label("after")
        self.branch(condition, yes, after)
        self.begin(yes)
        body()
        self.jump(after)
        self.begin(after)

    def loop(
        self,
        start: Value | int,
        stop: Value | int,
        body: Body,
        step: int = 1,
        carried: Sequence[Value] = (),
    ) -> list[Value]:
        """``for i in range(start, stop, step): carried = body(i, *carried)``; gives the last carried.

        With constant bounds and at most one turn there is no loop; otherwise the bounds are compared before
        the first turn.
        """
        first = i64(start) if isinstance(start, int) else start
        last = i64(stop) if isinstance(stop, int) else stop
        if first.constant is not None and last.constant is not None:
            turns = len(range(first.constant, last.constant, step))
            if turns == 0:
                return list(carried)
            if turns == 1:
                return list(body(first, *carried) or [])
            return self._turns(first, last, body, step, carried)
        before, head, after = self._block, self.label("enter"), self.label("leave")
        self.branch(self.icompare("slt", first, last), head, after)
        self.begin(head)
        results = self._turns(first, last, body, step, carried)
        end = self._block
        self.jump(after)
        self.begin(after)
        return [
            self.emit(f"phi {old.type} [ {old.name}, %{before} ], [ {new.name}, %{end} ]", old.type)
            for old, new in zip(carried, results, strict=True)
        ]

    def _turns(
        self, first: Value, last: Value, body: Body, step: int, carried: Sequence[Value]
    ) -> list[Value]:
        before, head, after = self._block, self.label("loop"), self.label("done")
        self.jump(head)
        self.begin(head)
        place = len(self._lines)
        i = Value(self._fresh(), I64)
        phis = [Value(self._fresh(), value.type) for value in carried]
        self._lines += [""] * (1 + len(phis))
        results = list(body(i, *phis) or [])
        following = self.emit(f"add nsw i64 {i.name}, {step}", I64)
        end = self._block
        self._lines[place] = f"  {i.name} = phi i64 [ {first.name}, %{before} ], [ {following.name}, %{end} ]"
        for n, (phi, old, new) in enumerate(zip(phis, carried, results, strict=True), place + 1):
            self._lines[n] = (
                f"  {phi.name} = phi {phi.type} [ {old.name}, %{before} ], [ {new.name}, %{end} ]"
            )
        self.branch(self.icompare("slt", following, last), head, after)
        self.begin(after)
        return results


def _align(kind: str) -> int:
    return {FLOAT: 4, DOUBLE: 8, I32: 4, I64: 8, PTR: 8, I1: 1}[element(kind)]
