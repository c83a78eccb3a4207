"""Grids of entries in the columns of a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from closedform.explanation.document import Cell, Grid, Picture
from closedform.explanation.line import math_text
from closedform.explanation.rendering.columns import columns, kept_sizes, padded, prose_text, wrapped

_MARK = {"wrong": " ✗", "right": " ✓"}
_BETWEEN = "   "
_NARROW = 28  # a title may always be this wide


@dataclass(frozen=True)
class _Box:
    """A heading of any height over a body."""

    heading: tuple[str, ...]
    body: tuple[str, ...]
    is_sign: bool = False

    @property
    def width(self) -> int:
        return max(map(columns, self.heading + self.body))


def picture_lines(picture: Picture, width: int) -> list[str]:
    """Grids side by side with the signs between them; what does not fit goes below."""
    lines: list[str] = []
    row: list[_Box] = []
    for unit in _units(picture, width):
        if row and _width(row + unit) > width:
            lines += [*_side_by_side(row), ""]
            row = []
        row += unit
    lines += _side_by_side(row) if row else []
    grids = [grid for item in picture.items if not isinstance(item, str) for grid in item]
    if any(cell.kind == "zero" for grid in grids for cells in grid.cells for cell in cells):
        lines += ["", *wrapped("· is a zero of the border, or one put between entries.", width)]
    return lines


def _units(picture: Picture, width: int) -> Iterator[list[_Box]]:
    """What stays together on a row: a sign and what follows it, the channels of one array."""
    signs: list[_Box] = []
    for item in picture.items:
        if isinstance(item, str):
            signs.append(_Box((), (item,), is_sign=True))
            continue
        room = width - (_width(signs) + len(_BETWEEN) if signs else 0)
        boxes = [box for grid in item for box in _panels(grid, room)]
        whole = _width(signs + boxes) <= width
        yield from [signs + boxes] if whole else [signs + boxes[:1], *([box] for box in boxes[1:])]
        signs = []
    if signs:
        yield signs


def _width(boxes: Sequence[_Box]) -> int:
    return sum(box.width for box in boxes) + len(_BETWEEN) * (len(boxes) - 1)


def _side_by_side(boxes: Sequence[_Box]) -> list[str]:
    above = max(len(box.heading) for box in boxes)
    sizes = [len(box.body) for box in boxes if len(box.body) > 1]
    middle = (min(sizes) + 1) // 2 if sizes else 0  # the row of entries nearest to the middle
    below = max(sizes, default=1)
    lines = [""] * (above + below)
    for box in boxes:
        drop = middle if len(box.body) == 1 else 0  # signs and numbers stand in the middle
        parts = [""] * (above - len(box.heading)) + [*box.heading, *[""] * drop, *box.body]
        parts += [""] * (above + below - len(parts))
        lines = [
            (line + _BETWEEN if box is not boxes[0] else "") + padded(part, box.width)
            for line, part in zip(lines, parts, strict=True)
        ]
    return lines


def _panels(grid: Grid, width: int) -> list[_Box]:
    """The grid, its columns in several parts where it is wider than `width`."""
    texts = [_texts(grid, row) for row in range(len(grid.rows))]
    by_column = [_aligned([line[c] for line in texts]) for c in range(len(grid.columns))]
    widths = [
        max(map(columns, [header, *column])) for header, column in zip(grid.columns, by_column, strict=True)
    ]
    stub = max(map(columns, grid.rows), default=0)
    room = width - (stub + 3 if stub else 0)
    parts: list[list[int]] = [[]]
    for c, size in enumerate(widths):
        if parts[-1] and sum(widths[other] + 2 for other in parts[-1]) + size > room:
            parts.append([])
        parts[-1].append(c)
    boxes = []
    for part in parts:
        body = _body(grid, part, by_column, widths, stub)
        limit = min(max(max(map(columns, body)), _NARROW), width)
        title = wrapped(prose_text(grid.title), limit)
        note = wrapped(kept_sizes(grid.note), limit) if grid.note else []
        boxes.append(_Box((*title, *note), tuple(body)))
    return boxes


def _body(grid: Grid, part: list[int], by_column: list[list[str]], widths: list[int], stub: int) -> list[str]:
    left = [padded(header, stub, ">") + " │ " if stub else "" for header in ("", *grid.rows)]
    lines = ["  ".join(padded(by_column[c][r], widths[c], ">") for c in part) for r in range(len(grid.rows))]
    body = [start + line for start, line in zip(left[1:], lines, strict=True)]
    if not any(grid.columns):
        return body
    head = "  ".join(padded(grid.columns[c], widths[c], ">") for c in part)
    rule = ("─" * (stub + 1) + "┼─" if stub else "") + "─" * columns(head)
    return [left[0] + head, rule, *body]


def _texts(grid: Grid, row: int) -> list[str]:
    """The cells of a row; a gap shows in which direction entries are left out."""
    cells = grid.cells[row]
    is_gap_row = not grid.rows[row] and all(cell.kind == "gap" for cell in cells)
    return [
        _text(cell, is_gap_row, is_gap_column=all(line[c].kind == "gap" for line in grid.cells))
        for c, cell in enumerate(cells)
    ]


def _text(cell: Cell, is_gap_row: bool, is_gap_column: bool) -> str:
    if cell.kind == "gap":
        return ("⋱" if is_gap_column else "⋮") if is_gap_row else "…"
    if cell.kind == "zero" or cell.content is None:
        return "·" if cell.kind == "zero" else ""
    return math_text(cell.content) + _MARK.get(cell.kind, "")


def _aligned(column: list[str]) -> list[str]:
    """Cells of one column: the marks stand below one another, and so do the points of decimals."""
    has_mark = any(text.endswith(tuple(_MARK.values())) for text in column)
    column = [t if not has_mark or t.endswith(tuple(_MARK.values())) else t + "  " for t in column]
    digits = [re.fullmatch(r"−?\d+(\.\d+)?(?P<mark>| [ ✗✓])", text) for text in column]
    after = [len(match[1] or "") if match else 0 for match in digits]
    return [
        text[: len(text) - len(match["mark"])] + " " * (max(after) - own) + match["mark"] if match else text
        for text, match, own in zip(column, digits, after, strict=True)
    ]
