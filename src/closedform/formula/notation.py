"""Expressions as text that can be read back, and as LaTeX.

``parse(text(equation)) == equation`` for every equation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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

_ALONE, _SUM, _PRODUCT, _FACTOR = -1, 0, 1, 2  # how tightly the place where an expression stands binds


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
    return _polynomial(subscript, frozenset(indices), _TEXT)


def subscript_latex(subscript: Polynomial, indices: Iterable[str] = ()) -> str:
    """A subscript as LaTeX."""
    return _polynomial(subscript, frozenset(indices), _LATEX)


def _indices(formula: Equation | Expression) -> frozenset[str]:
    if isinstance(formula, Equation):
        return frozenset(formula.indices)
    bare = {s.lone for e in walk(formula) if isinstance(e, Access) for s in e.subscripts}
    return frozenset(bound_indices(formula)) | frozenset(name for name in bare if name)


@dataclass(frozen=True)
class _Style:
    """How the parts of a subscript are written; an atom's last argument is the place where it stands."""

    atom: Callable[[Atom, frozenset[str], int], str]
    sign: str
    power: str
    fraction: Callable[[str, str, bool, bool], str]


def _polynomial(value: Polynomial, indices: frozenset[str], style: _Style) -> str:
    if not value.terms:
        return "0"
    denominator = value.divisor
    if denominator == Polynomial.of(1):
        return _terms(value, indices, style)
    numerator = value * denominator
    above = _terms(numerator, indices, style, _FACTOR)
    ((monomial, factor),) = denominator.terms.items()
    below = _monomial(monomial, int(factor), indices, style, _FACTOR)
    return style.fraction(above, below, numerator.is_monomial, len(monomial) + (factor != 1) == 1)


def _terms(value: Polynomial, indices: frozenset[str], style: _Style, alone: int = _ALONE) -> str:
    written = ""
    for monomial, factor in sorted(value, key=lambda term: (term[1] < 0, not term[0])):
        is_first = not written
        written += "-" if factor < 0 else "" if is_first else "+"
        place = _FACTOR if factor < 0 and is_first else alone if value.is_monomial else _SUM
        written += _monomial(monomial, abs(int(factor)), indices, style, place)
    return written


def _monomial(monomial: Monomial, factor: int, indices: frozenset[str], style: _Style, place: int) -> str:
    if len(monomial) > 1 or factor != 1:
        place = _FACTOR
    written = []
    for atom, exponent in monomial:
        base = style.atom(atom, indices, place if exponent == 1 else _FACTOR)
        power_of = base if exponent == 1 else style.power.format(base, exponent)
        written.append((_kind(atom, indices), atom if isinstance(atom, str) else base, power_of))
    number = [str(factor)] if factor != 1 or not monomial else []
    return style.sign.join(number + [power_of for *_, power_of in sorted(written)])


def _kind(atom: Atom, indices: frozenset[str]) -> int:
    """Where a factor stands in a product: extents, settings, indices, then what is rounded."""
    if not isinstance(atom, str):
        return 3
    return 0 if is_extent(atom) else 2 if atom in indices else 1


def _text_fraction(above: str, below: str, one_term: bool, one_factor: bool) -> str:
    return (above if one_term else f"({above})") + "/" + (below if one_factor else f"({below})")


def _latex_fraction(above: str, below: str, one_term: bool, one_factor: bool) -> str:
    return rf"\frac{{{above}}}{{{below}}}"


def _atom_text(atom: Atom, indices: frozenset[str], place: int) -> str:
    if isinstance(atom, str):
        return atom
    above, below = (_polynomial(part, indices, _TEXT) for part in (atom.numerator, atom.denominator))
    sign = "//" if isinstance(atom, Floor) else " % "
    written = _closed(above) + sign + _closed(below)
    is_loose = place == _FACTOR or (place == _SUM and isinstance(atom, Modulo))
    return f"({written})" if is_loose else written


def _closed(written: str) -> str:
    return written if re.fullmatch(r"[\w.'|]+(\^[0-9]+)?", written) else f"({written})"


def _atom_latex(atom: Atom, indices: frozenset[str], place: int) -> str:
    if isinstance(atom, str):
        return rf"\lvert {_name_latex(atom[1:-1])}\rvert" if is_extent(atom) else _name_latex(atom)
    above, below = (_closed_latex(part, indices) for part in (atom.numerator, atom.denominator))
    if isinstance(atom, Modulo):
        written = rf"{above} \bmod {below}"
        return rf"\left({written}\right)" if place > _ALONE else written
    return rf"\left\lfloor {above}/{below}\right\rfloor"


def _closed_latex(value: Polynomial, indices: frozenset[str]) -> str:
    written = _polynomial(value, indices, _LATEX)
    is_name = value.is_monomial and len(value.atoms) == 1 and not value.has_rounding and r"\," not in written
    is_closed = (value.constant is not None or is_name) and not written.startswith("-")
    return written if is_closed else rf"\left({written}\right)"


_TEXT = _Style(_atom_text, "*", "{}^{}", _text_fraction)
_LATEX = _Style(_atom_latex, r"\,", "{}^{{{}}}", _latex_fraction)


def _name_latex(name: str) -> str:
    match = re.fullmatch(r"(.+?)(?:_?([0-9]+))?('*)(?:\.([0-9]+))?", name)
    if not match:
        return name
    letters, digits, primes, axis = match.groups(default="")
    written = (
        letters if len(letters) == 1 and letters != "_" else rf"\mathit{{{letters}}}".replace("_", r"\_")
    )
    written += f"_{{{digits}}}" if digits else ""
    return written + primes + (f".{axis}" if axis else "")


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
            inside = _joined((_text(side, _SUM, indices) for side in sides), (f" {r} " for r in relations))
            return f"[{inside}]"
        case Power(base, exponent) if exponent > 0:
            inside = _text(base, _FACTOR, indices)
            return f"({inside})^{exponent}" if isinstance(base, Jacobian) else f"{inside}^{exponent}"
        case Reduce(operation, names, body):
            written_sum = f"{operation}[{','.join(names)}] {_text(body, _PRODUCT, indices)}"
            return f"({written_sum})" if place == _FACTOR else written_sum
        case Plus(terms):
            signed = _signed_sum(terms, lambda term: _text(term, _term_place(term), indices))
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
    for divisor in below:
        is_open = divisor is below[-1] and isinstance(divisor, Reduce)  # a sum reaches to the end
        written += " / " + _text(divisor, _PRODUCT if is_open else _FACTOR, indices)
    return written


def _signed_sum(terms: Iterable[Expression], write: Callable[[Expression], str]) -> str:
    signed = ""
    for term in terms:
        if is_negative(term):
            signed += (" - " if signed else "-") + write(times(MINUS_ONE, term))
        else:
            signed += (" + " if signed else "") + write(term)
    return signed


def _term_place(term: Expression) -> int:
    return _SUM if isinstance(term, Number) else _PRODUCT


def _above_and_below(e: Expression) -> tuple[list[Expression], list[Expression]]:
    factors = e.factors if isinstance(e, Times) else (e,)
    above = [factor for factor in factors if not is_divisor(factor)]
    below = [power(f.base, -f.exponent) for f in factors if isinstance(f, Power) and f.exponent < 0]
    return above, below


def _joined(sides: Iterable[str], relations: Iterable[str]) -> str:
    first, *rest = sides
    return first + "".join(relation + side for relation, side in zip(relations, rest, strict=True))


_LATEX_RELATION: dict[str, str] = {"<=": r" \le ", "=": " = ", "<": " < ", "!=": r" \ne "}
_LATEX_REDUCTION: dict[str, str] = {SUM: r"\sum", MAX: r"\max", FIRST: r"\operatorname*{first}"}
_LATEX_FUNCTION: dict[str, str] = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sigmoid": r"\sigma"}


def _latex(e: Expression, place: int, indices: frozenset[str]) -> str:
    match e:
        case Number(value):
            return _number_latex(value, place, indices)
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
            inside = _joined(
                (_latex(side, _SUM, indices) for side in sides), (_LATEX_RELATION[r] for r in relations)
            )
            return rf"\left[{inside}\right]"
        case Power(base, exponent) if exponent > 0:
            inside = _latex(base, _FACTOR, indices)
            if inside.startswith(r"\frac"):
                inside = rf"\left({inside}\right)"
            elif isinstance(base, Access):
                inside = f"{{{inside}}}"
            return f"{inside}^{{{exponent}}}"
        case Reduce(operation, names, body):
            under = ",".join(map(_name_latex, names))
            written = rf"{_LATEX_REDUCTION[operation]}_{{{under}}} {_latex(body, _PRODUCT, indices)}"
            return rf"\left({written}\right)" if place == _FACTOR else written
        case Plus(terms):
            signed = _signed_sum(terms, lambda term: _latex(term, _term_place(term), indices))
            return rf"\left({signed}\right)" if place else signed
        case Times() | Power():
            return _product_latex(e, place, indices)


def _number_latex(value: Polynomial, place: int, indices: frozenset[str]) -> str:
    written = subscript_latex(value, indices)
    is_modulo = any(value == Polynomial.of(atom) for atom in value.atoms if isinstance(atom, Modulo))
    is_loose = is_modulo or (len(value.terms) > 1 and not value.has_division) or written.startswith("-")
    return rf"\left({written}\right)" if place and is_loose else written


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
