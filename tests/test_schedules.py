"""The learning rate of every update, as PyTorch's schedulers give it."""

import math

import numpy as np
import pytest
from networks import digits_like, small, twin

import closedform as cf
from closedform.random import permutation
from closedform.training.schedules import schedule_from_dict

BASE = 0.3


def rates(schedule, steps, epoch_steps=10, total_steps=None):
    return schedule.rates(np.arange(steps), BASE, epoch_steps, total_steps or steps)


def by_torch(torch, steps, make):
    """The rates that a PyTorch scheduler sets; `make` gets the optimiser."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], BASE)
    scheduler = make(optimizer, torch.optim.lr_scheduler)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return found


@pytest.mark.parametrize("total", [7, 10, 101])
@pytest.mark.parametrize(("warm_up", "start", "end"), [(0.3, 0.04, 1e-4), (0.45, 0.5, 0.1), (1.0, 0.1, 0.0)])
def test_one_cycle_is_pytorchs(torch, total, warm_up, start, end):
    def make(optimizer, schedulers):
        # PyTorch divides the first rate to get the last one, and there 0 is no divisor
        return schedulers.OneCycleLR(
            optimizer, BASE, total_steps=total, pct_start=warm_up, div_factor=1 / start,
            final_div_factor=start / (end or 1e-30), cycle_momentum=False,
        )  # fmt: skip

    expected = by_torch(torch, total, make)
    found = rates(cf.OneCycle(warm_up, start, end), total)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_one_cycle_without_warming_up_begins_at_the_optimisers_rate():
    found = rates(cf.OneCycle(warm_up=0.0, end=0.0), 5)
    expected = [BASE, BASE * (0.5 + math.sqrt(0.125)), BASE / 2, BASE * (0.5 - math.sqrt(0.125)), 0.0]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_the_cosine_is_pytorchs_update_by_update(torch):
    def make(optimizer, schedulers):
        return schedulers.CosineAnnealingLR(optimizer, 50, eta_min=0.1 * BASE)

    expected = by_torch(torch, 50, make)
    np.testing.assert_allclose(rates(cf.Cosine(end=0.1), 50), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "every"),
    [
        (cf.StepDecay(0.5, steps=4), 4),
        (cf.StepDecay(0.5), 10),
        (cf.StepDecay(0.5, epochs=2), 20),
        (cf.StepDecay(0.5, epochs=0.25), 2),
        (cf.StepDecay(0.5, epochs=0.01), 1),
    ],
    ids=str,
)
def test_steps_down_are_pytorchs(torch, schedule, every):
    expected = by_torch(torch, 50, lambda optimizer, schedulers: schedulers.StepLR(optimizer, every, 0.5))
    np.testing.assert_allclose(rates(schedule, 50), expected, rtol=1e-12)


def test_the_inverse_decay_is_caffes(torch):
    def make(optimizer, schedulers):
        return schedulers.LambdaLR(optimizer, lambda step: (1 + 1e-2 * step) ** -0.75)

    expected = by_torch(torch, 50, make)
    np.testing.assert_allclose(rates(cf.InverseDecay(1e-2, 0.75), 50), expected, rtol=1e-12)


@pytest.mark.parametrize("words", [{"steps": 15}, {"epochs": 1.5}], ids=str)
def test_warming_up_and_what_follows_are_pytorchs(torch, words):
    def make(optimizer, schedulers):
        rising = schedulers.LinearLR(optimizer, start_factor=0.2, total_iters=15)
        falling = schedulers.CosineAnnealingLR(optimizer, 45)
        return schedulers.SequentialLR(optimizer, [rising, falling], [15])

    expected = by_torch(torch, 60, make)
    found = rates(cf.WarmUp(start=0.2, then=cf.Cosine(), **words), 60)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_after_warming_up_the_rate_stays_where_nothing_follows():
    found = rates(cf.WarmUp(steps=4, start=0.0), 7)
    np.testing.assert_allclose(found, [0, BASE / 4, BASE / 2, 0.75 * BASE, BASE, BASE, BASE], rtol=1e-15)


def test_a_training_shorter_than_its_warming_up_only_rises():
    found = rates(cf.WarmUp(steps=10, start=0.0, then=cf.Cosine()), 3)
    np.testing.assert_allclose(found, [0, BASE / 10, BASE / 5], rtol=1e-15)


def test_beginning_anew_is_pytorchs_cosine_with_warm_restarts(torch):
    def make(optimizer, schedulers):
        return schedulers.CosineAnnealingWarmRestarts(optimizer, 20, T_mult=2, eta_min=0.1 * BASE)

    expected = by_torch(torch, 140, make)  # 20 updates, 40 and 80
    found = rates(cf.Restarts(cf.Cosine(end=0.1), [2, 6]), 140)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_what_begins_anew_goes_over_each_part_as_over_a_training():
    one = cf.WarmUp(steps=3, then=cf.OneCycle())
    parts = [rates(one, steps) for steps in (15, 25, 7)]
    np.testing.assert_array_equal(rates(cf.Restarts(one, (1.5, 4)), 47), np.concatenate(parts))


def test_a_milestone_beyond_the_end_cuts_the_schedule_off():
    np.testing.assert_array_equal(rates(cf.Restarts(cf.Cosine(), (5,)), 30), rates(cf.Cosine(), 50)[:30])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (cf.OneCycle(), cf.Restarts(cf.OneCycle(), (3,))),
        (cf.WarmUp(then=cf.Cosine()), cf.Restarts(cf.WarmUp(then=cf.Cosine()), (3,))),
        (cf.Restarts(cf.Cosine(), (1,)), cf.Restarts(cf.Cosine(), (1, 3))),
        (cf.StepDecay(0.5, epochs=2), cf.StepDecay(0.5, epochs=2)),
        (cf.InverseDecay(), cf.InverseDecay()),
        (cf.WarmUp(2), cf.WarmUp(2)),
        (cf.Restarts(cf.StepDecay(), (2,)), cf.Restarts(cf.StepDecay(), (2,))),
    ],
    ids=str,
)
def test_raised_epochs_leave_the_rates_that_were(schedule, expected):
    raised = schedule.raised(10, 3, 5)
    assert raised == expected
    np.testing.assert_array_equal(rates(raised, 50)[:30], rates(schedule, 30))


SCHEDULES = [
    cf.OneCycle(),
    cf.OneCycle(0.2, 0.1, 0.5),
    cf.Cosine(),
    cf.Cosine(0.01),
    cf.StepDecay(0.3, epochs=0.5),
    cf.StepDecay(steps=7),
    cf.InverseDecay(),
    cf.InverseDecay(1e-2, 0.5),
    cf.WarmUp(),
    cf.WarmUp(2.5, then=cf.OneCycle()),
    cf.WarmUp(steps=3, start=0.5, then=cf.WarmUp(steps=2, then=cf.Cosine(0.1))),
    cf.Restarts(cf.OneCycle(), (0.5, 2, 7.25)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_bits_do_not_depend_on_how_updates_are_grouped(schedule):
    steps = np.arange(1000)
    whole = schedule.rates(steps, BASE, 100, 1000)
    assert whole.dtype == np.float64
    for size in (1, 2, 3, 7, 64, 999):
        parts = [schedule.rates(steps[n : n + size], BASE, 100, 1000) for n in range(0, 1000, size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_trainings_have_finite_rates(schedule, total):
    found = rates(schedule, total, epoch_steps=1)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= BASE).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_schedule_comes_back_from_plain_values(schedule):
    assert schedule_from_dict(schedule.to_dict()) == schedule


def test_the_text_of_a_schedule_makes_it_again():
    """Checkpoints compare it."""
    assert repr(cf.WarmUp(steps=3, then=cf.Cosine(0.1))) == (
        "WarmUp(epochs=1.0, steps=3, start=0.1, then=Cosine(end=0.1))"
    )
    assert repr(cf.OneCycle(1, np.float32(0.25))) == "OneCycle(warm_up=1.0, start=0.25, end=0.0001)"
    assert repr(cf.StepDecay(steps=np.int64(3))) == "StepDecay(factor=0.1, epochs=1.0, steps=3)"
    assert repr(cf.InverseDecay()) == "InverseDecay(gamma=0.0001, power=0.75)"


def test_plain_values_hold_what_is_no_default():
    assert cf.OneCycle().to_dict() == {"type": "OneCycle"}
    assert cf.WarmUp(steps=5, then=cf.StepDecay(0.5)).to_dict() == {
        "type": "WarmUp",
        "steps": 5,
        "then": {"type": "StepDecay", "factor": 0.5},
    }


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_fit_makes_each_update_at_its_own_rate(torch, engine):
    x, y = digits_like(3, count=24)
    net, schedule = small(seed=4, engine=engine), cf.WarmUp(steps=2, start=0.5, then=cf.Cosine())
    model = twin(torch, net, torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), BASE, momentum=0.9)
    schedulers = torch.optim.lr_scheduler
    rising = schedulers.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    scheduler = schedulers.SequentialLR(optimizer, [rising, schedulers.CosineAnnealingLR(optimizer, 7)], [2])
    expected = []
    for epoch in range(3):
        for chosen in torch.tensor(permutation(4, epoch, 24)).split(8):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)[chosen]), torch.tensor(y)[chosen])
            loss.backward()
            optimizer.step()
            last = optimizer.param_groups[0]["lr"]
            scheduler.step()
        expected.append(last)
    history = net.fit(
        x, y, epochs=3, batch_size=8, optimizer=cf.SGD(BASE, momentum=0.9), schedule=schedule, verbose=0
    )  # fmt: skip
    assert history["learning_rate"] == pytest.approx(expected, rel=1e-12)
    for key, array in model.named_parameters():
        np.testing.assert_allclose(net.parameters[key], array.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cf.OneCycle(warm_up=1.5), "OneCycle: warm_up must be a number from 0 to 1, got 1.5"),
        (lambda: cf.OneCycle(start=-0.1), "OneCycle: start must be a number from 0 to 1, got -0.1"),
        (lambda: cf.OneCycle(end=float("nan")), "OneCycle: end must be a number from 0 to 1, got nan"),
        (lambda: cf.Cosine("0.1"), "Cosine: end must be a number from 0 to 1, got '0.1'"),
        (lambda: cf.Cosine(True), "Cosine: end must be a number from 0 to 1, got True"),
        (lambda: cf.StepDecay(0), "StepDecay: factor must be a number above 0, got 0"),
        (lambda: cf.StepDecay(epochs=0.0), "StepDecay: epochs must be a number above 0, got 0.0"),
        (lambda: cf.StepDecay(steps=0), "StepDecay: steps must be a whole number from 1, got 0"),
        (lambda: cf.StepDecay(steps=2.0), "StepDecay: steps must be a whole number from 1, got 2.0"),
        (
            lambda: cf.StepDecay(epochs=2, steps=100),
            "StepDecay: epochs and steps say the same: give one of them",
        ),
        (lambda: cf.InverseDecay(math.inf), "InverseDecay: gamma must be finite, got inf"),
        (lambda: cf.InverseDecay(power=-1), "InverseDecay: power must be a number from 0, got -1"),
        (
            lambda: cf.InverseDecay(gamma=10**400),
            f"InverseDecay: gamma must be finite, got 1{'0' * 59}",
        ),
        (
            lambda: cf.WarmUp(then="Cosine"),
            "WarmUp: then must be a schedule, as in then=cf.Cosine(), got 'Cosine'",
        ),
        (
            lambda: cf.Restarts("Cosine", (1,)),
            "Restarts: schedule must be a schedule, as in cf.Cosine(), got 'Cosine'",
        ),
        *(
            (
                lambda milestones=milestones: cf.Restarts(cf.Cosine(), milestones),
                "Restarts: milestones must be epochs above 0 that ascend, as in (10, 30), "
                f"got {milestones!r}",
            )
            for milestones in [(), 3, (0,), (2, 2), (3, 1), (True,), ("1",), (math.inf,), (math.nan, 1)]
        ),
        (
            lambda: schedule_from_dict({"type": "Restarts", "milestones": [1]}, "schedule"),
            "schedule: Restarts needs schedule",
        ),
        (
            lambda: schedule_from_dict({"type": "OnCycle"}, "run.toml: schedule"),
            "run.toml: schedule: 'OnCycle' is no schedule; did you mean OneCycle?",
        ),
        (
            lambda: schedule_from_dict({"type": "Zigzag"}),
            "'Zigzag' is no schedule; known are OneCycle, Cosine, StepDecay, InverseDecay, WarmUp, Restarts",
        ),
        (
            lambda: schedule_from_dict({"type": "OneCycle", "warmup": 0.1}, "schedule"),
            "schedule: OneCycle: unknown key 'warmup'; did you mean warm_up?",
        ),
        (
            lambda: schedule_from_dict({"type": "Cosine", "end": 2}, "schedule"),
            "schedule: Cosine: end must be a number from 0 to 1, got 2",
        ),
        (
            lambda: schedule_from_dict({"type": "WarmUp", "then": {"type": "Cosin"}}, "schedule"),
            "schedule: then: 'Cosin' is no schedule; did you mean Cosine?",
        ),
        (
            lambda: schedule_from_dict({"warm_up": 0.1}, "schedule"),
            "schedule: expected a schedule, as in {type = \"OneCycle\"}, got {'warm_up': 0.1}",
        ),
        (
            lambda: schedule_from_dict("OneCycle"),
            "expected a schedule, as in {type = \"OneCycle\"}, got 'OneCycle'",
        ),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(cf.SettingError) as caught:
        make()
    assert str(caught.value) == message
