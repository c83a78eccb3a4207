"""A small network, examples for it, and its twin in PyTorch."""

import numpy as np

import closedform as cf

EPSILON = 2.0**-24


def digits_like(seed, count=12, shape=(1, 8, 8), classes=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *shape)).astype(np.float32), rng.integers(0, classes, count)


def small(loss=None, seed=0, classes=4, drop=(), engine=None):
    layers = [cf.Conv2d(3, 3, padding=1), cf.ReLU(), cf.MaxPool2d(2), *drop, cf.Flatten(), cf.Dense(classes)]
    loss = loss or cf.SoftmaxCrossEntropy()
    return cf.Network(layers, input_shape=(1, 8, 8), loss=loss, seed=seed, engine=engine)


def twin(torch, net, dtype):
    """`small` in PyTorch, with the same weights."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(48, 4),
    ).to(dtype)
    model.load_state_dict({key: torch.tensor(array).to(dtype) for key, array in net.parameters.items()})
    return model
