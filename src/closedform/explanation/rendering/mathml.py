"""Mathematics as MathML Core: what browsers show without a script or a font from outside."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from closedform.explanation.line import RELATION, bare, decimal, is_minus, negated
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
from closedform.explanation.rendering.markup import element, escape

__all__ = ["GREEK", "in_line", "is_deep", "is_raised", "is_tall", "mathml", "pieces", "sign"]

ALONE, TERM, FACTOR, CLOSED = range(4)  # how tightly the place where something stands binds

_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi "
    "chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
GREEK = dict(zip(_NAMES.split(), "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", strict=True))
DOT = '<mo lspace="0.12em" rspace="0.12em">·</mo>'
COMMA = '<mo separator="true" lspace="0" rspace="0.25em">,</mo>'
OPEN = '<mo stretchy="false" lspace="0" rspace="0">(</mo>'
CLOSE = '<mo stretchy="false" lspace="0" rspace="0">)</mo>'
MINUS_BEFORE = '<mo form="prefix" lspace="0" rspace="0.05em">−</mo>'
PARTIAL = '<mi mathvariant="normal">∂</mi>'


@dataclass(frozen=True)
class _Setting:
    """How close things are set: in a line of words, inside a subscript."""

    in_line: bool = False
    small: bool = False

    @property
    def flat(self) -> bool:
        """Whether quotients are written with a slash."""
        return self.in_line or self.small


def mathml(math: Math, *, is_summand: bool = False) -> str:
    """A ``math`` element; a summand that is negative gets brackets."""
    return _whole(_written(math, TERM if is_summand else ALONE, _Setting()), False)


def sign(character: str) -> str:
    """A ``math`` element that holds one sign: ``+``, ``=``."""
    return _whole(f"<mo>{escape(character)}</mo>", False)


def pieces(math: Math, *, continued: bool = False) -> str:
    """A displayed formula as ``math`` elements between which a line may break.

    It breaks before a relation (the first stays with its left side) and before a summand.  Where it is
    `continued` from a line above, a chain's left side is not repeated.
    """
    outer = math.body if isinstance(math, Marked) and not (math.name or math.part) else math
    if not isinstance(outer, Chain):
        return _joined(_parts(outer, ""))
    first, *rest = outer.sides
    found: list[str] = []
    before = "" if continued else _written(first, ALONE, _Setting())
    for relation, side in zip(outer.relations or ("=",) * len(rest), rest, strict=True):
        found += _parts(side, before + _relation(relation, _Setting()))
        before = ""
    return _joined(found or [before])


def in_line(math: Math) -> str:
    """A ``math`` element for a line of words: quotients have a slash."""
    return _whole(_written(math, ALONE, _Setting(in_line=True)), False)


def is_tall(math: Math | None) -> bool:
    """Whether something in it is set as a fraction."""
    match math:
        case Derivative() | Over():
            return True
        case Numeral(Fraction(denominator=below)):
            return below != 1
        case _:
            return any(map(is_tall, _inside(math)))


def is_deep(math: Math | None) -> bool:
    """Whether something in it is a fraction of more than two numbers."""
    return isinstance(math, Derivative | Over) or any(map(is_deep, _inside(math)))


def is_raised(math: Math | None) -> bool:
    """Whether something in it stands above the line: a layer's number, a power."""
    match math:
        case Symbol(above=above):
            return above != ""
        case Raised():
            return True
        case Derivative(above, below) | Over(above, below):
            return is_raised(above) or is_raised(below)
        case _:
            return any(map(is_raised, _inside(math)))


def _inside(math: Math | None) -> tuple[Math, ...]:
    """What is set at full size within it."""
    match math:
        case Marked(part) | Large(body=part) | Negative(part) | Raised(part):
            return (part,)
        case Add(parts) | Multiply(parts) | Chain(parts) | Apply(arguments=parts):
            return parts
        case _:
            return ()


def _whole(inside: str, display: bool) -> str:
    return element("math", inside, displaystyle="true" if display else None)


def _joined(found: list[str]) -> str:
    return "<wbr>".join(_whole(inside, True) for inside in found)


def _parts(math: Math, before: str) -> list[str]:
    """One side of a chain, its summands or factors apart where there are many."""
    setting = _Setting()
    if isinstance(math, Large):
        signs, body = _operators(math, setting), math.body
        return (
            _parts(body, before + signs)
            if isinstance(body, Large | Multiply)
            else [before + _written(math, ALONE, setting)]
        )
    if isinstance(math, Multiply) and len(math.factors) > 2 and math.dots:
        return _factors(math.factors, before, setting)
    if not isinstance(math, Add) or len(math.terms) < 4:
        return [before + _written(math, ALONE, setting)]
    found = [before]
    for position, term in enumerate(math.terms):
        written = _summand(term, position == 0, setting)
        if position:
            found.append(written)
        else:
            found[0] += written
    return found


def _factors(factors: tuple[Math, ...], before: str, setting: _Setting) -> list[str]:
    """A long product; the dot stays at the end of its line."""
    found = [before]
    for position, factor in enumerate(factors):
        is_last = position == len(factors) - 1
        found[-1] += _written(
            factor, TERM if is_last and isinstance(bare(factor), Large) else FACTOR, setting
        )
        if not is_last:
            sign = _times(factor, factors[position + 1], True)
            found[-1] += sign
            if sign:
                found.append("")
    return found


def _written(math: Math, place: int, setting: _Setting) -> str:
    """The markup of what stands where `place` says."""
    match math:
        case Marked(body, name, part):
            inside = _written(body, place, setting)
            return element("mrow", inside, data_name=name, data_part=part) if name or part else inside
        case Word(text):
            return element("mi", escape(text), mathvariant="normal" if len(text) == 1 else None)
        case Numeral():
            return _numeral(math, place, setting)
        case Symbol():
            return _symbol(math)
        case Derivative(of, by):
            above = PARTIAL + _written(of, CLOSED, setting)
            return _quotient(above, PARTIAL + _written(by, CLOSED, setting), place, setting)
        case Add(terms):
            inside = "".join(_summand(term, k == 0, setting) for k, term in enumerate(terms))
            return _closed(inside or "<mn>0</mn>", place > ALONE and len(terms) > 1, setting)
        case Multiply():
            return _product(math, place, setting)
        case Negative(argument):
            return _closed(MINUS_BEFORE + _written(argument, TERM, setting), place > ALONE, setting)
        case Over(above, below):
            inner = CLOSED if setting.flat else ALONE
            top = _written(above, FACTOR if setting.flat else ALONE, setting)
            return _quotient(top, _written(below, inner, setting), place, setting)
        case Raised(base, exponent):
            power = element("mn", str(exponent).replace("-", "−"))
            return element("msup", _row(_written(base, CLOSED, setting)), power)
        case Apply():
            return _call(math, setting)
        case Large():
            return _closed(_large(math, setting), place >= FACTOR, setting)
        case Condition(sides, relations):
            tight = replace(setting, small=True)
            start = '<mo stretchy="false" lspace="0" rspace="0">[</mo>'
            end = '<mo stretchy="false" lspace="0.05em" rspace="0.15em">]</mo>'
            return element("mrow", start, _related(sides, relations, tight), end)
        case Floor(above, below):
            flat = replace(setting, in_line=True)
            quotient = _written(above, FACTOR, flat) + _slash() + _written(below, CLOSED, flat)
            return element("mrow", _bracket("⌊"), quotient, _bracket("⌋"))
        case Remainder(above, below):
            ends = [_written(above, CLOSED, setting), _written(below, CLOSED, setting)]
            return _closed('<mo lspace="0.25em" rspace="0.25em">mod</mo>'.join(ends), place > ALONE, setting)
        case Chain(sides, relations):
            return _closed(_related(sides, relations, setting), place > ALONE and len(sides) > 1, setting)
        case Dots(left_out):
            return f"<mtext>… {left_out} more</mtext>" if left_out else "<mi>…</mi>"


def _closed(inside: str, is_needed: bool, setting: _Setting) -> str:
    if not is_needed:
        return inside
    stretches = not setting.flat and any(tall in inside for tall in ("<mfrac>", "<munder"))
    brackets = ("<mo>(</mo>", "<mo>)</mo>") if stretches else (OPEN, CLOSE)
    return element("mrow", brackets[0], inside, brackets[1])


def _bracket(character: str) -> str:
    return f'<mo stretchy="false" lspace="0" rspace="0">{character}</mo>'


def _row(inside: str) -> str:
    """One child for an element that counts its children."""
    return inside if re.fullmatch(r"<(m[ino]|mtext)\b[^>]*>[^<]*</\1>", inside) else element("mrow", inside)


def _slash() -> str:
    return '<mo lspace="0" rspace="0">/</mo>'


def _quotient(above: str, below: str, place: int, setting: _Setting) -> str:
    if setting.flat:
        return _closed(above + _slash() + below, place == CLOSED, setting)
    return _closed(element("mfrac", _row(above), _row(below)), place == CLOSED and "∂" not in above, setting)


def _numeral(numeral: Numeral, place: int, setting: _Setting) -> str:
    value = numeral.value
    if isinstance(value, Fraction) and value.denominator != 1:
        number = (element("mn", str(abs(value.numerator))), element("mn", str(value.denominator)))
        written = _quotient(*number, place, setting)
        return _closed(MINUS_BEFORE + written, place > ALONE, setting) if value < 0 else written
    digits, power = decimal(value, numeral.digits) if isinstance(value, float) else (str(value), None)
    is_negative, digits = digits[0] in "-−", digits.lstrip("-−")
    written = element("mn", digits)
    if power is not None:
        raised = element("mn", str(power).replace("-", "−"))
        written += DOT + element("msup", "<mn>10</mn>", raised)
    is_loose = power is not None and place >= FACTOR
    before = MINUS_BEFORE if is_negative else ""
    return _closed(before + written, is_loose or (is_negative and place > ALONE), setting)


def _letters(name: str) -> str:
    """A name with its primes, which stand beside it: raised, browsers draw them too small."""
    letters = name.rstrip("'")
    shown = element("mi", escape(GREEK.get(letters, letters)))
    primes = "′" * (len(name) - len(letters))
    return element("mrow", shown, f'<mo lspace="0" rspace="0">{primes}</mo>') if primes else shown


def _symbol(symbol: Symbol) -> str:
    letters, below = _letters(symbol.letter), _below(symbol.below)
    above = element("mtext", f"({escape(symbol.above)})") if symbol.above else ""
    if below and above:
        return element("msubsup", letters, below, above)
    if below or above:
        return element("msub" if below else "msup", letters, below or above)
    return letters


def is_digit_or_letter(subscript: Math) -> bool:
    match bare(subscript):
        case Numeral(value):
            return value in range(10)
        case Symbol(letter, (), ""):
            return len(letter.rstrip("'")) == 1
        case _:
            return False


def is_whole(subscript: Math) -> bool:
    inside = bare(subscript)
    return (
        isinstance(inside, Numeral) and isinstance(inside.value, Fraction) and inside.value.denominator == 1
    )


def _below(subscripts: tuple[Math, ...]) -> str:
    if not subscripts:
        return ""
    are_short = all(map(is_digit_or_letter, subscripts))
    if all(map(is_whole, subscripts)):  # one number token: they are many
        numbers = [str(inside.value) for inside in map(bare, subscripts) if isinstance(inside, Numeral)]
        return element("mn", ("" if are_short else ",").join(numbers).replace("-", "−"))
    small = _Setting(small=True)
    return _row(("" if are_short else COMMA).join(_written(each, ALONE, small) for each in subscripts))


def _summand(term: Math, is_first: bool, setting: _Setting) -> str:
    minus = is_minus(term)
    written = _written(negated(term) if minus else term, TERM, setting)
    if is_first:
        return MINUS_BEFORE + written if minus else written
    space = ' lspace="0.08em" rspace="0.08em"' if setting.small else ""
    return f'<mo form="infix"{space}>{"−" if minus else "+"}</mo>{written}'


def _product(product: Multiply, place: int, setting: _Setting) -> str:
    factors = product.factors
    if len(factors) < 2:
        return _written(factors[0], place, setting) if factors else "<mn>1</mn>"
    found = ""
    for position, factor in enumerate(factors):
        is_last = position == len(factors) - 1
        is_open = is_last and place < FACTOR and isinstance(bare(factor), Large)  # a sum reaches to the end
        if position:
            found += _times(factors[position - 1], factor, product.dots)
        found += _written(factor, TERM if is_open else FACTOR, setting)
    return _closed(found, place == CLOSED, setting)


def _times(before: Math, after: Math, dots: bool) -> str:
    """The sign between two factors."""
    before, after = bare(before), bare(after)
    if isinstance(before, Condition) and isinstance(after, Condition):
        return ""
    if isinstance(before, Numeral | Over) and isinstance(after, Large | Add):
        return ""  # 1/4 (a + b)
    needs_dot = isinstance(after, Numeral) and after.value >= 0  # not 2i·3 as 2i3
    return DOT if dots or needs_dot else ""


def _call(call: Apply, setting: _Setting) -> str:
    arguments = COMMA.join(_written(argument, ALONE, setting) for argument in call.arguments)
    if call.name == "sqrt":
        return element("msqrt", arguments)
    if call.name == "abs":
        bar = '<mo stretchy="false" lspace="0" rspace="0">|</mo>'
        return element("mrow", bar, arguments, bar)
    return _letters(call.name) + _closed(arguments, True, setting)


def _large(large: Large, setting: _Setting) -> str:
    return _operators(large, setting) + _written(large.body, TERM, setting)


def _operators(large: Large, setting: _Setting) -> str:
    """The sum's signs with their indices."""
    word = "∑" if large.operation == "sum" else large.operation
    operator = f'<mo movablelimits="false">{word}</mo>'
    if setting.flat:
        under = _row(COMMA.join(_range(taken, setting) for taken in large.ranges))
        found = element("msub", operator, under)
    else:
        # those with bounds have an operator each; the bare ones share the last
        bound = [taken for taken in large.ranges if taken.last is not None]
        free = [taken for taken in large.ranges if taken.last is None]
        found = "".join(
            element("munderover", operator, _range(taken, setting), _row(_small(taken.last)))
            for taken in bound
            if taken.last is not None
        )
        if free or not bound:
            under = _row(COMMA.join(_range(taken, setting) for taken in free))
            found += element("munder", operator, under)
    space = "" if large.operation == "sum" else '<mspace width="0.2em"></mspace>'
    return found + space


def _range(taken: Range, setting: _Setting) -> str:
    inside = [_letters(taken.index)]
    if taken.first is not None:
        inside += [
            _relation("=" if taken.last is not None else ">=", _Setting(small=True)),
            _small(taken.first),
        ]
    if taken.last is not None and (setting.flat or taken.first is None):
        inside += ["<mo>…</mo>" if taken.first is not None else _relation("<=", setting), _small(taken.last)]
    return _row("".join(inside)) if len(inside) > 1 else inside[0]


def _small(math: Math) -> str:
    return _written(math, ALONE, _Setting(small=True))


def _relation(relation: str, setting: _Setting) -> str:
    space = ' lspace="0.15em" rspace="0.15em"' if setting.small else ' form="infix"'
    return f"<mo{space}>{escape(RELATION.get(relation, relation))}</mo>"


def _related(sides: tuple[Math, ...], relations: tuple[str, ...], setting: _Setting) -> str:
    first, *rest = (_written(side, ALONE, setting) for side in sides)
    for relation, side in zip(relations or ("=",) * len(rest), rest, strict=True):
        first += _relation(relation, setting) + side
    return first
