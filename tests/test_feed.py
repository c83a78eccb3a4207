"""Inputs of any type of number: converted when they are wanted, and never all of them where they are many."""

import numpy as np
import pytest
from networks import digits_like, small
from processes import printed

import closedform as cf
from closedform.data.feed import Feed

SHAPE = (1, 8, 8)


def images(count=20):
    return np.random.default_rng(3).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def test_float32_is_used_where_it_lies():
    x = digits_like(0)[0]
    assert Feed(x, SHAPE).plain is x


def channels_last(x):
    """The same images, as they lie where the channels come last."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def every_second(x):
    """The same images, with others between them."""
    return np.repeat(x, 2, axis=0)[::2]


def unaligned(x):
    """The same images, not at a multiple of four bytes."""
    return np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)


LYING_OTHERWISE = [channels_last, every_second, unaligned]


@pytest.mark.parametrize("lie_otherwise", LYING_OTHERWISE)
def test_what_lies_otherwise_in_memory_is_taken_in_parts_where_it_is_large(lie_otherwise):
    x = digits_like(0, shape=(3, 8, 8))[0]
    whole, parts = Feed(x, (3, 8, 8)), Feed(lie_otherwise(x), (3, 8, 8), whole=x.nbytes - 1)
    assert parts.plain is None
    np.testing.assert_array_equal(parts.take(np.array([7, 0])), x[[7, 0]])
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts.parts(5)]), whole.whole())
    small_enough = Feed(lie_otherwise(x), (3, 8, 8), whole=x.nbytes)
    np.testing.assert_array_equal(small_enough.plain, x)


def test_bytes_are_divided_by_255():
    x = images()
    np.testing.assert_array_equal(Feed(x, SHAPE).take(np.array([3, 1])), x[[3, 1]] / np.float32(255))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
def test_part_by_part_and_all_at_once_give_the_same_bits(dtype):
    x = images().astype(dtype)
    whole, parts = Feed(x, SHAPE), Feed(x, SHAPE, whole=0)
    chosen = np.array([19, 0, 7])
    assert (whole.plain is None, dtype is np.float32 or parts.plain is None) == (False, True)
    assert parts.take(chosen).tobytes() == whole.take(chosen).tobytes()
    assert b"".join(part.tobytes() for _, part in parts.parts(7)) == whole.whole().tobytes()
    assert [start for start, _ in parts.parts(7)] == [0, 7, 14]


def test_standardization_is_applied_to_every_part():
    x = images()
    standardization = cf.Standardization((0.4,), (0.2,))
    feed = Feed(x, SHAPE, standardization, whole=0)
    expected = (x[[2, 5]].astype(np.float64) / 255 - 0.4) / 0.2
    np.testing.assert_allclose(feed.take(np.array([2, 5])), expected, atol=1e-6)
    assert x.dtype == np.uint8


def test_standardization_leaves_what_was_passed():
    x = digits_like(0)[0]
    before = x.copy()
    Feed(x, SHAPE, cf.Standardization((0.4,), (0.2,))).whole()
    np.testing.assert_array_equal(x, before)


def test_the_first_number_that_is_not_finite_is_named_by_its_place():
    x = digits_like(0)[0].astype(np.float64)
    x[7, 0, 2, 1] = np.inf
    with pytest.raises(cf.DataError) as caught:
        Feed(x, SHAPE, cf.Standardization((0.4,), (0.2,)), whole=0).check_finite()
    assert str(caught.value) == (
        "x[7, 0, 2, 1] is inf, in example 7: inputs must be finite in float32; leave the example out or "
        "replace the number (numpy.nan_to_num)"
    )


def test_training_from_a_file_gives_the_same_bits(tmp_path, monkeypatch):
    x, y = images(64), digits_like(1, count=64)[1]
    on_disk = np.memmap(tmp_path / "x.bin", np.uint8, "w+", shape=x.shape)
    on_disk[...] = x
    found = []
    for given, most in [(x, 1 << 30), (on_disk, 0)]:
        monkeypatch.setattr("closedform.data.feed._WHOLE", most)
        net = small()
        net.fit(given, y, epochs=3, batch_size=12, standardize=True, validation_data=(given, y), verbose=0)
        found.append([*(a.tobytes() for a in net.parameters.values()), net.predict(given).tobytes()])
    assert found[0] == found[1]


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("lie_otherwise", LYING_OTHERWISE)
def test_training_on_what_lies_otherwise_gives_the_same_bits(monkeypatch, engine, lie_otherwise):
    x, y = digits_like(1, count=64, shape=(3, 8, 8))
    found = []
    for given, most in [(x, 1 << 30), (lie_otherwise(x), 1 << 30), (lie_otherwise(x), 0)]:
        monkeypatch.setattr("closedform.data.feed._WHOLE", most)
        layers = [cf.Conv2d(3, 3), cf.ReLU(), cf.Flatten(), cf.Dense(4)]
        net = cf.Network(layers, (3, 8, 8), cf.SoftmaxCrossEntropy(), engine=engine)
        net.fit(given, y, epochs=2, batch_size=12, validation_data=(given, y), verbose=0)
        found.append([*(a.tobytes() for a in net.parameters.values()), net.predict(given).tobytes()])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("order", ["transpose(0, 3, 1, 2)", "reshape(-1, 3, 100, 100)[::2]"])
def test_floats_on_disk_that_lie_otherwise_are_not_copied_whole(order):
    """300 MB of floats, or every second image of them; NumPy's own memory grows by less than 90 MB."""
    script = f"""
import tempfile, tracemalloc, numpy as np, closedform as cf
from closedform.data import feed
feed._WHOLE, feed._PART = 100_000_000, 10_000_000
with tempfile.TemporaryFile() as file:
    file.truncate(300_000_000)
    x = np.memmap(file, np.float32, "r+", shape=(2500, 100, 100, 3)).{order}
    y = np.arange(len(x)) % 2
    layers = [cf.AvgPool2d(50), cf.Flatten(), cf.Dense(2)]
    net = cf.Network(layers, (3, 100, 100), cf.SoftmaxCrossEntropy(), threads=1)
    tracemalloc.start()
    for act in (
        lambda: net.fit(x, y, steps=9, batch_size=64, verbose=0),
        lambda: net.evaluate(x, y),
        lambda: net.predict(x),
    ):
        tracemalloc.reset_peak()
        act()
        print(tracemalloc.get_traced_memory()[1] // 1_000_000)
"""
    peaks = list(map(int, printed(script).split()))
    assert len(peaks) == 3
    assert max(peaks) < 90, peaks


def test_a_training_from_disk_holds_a_part_of_it_in_memory():
    """600 MB of bytes, 2.4 GB as float32: memory grows by less than a fifth of the former."""
    script = """
import resource, tempfile, numpy as np, closedform as cf
with tempfile.TemporaryFile() as file:
    file.truncate(600_000_000)
    x = np.memmap(file, np.uint8, "r+", shape=(12000, 1, 200, 250))
    y = np.arange(12000) % 2
    layers = [cf.AvgPool2d(50), cf.Flatten(), cf.Dense(2)]
    net = cf.Network(layers, (1, 200, 250), cf.SoftmaxCrossEntropy(), threads=1)
    net.fit(x[:64], y[:64], verbose=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    net.fit(x, y, standardize=True, batch_size=64, verbose=0)
    net.evaluate(x, y), net.predict(x)
    # pages of the file itself count too, and the system takes them back when it wants to
    with open("/proc/self/status") as status:
        own = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    print(own // 1000)
"""
    assert int(printed(script)) < 400
