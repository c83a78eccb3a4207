"""`fit(checkpoint=..., resume=True)`: what was interrupted ends in the same bits as what was not."""

import errno
import importlib.util
import os
import signal
import sys
import threading

import numpy as np
import pytest
from networks import digits_like, small
from processes import printed

import closedform as cf
from closedform.engine.session import Job
from closedform.errors import CheckpointWarning
from closedform.random import permutation
from closedform.training.checkpoint import newest, write
from closedform.training.keeper import Keeper

X, Y = digits_like(11, count=50)
VALIDATION = digits_like(12, count=20)
ENGINES = ["compiled", "reference"]
needs_locks = pytest.mark.skipif(not importlib.util.find_spec("fcntl"), reason="locks of files are POSIX's")


class At(cf.Callback):
    """Does something at the end of one batch of the whole training."""

    def __init__(self, batch, act):
        self.left, self.act = batch, act

    def on_train_batch_end(self, batch, logs=None):
        if self.left == 0:
            self.act()
        self.left -= 1


class Crash(Exception):
    """As if the process had ended."""


def crash():
    raise Crash


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def settings(**more):
    return {
        "epochs": 4,
        "batch_size": 8,
        "optimizer": cf.Adam(1e-2),
        "schedule": cf.OneCycle(),
        "validation_data": VALIDATION,
        "standardize": True,
        "augment": cf.Augmentation(shift=1, flip=True),
        "verbose": 0,
        **more,
    }


def stopping():
    """Early stopping that fires, with the best weights restored, and a rate that falls."""
    return [
        cf.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
        cf.ReduceLROnPlateau("val_loss", patience=0, min_delta=10.0, factor=0.5),
    ]


def trained(engine=None, net=None, **more):
    net = net or small(seed=5, drop=[cf.Dropout(0.3)], engine=engine)
    history = net.fit(X, Y, **settings(**more))
    return net, history


def bits(net):
    return [array.tobytes() for array in net.parameters.values()]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch", [0, 5, 6, 7, 16, 27])
def test_a_crash_at_any_batch_changes_no_bit(tmp_path, engine, batch):
    """Seven batches an epoch, the last of two examples; the crash loses what is after the last checkpoint."""
    expected, history = trained(engine, callbacks=[At(99, crash)])
    with pytest.raises(Crash):
        trained(engine, checkpoint=tmp_path, checkpoint_seconds=0, callbacks=[At(batch, crash)])
    net, found = trained(engine, checkpoint=tmp_path, resume=True, callbacks=[At(99, crash)])
    assert bits(net) == bits(expected)
    assert found.history == history.history
    assert net.predict(X).tobytes() == expected.predict(X).tobytes()


@pytest.mark.parametrize("optimizer", [cf.SGD(0.1), cf.SGD(0.1, momentum=0.9, nesterov=True), cf.AdamW(1e-2)])
@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.5}, {"sample_weight": np.linspace(0, 2, 50)}])
def test_the_optimisers_averages_go_on(tmp_path, optimizer, more):
    expected, _ = trained(optimizer=optimizer, **more)
    with pytest.raises(Crash):
        trained(
            optimizer=optimizer, checkpoint=tmp_path, checkpoint_seconds=0, callbacks=[At(17, crash)], **more
        )  # fmt: skip
    net, _ = trained(
        optimizer=optimizer, checkpoint=tmp_path, resume=True, callbacks=[At(99, crash)], **more
    )  # fmt: skip
    assert bits(net) == bits(expected)


@pytest.mark.parametrize("batch", [3, 13, 20])
def test_what_callbacks_remember_goes_on(tmp_path, batch):
    expected, history = trained(callbacks=[*stopping(), At(99, crash)], epochs=9)
    assert 1 < len(history.epoch) < 9  # it was stopped early
    with pytest.raises(Crash):
        trained(
            callbacks=[*stopping(), At(batch, crash)], epochs=9, checkpoint=tmp_path, checkpoint_seconds=0
        )  # fmt: skip
    net, found = trained(
        callbacks=[*stopping(), At(99, crash)], epochs=9, checkpoint=tmp_path, resume=True
    )  # fmt: skip
    assert bits(net) == bits(expected)
    assert found.history == history.history


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_saves_and_is_raised(tmp_path, engine):
    expected, _ = trained(engine, callbacks=[At(99, crash)])
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(engine, checkpoint=tmp_path, callbacks=[At(9, interrupt)])
    assert str(caught.value) == (
        f"stopped in epoch 2, after 3 of 7 steps; {tmp_path / '000002.safetensors'} holds it: go on with "
        f"resume=True"
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    net, _ = trained(engine, checkpoint=tmp_path, resume=True, callbacks=[At(99, crash)])
    assert bits(net) == bits(expected)


def test_a_second_interrupt_ends_at_once(tmp_path):
    def twice():
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt) as caught:
        trained(checkpoint=tmp_path, callbacks=[At(2, twice)])
    assert str(caught.value) == ""
    assert list(tmp_path.iterdir()) == []


class Clock:
    """Shows what it is told."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def tick(self):
        self.now += 1


class Ticking(cf.Callback):
    """A batch takes a second."""

    def __init__(self, clock):
        self.clock = clock

    def on_train_batch_end(self, batch, logs=None):
        self.clock.tick()


def test_the_seconds_of_an_epoch_that_was_left_count(tmp_path, monkeypatch):
    """Those before the last checkpoint and those after, not those in which nothing was trained."""
    clock = Clock()
    monkeypatch.setattr("closedform.training.loop.time", clock)
    for batch in (9, 1):  # twice in the second epoch
        callbacks = [Ticking(clock), At(batch, interrupt)]
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=tmp_path, resume=True, callbacks=callbacks)
        clock.now += 100
    _, history = trained(checkpoint=tmp_path, resume=True, callbacks=[Ticking(clock), At(99, interrupt)])
    assert history.seconds == [7, 7, 7, 7]


def test_checkpoints_that_hold_no_seconds_of_their_epoch_go_on(tmp_path, monkeypatch):
    """Those of earlier versions: what is left of the second epoch is four batches."""
    clock = Clock()
    monkeypatch.setattr("closedform.training.loop.time", clock)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=tmp_path, callbacks=[Ticking(clock), At(9, interrupt)])
    found = newest(tmp_path)
    assert found.meta["history"].pop("unfinished") == 3
    write(tmp_path, found.arrays, found.meta)
    _, history = trained(checkpoint=tmp_path, resume=True, callbacks=[Ticking(clock), At(99, interrupt)])
    assert history.seconds == [7, 4, 7, 7]


def test_an_interrupt_without_checkpoints_is_pythons_own(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(callbacks=[At(2, interrupt)])
    assert str(caught.value) == ""


@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_interrupt_drops_the_step_that_is_under_way(tmp_path, monkeypatch, step):
    """Steps of a tenth of a second on one thread; the signal comes 10 ms after one has begun."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2048, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 2048)

    def fitted(**more):
        layers = [cf.Conv2d(64, 5, padding=2), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(10)]
        net = cf.Network(layers, (1, 28, 28), cf.SoftmaxCrossEntropy(), threads=1)
        net.fit(x, y, epochs=3, batch_size=2048, optimizer=cf.SGD(0.01), verbose=0, **more)
        return net

    expected, run_on, made = fitted(), Job.run_on, []

    def interrupted(job, *arguments):
        timer = threading.Timer(0.01, interrupt)
        if len(made) == step:
            timer.start()
        made.append(run_on(job, *arguments))
        if timer.is_alive():
            timer.join()
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run_on", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(checkpoint=tmp_path)
    assert made == [*[1] * step, 0]
    assert bits(fitted(checkpoint=tmp_path, resume=True)) == bits(expected)


def test_nothing_there_yet_begins_anew(tmp_path):
    net, _ = trained(checkpoint=tmp_path / "new", resume=True)
    assert bits(net) == bits(trained()[0])


def test_a_finished_training_is_not_trained_again(tmp_path):
    expected, history = trained(checkpoint=tmp_path)
    fresh = small(seed=5, drop=[cf.Dropout(0.3)])
    before = sorted(tmp_path.iterdir())
    net, found = trained(net=fresh, checkpoint=tmp_path, resume=True)
    assert bits(net) == bits(expected)
    assert (found.history, found.seconds) == (history.history, history.seconds)
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path):
    expected, history = trained()
    trained(checkpoint=tmp_path)
    damaged = tmp_path / "000004.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning) as caught:
        net, found = trained(checkpoint=tmp_path, resume=True)
    assert [str(warning.message) for warning in caught] == [
        f"{tmp_path}: 000004.safetensors is damaged or cut short: using 000003.safetensors: what was done "
        f"after it is done once more"
    ]
    assert caught[0].filename == __file__  # the line that calls `fit`
    assert bits(net) == bits(expected)
    assert found.history == history.history


def test_more_epochs_go_on_from_a_finished_training(tmp_path):
    expected, _ = trained(epochs=4, schedule=None)
    trained(epochs=2, schedule=None, checkpoint=tmp_path)
    net, history = trained(epochs=4, schedule=None, checkpoint=tmp_path, resume=True)
    assert bits(net) == bits(expected)
    assert len(history.epoch) == 4


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_schedule_begins_anew_for_epochs_that_are_added(tmp_path, epochs):
    """From the end, or from the middle: the updates that were made keep their rates."""
    schedule = cf.Restarts(cf.OneCycle(), (3,))
    expected, history = trained(epochs=5, schedule=schedule)
    if epochs == 3:
        trained(epochs=3, checkpoint=tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            trained(epochs=3, checkpoint=tmp_path, callbacks=[At(9, interrupt)])
    more = {} if epochs == 3 else {"callbacks": [At(99, interrupt)]}
    with pytest.raises(cf.SettingError) as caught:
        trained(epochs=5, checkpoint=tmp_path, resume=True, **more)
    last = max(tmp_path.iterdir())
    assert str(caught.value) == (
        f"{last}: the updates that were made had other learning rates: OneCycle went over 3 epochs, now "
        f"there are 5: let it begin anew for those that are added, with schedule=Restarts(schedule=OneCycle("
        f"warm_up=0.3, start=0.04, end=0.0001), milestones=(3,))"
    )
    net, found = trained(epochs=5, schedule=schedule, checkpoint=tmp_path, resume=True, **more)
    assert bits(net) == bits(expected)
    assert found.history == history.history


def test_fewer_epochs_do_not_go_on_under_a_schedule(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(epochs=4, checkpoint=tmp_path, callbacks=[At(7, interrupt)])
    with pytest.raises(cf.SettingError, match=r"over 4 epochs, now it is OneCycle.* over 3: give the same"):
        trained(epochs=3, checkpoint=tmp_path, resume=True, callbacks=[At(99, interrupt)])


def test_a_difference_between_samples_of_the_rates_is_seen():
    """Of 100,000 updates a few hundred are compared one by one, and all of them by their means."""
    from closedform.training.rates import Rates

    quick, slow = (Rates(0.1, cf.WarmUp(steps=n), 1000, 100_000).shares(100_000) for n in (5, 300))
    assert len(quick) == len(slow) < 300
    np.testing.assert_array_equal(quick[:-2], slow[:-2])
    assert not np.allclose(quick, slow, rtol=1e-9, atol=1e-12)


def test_another_schedule_does_not_go_on(tmp_path):
    trained(epochs=2, checkpoint=tmp_path)
    for schedule in (None, cf.Cosine()):
        with pytest.raises(cf.SettingError) as caught:
            trained(epochs=2, schedule=schedule, checkpoint=tmp_path, resume=True)
        assert str(caught.value) == (
            f"{tmp_path / '000002.safetensors'}: the updates that were made had other learning rates: of "
            f"schedule = OneCycle(warm_up=0.3, start=0.04, end=0.0001) over 2 epochs, now it is {schedule} "
            f"over 2: give the same, or begin anew in another folder"
        )


def test_checkpoints_that_are_there_are_not_overwritten(tmp_path):
    trained(checkpoint=tmp_path)
    with pytest.raises(cf.SettingError) as caught:
        trained(checkpoint=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds the checkpoints of a training: pass resume=True to go on with it, or name "
        f"another folder"
    )


# ---- two trainings, one folder


def test_two_trainings_do_not_keep_their_checkpoints_in_one_folder(tmp_path):
    """The second one begins in the middle of the first, which ends as if there had been none."""
    expected, _ = trained(callbacks=[At(9, list)])
    folder, refusals = tmp_path / "checkpoint", []

    def another():
        for resume in (False, True):
            with pytest.raises(cf.FileError) as caught:
                trained(checkpoint=folder, checkpoint_seconds=0, resume=resume)
            refusals.append(str(caught.value))

    net, _ = trained(checkpoint=folder, checkpoint_seconds=0, callbacks=[At(9, another)])
    message = "another training is keeping its checkpoints in it: wait for it, or name another folder"
    assert refusals == 2 * [f"{folder}: {message}"]
    assert bits(net) == bits(expected)
    again, _ = trained(checkpoint=folder, resume=True, callbacks=[At(9, list)])
    assert bits(again) == bits(expected)


@pytest.mark.parametrize("folder", ["checkpoint", "runs/1/checkpoint"])
def test_a_training_that_keeps_nothing_leaves_no_folder(tmp_path, folder):
    with pytest.raises(Crash):
        trained(checkpoint=tmp_path / folder, callbacks=[At(2, crash)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "file").touch()
    net = small(seed=5)
    before = bits(net)
    with pytest.raises(cf.FileError) as caught:
        trained(net=net, checkpoint=tmp_path / "file")
    assert str(caught.value) == f"{tmp_path / 'file'}: is no folder: name another folder"
    with pytest.raises(cf.FileError) as caught:
        trained(net=net, checkpoint=tmp_path / "file" / "checkpoint")
    assert str(caught.value) == (
        f"{tmp_path / 'file' / 'checkpoint'}: the checkpoint cannot be written: Not a directory; there was "
        f"none before"
    )
    assert bits(net) == before


@needs_locks
def test_a_file_system_without_locks_is_borne(tmp_path, monkeypatch):
    def no_locks(handle, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    net, _ = trained(checkpoint=tmp_path)
    assert bits(net) == bits(trained()[0])


def test_a_system_without_locks_is_borne(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    net, _ = trained(checkpoint=tmp_path)
    assert bits(net) == bits(trained()[0])


@needs_locks
def test_a_process_that_outlives_the_training_it_was_forked_from_holds_no_lock(tmp_path):
    script = f"""
import os
from pathlib import Path
from closedform.writing import locked

folder, (end, begin) = Path({str(tmp_path)!r}), os.pipe()
training = os.fork()
if not training:
    os.close(begin)
    with locked(folder, "held"):
        if not os.fork():
            os.read(end, 1)  # until the test is over
        os._exit(0)
os.waitpid(training, 0)
with locked(folder, "held"):
    print("free")
"""
    assert printed(script) == "free\n"


# ---- other trainings


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        ({"batch_size": 9}, "batch_size = 8, now it is 9"),
        (
            {"optimizer": cf.Adam(2e-2)},
            "optimizer = 'Adam(learning_rate=0.01, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)', now it "
            "is 'Adam(learning_rate=0.02, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)'",
        ),
        ({"clip_norm": 1.0}, "clip_norm = None, now it is 1.0"),
        ({"label_smoothing": 0.1}, "other examples"),
        ({"validation_data": digits_like(13, count=20)}, "other validation examples"),
        ({"net": small(seed=6, drop=[cf.Dropout(0.3)])}, "seed = 5, now it is 6"),
        ({"net": small(seed=5)}, "another network"),
        ({"callbacks": [At(99, crash)]}, "callbacks = [], now it is ['At']"),
    ],
)
def test_another_training_does_not_go_on_from_it(tmp_path, more, difference):
    trained(epochs=1, checkpoint=tmp_path)
    with pytest.raises(cf.SettingError) as caught:
        trained(epochs=2, checkpoint=tmp_path, resume=True, **more)
    assert str(caught.value) == (
        f"{tmp_path / '000001.safetensors'}: the training that is to go on had {difference}: give the same, "
        f"or begin anew in another folder"
    )


STOPPING = {"monitor": "loss", "patience": 2, "restore_best_weights": True}


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        (
            [cf.EarlyStopping(**STOPPING)],
            [cf.EarlyStopping(**STOPPING | {"patience": 5})],
            "EarlyStopping's patience = 2, now it is 5",
        ),
        (
            [cf.EarlyStopping(**STOPPING)],
            [cf.EarlyStopping(**STOPPING | {"restore_best_weights": False})],
            "EarlyStopping's restore_best_weights = True, now it is False",
        ),
        (
            [cf.EarlyStopping(**STOPPING)],
            [cf.EarlyStopping(**STOPPING, mode="max")],
            "EarlyStopping's mode = 'min', now it is 'max'",
        ),
        (
            [cf.EarlyStopping(**STOPPING)],
            [cf.EarlyStopping(**STOPPING, baseline=0.5)],
            "EarlyStopping's baseline = None, now it is 0.5",
        ),
        (
            [cf.EarlyStopping(**STOPPING)],
            [cf.EarlyStopping(**STOPPING, start_from_epoch=3)],
            "EarlyStopping's start_from_epoch = 0, now it is 3",
        ),
        (
            [cf.TerminateOnNaN(), cf.ReduceLROnPlateau(factor=0.5)],
            [cf.TerminateOnNaN(), cf.ReduceLROnPlateau(factor=0.25)],
            "ReduceLROnPlateau's factor = 0.5, now it is 0.25",
        ),
        (
            [cf.ReduceLROnPlateau()],
            [cf.ReduceLROnPlateau(patience=3)],
            "ReduceLROnPlateau's patience = 10, now it is 3",
        ),
        (
            [cf.ReduceLROnPlateau()],
            [cf.ReduceLROnPlateau(min_delta=0)],
            "ReduceLROnPlateau's min_delta = 0.0001, now it is 0.0",
        ),
        (
            [cf.ReduceLROnPlateau()],
            [cf.ReduceLROnPlateau(cooldown=1)],
            "ReduceLROnPlateau's cooldown = 0, now it is 1",
        ),
        (
            [cf.ReduceLROnPlateau()],
            [cf.ReduceLROnPlateau(min_lr=1e-5)],
            "ReduceLROnPlateau's min_lr = 0.0, now it is 1e-05",
        ),
        (
            [cf.ReduceLROnPlateau()],
            [cf.ReduceLROnPlateau("loss")],
            "ReduceLROnPlateau's monitor = 'val_loss', now it is 'loss'",
        ),
    ],
)
def test_a_training_does_not_go_on_with_other_settings_of_a_callback(tmp_path, before, now, difference):
    trained(epochs=1, schedule=None, checkpoint=tmp_path, callbacks=before)
    with pytest.raises(cf.SettingError) as caught:
        trained(epochs=2, schedule=None, checkpoint=tmp_path, resume=True, callbacks=now)
    assert str(caught.value) == (
        f"{tmp_path / '000001.safetensors'}: the training that is to go on had {difference}: give the same, "
        f"or begin anew in another folder"
    )


class Sized(cf.Callback):
    """One of somebody's own, with settings."""

    def __init__(self, sizes):
        self.sizes = sizes

    def settings(self):
        return {"sizes": self.sizes}


def test_ones_own_callbacks_may_say_what_decides(tmp_path):
    trained(epochs=1, schedule=None, checkpoint=tmp_path, callbacks=[Sized((3, np.float32(0.5)))])
    trained(epochs=2, schedule=None, checkpoint=tmp_path, resume=True, callbacks=[Sized((3, 0.5))])
    with pytest.raises(
        cf.SettingError, match=r"had Sized's sizes = \[3, 0\.5\], now it is \[4, 0\.5\]: give"
    ):
        trained(epochs=3, schedule=None, checkpoint=tmp_path, resume=True, callbacks=[Sized([4, 0.5])])


def test_what_callbacks_print_and_where_they_write_may_be_another(tmp_path):
    def writing(name, **more):
        return [
            cf.EarlyStopping("loss", patience=9, **more),
            cf.ModelCheckpoint(tmp_path / f"{name}.safetensors", **more),
            cf.CSVLogger(tmp_path / f"{name}.csv"),
        ]

    trained(epochs=1, schedule=None, checkpoint=tmp_path / "c", callbacks=writing("a"))
    more = writing("b", verbose=0, mode="min")
    net, _ = trained(epochs=2, schedule=None, checkpoint=tmp_path / "c", resume=True, callbacks=more)
    assert bits(net) == bits(trained(epochs=2, schedule=None)[0])


def test_checkpoints_that_hold_no_settings_of_callbacks_go_on(tmp_path, monkeypatch):
    """Those of earlier versions name the callbacks only."""
    expected, _ = trained(schedule=None, callbacks=[cf.EarlyStopping(patience=9)])

    def as_before(keeper, training):
        keeper.settings.pop("callback_settings", None)
        save(keeper, training)

    save = Keeper.save
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "save", as_before)
        trained(epochs=1, schedule=None, checkpoint=tmp_path, callbacks=[cf.EarlyStopping(patience=9)])
    more = {"schedule": None, "resume": True, "callbacks": [cf.EarlyStopping(patience=9)]}
    net, _ = trained(checkpoint=tmp_path, **more)
    assert bits(net) == bits(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_training_that_diverges_says_where_and_keeps_the_last_checkpoint(tmp_path, engine):
    """The second example passes the first layer as 1e30, and overflows in the second."""
    layers = [cf.Dense(1, bias=False), cf.Dense(1, bias=False, name="wide"), cf.Dense(1, bias=False)]
    net = cf.Network(layers, (1,), cf.MeanSquaredError(), engine=engine)
    for key, value in [("0.weight", 1.0), ("wide.weight", 1e10), ("2.weight", 1e-10)]:
        net.parameters[key][...] = value
    x = np.ones((2, 1))
    x[permutation(0, 0, 2)[1]] = 1e30
    with pytest.raises(cf.DataError) as caught:
        net.fit(
            x,
            x[:, 0],
            batch_size=1,
            optimizer=cf.SGD(1e-99),
            checkpoint=tmp_path,
            checkpoint_seconds=0,
            verbose=0,
        )
    assert str(caught.value) == (
        "the loss is inf after 1 update, in epoch 1, first in the output of wide: the training has diverged; "
        "make the network anew and train it with a learning rate below 1e-99; the last checkpoint, "
        f"{tmp_path / '000001.safetensors'}, is from before and stays"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["000001.safetensors"]


def test_a_schedule_sets_the_rate_of_each_step():
    """Plain descent on a loss with gradient 1: the bias falls by the sum of the rates."""
    net = cf.Network([cf.Dense(1)], (1,), cf.MeanSquaredError())
    net.parameters["0.weight"][...], net.parameters["0.bias"][...] = 0, 0
    history = net.fit(
        np.zeros((4, 1)),
        np.full(4, -1e6),
        epochs=2,
        batch_size=1,
        optimizer=cf.SGD(1e-9),
        schedule=cf.StepDecay(0.5, epochs=1),
        verbose=0,
    )
    # each gradient is 2·(b + 1e6), about 2e6: four steps of 1e-9 and four of half of it
    assert net.parameters["0.bias"][0] == pytest.approx(-(4 + 2) * 2e-3, rel=1e-5)
    assert history["learning_rate"] == [1e-9, 5e-10]


def test_two_folders_of_one_training_hold_the_same(tmp_path):
    """Nothing of the clock on the wall is in what decides the future."""
    nets = [
        trained(checkpoint=tmp_path / name, checkpoint_seconds=seconds)[0]
        for name, seconds in [("a", 0), ("b", 9)]
    ]
    assert bits(nets[0]) == bits(nets[1])
