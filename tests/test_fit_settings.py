"""`fit`: weights of examples and classes, smoothed labels and shortened gradients, as PyTorch has them."""

import numpy as np
import pytest
from networks import digits_like, small, twin

import closedform as cf
from closedform.random import permutation

ENGINES = ["compiled", "reference"]
COUNT, BATCH, SEED = 36, 8, 5


def trained_by_torch(torch, net, x, y, loss, clip=None):
    """A copy of the network after two epochs in PyTorch; `loss` gets outputs, labels and positions."""
    model = twin(torch, net, torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    inputs, labels = torch.tensor(x), torch.tensor(y)
    for epoch in range(2):
        for chosen in torch.tensor(permutation(SEED, epoch, len(x))).split(BATCH):
            optimizer.zero_grad()
            loss(model(inputs[chosen]), labels[chosen], chosen).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    return {key: value.detach().numpy() for key, value in model.named_parameters()}


def distance(parameters, expected):
    return max(
        np.linalg.norm(parameters[key] - value) / np.linalg.norm(value) for key, value in expected.items()
    )


def compared(torch, engine, loss, clip=None, **settings):
    """How far `fit` is from PyTorch, and how far it would be without the settings."""
    x, y = digits_like(11, count=COUNT)
    nets = [small(seed=SEED, engine=engine) for _ in range(2)]
    expected = trained_by_torch(torch, nets[0], x, y, loss, clip)
    for net, more in zip(nets, [settings, {}], strict=True):
        optimizer = cf.SGD(0.1, momentum=0.9)
        net.fit(x, y, epochs=2, batch_size=BATCH, optimizer=optimizer, verbose=0, **more)
    return tuple(distance(net.parameters, expected) for net in nets)


@pytest.mark.parametrize("engine", ENGINES)
def test_sample_weights_follow_pytorch(torch, engine):
    weights = np.linspace(0, 3, COUNT)
    given = torch.tensor(weights, dtype=torch.float32)

    def loss(outputs, labels, chosen):
        each = torch.nn.functional.cross_entropy(outputs, labels, reduction="none")
        return (each * given[chosen]).sum() / len(chosen)

    near, far = compared(torch, engine, loss, sample_weight=weights)
    assert near < 1e-5
    assert far > 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_class_weights_multiply_sample_weights(torch, engine):
    weights, classes = np.linspace(0.5, 2, COUNT), {1: 4.0, 2: 0.0}
    given = torch.tensor(weights, dtype=torch.float32)
    by_class = torch.tensor([1.0, 4.0, 0.0, 1.0])

    def loss(outputs, labels, chosen):
        each = torch.nn.functional.cross_entropy(outputs, labels, reduction="none")
        return (each * given[chosen] * by_class[labels]).sum() / len(chosen)

    near, far = compared(torch, engine, loss, sample_weight=weights, class_weight=classes)
    assert near < 1e-5
    assert far > 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_smoothed_labels_follow_pytorch(torch, engine):
    def loss(outputs, labels, chosen):
        return torch.nn.functional.cross_entropy(outputs, labels, label_smoothing=0.2)

    near, far = compared(torch, engine, loss, label_smoothing=0.2)
    assert near < 1e-5
    assert far > 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_are_shortened_as_by_pytorch(torch, engine):
    def loss(outputs, labels, chosen):
        return torch.nn.functional.cross_entropy(outputs, labels)

    near, far = compared(torch, engine, loss, clip=0.5, clip_norm=0.5)
    assert near < 1e-5
    assert far > 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_the_loss_reported_is_the_weighted_one(engine):
    """Keras's: the sum of weight times loss, divided by the number of examples."""
    x, y = digits_like(11, count=12)
    weights = np.where(np.arange(12) < 4, 3.0, 0.0)
    net, same = small(engine=engine), small(engine=engine)
    history = net.fit(x, y, batch_size=12, sample_weight=weights, optimizer=cf.SGD(0.0), verbose=0)
    losses = [same.evaluate(x[n : n + 1], y[n : n + 1])["loss"] for n in range(4)]
    assert history["loss"][0] == pytest.approx(3 * sum(losses) / 12, rel=1e-6)


def test_the_validation_loss_is_not_smoothed():
    x, y = digits_like(11, count=12)
    net = small()
    history = net.fit(
        x, y, label_smoothing=0.5, optimizer=cf.SGD(0.0), validation_data=(x, y), verbose=0
    )  # fmt: skip
    assert history["val_loss"][0] == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-12)
    assert abs(history["loss"][0] - history["val_loss"][0]) > 1e-3


def test_binary_labels_are_smoothed_towards_a_half():
    net = cf.Network([cf.Dense(1)], input_shape=(2,), loss=cf.SigmoidBinaryCrossEntropy())
    net.parameters["0.weight"][...], net.parameters["0.bias"][...] = 0, np.log(3)  # probability 3/4
    history = net.fit(
        np.zeros((2, 2)), [1, 0], optimizer=cf.SGD(0.0), label_smoothing=0.2, verbose=0
    )  # fmt: skip
    # targets 0.9 and 0.1: the mean of -(0.9 ln 3/4 + 0.1 ln 1/4) and -(0.1 ln 3/4 + 0.9 ln 1/4)
    assert history["loss"][0] == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2, rel=1e-6)


def message_of(**settings):
    x, y = digits_like(11, count=12)
    with pytest.raises(cf.ClosedformError) as caught:
        small().fit(x, y, verbose=0, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1}, "label_smoothing must be a number from 0 to below 1, got 1"),
        ({"clip_norm": 0}, "clip_norm must be a number above 0, got 0"),
        ({"class_weight": {7: 1.0}}, "class_weight: labels are whole numbers from 0 to 3, got 7"),
        (
            {"class_weight": {0: -1.0}},
            "class_weight: the weight of 0 must be a finite number from 0, got -1.0",
        ),
        (
            {"class_weight": [1, 2]},
            "class_weight must be a dict from label to weight, as in {0: 1.0, 1: 5.0}, got [1, 2]",
        ),
        (
            {"sample_weight": [1, 2]},
            "sample_weight must have one number for each example, shape (12,), got (2,)",
        ),
        (
            {"sample_weight": [1] * 11 + [-2]},
            "sample_weight must hold finite numbers from 0, got -2 at position 11",
        ),
        (
            {"sample_weight": [0] * 12},
            "every example has the weight 0: give at least one of them a larger one",
        ),
        ({"schedule": 3}, "schedule must be a schedule, as in cf.OneCycle(), got 3"),
        ({"augment": True}, "augment must be as in cf.Augmentation(shift=2, flip=True), got True"),
        ({"standardize": 1}, "standardize must be True or False, got 1"),
        (
            {"resume": True},
            "resume=True needs the folder of the checkpoints: pass checkpoint=...",
        ),
        (
            {"checkpoint": "x", "checkpoint_seconds": -1},
            "checkpoint_seconds must be a number from 0, got -1",
        ),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    assert message_of(**settings) == message


def test_a_loss_that_does_not_classify_has_neither_classes_nor_smooth_labels():
    net = cf.Network([cf.Dense(1)], input_shape=(2,), loss=cf.MeanSquaredError())
    with pytest.raises(cf.SettingError) as caught:
        net.fit(np.zeros((2, 2)), [1.0, 0.0], class_weight={0: 1.0}, verbose=0)
    assert str(caught.value) == (
        "class_weight needs a loss that classifies, as SoftmaxCrossEntropy: leave it out"
    )
    with pytest.raises(cf.SettingError) as caught:
        net.fit(np.zeros((2, 2)), [1.0, 0.0], label_smoothing=0.1, verbose=0)
    assert str(caught.value) == (
        "label_smoothing needs a loss that classifies, got MeanSquaredError: leave it out"
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("steps", [1, 5, 7, 12])
def test_steps_are_made_to_the_number(engine, steps):
    """Five batches an epoch; a rate that falls to 0 after `steps` updates leaves the rest without effect."""
    x, y = digits_like(11, count=COUNT)
    net, other = (small(seed=SEED, engine=engine) for _ in range(2))
    history = net.fit(x, y, steps=steps, batch_size=BATCH, optimizer=cf.SGD(0.1), verbose=0)
    rates = cf.StepDecay(1e-30, steps=steps)
    other.fit(x, y, epochs=3, batch_size=BATCH, optimizer=cf.SGD(0.1), schedule=rates, verbose=0)
    assert [a.tobytes() for a in net.parameters.values()] == [a.tobytes() for a in other.parameters.values()]
    assert len(history.epoch) == -(-steps // 5)


def test_a_schedule_ends_with_the_steps():
    x, y = digits_like(11, count=COUNT)
    history = small().fit(
        x, y, steps=7, batch_size=BATCH, optimizer=cf.SGD(0.7), schedule=cf.Cosine(), verbose=0
    )  # fmt: skip
    # of 7 steps the last, counted from 0 the sixth, has 0.7·(1 + cos(6π/7))/2
    assert history["learning_rate"][-1] == pytest.approx(0.7 * (1 - 0.9009688679) / 2, rel=1e-6)


class Slower(cf.Callback):
    """Sets the learning rate at the end of the second epoch."""

    def __init__(self, rate):
        self.rate = rate

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.learning_rate = self.rate


def test_a_rate_that_a_callback_sets_is_in_the_history_of_every_epoch():
    x, y = digits_like(11, count=COUNT)
    history = small().fit(
        x, y, epochs=4, optimizer=cf.SGD(0.5), callbacks=[Slower(0.25)], verbose=0
    )  # fmt: skip
    assert history["learning_rate"] == [0.5, 0.5, 0.25, 0.25]
    assert len(history["loss"]) == 4


@pytest.mark.parametrize("rate", [-1, float("nan"), "fast", True])
def test_a_rate_that_is_none_is_refused(rate):
    x, y = digits_like(11, count=COUNT)
    with pytest.raises(cf.SettingError) as caught:
        small().fit(x, y, epochs=4, callbacks=[Slower(rate)], verbose=0)
    assert str(caught.value) == f"learning_rate must be a number from 0, got {rate!r}"


def test_the_network_has_a_rate_only_while_it_trains():
    with pytest.raises(cf.SettingError) as caught:
        small().learning_rate = 1.0
    assert str(caught.value) == ("the network has a learning rate only while fit runs: set the optimiser's")


def test_metrics_count_as_evaluate_does():
    """Outputs that differ by less than their probabilities can tell."""
    x, y = digits_like(11, count=COUNT)
    net = small()
    for array in net.parameters.values():
        array *= 1e-5
    assert net.metrics(x, y).accuracy == net.evaluate(x, y)["accuracy"]
    assert net.metrics(x, y).accuracy < 1
