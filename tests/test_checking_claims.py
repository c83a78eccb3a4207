"""Checking arrays and functions: partly filled, in fractions, with ties, rounded, and malformed."""

import json
from fractions import Fraction

import numpy as np
import pytest

import closedform as cf
from closedform.checking import Entry, check
from closedform.errors import DataError, SettingError, ShapeError

# sheet C: a convolution followed by global average pooling; dY is 1/4 everywhere
X = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]
W = [[0, 3], [1, -2]]
QUARTERS = [["1/4", "1/4"], ["1/4", "1/4"]]
CONV = cf.Conv2d(1, 2, bias=False)
SHEET = {"X": X, "W": W, "dY": QUARTERS}


def test_an_array_in_fractions_is_right():
    assert check([["9/4", "13/4"], ["7/4", "3/4"]], CONV, "W", arrays=SHEET).right
    assert check([[2.25, 3.25], [1.75, 0.75]], CONV, "W", arrays=SHEET).right
    assert check([[Fraction(9, 4), 3.25], ["1.75", "3/4"]], CONV, "weight", arrays=SHEET).right
    assert check([[10, 3], [9, 18]], CONV, "Y", arrays=SHEET).right


def test_the_entries_that_differ_are_told_with_what_is_right():
    """The misread entries of the scan, counted from 1."""
    found = check([["9/4", "13/4"], ["17/4", "13/4"]], CONV, "W", arrays=SHEET, first_index=1)
    assert not found
    assert [(e.index[-2:], e.given, e.expected) for e in found.entries] == [
        ((2, 1), Fraction(17, 4), Fraction(7, 4)),
        ((2, 2), Fraction(13, 4), Fraction(3, 4)),
    ]
    assert found.entries[0].expansion == (
        "dY11·x21 + dY12·x22 + dY21·x31 + dY22·x32 = 1/4·3 + 1/4·1 + 1/4·4 + 1/4·(-1) = 7/4"
    )
    claim = [[0, "13/4", "13/4"], ["1/4", "1/4", "1/4"], ["1/4", "-1/4", "-1/4"]]
    found = check(claim, CONV, arrays=SHEET, first_index=1)
    assert [e.index[-2:] for e in found.entries] == [(1, 2), (1, 3), (2, 2), (3, 3)]
    assert [e.expected for e in found.entries] == [
        Fraction(3, 4), Fraction(3, 4), Fraction(2, 4), Fraction(-2, 4)
    ]  # fmt: skip


def test_a_forgotten_factor_of_a_mean_is_named():
    claim = [[1, 1], [1, 1]]
    found = check(claim, cf.GlobalAvgPool2d(), arrays={"X": [[10, 3], [9, 18]], "dY": 1})
    assert found.mistakes == ("pool-factor-missing",)
    found = check([["1/2", "1/2"]] * 2, cf.GlobalAvgPool2d(), arrays={"X": [[10, 3], [9, 18]], "dY": 1})
    assert found.mistakes == ("pool-factor-wrong",)


def test_a_partly_filled_array_is_judged_where_it_is_filled():
    for gap in (None, "?", ""):
        assert check([["9/4", gap], [gap, "3/4"]], CONV, "W", arrays=SHEET).right
        found = check([["9/4", gap], [gap, "13/4"]], CONV, "W", arrays=SHEET)
        assert (found.differing, found.compared) == (1, 2)
    with pytest.raises(ShapeError, match=r"^nothing is filled in: give at least one entry$"):
        check([[None, None], [None, None]], CONV, "W", arrays=SHEET)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_a_wrong_entry_and_no_gap(broken):
    for claim in ([["9/4", broken], [1.75, "3/4"]], np.array([[2.25, broken], [1.75, 0.75]])):
        found = check(claim, CONV, "W", arrays=SHEET)
        assert (found.right, found.differing, found.compared) == (False, 1, 4)
        (entry,) = found.entries
        assert (str(entry.given), entry.expected) == (str(broken), Fraction(13, 4))
        assert json.loads(json.dumps(found.to_dict()))["entries"][0]["given"] == str(broken)

    def spoilt(X, dY):
        r = dY * (X > 0)
        r.flat[1:] = broken
        return r

    found = check(spoilt, cf.ReLU())
    assert (found.right, found.mistakes) == (False, ())
    for layer in (cf.MaxPool2d(2), cf.ReLU()):  # with ties
        arrays = {"X": np.zeros((2, 2)), "dY": 1 if layer == cf.MaxPool2d(2) else np.ones((2, 2))}
        assert not check(np.full((2, 2), broken), layer, arrays=arrays).right


def test_whole_numbers_and_fractions_are_exact_and_floats_nearly():
    X_, dY = np.array([[1, -2]]), np.array([[1000, 3]])
    assert not check([["100000001/100000", 0]], cf.ReLU(), arrays={"X": X_, "dY": dY}).right
    assert check([[1000.00001, 0.0]], cf.ReLU(), arrays={"X": X_, "dY": dY}).right
    assert not check([[1000.01, 0.0]], cf.ReLU(), arrays={"X": X_, "dY": dY}).right
    single = np.array([[1000.01, 0.0]], np.float32)
    assert check(single, cf.ReLU(), arrays={"X": X_, "dY": dY}).right


def test_a_rounded_claim_is_right_to_its_digits():
    X_, dY = np.array([[0.3, -0.7]]), np.array([[1, 1]])
    arrays = {"X": X_, "dY": dY}
    assert not check([[0.24, 0.22]], cf.Sigmoid(), arrays=arrays).right
    assert check([[0.24, 0.22]], cf.Sigmoid(), arrays=arrays, digits=2).right
    assert not check([[0.25, 0.22]], cf.Sigmoid(), arrays=arrays, digits=2).right


# ---- functions


def test_a_function_is_called_with_the_arrays_that_it_asks_for():
    def right(X, dY):
        return dY * (X > 0)

    assert check(right, cf.ReLU()).right
    assert check(lambda dY, **others: dY * (others["X"] > 0), cf.ReLU()).right
    assert check(lambda dY: dY, cf.ReLU()).mistakes == ("relu-mask-missing",)
    assert check(lambda X, W, b: X @ W.T + b, cf.Dense(3), "Y").right
    assert check(lambda X, W: X @ W.T, cf.Dense(3), "Y").mistakes == ("bias-missing",)
    assert check(lambda Y, T: Y - T, cf.SoftmaxCrossEntropy()).mistakes == ("mean-missing",)


def test_a_function_cannot_change_the_numbers():
    def greedy(X, dY):
        X[...] = 1
        return dY

    assert check(greedy, cf.ReLU()).mistakes == ("relu-mask-missing",)
    assert check(lambda X, dY: dY * (X > 0), cf.ReLU()).right


def test_a_function_that_fails_says_so():
    def broken(dY):
        return 1 / 0

    with pytest.raises(DataError, match=r"^the claimed function broken raised ZeroDivisionError: division"):
        check(broken, cf.ReLU())
    with pytest.raises(SettingError) as caught:
        check(lambda dZ: dZ, cf.ReLU(), input_shape=(3,))
    assert str(caught.value) == (
        "the claimed function <lambda> has a parameter dZ, but it is called with X, dY, Y"
    )


# ---- ties


MAX = {"X": [[1, 1, 2, 0], [1, 1, 0, 5], [3, 3, 4, 3], [3, 3, 3, 3]], "dY": [[4, 7], [8, 2]]}
TIED = "2 windows have equal maxima: the gradient may go to any of them, or be shared among them."


def test_of_equal_maxima_any_may_get_the_gradient():
    for window in ([[4, 0], [0, 0]], [[0, 4], [0, 0]], [[0, 0], [0, 4]], [[1, 1], [1, 1]], [[1, 3], [0, 0]]):
        claim = [[*window[0], 0, 0], [*window[1], 0, 7], [2, 2, 2, 0], [2, 2, 0, 0]]
        found = check(claim, cf.MaxPool2d(2), arrays=MAX)
        assert found.right
        assert found.notes == (TIED,)


def test_shares_among_equal_maxima_sum_to_one_and_are_not_negative():
    for window in ([[4, 4], [0, 0]], [[5, -1], [0, 0]], [[1, 1], [1, 0]]):
        claim = [[*window[0], 0, 0], [*window[1], 0, 7], [8, 0, 2, 0], [0, 0, 0, 0]]
        assert not check(claim, cf.MaxPool2d(2), arrays=MAX).right


def test_ties_in_windows_that_overlap():
    layer = cf.MaxPool2d(2, stride=1)
    arrays = {"X": [[5, 5, 5]] * 2, "dY": [[3, 4]]}
    assert check([[3, 4, 0], [0, 0, 0]], layer, arrays=arrays).right
    assert check([[0, 7, 0], [0, 0, 0]], layer, arrays=arrays).right
    assert check([[0, 3, 0], [0, 0, 4]], layer, arrays=arrays).right
    assert not check([[7, 0, 0], [0, 0, 0]], layer, arrays=arrays).right


def test_at_0_the_derivative_of_relu_may_be_anything_between_its_slopes():
    arrays = {"X": [[0, 3, -1]], "dY": [[4, 5, 6]]}
    for value in (0, 4, 2, "4/3"):
        found = check([[value, 5, 0]], cf.ReLU(), arrays=arrays)
        assert found.right
        assert found.notes == (
            "1 entry depends on the derivative of ReLU at 0: any value between the slopes on both sides is "
            "accepted.",
        )
    assert not check([[5, 5, 0]], cf.ReLU(), arrays=arrays).right
    assert check([[1, 5, "3/2"]], cf.LeakyReLU(0.25), arrays=arrays).right
    assert check([[2, 5, "3/2"]], cf.LeakyReLU(0.25), arrays=arrays).right
    assert not check([[0, 5, "3/2"]], cf.LeakyReLU(0.25), arrays=arrays).right


# ---- arrays by name and shape


def test_arrays_have_the_formulas_names_or_the_public_ones():
    arrays = {"X": X, "weight": W, "dY": QUARTERS}
    assert check([[10, 3], [9, 18]], CONV, "Y", arrays=arrays).right
    layer = cf.DepthwiseConv2d(2)
    stored = np.arange(8).reshape(2, 1, 2, 2)  # PyTorch's shape
    images = np.ones((1, 2, 3, 3), int)
    arrays = {"X": images, "weight": stored, "bias": [0, 0]}
    assert check(np.full((1, 2, 2, 2), 6) + np.array([0, 16]).reshape(1, 2, 1, 1), layer, "Y", arrays=arrays)


def test_labels_may_be_integers():
    logits = np.zeros((2, 2))
    arrays = {"X": logits, "T": np.array([0, 1])}
    assert check([["-1/4", "1/4"], ["1/4", "-1/4"]], cf.SoftmaxCrossEntropy(), arrays=arrays).right


def test_a_gradient_that_does_not_read_the_input_needs_only_its_shape():
    layer = cf.Conv2d(1, 2)
    assert check(4, layer, "b", input_shape=(1, 3, 3), arrays={"dY": [[1, 1], [1, 1]]}).right


def error_of(kind, claim, layer, *positional, **words):
    with pytest.raises(kind) as caught:
        check(claim, layer, *positional, **words)
    return str(caught.value)


def test_what_is_missing_is_named():
    assert error_of(SettingError, [[1, 2]], cf.ReLU(), arrays={"X": [[1, 2]]}) == (
        "dX of ReLU depends on dY, X; no numbers for dY: give arrays={'dY': ...}"
    )
    assert error_of(SettingError, [[1, 2]], cf.ReLU()) == (
        "the size of the input is not known: give arrays={'X': ...} or input_shape=..."
    )


def test_malformed_arrays_get_one_clear_error():
    arrays = {"X": [[1, 2]], "dY": [[1, 2]]}
    relu = cf.ReLU()
    assert error_of(DataError, [["abc", 2]], relu, arrays=arrays) == (
        "the claim is 'abc' at [0, 0]: an entry is a number, a fraction such as \"9/4\", or None where "
        "nothing is filled in"
    )
    assert error_of(DataError, [[1, "__import__('os')"]], relu, arrays=arrays).startswith(
        "the claim is \"__import__('os')\" at [0, 1]: an entry is a number"
    )
    assert error_of(DataError, [["1/0", 2]], relu, arrays=arrays).startswith("the claim is '1/0' at [0, 0]")
    infinite = {**arrays, "dY": [[1, float("inf")]]}
    assert error_of(DataError, [[1, 2]], relu, arrays=infinite) == (
        "arrays: dY is inf at [0, 1]: numbers must be finite"
    )
    assert error_of(DataError, [[True, 2]], relu, arrays=arrays).startswith("the claim is True at [0, 0]")
    assert error_of(DataError, {1}, relu, arrays=arrays).startswith("the claim is {1}: an entry")
    assert error_of(ShapeError, [[1, 2], [3]], relu, arrays=arrays) == (
        "the claim has rows of different lengths: [0] has shape (2,), [1] has (1,); write None where nothing "
        "is filled in"
    )
    assert error_of(ShapeError, [[], []], relu, arrays=arrays) == (
        "the claim has an empty row at [0]: every axis needs at least one entry"
    )
    assert error_of(ShapeError, [[1, 2, 3]], relu, arrays=arrays) == (
        "ReLU: dX must have shape (1, 1, 1, 2), got (1, 3), which no known mistake explains"
    )
    assert error_of(ShapeError, [[1, 2]], relu, arrays={**arrays, "dY": [[1, 2, 3]]}) == (
        "ReLU: dY must have shape (1, 1, 1, 2), got (1, 3)"
    )


def test_malformed_arguments_get_one_clear_error():
    assert error_of(SettingError, [[1]], "conv") == "of must be a layer, a loss or a network, got str"
    assert error_of(SettingError, [[1]], cf.ReLU(), "V", arrays={"X": [[1]], "dY": [[1]]}) == (
        "ReLU has no V: a claim is about one of Y, dX"
    )
    assert (
        error_of(SettingError, [[1]], cf.ReLU(), arrays=[1])
        == "arrays must be a dict of arrays by name, got list"
    )
    assert (
        error_of(SettingError, [[1]], cf.ReLU(), digits=1.5)
        == "digits must be a whole number from 0 to 15, got 1.5"
    )
    assert error_of(SettingError, [[1]], cf.ReLU(), first_index=2) == "first_index must be 0 or 1, got 2"


# ---- what a verdict says


def test_the_verdict_as_text():
    found = check([["9/4", "13/4"], ["17/4", "13/4"]], CONV, "W", arrays=SHEET, first_index=1)
    assert found.text() == "\n".join([
        "dW is wrong.",
        "  2 of 4 entries differ:",
        "    dW21: given 17/4, expected 7/4",
        "      = dY11·x21 + dY12·x22 + dY21·x31 + dY22·x32 = 1/4·3 + 1/4·1 + 1/4·4 + 1/4·(-1) = 7/4",
        "    dW22: given 13/4, expected 3/4",
        "      = dY11·x22 + dY12·x23 + dY21·x32 + dY22·x33 = 1/4·1 + 1/4·5 + 1/4·(-1) + 1/4·(-2) = 3/4",
        "  Right is dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,i+u,j+v]",
    ])  # fmt: skip
    assert check([["9/4", "13/4"], ["7/4", "3/4"]], CONV, "W", arrays=SHEET).text() == "dW is right."


def test_no_line_of_a_verdict_is_longer_than_a_hundred_columns():
    for claim in (
        "dX[n,p,a,b] = sum[q,u,v] W[q,p,2-u,2-v] * dY[n,q,(a+t-u)/s,(b+t-v)/s]",
        "db[q,i,j] = sum[n] dY[n,q,i,j]",
    ):
        written = check(claim, cf.Conv2d(16, 3, stride=2, padding=1)).text()
        assert max(map(len, written.splitlines())) <= 100


def test_the_verdict_as_plain_values():
    found = check([["9/4", "13/4"], ["7/4", 3.5]], CONV, "W", arrays=SHEET)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["right"] is False
    assert (plain["name"], plain["first_wrong"], plain["mistakes"]) == ("dW", "dW", [])
    assert plain["entries"] == [{
        "index": [0, 0, 1, 1], "given": "7/2", "expected": "3/4",
        "expansion": "dY[0,0]·X[1,1] + dY[0,1]·X[1,2] + dY[1,0]·X[2,1] + dY[1,1]·X[2,2] = "
                     "1/4·1 + 1/4·5 + 1/4·(-1) + 1/4·(-2) = 3/4",
    }]  # fmt: skip
    assert isinstance(found.entries[0], Entry)


def test_an_entry_may_be_arithmetic_of_numbers():
    for entry in ("1/4*2 + 3/4 + 1", "(2+3+3+1)/4", "2.25", "1/4·9", "2 + 0.5*(1/2)"):
        assert check([[entry, "13/4"], ["7/4", "3/4"]], CONV, "W", arrays=SHEET).right
    found = check([["1/4*2 - -3/4", "13/4"], ["7/4", "3/4"]], CONV, "W", arrays=SHEET)
    assert found.entries[0].given == Fraction(5, 4)
    for text in ("1/0", "2**3", "x + 1", "1 +", "(1", "9^9", "__import__('os')", "f(1)"):
        assert error_of(DataError, [[text, 2], [3, 4]], CONV, "W", arrays=SHEET).startswith("the claim is ")
