"""A document of typed steps.  It knows no format; renderers know no network.

Prose is `Prose`: plain words, mathematics, and `Code`.  Nothing in it is markup of any format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from closedform.explanation.math import Math


@dataclass(frozen=True)
class Code:
    """A line of the formula language, a name or a command, set in a typewriter's letters."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that matter: the taught name of a gradient."""

    text: str


Inline: TypeAlias = str | Math | Code | Strong
Prose: TypeAlias = tuple[Inline, ...]


@dataclass(frozen=True)
class Paragraph:
    """Words.

    Attributes
    ----------
    kind
        ``lead`` opens a document, ``note`` stands beside the text, ``taught`` holds a gradient's name,
        ``check`` the numerical check.
    """

    prose: Prose
    kind: Literal["plain", "lead", "note", "taught", "check"] = "plain"


@dataclass(frozen=True)
class Listing:
    """Lines set as they are, in a typewriter's letters."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Display:
    """A formula on a line of its own."""

    math: Math


@dataclass(frozen=True)
class Step:
    """One step of a derivation: a rule, what stands after it, and the reason."""

    rule: str
    math: Math
    reason: Prose


@dataclass(frozen=True)
class Derivation:
    """The steps of a derivation, in order."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Station:
    """One array of the data flow.

    Attributes
    ----------
    symbol
        What it is called.
    shape
        Its axes, without that of the examples.
    step
        The layer that makes the next array, and a few words on it; empty at the end.
    """

    symbol: Math
    shape: tuple[int, ...]
    step: str = ""
    about: str = ""


@dataclass(frozen=True)
class Flow:
    """The network from input to output."""

    stations: tuple[Station, ...]


@dataclass(frozen=True)
class Table:
    """Facts in rows.

    Attributes
    ----------
    head, foot
        The first and the last row; either may be empty.
    numeric
        The columns that hold numbers, from 0.
    """

    head: tuple[Prose, ...]
    rows: tuple[tuple[Prose, ...], ...]
    foot: tuple[Prose, ...] = ()
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Maker:
    """What an entry is made of.

    Attributes
    ----------
    makes
        The entry's own name.
    window, weights
        The names of the entries that are read, each tensor in one of two roles.
    at
        Where the entry stands: ``i = 1, j = 2``.
    say
        One sentence.
    """

    makes: str
    window: tuple[str, ...]
    weights: tuple[str, ...]
    at: str
    say: str


@dataclass(frozen=True)
class Cell:
    """One cell of a grid.

    Attributes
    ----------
    content
        A number or a symbol; None in a gap.
    name
        The entry that it shows; empty where it can never be lit.
    kind
        ``zero`` is a zero of the border or one inserted between entries, ``gap`` stands for entries left
        out, ``wrong`` and ``right`` mark a claim.
    maker
        Where the entry can be chosen.
    """

    content: Math | None
    name: str = ""
    kind: Literal["entry", "zero", "gap", "wrong", "right"] = "entry"
    maker: Maker | None = None


@dataclass(frozen=True)
class Grid:
    """A matrix of entries with its row and column numbers.

    Attributes
    ----------
    title
        What it shows: X, ∂L/∂W, "W rotated by 180°".
    note
        Its size and which part of a larger array it is: "3 × 3", "channel 2 of 3", "one zero around".
    rows, columns
        The headers; "" for a gap.  A row vector has one row whose header is "".
    label
        The title in plain words, for those who hear it.
    """

    title: Prose
    note: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    label: str


@dataclass(frozen=True)
class Picture:
    """Grids side by side, with signs between them.

    Attributes
    ----------
    items
        A tuple of grids stands together as the channels of one array; a str is a sign between arrays
        (``∗``, ``=``, ``⊙``, ``→``).
    """

    items: tuple[tuple[Grid, ...] | str, ...]


@dataclass(frozen=True)
class Term:
    """One summand, or one argument of a maximum, of an expansion: in symbols, and in numbers below.

    Attributes
    ----------
    sign
        What stands before it: ``+`` or ``−`` in a sum (also at the first place where it is ``−``).
    window, weights
        The names of the entries in it.
    """

    symbols: Math
    numbers: Math | None
    window: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    sign: Literal["+", "−"] = "+"


@dataclass(frozen=True)
class Expansion:
    """One entry written out: ``h11 = w11·x11 + … + b = 10``.

    Attributes
    ----------
    name
        The entry's name, as in its cell.
    at
        ``i = 1, j = 2``
    left
        The entry's symbol.
    terms
        In order.
    factor
        What is multiplied with the sum, in symbols and in numbers (1/4), or None.
    function
        ``max`` where the terms are a maximum's arguments, another function's name where the sum is its
        argument, empty for a sum.
    left_out
        How many terms are not shown, between the last two.
    value
        The number, or None where there are only symbols.
    """

    name: str
    at: str
    left: Math
    terms: tuple[Term, ...]
    factor: tuple[Math, Math | None] | None = None
    function: str = ""
    left_out: int = 0
    value: Math | None = None


@dataclass(frozen=True)
class Expansions:
    """Entries written out, in rows of `columns` as the entries stand.

    Attributes
    ----------
    left_out
        How many further entries are not written out.
    """

    expansions: tuple[Expansion, ...]
    columns: int = 1
    left_out: int = 0


@dataclass(frozen=True)
class Scene:
    """What belongs together when an entry is chosen: a formula or derivation, grids, and expansions.

    Attributes
    ----------
    key
        Unique in the document, and fit for an address: ``gradient-W1``.
    blocks
        In order.
    prompt
        What a reader can do here: "Choose an entry of O to see its window, its weights and its terms."
        Empty where no entry can be chosen.
    """

    key: str
    blocks: tuple[Block, ...]
    prompt: str = ""


@dataclass(frozen=True)
class Section:
    """A part with a title; sections may hold sections.

    Attributes
    ----------
    key
        Unique in the document, and fit for an address.
    """

    title: Prose
    blocks: tuple[Block, ...]
    key: str


Block: TypeAlias = (
    Paragraph | Listing | Display | Derivation | Flow | Table | Picture | Expansions | Scene | Section
)


@dataclass(frozen=True)
class Document:
    """A worked solution.

    Attributes
    ----------
    title
        Of the whole.
    over
        A line above the title: the worksheet's name; may be empty.
    blocks
        What opens the document (lead, notes, data flow), then its sections.
    """

    title: str
    blocks: tuple[Block, ...]
    over: str = ""

    def text(self, width: int = 100) -> str:
        """Unicode text of at most `width` columns."""
        from closedform.explanation.rendering.plain import plain_text

        return plain_text(self, width)

    def markdown(self) -> str:
        """Markdown with TeX mathematics."""
        from closedform.explanation.rendering.markdown import markdown

        return markdown(self)

    def latex(self) -> str:
        """A whole LaTeX document for ``pdflatex``."""
        from closedform.explanation.rendering.latex import latex_document

        return latex_document(self)

    def html(self) -> str:
        """One self-contained page."""
        from closedform.explanation.rendering.html import html_page

        return html_page(self)

    def notebook(self) -> str:
        """A Jupyter notebook as JSON; needs the package nbformat.

        Raises
        ------
        MissingError
            Where nbformat is not installed.
        """
        from closedform.explanation.rendering.notebook import notebook

        return notebook(self)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from closedform.explanation.rendering.html import html_fragment

        return html_fragment(self)

    def _repr_latex_(self) -> str:
        from closedform.explanation.rendering.latex import latex_fragment

        return latex_fragment(self)


def blocks_of(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """Every block, those inside sections and scenes after the one that holds them."""
    for block in blocks:
        yield block
        if isinstance(block, Section | Scene):
            yield from blocks_of(block.blocks)
