"""From one equation to stride tables.

A formula is taken apart into loop nests that each do one thing.  A sum inside a function, a quotient or
a product becomes a temporary with tables of its own; a sum of terms becomes one table a term; what does
not depend on an index is worked out before that index is looped over.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from closedform.formula.evaluate.reading import empty_window
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial
from closedform.formula.table.drafts import Drafts, factors_of, positions, split_number
from closedform.formula.table.residues import affine, is_fractional
from closedform.formula.table.stable import stabilise
from closedform.formula.table.tables import Program, constant, lay_out
from closedform.formula.tree import (
    FIRST,
    MAX,
    SUM,
    ZERO,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    accesses,
    bound_indices,
    canonical,
    children,
    free_names,
    number,
    plus,
    power,
    rebuild,
    reduce,
    replace_access,
    substitute,
    times,
    walk,
)

_CHEAP = ("relu", "step", "abs")
_INFINITE = ("exp", "log", "sqrt")  # infinite or not a number for some finite arguments


def lower(equation: Equation, sizes: Sizes, order: Mapping[str, Sequence[int]] | None = None) -> Program:
    """The stride tables of one equation.

    Parameters
    ----------
    equation
        Any formula of the language.
    sizes
        Settings, extents and the shapes of all its tensors, the result's among them.
    order
        For a tensor its axes as they lie in memory, slowest first; row order where nothing is said.

    Raises
    ------
    ShapeError
        Where a window of a maximum lies wholly outside its tensor.
    """
    return _Lowering(equation, sizes).program(order or {})


class _Lowering(Drafts):
    def __init__(self, equation: Equation, sizes: Sizes):
        super().__init__(equation, sizes)
        self.infinite: set[str] = set()  # temporaries that may be infinite though all tensors are finite
        self.known: dict[tuple[str, tuple[str, ...], tuple[int, ...]], Access] = {}

    def program(self, order: Mapping[str, Sequence[int]]) -> Program:
        values = {name: Polynomial.of(Fraction(value)) for name, value in self.sizes.values.items()}
        tensor = self.equation.left.tensor
        left = Access(tensor, tuple(s.substitute(values) for s in self.equation.left.subscripts))
        right = self.constants(substitute(stabilise(self.equation.right), values))
        indices = self.equation.left_indices
        covered = self.work(indices) == math.prod(self.shapes[tensor])
        if not covered:
            rows, entry = self.own_entry(tensor)
            self.emit(entry, rows, ZERO, Fraction(0), False)
        self.define(left, indices, right, accumulate=not covered)
        return lay_out(
            self.drafts,
            self.shapes,
            given=[name for name in self.sizes.shapes if name != tensor],
            contents=self.contents,
            order=order,
            output=tensor,
        )

    def temporary(self, expression: Expression, indices: Sequence[str], fill: float = 0.0) -> Access:
        """A tensor with tables of its own that holds the expression for all values of the indices."""
        key = canonical(expression), tuple(indices), tuple(map(self.extent, bound_indices(expression)))
        if key not in self.known:
            name = f"~{len(self.known) + 1}"
            self.shapes[name] = tuple(map(self.extent, indices))
            self.fills[name] = fill
            if self.may_be_infinite(expression):
                self.infinite.add(name)
            self.known[key] = left = Access(name, tuple(map(Polynomial.of, indices)))
            self.define(left, tuple(indices), expression)
        return self.known[key]

    def define(
        self, left: Access, indices: tuple[str, ...], expression: Expression, accumulate: bool = False
    ) -> None:
        """Tables that give every entry of a tensor; sums and maxima first, what is point-wise after."""
        plain: list[Expression] = []
        for term in _terms(expression):
            coefficient, rest = split_number(term)
            match rest:
                case Reduce(operation, over, body) if operation == SUM:
                    self.total(left, indices, over, coefficient, body, accumulate)
                    accumulate = True
                case Reduce() if coefficient == 1:
                    self.extreme(left, indices, rest, accumulate)
                    accumulate = True
                case _ if self.guards_of(term):
                    self.pointwise(left, indices, term, accumulate)
                    accumulate = True
                case _:
                    plain.append(term)
        together = plus(*plain)
        if together != ZERO or not accumulate:
            self.pointwise(left, indices, together, accumulate)

    # ---- a product with something missing is 0 whatever the rest

    def may_be_infinite(self, expression: Expression) -> bool:
        for node in walk(expression):
            match node:
                case Function(name, _) if name in _INFINITE:
                    return True
                case Power(_, exponent) if exponent < 0:
                    return True
                case Access(tensor, _) if tensor in self.infinite:
                    return True
        return False

    def guards_of(self, expression: Expression, is_summed: bool = False) -> list[Access]:
        """Reads that are 0 where a product is 0 though one of its factors may be infinite or NaN.

        Beside a factor that is missing only what is infinite for finite data counts.  Beside a bracket that
        does not hold the data counts too; without a sum a bracket of values sees to that by itself.
        """
        factors = factors_of(expression)
        found: list[Access] = []
        for position, factor in enumerate(factors):
            entry = factor.base if isinstance(factor, Power) else factor
            if entry is not factor and isinstance(entry, Access) and entry.tensor in self.contents:
                continue  # a divisor that is a condition
            others = factors[:position] + factors[position + 1 :]
            if self.is_condition(factor) and (is_summed or not isinstance(factor, Bracket)):
                is_needed = not all(isinstance(other, Number) or self.is_condition(other) for other in others)
            else:
                is_needed = any(map(self.may_be_infinite, others))
            if not is_needed or not isinstance(entry, Access | Bracket):
                continue
            if isinstance(entry, Bracket):  # of values: those of indices are reads by now
                found.append(self.temporary(entry, self.free(entry)))
            else:
                found += self.inside(entry)
        return list(dict.fromkeys(found))

    def is_condition(self, factor: Expression) -> bool:
        """Whether the factor is a bracket: 1 where it holds, else 0."""
        if isinstance(factor, Access) and factor.tensor in self.contents:
            return set(self.contents[factor.tensor]) <= {0.0, 1.0}
        return isinstance(factor, Bracket)

    def some_hold(self, factors: Sequence[Expression], over: Sequence[str]) -> list[Access]:
        """A read that is 1 where for some term of a sum all the brackets among its factors hold."""
        conditions = [
            self.temporary(factor, self.free(factor)) if isinstance(factor, Bracket) else factor
            for factor in factors
            if self.is_condition(factor)
        ]
        if not conditions:
            return []
        body = times(*conditions)
        some = reduce(MAX, [index for index in over if index in free_names(body)], body)
        return [self.temporary(some, self.free(some))]

    def guarded(self, expression: Expression) -> Expression:
        """The expression with each product that needs guards replaced by a temporary."""
        if isinstance(expression, Times) and self.guards_of(expression):
            return self.temporary(expression, self.free(expression))
        return rebuild(expression, self.guarded)

    def with_safe_divisors(self, expression: Expression) -> Expression:
        """The expression with divisors that may be missing replaced by reciprocals that are 0 there."""
        match expression:
            case Power(Access(tensor, _) as access, exponent) if (
                exponent < 0 and tensor not in self.contents and self.may_be_missing(access)
            ):
                own, entry = self.own_entry(access.tensor)
                return Access(self.temporary(power(entry, exponent), own).tensor, access.subscripts)
        return rebuild(expression, self.with_safe_divisors)

    def without_reductions(self, expression: Expression) -> Expression:
        """The expression with every sum, maximum and first maximum in it replaced by a temporary."""
        if isinstance(expression, Reduce):
            own = expression.indices if expression.operation == FIRST else ()
            return self.temporary(expression, tuple(dict.fromkeys((*self.free(expression), *own))))
        return rebuild(expression, self.without_reductions)

    # ---- point by point

    def pointwise(
        self,
        left: Access,
        indices: tuple[str, ...],
        expression: Expression,
        accumulate: bool,
        guards: Sequence[Access] = (),
    ) -> None:
        guards = list(dict.fromkeys((*guards, *self.guards_of(expression))))
        expression = self.with_safe_divisors(self.without_reductions(expression))
        expression = rebuild(expression, self.guarded)
        coefficient, body = split_number(self.hoisted(expression, self.work(indices)))
        self.emit(left, indices, body, coefficient, accumulate, guards=guards)

    def hoisted(self, expression: Expression, limit: int) -> Expression:
        """The expression with costly functions that need fewer loops than `limit` replaced by temporaries."""
        costly = isinstance(expression, Function) and expression.name not in _CHEAP
        if costly or (isinstance(expression, Power) and expression.exponent < 0):
            indices = self.free(expression)
            if indices and self.work(indices) < limit:
                return self.temporary(expression, indices)
        return rebuild(expression, lambda inner: self.hoisted(inner, limit))

    # ---- sums

    def total(
        self,
        left: Access,
        indices: tuple[str, ...],
        over: tuple[str, ...],
        coefficient: Fraction,
        body: Expression,
        accumulate: bool,
    ) -> None:
        """Tables for ``coefficient * sum[over] body``."""
        if isinstance(body, Plus) and _is_better_split(body, {*indices, *over}):
            for term in body.terms:
                self.total(left, indices, over, coefficient, term, accumulate)
                accumulate = True
            return
        inner, body = split_number(body)
        coefficient *= inner
        if isinstance(body, Reduce) and body.operation == SUM:
            self.total(left, indices, over + body.indices, coefficient, body.body, accumulate)
            return
        names = free_names(body)
        coefficient *= self.work(index for index in over if index not in names)
        over = tuple(index for index in over if index in names)
        moving = [factor for factor in factors_of(body) if free_names(factor) & set(over)]
        fixed = [factor for factor in factors_of(body) if not free_names(factor) & set(over)]
        if not over:
            self.pointwise(left, indices, times(number(coefficient), body), accumulate)
            return
        if fixed or not names >= set(indices):
            total = reduce(SUM, over, times(*moving))
            entry = self.temporary(total, self.free(total, indices))
            guards = self.some_hold(moving, over) if fixed else []
            self.pointwise(left, indices, times(number(coefficient), *fixed, entry), accumulate, guards)
            return
        guards = self.guards_of(body, is_summed=True)
        factors = self.operands(moving, indices, over, frozenset().union(*map(free_names, guards)))
        names = frozenset().union(*map(free_names, factors))
        over = tuple(index for index in over if index in names)
        self.emit(
            left, indices, times(*factors), coefficient, accumulate, over=over, reduction=SUM, guards=guards
        )

    def operands(
        self,
        factors: list[Expression],
        indices: tuple[str, ...],
        over: tuple[str, ...],
        guarded: frozenset[str],
    ) -> list[Expression]:
        """The factors of a sum, with what pays worked out beforehand; guards read the indices `guarded`."""
        limit = self.work([*indices, *over])
        for subscript in {s for factor in factors for access in accesses(factor) for s in access.subscripts}:
            limit //= math.lcm(*[part.denominator for _, part in subscript])
        reads = [self.operand(factor, limit) for factor in factors]
        free = tuple(index for index in over if index not in guarded)
        return self.merged(self.summed_alone(reads, free, limit), limit)

    def operand(self, factor: Expression, limit: int) -> Expression:
        """A factor as a read, where working it out beforehand takes fewer loops than `limit`."""
        factor = self.guarded(self.with_safe_divisors(self.without_reductions(factor)))
        if isinstance(factor, Access | Number):
            return factor
        return self.over_one_tensor(factor, limit) or self.over_subscripts(factor, limit) or factor

    def over_one_tensor(self, factor: Expression, limit: int) -> Access | None:
        """``f(X[...])`` as a read of a tensor ``f(X)`` that has f(0) around it."""
        reads = set(accesses(factor))
        if len(reads) != 1:
            return None
        (access,) = reads
        own, entry = self.own_entry(access.tensor)
        if not own or self.work(own) >= limit:
            return None
        around = constant(factor, {access: self.fill(access.tensor)})
        if around != 0 and any(map(is_fractional, access.subscripts)):
            return None  # between two entries f(0) would have to be read too
        temporary = self.temporary(replace_access(factor, lambda _: entry), own, around)
        return Access(temporary.tensor, access.subscripts)

    def over_subscripts(self, factor: Expression, limit: int) -> Access | None:
        """A function of several entries as a read of a temporary over its indices, or over its subscripts."""
        indices = self.free(factor)
        ranges: dict[Polynomial, tuple[Fraction, Fraction]] = {}
        for access in accesses(factor):
            for subscript in access.subscripts:
                moving, start = _moving(subscript)
                low, high = self.bounds(subscript)
                least, most = ranges.get(moving, (low - start, high - start))
                ranges[moving] = min(least, low - start), max(most, high - start)
        names = {moving: f"({moving!r})" for moving in ranges if moving.names}
        if not any(moving.has_rounding or is_fractional(moving) for moving in ranges):
            for moving, name in names.items():
                self.extents[name] = int(ranges[moving][1] - ranges[moving][0]) + 1
            if self.work(names.values()) < min(limit, self.work(indices)):

                def moved(access: Access) -> Access:
                    parts = map(_moving, access.subscripts)
                    return Access(
                        access.tensor,
                        tuple(
                            Polynomial.of(names[moving]) + ranges[moving][0] + start
                            if moving in names
                            else moving + start
                            for moving, start in parts
                        ),
                    )

                temporary = self.temporary(replace_access(factor, moved), tuple(names.values()))
                return Access(temporary.tensor, tuple(moving - ranges[moving][0] for moving in names))
        if indices and self.work(indices) < limit:
            return self.temporary(factor, indices)
        return None

    def summed_alone(self, reads: list[Expression], over: tuple[str, ...], limit: int) -> list[Expression]:
        """Sum first over the indices that one factor has alone, as the channels of a channel-summed layer."""
        found = list(reads)
        for position, read in enumerate(reads):
            others = free_names(times(*found[:position], *found[position + 1 :]))
            if not isinstance(read, Access) or len(reads) < 2:
                continue
            awkward = [s for s in read.subscripts if s.has_rounding or is_fractional(s)]
            tangled = frozenset().union(*[subscript.names for subscript in awkward])
            alone = [index for index in over if index in free_names(read) - others - tangled]
            own, _ = self.own_entry(read.tensor)
            inside: list[Polynomial] = []
            outside: dict[str, Polynomial] = {}
            for name, subscript in zip(own, read.subscripts, strict=True):
                if subscript.names & set(alone):
                    inside.append(subscript)
                    kept = sorted(subscript.names - set(alone))
                    outside.update({index: Polynomial.of(index) for index in kept})
                else:
                    inside.append(Polynomial.of(name))
                    outside[name] = subscript
            if alone and self.work([*outside, *alone]) < limit:
                total = reduce(SUM, alone, Access(read.tensor, tuple(inside)))
                temporary = self.temporary(total, tuple(outside))
                found[position] = Access(temporary.tensor, tuple(outside.values()))
        return found

    def merged(self, reads: list[Expression], limit: int) -> list[Expression]:
        """Multiply beforehand two factors of which one reads nothing but subscripts of the other."""
        found = list(reads)
        for one in reads:
            for other in reads:
                if one is other or one not in found or other not in found:
                    continue
                if not isinstance(one, Access) or not isinstance(other, Access):
                    continue
                own, entry = self.own_entry(one.tensor)
                places = dict(zip(one.subscripts, entry.subscripts, strict=True))
                fits = len(places) == len(own) and set(other.subscripts) <= places.keys()
                if not fits or self.work(own) >= limit or self.fill(one.tensor) or self.fill(other.tensor):
                    continue
                product = times(entry, Access(other.tensor, tuple(places[s] for s in other.subscripts)))
                temporary = self.temporary(product, own)
                found.remove(one)
                found.remove(other)
                found.append(Access(temporary.tensor, one.subscripts))
        return found

    # ---- maxima

    def extreme(self, left: Access, indices: tuple[str, ...], reduction: Reduce, accumulate: bool) -> None:
        """Tables for ``max[over] body`` and ``first[over] body``; what reads outside takes no part."""
        body, over = reduction.body, reduction.indices
        guards = self.presence(body)
        self.check_windows(guards, indices, reduction)
        subscripts = [s for access in (*accesses(body), *guards) for s in access.subscripts]
        if any(s.names & set(over) and (s.has_rounding or is_fractional(s)) for s in subscripts):
            # residues would split the window, so its terms are laid out first
            body = self.temporary(body, self.free(body, (*indices, *over)))
            inside = times(*guards)
            guards = [self.temporary(inside, self.free(inside, (*indices, *over)))] if guards else []
        elif isinstance(body, Access) and reduction.operation != FIRST:
            guards = []  # minus infinity in the border says the same
        body = self.terms_beforehand(body, self.work([*indices, *over]))
        self.emit(
            left,
            indices,
            body,
            Fraction(1),
            accumulate,
            over=over,
            reduction=reduction.operation,
            guards=guards,
        )

    def presence(self, expression: Expression) -> list[Access]:
        """Reads that are all 1 where nothing is read outside; a sum reads outside where all its terms do."""
        if isinstance(expression, Access):
            return self.inside(expression) if expression.tensor in self.sizes.shapes else []
        found = [guard for child in children(expression) for guard in self.presence(child)]
        if isinstance(expression, Reduce) and expression.operation != FIRST:
            inner = [guard for guard in found if free_names(guard) & set(expression.indices)]
            found = [guard for guard in found if guard not in inner]
            if inner:
                some = reduce(MAX, expression.indices, times(*dict.fromkeys(inner)))
                found.append(self.temporary(some, self.free(some)))
        return list(dict.fromkeys(found))

    def terms_beforehand(self, expression: Expression, limit: int) -> Expression:
        if isinstance(expression, Function | Power | Reduce | Times):
            return self.operand(expression, limit)
        return rebuild(expression, lambda inner: self.terms_beforehand(inner, limit))

    def check_windows(self, guards: Sequence[Access], indices: tuple[str, ...], reduction: Reduce) -> None:
        for guard in guards:
            if guard.tensor not in self.contents:
                continue
            (subscript,) = guard.subscripts
            if subscript.has_rounding or is_fractional(subscript):
                continue
            extents = {name: self.extent(name) for name in sorted(subscript.names)}
            steps, start = affine(subscript, extents)
            last = self.shapes[guard.tensor][0] - 1
            within = set(extents) & set(reduction.indices)
            for at in sorted(positions(start, steps, extents, set(extents) - within)):
                window = positions(at, steps, extents, within)
                if not any(0 <= position <= last for position in window):
                    outer = [index for index in self.equation.indices if index in set(extents) - within]
                    places = itertools.product(*[range(extents[index]) for index in outer])
                    place = next(
                        found
                        for found in (dict(zip(outer, values, strict=True)) for values in places)
                        if start + sum(steps.get(index, 0) * value for index, value in found.items()) == at
                    )
                    raise empty_window(self.as_written(reduction), place)

    def as_written(self, reduction: Reduce) -> Reduce:
        """The maximum of the formula that became this one when its settings were given values."""
        values = {name: Polynomial.of(Fraction(value)) for name, value in self.sizes.values.items()}
        for node in walk(self.equation.right):
            if isinstance(node, Reduce) and self.constants(substitute(node, values)) == reduction:
                return node
        return reduction


def _terms(expression: Expression) -> list[Expression]:
    """The terms of a sum; a number before brackets goes inside where that frees a sum or a maximum."""
    if isinstance(expression, Plus):
        return [inner for term in expression.terms for inner in _terms(term)]
    coefficient, rest = split_number(expression)
    if isinstance(rest, Plus) and any(isinstance(split_number(term)[1], Reduce) for term in rest.terms):
        return [inner for term in rest.terms for inner in _terms(times(number(coefficient), term))]
    return [expression]


def _is_better_split(body: Plus, indices: set[str]) -> bool:
    """Whether the terms of a sum have loops that differ, so that each is better summed by itself."""
    names = indices & free_names(body)
    for term in body.terms:
        if any(isinstance(node, Reduce) for node in walk(term)):
            return True
        if any(is_fractional(subscript) for access in accesses(term) for subscript in access.subscripts):
            return True
        factors = [factor for factor in factors_of(term) if not isinstance(factor, Number)]
        if not factors or any(free_names(factor) != names for factor in factors):
            return True
    return False


def _moving(subscript: Polynomial) -> tuple[Polynomial, Fraction]:
    """A subscript without its constant, and the constant."""
    start = subscript.terms.get(frozenset(), Fraction(0))
    return subscript - start, start
