"""A solution sheet in a file: a network, its numbers, and what the sheet states of it."""

from closedform.worksheet.claims import Claim, Claimed
from closedform.worksheet.reading import read_worksheet
from closedform.worksheet.sheet import Worksheet

__all__ = ["Claim", "Claimed", "Worksheet", "read_worksheet"]
