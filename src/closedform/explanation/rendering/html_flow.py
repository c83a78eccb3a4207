"""The network from input to output, each array drawn small."""

from __future__ import annotations

from closedform.explanation.document import Station
from closedform.explanation.rendering.html_words import inline
from closedform.explanation.rendering.markup import element, escape, opening

__all__ = ["flow"]


def flow(stations: tuple[Station, ...]) -> str:
    """Arrays and, between them, the layers that make one from the other."""
    items = []
    for station in stations:
        size = " × ".join(map(str, station.shape)) or "1"
        mini = element("span", _mini(station.shape), aria_hidden="true")
        name = element("span", element("b", inline(station.symbol)), " ", element("small", size))
        items.append(element("li", mini, name, class_="array"))
        if station.step:
            about = f"<br>{element('small', escape(station.about))}" if station.about else ""
            what = element("span", element("strong", escape(station.step)), about, class_="what")
            items.append(element("li", what, '<span class="arrow" aria-hidden="true"></span>', class_="step"))
    few = len(stations) <= 4
    return element(
        "ol", *items, class_="flow" if few else "flow wide", aria_label="The network, from input to output"
    )


def _mini(shape: tuple[int, ...]) -> str:
    """An array drawn small: its rows and columns, and its channels as sheets behind it."""
    rows, columns = (shape[-2], shape[-1]) if len(shape) > 1 else (shape[0] if shape else 1, 1)
    sheets = min(shape[-3], 3) - 1 if len(shape) > 2 else 0
    unit = min(19.0, 76 / max(rows, columns))
    width, height = max(unit * columns, 3), max(unit * rows, 3)
    behind = 4 * sheets
    square = [
        opening(
            "rect",
            x=f"{0.5 + 4 * k:g}",
            y=f"{0.5 + behind - 4 * k:g}",
            width=f"{width:g}",
            height=f"{height:g}",
        )
        for k in range(sheets, -1, -1)
    ]
    lines = ""
    if max(rows, columns) <= 16:
        lines += "".join(f"M{0.5 + unit * k:g} {0.5 + behind:g}v{height:g}" for k in range(1, columns))
        lines += "".join(f"M.5 {0.5 + behind + unit * k:g}h{width:g}" for k in range(1, rows))
    size = (f"{width + behind + 1:g}", f"{height + behind + 1:g}")
    drawn = "".join(each.replace(">", "/>") for each in square) + (f'<path d="{lines}"/>' if lines else "")
    return element("svg", drawn, class_="mini", width=size[0], height=size[1])
