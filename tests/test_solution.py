"""The quantities of a network and their values: against numbers by hand, PyTorch, and plain fractions."""

from fractions import Fraction

import numpy as np
import pytest

import closedform as cf
from closedform.formula.evaluate import evaluate_exactly
from closedform.layers.base import derivation
from closedform.solution import Solution, Values
from closedform.solution.exact import value_of
from closedform.solution.numbers import batch_of, given_array, numbers


def exact(array):
    """An array of fractions."""
    return numbers(np.asarray(array).tolist(), "x")


def values(architecture, names=None, batch=1, rate=None, **given):
    """The values of a network's quantities for these numbers."""
    solution = Solution(architecture, batch, names, learning_rate=rate)
    found = {name: given_array(solution, solution[name], value) for name, value in given.items()}
    return Values(solution, found)


# ---- by hand

CONV_MEAN = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), (1, 3, 3))


def test_the_quantities_of_sheet_c_in_the_order_of_a_solution():
    solution = Solution(CONV_MEAN, names={"0.weight": "F", "0": "O", "1": "y"})
    assert [(q.name, q.role, q.shape) for q in solution.quantities] == [
        ("X", "input", (1, 1, 3, 3)), ("F", "parameter", (1, 1, 2, 2)), ("O", "value", (1, 1, 2, 2)),
        ("y", "value", (1, 1)), ("dy", "given", (1, 1)), ("dO", "gradient", (1, 1, 2, 2)),
        ("dF", "gradient", (1, 1, 2, 2)), ("dX", "gradient", (1, 1, 3, 3)), ("F_new", "update", (1, 1, 2, 2)),
    ]  # fmt: skip
    assert solution.is_output_differentiated
    assert solution.find("d0.weight").name == "dF"
    assert solution.find("dx").name == "dX"


def test_the_values_of_sheet_c():
    found = values(
        CONV_MEAN, {"0.weight": "F", "0": "O", "1": "y"}, rate=Fraction(1, 2),
        X=[[2, 3, 4], [3, 1, 5], [4, -1, -2]], F=[[0, 3], [1, -2]], dy=1,
    )  # fmt: skip
    assert found["O"].tolist() == [[[[10, 3], [9, 18]]]]
    assert found["y"].tolist() == [[10]]
    assert (4 * found["dF"]).tolist() == [[[[9, 13], [7, 3]]]]
    assert (4 * found["dX"]).tolist() == [[[[0, 3, 3], [1, 2, 1], [1, -1, -2]]]]
    # F - 1/2 * dF
    assert (8 * found["F_new"]).tolist() == [[[[-9, 24 - 13], [8 - 7, -16 - 3]]]]
    assert all(found.is_exact(name) for name in ("O", "y", "dO", "dF", "dX", "F_new"))


def test_values_that_need_numbers_that_are_not_given_are_none():
    found = values(CONV_MEAN, X=[[2, 3, 4], [3, 1, 5], [4, -1, -2]], dP=1)
    assert found["Z"] is None
    assert found["dZ"].tolist() == [[[[Fraction(1, 4)] * 2] * 2]]
    assert found["dW"].tolist() == [[[[Fraction(9, 4), Fraction(13, 4)], [Fraction(7, 4), Fraction(3, 4)]]]]
    assert found["dX"] is None
    assert found["W_new"] is None


def test_what_is_given_takes_the_place_of_what_follows():
    found = values(CONV_MEAN, X=[[2, 3, 4], [3, 1, 5], [4, -1, -2]], W=[[0, 3], [1, -2]], dP=1)
    assert found["dX"] is not None  # known before
    half = np.full((1, 1, 2, 2), Fraction(1, 2), object)
    changed = found.with_given({"dZ": half})
    assert (4 * changed["dW"]).tolist() == [[[[18, 26], [14, 6]]]]
    assert changed["Z"].tolist() == found["Z"].tolist()
    assert (4 * changed["dX"]).tolist() == (8 * found["dX"]).tolist()
    assert found["dZ"][0, 0, 0, 0] == Fraction(1, 4)


def test_in_floats():
    found = values(CONV_MEAN, X=[[2, 3, 4], [3, 1, 5], [4, -1, -2]], W=[[0, 3], [1, -2]], dP=1).in_floats()
    assert found["dX"].dtype == np.float64
    assert (4 * found["dX"]).tolist() == [[[[0, 3, 3], [1, 2, 1], [1, -1, -2]]]]


# ---- PyTorch


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "square"])
def test_every_gradient_of_a_network_is_pytorchs(torch, loss):
    rng = np.random.default_rng(1)
    outputs, kind = {
        "softmax": (3, cf.SoftmaxCrossEntropy()),
        "sigmoid": (1, cf.SigmoidBinaryCrossEntropy()),
        "square": (2, cf.MeanSquaredError()),
    }[loss]
    architecture = cf.Architecture(
        (
            cf.Conv2d(3, 3, stride=2, padding=1), cf.Tanh(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(4),
            cf.ReLU(), cf.Dense(outputs),
        ),
        (2, 8, 8), kind,
    )  # fmt: skip
    given = {
        "X": rng.normal(size=(4, 2, 8, 8)),
        "W1": rng.normal(size=(3, 2, 3, 3)), "b1": rng.normal(size=3),
        "W2": rng.normal(size=(4, 12)), "b2": rng.normal(size=4),
        "W3": rng.normal(size=(outputs, 4)), "b3": rng.normal(size=outputs),
    }  # fmt: skip
    target = {"softmax": [0, 2, 1, 1], "sigmoid": [0, 1, 1, 0], "square": rng.normal(size=(4, 2))}[loss]
    found = values(architecture, batch=4, T=target, **given)
    t = {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}
    z = torch.tanh(torch.nn.functional.conv2d(t["X"], t["W1"], t["b1"], stride=2, padding=1))
    z = torch.nn.functional.max_pool2d(z, 2).flatten(1) @ t["W2"].T + t["b2"]
    z = torch.relu(z) @ t["W3"].T + t["b3"]
    y = torch.tensor(target)
    functional = torch.nn.functional
    expected = {
        "softmax": lambda: functional.cross_entropy(z, y),
        "sigmoid": lambda: functional.binary_cross_entropy_with_logits(z[:, 0], y.to(z.dtype)),
        "square": lambda: functional.mse_loss(z, y),
    }[loss]()
    expected.backward()
    assert found["L"] == pytest.approx(expected.item(), rel=1e-12)
    for name, tensor in t.items():
        np.testing.assert_allclose(found[f"d{name}"], tensor.grad.numpy(), rtol=1e-10, atol=1e-14)


# ---- the quick way to exact values

LAYERS = [
    (cf.Conv2d(2, 3, stride=2, padding=1), (2, 6, 7)),
    (cf.Conv2d(4, 2, groups=2), (2, 4, 3)),
    (cf.Conv2d(1, 2, dilation=2), (1, 5, 5)),
    (cf.LocallyConnected2d(2, 2), (2, 3, 4)),
    (cf.ChannelSummedConv2d(2, 2), (3, 4, 4)),
    (cf.DepthwiseConv2d(2), (3, 4, 3)),
    (cf.AvgPool2d(2), (2, 4, 6)),
    (cf.AvgPool2d(3, stride=2, padding=1), (1, 5, 5)),
    (cf.GlobalAvgPool2d(), (3, 3, 3)),
    (cf.GlobalMaxPool2d(), (3, 3, 3)),
    (cf.MaxPool2d(2, stride=1), (2, 4, 4)),
    (cf.Dense(3), (5,)),
    (cf.Flatten(), (2, 3, 2)),
    (cf.ReLU(), (2, 3, 3)),
    (cf.LeakyReLU(0.25), (2, 3)),
    (cf.MeanSquaredError(), (3,)),
    (cf.Formula("Y[n,f] = X[n,f]^2 * W[f]"), (4,)),
]


def drawn(rng, shape, denominators):
    """Whole numbers over small denominators, with ties and zeros among them."""
    found = np.empty(int(np.prod(shape, dtype=int)), object)
    found[:] = [
        Fraction(int(n), int(d)) for n, d in zip(
            rng.integers(-4, 5, found.size), rng.choice(denominators, found.size), strict=True
        )
    ]  # fmt: skip
    return found.reshape(shape)


@pytest.mark.parametrize("denominators", [[1], [1, 2, 3]], ids=["whole", "fractions"])
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[str(layer) for layer, _ in LAYERS])
def test_exact_values_are_those_of_plain_fractions(layer, shape, denominators):
    rng = np.random.default_rng(3)
    formula, sizes = layer.formula_for(shape), layer.sizes(shape, 2)
    arrays = {tensor: drawn(rng, sizes.shapes[tensor], denominators) for tensor in formula.tensors}
    lines = [(formula, sizes, arrays)]
    for tensor in formula.tensors:
        if tensor == "T":
            continue
        derived = derivation(layer, tensor, shape, 2)
        known = dict(arrays)
        if formula.left.subscripts:
            known[derived.upstream] = drawn(rng, derived.sizes.shapes[formula.left.tensor], denominators)
        known[formula.left.tensor] = evaluate_exactly(formula, arrays, sizes)
        for definition in derived.definitions:
            if definition.left.tensor not in known:
                lines.append((definition, derived.sizes, dict(known)))
                known[definition.left.tensor] = evaluate_exactly(definition, known, derived.sizes)
        lines.append((derived.result, derived.sizes, known))
    for equation, own, known in lines:
        read = {tensor: known[tensor] for tensor in equation.tensors}
        found = value_of(equation, known, own)
        assert found.dtype == object
        assert found.tolist() == evaluate_exactly(equation, read, own).tolist(), str(equation)


def test_numbers_that_float64_cannot_hold_stay_exact():
    large = 2**40 + 1
    net = cf.Architecture((cf.Dense(1, bias=False),), (2,))
    found = values(net, X=[large, -large], W=[large, 1], dY=1)
    assert found["Y"].tolist() == [[large * large - large]]


def test_functions_without_exact_values_give_floats():
    found = values(cf.Architecture((cf.Sigmoid(),), (2,)), X=[0, 1], dY=[1, 1])
    assert found["Y"].dtype == np.float64
    assert found["Y"][0, 0] == 0.5


# ---- the reader's numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9/4", Fraction(9, 4)),
        ("-0.1", Fraction(-1, 10)),
        ("−3", -3),
        (2.0, 2),
        (np.int8(3), 3),
        (True, None),
    ],
)
def test_exact_numbers(value, expected):
    if expected is None:
        with pytest.raises(cf.DataError):
            numbers(np.array([value, "x"], object), "x")
    else:
        assert numbers([value], "x").tolist() == [expected]


def test_a_number_that_is_not_exact_makes_all_of_them_floats():
    found = numbers([0.5, 1], "x")
    assert found.dtype == np.float64
    assert numbers(["1/2", 1], "x").dtype == object


@pytest.mark.parametrize(
    ("shape", "batch"), [((3, 3), 1), ((1, 3, 3), 1), ((5, 3, 3), 5), ((5, 1, 3, 3), 5), ((1, 1, 3, 3), 1)]
)
def test_the_batch_of_an_input(shape, batch):
    assert batch_of(np.zeros(shape), (1, 3, 3)) == batch
