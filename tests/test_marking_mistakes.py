"""A mistake made in any line of a network, and carried through the rest, is found in that line alone."""

import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import closedform as cf
from closedform.checking.bases import Base
from closedform.checking.blame import arrays_of, line_of
from closedform.checking.named import check_claims
from closedform.checking.rewrites import variants
from closedform.checking.search import value_or_none
from closedform.solution import Solution, Values
from closedform.solution.numbers import given_array

NETWORKS = {
    "classifier": (
        (cf.Conv2d(2, 3, stride=2, padding=1), cf.ReLU(), cf.AvgPool2d(2), cf.Flatten(), cf.Dense(3)),
        (1, 8, 8), cf.SoftmaxCrossEntropy(), [2, 0, 1],
    ),
    "binary": (
        (cf.Conv2d(2, 2), cf.Tanh(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(1)),
        (2, 5, 5), cf.SigmoidBinaryCrossEntropy(), [1, 0],
    ),
    "summed": (
        (cf.ChannelSummedConv2d(2, 2), cf.LeakyReLU(0.25), cf.Flatten(), cf.Dense(2)),
        (3, 4, 4), cf.MeanSquaredError(), [[1, -2], [3, 0]],
    ),
    "depthwise": (
        (cf.DepthwiseConv2d(2), cf.Sigmoid(), cf.GlobalMaxPool2d(), cf.Dense(2)),
        (2, 4, 4), cf.MeanSquaredError(), [[0, 1], [2, -1]],
    ),
}  # fmt: skip


def worked_out(name):
    """A network with numbers, and the float values of all that follows."""
    layers, shape, loss, y = NETWORKS[name]
    architecture = cf.Architecture(layers, shape, loss)
    solution = Solution(architecture, len(y))
    rng = np.random.default_rng(7)
    numbers = {
        q.name: rng.normal(0, 0.7, q.shape) for q in solution.quantities if q.role in ("input", "parameter")
    }
    given_arrays = {key: given_array(solution, solution[key], value) for key, value in numbers.items()}
    given_arrays["T"] = given_array(solution, solution["T"], y)
    settings = {"x": numbers.pop("X"), "weights": numbers, "y": y}
    return architecture, solution, Values(solution, given_arrays).in_floats(), settings


@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_wrong_step_is_the_one_with_the_mistake_and_all_later_ones_follow(name):
    architecture, solution, values, settings = worked_out(name)
    stated = [q.name for q in solution.quantities if q.calculation is not None and q.role != "update"]
    right = check_claims({key: values[key] for key in stated}, architecture, **settings)
    assert right.right
    assert right.conventions == ()
    made = 0
    for quantity in (solution[key] for key in stated):
        line = line_of(solution, quantity)
        found = list(variants(line))
        for variant in found[1 :: len(found) // 2 + 1]:
            value = value_or_none(variant.line, arrays_of(Base(values), solution, quantity))
            if (
                value is None
                or value.shape != quantity.shape
                or np.allclose(value, values[quantity.name], 1e-5)
            ):
                continue
            made += 1
            student = values.with_given({quantity.name: value})
            verdict = check_claims({key: student[key] for key in stated}, architecture, **settings)
            assert verdict.first_wrong == quantity.name, variant.mistake
            assert verdict.first_wrong_step.mistakes, variant.mistake
            assert {step.status for step in verdict.steps if step.name != quantity.name} <= {
                "right",
                "carried",
            }
    assert made > 10


def test_a_large_networks_gradients_are_marked_in_under_a_second_each():
    layers = (
        cf.Conv2d(8, 3, padding=1), cf.ReLU(), cf.MaxPool2d(2), cf.Conv2d(16, 3, padding=1), cf.ReLU(),
        cf.MaxPool2d(2), cf.Flatten(), cf.Dense(10),
    )  # fmt: skip
    net = cf.Network(layers, input_shape=(1, 28, 28), loss=cf.SoftmaxCrossEntropy(), seed=1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 1, 28, 28)), rng.integers(0, 10, 4)
    loss, gradients = net.gradients(x, y)
    claims = {"L": loss, **{f"d{key}": value for key, value in gradients.items()}}
    assert check_claims(claims, net, x=x, y=y).right
    for key in ("0.weight", "3.weight", "7.weight"):
        wrong = gradients[key] + rng.normal(size=gradients[key].shape)  # which no mistake explains
        started = time.process_time()
        verdict = check_claims(claims | {f"d{key}": wrong}, net, x=x, y=y)
        assert (time.process_time() - started) / len(claims) < 1
        assert [step.name for step in verdict.steps if not step.right] == [f"d{key}"]


NET = cf.Architecture((cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()), (1, 3, 3))
SIGNS = "X11ZdWP[]()+-*/^=,.?x19 sumrelu'\"_|{}%<>:\\é"


@example("dW[u,v] = __import__('os')")
@example("().__class__")
@example("X11**X11")
@example("1/0")
@example("1/(X11-X11)")
@example("9" * 400)
@given(st.text(SIGNS, max_size=30))
def test_no_text_is_more_than_a_claim_or_an_error(text):
    for claims in ({"dW": [[text, 1], [2, 3]]}, {"P": text}, {"dW": f"dW[u,v] = {text}"}, {text: 1}):
        with suppress(cf.ClosedformError):
            check_claims(claims, NET, x=[[1, 2, 3], [4, 5, 6], [7, 8, 9]], weights={"W": [[1, 2], [3, 4]]})
