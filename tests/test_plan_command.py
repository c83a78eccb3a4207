"""``closedform summary --plan``: the compiled engine's plan, before anything runs."""

from pathlib import Path

import pytest
from processes import python

from closedform.cli import main

LENET = """\
[network]
input_shape = [1, 28, 28]
loss = "SoftmaxCrossEntropy"

[[layer]]
type = "Conv2d"
out_channels = 6
kernel_size = 5
padding = 2

[[layer]]
type = "MaxPool2d"
kernel_size = 2

[[layer]]
type = "Flatten"

[[layer]]
type = "Dense"
out_features = 10
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.toml").write_text(LENET)
    return tmp_path


def run(capsys, *arguments):
    """The command's exit code, its output and its errors."""
    code = main([str(argument) for argument in arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


def test_the_plan_follows_the_summary(folder, capsys):
    pytest.importorskip("llvmlite")
    code, summary, _ = run(capsys, "summary", "net.toml")
    assert code == 0
    code, output, errors = run(capsys, "summary", "net.toml", "--plan", "--batch", 40, "--threads", 3)
    assert (code, errors) == (0, "")
    assert output.startswith(f"{summary}\nPlan of a training step at batch 40, ")
    plan = output[len(summary) :]
    assert max(map(len, plan.splitlines())) <= 100
    assert " 235,200\n" in plan  # 2 · 6 · 25 · 784, of the convolution
    assert " 23,520\n" in plan  # 2 · 1176 · 10, of the dense layer
    assert ", 3 threads\nMemory: " in plan


def test_the_batch_is_32_and_the_threads_are_the_engines_where_none_are_named(folder, capsys, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_THREADS", "5")
    code, output, _ = run(capsys, "summary", "net.toml", "--plan")
    assert code == 0
    assert "Plan of a training step at batch 32, " in output
    assert ", 5 threads\nMemory: " in output


def test_a_process_whose_output_is_no_terminal_prints_plain_text(folder):
    done = python("-m", "closedform", "summary", "net.toml", "--plan", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "?" not in done.stdout
    assert done.stdout.isascii()


def test_without_llvmlite_the_plan_is_that_of_a_common_processor(folder):
    hidden = "import sys; sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None"
    finder = "import closedform.engine.plan_table as table; table.find_spec = lambda name: None"
    call = "from closedform.cli import main; sys.exit(main(['summary', 'net.toml', '--plan']))"
    done = python("-c", f"{hidden}; {finder}; {call}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "batch 32, AVX2 (assumed: llvmlite is not installed): 8 lanes, 16 registers\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--batch 8", "--batch and --threads are settings of the plan: add --plan"),
        ("--threads 1", "--batch and --threads are settings of the plan: add --plan"),
        ("--plan --batch 0", "argument --batch: must be a whole number from 1 to 16777215, got '0'"),
        ("--plan --threads x", "argument --threads: must be a whole number from 1 to 4095, got 'x'"),
    ],
)
def test_wrong_usage(folder, capsys, arguments, message):
    code, output, errors = run(capsys, "summary", "net.toml", *arguments.split())
    assert (code, output) == (2, "")
    assert errors.splitlines()[-1] == f"closedform summary: {message}"


def test_wrong_threads_in_the_environment(folder, capsys, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_THREADS", "many")
    assert run(capsys, "summary", "net.toml", "--plan") == (
        1,
        "",
        "closedform: CLOSEDFORM_THREADS must be a whole number from 1, got 'many'\n",
    )
