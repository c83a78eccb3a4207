"""An explanation as a Jupyter notebook."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from closedform.errors import MissingError
from closedform.explanation.document import Document
from closedform.explanation.rendering.markdown import sections


def notebook(document: Document) -> str:
    """A notebook of Markdown cells as JSON: one that opens the document, and one for each section.

    The same document gives the same bytes.

    Raises
    ------
    MissingError
        Where nbformat is not installed.
    """
    try:
        nbformat: Any = import_module("nbformat")
    except ImportError:
        raise MissingError("a notebook needs nbformat: pip install nbformat") from None

    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell(text, id=_identifier(position, key))
        for position, (key, text) in enumerate(sections(document))
    ]
    book = v4.new_notebook(cells=cells)
    nbformat.validate(book)
    return str(nbformat.writes(book)) + "\n"


def _identifier(position: int, key: str) -> str:
    """An identifier of a cell: at most 64 letters, digits, dashes and underscores, and unique."""
    return re.sub("[^a-zA-Z0-9_-]+", "-", f"{position}-{key or 'opening'}")[:64]
