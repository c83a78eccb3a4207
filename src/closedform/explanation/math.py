"""Mathematics as it is shown: a small tree that knows no format.

A renderer prints it as text, LaTeX or MathML and puts the brackets where they are needed.  A part can be
marked as an entry (`Marked.name`), or as a role in an index formula (`Marked.part`), for pages that light up
what belongs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["result", "window", "weight"]


@dataclass(frozen=True)
class Word:
    """An upright word inside mathematics: ``in``, ``stride``, ``otherwise``."""

    text: str


@dataclass(frozen=True)
class Numeral:
    """A number.

    Attributes
    ----------
    value
        A fraction is shown as it is; a float is rounded.
    digits
        Significant digits of a float.
    """

    value: Fraction | float
    digits: int = 4


@dataclass(frozen=True)
class Symbol:
    """A letter with what stands above and below it: ``x`` with below (1, 2) is x₁₂.

    Attributes
    ----------
    letter
        The name, with its primes: ``x``, ``W``, ``u'``.
    below
        Subscripts, one for each axis.
    above
        The number of the layer, ``"1"`` for z⁽¹⁾; empty for none.
    """

    letter: str
    below: tuple[Math, ...] = ()
    above: str = ""


@dataclass(frozen=True)
class Derivative:
    """``∂of/∂by``."""

    of: Math
    by: Math


@dataclass(frozen=True)
class Add:
    """A sum; a `Negative` among the terms is written with a minus."""

    terms: tuple[Math, ...]


@dataclass(frozen=True)
class Multiply:
    """A product.

    Attributes
    ----------
    dots
        Whether a dot is shown between the factors: wanted between numbers and entries (``0·2``), not inside
        subscripts (``2i``).
    """

    factors: tuple[Math, ...]
    dots: bool = True


@dataclass(frozen=True)
class Negative:
    """The argument with a minus before it."""

    argument: Math


@dataclass(frozen=True)
class Over:
    """A quotient, written as a fraction."""

    above: Math
    below: Math


@dataclass(frozen=True)
class Raised:
    """A whole power."""

    base: Math
    exponent: int


@dataclass(frozen=True)
class Apply:
    """A function of arguments: ``relu(x)``, ``max(x11, x12)``; sqrt and abs have signs of their own."""

    name: str
    arguments: tuple[Math, ...]


@dataclass(frozen=True)
class Range:
    """An index and the numbers that it takes; without them only the index is written."""

    index: str
    first: Math | None = None
    last: Math | None = None


@dataclass(frozen=True)
class Large:
    """``sum``, ``max`` or ``first`` over indices."""

    operation: Literal["sum", "max", "first"]
    ranges: tuple[Range, ...]
    body: Math


@dataclass(frozen=True)
class Condition:
    """An Iverson bracket, 1 where it holds and 0 elsewhere: ``[1 ≤ i + u ≤ 5]``."""

    sides: tuple[Math, ...]
    relations: tuple[str, ...]  # "=", "<", "<=", "!="


@dataclass(frozen=True)
class Floor:
    """The quotient rounded down, ``⌊a/k⌋``."""

    above: Math
    below: Math


@dataclass(frozen=True)
class Remainder:
    """``a mod k``."""

    above: Math
    below: Math


@dataclass(frozen=True)
class Chain:
    """Sides joined by equality or another relation: ``a = b = c``."""

    sides: tuple[Math, ...]
    relations: tuple[str, ...] = ()  # "=" throughout where empty


@dataclass(frozen=True)
class Dots:
    """``…``, with what was left out: ``… 780 more``."""

    left_out: int = 0


@dataclass(frozen=True)
class Marked:
    """A part of a formula that is an entry, or plays a role in an index formula.

    Attributes
    ----------
    name
        The entry that this is, ``"x12"``: lit where the entry is.
    part
        What it is in the index formula: lit whenever anything is.
    """

    body: Math
    name: str = ""
    part: Part | None = None


Math: TypeAlias = (
    Word
    | Numeral
    | Symbol
    | Derivative
    | Add
    | Multiply
    | Negative
    | Over
    | Raised
    | Apply
    | Large
    | Condition
    | Floor
    | Remainder
    | Chain
    | Dots
    | Marked
)
