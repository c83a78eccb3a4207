"""``closedform predict``: the classes of images, as a table, JSON or CSV."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from run_data import save_arrays, save_images

import closedform as cf
from closedform.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a run on photographs of two colours."""
    folder = tmp_path_factory.mktemp("photos")
    save_images(folder / "photos", {"blue": 20, "green": 20})
    out = folder / "run"
    assert main(["train", str(folder / "photos"), "--out", str(out), "--no-pictures", "--json"]) == 0
    return out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_images("images", {"green": 2, "blue": 1}, size=(30, 20), first=70)
    return tmp_path


def run(capsys, *arguments):
    """The command's exit code, its output and its errors."""
    capsys.readouterr()
    code = main(["predict", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_table(folder, capsys, model):
    code, output, errors = run(capsys, model, "images")
    assert (code, errors) == (0, "")
    head, rule, *rows = output.splitlines()
    assert head == "image          class  probability"
    assert rule == "─────────────  ─────  ───────────"
    assert [row.split()[:2] for row in rows] == [
        [str(Path("blue/070.png")), "blue"],
        [str(Path("green/070.png")), "green"],
        [str(Path("green/071.png")), "green"],
    ]
    assert all(0.5 < float(row.split()[2].rstrip("%")) / 100 <= 1 for row in rows)


def test_a_folder_of_tables_whose_images_are_not_square(folder, capsys):
    Path("wide").mkdir()
    rows = "\n".join(f"{k % 2}," + ",".join([str(200 * (k % 2))] * 32) for k in range(40)) + "\n"
    for name in ("train", "test"):
        Path("wide", f"{name}.csv").write_text(rows)
    assert main(["train", "--data", "wide", "--image-size", "4x8", "--out", "run", "--no-pictures"]) == 0
    code, output, errors = run(capsys, "run", "wide", "--format", "csv")
    assert (code, errors) == (0, "")
    assert [row[1] for row in csv.reader(output.splitlines()[1:])] == ["0", "1"] * 20
    Path("wide").rename("moved")
    assert main(["evaluate", "run", "--data", "moved"]) == 0


def save_levels(path, images):
    """A table of images of 4×4, each of one level of grey, labelled by whether that is above 200."""
    rows = [",".join(map(str, [int(level > 200), *[level] * 16])) for level in images]
    Path(path).write_text("\n".join(rows) + "\n")


def probabilities(capsys, *arguments):
    code, output, errors = run(capsys, *arguments, "--format", "json")
    assert (code, errors) == (0, "")
    return [{each["class"]: each["probability"] for each in one["classes"]} for one in json.loads(output)]


def test_what_else_is_in_a_file_does_not_matter(folder, capsys):
    """Numbers up to 255 alone look like bytes, which a network that was trained on larger ones never saw."""
    save_levels("levels.csv", [20 * k + 3 for k in range(51)] * 2)
    assert main(["train", "--data", "levels.csv", "--epochs", "20", "--out", "run", "--no-pictures"]) == 0
    save_levels("together.csv", [30, 250, 1000])
    save_levels("alone.csv", [30, 250])
    together = probabilities(capsys, "run", "together.csv", "--top", 2)
    assert probabilities(capsys, "run", "alone.csv", "--top", 2) == [
        {name: pytest.approx(share, rel=1e-5) for name, share in one.items()} for one in together[:2]
    ]
    assert main(["evaluate", "run", "--data", "alone.csv", "--json"]) == 0
    loss = -np.mean(np.log([together[0]["0"], together[1]["1"]]))
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(loss, rel=1e-4)


def test_one_image_and_the_next_best_classes(folder, capsys, model):
    code, output, _ = run(capsys, model, "images/green/070.png", "--top", 5)
    assert code == 0
    first, second = output.splitlines()[2:]
    assert first.split()[:2] == ["070.png", "green"]
    assert second.split()[0] == "blue"
    shares = [float(row.split()[-1].rstrip("%")) for row in (first, second)]
    assert sum(shares) == pytest.approx(100, abs=0.02)


def test_probabilities_are_those_of_the_network(folder, capsys, model):
    code, output, _ = run(capsys, model, "images", "--format", "json", "--top", 2)
    assert code == 0
    found = json.loads(output)
    assert [one["image"] for one in found] == ["blue/070.png", "green/070.png", "green/071.png"]
    images = cf.load_data("images", image_size=(12, 16), color_mode="rgb")
    expected = cf.load(model / "model.safetensors").predict(images.x_train)
    for one, row in zip(found, expected, strict=True):
        given = {entry["class"]: entry["probability"] for entry in one["classes"]}
        assert [given["blue"], given["green"]] == pytest.approx(row.tolist(), abs=1e-7)
        assert one["classes"][0]["probability"] >= one["classes"][1]["probability"]


@pytest.mark.parametrize(
    ("top", "head"),
    [
        (1, ["image", "class", "probability"]),
        (2, ["image", "class", "probability", "class_2", "probability_2"]),
    ],
)
def test_csv(folder, capsys, model, top, head):
    code, output, _ = run(capsys, model, "images", "--format", "csv", "--top", top)
    assert code == 0
    first, *rows = csv.reader(output.splitlines())
    assert first == head
    assert [row[1] for row in rows] == ["blue", "green", "green"]
    assert {len(row) for row in rows} == {len(head)}


@pytest.mark.parametrize(
    ("name", "begin"), [("a.csv", "image,class"), ("a.json", "[\n"), ("a.txt", "image  ")]
)
def test_the_name_of_a_file_shows_its_format(folder, capsys, model, name, begin):
    code, output, errors = run(capsys, model, "images", "--out", name)
    assert (code, output, errors) == (0, "", "")
    assert Path(name).read_text(encoding="utf-8").startswith(begin)


def test_another_name_shows_none(folder, capsys, model):
    assert run(capsys, model, "images", "--out", "a.xlsx") == (
        1,
        "",
        "closedform: a.xlsx: .xlsx is the ending of no format; known are .txt, .json, .csv: or "
        "add --format\n",
    )


def test_an_image_in_grey_goes_through_a_model_of_colours(folder, capsys, model):
    from PIL import Image

    Image.fromarray(np.full((9, 9), 128, np.uint8)).save("grey.png")
    code, output, errors = run(capsys, model, "grey.png")
    assert (code, errors) == (0, "")
    assert output.splitlines()[2].startswith("grey.png")


def test_a_broken_image_is_left_out_and_told(folder, capsys, model):
    broken = Path("images/green/070.png")
    broken.write_bytes(broken.read_bytes()[:100])
    code, output, errors = run(capsys, model, "images")
    assert code == 0
    assert len(output.splitlines()) == 4
    assert errors.startswith("closedform: images: 1 file was left out:\n  green/070.png: ")
    code, output, errors = run(capsys, model, "images", "--strict")
    assert (code, output, errors.count("\n")) == (1, "", 1)


def test_arrays(folder, capsys):
    save_arrays("rows.npz", train=300)
    assert main(["train", "rows.npz", "--no-pictures", "--json"]) == 0
    code, output, errors = run(capsys, "runs/rows", "rows.npz", "--format", "json")
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert [one["image"] for one in found[:2]] == ["rows.npz[0]", "rows.npz[1]"]
    assert [one["classes"][0]["class"] for one in found] == ["0", "1", "2"] * 10


def test_arrays_of_another_size_are_refused(folder, capsys, model):
    save_arrays("rows.npz")
    code, output, errors = run(capsys, model, "rows.npz")
    assert (code, output) == (1, "")
    assert errors == (
        f"closedform: rows.npz: holds images (1, 12, 12) (channels, height, width), "
        f"{model / 'model.safetensors'} was trained on images (3, 12, 16): give it images of that "
        f"size, or train on these\n"
    )


def test_a_network_with_one_output_tells_two_classes_apart(folder, capsys):
    save_images("photos", {"blue": 20, "green": 20})
    Path("run.toml").write_text(
        '[data]\npath = "photos"\n\n[network]\nloss = "SigmoidBinaryCrossEntropy"\n\n'
        '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 1\n'
    )
    assert main(["train", "run.toml", "--no-pictures", "--json"]) == 0
    code, output, _ = run(capsys, "runs/photos", "images", "--format", "json", "--top", 2)
    assert code == 0
    for one, name in zip(json.loads(output), ["blue", "green", "green"], strict=True):
        first, second = one["classes"]
        assert (first["class"], second["class"]) == (name, "green" if name == "blue" else "blue")
        assert first["probability"] + second["probability"] == pytest.approx(1, abs=1e-6)


def test_the_packaged_digits(folder, capsys):
    assert main(["train", "digits", "--epochs", "1", "--no-pictures", "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["test_accuracy"]
    code, output, errors = run(capsys, "runs/digits", "digits", "--format", "csv")
    assert (code, errors) == (0, "")
    _, *rows = csv.reader(output.splitlines())
    assert rows[359][0] == "digits[359]"
    right = sum(int(row[1]) == label for row, label in zip(rows, cf.load_digits().y_test, strict=True))
    assert right / 360 == accuracy
