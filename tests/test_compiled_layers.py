"""Every layer and loss as the compiled engine runs it gives PyTorch's value and gradients.

Single layers err by no more than their roundings allow (see `test_layer_precision`); rows of layers by
1e-5 of the largest entry.  Channels from 1 to 33 and odd sizes are tried most, because there vectors and
register tiles have rests.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from compiled_formulas import lines
from compiled_layers import (
    LAYERS,
    TINY,
    apply,
    chains,
    check_close,
    circle,
    compiled,
    compiled_results,
    every_pair,
    in_torch,
    layer_results,
)
from derivation_checks import gradient_of
from derivation_users import USERS
from hypothesis import HealthCheck, given, settings
from layer_oracles import (
    CASES,
    LOSSES,
    SLOW,
    SMALL,
    Case,
    arrays_of,
    in_dtype,
    torch_results,
)
from test_layer_precision import bounds

import closedform as cf
from closedform.engine.jit import VARIABLE, widths
from closedform.errors import FormulaError, ShapeError
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import solve

NAN, INF = math.nan, math.inf
TOLERANCE = 1e-5
# from 24 images on they may go across the lanes, in groups of 16
BATCHES = (1, 2, 3, 5, 17, 49)
OTHER_WIDTHS = [width for width in ("avx512", "avx2", "neon", "sse", "scalar") if width in widths()[1:]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Objects go where they are removed with everything else of the tests."""
    monkeypatch.setenv("CLOSEDFORM_CACHE", str(tmp_path_factory.getbasetemp() / "objects"))


def check_layer(torch, case, arrays=None):
    """Assert that a layer errs by no more than its roundings."""
    single = in_dtype(arrays_of(case) if arrays is None else arrays, np.float32)
    exact = in_dtype(single, np.float64)
    results, expected = compiled_results(case, single), torch_results(torch, case, exact)
    assert results.keys() == expected.keys()
    for name, allowed in bounds(torch, case, exact).items():
        assert results[name].shape == expected[name].shape
        error = np.abs(results[name] - expected[name])
        assert (error <= allowed + TINY).all(), f"{case}: {name} is off by {error.max()}"


def check_network(torch, net, count, seed=0, tolerance=TOLERANCE):
    """Assert that a row of layers gives what PyTorch gives for a batch."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, *net.input_shape)).astype(np.float32)
    dy = rng.normal(size=(count, *net.output_shape)).astype(np.float32)
    expected, scales = in_torch(torch, net, x, dy)
    check_close(apply(net, x, dy), expected, tolerance, f"{net}, {count} images", scales)


# ---- random settings


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind not in LOSSES])
def test_a_layer_of_random_settings_errs_by_no_more_than_its_roundings(torch, kind):
    quick = 16 if kind == "Conv2d" else 6 if "2d" in kind else 4

    @settings(max_examples=20 * quick if SLOW else quick, suppress_health_check=[HealthCheck.too_slow])
    @given(CASES[kind])
    def sweep(case):
        check_layer(torch, case)

    sweep()


# ---- numbers of channels

KERNELS = ((3, 3), (1, 1), (2, 3), (3, 2), (5, 1), (1, 4))


def convolutions(channels):
    """A row of convolutions with these channels, of changing kernels, that keep an image's size."""
    return [
        cf.Conv2d(after, KERNELS[(before + after) % len(KERNELS)], padding="same")
        for before, after in pairwise(channels)
    ]


def rows_of_channels():
    """Every pair from 1 to 33; else each number twice on either side, and 1 to 9 beside 1."""
    if SLOW:
        return list(chains(every_pair(33), 11))
    beside_1 = [channels for k in range(1, 10) for channels in (1, k)] + [1]
    return [row for whole in (beside_1, circle(33, 1), circle(33, 16)) for row in chains(whole, 11)]


@pytest.mark.parametrize("channels", rows_of_channels(), ids=lambda row: f"{row[0]}-{row[1]}-")
def test_convolutions_of_any_numbers_of_channels(torch, channels):
    net = compiled(convolutions(channels), (channels[0], 5, 7))
    for count in BATCHES if SLOW else (1, 5):
        check_network(torch, net, count, seed=count)


def test_every_number_of_channels_goes_in_and_out():
    pairs = {pair for row in rows_of_channels() for pair in pairwise(row)}
    for side in (0, 1):
        for channels in range(1, 34):
            assert len([pair for pair in pairs if pair[side] == channels]) >= (33 if SLOW else 2)


@pytest.mark.parametrize("count", BATCHES)
def test_batches_of_any_size(torch, count):
    layers = [
        cf.Conv2d(7, 3, padding=1),
        cf.ReLU(),
        cf.MaxPool2d(2),
        cf.Conv2d(17, (3, 2)),
        cf.Tanh(),
        cf.Flatten(),
        cf.Dense(29),
        cf.ReLU(),
        cf.Dense(3),
    ]
    check_network(torch, compiled(layers, (3, 11, 9)), count)


# ---- settings


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[f"{layer}" for layer, _ in LAYERS])
def test_settings(torch, layer, shape):
    for count in BATCHES if SLOW else (3, 49):
        check_layer(torch, Case(layer, shape, count, count))


@pytest.mark.parametrize("width", OTHER_WIDTHS)
def test_every_width_of_vectors_that_the_machine_has(torch, monkeypatch, width):
    monkeypatch.setenv(VARIABLE, width)
    for layer, shape in LAYERS if SLOW else LAYERS[:: len(OTHER_WIDTHS)][OTHER_WIDTHS.index(width) :]:
        check_layer(torch, Case(layer, shape, 3, 0))
    for row in rows_of_channels() if SLOW else rows_of_channels()[OTHER_WIDTHS.index(width) :: 4]:
        check_network(torch, compiled(convolutions(row), (row[0], 5, 7)), 3)


# ---- dense layers


@pytest.mark.parametrize(
    "features",
    [(1, 1), (2, 3, 1), (7, 13, 31), (37, 97, 5), (257, 1, 127), (499, 17, 2), (1031, 67), (61, 127, 67, 3)],
    ids=str,
)
def test_dense_layers_of_prime_sizes(torch, features):
    net = compiled([cf.Dense(after) for after in features[1:]], features[:1])
    for count in BATCHES:
        check_network(torch, net, count, seed=count)


@pytest.mark.parametrize(
    "layers",
    [
        [cf.Flatten(), cf.Dense(7)],
        [cf.Flatten(), cf.Dense(67), cf.ReLU(), cf.Dense(3)],
        [cf.Flatten(), cf.ReLU()],
        [cf.Flatten(), cf.LeakyReLU(0.2), cf.Dense(5)],
        [cf.Dropout(0.3), cf.Flatten(), cf.Dense(5)],
        [cf.Dropout(0.3), cf.Flatten(), cf.ReLU()],
        [cf.ReLU(), cf.Flatten(), cf.Flatten(), cf.Dense(5)],
        [cf.Conv2d(17, 2), cf.Flatten()],
        [cf.Conv2d(17, 2), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(33)],
        [cf.MaxPool2d(2), cf.ReLU(), cf.GlobalAvgPool2d(), cf.Dense(3)],
        [cf.Conv2d(3, 2), cf.Sigmoid(), cf.AvgPool2d(2), cf.Flatten(), cf.Softmax()],
    ],
    ids=lambda layers: " - ".join(type(layer).__name__ for layer in layers),
)
def test_rows_of_layers(torch, layers):
    net = compiled(layers, (5, 7, 5))
    for count in (1, 3, 49):
        check_network(torch, net, count, seed=count)


def test_dropout_behind_a_flattening_drops_what_it_says(torch):
    x = np.random.default_rng(0).normal(size=(5, 3, 7, 5)).astype(np.float32)
    net = compiled([cf.Flatten(), cf.Dropout(0.4)], (3, 7, 5), seed=3)
    y, pullback = net.apply(x, training=True)
    reference = cf.Network([cf.Flatten(), cf.Dropout(0.4)], (3, 7, 5), seed=3, engine="reference")
    mask = reference.apply(np.ones_like(x), training=True)[0]
    assert np.array_equal(y, x.reshape(5, -1) * mask)
    assert np.array_equal(pullback(np.ones_like(y))[0].reshape(5, -1), mask)
    assert np.unique(mask).tolist() == [0, np.float32(1 / 0.6)]


# ---- formulas of users


def as_layer(case):
    """The formula as a layer, where its first axis is the example."""
    try:
        return cf.Formula(case.line, **case.settings)
    except FormulaError:
        return None


LINES = {name: case for name, case in USERS.items() if as_layer(case) is not None}


@pytest.mark.parametrize("name", LINES)
def test_formulas_of_users(torch, name):
    case = LINES[name]
    layer, shape = as_layer(case), case.shapes["X"]
    net = compiled([layer], shape[1:])
    arrays = case.arrays(np.random.default_rng(0))
    arrays = {tensor: array.astype(np.float32).astype(np.float64) for tensor, array in arrays.items()}
    sizes = solve(case.formula, case.shapes, case.settings)
    expected = {"y": evaluate(case.formula, arrays, sizes)}
    dy = np.random.default_rng(1).uniform(-1, 1, expected["y"].shape).astype(np.float32)
    for tensor in arrays:
        derived = derive(case.formula, tensor, sizes)
        given = {**arrays, derived.upstream: dy.astype(np.float64)}
        key = "x" if tensor == "X" else f"0.{tensor}"
        expected[key] = gradient_of(derived, lambda known: evaluate(case.formula, known, sizes))(given)
    for tensor, array in arrays.items():
        if tensor != "X":
            net.parameters[f"0.{tensor}"] = array
    check_close(apply(net, arrays["X"].astype(np.float32), dy), expected, 2e-5, name)


def test_most_formulas_of_users_are_layers_that_the_compiled_engine_runs():
    nets = [compiled([as_layer(case)], case.shapes["X"][1:]) for case in LINES.values()]
    assert len([net for net in nets if net.engine == "compiled"]) >= 50


def test_random_formulas():
    ran = []

    @settings(
        max_examples=4000 if SLOW else 120,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(lines())
    def sweep(line):
        if line is None:
            return
        try:
            net = compiled([line.layer], line.x.shape[1:])
        except ShapeError:
            return
        for key, array in line.parameters.items():
            net.parameters[key] = array
        results = apply(net, line.x, line.dy)
        ran.append(net.engine == "compiled" and line.expected["y"].any())
        check_close(results, line.expected, 1e-4, line.layer)

    sweep()
    assert sum(ran) >= (700 if SLOW else 20)


@pytest.mark.parametrize(
    ("line", "settings", "expected"),
    [
        ("Y[n,i] = |n| * X[n,i]", {}, [[3, 6, 12], [24, 48, 96], [192, 384, 768]]),
        ("Y[n,i] = (|X.0|-2) * X[n,i] + X[n,i]", {}, [[2, 4, 8], [16, 32, 64], [128, 256, 512]]),
        ("Y[n,i] = X[n,(i+2) % |n|]", {"i": 2}, [[4, 1], [32, 8], [256, 64]]),
        ("Y[n,i] = X[n,i] * [i < |n|-2]", {}, [[1, 0, 0], [8, 0, 0], [64, 0, 0]]),
        ("Y[n,i] = X[n,i] + sum[m] X[m,i]", {}, [[74, 148, 296], [81, 162, 324], [137, 274, 548]]),
        ("Y[n,i] = X[n,i] - X[|n|-1-n,i]", {}, [[-63, -126, -252], [0, 0, 0], [63, 126, 252]]),
    ],
    ids=str,
)  # fmt: skip
def test_formulas_that_read_the_number_of_images_or_other_images(line, settings, expected):
    layer = cf.Formula(line, **settings)
    net = cf.Network([layer], input_shape=(3,))
    x = 2.0 ** np.arange(9).reshape(3, 3)
    y, pullback = net.apply(x)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    # all of them are linear, so that <dy, y> = <dx, x>
    dy = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    dx, _ = pullback(dy)
    np.testing.assert_allclose((dx * x).sum(), (dy * np.array(expected)).sum(), rtol=1e-4)


# ---- losses


def loss_results(case, arrays):
    """The mean loss and its gradient in x, of a network that only changes the shape."""
    net = compiled([cf.Flatten()], case.input_shape, loss=case.layer)
    targets = arrays["T"].reshape(case.batch, -1)
    if isinstance(case.layer, cf.SoftmaxCrossEntropy):
        targets = targets.argmax(1)
    elif isinstance(case.layer, cf.SigmoidBinaryCrossEntropy):
        targets = targets[:, 0].astype(int)
    loss, gradients = net.gradients(arrays["x"], targets, wrt_input=True)
    assert net.engine == "compiled"
    return {"y": np.array(loss), "x": gradients["input"]}


def loss_arrays(case, **changes):
    """Arrays of a loss in float32: labels as targets, and a gradient of 1."""
    arrays = in_dtype(arrays_of(case) | changes, np.float32)
    if isinstance(case.layer, cf.SoftmaxCrossEntropy):
        arrays["T"] = np.eye(case.input_shape[0], dtype=np.float32)[arrays["T"].argmax(1)]
    return arrays | {"dy": np.array(1, np.float32)}


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_err_by_no_more_than_their_roundings(torch, kind):
    @settings(max_examples=200 if SLOW else 10)
    @given(CASES[kind])
    def sweep(case):
        arrays = loss_arrays(case)
        exact = in_dtype(arrays, np.float64)
        results, expected = loss_results(case, arrays), torch_results(torch, case, exact)
        for name, allowed in bounds(torch, case, exact).items():
            assert results[name].shape == expected[name].shape
            error = np.abs(results[name] - expected[name])
            assert (error <= allowed + TINY).all(), f"{case}: {name} is off by {error.max()}"

    sweep()


@pytest.mark.parametrize(
    ("loss", "x"),
    [
        (cf.SoftmaxCrossEntropy(), [[1e4, -1e4, 0.0, 9999.5], [-1e4] * 4, [1e4] * 4]),
        (cf.SigmoidBinaryCrossEntropy(), [[1e4], [-1e4], [0.0]]),
    ],
    ids=["softmax", "sigmoid"],
)
def test_logits_of_ten_thousand_give_finite_losses(torch, loss, x):
    case = Case(loss, (len(x[0]),), 3, 0)
    arrays = loss_arrays(case, x=np.array(x))
    results, expected = loss_results(case, arrays), torch_results(torch, case, arrays)
    for name, array in expected.items():
        assert np.isfinite(results[name]).all()
        np.testing.assert_allclose(results[name], array, rtol=1e-6, atol=1e-37)


# ---- NaN, infinity, and equal maxima


def kinds(array):
    """0 for a number, 1 for NaN, 2 and 3 for an infinity of either sign."""
    return np.isnan(array) + 2 * np.isposinf(array) + 3 * np.isneginf(array)


@pytest.mark.parametrize("name", [name for name in SMALL if name not in LOSSES])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_and_infinity_go_where_they_go_in_the_reference_engine(name, value):
    case = SMALL[name]
    net = compiled([case.layer], case.input_shape, case.seed)
    reference = cf.Network([case.layer], case.input_shape, seed=case.seed, engine="reference")
    arrays = in_dtype(arrays_of(case), np.float32)
    reached = 0
    for tensor, array in arrays.items():
        for place in np.ndindex(array.shape):
            changed = {other: own.copy() for other, own in arrays.items()}
            changed[tensor][place] = value
            with np.errstate(invalid="ignore", over="ignore"):
                expected = layer_results(reference, changed)
            for key, found in layer_results(net, changed).items():
                different = (kinds(found) != kinds(expected[key])).sum()
                assert different == 0, f"{tensor}{place} is {value}: {key} differs in {different} entries"
                reached += kinds(found).any()
    assert reached


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[f"{layer}" for layer, _ in LAYERS])
def test_nan_and_infinity_stay_in_their_lanes(layer, shape):
    net = compiled([layer], shape)
    reference = cf.Network([layer], shape, engine="reference")
    arrays = in_dtype(arrays_of(Case(layer, shape, 5, 0)), np.float32)
    rng = np.random.default_rng(0)
    for array in arrays.values():
        array.flat[rng.integers(array.size)] = rng.choice([NAN, INF, -INF])
    with np.errstate(invalid="ignore", over="ignore"):
        expected = layer_results(reference, arrays)
    for key, found in layer_results(net, arrays).items():
        different = (kinds(found) != kinds(expected[key])).sum()
        assert different == 0, f"{key} differs in {different} entries"


@pytest.mark.parametrize("count", [5, 24, 49])
def test_only_images_that_are_there_count(count):
    # at an image of zeros this layer would give 0/0
    layers = [cf.Formula("Y[n,i] = X[n,i] / sqrt(sum[j] X[n,j]^2)"), cf.Dense(3)]
    net = compiled(layers, (7,), loss=cf.SoftmaxCrossEntropy())
    reference = cf.Network(layers, (7,), loss=cf.SoftmaxCrossEntropy(), engine="reference")
    x = np.random.default_rng(count).normal(size=(count, 7)).astype(np.float32)
    labels = np.arange(count) % 3
    loss, gradients = net.gradients(x, labels, wrt_input=True)
    wanted, expected = reference.gradients(x, labels, wrt_input=True)
    assert loss == pytest.approx(wanted, rel=1e-5)
    check_close(gradients, expected, TOLERANCE)


def test_nothing_is_left_of_what_was_computed_before():
    layers, shape = [cf.Conv2d(3, 3), cf.GlobalAvgPool2d()], (2, 5, 5)
    net = compiled(layers, shape, loss=cf.MeanSquaredError())
    rng = np.random.default_rng(0)
    x = rng.normal(size=(49, *shape)).astype(np.float32)
    targets = rng.normal(size=(49, 3)).astype(np.float32)
    wanted = net.gradients(x, targets)[1]
    for value in (NAN, INF):
        with np.errstate(invalid="ignore", over="ignore"):
            net.gradients(np.full_like(x, value), targets)
        for key, gradient in net.gradients(x, targets)[1].items():
            assert np.array_equal(gradient, wanted[key]), key


def test_windows_of_minus_infinity():
    x = np.full((1, 17, 4, 4), -INF, np.float32)
    x[0, :, 3, 3] = 2
    net = compiled([cf.MaxPool2d(3, stride=2, padding=1)], (17, 4, 4))
    y, pullback = net.apply(x)
    assert y[0].tolist() == 17 * [[[-INF, -INF], [-INF, 2]]]
    dx, _ = pullback(np.array(17 * [[[1.0, 10], [100, 1000]]]).reshape(1, 17, 2, 2))
    # padding is never chosen: the first entry of a window takes the gradient of what is all alike
    assert dx[0].tolist() == 17 * [[[1, 10, 0, 0], [100, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1000]]]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [case for case in LAYERS if isinstance(case[0], cf.MaxPool2d | cf.GlobalMaxPool2d)],
    ids=str,
)
def test_the_gradient_of_equal_maxima_goes_to_the_first(torch, layer, shape):
    case = Case(layer, shape, 5, 1)
    arrays = {name: np.rint(array) for name, array in arrays_of(case).items()}
    results = compiled_results(case, in_dtype(arrays, np.float32))
    expected = torch_results(torch, case, arrays)
    assert np.array_equal(results["y"], expected["y"])
    assert np.array_equal(results["x"], expected["x"])
