"""One order of adding: threads, block sizes and schedules change no bit of what compiled code gives."""

import os
import random

import numpy as np
import pytest
from compiled_jobs import LOSS, OUTPUT, PULLBACK, Batch, Compiled, batch_for, parameters_for
from compiled_networks import BENCHMARKED, OWN, network

import closedform as cf
from closedform.engine import schedule
from closedform.engine.jit import widths

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
THREADS = (1, 2, 3, 7)
# blocks that the planner may choose: any number below 4, then multiples of 4
BLOCKS = (1, 2, 3, 4, 8, 12, 64)


def assert_same_bits(found, expected, what):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.isfinite(array).all(), name
        different = (found[name].view(np.uint32) != array.view(np.uint32)).sum()
        assert different == 0, f"{what}: {name} differs in {different} of {array.size} entries"


def job(name, mode, width=None, together=0):
    architecture = network(name)
    return Compiled(architecture, mode, width, together=together), parameters_for(architecture)


# uneven shards: 37 images are divided into 8, and 5 into 2
COUNTS = (5, 37)


@pytest.mark.parametrize("mode", [OUTPUT, LOSS, PULLBACK], ids=lambda mode: mode.source)
@pytest.mark.parametrize("name", [*OWN, *BENCHMARKED] if SLOW else [*OWN, "lenet", "local"])
def test_threads_and_blocks_change_no_bit(name, mode):
    code, parameters = job(name, mode)
    for count in COUNTS:
        batch = batch_for(code.architecture, count)
        expected = code.run(parameters, batch, images=1)
        for threads in THREADS:
            for images in BLOCKS if threads == 2 else (4, code.layout.images):
                found = code.run(parameters, batch, threads=threads, images=images)
                assert_same_bits(found, expected, f"{threads} threads, blocks of {images} images")


@pytest.mark.parametrize("mode", [OUTPUT, LOSS, PULLBACK], ids=lambda mode: mode.source)
@pytest.mark.parametrize("name", OWN)
def test_threads_and_blocks_change_no_bit_where_images_go_across_the_lanes(name, mode):
    layers = len(network(name).layers)
    for together in range(1, layers + 2) if SLOW else (2, layers, layers + 1):
        code, parameters = job(name, mode, together=together)
        batch = batch_for(code.architecture, 73)
        expected = code.run(parameters, batch, images=16)
        for threads, images in ((1, 64), (2, 48), (3, 16), (7, 32)):
            found = code.run(parameters, batch, threads=threads, images=images)
            assert_same_bits(found, expected, f"{together}: {threads} threads, blocks of {images} images")


def test_a_gradient_with_a_factor_adds_image_by_image_too():
    # its sum does not go on from what the shard holds, so that a block's own sum must not be formed first
    thirds = cf.Formula("Y[n,i] = 1/3 * W[i] * X[n,i]")
    architecture = cf.Architecture((thirds, cf.Dense(3)), (7,), cf.MeanSquaredError())
    code = Compiled(architecture, LOSS)
    batch, parameters = batch_for(architecture, 37), parameters_for(architecture)
    expected = code.run(parameters, batch, images=1)
    for images in (3, 8, 64):
        assert_same_bits(code.run(parameters, batch, images=images), expected, f"blocks of {images} images")


@pytest.mark.parametrize("width", widths()[1:])
def test_threads_and_blocks_change_no_bit_at_any_width(width):
    code, parameters = job("awkward", LOSS, width)
    batch = batch_for(code.architecture, 37)
    expected = code.run(parameters, batch, images=1)
    for threads, images, chunk in ((2, 3, 1), (3, 8, 2), (7, 4, 8), (1, 64, 4)):
        found = code.run(parameters, batch, threads=threads, images=images, chunk=chunk)
        assert_same_bits(found, expected, f"{threads} threads, blocks of {images} images")


@pytest.mark.parametrize("name", OWN)
def test_trained_weights_have_the_same_bits(name):
    code, parameters = job(name, LOSS)
    batch = batch_for(code.architecture, 37)
    words = {"steps": 12, "rate": 0.05, "seed": 7}
    expected = code.run(parameters, batch, **words)
    assert all(np.any(expected[f"parameters/{key}"] != parameters[key]) for key in parameters)
    for threads in THREADS:
        for repetition in range(3):
            found = code.run(parameters, batch, threads=threads, images=(4, 8, 1)[repetition], **words)
            assert_same_bits(found, expected, f"{threads} threads, run {repetition}")


def test_a_network_trained_with_dropout_has_the_same_bits_for_any_threads():
    architecture = OWN["awkward"]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(61, *architecture.input_shape)).astype(np.float32)
    labels = rng.integers(0, 3, 61)

    def trained(threads):
        net = cf.Network.from_architecture(architecture, seed=5, threads=threads)
        # the last batch of an epoch is shorter
        net.fit(x, labels, epochs=3, batch_size=23, optimizer=cf.Adam(0.003), verbose=0)
        assert net.engine == "compiled"
        loss, gradients = net.gradients(x, labels, wrt_input=True, step=4)
        named = {"loss": np.array(loss, np.float32), "outputs": net.forward(x), **gradients}
        return named | {f"parameters/{key}": array.copy() for key, array in net.parameters.items()}

    expected = trained(1)
    for threads in (*THREADS, 2, 1):
        assert_same_bits(trained(threads), expected, f"{threads} threads")


def test_repetitions_change_no_bit():
    code, parameters = job("awkward", LOSS)
    batch = batch_for(code.architecture, 29)
    expected = code.run(parameters, batch, threads=3)
    for repetition in range(50):
        assert_same_bits(code.run(parameters, batch, threads=3), expected, f"run {repetition}")


# ---- schedules


def chosen(code):
    return [kernel.schedule for kernel in code.kernels]


@pytest.mark.parametrize("seed", range(20 if SLOW else 3))
@pytest.mark.parametrize("name", [*OWN, *BENCHMARKED] if SLOW else [*OWN, "lenet"])
def test_any_schedule_that_could_be_chosen_gives_the_same_bits(name, seed, monkeypatch):
    ordinary, parameters = job(name, LOSS)
    costs = random.Random(seed)
    # whatever is cheapest is taken, so random costs take any candidate
    monkeypatch.setattr(schedule, "_cost", lambda *_: costs.random())
    schedule.schedule.cache_clear()
    try:
        other, _ = job(name, LOSS)
    finally:
        schedule.schedule.cache_clear()
    different = sum(a != b for a, b in zip(chosen(ordinary), chosen(other), strict=True))
    assert different
    for count in COUNTS:
        batch = batch_for(ordinary.architecture, count)
        expected = ordinary.run(parameters, batch)
        found = other.run(parameters, batch, threads=2, images=4)
        assert_same_bits(found, expected, f"{different} other schedules")


# ---- what does change bits


def test_the_order_of_images_does_change_bits():
    code, parameters = job("lenet", PULLBACK)
    batch = batch_for(code.architecture, 37)
    turned = Batch(*(array[::-1].copy() for array in (batch.x, batch.targets, batch.dy)))
    first, second = code.run(parameters, batch), code.run(parameters, turned)
    assert_same_bits({"outputs": second["outputs"][::-1]}, {"outputs": first["outputs"]}, "in reverse")
    gradients = [name for name in first if name.startswith("gradients/")]
    different = [name for name in gradients if np.any(first[name] != second[name])]
    assert different == gradients
    for name in gradients:
        np.testing.assert_allclose(second[name], first[name], atol=1e-5 * np.abs(first[name]).max())


def test_a_bit_is_seen():
    array = np.ones(5, np.float32)
    other = array.copy()
    other[3] = np.nextafter(other[3], 2)
    with pytest.raises(AssertionError, match="one: a differs in 1 of 5 entries"):
        assert_same_bits({"a": other}, {"a": array}, "one")
