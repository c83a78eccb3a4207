"""Small documents made by hand: what every format has to show."""

from fractions import Fraction

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
    Listing,
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
    Apply,
    Chain,
    Condition,
    Derivative,
    Dots,
    Large,
    Marked,
    Multiply,
    Negative,
    Numeral,
    Over,
    Range,
    Symbol,
    Word,
)


def n(value, below=1):
    return Numeral(Fraction(value, below))


def s(letter, *below, above=""):
    inside = (n(b) if isinstance(b, int) else s(b) if isinstance(b, str) else b for b in below)
    return Symbol(letter, tuple(inside), above)


def entry(value, name="", kind="entry", maker=None):
    is_number = isinstance(value, int | Fraction)
    return Cell(n(value) if is_number else value, name, kind, maker)


def grid(title, values, note="", rows=None, columns=None):
    """A grid of numbers, or of cells."""
    cells = tuple(tuple(v if isinstance(v, Cell) else entry(v) for v in row) for row in values)
    return Grid(
        (title,),
        note or f"{len(cells)} × {len(cells[0])}",
        rows or tuple(str(r + 1) for r in range(len(cells))),
        columns or tuple(str(c + 1) for c in range(len(cells[0]))),
        cells,
        label="plain words",
    )


X, F, out = s("X"), s("F"), s("O")
image = ((2, 3, 4), (3, 1, 5), (4, -1, -2))
kernel = ((0, 3), (1, -2))


def output_term(i, j, u, v):
    weight, pixel = kernel[u - 1][v - 1], image[i + u - 2][j + v - 2]
    return Term(
        Multiply((Marked(s("f", u, v), f"f{u}{v}"), Marked(s("x", i + u - 1, j + v - 1)))),
        Multiply((n(weight), n(pixel))),
    )


def output_expansion(i, j):
    terms = tuple(output_term(i, j, u, v) for u in (1, 2) for v in (1, 2))
    value = {(1, 1): 10, (1, 2): 3, (2, 1): 9, (2, 2): 18}[i, j]
    return Expansion(f"o{i}{j}", f"i = {i}, j = {j}", s("o", i, j), terms, value=n(value))


shifted = s("x", Add((s("i"), s("u"), n(-1))), Add((s("j"), s("v"), n(-1))))
window = Large(
    "sum",
    (Range("u", n(1), n(2)), Range("v", n(1), n(2))),
    Multiply((Marked(s("f", "u", "v"), part="weight"), Marked(shifted, part="window"))),
)
slope = Derivative(s("y"), s("o", "i", "j"))
makers = Maker("o11", ("x11",), ("f11",), "i = 1, j = 1", "One sentence.")
padded_gradient = tuple(
    tuple(entry(Fraction(1, 4)) if r in (1, 2) and c in (1, 2) else entry(0, kind="zero") for c in range(4))
    for r in range(4)
)

worked = Document(
    "A convolution and a global average",
    (
        Paragraph(
            (
                "A 3 × 3 input meets a 2 × 2 filter; the four results are averaged. From the numbers on the "
                "sheet to every gradient, each step with its reason, in exact fractions.",
            ),
            "lead",
        ),
        Paragraph(("The filter is not flipped. Indices count from 1.",), "note"),
        Flow(
            (
                Station(X, (3, 3), "Conv2d", "filter F, 2 × 2"),
                Station(out, (2, 2), "GlobalAvgPool", "mean of 4"),
                Station(s("y"), ()),
            )
        ),
        Section(
            ("Sizes and parameters",),
            (
                Display(
                    Chain(
                        (
                            Word("out"),
                            Add((Over(Add((Word("in"), Negative(Word("filter")))), Word("stride")), n(1))),
                            n(2),
                        )
                    )
                ),
                Table(
                    (("Layer",), ("Input",), ("Parameters",)),
                    (
                        (("Conv2d",), ("3 × 3",), (Chain((Multiply((n(2), n(2))), n(4))),)),
                        (("Pool",), ("2 × 2",), ("0",)),
                    ),
                    (("Network",), ("3 × 3",), ("4",)),
                    frozenset({2}),
                ),
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
                            ("One line: ", Code("O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]"), ", from ", X, "."),
                            "note",
                        ),
                        Listing(("O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]", "  y = 1")),
                        Scene(
                            "o",
                            (
                                Display(Chain((Marked(s("o", "i", "j"), part="result"), window))),
                                Picture(
                                    (
                                        (grid(X, image),),
                                        "∗",
                                        (grid(F, kernel),),
                                        "=",
                                        (grid(out, ((entry(10, "o11", maker=makers), 3), (9, 18))),),
                                    )
                                ),
                                Expansions(
                                    tuple(output_expansion(i, j) for i in (1, 2) for j in (1, 2)), columns=2
                                ),
                            ),
                            "Choose an entry of O.",
                        ),
                    ),
                    "convolution",
                ),
            ),
            "forward",
        ),
        Section(
            ("Gradient in ", out),
            (
                Derivation(
                    (
                        Step(
                            "linearity",
                            Chain(
                                (
                                    slope,
                                    Multiply(
                                        (
                                            n(1, 4),
                                            Large(
                                                "sum",
                                                (Range("i'"), Range("j'")),
                                                Multiply(
                                                    (
                                                        Condition((s("i"), s("i'")), ("=",)),
                                                        Condition((s("j"), s("j'")), ("=",)),
                                                    )
                                                ),
                                            ),
                                        )
                                    ),
                                )
                            ),
                            (out, " occurs once, as a factor: its derivative is what it is multiplied by."),
                        ),
                        Step(
                            "rename",
                            Chain((slope, n(1, 4))),
                            (
                                "Only the term with ",
                                Chain((s("i'"), s("i"))),
                                " is left of these sums.",
                            ),
                        ),
                    )
                ),
                Picture(((grid(Derivative(s("y"), out), padded_gradient, "one zero around: 4 × 4"),),)),
                Paragraph(("This is the ", Strong("full convolution"), "."), "taught"),
            ),
            "gradient-O",
        ),
    ),
    over="Sheet C.4 · worked solution",
)

long_sum = Add(tuple(Multiply((s("w", 1, k), s("x", k))) for k in range(1, 31)))
gradient = Derivative(s("L"), s("h", "n", "q", "i", "j", above="1"))
long_steps = Derivation(
    (
        Step(
            "chain rule",
            Chain(
                (
                    Derivative(s("L"), s("W", "q", "p", "u", "v", above="1")),
                    Large(
                        "sum",
                        (
                            Range("n", n(1), n(8)),
                            Range("i", n(1), n(26)),
                            Range("j", n(1), n(26)),
                            Range("u'", n(1), n(3)),
                            Range("v'", n(1), n(3)),
                        ),
                        Multiply(
                            (
                                gradient,
                                Condition((s("u"), s("u'")), ("=",)),
                                Condition((s("v"), s("v'")), ("=",)),
                                Condition((n(1), Add((s("i"), s("u'"))), n(28)), ("<=", "<=")),
                                s(
                                    "x",
                                    "n",
                                    "p",
                                    Add((s("i"), s("u'"), n(-1))),
                                    Add((s("j"), s("v'"), n(-1))),
                                ),
                            )
                        ),
                    ),
                )
            ),
            ("It acts on the loss through every entry of the output, of every image and at every place.",),
        ),
        Step(
            "rename",
            Chain((Derivative(s("L"), s("W", "q", "p", "u", "v", above="1")), gradient)),
            ("One term is left.",),
        ),
    )
)


def channel(number):
    values = ((number, Numeral(-0.12345)), (Numeral(12.5), Numeral(0.0000123)))
    cells = tuple(tuple(v if isinstance(v, Cell) else entry(v) for v in row) for row in values)
    return grid(s("x", above="1"), cells, f"channel {number} of 3")


gapped = grid(
    s("W"),
    (
        (1, 2, entry(None, kind="gap"), 28),
        (entry(4, kind="wrong"), 5, entry(None, kind="gap"), entry(Fraction(17, 4), kind="right")),
        tuple(entry(None, kind="gap") for _ in range(4)),
        (0, 8, entry(None, kind="gap"), -784),
    ),
    "28 × 28",
    ("1", "2", "", "28"),
    ("1", "2", "", "28"),
)
row_vector = grid(s("b"), ((1, Fraction(-1, 2), 3),), "3", rows=("",))
wide = grid(s("A"), (tuple(range(100, 140)), tuple(range(40))))

thirty = Expansion(
    "z1",
    "k = 1",
    s("z", 1),
    tuple(Term(Multiply((s("w", 1, k), s("x", k))), Multiply((n(-k), n(k, 7)))) for k in range(1, 31)),
    value=n(-9455, 7),
)
elided = Expansion(
    "z2",
    "k = 2",
    s("z", 2),
    (
        Term(s("b", 2), Numeral(-0.5)),
        Term(Multiply((s("w", 2, 1), s("x", 1))), Multiply((n(-2), n(1)))),
        Term(Multiply((s("w", 2, 784), s("x", 784))), Multiply((n(3), n(1))), sign="−"),
    ),
    left_out=782,
    value=Numeral(-5.5),
)
maximum = Expansion(
    "m11",
    "",
    s("m", 1, 1),
    tuple(Term(s("t", r, c), n(value)) for r, c, value in ((1, 1, 0), (1, 2, -3), (2, 1, 8), (2, 2, 5))),
    function="max",
    value=n(8),
)
average = Expansion(
    "y",
    "",
    s("y"),
    tuple(Term(s("o", r, c), n(value)) for r, c, value in ((1, 1, 10), (1, 2, -3), (2, 1, 9), (2, 2, 18))),
    factor=(Over(n(1), Multiply((s("|i|"), s("|j|")))), n(1, 4)),
    value=n(34, 4),
)
activated = Expansion(
    "a", "", s("a"), (Term(s("z"), n(-3)),), factor=(s("s"), n(2)), function="relu", value=n(0)
)
lone = Expansion("c", "", Derivative(s("L"), s("x", 3, 3)), (), value=n(0))

odd = Document(
    "Escapes: _ % & # $ { } ~ ^ \\ < > * ` [x] | é ł ß … “q” → ∂ σ 中",
    (
        Paragraph(("All of _a_ 50% & #1 $5 {b} ~c ^d \\e <f> *g* `h` [i](j) k|l m-n 2 × 2 ≤ 3 − η.",)),
        Paragraph(("# not a title",)),
        Paragraph(("1. not a list, and ", Code("a_b|c`d{e}\\f"), " is code.")),
        Listing(("W[q,p,u,v] = X_1 \\ {} % # ~ ^ ` $x$ <b>", "    indented")),
        Table((("a|b",), ("c",)), (((Code("x|y"),), (Apply("abs", (s("z"),)),)),)),
        Section(
            ("Channels & gaps",),
            (
                Picture((tuple(channel(c) for c in (1, 2, 3)), "∗", (gapped,), "=", (row_vector,))),
                Picture(((wide,),)),
                Expansions((thirty, elided, maximum, average, activated, lone), left_out=780),
            ),
            "channels",
        ),
        Section(
            ("Long formulas",),
            (
                long_steps,
                Display(
                    Chain((s("z", 1), long_sum, Multiply((n(1, 4), long_sum)), Over(long_sum, n(4)), n(7)))
                ),
                Display(Add((s("a"), Dots(), Dots(780), s("b")))),
                Paragraph(("A long sum in prose: ", Chain((s("z", 1), long_sum)), ", and words after it.")),
            ),
            "long formulas!",
        ),
    ),
)
