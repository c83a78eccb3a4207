"""Checking: somebody's value or gradient -> a verdict that names the mistake."""

from closedform.checking.check import check
from closedform.checking.mistakes import MISTAKES, Mistake
from closedform.checking.verdict import Entry, Verdict

__all__ = ["MISTAKES", "Entry", "Mistake", "Verdict", "check"]
