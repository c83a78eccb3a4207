"""Claims with a mistake in them: every mistake with every layer to which it applies, at random sizes.

``example(name, mistake, seed)`` is the same for the same seed; the mistake None makes a right claim.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mistaken_layers import (
    CONVOLUTIONS,
    average_pool_input_gradient,
    convolution_bias_gradient,
    convolution_input_gradient,
    convolution_value,
    convolution_weight_gradient,
    dense_bias_gradient,
    dense_input_gradient,
    dense_value,
    dense_weight_gradient,
    draw_convolution,
    draw_dense,
    draw_flatten,
    draw_global_pool,
    draw_pointwise,
    draw_pool,
    draw_rows,
    flatten_input_gradient,
    flatten_value,
    global_average_input_gradient,
    global_average_value,
    global_max_input_gradient,
    loss_input_gradient,
    loss_value,
    max_pool_input_gradient,
    pointwise_input_gradient,
    pointwise_value,
    pool_value,
    softmax_input_gradient,
)

import closedform as cf


@dataclass
class Example:
    """One claim about one layer, with the numbers that it is about."""

    layer: cf.Layer
    wrt: str
    arrays: dict
    claim: np.ndarray
    mistake: str | None = None
    tags: dict = field(default_factory=dict)

    def __str__(self):
        return f"{self.mistake} in {self.wrt} of {self.layer}, {self.tags}"


def _convolution(kind, wrt, value, **words):
    def make(rng, mistake):
        choices = dict(words)
        if mistake in ("zeros-not-inserted", "stride-ignored"):
            choices["stride"] = int(rng.integers(2, 4))
        if mistake in ("padding-not-cropped", "padding-cropped-twice", "padding-forgotten"):
            choices["padding"] = 1
        if mistake == "padding-cropped-twice":
            choices["stride"] = 2
        if mistake == "border-missing":
            choices["padding"] = 0  # with k - 1 = 2 it is the same as padding cropped twice
        if mistake == "padding-once-in-size":
            choices |= {"padding": 1, "stride": 1}
        if mistake == "channels-swapped" and wrt != "W":
            choices["equal"] = True
        if kind in ("conv", "depthwise") and rng.random() < 0.2:
            choices.setdefault("dilation", 2)
        z = draw_convolution(rng, kind, **choices)
        arrays = {"X": z.X, "W": z.W, "b": z.b, "dY": z.dY}
        return Example(z.layer, wrt, arrays, value(z, mistake), mistake, {"X": z.X.shape, "dY": z.dY.shape})

    return make


def _simple(draw, wrt, value, *names, square_for=()):
    def make(rng, mistake):
        words = {"square": True} if mistake in square_for else {}
        z = draw(rng, mistake, **words) if "mistake" in draw.__code__.co_varnames else draw(rng, **words)
        arrays = {name: getattr(z, name) for name in names}
        return Example(z.layer, wrt, arrays, value(z, mistake), mistake, {"X": z.X.shape})

    return make


VALUE = ["bias-missing", "sign", "off-by-one", "convolution-flipped", "stride-ignored", "padding-forgotten",
         "padding-once-in-size", "transposed-operand"]  # fmt: skip
INPUT = ["kernel-not-rotated", "padding-not-cropped", "padding-cropped-twice", "sign", "off-by-one",
         "transposed-operand", "mean-doubled"]  # fmt: skip
WEIGHT = ["kernel-rotated", "zeros-not-inserted", "padding-forgotten", "weights-not-summed-over-batch",
          "mean-doubled", "sign", "off-by-one"]  # fmt: skip
SHARED = ["convolution-flipped", "weights-not-summed-over-positions", "averaged-over-positions"]
BIAS = ["bias-not-summed-over-positions", "bias-not-summed-over-batch", "mean-doubled", "sign",
        "averaged-over-positions"]  # fmt: skip

MAKERS = {}


def _register(name, make, mistakes):
    for mistake in [None, *mistakes]:
        MAKERS[name, mistake] = make


for _kind in CONVOLUTIONS:
    _both = ["channels-swapped"] if _kind in ("conv", "local") else []
    _not = [] if _kind == "depthwise" else ["channels-not-summed"]
    _sum = ["channels-summed"] if _kind in ("conv", "depthwise", "local") else []
    _zeros = [] if _kind == "local" else ["zeros-not-inserted", "border-missing"]
    _register(
        f"{_kind} Y", _convolution(_kind, "Y", convolution_value),
        [*VALUE, *_both, *_not, *(["channels-summed"] if _kind == "depthwise" else [])],
    )  # fmt: skip
    _register(
        f"{_kind} dX", _convolution(_kind, "X", convolution_input_gradient),
        [*INPUT, *_both, *_not, *_sum, *_zeros],
    )  # fmt: skip
    _register(
        f"{_kind} dW", _convolution(_kind, "W", convolution_weight_gradient),
        [*WEIGHT, *([] if _kind == "local" else SHARED), *_both,
         *(["channels-summed"] if _kind in ("conv", "local") else [])],
    )  # fmt: skip
    _register(
        f"{_kind} db", _convolution(_kind, "b", convolution_bias_gradient),
        ["bias-not-summed-over-batch", "bias-summed-over-positions", "mean-doubled", "sign"]
        if _kind == "local" else BIAS,
    )  # fmt: skip
for _wrt, _value, _mistakes in (
    ("Y", convolution_value, ["convolution-flipped", "padding-forgotten"]),
    ("X", convolution_input_gradient, ["kernel-not-rotated", "padding-not-cropped", "zeros-not-inserted"]),
    ("W", convolution_weight_gradient, ["kernel-rotated", "zeros-not-inserted"]),
):
    _register(f"grouped {_wrt}", _convolution("conv", _wrt, _value, groups=2), _mistakes)


def _draw_average(rng, mistake):
    words = {}
    if mistake in ("padding-not-cropped", "padding-cropped-twice"):
        words = {"padding": 1, "stride": 1 if mistake == "padding-not-cropped" else 2}
    if mistake == "zeros-not-inserted":
        words = {"stride": int(rng.integers(2, 4))}
    return draw_pool(rng, "avg", **words)


def _draw_max(rng, mistake):
    words = {}
    if mistake in ("padding-not-cropped", "padding-cropped-twice"):
        words = {"padding": 1, "stride": 1 if mistake == "padding-not-cropped" else 2}
    return draw_pool(rng, "max", **words)


FACTORS = ["pool-factor-missing", "pool-factor-wrong", "sign"]
_register("avg Y", _simple(_draw_average, "Y", pool_value, "X"), FACTORS)
_register(
    "avg dX", _simple(_draw_average, "X", average_pool_input_gradient, "X", "dY"),
    [*FACTORS, "zeros-not-inserted", "padding-not-cropped", "padding-cropped-twice", "channels-summed"],
)  # fmt: skip
_register(
    "max dX", _simple(_draw_max, "X", max_pool_input_gradient, "X", "dY"),
    ["max-spread", "max-wrong-entry", "padding-not-cropped", "padding-cropped-twice", "sign"],
)  # fmt: skip
_register(
    "global avg Y", _simple(lambda rng: draw_global_pool(rng, "avg"), "Y", global_average_value, "X"), FACTORS
)
_register(
    "global avg dX",
    _simple(lambda rng: draw_global_pool(rng, "avg"), "X", global_average_input_gradient, "X", "dY"),
    FACTORS,
)
_register(
    "global max dX",
    _simple(lambda rng: draw_global_pool(rng, "max"), "X", global_max_input_gradient, "X", "dY"),
    ["max-spread", "max-wrong-entry", "sign"],
)
_SQUARE = ("transposed-operand", "elementwise-product")
for _wrt, _value, _mistakes in (
    ("Y", dense_value, [*_SQUARE, "bias-missing", "sign"]),
    ("X", dense_input_gradient, [*_SQUARE, "sign"]),
    ("W", dense_weight_gradient, [*_SQUARE, "weights-not-summed-over-batch", "mean-doubled", "sign"]),
    ("b", dense_bias_gradient, ["bias-not-summed-over-batch", "mean-doubled", "sign"]),
):
    _register(
        f"dense {_wrt}",
        _simple(draw_dense, _wrt, _value, "X", "W", "b", "dY", square_for=_SQUARE),
        _mistakes,
    )
_register("flatten Y", _simple(draw_flatten, "Y", flatten_value, "X"), ["flatten-order"])
_register("flatten dX", _simple(draw_flatten, "X", flatten_input_gradient, "X", "dY"), ["flatten-order"])


def _pointwise(layer):
    def draw(rng, square=False):
        return draw_pointwise(rng, layer, square=square)

    return draw


_MASK = ["relu-mask-missing", "relu-mask-wrong-array", "relu-mask-inverted", "matrix-product", "sign"]
for _name, _layer, _mistakes in (
    ("relu", cf.ReLU(), [*_MASK, "activation-instead-of-derivative"]),
    ("leaky relu", cf.LeakyReLU(0.25), [*_MASK, "leak-missing"]),
    ("sigmoid", cf.Sigmoid(),
     ["sigmoid-derivative-missing", "activation-instead-of-derivative", "derivative-at-wrong-array",
      "matrix-product", "sign"]),
    ("tanh", cf.Tanh(),
     ["tanh-derivative-missing", "activation-instead-of-derivative", "derivative-at-wrong-array",
      "matrix-product", "sign"]),
):  # fmt: skip
    _register(f"{_name} Y", _simple(_pointwise(_layer), "Y", pointwise_value, "X"), ["sign"])
    _register(
        f"{_name} dX",
        _simple(_pointwise(_layer), "X", pointwise_input_gradient, "X", "dY", square_for=("matrix-product",)),
        _mistakes,
    )
_register(
    "softmax dX",
    _simple(lambda rng: draw_rows(rng, cf.Softmax()), "X", softmax_input_gradient, "X", "dY"),
    ["softmax-jacobian-diagonal", "softmax-sum-missing", "softmax-derivative-missing", "sign"],
)
_MEAN = ["mean-missing", "mean-doubled", "sign"]
for _name, _layer, _columns, _mistakes in (
    ("cross-entropy", cf.SoftmaxCrossEntropy(), None, ["labels-not-subtracted"]),
    ("binary cross-entropy", cf.SigmoidBinaryCrossEntropy(), 1,
     ["labels-not-subtracted", "activation-derivative-extra"]),
    ("squared error", cf.MeanSquaredError(), None, ["labels-not-subtracted", "power-factor-missing"]),
):  # fmt: skip

    def _draw(rng, layer=_layer, columns=_columns):
        return draw_rows(rng, layer, columns=columns)

    _register(f"{_name} L", _simple(_draw, "L", loss_value, "X", "T"), _MEAN)
    _register(f"{_name} dX", _simple(_draw, "X", loss_input_gradient, "X", "T"), [*_MEAN, *_mistakes])


def example(name, mistake, seed):
    """A claim of one kind with one mistake (None for a right one), the same for the same seed."""
    place = sorted({key[0] for key in MAKERS}).index(name)
    rng = np.random.default_rng([seed, place])
    return MAKERS[name, mistake](rng, mistake)
