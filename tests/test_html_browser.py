"""A page of an explanation in a browser: its light, its keys, its widths, and what is read aloud."""

import pytest
from explained import sheet_c4
from explained_many import many_sided
from test_html import _large

from closedform.explanation.rendering.html import html_fragment, html_page

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
NOTEBOOK = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Notebook</title>'
    '<link rel="icon" href="data:,"><style>td {{ color: rgb(1, 2, 3); }}</style></head>'
    '<body><main><h1>Notebook</h1><p id="outside">Words of <i>its</i> own</p>'
    '<table id="own"><tr><td>1</td></tr></table>{}</main></body></html>'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages as files."""
    folder = tmp_path_factory.mktemp("pages")
    sheet, many = sheet_c4(), many_sided()
    texts = {
        "sheet": html_page(sheet),
        "many": html_page(many),
        "large": html_page(_large()),
        "two": NOTEBOOK.format(html_fragment(sheet) + "<hr>" + html_fragment(many)),
        "twice": NOTEBOOK.format(html_fragment(sheet) + "<hr>" + html_fragment(sheet)),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def opened(browser, folder):
    """Opens a page; at the end its console must be empty, and it must have asked for itself only."""
    contexts, words, requests = [], [], []

    def open_(name, address="", viewport=DESK, **settings):
        contexts.append(browser.new_context(viewport=viewport, reduced_motion="reduce", **settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: words.append(message.text))
        page.on("pageerror", lambda error: words.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((folder / f"{name}.html").as_uri() + address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert words == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


def lit(page, scene="forward", inside=""):
    """What is lit in the grids of a scene: name, role, in order."""
    chosen = f'{inside} [data-scene="{scene}"] .grid [data-lit]'
    return page.locator(chosen).evaluate_all("found => found.map(e => e.dataset.name + ' ' + e.dataset.lit)")


def line(page, scene="forward"):
    return page.locator(f'[data-scene="{scene}"] [data-line]').inner_text()


O12 = [
    *("x12 window", "x13 window", "x22 window", "x23 window"),
    *("f11 weight", "f12 weight", "f21 weight", "f22 weight"),
    "o12 result",
]


def test_the_mouse_previews_and_a_click_keeps_the_light(opened):
    page = opened("sheet")
    before = line(page)
    page.hover("#o12")
    assert lit(page) == O12
    assert line(page).startswith("o12 = 3: the window x12, x13, x22, x23 of X")
    assert page.locator('[data-scene="forward"] [data-now]').inner_text() == "i = 1, j = 2"
    assert page.locator("[data-open]").evaluate_all("f => f.map(e => e.dataset.expands)") == ["o12"]
    assert page.locator('[data-scene="forward"] mrow[data-part][data-lit]').count() == 3
    page.mouse.move(5, 5)
    assert lit(page) == []
    assert line(page) == before
    page.click("#o12")
    page.mouse.move(5, 5)
    assert lit(page) == O12
    page.hover("#o21")
    assert lit(page)[-1] == "o21 result"
    page.mouse.move(5, 5)
    assert lit(page) == O12
    page.mouse.click(5, 5)
    assert lit(page) == []


def test_a_term_lights_its_own_pair(opened):
    page = opened("sheet")
    page.locator('[data-expands="o12"] .term').nth(1).hover()
    assert lit(page) == ["x13 window", "f12 weight", "o12 result"]


def test_an_input_lights_all_that_it_acts_on(opened):
    page = opened("sheet")
    page.locator('[data-scene="forward"] td[data-name="x12"]').hover()
    assert lit(page) == ["x12 window", "o11 result", "o12 result"]
    assert line(page) == "This entry acts on 2 entries of O."
    page.locator('[data-scene="forward"] td[data-name="f21"]').click()
    page.mouse.move(5, 5)
    assert lit(page) == ["f21 weight", "o11 result", "o12 result", "o21 result", "o22 result"]
    # a zero of the border is read like any entry
    page.locator('[data-scene="gradient-X"] td[data-name="g00"]').hover()
    assert lit(page, "gradient-X") == ["g00 window", "dx11 result"]


def test_keys_walk_a_grid(opened):
    page = opened("sheet")
    page.focus("#o11")
    for key, name in [
        *(("ArrowRight", "o12"), ("ArrowDown", "o22"), ("ArrowRight", "o22"), ("Home", "o21")),
        *(("ArrowUp", "o11"), ("End", "o12"), ("Control+End", "o22"), ("Control+Home", "o11")),
    ]:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.name") == name
        assert lit(page)[-1] == f"{name} result"
    page.keyboard.press("Escape")
    assert lit(page) == []
    page.keyboard.press("ArrowRight")
    assert lit(page) == O12


def test_a_grid_is_one_stop_of_the_tab_key(opened):
    page = opened("sheet")
    page.focus("#o11")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Tab")
    assert lit(page)[0] == "f11 weight"
    page.keyboard.press("Shift+Tab")
    assert lit(page) == ["x11 window", "o11 result"]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert lit(page)[-1] == "o21 result"  # where the arrows had left it


def test_arrows_pass_over_a_gap(opened):
    page = opened("many")
    cell = page.locator('[data-scene="pooled"] td[data-name="h03"]').first
    cell.click()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.name") == "h09"
    assert lit(page, "pooled")[-1] == "a1 result"


def test_an_address_opens_with_its_entry_lit(opened):
    page = opened("sheet", "#o12")
    assert lit(page) == O12
    assert page.locator("#o12").bounding_box()["y"] < DESK["height"]
    page.evaluate("location.hash = '#dx22'")
    page.wait_for_function("document.activeElement.id === 'dx22'")
    assert lit(page, "gradient-X")[-1] == "dx22 result"
    assert lit(page) == []


def test_the_open_expansion_sticks_to_the_foot_of_a_phone(opened):
    page = opened("sheet", "#o12", PHONE)
    lens = page.locator('[data-scene="forward"] [data-lens]')
    box = lens.bounding_box()
    assert box["y"] + box["height"] == pytest.approx(PHONE["height"], abs=1)
    assert lens.locator("[data-expands]").get_attribute("data-expands") == "o12"
    page.keyboard.press("Escape")
    assert not lens.is_visible()


@pytest.mark.parametrize("name", ["sheet", "many", "large", "two"])
def test_a_phone_never_scrolls_sideways(opened, name):
    page = opened(name, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    # what is cut off can be reached by keyboard
    cut = "e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === 'auto' && e.tabIndex < 0"
    assert page.locator(".closedform *").evaluate_all(f"found => found.filter({cut}).length") == 0


def test_a_print_has_every_expansion_and_no_hints(opened):
    page = opened("sheet", "#o12")
    page.emulate_media(media="print")
    hidden = page.locator("nav, .legend, [data-line], [data-now], [data-lens]")
    assert hidden.count() > 8
    assert not any(hidden.nth(k).is_visible() for k in range(hidden.count()))
    assert all(each.is_visible() for each in page.locator(".expansions .terms").all())
    result = page.locator("#o12").evaluate(
        "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).outlineStyle]"
    )
    assert result[0] == "rgba(0, 0, 0, 0)"
    assert page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") in range(4, 8)


def test_without_a_script_nothing_is_missing(opened):
    page = opened("sheet", java_script_enabled=False)
    assert page.locator(".expansions .terms").count() == 17
    assert page.locator("button[data-makes]").count() == 17
    assert page.locator("math").first.is_visible()


def test_two_fragments_leave_each_other_and_their_page_alone(opened):
    page = opened("two")
    first, second = "main > .closedform:nth-of-type(1)", "main > .closedform:nth-of-type(2)"
    page.locator(f'{first} [data-makes="o12"]').first.click()
    page.locator(f'{second} button[data-makes="m11"]').click()
    assert lit(page, inside=first) == O12
    assert lit(page, "pooled", second)[-1] == "m11 result"
    page.keyboard.press("Escape")
    assert page.locator("[data-lit]").count() == 0
    own = "e => { const s = getComputedStyle(e); return [s.color, s.fontSize, s.backgroundColor]; }"
    assert page.locator("#own td").evaluate(own) == ["rgb(1, 2, 3)", "16px", "rgba(0, 0, 0, 0)"]
    assert page.locator("#outside").evaluate(own) == ["rgb(0, 0, 0)", "16px", "rgba(0, 0, 0, 0)"]


def test_the_same_fragment_twice_is_two(opened):
    page = opened("twice")
    page.locator('button[data-makes="o12"]').nth(1).click()
    roots = page.locator(".closedform")
    assert [roots.nth(k).locator("[data-lit]").count() > 0 for k in (0, 1)] == [False, True]


def test_a_large_page_answers_at_once(opened):
    page = opened("large")
    seconds = page.evaluate(
        """() => {
          const chosen = '[data-scene="scene-z"] td[data-name], button[data-makes]';
          const entries = [...document.querySelectorAll(chosen)];
          const start = performance.now();
          for (const entry of entries.slice(0, 200)) {
            entry.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" }));
            document.body.getBoundingClientRect();
          }
          return (performance.now() - start) / 200 / 1000;
        }"""
    )
    assert seconds < 0.1


@pytest.mark.parametrize(
    ("name", "address", "scheme"),
    [
        ("sheet", "#o12", "light"),
        ("sheet", "#o12", "dark"),
        ("many", "#m11", "light"),
        ("many", "", "dark"),
        ("two", "", "dark"),
    ],
)
def test_axe_finds_nothing(opened, violations, name, address, scheme):
    page = opened(name, address, color_scheme=scheme)
    assert violations(page) == []


def test_axe_finds_nothing_on_a_phone(opened, violations):
    page = opened("many", "#m11", PHONE)
    assert violations(page) == []


def test_expansions_are_read_as_sentences(opened):
    page = opened("sheet")
    heard = page.locator('[data-scene="forward"] .expansions').aria_snapshot()
    assert "o12 = f11·x12 + f12·x13 + f21·x22 + f22·x23 = 0·3 + 3·4 + 1·1 + (−2)·5 = 3" in heard
    assert heard.count("paragraph") == 4
