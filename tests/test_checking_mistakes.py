"""Checking names mistakes: each is made by plain loops, in every layer to which it applies."""

import os
import time

import numpy as np
import pytest
from mistaken import MAKERS, example
from mistaken_layers import (
    convolution_input_gradient,
    convolution_weight_gradient,
    draw_convolution,
    draw_pool,
    draw_rows,
    loss_input_gradient,
    max_pool_input_gradient,
)

import closedform as cf
from closedform.checking import MISTAKES, check
from closedform.checking.mistakes import preferred

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
KINDS = sorted({name for name, _ in MAKERS})
WRONG = sorted((name, mistake) for name, mistake in MAKERS if mistake)


def verdict(claim):
    return check(claim.claim, claim.layer, claim.wrt, arrays=claim.arrays)


def numbers(z):
    return {"X": z.X, "W": z.W, "b": z.b, "dY": z.dY}


IN_THE_LIST = [
    "kernel-not-rotated", "kernel-rotated", "convolution-flipped", "zeros-not-inserted",
    "padding-not-cropped", "padding-cropped-twice", "padding-once-in-size", "channels-swapped",
    "channels-summed", "channels-not-summed", "bias-not-summed-over-positions",
    "bias-not-summed-over-batch", "mean-missing",
    "mean-doubled", "pool-factor-missing", "pool-factor-wrong", "max-spread", "max-wrong-entry",
    "relu-mask-missing", "relu-mask-wrong-array", "matrix-product", "elementwise-product",
    "transposed-operand", "sign", "off-by-one", "updated-weights", "labels-not-subtracted",
    "sigmoid-derivative-missing",
]  # fmt: skip


def test_every_mistake_of_the_list_has_an_id_and_a_sentence():
    assert set(IN_THE_LIST) <= set(MISTAKES)
    assert len(MISTAKES) >= 25
    for name, mistake in MISTAKES.items():
        assert mistake.id == name
        assert mistake.description.endswith(".")


@pytest.mark.parametrize("name", KINDS)
def test_plain_loops_without_a_mistake_are_right(name):
    for seed in (0, 1):
        found = verdict(example(name, None, seed))
        assert found.right, found.text()
        assert found.mistakes == ()
        assert found.first_wrong is None


@pytest.mark.parametrize(("name", "mistake"), WRONG)
def test_each_mistake_is_named_in_each_layer(name, mistake):
    found = verdict(example(name, mistake, seed=0))
    assert not found.right
    assert found.mistakes == (mistake,), found.text()


SHARE = 1 if SLOW else 12  # one case in so many; the long form has them all


def test_of_a_thousand_seeded_mistakes_95_in_100_are_named():
    cases = [(name, mistake, seed) for seed in range(100, 105) for name, mistake in WRONG]
    assert len(cases) >= 1000
    chosen = cases[::SHARE]
    missed = [case for case in chosen if verdict(example(*case)).mistakes != (case[1],)]
    assert len(missed) <= len(chosen) * 0.05, missed


def test_of_a_thousand_right_claims_none_is_called_wrong():
    cases = [(name, None, seed) for seed in range(100, 122) for name in KINDS]
    assert len(cases) >= 1000
    assert [case for case in cases[::SHARE] if not verdict(example(*case)).right] == []


# ---- one mistake, one name


def test_rewrites_with_the_same_values_have_the_name_that_stands_first():
    assert preferred(["sign", "mean-doubled", "kernel-not-rotated", "sign"]) == [
        "kernel-not-rotated",
        "mean-doubled",
        "sign",
    ]
    # of two examples 1/N once more is the same as the 2 of the square missing
    X, T = np.array([[3, 5, -1], [2, 7, 4]]), np.array([[1, 2, 3], [4, 5, 6]])
    half = (X - T) / 6
    assert check(half, cf.MeanSquaredError(), arrays={"X": X, "T": T}).mistakes == ("mean-doubled",)


def test_a_rewrite_that_changes_nothing_is_no_mistake():
    rng = np.random.default_rng(3)
    z = draw_convolution(rng, "conv", stride=1, padding=0)
    z.W = z.W + z.W[..., ::-1, ::-1]  # rotating it changes nothing
    not_rotated = convolution_input_gradient(z, "kernel-not-rotated")
    assert check(not_rotated, z.layer, arrays=numbers(z)).right


def test_a_claim_that_nothing_explains_has_no_name():
    z = draw_convolution(np.random.default_rng(4), "conv")
    claim = convolution_input_gradient(z).copy()
    claim[0, 0, 1, 1] += 5
    found = check(claim, z.layer, arrays=numbers(z))
    assert (found.right, found.mistakes, found.differing) == (False, (), 1)
    assert [entry.index for entry in found.entries] == [(0, 0, 1, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_two_mistakes_are_named_together(seed):
    rng = np.random.default_rng(seed)
    z = draw_convolution(rng, "conv", stride=2, padding=1)
    both = -convolution_input_gradient(z, "kernel-not-rotated")
    assert check(both, z.layer, arrays=numbers(z)).mistakes == ("kernel-not-rotated", "sign")
    both = convolution_weight_gradient(z, "zeros-not-inserted") / len(z.X)
    assert check(both, z.layer, "W", arrays=numbers(z)).mistakes == ("zeros-not-inserted", "mean-doubled")
    z = draw_pool(rng, "max", stride=2, padding=0)
    both = [
        [[[-entry for entry in row] for row in c] for c in e]
        for e in max_pool_input_gradient(z, "max-spread")
    ]
    assert check(both, z.layer, arrays={"X": z.X, "dY": z.dY}).mistakes == ("max-spread", "sign")
    z = draw_rows(rng, cf.SoftmaxCrossEntropy())
    both = loss_input_gradient(z, "labels-not-subtracted") * len(z.X)
    assert check(both, z.layer, arrays={"X": z.X, "T": z.T}).mistakes == (
        "mean-missing",
        "labels-not-subtracted",
    )


def test_judging_takes_less_than_a_second_whatever_the_claim():
    for name in ("conv Y", "conv dX", "conv dW", "max dX", "local dX", "softmax dX"):
        claim = example(name, None, seed=1)
        claim.claim = claim.claim * 3 + 1  # that nothing explains, so that all is tried
        begin = time.process_time()
        assert not verdict(claim).right
        assert time.process_time() - begin < 1, name
