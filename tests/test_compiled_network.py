"""A network gives the same with the compiled engine as with the reference engine, however it is called."""

import copy
import math
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from processes import printed, python

import closedform as cf
from closedform.engine.session import Pace
from closedform.random import permutation, uniform
from closedform.training.progress import Progress

CLASSES = 5


def layers():
    return [
        cf.Conv2d(6, 3, padding=1),
        cf.ReLU(),
        cf.MaxPool2d(2),
        cf.Dropout(0.3),
        cf.Flatten(),
        cf.Dense(11),
        cf.Tanh(),
        cf.Dropout(0.5),
        cf.Dense(CLASSES),
    ]


def network(engine="compiled", own=None, shape=(2, 7, 6), loss=None, seed=2**63 + 5, threads=None):
    loss = loss or cf.SoftmaxCrossEntropy()
    return cf.Network(own or layers(), shape, loss, seed, engine, threads)


def examples(count, shape=(2, 7, 6), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *shape)).astype(np.float32), rng.integers(0, CLASSES, count)


def assert_near(got, expected, terms=200):
    """Equal up to the rounding of sums of so many terms in float32."""
    bound = terms * 2.0**-24 * max(np.abs(expected).max(), 2.0**-20)
    np.testing.assert_allclose(got, expected, rtol=0, atol=bound)


def bits(net):
    return b"".join(array.tobytes() for array in net.parameters.values())


@pytest.fixture
def all_threads(monkeypatch):
    """Every job has as many threads as it may have, be it ever so small."""
    monkeypatch.setattr(Pace, "threads", lambda pace: pace.most)


# ---- which engine runs


def test_the_compiled_engine_is_what_runs_where_nothing_is_said(tmp_path):
    net = network(engine=None)
    assert net.engine == "compiled"
    net.forward(examples(1)[0])
    assert net.engine == "compiled"
    net.save(tmp_path / "net.safetensors")
    assert cf.load(tmp_path / "net.safetensors").engine == "compiled"
    assert cf.load(tmp_path / "net.safetensors", engine="reference").engine == "reference"
    assert cf.Network.from_architecture(net.architecture).engine == "compiled"
    assert cf.Network.from_architecture(net.architecture, engine="reference").engine == "reference"
    assert network(engine="reference").engine == "reference"


MAKE = """
import sys
import closedform as cf
net = cf.Network([cf.Dense(2)], input_shape=(3,), seed=1)
"""


def test_llvmlite_is_imported_when_something_first_runs():
    code = MAKE + 'print(net.engine, "llvmlite" in sys.modules); net.forward([[1, 2, 3]])\n'
    assert printed(code + 'print("llvmlite" in sys.modules)').split() == ["compiled", "False", "True"]


def test_without_llvmlite_the_reference_engine_runs():
    code = 'import sys; sys.modules["llvmlite"] = None' + MAKE + "print(net.engine, net.forward([[1, 2, 3]]))"
    expected = cf.Network([cf.Dense(2)], input_shape=(3,), seed=1, engine="reference").forward([[1, 2, 3]])
    assert printed(code).strip() == f"reference {expected}"


def test_without_llvmlite_the_compiled_engine_cannot_be_asked_for():
    code = 'import sys; sys.modules["llvmlite"] = None' + MAKE.replace("seed=1", 'engine="compiled"')
    done = python("-c", code)
    assert done.stderr.splitlines()[-1] == (
        "closedform.errors.MissingError: engine='compiled' needs llvmlite: pip install llvmlite, "
        "or pass engine='reference'"
    )


def test_the_reference_engine_runs_where_llvmlite_cannot_be_imported(tmp_path):
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite" / "__init__.py").write_text("raise ImportError('a library of another system')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})" + MAKE
    assert printed(code + "net.forward([[1, 2, 3]]); print(net.engine)").strip() == "reference"


class Noise(cf.Dropout):
    """A layer that draws in a way of its own."""

    def draw(self, shape, draw):
        return {"M": np.full(shape, 2, np.float32)}


def test_layers_that_draw_in_their_own_way_are_run_by_the_reference_engine():
    net = cf.Network([Noise(0.5)], input_shape=(2,), engine="compiled")
    assert net.engine == "reference"
    assert net.apply([[1, 5]], training=True)[0].tolist() == [[2, 10]]
    assert net.engine == "reference"


@pytest.mark.parametrize("what", ["forward", "gradients", "apply", "fit", "evaluate"])
def test_the_reference_engine_takes_over_what_cannot_be_compiled(monkeypatch, what):
    def refuse(*_):
        raise NotImplementedError

    net, (x, y) = network(), examples(4)
    monkeypatch.setattr("closedform.engine.compiled.build", refuse)
    assert net.engine == "compiled"
    if what == "fit":
        net.fit(x, y, verbose=0, validation_data=(x, y))
        other = network("reference")
        other.fit(x, y, verbose=0)
        assert bits(net) == bits(other)
    else:
        getattr(net, what)(*((x, y) if what in ("gradients", "evaluate") else (x,)))
    assert net.engine == "reference"


# ---- values and gradients


@pytest.mark.parametrize("count", [1, 2, 5, 33])
def test_outputs_and_gradients_are_the_reference_engines(count):
    net, other, (x, y) = network(), network("reference"), examples(count)
    assert_near(net.forward(x), other.forward(x))
    assert_near(net.predict(x), other.predict(x))
    loss, gradients = net.gradients(x, y, wrt_input=True, step=9)
    expected_loss, expected = other.gradients(x, y, wrt_input=True, step=9)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert list(gradients) == list(expected)
    for key, gradient in gradients.items():
        assert_near(gradient, expected[key])
    assert net.evaluate(x, y) == pytest.approx(other.evaluate(x, y), rel=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_the_pullback_is_the_reference_engines_and_goes_on_with_what_was(training):
    net, other, (x, _) = network(), network("reference"), examples(6)
    y, pullback = net.apply(x, training=training, rng=3)
    expected_y, expected_pullback = other.apply(x, training=training, rng=3)
    assert_near(y, expected_y)
    for key in net.parameters:
        net.parameters[key] = np.zeros(net.parameters[key].shape)
    x[...] = 0
    dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    dx, gradients = pullback(dy[:, ::-1])
    expected_dx, expected = expected_pullback(dy[:, ::-1])
    assert_near(dx, expected_dx)
    for key, gradient in gradients.items():
        assert_near(gradient, expected[key])


def test_what_is_dropped_is_a_function_of_seed_step_layer_image_and_entry():
    net = network(own=[cf.ReLU(), cf.Dropout(0.4)], shape=(7,), loss=cf.MeanSquaredError(), seed=2**40 + 3)
    y, _ = net.apply(np.ones((37, 7)), training=True)
    kept = uniform(2**40 + 3, step=0, layer=1, images=37, entries=7) >= np.float32(0.4)
    np.testing.assert_array_equal(y, np.where(kept, np.float32(1 / 0.6), np.float32(0)))
    # the mean of (drop(1) − 0)² over a batch tells another step's mask from this one's
    loss, _ = net.gradients(np.ones((37, 7)), np.zeros((37, 7)), step=11)
    kept = uniform(2**40 + 3, step=11, layer=1, images=37, entries=7) >= np.float32(0.4)
    assert loss == pytest.approx(kept.mean() / 0.36, rel=1e-6)


def test_layers_that_mix_images_see_the_whole_batch():
    centred = cf.Formula("Y[n,k] = X[n,k] - 1/|n| * sum[m] X[m,k]")
    own = [cf.Flatten(), cf.Dense(6, bias=False), centred, cf.Tanh(), cf.Dropout(0.3), cf.Dense(CLASSES)]
    net, other, (x, y) = network(own=own), network("reference", own), examples(20)
    assert_near(net.forward(x), other.forward(x))
    assert np.abs(net.forward(x[:5]) - net.forward(x)[:5]).max() > 0.01
    loss, gradients = net.gradients(x, y, wrt_input=True, step=4)
    expected_loss, expected = other.gradients(x, y, wrt_input=True, step=4)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for key, gradient in gradients.items():
        assert_near(gradient, expected[key])
    settings = {"epochs": 3, "batch_size": 8, "optimizer": cf.Adam(0.01), "verbose": 0}
    history = net.fit(x, y, validation_data=(x, y), **settings)
    assert history.history == {
        key: pytest.approx(figures, rel=1e-5)
        for key, figures in other.fit(x, y, validation_data=(x, y), **settings).history.items()
    }
    assert net.engine == "compiled"


def test_a_network_without_parameters_runs():
    net = cf.Network([cf.Flatten()], input_shape=(2, 3, 3), loss=cf.MeanSquaredError(), engine="compiled")
    x = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    assert net.forward(x).tolist() == x.reshape(2, 18).tolist()
    loss, gradients = net.gradients(x, np.zeros((2, 18)), wrt_input=True)
    assert loss == pytest.approx((x.astype(np.float64) ** 2).mean())
    np.testing.assert_allclose(gradients["input"], x / 18, rtol=1e-6)
    assert net.engine == "compiled"


def test_many_images_are_taken_part_by_part():
    net, (x, _) = network(own=[cf.Flatten(), cf.Dense(3)]), examples(9000)
    whole = net.forward(x)
    assert whole.shape == (9000, 3)
    for part in (slice(0, 1), slice(4090, 4100), slice(8191, 9000)):
        assert net.forward(x[part]).tobytes() == whole[part].tobytes()


def test_inputs_may_lie_in_memory_in_any_way():
    net, (x, y) = network(), examples(40)
    expected = net.forward(x).tobytes(), net.gradients(x, y)[0]
    turned = np.asfortranarray(x)
    shifted = np.frombuffer(b"." + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    reversed_ = x[::-1].copy()[::-1]
    for other in (turned, shifted, reversed_, x.astype(np.float64), x.astype(">f4")):
        assert (net.forward(other).tobytes(), net.gradients(other, y)[0]) == expected
        trained, plain = network(), network()
        trained.fit(other, y, batch_size=16, verbose=0)
        plain.fit(x, y, batch_size=16, verbose=0)
        assert bits(trained) == bits(plain)


def test_what_is_returned_is_the_callers():
    net, (x, y) = network(), examples(3)
    first, before = net.forward(x), net.forward(x).copy()
    gradients = net.gradients(x, y, wrt_input=True)[1]
    kept = {key: array.copy() for key, array in gradients.items()}
    net.forward(2 * x)
    net.gradients(2 * x, y, wrt_input=True)
    np.testing.assert_array_equal(first, before)
    for key, array in gradients.items():
        np.testing.assert_array_equal(array, kept[key])


# ---- parameters


def test_what_is_written_into_a_view_is_seen_by_the_next_call():
    net, (x, y) = network(), examples(4)

    def is_seen(write):
        other = network("reference")
        before = net.forward(x)
        write()
        other.parameters = net.parameters
        assert_near(net.forward(x), other.forward(x))
        assert np.abs(net.forward(x) - before).max() > 1e-3
        assert net.gradients(x, y)[0] == pytest.approx(other.gradients(x, y)[0], rel=1e-5)

    held = {}
    is_seen(lambda: net.parameters["8.bias"].fill(1))
    is_seen(lambda: net.parameters.__setitem__("8.bias", np.arange(5)))
    held["view"] = net.parameters["0.weight"]
    is_seen(lambda: held["view"].fill(0.5))
    is_seen(lambda: held["view"].fill(0.25))
    held["piece"] = held.pop("view")[2].T[:1]  # which outlives the view that it was made from
    is_seen(lambda: held["piece"].fill(-3))
    held["bytes"] = memoryview(net.parameters["8.bias"])
    del held["piece"]
    is_seen(lambda: held["bytes"].__setitem__(2, 7.0))
    held.clear()
    is_seen(lambda: setattr(net, "parameters", {k: v + 0.1 for k, v in net.parameters.items()}))


def test_a_view_that_is_held_while_the_network_is_trained_shows_the_parameters_and_is_read():
    x, seen = examples(24)[0], []

    class Watching(Progress):
        def end_epoch(self, epoch, figures, seconds):
            seen.append((net.parameters["1.bias"].copy(), held.copy(), figures["loss"]))
            held[...] = 50 * (np.arange(CLASSES) == 2)

    net = network(own=[cf.Flatten(), cf.Dense(CLASSES)])
    held = net.parameters["1.bias"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("closedform.training.progress.progress", lambda verbose: Watching())
        net.fit(x, np.full(24, 2), epochs=2, batch_size=8, optimizer=cf.SGD(0.1))
    (bias, same, loss), (_, _, after) = seen
    assert np.abs(bias).max() > 1e-3
    np.testing.assert_array_equal(bias, same)
    assert loss > 0.1
    assert after < 1e-6  # with a bias of 50 for the right class


def test_parameters_read_by_another_thread_are_those_of_a_finished_step():
    net, (x, y) = network(own=[cf.Flatten(), cf.Dense(CLASSES, bias=False)]), examples(32)
    steps = {}
    other = network(own=[cf.Flatten(), cf.Dense(CLASSES, bias=False)])
    steps[bits(other)] = 0
    for step in range(1, 4001):
        other.fit(x, y, batch_size=32, verbose=0)
        steps[bits(other)] = step
    found, is_over = [], threading.Event()

    def read():
        while not is_over.is_set():
            found.append(bits(net))
            time.sleep(0.0005)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        net.fit(x, y, epochs=4000, batch_size=32, verbose=0)
    finally:
        is_over.set()
        reader.join()
    assert set(found) <= set(steps)
    assert len({steps[each] for each in found}) > 2


def test_a_copy_has_parameters_of_its_own():
    net, (x, y) = network(), examples(4)
    net.fit(x, y, verbose=0)
    before = net.forward(x).tobytes()
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.engine == "compiled"
        assert other.forward(x).tobytes() == before
        other.fit(x, y, verbose=0)
        assert other.forward(x).tobytes() != before
        assert net.forward(x).tobytes() == before
    mapping = copy.deepcopy(net.parameters)
    mapping["8.bias"][...] = 9
    assert net.forward(x).tobytes() == before


# ---- training

OPTIMISERS = {
    "sgd": cf.SGD(0.1),
    "decay": cf.SGD(0.1, weight_decay=0.02),
    "momentum": cf.SGD(0.1, momentum=0.9, weight_decay=0.02),
    "nesterov": cf.SGD(0.1, momentum=0.7, nesterov=True),
    "adam": cf.Adam(0.01),
    "adam-decay": cf.Adam(0.01, betas=(0.4, 0.95), eps=1e-4, weight_decay=0.1),
    "adamw": cf.AdamW(0.01, weight_decay=0.2),
}


def stepped(net, x, y, optimizer, batches):
    """What the optimiser in NumPy makes of the network's own gradients, batch by batch."""
    keys = list(net.parameters)
    flat = np.concatenate([net.parameters[key].ravel() for key in keys])
    state = optimizer.initial_state(flat.size)
    for step, chosen in enumerate(batches):
        _, gradients = net.gradients(x[chosen], y[chosen], step=step)
        optimizer.update(flat, np.concatenate([gradients[key].ravel() for key in keys]), state)
        start = 0
        for key in keys:
            size = net.parameters[key].size
            net.parameters[key] = flat[start : start + size].reshape(net.parameters[key].shape)
            start += size
    return net


def batches_of(net, count, batch, epochs):
    orders = [permutation(net.seed, epoch, count) for epoch in range(epochs)]
    return [order[start : start + batch] for order in orders for start in range(0, count, batch)]


@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_updates_are_the_optimisers_to_the_last_bit(optimizer):
    net, other, (x, y) = network(), network(), examples(37)
    net.fit(x, y, epochs=4, batch_size=8, optimizer=optimizer, verbose=0)
    stepped(other, x, y, optimizer, batches_of(net, 37, 8, 4))
    assert bits(net) == bits(other)


class SignDescent(cf.Optimizer):
    """A rule of somebody's own."""

    def _moments(self):
        return ("sum",)

    def _update_block(self, parameters, gradients, moments, step, rate, scratch):
        moments[0] += gradients
        parameters -= (np.float32(rate) * step) * np.sign(moments[0])


def test_an_optimiser_of_the_users_own_is_followed():
    net, other, (x, y) = network(), network(), examples(19)
    net.fit(x, y, epochs=3, batch_size=8, optimizer=SignDescent(0.001), verbose=0)
    stepped(other, x, y, SignDescent(0.001), batches_of(net, 19, 8, 3))
    assert bits(net) == bits(other)


@pytest.mark.parametrize("optimizer", [cf.SGD(0.05, momentum=0.9), cf.Adam(0.01)])
def test_training_follows_the_reference_engine(optimizer):
    net, other, (x, y) = network(), network("reference"), examples(70)
    settings = {"epochs": 3, "batch_size": 32, "optimizer": optimizer, "verbose": 0}
    history = net.fit(x, y, validation_data=(x, y), **settings)
    expected = other.fit(x, y, validation_data=(x, y), **settings)
    for key, figures in expected.history.items():
        assert history[key] == pytest.approx(figures, rel=1e-5), key
    for key, array in net.parameters.items():
        assert_near(array, other.parameters[key], terms=1000)


def test_a_training_in_one_piece_is_one_in_many():
    """Calls of several steps make the steps of calls of one."""
    net, other, (x, y) = network(), network(), examples(64)
    net.fit(x, y, epochs=100, batch_size=4, verbose=0)
    for _ in range(100):
        other.fit(x, y, batch_size=4, verbose=0)
    assert bits(net) == bits(other)


def test_a_training_that_diverges_stops_before_the_update():
    net = network(own=[cf.Flatten(), cf.Dense(4), cf.Dense(1)], loss=cf.MeanSquaredError())
    x, _ = examples(64)
    with pytest.raises(
        cf.DataError, match=r"^the loss is (nan|inf) after \d+ updates, in epoch \d+, first in the "
    ):
        net.fit(100 * x, np.ones(64), epochs=50, batch_size=2, optimizer=cf.SGD(0.003), verbose=0)
    assert all(np.isfinite(array).all() for array in net.parameters.values())


def test_a_batch_that_does_not_fit_is_refused_before_anything_is_taken(monkeypatch):
    net = network(own=[cf.Flatten(), cf.Dense(CLASSES)], shape=(2, 512, 512))
    x, y = np.zeros((40, 2, 512, 512), np.float32), np.zeros(40, int)
    monkeypatch.setattr("closedform.engine.memory.available", lambda: 80_000_000)
    with pytest.raises(cf.SettingError, match=r"^a training step at batch 40 needs \d+ MB of memory \("):
        net.fit(x, y, batch_size=40, verbose=0)
    with pytest.raises(cf.SettingError, match=r"^a pass at batch 40 needs .*, but 80.0 MB is available: "):
        net.gradients(x, y)
    net.forward(x[:1])


# ---- the same bits


def trained_bits(threads):
    net, (x, y) = network(threads=threads), examples(150)
    found = [net.forward(x).tobytes()]
    loss, gradients = net.gradients(x, y, wrt_input=True)
    found += [np.float64(loss).tobytes(), *(array.tobytes() for array in gradients.values())]
    net.fit(x, y, epochs=2, batch_size=64, optimizer=cf.Adam(), verbose=0)
    return [*found, bits(net)]


def test_threads_change_no_bit(all_threads):
    one = trained_bits(1)
    for threads in (2, 3, 7):
        assert trained_bits(threads) == one, threads
    assert trained_bits(1) == one


def test_the_batch_changes_no_output():
    net, (x, _) = network(), examples(70)
    whole = net.forward(x)
    for size in (1, 3, 16, 17, 64):
        parts = [net.forward(x[start : start + size]) for start in range(0, 70, size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes(), size


@pytest.mark.parametrize("threads", [1, 2])
def test_several_threads_may_use_one_network(all_threads, threads):
    net, (x, y) = network(threads=threads), examples(32)
    expected = net.forward(x).tobytes(), net.gradients(x, y)[0], net.forward(x[:5]).tobytes()
    wrong = []

    def use():
        for _ in range(50):
            found = net.forward(x).tobytes(), net.gradients(x, y)[0], net.forward(x[:5]).tobytes()
            if found != expected:
                wrong.append(found)

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong


FORK = """
import os, sys
import numpy as np
import closedform as cf
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 3, 20, 20)).astype(np.float32), rng.integers(0, 4, 64)
layers = [cf.Conv2d(16, 3), cf.ReLU(), cf.Flatten(), cf.Dense(4)]
net = cf.Network(layers, input_shape=(3, 20, 20), loss=cf.SoftmaxCrossEntropy(), threads=2)
def work():
    net.fit(x, y, batch_size=16, verbose=0)
    return hash((net.forward(x).tobytes(), net.gradients(x, y)[0]))
net.forward(x), net.gradients(x, y)
child = os.fork()
mine = work()
if not child:
    print(mine, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(mine)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="fork is POSIX's")
def test_the_child_of_a_fork_goes_on():
    child, parent = printed(FORK, PYTHONHASHSEED="0").split()
    assert child == parent


# ---- interrupts


class Interrupt:
    """What an impatient user does, after so many seconds."""

    def __init__(self, seconds):
        self.seconds, self.came = seconds, math.inf

    def __enter__(self):
        def interrupt(*_):
            self.came = time.monotonic()
            raise KeyboardInterrupt

        self.before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        return self

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs POSIX's timers")
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_is_served_at_once_and_the_unfinished_step_is_discarded(threads):
    own = [cf.Conv2d(64, 3, padding=1), cf.Conv2d(64, 3, padding=1), cf.Flatten(), cf.Dense(CLASSES)]
    net, (x, y) = network(own=own, shape=(4, 16, 16), threads=threads), examples(4096, (4, 16, 16))
    net.gradients(x[:8], y[:8])
    before = bits(net)
    with Interrupt(0.4) as interrupt:
        with pytest.raises(KeyboardInterrupt):
            net.fit(x, y, batch_size=4096, verbose=0)
        served = time.monotonic() - interrupt.came
    assert served < 0.2
    assert bits(net) == before
    other = network("reference", own, (4, 16, 16))
    assert net.gradients(x[:8], y[:8])[0] == pytest.approx(other.gradients(x[:8], y[:8])[0], rel=1e-5)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs POSIX's timers")
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_leaves_whole_steps(all_threads, threads):
    (x, y), optimizer = examples(40), cf.SGD(0.01, momentum=0.5)
    for seconds in (0.05, 0.11, 0.17):
        net, other = network(threads=threads), network()
        net.gradients(x[:8], y[:8])
        with Interrupt(seconds), pytest.raises(KeyboardInterrupt):
            net.fit(x, y, epochs=10**6, batch_size=8, optimizer=optimizer, verbose=0)
        updates = net._clock.updates
        assert updates > 0
        batches = batches_of(net, 40, 8, updates // 5 + 1)[:updates]
        stepped(other, x, y, optimizer, batches)
        assert bits(net) == bits(other), updates
