"""``closedform evaluate``: how good a trained model is, on its own test part or on other data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_data import COLOURS, save_arrays, save_images

import closedform as cf
from closedform.cli import main

DIGITS = ["train", "digits", "--epochs", "2", "--no-pictures", "--out", "mine"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    """The command's exit code, its output and its errors."""
    capsys.readouterr()
    code = main(["evaluate", *map(str, arguments)])
    return code, *capsys.readouterr()


def trained(*arguments):
    assert main(["train", *map(str, arguments), "--no-pictures", "--json"]) == 0


def test_the_runs_own_test_part(folder, capsys):
    assert main(DIGITS) == 0
    results = json.loads(Path("mine/run.json").read_text())
    expected = str(cf.load("mine/model.safetensors").metrics(*cf.load_digits()[2:]))
    for named in ("mine", "mine/model.safetensors"):
        code, output, errors = run(capsys, named)
        assert (code, errors) == (0, "")
        model = Path("mine/model.safetensors")
        assert output == f"{model} on digits, 360 test images\n\n{expected}\n"
        assert f"accuracy {results['test_accuracy']:.2%}" in output


def test_one_line_of_json(folder, capsys):
    assert main(DIGITS) == 0
    results = json.loads(Path("mine/run.json").read_text())
    code, output, errors = run(capsys, "mine", "--json")
    assert (code, errors, output.count("\n")) == (0, "", 1)
    report = json.loads(output)
    assert (report["model"], report["data"]) == (str(Path("mine/model.safetensors")), "digits")
    assert (report["part"], report["examples"]) == ("test", 360)
    assert report["accuracy"] == results["test_accuracy"]
    assert np.array(report["confusion"]).shape == (10, 10)


def test_what_was_held_out_is_what_is_evaluated(folder, capsys):
    save_images("photos", {"blue": 20, "green": 20})
    trained("photos", "--epochs", 1)
    results = json.loads(Path("runs/photos/run.json").read_text())
    for data in ([], ["--data", "photos"]):
        code, output, _ = run(capsys, "runs/photos", "--json", *data)
        report = json.loads(output)
        assert (code, report["part"], report["examples"]) == (0, "held out", 8)
        assert report["accuracy"] == results["test_accuracy"]


def test_other_images_are_made_to_fit(folder, capsys):
    save_images("photos", {"blue": 20, "green": 20})
    save_images("more", {"blue": 3, "green": 4}, size=(40, 30), first=50)
    trained("photos")
    code, output, errors = run(capsys, "runs/photos", "--data", "more")
    assert (code, errors) == (0, "")
    model = Path("runs/photos/model.safetensors")
    assert output.startswith(f"{model} on more, 7 images\n\naccuracy 100.00% (7 of 7)\n")


def test_data_with_some_of_the_classes_are_taken_by_name(folder, capsys):
    save_images("photos", dict.fromkeys(COLOURS, 20))
    save_images("more", {"green": 4, "red": 4}, first=50)
    trained("photos")
    code, output, _ = run(capsys, "runs/photos", "--data", "more", "--json")
    report = json.loads(output)
    assert (code, report["accuracy"]) == (0, 1.0)
    assert [sum(row) for row in report["confusion"]] == [0, 4, 4]


def save_table(path, labels):
    """A CSV file with an image of 8×8 for each label, in which a bright row says which it is."""
    rows = []
    for label in labels:
        image = np.zeros((8, 8), int)
        image[label] = 200 + len(rows) % 50
        rows.append(",".join(map(str, [label, *image.flat])))
    Path(path).write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 2, 3], [2], [3, 0]])
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_not_every_class_need_be_there(folder, capsys, labels, kind):
    save_table("rows.csv", [0, 1, 2, 3] * 25)
    trained("rows.csv", "--epochs", 30)
    save_table("some.csv", labels * 5)
    if kind == "npz":
        data = np.loadtxt("some.csv", int, delimiter=",")
        np.savez("some.npz", x=data[:, 1:].reshape(-1, 8, 8).astype(np.uint8), y=data[:, 0])
    code, output, errors = run(capsys, "runs/rows", "--data", f"some.{kind}", "--json")
    assert (code, errors) == (0, "")
    report = json.loads(output)
    assert (report["part"], report["accuracy"]) == ("all", 1.0)
    assert [sum(row) for row in report["confusion"]] == [5 * labels.count(k) for k in range(4)]


def test_labels_that_the_model_does_not_have_are_refused(folder, capsys):
    save_table("rows.csv", [0, 1, 2] * 25)
    trained("rows.csv", "--epochs", 1)
    save_table("more.csv", [3, 4])
    code, output, errors = run(capsys, "runs/rows", "--data", "more.csv")
    assert (code, output) == (1, "")
    model = Path("runs/rows/model.safetensors")
    assert errors == (
        f"closedform: more.csv: has the classes 0, 1, 2, 3, 4, {model} was trained on 0, 1, 2: give it data "
        f"of those classes\n"
    )


def test_data_of_other_classes_are_refused(folder, capsys):
    save_images("photos", {"blue": 20, "green": 20})
    save_images("more", {"blue": 4, "red": 4})
    trained("photos", "--epochs", 1)
    code, output, errors = run(capsys, "runs/photos", "--data", "more")
    assert (code, output) == (1, "")
    model = Path("runs/photos/model.safetensors")
    assert errors == (
        f"closedform: more: has the classes blue, red, {model} was trained on blue, green: give it data of "
        f"those classes\n"
    )


def test_arrays_of_another_size_are_refused(folder, capsys):
    save_arrays("rows.npz")
    save_arrays("wide.npz", shape=(12, 20))
    trained("rows.npz", "--epochs", 1)
    code, output, errors = run(capsys, "runs/rows", "--data", "wide.npz")
    assert (code, output) == (1, "")
    model = Path("runs/rows/model.safetensors")
    assert errors == (
        f"closedform: wide.npz: holds images (1, 12, 20) (channels, height, width), {model} was trained on "
        f"images (1, 12, 12): give it images of that size, or train on these\n"
    )


def test_a_model_alone_needs_data(folder, capsys):
    assert main(DIGITS) == 0
    shutil.copy("mine/model.safetensors", "alone.safetensors")
    assert run(capsys, "alone.safetensors") == (
        1,
        "",
        "closedform: alone.safetensors: lies in no run's folder: name the data with --data PATH\n",
    )
    code, output, _ = run(capsys, "alone.safetensors", "--data", "digits")
    assert code == 0
    assert output.startswith("alone.safetensors on digits, 360 test images\n")


def test_a_run_that_is_not_finished_has_no_model(folder, capsys):
    Path("mine").mkdir()
    Path("mine/run.toml").write_text("")
    assert run(capsys, "mine") == (
        1,
        "",
        "closedform: mine: holds no model.safetensors: name the folder of a run that is finished\n",
    )


def test_a_model_that_tells_no_classes_apart(folder, capsys):
    cf.Network([cf.Flatten(), cf.Dense(1)], (1, 8, 8), cf.MeanSquaredError()).save("line.safetensors")
    assert run(capsys, "line.safetensors", "--data", "digits") == (
        1,
        "",
        "closedform: line.safetensors: is a model that tells no classes apart: train one with "
        "SoftmaxCrossEntropy\n",
    )
