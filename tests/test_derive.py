"""Gradients are derived by steps, each of which is an equality."""

import os
import zlib
from fractions import Fraction

import numpy as np
import pytest
from derivation_cases import LAYERS, OWN_LINES, Case, arrays_for, torch_value_of
from derivation_checks import (
    check_steps,
    exact_jacobian,
    finite_jacobian,
    gradient_of,
    torch_jacobian,
    with_upstream,
)
from derivation_users import USERS

import closedform as cf
from closedform.errors import FormulaError
from closedform.formula.derive import Derivation, derive
from closedform.formula.evaluate import evaluate, evaluate_exactly
from closedform.formula.extents import solve
from closedform.formula.syntax import parse

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
SETTINGS = range(60 if SLOW else 3)
VARIATIONS = range(12 if SLOW else 1)


def derivation(line, by, shapes, facts=(), **settings):
    formula = parse(line)
    return derive(formula, by, solve(formula, shapes, settings), facts=facts)


def generator(name, number):
    return np.random.default_rng([zlib.crc32(name.encode()), number])


# every step is an equality


@pytest.mark.parametrize("number", SETTINGS)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_step_of_a_layers_gradients_is_pytorchs_gradient(torch, layer, number):
    rng = generator(layer, number)
    case = LAYERS[layer](rng)
    arrays = case.arrays(rng)
    value = case.torch(torch, {name: torch.tensor(array) for name, array in arrays.items()}).numpy()
    for by in case.formula.tensors:
        found = derive(case.formula, by, case.sizes, facts=case.facts if by == "X" else ())
        jacobian = torch_jacobian(torch, case.torch, arrays, by)
        upstream = rng.uniform(-1, 1, value.shape) if found.upstream else None
        check_steps(found, arrays, value, jacobian, upstream, tolerance=1e-11)


@pytest.mark.parametrize(
    ("layer", "shape"), OWN_LINES, ids=[f"{layer} {shape}" for layer, shape in OWN_LINES]
)
def test_every_step_from_a_layers_own_line_is_pytorchs_gradient(torch, layer, shape):
    rng = generator(repr(layer), 0)
    formula = layer.formula_for(shape)
    for batch in (1, 2):
        sizes = layer.sizes(shape, batch)
        arrays = arrays_for(formula, sizes, layer.facts(), rng)
        of_torch = torch_value_of(layer, shape, batch)
        value = of_torch(torch, {name: torch.tensor(array) for name, array in arrays.items()}).numpy()
        for by in formula.tensors:
            if batch == 1:
                found = layer.gradient(by, shape)
            else:
                found = derive(formula, by, sizes, facts=layer.facts())
            assert found.of == formula
            jacobian = torch_jacobian(torch, of_torch, arrays, by)
            upstream = rng.uniform(-1, 1, value.shape) if found.upstream else None
            check_steps(found, arrays, value, jacobian, upstream, tolerance=1e-11)


def test_every_kind_of_layer_has_its_own_line_checked():
    assert {type(layer).__name__ for layer, _ in OWN_LINES} == {*cf.layers.LAYERS, *cf.layers.LOSSES}


@pytest.mark.parametrize("number", VARIATIONS)
@pytest.mark.parametrize("user", USERS)
def test_every_step_of_a_users_gradients_is_the_slope_of_finite_differences(torch, user, number):
    rng = generator(user, number)
    case = USERS[user].varied(rng) if number else USERS[user]
    formula, sizes, arrays = case.formula, case.sizes, case.arrays(rng)
    value = evaluate(formula, arrays, sizes)
    for by in formula.tensors:
        found = derive(formula, by, sizes)
        jacobian = finite_jacobian(lambda known: evaluate(formula, known, sizes), arrays, by)
        if case.torch:
            exact = torch_jacobian(torch, case.torch, arrays, by)
            np.testing.assert_allclose(jacobian, exact, 1e-8, 1e-8)
        upstream = rng.uniform(-1, 1, value.shape) if found.upstream else None
        check_steps(found, arrays, value, jacobian, upstream, tolerance=1e-8)


def test_the_first_of_equal_maxima_takes_the_gradient(torch):
    line = "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]"
    found = derivation(line, "X", {"X": (2, 2, 7, 6)}, s=2, t=1, u=3, v=3)
    rng = np.random.default_rng(0)
    arrays = {"X": rng.integers(0, 3, (2, 2, 7, 6)).astype(float)}

    def pool(torch, tensors):
        return torch.nn.functional.max_pool2d(tensors["X"], 3, 2, 1)

    value = pool(torch, {"X": torch.tensor(arrays["X"])}).numpy()
    jacobian = torch_jacobian(torch, pool, arrays, "X")
    check_steps(found, arrays, value, jacobian, rng.uniform(-1, 1, value.shape), tolerance=1e-12)


EXACT = {
    "conv": ("Y[n,|q|*g+q,i] = b[|q|*g+q] + sum[p,u] W[|q|*g+q,p,u] * X[n,|p|*g+p,s*i+d*u-t]",
             {"s": 2, "d": 2, "t": 1, "g": 2, "q": 1, "u": 2}, (1, 4, 5)),
    "conv in the plane": ("Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]",
                          {"s": 2, "t": 1, "q": 2, "u": 3, "v": 2}, (1, 1, 3, 3)),
    "locally connected": ("Y[n,q,i] = b[q,i] + sum[p,u] W[i,q,p,u] * X[n,p,s*i+u-t]",
                          {"s": 2, "t": 1, "q": 2, "u": 3}, (1, 2, 4)),
    "channel summed": ("Y[n,q,i] = b[q] + sum[p,u] W[q,u] * X[n,p,s*i+u-t]",
                       {"s": 3, "t": 2, "q": 2, "u": 3}, (1, 2, 4)),
    "average pool": ("Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u,s*j+v]",
                     {"s": 2, "u": 2, "v": 2}, (1, 1, 4, 5)),
    "average pool inside": (
        "Y[n,i] = (sum[u] X[n,s*i+u-t]) / sum[u] [0 <= s*i+u-t < |X.1|]", {"s": 2, "t": 1, "u": 3}, (2, 6)),
    "max pool": ("Y[n,i,j] = max[u,v] X[n,s*i+u-t,s*j+v-t]", {"s": 2, "t": 1, "u": 3, "v": 3}, (1, 4, 4)),
    "max pool that tiles": ("Y[n,i,j] = max[u,v] X[n,s*i+u,s*j+v]", {"s": 2, "u": 2, "v": 2}, (1, 4, 5)),
    "dense": ("Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]", {"o": 2}, (2, 3)),
    "leaky relu": ("Y[n,f] = relu(X[n,f]) - k * relu(-X[n,f])", {"k": Fraction(1, 100)}, (2, 3)),
    "flatten": ("Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]", {}, (1, 2, 2, 3)),
    "dropout": ("Y[n,f] = M[n,f] * X[n,f]", {}, (2, 3)),
    "bilinear": ("Y[n,i] = sum[u] A[u] * X[n,i+u] * X[n,i]", {"u": 2}, (2, 4)),
    "squared": ("Y[n,i] = sum[u] B[u] * X[n,s*i+u-t]^2", {"s": 2, "t": 1, "u": 3}, (2, 5)),
    "morphology": ("Y[n,i] = max[u] (X[n,s*i+u-t] + W[u])", {"s": 2, "t": 1, "u": 3}, (2, 6)),
    "transposed": ("Y[n,a] = sum[u] W[u] * X[n,(a+t-u)/s]", {"s": 2, "t": 1, "u": 3, "a": 7}, (2, 4)),
    "enlarged": ("Y[n,a] = X[n,a//k]", {"k": 2, "a": 7}, (2, 4)),
    "diagonal": ("Y[n,i] = X[n,i,i]", {}, (1, 3, 3)),
    "X times its transpose": ("Y[i,j] = sum[k] X[i,k] * X[j,k]", {}, (2, 3)),
    "windows that nothing guards": ("L = sum[i,u] X[2*i+u]^2", {"i": 3, "u": 3}, (6,)),
    "steps that nothing guards": ("L = sum[i,u] X[2*i+3*u]^2", {"i": 3, "u": 3}, (9,)),
    "mean squared error": ("L = 1/(|n|*|k|) * sum[n,k] (X[n,k]-T[n,k])^2", {}, (2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_every_step_is_the_same_fraction(name):
    line, settings, shape = EXACT[name]
    formula = parse(line)
    sizes = solve(formula, {"X": shape} | ({"T": shape} if "T" in formula.tensors else {}), settings)
    rng = generator(name, 0)

    def fractions(shape):
        # so far apart that no two sums of two tie
        entries = rng.choice(10**6, int(np.prod(shape)), replace=False) - 500_000
        return np.array([Fraction(2 * int(k) + 1, 30) for k in entries], object).reshape(shape)

    arrays = {tensor: fractions(sizes.shapes[tensor]) for tensor in formula.tensors}
    value = evaluate_exactly(formula, arrays, sizes)
    for by in formula.tensors:
        found = derive(formula, by, sizes)
        jacobian = exact_jacobian(lambda known: evaluate_exactly(formula, known, sizes), arrays, by)
        upstream = fractions(value.shape) if found.upstream else None
        check_steps(found, arrays, value, jacobian, upstream, tolerance=None)


def test_a_definition_that_is_read_outside_is_0_there_when_it_is_written_out():
    formula, definition = parse("Z[i] = V[i] * R[(i-1)/2]"), parse("R[j] = exp(X[j])")
    arrays = {"X": np.array([0.3, -0.7]), "V": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])}
    known = {**arrays, "R": np.exp(arrays["X"])}
    sizes = solve(formula, {"V": (6,), "R": (2,)}).extended(extents={"j": 2}, shapes={"X": (2,)})
    value = evaluate(formula, known, sizes)
    np.testing.assert_allclose(value, [0, 2 * np.exp(0.3), 0, 4 * np.exp(-0.7), 0, 0], 1e-15)
    found = derive(formula, "X", sizes, definitions=(definition,))
    assert found.steps[0].rule == "write out"
    jacobian = np.zeros((6, 2))
    jacobian[[1, 3], [0, 1]] = value[[1, 3]]
    check_steps(found, arrays, value, jacobian, np.arange(1.0, 7.0), tolerance=1e-14)


# gradients of gradients

TWICE = {
    "conv": LAYERS["conv"],
    "average pool": LAYERS["average pool"],
    "average pool inside": LAYERS["average pool inside"],
    "max pool": LAYERS["max pool"],
    "global max pool": LAYERS["global max pool"],
    "locally connected": LAYERS["locally connected"],
    "dense": LAYERS["dense"],
    "sigmoid": LAYERS["sigmoid"],
    "tanh": LAYERS["tanh"],
    "leaky relu": LAYERS["leaky relu"],
    "softmax": LAYERS["softmax"],
    "softmax cross-entropy": LAYERS["softmax cross-entropy"],
    "sigmoid cross-entropy": LAYERS["sigmoid cross-entropy"],
}
TWICE_USERS = [
    "bilinear", "squared", "relu in a convolution", "relu of a convolution", "response norm squared",
    "softmax pooling", "morphology", "a parameter twice", "diagonal", "X times its transpose",
    "transposed convolution", "division under a window", "division of a window", "ratio of neighbours",
    "squares that nothing guards", "a flattened pool", "single entries", "enlarged", "powers of sums",
    "unit length", "a tensor called dX", "names that definitions like",
]  # fmt: skip


# the second derivatives of these two are thousands of characters long
ALL_TWICE_USERS = [user for user in USERS if user not in ("attention", "batch norm")]


def check_again(first: Derivation, arrays, value, order: int, seed: int, facts=()) -> int:
    """Derive a derivation's result in everything it knows, down to `order`; how many were compared."""
    known = with_upstream(first, arrays, seed)
    gradient = gradient_of(first, value)
    compared = 0
    for by in known:
        try:
            found = first.derive(by, facts=facts)
        except FormulaError as error:
            assert f"{by} does not occur in this formula" in str(error)  # noqa: PT017
            slope = finite_jacobian(gradient, known, by)
            np.testing.assert_allclose(slope, 0, atol=1e-9)
            continue
        jacobian = finite_jacobian(gradient, known, by)
        upstream = with_upstream(found, {}, seed + 1)[found.upstream]
        check_steps(found, known, gradient(known), jacobian, upstream, tolerance=2e-7)
        compared += 1
        if order > 2:
            compared += check_again(found, known, gradient, order - 1, seed + 2)
    return compared


@pytest.mark.parametrize("number", range(10 if SLOW else 1))
@pytest.mark.parametrize("layer", TWICE)
def test_a_layers_gradient_is_differentiated_again(layer, number):
    rng = generator(layer, 100 + number)
    case = TWICE[layer](rng)
    again_of(case, rng)


@pytest.mark.parametrize("user", ALL_TWICE_USERS if SLOW else TWICE_USERS)
def test_a_users_gradient_is_differentiated_again(user):
    again_of(USERS[user], generator(user, 100))


def again_of(case: Case, rng, order: int = 2) -> None:
    formula, sizes, arrays = case.formula, case.sizes, case.arrays(rng)
    compared = 0
    for by in formula.tensors:
        first = derive(formula, by, sizes, facts=case.facts if by == "X" else ())
        compared += check_again(first, arrays, lambda known: evaluate(formula, known, sizes), order, 7)
    assert compared > 0 or not first.result.tensors


def test_a_third_derivative():
    again_of(Case("Y[n,f] = sigmoid(X[n,f])", {}, {"X": (2, 3)}), np.random.default_rng(0), order=3)
    line = "Y[n,q,i] = sum[p,u] W[q,p,u] * X[n,p,s*i+u-t]"
    settings = {"s": 2, "t": 1, "q": 2, "u": 3}
    again_of(Case(line, settings, {"X": (1, 2, 5)}), np.random.default_rng(0), order=3)
    line = "Y[n,i] = sum[u] A[u] * X[n,i+u] * X[n,i]"
    again_of(Case(line, {"u": 2}, {"X": (1, 4)}), np.random.default_rng(0), order=3)
