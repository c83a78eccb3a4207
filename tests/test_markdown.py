"""An explanation as Markdown: formulas between dollars, grids as tables, and no word taken for markup."""

import pytest
from markdown_it import MarkdownIt
from written_documents import activated, elided, gapped, grid, long_steps, n, odd, row_vector, s, worked

from closedform.explanation.document import (
    Cell,
    Code,
    Display,
    Document,
    Expansions,
    Flow,
    Grid,
    Listing,
    Paragraph,
    Picture,
    Section,
    Station,
    Strong,
    Table,
)
from closedform.explanation.math import Apply, Chain
from closedform.explanation.rendering.markdown import markdown


def shown(*blocks):
    """The Markdown of blocks, without the title above them."""
    text = markdown(Document("T", blocks))
    assert text.startswith("# T\n\n")
    assert text.endswith("\n")
    return text[len("# T\n\n") : -1]


def words_read(text):
    """What a reader of Markdown takes for words."""
    return "".join(
        child.content
        for token in MarkdownIt("commonmark").enable("table").parse(text)
        for child in token.children or ()
        if child.type in ("text", "text_special")
    )


@pytest.mark.parametrize(
    "words",
    [
        r"All of _a_ 50% & #1 $5 {b} ~c~ ^d \e <f> *g* `h` [i](j) k|l &amp; ![m](n)",
        "# no title",
        "1. no list",
        "2) no list",
        "- no list",
        "+ no list",
        "= no underline",
        "> no quotation",
        "--- no rule",
    ],
)
def test_words_are_no_markup(words):
    assert words_read(shown(Paragraph((words,)))) == words
    assert words_read(markdown(Document(words, ()))) == words


def test_numbers_inside_a_paragraph_are_left_alone():
    assert shown(Paragraph(("There are ", s("K"), " = ", Strong("4"), "- 1. ends"))) == (
        "There are $K$ = **4**- 1. ends"
    )


def test_paragraphs_code_and_flow():
    assert shown(
        Paragraph(("One line: ", Code("a`b"), " and ", Code("`c")), "note"),
        Listing(("y = 1", "```")),
        Flow((Station(s("X"), (3, 3), "Conv2d", "filter F"), Station(s("y"), ()))),
        Display(Chain((s("y"), n(1, 4)))),
    ) == (
        "> One line: ``a`b`` and `` `c ``\n\n"
        "````\ny = 1\n```\n````\n\n"
        "$X$ (3 × 3) → **Conv2d** (filter F) → $y$\n\n"
        "$$\ny = \\frac{1}{4}\n$$"
    )


def test_tables():
    table = Table(
        (("a|b",), ("n",)), (((Code("x|y"),), (Apply("abs", (s("z"),)),)),), (("all",), ()), frozenset({1})
    )
    assert shown(table) == (
        "| a\\|b | n |\n| :-- | --: |\n| `x\\|y` | $\\left\\lvert z\\right\\rvert$ |\n| **all** |  |"
    )


def test_grids_are_tables():
    border = Grid((s("Z"),), "", ("",), ("0", "1"), ((Cell(n(0), kind="zero"), Cell(n(0))),), "Z")
    assert (
        shown(Picture(((gapped,), "∗", (row_vector, border), "=")))
        == """\
$W$, 28 × 28

|  | 1 | 2 |  | 28 |
| --: | --: | --: | --: | --: |
| **1** | 1 | 2 | … | 28 |
| **2** | 4 ✗ | 5 | … | $\\frac{17}{4}$ ✓ |
|  | ⋮ | ⋮ | ⋮ | ⋮ |
| **28** | 0 | 8 | … | −784 |

∗

$b$, 3

| 1 | 2 | 3 |
| --: | --: | --: |
| 1 | $-\\frac{1}{2}$ | 3 |

$Z$

| 0 | 1 |
| --: | --: |
| · | 0 |

\\=

· is a zero of the border, or one put between entries."""
    )


def test_entries_written_out():
    assert (
        shown(Expansions((elided, activated), left_out=7))
        == r"""*k = 2*

$$
\begin{aligned}
z_{2} &= b_{2} + w_{21} \cdot x_{1} + \ldots \text{ 782 more} - w_{2, 784} \cdot x_{784} \\
&= -0.5 + (-2) \cdot 1 + \ldots - 3 \cdot 1 \\
&= -5.5
\end{aligned}
$$

$$
\begin{aligned}
a &= \operatorname{relu}(s \cdot z) \\
&= \operatorname{relu}(2 \cdot (-3)) \\
&= 0
\end{aligned}
$$

… and 7 more in the same way."""
    )


def test_a_derivation_is_broken_into_rows():
    sums = r"\sum_{n = 1}^{8}\sum_{i = 1}^{26}\sum_{j = 1}^{26}\sum_{u' = 1}^{3}\sum_{v' = 1}^{3}"
    matches = r"\lbrack u = u' \rbrack \lbrack v = v' \rbrack"
    assert (
        shown(long_steps)
        == r"""*chain rule*

$$
\begin{aligned}
\frac{\partial L}{\partial W^{(1)}_{qpuv}} &= SUMS \frac{\partial L}{\partial h^{(1)}_{nqij}} \cdot MATCHES \\
&\quad \lbrack 1 \le i + u' \le 28 \rbrack \cdot x_{n, p, i + u' - 1, j + v' - 1}
\end{aligned}
$$

It acts on the loss through every entry of the output, of every image and at every place.

*rename*

$$
\frac{\partial L}{\partial W^{(1)}_{qpuv}} = \frac{\partial L}{\partial h^{(1)}_{nqij}}
$$

One term is left.""".replace("SUMS", sums).replace("MATCHES", matches)
    )


def test_a_document():
    text = worked.markdown()
    headings = [line for line in text.split("\n") if line.startswith("#")]
    assert text.startswith(
        "*Sheet C.4 · worked solution*\n\n# A convolution and a global average\n\nA 3 × 3 "
    )
    assert headings == [
        "# A convolution and a global average",
        "## 1 Sizes and parameters",
        "## 2 Forward",
        "### 2.1 Convolution",
        "## 3 Gradient in $O$",
    ]
    assert "Choose an entry" not in text


def test_deep_sections_stay_headings():
    section = Section(("X",), (), "k")
    for depth in range(7):
        section = Section(("X",), (section,), str(depth))
    lines = markdown(Document("T", (section,))).split("\n\n")
    assert lines[5:] == [
        "###### 1.1.1.1.1 X",
        "###### 1.1.1.1.1.1 X",
        "###### 1.1.1.1.1.1.1 X",
        "###### 1.1.1.1.1.1.1.1 X\n",
    ]


@pytest.mark.parametrize("document", [worked, odd, Document("g", (Picture(((grid("a|b", ((1,),)),),)),))])
def test_every_dollar_is_closed(document):
    displays = document.markdown().split("$$")
    assert len(displays) % 2 == 1
