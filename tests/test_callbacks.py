"""Callbacks with Keras's names do what Keras's do, epoch by epoch, and go on where a checkpoint left them."""

import json
import math

import numpy as np
import pytest
from networks import digits_like, small

import closedform as cf
from closedform.random import permutation
from closedform.training.callbacks import callback_from_dict

NAN = math.nan


class Memory:
    """Parameters that are the number of the epoch that made them."""

    def __init__(self):
        self.memory = np.zeros(3, np.float32)
        self.times_written = 0

    def written(self):
        self.times_written += 1


class Model:
    """As much of a network as callbacks touch."""

    def __init__(self, learning_rate=0.1):
        self.stop_training, self.learning_rate = False, learning_rate
        self.parameters = Memory()
        self.saved = []

    def save(self, path):
        self.saved.append((path, int(self.parameters.memory[0])))


def train(callback, figures, monitor="val_loss", model=None, first=0, ends=True, state=None):
    """The hooks in their order; what each epoch's end left of the learning rate."""
    model, rates = model or Model(), []
    callback.set_model(model)
    if state is not None:
        callback.load_state(state)
    callback.on_train_begin()
    for epoch in range(first, len(figures)):
        callback.on_epoch_begin(epoch)
        model.parameters.memory[...] = epoch
        callback.on_epoch_end(epoch, {"loss": 9.0, monitor: figures[epoch]})
        rates.append(model.learning_rate)
        if model.stop_training:
            break
    if ends:
        callback.on_train_end()
    return model, rates


def went_on(make, figures, monitor="val_loss"):
    """For every epoch, what comes of a training that ended there and goes on from a checkpoint."""
    for done in range(1, len(figures)):
        before = make()
        model, rates = train(before, figures[:done], monitor, ends=False)
        if model.stop_training:
            return
        kept = before.state()
        arrays = {key: value.copy() for key, value in kept.items() if isinstance(value, np.ndarray)}
        plain = json.loads(json.dumps({key: value for key, value in kept.items() if key not in arrays}))
        again, copy = make(), Model(model.learning_rate)
        found, more = train(again, figures, monitor, copy, first=done, state={**plain, **arrays})
        yield again, found, rates + more


# ---- EarlyStopping


@pytest.mark.parametrize(
    ("settings", "figures", "ended", "best", "best_epoch"),
    [
        ({}, [1.0, 0.9, 0.95, 0.1], 2, 0.9, 1),
        ({}, [1.0, 0.9, 0.9, 0.1], 2, 0.9, 1),
        ({}, [NAN, 0.5, 0.4], 0, 0.4, 2),
        ({"patience": 1}, [1.0, 0.9, 0.95, 0.1], 2, 0.9, 1),
        ({"patience": 2}, [1.0, 0.9, 0.95, 0.92, 0.1], 3, 0.9, 1),
        ({"patience": 2}, [1.0, 0.9, 0.95, 0.85, 0.9, NAN], 5, 0.85, 3),
        ({"patience": 9}, [1.0, 2.0, 3.0], 0, 1.0, 0),
        ({"min_delta": 0.25}, [1.0, 0.5, 0.375, 0.1], 2, 0.5, 1),
        ({"min_delta": 0.25}, [1.0, 0.75], 1, 1.0, 0),
        ({"min_delta": -0.25}, [1.0, 0.75], 1, 1.0, 0),
        ({"mode": "max"}, [1.0, 2.0, 1.5, 9.0], 2, 2.0, 1),
        ({"mode": "max", "min_delta": 0.5}, [1.0, 1.5], 1, 1.0, 0),
        # a gain that does not reach the baseline does not end the wait, and does not end the training either
        ({"baseline": 0.5, "patience": 2}, [0.9, 0.8, 0.7, 0.75, 0.1], 3, 0.7, 2),
        ({"baseline": 0.5, "patience": 2}, [0.9, 0.4, 0.6, 0.7, 0.1], 3, 0.4, 1),
        ({"baseline": 0.5, "patience": 2}, [0.9, 0.95, 0.1], 1, 0.9, 0),
        ({"start_from_epoch": 3, "patience": 1}, [0.1, 0.2, 0.3, 1.0, 1.1, 0.0], 4, 1.0, 3),
    ],
)
def test_early_stopping_ends_as_in_keras(settings, figures, ended, best, best_epoch):
    callback = cf.EarlyStopping(**settings)
    model, rates = train(callback, figures)
    assert (model.stop_training, callback.stopped_epoch) == (ended > 0, ended)
    assert len(rates) == (ended + 1 if ended else len(figures))
    assert (callback.best, callback.best_epoch) == (best, best_epoch)
    assert model.parameters.times_written == 0


@pytest.mark.parametrize(
    ("monitor", "is_more"),
    [
        ("val_accuracy", True),
        ("accuracy", True),
        ("val_acc", True),
        ("val_loss", False),
        ("loss", False),
        ("learning_rate", False),
    ],
)
def test_the_direction_follows_from_the_figures_name(monitor, is_more):
    model, _ = train(cf.EarlyStopping(monitor), [0.5, 0.6], monitor)
    assert model.stop_training == (not is_more)
    model, _ = train(cf.EarlyStopping(monitor), [0.5, 0.4], monitor)
    assert model.stop_training == is_more


@pytest.mark.parametrize(
    ("settings", "figures", "weights"),
    [
        ({"patience": 2}, [1.0, 0.9, 0.95, 0.92, 0.1], 1),
        ({"patience": 9}, [1.0, 0.9, 0.95, 0.92], 1),
        ({"patience": 9}, [1.0, 0.9, 0.8], 2),
        ({"patience": 9}, [NAN, NAN, NAN], 0),
        ({"start_from_epoch": 2, "patience": 9}, [0.1, 0.2, NAN, NAN], 2),
        ({"start_from_epoch": 9}, [0.1, 0.2, 0.3], 2),
        ({"baseline": 0.5, "patience": 9}, [0.9, 0.8, 0.85], 1),
    ],
)
def test_the_best_weights_come_back_however_the_training_ends(settings, figures, weights):
    callback = cf.EarlyStopping(restore_best_weights=True, **settings)
    model, _ = train(callback, figures)
    assert model.parameters.memory.tolist() == [weights] * 3
    assert model.parameters.times_written == (settings.get("start_from_epoch") != 9)


def test_early_stopping_goes_on_from_every_epoch():
    figures = [1.0, 0.9, 0.95, 0.8, 0.85, 0.82, 0.81, 0.1]

    def make():
        return cf.EarlyStopping(patience=3, restore_best_weights=True)

    found = list(went_on(make, figures))
    assert len(found) == 6
    for callback, model, _ in found:
        assert (callback.stopped_epoch, callback.best, callback.best_epoch) == (6, 0.8, 3)
        assert model.parameters.memory.tolist() == [3, 3, 3]


def test_a_callback_begins_anew_with_every_training():
    callback = cf.EarlyStopping(patience=1, restore_best_weights=True)
    train(callback, [0.1, 0.2])
    model, _ = train(callback, [0.9, 0.8, 0.85])
    assert (callback.stopped_epoch, callback.best) == (2, 0.8)
    assert model.parameters.memory.tolist() == [1, 1, 1]


def test_what_early_stopping_did_is_printed(capsys):
    train(cf.EarlyStopping(verbose=1, restore_best_weights=True), [0.5, 0.4, 0.6])
    assert capsys.readouterr().out == (
        "epoch 3: stopped early\nthe parameters of the best epoch, 2, are restored\n"
    )


# ---- ReduceLROnPlateau


@pytest.mark.parametrize(
    ("settings", "figures", "rates"),
    [
        ({"patience": 2}, [1.0] * 7, [8, 8, 4, 4, 2, 2, 1]),
        ({"patience": 0}, [1.0, 1.0, 0.5, 0.6], [8, 4, 4, 2]),
        ({"patience": 2}, [1.0, 2.0, 0.5, 0.6, 0.7, 0.4], [8, 8, 8, 8, 4, 4]),
        ({"patience": 1, "cooldown": 2}, [1.0] * 7, [8, 4, 4, 2, 2, 1, 1]),
        ({"patience": 1, "cooldown": 2}, [1.0, 1.0, 0.5, 0.6, 0.7], [8, 4, 4, 2, 2]),
        ({"patience": 1, "min_lr": 3.0}, [1.0] * 5, [8, 4, 3, 3, 3]),
        ({"patience": 1}, [1.0, 0.99995, 0.5], [8, 4, 4]),
        ({"patience": 1, "min_delta": 0.0}, [1.0, 0.99995, 0.5], [8, 8, 8]),
        ({"patience": 1, "mode": "max"}, [1.0, 2.0, 1.5, 3.0], [8, 8, 4, 4]),
        ({"patience": 1, "factor": 0.25}, [NAN, NAN, 1.0], [2, 0.5, 0.5]),
        ({}, [1.0] * 12, [8] * 10 + [0.8] * 2),
    ],
)
def test_the_rate_falls_as_in_keras(settings, figures, rates):
    factor = 0.1 if not settings else settings.pop("factor", 0.5)
    callback = cf.ReduceLROnPlateau(factor=factor, **settings)
    assert train(callback, figures, model=Model(8.0))[1] == pytest.approx(rates)
    assert callback.model.parameters.times_written == 0


def test_the_rate_goes_on_falling_from_every_epoch():
    figures = [1.0, 1.0, 1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]

    def make():
        return cf.ReduceLROnPlateau(factor=0.5, patience=2, cooldown=2)

    expected = train(make(), figures)[1]
    assert expected == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125])
    found = list(went_on(make, figures))
    assert len(found) == 8
    for _, _, rates in found:
        assert rates == expected


def test_a_lower_rate_is_printed(capsys):
    train(cf.ReduceLROnPlateau(patience=1, verbose=1), [0.5, 0.6])
    assert capsys.readouterr().out == "epoch 2: the learning rate is lowered to 0.01\n"


# ---- ModelCheckpoint


def test_every_epoch_is_saved_under_its_own_name():
    model, _ = train(cf.ModelCheckpoint("net-{epoch:02d}-{val_loss:.2f}.safetensors"), [0.5, 0.25])
    assert model.saved == [("net-01-0.50.safetensors", 0), ("net-02-0.25.safetensors", 1)]


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [({}, [0, 1, 4]), ({"mode": "max"}, [0, 6]), ({"monitor": "val_accuracy"}, [0, 6])],
)
def test_only_the_best_are_saved(settings, epochs):
    callback = cf.ModelCheckpoint("net", save_best_only=True, **settings)
    model, _ = train(callback, [1.0, 0.9, 0.95, 0.9, 0.8, NAN, 2.0], callback.monitor)
    assert model.saved == [("net", epoch) for epoch in epochs]


def test_the_best_of_before_counts_when_a_training_goes_on():
    def make():
        return cf.ModelCheckpoint("net", save_best_only=True)

    figures = [1.0, 0.9, 0.95, 0.8, 0.85]
    for done, (_, model, _) in enumerate(went_on(make, figures), 1):
        assert model.saved == [("net", epoch) for epoch in (1, 3) if epoch >= done]


def test_the_best_of_an_earlier_training_is_not_overwritten():
    callback = cf.ModelCheckpoint("net", save_best_only=True)
    train(callback, [0.5])
    model, _ = train(callback, [0.9, 0.6, 0.4, 0.45])
    assert model.saved == [("net", 2)]


def test_a_saved_model_is_printed(capsys):
    train(cf.ModelCheckpoint("net-{epoch}", verbose=1), [0.5])
    assert capsys.readouterr().out == "epoch 1: the model is saved in net-1\n"


# ---- CSVLogger


def logged(callback, epochs, first=0, state=None):
    callback.set_model(Model())
    if state is not None:
        callback.load_state(state)
    callback.on_train_begin()
    for epoch in range(first, epochs):
        callback.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "accuracy": epoch / 4})


ROWS = ["epoch,accuracy,loss\n", "0,0.0,1.0\n", "1,0.25,0.5\n", "2,0.5,0.3333333333333333\n"]


def test_a_row_is_written_for_each_epoch_at_once(tmp_path):
    path = tmp_path / "inner" / "log.csv"
    callback = cf.CSVLogger(path)
    for epochs in range(1, 4):
        logged(callback, epochs)
        assert path.read_text() == "".join(ROWS[: epochs + 1])


def test_the_separator_is_ones_own(tmp_path):
    logged(cf.CSVLogger(tmp_path / "log.csv", separator=";"), 1)
    assert (tmp_path / "log.csv").read_text() == "epoch;accuracy;loss\n0;0.0;1.0\n"


def test_what_is_there_is_gone_on_with_only_where_that_is_wanted(tmp_path):
    path = tmp_path / "log.csv"
    logged(cf.CSVLogger(path, append=True), 2)
    logged(cf.CSVLogger(path, append=True), 1)
    assert path.read_text() == "".join([*ROWS[:3], ROWS[1]])
    logged(cf.CSVLogger(path), 1)
    assert path.read_text() == "".join(ROWS[:2])


def test_a_figure_that_is_missing_is_not_available(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,val_loss\n7,0.5,0.75")
    logged(cf.CSVLogger(path, append=True), 1)
    assert path.read_text() == "epoch,loss,val_loss\n7,0.5,0.75\n0,1.0,NA\n"


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("written", [2, 3])
def test_a_training_that_goes_on_neither_loses_nor_doubles_rows(tmp_path, append, kept, written):
    """The checkpoint is from after `kept` epochs; the process ended after `written`, within a row."""
    path = tmp_path / "log.csv"
    if append:
        path.write_text("epoch,accuracy,loss\n9,9.0,9.0\n")
    callback = cf.CSVLogger(path, append=append)
    logged(callback, 0)
    state = callback.state()
    for epoch in range(written):
        callback.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "accuracy": epoch / 4})
        if epoch + 1 == kept:
            state = callback.state()
    with path.open("a") as file:
        file.write("3,0.7")
    again = cf.CSVLogger(path, append=append)
    logged(again, 3, first=kept, state=json.loads(json.dumps(state)))
    assert path.read_text() == "".join([ROWS[0], *["9,9.0,9.0\n"] * append, *ROWS[1:]])


def test_a_file_that_was_taken_away_meanwhile_begins_anew(tmp_path):
    path = tmp_path / "log.csv"
    callback = cf.CSVLogger(path)
    logged(callback, 2)
    state = callback.state()
    path.unlink()
    again = cf.CSVLogger(path)
    logged(again, 3, first=2, state=state)
    assert path.read_text() == "epoch,accuracy,loss\n2,0.5,0.3333333333333333\n"


def test_a_file_of_something_else_is_not_gone_on_with(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("name,grade\n")
    with pytest.raises(cf.FileError) as caught:
        logged(cf.CSVLogger(path, append=True), 1)
    assert str(caught.value) == (
        f"{path}: begins with 'name,grade\\n', not with 'epoch': name another file, or pass append=False to "
        f"write it anew"
    )
    assert path.read_text() == "name,grade\n"
    with pytest.raises(cf.FileError) as caught:
        logged(cf.CSVLogger(tmp_path), 1)
    assert str(caught.value) == f"{tmp_path}: cannot be written: Is a directory"


# ---- TerminateOnNaN


@pytest.mark.parametrize(("figures", "ended"), [([1.0, 0.5], 0), ([1.0, NAN, 0.5], 1), ([math.inf, 0.5], 0)])
def test_a_loss_that_is_no_number_stops(figures, ended):
    model, rates = train(cf.TerminateOnNaN(), figures, "loss")
    assert model.stop_training == (not math.isfinite(figures[ended]))
    assert len(rates) == (ended + 1 if model.stop_training else len(figures))


# ---- in a training

X, Y = digits_like(11, count=40)
VALIDATION = digits_like(12, count=30)


@pytest.fixture(params=["compiled", "reference"])
def net(request):
    return small(seed=3, engine=request.param)


def fitted(net, *callbacks, epochs=12, optimizer=None):
    return net.fit(
        X, Y, epochs=epochs, batch_size=8, optimizer=optimizer or cf.Adam(0.02), validation_data=VALIDATION,
        callbacks=callbacks, verbose=0,
    )  # fmt: skip


def test_fit_stops_early_with_the_parameters_of_the_best_epoch(net):
    callback = cf.EarlyStopping(patience=2, restore_best_weights=True)
    history = fitted(net, callback)
    losses = history["val_loss"]
    assert len(losses) < 12
    assert callback.best_epoch == len(losses) - 3 == losses.index(min(losses))
    assert net.evaluate(*VALIDATION)["loss"] == pytest.approx(min(losses), rel=1e-6)
    assert abs(losses[-1] - min(losses)) > 1e-3


def test_fit_saves_the_model_of_each_epoch(net, tmp_path):
    history = fitted(net, cf.ModelCheckpoint(tmp_path / "{epoch:02d}.safetensors"), epochs=3)
    for epoch in range(3):
        loss = cf.load(tmp_path / f"{epoch + 1:02d}.safetensors").evaluate(*VALIDATION)["loss"]
        assert loss == pytest.approx(history["val_loss"][epoch], rel=1e-5)


def test_fit_goes_on_at_the_lowered_rate(net, tmp_path):
    callbacks = (
        cf.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=100.0),
        cf.CSVLogger(tmp_path / "log.csv"),
    )
    history = fitted(net, *callbacks, epochs=3, optimizer=cf.SGD(0.125))
    assert history["learning_rate"] == [0.125, 0.125, 0.0625]
    table = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert table[0] == ["epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]
    for epoch, row in enumerate(table[1:]):
        assert [float(cell) for cell in row] == [epoch, *(history[key][epoch] for key in table[0][1:])]


def test_a_loss_that_is_no_number_ends_the_training_without_an_error(net):
    history = fitted(net, cf.TerminateOnNaN(), optimizer=cf.SGD(1e30))
    assert not math.isfinite(history["loss"][-1])
    assert len(history["loss"]) < 12
    assert net.stop_training


def test_a_figure_that_the_training_does_not_have_is_named(net):
    with pytest.raises(cf.SettingError) as caught:
        net.fit(X, Y, callbacks=[cf.EarlyStopping()], verbose=0)
    assert str(caught.value) == (
        "EarlyStopping: the training has no figure 'val_loss', only loss, accuracy, learning_rate: pass "
        "validation_data"
    )
    with pytest.raises(cf.SettingError) as caught:
        net.fit(X, Y, callbacks=[cf.ReduceLROnPlateau("acc")], verbose=0)
    assert str(caught.value) == (
        "ReduceLROnPlateau: the training has no figure 'acc', only loss, accuracy, learning_rate"
    )


def test_every_hook_is_called_in_its_turn(net):
    calls = []

    class Recorder(cf.Callback):
        pass

    for hook in ("train_begin", "train_end"):
        setattr(Recorder, f"on_{hook}", lambda self, logs=None, hook=hook: calls.append((hook,)))
    for hook in ("epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end"):
        setattr(Recorder, f"on_{hook}", lambda self, n, logs=None, hook=hook: calls.append((hook, n)))
    recorder = Recorder()
    net.fit(X, Y, epochs=2, batch_size=20, callbacks=[recorder], verbose=0)
    batches = [(f"train_batch_{end}", batch) for batch in range(2) for end in ("begin", "end")]
    assert calls == [
        ("train_begin",),
        *[call for n in range(2) for call in [("epoch_begin", n), *batches, ("epoch_end", n)]],
        ("train_end",),
    ]
    assert recorder.model is net
    assert recorder.params == {"epochs": 2, "steps": 2, "verbose": 0}


class KeepsBias(cf.Callback):
    """Sets a bias to 0.5 after every batch, and notes the weights around it."""

    def __init__(self):
        self.begun, self.ended = [], []

    def noted(self):
        return {key: array.copy() for key, array in self.model.parameters.items()}

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(self.noted())

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append(self.noted())
        self.model.parameters["4.bias"][...] = 0.5


def test_a_batch_begins_with_what_a_callback_wrote_and_ends_with_its_update(net):
    """Each update is the learning rate times the gradient, which a network of its own works out."""
    callback, other = KeepsBias(), small(seed=3, engine="reference")
    history = net.fit(X, Y, epochs=2, batch_size=8, optimizer=cf.SGD(0.5), callbacks=[callback], verbose=0)
    orders = [permutation(3, epoch, 40).reshape(5, 8) for epoch in range(2)]
    losses = []
    assert len(callback.begun) == 10
    for chosen, begun, ended in zip(np.concatenate(orders), callback.begun, callback.ended, strict=True):
        for key, array in other.parameters.items():
            np.testing.assert_array_equal(begun[key], array)
        loss, gradients = other.gradients(X[chosen], Y[chosen])
        losses.append(loss)
        for key, gradient in gradients.items():
            expected = begun[key] - np.float32(0.5) * gradient
            np.testing.assert_allclose(ended[key], expected, rtol=1e-4, atol=1e-6)
        other.parameters = {**ended, "4.bias": np.full(4, 0.5)}
    np.testing.assert_array_equal(net.parameters["4.bias"], [0.5] * 4)
    assert history["loss"] == pytest.approx([np.mean(losses[:5]), np.mean(losses[5:])], rel=1e-5)


def test_a_callback_ends_a_training_after_a_batch(net):
    losses = []

    class Stops(cf.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])
            self.model.stop_training = len(losses) == 7

    history = fitted(net, Stops())
    assert len(losses) == 7
    assert history["loss"] == pytest.approx([np.mean(losses[:5]), np.mean(losses[5:])], rel=1e-6)
    assert len(history["val_loss"]) == 2


def test_a_hook_may_be_given_to_one_callback_alone(net):
    batches = []
    callback = cf.Callback()
    callback.on_train_batch_end = lambda batch, logs=None: batches.append(batch)
    net.fit(X, Y, batch_size=8, callbacks=[callback], verbose=0)
    assert batches == [0, 1, 2, 3, 4]


def test_a_loss_that_is_no_number_leaves_the_parameters_of_the_step_before(net):
    history = net.fit(X, Y, epochs=3, optimizer=cf.SGD(1e30), callbacks=[cf.TerminateOnNaN()], verbose=0)
    assert len(history["loss"]) == 1
    assert not math.isfinite(history["loss"][0])
    assert all(np.isfinite(array).all() for array in net.parameters.values())


def test_a_finished_training_that_goes_on_leaves_nothing_to_the_next(tmp_path):
    """What the checkpoint says of its best epoch does not count for another network."""
    callback = cf.EarlyStopping(patience=20, restore_best_weights=True)
    for _ in range(2):
        small(seed=3).fit(
            X, Y, epochs=3, validation_data=VALIDATION, callbacks=[callback], verbose=0, checkpoint=tmp_path,
            resume=True,
        )  # fmt: skip
    history = small(seed=4).fit(
        X, 3 - Y, epochs=1, validation_data=VALIDATION, callbacks=[callback], verbose=0
    )  # fmt: skip
    assert (callback.best, callback.best_epoch) == (history["val_loss"][0], 0)


# ---- settings


def test_callbacks_are_made_from_plain_values(tmp_path):
    made = callback_from_dict({"type": "EarlyStopping", "patience": 3, "monitor": "val_accuracy"})
    assert type(made) is cf.EarlyStopping
    assert (made.patience, made.monitor, made.restore_best_weights) == (3, "val_accuracy", False)
    assert type(callback_from_dict({"type": "TerminateOnNaN"})) is cf.TerminateOnNaN
    assert callback_from_dict({"type": "CSVLogger", "filename": "log.csv"}).filename == "log.csv"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cf.EarlyStopping(patience=-1),
            "EarlyStopping: patience must be a whole number from 0, got -1",
        ),
        (
            lambda: cf.EarlyStopping(patience=1.5),
            "EarlyStopping: patience must be a whole number from 0, got 1.5",
        ),
        (
            lambda: cf.EarlyStopping(mode="maximum"),
            "EarlyStopping: mode must be 'auto', 'min' or 'max', got 'maximum'",
        ),
        (
            lambda: cf.EarlyStopping(monitor=3),
            "EarlyStopping: monitor must name a figure, as in 'val_loss', got 3",
        ),
        (
            lambda: cf.EarlyStopping(min_delta=NAN),
            "EarlyStopping: min_delta must be a finite number, got nan",
        ),
        (
            lambda: cf.EarlyStopping(baseline="0.5"),
            "EarlyStopping: baseline must be a finite number, got '0.5'",
        ),
        (
            lambda: cf.EarlyStopping(restore_best_weights="yes"),
            "EarlyStopping: restore_best_weights must be True or False, got 'yes'",
        ),
        (
            lambda: cf.ReduceLROnPlateau(factor=1.0),
            "ReduceLROnPlateau: factor must be from 0 to below 1, got 1.0",
        ),
        (lambda: cf.ReduceLROnPlateau(min_lr=-1), "ReduceLROnPlateau: min_lr must be from 0, got -1"),
        (
            lambda: cf.ReduceLROnPlateau(cooldown=True),
            "ReduceLROnPlateau: cooldown must be a whole number from 0, got True",
        ),
        (lambda: cf.ModelCheckpoint(3), "ModelCheckpoint: filepath must be the path of a file, got 3"),
        (
            lambda: cf.ModelCheckpoint("net-{epoch"),
            "ModelCheckpoint: filepath 'net-{epoch' cannot be filled in (expected '}' before end of string): "
            "it may hold {epoch}",
        ),
        (
            lambda: train(cf.ModelCheckpoint("net-{vall_loss:.2f}"), [0.5]),
            "ModelCheckpoint: filepath 'net-{vall_loss:.2f}' cannot be filled in ('vall_loss'): it may hold "
            "{epoch}, {loss}, {val_loss}",
        ),
        (lambda: cf.CSVLogger(""), "CSVLogger: filename must be the path of a file, got ''"),
        (
            lambda: cf.CSVLogger("log.csv", separator=", "),
            "CSVLogger: separator must be one character, as in ';', got ', '",
        ),
        (
            lambda: cf.CSVLogger("log.csv", separator="\n"),
            "CSVLogger: separator must be one character, as in ';', got '\\n'",
        ),
        (
            lambda: callback_from_dict({"type": "EarlyStoping"}, "run.toml: callbacks"),
            "run.toml: callbacks: 'EarlyStoping' is no callback; did you mean EarlyStopping?",
        ),
        (
            lambda: callback_from_dict({"type": "EarlyStopping", "patiance": 3}),
            "EarlyStopping: unknown key 'patiance'; did you mean patience?",
        ),
        (
            lambda: callback_from_dict({"type": "TerminateOnNaN", "patience": 3}),
            "TerminateOnNaN: unknown key 'patience'; it has none",
        ),
        (
            lambda: callback_from_dict({"type": "CSVLogger"}, "callbacks"),
            "callbacks: CSVLogger needs filename",
        ),
        (
            lambda: callback_from_dict({"type": "ModelCheckpoint", "filepath": 3}, "callbacks"),
            "callbacks: ModelCheckpoint: filepath must be the path of a file, got 3",
        ),
        (
            lambda: callback_from_dict("EarlyStopping"),
            "expected a callback, as in {type = \"EarlyStopping\"}, got 'EarlyStopping'",
        ),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(cf.SettingError) as caught:
        make()
    assert str(caught.value) == message
