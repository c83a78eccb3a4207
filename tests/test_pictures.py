"""The pictures of a training run: what each shows, and when there is none."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import closedform as cf
from closedform.runs.charts import confusion_matrix, epoch_axis, learning_curves
from closedform.runs.drawing import as_pictures, drawing, figure, short_name
from closedform.runs.image_sheets import (
    draw_filters,
    draw_mistakes,
    examples_of_classes,
    first_filters,
    first_stages,
    share,
    worst_mistakes,
)
from closedform.runs.pictures import Picture, Samples, can_draw, draw_pictures
from closedform.training.history import History

BLUE, ORANGE, PAPER, DARKEST = (28, 82, 145), (184, 86, 15), (253, 252, 248), (11, 37, 69)
NAMES = ["learning_curves", "confusion_matrix", "worst_mistakes", "filters", "feature_maps"]
CLASSES = ("cat", "<b>$x$</b>", "a very long name of a class that goes on", "猫\n", "_{")


@dataclass(frozen=True)
class Figures:
    """What the pictures read of the metrics."""

    confusion: np.ndarray


def examples(seed=0, count=40, shape=(1, 8, 8), classes=5):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.permutation(np.arange(count) % classes)


def network(*layers, shape=(1, 8, 8), seed=0, loss=None):
    loss = loss or cf.SoftmaxCrossEntropy()
    return cf.Network(layers, shape, loss=loss, seed=seed, engine="reference")


def convolutional(classes=5):
    return network(cf.Conv2d(3, 3), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(classes))


def history(**figures):
    count = len(next(iter(figures.values())))
    return History(dict(figures), list(range(count)), [1.0] * count)


def metrics(x, y, net, classes=5):
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (y, net.predict(x).argmax(1)), 1)
    return Figures(found)


def drawn(folder, net=None, known=None, classes=CLASSES):
    net = net or convolutional()
    known = known or history(loss=[1.5, 1.25], accuracy=[0.25, 0.5])
    x, y = examples()
    return draw_pictures(folder, net, known, metrics(x, y, net), Samples(x, y, classes))


def pixels(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def has(data, colour):
    return bool((pixels(data) == colour).all(-1).any())


def of_style(draw, *arguments):
    with drawing():
        return draw(*arguments)


# ---- the files


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The pictures of a run."""
    return drawn(tmp_path_factory.mktemp("first"))


def test_a_run_has_five_pictures(first):
    folder = first[0].path.parent
    assert [(p.name, p.path) for p in first] == [(f"{n}.png", folder / f"{n}.png") for n in NAMES]
    assert sorted(os.listdir(folder)) == sorted(f"{name}.png" for name in NAMES)
    assert all(picture.title and picture.caption.endswith(".") and picture.alt for picture in first)
    for picture in first:
        height, width, _ = pixels(picture.path.read_bytes()).shape
        assert 500 < width < 1700, picture.name
        assert 200 < height < 3000, picture.name


def test_the_same_run_gives_the_same_bytes(first, tmp_path):
    assert [p.path.read_bytes() for p in first] == [p.path.read_bytes() for p in drawn(tmp_path)]


def test_another_run_gives_other_pictures(first, tmp_path):
    other = network(cf.Conv2d(3, 3), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(5), seed=1)
    second = drawn(tmp_path, other, history(loss=[1.5, 1.0], accuracy=[0.25, 0.5]))
    same = [p.path.read_bytes() == q.path.read_bytes() for p, q in zip(first, second, strict=True)]
    assert same == [False] * 5


def test_what_cannot_be_shown_is_left_out_with_a_sentence(tmp_path):
    (tmp_path / "filters.png").write_bytes(b"of an earlier run")
    x, y = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32), np.arange(20) % 2
    net = network(cf.Dense(2), shape=(4,))
    confusion = Figures(np.array([[10, 0], [0, 10]]))
    found = draw_pictures(tmp_path, net, history(loss=[1.0]), confusion, Samples(x, y, ("a", "b")))
    assert [(p.path is None, p.caption) for p in found[2:]] == [
        (True, "There are no mistakes to show: the network does not classify images."),
        (True, "There are no filters to show: no layer of the network has any."),
        (True, "There are no feature maps: the network takes no images."),
    ]
    assert sorted(os.listdir(tmp_path)) == ["confusion_matrix.png", "learning_curves.png"]


def test_without_a_test_set_and_an_epoch_only_the_filters_are_left(tmp_path):
    found = draw_pictures(tmp_path, convolutional(), History(), None, None)
    assert [p.caption for p in found if p.path is None] == [
        "There are no learning curves: no epoch was finished.",
        "There is no confusion matrix: there is no test set.",
        "There are no mistakes to show: there are no test images.",
        "There are no feature maps: there are no test images.",
    ]
    assert os.listdir(tmp_path) == ["filters.png"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(cf.FileError) as caught:
        drawn(tmp_path / "file")
    path = tmp_path / "file"
    assert str(caught.value) == f"{path / 'learning_curves.png'}: cannot be written: {path} is no folder"


def test_without_matplotlib_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not can_draw()
    with pytest.raises(cf.MissingError) as caught:
        drawn(tmp_path)
    assert str(caught.value) == "pictures need matplotlib: pip install 'closedform[plots]'"
    assert os.listdir(tmp_path) == []


def test_nothing_is_said_and_nothing_of_the_users_is_changed(tmp_path):
    """With a settings folder that cannot be used, and a user's own style."""
    (tmp_path / "none").write_text("")
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: black\nfigure.facecolor: black\nfont.size: 40\n")
    code = f"""
import logging, sys
from closedform.runs.drawing import can_draw
assert can_draw()
import matplotlib
before, level = matplotlib.rcParams.copy(), logging.getLogger("matplotlib").level
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_pictures import PAPER, history, learning_curves, of_style, pixels
data = of_style(learning_curves, history(loss=[1.0, 0.5]))
assert tuple(pixels(data)[0, 0]) == PAPER
assert "matplotlib.pyplot" not in sys.modules
assert [key for key in before if key != "backend" and matplotlib.rcParams[key] != before[key]] == []
assert before["font.size"] == 40
assert logging.getLogger("matplotlib").level == level
"""
    settings = {"MPLCONFIGDIR": str(tmp_path / "none"), "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | settings,
        cwd=os.path.dirname(__file__),
        timeout=120,
    )
    assert done.stdout + done.stderr == ""


# ---- learning curves


@pytest.mark.parametrize("count", [1, 2, 6, 7, 50, 400])
def test_epochs_are_marked_at_whole_numbers(count):
    with drawing():
        axes = figure(4, 3).add_subplot()
        epoch_axis(axes, count)
        low, high = axes.get_xlim()
        marks = [mark for mark in axes.get_xticks() if low <= mark <= high]
    assert low < 1
    assert high > count
    assert marks == [round(mark) for mark in marks]
    assert 1 <= len(marks) <= 8
    assert min(marks) >= 1


def test_validation_is_drawn_in_its_own_colour():
    alone = of_style(learning_curves, history(loss=[2.0, 1.0]))
    both = of_style(learning_curves, history(loss=[2.0, 1.0], val_loss=[2.5, 1.5]))
    assert [has(alone, BLUE), has(alone, ORANGE)] == [True, False]
    assert [has(both, BLUE), has(both, ORANGE)] == [True, True]


def test_a_falling_loss_falls():
    data = pixels(of_style(learning_curves, history(loss=[4.0, 3.0, 2.0, 1.0])))
    rows, columns = np.nonzero((data == BLUE).all(-1))
    assert np.corrcoef(rows, columns)[0, 1] > 0.95  # rows count downwards


def test_one_epoch_numbers_that_are_none_and_the_learning_rate_are_drawn():
    one = of_style(learning_curves, history(loss=[1.0], accuracy=[0.5]))
    assert has(one, BLUE)
    gap = of_style(learning_curves, history(loss=[1.0, float("nan"), float("inf"), 0.5]))
    assert has(gap, BLUE)
    rates = {"learning_rate": [0.1, 0.01, 0.001]}
    with_rate = of_style(learning_curves, history(loss=[3.0, 2.0, 1.0], **rates))
    assert pixels(with_rate).shape[0] > 1.4 * pixels(one).shape[0]
    only_rate = of_style(learning_curves, history(**rates))
    assert pixels(only_rate).shape[0] < pixels(one).shape[0]


# ---- the confusion matrix


def dark_blocks(data):
    """The middle of the darkest cells, those of a whole row's images: (row, column) from 0 to 1."""
    dark = (pixels(data) == DARKEST).all(-1)
    dark[:, dark.sum(0) < 60] = False  # the colour bar has few such pixels in a column
    rows, columns = np.nonzero(dark)
    return np.corrcoef(rows, columns)[0, 1], dark.sum()


def test_right_images_are_dark_on_the_diagonal_from_the_top_left():
    classes = tuple("abcd")
    right, area = dark_blocks(of_style(confusion_matrix, np.eye(4, dtype=np.int64) * 7, classes))
    assert right > 0.8
    assert area > 4 * 100 * 100
    assert dark_blocks(of_style(confusion_matrix, np.eye(4, dtype=np.int64)[::-1] * 7, classes))[0] < -0.8


def test_colours_are_shares_of_the_row():
    few = of_style(confusion_matrix, np.array([[1, 0], [0, 9000]]), ("a", "b"))
    many = of_style(confusion_matrix, np.array([[9000, 0], [0, 1]]), ("a", "b"))
    assert dark_blocks(few)[1] == pytest.approx(dark_blocks(many)[1], rel=0.02)
    with_empty_row = of_style(confusion_matrix, np.array([[0, 0], [0, 9000]]), ("a", "b"))
    assert dark_blocks(with_empty_row)[1] < 0.6 * dark_blocks(few)[1]


def test_the_number_of_images_is_written():
    one = of_style(confusion_matrix, np.array([[1, 0], [0, 5]]), ("a", "b"))
    two = of_style(confusion_matrix, np.array([[2, 0], [0, 5]]), ("a", "b"))
    assert one != two


@pytest.mark.parametrize("count", [21, 100])
def test_many_classes_stay_as_large_as_a_page(count):
    height, width, _ = pixels(
        of_style(confusion_matrix, np.eye(count, dtype=np.int64), [f"class {k}" for k in range(count)])
    ).shape
    assert 1152 < height < 1650  # 6 inches of 192 pixels, and the names
    assert 1152 < width < 1800


def test_the_caption_names_what_is_confused_most_often(tmp_path):
    x, y = examples(classes=3)
    confusion = Figures(np.array([[8, 0, 5], [0, 9, 1], [7, 0, 10]]))
    net = network(cf.Flatten(), cf.Dense(3))
    found = draw_pictures(tmp_path, net, History(), confusion, Samples(x, y, ("cat", "dog", "cow")))
    assert found[1].caption == (
        "Each row is a true class, each column what the network took its images for; the darker a cell, the "
        "larger its share of the row. An empty cell is 0. On the diagonal are the 27 of 40 test images that "
        "are right. Most often confused: cow → cat (7), cat → cow (5), dog → cow (1)."
    )


def test_more_than_a_hundred_classes_are_not_drawn(tmp_path):
    x, y = examples(classes=101, count=101)
    samples = Samples(x, y, tuple(map(str, range(101))))
    net = network(cf.Flatten(), cf.Dense(101))
    found = draw_pictures(tmp_path, net, History(), Figures(np.eye(101, dtype=np.int64)), samples)
    assert found[1] == Picture(
        "confusion_matrix.png",
        "Confusion matrix",
        "The confusion matrix is drawn for up to 100 classes, and there are 101.",
    )


# ---- filters


def filters_of(*layers, shape):
    net = network(*layers, cf.Flatten(), cf.Dense(2), shape=shape)
    return first_filters(net), np.array(net.parameters["0.weight"])


def test_grey_filters_are_shown_in_rows_of_eight():
    found, weight = filters_of(cf.Conv2d(10, 3), shape=(1, 8, 8))
    assert found.kernels.shape == (2, 8, 3, 3)
    assert (found.shown, found.total, found.are_coloured) == (10, 10, False)
    np.testing.assert_array_equal(found.kernels[1, 1], weight[9, 0])
    assert np.isnan(found.kernels[1, 2:]).all()


def test_at_most_sixty_four_filters_are_shown():
    found, _ = filters_of(cf.Conv2d(70, 3), shape=(1, 8, 8))
    assert (found.kernels.shape, found.shown, found.total) == ((8, 8, 3, 3), 64, 70)


def test_filters_of_colour_images_are_coloured():
    found, weight = filters_of(cf.Conv2d(4, 5), shape=(3, 8, 8))
    assert (found.kernels.shape, found.are_coloured) == ((1, 4, 3, 5, 5), True)
    np.testing.assert_array_equal(found.kernels[0, 2], weight[2])


def test_three_channels_of_a_later_layer_are_no_colours():
    net = network(cf.MaxPool2d(2), cf.Conv2d(2, 3, name="deep"), cf.Flatten(), cf.Dense(2), shape=(3, 8, 8))
    found = first_filters(net)
    assert (found.place, found.kernels.shape, found.are_coloured) == ("deep", (2, 3, 3, 3), False)
    assert (found.rows, found.columns) == (("filter 0", "filter 1"), ("channel 0", "channel 1", "channel 2"))


@pytest.mark.parametrize(
    ("layer", "shape", "kernels"),
    [
        (cf.DepthwiseConv2d(3), (6, 8, 8), (1, 6, 3, 3)),
        (cf.ChannelSummedConv2d(5, 2), (3, 8, 8), (1, 5, 2, 2)),
        (cf.Conv2d(12, 3), (9, 8, 8), (8, 8, 3, 3)),
        (cf.LocallyConnected2d(3, 3, stride=2), (3, 7, 7), (8, 3, 3, 3, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_filter_can_be_shown(layer, shape, kernels):
    found, _ = filters_of(layer, shape=shape)
    assert found.kernels.shape == kernels
    assert has(of_style(draw_filters, found), PAPER)


def test_local_filters_are_those_of_their_position():
    found, weight = filters_of(cf.LocallyConnected2d(2, 4, stride=2), shape=(1, 8, 8))
    assert found.kernels.shape == (8, 2, 4, 4)
    assert found.rows[-1] == "row 2, column 2"
    np.testing.assert_array_equal(found.kernels[-1, 1], weight[2, 2, 1, 0])
    assert (found.shown, found.total, found.are_local) == (16, 18, True)


def test_positive_weights_are_orange_and_negative_ones_blue():
    net = network(cf.Conv2d(1, 2), cf.Flatten(), cf.Dense(2))
    net.parameters["0.weight"] = np.array([[[[2.0, 0.0], [0.0, -2.0]]]], np.float32)
    data = pixels(of_style(draw_filters, first_filters(net)))[:280]  # without the colour bar
    orange, blue = (np.argwhere((data == colour).all(-1)) for colour in ((138, 59, 4), (11, 58, 117)))
    assert len(orange) > 100 * 100
    assert len(blue) > 100 * 100
    assert (orange.mean(0) + 100 < blue.mean(0)).all()  # up and to the left


# ---- feature maps


def test_feature_maps_are_the_outputs_of_the_shortened_network():
    layers = [cf.Conv2d(3, 3, name="conv"), cf.Tanh(), cf.AvgPool2d(2), cf.Dropout(0.5), cf.Conv2d(4, 2)]
    net = network(*layers, cf.Flatten(), cf.Dense(2))
    net.standardization = cf.Standardization((0.25,), (0.5,))
    x, _ = examples(count=3)
    stages = first_stages(net, x)
    assert [stage.name for stage in stages] == ["conv: Conv2d, Tanh", "2: AvgPool2d", "4: Conv2d"]
    for stage, end in zip(stages, (2, 3, 5), strict=True):
        part = cf.Network(layers[:end], (1, 8, 8), engine="reference")
        part.parameters = {key: net.parameters[key] for key in part.parameters}
        expected = part.forward((x.astype(np.float32) / 255 - np.float32(0.25)) * 2)
        np.testing.assert_allclose(stage.maps, expected, rtol=1e-5, atol=1e-6)


def test_only_the_first_four_stages_are_shown():
    layers = [cf.Conv2d(2, 3, padding=1) for _ in range(6)]
    stages = first_stages(network(*layers, cf.Flatten(), cf.Dense(2)), examples(count=1)[0])
    assert [stage.name for stage in stages] == ["0: Conv2d", "1: Conv2d", "2: Conv2d", "3: Conv2d"]


def test_a_network_without_stages_says_so(tmp_path):
    found = drawn(tmp_path, network(cf.Flatten(), cf.Dense(5)))
    assert found[4].caption == "There are no feature maps: the network has no convolution or pooling."


def test_images_of_different_classes_are_chosen():
    y = np.array([3, 3, 0, 7, 0, 5, 9, 8])
    assert examples_of_classes(y).tolist() == [2, 5, 3, 6]  # of the classes 0, 3, 5, 7, 8, 9
    assert examples_of_classes(np.array([1, 1])).tolist() == [0]


# ---- mistakes


def test_the_worst_mistakes_come_first():
    outputs = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    found = worst_mistakes(outputs, np.array([1, 1, 2, 0]))
    assert found.positions.tolist() == [0, 3, 1]
    assert found.true.tolist() == [1, 0, 1]
    assert found.predicted.tolist() == [0, 1, 0]
    assert found.probabilities.tolist() == [0.9, 0.8, 0.6]
    assert found.total == 3


def test_at_most_twenty_five_mistakes_are_shown(tmp_path):
    outputs = np.tile([0.25, 0.75], (40, 1))
    found = worst_mistakes(outputs, np.zeros(40, np.int64))
    assert (len(found.positions), found.total) == (25, 40)
    assert found.positions.tolist() == list(range(25))


def test_one_output_is_the_probability_of_the_second_class():
    found = worst_mistakes(np.array([[0.75], [0.25], [0.9]]), np.array([0, 1, 1]))
    assert (found.positions.tolist(), found.predicted.tolist()) == ([0, 1], [1, 0])
    assert found.probabilities.tolist() == [0.75, 0.75]


def test_outputs_that_are_no_probabilities_have_none():
    found = worst_mistakes(np.array([[3.0, 1.0], [2.0, -5.0]]), np.array([1, 1]))
    assert (found.positions.tolist(), found.probabilities) == ([1, 0], None)


def test_a_mistake_is_shown_with_its_image():
    images = np.zeros((2, 3, 6, 6), np.uint8)
    images[0, 0], images[1, 2] = 255, 255
    found = worst_mistakes(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([0, 1]))
    data = of_style(draw_mistakes, images, found, CLASSES)
    red, blue = (np.argwhere((pixels(data) == colour).all(-1)) for colour in ((255, 0, 0), (0, 0, 255)))
    assert len(red) > 200 * 200
    assert red.mean(0)[1] + 200 < blue.mean(0)[1]


def test_no_mistakes_are_said_and_not_drawn(tmp_path):
    x, y = examples(count=6, classes=2)
    samples = Samples(x, y, ("a", "b"), np.eye(2)[y])
    net = network(cf.Flatten(), cf.Dense(2))
    found = draw_pictures(tmp_path, net, History(), Figures(np.array([[3, 0], [0, 3]])), samples)
    assert found[2].caption == "There are no mistakes to show: every test image was classified right."
    assert os.listdir(tmp_path) == ["confusion_matrix.png"]


# ---- words and images


@pytest.mark.parametrize(
    ("probability", "words"), [(0.5, "50%"), (0.994, "99%"), (0.9951, ">99%"), (1.0, "100%"), (0.001, "0%")]
)
def test_what_is_not_certain_is_not_called_so(probability, words):
    assert share(probability) == words


def test_names_are_short_and_printable():
    assert short_name("cat") == "cat"
    assert short_name("a very long name of a class") == "a very long name of…"
    assert short_name("a\nb\x1b[0m") == "a�b�[0m"


def test_images_are_shown_from_0_to_1():
    grey = np.array([[[[0, 51]]]], np.uint8)
    np.testing.assert_allclose(as_pictures(grey), [[[0, 0.2]]], rtol=1e-6)
    wide = np.array([[[[-1.0, 1.0, 3.0]]]], np.float32)
    assert as_pictures(wide).tolist() == [[[0, 0.5, 1]]]
    assert as_pictures(np.zeros((2, 3, 4, 5), np.uint8)).shape == (2, 4, 5, 3)
    two = np.array([[[[0.0]], [[1.0]]]], np.float32)
    assert as_pictures(two).tolist() == [[[0.5]]]
