"""`benchmarks/time_to_accuracy.py`: both sides train the same, and the table says what came out."""

import gzip
import importlib.util
import lzma
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import closedform as cf
from closedform.bench.networks import network

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (
            getattr(sys.modules[name], "__file__", None)
            and Path(sys.modules[name].__file__).parent == BENCHMARKS
        ):
            del sys.modules[name]


@pytest.fixture
def tasks():
    import accuracy_tasks

    return accuracy_tasks.TASKS


@pytest.fixture
def script():
    import time_to_accuracy

    return time_to_accuracy


@pytest.fixture
def theirs(torch):
    import accuracy_pytorch

    threads = torch.get_num_threads()
    yield accuracy_pytorch
    torch.set_num_threads(threads)


def digits(folder):
    """Four IDX files of 40 and 10 images, in which a bright row says the class."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    found = []
    for part, count in (("train", 40), ("t10k", 10)):
        y = (np.arange(count) % 10).astype(np.uint8)
        x = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        x[np.arange(count), 2 * y + 4] = 255
        sizes = b"".join(number.to_bytes(4, "big") for number in x.shape)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(b"\0\0\x08\x03" + sizes + x.tobytes())
        )
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(b"\0\0\x08\x01" + sizes[:4] + y.tobytes())
        )
        found += [x[:, None], y]
    return found


def photographs(folder):
    """CIFAR-10's binary version: two files of 20 images and one of 10 to test on."""
    generator = np.random.default_rng(1)
    folder.mkdir()
    found = []
    for name, count in (("data_batch_1", 20), ("data_batch_2", 20), ("test_batch", 10)):
        records = generator.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        (folder / f"{name}.bin.xz").write_bytes(lzma.compress(records.tobytes(), preset=0))
        found.append(records)
    return found


# ---- both sides


def test_the_tasks_are_the_claims(tasks):
    assert {name: (task.net, task.bar, task.epochs, task.ratio) for name, task in tasks.items()} == {
        "mnist": ("pair", 0.99, 3, 2.0),
        "fashion": ("pair", 0.90, 4, 2.0),
        "cifar10": ("vgg", 0.80, 12, 1.0),
    }


def test_pytorch_reads_the_digits(theirs, tmp_path):
    expected = digits(tmp_path / "mnist")
    for found, array in zip(theirs.read(tmp_path / "mnist"), expected, strict=True):
        np.testing.assert_array_equal(found.numpy(), array)


def test_pytorch_reads_the_photographs(theirs, tmp_path):
    one, two, test = photographs(tmp_path / "cifar10")
    x, y, x_test, y_test = theirs.read(tmp_path / "cifar10")
    both = np.concatenate([one, two])
    np.testing.assert_array_equal(x.numpy().reshape(40, -1), both[:, 1:])
    np.testing.assert_array_equal(y.numpy(), both[:, 0])
    np.testing.assert_array_equal(x_test.numpy().reshape(10, -1), test[:, 1:])
    np.testing.assert_array_equal(y_test.numpy(), test[:, 0])


@pytest.mark.parametrize("name", ["pair", "vgg"])
def test_the_networks_compute_the_same(theirs, name):
    import torch

    net = cf.Network.from_architecture(network(name), 3, engine="reference")
    model = theirs.made(name)
    arrays = [torch.tensor(array) for array in net.parameters.values()]
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(array)
        x = np.random.default_rng(0).standard_normal((2, *net.input_shape)).astype(np.float32)
        np.testing.assert_allclose(net.forward(x), model(torch.tensor(x)).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["pair", "vgg"])
def test_the_weights_begin_within_the_same_limits(theirs, name):
    """Of so many uniform numbers the largest comes within 3 % of the limit."""
    net = cf.Network.from_architecture(network(name), 0, engine="reference")
    arrays = [parameter.detach().numpy() for parameter in theirs.made(name).parameters()]
    for own, other in zip(net.parameters.values(), arrays, strict=True):
        assert np.abs(other).max() == pytest.approx(np.abs(own).max(), rel=0.05)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_learning_rates_are_the_same(theirs, tasks, name):
    task = replace(tasks[name], batch_size=8)
    steps = task.epochs * 13
    own = task.schedule.rates(np.arange(steps), task.learning_rate, 13, steps)
    np.testing.assert_allclose(list(theirs.learning_rates(task, 100)), own, rtol=1e-9)


def test_images_are_standardised_by_their_own_mean(theirs, tasks):
    import torch

    x = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28), dtype=np.uint8)
    images = theirs.Images(torch.tensor(x), tasks["mnist"], torch.contiguous_format)
    chosen = np.array([7, 3])
    own = cf.Standardization.of(x).apply((x[chosen] / 255).astype(np.float32))
    np.testing.assert_allclose(images.batch(torch.tensor(chosen)).numpy(), own, atol=1e-4)


def test_images_are_moved_with_their_edges_repeated_and_mirrored(theirs, tasks):
    """Each image of many batches is one of the 98 that it may become, and nearly all of those appear."""
    import torch

    x = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    images = theirs.Images(torch.tensor(x), tasks["cifar10"], torch.contiguous_format)
    padded = np.pad(x[0], ((0, 0), (3, 3), (3, 3)), mode="edge")
    moved = [padded[:, r : r + 32, c : c + 32] for r in range(7) for c in range(7)]
    allowed = {image.tobytes() for window in moved for image in (window, window[:, :, ::-1])}
    batch = images.batch(torch.zeros(1000, dtype=torch.int64))
    plain = ((batch - images.offset) / images.scale).round().to(torch.uint8).numpy()
    seen = {image.tobytes() for image in plain}
    assert seen <= allowed
    assert len(seen) > 90


@pytest.mark.parametrize("mode", ["NCHW", "channels last"])
def test_both_sides_learn(theirs, tasks, tmp_path, mode):
    import accuracy_ours

    digits(tmp_path / "mnist")
    task = replace(tasks["mnist"], epochs=10, batch_size=8, learning_rate=0.02)
    folder = str(tmp_path / "mnist")
    for watch in (accuracy_ours.run(task, folder, 0, 1), theirs.run(task, folder, 0, 1, 10, mode)):
        assert len(watch.epochs) == 10
        assert 0 < watch.read < watch.epochs[0]
        assert watch.epochs == sorted(watch.epochs)
        assert watch.accuracies[-1] >= 0.9


# ---- what is said


def result(script, side="closedform", seed=0, accuracies=(0.98, 0.991, 0.992), epochs=(2.0, 3.5, 5.0)):
    mode = "" if side == "closedform" else "NCHW"
    return script.Result("mnist", side, mode, seed, 0.25, 0.5, list(epochs), list(accuracies), 0.0)


def test_the_time_counts_to_the_first_epoch_that_reaches_the_bar(script):
    assert result(script).seconds(0.99) == 3.5
    assert result(script, accuracies=(0.99, 0.98, 0.98)).seconds(0.99) == 2.0
    assert result(script, accuracies=(0.9, 0.9, 0.9)).seconds(0.99) == float("inf")


def test_a_training_is_predicted_from_its_second_epoch(script):
    """10 s, of which compiling took most, and ten more epochs of 3 s."""
    assert result(script, epochs=(7.0, 10.0), accuracies=(0.9, 0.9)).predicted(12) == 40.0


def test_the_table_has_medians_and_says_what_is_met(script):
    slower = [6.0, 9.0, 12.0]
    results = [result(script, seed=seed, epochs=(2.0, 3.5 + seed, 9.0)) for seed in range(3)]
    results += [result(script, "PyTorch", seed, epochs=slower) for seed in range(3)]
    assert script.rows(results) == [
        "| mnist | closedform | 99.20% (99.20% to 99.20%) | 2 2 2 | 4.50 (3.50 to 5.50) | 4.75 | 9.00 "
        "|  |  |",
        "| mnist | PyTorch (NCHW) | 99.20% (99.20% to 99.20%) | 2 2 2 | 9.00 (9.00 to 9.00) | 9.25 | 12.00 "
        "| 2.00 | 99.0% met, ratio 2 met |",
    ]


def test_a_bar_that_is_missed_is_said(script):
    results = [result(script, accuracies=(0.9, 0.9, 0.9)), result(script, "PyTorch")]
    assert script.rows(results)[0].endswith(
        "| 90.00% (90.00% to 90.00%) | none | never (never to never) | never | 5.00 |  |  |"
    )
    assert script.rows(results)[1].endswith("| 0.00 | 99.0% **missed**, ratio 2 **missed** |")


def test_one_side_alone_is_judged_by_the_bar(script):
    assert script.rows([result(script)])[0].endswith("| 5.00 |  | 99.0% met |")


def test_a_line_for_a_run(script):
    assert script.run_line(result(script)) == (
        "  mnist    closedform seed 0  reached 99.0% in 3.50 s, epoch 2; accuracies 0.9800 0.9910 0.9920; "
        "import 0.25 s, reading 0.50 s, all 5.00 s"
    )


def test_missing_data_are_named(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.arguments(["--data", str(tmp_path), "--sets", "cifar10"])
    assert capsys.readouterr().err.endswith(
        f"no data for cifar10: expected them in {tmp_path / 'cifar10'}; pass --data DIR, the folder above\n"
    )


def test_a_missing_pytorch_is_named(script, tmp_path, capsys, monkeypatch):
    digits(tmp_path / "mnist")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = ["--data", str(tmp_path), "--sets", "mnist"]
    with pytest.raises(SystemExit):
        script.arguments(words)
    assert capsys.readouterr().err.endswith(
        "PyTorch is not installed: pip install torch, or pass --only-ours\n"
    )
    assert script.arguments([*words, "--only-ours"]).only_ours


def test_a_run_is_a_process_of_its_own(script, tmp_path):
    """It trains with the task's own settings, here three epochs of one step."""
    digits(tmp_path / "mnist")
    options = script.arguments(["--data", str(tmp_path), "--sets", "mnist", "--only-ours", "--threads", "1"])
    found = script.trained(options, "mnist", "closedform", "", 0)
    assert (found.set, found.side, found.seed, len(found.accuracies)) == ("mnist", "closedform", 0, 3)
    assert found.imported > 0


def test_a_run_that_fails_says_why(script, tmp_path):
    digits(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    options = script.arguments(["--data", str(tmp_path), "--sets", "mnist", "--only-ours", "--threads", "1"])
    with pytest.raises(SystemExit, match=r"closedform failed on mnist:\n(.|\n)*DataError: .*t10k-labels"):
        script.trained(options, "mnist", "closedform", "", 0)
