"""An explanation in a terminal: what stands there, and that it never outgrows its columns."""

import pytest
from written_documents import (
    activated,
    average,
    elided,
    gapped,
    grid,
    lone,
    long_steps,
    maximum,
    n,
    odd,
    output_expansion,
    row_vector,
    s,
    thirty,
    worked,
)
from written_documents import channel as channel_of

from closedform.explanation.document import (
    Cell,
    Code,
    Display,
    Document,
    Expansion,
    Expansions,
    Flow,
    Grid,
    Paragraph,
    Picture,
    Section,
    Station,
    Table,
    Term,
)
from closedform.explanation.math import Add, Chain, Negative, Symbol
from closedform.explanation.rendering.columns import columns
from closedform.explanation.rendering.plain import plain_text

WORKED = """\
Sheet C.4 · worked solution
A convolution and a global average
══════════════════════════════════

A 3 × 3 input meets a 2 × 2 filter; the four results are averaged. From the numbers on the sheet to
every gradient, each step with its reason, in exact fractions.

│ The filter is not flipped. Indices count from 1.

X (3×3) → Conv2d: filter F, 2 × 2 → O (2×2) → GlobalAvgPool: mean of 4 → y


1  Sizes and parameters
───────────────────────

    out = (in − filter)/stride + 1 = 2

Layer     Input   Parameters
────────────────────────────
Conv2d    3 × 3      2·2 = 4
Pool      2 × 2            0
────────────────────────────
Network   3 × 3            4


2  Forward
──────────

2.1  Convolution
┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄

│ One line: `O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]`, from X.

    O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]
      y = 1

    o[i,j] = Σ[u=1..2, v=1..2] f[u,v]·x[i + u − 1,j + v − 1]

    X                   F               O
    3 × 3               2 × 2           2 × 2
      │ 1   2   3         │ 1   2         │  1   2
    ──┼──────────       ──┼──────       ──┼───────
    1 │ 2   3   4   ∗   1 │ 0   3   =   1 │ 10   3
    2 │ 3   1   5       2 │ 1  −2       2 │  9  18
    3 │ 4  −1  −2

    i = 1, j = 1
      o11 = f11·x11 + f12·x12 + f21·x21 + f22·x22
          =   0·2   +   3·3   +   1·3   +  (−2)·1
          = 10

    i = 1, j = 2
      o12 = f11·x12 + f12·x13 + f21·x22 + f22·x23
          =   0·3   +   3·4   +   1·1   +  (−2)·5
          = 3

    i = 2, j = 1
      o21 = f11·x21 + f12·x22 + f21·x31 +  f22·x32
          =   0·3   +   3·1   +   1·4   + (−2)·(−1)
          = 9

    i = 2, j = 2
      o22 = f11·x22 + f12·x23 + f21·x32 +  f22·x33
          =   0·1   +   3·5   +  1·(−1) + (−2)·(−2)
          = 18


3  Gradient in O
────────────────

linearity  ∂y/∂o[i,j] = 1/4·Σ[i′,j′] [i = i′][j = j′]  O occurs once, as a factor: its derivative is
                                                       what it is multiplied by.
rename                = 1/4                            Only the term with i′ = i is left of these
                                                       sums.

    ∂y/∂O
    one zero around: 4 × 4
      │ 1    2    3  4
    ──┼───────────────
    1 │ ·    ·    ·  ·
    2 │ ·  1/4  1/4  ·
    3 │ ·  1/4  1/4  ·
    4 │ ·    ·    ·  ·

    · is a zero of the border, or one put between entries.

┃ This is the full convolution."""


def shown(*blocks, width=100):
    """The text of blocks, without the title above them."""
    text = plain_text(Document("T", blocks), width)
    assert text.startswith("T\n═\n\n")
    return text[len("T\n═\n\n") :]


def test_a_worked_solution():
    assert plain_text(worked) == WORKED
    assert str(worked) == worked.text() == WORKED


@pytest.mark.parametrize("document", [worked, odd], ids=["worked", "odd"])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 133])
def test_no_line_is_wider_than_asked_or_ends_in_a_space(document, width):
    lines = plain_text(document, width).split("\n")
    assert [line for line in lines if columns(line) > width or line != line.rstrip()] == []


def test_a_word_that_cannot_be_broken_is_wider():
    assert shown(Paragraph(("a " + "x" * 30 + " b",)), width=20) == "a\n" + "x" * 30 + "\nb"


def test_columns_are_those_of_a_terminal():
    assert [columns(line) for line in ("abc", "∂L/∂W′", "中文", "e\u0301")] == [3, 6, 4, 1]
    assert shown(Paragraph(("中文 中文 ab",)), width=9) == "中文 中文\nab"


def test_channels_gaps_marks_and_a_row_vector():
    picture = Picture((tuple(channel_of(c) for c in (1, 2, 3)), "∗", (gapped,), "=", (row_vector,)))
    assert (
        shown(picture)
        == """\
    x1                    x1                    x1                        W
    channel 1 of 3        channel 2 of 3        channel 3 of 3            28 × 28
      │    1          2     │    1          2     │    1          2          │   1  2         28
    ──┼────────────────   ──┼────────────────   ──┼────────────────       ───┼──────────────────
    1 │  1      −0.1235   1 │  2      −0.1235   1 │  3      −0.1235   ∗    1 │ 1    2  …    28
    2 │ 12.5  1.23·10⁻⁵   2 │ 12.5  1.23·10⁻⁵   2 │ 12.5  1.23·10⁻⁵        2 │ 4 ✗  5  …  17/4 ✓
                                                                             │ ⋮    ⋮  ⋱     ⋮
                                                                          28 │ 0    8  …  −784

        b
        3
        1     2  3
        ──────────
    =   1  −1/2  3"""
    )


def test_real_zeros_are_told_from_those_of_the_border():
    cells = ((Cell(n(0), kind="zero"), Cell(n(0))),)
    picture = Picture(((Grid(("Z",), "", ("",), ("0", "1"), cells, "Z"),),))
    assert (
        shown(picture)
        == """\
    Z
    0  1
    ────
    ·  0

    · is a zero of the border, or one put between entries."""
    )


def test_a_scalar_is_a_number():
    assert (
        shown(Picture(((Grid((s("y"),), "1", ("",), ("",), ((Cell(n(10)),),), "y"),),)))
        == """\
    y
    1
    10"""
    )


def test_signs_and_numbers_stand_in_the_middle():
    number = Grid((s("y"),), "", ("",), ("",), ((Cell(n(10)),),), "y")
    assert (
        shown(Picture(((grid(s("O"), ((10, 3), (9, 18))),), "→", (number,))))
        == """\
    O
    2 × 2            y
      │  1   2
    ──┼───────
    1 │ 10   3   →   10
    2 │  9  18"""
    )
    assert (
        shown(Picture(((number,), "=", (number,))))
        == """\
    y        y
    10   =   10"""
    )


def test_a_grid_wider_than_the_terminal_is_shown_in_parts():
    assert (
        shown(Picture(((grid(s("A"), (tuple(range(100, 106)),)),),)), width=24)
        == """\
    A
    1 × 6
      │   1    2    3
    ──┼──────────────
    1 │ 100  101  102

    A
    1 × 6
      │   4    5    6
    ──┼──────────────
    1 │ 103  104  105"""
    )


def test_entries_written_out():
    assert (
        shown(Expansions((elided, maximum, average, activated, lone), left_out=780))
        == """\
    k = 2
      z2 =  b2  + w21·x1 + … 782 more − w[2,784]·x[784]
         = −0.5 + (−2)·1 +      …     −       3·1
         = −5.5

    m11 = max(t11, t12, t21, t22)
        = max(  0,  −3,   8,   5)
        = 8

    y = 1/(|i|·|j|)·(o11 +  o12 + o21 + o22)
      =         1/4·( 10 + (−3) +  9  +  18)
      = 17/2

    a = relu(s·z)
      = relu(2·(−3))
      = 0

    ∂L/∂x33 = 0

    … and 780 more in the same way."""
    )


def test_entries_stand_side_by_side_where_there_is_room():
    four = tuple(output_expansion(i, j) for i in (1, 2) for j in (1, 2))
    assert (
        shown(Expansions(four, columns=2), width=110)
        == """\
    i = 1, j = 1                                       i = 1, j = 2
      o11 = f11·x11 + f12·x12 + f21·x21 + f22·x22        o12 = f11·x12 + f12·x13 + f21·x22 + f22·x23
          =   0·2   +   3·3   +   1·3   +  (−2)·1            =   0·3   +   3·4   +   1·1   +  (−2)·5
          = 10                                               = 3

    i = 2, j = 1                                       i = 2, j = 2
      o21 = f11·x21 + f12·x22 + f21·x31 +  f22·x32       o22 = f11·x22 + f12·x23 + f21·x32 +  f22·x33
          =   0·3   +   3·1   +   1·4   + (−2)·(−1)          =   0·1   +   3·5   +  1·(−1) + (−2)·(−2)
          = 9                                                = 18"""
    )


def test_thirty_terms():
    assert (
        shown(Expansions((thirty,)))
        == """\
    k = 1
      z1 =       w11·x1    +     w12·x2    +     w13·x3    +     w14·x4    +     w15·x5
           +     w16·x6    +     w17·x7    +     w18·x8    +     w19·x9    + w[1,10]·x[10]
           + w[1,11]·x[11] + w[1,12]·x[12] + w[1,13]·x[13] + w[1,14]·x[14] + w[1,15]·x[15]
           + w[1,16]·x[16] + w[1,17]·x[17] + w[1,18]·x[18] + w[1,19]·x[19] + w[1,20]·x[20]
           + w[1,21]·x[21] + w[1,22]·x[22] + w[1,23]·x[23] + w[1,24]·x[24] + w[1,25]·x[25]
           + w[1,26]·x[26] + w[1,27]·x[27] + w[1,28]·x[28] + w[1,29]·x[29] + w[1,30]·x[30]
         =      (−1)·1/7   +    (−2)·2/7   +    (−3)·3/7   +    (−4)·4/7   +    (−5)·5/7
           +    (−6)·6/7   +     (−7)·1    +    (−8)·8/7   +    (−9)·9/7   +   (−10)·10/7
           +   (−11)·11/7  +   (−12)·12/7  +   (−13)·13/7  +    (−14)·2    +   (−15)·15/7
           +   (−16)·16/7  +   (−17)·17/7  +   (−18)·18/7  +   (−19)·19/7  +   (−20)·20/7
           +    (−21)·3    +   (−22)·22/7  +   (−23)·23/7  +   (−24)·24/7  +   (−25)·25/7
           +   (−26)·26/7  +   (−27)·27/7  +    (−28)·4    +   (−29)·29/7  +   (−30)·30/7
         = −9455/7"""
    )


def test_a_number_that_is_its_own_expansion_is_written_once():
    same = Expansion("r11", "", s("r", 1, 1), (Term(s("z", 1, 1), n(5)),), value=n(5))
    symbols = Expansion("r11", "", s("r", 1, 1), (Term(s("z", 1, 1), None, sign="−"), Term(s("b"), None)))
    assert (
        shown(Expansions((same, symbols)))
        == """\
    r11 = z11
        = 5

    r11 = −z11 + b"""
    )


def test_a_derivation_whose_formulas_are_long():
    assert (
        shown(long_steps)
        == """\
chain rule  ∂L/∂W1[q,p,u,v] = Σ[n=1..8, i=1..26, j=1..26, u′=1..3, v′=1..3] ∂L/∂h1[n,q,i,j]·[u = u′]
                              [v = v′][1 ≤ i + u′ ≤ 28]·x[n,p,i + u′ − 1,j + v′ − 1]
                                               It acts on the loss through every entry of the
                                               output, of every image and at every place.
rename                      = ∂L/∂h1[n,q,i,j]  One term is left."""
    )
    assert (
        shown(long_steps, width=60)
        == """\
chain rule  ∂L/∂W1[q,p,u,v] = Σ[n=1..8, i=1..26, j=1..26,
                              u′=1..3, v′=1..3]
                              ∂L/∂h1[n,q,i,j]·[u = u′]
                              [v = v′][1 ≤ i + u′ ≤ 28]·
                              x[n,p,i + u′ − 1,j + v′ − 1]
                          It acts on the loss through every
                          entry of the output, of every
                          image and at every place.
rename                      = ∂L/∂h1[n,q,i,j]
                          One term is left."""
    )


def test_a_sum_is_broken_before_its_operators():
    total = Add((Negative(s("a")), *(s("a", k) for k in range(1, 9))))
    assert (
        shown(Display(Chain((s("y"), total, n(1), n(2)))), width=24)
        == """\
    y = −a + a1 + a2
        + a3 + a4 + a5
        + a6 + a7 + a8
      = 1 = 2"""
    )


def test_the_data_flow_is_wrapped_at_its_arrows():
    stations = [Station(Symbol("A", above=str(k)), (3, 28, 28), "Conv2d", "3 × 3") for k in range(3)]
    assert (
        shown(Flow((*stations, Station(s("y"), (10,)))), width=50)
        == """\
A0 (3×28×28) → Conv2d: 3 × 3 → A1 (3×28×28)
  → Conv2d: 3 × 3 → A2 (3×28×28)
  → Conv2d: 3 × 3 → y (10)"""
    )


def test_a_table_wraps_its_words_and_becomes_a_list_where_even_they_are_too_wide():
    table = Table(
        (("Layer",), ("What is kept",)),
        ((("Conv2d",), ("the nine entries of the input",)), ((Code("Dense"),), ("nothing",))),
        numeric=frozenset({1}),
    )
    assert (
        shown(table, width=30)
        == """\
Layer             What is kept
──────────────────────────────
Conv2d     the nine entries of
                     the input
`Dense`                nothing"""
    )
    assert (
        shown(table, width=12)
        == """\
Layer:
  Conv2d
  What is
    kept:
    the nine
    entries
    of the
    input

Layer:
  `Dense`
  What is
    kept:
    nothing"""
    )


def test_sections_are_numbered_and_sizes_keep_together():
    inner = Section(("Inner of 2 × 2",), (), "c")
    text = plain_text(Document("T", (Section(("A",), (Section(("B",), (inner,), "b"),), "a"),)), 14)
    assert (
        text
        == """\
T
═


1  A
────

1.1  B
┄┄┄┄┄┄

1.1.1  Inner
       of
       2 × 2"""
    )
