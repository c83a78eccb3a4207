"""Evaluates every step of a derivation and compares it with a gradient from somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from closedform.formula.derive import Derivation
from closedform.formula.evaluate import evaluate, evaluate_exactly
from closedform.formula.notation import text
from closedform.formula.syntax import parse
from closedform.formula.tree import Equation

Arrays = dict[str, np.ndarray]
Value = Callable[[Arrays], np.ndarray]  # what a formula defines, from the tensors that it was given


def finite_jacobian(value: Value, arrays: Arrays, by: str) -> np.ndarray:
    """``∂Y/∂X`` of shape ``Y.shape + X.shape`` by central differences of fourth order."""
    step = 2.0**-13  # far smaller than the distance to any kink, far larger than rounding errors

    def moved(place: int, distance: float) -> np.ndarray:
        changed = arrays[by].copy()
        changed.reshape(-1)[place] += distance
        return value({**arrays, by: changed})

    columns = [
        (8 * (moved(k, step) - moved(k, -step)) - moved(k, 2 * step) + moved(k, -2 * step)) / (12 * step)
        for k in range(arrays[by].size)
    ]
    stacked = np.stack(columns, -1)
    return stacked.reshape(*stacked.shape[:-1], *arrays[by].shape)


def exact_jacobian(value: Value, arrays: Arrays, by: str) -> np.ndarray:
    """``∂Y/∂X`` in fractions: central differences are exact for polynomials of degree 2 in each entry."""
    step = Fraction(1, 1000)
    columns = []
    for place in np.ndindex(arrays[by].shape):
        ends = []
        for distance in (step, -step):
            changed = arrays[by].copy()
            changed[place] += distance
            ends.append(value({**arrays, by: changed}))
        columns.append((ends[0] - ends[1]) / (2 * step))
    stacked = np.stack(columns, -1)
    return stacked.reshape(*stacked.shape[:-1], *arrays[by].shape)


def torch_jacobian(torch: Any, value: Callable[[Any, Any], Any], arrays: Arrays, by: str) -> np.ndarray:
    """``∂Y/∂X`` by PyTorch's autograd."""
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}

    def of_one(tensor: Any) -> Any:
        return value(torch, {**tensors, by: tensor})

    found: np.ndarray = torch.autograd.functional.jacobian(of_one, tensors[by]).numpy()
    return found


def check_steps(
    derivation: Derivation,
    arrays: Arrays,
    value: np.ndarray,
    jacobian: np.ndarray,
    upstream: np.ndarray | None,
    *,
    tolerance: float | None,
) -> None:
    """Assert that every step equals the value of the formula, or the gradient that the Jacobian gives.

    Where `tolerance` is None the numbers are fractions and must be the same.
    """
    of = derivation.of.left.tensor
    gradient = jacobian if upstream is None else np.tensordot(upstream, jacobian, upstream.ndim)
    known = {**arrays, of: value, f"∂{of}/∂{derivation.by}": jacobian}
    if upstream is not None:
        known[derivation.upstream or ""] = upstream
    run = evaluate_exactly if tolerance is None else evaluate
    for definition in derivation.definitions:
        check_text(definition)
        known[definition.left.tensor] = run(definition, known, derivation.sizes)
    for step in derivation.steps:
        check_text(step.equation)
        before = step.rule in ("settings", "write out", "maximum")
        assert step.equation.left.tensor == (of if before else derivation.gradient)
        found, wanted = run(step.equation, known, derivation.sizes), value if before else gradient
        message = f"{derivation.of}, by {derivation.by}, {step.rule}: {step.equation}"
        if tolerance is None:
            assert found.shape == wanted.shape, message
            assert (found == wanted).all(), message
        else:
            np.testing.assert_allclose(found, wanted, tolerance, tolerance, err_msg=message)


def check_text(equation: Equation) -> None:
    """Assert that the equation can be printed and read again."""
    assert parse(text(equation)) == equation


def gradient_of(derivation: Derivation, value: Value) -> Value:
    """What a derivation's result gives, its definitions worked out from the tensors as well."""

    def gradient(arrays: Arrays) -> np.ndarray:
        known = {**arrays, derivation.of.left.tensor: value(arrays)}
        for definition in derivation.definitions:
            known[definition.left.tensor] = evaluate(definition, known, derivation.sizes)
        return evaluate(derivation.result, known, derivation.sizes)

    return gradient


def with_upstream(derivation: Derivation, arrays: Mapping[str, np.ndarray], seed: int) -> Arrays:
    """The arrays and a gradient from above under its name."""
    if derivation.upstream is None:
        return dict(arrays)
    shape = derivation.sizes.shapes[derivation.upstream]
    return {**arrays, derivation.upstream: np.random.default_rng(seed).uniform(-1, 1, shape)}
