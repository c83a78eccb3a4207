"""Mathematics as one line of Unicode: ``o11 = f11·x11 + f12·x12 = 10``."""

from __future__ import annotations

import math as numbers
import re
from collections.abc import Iterable
from fractions import Fraction

from closedform.explanation.math import (
    Add,
    Apply,
    Chain,
    Condition,
    Derivative,
    Dots,
    Floor,
    Large,
    Marked,
    Math,
    Multiply,
    Negative,
    Numeral,
    Over,
    Raised,
    Range,
    Remainder,
    Symbol,
    Word,
)

ALONE, TERM, FACTOR, CLOSED = range(4)  # how tightly the place where something stands binds

RELATION = {"<=": "≤", ">=": "≥", "!=": "≠", "<-": "←", "->": "→"}
_LARGE = {"sum": "Σ", "max": "max", "first": "first"}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_WHOLE_DIGITS = 6  # a number up to this long before its point is written out


def math_text(math: Math) -> str:
    """Mathematics as one line of Unicode, with the brackets that it needs."""
    return written(math, ALONE)


def written(math: Math, place: int) -> str:
    """The text of what stands where `place` says."""
    match math:
        case Marked(body):
            return written(body, place)
        case Word(words):
            return words
        case Numeral():
            return _numeral(math, place)
        case Symbol():
            return _symbol(math)
        case Derivative(of, by):
            return _closed(f"∂{written(of, CLOSED)}/∂{written(by, CLOSED)}", place == CLOSED)
        case Add(terms):
            return _closed(_sum(terms), place > ALONE and len(terms) > 1)
        case Multiply(factors, dots):
            return _product(factors, dots, place)
        case Negative(argument):
            return _closed("−" + written(argument, TERM), place > ALONE)
        case Over(above, below):
            return _closed(f"{_numerator(above)}/{written(below, CLOSED)}", place == CLOSED)
        case Raised(base, exponent):
            return written(base, CLOSED) + str(exponent).translate(_RAISED)
        case Apply():
            return _apply(math, place)
        case Large(operation, ranges, body):
            line = f"{_LARGE[operation]}[{_ranges(ranges)}] {written(body, TERM)}"
            return _closed(line, place >= FACTOR)
        case Condition(sides, relations):
            return f"[{_related(sides, relations)}]"
        case Floor(above, below):
            return f"⌊{_numerator(above)}/{written(below, CLOSED)}⌋"
        case Remainder(above, below):
            return _closed(f"{written(above, CLOSED)} mod {written(below, CLOSED)}", place > ALONE)
        case Chain(sides, relations):
            return _closed(_related(sides, relations), place > ALONE and len(sides) > 1)
        case Dots(left_out):
            return f"… {left_out} more" if left_out else "…"


def decimal(value: float, digits: int) -> tuple[str, int | None]:
    """A float rounded to significant digits: what is written, and the power of ten that follows it.

    The minus is that of mathematics.  There is no minus before a zero.  Zeros at the end are written only
    where the number was rounded to them: 0.5 is 0.5, and 0.300012 to four digits is 0.3000.

    Examples
    --------
    >>> decimal(-0.123456, 4), decimal(0.0000123456, 3)
    (('−0.1235', None), ('1.23', -5))
    """
    if not numbers.isfinite(value):
        return ("NaN" if numbers.isnan(value) else "∞" if value > 0 else "−∞"), None
    digits = max(digits, 1)
    rounded = float(f"{value:.{digits - 1}e}")
    if rounded == 0:
        return "0", None
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    exponent = int(power)
    if -5 < exponent < max(digits, _WHOLE_DIGITS):
        line = f"{value:.{max(digits - 1 - exponent, 0)}f}"
        return _tidy(line, float(line) == value), None
    return _tidy(mantissa, rounded == value), exponent


def is_minus(math: Math) -> bool:
    """Whether a summand is written with a minus: something negated, or a negative number."""
    match math:
        case Marked(body):
            return is_minus(body)
        case Negative():
            return True
        case Numeral(value):
            return value < 0 and decimal(float(value), 17)[0] != "0"
        case Multiply(factors, False):
            return bool(factors) and is_minus(factors[0])  # −2i in a subscript; (−2)·1 keeps its brackets
        case _:
            return False


def negated(math: Math) -> Math:
    """What stands after the minus of a summand that `is_minus`."""
    match math:
        case Marked(body, name, part):
            return Marked(negated(body), name, part)
        case Negative(argument):
            return argument
        case Numeral(value, digits):
            return Numeral(-value, digits)
        case Multiply((first, *rest), False):
            return Multiply(
                (negated(first), *rest) if negated(first) != Numeral(Fraction(1)) else tuple(rest), False
            )
        case _:
            return Negative(math)


def bare(math: Math) -> Math:
    """The mathematics inside its marks."""
    return bare(math.body) if isinstance(math, Marked) else math


def _closed(line: str, is_needed: bool) -> str:
    return f"({line})" if is_needed else line


def _tidy(line: str, is_exact: bool) -> str:
    line = line.rstrip("0").rstrip(".") if "." in line and is_exact else line
    return line.replace("-", "−")


def _numeral(numeral: Numeral, place: int) -> str:
    if isinstance(numeral.value, float):
        line, power = decimal(numeral.value, numeral.digits)
        is_loose = power is not None and place >= FACTOR
        line += "" if power is None else f"·10{str(power).translate(_RAISED)}"
    else:
        line = str(numeral.value).replace("-", "−")
        is_loose = "/" in line and place == CLOSED
    return _closed(line, is_loose or (line.startswith("−") and place > ALONE))


def _symbol(symbol: Symbol) -> str:
    letters = symbol.letter.rstrip("'")
    primes = "′" * (len(symbol.letter) - len(letters))
    name = letters + symbol.above + primes
    inside = [written(subscript, ALONE) for subscript in symbol.below]
    if not inside:
        return name
    is_short = len(letters) == 1 and not symbol.above and all(re.fullmatch(r"\d", s) for s in inside)
    return name + "".join(inside) if is_short else f"{name}[{','.join(inside)}]"


def _sum(terms: Iterable[Math]) -> str:
    line = ""
    for term in terms:
        if is_minus(term):
            line += (" − " if line else "−") + written(negated(term), TERM)
        else:
            line += (" + " if line else "") + written(term, TERM)
    return line or "0"


def _product(factors: tuple[Math, ...], dots: bool, place: int) -> str:
    if len(factors) < 2:
        return written(factors[0], place) if factors else "1"
    line = ""
    for position, factor in enumerate(factors):
        is_last = position == len(factors) - 1
        is_open = is_last and place < FACTOR and isinstance(bare(factor), Large)  # a sum reaches to the end
        part = written(factor, TERM if is_open else FACTOR)
        is_shut = are_conditions(factors[max(position - 1, 0)], factor)
        is_clear = not line or is_shut or (not dots and _can_stand_after(line, part))
        line += ("" if is_clear else "·") + part
    return _closed(line, place == CLOSED)


def are_conditions(before: Math, after: Math) -> bool:
    """Whether both factors are brackets, which stand side by side without a dot."""
    return isinstance(bare(before), Condition) and isinstance(bare(after), Condition)


def _can_stand_after(before: str, after: str) -> bool:
    """Whether a factor is told from the one before it without a dot: ``2i``, ``s(i − 1)``."""
    return after.startswith("(") or (before[-1] != "]" and re.fullmatch(r"[^\W\d_]′*", after) is not None)


def _numerator(above: Math) -> str:
    inside = bare(above)
    is_fraction = isinstance(inside, Over) or (isinstance(inside, Numeral) and "/" in _numeral(inside, ALONE))
    is_term = isinstance(inside, Multiply) or (isinstance(inside, Numeral) and not is_fraction)
    return written(above, ALONE if is_term else CLOSED if is_fraction else FACTOR)


def _apply(call: Apply, place: int) -> str:
    inside = ", ".join(written(argument, ALONE) for argument in call.arguments)
    if call.name == "abs":
        return f"|{inside}|"
    if call.name != "sqrt":
        return f"{call.name.replace(chr(39), '′')}({inside})"
    root = "√" + ", ".join(written(argument, CLOSED) for argument in call.arguments)
    return _closed(root, place == CLOSED)


def _ranges(ranges: tuple[Range, ...]) -> str:
    bare_only = all(taken.first is None and taken.last is None for taken in ranges)
    return ("," if bare_only else ", ").join(_range(taken) for taken in ranges)


def _range(taken: Range) -> str:
    index = taken.index.replace("'", "′")
    first, last = (None if end is None else written(end, ALONE) for end in (taken.first, taken.last))
    if first is not None and last is not None:
        return f"{index}={first}..{last}"
    return index + (f"≥{first}" if first is not None else "") + (f"≤{last}" if last is not None else "")


def _related(sides: tuple[Math, ...], relations: tuple[str, ...]) -> str:
    relations = relations or ("=",) * (len(sides) - 1)
    first, *rest = (written(side, ALONE) for side in sides)
    line = first
    for relation, side in zip(relations, rest, strict=True):
        line += f" {RELATION.get(relation, relation)} {side}"
    return line
