"""``closedform report``: the pictures and the page of a run that is finished."""

import json
from pathlib import Path

import pytest
from run_data import save_arrays

from closedform.cli import main
from closedform.runs.folder import PICTURES

LAYERS = '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 10\n'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The folder of a run without pictures."""
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(LAYERS)
    arguments = ["--net", "small.toml", "--epochs", "2", "--out", "mine", "--no-pictures"]
    assert main(["train", "digits", *arguments]) == 0
    capsys.readouterr()
    return Path("mine")


def pages(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".html")}


def test_they_are_those_that_train_draws(run, capsys):
    pytest.importorskip("matplotlib", reason="install closedform[plots] to draw")
    assert main(["report", "mine"]) == 0
    assert capsys.readouterr() == (f"its pictures are in {run / 'report.html'}\n", "")
    found = pages(run)
    assert set(found) <= {*PICTURES, "report.html"}
    assert {"report.html", "learning_curves.png", "confusion_matrix.png"} <= set(found)

    before = json.loads((run / "run.json").read_text())
    same = ["--net", "small.toml", "--epochs", "2"]
    assert main(["train", "digits", *same, "--out", "other"]) == 0
    place = Path("other/run.json")
    after = json.loads(place.read_text())
    times = {word: before[word] for word in ("seconds", "epoch_seconds")}
    place.write_text(json.dumps({**after, **times}))
    assert main(["report", "other"]) == 0  # train's own, but for the times
    theirs = pages(Path("other"))
    assert {name: theirs[name] for name in theirs if name.endswith("png")} == {
        name: found[name] for name in found if name.endswith("png")
    }
    assert theirs["report.html"].replace(b"other", b"mine") == found["report.html"]


def test_a_run_that_is_not_finished(run, capsys):
    (run / "run.json").unlink()
    assert main(["report", "mine"]) == 1
    assert capsys.readouterr() == (
        "",
        "closedform: mine: holds a run that is not finished: go on with it with closedform train --resume "
        "--out mine\n",
    )
    assert not pages(run)


@pytest.mark.parametrize("place", [".", "small.toml", "nowhere"])
def test_what_is_no_run(run, capsys, place):
    assert main(["report", place]) == 1
    assert capsys.readouterr().err == (
        f"closedform: {place}: holds no run: name the folder of one, as in runs/digits\n"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"history": None},
        {"history": {"loss": ["high"]}},
        {"history": [1.0]},
        {"epoch_seconds": 3},
        {"seconds": "long"},
        {"versions": ["3.11"]},
    ],
    ids=str,
)
def test_damaged_results(run, capsys, change):
    place = run / "run.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **change}))
    assert main(["report", "mine"]) == 1
    assert capsys.readouterr().err == (
        f"closedform: {place}: is damaged: delete it, and --resume makes it anew\n"
    )


def test_without_matplotlib_the_page_is_there_without_pictures(run, capsys, monkeypatch):
    monkeypatch.setattr("closedform.runs.showing.can_draw", lambda: False)
    assert main(["report", "mine"]) == 0
    assert capsys.readouterr().out == (
        f"{run / 'report.html'} has no pictures: pip install 'closedform[plots]', and draw them with "
        f"closedform report mine\n"
    )
    assert set(pages(run)) == {"report.html"}


def test_the_default_network_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", "--epochs", "1", "--out", "mine", "--no-pictures"]) == 0
    assert main(["report", "mine"]) == 0
    page = Path("mine/report.html").read_text(encoding="utf-8")
    assert "The default for 8×8 greyscale images, net digits" in page


def test_data_that_have_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_arrays("rows.npz")
    assert main(["train", "rows.npz", "--epochs", "1", "--out", "mine", "--no-pictures"]) == 0
    save_arrays("rows.npz", test=27)
    capsys.readouterr()
    assert main(["report", "mine"]) == 1
    assert capsys.readouterr().err == (
        "closedform: mine: rows.npz is not what the run was tested on, it has 27 images to test on, and the "
        "classes 0, 1, 2: put back what was there, or name the run's own data with --data PATH\n"
    )
