"""Entries as HTML: grids whose cells can be chosen, and what each is made of, term by term."""

from __future__ import annotations

import re
from collections.abc import Callable

from closedform.explanation.document import Cell, Expansion, Expansions, Grid, Maker, Picture
from closedform.explanation.line import ALONE, TERM, bare, math_text, written
from closedform.explanation.math import Marked, Math, Numeral, Word
from closedform.explanation.rendering.html_words import inline, prose
from closedform.explanation.rendering.markup import element, escape, opening
from closedform.explanation.rendering.mathml import is_deep, is_raised, is_tall, mathml, sign

__all__ = ["Naming", "expansions", "picture"]

Naming = Callable[[str], str]  # from an entry's name to an id that is unique on the page

_SHORT = 8  # a list of names up to this long stands at every entry
_UNHEARD = '<math aria-hidden="true"'
CLAIMS = {"right": " (right)", "wrong": " (wrong)"}

_MOST_PAIRED = 5  # terms that stand with their numbers below them


def picture(shown: Picture, lefts: dict[str, Math], naming: Naming) -> str:
    """Grids side by side; `lefts` are the symbols of the entries that are written out, for who hears them."""
    items: list[str] = []
    before = ""  # a sign stays with the array that follows it
    for item in shown.items:
        if isinstance(item, str):
            before += element("span", escape(item), class_="op", aria_hidden="true")
            continue
        tables = (_grid(grid, lefts, naming) for grid in item)
        array = element("div", *tables, class_="stack" if len(item) > 1 else "array")
        items.append(element("div", before, array, class_="next") if before else array)
        before = ""
    return element("div", *items, before, class_="grids")


def _grid(grid: Grid, lefts: dict[str, Math], naming: Naming) -> str:
    makers = [cell.maker for row in grid.cells for cell in row if cell.maker]
    can_choose = bool(makers)
    columns = len(grid.columns)
    shared = {kind: _shared(makers, kind) for kind in ("window", "weights")}
    start = opening(
        "table",
        class_="grid",
        role="grid" if can_choose else None,
        aria_label=grid.label + (", choose an entry" if can_choose else ""),
        style=f"--n:{columns}" if columns > 4 else None,
        data_window=" ".join(shared["window"]),
        data_weights=" ".join(shared["weights"]),
    )
    note = element("small", escape(grid.note)) if grid.note else ""
    caption = element("caption", prose(grid.title), note)
    has_rows = any(grid.rows)
    head = ""
    if any(grid.columns):
        corner = _header("", "col") if has_rows else ""
        head = element("thead", element("tr", corner, *(_header(each, "col") for each in grid.columns)))
    rows = (
        element(
            "tr",
            _header(name, "row") if has_rows else "",
            *(_cell(cell, shared, lefts, naming) for cell in cells),
        )
        for name, cells in zip(grid.rows, grid.cells, strict=True)
    )
    return "".join((start, caption, head, element("tbody", *rows), "</table>"))


def _header(name: str, scope: str) -> str:
    return element("th", escape(name), scope=scope) if name else '<td class="hole"></td>'


def _shared(makers: list[Maker], kind: str) -> tuple[str, ...]:
    """The long list of names that all entries of a grid have in common: it is written once, at the grid."""
    lists = {getattr(maker, kind) for maker in makers}
    names: tuple[str, ...] = next(iter(lists), ())
    return names if len(lists) == 1 and len(makers) > 1 and len(names) > _SHORT else ()


def _cell(cell: Cell, shared: dict[str, tuple[str, ...]], lefts: dict[str, Math], naming: Naming) -> str:
    kind = cell.kind if cell.kind != "entry" else None
    inside = "" if cell.content is None else _content(cell.content)
    if kind == "gap":
        return element("td", inside or "…", class_="gap")
    spoken = CLAIMS.get(cell.kind, "")
    maker = cell.maker
    if maker is None:
        mark = element("span", spoken, class_="unseen") if spoken else ""
        return element("td", inside, mark, class_=kind, data_name=cell.name)
    value = "" if cell.content is None else math_text(cell.content)
    left = lefts.get(maker.makes)
    label = f"{math_text(left)} = {value}" if left is not None else f"{maker.at}: {value}"
    label += spoken
    is_drawn = inside.startswith("<math")  # its letters are not what is read aloud
    if is_drawn:
        inside = element("span", escape(label), class_="unseen") + inside.replace("<math", _UNHEARD, 1)
    button = element(
        "button",
        inside,
        type="button",
        id=naming(maker.makes),
        aria_label=None if is_drawn else label,
        data_name=maker.makes,
        data_makes=maker.makes,
        data_window="" if shared["window"] else " ".join(maker.window),
        data_weights="" if shared["weights"] else " ".join(maker.weights),
        data_at=maker.at,
        data_say=maker.say,
    )
    return element("td", button, class_=kind)


def _content(content: Math) -> str:
    """A cell's content: numbers without a fraction's bar need no mathematics."""
    inside = bare(content)
    if isinstance(inside, Word):
        return escape(inside.text)
    if isinstance(inside, Numeral) and (isinstance(inside.value, float) or inside.value.denominator == 1):
        return inline(inside)
    return mathml(inside)


def expansions(shown: Expansions) -> str:
    """Entries written out: what each is made of, in symbols and in numbers below them."""
    items = (_expansion(each) for each in shown.expansions)
    found = element("ol", *items, class_="expansions", style=f"--cols:{shown.columns}")
    if shown.left_out:
        entries = "entry is" if shown.left_out == 1 else "entries are"
        rest = f"{shown.left_out} more {entries} made in the same way."
        found += element("p", rest, class_="caption")
    return found


def _expansion(shown: Expansion) -> str:
    numbers = bool(shown.terms) and all(term.numbers is not None for term in shown.terms)
    upper = [shown.left, *(term.symbols for term in shown.terms), *(shown.factor or ())[:1]]
    lower = [shown.value, *(term.numbers for term in shown.terms), *(shown.factor or ())[1:]]
    kinds = {
        "expansion": True,
        "call": bool(shown.function or shown.factor),
        "tall": any(map(is_tall, upper)),
        "raised": any(map(is_raised, upper)),
        "high": any(map(is_tall, lower)),
        "deep": any(map(is_deep, lower)),
    }
    equals = sign("=")
    sides = []
    if shown.terms:
        # what outgrows a line is written twice, so that no number stands between two lines of symbols
        apart = numbers and len(shown.terms) > _MOST_PAIRED
        rows = [element("span", equals)] if numbers and not apart else []
        sides.append(element("span", element("span", mathml(_named(shown)), equals), *rows, class_="lhs"))
        paired = (0, 1) if numbers and not apart else (0,)
        sides.append(element("div", *_terms(shown, paired), class_="terms"))
        if apart:
            sides.append(element("span", element("span", equals), class_="lhs"))
            sides.append(element("div", *_terms(shown, (1,)), class_="terms numbers"))
    if shown.value is not None:
        left = equals if shown.terms else mathml(_named(shown)) + equals
        sides.append(element("span", element("span", left), class_="lhs"))
        sides.append(element("span", mathml(shown.value), class_="value"))
    return element(
        "li",
        element("span", _indices(shown.at), class_="at") if shown.at else "",
        element("p", escape(_sentence(shown, numbers), quote=False), class_="unseen"),
        element("div", *sides, class_="sum", aria_hidden="true"),
        class_=" ".join(kind for kind, holds in kinds.items() if holds),
        data_expands=shown.name,
    )


def _named(shown: Expansion) -> Math:
    return shown.left if isinstance(shown.left, Marked) else Marked(shown.left, shown.name)


def _opens(shown: Expansion, row: int) -> str:
    """What stands before the terms: a factor, a function, a bracket."""
    found = ""
    if shown.factor:
        factor = shown.factor[row] if shown.factor[row] is not None else shown.factor[0]
        found = "" if factor is None else mathml(factor)
    if shown.function:
        return f"{found}{escape(shown.function)}("
    if not found:
        return ""
    return f"{found}(" if _is_many(shown) else f"{found}·"


def _is_many(shown: Expansion) -> bool:
    return len(shown.terms) > 1 or bool(shown.left_out)


def _terms(shown: Expansion, which: tuple[int, ...]) -> list[str]:
    """The terms in symbols (0), in numbers (1), or one above the other."""
    opens = [_opens(shown, 0), _opens(shown, 1)]
    closes = ")" if shown.function or (shown.factor and _is_many(shown)) else ""
    is_list = shown.function == "max"
    last = len(shown.terms) - 1
    found = []
    for position, term in enumerate(shown.terms):
        if shown.left_out and position == last:
            found.append(_left_out(shown.left_out, is_list, len(which)))
        before = term.sign if term.sign == "−" or (position and not is_list) else ""
        after = closes if position == last else "," if is_list else ""
        is_summand = bool(before)
        rows = []
        for row in which:
            math = (term.symbols, term.numbers)[row]
            if math is not None:
                start = "" if position else opens[row]
                rows.append(_row(before, start + mathml(math, is_summand=is_summand) + after))
        window, weights = " ".join(term.window), " ".join(term.weights)
        marks = {"data_makes": shown.name, "data_window": window, "data_weights": weights}
        found.append(element("span", *rows, class_="term", **marks))
    return found


def _row(before: str, body: str) -> str:
    """Two cells of a term: its sign and itself."""
    return (element("b", before) if before else "") + element("span", body)


def _left_out(how_many: int, is_list: bool, rows_of_terms: int) -> str:
    before, after = ("", ",") if is_list else ("+", "")
    rows = [_row(before, f"… {how_many} more{after}")]
    if rows_of_terms > 1:
        rows.append(_row(before, f"…{after}"))
    return element("span", *rows, class_="term")


def _sentence(shown: Expansion, numbers: bool) -> str:
    """The expansion on one line."""
    sides = [math_text(shown.left), _side(shown, [term.symbols for term in shown.terms], 0)]
    if numbers:
        sides.append(_side(shown, [term.numbers for term in shown.terms if term.numbers is not None], 1))
    if shown.value is not None:
        sides.append(math_text(shown.value))
    return " = ".join(side for side in sides if side)


def _side(shown: Expansion, parts: list[Math], row: int) -> str:
    line = ""
    is_list = shown.function == "max"
    for position, (term, part) in enumerate(zip(shown.terms, parts, strict=True)):
        if shown.left_out and position == len(parts) - 1:
            line += f", … {shown.left_out} more" if is_list else f" + … {shown.left_out} more"
        if position:
            line += ", " if is_list else f" {term.sign} "
        if term.sign == "−" and (is_list or not position):
            line += "−"
        line += written(part, TERM if position and not is_list else ALONE)
    if shown.function:
        line = f"{shown.function}({line})"
    if shown.factor:
        factor = shown.factor[row] if shown.factor[row] is not None else shown.factor[0]
        is_sum = not shown.function and len(parts) > 1
        line = f"{math_text(factor)}·{f'({line})' if is_sum else line}" if factor is not None else line
    return line


def _indices(at: str) -> str:
    """``i = 1, j = 2`` with its letters in italics."""
    return re.sub(r"[^\W\d_]+", lambda found: element("i", found.group()), escape(at))
