"""What every format asks of a document."""

from __future__ import annotations

from collections.abc import Iterable

from closedform.explanation.document import Block, Document, Expansion, Scene, Section, Step
from closedform.explanation.line import bare, math_text
from closedform.explanation.math import Add, Apply, Chain, Dots, Math, Multiply, Negative


def section_numbers(document: Document) -> dict[str, str]:
    """The number of every section by its key: ``3.2``."""
    numbers: dict[str, str] = {}
    _number(document.blocks, "", numbers)
    return numbers


def _number(blocks: Iterable[Block], before: str, numbers: dict[str, str]) -> None:
    for position, section in enumerate(_sections(blocks), 1):
        numbers[section.key] = f"{before}{position}"
        _number(section.blocks, f"{before}{position}.", numbers)


def _sections(blocks: Iterable[Block]) -> Iterable[Section]:
    for block in blocks:
        if isinstance(block, Section):
            yield block
        elif isinstance(block, Scene):
            yield from _sections(block.blocks)


def continued(step: Step, before: Step | None) -> tuple[Math, str, Chain] | None:
    """What a step of a derivation shares with the step before: its left side is not written again.

    Returns
    -------
    tuple or None
        The left side, the relation after it, and the other sides; None where the left side is to be shown.
    """
    if before is None:
        return None
    now, then = bare(step.math), bare(before.math)
    if not (isinstance(now, Chain) and isinstance(then, Chain) and len(now.sides) > 1):
        return None
    if math_text(now.sides[0]) != math_text(then.sides[0]):
        return None
    relations = now.relations or ("=",) * (len(now.sides) - 1)
    return now.sides[0], relations[0], Chain(now.sides[1:], relations[1:])


def sides(expansion: Expansion) -> tuple[Math, ...]:
    """What an entry is equal to, one below the other: its terms in symbols, in numbers, and its value."""
    found: list[Math] = []
    if expansion.terms:
        found.append(_side(expansion, in_numbers=False))
        if any(term.numbers is not None for term in expansion.terms):
            found.append(_side(expansion, in_numbers=True))
    if expansion.value is not None and (len(found) < 2 or bare(found[-1]) != bare(expansion.value)):
        found.append(expansion.value)
    return tuple(found)


def _side(expansion: Expansion, in_numbers: bool) -> Math:
    terms: list[Math] = []
    for position, term in enumerate(expansion.terms):
        shown = term.numbers if in_numbers and term.numbers is not None else term.symbols
        if expansion.left_out and position == len(expansion.terms) - 1:
            terms.append(Dots() if in_numbers else Dots(expansion.left_out))
        is_summand = position > 0 and expansion.function != "max"
        # a product of one factor keeps the brackets of a negative number: 10 + (−3)
        terms.append(Negative(shown) if term.sign == "−" else Multiply((shown,)) if is_summand else shown)
    total = terms[0] if len(terms) == 1 else Add(tuple(terms))
    whole: Math = Apply("max", tuple(terms)) if expansion.function == "max" else total
    if expansion.factor:
        symbols, numbers = expansion.factor
        whole = Multiply((numbers if in_numbers and numbers is not None else symbols, whole))
    return Apply(expansion.function, (whole,)) if expansion.function not in ("", "max") else whole
