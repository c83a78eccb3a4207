"""Every formula that is shown gives the numbers that are shown, counted from 1 and counted from 0.

The formulas are read as they stand, by a reader of its own: subscripts are counted from the first index's
number, what lies outside or between the entries is 0.
"""

from fractions import Fraction

import numpy as np
import pytest
from explanations import Reader, groups, keys, of_kind, parts_of, section

import closedform as cf
from closedform.explanation.document import Derivation, Display, Scene
from closedform.explanation.math import Derivative, Large, Marked


def whole(*shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape)


def conv(**settings):
    groups = settings.get("groups", 1)
    weights = {"W": whole(2, 2 // groups, 2, 2, seed=1), "b": whole(2, seed=2)}
    return cf.Conv2d(2, 2, **settings), (1, 2, 5, 5), weights


CASES = {
    "convolution": conv(),
    "stride": conv(stride=2),
    "stride and padding": conv(stride=2, padding=1),
    "dilation": conv(dilation=2, padding=1),
    "dilation and stride": conv(dilation=2, stride=2),
    "groups": conv(groups=2),
    "same padding": conv(padding="same"),
    "same padding and a stride": conv(padding="same", stride=2),
    "wide stride": (cf.Conv2d(1, 2, stride=3), (3, 1, 7, 7), {"W": whole(1, 1, 2, 2), "b": whole(1)}),
    "1×1": (cf.Conv2d(2, 1), (1, 3, 2, 2), {"W": whole(2, 3, 1, 1), "b": whole(2)}),
    "no bias": (cf.Conv2d(2, 2, bias=False), (2, 1, 3, 3), {"W": whole(2, 1, 2, 2)}),
    "locally connected": (
        cf.LocallyConnected2d(1, 2),
        (2, 1, 3, 3),
        {"W": whole(2, 2, 1, 1, 2, 2), "b": whole(1, 2, 2)},
    ),
    "channel-summed": (cf.ChannelSummedConv2d(2, 2), (1, 3, 4, 4), {"W": whole(2, 2, 2), "b": whole(2)}),
    "channel-summed with a stride": (
        cf.ChannelSummedConv2d(2, 2, stride=2, padding=1),
        (2, 2, 4, 4),
        {"W": whole(2, 2, 2), "b": whole(2)},
    ),
    "depthwise": (cf.DepthwiseConv2d(2), (2, 2, 4, 4), {"W": whole(2, 1, 2, 2), "b": whole(2)}),
    "mean of tiles": (cf.AvgPool2d(2), (2, 2, 4, 4), {}),
    "mean of windows that overlap": (cf.AvgPool2d(2, stride=1), (2, 2, 4, 4), {}),
    "mean with padding": (cf.AvgPool2d(3, stride=2, padding=1), (3, 1, 5, 5), {}),
    "maximum of tiles": (cf.MaxPool2d(2), (2, 2, 4, 4), {}),
    "maximum of windows that overlap": (cf.MaxPool2d(2, stride=1), (2, 2, 4, 4), {}),
    "maximum with padding": (cf.MaxPool2d(3, stride=2, padding=1), (3, 1, 5, 5), {}),
    "mean of channels": (cf.GlobalAvgPool2d(), (2, 2, 3, 3), {}),
    "maximum of channels": (cf.GlobalMaxPool2d(), (2, 2, 3, 3), {}),
    "dense": (cf.Dense(3), (2, 4), {"W": whole(3, 4), "b": whole(3)}),
    "ReLU": (cf.ReLU(), (2, 2, 3, 3), {}),
    "LeakyReLU": (cf.LeakyReLU(Fraction(1, 4)), (2, 2, 3, 3), {}),
    "sigmoid": (cf.Sigmoid(), (2, 4), {}),
    "tanh": (cf.Tanh(), (2, 4), {}),
    "softmax": (cf.Softmax(), (2, 4), {}),
    "dropout": (cf.Dropout(0.5), (2, 4), {"M": np.array([[2, 0, 2, 2], [0, 2, 2, 0]])}),
    "own line": (
        cf.Formula("Y[n,i] = b[i] + sum[u] W[u] * X[n,s*i+u]^2", u=2, s=2),
        (2, 6),
        {"W": whole(2), "b": whole(3)},
    ),
    "own line with a quotient": (
        cf.Formula("Y[n,k] = X[n,k]^2 / (1 + sum[m] X[n,m]^2)"),
        (2, 3),
        {},
    ),
}  # fmt: skip


ACTS_ON_ITSELF = ("chain rule",)  # they hold derivatives of Y, which are no numbers here


def worked_out(name, first):
    layer, shape, weights = CASES[name]
    dy = whole(shape[0], *layer.output_shape(shape[1:]), seed=4)
    arrays = {"X": whole(*shape, seed=3), "dY": dy, **weights}
    document = cf.explain(layer, x=arrays["X"], weights=weights, dy=dy, first_index=first)
    return document, {key.lower(): array for key, array in arrays.items()}


def result(document, key):
    """The numbers of a section's result, as one array without axes of one entry."""
    grids = groups(section(document, key))[-1]
    found = np.array([[[c.content.value for c in row] for row in grid.cells] for grid in grids], object)
    return found.ravel()


def steps(document, key):
    """The steps of a gradient with the network's own sizes."""
    return of_kind(section(document, key), Derivation)[-1].steps


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_the_formula_of_a_layer_gives_its_output(name, first):
    document, arrays = worked_out(name, first)
    (scene,) = of_kind(section(document, "forward-Y"), Scene)
    (display,) = of_kind(scene, Display)
    output = result(document, "forward-Y")
    reader = Reader(first, {**arrays, "y": output.reshape(arrays["dy"].shape)})
    np.testing.assert_allclose(floats(reader.line(display.math)), floats(output), rtol=1e-12)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_every_step_of_every_derivation_gives_the_gradient(name, first):
    document, arrays = worked_out(name, first)
    arrays["y"] = result(document, "forward-Y").reshape(arrays["dy"].shape)
    gradients = [key for key in keys(document) if key.startswith("gradient-")]
    assert gradients
    for key in gradients:
        wanted = key.removeprefix("gradient-").lower()
        found = result(document, key)
        reader = Reader(first, {**arrays, "d" + wanted: found.reshape(arrays[wanted].shape)})
        define(reader, steps(document, key))
        read = 0
        for step in steps(document, key):
            left = bare(step.math.sides[0])
            if step.rule in ACTS_ON_ITSELF or not isinstance(left, Derivative):
                continue
            values = reader.line(step.math)
            np.testing.assert_allclose(
                floats(values), floats(found), rtol=1e-9, atol=1e-12, err_msg=f"{key}, {step.rule}"
            )
            read += 1
        assert read >= 1


ONE_NUMBER = {
    "a convolution's only window": (cf.Conv2d(1, 2, bias=False), (1, 1, 2, 2), {"W": [[5, 6], [7, 8]]}),
    "rows that a stride leaves over": (
        cf.Conv2d(1, 2, stride=2, bias=False),
        (1, 1, 2, 3),
        {"W": [[5, 6], [7, 8]]},
    ),
    "a border": (cf.Conv2d(1, 3, stride=3, padding=1, bias=False), (1, 1, 2, 2), {"W": whole(3, 3)}),
    "a mean": (cf.AvgPool2d(2), (1, 1, 2, 2), {}),
}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ONE_NUMBER)
def test_every_step_where_the_output_itself_is_differentiated(name, first):
    layer, shape, weights = ONE_NUMBER[name]
    x = whole(*shape, seed=3)
    document = cf.explain(layer, x=x, weights=weights, first_index=first)
    arrays = {"x": x, "y": result(document, "forward-Y"), "dy": 1} | {
        key.lower(): np.array(array) for key, array in weights.items()
    }
    for key in (key for key in keys(document) if key.startswith("gradient-")):
        wanted = key.removeprefix("gradient-").lower()
        found = result(document, key)
        reader = Reader(first, {**arrays, "d" + wanted: found.reshape(np.shape(arrays[wanted]))})
        define(reader, steps(document, key))
        for step in steps(document, key):
            if step.rule not in ACTS_ON_ITSELF and isinstance(bare(step.math.sides[0]), Derivative):
                np.testing.assert_array_equal(floats(reader.line(step.math)), floats(found), str(step))


def define(reader, given):
    """Give the reader what the lines after "where" define: for each output, its window."""
    for step in given:
        if step.rule != "where":
            continue
        name = bare(step.math.sides[0])
        window = [len_of(r) for part in parts_of(step.math) if isinstance(part, Large) for r in part.ranges]
        key = name.letter.lower() + name.above
        reader.arrays[key] = np.zeros((*reader.arrays["y"].shape, *window), object)
        reader.arrays[key] = reader.line(step.math)


def len_of(one):
    return int(one.last.value - one.first.value) + 1


def bare(part):
    return part.body if isinstance(part, Marked) else part


def floats(array):
    return np.asarray(array, float).ravel()
