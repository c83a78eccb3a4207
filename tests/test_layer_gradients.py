"""Every gradient is the derivative of the layer's own value.

Two checks that need no other library's gradient: central differences, entry by entry, and the adjoint
identity ⟨dy, J v⟩ = ⟨Jᵀ dy, v⟩, in which J v comes from the forward pass where the layer is linear in what is
moved, and from PyTorch elsewhere.
"""

import numpy as np
import pytest
from layer_oracles import LINEAR, SMALL, apart, arrays_of, closedform_results, torch_value

import closedform as cf

STEP = 1e-5
# the error of a central difference is STEP²/6 times a third derivative, and 2**-53/STEP times the value
TOLERANCE = 1e-8


def moved(arrays, name, change):
    return {key: array + change if key == name else array.copy() for key, array in arrays.items()}


def learned(arrays):
    return [name for name in arrays if name not in ("dy", "T")]


@pytest.mark.parametrize("name", SMALL)
def test_every_gradient_is_a_central_difference(name):
    case = SMALL[name]
    # entries are apart from each other and from 0, so that no step goes over a kink
    arrays = arrays_of(case, apart)
    gradients = closedform_results(case, arrays)
    for tensor in learned(arrays):
        differences = np.empty_like(arrays[tensor])
        for place in np.ndindex(differences.shape):
            change = np.zeros_like(arrays[tensor])
            change[place] = STEP
            above = closedform_value(case, moved(arrays, tensor, change))
            below = closedform_value(case, moved(arrays, tensor, -change))
            differences[place] = ((above - below) * arrays["dy"]).sum() / (2 * STEP)
        scale = max(1, np.abs(differences).max())
        assert np.abs(gradients[tensor] - differences).max() <= TOLERANCE * scale, tensor


def closedform_value(case, arrays):
    parameters = {name: array for name, array in arrays.items() if name not in ("x", "dy")}
    return case.layer.apply(arrays["x"], parameters, training=True, rng=case.seed)[0]


@pytest.mark.parametrize("name", SMALL)
def test_the_pullback_is_the_adjoint_of_the_derivative(torch, name):
    case = SMALL[name]
    arrays = arrays_of(case)
    gradients = closedform_results(case, arrays)
    for k, tensor in enumerate(learned(arrays)):
        direction = np.random.default_rng(case.seed + 50 + k).normal(size=arrays[tensor].shape)
        if type(case.layer).__name__ in LINEAR:
            y = closedform_value(case, moved(arrays, tensor, 0))
            along = closedform_value(case, moved(arrays, tensor, direction)) - y  # J v
        else:
            along = torch_derivative(torch, case, arrays, tensor, direction)
        left, right = arrays["dy"] * along, gradients[tensor] * direction
        scale = np.abs(left).sum() + np.abs(right).sum()
        assert abs(left.sum() - right.sum()) <= 1e-13 * scale, tensor


def torch_derivative(torch, case, arrays, tensor, direction):
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}

    def value(moving):
        return torch_value(torch, case, tensors | {tensor: moving})

    _, along = torch.autograd.functional.jvp(value, tensors[tensor], torch.tensor(direction))
    return along.numpy()


# ---- how gradients are asked for


def test_the_pullback_is_linear_and_can_be_called_again():
    case = SMALL["Softmax"]
    arrays = arrays_of(case)
    _, pullback = case.layer.apply(arrays["x"], {})
    once, _ = pullback(arrays["dy"])
    zero, _ = pullback(np.zeros_like(arrays["dy"]))
    twice, _ = pullback(2 * arrays["dy"])
    assert not zero.any()
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-14)


def test_the_pullback_of_a_loss_takes_the_gradient_of_what_follows():
    x, targets = np.array([[3.0, 5.0]]), np.array([[1.0, 1.0]])
    loss, pullback = cf.MeanSquaredError().apply(x, {"T": targets})
    assert loss.shape == ()
    assert loss == 10
    assert pullback(np.array(1.0))[0].tolist() == [[2, 4]]
    assert pullback(0.5)[0].tolist() == [[1, 2]]
    assert pullback(1.0)[1] == {}


def test_the_layers_of_the_read_me_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    layer = cf.Conv2d(1, 2)
    y, pullback = layer.apply(x, {"weight": np.array([[[[1.0, 0], [0, -1]]]]), "bias": np.array([10.0])})
    assert y.tolist() == [[[[6, 6], [6, 6]]]]
    dx, gradients = pullback(np.array([[[[1.0, 2], [3, 4]]]]))
    assert dx.tolist() == [[[[1, 2, 0], [3, 3, -2], [0, -3, -4]]]]
    assert gradients["weight"].tolist() == [[[[27, 37], [57, 67]]]]
    assert gradients["bias"].tolist() == [10]
