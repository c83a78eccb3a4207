"""What a newcomer does wrong at first, and what is said: one sentence with a way out, and no traceback."""

import pickle
import sys
from pathlib import Path

import pytest
from run_data import COLOURS, save_arrays, save_images

from closedform.cli import main

LAYERS = '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = {}\n'
PHOTOS = '[data]\npath = "photos"\n\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(folder):
    save_images("photos", dict.fromkeys(COLOURS, 20))
    return folder


@pytest.fixture
def model(photos, capsys):
    """A run on the photographs, in the folder "model"."""
    assert main(["train", "photos", "--epochs", "1", "--out", "model", "--no-pictures"]) == 0
    capsys.readouterr()


def said(capsys, line, code=1):
    """The last line that is printed to the user."""
    assert main(line.split()) == code
    output, errors = capsys.readouterr()
    assert output == ""
    assert "Traceback" not in errors
    if code == 1:
        assert errors.count("\n") == 1
    return errors.splitlines()[-1].removeprefix("closedform: ").removeprefix("closedform train: ")


# ---- the data


def test_there_is_no_such_file(photos, capsys):
    assert said(capsys, "train phots") == "phots: there is no such file or folder; did you mean photos?"


def test_the_file_is_empty(folder, capsys):
    Path("data.npz").touch()
    assert said(capsys, "train data.npz") == "data.npz: is empty"


def test_the_folder_is_empty(folder, capsys):
    Path("data").mkdir()
    assert said(capsys, "train data") == "data: is an empty folder"


def test_the_file_is_text(folder, capsys):
    Path("notes.txt").write_text("Buy milk.\n")
    assert said(capsys, "train notes.txt") == (
        "notes.txt: line 1: is 'Buy milk.': of text only CSV is read, a row of numbers for each image, with "
        "commas, semicolons or tabs between them"
    )


def test_the_file_is_one_image(photos, capsys):
    Path("photos/red/000.png").rename("one.png")
    assert said(capsys, "train one.png") == (
        "one.png: is one image: to train on, name a folder that has a folder for each class"
    )


def test_the_file_is_a_pickle(folder, capsys):
    Path("data_batch_1").write_bytes(pickle.dumps({b"data": b"", b"labels": []}))
    assert said(capsys, "train data_batch_1") == (
        "data_batch_1: is a pickle, which can run any program when it is read, and is never read: save the "
        "arrays "
        "with numpy.savez('data.npz', x_train=..., y_train=...)"
    )


def test_there_is_one_class_only(folder, capsys):
    save_images("photos", {"red": 20})
    assert said(capsys, "train photos") == (
        "photos: has one class only, red: at least two are needed, each in a folder of its own"
    )


def test_all_labels_are_of_one_class(folder, capsys):
    save_arrays("rows.npz", classes=1)
    assert said(capsys, "train rows.npz") == (
        "rows.npz: y_train: every label is 0: training needs images of at least two classes"
    )


def test_the_folder_of_a_class_is_empty(photos, capsys):
    Path("photos/yellow").mkdir()
    place = Path("photos/yellow")
    assert said(capsys, "train photos") == (
        f"{place}: is empty: put images of the class there, or remove the folder"
    )


def test_the_part_to_test_on_has_other_classes(folder, capsys):
    save_images("photos/train", {"blue": 8, "red": 8})
    save_images("photos/test", {"blue": 3, "green": 3})
    place = Path("photos/test")
    assert said(capsys, "train photos") == (
        f"{place}: has the class green, which train lacks: give it a folder in train, or remove it from here"
    )


def test_labels_begin_at_1(folder, capsys):
    save_arrays("rows.npz", first_label=1)
    assert said(capsys, "train rows.npz") == (
        "rows.npz: y_train: labels begin at 1: subtract 1, class numbers count from 0"
    )


def test_arrays_are_not_scaled(folder, capsys):
    save_arrays("rows.npz")
    assert said(capsys, "train rows.npz --image-size 32") == (
        "rows.npz: its images have 12 × 12 pixels, image_size asks for 32 × 32: only images from a folder "
        "are scaled"
    )


def test_more_images_to_validate_than_there_are(photos, capsys):
    assert said(capsys, "train photos --validation 100") == (
        "validation is 100 images, and there are 48 to train on: take fewer, or a share such as 0.1"
    )


# ---- the network


def test_the_network_takes_images_of_another_size(photos, capsys):
    text = "[network]\ninput_shape = [3, 32, 32]\n\n" + LAYERS.format(3)
    Path("net.toml").write_text(text)
    begin = (
        "the network takes images (3, 32, 32), those of photos are (3, 12, 16): leave input_shape out, or "
    )
    assert said(capsys, "train photos --net net.toml") == (
        f"net.toml: {begin}pass --image-size 32x32 --color-mode rgb"
    )
    Path("run.toml").write_text(PHOTOS + text)
    assert said(capsys, "train run.toml") == (
        f'run.toml: {begin}set image_size = [32, 32] and color_mode = "rgb" below [data]'
    )


def test_the_images_are_too_small_for_the_network(photos, capsys):
    layer = '[[layer]]\ntype = "Conv2d"\nout_channels = 3\nkernel_size = 30\n\n'
    Path("run.toml").write_text(PHOTOS + layer + LAYERS.format(3))
    assert said(capsys, "train run.toml") == (
        "run.toml: layer 0 (Conv2d): the window's height (30) is larger than the padded image's (12 + 2*0): "
        "(12 - 30 + 2*0)//1 + 1 = -17 (x is (3, 12, 16), from the input)"
    )


def test_the_network_has_other_outputs_than_there_are_classes(photos, capsys):
    Path("net.toml").write_text(LAYERS.format(10))
    assert said(capsys, "train photos --net net.toml") == (
        "net.toml: the network gives 10 numbers for each image, photos has 3 classes: end it with a Dense "
        "layer of "
        "out_features = 3"
    )


def test_the_loss_tells_no_classes_apart(photos, capsys):
    Path("net.toml").write_text('[network]\nloss = "MeanSquaredError"\n\n' + LAYERS.format(3))
    assert said(capsys, "train photos --net net.toml") == (
        'net.toml: loss = "MeanSquaredError" tells no classes apart: write loss = "SoftmaxCrossEntropy"'
    )


def test_the_loss_is_for_two_classes(photos, capsys):
    Path("net.toml").write_text('[network]\nloss = "SigmoidBinaryCrossEntropy"\n\n' + LAYERS.format(1))
    assert said(capsys, "train photos --net net.toml") == (
        "net.toml: SigmoidBinaryCrossEntropy tells two classes apart, photos has 3: write "
        'loss = "SoftmaxCrossEntropy"'
    )


# ---- the run file and the options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Buy milk.\n", "is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 5)"),
        (PHOTOS + "[training]\nepoch = 3\n", "[training]: unknown key 'epoch'; did you mean epochs?"),
        (
            PHOTOS + '[training]\nepochs = "ten"\n',
            "[training]: epochs must be a whole number from 1 to 4294967295, got 'ten'",
        ),
        (
            PHOTOS + '[[layer]]\ntype = "Conv2D"\nout_channels = 3\n',
            "layer 0: type 'Conv2D' is unknown; did you mean Conv2d?",
        ),
        (
            PHOTOS + '[training]\noptimizer = { type = "Adam", learning_rate = -1 }\n',
            "[training]: optimizer: Adam: learning_rate must be a number from 0 upwards, and finite, got -1",
        ),
        (
            PHOTOS + '[training]\nschedule = { type = "OneCicle" }\n',
            "[training]: schedule: 'OneCicle' is no schedule; did you mean OneCycle?",
        ),
        (
            PHOTOS + "[training]\nclass_weight = { bleu = 2.0 }\n",
            "class_weight: 'bleu' is no class; did you mean blue?",
        ),
        (
            PHOTOS + "[training]\nearly_stopping = { patience = 2 }\n",
            "[training]: EarlyStopping watches val_loss, and nothing is validated: add validation = 0.1 "
            "below "
            "[data], or let it watch another figure",
        ),
        (
            "[training]\nepochs = 3\n",
            'says no data: add [data] with path = "..." to it, or pass --data PATH',
        ),
    ],
)
def test_the_run_file_is_wrong(photos, capsys, text, message):
    Path("run.toml").write_text(text)
    assert said(capsys, "train run.toml") == f"run.toml: {message}"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--epochs 0", "argument --epochs: must be a whole number from 1 to 4294967295, got '0'"),
        ("--epochs ten", "argument --epochs: must be a whole number from 1 to 4294967295, got 'ten'"),
        ("--lr -0.1", "argument --lr: must be a number above 0, got '-0.1'"),
        ("--optimizer adm", "argument --optimizer: 'adm' is unknown; did you mean Adam?"),
    ],
)
def test_an_option_is_wrong(photos, capsys, option, message):
    assert said(capsys, f"train photos {option}", code=2) == message


def test_a_batch_may_be_larger_than_the_data(photos, capsys):
    assert main(["train", "photos", "--batch-size", "5000", "--epochs", "1", "--no-pictures"]) == 0


# ---- the folder of the run


def test_the_folder_holds_a_run(model, capsys):
    assert said(capsys, "train photos --out model") == (
        "model: already holds a run: go on with it with --resume, replace it with --overwrite, or name "
        "another folder "
        "with --out"
    )


def test_the_folder_is_a_file(photos, capsys):
    Path("mine").touch()
    assert said(capsys, "train photos --out mine") == "mine: is no folder: name another folder with --out"


def test_the_run_had_other_settings(model, capsys):
    assert said(capsys, "train photos --epochs 1 --out model --resume --seed 3") == (
        "model: cannot go on with other settings: [training] seed is 3, that run has 0: give the same, or "
        "name another "
        "folder with --out"
    )


def test_there_is_no_run_to_go_on_with(folder, capsys):
    assert said(capsys, "train --resume --out mine") == (
        "mine: holds no run to go on with: say what to train on too"
    )


def test_matplotlib_is_missing(photos, capsys, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["train", "photos", "--epochs", "1", "--out", "mine"]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert output.splitlines()[-1] == (
        f"{Path('mine/report.html')} has no pictures: pip install 'closedform[plots]', and draw them with "
        "closedform report mine"
    )
    assert Path("mine/report.html").exists()


# ---- the trained model


def test_there_is_no_such_model(photos, capsys):
    assert said(capsys, "predict mine photos") == (
        "mine: there is no such model: name the folder of a run, or its model.safetensors"
    )


def test_the_model_is_another_file(photos, capsys):
    Path("notes.txt").write_text("Buy milk.\n")
    assert said(capsys, "predict notes.txt photos") == (
        "notes.txt: is no safetensors file, or is damaged or cut short"
    )


def test_what_is_to_be_predicted_is_text(model, capsys):
    Path("notes.txt").write_text("Buy milk.\n")
    assert said(capsys, "predict model notes.txt") == (
        "notes.txt: line 1: is 'Buy milk.': of text only CSV is read, a row of numbers for each image, with "
        "commas, semicolons or tabs between them"
    )


def test_the_model_takes_images_of_another_size(model, capsys):
    save_arrays("rows.npz")
    place = Path("model/model.safetensors")
    assert said(capsys, "predict model rows.npz") == (
        f"rows.npz: holds images (1, 12, 12) (channels, height, width), {place} was trained on images (3, "
        f"12, 16): "
        f"give it images of that size, or train on these"
    )


def test_the_model_knows_other_classes(model, capsys):
    save_images("more", {"blue": 4, "purple": 4})
    place = Path("model/model.safetensors")
    assert said(capsys, "evaluate model --data more") == (
        f"more: has the classes blue, purple, {place} was trained on blue, green, red: give it data of those "
        f"classes"
    )
