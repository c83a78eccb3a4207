"""Single entries of a quantity written out: what they are made of, in symbols and in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import Any

from numpy.typing import NDArray

from closedform.explanation.building.many import Block, Many, block_of
from closedform.explanation.building.writing import Writer, joined_name
from closedform.explanation.document import Expansion, Term
from closedform.explanation.line import math_text
from closedform.explanation.math import (
    Add,
    Apply,
    Condition,
    Dots,
    Marked,
    Math,
    Multiply,
    Negative,
    Numeral,
    Over,
    Raised,
)
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    FIRST,
    MAX,
    MINUS_ONE,
    ONE,
    SUM,
    Access,
    Bracket,
    Expression,
    Function,
    Jacobian,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    is_negative,
    times,
    walk,
)
from closedform.solution import Calculation, Quantity

Array = NDArray[Any]
Names = dict[str, int]
_Line = tuple[int, tuple[tuple[str, int], ...]]  # an affine subscript: the constant, and each index's step

_ZERO = Numeral(Fraction(0))
_MANY = 2_000  # summands, of which only those that are shown are made
_INSIDE = 4  # terms of a sum inside a function that are written


@dataclass(frozen=True)
class Read:
    """One entry that is read: where, in the tensor's own numbering from 0; fractional or outside for none."""

    tensor: str
    position: tuple[Fraction | int, ...]
    is_inside: bool


@dataclass(frozen=True)
class Piece:
    """One summand at one entry: a product, with what it reads."""

    factors: tuple[tuple[Expression, Names], ...]
    reads: tuple[Read, ...]
    is_negative: bool


class Entries:
    """The entries of one calculated quantity.

    Parameters
    ----------
    writer
        Writes names and numbers.
    quantity, calculation
        What is calculated, and how.
    arrays
        What the line reads, by the names in the line; None where there are only symbols.
    ones
        Tensors of the line that are 1 and are not written: ∂y/∂y.
    """

    def __init__(
        self,
        writer: Writer,
        quantity: Quantity,
        calculation: Calculation,
        arrays: Mapping[str, Array] | None,
        ones: frozenset[str] = frozenset(),
    ):
        self.writer, self.quantity, self.calculation = writer, quantity, calculation
        self.arrays, self.ones = arrays, ones
        self.sizes: Sizes = calculation.sizes
        self._lines: dict[Polynomial, _Line | None] = {}
        self._affine_reads: dict[Access, tuple[_Line | None, ...]] = {}
        self._names: dict[tuple[str, tuple[int, ...]], str] = {}
        self._said: dict[tuple[str, tuple[int, ...]], str] = {}
        solution = writer.solution
        definitions = {d.left.tensor for d in calculation.definitions}
        self.number = solution.definition_name(quantity, "")
        self.number = "".join(c for c in self.number if c.isdigit())
        self.weights = self._weights(definitions)

    # ---- roles

    def _weights(self, definitions: set[str]) -> frozenset[str]:
        """The tensors that play the part of weights: parameters; where there are none what comes from above
        and what selects, as long as something else is left to be the window."""
        solution, reads = self.writer.solution, self.calculation.reads
        tensors = [t for t in self.calculation.equation.tensors if t not in self.ones]
        found = {t for t in tensors if t in reads and solution[reads[t]].role == "parameter"}
        if not found:
            found = {t for t in tensors if t in definitions}
        if not found:
            found = {t for t in tensors if t in reads and reads[t][:1] == "d"}
        if set(tensors) <= found:
            found = {tensors[-1]} if len(tensors) > 1 else set()
        return frozenset(found)

    # ---- where things are read

    def number_at(self, value: Polynomial, names: Mapping[str, int]) -> Fraction | int:
        """A subscript's value at an entry."""
        line = self._line(value)
        if line is None:
            return value.value({**self.sizes.values, **names})
        constant, steps = line
        return constant + sum(step * names[index] for index, step in steps)

    def _line(self, value: Polynomial) -> _Line | None:
        if value not in self._lines:
            self._lines[value] = self._affine(value)
        return self._lines[value]

    def _affine(self, value: Polynomial) -> _Line | None:
        if value.has_rounding or value.has_division:
            return None
        constant, steps = Fraction(0), []
        for monomial, factor in value:
            indices = [a for a, _ in monomial if isinstance(a, str) and self.sizes.knows(a)]
            weight = Polynomial({monomial - {(i, 1) for i in indices}: factor}).value(self.sizes.values)
            if len(indices) > 1 or weight.denominator != 1:
                return None
            if indices:
                steps.append((indices[0], int(weight)))
            else:
                constant += weight
        return int(constant), tuple(steps)

    def read(self, access: Access, names: Mapping[str, int]) -> Read:
        """Where an access reads at an entry."""
        shape = self.sizes.shapes[access.tensor]
        if access not in self._affine_reads:
            self._affine_reads[access] = tuple(map(self._line, access.subscripts))
        whole = []
        for line in self._affine_reads[access]:
            if line is None:
                break
            place, steps = line
            for index, step in steps:
                place += step * names[index]
            whole.append(place)
        else:
            inside = all(0 <= k < length for k, length in zip(whole, shape, strict=True))
            return Read(access.tensor, tuple(whole), inside)
        position = tuple(self.number_at(subscript, names) for subscript in access.subscripts)
        inside = all(
            (isinstance(k, int) or k.denominator == 1) and 0 <= k < length
            for k, length in zip(position, shape, strict=True)
        )
        return Read(access.tensor, tuple(int(k) for k in position) if inside else position, inside)

    def name_of(self, read: Read) -> str:
        """The name of an entry that is read."""
        position = tuple(int(k) for k in read.position)
        if (read.tensor, position) not in self._names:
            self._names[read.tensor, position] = self._name_at(read, position)
        return self._names[read.tensor, position]

    def _name_at(self, read: Read, position: tuple[int, ...]) -> str:
        quantity = self.calculation.reads.get(read.tensor)
        if quantity is not None:
            return self.writer.entry_name(quantity, position)
        shape = self.sizes.shapes[read.tensor]
        kept = [k + self.writer.first for k, n in zip(position, shape, strict=True) if n > 1]
        return joined_name(read.tensor.lower() + self.number, kept)

    def said(self, read: Read) -> str:
        """The symbol of an entry that is read, in plain words."""
        position = tuple(int(k) for k in read.position)
        if (read.tensor, position) not in self._said:
            self._said[read.tensor, position] = math_text(self.symbol_of(read))
        return self._said[read.tensor, position]

    def symbol_of(self, read: Read) -> Math:
        """The symbol of an entry that is read."""
        position = tuple(int(k) for k in read.position)
        quantity = self.calculation.reads.get(read.tensor)
        if quantity is not None:
            return self.writer.entry(quantity, position)
        shape = self.sizes.shapes[read.tensor]
        kept = [k + self.writer.first for k, n in zip(position, shape, strict=True) if n > 1]
        below = tuple(Numeral(Fraction(k)) for k in kept)
        return self.writer.definition(read.tensor, below, self.number)

    def value_of(self, read: Read) -> Fraction | float:
        """The number that is read."""
        if not read.is_inside or self.arrays is None:
            return Fraction(0)
        value: Fraction | float = self.arrays[read.tensor][tuple(int(k) for k in read.position)]
        return value if isinstance(value, Fraction) else float(value)

    # ---- an entry as a sum of pieces

    def pieces(self, position: tuple[int, ...]) -> Sequence[Piece]:
        """The summands of an entry; of a maximum its arguments.  Those that read nothing are left out."""
        blocks = self.blocks(position)
        if blocks is not None:
            return Many([(block.count, self._maker_of_pieces(block)) for block in blocks])
        body, names = self._summed, self.names_at(position)
        return [piece for piece in self._pieces(body, names, ()) if all(r.is_inside for r in piece.reads)]

    def _maker_of_pieces(self, block: Block) -> Callable[[int], Piece]:
        return lambda number: next(self._piece(block.body, block.at(number), ()))

    def blocks(self, position: tuple[int, ...]) -> list[Block] | None:
        """The summands of an entry where they are very many; None where they are few, or nested."""
        terms = self._summed.terms if isinstance(self._summed, Plus) else (self._summed,)
        names, found = self.names_at(position), []
        extents = [self._summed_over(term) for term in terms]
        if sum(math.prod(each.values()) for each in extents) <= _MANY:
            return None
        for term, own in zip(terms, extents, strict=True):
            body = term.body if own and isinstance(term, Reduce) else term
            nodes = list(walk(body))
            if any(isinstance(node, Reduce | Bracket | Plus) for node in nodes):
                return None
            reads: dict[Access, tuple[_Line, ...]] = {}
            for node in nodes:
                access = node.access if isinstance(node, Jacobian) else node
                if isinstance(access, Access) and access.tensor not in self.ones:
                    lines = [line for line in map(self._line, access.subscripts) if line is not None]
                    if len(lines) != len(access.subscripts):
                        return None
                    reads[access] = tuple(lines)
            block = block_of(body, names, own, reads, self.sizes.shapes)
            if block is None:
                return None
            found.append(block)
        return found

    def _summed_over(self, term: Expression) -> dict[str, int]:
        is_sum = isinstance(term, Reduce) and (
            term.operation == SUM or (term.operation == MAX and term is self._summed)
        )
        return {i: self.sizes.extent(i) for i in term.indices} if is_sum and isinstance(term, Reduce) else {}

    def outside_reads(self, position: tuple[int, ...]) -> Iterator[Read]:
        """What an entry reads before the sum."""
        for factor in self._outside:
            yield from self._reads(factor, self.names_at(position))

    def all_reads(self, position: tuple[int, ...]) -> Iterator[Read]:
        """Every read of an entry, those outside among them."""
        for piece in self._pieces(self._summed, self.names_at(position), ()):
            yield from piece.reads
        yield from self.outside_reads(position)

    def names_at(self, position: tuple[int, ...]) -> Names:
        """The values of the left side's indices at an entry."""
        names: Names = {}
        for place, subscript in zip(position, self.calculation.equation.left.subscripts, strict=True):
            if subscript.lone:
                names[subscript.lone] = place
                continue
            digits = [
                (int(self._weight(subscript, index)), index)
                for index in self.calculation.equation.left_indices
                if index in subscript.names
            ]
            for weight, index in sorted(digits, reverse=True):
                names[index], place = divmod(place, weight)
        return names

    def _weight(self, subscript: Polynomial, index: str) -> Fraction:
        return subscript.coefficient(index).value(self.sizes.values)

    @cached_property
    def _factors(self) -> tuple[Expression, ...]:
        right = self.calculation.equation.right
        factors = right.factors if isinstance(right, Times) else (right,)
        return tuple(f for f in factors if not (isinstance(f, Access) and f.tensor in self.ones))

    @cached_property
    def _is_factored(self) -> bool:
        """Whether the line is a product of one sum, or of one maximum, with what stands before it."""
        sums = [f for f in self._factors if isinstance(f, Reduce | Plus)]
        return len(sums) == 1 and not (isinstance(sums[0], Reduce) and sums[0].operation == FIRST)

    @cached_property
    def _outside(self) -> tuple[Expression, ...]:
        """What stands before the sum."""
        if not self._is_factored:
            return ()
        found = (f for f in self._factors if not isinstance(f, Reduce | Plus))
        return tuple(f for f in found if self._number(f) not in (1, -1))

    @cached_property
    def _is_turned(self) -> bool:
        """Whether a minus alone stands before the sum: it goes to every term."""
        return self._is_factored and any(self._number(factor) == -1 for factor in self._factors)

    def _number(self, e: Expression) -> Fraction | None:
        """The number that a factor is at these sizes, None where it is none."""
        if not isinstance(e, Number) or any(index in e.value.names for index in self.sizes.extents):
            return None
        return e.value.value(self.sizes.values)

    @cached_property
    def _summed(self) -> Expression:
        if not self._is_factored:
            return times(*self._factors)
        return next(f for f in self._factors if isinstance(f, Reduce | Plus))

    @cached_property
    def function(self) -> str:
        """``max`` where the pieces are a maximum's arguments; empty for a sum."""
        is_maximum = isinstance(self._summed, Reduce) and self._summed.operation == MAX
        return "max" if is_maximum else ""

    def _pieces(
        self, e: Expression, names: Names, around: tuple[tuple[Expression, Names], ...]
    ) -> Iterator[Piece]:
        match e:
            case Plus(terms):
                for term in terms:
                    yield from self._pieces(term, names, around)
            case Reduce(operation, indices, body) if operation == SUM or (
                operation == MAX and e is self._summed
            ):
                for numbers in product(*[range(self.sizes.extent(index)) for index in indices]):
                    inner = {**names, **dict(zip(indices, numbers, strict=True))}
                    yield from self._pieces(body, inner, around)
            case Times(factors) if sum(isinstance(f, Reduce) and f.operation == SUM for f in factors) == 1:
                inner_sum = next(f for f in factors if isinstance(f, Reduce) and f.operation == SUM)
                others = tuple((f, names) for f in factors if f is not inner_sum)
                yield from self._pieces(inner_sum, names, (*around, *others))
            case _:
                yield from self._piece(e, names, around)

    def _piece(
        self, e: Expression, names: Names, around: tuple[tuple[Expression, Names], ...]
    ) -> Iterator[Piece]:
        own = e.factors if isinstance(e, Times) else (e,)
        factors: list[tuple[Expression, Names]] = []
        sign = False
        for factor, where in (*around, *((f, names) for f in own)):
            if isinstance(factor, Bracket) and factor.compares_subscripts:
                if not self._holds(factor, where):
                    return
                continue
            if isinstance(factor, Number) and is_negative(factor):
                sign = not sign
                factor = times(MINUS_ONE, factor)
            if factor == ONE or (isinstance(factor, Access) and factor.tensor in self.ones):
                continue
            factors.append((factor, where))
        reads = tuple(read for factor, where in factors for read in self._reads(factor, where))
        yield Piece(tuple(factors), reads, sign)

    def _holds(self, bracket: Bracket, names: Names) -> bool:
        values = [self.number_at(side.value, names) for side in bracket.sides if isinstance(side, Number)]
        checks = {"=": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b}
        checks["<="] = lambda a, b: a <= b
        pairs = zip(values, values[1:], bracket.relations, strict=False)
        return all(checks[relation](a, b) for a, b, relation in pairs)

    def _reads(self, e: Expression, names: Names) -> Iterator[Read]:
        """Every entry that an expression reads at one place."""
        match e:
            case Access():
                yield self.read(e, names)
            case Jacobian():
                yield self.read(e.access, names)
            case Reduce(_, indices, body):
                for numbers in product(*[range(self.sizes.extent(index)) for index in indices]):
                    inside = {**names, **dict(zip(indices, numbers, strict=True))}
                    yield from (r for r in self._reads(body, inside) if r.is_inside)
            case Plus(parts) | Times(parts):
                for part in parts:
                    yield from self._reads(part, names)
            case Power(base, _):
                yield from self._reads(base, names)
            case Function(_, argument):
                yield from self._reads(argument, names)
            case Bracket(sides, _):
                for side in sides:
                    yield from self._reads(side, names)

    # ---- as mathematics

    def written(self, e: Expression, names: Names, in_numbers: bool) -> Math:
        """An expression at one entry."""
        match e:
            case Number(value):
                return self.writer.numeral(Fraction(value.value({**self.sizes.values, **names})))
            case Access():
                return self._written_read(self.read(e, names), in_numbers)
            case Jacobian():
                return self._written_read(self.read(e.access, names), in_numbers)
            case Plus(terms):
                return Add(tuple(self._signed(term, names, in_numbers) for term in terms))
            case Times() | Power():
                return self._written_product(e, names, in_numbers)
            case Function(name, argument):
                shown = {"relu": "ReLU"}.get(name, name)
                return Apply(shown, (self.written(argument, names, in_numbers),))
            case Bracket():
                return Condition(
                    tuple(self.written(side, names, in_numbers) for side in e.sides), e.relations
                )
            case Reduce(operation, indices, body):
                summands = self._written_terms(indices, body, names, in_numbers)
                if operation != SUM:
                    return Apply("max" if operation == MAX else "first", tuple(summands))
                if len(summands) < 2:
                    return summands[0] if summands else _ZERO
                return Add(tuple(summands))

    def _signed(self, term: Expression, names: Names, in_numbers: bool) -> Math:
        if is_negative(term):
            return Negative(self.written(times(MINUS_ONE, term), names, in_numbers))
        return self.written(term, names, in_numbers)

    def _written_terms(
        self, indices: Sequence[str], body: Expression, names: Names, in_numbers: bool
    ) -> list[Math]:
        found: list[Math] = []
        count = 0
        last: Math | None = None
        for numbers in product(*[range(self.sizes.extent(index)) for index in indices]):
            inside = {**names, **dict(zip(indices, numbers, strict=True))}
            if not all(read.is_inside for read in self._reads(body, inside)):
                continue
            count += 1
            if count < _INSIDE:
                found.append(self.written(body, inside, in_numbers))
            else:
                last = self.written(body, inside, in_numbers)
        if last is not None:
            found += [Dots(), last] if count > _INSIDE else [last]
        return found

    def _written_read(self, read: Read, in_numbers: bool) -> Math:
        if not read.is_inside:
            return _ZERO
        written = self.writer.numeral(self.value_of(read)) if in_numbers else self.symbol_of(read)
        return Marked(written, name=self.name_of(read))

    def _written_product(self, e: Times | Power, names: Names, in_numbers: bool) -> Math:
        if is_negative(e):
            return Negative(self.written(times(MINUS_ONE, e), names, in_numbers))
        factors = e.factors if isinstance(e, Times) else (e,)
        return self._joined([(factor, names) for factor in factors], in_numbers)

    def _joined(self, factors: Sequence[tuple[Expression, Names]], in_numbers: bool) -> Math:
        above: list[Math] = []
        below: list[Math] = []
        for factor, names in factors:
            if isinstance(factor, Power):
                base = self.written(factor.base, names, in_numbers)
                raised = base if abs(factor.exponent) == 1 else Raised(base, abs(factor.exponent))
                (above if factor.exponent > 0 else below).append(raised)
            else:
                above.append(self.written(factor, names, in_numbers))
        written = above[0] if len(above) == 1 else Multiply(tuple(above)) if above else Numeral(Fraction(1))
        if not below:
            return written
        return Over(written, below[0] if len(below) == 1 else Multiply(tuple(below)))

    # ---- as an expansion

    def expansion(
        self, position: tuple[int, ...], at: str, most: int, value: Fraction | float | None
    ) -> Expansion:
        """An entry written out, with at most `most` terms shown."""
        name = self.quantity.name
        left = Marked(self.writer.entry(name, position), name=self.writer.entry_name(name, position))
        pieces = self.pieces(position)
        left_out = max(0, len(pieces) - most)
        shown = [*pieces[: most - 1], pieces[-1]] if left_out else pieces
        terms = tuple(self._term(piece) for piece in shown) or (Term(_ZERO, None),)
        if not any(piece.reads for piece in pieces) and not self._outside:
            value = None  # it stands there already
        is_copy = len(terms) == 1 and terms[0].sign == "+" and not self._outside and not self.function
        if is_copy and value is not None and terms[0].numbers == self._marked_number(pieces[0], value):
            value = None
        factor: tuple[Math, Math | None] | None = None
        if self._outside:
            names = self.names_at(position)
            before = [(f, names) for f in self._outside]
            numbers = self._joined(before, True) if self.arrays is not None else None
            factor = self._joined(before, False), numbers
        return Expansion(
            self.writer.entry_name(name, position),
            at,
            left,
            terms,
            factor,
            self.function,
            left_out,
            None if value is None else self.writer.numeral(value),
        )

    def _marked_number(self, piece: Piece, value: Fraction | float) -> Math:
        """What a term of one entry with this value is in numbers."""
        return Marked(self.writer.numeral(value), name=self.name_of(piece.reads[0]))

    def _term(self, piece: Piece) -> Term:
        symbols = self._joined(piece.factors, False)
        numbers = self._joined(piece.factors, True) if self.arrays is not None and piece.reads else None
        return Term(
            symbols,
            numbers,
            tuple(dict.fromkeys(self.name_of(r) for r in piece.reads if r.tensor not in self.weights)),
            tuple(dict.fromkeys(self.name_of(r) for r in piece.reads if r.tensor in self.weights)),
            "−" if piece.is_negative != self._is_turned else "+",
        )
