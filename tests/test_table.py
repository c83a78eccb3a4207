"""Stride tables say what the formula says: run as loops over flat memory, in any memory order."""

import math

import numpy as np
import pytest
from nest import Count, run
from table_cases import CASES, cases, check_any_formula, problems

from closedform.errors import ShapeError
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import Sizes, solve
from closedform.formula.syntax import parse
from closedform.formula.table.lowering import lower
from closedform.formula.table.stable import stabilise

NAN, INF = math.nan, math.inf


def value(formula, arrays, count=None, **bindings):
    """The formula's value for these arrays, by its tables."""
    equation = parse(formula)
    arrays = {name: np.asarray(array, float) for name, array in arrays.items()}
    sizes = solve(equation, {name: array.shape for name, array in arrays.items()}, bindings)
    return run(lower(equation, sizes), arrays, count)


def tables_of(formula, shapes, **bindings):
    equation = parse(formula)
    return lower(equation, solve(equation, shapes, bindings)).tables


def in_random_order(equation, sizes, generator):
    """The equation's program with every tensor, temporaries among them, laid out in a random order."""
    program = lower(equation, sizes)
    order = {b.name.rstrip("+"): generator.permutation(len(b.shape)) for b in program.buffers.values()}
    return lower(equation, sizes, order)


# ---- right


@pytest.mark.parametrize("number", range(CASES))
def test_tables_in_any_memory_order_equal_pytorch(torch, number):
    generator = np.random.default_rng(number)
    for problem in problems(cases()[number], seed=number):
        known = dict(problem.arrays)
        for equation in problem.equations:
            program = in_random_order(equation, problem.sizes, generator)
            known[equation.left.tensor] = run(program, known)
        np.testing.assert_allclose(
            known[problem.output], problem.expected, rtol=1e-12, atol=1e-12, err_msg=problem.name
        )


def test_tables_of_any_formula_equal_its_value():
    generator = np.random.default_rng(0)
    check_any_formula(
        lambda equation, sizes, arrays: run(in_random_order(equation, sizes, generator), arrays),
        {"n": 2, "i": 3, "j": 2, "u": 3, "v": 2, "w2": 2},
        (6, 5, 4),
    )


def test_by_hand():
    assert value("Y[i] = sum[u] W[u] * X[2*i+u-1]", {"X": [1, 2, 3, 4], "W": [1, 10, 100]}).tolist() == [
        210,
        432,
    ]
    assert value("Y[i] = max[u] X[i+u-1]", {"X": [3, 1, 2]}, u=3).tolist() == [3, 3, 2]
    assert value("M[i,u] = first[u] X[i+u-1]", {"X": [3, 3, 2]}, u=3, i=3).tolist() == [
        [0, 1, 0],
        [1, 0, 0],
        [1, 0, 0],
    ]
    assert value("Y[i] = X[i//2] + 10*X[i % 2]", {"X": [1, 2, 3]}, i=5).tolist() == [11, 21, 12, 22, 13]
    assert value("Y[n,k] = [T[n] = k]", {"T": [2, 0]}, k=3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert value("Y[i] = sum[u] [u <= i] * X[u]", {"X": [1, 10, 100]}, i=3).tolist() == [1, 11, 111]
    assert value("L = 1/2 * sum[i] X[i]", {"X": [1, 2, 4]}) == 3.5


# ---- extremes


@pytest.mark.parametrize(
    ("formula", "z", "expected"),
    [
        ("Y[i] = sum[u] X[i+u-1] * log(Z[i+u-1])", [1, 2, 1], [math.log(2)] * 3),
        ("Y[i] = X[i-1] / Z[i]", [1, 2, 0], [0, 1 / 2, INF]),
        ("Y[i] = Z[i] / X[i-1]", [1, 2, 0], [0, 2, 0]),
        ("Y[i] = X[i/2] / Z[i]", [1, 2, 0], [1, 0, INF]),
        ("Y[i] = sum[u] X[(i-u)/2] / Z[i]", [1, 2, 0], [1, 1 / 2, INF]),
        ("Y[i] = [i > 0] * log(Z[i-1])", [1, 2, 0], [0, 0, math.log(2)]),
        ("Y[i] = [Z[i] > 0] * log(Z[i])", [0, 2, 0], [0, math.log(2), 0]),
        ("Y[i] = sum[u,j] [Z[u] > 0] * log(Z[u]) * X[j]", [0, 2, 0], [3 * math.log(2)] * 3),
        ("Y[i] = [i != 1] * Z[i]", [1, INF, NAN], [1, 0, NAN]),
        ("Y[i] = sum[u] [u != i] * Z[u]", [1, 2, NAN], [NAN, NAN, 3]),
        ("Y[i] = Z[i] * log(Z[i])", [0, 2, 1], [NAN, 2 * math.log(2), 0]),
        ("Y[i] = sum[u] exp(X[i+u-1]) * Z[u]", [1, 1, 1], [2 * math.e + 1, 3 * math.e, 2 * math.e + 1]),
        ("Y[i] = exp(X[i/2]) * Z[i]", [1, 1, 1], [math.e, 1, math.e]),
        ("Y[i] = max[u] (Z[u] - X[i+u-1])", [0, 2, 5], [4, 4, 1]),
    ],
)
def test_what_is_missing_is_0_whatever_stands_beside_it(formula, z, expected):
    arrays = {"X": [1, 1, 1], "Z": z}
    read = parse(formula).tensors
    result = value(formula, {name: arrays[name] for name in read}, i=3, u=3)
    np.testing.assert_allclose(result, expected, rtol=1e-14)


def test_infinite_logits_of_the_losses_stay_finite():
    x = np.array([[1e4, -1e4, 0.0], [0.0, 1e4, 1e4]])
    t = np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    softmax = value("Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])", {"X": x})
    np.testing.assert_array_equal(softmax, [[1, 0, 0], [0, 0.5, 0.5]])
    loss = value("L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))", {"X": x, "T": t})
    np.testing.assert_allclose(loss, (2e4 + math.log(2)) / 2, rtol=1e-15)
    gradient = value("dX[n,k] = 1/|n| * (exp(X[n,k]) / (sum[m] exp(X[n,m])) - T[n,k])", {"X": x, "T": t})
    np.testing.assert_array_equal(gradient, [[0.5, -0.5, 0], [0, 0, 0]])
    binary = "L = -1/|n| * sum[n] (T[n]*log(sigmoid(X[n])) + (1-T[n])*log(1-sigmoid(X[n])))"
    assert value(binary, {"X": [1e4, -1e4, 1e4, -1e4], "T": [1, 0, 0, 1]}) == 5000
    summed = "Y[n] = log(sum[m] exp(X[n,m]))"
    np.testing.assert_allclose(value(summed, {"X": x}), [1e4, 1e4 + math.log(2)], rtol=1e-15)


@pytest.mark.parametrize(
    ("formula", "stable"),
    [
        (
            "Y[n,k] = A[k] * exp(X[n,k]) / sum[m] exp(X[n,m])",
            "Y[n,k] = A[k] * exp(X[n,k] - max[m'] X[n,m']) / sum[m] exp(X[n,m] - max[m'] X[n,m'])",
        ),
        (
            "Y[n,k] = log(exp(X[n,k]) / sum[m] exp(X[n,m]))",
            "Y[n,k] = X[n,k] - max[m'] X[n,m'] - log(sum[m] exp(X[n,m] - max[m'] X[n,m']))",
        ),
        ("Y[n] = log(1 - sigmoid(X[n]))", "Y[n] = -softplus(X[n])"),
        ("Y[n] = 2 * log(sigmoid(X[n]))", "Y[n] = -2 * softplus(-X[n])"),
        ("Y[n,k] = exp(X[n,k]) / sum[m] exp(Z[n,m])", "Y[n,k] = exp(X[n,k]) / sum[m] exp(Z[n,m])"),
    ],
)
def test_stable_forms(formula, stable):
    assert stabilise(parse(formula).right) == parse(stable).right
    assert stabilise(parse(stable).right) == parse(stable).right


# ---- no work that is not needed


def test_a_stride_multiplies_no_inserted_zero():
    convolution = parse("Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]")
    sizes = solve(convolution, {"X": (1, 1, 5, 5)}, {"s": 2, "t": 1, "q": 1, "u": 3, "v": 3})
    derived = derive(convolution, "X", sizes)
    generator, count = np.random.default_rng(0), Count()
    arrays = {"dY": generator.normal(size=(1, 1, 3, 3)), "W": generator.normal(size=(1, 1, 3, 3))}
    run(lower(derived.result, derived.sizes), arrays, count)
    # along an axis 0, 2, 4 meet the middle weight and 1, 3 the outer two: 7 of 15; inserted zeros make it 15
    assert count.terms == 7 * 7


def test_rows_that_a_stride_leaves_uncovered_are_0():
    result = value("dX[a] = sum[u] dY[(a-u)/s] * W[u]", {"dY": [1, 2], "W": [1, 10]}, s=3, a=6)
    assert result.tolist() == [1, 10, 0, 2, 20, 0]
    assert value("dX[a] = dY[a/2]", {"dY": [1, 2]}, a=5).tolist() == [1, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("formula", "bindings", "terms"),
    [
        # channels first: 3*4*5 additions, then 2*3*3*6 products
        ("Y[q,i,j] = sum[p,u,v] W[q,u,v] * X[p,i+u,j+v]", {"q": 2, "u": 2, "v": 3}, 60 + 2 * 3 * 3 * 6),
        # what u and v do not touch is multiplied once
        ("Y[i,j] = sum[u,v] W[u,v] * X[0,i+u,j+v] * X[1,i,j]", {"u": 2, "v": 3}, 9 * 6 + 9),
        # a function of X is worked out once for each entry
        ("Y[q,i,j] = sum[p,u,v] W[q,p,u,v] * exp(X[p,i+u,j+v])", {"q": 2, "u": 2, "v": 3}, 60 + 324),
    ],
)
def test_what_does_not_depend_on_an_index_is_worked_out_once(formula, bindings, terms):
    equation = parse(formula)
    sizes = solve(equation, {"X": (3, 4, 5)}, bindings)
    arrays = {name: np.ones(sizes.shapes[name]) for name in equation.tensors}
    count = Count()
    result = run(lower(equation, sizes), arrays, count)
    np.testing.assert_allclose(result, evaluate(equation, arrays, sizes), rtol=1e-14)
    assert count.terms == terms


def test_a_layer_is_one_product_and_its_bias():
    product, bias = tables_of(
        "Y[n,q,i] = b[q] + sum[p,u] W[q,p,u] * X[n,p,2*i+u-1]", {"X": (2, 3, 7)}, q=4, u=3
    )
    assert product.is_product
    assert product.reduction == "sum"
    assert product.loops == (("n", 2), ("q", 4), ("i", 4), ("p", 3), ("u", 3))
    assert product.out.strides == (16, 4, 1, 0, 0)
    assert product.inputs[0].strides == (0, 9, 0, 3, 1)
    assert (product.inputs[1].offset, product.inputs[1].strides) == (0, (27, 0, 2, 9, 1))
    assert bias.is_product
    assert bias.accumulate
    assert bias.inputs[0].strides == (0, 1, 0)


def test_a_border_is_as_wide_as_what_is_read():
    equation = parse("Y[i] = sum[u] W[u] * X[2*i+u-1]")
    program = lower(equation, solve(equation, {"X": (6,)}, {"u": 3}))
    assert (program.buffers["X"].before, program.buffers["X"].after) == ((1,), (0,))
    both = parse("Y[i] = X[i-1] + max[u] X[i+u-2]")
    buffers = lower(both, solve(both, {"X": (6,)}, {"u": 4, "i": 6})).buffers.values()
    fills = {(buffer.before, buffer.after): buffer.fill for buffer in buffers if buffer.tensor == "X"}
    assert fills == {((1,), (0,)): 0.0, ((2,), (1,)): -INF}


def test_a_window_without_an_entry_is_an_error():
    with pytest.raises(ShapeError) as error:
        value("Y[i] = max[u] X[i+u-3]", {"X": [1, 2, 3]}, u=2, i=4)
    assert str(error.value) == (
        "max[u] X[i+u-3] has no term at i = 0: all of them read outside; give less padding or a larger window"
    )


@pytest.mark.parametrize("formula", ["Y[n,i] = max[u] X[n,i+u-t]", "Y[n,i] = 2 * relu(max[u] X[n,t*i+u])"])
def test_a_window_without_an_entry_is_the_same_error_as_in_evaluation(formula):
    equation = parse(formula)
    sizes = Sizes({"n": 2, "i": 4, "u": 2}, {"t": 3}, {"X": (2, 3), "Y": (2, 4)})
    place = "i = 0" if "-t" in formula else "i = 1"
    errors = []
    for work in (lambda: lower(equation, sizes), lambda: evaluate(equation, {"X": np.ones((2, 3))}, sizes)):
        with pytest.raises(ShapeError, match=f"has no term at {place}: all of them read outside") as error:
            work()
        errors.append(str(error.value))
    assert errors[0] == errors[1]
