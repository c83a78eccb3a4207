"""Run files: data, network and training in one TOML file."""

from pathlib import Path

import pytest

import closedform as cf
from closedform.cli import main
from closedform.errors import FileError, SettingError
from closedform.runs.run_file import RunFile, read_network
from closedform.runs.settings import TABLES

LAYERS = '[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\nout_features = 10\n'
NETWORK = '[network]\ninput_shape = [1, 8, 8]\nloss = "SoftmaxCrossEntropy"\n\n' + LAYERS
EVERYTHING = """\
[data]
path = "photos"
image_size = [48, 64]
color_mode = "rgb"
strict = true
validation = 0.2
standardize = true
augment = { shift = 2, flip = true }

[training]
epochs = 3
steps = 90
batch_size = 16
optimizer = { type = "SGD", learning_rate = 0.1, momentum = 0.9 }
schedule = { type = "OneCycle" }
clip_norm = 1.0
label_smoothing = 0.1
class_weight = { cat = 1.0, "t-shirt/top" = 2.5 }
early_stopping = { patience = 3 }
callbacks = [{ type = "EarlyStopping", patience = 5 }]
seed = 7
engine = "reference"
threads = 2
checkpoint_seconds = 30.0

"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text):
    Path("run.toml").write_text(text, encoding="utf-8")
    return RunFile.read("run.toml")


def refusal(text):
    with pytest.raises(FileError) as caught:
        read(text)
    return str(caught.value)


def test_every_setting_is_read(folder):
    run = read(EVERYTHING + NETWORK)
    assert run.data == {
        "path": "photos",
        "image_size": [48, 64],
        "color_mode": "rgb",
        "strict": True,
        "validation": 0.2,
        "standardize": True,
        "augment": {"shift": 2, "flip": True},
    }
    assert run.training == {
        "epochs": 3,
        "steps": 90,
        "batch_size": 16,
        "optimizer": {"type": "SGD", "learning_rate": 0.1, "momentum": 0.9},
        "schedule": {"type": "OneCycle"},
        "clip_norm": 1.0,
        "label_smoothing": 0.1,
        "class_weight": {"cat": 1.0, "t-shirt/top": 2.5},
        "early_stopping": {"patience": 3},
        "callbacks": [{"type": "EarlyStopping", "patience": 5}],
        "seed": 7,
        "engine": "reference",
        "threads": 2,
        "checkpoint_seconds": 30.0,
    }
    assert run.architecture() == cf.Architecture(
        (cf.Flatten(), cf.Dense(10)), (1, 8, 8), cf.SoftmaxCrossEntropy()
    )
    assert [set(TABLES[name]) - set(getattr(run, name)) for name in ("data", "training")] == [set(), set()]


def test_what_is_written_is_what_was_read(folder):
    run = read(EVERYTHING + NETWORK)
    assert run.to_toml(run.architecture()) == EVERYTHING + NETWORK
    assert run.to_toml(run.architecture(), "A run.") == "# A run.\n\n" + EVERYTHING + NETWORK


def test_a_number_of_epochs_replaces_one_of_steps(folder):
    run = read("[training]\nsteps = 90\n")
    assert run.changed("training", epochs=2).training == {"epochs": 2}
    assert run.changed("training", seed=2).training == {"steps": 90, "seed": 2}


def test_what_is_not_said_is_not_there(folder):
    run = read("")
    assert (run.data, run.training, run.network) == ({}, {}, {})
    assert run.data_path() is None


def test_a_network_without_shape_and_loss_takes_those_of_the_data(folder):
    architecture = read(LAYERS).architecture((3, 4, 4), cf.SoftmaxCrossEntropy())
    assert architecture.input_shape == (3, 4, 4)
    assert architecture.loss == cf.SoftmaxCrossEntropy()


def test_a_path_is_seen_from_the_files_folder(folder):
    Path("deep").mkdir()
    Path("deep/run.toml").write_text('[data]\npath = "../photos"\n')
    assert RunFile.read("deep/run.toml").data_path() == "photos"
    Path("deep/run.toml").write_text('[data]\npath = "/mnt/photos"\n')
    assert RunFile.read("deep/run.toml").data_path() == str(Path("/mnt/photos"))
    Path("deep/run.toml").write_text('[data]\npath = "digits"\n')
    assert RunFile.read("deep/run.toml").data_path() == "digits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[date]\n", "run.toml: unknown key 'date'; did you mean data?"),
        ("epochs = 3\n", "run.toml: epochs belongs below [training]"),
        ("path = 'photos'\n", "run.toml: path belongs below [data]"),
        ("loss = 'SoftmaxCrossEntropy'\n", "run.toml: loss belongs below [network]"),
        ("[training]\nepoch = 3\n", "run.toml: [training]: unknown key 'epoch'; did you mean epochs?"),
        ("[training]\nimage_size = 3\n", "run.toml: [training]: image_size belongs below [data]"),
        ("[data]\nseed = 3\n", "run.toml: [data]: seed belongs below [training]"),
        ("training = 3\n", "run.toml: [training] must be a table of keys and values, got 3"),
        (
            "[training]\nepochs = 0\n",
            "run.toml: [training]: epochs must be a whole number from 1 to 4294967295, got 0",
        ),
        (
            '[training]\nepochs = "ten"\n',
            "run.toml: [training]: epochs must be a whole number from 1 to 4294967295, got 'ten'",
        ),
        (
            "[training]\nepochs = true\n",
            "run.toml: [training]: epochs must be a whole number from 1 to 4294967295, got True",
        ),
        (
            '[training]\noptimizer = { type = "Adam", learning_rate = -0.1 }\n',
            "run.toml: [training]: optimizer: Adam: learning_rate must be a number from 0 upwards, and "
            "finite, got -0.1",
        ),
        (
            '[training]\noptimizer = { type = "Adam", learning_rat = 0.1 }\n',
            "run.toml: [training]: optimizer: unknown key 'learning_rat'; did you mean learning_rate?",
        ),
        (
            '[training]\noptimizer = { type = "Adams" }\n',
            "run.toml: [training]: optimizer: type 'Adams' is unknown; did you mean Adam?",
        ),
        (
            "[training]\noptimizer = { learning_rate = 0.1 }\n",
            'run.toml: [training]: optimizer: needs a type, as in { type = "Adam" }',
        ),
        (
            '[training]\noptimizer = { type = "SGD" }\n',
            "run.toml: [training]: optimizer: SGD needs learning_rate, as in "
            '{ type = "SGD", learning_rate = 0.1 }',
        ),
        (
            '[training]\noptimizer = "Adam"\n',
            "run.toml: [training]: optimizer must be a table, as in "
            "{ type = \"Adam\", learning_rate = 0.001 }, got 'Adam'",
        ),
        (
            "[training]\nlabel_smoothing = 1.0\n",
            "run.toml: [training]: label_smoothing must be a number from 0 to below 1, got 1.0",
        ),
        (
            "[training]\nclip_norm = nan\n",
            "run.toml: [training]: clip_norm must be a number above 0, got nan",
        ),
        (
            '[training]\nclass_weight = "even"\n',
            'run.toml: [training]: class_weight must be "balanced", or a table of a number from 0 for each '
            "class, as in { cat = 1.0, dog = 2.5 }, got 'even'",
        ),
        (
            '[training]\nengine = "compield"\n',
            "run.toml: [training]: engine: 'compield' is unknown; did you mean compiled?",
        ),
        (
            "[data]\nvalidation = 1.0\n",
            "run.toml: [data]: validation must be a share from 0 to below 1, or a whole number of images, "
            "got 1.0",
        ),
        (
            "[data]\nimage_size = [1, 2, 3]\n",
            "run.toml: [data]: image_size must be a number of pixels, or a height and a width as in "
            "[48, 64], got [1, 2, 3]",
        ),
        (
            '[data]\ncolor_mode = "greyscale"\n',
            "run.toml: [data]: color_mode: 'greyscale' is unknown; did you mean grayscale?",
        ),
        (
            "[data]\naugment = { crops = 4 }\n",
            "run.toml: [data]: augment: unknown key 'crops'; did you mean crop?",
        ),
        ("[data]\nstrict = 1\n", "run.toml: [data]: strict must be true or false, got 1"),
        (
            "[data\n",
            "run.toml: is not TOML: Expected ']' at the end of a table declaration (at line 1, column 6)",
        ),
    ],
)
def test_a_wrong_file(folder, text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("validation", "0.25", 0.25),
        ("validation", "500", 500),
        ("image_size", "64", 64),
        ("image_size", "48x64", [48, 64]),
        ("augment", "crop=4, flip", {"crop": 4, "flip": True}),
        ("augment", "", {}),
        ("color_mode", "rgb", "rgb"),
    ],
)
def test_a_flag_says_the_same(key, text, value):
    assert TABLES["data"][key].parsed(text) == value


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("validation", "half", "must be a share from 0 to below 1, or a whole number of images, got 'half'"),
        (
            "image_size",
            "64x",
            "must be a number of pixels, or a height and a width as in [48, 64], got '64x'",
        ),
        ("augment", "flop", "unknown key 'flop'; did you mean flip?"),
        ("color_mode", "cmyk", "'cmyk' is unknown; known are grayscale, rgb, rgba"),
    ],
)
def test_a_wrong_flag(key, text, message):
    with pytest.raises(SettingError) as caught:
        TABLES["data"][key].parsed(text)
    assert str(caught.value) == message


# ---- other commands


def test_a_summary_takes_the_network_of_a_run_file(folder, capsys):
    Path("net.toml").write_text(NETWORK)
    Path("run.toml").write_text(EVERYTHING + NETWORK)
    assert main(["summary", "net.toml"]) == 0
    expected = capsys.readouterr()
    assert main(["summary", "run.toml"]) == 0
    assert capsys.readouterr() == expected


def test_a_run_file_without_the_shape_of_its_inputs_has_no_summary(folder, capsys):
    Path("run.toml").write_text('[data]\npath = "digits"\n\n' + LAYERS)
    assert main(["summary", "run.toml"]) == 1
    assert capsys.readouterr() == (
        "",
        "closedform: run.toml: [network] needs input_shape, as in input_shape = [1, 28, 28]: no data are "
        "read for this\n",
    )


def test_a_network_file_stays_one(folder):
    Path("run.toml").write_text(EVERYTHING + NETWORK)
    with pytest.raises(FileError) as caught:
        cf.Network.from_toml("run.toml")
    assert str(caught.value) == "run.toml: unknown key 'data'; known are network, layer"
    Path("net.toml").write_text(NETWORK)
    assert cf.Network.from_toml("net.toml").architecture == read_network("net.toml")
