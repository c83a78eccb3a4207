"""The recipes: run files that the command reads, with the published networks in them."""

import sys
from pathlib import Path

import numpy as np
import pytest

import closedform as cf
from closedform.cli import main
from closedform.runs.run_file import RunFile

RECIPES = Path(__file__).parents[1] / "recipes"

# weights and biases, added up by hand
PARAMETERS = {
    "caffe-lenet": 431_080,  # 20·26 + 50·501 + 500·801 + 10·501
    "keras-mnist-convnet": 34_826,  # 32·10 + 64·289 + 10·1601, as Keras's page states
    "lenet-sigmoid-fashion": 61_706,  # 6·26 + 16·151 + 120·401 + 84·121 + 10·85
    "locally-connected": 83_978,  # 144·8·26 + 16·16·201 + 10·257
    "shared-kernels": 5_994,  # 8·26 + 16·201 + 10·257
    "ufldl-mnist": 10_830,  # 10·82 + 10·1001
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Images of MNIST's size in which a bright row says the class."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    arrays = {}
    for part, count in (("train", 60), ("test", 20)):
        y = np.arange(count) % 10
        x = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        x[np.arange(count), 2 * y + 4] = 255
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    yield
    for name in ("local_against_shared", "ufldl_momentum"):
        sys.modules.pop(name, None)


def test_every_recipe_is_counted():
    assert sorted(PARAMETERS) == sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_has_the_published_networks_number_of_parameters(name):
    assert RunFile.read(RECIPES / f"{name}.toml").architecture().parameter_count == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_readme_shows_each_recipe(name):
    assert f"`{name}.toml`" in (RECIPES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_takes_its_data_from_the_folder_beside_it(name):
    data = RunFile.read(RECIPES / f"{name}.toml").data_path()
    kind = "fashion-mnist" if name == "lenet-sigmoid-fashion" else "mnist"
    assert Path(data) == RECIPES / "data" / kind


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_trains(name, digits, tmp_path, capsys):
    """One epoch of its batches on other images, by the command."""
    words = ["--data", digits, "--epochs", 1, "--validation", 0.1, "--engine", "reference", "--no-pictures"]
    assert (
        main(["train", str(RECIPES / f"{name}.toml"), *map(str, words), "--out", str(tmp_path / "run")]) == 0
    )
    assert f"{PARAMETERS[name]:,} parameters" in capsys.readouterr().out
    assert cf.load(tmp_path / "run" / "model.safetensors").output_shape == (10,)


def test_caffes_recipe_makes_ten_thousand_steps_at_caffes_rates():
    """base·(1 + gamma·step)^−power at steps 0, 5000 and 9999, as Caffe's log prints it: lr = 0.00737788 …"""
    from closedform.runs.settings import schedule

    training = RunFile.read(RECIPES / "caffe-lenet.toml").training
    rates = schedule(training["schedule"]).rates(np.array([0, 5000, 9999]), 0.01, 938, 10_000)
    assert training["steps"] == 10_000
    assert rates == pytest.approx([0.01, 0.00737788, 0.00594626], rel=1e-5)


def test_both_networks_of_the_comparison_have_as_many_units():
    shapes = [RunFile.read(RECIPES / f"{name}.toml").architecture().shapes for name in (
        "locally-connected", "shared-kernels",
    )]  # fmt: skip
    assert shapes[0] == shapes[1]
    assert shapes[0][1] == (8, 12, 12)


def test_filters_lie_side_by_side_with_a_line_between_them(scripts):
    import local_against_shared as script

    filters = np.arange(1.0, 1 + 8 * 25).reshape(8, 5, 5)
    tiles = script.shared(filters)
    assert tiles.shape == (11, 23)
    assert np.isnan(tiles[5]).all()
    assert np.isnan(tiles[:, [5, 11, 17]]).all()
    assert tiles[4, 4] == 25
    assert tiles[10, 22] == 200
    assert tiles[6, 0] == 101


def test_a_positions_filter_lies_at_its_place(scripts):
    import local_against_shared as script

    filters = np.ones((12, 12, 8, 5, 5))
    filters[3, 7, 0] = -1.0
    tiles = script.local(filters)
    assert tiles.shape == (71, 71)
    assert (tiles[18:23, 42:47] == -1.0).all()
    assert np.nansum(tiles < 0) == 25


def test_the_picture_is_drawn(scripts):
    pytest.importorskip("matplotlib", reason="install closedform[plots] to draw")
    import local_against_shared as script

    generator = np.random.default_rng(0)
    found = {
        "locally-connected": [
            script.Run(83_978, 1.5, [3.0, 2.0], generator.standard_normal((12, 12, 8, 5, 5)))
        ],
        "shared-kernels": [script.Run(5_994, 1.3, [3.0, 1.9], generator.standard_normal((8, 5, 5)))],
    }
    assert script.picture(found).startswith(b"\x89PNG\r\n\x1a\n")


def test_the_tutorials_momentum_is_followed_step_by_step(scripts, digits):
    """The small images are learnt: bright rows."""
    import ufldl_momentum as script

    assert script.network(20, 0).architecture.parameter_count == 21_650  # 20·82 + 10·2001
    assert script.trained(cf.load_data(digits), 4, 0, epochs=20) >= 0.9
