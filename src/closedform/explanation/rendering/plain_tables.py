"""Tables in the columns of a terminal."""

from __future__ import annotations

from collections.abc import Collection

from closedform.explanation.document import Prose
from closedform.explanation.rendering.columns import columns, padded, prose_text, wrapped

_BETWEEN = 3


def table_lines(
    head: tuple[Prose, ...],
    rows: tuple[tuple[Prose, ...], ...],
    foot: tuple[Prose, ...],
    numeric: Collection[int],
    width: int,
) -> list[str]:
    """A table as aligned lines; long cells are wrapped, and a table that is still too wide becomes a list."""
    texts = [[prose_text(cell) for cell in row] for row in (head, *rows, foot) if row]
    if not texts:
        return []
    sizes = column_sizes(texts, width)
    if sizes is None:
        return _list(texts, bool(head), width)
    lines: list[str] = []
    for position, row in enumerate(texts):
        is_head, is_foot = bool(head) and position == 0, bool(foot) and position == len(texts) - 1
        rule = "─" * (sum(sizes) + _BETWEEN * (len(sizes) - 1))
        lines += [rule] if is_foot and position else []
        cells = [wrapped(cell, size) for cell, size in zip(row, sizes, strict=False)]
        for height in range(max(map(len, cells))):
            parts = [
                padded(cell[height] if height < len(cell) else "", sizes[c], ">" if c in numeric else "<")
                for c, cell in enumerate(cells)
            ]
            lines.append((" " * _BETWEEN).join(parts))
        lines += [rule] if is_head else []
    return lines


def column_sizes(texts: list[list[str]], width: int) -> list[int] | None:
    """The widths of the columns; None where even their longest words do not fit side by side."""
    count = max(map(len, texts))
    sizes = [max(columns(row[c]) for row in texts if c < len(row)) for c in range(count)]
    least = [
        max((columns(word) for row in texts if c < len(row) for word in row[c].split(" ")), default=0)
        for c in range(count)
    ]
    room = width - _BETWEEN * (count - 1)
    while sum(sizes) > room:
        widest = max((c for c in range(count) if sizes[c] > least[c]), key=lambda c: sizes[c], default=None)
        if widest is None:
            return None
        sizes[widest] -= 1
    return sizes


def _list(texts: list[list[str]], has_head: bool, width: int) -> list[str]:
    lines: list[str] = []
    heads = texts[0] if has_head else [""] * max(map(len, texts))
    for row in texts[1:] if has_head else texts:
        lines += [""] if lines else []
        for position, (head, cell) in enumerate(zip(heads, row, strict=False)):
            indent = "  " if position else ""
            lines += wrapped(f"{head}: {cell}" if head else cell, width, indent, indent + "  ")
    return lines
