"""Training: optimisers, the loop, and what it reports."""

from closedform.training.history import History
from closedform.training.optimisers import SGD, Adam, AdamW, Optimizer

__all__ = ["SGD", "Adam", "AdamW", "History", "Optimizer"]
