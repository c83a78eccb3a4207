"""The reference engine gives what the formula says, whatever the arrays' layout, and leaves them alone."""

import math
import threading

import numpy as np
import pytest
from table_cases import CASES, CONVOLUTION, MAXIMUM, cases, check_any_formula, problems

from closedform.engine.reference import plan
from closedform.errors import ShapeError
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import Sizes, solve
from closedform.formula.syntax import parse

NAN, INF = math.nan, math.inf


def value(formula, arrays, dtype=np.float64, **bindings):
    """The formula's value for these arrays, by the reference engine."""
    equation = parse(formula)
    arrays = {name: np.asarray(array, dtype) for name, array in arrays.items()}
    sizes = solve(equation, {name: array.shape for name, array in arrays.items()}, bindings)
    return plan([equation], sizes, [equation.left.tensor], dtype)(arrays)[equation.left.tensor]


def layouts(array, generator):
    """The array in row order, with its axes permuted in memory, and as every other entry of a larger one."""
    axes = generator.permutation(array.ndim)
    yield array
    yield np.array(array.transpose(axes), order="C").transpose(np.argsort(axes))
    wide = np.full([2 * n for n in array.shape], NAN)
    every_other = wide[(*[slice(None, None, -2)] * array.ndim, ...)]
    every_other[...] = array
    yield every_other


# ---- right


@pytest.mark.parametrize("number", range(CASES))
def test_plans_equal_pytorch_in_any_layout(torch, number):
    generator = np.random.default_rng(number)
    for problem in problems(cases()[number], seed=number + 100):
        run = plan(problem.equations, problem.sizes, [problem.output], np.float64)
        variants = zip(
            *[[(name, x) for x in layouts(array, generator)] for name, array in problem.arrays.items()],
            strict=True,
        )
        for variant in variants:
            arrays = dict(variant)
            before = {name: array.copy() for name, array in arrays.items()}
            result = run(arrays)[problem.output]
            np.testing.assert_allclose(result, problem.expected, rtol=1e-12, atol=1e-12, err_msg=problem.name)
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, before[name])
                flattens = problem.name.startswith("flatten")
                assert flattens or not np.may_share_memory(array, result), f"{problem.name}: {name}"


def test_plans_of_any_formula_equal_its_value():
    def run(equation, sizes, arrays):
        output = equation.left.tensor
        return plan([equation], sizes, [output], np.float64)(arrays)[output]

    check_any_formula(run, {"n": 3, "i": 2, "j": 3, "u": 2, "v": 3, "w2": 1}, (5, 7, 6))


@pytest.mark.parametrize(
    ("shape", "bindings"),
    [
        ((1, 1, 9, 9), {"q": 1, "u": 3, "v": 3}),
        ((1, 16, 9, 9), {"q": 8, "u": 3, "v": 3, "t1": 1, "t2": 1}),
        ((9, 3, 8, 9), {"q": 5, "u": 3, "v": 2, "s1": 2}),
        ((17, 2, 5, 5), {"q": 3, "u": 5, "v": 5}),
        ((2, 12, 7, 7), {"q": 4, "u": 3, "v": 3, "g": 3, "t1": 2, "d1": 2}),
        ((3, 33, 4, 4), {"q": 33, "u": 1, "v": 1}),
        ((2, 6, 8, 8), {"q": 1, "u": 3, "v": 3, "g": 6, "s1": 2, "s2": 2}),
        # large enough to be multiplied block by block
        ((25, 16, 17, 19), {"q": 5, "u": 3, "v": 3, "t1": 1, "t2": 1}),
        ((1, 64, 53, 41), {"q": 3, "u": 3, "v": 3}),
    ],
)
def test_float32_convolutions_of_many_shapes(shape, bindings):
    settings = {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "d1": 1, "d2": 1, "g": 1, **bindings}
    equation = parse(CONVOLUTION)
    sizes = solve(equation, {"X": shape}, settings)
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=sizes.shapes[name]) for name in ("X", "W", "b", "Y")}
    arrays["dY"] = arrays.pop("Y")
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    derived = [derive(equation, tensor, sizes) for tensor in "XWb"]
    for result, sizes_of in [(equation, sizes), *[(each.result, each.sizes) for each in derived]]:
        name = result.left.tensor
        exact = evaluate(result, {k: v.astype(np.float64) for k, v in single.items()}, sizes_of)
        run = plan([result], sizes_of, [name], np.float32)
        batch_last = {k: np.moveaxis(np.moveaxis(v, 0, -1).copy(), -1, 0) for k, v in single.items()}
        # one rounding of each product and each sum: terms * 2^-24 of the sum of absolute values, at most
        absolute = evaluate(result, {k: abs(v).astype(np.float64) for k, v in single.items()}, sizes_of)
        terms = single["dY"].size + single["W"].size
        for layout in (single, batch_last):
            found = run(layout)[name]
            assert found.dtype == np.float32
            assert (abs(found - exact) <= terms * 2.0**-24 * absolute).all()


def test_equations_may_read_what_those_before_them_define():
    equations = [parse("R[i] = sum[u] X[i+u]"), parse("S[i] = 2 * R[i]")]
    sizes = Sizes({"i": 3, "u": 3}, {}, {"X": (5,), "R": (3,), "S": (3,)})
    found = plan(equations, sizes, ["S", "R"], np.float64)({"X": np.arange(5)})
    assert {name: array.tolist() for name, array in found.items()} == {"S": [6, 12, 18], "R": [3, 6, 9]}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type(dtype):
    result = value("Y[i] = b[0] + sum[u] W[u] * X[i+u]", {"W": [1, 2], "X": [1, 2, 3], "b": [1]}, dtype)
    assert result.dtype == dtype
    assert result.tolist() == [6, 9]


def test_float16_is_computed_in_float32_and_rounded_once():
    twos = np.full((1, 1, 300, 300), 2)
    assert value("Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]", {"X": twos}, np.float16).tolist() == [[2]]
    equations = [parse("S[n] = sum[i] X[n,i]"), parse("Y[n] = 1/|i| * S[n]")]
    sizes = Sizes({"n": 1, "i": 4}, {}, {"X": (1, 4), "S": (1,), "Y": (1,)})
    found = plan(equations, sizes, ["S", "Y"], np.float16)({"X": np.full((1, 4), 6e4, np.float16)})
    assert {name: array.tolist() for name, array in found.items()} == {"S": [INF], "Y": [6e4]}
    assert {array.dtype for array in found.values()} == {np.dtype(np.float16)}


# ---- extremes


def test_large_logits_stay_finite():
    x = np.array([[1e4, -1e4, 0.0], [0.0, 1e4, 1e4]])
    t = np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    softmax = value("Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])", {"X": x}, np.float32)
    np.testing.assert_array_equal(softmax, [[1, 0, 0], [0, 0.5, 0.5]])
    loss = "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))"
    np.testing.assert_allclose(value(loss, {"X": x, "T": t}, np.float32), 1e4 + math.log(2) / 2, rtol=1e-7)
    gradient = "dX[n,k] = 1/|n| * (exp(X[n,k]) / (sum[m] exp(X[n,m])) - T[n,k])"
    np.testing.assert_array_equal(value(gradient, {"X": x, "T": t}, np.float32), [[0.5, -0.5, 0], [0, 0, 0]])
    binary = "L = -1/|n| * sum[n] (T[n]*log(sigmoid(X[n])) + (1-T[n])*log(1-sigmoid(X[n])))"
    assert value(binary, {"X": [1e4, -1e4, 1e4, -1e4], "T": [1, 0, 0, 1]}, np.float32) == 5000
    np.testing.assert_array_equal(value("Y[i] = sigmoid(X[i])", {"X": [1e4, -1e4, 0]}), [1, 0, 0.5])
    np.testing.assert_array_equal(value("Y[i] = softplus(X[i])", {"X": [1e4, -1e4]}), [1e4, 0])


@pytest.mark.parametrize(
    ("formula", "x", "expected"),
    [
        ("Y[i] = relu(X[i])", [NAN, -1, 2], [NAN, 0, 2]),
        ("Y[i] = max[u] X[i+u]", [1, NAN, 2, 3], [NAN, NAN, 3]),
        ("Y[i] = sum[u] X[i+u]", [1, NAN, 2, 3], [NAN, NAN, 5]),
        ("Y[i] = max[u] X[i+u-1]", [-INF, -INF, 1], [-INF, -INF, 1, 1]),
        ("Y[i] = abs(X[i])", [-INF, 1, NAN], [INF, 1, NAN]),
    ],
)
def test_nan_and_infinity_go_through(formula, x, expected):
    bindings = {"u": 2} if "[u]" in formula else {}
    np.testing.assert_array_equal(value(formula, {"X": x}, **bindings), expected)


def test_the_first_maximum():
    formula = "M[i,u] = first[u] X[i+u-1]"
    assert value(formula, {"X": [2, 2, 1]}, u=3, i=3).tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert value(formula, {"X": [2, NAN, NAN]}, u=3, i=3).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    # what is outside is not chosen though all is minus infinity
    assert value(formula, {"X": [-INF, -INF]}, u=3, i=2).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("formula", "z", "expected"),
    [
        ("Y[i] = sum[u] X[i+u-1] * log(Z[i+u-1])", [1, 2, 1], [math.log(2)] * 3),
        ("Y[i] = X[i-1] / Z[i]", [1, 2, 0], [0, 1 / 2, INF]),
        ("Y[i] = Z[i] / X[i-1]", [1, 2, 0], [0, 2, 0]),
        ("Y[i] = sum[u] X[(i-u)/2] / Z[i]", [1, 2, 0], [1, 1 / 2, INF]),
        ("Y[i] = [Z[i] > 0] * log(Z[i])", [0, 2, 0], [0, math.log(2), 0]),
        ("Y[i] = relu(Z[i]) + 1/2*Z[i]*[Z[i] <= 0]", [INF, -INF, NAN], [INF, -INF, NAN]),
        ("Y[i] = X[i] * (step(Z[i]) + 1/2*[Z[i] <= 0])", [INF, -INF, -2], [1, 1 / 2, 1 / 2]),
        ("Y[i] = [i != 1] * Z[i]", [1, INF, NAN], [1, 0, NAN]),
        ("Y[i] = sum[u] [u != i] * Z[u]", [1, 2, NAN], [NAN, NAN, 3]),
        ("Y[i] = sum[u] X[u] * Z[u] * [Z[u] <= i]", [1, INF, 2], [0, 1, 3]),
        # here the factor that is 0 is a sum, and no bracket
        ("Y[i] = Z[i] * sum[u] [X[u] > i]", [1, NAN, INF], [3, NAN, NAN]),
        ("Y[i] = sum[u] Z[i] * [X[u] > i]", [1, NAN, INF], [3, 0, 0]),
    ],
)
def test_what_is_missing_is_0_whatever_stands_beside_it(formula, z, expected):
    np.testing.assert_allclose(
        value(formula, {name: {"X": [1, 1, 1], "Z": z}[name] for name in parse(formula).tensors}, i=3, u=3),
        expected,
        rtol=1e-14,
    )


# ---- plans


def pooled_gradient():
    equation = parse(MAXIMUM)
    sizes = solve(equation, {"X": (4, 3, 9, 8)}, {"u": 3, "v": 3, "s": 2, "d": 1, "t": 1})
    derived = derive(equation, "X", sizes)
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=derived.sizes.shapes[name]) for name in ("X", "Y")}
    arrays["dY"] = arrays.pop("Y")
    return plan([*derived.definitions, derived.result], derived.sizes, ["dX"]), arrays


def test_the_same_call_gives_the_same_bits_in_every_thread():
    run, arrays = pooled_gradient()
    expected = run(arrays)["dX"].tobytes()
    found = []

    def call():
        for _ in range(20):
            found.append(run(arrays)["dX"].tobytes())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert set(found) == {expected}


def test_results_are_new_arrays():
    run, arrays = pooled_gradient()
    first = run(arrays)["dX"]
    kept = first.copy()
    run({name: 2 * array for name, array in arrays.items()})
    np.testing.assert_array_equal(first, kept)
    x = np.arange(4.0)
    copied = value("Y[i] = X[i] + Z[i]", {"X": x, "Z": np.zeros(4)})
    copied += 1
    assert x.tolist() == [0, 1, 2, 3]


def test_what_is_wrong_with_the_arrays_is_said():
    equation = parse("Y[n,o] = sum[f] W[o,f] * X[n,f]")
    run = plan([equation], solve(equation, {"X": (2, 3)}, {"o": 4}), ["Y"])
    with pytest.raises(ShapeError) as error:
        run({"X": np.zeros((2, 3))})
    assert str(error.value) == "no array for W: the plan reads W, X"
    with pytest.raises(ShapeError) as error:
        run({"X": np.zeros((2, 4)), "W": np.zeros((4, 3))})
    assert str(error.value) == "X has shape (2, 4), but the plan was made for (2, 3)"
