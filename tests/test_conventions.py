"""Other conventions: recognised where a whole solution follows them, a mistake where one claim alone does."""

import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

import closedform as cf
from closedform.checking.named import check_claims
from closedform.checking.sheet import check_sheet
from closedform.worksheet.reading import worksheet_from_dict

WORKSHEETS = Path(__file__).parents[1] / "worksheets"
SUM = "The loss is the sum over the examples, not their mean."
FLIPPED = (
    "Kernels are turned by 180° before they are laid on the input, in the whole solution: a convolution in "
    "the strict sense."
)

# two images of a linear network: Z = X·W, squared error
NET = cf.Architecture((cf.Dense(1, bias=False),), (2,), cf.MeanSquaredError())
NUMBERS = {"x": [[1, 2], [3, -1]], "weights": {"W": [2, 1]}, "y": [[1], [1]]}
# Z = [4, 5], L = (9 + 16)/2, dZ = [3, 4], dW = [3 + 12, 6 - 4]
MEAN = {"Z": [4, 5], "L": "25/2", "dZ": [3, 4], "dW": [15, 2]}


def marked(text):
    """The verdict on a worksheet from its text."""
    return check_sheet(worksheet_from_dict(tomllib.loads(text), "sheet"))


def scaled(factor, keys=("L", "dZ", "dW")):
    """The claims where these are multiplied."""

    def times(value):
        if isinstance(value, list):
            return [times(inner) for inner in value]
        return str(Fraction(value) * Fraction(factor))

    return {name: times(value) if name in keys else value for name, value in MEAN.items()}


def check(claims):
    return check_claims(claims, NET, **NUMBERS)


def test_the_mean_needs_no_word():
    assert check(MEAN).right
    assert check(MEAN).conventions == ()


def test_a_sum_over_the_batch_in_the_whole_solution():
    verdict = check(scaled(2))
    assert verdict.right
    assert verdict.conventions == (SUM,)


def test_half_of_the_squared_error():
    assert check(scaled("1/2")).conventions == ("The loss is half the mean squared error.",)
    assert check({name: value for name, value in scaled("1/2").items() if name != "dW"}).right


@pytest.mark.parametrize("alone", ["L", "dZ"])
def test_a_sum_in_one_claim_alone_is_a_mistake(alone):
    verdict = check(scaled(2, (alone,)))
    assert verdict.conventions == ()
    assert verdict.first_wrong == alone
    assert verdict[alone].mistakes == ("mean-missing",)
    assert [step.name for step in verdict.steps if step.status != "right"] == [alone]


def test_a_sum_in_the_gradients_but_not_in_the_loss_is_a_mistake():
    verdict = check(scaled(2, ("dZ", "dW")))
    assert verdict.conventions == ()
    assert [step.status for step in verdict.steps] == ["right", "right", "wrong", "carried"]


def test_gradients_alone_show_no_convention():
    claims = {name: value for name, value in scaled(2).items() if name != "L"}
    verdict = check(claims)
    assert verdict.conventions == ()
    assert verdict["dZ"].mistakes == ("mean-missing",)


def test_a_mistake_inside_another_convention_is_found():
    claims = scaled(2) | {"dW": [30, 5]}
    verdict = check(claims)
    assert verdict.conventions == (SUM,)
    assert [step.status for step in verdict.steps] == ["right", "right", "right", "wrong"]
    assert [(entry.index, entry.given, entry.expected) for entry in verdict["dW"].entries] == [
        ((2,), "5", "4")
    ]


def test_a_sum_in_formulas():
    text = (WORKSHEETS / "b6.toml").read_text(encoding="utf-8")

    summed = text.replace("-1/|n| *", "-").replace("1/|n| * ", "")
    assert marked(summed).conventions == (SUM,)
    assert marked(summed).right
    once = text.replace("dF[n,k] = 1/|n| * ", "dF[n,k] = ")
    assert marked(once).conventions == ()
    assert marked(once)["dF"].mistakes == ("mean-missing",)


# ---- kernels that are turned around

CONV = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), (1, 3, 3))
NAMES = {"0.weight": "F", "0": "O", "1": "y"}
X, F = [[2, 3, 4], [3, 1, 5], [4, -1, -2]], [[0, 3], [1, -2]]
# F turned around is [[-2, 1], [3, 0]]
TURNED = {
    "O": [[8, 1], [7, 0]],
    "y": 4,
    "dF": [["3/4", "7/4"], ["13/4", "9/4"]],
    "dX": [["-2/4", "-1/4", "1/4"], ["1/4", "2/4", "1/4"], ["3/4", "3/4", 0]],
}


def check_conv(claims):
    return check_claims(claims, CONV, x=X, weights={"F": F}, names=NAMES)


def test_turned_kernels_in_the_whole_solution():
    verdict = check_conv(TURNED)
    assert verdict.right
    assert verdict.conventions == (FLIPPED,)


def test_a_kernel_turned_in_one_claim_alone_is_a_mistake():
    right = {
        "O": [[10, 3], [9, 18]], "y": 10, "dF": [["9/4", "13/4"], ["7/4", "3/4"]],
        "dX": [[0, "3/4", "3/4"], ["1/4", "2/4", "1/4"], ["1/4", "-1/4", "-2/4"]],
    }  # fmt: skip
    assert check_conv(right).right
    for name, mistake in [("dF", "kernel-rotated"), ("dX", "kernel-not-rotated")]:
        verdict = check_conv(right | {name: TURNED[name]})
        assert verdict.conventions == ()
        assert [step.name for step in verdict.steps if not step.right] == [name]
        assert verdict[name].mistakes == (mistake,)


# ---- entries counted from 0

COUNTED = """
[network]
input_shape = [1, 3, 3]
[[layer]]
type = "GlobalAvgPool2d"
[names]
input = "x"
"0" = "p"
[[claim]]
of = "p"
values = "1/9*({})"
[[claim]]
of = "dx"
entries = {{ "{}" = "1/9*dp" }}
"""


def counted(first, other, head=""):
    """A worksheet whose two claims count from these numbers."""
    entries = " + ".join(f"x{i}{j}" for i in range(first, first + 3) for j in range(first, first + 3))
    corner = f"{other},{other + 2}"
    return marked(head + COUNTED.format(entries, corner))


def test_entries_may_be_counted_from_0_in_the_whole_sheet():
    verdict = counted(0, 0)
    assert verdict.right
    assert verdict.first_index == 0
    assert verdict.conventions == ("Entries are counted from 0, in the whole sheet.",)
    assert counted(1, 1).conventions == ()
    assert counted(0, 0, "[sheet]\nfirst_index = 0\n").conventions == ()


def test_one_claim_alone_that_counts_from_0_is_a_mistake():
    verdict = counted(1, 0)
    assert verdict.first_index == 1
    assert [step.status for step in verdict.steps] == ["right", "wrong"]
    step = verdict.steps[1]
    assert step.mistakes == ("off-by-one",)
    assert step.notes == ("Entries are counted from 0 here, and from 1 in the rest of the sheet.",)
    said = counted(0, 0, "[sheet]\nfirst_index = 1\n")
    assert [step.status for step in said.steps] == ["wrong", "wrong"]
