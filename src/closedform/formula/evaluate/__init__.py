"""The value of a formula: in floating point, or in exact fractions."""

from closedform.formula.evaluate.exact import evaluate_exactly
from closedform.formula.evaluate.floating import evaluate

__all__ = ["evaluate", "evaluate_exactly"]
