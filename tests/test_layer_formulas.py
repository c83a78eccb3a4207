"""A user's own formula is a layer like the others: PyTorch's value and gradients, in float64 and float32."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_oracles import channels, examples, normal

import closedform as cf
from closedform.errors import FormulaError, SettingError, ShapeError


@dataclass(frozen=True)
class Own:
    """A user's line, its settings and input shape for some sizes a, b, c, and its value in PyTorch."""

    line: str
    shape: Callable[[int, int, int], tuple[int, ...]]
    settings: Callable[[int, int, int], dict[str, Any]]
    value: Callable[..., Any]
    # of every monomial; 0 where the line is no polynomial with positive coefficients
    degree: int = 0
    second_input: Callable[[int, int, int], tuple[int, ...]] | None = None


def rows(a, b, c):
    return (a,)


def images(a, b, c):
    return (a, b + 2, c + 2)


def nothing(a, b, c):
    return {}


OWN = {
    "bilinear": Own(
        "Y[n,o] = sum[f,g] W[o,f,g] * X[n,f] * X[n,g]",
        rows,
        lambda a, b, c: {"o": b},
        lambda torch, x, W: torch.einsum("ofg,nf,ng->no", W, x, x),
        degree=3,
    ),
    "a parameter twice": Own(
        "Y[n,o] = sum[f,h] A[o,f] * A[h,f] * X[n,h]",
        rows,
        lambda a, b, c: {"o": a, "f": b},
        lambda torch, x, A: x @ A @ A.T,
        degree=3,
    ),
    "a parameter in two terms": Own(
        "Y[n,f] = w[f] * X[n,f] + w[f]^2",
        rows,
        nothing,
        lambda torch, x, w: w * x + w**2,
        degree=2,
    ),
    "squared": Own(
        "Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u,s*j+v]^2",
        images,
        lambda a, b, c: {"q": c, "u": 2, "v": 3, "s": 2},
        lambda torch, x, W: torch.nn.functional.conv2d(x**2, W, stride=2),
        degree=3,
    ),
    "two kernels": Own(
        "Y[n,q,i,j] = b[q] + (sum[p,u,v] W[q,p,u,v] * X[n,p,i+u,j+v])"
        " * sum[p,u,v] V[q,p,u,v] * X[n,p,i+u,j+v]",
        images,
        lambda a, b, c: {"q": b, "u": 2, "v": 2},
        lambda torch, x, b, V, W: (
            torch.nn.functional.conv2d(x, W) * torch.nn.functional.conv2d(x, V) + b[:, None, None]
        ),
    ),
    "relu inside": Own(
        "Y[n,o] = relu(b[o] + sum[f] W[o,f] * X[n,f])^2",
        rows,
        lambda a, b, c: {"o": b},
        lambda torch, x, b, W: torch.relu(torch.nn.functional.linear(x, W, b)) ** 2,
    ),
    "division": Own(
        "Y[n,f] = X[n,f] / (1 + sum[g] X[n,g]^2)",
        rows,
        nothing,
        lambda torch, x: x / (1 + (x**2).sum(1, keepdim=True)),
    ),
    "division by a parameter": Own(
        "Y[n,f] = X[n,f] / (1 + w[f]^2)",
        rows,
        nothing,
        lambda torch, x, w: x / (1 + w**2),
    ),
    "two inputs": Own(
        "Y[n,i,j] = sum[p] X[n,i,p] * X2[n,p,j]",
        lambda a, b, c: (a, b),
        lambda a, b, c: {"j": c},
        lambda torch, x, x2: x @ x2,
        degree=2,
        second_input=lambda a, b, c: (b, c),
    ),
    "gated": Own(
        "Y[n,f] = sigmoid(a[f] * X[n,f]) * X[n,f] + a[f]^2",
        rows,
        nothing,
        lambda torch, x, a: torch.sigmoid(a * x) * x + a**2,
    ),
    "maximum of sums": Own(
        "Y[n,c,i] = max[u] (w[u] + X[n,c,i+u])",
        lambda a, b, c: (a, b + 2),
        lambda a, b, c: {"u": 3},
        lambda torch, x, w: (x.unfold(2, 3, 1) + w).amax(3),
    ),
    "batch normalisation": Own(
        "Y[n,f] = g[f] * (X[n,f] - 1/|n| * sum[m] X[m,f])"
        " / sqrt(e + 1/|n| * sum[l] (X[l,f] - 1/|n| * sum[m] X[m,f])^2)",
        rows,
        lambda a, b, c: {"e": 0.25},
        lambda torch, x, g: g * (x - x.mean(0)) / torch.sqrt(0.25 + x.var(0, correction=0)),
    ),
    "a strided sum of exponentials": Own(
        "Y[n,c,i] = log(sum[u] exp(X[n,c,2*i+u]))",
        lambda a, b, c: (a, b + 2),
        lambda a, b, c: {"u": 3},
        lambda torch, x: torch.logsumexp(x.unfold(2, 3, 2), 3),
    ),
}


@dataclass(frozen=True)
class Setting:
    a: int
    b: int
    c: int
    batch: int
    seed: int


SETTINGS = st.builds(
    Setting, channels, st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 999)
)
TINY = Setting(3, 2, 2, 2, 5)


def layer_of(own, setting):
    return cf.Formula(own.line, **own.settings(setting.a, setting.b, setting.c))


def arrays_of(own, setting):
    """The inputs, x and perhaps x2, the parameters by name, and dy."""
    layer, sizes = layer_of(own, setting), (setting.a, setting.b, setting.c)
    shapes = {"x": (setting.batch, *own.shape(*sizes))}
    if own.second_input:
        shapes["x2"] = (setting.batch, *own.second_input(*sizes))
    shapes |= dict(sorted(layer.parameter_shapes(own.shape(*sizes)).items()))
    shapes["dy"] = (setting.batch, *layer.output_shape(own.shape(*sizes)))
    return {name: normal(shape, setting.seed + k) for k, (name, shape) in enumerate(shapes.items())}


def value_of(own, setting, arrays):
    inputs = tuple(arrays[name] for name in ("x", "x2") if name in arrays)
    parameters = {name: array for name, array in arrays.items() if name not in ("x", "x2", "dy")}
    return layer_of(own, setting).apply(inputs if len(inputs) > 1 else inputs[0], parameters)


def results_of(own, setting, arrays):
    for array in arrays.values():
        array.flags.writeable = False
    y, pullback = value_of(own, setting, arrays)
    dx, gradients = pullback(arrays["dy"])
    found = {"x": dx[0], "x2": dx[1]} if own.second_input else {"x": dx}
    return {"y": y, **found, **gradients}


def torch_results(torch, own, arrays):
    """The same from PyTorch: the parameters are passed by name, in alphabetical order of these."""
    tensors = {
        name: torch.tensor(array, requires_grad=True) for name, array in arrays.items() if name != "dy"
    }
    inputs = [tensors[name] for name in ("x", "x2") if name in tensors]
    y = own.value(torch, *inputs, **{n: t for n, t in tensors.items() if n not in ("x", "x2")})
    gradients = torch.autograd.grad(y, list(tensors.values()), torch.tensor(arrays["dy"]))
    found = {name: g.numpy() for name, g in zip(tensors, gradients, strict=True)}
    return {"y": y.detach().numpy(), **found}


@pytest.mark.parametrize("name", OWN)
def test_value_and_gradients_are_pytorchs(torch, name):
    own = OWN[name]

    @examples(12)
    @given(SETTINGS)
    def sweep(setting):
        arrays = arrays_of(own, setting)
        results, expected = results_of(own, setting, arrays), torch_results(torch, own, arrays)
        assert results.keys() == expected.keys()
        for tensor, array in expected.items():
            assert results[tensor].shape == array.shape
            # terms of both signs cancel: the error is measured against the largest magnitude
            assert np.abs(results[tensor] - array).max() <= 1e-12 * max(1, np.abs(array).max())

    sweep()


@pytest.mark.parametrize("name", [name for name, own in OWN.items() if own.degree])
def test_float32_errs_by_no_more_than_its_roundings(torch, name):
    """A sum of n products of d factors, each rounded at most n + d times, as in test_layer_precision."""
    own = OWN[name]

    @examples(10)
    @given(SETTINGS)
    def sweep(setting):
        rounded = {tensor: array.astype(np.float32) for tensor, array in arrays_of(own, setting).items()}
        exact = {tensor: array.astype(np.float64) for tensor, array in rounded.items()}
        results, expected = results_of(own, setting, rounded), torch_results(torch, own, exact)
        absolute = torch_results(torch, own, {tensor: np.abs(array) for tensor, array in exact.items()})
        terms = torch_results(torch, own, {tensor: np.ones_like(array) for tensor, array in exact.items()})
        for tensor, array in expected.items():
            assert results[tensor].dtype == np.float32
            # a gradient has one more factor, dy, and the exponent
            roundings = (terms[tensor] + own.degree + 2) * 2.0**-24
            allowed = roundings / (1 - roundings) * absolute[tensor]
            assert (np.abs(results[tensor] - array) <= allowed).all(), tensor

    sweep()


@pytest.mark.parametrize("name", OWN)
def test_every_gradient_is_a_central_difference(name):
    own, step = OWN[name], 1e-5
    arrays = arrays_of(own, TINY)
    results = results_of(own, TINY, arrays)
    for tensor in results.keys() - {"y"}:
        differences = np.empty_like(arrays[tensor])
        for place in np.ndindex(differences.shape):
            change = np.zeros_like(arrays[tensor])
            change[place] = step
            above, _ = value_of(own, TINY, arrays | {tensor: arrays[tensor] + change})
            below, _ = value_of(own, TINY, arrays | {tensor: arrays[tensor] - change})
            differences[place] = ((above - below) * arrays["dy"]).sum() / (2 * step)
        scale = max(1, np.abs(differences).max())
        assert np.abs(results[tensor] - differences).max() <= 1e-8 * scale, tensor


@pytest.mark.parametrize("name", OWN)
def test_the_pullback_is_the_adjoint_of_the_derivative(torch, name):
    own = OWN[name]
    arrays = arrays_of(own, TINY)
    results = results_of(own, TINY, arrays)
    for k, tensor in enumerate(sorted(results.keys() - {"y"})):
        tensors = {n: torch.tensor(array) for n, array in arrays.items() if n != "dy"}
        direction = normal(arrays[tensor].shape, 70 + k)

        def value(moving, tensors=tensors, tensor=tensor):
            moved = tensors | {tensor: moving}
            inputs = [moved.pop(n) for n in ("x", "x2") if n in moved]
            return own.value(torch, *inputs, **moved)

        _, along = torch.autograd.functional.jvp(value, tensors[tensor], torch.tensor(direction))
        left, right = arrays["dy"] * along.numpy(), results[tensor] * direction
        scale = np.abs(left).sum() + np.abs(right).sum()
        assert abs(left.sum() - right.sum()) <= 1e-13 * scale, tensor


# ---- a line that says what a built-in layer says


def test_a_users_convolution_is_the_librarys(torch):
    own = cf.Formula(
        "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]", q=4, u=3, v=3, s=2, t=1
    )
    x, weight, bias, dy = (
        normal((2, 3, 7, 8), 1),
        normal((4, 3, 3, 3), 2),
        normal((4,), 3),
        normal((2, 4, 4, 4), 4),
    )
    y, pullback = own.apply(x, {"W": weight, "b": bias})
    dx, gradients = pullback(dy)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    expected = torch.nn.functional.conv2d(*tensors, stride=2, padding=1)
    dx_torch, dweight, dbias = torch.autograd.grad(expected, tensors, torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, dx_torch, rtol=0, atol=1e-12)
    np.testing.assert_allclose(gradients["W"], dweight, rtol=0, atol=1e-12)
    np.testing.assert_allclose(gradients["b"], dbias, rtol=0, atol=1e-12)


def test_parameters_keep_the_names_of_the_line():
    layer = cf.Formula("Y[n,o] = scale[o] * sum[f] W[o,f] * X[n,f] + b[o]", o=3)
    assert layer.parameter_shapes((5,)) == {"scale": (3,), "W": (3, 5), "b": (3,)}
    assert layer.output_shape((5,)) == (3,)


def test_settings_are_exact_fractions():
    layer = cf.Formula("Y[n,f] = k * X[n,f]", k=0.1)
    assert dict(layer.values) == {"k": Fraction(1, 10)}
    assert cf.Formula("Y[n,f] = k * X[n,f]", k=Fraction(1, 3)) == cf.Formula("Y[n,f] = k * X[n,f]", k="1/3")
    assert type(dict(cf.Formula("Y[n,f] = k * X[n,f]", k=np.int64(3)).values)["k"].numerator) is int


def test_the_order_of_settings_makes_no_difference():
    line = "Y[n,q,i] = sum[p,u] W[q,p,u] * X[n,p,s*i+u]"
    first, second = cf.Formula(line, q=2, u=3, s=2), cf.Formula(line, s=2, u=3, q=2)
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    "layer",
    [
        cf.Formula("Y[n,o] = sum[p] W[o,p] * X[n,p]", o=3, p=5),
        cf.Formula("Y[n,o] = sum[f,h] A[o,f] * A[h,f] * X[n,h]", o=17, f=2),
        cf.Formula("Y[n,i,j] = sum[u,v] W[i,j,u,v] * X[n,7*i+u,9*j+v]", u=7, v=9),
        cf.Formula("Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,i+u,j+v]", q=1, u=51, v=40),
    ],
    ids=lambda layer: layer.text,
)
def test_a_line_that_fixes_sizes_can_be_derived_without_an_input_shape(layer):
    assert math.prod(layer.sample_input_shape) > 0
    assert str(layer.gradient("X").result).startswith("dX[")


# ---- wrong lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "Z[n,f] = X[n,f]",
            "a layer's formula defines Y[n,...]\n  Z[n,f] = X[n,f]\n  ^",
        ),
        (
            "Y[n,f] = X2[n,f] * W[f]",
            "a layer's formula reads its input X[n,...]\n  Y[n,f] = X2[n,f] * W[f]\n          ^",
        ),
        (
            "Y[n,f] = X[n,f] * W [n,f]",
            "parameter W is read with n, the example: parameters are the same for all examples\n"
            "  Y[n,f] = X[n,f] * W [n,f]\n"
            "                    ^",
        ),
        (
            "Y[n,f] = X[f,n]",
            "the first axis of Y and X is the example: write Y[n,...] = ... X[n,...]\n"
            "  Y[n,f] = X[f,n]\n"
            "   ^",
        ),
        (
            "Y[n,f] = X[n,f] * dY[f]",
            "dY is the gradient in Y: give the parameter another name\n"
            "  Y[n,f] = X[n,f] * dY[f]\n"
            "                    ^",
        ),
        (
            "Y[n,f] = X[n,f] * W[f] * dW[f]",
            "dW is the gradient in W: give the parameter another name\n"
            "  Y[n,f] = X[n,f] * W[f] * dW[f]\n"
            "                           ^",
        ),
    ],
)
def test_a_line_that_makes_no_layer_says_why(line, message):
    with pytest.raises(FormulaError) as caught:
        cf.Formula(line)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"k": 1, "z": 2}, "Formula: z is neither an index nor a setting of Y[n,f] = k * X[n,f] + b[f]"),
        ({"k": "2"}, "Formula: k must be a finite number, got '2'"),
        ({"k": float("nan")}, "Formula: k must be a finite number, got nan"),
        ({"k": True}, "Formula: k must be a finite number, got True"),
        (
            {"k": 1, "initial": "zeros"},
            'Formula: initial must be a dict from parameters to "zeros", "ones" or "scaled", got \'zeros\'',
        ),
        (
            {"k": 1, "initial": {"c": "zeros"}},
            "Formula: initial names 'c', which is no parameter of Y[n,f] = k * X[n,f] + b[f]",
        ),
        (
            {"k": 1, "initial": {"b": "normal"}},
            'Formula: initial of b must be "zeros", "ones" or "scaled", got \'normal\'',
        ),
    ],
)
def test_wrong_settings_say_what_was_expected(words, message):
    with pytest.raises(SettingError) as caught:
        cf.Formula("Y[n,f] = k * X[n,f] + b[f]", **words)
    assert str(caught.value) == message


def test_several_inputs_are_passed_as_a_tuple():
    layer, x = cf.Formula("Y[n,f] = X[n,f] * X2[n,f]"), np.ones((2, 3))
    with pytest.raises(ShapeError) as caught:
        layer.apply(x, {})
    assert str(caught.value) == "Formula: reads 2 inputs: pass a tuple of 2 arrays as x"
    y, pullback = layer.apply((2 * x, 3 * x), {})
    assert y.tolist() == [[6] * 3] * 2
    assert [array.tolist() for array in pullback(x)[0]] == [[[3] * 3] * 2, [[2] * 3] * 2]
