"""The folder of a run: what is left there, what goes on there, and what is never lost there."""

import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import closedform as cf
from closedform.cli import main
from closedform.runs.folder import PICTURES, RunFolder

LAYERS = '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 10\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(LAYERS)
    return tmp_path


def train(capsys, *arguments, pictures=False):
    """The command's exit code, its output and its errors."""
    small = ["train", "digits", "--net", "small.toml", *([] if pictures else ["--no-pictures"])]
    code = main([*small, *map(str, arguments)])
    return code, *capsys.readouterr()


def names(path):
    return sorted(place.name for place in Path(path).iterdir())


def test_what_a_run_leaves(folder, capsys):
    assert train(capsys, "--epochs", 2, "--seed", 3)[0] == 0
    run = Path("runs/digits")
    assert names(run) == ["checkpoint", "history.csv", "model.safetensors", "run.json", "run.toml"]
    head, *rows = (run / "history.csv").read_text().splitlines()
    assert head == "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate"
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    assert {row.split(",")[-1] for row in rows} == {"0.003"}
    written = tomllib.loads((run / "run.toml").read_text())
    assert written["data"] == {"path": "digits", "strict": False, "validation": 0.1, "standardize": False}
    assert written["training"] == {
        "epochs": 2,
        "batch_size": 64,
        "optimizer": {"type": "Adam", "learning_rate": 0.003},
        "seed": 3,
        "threads": 1,
    }
    assert written["network"] == {"input_shape": [1, 8, 8], "loss": "SoftmaxCrossEntropy"}
    results = json.loads((run / "run.json").read_text())
    assert results["seed"] == 3
    assert results["epochs_trained"] == 2
    assert results["versions"]["closedform"] == cf.__version__
    assert set(results["versions"]) == {"python", "platform", "closedform", "numpy", "llvmlite"}
    assert cf.load(run / "model.safetensors").classes == tuple("0123456789")


def test_pictures_and_a_report_are_left_too(folder, capsys):
    pytest.importorskip("matplotlib", reason="install closedform[plots] to draw")
    code, output, _ = train(capsys, "--epochs", 1, pictures=True)
    report = Path("runs/digits/report.html")
    assert (code, output.splitlines()[-1]) == (0, f"its pictures are in {report}")
    others = {"checkpoint", "history.csv", "model.safetensors", "run.json", "run.toml", "report.html"}
    assert set(names("runs/digits")) - others <= set(PICTURES)
    assert "learning_curves.png" in names("runs/digits")
    assert report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_run_file_that_is_left_repeats_the_run(folder, capsys):
    assert train(capsys, "--epochs", 2, "--seed", 3, "--lr", 0.01)[0] == 0
    assert main(["train", str(Path("runs/digits/run.toml")), "--no-pictures"]) == 0
    first, second = (Path("runs", name) for name in ("digits", "digits-2"))
    for name in ("model.safetensors", "history.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    texts = [(run / "run.toml").read_text().split("\n", 1) for run in (first, second)]
    assert texts[0][1] == texts[1][1]


# ---- going on


def test_a_finished_run_says_so(folder, capsys):
    assert train(capsys, "--epochs", 1)[0] == 0
    before = Path("runs/digits/model.safetensors").stat().st_mtime_ns
    code, output, errors = train(capsys, "--epochs", 1, "--resume")
    assert (code, errors) == (0, "")
    run = Path("runs/digits")
    assert re.fullmatch(
        rf"{re.escape(str(run))}: this run is finished: test accuracy \d\d\.\d\d% \(\d+ of 360\); "
        rf"the model is in {re.escape(str(run / 'model.safetensors'))}\n",
        output,
    )
    assert Path("runs/digits/model.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_says_so_as_json_too(folder, capsys):
    first = json.loads(train(capsys, "--epochs", 1, "--json")[1])
    assert json.loads(train(capsys, "--epochs", 1, "--json", "--resume")[1]) == first


def test_a_finished_run_goes_on_to_more_epochs(folder, capsys):
    assert train(capsys, "--epochs", 2, "--out", "short")[0] == 0
    assert train(capsys, "--epochs", 4, "--out", "long")[0] == 0
    assert train(capsys, "--epochs", 4, "--out", "short", "--resume")[0] == 0
    for name in ("model.safetensors", "history.csv"):
        assert Path("short", name).read_bytes() == Path("long", name).read_bytes()


@pytest.mark.parametrize("schedule", ['{ type = "OneCycle" }', '{ type = "StepDecay", factor = 0.5 }'])
def test_the_run_file_repeats_a_run_whose_epochs_were_raised(folder, capsys, schedule):
    Path("run.toml").write_text(f'[data]\npath = "digits"\n[training]\nschedule = {schedule}\n{LAYERS}')

    def go(*arguments):
        return main(["train", *map(str, arguments), "--no-pictures"])

    assert go("run.toml", "--epochs", 2, "--out", "mine") == 0
    assert go("run.toml", "--epochs", 4, "--out", "mine", "--resume") == 0  # the original file will do
    assert go("--epochs", 5, "--out", "mine", "--resume") == 0
    assert go(Path("mine/run.toml"), "--out", "again") == 0
    for name in ("model.safetensors", "history.csv"):
        assert Path("mine", name).read_bytes() == Path("again", name).read_bytes()
    found = tomllib.loads(Path("mine/run.toml").read_text())["training"]["schedule"]
    if "OneCycle" in schedule:
        assert found == {"type": "Restarts", "schedule": {"type": "OneCycle"}, "milestones": [2, 4]}
    else:
        assert found == {"type": "StepDecay", "factor": 0.5}
    for more in (["run.toml", "--epochs", 5], []):
        capsys.readouterr()
        assert go(*more, "--out", "mine", "--resume") == 0
        assert capsys.readouterr().out.startswith("mine: this run is finished: ")


def test_epochs_that_are_raised_in_the_runs_own_file_are_raised(folder, capsys):
    Path("run.toml").write_text(
        f'[data]\npath = "digits"\n[training]\nepochs = 2\nschedule = {{ type = "Cosine" }}\n{LAYERS}'
    )
    assert main(["train", "run.toml", "--out", "mine", "--no-pictures"]) == 0
    place = Path("mine/run.toml")
    place.write_text(place.read_text().replace("epochs = 2\n", "epochs = 4\n"))
    assert main(["train", "--out", "mine", "--resume", "--no-pictures"]) == 0
    assert main(["train", str(place), "--out", "again", "--no-pictures"]) == 0
    assert tomllib.loads(place.read_text())["training"]["schedule"]["milestones"] == [2]
    for name in ("model.safetensors", "history.csv"):
        assert Path("mine", name).read_bytes() == Path("again", name).read_bytes()


def test_a_finished_run_that_cannot_go_on_stays_as_it_is(folder, capsys):
    """Its data have changed, which only its checkpoint knows."""
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 255, (40, 8, 8), np.uint8), "y_train": np.arange(40) % 10}
    arrays |= {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}
    np.savez("rows.npz", **arrays)
    assert main(["train", "rows.npz", "--epochs", "1", "--out", "mine", "--no-pictures"]) == 0
    before = {path.name: path.read_bytes() for path in Path("mine").iterdir() if path.is_file()}
    arrays["x_train"][0, 0, 0] ^= 1
    np.savez("rows.npz", **arrays)
    capsys.readouterr()
    assert main(["train", "--epochs", "3", "--out", "mine", "--resume", "--no-pictures"]) == 1
    assert "had other " in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("mine").iterdir() if path.is_file()} == before


def test_a_schedule_that_was_never_begun_is_not_begun_anew(folder, capsys):
    Path("run.toml").write_text(
        f'[data]\npath = "digits"\n[training]\nepochs = 2\nschedule = {{ type = "Cosine" }}\n{LAYERS}'
    )
    assert main(["train", "run.toml", "--out", "mine", "--no-pictures"]) == 0
    Path("mine/run.json").unlink()
    for place in Path("mine/checkpoint").iterdir():
        place.unlink()
    assert main(["train", "--epochs", "3", "--out", "mine", "--resume", "--no-pictures"]) == 0
    assert tomllib.loads(Path("mine/run.toml").read_text())["training"]["schedule"] == {"type": "Cosine"}


def test_the_time_of_all_its_parts_is_counted(folder, capsys):
    assert train(capsys, "--epochs", 2, "--out", "mine")[0] == 0
    first = json.loads(Path("mine/run.json").read_text())
    assert first["seconds"] > sum(first["epoch_seconds"])
    assert train(capsys, "--epochs", 3, "--out", "mine", "--resume")[0] == 0
    second = json.loads(Path("mine/run.json").read_text())
    assert second["epoch_seconds"][:2] == first["epoch_seconds"]
    assert len(second["epoch_seconds"]) == 3
    spent = second["epoch_seconds"][2] + sum(first["epoch_seconds"])
    assert spent < second["seconds"] < 60


def test_there_may_be_nothing_to_go_on_with(folder, capsys):
    for arguments in (["--out", "new"], []):
        assert train(capsys, "--epochs", 1, "--resume", *arguments)[0] == 0
    assert Path("new/model.safetensors").exists()
    assert Path("runs/digits/model.safetensors").exists()


def test_the_newest_unfinished_run_goes_on(folder, capsys):
    for _ in range(3):
        assert train(capsys, "--epochs", 1)[0] == 0
    for name in ("digits", "digits-2"):
        Path("runs", name, "model.safetensors").unlink()
    code, output, _ = train(capsys, "--epochs", 1, "--resume")
    assert code == 0
    assert output.endswith(f"the model is in {Path('runs/digits-2/model.safetensors')}\n")


def test_nothing_need_be_said_to_go_on(folder, capsys):
    assert train(capsys, "--epochs", 1, "--seed", 4, "--out", "mine")[0] == 0
    expected = Path("mine/model.safetensors").read_bytes()
    Path("mine/model.safetensors").unlink()
    assert main(["train", "--resume", "--out", "mine", "--no-pictures"]) == 0
    assert Path("mine/model.safetensors").read_bytes() == expected


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        (["--seed", 1], "[training] seed is 1, that run has 0"),
        (["--epochs", 1], "[training] epochs is 1, that run has 2"),
        (["--batch-size", 32], "[training] batch_size is 32, that run has 64"),
        (
            ["--lr", 0.1],
            '[training] optimizer is { type = "Adam", learning_rate = 0.1 }, that run has '
            '{ type = "Adam", learning_rate = 0.003 }',
        ),
        (["--standardize"], "[data] standardize is true, that run has false"),
        (["--augment", "shift=1"], "[data] augment is { shift = 1 }, that run has not set"),
        (["--engine", "reference"], '[training] engine is "reference", that run has not set'),
        (["--net", "other.toml"], "the network is another"),
    ],
)
def test_other_settings_do_not_go_on(folder, capsys, arguments, difference):
    Path("other.toml").write_text('[[layer]]\ntype = "ReLU"\n\n' + LAYERS)
    assert train(capsys, "--epochs", 2, "--out", "mine")[0] == 0
    code, output, errors = train(capsys, "--epochs", 2, "--out", "mine", "--resume", *arguments)
    assert (code, output) == (1, "")
    assert errors == (
        f"closedform: mine: cannot go on with other settings: {difference}: give the same, or name another "
        f"folder with --out\n"
    )


def test_what_is_not_said_is_as_the_run_has_it(folder, capsys):
    small = ("--epochs", 2, "--lr", 0.01, "--batch-size", 32, "--seed", 7)
    assert train(capsys, *small, "--out", "mine")[0] == 0
    expected = contents("mine")
    Path("mine/model.safetensors").unlink()
    assert main(["train", "digits", "--resume", "--out", "mine", "--no-pictures"]) == 0
    assert Path("mine/model.safetensors").read_bytes() == expected["model.safetensors"]
    capsys.readouterr()
    assert main(["train", "digits", "--resume", "--out", "mine", "--no-pictures"]) == 0
    assert capsys.readouterr().out.startswith("mine: this run is finished: ")


def test_the_newest_run_goes_on_as_it_was(folder, capsys):
    assert train(capsys, "--epochs", 2)[0] == 0
    capsys.readouterr()
    assert main(["train", "digits", "--resume", "--no-pictures"]) == 0
    assert capsys.readouterr().out.startswith(f"{Path('runs/digits')}: this run is finished: ")


def test_a_finished_run_without_checkpoints_is_not_begun_anew(folder, capsys):
    assert train(capsys, "--epochs", 2, "--out", "mine")[0] == 0
    for place in Path("mine/checkpoint").iterdir():
        place.unlink()
    before = contents("mine")
    code, output, errors = train(capsys, "--epochs", 3, "--out", "mine", "--resume")
    assert (code, output) == (1, "")
    assert errors == (
        "closedform: mine: is finished and its checkpoints are gone, so that it cannot go on: train anew "
        "with --overwrite, or name another folder with --out\n"
    )
    assert contents("mine") == before


def test_a_damaged_checkpoint_is_told(folder, capsys):
    assert train(capsys, "--epochs", 2, "--out", "mine")[0] == 0
    newest = max(Path("mine/checkpoint").iterdir())
    newest.write_bytes(newest.read_bytes()[:500])
    before = min(Path("mine/checkpoint").iterdir())
    assert train(capsys, "--epochs", 3, "--out", "mine", "--resume")[::2] == (
        0,
        f"closedform: {Path('mine/checkpoint')}: {newest.name} is damaged or cut short: using {before.name}: "
        f"what was done after it is done once more\n",
    )


def test_a_damaged_model_is_not_called_finished(folder, capsys):
    assert train(capsys, "--epochs", 2, "--out", "mine")[0] == 0
    model = Path("mine/model.safetensors")
    whole = model.read_bytes()
    model.write_bytes(whole[:500])
    code, output, errors = train(capsys, "--epochs", 2, "--out", "mine", "--resume")
    assert (code, output) == (1, "")
    assert errors == (
        f"closedform: {model}: is no safetensors file, or is damaged or cut short: delete it, and --resume "
        f"makes it anew\n"
    )
    model.unlink()
    assert train(capsys, "--epochs", 2, "--out", "mine", "--resume")[0] == 0
    assert model.read_bytes() == whole


def test_a_training_that_was_stopped_early_stays_over(folder, capsys):
    stopping = "early_stopping = { monitor = 'loss', patience = 0, min_delta = 100.0 }"
    Path("run.toml").write_text(f"[data]\npath = 'digits'\n[training]\nepochs = 9\n{stopping}\n{LAYERS}")
    assert main(["train", "run.toml", "--out", "mine", "--no-pictures"]) == 0
    before = contents("mine")
    capsys.readouterr()
    assert main(["train", "--resume", "--epochs", "20", "--out", "mine", "--no-pictures"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[1] == "mine: its training was over after epoch 2, and stays so"
    assert contents("mine")["model.safetensors"] == before["model.safetensors"]


def test_pictures_that_are_missing_are_mentioned(folder, capsys):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    output = train(capsys, "--epochs", 1, "--out", "mine", "--resume", pictures=True)[1]
    assert output.endswith("\nits pictures are drawn with: closedform report mine\n")


# ---- what has been moved


def save_rows(name, *, test=0, train=0):
    """Images to train and test on, as an npz file; the test part, or the other, may be another."""
    rng = np.random.default_rng(0)
    arrays = {part: rng.integers(0, 200, (40, 8, 8), np.uint8) for part in ("x_train", "x_test")}
    arrays["x_train"] += np.uint8(train)
    arrays["x_test"] += np.uint8(test)
    np.savez(name, **arrays, y_train=np.arange(40) % 10, y_test=np.arange(40) % 10)


def half_done(capsys):
    """A run in `mine` on rows.npz whose model and results are not there yet; the model's bytes."""
    save_rows("rows.npz")
    assert main(["train", "rows.npz", "--epochs", "2", "--out", "mine", "--no-pictures"]) == 0
    expected = Path("mine/model.safetensors").read_bytes()
    newest = max(Path("mine/checkpoint").iterdir())
    for place in (newest, Path("mine/model.safetensors"), Path("mine/run.json")):
        place.unlink()
    capsys.readouterr()
    return expected


def test_data_that_were_moved_are_named_anew(folder, capsys):
    expected = half_done(capsys)
    Path("rows.npz").rename("moved.npz")
    assert main(["train", "--resume", "--out", "mine", "--no-pictures"]) == 1
    assert capsys.readouterr().err == (
        f"closedform: {Path('mine/run.toml')}: [data]: rows.npz: there is no such file or folder; say where "
        f"the data are now with --data PATH\n"
    )
    assert main(["train", "--resume", "--out", "mine", "--data", "moved.npz", "--no-pictures"]) == 0
    assert Path("mine/model.safetensors").read_bytes() == expected
    assert main(["evaluate", "mine"]) == 0  # the run knows where they are now


def test_a_run_that_was_moved_goes_on(folder, capsys, monkeypatch):
    expected = half_done(capsys)
    Path("elsewhere").mkdir()
    Path("mine").rename("elsewhere/mine")
    monkeypatch.chdir("elsewhere")
    assert main(["train", "--resume", "--out", "mine", "--data", "../rows.npz", "--no-pictures"]) == 0
    assert Path("mine/model.safetensors").read_bytes() == expected
    assert main(["report", "mine"]) == 0


def test_a_finished_run_whose_data_were_moved(folder, capsys):
    save_rows("rows.npz")
    assert main(["train", "rows.npz", "--epochs", "1", "--out", "mine", "--no-pictures"]) == 0
    Path("rows.npz").rename("moved.npz")
    for command in (["report", "mine"], ["evaluate", "mine"]):
        capsys.readouterr()
        assert main(command) == 1
        assert capsys.readouterr().err.endswith("; say where the data are now with --data PATH\n")
        assert main([*command, "--data", "moved.npz"]) == 0
    resumed = ["train", "--resume", "--out", "mine", "--no-pictures", "--data"]
    capsys.readouterr()
    assert main([*resumed, "moved.npz"]) == 0
    assert capsys.readouterr().out.startswith("mine: this run is finished: ")
    save_rows("others.npz", test=1)
    assert main([*resumed, "others.npz"]) == 1
    assert capsys.readouterr().err == (
        "closedform: mine: others.npz is not what the run was tested on, its images to test on are others: "
        "put back what was there, or name the run's own data with --data PATH\n"
    )
    Path("moved.npz").unlink()
    Path("others.npz").rename("moved.npz")
    capsys.readouterr()
    assert main(["report", "mine", "--data", "moved.npz"]) == 1
    assert "its images to test on are others" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 1}, "had other examples"),
        ({"test": 1}, "rows.npz: the images to test on are not those that the run was begun with"),
    ],
)
def test_other_images_do_not_go_on(folder, capsys, change, message):
    half_done(capsys)
    before = contents("mine")
    save_rows("rows.npz", **change)
    assert main(["train", "--resume", "--out", "mine", "--no-pictures"]) == 1
    output, errors = capsys.readouterr()
    assert message in errors
    assert "goes on" not in output
    assert contents("mine") == before


def test_threads_may_be_others(folder, capsys):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    assert train(capsys, "--epochs", 2, "--threads", 2, "--out", "mine", "--resume")[0] == 0


# ---- what is never lost


def test_overwriting_removes_what_a_run_writes_and_nothing_else(folder, capsys):
    assert train(capsys, "--epochs", 3, "--out", "mine")[0] == 0
    Path("mine/notes.txt").write_text("mine")
    Path("mine/checkpoint/notes.txt").write_text("mine")
    Path("mine/filters.png").write_text("of the run")
    code, _, errors = train(capsys, "--epochs", 1, "--seed", 9, "--out", "mine", "--overwrite")
    assert (code, errors) == (0, "")
    assert json.loads(Path("mine/run.json").read_text())["seed"] == 9
    assert names("mine") == [
        "checkpoint", "history.csv", "model.safetensors", "notes.txt", "run.json", "run.toml",
    ]  # fmt: skip
    assert len(Path("mine/history.csv").read_text().splitlines()) == 2
    assert Path("mine/checkpoint/notes.txt").read_text() == "mine"


def contents(path):
    """Every file below a folder, with its bytes."""
    return {str(p.relative_to(path)): p.read_bytes() for p in Path(path).rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "arguments", [["--validation", 5000], ["--augment", "shift=9"], ["--lr", 1e38], ["--net", "none.toml"]]
)
def test_what_cannot_be_trained_overwrites_nothing(folder, capsys, arguments):
    assert train(capsys, "--epochs", 1, "--out", "mine", pictures=True)[0] == 0
    before = contents("mine")
    code, _, errors = train(capsys, *arguments, "--out", "mine", "--overwrite")
    assert code == 1, errors
    assert contents("mine") == before


def test_what_is_stopped_before_anything_is_saved_overwrites_nothing(folder, capsys, monkeypatch):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    before = contents("mine")

    def interrupted(*arguments, **settings):
        assert not Path("mine/model.safetensors").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(cf.Network, "fit", interrupted)
    assert train(capsys, "--epochs", 9, "--out", "mine", "--overwrite")[0] == 130
    assert contents("mine") == before


@pytest.mark.parametrize("moved", range(6))
def test_a_run_of_which_not_everything_can_be_moved_stays(folder, capsys, monkeypatch, moved):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    before, replace, calls = contents("mine"), Path.replace, []

    def refused(place, target):
        calls.append(place)
        if len(calls) == moved + 1:
            raise PermissionError(13, "Permission denied", str(place))
        return replace(place, target)

    monkeypatch.setattr(Path, "replace", refused)
    code, _, errors = train(capsys, "--epochs", 9, "--out", "mine", "--overwrite")
    assert (code, contents("mine")) == (0, contents("mine")) if moved == 5 else (1, before)
    assert moved == 5 or "cannot be moved: Permission denied" in errors


@pytest.mark.parametrize("moved", [0, 1, 3, None])
def test_a_run_that_was_being_replaced_when_all_was_killed_comes_back(folder, capsys, moved):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    before = contents("mine")
    RunFolder(Path("mine")).set_aside()
    Path("mine/run.toml").write_text("of the run that was to replace it")
    if moved is not None:  # killed before all of it was moved
        Path("mine/run.toml").unlink()
        Path("mine/.replaced").rename("mine/.replacing")
        for place in sorted(Path("mine/.replacing").rglob("*.*"))[moved:]:
            target = Path("mine") / place.relative_to("mine/.replacing")
            target.parent.mkdir(exist_ok=True)
            place.rename(target)
    code, output, errors = train(capsys, "--out", "mine", "--resume")
    assert (code, errors) == (0, "")
    assert output.startswith("mine: this run is finished: ")
    assert contents("mine") == before


def test_a_run_that_has_been_replaced_does_not_come_back(folder, capsys):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    RunFolder(Path("mine")).set_aside()
    Path("mine/checkpoint").mkdir(exist_ok=True)
    Path("mine/checkpoint/000001.safetensors").write_bytes(
        Path("mine/.replaced/model.safetensors").read_bytes()
    )
    with RunFolder(Path("mine")).locked():
        assert names("mine") == ["checkpoint"]


@pytest.mark.parametrize("left", ["model.safetensors", "checkpoint", "run.toml"])
def test_each_sign_of_a_run_protects_the_folder(folder, capsys, left):
    place = Path("mine", left)
    place.parent.mkdir()
    place.mkdir() if left == "checkpoint" else place.write_text("")
    code, output, errors = train(capsys, "--out", "mine")
    assert (code, output) == (1, "")
    assert errors == (
        "closedform: mine: already holds a run: go on with it with --resume, replace it with --overwrite, "
        "or name another folder with --out\n"
    )
    assert names("mine") == [left]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_two_trainings_do_not_meet_in_a_folder(folder, capsys):
    Path("mine").mkdir()
    with RunFolder(Path("mine")).locked():
        code, output, errors = train(capsys, "--out", "mine")
    assert (code, output) == (1, "")
    assert errors == (
        "closedform: mine: another training is running in it: wait for it, or name another folder "
        "with --out\n"
    )
    assert names("mine") == []


def test_damaged_results_are_told(folder, capsys):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    Path("mine/run.json").write_text("{")
    assert train(capsys, "--epochs", 1, "--out", "mine", "--resume") == (
        1,
        "",
        f"closedform: {Path('mine/run.json')}: is damaged: delete it, and --resume makes it anew\n",
    )


def test_whether_a_run_goes_on_is_said(folder, capsys):
    assert train(capsys, "--epochs", 1, "--out", "mine")[0] == 0
    output = train(capsys, "--epochs", 2, "--out", "mine", "--resume")[1]
    assert output.splitlines()[1] == "mine goes on from its last checkpoint, to epoch 2 instead of 1"
    Path("mine/run.json").unlink()
    for place in Path("mine/checkpoint").iterdir():
        place.unlink()
    output = train(capsys, "--epochs", 3, "--out", "mine", "--resume")[1]
    assert output.splitlines()[1] == "mine begins anew, nothing was saved"
