"""`fit` where it is interrupted, stopped or refused at odd moments, and what its inputs are then."""

import os
import signal

import numpy as np
import pytest
from networks import digits_like, small

import closedform as cf
from closedform.engine.compiled import CompiledEngine

X, Y = digits_like(11, count=50)  # in batches of 8: seven, the last of two examples
ENGINES = ["compiled", "reference"]


class Crash(Exception):
    """As if the process had ended."""


class When(cf.Callback):
    """Does something at one call of a hook."""

    def __init__(self, hook, call, act):
        self.left, self.act = call, act
        setattr(self, hook, self.called)

    def called(self, *arguments):
        if self.left == 0:
            self.act(self.model)
        self.left -= 1


def never(hook):
    return When(hook, -1, None)


def interrupt(model):
    os.kill(os.getpid(), signal.SIGINT)


def crash(model):
    raise Crash


def stop(model):
    model.stop_training = True


def bits(net):
    return [array.tobytes() for array in net.parameters.values()]


def trained(engine="compiled", **more):
    net = small(seed=5, engine=engine)
    history = net.fit(
        X, Y, **{"epochs": 3, "batch_size": 8, "optimizer": cf.Adam(1e-2), "verbose": 0, **more}
    )
    return net, history


@pytest.mark.parametrize("engine", ENGINES)
def test_an_epoch_that_a_callback_stopped_is_brought_to_its_end(tmp_path, engine):
    """The crash comes after the checkpoint of the stopped epoch, and before the epoch's end."""

    def callbacks(batch, act):
        return [When("on_train_batch_end", batch, stop), When("on_epoch_end", 0, act)]

    expected, history = trained(engine, callbacks=callbacks(3, lambda model: None))
    with pytest.raises(Crash):
        trained(engine, checkpoint=tmp_path, checkpoint_seconds=0, callbacks=callbacks(3, crash))
    told = []
    net, found = trained(
        engine, checkpoint=tmp_path, resume=True, callbacks=callbacks(-1, lambda model: told.append("end"))
    )  # fmt: skip
    assert bits(net) == bits(expected)
    assert found.history == history.history
    assert len(found.history["loss"]) == 1
    assert told == ["end"]


class Halving(cf.Callback):
    """Halves the rate where an epoch, or a batch, begins."""

    def __init__(self, hook):
        setattr(self, hook, self.halve)

    def halve(self, *arguments):
        self.model.learning_rate *= 0.5


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin"])
def test_what_a_callback_did_before_a_dropped_step_is_not_done_again(tmp_path, hook):
    expected, history = trained(callbacks=[Halving(hook), never(hook)])
    with pytest.raises(KeyboardInterrupt):
        trained(callbacks=[Halving(hook), When(hook, 1, Dropping())], checkpoint=tmp_path)
    net, found = trained(callbacks=[Halving(hook), never(hook)], checkpoint=tmp_path, resume=True)
    assert found.history == history.history
    assert bits(net) == bits(expected)


class Dropping:
    """Interrupts, in such a way that the next step is the one under way."""

    def __call__(self, model):
        trainer = model.parameters.source.__self__
        advance = trainer.advance

        def dropped(order, most=None):
            trainer.advance = advance
            updates = cf.training.task.Updates([], 0, 0)
            interrupt(model)
            return updates

        trainer.advance = dropped


@pytest.mark.parametrize(("hook", "call"), [("on_epoch_end", 2), ("on_train_end", 0)])
def test_an_interrupt_at_the_very_end_is_raised_after_all_is_saved(tmp_path, hook, call):
    expected, history = trained()
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(checkpoint=tmp_path, callbacks=[When(hook, call, interrupt)])
    assert str(caught.value) == (
        f"stopped after epoch 3; {tmp_path / '000003.safetensors'} holds it: go on with resume=True"
    )
    net, found = trained(checkpoint=tmp_path, resume=True, callbacks=[never(hook)])
    assert bits(net) == bits(expected)
    assert found.history == history.history


def test_an_interrupt_ends_an_evaluation_between_two_of_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(cf.training.loop, "_EVALUATION_BATCH", 4)
    validation = digits_like(12, count=20)
    expected, history = trained(validation_data=validation)
    outputs, parts = CompiledEngine.outputs, []

    def interrupted(*arguments):
        parts.append(arguments)
        if len(parts) == 7:
            interrupt(None)
        return outputs(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CompiledEngine, "outputs", interrupted)
        with pytest.raises(KeyboardInterrupt, match="in epoch 2, after 7 of 7 steps"):
            trained(validation_data=validation, checkpoint=tmp_path)
    assert len(parts) == 7  # the second of the five of the second epoch
    net, found = trained(validation_data=validation, checkpoint=tmp_path, resume=True)
    assert bits(net) == bits(expected)
    assert found.history == history.history


@pytest.mark.parametrize(
    ("batch", "batch_size", "where"),
    [(6, 8, "in epoch 1, after 7 of 7 steps"), (0, 99, "in epoch 1, after 1 of 1 steps")],
)
def test_a_shorter_batch_counts_as_a_step(tmp_path, batch, batch_size, where):
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(
            checkpoint=tmp_path,
            batch_size=batch_size,
            callbacks=[When("on_train_batch_end", batch, interrupt)],
        )
    assert str(caught.value).startswith(f"stopped {where}; ")


def test_a_rate_that_a_callback_set_stays_in_the_history(tmp_path):
    def slower(model):
        model.learning_rate = 5e-3

    def callbacks(act):
        return [When("on_epoch_end", 0, slower), When("on_epoch_end", 1, act)]

    with pytest.raises(Crash):
        trained(checkpoint=tmp_path, callbacks=callbacks(crash))
    _, found = trained(checkpoint=tmp_path, resume=True, callbacks=callbacks(lambda model: None))
    assert found.history["learning_rate"] == [1e-2, 5e-3, 5e-3]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rate_that_was_set_does_not_change_the_steps_before(engine):
    """What is lost is made once more where the loss becomes infinite: with the rates that it had then.

    Descent from 0 on (w - 1)²: 4 steps of 0.25 leave w = 1 - 0.5⁴, where the gradient is -1/8.  A step of
    1e19 makes 1.25e18 of it, whose square is finite, and the next one -2.5e37, whose square is not.
    """
    net = cf.Network([cf.Dense(1, bias=False)], (1,), cf.MeanSquaredError(), engine=engine)
    net.parameters["0.weight"][...] = 0

    def faster(model):
        model.learning_rate = 1e19

    net.fit(
        np.ones((4, 1)),
        np.ones(4),
        epochs=3,
        batch_size=1,
        optimizer=cf.SGD(0.25),
        callbacks=[When("on_epoch_end", 0, faster), cf.TerminateOnNaN()],
        verbose=0,
    )
    assert net.parameters["0.weight"][0, 0] == pytest.approx(-2.5e37, rel=1e-6)


@pytest.mark.parametrize(
    "more",
    [
        {"sample_weight": [1.0]},
        {"augment": cf.Augmentation(shift=9)},
        {"label_smoothing": 2},
        {"validation_data": (X, Y[:3])},
    ],
)
def test_a_training_that_is_refused_leaves_the_standardization(more):
    net = small()
    with pytest.raises(cf.ClosedformError):
        net.fit(X, Y, standardize=True, verbose=0, **more)
    assert net.standardization is None


def test_a_folder_that_is_refused_leaves_the_standardization(tmp_path):
    trained(checkpoint=tmp_path)
    net = small()
    with pytest.raises(cf.SettingError, match="holds the checkpoints of a training"):
        net.fit(X, Y, standardize=True, checkpoint=tmp_path, verbose=0)
    assert net.standardization is None


def test_images_that_cannot_be_varied_are_refused_before_anything_begins():
    net = cf.Network([cf.Dense(2)], (5,), cf.SoftmaxCrossEntropy())
    began = []
    with pytest.raises(cf.ShapeError) as caught:
        net.fit(
            np.ones((4, 5)),
            [0, 1, 0, 1],
            augment=cf.Augmentation(flip=True),
            callbacks=[When("on_train_begin", 0, began.append)],
            verbose=0,
        )
    assert str(caught.value) == "augment needs images (channels, height, width), got inputs of shape (5,)"
    assert began == []


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gradient_in_the_input_is_that_in_the_input_as_it_was_given(engine):
    """y = w·(x - m)/s has the gradient w/s in x; the loss is y²."""
    net = cf.Network([cf.Dense(1, bias=False)], (2,), cf.MeanSquaredError(), engine=engine)
    net.parameters["0.weight"][...] = [[3.0, 5.0]]
    net.standardization = cf.Standardization((1.0, 2.0), (4.0, 0.5))
    x = np.array([[5.0, 3.0]])  # standardized to 1 and 2, so that y is 13
    y, pullback = net.apply(x)
    net.standardization = None  # the pullback goes on with what was
    assert y.tolist() == [[13.0]]
    assert pullback([[1.0]])[0].tolist() == [[0.75, 10.0]]
    net.standardization = cf.Standardization((1.0, 2.0), (4.0, 0.5))
    gradients = net.gradients(x, [0.0], wrt_input=True)[1]
    assert gradients["input"].tolist() == [[26 * 0.75, 260.0]]
    assert gradients["0.weight"].tolist() == [[26.0, 52.0]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            cf.Standardization((0.5,) * 3, (1.0,) * 3),
            "standardization must have one number for each channel, 1, got 3",
        ),
        (True, "standardization must be as in cf.Standardization((0.5,), (0.25,)), got True"),
    ],
)
def test_a_standardization_that_does_not_fit_is_refused(value, message):
    net = small()
    with pytest.raises(cf.SettingError) as caught:
        net.standardization = value
    assert str(caught.value) == message
    assert net.standardization is None


def test_classes_that_are_numbers_come_back_as_names(tmp_path):
    net = small()
    net.classes = np.arange(4)
    net.save(tmp_path / "model.safetensors")
    assert cf.load(tmp_path / "model.safetensors").classes == ("0", "1", "2", "3")


def test_bytes_are_converted_once(monkeypatch):
    """Standardized images take no room as they are before."""
    from closedform.data import feed

    converted = []
    as_float = feed.as_float
    monkeypatch.setattr(feed, "as_float", lambda part: converted.append(len(part)) or as_float(part))
    small().fit(np.zeros((50, 1, 8, 8), np.uint8), Y, standardize=True, epochs=2, verbose=0)
    assert sum(converted) == 50


def test_what_is_converted_for_a_call_does_not_grow_with_the_images(monkeypatch):
    """Small steps on large images, of which a call would make as many as there are."""
    from closedform.data.feed import Feed
    from closedform.engine import trainer

    monkeypatch.setattr(trainer, "_CALL", 10.0)
    taken, take = [], Feed.take
    monkeypatch.setattr(
        Feed, "take", lambda feed, chosen, epoch=0: taken.append(len(chosen)) or take(feed, chosen, epoch)
    )
    x = np.zeros((600, 1, 128, 128), np.uint8)
    net = cf.Network([cf.MaxPool2d(64), cf.Flatten(), cf.Dense(2)], (1, 128, 128), cf.SoftmaxCrossEntropy())
    net.fit(x, np.zeros(600, np.int64), batch_size=1, epochs=3, augment=cf.Augmentation(), verbose=0)
    assert sum(taken) == 1800
    assert 1 < max(taken) <= 256  # of 2¹⁴ entries each
