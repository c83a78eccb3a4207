"""`fit`: seeded, every example used, PyTorch's steps, the same bits always."""

import io

import numpy as np
import pytest
from networks import EPSILON, digits_like, small, twin
from processes import printed

import closedform as cf
from closedform.random import permutation
from closedform.training.progress import Table, in_column


def torch_fit(torch, model, x, y, optimizer, *, epochs, batch_size, seed):
    inputs, labels = torch.tensor(x), torch.tensor(y)
    for epoch in range(epochs):
        order = torch.tensor(permutation(seed, epoch, len(x)))
        for chosen in order.split(batch_size):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()


def test_ten_steps_follow_pytorch(torch):
    """Two epochs of five batches, the last of which is short; without it the weights differ by percents."""
    net, (x, y) = small(seed=5), digits_like(11, count=36)
    model = twin(torch, net, torch.float32)
    before = net.parameters["0.weight"].copy()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    torch_fit(torch, model, x, y, optimizer, epochs=2, batch_size=8, seed=5)
    net.fit(x, y, epochs=2, batch_size=8, optimizer=cf.SGD(0.05, momentum=0.9), verbose=0)
    for key, value in model.named_parameters():
        expected = value.detach().numpy()
        error = np.linalg.norm(net.parameters[key] - expected) / np.linalg.norm(expected)
        assert error < 1e-5, key
    assert np.linalg.norm(net.parameters["0.weight"] - before) > 0.05 * np.linalg.norm(before)


def test_the_last_short_batch_is_used(torch):
    net, (x, y) = small(seed=5), digits_like(11, count=9)
    whole = twin(torch, net, torch.float32)
    torch_fit(torch, whole, x, y, torch.optim.SGD(whole.parameters(), 0.5), epochs=1, batch_size=8, seed=5)
    chosen = permutation(5, 0, 9)[:8]
    short = small(seed=5)
    short.fit(x[chosen], y[chosen], batch_size=8, optimizer=cf.SGD(0.5), verbose=0)
    net.fit(x, y, batch_size=8, optimizer=cf.SGD(0.5), verbose=0)
    expected = whole[4].weight.detach().numpy()
    assert np.abs(net.parameters["4.weight"] - expected).max() < 1e-6
    assert np.abs(short.parameters["4.weight"] - expected).max() > 1e-2


def test_history_has_kerass_keys():
    net, (x, y) = small(), digits_like(12)
    history = net.fit(x, y, epochs=3, batch_size=5, validation_data=(x, y), verbose=0)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert [len(figures) for figures in history.history.values()] == [3, 3, 3, 3]
    assert history.epoch == [0, 1, 2]
    assert len(history.seconds) == 3
    assert history["val_loss"] == history.history["val_loss"]
    last = net.evaluate(x, y)
    assert history["val_loss"][-1] == last["loss"]
    assert history["val_accuracy"][-1] == last["accuracy"]
    assert list(net.fit(x, y, verbose=0).history) == ["loss", "accuracy"]
    regression = small(cf.MeanSquaredError())
    assert list(regression.fit(x, np.zeros((12, 4)), verbose=0).history) == ["loss"]


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples():
    net, (x, y) = small(), digits_like(13, count=10)
    expected = net.evaluate(x, y)
    history = net.fit(x, y, epochs=1, batch_size=4, optimizer=cf.SGD(0.0), verbose=0)
    assert history["loss"][0] == pytest.approx(expected["loss"], rel=1e-6)
    assert history["accuracy"][0] == pytest.approx(expected["accuracy"])


@pytest.mark.parametrize(
    "loss", [cf.SoftmaxCrossEntropy(), cf.SigmoidBinaryCrossEntropy(), cf.MeanSquaredError()]
)
def test_every_loss_falls(loss):
    rng = np.random.default_rng(14)
    x = rng.normal(size=(40, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    outputs = 2 if isinstance(loss, cf.SoftmaxCrossEntropy) else 1
    net = cf.Network([cf.Dense(8), cf.Tanh(), cf.Dense(outputs)], input_shape=(6,), loss=loss)
    history = net.fit(x, y, epochs=30, batch_size=10, optimizer=cf.SGD(0.1, momentum=0.9), verbose=0)
    assert history["loss"][-1] < 0.3 * history["loss"][0]


def test_no_epochs_change_nothing():
    net, (x, y) = small(), digits_like(15)
    before = net.forward(x).tobytes()
    history = net.fit(x, y, epochs=0, verbose=0)
    assert history.history == {}
    assert net.forward(x).tobytes() == before


@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (1, 32), (12, 1000)])
def test_a_batch_may_be_larger_than_the_examples(count, batch_size):
    net, (x, y) = small(), digits_like(16, count=count)
    loss, gradients = net.gradients(x, y)
    history = net.fit(x, y, batch_size=batch_size, optimizer=cf.SGD(1.0), verbose=0)
    assert history["loss"] == [pytest.approx(loss, rel=1e-6)]
    moved = small().parameters["4.bias"] - gradients["4.bias"]
    np.testing.assert_allclose(net.parameters["4.bias"], moved, rtol=0, atol=count * EPSILON)


TRAIN = """
import hashlib, numpy as np, closedform as cf
rng = np.random.default_rng(0)
x, y = rng.normal(size=(150, 1, 20, 20)).astype(np.float32), rng.integers(0, 4, 150)
layers = [cf.Conv2d(8, 3), cf.ReLU(), cf.Dropout(0.2), cf.Flatten(), cf.Dense(64), cf.ReLU(), cf.Dense(4)]
net = cf.Network(layers, input_shape=(1, 20, 20), loss=cf.SoftmaxCrossEntropy(), seed=SEED)
net.fit(x, y, epochs=1, batch_size=64, optimizer=cf.Adam(), verbose=0)
print(hashlib.sha256(b"".join(array.tobytes() for array in net.parameters.values())).hexdigest())
"""


def test_the_same_seed_gives_the_same_bits_in_every_process_and_with_any_threads():
    one = printed(TRAIN.replace("SEED", "3"), OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="1")
    two = printed(TRAIN.replace("SEED", "3"), OPENBLAS_NUM_THREADS="2", PYTHONHASHSEED="2")
    other = printed(TRAIN.replace("SEED", "4"), OPENBLAS_NUM_THREADS="1")
    assert one == two
    assert one != other


def test_progress_is_written_as_plain_lines(monkeypatch):
    net, (x, y) = small(), digits_like(17)
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)
    net.fit(x, y, epochs=2, validation_data=(x, y))
    lines = written.getvalue().splitlines()
    assert lines[0] == "epoch  train loss  train accuracy  valid loss  valid accuracy  seconds"
    assert lines[1] == "-----  ----------  --------------  ----------  --------------  -------"
    assert [line.split()[0] for line in lines[2:]] == ["1", "2"]
    assert {len(line) for line in lines} == {len(lines[0])}


def test_a_figure_too_long_for_its_column_has_an_exponent():
    written = io.StringIO()
    table = Table(written)
    for epoch, (loss, other, seconds) in enumerate(
        [
            (99999.99994, 0.5, 9999.99),
            (186368294004624334432239616.0, 123456789.0, 10000.4),
            (1e300, -186368294004624334432239616.0, 0.0),
            (float("inf"), float("nan"), 0.0),
        ]
    ):
        table.end_epoch(epoch, {"loss": loss, "val_loss": other}, seconds)
    assert written.getvalue().splitlines() == [
        "epoch  train loss  valid loss  seconds",
        "-----  ----------  ----------  -------",
        "    1  99999.9999      0.5000  9999.99",
        "    2    1.86e+26    1.23e+08    10000",
        "    3   1.00e+300   -1.86e+26     0.00",
        "    4         inf         nan     0.00",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (999.9999, "999.9999"),
        (1234.5678, "1.23e+03"),
        (186368294004624334432239616.0, "1.86e+26"),
        (-186368294004624334432239616.0, "-1.9e+26"),
        (1.86e300, "1.9e+300"),
        (-1.86e300, "-2e+300"),
    ],
)
def test_a_narrow_column_takes_fewer_digits(value, expected):
    assert in_column(value, 8) == expected.rjust(8)


def test_a_second_fit_goes_on_with_another_order_and_other_masks():
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])

    def trained(*epochs):
        layers = [cf.Dense(8), cf.ReLU(), cf.Dropout(0.5), cf.Dense(2)]
        net = cf.Network(layers, input_shape=(2,), loss=cf.SoftmaxCrossEntropy())
        for count in epochs:
            net.fit(x, y, epochs=count, batch_size=4, optimizer=cf.SGD(0.01), verbose=0)
        return net.parameters["0.weight"].tobytes()

    assert trained(1, 1) == trained(2)  # without momentum one call of two epochs is two calls of one
    assert trained(1, 2) == trained(3)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_bound_numpys_matrix_products_while_the_engine_runs(threads, monkeypatch):
    from threadpoolctl import threadpool_info

    seen = []
    net = cf.Network([cf.Dense(2)], input_shape=(3,), engine="reference", threads=threads)
    forward = net._runner.engine.forward

    def watched(*arguments, **options):
        seen.extend(info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas")
        return forward(*arguments, **options)

    monkeypatch.setattr(net._runner.engine, "forward", watched)
    net.forward(np.ones((1, 3)))
    assert seen
    assert set(seen) == {threads}
