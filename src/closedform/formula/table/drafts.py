"""What lowering builds on: the tensors it knows, conditions on indices as reads, and loop nests.

The rules that take a formula apart are in `closedform.formula.table.lowering`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial
from closedform.formula.table.residues import (
    ResidueClass,
    affine,
    bounds,
    is_fractional,
    is_whole,
    residue_classes,
)
from closedform.formula.table.tables import Draft, Place
from closedform.formula.tree import (
    ONE,
    SUM,
    ZERO,
    Access,
    Bracket,
    Equation,
    Expression,
    Jacobian,
    Number,
    Power,
    Times,
    accesses,
    free_names,
    rebuild,
    replace_access,
    times,
)


class Drafts:
    """The tensors of one equation, its temporaries among them, and the loop nests so far."""

    def __init__(self, equation: Equation, sizes: Sizes):
        self.equation = equation
        self.sizes = sizes
        self.shapes: dict[str, tuple[int, ...]] = dict(sizes.shapes)
        self.extents: dict[str, int] = {}
        self.fills: dict[str, float] = {}  # of temporaries and constants; a tensor of the formula has 0
        self.contents: dict[str, tuple[float, ...]] = {}
        self.drafts: list[Draft] = []

    # ---- sizes

    def extent(self, index: str) -> int:
        return self.extents[index] if index in self.extents else self.sizes.extent(index)

    def work(self, indices: Iterable[str]) -> int:
        """How many values the indices take together."""
        return math.prod(self.extent(index) for index in set(indices))

    def free(self, expression: Expression, order: Sequence[str] = ()) -> tuple[str, ...]:
        """The free indices: those of `order` first, the others as they are read."""
        names = free_names(expression)
        found = [name for name in order if name in names]
        for access in accesses(expression):
            for subscript in access.subscripts:
                for monomial, _ in subscript:
                    for atom, _ in monomial:
                        found += sorted(Polynomial.of(atom).names)
        return tuple(name for name in dict.fromkeys(found) if name in names)

    def own_entry(self, tensor: str) -> tuple[tuple[str, ...], Access]:
        """An index of its own for each axis of a tensor, and the entry that they read."""
        names = tuple(f"{tensor}@{axis}" for axis in range(len(self.shapes[tensor])))
        self.extents.update(zip(names, self.shapes[tensor], strict=True))
        return names, Access(tensor, tuple(map(Polynomial.of, names)))

    def bounds(self, subscript: Polynomial) -> tuple[Fraction, Fraction]:
        return bounds(subscript, {name: self.extent(name) for name in subscript.names})

    # ---- what is read outside

    def fill(self, tensor: str) -> float:
        """What stands around a tensor."""
        return self.fills.get(tensor, 0.0)

    def axes_outside(self, access: Access) -> list[int]:
        """The axes on which some value of the indices reads outside the tensor."""
        found = []
        for axis, subscript in enumerate(access.subscripts):
            low, high = self.bounds(subscript)
            if low < 0 or high > self.shapes[access.tensor][axis] - 1:
                found.append(axis)
        return found

    def may_be_missing(self, access: Access) -> bool:
        """Whether some value of the indices reads outside the tensor or between its entries."""
        return bool(self.axes_outside(access)) or any(map(is_fractional, access.subscripts))

    def inside(self, access: Access) -> list[Access]:
        """Reads that are 1 where an access is an entry of its tensor, 0 outside and between two entries."""
        if access.tensor in self.contents:
            return [access] if set(self.contents[access.tensor]) <= {0.0, 1.0} else []
        if self.fill(access.tensor):
            return []
        lengths = self.shapes[access.tensor]
        outside = self.axes_outside(access)
        return [
            Access(self.ones(length), (subscript,))
            for axis, (length, subscript) in enumerate(zip(lengths, access.subscripts, strict=True))
            if axis in outside or is_fractional(subscript)
        ]

    # ---- what is known before any tensor is: conditions on indices, indices as values

    def constants(self, expression: Expression) -> Expression:
        """The expression with conditions on indices, and indices used as values, made reads of constants."""
        match expression:
            case Bracket() if expression.compares_subscripts:
                return self.condition(expression)
            case Bracket(sides, relations):
                return Bracket(tuple(map(self.constants, sides)), relations)
            case Number(value) if value.names:
                return self.index_as_value(value)
            case Jacobian():
                return expression.access
            case _:
                return rebuild(expression, self.constants)

    def constant_tensor(self, name: str, contents: tuple[float, ...], fill: float) -> str:
        self.shapes[name], self.contents[name], self.fills[name] = (len(contents),), contents, fill
        return name

    def ones(self, length: int) -> str:
        """Ones with zeros around them."""
        return self.constant_tensor(f"[0<=·<{length}]", (1.0,) * length, 0.0)

    def condition(self, bracket: Bracket) -> Expression:
        """A condition on indices as a product of reads: ``[0 <= e < 5]`` reads five ones at e."""
        values = [side.value for side in bracket.sides if isinstance(side, Number)]
        not_negative: list[Polynomial] = []
        reads: list[Expression] = []
        for left, relation, right in zip(values, bracket.relations, values[1:], strict=False):
            difference = right - left
            difference = difference * math.lcm(*[factor.denominator for _, factor in difference])
            if relation == "=":
                reads.append(Access(self.ones(1), (difference,)))
            elif relation == "!=":
                reads.append(Access(self.constant_tensor("[·!=0]", (0.0,), 1.0), (difference,)))
            else:
                not_negative.append(difference - 1 if relation == "<" else difference)
        while not_negative:
            first = not_negative.pop(0)
            low, high = self.bounds(first)
            room = int(high)
            for other in not_negative:
                both = (first + other).constant
                if both is not None and both < high:  # 0 <= first <= both is one range
                    not_negative.remove(other)
                    room = int(both)
                    break
            if room < 0:
                return ZERO
            if low < 0 or high > room:
                reads.append(Access(self.ones(room + 1), (first,)))
        return times(*reads)

    def index_as_value(self, value: Polynomial) -> Access:
        """An index that is compared with an entry, as in ``[T[n] = k]``, as a read of its values."""
        scale = math.lcm(*[factor.denominator for _, factor in value])
        scaled = value * scale
        low, high = map(int, self.bounds(scaled))
        contents = tuple(float(Fraction(number, scale)) for number in range(low, high + 1))
        return Access(self.constant_tensor(f"[{low}..{high}]/{scale}", contents, 0.0), (scaled - low,))

    # ---- loop nests

    def emit(
        self,
        left: Access,
        indices: tuple[str, ...],
        body: Expression,
        coefficient: Fraction,
        accumulate: bool,
        *,
        over: tuple[str, ...] = (),
        reduction: str | None = None,
        guards: Sequence[Access] = (),
    ) -> None:
        """Loop nests for ``coefficient * reduction[over] body``, one for each class of residues.

        A product has no term where one of its factors falls between two entries; an entry that is not a
        factor is 0 there.
        """
        factors: list[Access] = []
        if reduction in (None, SUM):
            factors = [factor for factor in factors_of(body) if isinstance(factor, Access)]
            body = times(*[factor for factor in factors_of(body) if not isinstance(factor, Access)])
            must = [*factors, *guards]
        else:
            must = [*accesses(body), *guards]
        # the border of a tensor that a maximum reads is below everything
        outside = -math.inf if isinstance(body, Access) and body.tensor in self.sizes.shapes else None
        inner = [index for index in over if index not in indices]
        extents = {name: self.extent(name) for name in [*indices, *inner]}
        reads = [*factors, *accesses(body), *guards]
        for row, classes in residue_classes(indices, inner, extents, reads, must):
            terms = []
            for residues in classes:
                inline = self.specialised(body, residues)
                if coefficient and (inline != ZERO or reduction not in (None, SUM)):
                    terms.append((residues, inline))
            if not terms and not accumulate:
                self.draft(row, left, [], ONE, Fraction(0), False)
            for position, (residues, inline) in enumerate(terms):
                self.draft(
                    residues,
                    left,
                    factors,
                    inline,
                    coefficient,
                    accumulate or position > 0,
                    over=over,
                    reduction=reduction,
                    guards=guards,
                    outside=outside,
                )

    def specialised(self, body: Expression, residues: ResidueClass) -> Expression:
        """The body in one class of residues: an entry that falls between two others is 0."""
        match body:
            case Access():
                return ZERO if _is_missing(body, residues) else body
            case Times(factors) if any(_is_missing(factor, residues) for factor in factors):
                return ZERO
            case Times(factors):
                parts = [self.specialised(factor, residues) for factor in factors]
                # a sum that is 0 is no missing factor: 0/0 stays what it is
                nothing = Access(self.constant_tensor("[0]", (0.0,), 0.0), (Polynomial.of(0),))
                return times(*[nothing if part == ZERO else part for part in parts])
            case _:
                return rebuild(body, lambda inner: self.specialised(inner, residues))

    def draft(
        self,
        residues: ResidueClass,
        left: Access,
        factors: Sequence[Access],
        body: Expression,
        coefficient: Fraction,
        accumulate: bool,
        *,
        over: Sequence[str] = (),
        reduction: str | None = None,
        guards: Sequence[Access] = (),
        outside: float | None = None,
    ) -> None:
        loops = tuple(residues.extents.items())
        gone = {loop for name in over for loop, _ in residues.splits[name].loops}
        reduced = tuple(position for position, (loop, _) in enumerate(loops) if loop in gone)

        def place(access: Access, fill: float) -> Place:
            rows = [affine(s.substitute(residues.values), residues.extents) for s in access.subscripts]
            return Place(
                access.tensor,
                fill,
                tuple(int(start) for _, start in rows),
                tuple(tuple(int(steps.get(loop, 0)) for loop, _ in loops) for steps, _ in rows),
            )

        def read(access: Access) -> Place:
            return place(access, self.fill(access.tensor) if outside is None else outside)

        inputs = [read(access) for access in factors]
        inline: Expression | None = None
        if body != ONE:
            names: dict[Access, Expression] = {}
            for access in accesses(body):
                if access not in names:
                    names[access] = Access(str(len(inputs)), ())
                    inputs.append(read(access))
            before = [Access(str(position), ()) for position in range(len(factors))]
            inline = times(*before, replace_access(body, names.__getitem__))
            if inline == Access("0", ()):
                inline = None
        self.drafts.append(
            Draft(
                loops,
                place(left, 0.0),
                tuple(inputs),
                reduced,
                reduction if reduced else None,
                coefficient,
                accumulate,
                inline,
                tuple(place(guard, self.fill(guard.tensor)) for guard in guards),
            )
        )


def factors_of(expression: Expression) -> list[Expression]:
    """The factors of a product, of 1 none."""
    if expression == ONE:
        return []
    return list(expression.factors) if isinstance(expression, Times) else [expression]


def split_number(expression: Expression) -> tuple[Fraction, Expression]:
    """The number that an expression is multiplied by, and the rest."""
    if isinstance(expression, Number):
        return expression.value.constant or Fraction(0), ONE
    if isinstance(expression, Times) and isinstance(expression.factors[0], Number):
        return expression.factors[0].value.constant or Fraction(0), times(*expression.factors[1:])
    return Fraction(1), expression


def positions(
    start: Fraction, steps: Mapping[str, Fraction], extents: Mapping[str, int], names: Iterable[str]
) -> set[Fraction]:
    """Every value that a subscript takes as the indices in `names` move and the others stay at 0."""
    found = {start}
    for name in names:
        step = steps.get(name, Fraction(0))
        found = {at + step * index for at in found for index in range(extents[name])}
    return found


def _is_missing(factor: Expression, residues: ResidueClass) -> bool:
    """Whether a factor is an entry, or a power of one, that falls between two others."""
    entry = factor.base if isinstance(factor, Power) else factor
    if not isinstance(entry, Access):
        return False
    values, extents = residues.values, residues.extents
    return not all(is_whole(subscript.substitute(values), extents) for subscript in entry.subscripts)
