"""Words and the mathematics between them, as HTML."""

from __future__ import annotations

from closedform.explanation.document import Code, Prose, Strong
from closedform.explanation.line import RELATION, bare, decimal, is_minus, negated
from closedform.explanation.math import Add, Chain, Derivative, Marked, Math, Numeral, Symbol, Word
from closedform.explanation.rendering.markup import element, escape
from closedform.explanation.rendering.mathml import GREEK, in_line, is_digit_or_letter, is_whole

__all__ = ["inline", "prose"]


def prose(words: Prose) -> str:
    """Words and the mathematics between them."""
    found = []
    for part in words:
        match part:
            case str():
                found.append(escape(part, quote=False))
            case Code(text):
                found.append(element("code", escape(text, quote=False)))
            case Strong(text):
                found.append(element("strong", escape(text, quote=False)))
            case _:
                found.append(inline(part))
    return "".join(found)


def inline(math: Math) -> str:
    """Mathematics in a line of words: the letters of the text where they do, MathML elsewhere."""
    return _plain(math) or in_line(math)


def _plain(math: Math) -> str:
    """Simple mathematics in the letters of the text; empty where it is not simple."""
    match math:
        case Marked(body):
            return _plain(body)
        case Word(text):
            return escape(text)
        case Numeral(value, digits):
            written, power = decimal(value, digits) if isinstance(value, float) else (str(value), None)
            return "" if power is not None else written.replace("-", "−")
        case Symbol(letter, below, above):
            inside = [_plain(each) if is_digit_or_letter(each) or is_whole(each) else "" for each in below]
            if not all(inside) or (above and below):
                return ""
            letters = letter.rstrip("'")
            name = escape(GREEK.get(letters, letters))
            shown = element("i", name) if len(name) == 1 else name
            primes = "′" * (len(letter) - len(letters))
            under = ("" if all(map(is_digit_or_letter, below)) else ",").join(inside)
            over = element("sup", f"({escape(above)})") if above else ""
            return shown + primes + (element("sub", under) if under else "") + over
        case Derivative(of, by):
            above, under = _plain(of), _plain(by)
            return f"∂{above}/∂{under}" if above and under else ""
        case Add(terms):
            return _plain_sum(terms)
        case Chain(sides, relations):
            return _plain_chain(sides, relations)
        case _:
            return ""


def _plain_sum(terms: tuple[Math, ...]) -> str:
    found = ""
    for term in terms:
        minus = is_minus(term)
        inside = _plain(negated(term) if minus else term)
        if not inside or isinstance(bare(term), Add):
            return ""
        sign = "−" if minus else "+"
        found += f" {sign} {inside}" if found else ("−" if minus else "") + inside
    return found


def _plain_chain(sides: tuple[Math, ...], relations: tuple[str, ...]) -> str:
    first, *rest = map(_plain, sides)
    if not first or not all(rest):
        return ""
    for relation, side in zip(relations or ("=",) * len(rest), rest, strict=True):
        first += f" {escape(RELATION.get(relation, relation))} {side}"
    return first
