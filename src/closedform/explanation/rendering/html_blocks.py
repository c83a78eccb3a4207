"""The blocks of a document as HTML: headings, formulas, derivations, tables, scenes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from closedform.explanation.document import (
    Block,
    Derivation,
    Display,
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
from closedform.explanation.line import bare
from closedform.explanation.math import Add, Chain, Large, Marked, Math, Multiply, Over
from closedform.explanation.rendering.html_entries import expansions, picture
from closedform.explanation.rendering.html_flow import flow
from closedform.explanation.rendering.html_words import prose
from closedform.explanation.rendering.markup import element, escape
from closedform.explanation.rendering.mathml import pieces

__all__ = ["Writer"]

_LEGEND = element(
    "ul",
    '<li><i class="window"></i>window</li>',
    '<li><i class="weight"></i>weights</li>',
    '<li><i class="result"></i>the entry they make</li>',
    class_="legend screen",
    aria_label="Marks used below",
)
_NOW = '<span class="now screen" data-now></span>'


@dataclass
class Writer:
    """Writes blocks; knows which ids are taken, and how deep it is.

    Attributes
    ----------
    prefix
        Before every id.
    level
        Of the next section's heading.
    taken
        The ids that are used or reserved.
    numbers
        Of the sections, by key.
    """

    prefix: str = ""
    level: int = 2
    taken: set[str] = field(default_factory=set)
    numbers: dict[str, str] = field(default_factory=dict)
    labelled: str = ""
    scene: str = ""
    has_legend: bool = False

    def reserve(self, blocks: tuple[Block, ...], number: str = "") -> None:
        """Keep the sections' addresses from the entries, and number the sections."""
        self.taken.add("content")
        sections = (block for block in blocks if isinstance(block, Section))
        for position, section in enumerate(sections, 1):
            self.numbers[section.key] = f"{number}{position}"
            self.taken.add(section.key)
            self.reserve(section.blocks, f"{self.numbers[section.key]}.")

    def name(self, name: str) -> str:
        """An id for an entry: its name, where that is free."""
        wanted = name if name not in self.taken else f"{self.scene}-{name}"
        free = next(
            each for k in count(1) if (each := wanted if k == 1 else f"{wanted}-{k}") not in self.taken
        )
        self.taken.add(free)
        return self.prefix + free

    def contents(self, sections: list[Section]) -> str:
        """A list of links to sections, those inside them indented."""
        items = []
        for section in sections:
            number = element("span", self.numbers[section.key], class_="no")
            link = element(
                "a", number, element("span", prose(section.title)), href=f"#{self.prefix}{section.key}"
            )
            inner = [block for block in section.blocks if isinstance(block, Section)]
            items.append(element("li", link, self.contents(inner) if inner else ""))
        return element("ol", *items)

    def blocks(self, blocks: tuple[Block, ...]) -> str:
        """Blocks one after the other."""
        return "\n".join(map(self.block, blocks))

    def block(self, block: Block) -> str:
        """One block."""
        match block:
            case Paragraph(words, kind):
                return _paragraph(prose(words), kind)
            case Listing(lines):
                code = element("code", escape("\n".join(lines), quote=False))
                return element("pre", code, class_="listing")
            case Display(math):
                return _formula(math)
            case Derivation(steps):
                return _derivation(steps)
            case Flow(stations):
                return flow(stations)
            case Table():
                return self.table(block)
            case Picture():
                return element("div", picture(block, {}, self.name), class_="scene wide")
            case Expansions():
                return element("div", expansions(block), class_="scene wide")
            case Scene():
                return self.scene_of(block)
            case Section():
                return self.section(block)

    def section(self, section: Section) -> str:
        """A part with its heading."""
        outer, self.labelled = self.labelled, self.prefix + section.key
        number = element("span", self.numbers[section.key], class_="no")
        heading = element(f"h{min(self.level, 6)}", number, prose(section.title), id=self.labelled)
        self.level += 1
        inside = self.blocks(section.blocks)
        found = element("section", heading, "\n", inside, aria_labelledby=self.labelled)
        self.level -= 1
        self.labelled = outer
        return found

    def table(self, table: Table) -> str:
        """Facts in rows, named after the section that they stand in."""

        def row(cells: tuple[object, ...], tag: str, scope: str) -> str:
            return element("tr", *(cell(inside, k, tag, scope) for k, inside in enumerate(cells)))

        def cell(inside: object, column: int, tag: str, scope: str) -> str:
            words = prose(inside) if isinstance(inside, tuple) else ""
            is_header = bool(words) and (tag == "th" or (column == 0 and 0 not in table.numeric))
            kind = "n" if column in table.numeric else None
            if is_header:
                return element("th", words, scope=scope if tag == "th" else "row", class_=kind)
            return element("td", words, class_=kind)

        head = element("thead", row(table.head, "th", "col")) if table.head else ""
        rows = element("tbody", *(row(each, "td", "row") for each in table.rows))
        foot = element("tfoot", row(table.foot, "td", "row")) if table.foot else ""
        shown = element("table", head, rows, foot, class_="facts", aria_labelledby=self.labelled)
        return element("div", shown, class_="scroll")

    def scene_of(self, scene: Scene) -> str:
        """A formula, its grids and what their entries are made of."""
        outer, self.scene = self.scene, scene.key
        shown = [k for k, block in enumerate(scene.blocks) if isinstance(block, Picture | Expansions)]
        first, last = (shown[0], shown[-1]) if shown else (len(scene.blocks), len(scene.blocks))
        formula = max(
            (k for k, block in enumerate(scene.blocks) if _can_light(block)), default=None
        )  # the last one says what is lit
        found = []
        for position, block in enumerate(scene.blocks[:first]):
            found.append(_with_now(block) if position == formula and scene.prompt else self.block(block))
        if shown:
            found.append(self.lit(scene, first, last, formula))
        found += [self.block(block) for block in scene.blocks[last + 1 :]]
        self.scene = outer
        return element("div", *found, class_="together", data_scene=scene.key)

    def lit(self, scene: Scene, first: int, last: int, formula: int | None) -> str:
        """From the first grid to the last expansion: what the light falls on."""
        blocks = scene.blocks[first : last + 1]
        lefts = {
            each.name: each.left
            for block in scene.blocks
            if isinstance(block, Expansions)
            for each in block.expansions
        }
        found = []
        if scene.prompt and not self.has_legend:
            found.append(_LEGEND)
            self.has_legend = True
        line = element(
            "p",
            escape(scene.prompt),
            class_="caption screen",
            role="status",
            aria_live="polite",
            data_line=scene.prompt,
        )
        waiting = bool(scene.prompt)
        for position, block in enumerate(blocks):
            if waiting and not isinstance(block, Picture) and position:
                found.append(line)
                waiting = False
            match block:
                case Picture():
                    found.append(picture(block, lefts, self.name))
                case Expansions():
                    found.append(expansions(block))
                case _ if first + position == formula and scene.prompt:
                    found.append(_with_now(block))
                case _:
                    found.append(self.block(block))
        if waiting:
            found.append(line)
        if scene.prompt:
            found.append('<ol class="lens" data-lens aria-hidden="true"></ol>')
        return element("div", *found, class_="scene wide")


def _paragraph(words: str, kind: str) -> str:
    if kind == "check":
        return element("div", element("p", words), class_="check")
    return element("p", words, class_=None if kind == "plain" else kind)


def _formula(math: Math, after: str = "") -> str:
    return element("div", pieces(math), after, class_="formula")


def _derivation(steps: tuple[Step, ...], after: str = "") -> str:
    items = []
    left = _left(steps[0].math) if steps else None
    # the sides that are not repeated may bear the mark of the result: the first is shown with it
    marked = next(
        (_left(step.math) for step in reversed(steps) if isinstance(_left(step.math), Marked)), None
    )
    for position, step in enumerate(steps):
        math = step.math
        if isinstance(math, Chain) and len(math.sides) > 1 and left is not None:
            if position and bare(math.sides[0]) == bare(left):
                shown = pieces(math, continued=True)
            else:
                first = (
                    marked
                    if not position and marked is not None and bare(marked) == bare(left)
                    else math.sides[0]
                )
                shown = pieces(Chain((first, *math.sides[1:]), math.relations))
        else:
            shown = pieces(math)
        items.append(
            element(
                "li",
                element("span", escape(step.rule), class_="rule"),
                element("div", shown, after if position == len(steps) - 1 else "", class_="eq"),
                element("p", prose(step.reason), class_="why"),
            )
        )
    return element("ol", *items, class_="steps wide")


def _left(math: Math) -> Math | None:
    return math.sides[0] if isinstance(math, Chain) and len(math.sides) > 1 else None


def _with_now(block: Block) -> str:
    """A formula with the place beside it that says which entry is lit."""
    match block:
        case Display(math):
            return _formula(math, _NOW)
        case Derivation(steps):
            return _derivation(steps, _NOW)
        case _:
            raise TypeError(block)


def _can_light(block: Block) -> bool:
    match block:
        case Display(math):
            return _has_part(math)
        case Derivation(steps):
            return any(_has_part(step.math) for step in steps)
        case _:
            return False


def _has_part(math: Math) -> bool:
    match math:
        case Marked(body, _, part):
            return part is not None or _has_part(body)
        case Chain(parts) | Add(parts) | Multiply(parts):
            return any(map(_has_part, parts))
        case Large(body=body):
            return _has_part(body)
        case Over(above, below):
            return _has_part(above) or _has_part(below)
        case _:
            return False
