"""The report of a training run: one page that holds its pictures and needs no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from closedform.errors import FileError
from closedform.explanation.rendering.markup import element, escape, opening
from closedform.layers.base import shape_text
from closedform.writing import PathLike, reason, write_file

if TYPE_CHECKING:
    from pathlib import Path

    from closedform.network import Network
    from closedform.runs.pictures import Picture
    from closedform.training.history import History
    from closedform.training.metrics import Metrics

__all__ = ["ReportData", "report_html", "write_report"]

_MOST_OPEN = 20  # rows up to which a table is shown at once
_MOST_NAMED = 100  # left out files that are listed
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_WORDS = {"loss": "loss", "accuracy": "accuracy", "val_loss": "validation loss"}
_WORDS |= {"val_accuracy": "validation accuracy", "learning_rate": "learning rate"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """What a report shows.  Of what is not given, nothing is said.

    Attributes
    ----------
    title : str
        Of the page: "mnist: a network of 4 layers".
    network : Network, optional
        For the table of its layers.
    network_words : str
        Where it comes from, a sentence: "The default for 28×28 greyscale images, net pair."
    settings : dict
        The training's settings by name, in order; plain values, lists and dicts of them.
    data : dict
        Facts about the data set by name, in order: ``{"kind": "IDX", "training images": 54000, ...}``.
    classes : tuple of str
        The classes' names, by label.
    left_out : sequence of str
        A sentence for each file that was left out.
    history : History, optional
        The epochs.
    metrics : Metrics, optional
        How good it is on the test set.
    seconds : float, optional
        How long the run took.
    pictures : sequence of Picture, optional
        From `draw_pictures`; None where matplotlib is missing, which the report says.
    versions : dict of str
        Names and versions of what it ran with.
    seed : int, optional
        What decided the weights and the order.
    command : str, optional
        The command line that repeats the run.
    """

    title: str
    network: Network | None = None
    network_words: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    left_out: Sequence[str] = ()
    history: History | None = None
    metrics: Metrics | None = None
    seconds: float | None = None
    pictures: Sequence[Picture] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    command: str | None = None


def write_report(path: PathLike, run: ReportData) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : path
        The file, "report.html".
    run : ReportData
        What it shows.  The files of its pictures are read and become part of the page.

    Raises
    ------
    FileError
        Where the page cannot be written, or a picture's file cannot be read.
    """
    write_file(path, report_html(run).encode("utf-8", "replace"), "report.html")


def report_html(run: ReportData) -> str:
    """The page as text."""
    sections = (_test, _pictures, _network, _training, _data, _again)
    style = files("closedform.runs").joinpath("report.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        opening("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        '<link rel="icon" href="data:,">',
        element("title", escape(run.title, quote=False)),
        element("style", style),
    )
    body = (
        '<a class="skip" href="#content">Skip to the report</a>\n<div class="page">',
        element("header", element("p", "Training run", class_="over"), element("h1", escape(run.title))),
        element("main", _figures(run), *(section(run) for section in sections), id="content"),
        "<footer><p>Written by <code>closedform</code>. One file: it needs no network and can be mailed or "
        "printed.</p></footer>\n</div>",
    )
    parts = ("<!DOCTYPE html>", '<html lang="en">', element("head", "\n", "\n".join(head), "\n"))
    return "\n".join((*parts, element("body", "\n", "\n".join(body), "\n"), "</html>\n"))


# ---- sections, each nothing where there is nothing to say


def _figures(run: ReportData) -> str:
    """The few numbers that say how it went."""
    pairs = []
    if run.metrics is not None:
        pairs.append(("test accuracy", f"{run.metrics.accuracy:.2%}"))
        if run.metrics.top_5_accuracy is not None:
            pairs.append(("among the first five", f"{run.metrics.top_5_accuracy:.2%}"))
        if run.metrics.loss is not None:
            pairs.append(("test loss", f"{run.metrics.loss:.4g}"))
    if run.history is not None:
        pairs.append(("epochs", f"{len(run.history.epoch):,}"))
    if run.network is not None:
        pairs.append(("parameters", f"{run.network.architecture.parameter_count:,}"))
    if run.seconds is not None:
        pairs.append(("time", _duration(run.seconds)))
    if not pairs:
        return ""
    listed = [
        element("div", element("dt", escape(word)), element("dd", escape(value))) for word, value in pairs
    ]
    return element("dl", *listed, class_="figures")


def _test(run: ReportData) -> str:
    metrics = run.metrics
    if metrics is None:
        return ""
    names = [run.classes[k] if k < len(run.classes) else str(k) for k in range(len(metrics.support))]
    columns = (metrics.precision, metrics.recall, metrics.f1)
    rows = [
        (name, *(f"{values[k]:.3f}" for values in columns), f"{metrics.support[k]:,}")
        for k, name in enumerate(names)
    ]
    total = ("mean", *(f"{values.mean():.3f}" for values in columns), f"{metrics.support.sum():,}")
    words = (
        "Precision: of the images that were taken for a class, the share that belongs to it. Recall: of the "
        "images of a class, the share that was recognised. F1 is their harmonic mean."
    )
    heads = ("class", "precision", "recall", "F1", "images")
    table = _table(heads, rows, "Figures of each class", "classes", foot=total)
    return _section("On the test set", element("p", words), _folded(table, len(rows), "classes"))


def _pictures(run: ReportData) -> str:
    if run.pictures is None:
        words = "There are none: <code>pip install 'closedform[plots]'</code> adds them to the next run."
        return _section("Pictures", element("p", words))
    parts = []
    for picture in run.pictures:
        parts.append(element("h3", escape(picture.title)))
        if picture.path is None:
            parts.append(element("p", escape(picture.caption)))
            continue
        data = _read(picture.path)
        width, height = _png_size(data)
        source = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
        # drawn with twice the pixels that a page shows
        image = opening("img", src=source, alt=picture.alt, width=width // 2, height=height // 2)
        parts.append(
            element("figure", _scrolling(image, picture.title), _caption(picture.caption, picture.name))
        )
    return _section("Pictures", *parts) if parts else ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {reason(error)}") from None


def _caption(words: str, name: str) -> str:
    return element("figcaption", escape(words), " ", element("code", escape(name)))


def _network(run: ReportData) -> str:
    if run.network is None:
        return ""
    from closedform.summary import count_arithmetic, size_arithmetic

    architecture = run.network.architecture
    rows = [("", "input", _times(architecture.input_shape), "", "")]
    for position, layer in enumerate(architecture.layers):
        own = [p for p in architecture.parameters if p.layer == position]
        count = sum(parameter.size for parameter in own)
        reasons = [*size_arithmetic(architecture, position), *count_arithmetic(own, count)]
        shape = _times(architecture.shapes[position + 1])
        rows.append((architecture.labels[position], str(layer), shape, f"{count:,}", "; ".join(reasons)))
    total = ("", "together", "", f"{architecture.parameter_count:,}", "")
    heads = ("", "layer", "output", "parameters", "arithmetic")
    words = [element("p", escape(run.network_words))] if run.network_words else []
    loss = architecture.loss
    if loss is not None:
        words.append(element("p", f"Loss: {escape(str(loss))}."))
    return _section("Network", *words, _table(heads, rows, "Layers", "layers", numeric=(3,), foot=total))


def _training(run: ReportData) -> str:
    parts = []
    if run.settings:
        parts.append(_pairs(run.settings, "Settings"))
    if run.history is not None and run.history.epoch:
        parts.append(_epochs(run.history))
    return _section("Training", *parts) if parts else ""


def _epochs(history: History) -> str:
    columns = list(history.history.items())
    rows = []
    for place, epoch in enumerate(history.epoch):
        figures = (_figure(key, values[place]) if place < len(values) else "" for key, values in columns)
        seconds = f"{history.seconds[place]:.2f}" if place < len(history.seconds) else ""
        rows.append((str(epoch + 1), *figures, seconds))
    heads = ("epoch", *(_WORDS.get(key, key) for key in history.history), "seconds")
    return _folded(_table(heads, rows, "Epochs", "epochs"), len(rows), "epochs", always=True)


def _figure(key: str, number: float) -> str:
    return f"{number:.2%}" if key.endswith("accuracy") else f"{number:.4g}"


def _data(run: ReportData) -> str:
    facts = dict(run.data)
    if run.classes:
        facts["classes"] = f"{len(run.classes)}: {', '.join(run.classes)}"
    parts = [_pairs(facts, "Facts")] if facts else []
    if run.left_out:
        count = len(run.left_out)
        parts.append(element("p", f"{count:,} {'file was' if count == 1 else 'files were'} left out:"))
        listed = element("ul", *(element("li", escape(each)) for each in run.left_out[:_MOST_NAMED]))
        parts.append(_folded(listed, count, "files"))
        if count > _MOST_NAMED:
            parts.append(element("p", f"… and {count - _MOST_NAMED:,} more."))
    return _section("Data", *parts) if parts else ""


def _again(run: ReportData) -> str:
    parts = []
    if run.command is not None:
        parts.append(element("p", "The same command gives the same weights, with the same versions:"))
        parts.append(element("pre", element("code", escape(run.command))))
    facts = ({} if run.seed is None else {"seed": str(run.seed)}) | dict(run.versions)
    if facts:
        parts.append(_pairs(facts, "Versions and seed"))
    return _section("How to repeat it", *parts) if parts else ""


# ---- parts of the page


def _section(title: str, *inside: str) -> str:
    return element("section", element("h2", escape(title)), *inside)


def _pairs(facts: Mapping[str, Any], label: str) -> str:
    rows = [
        element("tr", element("th", escape(_worded(name)), scope="row"), element("td", escape(_shown(value))))
        for name, value in facts.items()
    ]
    return _scrolling(element("table", element("tbody", *rows), class_="pairs"), label)


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    label: str,
    kind: str,
    *,
    numeric: Sequence[int] | None = None,
    foot: Sequence[str] = (),
) -> str:
    """A table whose first column names its rows; without `numeric` all others are numbers."""
    numbers = range(1, len(heads)) if numeric is None else numeric

    def row(cells: Sequence[str], tag: str = "td") -> str:
        parts = []
        for column, cell in enumerate(cells):
            is_head = tag == "th" or (column == 0 and cell != "")
            scope = ("col" if tag == "th" else "row") if is_head and cell else None
            name = "th" if is_head and cell else "td"
            class_ = "n" if column in numbers else None
            parts.append(element(name, escape(cell, quote=False), scope=scope, class_=class_))
        return element("tr", *parts)

    inside = [element("thead", row(heads, "th")), element("tbody", *map(row, rows))]
    if foot:
        inside.append(element("tfoot", row(foot)))
    return _scrolling(element("table", *inside, class_=kind), label)


def _scrolling(inside: str, label: str) -> str:
    """What scrolls by itself where it is wider than the page; keys reach it."""
    return element("div", inside, class_="scroll", tabindex="0", role="region", aria_label=label)


def _folded(inside: str, count: int, what: str, always: bool = False) -> str:
    """A long table behind a line that opens it."""
    if count <= _MOST_OPEN and not always:
        return inside
    return element("details", element("summary", f"{count:,} {escape(what)}"), inside)


def _worded(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    """A setting in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        kind = [str(value["type"])] if "type" in value else []
        rest = (f"{_worded(str(name))} {_shown(inner)}" for name, inner in value.items() if name != "type")
        return ", ".join([*kind, *rest]) or "none"
    if isinstance(value, list | tuple):
        return "; ".join(map(_shown, value)) or "none"
    return str(value)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or shape_text(shape)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height, from the file's first block."""
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
