"""What a report shows of a wrong claim: which entries, at which numbers, and in how many terms."""

import json
import re

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


# ---- how many entries, and their terms


def dense(count, terms=1):
    """A layer of so many entries and terms, and the verdict on its value with a factor too many."""
    net = cf.Architecture((cf.Dense(count, bias=False),), (terms,))
    numbers = {"x": [[k + 1 for k in range(terms)]], "weights": {"W": [[7] * terms] * count}}
    right = 7 * terms * (terms + 1) // 2
    return lambda factors: check_claims({"Y": [right * f + (f > 5) for f in factors]}, net, **numbers)["Y"]


def test_a_named_mistake_is_shown_in_three_entries_or_all_of_four():
    # 1/9 is forgotten
    for size, count in [(1, 1), (2, 4), (3, 3), (4, 3)]:
        step = check_claims({"dX": [[1] * size] * size}, cf.GlobalAvgPool2d(), x=[[1] * size] * size, dy=1)
        if size > 1:
            assert step["dX"].mistakes == ("pool-factor-missing",)
            assert step.text().count("given 1, ") == count
            assert f"and {size * size - count} more" in step.text() or size * size == count
            assert step.html().count("<td>1</td><td>1/") == count


def test_what_nothing_explains_is_shown_in_eight_entries():
    for count in (5, 8, 9, 20):
        step = dense(count)(range(10, 10 + count))
        assert step.mistakes == ()
        assert len(step.shown) == min(count, 8)
        layer = cf.check(
            [list(range(1, count + 1))], cf.ReLU(), arrays={"X": [[1] * count], "dY": [[99] * count]}
        )
        assert layer.mistakes == ()
        assert layer.text().count("given") == min(count, 8)


def test_every_entry_that_is_shown_is_written_out():
    for terms in (1, 6, 7, 16):
        for count in (3, 9):
            step = dense(count, terms)(range(10, 10 + count))
            assert all(entry.expansion for entry in step.shown)
            if terms > 6:
                assert f"({terms} terms)" in step.shown[-1].expansion
            layer = cf.check(
                [[k + 1 for k in range(count)]], cf.Dense(count, bias=False), "Y",
                arrays={"X": [[1000001] * terms], "W": [[1000003] * terms] * count},
            )  # fmt: skip
            assert all(entry.expansion for entry in layer.shown)


def test_long_names_take_fewer_terms():
    name = "a_name_that_is_very_long_indeed_for_what_a_layer_reads"
    net = cf.Architecture((cf.Dense(1, bias=False),), (9,))
    numbers = {"x": list(range(1, 10)), "weights": {name: [[1] * 9]}}
    step = check_claims({"Y": 50}, net, names={"0.weight": name}, **numbers)["Y"]
    (entry,) = step.entries
    assert f"{name}1·X1 + " in entry.expansion
    assert "+ … (9 terms) = 1·1 + " in entry.expansion
    assert entry.expansion.endswith(" = 45")
    assert len(entry.expansion) <= 240


def test_zero_has_no_sign():
    net = cf.Architecture((cf.ReLU(),), (2,))
    for claim in ([-0.0, 1], ["-0.0", 1]):
        verdict = check_claims({"Y": claim}, net, x=[[3, 5]])
        assert "-0" not in verdict.text() + verdict.html() + verdict.to_json()
    layer = cf.check(lambda X: X * -0.0, cf.Tanh(), "Y")
    assert "-0" not in re.sub(r"-0\.\d*[1-9]", "", layer.text() + layer.html() + json.dumps(layer.to_dict()))
    dropped = cf.check(lambda X, dY: dY, cf.ReLU())
    assert not re.search(r"-0\.0\b(?!\d)", json.dumps(dropped.to_dict()))


# ---- the forms of a verdict


def test_a_verdict_on_one_claim_has_a_page():
    layer = cf.check("dX[n,c,i,j] = dY[n,c,i,j]", of=cf.ReLU())
    page = layer.html()
    assert page.startswith("<!doctype html>")
    assert "<title>dX: wrong</title>" in page
    assert "relu-mask-missing: The mask of ReLU is missing" in page
    assert page.count("<tr><td><code>dX") == len(layer.shown) == 3
    assert layer._repr_html_() in page
    right = cf.check("dX[n,c,i,j] = dY[n,c,i,j] * step(X[n,c,i,j])", of=cf.ReLU())
    assert "✓ right" in right.html()
    assert "<table" not in right.html()
    shape = cf.check("db[q,i,j] = sum[n] dY[n,q,i,j]", cf.Conv2d(2, 3))
    assert "It has shape" in shape.html()


def test_a_verdict_is_shown_in_a_few_words():
    assert repr(check_conv({"y": 40, "dO": [["1/4"] * 2] * 2})) == "<SheetVerdict wrong: first wrong is y>"
    assert repr(check_conv({"y": 10})) == "<SheetVerdict right>"
    wrong = cf.check("dX[n,c,i,j] = dY[n,c,i,j]", of=cf.ReLU())
    assert repr(wrong) == "<ClaimVerdict wrong: dX, relu-mask-missing>"
