"""An explanation as Markdown with TeX mathematics, as GitHub and Jupyter show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from closedform.explanation.document import (
    Block,
    Cell,
    Code,
    Derivation,
    Display,
    Document,
    Expansions,
    Flow,
    Grid,
    Listing,
    Paragraph,
    Picture,
    Prose,
    Scene,
    Section,
    Strong,
    Table,
)
from closedform.explanation.line import math_text
from closedform.explanation.rendering.latex import aligned_latex, expansion_latex
from closedform.explanation.rendering.reading import section_numbers
from closedform.explanation.rendering.tex import inline_latex, math_latex

_MARK = {"wrong": " ✗", "right": " ✓"}


def markdown(document: Document) -> str:
    """A document as Markdown: formulas between dollars, grids as tables."""
    return "\n\n".join(text for _, text in sections(document)) + "\n"


def sections(document: Document) -> list[tuple[str, str]]:
    """The Markdown of what opens the document, then of each section up to the next, after its key."""
    over = [f"*{escaped(document.over)}*"] if document.over else []
    found = [("", [*over, f"# {escaped(document.title)}"])]
    _write(document.blocks, section_numbers(document), found)
    return [(key, "\n\n".join(parts)) for key, parts in found]


def _write(blocks: Iterable[Block], numbers: dict[str, str], found: list[tuple[str, list[str]]]) -> None:
    for block in blocks:
        if isinstance(block, Section):
            number = numbers[block.key]
            level = "#" * min(number.count(".") + 2, 6)
            found.append((block.key, [f"{level} {number} {prose_markdown(block.title)}"]))
            _write(block.blocks, numbers, found)
        elif isinstance(block, Scene):
            _write(block.blocks, numbers, found)
        else:
            found[-1][1].extend(_block(block))


def escaped(text: str) -> str:
    """Words in which nothing is markup."""
    text = re.sub(r"([\\`*_{}\[\]<>#|$~&])", r"\\\1", text)
    text = re.sub(r"^(\s*)([-+=])", r"\1\\\2", text)
    return re.sub(r"^(\s*\d+)([.)])", r"\1\\\2", text)


def prose_markdown(prose: Prose) -> str:
    """Prose with its formulas between dollars."""
    line = ""
    for part in prose:
        if isinstance(part, str):
            # only at the start of a line do numbers and dashes open a list
            line += escaped(part) if not line else escaped("x" + part)[1:]
        elif isinstance(part, Code):
            line += _code(part.text)
        elif isinstance(part, Strong):
            line += _strong(part.text)
        else:
            line += f"${inline_latex(part).strip()}$"
    return line


def _strong(text: str) -> str:
    """The words between stars; spaces at their ends stay outside, where stars would not count as such."""
    words = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}**{escaped(words)}**{after}" if words else text


def _code(text: str) -> str:
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{edge}{text}{edge}{fence}"


def _block(
    block: Paragraph | Listing | Display | Derivation | Flow | Table | Picture | Expansions,
) -> Iterator[str]:
    match block:
        case Paragraph(prose, kind):
            yield ("> " if kind in ("note", "taught") else "") + prose_markdown(prose)
        case Listing(lines):
            fence = "`" * max(
                3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
            )
            yield "\n".join([fence, *lines, fence])
        case Display(math):
            yield _display(aligned_latex(math))
        case Derivation(steps):
            for step in steps:
                yield f"*{escaped(step.rule)}*"
                yield _display(aligned_latex(step.math))
                if step.reason:
                    yield prose_markdown(step.reason)
        case Flow():
            yield _flow(block)
        case Table(head, rows, foot, numeric):
            count = max(len(row) for row in [head, *rows, foot])
            texts = [[prose_markdown(cell) for cell in row] for row in rows]
            texts += [[f"**{prose_markdown(cell)}**" if cell else "" for cell in foot]] if foot else []
            names = [prose_markdown(cell) for cell in head] or [""] * count
            yield _table(names, texts, [c in numeric for c in range(count)])
        case Picture():
            yield from _picture(block)
        case Expansions(expansions, _, left_out):
            for e in expansions:
                if e.at:
                    yield f"*{escaped(e.at)}*"
                yield _display(expansion_latex(e))
            if left_out:
                yield f"… and {left_out} more in the same way."


def _display(tex: str) -> str:
    return f"$$\n{tex.strip()}\n$$"


def _flow(flow: Flow) -> str:
    line = ""
    for station in flow.stations:
        shape = " × ".join(map(str, station.shape))
        line += f"${math_latex(station.symbol).strip()}$" + (f" ({shape})" if shape else "")
        if station.step:
            about = f" ({escaped(station.about)})" if station.about else ""
            line += f" → **{escaped(station.step)}**{about} → "
    return line


def _table(head: list[str], rows: list[list[str]], is_numeric: list[bool]) -> str:
    def written(row: Iterable[str]) -> str:
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row) + " |"

    rule = ["--:" if numeric else ":--" for numeric in is_numeric]
    return "\n".join(map(written, (head, rule, *rows)))


def _picture(picture: Picture) -> Iterator[str]:
    has_zeros = False
    for item in picture.items:
        if isinstance(item, str):
            yield escaped(item)
            continue
        for grid in item:
            yield f"{prose_markdown(grid.title)}" + (f", {escaped(grid.note)}" if grid.note else "")
            yield _grid(grid)
            has_zeros = has_zeros or any(cell.kind == "zero" for row in grid.cells for cell in row)
    if has_zeros:
        yield "· is a zero of the border, or one put between entries."


def _grid(grid: Grid) -> str:
    has_rows = any(grid.rows)
    head = ([""] if has_rows else []) + [escaped(header) for header in grid.columns]
    rows = []
    for header, row in zip(grid.rows, grid.cells, strict=True):
        is_gap_row = not header and all(cell.kind == "gap" for cell in row)
        start = [f"**{escaped(header)}**" if header else ""] if has_rows else []
        rows.append(start + [_cell(cell, is_gap_row) for cell in row])
    return _table(head, rows, [True] * len(head))


def _cell(cell: Cell, is_gap_row: bool) -> str:
    if cell.kind == "gap":
        return "⋮" if is_gap_row else "…"
    if cell.kind == "zero":
        return "·"
    if cell.content is None:
        return ""
    text = math_text(cell.content)
    is_number = re.fullmatch(r"−?[\d.]+", text) is not None
    return (text if is_number else f"${math_latex(cell.content).strip()}$") + _MARK.get(cell.kind, "")
