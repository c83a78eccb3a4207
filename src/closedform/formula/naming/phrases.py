"""Pieces of the words in which recipes are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from closedform.formula.naming.recipe import Axis, Operand, Recipe


@dataclass(frozen=True)
class Roles:
    """The part that tensors and indices play in a derivation.

    Attributes
    ----------
    upstream
        The gradient that comes from above.
    tensors
        The tensors of the formula that was differentiated.
    maxima
        The tensors that select first maxima, each with the indices over which it does.
    summed
        The indices over which the formula sums: those inside a kernel are among them, those of its output
        are not.
    """

    upstream: str | None
    tensors: frozenset[str]
    maxima: Mapping[str, frozenset[str]]
    summed: frozenset[str]


class Phrases:
    """What the parts of one recipe are called.  Indices that take one value are not mentioned."""

    def __init__(self, recipe: Recipe, roles: Roles):
        self.recipe, self.roles = recipe, roles
        self.operands = recipe.operands

    def counts(self, index: str) -> bool:
        """Whether the index takes more than one value."""
        return self.recipe.extents[index] > 1

    def product(self, operands: Sequence[Operand], adjectives: Sequence[str] = ()) -> str:
        """The operands' names, with an article where more than a name is said: ``the padded X``."""
        names = sorted((o.tensor for o in operands), key=lambda name: name == self.roles.upstream)
        if len(names) == 1 and not adjectives:
            return names[0]
        noun = names[0] if len(names) == 1 else f"product of {', '.join(names[:-1])} and {names[-1]}"
        return " ".join(["the", *adjectives, noun])

    def apart(self, shared: Iterable[str]) -> str:
        """For which index each value is treated by itself, and on which nothing depends."""
        each = ", ".join(filter(self.counts, shared))
        copied = ", ".join(filter(self.counts, self.recipe.copied))
        words = f", for each {each} by itself" if each else ""
        return words + (f", the same for every {copied}" if copied else "")


def border(axes: Iterable[Axis]) -> list[str]:
    """What is done at the ends of axes, as adjectives."""
    pads = [pad for axis in axes for pad in axis.pad]
    return ["padded"] * any(pad > 0 for pad in pads) + ["cropped"] * any(pad < 0 for pad in pads)


def inserted(axes: Iterable[Axis]) -> list[str]:
    """Whether zeros stand between the entries, as an adjective."""
    return ["zero-inserted"] * any(axis.insert for axis in axes)


def fitted(crops: Sequence[int]) -> str:
    """What is cut from the result at its ends; a negative number of zeros is added."""
    cut = ", cropped by the padding" if any(crop > 0 for crop in crops) else ""
    return cut + (", with zeros where no window reaches" if any(crop < 0 for crop in crops) else "")
