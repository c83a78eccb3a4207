"""Worked solutions written by hand, for the tests of what renders them."""

from fractions import Fraction
from itertools import product

from closedform.explanation.document import (
    Cell,
    Code,
    Derivation,
    Display,
    Document,
    Expansion,
    Expansions,
    Flow,
    Grid,
    Maker,
    Paragraph,
    Picture,
    Scene,
    Section,
    Station,
    Step,
    Strong,
    Table,
    Term,
)
from closedform.explanation.math import (
    Add,
    Chain,
    Condition,
    Derivative,
    Large,
    Marked,
    Multiply,
    Negative,
    Numeral,
    Over,
    Raised,
    Range,
    Symbol,
    Word,
)


def n(value, below=1):
    return Numeral(Fraction(value, below))


def s(letter, *below, above=""):
    names = (
        n(each) if isinstance(each, int) else s(each) if isinstance(each, str) else each for each in below
    )
    return Symbol(letter, tuple(names), above)


def d(by, of="y"):
    return Derivative(s(of) if isinstance(of, str) else of, s(by) if isinstance(by, str) else by)


def times(*factors):
    return Multiply(factors)


def equal(*sides):
    return Chain(sides)


def plus(*terms):
    return Add(terms)


def total(body, *indices):
    return Large("sum", tuple(Range(index) for index in indices), body)


def grid(title, note, cells, label, rows=None, columns=None):
    rows = rows or [str(k + 1) for k in range(len(cells))]
    columns = columns or [str(k + 1) for k in range(len(cells[0]))]
    return Grid((title,), note, tuple(rows), tuple(columns), tuple(map(tuple, cells)), label)


def entries(letter, values, first=1):
    return [
        [Cell(n(value), f"{letter}{i}{j}") for j, value in enumerate(row, first)]
        for i, row in enumerate(values, first)
    ]


X = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]
F = [[0, 3], [1, -2]]
O = [[10, 3], [9, 18]]  # noqa: E741
DF = [[9, 13], [7, 3]]
DX = [[0, 3, 3], [1, 2, 1], [1, -1, -2]]
PAIRS = list(product((1, 2), repeat=2))
i, j, u, v, a, b, one = *map(s, "ijuvab"), n(1)
shifted = s("x", plus(i, u, Negative(one)), plus(j, v, Negative(one)))


def marked(math, name):
    return Marked(math, name)


def _forward():
    made, written = [], []
    for p, q in PAIRS:
        name, value = f"o{p}{q}", O[p - 1][q - 1]
        pairs = [((r, c), (p + r - 1, q + c - 1)) for r, c in PAIRS]
        window = tuple(f"x{r}{c}" for _, (r, c) in pairs)
        weights = tuple(f"f{r}{c}" for (r, c), _ in pairs)
        say = (
            f"{name} = {value}: the window {', '.join(window)} of X, each entry times its weight "
            f"{', '.join(weights)}, added up."
        )
        made.append(Cell(n(value), name, maker=Maker(name, window, weights, f"i = {p}, j = {q}", say)))
        terms = tuple(
            Term(
                times(marked(s("f", *f), f"f{f[0]}{f[1]}"), marked(s("x", *x), f"x{x[0]}{x[1]}")),
                times(
                    marked(n(F[f[0] - 1][f[1] - 1]), f"f{f[0]}{f[1]}"),
                    marked(n(X[x[0] - 1][x[1] - 1]), f"x{x[0]}{x[1]}"),
                ),
                (f"x{x[0]}{x[1]}",),
                (f"f{f[0]}{f[1]}",),
            )
            for f, x in pairs
        )
        written.append(Expansion(name, f"i = {p}, j = {q}", s("o", p, q), terms, value=n(value)))
    rows = [made[:2], made[2:]]
    sums = Large(
        "sum",
        (Range("u", one, n(2)), Range("v", one, n(2))),
        times(part(s("f", "u", "v"), "weight"), part(shifted, "window")),
    )
    return Scene(
        "forward",
        (
            Display(equal(part(s("o", "i", "j"), "result"), sums)),
            Picture(
                (
                    (grid(s("X"), "3 × 3", entries("x", X), "X"),),
                    "∗",
                    (grid(s("F"), "2 × 2", entries("f", F), "F"),),
                    "=",
                    (grid(s("O"), "2 × 2", rows, "O"),),
                )
            ),
            Expansions(tuple(written), 2),
        ),
        "Choose an entry of O to see its window, its weights and its terms.",
    )


def part(math, role):
    return Marked(math, part=role)


def quarters(letter):
    return [[Cell(n(1, 4), f"{letter}{p}{q}") for q in (1, 2)] for p in (1, 2)]


def _by_term(name, at, left, pairs, value):
    """An expansion from pairs of (name, symbol, number) for weights and windows."""
    terms = tuple(
        Term(
            times(marked(weight[1], weight[0]), marked(window[1], window[0])),
            times(marked(weight[2], weight[0]), marked(window[2], window[0])),
            (window[0],),
            (weight[0],),
        )
        for weight, window in pairs
    )
    return Expansion(name, at, left, terms, value=value)


def _gradient_f():
    made, written = [], []
    for r, c in PAIRS:
        name, value = f"df{r}{c}", n(DF[r - 1][c - 1], 4)
        pairs = []
        for p, q in PAIRS:
            x, y = p + r - 1, q + c - 1
            pairs.append(
                ((f"g{p}{q}", d(s("o", p, q)), n(1, 4)), (f"x{x}{y}", s("x", x, y), n(X[x - 1][y - 1])))
            )
        at = f"u = {r}, v = {c}"
        window, weights = tuple(w[0] for _, w in pairs), tuple(g[0] for g, _ in pairs)
        say = f"∂y/∂f{r}{c}: the window {', '.join(window)} of X is what f{r}{c} was multiplied by."
        made.append(Cell(value, name, maker=Maker(name, window, weights, at, say)))
        written.append(_by_term(name, at, d(s("f", r, c)), pairs, value))
    left = d(s("f", "u", "v"))
    bracket = times(
        d(s("o", "i", "j")),
        Condition((u, s("u'")), ("=",)),
        Condition((v, s("v'")), ("=",)),
        s("x", plus(i, s("u'"), Negative(one)), plus(j, s("v'"), Negative(one))),
    )
    steps = (
        Step(
            "chain rule",
            equal(
                part(left, "result"),
                total(times(d(s("o", "i", "j")), d(s("f", "u", "v"), s("o", "i", "j"))), "i", "j"),
            ),
            (s("f", "u", "v"), " acts on ", s("y"), " through every entry of ", s("O"), "."),
        ),
        Step(
            "linearity",
            equal(left, total(total(bracket, "u'", "v'"), "i", "j")),
            (
                s("F"),
                " occurs once, as a factor: its derivative is what it is multiplied by, at the one place "
                "where the subscripts agree.",
            ),
        ),
        Step(
            "rename",
            equal(left, total(times(part(d(s("o", "i", "j")), "weight"), part(shifted, "window")), "i", "j")),
            ("Only the term with ", equal(s("u'"), u), ", ", equal(s("v'"), v), " is left of these sums."),
        ),
    )
    return Scene(
        "gradient-F",
        (
            Derivation(steps),
            Paragraph(
                (
                    "This is the ",
                    Strong("convolution of X with ∂y/∂O"),
                    ": the gradient of the output slides over the input like a filter.",
                ),
                "taught",
            ),
            Picture(
                (
                    (grid(s("X"), "3 × 3", entries("x", X), "X"),),
                    "∗",
                    (grid(d("O"), "2 × 2", quarters("g"), "∂y/∂O"),),
                    "=",
                    (grid(d("F"), "2 × 2", [made[:2], made[2:]], "∂y/∂F"),),
                )
            ),
            Expansions(tuple(written), 2),
        ),
        "Choose an entry of ∂y/∂F to see which entries of X it collects.",
    )


def _gradient_x():
    bordered = [
        [
            Cell(n(1, 4), f"g{p}{q}") if p in (1, 2) and q in (1, 2) else Cell(n(0), f"g{p}{q}", "zero")
            for q in range(4)
        ]
        for p in range(4)
    ]
    rotated = [[Cell(n(F[2 - p][2 - q]), f"f{3 - p}{3 - q}") for q in (1, 2)] for p in (1, 2)]
    made, written = [], []
    for p, q in product((1, 2, 3), repeat=2):
        name, value = f"dx{p}{q}", n(DX[p - 1][q - 1], 4)
        pairs = []
        for r, c in PAIRS:
            x, y = p + r - 2, q + c - 2
            f, g = 3 - r, 3 - c
            if x in (1, 2) and y in (1, 2):
                pairs.append(
                    ((f"f{f}{g}", s("f", f, g), n(F[f - 1][g - 1])), (f"g{x}{y}", d(s("o", x, y)), n(1, 4)))
                )
        window = tuple(f"g{p + r - 2}{q + c - 2}" for r, c in PAIRS)
        weights = tuple(f"f{3 - r}{3 - c}" for r, c in PAIRS)
        at = f"a = {p}, b = {q}"
        say = f"∂y/∂x{p}{q}: the window {', '.join(window)}, zeros included, meets the rotated filter."
        made.append(Cell(value, name, maker=Maker(name, window, weights, at, say)))
        written.append(_by_term(name, at, d(s("x", p, q)), pairs, value))
    left = d(s("x", "a", "b"))
    up, vp = s("u'"), s("v'")
    low = s("o", plus(a, Negative(u), one), plus(b, Negative(v), one))
    high = s("o", plus(a, up, Negative(n(2))), plus(b, vp, Negative(n(2))))
    end = (
        Condition((a, plus(i, u, Negative(one))), ("=",)),
        Condition((b, plus(j, v, Negative(one))), ("=",)),
    )
    steps = (
        Step(
            "chain rule",
            equal(left, total(times(d(s("o", "i", "j")), d(s("x", "a", "b"), s("o", "i", "j"))), "i", "j")),
            (s("x", "a", "b"), " acts on ", s("y"), " through every entry of ", s("O"), "."),
        ),
        Step(
            "linearity",
            equal(left, total(total(times(d(s("o", "i", "j")), s("f", "u", "v"), *end), "u", "v"), "i", "j")),
            (s("X"), " occurs once, as a factor."),
        ),
        Step(
            "solve",
            equal(left, total(times(s("f", "u", "v"), d(low)), "u", "v")),
            ("The brackets are solved: ", equal(i, plus(a, Negative(u), one)), "."),
        ),
        Step(
            "rename",
            equal(
                part(left, "result"),
                total(
                    times(
                        part(s("f", plus(n(3), Negative(up)), plus(n(3), Negative(vp))), "weight"),
                        part(d(high), "window"),
                    ),
                    "u'",
                    "v'",
                ),
            ),
            ("Count the filter from its other end: ", equal(u, plus(n(3), Negative(up))), "."),
        ),
    )
    return Scene(
        "gradient-X",
        (
            Derivation(steps),
            Paragraph(
                ("This is the ", Strong("full convolution of ∂y/∂O with F rotated by 180°"), "."), "taught"
            ),
            Picture(
                (
                    (
                        grid(
                            d("O"),
                            "one zero around",
                            bordered,
                            "∂y/∂O with one zero around",
                            list("0123"),
                            list("0123"),
                        ),
                    ),
                    "∗",
                    (
                        Grid(
                            (s("F"), " rotated by 180°"),
                            "2 × 2",
                            ("2", "1"),
                            ("2", "1"),
                            tuple(map(tuple, rotated)),
                            "F rotated",
                        ),
                    ),
                    "=",
                    (grid(d("X"), "3 × 3", [made[:3], made[3:6], made[6:]], "∂y/∂X"),),
                )
            ),
            Expansions(tuple(written), 3),
        ),
        "Choose an entry of ∂y/∂X to see its window and its weights.",
    )


def _plain(rows):
    return [[Cell(each) for each in row] for row in rows]


def sheet_c4():
    """The worked solution of sheet C.4: a convolution and a global average."""
    word = Word
    size = equal(
        word("out"),
        plus(Over(plus(word("in"), Negative(word("filter"))), word("stride")), one),
        plus(Over(plus(n(3), Negative(n(2))), one), one),
        n(2),
    )
    general = Large(
        "sum",
        (Range("u", one, s("R")), Range("v", one, s("S"))),
        times(
            s("f", "u", "v"),
            s(
                "x",
                plus(Multiply((s("s"), plus(i, Negative(one))), False), u),
                plus(Multiply((s("s"), plus(j, Negative(one))), False), v),
            ),
        ),
    )
    sums = Large("sum", (Range("i", one, n(2)), Range("j", one, n(2))), s("o", "i", "j"))
    average = equal(
        s("y"),
        times(Over(one, times(n(2), n(2))), sums),
        times(n(1, 4), plus(*(s("o", p, q) for p, q in PAIRS))),
        times(n(1, 4), plus(n(10), n(3), n(9), n(18))),
        Over(n(40), n(4)),
        n(10),
    )
    f = s("f", "u", "v")
    after = [[n(-9, 40), n(107, 40)], [n(33, 40), n(-83, 40)]]
    squares = plus(*(Raised(n(k), 2) for k in (9, 13, 7, 3)))
    return Document(
        "A convolution and a global average, forward and backward",
        (
            Paragraph(
                (
                    "A 3 × 3 input meets a 2 × 2 filter; the four results are averaged. From the numbers "
                    "on the sheet "
                    "to every gradient, each step with its reason, in exact fractions.",
                ),
                "lead",
            ),
            Paragraph(
                (
                    "“Convolution” means cross-correlation on this page, as in every "
                    "deep-learning library: the filter "
                    "is not flipped. Indices count from 1.",
                ),
                "note",
            ),
            Flow(
                (
                    Station(s("X"), (3, 3), "Conv2d", "filter F, 2 × 2"),
                    Station(s("O"), (2, 2), "GlobalAvgPool", "mean of 4"),
                    Station(s("y"), ()),
                )
            ),
            Section(
                ("Sizes and parameters",),
                (
                    Paragraph(
                        (
                            "The filter is laid on the input wherever it fits whole. "
                            "Without padding, and for rows "
                            "and columns alike:",
                        )
                    ),
                    Display(size),
                    Table(
                        (("Layer",), ("Input",), ("Output",), ("Parameters",)),
                        (
                            (("Conv2d",), ("3 × 3",), ("2 × 2",), ("2 · 2 · 1 · 1 = 4",)),
                            (("GlobalAvgPool",), ("2 × 2",), ("1",), ("0",)),
                        ),
                        (("Network",), ("3 × 3",), ("1",), ("4",)),
                        frozenset({3}),
                    ),
                    Paragraph(("2 rows · 2 columns · 1 channel in · 1 channel out; no bias.",), "note"),
                ),
                "sizes",
            ),
            Section(
                ("Forward",),
                (
                    Section(
                        ("Convolution",),
                        (
                            Paragraph(
                                (
                                    "In general, with a filter of ",
                                    s("R"),
                                    " × ",
                                    s("S"),
                                    " and stride ",
                                    s("s"),
                                    ", an entry of the output is the sum of a window of ",
                                    s("X"),
                                    ", each entry times its weight:",
                                )
                            ),
                            Display(equal(s("o", "i", "j"), general)),
                            Paragraph(
                                (
                                    "To the library this layer is one line, counted from 0: ",
                                    Code("O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]"),
                                    ". All that follows is derived from it.",
                                ),
                                "note",
                            ),
                            Paragraph(
                                ("Here ", equal(s("R"), s("S"), n(2)), " and ", equal(s("s"), one), ":")
                            ),
                            _forward(),
                        ),
                        "forward-conv",
                    ),
                    Section(("Global average",), (Display(average),), "forward-pool"),
                ),
                "forward-pass",
            ),
            Section(
                ("Backward",),
                (
                    Section(
                        ("Gradient in ", s("O")),
                        (
                            Derivation(
                                (
                                    Step(
                                        "linearity",
                                        equal(
                                            d(s("o", "i", "j")),
                                            times(
                                                n(1, 4),
                                                total(
                                                    times(
                                                        Condition((i, s("i'")), ("=",)),
                                                        Condition((j, s("j'")), ("=",)),
                                                    ),
                                                    "i'",
                                                    "j'",
                                                ),
                                            ),
                                        ),
                                        (
                                            s("O"),
                                            " occurs once, as a factor: its derivative is "
                                            "what it is multiplied "
                                            "by, at the one place where the subscripts agree.",
                                        ),
                                    ),
                                    Step(
                                        "rename",
                                        equal(d(s("o", "i", "j")), n(1, 4)),
                                        (
                                            "Only the term with ",
                                            equal(s("i'"), i),
                                            ", ",
                                            equal(s("j'"), j),
                                            " is left of these sums: all four entries weigh the same.",
                                        ),
                                    ),
                                )
                            ),
                            Picture(((grid(d("O"), "2 × 2", quarters("g"), "∂y/∂O"),),)),
                        ),
                        "grad-O",
                    ),
                    Section(("Gradient in ", s("F")), (_gradient_f(),), "grad-F"),
                    Section(("Gradient in ", s("X")), (_gradient_x(),), "grad-X"),
                ),
                "backward",
            ),
            Section(
                ("What had to be kept",),
                (
                    Paragraph(("Whatever the derived formulas still read must survive the forward pass.",)),
                    Table(
                        (("Gradient",), ("reads",), ("so that",)),
                        (
                            ((d("O"),), ("nothing",), ("the pool keeps only its size, 2 · 2",)),
                            ((d("F"),), (s("X"),), ("the 9 entries of the input are kept",)),
                            ((d("X"),), (s("F"),), ("a parameter, at hand in any case",)),
                        ),
                    ),
                ),
                "kept",
            ),
            Section(
                ("One step of gradient descent",),
                (
                    Paragraph(
                        (
                            "With ",
                            s("y"),
                            " itself as the loss and the learning rate ",
                            equal(s("eta"), n(1, 10)),
                            ":",
                        )
                    ),
                    Display(Chain((f, plus(f, Negative(times(s("eta"), d(f))))), ("<-",))),
                    Picture(
                        (
                            (grid(s("F"), "before", _plain([list(map(n, row)) for row in F]), "F before"),),
                            "− 1/10 ·",
                            (
                                grid(
                                    d("F"),
                                    "section 3.2",
                                    _plain([[n(k, 4) for k in row] for row in DF]),
                                    "∂y/∂F",
                                ),
                            ),
                            "=",
                            (grid(s("F"), "after", _plain(after), "F after"),),
                        )
                    ),
                    Display(
                        equal(
                            s("y"),
                            plus(n(10), Negative(times(n(1, 10), Over(squares, n(16))))),
                            plus(n(10), n(-77, 40)),
                            n(323, 40),
                        )
                    ),
                ),
                "descent",
            ),
            Section(
                ("Numerical check",),
                (
                    Paragraph(
                        (
                            Strong("✓ 13 of 13 partial derivatives agree"),
                            " with central differences. Largest difference: ",
                            Numeral(1.7e-12, 2),
                            ".",
                        ),
                        "check",
                    ),
                ),
                "check",
            ),
        ),
        "Sheet C.4 · worked solution",
    )
