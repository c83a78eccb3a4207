"""Expressions as text that can be read back, and as LaTeX.

``parse(text(equation)) == equation`` for every equation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from fractions import Fraction

from closedform.formula.subscripts import Atom, Floor, Modulo, Monomial, Polynomial, is_extent
from closedform.formula.tree import (
    FIRST,
    MAX,
    MINUS_ONE,
    SUM,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    bound_indices,
    is_divisor,
    is_negative,
    power,
    times,
    walk,
)

_SUM, _PRODUCT, _FACTOR = 0, 1, 2  # how tightly the place where an expression stands binds


def text(formula: Equation | Expression) -> str:
    """The formula as one line of Unicode text in the language itself."""
    indices = _indices(formula)
    if isinstance(formula, Equation):
        return f"{_text(formula.left, _SUM, indices)} = {_text(formula.right, _SUM, indices)}"
    return _text(formula, _SUM, indices)


def latex(formula: Equation | Expression) -> str:
    """The formula as LaTeX for mathematics mode; ``dX`` is written as the derivative ∂L/∂X."""
    indices = _indices(formula)
    if isinstance(formula, Equation):
        return f"{_latex(formula.left, _SUM, indices)} = {_latex(formula.right, _SUM, indices)}"
    return _latex(formula, _SUM, indices)


def subscript_text(subscript: Polynomial, indices: Iterable[str] = ()) -> str:
    """A subscript as text: ``s*i+u-t``, ``(a+t-u)/s``, ``a//k``."""
    return _polynomial(subscript, frozenset(indices), _atom_text, "*", _text_fraction)


def subscript_latex(subscript: Polynomial, indices: Iterable[str] = ()) -> str:
    """A subscript as LaTeX."""
    return _polynomial(subscript, frozenset(indices), _atom_latex, r"\,", _latex_fraction)


def _indices(formula: Equation | Expression) -> frozenset[str]:
    if isinstance(formula, Equation):
        return frozenset(formula.indices)
    bare = {s.lone for e in walk(formula) if isinstance(e, Access) for s in e.subscripts}
    return frozenset(bound_indices(formula)) | frozenset(name for name in bare if name)


# one routine for both forms: only atoms, the sign between factors and the fraction differ
def _polynomial(
    value: Polynomial,
    indices: frozenset[str],
    atom: Callable[[Atom, frozenset[str], bool], str],
    sign: str,
    fraction: Callable[[str, str, bool, bool], str],
) -> str:
    if not value.terms:
        return "0"
    below: dict[Atom, int] = {}
    for monomial, _ in value:
        for name, exponent in monomial:
            if exponent < 0:
                below[name] = max(below.get(name, 0), -exponent)
    common = math.lcm(*[factor.denominator for _, factor in value])
    denominator = Polynomial({frozenset(below.items()): Fraction(common)})
    numerator = value * denominator

    def product(monomial: Monomial, factor: int) -> str:
        parts = [str(factor)] if factor != 1 or not monomial else []
        for name, exponent in sorted(monomial, key=lambda part: _factor_order(part[0], indices)):
            written = atom(name, indices, len(monomial) > 1 or factor != 1 or exponent > 1)
            parts += [written] * exponent
        return sign.join(parts)

    written = ""
    for monomial, factor in sorted(numerator, key=_term_order):
        written += "-" if factor < 0 else "+" if written else ""
        written += product(monomial, abs(int(factor)))
    if denominator == Polynomial.of(1):
        return written
    ((monomial, factor),) = denominator.terms.items()
    single = len(monomial) + (factor != 1) == 1 and all(k == 1 for _, k in monomial)
    return fraction(written, product(monomial, int(factor)), numerator.is_monomial, single)


def _term_order(term: tuple[Monomial, Fraction]) -> tuple[bool, bool]:
    monomial, factor = term
    return factor < 0, not monomial


def _factor_order(atom: Atom, indices: frozenset[str]) -> tuple[int, str]:
    if not isinstance(atom, str):
        return 3, ""
    return (0 if is_extent(atom) else 2 if atom in indices else 1), atom


def _text_fraction(above: str, below: str, one_term: bool, one_factor: bool) -> str:
    return (above if one_term else f"({above})") + "/" + (below if one_factor else f"({below})")


def _latex_fraction(above: str, below: str, one_term: bool, one_factor: bool) -> str:
    return rf"\frac{{{above}}}{{{below}}}"


def _atom_text(atom: Atom, indices: frozenset[str], in_product: bool) -> str:
    if isinstance(atom, str):
        return atom
    above, below = (subscript_text(part, indices) for part in (atom.numerator, atom.denominator))
    sign = "//" if isinstance(atom, Floor) else " % "
    written = _closed(above) + sign + _closed(below)
    return f"({written})" if in_product else written


def _closed(written: str) -> str:
    return written if re.fullmatch(r"[\w.'|]+", written) else f"({written})"


def _atom_latex(atom: Atom, indices: frozenset[str], in_product: bool) -> str:
    if isinstance(atom, str):
        return rf"\lvert {_name_latex(atom[1:-1])}\rvert" if is_extent(atom) else _name_latex(atom)
    above, below = (subscript_latex(part, indices) for part in (atom.numerator, atom.denominator))
    if isinstance(atom, Modulo):
        written = rf"\left({above}\right) \bmod {below}"
        return rf"\left({written}\right)" if in_product else written
    return rf"\left\lfloor {above}/{below}\right\rfloor"


def _name_latex(name: str) -> str:
    match = re.fullmatch(r"([A-Za-z_]+?)_?(\d*)('*)(?:\.(\d+))?", name)
    if not match:
        return name
    letters, digits, primes, axis = match.groups()
    letters = letters.replace("_", r"\_")
    written = letters if len(letters) == 1 else rf"\mathit{{{letters}}}"
    written += f"_{{{digits}}}" if digits else ""
    return written + primes + (rf".{axis}" if axis else "")


# ---- text


def _text(e: Expression, place: int, indices: frozenset[str]) -> str:
    match e:
        case Number(value):
            return _number_text(value, place, indices)
        case Access(tensor, subscripts):
            inside = ",".join(subscript_text(subscript, indices) for subscript in subscripts)
            return f"{tensor}[{inside}]" if subscripts else tensor
        case Jacobian(of, by):
            return f"∂{_text(of, _FACTOR, indices)}/∂{_text(by, _FACTOR, indices)}"
        case Function(name, argument):
            return f"{name}({_text(argument, _SUM, indices)})"
        case Bracket(sides, relations):
            written = [_text(side, _SUM, indices) for side in sides]
            return "[" + _joined(written, [f" {relation} " for relation in relations]) + "]"
        case Power(base, exponent) if exponent > 0:
            return f"{_text(base, _FACTOR, indices)}^{exponent}"
        case Reduce(operation, names, body):
            written_sum = f"{operation}[{','.join(names)}] {_text(body, _PRODUCT, indices)}"
            return f"({written_sum})" if place == _FACTOR else written_sum
        case Plus(terms):
            signed = _signed_sum(terms, lambda term: _text(term, _PRODUCT, indices))
            return f"({signed})" if place else signed
        case Times() | Power():
            if is_negative(e):
                written = "-" + _text(times(MINUS_ONE, e), _PRODUCT, indices)
                return f"({written})" if place else written
            written = _product_text(e, indices)
            return f"({written})" if place == _FACTOR else written


def _number_text(value: Polynomial, place: int, indices: frozenset[str]) -> str:
    written = subscript_text(value, indices)
    loose = len(value.terms) > 1 or (place == _FACTOR and not re.fullmatch(r"[\w|.]+", written))
    return f"({written})" if place and (loose or written.startswith("-")) else written


def _product_text(e: Expression, indices: frozenset[str]) -> str:
    above, below = _above_and_below(e)
    parts = []
    for position, factor in enumerate(above):
        last = position == len(above) - 1 and not below
        place = _PRODUCT if last or isinstance(factor, Number) else _FACTOR
        parts.append(_text(factor, place, indices))
    written = " * ".join(parts) or "1"
    return written + "".join(" / " + _text(divisor, _FACTOR, indices) for divisor in below)


def _signed_sum(terms: Iterable[Expression], write: Callable[[Expression], str]) -> str:
    signed = ""
    for term in terms:
        if is_negative(term):
            signed += (" - " if signed else "-") + write(times(MINUS_ONE, term))
        else:
            signed += (" + " if signed else "") + write(term)
    return signed


def _above_and_below(e: Expression) -> tuple[list[Expression], list[Expression]]:
    factors = e.factors if isinstance(e, Times) else (e,)
    above = [factor for factor in factors if not is_divisor(factor)]
    below = [power(f.base, -f.exponent) for f in factors if isinstance(f, Power) and f.exponent < 0]
    return above, below


def _joined(sides: list[str], relations: list[str]) -> str:
    return sides[0] + "".join(relation + side for relation, side in zip(relations, sides[1:], strict=True))


# ---- LaTeX

_LATEX_RELATION: dict[str, str] = {"<=": r" \le ", "=": " = ", "<": " < ", "!=": r" \ne "}
_LATEX_REDUCTION: dict[str, str] = {SUM: r"\sum", MAX: r"\max", FIRST: r"\operatorname*{first}"}
_LATEX_FUNCTION: dict[str, str] = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sigmoid": r"\sigma"}


def _latex(e: Expression, place: int, indices: frozenset[str]) -> str:
    match e:
        case Number(value):
            written = subscript_latex(value, indices)
            loose = len(value.terms) > 1 and not value.has_division
            return rf"\left({written}\right)" if place and (loose or written[0] == "-") else written
        case Access():
            return _access_latex(e, indices)
        case Jacobian(of, by):
            return rf"\frac{{\partial {_access_latex(of, indices)}}}{{\partial {_access_latex(by, indices)}}}"
        case Function(name, argument):
            inside = _latex(argument, _SUM, indices)
            if name == "abs":
                return rf"\left\lvert {inside}\right\rvert"
            if name == "sqrt":
                return rf"\sqrt{{{inside}}}"
            written_name = _LATEX_FUNCTION.get(name, rf"\operatorname{{{name}}}")
            return rf"{written_name}\left({inside}\right)"
        case Bracket(sides, relations):
            written = [_latex(side, _SUM, indices) for side in sides]
            inside = _joined(written, [_LATEX_RELATION[relation] for relation in relations])
            return rf"\left[{inside}\right]"
        case Power(base, exponent) if exponent > 0:
            inside = _latex(base, _FACTOR, indices)
            return (
                rf"{inside}^{{{exponent}}}"
                if not isinstance(base, Access)
                else rf"{{{inside}}}^{{{exponent}}}"
            )
        case Reduce(operation, names, body):
            under = ",".join(map(_name_latex, names))
            written = rf"{_LATEX_REDUCTION[operation]}_{{{under}}} {_latex(body, _PRODUCT, indices)}"
            return rf"\left({written}\right)" if place == _FACTOR else written
        case Plus(terms):
            signed = _signed_sum(terms, lambda term: _latex(term, _PRODUCT, indices))
            return rf"\left({signed}\right)" if place else signed
        case Times() | Power():
            return _product_latex(e, place, indices)


def _product_latex(e: Times | Power, place: int, indices: frozenset[str]) -> str:
    if is_negative(e):
        written = "-" + _latex(times(MINUS_ONE, e), _PRODUCT, indices)
        return rf"\left({written}\right)" if place else written
    above, below = _above_and_below(e)
    if below:
        divisor = _latex(times(*below), _SUM, indices)
        return rf"\frac{{{_latex(times(*above), _SUM, indices)}}}{{{divisor}}}"
    parts = []
    for position, factor in enumerate(above):
        last = position == len(above) - 1
        parts.append(_latex(factor, _PRODUCT if last or isinstance(factor, Number) else _FACTOR, indices))
    return r"\,".join(parts)


def _access_latex(access: Access, indices: frozenset[str]) -> str:
    inside = ",".join(subscript_latex(subscript, indices) for subscript in access.subscripts)
    below = f"_{{{inside}}}" if inside else ""
    gradient = re.fullmatch(r"d([A-Z]\w*|[a-z])", access.tensor)
    if gradient:
        return rf"\frac{{\partial L}}{{\partial {_subscripted(gradient[1], below)}}}"
    return _subscripted(access.tensor, below)


def _subscripted(tensor: str, below: str) -> str:
    name = _name_latex(tensor)
    return rf"{{{name}}}{below}" if below and "_" in name else name + below
