"""How much each example counts, in float32."""

from fractions import Fraction

import numpy as np
import pytest

import closedform as cf
from closedform.training.weighting import example_weights, smoothed

LABELS = np.array([0, 1, 1])


def test_weights_of_classes_and_examples_are_multiplied():
    found = example_weights(LABELS, 3, {1: Fraction(1, 2), 2: np.float64(7)}, [3, 4, 0])
    assert found.dtype == np.float32
    assert found.tolist() == [3, 2, 0]
    assert example_weights(LABELS, 3, None, None) is None


def test_smoothed_targets_stay_float32():
    targets = np.eye(4, dtype=np.float32)[[1]]
    found = smoothed(targets, Fraction(1, 2), cf.SoftmaxCrossEntropy())
    assert found.dtype == np.float32
    assert found.tolist() == [[0.125, 0.625, 0.125, 0.125]]
    assert targets.tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("class_weight", "sample_weight", "message"),
    [
        (
            {0: 10**400},
            None,
            f"class_weight: the weight of 0 must be a finite number from 0, got 1{'0' * 59}",
        ),
        ({0: True}, None, "class_weight: the weight of 0 must be a finite number from 0, got True"),
        ({True: 1.0}, None, "class_weight: labels are whole numbers from 0 to 2, got True"),
        (
            {1: 1e300},
            None,
            "the weights of the examples are too large for float32: scale them to about 1",
        ),
        (
            {0: 0.0},
            [1, 1e-60, 0],
            "every example has the weight 0: give at least one of them a larger one",
        ),
    ],
)
def test_weights_that_make_no_sense(class_weight, sample_weight, message):
    with pytest.raises(cf.SettingError) as caught:
        example_weights(LABELS, 3, class_weight, sample_weight)
    assert str(caught.value) == message
