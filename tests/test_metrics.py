"""What a network's answers are worth: each figure as counted by hand."""

import json

import numpy as np
import pytest

import closedform as cf
from closedform.training.metrics import measure


def counted(outputs, labels):
    """Every figure by counting pairs, one example at a time."""
    count = len(outputs[0])
    confusion = [[0] * count for _ in range(count)]
    found_early = 0
    for row, label in zip(outputs, labels, strict=True):
        order = sorted(range(count), key=lambda k, row=row: (-row[k], k))
        confusion[label][order[0]] += 1
        found_early += label in order[:5]
    precision, recall, f1 = [], [], []
    for k in range(count):
        true, claimed, own = confusion[k][k], sum(row[k] for row in confusion), sum(confusion[k])
        precision.append(true / claimed if claimed else 0.0)
        recall.append(true / own if own else 0.0)
        both = precision[k] + recall[k]
        f1.append(2 * precision[k] * recall[k] / both if both else 0.0)
    return {
        "loss": 0.25,
        "accuracy": sum(confusion[k][k] for k in range(count)) / len(labels),
        "top_5_accuracy": found_early / len(labels) if count > 5 else None,
        "classes": [str(k) for k in range(count)],
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "support": [sum(row) for row in confusion],
        "confusion": confusion,
    }


@pytest.mark.parametrize(("classes", "count"), [(2, 50), (3, 1), (3, 200), (6, 300), (7, 300), (100, 400)])
def test_figures_are_those_that_counting_gives(classes, count):
    """Outputs of one decimal, so that many are equal; with 100 classes some have no example at all."""
    rng = np.random.default_rng(classes + count)
    labels = rng.integers(0, classes, count)
    outputs = rng.normal(size=(count, classes)).round(1)
    outputs[np.arange(count), labels] += 0.8
    found, expected = measure(outputs, labels, 0.25).to_dict(), counted(outputs.tolist(), labels.tolist())
    assert list(found) == list(expected)
    for key in ("loss", "accuracy", "top_5_accuracy", "classes", "support", "confusion"):
        assert found[key] == expected[key]
    for key in ("precision", "recall", "f1"):
        assert found[key] == pytest.approx(expected[key], rel=1e-14)
    json.dumps(found)


def test_nothing_divided_by_nothing_is_0():
    """Nobody is taken for class 1, and class 2 has no example."""
    found = measure(np.eye(3)[[0, 0, 2]], np.array([0, 1, 0]))
    assert found.precision.tolist() == [0.5, 0.0, 0.0]
    assert found.recall.tolist() == [0.5, 0.0, 0.0]
    assert found.f1.tolist() == [0.5, 0.0, 0.0]
    assert found.support.tolist() == [2, 1, 0]
    assert found.loss is None


def test_means_give_every_class_the_same_weight():
    found = measure(np.eye(2)[[0, 0, 0, 0, 1]], np.array([0, 0, 0, 1, 1]))
    assert found.macro_precision == (3 / 4 + 1) / 2
    assert found.macro_recall == (1 + 1 / 2) / 2
    assert found.macro_f1 == pytest.approx((6 / 7 + 2 / 3) / 2)


def test_of_equal_outputs_the_first_is_preferred():
    """A network that says the same of all finds its first class, and its first five among five."""
    found = measure(np.zeros((10, 10)), np.arange(10))
    assert (found.accuracy, found.top_5_accuracy) == (0.1, 0.5)


def test_an_example_with_nan_is_wrong_whatever_its_label():
    outputs = np.eye(6)[[0, 1, 2]]
    outputs[:2, 3] = np.nan
    found = measure(outputs, np.array([0, 1, 2]))
    assert (found.accuracy, found.top_5_accuracy) == (1 / 3, 1 / 3)
    assert [found.confusion[0, 1], found.confusion[1, 0], found.confusion[2, 2]] == [1, 1, 1]


@pytest.mark.parametrize(("column", "threshold"), [([0.1, 0.5, 0.5001, 1.0], 0.5), ([-3, 0, 1e-9, 40], 0.0)])
def test_one_column_is_the_second_of_two_classes(column, threshold):
    found = measure(np.array(column)[:, None], np.array([0, 1, 1, 0]), threshold=threshold)
    assert found.confusion.tolist() == [[1, 1], [1, 1]]
    assert found.classes == ("0", "1")


def test_labels_may_be_of_any_whole_type():
    outputs = np.eye(2)[[0, 1, 1]]
    for kind in (bool, np.uint8, np.int64):
        assert measure(outputs, np.array([0, 1, 0], kind)).confusion.tolist() == [[1, 1], [0, 1]]


def test_figures_are_shown_as_a_table():
    outputs = np.eye(3)[[0, 0, 0, 1, 1, 2, 0]]
    found = measure(outputs, np.array([0, 0, 1, 1, 1, 2, 2]), 0.5, ["cat", "dog", "a"])
    assert str(found).splitlines() == [
        "accuracy 71.43% (5 of 7)",
        "loss 0.5000",
        "",
        "class  precision  recall     f1  examples",
        "cat        0.500   1.000  0.667         2",
        "dog        1.000   0.667  0.800         3",
        "a          1.000   0.500  0.667         2",
        "mean       0.833   0.722  0.711         7",
        "",
        "rows: the class; columns: what it was taken for",
        "     cat dog   a",
        "cat    2   0   0",
        "dog    1   2   0",
        "a      1   0   1",
    ]


def table(classes, each, names=None):
    """The table of a network that is always right, about so many examples of each class."""
    labels = np.arange(classes).repeat(each)
    return str(measure(np.eye(classes)[labels], labels, 0.0, names)).splitlines()


def test_ten_classes_with_long_names_fit_into_100_columns():
    lines = table(10, 1000, [f"{'very ' * 20}{k}" for k in range(10)])
    assert lines[:3] == ["accuracy 100.00% (10000 of 10000)", "among the first five 100.00%", "loss 0.0000"]
    assert lines[5] == "very very very very ver…      1.000   1.000  1.000      1000"
    assert lines[18] == " " * 26 + " ".join(["very …"] * 10)
    assert lines[19] == "very very very very ver…    1000" + "      0" * 9
    assert max(map(len, lines)) == 95


def test_names_are_cut_no_shorter_than_they_must_be():
    assert table(10, 1, [f"class {k}" for k in range(10)])[18] == " " * 9 + " ".join(
        f"class {k}" for k in range(10)
    )


def test_a_matrix_that_100_columns_cannot_hold_is_left_out():
    assert table(23, 999)[-1] == "22  " + "  0 " * 22 + "999"
    assert table(23, 1000)[-1].startswith("mean ")


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_networks_figures_are_those_of_evaluate_and_predict(engine):
    x, y, *_ = cf.load_digits()
    layers = [cf.Flatten(), cf.Dense(10)]
    net = cf.Network(layers, x.shape[1:], cf.SoftmaxCrossEntropy(), engine=engine)
    net.fit(x, y, optimizer=cf.SGD(0.1), verbose=0)
    found, expected = net.metrics(x, y), net.evaluate(x, y)
    assert found.loss == pytest.approx(expected["loss"], rel=1e-6)
    assert found.accuracy == expected["accuracy"]
    assert found.support.tolist() == np.bincount(y).tolist()
    taken = net.predict(x).argmax(1)
    assert found.confusion[7, 9] == np.count_nonzero((y == 7) & (taken == 9))


def test_a_network_with_one_output_has_two_classes():
    net = cf.Network([cf.Dense(1)], (1,), cf.SigmoidBinaryCrossEntropy())
    net.classes = ("no", "yes")
    net.parameters["0.weight"][...], net.parameters["0.bias"][...] = 1, 0
    found = net.metrics(np.array([[-2.0], [-1.0], [1.0], [3.0]]), [0, 1, 1, 1])
    assert (found.classes, found.confusion.tolist()) == (("no", "yes"), [[1, 0], [1, 2]])


@pytest.mark.parametrize(
    ("outputs", "labels", "classes", "error", "message"),
    [
        (np.zeros(3), [0], None, cf.ShapeError, "outputs must be (N, classes), at least one, got (3,)"),
        (np.zeros((0, 3)), [], None, cf.ShapeError, "outputs must be (N, classes), at least one, got (0, 3)"),
        (
            np.zeros((2, 3)),
            [0],
            None,
            cf.DataError,
            "there must be one label for each example, shape (2,), got (1,)",
        ),
        (np.zeros((2, 3)), [0, 3], None, cf.DataError, "labels must be from 0 to 2, got 3 at position 1"),
        (np.zeros((2, 1)), [0, -1], None, cf.DataError, "labels must be from 0 to 1, got -1 at position 1"),
        (
            np.zeros((2, 3)),
            [0, 1],
            ["a", "b"],
            cf.DataError,
            "there are 2 names for 3 classes: give one for each",
        ),
    ],
)
def test_outputs_and_labels_that_do_not_fit(outputs, labels, classes, error, message):
    with pytest.raises(error) as caught:
        measure(outputs, np.array(labels, int), None, classes)
    assert str(caught.value) == message


def test_a_loss_that_does_not_classify_has_no_such_figures():
    net = cf.Network([cf.Dense(1)], (1,), cf.MeanSquaredError())
    with pytest.raises(cf.SettingError) as caught:
        net.metrics(np.zeros((2, 1)), [0.0, 1.0])
    assert str(caught.value) == ("metrics needs a loss that classifies, got MeanSquaredError: use evaluate")
