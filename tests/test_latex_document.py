"""An explanation as LaTeX: what is written, and that pdflatex sets it within the page."""

import re
import shutil
import subprocess
from fractions import Fraction

import pytest
from written_documents import entry, grid, lone, n, odd, s, worked

from closedform.explanation.document import (
    Code,
    Document,
    Expansion,
    Expansions,
    Flow,
    Listing,
    Paragraph,
    Picture,
    Section,
    Station,
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
    Word,
)
from closedform.explanation.rendering.latex import latex_document, latex_fragment, math_latex
from closedform.explanation.rendering.tex_words import words, words_in_mathematics

i, j, u, v, a, b, k = map(s, "ijuvabk")
total = Add(tuple(s("a", k) for k in range(1, 31)))


@pytest.mark.parametrize(
    ("math", "tex"),
    [
        (s("x", 1, 2), "x_{12}"),
        (s("x", 1, 12), "x_{1, 12}"),
        (s("f", "u'", "v'"), "f_{u'v'}"),
        (s("x", Add((i, u, n(-1))), j), "x_{i + u - 1, j}"),
        (s("z'", 1, 2, above="1"), "z'^{(1)}_{12}"),
        (s("W1", "i"), "{W_{1}}_{i}"),
        (s("loss"), r"\mathit{loss}"),
        (s("in_size"), r"\mathit{in\_size}"),
        (s("η", 1), r"\eta _{1}"),
        (s("|i|"), r"\lvert i\rvert"),
        (Derivative(s("L"), s("w", 1, 2)), r"\frac{\partial L}{\partial w_{12}}"),
        (Raised(Derivative(s("L"), a), 2), r"{\left( \frac{\partial L}{\partial a}\right)}^{2}"),
        (Multiply((n(1, 4), n(-2))), r"\frac{1}{4} \cdot (-2)"),
        (Multiply((n(-1, 4), a)), r"\left( -\frac{1}{4}\right) \cdot a"),
        (Multiply((s("s"), Add((i, n(-1)))), dots=False), "s (i - 1)"),
        (Multiply((n(2), n(3)), dots=False), r"2 \cdot 3"),
        (Negative(Add((a, b))), "-(a + b)"),
        (Over(Add((a, b)), n(2)), r"\frac{a + b}{2}"),
        (Apply("relu", (a,)), r"\operatorname{relu}(a)"),
        (Apply("sigmoid", (n(1, 2),)), r"\sigma\left( \frac{1}{2}\right)"),
        (Apply("sqrt", (a,)), r"\sqrt{a}"),
        (Apply("abs", (a,)), r"\left\lvert a\right\rvert"),
        (Apply("max", (a, n(-1))), r"\max(a, -1)"),
        (
            Large("sum", (Range("u", n(1), n(2)), Range("v'", n(1), n(3))), a),
            r"\sum_{u = 1}^{2}\sum_{v' = 1}^{3} a",
        ),
        (Large("sum", (Range("u"), Range("v")), Add((a, b))), r"\sum_{u, v} (a + b)"),
        (Large("max", (Range("u", n(1), n(2)),), a), r"\max_{1 \le u \le 2} a"),
        (Large("first", (Range("u"),), a), r"\mathop{\mathrm{first}}\limits_{u} a"),
        (
            Multiply((Condition((i, s("i'")), ("=",)), Condition((n(1), j, k), ("<=", "<")))),
            r"\lbrack i = i' \rbrack \lbrack 1 \le j < k \rbrack",
        ),
        (Floor(Add((a, b)), k), r"\left\lfloor \frac{a + b}{k}\right\rfloor"),
        (Add((Remainder(a, k), n(1))), r"(a \bmod k) + 1"),
        (Chain((a, b, n(2)), ("<-", "!=")), r"a \leftarrow b \ne 2"),
        (Add((Dots(), Dots(780), a)), r"\ldots + \ldots \text{ 780 more} + a"),
        (Marked(Word("in % of"), "x"), r"\text{in }\%\text{ of}"),
        (Numeral(-1.5e-7), r"-1.5\cdot 10^{-7}"),
        (Numeral(float("-inf")), r"-\infty"),
    ],
)
def test_a_formula(math, tex):
    assert math_latex(math) == tex


def test_long_brackets_and_quotients_can_be_broken():
    assert math_latex(Multiply((n(1, 4), total))).startswith(r"\frac{1}{4} \cdot \bigl( a_{1} + ")
    assert math_latex(Over(total, n(4))).endswith(r"+ a_{30}\bigr) / 4")


def test_a_derivative_among_words_is_no_taller_than_they():
    slope = Derivative(s("L"), s("w", 1, 2))
    paragraph = Paragraph(("The gradient ", slope, " is ", Chain((slope, n(2)))))
    assert r"$\partial L/\partial w_{12}$ is $\frac{\partial L}{" in latex_document(
        Document("T", (paragraph,))
    )


def test_words_are_escaped():
    assert words(r"_%&#${}~^\<>|") == (
        r"\_\%\&\#\$\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
        r"\ensuremath{<}\ensuremath{>}\ensuremath{\vert}"
    )
    assert words("“naïve” – ł, ő, ß …") == r"``na\"{\i}ve'' -- \l{}, \H{o}, \ss{} \ldots{}"
    assert (
        words("3 × η → 中")
        == r"3 \ensuremath{\times} \ensuremath{\eta} \ensuremath{\rightarrow} \texttt{U+4E2D}"
    )


def test_words_inside_mathematics_are_those_of_tex_and_of_mathjax():
    assert words_in_mathematics("2 × é_b") == r"\text{2 }\times \text{ é}\_\text{b}"


def test_a_document():
    tex = latex_document(worked)
    assert tex.endswith("\n\\end{document}\n")
    assert r"{\small\textsf{Sheet C.4 \ensuremath{\cdot} worked solution}\par}" in tex
    assert r"\subsection*{2.1\quad Convolution}" in tex
    assert r"\section*{3\quad Gradient in $O$}" in tex
    assert r"\formula{o_{ij} \allowbreak = \sum_{u = 1}^{2}\sum_{v = 1}^{2} \penalty700 f_{uv} \cdot" in tex
    assert r"\step{rename}{\phantom{\frac{\partial y}{\partial o_{ij}}} \allowbreak = \frac{1}{4}}" in tex
    assert (
        r"\begin{array}{r|c|c|}\multicolumn{1}{c}{} & \multicolumn{1}{c}{{\scriptstyle 1}} & "
        r"\multicolumn{1}{c}{{\scriptstyle 2}}\\ \cline{2-3} {\scriptstyle 1} & 10 & 3 \\ "
        r"\cline{2-3} {\scriptstyle 2} & 9 & 18 \\ \cline{2-3}\end{array}"
    ) in tex
    assert r"& {\color{gray}{0}} \\" in tex
    assert "Grey zeros are those of the border, or put between entries." in tex
    assert r"$X$" in tex
    assert r"$\xrightarrow[\text{filter F, 2 \ensuremath{\times} 2}]{\text{Conv2d}}$" in tex
    assert (
        r"{\small \textit{i} = 1, \textit{j} = 1}\\*[2pt]\hspace*{2em}$\begin{aligned}o_{11} & = "
        r"f_{11} \cdot x_{11} + f_{12} \cdot x_{12} + f_{21} \cdot x_{21} + f_{22} \cdot x_{22} \\ & = "
        r"0 \cdot 2 + 3 \cdot 3 + 1 \cdot 3 + (-2) \cdot 1 \\ & = 10\end{aligned}$"
    ) in tex
    assert "Choose an entry" not in tex
    assert worked.latex() == tex


def test_what_jupyter_shows():
    tex = latex_fragment(Document("T", (Section(("A & ", s("O")), (Expansions((lone,)),), "a"),)))
    assert tex == (
        "$$\n\\Large \\text{T}\n$$\n\n"
        "$$\n\\large \\text{1 }\\text{A }\\&\\text{ }O\n$$\n\n"
        "$$\n\\frac{\\partial L}{\\partial x_{33}} = 0\n$$"
    )
    assert worked._repr_latex_() == latex_fragment(worked)
    array = r"\begin{array}{r|rr} & {\scriptstyle 1} & {\scriptstyle 2} \\ \hline {\scriptstyle 1} & 0 & 3\\ "
    assert array in latex_fragment(worked).replace("  ", " ")


many = Document(
    "Everything that could run off a page " * 3,
    (
        Flow(
            tuple(Station(s("A", above=str(k)), (16, 28, 28), "Conv2d", "filter 3 × 3") for k in range(1, 9))
        ),
        Paragraph(
            ("Code: ", Code("Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"), "."),
            "taught",
        ),
        Paragraph((("one two three " * 40), total, "."), "check"),
        Listing(("Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2] " * 2,)),
        Table(
            (("Gradient",), ("reads",), ("so that",)),
            tuple(
                ((Derivative(s("L"), s("W")),), ("word " * 30,), ("words and more words " * 12,))
                for _ in range(3)
            ),
            (("Network",), ("",), ("12345",)),
            frozenset({2}),
        ),
        Picture(
            ((grid(s("A"), (tuple(Numeral(-0.12345 * c) for c in range(40)),)),), "−", (grid("B", ((1,),)),))
        ),
        Picture(
            (
                tuple(
                    grid(
                        "C",
                        ((Fraction(1, 3), entry(Fraction(2, 7), kind="wrong")),),
                        f"channel {c} of 9, padded",
                    )
                    for c in range(9)
                ),
                "∗",
            )
        ),
        Expansions(
            tuple(
                Expansion(
                    f"p{c}",
                    f"i = {c}",
                    s("p", c),
                    (Term(s("z", c), n(c)), Term(s("b"), n(-1))),
                    value=n(c - 1),
                )
                for c in range(1, 6)
            ),
            columns=3,
        ),
        Expansions(
            (
                Expansion(
                    "m",
                    "i = 1",
                    s("m"),
                    tuple(Term(s("t", c), n(-c)) for c in range(40)),
                    function="max",
                    value=n(0),
                ),
                Expansion(
                    "q",
                    "",
                    s("q"),
                    tuple(Term(s("t", "i", c), Numeral(-0.12345 * c), sign="−") for c in range(40)),
                    factor=(Over(n(1), Multiply((s("|i|"), n(3)))), n(1, 12)),
                    function="relu",
                ),
            )
        ),
    ),
)


@pytest.mark.parametrize("document", [worked, odd, many], ids=["worked", "odd", "many"])
def test_pdflatex_sets_it_within_the_page(document, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("apt install texlive-latex-base to set LaTeX documents")
    (tmp_path / "page.tex").write_text(latex_document(document), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = (tmp_path / "page.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log
    assert re.findall(r"Overfull .hbox.*|.*Warning.*|Missing character.*", log) == []


@pytest.mark.parametrize("document", [worked, odd, many], ids=["worked", "odd", "many"])
def test_only_packages_of_the_smallest_installation_are_used(document):
    assert re.findall(r"\\usepackage.*", latex_document(document)) == [
        r"\usepackage[margin=22mm]{geometry}",
        r"\usepackage{amsmath,amssymb,array,color}",
    ]
