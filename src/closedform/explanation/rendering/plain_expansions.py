"""Entries written out in the columns of a terminal, the numbers below their symbols."""

from __future__ import annotations

from collections.abc import Iterator

from closedform.explanation.document import Expansion, Expansions, Term
from closedform.explanation.line import ALONE, FACTOR, TERM, math_text, written
from closedform.explanation.rendering.columns import broken, columns, padded, wrapped

_BETWEEN = 4
_OMITTED = "…"


def expansions_lines(expansions: Expansions, width: int) -> list[str]:
    """All expansions, side by side as the entries stand where there is room."""
    count = max(expansions.columns, 1)
    room = (width - _BETWEEN * (count - 1)) // count
    blocks = [_captioned(e, room, whole=True) for e in expansions.expansions]
    if count == 1 or any(block is None for block in blocks):
        count = 1
        blocks = [_captioned(e, width) for e in expansions.expansions]
    lines: list[str] = []
    for start in range(0, len(blocks), count):
        row = [block or [] for block in blocks[start : start + count]]
        sizes = [
            max((columns(line) for block in blocks[c::count] for line in block or []), default=0)
            for c in range(len(row))
        ]
        lines += [""] if lines else []
        for height in range(max(map(len, row))):
            parts = [block[height] if height < len(block) else "" for block in row]
            lines.append(
                (" " * _BETWEEN).join(padded(part, size) for part, size in zip(parts, sizes, strict=True))
            )
    if expansions.left_out:
        lines += ["", *wrapped(f"… and {expansions.left_out} more in the same way.", width)]
    return lines


def _captioned(e: Expansion, width: int, whole: bool = False) -> list[str] | None:
    """An expansion under the place of its entry; None where it is to stay whole and does not fit."""
    caption = wrapped(e.at, width) if e.at else []
    indent = "  " if e.at else ""
    lines = expansion_lines(e, width - len(indent), whole)
    return None if lines is None else caption + [indent + line for line in lines]


def expansion_lines(e: Expansion, width: int, whole: bool = False) -> list[str] | None:
    """One entry written out, over several lines where it is long.

    Returns
    -------
    list or None
        None where `whole` is set and the terms do not fit on one line.
    """
    left, symbols, numbers = math_text(e.left), list(_texts(e, False)), list(_texts(e, True))
    has_numbers = any(term.numbers is not None for term in e.terms)
    per_line = _per_line(e, left, symbols, numbers, width)
    if whole and per_line < max(len(symbols), 1):
        return None
    if not symbols:
        lines = [left]
    elif per_line:
        rows = [symbols, numbers] if has_numbers else [symbols]
        lines = _aligned(e, left, rows, per_line)
    else:
        lines = broken(f"{left} = {_one_line(e, symbols, False)}", width)
        rest = broken(f"= {_one_line(e, numbers, True)}", width - columns(left) - 1) if has_numbers else []
        lines += [" " * (columns(left) + 1) + line for line in rest]
    return _with_value(e, left, lines, width)


def _with_value(e: Expansion, left: str, lines: list[str], width: int) -> list[str]:
    if e.value is None:
        return lines
    value = math_text(e.value)
    if not e.terms:
        return [f"{left} = {value}"]
    if len(lines) == 2 and lines[1].strip() == f"= {value}":
        return lines
    if len(lines) == 1 and columns(lines[0]) + columns(value) + 3 <= width:
        return lines if lines[0] == f"{left} = {value}" else [f"{lines[0].rstrip()} = {value}"]
    return [*lines, f"{' ' * columns(left)} = {value}"]


def _texts(e: Expansion, in_numbers: bool) -> Iterator[tuple[str, str]]:
    """The terms with what stands between each and the term before."""
    for position, term in enumerate(e.terms):
        is_first = position == 0
        if e.left_out and position == len(e.terms) - 1:
            more = _OMITTED if in_numbers else f"{_OMITTED} {e.left_out} more"
            yield ("" if is_first else ", " if e.function == "max" else " + "), more
            is_first = False
        yield _term(e, term, in_numbers, is_first)


def _term(e: Expansion, term: Term, in_numbers: bool, is_first: bool) -> tuple[str, str]:
    shown = term.numbers if in_numbers and term.numbers is not None else term.symbols
    if e.function == "max":
        text = written(shown, ALONE if term.sign == "+" else TERM)
        return ("" if is_first else ", "), ("" if term.sign == "+" else "−") + text
    is_lone = len(e.terms) == 1
    place = FACTOR if is_lone and e.factor else ALONE if is_first and term.sign == "+" else TERM
    if is_first:
        return "", ("−" if term.sign == "−" else "") + written(shown, place)
    return f" {term.sign} ", written(shown, place)


def _around(e: Expansion, in_numbers: bool) -> tuple[str, str]:
    """What stands before and after the terms: ``1/4·(`` and ``)``."""
    opening = closing = ""
    if e.factor:
        symbols, numbers = e.factor
        opening = written(numbers if in_numbers and numbers is not None else symbols, FACTOR) + "·"
    is_lone = len(e.terms) == 1 and e.terms[0].sign == "+"
    if e.function == "max":
        return opening + "max(", ")"
    if e.factor and not is_lone:
        opening, closing = opening + "(", ")"
    return (f"{e.function}({opening}", closing + ")") if e.function else (opening, closing)


def _one_line(e: Expansion, texts: list[tuple[str, str]], in_numbers: bool) -> str:
    opening, closing = _around(e, in_numbers)
    return opening + "".join(between + text for between, text in texts) + closing


def _per_line(
    e: Expansion,
    left: str,
    symbols: list[tuple[str, str]],
    numbers: list[tuple[str, str]],
    width: int,
) -> int:
    """How many terms stand on a line; 0 where not even one does."""
    around = columns(left) + 3 + max(columns("".join(_around(e, in_numbers))) for in_numbers in (False, True))
    for count in range(len(symbols), 0, -1):
        sizes = _sizes([symbols, numbers], count)
        if around + sum(sizes) + 3 * (len(sizes) - 1) + (2 if count < len(symbols) else 0) <= width:
            return count
    return 0


def _sizes(rows: list[list[tuple[str, str]]], count: int) -> list[int]:
    return [
        max(columns(text) for row in rows for _, text in row[c::count])
        for c in range(min(count, len(rows[0])))
    ]


def _aligned(e: Expansion, left: str, rows: list[list[tuple[str, str]]], count: int) -> list[str]:
    sizes = _sizes(rows, count)
    is_split = count < len(rows[0])
    align = "<" if len(rows[0]) == 1 else ">" if e.function == "max" else "^"
    before = max(columns(_around(e, in_numbers)[0]) for in_numbers in (False, True))
    lines: list[str] = []
    for in_numbers, row in enumerate(rows):
        opening, closing = _around(e, bool(in_numbers))
        for start in range(0, len(row), count):
            head = f"{left} = " if not lines else " " * columns(left) + (" = " if start == 0 else "   ")
            head += padded(opening if start == 0 else "", before, ">")
            line = ""
            for place, (between, text) in enumerate(row[start : start + count]):
                if place == 0 and is_split:
                    line += padded("" if e.function == "max" else between.lstrip(), 2)
                line += (between if place else "") + padded(text, sizes[place], align)
            is_end = start + count >= len(row)
            lines.append(
                head + (line.rstrip() + closing if is_end else line + ("," if e.function == "max" else ""))
            )
    return lines
