"""An explanation as Unicode text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from closedform.explanation.document import (
    Block,
    Derivation,
    Display,
    Document,
    Expansions,
    Flow,
    Listing,
    Paragraph,
    Picture,
    Scene,
    Section,
    Step,
    Table,
)
from closedform.explanation.line import math_text
from closedform.explanation.rendering.columns import broken, columns, finished, padded, prose_text, wrapped
from closedform.explanation.rendering.plain_expansions import expansions_lines
from closedform.explanation.rendering.plain_grids import picture_lines
from closedform.explanation.rendering.plain_tables import table_lines
from closedform.explanation.rendering.reading import continued, section_numbers

__all__ = ["math_text", "plain_text"]

_INDENT = 4
_BAR = {"note": "│ ", "taught": "┃ "}
_UNDERLINE = {1: "─", 2: "┄"}  # by the depth of a section
_REASON = 34  # reasons stand in a column of their own where at least so much is left for them
_FORMULA = 12  # beside a formula of at least this width


def plain_text(document: Document, width: int = 100) -> str:
    """A document as text for a terminal.

    Parameters
    ----------
    document
        What is shown.  Prompts are not: nothing can be chosen in a terminal.
    width
        Columns.  Only a word or a part of a formula that cannot be broken is ever wider.

    Returns
    -------
    str
        Lines without spaces at their ends, and without a line break after the last.
    """
    title = wrapped(document.title, width)
    lines = wrapped(document.over, width) if document.over else []
    lines += [*title, "═" * max(map(columns, title))]
    lines += _Writer(section_numbers(document), width).blocks(document.blocks)
    return finished(lines)


class _Writer:
    """Lines of blocks, each after an empty line."""

    def __init__(self, numbers: dict[str, str], width: int):
        self.numbers, self.width = numbers, width

    def blocks(self, blocks: Iterable[Block]) -> list[str]:
        lines: list[str] = []
        for block in blocks:
            if isinstance(block, Scene):
                lines += self.blocks(block.blocks)
            elif isinstance(block, Section):
                lines += self._section(block)
            else:
                lines += ["", *self._block(block)]
        return lines

    def _section(self, section: Section) -> list[str]:
        number = self.numbers[section.key]
        title = wrapped(prose_text(section.title), self.width, f"{number}  ", " " * (len(number) + 2))
        underline = _UNDERLINE.get(number.count(".") + 1, "")
        rule = [underline * max(map(columns, title))] if underline else []
        return ["", *([""] if "." not in number else []), *title, *rule, *self.blocks(section.blocks)]

    def _block(
        self, block: Paragraph | Listing | Display | Derivation | Flow | Table | Picture | Expansions
    ) -> list[str]:
        match block:
            case Paragraph(prose, kind):
                return wrapped(prose_text(prose), self.width, _BAR.get(kind, ""))
            case Listing(listed):
                return self._indented(
                    line for each in listed for line in wrapped_listing(each, self.width - _INDENT)
                )
            case Display(math):
                return self._indented(broken(math_text(math), self.width - _INDENT))
            case Derivation(steps):
                return _derivation(steps, self.width)
            case Flow():
                return _flow(block, self.width)
            case Table(head, rows, foot, numeric):
                return table_lines(head, rows, foot, numeric, self.width)
            case Picture():
                return self._indented(picture_lines(block, self.width - _INDENT))
            case Expansions():
                return self._indented(expansions_lines(block, self.width - _INDENT))

    def _indented(self, lines: Iterable[str]) -> list[str]:
        return [" " * _INDENT + line if line else "" for line in lines]


def wrapped_listing(line: str, width: int) -> list[str]:
    """A line as it is where it fits, else its words over several lines, the others indented further."""
    if columns(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    return wrapped(line, width, indent, indent + "    ")


def _derivation(steps: tuple[Step, ...], width: int) -> list[str]:
    rule = max(columns(step.rule) for step in steps) + 2
    formulas = [
        _formula(step, before, width // 4) for step, before in zip(steps, (None, *steps), strict=False)
    ]
    room = width - rule - 2
    widest = max([_FORMULA, *(columns(f) for f in formulas if columns(f) <= room - _REASON)])
    beside = room - widest >= _REASON
    lines: list[str] = []
    for step, formula in zip(steps, formulas, strict=True):
        start = len(formula) - len(formula.lstrip(" "))
        shown = [" " * start + line for line in broken(formula[start:], width - rule - start)]
        reason = prose_text(step.reason)
        if beside:
            parts = wrapped(reason, room - widest) if reason else []
            fits = all(columns(line) <= widest for line in shown)
            right = parts if fits else [""] * len(shown) + parts
        else:
            right = []
            shown += wrapped(reason, width - rule, "  ") if reason else []
        left = [step.rule]
        for height in range(max(len(shown), len(right))):
            label, line, words = (each[height] if height < len(each) else "" for each in (left, shown, right))
            lines.append(padded(label, rule) + (padded(line, widest + 2) + words if words else line))
    return lines


def _formula(step: Step, before: Step | None, most: int) -> str:
    """A step's formula; its left side is left empty where it is that of the step before."""
    shared = continued(step, before)
    if shared is None:
        return math_text(step.math)
    left = columns(math_text(shared[0]))
    whole = math_text(step.math)
    return " " * (left + 1 if left <= most else 4) + whole[len(math_text(shared[0])) + 1 :]


def _flow(flow: Flow, width: int) -> list[str]:
    parts = [""]
    for station in flow.stations:
        shape = "×".join(map(str, station.shape))
        parts[-1] += math_text(station.symbol) + (f" ({shape})" if shape else "")
        if station.step:
            about = f": {station.about}" if station.about else ""
            parts.append(f"→ {station.step}{about} → ")
    lines = [""]
    for part in parts:
        if lines[-1] and columns(lines[-1]) + 1 + columns(part) > width:
            lines.append("  ")
        lines[-1] += part if not lines[-1].strip() else f" {part}"
    return [line for each in lines for line in wrapped(each, width, *_hanging(each))]


def _hanging(line: str) -> tuple[str, str]:
    return ("  ", "    ") if line.startswith(" ") else ("", "    ")
