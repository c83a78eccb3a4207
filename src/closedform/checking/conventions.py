"""Conventions other than the library's, which a whole solution may follow: a sum instead of a mean over the
batch, half of the squared error, kernels that are turned before they are laid on the input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product

from closedform.checking.bases import STANDARD, Base, Convention, Numbers, kernel_quantities
from closedform.checking.stated import Stated, stated
from closedform.errors import ClosedformError
from closedform.layers import MeanSquaredError
from closedform.solution import Solution
from closedform.solution.names import LOSS
from closedform.worksheet.claims import Claim
from closedform.worksheet.sheet import Worksheet

_FLIPPED = (
    "Kernels are turned by 180° before they are laid on the input, in the whole solution: a convolution in "
    "the strict sense."
)


def followed(worksheet: Worksheet) -> Convention:
    """The convention that the whole solution follows; the library's own where it follows no other.

    Another is recognised only where two claims or more follow it and none that can tell follows the usual
    one; where the loss is what differs it must be among them, and where kernels are turned, two that lay a
    kernel on an image.
    """
    claims = [c for c in worksheet.claims if c.kind not in ("size", "count") and c.given_shape is None]
    if len(claims) < 2:
        return STANDARD
    usual = _results(claims, worksheet, STANDARD)
    if all(usual.values()):
        return STANDARD
    for convention in _conventions(worksheet):
        found = _results(claims, worksheet, convention)
        apart = [claim for claim in claims if found[claim.number] != usual[claim.number]]
        if len(apart) < 2 or any(usual[claim.number] for claim in apart):
            continue
        if _is_whole(convention, worksheet, [claim for claim in claims if found[claim.number]], claims):
            return convention
    return STANDARD


def _is_whole(
    convention: Convention, worksheet: Worksheet, right: Sequence[Claim], claims: Sequence[Claim]
) -> bool:
    """Whether every claim in whose own line the convention shows follows it: one alone is a mistake."""
    solution = worksheet.solution
    followers = {claim.quantity for claim in right}
    stated = {claim.quantity for claim in claims}
    if convention.scale != 1:
        loss = solution.names[LOSS]
        if loss not in followers or not stated & {loss, "d" + solution.output} <= followers:
            return False
    if convention.is_flipped:
        shown = stated & _shown_flipped(solution)
        return len(shown) > 1 and shown <= followers
    return True


def _shown_flipped(solution: Solution) -> frozenset[str]:
    """The quantities in whose own lines a kernel is laid on an image."""
    kernels = kernel_quantities(solution)
    found = {name for name in kernels if solution[name].role == "gradient"}
    for name in kernels:
        quantity = solution[name]
        if quantity.role == "parameter" and quantity.layer is not None:
            found |= {solution.output_of(quantity.layer), "d" + solution.output_of(quantity.layer - 1)}
    return frozenset(found)


def _conventions(worksheet: Worksheet) -> Iterator[Convention]:
    scales = dict(_scales(worksheet))
    for (scale, sentence), is_flipped in product([(Fraction(1), ""), *scales.items()], (False, True)):
        if scale != 1 or is_flipped:
            sentences = [sentence, _FLIPPED if is_flipped else ""]
            yield Convention(scale, is_flipped, "\n".join(filter(None, sentences)))


def _scales(worksheet: Worksheet) -> Iterator[tuple[Fraction, str]]:
    loss, batch = worksheet.architecture.loss, worksheet.batch
    if loss is None:
        return
    if batch > 1:
        yield Fraction(batch), "The loss is the sum over the examples, not their mean."
    if isinstance(loss, MeanSquaredError):
        outputs = math.prod(worksheet.architecture.output_shape)
        if outputs > 1:
            yield (
                Fraction(batch * outputs),
                "The loss is the sum of the squared differences, not their mean.",
            )
            yield (
                Fraction(outputs),
                "The loss is the mean over the examples of sums over the outputs.",
            )
        yield (
            Fraction(batch * outputs, 2),
            "The loss is half the sum of the squared differences.",
        )
        yield Fraction(1, 2), "The loss is half the mean squared error."
        if outputs > 1:
            yield (
                Fraction(outputs, 2),
                "The loss is half the mean over the examples of sums over the outputs.",
            )


def _results(claims: list[Claim], worksheet: Worksheet, convention: Convention) -> dict[int, bool]:
    numbers = Numbers(worksheet, convention)
    return {claim.number: _is_right(claim, worksheet, numbers) for claim in claims}


def _is_right(claim: Claim, worksheet: Worksheet, numbers: Numbers) -> bool:
    axes = worksheet.axes(claim.quantity)
    for base in _bases(claim, numbers):
        said = _stated(claim, base, worksheet, numbers)
        expected = base[claim.quantity]
        if said is None or expected is None:
            return False
        if not said.agrees(axes.to_sheet(expected)).all():
            return False
    return True


def _stated(claim: Claim, base: Base, worksheet: Worksheet, numbers: Numbers) -> Stated | None:
    try:
        return stated(claim, base, numbers.solution, worksheet.symbols)
    except ClosedformError:
        return None


def _bases(claim: Claim, numbers: Numbers) -> tuple[Base, ...]:
    if claim.kind in ("formula", "function"):
        return numbers.free[:1]
    return (numbers.own,) if numbers.own[claim.quantity] is not None else numbers.completed[:1]
