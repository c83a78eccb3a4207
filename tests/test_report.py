"""The report of a training run: one page that holds everything, in any browser, on any screen."""

import base64
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pytest

import closedform as cf
from closedform.runs.pictures import Picture, Samples, draw_pictures
from closedform.runs.report import ReportData, report_html, write_report
from closedform.training.history import History

PHONE = {"width": 360, "height": 740}
CLASSES = ("cat", "<b>dog</b>", 'a "quoted" & <script>alert(1)</script> name that is long', "x" * 90)


@dataclass(frozen=True)
class Figures:
    """What the report reads of the metrics."""

    loss: float
    accuracy: float
    top_5_accuracy: float | None
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    confusion: np.ndarray


FIGURES = Figures(
    loss=0.2512,
    accuracy=0.875,
    top_5_accuracy=None,
    precision=np.array([1.0, 0.5, 0.75, 1.0]),
    recall=np.array([0.5, 0.5, 1.0, 1.0]),
    f1=np.array([0.667, 0.5, 0.857, 1.0]),
    support=np.array([10, 10, 10, 1200]),
    confusion=np.array([[5, 5, 0, 0], [5, 5, 0, 0], [0, 0, 10, 0], [0, 0, 0, 1200]]),
)


def network():
    layers = [cf.Conv2d(3, 3, name="conv"), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(4)]
    return cf.Network(layers, (1, 8, 8), loss=cf.SoftmaxCrossEntropy(), engine="reference")


def whole(pictures=None, **changes):
    """A run of which everything is known."""
    history = History({"loss": [2.5, 0.5], "val_accuracy": [0.25, 0.875]}, [0, 1], [1.25, 1.5])
    known = {
        "title": "runs/<pets>: images",
        "network": network(),
        "network_words": "The default for 8×8 greyscale images.",
        "settings": {
            "batch_size": 64,
            "optimizer": {"type": "Adam", "learning_rate": 0.003},
            "standardize": True,
            "augment": None,
        },
        "data": {"kind": "folder of images", "source": "photos/" + "y" * 120, "training images": 54000},
        "classes": CLASSES,
        "left_out": ("train/<i>.jpg: is cut short",),
        "history": history,
        "metrics": FIGURES,
        "seconds": 83.2,
        "pictures": pictures,
        "versions": {"closedform": "0.1.0"},
        "seed": 7,
        "command": "closedform train 'runs/<pets>/run.toml' --seed 7",
    }
    return ReportData(**known | changes)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The pictures of a run, one of them left out."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 4
    history = History({"loss": [2.5, 0.5]}, [0, 1], [1.0, 1.0])
    samples = Samples(x, y, CLASSES, np.eye(4)[y])
    return draw_pictures(tmp_path_factory.mktemp("pictures"), network(), history, FIGURES, samples)


class Reader(HTMLParser):
    """The words of a page, its elements with their attributes, and whether each is closed."""

    VOID = ("meta", "link", "img")

    def __init__(self, page):
        super().__init__()
        self.words, self.elements, self.open = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(page):
    found = Reader(page)
    assert found.open == []
    return found


def rows(page, kind):
    """The cells of a table."""
    table = re.search(rf'<table class="{kind}">(.*?)</table>', page).group(1)
    return [
        re.sub(r"</t[hd]><t[hd][^>]*>", "|", row).split(">", 1)[1].rsplit("</t", 1)[0]
        for row in re.findall(r"<tr>(.*?)</tr>", table)
    ]


def test_everything_is_embedded_and_nothing_is_fetched(pictures):
    page = read(report_html(whole(pictures)))
    images = page.of("img")
    assert len(images) == 4
    drawn = [picture for picture in pictures if picture.path is not None]
    for image, picture in zip(images, drawn, strict=True):
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == picture.path.read_bytes()
        assert image["alt"] == picture.alt
        assert int(image["width"]) > 250
    addresses = [a[key] for _, a in page.elements for key in ("src", "href", "srcset", "action") if key in a]
    assert [one for one in addresses if not one.startswith(("data:", "#"))] == []
    assert page.of("script") == []
    policy = next(meta["content"] for meta in page.of("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_no_address_of_the_outside_is_on_the_page(pictures):
    page = re.sub(r"base64,[A-Za-z0-9+/=]+", "", report_html(whole(pictures)))
    assert "://" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_what_comes_from_outside_is_escaped(pictures):
    page = report_html(whole(pictures))
    for dangerous in ("<b>dog", "<script>alert", "<i>.jpg", "<pets>"):
        assert dangerous not in page
    words = "".join(read(page).words)
    assert "<b>dog</b>" in words
    assert 'a "quoted" & <script>alert(1)</script> name that is long' in words
    assert "train/<i>.jpg: is cut short" in words
    assert read(page).of("title") == [{}]
    assert "<title>runs/&lt;pets&gt;: images</title>" in page


def test_the_figures_come_first():
    page = report_html(whole())
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert pairs == [
        ("test accuracy", "87.50%"),
        ("test loss", "0.2512"),
        ("epochs", "2"),
        ("parameters", "142"),
        ("time", "1 min 23 s"),
    ]
    with_five = Figures(**{**FIGURES.__dict__, "top_5_accuracy": 0.99})
    assert "<dt>among the first five</dt><dd>99.00%</dd>" in report_html(whole(metrics=with_five))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.25, "0.2 s"), (59.99, "60.0 s"), (60, "1 min 0 s"), (7384, "2 h 3 min")]
)
def test_times_are_in_their_units(seconds, words):
    assert f"<dt>time</dt><dd>{words}</dd>" in report_html(ReportData(title="", seconds=seconds))


def test_each_class_has_its_figures():
    assert rows(report_html(whole()), "classes") == [
        "class|precision|recall|F1|images",
        "cat|1.000|0.500|0.667|10",
        "&lt;b&gt;dog&lt;/b&gt;|0.500|0.500|0.500|10",
        'a "quoted" &amp; &lt;script&gt;alert(1)&lt;/script&gt; name that is long|0.750|1.000|0.857|10',
        f"{'x' * 90}|1.000|1.000|1.000|1,200",
        "mean|0.812|0.750|0.756|1,230",
    ]


def test_each_layer_has_its_shape_and_arithmetic():
    assert rows(report_html(whole()), "layers") == [
        "|layer|output|parameters|arithmetic",
        "|input|1 × 8 × 8||",
        "conv|Conv2d(name='conv', out_channels=3, kernel_size=3)|3 × 6 × 6|30|"
        "8 − 3 + 1 = 6; 3·3·1·3 + 3 = 30",
        "1|ReLU()|3 × 6 × 6|0|",
        "2|MaxPool2d(kernel_size=2)|3 × 3 × 3|0|(6 − 2)//2 + 1 = 3",
        "3|Flatten()|27|0|3·3·3 = 27",
        "4|Dense(out_features=4)|4|112|27·4 + 4 = 112",
        "|together||142|",
    ]


def test_settings_are_in_words():
    page = report_html(whole())
    assert rows(page, "pairs") == [
        "batch size|64",
        "optimizer|Adam, learning rate 0.003",
        "standardize|yes",
        "augment|none",
    ]
    assert rows(page, "epochs") == [
        "epoch|loss|validation accuracy|seconds",
        "1|2.5|25.00%|1.25",
        "2|0.5|87.50%|1.50",
    ]


def test_the_run_can_be_repeated():
    words = "".join(read(report_html(whole())).words)
    assert "closedform train 'runs/<pets>/run.toml' --seed 7" in words
    assert "seed7" in words
    assert "closedform0.1.0" in words


def test_without_pictures_the_page_says_how_to_get_them():
    page = report_html(whole())
    assert read(page).of("img") == []
    sentence = "There are none: <code>pip install 'closedform[plots]'</code> adds them to the next run."
    assert sentence in page


def test_a_picture_that_was_left_out_has_its_reason(pictures):
    reason = "There are no mistakes to show: every test image was classified right."
    assert [picture.caption for picture in pictures if picture.path is None] == [reason]
    assert f"<h3>Worst mistakes</h3><p>{reason}</p>" in report_html(whole(pictures))


@pytest.mark.parametrize("missing", list(whole().__dict__)[1:])
def test_any_part_may_be_missing(missing):
    empty = {"settings": {}, "data": {}, "classes": (), "left_out": (), "versions": {}, "network_words": ""}
    page = report_html(whole(**{missing: empty.get(missing)}))
    assert read(page).of("h1") == [{}]
    assert "None" not in page


def test_a_title_alone_is_a_page():
    page = read(report_html(ReportData(title="a run")))
    assert "".join(page.words).count("a run") == 2
    assert [tag for tag, _ in page.elements if tag in ("table", "dl", "img")] == []


def test_many_files_left_out_are_counted():
    names = tuple(f"{k}.png: is empty" for k in range(150))
    page = report_html(whole(left_out=names))
    assert "150 files were left out:" in page
    assert page.count("<li>") == 100
    assert "… and 50 more." in page
    assert "1 file was left out:" in report_html(whole())


def test_the_page_is_written_whole(tmp_path):
    write_report(tmp_path / "report.html", whole(title="chats \udcff 猫"))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    assert text.endswith("</html>\n")
    assert "<title>chats ? 猫</title>" in text


def test_a_picture_that_is_gone_is_named(tmp_path):
    gone = Picture("filters.png", "First filters", "All.", "Filters.", tmp_path / "filters.png")
    with pytest.raises(cf.FileError) as caught:
        write_report(tmp_path / "report.html", whole([gone]))
    assert str(caught.value) == f"{tmp_path / 'filters.png'}: cannot be read: No such file or directory"
    assert not (tmp_path / "report.html").exists()


# ---- in a browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, whole(pictures))
    return path


@pytest.fixture
def opened(browser, page_file):
    """Opens the report; its console must stay empty, and it must have asked for itself only."""
    contexts, words, requests = [], [], []

    def open_(**settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: words.append(message.text))
        page.on("pageerror", lambda error: words.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert words == []
    assert [url for url in requests if not url.startswith("data:")] == [page_file.as_uri()] * len(contexts)


def test_a_phone_never_scrolls_sideways(opened):
    page = opened(viewport=PHONE)
    page.locator("details").evaluate_all("found => found.forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    # what is cut off can be reached by keyboard
    cut = "e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === 'auto' && e.tabIndex < 0"
    assert page.locator("body *").evaluate_all(f"found => found.filter({cut}).length") == 0


def test_pictures_keep_a_size_at_which_they_can_be_read(opened):
    widths = "found => found.map(e => Math.round(e.getBoundingClientRect().width / e.naturalWidth * 100))"
    assert opened().locator("img").evaluate_all(widths) == [50] * 4
    assert min(opened(viewport=PHONE).locator("img").evaluate_all(widths)) >= 30


def test_the_page_is_light_or_dark(opened):
    paper = "getComputedStyle(document.body).backgroundColor"
    assert opened(color_scheme="light").evaluate(paper) == "rgb(253, 252, 248)"
    assert opened(color_scheme="dark").evaluate(paper) == "rgb(22, 24, 27)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 900}], ids=["phone", "desk"])
def test_axe_finds_nothing(opened, violations, scheme, viewport):
    page = opened(viewport=viewport, color_scheme=scheme)
    page.locator("details").evaluate_all("found => found.forEach(each => each.open = true)")
    assert violations(page) == []
