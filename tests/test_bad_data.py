"""Wrong images, labels, training settings and parameters: each gets one message that says how to mend it."""

import re
from functools import lru_cache

import numpy as np
import pytest
from bad import assert_message, bad

import closedform as cf

X = np.zeros((4, 1, 6, 6), np.float32)
Y = np.array([0, 1, 2, 0])
ROWS = np.zeros((3, 4))


@lru_cache
def grey():
    layers = [cf.Conv2d(2, 3), cf.Flatten(), cf.Dense(3)]
    return cf.Network(layers, input_shape=(1, 6, 6), loss=cf.SoftmaxCrossEntropy())


@lru_cache
def colour():
    layers = [cf.Conv2d(2, 3), cf.Flatten(), cf.Dense(3)]
    return cf.Network(layers, input_shape=(3, 6, 6), loss=cf.SoftmaxCrossEntropy())


@lru_cache
def rows(loss):
    return cf.Network([cf.Dense(1)], input_shape=(4,), loss=loss)


def fit(**settings):
    return grey().fit(X, Y, **settings)


def fit_rows(y, loss):
    return rows(loss).fit(ROWS, y)


def with_value(value, dtype=np.float32):
    """X with one entry that is not finite."""
    array = X.astype(dtype)
    array[2, 0, 3, 4] = value
    return array


def assign(key, value):
    grey().parameters[key] = value


def assign_all(values):
    grey().parameters = values


def diverging(learning_rate, epochs, **settings):
    net = cf.Network([cf.Dense(1)], input_shape=(4,), loss=cf.MeanSquaredError())
    x, y = np.full((8, 4), 100.0), np.ones(8)
    net.fit(x, y, epochs=epochs, optimizer=cf.SGD(learning_rate), verbose=0, **settings)


INPUTS = [
    bad(
        "ragged",
        lambda: grey().forward([[1, 2], [3]]),
        cf.DataError,
        "x must be one array, got parts of different shapes: make them alike",
    ),
    bad(
        "list-of-lists",
        lambda: grey().forward([[1, 2], [3, 4]]),
        cf.ShapeError,
        "x must have the shape (N, 1, 6, 6), got (2, 2)",
    ),
    bad(
        "objects",
        lambda: grey().forward(X.astype(object)),
        cf.DataError,
        "x must hold real numbers, got an array of object: pass x.astype(float)",
    ),
    bad(
        "path",
        lambda: grey().forward("digit.png"),
        cf.DataError,
        "x must be an array of numbers, got the text 'digit.png'",
    ),
    bad("nothing", lambda: grey().forward(None), cf.DataError, "x must be an array of numbers, got None"),
    bad(
        "complex",
        lambda: grey().forward(X.astype(complex)),
        cf.DataError,
        "x must hold real numbers, got an array of complex128",
    ),
    bad(
        "texts",
        lambda: grey().forward(np.array(["a", "b"])),
        cf.DataError,
        "x must hold real numbers, got an array of <U1",
    ),
    bad(
        "dates",
        lambda: grey().forward(X.astype("M8[s]")),
        cf.DataError,
        "x must hold real numbers, got an array of datetime64[s]",
    ),
    bad(
        "generator",
        lambda: grey().forward(image for image in X),
        cf.DataError,
        "x must be an array of numbers, got generator",
    ),
    bad(
        "channels-last",
        lambda: colour().forward(np.zeros((4, 6, 6, 3))),
        cf.ShapeError,
        "x must have the shape (N, 3, 6, 6), got (4, 6, 6, 3): channels come before height and "
        "width; pass x.transpose(0, 3, 1, 2)",
    ),
    bad(
        "one-image-channels-last",
        lambda: colour().forward(np.zeros((6, 6, 3))),
        cf.ShapeError,
        "x must have the shape (N, 3, 6, 6), got (6, 6, 3): channels come first, and one example "
        "needs an axis; pass x.transpose(2, 0, 1)[None]",
    ),
    bad(
        "no-channel-axis",
        lambda: colour().forward(X[:, 0]),
        cf.ShapeError,
        "x must have the shape (N, 3, 6, 6), got (4, 6, 6): the network takes 3 channels, x has no "
        "axis for them",
    ),
    bad(
        "wrong-channels",
        lambda: grey().forward(np.zeros((4, 3, 6, 6))),
        cf.ShapeError,
        "x must have the shape (N, 1, 6, 6), got (4, 3, 6, 6): the network takes 1 channel, x has 3",
    ),
    bad(
        "one-image",
        lambda: colour().forward(np.zeros((3, 6, 6))),
        cf.ShapeError,
        "x must have the shape (N, 3, 6, 6), got (3, 6, 6): for one example pass x[None]",
    ),
    bad(
        "one-grey-image",
        lambda: grey().forward(X[0, 0]),
        cf.ShapeError,
        "x must have the shape (N, 1, 6, 6), got (6, 6): for one image pass x[None]",
    ),
    bad(
        "flat-images",
        lambda: grey().forward(X.reshape(4, 36)),
        cf.ShapeError,
        "x must have the shape (N, 1, 6, 6), got (4, 36): pass x.reshape(-1, 1, 6, 6) if the entries "
        "are in this order",
    ),
    bad(
        "height",
        lambda: grey().forward(X[:, :, 1:]),
        cf.ShapeError,
        "x must have the shape (N, 1, 6, 6), got (4, 1, 5, 6)",
    ),
    bad("scalar", lambda: grey().forward(1.0), cf.ShapeError, "x must have the shape (N, 1, 6, 6), got ()"),
    bad(
        "images-for-rows",
        lambda: rows(None).forward(np.zeros((3, 1, 2, 2))),
        cf.ShapeError,
        "x must have the shape (N, 4), got (3, 1, 2, 2): pass x.reshape(-1, 4) if the entries are in "
        "this order",
    ),
    bad(
        "one-row",
        lambda: rows(None).forward(ROWS[0]),
        cf.ShapeError,
        "x must have the shape (N, 4), got (4,): for one example pass x[None]",
    ),
    bad(
        "empty-fit",
        lambda: grey().fit(X[:0], Y[:0]),
        cf.ShapeError,
        "x holds no examples: its first axis is 0 long",
    ),
    bad(
        "empty-gradients",
        lambda: grey().gradients(X[:0], Y[:0]),
        cf.ShapeError,
        "x holds no examples: its first axis is 0 long",
    ),
    bad(
        "empty-evaluate",
        lambda: grey().evaluate(X[:0], Y[:0]),
        cf.ShapeError,
        "x holds no examples: its first axis is 0 long",
    ),
    bad(
        "nan-fit",
        lambda: grey().fit(with_value(np.nan), Y),
        cf.DataError,
        "x[2, 0, 3, 4] is nan, in example 2: inputs must be finite in float32; leave the example out "
        "or replace the number (numpy.nan_to_num)",
    ),
    bad(
        "nan-predict",
        lambda: grey().predict(with_value(np.nan)),
        cf.DataError,
        "x[2, 0, 3, 4] is nan, in example 2: inputs must be finite in float32; leave the example out "
        "or replace the number (numpy.nan_to_num)",
    ),
    bad(
        "infinity-evaluate",
        lambda: grey().evaluate(with_value(-np.inf), Y),
        cf.DataError,
        "x[2, 0, 3, 4] is -inf, in example 2: inputs must be finite in float32; leave the example "
        "out or replace the number (numpy.nan_to_num)",
    ),
    bad(
        "too-large-for-float32",
        lambda: grey().predict(with_value(1e300, np.float64)),
        cf.DataError,
        "x[2, 0, 3, 4] is inf, in example 2: inputs must be finite in float32; leave the example out "
        "or replace the number (numpy.nan_to_num)",
    ),
    bad(
        "dy-shape",
        lambda: grey().apply(X)[1](np.zeros((4, 2))),
        cf.ShapeError,
        "dy must have the shape of y, (4, 3), got (4, 2)",
    ),
    bad(
        "dy-text",
        lambda: grey().apply(X)[1]("ones"),
        cf.DataError,
        "dy must be an array of numbers, got the text 'ones'",
    ),
    bad(
        "rng",
        lambda: grey().apply(X, training=True, rng=-1),
        cf.SettingError,
        "rng must be a whole number from 0 to 2**64 - 1, got -1",
    ),
    bad(
        "step",
        lambda: grey().gradients(X, Y, step=0.5),
        cf.SettingError,
        "step must be a whole number from 0, got 0.5",
    ),
]

LABELS = [
    bad(
        "one-hot",
        lambda: grey().fit(X, np.eye(3)[Y]),
        cf.DataError,
        "labels must be integers of shape (4,), got one-hot rows (4, 3): pass y.argmax(axis=1)",
    ),
    bad(
        "one-hot-of-more-classes",
        lambda: grey().fit(X, np.eye(5)[Y]),
        cf.DataError,
        "there must be one label for each example, shape (4,), got (4, 5)",
    ),
    bad(
        "float",
        lambda: grey().fit(X, Y.astype(float)),
        cf.DataError,
        "labels must be integers, got an array of float64: pass y.astype(int)",
    ),
    bad(
        "out-of-range",
        lambda: grey().fit(X, np.array([0, 1, 3, 0])),
        cf.DataError,
        "labels must be from 0 to 2, got 3 at position 2",
    ),
    bad(
        "from-one",
        lambda: grey().fit(X, Y + 1),
        cf.DataError,
        "labels must be from 0 to 2, got 3 at position 2: labels that begin at 1 need y - 1",
    ),
    bad(
        "negative",
        lambda: grey().evaluate(X, np.array([0, 1, -1, 0])),
        cf.DataError,
        "labels must be from 0 to 2, got -1 at position 2",
    ),
    bad(
        "too-few",
        lambda: grey().gradients(X, Y[:3]),
        cf.DataError,
        "there must be one label for each example, shape (4,), got (3,)",
    ),
    bad(
        "column",
        lambda: grey().fit(X, Y[:, None]),
        cf.DataError,
        "there must be one label for each example, shape (4,), got (4, 1): pass y.ravel()",
    ),
    bad(
        "texts",
        lambda: grey().fit(X, ["cat", "dog", "cat", "dog"]),
        cf.DataError,
        "labels must be integers, got an array of <U3",
    ),
    bad("none", lambda: grey().fit(X, None), cf.DataError, "y must be an array of numbers, got None"),
    bad(
        "ragged",
        lambda: grey().fit(X, [[0], [1, 2], [0], [1]]),
        cf.DataError,
        "y must be one array, got parts of different shapes: make them alike",
    ),
    bad(
        "objects",
        lambda: grey().fit(X, Y.astype(object)),
        cf.DataError,
        "labels must be integers, got an array of object",
    ),
    bad(
        "binary-two",
        lambda: fit_rows([0, 1, 2], cf.SigmoidBinaryCrossEntropy()),
        cf.DataError,
        "labels must be from 0 to 1, got 2 at position 2",
    ),
    bad(
        "binary-minus",
        lambda: fit_rows([-1, 1, 1], cf.SigmoidBinaryCrossEntropy()),
        cf.DataError,
        "labels must be from 0 to 1, got -1 at position 0",
    ),
    bad(
        "binary-float",
        lambda: fit_rows([0.0, 1.0, 1.0], cf.SigmoidBinaryCrossEntropy()),
        cf.DataError,
        "labels must be integers, got an array of float64: pass y.astype(int)",
    ),
    bad(
        "targets-shape",
        lambda: fit_rows(np.zeros((3, 2)), cf.MeanSquaredError()),
        cf.DataError,
        "targets must have the shape of the network's output, (3, 1), got (3, 2)",
    ),
    bad(
        "targets-nan",
        lambda: fit_rows([0, np.nan, 1], cf.MeanSquaredError()),
        cf.DataError,
        "the target at (1, 0) is nan: targets must be finite",
    ),
    bad(
        "targets-text",
        lambda: fit_rows(["a", "b", "c"], cf.MeanSquaredError()),
        cf.DataError,
        "targets must be numbers, got an array of <U1",
    ),
]

TRAINING = [
    bad(
        "epochs-negative",
        lambda: fit(epochs=-1),
        cf.SettingError,
        "epochs must be a whole number from 0, got -1",
    ),
    bad(
        "epochs-float",
        lambda: fit(epochs=2.5),
        cf.SettingError,
        "epochs must be a whole number from 0, got 2.5",
    ),
    bad(
        "epochs-text",
        lambda: fit(epochs="2"),
        cf.SettingError,
        "epochs must be a whole number from 0, got '2'",
    ),
    bad(
        "batch-zero",
        lambda: fit(batch_size=0),
        cf.SettingError,
        "batch_size must be a whole number from 1, got 0",
    ),
    bad(
        "batch-none",
        lambda: fit(batch_size=None),
        cf.SettingError,
        "batch_size must be a whole number from 1, got None",
    ),
    bad(
        "optimizer-text",
        lambda: fit(optimizer="sgd"),
        cf.SettingError,
        "optimizer must be an optimiser, as in cf.SGD(0.1), got 'sgd'",
    ),
    bad(
        "optimizer-class",
        lambda: fit(optimizer=cf.SGD),
        cf.SettingError,
        "optimizer must be an optimiser, as in cf.SGD(0.1), got the class SGD",
    ),
    bad(
        "optimizer-rate",
        lambda: fit(optimizer=0.1),
        cf.SettingError,
        "optimizer must be an optimiser, as in cf.SGD(0.1), got 0.1",
    ),
    bad(
        "verbose",
        lambda: fit(verbose="no"),
        cf.SettingError,
        "verbose must be 0 (nothing), 1 (a bar on a terminal) or 2 (lines), got 'no'",
    ),
    bad(
        "validation-array",
        lambda: fit(validation_data=X),
        cf.SettingError,
        "validation_data must be a pair (x, y), got ndarray",
    ),
    bad(
        "validation-triple",
        lambda: fit(validation_data=(X, Y, Y)),
        cf.SettingError,
        "validation_data must be a pair (x, y), got 3 values",
    ),
    bad(
        "validation-empty",
        lambda: fit(validation_data=(X[:0], Y[:0])),
        cf.ShapeError,
        "validation_data: x holds no examples: its first axis is 0 long",
    ),
    bad(
        "validation-shape",
        lambda: fit(validation_data=(X[:, :, 1:], Y)),
        cf.ShapeError,
        "validation_data: x must have the shape (N, 1, 6, 6), got (4, 1, 5, 6)",
    ),
    bad(
        "validation-labels",
        lambda: fit(validation_data=(X, Y + 9)),
        cf.DataError,
        "validation_data: labels must be from 0 to 2, got 9 at position 0",
    ),
    bad(
        "validation-nan",
        lambda: fit(validation_data=(with_value(np.nan), Y)),
        cf.DataError,
        "validation_data: x[2, 0, 3, 4] is nan, in example 2: inputs must be finite in float32; "
        "leave the example out or replace the number (numpy.nan_to_num)",
    ),
    bad(
        "diverged-loss",
        lambda: diverging(1e3, 50),
        cf.DataError,
        "the loss is inf after 3 updates, in epoch 4, first in the loss: the training has diverged; make "
        "the network anew and train it with a learning rate below 1000",
    ),
    bad(
        "diverged-parameter",
        lambda: diverging(1e38, 1),
        cf.DataError,
        "a parameter is not finite after 1 update, in epoch 1, first in 0.weight: the training has "
        "diverged; make the network anew and train it with a learning rate below 1e+38",
    ),
    bad(
        "diverged-validation",
        lambda: diverging(1e33, 1, validation_data=(np.full((8, 4), 1e10), np.ones(8))),
        cf.DataError,
        "the validation loss is inf after 1 update, in epoch 1: the training has diverged; make the "
        "network anew and train it with a learning rate below 1e+33",
    ),
    bad(
        "hopeless-inputs",
        lambda: rows(cf.MeanSquaredError()).fit(np.full((3, 4), 3e38), [1, 2, 3], verbose=0),
        cf.DataError,
        "the loss is inf before the first update: the inputs, of up to 3e+38, the targets or the "
        "parameters are too large; scale them to about 1",
    ),
]

PARAMETERS = [
    bad(
        "shape",
        lambda: assign("0.weight", np.zeros((3, 3))),
        cf.ShapeError,
        "0.weight must have the shape (2, 1, 3, 3), got (3, 3)",
    ),
    bad(
        "scalar",
        lambda: assign("0.weight", 0),
        cf.ShapeError,
        "0.weight must have the shape (2, 1, 3, 3), got ()",
    ),
    bad(
        "texts",
        lambda: assign("0.bias", ["a", "b"]),
        cf.DataError,
        "0.bias must hold real numbers, got an array of <U1",
    ),
    bad(
        "complex",
        lambda: assign("0.bias", np.array([1j, 2])),
        cf.DataError,
        "0.bias must hold real numbers, got an array of complex128",
    ),
    bad(
        "misspelt",
        lambda: grey().parameters["0.wieght"],
        cf.SettingError,
        "the network has no parameter '0.wieght'; did you mean 0.weight?",
    ),
    bad(
        "assign-misspelt",
        lambda: assign("0.bais", np.zeros(2)),
        cf.SettingError,
        "the network has no parameter '0.bais'; did you mean 0.bias?",
    ),
    bad(
        "unknown",
        lambda: grey().parameters["x"],
        cf.SettingError,
        "the network has no parameter 'x'; known are 0.weight, 0.bias, 2.weight, 2.bias",
    ),
    bad(
        "position",
        lambda: grey().parameters[0],
        cf.SettingError,
        "the network has no parameter 0; known are 0.weight, 0.bias, 2.weight, 2.bias",
    ),
    bad(
        "remove",
        lambda: grey().parameters.pop("0.bias"),
        cf.SettingError,
        "0.bias belongs to the network and cannot be removed",
    ),
    bad(
        "all-missing",
        lambda: assign_all({"0.weight": np.zeros((2, 1, 3, 3))}),
        cf.SettingError,
        "the parameters must be 0.weight, 0.bias, 2.weight, 2.bias: 0.bias, 2.weight, 2.bias missing",
    ),
    bad(
        "all-unknown",
        lambda: assign_all({**grey().parameters, "9.bias": np.zeros(2)}),
        cf.SettingError,
        "the parameters must be 0.weight, 0.bias, 2.weight, 2.bias: 9.bias unknown",
    ),
    bad(
        "all-shape",
        lambda: assign_all({**grey().parameters, "2.bias": np.zeros(2)}),
        cf.ShapeError,
        "2.bias must have the shape (3,), got (2,)",
    ),
    bad(
        "all-none",
        lambda: assign_all(None),
        cf.SettingError,
        "parameters must be a dict of arrays by key, got NoneType",
    ),
]


@pytest.mark.parametrize(("action", "error", "message"), [*INPUTS, *LABELS, *TRAINING, *PARAMETERS])
def test_message(action, error, message):
    assert_message(action, error, message)


def test_nothing_changes_where_parameters_do_not_fit():
    net = cf.Network([cf.Dense(2)], input_shape=(3,))
    before = {key: array.copy() for key, array in net.parameters.items()}
    with pytest.raises(cf.ShapeError):
        net.parameters = {"0.weight": np.ones((2, 3)), "0.bias": np.ones(3)}
    for key, array in net.parameters.items():
        assert array.tobytes() == before[key].tobytes()


def test_a_diverged_training_leaves_the_parameters_as_the_updates_that_it_counts_made_them():
    x, y = np.full((8, 4), 100.0), np.ones(8)

    def trained(epochs):
        net = cf.Network([cf.Dense(1)], input_shape=(4,), loss=cf.MeanSquaredError(), seed=3)
        try:
            net.fit(x, y, epochs=epochs, batch_size=8, optimizer=cf.SGD(1e3), verbose=0)
        except cf.DataError as error:
            return net.parameters["0.weight"], int(re.search(r"after (\d+) updates", str(error))[1])
        return net.parameters["0.weight"], epochs

    stopped, updates = trained(50)
    assert 1 < updates < 50
    assert np.isfinite(stopped).all()
    assert stopped.tobytes() == trained(updates)[0].tobytes()


@pytest.mark.parametrize(
    "labels", [[0, 1, 2, 0], (0, 1, 2, 0), Y.astype(np.uint8), Y > 0, X[:, 0, 0, 0].astype(int)]
)
def test_labels_may_be_any_whole_numbers(labels):
    assert set(grey().evaluate(X, labels)) == {"loss", "accuracy"}


@pytest.mark.parametrize(
    "x", [X.tolist(), X[:, 0], X[0], X.astype(np.float64), X.astype(bool), X.astype(np.int16), X[:, :, ::-1]]
)
def test_inputs_may_be_anything_that_holds_the_numbers(x):
    assert grey().forward(x).shape[1:] == (3,)
