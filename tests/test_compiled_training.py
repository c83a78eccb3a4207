"""Training in compiled code follows PyTorch's, step by step."""

from pathlib import Path

import numpy as np
import pytest
from oracles import require_torch

import closedform as cf

torch = require_torch()
NETS = Path(__file__).parents[1] / "benchmarks" / "nets"


def twin(net: cf.Network) -> torch.nn.Sequential:
    """The same layers in PyTorch, with the weights that PyTorch gives them."""
    torch.manual_seed(1)
    modules = []
    shapes = net.architecture.shapes
    for position, layer in enumerate(net.layers):
        match layer:
            case cf.Conv2d():
                channels, size = shapes[position][0], layer.kernel_size
                modules.append(torch.nn.Conv2d(channels, layer.out_channels, size, padding=layer.padding))
            case cf.Dense():
                modules.append(torch.nn.Linear(shapes[position][0], layer.out_features))
            case cf.MaxPool2d():
                modules.append(torch.nn.MaxPool2d(layer.kernel_size))
            case cf.ReLU():
                modules.append(torch.nn.ReLU())
            case cf.Flatten():
                modules.append(torch.nn.Flatten())
            case _:
                raise TypeError(f"{layer} has no twin")
    return torch.nn.Sequential(*modules)


@pytest.mark.parametrize("name", ["lenet", "vgg"])
def test_ten_steps_follow_pytorchs_losses(name):
    net = cf.Network.from_toml(NETS / f"{name}.toml", engine="compiled")
    model = twin(net)
    net.parameters = {key: value.numpy() for key, value in model.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((64, *net.input_shape)).astype(np.float32)
    y = rng.integers(0, 10, 64)
    ours, theirs = [], []
    for step in range(10):
        batch = slice(0, 32) if step % 2 else slice(32, 64)
        history = net.fit(x[batch], y[batch], batch_size=32, optimizer=cf.SGD(0.01), verbose=0)
        ours.append(history["loss"][0])
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x[batch])), torch.tensor(y[batch]))
        loss.backward()
        optimiser.step()
        theirs.append(float(loss.detach()))
    assert net.engine == "compiled"
    assert theirs[0] - theirs[8] > 0.0005  # it learns, so that wrong gradients would show
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
