"""Wrong command lines: exit code 2 for wrong usage, 1 for a failure, one sentence, never a traceback."""

from pathlib import Path

import pytest
from processes import ordinary_user, python

from closedform.cli import main
from closedform.data.digits import load_digits

LAYERS = '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 10\n'
FILES = {
    "small.toml": LAYERS,
    "key.toml": LAYERS + "out_feature = 3\n",
    "eleven.toml": LAYERS.replace("10", "11"),
    "shape.toml": "[network]\ninput_shape = [1, 28, 28]\n" + LAYERS,
    "loss.toml": '[network]\nloss = "MeanSquaredError"\n' + LAYERS,
    "misfit.toml": LAYERS.replace("Flatten", "ReLU"),
    "huge.toml": LAYERS.replace("10", "1000000000000\n\n[[layer]]\ntype = 'Dense'\nout_features = 10"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    return tmp_path


USAGE = [
    ("", "closedform: the following arguments are required: COMMAND"),
    ("trian digits", "closedform: argument COMMAND: 'trian' is unknown; did you mean train?"),
    (
        "frobnicate",
        "closedform: argument COMMAND: 'frobnicate' is unknown; "
        "known are train, evaluate, predict, report, init, summary, bench, explain, check",
    ),
    ("train", "closedform train: what to train on is missing: digits, RUN.toml, or --data PATH"),
    (
        "train --resume",
        "closedform train: what to train on is missing: digits, RUN.toml, or --data PATH",
    ),
    (
        "train digits --data mnist",
        "closedform train: data are named twice, digits and mnist: leave one out",
    ),
    (
        "train digits --overwrite",
        "closedform train: --overwrite needs --out: without it every run has a fresh folder",
    ),
    (
        "train digits --out x --resume --overwrite",
        "closedform train: argument --overwrite: not allowed with argument --resume",
    ),
    (
        "train digits --epochs 0",
        "closedform train: argument --epochs: must be a whole number from 1 to 4294967295, got '0'",
    ),
    (
        "train digits --epochs 2.5",
        "closedform train: argument --epochs: must be a whole number from 1 to 4294967295, got '2.5'",
    ),
    (
        "train digits --batch-size none",
        "closedform train: argument --batch-size: must be a whole number from 1 to 4294967295, got 'none'",
    ),
    ("train digits --lr 0", "closedform train: argument --lr: must be a number above 0, got '0'"),
    ("train digits --lr -1", "closedform train: argument --lr: must be a number above 0, got '-1'"),
    ("train digits --lr nan", "closedform train: argument --lr: must be a number above 0, got 'nan'"),
    ("train digits --lr 1e999", "closedform train: argument --lr: must be a number above 0, got '1e999'"),
    (
        "train digits --seed -1",
        "closedform train: argument --seed: must be a whole number from 0 to 18446744073709551615, got '-1'",
    ),
    (
        "train digits --seed 18446744073709551616",
        "closedform train: argument --seed: must be a whole number from 0 to 18446744073709551615, "
        "got '18446744073709551616'",
    ),
    ("train digits --net", "closedform train: argument --net: expected one argument"),
    ("train digits --net=", "closedform train: argument --net: must name a file or folder, got ''"),
    ("train digits --epoch 3", "closedform train: unknown option --epoch; did you mean --epochs?"),
    ("train digits more", "closedform train: unexpected: more"),
    (
        "train digits --engine fast",
        "closedform train: argument --engine: 'fast' is unknown; known are compiled, reference",
    ),
    (
        "train digits --augment flop",
        "closedform train: argument --augment: unknown key 'flop'; did you mean flip?",
    ),
    ("evaluate", "closedform evaluate: the following arguments are required: MODEL"),
    ("predict model", "closedform predict: the following arguments are required: INPUT"),
    (
        "predict model x --format yaml",
        "closedform predict: argument --format: 'yaml' is unknown; known are table, json, csv",
    ),
    ("train digits --json=yes", "closedform train: argument --json: ignored explicit argument 'yes'"),
    ("summary", "closedform summary: the following arguments are required: NET"),
]


@pytest.mark.parametrize(("line", "message"), USAGE)
def test_wrong_usage(folder, capsys, line, message):
    assert main(line.split()) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("usage: closedform ")
    assert errors.splitlines()[-1] == message
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


FAILURES = [
    ("summary none.toml", "none.toml: cannot be read: No such file or directory"),
    ("summary .", ".: holds no run: name a network file, a model, or the folder of a run"),
    ("summary small.toml", "small.toml: [network] needs input_shape, as in input_shape = [1, 28, 28]"),
    ("train digits --net none.toml", "none.toml: cannot be read: No such file or directory"),
    (
        "train digits --net key.toml",
        "key.toml: layer 1 (Dense): unknown key 'out_feature'; did you mean out_features?",
    ),
    (
        "train digits --net eleven.toml",
        "eleven.toml: the network gives 11 numbers for each image, digits has 10 classes: end it with a "
        "Dense layer of out_features = 10",
    ),
    (
        "train digits --net shape.toml",
        "shape.toml: the network takes images (1, 28, 28), those of digits are (1, 8, 8): leave input_shape "
        "out",
    ),
    (
        "train digits --net loss.toml",
        'loss.toml: loss = "MeanSquaredError" tells no classes apart: write loss = "SoftmaxCrossEntropy"',
    ),
    (
        "train digits --net misfit.toml",
        "misfit.toml: layer 1 (Dense): expects rows of features, got (1, 8, 8) for each example: "
        "put Flatten() before it (x is (1, 8, 8), from layer 0 (ReLU))",
    ),
    (
        "train digits --net huge.toml",
        "huge.toml: the network's 75,000,000,000,010 parameters need 300,000.0 GB, "
        "more memory than there is: make its layers smaller",
    ),
    ("train digit", "digit: there is no such file or folder; did you mean digits?"),
    ("train mnist", "mnist: there is no such file or folder"),
    ("train small.toml", 'small.toml: says no data: add [data] with path = "..." to it, or pass --data PATH'),
    ("train none.toml", "none.toml: cannot be read: No such file or directory"),
    ("train digits --out small.toml", "small.toml: is no folder: name another folder with --out"),
    (
        "train digits --out small.toml/runs",
        f"{Path('small.toml/runs')}: cannot be made: Not a directory; name another folder with --out",
    ),
]


@pytest.mark.parametrize(("line", "message"), FAILURES)
def test_failure(folder, capsys, line, message):
    assert main(line.split()) == 1
    assert capsys.readouterr() == ("", f"closedform: {message}\n")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_figures_are_not_written_over_the_network(folder, capsys):
    assert main(["bench", "shape.toml", "--json", "shape.toml"]) == 1
    message = "shape.toml: --json is the file that is read: name another"
    assert capsys.readouterr() == ("", f"closedform: {message}\n")
    assert Path("shape.toml").read_text() == FILES["shape.toml"]


def test_runs_is_a_file(folder, capsys):
    Path("runs").write_text("mine")
    assert main(["train", "digits", "--net", "small.toml"]) == 1
    place = Path("runs/digits")
    assert capsys.readouterr().err == (
        f"closedform: {place}: cannot be made: Not a directory; name another folder with --out\n"
    )
    assert Path("runs").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], f"{Path('runs/digits')}: cannot be made: Permission denied"),
        (["--out", "new"], "new: cannot be made: Permission denied"),
        (["--out", "."], ".: cannot be written: Permission denied"),
    ],
)
def test_a_folder_without_permission(folder, capsys, monkeypatch, arguments, message):
    folder.chmod(0o555)
    digits = load_digits()  # the packaged file may lie where only the superuser reads
    monkeypatch.setattr("closedform.data.digits.load_digits", lambda: digits)
    with ordinary_user():
        assert main(["train", "digits", "--net", "small.toml", *arguments]) == 1
    assert capsys.readouterr() == ("", f"closedform: {message}; name another folder with --out\n")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("train digits --epochs 0", 2, dict(USAGE)["train digits --epochs 0"]),
        ("summary none.toml", 1, f"closedform: {FAILURES[0][1]}"),
        ("train digits --net key.toml --json", 1, f"closedform: {FAILURES[4][1]}"),
    ],
)
def test_a_process_ends_in_the_same_way(folder, line, code, message):
    done = python("-m", "closedform", *line.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1] == message
    assert "Traceback" not in done.stderr
