"""The verdict on a sheet as one page that needs nothing else: no script, no font, no file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from closedform.checking.mistakes import MISTAKES
from closedform.checking.report import MARKS, entry_name, explanations, headline, is_formula, label, summary
from closedform.checking.sheet_verdict import Cell, SheetVerdict, StepVerdict
from closedform.checking.verdict import ClaimVerdict, shown

_WORDS = {"right": "right", "wrong": "wrong", "carried": "carried forward"}
_STYLE = """
.cf-check { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c1c1e; background: #fff; }
.cf-check h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
.cf-check h2 { font-size: 1.1rem; margin: 0; }
.cf-check section { border: 1px solid #d0d0d5; border-left-width: .4rem; border-radius: .4rem;
  padding: .8rem 1rem; margin: 1rem 0; }
.cf-check .right { border-left-color: #2e7d32; }
.cf-check .wrong { border-left-color: #b3261e; }
.cf-check .carried { border-left-color: #8a6100; }
.cf-check .status { font-weight: 600; margin-left: .6rem; }
.cf-check code { font: .95em ui-monospace, monospace; }
.cf-check p > code { overflow-wrap: anywhere; }
.cf-check .grids { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: .8rem 0; }
.cf-check .scroll { overflow-x: auto; max-width: 100%; min-width: 0; }
.cf-check table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.cf-check caption { text-align: left; font-size: .85rem; color: #55555c; padding-bottom: .2rem; }
.cf-check td, .cf-check th { border: 1px solid #d0d0d5; padding: .2rem .6rem; text-align: right; }
.cf-check .list td, .cf-check .list th { text-align: left; vertical-align: top; }
.cf-check .list td:first-child { white-space: nowrap; }
.cf-check .list td:last-child { min-width: 18rem; }
.cf-check .differs { background: #fbe9e7; outline: 2px solid #b3261e; outline-offset: -2px;
  font-weight: 600; }
.cf-check .differs::before { content: "✗ "; }
.cf-check .open { color: #8a8a90; }
@media (prefers-color-scheme: dark) {
  .cf-check { color: #e8e8ea; background: #1c1c1e; }
  .cf-check section, .cf-check td, .cf-check th { border-color: #48484d; }
  .cf-check .differs { background: #4a1f1b; outline-color: #ff8a80; }
  .cf-check caption { color: #a8a8b0; }
}
@media (prefers-color-scheme: dark) { html { background: #1c1c1e; } }
"""


def html(verdict: SheetVerdict) -> str:
    """A whole page."""
    return _page(f"{verdict.title}: {'right' if verdict.right else 'wrong'}", fragment(verdict))


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def fragment(verdict: SheetVerdict) -> str:
    """The verdict to stand in a page or a notebook."""
    parts = [
        f"<style>{_STYLE}</style>",
        '<main class="cf-check">',
        f"<h1>{escape(verdict.title)}</h1>",
        f'<p role="status">{escape(summary(verdict))}</p>',
        *(f"<p>{escape(convention)}</p>" for convention in verdict.conventions),
        *map(_step, verdict.steps),
        "</main>",
    ]
    return "\n".join(parts)


def _step(step: StepVerdict) -> str:
    mark = f"{MARKS[step.status]} {_WORDS[step.status]}"
    parts = [
        f'<section class="{step.status}" aria-label="claim {step.number}: {_WORDS[step.status]}">',
        f'<h2>{step.number}. <code>{escape(label(step))}</code><span class="status">{mark}</span></h2>',
    ]
    if is_formula(step):
        parts.append(f"<p><code>{escape(step.statement)}</code></p>")
    if not step.right:
        parts.append(f"<p>{escape(headline(step))[:1].upper()}{escape(headline(step))[1:]}.</p>")
    parts += [f"<p><strong>{escape(sentence)}</strong></p>" for sentence in explanations(step)]
    parts += [f"<p>{escape(note)}</p>" for note in step.notes]
    if step.cells and len(step.shape) <= 4:
        parts.append(_grids(step))
    if step.entries:
        parts.append(_entries(step))
    parts.append("</section>")
    return "\n".join(parts)


def _grids(step: StepVerdict) -> str:
    """What is stated, and beside it what is right where something differs."""
    cells = dict(step.cells)
    grids = [_grid(step, cells, "given")]
    if any(not cell.is_right for cell in cells.values()):
        grids.append(_grid(step, cells, "expected"))
    return f'<div class="grids">{"".join(grids)}</div>'


def _grid(step: StepVerdict, cells: dict[tuple[int, ...], Cell], side: str) -> str:
    """Rows and columns of the last two axes; what is before them is written in front of each block."""
    columns = sorted({index[-1:] for index in cells})
    rows: list[str] = []
    before: tuple[int, ...] | None = None
    for row in sorted({index[:-1] for index in cells}):
        if len(row) > 1 and row[:-1] != before:
            before = row[:-1]
            label = f"{step.name}[{','.join(map(str, before))},…]"
            rows.append(f'<tr><th colspan="{len(columns)}" scope="rowgroup">{escape(label)}</th></tr>')
        rows.append(f"<tr>{''.join(_cell(cells.get(row + column), side) for column in columns)}</tr>")
    return _scrolling(f"<table><caption>{side}</caption>{''.join(rows)}</table>", f"{step.name}, {side}")


def _scrolling(table: str, label: str) -> str:
    """A table that scrolls by itself where it is wider than the page; keys reach it."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">{table}</div>'


def _cell(cell: Cell | None, side: str) -> str:
    if cell is None:
        return '<td class="open">–</td>'
    if side == "given" and not cell.is_right:
        title = escape(f"expected {cell.expected}", quote=True)
        return f'<td class="differs" title="{title}">{escape(cell.given)}</td>'
    return f"<td>{escape(cell.given if side == 'given' else cell.expected)}</td>"


def claim_html(verdict: ClaimVerdict) -> str:
    """A page on one claim."""
    return _page(f"{verdict.name}: {'right' if verdict.right else 'wrong'}", claim_fragment(verdict))


def claim_fragment(verdict: ClaimVerdict) -> str:
    """The verdict on one claim to stand in a page or a notebook."""
    status = "right" if verdict.right else "wrong"
    name = f'<code>{escape(verdict.name)}</code><span class="status">{MARKS[status]} {status}</span>'
    parts = [
        f"<style>{_STYLE}</style>",
        f'<main class="cf-check">\n<section class="{status}">\n<h2 role="status">{name}</h2>',
    ]
    parts += [
        f"<p><strong>{escape(f'{mistake}: {MISTAKES[mistake].description}')}</strong></p>"
        for mistake in verdict.mistakes
    ]
    if verdict.shape != verdict.given_shape:
        shapes = f"It has shape {verdict.given_shape}, right is {verdict.shape}."
        parts.append(f"<p>{escape(shapes)}</p>")
    if verdict.entries:
        rows = [
            (verdict.entry_name(entry), shown(entry.given), shown(entry.expected), entry.expansion)
            for entry in verdict.shown
        ]
        parts.append(_table(verdict.name, rows, verdict.differing))
    if not verdict.right and verdict.expected:
        parts.append(f"<p>Right is <code>{escape(verdict.expected)}</code></p>")
    parts += [f"<p>{escape(note)}</p>" for note in verdict.notes]
    return "\n".join([*parts, "</section>\n</main>"])


def _entries(step: StepVerdict) -> str:
    rows = [
        (entry_name(step, entry), entry.given, entry.expected, "" if step.carried else entry.expansion)
        for entry in step.shown
    ]
    return _table(step.name, rows, step.differing)


def _table(name: str, entries: Sequence[tuple[str, str, str, str]], differing: int) -> str:
    """Each entry with what was given, what is right, and that in its terms."""
    rows = []
    for entry, given, expected, expansion in entries:
        terms = f"<code>{escape(expansion)}</code>" if expansion else ""
        rows.append(
            f"<tr><td><code>{escape(entry)}</code></td><td>{escape(given)}</td>"
            f"<td>{escape(expected)}</td><td>{terms}</td></tr>"
        )
    rest = differing - len(entries)
    if rest > 0:
        rows.append(f'<tr><td colspan="4">and {rest} more</td></tr>')
    words = ("entry", "given", "expected", "in its terms")
    head = "".join(f'<th scope="col">{word}</th>' for word in words)
    caption = "entries that differ"
    table = f'<table class="list"><caption>{caption}</caption><tr>{head}</tr>{"".join(rows)}</table>'
    return _scrolling(table, f"{name}, {caption}")
