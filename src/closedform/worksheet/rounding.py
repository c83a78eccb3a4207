"""Claims whose decimals are rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from closedform.worksheet.claims import Claim, Claimed


def is_decimal(entry: Claimed) -> bool:
    """Whether an entry is written with a point, or stands among floats: it may have been rounded."""
    return entry.number is not None and ("." in entry.text or bool(entry.within))


def rounded_to(digits: int, claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims with decimals taken as rounded to so many after the point; whole numbers stay exact."""
    within = Fraction(1, 2 * 10**digits)
    found = []
    for claim in claims:
        entries = {
            place: replace(entry, within=within) if is_decimal(entry) else entry
            for place, entry in claim.entries.items()
        }
        found.append(replace(claim, entries=entries))
    return tuple(found)
