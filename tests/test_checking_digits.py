"""Claims that are rounded: how many digits they have, and what is said where those are few."""

from fractions import Fraction

import numpy as np
import pytest

import closedform as cf
from closedform.checking.sheet import check_sheet
from closedform.checking.verdict import ClaimVerdict
from closedform.worksheet.reading import worksheet_from_dict

FEW = "Right when rounded to 4 decimals: give digits = 4, or write more digits."
NET = cf.Architecture((cf.Dense(2, bias=False),), (1,))
WEIGHTS = {"W": [[Fraction(300012, 1000000)], [Fraction(1, 2)]]}


def of_layer(claim, **settings):
    arrays = {"X": [[1]], "W": WEIGHTS["W"]}
    return cf.check(claim, cf.Dense(2, bias=False), "Y", arrays=arrays, **settings)


def of_network(claim, **settings):
    return cf.check({"Y": claim}, NET, x=[[1]], weights=WEIGHTS, **settings)


def of_sheet(claim, **settings):
    values = {
        "sheet": settings,
        "network": {"input_shape": [1]},
        "layer": [{"type": "Dense", "out_features": 2, "bias": False}],
        "input": {"X": [1]},
        "parameters": {"W": [["0.300012"], ["0.5"]]},
        "claim": [{"of": "Y", "values": claim}],
    }
    return check_sheet(worksheet_from_dict(values, "sheet"))


def notes(verdict):
    return verdict.notes if isinstance(verdict, ClaimVerdict) else verdict.steps[0].notes


WAYS = [of_layer, of_network, of_sheet]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("claim", [[0.3, 0.5], ["0.3", "0.5"], ["0.3", None]])
def test_a_single_decimal_is_exact_and_the_verdict_says_what_to_do(way, claim):
    verdict = way(claim)
    assert (verdict.right, notes(verdict)) == (False, (FEW,))
    assert way(claim, digits=4).right
    assert not way(claim, digits=5).right


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_said_where_an_entry_is_wrong(way):
    for claim in (["0.3", "0.6"], ["0.3", "1"], ["0.4", "0.5"], [0, 0.5]):
        assert notes(way(claim)) == ()
        assert not way(claim, digits=4).right


def test_whole_numbers_and_fractions_stay_exact():
    for way in WAYS[1:]:
        assert not way(["0.3", "51/100"], digits=1).right
        assert way(["0.3", "1/2"], digits=1).right


def test_digits_are_decimals_of_floats_too():
    assert of_network(np.array([0.3, 0.5]), digits=4).right
    assert of_network(np.array([0.3, 0.5], np.float32), digits=4).right
    assert notes(of_network(np.array([0.3, 0.5]))) == (FEW,)


@pytest.mark.parametrize("digits", [-1, 16, 1.5, True, "4"])
def test_digits_are_a_whole_number(digits):
    for way in WAYS[:2]:
        with pytest.raises(cf.SettingError) as caught:
            way([0.3, 0.5], digits=digits)
        assert str(caught.value) == f"digits must be a whole number from 0 to 15, got {digits!r}"
    with pytest.raises(cf.FileError) as caught:
        of_sheet([0.3, 0.5], digits=digits)
    assert str(caught.value) == f"[sheet]: digits must be a whole number from 0 to 15, got {digits!r}"
