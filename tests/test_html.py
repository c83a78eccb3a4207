"""What a page of an explanation holds, and what it never holds."""

import re
from collections import Counter
from fractions import Fraction
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from explained import grid, n, s, sheet_c4, times
from explained_many import HOSTILE, many_sided

from closedform.explanation.document import (
    Cell,
    Document,
    Expansion,
    Expansions,
    Maker,
    Paragraph,
    Picture,
    Scene,
    Section,
    Term,
)
from closedform.explanation.math import Add, Chain, Condition, Derivative, Multiply, Negative, Numeral
from closedform.explanation.rendering.html import html_fragment, html_page, page
from closedform.explanation.rendering.html_words import inline
from closedform.explanation.rendering.markup import element, opening
from closedform.explanation.rendering.mathml import in_line, mathml, pieces

VOID = {"meta", "link", "wbr", "br", "rect"}


class Reader(HTMLParser):
    """The elements of a page with their attributes; complains of one that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), f"{tag} has an attribute twice"
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(words)

    def values(self, name):
        return [attributes[name] for _, attributes in self.found if name in attributes]


PAGES = {
    "sheet": html_page(sheet_c4()),
    "many": html_page(many_sided()),
    "fragment": html_fragment(many_sided()),
}


@pytest.fixture(params=PAGES)
def text(request):
    return PAGES[request.param]


def shown(*blocks):
    return html_page(Document("Title", blocks))


def test_elements_are_closed_and_ids_are_unique(text):
    ids = Counter(Reader(text).values("id"))
    assert {name: count for name, count in ids.items() if count > 1} == {}


def test_what_is_referred_to_is_there(text):
    page = Reader(text)
    ids = set(page.values("id"))
    assert {link[1:] for link in page.values("href") if link.startswith("#")} <= ids
    assert set(page.values("aria-labelledby")) <= ids


def test_nothing_is_loaded(text):
    assert re.findall(r"https?://|//[a-z]+\.|@import|url\(|<script[^>]*src|fetch\(|XMLHttp", text) == []
    assert {link for link in Reader(text).values("href") if not link.startswith("#")} <= {"data:,"}


def test_a_page_allows_only_its_own_script():
    policy = next(a["content"] for t, a in Reader(PAGES["sheet"]).found if t == "meta" and "http-equiv" in a)
    assert re.fullmatch(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/]{43}='; img-src data:",
        policy,
    )


def test_the_same_document_gives_the_same_page():
    assert html_page(sheet_c4()) == PAGES["sheet"]
    assert html_fragment(many_sided()) == PAGES["fragment"]


def test_names_from_outside_are_only_text(text):
    assert HOSTILE not in text
    assert "".join(Reader(PAGES["many"]).words).count(HOSTILE) >= 10


def test_the_sheet_stays_small():
    assert len(PAGES["sheet"].encode()) < 115_000


def test_the_style_and_the_script_go_with_the_package():
    package = files("closedform.explanation.rendering")
    for name, end in (("page.css", "</style"), ("page.js", "</script")):
        text = package.joinpath(name).read_text(encoding="utf-8")
        assert text.isascii() or end not in text
        assert end not in text.lower()


def test_a_title_is_escaped_in_the_head():
    assert "<title>a &lt; b</title>" in page("a < b", "<p>body</p>")


def test_headings_are_in_order_and_numbered():
    found = re.findall(
        r"<h([1-6])[^>]*>(?:<span class=\"no\">([\d.]+)</span>)?", PAGES["many"].split("</nav>")[1]
    )
    assert found == [("2", "1"), ("2", "2"), ("2", "3"), ("2", "4"), ("3", "4.1"), ("4", "4.1.1")]
    assert re.findall(r"<h([1-6])", PAGES["fragment"])[:2] == ["2", "3"]


def test_tables_have_headers_with_a_scope_and_a_name():
    page = Reader(PAGES["many"])
    assert {a.get("scope") for t, a in page.found if t == "th"} == {"row", "col"}
    assert all({"aria-label", "aria-labelledby"} & set(a) for t, a in page.found if t == "table")


def test_only_grids_whose_entries_can_be_chosen_have_the_role():
    tables = [a for t, a in Reader(PAGES["sheet"]).found if t == "table"]
    chosen = [a["aria-label"] for a in tables if a.get("role") == "grid"]
    assert chosen == ["O, choose an entry", "∂y/∂F, choose an entry", "∂y/∂X, choose an entry"]


def test_an_entry_says_what_makes_it():
    button = next(a for t, a in Reader(PAGES["sheet"]).found if t == "button" and a["id"] == "o12")
    assert button == {
        "type": "button",
        "id": "o12",
        "aria-label": "o12 = 3",
        "data-name": "o12",
        "data-makes": "o12",
        "data-window": "x12 x13 x22 x23",
        "data-weights": "f11 f12 f21 f22",
        "data-at": "i = 1, j = 2",
        "data-say": "o12 = 3: the window x12, x13, x22, x23 of X, each entry times its weight "
        "f11, f12, f21, f22, added up.",
    }


def test_a_fraction_that_can_be_chosen_is_read_as_a_line():
    words, fraction = '<span class="unseen">∂y/∂f11 = 9/4</span>', "<mfrac><mn>9</mn><mn>4</mn></mfrac>"
    assert f'>{words}<math aria-hidden="true">{fraction}</math></button>' in PAGES["sheet"]


def test_a_scene_has_one_line_one_lens_and_one_place_beside_its_formula():
    for scene in re.split(r'<div class="together"', PAGES["sheet"])[1:]:
        scene = scene.split("</section>")[0]
        assert [len(re.findall(f"data-{name}[ =>]", scene)) for name in ("line", "lens", "now")] == [1, 1, 1]


def test_the_script_alone_sets_the_light(text):
    assert re.findall(r"<[^>]* data-(?:lit|open|active)", text) == []


@pytest.mark.parametrize(
    ("expansion", "sentence"),
    [
        (
            Expansion(
                "o1",
                "i = 1",
                s("o", 1),
                (Term(times(s("f", 1), s("x", 1)), times(n(0), n(-2))), Term(s("b"), n(3), sign="−")),
                value=n(-3),
            ),
            "o1 = f1·x1 − b = 0·(−2) − 3 = −3",
        ),
        (
            Expansion(
                "a", "", s("a"), (Term(s("x"), n(-1)), Term(s("y"), n(-2))), (n(1, 2), None), left_out=7
            ),
            "a = 1/2·(x + … 7 more + y) = 1/2·(−1 + … 7 more + (−2))",
        ),
        (
            Expansion("m", "", s("m"), (Term(s("x"), n(-1)), Term(s("y"), n(4))), function="max", value=n(4)),
            "m = max(x, y) = max(−1, 4) = 4",
        ),
        (Expansion("r", "", s("r"), (Term(s("z"), None),), function="relu"), "r = relu(z)"),
        (Expansion("c", "", s("c"), (), value=n(5)), "c = 5"),
    ],
)
def test_an_expansion_is_a_sentence_for_those_who_hear_it(expansion, sentence):
    assert f'<p class="unseen">{sentence}</p>' in shown(Expansions((expansion,)))


def test_what_is_not_written_out_is_counted():
    expansion = Expansion("c", "", s("c"), (), value=n(5))
    assert "1 more entry is made in the same way." in shown(Expansions((expansion,), left_out=1))
    assert "96 more entries are made in the same way." in shown(Expansions((expansion,), left_out=96))


def test_claims_differ_in_words_and_gaps_are_no_entries():
    cells = [
        [Cell(n(1), kind="wrong"), Cell(n(2), kind="right"), Cell(None, kind="gap"), Cell(n(0), "g0", "zero")]
    ]
    text = shown(Picture(((grid(s("X"), "", cells, "X", [""], ["1", "2", "", "9"]),),)))
    assert '<td class="wrong">1<span class="unseen"> (wrong)</span></td>' in text
    assert '<td class="right">2<span class="unseen"> (right)</span></td>' in text
    assert '<td class="gap">…</td>' in text
    assert '<td class="zero" data-name="g0">0</td>' in text


def test_an_entry_chosen_twice_in_a_document_has_two_ids():
    cell = Cell(n(1), "y", maker=Maker("y", (), (), "", "y."))
    scenes = (
        Scene(key, (Picture(((grid(s("y"), "", [[cell]], "y"),),)),), "Choose.") for key in ("one", "two")
    )
    sections = (Section(("Y",), tuple(scenes), "y"), Section(("Z",), (Paragraph(("z",)),), "z"))
    buttons = [a["id"] for t, a in Reader(shown(*sections)).found if t == "button"]
    assert buttons == ["one-y", "two-y"]


def test_a_later_step_does_not_repeat_the_left_side():
    assert "<mi>a</mi>" not in pieces(Chain((s("a"), s("b"))), continued=True)
    assert pieces(Chain((s("a"), s("b"), s("c")))).count("<wbr>") == 1


I, J = s("i"), s("j")  # noqa: E741


@pytest.mark.parametrize(
    ("math", "inside"),
    [
        (s("x", 1, 2), "<msub><mi>x</mi><mn>12</mn></msub>"),
        (s("x", 1, 12), "<msub><mi>x</mi><mn>1,12</mn></msub>"),
        (s("z", 1, 2, above="1"), "<msubsup><mi>z</mi><mn>12</mn><mtext>(1)</mtext></msubsup>"),
        (s("o", "i", "j"), "<msub><mi>o</mi><mrow><mi>i</mi><mi>j</mi></mrow></msub>"),
        (s("eta"), "<mi>η</mi>"),
        (s("u'"), '<mrow><mi>u</mi><mo lspace="0" rspace="0">′</mo></mrow>'),
        (n(1, 4), "<mfrac><mn>1</mn><mn>4</mn></mfrac>"),
        (Negative(n(2)), '<mo form="prefix" lspace="0" rspace="0.05em">−</mo><mn>2</mn>'),
        (
            Multiply((n(-2), n(1))),
            '<mrow><mo stretchy="false" lspace="0" rspace="0">(</mo>'
            '<mo form="prefix" lspace="0" rspace="0.05em">−</mo><mn>2</mn>'
            '<mo stretchy="false" lspace="0" rspace="0">)</mo></mrow>'
            '<mo lspace="0.12em" rspace="0.12em">·</mo><mn>1</mn>',
        ),
        (Multiply((n(2), I), dots=False), "<mn>2</mn><mi>i</mi>"),
        (Add((I, Negative(n(1)))), '<mi>i</mi><mo form="infix">−</mo><mn>1</mn>'),
        (
            Derivative(s("y"), s("o", 1)),
            '<mfrac><mrow><mi mathvariant="normal">∂</mi><mi>y</mi></mrow>'
            '<mrow><mi mathvariant="normal">∂</mi><msub><mi>o</mi><mn>1</mn></msub></mrow></mfrac>',
        ),
        (
            Condition((n(1), I), ("<=",)),
            '<mrow><mo stretchy="false" lspace="0" rspace="0">[</mo><mn>1</mn>'
            '<mo lspace="0.15em" rspace="0.15em">≤</mo><mi>i</mi>'
            '<mo stretchy="false" lspace="0.05em" rspace="0.15em">]</mo></mrow>',
        ),
        (Numeral(-0.5), '<mo form="prefix" lspace="0" rspace="0.05em">−</mo><mn>0.5</mn>'),
        (
            Numeral(1.5e-7),
            '<mn>1.5</mn><mo lspace="0.12em" rspace="0.12em">·</mo><msup><mn>10</mn><mn>−7</mn></msup>',
        ),
    ],
)
def test_mathematics_is_mathml(math, inside):
    assert mathml(math) == f"<math>{inside}</math>"


@pytest.mark.parametrize(
    ("math", "words"),
    [
        (s("X"), "<i>X</i>"),
        (s("eta"), "<i>η</i>"),
        (s("o", "i'"), "<i>o</i><sub><i>i</i>′</sub>"),
        (s("Z", above="1"), "<i>Z</i><sup>(1)</sup>"),
        (Derivative(s("y"), s("O")), "∂<i>y</i>/∂<i>O</i>"),
        (Chain((I, Add((s("a"), Negative(s("u")), n(1))))), "<i>i</i> = <i>a</i> − <i>u</i> + 1"),
        (Chain((s("eta"), n(-1, 10))), "<i>η</i> = −1/10"),
        (s("b<"), "b&lt;"),
        (Add((I, Add((J, n(1))))), in_line(Add((I, Add((J, n(1))))))),
    ],
)
def test_simple_mathematics_in_words_has_the_letters_of_the_words(math, words):
    assert inline(math) == words


def test_mathml_is_well_formed_and_scripts_have_all_their_parts():
    wanted = {"msub": 2, "msup": 2, "msubsup": 3, "mfrac": 2, "munder": 2, "munderover": 3}
    found = re.findall(r"<math.*?</math>", PAGES["sheet"] + PAGES["many"])
    for math in found:
        for part in ElementTree.fromstring(math).iter():
            assert len(part) == wanted.get(part.tag, len(part)), math
    assert len(found) > 500


def test_markup_escapes_and_leaves_out():
    assert opening("td", class_='a"b', hidden=True, id=None, title="") == '<td class="a&quot;b" hidden>'
    assert element("b", "x") == "<b>x</b>"


def _large():
    """A dense layer of 100 inputs and arrays of 4 channels of 10 × 10, every entry to be chosen."""

    def channel(letter, c, window, weights):
        def cell(p, q):
            name = f"{letter}{c}_{p}_{q}"
            maker = None
            if window:
                reads = tuple(
                    f"{window}{k}_{p + u}_{q + v}" for k in range(4) for u in range(3) for v in range(3)
                )
                by = tuple(f"{weights}{c}_{k}_{u}_{v}" for k in range(4) for u in range(3) for v in range(3))
                maker = Maker(
                    name, reads, by, f"c = {c}, i = {p}, j = {q}", f"{name}: 36 products and the bias."
                )
            return Cell(Numeral(0.123456 * (p - q) + c), name, maker=maker)

        return grid(
            s(letter),
            f"channel {c + 1} of 4",
            [[cell(p, q) for q in range(10)] for p in range(10)],
            f"{letter} {c}",
        )

    def array(letter, window="", weights=""):
        return tuple(channel(letter, c, window, weights) for c in range(4))

    def expansion(name, size):
        terms = tuple(
            Term(times(s("w", k), s("x", k)), times(Numeral(0.1234), Numeral(-0.5)), (f"x{k}",), (f"w{k}",))
            for k in range(size)
        )
        return Expansion(name, "i = 1", s("z", 1), terms, value=Numeral(Fraction(1, 3)))

    images = [("x", "", ""), ("z", "x", "w"), ("h", "z", ""), ("g", "h", "v")]
    scenes = tuple(
        Scene(
            f"scene-{letter}",
            (
                Picture((array(before), "→", array(letter, before, weights))),
                Expansions(tuple(expansion(f"{letter}0_{k}_0", 12) for k in range(6)), 2, 394),
            ),
            "Choose an entry.",
        )
        for (before, *_), (letter, _, weights) in pairwise(images)
    )
    dense = grid(
        s("x"),
        "100",
        [[Cell(Numeral(0.5), f"x{k}") for k in range(100)]],
        "x",
        [""],
        list(map(str, range(100))),
    )
    maker = [
        Maker(f"y{k}", tuple(f"x{j}" for j in range(100)), tuple(f"w{k}_{j}" for j in range(100)), "", ".")
        for k in range(10)
    ]
    out = grid(
        s("y"),
        "10",
        [[Cell(Numeral(0.5), m.makes, maker=m) for m in maker]],
        "y",
        [""],
        list(map(str, range(10))),
    )
    last = Scene("dense", (Picture(((dense,), "→", (out,))), Expansions((expansion("y0", 100),))), "Choose.")
    return Document("Large", (Section(("Layers",), (*scenes, last), "layers"), Section(("End",), (), "end")))


def test_a_large_network_stays_below_a_megabyte():
    text = html_page(_large())
    assert text.count("<td") > 2500
    assert len(text.encode()) < 1_000_000


def test_names_that_all_entries_of_a_grid_read_are_written_once():
    tables = [
        a for t, a in Reader(html_page(_large())).found if t == "table" and a["aria-label"].startswith("z 0")
    ]
    buttons = [
        a for t, a in Reader(html_page(_large())).found if t == "button" and a["data-makes"].startswith("z0_")
    ]
    assert len(tables[0]["data-weights"].split()) == 36
    assert "data-window" not in tables[0]
    assert {len(a["data-window"].split()) for a in buttons} == {36}
    assert not any("data-weights" in a for a in buttons)
