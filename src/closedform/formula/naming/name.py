"""What a gradient is called: words, and where it is a sum of products a recipe that plain NumPy executes.

"Full convolution, cropped by the padding, of the zero-inserted dY with W rotated by 180°" is said of a
recipe that inserts zeros, pads, crops and rotates in just that way.  Where nothing fits, nothing is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from closedform.formula.derive.derivation import Derivation
from closedform.formula.naming.affine import product_parts, recipe_of
from closedform.formula.naming.phrases import Roles
from closedform.formula.naming.recipe import Operand, Recipe
from closedform.formula.naming.wording import words_of
from closedform.formula.notation import subscript_text, text
from closedform.formula.subscripts import Polynomial, extent_of, unprimed
from closedform.formula.tree import (
    FIRST,
    MINUS_ONE,
    SUM,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    accesses,
    bound_indices,
    canonical,
    is_divisor,
    minus,
    power,
    reduce,
    replace_access,
    times,
    walk,
)


@dataclass(frozen=True, repr=False)
class Name:
    """What a gradient is called.

    Attributes
    ----------
    words
        The name.
    recipe
        The steps that give the gradient, for plain NumPy; None where the name is that of a point-wise
        expression or of a loss.
    """

    words: str
    recipe: Recipe | None = None

    @property
    def zeros(self) -> str:
        """Where zeros are put and what is cut off: ``dY: 1 zero between neighbours, 2 zeros on every side``.

        Empty where nothing is.  Where a stride leaves rows uncovered, more zeros follow than precede.
        """
        if self.recipe is None:
            return ""
        return "; ".join(filter(None, map(_zeros, dict.fromkeys(self.recipe.operands))))

    def __str__(self) -> str:
        return self.words

    def __repr__(self) -> str:
        return f"Name({self.words!r})"


def name_of(derivation: Derivation) -> Name | None:
    """What the derivation's result is called, or None.

    The words say what the result's recipe does with which tensor; a recipe equals the result for all
    values of the tensors, so that the name cannot be that of something else.
    """
    before_folding = [
        earlier.equation for earlier, step in itertools.pairwise(derivation.steps) if step.rule == "fold"
    ]
    for equation in (derivation.result, *before_folding):
        recipe = recipe_of(equation, derivation.sizes)
        words = recipe and words_of(recipe, _roles(derivation), _factor(equation.right))
        if words:
            return Name(words, recipe)
    if derivation.upstream is None:
        words = _loss(derivation)
    else:
        words = _point_wise(derivation) or _less_its_average(derivation)
    return Name(words) if words else None


def _roles(derivation: Derivation) -> Roles:
    maxima = {
        definition.left.tensor: frozenset(map(unprimed, definition.right.indices))
        for definition in derivation.definitions
        if isinstance(definition.right, Reduce) and definition.right.operation == FIRST
    }
    return Roles(
        derivation.upstream,
        frozenset(derivation.of.tensors),
        maxima,
        frozenset(map(unprimed, bound_indices(derivation.of.right))),
    )


def _factor(right: Expression) -> str:
    parts = product_parts(right)
    return "" if parts is None or parts[0] == Polynomial.of(1) else subscript_text(parts[0])


# ---- point-wise expressions and losses


def _point_wise(derivation: Derivation) -> str | None:
    """``dY * f(X)``, every entry by itself."""
    left, right = derivation.result.left, derivation.result.right
    factors = list(right.factors) if isinstance(right, Times) else [right]
    upstream = [f for f in factors if isinstance(f, Access) and f.tensor == derivation.upstream]
    others = [factor for factor in factors if factor not in upstream]
    if len(upstream) != 1 or not others or not all(map(_has_entries_only, factors)):
        return None
    if any(access.subscripts != left.subscripts for access in accesses(right)):
        return None
    if derivation.upstream in {access.tensor for factor in others for access in accesses(factor)}:
        return None
    if any(
        isinstance(node, Number) and node.value.names & set(derivation.result.indices) for node in walk(right)
    ):
        return None
    numbers = [factor for factor in others if isinstance(factor, Number)]
    above = [f for f in others if not is_divisor(f) and not isinstance(f, Number)]
    below = [power(f.base, -f.exponent) for f in others if isinstance(f, Power) and is_divisor(f)]
    words = f"{text(numbers[0])} times " if numbers else ""
    words += f"{derivation.upstream}"
    words += f" times {_without_subscripts(times(*above))}" if above else ""
    words += f" divided by {_without_subscripts(times(*below))}" if below else ""
    return words + ", entry by entry"


def _has_entries_only(expression: Expression) -> bool:
    return not any(
        isinstance(node, Reduce | Jacobian) or (isinstance(node, Bracket) and node.compares_subscripts)
        for node in walk(expression)
    )


def _without_subscripts(expression: Expression) -> str:
    written = text(replace_access(expression, lambda access: Access(access.tensor, ())))
    return f"({written})" if isinstance(expression, Plus) else written


def _less_its_average(derivation: Derivation) -> str | None:
    """Softmax's gradient, ``Y * (dY - sum dY * Y)`` with the sum along one axis."""
    result = derivation.result
    output = Access(derivation.of.left.tensor, result.left.subscripts)
    upstream = Access(derivation.upstream or "", result.left.subscripts)
    for axis, subscript in enumerate(result.left.subscripts):
        along = tuple(_along(access, axis) for access in (upstream, output))
        average = reduce(SUM, [_OTHER], times(*along))
        if canonical(times(output, minus(upstream, average))) == canonical(result.right):
            product = f"{upstream.tensor} times {output.tensor}"
            return (
                f"{output.tensor} times the difference of {upstream.tensor} and the sum of {product} "
                f"over {subscript_text(subscript)}, entry by entry"
            )
    return None


_OTHER = "other"


def _along(access: Access, axis: int) -> Access:
    """The entry with an index of its own along one axis."""
    subscripts = (*access.subscripts[:axis], Polynomial.of(_OTHER), *access.subscripts[axis + 1 :])
    return Access(access.tensor, subscripts)


def _loss(derivation: Derivation) -> str | None:
    """The losses' gradients: a difference, divided by how many examples or entries there are."""
    result = derivation.result
    factors = result.right.factors if isinstance(result.right, Times) else (result.right,)
    scale = factors[0].value if isinstance(factors[0], Number) else Polynomial.of(1)
    rest = factors[1:] if isinstance(factors[0], Number) else factors
    if len(rest) != 1 or not isinstance(rest[0], Plus) or len(rest[0].terms) != 2:
        return None
    entry = Access(derivation.by, result.left.subscripts)
    output, target = rest[0].terms[0], times(MINUS_ONE, rest[0].terms[1])
    if target == entry:
        output, target, scale = target, output, -scale
    counted = _counted(scale, result)
    if counted is None or not isinstance(target, Access) or target.subscripts != entry.subscripts:
        return None
    number, divided = counted
    probabilities = [canonical(Function("sigmoid", entry)), *map(canonical, _softmaxes(entry))]
    if number == 1 and canonical(output) in probabilities:
        return f"the probabilities minus the labels{divided}"
    if output == entry and number in (1, 2):
        twice = "twice " if number == 2 else ""
        return f"{twice}the difference of {entry.tensor} and {target.tensor}{divided}"
    return None


def _counted(scale: Polynomial, result: Equation) -> tuple[Fraction, str] | None:
    """A number divided by the number of examples, by that of entries, or by nothing."""
    if scale.constant is not None:
        return scale.constant, ""
    axes = [subscript.lone for subscript in result.left.subscripts]
    extents = [Polynomial.of(extent_of(index)) for index in axes if index]
    if not extents or len(extents) < len(axes):
        return None
    entries = Polynomial.of(1)
    for extent in extents:
        entries = entries * extent
    for count, what in ((extents[0], "examples"), (entries, "entries")):
        number = (scale * count).constant
        if number is not None:
            return number, f", divided by the number of {what}"
    return None


def _softmaxes(entry: Access) -> list[Expression]:
    """The softmax of the entry along each of its axes."""
    exponential = Function("exp", entry)
    totals = [
        reduce(SUM, [_OTHER], Function("exp", _along(entry, axis))) for axis in range(len(entry.subscripts))
    ]
    return [times(exponential, power(total, -1)) for total in totals]


# ---- zeros in words


@dataclass(frozen=True)
class _Place:
    """How the zeros, the entries, the neighbours and the two ends along an axis are called."""

    zero: tuple[str, str]
    entry: tuple[str, str]
    neighbours: str
    ends: tuple[str, str]
    prefix: str = ""


_ROWS = _Place(("row of zeros", "rows of zeros"), ("row", "rows"), "rows", ("above", "below"))
_COLUMNS = _Place(
    ("column of zeros", "columns of zeros"), ("column", "columns"), "columns", ("left", "right")
)


def _places(axes: Sequence[int]) -> list[_Place]:
    if len(axes) == 2:
        return [_ROWS, _COLUMNS]
    words = (("zero", "zeros"), ("entry", "entries"))
    ends = ("before", "after")
    if len(axes) == 1:
        return [_Place(*words, "neighbours", ends)]
    return [_Place(*words, f"neighbours along axis {k}", ends, f"along axis {k}: ") for k in axes]


def _zeros(operand: Operand) -> str:
    spatial = [
        k
        for k, (axis, group) in enumerate(zip(operand.axes, operand.merge, strict=True))
        if len(axis.walk) > 1 or len(group) > 1 or axis.insert or axis.repeat > 1 or axis.pad != (0, 0)
    ]
    places = _places(spatial)
    inserted = [operand.insert[k] for k in spatial]
    pads = [operand.pad[k] for k in spatial]
    parts: list[str] = []
    if any(inserted):
        counts = [(n, place.neighbours) for n, place in zip(inserted, places, strict=True) if n]
        if len(set(inserted)) == 1:
            counts = [(inserted[0], "neighbours")]
        parts.append(" and ".join(f"{n} zero{'s' * (n > 1)} between {what}" for n, what in counts))
    sides = {amount for pad in pads for amount in pad}
    if len(sides) == 1 and min(sides) > 0:
        where = "on every side" if len(spatial) > 1 else "before and after"
        parts.append(f"{min(sides)} zero{'s' * (min(sides) > 1)} {where}")
    else:
        parts += [_border(pad, place) for pad, place in zip(pads, places, strict=True) if pad != (0, 0)]
    return f"{operand.tensor}: {', '.join(parts)}" if parts else ""


def _border(pad: tuple[int, int], place: _Place) -> str:
    """What is added before and after one axis: ``1 row of zeros above and 2 below``."""
    cut = (f"{place.entry[0]} cut off", f"{place.entry[1]} cut off")
    ends = list(zip(pad, place.ends, strict=True))
    zeros = _amounts([(amount, end) for amount, end in ends if amount > 0], place.zero)
    cuts = _amounts([(-amount, end) for amount, end in ends if amount < 0], cut)
    return place.prefix + " and ".join(zeros + cuts)


def _amounts(ends: Sequence[tuple[int, str]], noun: tuple[str, str]) -> list[str]:
    """``["1 row of zeros above", "2 below"]``: the noun is said once."""
    return [
        f"{amount} {end}" if position else f"{amount} {noun[amount > 1]} {end}"
        for position, (amount, end) in enumerate(ends)
    ]
