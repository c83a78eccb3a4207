"""The gradient of a formula, step by step."""

from closedform.formula.derive.derivation import Derivation, Step, derive, upstream_name

__all__ = ["Derivation", "Step", "derive", "upstream_name"]
