"""``closedform init``: a run file with comments that trains as it stands."""

import tomllib
from pathlib import Path

import pytest
from run_data import save_arrays, save_images

from closedform.cli import main
from closedform.runs.run_file import RunFile
from closedform.runs.settings import TABLES


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_trains_on_the_packaged_digits(folder, capsys):
    assert main(["init"]) == 0
    assert capsys.readouterr() == (
        "run.toml is written: read it, change it, then: closedform train run.toml\n",
        "",
    )
    assert main(["train", "run.toml", "--epochs", "2", "--no-pictures"]) == 0
    assert capsys.readouterr().out.startswith(
        "digits: 1294 images to train on, 143 to validate, 360 to test; "
    )


def test_the_example_shows_every_setting(folder, capsys):
    assert main(["init", "mine.toml"]) == 0
    text = Path("mine.toml").read_text(encoding="utf-8")
    assert "closedform train mine.toml" in text
    for table in TABLES.values():
        missing = [key for key in table if f"{key} = " not in text]
        assert set(missing) <= {"engine", "callbacks"}


def test_every_line_behind_a_sign_can_be_put_in(folder, capsys):
    assert main(["init"]) == 0
    lines = Path("run.toml").read_text(encoding="utf-8").splitlines()
    seen = set()
    for place, line in enumerate(lines):
        key = line.removeprefix("# ").split(" = ")[0]
        if not line.startswith("# ") or key not in {**TABLES["data"], **TABLES["training"]}:
            continue
        others = [other for other in lines if not other.startswith(f"{key} = ")]
        others.insert(others.index(line) if line in others else place, line.removeprefix("# "))
        Path("run.toml").write_text("\n".join(others), encoding="utf-8")
        RunFile.read("run.toml")
        seen.add(key)
    assert seen == {
        "image_size", "color_mode", "standardize", "augment", "strict", "optimizer", "early_stopping",
        "class_weight", "label_smoothing", "clip_norm", "checkpoint_seconds",
    }  # fmt: skip


def test_a_file_for_data_of_ones_own(folder, capsys):
    save_images("photos", {"blue": 20, "green": 20})
    Path("deep").mkdir()
    assert main(["init", "deep/run.toml", "--data", "photos"]) == 0
    values = tomllib.loads(Path("deep/run.toml").read_text(encoding="utf-8"))
    assert values["data"] == {
        "path": "../photos",
        "image_size": [12, 16],
        "color_mode": "rgb",
        "validation": 0.1,
        "standardize": True,
    }
    assert values["training"] == {
        "epochs": 40,
        "batch_size": 64,
        "optimizer": {"type": "Adam", "learning_rate": 0.003},
        "schedule": {"type": "OneCycle"},
        "seed": 0,
    }
    assert values["network"] == {"input_shape": [3, 12, 16], "loss": "SoftmaxCrossEntropy"}
    assert values["layer"][-1] == {"type": "Dense", "out_features": 2}
    assert main(["train", "deep/run.toml", "--epochs", "1", "--no-pictures"]) == 0


def test_arrays_have_a_size_of_their_own(folder, capsys):
    save_arrays("rows.npz")
    assert main(["init", "--data", "rows.npz"]) == 0
    values = tomllib.loads(Path("run.toml").read_text(encoding="utf-8"))
    assert values["data"] == {"path": "rows.npz", "validation": 0.1, "standardize": True}


def test_nothing_is_written_over(folder, capsys):
    Path("run.toml").write_text("mine")
    assert main(["init"]) == 1
    assert capsys.readouterr() == (
        "",
        "closedform: run.toml: is there already: name another file, or write over it with --force\n",
    )
    assert Path("run.toml").read_text() == "mine"
    assert main(["init", "--force"]) == 0
    assert Path("run.toml").read_text(encoding="utf-8").startswith("# A run file")


def test_the_name_must_be_a_run_files(folder, capsys):
    assert main(["init", "mine"]) == 1
    assert capsys.readouterr().err == "closedform: mine: a run file's name ends in .toml, as in mine.toml\n"
    assert main(["init", "none/run.toml"]) == 1
    place = Path("none/run.toml")
    assert capsys.readouterr().err == (
        f"closedform: {place}: cannot be written: there is no folder none: make it first\n"
    )
