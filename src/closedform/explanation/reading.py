"""What every format asks of a document."""

from __future__ import annotations

from collections.abc import Iterable

from closedform.explanation.document import Block, Document, Scene, Section, Step
from closedform.explanation.line import bare
from closedform.explanation.math import Chain, Math


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
    if now.sides[0] != then.sides[0]:
        return None
    relations = now.relations or ("=",) * (len(now.sides) - 1)
    return now.sides[0], relations[0], Chain(now.sides[1:], relations[1:])
