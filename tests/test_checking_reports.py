"""What a report shows of a wrong claim: which entries, at which numbers, and in how many terms."""

import closedform as cf
from closedform.checking.named import check_claims

X, F = [[2, 3, 4], [3, 1, 5], [4, -1, -2]], [[0, 3], [1, -2]]
CONV_MEAN = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), (1, 3, 3))
NAMES = {"0.weight": "K", "0": "O", "1": "y"}
DRAWN = "The numbers are drawn for the comparison."


def check_conv(claims, **settings):
    return check_claims(claims, CONV_MEAN, x=X, weights={"K": F}, names=NAMES, **settings)


def shown(step):
    return {entry.index: (entry.given, entry.expected) for entry in step.entries}


# ---- the numbers of formulas


def test_a_formula_is_shown_at_the_sheets_numbers():
    step = check_conv({"dX": "dX[a,b] = sum[u,v] dO[a-u,b-v] * K[1-u,1-v]"})["dX"]
    right = {(1, 1): "0", (1, 2): "3/4", (1, 3): "3/4", (3, 1): "1/4", (3, 2): "-1/4", (3, 3): "-1/2"}
    assert {index: expected for index, (_, expected) in shown(step).items() if index in right} == right
    assert {index for index, _ in shown(step).items()} <= {*right, (2, 1), (2, 2), (2, 3)}
    assert DRAWN not in step.notes


def test_at_drawn_numbers_where_the_sheets_do_not_show_it():
    net = cf.Architecture((cf.Conv2d(1, 2, bias=False),), (1, 2, 2))
    claim = {"Y": "Y = sum[u,v] W[v,u] * X[u,v]"}
    same = check_claims(claim, net, x=[[1, 2], [2, 3]], weights={"W": [[1, 2], [3, 4]]})
    assert same["Y"].notes == ("At the sheet's numbers nothing differs: these are drawn for the comparison.",)
    own = check_claims(claim, net, x=[[1, 2], [3, 3]], weights={"W": [[1, 2], [3, 4]]})
    assert own["Y"].notes == ()
    assert shown(own["Y"]) == {(): ("25", "26")}
    none = check_claims(claim, net)
    assert none["Y"].notes == (DRAWN,)
    assert len(none["Y"].entries) == 1


def test_an_update_without_a_learning_rate_says_which_is_taken():
    claim = {"K_new": "K_new[u,v] = K[u,v] + r * dK[u,v]"}
    note = "The learning rate is not given: 3/7 is taken for the comparison."
    assert check_conv(claim)["K_new"].notes == (note,)
    assert check_conv(claim, learning_rate="1/2")["K_new"].notes == ()
