"""A mistake gets a name where numbers leave no doubt: one or two entries agree with much by chance."""

import closedform as cf
from closedform.checking.named import check_claims

X, F = [[2, 3, 4], [3, 1, 5], [4, -1, -2]], [[0, 3], [1, -2]]
CONV_MEAN = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), (1, 3, 3))
NAMES = {"0.weight": "K", "0": "O", "1": "y"}


def check_conv(claims, **settings):
    return check_claims(claims, CONV_MEAN, x=X, weights={"K": F}, names=NAMES, **settings)


def found(step):
    return step.status, step.mistakes, step.where


def test_one_or_two_numbers_do_not_tell_of_a_mistake_in_a_line_further_back():
    # 1/4 is forgotten in dO, which is not written down
    assert found(check_conv({"dK": [[9, 13], [7, None]]})["dK"]) == ("wrong", ("pool-factor-missing",), "dO")
    for few in ([[9, None], [None, None]], [[9, 13], [None, None]], [[9, 13], ["7/4", "3/4"]]):
        assert found(check_conv({"dK": few})["dK"]) == ("wrong", (), "")


def test_one_number_tells_of_one_mistake_in_its_own_line():
    assert found(check_conv({"y": 40})["y"]) == ("wrong", ("pool-factor-missing",), "")
    assert found(check_conv({"y": 20})["y"]) == ("wrong", ("pool-factor-wrong",), "")


def test_in_symbols_one_entry_tells_of_one_mistake_wherever_it_was_made():
    entry = "X11 + X12 + X21 + X22"
    assert found(check_conv({"dK": [[entry, None], [None, None]]})["dK"]) == (
        "wrong", ("pool-factor-missing",), "dO",
    )  # fmt: skip
    formula = "dK[u,v] = sum[i,j] X[i+u,j+v]"
    assert found(check_conv({"dK": formula})["dK"]) == ("wrong", ("pool-factor-missing",), "dO")


def test_one_entry_is_not_explained_by_two_mistakes():
    for claim in ("O11", 11, "-O11", "2*O11"):
        step = check_conv({"y": claim})["y"]
        assert len(step.mistakes) < 2
        assert step.notes == ()


def test_the_sign_of_an_update_is_its_own():
    formula = "K_new[u,v] = K[u,v] + r * dK[u,v]"
    for settings in ({}, {"learning_rate": "1/10"}):
        assert found(check_conv({"K_new": formula}, **settings)["K_new"]) == ("wrong", ("sign",), "")
    # dK = [9/4, 13/4, 7/4, 3/4]
    numbers = [["9/4", "25/4"], ["11/4", "-5/4"]]
    assert found(check_conv({"K_new": numbers}, learning_rate=1)["K_new"]) == ("wrong", ("sign",), "")
