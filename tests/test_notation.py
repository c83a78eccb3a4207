"""What is printed can be read again, and says the same in LaTeX."""

import re

import pytest
from formulas import equations
from hypothesis import given, settings

from closedform.formula.notation import latex, subscript_latex, subscript_text, text
from closedform.formula.subscripts import Polynomial, floor_divide, remainder
from closedform.formula.syntax import parse
from closedform.formula.tree import (
    Access,
    Equation,
    Function,
    Jacobian,
    Reduce,
    minus,
    negative,
    number,
    plus,
    power,
    times,
)

a, i, k, s, u, extent = (Polynomial.of(name) for name in ("a", "i", "k", "s", "u", "|u|"))
X, W = Access("X", (i,)), Access("W", (i,))
sum_of_w = Reduce("sum", ("u",), Access("W", (u,)))


@settings(max_examples=200)
@given(equations())
def test_what_is_printed_can_be_read_again(equation):
    assert parse(text(equation)) == equation


def test_terms_keep_the_order_in_which_they_were_written():
    assert text(parse("Y[i] = sum[u] X[u+s*i]")) == "Y[i] = sum[u] X[u+s*i]"
    assert text(parse("Y[i] = sum[u] X[s*i+u]")) == "Y[i] = sum[u] X[s*i+u]"


@given(equations())
def test_the_latex_of_any_formula_is_balanced(equation):
    check_latex(latex(equation))


@pytest.mark.parametrize(
    ("value", "in_text", "in_latex"),
    [
        (Polynomial.of(0), "0", "0"),
        (Polynomial.of(-3), "-3", "-3"),
        (s * i + u - 1, "s*i+u-1", r"s\,i+u-1"),
        (-i + 1, "1-i", "1-i"),
        (-i - 1, "-i-1", "-i-1"),
        (2 * extent * i, "2*|u|*i", r"2\,\lvert u\rvert\,i"),
        (Polynomial.of("|X2.1|"), "|X2.1|", r"\lvert X_{2}.1\rvert"),
        ((a + k - u) / s, "(a+k-u)/s", r"\frac{a+k-u}{s}"),
        (a / (2 * s), "a/(2*s)", r"\frac{a}{2\,s}"),
        (i / s + u / k, "(k*i+s*u)/(k*s)", r"\frac{k\,i+s\,u}{k\,s}"),
        (k**-2, "1/k^2", r"\frac{1}{k^{2}}"),
        (floor_divide(a, k), "a//k", r"\left\lfloor a/k\right\rfloor"),
        (floor_divide(a + 1, 2 * k), "(a+1)//(2*k)",
         r"\left\lfloor \left(a+1\right)/\left(2\,k\right)\right\rfloor"),
        (floor_divide(-a, k), "(-a)//k", r"\left\lfloor \left(-a\right)/k\right\rfloor"),
        (-floor_divide(a, k), "-(a//k)", r"-\left\lfloor a/k\right\rfloor"),
        (a - s * floor_divide(a, s), "a-s*(a//s)", r"a-s\,\left\lfloor a/s\right\rfloor"),
        (floor_divide(a, k) / s, "(a//k)/s", r"\frac{\left\lfloor a/k\right\rfloor}{s}"),
        (a / floor_divide(k, s), "a/(k//s)", r"\frac{a}{\left\lfloor k/s\right\rfloor}"),
        (remainder(a, k), "a % k", r"a \bmod k"),
        (remainder(a + 1, k) + 1, "((a+1) % k)+1", r"\left(\left(a+1\right) \bmod k\right)+1"),
        (2 * remainder(a, k), "2*(a % k)", r"2\,\left(a \bmod k\right)"),
        (Polynomial.of("i'"), "i'", "i'"),
        (Polynomial.of("t1"), "t1", "t_{1}"),
        (Polynomial.of("t_12"), "t_12", "t_{12}"),
        (Polynomial.of("gain"), "gain", r"\mathit{gain}"),
        (Polynomial.of("a_b2c"), "a_b2c", r"\mathit{a\_b2c}"),
        (Polynomial.of("_"), "_", r"\mathit{\_}"),
    ],
)  # fmt: skip
def test_a_subscript_is_written(value, in_text, in_latex):
    assert subscript_text(value, ["a", "i", "u"]) == in_text
    assert subscript_latex(value, ["a", "i", "u"]) == in_latex
    assert parse(f"Y[a,i,u,i'] = X[{in_text}]").right == Access("X", (value,))


@pytest.mark.parametrize(
    ("expression", "in_text", "in_latex"),
    [
        (negative(X), "-X[i]", "-X_{i}"),
        (minus(X, plus(W, number(2))), "X[i] - 2 - W[i]", "X_{i} - 2 - W_{i}"),
        (times(X, plus(W, X)), "X[i] * (W[i] + X[i])", r"X_{i}\,\left(W_{i} + X_{i}\right)"),
        (times(number(-1), X, plus(W, X)), "-X[i] * (W[i] + X[i])", r"-X_{i}\,\left(W_{i} + X_{i}\right)"),
        (times(number(s + 1), X), "(s+1) * X[i]", r"\left(s+1\right)\,X_{i}"),
        (times(number(remainder(s, k)), X), "s % k * X[i]", r"\left(s \bmod k\right)\,X_{i}"),
        (plus(number(s - 1), X), "s-1 + X[i]", "s-1 + X_{i}"),
        (times(X, power(W, -1)), "X[i] / W[i]", r"\frac{X_{i}}{W_{i}}"),
        (power(plus(X, W), -2), "1 / (X[i] + W[i])^2", r"\frac{1}{\left(X_{i} + W_{i}\right)^{2}}"),
        (times(X, power(times(W, X), -1)), "X[i] / W[i] / X[i]", r"\frac{X_{i}}{W_{i}\,X_{i}}"),
        (power(number(s + 1), -2), "1 / (s^2+2*s+1)", r"\frac{1}{s^{2}+2\,s+1}"),
        (times(sum_of_w, X), "(sum[u] W[u]) * X[i]", r"\left(\sum_{u} W_{u}\right)\,X_{i}"),
        (times(X, sum_of_w), "X[i] * sum[u] W[u]", r"X_{i}\,\sum_{u} W_{u}"),
        (times(X, power(sum_of_w, -1)), "X[i] / sum[u] W[u]", r"\frac{X_{i}}{\sum_{u} W_{u}}"),
        (times(power(sum_of_w, -1), power(X, -1)), "1 / (sum[u] W[u]) / X[i]",
         r"\frac{1}{\left(\sum_{u} W_{u}\right)\,X_{i}}"),
        (plus(sum_of_w, X), "sum[u] W[u] + X[i]", r"\sum_{u} W_{u} + X_{i}"),
        (Reduce("sum", ("u",), plus(Access("W", (u,)), X)), "sum[u] (W[u] + X[i])",
         r"\sum_{u} \left(W_{u} + X_{i}\right)"),
        (power(sum_of_w, 2), "(sum[u] W[u])^2", r"\left(\sum_{u} W_{u}\right)^{2}"),
        (power(X, 2), "X[i]^2", "{X_{i}}^{2}"),
        (power(Access("dX", (i,)), 2), "dX[i]^2", r"\left(\frac{\partial L}{\partial X_{i}}\right)^{2}"),
        (power(Jacobian(Access("Y", (i,)), X), 2), "(∂Y[i]/∂X[i])^2",
         r"\left(\frac{\partial Y_{i}}{\partial X_{i}}\right)^{2}"),
        (Access("X2", (i,)), "X2[i]", "{X_{2}}_{i}"),
        (Access("dX2", (i,)), "dX2[i]", r"\frac{\partial L}{\partial {X_{2}}_{i}}"),
        (Access("db", (i,)), "db[i]", r"\frac{\partial L}{\partial b_{i}}"),
        (Access("data", (i,)), "data[i]", r"\mathit{data}_{i}"),
        (Function("sqrt", plus(X, W)), "sqrt(X[i] + W[i])", r"\sqrt{X_{i} + W_{i}}"),
        (Function("abs", X), "abs(X[i])", r"\left\lvert X_{i}\right\rvert"),
        (Function("sigmoid", negative(X)), "sigmoid(-X[i])", r"\sigma\left(-X_{i}\right)"),
        (Function("relu", X), "relu(X[i])", r"\operatorname{relu}\left(X_{i}\right)"),
    ],
)  # fmt: skip
def test_an_expression_has_the_brackets_that_it_needs(expression, in_text, in_latex):
    assert text(expression) == in_text
    assert latex(expression) == in_latex
    left = Access("Y", (i,))
    assert parse(f"Y[i] = {in_text}") == Equation(left, expression)


@pytest.mark.parametrize(
    ("line", "in_latex"),
    [
        (
            "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+d*u-t,s*j+d*v-t]",
            r"Y_{n,q,i,j} = b_{q} + \sum_{p,u,v} W_{q,p,u,v}\,X_{n,p,s\,i+d\,u-t,s\,j+d\,v-t}",
        ),
        (
            "Y[n,|q|*g+q,i] = b[|q|*g+q] + sum[p,u] W[|q|*g+q,p,u] * X[n,|p|*g+p,s1*i+u-t1]",
            r"Y_{n,\lvert q\rvert\,g+q,i} = b_{\lvert q\rvert\,g+q} + \sum_{p,u} W_{\lvert q\rvert\,g+q,p,u}"
            r"\,X_{n,\lvert p\rvert\,g+p,s_{1}\,i+u-t_{1}}",
        ),
        (
            "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]",
            r"Y_{n,c,i,j} = \frac{1}{\lvert u\rvert\,\lvert v\rvert}\,\sum_{u,v} X_{n,c,s\,i+u-t,s\,j+v-t}",
        ),
        (
            "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]",
            r"Y_{n,c,i,j} = \max_{u,v} X_{n,c,s\,i+u-t,s\,j+v-t}",
        ),
        (
            "M[n,i,u] = first[u] X[n,i+u]",
            r"M_{n,i,u} = \operatorname*{first}_{u} X_{n,i+u}",
        ),
        (
            "Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])",
            r"Y_{n,k} = \frac{\exp\left(X_{n,k}\right)}{\sum_{m} \exp\left(X_{n,m}\right)}",
        ),
        (
            "L = -1/|n| * sum[n,k] T[n,k] * log(P[n,k])",
            r"L = -\frac{1}{\lvert n\rvert}\,\sum_{n,k} T_{n,k}\,\log\left(P_{n,k}\right)",
        ),
        (
            "dX[n,p,a] = sum[q,u] dY[n,q,(a+t-u)/s] * W[q,p,u]",
            r"\frac{\partial L}{\partial X_{n,p,a}} = "
            r"\sum_{q,u} \frac{\partial L}{\partial Y_{n,q,\frac{a+t-u}{s}}}\,W_{q,p,u}",
        ),
        (
            "dX[a] = 1/k^2 * dY[a//k]",
            r"\frac{\partial L}{\partial X_{a}} = "
            r"\frac{1}{k^{2}}\,\frac{\partial L}{\partial Y_{\left\lfloor a/k\right\rfloor}}",
        ),
        (
            "dX[a] = sum[n',i] dY[n',i] * [a = i'] * ∂Y[n',i]/∂X[a]",
            r"\frac{\partial L}{\partial X_{a}} = \sum_{n',i} \frac{\partial L}{\partial Y_{n',i}}\,"
            r"\left[a = i'\right]\,\frac{\partial Y_{n',i}}{\partial X_{a}}",
        ),
        (
            "R[i] = [0 <= i-t < |X.0|] * [X[i] != 0] - 0.5*tanh(-X[i])^2",
            r"R_{i} = \left[0 \le i-t < \lvert X.0\rvert\right]\,\left[X_{i} \ne 0\right]"
            r" - \frac{1}{2}\,\tanh\left(-X_{i}\right)^{2}",
        ),
        (
            "Y[i] = (X[i] - mean[i]) / sqrt(var[i] + eps)",
            r"Y_{i} = \frac{X_{i} - \mathit{mean}_{i}}{\sqrt{\mathit{eps} + \mathit{var}_{i}}}",
        ),
    ],
)
def test_the_latex_of(line, in_latex):
    equation = parse(line)
    assert equation.latex() == in_latex
    assert equation._repr_latex_() == f"$\\displaystyle {in_latex}$"
    check_latex(in_latex)


@pytest.mark.parametrize(
    "broken",
    [
        *(r"\frac{1}{2", r"\frac{1}", r"X_{i}}", r"\left(X_{i}\right)\right)", r"\left(X_{i\right)}"),
        *(
            r"\left(X_{i}\right]",
            r"X_{i}_{j}",
            r"X^{2}^{3}",
            r"a'^{2}^{3}",
            r"X'_{i}^{2}",
            r"\foo{X}",
            "a & b",
        ),
    ],
)
def test_the_checker_of_latex_sees(broken):
    with pytest.raises(AssertionError):
        check_latex(broken)


COMMANDS = {
    *("\\,", "\\_", "\\partial", "\\sum", "\\max", "\\exp", "\\log", "\\tanh", "\\sigma", "\\bmod"),
    *("\\le", "\\ne", "\\lvert", "\\rvert"),
}
GROUPS_AFTER = {"\\frac": 2, "\\sqrt": 1, "\\mathit": 1, "\\operatorname": 1, "\\operatorname*": 1}
CLOSED_BY = {"(": ")", "[": "]", "\\lfloor": "\\rfloor", "\\lvert": "\\rvert"}


def check_latex(written: str) -> None:
    """Read the part of TeX's grammar that is used: groups, fences, fractions, an index and a power each."""
    tokens = [*re.findall(r"\\[A-Za-z]+\*?|\\.|[^\\\s]", written), "end"]
    assert read_row(tokens, 0) == len(tokens) - 1, written


def read_row(tokens: list[str], at: int) -> int:
    """The place after everything up to a closing sign; a symbol's scripts follow it."""
    while tokens[at] not in ("}", "\\right", "end"):
        at = read_symbol(tokens, at)
        scripts = ""
        while tokens[at] in ("_", "^", "'"):
            # primes are a power, which one more may follow at once
            is_after_prime = tokens[at] == "^" and tokens[at - 1] == "'"
            assert tokens[at] == "'" or tokens[at] not in scripts or is_after_prime, tokens
            scripts += tokens[at].replace("'", "^")
            at = at + 1 if tokens[at] == "'" else read_group(tokens, at + 1)
    return at


def read_symbol(tokens: list[str], at: int) -> int:
    token = tokens[at]
    if token == "{":
        return read_group(tokens, at)
    if token == "\\left":
        closer = CLOSED_BY[tokens[at + 1]]
        at = read_row(tokens, at + 2)
        assert tokens[at : at + 2] == ["\\right", closer], tokens
        return at + 2
    if token in GROUPS_AFTER:
        at += 1
        for _ in range(GROUPS_AFTER[token]):
            at = read_group(tokens, at)
        return at
    assert token in COMMANDS or re.fullmatch(r"[\w+\-=<.,/()']", token), token
    return at + 1


def read_group(tokens: list[str], at: int) -> int:
    assert tokens[at] == "{", tokens
    at = read_row(tokens, at + 1)
    assert tokens[at] == "}", tokens
    return at + 1
