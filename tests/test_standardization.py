"""Standardization takes each channel's mean away and divides by its standard deviation, everywhere alike."""

import json
from fractions import Fraction

import numpy as np
import pytest

import closedform as cf


def images(count=50, shape=(3, 5, 4)):
    return np.random.default_rng(2).integers(0, 256, (count, *shape), dtype=np.uint8)


def moments(x, unit=1):
    """Mean and standard deviation of each channel in exact arithmetic, rounded once."""
    means, deviations = [], []
    for channel in np.moveaxis(x, 1, 0):
        values = [Fraction(float(value)) / unit for value in channel.ravel()]
        mean = sum(values) / len(values)
        means.append(float(mean))
        deviations.append(float(sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5)
    return means, deviations


def test_bytes_are_measured_as_a_network_sees_them():
    x = images()
    found = cf.Standardization.of(x)
    mean, std = moments(x, unit=255)
    assert found.mean == pytest.approx(mean, rel=1e-15)
    assert found.std == pytest.approx(std, rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(3, 5, 4), (6,), (2, 9)])
def test_other_numbers_are_measured_as_they_are(dtype, shape):
    x = (np.random.default_rng(3).standard_normal((50, *shape)) * 100 + 1000).astype(dtype)
    found = cf.Standardization.of(x)
    mean, std = moments(x.astype(np.float32))
    assert found.mean == pytest.approx(mean, rel=1e-13)
    assert found.std == pytest.approx(std, rel=1e-11)


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_the_parts_that_are_read_at_a_time_do_not_show(monkeypatch, size):
    x = images()
    mean, std = moments(x, unit=255)
    monkeypatch.setattr("closedform.data.standardize._BYTES", size)
    monkeypatch.setattr("closedform.data.standardize._PART", size)
    for given in (x, x.astype(np.float32) / np.float32(255)):
        found = cf.Standardization.of(given)
        assert found.mean == pytest.approx(mean, rel=1e-6)
        assert found.std == pytest.approx(std, rel=1e-6)


def test_small_differences_on_a_large_mean_are_seen():
    x = np.full((1000, 1, 2, 2), 4096, np.float32)
    x[::2] += 0.5
    found = cf.Standardization.of(x)
    assert (found.mean, found.std) == ((4096.25,), (0.25,))


def test_the_sums_of_large_images_do_not_overflow():
    """All white: 255² · 300 · 300 is above 2³²."""
    x = np.full((2, 1, 300, 300), 255, np.uint8)
    x[1] = 0
    found = cf.Standardization.of(x)
    assert (found.mean, found.std) == ((0.5,), (0.5,))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_channel_that_is_the_same_everywhere_is_divided_by_1(dtype):
    x = images().astype(dtype)
    x[:, 1] = 51
    found = cf.Standardization.of(x)
    assert found.std[1] == 1.0
    assert found.mean[1] == pytest.approx(0.2 if dtype == np.uint8 else 51)
    assert found.std[0] != 1.0


def test_arrays_on_disk_and_strided_ones_are_read_as_others(tmp_path):
    x = images()
    on_disk = np.memmap(tmp_path / "x.bin", np.uint8, "w+", shape=x.shape)
    on_disk[...] = x
    assert cf.Standardization.of(on_disk) == cf.Standardization.of(x)
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    assert cf.Standardization.of(channels_last.transpose(0, 3, 1, 2)) == cf.Standardization.of(x)


def test_it_is_applied_in_place_and_in_float32():
    x = images(4).astype(np.float32)
    expected = (x.astype(np.float64) - np.array([10, 20, 30])[:, None, None]) / np.array([2, 4, 8])[
        :, None, None
    ]
    assert cf.Standardization((10, 20, 30), (2, 4, 8)).apply(x) is x
    np.testing.assert_array_equal(x, expected.astype(np.float32))


def test_standardized_examples_have_mean_0_and_deviation_1():
    x = images(200)
    result = cf.Standardization.of(x).apply(x / np.float32(255)).astype(np.float64)
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, atol=1e-6)


class Values(dict):
    """What a standardization writes into a file, right or wrong."""

    to_dict = dict.copy


def network(**more):
    return cf.Network(
        [cf.Flatten(), cf.Dense(2)], (3, 5, 4), cf.SoftmaxCrossEntropy(), engine="reference", **more
    )


def test_fit_measures_the_training_examples_and_predict_applies_it(tmp_path):
    x, labels = images(), np.arange(50) % 2
    net = network()
    net.fit(x, labels, standardize=True, verbose=0, validation_data=(255 - x, labels))
    assert net.standardization == cf.Standardization.of(x)
    standardized = (x / 255 - np.array(net.standardization.mean)[:, None, None]) / np.array(
        net.standardization.std
    )[:, None, None]
    logits = standardized.reshape(50, -1) @ net.parameters["1.weight"].T + net.parameters["1.bias"]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(net.predict(x), shares, atol=1e-5)
    net.save(tmp_path / "model.safetensors")
    again = cf.load(tmp_path / "model.safetensors")
    assert again.standardization == net.standardization
    np.testing.assert_allclose(again.predict(x), net.predict(x), rtol=1e-5)


def header(path):
    """The JSON that closedform keeps in a model file, by its bytes."""
    data = path.read_bytes()
    entries = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(entries["__metadata__"]["closedform"])


def test_a_file_is_of_the_second_format_only_where_inputs_are_standardized(tmp_path):
    """Who reads the first format alone must not predict from inputs as they are."""
    path, net = tmp_path / "model.safetensors", network()
    net.save(path)
    assert header(path)["format_version"] == 1
    assert "standardization" not in header(path)
    assert cf.load(path).standardization is None
    net.standardization = cf.Standardization((0.1, 0.2, 0.3), (1, 2, 3))
    net.save(path)
    assert header(path)["format_version"] == 2
    assert header(path)["standardization"] == {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    ("standardization", "message"),
    [
        (
            cf.Standardization((0.5,), (1.0,)),
            "the header's standardization is for 1 channels, the network takes 3",
        ),
        (
            Values({"mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, -1.0]}),
            "Standardization: std must be finite numbers above 0 in float32, got -1.0",
        ),
        (
            Values({"mean": [0.5, 0.5, 0.5]}),
            "a standardization is {mean = [...], std = [...]}, got {'mean': [0.5, 0.5, 0.5]}",
        ),
    ],
)
def test_a_file_whose_standardization_does_not_fit_is_refused(tmp_path, standardization, message):
    path, net = tmp_path / "model.safetensors", network()
    net._standardization = standardization  # past the check
    net.save(path)
    with pytest.raises(cf.FileError) as caught:
        cf.load(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_second_training_keeps_what_the_network_has():
    labels = np.arange(50) % 2
    net = network()
    net.fit(images(), labels, standardize=True, verbose=0)
    net.fit(255 - images(), labels, standardize=True, verbose=0)
    assert net.standardization == cf.Standardization.of(images())


def test_the_numbers_come_back_from_plain_values():
    found = cf.Standardization.of(images())
    values = found.to_dict()
    assert values == {"mean": list(found.mean), "std": list(found.std)}
    assert cf.Standardization.from_dict(values) == found
    assert cf.Standardization([1, 2], np.array([3, 4]).tolist()) == cf.Standardization((1.0, 2.0), (3.0, 4.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cf.Standardization((), ()),
            "Standardization: mean must be numbers, one for each channel, got ()",
        ),
        (
            lambda: cf.Standardization(0.5, 0.5),
            "Standardization: mean must be numbers, one for each channel, got 0.5",
        ),
        (
            lambda: cf.Standardization((0.5,), (0.0,)),
            "Standardization: std must be finite numbers above 0 in float32, got 0.0",
        ),
        (
            lambda: cf.Standardization((0.5,), (1e-50,)),
            "Standardization: std must be finite numbers above 0 in float32, got 1e-50",
        ),
        (
            lambda: cf.Standardization((10**400,), (1.0,)),
            f"Standardization: mean must be finite numbers in float32, got 1{'0' * 59}",
        ),
        (
            lambda: cf.Standardization((float("nan"),), (1.0,)),
            "Standardization: mean must be finite numbers in float32, got nan",
        ),
        (
            lambda: cf.Standardization((True,), (1.0,)),
            "Standardization: mean must be finite numbers in float32, got True",
        ),
        (
            lambda: cf.Standardization((0.5,), (1.0, 1.0)),
            "Standardization: mean and std must have one number each for every channel, got 1 and 2",
        ),
        (
            lambda: cf.Standardization.from_dict({"mean": [0.5]}),
            "a standardization is {mean = [...], std = [...]}, got {'mean': [0.5]}",
        ),
    ],
)
def test_numbers_that_make_no_sense(make, message):
    with pytest.raises(cf.SettingError) as caught:
        make()
    assert str(caught.value) == message


def test_inputs_that_cannot_be_measured():
    with pytest.raises(cf.ShapeError) as shape:
        cf.Standardization.of(np.zeros((0, 1, 2, 2)))
    assert str(shape.value) == "x must be inputs (N, channels, ...), at least one, got (0, 1, 2, 2)"
    x = np.ones((3, 1, 2, 2), np.float32)
    x[1, 0, 0, 0] = np.inf
    with pytest.raises(cf.DataError) as numbers:
        cf.Standardization.of(x)
    assert (
        str(numbers.value)
        == "x holds numbers that are not finite, or too large: leave them out or scale them"
    )
