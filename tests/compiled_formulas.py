"""Layers of random formulas, with the sizes and arrays they are tried with."""

from dataclasses import dataclass

import numpy as np
from derivation_checks import gradient_of
from formulas import expressions
from hypothesis import strategies as st

import closedform as cf
from closedform.errors import FormulaError, ShapeError
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import solve
from closedform.formula.notation import text
from closedform.formula.subscripts import Polynomial
from closedform.formula.syntax import parse
from closedform.formula.tree import Access, Equation, Expression, Jacobian, Number, plus, rebuild, times

LENGTH = 13
_GIVEN = {"i": 3, "j": 4, "u": 2, "v": 3, "w2": 2, "u'": 2, "s": 2, "t1": 1, "k": 3, "gain": 2}
_N, _I, _J = (Polynomial.of(name) for name in "nij")
_OF_IMAGES = ("|n|", "|X.0|")


@dataclass(frozen=True)
class Line:
    """A layer, and what it gives for an input and a gradient of its output, in float64."""

    layer: cf.Formula
    x: np.ndarray
    dy: np.ndarray
    parameters: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


def _as_layer(node: Expression) -> Expression:
    """The expression with the image as the first axis of X, and nowhere else."""
    node = rebuild(node, _as_layer)
    match node:
        case Access("X" | "dY" | "hidden", (_, rest)):
            return Access("X", (_N, _without_images(rest)))
        case Access(tensor, subscripts):
            return Access(tensor, tuple(map(_without_images, subscripts)))
        case Number(value) if any(word in str(value) for word in _OF_IMAGES):
            return Number(Polynomial.of(3))
        case Jacobian():
            return Access("X", (_N, _J))
    return node


def _without_images(subscript: Polynomial) -> Polynomial:
    return _I if any(word in str(subscript) for word in _OF_IMAGES) else subscript


@st.composite
def lines(draw: st.DrawFn) -> Line | None:
    """A layer and its values; None where a random formula is no layer or has no finite values."""
    body = _as_layer(draw(expressions(("i", "j"), draw(st.integers(1, 3)))))
    entry = Access("X", (_N, _I + _J))
    body = draw(st.sampled_from([times, plus]))(body, entry)
    line = text(Equation(Access("Y", (_N, _I, _J)), body))
    try:
        equation = parse(line, settings=frozenset(_GIVEN))
        used = {*equation.indices, *equation.settings}
        layer = cf.Formula(line, **{name: value for name, value in _GIVEN.items() if name in used})
        sizes = solve(layer.formula, {"X": (3, LENGTH)}, dict(layer.values))
        rng = np.random.default_rng(0)
        arrays = {
            tensor: rng.normal(size=sizes.shapes[tensor]).astype(np.float32).astype(float)
            for tensor in layer.formula.tensors
        }
        with np.errstate(all="ignore"):
            expected = {"y": evaluate(layer.formula, arrays, sizes)}
            dy = rng.normal(size=expected["y"].shape).astype(np.float32)
            for tensor in arrays:
                derived = derive(layer.formula, tensor, sizes)
                gradient = gradient_of(derived, lambda known: evaluate(layer.formula, known, sizes))
                key = "x" if tensor == "X" else f"0.{tensor}"
                expected[key] = gradient({**arrays, derived.upstream or "": dy.astype(float)})
    except (FormulaError, ShapeError):
        return None
    # float32 overflows sooner, and loses all digits where large numbers cancel
    if not all(np.isfinite(array).all() and np.abs(array).max() < 1e4 for array in expected.values()):
        return None
    parameters = {f"0.{tensor}": array for tensor, array in arrays.items() if tensor != "X"}
    return Line(layer, arrays["X"].astype(np.float32), dy, parameters, expected)
