"""Grids of entries in LaTeX, and as arrays that MathJax shows too."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from closedform.explanation.document import Cell, Grid, Picture, Prose
from closedform.explanation.line import math_text
from closedform.explanation.math import Dots
from closedform.explanation.rendering.tex import math_latex
from closedform.explanation.rendering.tex_words import MATHEMATICS, words, words_in_mathematics

_ROOM = 80  # so many signs stand next to one another, a column's edge counted as two
_NOTE = 44  # longer notes go over several lines


def picture_latex(picture: Picture, prose: Callable[[Prose], str]) -> str:
    """Grids and signs in a paragraph, so that LaTeX puts them on as many lines as they need."""
    parts: list[str] = []
    sign = ""
    for item in picture.items:
        if isinstance(item, str):
            sign += rf"${sign_latex(item)}$\quad "
            continue
        for grid in item:
            for array in _panels(grid, bordered_array):
                note = rf"\\[-5pt] {_note(grid.note)}" if grid.note else ""
                head = rf"\hbox{{\begin{{tabular}}{{@{{}}c@{{}}}}{prose(grid.title)}{note}\end{{tabular}}}}"
                tall = r"\def\arraystretch{1.8}" if r"\frac" in array else ""
                parts.append(rf"\mbox{{{sign}$\overset{{{head}}}{{{tall}{array}}}$}}")
                sign = ""
    lines = "\\quad\n".join([*parts, *([sign] if sign else [])])
    return lines + (legend(picture, r"\par{\footnotesize ", r"\par}"))


def _note(note: str) -> str:
    text = rf"\footnotesize {words(note)}"
    return text if len(note) <= _NOTE else rf"\parbox{{60mm}}{{\centering {text}}}"


def picture_array(picture: Picture, prose: Callable[[Prose], str]) -> str:
    """Grids side by side with the signs between them, for a display."""
    parts: list[str] = []
    for item in picture.items:
        if isinstance(item, str):
            parts.append(sign_latex(item))
            continue
        for grid in item:
            note = rf" \\ {words_in_mathematics(grid.note)}" if grid.note else ""
            parts.append(rf"\overset{{\substack{{{prose(grid.title)}{note}}}}}{{{plain_array(grid)}}}")
    return "\\quad\n".join(parts)


def legend(picture: Picture, before: str, after: str) -> str:
    """A sentence on grey zeros where there are any."""
    grids = [grid for item in picture.items if not isinstance(item, str) for grid in item]
    has_zeros = any(cell.kind == "zero" for grid in grids for row in grid.cells for cell in row)
    return (
        f"\n{before}Grey zeros are those of the border, or put between entries.{after}" if has_zeros else ""
    )


def sign_latex(sign: str) -> str:
    """A sign between arrays, for mathematics mode."""
    if any(letter.isalpha() for letter in sign):
        return words_in_mathematics(sign)
    return " ".join(MATHEMATICS.get(letter, letter) for letter in sign.replace(" ", ""))


def cell_latex(cell: Cell, is_gap_row: bool, is_gap_column: bool) -> str:
    """A cell, for mathematics mode."""
    if cell.kind == "gap":
        return (r"\ddots" if is_gap_column else r"\vdots") if is_gap_row else r"\cdots"
    if cell.kind == "zero":
        return r"{\color{gray}{0}}"
    content = "" if cell.content is None else math_latex(cell.content)
    mark = {"wrong": r"~\text{wrong}", "right": r"~\checkmark"}.get(cell.kind, "")
    return content + mark


def cells_latex(grid: Grid) -> list[list[str]]:
    """All cells, the gaps pointing along what was left out."""
    is_gap_column = [all(row[c].kind == "gap" for row in grid.cells) for c in range(len(grid.columns))]
    return [
        [
            cell_latex(cell, not header and all(other.kind == "gap" for other in row), is_gap_column[c])
            for c, cell in enumerate(row)
        ]
        for header, row in zip(grid.rows, grid.cells, strict=True)
    ]


def _panels(grid: Grid, array: Callable[[Grid, list[int]], str]) -> Iterable[str]:
    """The grid as an array, its columns in several where it is too wide for a page."""
    part: list[int] = []
    used = 0
    for c, header in enumerate(grid.columns):
        # the two parts of a fraction stand above one another
        texts = [part for row in grid.cells for part in math_text(row[c].content or Dots()).split("/")]
        marked = any(row[c].kind in ("wrong", "right") for row in grid.cells)
        size = max(map(len, [header, *texts])) + 2 + (6 if marked else 0)
        if part and used + size > _ROOM:
            yield array(grid, part)
            part, used = [], 0
        part.append(c)
        used += size
    yield array(grid, part)


def bordered_array(grid: Grid, part: list[int]) -> str:
    """Some columns of a grid as an array with lines around its cells and its numbers outside."""
    has_rows, has_columns = any(grid.rows), any(grid.columns)
    first = 2 if has_rows else 1
    rule = rf"\cline{{{first}-{first + len(part) - 1}}}"
    spec = ("r|" if has_rows else "|") + "c|" * len(part)
    head = ([r"\multicolumn{1}{c}{}"] if has_rows else []) + [
        rf"\multicolumn{{1}}{{c}}{{{_number(grid.columns[c])}}}" for c in part
    ]
    lines = [" & ".join(head) + r"\\"] if has_columns else []
    for header, row in zip(grid.rows, cells_latex(grid), strict=True):
        cells = ([_number(header)] if has_rows else []) + [row[c] for c in part]
        lines.append(rule + " ".join(["", " & ".join(cells)]) + r" \\")
    return rf"\begin{{array}}{{{spec}}}{' '.join([*lines, rule])}\end{{array}}"


def plain_array(grid: Grid) -> str:
    """A grid as an array with lines between its numbers and its cells."""
    has_rows, has_columns = any(grid.rows), any(grid.columns)
    spec = ("r|" if has_rows else "") + "r" * len(grid.columns)
    lines = []
    if has_columns:
        head = ([""] if has_rows else []) + [_number(header) for header in grid.columns]
        lines.append(" & ".join(head) + r" \\ \hline ")
    rows = [
        " & ".join(([_number(header)] if has_rows else []) + row)
        for header, row in zip(grid.rows, cells_latex(grid), strict=True)
    ]
    return rf"\begin{{array}}{{{spec}}} {''.join(lines)}{(chr(92) * 2 + ' ').join(rows)} \end{{array}}"


def _number(header: str) -> str:
    return (
        rf"{{\scriptstyle {words_in_mathematics(header) if not header.isdigit() else header}}}"
        if header
        else ""
    )
