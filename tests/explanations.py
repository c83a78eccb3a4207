"""What the tests of `explain` read out of documents: grids as arrays, formulas as numbers."""

import math
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np

from closedform.explanation.document import (
    Derivation,
    Display,
    Expansions,
    Grid,
    Paragraph,
    Picture,
    Section,
    Strong,
    Table,
    blocks_of,
)
from closedform.explanation.math import (
    Add,
    Apply,
    Condition,
    Derivative,
    Floor,
    Large,
    Marked,
    Multiply,
    Negative,
    Numeral,
    Over,
    Raised,
    Remainder,
    Symbol,
)
from closedform.explanation.rendering.plain import math_text

WORKSHEETS = Path(__file__).resolve().parents[1] / "worksheets"


# ---- parts of a document


def section(document, key):
    """The section of a key."""
    found = [b for b in blocks_of(document.blocks) if isinstance(b, Section) and b.key == key]
    assert len(found) == 1, (key, [b.key for b in blocks_of(document.blocks) if isinstance(b, Section)])
    return found[0]


def keys(document):
    """The keys of all sections, in order."""
    return [b.key for b in blocks_of(document.blocks) if isinstance(b, Section)]


def prose_text(prose):
    """Prose as plain words."""
    return "".join(
        part if isinstance(part, str) else part.text if hasattr(part, "text") else math_text(part)
        for part in prose
    )


def titles(document):
    """The titles of the top sections."""
    return [prose_text(b.title) for b in document.blocks if isinstance(b, Section)]


def of_kind(block, kind):
    """Every block of a kind inside a section."""
    return [b for b in blocks_of(block.blocks) if isinstance(b, kind)]


def paragraphs(block, kind=None):
    """The words of the paragraphs inside a section or document."""
    return [prose_text(b.prose) for b in of_kind(block, Paragraph) if kind is None or b.kind == kind]


def taught(document, key):
    """The name of a gradient."""
    (found,) = paragraphs(section(document, key), "taught")
    return found


def displayed(block):
    """The formulas on lines of their own."""
    return [math_text(b.math) for b in of_kind(block, Display)]


def table(block):
    """The rows of the only table of a section, with head and foot."""
    (found,) = of_kind(block, Table)
    return [[prose_text(cell) for cell in row] for row in (found.head, *found.rows, found.foot) if row]


def groups(block):
    """The arrays of the only picture of a section, each as its grids."""
    (picture,) = of_kind(block, Picture)
    return [item for item in picture.items if not isinstance(item, str)]


def signs(block):
    """The signs between the arrays of the only picture of a section."""
    (picture,) = of_kind(block, Picture)
    return [item for item in picture.items if isinstance(item, str)]


def cells(grid):
    """What the cells of a grid show."""
    return [
        ["…" if c.content is None else "·" if c.kind == "zero" else math_text(c.content) for c in row]
        for row in grid.cells
    ]


def shown(document, key, place=-1):
    """The cells of the grids of one array of a section's picture; the last is the result."""
    return [cells(grid) for grid in groups(section(document, key))[place]]


def values(document, key):
    """The numbers of the result of a section's picture, in row order."""
    return [
        Marked(c.content).body.value
        for grid in groups(section(document, key))[-1]
        for row in grid.cells
        for c in row
    ]


def expansions(document, key):
    """Every entry that is written out, in symbols, by its name."""
    return {one.name: _expanded(one, "symbols") for one in _expansions(document, key)}


def expansions_in_numbers(document, key):
    """Every entry that is written out, in numbers, by its name."""
    return {one.name: _expanded(one, "numbers") for one in _expansions(document, key)}


def _expansions(document, key):
    (found,) = of_kind(section(document, key), Expansions)
    return found.expansions


def _expanded(one, what):
    terms = [(term.sign, math_text(getattr(term, what))) for term in one.terms if getattr(term, what)]
    if one.left_out:
        terms.insert(-1, ("+", f"… {one.left_out} more"))
    if one.function:
        said = f"{one.function}({', '.join(text for _, text in terms)})"
    else:
        said = " ".join(f"{sign} {text}" for sign, text in terms).removeprefix("+ ") or "0"
    factor = one.factor and one.factor[0 if what == "symbols" else 1]
    if factor is not None:
        said = f"{math_text(factor)}·({said})" if len(terms) > 1 else f"{math_text(factor)}·{said}"
    return said


def rules(document, key):
    """The rules of the last derivation of a section: with the network's own sizes."""
    return [step.rule for step in of_kind(section(document, key), Derivation)[-1].steps]


def reasons(document, key):
    """The reasons of the last derivation of a section, by rule."""
    return [
        (step.rule, prose_text(step.reason)) for step in of_kind(section(document, key), Derivation)[-1].steps
    ]


# ---- every piece of mathematics


def parts_of(math_part):
    """A piece of mathematics and everything in it."""
    yield math_part
    for name in getattr(math_part, "__dataclass_fields__", ()):
        value = getattr(math_part, name)
        for each in value if isinstance(value, tuple) else (value,):
            if hasattr(each, "__dataclass_fields__"):
                yield from parts_of(each)


def mathematics(block):
    """Every piece of mathematics of a document or section: formulas, prose, grids and expansions."""
    if isinstance(block, (str, type(None), Strong)):
        return
    if hasattr(block, "__dataclass_fields__"):
        if type(block).__module__.endswith(".math"):
            yield block
            return
        for name in block.__dataclass_fields__:
            yield from mathematics(getattr(block, name))
    elif isinstance(block, (tuple, list)):
        for each in block:
            yield from mathematics(each)


def symbols(block):
    """Every symbol with numbers below, as (letter, above, numbers)."""
    for piece in mathematics(block):
        for part in parts_of(piece):
            if isinstance(part, Symbol) and part.below:
                below = [each.value if isinstance(each, Numeral) else None for each in part.below]
                if None not in below:
                    yield part.letter, part.above, tuple(map(int, below))


# ---- the value of a formula as it is shown


class Reader:
    """Reads formulas with the numbers of arrays, which are counted from `first`; outside is 0.

    Parameters
    ----------
    first
        The number of the first entry.
    arrays
        By the letter, in small letters, with the number above: ``w1``; gradients as ``dw1``.  Axes of one
        entry are left out.
    """

    def __init__(self, first, arrays):
        self.first = first
        self.arrays = {name: np.squeeze(np.asarray(array, object)) for name, array in arrays.items()}

    def line(self, chain):
        """The values of the last side of a line, for every entry of the first."""
        left, right = chain.sides[0], chain.sides[-1]
        indices = [part.letter for part in self._symbol(left).below]
        array = self.arrays[self._name(left)]
        found = np.zeros(array.shape, object)
        for position in np.ndindex(array.shape):
            env = {index: k + self.first for index, k in zip(indices, position, strict=True)}
            value = self.value(right, env)
            found[position] = 0 if value is None else value
        return found

    def _symbol(self, left):
        match left:
            case Marked(body):
                return self._symbol(body)
            case Derivative(_, by):
                return self._symbol(by)
        return left

    def _name(self, part):
        if isinstance(part, Marked):
            return self._name(part.body)
        if isinstance(part, Derivative):
            return "d" + self._name(part.by)
        return part.letter.lower() + part.above

    def value(self, part, env):
        """The number of a part; None where it reads outside."""
        match part:
            case Marked(body):
                return self.value(body, env)
            case Numeral(value):
                return value
            case Symbol(letter, (), "") if letter in env:
                return env[letter]
            case Symbol(_, below):
                return self._entry(self._name(part), below, env)
            case Derivative(_, Marked(by)) | Derivative(_, by):
                return self._entry("d" + self._name(by), by.below, env)
            case Add(terms):
                return sum(self._or_zero(term, env) for term in terms)
            case Negative(argument):
                value = self.value(argument, env)
                return None if value is None else -value
            case Multiply(factors):
                found = [self.value(factor, env) for factor in factors]
                return None if None in found else math.prod(found)
            case Over(above, below):
                top, bottom = self.value(above, env), self.value(below, env)
                return None if top is None or bottom is None else _quotient(top, bottom)
            case Raised(base, exponent):
                value = self.value(base, env)
                return None if value is None else value**exponent
            case Apply(name, (argument,)):
                value = self.value(argument, env)
                return None if value is None else FUNCTIONS[name](value)
            case Floor(above, below):
                return Fraction(self.value(above, env)) // self.value(below, env)
            case Remainder(above, below):
                return Fraction(self.value(above, env)) % self.value(below, env)
            case Condition(sides, relations):
                found = [self.value(side, env) for side in sides]
                pairs = zip(found, found[1:], relations, strict=False)
                return None if None in found else int(all(RELATIONS[r](a, b) for a, b, r in pairs))
            case Large(operation, ranges, body):
                return self._large(operation, ranges, body, env)
        raise AssertionError(part)

    def _or_zero(self, part, env):
        value = self.value(part, env)
        return 0 if value is None else value

    def _entry(self, name, below, env):
        array = self.arrays[name]
        position = [self.value(each, env) for each in below]
        if not array.ndim:  # its axes of one entry are written only where they can be left
            return array[()] if all(k == self.first for k in position) else None
        assert len(position) == array.ndim, (name, position, array.shape)
        place = [k - self.first for k in position]
        if not all(
            Fraction(k).denominator == 1 and 0 <= k < n for k, n in zip(place, array.shape, strict=True)
        ):
            return None
        return array[tuple(map(int, place))]

    def _large(self, operation, ranges, body, env):
        spans = [range(int(r.first.value), int(r.last.value) + 1) for r in ranges]
        found = []
        for numbers in product(*spans):
            inside = {**env, **{r.index: k for r, k in zip(ranges, numbers, strict=True)}}
            found.append((numbers, self.value(body, inside)))
        if operation == "sum":
            return sum(value for _, value in found if value is not None)
        largest = max(value for _, value in found if value is not None)
        if operation == "max":
            return largest
        chosen = next(numbers for numbers, value in found if value == largest)
        return int(tuple(env[r.index] for r in ranges) == chosen)


def _quotient(a, b):
    exact = not isinstance(a, float) and not isinstance(b, float)
    return Fraction(a) / Fraction(b) if exact else a / b


FUNCTIONS = {
    "ReLU": lambda x: max(x, 0),
    "step": lambda x: int(x > 0),
    "exp": lambda x: math.exp(x),
    "log": lambda x: math.log(x),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: math.tanh(x),
    "abs": abs,
    "sqrt": lambda x: math.sqrt(x),
}
RELATIONS = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def grid_headers(block):
    """The row and column numbers of every grid."""
    for picture in of_kind(block, Picture):
        for item in picture.items:
            for grid in item if isinstance(item, tuple) else ():
                assert isinstance(grid, Grid)
                yield grid
