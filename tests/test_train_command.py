"""``closedform train`` on data of one's own: what is chosen, what is said, and how a stopped one goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from processes import environment, python
from run_data import save_arrays, save_images

import closedform as cf
from closedform.bench.networks import network
from closedform.cli import main
from closedform.runs.defaults import augmentation, default_network, described, training_settings
from closedform.runs.examples import class_weights, short_name

COUNTS = {"blue": 20, "green": 20, "red": 20}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    """The command's exit code, its output and its errors."""
    code = main(["train", *map(str, arguments), "--no-pictures"])
    return code, *capsys.readouterr()


def written(name):
    return tomllib.loads(Path("runs", name, "run.toml").read_text(encoding="utf-8"))


# ---- what is chosen where nothing is said


@pytest.mark.parametrize(
    ("shape", "name", "layers"),
    [
        ((1, 28, 28), "net pair", "32·3×3 – pool 2 – 64·3×3 – pool 2 – dense 7"),
        ((1, 8, 8), "net digits", "16·3×3 – pool 2 – 32·3×3 – dense 64 – dense 7"),
        (
            (3, 32, 32),
            "net vgg",
            "32·3×3 – 32·3×3 – pool 2 – 64·3×3 – 64·3×3 – pool 2 – dense 256 – dense 7",
        ),
        (
            (3, 64, 64),
            "a network",
            "16·3×3 – pool 2 – 32·3×3 – pool 2 – 64·3×3 – pool 2 – dense 128 – dense 7",
        ),
        ((1, 12, 20), "a network", "16·3×3 – pool 2 – 32·3×3 – pool 2 – dense 128 – dense 7"),
        ((3, 8, 8), "a network", "16·3×3 – dense 128 – dense 7"),
        ((1, 1, 200), "a network", "16·3×3 – dense 128 – dense 7"),
    ],
)
def test_the_network_for_a_size_of_images(shape, name, layers):
    found, architecture = default_network(shape, 7)
    assert (found, described(architecture)) == (name, layers)
    assert (architecture.input_shape, architecture.output_shape) == (shape, (7,))
    assert architecture.loss == cf.SoftmaxCrossEntropy()


def test_the_networks_that_are_measured_are_taken_as_they_are():
    assert default_network((1, 28, 28), 10)[1] == network("pair")
    assert default_network((3, 32, 32), 10)[1] == network("vgg")


@pytest.mark.parametrize(
    ("examples", "epochs", "batch_size"),
    [(100, 40, 64), (1294, 40, 64), (27000, 11, 128), (54000, 6, 128), (10**6, 5, 128)],
)
def test_more_images_are_seen_less_often(examples, epochs, batch_size):
    found = training_settings(examples, {})
    assert (found["epochs"], found["batch_size"]) == (epochs, batch_size)
    assert training_settings(examples, {"epochs": 3})["epochs"] == 3


def test_only_photographs_are_moved_and_mirrored():
    assert augmentation((3, 32, 32)) == {"shift": 4, "flip": True}
    assert augmentation((1, 28, 28)) is None
    assert augmentation((3, 16, 16)) is None


def test_arrays_without_a_network(folder, capsys):
    save_arrays("rows.npz")
    code, output, errors = run(capsys, "--data", "rows.npz", "--epochs", 1)
    assert code == 0
    assert errors == (  # in one update
        "closedform: it has learned nothing, guessing is as good: try another learning rate, with --lr, or "
        "more epochs\n"
    )
    assert output.splitlines()[:2] == [
        "12×12 greyscale: a network, 16·3×3 – pool 2 – dense 128 – dense 3",
        "rows.npz: 54 images to train on, 6 to validate, 30 to test; 74,403 parameters, seed 0",
    ]
    found = written("rows")
    assert found["data"] == {
        "path": "../../rows.npz",
        "strict": False,
        "validation": 0.1,
        "standardize": True,
    }
    assert found["training"] == {
        "epochs": 1,
        "batch_size": 64,
        "optimizer": {"type": "Adam", "learning_rate": 0.003},
        "schedule": {"type": "OneCycle"},
        "seed": 0,
    }
    model = cf.load("runs/rows/model.safetensors")
    assert model.classes == ("0", "1", "2")
    assert model.standardization is not None


def test_plain_signs_where_the_output_has_no_others(folder):
    save_arrays("rows.npz")
    options = ["rows.npz", "--epochs", "9", "--no-pictures"]
    done = python("-m", "closedform", "train", *options, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("12x12 greyscale: a network, 16*3x3 - pool 2 - dense 128 - dense 3\n")


def test_it_learns(folder, capsys):
    save_arrays("rows.npz", train=300)
    code, output, _ = run(capsys, "rows.npz", "--json")
    assert code == 0
    assert json.loads(output)["test_accuracy"] == 1.0


def test_a_folder_of_images(folder, capsys):
    save_images("photos", COUNTS)
    code, output, errors = run(capsys, "photos", "--epochs", 1)
    assert (code, errors) == (0, "")
    assert output.splitlines()[:3] == [
        "12×16 colour: a network, 16·3×3 – pool 2 – dense 128 – dense 3",
        "photos has no part to test on: 12 images of it are held out for that",
        "photos: 44 images to train on, 4 to validate, 12 to test; 99,267 parameters, seed 0",
    ]
    assert written("photos")["data"] == {
        "path": "../../photos",
        "image_size": [12, 16],
        "color_mode": "rgb",
        "strict": False,
        "validation": 0.1,
        "standardize": True,
    }
    assert cf.load("runs/photos/model.safetensors").classes == ("blue", "green", "red")


def test_a_folder_of_images_with_a_part_to_test_on(folder, capsys):
    save_images("photos/train", COUNTS)
    save_images("photos/test", dict.fromkeys(COUNTS, 5), first=100)
    code, output, _ = run(capsys, "photos", "--epochs", 1, "--image-size", 8, "--color-mode", "grayscale")
    assert code == 0
    assert output.splitlines()[:2] == [
        "8×8 greyscale: net digits, 16·3×3 – pool 2 – 32·3×3 – dense 64 – dense 3",
        "photos: 54 images to train on, 6 to validate, 15 to test; 37,827 parameters, seed 0",
    ]


def test_broken_images_are_left_out_and_told(folder, capsys):
    save_images("photos", COUNTS)
    Path("photos/red/005.png").write_bytes(Path("photos/red/005.png").read_bytes()[:200])
    code, output, errors = run(capsys, "photos", "--epochs", 1, "--json")
    assert code == 0
    assert json.loads(output)["test_examples"] == 11
    head, line = errors.splitlines()
    assert head == "closedform: photos: 1 file was left out:"
    assert line.startswith("  red/005.png: ")
    assert json.loads(Path("runs/photos/run.json").read_text())["left_out"] == [line.strip()]


def test_broken_images_are_refused_where_that_is_wanted(folder, capsys):
    save_images("photos", COUNTS)
    Path("photos/red/005.png").write_bytes(Path("photos/red/005.png").read_bytes()[:200])
    code, output, errors = run(capsys, "photos", "--strict")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "005.png" in errors
    assert not Path("runs").exists()


# ---- a run file, and options over it


def test_options_count_more_than_the_run_file(folder, capsys):
    save_arrays("rows.npz")
    Path("run.toml").write_text(
        '[data]\npath = "rows.npz"\nvalidation = 6\n\n[training]\nepochs = 3\nbatch_size = 20\nseed = 5\n'
        'optimizer = { type = "SGD", learning_rate = 0.1, momentum = 0.9 }\n\n'
        '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 3\n'
    )
    options = ["--epochs", 1, "--lr", 0.2, "--augment", "shift=1", "--standardize", "--threads", 1]
    code, output, _ = run(capsys, "run.toml", *options)
    assert code == 0
    assert output.startswith(
        "rows.npz: 54 images to train on, 6 to validate, 30 to test; 435 parameters, seed 5\n"
    )
    found = written("rows")
    assert found["data"] == {
        "path": "../../rows.npz",
        "strict": False,
        "validation": 6,
        "standardize": True,
        "augment": {"shift": 1},
    }
    assert found["training"] == {
        "epochs": 1,
        "batch_size": 20,
        "optimizer": {"type": "SGD", "learning_rate": 0.2, "momentum": 0.9},
        "seed": 5,
        "threads": 1,
    }
    assert found["network"] == {"input_shape": [1, 12, 12], "loss": "SoftmaxCrossEntropy"}


def test_another_optimiser_has_its_own_settings(folder, capsys):
    Path("run.toml").write_text(
        '[data]\npath = "digits"\n\n[training]\nepochs = 1\n'
        'optimizer = { type = "SGD", learning_rate = 0.1, momentum = 0.9 }\n'
    )
    assert run(capsys, "run.toml", "--optimizer", "AdamW")[0] == 0
    assert written("digits")["training"]["optimizer"] == {"type": "AdamW", "learning_rate": 0.003}


def test_what_a_run_file_does_not_say_is_off(folder, capsys):
    save_arrays("rows.npz")
    Path("run.toml").write_text('[data]\npath = "rows.npz"\n\n[training]\nepochs = 1\n')
    code, output, _ = run(capsys, "run.toml")
    assert code == 0
    assert "60 images to train on, 0 to validate" in output
    assert written("rows")["data"] == {
        "path": "../../rows.npz",
        "strict": False,
        "validation": 0,
        "standardize": False,
    }
    assert "schedule" not in written("rows")["training"]


def test_the_data_of_a_run_file_may_be_others(folder, capsys):
    save_arrays("rows.npz")
    Path("deep").mkdir()
    Path("deep/run.toml").write_text('[data]\npath = "none.npz"\n\n[training]\nepochs = 1\n')
    assert run(capsys, "deep/run.toml", "--data", "rows.npz")[0] == 0
    assert written("rows")["data"]["path"] == "../../rows.npz"


def test_a_run_file_in_another_folder_is_repeated_from_there(folder, capsys, monkeypatch):
    save_arrays("rows.npz")
    assert run(capsys, "rows.npz", "--epochs", 1)[0] == 0
    monkeypatch.chdir("runs/rows")
    assert run(capsys, "run.toml", "--out", "again")[0] == 0
    assert Path("again/model.safetensors").read_bytes() == Path("model.safetensors").read_bytes()


def test_early_stopping_brings_the_best_weights_back(folder, capsys):
    Path("run.toml").write_text(
        '[data]\npath = "digits"\nvalidation = 0.1\n\n[training]\nepochs = 30\n'
        'optimizer = { type = "Adam", learning_rate = 0.03 }\nearly_stopping = { patience = 2 }\n'
    )
    code, _, _ = run(capsys, "run.toml")
    assert code == 0
    rows = [line.split(",") for line in Path("runs/digits/history.csv").read_text().splitlines()[1:]]
    losses = [float(row[3]) for row in rows]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 3


def test_files_of_callbacks_lie_in_the_runs_folder(folder, capsys):
    Path("run.toml").write_text(
        '[data]\npath = "digits"\n\n[training]\nepochs = 2\n'
        'callbacks = [{ type = "CSVLogger", filename = "log.csv" }]\n'
    )
    assert run(capsys, "run.toml")[0] == 0
    assert len(Path("runs/digits/log.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (None, None),
        ("balanced", {0: 6 / (3 * 3), 1: 6 / (3 * 2), 2: 6 / (3 * 1)}),
        ({"cat": 2.0, "2": 3}, {0: 2.0, 2: 3.0}),
    ],
)
def test_the_weights_of_classes(given, weights):
    assert class_weights(given, np.array([0, 0, 0, 1, 1, 2]), ("cat", "dog", "owl")) == weights


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("digits", "digits"),
        ("deep/rows.npz", "rows"),
        ("deep/train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
        ("my photos", "my-photos"),
        ("deep/..", "here"),
        ("/", "run"),
    ],
)
def test_what_a_run_is_called(tmp_path, monkeypatch, path, name):
    Path(tmp_path, "here/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert short_name(path) == name


# ---- stopped and gone on with

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
LONG = ["train", "digits", "--epochs", "60", "--out", "mine", "--no-pictures"]


def stopped(name, *arguments):
    """Send a signal to a training that has saved something; its exit code and errors."""
    command = [sys.executable, "-u", "-m", "closedform", *LONG, *arguments]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not list(Path("mine").glob("checkpoint/*.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(name)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@posix
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_an_interruption_is_one_line_and_loses_nothing(folder, capsys, arguments):
    code, errors = stopped(signal.SIGINT, *arguments)
    assert code == 130
    begin, end = "closedform: stopped ", "; go on with: closedform train --resume --out mine --no-pictures\n"
    assert errors.startswith((begin + "after epoch ", begin + "in epoch "))
    assert errors.endswith(end)
    assert errors.count("\n") == 1
    assert main(["train", "--resume", "--out", "mine", "--no-pictures"]) == 0
    assert main([*LONG[:-3], "--out", "whole", "--no-pictures"]) == 0
    for name in ("model.safetensors", "history.csv"):
        assert Path("mine", name).read_bytes() == Path("whole", name).read_bytes()


@posix
def test_a_training_that_was_killed_goes_on(folder, capsys):
    assert stopped(signal.SIGKILL)[0] == -signal.SIGKILL
    assert not Path("mine/model.safetensors").exists()
    assert main([*LONG, "--resume"]) == 0
    assert main([*LONG[:-3], "--out", "whole", "--no-pictures"]) == 0
    assert Path("mine/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_an_interruption_while_pictures_are_drawn_loses_no_model(folder, capsys, monkeypatch):
    pytest.importorskip("matplotlib", reason="install closedform[plots] to draw")
    from closedform.runs import pictures

    drawn = []

    def interrupting(run):
        drawn.append(run)
        os.kill(os.getpid(), signal.SIGINT)
        return "interrupted"

    monkeypatch.setattr(pictures, "_PICTURES", [("filters", "Filters", interrupting)] * 2)
    assert main(["train", "digits", "--epochs", "1", "--out", "a b"]) == 130
    assert capsys.readouterr().err == (
        f"closedform: stopped while its pictures were drawn; the model is in "
        f"{Path('a b/model.safetensors')}; draw them with: closedform report 'a b'\n"
    )
    assert len(drawn) == 1
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert main(["report", "a b"]) == 0
    assert capsys.readouterr() == (f"its pictures are in {Path('a b/report.html')}\n", "")


def test_early_stopping_is_told(folder, capsys):
    Path("run.toml").write_text(
        '[data]\npath = "digits"\nvalidation = 0.1\n[training]\nepochs = 9\n'
        "early_stopping = { patience = 1, min_delta = 100.0 }\n"
    )
    code, output, errors = run(capsys, "run.toml", "--no-pictures", "--out", "told")
    assert (code, errors) == (0, "")
    assert output.splitlines()[-3:-1] == [
        "epoch 2: stopped early",
        "the parameters of the best epoch, 1, are restored",
    ]
    code, output, errors = run(capsys, "run.toml", "--no-pictures", "--out", "quiet", "--json")
    assert (code, errors) == (0, "")
    assert len(output.splitlines()) == 1


def test_a_training_that_learned_nothing_says_so(folder, capsys):
    code, _, errors = run(capsys, "digits", "--optimizer", "SGD", "--lr", 100, "--epochs", 2, "--no-pictures")
    assert code == 0
    assert errors == (
        "closedform: it has learned nothing, guessing is as good: try another learning rate, with --lr, or "
        "more epochs\n"
    )


def test_the_folder_of_a_run_is_no_data(folder, capsys):
    assert run(capsys, "digits", "--epochs", 1, "--out", "mine", "--no-pictures")[0] == 0
    for arguments in (["mine"], ["--data", "mine"]):
        assert run(capsys, *arguments) == (
            1,
            "",
            f"closedform: mine: is the folder of a run: go on with it with closedform train --resume --out "
            f"mine, or repeat it with closedform train {Path('mine/run.toml')}\n",
        )


def test_where_nothing_was_saved_nothing_is_left(folder, capsys, monkeypatch):
    def interrupted(*arguments, **words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cf.Network, "fit", interrupted)
    code, _, errors = run(capsys, "digits")
    assert (code, errors) == (130, "closedform: stopped; nothing was saved\n")
    assert list(Path("runs").iterdir()) == []


def test_an_interruption_before_anything_began(folder, capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("closedform.data.digits.load_digits", interrupted)
    assert run(capsys, "digits") == (130, "", "closedform: stopped\n")


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (0, ""),
        (
            3,
            "closedform: stopped, nobody reads what it prints; go on with: closedform train --resume --out "
            "mine --no-pictures\n",
        ),
    ],
)
def test_what_nobody_reads_any_more_stops_a_training(folder, capsys, monkeypatch, lines, end):
    from closedform.training.progress import Table

    written, write = [], Table.write

    def closed(table, line):
        if len(written) == lines:
            raise BrokenPipeError
        written.append(line)
        write(table, line)

    monkeypatch.setattr(Table, "write", closed)
    code, _, errors = run(capsys, "digits", "--out", "mine")
    assert (code, errors) == (1, end)


def test_a_folder_of_an_odd_name_is_quoted(folder, capsys, monkeypatch):
    from closedform.training.interrupts import Interrupted

    def interrupted(network, *arguments, checkpoint, **words):
        checkpoint.mkdir()
        place = checkpoint / "000001.safetensors"
        place.touch()
        raise Interrupted(3, 120, 422, place)

    monkeypatch.setattr(cf.Network, "fit", interrupted)
    code, _, errors = run(capsys, "digits", "--out", "my run")
    assert code == 130
    assert errors == (
        "closedform: stopped in epoch 4, after step 120 of 422; go on with: closedform train --resume "
        "--out 'my run' --no-pictures\n"
    )


def test_a_training_that_diverged_keeps_its_last_checkpoint(folder, capsys):
    Path("run.toml").write_text(
        '[data]\npath = "digits"\n\n[training]\nepochs = 30\n'
        'optimizer = { type = "SGD", learning_rate = 0.1 }\n'
        'schedule = { type = "WarmUp", epochs = 2, '
        'then = { type = "StepDecay", factor = 1e30, epochs = 1 } }\n'
    )
    code, _, errors = run(capsys, "run.toml")
    assert code == 1
    assert "the training has diverged" in errors
    assert not Path("runs/digits/model.safetensors").exists()
    assert list(Path("runs/digits/checkpoint").iterdir()) != []


def test_a_number_of_steps_ends_in_the_middle_of_an_epoch(folder, capsys):
    """60 images less those held back make batches of 16; the eighth step is the last."""
    save_images(folder / "photos", COUNTS)
    layers = '[[layer]]\ntype = "Flatten"\n[[layer]]\ntype = "Dense"\nout_features = 3\n'
    text = '[data]\npath = "photos"\n[training]\nsteps = 8\nbatch_size = 16\n'
    Path("few.toml").write_text(text + layers, encoding="utf-8")
    assert run(capsys, "few.toml", "--out", "few")[0] == 0
    found = json.loads(Path("few/run.json").read_text(encoding="utf-8"))
    per_epoch = -(-(60 - found["test_examples"]) // 16)
    assert found["epochs_trained"] == -(-8 // per_epoch)
    assert tomllib.loads(Path("few/run.toml").read_text(encoding="utf-8"))["training"]["steps"] == 8
    assert run(capsys, "few/run.toml", "--out", "again")[0] == 0
    assert Path("few/model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()


def test_saving_every_epoch_needs_nothing_to_be_validated(folder, capsys):
    text = """[data]
path = "digits"
[training]
epochs = 2
callbacks = [{ type = "ModelCheckpoint", filepath = "after-{epoch}.safetensors" }]
[[layer]]
type = "Flatten"
[[layer]]
type = "Dense"
out_features = 10
"""
    Path("each.toml").write_text(text, encoding="utf-8")
    assert run(capsys, "each.toml", "--out", "each")[0] == 0
    assert sorted(path.name for path in Path("each").glob("after-*")) == [
        "after-1.safetensors",
        "after-2.safetensors",
    ]
