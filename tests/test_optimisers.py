"""Updates are PyTorch's, step for step."""

import numpy as np
import pytest

from closedform.errors import SettingError, ShapeError
from closedform.training import SGD, Adam, AdamW

STEPS = 10
# more than two of the blocks that an update goes through
SIZE = 40_000

OPTIMISERS = [
    SGD(0.1),
    SGD(0.1, weight_decay=0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, weight_decay=0.01),
    SGD(0.1, momentum=0.9, nesterov=True),
    SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    Adam(),
    Adam(0.01, weight_decay=0.1),
    Adam(0.01, betas=(0.3, 0.6), eps=1e-3),
    Adam(0.01, betas=(0.0, 0.0)),
    AdamW(),
    AdamW(0.01, betas=(0.8, 0.9), weight_decay=0.3),
]


def pytorch_path(torch, optimizer, start, gradients, rates):
    """The parameters after each step."""
    settings = {key: value for key, value in vars(optimizer).items() if key != "learning_rate"}
    parameter = torch.nn.Parameter(torch.tensor(start))
    rule = getattr(torch.optim, type(optimizer).__name__)(
        [parameter], lr=optimizer.learning_rate, foreach=False, **settings
    )
    path = []
    for gradient, rate in zip(gradients, rates, strict=True):
        rule.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor(gradient)
        rule.step()
        path.append(parameter.detach().numpy().copy())
    return np.stack(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMISERS, ids=str)
@pytest.mark.parametrize("scheduled", [False, True], ids=["own rate", "a rate for each step"])
def test_ten_steps_equal_pytorch(torch, optimizer, dtype, scheduled):
    rng = np.random.default_rng(0)
    parameters = rng.normal(size=SIZE).astype(dtype)
    gradients = rng.normal(size=(STEPS, SIZE)).astype(dtype)
    rates = [optimizer.learning_rate * (1 - 0.05 * step * scheduled) for step in range(STEPS)]
    expected = pytorch_path(torch, optimizer, parameters, gradients, rates)
    # PyTorch fuses products with sums, so that a step may differ by the rounding of a product and of a sum,
    # each of at most eps/2 of the largest value; the bound allows twice that for what the averages carry on
    largest = np.maximum(np.abs(parameters), np.abs(expected).max(axis=0)) + optimizer.learning_rate
    bound = 2 * np.finfo(dtype).eps * largest

    state = optimizer.initial_state(SIZE, dtype)
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True)):
        kept = gradient.copy()
        optimizer.update(parameters, gradient, state, rate if scheduled else None)
        assert np.array_equal(gradient, kept)
        assert np.all(np.abs(parameters - expected[step]) <= (step + 1) * bound)
    assert parameters.dtype == dtype
    assert state["step"] == STEPS
    assert (STEPS * bound / largest).max() < (1e-12 if dtype is np.float64 else 3e-6)


def test_sgd_by_hand():
    # all numbers are exact in binary
    parameters, gradients = np.array([1.0, -2.0]), np.array([0.5, 4.0])
    optimizer = SGD(0.25, momentum=0.5, weight_decay=0.5)
    state = optimizer.initial_state(2, np.float64)
    optimizer.update(parameters, gradients, state)
    # g + w/2 = (1, 3)
    assert state["momentum_buffer"].tolist() == [1.0, 3.0]
    assert parameters.tolist() == [0.75, -2.75]
    optimizer.update(parameters, gradients, state)
    # (1, 3)/2 + (0.875, 2.625)
    assert state["momentum_buffer"].tolist() == [1.375, 4.125]
    assert parameters.tolist() == [0.40625, -3.78125]


def test_nesterov_looks_ahead_by_hand():
    parameters, gradients = np.array([1.0]), np.array([2.0])
    optimizer = SGD(0.25, momentum=0.5, nesterov=True)
    state = optimizer.initial_state(1, np.float64)
    optimizer.update(parameters, gradients, state)  # 2 + 0.5·2 = 3
    assert parameters.tolist() == [0.25]
    optimizer.update(parameters, gradients, state)  # buffer 3, 2 + 0.5·3 = 3.5
    assert parameters.tolist() == [-0.625]


def test_adam_first_moves_by_the_learning_rate():
    parameters, gradients = np.zeros(3), np.array([1e-3, -5.0, 0.0])
    optimizer = Adam(0.5, eps=1e-30)
    optimizer.update(parameters, gradients, optimizer.initial_state(3, np.float64))
    assert parameters == pytest.approx([-0.5, 0.5, 0.0], rel=1e-14)


def test_only_adamw_decays_parameters_without_gradient_by_the_learning_rate():
    parameters = np.array([8.0])
    optimizer = AdamW(0.5, weight_decay=0.5)
    optimizer.update(parameters, np.zeros(1), optimizer.initial_state(1, np.float64))
    assert parameters.tolist() == [6.0]


def test_state_names_are_pytorchs():
    assert sorted(SGD(0.1).initial_state(3)) == ["step"]
    assert sorted(SGD(0.1, momentum=0.5).initial_state(3)) == ["momentum_buffer", "step"]
    state = AdamW().initial_state(3)
    assert sorted(state) == ["exp_avg", "exp_avg_sq", "step"]
    assert state["step"].shape == ()
    assert state["step"].dtype == np.int64
    assert state["exp_avg"].shape == (3,)
    assert state["exp_avg"].dtype == np.float32


def test_a_view_of_the_parameters_is_updated_in_place():
    whole = np.ones(6, dtype=np.float32)
    optimizer = SGD(0.5)
    optimizer.update(whole[2:4], np.ones(2, dtype=np.float32), optimizer.initial_state(2))
    assert whole.tolist() == [1.0, 1.0, 0.5, 0.5, 1.0, 1.0]


def test_overflow_is_silent_and_leaves_infinity():
    parameters = np.array([-3e38], dtype=np.float32)
    optimizer = SGD(10)
    optimizer.update(parameters, np.array([3e38], dtype=np.float32), optimizer.initial_state(1))
    assert parameters.tolist() == [-np.inf]


def test_settings_are_stored_as_floats():
    optimizer = Adam(np.float32(0.5), betas=[0, 0.5], weight_decay=1)
    assert repr(optimizer) == "Adam(learning_rate=0.5, betas=(0.0, 0.5), eps=1e-08, weight_decay=1.0)"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SGD(-0.1), "SGD: learning_rate must be a number from 0 upwards, and finite, got -0.1"),
        (lambda: SGD(np.nan), "SGD: learning_rate must be a number from 0 upwards, and finite, got nan"),
        (lambda: Adam(np.inf), "Adam: learning_rate must be a number from 0 upwards, and finite, got inf"),
        (lambda: SGD("0.1"), "SGD: learning_rate must be a number from 0 upwards, and finite, got '0.1'"),
        (lambda: SGD(True), "SGD: learning_rate must be a number from 0 upwards, and finite, got True"),
        (lambda: SGD(0.1, momentum=1), "SGD: momentum must be a number from 0 to below 1, got 1"),
        (
            lambda: SGD(0.1, weight_decay=-1),
            "SGD: weight_decay must be a number from 0 upwards, and finite, got -1",
        ),
        (
            lambda: SGD(0.1, nesterov=True),
            "SGD: nesterov needs a momentum above 0; pass momentum=0.9, or nesterov=False",
        ),
        (
            lambda: SGD(0.1, momentum=0.9, nesterov="no"),
            "SGD: nesterov must be True or False, got 'no'",
        ),
        (
            lambda: Adam(betas=(0.9, 1.0)),
            "Adam: each of betas must be a number from 0 to below 1, got 1.0",
        ),
        (lambda: AdamW(betas=0.9), "AdamW: betas must be two numbers, got 0.9"),
        (lambda: AdamW(betas=(0.9,)), "AdamW: betas must be two numbers, got (0.9,)"),
        (lambda: Adam(eps=0), "Adam: eps must be above 0, or a gradient of 0 is divided by 0"),
        (
            lambda: AdamW(weight_decay=None),
            "AdamW: weight_decay must be a number from 0 upwards, and finite, got None",
        ),
    ],
)
def test_settings_that_make_no_sense(build, message):
    with pytest.raises(SettingError) as caught:
        build()
    assert str(caught.value) == message


def arrays(size=3, dtype=np.float32):
    return np.zeros(size, dtype=dtype)


@pytest.mark.parametrize(
    ("parameters", "gradients", "state", "rate", "error", "message"),
    [
        (
            np.zeros((2, 3)),
            np.zeros((2, 3)),
            Adam().initial_state(6),
            None,
            ShapeError,
            "Adam: parameters must be one flat array of float32 or float64, "
            "got an array of float64 of shape (2, 3)",
        ),
        (
            np.zeros(3, dtype=np.int64),
            np.zeros(3),
            Adam().initial_state(3),
            None,
            ShapeError,
            "Adam: parameters must be one flat array of float32 or float64, "
            "got an array of int64 of shape (3,)",
        ),
        (
            arrays(),
            arrays(4),
            Adam().initial_state(3),
            None,
            ShapeError,
            "Adam: gradients must be like the parameters, float32 of shape (3,), got float32 of shape (4,)",
        ),
        (
            arrays(dtype=np.float64),
            arrays(dtype=np.float64),
            Adam().initial_state(3),
            None,
            ShapeError,
            "Adam: exp_avg must be like the parameters, float64 of shape (3,), got float32 of shape (3,)",
        ),
        (
            arrays(),
            arrays(),
            SGD(0.1, momentum=0.9).initial_state(3),
            None,
            SettingError,
            "Adam: expects a state of exp_avg, exp_avg_sq, step, got momentum_buffer, step; "
            "take a new one from initial_state",
        ),
        (
            arrays(),
            arrays(),
            {},
            None,
            SettingError,
            "Adam: expects a state of exp_avg, exp_avg_sq, step, got an empty one; "
            "take a new one from initial_state",
        ),
        (
            arrays(),
            arrays(),
            Adam().initial_state(3),
            -1,
            SettingError,
            "Adam: learning_rate must be a number from 0 upwards, and finite, got -1",
        ),
    ],
)
def test_arrays_that_do_not_fit(parameters, gradients, state, rate, error, message):
    with pytest.raises(error) as caught:
        Adam().update(parameters, gradients, state, rate)
    assert str(caught.value) == message
