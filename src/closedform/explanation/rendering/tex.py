"""Mathematics as TeX, for LaTeX and for MathJax.

Commands that are a backslash and a sign of punctuation are avoided: Markdown takes them for escapes.
"""

from __future__ import annotations

import re
from fractions import Fraction

from closedform.explanation.line import (
    ALONE,
    CLOSED,
    FACTOR,
    TERM,
    are_conditions,
    bare,
    decimal,
    is_minus,
    math_text,
    negated,
)
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
from closedform.explanation.rendering.tex_words import MATHEMATICS, words_in_mathematics

BREAKS = AT_RELATION, AT_SUM, AT_PRODUCT = "\ue000", "\ue001", "\ue002"  # where a line may begin
_RELATION = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "<-": r"\leftarrow", "->": r"\rightarrow"}
_FUNCTION = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sigmoid": r"\sigma", "max": r"\max"}
_LARGE = {"sum": r"\sum", "max": r"\max", "first": r"\mathop{\mathrm{first}}\limits"}
_LONG = 40  # columns of text; what is longer has brackets and quotients that can be broken


def math_latex(math: Math) -> str:
    """Mathematics as TeX, for mathematics mode."""
    return _without_breaks(_tex(math, ALONE))


def breakable(math: Math) -> str:
    """Mathematics as TeX with a sign of `BREAKS` wherever a line may begin."""
    return _tex(math, ALONE)


def inline(math: Math) -> str:
    """Like `breakable`, for a line of words: a derivative is as low as they are, ``∂L/∂W``."""
    match bare(math):
        case Derivative(of, by):
            return rf"\partial {_closed(of)}/\partial {_closed(by)}"
        case _:
            return breakable(math)


def inline_latex(math: Math) -> str:
    """Mathematics as TeX for a line of words."""
    return _without_breaks(inline(math))


def rows(math: Math, width: int) -> list[str]:
    """Mathematics as the rows of ``aligned``: one where it is short, else broken before operators.

    Parameters
    ----------
    width
        Roughly how many signs fit side by side.
    """
    first, *pieces = _pieces(breakable(math), width)
    lines: list[str] = []
    current, was_inside = first, False
    for piece in pieces:
        is_relation = piece[0] == AT_RELATION
        if is_relation and not lines and "&" not in current:
            current += "&" + piece
        elif _signs(current + piece) > width or (is_relation and was_inside):
            lines.append(current)
            current, was_inside = ("&" if is_relation else r"&\quad ") + piece, not is_relation
        else:
            current += piece
    return [_without_breaks(line if "&" in line else "&" + line) for line in [*lines, current]]


def _pieces(tex: str, width: int) -> list[str]:
    """What is kept on one row; summands are torn apart only where they are too wide for one."""
    whole = re.split(f"(?=[{AT_RELATION}{AT_SUM}])", tex)
    return [
        part
        for piece in whole
        for part in (re.split(f"(?={AT_PRODUCT})", piece) if _signs(piece) > width else [piece])
    ]


def _signs(tex: str) -> int:
    """About how many signs are seen side by side."""
    return len(re.sub(r"\\[a-zA-Z]+|[{}_^& ]|[\ue000-\ue002]", lambda m: "x" if m[0][0] == "\\" else "", tex))


def _without_breaks(tex: str) -> str:
    return re.sub(" {2,}", " ", re.sub(f"[{''.join(BREAKS)}]", "", tex)).strip(" ")


def _tex(math: Math, place: int) -> str:
    match math:
        case Marked(body):
            return _tex(body, place)
        case Word(text):
            return words_in_mathematics(text)
        case Numeral():
            return _numeral(math, place)
        case Symbol():
            return _symbol(math)
        case Derivative(of, by):
            line = rf"\frac{{\partial {_closed(of)}}}{{\partial {_closed(by)}}}"
            return _bracketed(line, math, place == CLOSED)
        case Add(terms):
            return _bracketed(_sum(terms), math, place > ALONE and len(terms) > 1)
        case Multiply(factors, dots):
            return _product(math, factors, dots, place)
        case Negative(argument):
            return _bracketed("-" + _tex(argument, TERM), math, place > ALONE)
        case Over(above, below):
            return _over(math, above, below, place)
        case Raised(base, exponent):
            return f"{{{_closed(base)}}}^{{{exponent}}}"
        case Apply():
            return _apply(math)
        case Large(operation, ranges, body):
            line = _large(operation, ranges) + " " + AT_PRODUCT + _tex(body, TERM)
            return _bracketed(line, math, place >= FACTOR)
        case Condition(sides, relations):
            return rf"\lbrack {_without_breaks(_related(sides, relations))} \rbrack "
        case Floor(above, below):
            return rf"\left\lfloor \frac{{{math_latex(above)}}}{{{math_latex(below)}}}\right\rfloor "
        case Remainder(above, below):
            return _bracketed(rf"{_closed(above)} \bmod {_closed(below)}", math, place > ALONE)
        case Chain(sides, relations):
            return _bracketed(_related(sides, relations), math, place > ALONE and len(sides) > 1)
        case Dots(left_out):
            return rf"\ldots \text{{ {left_out} more}}" if left_out else r"\ldots "


def _closed(math: Math) -> str:
    return _without_breaks(_tex(math, CLOSED))


def _bracketed(line: str, math: Math, is_needed: bool) -> str:
    if not is_needed:
        return line
    if len(math_text(math)) > _LONG:
        return rf"\bigl( {line}\bigr) "
    return rf"\left( {_without_breaks(line)}\right) " if r"\frac" in line else f"({_without_breaks(line)})"


def _numeral(numeral: Numeral, place: int) -> str:
    value = numeral.value
    if isinstance(value, float):
        line, power = decimal(value, numeral.digits)
        line = line.replace("−", "-").replace("∞", r"\infty ").replace("NaN", r"\mathrm{NaN}")
        line += "" if power is None else rf"\cdot 10^{{{power}}}"
        is_loose = power is not None and place >= FACTOR
    else:
        value = Fraction(value)
        whole = str(abs(value.numerator))
        line = "-" if value < 0 else ""
        line += whole if value.denominator == 1 else rf"\frac{{{whole}}}{{{value.denominator}}}"
        is_loose = value.denominator != 1 and place == CLOSED
    return _bracketed(line, numeral, is_loose or (line.startswith("-") and place > ALONE))


def _symbol(symbol: Symbol) -> str:
    letters = symbol.letter.rstrip("'")
    line = name(letters) + symbol.letter[len(letters) :] + (f"^{{({symbol.above})}}" if symbol.above else "")
    if not symbol.below:
        return line
    is_short = all(re.fullmatch(r"[^\W_]′*", math_text(subscript)) for subscript in symbol.below)
    inside = ("" if is_short else ", ").join(math_latex(subscript) for subscript in symbol.below)
    return (f"{{{line}}}" if "_" in line else line) + f"_{{{inside}}}"


def name(letters: str) -> str:
    """A name as TeX: what is longer than a letter is set as one word, and digits after it stand below."""
    if len(letters) > 2 and letters[0] == letters[-1] == "|":
        return rf"\lvert {name(letters[1:-1])}\rvert "
    match = re.fullmatch(r"(.*?)_?([0-9]+)", letters)
    if match and match[1]:
        return f"{name(match[1])}_{{{match[2]}}}"
    if letters in MATHEMATICS:
        return MATHEMATICS[letters] + " "
    if len(letters) == 1 and letters.isascii() and letters.isalpha():
        return letters
    is_plain = letters.isascii() and letters.replace("_", "").isalnum()
    escaped = letters.replace("_", r"\_")
    return rf"\mathit{{{escaped}}}" if is_plain else words_in_mathematics(letters)


def _sum(terms: tuple[Math, ...]) -> str:
    line = ""
    for term in terms:
        if is_minus(term):
            line += (f" {AT_SUM}- " if line else "-") + _tex(negated(term), TERM)
        else:
            line += (f" {AT_SUM}+ " if line else "") + _tex(term, TERM)
    return line or "0"


def _product(product: Multiply, factors: tuple[Math, ...], dots: bool, place: int) -> str:
    if len(factors) < 2:
        return _tex(factors[0], place) if factors else "1"
    line = ""
    for position, factor in enumerate(factors):
        is_last = position == len(factors) - 1
        is_open = is_last and place < FACTOR and isinstance(bare(factor), Large)
        part = _tex(factor, TERM if is_open else FACTOR)
        if line:
            is_shut = are_conditions(factors[position - 1], factor)
            line += AT_PRODUCT if is_shut else r" \cdot " + AT_PRODUCT if dots or part[0].isdigit() else " "
        line += part
    return _bracketed(line, product, place == CLOSED)


def _over(quotient: Over, above: Math, below: Math, place: int) -> str:
    if len(math_text(above)) > _LONG:
        return _bracketed(f"{_tex(above, CLOSED)} / {_closed(below)}", quotient, place == CLOSED)
    line = rf"\frac{{{math_latex(above)}}}{{{math_latex(below)}}}"
    return _bracketed(line, quotient, place == CLOSED)


def _apply(call: Apply) -> str:
    inside = f", {AT_PRODUCT}".join(_tex(argument, ALONE) for argument in call.arguments)
    if call.name == "abs":
        return rf"\left\lvert {_without_breaks(inside)}\right\rvert "
    if call.name == "sqrt":
        return rf"\sqrt{{{_without_breaks(inside)}}}"
    function = _FUNCTION.get(call.name) or rf"\operatorname{{{call.name}}}".replace("_", r"\_")
    if len(math_text(call)) > _LONG:
        return rf"{function}\bigl( {inside}\bigr) "
    inside = _without_breaks(inside)
    return rf"{function}\left( {inside}\right) " if r"\frac" in inside else f"{function}({inside})"


def _large(operation: str, ranges: tuple[Range, ...]) -> str:
    sign = _LARGE[operation]
    is_whole = all(taken.first is not None and taken.last is not None for taken in ranges)
    if operation == "sum" and is_whole:
        return "".join(
            f"{sign}_{{{_index(r)} = {math_latex(r.first)}}}^{{{math_latex(r.last)}}}"
            for r in ranges
            if r.first is not None and r.last is not None
        )
    return f"{sign}_{{{', '.join(_range(taken) for taken in ranges)}}}"


def _range(taken: Range) -> str:
    first = "" if taken.first is None else math_latex(taken.first) + r" \le "
    last = "" if taken.last is None else r" \le " + math_latex(taken.last)
    return first + _index(taken) + last


def _index(taken: Range) -> str:
    return _symbol(Symbol(taken.index))


def _related(sides: tuple[Math, ...], relations: tuple[str, ...]) -> str:
    relations = relations or ("=",) * (len(sides) - 1)
    line = _tex(sides[0], ALONE)
    for relation, side in zip(relations, sides[1:], strict=True):
        sign = _RELATION.get(relation) or MATHEMATICS.get(relation, relation)
        line += f" {AT_RELATION}{sign} {_tex(side, ALONE)}"
    return line
