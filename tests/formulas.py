"""Random formulas, built from the inside with the constructors of the tree."""

from fractions import Fraction

from hypothesis import strategies as st

from closedform.formula.subscripts import Polynomial, floor_divide, remainder
from closedform.formula.tree import (
    FIRST,
    FUNCTIONS,
    MAX,
    SUM,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    free_names,
    minus,
    negative,
    number,
    plus,
    power,
    reduce,
    times,
)

ON_LEFT = ("n", "i", "j")
SUMMED = ("u", "v", "u'", "w2")
SETTINGS = ("s", "t1", "k", "gain")
# every tensor has the same number of subscripts wherever it is read
RANKS = {"X": 2, "W": 3, "b": 1, "dY": 2, "X_2": 1, "hidden": 2}

whole = st.integers(-4, 4)
fractions = st.builds(Fraction, st.integers(-9, 9), st.integers(1, 6))
settings = st.sampled_from([Polynomial.of(name) for name in SETTINGS])
extents = st.sampled_from([Polynomial.of(f"|{name}|") for name in ("n", "u", "X.1", "W.0")])


def _sum_of(parts: list[Polynomial]) -> Polynomial:
    return sum(parts, Polynomial({}))


# what may multiply or divide an index
weights = st.one_of(
    st.integers(1, 4).map(Polynomial.of),
    settings,
    extents,
    st.tuples(settings, extents).map(lambda pair: pair[0] * pair[1]),
    settings.map(lambda setting: setting**2),
)


@st.composite
def subscripts(draw: st.DrawFn, scope: tuple[str, ...]) -> Polynomial:
    """A subscript of the indices in scope: affine, mixed-radix, a quotient, rounded or a remainder."""
    terms = [
        draw(weights) * draw(st.sampled_from([1, 1, -1])) * draw(st.sampled_from(scope))
        if draw(st.booleans())
        else Polynomial.of(draw(st.sampled_from(scope)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    form = draw(st.sampled_from(["bare", "affine", "affine", "quotient", "floor", "modulo", "mixed"]))
    if form == "bare":
        return Polynomial.of(draw(st.sampled_from(scope)))
    affine = _sum_of(terms) + draw(whole) - draw(weights) * draw(st.integers(0, 1))
    divisor = draw(weights)
    if form == "quotient":
        return (_sum_of(terms) + draw(settings)) / divisor
    if form == "floor":
        return floor_divide(affine, divisor)
    if form == "modulo":
        return remainder(affine, divisor) - draw(st.sampled_from([0, 1])) * Polynomial.of(scope[0])
    if form == "mixed":
        return Polynomial.of(scope[0]) - divisor * floor_divide(affine, divisor) + remainder(affine, divisor)
    return affine


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    """A number: a fraction, or sums and quotients of settings and extents."""
    value = Polynomial.of(draw(fractions))
    for part in draw(st.lists(st.one_of(settings, extents, weights), max_size=2)):
        combine = draw(st.sampled_from(["+", "-", "*", "/", "//", "%"]))
        if combine == "+":
            value = value + part
        elif combine == "-":
            value = value - part
        elif combine == "*":
            value = value * part
        elif combine == "/":
            value = value / part
        else:
            value = (floor_divide if combine == "//" else remainder)(value, part)
    return Number(value)


@st.composite
def entries(draw: st.DrawFn, scope: tuple[str, ...]) -> Access:
    """One entry of a tensor."""
    tensor = draw(st.sampled_from(sorted(RANKS)))
    return Access(tensor, tuple(draw(subscripts(scope)) for _ in range(RANKS[tensor])))


@st.composite
def brackets(draw: st.DrawFn, scope: tuple[str, ...], depth: int) -> Bracket:
    """A comparison of subscripts or of values, of two or three sides."""
    of_subscripts = draw(st.booleans())
    side = subscripts(scope).map(Number) if of_subscripts else expressions(scope, depth)
    sides = draw(st.lists(side, min_size=2, max_size=3))
    relations = [draw(st.sampled_from(["=", "<", "<=", "!="])) for _ in sides[1:]]
    return Bracket(tuple(sides), tuple(relations))


@st.composite
def reductions(draw: st.DrawFn, scope: tuple[str, ...], depth: int) -> Expression:
    """A sum, a maximum or a first maximum whose indices occur in what follows."""
    operation = draw(st.sampled_from([SUM, SUM, MAX, FIRST]))
    fresh = scope if operation == FIRST else tuple(name for name in SUMMED if name not in scope)
    if not fresh:
        return draw(entries(scope))
    names = draw(st.lists(st.sampled_from(fresh), min_size=1, max_size=2, unique=True))
    inner = scope if operation == FIRST else scope + tuple(names)
    body = draw(expressions(inner, depth))
    missing = [name for name in names if name not in free_names(body)]
    if missing:
        body = times(body, *[Access("b", (Polynomial.of(name),)) for name in missing])
    names = [name for name in names if name in free_names(body)]
    return reduce(operation, names, body)


@st.composite
def expressions(draw: st.DrawFn, scope: tuple[str, ...], depth: int) -> Expression:
    """Any expression whose indices are in scope."""
    leaves = ["entry", "entry", "number", "setting", "jacobian"]
    inner = ["plus", "minus", "times", "times", "quotient", "power", "function", "reduce", "bracket"]
    kind = draw(st.sampled_from(leaves if depth == 0 else leaves[:2] + inner))
    part = expressions(scope, depth - 1)
    match kind:
        case "number":
            return draw(numbers())
        case "setting":
            return number(draw(settings))
        case "jacobian":
            scalar = draw(st.booleans())
            return Jacobian(Access("L", ()) if scalar else draw(entries(scope)), draw(entries(scope)))
        case "plus":
            return plus(*draw(st.lists(part, min_size=2, max_size=3)))
        case "minus":
            return draw(st.sampled_from([minus, lambda a, b: negative(plus(a, b))]))(draw(part), draw(part))
        case "times":
            return times(*draw(st.lists(part, min_size=2, max_size=3)))
        case "quotient":
            below = draw(part)
            return times(draw(part), power(below, -1)) if below != number(0) else below
        case "power":
            base = draw(part)
            return power(base, draw(st.sampled_from([-2, -1, 2, 3]))) if base != number(0) else base
        case "function":
            return Function(draw(st.sampled_from(FUNCTIONS)), draw(part))
        case "reduce":
            return draw(reductions(scope, depth - 1))
        case "bracket":
            return draw(brackets(scope, depth - 1))
        case _:
            return draw(entries(scope))


@st.composite
def equations(draw: st.DrawFn) -> Equation:
    """A formula whose left side has indices, digits, or nothing."""
    i, j, n = (Polynomial.of(name) for name in ("i", "j", "n"))
    left, scope = draw(
        st.sampled_from(
            [
                (Access("Y", (n, i, j)), ON_LEFT),
                (Access("Y", (n, Polynomial.of("|j|") * i + j)), ON_LEFT),
                (Access("dX", (i,)), ("i",)),
            ]
        )
    )
    return Equation(left, draw(expressions(scope, draw(st.integers(0, 3)))))
