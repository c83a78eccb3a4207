"""What all pictures share: colours, type, and sheets on which images are laid out."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import MissingError

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

Array = NDArray[Any]

DPI = 192  # twice what a page shows, so that it is sharp on screens of high density
PAPER, INK, SOFT, HAIR = "#fdfcf8", "#1d1d1b", "#5d5b55", "#dedacf"
BLUE, ORANGE = "#1c5291", "#b8560f"  # told apart with any colour vision, and by how dark they are
WORDS = 9.0  # points
_EDGE = 0.08  # inches of paper around a picture
_LONGEST_NAME = 20

# for signs that matplotlib's own DejaVu Sans lacks, where one of these is installed
_FALLBACKS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans", "Noto Sans Arabic", "Noto Sans Devanagari"),
    *("WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
)
_STYLE = {
    "font.size": WORDS,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.facecolor": PAPER,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": HAIR,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
}


def can_draw() -> bool:
    """Whether matplotlib is installed and can be imported."""
    try:
        with _quiet():
            import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """The pictures' own style, whatever a user's settings are; these are as before afterwards.

    Raises
    ------
    MissingError
        Where matplotlib is not installed.
    """
    if not can_draw():
        raise MissingError("pictures need matplotlib: pip install 'closedform[plots]'")
    with _quiet(), warnings.catch_warnings():
        import matplotlib.style
        from matplotlib.font_manager import fontManager

        # a name in a script for which no font is installed is drawn as boxes
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        installed = {font.name for font in fontManager.ttflist}
        fonts = ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)]
        with matplotlib.style.context(["default", {**_STYLE, "font.family": fonts}]):
            yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep matplotlib from telling of its font cache and its settings folder."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def figure(width: float, height: float, **settings: Any) -> Figure:
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, **settings)


def png(figure: Figure) -> bytes:
    """A figure with all that belongs to it as a PNG file: the same bytes for the same picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(
        buffer,
        format="png",
        dpi=DPI,
        facecolor=PAPER,
        metadata={"Software": None},
        bbox_inches="tight",
        pad_inches=_EDGE,
    )
    return buffer.getvalue()


def sequential() -> LinearSegmentedColormap:
    """From paper to blue, for shares from 0 to 1."""
    return _colours("share", [PAPER, "#a9c6e6", BLUE, "#0b2545"])


def diverging() -> LinearSegmentedColormap:
    """Blue for negative, almost white for 0, orange for positive numbers."""
    return _colours("sign", ["#0b3a75", "#6c9bd1", "#f7f5ef", "#e39a55", "#8a3b04"])


def _colours(name: str, stops: list[str]) -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, stops)


def short_name(name: str, longest: int = _LONGEST_NAME) -> str:
    """A class's name on one line of bounded length; what cannot be printed becomes a mark."""
    plain = "".join(sign if sign.isprintable() else "�" for sign in name)
    return plain if len(plain) <= longest else f"{plain[: longest - 1].rstrip()}…"


def as_pictures(images: Array) -> Array:
    """Images (N, C, H, W) as they are shown: (N, H, W), or (N, H, W, 3 or 4) in colour, from 0 to 1.

    Bytes are divided by 255.  Other numbers that leave 0 to 1 are brought there, all images alike.  Of a
    number of channels that is no colour, the mean is shown.
    """
    shown: Array = np.asarray(images, dtype=np.float32)
    if images.dtype == np.uint8:
        shown = shown / np.float32(255)
    shown = np.nan_to_num(shown)
    if shown.size and (shown.min() < 0 or shown.max() > 1):
        low, high = float(shown.min()), float(shown.max())
        shown = (shown - low) / max(high - low, 1e-12)
    if shown.shape[1] in (3, 4):
        return np.moveaxis(shown, 1, -1)
    mean: Array = shown.mean(axis=1, dtype=np.float32)
    return mean


class Sheet:
    """A sheet of so many inches, on which images and words are put by inches from its top left corner."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.figure = figure(width, height)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def image(self, array: Array, left: float, top: float, size: float, **settings: Any) -> None:
        """An image in a square of that size, its proportions kept; without settings, grey or in colour."""
        from matplotlib.patches import Rectangle

        rows, columns = array.shape[:2]
        scale = size / max(rows, columns)
        width, height = columns * scale, rows * scale
        chosen = settings or {"cmap": "gray", "vmin": 0, "vmax": 1}
        extent = (left, left + width, top + height, top)
        self.axes.imshow(array, extent=extent, aspect="auto", origin="upper", **chosen)
        frame = Rectangle((left, top), width, height, fill=False, edgecolor=SOFT, linewidth=0.5)
        self.axes.add_patch(frame)

    def words(self, text: str, x: float, y: float, **settings: Any) -> None:
        """Words, from x on and centred on y where the settings do not say otherwise."""
        chosen = {"ha": "left", "va": "center", **settings}
        self.axes.text(x, y, text, parse_math=False, **chosen)

    def scale(self, left: float, top: float, width: float, limit: float, label: str) -> None:
        """The colours of numbers from -limit to limit."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        place = (left / self.width, 1 - (top + 0.14) / self.height, width / self.width, 0.14 / self.height)
        bar = self.figure.colorbar(
            ScalarMappable(Normalize(-limit, limit), diverging()),
            cax=self.figure.add_axes(place),
            orientation="horizontal",
            ticks=[-limit, 0, limit],
        )
        bar.ax.set_xticklabels([f"−{limit:.2g}", "0", f"{limit:.2g}"])
        bar.outline.set_linewidth(0.5)
        bar.ax.set_xlabel(label)
