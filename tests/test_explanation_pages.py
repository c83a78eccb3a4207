"""Pages of whole worksheets in a browser: what an entry lights, nothing sideways, nothing that axe finds."""

from pathlib import Path

import pytest

from closedform.checking.sheet import check_sheet
from closedform.explanation.explain import explain_worksheet
from closedform.worksheet import read_worksheet

SHEETS = Path(__file__).parent.parent / "worksheets"
EXPLAINED = ["a2", "b4", "b6", "c4", "d2", "e4"]
MARKED = ["c4-as-scanned", "d3-misread", "e4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages as files."""
    found = tmp_path_factory.mktemp("pages")
    for name in EXPLAINED:
        page = explain_worksheet(read_worksheet(SHEETS / f"{name}.toml")).html()
        (found / f"{name}.html").write_text(page, encoding="utf-8")
    for name in MARKED:
        verdict = check_sheet(read_worksheet(SHEETS / f"{name}.toml"))
        (found / f"marked-{name}.html").write_text(verdict.html(), encoding="utf-8")
    return found


PAGES = [*EXPLAINED, *(f"marked-{name}" for name in MARKED)]


@pytest.fixture
def opened(browser, folder):
    """Opens a page; at the end its console must be empty, and it must have asked for itself only."""
    contexts, words, requests = [], [], []

    def open_(name, width=1280, address="", scheme="light"):
        viewport = {"width": width, "height": 800}
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce"))
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
    assert len([url for url in requests if not url.startswith("data:")]) == len(contexts)


def lit(page, scene):
    """What is lit in the grids of a scene: role by name."""
    found = page.locator(f'[data-scene="{scene}"] .grid [data-lit]').evaluate_all(
        "found => found.map(e => [e.dataset.name, e.dataset.lit])"
    )
    return dict(found)


def test_an_output_lights_its_window_and_its_weights(opened):
    page = opened("c4")
    page.hover("#o12")
    assert lit(page, "scene-forward-O") == {
        **dict.fromkeys(["x12", "x13", "x22", "x23"], "window"),
        **dict.fromkeys(["f11", "f12", "f21", "f22"], "weight"),
        "o12": "result",
    }


def test_a_gradient_lights_the_zeros_of_its_border_too(opened):
    page = opened("c4", address="#dx11")
    found = lit(page, "scene-gradient-X")
    assert [name for name, role in found.items() if role == "weight"] == ["f22", "f21", "f12", "f11"]
    window = [name for name, role in found.items() if role == "window"]
    assert len(window) == 4
    assert "do11" in window
    assert sum("zero" in name for name in window) == 3


def test_a_stride_lights_the_zeros_between_entries(opened):
    page = opened("b4", address="#dx00")
    roles = list(lit(page, "scene-gradient-X").values())
    assert roles.count("window") == roles.count("weight") == 9


def test_a_gradient_lights_every_image_that_acts_on_it(opened):
    page = opened("b6")
    page.focus("#dw000")
    window = [n for n, role in lit(page, "scene-gradient-W").items() if role == "window" and "zero" not in n]
    assert {name.removeprefix("x")[0] for name in window} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_never_scrolls_sideways(opened, name):
    page = opened(name, 360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["c4", "e4", "marked-c4-as-scanned", "marked-d3-misread"])
def test_axe_finds_nothing(opened, violations, name, scheme):
    page = opened(name, scheme=scheme)
    assert violations(page) == []
