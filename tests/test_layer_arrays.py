"""Layers take arrays as they lie in memory, change none of them, and refuse what they cannot take."""

import numpy as np
import pytest
from layer_oracles import SMALL, arrays_of, closedform_results, torch_results

import closedform as cf
from closedform.errors import DataError, SettingError, ShapeError
from closedform.layers import Loss


def fortran(array):
    return np.asfortranarray(array)


def reversed_in_memory(array):
    backwards = np.ascontiguousarray(array[::-1, ..., ::-1] if array.ndim > 1 else array[::-1])
    return backwards[::-1, ..., ::-1] if array.ndim > 1 else backwards[::-1]


def every_other_entry(array):
    wide = np.full([2 * extent for extent in array.shape], 1e9)
    wide[tuple(slice(None, None, 2) for _ in array.shape)] = array
    return wide[tuple(slice(None, None, 2) for _ in array.shape)]


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


@pytest.mark.parametrize("lay_out", [fortran, reversed_in_memory, every_other_entry, misaligned])
@pytest.mark.parametrize("name", SMALL)
def test_arrays_may_lie_in_memory_as_they_like(torch, name, lay_out):
    case = SMALL[name]
    arrays = arrays_of(case)
    laid_out = {key: lay_out(array) if array.ndim else array for key, array in arrays.items()}
    expected = torch_results(torch, case, arrays)
    # read-only, so that writing to one of them would raise
    results = closedform_results(case, laid_out)
    for key, array in expected.items():
        np.testing.assert_allclose(results[key], array, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", SMALL)
def test_repeated_entries_may_share_their_memory(torch, name):
    case = SMALL[name]
    arrays = arrays_of(case)
    arrays["x"] = np.broadcast_to(arrays["x"][:1], arrays["x"].shape)
    expected = torch_results(torch, case, {key: np.array(array) for key, array in arrays.items()})
    results = closedform_results(case, arrays)
    for key, array in expected.items():
        np.testing.assert_allclose(results[key], array, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", SMALL)
def test_results_are_new_arrays(name):
    case = SMALL[name]
    arrays = arrays_of(case)
    results = closedform_results(case, arrays)
    again = closedform_results(case, arrays)
    for key, result in results.items():
        assert isinstance(result, np.ndarray)
        for array in (*arrays.values(), *again.values()):
            assert not np.shares_memory(result, array), key
        for other in results.keys() - {key}:
            assert not np.shares_memory(result, results[other]), (key, other)


@pytest.mark.parametrize("name", SMALL)
def test_results_may_be_written_to(name):
    case = SMALL[name]
    for result in closedform_results(case, arrays_of(case)).values():
        result[...] = 0
        assert not result.any()


def test_dropout_outside_training_gives_new_arrays_too():
    x = np.arange(6.0).reshape(2, 3)
    y, pullback = cf.Dropout(0.5).apply(x, {})
    assert not np.shares_memory(x, y)
    dy = np.ones((2, 3))
    assert not np.shares_memory(dy, pullback(dy)[0])


def test_lists_are_arrays_of_float64():
    y, pullback = cf.ReLU().apply([[1, -2]], {})
    assert y.dtype == np.float64
    assert y.tolist() == [[1, 0]]
    assert pullback([[3, 4]])[0].tolist() == [[3, 0]]


# ---- what is refused


@pytest.mark.parametrize("name", SMALL)
def test_an_empty_batch_is_refused(name):
    case = SMALL[name]
    parameters = {key: array for key, array in arrays_of(case).items() if key not in ("x", "dy")}
    with pytest.raises(ShapeError) as caught:
        case.layer.apply(np.zeros((0, *case.input_shape)), parameters)
    shape = ", ".join(map(str, (0, *case.input_shape)))
    kind = type(case.layer).__name__
    assert str(caught.value) == f"{kind}: x must hold at least one example on its first axis, got ({shape})"


DENSE = {"weight": np.ones((2, 3)), "bias": np.ones(2)}


@pytest.mark.parametrize(
    ("layer", "x", "parameters", "error", "message"),
    [
        (
            cf.Dense(2),
            np.ones((1, 4)),
            DENSE,
            ShapeError,
            "Dense: weight must have shape (2, 4), got (2, 3)",
        ),
        (
            cf.Dense(2),
            np.ones((1, 3)),
            {"weight": np.ones((2, 3))},
            ShapeError,
            "Dense: expects parameters weight, bias; got weight",
        ),
        (
            cf.Dense(2, bias=False),
            np.ones((1, 3)),
            DENSE,
            ShapeError,
            "Dense: expects parameters weight; got weight, bias",
        ),
        (
            cf.Dense(2),
            np.ones((1, 3)),
            None,
            SettingError,
            "Dense: parameters must be a dict of arrays by name, got None",
        ),
        (
            cf.Dense(2),
            np.ones((1, 3, 4)),
            DENSE,
            ShapeError,
            "Dense: expects rows of features, got (3, 4) for each example: put Flatten() before it",
        ),
        (
            cf.Dense(2),
            np.ones((1, 3), complex),
            DENSE,
            DataError,
            "Dense: x must be an array of real numbers, got one of complex128",
        ),
        (
            cf.Dense(2),
            np.ones((1, 3)),
            DENSE | {"bias": np.array(["a", "b"])},
            DataError,
            "Dense: bias must be an array of real numbers, got one of <U1",
        ),
        (
            cf.ReLU(),
            np.float64(1),
            {},
            ShapeError,
            "ReLU: x must hold at least one example on its first axis, got ()",
        ),
        (
            cf.Flatten(),
            np.ones(3),
            {},
            ShapeError,
            "Flatten: expects examples with at least one axis, got numbers, x of shape (N,)",
        ),
        (
            cf.Softmax(),
            np.ones(3),
            {},
            ShapeError,
            "Softmax: expects classes on axis 1, got ()",
        ),
        (
            cf.MaxPool2d(2),
            np.ones((1, 4, 4)),
            {},
            ShapeError,
            "MaxPool2d: expects images (channels, height, width), got (4, 4)",
        ),
        (
            cf.Conv2d(2, 3, groups=2, bias=False),
            np.ones((1, 3, 4, 4)),
            {"weight": np.ones((2, 1, 3, 3))},
            ShapeError,
            "Conv2d: groups=2 must divide the input channels, got 3",
        ),
        (
            cf.AvgPool2d((2, 5), padding=(0, 1)),
            np.ones((1, 1, 4, 2)),
            {},
            ShapeError,
            "AvgPool2d: the window's width (5) is larger than the padded image's (2 + 2*1): "
            "(2 - 5 + 2*1)//5 + 1 = 0",
        ),
        (
            cf.SoftmaxCrossEntropy(),
            np.ones((1, 3)),
            {"T": np.ones((1, 2))},
            ShapeError,
            "SoftmaxCrossEntropy: T must have shape (1, 3), got (1, 2)",
        ),
    ],
)
def test_what_a_layer_cannot_take_is_refused(layer, x, parameters, error, message):
    with pytest.raises(error) as caught:
        layer.apply(x, parameters)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", SMALL)
def test_a_gradient_of_another_shape_is_refused(name):
    case = SMALL[name]
    arrays = arrays_of(case)
    parameters = {key: array for key, array in arrays.items() if key not in ("x", "dy")}
    y, pullback = case.layer.apply(arrays["x"], parameters, training=True)
    with pytest.raises(ShapeError) as caught:
        pullback(np.ones((2, *y.shape)))
    assert "dy must have the shape of y" in str(caught.value)


def test_a_gradient_that_holds_no_real_numbers_is_refused():
    _, pullback = cf.ReLU().apply(np.ones((1, 2)), {})
    with pytest.raises(DataError) as caught:
        pullback(np.ones((1, 2), complex))
    assert str(caught.value) == "ReLU: dy must be an array of real numbers, got one of complex128"


@pytest.mark.parametrize(
    ("rng", "message"),
    [
        ("a", "rng must be a seed, a numpy.random.Generator or None, got 'a'"),
        (True, "rng must be a seed, a numpy.random.Generator or None, got True"),
        (-1, "seed must be a whole number from 0 to 18446744073709551615, got -1"),
    ],
)
def test_a_wrong_source_of_numbers_is_refused(rng, message):
    with pytest.raises(SettingError) as caught:
        cf.Dropout(0.5).apply(np.ones((1, 2)), {}, training=True, rng=rng)
    assert str(caught.value) == message


def test_the_cases_hold_every_layer_and_loss():
    kinds = {type(case.layer).__name__ for case in SMALL.values()}
    assert kinds == (set(cf.layers.LAYERS) | set(cf.layers.LOSSES)) - {"Formula"}
    assert sum(isinstance(case.layer, Loss) for case in SMALL.values()) == 3
