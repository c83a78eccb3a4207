"""Wrong formulas, settings, networks and shapes: each gets one message that says how to mend it."""

import numpy as np
import pytest
from bad import assert_message, bad

import closedform as cf


def network(layers, input_shape=(1, 6, 6), **settings):
    return cf.Network(layers, input_shape=input_shape, **settings)


FORMULAS = [
    bad(
        "unknown-index",
        lambda: cf.Formula("Y[n,c] = X[n,k]"),
        cf.FormulaError,
        "k is neither an index on the left, nor summed, nor a setting: sum over it (sum[k]) or give "
        "its value (k=...)\n"
        "  Y[n,c] = X[n,k]\n"
        "               ^",
    ),
    bad(
        "index-only-left",
        lambda: cf.Formula("Y[n,c,k] = X[n,c]"),
        cf.FormulaError,
        "index k stands on the left only: the right side must use it\n  Y[n,c,k] = X[n,c]\n        ^",
    ),
    bad(
        "bracket",
        lambda: cf.Formula("Y[n,c] = (X[n,c] + 1"),
        cf.FormulaError,
        "this '(' is never closed\n  Y[n,c] = (X[n,c] + 1\n           ^",
    ),
    bad(
        "square-bracket",
        lambda: cf.Formula("Y[n,c] = X[n,c"),
        cf.FormulaError,
        "this '[' is never closed\n  Y[n,c] = X[n,c\n            ^",
    ),
    bad(
        "function",
        lambda: cf.Formula("Y[n,c] = rleu(X[n,c])"),
        cf.FormulaError,
        "unknown function rleu: the functions are relu, step, sigmoid, tanh, exp, log, sqrt, abs, "
        "softplus\n"
        "  Y[n,c] = rleu(X[n,c])\n"
        "           ^",
    ),
    bad(
        "missing-times",
        lambda: cf.Formula("Y[n,c] = 2 X[n,c]"),
        cf.FormulaError,
        "missing * (or + or -) before 'X'\n  Y[n,c] = 2 X[n,c]\n             ^",
    ),
    bad(
        "fraction-subscript",
        lambda: cf.Formula("Y[n,c] = X[n,0.5*c]"),
        cf.FormulaError,
        "0.5 is not a whole number: subscripts count entries\n  Y[n,c] = X[n,0.5*c]\n               ^",
    ),
    bad(
        "product-of-indices",
        lambda: cf.Formula("Y[n,c] = X[n,n*c]"),
        cf.FormulaError,
        "indices c and n are multiplied: only numbers, settings and extents multiply an index\n"
        "  Y[n,c] = X[n,n*c]\n"
        "               ^",
    ),
    bad(
        "empty-sum",
        lambda: cf.Formula("Y[n,c] = sum[] X[n,c]"),
        cf.FormulaError,
        "sum[] is empty: name the indices that it runs over, as in sum[u,v]\n"
        "  Y[n,c] = sum[] X[n,c]\n"
        "               ^",
    ),
    bad(
        "repeated-index",
        lambda: cf.Formula("Y[n,c,c] = X[n,c]"),
        cf.FormulaError,
        "index c stands on the left twice\n  Y[n,c,c] = X[n,c]\n        ^",
    ),
    bad(
        "no-equals",
        lambda: cf.Formula("X[n,c]"),
        cf.FormulaError,
        "the right side is missing: expected '=' and what the tensor equals\n  X[n,c]\n        ^",
    ),
    bad(
        "empty",
        lambda: cf.Formula(""),
        cf.FormulaError,
        "the formula is empty: write one such as Y[n,i] = 2 * X[n,i]\n  \n  ^",
    ),
    bad("not-text", lambda: cf.Formula(3), cf.FormulaError, "a formula is text, not int\n  3\n  ^"),
    bad(
        "no-input",
        lambda: cf.Formula("Y[n,c] = A[c]"),
        cf.FormulaError,
        "index n stands on the left only: the right side must use it\n  Y[n,c] = A[c]\n    ^",
    ),
    bad(
        "example-parameter",
        lambda: cf.Formula("Y[n,c] = A[n,c] * X[n,c]"),
        cf.FormulaError,
        "parameter A is read with n, the example: parameters are the same for all examples\n"
        "  Y[n,c] = A[n,c] * X[n,c]\n"
        "           ^",
    ),
    bad(
        "wrong-left",
        lambda: cf.Formula("Z[n,c] = X[n,c]"),
        cf.FormulaError,
        "a layer's formula defines Y[n,...]\n  Z[n,c] = X[n,c]\n  ^",
    ),
    bad(
        "unused-setting",
        lambda: cf.Formula("Y[n,c] = X[n,c]", q=3),
        cf.SettingError,
        "Formula: q is neither an index nor a setting of Y[n,c] = X[n,c]",
    ),
    bad(
        "setting-no-number",
        lambda: cf.Formula("Y[n,c] = a * X[n,c]", a="2"),
        cf.SettingError,
        "Formula: a must be a finite number, got '2'",
    ),
    bad(
        "setting-nan",
        lambda: cf.Formula("Y[n,c] = a * X[n,c]", a=float("nan")),
        cf.SettingError,
        "Formula: a must be a finite number, got nan",
    ),
    bad(
        "initial-kind",
        lambda: cf.Formula("Y[n,c] = A[c] * X[n,c]", initial={"A": "normal"}),
        cf.SettingError,
        'Formula: initial of A must be "zeros", "ones" or "scaled", got \'normal\'',
    ),
    bad(
        "initial-tensor",
        lambda: cf.Formula("Y[n,c] = A[c] * X[n,c]", initial={"B": "ones"}),
        cf.SettingError,
        "Formula: initial names 'B', which is no parameter of Y[n,c] = A[c] * X[n,c]",
    ),
    bad(
        "negative-extent",
        lambda: network([cf.Formula("Y[n,q] = sum[c] W[q,c] * X[n,c]", q=-2)], (4,)),
        cf.ShapeError,
        "layer 0 (Formula): the extent of q must be a whole number of 1 or more, got -2 (x is (4,), "
        "from the input)",
    ),
    bad(
        "contradiction",
        lambda: network([cf.Formula("Y[n,c] = X[n,c,c]")], (4, 5)),
        cf.ShapeError,
        "layer 0 (Formula): the sizes disagree on c: X's axis 1 makes it 4, but X's axis 2 makes it "
        "5 (x is (4, 5), from the input)",
    ),
]

SETTINGS = [
    bad(
        "channels-zero",
        lambda: cf.Conv2d(0, 3),
        cf.SettingError,
        "Conv2d: out_channels must be a whole number from 1, got 0",
    ),
    bad(
        "channels-float",
        lambda: cf.Conv2d(3.5, 3),
        cf.SettingError,
        "Conv2d: out_channels must be a whole number from 1, got 3.5",
    ),
    bad(
        "channels-bool",
        lambda: cf.Conv2d(True, 3),
        cf.SettingError,
        "Conv2d: out_channels must be a whole number from 1, got True",
    ),
    bad(
        "kernel-text",
        lambda: cf.Conv2d(4, "3"),
        cf.SettingError,
        "Conv2d: kernel_size must be a whole number from 1, got '3'",
    ),
    bad(
        "kernel-triple",
        lambda: cf.Conv2d(4, (3, 3, 3)),
        cf.SettingError,
        "Conv2d: kernel_size must be a whole number or a pair (height, width), got (3, 3, 3)",
    ),
    bad(
        "stride-zero",
        lambda: cf.Conv2d(4, 3, stride=0),
        cf.SettingError,
        "Conv2d: stride must be a whole number from 1, got 0",
    ),
    bad(
        "dilation-pair",
        lambda: cf.Conv2d(4, 3, dilation=(1, -1)),
        cf.SettingError,
        "Conv2d: dilation must be a whole number from 1, got -1",
    ),
    bad(
        "padding-negative",
        lambda: cf.Conv2d(4, 3, padding=-1),
        cf.SettingError,
        "Conv2d: padding must be a whole number from 0, got -1",
    ),
    bad(
        "padding-word",
        lambda: cf.Conv2d(4, 3, padding="full"),
        cf.SettingError,
        'Conv2d: padding must be a whole number, a pair, "valid" or "same", got \'full\'',
    ),
    bad(
        "groups-divide",
        lambda: cf.Conv2d(4, 3, groups=3),
        cf.SettingError,
        "Conv2d: groups must divide out_channels, got groups=3 and out_channels=4",
    ),
    bad(
        "bias-text",
        lambda: cf.Conv2d(4, 3, bias="yes"),
        cf.SettingError,
        "Conv2d: bias must be True or False, got 'yes'",
    ),
    bad(
        "bias-shared",
        lambda: cf.LocallyConnected2d(4, 3, bias="all"),
        cf.SettingError,
        "LocallyConnected2d: bias must be True, False or \"shared\", got 'all'",
    ),
    bad(
        "pool-padding",
        lambda: cf.MaxPool2d(2, padding=2),
        cf.SettingError,
        "MaxPool2d: padding must be smaller than the kernel, or a window holds no entry of the "
        "image; got padding=2 and kernel_size=2",
    ),
    bad(
        "pool-count",
        lambda: cf.AvgPool2d(2, count_include_pad=1),
        cf.SettingError,
        "AvgPool2d: count_include_pad must be True or False, got 1",
    ),
    bad(
        "features",
        lambda: cf.Dense(-1),
        cf.SettingError,
        "Dense: out_features must be a whole number from 1, got -1",
    ),
    bad(
        "dropout-one",
        lambda: cf.Dropout(1.0),
        cf.SettingError,
        "Dropout: p must be a number from 0 to below 1, got 1.0",
    ),
    bad(
        "dropout-text",
        lambda: cf.Dropout("half"),
        cf.SettingError,
        "Dropout: p must be a number from 0 to below 1, got 'half'",
    ),
    bad(
        "slope",
        lambda: cf.LeakyReLU(-0.1),
        cf.SettingError,
        "LeakyReLU: negative_slope must be a number from 0, got -0.1",
    ),
    bad(
        "name-digit",
        lambda: cf.ReLU(name="1"),
        cf.SettingError,
        "ReLU: a name begins with a letter, then letters, digits, - and _; got '1'",
    ),
    bad(
        "name-dot",
        lambda: cf.ReLU(name="a.b"),
        cf.SettingError,
        "ReLU: a name begins with a letter, then letters, digits, - and _; got 'a.b'",
    ),
    bad(
        "rate",
        lambda: cf.SGD(-0.1),
        cf.SettingError,
        "SGD: learning_rate must be a number from 0 upwards, and finite, got -0.1",
    ),
    bad(
        "nesterov",
        lambda: cf.SGD(0.1, nesterov=True),
        cf.SettingError,
        "SGD: nesterov needs a momentum above 0; pass momentum=0.9, or nesterov=False",
    ),
    bad(
        "betas",
        lambda: cf.Adam(betas=(0.9, 1.0)),
        cf.SettingError,
        "Adam: each of betas must be a number from 0 to below 1, got 1.0",
    ),
]

NETWORKS = [
    bad(
        "layers-none",
        lambda: network(None),
        cf.SettingError,
        "layers must be a list of layers, as in [cf.Conv2d(16, 3), cf.ReLU()], got None",
    ),
    bad(
        "layers-one",
        lambda: network(cf.Flatten()),
        cf.SettingError,
        "layers must be a list of layers, as in [cf.Conv2d(16, 3), cf.ReLU()], got one layer",
    ),
    bad(
        "layers-text",
        lambda: network("Flatten"),
        cf.SettingError,
        "layers must be a list of layers, as in [cf.Conv2d(16, 3), cf.ReLU()], got 'Flatten'",
    ),
    bad(
        "layers-empty",
        lambda: network([]),
        cf.SettingError,
        "a network needs at least one layer, got an empty list",
    ),
    bad(
        "layer-class",
        lambda: network([cf.Flatten, cf.Dense(3)]),
        cf.SettingError,
        "layer 0 is the class Flatten: write cf.Flatten() to make a layer of it",
    ),
    bad(
        "layer-class-with-settings",
        lambda: network([cf.Flatten(), cf.Dense]),
        cf.SettingError,
        "layer 1 is the class Dense: write cf.Dense(...) to make a layer of it",
    ),
    bad(
        "layer-text",
        lambda: network(["Flatten"]),
        cf.SettingError,
        "layer 0 must be a layer, as in cf.ReLU(), got 'Flatten'",
    ),
    bad(
        "loss-among-layers",
        lambda: network([cf.Flatten(), cf.Dense(3), cf.SoftmaxCrossEntropy()]),
        cf.SettingError,
        "layer 2 is a loss: pass it as loss=cf.SoftmaxCrossEntropy() instead",
    ),
    bad(
        "same-name",
        lambda: network([cf.ReLU(name="a"), cf.ReLU(), cf.ReLU(name="a")]),
        cf.SettingError,
        "layers 0 and 2 are both named 'a': give each its own name",
    ),
    bad(
        "two-inputs",
        lambda: network([cf.Formula("Y[n,c] = X[n,c] * X2[n,c]")], (4,)),
        cf.SettingError,
        "layer 0 reads several inputs; in a network a layer reads one, X: use layer.apply",
    ),
    bad(
        "loss-class",
        lambda: network([cf.Flatten(), cf.Dense(3)], loss=cf.SoftmaxCrossEntropy),
        cf.SettingError,
        "loss must be a loss, as in loss=cf.SoftmaxCrossEntropy(), got the class "
        "SoftmaxCrossEntropy; write loss=cf.SoftmaxCrossEntropy()",
    ),
    bad(
        "loss-text",
        lambda: network([cf.Flatten(), cf.Dense(3)], loss="MeanSquaredError"),
        cf.SettingError,
        "loss must be a loss, as in loss=cf.SoftmaxCrossEntropy(), got 'MeanSquaredError'; write "
        "loss=cf.MeanSquaredError()",
    ),
    bad(
        "loss-unknown",
        lambda: network([cf.Flatten(), cf.Dense(3)], loss="crossentropy"),
        cf.SettingError,
        "loss must be a loss, as in loss=cf.SoftmaxCrossEntropy(), got 'crossentropy'; known are "
        "SoftmaxCrossEntropy, SigmoidBinaryCrossEntropy, MeanSquaredError",
    ),
    bad(
        "seed-negative",
        lambda: network([cf.Flatten()], seed=-1),
        cf.SettingError,
        "seed must be a whole number from 0 to 2**64 - 1, got -1",
    ),
    bad(
        "seed-none",
        lambda: network([cf.Flatten()], seed=None),
        cf.SettingError,
        "seed must be a whole number from 0 to 2**64 - 1, got None",
    ),
    bad(
        "seed-float",
        lambda: network([cf.Flatten()], seed=1.0),
        cf.SettingError,
        "seed must be a whole number from 0 to 2**64 - 1, got 1.0",
    ),
    bad(
        "seed-too-large",
        lambda: network([cf.Flatten()], seed=2**64),
        cf.SettingError,
        "seed must be a whole number from 0 to 2**64 - 1, got 18446744073709551616",
    ),
    bad(
        "engine",
        lambda: network([cf.Flatten()], engine="refrence"),
        cf.SettingError,
        "engine must be 'compiled' or 'reference', got 'refrence'",
    ),
    bad(
        "threads",
        lambda: network([cf.Flatten()], threads=0),
        cf.SettingError,
        "threads must be a whole number from 1, got 0",
    ),
    bad(
        "threads-float",
        lambda: network([cf.Flatten()], threads=2.0),
        cf.SettingError,
        "threads must be a whole number from 1, got 2.0",
    ),
    bad(
        "memory",
        lambda: network([cf.Flatten(), cf.Dense(10**13)]),
        cf.SettingError,
        "the network's 370,000,000,000,000 parameters need 1,480,000.0 GB, more memory than there "
        "is: make its layers smaller",
    ),
    bad(
        "no-loss",
        lambda: network([cf.Flatten(), cf.Dense(3)]).evaluate(np.zeros((2, 1, 6, 6)), [0, 1]),
        cf.SettingError,
        "the network has no loss: make it with loss=cf.SoftmaxCrossEntropy(), say",
    ),
]

SHAPES = [
    bad(
        "zero",
        lambda: network([cf.Flatten()], (1, 0, 6)),
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got (1, 0, 6)",
    ),
    bad(
        "none",
        lambda: network([cf.Flatten()], (None, 1, 6, 6)),
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got (None, 1, 6, 6)",
    ),
    bad(
        "number",
        lambda: network([cf.Flatten()], 28),
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got 28",
    ),
    bad(
        "empty-shape",
        lambda: network([cf.Flatten()], ()),
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got ()",
    ),
    bad(
        "float-shape",
        lambda: network([cf.Flatten()], (1, 6.0, 6)),
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got (1, 6.0, 6)",
    ),
    bad(
        "batch-axis",
        lambda: network([cf.Conv2d(2, 3)], (64, 1, 6, 6)),
        cf.ShapeError,
        "layer 0 (Conv2d): expects images (channels, height, width), got (64, 1, 6, 6) (x is (64, 1, "
        "6, 6), from the input): input_shape is the shape of one input, without the batch axis",
    ),
    bad(
        "no-channels",
        lambda: network([cf.Conv2d(2, 3)], (6, 6)),
        cf.ShapeError,
        "layer 0 (Conv2d): expects images (channels, height, width), got (6, 6) (x is (6, 6), from "
        "the input)",
    ),
    bad(
        "dense-on-image",
        lambda: network([cf.Conv2d(2, 3), cf.Dense(3)]),
        cf.ShapeError,
        "layer 1 (Dense): expects rows of features, got (2, 4, 4) for each example: put Flatten() "
        "before it (x is (2, 4, 4), from layer 0 (Conv2d))",
    ),
    bad(
        "image-layer-on-rows",
        lambda: network([cf.Flatten(), cf.Dense(3, name="fc"), cf.MaxPool2d(2)]),
        cf.ShapeError,
        "layer 2 (MaxPool2d): expects images (channels, height, width), got (3,) (x is (3,), from fc)",
    ),
    bad(
        "window",
        lambda: network([cf.Conv2d(2, 3), cf.Conv2d(2, 5, name="conv2")]),
        cf.ShapeError,
        "conv2: the window's height (5) is larger than the padded image's (4 + 2*0): (4 - 5 + "
        "2*0)//1 + 1 = 0 (x is (2, 4, 4), from layer 0 (Conv2d))",
    ),
    bad(
        "window-padded",
        lambda: network([cf.MaxPool2d((2, 9), padding=(0, 1))]),
        cf.ShapeError,
        "layer 0 (MaxPool2d): the window's width (9) is larger than the padded image's (6 + 2*1): (6 "
        "- 9 + 2*1)//9 + 1 = 0 (x is (1, 6, 6), from the input)",
    ),
    bad(
        "groups",
        lambda: network([cf.Conv2d(4, 3, groups=2)]),
        cf.ShapeError,
        "layer 0 (Conv2d): groups=2 must divide the input channels, got 1 (x is (1, 6, 6), from the input)",
    ),
    bad(
        "softmax-on-image",
        lambda: network([cf.Conv2d(4, 3)], loss=cf.SoftmaxCrossEntropy()),
        cf.ShapeError,
        "SoftmaxCrossEntropy: expects rows of logits, got (4, 4, 4) for each example: end the "
        "network in Flatten() and Dense(K) (x is (4, 4, 4), from layer 0 (Conv2d))",
    ),
    bad(
        "sigmoid-of-two",
        lambda: network([cf.Flatten(), cf.Dense(2)], loss=cf.SigmoidBinaryCrossEntropy()),
        cf.ShapeError,
        "SigmoidBinaryCrossEntropy: expects one logit for each example, got (2,): end the network in "
        "Dense(1) (x is (2,), from layer 1 (Dense))",
    ),
    bad(
        "formula-rank",
        lambda: network([cf.Formula("Y[n,c] = X[n,c]^2")]),
        cf.ShapeError,
        "layer 0 (Formula): X has 4 axes, (1, 1, 6, 6), but the formula reads it with 2: X[n,c] (x "
        "is (1, 6, 6), from the input)",
    ),
]


@pytest.mark.parametrize(("action", "error", "message"), [*FORMULAS, *SETTINGS, *NETWORKS, *SHAPES])
def test_message(action, error, message):
    assert_message(action, error, message)
