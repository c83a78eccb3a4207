"""Whichever write, flush, rename or allocation fails: nothing is lost, and one clear error says so."""

import itertools
import os
import re
import shutil
import signal
from collections import Counter

import numpy as np
import pytest
from faults import Faults
from networks import digits_like, small
from processes import python

import closedform as cf
from closedform.cli import main
from closedform.training.checkpoint import newest, write

# what cannot be removed is tried again by the next write
HARMLESS = {"unlink"}
REASONS = "(No space left on device|Input/output error|there is not enough memory)"


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def every_fault(folder, lasts=False):
    """Faults at the first call, the second, and so on, until a run goes through without one."""
    for number in itertools.count(1):
        place = folder / str(number)
        place.mkdir()
        faults = Faults(place, number, lasts)
        yield place, faults
        if not faults.failed:
            assert number > 5  # something was counted at all
            return


def refusal(act, *arguments):
    """The message of its error, empty where it goes through."""
    try:
        act(*arguments)
    except cf.FileError as error:
        return str(error)
    return ""


def generation(number):
    arrays = {"w": np.full((2, 3), number, np.float32), "m": np.full(4, number / 7)}
    return arrays, {"number": number}


def holds(checkpoint, number):
    arrays, meta = generation(number)
    assert checkpoint.meta == meta
    assert {name: array.tobytes() for name, array in checkpoint.arrays.items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }


# ---- a checkpoint


@pytest.mark.parametrize("lasts", [False, True])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, lasts):
    kinds = Counter()
    for place, faults in every_fault(tmp_path, lasts):
        folder = place / "checkpoint"
        write(folder, *generation(1))
        write(folder, *generation(2))
        (folder / ".000003.safetensors.abc_1234").write_bytes(b"of a writer that was killed")
        with faults.injected():
            message = refusal(write, folder, *generation(3))
        kinds.update(faults.failed[:1])
        if set(faults.failed) - HARMLESS:
            begin = re.escape(f"{folder}: the checkpoint cannot be written: ")
            assert re.fullmatch(f"{begin}{REASONS}; the last one, 000002\\.safetensors, is whole", message)
            found = newest(folder)
            holds(found, found.meta["number"])
            assert found.meta["number"] in (2, 3)  # 3 where only its name could not be flushed
            if found.meta["number"] == 3:
                found.path.unlink()
                holds(newest(folder), 2)
        else:
            assert message == ""
            holds(newest(folder), 3)
        write(folder, *generation(4))
        holds(newest(folder), 4)
        assert len(list(folder.iterdir())) == 2
    assert set(kinds) == {"open", "write", "fsync", "replace", "chmod", "unlink", "allocation"}


def test_the_first_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path):
    kinds = Counter()
    for place, faults in every_fault(tmp_path):
        folder = place / "runs" / "a" / "checkpoint"
        with faults.injected():
            message = refusal(write, folder, *generation(1))
        kinds.update(faults.failed)
        if faults.failed:
            begin = re.escape(f"{folder}: the checkpoint cannot be written: ")
            assert re.fullmatch(f"{begin}{REASONS}; there was none before", message)
        found = newest(folder)
        if found is not None:
            holds(found, 1)
        write(folder, *generation(2))
        holds(newest(folder), 2)
    assert set(kinds) == {"mkdir", "open", "write", "fsync", "replace", "chmod", "allocation"}


# ---- a model


def test_a_model_that_cannot_be_saved_leaves_the_one_before(tmp_path):
    first, second = small(seed=1), small(seed=2)
    kinds = Counter()
    for place, faults in every_fault(tmp_path):
        path = place / "m.safetensors"
        first.save(path)
        with faults.injected():
            message = refusal(second.save, path)
        kinds.update(faults.failed)
        if faults.failed:
            assert re.fullmatch(f"{re.escape(str(path))}: cannot be written: {REASONS}", message)
        found = cf.load(path)
        assert found.seed in (1, 2)
        expected = first if found.seed == 1 else second
        assert found.parameters["0.weight"].tobytes() == expected.parameters["0.weight"].tobytes()
        assert [each.name for each in place.iterdir()] == ["m.safetensors"]
    assert set(kinds) == {"open", "write", "fsync", "replace", "chmod", "allocation"}


# ---- a training

X, Y = digits_like(3, count=12)


def fitted(folder, **more):
    """Two epochs of two batches, a checkpoint after each, and the callbacks that write."""
    layers = [cf.Flatten(), cf.Dropout(0.3), cf.Dense(4)]
    net = cf.Network(layers, (1, 8, 8), cf.SoftmaxCrossEntropy(), seed=5)
    history = net.fit(
        X,
        Y,
        epochs=2,
        batch_size=8,
        optimizer=cf.Adam(1e-2),
        validation_data=(X, Y),
        verbose=0,
        callbacks=[
            cf.CSVLogger(folder / "history.csv"),
            cf.ModelCheckpoint(folder / "best.safetensors"),
            cf.EarlyStopping(patience=1, restore_best_weights=True),
        ],
        checkpoint=folder / "checkpoint",
        checkpoint_seconds=0,
        **more,
    )
    return [array.tobytes() for array in net.parameters.values()], history.history


def test_a_training_that_cannot_write_goes_on_to_the_same_bits(tmp_path):
    (tmp_path / "undisturbed").mkdir()
    expected = fitted(tmp_path / "undisturbed")
    table = (tmp_path / "undisturbed" / "history.csv").read_bytes()
    kinds = Counter()
    for place, faults in every_fault(tmp_path):
        with faults.injected():
            message = refusal(fitted, place)
        kinds.update(faults.failed)
        if set(faults.failed) - HARMLESS or message:
            assert re.fullmatch(
                f"{re.escape(str(place))}/\\S+: (the checkpoint )?cannot be written: {REASONS}"
                "(; there was none before|; the last one, \\d{6}\\.safetensors, is whole)?",
                message,
            )
        assert fitted(place, resume=True) == expected
        assert (place / "history.csv").read_bytes() == table
        kept = [each.name for each in (place / "checkpoint").iterdir()]
        assert len(kept) in (
            2,
            3,
        )  # 3 where the last write was the one that failed, and is whole all the same
        assert all(re.fullmatch(r"\d{6}\.safetensors", name) for name in kept)
        assert sorted(each.name for each in place.iterdir()) == [
            "best.safetensors",
            "checkpoint",
            "history.csv",
        ]
    assert {"mkdir", "open", "write", "fsync", "replace", "allocation"} <= set(kinds)


RUN_FILE = """
[data]
path = "data.npz"
[network]
input_shape = [1, 8, 8]
loss = "SoftmaxCrossEntropy"
[[layer]]
type = "Flatten"
[[layer]]
type = "Dense"
out_features = 3
[training]
epochs = 2
batch_size = 12
"""


SAME = ("model.safetensors", "history.csv")


def digits_like_files(folder):
    """A run file, and a few images."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (24, 8, 8), dtype=np.uint8),
        "y_train": np.arange(24) % 3,
        "x_test": rng.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    np.savez(folder / "data.npz", **arrays)
    (folder / "run.toml").write_text(RUN_FILE)


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_that_cannot_write_goes_on_to_the_same_bits(tmp_path, capsys):
    """The whole command, on a few images of one's own."""
    digits_like_files(tmp_path)

    def run(folder, *more):
        words = ["--out", str(folder), "--no-pictures", "--json", *more]
        code = main(["train", str(tmp_path / "run.toml"), *words])
        return code, capsys.readouterr().err

    assert run(tmp_path / "undisturbed") == (0, "")
    kinds = Counter()
    for place, faults in every_fault(tmp_path):
        folder = place / "run"
        with faults.injected():
            code, message = run(folder)
        kinds.update(faults.failed)
        assert code == (1 if set(faults.failed) - {"unlink"} else 0), (faults.failed, message)
        if code:
            assert message.startswith(f"closedform: {place}")
            assert re.search(f"{REASONS}", message)
            assert message.count("\n") == 1
        assert run(folder, "--resume") == (0, "")
        for name in SAME:
            assert (folder / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert {"mkdir", "open", "write", "fsync", "replace", "allocation"} <= set(kinds)


def test_a_run_that_cannot_replace_another_leaves_either_of_them(tmp_path, capsys):
    digits_like_files(tmp_path)

    def run(folder, *more):
        words = ["--out", str(folder), "--no-pictures", "--json", *more]
        code = main(["train", str(tmp_path / "run.toml"), *words])
        return code, capsys.readouterr().err

    assert run(tmp_path / "old", "--seed", "1") == (0, "")
    assert run(tmp_path / "new") == (0, "")
    old, new = contents(tmp_path / "old"), contents(tmp_path / "new")
    kinds, outcomes = Counter(), Counter()
    for place, faults in every_fault(tmp_path):
        folder = place / "run"
        shutil.copytree(tmp_path / "old", folder)
        with faults.injected():
            code, message = run(folder, "--overwrite")
        kinds.update(faults.failed)
        assert code == 0 or re.search(REASONS, message)
        found = contents(folder)
        is_old = found == old
        outcomes["old" if is_old else "new"] += 1
        if not is_old:
            assert run(folder, "--resume") == (0, "")
            found = contents(folder)
            assert [found[name] for name in SAME] == [new[name] for name in SAME]
            assert not [name for name in found if name.startswith(".")]
    assert {"mkdir", "open", "write", "fsync", "replace", "allocation"} <= set(kinds)
    assert min(outcomes["old"], outcomes["new"]) > 5


# ---- a disk that is full


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="limits of files are POSIX's")
def test_a_file_that_the_system_does_not_let_grow(tmp_path):
    """As on a full disk, the system itself refuses: a limit of 4096 bytes a file stands for it."""
    code = """
import resource, signal, sys
import numpy as np
import closedform as cf
from closedform.training.checkpoint import newest, write
from pathlib import Path
folder = Path(sys.argv[1])
write(folder, {"w": np.arange(9.0)}, {})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
net = cf.Network([cf.Dense(100)], (100,))
for act in (lambda: write(folder, {"w": np.zeros(10_000)}, {}), lambda: net.save(folder / "m.safetensors")):
    try:
        act()
    except cf.FileError as error:
        print(error)
print(newest(folder).arrays["w"].tolist() == list(range(9)))
"""
    done = python("-c", code, tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{tmp_path}: the checkpoint cannot be written: File too large; the last one, 000001.safetensors, is "
        f"whole",
        f"{tmp_path / 'm.safetensors'}: cannot be written: File too large",
        "True",
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["000001.safetensors"]
