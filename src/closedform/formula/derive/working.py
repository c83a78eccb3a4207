"""What a derivation keeps at hand while it works: the names and sizes in use, and its definitions."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from closedform.formula.derive.terms import Term, fresh_index
from closedform.formula.extents import Sizes
from closedform.formula.notation import subscript_text
from closedform.formula.subscripts import Polynomial, unprimed
from closedform.formula.tree import (
    FIRST,
    Access,
    Equation,
    Expression,
    Reduce,
    canonical,
    free_names,
    rebuild,
    reduce,
    substitute,
    substitute_free,
    walk,
)


@dataclass
class Working:
    """The names and sizes of a derivation, growing as it goes.

    Attributes
    ----------
    sizes
        Extents and shapes, those of fresh names included.
    taken
        Every index that has been used.
    inner
        The indices of the formula's own result: they are solved for first.
    outer
        The indices of the gradient, which stay.
    known
        What names of earlier derivations stand for.
    definitions
        What the names given here stand for.
    """

    sizes: Sizes
    known: list[Equation]
    taken: set[str] = field(default_factory=set)
    inner: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()
    definitions: list[Equation] = field(default_factory=list)

    def written(self, value: Polynomial) -> str:
        """A subscript as text, settings before indices in a product."""
        return subscript_text(value, self.taken)

    def again(self, index: str) -> str:
        """A fresh index with the extent of `index`."""
        name = fresh_index(index, self.taken)
        self.taken.add(name)
        return name

    def letters(self) -> Iterator[str]:
        """Names for new indices: letters, then letters with a number, that nothing uses yet."""
        used = {*map(unprimed, self.taken), *self.sizes.extents, *self.sizes.settings}
        count = 0
        while True:
            for letter in string.ascii_lowercase:
                name = f"{letter}{count or ''}"
                if name not in used:
                    yield name
            count += 1

    def new_index(self, wishes: str, extent: int) -> str:
        """A fresh index with an extent of its own, one of the wished letters where one is free."""
        used = {*map(unprimed, self.taken), *self.sizes.extents, *self.sizes.settings}
        name = next((letter for letter in wishes if letter not in used), None) or next(self.letters())
        self.taken.add(name)
        self.sizes = self.sizes.extended(extents={name: extent})
        return name

    def tidied(self, term: Term) -> Term:
        """The term with as few primes inside its factors as keep their indices apart from its own."""
        if not any(isinstance(node, Reduce) for factor in term.factors for node in walk(factor)):
            return term
        return Term(
            term.indices, tuple(with_few_primes(f, {*self.outer, *term.indices}) for f in term.factors)
        )

    def define(self, candidates: str, indices: Sequence[str], right: Expression) -> Access:
        """An expression under a tensor's name: that which it has already, or the first that is free."""
        for definition in (*self.known, *self.definitions):
            access = self._same(definition, indices, right)
            if access is not None:
                return access
        taken = {*self.sizes.shapes, *(d.left.tensor for d in (*self.known, *self.definitions))}
        numbered = (f"{candidates[0]}{k}" for k in range(2, 1000))
        name = next(c for c in (*candidates, *numbered) if c not in taken)
        left = Access(name, tuple(map(Polynomial.of, indices)))
        shape = tuple(map(self.sizes.extent, indices))
        self.sizes = self.sizes.extended(shapes={name: shape})
        self.definitions.append(without_primes(Equation(left, right)))
        return left

    def _same(self, definition: Equation, indices: Sequence[str], right: Expression) -> Access | None:
        """The entry of `definition` that has this value, its indices matched by their letters."""
        lefts = [subscript.lone for subscript in definition.left.subscripts]
        if len(lefts) != len(indices) or type(definition.right) is not type(right):
            return None
        matched: dict[str, str] = {}
        for left in lefts:
            same = [index for index in indices if left and unprimed(index) == unprimed(left)]
            if left is None or len(same) != 1 or self.sizes.extent(same[0]) != self.sizes.extent(left):
                return None
            matched[left] = same[0]
        values = {left: Polynomial.of(index) for left, index in matched.items()}
        if canonical(substitute_free(definition.right, values)) != canonical(right):
            return None
        return Access(definition.left.tensor, tuple(values[str(left)] for left in lefts))


def without_primes(equation: Equation) -> Equation:
    """The equation with as few primes on its indices as keep them apart."""
    plain = {index: unprimed(index) for index in equation.left_indices}
    if len(set(plain.values())) == len(plain):
        free = {old: Polynomial.of(new) for old, new in plain.items() if old != new}
        left = substitute(equation.left, free)
        if not isinstance(left, Access):
            raise TypeError("an equation defines an entry of a tensor")
        equation = Equation(left, substitute_free(equation.right, free))

    return Equation(equation.left, with_few_primes(equation.right, free_names(equation.right)))


def with_few_primes(expression: Expression, taken: Collection[str]) -> Expression:
    """The expression with as few primes on the indices of its sums and maxima as keep them from `taken`."""
    if not isinstance(expression, Reduce) or expression.operation == FIRST:
        return rebuild(expression, lambda inner: with_few_primes(inner, taken))
    own: dict[str, str] = {}
    for index in expression.indices:
        own[index] = fresh_index(unprimed(index), {*taken, *own.values()})
    body = _renamed(expression.body, own)
    return reduce(expression.operation, own.values(), with_few_primes(body, {*taken, *own.values()}))


def with_reductions_apart(expression: Expression, taken: set[str]) -> Expression:
    """The expression with no two sums or maxima of the same index, nor any of one in `taken`, which grows."""
    if not isinstance(expression, Reduce) or expression.operation == FIRST:
        return rebuild(expression, lambda inner: with_reductions_apart(inner, taken))
    own: dict[str, str] = {}
    for index in expression.indices:
        own[index] = fresh_index(index, taken)
        taken.add(own[index])
    body = with_reductions_apart(_renamed(expression.body, own), taken)
    return reduce(expression.operation, own.values(), body)


def _renamed(expression: Expression, names: dict[str, str]) -> Expression:
    changed = {old: Polynomial.of(new) for old, new in names.items() if old != new}
    return substitute_free(expression, changed)
