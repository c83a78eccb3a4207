"""The command: what it prints, where it writes, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import environment, python

import closedform as cf
from closedform.cli import main

SMALL = '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 10\n'
SIZED = "[network]\ninput_shape = [1, 8, 8]\n\n" + SMALL


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL)
    Path("sized.toml").write_text(SIZED)
    return tmp_path


def run(capsys, *arguments):
    """The command's exit code, its output and its errors."""
    code = main([str(argument) for argument in arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


def train(capsys, *arguments):
    small = ("--net", "small.toml", "--epochs", 1, "--no-pictures")
    return run(capsys, "train", "digits", *small, *arguments)


# ---- training


def test_the_packaged_network_is_trained_and_reported_on_one_line(folder, capsys):
    settings = ["--epochs", 1, "--batch-size", 32, "--lr", "0.001", "--seed", 0]
    code, output, errors = run(capsys, "train", "digits", *settings, "--no-pictures", "--json")
    assert (code, errors, output.count("\n")) == (0, "", 1)
    report = json.loads(output)
    seconds, accuracy, loss = (report.pop(key) for key in ("seconds", "test_accuracy", "test_loss"))
    net = cf.load("runs/digits/model.safetensors")
    assert report == {
        "data": "digits",
        "test_examples": 360,
        "epochs": 1,
        "batch_size": 32,
        "learning_rate": 0.001,
        "seed": 0,
        "parameters": sum(array.size for array in net.parameters.values()),
        "model": str(Path("runs/digits/model.safetensors")),
    }
    assert seconds > 0
    digits = cf.load_digits()
    assert net.evaluate(digits.x_test, digits.y_test) == {"accuracy": accuracy, "loss": loss}
    assert accuracy > 0.8


def test_plain_lines_where_there_is_no_terminal(folder, capsys):
    code, output, errors = train(capsys, "--epochs", 2)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[:3] == [
        "digits: 1294 images to train on, 143 to validate, 360 to test; 650 parameters, seed 0",
        "epoch  train loss  train accuracy  valid loss  valid accuracy  seconds",
        "-----  ----------  --------------  ----------  --------------  -------",
    ]
    for epoch, line in enumerate(lines[3:5], 1):
        assert re.fullmatch(rf"    {epoch}( +\d\.\d{{4}}){{4}} +\d+\.\d\d", line)
        assert len(line) == len(lines[1])
    model = re.escape(str(Path("runs/digits/model.safetensors")))
    assert re.fullmatch(
        rf"test accuracy \d\d\.\d\d% \(\d+ of 360\), in \d+\.\d s; the model is in {model}", lines[5]
    )
    assert len(lines) == 6
    assert "\x1b" not in output


def test_every_run_has_a_fresh_folder(folder, capsys):
    for name in ("digits", "digits-2", "digits-3"):
        code, output, _ = train(capsys)
        assert code == 0
        assert Path("runs", name, "model.safetensors").is_file()
        assert str(Path("runs", name)) in output
    assert sorted(path.name for path in Path("runs").iterdir()) == ["digits", "digits-2", "digits-3"]


def test_out_names_the_folder_and_never_loses_a_model(folder, capsys):
    assert train(capsys, "--out", "mine/first")[0] == 0
    before = Path("mine/first/model.safetensors").read_bytes()
    code, output, errors = train(capsys, "--out", "mine/first", "--seed", 1)
    assert (code, output) == (1, "")
    assert errors == (
        f"closedform: {Path('mine/first')}: already holds a run: go on with it with --resume, replace it "
        f"with --overwrite, or name another folder with --out\n"
    )
    assert Path("mine/first/model.safetensors").read_bytes() == before
    assert not Path("runs").exists()


def test_the_seed_decides_every_bit(folder, capsys):
    def model(name, seed):
        assert train(capsys, "--out", name, "--seed", seed)[0] == 0
        parameters = cf.load(Path(name, "model.safetensors")).parameters
        return [array.tobytes() for array in parameters.values()]

    assert model("a", 5) == model("b", 5) != model("c", 6)


def test_settings_reach_the_training(folder, capsys):
    code, output, _ = train(capsys, "--json", "--batch-size", 5000, "--lr", "0.5", "--seed", 2**64 - 1)
    report = json.loads(output)
    assert (code, report["batch_size"], report["learning_rate"], report["seed"]) == (0, 5000, 0.5, 2**64 - 1)
    net = cf.load(report["model"])
    fresh = cf.Network.from_architecture(net.architecture, net.seed)
    # one update of Adam moves every weight whose gradient is not 0 by the learning rate
    moved = np.abs(net.parameters["1.weight"] - fresh.parameters["1.weight"])
    assert np.median(moved) == pytest.approx(0.5, rel=1e-3)


def test_a_training_that_fails_leaves_no_folder(folder, capsys):
    code, _, errors = train(capsys, "--lr", "1e38")
    assert code == 1
    assert errors.startswith(
        "closedform: the loss is nan after 1 update, in epoch 1, first in 1.weight: the training has "
        "diverged; "
    )
    assert list(Path("runs").iterdir()) == []


# ---- the summary


def test_summary(folder, capsys):
    code, output, errors = run(capsys, "summary", "sized.toml")
    assert (code, errors) == (0, "")
    assert (
        output
        == """\
layer      output     parameters  arithmetic
─────────  ─────────  ──────────  ──────────
input      (1, 8, 8)
0 Flatten  (64,)               0  1·8·8 = 64
1 Dense    (10,)             650  64·10 + 10 = 650
650 parameters
"""
    )


def test_summary_where_the_output_has_no_signs_of_mathematics(folder):
    done = python("-m", "closedform", "summary", "sized.toml", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2] == "1 Dense    (10,)             650  64*10 + 10 = 650"


# ---- a process of its own


def test_help_and_version(folder):
    for arguments, beginning in [
        (["--version"], f"closedform {cf.__version__}\n"),
        (["--help"], "usage: closedform [-h] [--version] COMMAND ...\n"),
        (["train", "--help"], "usage: closedform train [-h] "),
        (
            ["summary", "--help"],
            "usage: closedform summary [-h] [--plan] [--batch N] [--threads N] NET\n",
        ),
    ]:
        done = python("-m", "closedform", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(beginning)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command",
    ["summary sized.toml", "train digits --net small.toml --epochs 1000 --no-pictures", "--help"],
)
def test_a_reader_that_leaves_is_no_failure_to_talk_about(folder, command, unbuffered):
    done = subprocess.run(
        f"{sys.executable} -m closedform {command} | head -n 1; echo ${{PIPESTATUS[0]}} >&2",
        shell=True,
        executable="/bin/bash",
        env=environment(PYTHONUNBUFFERED=unbuffered),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.count("\n") == 1
    # something was saved where the reader took its time; 0 where all was written before it left
    assert re.fullmatch(r"(closedform: stopped, nobody reads what it prints; .+\n)?[01]\n", done.stderr)
    assert all(list(run.glob("checkpoint/*")) for run in Path("runs").glob("*"))  # no folder for nothing


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_is_full(folder, unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "closedform", "summary", "sized.toml"],
            env=environment(PYTHONUNBUFFERED=unbuffered),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "closedform: No space left on device\n")


def test_no_output_at_all(folder):
    call = "from closedform.cli import main; sys.exit(main(['summary', 'sized.toml']))"
    done = python("-c", f"import sys; sys.stdout = None; {call}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_of_the_librarys_own_is_one_line_too(folder, capsys, monkeypatch):
    def broken(architecture):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("closedform.summary.summary", broken)
    assert run(capsys, "summary", "sized.toml") == (
        1,
        "",
        "closedform: a mistake of closedform's own, please report it: ZeroDivisionError: division by zero\n",
    )


def test_too_little_memory_is_said(folder, capsys, monkeypatch):
    def greedy(architecture):
        raise MemoryError

    monkeypatch.setattr("closedform.summary.summary", greedy)
    assert run(capsys, "summary", "sized.toml") == (
        1,
        "",
        "closedform: there is not enough memory: make the network or the batch smaller\n",
    )


# ---- a terminal


def on_a_terminal(arguments, **changes):
    """What the command writes to a terminal of 100 columns, and its exit code."""
    import fcntl
    import pty
    import struct
    import termios

    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-m", "closedform", *arguments]
    process = subprocess.Popen(
        command, env=environment(TERM="xterm", **changes), stdin=far, stdout=far, stderr=far
    )
    os.close(far)
    written = b""
    while True:
        try:
            data = os.read(near, 65536)
        except OSError:  # Linux's way of saying that the far end is closed
            break
        if not data:
            break
        written += data
    os.close(near)
    return process.wait(timeout=60), written.decode()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_a_terminal_gets_a_bar_and_the_same_table(folder):
    code, written = on_a_terminal(
        ["train", "digits", "--net", "small.toml", "--epochs", "3", "--no-pictures"]
    )
    assert code == 0
    assert "epoch 1/3" in written
    assert "epoch 3/3" in written
    assert "━" in written
    assert "\x1b[?25l" in written  # the cursor is hidden and comes back
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    assert "epoch  train loss  train accuracy  valid loss  valid accuracy  seconds" in plain
    rows = re.findall(
        r"^ +([123]) +\d\.\d{4} +\d\.\d{4} +\d\.\d{4} +\d\.\d{4} +\d+\.\d\d *$", plain, re.MULTILINE
    )
    assert rows == ["1", "2", "3"]
    assert plain.rstrip().endswith(f"the model is in {Path('runs/digits/model.safetensors')}")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_a_narrow_terminal_gets_a_narrow_table(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    code, written = on_a_terminal(
        ["train", "digits", "--net", "small.toml", "--epochs", "1", "--no-pictures"]
    )
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    lines = [
        line.rstrip() for line in plain.splitlines() if line.lstrip().startswith(("epoch  ", "-----", "1  "))
    ]
    assert lines[0] == "epoch      loss  accuracy  val_loss  val_accuracy  seconds"
    assert lines[1] == "-----  --------  --------  --------  ------------  -------"
    figure = r"\d\.\d{4}"
    assert re.fullmatch(rf"    1    {figure}    {figure}    {figure}        {figure}     \d\.\d\d", lines[2])


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_json_is_one_line_on_a_terminal_too(folder):
    code, written = on_a_terminal(
        ["train", "digits", "--net", "small.toml", "--epochs", "1", "--no-pictures", "--json"]
    )
    assert code == 0
    assert json.loads(written)["epochs"] == 1
    assert written.count("\n") == 1


def test_summary_of_a_model_is_that_of_its_network(folder, capsys):
    net = cf.Network.from_toml("sized.toml")
    net.save("model.safetensors")
    assert main(["summary", "sized.toml"]) == 0
    expected = capsys.readouterr()
    assert main(["summary", "model.safetensors"]) == 0
    assert capsys.readouterr() == expected


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_an_interrupt_while_python_imports_leaves_no_traceback():
    program = """
import os, signal, sys, importlib.abc
class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from closedform.cli import main
sys.exit(main(["--version"]))
"""
    done = python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_of_a_run_the_network_is_summarised(folder, capsys):
    _, expected, _ = run(capsys, "summary", "sized.toml")
    text = Path("sized.toml").read_text()
    Path("mine").mkdir()
    Path("mine/run.toml").write_text(text)
    assert run(capsys, "summary", "mine") == (0, expected, "")
