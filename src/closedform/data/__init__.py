"""Images and labels to train on, and how they are divided."""

from closedform.data.digits import load_digits
from closedform.data.split import Split, stratified_split

__all__ = ["Split", "load_digits", "stratified_split"]
