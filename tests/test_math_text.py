"""Mathematics as one line of Unicode, with the brackets that it needs and no others."""

from fractions import Fraction

import pytest

from closedform.explanation.math import (
    Add,
    Apply,
    Chain,
    Condition,
    Derivative,
    Dots,
    Floor,
    Large,
    Marked,
    Multiply,
    Negative,
    Numeral,
    Over,
    Raised,
    Range,
    Remainder,
    Symbol,
    Word,
)
from closedform.explanation.rendering.plain import math_text


def n(value, below=1):
    return Numeral(Fraction(value, below))


def s(letter, *below, above=""):
    return Symbol(
        letter, tuple(n(b) if isinstance(b, int) else s(b) if isinstance(b, str) else b for b in below), above
    )


i, j, u, v, a, b, k = map(s, "ijuvabk")
shifted = Add((i, u, n(-1)))


@pytest.mark.parametrize(
    ("math", "line"),
    [
        (s("x", 1, 2), "x12"),
        (s("x", 1, 12), "x[1,12]"),
        (s("o", "i", "j"), "o[i,j]"),
        (s("x", shifted, Add((j, v, Negative(n(1))))), "x[i + u − 1,j + v − 1]"),
        (s("z", 1, 2, above="1"), "z1[1,2]"),
        (s("Z", above="1"), "Z1"),
        (s("f", "u'", "v'"), "f[u′,v′]"),
        (s("x'", 1, 2), "x′12"),
        (s("W1", 2), "W1[2]"),
        (Derivative(s("L"), s("w", 1, 2)), "∂L/∂w12"),
        (Derivative(Apply("log", (a,)), Add((a, b))), "∂log(a)/∂(a + b)"),
        (Multiply((n(1, 4), n(2))), "1/4·2"),
        (Multiply((n(1), n(-2))), "1·(−2)"),
        (Multiply((n(-1, 4), Negative(a))), "(−1/4)·(−a)"),
        (Multiply((n(1, 4), Add((a, Negative(b))))), "1/4·(a − b)"),
        (Multiply((n(1, 4), Large("sum", (Range("i"), Range("j")), s("o", "i", "j")))), "1/4·Σ[i,j] o[i,j]"),
        (Multiply((Large("max", (Range("u"),), a), b)), "(max[u] a)·b"),
        (Multiply((Condition((i, s("i'")), ("=",)), Condition((j, s("j'")), ("=",)))), "[i = i′][j = j′]"),
        (Multiply((Add((a,)), Multiply((b,)))), "a·b"),
        (Add((n(10), n(-3), Negative(Add((a, b))), Dots(), Dots(780))), "10 − 3 − (a + b) + … + … 780 more"),
        (Add((a, Multiply((n(-2), n(1))))), "a + (−2)·1"),
        (Add((a, Multiply((n(-2), i), dots=False), Multiply((n(-1), j), dots=False))), "a − 2i − j"),
        (Add((Multiply((s("s"), Add((i, n(-1)))), dots=False), u)), "s(i − 1) + u"),
        (Multiply((s("s"), s("i"), n(2)), dots=False), "si·2"),
        (Negative(n(-3)), "−(−3)"),
        (Negative(Multiply((a, b))), "−a·b"),
        (Over(Add((a, b)), Multiply((n(2), k))), "(a + b)/(2·k)"),
        (Over(n(1, 2), n(1, 4)), "(1/2)/(1/4)"),
        (Over(Negative(a), b), "(−a)/b"),
        (Over(n(-3), n(4)), "−3/4"),
        (Raised(Add((a, b)), 2), "(a + b)²"),
        (Raised(n(-2), 10), "(−2)¹⁰"),
        (Raised(Derivative(s("L"), a), -2), "(∂L/∂a)⁻²"),
        (Raised(Apply("sqrt", (a,)), 2), "(√a)²"),
        (Apply("sqrt", (Add((a, b)),)), "√(a + b)"),
        (Apply("abs", (Negative(a),)), "|−a|"),
        (Apply("max", (s("x", 1, 1), n(-1))), "max(x11, −1)"),
        (
            Large("sum", (Range("u", n(1), n(2)), Range("v'", n(1), s("S"))), Add((a, b))),
            "Σ[u=1..2, v′=1..S] (a + b)",
        ),
        (Large("first", (Range("u"), Range("v")), a), "first[u,v] a"),
        (Large("sum", (Range("u", n(1)), Range("v", None, n(3))), a), "Σ[u≥1, v≤3] a"),
        (Condition((n(1), Add((i, u)), n(5)), ("<=", "<")), "[1 ≤ i + u < 5]"),
        (Floor(Add((a, u)), k), "⌊(a + u)/k⌋"),
        (Floor(a, Multiply((n(2), k))), "⌊a/(2·k)⌋"),
        (Add((Remainder(a, Add((k, n(1)))), n(1))), "(a mod (k + 1)) + 1"),
        (Remainder(a, k), "a mod k"),
        (Chain((a, b, n(3))), "a = b = 3"),
        (Chain((a, b), ("!=",)), "a ≠ b"),
        (Chain((s("f"), a, b), ("<-", "≈")), "f ← a ≈ b"),
        (Marked(Multiply((Marked(n(-1), "x11"), a)), part="window"), "(−1)·a"),
        (Add((a, Marked(n(-1), "x11"))), "a − 1"),
        (Word("stride"), "stride"),
        (Add(()), "0"),
        (Multiply(()), "1"),
    ],
)
def test_a_line(math, line):
    assert math_text(math) == line


@pytest.mark.parametrize(
    ("value", "digits", "line"),
    [
        (0.5, 4, "0.5"),
        (-0.0, 4, "0"),
        (-0.123456, 4, "−0.1235"),
        (0.000123456, 4, "0.0001235"),
        (0.0000123456, 2, "1.2·10⁻⁵"),
        (-0.0000999999, 2, "−0.00010"),
        (784.0, 4, "784"),
        (12345.678, 4, "12346"),
        (999999.9, 4, "1.000·10⁶"),
        (-1.25e300, 4, "−1.25·10³⁰⁰"),
        (100.0, 1, "100"),
        (float("nan"), 4, "NaN"),
        (float("-inf"), 4, "−∞"),
    ],
)
def test_a_float_is_rounded_to_significant_digits(value, digits, line):
    assert math_text(Numeral(value, digits)) == line


def test_a_power_of_ten_is_a_product():
    assert math_text(Multiply((Numeral(1.5e-7), n(2)))) == "(1.5·10⁻⁷)·2"
    assert math_text(Add((a, Numeral(-1.5e-7)))) == "a − 1.5·10⁻⁷"
