"""Text to tree: the grammar of the formula language."""

from closedform.formula.syntax.parser import parse

__all__ = ["parse"]
