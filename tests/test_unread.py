"""What nobody reads is not worked out, and nothing changes by that."""

import numpy as np
import pytest

import closedform as cf
from closedform.bench.networks import network
from closedform.engine.lines import lines

# the shapes by hand, layer by layer: what is read of the input, and what is made
PARTS = {
    "a pooling leaves a row out, so two convolutions make less": (
        [
            cf.Conv2d(3, 3),
            cf.ReLU(),
            cf.MaxPool2d(2),
            cf.Conv2d(5, 3),
            cf.ReLU(),
            cf.MaxPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (2, 28, 28),
        {0: (28, 24), 1: (24, 24), 2: (24, 12), 3: (12, 10), 4: (10, 10), 5: (10, 5)},
    ),
    "a stride steps over the last rows": (
        [cf.Conv2d(4, 3, padding=1), cf.Tanh(), cf.Conv2d(3, 2, stride=3), cf.Flatten(), cf.Dense(3)],
        (2, 10, 10),
        {0: (10, 8), 1: (8, 8), 2: (8, 3)},
    ),
    "dilation reaches further": (
        [
            cf.Conv2d(4, 2),
            cf.AvgPool2d(3, stride=2),
            cf.Conv2d(3, 2, stride=2, dilation=2),
            cf.GlobalAvgPool2d(),
        ],
        (2, 13, 13),
        {0: (13, 11), 1: (11, 5)},
    ),
    "padding after the last row reads all of it": (
        [
            cf.Conv2d(4, 2),
            cf.Conv2d(3, 3, padding=1),
            cf.LeakyReLU(0.1),
            cf.MaxPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 10, 10),
        {1: (9, 8), 2: (8, 8), 3: (8, 4)},
    ),
    "filters of a place of their own are all there": (
        [cf.Conv2d(3, 2), cf.LocallyConnected2d(4, 2), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(3)],
        (1, 7, 7),
        {},
    ),
    "rows with filters of their own are all there, columns are not": (
        [
            cf.Conv2d(3, 2),
            cf.Formula("Y[n,q,i,j] = sum[p,u,v] W[i,q,p,u,v] * X[n,p,i+u,j+v]", q=3, u=2, v=2),
            cf.ReLU(),
            cf.MaxPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 7, 7),
        {0: (7, 6), 1: (6, 5), 2: (5, 5), 3: (5, 2)},
    ),
    "a mask is drawn for the whole image": (
        [cf.Conv2d(4, 2), cf.Dropout(0.4), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(3)],
        (1, 8, 8),
        {},
    ),
    "a length is a number in the formula": (
        [
            cf.Conv2d(4, 2),
            cf.Formula("Y[n,c,i,j] = X[n,c,i,j] * 1/|i|"),
            cf.MaxPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 8, 8),
        {},
    ),
    "a formula reads two rows": (
        [
            cf.Conv2d(4, 2),
            cf.Formula("Y[n,c,i,j] = X[n,c,i+1,j+1] / (2 + X[n,c,i+2,j+2]^2)"),
            cf.AvgPool2d(4),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 9, 9),
        {0: (9, 6), 1: (6, 4), 2: (4, 1)},
    ),
    "a formula reads the row of its output too": (
        [
            cf.Conv2d(4, 2),
            cf.Formula("Y[n,c,i,j] = X[n,c,i+1,j] * X[n,c,i,j]"),
            cf.AvgPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 9, 9),
        {},
    ),
    "a sum runs as far as the output": (
        [
            cf.Conv2d(4, 2),
            cf.Formula("Y[n,c,i,j] = X[n,c,i,j] * sum[i'] [i<=i']"),
            cf.MaxPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 8, 8),
        {},
    ),
    "a softmax of one's own": (
        [
            cf.Conv2d(4, 2),
            cf.Formula("Y[n,c,i,j] = X[n,c,i,j] / sum[i'] exp(X[n,c,i',j])"),
            cf.MaxPool2d(2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 8, 8),
        {},
    ),
    "only the first channel is read": (
        [
            cf.Conv2d(4, 2),
            cf.MaxPool2d(2),
            cf.Formula("Y[n,c,i,j] = W[c] * X[n,0,2*i,j]", c=3, i=2),
            cf.Flatten(),
            cf.Dense(3),
        ],
        (1, 9, 9),
        {0: (9, 6), 1: (6, 3), 2: (3, 2)},
    ),
}


def made(case, **more):
    layers, shape, _ = PARTS[case]
    return cf.Network(layers, shape, cf.SoftmaxCrossEntropy(), seed=3, **more)


def examples(shape, count=37):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, *shape)).astype(np.float32), rng.integers(0, 3, count)


@pytest.mark.parametrize("case", PARTS)
def test_the_rows_that_are_read_and_made(case):
    _, _, expected = PARTS[case]
    found = lines(made(case).architecture, training=True)
    assert {
        line.position: (line.sizes.shapes["X"][2], line.sizes.shapes["Y"][2])
        for line in found
        if line.is_partial
    } == expected


@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("count", [1, 5, 37])
def test_the_numbers_are_those_of_the_reference_engine_which_makes_all(case, count):
    net, other = made(case), made(case, engine="reference")
    assert net.engine == "compiled"
    x, y = examples(net.input_shape, count)
    np.testing.assert_allclose(net.forward(x), other.forward(x), rtol=2e-5, atol=2e-6)
    (loss, gradients), (expected, others) = net.gradients(x, y), other.gradients(x, y)
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert set(gradients) == set(others)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, others[key], rtol=2e-4, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("case", PARTS)
def test_the_gradient_in_the_input_is_zero_where_it_is_not_read(case):
    net, other = made(case), made(case, engine="reference")
    x, _ = examples(net.input_shape, 6)
    found = []
    for each in (net, other):
        y, pullback = each.apply(x)
        found.append(pullback(np.sin(np.arange(y.size, dtype=np.float32)).reshape(y.shape))[0])
    np.testing.assert_allclose(found[0], found[1], rtol=2e-4, atol=2e-6)
    if case.startswith("a pooling"):
        assert not found[0][:, :, 26:].any()
        assert not found[0][:, :, :, 26:].any()
        assert found[0][:, :, 25].any()


def test_training_is_pytorchs(torch):
    case = next(iter(PARTS))
    net = made(case)
    x, y = examples(net.input_shape, 24)
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(125, 3),
    )  # fmt: skip
    model.load_state_dict({key: torch.tensor(array) for key, array in net.parameters.items()})
    net.fit(x, y, epochs=5, batch_size=24, optimizer=cf.SGD(0.05), verbose=0)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
    for key, array in net.parameters.items():
        expected = model.state_dict()[key].numpy()
        np.testing.assert_allclose(array, expected, rtol=2e-4, atol=2e-6, err_msg=key)


def test_what_is_not_read_spoils_nothing():
    """Rows 26 and 27 of the image are stepped over, whatever is in them."""
    net = made(next(iter(PARTS)))
    x, y = examples(net.input_shape, 8)
    spoiled = x.copy()
    spoiled[:, :, 26:], spoiled[:, :, :, 26:] = np.inf, np.nan
    np.testing.assert_array_equal(net.forward(spoiled), net.forward(x))
    (loss, gradients), (expected, others) = net.gradients(spoiled, y), net.gradients(x, y)
    assert loss == expected
    for key, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, others[key])


def test_an_axis_is_left_whole_by_itself():
    """Of 5 × 5 entries a pooling reads 4 × 4; a row has filters of its own, a column has none."""
    case = "rows with filters of their own are all there, columns are not"
    shapes = [line.sizes.shapes["Y"][2:] for line in lines(made(case).architecture, training=True)]
    assert shapes[:4] == [(6, 5), (5, 4), (5, 4), (2, 2)]


def test_of_the_packaged_networks_one_has_rows_that_nobody_reads():
    parts = {
        name: [line.sizes.shapes["Y"][1:] for line in lines(network(name), training=True) if line.is_partial]
        for name in ("digits", "lenet", "local", "mnist", "pair", "vgg", "worksheet_d", "worksheet_e")
    }
    pair = [(32, 24, 24), (32, 24, 24), (32, 12, 12), (64, 10, 10), (64, 10, 10), (64, 5, 5)]
    assert {name: found for name, found in parts.items() if found} == {"pair": pair}


def drawn(seed):
    """A network of up to six layers that fit one another, on an image of 9 to 15 rows."""
    rng = np.random.default_rng(seed)

    def some(*choices):
        return choices[rng.integers(len(choices))]

    shape = (int(rng.integers(1, 4)), int(rng.integers(9, 16)), int(rng.integers(9, 16)))
    layers, now = [], shape
    while len(layers) < 6:
        kernel, stride, padding = some(1, 2, 3), some(1, 1, 2, 3), some(0, 0, 0, 1, "same")
        layer = some(
            cf.Conv2d(some(2, 5), kernel, stride=stride, padding=padding, dilation=some(1, 1, 2)),
            cf.Conv2d(some(3, 16), kernel, stride=stride),
            cf.DepthwiseConv2d(kernel, stride=stride),
            cf.LocallyConnected2d(2, kernel, stride=stride),
            cf.MaxPool2d(some(2, 3), stride=some(1, 2, 3)),
            cf.AvgPool2d(some(2, 3)),
            cf.Tanh(),
            cf.ReLU(),
        )
        try:
            now = layer.output_shape(now)
        except cf.ClosedformError:
            break
        layers.append(layer)
    return cf.Architecture((*layers, cf.Flatten(), cf.Dense(3)), shape, cf.SoftmaxCrossEntropy())


RANDOM = [seed for seed in range(48) if any(line.is_partial for line in lines(drawn(seed), training=True))]


@pytest.mark.parametrize("seed", RANDOM[:24])
def test_of_networks_at_random_the_numbers_stay_too(seed):
    architecture = drawn(seed)
    net = cf.Network.from_architecture(architecture, 1)
    other = cf.Network.from_architecture(architecture, 1, engine="reference")
    assert net.engine == "compiled"
    x, y = examples(net.input_shape, 9)
    np.testing.assert_allclose(net.forward(x), other.forward(x), rtol=2e-4, atol=2e-5)
    found, expected = net.gradients(x, y)[1], other.gradients(x, y)[1]
    for key, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[key], rtol=2e-3, atol=2e-5, err_msg=key)
