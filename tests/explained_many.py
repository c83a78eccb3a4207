"""A worked solution written by hand that has what sheet C.4 lacks."""

from fractions import Fraction

from explained import PAIRS, a, b, equal, grid, i, j, marked, n, part, plus, s, times, total, u, v

from closedform.explanation.document import (
    Cell,
    Code,
    Display,
    Document,
    Expansion,
    Expansions,
    Flow,
    Grid,
    Listing,
    Maker,
    Picture,
    Scene,
    Section,
    Station,
    Term,
)
from closedform.explanation.math import (
    Apply,
    Chain,
    Dots,
    Floor,
    Large,
    Multiply,
    Numeral,
    Over,
    Raised,
    Range,
    Remainder,
    Word,
)


def _strided():
    """Two channels and a bias, stride 2: one map of the output, a part of it written out."""
    value = {(c, p, q): Fraction(c * p - q, 2) for c in (1, 2) for p in range(1, 6) for q in range(1, 6)}
    kernel = {(c, r, t): Fraction((-1) ** (r + t), c) for c in (1, 2) for r in (1, 2) for t in (1, 2)}
    image = tuple(
        grid(
            s("X"),
            f"channel {c} of 2",
            [[Cell(Numeral(value[c, p, q]), f"x{c}_{p}_{q}") for q in range(1, 6)] for p in range(1, 6)],
            f"X, channel {c}",
        )
        for c in (1, 2)
    )
    filters = tuple(
        grid(
            s("W"),
            f"channel {c} of 2",
            [[Cell(Numeral(kernel[c, r, t]), f"w{c}_{r}_{t}") for t in (1, 2)] for r in (1, 2)],
            f"W, channel {c}",
        )
        for c in (1, 2)
    )
    made, written = [], []
    for p, q in PAIRS:
        name, at = f"z{p}_{q}", f"i = {p}, j = {q}"
        reads = [((c, r, t), (c, 2 * p + r - 2, 2 * q + t - 2)) for c in (1, 2) for r, t in PAIRS]
        result = sum((kernel[w] * value[x] for w, x in reads), Fraction(-1, 3))
        terms = [
            Term(
                times(
                    marked(s("w", *w, above="1"), "w{}_{}_{}".format(*w)),
                    marked(s("x", *x), "x{}_{}_{}".format(*x)),
                ),
                times(
                    marked(Numeral(kernel[w]), "w{}_{}_{}".format(*w)),
                    marked(Numeral(value[x]), "x{}_{}_{}".format(*x)),
                ),
                ("x{}_{}_{}".format(*x),),
                ("w{}_{}_{}".format(*w),),
            )
            for w, x in reads
        ]
        terms.append(Term(marked(s("b", 1), "b1"), marked(n(1, 3), "b1"), (), ("b1",), "−"))
        maker = Maker(
            name,
            tuple("x{}_{}_{}".format(*x) for _, x in reads),
            (*("w{}_{}_{}".format(*w) for w, _ in reads), "b1"),
            at,
            f"{name}: eight products and the bias.",
        )
        made.append(Cell(Numeral(result), name, maker=maker))
        written.append(Expansion(name, at, s("z", p, q, above="1"), tuple(terms), value=Numeral(result)))
    taken = Floor(plus(a, u), n(2))
    formula = equal(
        part(s("z", "i", "j", above="1"), "result"),
        plus(
            Large(
                "sum",
                (Range("c"), Range("u"), Range("v")),
                times(
                    part(s("w", "c", "u", "v", above="1"), "weight"),
                    part(
                        s("x", "c", plus(Multiply((n(2), i), False), u), plus(Multiply((n(2), j), False), v)),
                        "window",
                    ),
                ),
            ),
            part(s("b", 1), "weight"),
        ),
        times(taken, Remainder(a, n(2))),
    )
    return Scene(
        "strided",
        (
            Display(formula),
            Picture(
                (
                    image,
                    "∗",
                    filters,
                    "+",
                    (Grid((s("b"),), "1", ("",), ("",), ((Cell(n(-1, 3), "b1"),),), "b"),),
                    "=",
                    (grid(s("Z", above="1"), "2 × 2", [made[:2], made[2:]], "Z1"),),
                )
            ),
            Expansions(tuple(written), 2, left_out=12),
        ),
        "Choose an entry of Z1.",
    )


def _pooled():
    """A maximum, an average with a factor, and entries left out."""
    numbers = [[Numeral(0.1234567 * (p + 1) - q) for q in range(4)] for p in range(2)]
    image = [
        [
            *(Cell(numbers[p][q], f"h{p}{q}") for q in range(4)),
            Cell(None, kind="gap"),
            Cell(Numeral(-12.5), f"h{p}9"),
        ]
        for p in range(2)
    ]
    names = ("h00", "h01", "h10", "h11")
    symbols = [s("h", 0, 0), s("h", 0, 1), s("h", 1, 0), s("h", 1, 1)]
    shown = [numbers[0][0], numbers[0][1], numbers[1][0], numbers[1][1]]
    terms = tuple(
        Term(marked(symbol, name), marked(number, name), (name,))
        for symbol, number, name in zip(symbols, shown, names, strict=True)
    )
    maker = Maker("m11", names, (), "i = 1, j = 1", "m11 is the largest of its window.")
    mean = Maker("a1", (*names, "h09", "h19"), (), "i = 1", "a1 is the mean of all entries.")
    written = (
        Expansion("m11", "i = 1, j = 1", s("m", 1, 1), terms, function="max", value=Numeral(0.2469134)),
        Expansion(
            "a1",
            "i = 1",
            s("a", 1),
            terms,
            factor=(Over(n(1), s("N")), n(1, 784)),
            left_out=780,
            value=Numeral(-1.5e-7),
        ),
        Expansion(
            "r1",
            "i = 1",
            s("r", 1),
            (Term(s("a", 1), Numeral(-1.5e-7), ("a1",)),),
            function="relu",
            value=n(0),
        ),
        Expansion("q1", "", s("q", 1), ()),
    )
    claims = [
        [
            Cell(n(10), kind="right"),
            Cell(n(4), kind="wrong"),
            Cell(Word("?"), maker=Maker("q1", (), (), "1", "?")),
        ]
    ]
    return Scene(
        "pooled",
        (
            Display(
                equal(
                    s("m", "i", "j"),
                    Large("max", (Range("u"), Range("v")), part(s("h", "u", "v"), "window")),
                    Apply("max", (s("h", 0, 0), s("h", 0, 1), Dots())),
                    Apply("sqrt", (plus(a, Raised(b, 2)),)),
                    Apply("sigma", (Apply("abs", (a,)),)),
                )
            ),
            Picture(
                (
                    (
                        grid(s("H"), "2 of 28 rows", image, "H", ["1", "2"], ["1", "2", "3", "4", "", "28"]),
                        grid(
                            s("H"),
                            "example 2",
                            [*image[:1], [Cell(None, kind="gap")] * 6],
                            "H, example 2",
                            ["1", ""],
                            ["1", "2", "3", "4", "", "28"],
                        ),
                    ),
                    "→",
                    (grid(s("M"), "1 × 1", [[Cell(Numeral(0.2469134), "m11", maker=maker)]], "M"),),
                    (grid(s("A"), "1", [[Cell(Numeral(-1.5e-7), "a1", maker=mean)]], "A"),),
                    (grid(s("C"), "claimed", claims, "C, claimed", [""], ["1", "2", "3"]),),
                )
            ),
            Expansions(written, 3),
        ),
        "Choose an entry of M.",
    )


HOSTILE = "<b>R&D \"x\" 'y'</b>"


def many_sided():
    """What sheet C.4 lacks: channels, a batch, a stride, gaps, maxima, long sums, hostile names."""
    shapes = [(1, 28, 28), (6, 24, 24), (6, 12, 12), (16, 8, 8), (256,), (10,)]
    stations = [
        Station(s("H", above=str(k)), shape, f"Conv2d {HOSTILE}", "5 × 5") for k, shape in enumerate(shapes)
    ]
    long_sum = plus(*(times(s("w", 3, k), s("x", k)) for k in range(1, 30)), Dots(780), s("b", 3))
    return Document(
        f"Many sides of {HOSTILE}",
        (
            Flow((*stations, Station(s("L"), ()))),
            Section(
                ("Formulas of ", Code(HOSTILE), HOSTILE),
                (
                    Display(equal(s("z", 3), long_sum)),
                    Display(
                        Chain(
                            (
                                s("p", "k'"),
                                Over(Apply("exp", (s("z", "k"),)), total(Apply("exp", (s("z", "l"),)), "l")),
                            )
                        )
                    ),
                    Listing((f"Z[i] = sum[j] W[i,j] * X[j]  # {HOSTILE}", "L = -log(P[k])" + " * 1" * 40)),
                ),
                "formulas",
            ),
            Section(("Stride, channels, bias",), (_strided(),), "z1_1"),
            Section(("Maximum and mean",), (_pooled(),), "maximum"),
            Section(
                ("Again",), (Section(("Deeper",), (Section(("Deepest",), (_strided(),), "l3"),), "l2"),), "l1"
            ),
        ),
    )
