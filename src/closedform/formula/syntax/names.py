"""Which names a formula mentions, and whether each may stand where it stands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from closedform.formula.subscripts import Polynomial, digits, is_extent
from closedform.formula.syntax.tokens import Cursor
from closedform.formula.tree import Access, Expression, Jacobian, Number, free_names, left_indices, walk


@dataclass
class Use:
    """One mention of an index or a setting."""

    name: str
    position: int
    is_bound: bool  # by the left side or by a sum around it
    is_number: bool = True  # rather than part of a subscript or of a comparison


@dataclass(frozen=True)
class Subscript:
    """A subscript as it was written."""

    value: Polynomial
    position: int
    source: str


@dataclass
class Mentions:
    """What a formula mentions, with places.

    Attributes
    ----------
    uses
        Indices and settings.
    extents
        The names between bars, ``u`` of ``|u|`` and ``X.2`` of ``|X.2|``.
    values
        What can be no part of a subscript: ``tensor X``, ``sum``, ``∂``, ...
    reduced
        For each index of a sum or maximum, which of the two.
    ranks
        For each tensor, the number of its subscripts.
    """

    uses: list[Use] = field(default_factory=list)
    extents: list[tuple[str, int]] = field(default_factory=list)
    values: list[tuple[str, int]] = field(default_factory=list)
    reduced: dict[str, str] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)


def check_left(cursor: Cursor, subscripts: Sequence[Subscript], uses: Sequence[Use]) -> None:
    """Raise unless the left is made of indices and of digits that fill an axis, each there once."""
    for subscript in subscripts:
        if subscript.value.lone or digits(subscript.value):
            continue
        for monomial, _ in subscript.value:
            names = [atom for atom, _ in monomial if isinstance(atom, str) and not is_extent(atom)]
            if len(names) > 1:
                cursor.fail(
                    f"{' and '.join(sorted(names))} are multiplied on the left: only extents multiply "
                    "an index there, as in |r|*i+r",
                    subscript.position,
                )
        cursor.fail(
            f"{subscript.source} cannot stand on the left: write an index such as i, "
            "or digits that fill the axis, as in |r|*i+r",
            subscript.position,
        )
    seen: set[str] = set()
    for use in uses:
        if use.name in seen:
            cursor.fail(f"index {use.name} stands on the left twice", use.position)
        seen.add(use.name)


def check_uses(cursor: Cursor, mentions: Mentions, settings: Collection[str] | None) -> None:
    """Raise where a name stands for nothing, or for something that cannot stand there."""
    for use in mentions.uses:
        name = use.name
        if use.is_bound and use.is_number:
            cursor.fail(
                f"index {name} cannot stand as a number: only settings, and extents such as |{name}|, can",
                use.position,
            )
        if use.is_bound:
            continue
        if name in mentions.reduced:
            cursor.fail(
                f"index {name} is used outside its {mentions.reduced[name]}, which ends with its product: "
                "put brackets around all of it",
                use.position,
            )
        if settings is None or name in settings:
            continue
        if use.is_number:
            cursor.fail(
                f"{name} is no setting: give its value ({name}=...), "
                f"or if it is a tensor its subscripts ({name}[...])",
                use.position,
            )
        cursor.fail(
            f"{name} is neither an index on the left, nor summed, nor a setting: "
            f"sum over it (sum[{name}]) or give its value ({name}=...)",
            use.position,
        )
    for name, place in mentions.extents:
        tensor, _, axis = name.partition(".")
        rank = mentions.ranks.get(tensor)
        if axis and rank is not None and int(axis) >= rank:
            cursor.fail(
                f"{tensor} has {rank} {'axis' if rank == 1 else 'axes'}, counted from 0: "
                f"there is no axis {axis}",
                place,
            )


def check_layer(
    cursor: Cursor,
    mentions: Mentions,
    left: Access,
    on_left: Sequence[Use],
    right: Expression,
    settings: Collection[str],
) -> None:
    """Raise where a formula, though it has a meaning, cannot be a layer's."""
    indices = {*mentions.reduced, *left_indices(left)}
    for name, place in mentions.extents:
        tensor, _, axis = name.partition(".")
        if axis and tensor not in mentions.ranks:
            cursor.fail(f"|{name}| is the extent of an axis of {tensor}, but no {tensor} is read", place)
        if not axis and name not in indices and name not in settings:
            cursor.fail(f"|{name}| is the extent of an index, but there is no index {name}", place)
    used = free_names(right) | {name for name, _ in mentions.extents}
    for use in on_left:
        if use.name not in used:
            cursor.fail(f"index {use.name} stands on the left only: the right side must use it", use.position)
    for what, place in mentions.values:
        if what == f"tensor {left.tensor}":
            cursor.fail(f"{left.tensor} stands on both sides: it cannot be read to define itself", place)
        if what == "∂":
            cursor.fail("∂ belongs to derivations: a layer's formula has no derivatives", place)


def extent_names(expression: Expression) -> frozenset[str]:
    """The names between bars, ``u`` of ``|u|`` and ``X.2`` of ``|X.2|``, that an expression mentions."""
    found: set[str] = set()
    for node in walk(expression):
        match node:
            case Number(value):
                found |= _extents_in(value)
            case Access() | Jacobian():
                entry = node.access if isinstance(node, Jacobian) else node
                found |= set().union(*map(_extents_in, entry.subscripts))
    return frozenset(found)


def _extents_in(value: Polynomial) -> set[str]:
    found: set[str] = set()
    for atom in value.atoms:
        if not isinstance(atom, str):
            found |= _extents_in(atom.numerator) | _extents_in(atom.denominator)
        elif is_extent(atom):
            found.add(atom[1:-1])
    return found
