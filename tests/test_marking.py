"""Marking solution sheets: every sheet's verdict, and its wrong claims at exactly their entries."""

import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import closedform as cf
from closedform.checking.named import check_claims
from closedform.checking.sheet import check_sheet
from closedform.cli import main
from closedform.worksheet import read_worksheet
from closedform.worksheet.reading import worksheet_from_dict

WORKSHEETS = Path(__file__).parents[1] / "worksheets"
WRONG = {
    "a2-first-written", "c1-as-written", "c2-as-written", "c2-padding-once", "c4-as-scanned", "d1-as-written",
    "d3-misread",
}  # fmt: skip
RIGHT = sorted(file.stem for file in WORKSHEETS.glob("*.toml") if file.stem not in WRONG)


def marked(name):
    return check_sheet(read_worksheet(WORKSHEETS / f"{name}.toml"))


def differing(step):
    """Each entry that differs: what is given and what is right."""
    return {entry.index: (entry.given, entry.expected) for entry in step.entries}


def statuses(verdict):
    return [(step.name, step.status) for step in verdict.steps]


# ---- the five sheets


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_sheet_is_right(name):
    verdict = marked(name)
    assert verdict.right
    assert verdict.first_wrong is None
    assert {step.status for step in verdict.steps} == {"right"}
    assert all(step.entries == () and step.mistakes == () for step in verdict.steps)
    assert verdict.conventions == ()


def test_all_parts_of_the_sheets_are_there():
    found = {name.partition("-")[0] for name in RIGHT}
    assert found == {
        "a1", "a2", "b1", "b2", "b3", "b4", "b5", "b6", "c1", "c2", "c3", "c4", "d1", "d2", "d3",
        "e1", "e2", "e3", "e4",
    }  # fmt: skip


def test_a2_the_forgotten_quarter_is_named_and_every_kernel_has_it():
    verdict = marked("a2-first-written")
    assert verdict.first_wrong == "dv"
    assert statuses(verdict) == [
        ("dv", "wrong"), ("dw", "carried"), ("dy", "carried"), ("dz", "carried"), ("dbiases", "right"),
    ]  # fmt: skip
    first, *later, _ = verdict.steps
    assert (first.mistakes, first.where) == (("pool-factor-missing",), "dh")
    assert all(step.follows_from == ("dv",) for step in later)
    assert [differing(step) for step in verdict.steps] == [
        {(1, 1): ("x11", "1/4·x11"), (1, 2): ("x12", "1/4·x12"),
         (2, 1): ("x21", "1/4·x21"), (2, 2): ("x22", "1/4·x22")},
        {(1, 1): ("x12", "1/4·x12"), (1, 2): ("x13", "1/4·x13"),
         (2, 1): ("x22", "1/4·x22"), (2, 2): ("x23", "1/4·x23")},
        {(1, 1): ("x21", "1/4·x21"), (1, 2): ("x22", "1/4·x22"),
         (2, 1): ("x31", "1/4·x31"), (2, 2): ("x32", "1/4·x32")},
        {(1, 1): ("x22", "1/4·x22"), (1, 2): ("x23", "1/4·x23"),
         (2, 1): ("x32", "1/4·x32"), (2, 2): ("x33", "1/4·x33")},
        {},
    ]  # fmt: skip


def test_c1_three_entries_of_the_third_row():
    (step,) = marked("c1-as-written").steps
    assert (step.status, step.compared, step.mistakes) == ("wrong", 25, ())
    assert differing(step) == {(3, 2): ("40", "30"), (3, 3): ("-50", "-60"), (3, 4): ("40", "30")}


def test_c2_the_flattened_size_is_wrong_and_the_weights_follow_from_it():
    verdict = marked("c2-as-written")
    assert verdict.first_wrong == "F1"
    assert statuses(verdict) == [
        ("Z1", "right"), ("P1", "right"), ("F1", "wrong"), ("W2", "carried"), ("W3", "right"),
    ]  # fmt: skip
    assert differing(verdict["F1"]) == {(): ("1848", "784")}
    assert differing(verdict["W2"]) == {(): ("59136", "25088")}
    assert verdict["W2"].follows_from == ("F1",)
    assert verdict["F1"].entries[0].expansion == "16·7·7 = 784"


def test_c2_the_padding_counted_once_is_named_though_the_floor_hides_it():
    (step,) = marked("c2-padding-once").steps
    assert (step.status, step.entries, step.mistakes) == ("wrong", (), ("padding-once-in-size",))
    assert step.notes == (
        "(28 - 3 + 1)/2 + 1 should be (28 - 3 + 2*1)/2 + 1. The floor hides it: 14 is right all the same.",
    )


def test_c4_the_scan_is_wrong_in_exactly_its_six_entries_in_y_and_in_every_half():
    verdict = marked("c4-as-scanned")
    assert verdict.first_wrong == "y"
    assert statuses(verdict) == [
        ("O", "right"), ("y", "wrong"), ("dO", "wrong"), ("dF", "wrong"), ("dX", "wrong"),
    ]  # fmt: skip
    assert [differing(step) for step in verdict.steps] == [
        {},
        {(): ("40", "10")},
        {(1, 1): ("1/2", "1/4"), (1, 2): ("1/2", "1/4"), (2, 1): ("1/2", "1/4"), (2, 2): ("1/2", "1/4")},
        {(2, 1): ("17/4", "7/4"), (2, 2): ("13/4", "3/4")},
        {(1, 2): ("13/4", "3/4"), (1, 3): ("13/4", "3/4"), (2, 2): ("1/4", "1/2"), (3, 3): ("-1/4", "-1/2")},
    ]  # fmt: skip
    assert [step.mistakes for step in verdict.steps] == [
        (), ("pool-factor-missing",), ("pool-factor-wrong",), (), (),
    ]  # fmt: skip
    assert verdict["dF"].entries[0].expansion == (
        "dO11·X21 + dO12·X22 + dO21·X31 + dO22·X32 = 1/4·3 + 1/4·1 + 1/4·4 + 1/4·(-1) = 7/4"
    )


def test_d1_the_derivative_of_r12_is_taken_from_the_window_of_r11():
    verdict = marked("d1-as-written")
    assert statuses(verdict) == [("dF11", "right"), ("dF12", "wrong")]
    assert differing(verdict["dF12"]) == {(): ("P121 + P122 + P123", "P131 + P132 + P133")}
    assert verdict["dF12"].mistakes == ("off-by-one",)


def test_d3_adding_the_filters_gradients_up_first_is_named():
    verdict = marked("d3-misread")
    assert statuses(verdict) == [("dT2", "right"), ("dH1", "wrong")]
    assert verdict["dH1"].mistakes == ("channels-summed",)


@pytest.mark.parametrize("name", sorted([*RIGHT, *WRONG]))
def test_a_claim_is_checked_in_under_a_second(name):
    worksheet = read_worksheet(WORKSHEETS / f"{name}.toml")
    check_sheet(worksheet)  # derives, once for a shape
    started = time.process_time()
    check_sheet(worksheet)
    assert (time.process_time() - started) / len(worksheet.claims) < 1


# ---- networks by hand

CONV_MEAN = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), (1, 3, 3))
NAMES = {"0.weight": "F", "0": "O", "1": "y"}
X, F = [[2, 3, 4], [3, 1, 5], [4, -1, -2]], [[0, 3], [1, -2]]


def check_c4(claims, **settings):
    return check_claims(claims, CONV_MEAN, x=X, weights={"F": F}, names=NAMES, **settings)


def test_a_mistake_in_a_step_that_is_not_written_down_is_found_there():
    verdict = check_c4({"O": [[10, 3], [9, 18]], "y": 10, "dF": [[9, 13], [7, 3]]})
    assert verdict.first_wrong == "dF"
    assert (verdict["dF"].mistakes, verdict["dF"].where) == (("pool-factor-missing",), "dO")


def test_an_error_carried_forward_is_said_as_such():
    half = Fraction(1, 2)
    verdict = check_c4({"dO": [[half, half], [half, half]], "dF": [["18/4", "26/4"], ["14/4", "6/4"]]})
    assert statuses(verdict) == [("dO", "wrong"), ("dF", "carried")]
    assert verdict["dF"].follows_from == ("dO",)
    assert verdict["dF"].carried
    assert len(verdict["dF"].entries) == 4


def test_a_mistake_on_top_of_an_error_carried_forward_is_named():
    # dO = 1 for 1/4, and the kernel not rotated
    verdict = check_c4({"dO": [[1, 1], [1, 1]], "dX": [[-2, -1, 1], [1, 2, 1], [3, 3, 0]]})
    assert verdict["dO"].mistakes == ("pool-factor-missing",)
    step = verdict["dX"]
    assert (step.status, step.mistakes) == ("wrong", ("kernel-not-rotated",))
    assert step.notes == ("It carries forward what is wrong in dO too.",)


def test_a_wrong_value_that_is_not_used_is_not_carried():
    verdict = check_c4(
        {"y": 40, "dO": [["1/4", "1/4"], ["1/4", "1/4"]], "dF": [["9/4", "13/4"], ["7/4", "3/4"]]}
    )
    assert statuses(verdict) == [("y", "wrong"), ("dO", "right"), ("dF", "right")]


def test_what_is_not_filled_in_is_not_judged():
    verdict = check_c4({"dF": [["9/4", None], ["?", ""]]})
    assert (verdict.right, verdict["dF"].compared) == (True, 1)
    verdict = check_c4({"dF": [["9/4", None], ["5", ""]]})
    assert differing(verdict["dF"]) == {(2, 1): ("5", "7/4")}


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_wrong_and_nothing_is_carried_forward_from_it(broken):
    shown = str(broken)
    for claim in ([[0.25, broken], [0.25, 0.25]], np.array([[0.25, broken], [0.25, 0.25]])):
        verdict = check_c4({"dO": claim, "dF": [["9/4", "13/4"], ["7/4", "3/4"]]})
        assert statuses(verdict) == [("dO", "wrong"), ("dF", "right")]
        assert differing(verdict["dO"]) == {(1, 2): (shown, "1/4")}

    def spoilt(X, dO):
        found = np.full((2, 2), 9.0)
        found.flat[1:] = broken
        return found

    verdict = check_c4(
        {"dF": spoilt, "dX": [[0, "3/4", "3/4"], ["1/4", "1/2", "1/4"], ["1/4", "-1/4", -0.5]]}
    )
    assert statuses(verdict) == [("dF", "wrong"), ("dX", "right")]
    assert [entry.given for entry in verdict["dF"].entries][1:] == [shown] * 3
    file = {"network": {"input_shape": [1, 1, 2]}, "layer": [{"type": "ReLU"}], "input": {"X": [[1, 2]]}}
    file["claim"] = [{"of": "Y", "values": [1, Decimal(broken)]}]
    assert differing(check_sheet(worksheet_from_dict(file, "sheet"))["Y"]) == {(2,): (shown, "2")}


def test_formulas_functions_arrays_sizes_and_counts():
    def slid(X, dO):
        windows = np.lib.stride_tricks.sliding_window_view(X[0, 0], (2, 2))
        return np.einsum("uvij,ij->uv", windows, dO[0, 0])

    verdict = check_c4(
        {
            "O.size": (2, 2),
            "F.count": 4,
            "O": "O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]",
            "d0.weight": slid,
            "dX": np.float32([[0, 3, 3], [1, 2, 1], [1, -1, -2]]) / 4,
        }
    )
    assert [(step.statement, step.status) for step in verdict.steps] == [
        ("size", "right"),
        ("count", "right"),
        ("O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]", "right"),
        ("function", "right"),
        ("entries", "right"),
    ]


def test_another_right_form_of_a_formula_is_right():
    verdict = check_c4(
        {
            "dX": "dX[a,b] = sum[u,v] dO[a-1+u,b-1+v] * F[1-u,1-v]",
            "dF": "dF[u,v] = 1/4 * (X[u,v] + X[u+1,v] + X[u,v+1] + X[u+1,v+1]) * dy",
        }
    )
    assert verdict.right


def test_a_claim_of_the_uncropped_size_is_explained_by_its_mistake():
    layer = cf.Conv2d(1, 3, padding=1, bias=False)
    ones = np.ones((3, 3), int)
    full = [[1, 2, 3, 2, 1], [2, 4, 6, 4, 2], [3, 6, 9, 6, 3], [2, 4, 6, 4, 2], [1, 2, 3, 2, 1]]
    verdict = check_claims({"dX": full}, layer, x=ones, weights={"weight": ones}, dy=ones)
    assert (verdict["dX"].status, verdict["dX"].mistakes) == ("wrong", ("padding-not-cropped",))
    with pytest.raises(cf.ShapeError, match=r"^claim 1 \(dX\): expects shape \(3, 3\), got \(2, 2\)$"):
        check_claims({"dX": [[1, 2], [3, 4]]}, layer, x=ones, weights={"weight": ones}, dy=ones)


def classifier():
    """A dense layer with whole numbers, and the numbers of one step of gradient descent by hand."""
    net = cf.Architecture((cf.Dense(2, bias=False), cf.Dense(1, bias=False)), (2,), cf.MeanSquaredError())
    numbers = {
        "x": [[1, 2], [3, -1]], "weights": {"W1": [[1, 1], [2, 0]], "W2": [[1, -1]]}, "y": [[0], [1]],
        "learning_rate": Fraction(1, 2),
    }  # fmt: skip
    return net, numbers


# Z1 = [[3, 2], [2, 6]], Z2 = [1, -4]; dZ2 = 2(Z2 - T)/2 = [1, -5]; dW2 = [3 - 10, 2 - 30]
# dZ1 = [[1, -1], [-5, 5]]; dW1 = [[1 - 15, 2 + 5], [-1 + 15, -2 - 5]]
DZ2, DW2, DZ1, DW1 = [1, -5], [-7, -28], [[1, -1], [-5, 5]], [[-14, 7], [14, -7]]


def test_a_step_of_gradient_descent_by_hand():
    net, numbers = classifier()
    claims = {
        "Z1": [[3, 2], [2, 6]], "Z2": [1, -4], "L": 13, "dZ2": DZ2, "dW2": DW2, "dZ1": DZ1, "dW1": DW1,
        "W2_new": ["9/2", 13], "W1_new": [[8, "-5/2"], [-5, "7/2"]],
    }  # fmt: skip
    assert check_claims(claims, net, **numbers).right


def test_a_gradient_that_used_the_updated_weights():
    net, numbers = classifier()
    # W2 after the update is [9/2, 13]
    used = [["9/2", 13], ["-45/2", -65]]
    verdict = check_claims({"dZ2": DZ2, "dW2": DW2, "dZ1": used, "dW1": DW1}, net, **numbers)
    assert statuses(verdict) == [("dZ2", "right"), ("dW2", "right"), ("dZ1", "wrong"), ("dW1", "right")]
    assert verdict["dZ1"].mistakes == ("updated-weights",)


def test_one_over_n_missing_or_doubled():
    net, numbers = classifier()
    missing = check_claims({"L": 13, "dZ2": [2, -10]}, net, **numbers)
    assert missing["dZ2"].mistakes == ("mean-missing",)
    doubled = check_claims({"dZ2": DZ2, "dW2": ["-7/2", -14]}, net, **numbers)
    assert doubled["dW2"].mistakes == ("mean-doubled",)


def test_a_mistake_made_once_is_carried_through_the_rest_of_the_chain():
    net, numbers = classifier()
    verdict = check_claims(
        {"dZ2": [2, -10], "dW2": [-14, -56], "dZ1": [[2, -2], [-10, 10]], "dW1": [[-28, 14], [28, -15]]},
        net, **numbers,
    )  # fmt: skip
    assert statuses(verdict) == [("dZ2", "wrong"), ("dW2", "carried"), ("dZ1", "carried"), ("dW1", "wrong")]
    assert verdict["dZ1"].follows_from == ("dZ2",)


def network(*layers, shape, loss=None):
    return cf.Architecture(layers, shape, loss)


def test_relus_mask_forgotten_in_a_step_that_is_not_written_down():
    net = network(cf.Dense(2, bias=False), cf.ReLU(), cf.Dense(1, bias=False), shape=(3,))
    numbers = {"x": [1, 2, 1], "weights": {"0.weight": [[1, 1, 0], [-1, 0, 0]], "2.weight": [[3, 5]]}}
    right = check_claims({"dW1": [[3, 6, 3], [0, 0, 0]]}, net, **numbers)
    assert right.right
    wrong = check_claims({"dW1": [[3, 6, 3], [5, 10, 5]]}, net, **numbers)
    assert (wrong["dW1"].mistakes, wrong["dW1"].where) == (("relu-mask-missing",), "dZ1")


def test_softmax_with_cross_entropy_without_its_labels():
    net = network(cf.Dense(2, bias=False), shape=(2,), loss=cf.SoftmaxCrossEntropy())
    numbers = {"x": [1, 2], "weights": {"0.weight": [[1, 1], [1, 1]]}, "y": [0]}
    assert check_claims({"dZ": ["-1/2", "1/2"]}, net, **numbers).right
    verdict = check_claims({"dZ": ["1/2", "1/2"], "dW": [["1/2", 1], ["1/2", 1]]}, net, **numbers)
    assert verdict["dZ"].mistakes == ("labels-not-subtracted",)
    assert verdict["dW"].follows_from == ("dZ",)


def test_sizes_carry_their_mistakes_forward():
    net = network(
        cf.Conv2d(2, 3, stride=1, padding=1), cf.Flatten(), cf.Dense(3, bias=False), shape=(1, 8, 8)
    )
    verdict = check_claims({"Z1.size": (2, 7, 7), "F1.size": 98, "W2.count": 294}, net)
    assert statuses(verdict) == [("Z1", "wrong"), ("F1", "carried"), ("W2", "carried")]
    assert verdict["Z1"].mistakes == ("padding-once-in-size",)
    assert verdict["Z1"].entries[0].expansion == "8 - 3 + 2·1 + 1 = 8"
    forgotten = check_claims({"Z1.size": (2, 6, 6)}, net)
    assert forgotten["Z1"].mistakes == ("padding-forgotten",)
    ignored = check_claims({"Y.size": (1, 6, 6)}, network(cf.Conv2d(1, 3, stride=2), shape=(1, 8, 8)))
    assert ignored["Y"].mistakes == ("stride-ignored",)
    assert check_claims({"W1.count": 20}, net)["W1"].notes == ("The bias was counted too.",)


@pytest.mark.parametrize(
    "arithmetic",
    [
        "(28 - 3 + 2)/2 + 1",
        "⌊(28 − 3 + 2·1)/2⌋ + 1",
        "27//2 + 1",
        "13 + 1",
        "27/2 + 1",
        "(28 + 2*1 - 3)/2 + 1",
    ],
)
def test_the_arithmetic_of_a_size_may_be_written_in_many_ways(tmp_path, arithmetic):
    text = (WORKSHEETS / "c2-padding-once.toml").read_text(encoding="utf-8")
    file = tmp_path / "s.toml"
    file.write_text(text.replace("(28 - 3 + 1)/2 + 1", arithmetic), encoding="utf-8")
    assert check_sheet(read_worksheet(file)).right


@pytest.mark.parametrize(
    ("of", "size", "arithmetic", "note"),
    [
        ("Z1", [2, 2], "3-2+2", "The arithmetic 3-2+2 comes to 3, which is no extent of this size."),
        ("Z1", [2, 2], "1/4 + 2", "The arithmetic 1/4 + 2 comes to 2.25, which is no extent of this size."),
        ("F1", [4], "2*3", "The arithmetic 2*3 comes to 6."),
        ("F1", [4], "2*2", ""),
        ("Z1", [2, 2], "3 - 2 + 1", ""),
        ("W1", [2, 2], "2*2", ""),
    ],
)  # fmt: skip
def test_a_size_by_wrong_arithmetic_is_wrong(tmp_path, of, size, arithmetic, note):
    file = tmp_path / "s.toml"
    file.write_text(
        f"""
[network]
input_shape = [1, 3, 3]
[[layer]]
type = "Conv2d"
out_channels = 1
kernel_size = 2
[[layer]]
type = "Flatten"
[[layer]]
type = "Dense"
out_features = 2
[[claim]]
of = "{of}"
size = {size}
arithmetic = "{arithmetic}"
""",
        encoding="utf-8",
    )
    (step,) = check_sheet(read_worksheet(file)).steps
    assert (step.status, step.notes) == (("wrong", (note,)) if note else ("right", ()))
    assert main(["check", str(file)]) == (1 if note else 0)


FEW = "Right when rounded to {}: give digits = {}, or write more digits."


def test_decimals_are_right_to_the_digits_that_are_written(tmp_path):
    text = (WORKSHEETS / "e4.toml").read_text(encoding="utf-8")
    file = tmp_path / "s.toml"
    for digits, right in [("0.6931", True), ("0.69", True), ("0.6932", False), ("0.7", False)]:
        file.write_text(text.replace("values = 0.6931", f"values = {digits}"), encoding="utf-8")
        verdict = check_sheet(read_worksheet(file))
        assert verdict["L"].right == right
        notes = {True: "Right to the digits that are written.", "0.7": FEW.format("1 decimal", 1)}
        assert verdict["L"].notes == tuple(filter(None, [notes.get(right or digits)]))


# ---- ties


POOL = [[0, 0, 0, 0], [0, 8, 0, 5], [0, 8, 10, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("tied", [[[1, 0], [0, 0]], [[0, 0], [0, 1]], [["1/2", "1/4"], ["1/4", 0]]])
def test_equal_maxima_may_share_the_gradient_in_any_way(tied):
    verdict = check_claims({"dX": tied}, cf.MaxPool2d(2), x=[[7, 7], [7, 7]], dy=1)
    assert verdict.right
    note = "1 window has equal maxima: the gradient may go to any of them, or be shared among them."
    assert verdict["dX"].notes == (() if tied == [[1, 0], [0, 0]] else (note,))


@pytest.mark.parametrize("tied", [[[1, 1], [1, 1]], [[2, -1], [0, 0]], [["1/2", 0], [0, 0]]])
def test_but_not_in_every_way(tied):
    assert not check_claims({"dX": tied}, cf.MaxPool2d(2), x=[[7, 7], [7, 7]], dy=1).right


def test_the_derivative_of_relu_at_zero_may_be_anything_from_0_to_1():
    for slope, right in [(0, True), ("1/3", True), (1, True), (2, False), (-1, False)]:
        verdict = check_claims({"dX": [5, slope]}, cf.ReLU(), x=[3, 0], dy=[5, 1], input_shape=(2,))
        assert verdict.right == right


def test_what_follows_from_another_choice_at_a_tie_is_right_too():
    net = network(cf.Conv2d(1, 1, bias=False), cf.MaxPool2d(2), cf.Flatten(), shape=(1, 2, 2))
    numbers = {"x": [[1, 1], [2, 2]], "weights": {"0.weight": 3}}
    assert check_claims({"dW": 2, "dX": [[0, 0], [3, 0]]}, net, **numbers).right
    assert check_claims({"dZ": [[0, 0], [0, 1]], "dX": [[0, 0], [0, 3]], "dW": 2}, net, **numbers).right
    verdict = check_claims({"dX": [[0, 0], [0, 3]]}, net, **numbers)  # without saying how
    assert verdict.right
    assert verdict["dX"].notes == (
        "Windows of Z have equal maxima: the gradient may go to any of them, or be shared among them.",
    )
    assert not check_claims({"dX": [[0, 0], [3, 3]]}, net, **numbers).right


# ---- the order of a solution


def test_a_gradient_may_be_read_in_another_of_its_layer_once_that_is_claimed():
    net = cf.Architecture((cf.Dense(2), cf.Sigmoid()), input_shape=(3,))
    db, dw = {"db": "db[k] = dZ[k]"}, {"dW": "dW[k,j] = db[k] * X[j]"}
    assert check_claims({**db, **dw}, net).right
    with pytest.raises(cf.DataError) as caught:
        check_claims({**dw, **db}, net)
    assert str(caught.value) == (
        "claim 1 (dW): a claim on dW may read what comes before it: X, W, b, Z, A, dA, …, not db"
    )


def test_a_formula_may_call_quantities_by_their_keys():
    claims = {"d0.weight": "dF[u,v] = sum[i,j] dO[i,j] * input[i+u,j+v]", "O": "O[i,j] = O[i,j]"}
    assert check_c4({"d0.weight": claims["d0.weight"]}).right
    with pytest.raises(cf.DataError, match="not O itself"):
        check_c4(claims)


# ---- numbers that are put in


@pytest.mark.parametrize(
    "claims",
    [
        {"y": "(10+3+9+18)/4"},
        {"y": "4+6"},
        {"y": "(40)/4"},
        {"y": "1/4*10+1/4*3+1/4*9+1/4*18"},
        {"y": "sqrt(100)"},
        {"O": [["0*2+3*3+1*3-2*1", None], [None, None]]},
        {"O": [["3*X12 + X21 - 2*X22", None], [None, None]]},
    ],
    ids=str,
)
def test_numbers_may_be_put_in(claims):
    assert check_c4(claims).right


def test_numbers_beside_symbols_are_judged_at_the_sheets_numbers():
    verdict = check_c4({"O": [["3*X12 + X21 - 2*X22", "F12*X13"], ["?", "?"]]})
    assert [(entry.index, entry.given) for entry in verdict.entries] == [((1, 2), "F12*X13")]
    verdict = check_c4({"O": [["3*X12 + X21 - 2*X22", "?"], ["?", "?"]]})
    assert verdict["O"].notes == ("Numbers stand in it beside symbols: it is right at the sheet's numbers.",)


def test_symbols_alone_that_are_right_by_chance_are_wrong():
    verdict = check_c4({"O": [["X31*X11 + X11", "?"], ["?", "?"]]})  # 4·2 + 2 = 10
    assert not verdict.right


def test_decimals_of_python_are_numbers():
    assert check_c4({"dO": [[Decimal("0.25")] * 2] * 2}).right


def test_a_number_cannot_be_judged_without_numbers():
    net = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), input_shape=(1, 3, 3))
    with pytest.raises(cf.DataError) as caught:
        check_claims({"P": 10}, net)
    assert str(caught.value) == (
        "claim 1 (P): a number can be judged only at the sheet's numbers: give X and W, or write the entry "
        "in symbols"
    )
    assert check_claims({"dZ": [["1/4", "1/4"], ["1/4", "1/4"]]}, net).right


def test_a_function_is_judged_at_the_numbers_that_are_given():
    assert check_c4({"O": lambda X: np.array([[10, 3], [9, 18]])}).right


def test_an_index_whose_extent_nothing_states_is_an_error():
    with pytest.raises(cf.ShapeError) as caught:
        check_c4({"dX": "dX[i,j] = 1/4 * sum[p,q] F[i-p,j-q]"})
    assert str(caught.value) == (
        "claim 1 (dX): it is not clear how far p runs: read a tensor at p alone, as in sum[p] A[p] * …"
    )
    assert check_c4({"dX": "dX[i,j] = sum[p,q] dO[p,q] * F[i-p,j-q]"}).right


# ---- malformed claims from Python

MALFORMED = [
    ({"dQ": 1}, cf.DataError, "claim 1 (dQ): the network has no quantity 'dQ'; did you mean dy?"),
    ({"dF": [[1, "many"], [2, 3]]}, cf.DataError,
     "claim 1 (dF): entry [1,2]: many in 'many' is no entry of the network's quantities; "
     "known are X, F, O, y, dy, dO, dF, dX, F_new"),
    ({"dF": [1, 2, 3]}, cf.ShapeError, "claim 1 (dF): expects shape (2, 2), got (3,)"),
    ({"dF": "dF[u,v] = eval('1')"}, cf.FormulaError,
     "claim 1 (dF): a text in quotation marks is no part of a formula\n"
     "  dF[u,v] = eval('1')\n"
     "                 ^"),
    ({"dF": lambda Q: Q}, cf.SettingError,
     "the claimed function <lambda> has a parameter Q, but it is called with X, F, O, y, dy, dO"),
    ({"dF": [[1, 2], [3, object()]]}, cf.DataError,
     "claim 1 (dF): entry [2,2] must be a finite number, or a text such as '9/4' or 'x11 + x12', got <obj"),
    ({"dF": "dF[u,v] = dF[u,v]"}, cf.DataError,
     "claim 1 (dF): a claim on dF may read what comes before it: X, F, O, y, dy, dO, not dF itself"),
    ({}, cf.SettingError,
     "claims must be a dict of claims by name, as in {'O': [[10, 3], [9, 18]], 'dF': ...}"),
]  # fmt: skip


@pytest.mark.parametrize(("claims", "error", "message"), MALFORMED)
def test_a_malformed_claim_gets_one_error(claims, error, message):
    with pytest.raises(error) as caught:
        check_c4(claims)
    assert str(caught.value).startswith(message)
    assert type(caught.value) is error


def test_a_verdict_has_the_same_face_for_a_layer_and_for_a_network():
    layer = cf.check("dX[n,c,i,j] = dY[n,c,i,j]", of=cf.ReLU())
    sheet = check_sheet(read_worksheet(WORKSHEETS / "a2-first-written.toml"))
    for verdict in (layer, sheet):
        assert isinstance(verdict, cf.Verdict)
        assert not verdict.right
        assert verdict.to_dict()["right"] is False
    assert (layer.mistakes, layer.first_wrong, layer.follows_from) == (("relu-mask-missing",), "dX", ())
    assert (sheet.mistakes, sheet.first_wrong) == (("pool-factor-missing",), "dv")
    assert sheet.follows_from == ("dv",)
    assert [entry.expected for entry in sheet.entries] == ["1/4·x11", "1/4·x12", "1/4·x21", "1/4·x22"]
