"""Words and formulas in the columns of a terminal.

A no-break space keeps words together until they are set; then it becomes a space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from closedform.explanation.document import Code, Prose, Strong
from closedform.explanation.line import RELATION, math_text

KEPT = "\N{NO-BREAK SPACE}"
_KEPT_TOGETHER = 24  # a formula in prose up to this wide is not broken over lines
_RELATIONS = frozenset("=<>→≈") | frozenset(RELATION.values())
_DEPTH = {"(": 1, ")": -1, "[": 4, "]": -4, "⌊": 4, "⌋": -4}  # subscripts are broken last


def columns(line: str) -> int:
    """How many columns of a terminal a line takes."""
    if line.isascii():
        return len(line)
    return sum(
        0
        if unicodedata.category(sign) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in line
    )


def padded(line: str, width: int, align: str = "<") -> str:
    """A line with spaces up to `width` columns: after it, before it, or on both sides."""
    missing = max(width - columns(line), 0)
    before = {"<": 0, ">": missing, "^": (missing + 1) // 2}[align]
    return " " * before + line + " " * (missing - before)


def finished(lines: Iterable[str]) -> str:
    """Lines as text, without no-break spaces and without spaces at their ends."""
    return "\n".join(line.replace(KEPT, " ").rstrip() for line in lines)


def prose_text(prose: Prose) -> str:
    """Prose as one line; the formulas in it keep together where they are short."""
    line = ""
    for part in prose:
        if isinstance(part, str):
            line += kept_sizes(part)
        elif isinstance(part, Code):
            line += f"`{_kept(part.text)}`"
        else:
            line += part.text if isinstance(part, Strong) else _kept(math_text(part))
    return line


def kept_sizes(words: str) -> str:
    """Words in which sizes (``3 × 3``) keep together."""
    return re.sub(r"(?<=\w) × (?=\w)", f"{KEPT}×{KEPT}", words)


def _kept(formula: str) -> str:
    if columns(formula) <= _KEPT_TOGETHER:
        return formula.replace(" ", KEPT)
    places = {place for place, badness in _breaks(formula) if badness <= 1}
    return "".join(
        KEPT if sign == " " and place + 1 not in places else sign for place, sign in enumerate(formula)
    )


def wrapped(line: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Words in lines of at most `width` columns: `first` before the first, `rest` before the others."""
    rest = first if rest is None else rest
    lines, current, is_empty = [], first, True
    for word in _words(line, width - max(columns(first), columns(rest))):
        if not is_empty and columns(current) + 1 + columns(word) > width:
            lines.append(current)
            current, is_empty = rest, True
        current += word if is_empty else " " + word
        is_empty = False
    return [*lines, current] if not is_empty or not lines else lines


def _words(line: str, width: int) -> Iterable[str]:
    for word in re.split(r"[ \t\n]+", line.strip(" \t\n")):
        yield from word.split(KEPT) if columns(word) > width else [word]


def broken(formula: str, width: int) -> list[str]:
    """A formula over lines of at most `width` columns, broken before its relations and operators."""
    if columns(formula) <= width:
        return [formula]
    breaks = _breaks(formula)
    first = next((place for place, badness in breaks if badness == 0), 0)
    hang = 0 if formula[0] in _RELATIONS else first if 0 < first <= width // 3 else 4
    lines, start, indent = [], 0, ""
    at_relation = True
    while True:
        after = [(place, badness) for place, badness in breaks if place > start]
        # what was broken inside one side goes on alone: the next relation has its own line
        own = [] if at_relation else [place for place, badness in after if badness == 0][:1]
        rest = formula[start : own[0] if own else None].rstrip()
        if columns(rest) > width - len(indent):
            place, badness = _break(formula, after, start, width - len(indent))
        else:
            place, badness = own[0] if own else None, 0
        lines.append(indent + formula[start:place].rstrip())
        if place is None:
            return lines
        at_relation = badness == 0
        indent = " " * (hang if at_relation else hang + 2)
        start = place


def _break(formula: str, after: list[tuple[int, int]], start: int, width: int) -> tuple[int | None, int]:
    """Where the line that begins at `start` ends: the best place in its second half, else the last."""
    fitting = [b for b in after if columns(formula[start : b[0]].rstrip()) <= width]
    late = [b for b in fitting if columns(formula[start : b[0]]) > width * 2 // 5]
    if late:
        return min(late, key=lambda b: (b[1], -b[0]))
    return fitting[-1] if fitting else after[0] if after else (None, 0)


def _breaks(formula: str) -> list[tuple[int, int]]:
    """Where a new line may begin, and how bad that would be: 0 before a relation."""
    found, depth = [], 0
    for place, sign in enumerate(formula):
        before = formula[place - 1 : place]
        is_alone = before == " " and formula[place + 1 : place + 2] == " "
        if is_alone and sign in _RELATIONS:
            found.append((place, 4 * depth))
        elif is_alone and sign in "+−":
            found.append((place, 1 + depth))
        elif before in ("·", " ") or before + sign == "][":
            found.append((place, (2 if before != " " or formula[place - 2] == "]" else 4) + depth))
        depth += _DEPTH.get(sign, 0)
    return found
