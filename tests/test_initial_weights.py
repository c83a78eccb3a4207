"""Weights begin uniform within He's limit before a ReLU and within Glorot's elsewhere; the seed decides them.

He's limit is √(6/fan_in), Glorot's √(6/(fan_in + fan_out)): fan_in is the number of products in one output,
fan_out the number of outputs that one input reaches at one position of each weight.
"""

import math

import numpy as np
import pytest

import closedform as cf
from closedform.layers.initial import beginning, uniform_limit


@pytest.mark.parametrize(
    ("layer", "input_shape", "tensor", "fan_in", "fan_out"),
    [
        # 3 channels and 3×3 weights into 16 filters
        (cf.Conv2d(16, 3), (3, 9, 9), "W", 27, 144),
        (cf.Conv2d(16, (3, 2), stride=2, padding=1, dilation=2), (3, 9, 9), "W", 18, 96),
        # of 4 channels and 16 filters, a group has 2 and 8
        (cf.Conv2d(16, 3, groups=2), (4, 9, 9), "W", 18, 72),
        (cf.DepthwiseConv2d(3), (8, 9, 9), "W", 9, 9),
        (cf.LocallyConnected2d(16, (3, 2)), (3, 9, 9), "W", 18, 96),
        # one weight multiplies every channel: 3*9 products in an output
        (cf.ChannelSummedConv2d(16, 3), (3, 9, 9), "W", 27, 144),
        (cf.Dense(10), (784,), "W", 784, 10),
        (cf.Formula("Y[n,o] = sum[f,g] W[o,f,g] * X[n,f] * X[n,g]", o=10), (7,), "W", 49, 10),
        (cf.Formula("Y[n,f] = w[f] * X[n,f]"), (7,), "w", 1, 1),
        (cf.Formula("Y[n,q,i] = sum[p,u] W[q,p,u] * X[n,p,s*i+u]", q=5, u=4, s=2), (3, 12), "W", 12, 20),
    ],
    ids=repr,
)
def test_the_limit_of_a_weight(layer, input_shape, tensor, fan_in, fan_out):
    he = uniform_limit(layer, tensor, input_shape, before_relu=True)
    glorot = uniform_limit(layer, tensor, input_shape, before_relu=False)
    assert he == pytest.approx(math.sqrt(6 / fan_in), rel=1e-15)
    assert glorot == pytest.approx(math.sqrt(6 / (fan_in + fan_out)), rel=1e-15)


@pytest.mark.parametrize(
    ("layer", "torch_weight"),
    [
        (cf.Conv2d(16, (3, 2)), (16, 3, 3, 2)),
        (cf.Dense(10), (10, 784)),
    ],
    ids=repr,
)
def test_the_limits_are_pytorchs_of_layers_without_groups(torch, layer, torch_weight):
    input_shape = (3, 9, 9) if isinstance(layer, cf.Conv2d) else (784,)
    weight = torch.empty(torch_weight)
    torch.nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    limit = uniform_limit(layer, "W", input_shape, before_relu=True)
    # PyTorch says its limit only through what it draws: the largest of many draws is close below
    assert float(weight.abs().max()) <= limit
    fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(weight)
    assert limit == pytest.approx(math.sqrt(6 / fan_in))
    glorot = uniform_limit(layer, "W", input_shape, before_relu=False)
    assert glorot == pytest.approx(math.sqrt(6 / (fan_in + fan_out)))


# ---- which limit a network chooses


def largest(layers, input_shape, key):
    """The largest of at least 30,000 entries: within a thousandth of the limit."""
    return float(np.abs(cf.Network(layers, input_shape=input_shape).parameters[key]).max())


HE, GLOROT = math.sqrt(6 / 100), math.sqrt(6 / 400)


@pytest.mark.parametrize(
    ("after", "limit"),
    [
        ([], GLOROT),
        ([cf.ReLU()], HE),
        ([cf.LeakyReLU()], HE),
        ([cf.Sigmoid()], GLOROT),
        ([cf.Tanh(), cf.ReLU()], GLOROT),
        ([cf.Softmax()], GLOROT),
        ([cf.Dropout(), cf.ReLU()], HE),
        ([cf.Dense(10), cf.ReLU()], GLOROT),
    ],
    ids=repr,
)
def test_he_where_a_relu_follows_and_glorot_elsewhere(after, limit):
    found = largest([cf.Dense(300), *after], (100,), "0.weight")
    assert 0.999 * limit < found <= limit


def test_pooling_before_the_relu_makes_no_difference():
    layers = [cf.Conv2d(400, 5), cf.MaxPool2d(2), cf.Flatten(), cf.ReLU()]
    limit = math.sqrt(6 / 100)
    assert 0.999 * limit < largest(layers, (4, 10, 10), "0.weight") <= limit


def test_weights_are_uniform():
    weight = cf.Network([cf.Dense(300)], input_shape=(100,), seed=3).parameters["0.weight"]
    uniform = (weight / GLOROT + 1) / 2
    # 30,000 draws: the mean's standard deviation is 0.0017, a tenth's is 0.0017
    assert abs(uniform.mean() - 0.5) < 0.008
    assert abs(uniform.var() - 1 / 12) < 0.003
    counts, _ = np.histogram(uniform, bins=10, range=(0, 1))
    assert np.abs(counts / uniform.size - 0.1).max() < 0.009
    # neighbours in a row know nothing of each other: 29,700 pairs, standard deviation 0.006
    correlation = np.corrcoef(uniform[:, :-1].ravel(), uniform[:, 1:].ravel())[0, 1]
    assert abs(correlation) < 0.03


# ---- parameters that are only added


@pytest.mark.parametrize(
    ("layer", "tensor", "start"),
    [
        (cf.Conv2d(4, 3, groups=2), "b", "zeros"),
        (cf.DepthwiseConv2d(3), "b", "zeros"),
        (cf.ChannelSummedConv2d(4, 3), "b", "zeros"),
        (cf.LocallyConnected2d(4, 3), "b", "zeros"),
        (cf.LocallyConnected2d(4, 3, bias="shared"), "b", "zeros"),
        (cf.Dense(4), "b", "zeros"),
        (cf.Dense(4), "W", None),
        (cf.Formula("Y[n,o] = relu(c[o] + sum[f] W[o,f] * X[n,f])", o=2), "c", "zeros"),
        (cf.Formula("Y[n,f] = X[n,f] - 2 * c[f]"), "c", "zeros"),
        (cf.Formula("Y[n,o] = sum[f] W[o,f] * (X[n,f] - c[f])", o=2), "c", "zeros"),
        (cf.Formula("Y[n,f] = c[f] * X[n,f] + c[f]"), "c", None),
        (cf.Formula("Y[n,f] = X[n,f] + c[f]^2"), "c", None),
        (cf.Formula("Y[n,f] = c[f] * X[n,f]", initial={"c": "ones"}), "c", "ones"),
        (cf.Formula("Y[n,f] = c[f] * X[n,f]", initial={"c": "zeros"}), "c", "zeros"),
        (cf.Formula("Y[n,f] = c[f] + X[n,f]", initial={"c": "scaled"}), "c", None),
    ],
    ids=repr,
)
def test_a_parameter_that_is_only_added_begins_at_zero(layer, tensor, start):
    assert beginning(layer, tensor) == start


def test_a_network_begins_so():
    gain = cf.Formula("Y[n,f] = g[f] * X[n,f] + h[f]", initial={"g": "ones"})
    parameters = cf.Network([cf.Dense(4), gain], input_shape=(3,)).parameters
    assert parameters["0.bias"].tolist() == [0] * 4
    assert parameters["1.g"].tolist() == [1] * 4
    assert parameters["1.h"].tolist() == [0] * 4
    assert parameters["0.weight"].all()


# ---- the seed


def network(seed=0, hidden=8, name=None):
    layers = [cf.Conv2d(4, 3, name=name), cf.ReLU(), cf.Flatten(), cf.Dense(hidden), cf.Dense(3)]
    return cf.Network(layers, input_shape=(1, 6, 6), seed=seed)


def test_the_seed_decides_every_weight():
    first, again, other = network(5).parameters, network(5).parameters, network(6).parameters
    for key in first:
        assert np.array_equal(first[key], again[key])
    for key in ("0.weight", "3.weight", "4.weight"):
        assert not (first[key] == other[key]).any()


def test_layers_of_one_network_draw_differently():
    layers = [cf.Dense(5), cf.Dense(5)]
    parameters = cf.Network(layers, input_shape=(5,)).parameters
    assert not (parameters["0.weight"] == parameters["1.weight"]).any()


def test_two_weights_of_one_layer_draw_differently():
    layer = cf.Formula("Y[n,f] = sum[g] V[f,g] * X[n,g] * sum[h] W[f,h]", f=5, h=5)
    parameters = cf.Network([layer], input_shape=(5,)).parameters
    drawn = {key: array / np.abs(array).max() for key, array in parameters.items()}
    assert not np.isclose(drawn["0.V"], drawn["0.W"]).any()


def test_a_layers_weights_depend_on_its_position_and_on_no_other_layer():
    small, large = network(hidden=8).parameters, network(hidden=9).parameters
    assert np.array_equal(small["0.weight"], large["0.weight"])
    # in the same place and with the same shape, whatever stands around it
    alone = cf.Network([cf.Flatten(), cf.Dense(5)], input_shape=(2, 3), seed=1).parameters
    among = cf.Network(
        [cf.Tanh(), cf.Dense(5), cf.Sigmoid(), cf.Dense(7)], input_shape=(6,), seed=1
    ).parameters
    assert np.array_equal(alone["1.weight"], among["1.weight"])
    moved = cf.Network([cf.Dense(5)], input_shape=(6,), seed=1).parameters
    assert not np.array_equal(alone["1.weight"], moved["0.weight"])


def test_a_name_changes_the_key_and_nothing_else():
    plain, named = network().parameters, network(name="first").parameters
    assert np.array_equal(plain["0.weight"], named["first.weight"])


def test_the_numbers_of_a_seed_never_change():
    weight = cf.Network([cf.Dense(2)], input_shape=(2,)).parameters["0.weight"]
    assert weight.dtype == np.float32
    first = [0.16242110, 0.86873225, 0.28455041, 0.66691904]
    expected = [math.sqrt(6 / 4) * (2 * number - 1) for number in first]
    assert weight.ravel().tolist() == pytest.approx(expected, rel=1e-6)


def test_global_pooling_between_a_layer_and_its_relu_does_not_count():
    def largest(*between):
        net = cf.Network([cf.Conv2d(4, 3), *between, cf.ReLU()], input_shape=(1, 6, 6))
        return np.abs(net.parameters["0.weight"]).max()

    assert largest(cf.GlobalMaxPool2d()) == largest()
    assert largest(cf.GlobalMaxPool2d(), cf.Tanh()) < largest()
