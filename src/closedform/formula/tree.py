"""The expression tree of the formula language, in a normal form.

Build trees with the functions `plus`, `minus`, `times`, `power` and `reduce`, which keep the normal
form (nested sums and products are flat, numbers are gathered, products with 0 are 0), so that a tree
printed and read again is the same tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

from closedform.formula.subscripts import Polynomial, Scalar, Substitution, is_extent

SUM, MAX, FIRST = "sum", "max", "first"
FUNCTIONS = ("relu", "step", "sigmoid", "tanh", "exp", "log", "sqrt", "abs", "softplus")


@dataclass(frozen=True)
class Number:
    """A number: constants, settings and extents."""

    value: Polynomial


@dataclass(frozen=True)
class Access:
    """One entry of a tensor, ``X[n,p,s*i+u]``; a scalar has no subscripts."""

    tensor: str
    subscripts: tuple[Polynomial, ...]


@dataclass(frozen=True)
class Jacobian:
    """The derivative of one entry in another, ``∂Y[...]/∂X[...]``."""

    of: Access
    by: Access

    @property
    def access(self) -> Access:
        """The entry of an array of shape ``Y.shape + X.shape``, stored under `name`."""
        return Access(self.name, self.of.subscripts + self.by.subscripts)

    @property
    def name(self) -> str:
        """The name under which evaluation finds the array."""
        return f"∂{self.of.tensor}/∂{self.by.tensor}"


@dataclass(frozen=True)
class Plus:
    """A sum of terms; those with a minus stand last."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True)
class Times:
    """A product of factors; a number stands first, divisors stand last."""

    factors: tuple[Expression, ...]


@dataclass(frozen=True)
class Power:
    """A whole power, negative for a divisor."""

    base: Expression
    exponent: int


@dataclass(frozen=True)
class Function:
    """A point-wise function of `FUNCTIONS`."""

    name: str
    argument: Expression


@dataclass(frozen=True)
class Reduce:
    """``sum``, ``max`` or ``first`` over indices.

    ``first[u] E`` is 1 at the first maximum of E in row order and 0 elsewhere; its indices stay free.
    """

    operation: str
    indices: tuple[str, ...]
    body: Expression


@dataclass(frozen=True)
class Bracket:
    """An Iverson bracket: 1 where every comparison holds, else 0.  ``[0 <= i+u-t < |X.2|]``."""

    sides: tuple[Expression, ...]
    relations: tuple[str, ...]

    @property
    def compares_subscripts(self) -> bool:
        """Whether it compares whole numbers rather than values of tensors."""
        return all(isinstance(side, Number) for side in self.sides)


Expression: TypeAlias = Number | Access | Jacobian | Plus | Times | Power | Function | Reduce | Bracket


@dataclass(frozen=True, repr=False)
class Equation:
    """One line of index notation, ``left = right``."""

    left: Access
    right: Expression

    def __repr__(self) -> str:
        return f"Equation({str(self)!r})"

    def __str__(self) -> str:
        from closedform.formula.notation import text

        return text(self)

    def latex(self) -> str:
        """The line as LaTeX, to stand in mathematics mode."""
        from closedform.formula.notation import latex

        return latex(self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    @cached_property
    def left_indices(self) -> tuple[str, ...]:
        """The indices on the left, in order."""
        return left_indices(self.left)

    @cached_property
    def indices(self) -> tuple[str, ...]:
        """Every index: those on the left, then those of sums and maxima as they come."""
        return tuple(dict.fromkeys([*self.left_indices, *bound_indices(self.right)]))

    @cached_property
    def accesses(self) -> tuple[Access, ...]:
        """Every entry that is read, in order, Jacobians by their own names."""
        return tuple(accesses(self.right))

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that are read, in order."""
        return tuple(dict.fromkeys(access.tensor for access in self.accesses))

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Every name that is neither an index nor an extent, sorted."""
        names = free_names(self.right) | free_names(self.left)
        return tuple(sorted(names - set(self.indices)))

    def substitute(self, values: Substitution) -> Equation:
        """Replace names on both sides."""
        left = substitute(self.left, values)
        if not isinstance(left, Access):
            raise TypeError("an equation defines an entry of a tensor")
        return Equation(left, substitute(self.right, values))


def number(value: Scalar | str) -> Number:
    """A number, a setting or an extent as an expression."""
    return Number(Polynomial.of(value))


ZERO, ONE, MINUS_ONE = number(0), number(1), number(-1)


def plus(*terms: Expression) -> Expression:
    """The sum of the terms, flat, with one number first and what has a minus last."""
    flat: list[Expression] = []
    constant = Polynomial.of(0)
    for term in terms:
        for part in term.terms if isinstance(term, Plus) else (term,):
            if isinstance(part, Number):
                constant = constant + part.value
            else:
                flat.append(part)
    if constant.terms:
        flat.insert(0, Number(constant))
    flat.sort(key=is_negative)
    if not flat:
        return ZERO
    return flat[0] if len(flat) == 1 else Plus(tuple(flat))


def minus(left: Expression, right: Expression) -> Expression:
    """The difference."""
    return plus(left, negative(right))


def negative(expression: Expression) -> Expression:
    """The expression with its sign turned; of a sum, every term's."""
    return times(MINUS_ONE, expression)


def times(*factors: Expression) -> Expression:
    """The product of the factors, flat, with one number first and divisors last."""
    flat: list[Expression] = []
    constant = Polynomial.of(1)
    for factor in factors:
        for part in factor.factors if isinstance(factor, Times) else (factor,):
            if isinstance(part, Number):
                constant = constant * part.value
            else:
                flat.append(part)
    if not constant.terms:
        return ZERO
    if constant != Polynomial.of(1):
        flat.insert(0, Number(constant))
    flat.sort(key=is_divisor)
    if not flat:
        return ONE
    if len(flat) == 2 and flat[0] == MINUS_ONE and isinstance(flat[1], Plus):
        return plus(*[times(MINUS_ONE, term) for term in flat[1].terms])
    return flat[0] if len(flat) == 1 else Times(tuple(flat))


def power(base: Expression, exponent: int) -> Expression:
    """The whole power; of a product, the product of the powers."""
    if exponent == 0:
        return ONE
    if exponent == 1:
        return base
    if isinstance(base, Number):
        if exponent > 0 or base.value.is_monomial:
            return Number(base.value**exponent)
        return Power(power(base, -exponent), -1)
    if isinstance(base, Times):
        return times(*[power(factor, exponent) for factor in base.factors])
    if isinstance(base, Power):
        return power(base.base, base.exponent * exponent)
    return Power(base, exponent)


def reduce(operation: str, indices: Iterable[str], body: Expression) -> Expression:
    """The sum, maximum or first maximum over the indices; sums of sums are one sum."""
    names = tuple(indices)
    if not names or (operation == SUM and body == ZERO):
        return body
    if operation == SUM and isinstance(body, Reduce) and body.operation == SUM:
        names, body = names + body.indices, body.body
    return Reduce(operation, names, body)


def is_negative(expression: Expression) -> bool:
    """Whether the expression is printed with a minus before it."""
    if isinstance(expression, Times):
        expression = expression.factors[0]
    return isinstance(expression, Number) and expression.value.is_negative


def is_divisor(expression: Expression) -> bool:
    """Whether the expression is printed below a line."""
    return isinstance(expression, Power) and expression.exponent < 0


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside."""
    match expression:
        case Plus(terms):
            return terms
        case Times(factors):
            return factors
        case Power(base, _):
            return (base,)
        case Function(_, argument):
            return (argument,)
        case Reduce(_, _, body):
            return (body,)
        case Bracket(sides, _):
            return sides
        case _:
            return ()


def rebuild(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The same node with `change` applied to each expression directly inside."""
    match expression:
        case Plus(terms):
            return plus(*map(change, terms))
        case Times(factors):
            return times(*map(change, factors))
        case Power(base, exponent):
            return power(change(base), exponent)
        case Function(name, argument):
            return Function(name, change(argument))
        case Reduce(operation, indices, body):
            return reduce(operation, indices, change(body))
        case Bracket(sides, relations):
            return Bracket(tuple(map(change, sides)), relations)
        case _:
            return expression


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything inside it, outermost first, left to right."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def accesses(expression: Expression) -> Iterator[Access]:
    """Every entry that is read, Jacobians by their own names."""
    for node in walk(expression):
        if isinstance(node, Access):
            yield node
        elif isinstance(node, Jacobian):
            yield node.access


@lru_cache(maxsize=65536)
def free_names(expression: Expression) -> frozenset[str]:
    """The indices and settings that the expression's value depends on."""
    match expression:
        case Number(value):
            return value.names
        case Access(_, subscripts):
            return frozenset().union(*[subscript.names for subscript in subscripts])
        case Jacobian(of, by):
            return free_names(of) | free_names(by)
        case Reduce(operation, indices, body) if operation != FIRST:
            return free_names(body) - set(indices)
        case _:
            return frozenset().union(*map(free_names, children(expression)))


def bound_indices(expression: Expression) -> list[str]:
    """The indices of sums and maxima, outermost first, as often as they are bound."""
    return [
        index
        for node in walk(expression)
        if isinstance(node, Reduce) and node.operation != FIRST
        for index in node.indices
    ]


def left_indices(left: Access) -> tuple[str, ...]:
    """The indices of a left-hand side: the only name in a term, its factors being extents and numbers."""
    found: dict[str, None] = {}
    for subscript in left.subscripts:
        for monomial, _ in subscript:
            names = [a for a, _ in monomial if isinstance(a, str) and not is_extent(a)]
            if len(names) == 1:
                found[names[0]] = None
    return tuple(found)


def substitute(expression: Expression, values: Substitution) -> Expression:
    """Replace names by polynomials.

    A bound index is renamed only where `values` names it and gives a lone name; the names put in must
    not be bound inside.
    """
    if not values:
        return expression
    match expression:
        case Number(value):
            return Number(value.substitute(values))
        case Access(tensor, subscripts):
            return Access(tensor, tuple(subscript.substitute(values) for subscript in subscripts))
        case Jacobian(of, by):
            return Jacobian(
                Access(of.tensor, tuple(s.substitute(values) for s in of.subscripts)),
                Access(by.tensor, tuple(s.substitute(values) for s in by.subscripts)),
            )
        case Reduce(operation, indices, body) if any(index in values for index in indices):
            renamed = [values[index].lone if index in values else index for index in indices]
            if None in renamed:
                raise ValueError("a bound index can only be renamed")
            return reduce(operation, [name for name in renamed if name], substitute(body, values))
        case _:
            return rebuild(expression, lambda inner: substitute(inner, values))


def substitute_free(expression: Expression, values: Substitution) -> Expression:
    """Replace free names only, renaming bound indices that would capture one of the names put in."""
    incoming = set().union(*[value.names for value in values.values()]) if values else set()
    match expression:
        case Reduce(operation, indices, body) if operation != FIRST:
            inner = {name: value for name, value in values.items() if name not in indices}
            taken = incoming | free_names(body) | set(indices) | set(values)
            fresh: dict[str, Polynomial] = {}
            names: list[str] = []
            for index in indices:
                name = index
                while name in incoming or (name != index and name in taken):
                    name += "'"
                if name != index:
                    fresh[index] = Polynomial.of(name)
                    taken.add(name)
                names.append(name)
            body = substitute_free(body, fresh) if fresh else body
            return reduce(operation, names, substitute_free(body, inner))
        case Reduce(_, indices, _) if any(index in values for index in indices):
            return substitute(expression, values)
        case Number() | Access() | Jacobian():
            return substitute(expression, values)
        case _:
            return rebuild(expression, lambda inner: substitute_free(inner, values))


def replace_access(expression: Expression, change: Callable[[Access], Expression]) -> Expression:
    """The expression with every entry that is read replaced by what `change` makes of it."""
    if isinstance(expression, Access):
        return change(expression)
    return rebuild(expression, lambda inner: replace_access(inner, change))


@lru_cache(maxsize=65536)
def canonical(expression: Expression) -> str:
    """A key that is the same for expressions that differ only in the names of bound indices and in order."""
    return _canonical(expression, 0)


def _canonical(expression: Expression, depth: int) -> str:
    match expression:
        case Reduce(operation, indices, body) if operation != FIRST:
            names = {index: Polynomial.of(f"_{depth}_{k}") for k, index in enumerate(indices)}
            return f"{operation}{len(indices)}({_canonical(substitute_free(body, names), depth + 1)})"
        case Plus() | Times():
            inside = sorted(_canonical(child, depth) for child in children(expression))
            return f"{type(expression).__name__}({','.join(inside)})"
        case Power(base, exponent):
            return f"({_canonical(base, depth)})^{exponent}"
        case Function(name, argument):
            return f"{name}({_canonical(argument, depth)})"
        case Number(value):
            return _key(value)
        case Access(tensor, subscripts):
            return f"{tensor}[{','.join(map(_key, subscripts))}]"
        case Jacobian():
            return _canonical(expression.access, depth)
        case Reduce(operation, indices, body):
            return f"{operation}{indices}({_canonical(body, depth)})"
        case Bracket(sides, relations):
            inside = (
                sorted(_canonical(side, depth) for side in sides)
                if relations == ("=",)
                else [_canonical(side, depth) for side in sides]
            )
            return f"{relations}({','.join(inside)})"


def _key(value: Polynomial) -> str:
    def atom_key(atom: object) -> str:
        if isinstance(atom, str):
            return atom
        return f"{type(atom).__name__}({_key(atom.numerator)},{_key(atom.denominator)})"  # type: ignore[attr-defined]

    parts = []
    for monomial, factor in value:
        inside = sorted(f"{atom_key(atom)}^{exponent}" for atom, exponent in monomial)
        parts.append(f"{factor}*{'*'.join(inside)}")
    return "+".join(sorted(parts)) or "0"
