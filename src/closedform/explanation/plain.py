"""An explanation as Unicode text, for a terminal."""

from __future__ import annotations

from closedform.explanation.document import Document
from closedform.explanation.line import math_text

__all__ = ["math_text", "plain_text"]


def plain_text(document: Document, width: int = 100) -> str:
    """A document as text of at most `width` columns."""
    raise NotImplementedError
