"""An explanation as HTML: one page that needs no network, or a part of a notebook."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from closedform.explanation.document import Document, Section
from closedform.explanation.rendering.html_blocks import Writer
from closedform.explanation.rendering.markup import element, escape, opening

__all__ = ["html_fragment", "html_page", "page"]

# what holds for a page alone, and would disturb a notebook
_PAGE_RULES = """
@page { size: A4; margin: 18mm 18mm 20mm; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; scroll-padding-top: 1.5rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; }
"""
_FOOT = (
    "<footer><p>Written by <code>closedform</code>. "
    "One file: it needs no network and can be mailed or printed.</p></footer>"
)


def html_page(document: Document) -> str:
    """A document as one page that holds all it needs.

    Parameters
    ----------
    document
        What is shown.

    Returns
    -------
    str
        HTML with its style and its script inside.  An entry's name opens the page with that entry lit:
        ``page.html#o12``.
    """
    sections = [block for block in document.blocks if isinstance(block, Section)]
    start = next((k for k, block in enumerate(document.blocks) if isinstance(block, Section)), None)
    opens, rest = document.blocks[:start], document.blocks[len(document.blocks) if start is None else start :]
    writer = Writer()
    writer.reserve(document.blocks)
    head = _title(document, "h1") + writer.blocks(opens)
    main = element("main", writer.blocks(rest), id="content")
    contents = element("nav", "<h2>Contents</h2>", writer.contents(sections), aria_label="Contents")
    body = (
        '<a class="skip" href="#content">Skip to the solution</a>',
        element(
            "div", element("header", head), contents if len(sections) > 1 else "", main, _FOOT, class_="page"
        ),
    )
    return page(document.title, "\n".join(body))


def html_fragment(document: Document) -> str:
    """A document as a part of another page, as Jupyter shows it.

    Its style reaches nothing outside it, its ids begin with a digest of what it holds, and its script lights
    what is inside only.

    Parameters
    ----------
    document
        What is shown.

    Returns
    -------
    str
        HTML with its style and its script.
    """
    digest = hashlib.sha256(repr(document).encode()).hexdigest()[:8]
    writer = Writer(prefix=f"cf-{digest}-", level=3)
    writer.reserve(document.blocks)
    head = element("header", _title(document, "h2"))
    body = element("div", head, element("section", writer.blocks(document.blocks)), class_="closedform part")
    return "\n".join((element("style", _resource("page.css")), body, element("script", _resource("page.js"))))


def page(title: str, body: str) -> str:
    """A page around a body: its head, the style and the script of explanations.

    Parameters
    ----------
    title
        Plain words.
    body
        Markup; its parts go into one ``div`` of the class ``page``.

    Returns
    -------
    str
        HTML.  The page may load nothing, and runs no script but its own.
    """
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        opening("meta", http_equiv="Content-Security-Policy", content=policy),
        '<link rel="icon" href="data:,">',
        element("title", escape(title, quote=False)),
        element("style", _PAGE_RULES, _resource("page.css")),
    )
    parts = (
        "<!DOCTYPE html>",
        '<html lang="en">',
        element("head", "\n", "\n".join(head), "\n"),
        element("body", "\n", body, "\n", element("script", script), "\n", class_="closedform"),
        "</html>\n",
    )
    return "\n".join(parts)


@cache
def _resource(name: str) -> str:
    return files("closedform.explanation.rendering").joinpath(name).read_text(encoding="utf-8")


def _title(document: Document, tag: str) -> str:
    over = element("p", escape(document.over), class_="over") if document.over else ""
    return over + element(tag, escape(document.title, quote=False), class_="title")
